"""datasets.Shapes: the same scene always, one-pixel rims, every class, and a context that only the far ground tells."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from edu_seg import datasets
from edu_seg.datasets import Shapes, scenes
from edu_seg.datasets.painting import SOLIDS, Canvas, Item, wire

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "rough": {"roughness": 0.2},
    "wires": {"wires": (3, 5), "wire_width": 1.0},
    "scales": {"scales": (0.02, 0.5)},
    "texture": {"texture": 1.0},
    "overlap": {"overlap": 1.0, "objects": 9},
    "clean": {"overlap": 0.0, "texture": 0.0, "void_rim": False},
    "context": {"context": True},
}


def neighbours(labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("size", [64, (50, 81)])
def test_form_of_an_item(options, size):
    dataset = Shapes(5, size, seed=3, **options)
    height, width = (size, size) if isinstance(size, int) else size
    images, labels = dataset.tensors()
    assert images.shape == (5, 3, height, width)
    assert images.dtype == torch.float32
    assert labels.shape == (5, height, width)
    assert labels.dtype == torch.int64
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0.02
    assert set(labels.unique().tolist()) <= {*range(dataset.num_classes), 255}
    assert dataset.palette.shape == (dataset.num_classes, 3)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_scene_depends_on_seed_and_index_alone(options):
    image, labels = Shapes(50, 64, seed=5, **options)[7]
    fewer = Shapes(8, 64, seed=5, **options)
    _ = fewer[3], np.random.default_rng(0).random(), torch.rand(1)
    for again in (fewer[7], fewer[-1], fewer.tensors()[0][7:8].squeeze(0)):
        torch.testing.assert_close(again[0] if isinstance(again, tuple) else again, image, rtol=0, atol=0)
    assert torch.equal(fewer[7][1], labels)
    for other in (fewer[6], Shapes(8, 64, seed=6, **options)[7]):
        assert not torch.equal(other[0], image)


def test_workers_draw_the_same_scenes():
    dataset = Shapes(6, 32)
    images, labels = dataset.tensors()
    loaded = list(DataLoader(dataset, batch_size=2, num_workers=2))
    assert torch.equal(torch.cat([batch[0] for batch in loaded]), images)
    assert torch.equal(torch.cat([batch[1] for batch in loaded]), labels)


def test_published_scene():
    """Labels of one scene as they were when the course was written, so that a change of them is seen."""
    labels = Shapes(1, 96, seed=0)[0][1]
    values, counts = labels.unique(return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == SCENE_0


SCENE_0 = {0: 7906, 2: 251, 4: 728, 5: 69, 255: 262}


def test_every_class_appears_and_none_dominates_the_objects():
    labels = Shapes(60).tensors()[1]
    share = torch.bincount(labels[labels != 255], minlength=6) / (labels != 255).sum()
    assert 0.5 < share[0] < 0.85
    assert (share[1:] > 0.01).all()


def test_colour_does_not_tell_the_class():
    """Mean colours of the solids agree: a class is not to be known by its colour."""
    images, labels = Shapes(150, 48, texture=0.0).tensors()
    colours = images.permute(0, 2, 3, 1)
    means = torch.stack([colours[labels == k].mean(0) for k in range(1, 5)])
    spread = torch.stack([colours[labels == k].std(0) for k in range(1, 5)]).mean()
    assert (means - means.mean(0)).abs().max() < 0.6 * spread


@pytest.mark.parametrize("name", ["default", "rough", "wires", "scales", "overlap", "context"])
def test_void_lies_between_any_two_classes(name):
    for _, labels in (Shapes(20, 64, **OPTIONS[name])[i] for i in range(20)):
        for a, b in neighbours(labels):
            assert not ((a != b) & (a != 255) & (b != 255)).any()


def test_the_rim_is_one_pixel_outside():
    """The same scenes without rim: the objects keep their pixels, and each void pixel is beside one of them."""
    for i in range(20):
        bare, rimmed = (Shapes(20, 64, void_rim=rim, objects=1, wires=0)[i] for rim in (False, True))
        assert torch.equal(bare[0], rimmed[0])
        assert 255 not in bare[1]
        thing = bare[1] > 0
        beside = torch.nn.functional.pad(thing, (1, 1, 1, 1))
        beside = beside[2:, 1:-1] | beside[:-2, 1:-1] | beside[1:-1, 2:] | beside[1:-1, :-2]
        assert torch.equal(rimmed[1], torch.where(beside & ~thing, 255, bare[1]))


def paint(item: Item, size: int = 64, void_rim: bool = False) -> Canvas:
    canvas = Canvas(np.ones((3, size, size), np.float32), np.zeros((size, size), np.float32), void_rim)
    canvas.paint(item)
    return canvas


def item(distance, label: int = 1, x: float = 32.0, radius: float = 20.0, turn: float = 0.0) -> Item:
    return Item(label, distance, x, 32.0, radius, turn, (1.2 * radius, 1.2 * radius), np.zeros(3, np.float32))


AREAS = {"disc": np.pi, "square": 1.64**2, "triangle": 3 * 3**0.5 * 0.58**2, "star": 10 * 0.5 * 1.15**2 * 0.5 * np.sin(np.pi / 5)}


@pytest.mark.parametrize("name", SOLIDS)
@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_areas(name, turn):
    """Area by the formula, in pixels; the label's pixels are those of the image that are mostly covered."""
    canvas = paint(item(SOLIDS[name], turn=turn))
    assert canvas.labels.sum() == pytest.approx(AREAS[name] * 20**2, rel=0.03)
    assert canvas.image[0][canvas.labels == 1].max() <= 0.5


@pytest.mark.parametrize("width", [1.0, 2.0, 3.0])
def test_wires_are_as_thick_as_they_say(width):
    canvas = paint(Item(5, wire(25.0, 0.0), 32.0, 32.0 + (width % 2 == 0) / 2, width / 2, 0.0, (30, 8), np.zeros(3, np.float32)))
    assert ((canvas.labels == 5).sum(0)[10:54] == width).all()


def test_front_hides_back():
    canvas = paint(item(SOLIDS["disc"], 1, x=25.0))
    canvas.paint(item(SOLIDS["disc"], 2, x=39.0))
    alone = paint(item(SOLIDS["disc"], 2, x=39.0)).labels
    assert ((canvas.labels == 2) == (alone == 2)).all()
    assert (canvas.labels == 1).sum() < (alone == 2).sum()


def test_no_overlap_leaves_objects_apart():
    """With overlap 0 not even the outermost corners come near each other."""
    options = Shapes(1, 96, overlap=0.0, objects=(4, 6)).options
    for seed in range(20):
        placed = list(scenes._places(np.random.default_rng(seed), options))
        for i, (x, y, r) in enumerate(placed):
            for a, b, s in placed[:i]:
                assert np.hypot(x - a, y - b) > (r + s) * scenes.EXTENT + 2


def test_roughness_lengthens_the_contour_only():
    smooth, rough = (Shapes(30, 96, wires=0, objects=1, scales=0.24, roughness=r).tensors()[1] for r in (0.0, 0.2))
    rim = [(labels == 255).sum().item() for labels in (smooth, rough)]
    area = [((labels > 0) & (labels < 255)).sum().item() for labels in (smooth, rough)]
    assert rim[1] > 1.5 * rim[0]
    assert area[1] == pytest.approx(area[0], rel=0.25)


def test_texture_is_the_noise_of_single_pixels():
    calm, noisy = (Shapes(5, texture=t).tensors()[0].diff(dim=-1).abs().median() for t in (0.0, 1.0))
    assert noisy > 5 * calm


@pytest.mark.parametrize("radius", [4, 12, 20])
def test_context_close_by_is_bit_by_bit_the_same(radius):
    """Swap sand and water: the classes swap, and all within `radius` pixels of any object stays as it was."""
    options = {"context": True, "context_radius": radius}
    one, other = Shapes(30, **options), Shapes(30, swap_context=True, **options)
    seen = set()
    for (image, labels), (image2, labels2) in zip((one[i] for i in range(30)), (other[i] for i in range(30)), strict=True):
        thing = (labels == 1) | (labels == 2)
        assert torch.equal(labels2, torch.where(thing, 3 - labels, labels))
        near = torch.nn.functional.max_pool2d(thing[None].float(), 2 * radius + 1, 1, radius)[0] > 0
        assert torch.equal(image[:, near], image2[:, near])
        changed = (image - image2).abs().amax(0) > 0.2
        assert changed[0].float().mean() > 0.9  # the ground shows at the edge of the picture, and differs
        seen |= set(labels.unique().tolist())
    assert seen == {0, 1, 2, 255}


def test_context_classes_are_equally_frequent():
    firsts = [(labels == 1).any().item() for labels in Shapes(100, 64, context=True).tensors()[1]]
    assert 35 <= sum(firsts) <= 65


def test_transform_comes_last():
    image, labels = Shapes(1, 32, transform=lambda image, labels: (1 - image, labels.flip(1)))[0]
    plain = Shapes(1, 32)[0]
    assert torch.equal(image, 1 - plain[0])
    assert torch.equal(labels, plain[1].flip(1))


@pytest.mark.parametrize("index", [3, -4, 100])
def test_index_outside(index):
    with pytest.raises(IndexError, match=f"index {index}: there are 3 scenes"):
        Shapes(3, 32)[index]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count = -1"),
        ({"seed": -1}, "seed = -1"),
        ({"size": 15}, "size = 15"),
        ({"size": (96, 8)}, "size = 8"),
        ({"objects": 0}, "objects = 0"),
        ({"objects": (5, 2)}, r"objects = \(5, 2\): the pair is \(least, most\)"),
        ({"scales": 0.6}, r"scales = 0\.6"),
        ({"scales": (0.0, 0.2)}, r"scales = 0\.0"),
        ({"roughness": 0.7}, r"roughness = 0\.7"),
        ({"wires": -1}, "wires = -1"),
        ({"wire_width": 0.5}, r"wire_width = 0\.5"),
        ({"texture": float("nan")}, "texture = nan"),
        ({"overlap": 1.1}, r"overlap = 1\.1"),
        ({"context_radius": 3}, "give context=True"),
        ({"swap_context": True}, "give context=True"),
        ({"context": True, "wires": 2}, "context mode has no wires"),
        ({"context": True, "context_radius": 0}, "context_radius = 0"),
        ({"context": True, "context_radius": 40}, r"context_radius = 40: .* pixels of 96"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        Shapes(**{"count": 2, **options})


def test_nothing_to_stack():
    with pytest.raises(ValueError, match="no scenes"):
        Shapes(0).tensors()


def test_importing_datasets_is_cheap():
    """At module level nothing but `transforms` imports torchvision, and nothing imports `transforms`, scipy or matplotlib."""
    for path in Path(datasets.__file__).parent.glob("*.py"):
        found = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {getattr(node, "module", None) or alias.name for node in found for alias in node.names}
        heavy = {name for name in names if name.split(".")[0] in ("torchvision", "scipy", "matplotlib") or name.endswith("transforms")}
        assert path.name == "transforms.py" or not heavy, (path.name, heavy)
