"""The command line: python -m edu_seg train | presets | evaluate | results | predict | export | models | receptive-field | data.

What is imported at the top is little, so that help comes quickly; each command imports what it needs. A mistake of the user's
(an unknown preset, a missing folder, a damaged checkpoint) is one line on stderr and exit code 2; set EDU_SEG_TRACEBACK=1 to see
where it came from.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

try:
    import tyro
except ModuleNotFoundError:
    sys.exit("error: the commands need tyro: pip install 'edu_seg[train]'")

if TYPE_CHECKING:
    from torch import nn

    from edu_seg.catalogue import Cost
    from edu_seg.presets import Preset
    from edu_seg.training import FitConfig


def train(
    preset: str,
    run: Annotated[Path | None, tyro.conf.arg(aliases=["--run-dir"])] = None,
    data: Path | None = None,
    sbd: Path | None = None,
    stage_from: Path | None = None,
    resume: bool = False,
    random_weights: bool = False,
    limit: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    accumulation: int | None = None,
    lr: float | None = None,
    warmup: int | None = None,
    clip: float | None = None,
    sync_batch_norm: bool = False,
    mixed_precision: str | None = None,
    num_workers: int | None = None,
    device: str | None = None,
    seed: int | None = None,
    max_minutes: float | None = None,
    channels_last: bool = False,
    compile: bool = False,
    deterministic: bool = False,
    profile: bool = False,
    cache: Literal["auto", "yes", "no"] = "auto",
    quiet: bool = False,
) -> None:
    """Train a preset's model; several processes by `torchrun -m edu_seg train ...`.

    Args:
        preset: Its name, such as shapes-cpu or camvid-cpu; the command presets lists them all.
        run: The folder that everything is written to [default: runs/PRESET]; torchrun takes --run for its own, so there write --run-dir.
        data: The data set's folder [default: its usual name below the folder that EDU_SEG_DATA names].
        sbd: SBD's folder: adds its training images to VOC's.
        stage_from: A run or checkpoint of the coarser net that this one starts from.
        resume: Go on with the run in the folder, or start it if there is none.
        random_weights: Start from random weights where the preset takes ImageNet's.
        limit: Use only so many images of each list, for a try.
        epochs: Instead of the preset's, as are all that follow. A preset whose paper counts steps takes more of a smaller set.
        batch_size: Images per optimiser step, over all processes.
        accumulation: Pieces that a batch is computed in, to save memory.
        lr: The first learning rate.
        warmup: Steps over which the learning rate rises to it.
        clip: The largest norm of a gradient.
        sync_batch_norm: Several processes normalise over the images of all.
        mixed_precision: no, bf16 or fp16.
        num_workers: Processes that load images.
        device: auto, cpu, cuda or mps.
        seed: Of everything random.
        max_minutes: Stop before the epoch that would not end in time, counted from this command's start; --resume goes on.
        channels_last: Store maps with their channels side by side, in which most devices convolve faster.
        compile: Let torch.compile rewrite the network; the first steps then take minutes.
        deterministic: The same bits on each run, on a GPU too, at a lower speed.
        profile: Say after each epoch which share of its time went to data, forward, backward and optimiser.
        cache: Decode all images once, before the first epoch, and keep them in memory; auto: those of CamVid, and your own where the
            preset resizes them (so 0.3 MB each).
        quiet: No progress bars.
    """
    started = time.perf_counter()
    from edu_seg import presets
    from edu_seg.datasets.transforms import denormalise
    from edu_seg.training import fit
    from edu_seg.training.randomness import seed_everything

    chosen = presets.get(preset)
    folder = run or Path("runs") / preset
    root, sbd_root = (str(path) if path else None for path in (data, sbd))
    keep = {"auto": None, "yes": True, "no": False}[cache]
    train_base, val_base = (presets.labelled_set(chosen.data, root, split, sbd_root, cache=keep) for split in ("train", "val"))
    _check_stage(chosen, folder, stage_from, resume)  # before what takes long
    drawn_from, bar = chosen.fit.seed if seed is None else seed, _is_first_process() and not quiet
    train_data = presets.training_set(chosen.data, train_base, drawn_from, limit, progress=bar)
    if limit is None:
        chosen = replace(chosen, fit=chosen.fit_for(len(train_data)))
    changes = {
        "epochs": epochs,
        "batch_size": batch_size,
        "accumulation": accumulation,
        "lr": lr,
        "warmup": warmup,
        "clip": clip,
        "sync_batch_norm": sync_batch_norm or None,
        "mixed_precision": mixed_precision,
        "num_workers": num_workers,
        "device": device,
        "seed": seed,
        "max_minutes": max_minutes,
        "channels_last": channels_last or None,
        "compile": compile or None,
        "deterministic": deterministic or None,
        "profile": profile or None,
    }
    config = _config(chosen, {name: value for name, value in changes.items() if value is not None}, quiet)
    _say_length(chosen, config, len(train_data))
    chosen = replace(chosen, pretrained=chosen.pretrained and not random_weights)
    seed_everything(config.seed, 0)
    model, stages = _model_to_train(chosen, train_base.num_classes, folder, stage_from, resume)
    start = {"limit": limit, "random_weights": random_weights, "sbd": sbd is not None, "stages": stages}
    history = fit(
        model,
        train_data,
        presets.evaluation_set(val_base, limit),
        presets.make_loss(chosen, train_base, limit),
        config,
        folder,
        num_classes=train_base.num_classes,
        palette=train_base.palette,
        display=denormalise,
        description=chosen.description(preset, train_base) | {"start": start},
        resume=resume,
        started=started,
    )
    if _is_first_process():
        done = history[-1]["epoch"] if history else 0
        state = "trained" if done == config.epochs else f"stopped after {done} of {config.epochs} epochs, --resume goes on"
        print(f"{folder}: {state}. Scores: python -m edu_seg evaluate {folder}")


def list_presets(name: Annotated[str | None, tyro.conf.Positional] = None) -> None:
    """List the presets, or say what one of them trains and where its numbers come from.

    Args:
        name: One of them; left out: list all.
    """
    from edu_seg import presets

    if name is not None:
        print(presets.get(name).to_text(name))
        return
    width, models_width = (max(map(len, names)) for names in (presets.PRESETS, (one.model for one in presets.PRESETS.values())))
    for key, preset in presets.PRESETS.items():
        print(f"{key:<{width}}  {preset.model:<{models_width}}  {preset.data.kind:<10}  {preset.fit.epochs:>3} epochs")


def _is_first_process() -> bool:
    """Of torchrun's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _say_length(preset: "Preset", config: "FitConfig", found: int) -> None:
    """Where the paper counts steps: how many these images make."""
    if preset.images_due is not None and _is_first_process():
        steps = config.epochs * (found // config.batch_size)
        print(f"{found:,} training images, {preset.images_due:,} in the paper: {config.epochs} epochs, {steps:,} steps", flush=True)


def _config(preset: "Preset", changes: dict[str, Any], quiet: bool) -> "FitConfig":
    """The preset's settings with the user's. A smaller batch has fewer pieces where it must."""
    if "batch_size" in changes and "accumulation" not in changes:
        changes["accumulation"] = min(preset.fit.accumulation, changes["batch_size"])
    return replace(preset.fit, **changes, progress=not quiet)


def _is_taken_up(folder: Path, resume: bool) -> bool:
    """Whether there is a checkpoint to go on from."""
    from edu_seg.training.checkpoints import LAST

    return resume and (folder / "checkpoints" / LAST).exists()


def _check_stage(preset: "Preset", folder: Path, stage_from: Path | None, resume: bool) -> None:
    if stage_from is not None and preset.stage_from is None:
        raise ValueError("--stage-from: this preset does not start from another net.")
    if stage_from is None and preset.stage_from is not None and not _is_taken_up(folder, resume):
        raise ValueError(f"this preset starts from a trained {preset.stage_from}: train that first, then give --stage-from RUN.")


def _model_to_train(
    preset: "Preset", num_classes: int, folder: Path, stage_from: Path | None, resume: bool
) -> "tuple[nn.Module, list[dict[str, Any]]]":
    """The preset's model, for a staged one with the coarser net's weights in it, and what to note of the runs that it starts from."""
    from edu_seg.prediction import load_trained
    from edu_seg.presets import start_from
    from edu_seg.results import stages_until
    from edu_seg.training import read_history

    model = (preset.without_weights() if _is_taken_up(folder, resume) else preset).build(num_classes)
    if stage_from is None:
        return model, []
    coarser, checkpoint = load_trained(stage_from)
    preset.check_form(checkpoint.config["model"]["options"])
    start_from(model, coarser)
    return model, stages_until(checkpoint, read_history(stage_from))


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    data: Path | None = None,
    split: str = "val",
    limit: int | None = None,
    window: int | None = None,
    overlap: float = 1 / 3,
    scales: tuple[float, ...] = (1.0,),
    mirror: bool = False,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
    batch_size: int = 1,
    num_workers: int = 0,
    result: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Print the four scores and each class's IU of a trained model.

    Args:
        run: A run's folder (its best checkpoint) or a checkpoint file.
        data: The data set's folder [default: below the folder that EDU_SEG_DATA names].
        split: val, or another list of the set.
        limit: Only so many images.
        window: Slide a window of so many pixels squared over each image, instead of taking it whole.
        overlap: The part of a window that the next one shares with it.
        scales: The mean over images scaled by these factors.
        mirror: The mean with the mirrored image as well.
        mixed_precision: Compute in bf16 or fp16 what bears it: faster on a GPU, and the scores may differ in the last digit.
        batch_size: Images at once; more than one only where all have one size.
        num_workers: Processes that load images.
        result: Also write the scores to this JSON file, with the command, versions, machine, seed and time of the run.
        device: auto, cpu, cuda or mps.
        quiet: No progress bar.
    """
    from edu_seg import presets, results, training
    from edu_seg.prediction import Inference, Tested, load_trained

    if batch_size < 1 or num_workers < 0:
        raise ValueError(f"--batch-size {batch_size}, --num-workers {num_workers}: at least 1, and not below 0.")
    model, checkpoint = load_trained(run)
    inference = Inference(window, overlap, scales, mirror, mixed_precision=mixed_precision)
    spec = presets.DataSpec.from_json(checkpoint.config["data"])
    base = presets.labelled_set(spec, str(data) if data else None, split, cache=False)  # each image is wanted once
    accelerator = training.make_accelerator(device)
    matrix = training.evaluate(
        Tested(model, inference).to(accelerator.device),
        presets.evaluation_set(base, limit),
        base.num_classes,
        batch_size=batch_size,
        num_workers=num_workers,
        accelerator=accelerator,
        progress=not quiet,
    )
    if not accelerator.is_main_process:
        return
    print(f"{run}, epoch {checkpoint.epoch}, {len(base) if limit is None else min(limit, len(base))} images of {split}")
    print(matrix.table(base.classes))
    if result is not None:
        history = training.read_history(run)
        images = len(base) if limit is None else min(limit, len(base))
        found = results.make_result(model, checkpoint, matrix, history, split, accelerator.device, images)
        results.write_result(result, found | {"inference": asdict(inference)})


def predict(
    run: Annotated[Path, tyro.conf.Positional],
    images: Annotated[list[Path], tyro.conf.Positional],
    out: Path,
    window: int | None = None,
    overlap: float = 1 / 3,
    scales: tuple[float, ...] = (1.0,),
    mirror: bool = False,
    crf: bool = False,
    mixed_precision: Literal["no", "bf16", "fp16"] = "no",
    device: str = "auto",
) -> None:
    """Segment images: for each a palette PNG of the classes (NAME.png) and an overlay (NAME_overlay.png).

    Args:
        run: A run's folder (its best checkpoint), a checkpoint file, or a program that `export` wrote (NAME.pt2; only one that you trust,
            since it is run), which slides over the image as a window of its own size.
        images: Image files of any size, and folders of them, such as the frames of a film; greyscale and transparent ones become RGB.
        out: The folder to write to.
        window: Slide a window of so many pixels squared over the image, instead of taking it whole.
        overlap: The part of a window that the next one shares with it.
        scales: The mean over images scaled by these factors.
        mirror: The mean with the mirrored image as well.
        crf: Refine the result with a dense CRF.
        mixed_precision: Compute in bf16 or fp16 what bears it: faster on a GPU.
        device: auto, cpu, cuda or mps.
    """
    import numpy as np
    from PIL import Image

    from edu_seg.datasets.files import overlay, write_palette_png
    from edu_seg.prediction import PROGRAM_SUFFIX, Inference, Predictor, image_files, output_files, predictions
    from edu_seg.training import make_accelerator

    targets = output_files(image_files(images), out)
    inference, place = Inference(window, overlap, scales, mirror, crf, mixed_precision), make_accelerator(device).device
    if run.suffix == PROGRAM_SUFFIX:
        predictor, config = Predictor.of_program(run, place, inference)
    else:
        predictor, checkpoint = Predictor.of_run(run, place, inference)
        config = checkpoint.config
    palette = np.array(config["palette"], np.uint8)
    out.mkdir(parents=True, exist_ok=True)
    for path, photograph, labels in predictions(predictor, targets):
        labels_path, overlay_path = targets[path]
        write_palette_png(labels_path, labels, palette)
        Image.fromarray(overlay(photograph, labels, palette)).save(overlay_path)
        print(f"{path} -> {labels_path}, {overlay_path.name}")


def export(run: Annotated[Path, tyro.conf.Positional], out: Path, size: tuple[int, int]) -> None:
    """Write a trained model as a program of torch.export, for use without this package (or by `predict`).

    Args:
        run: A run's folder (its best checkpoint) or a checkpoint file.
        out: The file to write, such as model.pt2; not written where its logits would differ by more than 1e-5 of the model's largest.
        size: Height and width of the images that it takes: RGB, normalised as in training.
    """
    from edu_seg.prediction import export_program, load_trained

    model, checkpoint = load_trained(run)
    difference = export_program(model, size, out, checkpoint.config)
    print(f"{out}: images (1, 3, {size[0]}, {size[1]}) -> logits; read back, it differs from the model by at most {difference:.1e}")


def results(folder: Annotated[Path, tyro.conf.Positional] = Path("data/results")) -> None:
    """Print the table of a folder of results.

    Args:
        folder: Where `evaluate --result` has written to.
    """
    from edu_seg.results import read_results, table

    print(table(read_results(folder)))


def models(cost: int | None = None, markdown: Path | None = None) -> None:
    """List the models: name, number of learnable parameters for 21 classes, paper.

    Args:
        cost: Instead of the paper, what a training step costs for one image of so many pixels squared (in a batch of two): billions of
            multiply-adds of the forward pass, MiB that its activations hold in float32, and the receptive field of a pixel of the output.
        markdown: A folder of results (data/results): the table that the README shows.
    """
    from edu_seg import catalogue
    from edu_seg.models import MODELS, PAPERS

    if cost is not None and cost < 1:
        raise ValueError(f"--cost {cost}: give the side of an image in pixels, say 513.")
    if markdown is not None:
        from edu_seg.results import read_results

        print(catalogue.model_table(read_results(markdown)))
        return
    width = max(map(len, MODELS))
    print(f"{'model':<{width}}  {'parameters':>12}  " + ("paper" if cost is None else f"{'10^9 mult-adds':>14}  {'MiB':>7}  field"))
    for name, count, model in catalogue.listed():
        print(f"{name:<{width}}  {count:>12,}  {PAPERS[name] if cost is None else _columns(catalogue.cost(model, cost))}")


def _columns(found: "Cost | str") -> str:
    """The columns of `models --cost`, or why there are none."""
    if isinstance(found, str):
        return found
    return f"{found.multiply_adds / 1e9:>14.1f}  {found.activation_bytes / 2**20:>7.0f}  {found.field}"


def receptive_field(
    network: Annotated[str, tyro.conf.Positional],
    size: tuple[int, int] = (224, 224),
    layer: str | None = None,
    channels: int = 3,
    leave_out_whole: bool = False,
    containers: bool = False,
) -> None:
    """Print the receptive field of every layer of a network.

    Args:
        network: A name that `models` lists, or module:function of whatever builds a network, such as torchvision.models:resnet50.
        size: Height and width of the image.
        layer: Only this layer.
        channels: Of the image.
        leave_out_whole: Pass by what looks at a whole map (squeeze-and-excitation, image pooling, attention), as papers do.
        containers: Also the modules that only hold others.
    """
    from edu_seg.receptive_field import ReceptiveFields, receptive_fields

    whole_map = "leave_out" if leave_out_whole else "include"
    fields = receptive_fields(_network(network), size, channels=channels, whole_map=whole_map)
    if layer is not None:
        if layer not in fields:
            raise ValueError(f"--layer {layer}: there is no such layer; --containers without --layer lists all.")
        fields, containers = ReceptiveFields({layer: fields[layer]}), True
    print(fields.to_table(containers=containers))


def _network(name: str) -> "nn.Module":
    """A model of the course, or what a function of any module builds; without memory for its weights where it can be."""
    import torch
    from torch import nn

    from edu_seg.models import MODELS, build

    module, colon, function = name.partition(":")
    if not colon and name not in MODELS:
        raise ValueError(f"no model is called {name!r}: give one of {', '.join(MODELS)}, or module:function.")
    make = (lambda: build(name)) if not colon else _function(module, function)
    try:
        with torch.device("meta"):
            network = make()
    except NotImplementedError:  # it computes with numbers while it is being built
        network = make()
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} gives a {type(network).__name__}: give a function that returns a network.")
    return network


def _function(module: str, function: str) -> Any:
    """A function by its name, or ValueError saying which part of the name is wrong."""
    import importlib

    try:
        return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ValueError(f"{module}: {error}; the module has to be installed or in this folder.") from error
    except AttributeError as error:
        raise ValueError(f"{module} has no function {function!r}.") from error


def data(
    name: Annotated[str | None, tyro.conf.Positional] = None,
    root: Path | None = None,
    sbd: Path | None = None,
    download: bool = False,
    sample: int = 20,
) -> None:
    """Say where to get a data set, check the folder that it is in, or download it.

    Args:
        name: camvid, voc, sbd, cityscapes, ade20k, or folder for images and masks of your own; left out: list them.
        root: The set's folder [default: its usual name below the folder that EDU_SEG_DATA names].
        sbd: SBD's folder, to check that it and VOC make up the usual 10,582 training images.
        download: Fetch the set into the folder first, if its terms allow; the same command goes on with what was interrupted.
        sample: Images of each list that are decoded for the check.
    """
    from tqdm import tqdm

    from edu_seg.datasets import checking, published

    if name is None:
        print(checking.overview())
        return
    info = published.get_set(name)
    print(checking.describe(info))
    folder = root or checking.usual_root(info)
    if folder is None and download:
        raise ValueError("--download: say where to, by --root FOLDER or by setting EDU_SEG_DATA.")
    if folder is None or not (root or download or folder.is_dir()):
        print("No folder to check: give --root FOLDER, or set EDU_SEG_DATA.")
        return
    if download and (info.archive is None or checking.is_missing(info, folder)):
        with tqdm(unit="B", unit_scale=True, desc=info.name) as bar:
            checking.download(info, folder, bar.write, lambda done, total: _show(bar, done, total))
    report = checking.check_folder(name, folder, sample, sbd)
    print(report.to_text())
    if report.problems:
        raise ValueError(f"{folder}: what is wrong there ({len(report.problems)}) is listed above.")


def _show(bar: Any, done: int, total: int | None) -> None:
    bar.total, bar.n = total, done
    bar.refresh()


ABOUT = "Train, score, use and look into segmentation models; each command has its own --help."
COMMANDS = {
    "train": train,
    "presets": list_presets,
    "evaluate": evaluate,
    "results": results,
    "predict": predict,
    "export": export,
    "models": models,
    "receptive-field": receptive_field,
    "data": data,
}


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for a mistake of the user's, 130 where the run was interrupted."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="python -m edu_seg", description=ABOUT, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
        )
    except (ValueError, OSError, ArithmeticError, RuntimeError) as error:
        if os.environ.get("EDU_SEG_TRACEBACK"):
            raise
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        print(f"error: {' '.join(' '.join([text, *getattr(error, '__notes__', [])]).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(*getattr(interrupt, "__notes__", ["Interrupted."]), file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
