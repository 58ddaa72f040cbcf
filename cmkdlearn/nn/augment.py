"""Augmentation of batches of images and spectrograms: every sample draws its own.

kornia's and torchvision's RandAugment and AutoAugment draw once for the whole batch, so the
policies are written here for tensors. In each step the geometric operations of all samples are
one warp, and each photometric operation runs once, on the samples that drew it.

All draws come from torch's global CPU generator, wherever the images are: one seed gives one
result, and a GPU is never waited for.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sklearn.utils import Bunch
from torch.distributions import Gamma

from cmkdlearn._validation import check_number, check_option
from cmkdlearn.nn.data import each

__all__ = ["SpecAugment", "StrongAugmentation", "WeakAugmentation"]

# The levels of an operation run from 0 (nothing) to 1 (its strongest), with a sign where
# there are two directions. The strongest, as in Cubuk et al. (2019, 2020):
MAX_SHEAR = 0.3  # pixels a pixel
MAX_TRANSLATION = 150 / 331  # of the side
MAX_ROTATION = 30.0  # degrees
MAX_CHANGE = 0.9  # of brightness, colour, contrast and sharpness: a factor of 0.1 to 1.9
MAX_BITS_LOST = 4  # of 8

TRIES = 10  # at a window that fits into the image
RATIOS = (3 / 4, 4 / 3)  # of a window's width to its height

LUMINANCE = (0.299, 0.587, 0.114)  # of R, G and B (ITU-R BT.601)

# The policy that Cubuk et al. (2019) found on CIFAR-10: each of the 25 sub-policies is
# two operations with their probability and magnitude (of 9; None where there is none to set).
CIFAR10_POLICY = (
    (("invert", 0.1, None), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, None), ("equalize", 0.9, None)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, None), ("equalize", 0.5, None)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, None), ("autocontrast", 0.4, None)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, None)),
    (("equalize", 0.2, None), ("autocontrast", 0.6, None)),
    (("equalize", 0.2, None), ("equalize", 0.6, None)),
    (("color", 0.9, 9), ("equalize", 0.6, None)),
    (("autocontrast", 0.8, None), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, None)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, None), ("solarize", 0.8, 3)),
    (("equalize", 0.8, None), ("invert", 0.1, None)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, None)),
)


def augmentation(spec):
    """Turn what an estimator's ``augmentation`` parameter says into a callable.

    Parameters
    ----------
    spec : {"strong", "weak"}, callable or None
        ``"strong"`` is `StrongAugmentation`, ``"weak"`` is `WeakAugmentation`, both with their
        defaults. A callable maps a batch (n, C, H, W) to one of the same shape.

    Returns
    -------
    augment : callable or None
        None where ``spec`` is None.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.augment import augmentation
    >>> batch = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    >>> augmentation("strong")(batch).shape
    torch.Size([2, 1, 28, 28])
    """
    if spec is None or callable(spec):
        return spec
    return NAMED[check_option("augmentation", spec, NAMED)]()


class _Augmentation:
    """What both augmentations do around their own ``_change``: check, convert, crop and flip."""

    padding: float
    flip: float
    min_area: float | None

    def __post_init__(self):
        check_number("padding", self.padding, low=0, high=1)
        check_number("flip", self.flip, low=0, high=1)
        if self.min_area is not None:
            check_number("min_area", self.min_area, low=0, high=1, open_low=True)

    def __call__(self, images):
        _check_images(images)
        dtype = images.dtype
        if dtype == torch.uint8:
            return _grey_levels(self._augment(images / 255)).to(dtype)
        return self._augment(images.to(torch.promote_types(dtype, torch.float32))).to(dtype)

    def _augment(self, images):
        if self.min_area is None:
            return self._change(crop_and_flip(images, self.padding, self.flip))
        return self._change(resized_crop_and_flip(images, self.min_area, self.flip))

    def _change(self, images):
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class WeakAugmentation(_Augmentation):
    """Random crop, horizontal flip and mild colour jitter, drawn for each sample.

    Brightness, contrast and saturation are multiplied, in this order, by factors drawn uniformly
    from [1 - jitter, 1 + jitter].

    Parameters
    ----------
    padding : float, default=0.125
        Black border put around the image before a window of its own size is cropped, as a share
        of each side (4 pixels of 32).
    flip : float, default=0.5
        Probability of a horizontal flip. Use 0 for digits and other images that have a side.
    jitter : float, default=0.2
        Half width of the range of the colour factors, in [0, 1].
    min_area : float, default=None
        In place of the padding, the random resized crop of photographs: a window of this share of
        the image's area or more (0.08 is usual for ImageNet), its width 3/4 to 4/3 of its height,
        is stretched to the size of the image by bilinear interpolation.

    Notes
    -----
    Called on a tensor (n, C, H, W), uint8 or floating in [0, 1] (anything else is an error), on
    any device; the result has its shape, dtype and device. Images that do not have three channels
    have no saturation.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.augment import WeakAugmentation
    >>> batch = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    >>> WeakAugmentation(jitter=0.1)(batch).dtype
    torch.uint8
    """

    padding: float = 1 / 8
    flip: float = 0.5
    jitter: float = 0.2
    min_area: float | None = None

    def __post_init__(self):
        super().__post_init__()
        check_number("jitter", self.jitter, low=0, high=1)

    def _change(self, images):
        changes = self.jitter * (2 * torch.rand(3, len(images), 1, 1, 1) - 1)
        changes = _beside(images, changes)
        for change, adjust in zip(changes, (_brightness, _contrast, _color), strict=True):
            images = adjust(images, change)
        return images


@dataclass(frozen=True, kw_only=True)
class StrongAugmentation(_Augmentation):
    """RandAugment or AutoAugment after a random crop and flip, drawn for each sample.

    Each sample follows AutoAugment's CIFAR-10 policy [1]_ with probability ``autoaugment`` and
    RandAugment [2]_ otherwise. RandAugment applies ``n_ops`` of its 14 operations, drawn with
    replacement, one after the other at one magnitude; AutoAugment draws one of 25 pairs of
    operations, each applied with its own probability at its own magnitude. Signs are drawn.

    Parameters
    ----------
    padding, flip, min_area : float
        As in `WeakAugmentation`.
    n_ops : int, default=2
        RandAugment's N.
    magnitude : float, default=9
        RandAugment's M, of 30. At 0 all its operations do nothing but autocontrast and equalize,
        which have no magnitude.
    autoaugment : float, default=0.5
        Share of the samples that AutoAugment changes.

    Notes
    -----
    Called on a tensor (n, C, H, W), uint8 or floating in [0, 1] (anything else is an error), on
    any device; the result has its shape, dtype and device. Operations act as in torchvision's
    ``AutoAugment`` and ``RandAugment``, with nearest-neighbour interpolation and black where
    there is no image. Images that do not have three channels have no colour to change, and their
    grey is the mean of the channels.

    References
    ----------
    .. [1] E. D. Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data",
       CVPR 2019.
    .. [2] E. D. Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced
       Search Space", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.augment import StrongAugmentation
    >>> batch = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    >>> StrongAugmentation(magnitude=15, autoaugment=0)(batch).shape
    torch.Size([2, 3, 32, 32])
    """

    padding: float = 1 / 8
    flip: float = 0.5
    n_ops: int = 2
    magnitude: float = 9
    autoaugment: float = 0.5
    min_area: float | None = None

    def __post_init__(self):
        super().__post_init__()
        check_number("n_ops", self.n_ops, low=0, integer=True)
        check_number("magnitude", self.magnitude, low=0, high=30)
        check_number("autoaugment", self.autoaugment, low=0, high=1)

    def _change(self, images):
        n = len(images)
        follows_auto = torch.rand(n, 1) < self.autoaugment
        n_steps = max(self.n_ops, 2)
        operations, levels = (
            torch.where(follows_auto, _pad(auto, n_steps), _pad(rand, n_steps))
            for auto, rand in zip(_auto_augment(n), _rand_augment(n, self.n_ops, self.magnitude),
                                  strict=True))
        levels = levels * (2 * torch.randint(2, levels.shape) - 1)
        for step in range(n_steps):
            images = apply_operations(images, operations[:, step], levels[:, step])
        return images


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """Hide bands and frames of spectrograms, drawn for each sample [1]_.

    What is hidden becomes the mean of the spectrogram.

    Parameters
    ----------
    n_masks : int, default=2
        Of each kind. They may overlap.
    bands : float, default=0.15
        The most that one mask hides of the bands, as a share: its width is drawn uniformly from 0
        to so many, then its place.
    frames : float, default=0.2
        The same of the frames.

    Notes
    -----
    Called on a tensor (n, C, bands, frames), uint8 or floating, on any device, such as
    :class:`~cmkdlearn.preprocessing.LogMelSpectrogram` makes of waveforms; the result has its
    shape, dtype and device. The defaults are those of the script that [2]_ has published for
    RAVDESS, which hides by the mean of the data set. [1]_ bends the time axis, too, and says that
    it matters least.

    References
    ----------
    .. [1] D. S. Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
       Recognition", Interspeech 2019.
    .. [2] T. K. Tran et al., "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026; code at github.com/Duckduck-05/UCMKD.

    Examples
    --------
    >>> import torch
    >>> from cmkdlearn.nn.augment import SpecAugment
    >>> from cmkdlearn.nn.data import seeded
    >>> with seeded(0):
    ...     hidden = SpecAugment(n_masks=1, bands=0, frames=0.5)(torch.arange(8.0).view(1, 1, 1, 8))
    >>> hidden.flatten().tolist()
    [3.5, 3.5, 3.5, 3.0, 4.0, 5.0, 6.0, 7.0]
    """

    n_masks: int = 2
    bands: float = 0.15
    frames: float = 0.2

    def __post_init__(self):
        check_number("n_masks", self.n_masks, low=0, integer=True)
        check_number("bands", self.bands, low=0, high=1)
        check_number("frames", self.frames, low=0, high=1)

    def __call__(self, spectra):
        """Return a batch of the same shape, with masks."""
        if spectra.ndim != 4:
            raise ValueError("SpecAugment needs a batch of spectrograms (n, C, bands, frames); "
                             f"this one has shape {tuple(spectra.shape)}.")
        n, _, n_bands, n_frames = spectra.shape
        hidden = (self._masks(n, n_bands, self.bands)[:, None, :, None]
                  | self._masks(n, n_frames, self.frames)[:, None, None, :])
        mean = spectra.float().mean((1, 2, 3), keepdim=True)
        mean = (mean if spectra.is_floating_point() else mean.round()).to(spectra.dtype)
        return torch.where(hidden.to(spectra.device, non_blocking=True), mean, spectra)

    def _masks(self, n, size, share):
        """Tell which of so many positions are hidden, (n, size)."""
        width = torch.randint(int(share * size + 1e-9) + 1, (n, self.n_masks, 1))
        start = (torch.rand(n, self.n_masks, 1) * (size - width + 1)).long()
        place = torch.arange(size)
        return ((start <= place) & (place < start + width)).any(1)


NAMED = {"strong": StrongAugmentation, "weak": WeakAugmentation}


def mix(batch, alpha):
    r"""Mix each sample of a batch with another one, as mixup [1]_ does.

    :math:`x' = \lambda x + (1 - \lambda) x_{other}`. Labelled samples are mixed among themselves,
    and so are unlabelled ones: a mixture has labels, or it has none.

    Parameters
    ----------
    batch : Bunch of Tensor
        ``X`` (n, ...) and the codes ``y`` (n,), -1 for a sample without a label, and what else
        belongs to the samples, tensors or tuples of them.
    alpha : float
        Above 0; :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, one a batch.

    Returns
    -------
    Bunch of Tensor
        ``X`` mixed, in the dtype that it had (bytes are rounded); ``share`` (n,), which is
        :math:`\lambda`; and by ``other_`` and its name, what belongs to the sample that each one
        was mixed with.

    References
    ----------
    .. [1] Zhang, Cisse, Dauphin, Lopez-Paz. "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> from sklearn.utils import Bunch
    >>> from cmkdlearn.nn.augment import mix
    >>> from cmkdlearn.nn.data import seeded
    >>> with seeded(0):
    ...     mixed = mix(Bunch(X=torch.tensor([[0.0], [1.0]]), y=torch.tensor([0, 1])), alpha=1)
    >>> by_hand = mixed.share * mixed.y + (1 - mixed.share) * mixed.other_y
    >>> torch.allclose(mixed.X[:, 0], by_hand)
    True
    """
    n, y = len(batch.X), batch.y
    # torch's own Beta would give 1/2 where both of its gamma variates underflow
    gamma = Gamma(torch.full((2,), alpha + 1.0, dtype=torch.float64), 1.0).sample()
    share = float((gamma.log() + torch.rand(2, dtype=torch.float64).log() / alpha).softmax(0)[0])
    order = torch.randperm(n).to(y.device, non_blocking=True)
    unlabelled = (y < 0).int()
    other = torch.empty_like(order)
    # a random order of the labelled samples beside them, and of the others beside the others
    other[unlabelled.argsort(stable=True)] = order[unlabelled[order].argsort(stable=True)]
    others = {f"other_{name}": each(value, lambda t: t[other])
              for name, value in batch.items() if name != "X"}
    dtype, X = batch.X.dtype, batch.X.to(torch.promote_types(batch.X.dtype, torch.float32))
    X = torch.lerp(X[other], X, share)  # stays between the two, to the last bit
    X = X.round().to(dtype) if dtype == torch.uint8 else X
    return Bunch(**{**batch, **others, "X": X, "share": torch.full((n,), share, device=y.device)})


def crop_and_flip(images, padding, flip):
    """Crop each padded image (n, C, H, W) back to its size somewhere, and flip some."""
    n, channels, height, width = images.shape
    pad_y, pad_x = round(padding * height), round(padding * width)
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y))
    rows = torch.arange(height) + torch.randint(2 * pad_y + 1, (n, 1))
    columns = torch.arange(width) + torch.randint(2 * pad_x + 1, (n, 1))
    columns = torch.where(torch.rand(n, 1) < flip, columns.flip(1), columns)
    pixels = (torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None],
              rows[:, None, :, None], columns[:, None, None, :])
    return padded[tuple(index.to(images.device, non_blocking=True) for index in pixels)]


def resized_crop_and_flip(images, min_area, flip):
    """Stretch a window of each image (n, C, H, W) to the size of the image, and flip some.

    The windows are those of torchvision's ``RandomResizedCrop`` with ``scale=(min_area, 1)``.
    """
    n, _, height, width = images.shape
    h, w = draw_windows(n, height, width, min_area)
    top, left = (torch.rand(2, n) * torch.stack([height - h + 1, width - w + 1])).floor()
    # from the output's coordinates to the input's, both of which go from -1 to 1
    scale, centre = torch.stack([w / width, h / height]), torch.stack(
        [(2 * left + w) / width, (2 * top + h) / height]) - 1
    theta = torch.zeros(n, 2, 3)
    theta[:, [0, 1], [0, 1]], theta[:, :, 2] = scale.T, centre.T
    theta[:, 0, 0] *= torch.where(torch.rand(n) < flip, -1.0, 1.0)
    grid = F.affine_grid(_beside(images, theta), images.shape, align_corners=False)
    # nothing of beyond the window's outermost pixels is mixed in
    reach = scale - 1 / torch.tensor([[width], [height]])
    reach, centre = (_beside(images, part.T)[:, None, None] for part in (reach, centre))
    grid = torch.minimum(torch.maximum(grid, centre - reach), centre + reach)
    stretched = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return stretched.clamp(0, 1)  # rounding may have led out of it


def draw_windows(n, height, width, min_area):
    """Return the heights and widths of n windows, (n,) each: the first of ten that fits."""
    low, high = torch.tensor(RATIOS)
    area = height * width * (min_area + (1 - min_area) * torch.rand(n, TRIES))
    ratio = (low.log() + (high / low).log() * torch.rand(n, TRIES)).exp()
    h, w = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (h >= 1) & (h <= height) & (w >= 1) & (w <= width)
    first = fits.int().argmax(1, keepdim=True)
    # where none fits: as much of the image as the ratios allow
    most_h, most_w = min(height, round(width / RATIOS[0])), min(width, round(height * RATIOS[1]))
    return (torch.where(fits.any(1), size.gather(1, first)[:, 0], most)
            for size, most in ((h, float(most_h)), (w, float(most_w))))


def apply_operations(images, operations, levels):
    """Apply to each image its own operation.

    Parameters
    ----------
    images : tensor of shape (n, C, H, W)
        Floating, in [0, 1].
    operations : tensor of shape (n,)
        Positions in ``OPERATIONS``, on the CPU.
    levels : tensor of shape (n,)
        Strengths in [-1, 1], on the CPU.

    Returns
    -------
    images : tensor of shape (n, C, H, W)
    """
    images = images.clone()
    geometric = (0 < operations) & (operations <= len(GEOMETRIC))
    if geometric.any():
        which = geometric.nonzero().squeeze(1).to(images.device, non_blocking=True)
        images[which] = _warp(images[which], operations[geometric], levels[geometric])
    for operation, change in enumerate(PHOTOMETRIC.values(), start=len(GEOMETRIC) + 1):
        drawn = operations == operation
        if drawn.any():
            which = drawn.nonzero().squeeze(1).to(images.device, non_blocking=True)
            images[which] = change(images[which],
                                   _beside(images, levels[drawn])[:, None, None, None])
    return images


def _rand_augment(n, n_ops, magnitude):
    operations = torch.randint(OPERATIONS.index("invert"), (n, n_ops))  # all but the last
    return operations, torch.full((n, n_ops), magnitude / 30)


def _auto_augment(n):
    policy = torch.tensor([[(OPERATIONS.index(name), probability, (magnitude or 0) / 9)
                            for name, probability, magnitude in pair] for pair in CIFAR10_POLICY])
    operations, probability, levels = policy[torch.randint(len(policy), (n,))].unbind(-1)
    return (operations * (torch.rand(n, 2) < probability)).long(), levels


def _pad(values, n_steps):
    return F.pad(values, (0, n_steps - values.shape[1]))  # 0 is the identity


def _warp(images, operations, levels):
    """Shear, translate or rotate each image, all in one resampling."""
    height, width = images.shape[2:]

    def strength(name):
        return torch.where(operations == OPERATIONS.index(name), levels, 0.0)

    angle = torch.deg2rad(MAX_ROTATION * strength("rotate"))
    shear_x, shear_y = MAX_SHEAR * strength("shear_x"), MAX_SHEAR * strength("shear_y")
    right = (MAX_TRANSLATION * width * strength("translate_x")).trunc()
    down = (MAX_TRANSLATION * height * strength("translate_y")).trunc()
    # Where pixel (x, y), counted from the centre, comes from. Shears fix the upper left corner.
    cos, sin = angle.cos(), angle.sin()
    from_x = torch.stack([cos, shear_x - sin, shear_x * height / 2 - right], dim=1)
    from_y = torch.stack([shear_y + sin, cos, shear_y * width / 2 - down], dim=1)
    half = torch.tensor([width / 2, height / 2, 1.0])
    theta = torch.stack([from_x * half / half[0], from_y * half / half[1]], dim=1)
    grid = F.affine_grid(_beside(images, theta), images.shape, align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", align_corners=False)


def _brightness(images, change):
    return (images * (1 + change)).clamp(0, 1)


def _color(images, change):
    return _blend(images, _grey(images), change) if images.shape[1] == 3 else images


def _contrast(images, change):
    return _blend(images, _grey(images).mean((2, 3), keepdim=True), change)


def _sharpness(images, change):
    channels, height, width = images.shape[1:]
    if min(height, width) < 3:
        return images
    kernel = images.new_ones(channels, 1, 3, 3)
    kernel[:, :, 1, 1] = 5
    blurred = images.clone()  # the border stays
    blurred[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=channels)
    return _blend(images, blurred, change)


def _posterize(images, level):
    step = 2 ** (MAX_BITS_LOST * level.abs()).round()
    return (_grey_levels(images) / step).floor() * step / 255


def _solarize(images, level):
    return torch.where(_grey_levels(images) < 256 * (1 - level.abs()), images, 1 - images)


def _autocontrast(images, level):
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low), images)


def _equalize(images, level):
    """Equalise the histogram of each channel, as PIL does it on 256 grey levels."""
    n, channels, height, width = images.shape
    levels = _grey_levels(images).long().reshape(n * channels, height * width)
    first = 256 * torch.arange(n * channels, device=images.device)[:, None]
    histogram = torch.bincount((levels + first).flatten(), minlength=256 * n * channels)
    up_to = histogram.reshape(n * channels, 256).cumsum(1)
    brightest = (levels == levels.amax(1, keepdim=True)).sum(1, keepdim=True)
    step = (height * width - brightest) // 255
    below = F.pad(up_to[:, :-1], (1, 0))
    equalized = ((below + step // 2) // step.clamp(min=1)).clamp(max=255).gather(1, levels)
    equalized = (equalized.to(images) / 255).reshape(images.shape)
    return torch.where((step > 0).reshape(n, channels, 1, 1), equalized, images)


def _invert(images, level):
    return 1 - images


def _blend(images, other, change):
    return (images + change * (images - other)).clamp(0, 1)


def _enhance(adjust):
    return lambda images, level: adjust(images, MAX_CHANGE * level)


def _grey(images):
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    luminance = _beside(images, torch.tensor(LUMINANCE, dtype=torch.float64))
    return (images * luminance[:, None, None]).sum(1, keepdim=True)


def _beside(images, drawn):
    """Bring what was drawn on the CPU to the images; the device is not waited for."""
    return drawn.to(images, non_blocking=True)


def _grey_levels(images):
    return (images * 255).round()


def _check_images(images):
    if images.ndim != 4:
        raise ValueError(f"Augmentation needs a batch of images (n, C, H, W); "
                         f"this one has shape {tuple(images.shape)}.")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise TypeError(f"Augmentation needs uint8 or floating images; these are {images.dtype}.")
    if images.numel():
        low, high = (limit.item() for limit in images.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"Augmentation needs floating images in [0, 1]; these go from {low:g} "
                             f"to {high:g}. Pass uint8 images, or scale them.")


PHOTOMETRIC = {
    "brightness": _enhance(_brightness),
    "color": _enhance(_color),
    "contrast": _enhance(_contrast),
    "sharpness": _enhance(_sharpness),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
}
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OPERATIONS = ("identity", *GEOMETRIC, *PHOTOMETRIC)
