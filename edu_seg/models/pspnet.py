"""PSPNet: the map of a dilated ResNet, and beside it its means over ever larger parts of the image.

Source: Zhao, Shi, Qi, Wang, Jia, "Pyramid scene parsing network", CVPR 2017, and the released networks. Figure 3 shows it: pooled to
1, 2, 3 and 6 bins, brought to a quarter of the channels each, back to the map's size, stacked with the map itself, and scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones import Trunk
from edu_seg.backbones.dilated import trunk_and_rest
from edu_seg.layers import Pooling, PyramidPooling, fcn_head, resize
from edu_seg.upsampling import upsample_to_pixels


class PSPNet(nn.Module):
    """Pyramid pooling on a dilated trunk: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    backbone: a `Trunk`; its last kept map is pooled, the one before feeds the auxiliary head. bins, mode, reduce: of the pyramid
    (`layers.PyramidPooling`; table 1 compares them). No bins: table 1's baseline, a dilated FCN (torchvision's fcn_resnet).
    head_width: channels of the 3 × 3 before the scores; None: a quarter of the trunk's (512 of 2048). auxiliary: a second head, whose
    logits `forward_with_auxiliary` gives for `losses.AuxiliaryLoss` (weight 0.4; section 4).
    align_corners: False aligns as torchvision's nets do, a unit in the middle of its 8 × 8 pixels. True puts each unit where the trunk's
    layers have it. Raises ValueError for a training batch of one image where a level has a single bin.

    **Fidelity:** dropout 0.1, bias-free convolutions and the corner-on-corner interpolation are the released networks'. These need sizes
    8 n + 1; at those the result is theirs, elsewhere units still lie where the trunk has them. Dropout is elementwise (Caffe's).
    """

    def __init__(
        self,
        backbone: Trunk,
        num_classes: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        *,
        mode: Pooling = "average",
        reduce: bool = True,
        head_width: int | None = None,
        auxiliary: bool = False,
        align_corners: bool = True,
        dropout: float | int = 0.1,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.backbone, self.align_corners = backbone, align_corners
        *_, self.before, self.top = backbone.channels
        channels = backbone.channels[self.top]
        self.pyramid = PyramidPooling(channels, bins, mode, reduce=reduce, align_corners=align_corners)
        self.classifier = fcn_head(self.pyramid.out_channels, num_classes, head_width or max(1, channels // 4), dropout)
        self.aux_classifier = fcn_head(backbone.channels[self.before], num_classes, dropout=dropout) if auxiliary else None

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        features = self.backbone(images)[self.top]  # (N, 2048, H/8, W/8)
        return self._to_pixels(self.classifier(self.pyramid(features)), self.top, images)

    def forward_with_auxiliary(self, images: Float[Tensor, "N 3 H W"]) -> tuple[Float[Tensor, "N K H W"], Float[Tensor, "N K H W"]]:
        """(logits, auxiliary logits). Raises ValueError for a net without the second head."""
        if self.aux_classifier is None:
            raise ValueError("this net has no auxiliary head: build it with auxiliary=True")
        features = self.backbone(images)
        logits = self._to_pixels(self.classifier(self.pyramid(features[self.top])), self.top, images)
        return logits, self._to_pixels(self.aux_classifier(features[self.before]), self.before, images)

    def _to_pixels(self, scores: Tensor, name: str, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if self.align_corners:
            return upsample_to_pixels(scores, self.backbone.fields[name].grid, height, width)
        return resize(scores, (height, width))


@dataclass(frozen=True)
class Variant:
    """A row of the table: a backbone, its options, and those of the head."""

    backbone: str
    trunk: dict[str, Any]
    head: dict[str, Any] = field(default_factory=dict)


# The released Caffe networks: stride in the 1 × 1, every 3 × 3 of a dilated stage at its rate, three 3 × 3 for the 7 × 7.
_RELEASED = {"output_stride": 8, "convention": "stage", "stride_in": "1x1", "stem": "deep"}
_PLAIN: dict[str, Any] = {"bins": (), "align_corners": False}

VARIANTS = {
    "pspnet_resnet50": Variant("resnet50", _RELEASED),
    "pspnet_resnet101": Variant("resnet101", _RELEASED),
    # Table 1's baseline in torchvision's form: trunk and head without a pyramid.
    "fcn_resnet50": Variant("resnet50", {"output_stride": 8}, _PLAIN),
    "fcn_resnet101": Variant("resnet101", {"output_stride": 8}, _PLAIN),
}


def pspnet(name: str, num_classes: int = 21, *, pretrained: bool = False, backbone: str | None = None, **options: Any) -> PSPNet:
    """The net of one row of `VARIANTS`; `backbone` (say "vgg_strided", or "resnet18" with `width`) replaces the row's.

    options: those of the trunk (`backbones.dilated`: output_stride, convention, stride_in, stem, width …) and of `PSPNet`.
    pretrained: torchvision's ImageNet weights, and so torchvision's form of a ResNet in place of the released one: stride in the 3 × 3,
    the 7 × 7 stem, convention "exact".
    """
    row = VARIANTS[name]
    trunk, rest = trunk_and_rest(row.backbone, row.trunk, backbone, pretrained, options)
    return PSPNet(trunk, num_classes, **(row.head | rest))
