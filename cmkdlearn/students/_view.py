"""Teachers that are asked about the batches that the student sees, changed as they are."""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Bunch

from cmkdlearn._hashing import content_hash
from cmkdlearn._protocol import class_columns, teaching_logits
from cmkdlearn.base import TorchEstimator, TorchTeacher
from cmkdlearn.losses import Output
from cmkdlearn.nn.data import as_array, move
from cmkdlearn.nn.features import with_feature_maps
from cmkdlearn.nn.inputs import as_given
from cmkdlearn.nn.samples import Modalities, first_of, is_dataset, select_modality, take
from cmkdlearn.teachers import TeacherEnsemble

CHECKED = 128  # samples of which arrays are compared with what was given
INSTEAD = "Use teacher_view='clean', or leave the teacher out."
# What a teacher's answer may come from; whoever overrides one of these is asked for it, by arrays.
ANSWERS = ("teaching_logits", "encode", "_read", "_run", "_outputs", "_output")


class View:
    """What teachers say of a batch as the student sees it.

    Networks are fed the tensors, other teachers the arrays that these stand for.

    Parameters
    ----------
    teachers : list of (str, fitted teacher, float)
        With their weights.
    student : MultiTeacherDistiller
        Which has read its training data.
    X : array-like, Dataset or dict of these
        The training data as they were given.
    y : ndarray of shape (n,), or None
        Labels, for teachers that read them.
    data : dict of Tensor
        What the student reads of X, by the name "X".
    needs : tuple of str
        The parts of an :class:`~cmkdlearn.losses.Output` that the loss reads.
    logits : ndarray of shape (n, n_classes)
        What the teachers say of the training data as they are.

    Attributes
    ----------
    clean : Output
        For a loss to be built on: ``logits``, and the features and maps of a few samples as they
        are.
    """

    def __init__(self, teachers, student, X, y, data, needs, logits):
        self.needs, self.voices = needs, []
        rows, labels = data["X"][:2], None if y is None else y[:2]
        for name, teacher, weight in teachers:
            try:
                voice = _voice(name, teacher, student, X, data["X"], needs)
                with torch.no_grad():
                    said = voice(rows, voice.shown(labels))
                if "features" in needs and said.features is None:
                    raise ValueError("It has no features: its network does not end in a linear "
                                     "layer.")
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ValueError(f"Teacher {name!r} cannot be shown what the student sees. {error} "
                                 f"{INSTEAD}") from error
            self.voices.append((float(np.float32(weight)), voice))
        few = self(Bunch(X=rows, shown=self.shown(labels)))
        self.clean = few._replace(logits=torch.from_numpy(logits))

    def shown(self, y):
        """Return what each teacher is shown of each sample's label, to be sliced with the batch.

        A tensor (n,), None, or a tuple of these.
        """
        return tuple(voice.shown(y) for _, voice in self.voices)

    def __call__(self, batch):
        """Return the teachers' Output of a batch, on its device."""
        with torch.no_grad():
            said = [(weight, voice(batch.X, shown)) for (weight, voice), shown
                    in zip(self.voices, batch.shown, strict=True)]
        z_bar = sum(weight * output.logits for weight, output in said)  # eq. 1
        return Output(z_bar, *(
            side_by_side([getattr(output, part) for _, output in said])
            if part in self.needs else None for part in ("features", "feature_maps")))


def side_by_side(answers):
    """Concatenate what several teachers say, along the features or the channels."""
    if not isinstance(answers[0], tuple):
        return torch.cat(answers, dim=1)
    sizes = {tuple(tuple(map.shape[2:]) for map in maps) for maps in answers}
    if len(sizes) > 1:
        raise ValueError(f"The teachers' feature maps have different sizes, {sorted(sizes)}; a "
                         "loss that compares maps needs one teacher, or several of one kind.")
    return tuple(torch.cat(maps, dim=1) for maps in zip(*answers, strict=True))


def features_of(teacher, X):
    """Return a teacher's features as a tensor, all of them finite."""
    features = torch.from_numpy(np.asarray(teacher.encode(X), dtype=np.float32))
    if not features.isfinite().all():
        raise ValueError("Its features are NaN or infinite.")
    return features


def check_modality(name, teacher, student, X):
    """Refuse a teacher, fitted or not, that does not read what the student reads."""
    inner = _inner(teacher)
    if isinstance(inner, TeacherEnsemble):
        for member, part in inner.teachers:
            check_modality(f"{name}/{member}", part, student, X)
    elif isinstance(inner, TorchEstimator):
        theirs, ours = (_read_of(X, estimator.modality) for estimator in (inner, student))
        if content_hash(theirs) != content_hash(ours):
            raise ValueError(f"teacher_view='same' shows teachers what the student sees, "
                             f"modality={ours!r}, but teacher {name!r} reads modality={theirs!r}. "
                             f"{INSTEAD}")


def _read_of(X, modality):
    """Return what of X is read; where X is one modality, its name says nothing."""
    several = isinstance(X, Mapping) or is_dataset(X) and isinstance(first_of(X), Mapping)
    return None if isinstance(modality, str) and not several else modality


def _inner(teacher):
    return teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher


# -------------------------------------------------------------------- one teacher

def _voice(name, teacher, *args):
    """Return what asks a teacher about a batch, and says what of the labels it is shown."""
    inner = _inner(teacher)
    if isinstance(inner, TorchTeacher) and _answers_as(inner, _definer(inner, "_fed")):
        return _Network(name, inner, *args)
    if isinstance(inner, TeacherEnsemble) and _answers_as(inner, TeacherEnsemble):
        return _Ensemble(name, inner, *args)
    return _Arrays(name, inner, *args)


def _answers_as(teacher, base):
    """Tell whether a teacher's answers are those of a base class, and none was overridden."""
    return all(issubclass(base, _definer(teacher, name)) for name in ANSWERS)


def _definer(teacher, name):
    return next((cls for cls in type(teacher).__mro__ if name in vars(cls)), object)


class _Network:
    """A network, which is fed tensors."""

    def __init__(self, name, teacher, student, X, read, needs):
        self.teacher, self.module, self.needs = teacher, teacher.net_.module_, needs
        self.columns = class_columns(name, teacher, student.classes_)
        if hasattr(teacher, "reader_"):
            self.reading = teacher.reader_.follow(student.reader_, read.dtype)
        elif hasattr(teacher.embedder, "embed_batch"):
            self.reading = None
        else:
            self.reading = _Given(student, X, read)
        if "feature_maps" in needs:
            self.module = with_feature_maps(self.module, self.reading(read[:2]))

    def shown(self, y):
        return self.teacher._label_inputs(y)

    def __call__(self, X, shown):
        read = X if self.reading is None else self.reading(X)
        fed = move(self.teacher._fed(read), self.teacher.net_.device)
        if shown is None:
            output = self._ask(fed)
        else:
            output = self._ask(Bunch(**{**fed, "shown": shown.to(fed.X.device)}))
            if "features" in self.needs:  # encode is shown no label
                output = output._replace(features=self._ask(fed).features)
        output = output._replace(logits=output.logits[:, self.columns])
        return output.map(lambda t: t.to(X.device))

    def _ask(self, fed):
        return self.teacher._output(self.module.eval(), fed)


class _Ensemble:
    """A :class:`~cmkdlearn.teachers.TeacherEnsemble`: the weighted sum of its members."""

    def __init__(self, name, teacher, student, *args):
        self.weights, bias = teacher._weights_and_bias()
        columns = class_columns(name, teacher, student.classes_)
        self.bias = torch.from_numpy(np.broadcast_to(bias, len(teacher.classes_))[columns])
        args = student, *args
        self.voices = [_voice(name, member, *args)
                       for name, member in teacher.named_teachers_.items()]

    def shown(self, y):
        return tuple(voice.shown(y) for voice in self.voices)

    def __call__(self, X, shown):
        said = [voice(X, part) for voice, part in zip(self.voices, shown, strict=True)]
        logits = self.bias.to(X.device) + sum(
            float(weight) * output.logits
            for weight, output in zip(self.weights, said, strict=True))
        if any(output.features is None for output in said):
            return Output(logits)
        return Output(logits, torch.cat([output.features for output in said], dim=1))


class _Arrays:
    """Any other teacher, which reads arrays: slower, and as right."""

    def __init__(self, name, teacher, student, X, read, needs):
        if "feature_maps" in needs:
            raise ValueError("It has no feature maps of a batch.")
        self.name, self.teacher, self.classes, self.needs = name, teacher, student.classes_, needs
        self.given = _Given(student, X, read)
        self.modality = student.modality if isinstance(X, Mapping) else None
        self.labels: np.ndarray | list = []

    def shown(self, y):
        if y is None:
            return None
        first = len(self.labels)
        self.labels = np.concatenate([self.labels, y]) if first else y
        return torch.arange(first, len(self.labels))

    def __call__(self, X, shown):
        given = self.given(X)
        if self.modality is not None:
            given = Modalities({self.modality: given})
        y = None if shown is None else self.labels[as_array(shown)]
        logits = teaching_logits(self.name, self.teacher, given, y, self.classes)
        features = features_of(self.teacher, given) if "features" in self.needs else None
        return Output(torch.from_numpy(logits), features).map(lambda t: t.to(X.device))


class _Given:
    """Batches as arrays of the layout, dtype and names of columns that X was given with."""

    def __init__(self, student, X, read):
        if not (student.modality is None or isinstance(student.modality, str)):
            raise ValueError(f"It reads all columns of X, and the student modality="
                             f"{student.modality!r}.")
        few = select_modality(X, student.modality, fitting=False)
        if is_dataset(few):
            raise ValueError(f"It reads arrays, and X is a {type(few).__name__}.")
        few = take(few, slice(0, CHECKED))
        array = np.asarray(few)
        self.shape, self.dtype, self.input_type = array.shape, array.dtype, student.input_type
        self.frame = few if hasattr(few, "columns") else None
        if not np.allclose(self(read[:CHECKED]), array):
            raise ValueError("It reads arrays, and X comes in another unit than in the first fit.")

    def __call__(self, batch):
        array = as_given(as_array(batch), self.shape, self.input_type)
        if self.dtype.kind == "f" or array.dtype == np.uint8:  # else whole numbers that were mixed
            array = array.astype(self.dtype, copy=False)
        return array if self.frame is None else type(self.frame)(array, columns=self.frame.columns)
