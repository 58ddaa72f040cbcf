"""What every public estimator owes scikit-learn, whatever it does: parameters, clones, display, tables."""

import importlib
import inspect
import pickle
import pkgutil

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import cmkdlearn
from cmkdlearn.base import TorchEstimator
from cmkdlearn.embedding import Embedder
from cmkdlearn.preprocessing import AddNoise, Blur, LogMelSpectrogram, LogSpectrogram
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import DistilledRegressor, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import (
    ProductOfExperts,
    TeacherEnsemble,
    UnimodalTeacher,
    WordNetRelaxedTeacher,
)
from cmkdlearn.text import WordNetRelaxer

PUBLIC = sorted({member for module in pkgutil.iter_modules(cmkdlearn.__path__)
                 if not module.name.startswith("_")
                 for name, member in vars(importlib.import_module(f"cmkdlearn.{module.name}")).items()
                 if inspect.isclass(member) and issubclass(member, BaseEstimator)
                 and member.__module__.startswith(f"cmkdlearn.{module.name}") and name[0] != "_"}
                - {Embedder, TorchEstimator}, key=lambda cls: cls.__name__)  # these two are bases
every_estimator = pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
ESTIMATOR_PARAMS = {"teacher", "network", "distiller", "expert", "selector", "embedder"}
ROUTED = {"optimizer__weight_decay": 0.5, "module__hidden": (7,), "iterator_train__num_workers": 1}

rng = np.random.default_rng(0)
y = rng.integers(2, size=80)
X = (rng.normal(size=(80, 5)) + 2 * y[:, None]).astype(np.float32)


def other_params(cls):
    """A value for each parameter that is not its default, so unlike any other's that a swap shows."""
    names = [name for name, parameter in inspect.signature(cls.__init__).parameters.items()
             if name != "self" and parameter.kind is not parameter.VAR_KEYWORD]
    params = {name: f"no {name}" for name in names}
    for name in ESTIMATOR_PARAMS & params.keys():
        params[name] = LogisticRegression(C=3)
    if "teachers" in params:
        params["teachers"] = [("one", LogisticRegression(C=5)), ("two", LogisticRegression(C=7))]
    return params | (ROUTED if issubclass(cls, TorchEstimator) else {})


def required(cls):
    return {name: other_params(cls)[name] for name, parameter in inspect.signature(cls).parameters.items()
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD}


def same(value, other):
    return repr(value) == repr(other) if isinstance(other, (list, BaseEstimator)) else value == other


def test_there_are_estimators_to_test():
    assert {MultiTeacherDistiller, UCMKDStudent, WordNetRelaxer, CCHSelector, Blur} <= set(PUBLIC)


@every_estimator
def test_every_parameter_is_kept(cls):
    params = other_params(cls)
    estimator = cls(**params)
    for kept in (estimator, clone(estimator), clone(clone(estimator)),
                 pickle.loads(pickle.dumps(estimator)), cls(**required(cls)).set_params(**params)):
        found = kept.get_params(deep=False)
        assert found.keys() == params.keys()
        for name, value in params.items():
            assert same(found[name], value), name
    for name, value in params.items():  # it is stored, and not a copy of it
        assert getattr(estimator, name) is value, name


@every_estimator
def test_one_parameter_at_a_time_is_set(cls):
    params = other_params(cls)
    for changed in params:
        estimator = cls(**params)
        assert estimator.set_params(**{changed: "changed"}) is estimator
        found = estimator.get_params(deep=False)
        assert found.pop(changed) == "changed"
        assert all(same(value, params[name]) for name, value in found.items())


@every_estimator
def test_nested_parameters_are_set_through(cls):
    params = other_params(cls)
    nested = {f"{name}__C" for name in ESTIMATOR_PARAMS & params.keys()}
    nested |= {"one__C", "two__C"} if "teachers" in params else set()
    estimator = clone(cls(**params))
    assert nested <= estimator.get_params().keys()
    for i, name in enumerate(sorted(nested)):
        estimator.set_params(**{name: 100 + i})
    for i, name in enumerate(sorted(nested)):
        assert estimator.get_params()[name] == clone(estimator).get_params()[name] == 100 + i
    if "teachers" in params:
        assert estimator.teachers[0][1].C == 100 + sorted(nested).index("one__C")
        assert params["teachers"][0][1].C == 5  # the clone's was set, and not the original's


@every_estimator
def test_unknown_parameters_are_refused(cls):
    estimator = cls(**other_params(cls))
    with pytest.raises(ValueError, match="Invalid parameter 'lamda'"):
        estimator.set_params(lamda=1)
    with pytest.raises(TypeError, match="unexpected keyword.*'lamda'"):
        cls(**other_params(cls), lamda=1)


@every_estimator
def test_display_shows_what_was_changed(cls):
    params = other_params(cls)
    estimator = cls(**params)
    for name, value in params.items():  # one by one: of many, scikit-learn leaves some out
        assert f"{name}=" in repr(cls(**required(cls) | {name: value}))
    page = estimator._repr_html_()
    assert cls.__name__ in page and page.count("<div") == page.count("</div>")
    if ESTIMATOR_PARAMS & params.keys() or "teachers" in params:
        assert "LogisticRegression" in page
    assert cls.__name__ in make_pipeline(estimator)._repr_html_()


# -------------------------------------------------------------------- tables as output

def nouns():
    vectors = rng.normal(size=(30, 5))
    return {"nouns": [f"noun {i}" for i in range(30)], "noun_embeddings": vectors}


TRAINING = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
FITTED = [
    UnimodalTeacher(**TRAINING),
    TeacherEnsemble([("network", UnimodalTeacher(**TRAINING)), ("linear", LogisticRegression())]),
    ProductOfExperts([("network", UnimodalTeacher(**TRAINING)), ("linear", LogisticRegression())], cv=2),
    MultiTeacherDistiller([("linear", LogisticRegression())], cv=2, **TRAINING),
    DistilledRegressor(**TRAINING),
    UCMKDStudent(LogisticRegression(), **TRAINING),
    CCHSelector(student="few", modalities={"few": [0, 1], "rest": [2, 3, 4]}, n_repeats=2,
                n_components=2, network=UnimodalTeacher(**TRAINING), random_state=0),
]


@pytest.mark.parametrize("estimator", FITTED, ids=lambda estimator: type(estimator).__name__)
def test_tables_as_everyones_output_change_nothing(estimator):
    """``sklearn.set_config(transform_output="pandas")`` concerns transformers, also those inside."""
    pd = pytest.importorskip("pandas")
    expected = clone(estimator).fit(X, y)
    frame = pd.DataFrame(X)
    with sklearn.config_context(transform_output="pandas"):
        found = clone(estimator).fit(X, y)
        if isinstance(estimator, CCHSelector):
            assert found.mi_gap_ == expected.mi_gap_
            assert found.score(X, y) == expected.score(X, y)
        else:
            np.testing.assert_array_equal(found.predict(frame), expected.predict(X))


def test_a_table_of_nouns_is_named_and_indexed():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, index=[f"row {i}" for i in range(len(X))])
    relaxer = WordNetRelaxer(**nouns(), n_clusters=2, random_state=0).fit(X)
    table = relaxer.set_output(transform="pandas").transform(frame)
    assert list(table.index) == list(frame.index)
    assert list(table.columns) == list(relaxer.get_feature_names_out())
    np.testing.assert_array_equal(table, relaxer.set_output(transform="default").transform(X))


@pytest.mark.parametrize("transformer", [
    Blur(1.0), AddNoise(random_state=0), LogMelSpectrogram(duration=0.1, n_mels=4),
    LogSpectrogram(8000, duration=0.1)],
    ids=lambda transformer: type(transformer).__name__)
def test_what_is_no_table_stays_an_array(transformer):
    samples = rng.normal(size=(3, 800)) if isinstance(transformer, (LogMelSpectrogram, LogSpectrogram)) \
        else rng.normal(size=(3, 8, 8, 3))
    with sklearn.config_context(transform_output="pandas"):
        out = transformer.fit_transform(samples)
    assert isinstance(out, np.ndarray) and out.ndim > 2


def test_a_teacher_reads_an_embedders_table():
    pytest.importorskip("pandas")

    class Identity(BaseEstimator):
        def transform(self, X):
            import pandas as pd

            return pd.DataFrame(X) if sklearn.get_config()["transform_output"] == "pandas" else X

        def encode_text(self, texts):
            return np.eye(5)[[len(text) % 5 for text in texts]] + 0.1

    teacher = WordNetRelaxedTeacher(Identity(), class_names=["cat", "horse"], n_clusters=2,
                                    nouns=nouns()["nouns"], **TRAINING)
    expected = clone(teacher).fit(X, y).predict(X)
    with sklearn.config_context(transform_output="pandas"):
        np.testing.assert_array_equal(clone(teacher).fit(X, y).predict(X), expected)
