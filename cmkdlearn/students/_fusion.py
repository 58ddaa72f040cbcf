"""Fusion of two modalities, one of which may teach the other (Xie et al., 2025)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from torch import nn

from cmkdlearn._bridge.inference import infer
from cmkdlearn._bridge.reading import READ_AS, Reader
from cmkdlearn._protocol import labelled_part
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.base import TorchClassifier
from cmkdlearn.losses._kd import kd_rows
from cmkdlearn.nn.data import TensorData, weighted_mean
from cmkdlearn.nn.modules import build_classifier
from cmkdlearn.nn.samples import select_modality
from cmkdlearn.students._peer import peer


class FusionClassifier(TorchClassifier):
    r"""A classifier of two modalities, with a branch and a head for each and one for both.

    The fusion head reads the features of both branches side by side. Trained together,

    .. math::

        L = {} & \mathrm{CE}(y, z_F) + \mathrm{CE}(y, z_T) + \alpha \,\mathrm{CE}(y, z_S) \\
          & + (1 - \alpha) \,\tau^2\, \mathrm{KL}\big(\mathrm{softmax}(z_T / \tau) \,\|\,
            \mathrm{softmax}(z_S / \tau)\big)

    for the logits of the fusion head, of the teacher modality's head (which the last term does
    not change) and of the other one's. Without a teacher all three heads learn from the labels.

    Parameters
    ----------
    modalities : (str, str) or dict of str to list
        The two modalities of ``X``; a dict gives their columns, where ``X`` is one table.
    teacher_modality : str or None, default=None
        The modality that teaches the other. "auto" asks a
        :class:`~cmkdlearn.selection.CCHSelector` in both directions, and takes the one with more
        evidence, if that is worthwhile; otherwise nobody teaches.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The network of each branch, as for :class:`~cmkdlearn.teachers.UnimodalTeacher`.
    alpha : float, default=0.5
        Weight of the labels for the student's head, in [0, 1].
    temperature : float, default=1.0
        :math:`\tau > 0`.
    selector : CCHSelector, default=None
        For "auto"; its ``student`` does not matter. None: one with this estimator's networks.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`: ``max_epochs``, ``lr``, ``batch_size``,
        ``early_stopping``, ``random_state``, ``device``, ...

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teacher_modality_ : str or None
        Who taught.
    readers_ : dict of str to reader
        ``kind`` and ``shape`` of each modality.
    selectors_ : dict of str to fitted CCHSelector
        By the student's modality; only for "auto".
    history_ : skorch.history.History
        ``train_loss``, the cross-entropies ``train_fusion_loss`` and
        ``train_head_<modality>_loss``, and, with a teacher, ``train_kd_loss`` an epoch.

    Notes
    -----
    A sample whose label is -1 (None among string labels) is unlabelled: where a modality teaches,
    it carries the last term only; otherwise it carries nothing.

    The paper compares fusion with and without distillation (Tables 8 and 20). By its Table 18 a
    branch is a linear layer of 64 units, ReLU, batch normalisation and dropout, with a linear layer
    for its own logits, and one for those of both branches side by side; all is trained at once.
    Such a branch is what ``module`` has to be; "auto" has no batch normalisation. How the losses of
    the heads are weighed is not printed: the sum above is this library's reading.

    References
    ----------
    .. [1] Xie, Xu, Sanguinetti. "Information-Theoretic Criteria for Knowledge Distillation in
       Multimodal Learning", 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.students import FusionClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> fusion = FusionClassifier(modalities={"upper": slice(32), "lower": slice(32, 64)},
    ...                           teacher_modality="upper", random_state=0)
    >>> fusion.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    >>> fusion.predict_from(X[1000:1003], "lower").shape     # without the other modality
    (3,)
    """

    _takes_unlabelled = True

    def __init__(self, *, modalities, teacher_modality=None, module="auto", alpha=0.5,
                 temperature=1.0, selector=None, **training):
        self.modalities = modalities
        self.teacher_modality = teacher_modality
        self.alpha = alpha
        self.temperature = temperature
        self.selector = selector
        super().__init__(module, **training)

    def _check_params(self):
        super()._check_params()
        if self.modality is not None:
            raise ValueError(f"modality={self.modality!r}: {type(self).__name__} reads two, "
                             "modalities=...; leave it at None.")
        names = list(self.modalities)
        if isinstance(self.modalities, str) or len(names) != 2 or names[0] == names[1]:
            raise ValueError(f"modalities={self.modalities!r} must be two different modalities.")
        if self.teacher_modality is not None:
            check_option("teacher_modality", self.teacher_modality, [*names, "auto"])
        check_number("alpha", self.alpha, low=0, high=1)
        check_number("temperature", self.temperature, low=0, open_low=True)

    def _parts(self, X):
        """Return the two modalities by name."""
        if isinstance(self.modalities, Mapping):
            X = X if hasattr(X, "columns") else np.asarray(X)
            return {name: select_modality(X, columns, fitting=True)
                    for name, columns in self.modalities.items()}
        return {name: select_modality(X, name, fitting=True) for name in self.modalities}

    def _read(self, X, reset):
        if isinstance(self.modalities, Mapping):
            validate_data(self, X, reset=reset, dtype=READ_AS)
        if reset:
            self.readers_ = {name: Reader(input_type=self.input_type) for name in self.modalities}
        first, second = (self.readers_[name].read(part, reset=reset)
                         for name, part in self._parts(X).items())
        check_consistent_length(first, second)
        return {"X": first, "X_second": second}

    @property
    def _kind(self):
        """What module__* have to suit: images, if there are some."""
        kinds = {reader.kind for reader in self.readers_.values()}
        return "image" if "image" in kinds else kinds.pop()

    def _augment(self, batch):
        for name, reader in zip(("X", "X_second"), self.readers_.values(), strict=True):
            if reader.kind == "image":
                batch[name] = self._augmentation(batch[name])
        return batch

    def _prepare(self, X, y, data):
        self.teacher_modality_ = self.teacher_modality
        if self.teacher_modality == "auto":
            known, y_known, _ = labelled_part(self._parts(X), y)
            self.teacher_modality_ = self._choose(known, y_known)
        return {}

    def _choose(self, X, y):
        """Return the modality with the most evidence that it would make a good teacher, if any."""
        from cmkdlearn.selection import CCHSelector

        asked = self.selector
        if asked is None:
            asked = CCHSelector(student=None, network=peer(self))
        asked = seeded_copy(asked, self._draw_seed())
        self.selectors_ = {name: clone(asked).set_params(student=name, teacher=None).fit(X, y)
                           for name in X}
        evidence = {chosen.best_teacher_: chosen.evidence_[chosen.best_teacher_]
                    for chosen in self.selectors_.values()
                    if chosen.worthwhile_[chosen.best_teacher_]}
        return max(evidence, key=lambda name: evidence[name], default=None)

    def _build(self, data):
        return _Fusion([build_classifier(self.module, part, reader.kind, len(self.classes_), None,
                                         data.get("weight"), **self._routed("module"))
                        for part, reader in zip((data["X"], data["X_second"]),
                                                self.readers_.values(), strict=True)],
                       len(self.classes_))

    def _output(self, module, batch):
        return module(batch.X, batch.X_second)

    def _loss(self, module, batch, output):
        terms = {"fusion": self._cross_entropy(output, batch)}
        heads = dict(zip(self.modalities, output.heads, strict=True))
        for name, head in heads.items():
            terms[f"head_{name}"] = self._cross_entropy(head, batch)
        if self.teacher_modality_ is None:
            return {"loss": sum(terms.values()), **terms}
        teacher = self.teacher_modality_
        (student,) = (name for name in self.modalities if name != teacher)
        terms["kd"] = weighted_mean(kd_rows(
            heads[student].logits, heads[teacher].logits.detach(), self.temperature), batch)
        return {"loss": terms["fusion"] + terms[f"head_{teacher}"]
                + self.alpha * terms[f"head_{student}"] + (1 - self.alpha) * terms["kd"], **terms}

    def predict_from(self, X, modality):
        """Return the most probable class by one modality's own head.

        Parameters
        ----------
        X : array-like, or dict of array-like
            All of ``X``, or, where it is a dict, the modality itself.
        modality : str

        Returns
        -------
        ndarray of shape (n,)
        """
        check_is_fitted(self)
        names = list(self.modalities)
        check_option("modality", modality, names)
        if isinstance(X, Mapping):
            X = select_modality(X, modality, fitting=True)
        elif isinstance(self.modalities, Mapping):
            X = self._parts(X)[modality]
        part = self.readers_[modality].read(X)
        branch = self.net_.module_.eval().branches[names.index(modality)]
        logits = infer(lambda batch: branch(batch.X).logits, TensorData(X=part),
                       device=self.net_.device, batch_size=self.batch_size)
        return self.classes_[logits.argmax(dim=1).numpy()]


class _Fused(NamedTuple):
    """An :class:`~cmkdlearn.losses.Output` of both branches, with that of each."""

    logits: torch.Tensor
    features: torch.Tensor
    heads: tuple


class _Fusion(nn.Module):
    """Two classifiers, and a head that reads the features of both."""

    def __init__(self, branches, n_classes):
        super().__init__()
        for branch in branches:
            if not hasattr(branch, "head"):
                raise ValueError("module does not end in a linear layer, so it has no features "
                                 "to fuse. Let its last layer be a torch.nn.Linear.")
        self.branches = nn.ModuleList(branches)
        self.head = nn.Linear(sum(branch.head.in_features for branch in branches), n_classes)

    def forward(self, first, second):
        """Return the :class:`_Fused` of a batch."""
        heads = tuple(branch(x) for branch, x in zip(self.branches, (first, second), strict=True))
        features = torch.cat([head.features for head in heads], dim=1)
        return _Fused(self.head(features), features, heads)
