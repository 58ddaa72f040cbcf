"""Columns that tell most of the classes and least of each other, against the definition in loops."""

import warnings

import numpy as np
import pytest
from scipy.stats import f_oneway
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmkdlearn.preprocessing import MRMR


@parametrize_with_checks([MRMR(2)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def by_definition(X, y, size):
    relevance = [f_oneway(*(column[y == k] for k in np.unique(y))).statistic for column in X.T]
    correlation = np.abs(np.corrcoef(X.T))
    taken = [int(np.argmax(relevance))]
    while len(taken) < size:
        left = [j for j in range(X.shape[1]) if j not in taken]
        taken.append(max(left, key=lambda j: relevance[j] / correlation[j, taken].mean()))
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_the_ranking_is_that_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=40)
    X = rng.normal(size=(40, 12)) @ rng.normal(size=(12, 12)) + rng.normal(size=12) * y[:, None]
    assert MRMR(9).fit(X, y).ranking_.tolist() == by_definition(X, y, 9)


def test_units_and_signs_do_not_count():
    X, y = load_wine(return_X_y=True)
    units = np.where(np.arange(13) % 2, -1e3, 1e-3)
    expected = MRMR(6).fit(X, y).ranking_
    np.testing.assert_array_equal(MRMR(6).fit(X * units + 7, y).ranking_, expected)
    np.testing.assert_array_equal(MRMR(6).fit(X, np.array(["b", "c", "a"])[y]).ranking_, expected)


def test_a_copy_and_a_constant_come_last():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 30)
    signal = y + rng.normal(size=60)
    X = np.column_stack([np.ones(60), signal, -signal, y + rng.normal(size=60)])
    selector = MRMR(3).fit(X, y)
    assert selector.relevance_[0] == 0
    assert selector.ranking_[-1] in (1, 2) and 0 not in selector.ranking_
    assert selector.transform(X).shape == (60, 3)


def test_a_column_that_is_the_class_comes_first():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 10)
    X = np.column_stack([rng.normal(size=20), y, rng.normal(size=20)])
    assert MRMR(2).fit(X, y).ranking_[0] == 1


def test_within_a_grid_search():
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(MRMR(), LogisticRegression(max_iter=5000))
    search = GridSearchCV(pipeline, {"mrmr__n_features_to_select": [1, 8]}, cv=3).fit(X, y)
    assert search.best_params_ == {"mrmr__n_features_to_select": 8}


def test_what_cannot_be_selected():
    X, y = load_wine(return_X_y=True)
    with pytest.raises(ValueError, match="n_features_to_select=0"):
        MRMR(0).fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        MRMR(2).fit(X, np.zeros(len(y)))
    with pytest.warns(UserWarning, match="more than the 13 columns"):
        assert MRMR().fit(X, y).get_support().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MRMR(2).fit(np.zeros((4, 3)), [0, 0, 1, 1])
