"""The picture of an epoch: a few fixed validation images, their labels and what the model predicts, one row each."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor, nn

from edu_seg.datasets.files import VOID_COLOUR

GAP = 4
"""White pixels between tiles."""

Display = Callable[[Tensor], Tensor]


def to_bytes_image(image: Float[Tensor, "3 H W"]) -> UInt8[ndarray, "H W 3"]:
    """An image in 0..1 as eight-bit RGB; what lies outside is cut off."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def colours(labels: Int[ndarray, "H W"], palette: UInt8[ndarray, "K 3"]) -> UInt8[ndarray, "H W 3"]:
    """Each class in its colour; whatever is no class (void) in VOC's cream."""
    table = np.vstack([palette, np.array([VOID_COLOUR], np.uint8)])
    known = (labels >= 0) & (labels < len(palette))
    return table[np.where(known, labels, len(palette))]


def tile(rows: list[list[UInt8[ndarray, "_H _W 3"]]]) -> Image.Image:
    """Rows of pictures on white, each row as high and the sheet as wide as its largest."""
    heights = [max(tile.shape[0] for tile in row) for row in rows]
    widths = [sum(tile.shape[1] + GAP for tile in row) - GAP for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights) + GAP * (len(rows) - 1)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture in row:
            sheet.paste(Image.fromarray(picture), (left, top))
            left += picture.shape[1] + GAP
        top += height + GAP
    return sheet


def spread(count: int, size: int) -> list[int]:
    """`count` indices, or as many as there are, spread evenly over 0..size-1."""
    count = min(count, size)
    return [int((k + 0.5) * size / count) for k in range(count)]


def predictions_png(model: nn.Module, samples: Sequence[tuple[Tensor, ...]], palette: UInt8[ndarray, "K 3"], display: Display) -> bytes:
    """A PNG with a row image | labels | prediction for each sample. `display` turns a model's input back into an image in 0..1."""
    device = next(model.parameters()).device
    model.eval()
    rows = []
    for image, labels in samples:
        with torch.inference_mode():
            preds = model(image[None].to(device)).argmax(1)[0].cpu().numpy()
        rows.append([to_bytes_image(display(image)), colours(labels.numpy(), palette), colours(preds, palette)])
    buffer = io.BytesIO()
    tile(rows).save(buffer, format="PNG")
    return buffer.getvalue()
