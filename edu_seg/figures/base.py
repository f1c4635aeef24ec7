"""What every picture is made with: `show`, which puts a figure into a notebook with its alternative text, sizes and colours.

A class has a colour from a palette that colour-blind readers can tell apart, and a hatch as a second cue.
"""

import base64
import io

import matplotlib as mpl
from IPython.display import HTML, display
from jaxtyping import Float, UInt8
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy import ndarray
from PIL import Image
from torch import Tensor

from edu_seg.figures.numbers import fold

COLOURS, CHART_COLOURS = 256, 128  # of a picture's palette
VOID = (255, 255, 255)
HATCHES = ("", "///", "\\\\\\", "---", "|||", "...", "+++", "xxx", "ooo", "**", "//..", "--..")
PERIOD, LINE = 12, 2
"""Of the patterns on label maps: distance and width of their lines, in pixels of the enlarged picture."""
INK, GRID_GREY = "#222222", "#bbbbbb"
SERIES = (("#0072b2", ""), ("#e69f00", "///"), ("#009e73", "..."), ("#cc79a7", "xxx"))
"""Colour and hatch of the first, second, … bar of a group (Okabe and Ito's palette)."""


def show(fig: Figure, alt: str) -> None:
    """Displays a figure as a picture with alternative text and, for a chart, a folded table of its numbers; closes it.

    `alt` says what there is to see, for those who do not see it. Raises ValueError for one too short to say that.
    """
    if len(alt) < 20:
        raise ValueError(f"the alternative text {alt!r} is too short to stand for a picture: say what it shows")
    numbers = fold(fig)
    display(HTML(img_tag(png(fig, CHART_COLOURS if numbers else COLOURS), alt) + numbers))


def img_tag(picture: bytes, alt: str) -> str:
    """An HTML picture that carries its own bytes (PNG) and alternative text."""
    text = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    width = Image.open(io.BytesIO(picture)).width / 1.25
    return f'<img alt="{text}" style="width:{width:.0f}px;max-width:100%" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'


def png(fig: Figure, colours: int = COLOURS) -> bytes:
    """The figure as a small PNG (so many colours, no metadata), the same bytes every time; closes the figure."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=120, facecolor="white", metadata={"Software": None})
    plt.close(fig)
    return shrink(Image.open(buffer), colours)


def shrink(picture: Image.Image, colours: int = COLOURS) -> bytes:
    """A picture as PNG bytes with a palette of at most so many colours."""
    buffer = io.BytesIO()
    picture.convert("RGB").quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, **options) -> tuple[Figure, ndarray]:
    """A figure of `width` × `height` inches with a grid of axes, in the course's type and sizes: (figure, array of axes)."""
    style: dict = {"font.size": 12, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6}
    with mpl.rc_context(style):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)
    return fig, axes


def as_picture(image: Float[Tensor, "3 H W"]) -> UInt8[ndarray, "H W 3"]:
    """An image in 0..1 as the bytes that matplotlib and PIL show."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
