"""Receptive fields: exact for any network, measured by gradient, and effective.

`receptive_fields` runs a network once on tensors without numbers and gives, for every layer, the interval of pixels that each of its
units sees. `measured_receptive_field` finds the same by a gradient, independently. `effective_receptive_field` says how much each
pixel weighs.
"""

from edu_seg.receptive_field.effective import EffectiveField, effective_receptive_field
from edu_seg.receptive_field.fields import ReceptiveField, ReceptiveFields, receptive_field, receptive_fields
from edu_seg.receptive_field.measured import measured_receptive_field, positive_gradient
from edu_seg.receptive_field.tracing import UnknownOperation

__all__ = [
    "EffectiveField",
    "ReceptiveField",
    "ReceptiveFields",
    "UnknownOperation",
    "effective_receptive_field",
    "measured_receptive_field",
    "positive_gradient",
    "receptive_field",
    "receptive_fields",
]
