"""What `python -m edu_seg train` and the notebooks train: each preset a row that says where its numbers come from."""

from edu_seg.presets.papers import PAPERS
from edu_seg.presets.scenes import SCENES
from edu_seg.presets.small import SMALL
from edu_seg.presets.specs import DataSpec, LabelledSet, Parts, Preset, evaluation_set, labelled_set, make_loss, start_from, training_set

PRESETS: dict[str, Preset] = PAPERS | SCENES | SMALL
"""name → preset."""


def get(name: str) -> Preset:
    """The preset called `name`. Raises ValueError listing the names for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"no preset is called {name!r}: there are {', '.join(PRESETS)}.")
    return PRESETS[name]


__all__ = [
    "PRESETS",
    "DataSpec",
    "LabelledSet",
    "Parts",
    "Preset",
    "evaluation_set",
    "get",
    "labelled_set",
    "make_loss",
    "start_from",
    "training_set",
]
