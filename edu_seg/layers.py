"""Blocks that two or more papers use: context at many scales (ASPP, pyramid pooling, SPP), the auxiliary head, frozen batch norm."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

Pooling = Literal["average", "maximum"]
Rule = Literal["adaptive", "window"]


class BinMeans(nn.AdaptiveAvgPool2d):
    """`nn.AdaptiveAvgPool2d`; as a product of matrices where the same bits are asked for, which PyTorch cannot promise of that gradient
    on a GPU.
    """

    def __init__(self, bins: int) -> None:
        super().__init__(bins)
        self.bins = bins

    def forward(self, input: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C n n"]:
        if not torch.are_deterministic_algorithms_enabled():
            return super().forward(input)
        units = (torch.eye(size, dtype=input.dtype, device=input.device) for size in input.shape[2:])
        rows, columns = (F.adaptive_avg_pool1d(one, self.bins) for one in units)  # what pooling makes of each unit by itself
        return rows.T @ input @ columns


POOLS = {"average": BinMeans, "maximum": nn.AdaptiveMaxPool2d}


def conv_bn_relu(c_in: int, c_out: int, kernel_size: int = 1, *, rate: int = 1) -> nn.Sequential:
    """A convolution that keeps the map's size, batch norm in place of its bias, and a ReLU."""
    settings = {"padding": rate * (kernel_size // 2), "dilation": rate, "bias": False}
    conv = AtrousConv2d(c_in, c_out, 3, **settings) if kernel_size == 3 and rate > 1 else nn.Conv2d(c_in, c_out, kernel_size, **settings)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True))


class AtrousConv2d(nn.Conv2d):
    """A dilated 3 × 3 that keeps the map's size and leaves out the taps that no unit can use: on a map as small as its rate, or smaller,
    all rows or columns but the middle one read padding alone. The same numbers at up to a ninth of the cost.
    """

    def forward(self, input: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        (rate, _), weight, padding = self.dilation, self.weight, [int(self.dilation[0])] * 2
        for axis in (0, 1):
            if rate >= input.shape[2 + axis]:
                weight, padding[axis] = weight.narrow(2 + axis, 1, 1), 0
        return F.conv2d(input, weight, self.bias, 1, padding, rate)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with batch norm: (N, C, h, w) -> (N, width, h, w). Source: DeepLab v3, section 3.3, figure 5.

    Side by side a 1 × 1, a 3 × 3 for each of `rates`, and, with `image_pooling`, the mean of the whole map on every unit; stacked, and
    brought to `width` channels by a 1 × 1. Layers are named as in torchvision, so that its state dicts load.
    Raises ValueError for rates below 1, and in training for a batch of one image (`check_batch`).
    """

    def __init__(
        self, channels: int, rates: Sequence[int], width: int = 256, *, image_pooling: bool = True, dropout: float | int = 0.5
    ) -> None:
        super().__init__()
        check_rates(rates)
        branches = [conv_bn_relu(channels, width), *(conv_bn_relu(channels, width, 3, rate=rate) for rate in rates)]
        if image_pooling:
            branches.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn_relu(channels, width)))
        self.convs = nn.ModuleList(branches)
        self.image_pooling = image_pooling
        self.project = nn.Sequential(*conv_bn_relu(len(branches) * width, width), nn.Dropout(dropout))

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        if self.image_pooling:
            check_batch(self.convs[-1], features)
        maps = [branch(features) for branch in self.convs]
        return self.project(torch.cat([one.expand(*one.shape[:2], *features.shape[2:]) for one in maps], dim=1))


class PyramidPooling(nn.Module):
    """The map and its means over n × n bins, side by side: (N, C, h, w) -> (N, out_channels, h, w). Source: PSPNet, section 3.2.

    bins: n of each level. mode: means ("average") or maxima. reduce: a 1 × 1 on each level, to C / len(bins) channels ("dimension
    reduction" in table 1). Bins are those of adaptive pooling: level n cuts any map into n × n bins, the same as pooling with kernel and
    stride h / n where that is a whole number (60, 30, 20 and 10 at 473 × 473, output stride 8). On maps smaller than n × n several
    bins show the same unit. Levels are brought back bilinearly, corner on corner (the released nets) unless `align_corners` is False.
    No bins: the map alone. Raises ValueError for bins below 1, an unknown mode, and in training for a batch of one image.
    """

    def __init__(
        self,
        channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        mode: Pooling = "average",
        *,
        reduce: bool = True,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        _check_bins(bins)
        if mode not in POOLS:
            raise ValueError(f"mode {mode!r}: there are {', '.join(POOLS)}")
        width = max(1, channels // len(bins)) if bins and reduce else channels
        self.out_channels = channels + width * len(bins)
        self.align_corners = align_corners
        self.levels = nn.ModuleList(nn.Sequential(POOLS[mode](size), *(conv_bn_relu(channels, width) if reduce else ())) for size in bins)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        maps = [features]
        for level in self.levels:
            check_batch(level, features)
            maps.append(resize(level(features), (features.shape[2], features.shape[3]), self.align_corners))
        return torch.cat(maps, dim=1)


class SpatialPyramidPooling(nn.Module):
    """A vector of fixed length from a map of any size: (N, C, h, w) -> (N, C · Σ n²). Source: He et al. 2014 (SPP-net), section 2.2.

    Level n pools over n × n bins, in the order of `bins`; within a level channel by channel, as `flatten` has it.
    rule: "adaptive" makes n bins on any map; "window" is the paper's, window ⌈a/n⌉ and stride ⌊a/n⌋ for a units. The paper's does not
    always make n bins (10 units, n = 6: 9 bins): forward then raises ValueError, as it does for n above a, where the stride is 0.
    """

    def __init__(self, bins: Sequence[int] = (1, 2, 3, 6), mode: Pooling = "maximum", rule: Rule = "adaptive") -> None:
        super().__init__()
        _check_bins(bins)
        if mode not in POOLS or rule not in ("adaptive", "window"):
            raise ValueError(f"mode {mode!r}, rule {rule!r}: there are the modes {', '.join(POOLS)} and the rules adaptive, window")
        self.bins, self.mode, self.rule = tuple(bins), mode, rule

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D"]:
        return torch.cat([self._level(features, n).flatten(1) for n in self.bins], dim=1)

    def _level(self, features: Float[Tensor, "N C h w"], bins: int) -> Float[Tensor, "N C n n"]:
        if self.rule == "adaptive":
            return POOLS[self.mode](bins)(features)
        windows, strides = zip(*(_exact_window(size, bins) for size in features.shape[2:]), strict=True)
        pool = F.max_pool2d if self.mode == "maximum" else F.avg_pool2d
        return pool(features, windows, strides)


def spp_window(size: int, bins: int) -> tuple[int, int, int]:
    """(window, stride, bins made) along an axis of `size` units, by SPP-net's rule: ⌈a/n⌉ and ⌊a/n⌋ (He et al. 2014, section 2.3).

    The third is `bins` where the rule holds. Raises ValueError where there are more bins than units: the stride would be 0.
    """
    if not 1 <= bins <= size:
        raise ValueError(f"{bins} bins over {size} units: the rule's stride ⌊{size}/{bins}⌋ needs at least one unit a bin")
    window, stride = -(-size // bins), size // bins
    return window, stride, (size - window) // stride + 1


def _exact_window(size: int, bins: int) -> tuple[int, int]:
    window, stride, made = spp_window(size, bins)
    if made != bins:
        raise ValueError(f'window {window} and stride {stride} make {made} bins of {size} units, not {bins}: take rule="adaptive"')
    return window, stride


def fcn_head(channels: int, num_classes: int, width: int | None = None, dropout: float | int = 0.1) -> nn.Sequential:
    """3 × 3, batch norm, ReLU, dropout and a 1 × 1 to the classes: (N, C, h, w) -> (N, K, h, w), through `width` channels (C / 4).

    The plain head of a dilated net, the last layers of PSPNet and its auxiliary head; the layers of torchvision's FCNHead.
    """
    width = width or max(1, channels // 4)
    return nn.Sequential(*conv_bn_relu(channels, width, 3), nn.Dropout(dropout), nn.Conv2d(width, num_classes, 1))


@runtime_checkable
class HasAuxiliary(Protocol):
    """A model with more outputs than one in training: of a second head, or of each scale."""

    def forward_with_auxiliary(self, images: Tensor, /) -> tuple[Tensor, ...]:
        """(logits, auxiliary logits, …), each (N, K, H, W)."""
        ...


class WithAuxiliary(nn.Module):
    """Calls a model's `forward_with_auxiliary`: images -> (logits, auxiliary logits, …), as `losses.AuxiliaryLoss` takes them.

    For a training loop: wrappers of several processes want to be called like any module. Raises TypeError for a model without it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, HasAuxiliary):
            raise TypeError(f"{type(model).__name__} has no auxiliary head: take a model with forward_with_auxiliary")
        self.model = model

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N K H W"], ...]:
        return self.model.forward_with_auxiliary(images)


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the mean and variance of the whole batch of all processes, on any device (PyTorch's `SyncBatchNorm` takes GPUs only).

    Processes may hold different numbers of images. Outside of training, and in a single process, it is `nn.BatchNorm2d`.
    """

    def forward(self, input: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        if not self.training or not self.is_shared():
            return super().forward(input)
        count = input.new_tensor([input.numel() / input.shape[1]])
        totals = all_reduce(torch.cat([input.sum((0, 2, 3)), count]))
        count, mean = totals[-1], totals[:-1] / totals[-1]
        centred = input - mean[:, None, None]
        variance = all_reduce(centred.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt()
        if self.weight is None:
            return centred * scale[:, None, None]
        return centred * (scale * self.weight)[:, None, None] + self.bias[:, None, None]

    @staticmethod
    def is_shared() -> bool:
        """Whether there are other processes."""
        return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, as in `nn.BatchNorm2d`: an exponential mean, or over all batches where momentum is None."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def share_batch_norm(model: nn.Module) -> nn.Module:
    """Puts batch norm over all processes in the place of every batch norm inside `model`; changes the model and returns it.

    PyTorch's where the model lies on a GPU, else `SharedBatchNorm2d`. State dicts stay as they are.
    """
    if next(model.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
    return model


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with its statistics, scale and shift fixed, in training too. It has the entries of `nn.BatchNorm2d`'s state dict."""

    window = (1, 1, 0)

    def __init__(self, norm: nn.BatchNorm2d | nn.SyncBatchNorm) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None or norm.weight is None:
            raise ValueError("a batch norm without running statistics, or without scale and shift, cannot be frozen")
        self.eps = norm.eps
        for name, tensor in norm.state_dict().items():
            self.register_buffer(name, tensor.detach().clone())

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        state = dict(self.named_buffers())
        return F.batch_norm(features, state["running_mean"], state["running_var"], state["weight"], state["bias"], eps=self.eps)


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    """Puts `FrozenBatchNorm2d` in the place of every batch norm inside `model`; changes the model and returns it.

    DeepLab v3 trains so at output stride 8, where few images fit into memory, from a net trained at 16 (section 4.1).
    """
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.SyncBatchNorm):
            setattr(model, name, FrozenBatchNorm2d(child))
        else:
            freeze_batch_norm(child)
    return model


def resize(scores: Float[Tensor, "N K h w"], size: tuple[int, int], align_corners: bool = False) -> Float[Tensor, "N K H W"]:
    """Bilinear interpolation to (height, width); a single unit is spread out without arithmetic."""
    if scores.shape[2:] == (1, 1):
        return scores.expand(*scores.shape[:2], *size)
    return F.interpolate(scores, size, mode="bilinear", align_corners=align_corners)


def valid_taps(size: int, rate: int, kernel_size: int = 3) -> dict[int, Fraction]:
    """For a dilated square filter on a map of `size` × `size` units: number of its taps inside the map -> share of places, exactly.

    The mean share of valid taps of a 3 × 3 is ((3N - 2r) / 3N)² up to r = N; from there on only the centre is left, and the filter has
    become a 1 × 1. Source: DeepLab v3, section 3.3 and figure 4 (65 × 65).
    """
    if min(size, rate, kernel_size) < 1 or kernel_size % 2 == 0:
        raise ValueError(f"size {size}, rate {rate} and kernel_size {kernel_size}: each at least 1, the kernel odd")
    reach = range(-(kernel_size // 2), kernel_size // 2 + 1)
    along = Counter(sum(0 <= place + rate * step < size for step in reach) for place in range(size))
    shares: Counter[int] = Counter()
    for rows, many in along.items():
        for columns, more in along.items():
            shares[rows * columns] += many * more
    return {taps: Fraction(shares[taps], size**2) for taps in sorted(shares, reverse=True)}


def check_rates(rates: Sequence[int]) -> None:
    """ValueError unless there are rates and each is at least 1."""
    if not rates or min(rates) < 1:
        raise ValueError(f"rates {tuple(rates)}: give one or more, each at least 1")


def check_batch(layers: nn.Module, features: Tensor) -> None:
    """ValueError where batch norm in training would see one value a channel: a single image, pooled to a single unit."""
    if len(features) > 1 or not layers.training:
        return
    pools_all = any(getattr(layer, "output_size", None) == 1 for layer in layers.modules())
    norms = [layer for layer in layers.modules() if isinstance(layer, nn.BatchNorm2d) and layer.training]
    if pools_all and not all(isinstance(norm, SharedBatchNorm2d) and norm.is_shared() for norm in norms):
        raise ValueError(
            "a batch of one image, pooled to one unit, gives batch norm a single value a channel: train with two images or more, "
            "or freeze_batch_norm(model)"
        )


def _check_bins(bins: Sequence[int]) -> None:
    if any(n < 1 for n in bins):
        raise ValueError(f"bins {tuple(bins)}: each level has at least 1")
