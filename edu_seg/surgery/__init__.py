"""From a classifier to a dense network, by exact steps: each function returns a copy and leaves the built model as it is."""

from edu_seg.surgery.heads import convolutionalise
from edu_seg.surgery.pools import DilatedAvgPool2d
from edu_seg.surgery.stitching import shift_and_stitch, shifted_copies, stitched
from edu_seg.surgery.strides import Convention, remove_stride, zero_inserted
from edu_seg.surgery.tracing import CannotConvert

__all__ = [
    "CannotConvert",
    "Convention",
    "DilatedAvgPool2d",
    "convolutionalise",
    "remove_stride",
    "shift_and_stitch",
    "shifted_copies",
    "stitched",
    "zero_inserted",
]
