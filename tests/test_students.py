"""MultiTeacherDistiller: equations 1 to 3, unlabelled samples, and what is computed once."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.helper import SliceDict
from torch import nn

from cmkdlearn.base import as_teacher
from cmkdlearn.losses import KD, DistillationLoss
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

X, y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
NAMES = np.array(["cat", "dog", "eel"])
FEW = np.where(np.arange(120) % 3 == 0, y, -1)  # one label in three
BAYES = [("bayes", GaussianNB())]


def student(teachers=(), **params):
    return MultiTeacherDistiller(teachers, **{"max_epochs": 3, "module__hidden": (8,), "lr": 0.01,
                                              "device": "cpu", "random_state": 0, **params})


def network(**params):
    return UnimodalTeacher(**{"max_epochs": 2, "module__hidden": (8,), "lr": 0.01, "device": "cpu",
                              **params})


def weights(estimator):
    return [value.clone() for value in estimator.net_.module_.state_dict().values()]


def same(a, b):
    return all(torch.equal(*pair) for pair in zip(weights(a), weights(b), strict=True))


class Fixed(ClassifierMixin, BaseEstimator):
    """Says the same logits for every sample."""

    def __init__(self, logits=(1.0, 0.0, -1.0), classes=(0, 1, 2)):
        self.logits = logits
        self.classes = classes

    def fit(self, X, y):
        self.classes_ = np.array(self.classes)
        return self

    def decision_function(self, X):
        return np.tile(self.logits, (len(X), 1))

    def predict(self, X):
        return self.classes_[np.tile(np.argmax(self.logits), len(X))]


# -------------------------------------------------------------------- equations 1 to 3

def test_the_loss_of_a_tiny_batch_by_hand():
    """One full batch at lr=0, some samples unlabelled: the history holds equations 1 to 3."""
    few, labels = X[:6], np.array([0, 1, 2, -1, -1, -1])
    a, b = np.array([2.0, 0, -1]), np.array([0.0, 1, 3])
    lam, tau = 0.7, 2.5
    fitted = student([("a", Fixed(a)), ("b", Fixed(b))], teacher_weights=[1, 3], lambda_kd=lam,
                     temperature=tau, lr=0, max_epochs=1, batch_size=-1).fit(few, labels)
    z = log_softmax(fitted._run(few).logits.astype(float), axis=1)
    z_bar = 0.25 * a + 0.75 * b  # eq. 1
    ce = -(z[0, 0] + z[1, 1] + z[2, 2]) / 3  # of those that have a label
    p, kd = softmax(z_bar / tau), 0.0
    for z_s in z:  # eq. 2, of all
        q = softmax(z_s / tau)
        kd += tau**2 * sum(p[c] * np.log(p[c] / q[c]) for c in range(3)) / 6
    row = fitted.history_[0]
    assert row["train_ce_loss"] == pytest.approx(ce, rel=1e-5)
    assert row["train_kd_loss"] == pytest.approx(kd, rel=1e-5)
    assert row["train_loss"] == pytest.approx(ce + lam * kd, rel=1e-5)  # eq. 3
    np.testing.assert_allclose(fitted.teacher_logits_, np.tile(z_bar, (6, 1)), rtol=1e-6)


def test_unlabelled_samples_carry_the_distillation_term_only():
    class Zero(DistillationLoss):
        def forward(self, student, teacher, y):
            return 0 * student.logits.sum()

    class Keep(nn.Module):
        """Logits that are parameters: one row a sample."""

        def __init__(self):
            super().__init__()
            self.rows = nn.Parameter(torch.zeros(6, 3))

        def forward(self, x):
            return self.rows[x[:, 0].long()]

    index, labels = np.arange(6.0)[:, None], np.array([0, -1, 1, -1, 2, -1])
    params = {"module": Keep, "optimizer": torch.optim.SGD, "lr": 1.0, "max_epochs": 1,
              "batch_size": -1, "random_state": 0, "device": "cpu"}
    plain = MultiTeacherDistiller([("a", Fixed())], loss=Zero(), **params).fit(index, labels)
    rows = plain.net_.module_.network.rows.detach()
    assert torch.equal(rows[labels < 0], torch.zeros(3, 3))
    # the gradient of the mean cross-entropy of three labelled samples at zero logits
    expected = (F.one_hot(torch.tensor([0, 1, 2])).float() - 1 / 3) / 3
    torch.testing.assert_close(rows[labels >= 0], expected)
    taught = MultiTeacherDistiller([("a", Fixed())], lambda_kd=1, temperature=4.0, **params).fit(index, labels)
    step = taught.net_.module_.network.rows.detach() - rows
    # d(tau^2 KL)/ds = tau (q - p): all are taught alike
    p = (torch.tensor(Fixed().logits) / 4).softmax(0)
    torch.testing.assert_close(step, (4 * (p - 1 / 3) / 6).expand(6, 3))


@pytest.mark.parametrize("params", [
    {}, {"early_stopping": True}, {"label_smoothing": 0.1, "batch_size": 32, "module__dropout": 0.5},
])
def test_no_weight_is_no_teacher(params):
    teachers = [("bayes", GaussianNB()), ("network", network())]
    plain = student(**params).fit(X, y)
    assert same(student(teachers, lambda_kd=0, **params).fit(X, y), plain)
    assert not same(student(teachers, **params).fit(X, y), plain)


def test_alpha_shares_one_between_labels_and_teachers():
    """L = alpha CE + (1 - alpha) KD, which is alpha times the loss with lambda = (1 - alpha) / alpha."""
    sgd = {"optimizer": torch.optim.SGD, "max_epochs": 2}
    shared = student(BAYES, alpha=0.2, **sgd).fit(X, FEW)
    weighed = student(BAYES, lambda_kd=4.0, **{**sgd, "lr": 0.002}).fit(X, FEW)
    for one, other in zip(weights(shared), weights(weighed), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    row = student(BAYES, alpha=0.3, lr=0, max_epochs=1).fit(X, FEW).history_[0]
    assert row["train_loss"] == pytest.approx(0.3 * row["train_ce_loss"] + 0.7 * row["train_kd_loss"], rel=1e-5)
    assert same(student(alpha=0.3).fit(X, y), student().fit(X, y))  # without teachers: cross-entropy


def test_alpha_of_one_is_cross_entropy_and_of_zero_is_distillation():
    plain = student().fit(X, FEW)
    assert same(student(BAYES, alpha=1).fit(X, FEW), plain)
    frozen = [("bayes", FrozenEstimator(GaussianNB().fit(X, y)))]
    taught = student(frozen, alpha=0).fit(X, y)
    assert same(student(frozen, alpha=0).fit(X, np.roll(y, 1)), taught)  # whatever the labels say
    assert not same(taught, plain)


def test_weights_by_name():
    teachers = [("bayes", GaussianNB()), ("fixed", Fixed())]
    listed = student(teachers, teacher_weights=[3, 1]).fit(X, y)
    assert same(student(teachers, teacher_weights={"fixed": 1, "bayes": 3}).fit(X, y), listed)
    search = GridSearchCV(student(teachers, max_epochs=1), {
        "teacher_weights": [None, {"bayes": 1, "fixed": 0}, {"bayes": 1, "fixed": 2}]}, cv=2,
        error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert same(clone(search.best_estimator_).fit(X, y), search.best_estimator_)


def test_a_teacher_of_no_weight_is_not_there():
    two = student([("bayes", GaussianNB()), ("fixed", Fixed())], teacher_weights=[2, 0]).fit(X, y)
    assert same(two, student(BAYES).fit(X, y))


def test_all_labelled_through_the_unlabelled_path():
    """The same samples with and without the possibility of a missing label."""
    plain = student(BAYES).fit(X, NAMES[y])
    assert same(student(BAYES).fit(X, NAMES[y].astype(object)), plain)
    assert same(student(BAYES).fit(X, y), plain)
    assert same(student(BAYES).fit(X, y.astype(float)), plain)


def test_strings_with_none_are_numbers_with_minus_one():
    labels = np.where(FEW >= 0, NAMES[FEW], None)
    numbers = student(BAYES).fit(X, FEW)
    for named in (labels, pd.Series(labels), pd.Series(labels, dtype="string"), labels.tolist()):
        fitted = student(BAYES).fit(X, named)
        assert same(fitted, numbers) and fitted.classes_.tolist() == NAMES.tolist()
        assert set(fitted.predict(X)) <= set(NAMES)
    assert numbers.classes_.tolist() == [0, 1, 2]


def test_teachers_are_fitted_on_the_labelled_and_teach_all():
    fitted = student(BAYES).fit(X, FEW)
    alone = GaussianNB().fit(X[FEW >= 0], FEW[FEW >= 0])
    np.testing.assert_allclose(fitted.teacher_logits_, as_teacher(alone).teaching_logits(X), rtol=1e-6)


def test_unlabelled_samples_count_for_the_student():
    labelled = FEW >= 0
    frozen = [("bayes", FrozenEstimator(GaussianNB().fit(X, y)))]
    assert not same(student(frozen).fit(X, FEW), student(frozen).fit(X[labelled], FEW[labelled]))


def test_a_labelled_sample_weighs_the_same_in_every_batch():
    # sorted and not shuffled: 40 labelled samples in the first batch, none in the last
    order = np.argsort(FEW < 0, kind="stable")
    fitted = student(BAYES, lr=0, max_epochs=1, batch_size=50, iterator_train__shuffle=False)
    fitted.fit(X[order], FEW[order])
    z = log_softmax(fitted._run(X).logits.astype(float), axis=1)
    known = FEW >= 0
    ce = -z[known, FEW[known]].mean()
    assert fitted.history_[0, "train_ce_loss"] == pytest.approx(ce, rel=1e-5)


def test_validation_accuracy_is_that_of_the_labelled():
    fitted = student(BAYES, early_stopping=True, validation_fraction=0.3, lr=0, max_epochs=1,
                     optimizer__weight_decay=0)
    valid_accuracy = fitted.fit(X, FEW).history_[0, "valid_acc"]
    right = 12 * valid_accuracy  # of 36, a third has a label
    assert right == pytest.approx(round(right), abs=1e-4)
    # the network is as it was drawn: its accuracy on the split is near that on all labelled ones
    assert valid_accuracy == pytest.approx(fitted.score(X[FEW >= 0], FEW[FEW >= 0]), abs=0.2)


def test_history():
    taught = student(BAYES, early_stopping=True).fit(X, y)
    for key in ("loss", "ce_loss", "kd_loss"):
        assert np.isfinite(taught.history_[:, [f"train_{key}", f"valid_{key}"]]).all()
    plain = student(early_stopping=True).fit(X, y)
    assert "train_kd_loss" not in plain.history_[0] and "valid_acc" in plain.history_[0]


def test_a_student_learns_from_teachers_alone():
    frozen = [("bayes", FrozenEstimator(GaussianNB().fit(X, y)))]
    labels = np.full(120, -1)
    labels[:3] = [0, 1, 2]
    fitted = student(frozen, lambda_kd=10, max_epochs=150, module__hidden=(32,)).fit(X, labels)
    assert np.mean(fitted.predict(X) == frozen[0][1].predict(X)) > 0.9


def test_a_loss_of_the_users_is_trained_with_the_student():
    class Shifted(DistillationLoss):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(3))

        def forward(self, student, teacher, y):
            return ((student.logits + self.shift - teacher.logits) ** 2).mean()

    loss = Shifted()
    fitted = student(BAYES, loss=loss).fit(X, y)
    assert fitted.net_.criterion_.shift.abs().min() > 0
    assert torch.equal(loss.shift.detach(), torch.zeros(3))  # the user's is left alone
    assert same(student(BAYES, loss=KD(2.0)).fit(X, y), student(BAYES, temperature=2.0).fit(X, y))


def test_warm_start_takes_the_new_temperature():
    fitted = student(BAYES, warm_start=True).fit(X, y)
    fitted.set_params(temperature=1.0, lambda_kd=2.0, max_epochs=1, lr=0, optimizer__weight_decay=0)
    row = fitted.fit(X, y).history_[-1]
    z_s, z_t = fitted._run(X).logits.astype(float), fitted.teacher_logits_.astype(float)
    kd = (softmax(z_t, 1) * (log_softmax(z_t, 1) - log_softmax(z_s, 1))).sum(1).mean()
    assert row["train_kd_loss"] == pytest.approx(kd, rel=1e-4)


# -------------------------------------------------------------------- teachers

def test_the_mean_of_several_teachers():
    teachers = [("bayes", GaussianNB()), ("linear", LogisticRegression()), ("net", network())]
    fitted = student(teachers).fit(X, y)
    each = [as_teacher(teacher).teaching_logits(X) for teacher in fitted.teachers_]
    np.testing.assert_allclose(fitted.teacher_logits_, np.mean(each, axis=0), rtol=1e-5, atol=1e-5)
    assert list(fitted.named_teachers_) == ["bayes", "linear", "net"]
    assert fitted.teacher_logits_.dtype == np.float32
    weighted = student(teachers, teacher_weights=[2, 1, 1]).fit(X, y)
    np.testing.assert_allclose(weighted.teacher_logits_, (2 * each[0] + each[1] + each[2]) / 4,
                               rtol=1e-5, atol=1e-5)


def test_a_frozen_teacher_is_used_as_it_is():
    teacher = network(random_state=3).fit(X, y)
    parameters = [parameter.clone() for parameter in teacher.net_.module_.parameters()]
    fitted = student([("net", FrozenEstimator(teacher))], cv=3).fit(X[::-1], y[::-1])
    assert fitted.teachers_[0].estimator is teacher
    assert all(map(torch.equal, parameters, teacher.net_.module_.parameters()))
    np.testing.assert_allclose(fitted.teacher_logits_, teacher.teaching_logits(X)[::-1], atol=1e-6)


def test_classes_of_teachers_are_brought_into_order():
    extra = FrozenEstimator(Fixed((9.0, 1, 2, 3), classes=("fox", "eel", "cat", "dog")).fit(X, y))
    fitted = student([("extra", extra)]).fit(X, NAMES[y])
    np.testing.assert_allclose(fitted.teacher_logits_, np.tile([2.0, 3, 1], (120, 1)))


@pytest.mark.parametrize("labels", [y, FEW], ids=["all", "few"])
def test_out_of_fold_logits_against_a_loop(labels):
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    fitted = student([("linear", LogisticRegression())], cv=folds).fit(X, labels)
    known = np.flatnonzero(labels >= 0)
    whole = LogisticRegression().fit(X[known], labels[known])
    expected = whole.decision_function(X)  # of the unlabelled
    for train, test in folds.split(X[known], labels[known]):
        fold = LogisticRegression().fit(X[known[train]], labels[known[train]])
        expected[known[test]] = fold.decision_function(X[known[test]])
    np.testing.assert_allclose(fitted.teacher_logits_, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected[known] - whole.decision_function(X[known])).max() > 0.01
    np.testing.assert_allclose(fitted.teachers_[0].estimator.coef_, whole.coef_)


def test_cv_as_a_number_is_stratified():
    assert same(student(BAYES, cv=4).fit(X, y), student(BAYES, cv=StratifiedKFold(4)).fit(X, y))
    assert not same(student(BAYES, cv=4).fit(X, y), student(BAYES, cv=KFold(4)).fit(X, y))


def test_seeds_of_teachers():
    teachers = [("a", network()), ("b", TeacherEnsemble([("c", network()), ("d", network(random_state=7))]))]
    first, second = (student(teachers).fit(X, y) for _ in range(2))
    assert same(first, second) and np.array_equal(first.teacher_logits_, second.teacher_logits_)
    a, b = first.teachers_
    assert a.random_state is not None and b.teachers_[1].random_state == 7
    assert len({a.random_state, b.teachers_[0].random_state, 7}) == 3
    assert teachers[0][1].random_state is None and not hasattr(teachers[0][1], "net_")


class ReadsNames(ClassifierMixin, BaseEstimator):
    """Shows each sample's own label, and has nothing to say without."""

    needs_labels_to_teach = True
    fits = []  # noqa: RUF012

    def fit(self, X, y):
        self.fits.append(len(X))
        self.classes_ = np.unique(y)
        return self

    def encode(self, X):
        return np.zeros((len(X), 1))

    def teaching_logits(self, X, y=None):
        return np.log(1e-3 + (np.asarray(y)[:, None] == self.classes_))

    def predict(self, X):
        raise NotImplementedError


class Counts(GaussianNB):
    """Counts its fits, in a file a fit."""

    folder = None

    def fit(self, X, y):
        (self.folder / f"{len(list(self.folder.iterdir()))}").touch()
        return super().fit(X, y)


@pytest.fixture
def count(tmp_path, monkeypatch):
    folder = tmp_path / "fits"
    folder.mkdir()
    monkeypatch.setattr(Counts, "folder", folder)
    return lambda: len(list(folder.iterdir()))


def test_teachers_that_need_labels(count):
    fitted = student([("names", ReadsNames())]).fit(X, y)
    assert np.array_equal(fitted.teacher_logits_.argmax(1), y) and ReadsNames.fits == [120]
    for reader in (ReadsNames(), FrozenEstimator(ReadsNames().fit(X, y)),
                   TeacherEnsemble([("inner", ReadsNames())])):
        ReadsNames.fits.clear()
        with pytest.raises(ValueError, match="Teacher 'names' only reads class names"):
            student([("counts", Counts()), ("names", reader)]).fit(X, FEW)
        assert count() == 0 and not ReadsNames.fits  # nothing was fitted


def test_teachers_are_fitted_once_per_setting_and_fold(count, tmp_path):
    teachers = [("nb", Counts()), ("linear", LogisticRegression())]
    grid = {"nb__var_smoothing": [1e-9, 1e-2], "lambda_kd": [0.5, 2]}
    search = GridSearchCV(student(teachers, memory=str(tmp_path / "cache"), max_epochs=1), grid, cv=3,
                          refit=False)
    cached = search.fit(X, y).cv_results_["mean_test_score"]
    assert count() == 2 * 3
    search.fit(X, y)
    assert count() == 2 * 3
    plain = clone(search).set_params(estimator__memory=None).fit(X, y).cv_results_["mean_test_score"]
    assert np.array_equal(cached, plain)


def test_out_of_fold_teachers_are_kept_too(count, tmp_path):
    for lam in (0.5, 1.0):
        student([("nb", Counts())], cv=3, lambda_kd=lam, memory=joblib.Memory(tmp_path / "cache", verbose=0)
                ).fit(X, y)
    assert count() == 1 + 3


def test_memory_tells_data_apart(count, tmp_path):
    taught = student([("nb", Counts())], memory=str(tmp_path / "cache"))
    a = clone(taught).fit(X, y)
    b = clone(taught).fit(X + 1, y)
    c = clone(taught).fit(X, (y + 1) % 3)
    assert count() == 3
    assert not np.allclose(a.teacher_logits_, c.teacher_logits_)
    assert not np.array_equal(a.teachers_[0].estimator.theta_, b.teachers_[0].estimator.theta_)


# -------------------------------------------------------------------- modalities

DATA = SliceDict(image=np.random.default_rng(0).integers(256, size=(120, 5, 5), dtype=np.uint8), table=X)


def columns(data):
    return data["table"]


def test_the_student_reads_one_modality_and_its_teachers_others():
    images = DATA["image"]
    teachers = [("table", network(modality="table")),
                ("bayes", make_pipeline(FunctionTransformer(columns), GaussianNB()))]
    taught = MultiTeacherDistiller(
        teachers, module=nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), modality="image",
        max_epochs=2, random_state=0, device="cpu")
    fitted = clone(taught).fit(DATA, FEW)
    assert fitted.predict(images).shape == (120,)
    assert np.array_equal(fitted.predict_proba(images), fitted.predict_proba(DATA))
    np.testing.assert_allclose(fitted.predict_proba({"image": images[:9]}),
                               fitted.predict_proba(images)[:9], atol=1e-6)
    table = fitted.named_teachers_.table.teaching_logits(X)
    bayes = fitted.named_teachers_.bayes.teaching_logits(DATA)
    np.testing.assert_allclose(fitted.teacher_logits_, (table + bayes) / 2, atol=1e-4)
    assert np.isfinite(cross_val_score(taught, DATA, y, cv=2)).all()
    # a plain dict will do where nothing slices it
    taught.set_params(teachers=teachers[:1])
    assert same(clone(taught).fit(dict(DATA), FEW), clone(taught).fit(DATA, FEW))


def test_columns_of_one_table():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    taught = student([("rest", network(modality=list("def")))], modality=list("abc"))
    assert np.isfinite(cross_val_score(taught, frame, y, cv=2, error_score="raise")).all()
    assert taught.fit(frame, y).n_features_in_ == 3


def test_augmentation_is_the_students():
    seen = []

    def watch(batch):
        seen.append(batch.shape)
        return batch

    MultiTeacherDistiller([("table", network(modality="table"))], modality="image", batch_size=-1,
                          module=nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), augmentation=watch,
                          max_epochs=2, device="cpu").fit(DATA, y)
    assert seen == [(120, 1, 5, 5)] * 2


# -------------------------------------------------------------------- parameters

def test_nested_names():
    nested = student([("ensemble", TeacherEnsemble([("strong", network()), ("linear", LogisticRegression())])),
                      ("bayes", GaussianNB())], optimizer__weight_decay=0.1)
    nested.set_params(ensemble__strong__lr=0.5, ensemble__strong__module__hidden=(3,), lambda_kd=2,
                      bayes__var_smoothing=1e-3, module__hidden=(5,))
    params = clone(nested).get_params()
    assert params["ensemble__strong__lr"] == 0.5 and params["bayes__var_smoothing"] == 1e-3
    assert params["module__hidden"] == (5,) and params["optimizer__weight_decay"] == 0.1
    fitted = nested.fit(X, y)
    assert fitted.named_teachers_.ensemble.named_teachers_.strong.encode(X).shape == (120, 3)
    assert fitted.encode(X).shape == (120, 5)
    nested.set_params(bayes=LogisticRegression())
    assert isinstance(nested.fit(X, y).named_teachers_.bayes.estimator, LogisticRegression)
    with pytest.raises(ValueError, match="Invalid parameter 'bays'"):
        nested.set_params(bays__var_smoothing=1)


def test_the_grid_search_of_the_quickstart_in_small(tmp_path):
    search = GridSearchCV(student([("ensemble", TeacherEnsemble([("strong", network())]))], max_epochs=1,
                                  memory=str(tmp_path)),
                          {"ensemble__strong__lr": [1e-3, 1e-2], "lambda_kd": [0.5, 1]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.named_teachers_.ensemble.predict(X).shape == (120,)


@pytest.mark.parametrize(("params", "error", "message"), [
    ({"lambda_kd": -1}, ValueError, "lambda_kd=-1 is out of range; .* at least 0"),
    ({"lambda_kd": "1"}, TypeError, "lambda_kd='1' is a str"),
    ({"lambda_kd": np.inf}, ValueError, "lambda_kd=inf is out of range"),
    ({"temperature": 0}, ValueError, "temperature=0 is out of range; .* above 0"),
    ({"temperature": None}, TypeError, "temperature=None is a NoneType"),
    ({"loss": "kdd"}, ValueError, "loss='kdd' is unknown. Did you mean 'kd'"),
    ({"loss": print}, TypeError, "must be a name"),
    ({"teacher_weights": [1, 2]}, ValueError, r"teacher_weights=\[1, 2\] must hold 1 non-negative"),
    ({"teacher_weights": {"other": 1}}, ValueError, r"teacher_weights=\{'other': 1\} must hold one .* \['counts'\]"),
    ({"teacher_weights": {}}, ValueError, r"teacher_weights=\{\} must hold one weight for each"),
    ({"teacher_weights": {"counts": -1}}, ValueError, r"teacher_weights=\{'counts': -1\} must hold 1 non-negative"),
    ({"alpha": 1.1}, ValueError, r"alpha=1.1 is out of range; it must be a number in \[0, 1\]"),
    ({"alpha": 0.5, "lambda_kd": 2}, ValueError, "alpha=0.5 and lambda_kd=2 both weigh the teachers"),
    ({"teacher_weights": [-1]}, ValueError, r"teacher_weights=\[-1\] must hold 1"),
    ({"teacher_weights": [0]}, ValueError, "not all of them zero"),
    ({"teacher_weights": ["a"]}, ValueError, r"teacher_weights=\['a'\] must hold 1"),
    ({"teacher_weights": [np.nan]}, ValueError, r"teacher_weights=\[nan\] must hold 1"),
    ({"cv": 1}, ValueError, "n_splits=2 or more"),
    ({"cv": "three"}, ValueError, "Expected `?cv`? as an integer"),
    ({"cv": ShuffleSplit(2, random_state=0)}, ValueError, "cv=ShuffleSplit.* partition"),
    ({"memory": 3}, ValueError, "(?i)memory"),
    ({"device": "gpu"}, ValueError, "device='gpu'"),
])
def test_parameters_that_cannot_be(count, params, error, message):
    with pytest.raises(error, match=message):
        student([("counts", Counts())], **params).fit(X, y)
    assert count() == 0  # no teacher was fitted before the error


@pytest.mark.parametrize(("teachers", "error", "message"), [
    ([("module", GaussianNB())], ValueError, "A teacher cannot be called 'module'"),
    ([("optimizer", GaussianNB())], ValueError, "A teacher cannot be called 'optimizer'"),
    ([("lr", GaussianNB())], ValueError, "(?i)names conflict with constructor arguments"),
    ([("a", GaussianNB()), ("a", GaussianNB())], ValueError, "(?i)not unique"),
    ([("a__b", GaussianNB())], ValueError, "must not contain __"),
    (GaussianNB(), ValueError, r"must be a list of \(name, teacher\)"),
    ("ab", ValueError, r"must be a list of \(name, teacher\)"),
    ([("a", LinearRegression())], TypeError, "Teacher 'a' must be a classifier"),
    ([("counts", Counts()), ("few", FrozenEstimator(Fixed((1.0, 2), (0, 1)).fit(X, y)))], ValueError,
     r"Teacher 'few' was never shown the classes \[2\]; it knows \[0, 1\]"),
    ([("nan", Fixed((np.nan, 0.0, 0.0)))], ValueError, "Teacher 'nan' returned logits that are NaN"),
    ([("short", Fixed((1.0, 0.0)))], ValueError, r"Teacher 'short' returned logits of shape \(120, 2\)"),
])
def test_teachers_that_cannot_be(count, teachers, error, message):
    with pytest.raises(error, match=message):
        student(teachers).fit(X, y)
    assert count() == 0


@pytest.mark.parametrize(("labels", "message"), [
    (np.full(120, -1), "Every sample of y is unlabelled"),
    (np.full(120, None), "Every sample of y is unlabelled"),
    (np.where(y > 0, 1, -1), r"y has one class, 1 \(-1 and None mark unlabelled samples\)"),
    (y[:-1], "inconsistent numbers of samples"),
])
def test_labels_that_cannot_be(count, labels, message):
    with pytest.raises(ValueError, match=message):
        student([("counts", Counts())]).fit(X, labels)
    assert count() == 0


def test_a_diverging_loss_is_named():
    class Bad(DistillationLoss):
        def forward(self, student, teacher, y):
            return student.logits.sum() * float("inf")

    with pytest.raises(FloatingPointError, match="In epoch 1, at lr=0.01: Bad is .*Lower lr"):
        student(BAYES, loss=Bad()).fit(X, y)


# -------------------------------------------------------------------- what is left behind

def test_pickling():
    teachers = [("net", network()), ("bayes", FrozenEstimator(GaussianNB().fit(X, y)))]
    fitted = student(teachers, early_stopping=True).fit(X, FEW)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.history_[:, "train_kd_loss"] == fitted.history_[:, "train_kd_loss"]
    net = again.named_teachers_.net
    assert np.array_equal(net.teaching_logits(X), fitted.named_teachers_.net.teaching_logits(X))


@pytest.mark.slow  # each process imports torch
def test_fits_in_other_processes_are_the_same():
    grid = {"lambda_kd": [0.5, 2]}
    here, there = (GridSearchCV(student(BAYES), grid, cv=2, n_jobs=n_jobs, refit=False).fit(X, y)
                   for n_jobs in (1, 2))
    np.testing.assert_allclose(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])


def test_a_plain_data_loader_carries_the_teachers_along():
    loader = torch.utils.data.DataLoader
    assert len(student(BAYES, iterator_train=loader, batch_size=50).fit(X, y).history_) == 3


@pytest.mark.parametrize("misspelt, near", [
    ("optimizer__weight_decai", "weight_decay"), ("iterator_train__num_worker", "num_workers"),
    ("module__hiden", "hidden")])
def test_misspelt_routed_parameters_are_found_before_teachers_are_fitted(misspelt, near):
    class Untouched(LogisticRegression):
        def fit(self, X, y):
            raise AssertionError("fitted")

    student = MultiTeacherDistiller([("linear", Untouched())], **{misspelt: 1})
    with pytest.raises(TypeError, match=f"{misspelt}: .*{near}"):
        student.fit(np.eye(4, dtype=np.float32), [0, 1, 0, 1])


def test_a_teachers_features_that_are_not_finite_are_refused():
    class Broken(Fixed):
        head_ = nn.Linear(2, 3)

        def teaching_logits(self, X, y=None):
            return self.decision_function(X)

        def encode(self, X):
            return np.full((len(X), 2), np.inf)

    with pytest.raises(ValueError, match="features are NaN or infinite"):
        student([("broken", Broken())], loss="rkd").fit(X, y)
