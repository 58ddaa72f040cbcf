"""Jointly Gaussian modalities, where everything about distillation is known in closed form."""

import numpy as np
from sklearn.utils import check_random_state

from cmkdlearn._validation import check_number

ROUNDING = 1e-12  # a determinant this far below zero is zero


def make_gaussian_modalities(n=1000, d=8, *, rho_ts=0.5, rho_ty=0.5, rho_sy=0.5, n_targets=None,
                             random_state=None):
    r"""Draw a teacher's modality, a student's and the targets from one Gaussian.

    The i-th coordinates :math:`(t_i, s_i, y_i)` of the three have mean 0, variance 1 and

    .. math::

        \mathrm{corr}(t_i, s_i) = \rho_{TS}, \quad \mathrm{corr}(t_i, y_i) = \rho_{TY}, \quad
        \mathrm{corr}(s_i, y_i) = \rho_{SY},

    and different coordinates are independent: the setting of [1]_ (equation 7), whose closed forms
    :class:`cmkdlearn.theory.GaussianModalities` has. With fewer targets than d, the first
    coordinates have some: the paper's experiment has one.

    Parameters
    ----------
    n : int, default=1000
        Number of samples.
    d : int, default=8
        Dimension of each modality.
    rho_ts, rho_ty, rho_sy : float, default=0.5
        Correlations in [-1, 1] of teacher and student, teacher and target, student and target.
    n_targets : int, default=None
        From 1 to d; None: d.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : dict of str to ndarray of shape (n, d)
        The modalities "teacher" and "student".
    y : ndarray of shape (n, n_targets), or (n,) for one target
        Continuous targets.

    Raises
    ------
    ValueError
        If no three variables can have these correlations; it names the range in which
        ``rho_ts`` may lie, given the two others.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from cmkdlearn.datasets import make_gaussian_modalities
    >>> X, y = make_gaussian_modalities(500, 3, rho_ts=0.8, random_state=0)
    >>> X["teacher"].shape, X["student"].shape, y.shape
    ((500, 3), (500, 3), (500, 3))
    >>> make_gaussian_modalities(500, 3, n_targets=1, random_state=0)[1].shape
    (500,)
    """
    check_number("n", n, low=1, integer=True)
    check_number("d", d, low=1, integer=True)
    if n_targets is not None:
        check_number("n_targets", n_targets, low=1, high=d, integer=True)
    eigenvalues, vectors = np.linalg.eigh(correlations(rho_ts, rho_ty, rho_sy))
    root = vectors * np.sqrt(np.clip(eigenvalues, 0, None))  # of a matrix that may be singular
    t, s, y = np.moveaxis(check_random_state(random_state).standard_normal((n, d, 3)) @ root.T,
                          -1, 0)
    y = y[:, :n_targets]
    return {"teacher": t, "student": s}, y[:, 0] if y.shape[1] == 1 else y


def correlations(rho_ts, rho_ty, rho_sy):
    """Return the correlation matrix of teacher, student and target, or say that there is none."""
    for name, rho in (("rho_ts", rho_ts), ("rho_ty", rho_ty), ("rho_sy", rho_sy)):
        check_number(name, rho, low=-1, high=1)
    matrix = np.array([[1, rho_ts, rho_ty], [rho_ts, 1, rho_sy], [rho_ty, rho_sy, 1]], dtype=float)
    centre = rho_ty * rho_sy
    spread = np.sqrt((1 - rho_ty**2) * (1 - rho_sy**2))
    if (rho_ts - centre) ** 2 > spread**2 + ROUNDING:  # the determinant is negative
        raise ValueError(f"rho_ts={rho_ts:g} is impossible with rho_ty={rho_ty:g} and "
                         f"rho_sy={rho_sy:g}; it must be in [{centre - spread:.4g}, "
                         f"{centre + spread:.4g}].")
    return matrix
