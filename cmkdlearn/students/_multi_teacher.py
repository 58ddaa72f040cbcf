"""Distillation from several teachers (Guo et al., equations 1 to 3)."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from cmkdlearn._bridge.inference import infer
from cmkdlearn._hashing import content_hash
from cmkdlearn._labels import labelled_mask
from cmkdlearn._protocol import (
    as_teacher,
    class_columns,
    fit_teacher,
    folds,
    labelled_part,
    needs_labels,
    out_of_fold_logits,
    teaching_logits,
)
from cmkdlearn._validation import check_memory, check_number, check_option
from cmkdlearn.base import TorchClassifier, reads_one_tensor
from cmkdlearn.losses import LOSSES, Output, get_loss
from cmkdlearn.nn.augment import mix
from cmkdlearn.nn.data import TensorData
from cmkdlearn.nn.features import with_feature_maps
from cmkdlearn.students._view import View, check_modality, features_of, side_by_side
from cmkdlearn.teachers._composition import TeacherComposition

LAMBDA = 0.25  # the default; the suite of the benchmarks bears it out


class MultiTeacherDistiller(TorchClassifier, TeacherComposition):
    r"""A student taught by labels and by its teachers, with any distillation loss.

    .. math::

        \bar z &= \sum_k w_k z_k \qquad & (1) \\
        L &= \mathrm{CE}(y, z_s) + \lambda \tau^2\,
             \mathrm{CE}(\mathrm{softmax}(\bar z/\tau), \mathrm{softmax}(z_s/\tau)) & (2, 3)

    after [1]_. The second term is implemented as a Kullback-Leibler divergence, which differs by
    a constant. Teachers may read any modality; the student reads one. Any other loss of
    :mod:`cmkdlearn.losses`, or a weighted sum of several, may take the second term's place.

    Parameters
    ----------
    teachers : list of (str, estimator), default=()
        Teachers or scikit-learn classifiers. Those in a
        :class:`~sklearn.frozen.FrozenEstimator` are used as they are, the others fitted on the
        labelled samples. A classifier of scikit-learn reads the student's modality, unless it is a
        pipeline that begins with a :class:`~cmkdlearn.preprocessing.ModalitySelector`. Without
        teachers this is plain cross-entropy: the baseline of every comparison.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The student's network; "auto" chooses by the data: an MLP for tables, timm's ResNet-18
        for images, the mean over time and an MLP for sequences. Any other string is the name of
        a timm model.
    modality : str or list, default=None
        What the student reads, where ``X`` is a dict of modalities (or the columns of a table).
    loss : str or DistillationLoss, default="kd"
        A name from :data:`cmkdlearn.losses.LOSSES`, or a loss, or a weighted sum such as
        ``0.5 * get_loss("dkd") + get_loss("rkd")``.
    lambda_kd : float, default=0.25
        :math:`\lambda \ge 0`, the weight of the teachers; for the default see the notes.
    alpha : float, default=None
        In [0, 1], in place of ``lambda_kd``, which is left at its default then: the loss is
        :math:`\alpha \mathrm{CE} + (1 - \alpha) \mathrm{KD}`, which is :math:`\alpha` times the one
        above with :math:`\lambda = (1 - \alpha) / \alpha`. At 1 only labels teach, at 0 only
        teachers. It is not the :math:`\alpha` of [1]_, a share of class names among texts.
    temperature : float, default=1.0
        :math:`\tau > 0`, for a loss given by name, if it has one.
    teacher_weights : array-like of shape (n_teachers,) or dict of str to float, default=None
        :math:`w_k \ge 0`, in the order of the teachers or by their names, normalised to sum to one;
        None weighs all alike.
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of the student's images.
    mixup : float, default=0.0
        Mixup [2]_ of a batch, after its augmentation, tables and sequences too:
        :math:`x' = s x_i + (1 - s) x_j`, with :math:`s \sim \mathrm{Beta}(m, m)` for this m, one a
        batch. Labels are mixed alike, :math:`s \mathrm{CE}(y_i) + (1 - s) \mathrm{CE}(y_j)`, and so
        is what the teachers say; see the notes. 0 mixes nothing.
    teacher_view : {"clean", "same"}, default="clean"
        "clean": teachers say once what they think of the images as they are, and the student is
        asked to say it of the changed ones. "same": they see what the student sees, augmented and
        mixed alike, in every batch anew [3]_. That costs their forward pass in each epoch, and they
        have to read the student's modality.
    cv : int or cross-validation splitter, default=None
        Teach by out-of-fold logits: a labelled sample is taught by teachers that were not fitted
        on it. Frozen teachers are not refitted. Not with ``teacher_view="same"``.
    memory : str, os.PathLike or joblib.Memory, default=None
        Where fitted teachers and their logits are kept, so that candidates of a grid search
        that share a teacher's setting share the teacher. Teachers with ``random_state=None``
        take their seed from this estimator's ``random_state`` if that is an integer.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`: ``max_epochs``, ``lr``, ``batch_size``,
        ``label_smoothing``, ``early_stopping``, ``random_state``, ``device``, ...

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teachers_ : list of fitted teachers
    named_teachers_ : Bunch
        The same by name.
    teacher_logits_ : ndarray of shape (n, n_classes), float32
        What the student was shown: :math:`\bar z` of the training samples. Not where the teachers'
        view is "same": there it was shown something else each time.
    history_ : skorch.history.History
        ``train_loss``, ``train_ce_loss`` and ``train_kd_loss`` (both before they are weighed) an
        epoch.

    Notes
    -----
    Where all pairs had a label, the usual :math:`\lambda = 1` and :math:`\tau = 4` cost accuracy on
    five of 18 pairs of real modalities, by up to 2.8 points, and gained on two; the defaults left
    all but one as they were (-0.6). Where most pairs had none, both gained, the usual ones more.
    What gained most there, and lost nowhere, is a :class:`~cmkdlearn.teachers.ProductOfExperts` of
    the teacher and the student's own modality, with ``alpha=0.2``.

    A sample whose label is -1 (None among string labels) is unlabelled, as in
    :mod:`sklearn.semi_supervised`: it carries the distillation term only, and only teachers that
    need no label may teach. Losses that read the label leave such samples out.

    Logits of several teachers are averaged, features put side by side, and feature maps of equal
    size stacked along the channels. Features and maps come from the teachers that were fitted on
    all labelled samples, also where ``cv`` asks for out-of-fold logits: the features of two fits
    have nothing in common. Maps are kept for all samples, in half precision.

    In the clean view, a loss of logits or features asks the student to say of a changed image what
    the teacher said of the original; one that compares feature maps pixel by pixel had better go
    without crops and flips. In the same view it may have them. Networks are then fed the student's
    batches as they are, and a :class:`~cmkdlearn.teachers.WordNetRelaxedTeacher` has its embedder
    embed them, without a look at its cache; other teachers are asked by arrays in the layout of
    ``X``, on the CPU. Teachers stay as they were fitted, in evaluation mode. The samples that
    ``early_stopping`` sets aside are neither augmented nor mixed, for either side. Without
    augmentation and mixup, the two views give the same student.

    Mixtures are of labelled samples, which carry the cross-entropy of both, or of unlabelled ones,
    which carry none. In the same view the teachers see the mixture. In the clean view the loss
    is mixed, :math:`s \mathrm{KD}(z', \bar z_i) + (1 - s) \mathrm{KD}(z', \bar z_j)` for the
    student's :math:`z'`; its gradient is that of the divergence from mixed probabilities, as for
    labels. Losses that read the label are refused, and in the clean view those that compare samples
    with each other. In the same view no teacher is shown a label, for a mixture has none of its
    own: one that only reads class names is refused, and one that reads some is shown relaxed text.

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".
    .. [2] Zhang, Cisse, Dauphin, Lopez-Paz. "mixup: Beyond Empirical Risk Minimization",
       ICLR 2018.
    .. [3] Beyer, Zhai, Royer, Markeeva, Anil, Kolesnikov. "Knowledge distillation: A good teacher
       is patient and consistent", CVPR 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> X, y = load_digits(return_X_y=True)
    >>> student = MultiTeacherDistiller([("svm", SVC())], random_state=0)
    >>> student.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.85
    True
    """

    _takes_unlabelled = True
    _view: View | None = None  # while training, where teachers see what the student sees

    def __init__(self, teachers=(), *, module="auto", modality=None, loss="kd", lambda_kd=LAMBDA,
                 alpha=None, temperature=1.0, teacher_weights=None, augmentation=None, mixup=0.0,
                 teacher_view="clean", cv=None, memory=None, **training):
        self.teachers = teachers
        self.loss = loss
        self.lambda_kd = lambda_kd
        self.alpha = alpha
        self.temperature = temperature
        self.teacher_weights = teacher_weights
        self.mixup = mixup
        self.teacher_view = teacher_view
        self.cv = cv
        self.memory = memory
        super().__init__(module, modality=modality, augmentation=augmentation, **training)

    def _check_params(self):
        super()._check_params()
        self._check_teachers()
        check_number("lambda_kd", self.lambda_kd, low=0)
        if self.alpha is not None:
            check_number("alpha", self.alpha, low=0, high=1)
            if self.lambda_kd != LAMBDA:
                raise ValueError(f"alpha={self.alpha!r} and lambda_kd={self.lambda_kd!r} both weigh"
                                 f" the teachers; leave lambda_kd at {LAMBDA}, or alpha at None.")
        check_option("teacher_view", self.teacher_view, ("clean", "same"))
        check_number("mixup", self.mixup, low=0)
        self._augments = self._augments or bool(self.mixup)
        loss = self._criterion()
        if self.teachers:
            self._check_view(loss)
        last = self.net_.criterion_ if self._goes_on() else None
        if last is not None and list(last.parameters()) and repr(loss) != repr(last):
            raise ValueError(f"warm_start=True goes on with the parameters of {last!r}, which "
                             f"loss={self.loss!r} does not have; use warm_start=False.")
        self._weights()

    def _check_view(self, loss):
        same = self.teacher_view == "same"
        if same and self.cv is not None:
            raise ValueError(f"cv={self.cv!r} teaches by logits that are worked out once, and "
                             "teacher_view='same' asks the teachers anew in every batch; use "
                             "cv=None or teacher_view='clean'.")
        if not self.mixup:
            return
        if loss.needs_labels:
            raise ValueError(f"mixup={self.mixup!r}: loss={self.loss!r} reads the label, and a "
                             "mixture has not one; use mixup=0, or a loss that reads none, such as "
                             "'kd'.")
        if not same and loss.min_samples > 1:
            raise ValueError(f"mixup={self.mixup!r}: loss={self.loss!r} compares the samples of a "
                             "batch, of which the teachers have seen none; use mixup=0 or "
                             "teacher_view='same'.")
        for name, teacher in self.teachers if same else ():
            if needs_labels(teacher):
                raise ValueError(f"mixup={self.mixup!r}: teacher {name!r} only reads class names, "
                                 "and a mixture has not one; use mixup=0 or teacher_view='clean'.")

    def _criterion(self):
        named = LOSSES.get(self.loss) if isinstance(self.loss, str) else None
        tempered = named is None or "temperature" in inspect.signature(named).parameters
        params = {"temperature": self.temperature} if tempered else {}
        return copy.deepcopy(get_loss(self.loss, **params))

    @property
    def _adds_up(self):  # type: ignore[override]
        return not self.teachers_ or self.net_.criterion_.min_samples == 1

    def _build(self, data):
        module = super()._build(data)
        if self.teachers_ and "feature_maps" in self._criterion().needs:
            return with_feature_maps(module, data["X"])
        return module

    def _criterion_for(self, module, data):
        loss = self._criterion()
        if not self.teachers_:
            return loss
        rows = min(len(data["X"]), 2)
        device = next((p.device for p in module.parameters()), "cpu")
        with torch.inference_mode():  # eval mode of a copy: batch statistics untouched
            student = copy.deepcopy(module).eval()(data["X"][:rows].clone().to(device))
        with torch.random.fork_rng(devices=[]):  # so that batches do not depend on the loss
            loss.build(student.map(torch.Tensor.cpu), data["teacher"] if self._view is None
                       else self._view.clean)
        if self._goes_on() and list(loss.parameters()):
            raise ValueError(f"loss={self.loss!r} has parameters that the optimiser of the last "
                             "fit does not know; use warm_start=False.")
        return loss.to(device)

    def _weights(self):
        n, given = len(self.teachers), self.teacher_weights
        if given is None:
            return np.full(n, 1 / max(n, 1))
        if isinstance(given, Mapping):
            names = [name for name, _ in self.teachers]
            if set(given) != set(names):
                raise ValueError(f"teacher_weights={given!r} must hold one weight for each of the "
                                 f"teachers {names}.")
            given = [given[name] for name in names]
        try:
            weights = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            weights = np.empty(())
        if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < 0).any() \
                or not weights.sum() > 0:
            raise ValueError(f"teacher_weights={self.teacher_weights!r} must hold {n} non-negative "
                             "numbers, one a teacher and not all of them zero.")
        return weights / weights.sum()

    def _prepare(self, X, y, data):
        self.teachers_ = []
        self.__dict__.pop("teacher_logits_", None)  # the last fit's
        if not self.teachers:
            return {}
        loss, weights, same = self._criterion(), self._weights(), self.teacher_view == "same"
        loss.check_classes(len(self.classes_))
        for (name, teacher), weight in zip(self.teachers, weights, strict=True):
            _check_gives(name, teacher, loss.needs, self.loss)
            if needs_labels(teacher) and not labelled_mask(y).all():
                raise ValueError(
                    f"Teacher {name!r} only reads class names, so it has nothing to say about the "
                    f"unlabelled samples of y. Leave them out, or use a teacher that needs no "
                    "label (a WordNetRelaxedTeacher with relaxed_proportion above 0, say).")
            if isinstance(teacher, FrozenEstimator):
                class_columns(name, as_teacher(teacher), self.classes_)
            if same and weight > 0:
                check_modality(name, teacher, self, X)
        teach = check_memory(self.memory).cache(_teach)
        z_bar = 0
        for (name, teacher), weight in zip(self._seeded_teachers(), weights, strict=True):
            ask = _teach if isinstance(teacher, FrozenEstimator) else teach
            lesson = _Lesson(name, teacher, X, y, data.get("weight"), self.classes_, self.cv,
                             self.modality)
            fitted, logits = ask(lesson)
            self.teachers_.append(fitted)
            z_bar = z_bar + np.float32(weight) * logits  # eq. 1
        if same:
            labels = None if self.mixup else y
            self._view = View(self._heard(), self, X, labels, data, loss.needs, z_bar)
            return {"shown": self._view.shown(labels)}
        self.teacher_logits_ = z_bar
        return {"teacher": self._said(X, z_bar)}

    def _beside(self, X, y, data):
        if not self.teachers_:
            return {}
        z_bar = sum(np.float32(weight) * teaching_logits(name, teacher, X, y, self.classes_)
                    for (name, _), teacher, weight
                    in zip(self.teachers, self.teachers_, self._weights(), strict=True))
        return {"teacher": self._said(X, z_bar)}  # nothing is changed at random here

    def _said(self, X, z_bar):
        """Return the teachers' Output: their mean logits, and what else the loss needs."""
        heard, needs = self._heard(), self._criterion().needs
        return Output(
            torch.from_numpy(z_bar),
            _of_each(features_of, heard, X) if "features" in needs else None,
            _of_each(_feature_maps, heard, X) if "feature_maps" in needs else None)

    def _heard(self):
        """Return the names, the fitted teachers and the weights of those that have any."""
        return [(name, teacher, weight) for (name, _), teacher, weight
                in zip(self.teachers, self.teachers_, self._weights(), strict=True) if weight > 0]

    def _augment(self, batch):
        if self._augmentation is not None:
            batch = super()._augment(batch)
        return mix(batch, self.mixup) if self.mixup else batch

    def _loss(self, module, batch, output):
        ce = _of_mixed(batch, lambda part: self._cross_entropy(output, part))
        if not self.teachers_:
            return {"loss": ce}
        distil = self.net_.criterion_
        weighs = "weight" in batch and distil.takes_weights

        def weight(part):
            return part.weight if weighs else None

        if self._view is None or "teacher" in batch:
            kd = _of_mixed(batch, lambda part: distil(output, part.teacher, part.y,
                                                      weight(part)))  # eq. 2
        else:  # what the student sees is shown to them
            kd = distil(output, self._view(batch), None if self.mixup else batch.y,
                        _of_mixed(batch, weight) if weighs else None)
        if self.alpha is None:
            loss = ce + self.lambda_kd * kd  # eq. 3
        else:
            loss = self.alpha * ce + (1 - self.alpha) * kd
        return {"loss": loss, "ce": ce, "kd": kd}

    def _remember(self, data, y):
        self.__dict__.pop("_view", None)
        super()._remember(data, y)


def _of_mixed(batch, loss):
    """Return the loss of a batch; of mixtures, that of both sides by their shares."""
    if "share" not in batch:
        return loss(batch)
    share = batch.share[0]
    other = Bunch(**{name.removeprefix("other_"): value for name, value in batch.items()
                      if name.startswith("other_")})
    return share * loss(batch) + (1 - share) * loss(other)


def _check_gives(name, teacher, needs, loss):
    """Refuse a teacher, fitted or not, that cannot give what the loss needs."""
    inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
    if "features" in needs and hasattr(inner, "teaching_logits") and not hasattr(inner, "encode"):
        raise ValueError(f"Teacher {name!r} has no features, which loss={loss!r} needs: it has no "
                         "encode(X).")
    if "feature_maps" in needs and not reads_one_tensor(inner):
        raise ValueError(f"Teacher {name!r} has no feature maps, which loss={loss!r} needs; only a "
                         "network such as UnimodalTeacher's has.")


def _of_each(ask, teachers, X):
    """Put side by side what several teachers say, or tell which one has nothing to say."""
    answers = []
    for name, teacher, _ in teachers:
        try:
            answers.append(ask(teacher, X))
        except (ValueError, AttributeError) as error:
            raise ValueError(f"Teacher {name!r} cannot give what the loss needs. "
                             f"{error}") from error
    return side_by_side(answers)


def _feature_maps(teacher, X):
    """Maps of all samples in half precision: they are many."""
    if isinstance(teacher, FrozenEstimator):
        teacher = teacher.estimator
    X = teacher.reader_.read(X, owner=teacher)
    network = with_feature_maps(teacher.net_.module_, X).eval()

    def ask(batch):
        return tuple(map.half() for map in network(batch.X).feature_maps)

    maps = infer(ask, TensorData(X=X), device=teacher.net_.device, batch_size=teacher.batch_size)
    if not all(map.isfinite().all() for map in maps):
        raise ValueError("Its feature maps are NaN, infinite or above 65,504.")
    return maps


@dataclass(repr=False)  # joblib writes the repr of arguments down; that of many nouns takes long
class _Lesson:
    """What a fitted teacher and its logits depend on."""

    name: str
    teacher: object
    X: object
    y: np.ndarray
    weight: torch.Tensor | None
    classes: np.ndarray
    cv: object
    modality: object  # of the student: what a teacher of another library reads, too

    def __reduce__(self):
        """For joblib, which knows it by its pickle: equal networks teach the same."""
        return str, (content_hash(vars(self)),)


def _teach(lesson):
    """Fit a teacher on the labelled samples, and let it speak about all of them."""
    name, teacher, X, y, weight, classes, cv, modality = vars(lesson).values()
    X_known, y_known, w_known = labelled_part(X, y, weight)
    parts = None if isinstance(teacher, FrozenEstimator) or cv is None else folds(cv, y_known)
    fitted = fit_teacher(teacher, X_known, y_known, modality, w_known, name)
    logits = teaching_logits(name, fitted, X, y, classes)
    if parts is not None:
        logits[labelled_mask(y)] = out_of_fold_logits(name, teacher, X_known, y_known, classes,
                                                      parts, modality, w_known)
    return fitted, logits
