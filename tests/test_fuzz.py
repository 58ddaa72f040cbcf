"""Whatever goes in, a valid model comes out or one of the documented errors: no crash, no silent NaN."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from cmkdlearn.alignment import feature_alignment
from cmkdlearn.information import mutual_information
from cmkdlearn.losses import LOSSES, Output, get_loss
from cmkdlearn.students import DistilledRegressor, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

# scikit-learn's own, of inf - inf, while it looks for infinities
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in reduce:RuntimeWarning")
DOCUMENTED = (ValueError, TypeError, FloatingPointError)
tiny = {"max_epochs": 1, "device": "cpu", "random_state": 0, "module__hidden": (3,)}
rng = np.random.default_rng(0)
FROZEN = FrozenEstimator(UnimodalTeacher(**tiny).fit(rng.normal(size=(30, 3)), np.arange(30) % 3))

numbers = st.one_of(st.floats(-10, 10, width=32), st.sampled_from([0.0, np.nan, np.inf, -np.inf, 2.0**100, -2.0**100, 2.0**-100]))
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_, object])
shapes = st.lists(st.integers(0, 6), min_size=0, max_size=4).map(tuple)
labels = st.one_of(
    hnp.arrays(np.int64, st.integers(0, 12), elements=st.integers(-2, 3)),
    hnp.arrays(np.float64, st.integers(0, 12), elements=st.sampled_from([0.0, 1.0, 0.5, np.nan, np.inf])),
    st.lists(st.sampled_from(["a", "b", None, 1, ""]), max_size=12),
    hnp.arrays(np.int64, st.tuples(st.integers(0, 6), st.integers(0, 3)), elements=st.integers(0, 2)))


@st.composite
def samples(draw):
    dtype = draw(dtypes)
    if draw(st.booleans()):  # often of a plausible shape
        shape = (draw(st.integers(1, 12)), draw(st.integers(1, 4)))
    else:
        shape = draw(shapes)
    values = draw(hnp.arrays(np.float64, shape, elements=numbers))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return values.astype(dtype)


@st.composite
def problems(draw):
    X, y = draw(samples()), draw(labels)
    if draw(st.booleans()) and X.ndim:  # often of one length, and of two classes
        y = np.arange(len(X)) % draw(st.integers(1, 3))
    return X, y


params = st.fixed_dictionaries({}, optional={
    "lr": st.sampled_from([0, 1e-3, 1.0, 1e30, -1, np.nan, "fast"]),
    "batch_size": st.sampled_from([1, 2, 128, -1, 0, 2.5, None]),
    "max_epochs": st.sampled_from([0, 1, 2, -1, 1.5]),
    "early_stopping": st.booleans(), "validation_fraction": st.sampled_from([0.1, 0.5, 0, 1, 2]),
    "input_type": st.sampled_from([None, "table", "image", "sequence", "sound"]),
    "optimizer__weight_decay": st.sampled_from([0.0, 0.1]), "label_smoothing": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
})
students = st.one_of(
    st.builds(lambda p: (UnimodalTeacher, p), params),
    st.builds(lambda p, q: (MultiTeacherDistiller, {**p, **q}), params, st.fixed_dictionaries({
        "teachers": st.sampled_from([(), (("t", LogisticRegression()),), (("t", FROZEN),), (("t", 3),)])}, optional={
        "lambda_kd": st.sampled_from([0, 1.0, 1e30, -1, np.nan]), "temperature": st.sampled_from([1e-30, 1.0, 1e30, 0]),
        "loss": st.sampled_from([*LOSSES, "nothing"]), "cv": st.sampled_from([None, 2, 1])})),
    st.builds(lambda p, q: (UCMKDStudent, {"teacher": FROZEN, **p, **q}), params, st.fixed_dictionaries({}, optional={
        "lambda_fa": st.sampled_from([0, 1.0, 1e30, -1]), "lambda_la": st.sampled_from([0, 1.0]),
        "bilevel": st.booleans(), "metric": st.sampled_from(["l2", "l1", "angular", "l3"]),
        "inner_lr": st.sampled_from(["auto", 1e-3, 1e30]), "sinkhorn_reg": st.sampled_from(["auto", 1e-3, 1e30, 0]),
        "feature_scale": st.sampled_from(["auto", 1.0, 0])})))


def check_students(problem, student):
    (X, y), (kind, given_params) = problem, student
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            p = kind(**{**tiny, **given_params}).fit(X, y).predict_proba(X)
        except DOCUMENTED as error:
            assert str(error).strip()
        else:
            assert p.shape[0] == len(X) and np.isfinite(p).all()
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-3)


def check_regressors(X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            found = DistilledRegressor(**tiny).fit(X, y).predict(X)
        except DOCUMENTED as error:
            assert str(error).strip()
        else:
            assert np.isfinite(found).all()


def check_information(x, y, estimator):
    try:
        found = mutual_information(x, y, estimator=estimator, random_state=0)
    except DOCUMENTED as error:
        assert str(error).strip()
    else:
        assert np.isfinite(float(found)) and found.std_error >= 0


def check_losses(name, student, teacher, y):
    try:
        loss = get_loss(name)
        sides = [Output(torch.from_numpy(side), torch.from_numpy(side)) for side in (student, teacher)]
        value = loss.build(*sides)(*sides, torch.from_numpy(y))
    except DOCUMENTED as error:
        assert str(error).strip()
    else:
        assert value.isfinite()


def check_alignment(z_S, z_T, metric, reg):
    try:
        value = feature_alignment(torch.from_numpy(z_S), torch.from_numpy(z_T), metric=metric, reg=reg)
    except DOCUMENTED as error:
        assert str(error).strip()
    else:
        assert value.isfinite() and value >= 0


matrices = hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(0, 4)), elements=numbers)
CHECKS = [
    (check_students, (problems(), students), 4000),
    (check_regressors, (samples(), st.one_of(labels, samples())), 1000),
    (check_information, (samples(), st.one_of(labels, samples()), st.sampled_from(["ksg", "gaussian", "elliptical", "auto"])), 2000),
    (check_losses, (st.sampled_from([name for name, loss in LOSSES.items() if "feature_maps" not in loss.needs]),
                    matrices, matrices, hnp.arrays(np.int64, st.integers(0, 6), elements=st.integers(-2, 4))), 2000),
    (check_alignment, (matrices, matrices, st.sampled_from(["l2", "l1", "angular"]),
                       st.sampled_from(["auto", 0.1, 1e-6, 1e6, 0, -1])), 1000),
]
HEALTH = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def fuzz(check, inputs, examples):
    settings(max_examples=examples, suppress_health_check=HEALTH)(given(*inputs)(check))()


@pytest.mark.parametrize(("check", "inputs", "examples"), CHECKS, ids=[check.__name__ for check, *_ in CHECKS])
def test_some(check, inputs, examples):
    fuzz(check, inputs, examples // 50)


@pytest.mark.slow
@pytest.mark.parametrize(("check", "inputs", "examples"), CHECKS, ids=[check.__name__ for check, *_ in CHECKS])
def test_ten_thousand(check, inputs, examples):
    fuzz(check, inputs, examples)
