"""What data sets of two files an example share: finding the pairs, decoding, resizing and keeping them."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor
from torch.utils.data import Dataset

from edu_seg.datasets.files import IGNORE_INDEX, as_example, check_same_size, read_image, resize_pair

Pairs = list[tuple[Path, Path]]
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
NAMED_IN_ERRORS = 5
"""Missing files that an error lists; of the rest it gives the number."""


class PairedFiles(Dataset[tuple[Tensor, Tensor]]):
    """Item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void) of the files `pairs[i]`.

    read_labels: path -> class indices, checked, with 255 for void; errors name the file. read_image: path -> RGB.
    size, transform, cache: as of `CamVid`.
    """

    classes: tuple[str, ...]
    palette: UInt8[ndarray, "K 3"]
    num_classes: int
    ignore_index: int = IGNORE_INDEX

    def __init__(
        self,
        pairs: Pairs,
        read_labels: Callable[[Path], ndarray],
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        cache: bool = False,
        read_image: Callable[[Path], ndarray] = read_image,
    ) -> None:
        if size is not None and min(size) < 1:
            raise ValueError(f"size = {size}: give (height, width) of at least 1 pixel each")
        self.pairs, self.size, self.transform = pairs, size, transform
        self._read_image, self._read_labels = read_image, read_labels
        self._cache = [self._load(*pair) for pair in pairs] if cache else None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 H W"], Int64[Tensor, "H W"]]:
        return as_example(*self.arrays(index), self.transform)

    def arrays(self, index: int) -> tuple[UInt8[ndarray, "H W 3"], UInt8[ndarray, "H W"]]:
        """Item `index` as 8-bit arrays, untransformed. With a cache do not write into them."""
        return self._load(*self.pairs[index]) if self._cache is None else self._cache[index]

    def _load(self, image_path: Path, labels_path: Path) -> tuple[ndarray, ndarray]:
        image, labels = self._read_image(image_path), self._read_labels(labels_path)
        check_same_size(image, labels, image_path, labels_path)
        return resize_pair(image, labels, self.size) if self.size else (image, labels)


def files_by_stem(folder: Path, suffixes: Iterable[str], source: str) -> dict[str, Path]:
    """The files of a folder with one of the suffixes (".png"; capitals pass too), by name without suffix; hidden ones are left out.

    Raises FileNotFoundError (with `source`: where the files should come from) where there is no such folder, ValueError for
    two files of one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. {source}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(f"{found[path.stem]} and {path.name} have one name: which belongs to {path.stem!r}? Rename or remove one")
            found[path.stem] = path
    return found


def matched(images: Mapping[str, Path], labels: Mapping[str, Path], image_place: Path, labels_place: Path) -> Pairs:
    """The pairs of files that have the same key, in the order of the keys.

    Raises FileNotFoundError where there are none, or for an image without labels or labels without an image: the first few are named.
    """
    if not images and not labels:
        raise FileNotFoundError(f"{image_place}: no images in it, nor labels in {labels_place}; copy the set into place")
    _require_partners(images, labels, "labels", labels_place)
    _require_partners(labels, images, "image", image_place)
    return [(images[key], labels[key]) for key in sorted(images)]


def _require_partners(files: Mapping[str, Path], partners: Mapping[str, Path], what: str, place: Path) -> None:
    alone = [str(files[key]) for key in sorted(files.keys() - partners.keys())]
    if alone:
        more = f" and {len(alone) - NAMED_IN_ERRORS} more" if len(alone) > NAMED_IN_ERRORS else ""
        raise FileNotFoundError(
            f"{', '.join(alone[:NAMED_IN_ERRORS])}{more}: no {what} of that name in {place} ({len(alone)} of {len(files)} files); "
            "copy the missing files into place, or move these away"
        )
