"""Every convolution algorithm, pass and ISA level against the float64 reference, with the same bits at every
thread count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pynet import _core, profile, reference
from tests.shapes import CONV_CASES, ConvCase

EPS = np.finfo(np.float32).eps
ALGORITHMS = _core.conv2d_algorithms()


def operands(case: ConvCase, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((case.N, case.C, case.H, case.W)).astype(np.float32)
    w = rng.standard_normal((case.F, case.C // case.groups, case.KH, case.KW)).astype(np.float32)
    b = rng.standard_normal(case.F).astype(np.float32)
    return x, w, b


def geometry(case: ConvCase):
    return case.stride, case.padding, case.dilation, case.groups


def passes(case, x, w, b, algorithm, dout=None):
    """out, dx, dw, db in float32; None where the algorithm cannot compute the pass."""
    results = []
    for run in (
        lambda: _core.conv2d_forward(x, w, b, *geometry(case), "relu", 0.0, algorithm),
        lambda: _core.conv2d_backward_data(dout, w, x.shape, *geometry(case), algorithm),
        lambda: _core.conv2d_backward_weight(dout, x, w.shape, *geometry(case), True, algorithm),
    ):
        try:
            results.append(run())
        except ValueError as error:
            assert "cannot compute this shape" in str(error)
            results.append(None)
    return results


def oracle(case, x, w, b, dout):
    x, w, b, dout = (a.astype(np.float64) for a in (x, w, b, dout))
    out = reference.conv2d_forward(x, w, b, *geometry(case), "relu", 0.0, "auto")
    dx = reference.conv2d_backward_data(dout, w, x.shape, *geometry(case), "auto")
    dw, db = reference.conv2d_backward_weight(dout, x, w.shape, *geometry(case), True, "auto")
    return out, dx, (dw, db)


# The transforms of F(4x4, 3x3) have entries up to 8, those of F(2x2, 3x3) up to 1: rounding grows with them.
GROWTH = {"winograd4": 16, "winograd2": 2, "auto": 16}


def assert_close(got, want, terms: int, what: str, algorithm: str):
    """Sums of `terms` products of standard normals, added one by one in float32."""
    assert got.shape == want.shape, what
    if want.size:
        bound = GROWTH.get(algorithm, 1) * EPS * (2 * terms + 40)
        assert np.abs(got - want).max() <= bound, (what, np.abs(got - want).max(), bound)


def check(case, algorithm, same_bits):
    x, w, b = operands(case)
    rng = np.random.default_rng(1)
    shape = reference.conv2d_forward(x, w, b, *geometry(case), "none", 0.0, "auto").shape
    dout = rng.standard_normal(shape).astype(np.float32)
    out, dx, weights = same_bits(lambda: passes(case, x, w, b, algorithm, dout))
    want_out, want_dx, (want_dw, want_db) = oracle(case, x, w, b, dout)
    taps = case.KH * case.KW
    if out is not None:
        assert_close(out, want_out, taps * case.C // case.groups, "out", algorithm)
        assert out.transpose(0, 2, 3, 1).flags.c_contiguous
    if dx is not None:
        assert_close(dx, want_dx, taps * case.F // case.groups, "dx", algorithm)
        assert dx.transpose(0, 2, 3, 1).flags.c_contiguous
    if weights is not None:
        pixels = shape[0] * shape[2] * shape[3]
        assert_close(weights[0], want_dw, pixels, "dw", algorithm)
        assert_close(weights[1], want_db, pixels, "db", algorithm)
        assert weights[0].transpose(2, 3, 1, 0).flags.c_contiguous
    return [out, dx, weights]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_against_reference(isa, same_bits, case, algorithm):
    computed = check(case, algorithm, same_bits)
    if algorithm in ("auto", "direct", "im2col"):
        assert all(result is not None for result in computed), "these compute every shape"


@st.composite
def conv_cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    KH, KW = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    least = [max(1, dilation[i] * (k - 1) + 1 - 2 * padding[i]) for i, k in enumerate((KH, KW))]
    H, W = (draw(st.integers(low, low + 12)) for low in least)
    C, F = groups * draw(st.integers(1, 20)), groups * draw(st.integers(1, 40))
    return ConvCase(draw(st.integers(1, 10)), C, H, W, F, KH, KW, stride, padding, dilation, groups)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=conv_cases(), algorithm=st.sampled_from(ALGORITHMS))
def test_any_geometry(same_bits, case, algorithm):
    check(case, algorithm, same_bits)


@pytest.mark.parametrize(
    "activation, alpha", [("none", 0.0), ("leaky_relu", 0.2), ("elu", 1.0), ("sigmoid", 0.0), ("tanh", 0.0)]
)
def test_activation_epilogue(isa, activation, alpha):
    case = ConvCase(2, 5, 8, 8, 19, 3, 3, padding=(1, 1))
    x, w, b = operands(case)
    got = _core.conv2d_forward(x, w, b, *geometry(case), activation, alpha, "auto")
    want = reference.conv2d_forward(
        *(a.astype(np.float64) for a in (x, w, b)), *geometry(case), activation, alpha, "auto"
    )
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def with_statistics(case, x, w, b, algorithm):
    """What the float64 reference makes of the output, beside what the kernel delivers with it; None where the
    algorithm cannot compute it.
    """
    operands = (x, w, b, *geometry(case))
    try:
        out = _core.conv2d_forward(*operands, "none", 0.0, algorithm)
    except ValueError as error:
        assert "cannot compute this shape" in str(error)
        return None
    got = _core.conv2d_forward_statistics(*operands, algorithm)
    assert got[0].tobytes() == out.tobytes() and got[0].strides == out.strides
    return (*got, *reference.batch_norm_statistics(out.astype(np.float64)))


def assert_statistics(found, at_most=1e-5):
    _, mean, var, want_mean, want_var = found
    np.testing.assert_allclose(
        mean, want_mean, rtol=8 * EPS, atol=32 * EPS * np.sqrt(want_var.max(initial=1))
    )
    np.testing.assert_allclose(var, want_var, rtol=at_most, atol=1e-12)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", CONV_CASES, ids=str)
def test_statistics(isa, same_bits, case, algorithm):
    found = same_bits(lambda: with_statistics(case, *operands(case), algorithm))
    if found is not None:
        assert_statistics(found)


def test_winograd_weight_gradient_in_blocks_of_tiles(isa, same_bits, rng):
    """So many tiles that the shared form adds a second block of them to what the first left; the last block
    of outputs is not full."""
    case = ConvCase(1, 66, 71, 73, 70, 3, 3, padding=(1, 1))
    x, w, _ = operands(case)
    dout = rng.standard_normal((1, 70, 71, 73)).astype(np.float32)
    arguments = (dout, x, w.shape, *geometry(case), True)
    want, want_bias = _core.conv2d_backward_weight(*arguments, "direct")
    for quarter in range(8, 33):  # scratch memory from 2 to 8 MiB starts as NaN: nothing may lean on it
        _core.empty((quarter << 16,)).fill(np.nan)
    dw, db = same_bits(lambda: _core.conv2d_backward_weight(*arguments, "winograd4"))
    assert np.sqrt(np.mean((dw - want) ** 2)) < 1e-5 * np.sqrt(np.mean(want**2))
    np.testing.assert_allclose(db, want_bias, atol=1e-3)


# Edges of Winograd tiles, a first layer, a stride, a plain product, many channels
STATISTICS = [
    ConvCase(5, 16, 17, 19, 24, 3, 3, padding=(1, 1)),
    ConvCase(3, 3, 40, 37, 20, 3, 3, padding=(1, 1)),
    ConvCase(4, 20, 30, 31, 36, 3, 3, (2, 2), (1, 1)),
    ConvCase(4, 40, 17, 16, 48, 1, 1),
    ConvCase(7, 12, 100, 99, 61, 1, 1),  # larger than the caches, through a buffer
    ConvCase(8, 12, 100, 99, 32, 1, 1),  # and as it is
    ConvCase(1, 320, 13, 13, 324, 3, 3, padding=(1, 1)),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", STATISTICS, ids=str)
def test_statistics_far_from_zero(isa, case, algorithm):
    """Mean 1000 and deviation 1: sums of squares would leave no digit; the first pixel lies apart."""
    x, w, b = operands(case)
    w /= np.sqrt(w[0].size)
    x[0, :, 0, 0] += 10
    found = with_statistics(case, x, w, b + 1000, algorithm)
    if found is not None:
        assert_statistics(found, 1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("case", STATISTICS, ids=str)
def test_statistics_of_constants_and_nan(isa, case, algorithm):
    x, w, b = operands(case)
    w[1], b[1] = 0.0, 0.1
    w[3, 0, 0, 0] = np.nan
    found = with_statistics(case, x, w, b, algorithm)
    if found is not None:
        out, mean, var, _, _ = found
        np.testing.assert_allclose(mean[1], 0.1, rtol=16 * EPS)
        assert var[1] <= (16 * EPS * 0.1) ** 2
        missing = np.flatnonzero(np.isnan(out).any((0, 2, 3)))
        assert 3 in missing
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(mean)), missing)
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(var)), missing)


@pytest.mark.parametrize("make", [
    lambda x: x[::-1], lambda x: x[:, :, ::-1], np.asfortranarray, lambda x: np.broadcast_to(x[:1], x.shape),
    lambda x: np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))[:, :, 1:-1, 1:-1],
])  # fmt: skip
def test_strides_do_not_matter(make):
    case = ConvCase(3, 6, 7, 8, 10, 3, 3, padding=(1, 1))
    x, w, b = operands(case)
    view = make(x)
    want = _core.conv2d_forward(np.ascontiguousarray(view), w, b, *geometry(case), "none", 0.0, "auto")
    np.testing.assert_array_equal(
        _core.conv2d_forward(view, w, b, *geometry(case), "none", 0.0, "auto"), want
    )


def test_read_only_input_is_not_written():
    case = ConvCase(2, 6, 7, 8, 10, 3, 3, padding=(1, 1))
    x, w, b = operands(case)
    before = x.copy()
    for a in (x, w, b):
        a.flags.writeable = False
    _core.conv2d_forward(x, w, b, *geometry(case), "relu", 0.0, "auto")
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("change, message", [
    (dict(x=(2, 3, 8, 8), w=(4, 5, 3, 3)), "x has 3 channels but weight expects 5; x is .2, 3, 8, 8.,"),
    (dict(x=(3, 8, 8), w=(4, 3, 3, 3)), "x has 3 dimensions, expected 4"),
    (dict(x=(2, 3, 2, 2), w=(4, 3, 3, 3)), "the kernel .dilated size 3. exceeds the padded input"),
    (dict(x=(2, 3, 8, 8), w=(4, 3, 3, 3), groups=2), "weight expects 6 in 2 groups"),
    (dict(x=(2, 4, 8, 8), w=(3, 2, 3, 3), groups=2), "groups=2 must be at least 1 and divide the 3 filters"),
    (dict(x=(2, 3, 8, 8), w=(4, 3, 3, 3), stride=(0, 1)), "stride and dilation must be at least 1"),
    (dict(x=(2, 3, 8, 8), w=(4, 3, 3, 3), algorithm="fastest"), 'algorithm "fastest" is none of auto'),
    (dict(x=(2, 4, 8, 8), w=(4, 4, 3, 3), algorithm="depthwise"), "cannot compute this shape"),
])  # fmt: skip
def test_refusals(change, message):
    x, w = np.zeros(change["x"], np.float32), np.zeros(change["w"], np.float32)
    with pytest.raises(ValueError, match=message):
        _core.conv2d_forward(
            x, w, None, change.get("stride", (1, 1)), (0, 0), (1, 1), change.get("groups", 1), "none", 0.0,
            change.get("algorithm", "auto"),
        )  # fmt: skip


# --- the choice ------------------------------------------------------------------------------------------


def chosen(case, pass_name):
    """The algorithm that "auto" takes for a pass."""
    x, w, b = operands(case)
    run = {
        "forward": lambda: _core.conv2d_forward(x, w, b, *geometry(case), "none", 0.0, "auto"),
        "data": lambda: _core.conv2d_backward_data(dout, w, x.shape, *geometry(case), "auto"),
        "weight": lambda: _core.conv2d_backward_weight(dout, x, w.shape, *geometry(case), True, "auto"),
    }
    dout = run["forward"]()
    with profile() as p:
        run[pass_name]()
    (record,) = p.records
    return record.algorithm


def conv(N, C, size, F, kernel, stride=1, groups=1):
    padding = kernel // 2
    return ConvCase(N, C, size, size, F, kernel, kernel, (stride, stride), (padding, padding), groups=groups)


@pytest.mark.parametrize("pass_name", ["forward", "data", "weight"])
@pytest.mark.parametrize("channels", [12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 160])
def test_plain_3x3_layers_go_to_winograd(isa, channels, pass_name):
    """Whatever the number of vectors that the outputs fill: less arithmetic beats any order of it."""
    assert chosen(conv(2, channels, 16, channels, 3), pass_name) == "winograd4"


@pytest.mark.parametrize(
    "case, forward, data, weight",
    [
        (conv(1, 3, 32, 64, 3), "strip", None, "strip"),  # a first layer, whose input needs no gradient
        (conv(1, 1, 28, 3, 5), "narrow", None, "narrow"),  # fewer outputs than lanes
        (conv(1, 64, 16, 64, 3, stride=2), "direct", "direct", "direct"),
        (conv(1, 64, 16, 64, 1), "im2col", "im2col", "direct"),
        (conv(1, 24, 16, 40, 1), "im2col", "im2col", "direct"),
        (conv(1, 64, 7, 64, 3, groups=64), "depthwise", "depthwise", "depthwise"),
        (conv(1, 32, 32, 32, 15), "fft", "fft", "fft"),
    ],
    ids=str,
)
def test_other_layers_go_to_the_algorithm_made_for_them(isa, case, forward, data, weight):
    for name, algorithm in (("forward", forward), ("data", data), ("weight", weight)):
        assert algorithm is None or chosen(case, name) == algorithm, name
