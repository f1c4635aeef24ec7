"""`fit`: the training loop.

It stands on Hugging Face Accelerate, because then one loop serves a CPU, a GPU and several processes, with or without mixed
precision, and this package holds no code for process groups, autocast or loss scaling. What decides the result stays visible here:
the order of the images, the shares of the processes, the loss of a divided batch.
"""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from jaxtyping import UInt8
from numpy import ndarray
from torch import Tensor, nn
from tqdm import tqdm

from edu_seg.files import write_atomically
from edu_seg.layers import WithAuxiliary, share_batch_norm
from edu_seg.losses import AuxiliaryLoss, Loss
from edu_seg.training.checkpoints import Checkpoint, optimiser_states, restore
from edu_seg.training.evaluation import evaluate, make_accelerator
from edu_seg.training.loading import Loader, Samples, lost_worker
from edu_seg.training.machine import machine
from edu_seg.training.optimisation import FitConfig, freeze, lr_factor, make_optimiser, set_lr
from edu_seg.training.pictures import Display, predictions_png, spread
from edu_seg.training.profiling import StepTimes, shares
from edu_seg.training.randomness import algorithms, epoch_batches, pieces_of, seed_everything
from edu_seg.training.run_folder import FolderInUse, RunFolder

UNIT = 2.0**18
"""A sum over pixels is first divided by this, and the gradient by the rest of the true number once that is known: it keeps half
precision in range, and a power of two costs no precision."""

CHECK_EVERY = 25
"""Steps between two looks at the loss. Each look makes a GPU wait."""


@runtime_checkable
class HasEpochs(Protocol):
    """A data set whose augmentation depends on the epoch, such as `datasets.Seeded`."""

    def set_epoch(self, epoch: int) -> None: ...


class NotFinite(ArithmeticError):
    """The loss has become nan or infinite."""


def fit(
    model: nn.Module,
    train_data: Samples,
    val_data: Samples,
    loss: Loss,
    config: FitConfig,
    run_dir: str | os.PathLike[str],
    *,
    num_classes: int,
    ignore_index: int = 255,
    palette: UInt8[ndarray, "K 3"] | None = None,
    display: Display = lambda image: image,
    description: Mapping[str, Any] | None = None,
    resume: bool = False,
    started: float | None = None,
) -> list[dict[str, Any]]:
    """Train `model` and leave everything about the run in the folder `run_dir`; return the lines of its `metrics.jsonl`.

    A line holds epoch (from 1), step, loss (the mean over the epoch's counted pixels), lr, the four scores on `val_data`, iou (per
    class; None where absent), seconds (the epoch's own) and elapsed (of all jobs of the run so far, with what lies between epochs).
    After an epoch without validation the scores are missing. The model ends with the last epoch's weights, in evaluation mode; those
    of the best mIoU are in `checkpoints/best.safetensors`.

    - Each epoch is a new order of the images; what does not fill a whole batch is left out of that epoch.
    - The loss and gradient of a step are those of the whole batch, however it is shared among processes and `accumulation` pieces:
      totals and normalisers are added up over all of them before the division. (Batch normalisation and dropout still see shares.)
    - Everything random depends on (seed, epoch, process) alone. So a run that was killed, at any moment, and is continued with
      `resume=True` ends, on one CPU process, with bit for bit the weights of an uninterrupted run.
    - With `losses.AuxiliaryLoss` the model's `forward_with_auxiliary` is trained; validation and pictures are of its main head alone.
    - palette: the classes' colours in the pictures (`predictions/epoch_001.png`; `epoch_000` is before training); without it there
      are none. display: turns a model's input back into an image in 0..1, for the pictures.
    - description: JSON values stored with the configuration and compared on resuming, such as the model's name and options; "start",
      how the run began, is stored and not compared. "machines" is added: where the run has computed, one entry for each machine.
    - `config.max_minutes` ends the run before the epoch that would last longer than the time left; `resume` then goes on. How long the
      first epoch will last nobody knows: it begins while there is time left. started: the job's beginning, as `time.perf_counter`
      had it, where images or weights were prepared before this call.
    - Several machines must share the folder: each process reads the checkpoint there, the first one writes. That one also holds a lock
      on it, so that no second job trains in the same folder.

    Raises FileExistsError where the folder has a run and `resume` is False; FolderInUse; ValueError where a resumed run's settings
    differ, the processes do not find the same checkpoint, a file of the folder is damaged or the data do not fill one batch;
    CorruptCheckpoint; NotFinite where the loss is no longer a number; OSError or ValueError where an image cannot be used, naming it;
    LostWorker; OSError where a file cannot be written (the earlier one is kept). Whatever ends a run that has begun, the last
    checkpoint is whole, and a note on the error says how many epochs it holds.
    """
    accelerator = make_accelerator(config.device, config.mixed_precision)
    run = _Run(accelerator, model, train_data, val_data, loss, config, RunFolder(run_dir), num_classes, ignore_index, palette, display)
    run.started = run.started if started is None else started
    stored = {"fit": asdict(config), "num_classes": num_classes, "train_images": run.num_images, **dict(description or {})}
    try:
        run.begin(stored, resume)
        with algorithms(config.deterministic, tuned=config.batch_size > config.accumulation):
            run.all_epochs()
    except BaseException as error:
        lost = lost_worker(error)
        if run.begun:
            whole = f"{run.saved} whole epoch{'' if run.saved == 1 else 's'}"
            anew = "begin anew in another folder, for a resumed run keeps its settings"
            then = anew if isinstance(error, NotFinite) else "go on with resume"
            (lost or error).add_note(f"Stopped in epoch {run.saved + 1}. {run.folder.path} holds {whole}: {then}.")
        if lost:
            raise lost from error
        raise
    finally:
        run.folder.release()
        accelerator.unwrap_model(run.wrapped, keep_fp32_wrapper=False)
        model.__dict__.pop("forward", None)  # Accelerate leaves its own there; the class has the right one
        model.eval()
    return run.history


class _Run:
    """A run in progress: what `fit` was given, and how far it is."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        train_data: Samples,
        val_data: Samples,
        loss: Loss,
        config: FitConfig,
        folder: RunFolder,
        num_classes: int,
        ignore_index: int,
        palette: ndarray | None,
        display: Display,
    ) -> None:
        self.accelerator, self.config, self.folder = accelerator, config, folder
        self.train_data, self.val_data = train_data, val_data
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.palette, self.display = palette, display
        self.num_images = len(train_data)
        self._check_batch()
        self.total_steps = config.epochs * (self.num_images // config.batch_size)
        self.epoch, self.step, self.saved = 0, 0, 0  # done so far; saved: epochs in the last checkpoint
        self.best: float | None = None
        self.history: list[dict[str, Any]] = []
        self.begun, self.started = False, time.perf_counter()
        self.loss = loss.to(accelerator.device)
        self.memory_format = torch.channels_last if config.channels_last else torch.preserve_format
        self.model = model.to(accelerator.device, memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        if config.sync_batch_norm and accelerator.num_processes > 1:
            share_batch_norm(self.model)
        self.load = Loader(train_data, accelerator.device, config.num_workers)
        self.times = StepTimes(accelerator.device, config.profile)
        self.frozen = freeze(self.model, config.frozen)
        self.optimiser = make_optimiser(self.model, config)
        # What a step calls: the model, or both of its heads; with Accelerate around it, once `begin` has prepared it.
        self.wrapped: nn.Module = WithAuxiliary(self.model) if isinstance(loss, AuxiliaryLoss) else self.model
        if config.compile:
            self.wrapped = torch.compile(self.wrapped)  # pyright: ignore[reportAttributeAccessIssue]  # a module, as its argument is

    def _check_batch(self) -> None:
        batch, processes, pieces = self.config.batch_size, self.accelerator.num_processes, self.config.accumulation
        if self.num_images < batch:
            raise ValueError(f"batch_size = {batch}, but there are only {self.num_images} training images: take a smaller batch.")
        if batch < processes * pieces:
            fewer = f"lower accumulation to at most {batch // processes}, or " if batch >= processes else ""
            raise ValueError(
                f"batch_size = {batch} is the whole batch of an optimiser step and cannot be shared by {processes} processes × "
                f"{pieces} accumulation pieces: {fewer}take a batch of at least {processes * pieces}."
            )

    def begin(self, stored: dict[str, Any], resume: bool) -> None:
        """Start the run's folder, or take the run up where its folder has it."""
        self._hold_folder(resume)
        checkpoint = self.folder.open(stored, resume=resume)
        if checkpoint:
            restore(checkpoint, self.model, self.optimiser)
            self.epoch, self.step, self.best = checkpoint.epoch, checkpoint.step, checkpoint.best
            self.saved = checkpoint.epoch
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(checkpoint.extra["loss_scale"])
        self._check_same_epoch()
        stored |= self._way_so_far(checkpoint.config if checkpoint else {})
        self.history = self.folder.metrics_until(self.epoch)
        self.earlier = list(self.history)
        self.accelerator.wait_for_everyone()  # all have read before one writes
        if self.accelerator.is_main_process:
            self.folder.start(stored, self.history)
        self.stored, self.begun = stored, True
        self.wrapped, self.prepared = self.accelerator.prepare(self.wrapped, self.optimiser)
        if not checkpoint:
            self._draw()
            self._save(is_best=False)

    def _hold_folder(self, resume: bool) -> None:
        """Keep other jobs out: the first process does, and all raise what keeps it from that."""
        failure: Exception | None = None
        if self.accelerator.is_main_process:
            try:
                self.folder.hold(resume=resume)
            except (OSError, FolderInUse) as error:
                failure = error
        failure = broadcast_object_list([failure])[0]
        if failure:
            raise failure

    def _check_same_epoch(self) -> None:
        """Raise ValueError where processes go on from different epochs: they would wait for each other for ever, or mix weights."""
        epochs = sorted(set(gather_object([self.epoch]))) if self.accelerator.num_processes > 1 else [self.epoch]
        if len(epochs) > 1:
            raise ValueError(
                f"{self.folder.path}: the processes find different checkpoints there (epochs {', '.join(map(str, epochs))}). "
                "The folder must be one that all machines share."
            )

    def _way_so_far(self, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """What the configuration says of the run's way: how it began, and the machines that it was on, this one the last."""
        here = machine(self.accelerator.device, self.accelerator.num_processes)
        machines = [other for other in earlier.get("machines", []) if other != here]
        return {"machines": [*machines, here]} | ({"start": earlier["start"]} if "start" in earlier else {})

    def all_epochs(self) -> None:
        longest = max((record["seconds"] for record in self.history), default=0.0)
        for epoch in range(self.epoch + 1, self.config.epochs + 1):
            start = time.perf_counter()
            if self._is_out_of_time(epoch, start, longest):
                break
            self.one_epoch(epoch)
            longest = max(longest, time.perf_counter() - start)

    def _is_out_of_time(self, epoch: int, now: float, longest: float) -> bool:
        """Whether an epoch as long as the longest so far would end too late: decided by the first process for all.

        What the first validation will take is not known: as long an image as training.
        """
        if self.config.max_minutes is None:
            return False
        if self._validates(epoch) and not any("mean_iou" in record for record in self.history):
            longest *= 1 + len(self.val_data) / self.num_images
        return broadcast_object_list([now - self.started + longest > 60 * self.config.max_minutes])[0]

    def one_epoch(self, epoch: int) -> None:
        """Train for an epoch, validate, and store all that came of it; only then does the epoch count as done."""
        start = time.perf_counter()
        seed_everything(self.config.seed, epoch, self.accelerator.process_index)
        if isinstance(self.train_data, HasEpochs):
            self.train_data.set_epoch(epoch)
        mean_loss = self._train(epoch)
        self.epoch = epoch
        lr = self.config.lr * lr_factor(self.config, self.step - 1, self.total_steps)
        record = {"epoch": epoch, "step": self.step, "loss": mean_loss, "lr": lr} | self._validate()
        if parts := self.times.take():
            record["parts"] = parts
        now = time.perf_counter()
        self._store(record | {"seconds": round(now - start, 3)} | self._elapsed(now))

    def _elapsed(self, now: float) -> dict[str, float]:
        """The time of all jobs of the run, this one's and those before; nothing where an older one has not noted its own."""
        before = self.earlier[-1].get("elapsed") if self.earlier else 0.0
        return {} if before is None else {"elapsed": round(before + now - self.started, 3)}

    def _train(self, epoch: int) -> float:
        """All optimiser steps of an epoch; the mean loss over its counted pixels."""
        config, accelerator = self.config, self.accelerator
        batches = epoch_batches(self.num_images, config.batch_size, config.seed, epoch)
        own = [pieces_of(batch, config.accumulation, accelerator.process_index, accelerator.num_processes) for batch in batches]
        pieces = self.load([piece for share in own for piece in share])
        sums = torch.zeros(2, device=accelerator.device)
        self.wrapped.train()
        for layer in self.frozen:
            layer.eval()
        with tqdm(total=len(batches), desc=f"epoch {epoch}/{config.epochs}", leave=False, disable=not self._shows_bars) as bar:
            for number in range(1, len(batches) + 1):
                sums += self._optimiser_step(pieces)
                if number % CHECK_EVERY == 0 or number == len(batches):
                    bar.set_postfix(loss=f"{self._mean(sums, epoch):.4f}")
                bar.update()
        if not all(bool(parameter.isfinite().all()) for parameter in self.model.parameters()):  # by the last step, unseen by a loss
            sums[0] = math.nan
        return self._mean(sums, epoch)

    def _optimiser_step(self, pieces: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        """One step of the optimiser on one batch; its (total, normaliser) over all processes and pieces."""
        accelerator, config = self.accelerator, self.config
        sums = torch.zeros(2, device=accelerator.device)
        for piece in range(config.accumulation):
            with self.times.part("data"):
                images, labels = next(pieces)
            last = piece == config.accumulation - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self.wrapped):
                with self.times.part("forward"):
                    total, normaliser = self.loss.terms(self.wrapped(images.contiguous(memory_format=self.memory_format)), labels)
                with self.times.part("backward"):  # the processes' gradients are averaged; this makes it their sum
                    accelerator.backward(total * (accelerator.num_processes / UNIT))
            sums += torch.stack([total.detach(), normaliser.detach()])
        sums = torch.as_tensor(accelerator.reduce(sums, "sum"))
        with self.times.part("optimiser"):
            self._move_weights(sums[1])
        self.step += 1
        return sums

    def _move_weights(self, normaliser: Tensor) -> None:
        """The optimiser's step, with gradients that are divided by what the loss is divided by."""
        config = self.config
        factor = UNIT / torch.where(normaliser > 0, normaliser, 1) if config.normalise_loss else torch.full_like(normaliser, UNIT)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
        if config.clip is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip)
        set_lr(self.optimiser, lr_factor(config, self.step, self.total_steps))
        self.prepared.step()
        self.prepared.zero_grad()

    def _mean(self, sums: Tensor, epoch: int) -> float:
        total, normaliser = sums.tolist()
        if not math.isfinite(total):
            raise NotFinite(
                f"The loss became {total} in epoch {epoch}, at or before step {self.step}: take a smaller lr (now {self.config.lr}), "
                f"a longer warmup (now {self.config.warmup} steps) or clip the gradient (clip is {self.config.clip})."
            )
        return total / max(normaliser, 1e-30)

    def _validates(self, epoch: int) -> bool:
        return epoch % self.config.validate_every == 0 or epoch == self.config.epochs

    def _validate(self) -> dict[str, Any]:
        """The four scores and each class's IU, in epochs with validation."""
        if not self._validates(self.epoch):
            return {}
        if self.accelerator.num_processes > 1:
            for buffer in self.model.buffers():  # running means are each process's own; those of process 0 are the model's
                torch.distributed.broadcast(buffer, 0)
        matrix = evaluate(
            self.model,
            self.val_data,
            self.num_classes,
            batch_size=self.config.val_batch_size,
            ignore_index=self.ignore_index,
            accelerator=self.accelerator,
            num_workers=self.config.num_workers,
            progress=self.config.progress,
        )
        return matrix.scores() | {"iou": [None if math.isnan(iou) else iou for iou in matrix.iou.tolist()]}  # JSON has no nan

    def _store(self, record: dict[str, Any]) -> None:
        score = record.get("mean_iou")
        is_best = score is not None and (self.best is None or score > self.best)
        self.best = score if is_best else self.best
        self.history.append(record)
        self._draw()
        if self.accelerator.is_main_process:
            self.folder.add_metrics(record)
        self._save(is_best)
        if self._shows_bars:
            shown = "" if score is None else f"   mean IU {score:.4f}{'  (best)' if is_best else ''}"
            parts = f"   ({shares(record['parts'])})" if "parts" in record else ""
            line = f"epoch {self.epoch}/{self.config.epochs}   loss {record['loss']:.4f}{shown}   {record['seconds']:.1f} s{parts}"
            tqdm.write(line, file=sys.stderr)

    def _draw(self) -> None:
        if self.accelerator.is_main_process and self.config.pictures and self.palette is not None:
            samples = [self.val_data[index] for index in spread(self.config.pictures, len(self.val_data))]
            picture = predictions_png(self.model, samples, self.palette, self.display)
            write_atomically(self.folder.predictions / f"epoch_{self.epoch:03d}.png", picture)

    def _save(self, is_best: bool) -> None:
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            checkpoint = Checkpoint(
                epoch=self.epoch,
                step=self.step,
                model=self.model.state_dict(),
                optimiser=optimiser_states(self.model, self.optimiser),
                config=self.stored,
                best=self.best,
                extra={"loss_scale": scaler.state_dict() if scaler else {}},
            )
            self.folder.save(checkpoint, is_best=is_best)
        self.accelerator.wait_for_everyone()
        self.saved = self.epoch

    @property
    def _shows_bars(self) -> bool:
        return self.config.progress and self.accelerator.is_main_process
