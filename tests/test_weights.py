"""Weights of samples and of classes, and balanced batches."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cmkdlearn.io import load, save
from cmkdlearn.losses import LOSSES, DistillationLoss, Output, get_loss
from cmkdlearn.nn.data import BatchLoader, TensorData, draw_balanced
from cmkdlearn.nn.modules import Standardise
from cmkdlearn.students import (
    DistilledRegressor,
    DMAEDistiller,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher

X, y = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
W = np.random.default_rng(0).integers(0, 4, size=60)  # zero among them
TRAINING = {"max_epochs": 5, "lr": 0.01, "batch_size": -1, "random_state": 0, "device": "cpu"}


def network(**params):
    return UnimodalTeacher(**{**TRAINING, "module__hidden": (8,), **params})


def linear(**params):
    torch.manual_seed(0)
    return UnimodalTeacher(nn.Linear(6, 3), optimizer=torch.optim.SGD, lr=0.5, batch_size=-1,
                           max_epochs=3, random_state=0, device="cpu", **params)


def said(estimator, X=X):
    ask = "predict" if isinstance(estimator, DistilledRegressor) else "predict_proba"
    return getattr(estimator, ask)(X)


def wordnet():
    rng = np.random.default_rng(0)
    names = {k: X[y == k].mean(axis=0) for k in range(3)}
    # every noun alike for all: the choice of nouns counts each sample once
    return WordNetRelaxedTeacher(class_names=names, relaxation="noise", relaxed_proportion=0.5,
                                 nouns={f"n{i}": rng.normal(size=6) for i in range(9)}, **TRAINING)


# -------------------------------------------------------------------- what a weight means

METHODS = {
    "teacher": network(),
    "smoothed": network(label_smoothing=0.2),
    "balanced": network(class_weight="balanced"),
    "student": MultiTeacherDistiller([("linear", LogisticRegression())], **TRAINING),
    **{loss: MultiTeacherDistiller([("network", network())], loss=loss, **TRAINING)
       for loss in ("dkd", "rld", "zscore", "fitnet", "norm", "c2kd")},
    "lfme": LFMEDistiller(**TRAINING),
    "ffkd": FFKDDistiller(**TRAINING),
    "fusion": FusionClassifier(modalities={"a": slice(3), "b": slice(3, 6)}, teacher_modality="a",
                               **TRAINING),
    "ucmkd": UCMKDStudent(network(), lambda_fa=0, lambda_la=0.5, **TRAINING),
    "bilevel": UCMKDStudent(network(), lambda_fa=0, lambda_la=0.5, bilevel=True, **TRAINING),
    "ensemble": TeacherEnsemble([("network", network()), ("linear", LogisticRegression())]),
    "regressor": DistilledRegressor([("linear", LinearRegression())], **TRAINING),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_is_a_number_of_samples(method):
    """In full batches; sklearn's own check asks for the digits of double precision."""
    estimator = METHODS[method]
    weighted = said(estimator.fit(X, y, sample_weight=W))
    repeated = said(estimator.fit(np.repeat(X, W, axis=0), np.repeat(y, W)))
    np.testing.assert_allclose(weighted, repeated, rtol=0, atol=5e-6)
    assert np.abs(weighted - said(estimator.fit(X, y))).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [-1, 16])
def test_a_sample_of_no_weight_is_not_there(method, batch_size):
    estimator = METHODS[method]
    if hasattr(estimator, "batch_size"):
        estimator = copy.copy(estimator).set_params(batch_size=batch_size)
    absent = (W > 0).astype(float)
    poisoned = np.where(W[:, None] > 0, X, 1e6)  # where it is there after all, one would notice
    assert np.array_equal(said(estimator.fit(poisoned, y, sample_weight=absent)),
                          said(estimator.fit(X[W > 0], y[W > 0])))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weight", [np.full(60, 0.3), 7, [2] * 60, pd.Series(np.ones(60))],
                         ids=["array", "number", "list", "series"])
def test_equal_weights_are_none(method, weight):
    estimator = METHODS[method]
    assert np.array_equal(said(estimator.fit(X, y, sample_weight=weight)),
                          said(estimator.fit(X, y)))


def test_only_ratios_of_weights_matter():
    weights = np.random.default_rng(1).random(60)
    np.testing.assert_allclose(said(network(batch_size=16).fit(X, y, weights)),
                               said(network(batch_size=16).fit(X, y, 1e-6 * weights)), atol=1e-6)


def test_weighted_steps_against_hand_written_torch():
    weights = np.random.default_rng(1).random(60)
    estimator = linear(label_smoothing=0.1)
    by_hand = copy.deepcopy(estimator.module)
    estimator.fit(X, y, sample_weight=weights)
    w, losses = torch.from_numpy(weights / weights.sum()), []
    for _ in range(3):
        each = F.cross_entropy(by_hand(torch.from_numpy(X)), torch.from_numpy(y),
                               reduction="none", label_smoothing=0.1)
        loss = (w * each).sum()
        losses.append(loss.item())
        by_hand.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter -= 0.5 * parameter.grad
    np.testing.assert_allclose(estimator.history_[:, "train_loss"], losses, rtol=1e-5)
    np.testing.assert_allclose(estimator.decision_function(X),
                               by_hand(torch.from_numpy(X)).detach(), atol=1e-5)


def test_mini_batches_weigh_a_sample_the_same_in_each():
    """Without a step between them, their gradients add up to that of the full batch."""
    weights = np.random.default_rng(1).random(60)
    whole, parts = (network(lr=0, max_epochs=1, batch_size=size).fit(X, y, weights)
                    for size in (-1, 20))
    assert parts.history_[0, "train_loss"] == pytest.approx(whole.history_[0, "train_loss"],
                                                            rel=1e-5)


def test_unlabelled_samples_weigh_in_distillation_only():
    labels = np.where(np.arange(60) % 3, -1, y)
    student = MultiTeacherDistiller([("linear", LogisticRegression())], **TRAINING)
    np.testing.assert_allclose(
        said(student.fit(X, labels, sample_weight=W)),
        said(student.fit(np.repeat(X, W, axis=0), np.repeat(labels, W))), atol=5e-6)
    # cross-entropy alone: what the unlabelled weigh is all the same
    start = MultiTeacherDistiller([("linear", LogisticRegression())], lambda_kd=0,
                                  **{**TRAINING, "max_epochs": 1})
    other = np.where(labels < 0, 5.0 * (1 + W), 1.0)
    ones = start.fit(X, labels).history_[0, "train_ce_loss"]
    assert start.fit(X, labels, sample_weight=other).history_[0, "train_ce_loss"] \
        == pytest.approx(ones, rel=0.05)  # but for the standardisation


def test_the_standardisation_is_weighted():
    weights = torch.from_numpy(W.astype(float))
    for data, kind in ((X, "table"), (X.reshape(60, 3, 2), "sequence"),
                       (X.reshape(60, 1, 3, 2), "image")):
        mine = Standardise.of(torch.from_numpy(data), kind, chunk=50, weight=weights)
        repeated = Standardise.of(torch.from_numpy(np.repeat(data, W, axis=0)), kind)
        torch.testing.assert_close(mine.mean, repeated.mean)
        torch.testing.assert_close(mine.std, repeated.std)


def test_samples_that_stay_in_their_file(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    expected = said(network(batch_size=16).fit(X, y, W))
    assert np.array_equal(said(network(batch_size=16).fit(mapped, y, W)), expected)
    assert np.array_equal(said(network(batch_size=16).fit(dataset, None, W)), expected)


def test_pretraining_is_weighted():
    images = np.random.default_rng(0).random((12, 8, 8), dtype=np.float32)
    labels, weights = np.arange(12) % 2, np.array([0, 1, 2, 3] * 3)
    student = DMAEDistiller(module__embed_dim=12, module__depth=2, module__num_heads=2,
                            decoder_dim=4, input_type="image", pretrain_epochs=1,
                            **{**TRAINING, "max_epochs": 1})
    student.fit(images, labels, sample_weight=weights)
    assert np.isfinite(student.pretraining_history_[:, "train_pixel_loss"]).all()
    kept = weights > 0
    assert np.array_equal(student.fit(images, labels, kept.astype(int)).predict_proba(images),
                          student.fit(images[kept], labels[kept]).predict_proba(images))


def test_relaxed_text_is_weighted():
    teacher = wordnet()
    weighted = said(teacher.fit(X, y, sample_weight=W))
    assert np.abs(weighted - said(teacher.fit(X, y))).max() > 1e-3
    assert np.array_equal(said(teacher.fit(X, y, sample_weight=(W > 0).astype(float))),
                          said(teacher.fit(X[W > 0], y[W > 0])))


# -------------------------------------------------------------------- losses

@pytest.mark.parametrize("name", LOSSES)
def test_losses_weigh_samples_where_they_are_a_mean_over_them(name):
    torch.manual_seed(0)
    student, teacher = (Output(torch.randn(7, 4), torch.randn(7, 5),
                               (torch.randn(7, 3, 4, 4), torch.randn(7, 6, 2, 2)))
                        for _ in range(2))
    labels = torch.tensor([0, 1, 2, 3, -1, 0, 1])
    loss, weight = get_loss(name).build(student, teacher), torch.rand(7)
    assert loss.takes_weights == (loss.min_samples == 1)
    if not loss.takes_weights:
        with pytest.raises(ValueError, match=f"{name} is no mean over samples"):
            loss(student, teacher, labels, weight)
        return
    singly = [loss(student.map(lambda t, i=i: t[i:i + 1]), teacher.map(lambda t, i=i: t[i:i + 1]),
                   labels[i:i + 1]).item() for i in range(7)]
    assert loss(student, teacher, labels).item() == pytest.approx(np.mean(singly), rel=1e-4)
    assert loss(student, teacher, labels, weight).item() \
        == pytest.approx(np.mean(weight.numpy() * singly), rel=1e-4)


def test_a_sum_weighs_those_of_its_terms_that_can():
    torch.manual_seed(0)
    S, T = (Output(torch.randn(5, 3)) for _ in range(2))
    weight, kd, dist = torch.rand(5), get_loss("kd"), get_loss("dist")
    both = 0.5 * kd + dist
    assert both.takes_weights and not (2 * dist).takes_weights
    torch.testing.assert_close(both(S, T, weight=weight), 0.5 * kd(S, T, weight=weight) + dist(S, T))


def test_a_loss_of_the_users_without_weights_is_left_alone():
    class Mine(DistillationLoss):
        def forward(self, student, teacher, y):
            return F.mse_loss(student.logits, teacher.logits)

    student = MultiTeacherDistiller([("linear", FrozenEstimator(LogisticRegression().fit(X, y)))],
                                    loss=Mine(), **{**TRAINING, "lr": 0, "max_epochs": 1},
                                    module=nn.Linear(6, 3))
    student.fit(X, y, sample_weight=1 + W)
    difference = student.decision_function(X) - student.teacher_logits_
    assert student.history_[0, "train_kd_loss"] == pytest.approx(np.mean(difference**2), rel=1e-5)


# -------------------------------------------------------------------- teachers

def test_teachers_are_fitted_with_the_same_weights():
    reference = LogisticRegression().fit(X, y, sample_weight=W)
    piped = make_pipeline(StandardScaler(), LogisticRegression())
    student = MultiTeacherDistiller([("linear", LogisticRegression()), ("piped", piped)], cv=3,
                                    **TRAINING).fit(X, y, sample_weight=W)
    np.testing.assert_allclose(student.teachers_[0].estimator.coef_, reference.coef_, rtol=1e-4)
    expected = piped.fit(X[W > 0], y[W > 0], logisticregression__sample_weight=W[W > 0])
    np.testing.assert_allclose(student.teachers_[1].estimator[-1].coef_, expected[-1].coef_)


def test_a_pipeline_is_asked_for_by_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        asks = LogisticRegression().set_fit_request(sample_weight=True)
        silent = LogisticRegression().set_fit_request(sample_weight=False)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        student = MultiTeacherDistiller([("piped", make_pipeline(scaler, asks))], **TRAINING)
        coef = student.fit(X, y, sample_weight=W).teachers_[0].estimator[-1].coef_
        student = MultiTeacherDistiller([("piped", make_pipeline(scaler, silent))], **TRAINING)
        with pytest.warns(UserWarning, match="takes no sample_weight"):
            plain = student.fit(X, y, sample_weight=W).teachers_[0].estimator[-1].coef_
    assert not np.allclose(coef, plain, rtol=1e-2)


def test_a_teacher_that_cannot_weigh_says_so():
    student = MultiTeacherDistiller([("near", KNeighborsClassifier())], **TRAINING)
    with pytest.warns(UserWarning, match=r"KNeighborsClassifier\(\) takes no sample_weight"):
        student.fit(X, y, sample_weight=W)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.fit(X, y)


# -------------------------------------------------------------------- what cannot be a weight

@pytest.mark.parametrize("method", ["teacher", "student", "ucmkd", "ensemble", "regressor"])
@pytest.mark.parametrize(("weight", "message"), [
    (np.zeros(60), "non-zero"), (np.where(np.arange(60) == 3, -1.0, 1.0), "sample_weight holds -1"),
    (np.where(np.arange(60) == 3, np.nan, 1.0), "sample_weight contains NaN"),
    (np.where(np.arange(60) == 3, np.inf, 1.0), "sample_weight contains infinity"),
    (np.ones(59), r"\(59,\), expected \(60,\)"), (np.ones((60, 2)), "1D"),
    (["heavy"] * 60, "sample_weight"),
])
def test_bad_weights(method, weight, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method].fit(X, y, sample_weight=weight)


def test_lengths_that_differ_are_told_with_weights_too():
    for rows in (X[:50], {"a": X[:50], "b": X[:50]}):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            network(modality=None if rows is not None and not isinstance(rows, dict) else "a").fit(
                rows, y, sample_weight=W)


# -------------------------------------------------------------------- scoring and routing

def test_scores_are_weighted():
    weights = np.random.default_rng(1).random(60)
    fitted = network().fit(X, y)
    assert fitted.score(X, y, sample_weight=weights) \
        == accuracy_score(y, fitted.predict(X), sample_weight=weights)
    labels = np.where(np.arange(60) % 2, -1, y)
    student = MultiTeacherDistiller(**TRAINING).fit(X, labels)
    assert student.score(X, labels, sample_weight=weights) == accuracy_score(
        y[::2], student.predict(X)[::2], sample_weight=weights[::2])
    regressor = DistilledRegressor(**TRAINING).fit(X, X[:, 0])
    assert regressor.score(X, X[:, 0], weights) != regressor.score(X, X[:, 0])


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        student = MultiTeacherDistiller([("linear", LogisticRegression())], **TRAINING) \
            .set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, student).fit(X, y, sample_weight=W)
        scaled = scaler.fit_transform(X)
        assert np.array_equal(pipe.predict_proba(X),
                              student.fit(scaled, y, sample_weight=W).predict_proba(scaled))
        search = GridSearchCV(student, {"lambda_kd": [0.0, 1.0]}, cv=2).fit(X, y, sample_weight=W)
        assert np.array_equal(search.predict_proba(X), search.best_estimator_.predict_proba(X))
        scores = cross_validate(student, X, y, cv=[(np.arange(40), np.arange(40, 60))],
                                params={"sample_weight": W})["test_score"]
        fitted = student.fit(X[:40], y[:40], sample_weight=W[:40])
        assert scores[0] == fitted.score(X[40:], y[40:], sample_weight=W[40:])


# -------------------------------------------------------------------- classes

LONG = np.repeat([0, 1, 2], [45, 10, 5])


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 2.0, 2: 0.5}, {2: 3.0}])
def test_class_weights_are_those_of_scikit_learn(class_weight):
    estimator = linear(class_weight=class_weight).fit(X, LONG)
    np.testing.assert_allclose(
        estimator.class_weight_,
        compute_class_weight(class_weight, classes=np.arange(3), y=LONG))
    # a network that does not standardise knows them by the loss alone
    by_sample = linear().fit(X, LONG, sample_weight=compute_sample_weight(class_weight, LONG))
    np.testing.assert_allclose(said(estimator), said(by_sample), atol=1e-6)
    assert np.abs(said(estimator) - said(linear().fit(X, LONG))).max() > 1e-3


def test_class_weights_multiply_sample_weights():
    weights = 1 + W.astype(float)
    both = linear(class_weight={0: 1, 1: 2, 2: 3}).fit(X, LONG, sample_weight=weights)
    product = linear().fit(X, LONG, sample_weight=weights * (1 + LONG))
    np.testing.assert_allclose(said(both), said(product), atol=1e-6)


def test_balanced_classes_of_weighted_samples_weigh_alike():
    weights = 1 + W.astype(float)
    estimator = linear(class_weight="balanced").fit(X, LONG, sample_weight=weights)
    mass = [(weights * estimator.class_weight_[LONG])[LONG == k].sum() for k in range(3)]
    np.testing.assert_allclose(mass, weights.sum() / 3)


def test_class_weights_know_labels_by_name_and_leave_the_unlabelled_out():
    names = np.array(["cat", "dog", "eel"], dtype=object)[LONG]
    expected = linear(class_weight={0: 1.0, 1: 2.0, 2: 4.0}).fit(X, LONG)
    named = linear(class_weight={"cat": 1.0, "dog": 2.0, "eel": 4.0}).fit(X, names)
    assert np.array_equal(said(named), said(expected))
    labels = LONG.copy()
    labels[:30] = -1
    student = MultiTeacherDistiller(class_weight="balanced", **TRAINING).fit(X, labels)
    np.testing.assert_allclose(student.class_weight_, 30 / (3 * np.array([15, 10, 5])))


def test_an_expert_gets_the_weights_of_its_classes():
    student = LFMEDistiller(class_weight={0: 1, 1: 2, 2: 4, 3: 3}, shots=(20, 30), **TRAINING)
    student.fit(np.vstack([X, X]), np.repeat([0, 1, 2, 3], [45, 15, 45, 15]))
    assert [expert.class_weight for expert in student.experts_] == [{1: 2, 3: 3}, {0: 1, 2: 4}]


def test_without_class_weights_they_are_one():
    assert network().fit(X, y).class_weight_.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("class_weight", "message"), [
    ("even", "class_weight='even' must be \"balanced\", a dict"), ([1, 2, 3], "must be \"balanced\""),
    ({"cat": 1}, "not in class_weight"), ({0: -1.0}, "class_weight holds -1"),
    ({0: 0, 1: 0, 2: 0}, "class_weight.*non-zero"), ({0: np.nan}, "NaN"),
])
def test_bad_class_weights(class_weight, message):
    with pytest.raises(ValueError, match=message):
        network(class_weight=class_weight).fit(X, y)


def test_the_validation_split_is_weighted_alike():
    weights = 1 + W.astype(float)
    estimator = network(early_stopping=True, validation_fraction=0.3, lr=0, max_epochs=1,
                        class_weight="balanced").fit(X, LONG, sample_weight=weights)
    all_of_it = network(lr=0, max_epochs=1, class_weight="balanced").fit(
        X, LONG, weights, X_val=X, y_val=LONG, sample_weight_val=weights)
    logits = torch.from_numpy(all_of_it.teaching_logits(X))
    by_hand = np.average(F.cross_entropy(logits, torch.from_numpy(LONG), reduction="none"),
                         weights=weights * all_of_it.class_weight_[LONG])
    assert all_of_it.history_[0, "valid_loss"] == pytest.approx(by_hand, rel=1e-5)
    assert np.isfinite(estimator.history_[0, "valid_loss"])


# -------------------------------------------------------------------- batches

def test_balanced_draws():
    torch.manual_seed(0)
    codes = torch.from_numpy(np.random.default_rng(0).permutation(LONG))
    drawn = draw_balanced(codes, 30_000)
    of_class = codes[drawn].bincount() / 30_000
    assert (of_class - 1 / 3).abs().max() < 4 * (2 / 9 / 30_000) ** 0.5
    share = drawn.bincount(minlength=60) / 30_000  # within a class all alike
    expected = 1 / (3 * codes.bincount()[codes])
    assert ((share - expected).abs() < 5 * (expected / 30_000) ** 0.5).all()
    assert draw_balanced(torch.tensor([2, 2, 5]), 100).bincount().min() > 0  # a code may be missing


def test_a_balanced_sampler_draws_the_batches():

    seen = []

    class Watched(UnimodalTeacher):
        def _loss(self, module, batch, output):
            if module.training:
                seen.append(batch.y)
            return super()._loss(module, batch, output)

    params = {**TRAINING, "batch_size": 20, "max_epochs": 40}
    Watched(sampler="balanced", **params).fit(X, LONG)
    sizes = torch.cat(seen).bincount()
    assert sum(map(len, seen)) == 40 * 60
    assert (sizes / sizes.sum() - 1 / 3).abs().max() < 0.05
    first, second = (network(sampler="balanced", batch_size=16).fit(X, LONG) for _ in range(2))
    assert np.array_equal(said(first), said(second))
    assert not np.array_equal(said(first), said(network(batch_size=16).fit(X, LONG)))


class OneOfTwo:
    """One of two processes, the first of which says what both draw."""

    number, said = 2, None

    def __init__(self, index):
        self.index = index

    def of_first(self, order):
        OneOfTwo.said = order if self.index == 0 else OneOfTwo.said
        return OneOfTwo.said

    def share(self, rows):
        return rows.tensor_split(2)[self.index]


def test_processes_share_out_the_same_balanced_draw():
    data, parts = TensorData(X=torch.from_numpy(X), y=torch.from_numpy(LONG)), []
    for index in (0, 1):
        torch.manual_seed(index)
        batches = BatchLoader(data, batch_size=20, shuffle=True).sampler
        batches.balances, batches.processes = True, OneOfTwo(index)
        parts.append(list(batches))
    torch.manual_seed(0)
    expected = draw_balanced(torch.from_numpy(LONG), 60)
    assert torch.equal(torch.cat([torch.cat(pair) for pair in zip(*parts, strict=True)]), expected)


def test_the_sampler_of_today_draws():
    estimator = network(warm_start=True, batch_size=16).fit(X, LONG)
    other = copy.deepcopy(estimator).set_params(sampler="balanced")
    assert not np.array_equal(said(estimator.fit(X, LONG)), said(other.fit(X, LONG)))


def test_a_balanced_sampler_needs_labels_and_its_own_loader():
    labels = np.where(np.arange(60) % 3, -1, y)
    with pytest.raises(ValueError, match="sampler='balanced'.* 40 samples of y have no label"):
        MultiTeacherDistiller(sampler="balanced", **TRAINING).fit(X, labels)
    with pytest.raises(ValueError, match="sampler='balanced'.*iterator_train=DataLoader"):
        network(sampler="balanced", iterator_train=DataLoader, batch_size=16).fit(X, y)
    with pytest.raises(ValueError, match="sampler='even' is unknown. Use None or 'balanced'; weights .* sample_weight"):
        network(sampler="even").fit(X, y)
    for name in ("sampler", "batch_sampler"):
        with pytest.raises(TypeError, match=f'iterator_train__{name}: .* draws its batches.*sampler="balanced"'):
            network(**{f"iterator_train__{name}": range(9)}).fit(X, y)


def test_both_are_kept_in_files(tmp_path):
    estimator = network(class_weight={0: 1, 1: 2, 2: 3}, sampler="balanced").fit(X, y)
    save(estimator, tmp_path / "network.safetensors")
    loaded = load(tmp_path / "network.safetensors")
    assert loaded.class_weight == {0: 1, 1: 2, 2: 3} and loaded.sampler == "balanced"
    assert loaded.class_weight_.tolist() == [1, 2, 3]
    assert np.array_equal(said(loaded), said(estimator))


KILLS = [True]


class Kill(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if KILLS[0] and len(net.history) == 3:
            raise OSError("killed")


def test_a_checkpoint_knows_the_weights(tmp_path):
    KILLS[0] = True
    estimator = network(callbacks=[Kill()], checkpoint=tmp_path, batch_size=16)
    with pytest.raises(OSError, match="killed"):
        estimator.fit(X, y, sample_weight=1 + W)
    KILLS[0] = False
    for weights, files in ((None, 1), (2 + W, 1), (1 + W, 0)):  # the last goes on, and clears up
        assert np.array_equal(said(estimator.fit(X, y, sample_weight=weights)),
                              said(network(batch_size=16).fit(X, y, sample_weight=weights)))
        assert len(list(tmp_path.iterdir())) == files
