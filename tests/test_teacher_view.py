"""Teachers that see what the student sees: every kind of them, as it would be asked by hand."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import TensorDataset

from cmkdlearn.embedding import Embedder
from cmkdlearn.losses import KD, get_loss, kd
from cmkdlearn.preprocessing import ModalitySelector
from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import (
    PrecomputedTeacher,
    PretrainedTeacher,
    ProductOfExperts,
    TeacherEnsemble,
    UnimodalTeacher,
    WordNetRelaxedTeacher,
)

rng = np.random.default_rng(0)
IMAGES = rng.integers(256, size=(60, 8, 8, 3), dtype=np.uint8)  # channels last
y = np.arange(60) % 3
IMAGES[..., 0] = IMAGES[..., 0] // 2 + 60 * y[:, None, None].astype(np.uint8)
FEW = np.where(np.arange(60) % 4 == 0, -1, y)
NAMES = ["cat", "dog", "eel"]
SGD = {"max_epochs": 2, "lr": 0.05, "batch_size": 32, "device": "cpu", "random_state": 0,
       "optimizer": torch.optim.SGD}  # not Adam, which makes steps of the signs of tiny gradients


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2))
        self.head = nn.Linear(2 * width, 3)

    def forward(self, x):
        return self.head(self.body(x))


class Colours(Embedder):
    """An embedder of the library: colours at the left and at the right."""

    _n_features_out = 6

    def __init__(self, batch_size=20, memory=None):
        self.batch_size, self.memory = batch_size, memory
        self.input_type, self.device, self.verbose = None, "cpu", 0

    def _identity(self):
        return {}

    def _network(self, device):
        return self

    def encode_image(self, images):
        return torch.cat([images[..., :4].mean((2, 3)), images[..., 4:].mean((2, 3))], dim=1) - 0.4

    def encode_text(self, texts):
        draws = [np.random.default_rng(list(text.encode())).normal(size=6) for text in texts]
        return np.stack(draws).astype(np.float32)


class Stranger(BaseEstimator):
    """An embedder of somebody else's, which reads arrays in the layout that X has."""

    encode_text = Colours.encode_text

    def transform(self, X):
        assert isinstance(X, np.ndarray) and X.shape[1:] == (8, 8, 3) and X.dtype == np.uint8
        return Colours().transform(X)


class Corrected(UnimodalTeacher):
    """Says something else than its network does, and looks at the label for it."""

    def teaching_logits(self, X, y=None):
        logits = super().teaching_logits(X) / 2
        known = np.flatnonzero(y >= 0)
        logits[known, y[known]] += 3
        return logits


def network(cls=UnimodalTeacher, module=Net, **params):
    return cls(module, **{**SGD, **({"module__width": 6} if module is Net else {}), **params})


def reader(embedder, **params):
    return WordNetRelaxedTeacher(embedder, class_names=NAMES, nouns=[f"noun {i}" for i in range(30)],
                                 n_clusters=4, **{**SGD, **params})


def reds(X):
    assert X.shape[1:] == (8, 8, 3) and X.dtype == np.uint8
    return X[..., 0].reshape(len(X), -1) / 255


def flat(classifier):
    """A classifier of scikit-learn that would not stand another layout, dtype or number of axes."""
    return make_pipeline(FunctionTransformer(reds), classifier)


def trained_elsewhere():
    torch.manual_seed(0)
    return PretrainedTeacher(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)),
                             classes=[2, 0, 1], device="cpu")


TEACHERS = {
    "trained elsewhere": trained_elsewhere(),
    "network": network(),
    "ensemble": TeacherEnsemble([("a", network()), ("b", flat(LogisticRegression())), ("c", reader(Colours()))]),
    "product": ProductOfExperts([("a", network()), ("b", flat(LogisticRegression()))], cv=2),
    "scikit-learn": flat(LogisticRegression()),
    "overridden": network(Corrected),
    "wordnet": reader(Colours()),
    "names too": reader(Colours(), relaxed_proportion=0.5),
    "noise": reader(Colours(), relaxation="noise"),
    "text alone": reader(Colours(), use_image=False),
    "image alone": reader(Colours(), use_text=False),
    "another embedder": reader(Stranger(), relaxed_proportion=0.5),
}


def student(teachers=(), **params):
    return MultiTeacherDistiller(teachers, **{"module": Net, **SGD, **params})


def flip(batch):
    return batch.flip(3)


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.net_.module_.state_dict().values()])


def agree(one, other):
    torch.testing.assert_close(weights(one), weights(other), rtol=1e-4, atol=1e-6)


# -------------------------------------------------------------------- as by hand

@pytest.mark.parametrize("labels", [y, FEW], ids=["labelled", "partly"])
@pytest.mark.parametrize("name", TEACHERS)
def test_without_augmentation_it_is_the_clean_view(name, labels):
    teachers = [("t", TEACHERS[name]), ("bayes", flat(GaussianNB()))]
    clean, same = (student(teachers, teacher_weights=[2, 1], teacher_view=view, early_stopping=True)
                   .fit(IMAGES, labels) for view in ("clean", "same"))
    agree(same, clean)
    for row, expected in zip(same.history_, clean.history_, strict=True):
        assert row["train_kd_loss"] == pytest.approx(expected["train_kd_loss"], rel=1e-4)
        assert row["valid_kd_loss"] == pytest.approx(expected["valid_kd_loss"], rel=1e-4)
    assert not hasattr(same, "teacher_logits_") and clean.teacher_logits_.shape == (60, 3)


def test_a_validation_set_of_ones_own():
    teachers = [("t", network()), ("names", reader(Colours(), relaxed_proportion=0.5)), ("b", flat(GaussianNB()))]
    params = {"loss": get_loss("kd") + get_loss("rkd"), "early_stopping": True}
    clean, same = (student(teachers, teacher_view=view, **params).fit(IMAGES[:40], y[:40], X_val=IMAGES[40:], y_val=y[40:])
                   for view in ("clean", "same"))
    agree(same, clean)
    for row, expected in zip(same.history_, clean.history_, strict=True):
        assert row["valid_kd_loss"] == pytest.approx(expected["valid_kd_loss"], rel=1e-4)


def test_samples_that_weigh_more():
    weight = rng.integers(1, 4, size=60)
    params = {"batch_size": -1, "max_epochs": 3, "module": nn.Sequential(nn.Flatten(), nn.Linear(192, 3))}
    frozen = [("t", FrozenEstimator(network().fit(IMAGES, y)))]
    weighed = student(frozen, augmentation=flip, teacher_view="same", **params).fit(IMAGES, FEW, sample_weight=weight)
    again = np.repeat(np.arange(60), weight)
    repeated = student(frozen, augmentation=flip, teacher_view="same", **params).fit(IMAGES[again], FEW[again])
    agree(weighed, repeated)


@pytest.mark.parametrize("name", [*TEACHERS, "names only"])
def test_what_augmentation_does_to_the_student_it_does_to_the_teachers(name):
    """Flipping every batch is training on flipped images, which a frozen teacher is asked about."""
    teacher = TEACHERS[name] if name in TEACHERS else reader(Colours(), relaxed_proportion=0)
    frozen = [("t", FrozenEstimator(clone(teacher).fit(IMAGES, y)))]
    same = student(frozen, augmentation=flip, teacher_view="same", lambda_kd=4).fit(IMAGES, y)
    by_hand = student(frozen, lambda_kd=4).fit(np.ascontiguousarray(IMAGES[:, :, ::-1]), y)
    agree(same, by_hand)
    clean = student(frozen, augmentation=flip, lambda_kd=4).fit(IMAGES, y)
    assert not torch.allclose(weights(same), weights(clean), rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_flipped_batch_by_hand():
    a, b = (network(random_state=seed).fit(IMAGES, y) for seed in (1, 2))
    fitted = student([("a", FrozenEstimator(a)), ("b", FrozenEstimator(b))], teacher_weights=[1, 3], lr=0,
                     max_epochs=1, batch_size=-1, module=nn.Sequential(nn.Flatten(), nn.Linear(192, 3)),
                     augmentation=flip, teacher_view="same", temperature=2.0).fit(IMAGES, y)
    flipped = IMAGES[:, :, ::-1].copy()
    z_bar = 0.25 * a.teaching_logits(flipped) + 0.75 * b.teaching_logits(flipped)
    expected = kd(torch.from_numpy(fitted._run(flipped).logits), torch.from_numpy(z_bar), 2.0)
    assert fitted.history_[0]["train_kd_loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["kd", "dkd", "dist", "rkd", "fitnet", "crd", "c2kd", "norm", "review",
                                  get_loss("fitnet", hint=-1) + get_loss("rld")])
def test_features_and_maps_are_those_of_the_batch(loss):
    teachers = [("a", FrozenEstimator(network().fit(IMAGES, y))),
                ("b", FrozenEstimator(network(random_state=1).fit(IMAGES, y)))]
    same = student(teachers, augmentation=flip, teacher_view="same", loss=loss).fit(IMAGES, FEW)
    by_hand = student(teachers, loss=loss).fit(np.ascontiguousarray(IMAGES[:, :, ::-1]), FEW)
    # maps of the clean view are kept in half precision
    torch.testing.assert_close(weights(same), weights(by_hand), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TEACHERS)
def test_features_are_those_that_it_encodes(name):
    """Of a teacher that is shown class names, too: its features are those of relaxed text."""
    clean, same = (student([("t", TEACHERS[name])], teacher_view=view, loss=get_loss("kd") + get_loss("fitnet"))
                   .fit(IMAGES, FEW) for view in ("clean", "same"))
    agree(same, clean)


def test_what_a_loss_is_built_of_are_the_images_as_they_are():
    teachers = [("t", FrozenEstimator(network().fit(IMAGES, y)))]
    same, clean = (student(teachers, augmentation=flip, teacher_view=view, loss="wkd").fit(IMAGES, y)
                   for view in ("same", "clean"))
    assert not torch.equal(weights(same), weights(clean))
    for name, value in clean.net_.criterion_.state_dict().items():
        torch.testing.assert_close(same.net_.criterion_.state_dict()[name], value)


def test_random_augmentation_is_the_teachers_too():
    """The loss is worked out again from what a callback sees."""
    teacher = network().fit(IMAGES, y)

    class Watch(KD):
        seen = []

        def forward(self, student, teacher, y):
            self.seen.append(teacher.logits)
            return super().forward(student, teacher, y)

    class Keeps(Net):
        kept = []

        def forward(self, x):
            if self.training:
                self.kept.append(x)
            return super().forward(x)

    student([("t", FrozenEstimator(teacher))], module=Keeps, loss=Watch(), augmentation="strong",
            teacher_view="same", max_epochs=1).fit(IMAGES, y)
    images = torch.cat(Keeps.kept)[:60]  # bytes are scaled before the network
    asked = teacher.net_.module_.eval()(torch.cat([images]))
    torch.testing.assert_close(torch.cat(Watch.seen)[:60], asked.logits.detach(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(asked.logits.detach(), teacher.teaching_logits(IMAGES), atol=0.01)


# -------------------------------------------------------------------- teachers stay what they are

def test_teachers_are_neither_trained_nor_changed():
    teachers = {"net": network().fit(IMAGES, y), "text": reader(Colours()).fit(IMAGES, y)}
    for teacher in teachers.values():
        teacher.net_.module_.zero_grad()  # that of its own last batch
    before = {name: (joblib.hash(teacher), weights(teacher)) for name, teacher in teachers.items()}

    class Looks(Callback):
        def on_batch_end(self, net, **kwargs):
            assert not any(teacher.net_.module_.training for teacher in teachers.values())

    student([(name, FrozenEstimator(teacher)) for name, teacher in teachers.items()], callbacks=[Looks()],
            augmentation="weak", teacher_view="same", loss=get_loss("kd") + get_loss("rkd")).fit(IMAGES, y)
    for name, teacher in teachers.items():
        assert torch.equal(weights(teacher), before[name][1])
        assert all(p.grad is None for p in teacher.net_.module_.parameters())
        assert joblib.hash(teacher) == before[name][0]


def test_embeddings_of_augmented_images_are_not_kept(tmp_path):
    teachers = [("text", reader(Colours(memory=str(tmp_path))))]
    student(teachers).fit(IMAGES, y)
    before = sorted(tmp_path.rglob("*.npy"))
    student(teachers, augmentation="strong", teacher_view="same").fit(IMAGES, y)
    assert before and sorted(tmp_path.rglob("*.npy")) == before


def test_an_embedder_embeds_a_batch_as_it_embeds_an_array():
    as_tensor = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    for images in (as_tensor, as_tensor.float() / 255, as_tensor[:, :1]):
        before = images.clone()
        embedded = Colours().embed_batch(images)
        assert torch.equal(images, before) and not embedded.is_inference()
        np.testing.assert_allclose(embedded, Colours().transform(images.numpy()), atol=1e-7)
    with pytest.raises(ValueError, match="Floating-point images must lie in .* reaches to 255"):
        Colours().embed_batch(torch.full((1, 3, 8, 8), 255.0))
    with pytest.raises(ValueError, match=r"has shape \(n, 1, H, W\) or .*; this one has \(2, 8, 8, 3\)"):
        Colours().embed_batch(torch.zeros(2, 8, 8, 3))


# -------------------------------------------------------------------- as an estimator

MIXED = [("net", network()), ("linear", flat(LogisticRegression())), ("text", reader(Colours()))]


def test_the_same_seed_is_the_same_student_and_it_pickles():
    params = {"augmentation": "strong", "teacher_view": "same", "early_stopping": True}
    first, second = (student(MIXED, **params).fit(IMAGES, FEW) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(IMAGES), first.predict_proba(IMAGES))
    assert torch.equal(weights(again.fit(IMAGES, FEW)), weights(first))
    assert clone(first).teacher_view == "same"
    assert torch.equal(weights(clone(first).fit(IMAGES, FEW)), weights(first))


class Sends(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.sent = None  # not the one of the epoch before
        net.sent = pickle.dumps(net.method)


def test_strings_without_labels_are_what_they_are_as_numbers():
    """Also to a teacher that is asked by arrays, and reads the labels."""
    class Names(Corrected):
        def teaching_logits(self, X, y=None):
            codes = np.array([-1 if label is None else NAMES.index(label) for label in y])
            return super().teaching_logits(X, codes)

    named = np.where(FEW >= 0, np.array(NAMES, dtype=object)[FEW], None)
    teachers = [[("t", network(cls)), ("text", reader(Colours(), relaxed_proportion=0.5))]
                for cls in (Names, Corrected)]
    agree(student(teachers[0], teacher_view="same").fit(IMAGES, named),
          student(teachers[1], teacher_view="same").fit(IMAGES, FEW))


def test_it_pickles_in_the_middle_of_training():
    fitted = student(MIXED, teacher_view="same", callbacks=[Sends()]).fit(IMAGES, y)
    assert np.array_equal(pickle.loads(fitted.net_.sent).predict(IMAGES), fitted.predict(IMAGES))


def test_warm_start_takes_up_another_view():
    frozen = [("t", FrozenEstimator(network().fit(IMAGES, y)))]
    warm = student(frozen, warm_start=True, augmentation=flip, max_epochs=1).fit(IMAGES, y)
    same = warm.set_params(teacher_view="same").fit(IMAGES, y)
    assert not hasattr(same, "teacher_logits_")
    flipped = np.ascontiguousarray(IMAGES[:, :, ::-1])
    by_hand = student(frozen, warm_start=True, augmentation=flip, max_epochs=1).fit(IMAGES, y)
    by_hand.set_params(augmentation=None).fit(flipped, y)
    agree(same, by_hand)
    assert by_hand.set_params(teachers=()).fit(flipped, y).teachers_ == []
    assert not hasattr(by_hand, "teacher_logits_")


def test_what_is_shown_is_forgotten_and_a_failed_fit_leaves_nothing():
    fitted = student(MIXED, teacher_view="same").fit(IMAGES, y)
    assert "_view" not in vars(fitted)
    before = weights(fitted)
    with pytest.raises(FloatingPointError):
        fitted.set_params(lr=1e30, optimizer__weight_decay=1e30).fit(IMAGES, y)
    assert "_view" not in vars(fitted) and torch.equal(weights(fitted), before)


def test_a_grid_over_the_view_fits_teachers_once_a_fold(tmp_path, monkeypatch):
    fits, fit = [], UnimodalTeacher.fit
    monkeypatch.setattr(UnimodalTeacher, "fit", lambda self, X, y: fits.append(1) or fit(self, X, y))
    search = GridSearchCV(student([("t", network())], augmentation="weak", memory=tmp_path),
                          {"teacher_view": ["clean", "same"], "lambda_kd": [0.5, 1]}, cv=2, refit=False)
    assert np.isfinite(search.fit(IMAGES, y).cv_results_["mean_test_score"]).all()
    assert len(fits) == 2


def test_a_batch_too_large_is_read_in_parts():
    class Small(nn.Module):
        def __init__(self, most):
            super().__init__()
            self.most, self.head = most, nn.Linear(192, 3)

        def forward(self, x):
            if self.most and len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return self.head(x.flatten(1))

    torch.manual_seed(0)
    teachers = [("t", network()), ("names", reader(Colours(), relaxed_proportion=0.5))]
    params = {"augmentation": flip, "teacher_view": "same", "early_stopping": True}
    small = Small(None)
    whole = student(teachers, module=small, **params).fit(IMAGES, FEW)
    small.most = 9
    with pytest.warns(UserWarning, match="too small for a batch of"):
        halved = student(teachers, module=small, **params).fit(IMAGES, FEW)
    agree(halved, whole)


# -------------------------------------------------------------------- what X may be

def test_units_layouts_and_names_are_the_teachers_own():
    """A teacher of bytes teaches a student of numbers in [0, 1], or up to 255, and so on."""
    flipped = np.ascontiguousarray(IMAGES[:, :, ::-1])
    units = {"bytes": np.uint8, "unit": lambda X: (X / 255).astype(np.float32), "to 255": np.float32}
    for theirs in units.values():
        frozen = [("t", FrozenEstimator(network().fit(theirs(IMAGES), y)))]
        for ours in units.values():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="X holds images up to")
                same = student(frozen, augmentation=flip, teacher_view="same").fit(ours(IMAGES), y)
                agree(same, student(frozen).fit(ours(flipped), y))


def test_warm_start_with_images_of_another_unit():
    frozen = [("t", FrozenEstimator(network().fit(IMAGES / 255, y)))]
    for first, then in ((IMAGES, IMAGES / 255), (IMAGES / 255, IMAGES)):
        same, clean = (student(frozen, warm_start=True, teacher_view=view).fit(first, y).fit(then, y)
                       for view in ("same", "clean"))
        agree(same, clean)
    arrays = student(warm_start=True, teacher_view="same").fit(IMAGES / 255, y)
    with pytest.raises(ValueError, match="'t' cannot be shown .* in another unit than in the first fit. Use"):
        arrays.set_params(teachers=[("t", flat(GaussianNB()))]).fit(IMAGES, y)


@pytest.mark.parametrize("shape", [(60, 8, 8), (60, 1, 8, 8), (60, 3, 8, 8), (60, 8, 8, 3)])
def test_classifiers_read_the_layout_that_x_has(shape):
    X, seen = rng.integers(256, size=shape).astype(np.int64), []

    def columns(X):
        seen.append((X.shape[1:], X.dtype))
        return X.reshape(len(X), -1)

    teachers = [("t", make_pipeline(FunctionTransformer(columns), GaussianNB()))]
    module = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape[1:])), 3))
    same, clean = (student(teachers, module=module, input_type="image" if len(shape) == 3 else None,
                           teacher_view=view).fit(X, y) for view in ("same", "clean"))
    agree(same, clean)
    assert set(seen) == {(shape[1:], np.dtype(np.int64))}


def test_tables_of_modalities_and_frames():
    table = pd.DataFrame(rng.normal(size=(60, 4)), columns=list("abcd"))
    table["e"] = np.arange(60) % 5  # whole numbers beside
    params = {"module": "auto", "module__hidden": (4,)}
    teachers = [("net", UnimodalTeacher(**{**SGD, "module__hidden": (8,)})), ("linear", LogisticRegression())]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # feature names are kept
        agree(*(student(teachers, teacher_view=view, **params).fit(table, y) for view in ("same", "clean")))
    both = SliceDict(table=table.to_numpy(), image=IMAGES)
    teachers = [("net", UnimodalTeacher(modality="table", **{**SGD, "module__hidden": (8,)})),
                ("linear", LogisticRegression()), ("picks", make_pipeline(ModalitySelector("table"), GaussianNB()))]
    agree(*(student(teachers, modality="table", teacher_view=view, **params).fit(both, y)
            for view in ("same", "clean")))
    for columns in ([0, 2], slice(0, 3)):
        teachers = [("net", UnimodalTeacher(modality=columns, **{**SGD, "module__hidden": (8,)}))]
        agree(*(student(teachers, modality=columns, teacher_view=view, **params).fit(both["table"], y)
                for view in ("same", "clean")))


def test_data_that_are_not_in_memory(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    expected = student(MIXED, teacher_view="same").fit(IMAGES, y)
    agree(student(MIXED, teacher_view="same").fit(mapped, y), expected)
    net = [("net", FrozenEstimator(network().fit(IMAGES, y)))]
    dataset = TensorDataset(torch.from_numpy(IMAGES).permute(0, 3, 1, 2), torch.from_numpy(y))
    agree(student(net, teacher_view="same", augmentation=flip).fit(dataset, None),
          student(net, teacher_view="same", augmentation=flip).fit(IMAGES, y))


# -------------------------------------------------------------------- what cannot be

class Untouched(ClassifierMixin, BaseEstimator):
    """Fails a test that fits a teacher before it has found its input to be bad."""

    def fit(self, X, y):
        raise AssertionError("a teacher was fitted")

    def predict_proba(self, X):
        raise AssertionError("a teacher was asked")


BOTH = SliceDict(image=IMAGES, sound=IMAGES[:, :, 0].reshape(60, -1).astype(float), id=np.arange(60))


@pytest.mark.parametrize(("teachers", "params", "X", "message"), [
    ([("t", Untouched())], {"teacher_view": "dirty"}, IMAGES, "teacher_view='dirty' is unknown. Use 'clean' or 'same'"),
    ([("t", Untouched())], {"cv": 3}, IMAGES, "cv=3 teaches by logits that are worked out once"),
    ([("first", Untouched()), ("ears", network(modality="sound"))], {"modality": "image"}, BOTH,
     "modality='image', but teacher 'ears' reads modality='sound'. Use teacher_view='clean', or leave"),
    ([("first", Untouched()), ("both", TeacherEnsemble([("eyes", network(modality="image")),
                                                        ("ears", network(modality="sound"))]))],
     {"modality": "image"}, BOTH, "teacher 'both/ears' reads modality='sound'"),
    ([("first", Untouched()), ("t", UnimodalTeacher(modality=[2, 3]))], {"modality": [0, 1]}, BOTH["sound"],
     r"modality=\[0, 1\], but teacher 't' reads modality=\[2, 3\]"),
    ([("t", LogisticRegression(max_iter=1000))], {"modality": [0, 1], "module": "auto"}, BOTH["sound"],
     "Teacher 't' cannot be shown .* It reads all columns of X"),
    ([("t", make_pipeline(ModalitySelector("sound"), GaussianNB()))], {"modality": "image"}, BOTH,
     "(?s)Teacher 't' cannot be shown what the student sees. .*'sound'.* Use teacher_view='clean'"),
    ([("t", PrecomputedTeacher(rng.normal(size=(60, 3)), classes=range(3), modality="id"))], {"modality": "image"}, BOTH,
     "(?s)Teacher 't' cannot be shown what the student sees. .*'id'.* Use teacher_view='clean'"),
    ([("t", network(Corrected))], {"loss": "review"}, IMAGES, "'t' cannot be shown .* It has no feature maps of a batch"),
    ([("t", network(module=nn.Sequential(Net(), nn.Tanh())))],
     {"loss": "fitnet"}, IMAGES, "'t' cannot be shown .* no features: its network does not end in a linear layer"),
    ([("t", network(input_type="channels_last"))], {"input_type": "table", "module": "auto"}, IMAGES,
     r"It was fitted on a image of shape \(3, 8, 8\) per sample, but is to read a table"),
])
def test_it_is_refused_by_name(teachers, params, X, message):
    with pytest.raises(ValueError, match=message):
        student(teachers, **{"teacher_view": "same", **params}).fit(X, y)


def test_a_teacher_that_is_not_heard_need_not_see():
    teachers = [("eyes", network(modality="image")), ("ears", UnimodalTeacher(modality="sound", max_epochs=1))]
    fitted = student(teachers, teacher_weights=[1, 0], modality="image", teacher_view="same").fit(BOTH, y)
    agree(fitted, student(teachers, teacher_weights=[1, 0], modality="image").fit(BOTH, y))
    agree(student(teacher_view="same").fit(IMAGES, y), student().fit(IMAGES, y))
