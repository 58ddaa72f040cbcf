"""Networks that come trained, as teachers: asked as they are, and left as they are."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from packaging.version import Version
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.helper import SliceDict
from torch import nn
from torch.utils.data import TensorDataset

from cmkdlearn._hashing import content_hash
from cmkdlearn.base import as_teacher
from cmkdlearn.io import load, save
from cmkdlearn.model_selection import compare
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    FFKDDistiller,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import PretrainedTeacher, TeacherEnsemble, UnimodalTeacher

fast = {"max_epochs": 2, "random_state": 0, "device": "cpu"}
X, y = load_digits(return_X_y=True)
X, y = (X[:200] / 16).astype(np.float32), y[:200]
images = X.reshape(-1, 8, 8)
names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])


def network(seed=0, width=16, outputs=10):
    """Layers of all kinds that training and evaluation tell apart, with statistics of their own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5),
                            nn.Linear(width, outputs))
        net[1].running_mean.normal_()
    return net


def said(net, x=X):
    """What a network says in evaluation mode, worked out without the library."""
    with torch.no_grad():
        return copy.deepcopy(net).eval()(torch.from_numpy(x)).numpy()


def teacher(net=None, classes=range(10), **params):
    return PretrainedTeacher(network() if net is None else net, classes, device="cpu", **params)


def compiled(kind, net):
    """A program of a network; torch's news about TorchScript are not this test's affair."""
    x = torch.from_numpy(X[:5])
    if kind == "export":
        return torch.export.export(net.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "trace":
            return torch.jit.trace(net.eval(), x)
        return torch.jit.script(net) if kind == "script" else torch.jit.freeze(torch.jit.script(net.eval()))


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(1, 6, 3)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, 10, bias=False)

    def forward(self, x):
        return self.head(self.pool(self.body(x).relu()))


# -------------------------------------------------------------------- what it says

def test_it_says_what_the_network_says():
    net = network()
    t = teacher(net).fit(X, y)
    assert_allclose(t.teaching_logits(X), said(net), atol=1e-5)
    assert t.teaching_logits(X).dtype == np.float32
    assert_array_equal(t.decision_function(X), t.teaching_logits(X))
    assert_allclose(t.predict_proba(X), torch.from_numpy(said(net)).softmax(1), atol=1e-5)
    assert_array_equal(t.predict(X), said(net).argmax(1))
    assert t.score(X, y) == np.mean(said(net).argmax(1) == y)


def test_columns_follow_the_sorted_classes():
    """scikit-learn's metrics take the columns of ``predict_proba`` for the sorted classes."""
    net = network()
    t = teacher(net, names).fit(X, names[y])
    assert t.classes_.tolist() == sorted(names)
    assert_array_equal(t.predict(X), names[said(net).argmax(1)])
    order = [names.tolist().index(name) for name in sorted(names)]
    assert_allclose(t.teaching_logits(X), said(net)[:, order], atol=1e-5)
    assert_allclose(t.head_(torch.from_numpy(t.encode(X))), t.teaching_logits(X), atol=1e-5)
    p = torch.from_numpy(said(net)).log_softmax(1)
    assert log_loss(names[y], t.predict_proba(X)) == pytest.approx(-p[range(200), y].mean().item())


def test_two_classes_have_one_decision_value():
    net = network(outputs=2)
    t = teacher(net, ["b", "a"]).fit(X, np.where(y < 5, "a", "b"))
    assert_allclose(t.decision_function(X), said(net)[:, 0] - said(net)[:, 1], atol=1e-5)
    assert t.teaching_logits(X).shape == (200, 2)
    assert_array_equal(t.predict(X), np.where(t.decision_function(X) > 0, "b", "a"))


def test_features_are_what_the_last_linear_layer_reads():
    net = network()
    t = teacher(net).fit(X, y)
    assert_allclose(t.encode(X), said(net[:4]), atol=1e-6)
    assert_array_equal(t.feature_bank_, t.encode(X))
    assert_array_equal(t.feature_bank_labels_, y)
    assert_allclose(t.head_(torch.from_numpy(t.encode(X))), said(net), atol=1e-5)
    convolutional = teacher(Convolutional(), input_type="image").fit(images, y)  # no bias
    assert_allclose(convolutional.head_(torch.from_numpy(convolutional.encode(images))),
                    convolutional.teaching_logits(images), atol=1e-6)


def test_features_of_a_layer_by_its_name():
    net = network()
    t = teacher(net, feature_layer="0").fit(X, y)
    assert_allclose(t.encode(X), said(net[:1]), atol=1e-6)
    assert_allclose(t.teaching_logits(X), said(net), atol=1e-5)
    assert_array_equal(t.feature_bank_, t.encode(X))
    assert not hasattr(t, "head_")
    assert not net[0]._forward_hooks


def test_a_layer_without_features_is_refused():
    with pytest.raises(ValueError, match=r"feature_layer='body' returned \(32, 6, 6, 6\).*pooling"):
        teacher(Convolutional(), input_type="image", feature_layer="body").fit(images, y)
    with pytest.raises(ValueError, match="feature_layer='bodi' is unknown. Did you mean 'body'"):
        teacher(Convolutional(), input_type="image", feature_layer="bodi").fit(images, y)


def test_a_network_without_a_last_linear_layer_has_logits_only():
    net = nn.Sequential(nn.Linear(64, 10), nn.Tanh())
    t = teacher(net).fit(X, y)
    assert_allclose(t.teaching_logits(X), said(net), atol=1e-6)
    assert not hasattr(t, "head_") and not hasattr(t, "feature_bank_")
    with pytest.raises(ValueError, match="does not end in a linear layer.*feature_layer="):
        t.encode(X)
    with pytest.raises(TypeError, match="has no head_"):
        UCMKDStudent(teacher(net), **fast).fit(X, y)


def test_bytes_are_scaled_and_transformed_and_floats_left_alone():
    class Seen(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] - 5

    bytes_ = np.arange(200 * 64).reshape(200, 8, 8).astype(np.uint8)
    t = teacher(Seen(), preprocess=lambda x: (x - 0.5) * 2).fit(bytes_, y)
    expected = (bytes_.reshape(200, 64)[:, :10] / 255 - 0.5) * 2 - 5
    assert_allclose(t.teaching_logits(bytes_), expected, atol=1e-6)
    assert_allclose(t.teaching_logits(bytes_ / 255), expected, atol=1e-6)  # as everywhere here
    table = 1000 * X
    assert_allclose(teacher(Seen()).fit(table, y).teaching_logits(table), table[:, :10] - 5, rtol=1e-6)


@pytest.mark.parametrize("dtype, atol", [(torch.float64, 1e-6), (torch.bfloat16, 0.1)])
def test_a_network_computes_in_its_own_precision(dtype, atol):
    net = network()
    t = teacher(copy.deepcopy(net).to(dtype)).fit(X, y)
    assert_allclose(t.teaching_logits(X), said(net), atol=atol)
    assert t.encode(X).dtype == t.teaching_logits(X).dtype == np.float32
    assert t.encode(X).shape == (200, 16)
    own = copy.deepcopy(net).to(dtype).eval()
    assert_array_equal(t.teaching_logits(X[:32]), own(torch.from_numpy(X[:32]).to(dtype)).detach().float())


# -------------------------------------------------------------------- left as it is

@pytest.mark.parametrize("training", [True, False])
def test_the_users_network_is_left_as_it_was(training):
    net = network().train(training)
    net[0].weight.requires_grad_(False)
    before, flags = copy.deepcopy(net.state_dict()), [p.requires_grad for p in net.parameters()]
    modules = dict(net.named_modules())
    t = teacher(net).fit(X, y)
    t.predict(X), t.encode(X), t.head_
    MultiTeacherDistiller([("t", teacher(net))], loss="crd", **fast).fit(X, y)
    UCMKDStudent(t, **fast).fit(X, y)
    assert t.module is net and dict(net.named_modules()) == modules
    assert all(part.training == training for part in net.modules())
    assert [p.requires_grad for p in net.parameters()] == flags
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_fitted_teacher_does_not_follow_further_training():
    net = network()
    t = teacher(net).fit(X, y)
    expected = t.teaching_logits(X)
    with torch.no_grad():
        net[4].weight.zero_()
    assert_array_equal(t.teaching_logits(X), expected)


def test_clones_share_the_network_and_are_not_fitted():
    net = network()
    t = teacher(net).fit(X, y)
    assert clone(t).module is net
    with pytest.raises(NotFittedError):
        clone(t).predict(X)


def test_a_failed_fit_leaves_the_teacher_as_it_was():
    t = teacher().fit(X, y)
    expected = t.predict(X)
    with pytest.raises(ValueError, match="y holds"):
        t.fit(X[:, :3], y + 90)
    assert_array_equal(t.predict(X), expected)


def test_a_second_fit_keeps_nothing_of_the_first():
    t = teacher().fit(X, y).set_params(module=nn.Sequential(nn.Linear(64, 10), nn.Tanh())).fit(X, y)
    assert not hasattr(t, "feature_bank_") and not hasattr(t, "feature_bank_labels_")


def test_a_pickle_says_the_same():
    t = teacher(network(), names).fit(X, names[y])
    again = pickle.loads(pickle.dumps(t))
    assert_array_equal(again.teaching_logits(X), t.teaching_logits(X))
    assert_array_equal(again.encode(X), t.encode(X))
    before = pickle.dumps(t)
    t.predict(X)
    assert pickle.dumps(t) == before


# -------------------------------------------------------------------- what is refused

def test_labels_that_the_network_does_not_know_are_named():
    with pytest.raises(ValueError, match=r"y holds \['ten'\], and classes=\['eight'"):
        teacher(network(), names).fit(X, np.where(y == 0, "ten", names[y]))
    with pytest.raises(ValueError, match=r"y holds \[-1\]"):
        teacher().fit(X, np.where(y == 0, -1, y))


def test_some_of_the_classes_will_do():
    assert teacher().fit(X[y < 3], y[y < 3]).classes_.tolist() == list(range(10))


@pytest.mark.parametrize("classes, match", [
    (range(9), r"module returned \(32, 10\) for 32 samples, and there are 9 classes"),
    (range(11), "there are 11 classes"), ([0, 1, 1], r"holds \[1\] more than once"),
    (None, "classes=None must be a list"), ("0123456789", "must be a list"),
    ([0, "1", 2], "all numbers or all strings"), ([[0, 1]], "must be a list"), ([0], "at least two")])
def test_classes_that_cannot_be_are_refused(classes, match):
    with pytest.raises(ValueError, match=match):
        teacher(network(), classes).fit(X[y < 2], y[y < 2])


@pytest.mark.parametrize("net, match", [
    (nn.Sequential(network(), nn.Softmax(1)), "holds probabilities.*logarithm"),
    (nn.Linear(3, 10), r"cannot read a batch of X, of shape \(32, 64\). RuntimeError"),
    (nn.Unflatten(1, (8, 8)), r"returned \(32, 8, 8\) for 32 samples"),
    (nn.LSTM(64, 10), "returned tuple"), ])
def test_a_network_that_does_not_go_with_the_data_is_refused(net, match):
    with pytest.raises(ValueError, match=match):
        teacher(net).fit(X, y)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="module=LogisticRegression.* must be a network"):
        teacher(LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match="preprocess='no' must be callable"):
        teacher(preprocess="no").fit(X, y)
    with pytest.raises(ValueError, match="batch_size=0"):
        teacher(batch_size=0).fit(X, y)
    with pytest.raises(ValueError, match="device='abacus'"):
        teacher().set_params(device="abacus").fit(X, y)
    with pytest.raises(ValueError, match="requires y to be passed"):
        teacher().fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        teacher().fit(X, y[:100])


def test_logits_that_are_not_finite_are_refused():
    broken = network()
    with torch.no_grad():
        broken[4].bias[3] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite, first for sample 0"):
        teacher(broken).fit(X, y)


def test_other_data_than_those_of_the_fit_are_refused():
    t = teacher().fit(X, y)
    with pytest.raises(ValueError, match="X has 63 features"):
        t.predict(X[:, 1:])


# -------------------------------------------------------------------- bare networks

@pytest.mark.parametrize("net", [network(), compiled("script", network())], ids=["module", "script"])
@pytest.mark.parametrize("use", [
    lambda net: MultiTeacherDistiller([("t", net)]).fit(X, y),
    lambda net: TeacherEnsemble([("t", net)]).fit(X, y),
    lambda net: UCMKDStudent(net).fit(X, y),
    lambda net: LFMEDistiller(expert=net).fit(X, y),
    lambda net: CCHSelector(student="a", network=net).fit({"a": X, "b": X}, y),
    lambda net: compare({"t": net}, X, y),
    lambda net: as_teacher(net)],
    ids=["distiller", "ensemble", "ucmkd", "lfme", "selector", "compare", "as_teacher"])
def test_a_bare_network_is_told_what_to_be_wrapped_in(use, net):
    with pytest.raises(TypeError, match="is a network.*PretrainedTeacher"):
        use(net)


# -------------------------------------------------------------------- programs

@pytest.mark.parametrize("kind", ["script", "trace", "frozen", "export"])
def test_compiled_programs_teach_by_their_logits(kind):
    program = compiled(kind, network())
    t = teacher(program)
    known = content_hash(t)
    t.fit(X, y)
    assert_allclose(t.teaching_logits(X), said(network()), atol=1e-5)
    again = pickle.loads(pickle.dumps(t))
    assert_array_equal(again.teaching_logits(X), t.teaching_logits(X))
    assert_array_equal(clone(again).fit(X, y).teaching_logits(X), t.teaching_logits(X))
    assert known == content_hash(clone(t))
    if kind != "export" or Version(torch.__version__) >= Version("2.6"):  # its programs are no two times alike
        assert known == content_hash(clone(again))  # in every process
    assert known != content_hash(teacher(compiled(kind, network(seed=1))))
    assert not hasattr(t, "head_")
    with pytest.raises(ValueError, match="no layers to be found"):
        teacher(program, feature_layer="0").fit(X, y)
    student = MultiTeacherDistiller([("t", teacher(program))], **fast).fit(X, y)
    assert_allclose(student.teacher_logits_, said(network()), atol=1e-5)


def test_a_scripted_network_in_training_mode_is_evaluated_and_stays_so():
    program = compiled("script", network())
    assert_allclose(teacher(program).fit(X, y).teaching_logits(X), said(network()), atol=1e-5)
    assert program.training


def test_a_program_for_one_number_of_samples_is_refused():
    fixed = torch.export.export(network().eval(), (torch.from_numpy(X[:5]),))
    with pytest.raises(ValueError, match="exported for any number of samples"):
        teacher(fixed).fit(X, y)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """Two layers in a file, the features an output: logits = relu(x W1 + b1) W2 + b2."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, net = onnx.helper, network()
    arrays = {"w1": net[0].weight.T, "b1": net[0].bias, "w2": net[4].weight.T, "b2": net[4].bias}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["X", "w1", "b1"], ["hidden"]),
         helper.make_node("Relu", ["hidden"], ["features"]),
         helper.make_node("Gemm", ["features", "w2", "b2"], ["logits"])],
        "network", [helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 16]),
         helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", 10])],
        [onnx.numpy_helper.from_array(array.detach().numpy().copy(), name)
         for name, array in arrays.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    onnx.save_model(model, path, save_as_external_data=True, size_threshold=0)  # as torch does
    return path


def test_an_onnx_file_teaches(onnx_file):
    net = nn.Sequential(*network()[:1], nn.ReLU(), *network()[4:])
    t = teacher(onnx_file).fit(X, y)
    assert_allclose(t.teaching_logits(X), said(net), atol=1e-5)
    assert not hasattr(t, "feature_bank_")
    features = teacher(str(onnx_file), feature_layer="features").fit(X, y)
    assert_allclose(features.encode(X), said(net[:2]), atol=1e-5)
    assert_array_equal(features.feature_bank_, features.encode(X))
    again = pickle.loads(pickle.dumps(features))
    assert_array_equal(again.teaching_logits(X), features.teaching_logits(X))
    by_name = teacher(onnx_file, preprocess=lambda x: {"X": x}).fit(X, y)
    assert_array_equal(by_name.teaching_logits(X), t.teaching_logits(X))
    student = MultiTeacherDistiller([("t", features)], loss="crd", **fast).fit(X, y)
    assert_allclose(student.teacher_logits_, said(net), atol=1e-5)


def test_an_onnx_file_is_known_by_its_content(onnx_file, tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "network.onnx"
    model = onnx.load(onnx_file)
    onnx.save_model(model, path)
    t = teacher(path)
    known = content_hash(t)
    assert known == content_hash(clone(t))
    fitted = clone(t).fit(X, y)
    model.graph.node[1].op_type = "Sigmoid"
    onnx.save_model(model, path)
    assert content_hash(t) != known
    expected = fitted.teaching_logits(X)
    path.unlink()
    assert_array_equal(pickle.loads(pickle.dumps(fitted)).teaching_logits(X), expected)
    with pytest.raises(FileNotFoundError):
        clone(t).fit(X, y)


def test_onnx_files_that_cannot_be_are_refused(onnx_file, tmp_path):
    with pytest.raises(ValueError, match=r"feature_layer='hidden' is no output.*\['features', 'logits'\]"):
        teacher(onnx_file, feature_layer="hidden").fit(X, y)
    (tmp_path / "no.onnx").write_bytes(b"not a network")
    with pytest.raises(ValueError, match="no.onnx' is no ONNX file"):
        teacher(tmp_path / "no.onnx").fit(X, y)
    if torch.cuda.is_available():
        with pytest.raises(ValueError, match="runs on 'cpu'"):
            teacher(onnx_file).set_params(device="cuda").fit(X, y)
    with pytest.raises(TypeError, match="cannot be saved"):
        save(teacher(onnx_file).fit(X, y), tmp_path / "file")


# -------------------------------------------------------------------- other libraries' models

def test_a_network_of_this_library_teaches_apart_from_its_estimator():
    trained = UnimodalTeacher(**fast).fit(X, y)
    t = teacher(trained.net_.module_).fit(X, y)
    assert_array_equal(t.teaching_logits(X), trained.teaching_logits(X))
    assert_array_equal(t.encode(X), trained.encode(X))


def test_a_model_of_timm_teaches():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("test_efficientnet", num_classes=10, in_chans=1)
    t = teacher(net).fit((images * 255).astype(np.uint8), y)
    x = (images * 255).astype(np.uint8)[:, None] / np.float32(255)
    assert_allclose(t.teaching_logits((images * 255).astype(np.uint8)), said(net, x), atol=1e-4)
    assert t.encode((images * 255).astype(np.uint8)).shape == (200, net.num_features)
    assert t.head_.in_features == net.num_features


def test_models_of_hugging_face_teach():
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 16, "num_labels": 10}
    torch.manual_seed(0)
    of_images = transformers.ViTForImageClassification(transformers.ViTConfig(
        image_size=8, patch_size=4, num_channels=1, **small))
    t = teacher(of_images, input_type="image").fit(images, y)
    with torch.no_grad():
        expected = copy.deepcopy(of_images).eval()(torch.from_numpy(images)[:, None]).logits
    assert_allclose(t.teaching_logits(images), expected, atol=1e-5)
    assert t.encode(images).shape == (200, 8)
    assert_allclose(t.head_(torch.from_numpy(t.encode(images))), expected, atol=1e-5)

    of_texts = transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=20, **small))
    tokens = np.random.default_rng(0).integers(1, 20, size=(200, 6))
    tokens[::2, 4:] = 0  # padding, which must not be read

    def named(x):
        return {"input_ids": x.long(), "attention_mask": (x != 0).long()}

    t = teacher(of_texts, preprocess=named).fit(tokens, y)
    short = copy.deepcopy(of_texts).eval()(torch.from_numpy(tokens[::2, :4])).logits.detach()
    assert_allclose(t.teaching_logits(tokens)[::2], short, atol=1e-5)
    assert t.encode(tokens).shape == (200, 8)


# -------------------------------------------------------------------- in use

def test_it_teaches_from_a_modality_of_its_own():
    net = network()
    data = SliceDict(seen=X[:, ::-1].copy(), whole=X)
    student = MultiTeacherDistiller([("t", teacher(net, modality="whole"))], modality="seen", **fast)
    student.fit(data, y)
    assert_allclose(student.teacher_logits_, said(net), atol=1e-5)
    assert student.predict({"seen": data["seen"]}).shape == (200,)
    assert len(cross_val_score(student, data, y, cv=2)) == 2
    frozen = FrozenEstimator(teacher(net, modality="whole").fit(data, y))
    twin = clone(student).set_params(teachers=[("t", frozen)]).fit(data, y)
    assert_array_equal(twin.predict_proba(data), student.predict_proba(data))


def test_out_of_fold_logits_are_the_networks_too():
    student = MultiTeacherDistiller([("t", teacher())], cv=3, **fast).fit(X, y)
    assert_allclose(student.teacher_logits_, said(network()), atol=1e-5)


def test_unlabelled_samples_are_taught():
    some = np.where(np.arange(200) % 3, y, -1)
    student = MultiTeacherDistiller([("t", teacher())], **fast).fit(X, some)
    assert_allclose(student.teacher_logits_, said(network()), atol=1e-5)


def test_memory_knows_networks_by_their_weights(tmp_path):
    student = MultiTeacherDistiller([("t", teacher())], memory=tmp_path, **fast)

    def kept():
        return len(list(tmp_path.rglob("output.pkl")))

    student.fit(X, y)
    assert kept() == 1
    clone(student).set_params(t=teacher(network())).fit(X, y)  # another object, the same weights
    assert kept() == 1
    other = clone(student).set_params(t=teacher(network(seed=1))).fit(X, y)
    assert kept() == 2
    assert_allclose(other.teacher_logits_, said(network(seed=1)), atol=1e-5)


def test_memory_knows_what_stands_before_the_network():
    def key(factor):
        return content_hash(teacher(preprocess=lambda x: factor * x))

    assert key(2) == key(2) != key(3)


def test_a_grid_search_sets_its_parameters():
    student = MultiTeacherDistiller([("t", teacher())], **fast)
    nets = [network(), network(seed=1)]
    search = GridSearchCV(student, {"t__module": nets, "t__batch_size": [50]}, cv=2).fit(X, y)
    assert_allclose(search.best_estimator_.teacher_logits_, said(search.best_params_["t__module"]),
                    atol=1e-5)
    assert search.best_estimator_.teachers_[0].batch_size == 50


def test_it_teaches_without_pairs():
    t = teacher().fit(X, y)
    student = UCMKDStudent(FrozenEstimator(t), lambda_la=0.1, **fast).fit(X[:, :32], y)
    assert student.project(X[:, :32]).shape == (200, 16)
    assert_allclose(student.net_.criterion_.teacher_logits(torch.from_numpy(t.feature_bank_)),
                    said(network()), atol=1e-5)


def test_it_is_compared_as_it_is():
    result = compare({"network": teacher(), "student": MultiTeacherDistiller([("t", teacher())], **fast)},
                     X, y, cv=2, random_state=0)
    assert result.scores["accuracy"][0].mean() == pytest.approx(np.mean(said(network()).argmax(1) == y))


def test_a_selector_represents_modalities_by_it():
    """The labels that it is shown are the user's, not their codes."""
    data = {"a": X, "b": X[:, ::-1].copy()}
    selector = CCHSelector(student="a", network=teacher(network(), names), n_repeats=2, random_state=0)
    selector.fit(data, names[y])
    assert_allclose(selector.networks_["b"].encode(data["b"]), said(network()[:4], data["b"]), atol=1e-6)


def test_an_ensemble_has_its_features_and_its_head():
    parts = [("one", teacher(network(), names)), ("two", teacher(network(seed=1, width=8), names))]
    ensemble = TeacherEnsemble(parts).fit(X, names[y])
    logits = (said(network()) + said(network(seed=1, width=8))) / 2
    order = np.argsort(names)
    assert_allclose(ensemble.teaching_logits(X), logits[:, order], atol=1e-5)
    assert_allclose(ensemble.head_(torch.from_numpy(ensemble.encode(X))), logits[:, order], atol=1e-5)


def test_students_that_train_their_teacher_refuse_it():
    with pytest.raises(TypeError, match="must be a network, which can learn from its student"):
        FFKDDistiller(teacher(), **fast).fit(X, y)
    with pytest.raises(ValueError, match="has no feature maps"):
        MultiTeacherDistiller([("t", teacher())], loss="review", **fast).fit(X, y)


def test_samples_outside_memory_are_read_in_batches(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    t = teacher(batch_size=50).fit(mapped, y)
    assert_allclose(t.teaching_logits(mapped), said(network()), atol=1e-5)
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    t = teacher().fit(data, None)
    assert_allclose(t.teaching_logits(data), said(network()), atol=1e-5)
    assert_array_equal(t.feature_bank_labels_, y)


def test_files_keep_networks_of_modules_and_nothing_that_runs(tmp_path):
    for t in (teacher(network(), names), teacher(network(), names, feature_layer="2"),
              teacher(nn.Sequential(nn.Linear(64, 10), nn.Tanh()), names)):
        t.fit(X, names[y])
        save(t, tmp_path / "file")
        loaded = load(tmp_path / "file")
        assert_array_equal(loaded.teaching_logits(X), t.teaching_logits(X))
        assert_array_equal(clone(loaded).fit(X, names[y]).predict(X), t.predict(X))
        if hasattr(t, "feature_bank_"):
            assert_array_equal(loaded.encode(X), t.encode(X))
    own = teacher(Convolutional(), input_type="image").fit(images, y)
    save(own, tmp_path / "file")
    assert_array_equal(load(tmp_path / "file", trusted={"Convolutional": Convolutional})
                       .predict(images), own.predict(images))
    for t in (teacher(preprocess=torch.square), teacher(compiled("script", network()))):
        with pytest.raises(TypeError, match="cannot be saved"):
            save(t.fit(X, y), tmp_path / "file")


def test_global_random_numbers_are_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    t = teacher().fit(X, y)
    t.predict(X), t.encode(X), t.head_
    assert torch.equal(torch.get_rng_state(), before)
