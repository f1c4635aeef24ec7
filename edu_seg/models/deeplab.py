"""DeepLab v1, v2 and v3: full resolution kept by dilation, and a head whose filters look further at no cost.

Sources: Chen, Papandreou, Kokkinos, Murphy, Yuille: v1 "Semantic image segmentation with deep convolutional nets and fully connected
CRFs" (ICLR 2015); v2 "DeepLab" (PAMI 2018); Chen, Papandreou, Schroff, Adam: v3 "Rethinking atrous convolution for semantic image
segmentation" (2017). From class to class: v1 has one rate, v2 sums four, v3 stacks three with a 1 × 1 and the mean of the image.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones import Trunk
from edu_seg.backbones.dilated import load_decimated, trunk_and_rest
from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.layers import ASPP, check_rates, fcn_head, resize
from edu_seg.upsampling import upsample_to_pixels

ASPP_S, ASPP_L = (2, 4, 8, 12), (6, 12, 18, 24)
"""v2's two sets of rates (table 3)."""


class DeepLabV1(nn.Module):
    """One dilated "fully connected" layer on a trunk of stride 8: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    backbone: a `Trunk`; its last kept map is scored. kernel_size, rate, head_width: of fc6 (v1, table 2): LargeFOV is 3 × 3, rate 12,
    1024 channels. The table's field of view, 224, is 8 (rate (kernel_size - 1) + 4): of fc6 alone, over units of 8 pixels. Each
    unit really sees 435 pixels. An even kernel has no tap at its centre: 4 × 4 at rate 8 is off any map below 5 units. Raises ValueError
    for values that make no filter centred on a unit.

    **Fidelity:** layers, pools and the extra average pool (pool5a) are those of the released LargeFOV; its siblings get the same trunk.
    The last layer starts from a Gaussian of 0.01. The released net trains on labels subsampled by 8, this one on all pixels; the
    interpolation puts each unit where it sits, which is the released one at sizes 8 n + 1. The CRF stands apart (`edu_seg.crf`).
    """

    def __init__(
        self, backbone: Trunk, num_classes: int, kernel_size: int = 3, rate: int = 12, head_width: int = 1024, dropout: float | int = 0.5
    ) -> None:
        super().__init__()
        _check_classes(num_classes)
        self.backbone, self.top = backbone, list(backbone.channels)[-1]
        self.classifier = _fc_head(backbone.channels[self.top], num_classes, kernel_size, rate, head_width, dropout)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        scores = self.classifier(self.backbone(images)[self.top])  # (N, K, H/8, W/8)
        return upsample_to_pixels(scores, self.backbone.fields[self.top].grid, *images.shape[2:])


class DeepLabV2(nn.Module):
    """Atrous spatial pyramid pooling as a sum of branches: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1 (figure 7).

    rates: of the branches, `ASPP_L` or `ASPP_S`. head_width: each branch is fc6 (3 × 3), fc7, fc8 of so many channels (VGG-16: 1024); None:
    a single 3 × 3 to the classes (ResNet-101). The several scales of the input are `MultiScaleInput`.

    **Fidelity:** the ResNet's last layers start from a Gaussian of 0.01, as released. The VGG has no pool5a here. The ResNet's pool
    rounds down (Caffe rounds up), which differs at no size 8 n + 1. Alignment and CRF: as in v1.
    """

    def __init__(
        self, backbone: Trunk, num_classes: int, rates: Sequence[int] = ASPP_L, head_width: int | None = None, dropout: float | int = 0.5
    ) -> None:
        super().__init__()
        _check_classes(num_classes)
        check_rates(rates)
        self.backbone, self.top = backbone, list(backbone.channels)[-1]
        channels = backbone.channels[self.top]
        self.branches = nn.ModuleList(
            _fc_head(channels, num_classes, 3, rate, head_width, dropout) if head_width else _scores(channels, num_classes, 3, rate)
            for rate in rates
        )

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        features = self.backbone(images)[self.top]  # (N, C, H/8, W/8)
        scores = torch.stack([branch(features) for branch in self.branches]).sum(0)
        return upsample_to_pixels(scores, self.backbone.fields[self.top].grid, *images.shape[2:])


class MultiScaleInput(nn.Module):
    """The same net on the image at several scales, and the largest score of each class at each pixel (v2, section 4.1.2, "MSC").

    images (N, 3, H, W) -> logits (N, K, H, W), no parameter of its own. `forward_with_auxiliary` gives each scale's as well, for a loss on
    all of them, as the paper trains (`losses.AuxiliaryLoss`, weight 1). **Fidelity:** the maximum is over full-size logits; the released
    net takes it at stride 8.
    """

    def __init__(self, model: nn.Module, scales: Sequence[float | int] = (0.5, 0.75, 1.0)) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales {tuple(scales)}: give one or more factors above 0")
        self.model, self.scales = model, tuple(scales)

    def forward_with_auxiliary(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N K H W"], ...]:
        """The largest of all scales' logits, then each scale's, all (N, K, H, W)."""
        height, width = images.shape[2:]
        logits = []
        for scale in self.scales:
            scaled = resize(images, (max(1, round(scale * height)), max(1, round(scale * width))))
            logits.append(resize(self.model(scaled), (height, width)))
        return torch.stack(logits).amax(0), *logits

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        return self.forward_with_auxiliary(images)[0]


class DeepLabV3(nn.Module):
    """ASPP with a 1 × 1 and image pooling, batch norm throughout: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1 (figure 5).

    rates: of the three branches; () is the cascaded form (figure 3 b), whose context comes from the trunk's extra layers alone: a 1 × 1
    scores the last map. image_pooling: figure 5's branch (b). head_conv: a 3 × 3 between ASPP and scores. auxiliary: a second head on the
    stage before, whose logits `forward_with_auxiliary` gives too. Raises ValueError for a training batch of one image, which leaves
    the pooled branch's batch norm a single value: take two, or `layers.freeze_batch_norm`.

    **Fidelity:** state dicts of torchvision's deeplabv3 load. The head's 3 × 3 (590,336 parameters with its batch norm), the dropout and
    the auxiliary head are torchvision's; the paper goes from the 1 × 1 to the scores. Logits are interpolated to the image's size with
    `align_corners=False` (torchvision), in training too (section 4.1).
    """

    def __init__(
        self,
        backbone: Trunk,
        num_classes: int,
        rates: Sequence[int] = (6, 12, 18),
        *,
        head_width: int = 256,
        image_pooling: bool = True,
        head_conv: bool = True,
        auxiliary: bool = False,
        dropout: float | int = 0.5,
    ) -> None:
        super().__init__()
        _check_classes(num_classes)
        self.backbone = backbone
        *_, self.before, self.top = backbone.channels
        channels = backbone.channels[self.top]
        if rates:
            aspp = ASPP(channels, rates, head_width, image_pooling=image_pooling, dropout=dropout)
            conv = (nn.Conv2d(head_width, head_width, 3, padding=1, bias=False), nn.BatchNorm2d(head_width), nn.ReLU(inplace=True))
            self.classifier = nn.Sequential(aspp, *(conv if head_conv else ()), nn.Conv2d(head_width, num_classes, 1))
        else:
            self.classifier = nn.Sequential(nn.Conv2d(channels, num_classes, 1))
        self.aux_classifier = fcn_head(backbone.channels[self.before], num_classes) if auxiliary else None

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        return self._logits(self.classifier, self.backbone(images)[self.top], images)

    def forward_with_auxiliary(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N K H W"], Float[Tensor, "N K H W"]]:
        """(logits, auxiliary logits). Raises ValueError for a net without the second head."""
        if self.aux_classifier is None:
            raise ValueError("this net has no auxiliary head: build it with auxiliary=True")
        features = self.backbone(images)
        logits = self._logits(self.classifier, features[self.top], images)
        return logits, self._logits(self.aux_classifier, features[self.before], images)

    @staticmethod
    def _logits(head: nn.Module, features: Tensor, images: Tensor) -> Tensor:
        return resize(head(features), (images.shape[2], images.shape[3]))


@dataclass(frozen=True)
class Variant:
    """A row of the table: the class, its backbone, and how trunk and head differ from their defaults."""

    model: type[DeepLabV1] | type[DeepLabV2] | type[DeepLabV3]
    backbone: str
    trunk: dict[str, Any] = field(default_factory=dict)
    head: dict[str, Any] = field(default_factory=dict)


def _v1(kernel_size: int, rate: int, head_width: int) -> Variant:
    return Variant(DeepLabV1, "vgg16", {"average_pool": True}, {"kernel_size": kernel_size, "rate": rate, "head_width": head_width})


# v3's released nets have the stride at a stage's end, so that a dilated stage has one rate: "stage". Their factors on it: tables 3 and 5.
_V3: dict[str, Any] = {"output_stride": 16, "convention": "stage", "multi_grid": (1, 2, 4)}
_CASCADE: dict[str, Any] = _V3 | {"multi_grid": (1, 2, 1), "extra_layers": 3}

VARIANTS = {
    "deeplab_v1_largefov": _v1(3, 12, 1024),
    "deeplab_v1_7x7": _v1(7, 4, 4096),
    "deeplab_v1_4x4_r4": _v1(4, 4, 4096),
    "deeplab_v1_4x4_r8": _v1(4, 8, 4096),
    "deeplab_v2_vgg16": Variant(DeepLabV2, "vgg16", {}, {"head_width": 1024}),
    "deeplab_v2_resnet101": Variant(DeepLabV2, "resnet101", {"stride_in": "1x1", "convention": "stage"}),
    "deeplab_v3_resnet50": Variant(DeepLabV3, "resnet50", _V3),
    "deeplab_v3_resnet101": Variant(DeepLabV3, "resnet101", _V3),
    "deeplab_v3_cascade_resnet50": Variant(DeepLabV3, "resnet50", _CASCADE, {"rates": ()}),
    "deeplab_v3_cascade_resnet101": Variant(DeepLabV3, "resnet101", _CASCADE, {"rates": ()}),
}


def deeplab(
    name: str,
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    backbone: str | None = None,
    scales: Sequence[float | int] | None = None,
    **options: Any,
) -> DeepLabV1 | DeepLabV2 | DeepLabV3 | MultiScaleInput:
    """The net of one row of `VARIANTS`. `backbone` (say "vgg_strided", or "resnet18" with `width`) replaces the row's.

    options: those of the trunk (`backbones.dilated`: output_stride, convention, stride_in, stem, multi_grid, width …) and of the class.
    v3's rates are (6, 12, 18) at output stride 16 and grow as it shrinks (section 4.1: doubled at 8), unless given. A head's width
    goes with its trunk's. `scales` puts `MultiScaleInput` around the net.
    pretrained: torchvision's ImageNet weights, and so torchvision's form of a ResNet in place of the row's: stride in the 3 × 3, the
    7 × 7 stem, convention "exact". VGG-16: also fc6 and fc7, decimated (v1, section 3.2).
    """
    row = VARIANTS[name]
    trunk, rest = trunk_and_rest(row.backbone, row.trunk, backbone, pretrained, options)
    head, channels = row.head | rest, list(trunk.channels.values())[-1]
    if row.model is DeepLabV3:
        output_stride = trunk.fields[list(trunk.channels)[-1]].stride
        defaults = {"rates": tuple(max(1, 96 * step // output_stride) for step in (1, 2, 3)), "head_width": min(256, channels)}
    else:
        defaults = {}
        if "head_width" in row.head and "head_width" not in rest:
            head["head_width"] = max(1, row.head["head_width"] * channels // 512)
    net = row.model(trunk, num_classes, **(defaults | head))
    if pretrained and (backbone or row.backbone) == "vgg16":
        _load_fully_connected(net)
    return MultiScaleInput(net, scales) if scales else net


def _fc_head(channels: int, num_classes: int, kernel_size: int, rate: int, width: int, dropout: float | int) -> nn.Sequential:
    """fc6, fc7 and fc8 as convolutions; fc6 is dilated."""
    layers: dict[str, nn.Module] = {
        "fc6": _hidden(_same(channels, width, kernel_size, rate)),
        "relu6": nn.ReLU(inplace=True),
        "drop6": nn.Dropout(dropout),
        "fc7": _hidden(nn.Conv2d(width, width, 1)),
        "relu7": nn.ReLU(inplace=True),
        "drop7": nn.Dropout(dropout),
        "fc8": _scores(width, num_classes),
    }
    return nn.Sequential(OrderedDict(layers))


def _load_fully_connected(net: nn.Module) -> None:
    """VGG-16's fc6 and fc7 into each head that has them; v3's has none."""
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}
    heads = [name.removesuffix("fc6") for name in layers if name.endswith("fc6")]
    state = imagenet_state_dict("vgg16") if heads else {}
    for head in heads:
        load_decimated(layers[f"{head}fc6"], layers[f"{head}fc7"], state)


def _hidden(layer: nn.Conv2d) -> nn.Conv2d:
    """He et al. 2015: keeps the size of activations through the ReLU behind it."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    return layer


def _same(c_in: int, c_out: int, kernel_size: int, rate: int) -> nn.Conv2d:
    """A dilated convolution that keeps the map's size. ValueError where its middle would lie between two units."""
    reach = rate * (kernel_size - 1)
    if min(kernel_size, rate) < 1 or reach % 2:
        raise ValueError(f"kernel_size {kernel_size} and rate {rate}: at least 1 each, and rate · (kernel_size - 1) even, to be centred")
    return nn.Conv2d(c_in, c_out, kernel_size, padding=reach // 2, dilation=rate)


def _scores(channels: int, num_classes: int, kernel_size: int = 1, rate: int = 1) -> nn.Conv2d:
    layer = _same(channels, num_classes, kernel_size, rate)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
    return layer


def _check_classes(num_classes: int) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
