"""Interpolation and pixel shuffling."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from edu_seg.receptive_field.building import arguments, dimensions, operation, windowed
from edu_seg.receptive_field.relations import (
    IDENTITY,
    Interpolation,
    Relation,
    Repeat,
    Window,
)
from edu_seg.receptive_field.tracing import Run

REACH = {
    "nearest": Fraction(1, 2),
    "_nearest": Fraction(1, 2),
    "linear": Fraction(1),
    "bilinear": Fraction(1),
    "bicubic": Fraction(2),
    "trilinear": Fraction(1),
}


@operation("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
@operation("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
@operation("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
def resize(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Interpolation; without align_corners, unit i lies at (i + 1/2)·scale − 1/2."""
    given, name = arguments(func, args, kwargs), func.overloadpacket.__name__.lstrip("_")
    source, number = args[0], dimensions(func)
    scales = given["scale_factors"] if "scale_factors" in given else [v for k, v in given.items() if k.startswith("scales")]
    scales = list(scales or [None] * number)
    old = source.shape[-number:]
    new = given["output_size"] or [int(n * scale) for n, scale in zip(old, scales, strict=True)]
    reach = REACH[name.removeprefix("upsample_").rstrip("123d").removesuffix("_exact")]
    rows: list[tuple[Relation, int]] = []
    for n, m, scale in zip(old, new, scales, strict=True):
        if given.get("align_corners"):
            step, offset = Fraction(n - 1, m - 1) if m > 1 else Fraction(0), Fraction(0)
        else:
            step = 1 / Fraction(scale).limit_denominator(10**6) if scale else Fraction(n, m)
            offset = step / 2 - Fraction(1, 2)
            if reach < 1:
                offset = step / 2 if "exact" in name else Fraction(0)
        same = n == m and reach <= 1 and "nearest" not in name
        rows.append((IDENTITY if same else Interpolation(step, offset, reach), m))
    return windowed(run, func, source, rows)


@operation("pixel_shuffle", "pixel_unshuffle")
def shuffle_pixels(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    source, times = args
    height, width = source.shape[-2:]
    if func.overloadpacket.__name__ == "pixel_shuffle":
        rows: list[tuple[Relation, int]] = [(Repeat(times), height * times), (Repeat(times), width * times)]
        return windowed(run, func, source, rows, source.shape[-3] // times**2)
    rows = [(Window(times, times), height // times), (Window(times, times), width // times)]
    return windowed(run, func, source, rows, source.shape[-3] * times**2)
