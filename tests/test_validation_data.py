"""A validation set of the user's, in place of a share of the training samples."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import BatchScoring, EpochScoring
from torch.utils.data import TensorDataset

from cmkdlearn.losses import Output, get_loss
from cmkdlearn.students import (
    DistilledRegressor,
    DMAEDistiller,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

X, y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
X, y, X_VAL, Y_VAL = X[:90], y[:90], X[90:], y[90:]
TRAINING = {"max_epochs": 3, "lr": 0.01, "random_state": 0, "device": "cpu", "batch_size": 32}
NAMES = {k: X[y == k].mean(axis=0) for k in range(3)}
NOUNS = {f"noun {i}": row for i, row in enumerate(np.random.default_rng(0).normal(size=(40, 6)))}


def network(**params):
    return UnimodalTeacher(**{**TRAINING, "module__hidden": (8,), **params})


METHODS = {
    "teacher": network(),
    "relaxed": WordNetRelaxedTeacher(class_names=NAMES, nouns=NOUNS, n_clusters=4,
                                     relaxed_proportion=0.5, **TRAINING),
    "image": WordNetRelaxedTeacher(class_names=NAMES, nouns=NOUNS, use_text=False, **TRAINING),
    "plain": MultiTeacherDistiller(**TRAINING),
    "student": MultiTeacherDistiller([("linear", LogisticRegression())], **TRAINING),
    "features": MultiTeacherDistiller([("network", network())], loss="fitnet", **TRAINING),
    "lfme": LFMEDistiller(**TRAINING),
    "ffkd": FFKDDistiller(**TRAINING),
    "fusion": FusionClassifier(modalities={"a": slice(3), "b": slice(3, 6)}, teacher_modality="a",
                               **TRAINING),
    "ucmkd": UCMKDStudent(network(), **TRAINING),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_history_reports_it_and_training_is_what_it_was(method):
    estimator = METHODS[method]
    plain = estimator.fit(X, y).predict_proba(X)
    estimator.fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    assert np.array_equal(estimator.predict_proba(X), plain)
    assert np.isfinite(estimator.history_[:, "valid_loss"]).all()
    assert estimator.history_[-1, "valid_acc"] == pytest.approx(estimator.score(X_VAL, Y_VAL))
    assert [batch["valid_batch_size"] for batch in estimator.history_[0, "batches"]
            if "valid_batch_size" in batch] == [30]


@pytest.mark.parametrize("method", METHODS)
def test_early_stopping_watches_it_and_sets_nothing_aside(method):
    estimator = METHODS[method]
    params = {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 60, "lr": 0.1}
    before = estimator.get_params(deep=False)
    estimator.set_params(**params).fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    losses = np.array(estimator.history_[:, "valid_loss"])
    assert sum(batch.get("train_batch_size", 0) for batch in estimator.history_[0, "batches"]) == 90
    assert len(losses) == 60 or len(losses) - 1 - losses.argmin() == 2
    best = estimator.history_[int(losses.argmin()), "valid_acc"]
    assert best == pytest.approx(estimator.score(X_VAL, Y_VAL))
    estimator.set_params(**{name: before[name] for name in params})


def test_the_loss_is_cross_entropy_of_the_validation_set():
    estimator = network(lr=0, max_epochs=1).fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    logits = torch.from_numpy(estimator.teaching_logits(X_VAL))
    assert estimator.history_[0, "valid_loss"] == pytest.approx(
        F.cross_entropy(logits, torch.from_numpy(Y_VAL)).item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["kd", "dkd", "fitnet"])
def test_the_loss_of_a_student_holds_its_teachers_terms(loss):
    teacher = network()
    student = MultiTeacherDistiller([("network", teacher), ("other", network(random_state=1))],
                                    teacher_weights=[3, 1], loss=loss, lambda_kd=0.5, cv=2,
                                    **{**TRAINING, "lr": 0, "max_epochs": 1})
    student.fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    z = [fitted.teaching_logits(X_VAL) for fitted in student.teachers_]
    features = np.hstack([fitted.encode(X_VAL) for fitted in student.teachers_])
    own = student._run(X_VAL)
    labels = torch.from_numpy(Y_VAL)
    kd = student.net_.criterion_(
        Output(torch.from_numpy(own.logits), torch.from_numpy(own.features)),
        Output(torch.from_numpy(0.75 * z[0] + 0.25 * z[1]), torch.from_numpy(features)),
        labels).item()
    ce = F.cross_entropy(torch.from_numpy(own.logits), labels).item()
    row = student.history_[0]
    assert row["valid_kd_loss"] == pytest.approx(kd, rel=1e-4)
    assert row["valid_ce_loss"] == pytest.approx(ce, rel=1e-4)
    assert row["valid_loss"] == pytest.approx(ce + 0.5 * kd, rel=1e-4)
    assert student.teacher_logits_.shape == (90, 3)  # those of the training samples


def test_experts_speak_about_it_too():
    """With one group, the expert's curriculum and its term are those of one teacher."""
    student = LFMEDistiller(expert=network(), **{**TRAINING, "lr": 0, "max_epochs": 1},
                            shots=(0, 1000), lambda_kd=0.5, temperature=2.0)
    student.fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    z_t = torch.from_numpy(student.experts_[0].teaching_logits(X_VAL))
    z_s, labels = torch.from_numpy(student.decision_function(X_VAL)), torch.from_numpy(Y_VAL)
    ease = z_t.softmax(dim=1).gather(1, labels[:, None])[:, 0]
    ce = (ease * F.cross_entropy(z_s, labels, reduction="none")).mean().item()
    kd = get_loss("kd", temperature=2.0)(Output(z_s), Output(z_t)).item()
    assert student.history_[0, "valid_loss"] == pytest.approx(ce + 0.5 * kd, rel=1e-4)


def test_regression():
    teacher = LinearRegression()
    target, target_val = X[:, :2] * 100 + 7, X_VAL[:, :2] * 100 + 7
    for y_, v_ in ((target, target_val), (target[:, 0], target_val[:, 0])):
        student = DistilledRegressor([("linear", teacher)], lambda_kd=0.5,
                                     **{**TRAINING, "lr": 0, "max_epochs": 1})
        student.fit(X, y_, X_val=X_VAL, y_val=v_)
        out, taught = student.predict(X_VAL), student.teachers_[0].predict(X_VAL)
        mse, kd = (np.mean(((out - goal) / student.target_scale_) ** 2) for goal in (v_, taught))
        assert student.history_[0, "valid_loss"] == pytest.approx(mse + 0.5 * kd, rel=1e-4)
    with pytest.raises(ValueError, match=r"y_val has targets of shape \(2,\) a sample, and y of"):
        student.fit(X, target[:, 0], X_val=X_VAL, y_val=target_val)


def test_pretraining_has_none():
    images = np.random.default_rng(0).random((20, 8, 8), dtype=np.float32)
    labels = np.arange(20) % 2
    student = DMAEDistiller(module__embed_dim=12, module__depth=2, module__num_heads=2,
                            decoder_dim=4, input_type="image", pretrain_epochs=1,
                            **{**TRAINING, "max_epochs": 1})
    student.fit(images, labels, X_val=images[:6], y_val=labels[:6])
    assert "valid_loss" in student.history_[0]
    assert "valid_loss" not in student.pretraining_history_[0]


def test_unlabelled_training_samples_do_not_change_its_loss():
    labels = np.where(np.arange(90) % 3, -1, y)
    student = MultiTeacherDistiller(**{**TRAINING, "lr": 0, "max_epochs": 1})
    student.fit(X, labels, X_val=X_VAL, y_val=Y_VAL)
    logits = torch.from_numpy(student.decision_function(X_VAL))
    assert student.history_[0, "valid_loss"] == pytest.approx(
        F.cross_entropy(logits, torch.from_numpy(Y_VAL)).item(), rel=1e-5)
    assert student.history_[0, "valid_acc"] == pytest.approx(student.score(X_VAL, Y_VAL))


def test_its_samples_have_weights():
    weights = np.random.default_rng(0).integers(0, 3, size=30)
    weighted = network(lr=0, max_epochs=1).fit(X, y, X_val=X_VAL, y_val=Y_VAL,
                                               sample_weight_val=weights)
    repeated = network(lr=0, max_epochs=1).fit(X, y, X_val=np.repeat(X_VAL, weights, axis=0),
                                               y_val=np.repeat(Y_VAL, weights))
    assert weighted.history_[0, "valid_loss"] == pytest.approx(repeated.history_[0, "valid_loss"],
                                                               rel=1e-5)


# -------------------------------------------------------------------- what it may be

def test_it_may_be_all_that_x_may_be(tmp_path):
    np.save(tmp_path / "X.npy", X_VAL)
    expected = network(modality="a").fit({"a": X, "b": -X}, y, X_val={"a": X_VAL, "b": -X_VAL},
                                         y_val=Y_VAL).history_[:, "valid_loss"]
    pairs = TensorDataset(torch.from_numpy(X_VAL), torch.from_numpy(Y_VAL))
    for part, labels in ((np.load(tmp_path / "X.npy", mmap_mode="r"), Y_VAL), (pairs, None),
                         (pd.DataFrame(X_VAL), pd.Series(Y_VAL)), (X_VAL.tolist(), Y_VAL.tolist())):
        fitted = network().fit(X, y, X_val=part, y_val=labels)
        np.testing.assert_allclose(fitted.history_[:, "valid_loss"], expected, rtol=1e-5)


def test_labels_by_name_in_any_order_and_not_all_of_them():
    names = np.array(["cat", "dog", "eel"])
    some = Y_VAL != 1
    fitted = network().fit(X, names[y], X_val=X_VAL[some], y_val=names[Y_VAL[some]])
    expected = network().fit(X, y, X_val=X_VAL[some], y_val=Y_VAL[some])
    assert fitted.history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]


def test_it_comes_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        last = network().set_fit_request(X_val=True, y_val=True)
        pipe = make_pipeline(StandardScaler(), last, transform_input=["X_val"])
        pipe.fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    scaler = StandardScaler().fit(X)
    expected = network().fit(scaler.transform(X), y, X_val=scaler.transform(X_VAL), y_val=Y_VAL)
    assert pipe[-1].history_[:, "valid_loss"] == expected.history_[:, "valid_loss"]


def test_scores_of_skorch_see_it():
    callbacks = [EpochScoring("accuracy", name="epoch_acc", lower_is_better=False),
                 BatchScoring("accuracy", name="batch_acc", lower_is_better=False)]
    estimator = network(callbacks=callbacks, max_epochs=4).fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    for name in ("epoch_acc", "batch_acc"):
        np.testing.assert_allclose(estimator.history_[:, name], estimator.history_[:, "valid_acc"])


def test_it_is_part_of_a_checkpoints_name(tmp_path):
    params = {"checkpoint": tmp_path, "early_stopping": True, "max_epochs": 6, "lr": 0.3}
    fitted = network(**params).fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    assert np.array_equal(fitted.predict_proba(X), network(**{**params, "checkpoint": None}).fit(
        X, y, X_val=X_VAL, y_val=Y_VAL).predict_proba(X))
    assert not list(tmp_path.iterdir())


def test_warm_start_takes_another():
    estimator = network(warm_start=True).fit(X, y, X_val=X_VAL, y_val=Y_VAL)
    estimator.fit(X, y)
    assert len(estimator.history_) == 6 and "valid_loss" not in estimator.history_[-1]
    estimator.fit(X, y, X_val=X, y_val=y)
    assert estimator.history_[-1, "valid_acc"] == pytest.approx(estimator.score(X, y))


# -------------------------------------------------------------------- what it may not be

@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("params", "message"), [
    ({"X_val": X_VAL, "y_val": None}, "requires y_val to be passed"),
    ({"X_val": None, "y_val": Y_VAL}, "belong to an X_val, which is None"),
    ({"X_val": None, "sample_weight_val": np.ones(30)}, "belong to an X_val, which is None"),
    ({"X_val": X_VAL, "y_val": Y_VAL[1:]}, "inconsistent numbers of samples"),
    ({"X_val": X_VAL, "y_val": np.where(np.arange(30) == 4, 7, Y_VAL)},
     r"y_val holds the label 7, which is none of the classes \[0, 1, 2\]"),
    ({"X_val": X_VAL, "y_val": np.where(np.arange(30) == 4, -1, Y_VAL)},
     "y_val holds 1 samples without a label"),
    ({"X_val": X_VAL[:, :5], "y_val": Y_VAL}, "X has 5 features"),
    ({"X_val": np.where(np.arange(6) == 1, np.nan, X_VAL), "y_val": Y_VAL}, "NaN"),
    ({"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": np.zeros(30)}, "sample_weight_val"),
])
def test_bad_validation_sets(method, params, message):
    with pytest.raises(ValueError, match=message):
        METHODS[method].fit(X, y, **params)


def test_it_is_refused_before_any_work():
    class Refuses(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("was fitted")

    student = MultiTeacherDistiller([("linear", Refuses())], **TRAINING)
    with pytest.raises(ValueError, match="X has 5 features"):
        student.fit(X, y, X_val=X_VAL[:, :5], y_val=Y_VAL)
