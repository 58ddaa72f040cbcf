"""What the user sets holds: optimisers, schedules, callbacks of skorch, labels, failures, checkpoints."""

import copy
from operator import itemgetter

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from cmkdlearn.model_selection import compare
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.students import (
    DistilledRegressor,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

rng = np.random.default_rng(0)
y = np.arange(200) % 2
X = (rng.normal(size=(200, 6)) + y[:, None]).astype(np.float32)
TRAINING = {"random_state": 0, "device": "cpu", "max_epochs": 2}


def weights(estimator):
    return torch.cat([part.detach().flatten() for part in estimator.net_.module_.state_dict().values()])


# ------------------------------------------------------------------ optimisers and schedules

def test_groups_of_parameters_keep_what_is_theirs():
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    teacher = UnimodalTeacher(network, optimizer=torch.optim.SGD, lr=0.1, optimizer__weight_decay=0.01,
                              optimizer__param_groups=[("encoder.0*", {"lr": 0.0, "weight_decay": 0.7})],
                              **TRAINING).fit(X, y)
    found = [(group["lr"], group["weight_decay"]) for group in teacher.net_.optimizer_.param_groups]
    assert found == [(0.0, 0.7), (0.1, 0.01)]
    assert torch.equal(teacher.net_.module_.encoder[0].weight, network[0].weight)
    assert not torch.equal(teacher.net_.module_.head.weight, network[2].weight)


def test_an_optimiser_that_calls_a_closure_gets_one():
    teacher = UnimodalTeacher(optimizer=torch.optim.LBFGS, lr=0.5, batch_size=-1, module__hidden=(), random_state=0,
                              device="cpu", max_epochs=20).fit(X, y)
    assert teacher.score(X, y) >= LogisticRegression(C=1e6).fit(X, y).score(X, y) - 0.01


def test_a_callback_sees_gradients():
    class Norms(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            self.seen = getattr(self, "seen", 0) + len(list(named_parameters))

    teacher = UnimodalTeacher(callbacks=[("norms", Norms()), GradientNormClipping(1e-9)], lr=1.0,
                              optimizer=torch.optim.SGD, batch_size=100, **TRAINING).fit(X, y)
    assert dict(teacher.net_.callbacks_)["norms"].seen == 4 * 4  # weights and biases, in two batches of two epochs
    still = UnimodalTeacher(lr=0, **TRAINING).fit(X, y)
    torch.testing.assert_close(weights(teacher), weights(still), atol=1e-6, rtol=0)


def test_a_schedule_begins_anew_with_each_warm_start():
    teacher = UnimodalTeacher(warm_start=True, random_state=0, device="cpu", lr=1e-3, max_epochs=5, callbacks=[
        LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=5)])
    teacher.fit(X, y).fit(X, y).set_params(lr=2e-3).fit(X, y)
    rates = np.array(teacher.history_[:, "event_lr"]).reshape(3, 5)
    expected = 1e-3 * (1 + np.cos(np.pi * np.arange(5) / 5)) / 2
    np.testing.assert_allclose(rates, [expected, expected, 2 * expected], atol=1e-12)


# ------------------------------------------------------------------ callbacks, as skorch documents them

def test_scoring_callbacks_score(tmp_path):
    class Seen(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            self.shapes = [tuple(part.shape) for part in batch]

    callbacks = [("epoch", EpochScoring("accuracy", lower_is_better=False)),
                 ("train", EpochScoring("accuracy", lower_is_better=False, on_train=True, name="train_right")),
                 ("batch", BatchScoring("accuracy", lower_is_better=False, name="batch_right")),
                 ("kept", Checkpoint(dirname=str(tmp_path))), ("seen", Seen())]
    teacher = UnimodalTeacher(early_stopping=True, callbacks=callbacks, **{**TRAINING, "max_epochs": 6}).fit(X, y)
    history = teacher.history_
    np.testing.assert_allclose(history[:, "accuracy"], history[:, "valid_acc"], rtol=1e-6)
    np.testing.assert_allclose(history[:, "batch_right"], history[:, "valid_acc"], rtol=1e-6)
    assert all(0 <= value <= 1 for value in history[:, "train_right"])
    assert dict(teacher.net_.callbacks_)["seen"].shapes == [(20, 6), (20,)]
    best = np.minimum.accumulate(history[:, "valid_loss"]) == history[:, "valid_loss"]
    assert history[:, "valid_loss_best"] == best.tolist()
    state = torch.load(tmp_path / "params.pt", weights_only=True)
    assert state.keys() == teacher.net_.module_.state_dict().keys()


def test_a_regressors_callbacks_score():
    student = DistilledRegressor(early_stopping=True, callbacks=[EpochScoring("neg_mean_squared_error",
                                 lower_is_better=False, name="mse")], **TRAINING).fit(X, X[:, 0])
    np.testing.assert_allclose([-v for v in student.history_[:, "mse"]], student.history_[:, "valid_loss"], rtol=1e-5)


# ------------------------------------------------------------------ labels

def test_minus_one_is_a_class_where_it_is_not_unlabelled():
    three = np.arange(200) % 3 - 1
    for make in (UnimodalTeacher, LFMEDistiller):
        with pytest.warns(UserWarning, match="y holds -1, which .* takes for a class like the others"):
            assert make(**TRAINING).fit(X, three).classes_.tolist() == [-1, 0, 1]


@pytest.mark.filterwarnings("error::UserWarning")
def test_two_classes_may_be_minus_one_and_one():
    assert UnimodalTeacher(**TRAINING).fit(X, 2 * y - 1).classes_.tolist() == [-1, 1]


def test_a_teacher_that_knows_minus_one_is_named():
    with pytest.warns(UserWarning, match="y holds -1"):
        teacher = UnimodalTeacher(**TRAINING).fit(X, np.arange(200) % 3 - 1)
    with pytest.warns(UserWarning, match="Teacher 'old' knows -1 as a class"):
        MultiTeacherDistiller([("old", FrozenEstimator(teacher))], **TRAINING).fit(X, np.where(y, y, -1) * (X[:, 0] > 0))


def test_scores_are_those_of_labelled_samples():
    half = np.where(np.arange(200) % 4 < 2, y, -1)
    student = MultiTeacherDistiller([("linear", LogisticRegression())], random_state=0, device="cpu", max_epochs=10)
    fitted, known = copy.deepcopy(student).fit(X, half), half != -1
    assert fitted.score(X, half) == accuracy_score(half[known], fitted.predict(X[known]))
    shares = rng.random(200)
    assert fitted.score(X, half, shares) == pytest.approx(
        accuracy_score(half[known], fitted.predict(X[known]), sample_weight=shares[known]))
    assert cross_val_score(student, X, half, cv=3).min() > 0.6
    search = GridSearchCV(student, {"lambda_kd": [0, 1]}, cv=3).fit(X, half)
    assert search.best_score_ > 0.6
    with pytest.raises(ValueError, match="Every sample of y is unlabelled, so there is nothing to score"):
        fitted.score(X, np.full(200, -1))


@pytest.mark.parametrize("cv", [3, StratifiedKFold(3), list(StratifiedKFold(3).split(X, y))], ids=str)
def test_compare_tests_labelled_samples_whatever_the_folds(cv):
    half = np.where(np.arange(200) % 4 < 2, y, -1)

    class Spy(MultiTeacherDistiller):
        """Notes what it is asked about."""

        asked: list = []

        def predict(self, X):
            Spy.asked.append(X)
            return super().predict(X)

    compare({"a": Spy(**TRAINING)}, X, half, cv=cv, random_state=0)
    tested = {row.tobytes() for part in Spy.asked for row in part}
    assert tested == {row.tobytes() for row in X[half != -1]}


def test_classes_are_cleaned_for_prompts_as_for_wordnet():
    class Spy:
        texts: list = []

        def transform(self, X):
            return X

        def encode_text(self, texts):
            Spy.texts += texts
            return np.eye(6)[[len(Spy.texts) % 6] * len(texts)] + rng.normal(size=(len(texts), 6))

    labels = np.where(y, "Ice_cream", "hot dog")
    WordNetRelaxedTeacher(Spy(), nouns=["some_noun", "b", "c", "d", "e", "f"], templates=["a {}"], n_clusters=2,
                          nouns_per_cluster=2, **TRAINING).fit(X, labels)
    assert {"a ice cream", "a hot dog", "a some noun"} <= set(Spy.texts)


def test_early_stopping_of_a_teacher_that_reads_names_is_honest():
    """What it says of the samples set aside, it says without their names."""
    r = np.random.default_rng(0)
    noise, labels = r.normal(size=(300, 8)), r.integers(2, size=300)  # nothing to see in X
    teacher = WordNetRelaxedTeacher(relaxed_proportion=0, n_clusters=2, early_stopping=True, random_state=0,
                                    class_names={0: np.eye(8)[0], 1: np.eye(8)[1]}, max_epochs=30, device="cpu",
                                    validation_fraction=0.4, nouns={f"noun {i}": r.normal(size=8) for i in range(20)})
    teacher.fit(noise, labels)
    assert teacher.score_with_labels(noise, labels) > 0.9     # it reads the label,
    assert max(teacher.history_[:, "valid_acc"]) < 0.7        # and is not praised for it


# ------------------------------------------------------------------ what a failure leaves

class FailsLate(Callback):
    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            raise RuntimeError("late")


def test_a_fit_that_fails_late_leaves_the_estimator_as_it_was():
    teacher = UnimodalTeacher(**TRAINING).fit(X, y)
    before, said = dict(vars(teacher)), teacher.predict_proba(X)
    teacher.set_params(callbacks=[FailsLate()], max_epochs=4)
    with pytest.raises(RuntimeError, match="late"):
        teacher.fit(X[:, :3], np.arange(200) % 5)
    assert vars(teacher).keys() - {"callbacks"} == before.keys()
    np.testing.assert_array_equal(teacher.predict_proba(X), said)
    unfitted = UnimodalTeacher(callbacks=[FailsLate()], random_state=0, device="cpu", max_epochs=4)
    with pytest.raises(RuntimeError, match="late"):
        unfitted.fit(X, y)
    assert not hasattr(unfitted, "classes_") and not hasattr(unfitted, "net_")


def test_a_warm_start_that_fails_late_leaves_the_weights_as_they_were():
    teacher = UnimodalTeacher(callbacks=[FailsLate()], warm_start=True, **TRAINING).fit(X, y)
    said, history = teacher.predict_proba(X), copy.deepcopy(list(teacher.history_))
    with pytest.raises(RuntimeError, match="late"):
        teacher.fit(X, y)
    np.testing.assert_array_equal(teacher.predict_proba(X), said)
    assert list(teacher.history_) == history


# ------------------------------------------------------------------ checkpoints know everything

class Killed(BaseException):
    """A process that is killed asks nobody."""


class Watch(Callback):
    """Counts the epochs that are trained, and kills the training in the third."""

    epochs, kills = 0, False

    def on_epoch_begin(self, net, **kwargs):
        Watch.epochs += 1

    def on_batch_end(self, net, **kwargs):
        if Watch.kills and len(net.history) == 3:
            raise Killed


def watched(**params):
    return UnimodalTeacher(callbacks=[Watch()], **{"random_state": 0, "device": "cpu", "max_epochs": 5, **params})


def killed(folder, X, y, **params):
    Watch.kills = True
    with pytest.raises(Killed):
        watched(checkpoint=folder, **params).fit(X, y)
    Watch.epochs, Watch.kills = 0, False
    (file,) = folder.glob("*.ckpt")
    return file


MANY, LABELS = np.tile(X, (4, 1)), np.tile(y, 4)  # more rows than a sample of them would hold


@pytest.mark.parametrize(("change", "epochs"), [
    (lambda X, y: (X, y), 3),  # of five, two were kept
    (lambda X, y: (X, np.r_[y[:57], 1 - y[57:58], y[58:]]), 5),      # one label is another
    (lambda X, y: (np.r_[X[:57], X[57:58] + 1e-3, X[58:]], y), 5)])  # the values of one row
def test_a_checkpoint_is_that_of_its_data(tmp_path, change, epochs):
    killed(tmp_path, MANY, LABELS)
    resumed = watched(checkpoint=tmp_path).fit(*change(MANY, LABELS))
    assert Watch.epochs == epochs
    assert torch.equal(weights(resumed), weights(watched().fit(*change(MANY, LABELS))))


def test_a_checkpoint_is_that_of_its_seed(tmp_path):
    killed(tmp_path, X, y, random_state=None)
    watched(random_state=None, checkpoint=tmp_path).fit(X, y)
    assert Watch.epochs == 5


@pytest.mark.parametrize("damage", [
    lambda content: content[:-1], lambda content: b"", lambda content: content[:40],
    lambda content: content[:500] + bytes([content[500] ^ 1]) + content[501:],
    lambda content: content[:3] + bytes([content[3] ^ 128]) + content[4:]])
def test_a_flipped_bit_is_a_warning_and_a_fresh_start(tmp_path, damage):
    file = killed(tmp_path, X, y)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match="cannot be read, so training begins anew"):
        found = watched(checkpoint=tmp_path).fit(X, y)
    assert Watch.epochs == 5 and torch.equal(weights(found), weights(watched().fit(X, y)))


def test_a_foreign_file_is_a_warning_and_a_fresh_start(tmp_path):
    file = killed(tmp_path, X, y)
    (tmp_path / "other").mkdir()
    other = killed(tmp_path / "other", X, y, module__hidden=(17,))
    for write in (lambda: torch.save({"w": torch.ones(2)}, file), lambda: file.write_bytes(other.read_bytes())):
        write()
        with pytest.warns(UserWarning, match="cannot be read, so training begins anew"):
            found = watched(checkpoint=tmp_path).fit(X, y)
        assert torch.equal(weights(found), weights(watched().fit(X, y)))


# ------------------------------------------------------------------ teachers of other libraries

def test_a_classifier_teaches_from_one_modality_of_several():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    from sklearn.svm import SVC

    text = np.array([f"class{label} word{i % 7}" for i, label in enumerate(y)])
    data = {"num": X, "text": text, "other": np.zeros((200, 3), dtype=np.float32)}
    reads_text = make_pipeline(ModalitySelector("text"), TfidfVectorizer(), LogisticRegression())
    student = MultiTeacherDistiller([("svm", SVC()), ("text", reads_text)], modality="num", cv=2, **TRAINING)
    student.fit(data, y)
    svm, texts = student.teachers_
    np.testing.assert_array_equal(svm.teaching_logits(data), svm.teaching_logits(X))
    assert (texts.teaching_logits({"text": text}).argmax(axis=1) == y).all()
    picks = make_pipeline(FunctionTransformer(itemgetter("text")), TfidfVectorizer(), LogisticRegression())
    MultiTeacherDistiller([("text", picks)], modality="num", **TRAINING).fit(data, y)
    with pytest.raises(ValueError, match="X holds the modalities"):
        UCMKDStudent(LogisticRegression(), modality="num", **TRAINING).fit(data, y)


def test_teachers_data_that_a_search_has_cut_are_told():
    student = UCMKDStudent(UnimodalTeacher(modality="a", **TRAINING), **TRAINING)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples, \[200, 133\]. If this is a grid search"):
        student.fit(X[:133], y[:133], X_teacher={"a": X}, y_teacher=y[:133])
