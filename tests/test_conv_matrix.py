"""conv_matrix against torch's convolutions and their gradients, and a matrix written out by hand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from edu_seg.conv_matrix import conv_matrix
from edu_seg.geometry import output_size

sides = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(1, 2))


@st.composite
def cases(draw: st.DrawFn, axes: int = 2) -> dict:
    """A convolution whose window fits, of one or two axes that are not alike."""
    size, kernel, stride, padding, dilation = zip(*(draw(sides) for _ in range(axes)), strict=True)
    size = tuple(max(n, d * (k - 1) + 1 - 2 * p) for n, k, p, d in zip(size, kernel, padding, dilation, strict=True))
    groups = draw(st.sampled_from((1, 2)))
    return {"size": size, "kernel": kernel, "groups": groups, "options": {"stride": stride, "padding": padding, "dilation": dilation}}


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(cases(), st.integers(0, 99))
def test_the_matrix_convolves_and_its_transpose_is_the_adjoint(case: dict, seed: int) -> None:
    """C x = conv(x), Cᵀ y = the gradient of y · conv(x) = conv_transpose(y) with the right output padding, and ⟨C x, y⟩ = ⟨x, Cᵀ y⟩."""
    options, groups = case["options"], case["groups"]
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2 * groups, 2, *case["kernel"], dtype=torch.float64, generator=generator)
    x = torch.randn(1, 2 * groups, *case["size"], dtype=torch.float64, generator=generator).requires_grad_()
    conv = F.conv2d(x, weight, groups=groups, **options)
    y = torch.randn(conv.shape, dtype=torch.float64, generator=generator)
    matrix = conv_matrix(weight, case["size"], groups=groups, **options)
    assert_close((matrix @ x.flatten()).reshape(conv.shape), conv, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(conv, x, y)
    back = (matrix.T @ y.flatten()).reshape(x.shape)
    assert_close(back, gradient, rtol=0, atol=1e-12)
    assert_close((matrix @ x.flatten()) @ y.flatten(), x.flatten() @ back.flatten(), rtol=0, atol=1e-10)
    remainder = [
        n - ((m - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, m, k, s, p, d in zip(case["size"], conv.shape[2:], case["kernel"], *options.values(), strict=True)
    ]
    if all(extra < max(s, d) for extra, s, d in zip(remainder, options["stride"], options["dilation"], strict=True)):  # what torch allows
        assert_close(back, F.conv_transpose2d(y, weight, groups=groups, output_padding=remainder, **options), rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(cases(axes=1))
def test_one_dimension(case: dict) -> None:
    weight = torch.randn(2, 1, *case["kernel"], dtype=torch.float64)
    x = torch.randn(1, *case["size"], dtype=torch.float64)
    matrix = conv_matrix(weight, case["size"], **{name: value[0] for name, value in case["options"].items()})
    assert_close(matrix @ x.flatten(), F.conv1d(x[None], weight, **case["options"]).flatten(), rtol=0, atol=1e-12)


def test_four_by_sixteen_by_hand() -> None:
    """A 3 × 3 kernel on a 4 × 4 map: the matrix of the guide's section 4.1."""
    kernel = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    matrix = conv_matrix(kernel, (4, 4)).to_dense()
    first = torch.tensor([1.0, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0])
    assert matrix.shape == (4, 16)
    for row, shift in enumerate((0, 1, 4, 5)):
        assert torch.equal(matrix[row], first.roll(shift))


def test_padding_has_no_column() -> None:
    """A window that hangs over the border has fewer entries than taps; one wholly outside has none."""
    entries = (conv_matrix(torch.ones(1, 1, 3), (3,), padding=3).to_dense() != 0).sum(1)
    assert entries.tolist() == [0, 1, 2, 3, 2, 1, 0]
    assert output_size(3, 3, padding=3) == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_size": (2, 2)}, "a window of 3 does not fit into 2 units"),
        ({"input_size": (5,)}, "wants 2 input sizes"),
        ({"input_size": (5, 5), "groups": 2}, "groups = 2 does not divide the 3 output channels"),
        ({"input_size": (5, 5), "stride": (1, 1, 1)}, "3 numbers for 2 axes"),
        ({"input_size": (5, 5), "stride": 0}, "stride 0"),
    ],
)
def test_what_is_wrong_is_said(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conv_matrix(torch.ones(3, 1, 3, 3), **options)
