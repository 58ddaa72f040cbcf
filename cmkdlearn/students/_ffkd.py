"""Forward and feedback knowledge distillation (Gou et al. 2024): teacher and student learn."""

import copy

from sklearn.frozen import FrozenEstimator

from cmkdlearn._protocol import class_columns, fit_teacher, labelled_part
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number
from cmkdlearn.base import TorchClassifier, reads_one_tensor
from cmkdlearn.losses._kd import kd_rows
from cmkdlearn.nn.data import resolve_device, weighted_mean
from cmkdlearn.students._peer import peer


class FFKDDistiller(TorchClassifier):
    r"""A student whose teacher learns from how well it is understood.

    The teacher is trained first, as usual. Then both are trained together: the student by labels
    and by the teacher (forward), the teacher by labels and by the student (feedback),

    .. math::

        L_S &= \mathrm{CE}(y, z_s) + \lambda\, \tau^2\,\mathrm{KL}(p_T^\tau \| p_S^\tau), \\
        L_T &= \mathrm{CE}(y, z_t) + \mu\, \tau^2 \operatorname*{mean}_i (1 - u_i)\,
               \mathrm{KL}(p_{S,i}^\tau \| p_{T,i}^\tau), \qquad
        u_i = e^{-\mathrm{KL}(p_{T,i}^\tau \| p_{S,i}^\tau)}

    with targets and weights held constant. Where the student has understood a sample, :math:`u_i`
    near 1, the teacher is left as it is; where it has not, the teacher comes towards it.

    Parameters
    ----------
    teacher : estimator, default=None
        A teacher that is a network, such as :class:`~cmkdlearn.teachers.UnimodalTeacher`, of any
        modality; None: one with the student's network and training. One in a
        :class:`~sklearn.frozen.FrozenEstimator` is not fitted first; a copy of it learns.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The student's network, as for :class:`~cmkdlearn.students.MultiTeacherDistiller`.
    modality : str or list, default=None
        What the student reads, where ``X`` is a dict of modalities (or the columns of a table).
    lambda_kd : float, default=1.0
        :math:`\lambda \ge 0`, the weight of the teacher.
    lambda_feedback : float, default=1.0
        :math:`\mu \ge 0`, the weight of the student's feedback.
    temperature : float, default=4.0
        :math:`\tau > 0`.
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of the student's images.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`; the optimiser serves both networks.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teacher_ : fitted teacher
        With the feedback, and without a feature bank.
    history_ : skorch.history.History
        ``train_ce_loss`` and ``train_kd_loss`` of the student, ``train_teacher_ce_loss`` and
        ``train_feedback_loss`` of the teacher an epoch; ``train_loss`` is the sum that is
        minimised.

    Notes
    -----
    That feedback is weighed by the student's understanding is the paper's idea; the weight
    :math:`1 - u_i` is this implementation's reading of it.

    A sample without a label (-1, None among strings) carries the two distillation terms only.

    References
    ----------
    .. [1] Gou, Chen, Yu, Liu, Du, Wan, Yi. "Reciprocal Teacher-Student Learning via Forward and
       Feedback Knowledge Distillation", IEEE Transactions on Multimedia 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.students import FFKDDistiller
    >>> from cmkdlearn.teachers import UnimodalTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> student = FFKDDistiller(UnimodalTeacher(module__hidden=(512,)), random_state=0)
    >>> student.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85
    True
    """

    _takes_unlabelled = True

    def __init__(self, teacher=None, *, module="auto", modality=None, lambda_kd=1.0,
                 lambda_feedback=1.0, temperature=4.0, augmentation=None, **training):
        self.teacher = teacher
        self.lambda_kd = lambda_kd
        self.lambda_feedback = lambda_feedback
        self.temperature = temperature
        super().__init__(module, modality=modality, augmentation=augmentation, **training)

    def _check_params(self):
        super()._check_params()
        check_number("lambda_kd", self.lambda_kd, low=0)
        check_number("lambda_feedback", self.lambda_feedback, low=0)
        check_number("temperature", self.temperature, low=0, open_low=True)
        teacher = self.teacher
        inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
        if not (teacher is None or reads_one_tensor(inner)):
            raise TypeError(f"teacher={teacher!r} must be a network, which can learn from its "
                            "student, such as UnimodalTeacher.")

    def _prepare(self, X, y, data):
        if not self._goes_on():
            self.teacher_ = self._fitted_teacher(X, y, data.get("weight"))
        self._columns = class_columns("teacher", self.teacher_, self.classes_)
        return self._beside(X, y, data)

    def _beside(self, X, y, data):
        return {"teacher_X": self.teacher_.reader_.read(X, owner=self.teacher_)}

    def _fitted_teacher(self, X, y, weight):
        if isinstance(self.teacher, FrozenEstimator):
            return copy.deepcopy(self.teacher.estimator)
        teacher = peer(self) if self.teacher is None else self.teacher
        X, y, weight = labelled_part(X, y, weight)
        return fit_teacher(seeded_copy(teacher, self._draw_seed()), X, y, weight=weight)

    def _criterion(self):
        # a criterion's parameters are trained with the student's, and left out when it predicts
        vars(self.teacher_).pop("feature_bank_", None)
        vars(self.teacher_).pop("feature_bank_labels_", None)
        self.teacher_.net_.device = resolve_device(self.device)
        return self.teacher_.net_.module_

    def _loss(self, module, batch, output):
        taught = self.net_.criterion_(batch.teacher_X)
        taught = taught._replace(logits=taught.logits[:, self._columns])
        z_s, z_t, tau = output.logits, taught.logits, self.temperature
        understood = (-kd_rows(z_s.detach(), z_t.detach(), tau) / tau**2).exp()
        terms = {
            "ce": self._cross_entropy(output, batch),
            "kd": weighted_mean(kd_rows(z_s, z_t.detach(), tau), batch),
            "teacher_ce": self._cross_entropy(taught, batch),
            "feedback": weighted_mean((1 - understood) * kd_rows(z_t, z_s.detach(), tau), batch),
        }
        loss = (terms["ce"] + self.lambda_kd * terms["kd"]
                + terms["teacher_ce"] + self.lambda_feedback * terms["feedback"])
        return {"loss": loss, **terms}
