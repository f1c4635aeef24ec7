"""From a trained run to the labels of a photograph, a folder of them or the frames of a film, one image at a time."""

import copy
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from edu_seg import models
from edu_seg.crf import DenseCRF
from edu_seg.datasets.files import read_image
from edu_seg.datasets.transforms import evaluation_transform
from edu_seg.files import write_atomically
from edu_seg.inference import multi_scale, sliding_window
from edu_seg.training import Checkpoint, find_checkpoint, load_checkpoint

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def load_trained(run_or_checkpoint: Path) -> tuple[nn.Module, Checkpoint]:
    """The model that a run has trained, in evaluation mode, with nothing but the checkpoint to go by.

    Raises FileNotFoundError, CorruptCheckpoint, and ValueError for a checkpoint that does not say which model it is of.
    """
    path = find_checkpoint(run_or_checkpoint)
    checkpoint = load_checkpoint(path, optimiser=False)
    if "model" not in checkpoint.config:
        raise ValueError(f"{path}: does not say which model it is of; only runs of `python -m edu_seg train` can be used here.")
    stored = checkpoint.config["model"]
    model = models.build(stored["name"], stored["num_classes"], **stored["options"])
    model.load_state_dict(checkpoint.model)
    return model.eval(), checkpoint


@dataclass(frozen=True)
class Inference:
    """How an image is tested. window: pixels of a sliding window's side (or its height and width), for images larger than the crops of
    training; None: the image as a whole. scales, mirror: means over scaled and mirrored images. crf: DenseCRF with its authors' widths and
    weights on top. mixed_precision: what the net computes in, where it bears it; its logits come back in the images' own type.
    """

    window: int | tuple[int, int] | None = None
    overlap: float = 1 / 3
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    crf: bool = False
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"

    def around(self, model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """The model, window by window and scale by scale: images (N, 3, H, W) -> logits (N, K, H, W)."""
        if self.mixed_precision != "no":
            model = partial(_in_precision, model, {"bf16": torch.bfloat16, "fp16": torch.float16}[self.mixed_precision])
        if self.window is not None:
            model = partial(sliding_window, model, window=self.window, overlap=self.overlap)
        if self.mirror or self.scales != (1.0,):
            model = partial(multi_scale, model, scales=self.scales, mirror=self.mirror)
        return model


def _in_precision(model: Callable[[Tensor], Tensor], precision: torch.dtype, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
    """Logits in the images' type, so that means over windows and scales are not rounded."""
    with torch.autocast(images.device.type, precision):
        return model(images).to(images.dtype)


class Tested(nn.Module):
    """A model with a way of testing around it, for scoring: images (N, 3, H, W) -> logits (N, K, H, W)."""

    def __init__(self, model: nn.Module, inference: Inference) -> None:
        super().__init__()
        self.model, self.inference = model, inference

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        return self.inference.around(self.model)(images)


CRF = DenseCRF(80, 13, 3, 10, 3)
"""The widths and weights of the released example of Krähenbühl and Koltun 2011."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """photograph uint8 (H, W, 3) -> labels uint8 (H, W), classes up to 255.

    size: the images of training were resized to this (height, width); a photograph is brought to that height first, whatever its own,
    and its scores back. None: it is taken as it is.
    """

    model: nn.Module
    size: Sequence[int] | None = None
    inference: Inference = field(default_factory=Inference)

    @classmethod
    def of_run(cls, run_or_checkpoint: Path, device: torch.device, inference: Inference) -> "tuple[Predictor, Checkpoint]":
        model, checkpoint = load_trained(run_or_checkpoint)
        return cls(model.to(device), checkpoint.config["data"]["size"], inference), checkpoint

    @classmethod
    def of_program(cls, path: Path, device: torch.device, inference: Inference) -> "tuple[Predictor, dict[str, Any]]":
        """The predictor of an exported program, whose size is the window that slides over a photograph, and its run's configuration."""
        if inference.window is not None:
            raise ValueError(f"{path}: a program takes images of one size, which is its window; leave {inference.window} out.")
        program, config = load_program(path, device)
        height, width = config["program_size"]
        return cls(program, config["data"]["size"], replace(inference, window=(height, width))), config

    @torch.inference_mode()
    def logits(self, photograph: UInt8[ndarray, "H W 3"]) -> Float[Tensor, "1 K H W"]:
        """Scores at the photograph's own size, before any CRF."""
        height, width = photograph.shape[:2]
        pixels = torch.from_numpy(photograph).permute(2, 0, 1) / 255
        if self.size is not None:
            seen = (self.size[0], max(1, round(width * self.size[0] / height)))
            pixels = F.interpolate(pixels[None], seen, mode="bilinear", align_corners=False, antialias=True)[0]
        pixels, _ = evaluation_transform()(pixels, torch.zeros(pixels.shape[1:], dtype=torch.int64))
        scores = self.inference.around(self.model)(pixels[None].to(next(self.model.parameters()).device))
        return F.interpolate(scores, (height, width), mode="bilinear", align_corners=False)

    def __call__(self, photograph: UInt8[ndarray, "H W 3"]) -> UInt8[ndarray, "H W"]:
        scores = self.logits(photograph)
        if self.inference.crf:
            scores = CRF(scores, torch.from_numpy(photograph).permute(2, 0, 1)[None].to(scores.device))
        return scores.argmax(1)[0].to(torch.uint8).cpu().numpy()


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and the images in folders among them, frame 2 before frame 10.

    Raises FileNotFoundError for a folder without images.
    """
    files: list[Path] = []
    for path in paths:
        files += _images_in(path) if path.is_dir() else [path]
    return files


def _images_in(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise FileNotFoundError(f"{folder}: no image in this folder ({', '.join(IMAGE_SUFFIXES)}).")
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)])


def output_files(files: Iterable[Path], out: Path) -> dict[Path, tuple[Path, Path]]:
    """Where each file's labels (NAME.png) and overlay (NAME_overlay.png) go in the folder `out`.

    Raises ValueError where one of them would replace an image that is to be predicted, or two would be written under one name.
    """
    targets = {path: (out / f"{path.stem}.png", out / f"{path.stem}_overlay.png") for path in files}
    inputs = {_identity(path): path for path in targets if path.exists()}
    writers: dict[Path, Path] = {}
    for path, target in ((path, target) for path, both in targets.items() for target in both):
        if target in writers:
            raise ValueError(f"{writers[target]} and {path} would both be written to {target}: predict them into two folders (--out).")
        writers[target] = path
        if target.exists() and _identity(target) in inputs:
            raise ValueError(f"{inputs[_identity(target)]} would be overwritten by its prediction: give --out another folder.")
    return targets


def _identity(path: Path) -> tuple[int, int]:
    """Which file a name leads to, by whatever links, and on a disk that takes a.PNG for a.png."""
    status = path.stat()
    return status.st_dev, status.st_ino


def predictions(predictor: Predictor, files: Iterable[Path]) -> Iterator[tuple[Path, ndarray, ndarray]]:
    """(file, photograph, labels) of one file after the other: however many there are, one is in memory.

    Photographs are turned upright, as their cameras marked them. Raises as `read_image` does.
    """
    for path in files:
        photograph = read_image(path, upright=True)
        yield path, photograph, predictor(photograph)


PROGRAM_SUFFIX = ".pt2"
RUN_FILE = "edu_seg.json"
"""Inside a program, what its run says of the images and the classes."""
PROGRAM_TOLERANCE = 1e-5


def export_program(model: nn.Module, size: tuple[int, int], path: Path, config: Mapping[str, Any] | None = None) -> float:
    """Writes `model` for images (1, 3, height, width) as a program of `torch.export`, which runs without this package.

    config: of the run, for `load_program`. Returns the largest difference of the program's logits, as the file holds it, from the model's
    on noise. Raises ArithmeticError, and writes nothing, where that is above 1e-5 (of the largest logit, if that is above 1), and
    ValueError for a file that is not to end in .pt2.
    """
    if path.suffix != PROGRAM_SUFFIX:
        raise ValueError(f"{path}: a program's file must end in {PROGRAM_SUFFIX}.")
    draw = torch.Generator().manual_seed(0)
    images: tuple[Any, ...] = (torch.randn(1, 3, *size, generator=draw),)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # as the file stores weights
    buffer = io.BytesIO()
    with torch.no_grad():
        about = None if config is None else {RUN_FILE: json.dumps(dict(config) | {"program_size": size})}
        torch.export.save(torch.export.export(plain, images), buffer, extra_files=about)
        buffer.seek(0)
        made, wanted = torch.export.load(buffer).module()(*images), model(*images)
    difference, bound = float((made - wanted).abs().max()), PROGRAM_TOLERANCE * max(1.0, float(wanted.abs().max()))
    if not difference <= bound:  # nan is not
        raise ArithmeticError(f"{path}: not written, since the program's logits differ from the model's by {difference:.1e} > {bound:.1e}.")
    write_atomically(path, buffer.getvalue())
    return difference


def load_program(path: Path, device: torch.device) -> tuple[nn.Module, dict[str, Any]]:
    """A program that `export_program` wrote with a `config`, on the device, and that configuration with "program_size" (height, width).

    To load a program is to run what is in it: take only those that you trust. Raises FileNotFoundError, OSError for a damaged file, and
    ValueError, before anything is run, for a program of other origin.
    """
    config = _program_config(path)
    try:
        program = torch.export.load(io.BytesIO(path.read_bytes()))
    except Exception as error:  # anything from KeyError to RuntimeError
        raise OSError(f"{path}: damaged, or of another version of PyTorch ({error}); export it again.") from error
    return move_to_device_pass(program, device).module(), config


def _program_config(path: Path) -> dict[str, Any]:
    """What `export_program` has put into the file beside the program."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(f"/{RUN_FILE}"):
                    return json.loads(archive.read(name))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such program.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise OSError(f"{path}: damaged or not a program ({error}); export it again.") from error
    raise ValueError(f"{path}: does not say which classes it knows: damaged, or not a program of `python -m edu_seg export`.")
