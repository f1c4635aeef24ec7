"""Dilated convolutions: a front-end that keeps VGG-16's resolution at an eighth, and a context module that looks ever further around.

Source: Yu and Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", ICLR 2016, and the network files that the authors
released. Its figure 1 shows why dilations 1, 2, 4 … see 3 × 3, 7 × 7, 15 × 15 … units with no gap; its table 1 is the context module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.backbones import Trunk
from edu_seg.geometry import Grid
from edu_seg.upsampling import reflect_pad, upsample_to_pixels

Initialisation = Literal["identity", "plain"]

# Channels of each layer as multiples of the number of classes (table 1); the last layer is 1 × 1, the others 3 × 3.
WIDTHS = {"basic": (1, 1, 1, 1, 1, 1, 1, 1), "large": (2, 2, 4, 8, 16, 32, 32, 1)}


@dataclass(frozen=True)
class Variant:
    """A row of the table: the dilations of the context module (none: the front-end alone) and how its layers are padded and wide.

    pad_once: all the zeros that the module needs are laid around the scores before its first layer, in place of some in every layer.
    """

    dilations: tuple[int, ...] = ()
    width: str = "basic"
    pad_once: bool = False
    data: str = "any"


VARIANTS = {
    "dilation_frontend": Variant(),
    "dilation_context_basic": Variant((1, 1, 2, 4, 8, 16, 1, 1)),
    "dilation_context_large": Variant((1, 1, 2, 4, 8, 16, 1, 1), "large"),
    "dilation7": Variant((1, 1, 2, 4, 8, 1, 1), data="KITTI, 11 classes"),
    "dilation8": Variant((1, 1, 2, 4, 8, 16, 1, 1), "large", pad_once=True, data="VOC 2012, 21 classes"),
    "dilation8_camvid": Variant((1, 1, 2, 4, 8, 16, 1, 1), data="CamVid, 11 classes"),
    "dilation10": Variant((1, 1, 2, 4, 8, 16, 32, 64, 1, 1), data="Cityscapes, 19 classes"),
}


class ContextModule(nn.Module):
    """Dilated 3 × 3 convolutions with ReLU, then a 1 × 1 without: scores (N, C, h, w) -> scores (N, C, h, w).

    dilations: of each layer, the last of the 1 × 1. With 1 1 2 4 8 16 1 1 the layers see 3 5 9 17 33 65 67 67 units.
    width: "basic" keeps C channels (64 C² + 8 C parameters), "large" has 2C … 32C (15,422 C² + 97 C).
    initialisation: "identity" passes the scores through (section 3), "plain" is Glorot's, which the authors found not to help.
    noise: the standard deviation of what "identity" adds to each weight that is not part of it, as a share of those that are. Without it
        the large module's channels of one class stay copies of one another.
    pad_once: see `Variant`; the interior is the same, only units near the border differ.

    Raises ValueError for options that do not fit. Source: Yu and Koltun 2016, section 3, table 1.

    **Fidelity:** dilations, widths, truncation and both identity forms are the paper's. Released basic modules pad each layer, the
    large one pads once by 33.
    """

    def __init__(
        self,
        channels: int,
        dilations: Sequence[int] = (1, 1, 2, 4, 8, 16, 1, 1),
        width: str = "basic",
        *,
        initialisation: Initialisation = "identity",
        noise: float = 0.0,
        pad_once: bool = False,
    ) -> None:
        super().__init__()
        _check_context(channels, dilations, width, initialisation, noise)
        widths = [channels, *(channels * factor for factor in _factors(width, len(dilations)))]
        margin = sum(dilations[:-1])
        self.layers = nn.Sequential()
        for number, dilation in enumerate(dilations):
            kernel = 3 if number < len(dilations) - 1 else 1
            padding = (margin if number == 0 else 0) if pad_once else kernel // 2 * dilation
            self.layers.append(nn.Conv2d(widths[number], widths[number + 1], kernel, padding=padding, dilation=dilation))
            if kernel > 1:
                self.layers.append(nn.ReLU(inplace=True))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                identity_(layer, channels, noise) if initialisation == "identity" else nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, scores: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        return self.layers(scores)


def identity_(conv: nn.Conv2d, channels: int, noise: float = 0.0) -> None:
    """Sets a layer's weights to the identity on `channels` groups, in place (Yu and Koltun 2016, section 3, both forms).

    Channel a before and b after belong to groups floor(a · C / c_in) and floor(b · C / c_out); where the groups are the same, the
    centre tap is C / c_out, else noise. With as many channels as groups that is 1[t = 0] 1[a = b]. A layer that widens by a factor
    divides by it, so a single layer is no identity; a module whose widths end where they began is, on x ≥ 0.
    """
    out_channels, in_channels, kernel_size = conv.out_channels, conv.in_channels, conv.kernel_size[0]
    before = torch.arange(in_channels) * channels // in_channels
    after = torch.arange(out_channels) * channels // out_channels
    with torch.no_grad():
        centre = channels / out_channels
        conv.weight.normal_(0, noise * centre) if noise else conv.weight.zero_()
        same = (after[:, None] == before).to(conv.weight.device)
        conv.weight[:, :, kernel_size // 2, kernel_size // 2][same] = centre


class FrontEnd(nn.Module):
    """A classifier's trunk at stride 8 and a score for each unit: images (N, 3, H, W) -> scores (N, K, H / 8, W / 8), sizes rounded up.

    backbone: a trunk with its last two pools left out. A trunk without padding gets the image mirrored beyond its border, by 186 pixels
    for VGG-16 (`mirror`), and a little further at the bottom and on the right where 8 does not divide the size.
    `grid` says at which pixels the units sit. Source: Yu and Koltun 2016, section 4.

    **Fidelity:** layers, dilations (conv5 by 2, fc6 by 4), dropout, the start of the scores and the mirroring are the released net's.
    """

    def __init__(self, backbone: Trunk, num_classes: int, top: str = "drop_fc7") -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if top not in backbone.channels:
            raise ValueError(f"the trunk has no map {top!r} to score: it keeps {', '.join(backbone.channels)}")
        field = backbone.fields[top]
        self.backbone, self.top, self.stride = backbone, top, field.stride
        self.mirror = 0 if field.padding else (field.size - field.stride) // 2
        self.grid = Grid(field.grid.stride, field.grid.centre - self.mirror)
        self.final = nn.Conv2d(backbone.channels[top], num_classes, 1)
        nn.init.normal_(self.final.weight, std=0.001)
        nn.init.zeros_(self.final.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K h w"]:
        if self.mirror:
            below, right = (self.mirror + -size % self.stride for size in images.shape[2:])
            images = reflect_pad(images, self.mirror, below, self.mirror, right)
        return self.final(self.backbone(images)[self.top])  # (N, K, H/8, W/8)


class DilationNet(nn.Module):
    """A front-end, with or without a context module: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    Three ways to train it (section 5): the front-end alone (`context=None`); then the context module on its scores, the front-end held
    (`training.FitConfig(frozen=("frontend",))`, after `stage_from`); or both jointly.

    **Fidelity:** the scores are interpolated at the places where their units sit, which for VGG-16 is the middle of a cell of 8 × 8
    pixels. The released code trains unit i for pixel 8i, the first of its cell, and interpolates from there.
    """

    def __init__(self, frontend: FrontEnd, context: ContextModule | None = None) -> None:
        super().__init__()
        self.frontend, self.context = frontend, context

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        if min(images.shape) < 1:
            raise ValueError(f"images need at least one pixel and one example, got {tuple(images.shape)}")
        scores = self.frontend(images)  # (N, K, H/8, W/8)
        if self.context is not None:
            scores = self.context(scores)
        return upsample_to_pixels(scores, self.frontend.grid, images.shape[2], images.shape[3])

    def stage_from(self, trained: "DilationNet") -> "DilationNet":
        """Takes over a trained front-end, and a trained context module where both have one alike; returns self.

        Raises ValueError unless the front-ends have the same layers and classes.
        """
        own, given = self.frontend.state_dict(), trained.frontend.state_dict()
        differing = [key for key in own.keys() | given.keys() if key not in own or key not in given or own[key].shape != given[key].shape]
        if differing:
            raise ValueError(f"the two front-ends differ in {min(differing)}: build both with the same backbone, options and classes")
        self.frontend.load_state_dict(given)
        if self.context is not None and trained.context is not None:
            self.context.load_state_dict(trained.context.state_dict())
        return self


def dilation(
    name: str,
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    backbone: str = "vgg16",
    padding: str | None = None,
    top: str = "drop_fc7",
    initialisation: Initialisation = "identity",
    noise: float | None = None,
    **trunk_options: int | float | bool | str,
) -> DilationNet:
    """The net of one row of `VARIANTS`.

    backbone: any of the VGG shape. padding: of its layers; None is "none" for VGG-16, as released, so the image is mirrored, and
    "same" for a smaller trunk, whose images are small too. initialisation and noise: of the context module; noise None is 0.01 for the
    large form and 0 for the basic one. trunk_options (dropout, width) go to the backbone. `pretrained`: ImageNet weights for the trunk.
    """
    row = VARIANTS[name]
    if padding is None:
        padding = "none" if backbone == "vgg16" else "same"
    trunk = backbones.build(backbone, pretrained=pretrained, output_stride=8, padding=padding, **trunk_options)
    frontend = FrontEnd(trunk.upto(top), num_classes, top)
    if not row.dilations:
        return DilationNet(frontend)
    noise = (0.01 if row.width == "large" else 0.0) if noise is None else noise
    options = {"initialisation": initialisation, "noise": noise, "pad_once": row.pad_once}
    return DilationNet(frontend, ContextModule(num_classes, row.dilations, row.width, **options))


def _factors(width: str, layers: int) -> tuple[int, ...]:
    """The widths of `layers` layers over the number of classes; the basic form may have any number."""
    return (1,) * layers if width == "basic" else WIDTHS[width]


def _check_context(channels: int, dilations: Sequence[int], width: str, initialisation: str, noise: float) -> None:
    if channels < 1 or noise < 0:
        raise ValueError(f"{channels} channels and noise {noise}: give at least one channel and noise of at least 0")
    if width not in WIDTHS:
        raise ValueError(f"width {width!r}: there are {', '.join(WIDTHS)}")
    if initialisation not in get_args(Initialisation):
        raise ValueError(f"initialisation {initialisation!r}: there are {', '.join(get_args(Initialisation))}")
    if len(dilations) < 2 or min(dilations) < 1:
        raise ValueError(f"dilations {tuple(dilations)}: at least two layers, each dilated by at least 1")
    if width == "large" and len(dilations) != len(WIDTHS["large"]):
        raise ValueError(f"{len(dilations)} dilations, but the large module has {len(WIDTHS['large'])} layers (table 1)")
