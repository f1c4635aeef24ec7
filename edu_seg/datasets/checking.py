"""Whether a folder holds the set that it should: counts, sizes, label values, damaged files. The command `data` prints it."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from edu_seg.datasets.fetching import Progress, fetch
from edu_seg.datasets.files import IGNORE_INDEX, StrPath, data_folder, read_labels
from edu_seg.datasets.published import SETS, OnDisk, SetInfo, get_set
from edu_seg.datasets.unpacking import unpack
from edu_seg.datasets.voc import VOCSegmentation

UNSEEN_NAMED = 5
"""Up to so many classes that no pixel of the sample has are named."""


@dataclass
class SplitReport:
    """What was found in a list. due: the published number of images, None for one's own data. sizes: (height, width) -> images of
    the sample. pixels: class index -> pixels of the sample."""

    split: str
    due: int | None
    count: int = 0
    read: int = 0
    images: frozenset[Path] = frozenset()
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)

    def row(self, num_classes: int) -> tuple[str, ...]:
        """Cells for the table of `FolderReport.to_text`."""
        void = self.pixels[IGNORE_INDEX] / max(1, self.pixels.total())
        seen = sum(label != IGNORE_INDEX for label in self.pixels)
        due = "" if self.due is None else str(self.due)
        return self.split, str(self.count), due, str(self.read), _size_range(self.sizes), f"{seen} of {num_classes}", f"{void:.1%}"


@dataclass
class FolderReport:
    """What `check_folder` found; `problems` is empty where nothing is wrong."""

    info: SetInfo
    root: Path
    classes: tuple[str, ...] = ()
    splits: list[SplitReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_text(self) -> str:
        """A table of the lists, then notes and problems, a line each."""
        heads = ("list", "images", "due", "read", "sizes (height × width)", "classes seen", "void")
        rows = [heads, *(split.row(len(self.classes)) for split in self.splits if split.count)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        marked = [f"note: {note}" for note in self.notes] + [f"problem: {problem}" for problem in self.problems]
        return "\n".join([f"{self.info.title}, in {self.root}", *table, *marked, *([] if self.problems else ["no problem found"])])


def check_folder(name: str, root: StrPath, sample: int = 20, sbd_root: StrPath | None = None) -> FolderReport:
    """Check that `root` holds the set `name` of `published.SETS`, or for "folder" that one's own data can be used.

    The lists and their files are checked whole; of each list `sample` pairs, evenly spread, are decoded. What is wrong is gathered
    in the report. sbd_root: SBD's folder, to check VOC's training list together with it as well. Raises ValueError for an unknown name,
    sample < 1 or a set that SBD does not add to, FileNotFoundError where there is no such folder.
    """
    if sample < 1:
        raise ValueError(f"sample = {sample}: give the number of images to decode of each list, 1 or more")
    info = get_set(name)
    if sbd_root is not None and info.with_sbd is None:
        raise ValueError(f"SBD's folder {sbd_root}: SBD adds to voc, not to {name}")
    report = FolderReport(info, data_folder(root, info.folder, f"Home page: {info.home}."))
    for split, due in (info.counts or {"train": None, "val": None}).items():
        _check_split(report, SplitReport(split, due), sample, required=True)
    _check_overlap(report)
    for split, due in info.optional.items():
        _check_split(report, SplitReport(split, due), sample, required=False)
    if sbd_root is not None:
        _check_split(report, SplitReport("train_aug", info.with_sbd), sample, required=True, sbd_root=sbd_root)
    _check_digests(report)
    _note_unseen(report)
    return report


def _check_split(report: FolderReport, found: SplitReport, sample: int, required: bool, sbd_root: StrPath | None = None) -> None:
    try:
        dataset = VOCSegmentation(report.root, found.split, sbd_root) if sbd_root else report.info.load(report.root, found.split)
    except (OSError, ValueError) as error:
        (report.problems if required else report.notes).append(f"{found.split}: {error}")
        return
    report.classes, found.count = tuple(dataset.classes), len(dataset)
    found.images = frozenset(image for image, _ in dataset.pairs)
    report.splits.append(found)
    if found.due is not None and found.count != found.due:
        report.problems.append(f"{found.split}: {found.count} images where the published list has {found.due}")
    for index in sorted(set(np.linspace(0, found.count - 1, min(sample, found.count)).round().astype(int).tolist())):
        _read_pair(report, found, dataset, index)


def _check_overlap(report: FolderReport) -> None:
    """A score on images that were trained on says nothing."""
    for one, other in combinations(report.splits, 2):
        both = sorted(one.images & other.images)
        if both:
            report.problems.append(f"{both[0]}: in {one.split} and in {other.split}, as are {len(both)} images in all")


def _read_pair(report: FolderReport, found: SplitReport, dataset: OnDisk, index: int) -> None:
    try:
        labels = dataset.arrays(index)[1]
    except (OSError, ValueError) as error:
        report.problems.append(str(error))
        return
    height, width = labels.shape
    found.read += 1
    found.sizes[height, width] += 1
    found.pixels.update(dict(enumerate(np.bincount(labels.ravel()).tolist())))
    found.pixels = +found.pixels  # without the zeros
    if report.info.size not in (None, (height, width)):
        due = "{} × {}".format(*report.info.size)
        report.problems.append(f"{dataset.pairs[index][0]}: {height} × {width} pixels; the published images have {due}")


def _check_digests(report: FolderReport) -> None:
    """Labels decoded and not the file's bytes: a PNG may be packed anew without a change to what it says."""
    due = report.info.label_digests
    there = [name for name in due if (report.root / name).is_file()]
    for name in there:
        try:
            found = hashlib.sha256(read_labels(report.root / name).tobytes()).hexdigest()
        except (OSError, ValueError) as error:
            report.problems.append(str(error))
            continue
        if found != due[name]:
            report.problems.append(f"{report.root / name}: its labels are not the published ones (SHA-256 {found}, not {due[name]})")
    if there:
        report.notes.append(f"SHA-256 of the labels of {len(there)} named files compared with the published set's")


def _note_unseen(report: FolderReport) -> None:
    seen = {label for split in report.splits for label in split.pixels}
    unseen = [name for index, name in enumerate(report.classes) if index not in seen]
    if report.splits and unseen:
        named = ", ".join(unseen[:UNSEEN_NAMED]) + (f" and {len(unseen) - UNSEEN_NAMED} more" if len(unseen) > UNSEEN_NAMED else "")
        report.notes.append(f"no pixel of the sample has the class {named}")


def _size_range(sizes: Counter[tuple[int, int]]) -> str:
    if len(sizes) < 2:
        return "".join(f"{height} × {width}" for height, width in sizes)
    heights, widths = zip(*sizes, strict=True)
    return f"{min(heights)}–{max(heights)} × {min(widths)}–{max(widths)}"


def describe(info: SetInfo) -> str:
    """Where a set comes from, its terms, and how it has to lie in its folder."""
    counts = ", ".join(f"{split} {count:,}" for split, count in {**info.counts, **info.optional}.items())
    rows = {
        "from": info.home,
        "terms": info.licence,
        "layout": info.layout,
        "labels": info.labels,
        "images": ", ".join(part for part in (counts, info.sizes) if part),
        "usual place": f"EDU_SEG_DATA/{info.folder}" if info.folder else "any folder",
        "download": "by --download" if info.archive else "not from here",
    }
    return "\n".join([info.title, *(f"  {head + ':':<13}{text}" for head, text in rows.items())])


def overview() -> str:
    """A line for each set."""
    return "\n".join(f"{name:<11} {info.title}" for name, info in SETS.items())


def usual_root(info: SetInfo) -> Path | None:
    """The set's usual folder below EDU_SEG_DATA, whether or not it is there; None where that is unset, and for one's own data."""
    parent = os.environ.get("EDU_SEG_DATA")
    return Path(parent) / info.folder if parent and info.folder else None


def is_missing(info: SetInfo, root: Path) -> bool:
    """Whether one of the lists that are needed, or a file of it, is not there; what is damaged `check_folder` finds."""
    try:
        return any(len(info.load(root, split)) != count for split, count in info.counts.items())
    except (OSError, ValueError):
        return True


def download(info: SetInfo, root: Path, tell: Callable[[str], None] = print, progress: Progress = lambda done, total: None) -> None:
    """Fetch the set's archive into `root` and unpack it there; the archive is then removed. A second call goes on with the first's.

    Raises ValueError for a set that has to be fetched by hand, OSError as `fetch` and `unpack` do.
    """
    if info.archive is None:
        raise ValueError(f"{info.title}: cannot be downloaded from here; get it from {info.home} and lay it out as said above")
    root.mkdir(parents=True, exist_ok=True)
    target = root / info.archive.url.rpartition("/")[2]
    fetch(info.archive.url, target, info.archive.digest, tell=tell, progress=progress)
    count = unpack(target, root, info.archive.prefix)
    target.unlink()
    tell(f"{root}: {count} files unpacked")
