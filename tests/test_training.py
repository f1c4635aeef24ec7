"""The loop against what it must equal: a step worked out by hand, the whole batch, the closed form of a schedule."""

import copy
import json
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import CLASSES, CONFIG, PALETTE, TinyData, TinyNet, run, run_net
from torch import Tensor, nn

from edu_seg.losses import AuxiliaryLoss, CrossEntropy, Loss
from edu_seg.training import FitConfig, NotFinite, evaluate, fit, load_checkpoint, lr_factor, make_optimiser, parameter_groups, poly
from edu_seg.training.optimisation import set_lr
from edu_seg.training.pictures import spread
from edu_seg.training.randomness import epoch_batches, pieces_of, seed_everything

ONE_EPOCH = replace(CONFIG, epochs=1)


pytestmark = pytest.mark.usefixtures("one_thread")


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def picture(folder: Path) -> np.ndarray:
    with Image.open(folder / "predictions" / "epoch_001.png") as image:
        return np.asarray(image)


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# Parameter groups


class WithNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.Conv2d(4, 4, 1).requires_grad_(False)
        self.score_fr = nn.Conv2d(4, 2, 1)


def test_parameter_groups_give_each_parameter_its_rate_and_decay() -> None:
    model = WithNorm()
    groups = parameter_groups(model, 0.1, 0.01, head=("score",), norm_decay=False)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    expected = {
        "conv.weight": (0.1, 0.01),
        "conv.bias": (0.2, 0.0),
        "norm.weight": (0.1, 0.0),
        "norm.bias": (0.1, 0.0),
        "score_fr.weight": (1.0, 0.01),
        "score_fr.bias": (2.0, 0.0),
    }
    named = {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}
    assert named == {name: pytest.approx(value) for name, value in expected.items()}
    assert len(groups) == 5  # none is empty


def test_parameter_groups_refuse_a_head_that_is_not_there_and_a_frozen_model() -> None:
    with pytest.raises(ValueError, match=r"'skore'.*conv, norm, frozen, score_fr"):
        parameter_groups(WithNorm(), 0.1, 0.0, head=("skore",))
    with pytest.raises(ValueError, match="Nothing to learn"):
        parameter_groups(WithNorm().requires_grad_(False), 0.1, 0.0)


# Layers that are held


class WithHeldPart(nn.Module):
    """A front that may be held, with statistics and dropout of its own, and a part behind it that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.behind = nn.Conv2d(4, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.behind(self.front(images))


def test_a_held_layer_keeps_every_bit_and_drops_nothing_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = WithHeldPart()
    before = copy.deepcopy(net.state_dict())
    held = replace(ONE_EPOCH, frozen=("front",))
    fit(net, TinyData(8), TinyData(2), CrossEntropy(), held, tmp_path / "a", num_classes=CLASSES)
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before if key.startswith("front."))
    assert not torch.equal(before["behind.weight"], after["behind.weight"])
    torch.manual_seed(0)
    free = WithHeldPart()
    fit(free, TinyData(8), TinyData(2), CrossEntropy(), ONE_EPOCH, tmp_path / "b", num_classes=CLASSES)
    assert not torch.equal(before["front.1.running_mean"], free.state_dict()["front.1.running_mean"])


def test_a_layer_to_hold_that_is_not_there(tmp_path: Path) -> None:
    held = replace(ONE_EPOCH, frozen=("back",))
    with pytest.raises(ValueError, match=r"frozen: no layer is called 'back'\. Names here: front, behind"):
        fit(WithHeldPart(), TinyData(8), TinyData(2), CrossEntropy(), held, tmp_path, num_classes=CLASSES)


# Schedules


def test_poly_is_torchs_polynomial_to_the_last_bits() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=200, power=0.9)
    for step in range(200):
        assert abs(0.01 * poly(step, 200) - optimiser.param_groups[0]["lr"]) < 1e-15
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize(("step", "factor"), [(0, 1.0), (10, 0.909532576), (50, 0.535886731), (90, 0.125892541), (100, 0.0)])
def test_poly_has_the_published_values(step: int, factor: float) -> None:
    assert poly(step, 100) == pytest.approx(factor, abs=1e-9)


def test_step_schedule_drops_at_its_milestones_and_warm_up_rises_linearly() -> None:
    config = FitConfig(schedule="step", milestones=(0.5, 0.75), gamma=0.1)
    assert [lr_factor(config, step, 8) for step in range(8)] == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    config = FitConfig(schedule="constant", warmup=4)
    assert [lr_factor(config, step, 8) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_set_lr_keeps_the_groups_ratios() -> None:
    optimiser = make_optimiser(WithNorm(), FitConfig(lr=0.1, head=("score",)))
    first = [group["lr"] for group in optimiser.param_groups]
    set_lr(optimiser, 0.5)
    set_lr(optimiser, 0.25)  # of the first rate, not of the last
    assert [group["lr"] for group in optimiser.param_groups] == [lr * 0.25 for lr in first]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"lr": -1.0}, "lr = -1.0"),
        ({"lr": math.nan}, "lr = nan"),
        ({"clip": 0.0}, "clip = 0.0"),
        ({"seed": -1}, "seed = -1"),
        ({"milestones": (0.5, 2.0)}, "milestones"),
        ({"schedule": "cosine"}, "'cosine'.*poly, step, constant"),
    ],
)
def test_config_refuses_what_makes_no_sense(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitConfig(**wrong)


# Order and shares


def test_an_epoch_is_a_new_order_of_whole_batches() -> None:
    first, second = (epoch_batches(10, 4, seed=0, epoch=epoch) for epoch in (1, 2))
    assert [len(batch) for batch in first] == [4, 4]
    assert len({image for batch in first for image in batch}) == 8
    assert first != second
    assert first == epoch_batches(10, 4, seed=0, epoch=1)


@pytest.mark.parametrize(("accumulation", "processes"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_shares_hold_each_image_once(accumulation: int, processes: int) -> None:
    batch = list(range(7))
    shares = [pieces_of(batch, accumulation, process, processes) for process in range(processes)]
    assert sorted(image for share in shares for piece in share for image in piece) == batch
    assert all(len(share) == accumulation and all(share) for share in shares)


def test_seeding_differs_by_seed_epoch_and_process() -> None:
    draws = set()
    for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        seed_everything(*key)
        draws.add((random.random(), float(np.random.rand()), float(torch.rand(()))))  # noqa: NPY002
    assert len({d[0] for d in draws}) == len({d[1] for d in draws}) == len({d[2] for d in draws}) == 4


# The loop


def by_hand(
    config: FitConfig, loss: Loss, epochs: int = 1, model: nn.Module | None = None, scores: str = "forward"
) -> tuple[nn.Module, list[float]]:
    """The same run in ten plain lines: the oracle. Mean loss of each epoch's pixels, and the model."""
    model = TinyNet(dropout=0.0) if model is None else model
    data, means, step = TinyData(), [], 0
    optimiser = make_optimiser(model, config)
    for epoch in range(1, epochs + 1):
        data.set_epoch(epoch)
        sums = torch.zeros(2)
        for batch in epoch_batches(len(data), config.batch_size, config.seed, epoch):
            images, labels = (torch.stack(part) for part in zip(*(data[i] for i in batch), strict=True))
            total, normaliser = loss.terms(getattr(model, scores)(images), labels)
            optimiser.zero_grad()
            (total / normaliser if config.normalise_loss else total).backward()
            if config.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            set_lr(optimiser, lr_factor(config, step, config.epochs * (len(data) // config.batch_size)))
            optimiser.step()
            sums += torch.stack([total, normaliser]).detach()
            step += 1
        means.append(float(sums[0] / sums[1]))
    return model, means


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulation": 3},
        {"optimiser": "adamw", "lr": 0.01, "warmup": 3},
        {"clip": 0.1, "head": ("score",), "head_lr": 2.0},
        {"normalise_loss": False, "lr": 1e-4},
    ],
    ids=["sgd", "accumulation", "adamw", "clip", "unnormalised"],
)
def test_fit_equals_the_loop_by_hand(tmp_path: Path, changes: dict) -> None:
    config = replace(CONFIG, epochs=2, **changes)
    loss = CrossEntropy(torch.tensor([1.0, 2.0, 0.5]))
    expected, means = by_hand(config, loss, epochs=2)
    model = run(tmp_path / "run", config, model=TinyNet(dropout=0.0), loss=loss)
    assert [record["loss"] for record in history(tmp_path / "run")] == pytest.approx(means, abs=1e-6)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-5)


class TwoHeads(TinyNet):
    """A second head on the layer before."""

    def __init__(self) -> None:
        super().__init__(dropout=0.0)
        self.early = nn.Conv2d(3, CLASSES, 1)

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self(images), self.early(images)


def test_an_auxiliary_head_learns_and_is_not_scored(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=2, accumulation=2)
    loss = AuxiliaryLoss(CrossEntropy(torch.tensor([1.0, 2.0, 0.5])), 0.4)
    start = TwoHeads()
    expected, means = by_hand(config, loss, 2, copy.deepcopy(start), "forward_with_auxiliary")
    before = start.early.weight.detach().clone()
    model = run(tmp_path / "run", config, model=start, loss=loss, palette=PALETTE)
    assert [record["loss"] for record in history(tmp_path / "run")] == pytest.approx(means, abs=1e-6)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, atol=1e-6, rtol=1e-5)
    assert not torch.equal(before, start.early.weight)
    scored = evaluate(model, TinyData(7, seed=1), CLASSES).scores()["mean_iou"]
    assert history(tmp_path / "run")[-1]["mean_iou"] == pytest.approx(scored)
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors").model.keys() == model.state_dict().keys()
    with pytest.raises(TypeError, match="TinyNet has no auxiliary head"):
        run(tmp_path / "other", config, loss=loss)


def in_two_processes(folder: Path, config: FitConfig, **environment: str) -> list[dict]:
    """The history of a run that two processes share."""
    command = [sys.executable, str(Path(__file__).parent / "tiny_run.py"), "shared", str(folder), json.dumps(vars(config))]
    settings = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return history(folder)


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=2, accumulation=2)
    two = in_two_processes(tmp_path / "two", config)
    model = run(tmp_path / "one", replace(config, accumulation=1), model=TinyNet(dropout=0.0))
    one = history(tmp_path / "one")
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], abs=1e-5)
    assert [r["iou"] for r in two] == [pytest.approx(r["iou"], abs=1e-9, nan_ok=True) for r in one]
    # Seven validation images for two processes: none is left out or counted twice, and both processes know all counts.
    counts = evaluate(model, TinyData(7, seed=1), CLASSES).counts.tolist()
    assert [json.loads((tmp_path / "two" / f"counts_{process}.json").read_text()) for process in (0, 1)] == [counts, counts]
    same_weights_nearly(tmp_path / "two", model)


def same_weights_nearly(folder: Path, model: nn.Module) -> None:
    weights = load_checkpoint(folder / "checkpoints" / "last.safetensors").model
    assert weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=1e-4)


def test_two_processes_with_synchronised_batch_norm_equal_one(tmp_path: Path) -> None:
    """Losses, weights and running statistics; each process by itself would normalise otherwise, as the last line shows."""
    config = replace(CONFIG, epochs=2, sync_batch_norm=True)
    two = in_two_processes(tmp_path / "two", config, TINY_RUN_NET="norm")
    model = run_net("norm", tmp_path / "one", config)
    one = history(tmp_path / "one")
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in one], abs=1e-5)
    assert [r["mean_iou"] for r in two] == pytest.approx([r["mean_iou"] for r in one], abs=1e-9)
    same_weights_nearly(tmp_path / "two", model)
    apart = in_two_processes(tmp_path / "apart", replace(config, sync_batch_norm=False), TINY_RUN_NET="norm")
    assert abs(apart[-1]["loss"] - one[-1]["loss"]) > 1e-4


def test_two_processes_train_pspnet_with_its_second_head_as_one_does(tmp_path: Path) -> None:
    """A net of the course, with all that it has: many batch norms, one of them on single units, and two losses."""
    config = replace(CONFIG, epochs=2, batch_size=8, lr=0.01, sync_batch_norm=True)
    two = in_two_processes(tmp_path / "two", config, TINY_RUN_NET="pspnet")
    model = run_net("pspnet", tmp_path / "one", config)
    assert [r["loss"] for r in two] == pytest.approx([r["loss"] for r in history(tmp_path / "one")], abs=1e-5)
    same_weights_nearly(tmp_path / "two", model)


def test_one_image_a_process_is_enough_where_batch_norm_is_shared(tmp_path: Path) -> None:
    """Its mean over the whole map is a single value a channel, but there are two processes."""
    config = replace(CONFIG, epochs=1, batch_size=2, lr=0.01, sync_batch_norm=True)
    assert len(in_two_processes(tmp_path / "two", config, TINY_RUN_NET="pspnet")) == 1
    with pytest.raises(ValueError, match="a batch of one image, pooled to one unit"):
        run_net("pspnet", tmp_path / "one", replace(config, batch_size=1))


def test_a_mean_of_means_would_be_another_loss() -> None:
    """Guards the two tests above: with this much uneven void, averaging the shares' means is visibly wrong."""
    data, loss, model = TinyData(), CrossEntropy(), TinyNet(dropout=0.0)
    images, labels = data.images[[0, 1, 14, 15]], data.labels[[0, 1, 14, 15]]
    logits = model(images)
    halves = (loss(logits[:2], labels[:2]) + loss(logits[2:], labels[2:])) / 2
    assert abs((halves - loss(logits, labels)).item()) > 1e-3


def test_a_run_leaves_its_folder_complete(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, replace(CONFIG, epochs=3, validate_every=2, pictures=2), palette=PALETTE, description={"model": {"name": "tiny"}})
    config = json.loads((folder / "config.json").read_text())
    assert config["fit"]["epochs"] == 3
    assert config["model"] == {"name": "tiny"}
    records = history(folder)
    assert [r["epoch"] for r in records] == [1, 2, 3]
    assert ["mean_iou" in r for r in records] == [False, True, True]  # every second, and the last
    assert set(records[1]) == {
        *(
            "epoch",
            "step",
            "loss",
            "lr",
            "pixel_accuracy",
            "mean_accuracy",
            "mean_iou",
            "frequency_weighted_iou",
            "iou",
            "seconds",
            "elapsed",
        )
    }
    assert len(records[1]["iou"]) == CLASSES
    assert sorted(path.name for path in (folder / "predictions").iterdir()) == [f"epoch_00{n}.png" for n in range(4)]
    assert picture(folder).shape[1::-1] == (3 * 8 + 2 * 4, 2 * 8 + 4)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.safetensors", "last.safetensors"]
    best = load_checkpoint(folder / "checkpoints" / "best.safetensors")
    assert best.best == max(r["mean_iou"] for r in records[1:]) == records[best.epoch - 1]["mean_iou"]


def test_the_picture_shows_image_labels_and_prediction(tmp_path: Path) -> None:
    run(tmp_path / "run", replace(ONE_EPOCH, pictures=1), palette=PALETTE)
    sheet = picture(tmp_path / "run")
    image, labels = TinyData(7, seed=1)[spread(1, 7)[0]]
    assert np.abs(sheet[:, :8] / 255 - image.permute(1, 2, 0).numpy()).max() < 0.003
    known = labels.numpy() != 255
    assert (sheet[:, 12:20][known] == PALETTE[labels.numpy()[known]]).all()
    assert (sheet[:, 12:20][~known] == (224, 224, 192)).all()
    assert {tuple(c) for c in sheet[:, 24:].reshape(-1, 3)} <= {tuple(c) for c in PALETTE}


def test_fit_gives_the_model_back_as_it_was_but_trained(tmp_path: Path) -> None:
    model, types = TinyNet(), set()
    before = copy.deepcopy(model)
    hook = model.score.register_forward_hook(lambda layer, inputs, output: types.add(output.dtype))
    run(tmp_path / "run", replace(ONE_EPOCH, mixed_precision="bf16"), model=model)
    hook.remove()
    assert torch.bfloat16 in types
    assert not same_weights(before, model)
    assert "forward" not in vars(model)
    assert model(torch.zeros(1, 3, 8, 8)).dtype == torch.float32
    run(tmp_path / "again", ONE_EPOCH, model=model)  # another precision in the same process


class Nan(CrossEntropy):
    """Turns to nan in the second epoch."""

    steps = 0

    def terms(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        total, normaliser = super().terms(logits, labels)
        self.steps += 1
        return total * (math.nan if self.steps > 6 else 1), normaliser


def test_nan_stops_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match=r"nan in epoch 2.* smaller lr \(now 0.1\).* warmup \(now 0 steps\).* \(clip is None\)") as caught:
        run(tmp_path / "run", loss=Nan())
    assert "Stopped in epoch 2" in caught.value.__notes__[0]
    assert "holds 1 whole epoch: begin anew in another folder" in caught.value.__notes__[0]
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert checkpoint.epoch == 1
    assert all(value.isfinite().all() for value in checkpoint.model.values())


def test_weights_that_the_last_step_broke_are_not_stored(tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=2, batch_size=16, lr=1e38, schedule="constant")  # one step an epoch: its loss is still finite
    with pytest.raises(NotFinite, match="epoch 1"):
        run(tmp_path / "run", config, loss=Huge())
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.safetensors").epoch == 0


class Huge(CrossEntropy):
    """A finite loss with a gradient that overflows a step of rate 1e38."""

    def terms(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        total, normaliser = super().terms(logits, labels)
        return total * 1e6, normaliser


def test_a_batch_of_void_only_neither_moves_the_weights_nor_makes_nan(tmp_path: Path) -> None:
    data, model = TinyData(), TinyNet()
    data.labels[:] = 255
    before = copy.deepcopy(model)
    config = replace(ONE_EPOCH, weight_decay=0.0)
    records = fit(model, data, TinyData(7), CrossEntropy(), config, tmp_path / "run", num_classes=CLASSES)
    assert records[0]["loss"] == 0
    assert same_weights(before, model)


def test_fit_refuses_too_few_images_and_too_small_a_batch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size = 20.*only 16"):
        run(tmp_path / "run", replace(CONFIG, batch_size=20))
    with pytest.raises(
        ValueError, match=r"batch_size = 4 .* 5 accumulation pieces: lower accumulation to at most 4, or take .* at least 5\."
    ):
        run(tmp_path / "run", replace(CONFIG, accumulation=5))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device = 'cuda' is not available"):
        run(tmp_path / "run", replace(CONFIG, device="cuda"))


# Evaluation


def test_evaluate_counts_each_pixel_once_and_restores_the_mode() -> None:
    model, data = TinyNet().train(), TinyData(7, seed=1)
    model.score.eval()
    matrix = evaluate(model, data, CLASSES, batch_size=3)
    assert model.training
    assert not model.score.training
    preds = model.eval()(data.images).argmax(1)
    known = data.labels != 255
    expected = torch.bincount(data.labels[known] * CLASSES + preds[known], minlength=CLASSES**2).view(CLASSES, CLASSES)
    torch.testing.assert_close(matrix.counts, expected)


def test_evaluate_takes_images_of_different_sizes_one_by_one() -> None:
    data = [TinyData(1, size=8)[0], TinyData(1, size=9)[0]]
    assert int(evaluate(TinyNet(), data, CLASSES).counts.sum()) == sum(int((labels != 255).sum()) for _, labels in data)
    with pytest.raises(ValueError, match="different sizes"):
        evaluate(TinyNet(), data, CLASSES, batch_size=2)
    with pytest.raises(ValueError, match="empty"):
        evaluate(TinyNet(), [], CLASSES)
