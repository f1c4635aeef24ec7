"""`ScorePainter`: paint a prediction over fixed labels and see the confusion matrix and the four scores follow."""

from collections.abc import Mapping, Sequence

from jaxtyping import Int64, UInt8
from numpy import ndarray
from torch import Tensor

from edu_seg.figures import class_legend, numbered, png
from edu_seg.widgets.base import FOLDER, CourseWidget


class ScorePainter(CourseWidget):
    """labels (H, W), small (up to about 20 × 20), 255 = void. presets: name -> a prediction (H, W) to start from; the first is shown.

    Raises ValueError if there is no preset, or one of another size.
    """

    _esm = FOLDER / "score_painter.js"

    def __init__(
        self,
        labels: Int64[Tensor, "H W"],
        presets: Mapping[str, Int64[Tensor, "H W"]],
        class_names: Sequence[str],
        palette: UInt8[ndarray, "K 3"],
    ) -> None:
        if not presets:
            raise ValueError("presets is empty: give at least one prediction to start from")
        for name, preds in presets.items():
            if preds.shape != labels.shape:
                raise ValueError(f"the preset {name!r} has shape {tuple(preds.shape)}, the labels {tuple(labels.shape)}")
        first = next(iter(presets.values()))
        height, width = labels.shape
        data = {
            "labels": labels.flatten().tolist(),
            "start": first.flatten().tolist(),
            "presets": {name: preds.flatten().tolist() for name, preds in presets.items()},
            "classes": list(class_names),
            "palette": palette.tolist(),
            "height": height,
            "width": width,
        }
        super().__init__(
            data,
            _poster(labels, first, class_names, palette),
            "labels on the left, the prediction on the right; in JupyterLab you can paint it.",
        )


def _poster(labels: Tensor, preds: Tensor, class_names: Sequence[str], palette: ndarray) -> bytes:
    fig = numbered({"labels": labels, "prediction": preds}, palette, side=4.2)
    class_legend(fig, class_names, palette, hatched=False)
    return png(fig)
