"""Learning from multiple experts (Xiang et al. 2020), for classes of very different frequency."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from cmkdlearn._protocol import fit_teacher, refuse_bare_network, teaching_logits
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number
from cmkdlearn.base import TorchClassifier
from cmkdlearn.losses._kd import kd_rows
from cmkdlearn.nn.data import weighted_mean
from cmkdlearn.nn.samples import is_dataset, take
from cmkdlearn.students._peer import peer


class LFMEDistiller(TorchClassifier):
    r"""A student of experts for frequent, less frequent and rare classes.

    A network trained on classes of similar frequency does better on them than one trained on all.
    So the classes are divided into groups of many, medium and few shots, an expert is trained on
    each, and one student learns from the labels and from all experts:

    .. math::

        L = \operatorname*{mean}_i v_i \,\mathrm{CE}_i
          + \lambda \sum_l w_l \,\tau^2\,\mathrm{KL}\big(\mathrm{softmax}(z_l/\tau) \,\|\,
                \mathrm{softmax}(z_s^{(l)}/\tau)\big)

    where :math:`z_s^{(l)}` are the student's logits of the expert's classes.

    *Self-paced expert selection*: :math:`w_l = 1` until the student's accuracy on the expert's
    classes comes within a share :math:`\alpha` of the expert's, and then falls to 0 where they
    are equal, :math:`w_l = (A_E - A_S) / (A_E (1 - \alpha))`.

    *Curriculum*: a sample's weight grows linearly over the epochs from :math:`v_i = p_i \,
    N_{few} / N_l` to 1. At first easy samples count most, those to whose label the expert gives a
    large probability :math:`p_i`, and groups count alike, with :math:`N_l` samples a class.

    Parameters
    ----------
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The student's network, as for :class:`~cmkdlearn.students.MultiTeacherDistiller`.
    modality : str or list, default=None
        What the student reads, where ``X`` is a dict of modalities (or the columns of a table).
    expert : classifier, default=None
        Fitted once a group, on any modality; None: a
        :class:`~cmkdlearn.teachers.UnimodalTeacher` with the student's network and training.
    shots : (int, int), default=(20, 100)
        A class of fewer samples than the first is few-shot, one of more than the second many-shot.
        A group of one class joins the group next to it.
    lambda_kd : float, default=0.25
        :math:`\lambda \ge 0`; the authors have 1, without the factor :math:`\tau^2` of 4.
    temperature : float, default=2.0
        :math:`\tau > 0`.
    alpha : float, default=0.6
        In [0, 1).
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of the student's images.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    groups_ : list of ndarray
        The classes of each expert, from the rarest to the most frequent.
    experts_ : list of fitted teachers
    expert_weights_ : ndarray of shape (n_epochs, n_groups)
        :math:`w_l` in each epoch.
    history_ : skorch.history.History
        ``train_loss``, ``train_ce_loss`` (weighted by :math:`v`) and ``train_kd_loss`` (by
        :math:`w`) an epoch.

    Notes
    -----
    Accuracies are those on the training samples, weighted as they are, the student's as it was in
    the course of the last epoch; the paper sets a validation set aside. Shots are counted whatever
    the samples weigh. Every expert speaks about every sample, as in the authors' code; look at
    ``lambda_kd=0``, the curriculum alone, before believing that they help.

    References
    ----------
    .. [1] Xiang, Ding, Han. "Learning From Multiple Experts: Self-paced Knowledge Distillation for
       Long-tailed Classification", ECCV 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.datasets import make_imbalanced
    >>> from cmkdlearn.students import LFMEDistiller
    >>> X, y = load_digits(return_X_y=True)
    >>> keep = np.concatenate([np.flatnonzero(y == c)[:12 * c + 8] for c in range(10)])
    >>> student = LFMEDistiller(random_state=0).fit(X[keep], y[keep])
    >>> [group.tolist() for group in student.groups_]
    [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9]]
    """

    def __init__(self, module="auto", *, modality=None, expert=None, shots=(20, 100),
                 lambda_kd=0.25, temperature=2.0, alpha=0.6, augmentation=None, **training):
        self.expert = expert
        self.shots = shots
        self.lambda_kd = lambda_kd
        self.temperature = temperature
        self.alpha = alpha
        super().__init__(module, modality=modality, augmentation=augmentation, **training)

    def _check_params(self):
        super()._check_params()
        refuse_bare_network("expert", self.expert)
        check_number("lambda_kd", self.lambda_kd, low=0)
        check_number("temperature", self.temperature, low=0, open_low=True)
        check_number("alpha", self.alpha, low=0, high=np.nextafter(1, 0))
        shots = np.asarray(self.shots)
        if shots.shape != (2,) or shots.dtype.kind not in "iu" or not 0 <= shots[0] <= shots[1]:
            raise ValueError(f"shots={self.shots!r} must be two counts of samples, the smaller one "
                             "first.")

    def _prepare(self, X, y, data):
        if not (isinstance(X, Mapping) or hasattr(X, "shape") or is_dataset(X)):
            X = np.asarray(X)
        codes, weight = data["y"].numpy(), data.get("weight")
        counts = np.bincount(codes)
        groups = _groups(counts, *self.shots)
        seeds = np.random.default_rng(self._draw_seed()).integers(2**31 - 1, size=len(groups))
        expert_kind = peer(self) if self.expert is None else self.expert
        self.experts_ = []
        for group, seed in zip(groups, seeds, strict=True):
            own = np.flatnonzero(np.isin(codes, group))
            expert = seeded_copy(expert_kind, int(seed))
            if self.expert is None and isinstance(self.class_weight, Mapping):
                expert.set_params(class_weight={
                    label: of_class for label, of_class in self.class_weight.items()
                    if label in self.classes_[group]})
            self.experts_.append(fit_teacher(expert, take(X, own), y[own], self.modality,
                                             None if weight is None else weight[own]))
        self.groups_ = [self.classes_[group] for group in groups]
        self._columns = [torch.from_numpy(group) for group in groups]
        shots = [float(counts[group].mean()) for group in groups]
        self._shares = [shots[0] / own for own in shots]
        said = self._beside(X, y, data)
        weight = self._weighed(data).get("weight")  # as the student's accuracy will be weighted
        self._expert_accuracy = []
        for group in groups:
            own = np.flatnonzero(np.isin(codes, group))
            right = group[said["z"][own][:, group].argmax(dim=1)] == codes[own]
            self._expert_accuracy.append(float(np.average(
                right, weights=None if weight is None else weight[own])))
        return said

    def _beside(self, X, y, data):
        codes = data["y"].numpy()
        z, ease = np.zeros((len(codes), len(self.classes_)), np.float32), np.zeros(len(codes))
        experts = zip(self.experts_, self._columns, self._shares, strict=True)
        for l, (expert, columns, share) in enumerate(experts):  # noqa: E741
            group = columns.numpy()
            z[:, group] = teaching_logits(f"expert {l}", expert, X, y, self.classes_[group])
            own = np.flatnonzero(np.isin(codes, group))
            p = torch.from_numpy(z[own][:, group]).softmax(dim=1).numpy()
            ease[own] = p[np.arange(len(own)), np.searchsorted(group, codes[own])] * share
        return {"z": torch.from_numpy(z), "ease": torch.from_numpy(ease).float()}

    def _criterion(self):
        return _Pace(self._columns, self._expert_accuracy, len(self.classes_), self.alpha)

    def _training_state(self):
        return {"weights": self.net_.criterion_.weights}

    def _resume(self, state):
        self.net_.criterion_.weights = state["weights"]

    _adds_up = False  # the pace has to see each sample once

    def _loss(self, module, batch, output):
        pace = self.net_.criterion_
        epoch = len(self.net_.history) - 1
        if module.training:
            pace.observe(epoch, output.logits, batch.y, batch.get("weight"))
        v = batch.ease + (1 - batch.ease) * min(1.0, epoch / max(self.max_epochs_ - 1, 1))
        ce = weighted_mean(v * F.cross_entropy(output.logits, batch.y, reduction="none",
                                               label_smoothing=self.label_smoothing), batch)
        distilled = weighted_mean(sum(
            w * kd_rows(output.logits[:, group], batch.z[:, group], self.temperature)
            for w, group in zip(pace.weights[-1], self._columns, strict=True)), batch)
        return {"loss": ce + self.lambda_kd * distilled, "ce": ce, "kd": distilled}

    @property
    def expert_weights_(self):
        """The weight of each expert in each epoch."""
        return np.array([[float(w) for w in weights] for weights in self.net_.criterion_.weights])


class _Pace(nn.Module):
    """Self-paced expert selection: who is still worth listening to, once an epoch."""

    def __init__(self, groups, expert_accuracy, n_classes, alpha):
        super().__init__()
        group_of = torch.empty(n_classes, dtype=torch.long)
        for i, group in enumerate(groups):
            group_of[group] = i
        self.register_buffer("group_of", group_of)
        self.register_buffer("expert_accuracy", torch.tensor(expert_accuracy))
        self.register_buffer("right", torch.zeros(len(groups)))
        self.register_buffer("seen", torch.zeros(len(groups)))
        self.alpha = alpha
        self.weights = []

    def observe(self, epoch, logits, y, weight=None):
        """Count what the student got right, and at the begin of an epoch draw conclusions."""
        while len(self.weights) <= epoch:
            student = self.right / self.seen.clamp(min=torch.finfo(self.seen.dtype).tiny)
            gap = 1 - student / self.expert_accuracy.clamp(min=1e-12)
            self.weights.append((gap / (1 - self.alpha)).clamp(0, 1).tolist())
            self.right.zero_(), self.seen.zero_()
        group, right = self.group_of[y], (logits.argmax(dim=1) == y).float()
        weight = torch.ones_like(right) if weight is None else weight
        self.right.index_add_(0, group, weight * right)
        self.seen.index_add_(0, group, weight)


def _groups(counts, few, many):
    """Classes of few, medium and many samples, the rarest group first."""
    kind = np.where(counts < few, 0, np.where(counts > many, 2, 1))
    groups = [np.flatnonzero(kind == k) for k in range(3) if (kind == k).any()]
    while len(groups) > 1 and min(map(len, groups)) == 1:
        i = next(i for i, group in enumerate(groups) if len(group) == 1)
        j = i - 1 if i else 1
        groups[min(i, j)] = np.sort(np.concatenate([groups[i], groups[j]]))
        del groups[max(i, j)]
    return groups
