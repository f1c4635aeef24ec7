"""Pictures of the course: pure functions to matplotlib figures, and `show`, which puts one into a notebook with its alternative text."""

from edu_seg.figures.base import HATCHES, as_picture, img_tag, new_figure, png, show, shrink
from edu_seg.figures.charts import bars, heat, lines
from edu_seg.figures.convolutions import arithmetic, laid_down, matrices, overlaps, windows
from edu_seg.figures.dense import class_maps, folded, kernel_cells, passes_filled, stitched_row
from edu_seg.figures.fields import lit_fields, pixel_maps, taps
from edu_seg.figures.labels import class_legend, confusion, four_tasks, numbered, objects, patterned, pictures
from edu_seg.figures.upsampling import grids, skips_diagram, tents

__all__ = [
    "HATCHES",
    "arithmetic",
    "as_picture",
    "bars",
    "class_legend",
    "class_maps",
    "confusion",
    "folded",
    "four_tasks",
    "grids",
    "heat",
    "img_tag",
    "kernel_cells",
    "laid_down",
    "lines",
    "lit_fields",
    "matrices",
    "new_figure",
    "numbered",
    "objects",
    "overlaps",
    "passes_filled",
    "patterned",
    "pictures",
    "pixel_maps",
    "png",
    "show",
    "shrink",
    "skips_diagram",
    "stitched_row",
    "taps",
    "tents",
    "windows",
]
