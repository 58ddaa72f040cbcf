"""ProductOfExperts: the posterior of modalities that are independent given the class."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import PrecomputedTeacher, ProductOfExperts, UnimodalTeacher
from cmkdlearn.teachers._product import _calibrate

MEANS = np.array([[0.0, 0.0], [1.5, 0.5], [-0.5, 1.5]])
SHARES = np.array([0.6, 0.3, 0.1])


def draw(n, seed=0):
    """Two modalities, independent given one of three classes of very different frequency."""
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, 2, 0, 1, 2, rng.choice(3, n - 6, p=SHARES)]
    return {name: MEANS[y] + rng.normal(size=(n, 2)) for name in "ab"}, y


def bayes(name):
    return make_pipeline(ModalitySelector(name), GaussianNB())


def posterior(X):
    """What the modalities together say, worked out from the distributions."""
    return log_softmax(np.log(SHARES) - 0.5 * sum(
        ((part[:, None] - MEANS) ** 2).sum(axis=2) for part in X.values()), axis=1)


def test_it_is_the_posterior_of_all_modalities_where_they_are_independent_given_the_class():
    X, y = draw(4000)
    teacher = ProductOfExperts([("a", bayes("a")), ("b", bayes("b"))]).fit(X, y)
    found = log_softmax(teacher.teaching_logits(X), axis=1)
    assert np.abs(np.exp(found) - np.exp(posterior(X))).mean() < 0.02
    # a sum without the prior's part counts the frequencies twice
    twice = log_softmax(sum(member.decision_function(X) for member in teacher.teachers_), axis=1)
    assert np.abs(np.exp(twice) - np.exp(posterior(X))).mean() > 0.05


def test_uncalibrated_it_is_naive_bayes_of_all_columns():
    X, y = draw(200)
    teacher = ProductOfExperts([("a", bayes("a")), ("b", bayes("b"))]).fit(X, y)
    teacher.temperatures_, teacher.prior_weights_ = np.ones(2), np.zeros(2)
    together = GaussianNB().fit(np.hstack([X["a"], X["b"]]), y)
    np.testing.assert_allclose(log_softmax(teacher.teaching_logits(X), axis=1),
                               together.predict_log_proba(np.hstack([X["a"], X["b"]])), atol=2e-4)


def test_the_temperature_is_that_of_least_log_loss_out_of_fold():
    X, y = draw(300)
    overconfident = make_pipeline(FunctionTransformer(lambda X: np.asarray(X)), GaussianNB())
    cv = StratifiedKFold(4, shuffle=True, random_state=1)
    teacher = ProductOfExperts([("both", overconfident)], cv=cv).fit(np.hstack([X["a"]] * 3), y)
    unseen = np.log(np.clip(cross_val_predict(GaussianNB(), np.hstack([X["a"]] * 3), y, cv=cv,
                                              method="predict_proba"), 1e-300, None))
    prior = np.log(np.bincount(y) / len(y))

    def loss(scale):  # one column more than what is fitted is held where it came out
        logits = scale * unseen + teacher.prior_weights_[0] * prior
        mean = -log_softmax(logits, axis=1).mean()  # of the sample that is added
        return (len(y) * log_loss(y, np.exp(log_softmax(logits, axis=1))) + mean) / (len(y) + 1)

    best = minimize_scalar(loss, bounds=(0.01, 2), method="bounded", options={"xatol": 1e-6}).x
    assert teacher.temperatures_[0] == pytest.approx(1 / best, rel=0.02)
    assert teacher.temperatures_[0] > 2  # the same columns three times make it too sure


@pytest.mark.parametrize("factor", [0.01, 1, 100])
def test_the_unit_of_the_logits_is_no_matter(factor):
    X, y = draw(300)
    logits = GaussianNB().fit(X["a"], y).predict_log_proba(X["a"])
    log_prior = np.log(np.bincount(y) / len(y))
    scale, prior_weight = _calibrate(factor * logits, y, None, log_prior)
    expected = _calibrate(logits, y, None, log_prior)
    assert (factor * scale, prior_weight) == pytest.approx(expected, abs=1e-4)


def test_logits_that_are_always_right_stay_finite_and_constant_ones_say_nothing():
    y = np.arange(30) % 3
    log_prior = np.log(np.full(3, 1 / 3))
    assert 0 < _calibrate(np.eye(3)[y], y, None, log_prior)[0] < 100
    assert _calibrate(np.zeros((30, 3)), y, None, log_prior)[0] * 0 == 0
    wrong = np.eye(3)[(y + 1) % 3]
    assert _calibrate(wrong, y, None, log_prior)[0] == 0  # never turned round


def test_a_modality_of_noise_changes_next_to_nothing():
    X, y = draw(2000)
    X["noise"] = np.random.default_rng(5).normal(size=(2000, 2))
    alone = ProductOfExperts([("a", bayes("a"))]).fit(X, y)
    beside = ProductOfExperts([("a", bayes("a")), ("noise", bayes("noise"))]).fit(X, y)
    p, q = alone.predict_proba(X), beside.predict_proba(X)
    assert np.abs(p - q).mean() < 0.01


def test_its_head_gives_its_logits():
    X, y = draw(200)
    network = UnimodalTeacher(modality="a", max_epochs=2, random_state=0, device="cpu")
    linear = make_pipeline(ModalitySelector("b"), LogisticRegression())
    teacher = ProductOfExperts([("network", network), ("linear", linear)], random_state=0).fit(X, y)
    with torch.no_grad():
        said = teacher.head_(torch.from_numpy(teacher.encode(X))).numpy()
    np.testing.assert_allclose(said, teacher.teaching_logits(X), rtol=1e-4, atol=1e-4)


def test_a_frozen_expert_is_calibrated_as_it_is_and_a_weight_is_a_number_of_samples():
    X, y = draw(400)
    fitted = FrozenEstimator(bayes("a").fit(*draw(100, seed=1)))
    weight = np.random.default_rng(2).integers(1, 4, len(y))
    first = ProductOfExperts([("a", fitted)]).fit(X, y, sample_weight=weight)
    repeated = {name: np.repeat(part, weight, axis=0) for name, part in X.items()}
    second = ProductOfExperts([("a", fitted)]).fit(repeated, np.repeat(y, weight))
    np.testing.assert_allclose(first.class_prior_, second.class_prior_)
    np.testing.assert_allclose(first.temperatures_, second.temperatures_, rtol=2e-3)
    assert first.teachers_[0].estimator is fitted.estimator


def test_a_student_is_shown_the_product_of_labelled_and_unlabelled_samples():
    X, y = draw(300)
    some = np.where(np.arange(300) < 100, y, -1)
    product = ProductOfExperts([("a", bayes("a")), ("b", bayes("b"))], random_state=0)
    student = MultiTeacherDistiller([("both", product)], modality="a", max_epochs=1, device="cpu",
                                    random_state=0).fit(X, some)
    known = {name: part[:100] for name, part in X.items()}
    np.testing.assert_allclose(student.teacher_logits_,
                               product.fit(known, y[:100]).teaching_logits(X), rtol=1e-5, atol=1e-5)


def test_a_class_that_a_fold_takes_whole_is_named():
    X, y = draw(60)
    y = np.where(np.arange(60) == 7, 9, y)
    with pytest.warns(UserWarning, match="least populated"), \
            pytest.raises(ValueError, match=r"cv=5 has a fold with all samples of the classes \[9\]"):
        ProductOfExperts([("a", bayes("a"))]).fit(X, y)


def test_a_teacher_that_reads_labels_is_refused():
    class Reader(PrecomputedTeacher):
        needs_labels_to_teach = True

    X, y = draw(30)
    with pytest.raises(ValueError, match="'names' only reads class names"):
        ProductOfExperts([("names", Reader(np.zeros((30, 3)), [0, 1, 2]))]).fit(X, y)
