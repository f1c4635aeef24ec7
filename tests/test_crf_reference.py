"""DenseCRF against stored answers of the reference implementation (tests/data/make_densecrf_reference.py wrote them)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from edu_seg.crf import DenseCRF

STORED = np.load(Path(__file__).parent / "data" / "densecrf_reference.npz")


@pytest.mark.parametrize("asks_gradient", [False, True])
@pytest.mark.parametrize("case", ["a", "b"])
def test_probabilities_after_ten_iterations(case: str, asks_gradient: bool) -> None:
    """In place and as a differentiable layer: the same probabilities as the reference's, and every label."""
    image, logits, wanted = (torch.from_numpy(STORED[f"{case}_{part}"]) for part in ("image", "logits", "probs"))
    crf = DenseCRF(*STORED[f"{case}_parameters"].tolist(), num_iterations=10)
    probs = crf(logits[None].requires_grad_(asks_gradient), image[None])[0].detach()
    torch.testing.assert_close(probs, wanted, rtol=0, atol=1e-5)
    assert torch.equal(probs.argmax(0), wanted.argmax(0))
    assert (wanted.argmax(0) != logits.argmax(0)).float().mean() > 0.02  # the CRF had something to do
