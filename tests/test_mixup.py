"""Mixup: samples, labels and what the teachers say, mixed alike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import beta, kstest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import Bunch
from torch import nn

from cmkdlearn.losses import KD, LOSSES, Output
from cmkdlearn.model_selection import compare
from cmkdlearn.nn.augment import mix
from cmkdlearn.nn.data import seeded
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.students._multi_teacher import _of_mixed
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

rng = np.random.default_rng(0)
y = np.arange(60) % 3
X = (rng.normal(size=(60, 5)) + y[:, None]).astype(np.float32)
FEW = np.where(np.arange(60) % 4 == 0, -1, y)
SGD = {"max_epochs": 2, "lr": 0.05, "batch_size": 32, "device": "cpu", "random_state": 0,
       "optimizer": torch.optim.SGD, "module__hidden": (8,)}
BAYES = [("bayes", GaussianNB())]


def student(teachers=(), **params):
    return MultiTeacherDistiller(teachers, **{**SGD, **params})


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.net_.module_.parameters()])


class Linear(nn.Module):
    """A network that keeps the batches it was trained on."""

    def __init__(self):
        super().__init__()
        self.kept, self.head = [], nn.Linear(2, 3)

    def forward(self, x):
        if self.training:
            self.kept.append(x.detach().numpy().copy())
        return self.head(x)


# -------------------------------------------------------------------- the mixing itself

batches = st.tuples(st.lists(st.integers(-1, 2), min_size=1, max_size=12), st.integers(0, 2**31),
                    st.sampled_from([1e-3, 0.2, 1, 5, 100]))


@settings(deadline=None, max_examples=60)
@given(batches)
def test_labelled_samples_are_mixed_among_themselves(drawn):
    labels, seed, alpha = drawn
    n = len(labels)
    batch = Bunch(X=torch.arange(float(n))[:, None], y=torch.tensor(labels),
                  teacher=(torch.arange(n), None, (torch.arange(n),)))
    with seeded(seed):
        mixed = mix(batch, alpha)
    other, share = mixed.other_teacher[0], mixed.share
    assert sorted(other.tolist()) == list(range(n))  # each one is the other once
    assert torch.equal(mixed.other_y, batch.y[other])
    assert torch.equal(mixed.other_y < 0, batch.y < 0)
    assert mixed.other_teacher[1] is None and torch.equal(mixed.other_teacher[2][0], other)
    assert share.shape == (n,) and (share == share[0]).all() and 0 <= share[0] <= 1
    torch.testing.assert_close(mixed.X, share[:, None] * batch.X + (1 - share[:, None]) * batch.X[other])
    assert torch.equal(mixed.y, batch.y) and torch.equal(batch.X, torch.arange(float(n))[:, None])


def test_pairs_are_drawn_uniformly():
    batch = Bunch(X=torch.arange(3.0), y=torch.tensor([0, 0, 1]), at=torch.arange(3))
    with seeded(0):
        drawn = [mix(batch, 2.0).other_at.numpy() for _ in range(1200)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 6 and np.abs(counts - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize("alpha", [0.2, 1, 3])
def test_shares_are_drawn_from_beta(alpha):
    with seeded(0):
        shares = [mix(Bunch(X=torch.zeros(1), y=torch.zeros(1)), alpha).share.item() for _ in range(800)]
    assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-3


def test_shares_of_a_tiny_alpha_are_zero_or_one():
    with seeded(0):
        shares = [mix(Bunch(X=torch.zeros(1), y=torch.zeros(1)), 1e-6).share.item() for _ in range(100)]
    assert set(np.round(shares, 3)) == {0, 1} and 30 < sum(shares) < 70


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_the_dtype_and_the_range_stay(dtype):
    images = torch.full((50, 1, 2, 2), 255 if dtype == torch.uint8 else 1).to(dtype)
    images[:10] = 0
    for seed in range(50):
        with seeded(seed):
            mixed = mix(Bunch(X=images, y=torch.zeros(50, dtype=torch.long), at=torch.arange(50)), 0.7)
        assert mixed.X.dtype == dtype and mixed.X.max() <= images.max() and mixed.X.min() >= 0
        share = mixed.share[:, None, None, None].double()
        expected = share * images + (1 - share) * images[mixed.other_at]
        atol = 0.5 + 1e-4 if dtype == torch.uint8 else 1e-6
        torch.testing.assert_close(mixed.X.double(), expected, rtol=0, atol=atol)
        alike = (images[-1:] * 0.7).to(dtype).expand(50, -1, -1, -1)
        assert torch.equal(mix(Bunch(X=alike, y=torch.zeros(50)), 0.7).X, alike)


# -------------------------------------------------------------------- the loss by hand

PAIR, CODES = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.2]]), np.array([0, 1, 2])
BATCH = {**SGD, "lr": 0, "max_epochs": 1, "batch_size": -1, "module": Linear, "mixup": 1.0, "temperature": 2.0,
         "iterator_train__shuffle": False, "lambda_kd": 0.7}
del BATCH["module__hidden"]


def seen_in(fitted, X=PAIR):
    """What was mixed in the one batch: the mixtures, the share, and the partner of each sample."""
    (mixtures,) = fitted.net_.module_.encoder.kept
    # x' = s x + (1 - s) x_other: one share and one order explain all rows
    for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]):
        moved = (X - X[order]).ravel()
        share = moved @ (mixtures - X[order]).ravel() / max(moved @ moved, 1e-12)
        if np.allclose(mixtures, share * X + (1 - share) * X[order], atol=1e-6):
            return mixtures, share, order
    raise AssertionError("these are no mixtures")


@pytest.mark.parametrize("weight", [None, np.array([1.0, 2.0, 3.0])], ids=["alike", "weighted"])
@pytest.mark.parametrize("seed", range(6))
def test_a_batch_by_hand(seed, weight):
    teacher = LogisticRegression().fit(np.vstack([PAIR] * 2), np.tile(CODES, 2))
    frozen = [("t", FrozenEstimator(teacher))]
    fits = {view: MultiTeacherDistiller(frozen, teacher_view=view, **{**BATCH, "random_state": seed})
            .fit(PAIR, CODES, sample_weight=weight) for view in ("clean", "same")}
    mixtures, share, order = seen_in(fits["clean"])
    np.testing.assert_array_equal(fits["same"].net_.module_.encoder.kept[0], mixtures)
    z = log_softmax(fits["clean"]._run(mixtures).logits.astype(float), axis=1)
    z_2 = log_softmax(fits["clean"]._run(mixtures).logits.astype(float) / 2, axis=1)
    own, other = -z[np.arange(3), CODES], -z[np.arange(3), CODES[order]]
    w = np.ones(3) if weight is None else weight / weight.mean()
    ce = np.mean(share * w * own + (1 - share) * w[order] * other)

    def kl(logits, w):
        p = softmax(logits / 2, axis=1)
        return np.mean(w * 4 * np.sum(p * (np.log(p) - z_2), axis=1))

    said = teacher.decision_function(PAIR)
    kd = {"clean": share * kl(said, w) + (1 - share) * kl(said[order], w[order]),
          "same": kl(teacher.decision_function(mixtures), share * w + (1 - share) * w[order])}
    for view, fitted in fits.items():
        row = fitted.history_[0]
        assert row["train_ce_loss"] == pytest.approx(ce, rel=1e-5)
        assert row["train_kd_loss"] == pytest.approx(kd[view], rel=1e-4, abs=1e-7)
        assert row["train_loss"] == pytest.approx(ce + 0.7 * kd[view], rel=1e-5)


def test_clean_logits_pull_as_mixed_probabilities_do():
    """The gradient is that of the divergence from s p + (1 - s) p_other."""
    torch.manual_seed(0)
    S, T = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    other = torch.tensor([1, 2, 0, 3])
    batch = Bunch(teacher=Output(T), other_teacher=Output(T[other]), share=torch.full((4,), 0.3))
    loss = _of_mixed(batch, lambda part: KD(2.0)(Output(S), part.teacher, None))
    p = 0.3 * (T / 2).softmax(1) + 0.7 * (T[other] / 2).softmax(1)
    expected = 4 * -(p * (S / 2).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(*(torch.autograd.grad(value, S)[0] for value in (loss, expected)))


def test_unlabelled_mixtures_carry_the_distillation_term_only():
    class Zero(KD):
        def forward(self, student, teacher, y):
            return 0 * student.logits.sum()

    labels = np.array([0, -1, 1, -1, 2, -1])
    rows = np.eye(6, dtype=np.float32)

    class Sees(nn.Linear):
        def __init__(self):
            super().__init__(6, 3, bias=False)
            nn.init.zeros_(self.weight)

    params = {**BATCH, "module": Sees, "lr": 1.0}
    taught = {name: MultiTeacherDistiller(BAYES, loss=loss, **params).fit(np.vstack([rows, rows]), np.tile(labels, 2))
              .net_.module_.head.weight.detach().T for name, loss in (("ce", Zero()), ("both", KD()))}
    assert not taught["ce"][labels < 0].any() and taught["ce"][labels >= 0].any(1).all()
    assert taught["both"][labels < 0].any(1).all()


@pytest.mark.parametrize("view", ["clean", "same"])
def test_without_mixup_and_with_shares_of_zero_or_one(view):
    """As alpha goes to 0, mixtures become samples, each of them once a batch."""
    params = {**SGD, "lr": 0, "teacher_view": view, "batch_size": -1, "max_epochs": 1}
    for seed in range(3):
        params["random_state"] = seed
        plain, limit = (student(BAYES, mixup=mixup, **params).fit(X, FEW) for mixup in (0, 1e-9))
        for term in ("ce", "kd"):
            assert limit.history_[0][f"train_{term}_loss"] == pytest.approx(plain.history_[0][f"train_{term}_loss"],
                                                                            rel=1e-5)


# -------------------------------------------------------------------- as a parameter

@pytest.mark.parametrize("params", [{}, {"teacher_view": "same"}, {"early_stopping": True}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("teachers", [(), BAYES], ids=["plain", "taught"])
def test_it_can_be_repeated_and_makes_a_difference(teachers, params):
    first, second = (student(teachers, mixup=0.4, **params).fit(X, FEW) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(student(teachers, **params).fit(X, FEW)))


def test_samples_set_aside_are_not_mixed():
    mixed = student(BAYES, mixup=1.0, lr=0, early_stopping=True).fit(X, FEW)
    plain = student(BAYES, lr=0, early_stopping=True).fit(X, FEW)
    for name in ("valid_loss", "valid_ce_loss", "valid_kd_loss", "valid_acc"):
        assert mixed.history_[:, name] == plain.history_[:, name]
    assert mixed.history_[:, "train_ce_loss"] != plain.history_[:, "train_ce_loss"]


@pytest.mark.parametrize("inputs", [rng.integers(256, size=(60, 8, 8), dtype=np.uint8),
                                    rng.random((60, 4, 3)), rng.normal(size=(60, 5))],
                         ids=["images", "sequences", "tables"])
@pytest.mark.parametrize("view", ["clean", "same"])
def test_whatever_x_holds(inputs, view):
    module = {"module": nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "augmentation": "weak"} if inputs.ndim == 3 \
        and inputs.dtype == np.uint8 else {"module": "auto", "input_type": "sequence" if inputs.ndim == 3 else None}
    teacher = UnimodalTeacher(**{**{name: value for name, value in SGD.items() if name != "module__hidden"}, **module})
    params = {name: value for name, value in SGD.items() if name != "module__hidden"}
    fitted = MultiTeacherDistiller([("t", teacher)], mixup=0.2, teacher_view=view, **params, **module).fit(inputs, FEW)
    assert np.isfinite(fitted.history_[:, "train_kd_loss"]).all()


def test_a_batch_too_large_is_mixed_before_it_is_read_in_parts():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.most, self.head = None, nn.Linear(5, 3)

        def forward(self, x):
            if self.most and len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return self.head(x)

    params = {name: value for name, value in SGD.items() if name != "module__hidden"}
    for view in ("clean", "same"):
        torch.manual_seed(0)
        small = Small()
        make = {"mixup": 0.4, "teacher_view": view, "module": small, **params}
        whole = MultiTeacherDistiller(BAYES, **make).fit(X, FEW)
        small.most = 9
        with pytest.warns(UserWarning, match="too small for a batch of"):
            halved = MultiTeacherDistiller(BAYES, **make).fit(X, FEW)
        torch.testing.assert_close(weights(halved), weights(whole), rtol=1e-5, atol=1e-7)


# -------------------------------------------------------------------- what cannot be mixed

@pytest.mark.parametrize("view", ["clean", "same"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_mixtures_have_no_answer_for(name, view):
    fit = student(BAYES, mixup=0.2, loss=name, teacher_view=view).fit
    if LOSSES[name].needs_labels:
        with pytest.raises(ValueError, match=f"mixup=0.2: loss='{name}' reads the label"):
            fit(X, y)
    elif view == "clean" and LOSSES[name].min_samples > 1:
        with pytest.raises(ValueError, match=f"loss='{name}' compares .* use mixup=0 or teacher_view='same'"):
            fit(X, y)
    elif "feature_maps" not in LOSSES[name].needs:
        assert np.isfinite(fit(X, FEW).history_[:, "train_kd_loss"]).all()
    student(mixup=0.2, loss=name).fit(X, y)  # without teachers it is not used


def test_losses_are_shown_no_label_of_a_mixture():
    class Looks(KD):
        labels = []

        def forward(self, student, teacher, y):
            self.labels.append(y)
            return super().forward(student, teacher, y)

    student(BAYES, mixup=0.2, loss=Looks(), teacher_view="same").fit(X, y)
    assert Looks.labels and all(label is None for label in Looks.labels)


@pytest.mark.parametrize("table", [X[:, :2], rng.integers(9, size=(60, 2))], ids=["numbers", "whole numbers"])
def test_teachers_see_the_mixtures_and_no_label(table):
    class Sees(ClassifierMixin, BaseEstimator):
        asked = []

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def teaching_logits(self, X, y=None):
            self.asked.append((X, y))
            return np.zeros((len(X), 3))

    fitted = MultiTeacherDistiller([("sees", Sees().fit(table, y))], teacher_view="same", **BATCH).fit(table, y)
    seen, labels = Sees.asked[-1]
    assert labels is None
    np.testing.assert_allclose(seen, fitted.net_.module_.encoder.kept[-1], rtol=1e-6)
    assert not np.isin(seen, table).all()


def test_teachers_that_read_class_names():
    text = rng.normal(size=(3, 5)).astype(np.float32)
    nouns = {f"noun {i}": vector for i, vector in enumerate(rng.normal(size=(20, 5)).astype(np.float32))}
    reads = WordNetRelaxedTeacher(class_names=dict(enumerate(text)), nouns=nouns, n_clusters=3, max_epochs=1,
                                  relaxed_proportion=0, device="cpu", random_state=0)
    with pytest.raises(ValueError, match="mixup=0.2: teacher 'reads' only reads class names"):
        student([("reads", reads)], mixup=0.2, teacher_view="same").fit(X, y)
    student([("reads", reads)], mixup=0.2).fit(X, y)
    taught = student([("reads", reads.set_params(relaxed_proportion=0.5))], mixup=0.2, teacher_view="same", lr=0,
                     max_epochs=1, early_stopping=True).fit(X, y)
    assert np.isfinite(taught.history_[:, "valid_kd_loss"]).all()


@pytest.mark.parametrize(("value", "error"), [(-0.1, ValueError), ("0.2", TypeError), (np.inf, ValueError)])
def test_values_that_it_cannot_have(value, error):
    with pytest.raises(error, match="mixup="):
        student(BAYES, mixup=value).fit(X, y)


def test_a_comparison_says_that_one_mixes():
    with pytest.warns(UserWarning, match="not like for like: .*mixup"):
        compare({"plain": student(max_epochs=1), "mixed": student(max_epochs=1, mixup=0.2)}, X, y, cv=2)
