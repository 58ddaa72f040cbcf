"""Teachers of one modality, several together, and scikit-learn's classifiers in that role."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from skorch.helper import SliceDict
from torch import nn

from cmkdlearn.base import as_teacher
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

X, y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
NAMES = np.array(["cat", "dog", "eel"])


def tiny(**params):
    return UnimodalTeacher(**{"max_epochs": 3, "module__hidden": (8,), "lr": 0.01, "device": "cpu",
                              **params})


def ensemble(**params):
    return TeacherEnsemble([("wide", tiny(module__hidden=(16,))), ("deep", tiny(module__hidden=(8, 4))),
                            ("linear", LogisticRegression())], **{"random_state": 0, **params})


def headed(teacher, X):
    with torch.inference_mode():
        return teacher.head_(torch.from_numpy(teacher.encode(X))).numpy()


# -------------------------------------------------------------------- as_teacher

LINEAR = [LogisticRegression(), LinearSVC(), RidgeClassifier(), LinearDiscriminantAnalysis(),
          SGDClassifier(loss="log_loss", random_state=0), LogisticRegression(fit_intercept=False),
          make_pipeline(StandardScaler(), LogisticRegression()), make_pipeline(LinearSVC()),
          make_pipeline("passthrough", LogisticRegression())]
OTHER = [GaussianNB(), SVC(break_ties=True), SVC(kernel="linear", break_ties=True),
         RandomForestClassifier(10, random_state=0), make_pipeline(StandardScaler(), GaussianNB())]


@pytest.mark.parametrize("labels", [y, y > 0, NAMES[y]], ids=["three", "two", "names"])
@pytest.mark.parametrize("estimator", LINEAR + OTHER, ids=str)
def test_any_classifier_can_teach(estimator, labels):
    estimator = clone(estimator).fit(X, labels)
    teacher = as_teacher(estimator, X, labels)
    logits = teacher.teaching_logits(X)
    n_classes = len(np.unique(labels))
    assert logits.shape == (120, n_classes) and logits.dtype == np.float32
    assert np.array_equal(teacher.classes_, estimator.classes_)
    assert np.array_equal(teacher.decision_function(X), logits)
    # what it says most is what it predicts
    assert np.mean(teacher.classes_[logits.argmax(1)] == estimator.predict(X)) > 0.99
    np.testing.assert_allclose(headed(teacher, X), logits, atol=2e-3, rtol=1e-4)
    assert np.array_equal(teacher.feature_bank_, teacher.encode(X))
    assert np.array_equal(teacher.feature_bank_labels_, labels)
    assert teacher.encode(X).dtype == np.float32 and not teacher.needs_labels_to_teach


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearDiscriminantAnalysis(),
                                       GaussianNB(), make_pipeline(StandardScaler(), LogisticRegression())],
                         ids=str)
@pytest.mark.parametrize("labels", [y, y > 0], ids=["three", "two"])
def test_softened_logits_of_probabilistic_classifiers_are_their_probabilities(estimator, labels):
    estimator = clone(estimator).fit(X, labels)
    softmax = torch.from_numpy(as_teacher(estimator).teaching_logits(X)).softmax(1).numpy()
    np.testing.assert_allclose(softmax, estimator.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("estimator", LINEAR, ids=str)
def test_features_of_a_linear_classifier_are_its_inputs(estimator):
    estimator = clone(estimator).fit(X, y)
    expected = X if len(getattr(estimator, "steps", [0])) == 1 else estimator[:-1].transform(X)
    np.testing.assert_allclose(as_teacher(estimator).encode(X), expected, rtol=1e-6)


def test_zero_probabilities_stay_finite():
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    assert (forest.predict_proba(X) == 0).any()
    assert np.isfinite(as_teacher(forest).teaching_logits(X)).all()


def test_a_teacher_of_texts():
    texts, labels = ["a black cat", "the cat", "one dog", "a brown dog"], ["cat", "cat", "dog", "dog"]
    teacher = as_teacher(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels), texts)
    np.testing.assert_allclose(headed(teacher, texts), teacher.teaching_logits(texts), atol=1e-5)


def test_pairwise_decision_values_are_refused():
    pairs = SVC(decision_function_shape="ovo")
    with pytest.raises(ValueError, match='decision_function_shape="ovr"'):
        as_teacher(pairs.fit(X, y))
    assert as_teacher(pairs.fit(X, y > 0)).teaching_logits(X).shape == (120, 2)


def test_as_teacher_returns_teachers_as_they_are():
    fitted = tiny().fit(X, y)
    assert as_teacher(fitted) is fitted
    frozen = FrozenEstimator(fitted)
    assert as_teacher(frozen).teaching_logits(X).shape == (120, 3)
    assert as_teacher(FrozenEstimator(GaussianNB().fit(X, y))).estimator.theta_.shape == (3, 6)


def test_a_duck_can_teach():
    class Duck:
        classes_ = np.arange(3)

        def teaching_logits(self, X, y=None):
            return np.zeros((len(X), 3))

    duck = Duck()
    assert as_teacher(duck) is duck


def test_what_cannot_teach():
    with pytest.raises(TypeError, match="LinearRegression.* cannot teach"):
        as_teacher(LinearRegression().fit(X, y))
    for estimator in (LogisticRegression(), tiny(), make_pipeline(StandardScaler(), GaussianNB()),
                      FrozenEstimator(LogisticRegression()), FrozenEstimator(tiny())):
        with pytest.raises(NotFittedError):
            as_teacher(estimator)


# -------------------------------------------------------------------- one modality

def test_the_protocol():
    teacher = tiny(random_state=0).fit(X, NAMES[y])
    logits = teacher.teaching_logits(X)
    np.testing.assert_allclose(headed(teacher, X), logits, atol=1e-5)
    assert np.array_equal(logits, teacher.decision_function(X))
    assert np.array_equal(logits, teacher.teaching_logits(X, NAMES[y][::-1]))  # labels are not read
    assert np.array_equal(teacher.feature_bank_, teacher.encode(X))
    assert np.array_equal(teacher.feature_bank_labels_, NAMES[y])
    assert not teacher.needs_labels_to_teach


def test_minus_one_is_a_class_of_a_teacher():
    assert tiny().fit(X, y - 1).classes_.tolist() == [-1, 0, 1]


def test_images_by_default_are_for_resnet18():
    images = np.random.default_rng(0).integers(256, size=(12, 4, 4), dtype=np.uint8)
    teacher = UnimodalTeacher(max_epochs=1, random_state=0, device="cpu").fit(images, np.arange(12) % 2)
    assert teacher.encode(images).shape == (12, 512)
    again = pickle.loads(pickle.dumps(teacher))
    np.testing.assert_allclose(again.predict_proba(images[:3]), teacher.predict_proba(images)[:3],
                               atol=1e-5)


# -------------------------------------------------------------------- ensembles

def test_an_ensemble_is_the_mean_of_its_logits():
    teacher = ensemble().fit(X, y)
    members = np.stack([as_teacher(member).teaching_logits(X) for member in teacher.teachers_])
    logits = teacher.teaching_logits(X)
    np.testing.assert_allclose(logits, members.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(headed(teacher, X), logits, atol=1e-5)
    assert np.array_equal(teacher.feature_bank_, np.hstack([m.encode(X) for m in teacher.teachers_]))
    assert teacher.feature_bank_.shape == (120, 16 + 4 + 6)
    assert np.array_equal(teacher.predict(X), logits.argmax(1))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(teacher.predict_proba(X), probabilities, atol=1e-6)
    assert list(teacher.named_teachers_) == ["wide", "deep", "linear"]
    assert teacher.named_teachers_.deep is teacher.teachers_[1]


def test_an_ensemble_of_two_classes():
    teacher = ensemble().fit(X, y > 0)
    logits = teacher.teaching_logits(X)
    np.testing.assert_allclose(teacher.decision_function(X), logits[:, 1] - logits[:, 0])
    np.testing.assert_allclose(headed(teacher, X), logits, atol=1e-5)


def test_classes_in_another_order_and_beyond_are_sorted_out():
    class Permuted(ClassifierMixin, BaseEstimator):
        """Knows three of the classes and one more, in an order of its own."""

        def fit(self, X, y):
            self.classes_ = np.array(["eel", "fox", "cat", "dog"])
            return self

        def predict_proba(self, X):
            return np.tile([0.5, 0.1, 0.3, 0.1], (len(X), 1))

    frozen = FrozenEstimator(Permuted().fit(X, y))
    teacher = TeacherEnsemble([("permuted", frozen)]).fit(X, NAMES[y])
    assert teacher.classes_.tolist() == ["cat", "dog", "eel"]
    np.testing.assert_allclose(np.exp(teacher.teaching_logits(X[:1])), [[0.3, 0.1, 0.5]], rtol=1e-5)
    np.testing.assert_allclose(headed(teacher, X), teacher.teaching_logits(X), atol=1e-6)
    assert teacher.predict(X[:1]) == ["eel"]


def test_a_frozen_member_is_not_refitted():
    member = tiny(random_state=0).fit(X, y)
    weight = member.head_.weight.clone()
    teacher = TeacherEnsemble([("a", FrozenEstimator(member)), ("b", GaussianNB())]).fit(X[::-1], y[::-1])
    assert teacher.teachers_[0].estimator is member and torch.equal(member.head_.weight, weight)
    assert clone(teacher).teachers[0][1].estimator is member


def test_members_are_cloned_and_seeded():
    member = tiny()
    teachers = [TeacherEnsemble([("a", member), ("b", tiny())], random_state=0).fit(X, y) for _ in "12"]
    assert not hasattr(member, "net_") and member.random_state is None
    assert np.array_equal(teachers[0].teaching_logits(X), teachers[1].teaching_logits(X))
    a, b = (member.teaching_logits(X) for member in teachers[0].teachers_)
    assert not np.array_equal(a, b)  # alike, but of different seeds
    seeded = TeacherEnsemble([("a", tiny(random_state=5))], random_state=0).fit(X, y)
    assert seeded.teachers_[0].random_state == 5


def test_nested_names():
    teacher = ensemble().set_params(wide__lr=0.5, linear__C=3, deep=GaussianNB())
    assert teacher.get_params()["wide__lr"] == 0.5 and teacher.get_params()["linear__C"] == 3
    assert isinstance(dict(teacher.teachers)["deep"], GaussianNB)
    outer = TeacherEnsemble([("ensemble", ensemble()), ("bayes", GaussianNB())])
    outer.set_params(ensemble__wide__module__hidden=(5,), ensemble__linear__C=2).fit(X, y)
    assert outer.teachers_[0].teachers_[0].encode(X).shape == (120, 5)
    assert clone(outer).get_params()["ensemble__linear__C"] == 2
    np.testing.assert_allclose(headed(outer, X), outer.teaching_logits(X), atol=1e-4)
    search = GridSearchCV(ensemble(), {"linear__C": [0.1, 1]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_each_member_reads_its_modality():
    data = SliceDict(table=X, other=X[:, ::-1].copy())
    teacher = TeacherEnsemble([("a", tiny(modality="table")), ("b", tiny(modality="other"))],
                              random_state=0).fit(data, y)
    a, b = teacher.teachers_
    np.testing.assert_allclose(teacher.teaching_logits(data), (a.teaching_logits(X) + b.teaching_logits(
        X[:, ::-1].copy())) / 2, atol=1e-6)
    assert len(cross_val_score(teacher, data, y, cv=2)) == 2


def test_a_member_without_a_linear_end():
    odd = UnimodalTeacher(nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(dim=1)), max_epochs=1, device="cpu")
    teacher = TeacherEnsemble([("odd", odd), ("linear", LogisticRegression())]).fit(X, y)
    assert teacher.predict(X).shape == (120,) and not hasattr(teacher, "feature_bank_")


class Broken(GaussianNB):
    """Probabilities that are none."""

    def predict_proba(self, X):
        return np.full((len(X), 3), np.nan)


@pytest.mark.parametrize(("teachers", "error", "message"), [
    ([], ValueError, r"teachers=\[\] is empty"),
    ([GaussianNB()], ValueError, r"must be a list of \(name, teacher\)"),
    (None, ValueError, r"teachers=None must be a list of \(name, teacher\)"),
    ([("a", GaussianNB()), ("a", GaussianNB())], ValueError, "(?i)names provided are not unique"),
    ([("a__b", GaussianNB())], ValueError, "must not contain __"),
    ([("random_state", GaussianNB())], ValueError, "(?i)names conflict with constructor"),
    ([("module", GaussianNB())], ValueError, "cannot be called 'module'"),
    ([(3, GaussianNB())], ValueError, "name of a teacher must be a string; got 3"),
    ([("a", LinearRegression())], TypeError, "Teacher 'a' must be a classifier; got LinearRegression"),
    ([("a", GaussianNB)], TypeError, "Teacher 'a' must be a classifier"),
    ([("a", None)], TypeError, "Teacher 'a' must be a classifier; got None"),
    ([("fine", GaussianNB()), ("bad", Broken())], ValueError, "Teacher 'bad' returned logits that are NaN"),
    ([("few", FrozenEstimator(GaussianNB().fit(X, np.minimum(y, 1))))], ValueError,
     r"Teacher 'few' was never shown the classes \[2\]; it knows \[0, 1\]"),
    ([("new", FrozenEstimator(GaussianNB()))], NotFittedError, "not fitted"),
])
def test_ensembles_that_cannot_be(teachers, error, message):
    with pytest.raises(error, match=message):
        TeacherEnsemble(teachers).fit(X, y)


def test_an_ensemble_that_is_not_fitted():
    for method in ("predict", "predict_proba", "decision_function", "teaching_logits", "encode"):
        with pytest.raises(NotFittedError):
            getattr(ensemble(), method)(X)


def test_ensembles_pickle():
    teacher = ensemble().fit(X, y)
    again = pickle.loads(pickle.dumps(teacher))
    assert np.array_equal(again.teaching_logits(X), teacher.teaching_logits(X))
    np.testing.assert_allclose(headed(again, X), again.teaching_logits(X), atol=1e-5)
