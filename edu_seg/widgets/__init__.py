"""Widgets: each a pure function in Python that makes its data, and a small piece of JavaScript that shows it and answers at once."""

from edu_seg.widgets.conv_lab import ConvLab, ConvSettings
from edu_seg.widgets.net_viewer import NetViewer
from edu_seg.widgets.rf_data import explorer_data
from edu_seg.widgets.rf_explorer import RFExplorer
from edu_seg.widgets.score_painter import ScorePainter
from edu_seg.widgets.stitch_lab import StitchLab, StitchSteps, stitch_steps

__all__ = [
    "ConvLab",
    "ConvSettings",
    "NetViewer",
    "RFExplorer",
    "ScorePainter",
    "StitchLab",
    "StitchSteps",
    "explorer_data",
    "stitch_steps",
]
