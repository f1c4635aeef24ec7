"""DenseCRF: exact and fast Gaussian filters, mean field as inference and as a layer, energies, and the search for its parameters."""

from edu_seg.crf.energy import Pairwise, expected_energy, free_energy, list_states, potts
from edu_seg.crf.filters import GaussianFilter, NormalisedFilter, bilateral_features, gaussian_matrix, spatial_features
from edu_seg.crf.fitting import Example, cross_validate, fit_by_gradient, search
from edu_seg.crf.kernels import Kernel, bilateral_kernel, spatial_kernel
from edu_seg.crf.mean_field import DenseCRF, Step
from edu_seg.crf.permutohedral import LatticeFilter
from edu_seg.crf.unaries import unary_from_labels, unary_from_logits, unary_from_probs, unary_from_scribbles

__all__ = [
    "DenseCRF",
    "Example",
    "GaussianFilter",
    "Kernel",
    "LatticeFilter",
    "NormalisedFilter",
    "Pairwise",
    "Step",
    "bilateral_features",
    "bilateral_kernel",
    "cross_validate",
    "expected_energy",
    "fit_by_gradient",
    "free_energy",
    "gaussian_matrix",
    "list_states",
    "potts",
    "search",
    "spatial_features",
    "spatial_kernel",
    "unary_from_labels",
    "unary_from_logits",
    "unary_from_probs",
    "unary_from_scribbles",
]
