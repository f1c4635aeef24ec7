"""Widgets: each a pure function in Python that makes its data, and a small piece of JavaScript that shows it and answers at once."""

from importlib.util import find_spec

if not find_spec("anywidget"):
    raise ModuleNotFoundError("widgets need anywidget: pip install 'edu_seg[lab]'")

from edu_seg.widgets.aspp_lab import ASPPLab, ASPPSettings
from edu_seg.widgets.board_lab import BoardLab
from edu_seg.widgets.conv_lab import ConvLab, ConvSettings
from edu_seg.widgets.cost_lab import CostLab
from edu_seg.widgets.crf_lab import CRFLab
from edu_seg.widgets.crf_steps import CRFSettings, CRFSteps, crf_steps, draw_strokes
from edu_seg.widgets.decoder_lab import DecoderLab, DecoderStage, DecoderSteps, decoder_steps
from edu_seg.widgets.grid_lab import GridLab, GridSettings
from edu_seg.widgets.net_viewer import NetViewer
from edu_seg.widgets.rf_data import explorer_data
from edu_seg.widgets.rf_explorer import RFExplorer
from edu_seg.widgets.score_painter import ScorePainter
from edu_seg.widgets.stitch_lab import StitchLab, StitchSteps, stitch_steps

__all__ = [
    "ASPPLab",
    "ASPPSettings",
    "BoardLab",
    "CRFLab",
    "CRFSettings",
    "CRFSteps",
    "ConvLab",
    "ConvSettings",
    "CostLab",
    "DecoderLab",
    "DecoderStage",
    "DecoderSteps",
    "GridLab",
    "GridSettings",
    "NetViewer",
    "RFExplorer",
    "ScorePainter",
    "StitchLab",
    "StitchSteps",
    "crf_steps",
    "decoder_steps",
    "draw_strokes",
    "explorer_data",
    "stitch_steps",
]
