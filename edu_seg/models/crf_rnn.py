"""CRF as RNN: mean field unrolled into layers behind a network, its weights learned with the network's.

Source: Zheng et al., "Conditional Random Fields as Recurrent Neural Networks", ICCV 2015. Figure 1 shows one iteration as a stack of
layers: filter (message passing), weigh the filters, transform by compatibility, add the unary, normalise. Figure 2 feeds its output
back in: an RNN without weights of its own for each step.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from edu_seg.crf import DenseCRF
from edu_seg.datasets.transforms import denormalise
from edu_seg.models.fcn import VARIANTS, fcn


def guidance(images: Float[Tensor, "N 3 H W"]) -> UInt8[Tensor, "N 3 H W"]:
    """The photographs behind a network's normalised input: what `datasets.transforms.evaluation_transform` did, undone."""
    return denormalise(images.detach().float()).mul(255).round().clamp(0, 255).to(torch.uint8)


class CRFRNN(nn.Module):
    """unary network, then mean field: images (N, 3, H, W) -> logits (N, K, H, W), whose softmax is the CRF's Q.

    unary: any model, images -> logits. crf: a `DenseCRF`, learnable or not; `paper_crf` builds the paper's. training_iterations: used
    in place of the crf's own number while training. The CRF looks at colours, so it needs the photographs: `to_image` turns the
    network's input into uint8, by default by undoing ImageNet's normalisation; give your own where the input is made in another way.

    In evaluation softmax(output) is exactly what `crf(unary(images), to_image(images))` gives.

    **Fidelity**, to the released Caffe layer and an author's PyTorch port of it, which agree. The same here: widths 160, 3, 3; initial
    weights 5 · I (bilateral) and 3 · I (spatial), K × K matrices, where the paper (section 4.3) speaks of one weight a label; messages
    divided, at the pixel that hears them, by its sum of weights ("after"), self term included; the sum of weighted messages then goes
    through the compatibility; no softmax after the last iteration; 10 iterations in use, 5 in training (the paper, section 6). The
    compatibility starts at -1 on the diagonal in Caffe and at +1 in the port, which adds what Caffe subtracts: Potts, up to what a
    softmax does not see.
    Not the same: theirs sees the network's input as it is, BGR with the mean subtracted, padded with zeros to 500 × 500, so its lattice
    lies otherwise (a difference of the lattice's own error) and the padding takes part. Ours sees RGB in 8 bits, without padding, and
    any batch, where theirs takes one image. The released definition trains weights and compatibility at 10 000 and 1 000 times the
    network's rate (1e-13 in the paper); give the optimiser parameter groups for that.
    """

    def __init__(
        self,
        unary: nn.Module,
        crf: DenseCRF,
        *,
        training_iterations: int | None = 5,
        to_image: Callable[[Tensor], Tensor] = guidance,
    ) -> None:
        super().__init__()
        if training_iterations is not None and training_iterations < 1:
            raise ValueError(f"training_iterations = {training_iterations}: at least 1, or None for the crf's own number")
        self.unary, self.crf, self.training_iterations, self.to_image = unary, crf, training_iterations, to_image

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        logits = self.unary(images)
        return self.crf.refine(logits, self.to_image(images), num_iterations=self.training_iterations if self.training else None)

    def stage_from(self, trained: nn.Module) -> "CRFRNN":
        """Takes over a trained unary network's weights and returns self. Raises RuntimeError, naming layers, where they differ."""
        self.unary.load_state_dict(trained.state_dict())
        return self


def paper_crf(
    num_classes: int = 21,
    num_iterations: int = 10,
    *,
    theta_alpha: float | int = 160.0,
    theta_beta: float | int = 3.0,
    theta_gamma: float | int = 3.0,
) -> DenseCRF:
    """The paper's CRF: a K × K matrix for each kernel (5 · I bilateral, 3 · I spatial) and for the compatibility: 3 K² parameters."""
    same = torch.eye(num_classes)
    return DenseCRF(
        theta_alpha,
        theta_beta,
        theta_gamma,
        5 * same,
        3 * same,
        num_iterations,
        compatibility=-same,
        normalisation="after",
        learnable=True,
    )


def crf_rnn(
    num_classes: int = 21,
    *,
    pretrained: bool = False,
    unary: str | nn.Module = "fcn8s",
    num_iterations: int = 10,
    training_iterations: int | None = 5,
    **options: int | float | bool | str,
) -> CRFRNN:
    """The paper's network: FCN-8s, then CRF as RNN; `unary` names another FCN, or is a model of your own with `num_classes` classes.

    options go to the FCN's builder (backbone, top …), `pretrained` as well. Raises ValueError for an unknown name.
    """
    if isinstance(unary, str):
        if unary not in VARIANTS:
            raise ValueError(f"no FCN is called {unary!r}: there are {', '.join(VARIANTS)}; for any other model pass the model itself")
        unary = fcn(unary, num_classes, pretrained=pretrained, **options)  # pyright: ignore[reportArgumentType]
    elif options or pretrained:
        raise ValueError(f"a model that is built already takes no options, got {', '.join([*options, *['pretrained'] * pretrained])}")
    return CRFRNN(unary, paper_crf(num_classes, num_iterations), training_iterations=training_iterations)
