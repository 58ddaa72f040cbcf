"""Distillation for continuous targets (Xie et al., equation 4)."""

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_array

from cmkdlearn._protocol import read_by, weights_for
from cmkdlearn._validation import check_number
from cmkdlearn.base import TorchEstimator
from cmkdlearn.losses._base import squared_error
from cmkdlearn.nn.data import weighted_mean
from cmkdlearn.nn.modules import build_classifier
from cmkdlearn.teachers._composition import TeacherComposition


class DistilledRegressor(RegressorMixin, TorchEstimator, TeacherComposition):
    r"""A regression network taught by targets and by its teachers' predictions.

    .. math:: L = \|y - f(x)\|^2 + \lambda \|\hat y - f(x)\|^2 \qquad (4)

    of [1]_, where :math:`\hat y` is the mean of the teachers' predictions. Teachers may read any
    modality; the student reads one.

    Parameters
    ----------
    teachers : list of (str, regressor), default=()
        Those in a :class:`~sklearn.frozen.FrozenEstimator` are used as they are, the others
        fitted on ``X`` and ``y``. A regressor of scikit-learn reads the student's modality, unless
        it is a pipeline that begins with a :class:`~cmkdlearn.preprocessing.ModalitySelector`, or
        has the tag ``input_tags.dict``. Without teachers this is an ordinary regression network,
        which may itself be a teacher.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The network, as for :class:`~cmkdlearn.students.MultiTeacherDistiller`; it has one output
        a target. ``module__hidden=()`` makes it linear.
    modality : str or list, default=None
        What it reads, where ``X`` is a dict of modalities (or the columns of a table).
    lambda_kd : float, default=1.0
        :math:`\lambda \ge 0`, the weight of the teachers.
    **training
        As for :class:`~cmkdlearn.base.TorchEstimator`: ``max_epochs``, ``lr``, ``batch_size``,
        ``early_stopping``, ``random_state``, ``device``, ...

    Attributes
    ----------
    teachers_ : list of fitted teachers
    named_teachers_ : Bunch
        The same by name.
    teacher_predictions_ : ndarray of shape (n,) or (n, n_targets)
        :math:`\hat y` of the training samples.
    target_shape_ : tuple of int
        Of one sample's targets: () or (n_targets,).
    target_mean_, target_scale_ : ndarray of shape () or (n_targets,)
        By which targets were standardised.
    history_ : skorch.history.History
        ``train_loss``, ``train_mse_loss`` and ``train_kd_loss`` (before :math:`\lambda`) an epoch,
        in units of the targets' variances.

    Notes
    -----
    Targets are standardised for training, each by itself, so that neither their units nor their
    number matters to ``lr``; predictions are in the units of ``y``.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from cmkdlearn.datasets import make_gaussian_modalities
    >>> from cmkdlearn.students import DistilledRegressor
    >>> X, y = make_gaussian_modalities(1000, 1, rho_ts=0.8, rho_ty=0.9, rho_sy=0.8, random_state=0)
    >>> teacher = DistilledRegressor(modality="teacher", random_state=0)
    >>> student = DistilledRegressor([("teacher", teacher)], modality="student", random_state=0)
    >>> student.fit(X, y).score(X, y) > 0.6
    True
    """

    _speaks = ("predict",)
    _teacher_kind = "regressor"

    def __init__(self, teachers=(), *, module="auto", modality=None, lambda_kd=1.0, **training):
        self.teachers = teachers
        self.lambda_kd = lambda_kd
        super().__init__(module, modality=modality, **training)

    def _check_params(self):
        super()._check_params()
        self._check_teachers()
        check_number("lambda_kd", self.lambda_kd, low=0)

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train the network.

        Parameters
        ----------
        X : array-like, Dataset, or dict of these
            A table (n, d), images, sequences (n, T, d), or several modalities by name, of which
            ``modality`` is read. A memory-mapped array and a ``torch.utils.data.Dataset`` are read
            a batch at a time; see the user guide.
        y : array-like of shape (n,) or (n, n_targets)
            Continuous targets. None takes those of a ``Dataset`` of pairs (x, y).
        sample_weight : array-like of shape (n,), default=None
            How often each sample counts, not below 0: in both terms of the loss, in the
            standardisation of X and y, and to the teachers. One that weighs 0 is as good as not
            there.
        X_val, y_val : as X and y, default=None
            A validation set. The history then has ``valid_loss``, of all terms, which early
            stopping watches.
        sample_weight_val : array-like, default=None
            Weights of the validation set.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _check_targets(self, y):
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)

    def _encode_targets(self, y, warm, weight):
        if not warm:
            self.target_shape_ = y.shape[1:]
            self.target_mean_ = np.average(y, axis=0, weights=weight)
            scale = np.sqrt(np.average((y - self.target_mean_) ** 2, axis=0, weights=weight))
            self.target_scale_ = np.where(scale > 0, scale, 1.0)
        elif y.shape[1:] != self.target_shape_:
            raise ValueError(f"warm_start=True needs targets of shape {self.target_shape_} a "
                             f"sample, as in the last fit; y has {y.shape[1:]}.")
        return self._standardised(y), None

    def _encode_validation(self, y):
        if y.shape[1:] != self.target_shape_:
            raise ValueError(f"y_val has targets of shape {y.shape[1:]} a sample, and y of "
                             f"{self.target_shape_}.")
        return self._standardised(y)

    def _prepare(self, X, y, data):
        self.teachers_ = [
            teacher if isinstance(teacher, FrozenEstimator) else teacher.fit(
                read_by(teacher, X, self.modality), y,
                **weights_for(teacher, data.get("weight")))
            for _, teacher in self._seeded_teachers()]
        if not self.teachers_:
            return {}
        self.teacher_predictions_ = self._predicted(X, y)
        return {"teacher": self._standardised(self.teacher_predictions_)}

    def _beside(self, X, y, data):
        return {"teacher": self._standardised(self._predicted(X, y))} if self.teachers_ else {}

    def _predicted(self, X, y):
        """Return the mean of the teachers' predictions."""
        predictions = []
        for (name, _), teacher in zip(self.teachers, self.teachers_, strict=True):
            y_hat = np.asarray(teacher.predict(read_by(teacher, X, self.modality)),
                               dtype=np.float64)
            if y_hat.size != y.size:  # some return (n, 1) for (n,), and the other way round
                raise ValueError(f"Teacher {name!r} made predictions of shape {y_hat.shape}, but y "
                                 f"has shape {y.shape}. Fit it on the same targets.")
            if not np.isfinite(y_hat).all():
                raise ValueError(f"Teacher {name!r} made predictions that are NaN or infinite. "
                                 "Look at the scale of X and y, or leave it out.")
            predictions.append(y_hat.reshape(y.shape))
        return np.mean(predictions, axis=0)

    def _build(self, data):
        return build_classifier(self.module, data["X"], self._kind, data["y"].shape[1], None,
                                data.get("weight"), **self._routed("module"))

    def _loss(self, module, batch, output):
        mse = weighted_mean(squared_error(output.logits, batch.y), batch)
        if not self.teachers_:
            return {"loss": mse}
        kd = weighted_mean(squared_error(output.logits, batch.teacher), batch)
        return {"loss": mse + self.lambda_kd * kd, "mse": mse, "kd": kd}  # eq. 4

    def _standardised(self, y):
        standard = (y - self.target_mean_) / self.target_scale_
        return torch.as_tensor(standard.reshape(len(y), -1), dtype=torch.float32)

    def predict(self, X):
        """Return the predicted targets.

        Returns
        -------
        ndarray of shape (n,) or (n, n_targets)
            As ``y`` was; float64.
        """
        outputs = self._run(X).logits.astype(np.float64)
        return (outputs.reshape(len(outputs), *self.target_shape_) * self.target_scale_
                + self.target_mean_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
