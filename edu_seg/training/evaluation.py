"""Where a run computes (Accelerate), how images reach the model, and scoring."""

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import gather_object
from torch import nn
from tqdm import tqdm

from edu_seg.metrics import ConfusionMatrix
from edu_seg.training.loading import Loader, Samples


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
            loaded = Loader(data, device, num_workers)(batches)
            for images, labels in tqdm(loaded, total=len(batches), desc="evaluate", leave=False, disable=not (progress and rank == 0)):
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
