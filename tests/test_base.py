"""The bridge: what goes in, what the parameters do, and what a training leaves behind."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import DataLoader

from cmkdlearn._labels import encode_labels, label_codes, labelled_mask
from cmkdlearn.nn.samples import select_modality, take
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import UnimodalTeacher

X, y = make_classification(120, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype(np.float32)
NAMES = np.array(["cat", "dog", "eel"])


def tiny(**params):
    return UnimodalTeacher(**{"max_epochs": 3, "batch_size": 128, "module__hidden": (8,), "lr": 0.01, "device": "cpu",
                              "random_state": 0, **params})


def weights(estimator):
    return [value.clone() for value in estimator.net_.module_.state_dict().values()]


def same(a, b):
    return len(a) == len(b) and all(map(torch.equal, a, b))


# -------------------------------------------------------------------- what X may be

IMAGES = np.random.default_rng(0).integers(256, size=(24, 7, 6, 3), dtype=np.uint8)
IMAGE_LABELS = np.arange(24) % 2


class Flat(nn.Module):
    """Logits of images, tables and sequences alike."""

    def __init__(self, n_inputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n_inputs, 2))

    def forward(self, x):
        return self.layers(x)


def flat(n_inputs, **params):
    return UnimodalTeacher(Flat, module__n_inputs=n_inputs, max_epochs=2, random_state=0,
                           device="cpu", **params)


@pytest.mark.parametrize("layout", ["channels last", "channels first", "torch", "view"])
def test_layouts_of_the_same_images_train_the_same_network(layout):
    reference = flat(126).fit(IMAGES, IMAGE_LABELS)
    other = {"channels last": IMAGES, "channels first": np.moveaxis(IMAGES, -1, 1).copy(),
             "torch": torch.from_numpy(IMAGES), "view": IMAGES[::-1][::-1]}[layout]
    estimator = flat(126).fit(other, IMAGE_LABELS)
    assert same(weights(estimator), weights(reference))
    assert np.array_equal(estimator.decision_function(other), reference.decision_function(IMAGES))


def test_bytes_are_images_in_zero_to_one():
    floating = np.float32(IMAGES) / np.float32(255)
    assert same(weights(flat(126).fit(IMAGES, IMAGE_LABELS)),
                weights(flat(126).fit(floating, IMAGE_LABELS)))


@pytest.mark.parametrize("make", [
    lambda X: X.tolist(), lambda X: X.astype(np.float64), np.asfortranarray, torch.from_numpy,
    lambda X: torch.from_numpy(X).double(), lambda X: pd.DataFrame(X), lambda X: X[::-1][::-1],
    lambda X: pd.DataFrame(X, columns=list("abcdef")),
], ids=["list", "double", "fortran", "torch", "torch double", "frame", "view", "named frame"])
def test_tables_of_every_kind_train_the_same_network(make):
    reference = tiny().fit(X, y)
    with np.testing.assert_no_warnings():
        estimator = tiny().fit(make(X), y)
        assert same(weights(estimator), weights(reference))
        assert np.array_equal(estimator.predict_proba(make(X)), reference.predict_proba(X))


def test_read_only_memory_maps(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    with np.testing.assert_no_warnings():
        estimator = tiny().fit(mapped, y)
    assert same(weights(estimator), weights(tiny().fit(X, y)))
    assert np.array_equal(estimator.predict(mapped), estimator.predict(X))


def test_a_memory_map_of_bytes_is_not_copied(tmp_path):
    np.save(tmp_path / "X.npy", IMAGES)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    estimator = flat(126).fit(mapped, IMAGE_LABELS)
    assert np.shares_memory(estimator._read(mapped, reset=False)["X"].numpy(), mapped)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, bool])
def test_three_axes_of_integers_are_ambiguous(dtype):
    three = np.random.default_rng(0).integers(2, size=(24, 5, 4)).astype(dtype)
    for X in (three, torch.from_numpy(three)):
        with pytest.raises(ValueError, match='input_type="image" or input_type="sequence"'):
            flat(20).fit(X, IMAGE_LABELS)
    assert flat(20, input_type="image").fit(three, IMAGE_LABELS).reader_.kind == "image"
    assert flat(20, input_type="sequence").fit(three, IMAGE_LABELS).reader_.kind == "sequence"
    assert tiny(input_type="table").fit(three, IMAGE_LABELS).reader_.shape == (20,)


def test_integer_tables_and_images_are_read_as_numbers():
    table = np.random.default_rng(0).integers(-5, 5, size=(120, 6))
    expected = weights(tiny().fit(table.astype(np.float32), y))
    for X in (table, table.astype(np.int8), torch.from_numpy(table)):
        assert same(weights(tiny().fit(X, y)), expected)
    # bytes in a table are numbers, not intensities
    table = table - table.min()
    assert same(weights(tiny().fit(table.astype(np.uint8), y)),
                weights(tiny().fit(table.astype(np.float32), y)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad):
    broken = X.copy()
    broken[3, 2] = bad
    for data in (broken, torch.from_numpy(broken), pd.DataFrame(broken)):
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            tiny().fit(data, y)
    fitted = tiny().fit(X, y)
    with pytest.raises(ValueError, match="contains (NaN|infinity)"):
        fitted.predict(broken)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, before the error
def test_values_beyond_float32_are_refused():
    with pytest.raises(ValueError, match="too large"):
        tiny().fit(X.astype(float) * 1e300, y)


def test_sparse_tables_are_refused():
    with pytest.raises(TypeError, match="(?i)sparse"):
        tiny().fit(scipy.sparse.csr_matrix(X), y)


def test_lengths_that_differ():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: .*120.*119"):
        tiny().fit(X, y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        tiny(modality="a").fit({"a": X, "b": X[:50]}, y)


def test_wrong_shapes_at_prediction():
    with pytest.raises(ValueError, match="X has 5 features, but UnimodalTeacher is expecting 6"):
        tiny().fit(X, y).predict(X[:, :5])
    images = flat(126).fit(IMAGES, IMAGE_LABELS)
    with pytest.raises(ValueError, match=r"image of shape \(3, 6, 6\) per sample, but .* \(3, 7, 6\)"):
        images.predict(IMAGES[:, :6])
    sequences = flat(20).fit(np.random.rand(24, 5, 4), IMAGE_LABELS)
    with pytest.raises(ValueError, match=r"sequence of shape \(6, 4\) per sample, but .* a sequence of shape \(5, 4\)"):
        sequences.predict(np.zeros((3, 6, 4), np.uint8))
    np.testing.assert_array_equal(*(sequences.predict_proba(np.ones((3, 5, 4), dtype)) for dtype in (float, np.uint8)))


def test_feature_names():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    estimator = tiny().fit(frame, y)
    assert estimator.feature_names_in_.tolist() == list("abcdef") and estimator.n_features_in_ == 6
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="same order"):
        estimator.predict(frame[list("fedcba")])
    assert not hasattr(tiny().fit(X, y), "feature_names_in_")


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "encode",
                                    "teaching_logits"])
def test_not_fitted(method):
    with pytest.raises(NotFittedError):
        getattr(tiny(), method)(X)
    for attribute in ("history_", "head_"):
        assert not hasattr(tiny(), attribute)


# -------------------------------------------------------------------- modalities

BOTH = {"table": X, "sequence": np.stack([X, -X], axis=1)}


def test_a_modality_of_a_dict():
    alone = tiny().fit(X, y)
    for data in (BOTH, SliceDict(**BOTH)):
        estimator = tiny(modality="table").fit(data, y)
        assert same(weights(estimator), weights(alone))
        # to predict, the modality alone will do
        assert np.array_equal(estimator.predict_proba(data), estimator.predict_proba(X))
        assert np.array_equal(estimator.predict_proba({"table": X}), alone.predict_proba(X))
    assert tiny(modality="sequence").fit(BOTH, y).reader_.kind == "sequence"


def test_a_modality_of_a_table():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    alone = tiny().fit(X[:, [1, 3]], y)
    for data, columns in ((X, [1, 3]), (X, np.array([1, 3])), (frame, ["b", "d"]),
                          (X, np.isin(range(6), [1, 3])), (torch.from_numpy(X), [1, 3]),
                          (X.tolist(), [1, 3])):
        estimator = tiny(modality=columns).fit(data, y)
        assert same(weights(estimator), weights(alone))
        assert np.array_equal(estimator.predict_proba(data), alone.predict_proba(X[:, [1, 3]]))


def test_what_skorch_has_is_done_elsewhere():
    for name in ("train_split", "train_split__cv"):
        with pytest.raises(TypeError, match=f"unexpected keyword '{name}'. early_stopping=True.*X_val="):
            tiny(**{name: 5})


@pytest.mark.parametrize(("data", "modality", "message"), [
    (BOTH, None, r"modalities \['table', 'sequence'\]: say which one \w+ is to read, as in \w+\(modality='table'\)"),
    (BOTH, "tabel", "modality='tabel' is unknown. Did you mean 'table'"),
    (BOTH, [0, 1], r"modality=\[0, 1\] is unknown. Use 'table' or 'sequence'"),
    (X, "table", "modality='table' names a modality, but X is a ndarray; pass a dict"),
    (X, [5, 6], r"modality=\[5, 6\] reads columns that X of shape \(120, 6\) does not have"),
    (X, ["a", "b"], "strings is only supported for dataframes"),
    ({}, None, "X holds the modalities"),
])
def test_modalities_that_are_not_there(data, modality, message):
    with pytest.raises(ValueError, match=message):
        tiny(modality=modality).fit(data, y)


def test_columns_that_are_not_there_at_prediction():
    estimator = tiny(modality=[2, 5]).fit(X, y)
    with pytest.raises(ValueError, match=r"modality=\[2, 5\] .* X of shape \(120, 2\) does not"):
        estimator.predict(X[:, [2, 5]])


def test_multimodal_data_through_the_tools_of_scikit_learn():
    data = SliceDict(**BOTH)
    scores = cross_val_score(tiny(modality="table"), data, y, cv=3)
    assert np.array_equal(scores, cross_val_score(tiny(), X, y, cv=3))
    search = GridSearchCV(make_pipeline(FunctionTransformer(), tiny()),
                          {"unimodalteacher__modality": ["table", "sequence"]}, cv=3).fit(data, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(data).shape == (120,)
    scaled = make_pipeline(StandardScaler(), tiny()).fit(X, y)
    assert scaled.score(X, y) > 1 / 3


def test_take():
    index = np.array([5, 2])
    assert np.array_equal(take(X, index), X[index])
    assert take(pd.DataFrame(X), index).index.tolist() == [5, 2]
    assert torch.equal(take(torch.from_numpy(X), index), torch.from_numpy(X)[[5, 2]])
    for kind in (dict, SliceDict):
        part = take(kind(**BOTH), index)
        assert type(part) is kind and np.array_equal(part["sequence"], BOTH["sequence"][index])


def test_select_modality_of_a_prediction():
    assert select_modality(X, "table", fitting=False) is X
    assert select_modality(X, None, fitting=True) is X


# -------------------------------------------------------------------- labels

@pytest.mark.parametrize("labels", [
    NAMES[y], NAMES[y].astype(object), y * 10 - 10, (y - 1).astype(np.int8), y.astype(float),
    list(NAMES[y]), pd.Series(NAMES[y]), pd.Series(NAMES[y], dtype="category"), torch.from_numpy(y),
    pd.Series(y, index=range(7, 127)),
], ids=["str", "object", "int", "negative", "float", "list", "series", "category", "torch", "index"])
def test_labels_of_every_kind(labels):
    estimator = tiny().fit(X, labels)
    assert same(weights(estimator), weights(tiny().fit(X, y)))
    assert np.array_equal(estimator.classes_, np.unique(np.asarray(labels)))
    assert np.array_equal(estimator.predict(X), estimator.classes_[tiny().fit(X, y).predict(X)])
    assert estimator.score(X, labels) == tiny().fit(X, y).score(X, y)


def test_two_classes():
    estimator = tiny().fit(X, y > 0)
    decision = estimator.decision_function(X)
    assert decision.shape == (120,) and estimator.predict_proba(X).shape == (120, 2)
    assert np.array_equal(estimator.predict(X), decision > 0)
    logits = estimator.teaching_logits(X)
    np.testing.assert_allclose(decision, logits[:, 1] - logits[:, 0], rtol=1e-6)


@pytest.mark.parametrize(("labels", "message"), [
    (np.zeros(120), "at least two classes; y has one class, 0.0"),
    (np.where(y > 0, np.nan, 1.0), "y contains NaN"),
    (np.where(y > 0, NAMES[y], None), "missing labels"),
    (pd.Series(np.where(y > 0, NAMES[y], None), dtype="string"), "missing labels"),
    (np.array([1, "a"] * 60, dtype=object), "mixes strings and numbers"),
    (np.linspace(0, 1, 120), "(?i)unknown label type: continuous"),
    (np.eye(3)[y], "should be a 1d array"),
    (None, "requires y to be passed"),
])
def test_labels_that_cannot_be(labels, message):
    with pytest.raises(ValueError, match=message):
        tiny().fit(X, labels)


def test_labelled_mask():
    assert labelled_mask([0, -1, 2]).tolist() == [True, False, True]
    assert labelled_mask(np.array([0.0, -1.0])).tolist() == [True, False]
    assert labelled_mask(np.array([1, 255], np.uint8)).all()
    assert labelled_mask(["a", "-1"]).all()  # a string is a name
    assert labelled_mask([True, False]).all()
    for missing in (None, np.nan, -1, pd.NA):
        assert labelled_mask(np.array(["a", missing], dtype=object)).tolist() == [True, False]


def test_encode_labels():
    codes, classes = encode_labels(np.array(["b", None, "a", "b"], dtype=object), "It", True)
    assert codes.tolist() == [1, -1, 0, 1] and classes.tolist() == ["a", "b"]
    codes, classes = encode_labels(np.array([-1, 1, 1]), "It")  # where all are labels, -1 is one
    assert codes.tolist() == [0, 1, 1] and classes.tolist() == [-1, 1]
    with pytest.raises(ValueError, match="Every sample of y is unlabelled"):
        encode_labels(np.full(4, -1), "It", True)
    with pytest.raises(ValueError, match=r"one class, 3 \(-1 and None mark unlabelled"):
        encode_labels(np.array([3, -1, 3]), "It", True)


def test_label_codes():
    classes = np.array([2, 5, 7])
    assert label_codes([7, 2, -1], classes).tolist() == [2, 0, -1]
    assert label_codes([-1, 1], np.array([-1, 1])).tolist() == [0, 1]
    assert label_codes(np.array(["b", None], dtype=object), np.array(["a", "b"])).tolist() == [1, -1]
    with pytest.raises(ValueError, match=r"label 3, which is none of the classes \[2, 5, 7\]"):
        label_codes([3], classes)


# -------------------------------------------------------------------- parameters

def test_every_parameter_is_in_the_signature_and_cloned():
    estimator = tiny(optimizer__weight_decay=0.1, iterator_train__num_workers=0, compile=False,
                     callbacks=[GradientNormClipping(1.0)], label_smoothing=0.1)
    params = estimator.get_params()
    assert {"module", "modality", "augmentation", "label_smoothing", "max_epochs", "random_state",
            "optimizer__weight_decay", "module__hidden", "callbacks"} <= set(params)
    other = clone(estimator)
    assert {name: value for name, value in other.get_params().items() if name != "callbacks"} == \
        {name: value for name, value in params.items() if name != "callbacks"}
    assert other.callbacks[0] is not estimator.callbacks[0]
    assert "optimizer__weight_decay=0.1" in repr(estimator)


def test_set_params_routes_names():
    estimator = tiny().set_params(module__hidden=(5,), optimizer__weight_decay=0.5, lr=0.1,
                                  iterator_train__shuffle=False)
    assert estimator.get_params()["module__hidden"] == (5,) and estimator.lr == 0.1
    estimator.fit(X, y)
    assert estimator.encode(X).shape == (120, 5)
    assert estimator.net_.optimizer_.param_groups[0]["weight_decay"] == 0.5
    assert estimator.net_.optimizer_.param_groups[0]["lr"] == 0.1
    assert GridSearchCV(tiny(), {"module__dropout": [0, 0.5]}, cv=2).fit(X, y).best_params_


@pytest.mark.parametrize(("name", "near"), [
    ("max_epoch", "max_epochs"), ("batchsize", "batch_size"), ("optimiser__lr", "optimizer__"),
    ("modul", "module"), ("callback", "callbacks"),
])
def test_unknown_keywords_name_near_ones(name, near):
    with pytest.raises(TypeError, match=f"UnimodalTeacher got .* keyword '{name}'.*mean .*{near}"):
        UnimodalTeacher(**{name: 1})
    with pytest.raises(ValueError, match=f"Invalid parameter '{name.partition('__')[0]}'"):
        tiny().set_params(**{name: 1})


@pytest.mark.parametrize(("params", "error", "message"), [
    ({"max_epochs": -1}, ValueError, "max_epochs=-1 is out of range; .* integer of at least 0"),
    ({"max_epochs": 2.5}, TypeError, "max_epochs=2.5 is a float"),
    ({"max_epochs": True}, TypeError, "max_epochs=True is a bool"),
    ({"batch_size": 0}, ValueError, "batch_size=0 is out of range"),
    ({"batch_size": -2}, ValueError, "batch_size=-2 is out of range"),
    ({"batch_size": "all"}, TypeError, "batch_size='all' is a str"),
    ({"lr": -0.1}, ValueError, "lr=-0.1 is out of range; .* at least 0"),
    ({"lr": np.nan}, ValueError, "lr=nan is out of range"),
    ({"lr": None}, TypeError, "lr=None is a NoneType"),
    ({"label_smoothing": 1.5}, ValueError, r"label_smoothing=1.5 .* in \[0, 1\]"),
    ({"label_smoothing": "a"}, TypeError, "label_smoothing='a' is a str"),
    ({"early_stopping": True, "validation_fraction": 1.0}, ValueError, "validation_fraction=1.0"),
    ({"early_stopping": True, "validation_fraction": 0}, ValueError, "validation_fraction=0"),
    ({"early_stopping": True, "validation_fraction": "a"}, TypeError, "validation_fraction='a'"),
    ({"early_stopping": True, "n_iter_no_change": 0}, ValueError, "n_iter_no_change=0"),
    ({"device": "gpu"}, ValueError, "device='gpu'"),
    ({"random_state": "a"}, ValueError, "(?i)'a' cannot be used to seed"),
    ({"optimizer": "sgd"}, TypeError, "optimizer='sgd' must be a torch.optim.Optimizer class"),
    ({"optimizer__weight_decai": 1}, TypeError, "weight_decai"),
    ({"module": 3}, TypeError, 'module=3 must be "auto"'),
    ({"module": "resnet18"}, ValueError, "is an image network, but X is a table"),
    ({"module__hiden": (3,)}, TypeError, "hiden"),
    ({"iterator_train__drop_last": True, "batch_size": 500}, ValueError, "batch_size=500 .* no batch"),
    ({"input_type": "tabel"}, ValueError, "input_type='tabel' is unknown. Did you mean 'table'"),
    ({"augmentation": "strog"}, ValueError, "augmentation='strog' is unknown. Did you mean 'strong'"),
    ({"augmentation": "weak"}, ValueError, "augmentation='weak' is for images, but X holds a table"),
])
def test_parameters_that_cannot_be(params, error, message):
    with pytest.raises(error, match=message):
        tiny(**params).fit(X, y)


def test_the_constructor_only_stores():
    estimator = UnimodalTeacher(module=object(), lr="fast", device=-1, random_state="x")
    assert estimator.lr == "fast" and set(vars(estimator)) == set(estimator.get_params())


# -------------------------------------------------------------------- training

def test_one_step_against_hand_written_torch():
    """Three epochs of full-batch SGD on a linear model, written out."""
    instance = nn.Linear(6, 3)
    estimator = UnimodalTeacher(instance, optimizer=torch.optim.SGD, lr=0.5, batch_size=-1,
                                max_epochs=3, label_smoothing=0.1, device="cpu").fit(X, y)
    by_hand = copy.deepcopy(instance)
    losses = []
    for _ in range(3):
        loss = F.cross_entropy(by_hand(torch.from_numpy(X)), torch.from_numpy(y), label_smoothing=0.1)
        losses.append(loss.item())
        by_hand.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter -= 0.5 * parameter.grad
    np.testing.assert_allclose(estimator.decision_function(X),
                               by_hand(torch.from_numpy(X)).detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(estimator.history_[:, "train_loss"], losses, rtol=1e-5)


def test_the_loss_of_an_epoch_is_the_mean_over_samples():
    # 120 = 50 + 50 + 20: batches of unlike size weigh by their samples
    estimator = tiny(lr=0, batch_size=50, max_epochs=1).fit(X, y)
    logits = torch.from_numpy(estimator.teaching_logits(X))
    assert estimator.history_[0, "train_loss"] == pytest.approx(
        F.cross_entropy(logits, torch.from_numpy(y)).item(), rel=1e-5)


def test_learns():
    estimator = tiny(max_epochs=60, module__hidden=(64,), lr=0.05).fit(X, y)
    assert estimator.score(X, y) > 0.9
    losses = estimator.history_[:, "train_loss"]
    assert len(losses) == 60 and losses[-1] < 0.5 * losses[0]
    assert {"train_loss", "dur", "epoch"} <= set(estimator.history_[0])
    np.testing.assert_allclose(estimator.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    features = torch.from_numpy(estimator.encode(X))
    np.testing.assert_allclose(estimator.head_(features).detach(), estimator.teaching_logits(X), atol=1e-5)


def test_runs_can_be_repeated_and_leave_global_generators_alone():
    params = {"module__dropout": 0.5, "early_stopping": True, "batch_size": 32}
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, second = tiny(**params).fit(X, y), tiny(**params).fit(X, y)
    assert same(weights(first), weights(second))
    assert first.history_[:, "train_loss"] == second.history_[:, "train_loss"]
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert not same(weights(first), weights(tiny(**{**params, "random_state": 1}).fit(X, y)))
    assert not same(weights(tiny(random_state=None).fit(X, y)), weights(tiny(random_state=None).fit(X, y)))
    states = [tiny(random_state=np.random.RandomState(5)).fit(X, y) for _ in range(2)]
    assert same(*map(weights, states))


def test_augmentation_can_be_repeated_too():
    def fit():
        return flat(126, augmentation="strong").fit(IMAGES, IMAGE_LABELS)

    assert same(weights(fit()), weights(fit()))
    assert not same(weights(fit()), weights(flat(126).fit(IMAGES, IMAGE_LABELS)))


def test_augmentation_is_for_training_only():
    def black(batch):
        return torch.zeros_like(batch)

    estimator = flat(126, augmentation=black).fit(IMAGES, IMAGE_LABELS)
    assert len(np.unique(estimator.predict_proba(IMAGES)[:, 0])) > 1
    start = flat(126).set_params(max_epochs=0).fit(IMAGES, IMAGE_LABELS)
    assert torch.equal(start.head_.weight, estimator.head_.weight) or \
        estimator.net_.optimizer_.defaults["weight_decay"] > 0


# -------------------------------------------------------------------- early stopping

class Valid(Callback):
    """Keep the rows of the validation split."""

    def on_train_begin(self, net, **kwargs):
        self.rows = None

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        self.rows = dataset_valid.tensors


def valid_of(estimator):
    return dict(estimator.net_.callbacks_)["valid"].rows


def test_early_stopping_keeps_a_copy_of_the_best_weights():
    # so high a learning rate that it soon gets worse than it was
    estimator = tiny(early_stopping=True, lr=0.3, max_epochs=200, n_iter_no_change=4, batch_size=16,
                     callbacks=[("valid", Valid())]).fit(X, y)
    losses = np.array(estimator.history_[:, "valid_loss"])
    assert 4 < len(losses) < 200 and losses.argmin() < len(losses) - 1
    valid = valid_of(estimator)
    loss = F.cross_entropy(torch.from_numpy(estimator.teaching_logits(valid.X.numpy())), valid.y)
    assert loss.item() == pytest.approx(losses.min(), rel=1e-5)
    assert loss.item() < losses[-1]
    assert len(losses) - 1 - losses.argmin() == 4
    accuracy = (estimator.predict(valid.X.numpy()) == valid.y.numpy()).mean()
    assert accuracy == pytest.approx(estimator.history_[int(losses.argmin()), "valid_acc"])


def test_the_validation_split_is_stratified_and_apart():
    labels = np.repeat([0, 1], [100, 20])
    estimator = tiny(early_stopping=True, validation_fraction=0.2,
                     callbacks=[("valid", Valid())]).fit(X, labels)
    valid = valid_of(estimator)
    assert torch.bincount(valid.y).tolist() == [20, 4]
    assert estimator.history_[0, "batches"][0]["train_batch_size"] == 96


def test_early_stopping_without_an_epoch():
    estimator = tiny(early_stopping=True, max_epochs=0).fit(X, y)
    assert estimator.predict(X).shape == (120,) and len(estimator.history_) == 0


def test_a_class_too_small_to_split_is_named():
    labels = y.copy()
    labels[0] = 7
    with pytest.raises(ValueError, match="validation_fraction=0.1"):
        tiny(early_stopping=True).fit(X, labels)
    with pytest.raises(ValueError, match="validation_fraction=0.1"):
        tiny(early_stopping=True).fit(X[:12], np.arange(12) % 3)


# -------------------------------------------------------------------- warm start

def test_warm_start_goes_on():
    estimator = tiny(warm_start=True).fit(X, y)
    before = weights(estimator)
    estimator.set_params(max_epochs=0).fit(X, y)
    assert same(weights(estimator), before) and len(estimator.history_) == 3
    estimator.set_params(max_epochs=2, lr=0.0, optimizer__weight_decay=0).fit(X, y)
    assert same(weights(estimator), before) and len(estimator.history_) == 5
    estimator.set_params(lr=0.01).fit(X, y)
    assert not same(weights(estimator), before) and len(estimator.history_) == 7


def test_warm_start_takes_the_new_batch_size():
    estimator = tiny(warm_start=True).fit(X, y)
    estimator.set_params(batch_size=40).fit(X, y)
    sizes = [[batch["train_batch_size"] for batch in epoch["batches"]] for epoch in estimator.history_]
    assert sizes == 3 * [[120]] + 3 * [[40, 40, 40]]


def test_cold_start_starts_anew():
    estimator = tiny().fit(X, y).fit(X, y)
    assert same(weights(estimator), weights(tiny().fit(X, y))) and len(estimator.history_) == 3


def test_warm_start_refuses_other_data():
    estimator = tiny(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"classes of the last fit, \[0, 1, 2\]; y has \[0, 1\]"):
        estimator.fit(X, np.minimum(y, 1))
    with pytest.raises(ValueError, match="X has 4 features"):
        estimator.fit(X[:, :4], y)


# -------------------------------------------------------------------- skorch

class Count(Callback):
    """Count the epochs of one training."""

    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def test_callbacks_work_and_are_not_mutated():
    count = Count()
    schedule = LRScheduler("StepLR", step_size=1, gamma=0.1)
    before = pickle.dumps((vars(count), vars(schedule)))
    estimator = tiny(callbacks=[("count", count), schedule, GradientNormClipping(0.1)])
    for _ in range(2):
        estimator.fit(X, y)
        assert dict(estimator.net_.callbacks_)["count"].epochs == 3
        assert estimator.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(0.01 * 0.1**3)
    assert pickle.dumps((vars(count), vars(schedule))) == before


def test_a_callback_of_the_users_may_stop_early():
    stop = EarlyStopping(monitor="train_loss", patience=2, lower_is_better=False, sink=lambda _: None)
    estimator = tiny(callbacks=[stop], max_epochs=50).fit(X, y)
    assert len(estimator.history_) == 3
    both = tiny(callbacks=[stop], early_stopping=True, max_epochs=50)
    assert len(both.fit(X, y).history_) == 3


def test_callbacks_may_be_set_by_name():
    estimator = tiny(callbacks=[("clip", GradientNormClipping(1.0))],
                     callbacks__clip__gradient_clip_value=0.25).fit(X, y)
    assert dict(estimator.net_.callbacks_)["clip"].gradient_clip_value == 0.25


def test_a_plain_data_loader():
    estimator = tiny(iterator_train=DataLoader, batch_size=50).fit(X, y)
    sizes = [batch["train_batch_size"] for batch in estimator.history_[0, "batches"]]
    assert sizes == [50, 50, 20]
    assert not same(weights(estimator), weights(tiny(batch_size=50, iterator_train=DataLoader,
                                                     iterator_train__shuffle=False).fit(X, y)))


def test_workers():
    plain = tiny(batch_size=50).fit(X, y)
    assert plain.score(X, y) == tiny(batch_size=50, iterator_train__num_workers=0).fit(X, y).score(X, y)
    assert len(tiny(batch_size=50, max_epochs=1, iterator_train__num_workers=1).fit(X, y).history_) == 1


def test_optimizers():
    estimator = tiny(optimizer=torch.optim.SGD, optimizer__momentum=0.9).fit(X, y)
    assert type(estimator.net_.optimizer_) is torch.optim.SGD
    assert estimator.net_.optimizer_.defaults["momentum"] == 0.9


def test_compile_is_a_parameter():
    estimator = tiny(compile=True, compile__dynamic=True)
    assert clone(estimator).get_params()["compile"] is True and estimator.compile__dynamic is True


@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Linear(5, 3)),
    lambda: nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(dim=1)),
], ids=["linear end", "other end"])
def test_an_instance_is_not_mutated(make):
    torch.manual_seed(0)
    instance = make()
    before = copy.deepcopy(instance.state_dict())
    estimator = UnimodalTeacher(instance, max_epochs=2, device="cpu")
    for _ in range(2):
        estimator.fit(X, y)
    assert all(torch.equal(value, before[name]) for name, value in instance.state_dict().items())
    assert instance.training and estimator.predict(X).shape == (120,)


def test_a_module_without_a_linear_end_teaches_but_has_no_features():
    estimator = UnimodalTeacher(nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(dim=1)), max_epochs=2,
                                device="cpu").fit(X, y)
    assert estimator.teaching_logits(X).shape == (120, 3)
    assert not hasattr(estimator, "feature_bank_") and not hasattr(estimator, "head_")
    with pytest.raises(ValueError, match="does not end in a linear layer"):
        estimator.encode(X)


def test_verbose_prints_a_line_per_epoch(capsys):
    tiny().fit(X, y)
    assert capsys.readouterr().out == ""
    tiny(verbose=1, early_stopping=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert "train_loss" in lines[0] and "valid_loss" in lines[0] and "valid_acc" in lines[0]
    assert len(lines) == 2 + 3


# -------------------------------------------------------------------- what may go wrong

def test_a_diverging_loss_names_epoch_term_and_rate():
    with pytest.raises(FloatingPointError, match=r"In epoch \d+, at lr=1e\+38: The train loss "
                                                 r"became (nan|inf) \(term 'loss'\). Lower lr"):
        UnimodalTeacher(nn.Linear(6, 3), optimizer=torch.optim.SGD, lr=1e38, device="cpu").fit(X, y)


def test_an_interrupted_fit_does_not_pass_for_a_finished_one():
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    estimator = tiny(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert len(estimator.history_) == 2 and estimator.predict(X).shape == (120,)


def test_a_network_broken_by_its_last_step_does_not_predict():
    # its loss was finite before that step
    class Break(Callback):
        def on_train_end(self, net, **kwargs):
            for parameter in net.module_.parameters():
                parameter.data.fill_(np.nan)

    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        MultiTeacherDistiller(max_epochs=1, callbacks=[Break()], device="cpu").fit(X, y).predict(X)


@given(st.lists(st.integers(0, 119), min_size=1, max_size=40), st.sampled_from([-1, 1, 7, 128]))
@settings(deadline=None, max_examples=25)
def test_a_prediction_does_not_depend_on_its_company(rows, batch_size):
    fitted = fitted_once()
    whole = fitted.predict_proba(X)
    other = copy.copy(fitted).set_params(batch_size=batch_size)
    np.testing.assert_allclose(other.predict_proba(X[rows]), whole[rows], atol=1e-6)
    assert np.array_equal(other.predict(X[rows]), fitted.predict(X)[rows])


def fitted_once(cache=[]):  # noqa: B006
    if not cache:
        network = nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.Dropout(), nn.Linear(9, 3))
        cache.append(UnimodalTeacher(network, max_epochs=3, random_state=0, device="cpu").fit(X, y))
    return cache[0]


def test_pickling_keeps_everything():
    estimator = tiny(early_stopping=True, callbacks=[GradientNormClipping(1.0)]).fit(X, y)
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.predict_proba(X), estimator.predict_proba(X))
    assert again.history_[:, "train_loss"] == estimator.history_[:, "train_loss"]
    assert np.array_equal(again.feature_bank_, estimator.feature_bank_)
    again.set_params(warm_start=True, max_epochs=1).fit(X, y)
    assert len(again.history_) == 4


def test_a_prediction_does_not_change_the_pickled_state():
    estimator = tiny().fit(X, y)
    before = joblib.hash(estimator)
    estimator.predict(X)
    estimator.encode(X)
    assert joblib.hash(estimator) == before


def test_a_pickle_holds_the_network_once():
    """And only in the part of it that skorch reads where there is no GPU."""
    fitted = tiny().fit(X, y)
    state = fitted.net_.__getstate__()
    assert not any(value.state_dict() for value in state.values() if isinstance(value, nn.Module))
    again = pickle.loads(pickle.dumps(fitted))
    assert again.net_.module is again.net_.module_ and again.net_.criterion is again.net_.criterion_
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
