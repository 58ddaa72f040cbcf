"""CLIP: images and their captions in one space, by open_clip."""

import difflib
import functools
import json
import os
import zipfile
from typing import NamedTuple

import torch.nn.functional as F
from torch import nn

from cmkdlearn._validation import check_option
from cmkdlearn.embedding._base import Embedder
from cmkdlearn.embedding._cache import file_digest
from cmkdlearn.nn.data import seeded

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


class CLIPEmbedder(Embedder):
    """Embed images and texts by a CLIP model of open_clip.

    Images and texts are prepared as the model was trained: by its own size, resizing, mean and
    standard deviation, and by its own tokenizer, which cuts texts at the model's context length
    (77 tokens for most). Images are resized on batches of tensors, which stays within two grey
    levels (of 255) of what open_clip does with Pillow, 0.3 on average; only at hard edges between
    black and white in images higher than wide it can be more.

    Parameters
    ----------
    model_name : str, default="ViT-B-32"
        An architecture that open_clip knows (``open_clip.list_models()``), also one added by
        ``open_clip.add_model_config``.
    pretrained : str or os.PathLike, default="laion2b_s34b_b79k"
        A tag of published weights (``open_clip.list_pretrained()``), downloaded at first use and
        kept by open_clip; or the path of a checkpoint (.pt, .pth, .bin or .safetensors). A
        checkpoint by its path gets open_clip's default preprocessing, and the activation that
        ``model_name`` has: weights trained with QuickGELU want a name that ends in "-quickgelu".
    checkpoint : str or os.PathLike, optional
        A file that holds the weights of the tag ``pretrained``, where they cannot be downloaded:
        preprocessing and activation are then the tag's.
    input_type : {"image", "channels_first", "channels_last"}, optional
        The layout of images whose shape leaves it open.
    batch_size : int, default=32
        Images or texts per pass. A GPU works faster with 256 or more.
    device : str or torch.device, default="auto"
        "auto" takes the GPU where there is one. A GPU works in mixed precision.
    memory : str, os.PathLike or joblib.Memory, optional
        Folder in which embeddings are kept, found again by the content of the images or texts and
        by the digest of the weights.
    verbose : "auto", bool or int, default="auto"
        Whether to show progress; "auto" does so in a terminal or notebook, after ten seconds.

    Raises
    ------
    ValueError
        For an unknown model or tag, with those that come near; for a checkpoint that is corrupt,
        truncated or another model's. Nothing in a checkpoint is executed (``weights_only=True``).
    ConnectionError
        When the weights cannot be downloaded, with what to do offline.

    See Also
    --------
    ConSEEmbedder : Needs no download from a model hub.

    References
    ----------
    .. [1] A. Radford et al. "Learning Transferable Visual Models From Natural Language
       Supervision". ICML 2021.
    .. [2] M. Cherti et al. "Reproducible Scaling Laws for Contrastive Language-Image Learning".
       CVPR 2023.

    Examples
    --------
    >>> from cmkdlearn.embedding import CLIPEmbedder
    >>> embedder = CLIPEmbedder("ViT-B-32", "laion2b_s34b_b79k")
    >>> V = embedder.transform(images)  # doctest: +SKIP
    >>> N = embedder.encode_text(["a photo of a cat.", "a photo of a dog."])  # doctest: +SKIP
    >>> (V @ N.T).argmax(axis=1)  # doctest: +SKIP
    """

    def __init__(self, model_name="ViT-B-32", pretrained="laion2b_s34b_b79k", *, checkpoint=None,
                 input_type=None, batch_size=32, device="auto", memory=None, verbose="auto"):
        self.model_name = model_name
        self.pretrained = pretrained
        self.checkpoint = checkpoint
        self.input_type = input_type
        self.batch_size = batch_size
        self.device = device
        self.memory = memory
        self.verbose = verbose

    @property
    def _n_features_out(self):
        try:
            return json.loads(_architecture(self.model_name))["embed_dim"]
        except (TypeError, ValueError) as error:  # to look at an estimator must not fail
            raise AttributeError(str(error)) from error

    def _check_params(self):
        _architecture(self.model_name)
        self._tag()
        super()._check_params()

    def _identity(self):
        return {**self._source()._asdict(), "path": None}

    def _network(self, device):
        return _load(self._source(), device)

    def _tag(self):
        """What open_clip knows of published weights; nothing of a checkpoint by its path."""
        import open_clip

        for name in ("pretrained", "checkpoint"):
            value = getattr(self, name)
            optional = name == "checkpoint" and value is None
            if not (optional or isinstance(value, (str, os.PathLike))):
                raise TypeError(f"{name}={value!r} is a {type(value).__name__}; it must be a path"
                                + (" or None." if name == "checkpoint" else " or a tag."))
        name, pretrained = _plain(self.model_name), os.fspath(self.pretrained)
        tag = open_clip.get_pretrained_cfg(name, pretrained)
        tags = open_clip.list_pretrained_tags_by_model(name)
        if self.checkpoint is not None and not os.path.isfile(self.checkpoint):
            raise ValueError(f"checkpoint={os.fspath(self.checkpoint)!r} is not a file.")
        if tag:
            return tag
        if self.checkpoint is not None or not os.path.isfile(pretrained):
            near = difflib.get_close_matches(pretrained, tags, n=3) or tags
            hint = f"Tags are {', '.join(near)}." if near else "It has no tags; give a file's path."
            raise ValueError(f"pretrained={pretrained!r} is neither a file nor a tag of weights "
                             f"for {self.model_name}. {hint}")
        if tags and not any(_is_default(open_clip.get_pretrained_cfg(name, tag)) for tag in tags):
            raise ValueError(f"pretrained={pretrained!r} leaves open how {self.model_name} wants "
                             f"its images prepared. Name the weights, and pass the file beside: "
                             f"pretrained={tags[0]!r}, checkpoint={pretrained!r}.")
        return {}

    def _source(self):
        tag = self._tag()
        if self.checkpoint is not None:
            path = self.checkpoint
        elif tag:
            path = _download(_plain(self.model_name), self.pretrained)
        else:
            path = self.pretrained
        preprocessing = {key: tag[key] for key in PREPROCESSING if key in tag}
        return Source(model_name=_plain(self.model_name),
                      architecture=_architecture(self.model_name),
                      preprocessing=json.dumps(preprocessing),
                      quick_gelu=bool(tag.get("quick_gelu")),
                      sha256=file_digest(path), path=os.path.abspath(path))


class Source(NamedTuple):
    """All that makes a network what it is, and the file it comes from."""

    model_name: str
    architecture: str
    preprocessing: str
    quick_gelu: bool
    sha256: str
    path: str


@functools.lru_cache(maxsize=2)
def _load(source, device):
    import open_clip

    try:
        if zipfile.is_zipfile(source.path):  # torch.load does not look at the checksums
            with zipfile.ZipFile(source.path) as archive:
                if any(member.compress_type for member in archive.infolist()):
                    raise ValueError("it is compressed, and might be of any size")
                if (damaged := archive.testzip()) is not None:
                    raise ValueError(f"the checksum of {damaged} does not match")
        with seeded(0):  # the network starts at random, before it gets its weights
            model, _, preprocess = open_clip.create_model_and_transforms(
                source.model_name, source.path, force_quick_gelu=source.quick_gelu,
                weights_only=True, **{f"image_{key}": value for key, value
                                      in json.loads(source.preprocessing).items()})
    except Exception as error:  # each file format fails in its own ways
        raise ValueError(f"The checkpoint {source.path} cannot be read as weights of "
                         f"{source.model_name}: it is corrupt, truncated, or another model's. "
                         f"Download it again. (Its SHA-256 is {source.sha256}.)") from error
    return CLIP(model, preprocess, _tokenizer(source.model_name)).to(device).eval()


class CLIP(nn.Module):
    """A model of open_clip with its own preprocessing and tokenizer."""

    def __init__(self, model, preprocess, tokenizer):
        super().__init__()
        self.model = model
        self.resize, *rest = preprocess.transforms
        # Cropping and normalising; what is no module only makes a tensor of a Pillow image.
        self.rest = [step for step in rest if isinstance(step, nn.Module)]
        self.tokenizer = tokenizer

    def encode_image(self, images):
        return self.model.encode_image(self.preprocess(images))

    def encode_text(self, texts):
        return self.model.encode_text(self.tokenizer(texts).to(self.model.logit_scale.device))

    def preprocess(self, images):
        images = _resize(images, self.resize)
        for step in self.rest:
            images = step(images)
        return images


def _resize(images, resize):
    """Resize as Pillow does: the width, then the height, and clip what overshoots each time."""
    height, width = resize(images[:1, :1]).shape[-2:]
    for size in ((images.shape[-2], width), (height, width)):
        images = F.interpolate(images, size, mode=resize.interpolation.value, antialias=True)
        images = images.clamp(0, 1)
    return images


@functools.lru_cache(maxsize=16)
def _download(model_name, tag):
    import open_clip

    published = open_clip.get_pretrained_cfg(model_name, tag)
    try:
        return open_clip.download_pretrained(published)
    except (OSError, RuntimeError) as error:
        source = published["hf_hub"] or published["url"]
        raise ConnectionError(
            f"The weights {tag!r} of {model_name} cannot be downloaded ({source}). Without a "
            f"network, download them elsewhere and pass the file: CLIPEmbedder({model_name!r}, "
            f"{tag!r}, checkpoint='path/to/file'). ConSEEmbedder() needs no download.") from error


def _tokenizer(model_name):
    import open_clip

    try:
        return open_clip.get_tokenizer(model_name)
    except OSError as error:
        raise ConnectionError(
            f"The tokenizer of {model_name} cannot be downloaded. Use this model once where there "
            "is a network, so that it is kept, or a model whose tokenizer open_clip carries, such "
            "as 'ViT-B-32'.") from error


def _architecture(model_name):
    """The configuration of an architecture, as JSON: users can add and change them."""
    import open_clip

    if not isinstance(model_name, str):
        raise TypeError(f"model_name={model_name!r} is a {type(model_name).__name__}; it must be a "
                        "string.")
    check_option("model_name", _plain(model_name), open_clip.list_models())
    return json.dumps(open_clip.get_model_config(_plain(model_name)), sort_keys=True)


def _plain(model_name):
    return model_name.replace("/", "-")


def _is_default(tag):
    from open_clip.transform import PreprocessCfg

    return all(tag.get(key, value) == value for key, value in vars(PreprocessCfg()).items()
               if key in PREPROCESSING)
