"""The presets: what a run of one is rebuilt from, how long it is, and how fast each parameter learns in each paper."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from test_cli import SMALL, fails
from torch import Tensor

from edu_seg import backbones, models, presets
from edu_seg.__main__ import main
from edu_seg.border_weights import BorderCrossEntropy
from edu_seg.layers import WithAuxiliary
from edu_seg.losses import CrossEntropy
from edu_seg.models.crf_rnn import CRFRNN
from edu_seg.prediction import load_trained
from edu_seg.presets import PRESETS, Preset
from edu_seg.presets.papers import PAPERS
from edu_seg.presets.scenes import SCENES
from edu_seg.training import FitConfig, find_checkpoint, fit, load_checkpoint
from edu_seg.training.optimisation import NORM_LAYERS, freeze, make_optimiser

# What is rebuilt from a run

TRY = FitConfig(epochs=1, batch_size=4, lr=1e-3, schedule="constant", device="cpu", progress=False, pictures=0)
THIN: dict[str, Any] = {"backbone": "resnet50", "width": 1 / 16}
RESNET_MODELS = ("pspnet_resnet50", "deeplab_v2_resnet101", "deeplab_v3_resnet50", "fcn_resnet50")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No download, and small nets: weights in torchvision's form take the place of ImageNet's. The names that were asked for."""
    names: list[str] = []

    def made(name: str) -> dict[str, Tensor]:
        names.append(name)
        return backbones.resnet.resnet(name, width=THIN["width"]).state_dict()

    monkeypatch.setattr(backbones.resnet, "imagenet_state_dict", made)
    monkeypatch.setattr(backbones.resnet, "_check_pretrained", lambda *_: None)  # which wants width 1
    return names


def pretrained(model: str, **changes: Any) -> Preset:
    """A paper's row on a thin ResNet-50, from "ImageNet's" weights."""
    return replace(Preset("", model, SMALL, TRY, THIN, pretrained=True), **changes)


def train(name: str, run: Path, *options: object) -> Path:
    arguments = ["train", "--preset", name, "--run", run, "--device", "cpu", "--quiet", *options]
    assert main([str(argument) for argument in arguments]) == 0
    return run


@pytest.mark.parametrize("model", RESNET_MODELS)
def test_a_net_from_imagenets_weights_is_loaded_as_it_was_trained(tmp_path: Path, asked: list[str], model: str) -> None:
    """Torchvision's weights bring torchvision's stem, strides and rates; a run that forgot them would rebuild the paper's form."""
    preset = pretrained(model)
    base = presets.labelled_set(SMALL, None, "train")
    net, images = preset.build(base.num_classes), torch.rand(1, 3, 48, 64)
    data = presets.training_set(SMALL, base, seed=0), presets.evaluation_set(base, 1)
    fit(
        net,
        *data,
        presets.make_loss(preset, base),
        TRY,
        tmp_path,
        num_classes=base.num_classes,
        description=preset.description("try", base),
    )
    assert asked == ["resnet50"]
    loaded, _ = load_trained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(images), net(images))
    assert asked == ["resnet50"]  # and not again


@pytest.mark.parametrize("model", RESNET_MODELS[:2])
def test_a_net_from_imagenets_weights_is_resumed_as_it_was_trained(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setitem(PRESETS, "try", pretrained(model))
    whole = train("try", tmp_path / "whole", "--epochs", 2)
    parts = train("try", tmp_path / "parts")
    assert len(asked) == 2
    train("try", parts, "--epochs", 2, "--resume")
    assert len(asked) == 2
    one, two = (load_checkpoint(run / "checkpoints" / "last.safetensors").model for run in (whole, parts))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_stage_in_another_form_is_refused(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights trained at the paper's rates fit a net with torchvision's, and nothing but this check would say so."""
    monkeypatch.setitem(PRESETS, "first", pretrained("deeplab_v3_resnet50"))
    monkeypatch.setitem(PRESETS, "second", pretrained("deeplab_v3_resnet50", stage_from="first", frozen_norm=True))
    train("first", tmp_path / "first", "--random-weights")
    command = ["train", "--preset", "second", "--run", tmp_path / "second", "--stage-from", tmp_path / "first", "--device", "cpu"]
    assert "another convention" in fails(capsys, *command)
    train("second", tmp_path / "second", "--stage-from", tmp_path / "first", "--random-weights")


def test_options_without_weights_are_those_of_the_same_net() -> None:
    form = {"convention": "exact", "stride_in": "3x3", "stem": "7x7"}
    assert models.options_without_weights("pspnet_resnet50", True, {"auxiliary": True}) == form | {"auxiliary": True}
    assert models.options_without_weights("pspnet_resnet50", True, {"convention": "drn"}) == form | {"convention": "drn"}
    assert models.options_without_weights("pspnet_resnet50", False, {}) == {}
    assert models.options_without_weights("deeplab_v3_resnet50", True, {"backbone": "vgg16"}) == {"backbone": "vgg16"}
    assert models.options_without_weights("fcn32s", True, {}) == {}


# How long


@pytest.mark.parametrize(
    ("name", "steps"),
    {
        **dict.fromkeys(("fcn32s-voc-heavy", "fcn16s-voc-heavy", "fcn8s-voc-heavy"), 100_000),
        "fcn8s-at-once-voc-heavy": 300_000,
        **dict.fromkeys(("dilation-frontend-voc", "dilation-context-voc", "dilation-joint-voc"), 60_000),
        "deconvnet-voc-centred": 20_000,
        "deconvnet-voc": 40_000,
        "deeplab-largefov-voc": 6_000,
        **dict.fromkeys(("deeplab-v2-resnet101-voc", "deeplab-v2-vgg16-voc"), 20_000),
        **dict.fromkeys(("deeplab-v3-resnet50-voc", "deeplab-v3-resnet101-voc", "deeplab-v3-resnet50-voc-os8"), 30_000),
        **dict.fromkeys(("pspnet-resnet50-voc", "pspnet-resnet101-voc"), 30_000),
    }.items(),
)
def test_a_preset_takes_the_papers_steps_however_many_images_there_are(name: str, steps: int) -> None:
    preset = PRESETS[name]
    assert preset.images_due is not None
    assert preset.fit_for(preset.images_due) == preset.fit
    for found in (preset.images_due, 1_464):  # with SBD and without
        config = preset.fit_for(found)
        assert config.epochs * (found // config.batch_size) == pytest.approx(steps, rel=0.1)
        assert abs(config.epochs // config.validate_every - preset.fit.epochs // preset.fit.validate_every) <= 1


@pytest.mark.parametrize(
    ("name", "images", "steps"),
    [
        ("pspnet-resnet50-cityscapes", 2_975, 90_000),
        ("pspnet-resnet101-cityscapes", 2_975, 90_000),
        ("pspnet-resnet50-ade20k", 20_210, 150_000),
        ("dilation-frontend-cityscapes", 2_975, 40_000),
        ("dilation10-cityscapes-context", 2_975, 24_000),
        ("dilation10-cityscapes", 2_975, 60_000),
    ],
)
def test_epochs_of_a_whole_set_make_the_papers_steps(name: str, images: int, steps: int) -> None:
    config = PRESETS[name].fit
    assert config.epochs * (images // config.batch_size) == pytest.approx(steps, rel=0.03)


def test_train_says_how_many_steps_the_images_found_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(PRESETS["shapes-cpu"], data=SMALL, fit=replace(TRY, validate_every=1), images_due=16)
    monkeypatch.setitem(PRESETS, "try", small)
    train("try", tmp_path / "run")  # 8 scenes
    assert capsys.readouterr().out.startswith("8 training images, 16 in the paper: 2 epochs, 4 steps\n")
    assert load_checkpoint(find_checkpoint(tmp_path / "run")).config["fit"]["epochs"] == 2
    train("try", tmp_path / "given", "--epochs", 1)
    assert "1 epochs, 2 steps" in capsys.readouterr().out
    train("try", tmp_path / "limited", "--limit", 4)  # for a try, not for so many epochs of so few
    assert "1 epochs, 1 steps" in capsys.readouterr().out


def test_proposals_come_in_parts_one_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in turn, whoever asks for an epoch first: a resumed run sees what the whole one saw."""
    spec = replace(SMALL, size=(48, 64), objects="proposals", object_size=16, flip=0.0)
    base = presets.labelled_set(spec, None, "train")
    whole = presets.training_set(spec, base, seed=3, limit=2)
    assert isinstance(whole, presets.Parts)
    monkeypatch.setattr("edu_seg.presets.specs.PROPOSALS_AN_EPOCH", size := len(whole) // 4)
    parts, late = (presets.training_set(spec, base, seed=3, limit=2) for _ in range(2))
    seen: list[Tensor] = []
    for epoch in range(1, 6):
        parts.set_epoch(epoch)
        seen += [parts[index][0] for index in range(len(parts))]
    assert len(seen) == 5 * size > len(whole)
    late.set_epoch(5)
    assert torch.equal(late[size - 1][0], seen[-1])
    totals = [round(float(whole[index][0].sum()), 2) for index in range(len(whole))]
    assert {round(float(image.sum()), 2) for image in seen} == set(totals)


# How fast


class Rates(NamedTuple):
    """Of weights and biases; of those whose names start with `head`; momentum and weight decay; normalisation layers: `weights`."""

    weights: float
    biases: float
    head: tuple[str, ...] = ()
    head_weights: float = 0.0
    head_biases: float = 0.0
    momentum: float = 0.9
    decay: float = 5e-4


PSPNET = Rates(1e-2, 1e-2, ("pyramid.", "classifier.", "aux_classifier."), 1e-1, 1e-1, 0.9, 1e-4)
DEEPLAB_V3 = Rates(7e-3, 7e-3, decay=1e-4)
DRN = Rates(1e-2, 1e-2, decay=1e-4)
TABLE = {
    "fcn32s-voc": Rates(1e-4, 2e-4),
    "fcn16s-voc": Rates(1e-6, 2e-6),
    "fcn8s-voc": Rates(1e-8, 2e-8),
    "fcn8s-at-once-voc": Rates(1e-4, 2e-4),
    "fcn-alexnet-voc": Rates(1e-3, 2e-3),
    "fcn-googlenet-voc": Rates(5e-5, 1e-4),
    "fcn32s-voc-heavy": Rates(1e-10, 2e-10, momentum=0.99),
    "fcn16s-voc-heavy": Rates(1e-12, 2e-12, momentum=0.99),
    "fcn8s-voc-heavy": Rates(1e-14, 2e-14, momentum=0.99),
    "fcn8s-at-once-voc-heavy": Rates(1e-10, 2e-10, momentum=0.99),
    "dilation-frontend-voc": Rates(1e-3, 2e-3),
    "dilation-context-voc": Rates(0, 0, ("context.",), 1e-3, 2e-3),
    "dilation-joint-voc": Rates(1e-5, 2e-5),
    "deconvnet-voc-centred": Rates(1e-2, 2e-2),
    "deconvnet-voc": Rates(1e-2, 2e-2),
    "deeplab-largefov-voc": Rates(1e-3, 2e-3, ("classifier.fc8.",), 1e-2, 2e-2),
    "deeplab-v2-resnet101-voc": Rates(2.5e-4, 5e-4, ("model.branches.",), 2.5e-3, 5e-3),
    "deeplab-v2-vgg16-voc": Rates(1e-3, 2e-3, tuple(f"branches.{number}.fc8." for number in range(4)), 1e-2, 2e-2),
    "deeplab-v3-resnet50-voc": DEEPLAB_V3,
    "deeplab-v3-resnet101-voc": DEEPLAB_V3,
    "deeplab-v3-resnet50-voc-os8": Rates(1e-3, 1e-3, decay=1e-4),
    "pspnet-resnet50-voc": PSPNET,
    "pspnet-resnet101-voc": PSPNET,
    "crf-rnn-voc": Rates(1e-13, 2e-13, ("crf.",), 1e-9, 2e-9, momentum=0.99),
    "segnet-camvid": Rates(1e-3, 2e-3),
    "dilation-frontend-camvid": Rates(1e-4, 2e-4),
    "dilation8-camvid": Rates(1e-5, 2e-5),
    "dilation-frontend-cityscapes": Rates(1e-4, 2e-4, momentum=0.99),
    "dilation10-cityscapes-context": Rates(0, 0, ("context.",), 1e-4, 2e-4, momentum=0.99),
    "dilation10-cityscapes": Rates(1e-5, 2e-5, momentum=0.99),
    "drn-a-50-cityscapes": DRN,
    "drn-c-26-cityscapes": DRN,
    "drn-d-22-cityscapes": DRN,
    "pspnet-resnet50-cityscapes": PSPNET,
    "pspnet-resnet101-cityscapes": PSPNET,
    "pspnet-resnet50-ade20k": PSPNET,
    "unet-folder": Rates(1e-4, 1e-4, momentum=0.99, decay=0.0),
}


def test_the_table_has_every_preset_of_a_paper() -> None:
    assert set(TABLE) == set(PAPERS | SCENES)
    covered = {models.PAPERS[preset.model] for preset in (PAPERS | SCENES).values()}
    assert covered == set(models.PAPERS.values())


@pytest.mark.parametrize("name", TABLE)
def test_each_parameter_learns_as_fast_as_in_the_paper(name: str) -> None:
    preset, row = PRESETS[name].without_weights(), TABLE[name]
    with torch.device("meta"):
        net = preset.build(21)
    freeze(net, preset.fit.frozen)
    norms = {id(p) for module in net.modules() if isinstance(module, NORM_LAYERS) for p in module.parameters(recurse=False)}
    found = {id(p): group for group in make_optimiser(net, preset.fit).param_groups for p in group["params"]}
    fast = 0
    for parameter_name, parameter in net.named_parameters():
        in_head, is_bias = parameter_name.startswith(row.head or "-"), parameter_name.endswith("bias") and id(parameter) not in norms
        wanted = (row.head_biases if is_bias else row.head_weights) if in_head else row.biases if is_bias else row.weights
        fast += in_head
        if wanted == 0:  # frozen
            assert id(parameter) not in found, parameter_name
            continue
        group = found[id(parameter)]
        assert group["lr"] == pytest.approx(wanted, rel=1e-9), parameter_name
        assert group["weight_decay"] == (0.0 if is_bias else row.decay), parameter_name
        assert group["momentum"] == row.momentum
    assert bool(fast) == bool(row.head)


# On what


class Images(NamedTuple):
    """Images a step, side of a crop (None: whole images), range of scales, mirrored, rotated by degrees, blurred; schedule of the rate."""

    batch: int
    crop: int | None = None
    scale: tuple[float, float] | None = None
    flip: float = 0.0
    rotation: float = 0.0
    blur: float = 0.0
    schedule: str = "constant"


V3, PSP = Images(16, 513, (0.5, 2.0), 0.5, schedule="poly"), Images(16, 473, (0.5, 2.0), 0.5, 10, 0.5, "poly")
IMAGES = {
    **dict.fromkeys(("fcn32s-voc", "fcn16s-voc", "fcn8s-voc", "fcn8s-at-once-voc", "fcn-alexnet-voc", "fcn-googlenet-voc"), Images(20)),
    **dict.fromkeys(("fcn32s-voc-heavy", "fcn16s-voc-heavy", "fcn8s-voc-heavy", "fcn8s-at-once-voc-heavy", "crf-rnn-voc"), Images(1)),
    **dict.fromkeys(("dilation-frontend-voc", "dilation-context-voc", "dilation-joint-voc"), Images(14)),
    **dict.fromkeys(("deconvnet-voc-centred", "deconvnet-voc"), Images(64, 224, flip=0.5, schedule="step")),
    "deeplab-largefov-voc": Images(20, 321, flip=0.5, schedule="step"),
    **dict.fromkeys(("deeplab-v2-resnet101-voc", "deeplab-v2-vgg16-voc"), Images(10, 321, (0.5, 1.5), 0.5, schedule="poly")),
    **dict.fromkeys(("deeplab-v3-resnet50-voc", "deeplab-v3-resnet101-voc", "deeplab-v3-resnet50-voc-os8"), V3),
    **dict.fromkeys(("pspnet-resnet50-voc", "pspnet-resnet101-voc", "pspnet-resnet50-ade20k"), PSP),
    **dict.fromkeys(("pspnet-resnet50-cityscapes", "pspnet-resnet101-cityscapes"), PSP._replace(crop=713)),
    "segnet-camvid": Images(12),
    **dict.fromkeys(("dilation-frontend-camvid", "dilation8-camvid"), Images(14, flip=0.5)),
    "dilation-frontend-cityscapes": Images(8, 628, flip=0.5),
    "dilation10-cityscapes-context": Images(100, flip=0.5),
    "dilation10-cityscapes": Images(1, 1024, flip=0.5),
    **dict.fromkeys(("drn-a-50-cityscapes", "drn-c-26-cityscapes", "drn-d-22-cityscapes"), Images(32, 896, flip=0.5, schedule="step")),
}


@pytest.mark.parametrize("name", IMAGES)
def test_each_step_sees_the_papers_images(name: str) -> None:
    data, fit, row = PRESETS[name].data, PRESETS[name].fit, IMAGES[name]
    assert data.crop == (None if row.crop is None else (row.crop, row.crop))
    found = Images(fit.batch_size, row.crop, data.scale, data.flip, data.rotation, data.blur, fit.schedule)
    assert found == row
    assert fit.power == 0.9


def test_every_paper_has_its_images() -> None:
    assert set(IMAGES) == set(TABLE) - {"unet-folder"}  # whose images are one's own
    assert PRESETS["drn-c-26-cityscapes"].fit.milestones == (100 / 250, 200 / 250)
    assert PRESETS["deeplab-largefov-voc"].fit.milestones == (2_000 / 6_000, 4_000 / 6_000)
    held = {name for name, preset in (PAPERS | SCENES).items() if preset.frozen_norm}
    assert held == {"deeplab-v2-resnet101-voc", "deeplab-v3-resnet50-voc-os8"}


def test_batch_norm_sees_the_images_of_all_processes() -> None:
    """Or is held: else two GPUs train another net than one."""
    for name, preset in (PAPERS | SCENES).items():
        with torch.device("meta"):
            net = preset.without_weights().build(21)
        if any(isinstance(layer, NORM_LAYERS) for layer in net.modules()):
            assert preset.fit.sync_batch_norm, name
    assert PRESETS["own-gpu"].fit.sync_batch_norm


# What each paper adds


def test_deeplab_v2_is_trained_on_three_scales_and_their_maximum() -> None:
    preset = PRESETS["deeplab-v2-resnet101-voc"]
    net = replace(preset, pretrained=False, options=preset.options | {"backbone": "resnet18", "width": 1 / 16, "dropout": 0.0}).build(21)
    base = presets.labelled_set(SMALL, None, "train")
    loss, logits = presets.make_loss(preset, base), torch.randn(4, 1, 21, 4, 4)
    images, labels = torch.rand(1, 3, 33, 33), torch.zeros(1, 4, 4, dtype=torch.int64)
    fused, *scales = WithAuxiliary(net.eval())(images)
    assert len(scales) == 3
    assert torch.equal(fused, torch.stack(scales).amax(0))
    wanted = sum(float(CrossEntropy()(one, labels)) for one in logits)
    assert float(loss(tuple(logits), labels)) == pytest.approx(wanted, rel=1e-6)


def test_crf_rnn_starts_from_a_trained_fcn() -> None:
    crf_rnn = models.build("crf_rnn", 3, backbone="vgg_small")
    assert isinstance(crf_rnn, CRFRNN)
    fcn = models.build("fcn8s", 3, backbone="vgg_small")
    presets.start_from(crf_rnn, fcn)
    assert all(torch.equal(value, crf_rnn.unary.state_dict()[name]) for name, value in fcn.state_dict().items())
    with pytest.raises(RuntimeError, match="score_fr"):
        presets.start_from(crf_rnn, models.build("fcn8s", 4, backbone="vgg_small"))


def test_the_gap_between_objects_counts_where_a_preset_says_so() -> None:
    base = presets.labelled_set(SMALL, None, "train")
    loss = presets.make_loss(replace(PRESETS["unet-folder"], data=SMALL), base)
    assert isinstance(loss, BorderCrossEntropy)
    assert loss.weight is not None
    assert (loss.w0, loss.sigma) == (10, 5)


def test_deeplab_v2_is_scaled_less_than_v3_and_psp() -> None:
    assert {PRESETS[f"deeplab-v2-{name}-voc"].data.scale for name in ("resnet101", "vgg16")} == {(0.5, 1.5)}
    assert PRESETS["deeplab-v3-resnet50-voc"].data.scale == PRESETS["pspnet-resnet50-voc"].data.scale == (0.5, 2.0)


def test_the_command_says_what_a_preset_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PRESETS)
    assert main(["presets", "deeplab-v2-resnet101-voc"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("Section 4.1.2", "frozen_norm True", "weights ImageNet's", "crop (321, 321)", "lr 0.00025", "auxiliary_weight 1.0"):
        assert part in text
    assert main(["presets", "fcn16s-voc-heavy"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "weights of a trained fcn32s-voc-heavy" in text
    assert "epochs are of 10,582 images" in text
    for part in ("power", "milestones", "gamma", "head_lr", "object_size"):  # which do nothing here
        assert part not in text
    assert text.endswith("--preset fcn16s-voc-heavy --stage-from RUN")
    assert "no preset is called 'fcn': there are fcn32s-voc" in fails(capsys, "presets", "fcn")


def test_a_preset_from_random_weights_says_so_where_the_paper_has_others() -> None:
    for name in ("fcn-googlenet-voc", "drn-c-26-cityscapes", "drn-d-22-cityscapes"):
        assert not PRESETS[name].pretrained
        assert "random weights" in PRESETS[name].source
