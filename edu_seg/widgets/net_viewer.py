"""`NetViewer`: the same scenes through several nets, with a slider from net to net."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from PIL import Image
from torch import Tensor

from edu_seg.figures import as_picture, class_legend, patterned, pictures, png, shrink
from edu_seg.metrics import ConfusionMatrix
from edu_seg.widgets.base import FOLDER, CourseWidget

Nets = Mapping[str, Int64[Tensor, "N H W"]]


def scene_scores(labels: Int64[Tensor, "N H W"], preds: Nets, num_classes: int) -> list[list[float]]:
    """The mean IU of each scene (outer list) under each net (inner list), rounded to two places."""
    return [[round(_mean_iou(predicted[n], labels[n], num_classes), 2) for predicted in preds.values()] for n in range(len(labels))]


def _mean_iou(preds: Tensor, labels: Tensor, num_classes: int) -> float:
    matrix = ConfusionMatrix(num_classes)
    matrix.update(preds, labels)
    return matrix.mean_iou


class NetViewer(CourseWidget):
    """images (N, 3, H, W) in 0..1, labels (N, H, W), and for each net its predictions (N, H, W), with the classes' names and colours.

    Raises ValueError where the sizes differ.
    """

    _esm = FOLDER / "net_viewer.js"

    def __init__(
        self,
        images: Float[Tensor, "N 3 H W"],
        labels: Int64[Tensor, "N H W"],
        preds: Nets,
        class_names: Sequence[str],
        palette: UInt8[ndarray, "K 3"],
    ) -> None:
        if (len(images), *images.shape[2:]) != tuple(labels.shape):
            raise ValueError(f"the images have shape {tuple(images.shape)}, the labels {tuple(labels.shape)}")
        for name, predicted in preds.items():
            if predicted.shape != labels.shape:
                raise ValueError(f"the predictions of {name} have shape {tuple(predicted.shape)}, the labels {tuple(labels.shape)}")
        alt = f"{len(images)} scenes: image, labels and the predictions of {', '.join(preds)}."
        super().__init__(
            viewer_data(images, labels, preds, class_names, palette), _poster(images, labels, preds, class_names, palette), alt
        )


def viewer_data(images: Tensor, labels: Tensor, preds: Nets, class_names: Sequence[str], palette: ndarray) -> dict[str, Any]:
    """What the front end needs: class maps as bytes, pictures as PNG, and the scores."""
    scores = scene_scores(labels, preds, len(class_names))
    scenes = [
        {
            "image": "data:image/png;base64," + base64.b64encode(shrink(Image.fromarray(as_picture(images[n])))).decode(),
            "labels": _class_bytes(labels[n]),
            "preds": [_class_bytes(predicted[n]) for predicted in preds.values()],
            "scores": scores[n],
        }
        for n in range(len(images))
    ]
    height, width = labels.shape[1:]
    names = {"nets": list(preds), "classes": list(class_names), "palette": palette.tolist()}
    return {"scenes": scenes, **names, "height": height, "width": width}


def _class_bytes(labels: Tensor) -> str:
    return base64.b64encode(labels.byte().numpy().tobytes()).decode()


def _poster(images: Tensor, labels: Tensor, preds: Nets, class_names: Sequence[str], palette: ndarray) -> bytes:
    """The first scene: image, labels, and each net's prediction, side by side."""
    maps = {"labels": labels, **preds}
    row = [as_picture(images[0]), *(patterned(part[0], palette) for part in maps.values())]
    fig = pictures([row], titles=["image", *maps], side=1.9)
    class_legend(fig, class_names, palette)
    return png(fig)
