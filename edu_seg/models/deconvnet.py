"""DeconvNet: VGG-16 down to one unit, its mirror image up again, and switches that remember where each maximum came from.

Source: Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, and the network files that the
authors released. Figure 2 shows the net: thirteen convolutions, fc6 and fc7 shrink a 224 × 224 crop to one vector of 4096 numbers;
a 7 × 7 deconvolution, five unpoolings and thirteen 3 × 3 deconvolutions bring it back. Figure 4 shows why both are needed: unpooling
puts each number back to where its switch says, which is a sparse map; deconvolution makes it dense. The net is one half of the
system: it looks at one object at a time. The other half, proposals and how their scores are put together, is `edu_seg.proposals`.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.vgg import VGG16
from edu_seg.upsampling import put_back

Unpooling = Literal["switches", "fixed"]


@dataclass(frozen=True)
class Variant:
    """A row of the table: the widths of the five stages and of fc6 and fc7, and the side of the crop that fc6 sees whole."""

    widths: tuple[tuple[int, ...], ...]
    fc_width: int
    input_size: int


VARIANTS = {"deconvnet": Variant(VGG16.widths, VGG16.fc_width, input_size=224)}


class DeconvNet(nn.Module):
    """images (N, 3, H, W) -> logits (N, K, H, W), H and W at least 193 for the paper's net.

    widths: channels of each stage's convolutions. fc_width: of fc6 and fc7. input_size: the crop's side, a multiple of 32, that fc6
    turns into one unit; its kernel is input_size / 32, so the net takes from input_size - 31 pixels on, and on a larger image slides.
    unpooling: "switches"; or "fixed", which puts every value into its window's first corner, whatever the switch says. It is an
    attribute that may be changed on a built net, to see what the switches carry.

    Raises ValueError for an image that is too small, naming the nearest size that is not.

    **Fidelity:** layers, order and counts are those of the released files (251,805,653 parameters for 21 classes; batch normalisation
    with a shift of 0.001 after every layer but the last, so no dropout). Pools round up, as Caffe's; for the paper's 224 that changes
    nothing. Weights that are not taken from VGG-16 start as He et al. draw them, here and in thin nets; the released files draw the
    decoder from N(0, 0.01), which batch normalisation makes the same function up to a learning rate.
    """

    def __init__(
        self,
        num_classes: int,
        widths: Sequence[Sequence[int]] = VGG16.widths,
        fc_width: int = VGG16.fc_width,
        input_size: int = 224,
        *,
        unpooling: Unpooling = "switches",
    ) -> None:
        super().__init__()
        stride = 2 ** len(widths)
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if input_size < stride or input_size % stride:
            raise ValueError(
                f"input_size is a multiple of the stride, {stride}, got {input_size}: take {max(1, input_size // stride) * stride}"
            )
        self.unpooling: Unpooling = checked(unpooling)
        kernel_size = input_size // stride
        self.smallest = stride * (kernel_size - 1) + 1
        self.encoder = encoder(widths)
        bottom = widths[-1][-1]
        self.fc = named_layers(
            unit("fc6", nn.Conv2d(bottom, fc_width, kernel_size))
            | unit("fc7", nn.Conv2d(fc_width, fc_width, 1))
            | unit("fc6_deconv", nn.ConvTranspose2d(fc_width, bottom, kernel_size))
        )
        below = [stage[-1] for stage in widths[:-1]]
        outputs = (widths[0][0], *below)  # what each stage's last deconvolution makes: the channels of the stage below
        self.decoder = nn.ModuleList(_deconv_stage(n, stage, outputs[n - 1]) for n, stage in reversed(list(enumerate(widths, start=1))))
        self.score = nn.Conv2d(widths[0][0], num_classes, 1)
        initialise(self)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        logits = images
        for _, features in self.steps(images):
            logits = features
        return logits

    def steps(self, images: Float[Tensor, "N 3 H W"]) -> Iterator[tuple[str, Tensor]]:
        """The maps on the way, (name, map): pool1 … pool5, fc7, fc6_deconv, unpool5, deconv5 … unpool1, deconv1, score."""
        self._check_size(images)
        features, pools = images, []
        for number, stage in enumerate(self.encoder, start=1):
            features, switches, size = pool(stage(features))  # (N, C, H/2, W/2), then a quarter … 1/32
            pools.append((number, switches, size))
            yield f"pool{number}", features
        for name, layer in self.fc.named_children():
            features = layer(features)
            if name in ("fc7_relu", "fc6_deconv_relu"):
                yield name.removesuffix("_relu"), features
        for stage in self.decoder:
            number, switches, size = pools.pop()
            features = unpool(features, switches, size, self.unpooling)  # twice as high and wide
            yield f"unpool{number}", features
            features = stage(features)
            yield f"deconv{number}", features
        yield "score", self.score(features)

    def _check_size(self, images: Tensor) -> None:
        height, width = images.shape[2:]
        if min(height, width) < self.smallest:
            nearest = f"{max(height, self.smallest)} × {max(width, self.smallest)}"
            raise ValueError(
                f"images of {height} × {width} are too small for fc6: the nearest size that this net takes is {nearest}, and any larger "
                "one. Resize them, or build it with a smaller input_size"
            )


class Pooled(NamedTuple):
    """The maxima, where each was found (row · W + column), and the (height, width) before the pool."""

    values: Tensor
    switches: Tensor
    size: tuple[int, int]


def pool(features: Float[Tensor, "N C H W"]) -> Pooled:
    """2 × 2 max pooling with switches, rounded up as Caffe's pools: a last window may hold one row or column only."""
    values, switches = F.max_pool2d(features, 2, 2, ceil_mode=True, return_indices=True)
    return Pooled(values, switches, (features.shape[2], features.shape[3]))


def unpool(values: Float[Tensor, "N C h w"], switches: Tensor, size: tuple[int, int], unpooling: Unpooling) -> Float[Tensor, "N C H W"]:
    """Each value to the place of its switch, or ("fixed") to the upper left corner of its window; zeros elsewhere.

    The same as `upsampling.max_unpool`, by PyTorch's own operation: that one reads the switches to check them, which makes a GPU wait.
    Where the same bits are asked for, which PyTorch's refuses to promise, by that one's scatter.
    """
    if unpooling == "switches":
        if torch.are_deterministic_algorithms_enabled():
            return put_back(values, switches, size)
        return F.max_unpool2d(values, switches, [2, 2], [2, 2], output_size=list(size))
    corner = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=values.dtype, device=values.device).expand(values.shape[1], 1, 2, 2)
    return F.conv_transpose2d(values, corner, stride=2, groups=values.shape[1])[:, :, : size[0], : size[1]]


def checked(unpooling: str) -> Unpooling:
    """The option, or ValueError."""
    for known in get_args(Unpooling):
        if unpooling == known:
            return known
    raise ValueError(f'unpooling is "switches" or "fixed", got {unpooling!r}')


def unit(name: str, conv: nn.Conv2d | nn.ConvTranspose2d, *, relu: bool = True) -> dict[str, nn.Module]:
    """A (de)convolution under its name, batch normalisation as name_bn and, unless it is to have none, a ReLU as name_relu."""
    activation = {f"{name}_relu": nn.ReLU(inplace=True)} if relu else {}
    return {name: conv, f"{name}_bn": nn.BatchNorm2d(conv.out_channels), **activation}


def named_layers(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """Layers in a row, each under its name."""
    return nn.Sequential(OrderedDict(layers))


def encoder(widths: Sequence[Sequence[int]], kernel_size: int = 3) -> nn.ModuleList:
    """A stage for each row of widths: convolutions that keep the size, conv1_1, conv1_1_bn, conv1_1_relu, … The pools are in between."""
    stages, channels = nn.ModuleList(), 3
    for stage, row in enumerate(widths, start=1):
        layers: dict[str, nn.Module] = {}
        for number, width in enumerate(row, start=1):
            layers |= unit(f"conv{stage}_{number}", nn.Conv2d(channels, width, kernel_size, padding=kernel_size // 2))
            channels = width
        stages.append(named_layers(layers))
    return stages


def _deconv_stage(stage: int, widths: Sequence[int], out_channels: int) -> nn.Sequential:
    """The mirror image of one stage: as many 3 × 3 deconvolutions, the last one down to the channels of the stage below."""
    layers: dict[str, nn.Module] = {}
    outputs = (*reversed(widths[:-1]), out_channels)
    for number, (channels, width) in enumerate(zip(reversed(widths), outputs, strict=True), start=1):
        layers |= unit(f"deconv{stage}_{number}", nn.ConvTranspose2d(channels, width, 3, padding=1))
    return named_layers(layers)


def initialise(net: nn.Module) -> None:
    """He et al. 2015 for every weight, the variance 2 / (inputs of one unit); 0 for biases, 0.001 for the shifts (released files)."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            taps = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            nn.init.normal_(layer.weight, std=(2 / taps) ** 0.5)
            nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 1e-3)


def load_vgg16(convs: Sequence[nn.Module], state: Mapping[str, Tensor]) -> None:
    """Copies as many of VGG-16's layers, in order, as there are `convs`; a Linear weight (O, C·k·k) becomes the kernel (O, C, k, k).

    Batch normalisation starts new, as in the papers: in evaluation it then changes next to nothing, and the maps are VGG-16's own.
    Raises ValueError where a layer has another shape: pretrained weights are for width 1 and the paper's input size.
    """
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    for conv, name in zip(convs, names, strict=False):
        assert isinstance(conv, nn.Conv2d)
        weight = state[f"{name}.weight"]
        if weight.numel() != conv.weight.numel() or len(weight) != conv.out_channels:
            raise ValueError(
                f"VGG-16's {name} has weights {tuple(weight.shape)}, this net {tuple(conv.weight.shape)}: pretrained=True is for width=1 "
                "and the paper's input_size"
            )
        conv.load_state_dict({"weight": weight.view(conv.weight.shape), "bias": state[f"{name}.bias"]})


def convolutions(*parts: nn.Module) -> list[nn.Module]:
    """The Conv2d layers of the parts, in order."""
    return [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Conv2d)]


def scaled_widths(widths: Sequence[Sequence[int]], width: float) -> list[list[int]]:
    """Every number of channels times `width`, at least 1. Raises ValueError unless `width` is above 0."""
    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")
    return [[max(1, round(width * channels)) for channels in row] for row in widths]


def deconvnet(
    name: str,
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    width: float = 1.0,
    input_size: int | None = None,
    unpooling: Unpooling = "switches",
) -> DeconvNet:
    """The net of one row of `VARIANTS`. width: multiplies every layer's channels. input_size: replaces the row's 224.

    `pretrained` takes VGG-16's ImageNet weights for its convolutions, fc6 and fc7 (section 6.1): for width 1 and input_size 224.
    """
    row = VARIANTS[name]
    ((fc_width,),) = scaled_widths([[row.fc_width]], width)
    net = DeconvNet(num_classes, scaled_widths(row.widths, width), fc_width, input_size or row.input_size, unpooling=unpooling)
    if pretrained:
        load_vgg16(convolutions(net.encoder, net.fc), imagenet_state_dict("vgg16"))
    return net
