"""`--deterministic`: a GPU must be able to keep its promise, so no operation is used of which PyTorch says that it cannot.

Known without a GPU: the operations of a training step are the same on the meta device, which computes nothing.
"""

import pytest
import torch
import torch.nn.functional as F
from small_models import SHAPES_ARE_NOT_ENOUGH
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from edu_seg import presets
from edu_seg.border_weights import BorderCrossEntropy
from edu_seg.layers import PyramidPooling, WithAuxiliary
from edu_seg.losses import AuxiliaryLoss, CrossEntropy
from edu_seg.models.deconvnet import pool, unpool
from edu_seg.training.randomness import algorithms

REFUSED = {
    *("max_unpool2d", "_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "nll_loss2d_forward", "nll_loss2d_backward"),
    *("reflection_pad2d_backward", "grid_sampler_2d_backward", "bincount", "histc", "put_"),
}
"""Of those that `torch.use_deterministic_algorithms` documents. (Bilinear interpolation it takes apart on a GPU.)"""
MODELS = {preset.model: preset for preset in presets.PRESETS.values() if preset.model not in SHAPES_ARE_NOT_ENOUGH}


class Operations(TorchDispatchMode):
    """The names of all that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def operations(net: nn.Module, loss: CrossEntropy | AuxiliaryLoss) -> set[str]:
    """Of a step of training."""
    with Operations() as seen:
        labels = torch.zeros(2, 224, 224, dtype=torch.int64, device="meta")
        total, normaliser = loss.terms(net(torch.zeros(2, 3, 224, 224, device="meta")), labels)
        (total / normaliser).backward()
    return seen.names


@pytest.mark.parametrize("name", MODELS)
def test_a_step_uses_nothing_that_a_gpu_cannot_repeat(name: str) -> None:
    preset = MODELS[name].without_weights()
    with torch.device("meta"):
        net, loss = preset.build(4), CrossEntropy()
    if preset.auxiliary_weight:
        net, loss = WithAuxiliary(net), AuxiliaryLoss(loss)
    with algorithms(deterministic=True, tuned=False):
        found = operations(net, loss)
    assert "convolution_backward" in found
    assert not found & REFUSED


def test_what_is_refused_is_what_these_nets_use_otherwise() -> None:
    """So that the test above can fail."""
    found: set[str] = set()
    for name in ("segnet_basic", "pspnet_resnet50"):
        with torch.device("meta"):
            net = MODELS[name].without_weights().build(4)
        found |= operations(net, CrossEntropy())
    assert found & REFUSED == {"max_unpool2d", "_adaptive_avg_pool2d_backward", "nll_loss2d_forward", "nll_loss2d_backward"}


@pytest.mark.parametrize("size", [(7, 10), (12, 18), (5, 6)])
def test_the_pyramids_means_are_the_same(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features, level = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True), PyramidPooling(8).double().eval()
    plain = level(features)
    with algorithms(deterministic=True, tuned=False):
        other = level(features)
    assert_close(other, plain)
    weights = torch.randn_like(plain)
    gradients = [torch.autograd.grad((maps * weights).sum(), features)[0] for maps in (plain, other)]
    assert_close(*gradients)


def test_unpooling_is_the_same() -> None:
    torch.manual_seed(0)
    values, switches, size = pool(torch.randn(2, 3, 7, 9))
    plain = unpool(values, switches, size, "switches")
    with algorithms(deterministic=True, tuned=False):
        other = unpool(values, switches, size, "switches")
    assert torch.equal(other, plain)
    assert int((plain != 0).sum()) == values.numel()


def test_losses_are_the_same() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 8, 9), torch.randint(3, (2, 8, 9))
    labels[:, 3] = 255
    for loss in (CrossEntropy(torch.tensor([1.0, 2.0, 0.5])), BorderCrossEntropy()):
        with algorithms(deterministic=True, tuned=False):
            other = loss(logits, labels)
        assert_close(other, loss(logits, labels))
    with algorithms(deterministic=True, tuned=False):
        assert_close(CrossEntropy()(logits, labels), F.cross_entropy(logits, labels, ignore_index=255))
