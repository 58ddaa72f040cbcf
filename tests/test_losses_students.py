"""Any loss in MultiTeacherDistiller: what teachers give, what is learnt with the student."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from torch import nn

from cmkdlearn.losses import LOSSES, get_loss
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

rng = np.random.default_rng(0)
IMAGES = rng.integers(256, size=(60, 8, 8), dtype=np.uint8)
y = np.arange(60) % 3
FEW = np.where(np.arange(60) % 4 == 0, -1, y)
TABLE, _ = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
ON_TABLES = [name for name, cls in LOSSES.items() if "feature_maps" not in cls.needs]
training = {"max_epochs": 2, "lr": 0.01, "batch_size": 32, "device": "cpu", "random_state": 0}


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(2 * width, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Speaks(ClassifierMixin, BaseEstimator):
    """A teacher of logits and nothing else."""

    fits = 0

    def fit(self, X, y):
        type(self).fits += 1
        self.classes_ = np.unique(y)
        return self

    def teaching_logits(self, X, y=None):
        return np.zeros((len(X), len(self.classes_)))


@pytest.fixture(scope="module")
def teacher():
    return FrozenEstimator(UnimodalTeacher(Net, module__width=6, **training).fit(IMAGES, y))


def student(teachers, **params):
    return MultiTeacherDistiller(teachers, **{"module": Net, **training, **params})


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.net_.module_.parameters()])


@pytest.mark.parametrize("name", LOSSES)
def test_by_one_word(name, teacher):
    first, second = (student([("net", teacher)], loss=name).fit(IMAGES, FEW) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert np.isfinite(first.history_[:, "train_kd_loss"]).all()
    assert not torch.equal(weights(first), weights(student([]).fit(IMAGES, FEW)))
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(IMAGES), first.predict_proba(IMAGES))
    assert first.encode(IMAGES).shape == (60, 8)


@pytest.mark.parametrize("name", ON_TABLES)
def test_on_tables_with_classifiers_of_scikit_learn(name):
    fitted = student([("linear", LogisticRegression()), ("bayes", GaussianNB())], module="auto",
                     module__hidden=(8,), loss=name, cv=3).fit(TABLE, FEW)
    assert np.isfinite(fitted.history_[:, "train_kd_loss"]).all()


@pytest.mark.parametrize("name", ["fitnet", "review", "norm", "crd", "c2kd"])
def test_what_a_loss_learns_is_learnt(name, teacher):
    fitted = student([("net", teacher)], loss=name, lr=0, max_epochs=1, optimizer__weight_decay=0)
    before = [p.detach().clone() for p in fitted.fit(IMAGES, y).net_.criterion_.parameters()]
    after = student([("net", teacher)], loss=name, max_epochs=1).fit(IMAGES, y).net_.criterion_.parameters()
    assert before and any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["fitnet", "review", "rkd", "dkd"])
def test_a_loss_of_no_weight_changes_nothing(name, teacher):
    """Neither the student's weights nor its batches depend on the loss."""
    assert torch.equal(weights(student([("net", teacher)], loss=name, lambda_kd=0).fit(IMAGES, y)),
                       weights(student([]).fit(IMAGES, y)))


def test_features_and_maps_are_the_teachers(teacher):
    seen = []

    class Watch(type(get_loss("rkd"))):
        needs = ("logits", "features", "feature_maps")

        def forward(self, student, teacher, y):
            seen.append(teacher)
            return 0 * student.logits.sum()

    student([("net", teacher)], loss=Watch(), max_epochs=1, batch_size=-1,
            iterator_train__shuffle=False).fit(IMAGES, y)
    (output,) = seen
    np.testing.assert_allclose(output.features, teacher.encode(IMAGES), atol=1e-6)
    np.testing.assert_allclose(output.logits, teacher.teaching_logits(IMAGES), atol=1e-6)
    network = teacher.estimator.net_.module_
    with torch.no_grad():
        fine = network.encoder.body[:3](torch.from_numpy(IMAGES[:, None]).float() / 255)
    fine_map, coarse_map = output.feature_maps
    assert fine_map.shape == (60, 6, 8, 8) and coarse_map.shape == (60, 12, 4, 4)
    torch.testing.assert_close(fine_map, fine, rtol=1e-3, atol=1e-3)  # kept in half precision


def test_several_teachers_stand_side_by_side(teacher):
    seen = []

    class Watch(type(get_loss("rkd"))):
        needs = ("features", "feature_maps")

        def forward(self, student, teacher, y):
            seen.append(teacher)
            return 0 * student.logits.sum()

    other = FrozenEstimator(UnimodalTeacher(Net, **training).fit(IMAGES, y))
    silent = FrozenEstimator(UnimodalTeacher(Net, module__width=3, **training).fit(IMAGES, y))
    student([("a", teacher), ("b", other), ("c", silent)], teacher_weights=[1, 2, 0], loss=Watch(),
            max_epochs=1, batch_size=-1, iterator_train__shuffle=False).fit(IMAGES, y)
    np.testing.assert_allclose(seen[0].features, np.hstack([teacher.encode(IMAGES), other.encode(IMAGES)]),
                               atol=1e-6)
    assert seen[0].feature_maps[0].shape == (60, 10, 8, 8)


def test_using_a_teacher_leaves_it_as_it_was(teacher):
    before = pickle.dumps(teacher.estimator.net_.module_.state_dict())
    student([("net", teacher)], loss="review").fit(IMAGES, y)
    assert pickle.dumps(teacher.estimator.net_.module_.state_dict()) == before
    assert teacher.estimator.net_.module_(torch.zeros(1, 1, 8, 8)).feature_maps is None


def test_temperature_goes_to_losses_that_have_one(teacher):
    cold, warm = (student([("net", teacher)], loss="dkd", temperature=t).fit(IMAGES, y) for t in (1.0, 4.0))
    assert not torch.equal(weights(cold), weights(warm))
    assert cold.net_.criterion_.temperature == 1.0
    student([("net", teacher)], loss="rkd", temperature=2.0).fit(IMAGES, y)


def test_losses_in_a_grid(teacher):
    both = 0.5 * get_loss("dkd") + get_loss("fitnet")
    search = GridSearchCV(student([("net", teacher)], max_epochs=1),
                          {"loss": ["kd", "crd", both]}, cv=2, error_score="raise").fit(IMAGES, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert repr(both) == "0.5 * DKD(temperature=4.0, alpha=1.0, beta=8.0) + FitNet(hint='features')"
    assert not list(both.parameters())  # the user's is left alone


def test_warm_start_goes_on_with_what_was_learnt(teacher):
    fitted = student([("net", teacher)], loss="fitnet", warm_start=True).fit(IMAGES, y)
    criterion = fitted.net_.criterion_
    assert fitted.fit(IMAGES, y).net_.criterion_ is criterion
    with pytest.raises(ValueError, match=r"warm_start=True goes on with .* FitNet\(hint='features'\), which loss='kd'"):
        fitted.set_params(loss="kd").fit(IMAGES, y)
    fitted = student([("net", teacher)], loss="kd", warm_start=True).fit(IMAGES, y)
    with pytest.raises(ValueError, match="loss='fitnet' has parameters .* use warm_start=False"):
        fitted.set_params(loss="fitnet").fit(IMAGES, y)
    assert fitted.set_params(warm_start=False).fit(IMAGES, y).net_.criterion_ is not criterion


@pytest.mark.parametrize(("name", "teacher", "message"), [
    ("rkd", Speaks(), r"Teacher 'odd' has no features, which loss='rkd' needs: it has no encode"),
    ("review", GaussianNB(), "Teacher 'odd' has no feature maps, which loss='review' needs; only a network"),
    ("review", TeacherEnsemble([("a", GaussianNB())]), "Teacher 'odd' has no feature maps"),
])
def test_teachers_that_cannot_give_it(name, teacher, message):
    Speaks.fits = 0
    for odd in (teacher, FrozenEstimator(teacher.fit(TABLE, y))):
        Speaks.fits = 0
        with pytest.raises(ValueError, match=message):
            student([("odd", odd), ("last", Speaks())], module="auto", loss=name).fit(TABLE, y)
        assert Speaks.fits == 0  # before any work starts


def test_networks_without_maps_are_refused_by_name(teacher):
    flat = UnimodalTeacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), **training)
    with pytest.raises(ValueError, match="Teacher 'flat' cannot give .* The network has no feature maps"):
        student([("flat", flat)], loss="review").fit(IMAGES, y)
    with pytest.raises(ValueError, match="The network has no feature maps"):
        student([("net", teacher)], module=flat.module, loss="review").fit(IMAGES, y)
    no_head = UnimodalTeacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh()), **training)
    with pytest.raises(ValueError, match="(?s)Teacher 'flat' cannot give .* does not end in a linear layer"):
        student([("flat", no_head)], loss="rkd").fit(IMAGES, y)
    with pytest.raises(ValueError, match="rkd needs the student's features, and there are none"):
        student([("net", teacher)], module=no_head.module, loss="rkd").fit(IMAGES, y)


def test_maps_of_teachers_of_two_kinds(teacher):
    larger = UnimodalTeacher(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)),
                             **training)
    with pytest.raises(ValueError, match="feature maps have different sizes"):
        student([("net", teacher), ("larger", larger)], loss="review").fit(IMAGES, y)


@pytest.mark.parametrize("name", [name for name, cls in LOSSES.items() if cls.min_classes == 3])
def test_two_classes_are_refused_before_teachers_are_fitted(name):
    Speaks.fits = 0
    for loss in (name, get_loss("kd") + get_loss(name)):
        with pytest.raises(ValueError, match=f"{name} compares the classes that are not the label's"):
            student([("speaks", Speaks())], loss=loss).fit(IMAGES, y > 0)
    assert Speaks.fits == 0


def test_unknown_losses():
    with pytest.raises(ValueError, match="loss='dkt' is unknown. Did you mean 'dkd'"):
        student([("bayes", GaussianNB())], loss="dkt").fit(IMAGES, y)


def test_crossmodal_from_a_transformer(teacher):
    """A vision transformer's maps for a convolutional student."""
    vit = UnimodalTeacher("vit_tiny_patch16_224", module__img_size=8, module__patch_size=2,
                          module__embed_dim=12, module__depth=4, module__num_heads=2, **training)
    fitted = student([("vit", vit)], loss="review").fit(IMAGES, y)
    assert np.isfinite(fitted.history_[:, "train_kd_loss"]).all()
    assert len(fitted.net_.criterion_.fusions) == 3  # of the features and of two maps
