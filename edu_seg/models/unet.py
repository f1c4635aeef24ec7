"""U-Net: a contracting path, an expanding path, and whole feature maps that are carried across and concatenated.

Source: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015. Figure 1 shows
the net: five levels of two 3 × 3 convolutions, 64 to 1024 channels, 2 × 2 max pools between them; then four 2 × 2 up-convolutions,
each beside a crop of the map of its level. No convolution pads: 572 pixels go in, 388 come out, and every one of those has seen
real pixels only. What is missing at an image's border is the image mirrored (figure 2; for large images `edu_seg.tiling`).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.geometry import PIXELS, Field, crop_offset
from edu_seg.tiling import mirror_pad

Padding = Literal["mirror", "valid", "same"]


@dataclass(frozen=True)
class Variant:
    """A row of the table: the channels of the levels, from fine to coarse, and what stands in for the pixels beyond the border."""

    widths: tuple[int, ...]
    padding: Padding


VARIANTS = {"unet": Variant((64, 128, 256, 512, 1024), "mirror")}


class UNet(nn.Module):
    """images (N, in_channels, H, W) -> logits (N, K, H', W').

    widths: channels of the levels. dropout: at the end of the contracting path, after its last two levels.
    padding: what happens at the border.
    - "valid": the paper's net, bare. H and W are 188 + 16 m, for m = 0, 1, …, and H' = H - 184: the first logit is that of pixel
      (92, 92), so labels are cut by `margin` on each side. ValueError for other sizes, naming the nearest.
    - "mirror": the same net with the paper's border: the image is mirrored as far as needed, any H, W >= 1, H' = H. It is what
      `tiling.overlap_tile` gives, in one pass: the margin of 92 pixels costs most of the time on small images.
    - "same": each convolution pads by one zero, any H, W >= 1, H' = H: cheap, and what most of its descendants do. Another net at the
      border; further inside it is the valid net on a part of the image that begins at pixel 2 (or 18, …), where its pools begin.

    margin: pixels on each side that the valid net does not predict (92). stride: it repeats itself under shifts of that many pixels
    (16). crops: how much is cut from each level's map before it is concatenated, from coarse to fine (4, 16, 40, 88): `geometry`
    says where the maps lie on each other.

    **Fidelity:** the paper's figure 1, layer by layer: 31,030,658 parameters for one channel and two classes, with
    `padding="valid"`. Weights start from N(0, √(2 / inputs)) (section 3). The paper's text has no ReLU after an up-convolution, and so
    has this; the file that the authors trained from has one. With padding="same" pools round up, so that odd sizes come back; the
    paper has no such form. Mirroring does not repeat the border's pixels; the paper does not say.
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 1,
        widths: tuple[int, ...] = VARIANTS["unet"].widths,
        *,
        padding: Padding = "valid",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if min(num_classes, in_channels, len(widths), *widths) < 1:
            raise ValueError(f"num_classes {num_classes}, in_channels {in_channels} and widths {widths} must be at least 1")
        if padding not in get_args(Padding):
            raise ValueError(f'padding is "mirror", "valid" or "same", got {padding!r}')
        self.padding, self.in_channels = padding, in_channels
        self.stride = 2 ** (len(widths) - 1)
        pad = int(padding == "same")
        dropped = max(0, len(widths) - 2)  # from this level on
        self.down = nn.ModuleList(
            _level(before, width, pad, dropout if number >= dropped else 0.0)
            for number, (before, width) in enumerate(zip((in_channels, *widths[:-1]), widths, strict=True))
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))  # (1024, 512), (512, 256), …
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in pairs)
        self.after = nn.ModuleList(_level(2 * fine, fine, pad, 0.0) for _, fine in pairs)
        self.score = nn.Conv2d(widths[0], num_classes, 1)
        self.crops, self.margin = ((0,) * len(pairs), 0) if pad else crops(len(widths))
        self.smallest = smallest_valid(len(widths))
        _initialise(self)

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K h w"]:
        self._check(images)
        height, width = images.shape[2:]
        if self.padding != "mirror":
            return self._net(images)
        bottom, right = (self.input_size_for(size) - self.margin - size for size in (height, width))
        return self._net(mirror_pad(images, self.margin, bottom, self.margin, right))[:, :, :height, :width]

    def input_size_for(self, size: int) -> int:
        """The smallest valid input whose prediction has at least `size` pixels: 188 for 1 to 4, 572 for 373 to 388."""
        least = self.smallest - 2 * self.margin
        return self.smallest + max(0, -(-(size - least) // self.stride)) * self.stride

    def _net(self, images: Tensor) -> Tensor:
        skips, features = [], images
        for level in self.down:
            features = F.max_pool2d(features, 2, ceil_mode=True) if skips else features  # (N, C, H/2, W/2), then a quarter … 1/16
            features = level(features)
            skips.append(features)
        skips.pop()
        for up, after, offset in zip(self.up, self.after, self.crops, strict=True):
            features = after(concatenated(skips.pop(), up(features), offset))  # twice as high and wide
        return self.score(features)

    def _check(self, images: Tensor) -> None:
        if images.shape[1] != self.in_channels or min(images.shape) < 1:
            raise ValueError(f"images (N, {self.in_channels}, H, W) with at least one pixel are wanted, got {tuple(images.shape)}")
        if self.padding == "valid" and any(not self._takes(size) for size in images.shape[2:]):
            nearest = " × ".join(str(self.nearest_valid(size)) for size in images.shape[2:])
            raise ValueError(
                f"images of {images.shape[2]} × {images.shape[3]}: without padding the net takes {self.smallest} + {self.stride} m pixels, "
                f'so the nearest size is {nearest}. Or build it with padding="mirror" or "same", which take any'
            )

    def _takes(self, size: int) -> bool:
        return size >= self.smallest and (size - self.smallest) % self.stride == 0

    def nearest_valid(self, size: int) -> int:
        """The nearest size that the net takes without padding; the larger one where two are as near."""
        return self.smallest + max(0, (size - self.smallest + self.stride // 2) // self.stride) * self.stride


def crops(levels: int) -> tuple[tuple[int, ...], int]:
    """What to cut from each level's map, from coarse to fine, and from the image: it follows from where the maps lie on it."""
    field, grids = Field(), []
    for level in range(levels):
        field = (field.then(2, 2) if level else field).then(3).then(3)
        grids.append(field.grid)
    offsets, grid = [], grids.pop()
    for skip in reversed(grids):
        grid = grid.transposed(2, 2)
        offsets.append(crop_offset(skip, grid))
        grid = grid.cropped(2)  # two convolutions without padding: unit 0 now sits where unit 2 sat
    return tuple(offsets), crop_offset(PIXELS, grid)


def smallest_valid(levels: int) -> int:
    """The smallest input of the net without padding (188 for five levels): one pixel is left at the end, or the next whole number more."""
    size = 1
    for _ in range(levels - 1):
        size = -(-(size + 4) // 2)  # the way up, backwards: two convolutions take 4 units of twice as many
    for _ in range(levels - 1):
        size = 2 * (size + 4)  # the way down, backwards
    return size + 4


def concatenated(skip: Float[Tensor, "N C H W"], upsampled: Float[Tensor, "N C h w"], offset: int) -> Float[Tensor, "N D a b"]:
    """Both maps over each other's common units, the skip's channels first; `upsampled` begins `offset` units after the skip."""
    height, width = (min(a - offset, b) for a, b in zip(skip.shape[2:], upsampled.shape[2:], strict=True))
    return torch.cat([skip[:, :, offset : offset + height, offset : offset + width], upsampled[:, :, :height, :width]], 1)


def _level(channels: int, width: int, padding: int, dropout: float) -> nn.Sequential:
    convs = [nn.Conv2d(channels, width, 3, padding=padding), nn.ReLU(), nn.Conv2d(width, width, 3, padding=padding), nn.ReLU()]
    return nn.Sequential(*convs, *([nn.Dropout(dropout)] if dropout else []))


def _initialise(net: nn.Module) -> None:
    """N(0, √(2 / inputs)): a unit of a convolution has 9 inputs a channel, one of a 2 × 2 up-convolution of stride 2 has 1."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            taps = 1 if isinstance(layer, nn.ConvTranspose2d) else layer.kernel_size[0] * layer.kernel_size[1]
            nn.init.normal_(layer.weight, std=(2 / (taps * layer.in_channels)) ** 0.5)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]


def unet(
    name: str,
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    width: float = 1.0,
    in_channels: int = 3,
    padding: Padding | None = None,
    dropout: float = 0.5,
) -> UNet:
    """The U-Net of one row of `VARIANTS`: colour images of any size, logits of the same size, the paper's net behind a mirrored border.

    width: multiplies every level's channels. The paper's bare net is `in_channels=1, num_classes=2, padding="valid"`.
    There are no pretrained weights: ValueError if asked for.
    """
    if pretrained:
        raise ValueError(f"{name} has no pretrained weights: build it with pretrained=False (the paper trains it from random ones)")
    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")
    row = VARIANTS[name]
    widths = tuple(max(1, round(width * channels)) for channels in row.widths)
    return UNet(num_classes, in_channels, widths, padding=padding or row.padding, dropout=dropout)
