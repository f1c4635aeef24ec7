"""Data sets of (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void). `transforms` is imported by name."""

from edu_seg.datasets.camvid import CamVid
from edu_seg.datasets.shapes import Shapes
from edu_seg.datasets.voc import VOCSegmentation

__all__ = ["CamVid", "Shapes", "VOCSegmentation"]
