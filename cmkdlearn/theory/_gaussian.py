"""Distillation between jointly Gaussian modalities, in closed form."""

from dataclasses import dataclass

import numpy as np

from cmkdlearn._validation import check_number
from cmkdlearn.datasets._gaussian import correlations


@dataclass(frozen=True, kw_only=True)
class GaussianModalities:
    r"""What the complementarity hypothesis says, and what is true, of Gaussian modalities.

    The model is that of :func:`~cmkdlearn.datasets.make_gaussian_modalities`. The teacher says
    :math:`\hat y_i = a t_i`, by default :math:`E[y_i | t] = \rho_{TY} t_i`, and a linear student
    is fitted to *n* samples by

    .. math::

        \min_W \sum_{j=1}^n \|y_j - W s_j\|^2 + \lambda \|\hat y_j - W s_j\|^2 \qquad (4)

    which is least squares on the mixed targets :math:`(1 - u) y + u \hat y` with
    :math:`u = \lambda / (1 + \lambda)` (equations 8 and 9); with fewer samples than dimensions it
    is the solution of least norm (equation 23). Its expected excess risk, a target, is

    .. math::

        R(u) = {} & \rho_{SY}^2 \left(1 - \tfrac{n}{d}\right)_+
             + \min\left(1, \tfrac{n}{d}\right) \Big(\underbrace{u^2 \Delta^2}_{\text{bias}} \\
             & + \underbrace{\tfrac{d}{|n - d| - 1} \left[(1 - u)^2 V_Y + 2 u (1 - u) C
             + u^2 V_T\right]}_{\text{variance}}\Big)

    where :math:`\Delta = \rho_{SY} - a \rho_{TS}` is what the student sees of the target
    and the teacher does not, and :math:`V_Y, V_T, C` are the
    variances and the covariance of :math:`y` and :math:`\hat y` given :math:`s`. So distillation
    trades bias for variance. The first term, what n < d samples do not show at all, no teacher
    changes.

    Parameters
    ----------
    d : int, default=8
        Dimension of each modality.
    rho_ts, rho_ty, rho_sy : float, default=0.5
        Correlations in [-1, 1] of teacher and student, teacher and target, student and target.
    n_targets : int, default=None
        Number of targets, as for :func:`~cmkdlearn.datasets.make_gaussian_modalities`. None: d.
        What is said of a target does not depend on it; information does.
    teacher_weight : float, default=None
        The *a* of the teacher. None: the best one's, :math:`\rho_{TY}`.

    Raises
    ------
    ValueError
        If no three variables can have these correlations.

    Notes
    -----
    Information is that of representations: of :math:`h_T` and :math:`h_S`, what the best linear
    networks say of the targets on *t* and *s*. With as many targets as dimensions it is that of the
    modalities themselves.

    A small enough :math:`\lambda` helps if and only if :math:`V_Y > C` (equation 17), since
    :math:`R'(0)` has the sign of :math:`C - V_Y`, for more samples than dimensions as for fewer.
    That the determinant of the correlations is not negative gives, for the best teacher,
    :math:`V_Y - C \ge \rho_{TS}^2 - \rho_{TS} \rho_{TY} \rho_{SY}`. Hence
    Theorem 1 of [1]_: where :math:`I(h_T; h_S) > I(h_S; Y)`, that is
    :math:`|\rho_{TS}| > |\rho_{SY}|`, it helps. The condition is sufficient and not necessary;
    with a large :math:`\lambda` distillation may do harm where it holds, and help where it does
    not. Other teachers need the theorem's assumptions: one that is loud enough does harm.

    Theorems 2 (n > d) and 3 (n < d) say that for almost every teacher *some* :math:`\lambda`
    lowers the risk. Where :math:`V_Y < C` that one is negative, which pushes the student away from
    the teacher; here a weight is at least 0.

    The paper's theorems are about general covariances and are asymptotic. This is its model of the
    experiments (section 4.1), for which these expectations are exact: of a Wishart matrix of
    n > d + 1 samples, and of the projection on n < d - 1 random directions.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from cmkdlearn.theory import GaussianModalities
    >>> model = GaussianModalities(d=8, rho_ts=0.7, rho_ty=0.5, rho_sy=0.6)
    >>> model.complementary                                  # I(h_T; h_S) > I(h_S; Y)
    True
    >>> round(model.mi_gap, 3)                               # nats
    0.908
    >>> round(model.optimal_lambda(n=50), 2)
    1.47
    >>> model.excess_risk(50, [0, 0.5, 1.47, 10]).round(3)
    array([0.125, 0.069, 0.055, 0.075])
    >>> round(float(model.gain(n=4, lambda_kd=1.0)), 2)         # fewer samples than dimensions
    0.56
    """

    d: int = 8
    rho_ts: float = 0.5
    rho_ty: float = 0.5
    rho_sy: float = 0.5
    n_targets: int | None = None
    teacher_weight: float | None = None

    def __post_init__(self):
        check_number("d", self.d, low=1, integer=True)
        if self.n_targets is not None:
            check_number("n_targets", self.n_targets, low=1, high=self.d, integer=True)
        if self.teacher_weight is not None:
            check_number("teacher_weight", self.teacher_weight)
        correlations(self.rho_ts, self.rho_ty, self.rho_sy)

    # ---------------------------------------------------------------- information, in nats

    @property
    def mi_teacher_student(self):
        """I(h_T; h_S) in nats."""
        return self._information(self.rho_ts)

    @property
    def mi_student_label(self):
        """I(h_S; Y) in nats."""
        return self._information(self.rho_sy)

    @property
    def mi_teacher_label(self):
        """I(h_T; Y) in nats."""
        return self._information(self.rho_ty)

    @property
    def mi_gap(self):
        """I(h_T; h_S) - I(h_S; Y) in nats."""
        return self.mi_teacher_student - self.mi_student_label

    @property
    def complementary(self):
        """Theorem 1's condition, I(h_T; h_S) > I(h_S; Y)."""
        return abs(self.rho_ts) > abs(self.rho_sy)

    def _information(self, rho):
        with np.errstate(divide="ignore"):  # infinite for a correlation of one
            # a square near one, or a factor near one, would not leave the digits of the rest
            log_rest = np.log1p(-(rho**2)) if rho**2 < 0.5 else np.log((1 - rho) * (1 + rho))
            return float(-(self.n_targets or self.d) / 2 * log_rest)

    # ---------------------------------------------------------------- the distilled linear student

    @property
    def small_lambda_helps(self):
        """Whether any, and then every small enough, weight of the teacher lowers the risk."""
        v_y, c, _ = self._given_student()
        return v_y > c

    def excess_risk(self, n, lambda_kd=0.0):
        r"""Return the expected squared error of the student in excess of the best, a target.

        Parameters
        ----------
        n : int
            Training samples, more than d + 1 or fewer than d - 1.
        lambda_kd : array-like of float, default=0.0
            :math:`\lambda \ge 0`; infinity is the teacher alone.

        Returns
        -------
        float or ndarray
            The best risk, that of :math:`E[y | s]`, is :math:`1 - \rho_{SY}^2`.
        """
        u = _share(lambda_kd)
        v_y, c, v_t = self._given_student()
        variance = (1 - u) ** 2 * v_y + 2 * u * (1 - u) * c + u**2 * v_t
        seen = self._kappa(n) * variance + u**2 * self._bias**2
        share = min(1, n / self.d)  # of the directions in which there are samples
        return share * seen + (1 - share) * self.rho_sy**2

    def gain(self, n, lambda_kd):
        """Return the excess risk without a teacher minus that with one.

        Parameters
        ----------
        n : int
            Training samples, more than d + 1 or fewer than d - 1.
        lambda_kd : array-like of float

        Returns
        -------
        float or ndarray
            Positive where the teacher helps.
        """
        return self.excess_risk(n) - self.excess_risk(n, lambda_kd)

    def optimal_lambda(self, n, *, asymptotic=False):
        r"""Return the :math:`\lambda` of the least excess risk.

        .. math::

            \lambda^* = \frac{\kappa\,(V_Y - C)}{\Delta^2 + \kappa\,(V_T - C)}, \qquad
            \kappa = \frac{d}{|n - d| - 1}

        Parameters
        ----------
        n : int
            Training samples, more than d + 1 or fewer than d - 1.
        asymptotic : bool, default=False
            Return the leading term for n to infinity, :math:`(d / n) (V_Y - C) / \Delta^2`;
            for more samples than dimensions.

        Returns
        -------
        float
            0 where no weight of the teacher helps, infinity where it had better teach alone.
        """
        kappa = self._kappa(n)
        v_y, c, v_t = self._given_student()
        if asymptotic:
            check_number("n", n, low=self.d + 2, integer=True)
        if v_y <= c:
            return 0.0
        if asymptotic:
            numerator, denominator = self.d / n * (v_y - c), self._bias**2
        else:
            numerator = kappa * (v_y - c)
            denominator = self._bias**2 + kappa * (v_t - c)
        return float(numerator / denominator) if denominator > 0 else np.inf

    def optimal_teacher_weight(self, n, lambda_kd):
        r"""Return the teacher's *a* of the least excess risk, the optimal surrogate.

        .. math::

            a^* = \frac{\rho_{TS} \rho_{SY} - \kappa (\rho_{TY} - \rho_{TS} \rho_{SY}) / \lambda}
                {\rho_{TS}^2 + \kappa (1 - \rho_{TS}^2)}

        It is not the best prediction of the target. Where teacher and target are independent given
        the student it does not depend on :math:`\lambda` (equation 15).

        Parameters
        ----------
        n : int
            Training samples, more than d + 1 or fewer than d - 1.
        lambda_kd : float
            :math:`\lambda > 0`.

        Returns
        -------
        float
        """
        check_number("lambda_kd", lambda_kd, low=0, open_low=True)
        kappa, through = self._kappa(n), self.rho_ts * self.rho_sy
        return float((through - kappa * (self.rho_ty - through) / lambda_kd)
                     / (self.rho_ts**2 + kappa * (1 - self.rho_ts) * (1 + self.rho_ts)))

    @property
    def _weight(self):
        return self.rho_ty if self.teacher_weight is None else self.teacher_weight

    @property
    def _bias(self):
        return self.rho_sy - self._weight * self.rho_ts

    def _given_student(self):
        """Return Var(y | s), Cov(y, y_hat | s) and Var(y_hat | s), a target."""
        ts, ty, sy, a = self.rho_ts, self.rho_ty, self.rho_sy, self._weight
        return ((1 - sy) * (1 + sy), a * (ty - sy * ts),  # unlike 1 - sy**2 exact near one
                a**2 * (1 - ts) * (1 + ts))

    def _kappa(self, n):
        check_number("n", n, low=1, integer=True)
        if abs(n - self.d) <= 1:
            raise ValueError(f"n={n} is too near d={self.d}: with d - 1 to d + 1 samples the "
                             f"expected risk has no bound. Give at least {self.d + 2}"
                             + (f", or at most {self.d - 2}." if self.d > 2 else "."))
        return self.d / (abs(n - self.d) - 1)


def _share(lambda_kd):
    lam = np.asarray(lambda_kd, dtype=float)
    if not (lam >= 0).all():
        raise ValueError(f"lambda_kd={lambda_kd!r} is out of range; it must be a number of at "
                         "least 0, or an array of them.")
    return (1 - 1 / (1 + lam))[()]
