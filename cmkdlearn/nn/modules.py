"""Networks that come apart into an encoder (samples to features) and a head (to logits)."""

import copy
import inspect
from pathlib import Path

import torch
from torch import nn

from cmkdlearn._validation import check_number
from cmkdlearn.losses import Output

__all__ = ["EmbeddingResNet"]

SMALL_IMAGE = 64


class Classifier(nn.Module):
    """An encoder and the linear head that reads its features.

    Parameters
    ----------
    encoder : Module
        (n, ...) to features (n, d).
    head : Module
        Features to logits (n, n_classes).
    preprocess : Module, optional
        Applied to the raw batch first.
    """

    def __init__(self, encoder, head, preprocess=None):
        super().__init__()
        self.preprocess = preprocess or ToFloat()
        self.encoder = encoder
        self.head = head

    def forward(self, x):
        """Return the :class:`~cmkdlearn.losses.Output` of a batch."""
        features = self.encoder(self.preprocess(x))
        return Output(self.head(features), features)


class LogitsOnly(nn.Module):
    """A network of the user's that does not end in a linear layer: it has no features to share."""

    def __init__(self, network, preprocess=None):
        super().__init__()
        self.preprocess = preprocess or ToFloat()
        self.network = network

    def forward(self, x):
        """Return the :class:`~cmkdlearn.losses.Output` of a batch."""
        return Output(self.network(self.preprocess(x)))


class ToFloat(nn.Module):
    """Bytes become floating-point numbers in [0, 1]; floating-point numbers stay.

    The network that follows gets float32.
    """

    def forward(self, x):
        """Return ``x`` as floating-point numbers."""
        return _unit(x).float()


class Standardise(nn.Module):
    """Subtract the training data's mean and divide by its standard deviation.

    For images channel by channel; for a table and a sequence feature by feature and in double
    precision, so that small changes of large numbers survive. A constant feature is only centred.
    """

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def of(cls, X, kind, chunk=2**22, weight=None):
        """Measure the statistics of a tensor, about ``chunk`` numbers at a time.

        ``weight`` (n,) float64 says how often each sample counts.
        """
        axes = (0, 2, 3) if kind == "image" else tuple(range(X.ndim - 1))
        rows = max(1, chunk // X[0].numel())
        n = len(X) if weight is None else weight.sum()

        def mean_of(function):
            total = torch.zeros((), dtype=torch.double)
            for i, part in enumerate(X.split(rows)):
                values = function(_unit(part).double())
                if weight is not None:
                    own = weight[i * rows:(i + 1) * rows]
                    values = values * own.view(-1, *[1] * (values.ndim - 1))
                total = total + values.sum(axes, keepdim=True)
            return (total / (n * (X[0].numel() / total.numel())))[0]

        mean = mean_of(lambda part: part)
        std = mean_of(lambda part: (part - mean) ** 2).sqrt()
        # rounding, not signal: what X holds nothing finer than
        std[std <= (1e-14 if X.dtype == torch.float64 else 1e-9) * mean.abs()] = 1
        std[std <= 1e-12 * std.max()] = 1
        return cls(mean.float() if kind == "image" else mean, std.float())

    def forward(self, x):
        """Return the standardised batch."""
        return ((_unit(x).to(self.mean.dtype) - self.mean) / self.std).float()


def _unit(x):
    """Bring bytes into [0, 1]."""
    return x.float() / 255 if x.dtype == torch.uint8 else x


class MeanOverTime(nn.Module):
    """Average a sequence (n, T, d) over its time axis."""

    def forward(self, x):
        """Return (n, d)."""
        return x.mean(dim=1)


class EmbeddingResNet(nn.Module):
    """A ResNet that reads an embedding as an image of one pixel with as many channels.

    For ``module=`` of a :class:`~cmkdlearn.teachers.WordNetRelaxedTeacher`: the T_x of [1]_ is a
    pre-trained ResNet-50, fine-tuned on the image and text embedding side by side. As in the
    authors' code, the first convolution is a new one, of the width of the input; all else keeps the
    weights that it was pre-trained with.

    Parameters
    ----------
    n_classes : int
        An estimator says it.
    in_features : int, default=1024
        The width of what is read: twice that of CLIP ViT-B/32's embeddings.
    name : str, default="resnet50"
        A ResNet of timm's.
    pretrained : bool, default=False
        Take the weights of timm's hub, which is to be reached then.
    checkpoint_path : path-like, default=None
        Take those of a file, with or without a head.

    References
    ----------
    .. [1] Guo et al. "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification".

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.modules import EmbeddingResNet
    >>> network = EmbeddingResNet(n_classes=6, in_features=32, name="resnet18")
    >>> network(torch.zeros(4, 32)).shape
    torch.Size([4, 6])
    """

    def __init__(self, n_classes, in_features=1024, name="resnet50", pretrained=False,
                 checkpoint_path=None):
        import timm

        super().__init__()
        check_number("in_features", in_features, low=1, integer=True)
        if not timm.is_model(name):
            raise ValueError(f"name={name!r} is no model of timm's, such as 'resnet50'.")
        overlay = {} if checkpoint_path is None else {
            "pretrained_cfg_overlay": _weights_in(checkpoint_path, name)}
        resnet = timm.create_model(name, pretrained=pretrained or bool(overlay), num_classes=0,
                                   **overlay)
        if overlay:
            del resnet.pretrained_cfg["state_dict"]  # which would be pickled with it
        if not isinstance(getattr(resnet, "conv1", None), nn.Conv2d):
            raise ValueError(f"name={name!r} does not begin with one convolution; take a plain "
                             "ResNet, such as 'resnet50'.")
        resnet.conv1 = nn.Conv2d(in_features, resnet.conv1.out_channels, 7, stride=2, padding=3,
                                 bias=False)
        self.resnet = resnet
        self.fc = nn.Linear(resnet.num_features, n_classes)

    def forward(self, x):
        """Return logits (n, n_classes) of embeddings (n, in_features)."""
        return self.fc(self.resnet(x[:, :, None, None]))


def mlp(in_features, hidden=(256,), dropout=0.0):
    """Return linear layers with ReLU and dropout between them, the last one's output included."""
    layers, width = [], in_features
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()] + [nn.Dropout(dropout)] * (dropout > 0)
        width = size
    return nn.Sequential(*layers), width


def linear_head(weight, bias):
    """Return a frozen linear layer of scikit-learn's coefficients.

    Two classes may have one row: the logit of the second class minus that of the first.
    """
    weight = torch.atleast_2d(torch.as_tensor(weight))
    bias = torch.as_tensor(bias).expand(len(weight))
    if len(weight) == 1:
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    # an ordinary layer would draw its weights first, from torch's global generator
    head = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight), dtype=torch.float32)
    head.requires_grad_(False)
    head.weight.copy_(weight)
    head.bias.copy_(bias)
    return head


def build_classifier(module, X, kind, n_classes, preprocess=None, weight=None, /, **kwargs):
    """Make the network that an estimator's ``module`` parameter stands for.

    Parameters
    ----------
    module : "auto", str, Module class or instance
        "auto": an MLP for a table, timm's ResNet-18 for images (with its small-image stem below
        64 pixels), the mean over time and an MLP for a sequence. Another string: a timm model.
        A class is called with ``kwargs``, and told the number of classes where its constructor
        has a parameter ``n_classes`` or ``num_classes``; an instance is copied.
    X : Tensor
        Training data in canonical layout.
    kind : {"table", "image", "sequence"}
    n_classes : int
    preprocess : Module, optional
        In place of the standardisation of a table or a sequence.
    weight : Tensor of shape (n,), optional
        How often each sample counts in the standardisation, float64.
    **kwargs
        For the constructor (``module__*`` of the estimator). For timm's: ``pretrained=True`` takes
        weights from its hub, ``checkpoint_path`` those of a file, with or without a head.

    Returns
    -------
    Classifier or LogitsOnly

    Notes
    -----
    Named networks standardise their input by the training data's statistics, pretrained ones by
    those they were pretrained with. A network of the user's gets floating-point numbers as they
    are, and bytes scaled to [0, 1].
    """
    if isinstance(module, str):
        if module == "auto" and kind != "image":
            body, width = mlp(X.shape[-1], **kwargs)
            encoder = nn.Sequential(MeanOverTime(), body) if kind == "sequence" else body
            return Classifier(encoder, nn.Linear(width, n_classes),
                              preprocess or Standardise.of(X, kind, weight=weight))
        return _timm_classifier(module, X, kind, n_classes, weight, **kwargs)
    if inspect.isclass(module) and issubclass(module, nn.Module):
        told = {"n_classes", "num_classes"} & inspect.signature(module).parameters.keys()
        network = module(**{name: n_classes for name in told} | kwargs)
    elif isinstance(module, nn.Module):
        if kwargs:
            raise ValueError(f"module is an instance, so module__{next(iter(kwargs))} has no "
                             "constructor to go to; pass the class instead.")
        network = copy.deepcopy(module)
        if all(p.dtype == torch.float64 for p in network.parameters()):
            network.float()  # made where that is torch's default dtype
    else:
        raise TypeError(f'module={module!r} must be "auto", the name of a timm model, or a '
                        "torch.nn.Module class or instance.")
    return split_head(network, X, n_classes)


def _timm_classifier(name, X, kind, n_classes, weight, /, pretrained=False, checkpoint_path=None,
                     **kwargs):
    import timm

    if kind != "image":
        raise ValueError(f"module={name!r} is an image network, but X is a {kind}; use "
                         'module="auto" or a torch.nn.Module.')
    trained = pretrained or checkpoint_path is not None
    small = name in ("auto", "resnet18") and max(X.shape[2:]) < SMALL_IMAGE and not trained
    if name == "auto":
        name = "resnet18"
    if not timm.is_model(name):
        near = (timm.list_models(f"*{name}*")[:3]
                or ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
        raise ValueError(f'module={name!r} is neither "auto" nor a timm model such as '
                         f"{', '.join(near)}.")
    if checkpoint_path is not None:
        kwargs["pretrained_cfg_overlay"] = {**kwargs.get("pretrained_cfg_overlay", {}),
                                            **_weights_in(checkpoint_path, name)}
    try:
        encoder = _timm_encoder(name, X, pretrained=trained, **kwargs)
    except RuntimeError as error:
        if checkpoint_path is None:
            raise
        raise ValueError(f"module__checkpoint_path={str(checkpoint_path)!r} does not hold the "
                         f"weights of module={name!r}: {str(error)[:500]}") from error
    if checkpoint_path is not None:
        del encoder.pretrained_cfg["state_dict"]  # which would be pickled with it
    if small:
        # the stem for small images of He et al. (2016), section 4.2: 3 x 3, no early pooling
        encoder.conv1 = nn.Conv2d(X.shape[1], 64, 3, padding=1, bias=False)
        encoder.maxpool = nn.Identity()
    preprocess = _as_pretrained(encoder.pretrained_cfg, X.shape[1]) if trained \
        else Standardise.of(X, kind, weight=weight)
    width = _n_features(name, encoder, preprocess(X[:2].clone()))
    return Classifier(encoder, nn.Linear(width, n_classes), preprocess)


def _timm_encoder(name, X, **kwargs):
    """Make a timm network without its head, for images of the size that X has."""
    import timm

    size, cfg = tuple(X.shape[2:]), timm.get_pretrained_cfg(name)
    kwargs = {"num_classes": 0, "in_chans": X.shape[1], **kwargs}
    if cfg is None or not cfg.fixed_input_size or size == cfg.input_size[1:] \
            or "img_size" in kwargs:
        return timm.create_model(name, **kwargs)
    try:
        encoder = timm.create_model(name, img_size=size, **kwargs)
    except TypeError:  # some have the one size only
        return timm.create_model(name, **kwargs)
    patch = timm.layers.to_2tuple(getattr(getattr(encoder, "patch_embed", None), "patch_size", 1))
    if size[0] % patch[0] or size[1] % patch[1]:
        raise ValueError(f"module={name!r} cuts images into patches of {patch[0]} x {patch[1]}, "
                         f"which do not fill {size[0]} x {size[1]}: resize X, or pass "
                         "module__patch_size.")
    return encoder


def _weights_in(path, name):
    """Return the weights of a file, but for the head's, so that timm takes all of them or none."""
    import timm

    if not Path(path).is_file():
        raise FileNotFoundError(f"module__checkpoint_path={str(path)!r}: there is no such file.")
    try:
        weights = timm.models.load_state_dict(path)
    except Exception as error:  # unpickling fails in many ways
        raise ValueError(f"module__checkpoint_path={str(path)!r} cannot be read as tensors by "
                         f"name, as torch.save and safetensors write them: {error}") from error
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None:
        raise ValueError(f"module={name!r} does not say where its head is, so that "
                         "module__checkpoint_path cannot leave it out. Load the weights yourself, "
                         "and pass the torch.nn.Module.")
    heads = {cfg.classifier} if isinstance(cfg.classifier, str) else {*(cfg.classifier or ())}
    return {"state_dict": {key: value for key, value in weights.items()
                           if key.rpartition(".")[0] not in heads},
            "num_classes": 0, "label_offset": 0}


def _as_pretrained(cfg, channels):
    """Return the standardisation of pretraining; of other channels than its, as timm has it.

    There the first layer's weights are repeated, or, of a single channel, added up.
    """
    mean, std = (torch.tensor(cfg[name]) for name in ("mean", "std"))
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    which = torch.arange(channels) % len(mean)
    return Standardise(mean[which, None, None], std[which, None, None])


def _n_features(name, encoder, images):
    """Return the width of what an encoder returns, or say why it cannot read the images."""
    size = " x ".join(map(str, images.shape[1:]))
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        try:
            # eval mode of a copy: batch statistics untouched
            features = copy.deepcopy(encoder).eval()(images)
        except Exception as error:
            made_for = getattr(encoder, "pretrained_cfg", {}).get("input_size", ())
            raise ValueError(
                f"module={name!r} cannot read images of {size}: {str(error).rstrip('.')}. "
                + f"It was made for {' x '.join(map(str, made_for))}. " * bool(made_for)
                + "Resize X, or pass what the model takes for its size, as module__img_size or "
                "module__patch_size.") from error
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise ValueError(f"module={name!r} makes no vector of an image, which a head could read; "
                         'pass module__global_pool="avg", where the model takes it.')
    return features.shape[1]


def split_head(network, X, n_classes, preprocess=None):
    """Take the last linear layer of a user's network off as its head, if that is what it is.

    Parameters
    ----------
    network : Module
        From what ``preprocess`` makes of samples to logits (n, n_classes).
    X : Tensor
        Samples, of which two are tried.
    n_classes : int
    preprocess : Module, optional
        Applied to the raw batch first; None: :class:`ToFloat`.

    Returns
    -------
    Classifier or LogitsOnly
        Whichever gives the same logits, bit for bit.
    """
    preprocess = preprocess or ToFloat()
    probe = preprocess(X[:2].clone())  # a network may write to its input
    with torch.inference_mode():
        # eval mode of a copy: dropout off, batch statistics untouched
        try:
            logits = copy.deepcopy(network).eval()(probe)
        except Exception as error:
            raise ValueError(f"module cannot read a batch of X, of shape {tuple(X[:2].shape)}: "
                             f"{error}") from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (len(X[:2]), n_classes):
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ValueError(f"module returned {got} for {len(X[:2])} samples of {n_classes} classes; "
                         f"it must return logits of shape (n, {n_classes}).")
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        return LogitsOnly(network, preprocess)
    if linear == [""]:
        return Classifier(nn.Identity(), network, preprocess)
    encoder = copy.deepcopy(network)
    parent, _, name = linear[-1].rpartition(".")
    head = getattr(encoder.get_submodule(parent), name)
    setattr(encoder.get_submodule(parent), name, nn.Identity())
    candidate = Classifier(encoder, head, preprocess)
    with torch.inference_mode():
        try:
            output = copy.deepcopy(candidate).eval()(X[:2].clone())
            same = output.features.ndim == 2 and torch.equal(output.logits, logits)
        except (RuntimeError, TypeError):
            same = False
    return candidate if same else LogitsOnly(network, preprocess)
