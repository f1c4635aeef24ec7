"""What every model has in common: one test over the whole table. Nets too large to train here run on the meta device, and small ones train.

A new model needs no new test here; where its full size is too large, give it a small trunk in SMALL.
"""

from typing import Any

import pytest
import torch
from small_models import AT_LEAST, SHAPES_ARE_NOT_ENOUGH, SMALL
from torch import Tensor, nn

from edu_seg.losses import CrossEntropy
from edu_seg.models import MODELS, PAPERS, build, fcn

SIZES = [(1, 1), (3, 7), (33, 50), (65, 31)]
each_model = pytest.mark.parametrize("name", MODELS)


def small(name: str, num_classes: int = 5, **options: Any) -> nn.Module:
    """The model with a small trunk, where it has one, and no layer left at zero (the paper's start would stop every gradient)."""
    torch.manual_seed(0)
    net = build(name, num_classes, **(SMALL.get(name, {}) | options))
    for parameter in net.parameters():
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return net


def images_of(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


on_shapes_alone = pytest.mark.parametrize("name", [name for name in MODELS if name not in SHAPES_ARE_NOT_ENOUGH])


@on_shapes_alone
def test_the_full_size_net_keeps_the_images_size(name: str) -> None:
    with torch.device("meta"):
        net = build(name).eval()
        for height, width in [tuple(side + AT_LEAST.get(name, 1) - 1 for side in size) for size in SIZES]:
            logits = net(torch.empty(2, 3, height, width))
            assert (logits.shape, logits.dtype) == ((2, 21, height, width), torch.float32)


@each_model
@pytest.mark.parametrize("training", [True, False])
def test_odd_sizes(name: str, training: bool) -> None:
    """The same kind of result in training and in evaluation: logits of the images' size, all finite."""
    net = small(name).train(training)
    for height, width in SIZES:
        logits = net(images_of(2, 3, height, width))
        assert isinstance(logits, Tensor)
        assert (logits.shape, logits.dtype) == ((2, 5, height, width), torch.float32)
        assert logits.isfinite().all()
        assert logits.requires_grad


@each_model
def test_one_image_can_be_evaluated_alone(name: str) -> None:
    """No image looks at the others of its batch, and nothing depends on the call before."""
    net = small(name).double().eval()
    images = images_of(3, 3, 37, 50).double()
    with torch.no_grad():
        together = net(images)
        torch.testing.assert_close(net(images[1:2]), together[1:2], rtol=1e-9, atol=1e-9 * float(together.abs().max()))
        assert together.std() > 1e-4


@each_model
def test_evaluation_is_deterministic(name: str) -> None:
    net = small(name, dropout=0.5) if name == "unet" or "backbone" in SMALL.get(name, {}) else small(name)
    net.eval()
    images = images_of(2, 3, 33, 50)
    with torch.no_grad():
        first = net(images)
        state = {key: value.clone() for key, value in net.state_dict().items()}
        assert torch.equal(net(images), first)
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


@each_model
def test_every_parameter_gets_a_gradient(name: str) -> None:
    net = small(name, upsampling="learned") if name in fcn.VARIANTS else small(name)
    images, labels = images_of(2, 3, 48, 64), torch.randint(0, 5, (2, 48, 64), generator=torch.Generator().manual_seed(2))
    CrossEntropy()(net(images), labels).backward()
    dead = [key for key, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert dead == []
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters() if parameter.grad is not None)


@each_model
def test_the_image_counts_everywhere(name: str) -> None:
    """Every pixel of the image has a say in the logits."""
    net = small(name).eval()
    images = images_of(1, 3, 40, 44).requires_grad_()
    net(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum(1).gt(0).float().mean() > 0.95


@each_model
def test_one_batch_is_learnt_by_heart(name: str) -> None:
    """From its own start: the left and the right half of each image are told apart by their colours."""
    torch.manual_seed(0)
    net = build(name, 2, **SMALL.get(name, {}))
    labels = torch.zeros(2, 48, 48, dtype=torch.int64)
    labels[0, :, 24:], labels[1, :, :24] = 1, 1
    images = images_of(2, 3, 48, 48) * 0.3
    images[:, 0] += labels
    rates = {"context": 1e-3}  # a deep stack without normalisation dies at more; the rest learns at 1e-2
    optimizer = torch.optim.Adam([{"params": [p], "lr": rates.get(key.split(".")[0], 1e-2)} for key, p in net.named_parameters()])
    losses = []
    for _ in range(80):
        loss = CrossEntropy()(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.1:
            break
    assert losses[0] > 0.5
    assert losses[-1] < 0.1
    assert (net(images).argmax(1) == labels).float().mean() > 0.9


def test_every_model_names_its_paper() -> None:
    assert PAPERS.keys() == MODELS.keys()
    assert SMALL.keys() <= MODELS.keys()


def test_an_unknown_model() -> None:
    with pytest.raises(
        ValueError,
        match=f"no model is called 'fcn4s': there are {', '.join(MODELS)}",
    ):
        build("fcn4s")


@on_shapes_alone
def test_classes_are_an_option(name: str) -> None:
    side = max(9, AT_LEAST.get(name, 1))
    with torch.device("meta"):
        assert build(name, 3).eval()(torch.empty(1, 3, side, side)).shape[1] == 3
        assert build(name, num_classes=1).eval()(torch.empty(1, 3, side, side)).shape[1] == 1
