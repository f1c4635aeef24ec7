"""U-Net's loss: cross-entropy in which the pixels between two close objects count most.

Source: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, section 3,
equations 1 and 2: w(x) = w_c(x) + w0 · exp(-(d1(x) + d2(x))² / (2 σ²)), where d1 and d2 are the distances from x to the border of the
nearest and of the second nearest object, w_c balances the classes, w0 = 10 and σ ≈ 5 pixels.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import ndimage
from torch import Tensor

from edu_seg.losses import Loss, check_labels, cross_entropy
from edu_seg.objects import instances_of


def border_distances(instances: Int64[Tensor, "H W"]) -> Float[Tensor, "R H W"]:
    """The distance in pixels from every pixel to the border of each instance 1 … R (0 is background).

    An instance's border are its own pixels that have a pixel of something else above, below, left or right; the image's edge is no
    border. Outside the instance that is the distance to its nearest pixel; inside, to its nearest border pixel. An instance that
    fills the image has no border and lies infinitely far.
    """
    values = instances.cpu().numpy()
    count = int(values.max(initial=0))
    distances = np.full((count, *values.shape), np.inf)
    for number in range(1, count + 1):
        own = values == number
        border = own & np.logical_not(ndimage.binary_erosion(own, border_value=1))
        if border.any():
            distances[number - 1] = ndimage.distance_transform_edt(np.logical_not(border))
    return torch.from_numpy(distances).to(instances.device)


def border_weights(
    instances: Int64[Tensor, "H W"], w0: float = 10.0, sigma: float = 5.0, *, background_only: bool = False
) -> Float[Tensor, "H W"]:
    """The second term of equation 2, float64: w0 · exp(-(d1 + d2)² / (2 σ²)); 0 with fewer than two objects.

    instances: 0 is background; 1, 2, … are objects (`objects.instances_of` finds them in class labels). background_only: 0 inside of
    the objects, as many implementations have it; the equation speaks of every pixel.
    """
    if w0 < 0 or sigma <= 0:
        raise ValueError(f"w0 is at least 0 and sigma above 0, got {w0} and {sigma}")
    distances = border_distances(instances)
    if len(distances) < 2:
        return torch.zeros(instances.shape, dtype=torch.float64, device=instances.device)
    nearest, second = distances.sort(0).values[:2]
    weights = w0 * torch.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    return weights.masked_fill(instances > 0, 0) if background_only else weights


class BorderCrossEntropy(Loss):
    """Equations 1 and 2: cross-entropy on every pixel that is not void, weighted by w_c + the border term.

    weight: one factor a class, w_c (`losses.class_weights`, say); None: 1. w0, sigma, background_only: as in `border_weights`.
    The weights are made from the labels of each batch on the CPU: objects are the connected components of the classes other than
    `background`, so objects of one class that touch are one. To tell those apart, as the paper does, leave a line of background
    between them in the labels, which is what the paper's labels have.

    **Fidelity:** the paper sums over the pixels; here the sum is divided by the sum of the weights, as in `losses.CrossEntropy`. Void
    pixels are ours. How the paper computes w_c from the frequencies it does not say.
    """

    def __init__(
        self,
        weight: Float[Tensor, " K"] | None = None,
        ignore_index: int = 255,
        *,
        w0: float = 10.0,
        sigma: float = 5.0,
        background: int = 0,
        background_only: bool = False,
    ) -> None:
        super().__init__()
        self.weight: Tensor | None
        self.register_buffer("weight", weight)
        self.ignore_index, self.background = ignore_index, background
        self.w0, self.sigma, self.background_only = w0, sigma, background_only

    def weights(self, labels: Int64[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
        """Equation 2 for a batch of labels, float32; 0 on void."""
        maps = [
            border_weights(instances_of(one, self.background, self.ignore_index), self.w0, self.sigma, background_only=self.background_only)
            for one in labels.cpu()
        ]
        void = labels == self.ignore_index
        balance = 1.0 if self.weight is None else self.weight[labels.masked_fill(void, 0)]
        return (balance + torch.stack(maps).float().to(labels.device)).masked_fill(void, 0)

    def terms(self, logits: Float[Tensor, "N K H W"], labels: Int64[Tensor, "N H W"]) -> tuple[Tensor, Tensor]:
        """The weighted sum over the pixels that are not void, and the sum of their weights."""
        check_labels(labels, logits, self.ignore_index)
        weights = self.weights(labels).to(logits.dtype)
        total = (weights * cross_entropy(logits, labels, ignore_index=self.ignore_index, reduction="none")).sum()
        return total, weights.sum()
