"""Fully convolutional networks: a classifier's trunk, a score for each unit, and sums over strides on the way back to the pixels.

Source: Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015 and PAMI 2017, and the
network files that the authors released. The paper's figure 3 shows the three members of the family: FCN-32s upsamples the scores
of stride 32 at once; FCN-16s first doubles them and adds scores made from pool4; FCN-8s does so once more with pool3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.backbones import Trunk
from edu_seg.geometry import PIXELS, Grid, crop_offset
from edu_seg.upsampling import BilinearUpsampling, bilinear_conv_transpose, crop

Upsampling = Literal["fixed", "learned", "learned_inside"]


@dataclass(frozen=True)
class Variant:
    """A row of the table of FCNs: a trunk, the map that is scored first, and the maps that are added, from coarse to fine."""

    backbone: str
    top: str
    skips: tuple[str, ...] = ()
    skip_scales: tuple[float, ...] = ()


VARIANTS = {
    "fcn32s": Variant("vgg16", "drop_fc7"),
    "fcn16s": Variant("vgg16", "drop_fc7", ("pool4",)),
    "fcn8s": Variant("vgg16", "drop_fc7", ("pool4", "pool3")),
    # All skips from the start; frozen factors keep the larger, earlier maps from swamping the scores (PAMI 2017, section 4.3).
    "fcn8s_at_once": Variant("vgg16", "drop_fc7", ("pool4", "pool3"), (1e-2, 1e-4)),
    "fcn_alexnet": Variant("caffenet", "drop_fc7"),
    "fcn_googlenet": Variant("googlenet", "inception_5b"),
}


class FCN(nn.Module):
    """FCN-32s, 16s or 8s, depending on `skips`: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    backbone: a `Trunk`. top: its map that is scored first. skips: its maps that are added on the way up, from coarse to fine, each
    of half the stride of the one before. skip_scales: a frozen factor for each skip (at-once training).
    upsampling: "fixed" freezes all bilinear kernels (as released), "learned" trains them all, "learned_inside" all but the last (as
    the paper says). Every score layer starts at zero, so the first loss is ln K.

    Where two maps meet, both are cropped to what they share; where to cut follows from the layers (`geometry.crop_offset`), so any
    trunk and padding works for which the grids meet. Raises ValueError where they do not.

    **Fidelity:** layer names, pad 100, ceil-mode pools, elementwise dropout, zero-initialised scores and crop offsets are the
    released nets'. Frozen bilinear kernels are computed as an interpolation (the same numbers) and are no parameters.
    FCN-GoogLeNet was not released: its pad of 100 is ours.
    """

    def __init__(
        self,
        backbone: Trunk,
        num_classes: int,
        top: str = "drop_fc7",
        skips: Sequence[str] = (),
        *,
        skip_scales: Sequence[float] = (),
        upsampling: Upsampling = "fixed",
    ) -> None:
        super().__init__()
        _check_options(backbone, num_classes, top, skips, skip_scales, upsampling)
        self.backbone, self.top, self.skips, self.num_classes = backbone, top, tuple(skips), num_classes
        self.skip_scales = tuple(skip_scales) or (1.0,) * len(self.skips)
        self.score_fr = _score(backbone.channels[top], num_classes)
        self.score_skips = nn.ModuleDict({skip: _score(backbone.channels[skip], num_classes) for skip in self.skips})
        steps = alignment([backbone.fields[name].grid for name in (top, *self.skips)])
        learned = [upsampling != "fixed"] * len(self.skips) + [upsampling == "learned"]
        self.upscores = nn.ModuleList(
            _upscore(num_classes, step.kernel_size, step.stride, learns) for step, learns in zip(steps, learned, strict=True)
        )
        *self.skip_offsets, image_offset = [step.offset for step in steps]
        self.crop_offset = -image_offset

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        if min(images.shape) < 1:
            raise ValueError(f"images need at least one pixel and one example, got {tuple(images.shape)}")
        features = self.backbone(images)
        scores = self.score_fr(features[self.top])  # (N, K, ~H/32, ~W/32)
        for upscore, skip, scale, offset in zip(self.upscores, self.skips, self.skip_scales, self.skip_offsets, strict=False):
            finer = self.score_skips[skip](scale * features[skip])
            scores = add_aligned(upscore(scores), finer, offset)  # (N, K, ~H/16, ~W/16), then an eighth
        height, width = images.shape[2:]
        return crop(self.upscores[-1](scores), self.crop_offset, self.crop_offset, height, width)

    def stage_from(self, coarser: "FCN") -> "FCN":
        """Starts from a trained coarser net, as the paper trains 16s from 32s and 8s from 16s (section 4.2); returns self.

        Every layer that both have is copied; the score layers of new skips stay at zero, so that training starts from what the
        coarser net predicts. Raises ValueError unless `coarser` has the first skips of this net, its trunk and its classes.
        """
        if coarser.skips != self.skips[: len(coarser.skips)] or len(coarser.skips) >= len(self.skips):
            raise ValueError(f"a net with the skips {self.skips} cannot start from one with {coarser.skips}: it takes the first of them")
        if coarser.skip_scales != self.skip_scales[: len(coarser.skips)]:
            raise ValueError(f"the skips are scaled by {self.skip_scales} here and by {coarser.skip_scales} there: build both alike")
        if coarser.num_classes != self.num_classes:
            raise ValueError(
                f"a net of {self.num_classes} classes cannot start from one of {coarser.num_classes}: build both for the same classes"
            )
        shared = {name: value for name, value in coarser.state_dict().items() if not name.startswith(f"upscores.{len(coarser.skips)}.")}
        fresh = (*(f"score_skips.{skip}." for skip in self.skips[len(coarser.skips) :]), "upscores.")
        own = {name: value for name, value in self.state_dict().items() if name in shared or not name.startswith(fresh)}
        differing = [
            name for name in own.keys() | shared.keys() if name not in own or name not in shared or own[name].shape != shared[name].shape
        ]
        if differing:
            raise ValueError(f"the two nets differ in {min(differing)}: build both with the same backbone and options")
        self.load_state_dict(shared, strict=False)
        return self


@dataclass(frozen=True)
class Step:
    """One upsampling: its kernel and stride, and how many units later than the next finer map the upsampled one begins."""

    kernel_size: int
    stride: int
    offset: int


def alignment(grids: Sequence[Grid]) -> list[Step]:
    """The upsamplings that lead from the coarsest grid over the finer ones to the pixels, aligned to the exact unit.

    A kernel of twice the stride if the grids then meet, else one less (63 in place of 64 in FCN-AlexNet, whose units sit on whole
    pixels). Raises ValueError where neither meets.
    """
    steps, grid = [], grids[0]
    for fine in (*grids[1:], PIXELS):
        stride = int(grid.stride / fine.stride)
        even = grid.transposed(2 * stride, stride)
        meets = ((even.centre - fine.centre) / fine.stride).denominator == 1
        kernel_size = 2 * stride if meets else 2 * stride - 1
        grid = grid.transposed(kernel_size, stride)
        offset = crop_offset(fine, grid)
        steps.append(Step(kernel_size, stride, offset))
        grid = grid.cropped(max(0, -offset))
    return steps


def add_aligned(upsampled: Float[Tensor, "N K h w"], finer: Float[Tensor, "N K H W"], offset: int) -> Float[Tensor, "N K a b"]:
    """The sum of two maps of one stride where both exist; `upsampled` begins `offset` units after `finer`, or before if negative."""
    top = max(offset, 0)
    finer, upsampled = finer[:, :, top:, top:], upsampled[:, :, top - offset :, top - offset :]
    height, width = (min(a, b) for a, b in zip(finer.shape[2:], upsampled.shape[2:], strict=True))
    return upsampled[:, :, :height, :width] + finer[:, :, :height, :width]


def fcn(
    name: str,
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    backbone: str | None = None,
    top: str | None = None,
    skips: Sequence[str] | None = None,
    upsampling: Upsampling = "fixed",
    **trunk_options: int | float | bool,
) -> FCN:
    """The FCN of one row of `VARIANTS`; `backbone` (say "vgg_small"), `top` and `skips` replace the row's.

    trunk_options (pad, dropout, average_pool) go to the backbone. `pretrained` takes torchvision's ImageNet weights for the trunk.
    """
    row = VARIANTS[name]
    trunk = backbones.build(backbone or row.backbone, pretrained=pretrained, **trunk_options)
    top = top or ("average_pool" if trunk_options.get("average_pool") else row.top)
    skips = row.skips if skips is None else tuple(skips)
    scales = row.skip_scales if skips == row.skips else ()
    return FCN(trunk, num_classes, top, skips, skip_scales=scales, upsampling=upsampling)


def _score(channels: int, num_classes: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, num_classes, 1)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    return layer


def _upscore(num_classes: int, kernel_size: int, stride: int, learned: bool) -> nn.Module:
    return bilinear_conv_transpose(num_classes, kernel_size, stride) if learned else BilinearUpsampling(kernel_size, stride)


def _check_options(
    backbone: Trunk, num_classes: int, top: str, skips: Sequence[str], skip_scales: Sequence[float], upsampling: str
) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    for name in (top, *skips):
        if name not in backbone.channels:
            raise ValueError(f"the trunk has no map {name!r} to score: it keeps {', '.join(backbone.channels)}")
    strides = [backbone.fields[name].stride for name in (top, *skips)]
    if any(coarse % fine or coarse <= fine for coarse, fine in pairwise(strides)):
        raise ValueError(f"skips go from coarse to fine, each of a smaller stride: {(top, *skips)} have the strides {strides}")
    if skip_scales and len(skip_scales) != len(skips):
        raise ValueError(f"{len(skip_scales)} skip_scales for {len(skips)} skips: give one for each")
    if upsampling not in ("fixed", "learned", "learned_inside"):
        raise ValueError(f'upsampling is "fixed", "learned" or "learned_inside", got {upsampling!r}')
