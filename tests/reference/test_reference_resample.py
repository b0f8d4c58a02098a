"""Separable maps against products of dense matrices."""

from __future__ import annotations

import numpy as np

from pynet import reference


def test_resample_is_two_matrix_products():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5))
    matrices, taps = [], []
    for size, outputs in ((4, 6), (5, 3)):
        dense = rng.standard_normal((outputs, size)) * (rng.random((outputs, size)) < 0.5)
        dense[0] = 0  # a row without entries
        rows, columns = np.nonzero(dense)
        starts = np.searchsorted(rows, np.arange(outputs + 1))
        matrices.append(dense)
        taps.append((starts, columns, dense[rows, columns]))
    want = np.einsum("ih,nchw,jw->ncij", matrices[0], x, matrices[1])
    np.testing.assert_allclose(reference.resample(x, *taps), want, rtol=0, atol=1e-12)
