"""Pictures of the course: pure functions to matplotlib figures, and `show`, which puts one into a notebook with its alternative text."""

from edu_seg.figures.base import HATCHES, as_picture, img_tag, new_figure, png, show, shrink
from edu_seg.figures.charts import bars, heat, lines
from edu_seg.figures.context import bin_grids, bin_rows, gains, map_taps, parallel_branches, rate_curves, valid_curves
from edu_seg.figures.convolutions import arithmetic, laid_down, matrices, overlaps, windows
from edu_seg.figures.crf import (
    band_curves,
    film_strip,
    graphical_models,
    grid_scores,
    kernel_maps,
    lattice_plane,
    listed_states,
    outlined,
    unrolled,
)
from edu_seg.figures.decoders import boxed, decoder_strip, tiles, ways_back, weight_map
from edu_seg.figures.dense import class_maps, folded, kernel_cells, passes_filled, stitched_row
from edu_seg.figures.dilation import level_rows, path_rows, responses
from edu_seg.figures.fields import lit_fields, pixel_maps, taps
from edu_seg.figures.labels import class_legend, confusion, four_tasks, numbered, objects, patterned, pictures
from edu_seg.figures.upsampling import grids, skips_diagram, tents

__all__ = [
    "HATCHES",
    "arithmetic",
    "as_picture",
    "band_curves",
    "bars",
    "bin_grids",
    "bin_rows",
    "boxed",
    "class_legend",
    "class_maps",
    "confusion",
    "decoder_strip",
    "film_strip",
    "folded",
    "four_tasks",
    "gains",
    "graphical_models",
    "grid_scores",
    "grids",
    "heat",
    "img_tag",
    "kernel_cells",
    "kernel_maps",
    "laid_down",
    "lattice_plane",
    "level_rows",
    "lines",
    "listed_states",
    "lit_fields",
    "map_taps",
    "matrices",
    "new_figure",
    "numbered",
    "objects",
    "outlined",
    "overlaps",
    "parallel_branches",
    "passes_filled",
    "path_rows",
    "patterned",
    "pictures",
    "pixel_maps",
    "png",
    "rate_curves",
    "responses",
    "show",
    "shrink",
    "skips_diagram",
    "stitched_row",
    "taps",
    "tents",
    "tiles",
    "unrolled",
    "valid_curves",
    "ways_back",
    "weight_map",
    "windows",
]
