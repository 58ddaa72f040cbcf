"""Data that do not fit in memory: memory-mapped arrays and Datasets."""

import pickle
import re
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from cmkdlearn.embedding import Embedder
from cmkdlearn.io import load, save
from cmkdlearn.nn import lazy
from cmkdlearn.nn.lazy import LazyDataset, LazyMap
from cmkdlearn.nn.samples import take
from cmkdlearn.students import (
    DistilledRegressor,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher, WordNetRelaxedTeacher

RNG = np.random.default_rng(0)
N = 129  # batches of 32 leave a single sample
TABLE = RNG.normal(size=(N, 6)).astype(np.float32)
OTHER = RNG.normal(size=(N, 4)).astype(np.float32)
IMAGES = RNG.integers(0, 256, size=(N, 6, 7, 3), dtype=np.uint8)
SEQUENCES = RNG.normal(size=(N, 5, 3)).astype(np.float32)
y = np.arange(N) % 3
TRAINING = {"max_epochs": 2, "batch_size": 32, "random_state": 0, "device": "cpu"}


class Items(Dataset):
    """Gives the items of a list, whatever they are."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


class Broken(Items):
    def __getitem__(self, i):
        if i == 40:
            raise OSError("the file is gone")
        return super().__getitem__(i)


class HuggingFaceLike:
    """What the Datasets of Hugging Face have, as far as it matters here."""

    column_names = ["image", "table", "label"]
    features = {}
    shape = (N, 3)

    def __len__(self):
        return N

    def __getitem__(self, i):
        return {"image": IMAGES[i], "table": TABLE[i].tolist(), "label": int(y[i])}


def mapped(tmp_path, array, mode="r"):
    np.save(tmp_path / "mapped.npy", array)
    return np.load(tmp_path / "mapped.npy", mmap_mode=mode)


def same_fit(estimator, reference):
    """Tell whether two nets went through the same training, bit for bit."""
    weights = zip(estimator.net_.module_.state_dict().values(),
                  reference.net_.module_.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in weights) \
        and estimator.history_[:, "train_loss"] == reference.history_[:, "train_loss"]


class Flat(torch.nn.Sequential):
    def __init__(self, n_inputs):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(n_inputs, 8), torch.nn.ReLU(),
                         torch.nn.Linear(8, 3))


def flat(X, **params):
    return UnimodalTeacher(Flat, module__n_inputs=X[0].size, **TRAINING, **params)


# -------------------------------------------------------------------- the same results

@pytest.mark.parametrize("X", [
    TABLE, TABLE.astype(np.float64), TABLE.astype(np.float16), np.asfortranarray(TABLE),
    np.rint(TABLE * 9).astype(np.int16), SEQUENCES, TABLE.astype(">f4"),
], ids=["float", "double", "half", "fortran", "integers", "sequences", "big-endian"])
def test_an_array_a_memory_map_and_a_dataset_train_the_same_network(tmp_path, X):
    reference = UnimodalTeacher(**TRAINING).fit(X, y)
    for other in (mapped(tmp_path, X), Items(list(X))):
        with np.testing.assert_no_warnings():
            estimator = UnimodalTeacher(**TRAINING).fit(other, y)
        assert same_fit(estimator, reference)
        for method in ("predict", "predict_proba", "decision_function", "encode"):
            assert np.array_equal(getattr(estimator, method)(other), getattr(reference, method)(X))
        assert np.array_equal(estimator.feature_bank_, reference.feature_bank_)
        assert estimator.n_features_in_ == reference.n_features_in_


@pytest.mark.parametrize("layout", [lambda X: X, lambda X: np.moveaxis(X, -1, 1).copy(),
                                    lambda X: X / np.float32(255), lambda X: X[..., 0].copy()],
                         ids=["bytes", "channels first", "floats", "grey"])
@pytest.mark.parametrize("augmentation", [None, "weak"])
def test_images_train_the_same_network(tmp_path, layout, augmentation):
    X = layout(IMAGES)
    params = {"augmentation": augmentation, "input_type": "image"}
    reference = flat(X, **params).fit(X, y)
    for other in (mapped(tmp_path, X), Items(list(X)), TensorDataset(torch.from_numpy(X))):
        estimator = flat(X, **params).fit(other, y)
        assert same_fit(estimator, reference)
        assert np.array_equal(estimator.decision_function(other), reference.decision_function(X))


def test_parts_of_memory_maps(tmp_path):
    whole = mapped(tmp_path, TABLE)
    for part in (whole[10:100], whole[::-2], whole[:, 1:4]):
        estimator = UnimodalTeacher(**TRAINING).fit(part, y[:len(part)])
        reference = UnimodalTeacher(**TRAINING).fit(part.copy(), y[:len(part)])
        assert same_fit(estimator, reference)
    columns = [4, 0]
    estimator = UnimodalTeacher(modality=columns, **TRAINING).fit(whole, y)
    assert same_fit(estimator, UnimodalTeacher(**TRAINING).fit(TABLE[:, columns], y))
    with pytest.raises(ValueError, match=re.escape("modality=[9] reads columns")):
        UnimodalTeacher(modality=[9], **TRAINING).fit(whole, y)


def test_early_stopping_sets_the_same_samples_aside(tmp_path):
    params = {**TRAINING, "early_stopping": True, "max_epochs": 4}
    reference = UnimodalTeacher(**params).fit(TABLE, y)
    for other in (mapped(tmp_path, TABLE), Items(list(TABLE))):
        estimator = UnimodalTeacher(**params).fit(other, y)
        assert same_fit(estimator, reference)
        assert estimator.history_[:, "valid_loss"] == reference.history_[:, "valid_loss"]


@pytest.mark.parametrize("make", [Items, lambda items: Subset(Items(items), range(N))])
def test_workers_change_nothing_but_time(make):
    reference = UnimodalTeacher(**TRAINING).fit(TABLE, y)
    estimator = UnimodalTeacher(**TRAINING, iterator_train__num_workers=1,
                                iterator_train__prefetch_factor=3)
    pairs = make(list(zip(TABLE, y, strict=True)))
    assert same_fit(estimator.fit(pairs, None), reference)
    assert np.array_equal(estimator.predict_proba(pairs), reference.predict_proba(TABLE))


def test_the_labels_of_the_pairs(tmp_path):
    names = np.array(["cat", "dog", "ship"])[y]
    reference = UnimodalTeacher(**TRAINING).fit(TABLE, names)
    for labels in (names, names.tolist()):
        pairs = Items(list(zip(TABLE, labels, strict=True)))
        assert same_fit(UnimodalTeacher(**TRAINING).fit(pairs, None), reference)
        assert same_fit(UnimodalTeacher(**TRAINING).fit(pairs, names), reference)
    tensors = TensorDataset(torch.from_numpy(TABLE), torch.from_numpy(y))
    assert same_fit(UnimodalTeacher(**TRAINING).fit(tensors, None), reference)
    half = np.where(np.arange(N) < 60, y, -1)
    student = MultiTeacherDistiller(**TRAINING).fit(tensors, half)  # the rest counts as unlabelled
    assert same_fit(student, MultiTeacherDistiller(**TRAINING).fit(TABLE, half))


# -------------------------------------------------------------------- teachers and students

STUDENTS = {
    "distilled": MultiTeacherDistiller([("teacher", UnimodalTeacher(max_epochs=2))], **TRAINING),
    "out of fold": MultiTeacherDistiller([("teacher", UnimodalTeacher(max_epochs=1))], cv=2,
                                         early_stopping=True, **TRAINING),
    "features": MultiTeacherDistiller([("teacher", UnimodalTeacher(max_epochs=1))], loss="fitnet",
                                      **TRAINING),
    "ensemble": MultiTeacherDistiller([("teacher", TeacherEnsemble(
        [("a", UnimodalTeacher(max_epochs=1))]))], **TRAINING),
    "unpaired": UCMKDStudent(UnimodalTeacher(max_epochs=1, random_state=0), **TRAINING),
    "feedback": FFKDDistiller(UnimodalTeacher(max_epochs=1), **TRAINING),
    "experts": LFMEDistiller(expert=UnimodalTeacher(max_epochs=1), shots=(43, 43), **TRAINING),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_students_and_their_teachers_read_the_same(tmp_path, name):
    reference = clone(STUDENTS[name]).fit(TABLE, y)
    for other in (mapped(tmp_path, TABLE), Items(list(TABLE))):
        student = clone(STUDENTS[name]).fit(other, y)
        assert same_fit(student, reference)
        assert np.array_equal(student.predict_proba(other), reference.predict_proba(TABLE))
        if hasattr(reference, "teacher_logits_"):
            assert np.array_equal(student.teacher_logits_, reference.teacher_logits_)


def test_unlabelled_samples_of_a_map_are_not_copied_for_the_teacher(tmp_path):
    half = np.where(np.arange(N) % 2, y, -1)
    student = MultiTeacherDistiller([("teacher", UnimodalTeacher(max_epochs=1))], **TRAINING)
    reference = student.fit(TABLE, half).predict_proba(TABLE)
    for other in (mapped(tmp_path, TABLE), Items(list(TABLE))):
        assert np.array_equal(student.fit(other, half).predict_proba(other), reference)


def test_a_teacher_runs_once_over_a_dataset():
    reads = []

    class Counting(Items):
        def __getitem__(self, i):
            reads.append(i)
            return super().__getitem__(i)

    data = Counting(list(TABLE))
    teacher = UnimodalTeacher(**TRAINING).fit(TABLE, y)
    student = MultiTeacherDistiller([("teacher", FrozenEstimator(teacher))], **TRAINING)
    student.fit(data, y)
    # for the teacher's logits, for the mean, for the standard deviation, and in each epoch
    assert reads.count(77) == 1 + 2 + TRAINING["max_epochs"]


def test_a_regressor(tmp_path):
    target = TABLE @ np.arange(6.0)
    estimator = DistilledRegressor([("teacher", DistilledRegressor(max_epochs=1))], **TRAINING)
    reference = estimator.fit(TABLE, target).predict(TABLE)
    pairs = Items(list(zip(TABLE, target, strict=True)))
    for other, given in ((mapped(tmp_path, TABLE), target), (pairs, None), (pairs, target)):
        assert np.array_equal(estimator.fit(other, given).predict(other), reference)


def test_items_that_are_dicts_hold_several_modalities(tmp_path):
    items = [{"table": a, "other": b} for a, b in zip(TABLE, OTHER, strict=True)]
    student = MultiTeacherDistiller([("teacher", UnimodalTeacher(modality="other", max_epochs=1))],
                                    modality="table", **TRAINING)
    reference = student.fit({"table": TABLE, "other": OTHER}, y).predict_proba({"table": TABLE})
    for X in (Items(items), Items([(item, label) for item, label in zip(items, y, strict=True)]),
              {"table": Items(list(TABLE)), "other": mapped(tmp_path, OTHER)}):
        student.fit(X, y)
        assert np.array_equal(student.predict_proba(X), reference)
    assert np.array_equal(student.predict_proba(Items(list(TABLE))), reference)  # that alone will do
    fusion = FusionClassifier(modalities=("table", "other"), **TRAINING)
    expected = fusion.fit({"table": TABLE, "other": OTHER}, y).predict_proba(
        {"table": TABLE, "other": OTHER})
    assert np.array_equal(fusion.fit(Items(items), y).predict_proba(Items(items)), expected)


def test_a_column_of_a_dataset_of_hugging_face():
    data = HuggingFaceLike()
    table = UnimodalTeacher(modality="table", **TRAINING).fit(data, y)
    assert same_fit(table, UnimodalTeacher(**TRAINING).fit(TABLE, y))
    images = flat(IMAGES, modality="image").fit(data, y)
    assert np.array_equal(images.predict_proba(data), flat(IMAGES).fit(IMAGES, y).predict_proba(IMAGES))
    with pytest.raises(ValueError, match=r"HuggingFaceLike, hold \['image', 'table', 'label'\]"):
        UnimodalTeacher().fit(data, y)
    with pytest.raises(ValueError, match="modality='tables' is unknown. Did you mean 'table'"):
        UnimodalTeacher(modality="tables").fit(data, y)


def test_a_classifier_of_scikit_learn_teaches_from_a_map_and_refuses_a_dataset(tmp_path):
    student = MultiTeacherDistiller([("logistic", LogisticRegression())], cv=2, **TRAINING)
    reference = student.fit(TABLE, y).predict_proba(TABLE)
    other = mapped(tmp_path, TABLE)
    assert np.array_equal(student.fit(other, y).predict_proba(other), reference)
    with pytest.raises(TypeError, match="LogisticRegression.* reads arrays, and X is a Items"):
        student.fit(Items(list(TABLE)), y)


def test_a_teacher_with_an_embedder(tmp_path):
    teacher = WordNetRelaxedTeacher(Averages(), use_text=False, **TRAINING)
    reference = teacher.fit(IMAGES, y).predict_proba(IMAGES)
    for X in (mapped(tmp_path, IMAGES), Items(list(IMAGES))):
        assert np.array_equal(teacher.fit(X, y).predict_proba(X), reference)


def test_a_net_with_workers_is_saved_and_loaded(tmp_path):
    teacher = UnimodalTeacher(**TRAINING, early_stopping=True, iterator_train__num_workers=1)
    teacher.fit(Items(list(TABLE)), y)
    save(teacher, tmp_path / "teacher.safetensors")
    again = load(tmp_path / "teacher.safetensors")
    assert np.array_equal(again.predict_proba(TABLE), teacher.predict_proba(TABLE))


def test_take_leaves_unread(tmp_path):
    index = np.array([5, 2, 2])
    part = take(mapped(tmp_path, TABLE), index)
    assert np.array_equal(np.asarray(take(part, [1, 0])), TABLE[[2, 5]])
    assert np.array_equal(take(part, np.array([True, False, True]))[:], TABLE[[5, 2]])
    reads = Items([None] * N)
    assert take(reads, index).indices == [5, 2, 2]


# -------------------------------------------------------------------- bad input

def fails(X, labels=y, **params):
    return UnimodalTeacher(**{**TRAINING, **params}).fit(X, labels)


class Stream(IterableDataset):
    def __iter__(self):
        yield from TABLE


class Counted(Stream):
    def __len__(self):
        return N


class Unending(Dataset):
    def __getitem__(self, i):
        return TABLE[i % N]


@pytest.mark.parametrize("X, error, message", [
    (Stream(), TypeError, "Stream, an iterable Dataset: .*Give a Dataset with __len__"),
    (Counted(), TypeError, "Counted, an iterable Dataset"),
    (SimpleNamespace(column_names=["x"], features={}), TypeError, "an iterable Dataset"),
    (Unending(), TypeError, "Unending, a Dataset of unknown length.*memory-mapped array"),
    (Items([]), ValueError, "Items of length 0"),
    (Broken(list(TABLE)), RuntimeError, "Item 40 of X, a Broken, .*OSError: the file is gone"),
    (Subset(Broken(list(TABLE)), [40, *range(1, N)]), RuntimeError, "Item 40 of X, a Broken"),
    (Items([*TABLE[:9], TABLE[9, :5], *TABLE[10:]]), ValueError,
     r"Item 9 of X, a Items, holds float32 of shape \(5,\), the first one float32 of shape \(6,\)"),
    (Items([*IMAGES[:9], IMAGES[9] / 255, *IMAGES[10:]]), ValueError, "Item 9 .* float64 .* uint8"),
    (Items([*TABLE[:9], np.full(6, np.nan), *TABLE[10:]]), ValueError, "Item 9 .* contains NaN"),
    (Items([*TABLE[:9], np.full(6, -np.inf), *TABLE[10:]]), ValueError, "Item 9 .*infinity"),
    (Items([*TABLE[:9], np.full(6, 1e300), *TABLE[10:]]), ValueError, "Item 9 .* too large"),
    (Items([(row, 0, 1) for row in TABLE]), RuntimeError, "Item 0 .* a tuple of 3"),
    (Items([*TABLE[:9], None, *TABLE[10:]]), ValueError, "Item 9 .* object of shape"),
    (Items(list(TABLE[:100])), ValueError, r"inconsistent numbers of samples: \[100, 129\]"),
    (Items(list(zip(TABLE, y[::-1], strict=True))), ValueError,
     "Item 0 of X, a Items, has the label 2, but y has 0 there. Pass y=None"),
], ids=["stream", "stream with a length", "stream of Hugging Face", "no length", "empty", "raises",
        "raises in a part", "other shape", "other dtype", "NaN", "infinity", "beyond float32",
        "three to a tuple", "no array", "fewer than y", "other labels"])
def test_each_bad_dataset_gets_one_clear_error(X, error, message):
    with pytest.raises(error, match=message):
        fails(X)


def test_a_worker_says_which_item():
    with pytest.raises(RuntimeError, match="Item 40 of X, a Broken, .*OSError: the file is gone"):
        fails(Broken(list(TABLE)), iterator_train__num_workers=1)


def test_a_bad_item_is_named_to_predict_too(tmp_path):
    fitted = fails(TABLE)
    with pytest.raises(RuntimeError, match="Item 40 of X, a Broken"):
        fitted.predict(Broken(list(TABLE)))
    with pytest.raises(ValueError, match="6 features"):
        fitted.predict(Items(list(OTHER)))
    broken = TABLE.copy()
    broken[77, 3] = np.inf
    with pytest.raises(ValueError, match="X contains infinity.* sample 77 of the memory-mapped"):
        fitted.predict(mapped(tmp_path, broken))


def test_a_dataset_without_labels_needs_y():
    with pytest.raises(ValueError, match="requires y to be passed"):
        fails(Items(list(TABLE)), None)


@pytest.mark.parametrize("bad, word", [(np.nan, "NaN"), (np.inf, "infinity"), (1e300, "too large")])
def test_a_memory_map_is_looked_through_in_chunks_before_any_work(tmp_path, monkeypatch, bad, word):
    monkeypatch.setattr(lazy, "CHUNK", 60)
    broken = TABLE.astype(np.float64)
    broken[77, 3] = bad
    monkeypatch.setattr(UnimodalTeacher, "_build", None)
    with pytest.raises(ValueError, match=f"{word}.* first in sample 77 of the memory-mapped"):
        fails(mapped(tmp_path, broken))


# -------------------------------------------------------------------- memory

def test_a_map_is_sent_to_a_worker_by_its_name(tmp_path):
    X = np.arange(40_000, dtype=np.float32).reshape(200, 200)
    with open(tmp_path / "raw", "wb") as file:
        file.write(b"heading" * 999)
        file.write(X.tobytes())
    whole = np.memmap(tmp_path / "raw", np.float32, "r", 6993, X.shape)
    for part, rows in ((whole, X), (whole[7::3], X[7::3]), (whole[::-1], X[::-1])):
        samples = UnimodalTeacher()._read(part, reset=True)["X"]
        sent = pickle.dumps(samples)
        assert len(sent) < 1000 and np.array_equal(pickle.loads(sent).numpy(), rows)
        few = samples.subset(torch.tensor([9, 4]))
        assert np.array_equal(pickle.loads(pickle.dumps(few)).numpy(), rows[[9, 4]])


def test_changes_to_a_map_in_mode_c_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("cmkdlearn.nn.lazy.MAPPED_AT_MOST", 1)
    changed = mapped(tmp_path, TABLE, mode="c")
    changed[:] = OTHER[:, :1]
    samples = UnimodalTeacher()._read(changed, reset=True)["X"]
    assert isinstance(samples, LazyMap)
    for again in (samples, pickle.loads(pickle.dumps(samples))):
        assert np.array_equal(again.numpy(), np.repeat(OTHER[:, :1], 6, axis=1))
    assert np.array_equal(changed, np.repeat(OTHER[:, :1], 6, axis=1))


def test_changes_to_a_map_in_mode_r_plus_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("cmkdlearn.nn.lazy.MAPPED_AT_MOST", 1)
    changed = mapped(tmp_path, TABLE, mode="r+")
    changed[:] = OTHER[:, :1]
    fitted = fails(changed)
    assert np.array_equal(changed, np.repeat(OTHER[:, :1], 6, axis=1))
    assert same_fit(fitted, fails(np.repeat(OTHER[:, :1], 6, axis=1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_fit_and_predict_never_hold_a_whole_map(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(lazy, "CHUNK", 2**18)
    X = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", dtype, (2000, 64, 64))
    X[::50] = 1
    labels = np.arange(2000) % 3
    teacher = UnimodalTeacher(Flat, module__n_inputs=4096, input_type="image", max_epochs=1,
                              batch_size=25)
    teacher.fit(X[:100], labels[:100])  # what is imported at first use is not counted
    tracemalloc.start()
    try:
        teacher.fit(X, labels).predict(X)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2000 * 64 * 64 / 2  # half a byte a number; NumPy's copies are traced


RESIDENT = """
import sys
import numpy as np
from cmkdlearn.nn import lazy

def of_files():
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("RssFile")).split()[1])

X, first = np.load(sys.argv[1], mmap_mode="r"), np.ones((1, 2**16), np.uint8)
lazy.MAPPED_AT_MOST = 2**22
# The libraries' own code is in files too: let it be read before the measurement.
few = np.lib.format.open_memmap(sys.argv[1] + ".few", "w+", np.uint8, (16, 2**16))
assert sum(int(part.sum()) for part in lazy.LazyMap(few, "table", first, first, {}).split(16)) == 0
samples, before = lazy.LazyMap(X, "table", first, first, {}), of_files()
assert sum(int(part.sum()) for part in samples.split(16)) == X.size
print(of_files() - before)
X.sum()
print(of_files() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is resident")
def test_pages_of_a_file_do_not_stay_in_the_process(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((320, 2**16), np.uint8))
    ours, plain = subprocess.run([sys.executable, "-c", RESIDENT, tmp_path / "X.npy"],
                                 capture_output=True, text=True, check=True).stdout.split()
    assert int(ours) < 8_000 < 20_000 < int(plain)  # kB, of 20,480


# -------------------------------------------------------------------- embeddings

class Averages(Embedder):
    """Embeds images by their mean colours; counts the images."""

    _n_features_out = 3

    def __init__(self, *, input_type=None, batch_size=32, device="cpu", memory=None, verbose=False,
                 fail_after=None):
        self.input_type = input_type
        self.batch_size = batch_size
        self.device = device
        self.memory = memory
        self.verbose = verbose
        self.fail_after = fail_after

    seen = []

    def _identity(self):
        return {}

    def _network(self, device):
        return self

    def encode_image(self, images):
        if self.fail_after is not None and sum(self.seen) >= self.fail_after:
            raise KeyboardInterrupt
        self.seen.append(len(images))
        return images.mean((2, 3)) + 0.1


@pytest.fixture(autouse=True)
def _count_anew():
    Averages.seen.clear()


@pytest.fixture(scope="module")
def many():
    return np.random.default_rng(0).integers(0, 256, (2100, 6, 5, 3), dtype=np.uint8)


def test_embeddings_of_maps_and_datasets(tmp_path, many):
    for X in (many, many / np.float32(255), many[..., 0]):
        V = Averages().transform(X)
        for other in (mapped(tmp_path, X), Items(list(X)), Items([(image, 0) for image in X])):
            assert np.array_equal(Averages().transform(other), V)


def test_interrupted_embedding_goes_on_where_it_stopped(tmp_path, many):
    with pytest.raises(KeyboardInterrupt):
        Averages(memory=tmp_path / "cache", fail_after=1500).transform(many)
    done = sum(Averages.seen)
    V = Averages(memory=tmp_path / "cache").transform(mapped(tmp_path, many))
    assert sum(Averages.seen) == done + 2100 - 1024  # the first chunk is not embedded again
    Averages.seen.clear()
    for again in (many, Items(list(many))):
        assert np.array_equal(Averages(memory=tmp_path / "cache").transform(again), V)
    assert not Averages.seen
    assert np.array_equal(V, Averages().transform(many))


def test_more_images_embed_only_what_is_new(tmp_path, many):
    Averages(memory=tmp_path).transform(many[:2048])
    Averages.seen.clear()
    Averages(memory=tmp_path).transform(many)
    assert sum(Averages.seen) == 2100 - 2048


def test_large_images_come_in_smaller_chunks(monkeypatch, many):
    from cmkdlearn.embedding import _base
    V = Averages(batch_size=1000).transform(many)
    assert Averages.seen == [1000, 24, 1000, 24, 52]
    monkeypatch.setattr(_base, "CHUNK_BYTES", 90 * 200)
    Averages.seen.clear()
    assert np.array_equal(Averages(batch_size=1000).transform(many), V)
    assert max(Averages.seen) == 128


def test_progress_counts_what_was_kept(tmp_path, many, capsys):
    for _ in range(2):
        Averages(memory=tmp_path, verbose=True, batch_size=512).transform(many)
        assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize("X, error, message", [
    (Items([np.zeros((6, 5, 3))] * 3 + [np.full((6, 5, 3), 2.0)]), ValueError, "reaches to 2"),
    (Items([np.zeros((6, 5, 3)), np.full((6, 5, 3), np.nan)]), ValueError, "Item 1 .* NaN"),
    (Items([np.zeros((6, 5, 4), np.uint8)]), ValueError, "alpha channel"),
    (Items([{"image": IMAGES[0]}]), TypeError, "must be numbers"),
    (Broken(list(IMAGES)), RuntimeError, "Item 40 of X, a Broken"),
    (Stream(), TypeError, "iterable Dataset"),
], ids=["range", "NaN", "channels", "dict", "raises", "stream"])
def test_bad_images_of_a_dataset(X, error, message):
    with pytest.raises(error, match=message):
        Averages().transform(X)


def test_lazy_samples_look_like_their_tensor():
    like = TABLE[:1]
    samples = LazyDataset(Items(list(TABLE)), None, like, like, {})
    tensor = torch.from_numpy(TABLE)
    assert (samples.shape, samples.ndim, samples.dtype, samples.numel(), len(samples)) \
        == (tensor.shape, 2, torch.float32, tensor.numel(), N)
    for index in (slice(3, 7), torch.tensor([4, 4, 0]), [1], 5, slice(None, None, 50)):
        assert torch.equal(samples[index], tensor[index])
    few = samples.subset(torch.tensor([7, 3, 5]))
    assert torch.equal(few[1:], tensor[[3, 5]])
    assert torch.equal(few.subset(torch.tensor([2]))[0], tensor[5])
