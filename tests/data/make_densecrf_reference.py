"""Writes tests/data/densecrf_reference.npz with the reference implementation (`pip install pydensecrf2`, which needs a C++ compiler).

    python tests/data/make_densecrf_reference.py

Two problems: an image, logits, and the probabilities after ten iterations with the parameters stored beside them.
"""

from pathlib import Path

import numpy as np
import pydensecrf.densecrf as reference  # pyright: ignore[reportMissingImports]
import torch
from torch import Tensor

from edu_seg.datasets import Shapes

CASES = {"a": ((36, 48), 5, (80.0, 13.0, 3.0, 10.0, 3.0)), "b": ((25, 33), 2, (20.0, 30.0, 1.5, 4.0, 6.0))}
"""name: (height, width), labels, (theta_alpha, theta_beta, theta_gamma, bilateral weight, spatial weight)."""


def problem(size: tuple[int, int], labels: int, seed: int) -> tuple[Tensor, Tensor]:
    """(image uint8 (3, H, W), logits (K, H, W)): a scene, and noisy scores as a coarse network would give them."""
    image, truth = Shapes(1, size=size, seed=seed, objects=(2, 4))[0]
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(labels, *size, generator=draw) + 2.0 * torch.nn.functional.one_hot(truth % labels, labels).permute(2, 0, 1)
    return (255 * image).round().byte(), logits


def probabilities(image: Tensor, logits: Tensor, parameters: tuple[float, ...]) -> np.ndarray:
    """The reference's answer, (K, H, W)."""
    alpha, beta, gamma, bilateral, spatial = parameters
    number, height, width = logits.shape
    crf = reference.DenseCRF2D(width, height, number)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits.log_softmax(0).flatten(1).numpy()))
    crf.addPairwiseGaussian(sxy=gamma, compat=spatial)
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    crf.addPairwiseBilateral(sxy=alpha, srgb=beta, rgbim=pixels, compat=bilateral)
    return np.array(crf.inference(10), dtype=np.float32).reshape(number, height, width)


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for seed, (name, (size, labels, parameters)) in enumerate(CASES.items()):
        image, logits = problem(size, labels, seed)
        parts = {"image": image.numpy(), "logits": logits.numpy(), "parameters": np.array(parameters)}
        arrays |= {f"{name}_{key}": value for key, value in (parts | {"probs": probabilities(image, logits, parameters)}).items()}
    np.savez_compressed(Path(__file__).parent / "densecrf_reference.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
