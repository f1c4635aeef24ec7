"""Pictures of the course: pure functions to matplotlib figures, and `show`, which puts one into a notebook with its alternative text."""

from importlib.util import find_spec

if not find_spec("IPython"):
    raise ModuleNotFoundError("figures are shown by IPython: pip install 'edu_seg[lab]'")

from edu_seg.figures.backbones import accuracy_cost, deletions, layer_costs, path_lengths, reuse_map, wirings
from edu_seg.figures.base import HATCHES, as_picture, img_tag, new_figure, png, show, shrink
from edu_seg.figures.boards import ORDERS, Board, board_bars, class_gaps, class_heat, leaderboards, waterfall
from edu_seg.figures.charts import bars, heat, lines
from edu_seg.figures.context import (
    bin_grids,
    bin_rows,
    close_lines,
    gains,
    map_taps,
    parallel_branches,
    rate_curves,
    seed_dots,
    valid_curves,
)
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
from edu_seg.figures.training import machine_hours, memory_curves, rate_schedules
from edu_seg.figures.upsampling import grids, skips_diagram, tents

__all__ = [
    "HATCHES",
    "ORDERS",
    "Board",
    "accuracy_cost",
    "arithmetic",
    "as_picture",
    "band_curves",
    "bars",
    "bin_grids",
    "bin_rows",
    "board_bars",
    "boxed",
    "class_gaps",
    "class_heat",
    "class_legend",
    "class_maps",
    "close_lines",
    "confusion",
    "decoder_strip",
    "deletions",
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
    "layer_costs",
    "leaderboards",
    "level_rows",
    "lines",
    "listed_states",
    "lit_fields",
    "machine_hours",
    "map_taps",
    "matrices",
    "memory_curves",
    "new_figure",
    "numbered",
    "objects",
    "outlined",
    "overlaps",
    "parallel_branches",
    "passes_filled",
    "path_lengths",
    "path_rows",
    "patterned",
    "pictures",
    "pixel_maps",
    "png",
    "rate_curves",
    "rate_schedules",
    "responses",
    "reuse_map",
    "seed_dots",
    "show",
    "shrink",
    "skips_diagram",
    "stitched_row",
    "taps",
    "tents",
    "tiles",
    "unrolled",
    "valid_curves",
    "waterfall",
    "ways_back",
    "weight_map",
    "windows",
    "wirings",
]
