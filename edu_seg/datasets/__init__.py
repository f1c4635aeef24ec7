"""Data sets of (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void). `transforms` is imported by name."""

from edu_seg.datasets.ade20k import ADE20K
from edu_seg.datasets.camvid import CamVid
from edu_seg.datasets.cityscapes import Cityscapes
from edu_seg.datasets.folder import MaskFolder
from edu_seg.datasets.sbd import SBD
from edu_seg.datasets.shapes import Shapes
from edu_seg.datasets.voc import VOCSegmentation

__all__ = ["ADE20K", "SBD", "CamVid", "Cityscapes", "MaskFolder", "Shapes", "VOCSegmentation"]
