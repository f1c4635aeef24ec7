"""datasets.transforms: image and labels move as one, labels are never mixed, chance is fixed for each item."""

from fractions import Fraction

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from edu_seg.datasets import Shapes, transforms
from edu_seg.datasets.transforms import (
    Compose,
    Joint,
    Normalise,
    RandomScale,
    Seeded,
    denormalise,
    evaluation_transform,
    training_transform,
)


def twins(height: int = 40, width: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """An image that shows its labels: channel 0 is labels / 255, so that one tells where the other went."""
    labels = torch.randint(0, 20, (height, width), generator=torch.Generator().manual_seed(0))
    return (labels / 255).expand(3, -1, -1).clone(), labels


def ramp(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image whose value is the column's centre, and labels that are the column's index."""
    columns = torch.arange(width)
    return (columns + 0.5).expand(3, height, width).clone(), columns.expand(height, width).clone()


@pytest.mark.parametrize("factor", [0.5, 0.61, 0.75, 1.0, 1.3, 2.0])
def test_scaled_labels_lie_where_the_image_lies(factor):
    """On a ramp the resized image says which column each pixel's centre came from: the label must be that column."""
    image, labels = RandomScale((factor, factor))(*ramp(8, 100))
    width = round(100 * factor)
    assert labels.shape == image.shape[1:] == (round(8 * factor), width)
    centres = (torch.arange(width, dtype=torch.float64) + 0.5) * 100 / width
    inner = slice(2, -2)  # the borders repeat their last column
    torch.testing.assert_close(image[0, 0, inner].double(), centres[inner], rtol=0, atol=0.1)  # the filter's own ripple
    assert labels[0].tolist() == [int(Fraction(2 * i + 1, 2 * width) * 100) for i in range(width)]
    assert ((labels[0] + 0.5 - centres).abs() <= 0.5 + 1e-9).all()


def test_the_trap_is_there():
    """torchvision's own resizing moves labels against the image, which is why `Joint` refuses it, inside others too."""
    for trap in (v2.RandomResize(10, 20), v2.RandomApply([v2.Resize([4, 50])]), v2.Compose([v2.RandomShortestSize(8)])):
        with pytest.raises(ValueError, match=r"resizes labels.*take RandomScale"):
            Joint(trap)
    mask = torch.arange(100).expand(8, 100)
    assert v2.functional.resize_mask(mask[None].contiguous(), [4, 40])[0, 0, 10] == 25  # the pixel's centre lies at column 26.25
    assert RandomScale((0.4, 0.4))(ramp(8, 100)[0], mask)[1][0, 10] == 26


@pytest.mark.parametrize("seed", range(8))
def test_labels_are_never_mixed(seed):
    """Labels 0 and 200 only, so any mean of the two would show."""
    torch.manual_seed(seed)
    labels = torch.randint(0, 2, (40, 50)) * 200
    pipeline = training_transform(48, flip=0.5, jitter=0.4, blur=1.0)
    _, after = pipeline(torch.rand(3, 40, 50), labels)
    assert after.dtype == torch.int64
    assert set(after.unique().tolist()) <= {0, 200, 255}
    assert type(after) is torch.Tensor


@pytest.mark.parametrize("seed", range(8))
def test_crop_and_flip_move_both(seed):
    torch.manual_seed(seed)
    image, labels = Compose([transforms.random_crop((30, 60)), transforms.random_flip(0.5)])(*twins())
    assert labels.shape == (30, 60)
    kept = labels != 255
    assert torch.equal((image[0] * 255).round().long()[kept], labels[kept])
    mean = torch.tensor(transforms.IMAGENET_MEAN)[:, None]
    torch.testing.assert_close(image[:, ~kept], mean.expand(3, int((~kept).sum())))
    assert (~kept).sum() == 30 * 10  # the image is 10 columns too narrow, and 10 rows too high


def test_crop_places_differ():
    torch.manual_seed(0)
    crop = transforms.random_crop(16)
    places = {tuple(crop(*ramp(40, 40))[1][0].tolist()) for _ in range(20)}
    assert len(places) > 5


def test_flip_probability():
    pair = ramp(4, 6)
    assert torch.equal(transforms.random_flip(1.0)(*pair)[1], pair[1].flip(1))
    assert torch.equal(transforms.random_flip(0.0)(*pair)[1], pair[1])


def test_rotation_turns_both_and_leaves_void_corners():
    """Labels in large cells, so that away from their borders the image, which is interpolated, tells where they went."""
    labels = (torch.arange(12)[:, None] + 2 * torch.arange(14)).repeat_interleave(8, 0).repeat_interleave(8, 1)
    image = (labels / 255).expand(3, -1, -1).clone()
    torch.manual_seed(0)
    shares = []
    for _ in range(8):
        turned, after = transforms.random_rotation(10)(image, labels)
        kept = after != 255
        close = ((turned[0] * 255).round().long() == after)[kept].float().mean()
        assert close > 0.6  # the rest are pixels beside a border of two cells
        shares.append(float((~kept).float().mean()))
        assert set(after.unique().tolist()) <= {*labels.unique().tolist(), 255}
    assert len(set(shares)) > 5
    assert max(shares) < 0.2
    still = transforms.random_rotation(0)(image, labels)
    assert torch.equal(still[1], labels)


@pytest.mark.parametrize("change", [transforms.colour_jitter(), transforms.random_blur(1.0, (1.0, 1.5))])
def test_colour_and_blur_leave_labels(change):
    torch.manual_seed(0)
    image, labels = torch.rand(3, 20, 30), torch.randint(0, 256, (20, 30))
    after, labels_after = change(image, labels)
    assert torch.equal(labels_after, labels)
    assert not torch.equal(after, image)
    assert after.shape == image.shape
    assert after.min() >= 0
    assert after.max() <= 1


def test_normalise_by_hand_and_back():
    image, labels = torch.full((3, 2, 2), 0.5), torch.zeros(2, 2, dtype=torch.int64)
    normal, _ = Normalise()(image, labels)
    torch.testing.assert_close(normal[:, 0, 0], torch.tensor([0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225]))
    torch.testing.assert_close(denormalise(normal), image)
    torch.testing.assert_close(denormalise(normal.expand(2, 3, 2, 2)), image.expand(2, 3, 2, 2))


def test_padding_is_zero_after_normalising():
    image, labels = training_transform(64, scale=None, flip=0)(*twins())
    torch.testing.assert_close(image[:, labels == 255], torch.zeros(3, int((labels == 255).sum())), rtol=0, atol=1e-6)


def test_evaluation_keeps_the_size():
    image, labels = twins()
    normal, same = evaluation_transform()(image, labels)
    assert torch.equal(same, labels)
    torch.testing.assert_close(denormalise(normal), image)
    assert torch.equal(evaluation_transform(normalise=False)(image, labels)[0], image)


def test_steps_of_the_training_transform():
    assert len(training_transform().transforms) == 3
    assert len(training_transform(32, jitter=0.3, blur=0.5).transforms) == 6
    assert len(training_transform(32, jitter=0.3, blur=0.5, rotation=10).transforms) == 7
    assert len(training_transform(scale=None, flip=0, normalise=False).transforms) == 0


@pytest.mark.parametrize("limits", [(0.0, 1.0), (2.0, 0.5), (-1.0, 1.0)])
def test_impossible_scale(limits):
    with pytest.raises(ValueError, match="limits = "):
        RandomScale(limits)


def seeded(seed: int = 0, count: int = 6) -> Seeded:
    return Seeded(Shapes(count, 32), training_transform(24, jitter=0.3, blur=0.5), seed)


def all_images(dataset: Seeded, order=range(6)) -> torch.Tensor:
    return torch.stack([dataset[i][0] for i in order])


def test_seeded_items_depend_on_seed_epoch_and_index_alone():
    dataset = seeded()
    images = all_images(dataset)
    torch.manual_seed(123)
    assert torch.equal(all_images(dataset, range(5, -1, -1)).flip(0), images)
    assert torch.equal(dataset[-1][0], images[5])
    assert not torch.equal(all_images(seeded(seed=1)), images)
    dataset.set_epoch(1)
    later = all_images(dataset)
    assert all(not torch.equal(a, b) for a, b in zip(later, images, strict=True))
    dataset.set_epoch(0)
    assert torch.equal(all_images(dataset), images)


def test_seeded_draws_differ_between_items():
    class Draw(Dataset):
        def __getitem__(self, index):
            return torch.zeros(3, 1, 1), torch.zeros(1, 1, dtype=torch.int64)

        def __len__(self):
            return 50

    dataset = Seeded(Draw(), lambda image, labels: (image + torch.rand(()), labels))
    draws = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        draws += [float(dataset[i][0][0, 0, 0]) for i in range(50)]
    assert len(set(draws)) == 100


def test_seeded_leaves_the_callers_chance_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    _ = seeded()[2]
    assert torch.equal(torch.rand(3), expected)


def test_seeded_resets_no_gpu_generator(monkeypatch):
    def never(*_):
        raise AssertionError("a GPU's generator was seeded")

    for name in ("manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, never)
    _ = seeded()[0]


def test_epoch_reaches_persistent_workers():
    dataset = seeded()
    loader = DataLoader(dataset, batch_size=3, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 5):
        dataset.set_epoch(epoch)
        loaded = torch.cat([images for images, _ in loader])
        assert torch.equal(loaded, all_images(dataset))


def test_negative_seed_and_epoch():
    with pytest.raises(ValueError, match="seed = -1"):
        seeded(seed=-1)
    with pytest.raises(ValueError, match="epoch = -2"):
        seeded().set_epoch(-2)


def test_seeded_index_outside():
    with pytest.raises(IndexError):
        seeded()[6]


@pytest.mark.parametrize(("hue", "turns"), [(0.0, False), (None, True)])
def test_the_hue_turns_unless_it_is_left_out(hue: float | None, turns: bool) -> None:
    """In a red image green and blue are alike, whatever happens to brightness, contrast and saturation."""
    red = torch.tensor([0.8, 0.3, 0.3])[:, None, None].expand(3, 4, 4).clone()
    transform = training_transform(scale=None, flip=0, jitter=0.3, hue=hue, normalise=False)
    torch.manual_seed(0)
    apart = [float((image[1] - image[2]).abs().max()) for image, _ in (transform(red, torch.zeros(4, 4).long()) for _ in range(5))]
    assert (max(apart) > 1e-3) == turns
