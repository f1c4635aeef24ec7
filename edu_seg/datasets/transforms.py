"""Transforms of an image and its labels together: each is a callable (image, labels) -> (image, labels).

Images are float (3, H, W), labels int64 (H, W) with 255 = void. Labels are only ever moved or taken from the nearest
pixel, never mixed. All chance is drawn from torch's global generator on the CPU; `Seeded` fixes it for each item.

The work is torchvision's, but for one thing: its resizing takes for labels the pixel at floor(i · scale), while images
are sampled at pixel centres, (i + 1/2) · scale - 1/2. That moves labels by up to half a pixel; `RandomScale` does not.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from edu_seg.datasets.files import IGNORE_INDEX, Number, nearest_pixels

Image = Float[Tensor, "3 H W"]
Labels = Int64[Tensor, "H W"]
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_FILL = {tv_tensors.Image: list(IMAGENET_MEAN), tv_tensors.Mask: IGNORE_INDEX}
_RESIZING = (v2.Resize, v2.RandomResize, v2.RandomResizedCrop, v2.ScaleJitter, v2.RandomShortestSize)


def _resizes(transform: v2.Transform) -> bool:
    """Whether a torchvision transform, or one inside it, resizes."""
    return isinstance(transform, _RESIZING) or any(_resizes(part) for part in getattr(transform, "transforms", ()))


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = tuple(transforms)

    def __call__(self, image: Image, labels: Labels) -> tuple[Float[Tensor, "3 h w"], Int64[Tensor, "h w"]]:
        for transform in self.transforms:
            image, labels = transform(image, labels)
        return image, labels


class Joint:
    """A torchvision v2 transform for image and labels at once.

    Raises ValueError for those that resize: torchvision would put the labels up to half a pixel beside the image.
    """

    def __init__(self, transform: v2.Transform) -> None:
        if _resizes(transform):
            raise ValueError(
                f"{type(transform).__name__} resizes labels by the floor rule, half a pixel beside the image: take RandomScale"
            )
        self.transform = transform

    def __call__(self, image: Image, labels: Labels) -> tuple[Float[Tensor, "3 h w"], Int64[Tensor, "h w"]]:
        image, labels = self.transform(tv_tensors.Image(image), tv_tensors.Mask(labels))
        return image.as_subclass(Tensor), labels.as_subclass(Tensor)


def resize(image: Image, labels: Labels, size: tuple[int, int]) -> tuple[Float[Tensor, "3 h w"], Int64[Tensor, "h w"]]:
    """Both to `size` (height, width): the image by antialiased bilinear, the labels from the nearest pixel centre."""
    small = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    rows, cols = (torch.from_numpy(nearest_pixels(old, new)) for old, new in zip(labels.shape, size, strict=True))
    return small, labels[rows[:, None], cols]


class RandomScale:
    """Resize by a factor drawn evenly from `limits` (0.5 to 2 in PSPNet section 5.1, 0.5 to 1.5 in DeepLab v2 section 4.1)."""

    def __init__(self, limits: tuple[Number, Number] = (0.5, 2.0)) -> None:
        if not 0 < limits[0] <= limits[1]:
            raise ValueError(f"limits = {limits}: give (least, most) factor, both above 0")
        self.limits = limits

    def __call__(self, image: Image, labels: Labels) -> tuple[Float[Tensor, "3 h w"], Int64[Tensor, "h w"]]:
        factor = float(torch.empty(()).uniform_(*self.limits))
        height, width = (max(1, round(length * factor)) for length in labels.shape)
        return resize(image, labels, (height, width))


class Normalise:
    """(image - mean) / std for each channel; the labels pass."""

    def __init__(self, mean: Sequence[Number] = IMAGENET_MEAN, std: Sequence[Number] = IMAGENET_STD) -> None:
        self.mean, self.std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, image: Image, labels: Labels) -> tuple[Image, Labels]:
        return (image - self.mean) / self.std, labels


def denormalise(
    images: Float[Tensor, "*N 3 H W"], mean: Sequence[Number] = IMAGENET_MEAN, std: Sequence[Number] = IMAGENET_STD
) -> Float[Tensor, "*N 3 H W"]:
    """Undo `Normalise`, for one image or a batch."""
    shape = {"dtype": images.dtype, "device": images.device}
    return images * torch.tensor(std, **shape)[:, None, None] + torch.tensor(mean, **shape)[:, None, None]


def random_crop(size: int | tuple[int, int]) -> Joint:
    """A crop of (height, width) at a random place; what is missing is padded, the image by ImageNet's mean, labels by void."""
    return Joint(v2.RandomCrop(size, pad_if_needed=True, fill=_FILL))


def random_rotation(degrees: Number = 10) -> Joint:
    """Turn both about the middle by an angle within ± `degrees` (PSPNet section 5.1: 10); corners are filled as by `random_crop`."""
    return Joint(v2.RandomRotation((-degrees, degrees), v2.InterpolationMode.BILINEAR, fill=_FILL))


def random_flip(probability: Number = 0.5) -> Joint:
    """Mirror left and right with the given probability."""
    return Joint(v2.RandomHorizontalFlip(probability))


def colour_jitter(brightness: Number = 0.3, contrast: Number = 0.3, saturation: Number = 0.3, hue: Number = 0.05) -> Joint:
    """Change brightness, contrast and saturation by factors of 1 ± the given shares, and turn the hue by ± `hue` of the circle."""
    return Joint(v2.ColorJitter(brightness, contrast, saturation, hue))


def random_blur(probability: Number = 0.5, sigma: tuple[Number, Number] = (0.1, 1.5)) -> Joint:
    """Gaussian blur of a standard deviation drawn from `sigma` (pixels), with the given probability (PSPNet section 5.1)."""
    return Joint(v2.RandomApply([v2.GaussianBlur(2 * round(3 * sigma[1]) + 1, sigma)], probability))


def training_transform(
    crop_size: int | tuple[int, int] | None = None,
    *,
    scale: tuple[Number, Number] | None = (0.5, 2.0),
    flip: Number = 0.5,
    jitter: Number = 0.0,
    hue: Number | None = None,
    blur: Number = 0.0,
    rotation: Number = 0.0,
    normalise: bool = True,
) -> Compose:
    """The usual augmentation in the usual order: scale, rotation, crop, flip, colour jitter, blur, normalise.

    crop_size: pixels or (height, width); None: no crop, so with a scale each image keeps its own size.
    scale: factors (least, most); None: none. flip, blur: probabilities. jitter: share of change of brightness,
    contrast and saturation. hue: share of the circle by which the hue turns, a sixth of `jitter` unless given (turning it takes longer
    than all else together). rotation: degrees to either side. 0 leaves a step out.
    """
    steps = [
        RandomScale(scale) if scale is not None else None,
        random_rotation(rotation) if rotation else None,
        random_crop(crop_size) if crop_size is not None else None,
        random_flip(flip) if flip else None,
        colour_jitter(jitter, jitter, jitter, jitter / 6 if hue is None else hue) if jitter else None,
        random_blur(blur) if blur else None,
        Normalise() if normalise else None,
    ]
    return Compose([step for step in steps if step is not None])


def evaluation_transform(normalise: bool = True) -> Compose:
    """Nothing but the normalisation: scores are taken at the image's own size."""
    return Compose([Normalise()] if normalise else [])


class Seeded(Dataset[tuple[Tensor, Tensor]]):
    """`dataset` with `transform`, whose chance for item i hangs on (seed, epoch, i) alone.

    So a run is the same for any number of workers and processes and any order of items, and can be resumed.
    `set_epoch` also reaches persistent workers: the epoch lies in shared memory. The generators of the caller, those
    of GPUs included, are left as they were.
    """

    def __init__(self, dataset: Dataset[tuple[Tensor, Tensor]], transform: Transform, seed: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed = {seed}: must not be negative")
        self.dataset, self.transform, self.seed = dataset, transform, seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.dataset)  # pyright: ignore[reportArgumentType]  # torch's Dataset declares no length

    def set_epoch(self, epoch: int) -> None:
        """From now on draw the chance of `epoch` (0, 1, ...). Call it before the loader is iterated, not during."""
        if epoch < 0:
            raise ValueError(f"epoch = {epoch}: must not be negative")
        self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose chances are drawn, in every worker alike."""
        return int(self._epoch)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 H W"], Int64[Tensor, "H W"]]:
        key = np.random.SeedSequence((self.seed, self.epoch, range(len(self))[index])).generate_state(2, np.uint32)
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: that would also reset every GPU's generator, which fork_rng does not put back here.
            torch.default_generator.manual_seed(int(key[0]) << 31 ^ int(key[1]))
            return self.transform(*self.dataset[index])
