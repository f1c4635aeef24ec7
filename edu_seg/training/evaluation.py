"""Where a run computes (Accelerate), how images reach the model, and scoring."""

import os
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from edu_seg.metrics import ConfusionMatrix


@runtime_checkable
class Samples(Protocol):
    """A data set: so many pairs of an image (3, H, W) and labels (H, W). Every set of `edu_seg.datasets` is one, and so is a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, ...]: ...


def make_accelerator(device: str = "auto", mixed_precision: str = "no") -> Accelerator:
    """Accelerate's handle on the device and on the other processes, if any (started by torchrun).

    Raises ValueError where the device is not there.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        # Accelerate keeps its first settings for the life of the process; a notebook trains several times with others.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision)
    if device not in ("auto", accelerator.device.type):
        raise ValueError(f"device = {device!r} is not available here; Accelerate found {accelerator.device.type!r}. Use 'auto' or 'cpu'.")
    return accelerator


def collate(samples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Stack (image, labels) pairs. Raises ValueError where sizes differ, naming them."""
    images, labels = zip(*samples, strict=True)
    sizes = {tuple(image.shape[-2:]) for image in images}
    if len(sizes) > 1:
        raise ValueError(f"One batch holds images of different sizes {sorted(sizes)}: crop or resize them, or use a batch size of 1.")
    return torch.stack(images), torch.stack(labels)


def make_loader(
    data: Samples, batches: Iterable[list[int]], accelerator_device: torch.device, num_workers: int
) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches of the given indices, on the device. Nothing random happens here: the order is in `batches`."""
    on_gpu = accelerator_device.type == "cuda"
    loader = DataLoader(
        data,  # type: ignore[arg-type]
        batch_sampler=list(batches),  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=on_gpu,
    )
    for images, labels in loader:
        yield images.to(accelerator_device, non_blocking=on_gpu), labels.to(accelerator_device, non_blocking=on_gpu)


def evaluate(
    model: nn.Module,
    data: Samples,
    num_classes: int,
    *,
    batch_size: int = 1,
    ignore_index: int = 255,
    accelerator: Accelerator | None = None,
    num_workers: int = 0,
    progress: bool = False,
) -> ConfusionMatrix:
    """Count every pixel of a data set once: one confusion matrix over the whole set, on the model's device.

    With `batch_size` 1 the images may differ in size. Under several processes pass the `accelerator`: each process then takes
    every n-th batch and the counts are added up, so that all processes return the same matrix and no image is counted twice (a
    distributed sampler would repeat some to make the shares equal). The model is in evaluation mode meanwhile, without
    gradients, and in its earlier mode afterwards. Nothing waits for the device until a score is read.

    Raises ValueError where the set is empty.
    """
    size = len(data)
    if not size:
        raise ValueError("No image to evaluate on: the data set is empty.")
    model = accelerator.unwrap_model(model) if accelerator else model
    rank, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    device = next(model.parameters()).device
    batches = [list(range(start, min(start + batch_size, size))) for start in range(0, size, batch_size)][rank::processes]
    matrix = ConfusionMatrix(num_classes, ignore_index, device=device)
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            loader = make_loader(data, batches, device, num_workers)
            for images, labels in tqdm(loader, total=len(batches), desc="evaluate", leave=False, disable=not (progress and rank == 0)):
                matrix.update(model(images).argmax(1), labels)
    finally:
        for module, training in modes.items():
            module.training = training
    return _merged(matrix) if processes > 1 else matrix


def _merged(matrix: ConfusionMatrix) -> ConfusionMatrix:
    """The sum of all processes' matrices, in every process. They travel by way of the CPU, once."""
    share = ConfusionMatrix(matrix.num_classes, matrix.ignore_index)
    share.merge(matrix)
    whole = ConfusionMatrix(matrix.num_classes, matrix.ignore_index)
    for other in gather_object([share]):
        whole.merge(other)
    return whole
