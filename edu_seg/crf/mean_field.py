"""DenseCRF: every pixel tied to every other, solved by mean field (Krähenbühl and Koltun, NIPS 2011; the energy is in `energy`).

    Q ← softmax(-U);   repeat:   Q ← softmax(-U - Σ_m μ w_m K_m Q)

`DenseCRF` is both an inference (no gradient: in place, many times as fast) and a layer (differentiable in unary, weights and μ).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from edu_seg.crf.energy import Pairwise, free_energy
from edu_seg.crf.filters import NORMALISATIONS, Filter, Normalisation, NormalisedFilter, Number, check_image
from edu_seg.crf.in_place import mean_field_in_place, runs_in_place
from edu_seg.crf.kernels import Kernel, Weight, checked_weight, usual_kernels
from edu_seg.crf.permutohedral import LatticeFilter
from edu_seg.crf.unaries import logit_normaliser


@dataclass(frozen=True, eq=False)
class Step:
    """One iteration: probs (N, K, H, W); for each image the largest change since the last (N,) and the free energy (N,)."""

    iteration: int
    probs: Float[Tensor, "N K H W"]
    change: Float[Tensor, " N"]
    free_energy: Float[Tensor, " N"]


class DenseCRF(nn.Module):
    """(logits (N, K, H, W), images uint8 (N, 3, H, W)) -> probs (N, K, H, W), by mean field.

    theta_alpha, theta_gamma in pixels, theta_beta in grey levels of 0..255; weights as in `Kernel`. kernels: rows that replace the two
    usual ones; leave the five numbers out then. compatibility: μ (K, K), Potts if None. normalisation: see `NormalisedFilter`;
    "symmetric" is the reference implementation's. tolerance: stop once no probability moves by more. learnable: the weights and the
    compatibility become parameters. make_filter: features -> filter, say `GaussianFilter` for the exact one on small images.

    The result is differentiable in logits, weights and compatibility; where no gradient is asked for it is computed in place, to the
    same values up to rounding (`in_place`, which also says what to set where other processes are busy). Memory then: four tables like
    the logits of one image, and 50 to 70 numbers a pixel.

    Raises ValueError for θ <= 0, weights or compatibility of another shape, sizes that differ, NaN; TypeError for images not uint8.
    """

    def __init__(
        self,
        theta_alpha: Number | None = None,
        theta_beta: Number | None = None,
        theta_gamma: Number | None = None,
        bilateral_weight: Weight | None = None,
        spatial_weight: Weight | None = None,
        num_iterations: int = 10,
        *,
        kernels: Sequence[Kernel] | None = None,
        compatibility: Float[Tensor, "K K"] | None = None,
        normalisation: Normalisation = "symmetric",
        tolerance: Number | None = None,
        learnable: bool = False,
        make_filter: Callable[[Tensor], Filter] = LatticeFilter,
    ) -> None:
        super().__init__()
        if kernels is None:
            kernels = usual_kernels(theta_alpha, theta_beta, theta_gamma, bilateral_weight, spatial_weight)
        elif any(value is not None for value in (theta_alpha, theta_beta, theta_gamma, bilateral_weight, spatial_weight)):
            raise ValueError("give either kernels or the thetas and weights of the two usual ones, not both")
        _check_options(num_iterations, normalisation, tolerance)
        self.normalisation: Normalisation = normalisation
        self.kernels, self.num_iterations = tuple(kernels), num_iterations
        self.tolerance, self.make_filter = tolerance, make_filter
        for i, kernel in enumerate(kernels):
            self._keep(f"weight_{i}", checked_weight(kernel.weight), learnable)
        self._keep("compatibility", None if compatibility is None else _checked_matrix(compatibility), learnable)

    def _keep(self, name: str, value: Tensor | None, learnable: bool) -> None:
        if learnable and value is not None:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    @property
    def weights(self) -> list[Tensor]:
        """The kernels' weights, one number, (K,) or (K, K) each."""
        return [cast(Tensor, getattr(self, f"weight_{i}")) for i in range(len(self.kernels))]

    def forward(self, logits: Float[Tensor, "N K H W"], images: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N K H W"]:
        logits = _checked_batch(logits, images)
        filters = self.filters(images, logits.dtype)
        probs = [self._probs(_log_rows(one), row, self.num_iterations).t().view_as(one) for one, row in zip(logits, filters, strict=True)]
        return probs[0][None] if len(probs) == 1 else torch.stack(probs)

    def refine(
        self, logits: Float[Tensor, "N K H W"], images: UInt8[Tensor, "N 3 H W"], *, num_iterations: int | None = None
    ) -> Float[Tensor, "N K H W"]:
        """New logits, whose softmax is what the call gives: for a loss, which takes the logarithm itself."""
        logits = _checked_batch(logits, images)
        filters = self.filters(images, logits.dtype)
        return torch.stack([self.infer_logits(-one, row, num_iterations=num_iterations) for one, row in zip(logits, filters, strict=True)])

    def infer(self, unary: Float[Tensor, "K H W"], filters: Sequence[NormalisedFilter]) -> Float[Tensor, "K H W"]:
        """Probs of one image with a unary energy (see `unaries`) and one row of what `filters` has built."""
        return self._probs(_log_rows(-unary), filters, self.num_iterations).t().view_as(unary)

    def infer_logits(
        self, unary: Float[Tensor, "K H W"], filters: Sequence[NormalisedFilter], *, num_iterations: int | None = None
    ) -> Float[Tensor, "K H W"]:
        """Like `infer`, before the last softmax: -U - c."""
        iterations = self.num_iterations if num_iterations is None else num_iterations
        scores = _log_rows(-unary)
        if iterations:
            probs = self._probs(scores, filters, iterations - 1)
            scores = scores + self.pairwise(filters).messages(probs)
        return scores.t().view_as(unary)

    def pairwise(self, filters: Sequence[NormalisedFilter]) -> Pairwise:
        """The weights as they are now on the filters of one image, for the functions of `energy`."""
        if len(filters) != len(self.kernels):
            raise ValueError(f"{len(filters)} filters for {len(self.kernels)} kernels: pass one row of what `filters` returns")
        return Pairwise(filters, self.weights, cast("Tensor | None", self.compatibility))

    def _probs(self, log_probs: Tensor, filters: Sequence[NormalisedFilter], num_iterations: int) -> Tensor:
        pairwise = self.pairwise(filters)
        _check_problem(log_probs, pairwise)
        asks_gradient = torch.is_grad_enabled() and (log_probs.requires_grad or any(p.requires_grad for p in self.parameters()))
        if runs_in_place(pairwise) and not asks_gradient:
            with torch.no_grad():
                return mean_field_in_place(log_probs, pairwise, num_iterations, self.tolerance)
        probs = log_probs.softmax(1)
        for _ in range(num_iterations):
            probs, change = _update(probs, log_probs, pairwise)
            if self.tolerance is not None and change <= self.tolerance:
                break
        return probs

    def steps(self, logits: Float[Tensor, "N K H W"], images: UInt8[Tensor, "N 3 H W"]) -> Iterator[Step]:
        """Every iteration as it happens, number 0 being softmax(logits); `tolerance` ends it early. Slower than the call.

        Errors of bad input come with the first step.
        """
        logits = _checked_batch(logits, images)
        pairwise = [self.pairwise(row) for row in self.filters(images, logits.dtype)]
        log_probs = [_log_rows(one) for one in logits]
        for rows, ties in zip(log_probs, pairwise, strict=True):
            _check_problem(rows, ties)
        probs, change = [rows.softmax(1) for rows in log_probs], [torch.tensor(float("inf"))] * len(logits)
        for iteration in range(self.num_iterations + 1):
            if iteration:
                pairs = [_update(*parts) for parts in zip(probs, log_probs, pairwise, strict=True)]
                probs, change = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            energy = [free_energy(q, -rows, ties) for q, rows, ties in zip(probs, log_probs, pairwise, strict=True)]
            maps = torch.stack([q.t().view_as(one) for q, one in zip(probs, logits, strict=True)])
            yield Step(iteration, maps, torch.stack(change), torch.stack(energy))
            if self.tolerance is not None and max(change) <= self.tolerance:
                return

    def filters(self, images: UInt8[Tensor, "N 3 H W"], dtype: torch.dtype = torch.float32) -> list[list[NormalisedFilter]]:
        """The filters of each image. They hold no weight, so build them once and use them while weights, unaries or μ change."""
        shared: dict[int, NormalisedFilter] = {}
        rows = []
        for image in images:
            check_image(image)
            row = [shared[i] if i in shared else self._filter(kernel, image, dtype) for i, kernel in enumerate(self.kernels)]
            shared |= {i: built for i, (kernel, built) in enumerate(zip(self.kernels, row, strict=True)) if kernel.of_size_only}
            rows.append(row)
        return rows

    def _filter(self, kernel: Kernel, image: Tensor, dtype: torch.dtype) -> NormalisedFilter:
        features = kernel.features(image).to(dtype)
        if len(features) != image[0].numel():
            raise ValueError(f"the kernel's features are for {len(features)} pixels, the image has {image[0].numel()}")
        return NormalisedFilter(self.make_filter(features), self.normalisation)


def _update(probs: Tensor, log_probs: Tensor, pairwise: Pairwise) -> tuple[Tensor, Tensor]:
    """One iteration for all pixels at once, and how far the probability that moved most has moved."""
    updated = (log_probs + pairwise.messages(probs)).softmax(1)
    return updated, (updated - probs).detach().abs().max()


def _log_rows(logits: Tensor) -> Tensor:
    """Logits (K, H, W) -> log probabilities (H · W, K), one row a pixel."""
    return (logits - logit_normaliser(logits)).flatten(1).t().contiguous()


def _check_options(num_iterations: int, normalisation: Normalisation, tolerance: Number | None) -> None:
    if num_iterations < 0:
        raise ValueError(f"num_iterations = {num_iterations}: must not be negative (0 leaves softmax(logits))")
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation is one of {', '.join(NORMALISATIONS)}, got {normalisation!r}")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance = {tolerance}: the change that counts as none is 0 or more; None never stops early")


def _checked_matrix(compatibility: Tensor) -> Tensor:
    if compatibility.ndim != 2 or compatibility.shape[0] != compatibility.shape[1]:
        raise ValueError(f"compatibility is a matrix (K, K), got the shape {tuple(compatibility.shape)}")
    if not compatibility.is_meta and not compatibility.isfinite().all():
        raise ValueError("compatibility holds a value that is not finite: every pair of labels needs a number")
    return compatibility.detach().clone()


def _checked_batch(logits: Tensor, images: Tensor) -> Tensor:
    """The logits in float32, or float64 as they are; raises ValueError where sizes differ."""
    if logits.ndim != 4 or images.ndim != 4 or len(logits) != len(images) or logits.shape[2:] != images.shape[2:]:
        raise ValueError(
            f"logits (N, K, H, W) and images (N, 3, H, W) must agree in N, H and W, got {tuple(logits.shape)} and {tuple(images.shape)}"
        )
    if 0 in logits.shape:
        raise ValueError(f"logits need at least one image, label and pixel, got {tuple(logits.shape)}")
    return logits if logits.dtype == torch.float64 else logits.float()


def _check_problem(log_probs: Tensor, pairwise: Pairwise) -> None:
    """Raises ValueError unless filters, weights and compatibility fit N pixels and K labels."""
    number, num_classes = log_probs.shape
    for kernel in pairwise.filters:
        if kernel.num_pixels != number:
            raise ValueError(f"the filter was built for {kernel.num_pixels} pixels, the unary has {number}: build it for this image")
    for name, matrix in [("a kernel's weight", weight) for weight in pairwise.weights] + [("compatibility", pairwise.compatibility)]:
        if matrix is not None and matrix.ndim and matrix.shape[-1] != num_classes:
            raise ValueError(f"{name} has the shape {tuple(matrix.shape)}, there are {num_classes} labels")
