"""ImageNet weights of torchvision's classifiers, and what to do where they cannot be downloaded."""

from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor


def imagenet_state_dict(name: str) -> dict[str, Tensor]:
    """The state dict of torchvision's classifier `name` (its IMAGENET1K_V1 weights), from the cache or downloaded and checked by hash.

    Raises RuntimeError where the download fails or the file is damaged; its text names the file and the folder to put it into by hand.
    """
    from torchvision.models import get_model_weights

    weights = get_model_weights(name)["IMAGENET1K_V1"]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # no network, a wrong hash, half a file in the cache: each raises something else
        file = Path(urlparse(weights.url).path).name
        raise RuntimeError(
            f"the ImageNet weights of {name} could not be downloaded or read ({type(error).__name__}: {error}). On a machine with a "
            f"network fetch {weights.url}, copy {file} to {folder} (over a damaged one), and run this again; "
            "or build the model with pretrained=False."
        ) from error
