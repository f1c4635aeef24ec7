"""DeconvNet's system: boxes that may hold an object, the net's answer for each, and one map made of them all.

Source: Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, sections 5.1 (aggregating the maps
of the proposals) and 6.1 (sizes); the crops that the net learns from are in `edu_seg.object_crops`. The idea: a net of one fixed
field sees an object larger than the field in pieces and a small one as a speck. Cropped to a proposal and resized to the net's
input, both fill the field.

Boxes are int64 (R, 4): left, top, right, bottom in pixels, right and bottom exclusive; they may leave the image.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from scipy import ndimage
from torch import Tensor
from torchvision.ops import nms

from edu_seg.objects import Boxes, cropped, enlarged, tight_boxes

Aggregate = Literal["maximum", "average", "sum"]


# --- where to look --------------------------------------------------------------------------------------------------------------


def sliding_windows(
    size: tuple[int, int], scales: Sequence[float] = (1.0, 0.5, 0.25), aspect_ratios: Sequence[float] = (1.0,), overlap: float = 0.5
) -> Boxes:
    """Windows of several scales that each cover the image of `size` (height, width), coarse ones first.

    scales: the window's side as a share of the image's longer side; wider than high by aspect_ratios at the same area, cut to the
    image. overlap: the least share of its side that a window has in common with the next. Windows are spread evenly.
    """
    if not scales or not aspect_ratios or min(*scales, *aspect_ratios) <= 0 or not 0 <= overlap < 1:
        raise ValueError(f"scales {scales} and aspect_ratios {aspect_ratios} are above 0, and overlap {overlap} is in [0, 1)")
    boxes: dict[tuple[int, int, int, int], None] = {}  # each once, in order
    for scale, ratio in product(scales, aspect_ratios):
        side = scale * max(size)
        height, width = (
            min(most, max(1, round(length))) for most, length in zip(size, (side / ratio**0.5, side * ratio**0.5), strict=True)
        )
        for top, left in product(_starts(size[0], height, overlap), _starts(size[1], width, overlap)):
            boxes[left, top, left + width, top + height] = None
    return torch.tensor(list(boxes), dtype=torch.int64)


def _starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along one axis: the first at 0, the last at the end, steps of at most (1 - overlap) windows."""
    step = max(1, int((1 - overlap) * window))
    gaps = -(-(size - window) // step)
    return [round(number * (size - window) / gaps) for number in range(gaps + 1)] if gaps else [0]


def region_boxes(
    image: Float[Tensor, "3 H W"],
    *,
    smoothing: float = 0.8,
    scales: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0),
    least_area: int = 16,
    most: int = 50,
    most_overlap: float = 0.8,
) -> Boxes:
    """Boxes around regions of like colour, those that stand out most first: a stand-in for the paper's edge boxes (section 6.1).

    image: colours in 0 … 1. Its regions are found by `regions` at several scales, after a blur of `smoothing` pixels. A box ranks by
    the mean step of colour across its region's outline, less that inside. Boxes of fewer than least_area pixels are left out, and
    those that overlap a better one by more than most_overlap (IoU); at most `most` are kept.
    """
    if smoothing < 0 or not 0 < most_overlap <= 1 or most < 1:
        raise ValueError(f"smoothing {smoothing} is at least 0, most_overlap {most_overlap} in (0, 1], and most {most} at least 1")
    colours = ndimage.gaussian_filter(image.double().cpu().numpy(), (0, smoothing, smoothing))
    pairs, steps = _neighbours(colours)
    found: dict[tuple[int, ...], float] = {}
    for scale in scales:
        labels = regions(pairs, steps, colours[0].size, scale).reshape(colours.shape[1:])
        for box, score in zip(tight_boxes(torch.from_numpy(labels + 1)).tolist(), _contrast(labels, pairs, steps), strict=True):
            if (box[2] - box[0]) * (box[3] - box[1]) >= least_area:
                found[tuple(box)] = max(score, found.get(tuple(box), score))
    boxes = torch.tensor(list(found), dtype=torch.int64).view(-1, 4)
    return boxes[nms(boxes.double(), torch.tensor(list(found.values()), dtype=torch.float64), most_overlap)[:most]]


def regions(pairs: Int64[np.ndarray, "2 E"], steps: Float64[np.ndarray, " E"], pixels: int, scale: float) -> Int64[np.ndarray, " pixels"]:
    """A region 0, 1, … for each of `pixels` pixels, by the graph of their neighbours: E pairs of pixels, each with a step of colour.

    Pairs are taken from the smallest step to the largest; two regions are joined where the step between them is not larger than the
    largest step inside of either plus scale / (its pixels). So `scale` says how large a region has to be before a weak outline holds.
    Source: Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, section 4.
    """
    order = np.argsort(steps, kind="stable")
    parent, size, limit = list(range(pixels)), [1] * pixels, [scale] * pixels
    for one, other, step in zip(*pairs[:, order].tolist(), steps[order].tolist(), strict=True):
        while parent[one] != one:  # up to the region's root, each pixel on the way set one generation higher
            parent[one] = one = parent[parent[one]]
        while parent[other] != other:
            parent[other] = other = parent[parent[other]]
        if one != other and step <= min(limit[one], limit[other]):
            parent[other] = one
            size[one] += size[other]
            limit[one] = step + scale / size[one]
    roots = np.array(parent)
    while (roots != roots[roots]).any():
        roots = roots[roots]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def _neighbours(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(2, pairs) of pixels beside or below each other, as row · W + column, and how far their colours differ."""
    places = np.arange(colours[0].size).reshape(colours.shape[1:])
    beside, below = np.stack([places[:, :-1], places[:, 1:]]), np.stack([places[:-1], places[1:]])
    pairs = np.concatenate([beside.reshape(2, -1), below.reshape(2, -1)], 1)
    flat = colours.reshape(len(colours), -1)
    return pairs, np.sqrt(((flat[:, pairs[0]] - flat[:, pairs[1]]) ** 2).sum(0))


def _contrast(labels: np.ndarray, pairs: np.ndarray, steps: np.ndarray) -> list[float]:
    """For each region the mean step of colour across its outline, less the mean inside."""
    first, second = labels.reshape(-1)[pairs]
    count = int(labels.max()) + 1
    across = first != second

    def mean(members: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
        number = sum(np.bincount(member, minlength=count) for member in members)
        return sum(np.bincount(member, values, minlength=count) for member in members) / np.maximum(number, 1)

    return (mean((first[across], second[across]), steps[across]) - mean((first[~across],), steps[~across])).tolist()


# --- instance-wise inference ----------------------------------------------------------------------------------------------------


def placed(scores: Float[Tensor, "K h w"], box: Int64[Tensor, " 4"], size: tuple[int, int]) -> Float[Tensor, "K H W"]:
    """The scores of a box, resized to it, on an image of `size` (height, width); zeros outside (the paper's G_i)."""
    left, top, right, bottom = box.tolist()
    return cropped(_resized(scores, bottom - top, right - left)[0], torch.tensor([-left, -top, size[1] - left, size[0] - top]))


@torch.no_grad()
def instance_scores(
    model: Callable[[Tensor], Tensor],
    image: Float[Tensor, "3 H W"],
    boxes: Boxes,
    input_size: int,
    *,
    aggregate: Aggregate = "maximum",
    batch_size: int = 8,
) -> Float[Tensor, "K H W"]:
    """The net's scores for each box, put back to where the box is, and all put together (section 5.1).

    model: (n, 3, s, s) -> (n, K, s, s) with s = input_size, in evaluation mode. Each box is cut out (what lies outside of a normalised
    image is zero, its mean colour), resized to s × s, and its scores are resized back.
    aggregate: "maximum" and "sum" are the paper's equations 1 and 2; "average" divides the sum by how many boxes hold the pixel.
    The maximum begins at 0, as in the released code and as it must where one box does not hold the pixel. Where no box is, all
    scores are 0. Raises ValueError without a box.
    """
    if aggregate not in get_args(Aggregate):
        raise ValueError(f'aggregate is "maximum", "average" or "sum", got {aggregate!r}')
    if not len(boxes):
        raise ValueError("there is no box to look at: take sliding_windows, or fewer conditions on the proposals")
    size = (image.shape[1], image.shape[2])
    total, held = None, torch.zeros(size, dtype=image.dtype, device=image.device)
    for part in boxes.split(batch_size):
        scores = model(torch.cat([_resized(cropped(image, box), input_size, input_size) for box in part]))
        for one, box in zip(scores, part, strict=True):
            here = placed(one, box, size)
            total = torch.zeros_like(here) if total is None else total
            total = torch.maximum(total, here) if aggregate == "maximum" else total + here
            left, top, right, bottom = box.clamp(min=0).tolist()
            held[top:bottom, left:right] += 1
    assert total is not None
    return total / held.clamp(min=1) if aggregate == "average" else total


def instance_probs(
    model: Callable[[Tensor], Tensor],
    image: Float[Tensor, "3 H W"],
    boxes: Boxes,
    input_size: int,
    *,
    aggregate: Aggregate = "maximum",
    context: float = 1.2,
    least_side: int = 1,
    most: int = 50,
    batch_size: int = 8,
) -> Float[Tensor, "K H W"]:
    """Class probabilities of an image from its proposals: the softmax of `instance_scores` over the classes (section 5.1).

    boxes: the best first. Each is enlarged by `context`; those with a side below least_side then are left out (the released code:
    112), and at most `most` are looked at (the paper: 50 of about 2000). Where no box is, every class is as likely, and the arg max
    is class 0, the background.
    """
    larger = enlarged(boxes, context)
    sides = (larger[:, 2:] - larger[:, :2]).amin(1)
    kept = larger[sides >= least_side][:most]
    return instance_scores(model, image, kept, input_size, aggregate=aggregate, batch_size=batch_size).softmax(0)


def _resized(maps: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=False, antialias=True)
