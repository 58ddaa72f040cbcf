"""Distillation from a teacher whose samples belong to none of the student's (Tran et al.)."""

import copy
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_consistent_length, column_or_1d
from skorch.callbacks import GradientNormClipping
from torch import nn

from cmkdlearn._labels import UNLABELLED, label_codes, labelled_mask
from cmkdlearn._protocol import (
    class_columns,
    fit_teacher,
    folds,
    is_fitted,
    labelled_part,
    refuse_bare_network,
)
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number, check_option
from cmkdlearn.alignment import (
    METRICS,
    feature_alignment,
    less_likely,
    log_kappa,
)
from cmkdlearn.base import TorchClassifier
from cmkdlearn.nn.modules import Classifier
from cmkdlearn.nn.samples import take
from cmkdlearn.students._inner import LOOPS, OPTIMIZERS

# What the paper's Algorithm 1 and its authors' code have in common.
TWO_LEVELS = {"bilevel": True, "order": "first", "fa_steps": 1, "la_steps": 1, "lambda_fa": 1.0,
              "lambda_la": 1.0, "decay": False, "metric": "l2", "feature_scale": 1.0,
              "label_cost": 0.0, "sinkhorn_reg": 0.1}
PAPER = TWO_LEVELS | {
    "inner_optimizer": "sgd", "inner_lr": "lr", "inner_weight_decay": 0.0, "la_scope": "all",
    "la_gradient": "full", "label_smoothing": 0.0,
    "module": "resnet18", "optimizer": torch.optim.SGD, "lr": 1e-2, "batch_size": 64,
    "max_epochs": 100}  # Table 12
SCRIPT = TWO_LEVELS | {
    "inner_optimizer": "adamw", "inner_lr": 1e-5, "inner_weight_decay": 0.05, "la_scope": "head",
    "la_gradient": "student"}
CLIPPED_AT = 5.0  # the norm of the gradient, in the script

SOME = 1000  # of the teacher's features, to tell their scale by


class UCMKDStudent(TorchClassifier):
    r"""A student taught by a teacher of another modality, without paired samples (UCMKD).

    The teacher's samples belong to none of the student's; what they share are classes. Two terms
    stand beside cross-entropy [1]_:

    - FA, the cost of transporting the student's features to the teacher's
      (:func:`~cmkdlearn.alignment.feature_alignment`);
    - LA, how much less likely the student finds the true label than the teacher's head does that
      reads the student's features (:func:`~cmkdlearn.alignment.label_alignment`).

    Algorithm 1 of the paper trains on two levels: from the parameters, ``fa_steps`` inner steps are
    taken on :math:`\lambda_1 \mathrm{FA}`, then ``la_steps`` on :math:`\lambda_2 \mathrm{LA}`, and
    the gradient of cross-entropy at where they lead is applied to the parameters themselves. With
    ``bilevel=False`` the plain sum of the three is minimised. :meth:`paper` is the algorithm with
    the values that the paper prints, :meth:`script` what its authors' code does.

    Parameters
    ----------
    teacher : estimator
        A teacher or classifier of scikit-learn with features. One in a
        :class:`~sklearn.frozen.FrozenEstimator` gives its feature bank and head, and never its
        data; another is fitted on ``fit``'s ``X_teacher``, or on the labelled samples of ``X``
        (its modality of it). Classes that only the teacher knows, and samples of its own without a
        label, are left out of the bank.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The student's network; see :class:`MultiTeacherDistiller`. It must end in a linear layer.
        Where its features are not as wide as the teacher's, a linear projection beside the head
        brings them there.
    modality : str or list, default=None
        What the student reads, where ``X`` is a dict of modalities (or the columns of a table).
    lambda_fa : float, default=1.0
        :math:`\lambda_1 \ge 0`, the weight of FA.
    lambda_la : float, default=1.0
        :math:`\lambda_2 \ge 0`, the weight of LA.
    decay : bool, default=False
        Let both weights fall linearly to nothing over ``max_epochs``: the teacher leads at first,
        and the labels have the last word. In a plain sum a weight of 1 that stays costs accuracy;
        see the user guide.
    fa_steps, la_steps : int, default=1
        Inner steps; in the plain sum 0 leaves the term out.
    inner_lr : float, "lr" or "auto", default="auto"
        Rate of the inner steps. "lr" is the rate that the optimiser has in this step, each group of
        parameters its own, so that a schedule moves both levels: the one :math:`\eta` of
        Algorithm 1. "auto" makes a step of weight 1 as long as a thousandth of the norm of what it
        moves, whatever unit its term has. A step that is too long wrecks the student; see the user
        guide.
    inner_optimizer : {"sgd", "adamw"}, default="sgd"
        Whether an inner step follows the gradient, or is that of an AdamW that begins anew in each
        step of training: one step moves each parameter by the rate, whatever the gradient's length
        and the weight of its term.
    inner_weight_decay : float, default=0.0
        An inner step shrinks what it moves by this times the rate.
    metric : {"l2", "l1", "angular"} or callable, default="l2"
        Cost between features.
    feature_scale : float or "auto", default="auto"
        FA counts in this unit, so that its weight means the same for features of any size. "auto"
        is the mean cost between two of the teacher's own features; the paper's FA has the unit 1.
    label_cost : float, default=0.0
        Adds so many mean costs where labels disagree, so that features move within their class. A
        sample without a label disagrees with none.
    sinkhorn_reg : float or "auto", default="auto"
        Entropic regularisation; "auto" is a tenth of the mean cost.
    bilevel : bool, default=True
        Follow Algorithm 1, rather than descend along the plain sum of the terms.
    order : {"first", "second"}, default="first"
        Whether the outer gradient is the one at the adapted parameters, or is traced back through
        the inner steps (the transport plan being held fixed).
    la_gradient : {"student", "full"}, default="full"
        Whether the teacher's term of LA counts as a constant.
    la_scope : {"all", "head"}, default="all"
        What the inner label steps move: all but the head, and then the head by its gradient at
        where the others have come to, as lines 11 and 12 have it; or only the head, which saves a
        pass through the network.
    paired : bool, default=False
        Take the teacher's samples of a step from the rows of the student's batch, of which ``X``
        holds both modalities, rather than at random from the bank.
    teacher_batch_size : int, default=None
        The teacher's samples in a step; None takes as many as the student's.
    balanced_bank : bool, default=False
        Draw the teacher's classes equally often.
    cv : int, cross-validation splitter or iterable, default=None
        Let the bank of a teacher that is fitted here hold out-of-fold features: each sample's for a
        teacher that was not fitted on it. Splits by groups (speakers, say) are given as
        ``list(GroupKFold().split(X, y, groups))``, by the row numbers of what the teacher is fitted
        on. For classifiers of scikit-learn, whose features are their logits (or what a linear one
        reads): those of two networks have nothing in common. A frozen teacher stays as it is.
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of the student's images.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teacher_ : the fitted teacher
    history_ : skorch.history.History
        ``train_loss``, ``train_ce_loss``, ``train_fa_loss``, ``train_la_loss`` (before the
        weights) and ``train_kappa``, the teacher's mean probability of the true label, an epoch;
        a term of weight 0 is not computed.

    Notes
    -----
    A sample whose label is -1 (None among string labels) is unlabelled, as in
    :mod:`sklearn.semi_supervised`: FA sees it, cross-entropy and LA do not, and a teacher is not
    fitted on it.

    In each step the statistics of batch normalisation are those of the pass at the network's own
    parameters, before any inner step: what is kept, validated and returned has its own statistics,
    and not those of the adapted parameters.

    ``lambda_fa=lambda_la=0`` is cross-entropy. ``bilevel=False, lambda_la=0, feature_scale=1`` is
    feature KD, the paper's baseline. ``bilevel=False, lambda_fa=0.1, lambda_la=0, label_cost=1,
    decay=True`` is the plain sum that does not hurt. ``la_gradient="student"`` leaves
    cross-entropy's gradient: in the plain sum it changes nothing but the weight of the labels.

    References
    ----------
    .. [1] Tran et al. "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from cmkdlearn.students import UCMKDStudent
    >>> from cmkdlearn.teachers import UnimodalTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> upper, lower = X[:, :32], X[:, 32:]
    >>> teacher = UnimodalTeacher(random_state=0).fit(upper[:1000], y[:1000])
    >>> student = UCMKDStudent(FrozenEstimator(teacher), random_state=0)
    >>> student.fit(lower[1000:1400], y[1000:1400]).score(lower[1400:], y[1400:]) > 0.65
    True
    """

    _takes_unlabelled = True

    def __init__(self, teacher, *, module="auto", modality=None, lambda_fa=1.0, lambda_la=1.0,
                 decay=False, fa_steps=1, la_steps=1, inner_lr="auto", inner_optimizer="sgd",
                 inner_weight_decay=0.0, metric="l2", feature_scale="auto", label_cost=0.0,
                 sinkhorn_reg="auto", bilevel=True, order="first", la_gradient="full",
                 la_scope="all", paired=False, teacher_batch_size=None, balanced_bank=False,
                 cv=None, augmentation=None, **training):
        self.teacher = teacher
        self.lambda_fa = lambda_fa
        self.lambda_la = lambda_la
        self.decay = decay
        self.fa_steps = fa_steps
        self.la_steps = la_steps
        self.inner_lr = inner_lr
        self.inner_optimizer = inner_optimizer
        self.inner_weight_decay = inner_weight_decay
        self.metric = metric
        self.feature_scale = feature_scale
        self.label_cost = label_cost
        self.sinkhorn_reg = sinkhorn_reg
        self.bilevel = bilevel
        self.order = order
        self.la_gradient = la_gradient
        self.la_scope = la_scope
        self.paired = paired
        self.teacher_batch_size = teacher_batch_size
        self.balanced_bank = balanced_bank
        self.cv = cv
        super().__init__(module, modality=modality, augmentation=augmentation, **training)

    @classmethod
    def paper(cls, teacher, **params):
        """Return a student as the paper prints it: Algorithm 1 with the values of Table 12.

        Plain SGD with one rate of 0.01 for both levels (``inner_lr="lr"``), batches of 64, 100
        epochs, timm's ResNet-18, both weights and both numbers of inner steps 1, the l2 cost, and
        an entropic regularisation of 0.1 in the features' own unit.

        Parameters
        ----------
        teacher : estimator
        **params
            Anything that is to differ; ``module``, where ``X`` holds no images.

        Returns
        -------
        UCMKDStudent

        Notes
        -----
        Of first order: lines 14 and 15 print the gradient at the adapted parameters, and Appendix E
        counts three passes a step, which the second order exceeds. The gradient of LA is that of
        equation 15, in full. No momentum, weight decay or schedule is printed, and there is none
        here; the text calls the rate "initial", and with a schedule both levels follow it. A rate
        that stays wrecked a batch-normalised network on spoken digits, and one that falls did not:
        pass ``schedule="cosine"``, and see the user guide.
        Equation 14 is taken over a batch of each side, drawn anew in each step.

        Examples
        --------
        >>> from cmkdlearn.students import UCMKDStudent
        >>> from cmkdlearn.teachers import UnimodalTeacher
        >>> student = UCMKDStudent.paper(UnimodalTeacher(), module="auto")
        >>> student.lr, student.inner_lr, student.batch_size
        (0.01, 'lr', 64)
        """
        return cls(teacher, **{**PAPER, **params})

    @classmethod
    def script(cls, teacher, **params):
        """Return a student as the code that the paper's authors have published trains it.

        Where it is not the printed algorithm: inner steps are AdamW's, at a rate of 1e-5 with a
        weight decay of 0.05, which move a parameter by the rate whatever the gradient's length, so
        that ``lambda_fa`` and ``lambda_la`` say nothing; LA moves the head alone, by the student's
        part of its gradient; the outer gradient is clipped to a norm of 5 (``callbacks``).

        Parameters
        ----------
        teacher : estimator
        **params
            Anything that is to differ.

        Returns
        -------
        UCMKDStudent

        Notes
        -----
        The network, the optimiser and its rates, the epochs, the label smoothing and the cost
        (1 - cos in some) differ between the code's run files and are left to the caller, as the
        inner rate of 5e-5 on RAVDESS. Not as there: teachers' samples are drawn at random, and not
        of the classes of the student's batch; batch statistics are those of the network itself, and
        not of its adapted copy; and the epoch of the best validation accuracy is kept only where
        ``early_stopping`` keeps that of the best loss. Which run files made the paper's tables is
        not known.

        Examples
        --------
        >>> from cmkdlearn.students import UCMKDStudent
        >>> from cmkdlearn.teachers import UnimodalTeacher
        >>> student = UCMKDStudent.script(UnimodalTeacher(), inner_lr=5e-5)
        >>> student.inner_optimizer, student.la_scope
        ('adamw', 'head')
        """
        clipping = ("clipping", GradientNormClipping(gradient_clip_value=CLIPPED_AT))
        return cls(teacher, **{**SCRIPT, "callbacks": [clipping], **params})

    def _check_params(self):
        super()._check_params()
        refuse_bare_network("teacher", self.teacher)
        for name in ("lambda_fa", "lambda_la", "label_cost", "inner_weight_decay"):
            check_number(name, getattr(self, name), low=0)
        for name in ("fa_steps", "la_steps"):
            check_number(name, getattr(self, name), low=0, integer=True)
        if self.teacher_batch_size is not None:
            check_number("teacher_batch_size", self.teacher_batch_size, low=1, integer=True)
        for name, words in (("inner_lr", ["auto", "lr"]), ("sinkhorn_reg", ["auto"]),
                            ("feature_scale", ["auto"])):
            value = getattr(self, name)
            if isinstance(value, str):
                check_option(name, value, words)
            else:
                check_number(name, value, low=0, open_low=True)
        if self.batch_size == 1 and self.lambda_fa and self.fa_steps:
            raise ValueError("batch_size=1 leaves one sample, which is no distribution to align; "
                             "use at least 2 (some 64 would be better), or lambda_fa=0.")
        if not callable(self.metric):
            check_option("metric", self.metric, METRICS)
        check_option("order", self.order, ["first", "second"])
        check_option("la_gradient", self.la_gradient, ["student", "full"])
        check_option("la_scope", self.la_scope, ["all", "head"])
        if check_option("inner_optimizer", self.inner_optimizer, OPTIMIZERS) == "adamw":
            if self.inner_lr == "auto":
                raise ValueError("inner_optimizer='adamw' moves each parameter by inner_lr, which "
                                 "'auto' does not give; use a number, or 'lr'.")
            if self.order == "second":
                raise ValueError("order='second' is traced back through steps of "
                                 "inner_optimizer='sgd', and not of 'adamw'; use order='first'.")
        if self.paired and (self.balanced_bank or self.teacher_batch_size is not None):
            raise ValueError("paired=True takes the teacher's samples that belong to the student's "
                             "batch; leave balanced_bank and teacher_batch_size at their defaults.")
        if self.cv is not None and hasattr(self.teacher, "encode") \
                and not isinstance(self.teacher, FrozenEstimator):
            raise ValueError(f"cv={self.cv!r} puts the features of several fits side by side, and "
                             f"those of two fits of {type(self.teacher).__name__} have nothing in "
                             "common. Use cv=None, or a classifier of scikit-learn, whose features "
                             "are what it reads or its logits.")

    def fit(self, X, y, X_teacher=None, y_teacher=None,  # type: ignore[override]
            sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train the student.

        Parameters
        ----------
        X : array-like, or dict of array-like
            The student's samples.
        y : array-like of shape (n,)
            Their labels; -1 (None among strings) marks a sample without one.
        X_teacher : array-like, or dict of array-like, of shape (m, ...), optional
            The teacher's samples, which belong to none of the student's. A frozen teacher encodes
            them in place of its feature bank, any other is fitted on them; without them it is
            fitted on ``X``. Not with ``paired=True``.
        y_teacher : array-like of shape (m,), optional
            Their labels.
        sample_weight : array-like of shape (n,), default=None
            How often each of the student's samples counts, not below 0: in cross-entropy and LA,
            and to a teacher that is fitted on ``X``. FA compares batches, and counts every sample
            once. One that weighs 0 is as good as not there.
        X_val, y_val : as X and y, default=None
            A validation set. The history then has ``valid_loss``, cross-entropy alone, which early
            stopping watches, and ``valid_acc``.
        sample_weight_val : array-like, default=None
            Weights of the validation set.

        Returns
        -------
        self

        Warns
        -----
        UserWarning
            Where a teacher that has been fitted, and is not frozen, is fitted anew on ``X``.
        """
        if (X_teacher is None) != (y_teacher is None):
            raise ValueError("X_teacher and y_teacher come together; one of them is None.")
        if X_teacher is not None:
            if self.paired:
                raise ValueError("paired=True takes pairs from X, a dict of the student's and the "
                                 "teacher's modality; X_teacher and y_teacher belong to none of "
                                 "its rows, so leave them out, or use paired=False.")
            parts = X_teacher.values() if isinstance(X_teacher, Mapping) else [X_teacher]
            lengths = [len(part) for part in (*parts, y_teacher)]
            if len(set(lengths)) > 1:
                raise ValueError(f"X_teacher and y_teacher have inconsistent numbers of samples, "
                                 f"{lengths}. If this is a grid search: scikit-learn cuts what is "
                                 "as long as X into its folds; fit the teacher beforehand, and "
                                 "pass FrozenEstimator(teacher).")
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val),
                         X_teacher=X_teacher, y_teacher=y_teacher)

    def _prepare(self, X, y, data, X_teacher, y_teacher):  # type: ignore[override]
        if X_teacher is not None:
            X_teacher, y_teacher, _ = labelled_part(X_teacher, column_or_1d(y_teacher))
        z, labels = self._teachers_features(X, y, data.get("weight"), X_teacher, y_teacher)
        known = self.teacher_.classes_
        order = class_columns("teacher", self.teacher_, self.classes_)
        order += [k for k in range(len(known)) if k not in order]  # the student's classes first
        codes = label_codes(labels, known)
        codes = np.where(codes >= 0, np.argsort(order)[codes], UNLABELLED)
        missing = np.setdiff1d(np.arange(len(self.classes_)), codes)
        if len(missing):
            raise ValueError(f"The teacher's samples hold none of the classes "
                             f"{self.classes_[missing].tolist()}, so there is nothing to align "
                             "these with. Pass X_teacher and y_teacher with samples of them.")
        z, codes = torch.as_tensor(z), torch.from_numpy(codes)
        # what the teacher knows of classes that the student lacks is no goal for its features
        shared = (codes >= 0) & (codes < len(self.classes_))
        self._bank = (z, codes, order) if self.paired else (z[shared], codes[shared], order)
        self._scale = self.feature_scale
        if self.lambda_fa and self._scale == "auto":
            self._scale = self._teachers_spread()
        self._bank_rng = np.random.default_rng([self._draw_seed(), 1])
        warm = self._goes_on()
        self._epochs_before = len(self.net_.history) if warm else 0
        return {"z_T": z} if self.paired else {}

    def _teachers_spread(self):
        """Return the mean cost between two of the teacher's features."""
        z = self._bank[0]
        if (z == z[0]).all():
            raise ValueError("The teacher's features are all alike, so there is nothing to align "
                             "features with. Look at teacher.feature_bank_.")
        z = z[:: -(-len(z) // SOME)]
        metric = METRICS[self.metric] if isinstance(self.metric, str) else self.metric
        return metric(z, z).mean().item() * len(z) / (len(z) - 1)  # not of a sample to itself

    def _teachers_features(self, X, y, weight, X_teacher, y_teacher):
        """Fit the teacher, if need be, and return its samples' features and labels."""
        frozen = isinstance(self.teacher, FrozenEstimator)
        if not frozen and X_teacher is None and is_fitted(self.teacher):
            warnings.warn(f"The teacher, a fitted {type(self.teacher).__name__}, is fitted anew on "
                          "the student's X and y: what it knows is lost. Pass "
                          "FrozenEstimator(teacher) to keep it, or clone(teacher) if this is what "
                          "you want.", stacklevel=2)
        X_own, y_own, w_own = labelled_part(X, y, weight) if X_teacher is None \
            else (X_teacher, y_teacher, None)
        template = seeded_copy(self.teacher, self._draw_seed())
        self.teacher_ = teacher = fit_teacher(template, X_own, y_own, weight=w_own)
        class_columns("teacher", teacher, self.classes_)
        for need, use in (("encode", "features"), ("head_", "a head that reads its features")):
            if not hasattr(teacher, need):
                raise TypeError(f"teacher={self.teacher!r} has no {need}: an unpaired student "
                                f"needs {use}.")
        if self.paired:
            z, labels = teacher.encode(X), y
        elif frozen and X_teacher is not None:
            z, labels = teacher.encode(X_teacher), y_teacher
            check_consistent_length(z, labels)
        else:
            z = getattr(teacher, "feature_bank_", None)
            labels = getattr(teacher, "feature_bank_labels_", None)
        if z is None or labels is None:
            raise ValueError(f"teacher={self.teacher!r} keeps no feature bank; pass X_teacher and "
                             "y_teacher.")
        if self.cv is not None and not frozen:
            rows = np.flatnonzero(labelled_mask(labels))  # those that it was fitted on
            z = np.array(z)
            z[rows] = _out_of_fold(template, X_own, y_own, w_own, self.cv, teacher.classes_)
        if not np.isfinite(z).all():
            raise ValueError("The teacher's features hold NaN or infinite values. Look at the "
                             "scale of what it was fitted on, or of X_teacher.")
        return z, labels

    def _build(self, data):
        network = super()._build(data)
        if not isinstance(network, Classifier):
            raise ValueError(f"module={self.module!r} does not end in a linear layer, so it has no "
                             "features to align. Let its last layer be a torch.nn.Linear.")
        return _InTeachersSpace(network, self._bank[0].shape[1])

    def _criterion(self):
        return _Bank(*self._bank, self.teacher_.head_)

    # ---------------------------------------------------------------- training

    def _training_state(self):
        return self._bank_rng.bit_generator.state

    def _resume(self, state):
        self._bank_rng.bit_generator.state = state

    _adds_up = False  # transport is between batches, and the gradient is that of a step further on

    def _step(self, net, batch):
        terms = _Terms(self, net, batch)
        if self.bilevel and (terms.fa_steps or terms.la_steps):
            loss, output = self._algorithm_1(net, batch, terms)
        else:
            loss, output = self._plain_sum(net.module_, batch, terms)
        return {"loss": loss, "y_pred": output.logits, "terms": {"loss": loss, **terms.values}}

    def _plain_sum(self, module, batch, terms):
        output = module(batch.X)
        loss = terms.values["ce"] = self._cross_entropy(output, batch)
        if terms.fa_steps:
            loss = loss + terms.fa(output)
        if terms.la_steps:
            loss = loss + terms.la(output.logits, output.z)
        loss.backward()
        return loss, output

    def _algorithm_1(self, net, batch, terms):
        loop = LOOPS[self.order](net.module_, self._inner_rates(net), self.inner_optimizer,
                                 self.inner_weight_decay)
        with loop as inner:  # line 5: phi_tmp and p_tmp
            for _ in range(terms.fa_steps):  # lines 6 to 8: on lambda_1 FA (eq. 14)
                inner.descend("phi", terms.fa(inner(batch.X)), terms.lambda_fa)
            moves_phi = self.la_scope == "all"
            if not (moves_phi and terms.la_steps):
                output = inner(batch.X)
            for _ in range(terms.la_steps):  # lines 9 to 13: on lambda_2 LA (eq. 15)
                if moves_phi:  # line 11
                    output = inner(batch.X)
                    inner.descend("phi", terms.la(output.logits, output.z), terms.lambda_la)
                    output = inner(batch.X)
                # line 12, at the phi of line 11: the one pass there serves cross-entropy, too
                features, z = output.features, output.z
                if self.order == "first":
                    features, z = features.detach(), z.detach()
                inner.descend("p", terms.la(inner.head(features), z), terms.lambda_la)
                if net.compile:  # p, which has moved on, is part of what that pass has kept
                    output = inner(batch.X)
                else:
                    output = output._replace(logits=inner.head(output.features))
            ce = terms.values["ce"] = self._cross_entropy(output, batch)  # err_S, eq. 2
            if not ce.isfinite():
                rate = f"lr={self.lr}" if self.inner_lr == "lr" else f"inner_lr={self.inner_lr!r}"
                raise FloatingPointError(f"Cross-entropy is {ce.item()} after the inner steps. "
                                         f"Lower {rate}.")
            inner.backward(ce)  # lines 14 and 15: the adapted parameters' gradient
        return ce, output

    def _inner_rates(self, net):
        """Return the rate of each parameter's inner steps by its name, or "auto"."""
        if self.inner_lr == "auto":
            return "auto"
        names = {p: name for name, p in net.module_.named_parameters()}
        if self.inner_lr != "lr":
            return dict.fromkeys(names.values(), self.inner_lr)
        return {names[p]: group["lr"] for group in net.optimizer_.param_groups
                for p in group["params"] if p in names}

    def _draw(self, bank, n):
        """Draw a batch of the teacher's features, and their labels."""
        size = self.teacher_batch_size or n
        m, rng = len(bank.y), self._bank_rng
        if self.balanced_bank:
            k = rng.integers(len(bank.of_class), size=size)
            rows = np.array([rng.choice(bank.of_class[c]) for c in k])
        elif size >= m:
            return bank.z, bank.y
        else:
            rows = rng.choice(m, size, replace=False)
        drawn = torch.from_numpy(rows).to(bank.y.device, non_blocking=True)
        return bank.z[drawn], bank.y[drawn]

    def project(self, X):
        """Return the student's features in the teacher's space, (n, d) float32."""
        features = torch.from_numpy(self.encode(X)).to(self.net_.device)
        with torch.inference_mode():
            return self.net_.module_.projection(features).cpu().numpy()


class _Terms:
    """FA and LA of a batch, weighted; their last values are kept."""

    def __init__(self, method, net, batch):
        self.method, self.bank, self.y, self.values = method, net.criterion_, batch.y, {}
        self.weight = batch.get("ce_weight")  # 0 where there is no label
        self.fa_steps = method.fa_steps if method.lambda_fa else 0
        self.la_steps = method.la_steps if method.lambda_la else 0
        if self.fa_steps:
            self.z_T, self.y_T = (batch.z_T, batch.y) if method.paired \
                else method._draw(self.bank, len(batch.y))
        done = (len(net.history) - 1 - method._epochs_before) / max(method.max_epochs_, 1)
        share = 1 - done if method.decay else 1.0
        self.lambda_fa, self.lambda_la = share * method.lambda_fa, share * method.lambda_la

    def fa(self, output):
        method = self.method
        self.values["fa"] = feature_alignment(
            output.z, self.z_T, y_S=self.y, y_T=self.y_T, metric=method.metric,
            label_cost=method.label_cost, reg=method.sinkhorn_reg)
        return self.lambda_fa * self.values["fa"] / method._scale

    def la(self, logits, z):
        y = self.y.clamp(min=0)
        log_p_T = log_kappa(self.bank.teacher_logits, z, y, self.method.la_gradient)
        kappa = log_p_T.detach().exp()
        self.values["kappa"] = (kappa if self.weight is None else self.weight * kappa).mean()
        self.values["la"] = less_likely(logits, log_p_T, y, self.weight)
        return self.lambda_la * self.values["la"]


class _Shared(NamedTuple):
    """An :class:`~cmkdlearn.losses.Output` with the features in the teacher's space."""

    logits: torch.Tensor
    features: torch.Tensor
    z: torch.Tensor


class _InTeachersSpace(Classifier):
    """A classifier whose features are also seen in the teacher's space.

    Its head reads its own features: without alignment it is the plain network, bit for bit.
    """

    def __init__(self, network, width):
        super().__init__(network.encoder, network.head, network.preprocess)
        self.projection = nn.Identity()
        if network.head.in_features != width:
            with torch.random.fork_rng(devices=[]):  # nor do other random numbers change
                self.projection = nn.Linear(network.head.in_features, width)

    def forward(self, x):
        output = super().forward(x)
        return _Shared(output.logits, output.features, self.projection(output.features))


class _Bank(nn.Module):
    """The teacher's features with their labels, and its head, all in the student's coding."""

    def __init__(self, z, y, order, head):
        super().__init__()
        self.register_buffer("z", z)
        self.register_buffer("y", y)
        sorted_already = order == [*range(len(order))]
        self.register_buffer("order", None if sorted_already else torch.tensor(order))
        self.head = copy.deepcopy(head).requires_grad_(False)
        self.of_class = [np.flatnonzero(y.numpy() == k) for k in np.unique(y.numpy())]

    def teacher_logits(self, z):
        """Apply the teacher's head; the student's classes come first."""
        logits = self.head(z)
        return logits if self.order is None else logits[:, self.order]


def _out_of_fold(template, X, y, weight, cv, classes):
    """Return the features that samples have for teachers that were not fitted on them."""
    z = None
    for train, test in folds(cv, y):
        fitted = fit_teacher(template, take(X, train), y[train],
                             weight=None if weight is None else weight[train])
        class_columns("teacher", fitted, classes)
        part = fitted.encode(take(X, test))
        z = np.empty((len(y), part.shape[1]), part.dtype) if z is None else z
        z[test] = part
    return z
