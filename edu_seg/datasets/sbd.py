"""SBD by itself (Hariharan et al. 2011): what the FCN paper's heavy learning trains on. `VOCSegmentation` adds it to VOC instead."""

from jaxtyping import UInt8
from numpy import ndarray

from edu_seg.datasets.files import StrPath, data_folder, read_lines, require_files
from edu_seg.datasets.pairs import PairedFiles, Transform
from edu_seg.datasets.voc import SBD_SOURCE, VOC_CLASSES, read_voc_labels, voc_palette


class SBD(PairedFiles):
    """The images of SBD's own lists; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W)). The 21 classes are VOC's.

    root: SBD's folder dataset (img/*.jpg, cls/*.mat, train.txt, val.txt) or the one that holds it; None: the folder
        benchmark_RELEASE in the one that the environment variable EDU_SEG_DATA names.
    split: the name of a list. size, transform, cache: as of `CamVid`.

    Its lists overlap VOC's: for scores on VOC's validation images take `VOCSegmentation`. Raises as that does.
    """

    classes: tuple[str, ...] = VOC_CLASSES
    palette: UInt8[ndarray, "K 3"] = voc_palette(len(VOC_CLASSES))
    num_classes: int = len(VOC_CLASSES)

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        cache: bool = False,
    ) -> None:
        folder = data_folder(root, "benchmark_RELEASE", SBD_SOURCE)
        self.root, self.split = folder / "dataset" if (folder / "dataset").is_dir() else folder, split
        list_path = self.root / f"{split}.txt"
        names = read_lines(list_path)
        pairs = [(self.root / "img" / f"{name}.jpg", self.root / "cls" / f"{name}.mat") for name in names]
        require_files([path for pair in pairs for path in pair], list_path)
        super().__init__(pairs, read_voc_labels, size, transform, cache=cache)
