"""One's own data: a folder with images/, masks/ and a table of classes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from edu_seg.datasets.class_table import ClassTable, read_class_table
from edu_seg.datasets.files import Number, StrPath, data_folder, read_image, read_lines
from edu_seg.datasets.pairs import PairedFiles, Pairs, Transform, files_by_stem, matched

IMAGES, MASKS = "images", "masks"
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp")
IMAGE_SUFFIXES = MASK_SUFFIXES + LOSSY_SUFFIXES
SOURCE = f"Your own data are a folder that holds {IMAGES}, {MASKS} (the same names, .png) and classes.txt."
LISTS = ("train", "val")
ORIENTATION = 0x0112


class MaskFolder(PairedFiles):
    """Images and masks of one's own; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    root: the folder that holds images/NAME.jpg (or .png, .bmp, .tif, .webp), masks/NAME.png (or .bmp, .tif) and classes.txt (or
        classes.toml: see `read_class_table`). Masks hold class indices, or colours where the table gives each class one.
    split: "train", "val", or the name of a list SPLIT.txt in the folder, one image name a line. Where there is neither train.txt
        nor val.txt, a share of the images is set apart for validation: by a hash of their names, so the same on every machine.
    validation: that share, at least one image.
    size, transform, cache: as of `CamVid`.

    Without lists every image must have a mask and the other way round; with them, those that are listed. A file is decoded, and its
    values checked, on access. Raises FileNotFoundError, OSError or ValueError naming the file and what to do.
    """

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        validation: Number = 0.2,
        cache: bool = False,
    ) -> None:
        if not 0 < validation < 1:
            raise ValueError(f"validation = {validation}: give the share of images, between 0 and 1")
        if root is None:
            raise FileNotFoundError(f"no folder given (root=, on the command line --data or --root). {SOURCE}")
        self.root, self.split = data_folder(root, "", SOURCE), split
        self.table: ClassTable = read_class_table(self.root)
        self.classes, self.num_classes, self.palette = self.table.names, len(self.table.names), self.table.palette()
        pairs = _pairs(self.root, split, validation)
        super().__init__(pairs, self.table.read_mask, size, transform, cache=cache, read_image=read_upright)


def _pairs(root: Path, split: str, validation: Number) -> Pairs:
    images = files_by_stem(root / IMAGES, IMAGE_SUFFIXES, SOURCE)
    if not images:
        raise FileNotFoundError(f"{root / IMAGES}: no images in it; there should be files that end in {', '.join(IMAGE_SUFFIXES)}")
    masks = files_by_stem(root / MASKS, IMAGE_SUFFIXES, SOURCE)
    lossy = [path for path in masks.values() if path.suffix.lower() in LOSSY_SUFFIXES]
    if lossy:
        raise ValueError(f"{lossy[0]}: a mask must not be JPEG or WebP, which mix neighbouring colours: save the {len(lossy)} as PNG anew")
    if _has_lists(root) or split not in LISTS:
        names = _listed(root / f"{split}.txt", images)
        images = {name: images[name] for name in names}
        masks = {name: path for name, path in masks.items() if name in images}
        return matched(images, masks, root / IMAGES, root / MASKS)
    chosen = _share(sorted(images), split, validation)
    return [pair for pair in matched(images, masks, root / IMAGES, root / MASKS) if pair[0].stem in chosen]


def _has_lists(root: Path) -> bool:
    return any((root / f"{name}.txt").is_file() for name in LISTS)


def _listed(list_path: Path, images: Mapping[str, Path]) -> list[str]:
    """The stems that a list names, with or without suffix."""
    names = []
    for number, line in enumerate(read_lines(list_path), 1):
        name = line if line in images else Path(line).stem
        if name not in images:
            raise FileNotFoundError(f"{list_path}, line {number}: no image {line!r} in {IMAGES}; correct the list or add the image")
        if name in names:
            raise ValueError(f"{list_path}, line {number}: {line!r} is listed twice; remove one")
        names.append(name)
    return names


def _share(stems: list[str], split: str, validation: Number) -> set[str]:
    """The stems of a split: those whose hashes are smallest are for validation."""
    if len(stems) < 2:
        raise ValueError(f"{len(stems)} image: one to train on and one for validation are needed; or write train.txt and val.txt")
    ranked = sorted(stems, key=lambda stem: hashlib.sha256(stem.encode()).digest())
    count = min(max(1, round(len(stems) * validation)), len(stems) - 1)
    return set(ranked[:count] if split == "val" else ranked[count:])


def read_upright(path: Path) -> UInt8[ndarray, "H W 3"]:
    """A photograph as RGB; ValueError for one that its camera marked as turned, since its mask may have been drawn either way."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) != 1
    except (OSError, SyntaxError, Image.DecompressionBombError):
        turned = False  # what is wrong with it, read_image says
    if turned:
        raise ValueError(
            f"{path}: its EXIF orientation says that it is to be shown turned or mirrored, and its mask may be drawn either way: "
            "save it upright, without that mark, and see that the mask matches"
        )
    return read_image(path)
