"""Where the tests of the tape begin."""

import numpy as np

import pynet


def leaf(*shape, seed=0):
    """A float64 Tensor that requires a gradient."""
    return pynet.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)
