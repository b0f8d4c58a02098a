"""Clipping of gradients, and parameters as one vector."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pynet import nn
from pynet.autograd import Tensor
from pynet.nn import utils


def parameters():
    rng = np.random.default_rng(0)
    found = [nn.Parameter(rng.normal(size=shape)) for shape in ((3, 4), (5,), (2, 3, 2, 2), (7,))]
    for parameter in found[:3]:
        parameter.grad = Tensor(rng.normal(size=parameter.shape))
    return found


def flat(found):
    return np.concatenate([p.grad.array.ravel() for p in found if p.grad is not None])


@pytest.mark.parametrize("order", [1, 2, 3.5, math.inf])
def test_norm_is_returned_and_bounded(order):
    found = parameters()
    before = flat(found)
    norm = np.linalg.norm(before, order)
    result = utils.clip_grad_norm_(iter(found), 0.5, norm_type=order)
    assert result.shape == ()
    np.testing.assert_allclose(result.item(), norm)
    np.testing.assert_allclose(flat(found), before * 0.5 / (norm + 1e-6))


def test_small_gradients_are_left_alone():
    found = parameters()
    before, arrays = flat(found), [p.grad.array for p in found[:3]]
    utils.clip_grad_norm_(found, 1e3)
    np.testing.assert_array_equal(flat(found), before)
    assert all(p.grad.array is a for p, a in zip(found, arrays, strict=False))


def test_one_parameter_and_none():
    found = parameters()
    np.testing.assert_allclose(
        utils.clip_grad_norm_(found[1], 10.0).item(), np.linalg.norm(found[1].grad.array)
    )
    assert utils.clip_grad_norm_(found[3], 1.0).item() == 0
    assert utils.clip_grad_norm_([], 1.0).item() == 0


def test_norms_that_are_not_finite():
    found = parameters()
    found[0].grad.array[0, 0] = np.nan
    before = flat(found)
    with pytest.raises(RuntimeError, match=r"norm of order 2.0 is nan; nothing was scaled"):
        utils.clip_grad_norm_(found, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(flat(found), before)
    assert math.isnan(utils.clip_grad_norm_(found, 1.0).item())
    assert np.isnan(flat(found)).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="max_norm must not be negative, got -1"):
        utils.clip_grad_norm_(parameters(), -1)
    with pytest.raises(ValueError, match="norm_type must be positive, got 0"):
        utils.clip_grad_norm_(parameters(), 1, norm_type=0)
    with pytest.raises(ValueError, match="clip_value must not be negative, got nan"):
        utils.clip_grad_value_(parameters(), float("nan"))


def test_values_are_clipped_in_place():
    found = parameters()
    before, array = flat(found), found[0].grad.array
    utils.clip_grad_value_(found, 0.3)
    assert found[0].grad.array is array
    np.testing.assert_array_equal(flat(found), np.clip(before, -0.3, 0.3))


def test_vector_round_trip():
    found = parameters()
    vector = utils.parameters_to_vector(found)
    expected = np.concatenate([p.array.reshape(-1) for p in found])
    np.testing.assert_array_equal(vector.array, expected)
    arrays = [p.array for p in found]
    utils.vector_to_parameters(Tensor(2 * expected), found)
    assert all(p.array is a for p, a in zip(found, arrays, strict=True))
    np.testing.assert_array_equal(utils.parameters_to_vector(found).array, 2 * expected)


def test_gradients_lead_through_the_vector():
    found = parameters()
    weights = np.arange(48.0)
    utils.parameters_to_vector(found[:1] + found[2:3]).backward(Tensor(weights[:36]))
    np.testing.assert_allclose(
        found[0].grad.array - parameters()[0].grad.array, weights[:12].reshape(3, 4), atol=1e-12
    )


def test_bad_vectors():
    found = parameters()
    with pytest.raises(ValueError, match=r"vec has shape \(3,\), the parameters have 48 elements"):
        utils.vector_to_parameters(Tensor(np.zeros(3)), found)
    with pytest.raises(TypeError, match="vec must be a Tensor, got ndarray"):
        utils.vector_to_parameters(np.zeros(48), found)
    with pytest.raises(ValueError, match="there are no parameters"):
        utils.parameters_to_vector([])
