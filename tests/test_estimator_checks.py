"""scikit-learn's own checks of the estimators that train on the bridge."""

import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    DistilledRegressor,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import PretrainedTeacher, ProductOfExperts, TeacherEnsemble, UnimodalTeacher


class OfAnyWidth(nn.Sequential):
    """A network that reads tables of any number of columns, as the checks have them."""

    def __init__(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)  # what it fails must not be left to chance
            super().__init__(nn.AdaptiveAvgPool1d(3), nn.Linear(3, 11))


training = {"random_state": 0, "device": "cpu"}  # all else by default
ESTIMATORS = [
    UnimodalTeacher(**training),
    PretrainedTeacher(OfAnyWidth(), range(-1, 10), device="cpu"),
    DistilledRegressor(**training),
    DistilledRegressor([("linear", LinearRegression())], **training),
    TeacherEnsemble([("network", UnimodalTeacher(**training)), ("linear", LogisticRegression())]),
    ProductOfExperts([("network", UnimodalTeacher(**training)), ("linear", LogisticRegression())], cv=2),
    FusionClassifier(modalities={"all": slice(None), "first": [0]}, **training),
    MultiTeacherDistiller(**training),
    MultiTeacherDistiller([("linear", LogisticRegression())], **training),
    MultiTeacherDistiller([("linear", LogisticRegression())], loss="crd", **training),
    LFMEDistiller(**training),
    FFKDDistiller(**training),  # DMAEDistiller reads images only, and the checks have none
    CCHSelector(student="all", modalities={"all": slice(None), "first": [0]}, n_repeats=2,
                network=UnimodalTeacher(max_epochs=2, device="cpu"), random_state=0,
                distiller=MultiTeacherDistiller(**training)),
    UCMKDStudent(UnimodalTeacher(max_epochs=2, random_state=0, device="cpu"), **training),
    UCMKDStudent(UnimodalTeacher(max_epochs=2, random_state=0, device="cpu"), lambda_la=0.1,
                 bilevel=True, **training),
]


EQUIVALENCE = "check_sample_weight_equivalence"  # on dense data, and on sparse data


def expected_failures(estimator):
    reasons = {}
    if isinstance(estimator, (MultiTeacherDistiller, FFKDDistiller, CCHSelector, UCMKDStudent,
                              FusionClassifier)):
        reasons["check_classifiers_classes"] = (
            "one of its classes is -1, which marks unlabelled samples here; scikit-learn exempts "
            "its own semi-supervised estimators")
    if isinstance(estimator, PretrainedTeacher):
        learns = "it learns nothing, and its classes are given"
        return {"check_classifiers_train": learns, "check_classifiers_one_label": learns,
                "check_classifiers_classes": learns, "check_decision_proba_consistency": learns,
                "check_estimators_overwrite_params":
                "joblib.hash knows a network by where its weights lie; test_pretrained.py compares them"}
    return reasons


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    try:
        check(estimator)
    except (AssertionError, ValueError):
        if not check.func.__name__.startswith(EQUIVALENCE):
            raise
        # seven digits, which float32 has not after some steps, on some processors; row numbers in cv
        # of a distiller, which here number the samples of some weight; and FA counts every sample once
        pytest.xfail("tests/test_weights.py asks for five digits")
