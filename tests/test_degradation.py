"""Digits on photographs, blur and noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmkdlearn.datasets import make_mnistm
from cmkdlearn.preprocessing import AddNoise, Blur

X = load_digits().images[:20] / 16
rng = np.random.default_rng(0)
PHOTO = rng.random((30, 40))


def is_patch(patch, photograph):
    windows = np.lib.stride_tricks.sliding_window_view(photograph, patch.shape)
    return np.isclose(windows, patch, atol=1e-6).all(axis=(2, 3)).any()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_the_blend(gamma):
    blend = make_mnistm(X, [PHOTO], gamma=gamma, random_state=0)
    assert blend.dtype == X.dtype
    if gamma == 1:
        np.testing.assert_array_equal(blend, X)
        return
    patches = (blend - gamma * X) / (1 - gamma)
    assert all(is_patch(patch, PHOTO) for patch in patches)
    assert len(np.unique(patches.reshape(20, -1), axis=0)) > 10  # each its own


def test_bytes_and_colours():
    bytes_ = (255 * X).astype(np.uint8)
    colour = rng.integers(256, size=(10, 12, 3)).astype(np.uint8)
    blend = make_mnistm(bytes_, [colour], gamma=0.4, random_state=1)
    assert blend.dtype == np.uint8
    grey = (colour / 255) @ [0.299, 0.587, 0.114]
    same = make_mnistm(bytes_ / 255, [grey], gamma=0.4, random_state=1)
    np.testing.assert_allclose(blend, 255 * same, atol=0.501)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_digits_may_be_binarised_first(dtype):
    """By hand: of 0.2, 0.5 and 0.6 only the last is white; 0.25 of it and 0.75 of a grey of 0.4."""
    unit = 255 if dtype == np.uint8 else 1
    digit = np.array([[[0.2, 0.5 - 1 / 255, 0.6]]]) * unit
    photograph = np.full((3, 3, 3), round(0.4 * unit, 2), dtype)
    blend = make_mnistm(digit.astype(dtype), [photograph], gamma=0.25, threshold=0.5, rgb=True, random_state=0)
    assert blend.shape == (1, 1, 3, 3) and blend.dtype == dtype
    for channel in np.moveaxis(blend / unit, 3, 0):
        np.testing.assert_allclose(channel, [[[0.3, 0.3, 0.55]]], atol=0.51 / unit if unit > 1 else 1e-6)


def test_what_is_as_bright_as_the_threshold_is_black():
    grey = np.full((1, 1, 1), 0.5)
    assert make_mnistm(grey, [PHOTO], gamma=1, threshold=0.5) == 0
    assert make_mnistm(grey, [PHOTO], gamma=1, threshold=0.49) == 1


def test_scikit_learns_photographs_are_the_default():
    blend = make_mnistm(np.zeros((50, 28, 28), np.uint8), gamma=0, random_state=0)
    assert blend.shape == (50, 28, 28) and blend.std() > 20
    np.testing.assert_array_equal(blend, make_mnistm(np.zeros((50, 28, 28), np.uint8), gamma=0,
                                                     random_state=0))


@pytest.mark.parametrize(("args", "params", "message"), [
    ((X, [PHOTO]), {"gamma": 1.1}, "gamma=1.1"),
    ((X, [PHOTO]), {"threshold": 127}, "threshold=127"),
    ((16 * X, [PHOTO]), {}, "X must hold bytes, or"),
    ((X.reshape(20, -1), [PHOTO]), {}, "grey images"),
    ((X, [PHOTO[:5]]), {}, "smaller than the"),
    ((X, [PHOTO, PHOTO[0]]), {}, r"backgrounds\[1\] must have shape"),
    ((X, []), {}, "is empty"),
])
def test_mnistm_refuses(args, params, message):
    with pytest.raises(ValueError, match=message):
        make_mnistm(*args, **params)


def test_blur_in_every_layout():
    expected = np.stack([gaussian_filter(image, 1.5, mode="nearest") for image in X])
    np.testing.assert_allclose(Blur(1.5).fit_transform(X), expected, atol=1e-6)
    colour = np.stack([X, X / 2, X / 4], axis=-1)
    blurred = Blur(1.5).fit_transform(colour)
    np.testing.assert_allclose(blurred[..., 1], expected / 2, atol=1e-6)
    first = Blur(1.5).fit_transform(np.moveaxis(colour, -1, 1))
    np.testing.assert_allclose(np.moveaxis(first, 1, -1), blurred, atol=1e-6)
    bytes_ = (255 * X).astype(np.uint8)
    np.testing.assert_allclose(Blur(1.5).fit_transform(bytes_), 255 * expected, atol=1)
    assert Blur(1.5).fit_transform(bytes_).dtype == np.uint8
    np.testing.assert_array_equal(Blur(0).fit_transform(X), X.astype(np.float32))


def test_blur_refuses():
    with pytest.raises(ValueError, match="sigma=-1"):
        Blur(-1).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        Blur().fit(X * np.nan)


def test_noise():
    noisy = AddNoise(0.5, random_state=0).fit(X)
    added = noisy.transform(X) - X
    assert added.std() == pytest.approx(0.5 * X.std(), rel=0.05)
    np.testing.assert_array_equal(noisy.transform(X), noisy.transform(X))
    bytes_ = (255 * X).astype(np.uint8)
    out = clone(noisy).fit_transform(bytes_)
    assert out.dtype == np.uint8 and (out == 0).any() and (out == 255).any()
    np.testing.assert_array_equal(AddNoise(0).fit_transform(X), X)
    with pytest.raises(ValueError, match="scale=-1"):
        AddNoise(-1).fit(X)


BY_POSITION = dict.fromkeys(["check_methods_sample_order_invariance", "check_methods_subset_invariance"],
                            "noise goes by a sample's position, and not by what it is")


@parametrize_with_checks([AddNoise(random_state=0)], expected_failed_checks=lambda _: BY_POSITION)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
