"""`CRFLab`: draw labels on a photograph and see DenseCRF spread them, iteration by iteration, while strokes, widths and weights change.

What follows a change has to be quick, so it is small: the labels of all iterations and their energies. The probabilities, K times as
much and needed only where somebody points, follow when the browser asks for them in a pause.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy import ndarray
from torch import Tensor

from edu_seg.figures import HATCHES, new_figure, patterned, png
from edu_seg.widgets.base import CourseWidget, bundle
from edu_seg.widgets.crf_steps import COUNTS, IGNORE_INDEX, PRESETS, RANGES, CRFSettings, CRFSteps, Solver, check_scribbles

SCRIPTS = ("lab.js", "crf_lab_maths.js", "crf_lab_words.js", "crf_lab_link.js", "crf_lab_views.js", "crf_lab_parts.js", "crf_lab.js")
PALETTE = np.array([(86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66), (213, 94, 0)], np.uint8)
"""Okabe and Ito's, one colour a label; hatches as in `figures`, and the label's number, say the same."""
NAMES = (*RANGES, "num_classes")
MOST_LABELS = COUNTS["num_classes"][1]


class ImpossibleValue(traitlets.TraitError, ValueError):
    """A value that a trait does not take. (A TraitError as well: traits then go back to what they were.)"""


class CRFLab(CourseWidget):
    """Scribbles on a photograph, and DenseCRF's labels over it after each iteration, its free energy, the probabilities at a pixel.

    image: uint8 (3, H, W), at most 40,000 pixels. scribbles: (H, W), 255 where nothing is drawn; None: nothing is. names: of the labels.
    iteration: the one that is shown, at first the last. opacity: of the labels over the photograph, 0 to 1.
    Settings, iteration and opacity are traits: what the reader chooses can be read here, what is set here is shown. Errors as in
    `CRFSettings` and `crf_steps`, save that the scribbles may be empty; ValueError also for an iteration or opacity out of range and for
    more names than labels there can be.
    """

    _esm = bundle(*SCRIPTS)
    theta_alpha, theta_beta, theta_gamma, bilateral_weight, spatial_weight = (
        traitlets.Float(getattr(CRFSettings(), name)).tag(sync=True) for name in RANGES
    )
    num_classes = traitlets.Int(CRFSettings().num_classes).tag(sync=True)
    iteration = traitlets.Int(0).tag(sync=True)
    opacity = traitlets.Float(0.55).tag(sync=True)
    marks = traitlets.Unicode("").tag(sync=True)
    """The scribbles, one byte a pixel, in base64."""
    asked = traitlets.Int(0).tag(sync=True)
    """Number of the browser's last question: an answer carries it, and until it has come no other is asked."""
    answer = traitlets.Dict().tag(sync=True)
    result = traitlets.Unicode("").tag(sync=True, to_json=lambda text, _: base64.b64decode(text))
    """Labels of every iteration; as bytes to the browser, as base64 in a page without kernel."""
    probs = traitlets.Unicode("").tag(sync=True, to_json=lambda text, _: base64.b64decode(text))
    """Probabilities (0 to 255) of every iteration, in the same ways. Each answer empties it, so what it holds belongs to `result`."""
    lacking = traitlets.Int(0).tag(sync=True)
    """How often a browser has asked for the probabilities."""

    def __init__(
        self,
        image: UInt8[Tensor, "3 H W"],
        scribbles: Int64[Tensor, "H W"] | None = None,
        settings: CRFSettings | None = None,
        *,
        names: Sequence[str] | None = None,
        iteration: int | None = None,
        opacity: int | float = 0.55,
    ) -> None:
        settings = settings or CRFSettings()
        self._solver, self._fixed = Solver(image), settings
        if scribbles is None:
            scribbles = torch.full(self._solver.size, IGNORE_INDEX)
        check_scribbles(scribbles, self._solver.size, settings.num_classes)
        self.names = _all_names(names)
        self.steps: CRFSteps | None = None
        traits = {name: getattr(settings, name) for name in NAMES} | {"marks": _encode(scribbles)}
        self._solved: tuple[CRFSettings, str] | None = None
        start = settings.num_iterations if iteration is None else iteration
        super().__init__(_data(self._solver, settings, self.names), b"", "", **traits, iteration=start, opacity=float(opacity))
        self._alt = _alt(settings, scribbles)

    @property
    def settings(self) -> CRFSettings:
        """What is shown now."""
        return CRFSettings(**{name: getattr(self, name) for name in NAMES}, **self._constant)

    @property
    def scribbles(self) -> Int64[Tensor, "H W"]:
        """What is drawn now; 255: nothing."""
        return _decode(self.marks, self._solver.size)

    def set(self, *, scribbles: Int64[Tensor, "H W"] | None = None, **values: Any) -> None:
        """Sets several at once and computes once, `lab.set(theta_beta=5, bilateral_weight=4, scribbles=…)`."""
        known = (*NAMES, "iteration", "opacity")
        if unknown := values.keys() - set(known):
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}: give some of {', '.join(known)}")
        settings = CRFSettings(**{name: values.get(name, getattr(self, name)) for name in NAMES}, **self._constant)
        drawn = self.scribbles if scribbles is None else scribbles
        check_scribbles(drawn, self._solver.size, settings.num_classes)
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in (values | {"marks": _encode(drawn)}).items():
                setattr(self, name, value)

    @property
    def _constant(self) -> dict[str, Any]:
        return {"num_iterations": self._fixed.num_iterations, "certainty": self._fixed.certainty}

    @traitlets.validate(*NAMES, "marks")
    def _check(self, proposal: Any) -> Any:
        """Together with what else is set, which may be changing too."""
        values = {name: getattr(self, name) for name in (*NAMES, "marks")} | {proposal["trait"].name: proposal["value"]}
        try:
            marks = values.pop("marks")
            settings = CRFSettings(**values, **self._constant)
            if marks:
                check_scribbles(_decode(marks, self._solver.size), self._solver.size, settings.num_classes)
        except (TypeError, ValueError) as error:
            raise ImpossibleValue(str(error)) from None
        return proposal["value"]

    @traitlets.validate("iteration", "opacity")
    def _check_view(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        most = self._fixed.num_iterations if name == "iteration" else 1
        if not 0 <= value <= most:
            raise ImpossibleValue(f"{name} = {value!r}: give 0 to {most}")
        return value

    @traitlets.observe(*NAMES, "marks", "asked")
    def _solve(self, _: Any = None) -> None:
        """Once for all that has changed together, and only if it is not what was solved last."""
        if not self.marks:
            return
        settings, drawn = self.settings, self.scribbles
        if (settings, self.marks) != self._solved:
            self.steps = self._solver.steps(drawn, settings) if (drawn != IGNORE_INDEX).any() else None
            self._solved, self._alt = (settings, self.marks), _alt(settings, drawn)
            with self.hold_sync():
                self.result, self.probs = _packed_labels(self.steps), ""
                self.answer = _summary(self.steps, settings, self.asked)
        elif self.asked != self.answer["asked"]:
            self.answer = {**self.answer, "asked": self.asked}

    @traitlets.observe("lacking")
    def _complete(self, _: Any = None) -> None:
        """Adds the probabilities, if they are not there yet."""
        if not self.probs:
            self.probs = _packed_probs(self.steps)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As in ipywidgets. All of it, for a first view or a saved notebook, comes with the probabilities."""
        if key is None:
            self._complete()
        return super().get_state(key, drop_defaults)

    def to_html(self, title: str | None = None) -> str:
        """As in all widgets; the page holds the probabilities too."""
        self._complete()
        return super().to_html(title)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(_poster(self._solver.image, self.scribbles, self.steps, self.settings, self.names))
        return super()._repr_mimebundle_(**options)


def _all_names(names: Sequence[str] | None) -> list[str]:
    names = list(names or [])
    if len(names) > MOST_LABELS:
        raise ValueError(f"{len(names)} names: there are at most {MOST_LABELS} labels")
    return names + [f"label {label}" for label in range(len(names), MOST_LABELS)]


def _encode(scribbles: Tensor) -> str:
    return base64.b64encode(scribbles.cpu().byte().numpy().tobytes()).decode("ascii")


def _decode(marks: str, size: tuple[int, int]) -> Tensor:
    data = np.frombuffer(base64.b64decode(marks), np.uint8)
    if len(data) != size[0] * size[1]:
        raise ValueError(f"the scribbles have {len(data)} pixels, the image {size[0]} × {size[1]}")
    return torch.from_numpy(data.astype(np.int64)).view(size)


def _data(solver: Solver, settings: CRFSettings, names: list[str]) -> dict[str, Any]:
    """What is sent once."""
    pixels = solver.image.permute(1, 2, 0).contiguous().numpy().tobytes()
    return {
        "image": base64.b64encode(pixels).decode("ascii"),
        "size": list(solver.size),
        "ranges": {name: list(ends) for name, ends in RANGES.items()},
        "presets": PRESETS,
        "names": names,
        "palette": PALETTE.tolist(),
        "hatches": list(HATCHES[:MOST_LABELS]),
        "iterations": settings.num_iterations,
    }


def _packed_labels(steps: CRFSteps | None) -> str:
    return "" if steps is None else base64.b64encode(steps.labels.tobytes()).decode("ascii")


def _packed_probs(steps: CRFSteps | None) -> str:
    if steps is None:
        return ""
    probs = torch.from_numpy(steps.probs).mul(255).round_().byte()
    return base64.b64encode(probs.numpy().tobytes()).decode("ascii")


def _summary(steps: CRFSteps | None, settings: CRFSettings, asked: int) -> dict[str, Any]:
    found = {} if steps is None else {"energies": steps.energies, "moved": steps.moved}
    return {"asked": asked, "classes": settings.num_classes, "code": settings.code, "energies": [], "moved": []} | found


def _alt(settings: CRFSettings, scribbles: Tensor) -> str:
    """Exact numbers only, so that it is the same everywhere."""
    height, width = scribbles.shape
    count = int((scribbles != IGNORE_INDEX).sum())
    drawn = f"scribbles of {settings.num_classes} labels on {count} of its pixels" if count else "nothing drawn on it yet"
    made = f", the labels that {settings.code} makes of them, and its free energy" if count else ""
    return f"a photograph of {width} × {height} pixels, {drawn}{made}; in JupyterLab you can draw, set every width and weight, and play."


def _poster(image: Tensor, scribbles: Tensor, steps: CRFSteps | None, settings: CRFSettings, names: list[str]) -> Figure:
    """The scribbles, the labels after the last iteration, the free energy."""
    height, width = scribbles.shape
    fig, axes = new_figure(13.0, max(3.2, 4.1 * height / width + 0.5), 3, width_ratios=(1, 1, 0.8))
    photo = image.permute(1, 2, 0).numpy()
    _draw(axes[0, 0], _blend(photo, scribbles, 1.0), "what is drawn")
    if steps is None:
        _draw(axes[0, 1], _blend(photo, scribbles, 1.0), "nothing to spread yet")
        axes[0, 2].set_axis_off()
        return fig
    labels = torch.from_numpy(steps.labels[-1]).long()
    _draw(axes[0, 1], _blend(photo, labels, 0.6), f"after {settings.num_iterations} iterations")
    axes[0, 2].plot(steps.energies, marker="o", color="#0072b2")
    axes[0, 2].set(title="free energy", xlabel="iteration")
    handles = [
        Patch(facecolor=PALETTE[k] / 255, edgecolor=PALETTE[k] / 255 * 0.5, hatch=HATCHES[k], label=f"{k} {names[k]}")
        for k in range(settings.num_classes)
    ]
    fig.legend(
        handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=12, handlelength=2.4, handleheight=1.2
    )
    return fig


def _blend(photo: ndarray, labels: Tensor, opacity: float) -> ndarray:
    """Labels with their patterns over the photograph, four times as large; 255 leaves it as it is."""
    big = photo.repeat(4, 0).repeat(4, 1).astype(np.float32)
    colours = patterned(labels, PALETTE, 4).astype(np.float32)
    covered = (labels.numpy() != IGNORE_INDEX).repeat(4, 0).repeat(4, 1)[..., None]
    return np.where(covered, (1 - opacity) * big + opacity * colours, big).astype(np.uint8)


def _draw(ax: Axes, picture: ndarray, title: str) -> None:
    ax.imshow(picture, interpolation="nearest")
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
