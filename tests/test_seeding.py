"""random_state=0 repeats every estimator bit for bit, whatever it is made of."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import cmkdlearn.students
import cmkdlearn.teachers
from cmkdlearn._seeding import seeded_copy
from cmkdlearn.base import TorchClassifier, TorchTeacher
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    DistilledRegressor,
    DMAEDistiller,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import (
    ProductOfExperts,
    TeacherEnsemble,
    UnimodalTeacher,
    WordNetRelaxedTeacher,
)

rng = np.random.default_rng(0)
y = np.arange(60) % 2
X = (rng.normal(size=(60, 4)) + y[:, None]).astype(np.float32)
BOTH = {"a": X, "b": X[:, ::-1].copy()}
IMAGES = rng.integers(256, size=(60, 8, 8), dtype=np.uint8)
SHORT = {"max_epochs": 2, "module__hidden": (5,), "device": "cpu"}
FOREST = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3))
VIT = {"module__embed_dim": 8, "module__depth": 2, "module__num_heads": 2, "max_epochs": 1, "device": "cpu"}

# each with parts that have no seed of their own
CASES = {
    "TeacherEnsemble": (TeacherEnsemble([("a", UnimodalTeacher(**SHORT)), ("b", FOREST)]), X),
    "UnimodalTeacher": (UnimodalTeacher(**SHORT), X),
    "WordNetRelaxedTeacher": (WordNetRelaxedTeacher(
        class_names={0: np.eye(4)[0], 1: np.eye(4)[1]}, nouns_per_cluster=2, n_clusters=2,
        nouns={f"noun {i}": rng.normal(size=4) for i in range(9)}, **SHORT), X),
    "MultiTeacherDistiller": (MultiTeacherDistiller(
        [("net", UnimodalTeacher(**SHORT)), ("forest", FOREST)], cv=2, **SHORT), X),
    "UCMKDStudent": (UCMKDStudent(UnimodalTeacher(**SHORT), lambda_la=0.5, **SHORT), X),
    "FFKDDistiller": (FFKDDistiller(UnimodalTeacher(**SHORT), **SHORT), X),
    "LFMEDistiller": (LFMEDistiller(expert=make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=20)),
                                    shots=(5, 10), **SHORT), X),
    "DMAEDistiller": (DMAEDistiller(UnimodalTeacher("vit_tiny_patch16_224", module__img_size=8,
                                                    module__patch_size=2, **VIT),
                                    pretrain_epochs=1, decoder_dim=8, **VIT), IMAGES),
    "FusionClassifier": (FusionClassifier(modalities=("a", "b"), teacher_modality="auto", selector=CCHSelector(
        student=None, network=UnimodalTeacher(**SHORT), n_repeats=2), **SHORT), BOTH),
    "ProductOfExperts": (ProductOfExperts([("net", UnimodalTeacher(**SHORT)), ("forest", FOREST)], cv=2), X),
    "CCHSelector": (CCHSelector(student="a", network=UnimodalTeacher(**SHORT), n_repeats=2,
                                distiller=MultiTeacherDistiller(**SHORT)), BOTH),
}


def test_every_estimator_is_here():
    nothing_random = {"PrecomputedTeacher", "PretrainedTeacher"}
    public = {*cmkdlearn.students.__all__, *cmkdlearn.teachers.__all__} - {"DistilledRegressor"} - nothing_random
    assert {name for name in public if isinstance(getattr(cmkdlearn, name, None), type)} <= CASES.keys()
    assert public - CASES.keys() <= {"as_teacher"}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", CASES)
def test_an_integer_repeats_it_bit_for_bit(name):
    estimator, data = CASES[name]
    said = []
    for salt in (1, 2):  # whatever the global states are
        torch.manual_seed(salt)
        np.random.seed(salt)
        said.append(seeded_copy(estimator, 0).set_params(random_state=0).fit(data, y).predict_proba(data))
        fitted = type(estimator)(**{**estimator.get_params(deep=False), "random_state": 0}).fit(data, y)
        said[-1] = fitted.predict_proba(data)
    np.testing.assert_array_equal(*said)


def test_threads_repeat_the_text_that_learns():
    """Where many samples have one noun, threads that add up its gradient must not come in any order."""
    draw = np.random.default_rng(0)
    V, labels = draw.normal(size=(1024, 384)).astype(np.float32), np.arange(1024) % 2
    teacher = WordNetRelaxedTeacher(
        class_names={0: np.eye(384)[0], 1: np.eye(384)[1]}, n_clusters=4, nouns_per_cluster=2,
        nouns={f"noun {i}": draw.normal(size=384) for i in range(40)}, batch_size=512, random_state=0, **SHORT)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = [teacher.fit(V, labels).net_.module_.text.nouns.detach().numpy().copy() for _ in range(3)]
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_regressor_with_a_forest_repeats():
    student = DistilledRegressor([("forest", RandomForestRegressor(n_estimators=3))], random_state=0, **SHORT)
    np.testing.assert_array_equal(*(student.fit(X, X[:, 0]).predict(X) for _ in range(2)))


def test_parts_of_an_unseeded_estimator_differ():
    seeds = seeded_copy(TeacherEnsemble([("a", UnimodalTeacher()), ("b", UnimodalTeacher())]), 0).get_params()
    drawn = [seeds["random_state"], seeds["a__random_state"], seeds["b__random_state"]]
    assert len(set(drawn)) == 3 and None not in drawn


def test_own_seed_does_not_depend_on_the_parts():
    """So that students that are compared begin from the same weights, whoever teaches them."""
    alone, taught = MultiTeacherDistiller(), MultiTeacherDistiller([("a", FOREST)])
    assert seeded_copy(alone, 3).random_state == seeded_copy(taught, 3).random_state


def test_seeds_that_are_given_stay():
    bagging = BaggingClassifier(DecisionTreeClassifier(random_state=5))
    copy = seeded_copy(bagging, 0)
    assert copy.estimator.random_state == 5 and isinstance(copy.random_state, int)
    frozen = FrozenEstimator(DecisionTreeClassifier().fit(X, y))
    assert seeded_copy(frozen, 0) is frozen and frozen.estimator.random_state is None


@pytest.mark.parametrize("base", [TorchClassifier, TorchTeacher])
def test_a_subclass_needs_no_constructor(base):
    class Mine(base):
        """Only a name."""

    for cls in (base, Mine):
        fitted = cls(max_epochs=5, modality=[0, 1], module__hidden=(7,), random_state=0).fit(X, y)
        assert fitted.predict(X).shape == (60,) and fitted.net_.module_.head.in_features == 7
        assert cls(module="auto", label_smoothing=0.1).get_params()["label_smoothing"] == 0.1
