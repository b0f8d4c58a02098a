"""Preprocessing: against NumPy and scikit-learn, in streams, back again, saved, and refused."""

from __future__ import annotations

import numpy as np
import pytest

import pynet
from pynet.data import ArrayDataset, DataLoader, ImageDataset, Subset
from pynet.data.preprocess import (
    PCA,
    ChannelMean,
    ChannelStandardize,
    MeanImage,
    PCAWhiten,
    Preprocessor,
    Standardize,
    ZCAWhiten,
)

SCALING = (Standardize, MeanImage, ChannelMean, ChannelStandardize)
ROTATING = (PCA, PCAWhiten, ZCAWhiten)


def pixels(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def correlated(count=400, seed=0):
    """Images whose pixels depend on each other, as real ones do; far from zero."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(12, 12))
    return (100 + rng.normal(size=(count, 12)) @ mixing).reshape(count, 3, 2, 2)


def in_kernel_order(images):
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", SCALING)
@pytest.mark.parametrize(
    "convert", [lambda x: x, lambda x: x / 255, lambda x: (x / 255).astype(np.float32), in_kernel_order]
)
def test_scaling_against_numpy(kind, convert):
    images = pixels((700, 3, 4, 5)) // np.array([1, 2, 4], np.uint8).reshape(3, 1, 1)
    fitted = kind().fit(convert(images))
    values = images / 255
    axes = (0, 2, 3) if kind.per_channel else 0
    mean, std = values.mean(axis=axes, keepdims=True), values.std(axis=axes, keepdims=True)
    expected = (values - mean) / std if kind.divides else values - mean
    out = fitted(convert(images))
    assert out.dtype == np.float32 and np.allclose(out, expected, atol=2e-5)
    assert np.argsort(out.strides).tolist() == np.argsort(convert(images).strides).tolist()
    assert np.allclose(fitted.inverse(out), values, atol=1e-5)
    assert np.array_equal(fitted(convert(images)[7]), out[7]) and np.array_equal(
        fitted.transform(convert(images)[:2]), out[:2]
    )


def test_channels_do_not_ask_for_a_size():
    fitted = ChannelStandardize().fit(pixels((50, 3, 4, 4)))
    assert fitted(pixels((2, 3, 9, 7))).shape == (2, 3, 9, 7)
    with pytest.raises(ValueError, match=r"fitted on images with 3 channels, .* got shape \(2, 1, 4, 4\)"):
        fitted(pixels((2, 1, 4, 4)))


def test_standardize_is_scikit_learns_scaler():
    scaler = pytest.importorskip(
        "sklearn.preprocessing", reason="scikit-learn is not installed"
    ).StandardScaler()
    table = correlated().reshape(-1, 12)
    table[:, 3] = 5.0  # never varies
    fitted = Standardize().fit(table)
    expected = scaler.fit_transform(table)
    assert np.allclose(fitted.mean, scaler.mean_, rtol=1e-12) and np.allclose(
        fitted.std, scaler.scale_, rtol=1e-10
    )
    assert np.allclose(fitted(table), expected, atol=1e-4)


@pytest.mark.parametrize("components", [None, 5, 0.9])
@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_scikit_learns(components, whiten):
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is not installed")
    images = correlated()
    rows = images.reshape(-1, 12)
    theirs = decomposition.PCA(components, whiten=whiten, svd_solver="full").fit(rows)
    ours = PCAWhiten(components, eps=0.0) if whiten else PCA(components)
    ours.fit(images)
    assert ours.components.shape == theirs.components_.shape
    assert np.allclose(ours.components, theirs.components_, atol=1e-9)
    assert np.allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-9)
    assert np.allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-9)
    expected = theirs.transform(rows)
    assert np.allclose(ours(images), expected, atol=1e-4 * np.abs(expected).max())
    assert np.allclose(
        ours.inverse(ours(images)).reshape(-1, 12), theirs.inverse_transform(expected), atol=1e-2
    )


@pytest.mark.parametrize("kind", [PCAWhiten, ZCAWhiten])
def test_white_is_uncorrelated_with_variance_one(kind):
    images = correlated(2000)
    out = kind(eps=0.0).fit(images)(images)
    assert np.allclose(np.cov(out.reshape(2000, -1).T), np.eye(12), atol=2e-3)


def test_zca_stays_near_the_image():
    images = correlated(2000)
    fitted = ZCAWhiten(eps=0.0).fit(images)
    rows = images.reshape(2000, -1) - images.reshape(2000, -1).mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    expected = rows @ (vectors / np.sqrt(values)) @ vectors.T
    assert np.allclose(fitted(images).reshape(2000, -1), expected, atol=1e-3)
    assert fitted(images[3]).shape == (3, 2, 2) and np.allclose(
        fitted.inverse(fitted(images)), images, rtol=1e-3
    )


def test_directions_without_variance_stay_zero():
    images = correlated(300)
    images[:, 2] = images[:, 0]
    for kind in (PCAWhiten, ZCAWhiten):
        out = kind(eps=0.0).fit(images)(images)
        assert np.isfinite(out).all() and np.abs(out).max() < 20


@pytest.mark.parametrize("kind", (*SCALING, *ROTATING))
def test_a_stream_gives_what_the_whole_gives(kind):
    images = pixels((1100, 3, 4, 4))
    whole = kind().fit(images)
    loader = DataLoader(ArrayDataset(images, np.zeros(1100, int)), batch_size=37)
    by_hand = kind()
    for part in np.split(images, [1, 500]):
        by_hand.partial_fit(part)
    for other in (kind().fit(loader), by_hand, kind().fit(pynet.tensor((images / 255).astype(np.float32)))):
        assert np.allclose(other(images[:9]), whole(images[:9]), atol=2e-3 if kind in ROTATING else 1e-4)


def test_data_sets_are_read_before_their_transform():
    images = pixels((20, 2, 3, 3))
    dataset = ImageDataset(images, np.zeros(20, int), ["a"]).with_transform(lambda image: 1 / 0)
    assert np.array_equal(ChannelMean().fit(dataset).mean, ChannelMean().fit(images).mean)
    part = Subset(Subset(dataset, range(5, 20)), [0, 3])
    assert np.array_equal(ChannelMean().fit(part).mean, ChannelMean().fit(images[[5, 8]]).mean)


def test_a_second_fit_forgets_the_first():
    fitted = PCA(2).fit(pixels((50, 1, 3, 3)))
    fitted.fit(pixels((60, 3, 2, 2)))
    assert fitted.samples == 60 and fitted.shape == (3, 2, 2) and fitted.components.shape == (2, 12)


@pytest.mark.parametrize("kind", (*SCALING, *ROTATING))
def test_the_state_brings_everything_back(kind):
    images = pixels((50, 3, 4, 4))
    fitted = kind().fit(images)
    restored = Preprocessor.from_state_dict(fitted.state_dict())
    assert type(restored) is kind and np.array_equal(restored(images), fitted(images))
    assert restored.samples == 50 and repr(restored) == repr(fitted)
    if kind in SCALING:  # and learns on
        more = pixels((30, 3, 4, 4), seed=1)
        assert np.allclose(restored.partial_fit(more).std, fitted.partial_fit(more).std, rtol=1e-9)
    else:
        with pytest.raises(RuntimeError, match="what was loaded cannot learn on"):
            restored.partial_fit(images)


def test_a_constant_channel_is_only_centred():
    out = ChannelStandardize().fit(np.full((4, 1, 2, 2), 51, np.uint8))(np.full((1, 2, 2), 102, np.uint8))
    assert np.allclose(out, 0.2, atol=1e-6)


def test_large_means_lose_no_digits():
    rng = np.random.default_rng(0)
    table = 1e6 + rng.normal(size=(5000, 2))
    assert np.allclose(Standardize().fit(table).std, table.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("kind", (*SCALING, *ROTATING))
def test_what_is_refused(kind):
    with pytest.raises(RuntimeError, match=r"call fit\(images\) first"):
        kind()(pixels((1, 2, 2)))
    with pytest.raises(ValueError, match="there are no samples"):
        kind().fit(np.zeros((0, 1, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="not finite"):
        kind().fit(np.full((2, 1, 2, 2), np.nan))
    with pytest.raises(ValueError, match=r"got shape \(2, 2, 2\)"):
        kind().fit(pixels((2, 2, 2)))
    with pytest.raises(TypeError, match="uint8 or float, got dtype int64"):
        kind().fit(np.zeros((2, 1, 2, 2), np.int64))
    with pytest.raises(
        TypeError, match="an array, a data set or an iterable of batches is expected, got int"
    ):
        kind().fit(3)
    fitted = kind().fit(pixels((9, 1, 2, 2)))
    before = fitted(pixels((1, 2, 2)))
    with pytest.raises(ValueError, match=r"samples of shape \(1, 3, 2\) after samples of shape \(1, 2, 2\)"):
        fitted.partial_fit(pixels((4, 1, 3, 2)))
    assert np.array_equal(fitted(pixels((1, 2, 2))), before)
    state = fitted.state_dict()
    for broken in ({**state, "mean": np.zeros(7)}, {key: state[key] for key in ("type", "samples", "shape")}):
        with pytest.raises(ValueError, match=f"the state of a {kind.__name__} is damaged"):
            Preprocessor.from_state_dict(broken)
    with pytest.raises(ValueError, match="no preprocessing is called 'Other'; there are PCA, "):
        Preprocessor.from_state_dict({**state, "type": "Other"})


@pytest.mark.parametrize("components", [0, -1, 1.0, 0.0, True, "all"])
def test_components_that_make_no_sense(components):
    with pytest.raises(ValueError, match=r"n_components must be a positive int, a share of the variance"):
        PCA(components)
    with pytest.raises(ValueError, match="eps must be finite and not negative, not -1"):
        PCAWhiten(eps=-1)


def test_more_components_than_there_are():
    with pytest.raises(ValueError, match="n_components 9 is more than 5 samples of 12 features allow, 5"):
        PCA(9).fit(correlated(5))(correlated(5))
    with pytest.raises(ValueError, match="one sample has no variance"):
        PCA().fit(correlated(1)).components  # noqa: B018
