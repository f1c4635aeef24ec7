"""The single objects in a map of class labels: which pixels belong together, the box around each, and cutting it out.

A map of classes does not say where one object of a class ends and the next begins, so an object is a connected component of a class.
Two objects of one class that touch count as one: where instances are annotated, use those.

Boxes are int64 (R, 4): left, top, right, bottom in pixels, right and bottom exclusive; they may leave the image.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy import ndimage
from torch import Tensor

Boxes = Int64[Tensor, "R 4"]


def instances_of(labels: Int64[Tensor, "H W"], background: int = 0, ignore_index: int = 255) -> Int64[Tensor, "H W"]:
    """0 for background and void, and 1, 2, … for the connected components of the other classes; corners do not connect.

    Numbered by class first, then from top to bottom.
    """
    values, found, count = labels.cpu().numpy(), np.zeros(tuple(labels.shape), np.int64), 0
    for value in np.unique(values):
        if value not in (background, ignore_index):
            components, number = ndimage.label(values == value)  # pyright: ignore[reportGeneralTypeIssues]
            found[components > 0] = components[components > 0] + count
            count += int(number)
    return torch.from_numpy(found).to(labels.device)


def tight_boxes(instances: Int64[Tensor, "H W"]) -> Boxes:
    """The box around each instance 1 … R.

    Raises ValueError for a number below the largest that no pixel has.
    """
    slices = ndimage.find_objects(instances.cpu().numpy())
    if None in slices:
        missing = slices.index(None) + 1
        raise ValueError(f"instances are numbered 1 to {len(slices)}, and no pixel has number {missing}: number them without gaps")
    boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in slices]
    return torch.tensor(boxes, dtype=torch.int64).view(-1, 4)


def enlarged(boxes: Boxes, factor: float = 1.2) -> Boxes:
    """Each box about its centre, `factor` times as wide and high: some context around the object (DeconvNet, section 6.1)."""
    if factor <= 0:
        raise ValueError(f"factor multiplies the box, so it must be above 0, got {factor}")
    wanted = torch.round((boxes[:, 2:] - boxes[:, :2]) * factor).long().clamp(min=1)
    start = torch.div(boxes[:, :2] + boxes[:, 2:] - wanted, 2, rounding_mode="floor")
    return torch.cat([start, start + wanted], 1)


def cropped(maps: Float[Tensor, "C H W"] | Int64[Tensor, "C H W"], box: Int64[Tensor, " 4"], fill: int | float = 0) -> Tensor:
    """(C, h, w): the window of the box, `fill` where it leaves the map. Raises ValueError for a box without a pixel."""
    left, top, right, bottom = box.tolist()
    if right <= left or bottom <= top:
        raise ValueError(f"the box {box.tolist()} holds no pixel: boxes are left, top, right, bottom, the last two exclusive")
    height, width = maps.shape[1:]
    window = maps.new_full((len(maps), bottom - top, right - left), fill)
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        window[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = maps[:, rows, columns]
    return window
