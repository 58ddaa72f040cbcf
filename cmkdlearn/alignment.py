"""Aligning a student with a teacher whose samples belong to none of its own (Tran et al.).

Features are aligned by entropic optimal transport (FA), predictions by the teacher's head applied
to the student's features (LA).

The iterations are ours and not POT's, which takes about as long or longer to an equal error,
whatever the size and epsilon (``docs/performance.rst``). A batch does not begin from the last one's
potentials, which belong to other samples: by default one or two iterations are enough, and there
is nothing to save.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from cmkdlearn._distances import angular, l1, l2
from cmkdlearn._validation import check_number, check_option

__all__ = ["Transport", "feature_alignment", "label_alignment", "sinkhorn"]

METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l2": l2, "l1": l1, "angular": angular}
"""Costs by name: functions of (n, d) and (m, d) features, or batches of them, to (n, m) costs."""

LOOKS = (1, 2, 4, 7, 10)  # the iterations on a kernel after which the error is looked at
FINE = 1e4  # costs of so many epsilons leave single precision too few digits for the potentials
COARSE = 20  # the spread of the costs over the epsilon that is begun with
STEEP = 1e15  # scalings beyond hide what is too small for the kernel's numbers


class Transport(NamedTuple):
    r"""The solution of an entropic optimal transport problem.

    Attributes
    ----------
    plan : Tensor of shape (..., n, m)
        :math:`P`, without gradient.
    cost : Tensor of shape (...)
        :math:`\langle P, C \rangle`. Its gradient with respect to the costs is :math:`P`: by the
        envelope theorem that of ``objective``, with nothing unrolled.
    objective : Tensor of shape (...)
        :math:`\langle P, C \rangle + \varepsilon\,\mathrm{KL}(P \,\|\, a b^\top)`, with the same
        gradient.
    potential : Tensor of shape (..., m)
        The dual variable of the second side, to start a similar problem from.
    n_iter : int
        Iterations that were made.
    error : Tensor of shape (...)
        By how much the plan misses the first side's weights, as a share of all mass.
    """

    plan: Tensor
    cost: Tensor
    objective: Tensor
    potential: Tensor
    n_iter: int
    error: Tensor


def sinkhorn(cost, a=None, b=None, *, reg="auto", max_iter=1000, tol=1e-3, potential=None):
    r"""Entropic optimal transport, in the log domain.

    .. math:: \min_P \langle P, C \rangle + \varepsilon\,\mathrm{KL}(P \,\|\, a b^\top)
              \quad\text{with}\quad P 1 = a,\; P^\top 1 = b

    This is the distance of [1]_. Kernels are formed around the current potentials [2]_, so that no
    cost and no :math:`\varepsilon` makes them vanish, and between two of them an iteration is two
    products of a matrix and a vector.

    Parameters
    ----------
    cost : Tensor of shape (..., n, m)
        :math:`C`: one problem, or a batch of them.
    a, b : Tensor of shape (..., n) and (..., m), optional
        Weights of the two sides, above 0; by default all alike. They are made to sum to one.
    reg : float or "auto", default="auto"
        :math:`\varepsilon > 0`; "auto" is a tenth of the mean cost.
    max_iter : int, default=1000
    tol : float, default=1e-3
        Stop when ``error`` is below; looked at after 1, 2, 4, 7 and 10 iterations, and so on.
    potential : Tensor of shape (..., m), optional
        Where to start: the ``potential`` of a similar problem.

    Returns
    -------
    Transport

    Raises
    ------
    ValueError
        On costs that are NaN, infinite or empty, weights that are not above 0 or do not fit, and
        parameters out of range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` came before ``tol``.

    References
    ----------
    .. [1] Cuturi. "Sinkhorn Distances: Lightspeed Computation of Optimal Transport", 2013.
    .. [2] Schmitzer. "Stabilized Sparse Scaling Algorithms for Entropy Regularized Transport
       Problems", 2019.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.alignment import sinkhorn
    >>> transport = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), reg=0.1)
    >>> transport.plan.numpy().round(3)
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """
    check_number("max_iter", max_iter, low=1, integer=True)
    check_number("tol", tol, low=0)
    C = cost.detach()
    if not C.dtype.is_floating_point or C.ndim < 2 or not C.numel():
        raise ValueError(f"cost must be a floating-point matrix with samples on both sides; got "
                         f"{tuple(C.shape)} of {C.dtype}.")
    largest, spread = _extent(C)
    if not largest.isfinite().all():
        raise ValueError("cost holds NaN or infinite values. Look at the features and their "
                         "metric.")
    a, b = _weights("a", a, C[..., 0]), _weights("b", b, C[..., 0, :])
    plan, eps, g, n_iter, error = _plan(C, largest, spread, a, b, reg, max_iter, tol,
                                          potential)
    linear = (plan.to(cost.dtype) * cost).sum(dim=(-2, -1))  # sum of pi_ij delta_ij, eq. 12
    independent = (a[..., :, None] * b[..., None, :]).to(plan)
    divergence = (eps * torch.special.xlogy(plan, plan / independent)).sum(dim=(-2, -1))
    return Transport(plan.to(cost.dtype), linear, linear + divergence.to(cost.dtype),
                     g[..., 0, :].to(cost.dtype), n_iter, error)


def _extent(C):
    """Return the size of each problem's largest cost, NaN where there is one, and their spread."""
    low, high = C.amin(dim=(-2, -1), keepdim=True), C.amax(dim=(-2, -1), keepdim=True)
    return torch.maximum(high, -low), high - low  # (..., 1, 1)


@torch.no_grad()
def _plan(C, largest, spread, a, b, reg, max_iter, tol, potential=None):
    """Return pi* of equation 13, in the precision that it takes, with what it was found by."""
    if reg == "auto":
        eps = 0.1 * C.mean(dim=(-2, -1), keepdim=True).clamp_min(torch.finfo(C.dtype).tiny)
    else:
        eps = torch.full_like(C[..., :1, :1],
                              check_number("reg", reg, low=0, open_low=True))
    if C.element_size() < 4:
        C, eps = C.float(), eps.float()
    finest, widest = _numbers((torch.stack([largest, spread]) / eps).flatten(1).amax(1))
    if C.element_size() < 8 and finest > FINE:
        C, eps = C.double(), eps.double()
    if potential is None:  # a small eps is come down to, or the way would be long
        above = max(1.0, widest / COARSE)
        start = torch.maximum(eps, spread.to(eps) / COARSE)
        g = torch.zeros_like(C[..., :1, :])
    else:
        above, start, g = 1.0, eps, potential[..., None, :].to(C)
    plan, g, n_iter, error, worst = _solve(C, a.to(C)[..., :, None], b.to(C)[..., None, :], g,
                                           start, eps, above, max_iter, tol)
    if not worst <= tol:
        warnings.warn(f"Sinkhorn stopped after max_iter={max_iter} iterations with an error of "
                      f"{worst:.1e}, above tol={tol:g}. Raise max_iter or reg.",
                      ConvergenceWarning, stacklevel=4)
    return plan, eps, g, n_iter, error


def _solve(C, a, b, g, eps, target, above, max_iter, tol):
    """Sinkhorn's iterations; a is (..., n, 1), b and the potential g of its side (..., 1, m).

    The scalings u and v multiply the kernel of g, and are absorbed into it after some iterations.
    ``above`` is how many times epsilon is above its target, where that is most. Numbers are read
    once a look, since a GPU has to be waited for.
    """
    n_iter = 0
    while True:
        # an iteration that leaves no row and no column without mass
        exponent = b.log() + (g - C) / eps
        K = a * exponent.softmax(dim=-1)
        u, v = torch.ones_like(a), b / K.sum(dim=-2, keepdim=True)
        rows = K @ v.mT
        error, worst, steepest = _look(u, v, rows, a)
        if not steepest < STEEP:  # then on the potentials themselves
            f = -eps * exponent.logsumexp(dim=-1, keepdim=True)
            g = -eps * torch.logsumexp(a.log() + (f - C) / eps, dim=-2, keepdim=True)
            K, v = a * b * torch.exp((f + g - C) / eps), torch.ones_like(b)
            rows = K @ v.mT
            error, worst, steepest = _look(u, v, rows, a)
        first, done, limit = (u, v, error, worst), 1, min(LOOKS[-1], max_iter - n_iter)
        while done < limit and not worst <= tol:
            done += 1
            u = a / rows
            v = b / (u.mT @ K)
            rows = K @ v.mT
            if done in LOOKS or done == limit:
                error, worst, steepest = _look(u, v, rows, a)
        n_iter += done
        if not math.isfinite(steepest):
            u, v, error, worst = first
        g = g + eps * v.log()
        found = steepest < STEEP and above <= 1 and worst <= tol
        if found or n_iter == max_iter:
            return u * K * v, g, n_iter, error, worst
        eps, above = torch.maximum(target, eps / 4), above / 4


def _look(u, v, rows, a):
    """Return the error of each problem, the worst of them, and how far the scalings have gone."""
    error = torch.linalg.vector_norm(u * rows - a, ord=1, dim=(-2, -1))
    worst, of_u, of_v = _numbers(torch.stack([error.max(), u.max(), v.max()]))
    return error, worst, of_u + of_v


def _numbers(tensor):
    """Return what a GPU has to be waited for once."""
    try:
        return tensor.tolist()
    except RuntimeError:  # torch 2.5 makes no list of what torch.func has wrapped
        return [number.item() for number in tensor]


def _weights(name, weights, like):
    if weights is None:
        return torch.full_like(like, 1 / like.shape[-1])
    weights = torch.as_tensor(weights, device=like.device, dtype=like.dtype)
    if weights.shape[-1:] != like.shape[-1:] or not (weights > 0).all() \
            or not weights.isfinite().all():
        raise ValueError(f"{name} must hold {like.shape[-1]} finite weights above 0; got shape "
                         f"{tuple(weights.shape)} and a least weight of {weights.min():g}.")
    return (weights / weights.sum(-1, keepdim=True)).expand_as(like)


def feature_alignment(z_S, z_T, *, y_S=None, y_T=None, metric="l2", label_cost=0.0, reg="auto",
                      unbiased=False, max_iter=200, tol=1e-2):
    r"""FA: the transport cost between the student's features and the teacher's.

    .. math:: \ell_{FA} = \sum_{ij} \pi^*_{ij}\, \delta(z^S_i, z^T_j)

    (equations 12 and 14 of [1]_) for the plan :math:`\pi^*` of entropic transport (equation 13).
    An estimate from above of the Wasserstein-1 distance, since the plan of entropic transport is
    one of the plans among which that distance takes the best.

    Parameters
    ----------
    z_S : Tensor of shape (n, d)
        The student's features.
    z_T : Tensor of shape (m, d)
        The teacher's.
    y_S, y_T : Tensor of shape (n,) and (m,), optional
        Labels in one coding, -1 where there is none; needed where ``label_cost`` is above 0.
    metric : {"l2", "l1", "angular"} or callable, default="l2"
        Euclidean distance (not squared), sum of absolute differences, angle over
        :math:`\pi`, or a function of both features to (n, m) costs.
    label_cost : float, default=0.0
        Adds ``label_cost`` times the mean cost where labels disagree, as in JDOT [2]_: mass then
        moves within a class. A sample without a label disagrees with none.
    reg : float or "auto", default="auto"
        Entropic regularisation, see :func:`sinkhorn`.
    unbiased : bool, default=False
        The Sinkhorn divergence [3]_ instead, which is 0 between equal sets:
        :math:`\mathrm{OT}(S, T) - \mathrm{OT}(S, S)/2 - \mathrm{OT}(T, T)/2`.
    max_iter : int, default=200
    tol : float, default=1e-2
        Of :func:`sinkhorn`; a step of descent needs no exacter plan.

    Returns
    -------
    Tensor of shape ()
        In units of ``metric``, ``label_cost`` included; differentiable in ``z_S`` and ``z_T``.

    Raises
    ------
    ValueError
        On features of different width, or missing labels.
    FloatingPointError
        If the divergence is NaN or infinite, or 0 although the samples differ.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.
    .. [2] Courty et al. "Joint Distribution Optimal Transportation for Domain Adaptation", 2017.
    .. [3] Feydy et al. "Interpolating between Optimal Transport and MMD using Sinkhorn
       Divergences", 2019.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.alignment import feature_alignment
    >>> z = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    >>> round(feature_alignment(z, z + 3, reg=0.1).item(), 2)     # both move by (3, 3)
    4.24
    """
    if z_S.ndim != 2 or z_T.ndim != 2 or z_S.shape[1] != z_T.shape[1] \
            or not (len(z_S) and len(z_T)):
        raise ValueError(f"z_S of shape {tuple(z_S.shape)} and z_T of shape {tuple(z_T.shape)} "
                         "must be (n, d) and (m, d), with samples on both sides.")
    check_number("label_cost", label_cost, low=0)
    if label_cost and (y_S is None or y_T is None):
        raise ValueError(f"label_cost={label_cost} needs the labels y_S and y_T.")
    distance = metric if callable(metric) else METRICS[check_option("metric", metric, METRICS)]

    def costs(x, y, labels_x, labels_y):
        C = distance(x, y)
        if label_cost:
            apart = labels_x[:, None] != labels_y
            if (labels_x < 0).any() or (labels_y < 0).any():
                apart &= (labels_x >= 0)[:, None] & (labels_y >= 0)
            C = C + label_cost * C.detach().mean() * apart
        return C

    C = costs(z_S, z_T, y_S, y_T)  # delta(z_i^S, z_j^T), eq. 12
    largest, spread = _extent(C.detach())
    if not math.isfinite(largest.item()):
        raise FloatingPointError(
            f"The cost between the student's and the teacher's features, metric={metric!r}, is "
            "NaN or infinite. Lower the learning rate, or look at the scale of the features.")
    if not unbiased:
        a, b = _weights("a", None, C[:, 0]), _weights("b", None, C[0])
        plan = _plan(C.detach(), largest, spread, a, b, reg, max_iter, tol)[0]
        fa = (plan.to(C.dtype) * C).sum()  # eq. 14
    else:
        if reg == "auto":
            reg = 0.1 * float(C.detach().mean())
        fa = sinkhorn(C, reg=reg, max_iter=max_iter, tol=tol).objective
        for z, y in ((z_S, y_S), (z_T, y_T)):
            fa = fa - sinkhorn(costs(z, z, y, y), reg=reg, max_iter=max_iter,
                               tol=tol).objective / 2
    value = fa.item()
    if not math.isfinite(value) or (value == 0 and largest > 0 and not unbiased):
        raise FloatingPointError(
            f"The feature alignment came out as {value} on samples that differ. Use "
            'reg="auto", or a larger reg, or look at the scale of the features.')
    return fa


def label_alignment(logits_S, teacher_head, z_S, y, *, weight=None, gradient="student"):
    r"""LA: how much less likely the student finds the true label than the teacher's head does.

    .. math:: \frac 1 n \sum_i -\log p_S(y_i | z_i) + \kappa_i \log p_T(y_i | z_i),
              \qquad \kappa_i = p_T(y_i | z_i)

    (equation 15 of [1]_) with the teacher's head applied to the student's features (equation 56).

    Parameters
    ----------
    logits_S : Tensor of shape (n, C)
        The student's logits.
    teacher_head : Module
        Features to logits (n, C), in the student's coding of the classes.
    z_S : Tensor of shape (n, d)
        The student's features, in the teacher's space.
    y : Tensor of shape (n,)
        Encoded labels.
    weight : Tensor of shape (n,), optional
        Of each sample, 1 on average; by default all alike.
    gradient : {"student", "full"}, default="student"
        "student" takes the teacher's term for a constant, which leaves the gradient of
        cross-entropy. "full" is the gradient of the formula: where the teacher's head is surer
        of the true label than :math:`1/e`, it makes it less sure.

    Returns
    -------
    Tensor of shape ()
        In nats.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.alignment import label_alignment
    >>> head = torch.nn.Linear(3, 2)
    >>> z, y = torch.zeros(1, 3), torch.tensor([0])
    >>> _ = torch.nn.init.zeros_(head.bias)       # p_T = p_S = 1/2: (1 - 1/2) ln 2
    >>> round(label_alignment(torch.zeros(1, 2), head, z, y).item(), 4)
    0.3466
    """
    check_option("gradient", gradient, ["student", "full"])
    return less_likely(logits_S, log_kappa(teacher_head, z_S, y, gradient), y, weight)


def log_kappa(teacher_head, z_S, y, gradient="student"):
    """Return the log-probability of each sample's true label for the teacher's head, (n,)."""
    with torch.set_grad_enabled(gradient == "full" and torch.is_grad_enabled()):
        return true_log_probability(teacher_head(z_S), y)  # eq. 56


def less_likely(logits_S, log_p_T, y, weight=None):
    """Equation 15, for what :func:`log_kappa` has returned."""
    each = F.cross_entropy(logits_S, y, reduction="none") + log_p_T.exp() * log_p_T
    return (each if weight is None else weight * each).mean()


def true_log_probability(logits, y):
    """Return the log-probability of each sample's true label, (n,)."""
    return logits.log_softmax(dim=1).gather(1, y[:, None])[:, 0]
