"""Layouts, batches and networks: what stands between a user's array and a training step."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from cmkdlearn.losses import Output
from cmkdlearn.nn.data import (
    BatchLoader,
    TensorData,
    as_tensor,
    move,
    resolve_device,
    seeded,
    whole,
)
from cmkdlearn.nn.features import with_feature_maps
from cmkdlearn.nn.inputs import as_images, canonical
from cmkdlearn.nn.modules import (
    Classifier,
    FrameAverage,
    LogitsOnly,
    Standardise,
    ToFloat,
    build_classifier,
    mlp,
)

quick = settings(deadline=None, max_examples=60)
sizes = st.integers(1, 9)
sides = st.integers(5, 9)  # too many to be taken for channels
channels = st.sampled_from([1, 3, 4])
dtypes = st.sampled_from([np.uint8, np.float32, np.float64, np.int64])


def filled(shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


# -------------------------------------------------------------------- layouts

@given(sizes, sizes, dtypes)
@quick
def test_two_axes_are_a_table(n, d, dtype):
    X = filled((n, d), dtype)
    canon, kind = canonical(X)
    assert kind == "table" and canon.dtype == X.dtype and np.array_equal(canon, X)


@given(sizes, sizes, sizes)
@quick
def test_three_axes_are_a_sequence_when_floating_and_images_when_bytes(n, a, b):
    floating, kind = canonical(filled((n, a, b)))
    assert kind == "sequence" and floating.shape == (n, a, b)
    grey, kind = canonical(filled((n, a, b), np.uint8))
    assert kind == "image" and grey.shape == (n, 1, a, b)
    assert np.array_equal(grey[:, 0], filled((n, a, b), np.uint8))


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint16, bool])
def test_three_axes_of_other_integers_are_ambiguous(dtype):
    with pytest.raises(ValueError, match='pass input_type="image" or input_type="sequence"'):
        canonical(np.zeros((4, 5, 6), dtype))


@given(sizes, sides, sides, channels, dtypes, st.sampled_from([None, "image"]))
@quick
def test_the_channel_axis_is_found_and_moved(n, height, width, c, dtype, input_type):
    first = filled((n, c, height, width), dtype)
    last = np.ascontiguousarray(np.moveaxis(first, 1, -1))
    for layout, named in ((first, "channels_first"), (last, "channels_last")):
        for given_type in (input_type, named):
            canon, kind = canonical(layout, given_type)
            assert kind == "image" and np.array_equal(canon, first)
            assert np.shares_memory(canon, layout)


@given(sizes, channels, st.integers(1, 9), channels)
@quick
def test_an_ambiguous_channel_axis_is_an_error_that_says_what_to_do(n, first, height, last):
    X = filled((n, first, height, last))
    for input_type in (None, "image"):
        with pytest.raises(ValueError, match='ambiguous .* input_type="channels_first" or "channels'):
            canonical(X, input_type)
    assert canonical(X, "channels_first")[0].shape == (n, first, height, last)
    assert canonical(X, "channels_last")[0].shape == (n, last, first, height)


def test_no_channel_axis_at_all_is_an_error():
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        canonical(np.zeros((2, 8, 9, 10)))
    assert canonical(np.zeros((2, 8, 9, 10)), "channels_last")[0].shape == (2, 10, 8, 9)


@pytest.mark.parametrize(("shape", "input_type", "expected", "kind"), [
    ((4, 5, 6), "image", (4, 1, 5, 6), "image"),
    ((4, 5, 6), "sequence", (4, 5, 6), "sequence"),
    ((4, 5, 6), "table", (4, 30), "table"),
    ((4, 3, 6, 7), "table", (4, 126), "table"),
    ((4, 5), "table", (4, 5), "table"),
])
def test_input_type_decides(shape, input_type, expected, kind):
    for dtype in (np.uint8, np.float32, np.int64):
        X = filled(shape, dtype)
        canon, found = canonical(X, input_type)
        assert found == kind and canon.shape == expected and np.array_equal(canon.ravel(), X.ravel())


@pytest.mark.parametrize(("shape", "input_type", "message"), [
    ((4, 5), "image", "An image needs shape"),
    ((4, 5, 6, 7, 8), "image", "An image needs shape"),
    ((4, 5), "channels_last", "An image needs shape"),
    ((4, 5), "sequence", "A sequence needs shape"),
    ((4, 5, 6, 7), "sequence", "A sequence needs shape"),
    ((4,), None, "two axes make a table"),
    ((4, 5, 6, 7, 8), None, "two axes make a table"),
    ((4, 5), "imgae", "input_type='imgae' is unknown. Did you mean 'image'"),
    ((4, 5), 3, "input_type=3 is unknown. Use 'table'"),
])
def test_layouts_that_cannot_be(shape, input_type, message):
    with pytest.raises(ValueError, match=message):
        canonical(np.zeros(shape), input_type)


@pytest.mark.parametrize("channels", [2, 6, 9, 20])
def test_square_images_may_have_any_number_of_channels(channels):
    X = filled((2, channels, 8, 8), np.uint8)
    for layout in (X, np.moveaxis(X, 1, -1)):
        canon, kind = canonical(layout)
        assert kind == "image" and np.array_equal(canon, X)
    with pytest.raises(ValueError, match="ambiguous"):
        canonical(filled((2, 8, 8, 8)))


def test_as_images():
    assert as_images(np.zeros((2, 5, 6))).shape == (2, 1, 5, 6)  # three axes are grey, floating too
    assert as_images(np.zeros((2, 5, 6, 3), np.uint8)).shape == (2, 3, 5, 6)
    with pytest.raises(TypeError, match="Images must be numbers"):
        as_images(np.array([["a"]]))
    with pytest.raises(ValueError, match="NaN or infinity"):
        as_images(np.full((2, 5, 6), np.nan))
    with pytest.raises(ValueError, match="input_type='table' makes X a table"):
        as_images(np.zeros((2, 5, 6)), "table")


# -------------------------------------------------------------------- tensors

def test_as_tensor_shares_memory_and_never_writes(tmp_path):
    array = filled((3, 4))
    assert np.shares_memory(as_tensor(array).numpy(), array)
    np.save(tmp_path / "X.npy", array)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    with np.testing.assert_no_warnings():
        tensor = as_tensor(mapped)
    assert np.shares_memory(tensor.numpy(), mapped) and torch.equal(tensor, torch.from_numpy(array))


@pytest.mark.parametrize("array", [
    filled((3, 4), np.float64), filled((3, 4), np.float16), filled((3, 4), ">f4"),
    filled((3, 4))[::-1], filled((3, 4))[:, ::-2], np.asfortranarray(filled((3, 4))),
    np.broadcast_to(np.float32(2), (3, 4)),
], ids=["double", "half", "big-endian", "reversed", "strided", "fortran", "broadcast"])
def test_as_tensor_of_unusual_arrays(array):
    tensor = as_tensor(array)
    assert tensor.numpy().dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("array", [filled((3, 4), np.uint8), filled((3, 4), ">i8")])
def test_as_tensor_keeps_integers(array):
    assert np.array_equal(as_tensor(array).numpy(), array) and not as_tensor(array).is_floating_point()


def data_of(n):
    return TensorData(X=torch.arange(n), y=-torch.arange(n),
                      teacher=Output(torch.arange(2 * n).reshape(n, 2), None, (torch.arange(n),)))


def test_tensor_data_keeps_its_parts_together():
    data = data_of(7)
    part = data[torch.tensor([4, 1])]
    assert part.X.tolist() == [4, 1] and part.y.tolist() == [-4, -1]
    assert isinstance(part.teacher, Output) and part.teacher.features is None
    assert part.teacher.logits.tolist() == [[8, 9], [2, 3]]
    assert part.teacher.feature_maps[0].tolist() == [4, 1]
    assert data[3].X.item() == 3
    assert data.nbytes == 7 * 8 * (1 + 1 + 2 + 1)
    assert len(data.to("cpu")) == 7 and data.device == torch.device("cpu")
    assert move(part, "cpu").teacher.logits.tolist() == [[8, 9], [2, 3]]


@given(st.integers(1, 60), st.integers(1, 20) | st.just(-1), st.booleans())
@settings(deadline=None, max_examples=200)
def test_batches_hold_each_sample_once_and_none_holds_a_single_one(n, batch_size, shuffle):
    loader = BatchLoader(data_of(n), batch_size=batch_size, shuffle=shuffle)
    for _ in range(2):
        batches = [batch.X.tolist() for batch in loader]
        assert len(batches) == len(loader)
        assert sorted(sum(batches, [])) == list(range(n))
        if not shuffle:
            assert sum(batches, []) == list(range(n))
        if batch_size == -1:
            assert len(batches) == 1
        elif batch_size > 1 and n > 1:
            assert min(map(len, batches)) > 1
            assert max(map(len, batches)) <= batch_size + 1
            assert all(len(batch) == batch_size for batch in batches[:-1])
        elif batch_size == 1:
            assert all(len(batch) == 1 for batch in batches)


@given(st.integers(1, 60), st.integers(1, 20))
@quick
def test_drop_last(n, batch_size):
    loader = BatchLoader(data_of(n), batch_size=batch_size, drop_last=True)
    assert [len(batch.X) for batch in loader] == [batch_size] * (n // batch_size)


def test_batches_are_shuffled_anew_each_epoch_from_torchs_generator():
    def epochs(seed):
        with seeded(seed):
            loader = BatchLoader(data_of(50), batch_size=16, shuffle=True)
            return [[batch.X.tolist() for batch in loader] for _ in range(2)]

    first, second = epochs(0)
    assert first != second and epochs(0) == [first, second] and epochs(1) != [first, second]


@pytest.mark.parametrize("loader", [BatchLoader, DataLoader])
def test_workers_deliver_the_same_batches(loader):
    batches = list(loader(data_of(10), batch_size=4, num_workers=1, collate_fn=whole))
    assert [batch.X.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[0].teacher.logits.shape == (4, 2) and batches[0].teacher.features is None


def test_seeded_restores_the_global_generator():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(4)
    with seeded(3):
        assert torch.equal(torch.rand(4), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_devices():
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("gpu", 1.5, None):
        with pytest.raises(ValueError, match='device=.* "auto"'):
            resolve_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ValueError, match="device='cuda': there is no such device"):
        resolve_device("cuda")


# -------------------------------------------------------------------- standardising

@pytest.mark.parametrize(("shape", "kind", "axes"), [
    ((50, 4), "table", (0,)), ((50, 6, 4), "sequence", (0, 1)), ((50, 3, 6, 5), "image", (0, 2, 3)),
])
@pytest.mark.parametrize("chunk", [7, 4096])
def test_standardise_against_numpy(shape, kind, axes, chunk):
    X = np.random.default_rng(0).normal(3, 2, size=shape).astype(np.float32)
    layer = Standardise.of(torch.from_numpy(X), kind, chunk)
    expected = (X - X.mean(axes, keepdims=True, dtype=float)) / X.std(axes, keepdims=True, dtype=float)
    np.testing.assert_allclose(layer(torch.from_numpy(X)).numpy(), expected, atol=1e-5)


def test_standardise_bytes():
    X = np.random.default_rng(0).integers(256, size=(30, 3, 8, 8), dtype=np.uint8)
    layer = Standardise.of(torch.from_numpy(X), "image")
    np.testing.assert_allclose(layer.mean.ravel(), (X / 255).mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(layer.std.ravel(), (X / 255).std((0, 2, 3)), rtol=1e-6)
    # bytes at prediction are scaled as the bytes of training were
    out = layer(torch.from_numpy(X))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_constant_features_are_centred_and_small_or_remote_ones_scaled():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 1))
    X = np.hstack([np.zeros((200, 1)), np.full((200, 1), 0.1), np.full((200, 1), 1e9),
                   1e-9 * noise, 1.6e9 + 1e3 * noise]).astype(np.float32)  # the last: a timestamp
    out = Standardise.of(torch.from_numpy(X), "table")(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(out[:, :3], 0, atol=1e-6)
    np.testing.assert_allclose(out[:, 3:].std(axis=0), 1, rtol=1e-2)


def test_to_float():
    assert torch.equal(ToFloat()(torch.tensor([0, 255], dtype=torch.uint8)), torch.tensor([0.0, 1]))
    x = torch.tensor([0.0, 255])
    assert ToFloat()(x) is x


# -------------------------------------------------------------------- networks

def test_mlp():
    body, width = mlp(5, hidden=(8, 3), dropout=0.5)
    assert [type(layer).__name__ for layer in body] == ["Linear", "ReLU", "Dropout"] * 2 and width == 3
    assert mlp(5, hidden=())[1] == 5
    assert not any(isinstance(layer, nn.Dropout) for layer in mlp(5)[0])
    body, _ = mlp(5, hidden=(8,), dropout=0.5, activation="leaky_relu", batch_norm=True)
    assert [type(layer).__name__ for layer in body] == ["Linear", "LeakyReLU", "BatchNorm1d", "Dropout"]
    with pytest.raises(ValueError, match="activation='tanh' is unknown"):
        mlp(5, activation="tanh")


def test_auto_for_tables_and_sequences():
    table = torch.randn(20, 5)
    network = build_classifier("auto", table, "table", 3, hidden=(7,))
    output = network(table)
    assert output.logits.shape == (20, 3) and output.features.shape == (20, 7)
    sequence = torch.randn(20, 6, 5)
    network = build_classifier("auto", sequence, "sequence", 3, hidden=(7,))
    assert network(sequence).features.shape == (20, 7)
    # the mean over time does not see an order
    permuted = network(sequence[:, torch.randperm(6)])
    torch.testing.assert_close(permuted.logits, network(sequence).logits, atol=1e-5, rtol=1e-5)


def test_auto_for_images_is_resnet18_with_a_small_stem_for_small_images():
    small = build_classifier("auto", torch.rand(4, 1, 16, 16), "image", 3)
    assert type(small.encoder).__name__ == "ResNet"
    assert small.encoder.conv1.stride == (1, 1) and small.encoder.conv1.in_channels == 1
    output = small.eval()(torch.rand(2, 1, 16, 16))
    assert output.logits.shape == (2, 3) and output.features.shape == (2, 512)
    large = build_classifier("auto", torch.rand(2, 3, 64, 64), "image", 3)
    assert large.encoder.conv1.stride == (2, 2) and large.encoder.conv1.in_channels == 3


def test_timm_names():
    images = torch.rand(4, 1, 32, 32)
    network = build_classifier("test_resnet", images, "image", 3)
    assert network.eval()(images).logits.shape == (4, 3)
    with pytest.raises(ValueError, match="module='resnet19' is neither"):
        build_classifier("resnet19", images, "image", 3)
    with pytest.raises(ValueError, match="module='resnet18' is an image network, but X is a table"):
        build_classifier("resnet18", torch.rand(4, 5), "table", 3)


class Net(nn.Module):
    """A user's network, the dropout of which is drawn by a function."""

    def __init__(self, n_classes=3, width=4):
        super().__init__()
        self.hidden = nn.Linear(5, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, n_classes)

    def forward(self, x):
        x = self.norm(self.hidden(x)).relu()
        return self.last(F.dropout(x, training=self.training))


class LinearFirst(nn.Module):
    """The last linear layer to be defined is not the last to be called."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 3)
        self.hidden = nn.Linear(5, 4)

    def forward(self, x):
        return self.last(self.hidden(x).relu())


class Scaled(nn.Module):
    """Ends in a linear layer and a factor: the features cannot be told from the logits."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x):
        return 2 * self.linear(x)


class Tied(nn.Module):
    """Its linear layer is called twice."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, x):
        return self.linear(self.linear(x).relu())


def x_table():
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [
    Net, lambda: nn.Linear(5, 3),
    lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Linear(4, 3))),
    lambda: nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Flatten(), nn.Linear(5, 3)),
])
def test_a_users_network_comes_apart_without_a_change_of_its_logits(make):
    instance = make()
    before = copy.deepcopy(instance.state_dict())
    network = build_classifier(instance, x_table(), "table", 3).eval()
    output = network(x_table())
    assert isinstance(network, Classifier)
    assert torch.equal(output.logits, copy.deepcopy(instance).eval()(x_table()))
    assert torch.equal(network.head(output.features), output.logits)
    for name, value in instance.state_dict().items():
        assert torch.equal(value, before[name])
    # a copy: training it leaves the user's alone
    assert not any(a is b for a in network.parameters() for b in instance.parameters())


@pytest.mark.parametrize("make", [
    LinearFirst, Scaled, lambda: nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(dim=1)),
    lambda: nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 5), nn.Flatten()),
])
def test_a_network_that_does_not_end_in_a_linear_layer_keeps_its_logits(make):
    instance = make()
    network = build_classifier(instance, x_table(), "table", 3).eval()
    assert isinstance(network, LogitsOnly)
    output = network(x_table())
    assert torch.equal(output.logits, instance(x_table())) and output.features is None


def test_a_layer_called_twice_is_no_head():
    instance = Tied()
    network = build_classifier(instance, x_table(), "table", 5)
    assert isinstance(network, LogitsOnly)
    assert torch.equal(network(x_table()).logits, instance(x_table()))


def test_a_class_gets_its_arguments():
    network = build_classifier(Net, x_table(), "table", 2, n_classes=2, width=9)
    assert network.head.in_features == 9 and network(x_table()).logits.shape == (6, 2)


@pytest.mark.parametrize("name", ["n_classes", "num_classes"])
def test_a_class_is_told_the_number_of_classes(name):
    namespace = {"nn": nn}
    exec(f"""
class Net(nn.Module):
    def __init__(self, width=4, {name}=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, width), nn.Linear(width, {name}))
    def forward(self, x):
        return self.layers(x)
""", namespace)
    X = torch.randn(6, 5)
    assert build_classifier(namespace["Net"], X, "table", 3)(X).logits.shape == (6, 3)
    assert build_classifier(namespace["Net"], X, "table", 3, **{name: 3}, width=2)(X).features.shape == (6, 2)
    with pytest.raises(ValueError, match=r"module returned \(2, 4\) for 2 samples of 3 classes"):
        build_classifier(namespace["Net"], X, "table", 3, **{name: 4})


def test_bytes_reach_a_users_network_in_zero_to_one():
    X = torch.full((4, 5), 255, dtype=torch.uint8)
    instance = nn.Linear(5, 3)
    logits = build_classifier(instance, X, "table", 3)(X).logits
    torch.testing.assert_close(logits, instance(torch.ones(4, 5)))


@pytest.mark.parametrize(("module", "kwargs", "error", "message"), [
    (nn.Linear(5, 2), {}, ValueError, r"module returned \(2, 2\) for 2 samples of 3 classes"),
    (nn.GRU(5, 3), {}, ValueError, "module returned tuple"),
    (nn.Linear(5, 3), {"bias": False}, ValueError, "module is an instance, so module__bias"),
    (3, {}, TypeError, 'module=3 must be "auto"'),
    (int, {}, TypeError, 'module=<class .int.> must be "auto"'),
])
def test_modules_that_cannot_be(module, kwargs, error, message):
    with pytest.raises(error, match=message):
        build_classifier(module, x_table(), "table", 3, **kwargs)


def test_a_module_that_cannot_read_the_data_says_so():
    with pytest.raises(ValueError, match=r"module cannot read .* shape \(2, 5\)"):
        build_classifier(nn.Linear(7, 3), x_table(), "table", 3)


def test_networks_pickle():
    network = build_classifier(Net, x_table(), "table", 3).eval()
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again(x_table()).logits, network(x_table()).logits)


@given(st.integers(1, 3), st.lists(st.integers(1, 6), max_size=3), st.integers(2, 4))
@settings(deadline=None, max_examples=25)
def test_any_mlp_of_the_users_comes_apart(d, hidden, n_classes):
    body, width = mlp(d, hidden)
    assume(len(body) or width == d)
    instance = nn.Sequential(*body, nn.Linear(width, n_classes)).eval()
    X = torch.randn(5, d, generator=torch.Generator().manual_seed(d))
    output = build_classifier(instance, X, "table", n_classes)(X)
    assert output.features.shape == (5, width) and torch.equal(output.logits, instance(X))


def test_pretrained_networks_standardise_as_they_were_trained(monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **params: create(name, **params))
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    network = build_classifier("resnet18", images, "image", 2, pretrained=True)
    mean, std = ([cfg[channel] for channel in range(3)]
                 for cfg in (network.encoder.pretrained_cfg["mean"], network.encoder.pretrained_cfg["std"]))
    grey = torch.full((1, 3, 8, 8), 128, dtype=torch.uint8)
    expected = (128 / 255 - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(network.preprocess(grey)[0, :, 0, 0], expected)
    assert network.encoder.conv1.kernel_size == (7, 7)  # and not the stem for small images


# -------------------------------------------------------------------- several frames of a video

FRAMES = torch.rand(4, 6, 32, 32, generator=torch.Generator().manual_seed(0))


def test_frames_are_read_one_by_one_and_their_features_averaged():
    network = build_classifier("test_efficientnet", FRAMES, "image", 3, n_frames=2).eval()
    average, standardised = network.encoder, network.preprocess(FRAMES)
    assert isinstance(average, FrameAverage)
    one, other = (average.encoder(standardised[:, k:k + 3]) for k in (0, 3))
    output = network(FRAMES)
    torch.testing.assert_close(output.features, (one + other) / 2)
    torch.testing.assert_close(output.logits, network.head((one + other) / 2))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224"])
def test_feature_maps_of_frames_are_averaged(name):
    size = {"img_size": 32} if "vit" in name else {}
    network = build_classifier(name, FRAMES, "image", 3, n_frames=2, **size).eval()
    output, x = with_feature_maps(network, FRAMES)(FRAMES), network.preprocess(FRAMES)
    torch.testing.assert_close(output.features, network(FRAMES).features)
    wanted = network.encoder.encoder.forward_intermediates(
        x.reshape(8, 3, 32, 32), output_fmt="NCHW", intermediates_only=True)
    found = [map for map in wanted if map.shape[2:] == output.feature_maps[-1].shape[2:]][-1]
    torch.testing.assert_close(output.feature_maps[-1], found.unflatten(0, (4, 2)).mean(1))


def test_equal_frames_are_as_one():
    same = FRAMES[:, :3].repeat(1, 2, 1, 1)
    one = build_classifier("test_efficientnet", FRAMES[:, :3], "image", 3).eval()
    two = Classifier(FrameAverage(one.encoder, 2), one.head)
    torch.testing.assert_close(two(same).features, one.encoder(FRAMES[:, :3]))


def test_without_being_told_a_network_reads_frames_together():
    network = build_classifier("test_efficientnet", FRAMES, "image", 3)
    assert next(network.encoder.parameters()).shape[1] == 6


@pytest.mark.parametrize("n_frames", [4, 0])
def test_a_number_of_frames_that_cannot_be(n_frames):
    with pytest.raises(ValueError, match=f"module__n_frames={n_frames}"):
        build_classifier("test_efficientnet", FRAMES, "image", 3, n_frames=n_frames)
