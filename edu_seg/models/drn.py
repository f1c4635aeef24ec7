"""Dilated residual networks as classifiers, as segmentation nets, and as localisers that need no further training.

Source: Yu, Koltun and Funkhouser, "Dilated Residual Networks", CVPR 2017. Its figure 2 replaces strides by dilation, figure 5 shows the
three steps against gridding (A → B → C); the trunks are in `backbones.drn`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.backbones import Trunk
from edu_seg.backbones.drn import TABLE
from edu_seg.upsampling import upsample_to_pixels

VARIANTS = tuple(TABLE)


class DRNClassifier(nn.Module):
    """Images (N, 3, H, W) -> class scores (N, K): the mean over the last map, then a 1 × 1 convolution `fc`.

    `score_map` leaves the mean out: the same weights then score every unit (DRN section 3). Mean and 1 × 1 are both linear, so the
    mean of the score map is the classifier's answer.
    """

    def __init__(self, backbone: Trunk, num_classes: int = 1000) -> None:
        super().__init__()
        self.backbone, self.top = backbone, next(reversed(backbone.channels))
        self.fc = nn.Conv2d(backbone.channels[self.top], num_classes, 1)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K"]:
        features = self.backbone(images)[self.top]
        return self.fc(features.mean((2, 3), keepdim=True)).flatten(1)

    def score_map(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        """The class scores of every unit, (N, K, H/8, W/8), rounded up: 28 × 28 at 224 where ResNet leaves 7 × 7."""
        return self.fc(self.backbone(images)[self.top])


class DRN(nn.Module):
    """The segmentation form: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    The trunk, a 1 × 1 convolution for the scores, and bilinear interpolation by 8 (section 5.3).

    **Fidelity:** the released code interpolates by a frozen transposed convolution (16 × 16, stride 8, padding 4) as if units sat in
    the middle of their cells. They sit on every eighth pixel from 0 on, so that code is 3.5 pixels off; here each pixel is interpolated
    from where the units sit. Its DRN-C-58 also holds a projection that no data goes through (1,049,600 parameters); it is left out.
    """

    def __init__(self, backbone: Trunk, num_classes: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.backbone, self.top = backbone, next(reversed(backbone.channels))
        self.seg = nn.Conv2d(backbone.channels[self.top], num_classes, 1)
        self.grid = backbone.fields[self.top].grid

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        if min(images.shape) < 1:
            raise ValueError(f"images need at least one pixel and one example, got {tuple(images.shape)}")
        scores = self.seg(self.backbone(images)[self.top])  # (N, K, H/8, W/8)
        return upsample_to_pixels(scores, self.grid, images.shape[2], images.shape[3])


def drn(name: str, num_classes: int = 21, *, pretrained: bool = False, width: float = 1.0) -> DRN:
    """The segmentation net of one row of `backbones.drn.TABLE`; `width` multiplies its channels."""
    return DRN(backbones.build(name, pretrained=pretrained, width=width), num_classes)


def drn_classifier(name: str, num_classes: int = 1000, *, pretrained: bool = False, width: float = 1.0) -> DRNClassifier:
    """The classifier of one row; `pretrained` gives A rows the trunk and, with 1,000 classes, the last layer of torchvision's ResNet."""
    model = DRNClassifier(backbones.build(name, pretrained=pretrained, width=width), num_classes)
    if pretrained and num_classes == 1000:
        state = backbones.imagenet_state_dict(str(TABLE[name].classifier))
        model.fc.load_state_dict({"weight": state["fc.weight"][:, :, None, None], "bias": state["fc.bias"]})
    return model


@dataclass(frozen=True)
class Box:
    """Units or pixels of a rectangle, both ends within it."""

    top: int
    left: int
    bottom: int
    right: int


def localise(scores: Float[Tensor, "K h w"], label: int, threshold: float = 0.0) -> Box | None:
    """The smallest box around all units where class `label` responds most strongly of all, and above `threshold` (DRN section 3).

    scores: one image's `score_map`. None where no unit does. Raises ValueError for a label that there is no map of.
    """
    if not 0 <= label < len(scores):
        raise ValueError(f"class {label}: the scores are of classes 0 to {len(scores) - 1}")
    strongest, classes = scores.max(0)
    rows, columns = torch.where((classes == label) & (strongest > threshold))
    if not len(rows):
        return None
    return Box(int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max()))
