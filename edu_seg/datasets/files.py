"""Reading and writing images and label maps, with errors that name the file and say what to do.

Nothing is ever skipped, guessed or downloaded: a set that cannot be read whole is not read.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from numpy import ndarray
from PIL import Image, ImageFile, ImageOps
from torch import Tensor

IGNORE_INDEX = 255
VOID_COLOUR = (224, 224, 192)
"""The colour of void in VOC's annotations."""

StrPath = str | os.PathLike[str]
Number = float | int
"""The checker of the tests takes `float` at its word."""


def data_folder(root: StrPath | None, name: str, source: str) -> Path:
    """The folder of a data set: `root`, or the folder `name` inside the folder that EDU_SEG_DATA names.

    Raises FileNotFoundError where neither is a folder, with `source`, which says where the published set comes from.
    """
    if root is None and not os.environ.get("EDU_SEG_DATA"):
        raise FileNotFoundError(
            f"no root given and EDU_SEG_DATA is unset: pass root=, or set EDU_SEG_DATA to the folder that holds {name}. {source}"
        )
    folder = Path(root) if root is not None else Path(os.environ["EDU_SEG_DATA"]) / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. {source}")
    return folder


def read_lines(path: Path) -> list[str]:
    """The lines of a list file, stripped; blank lines at the end are dropped.

    Raises FileNotFoundError (naming the lists that are there), ValueError where the list is empty or has a blank line within.
    """
    if not path.is_file():
        there = sorted(p.name for p in path.parent.glob("*.txt")) if path.parent.is_dir() else []
        raise FileNotFoundError(f"{path}: no such list; lists in that folder: {', '.join(there) or 'none'}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").rstrip().split("\n")]
    if lines == [""]:
        raise ValueError(f"{path}: the list is empty; copy the published list again")
    if "" in lines:
        raise ValueError(f"{path}, line {lines.index('') + 1}: blank line within the list; remove it or fill in the missing entry")
    return lines


def require_files(paths: Sequence[Path], list_path: Path) -> None:
    """Raise FileNotFoundError for the first file of a list that is not there, with the number that are missing."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: listed in {list_path} but not there ({len(missing)} of {len(paths)} files missing); "
            "copy the missing files into place or correct the list"
        )


def _decode(path: Path, modes: tuple[str, ...] | None = None, *, upright: bool = False) -> Image.Image:
    """Decode the whole file, so that a truncated one is found here and not as a grey stripe in training."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError(f"{path}: PIL's LOAD_TRUNCATED_IMAGES is on, so a broken file would pass unseen; set it to False")
    try:
        with Image.open(path) as probe:
            probe.verify()  # checks the checksums of a PNG, which decoding alone does not do to the end
        with Image.open(path) as image:
            if modes is None or image.mode in modes:
                image.load()
            return ImageOps.exif_transpose(image) if upright else image
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; correct its name or copy it into place") from None
    except Image.DecompressionBombError as error:
        raise OSError(f"{path}: refused for its size ({str(error).rstrip('.')}); scale it down or cut it into pieces") from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL's ways of saying that a file is broken
        raise OSError(f"{path}: truncated or not an image ({error}); copy the file again from where it came") from error


def read_image(path: StrPath, *, upright: bool = False) -> UInt8[ndarray, "H W 3"]:
    """A photograph as RGB; upright: turned as its camera says that it is to be shown.

    Raises OSError naming a file that is missing, truncated, foreign or enormous, ValueError for one of more than 8 bits a channel.
    """
    image = _decode(Path(path), upright=upright)
    if image.mode.startswith(("I", "F")):  # PIL would make white of all above 255
        raise ValueError(f"{path}: mode {image.mode}, more than 8 bits a channel: save it as 8-bit RGB or greyscale first")
    return np.array(image.convert("RGB"))  # a copy: torch warns of what it cannot write to


def read_labels(path: StrPath) -> UInt8[ndarray, "H W"]:
    """An annotation: the indices of a palette PNG or an 8-bit index PNG, never its colours.

    Raises OSError for a broken file and ValueError for an image of colours, where the indices cannot be known.
    """
    image = _decode(Path(path), modes=("P", "L"))
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{path}: mode {image.mode}, but labels are class indices: a palette PNG (P) or an 8-bit index PNG (L) is due; "
            "use the published annotation, or map each colour to its index and save with write_palette_png"
        )
    return np.array(image)


def check_values(labels: Integer[ndarray, "H W"], num_classes: int, path: StrPath, extra: tuple[int, ...] = ()) -> None:
    """Raise ValueError where labels hold a value that is neither a class, nor 255 (void), nor in `extra`."""
    # Counting bytes is ten times as fast as sorting them.
    values = np.flatnonzero(np.bincount(labels.ravel())) if labels.dtype == np.uint8 else np.unique(labels)
    foreign = [int(v) for v in values if not 0 <= v < num_classes and v != IGNORE_INDEX and v not in extra]
    if foreign:
        at = labels == foreign[0]
        row, column = np.argwhere(at)[0]
        raise ValueError(
            f"{path}: label values {foreign} are outside the classes 0..{num_classes - 1} and not void (255): {foreign[0]} first at row "
            f"{row}, column {column}, {at.sum()} pixels in all; check that the annotation belongs to this set, or give the right number "
            "of classes"
        )


def check_same_size(image: UInt8[ndarray, "H W 3"], labels: ndarray, image_path: StrPath, labels_path: StrPath) -> None:
    """Raise ValueError where image and labels differ in size, naming both files and both sizes (height × width)."""
    if image.shape[:2] != labels.shape:
        (h, w), (lh, lw) = image.shape[:2], labels.shape
        raise ValueError(
            f"{labels_path}: labels of {lh} × {lw} pixels for the image {image_path} of {h} × {w}; "
            "they must have the same size: replace the file that is not the published one"
        )


def _full_palette(palette: UInt8[ndarray, "K 3"]) -> UInt8[ndarray, "256 3"]:
    full = np.zeros((256, 3), np.uint8)
    full[IGNORE_INDEX] = VOID_COLOUR
    full[: len(palette)] = palette
    return full


def write_palette_png(path: StrPath, labels: Integer[ndarray, "H W"], palette: UInt8[ndarray, "K 3"]) -> None:
    """Write labels as VOC does: a PNG of indices with a colour table; 255 (void) gets VOC's cream.

    Raises ValueError for a value without a colour. The folder must exist.
    """
    check_values(labels, len(palette), path)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(_full_palette(palette).tobytes())
    image.save(path, format="PNG", optimize=True)


def overlay(
    image: UInt8[ndarray, "H W 3"], labels: Integer[ndarray, "h w"], palette: UInt8[ndarray, "K 3"], alpha: Number = 0.5
) -> UInt8[ndarray, "H W 3"]:
    """The image with each pixel tinted by its class: (1 - alpha) · image + alpha · colour. Void pixels stay as they are.

    Raises ValueError for alpha outside 0..1, a size mismatch, or a value without a colour.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha = {alpha}: must lie in 0..1")
    check_same_size(image, labels, "image", "labels")
    check_values(labels, len(palette), "labels")
    tinted = (1 - alpha) * image + alpha * _full_palette(palette)[labels]
    return np.where((labels == IGNORE_INDEX)[..., None], image, np.rint(tinted).astype(np.uint8))


def as_example(
    image: UInt8[ndarray, "H W 3"], labels: UInt8[ndarray, "H W"], transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None
) -> tuple[Float[Tensor, "3 h w"], Int64[Tensor, "h w"]]:
    """What every data set gives: the image in 0..1 and the labels, transformed together."""
    pair = torch.from_numpy(image).permute(2, 0, 1) / 255, torch.from_numpy(labels).long()
    return transform(*pair) if transform else pair


def nearest_pixels(old: int, new: int) -> Int64[ndarray, " n"]:
    """For each of `new` pixels along an axis, which of the `old` ones holds its centre, (i + 1/2) · old / new.

    In whole numbers, so that nothing is rounded; a centre on the border of two pixels takes the later.
    """
    return (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)


def resize_pair(
    image: UInt8[ndarray, "H W 3"], labels: UInt8[ndarray, "H W"], size: tuple[int, int]
) -> tuple[UInt8[ndarray, "h w 3"], UInt8[ndarray, "h w"]]:
    """Both to `size` (height, width): the image by antialiased bilinear, the labels by the nearest pixel centre."""
    small = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)  # PIL counts width first
    rows, cols = (nearest_pixels(old, new) for old, new in zip(labels.shape, size, strict=True))
    return np.array(small), labels[np.ix_(rows, cols)]
