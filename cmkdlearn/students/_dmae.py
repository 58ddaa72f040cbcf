"""Masked autoencoders as distillers (Bai et al. 2023), for vision transformers."""

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator
from torch import nn

from cmkdlearn._protocol import fit_teacher, labelled_part
from cmkdlearn._seeding import seeded_copy
from cmkdlearn._validation import check_number
from cmkdlearn.base import TorchClassifier, TorchEstimator
from cmkdlearn.losses._base import squared_error
from cmkdlearn.nn.data import weighted_mean
from cmkdlearn.nn.modules import build_classifier

DEPTH = 3 / 4  # of both networks, where features are aligned
LEAST_PATCHES = 16


class DMAEDistiller(TorchClassifier):
    r"""A vision transformer pretrained to see what is hidden as its teacher would, then fine-tuned.

    Pretraining needs no labels. The student sees a random quarter of an image's patches. From
    them a light decoder draws the hidden ones, and its features of the visible ones are
    projected to the teacher's, which sees the same patches and no others:

    .. math::

        L = \operatorname*{mean}_{\text{hidden}} \| \hat x - x \|^2
          + \lambda \operatorname*{mean}_{\text{visible}} | P(z_S) - z_T |

    with pixels :math:`x` standardised patch by patch, and features after three quarters of each
    network's blocks, so that the rest of the teacher is never run. Fine-tuning is plain
    cross-entropy on the labelled samples.

    Parameters
    ----------
    teacher : estimator, default=None
        A classifier whose network is one of timm's vision transformers with as many patches as the
        student's, such as ``UnimodalTeacher("vit_small_patch16_224", module__pretrained=True)``;
        of any modality that is images. None: no teacher, a masked autoencoder.
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        The name of a timm vision transformer. "auto" is its tiny one, with patches as large as
        leaves 16 of them.
    modality : str, default=None
        What the student reads, where ``X`` is a dict of modalities.
    pretrain_epochs : int, default=20
    mask_ratio : float, default=0.75
        Share of the patches that is hidden, in (0, 1).
    lambda_align : float, default=1.0
        :math:`\lambda \ge 0`, the weight of the teacher.
    decoder_dim : int, default=128
        Width of the decoder, a multiple of 4.
    decoder_depth : int, default=1
        Its blocks.
    augmentation : {None, "weak", "strong"} or callable, default=None
        Of the student's images in fine-tuning.
    **training
        As for :class:`~cmkdlearn.base.TorchClassifier`; ``max_epochs`` are those of fine-tuning.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    teacher_ : fitted teacher, or None
    pretraining_history_ : skorch.history.History
        ``train_pixel_loss`` and ``train_align_loss`` an epoch.
    history_ : skorch.history.History
        Of fine-tuning.

    Notes
    -----
    Samples without a label (-1, None among strings) are used in pretraining.

    References
    ----------
    .. [1] Bai, Wang, Xiao, Wei, Wang, Yuille, Zhou, Xie. "Masked Autoencoders Enable Efficient
       Knowledge Distillers", CVPR 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.students import DMAEDistiller
    >>> digits = load_digits()
    >>> student = DMAEDistiller(module__embed_dim=24, module__depth=4, module__num_heads=2,
    ...                         input_type="image", pretrain_epochs=2, max_epochs=5, lr=3e-3,
    ...                         random_state=0)
    >>> student.fit(digits.images[:500], digits.target[:500]).predict(digits.images[:3]).shape
    (3,)
    """

    _takes_unlabelled = True

    def __init__(self, teacher=None, *, module="auto", modality=None, pretrain_epochs=20,
                 mask_ratio=0.75, lambda_align=1.0, decoder_dim=128, decoder_depth=1,
                 augmentation=None, **training):
        self.teacher = teacher
        self.pretrain_epochs = pretrain_epochs
        self.mask_ratio = mask_ratio
        self.lambda_align = lambda_align
        self.decoder_dim = decoder_dim
        self.decoder_depth = decoder_depth
        super().__init__(module, modality=modality, augmentation=augmentation, **training)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # a table has no patches
        return tags

    def _check_params(self):
        super()._check_params()
        check_number("pretrain_epochs", self.pretrain_epochs, low=0, integer=True)
        check_number("mask_ratio", self.mask_ratio, low=0, high=1)
        check_number("lambda_align", self.lambda_align, low=0)
        check_number("decoder_depth", self.decoder_depth, low=1, integer=True)
        if check_number("decoder_dim", self.decoder_dim, low=4, integer=True) % 4:
            raise ValueError(f"decoder_dim={self.decoder_dim} must be a multiple of 4.")
        teacher = self.teacher
        inner = teacher.estimator if isinstance(teacher, FrozenEstimator) else teacher
        if not (inner is None or isinstance(inner, TorchClassifier)):
            raise TypeError(f"teacher={teacher!r} must be a network of patches, such as "
                            'UnimodalTeacher("vit_tiny_patch16_224").')

    def _prepare(self, X, y, data):
        if self._kind != "image":
            raise ValueError(f"DMAEDistiller reads images; X holds a {self._kind}. Pass "
                             'input_type="image" if it is images all the same.')
        self.teacher_ = None
        if self.teacher is None:
            return {}
        X_known, y_known, weight = labelled_part(X, y, data.get("weight"))
        self.teacher_ = fit_teacher(seeded_copy(self.teacher, self._draw_seed()), X_known, y_known,
                                    weight=weight)
        teacher = getattr(self.teacher_, "estimator", self.teacher_)
        _check_transformer("teacher", teacher.net_.module_)
        return {"teacher_X": teacher.reader_.read(X, owner=teacher)}

    def _build(self, data):
        module, params = self.module, self._routed("module")
        if module == "auto":
            size = tuple(data["X"].shape[2:])
            module = "vit_tiny_patch16_224"
            params = {"img_size": size, "patch_size": _patch_size(size), **params}
        classifier = build_classifier(module, data["X"], self._kind, len(self.classes_), None,
                                      data.get("weight"), **params)
        _check_transformer("student", classifier)
        teacher = None
        if self.teacher_ is not None:
            teacher = getattr(self.teacher_, "estimator", self.teacher_).net_.module_
        autoencoder = MaskedAutoencoder(classifier, teacher, self.mask_ratio, self.decoder_dim,
                                        self.decoder_depth)
        training = {**self.get_params(deep=False), "max_epochs": self.pretrain_epochs,
                    "early_stopping": False, "warm_start": False,
                    "random_state": int(torch.randint(2**31 - 1, ()))}
        pretraining = _Pretraining(autoencoder, self.lambda_align, **{
            name: value for name, value in training.items()
            if name in TorchEstimator._get_param_names()
            or name.startswith(("optimizer__", "iterator_train"))})
        pretraining._train({name: value for name, value in data.items() if name != "y"}, None)
        self.pretraining_history_ = pretraining.net_.history
        return classifier.cpu()

    def _loss(self, module, batch, output):
        return {"loss": self._cross_entropy(output, batch)}


class _Pretraining(TorchEstimator):
    """Trains a masked autoencoder, on the bridge."""

    def __init__(self, autoencoder, lambda_align, **training):
        self.autoencoder = autoencoder
        self.lambda_align = lambda_align
        super().__init__(**training)

    def _build(self, data):
        return self.autoencoder

    def _output(self, module, batch):
        return module(batch.X, batch.get("teacher_X"))

    def _loss(self, module, batch, output):
        pixel = weighted_mean(output.pixel, batch)
        if output.align is None:
            return {"loss": pixel, "pixel": pixel}
        align = weighted_mean(output.align, batch)
        return {"loss": pixel + self.lambda_align * align, "pixel": pixel, "align": align}


class Drawing(NamedTuple):
    """What an autoencoder draws, in place of logits, and each sample's terms of the loss, (n,)."""

    logits: torch.Tensor
    pixel: torch.Tensor
    align: torch.Tensor | None


class MaskedAutoencoder(nn.Module):
    """A student's encoder, a light decoder, and a frozen teacher that sees the same patches."""

    def __init__(self, student, teacher, mask_ratio, width, depth):
        super().__init__()
        from timm.models.vision_transformer import Block

        self.student = student
        encoder = student.encoder
        self.n_patches, self.patch_size = encoder.patch_embed.num_patches, \
            encoder.patch_embed.patch_size
        self.n_visible = round((1 - mask_ratio) * self.n_patches)
        if not 0 < self.n_visible < self.n_patches:
            raise ValueError(f"mask_ratio={mask_ratio} leaves {self.n_visible} of "
                             f"{self.n_patches} patches visible; some must be, and some not.")
        channels = encoder.patch_embed.proj.in_channels
        self.embed = nn.Linear(encoder.embed_dim, width)
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.position = nn.Parameter(0.02 * torch.randn(self.n_patches, width))
        self.decode = nn.Sequential(*(Block(width, 4) for _ in range(depth)), nn.LayerNorm(width),
                                    nn.Linear(width, channels * self.patch_size[0]
                                              * self.patch_size[1]))
        # in a list, it is no submodule: neither trained nor brought into train mode
        self._teacher = [copy.deepcopy(teacher)]
        if teacher is not None:
            if teacher.encoder.patch_embed.num_patches != self.n_patches:
                raise ValueError(
                    f"The teacher has {teacher.encoder.patch_embed.num_patches} patches and the "
                    f"student {self.n_patches}; what one sees the other cannot.")
            self.project = nn.Linear(encoder.embed_dim, teacher.encoder.embed_dim)

    def forward(self, X, teacher_X=None):
        """Return a :class:`Drawing`."""
        x = self.student.preprocess(X)
        order = torch.rand(len(x), self.n_patches, device=x.device).argsort(dim=1)
        visible, hidden = order[:, : self.n_visible], order[:, self.n_visible:]
        encoder = self.student.encoder
        aligned, final = tokens(encoder, x, visible)
        drawn = self._draw(final, visible)
        pixels = _standardised_patches(x, self.patch_size)
        pixel = squared_error(_pick(drawn, hidden), _pick(pixels, hidden))
        align = None
        (teacher,) = self._teacher
        if teacher is not None:
            with torch.no_grad():
                teacher.eval().to(x.device)
                target, _ = tokens(teacher.encoder, teacher.preprocess(teacher_X), visible,
                                   aligned_only=True)
            align = (self.project(aligned) - target).abs().flatten(1).mean(dim=1)
        return Drawing(drawn, pixel, align)

    def _draw(self, visible_tokens, visible):
        """Decode all patches (n, n_patches, pixels) from the visible ones."""
        shown = self.embed(visible_tokens)
        x = self.hidden.to(shown.dtype).expand(len(shown), self.n_patches, -1).scatter(
            1, visible[:, :, None].expand_as(shown), shown)
        return self.decode(x + self.position)


def tokens(encoder, x, visible, aligned_only=False):
    """Run a transformer on some patches.

    Returns their features after three quarters of the blocks, and after all of them and the norm.
    """
    x = encoder._pos_embed(encoder.patch_embed(x))
    prefix = encoder.num_prefix_tokens
    x = torch.cat([x[:, :prefix], _pick(x[:, prefix:], visible)], dim=1)
    x = encoder.norm_pre(x)
    last_aligned = max(1, round(DEPTH * len(encoder.blocks)))
    for block in encoder.blocks[:last_aligned]:
        x = block(x)
    aligned = x[:, prefix:]
    if aligned_only:
        return aligned, None
    for block in encoder.blocks[last_aligned:]:
        x = block(x)
    return aligned, encoder.norm(x)[:, prefix:]


def _pick(x, index):
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def _standardised_patches(x, size):
    """Cut images (n, C, H, W) into patches (n, n_patches, C * p * q) of mean 0 and variance 1."""
    patches = F.unfold(x, size, stride=size).transpose(1, 2)
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True, correction=0)
    return (patches - mean) / (variance + 1e-6).sqrt()


def _patch_size(size):
    """The largest square patch that divides an image into 16 patches or more."""
    height, width = size
    return max(p for p in range(1, min(size) + 1) if height % p == width % p == 0 and
               (p == 1 or (height // p) * (width // p) >= LEAST_PATCHES))


def _check_transformer(role, module):
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(getattr(module, "encoder", None), VisionTransformer):
        raise ValueError(f"The {role}'s network is no vision transformer of timm's, whose patches "
                         'could be hidden; use "vit_tiny_patch16_224", say.')
