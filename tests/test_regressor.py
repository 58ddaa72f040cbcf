"""DistilledRegressor: equation 4, against least squares, whose risk test_theory_gaussian checks."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR
from skorch.helper import SliceDict
from torch.utils.data import TensorDataset

from cmkdlearn.datasets import make_gaussian_modalities
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.students import DistilledRegressor

RHO = {"rho_ts": 0.7, "rho_ty": 0.5, "rho_sy": 0.6}
X, y = make_gaussian_modalities(60, 3, **RHO, random_state=0)
LINEAR = {"module__hidden": (), "optimizer": torch.optim.SGD, "lr": 0.5, "batch_size": -1,
          "max_epochs": 150, "device": "cpu", "random_state": 0}


class ReadsAll:
    """Says that it reads all modalities."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.dict = True
        return tags


class OnTeacher(ReadsAll, LinearRegression):
    """Least squares on the teacher's modality."""

    def fit(self, X, y):
        return super().fit(X["teacher"], y)

    def predict(self, X):
        return super().predict(X["teacher"])


def student(teachers=(), **params):
    return DistilledRegressor(teachers, **{"modality": "student", **LINEAR, **params})


class Fixed(ReadsAll, RegressorMixin, BaseEstimator):
    def __init__(self, value=0.0):
        self.value = value

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.full((len(X["student"]), 3), self.value)


@pytest.mark.parametrize("lam", [0.0, 0.5, 3.0])
def test_the_linear_student_is_least_squares_on_mixed_targets(lam):
    teacher = OnTeacher().fit(X, y)
    fitted = student([("t", FrozenEstimator(teacher))], lambda_kd=lam).fit(X, y)
    mixed = (y + lam * teacher.predict(X)) / (1 + lam)
    expected = LinearRegression().fit(X["student"], mixed).predict(X["student"])
    np.testing.assert_allclose(fitted.predict(X), expected, atol=2e-5)


def test_history_holds_the_terms():
    fitted = student([("a", Fixed(1.0)), ("b", Fixed(3.0))], lambda_kd=0.7, lr=0, max_epochs=1)
    fitted.fit(X, y)
    out = (fitted.predict(X) - y.mean(axis=0)) / y.std(axis=0)
    goal = (y - y.mean(axis=0)) / y.std(axis=0)
    taught = (2.0 - y.mean(axis=0)) / y.std(axis=0)
    row = fitted.history_[0]
    assert row["train_mse_loss"] == pytest.approx(np.mean((out - goal) ** 2), rel=1e-5)
    assert row["train_kd_loss"] == pytest.approx(np.mean((out - taught) ** 2), rel=1e-5)
    assert row["train_loss"] == pytest.approx(row["train_mse_loss"] + 0.7 * row["train_kd_loss"])
    np.testing.assert_allclose(fitted.teacher_predictions_, 2.0)


def test_units_do_not_matter():
    plain = student().fit(X, y).predict(X)
    scaled = student().fit(X, 1e6 * y + 5e6).predict(X)
    np.testing.assert_allclose((scaled - 5e6) / 1e6, plain, atol=1e-4)


def test_no_weight_is_no_teacher():
    np.testing.assert_array_equal(student([("t", OnTeacher())], lambda_kd=0).fit(X, y).predict(X),
                                  student().fit(X, y).predict(X))


@pytest.mark.parametrize("make", [
    LinearRegression, lambda: PLSRegression(1), lambda: KNeighborsRegressor(3),
    lambda: RandomForestRegressor(3, random_state=0), lambda: make_pipeline(StandardScaler(), Ridge()),
    lambda: TransformedTargetRegressor(SVR()), lambda: GridSearchCV(Ridge(), {"alpha": [1, 2]}),
], ids=["linear", "pls", "neighbours", "forest", "pipeline", "transformed", "search"])
def test_teachers_of_scikit_learn_read_the_students_modality(make):
    target = y[:, 0]
    expected = make().fit(X["student"], target).predict(X["student"]).reshape(-1)
    fitted = student([("t", make())], max_epochs=1).fit(X, target)
    np.testing.assert_allclose(fitted.teacher_predictions_, expected)
    column = student([("t", FrozenEstimator(make().fit(X["student"], target)))], max_epochs=1)
    assert column.fit(X, y[:, :1]).teacher_predictions_.shape == (60, 1)  # whatever theirs is


def test_a_selector_lets_a_teacher_read_its_own():
    chosen = make_pipeline(ModalitySelector("teacher"), LinearRegression())
    fitted = student([("t", chosen)], max_epochs=1).fit(X, y)
    expected = LinearRegression().fit(X["teacher"], y).predict(X["teacher"])
    np.testing.assert_allclose(fitted.teacher_predictions_, expected)


def test_a_teacher_of_scikit_learn_reads_no_dataset():
    data = TensorDataset(torch.from_numpy(X["student"]))
    with pytest.raises(TypeError, match=r"LinearRegression\(\) reads arrays, and X is a Tensor"):
        DistilledRegressor([("t", LinearRegression())], device="cpu").fit(data, y)


def test_shapes_of_the_targets():
    for target in (y, y[:, 0], y[:, :1]):
        fitted = student(max_epochs=1).fit(X, target)
        assert fitted.predict(X).shape == target.shape
        assert fitted.encode(X).shape == (60, 3)


def test_grid_search_over_lambda_and_the_teacher():
    network = DistilledRegressor(modality="teacher", **LINEAR)
    search = GridSearchCV(student([("t", network)], max_epochs=5),
                          {"lambda_kd": [0, 1], "t__max_epochs": [1, 5]}, cv=2)
    search.fit(SliceDict(**X), y)
    best = search.best_estimator_
    assert best.named_teachers_.t.max_epochs == search.best_params_["t__max_epochs"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(X), best.predict(X))


def test_warm_start_goes_on():
    once = student(max_epochs=4).fit(X, y)
    twice = student(max_epochs=2, warm_start=True).fit(X, y).fit(X, y)
    np.testing.assert_allclose(twice.predict(X), once.predict(X), rtol=1e-4)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        twice.fit(X, y[:, 0])


def test_early_stopping():
    fitted = student(early_stopping=True, validation_fraction=0.3, n_iter_no_change=3).fit(X, y)
    assert "valid_mse_loss" not in fitted.history_[0] and "valid_loss" in fitted.history_[0]
    assert len(fitted.history_) < 150


@pytest.mark.parametrize(("params", "error", "message"), [
    ({"lambda_kd": -1}, ValueError, "lambda_kd=-1"),
    ({"teachers": [("t", FunctionTransformer())]}, TypeError, "must be a regressor"),
    ({"teachers": [("module", LinearRegression())]}, ValueError, "cannot be called 'module'"),
    ({"teachers": [("t", Fixed(np.nan))]}, ValueError, "'t' made predictions that are NaN"),
    ({"modality": "studnet"}, ValueError, "Did you mean 'student'"),
])
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        clone(student()).set_params(**params).fit(X, y)


def test_bad_targets():
    with pytest.raises(ValueError, match=r"'t' made predictions of shape \(60, 3\), but y has shape \(60,\)"):
        student([("t", Fixed())]).fit(X, y[:, 0])
    with pytest.raises(ValueError, match="inconsistent"):
        student().fit(X, y[:-1])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        student().fit(X, np.where(y > 2, np.nan, y))


def test_a_network_without_a_head_predicts_and_has_no_features():
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Softplus())
    fitted = DistilledRegressor(modality="student", module=module, max_epochs=1, device="cpu").fit(X, y)
    assert fitted.predict(X).shape == y.shape
    with pytest.raises(ValueError, match="does not end in a linear layer"):
        fitted.encode(X)
