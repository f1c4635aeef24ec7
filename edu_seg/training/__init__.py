"""Training: one loop for any device and number of processes, scoring, checkpoints that are whole or refused, resumption."""

from importlib.util import find_spec

if not (find_spec("accelerate") and find_spec("tqdm")):
    raise ModuleNotFoundError("training needs accelerate and tqdm: pip install 'edu_seg[train]'")

from edu_seg.training.checkpoints import Checkpoint, CorruptCheckpoint
from edu_seg.training.checkpoints import find as find_checkpoint
from edu_seg.training.checkpoints import load as load_checkpoint
from edu_seg.training.evaluation import evaluate, make_accelerator
from edu_seg.training.loading import LostWorker
from edu_seg.training.loop import NotFinite, fit
from edu_seg.training.optimisation import FitConfig, lr_factor, make_optimiser, parameter_groups, poly
from edu_seg.training.run_folder import FolderInUse, read_history

__all__ = [
    "Checkpoint",
    "CorruptCheckpoint",
    "FitConfig",
    "FolderInUse",
    "LostWorker",
    "NotFinite",
    "evaluate",
    "find_checkpoint",
    "fit",
    "load_checkpoint",
    "lr_factor",
    "make_accelerator",
    "make_optimiser",
    "parameter_groups",
    "poly",
    "read_history",
]
