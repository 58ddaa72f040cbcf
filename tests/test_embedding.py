"""What every embedder does, its cache, and CLIP on a small model made here."""

import errno
import json
import os
import pickle

import joblib
import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from cmkdlearn.embedding import CLIPEmbedder, Embedder, _clip
from cmkdlearn.embedding._cache import EmbeddingCache, array_digest

MODEL = "cmkdlearn-test-tiny"
ARCHITECTURE = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = ["a cat", "a photograph of a very long dog that does not end", "ship", "an old truck"]


class Averages(Embedder):
    """Embeds images by their mean colours and texts by their lengths; counts the passes."""

    _n_features_out = 3
    passes = []

    def __init__(self, scale=1.0, *, input_type=None, batch_size=32, device="cpu", memory=None,
                 verbose=False):
        self.scale = scale
        self.input_type = input_type
        self.batch_size = batch_size
        self.device = device
        self.memory = memory
        self.verbose = verbose

    def _identity(self):
        return {"scale": self.scale}

    def _network(self, device):
        return self

    def encode_image(self, images):
        self.passes.append(len(images))
        return images.mean((2, 3)) * self.scale + 0.1

    def encode_text(self, texts):
        if torch.is_inference_mode_enabled():
            self.passes.append(len(texts))
            return torch.tensor([[len(text), text.count("a"), 1.0] for text in texts])
        return super().encode_text(texts)


@pytest.fixture(autouse=True)
def _count_anew():
    Averages.passes.clear()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 40, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A small CLIP of random weights, and its checkpoint."""
    folder = tmp_path_factory.mktemp("clip")
    config = folder / f"{MODEL}.json"
    config.write_text(json.dumps(ARCHITECTURE))
    open_clip.add_model_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, _, preprocess = open_clip.create_model_and_transforms(MODEL)
    path = folder / "tiny.pt"
    torch.save(model.state_dict(), path)
    return model.eval(), preprocess, path


@pytest.fixture
def embedder(tiny_clip):
    return CLIPEmbedder(MODEL, tiny_clip[2], device="cpu")


# Images -----------------------------------------------------------------------------------------

@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(5, 8), st.integers(5, 8),
                                      st.just(3))), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_images_of_any_layout_type_and_batch_embed_alike(X, batch_size):
    expected = X.mean((1, 2)) / 255 + 0.1
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for images in (X, np.moveaxis(X, -1, 1), X / 255, (X / 255).astype(np.float32), X[:, ::-1]):
        V = Averages(batch_size=batch_size).transform(images)
        assert V.dtype == np.float32
        np.testing.assert_allclose(V, expected, atol=1e-5)


def test_a_batch_that_is_a_tensor_embeds_as_an_array_does(embedder, images):
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    for tensor in (batch, batch.float() / 255, batch[:, :1], batch.double() / 255):
        before = tensor.clone()
        V = embedder.set_params(batch_size=3).embed_batch(tensor)
        assert torch.equal(tensor, before) and V.dtype == torch.float32
        assert not V.requires_grad and not V.is_inference()  # a loss may use it
        np.testing.assert_array_equal(V, embedder.transform(tensor.numpy()))
    with pytest.raises(ValueError, match="batch_size=0"):
        embedder.set_params(batch_size=0).embed_batch(batch)


def test_a_grey_image_is_one_of_three_equal_channels():
    X = np.random.default_rng(0).random((4, 6, 7))
    V = Averages().transform(X)
    np.testing.assert_array_equal(V, Averages().transform(np.repeat(X[..., None], 3, -1)))


@pytest.mark.parametrize("X, error, message", [
    (np.zeros((2, 8, 8, 4), np.uint8), ValueError, r"4 .* alpha channel, as in X\[\.\.\., :3\]"),
    (np.full((2, 8, 8), 255.0), ValueError, r"reaches to 255.* X / 255"),
    (np.full((2, 8, 8), -0.5), ValueError, "standardisation"),
    (np.full((2, 8, 8), np.nan), ValueError, "NaN"),
    (np.zeros((2, 8, 8), np.int64), TypeError, "int64.*astype"),
    (np.zeros((0, 8, 8), np.uint8), ValueError, "no image"),
    (np.zeros((2, 64), np.uint8), ValueError, "shape"),
    (np.zeros((2, 3, 8, 3), np.uint8), ValueError, "channels_first"),
    (np.array([["a"]]), TypeError, "numbers"),
])
def test_what_is_no_image_is_refused_by_fit_and_transform(X, error, message):
    for method in (Averages().fit, Averages().transform):
        with pytest.raises(error, match=message):
            method(X)
    assert not Averages.passes


@pytest.mark.parametrize("params, error, message", [
    ({"batch_size": 0}, ValueError, "batch_size=0"),
    ({"batch_size": 2.5}, TypeError, "batch_size=2.5"),
    ({"input_type": "picture"}, ValueError, "input_type='picture'"),
    ({"memory": 3}, TypeError, "memory=3"),
])
def test_bad_parameters_are_named(params, error, message, images):
    with pytest.raises(error, match=message):
        Averages(**params).fit(images)
    with pytest.raises(error, match=message):
        Averages(**params).encode_text(["a"])


# Texts ------------------------------------------------------------------------------------------

@given(st.lists(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), min_size=1),
       st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_texts_keep_their_order_whatever_the_batches(texts, batch_size):
    expected = np.array([[len(text), text.count("a"), 1] for text in texts], dtype=np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    N = Averages(batch_size=batch_size).encode_text(texts)
    np.testing.assert_allclose(N, expected, atol=1e-6)


@pytest.mark.parametrize("texts, error, message", [
    ([], ValueError, "texts is empty"),
    ("a cat", TypeError, "list of strings"),
    (7, TypeError, "list of strings"),
    (["a", 3], TypeError, r"texts\[1\]=3"),
    (["a", "b", "  "], ValueError, r"texts\[2\]='  ' is empty"),
])
def test_what_is_no_text_is_refused(texts, error, message):
    with pytest.raises(error, match=message):
        Averages().encode_text(texts)


# The cache --------------------------------------------------------------------------------------

def test_the_cache_goes_by_content(tmp_path, images):
    embedder = Averages(memory=tmp_path)
    first = embedder.transform(images)
    assert Averages.passes == [7]
    for same in (images.copy(), np.asfortranarray(images), np.moveaxis(images, -1, 1)):
        np.testing.assert_array_equal(clone(embedder).transform(same), first)
    assert Averages.passes == [7]

    changed = images.copy()
    changed[3, 1, 2, 0] ^= 1
    embedder.transform(changed)
    embedder.transform(images / 255)
    embedder.transform(images[:6])
    Averages(scale=2.0, memory=tmp_path).transform(images)
    assert Averages.passes == [7, 7, 7, 6, 7]

    N = embedder.encode_text(TEXTS)
    np.testing.assert_array_equal(embedder.encode_text(tuple(TEXTS)), N)
    assert Averages.passes == [7, 7, 7, 6, 7, 4]
    np.testing.assert_array_equal(embedder.encode_text(TEXTS[::-1]), N[::-1])
    assert Averages.passes == [7, 7, 7, 6, 7, 4, 4]


def test_joblib_memory_names_the_same_folder(tmp_path, images):
    Averages(memory=str(tmp_path)).transform(images)
    Averages(memory=joblib.Memory(tmp_path, verbose=0)).transform(images)
    assert Averages.passes == [7]
    Averages(memory=joblib.Memory(None)).transform(images)
    assert Averages.passes == [7, 7]


def test_the_digest_tells_shape_and_type_apart():
    X = np.zeros((2, 1, 4, 6), np.uint8)
    others = [X.reshape(2, 1, 6, 4), X.reshape(4, 1, 2, 6), X.astype(np.float32), X.view(np.int8)]
    digests = {array_digest(A) for A in [X, *others]}
    assert len(digests) == 5
    assert array_digest(np.moveaxis(np.zeros((2, 4, 6, 1), np.uint8), -1, 1)) == array_digest(X)
    long = np.arange(3000.0)
    assert array_digest(long) != array_digest(long[::-1])


def _flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:]


@pytest.mark.parametrize("damage", [
    _flip, lambda data: data[:-9], lambda data: data[:20], lambda data: b"",
    lambda data: data + b"\0", lambda data: b"\x80\x04N."])
def test_a_damaged_entry_is_rebuilt_with_a_warning(tmp_path, images, damage):
    embedder = Averages(memory=tmp_path)
    V = embedder.transform(images)
    entry, = tmp_path.rglob("*.npy")
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    with pytest.warns(UserWarning, match="corrupt or truncated"):
        np.testing.assert_array_equal(embedder.transform(images), V)
    assert entry.read_bytes() == whole
    assert Averages.passes == [7, 7]


def test_an_entry_under_anothers_name_is_not_used(tmp_path, images):
    embedder = Averages(memory=tmp_path)
    V = embedder.transform(images)
    entry, = tmp_path.rglob("*.npy")
    embedder.transform(images[::-1])
    other, = set(tmp_path.rglob("*.npy")) - {entry}
    os.replace(other, entry)
    with pytest.warns(UserWarning, match="corrupt"):
        np.testing.assert_array_equal(embedder.transform(images), V)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("where", ["mkdir", "write", "replace"])
def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, images, monkeypatch, code, where):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    if where == "mkdir":
        monkeypatch.setattr("pathlib.Path.mkdir", fail)
    elif where == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.warns(UserWarning, match=os.strerror(code)):
        V = Averages(memory=tmp_path).transform(images)
    np.testing.assert_array_equal(V, Averages().transform(images))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_read_costs_a_warning(tmp_path, images, monkeypatch):
    embedder = Averages(memory=tmp_path)
    V = embedder.transform(images)

    def fail(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.warns(UserWarning, match="Permission denied"):
        np.testing.assert_array_equal(embedder.transform(images), V)


def test_without_memory_nothing_is_hashed():
    def key():
        raise AssertionError

    assert EmbeddingCache(None)(key, lambda: 3) == 3


# scikit-learn -----------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore:Can't test estimator")
@pytest.mark.parametrize("kind", [Averages, CLIPEmbedder])
def test_scikit_learn_finds_no_fault(kind):
    check_estimator(kind())


def test_fit_is_not_needed_and_changes_nothing(images):
    embedder = Averages()
    before = pickle.dumps(embedder)
    assert embedder.fit(images) is embedder
    assert pickle.dumps(embedder) == before
    np.testing.assert_array_equal(embedder.fit_transform(images), Averages().transform(images))


def test_columns_are_named_and_pandas_comes_out(images):
    pytest.importorskip("pandas")
    table = Averages().set_output(transform="pandas").fit_transform(images)
    assert list(table.columns) == ["averages0", "averages1", "averages2"]
    np.testing.assert_array_equal(table.to_numpy(), Averages().transform(images))


def test_progress_goes_to_the_terminal(images, capsys):
    Averages(verbose=True, batch_size=2).transform(images)
    assert "4/4" in capsys.readouterr().err
    Averages(batch_size=2).transform(images)
    assert not capsys.readouterr().err


# CLIP -------------------------------------------------------------------------------------------

def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_clip_embeds_as_open_clip_does(tiny_clip, embedder, images):
    model, preprocess, _ = tiny_clip
    with torch.inference_mode():
        expected = model.encode_text(open_clip.get_tokenizer(MODEL)(TEXTS)).numpy()
    np.testing.assert_allclose(embedder.encode_text(TEXTS), _unit(expected), atol=1e-5)

    with torch.inference_mode():
        expected = model.encode_image(torch.stack(
            [preprocess(Image.fromarray(image)) for image in images])).numpy()
    V = embedder.transform(images)
    assert V.shape == (7, 24) and V.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(V, axis=1), 1, atol=1e-6)
    assert (V * _unit(expected)).sum(1).min() > 0.9999


@pytest.mark.parametrize("shape, low, high", [
    ((32, 32), 0, 256), ((28, 28), 0, 256), ((50, 70), 0, 256), ((41, 90), 0, 256),
    ((200, 150), 0, 256), ((90, 41), 64, 192)])
@pytest.mark.parametrize("mode", [{"resize_mode": "shortest"}, {"resize_mode": "squash"},
                                  {"interpolation": "bilinear"}])
def test_clip_prepares_images_as_pil_does(tiny_clip, shape, low, high, mode):
    rng = np.random.default_rng(1)
    noise = rng.integers(low, high, (3, *shape, 3), dtype=np.uint8)
    model, _, preprocess = open_clip.create_model_and_transforms(
        MODEL, tiny_clip[2], **{f"image_{key}": value for key, value in mode.items()})
    network = _clip.CLIP(model, preprocess, None)
    ours = network.preprocess(torch.from_numpy(noise).permute(0, 3, 1, 2) / 255)
    theirs = torch.stack([preprocess(Image.fromarray(image)) for image in noise])
    assert ours.shape == theirs.shape == (3, 3, 32, 32)
    std = torch.tensor(preprocess.transforms[-1].std)[:, None, None]
    levels = (ours - theirs).abs() * std * 255
    assert levels.max() < 2 and levels.mean() < 0.5


def test_clip_embeds_one_by_one_as_in_batches(tiny_clip, embedder, images):
    single = CLIPEmbedder(MODEL, str(tiny_clip[2]), device="cpu", batch_size=1)
    np.testing.assert_allclose(single.transform(images), embedder.transform(images), atol=1e-5)
    np.testing.assert_allclose(single.encode_text(TEXTS), embedder.encode_text(TEXTS), atol=1e-5)


def test_use_leaves_no_trace_on_the_embedder_or_the_random_numbers(embedder, images):
    _clip._load.cache_clear()
    before, hashed, rng = pickle.dumps(embedder), joblib.hash(embedder), torch.get_rng_state()
    V = embedder.transform(images)
    embedder.encode_text(TEXTS)
    assert pickle.dumps(embedder) == before and joblib.hash(embedder) == hashed
    assert torch.equal(torch.get_rng_state(), rng)
    np.testing.assert_array_equal(pickle.loads(before).transform(images), V)
    clone(embedder).transform(images)
    assert _clip._load.cache_info().misses == 1


def test_clip_feature_names_need_no_weights(tmp_path, tiny_clip):
    assert len(CLIPEmbedder(MODEL, tmp_path / "none").get_feature_names_out()) == 24


def test_new_weights_at_the_old_path_are_new_embeddings(tiny_clip, tmp_path, images):
    model, _, path = tiny_clip
    weights = torch.load(path, weights_only=True)
    here = tmp_path / "weights.pt"
    torch.save(weights, here)
    embedder = CLIPEmbedder(MODEL, here, device="cpu", memory=tmp_path)
    V = embedder.transform(images)
    weights["visual.proj"] = weights["visual.proj"].flip(1)
    torch.save(weights, here)
    os.utime(here, ns=(1, 1))
    np.testing.assert_allclose(embedder.transform(images), V[:, ::-1], atol=1e-6)


def test_safetensors_are_read_too(tiny_clip, embedder, tmp_path, images):
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "tiny.safetensors"
    safetensors.save_file(torch.load(tiny_clip[2], weights_only=True), path)
    np.testing.assert_array_equal(CLIPEmbedder(MODEL, path, device="cpu").transform(images),
                                  embedder.transform(images))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def _half(path, target):
    target.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])


def _bit_flipped(path, target):
    target.write_bytes(_flip(path.read_bytes()))


def _empty(path, target):
    target.write_bytes(b"")


def _other_model(path, target):
    weights = torch.load(path, weights_only=True)
    weights["visual.proj"] = weights["visual.proj"][:, :-1]
    torch.save(weights, target)


def _incomplete(path, target):
    weights = torch.load(path, weights_only=True)
    del weights["visual.proj"]
    torch.save(weights, target)


def _executable(path, target):
    torch.save({"weights": Malicious()}, target)


@pytest.mark.parametrize("damage", [_half, _bit_flipped, _empty, _other_model, _incomplete,
                                    _executable])
def test_a_damaged_checkpoint_is_refused(tiny_clip, tmp_path, images, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "damaged.pt"
    damage(tiny_clip[2], target)
    embedder = CLIPEmbedder(MODEL, target, device="cpu", memory=tmp_path / "cache")
    with pytest.raises(ValueError, match="damaged.pt cannot be read as weights of"):
        embedder.transform(images)
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("args, kwargs, error, message", [
    (("ViT-B32",), {}, ValueError, "model_name='ViT-B32' is unknown. Did you mean 'ViT-B-32'"),
    ((32,), {}, TypeError, "model_name=32"),
    (("ViT-B-32", "laion2b_s34"), {}, ValueError, "neither a file nor a tag.*laion2b_s34b_b79k"),
    ((MODEL, "nowhere.pt"), {}, ValueError, "'nowhere.pt' is neither.*give a file's path"),
    (("ViT-B-32", None), {}, TypeError, "pretrained=None.*a path or a tag"),
    (("ViT-B-32", "openai"), {"checkpoint": "nowhere.pt"}, ValueError, "checkpoint='nowhere.pt'"),
    (("ViT-B-32", "openai"), {"checkpoint": 3}, TypeError, "checkpoint=3"),
])
def test_clip_names_what_is_unknown(tiny_clip, images, args, kwargs, error, message):
    for method, data in (("fit", images), ("transform", images), ("encode_text", TEXTS)):
        with pytest.raises(error, match=message):
            getattr(CLIPEmbedder(*args, **kwargs), method)(data)


def test_weights_out_of_reach_say_what_to_do(monkeypatch, images):
    def unreachable(*args, **kwargs):
        raise FileNotFoundError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", unreachable)
    with pytest.raises(ConnectionError, match="checkpoint='path/to/file'.*ConSEEmbedder"):
        CLIPEmbedder("ViT-B/32", "openai").transform(images)


def test_a_tags_own_settings_come_with_its_file(tiny_clip, monkeypatch):
    tag = open_clip.get_pretrained_cfg("ViT-L-14", "laion2b_s32b_b82k")
    assert tag["mean"] == (0.5, 0.5, 0.5)
    embedder = CLIPEmbedder("ViT-L-14", "laion2b_s32b_b82k", checkpoint=tiny_clip[2])
    assert json.loads(embedder._source().preprocessing)["mean"] == [0.5, 0.5, 0.5]
    assert not embedder._source().quick_gelu
    openai = CLIPEmbedder("ViT-B-32", "openai", checkpoint=tiny_clip[2])
    assert openai._source().quick_gelu


def test_a_bare_file_for_a_model_of_other_preprocessing_is_refused(tiny_clip):
    with pytest.raises(ValueError, match="pretrained='webli', checkpoint="):
        CLIPEmbedder("ViT-B-16-SigLIP", tiny_clip[2]).encode_text(TEXTS)
