"""Equalities of the papers on a thousand random cases each, in float64: composition, bilinear upsampling, unpooling, patchwise training.

Claims 1, 11 and 13 stand in test_surgery_*.py, claim 2 in test_conv_matrix.py.
"""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.geometry import Field
from edu_seg.receptive_field import receptive_field
from edu_seg.upsampling import max_pool_with_switches, max_unpool, overlap_count, upsample_bilinear

pytestmark = pytest.mark.usefixtures("one_thread")

thousand = settings(max_examples=1000, deadline=None, derandomize=True)
small = st.integers(1, 5)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@thousand
@given(st.tuples(small, small), st.tuples(small, small), st.tuples(small, small), st.tuples(small, small), st.integers(0, 999))
def test_two_linear_layers_are_one(outer: tuple, outer_step: tuple, inner: tuple, inner_step: tuple, seed: int) -> None:
    """Claim 10: f_ks ∘ g_k's' is one convolution, whose kernel is the transposed convolution of the two (FCN, equation 2)."""
    g, f = drawn(seed, 3, 2, *inner), drawn(seed + 1, 2, 3, *outer)
    fields = [Field().then(k2, s2).then(k1, s1) for k1, s1, k2, s2 in zip(outer, outer_step, inner, inner_step, strict=True)]
    x = drawn(seed + 2, 1, 2, fields[0].size + 3, fields[1].size + 4)
    both = F.conv2d(F.conv2d(x, g, stride=inner_step), f, stride=outer_step)
    composite = F.conv_transpose2d(f, g, stride=inner_step)
    assert composite.shape[2:] == (fields[0].size, fields[1].size)
    assert_close(F.conv2d(x, composite, stride=[field.stride for field in fields]), both, rtol=0, atol=1e-9)


@thousand
@given(st.integers(1, 9), small, small, st.integers(0, 999))
def test_bilinear_upsampling_is_interpolation_inside_and_with_either_cure_everywhere(
    factor: int, height: int, width: int, seed: int
) -> None:
    """Claim 3, odd factors as well."""
    x = drawn(seed, 1, 2, height, width)
    wanted = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    for border in ("replicate", "divide"):
        assert_close(upsample_bilinear(x, factor, border), wanted, rtol=0, atol=1e-12)
    bare, half = upsample_bilinear(x, factor, "zero"), factor // 2
    inside = (..., slice(half, height * factor - half), slice(half, width * factor - half))
    assert_close(bare[inside], wanted[inside], rtol=0, atol=1e-12)
    if half:  # too dark at the border: the corner keeps a weight of (1 - (f - 1) / 2f)² for even, (1 - (f // 2) / f)² for odd factors
        corner = 1 - (factor - 1) / 2 / factor
        assert_close(bare[0, 0, 0, 0], wanted[0, 0, 0, 0] * corner**2, rtol=0, atol=1e-12)


@thousand
@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 999))
def test_unpooling_puts_maxima_back(kernel: int, more_rows: int, more_columns: int, rows: int, columns: int, seed: int) -> None:
    """Claim 8, at sizes that the pool does not divide: the maxima stay, all else is 0; and pooling what was unpooled gives relu."""
    height, width = kernel * rows + more_rows % kernel, kernel * columns + more_columns % kernel
    x = drawn(seed, 1, 2, height, width)
    values, switches = max_pool_with_switches(x, kernel)
    back = max_unpool(values, switches, (height, width))
    kept = back != 0
    assert int(kept.sum()) == 2 * rows * columns
    assert torch.equal(back[kept], x[kept])
    assert torch.equal(back, F.max_unpool2d(values, switches, [kernel, kernel], output_size=(height, width)))
    y = drawn(seed + 1, *values.shape)
    again = F.max_pool2d(max_unpool(y, switches, (height, width)), kernel)
    assert torch.equal(again, F.relu(y) if kernel > 1 else y)


def valid_net(draw_kernels: list[tuple[int, int]], seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for kernel, stride in draw_kernels:
        layers += [nn.Conv2d(1, 1, kernel, stride), nn.Tanh()]
    return nn.Sequential(*layers).double()


@thousand
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3), st.integers(0, 999))
def test_patchwise_training_is_loss_sampling(kernels: list[tuple[int, int]], seed: int) -> None:
    """Claim 9: the gradient of a dense loss over some units is the sum of the gradients over their patches, without padding."""
    net = valid_net(kernels, seed)
    field = Field()
    for kernel, stride in kernels:
        field = field.then(kernel, stride)
    x = drawn(seed, 1, 1, field.size + 2 * field.stride, field.size + field.stride)
    target, mask = drawn(seed + 1, 1, 1, 3, 2), drawn(seed + 2, 1, 1, 3, 2) > 0
    parameters = list(net.parameters())
    dense = torch.autograd.grad(((net(x) - target).square() * mask).sum(), parameters)
    sums = [torch.zeros_like(p) for p in parameters]
    for _, _, i, j in mask.nonzero().tolist():
        top, left = i * field.stride, j * field.stride
        loss = (net(x[:, :, top : top + field.size, left : left + field.size]) - target[..., i, j]).square().sum()
        for total, part in zip(sums, torch.autograd.grad(loss, parameters), strict=True):
            total += part
    assert_close(list(dense), sums, rtol=0, atol=1e-12)


def test_with_padding_only_units_that_avoid_the_border_agree() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Tanh(), nn.Conv2d(1, 1, 3, padding=1)).double()
    size = receptive_field(net, (12, 12), channels=1).size[0]
    x = drawn(1, 1, 1, 12, 12)

    def gap(i: int, j: int) -> float:
        dense = torch.autograd.grad(net(x)[0, 0, i, j], list(net.parameters()))
        patch = F.pad(x, (2, 2, 2, 2))[:, :, i : i + size, j : j + size]
        patched = torch.autograd.grad(net(patch)[0, 0, size // 2, size // 2], list(net.parameters()))
        return max(float((a - b).abs().max()) for a, b in zip(dense, patched, strict=True))

    assert gap(5, 6) < 1e-12
    assert gap(0, 0) > 1e-3


@thousand
@given(st.integers(1, 9), st.integers(1, 8), st.integers(1, 5), st.integers(0, 4))
def test_overlap_is_even_in_the_middle_exactly_if_the_stride_divides_the_kernel(size: int, kernel: int, stride: int, padding: int) -> None:
    size += 2 * kernel + 2 * padding
    counts = overlap_count(size, kernel, stride, padding).tolist()
    lies_over = [
        sum(0 <= place + padding - i * stride < kernel for i in range(size)) for place in range((size - 1) * stride + kernel - 2 * padding)
    ]
    assert counts == lies_over
    middle = counts[kernel:-kernel]
    assert (len(set(middle)) == 1) == (kernel % stride == 0)


def test_unpooling_refuses_switches_that_do_not_fit() -> None:
    values, switches = max_pool_with_switches(torch.randn(1, 1, 4, 4))
    with shapes_unchecked(), pytest.raises(ValueError, match="give each value its switch"):
        max_unpool(values[..., :1], switches, (4, 4))
    with pytest.raises(ValueError, match=r"a switch points to place .*, and a map of 2 × 2 has 4"):
        max_unpool(values, switches + 4, (2, 2))
    with shapes_unchecked(), pytest.raises(ValueError, match="border 'mirror': there are zero, replicate, divide"):
        upsample_bilinear(torch.ones(1, 1, 2, 2), 2, "mirror")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="factor must be at least 1, got 0"):
        upsample_bilinear(torch.ones(1, 1, 2, 2), 0)
