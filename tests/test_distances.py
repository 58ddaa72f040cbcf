"""Distances of near samples, and their slopes, against differences in extended precision."""

import numpy as np
import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck

from cmkdlearn import _distances
from cmkdlearn._distances import angular, l1, l2

METRICS = [l1, l2, angular]
D = 20
Long = np.longdouble


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def reference(metric, x, y):
    """Value and slope (in x) of one distance, of differences: nothing large is subtracted."""
    x, y = x.detach().numpy().astype(Long), y.numpy().astype(Long)
    d = x - y
    if metric is l1:
        return np.abs(d).sum(), np.sign(d)
    if metric is l2:
        value = np.sqrt(d @ d)
        return value, d / value if value else d
    # |x| |y| sin is the length of all x_i y_j - x_j y_i; the slope is across x, and 1 / |x| long
    wedge = np.outer(d, x) - np.outer(x, d)
    value = np.arctan2(np.sqrt((wedge**2).sum() / 2), x @ y)
    across = d - x * (x @ d / (x @ x))
    length = np.sqrt(across @ across)
    return value / Long(np.pi), across / (length * np.sqrt(x @ x) * Long(np.pi)) if length else d


def tolerance(dtype):
    """How far rounding may take a value or a slope, relatively.

    A sum of D products is wrong by D/2 eps of what it adds, by absolute values. Of that, a share
    of eps**(1/4) is left at least where the product is made use of, and slopes divide by it again
    where values have taken its root.
    """
    return 2 * (D + 4) * torch.finfo(dtype).eps ** 0.75


@pytest.mark.parametrize("gap", [1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12])
@pytest.mark.parametrize("offset", [0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_values_and_slopes_of_near_samples(metric, dtype, offset, gap):
    x = draw(6, D) + offset
    y = (x[[0, 1, 2, 3, 4, 5, 0, 1]] + gap * draw(8, D, seed=1)).to(dtype)
    x = x.to(dtype).requires_grad_()
    values = metric(x, y)
    assert values.dtype == dtype
    for i, j in np.ndindex(values.shape):
        value, slope = reference(metric, x[i], y[j])
        (gradient,) = grad(values[i, j], x, retain_graph=True)
        assert abs(values[i, j].item() - value) <= tolerance(dtype) * value
        assert np.abs(gradient[i].numpy() - slope).max() <= tolerance(dtype) * np.abs(slope).max()
        assert gradient.count_nonzero() == gradient[i].count_nonzero()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_tight_clusters(metric, dtype):
    """More near pairs than can be looked at one by one, in single precision."""
    x = (draw(3, D).repeat(8, 1) + 1e-3 * draw(24, D, seed=1)).to(dtype).requires_grad_()
    y = (x.detach().double() + 1e-3 * draw(24, D, seed=2)).to(dtype)
    weights = draw(24, 24, seed=3).numpy()
    values = metric(x, y)
    (gradient,) = grad((values * torch.tensor(weights, dtype=dtype)).sum(), x)
    expected = np.zeros((24, D), dtype=Long)
    for i, j in np.ndindex(24, 24):
        value, slope = reference(metric, x[i], y[j])
        assert abs(values[i, j].item() - value) <= tolerance(dtype) * value
        expected[i] += weights[i, j] * slope
    # of a sum of slopes, relative to that of their sizes
    sizes = np.abs(weights).sum(1).max() * np.abs(slope).max()
    assert np.abs(gradient.numpy() - expected).max() <= tolerance(dtype) * sizes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_coinciding_samples(metric, dtype):
    """Distance and slopes of first and second order are 0; those to others are as without."""
    x = draw(7, D).to(dtype)
    x[4:] = x[0]
    x.requires_grad_()
    values = metric(x, x)
    same = torch.zeros(7, 7, dtype=torch.bool)
    same[:, :] = torch.eye(7)
    same[np.ix_([0, 4, 5, 6], [0, 4, 5, 6])] = True
    assert values.dtype == dtype and not values[same].any() and values[~same].all()
    (gradient,) = grad(values[same].sum(), x, retain_graph=True, create_graph=True)
    assert not gradient.any()
    if dtype.itemsize >= 4:
        try:
            (second,) = grad(gradient.square().sum() + values.square().sum(), x)
        except NotImplementedError:  # of l1, in PyTorch 2.5
            pytest.skip("This PyTorch has no second derivative of cdist.")
        assert second.isfinite().all()


@pytest.mark.parametrize("metric", METRICS)
def test_constant_features(metric):
    x = torch.full((9, 4), 0.1, requires_grad=True)
    values = metric(x, x)
    (gradient,) = grad(values.sum(), x)
    assert not values.any() and not gradient.any()


@pytest.mark.parametrize("n, m, d", [(3, 2, 0), (0, 2, 4), (3, 0, 4)])
@pytest.mark.parametrize("metric", METRICS)
def test_nothing_to_compare(metric, n, m, d):
    values = metric(torch.zeros(n, d), torch.zeros(m, d))
    assert values.shape == (n, m) and (values == (0.5 if metric is angular else 0)).all()


@pytest.mark.parametrize("metric", [l2, angular])
def test_slopes_of_slopes(metric):
    """By finite differences, among them those of pairs that are near for their distance from others."""
    x = 1e3 * draw(3, 4)
    y = (x + draw(3, 4, seed=1)).requires_grad_()
    x.requires_grad_()
    unit = metric(x, y).diagonal().mean().item()  # of the near ones
    for check in (gradcheck, gradgradcheck):
        assert check(lambda x, y: metric(x, y) / unit, (x, y), eps=1e-4, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_batches_and_chunks(metric, monkeypatch):
    x = draw(2, 3, 5, D)
    y = torch.cat([x + 1e-6 * draw(2, 3, 5, D, seed=1), draw(2, 3, 2, D, seed=2)], dim=-2)
    x.requires_grad_()
    values = metric(x, y)
    alone = torch.stack([metric(a, b) for a, b in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True)])
    torch.testing.assert_close(values.flatten(0, 1), alone, rtol=1e-14, atol=0)
    (gradient,) = grad(values.sum(), x)
    torch.testing.assert_close(gradient, grad(alone.sum(), x)[0], rtol=1e-11, atol=0)
    monkeypatch.setattr(_distances, "CHUNK", 4 * D)
    torch.testing.assert_close(grad(metric(x, y).sum(), x)[0], gradient, rtol=1e-13, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions(dtype):
    x = torch.tensor([[3.0, 4.0], [-6.0, -8.0], [0.0, 0.0], [4.0, -3.0]], dtype=dtype)
    x.requires_grad_()
    values = angular(x, x)
    expected = torch.tensor([[0, 1, 0.5, 0.5], [1, 0, 0.5, 0.5], [0.5] * 4, [0.5, 0.5, 0.5, 0]],
                            dtype=dtype)
    torch.testing.assert_close(values, expected, rtol=4 * torch.finfo(dtype).eps, atol=0)
    (gradient,) = grad(values[:3, :3].sum(), x)  # one line, and a vector without a direction
    assert not gradient.any()


def test_nothing_is_too_small():
    """Differences whose squares are 0 in single precision."""
    x = (1e-25 * draw(8, D)).float().requires_grad_()
    y = (1e-25 * draw(8, D, seed=1)).float()
    values = l2(x, y)
    (gradient,) = grad(values.sum(), x)
    wanted = l2(x.detach().double(), y.double())
    torch.testing.assert_close(values.double(), wanted, rtol=1e-6, atol=0)
    differences = x.detach().double()[:, None] - y.double()
    torch.testing.assert_close(gradient.double(), (differences / wanted[..., None]).sum(1),
                               rtol=1e-5, atol=1e-6)
