"""The permutation test within classes: against refits by hand, on independent pairs, and on others."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import Bunch, check_random_state

from cmkdlearn.inspection import ConditionalIndependenceDisplay, conditional_independence_test
from cmkdlearn.inspection._independence import PENALTIES, _exchanged
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher


class Given:
    """A teacher that says what stands in X beside the student's modality."""

    def __init__(self, n_classes=3, labels=None):
        self.classes_ = np.arange(n_classes) if labels is None else np.array(labels)

    def teaching_logits(self, X, y=None):
        return X["logits"]


def run(logits, seen, y, n_permutations=99, random_state=0, labels=None, **params):
    X = {"logits": np.asarray(logits), "seen": seen}
    teacher = Given(X["logits"].shape[1], labels)
    return conditional_independence_test(teacher, X, y, modality="seen", random_state=random_state,
                                         n_permutations=n_permutations, **params)


def drawn(n=60, d=4, n_classes=3, seed=0, tie=0.0):
    """Logits and features that differ by class, and share their first columns within it."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    logits, seen = rng.normal(size=(n, n_classes)), rng.normal(size=(n, d))
    logits[:, 0] += tie * seen[:, 0]
    return logits + 3 * np.eye(n_classes)[y], seen + 2 * rng.normal(size=(n_classes, d))[y], y


def by_hand(logits, seen, codes, strata):
    """The statistic, from a fit of scikit-learn's for each penalty and each sample left out."""
    n, z = len(seen), logits - logits.mean(axis=1, keepdims=True)
    x = scale(seen)
    squared = ((x[:, None] - x) ** 2).sum(axis=2)
    pairs = (strata[:, None] == strata) & ~np.eye(n, dtype=bool)
    kernel = np.exp(-squared / squared[pairs].mean()) * np.where(codes[:, None] == codes, 1, 0.5)
    mean = np.array([(strata == s) / (strata == s).sum() for s in strata])
    trace = np.trace(kernel - mean @ kernel - kernel @ mean.T + mean @ kernel @ mean.T)
    errors, plain = np.zeros(len(PENALTIES)), 0
    for i in range(n):
        kept = np.arange(n) != i
        mean = np.array([kept * (strata == s) / (kept * (strata == s)).sum() for s in strata])
        residual = z - mean @ z
        centred = kernel - mean @ kernel - kernel @ mean.T + mean @ kernel @ mean.T
        plain += (residual[i] ** 2).sum()
        for k, alpha in enumerate(PENALTIES * trace):
            ridge = KernelRidge(alpha=alpha, kernel="precomputed")
            ridge.fit(centred[kept][:, kept], residual[kept])
            errors[k] += ((residual[i] - ridge.predict(centred[i:i + 1, kept])) ** 2).sum()
    return 1 - errors.min() / plain


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("tie", [0, 1.5])
def test_statistic_and_permutations_are_those_of_refits(grouped, tie):
    logits, seen, y = drawn(24, tie=tie)
    groups = np.arange(24) // 6 % 2 if grouped else None
    strata = y if groups is None else 2 * y + groups
    found = run(logits, seen, y, n_permutations=2, groups=groups)
    assert found.statistic == pytest.approx(by_hand(logits, seen, y, strata), abs=1e-6)
    rng = check_random_state(0)
    for statistic in found.null_distribution:
        order = _exchanged(strata, rng)
        assert np.array_equal(strata[order], strata)
        back = np.argsort(order)  # the student's side is exchanged, and the logits stay
        assert statistic == pytest.approx(by_hand(logits, seen[back], y, strata), abs=1e-6)


def test_class_share_is_that_of_the_others_means():
    logits, seen, y = drawn(20)
    z, error, total = logits - logits.mean(axis=1, keepdims=True), 0, 0
    for i in range(20):
        kept = np.arange(20) != i
        error += ((z[i] - z[kept & (y == y[i])].mean(axis=0)) ** 2).sum()
        total += ((z[i] - z[kept].mean(axis=0)) ** 2).sum()
    assert run(logits, seen, y, 1).class_share == pytest.approx(1 - error / total)


def test_all_exchanges_come_equally_often():
    strata, rng = np.array([0, 1, 0, 0]), np.random.RandomState(0)
    orders = [tuple(_exchanged(strata, rng).tolist()) for _ in range(600)]
    counts = [orders.count((a, 1, b, c)) for a, b, c in
              [(0, 2, 3), (0, 3, 2), (2, 0, 3), (2, 3, 0), (3, 0, 2), (3, 2, 0)]]
    assert sum(counts) == 600 and chisquare(counts).pvalue > 0.01


# -------------------------------------------------------------------- the level

def heavy(seed):
    """Independent given the class, unlike in the classes, and with outliers."""
    rng = np.random.default_rng(seed)
    y = np.arange(30) % 2
    seen = rng.normal(size=(30, 3)) * (1 + 2 * y[:, None]) + 3 * y[:, None]
    return rng.standard_t(2, size=(30, 2)) * (2 - y[:, None]) + 4 * np.eye(2)[y], seen, y


def of_given(seed):
    return run(*heavy(seed), n_permutations=9, random_state=seed).pvalue


def of_many_columns(seed):
    logits, _, y = heavy(seed)
    seen = np.random.default_rng([seed, 1]).normal(size=(30, 100)) + y[:, None]
    return run(logits, seen, y, n_permutations=9, random_state=seed).pvalue


def of_unseen(seed):
    own, seen, y = heavy(seed)
    teacher = make_pipeline(ModalitySelector("own"), GaussianNB())
    return conditional_independence_test(teacher, {"own": own, "seen": seen}, y, modality="seen",
                                         cv=2, n_permutations=9, random_state=seed).pvalue


def of_groups(seed):
    rng = np.random.default_rng(seed)
    group, y = np.arange(32) // 4 % 4, np.arange(32) % 2
    own, seen = 3 * rng.normal(size=(2, 4, 2))[:, group] + rng.normal(size=(2, 32, 2))
    return run(own, seen, y, groups=group, n_permutations=9, random_state=seed).pvalue


@pytest.mark.parametrize(("pvalue", "n"), [(of_given, 500), (of_many_columns, 300),
                                           (of_unseen, 100), (of_groups, 300)])
def test_pvalues_of_independent_pairs_are_uniform(pvalue, n):
    ranks = np.round(10 * np.array([pvalue(seed) for seed in range(n)])).astype(int)
    assert chisquare(np.bincount(ranks, minlength=11)[1:]).pvalue > 0.01


def test_ties_count_as_good():
    """Two classes of two: a quarter of all exchanges leaves the pairs as they are."""
    logits, seen, _ = drawn(4, n_classes=2)
    found = run(logits, seen, [0, 0, 1, 1], n_permutations=400)
    assert len(np.unique(found.null_distribution.round(9))) <= 4
    assert found.pvalue >= 0.2


# -------------------------------------------------------------------- the power

def test_what_is_shared_within_classes_is_found():
    logits, seen, y = drawn(150, tie=2)
    found = run(logits, seen, y)
    assert found.pvalue == 0.01 and found.statistic > 5 * found.null_distribution.max()
    others = np.roll(seen, 3, axis=0)  # of the same class
    assert run(logits, others, y).pvalue > 0.1


def test_share_is_that_of_the_variance():
    """Of logits (a, -a) with a = x + noise of the same variance, half can be predicted."""
    rng = np.random.default_rng(0)
    y, x, noise = np.arange(1000) % 2, rng.normal(size=1000), rng.normal(size=1000)
    a = x + noise
    found = run(np.column_stack([a, -a]), x[:, None], y, n_permutations=1)
    assert found.statistic == pytest.approx(0.5, abs=0.04)
    clean = run(np.column_stack([x, -x]), x[:, None], y, n_permutations=1)
    assert 0.99 < clean.statistic <= 1


def test_it_sees_curves_and_what_differs_by_class():
    rng = np.random.default_rng(0)
    y, x = np.arange(120) % 3, rng.normal(size=(120, 2))
    noise = 0.5 * rng.normal(size=(120, 3))
    square = noise + np.outer(x[:, 0] ** 2, [1, -1, 0])
    assert run(square, x, y).pvalue == 0.01
    clear = noise + x[:, :1] * np.eye(3)[y]  # each sample's own class; the sum over classes is 0
    assert run(clear, x, y).pvalue == 0.01


def test_groups_are_given_too():
    """Who speaks shows in face and voice, and is no reason to pair what they say."""
    y, speaker = np.arange(120) % 2, np.arange(120) // 12
    names, found = [f"speaker {s}" for s in speaker], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        face, voice = 5 * rng.normal(size=(2, 10, 2))[:, speaker] + rng.normal(size=(2, 120, 2))
        found.append([run(face, voice, y, 19, groups=g).pvalue == 0.05 for g in (None, names)])
    of_class, of_speaker = np.sum(found, axis=0)
    assert of_class >= 9 and of_speaker <= 2


# -------------------------------------------------------------------- what makes no difference

def close(a, b):
    return all(np.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_constants_of_classes_and_samples_and_units_make_no_difference():
    logits, seen, y = drawn(tie=0.7)
    found = run(logits, seen, y)
    rng = np.random.default_rng(1)
    moved = run(logits + 5 * rng.normal(size=(3, 3))[y], seen, y)
    assert moved.statistic == pytest.approx(found.statistic, abs=1e-6)
    assert moved.pvalue == found.pvalue and moved.class_share != pytest.approx(found.class_share)
    assert close(run(7 * (logits + rng.normal(size=(60, 1))), seen, y), found)
    assert close(run(logits, 1000 * seen + 5, y), found)
    assert close(run(logits, seen.reshape(60, 2, 2), y), found)
    assert close(run(logits, np.hstack([seen, np.ones((60, 1))]), y), found)


def test_the_order_of_samples_makes_no_difference():
    logits, seen, y = drawn(tie=0.7)
    order = np.random.default_rng(1).permutation(60)
    one, other = run(logits, seen, y, 999), run(logits[order], seen[order], y[order], 999)
    assert one.statistic == pytest.approx(other.statistic, abs=1e-9)
    assert one.class_share == pytest.approx(other.class_share, abs=1e-9)
    assert abs(one.null_distribution.mean() - other.null_distribution.mean()) < 0.002


def test_samples_without_a_label_are_left_out():
    logits, seen, y = drawn(tie=0.7)
    found = run(logits, seen, y)
    more = [np.vstack([np.full((5, part.shape[1]), 1e3), part]) for part in (logits, seen)]
    assert close(run(*more, np.r_[[-1] * 5, y]), found)
    names = np.array(["a", "b", "c"], dtype=object)
    groups = np.zeros(65)
    assert close(run(*more, np.r_[[None] * 5, names[y]], labels=names, groups=groups), found)


def test_same_seed_same_answer_and_no_global_one():
    parts = drawn()
    before, state = run(*parts), np.random.get_state()[1].copy()
    assert close(run(*parts), before)
    assert not np.array_equal(run(*parts, random_state=1).null_distribution, before.null_distribution)
    assert np.array_equal(np.random.get_state()[1], state)


# -------------------------------------------------------------------- who is asked

def test_an_unfitted_teacher_is_asked_about_what_it_has_not_seen():
    logits, seen, y = drawn(tie=1)
    X, parts = {"own": logits, "seen": seen}, list(KFold(3, shuffle=True, random_state=0).split(y))
    teacher = make_pipeline(ModalitySelector("own"), LogisticRegression())
    unseen = np.empty((60, 3))
    for train, test in parts:
        unseen[test] = LogisticRegression().fit(logits[train], y[train]).decision_function(logits[test])
    found = conditional_independence_test(teacher, X, y, modality="seen", cv=parts, n_permutations=50,
                                          random_state=0)
    assert close(found, run(unseen, seen, y, n_permutations=50))
    assert not hasattr(teacher[-1], "coef_")


@pytest.mark.parametrize("wrap", [lambda teacher: teacher, FrozenEstimator])
def test_a_fitted_teacher_is_used_as_it_is(wrap):
    logits, seen, y = drawn(tie=1)
    teacher = LogisticRegression().fit(logits[:30], y[:30])
    rest = slice(30, None)
    expected = run(teacher.decision_function(logits[rest]), seen[rest], y[rest])
    fitted = wrap(make_pipeline(ModalitySelector("own"), teacher))
    found = conditional_independence_test(fitted, {"own": logits[rest], "seen": seen[rest]}, y[rest],
                                          modality="seen", n_permutations=99, random_state=0)
    assert close(found, expected)


def test_a_table_is_read_by_columns():
    logits, seen, y = drawn(tie=1)
    teacher = LogisticRegression().fit(np.hstack([logits, seen]), y)
    said = teacher.decision_function(np.hstack([logits, seen]))
    found = conditional_independence_test(
        FrozenEstimator(teacher), np.hstack([logits, seen]), y, modality=slice(3, None),
        n_permutations=99, random_state=0)
    assert close(found, run(said, seen, y))


def test_a_seed_is_given_to_a_teacher_that_has_none():
    logits, seen, y = drawn(tie=1)
    teacher = UnimodalTeacher(modality="own", max_epochs=1, device="cpu")
    one, other = (conditional_independence_test(
        teacher, {"own": logits, "seen": seen}, y, modality="seen", cv=2, n_permutations=9,
        random_state=0) for _ in range(2))
    assert close(one, other)


def test_a_teacher_that_reads_labels_is_asked_what_it_says_beside_them():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 6)).astype(np.float32)
    params = {"class_names": {0: np.eye(6)[0], 1: np.eye(6)[1]}, "relaxed_proportion": 0,
              "nouns": {f"noun {i}": rng.normal(size=6) for i in range(8)}, "n_clusters": 2,
              "max_epochs": 5, "device": "cpu", "random_state": 0}
    teacher = WordNetRelaxedTeacher(**params).fit(X[:30], y[:30])
    found = conditional_independence_test(teacher, X[30:], y[30:], n_permutations=99, random_state=0)
    assert found.class_share > 0.8 and found.statistic > 0.5  # it sees what the student sees
    blind = WordNetRelaxedTeacher(use_image=False, **params)
    with pytest.raises(ValueError, match="same of all samples of a class"):
        conditional_independence_test(blind, X, y, cv=[(np.arange(60), np.arange(60))])


# -------------------------------------------------------------------- what is refused

def test_what_is_refused():
    logits, seen, y = drawn()
    X = {"logits": logits, "seen": seen}

    def refused(error, match, teacher=None, X=X, y=y, modality="seen", **params):
        with pytest.raises(error, match=match):
            conditional_independence_test(teacher or Given(), X, y, modality=modality, **params)

    refused(ValueError, "n_permutations=0", n_permutations=0)
    refused(TypeError, "n_permutations=1.5", n_permutations=1.5)
    refused(ValueError, "modality='sene' is unknown. Did you mean 'seen'", modality="sene")
    refused(ValueError, "say which one to read", modality=None)
    refused(ValueError, "inconsistent numbers of samples", y=y[1:])
    refused(ValueError, "inconsistent numbers of samples", groups=y[1:])
    refused(ValueError, "1 of the samples, first one of class 7, have no other", y=np.r_[7, y[1:]])
    refused(ValueError, "60 of the samples, first one of class 0, have no other", groups=np.arange(60))
    refused(ValueError, "needs at least two classes", y=np.zeros(60, dtype=int))
    refused(ValueError, "was never shown the classes", teacher=Given(labels=[0, 1, 5]))
    refused(ValueError, "modality is the same", X={**X, "seen": 1000.1 * y[:, None]})
    refused(ValueError, "modality is the same", X={**X, "seen": np.ones((60, 2))})
    refused(ValueError, "same of all samples", X={**X, "logits": np.eye(3, dtype=np.float32)[y] / 3})
    refused(ValueError, "modality 'seen' contains NaN", X={**X, "seen": np.where(seen > 2, np.nan, seen)})
    refused(TypeError, "as an array", X={**X, "seen": torch.utils.data.TensorDataset(torch.ones(60, 2))})
    refused(TypeError, "no estimator", teacher=torch.nn.Linear(3, 3))
    refused(NotFittedError, "not fitted", teacher=FrozenEstimator(GaussianNB()))
    refused(ValueError, "does not test every sample once", teacher=GaussianNB(), cv=[([0, 1, 2], [3])])


# -------------------------------------------------------------------- the picture

@pytest.fixture
def axes():
    yield plt.subplots()[1]
    plt.close("all")


def test_results_are_drawn(axes):
    null = np.linspace(-0.001, 0.004, 99)
    results = {"yes": Bunch(statistic=0.3, pvalue=0.01, null_distribution=null),
               "no": Bunch(statistic=0.001, pvalue=0.63, null_distribution=null[:50])}
    display = ConditionalIndependenceDisplay(results).plot(ax=axes)
    assert display.ax_ is axes and display.figure_ is axes.figure
    assert [list(line.get_xdata()) for line in axes.lines] == [[0.3, 0.3], [0.001, 0.001]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["yes", "no"]
    assert [text.get_text() for text in axes.texts] == ["p = 0.01", "p = 0.63"]
    for row, bars in enumerate(axes.containers):
        kept = results[["yes", "no"][row]].null_distribution
        assert np.allclose([bar.get_height() for bar in bars],
                           -0.8 * np.histogram(kept, 20)[0] / np.histogram(kept, 20)[0].max())
        assert all(bar.get_y() == row + 0.4 for bar in bars)


def test_teachers_are_tested_and_drawn(axes):
    logits, seen, y = drawn()
    X, params = {"logits": logits, "seen": seen}, {"modality": "seen", "n_permutations": 9, "random_state": 0}
    display = ConditionalIndependenceDisplay.from_estimator({"one": Given(), "two": Given()}, X, y, **params)
    expected = conditional_independence_test(Given(), X, y, **params)
    assert all(close(found, expected) for found in display.results.values())
    one = ConditionalIndependenceDisplay.from_estimator(Given(), X, y, ax=axes, **params)
    assert list(one.results) == ["Given"] and one.ax_ is axes


# -------------------------------------------------------------------- real pairs

@pytest.mark.data
@pytest.mark.slow
def test_face_and_voice_share_who_speaks_and_how_strongly(data_folder):
    """RAVDESS: beyond emotion, actor and intensity they have next to nothing in common."""
    with np.load(data_folder / "ravdess_speech.npz", allow_pickle=False) as data:
        sound = data["logmel"].astype(float)
        X = {"face": data["action_units"], "voice": np.hstack([sound.mean(axis=2), sound.std(axis=2)])}
        y, fold = data["y"].astype(int), data["fold"]
        of_actor = [str(actor) for actor in data["actor"]]
        of_both = [f"{actor} {i}" for actor, i in zip(of_actor, data["intensity"], strict=True)]
    speakers = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in np.unique(fold)]
    teacher = make_pipeline(ModalitySelector("face"), StandardScaler(), LogisticRegression(C=0.1))
    of_class, of_actor, of_both = (conditional_independence_test(
        teacher, X, y, modality="voice", cv=speakers, groups=groups, n_permutations=99,
        random_state=0) for groups in (None, of_actor, of_both))
    assert of_class.pvalue == of_actor.pvalue == of_both.pvalue == 0.01
    assert of_class.statistic > 0.45 > 0.3 > of_actor.statistic > 0.15 > 0.03 > of_both.statistic
