"""figures: one HTML output with alternative text, the same bytes every time, and pictures that hold what they are given."""

import base64
import io
import re
from fractions import Fraction
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Annotation
from PIL import Image

from edu_seg import figures
from edu_seg.costs import LayerCost, NetworkCost
from edu_seg.figures.boards import Row
from edu_seg.figures.numbers import fold
from edu_seg.geometry import PIXELS, Grid

PALETTE = np.array([(60, 60, 60), (230, 159, 0), (86, 180, 233)], np.uint8)
NAMES = ("ground", "disc", "square")
LABELS = torch.tensor([[0, 1, 1], [0, 2, 255]])
ALT = "Two bars, the left twice as high as the right."


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(24, 24, dtype=torch.int64)
    labels[3:9, 3:9], labels[12:20, 10:22], labels[0, 0] = 1, 2, 255
    return torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0)), labels


FIGURES = {
    "map_taps": lambda: figures.map_taps(9, {"a": (2, (4, 4)), "b": (5, (4, 4))}),
    "valid_curves": lambda: figures.valid_curves({9: [0.5, 0.2], 1: [0.0, 0.3]}, [1, 2]),
    "parallel_branches": lambda: figures.parallel_branches(["1 × 1", "image pooling"], "map", "stacked", "1 × 1"),
    "bin_grids": lambda: figures.bin_grids(scene()[0], {"2": [(0, 12), (12, 24)], "short": [(0, 20)]}),
    "bin_rows": lambda: figures.bin_rows({"rule": [(0, 2), (2, 4)]}, 5),
    "rate_curves": lambda: figures.rate_curves({"small": [0.3, 0.1], "large": [0.1, 0.4]}, [1, 4], "IU", {"small": 0.3, "large": 0.4}),
    "close_lines": lambda: figures.close_lines({"(1, 1, 1)": [68.0, 73.0], "(1, 2, 1)": [70.0, 76.0]}, ["block4", "block5"], "IU"),
    "seed_dots": lambda: figures.seed_dots({"none": [0.2, 0.3], "one bin": [0.7, 0.8]}, "IU"),
    "gains": lambda: figures.gains({"baseline": (37.0, 78.0), "pyramid": (41.0, 80.0)}, "IU / accuracy"),
    "pictures": lambda: figures.pictures([[figures.patterned(LABELS, PALETTE)] * 2] * 2, ["a", "b"], ["x", "y"]),
    "numbered": lambda: figures.numbered({"labels": LABELS, "preds": LABELS.clone()}, PALETTE),
    "four_tasks": lambda: figures.four_tasks(*scene(), NAMES, PALETTE),
    "bars": lambda: figures.bars({"32s": [0.2, 0.4], "8s": [0.3, 0.6]}, ["mean IU", "band"], "score"),
    "confusion": lambda: figures.confusion(torch.tensor([[1200, 3], [0, 0]]), ["sky", "road"]),
    "heat": lambda: figures.heat({"4": torch.rand(4, 4, generator=torch.Generator().manual_seed(0)), "zero": torch.eye(4)}),
    "grids": lambda: figures.grids({"image": (PIXELS, 20), "pool": (Grid(Fraction(2), Fraction(1, 2)), 10)}, (-4, 19), {"pool": 3}),
    "taps": lambda: figures.taps({"g": (3, 2, 1), "f": (2, 1, 2)}, 13),
    "lines": lambda: figures.lines({"a": [1, 2, 4], "b": [3, 2, 1]}, ["x", "y", "z"], "layer", "pixels"),
    "pixel_maps": lambda: figures.pixel_maps({"paths": np.array([[0.0, 1.0], [2.0, 3.0]])}, {"box": ((0, 0), (0, 1))}, numbers=True),
    "stitched_row": lambda: figures.stitched_row([3, 1, 4, 1, 5], [[4, 9], [7]], 2),
    "kernel_cells": lambda: figures.kernel_cells({"f": torch.ones(1, 2), "f'": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 0.0]])}),
    "passes_filled": lambda: figures.passes_filled({"two": [(0, 0), (1, 1)], "four": [(0, 0), (0, 1), (1, 0), (1, 1)]}, units=4),
    "folded": lambda: figures.folded(torch.arange(12.0).view(3, 2, 2)),
    "class_maps": lambda: figures.class_maps(
        scene()[0], {"disc": torch.eye(3), "square": torch.zeros(2, 3)}, Grid(Fraction(8), Fraction(7, 2))
    ),
    "arithmetic": lambda: figures.arithmetic({"half": (4, 3, 1, 1, 1), "odd": (4, 3, 2, 0, 1)}),
    "stretched": lambda: figures.arithmetic({"odd": (4, 3, 2, 0, 1)}, transposed=True),
    "laid_down": lambda: figures.laid_down([1, 3, 2], [1, 2, 1], stride=2, padding=1, output_padding=1),
    "matrices": lambda: figures.matrices({"C": (torch.tensor([[1.0, 2, 0], [0, 1, 2]]), 1, 3)}),
    "overlaps": lambda: figures.overlaps([(3, 2), (4, 2)], size=4),
    "windows": lambda: figures.windows([5, 6], kernel_size=3, stride=2, padding=1),
    "ways_back": lambda: figures.ways_back(),
    "decoder_strip": lambda: figures.decoder_strip(
        {"a": {"unpool1": torch.eye(4), "deconv1": torch.ones(4, 4)}, "b": {"unpool1": torch.eye(2)}}
    ),
    "tiles": lambda: figures.tiles(torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.ones(3, 12, 12), 2, 4, (0, 3)),
    "boxed": lambda: figures.boxed(scene()[0], {"two": torch.tensor([[0, 0, 8, 8], [4, 4, 20, 30]]), "one": torch.tensor([[1, 2, 3, 4]])}),
    "weight_map": lambda: figures.weight_map((scene()[1] % 255), torch.ones(24, 24, dtype=torch.float64)),
    "path_rows": lambda: figures.path_rows({"2, 1": torch.tensor([1, 1, 2, 1, 2, 1, 1]), "2": torch.tensor([1, 0, 1, 0, 1])}),
    "responses": lambda: figures.responses(
        {"flat": torch.ones(25).double(), "falls": torch.linspace(1, -0.3, 25).double()}, torch.linspace(0, np.pi, 25).double()
    ),
    "level_rows": lambda: figures.level_rows({"A": [("stem", "d = 1", False), ("", "", False), ("end", "d = 2", True)]}),
    "graphical_models": lambda: figures.graphical_models(),
    "listed_states": lambda: figures.listed_states(torch.tensor([[0, 0], [0, 1], [1, 0]]), torch.tensor([0.2, 0.5, 0.3]), (1, 2)),
    "kernel_maps": lambda: figures.kernel_maps(
        torch.arange(3 * 20).view(3, 4, 5).to(torch.uint8), {"near": [torch.eye(4, 5), torch.zeros(4, 5)]}, [(0, 1), (3, 2)]
    ),
    "lattice_plane": lambda: figures.lattice_plane(),
    "film_strip": lambda: figures.film_strip({"0": np.eye(4), "2": np.zeros((4, 4))}, [3.0, 1.0, 0.5], "free energy"),
    "band_curves": lambda: figures.band_curves({"net": [40.0, 50, 60], "CRF": [50.0, 55, 62]}, [1, 2]),
    "grid_scores": lambda: figures.grid_scores(torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.5, 0.4]]), [5, 10], [1, 2, 4], ("a", "b"), "mean IU"),
    "unrolled": lambda: figures.unrolled(2),
    "wirings": lambda: figures.wirings(3),
    "layer_costs": lambda: figures.layer_costs({"net": {32: net_cost((9, 4), (5, 1)), 8: net_cost((9, 4), (9, 3))}}),
    "path_lengths": lambda: figures.path_lengths({"paths": [0.25, 0.5, 0.25], "gradient": [0.6, 0.3, 0.1]}),
    "deletions": lambda: figures.deletions({"residual": (0.8, [0.4, 0.79]), "plain": (0.7, [0.3, 0.2])}, "mean IU"),
    "reuse_map": lambda: figures.reuse_map(torch.tensor([[1.0, torch.nan], [0.25, 1.0]]), ["layer 1", "scores"], ["input", "layer 1"]),
    "accuracy_cost": lambda: figures.accuracy_cost({"ResNet": [("18", 11.7, 1.8, 30.4), ("50", 25.6, 4.1, 24.0)]}, "error (%)"),
    "class_heat": lambda: figures.class_heat(small_board()),
    "board_bars": lambda: figures.board_bars(small_board(), "score", "road"),
    "class_gaps": lambda: figures.class_gaps(small_board(), "plain", "better + COCO"),
    "waterfall": lambda: figures.waterfall([("a", 62.2, False), ("b", 71.6, True), ("c", 70.0, True)], "IU", "more images"),
    "rate_schedules": lambda: figures.rate_schedules({"poly": [1.0, 0.5, 0.0], "step": [1.0, 0.1, 0.1]}, [0.0, 0.5, 1.0]),
    "memory_curves": lambda: figures.memory_curves({"16": [1.0, 4.0], "8": [2.0, 9.0]}, [321, 513], {"small": 3.0}),
    "machine_hours": lambda: figures.machine_hours({"one": [4.0, 2.2], "four": [4.0, 2.0]}, [1, 2]),
    "legend": lambda: with_legend(),
}
each_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)


def net_cost(*layers: tuple[int, int]) -> NetworkCost:
    """Of a network whose layers have maps of these sides and hold so many MiB."""
    rows = [LayerCost(f"conv{n}", "Conv2d", (1, 1, side, side), 0, 0, held * 2**20) for n, (side, held) in enumerate(layers)]
    return NetworkCost(tuple(rows), 0)


def small_board() -> figures.Board:
    rows = (Row("plain", 40.0, iou=(30.0, 50.0)), Row("better", 55.0, "COCO", (60.0, 49.0)))
    return figures.Board("small", "two lines", "a paper", rows, ("sky", "road"))


def with_legend() -> Figure:
    fig = figures.pictures([[figures.patterned(LABELS, PALETTE)]])
    figures.class_legend(fig, NAMES, PALETTE)
    return fig


def texts(fig: Figure) -> set[str]:
    """All that is written in a figure."""
    return {text.get_text() for text in fig.findobj(mpl.text.Text) if text.get_text()}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What is displayed: the representations that a notebook would store."""
    outputs: list[dict[str, str]] = []
    monkeypatch.setattr("edu_seg.figures.base.display", lambda item: outputs.append({"text/html": item._repr_html_()}))
    return outputs


# --- show -----------------------------------------------------------------------------------------------------------------------


@each_figure
def test_a_figure_becomes_one_picture_with_its_text(draw, shown: list[dict[str, str]]) -> None:
    figures.show(draw(), ALT)
    assert plt.get_fignums() == []
    (output,) = shown
    html = output["text/html"]
    fold = '(<details class="numbers">.*</details>)?'
    found = re.fullmatch(rf'<img alt="{re.escape(ALT)}" style="[^"]*" src="data:image/png;base64,([A-Za-z0-9+/=]+)">{fold}', html)
    assert found
    picture = Image.open(io.BytesIO(base64.b64decode(found[1])))
    assert picture.format == "PNG"
    assert min(picture.size) > 60
    assert len(picture.convert("RGB").getcolors(10**6) or []) > 3  # it is not empty
    assert len(html) < 150_000


@each_figure
def test_the_same_bytes_every_time(draw) -> None:
    first, second = figures.png(draw()), figures.png(draw())
    assert first == second
    assert plt.get_fignums() == []
    assert not Image.open(io.BytesIO(first)).info.keys() & {"Software", "Creation Time", "date"}


@each_figure
def test_drawing_leaves_the_settings_alone(draw) -> None:
    before = mpl.rcParams.copy()
    draw()
    assert mpl.rcParams == before


def test_alternative_text_is_escaped() -> None:
    tag = figures.img_tag(figures.png(FIGURES["bars"]()), 'a < b & "c" > d')
    assert tag.startswith('<img alt="a &lt; b &amp; &quot;c&quot; > d" ')
    assert tag.count('"') == 6


@pytest.mark.parametrize("alt", ["", "plot", "figure 1"])
def test_a_picture_needs_words(alt: str, shown: list[dict[str, str]]) -> None:
    with pytest.raises(ValueError, match="is too short to stand for a picture: say what it shows"):
        figures.show(FIGURES["bars"](), alt)
    assert shown == []


def test_show_displays_html_in_a_notebook() -> None:
    """The real display, whose output a notebook stores."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            figures.show(FIGURES["confusion"](), ALT)
        (output,) = captured.outputs
        assert set(output.data) == {"text/html", "text/plain"}
        assert f'alt="{ALT}"' in output.data["text/html"]
        assert "0x" not in output.data["text/plain"]
    finally:
        InteractiveShell.clear_instance()


# --- the numbers of a chart -----------------------------------------------------------------------------------------------------


def numbers_of(name: str) -> list[list[list[str]]]:
    """The tables in the fold of one of FIGURES, as rows of cells."""
    tables = ElementTree.fromstring(f"<all>{fold(FIGURES[name]())}</all>").iter("table")
    return [[[cell.text or "" for cell in row] for row in table.iter("tr")] for table in tables]


NUMBERS = {
    "bars": [[["", "32s", "8s"], ["mean IU", "0.2", "0.3"], ["band", "0.4", "0.6"]]],
    "lines": [[["layer", "a", "b"], ["x", "1", "3"], ["y", "2", "2"], ["z", "4", "1"]]],
    "machine_hours": [[["GPUs", "one", "four"], ["1", "4", "4"], ["2", "2.2", "2"]]],
    "seed_dots": [[["", "IU"], ["none", "0.2, 0.3"], ["one bin", "0.7, 0.8"]]],
    "gains": [
        [["", "IU"], ["baseline", "37"], ["pyramid", "41"]],
        [["", "accuracy"], ["baseline", "78"], ["pyramid", "80"]],
    ],
    "class_gaps": [[["", "points of IU that better + COCO has more than plain"], ["sky", "30"], ["road", "-1"]]],
    "waterfall": [[["", "IU (the axis begins at 50)"], ["a", "62.2"], ["b", "71.6"], ["c", "70"]]],
    "confusion": [[["", "sky", "road"], ["sky", "1,200", "3"], ["road", "0", "0"]]],
    "matrices": [[["", "0", "1", "2"], ["0", "1", "2", ""], ["1", "", "1", "2"]]],
    "deletions": [
        [["block that is deleted", "mean IU"], ["whole net", "0.8"], ["1", "0.4"], ["2", "0.79"]],
        [["block that is deleted", "mean IU"], ["whole net", "0.7"], ["1", "0.3"], ["2", "0.2"]],
    ],
    "accuracy_cost": [
        [["", "parameters (millions)", "error (%)"], ["ResNet 18", "11.7", "30.4"], ["ResNet 50", "25.6", "24"]],
        [["", "multiply-adds at 224 × 224 (billions)", "error (%)"], ["ResNet 18", "1.8", "30.4"], ["ResNet 50", "4.1", "24"]],
    ],
    "layer_costs": [
        [["layers, from the image on", "MiB a layer, summed"], ["conv0", "4"], ["conv1", "1"]],
        [["layers, from the image on", "MiB a layer, summed"], ["conv0", "7"]],
    ],
    "film_strip": [[["iteration", "free energy"], ["0", "3"], ["1", "1"], ["2", "0.5"]]],
    "taps": [],
    "pictures": [],
    "wirings": [],
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_chart_carries_its_numbers_and_a_drawing_none(name: str) -> None:
    assert numbers_of(name) == NUMBERS[name]


def test_a_long_curve_is_thinned_and_says_so() -> None:
    html = fold(FIGURES["responses"]())
    (table,) = numbers_of("responses")
    assert [table[1][0], table[-1][0]] == ["0", f"{np.pi:.4g}"]
    assert len(table) == 1 + 12
    assert "<caption>gain (12 of 25 points)</caption>" in html


def test_numbers_are_escaped_on_one_line() -> None:
    html = fold(figures.lines({"a < b": [1, 2]}, [1, 2], "two\nlines", "pixels & more"))
    assert "\n" not in html
    for text in ("a &lt; b", "two lines", "<caption>pixels &amp; more</caption>"):
        assert text in html


def test_large_maps_have_no_table() -> None:
    assert fold(figures.pixel_maps({"map": np.ones((16, 16))}, numbers=True)) == ""


# --- label maps -----------------------------------------------------------------------------------------------------------------


def test_label_maps_by_hand() -> None:
    """Class 0 is plain; the others keep their colour, in two shades where they have a pattern; void is white."""
    picture = figures.patterned(LABELS, PALETTE, 12)
    assert picture.shape == (24, 36, 3)

    def block(i: int, j: int) -> set[tuple[int, ...]]:
        return {tuple(colour) for colour in picture[12 * i : 12 * i + 12, 12 * j : 12 * j + 12].reshape(-1, 3).tolist()}

    assert block(0, 0) == block(1, 0) == {(60, 60, 60)}
    assert block(1, 2) == {(255, 255, 255)}
    for (i, j), colour in (((0, 1), PALETTE[1]), ((1, 1), PALETTE[2])):
        dark = tuple((colour.astype(np.float32) * np.float32(0.72)).astype(np.uint8).tolist())
        assert block(i, j) == {tuple(colour.tolist()), dark}


def test_twelve_classes_have_twelve_patterns() -> None:
    """The second cue, for those who do not tell the colours apart."""
    grey = np.full((12, 3), 200, np.uint8)
    pictures = [figures.patterned(torch.full((6, 6), k), grey) for k in range(12)]
    alike = [(a, b) for a, b in combinations(range(12), 2) if (pictures[a] != pictures[b]).any(-1).mean() < 0.03]
    assert alike == []


def test_a_scale_of_1_is_too_small_for_patterns() -> None:
    assert np.array_equal(figures.patterned(LABELS, PALETTE, 1)[0], PALETTE[[0, 1, 1]])


def test_images_as_bytes() -> None:
    image = torch.tensor([[[0.0, 1.0]], [[0.5, 2.0]], [[-1.0, 0.25]]])
    assert figures.as_picture(image).tolist() == [[[0, 128, 0], [255, 255, 64]]]


def test_objects_are_the_connected_regions() -> None:
    labels = torch.tensor([[1, 1, 0, 2], [0, 0, 1, 2], [255, 0, 0, 0], [1, 0, 0, 2]])
    found = [(k, int(mask.sum())) for k, mask in figures.objects(labels)]
    assert found == [(1, 3), (1, 1), (2, 2), (2, 1)]  # corners connect
    assert figures.objects(torch.zeros(3, 3, dtype=torch.int64)) == []


# --- what is written ------------------------------------------------------------------------------------------------------------


def test_a_confusion_matrix_holds_its_numbers() -> None:
    written = texts(FIGURES["confusion"]())
    assert {"1,200", "3", "0", "sky", "road", "labelled as", "predicted as"} <= written


def test_pixels_are_numbered() -> None:
    fig = FIGURES["numbered"]()
    assert [text.get_text() for text in fig.axes[0].texts] == ["0", "1", "1", "0", "2", "v"]


def test_the_four_tasks_name_the_objects() -> None:
    fig = FIGURES["four_tasks"]()
    assert fig.axes[0].get_xlabel() == "disc, square"
    assert {text.get_text() for text in fig.axes[1].texts} == {"disc", "square"}
    assert [text.get_text() for text in fig.axes[3].texts] == ["1", "2"]


def test_the_legend_names_all_classes_and_void() -> None:
    assert {*NAMES, "void"} <= texts(with_legend())


def test_the_legend_has_hatches_only_where_the_maps_have() -> None:
    for hatched, wanted in ((True, [figures.HATCHES[0], *figures.HATCHES[1:3], None]), (False, ["", "", "", None])):
        fig = figures.pictures([[figures.patterned(LABELS, PALETTE)]])
        figures.class_legend(fig, NAMES, PALETTE, hatched=hatched)
        assert [patch.get_hatch() for patch in fig.legends[0].get_patches()] == wanted


def test_bars_carry_their_values_and_a_second_cue() -> None:
    fig = FIGURES["bars"]()
    assert {"0.20", "0.40", "0.30", "0.60", "32s", "8s", "mean IU", "score"} <= texts(fig)
    containers = fig.axes[0].containers
    assert len({bar.get_hatch() for container in containers for bar in getattr(container, "patches", [])}) == 2


def test_too_many_bars_are_refused() -> None:
    with pytest.raises(ValueError, match="5 groups of bars, and colours for 4"):
        figures.bars({str(k): [0.5] for k in range(5)}, ["x"], "score")


def test_grids_show_the_units_inside_the_extent() -> None:
    fig = FIGURES["grids"]()
    drawn = [np.asarray(points.get_offsets())[:, 0].tolist() for points in fig.axes[0].collections]
    assert list(range(20)) in drawn
    assert [0.5 + 2 * i for i in range(10)] in drawn
    assert [6.5] in drawn  # the ring around unit 3
    assert "unit 3" in texts(fig)


def test_heat_writes_each_number() -> None:
    assert len(FIGURES["heat"]().axes[0].texts) == 16


# --- receptive fields -----------------------------------------------------------------------------------------------------------


def test_taps_lead_to_what_is_read() -> None:
    """f reads units 0 and 2 of g, which read pixels 0 to 2 and 4 to 6; unit 1 of f the same, two pixels on."""
    fig = FIGURES["taps"]()
    assert {"unit 0: 7 pixels from 0 on", "unit 1: 7 pixels from 2 on", "pixels", "g", "f"} <= texts(fig)
    drawn = [np.asarray(line.get_xdata())[np.asarray(line.get_ydata()) == 0] for line in fig.axes[0].lines]
    reached = [sorted({float(x) for x in xs}) for xs in drawn if len(xs)]
    assert reached == [[0, 1, 2, 4, 5, 6], [2, 3, 4, 6, 7, 8]]
    assert {line.get_linestyle() for line in fig.axes[0].lines} == {"-", "--"}


def test_taps_need_two_units() -> None:
    with pytest.raises(ValueError, match="9 pixels leave 1 unit at 'f', and two are drawn: give more pixels"):
        figures.taps({"g": (3, 2, 1), "f": (4, 1, 1)}, 9)


def test_lines_differ_in_more_than_colour() -> None:
    fig = FIGURES["lines"]()
    first, second = fig.axes[0].lines
    assert np.asarray(first.get_ydata()).tolist() == [1, 2, 4]
    assert first.get_linestyle() != second.get_linestyle()
    assert first.get_marker() != second.get_marker()
    assert {"a", "b", "x", "y", "z", "4", "1", "layer", "pixels"} <= texts(fig)
    over_numbers = figures.lines({"a": [1.0, 5.0]}, [10, 40], "n", "pixels")
    assert np.asarray(over_numbers.axes[0].lines[0].get_xdata()).tolist() == [10, 40]
    plt.close("all")


def test_too_many_lines_are_refused() -> None:
    with pytest.raises(ValueError, match="5 lines, and colours for 4"):
        figures.lines({str(k): [1.0] for k in range(5)}, [1], "x", "y")


def values_of(fig: Figure) -> np.ma.MaskedArray:
    """The numbers behind the first picture of a figure."""
    return np.ma.asarray(fig.axes[0].images[0].get_array())


def test_pixel_maps_show_numbers_zeros_and_boxes() -> None:
    fig = FIGURES["pixel_maps"]()
    assert [text.get_text() for text in fig.axes[0].texts] == ["×", "1", "2", "3"]
    assert np.ma.getmaskarray(values_of(fig)).tolist() == [[True, False], [False, False]]
    assert fig.axes[0].patches[-1].get_extents().transformed(fig.axes[0].transData.inverted()).bounds == pytest.approx((-0.5, 0.5, 2, -1))
    assert "box" in texts(fig)


def test_named_zeros_are_dark_and_in_the_legend() -> None:
    plain, named = (figures.pixel_maps({"m": np.eye(2)}, zero=zero) for zero in ("", "exactly zero"))
    assert [to_hex(fig.axes[0].patches[0].get_facecolor()) for fig in (plain, named)] == ["#ffffff", "#8a8a8a"]
    assert [len(fig.legends) for fig in (plain, named)] == [0, 1]
    assert "exactly zero" in texts(named)
    plt.close("all")


def test_numbered_pixels() -> None:
    plain, numbered = (figures.taps({"g": (3, 2, 1)}, 5, numbered=number) for number in (False, True))
    assert texts(numbered) - texts(plain) == set("01234")
    plt.close("all")


def test_lines_named_at_their_ends_and_upright_names() -> None:
    fig = figures.lines({"a": [1.0, 5.0]}, ["x\n1", "y\n2"], "n", "pixels", named_ends=True)
    assert "5 · a" in texts(fig)
    assert fig.axes[0].get_legend() is None
    slanted = figures.lines({"a": [1.0, 5.0]}, ["x", "y"], "n", "pixels")
    assert [drawn.axes[0].get_xticklabels()[0].get_rotation() for drawn in (fig, slanted)] == [0, 45]
    assert slanted.axes[0].get_legend() is not None
    plt.close("all")


def test_large_pixel_maps_are_averaged_over_blocks() -> None:
    weights = np.arange(402 * 402, dtype=np.float64).reshape(402, 402)
    fig = figures.pixel_maps({"heat": weights})
    assert values_of(fig).shape == (134, 134)
    assert values_of(fig)[0, 0] == weights[:3, :3].mean()
    assert list(fig.axes[0].images[0].get_extent()) == [-0.5, 401.5, 401.5, -0.5]
    plt.close(fig)


# --- shifted passes -------------------------------------------------------------------------------------------------------------


def test_a_stitched_row_interlaces_the_passes() -> None:
    """Pass 0 sees pixels 0, 1 and 2, 3; pass 1 pixels 1, 2: its unit stands between the two."""
    fig = FIGURES["stitched_row"]()
    written = {row: [text for text in fig.axes[0].texts if text.get_position()[1] == row] for row in range(4)}
    assert [text.get_text() for text in written[3]] == ["3", "1", "4", "1", "5"]
    stitched = sorted((text.get_position()[0], text.get_text()) for text in written[0])
    assert stitched == [(0.5, "4"), (1.5, "7"), (2.5, "9")]
    assert len({patch.get_hatch() for patch in fig.axes[0].patches if patch.get_fill()}) == 2  # none (the pixels', too), and pass 1's


def test_kernel_cells_hold_every_weight() -> None:
    fig = FIGURES["kernel_cells"]()
    assert [[text.get_text() for text in ax.texts] for ax in fig.axes] == [["1", "1"], ["1", "0", "1", "0", "0.5", "0"]]
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()  # one scale


def test_unfilled_units_carry_a_cross() -> None:
    fig = FIGURES["passes_filled"]()
    two, four = ([text.get_text() for text in ax.texts] for ax in fig.axes)
    assert two[:5] == ["0,0", "×", "0,0", "×", "×"]
    assert (two.count("×"), four.count("×")) == (8, 0)
    assert {four.count(f"{dy},{dx}") for dy in (0, 1) for dx in (0, 1)} == {4}


@pytest.mark.parametrize(
    "draw", [lambda: figures.stitched_row([1] * 9, [[1]] * 5, 1), lambda: figures.passes_filled({"a": []}, 3)], ids=["row", "map"]
)
def test_too_many_passes_are_refused(draw) -> None:
    with pytest.raises(ValueError, match=r"(5|9) passes, and colours for 4: draw a smaller stride"):
        draw()


# --- fully connected layers as convolutions -------------------------------------------------------------------------------------


def test_a_folded_row_keeps_its_order() -> None:
    """Each number stands in the row at its place, and below in its channel's window, row by row."""
    drawn = [(text.get_position(), text.get_text()) for text in FIGURES["folded"]().axes[0].texts if text.get_text().isdigit()]
    row = {place[0]: int(value) for place, value in drawn if place[1] == 3.5}
    assert row == {float(i): i for i in range(12)}
    windows = sorted((place, int(value)) for place, value in drawn if place[1] < 2)
    assert windows[:4] == [((1.0, 0), 2), ((1.0, 1), 0), ((2.0, 0), 3), ((2.0, 1), 1)]
    assert len(windows) == 12
    assert {"channel 0", "channel 1", "channel 2"} <= texts(FIGURES["folded"]())
    with pytest.raises(ValueError, match="5 channels, and colours for 4: draw fewer"):
        figures.folded(torch.zeros(5, 1, 1))
    plt.close("all")


def test_units_lie_around_the_pixels_that_they_sit_on() -> None:
    """Unit 0 at pixel 3.5, stride 8: three units cover the pixels 0 to 23; the line of one half surrounds what is above it."""
    fig = FIGURES["class_maps"]()
    image, disc, square = fig.axes[:3]
    assert list(disc.images[-1].get_extent()) == [-0.5, 23.5, 23.5, -0.5]
    assert list(square.images[-1].get_extent()) == [-0.5, 23.5, 15.5, -0.5]
    assert np.asarray(disc.images[-1].get_array()).tolist() == np.eye(3).tolist()
    assert [len(ax.collections) for ax in (image, disc, square)] == [0, 1, 0]
    assert {"image", "disc", "square"} <= texts(fig)


# --- convolutions ---------------------------------------------------------------------------------------------------------------


def squares(fig: Figure, panel: int) -> list[Rectangle]:
    return [patch for patch in fig.axes[panel].patches if isinstance(patch, Rectangle)]


def hatched(fig: Figure, panel: int = 0) -> list[tuple[float, float]]:
    """The middles of the hatched squares of a panel: what is cut off, or covered by no window."""
    return [(square.get_x() + 0.5, square.get_y() + 0.5) for square in squares(fig, panel) if square.get_hatch()]


def filled(fig: Figure, colour: str, panel: int = 0) -> list[tuple[float, float]]:
    """The middles of the squares of a colour."""
    found = [square for square in squares(fig, panel) if square.get_fill() and to_hex(square.get_facecolor()) == colour]
    return [(square.get_x() + 0.5, square.get_y() + 0.5) for square in found]


def test_kernels_are_laid_down_and_added() -> None:
    """Padding 1 cuts the first column off; output padding 1 keeps the last one."""
    fig = FIGURES["laid_down"]()
    written = [text.get_text() for text in fig.axes[0].texts]
    assert written[-6:] == ["2", "4", "6", "5", "4", "2"]
    assert "3 × [1, 2, 1]" in written
    assert hatched(fig) == [(0, 0)]
    whole = figures.laid_down([1, 3, 2], [1, 2, 1], stride=2)
    assert [text.get_text() for text in whole.axes[0].texts][-7:] == ["1", "2", "4", "6", "5", "4", "2"]
    assert hatched(whole) == []
    beyond = figures.laid_down([1, 3], [1, 2], stride=2, output_padding=1)  # no kernel reaches there
    assert [text.get_text() for text in beyond.axes[0].texts][-5:] == ["1", "2", "3", "6", "0"]
    plt.close("all")


def test_a_matrix_leaves_its_zeros_empty() -> None:
    fig = FIGURES["matrices"]()
    assert [text.get_text() for text in fig.axes[0].texts] == ["1", "2", "1", "2"]
    assert fig.axes[0].get_title() == "C"


def test_the_remainder_is_hatched() -> None:
    """Six units with one zero on each side: three windows of 3 at stride 2 end at cell 6, so cell 7 is left over."""
    fig = FIGURES["windows"]()
    assert {"5 → 3", "6 → 3"} <= texts(fig)
    assert [x for x, _ in hatched(fig)] == [7]
    assert len(fig.axes[0].lines) == 3 + 3


def test_arithmetic_draws_units_windows_and_outputs() -> None:
    fig = FIGURES["arithmetic"]()
    assert [ax.get_title() for ax in fig.axes] == ["half\n4 → 4", "odd\n4 → 1"]
    assert filled(fig, "#9ecae1") == [(j, i) for i in range(1, 5) for j in range(1, 5)]
    assert len(filled(fig, "#a8ddb5")) == 16
    assert hatched(fig) == []
    assert sorted(hatched(fig, 1)) == sorted({(3, i) for i in range(4)} | {(i, 3) for i in range(4)})
    taps = [np.asarray(points.get_offsets()) for points in fig.axes[0].collections]
    assert [(part.min(), part.max()) for part in taps] == [(0, 2), (3, 5)]


def test_the_way_back_spreads_the_units() -> None:
    """One unit, a margin of 2 and the remainder of 1: six cells, on which a window of 3 finds four places."""
    fig = FIGURES["stretched"]()
    assert fig.axes[0].get_title() == "odd\n1 → 4"
    assert filled(fig, "#9ecae1") == [(2, 2)]
    assert len(filled(fig, "#a8ddb5")) == 16
    spread = figures.arithmetic({"": (5, 3, 2, 1, 1)}, transposed=True)
    assert filled(spread, "#9ecae1") == [(j, i) for i in (1, 3, 5) for j in (1, 3, 5)]
    with pytest.raises(ValueError, match="a padding of 3 is more than a window of 3 reaches"):
        figures.arithmetic({"": (5, 3, 1, 3, 1)}, transposed=True)
    plt.close("all")


def test_overlaps_carry_their_counts() -> None:
    fig = FIGURES["overlaps"]()
    assert [text.get_text() for text in fig.axes[0].texts] == ["1", "1", "2", "1", "2", "1", "2", "1", "1", "kernel 3\nstride 2"]
    assert [text.get_text() for text in fig.axes[1].texts][:-1] == ["1", "1", "2", "2", "2", "2", "2", "2", "1", "1"]


# --- dilation -------------------------------------------------------------------------------------------------------------------


def test_path_rows_align_their_middles_and_mark_holes() -> None:
    ax = FIGURES["path_rows"]().axes[0]
    rows = [[(text.get_position()[0], text.get_text()) for text in ax.texts if text.get_position()[1] == row] for row in (0, 1)]
    assert rows[0] == list(zip(range(-3, 4), "1121211", strict=True))
    assert rows[1] == list(zip(range(-2, 3), "1×1×1", strict=True))
    faces = [to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert [face == "#ffffff" for face in faces] == [False] * 7 + [False, True, False, True, False]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2, 1", "2"]
    plt.close("all")


def test_responses_differ_in_more_than_colour_and_name_periods() -> None:
    fig = FIGURES["responses"]()
    flat, falls = fig.axes[0].lines[:2]
    assert np.asarray(falls.get_ydata())[-1] == pytest.approx(-0.3)
    assert np.asarray(flat.get_xdata())[-1] == pytest.approx(np.pi)
    assert (flat.get_linestyle(), flat.get_marker()) != (falls.get_linestyle(), falls.get_marker())
    assert {"flat", "falls", "π\n2", "π/2\n4"} <= texts(fig)
    with pytest.raises(ValueError, match="5 curves, and colours for 4"):
        figures.responses({str(k): torch.ones(2).double() for k in range(5)}, torch.ones(2).double())
    plt.close("all")


def test_level_rows_have_an_arrow_around_each_shortcut_and_leave_gaps() -> None:
    ax = FIGURES["level_rows"]().axes[0]
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [box.get_x() for box in boxes] == pytest.approx([-0.4, 1.6])
    assert [bool(box.get_hatch()) for box in boxes] == [True, False]
    assert len(ax.patches) - len(boxes) == 1
    assert [text.get_text() for text in ax.texts if text.get_text()] == ["stem\nd = 1", "end\nd = 2"]
    plt.close("all")


# --- dense CRFs -----------------------------------------------------------------------------------------------------------------


def test_four_pixels_have_four_unary_factors_and_six_pairs() -> None:
    fig = FIGURES["graphical_models"]()
    squares = [str(line.get_color()) for line in fig.axes[2].lines if line.get_marker() == "s"]
    assert sorted(squares.count(colour) for colour in set(squares)) == [4, 6]
    arrows = [
        sum(isinstance(patch, FancyArrowPatch) and type(patch.get_arrowstyle()).__name__ == "CurveFilledB" for patch in ax.patches)
        for ax in fig.axes
    ]
    assert arrows == [3, 0, 0]
    plt.close(fig)


def test_states_come_in_the_order_of_their_probability() -> None:
    fig = FIGURES["listed_states"]()
    shown = [(ax.get_title(), [text.get_text() for text in ax.texts]) for ax in fig.axes if ax.get_title()]
    assert shown == [("0.500", ["0", "1"]), ("0.300", ["1", "0"]), ("0.200", ["0", "0"])]
    plt.close(fig)
    with pytest.raises(ValueError, match="an image of 2 × 2 has 4 pixels, the states have 2"):
        figures.listed_states(torch.tensor([[0, 0]]), torch.tensor([1.0]), (2, 2))


def test_each_kernel_has_a_cross_at_its_pixel() -> None:
    fig = FIGURES["kernel_maps"]()
    places = [tuple(np.asarray(ax.lines[0].get_xydata())[0]) for ax in fig.axes if ax.lines]
    assert places == [(1, 0), (1, 0), (2, 3), (2, 3)]
    assert [np.asarray(fig.axes[k].images[0].get_array()).sum() for k in (1, 3)] == [4, 0]
    plt.close(fig)


def test_corners_of_the_lattice_weigh_one_in_all_and_balance_at_the_point() -> None:
    fig = figures.lattice_plane((1.2, 0.8))
    corners = np.array([note.xy for note in fig.axes[0].texts if isinstance(note, Annotation)])
    weights = np.array([float(note.get_text()) for note in fig.axes[0].texts])
    assert len(weights) == 3
    assert weights.sum() == pytest.approx(1, abs=0.02)
    assert (weights @ corners).tolist() == pytest.approx([1.2, 0.8], abs=0.03)
    plt.close(fig)


def test_a_film_strip_has_its_frames_and_every_number() -> None:
    fig = FIGURES["film_strip"]()
    assert [ax.get_title() for ax in fig.axes] == ["0", "2", ""]
    assert np.asarray(fig.axes[2].lines[0].get_ydata()).tolist() == [3.0, 1.0, 0.5]
    plt.close(fig)


def test_band_curves_end_with_the_whole_image() -> None:
    fig = FIGURES["band_curves"]()
    assert [np.asarray(line.get_ydata()).tolist() for line in fig.axes[0].lines] == [[40, 50, 60], [50, 55, 62]]
    assert {"net", "CRF", "40", "50", "whole\nimage"} <= texts(fig)
    plt.close(fig)
    with pytest.raises(ValueError, match="5 curves, and colours for 4"):
        figures.band_curves({str(k): [1.0, 2.0] for k in range(5)}, [1])


def test_cells_are_outlined_where_they_meet() -> None:
    picture = figures.outlined(np.zeros((1, 3, 3), np.uint8), torch.tensor([[4, 4, 7]]), scale=2)
    assert picture[:, :, 0].tolist() == [[0, 0, 0, 0, 255, 0]] * 2


def test_the_best_pair_has_the_frame() -> None:
    fig = FIGURES["grid_scores"]()
    frame = fig.axes[0].patches[-1]
    assert isinstance(frame, Rectangle)
    assert (frame.get_x(), frame.get_y()) == (-0.5, 0.5)
    assert {"0.90", "0.50", "5", "10"} <= texts(fig)
    plt.close(fig)


def test_unrolled_iterations_hold_the_same_five_layers() -> None:
    names = [text.get_text() for text in FIGURES["unrolled"]().axes[0].texts]
    assert [names.count(step) for step in ("filter", "weigh", "mix labels", "add $-U$", "softmax")] == [2] * 5
    plt.close("all")


def test_taps_beyond_the_map_are_counted_out() -> None:
    fig = FIGURES["map_taps"]()
    assert [ax.get_title() for ax in fig.axes] == ["a\n9 of 9 taps on the map", "b\n1 of 9 taps on the map"]
    assert [[line.get_marker() for line in ax.lines].count("x") for ax in fig.axes] == [0, 8]
    for ax in fig.axes:
        (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
        assert all(left < x < right and high < y < low for line in ax.lines for x, y in np.asarray(line.get_xydata()))
    plt.close(fig)


def test_a_small_map_shows_its_units() -> None:
    assert [len(ax.collections) for ax in FIGURES["map_taps"]().axes] == [2, 2]
    assert not figures.map_taps(65, {"a": (2, (4, 4))}).axes[0].collections
    plt.close("all")


def test_only_bins_that_overlap_need_dashes() -> None:
    def dashes(spans: list[tuple[int, int]]) -> set[str]:
        patches = figures.bin_grids(scene()[0], {"2": spans}).axes[0].patches
        return {str(patch.get_linestyle()) for patch in patches}

    assert dashes([(0, 12), (12, 24)]) == {"-"}
    assert dashes([(0, 13), (12, 24)]) == {"-", "--"}
    plt.close("all")


def test_gains_say_that_their_axes_do_not_begin_at_0() -> None:
    fig = FIGURES["gains"]()
    assert [ax.get_xlabel() for ax in fig.axes] == ["IU", "accuracy"]
    assert fig.get_supxlabel() == "(the axes do not begin at 0)"
    assert all(ax.get_xlim()[0] > 0 for ax in fig.axes)
    plt.close(fig)


def test_rates_together_are_named() -> None:
    fig = figures.rate_curves({"a": [0.1, 0.3, 0.2]}, [1, 2, 4], "IU", {"a": 0.3})
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["1", "2", "4", "1, 2\ntogether"]
    plt.close("all")


def test_the_best_rate_has_a_ring() -> None:
    fig = FIGURES["rate_curves"]()
    rings = [tuple(np.asarray(line.get_xydata())[0]) for line in fig.axes[0].lines if line.get_markersize() == 16]
    assert rings == [(0, 0.3), (1, 0.4)]
    plt.close(fig)


def test_a_row_of_seeds_has_all_its_dots_and_their_mean() -> None:
    ax = FIGURES["seed_dots"]().axes[0]
    dots = [np.asarray(line.get_xdata()).tolist() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[0.2, 0.3], [0.7, 0.8]]
    assert [text.get_text() for text in ax.texts] == ["0.25", "0.75"]
    plt.close("all")


def test_close_lines_take_their_own_range() -> None:
    low, high = FIGURES["close_lines"]().axes[0].get_ylim()
    assert 60 < low < 68
    assert 76 < high < 80
    with pytest.raises(ValueError, match="6 lines"):
        figures.close_lines({str(n): [0.0, 1.0] for n in range(6)}, ["a", "b"], "IU")
    plt.close("all")


def test_wirings_join_what_their_names_say() -> None:
    """Three layers: 3 arrows in a plain net, 3 more around its layers in a residual one, and in a dense one all 6 pairs of maps."""
    arrows = [arrow for arrow in FIGURES["wirings"]().axes[0].patches if isinstance(arrow, FancyArrowPatch)]
    assert len(arrows) == 3 + (3 + 3) + 6


def test_one_layer_has_nothing_to_jump_over() -> None:
    with pytest.raises(ValueError, match="draw at least 2"):
        figures.wirings(1)


def test_layer_costs_name_sides_and_sums() -> None:
    written = texts(FIGURES["layer_costs"]())
    assert {"net, output stride 32: 5 MiB", "net, output stride 8: 7 MiB", "9", "5"} <= written


def test_path_lengths_are_bars_and_have_a_second_cue() -> None:
    ax = FIGURES["path_lengths"]().axes[0]
    bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == pytest.approx([0.25, 0.5, 0.25, 0.6, 0.3, 0.1])
    assert len({bar.get_hatch() for bar in bars}) == 2
    with pytest.raises(ValueError, match="5 groups of bars, and colours for 4"):
        figures.path_lengths({str(i): [1.0] for i in range(5)})


def test_deletions_draw_the_whole_net_as_a_line() -> None:
    left = FIGURES["deletions"]().axes[0]
    assert left.lines[0].get_ydata()[0] == pytest.approx(0.8)  # pyright: ignore[reportIndexIssue]
    assert "whole net 0.80" in {text.get_text() for text in left.texts}


def test_what_is_not_read_stays_white() -> None:
    written = {text.get_text() for text in FIGURES["reuse_map"]().axes[0].texts}
    assert written == {"1.00", "0.25"}
    with pytest.raises(ValueError, match="give one name a row, one a column"):
        figures.reuse_map(torch.eye(2), ["a"], ["a", "b"])


def test_each_net_is_named_on_both_axes_of_cost() -> None:
    left, right = FIGURES["accuracy_cost"]().axes
    assert [text.get_text() for text in left.texts] == [text.get_text() for text in right.texts] == ["18", "50"]
    assert left.lines[0].get_xdata() == pytest.approx([11.7, 25.6])
    with pytest.raises(ValueError, match="5 families, and colours for 4"):
        figures.accuracy_cost({str(i): [("a", 1.0, 1.0, 1.0)] for i in range(5)}, "error")


# --- leaderboards and training --------------------------------------------------------------------------------------------------


def test_the_boards_hold_what_the_papers_print() -> None:
    boards = figures.leaderboards()
    assert {name: (len(board.rows), len(board.classes)) for name, board in boards.items()} == {
        "voc-2012": (18, 20),
        "cityscapes": (11, 19),
        "cityscapes-drn": (3, 19),
        "ade20k": (10, 0),
        "voc-2012-late": (12, 0),
        "voc-2011": (4, 0),
    }
    assert boards["voc-2012"]["FCN"].mean_iou == 62.2
    assert boards["voc-2012"]["PSPNet"].iou[2] == 94.7  # "94. 7" on the slides
    assert boards["cityscapes-drn"]["DRN-A-50"].mean_iou == 67.3
    assert boards["voc-2012-late"]["DeepLab v3"].mean_iou == 85.7


def test_each_mean_is_that_of_its_columns() -> None:
    """Guards the transcription: Cityscapes' means to their last digit; VOC's with a background that is not printed."""
    boards = figures.leaderboards()
    for row in boards["cityscapes"].rows + boards["cityscapes-drn"].rows:
        assert sum(row.iou) / 19 == pytest.approx(row.mean_iou, abs=0.06), row
    for row in boards["voc-2012"].rows:
        assert 91 <= 21 * row.mean_iou - sum(row.iou) <= 96.5, row


def test_a_line_that_is_not_there_and_a_board_without_classes() -> None:
    with pytest.raises(KeyError, match=r"no line 'best' in small: there are plain, better \+ COCO"):
        small_board()["best"]
    with pytest.raises(ValueError, match="ade20k has no scores by class"):
        figures.class_heat(figures.leaderboards()["ade20k"])


def test_gaps_are_sorted_and_losses_hatched() -> None:
    assert small_board().gaps("plain", "better + COCO") == {"sky": 30.0, "road": -1.0}
    fig = FIGURES["class_gaps"]()
    assert {"+30.0", "-1.0"} <= texts(fig)
    gain, loss = (bar for bar in fig.axes[0].patches if isinstance(bar, Rectangle))
    assert (gain.get_width(), loss.get_width()) == (30.0, -1.0)
    assert gain.get_hatch() != loss.get_hatch()


def test_a_board_is_sorted_and_more_data_hatched() -> None:
    """By the mean the second line is better, by the road's IU the first."""
    fig = FIGURES["board_bars"]()
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["better + COCO, 0", "plain, 0"]
    first, second = (bar for bar in fig.axes[0].patches if isinstance(bar, Rectangle))
    assert (first.get_width(), second.get_width()) == (49.0, 50.0)
    assert first.get_hatch() != second.get_hatch()
    assert {"49.0", "50.0"} <= texts(fig)
    assert [row.title for row in small_board().ordered("score")] == ["plain", "better + COCO"]


def test_the_map_of_classes_writes_every_number_and_the_mean() -> None:
    written = [text.get_text() for text in FIGURES["class_heat"]().axes[0].texts]
    assert written == ["30", "50", "40", "60", "49", "55"]
    last = figures.class_heat(small_board(), ["better + COCO"]).axes[0]
    assert [text.get_text() for text in last.texts] == written[3:]


def test_a_step_of_the_waterfall_reaches_from_the_score_before_to_its_own() -> None:
    fig = FIGURES["waterfall"]()
    spans = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in fig.axes[0].patches if isinstance(bar, Rectangle)]
    assert spans == [pytest.approx((50, 62.2)), pytest.approx((62.2, 71.6)), pytest.approx((71.6, 70))]
    assert {"62.2", "71.6\n+9.4", "70.0\n-1.6", "more images"} <= texts(fig)


def test_limits_of_memory_are_named_and_lie_where_they_are() -> None:
    ax = FIGURES["memory_curves"]().axes[0]
    assert "small" in [text.get_text() for text in ax.texts]
    assert 3.0 in [np.asarray(line.get_ydata())[0] for line in ax.lines]


@pytest.mark.parametrize(
    "draw",
    [
        lambda five: figures.rate_schedules(five, [0.0]),
        lambda five: figures.memory_curves(five, [1], {}),
        lambda five: figures.machine_hours(five, [1]),
    ],
)
def test_five_curves_of_training_are_too_many(draw) -> None:
    with pytest.raises(ValueError, match="5 curves, and colours for 4"):
        draw({str(number): [1.0] for number in range(5)})
