"""SegNet: an encoder and a decoder of the same shape, and between them only the places of the maxima.

Source: Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation",
PAMI 2017, and the network files that the authors released. Figure 2 shows the net: VGG-16's thirteen convolutions without its
fully connected layers (14.7 million parameters instead of 134 million), and thirteen more on the way up. Figure 3 sets it beside
FCN: each unpooling uses the indices of its pool, 2 bits a window, where FCN keeps whole feature maps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.vgg import VGG16
from edu_seg.models.deconvnet import (
    Unpooling,
    checked,
    convolutions,
    encoder,
    initialise,
    load_vgg16,
    named_layers,
    pool,
    scaled_widths,
    unit,
    unpool,
)


@dataclass(frozen=True)
class Variant:
    """A row of the table of SegNets.

    widths: channels of the encoder's convolutions, stage by stage; the decoder mirrors them. kernel_size: of all of them.
    lrn: local response normalisation of the image. decoder_relu: whether the decoder's convolutions are followed by a ReLU.
    classifier: a 1 × 1 convolution scores the decoder's last map; without it the decoder's last convolution is the score.
    """

    widths: tuple[tuple[int, ...], ...]
    kernel_size: int = 3
    lrn: bool = False
    decoder_relu: bool = True
    classifier: bool = False


VARIANTS = {
    "segnet": Variant(VGG16.widths),
    # Section 3.1: four encoders and four decoders of one layer each, 7 × 7, so that a unit of the last pool sees 106 × 106 pixels.
    "segnet_basic": Variant(((64,),) * 4, kernel_size=7, lrn=True, decoder_relu=False, classifier=True),
}


class SegNet(nn.Module):
    """SegNet or SegNet-Basic, depending on the row: images (N, 3, H, W) -> logits (N, K, H, W), any H, W >= 1.

    unpooling: "switches"; or "fixed", which puts every value into its window's first corner. It may be changed on a built net, to
    see what the switches carry.

    **Fidelity:** the released files' layers, in their order, without normalisation or ReLU after the last convolution: 29,449,355
    parameters for 11 classes, 29,455,125 for 21, and 1,416,587 for SegNet-Basic with 11. The paper's section 3.1 says of the latter
    that its convolutions have no bias; the released file has one in each (without them it would be 1,416,075), and so has this. Layers
    are named by one rule in both nets: conv4_1_D, where the Basic file has conv_decode4. Pools round up, as Caffe's, so any size comes
    back; the released files write the odd sizes of 360 × 480 out by hand. Basic's normalisation was made for pixel values of 0 to 255;
    on images of the order of 1 it is next to nothing. The paper's own input normalisation (local contrast) is in none of the files.
    """

    def __init__(self, num_classes: int, row: Variant = VARIANTS["segnet"], *, unpooling: Unpooling = "switches") -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.unpooling: Unpooling = checked(unpooling)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75) if row.lrn else nn.Identity()
        self.encoder = encoder(row.widths, row.kernel_size)
        first = row.widths[0][0] if row.classifier else num_classes
        outputs = (first, *(widths[-1] for widths in row.widths[:-1]))
        self.decoder = nn.ModuleList(_decoder_stage(stage, row, outputs[stage - 1]) for stage in range(len(row.widths), 0, -1))
        self.classifier = nn.Conv2d(first, num_classes, 1) if row.classifier else nn.Identity()
        initialise(self)

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        logits = images
        for _, features in self.steps(images):
            logits = features
        return logits

    def steps(self, images: Float[Tensor, "N 3 H W"]) -> Iterator[tuple[str, Tensor]]:
        """The maps on the way, (name, map): pool1 … pool5, unpool5, decoder5 … unpool1, decoder1, score."""
        if min(images.shape) < 1:
            raise ValueError(f"images need at least one pixel and one example, got {tuple(images.shape)}")
        features, pools = self.norm(images), []
        for number, stage in enumerate(self.encoder, start=1):
            features, switches, size = pool(stage(features))  # (N, C, H/2, W/2), then a quarter …
            pools.append((number, switches, size))
            yield f"pool{number}", features
        for stage in self.decoder:
            number, switches, size = pools.pop()
            features = unpool(features, switches, size, self.unpooling)  # twice as high and wide
            yield f"unpool{number}", features
            features = stage(features)
            yield f"decoder{number}", features
        yield "score", self.classifier(features)


def _decoder_stage(stage: int, row: Variant, out_channels: int) -> nn.Sequential:
    """The mirror image of one stage, conv5_3_D … conv5_1_D; the last convolution of the net is bare where it makes the scores."""
    widths, layers = row.widths[stage - 1], {}
    outputs = (*reversed(widths[:-1]), out_channels)
    for number, channels, width in zip(range(len(widths), 0, -1), reversed(widths), outputs, strict=True):
        name, conv = f"conv{stage}_{number}_D", nn.Conv2d(channels, width, row.kernel_size, padding=row.kernel_size // 2)
        is_score = stage == number == 1 and not row.classifier
        layers |= {name: conv} if is_score else unit(name, conv, relu=row.decoder_relu)
    return named_layers(layers)


def segnet(name: str, num_classes: int = 21, *, pretrained: bool = False, width: float = 1.0, unpooling: Unpooling = "switches") -> SegNet:
    """The SegNet of one row of `VARIANTS`. width: multiplies every layer's channels.

    `pretrained` takes VGG-16's ImageNet weights for the encoder (section 3): for "segnet" at width 1. Raises ValueError elsewhere.
    """
    row = VARIANTS[name]
    if pretrained and row.widths != VGG16.widths:
        raise ValueError(f"{name} has no pretrained weights: build it with pretrained=False, or take segnet")
    widths = tuple(tuple(channels) for channels in scaled_widths(row.widths, width))
    net = SegNet(num_classes, replace(row, widths=widths), unpooling=unpooling)
    if pretrained:
        load_vgg16(convolutions(net.encoder), imagenet_state_dict("vgg16"))
    return net
