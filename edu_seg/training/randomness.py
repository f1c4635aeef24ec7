"""Everything random in a run follows from (seed, epoch, process): then no generator's state need be stored to resume."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int, epoch: int, process: int = 0) -> None:
    """Seed Python, NumPy and PyTorch for one epoch: dropout and whatever else draws from the global generators."""
    state = np.random.SeedSequence((seed, epoch, process)).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002 (other people's code may draw from the old generator)
    torch.manual_seed(int(state[2]))


def epoch_batches(num_images: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The images of each optimiser step of an epoch: a new order, cut into whole batches; the rest is left out."""
    order = np.random.default_rng((seed, epoch)).permutation(num_images).tolist()
    return [order[start : start + batch_size] for start in range(0, num_images - batch_size + 1, batch_size)]


def pieces_of(batch: list[int], accumulation: int, process: int, num_processes: int) -> list[list[int]]:
    """One process's share of a batch, cut into `accumulation` pieces. Over all processes each image comes exactly once."""
    step = accumulation * num_processes
    return [batch[process + piece * num_processes :: step] for piece in range(accumulation)]


@contextmanager
def algorithms(deterministic: bool, tuned: bool) -> Iterator[None]:
    """deterministic: the same bits each time, or an error that names the operation that cannot. tuned: else, convolutions may be chosen
    by their speed on the first batch, which pays where all batches have one size."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA's matrix products ask for
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = tuned and not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
