"""Sounds as ordinary arrays, images made worse, and what to read of many modalities or columns."""

import warnings

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import ShortTimeFFT, get_window
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_selection import SelectorMixin, f_classif
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from cmkdlearn._validation import check_number
from cmkdlearn.nn.inputs import as_images, canonical
from cmkdlearn.nn.samples import Modalities, select_modality

__all__ = ["AddNoise", "Blur", "LogMelSpectrogram", "LogSpectrogram", "MRMR", "Modalities",
           "ModalitySelector"]


class _Spectrograms(TransformerMixin, BaseEstimator):
    """Waveforms to pictures: what both kinds do around their own bands and frames."""

    def fit(self, X=None, y=None):
        """Work out the bands; nothing is learnt from ``X``.

        Parameters
        ----------
        X : ignored
        y : ignored

        Returns
        -------
        self
        """
        for name in ("sample_rate", "duration", "window", "hop", "floor"):
            check_number(name, getattr(self, name), low=0, open_low=True)
        self._set_bands(self._frames())
        return self

    def transform(self, X):
        """Turn waveforms into spectrograms.

        Parameters
        ----------
        X : list of array-like of shape (n_samples,), or array-like of shape (n, n_samples)
            Integers are divided by the greatest one of their type.

        Returns
        -------
        ndarray of shape (n, 1, n_bands, n_frames)
            float32: images of one channel, lowest frequency first.

        Raises
        ------
        ValueError
            On an empty recording, one with several channels, or NaN.
        """
        check_is_fitted(self)
        frames = self._frames()
        pictures = []
        for i, wave in enumerate(X):
            wave = np.asarray(wave)
            if wave.ndim != 1 or not wave.size:
                raise ValueError(f"X[{i}] has shape {wave.shape}; a recording must be samples of "
                                 "one channel, (T,), and not be empty.")
            if wave.dtype.kind in "iu":
                wave = wave / np.iinfo(wave.dtype).max
            if not np.isfinite(wave).all():
                raise ValueError(f"X[{i}] holds NaN or infinite samples; cut them out, or leave "
                                 "the recording out.")
            pictures.append(self._picture(wave, frames).astype(np.float32))
        return np.stack(pictures)[:, None]

    def _n_samples(self, seconds):
        return max(1, round(self.sample_rate * seconds))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # recordings differ in length, as documents do
        tags.no_validation = True
        return tags


class LogMelSpectrogram(_Spectrograms):
    r"""Waveforms to logarithmic mel spectrograms, the usual picture of speech.

    The power spectrum of short frames is summed in triangular bands that are equally wide on the
    mel scale, :math:`2595 \log_{10}(1 + f / 700)`, and its logarithm is taken.

    Parameters
    ----------
    sample_rate : float, default=8000
        In hertz.
    n_mels : int, default=32
        Number of bands, from 0 to half of ``sample_rate``.
    duration : float, default=1.0
        In seconds: shorter recordings are continued by silence, longer ones cut in the middle.
    window : float, default=0.032
        Length of a frame in seconds (of a Hann window).
    hop : float, default=0.016
        From one frame to the next, in seconds.
    floor : float, default=1e-6
        Added to the power before the logarithm; full scale is 1.

    Attributes
    ----------
    filters_ : ndarray of shape (n_mels, n_frequencies)
        The triangles.

    See Also
    --------
    LogSpectrogram : All frequencies, standardised by recording.
    cmkdlearn.nn.augment.SpecAugment : Hides bands and frames in training.

    Notes
    -----
    The result S, (n, 1, n_mels, n_frames), is read as images. Sequences of n_frames steps are
    ``S[:, 0].transpose(0, 2, 1)``.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.preprocessing import LogMelSpectrogram
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    >>> LogMelSpectrogram().fit_transform([tone, tone[:4000]]).shape
    (2, 1, 32, 64)
    """

    def __init__(self, sample_rate=8000, *, n_mels=32, duration=1.0, window=0.032, hop=0.016,
                 floor=1e-6):
        self.sample_rate = sample_rate
        self.n_mels = n_mels
        self.duration = duration
        self.window = window
        self.hop = hop
        self.floor = floor

    def _frames(self):
        n_window = self._n_samples(self.window)
        return ShortTimeFFT(get_window("hann", n_window), self._n_samples(self.hop),
                            self.sample_rate, mfft=2 ** (n_window - 1).bit_length())

    def _set_bands(self, frames):
        check_number("n_mels", self.n_mels, low=1, integer=True)
        mel = np.linspace(0, 2595 * np.log10(1 + self.sample_rate / 2 / 700), self.n_mels + 2)
        edges = 700 * (10 ** (mel / 2595) - 1)
        low, centre, high = (part[:, None] for part in (edges[:-2], edges[1:-1], edges[2:]))
        rising = (frames.f - low) / (centre - low)
        falling = (high - frames.f) / (high - centre)
        self.filters_ = np.clip(np.minimum(rising, falling), 0, None)
        empty = np.flatnonzero(self.filters_.sum(axis=1) == 0)
        if len(empty):
            raise ValueError(f"n_mels={self.n_mels} bands are narrower than the frequencies that "
                             f"window={self.window} seconds can tell apart (bands "
                             f"{empty.tolist()} are empty); lower n_mels or raise window.")

    def _picture(self, wave, frames):
        length = self._n_samples(self.duration)
        start = max(0, len(wave) - length) // 2
        wave = wave[start:start + length]
        wave = np.pad(wave, (0, length - len(wave)))
        gain = np.square(frames.win.sum() / 2)  # a sine of amplitude 1 has power 1
        power = np.square(np.abs(frames.stft(wave))) / gain
        return np.log(self.filters_ @ power + self.floor)


class LogSpectrogram(_Spectrograms):
    """Waveforms to logarithmic spectrograms of all frequencies, standardised by recording.

    The audio of the experiments on AVE, CREMA-D and VGGSound: 257 x 1,004 of 160,000 samples, the
    power density in frames of 512 samples, 159 apart [1]_ [2]_.

    Parameters
    ----------
    sample_rate : float, default=16000
        In hertz.
    duration : float, default=10.0
        In seconds: shorter recordings are repeated, of longer ones the beginning is taken.
    window : float, default=0.032
        Length of a frame in seconds (of a Tukey window, a quarter of which is tapered; a frame's
        mean is subtracted first).
    hop : float, default=0.0099375
        From one frame to the next, in seconds: 159 of 16,000 samples.
    floor : float, default=1e-7
        Added to the power density (full scale 1, squared, a hertz) before the logarithm.

    Attributes
    ----------
    frequencies_ : ndarray of shape (n_bands,)
        In hertz, from 0 to half of ``sample_rate``.

    See Also
    --------
    LogMelSpectrogram : Fewer bands, which are wider where the ear is less exact.
    cmkdlearn.nn.augment.SpecAugment : Hides bands and frames in training.
    cmkdlearn.datasets.SoundFiles : Makes spectrograms of files as they are read.

    Notes
    -----
    The defaults are those of VGGSound's authors, whose recordings have 16 kHz. The code of [2]_
    (``pre-processing/obtain_audio_spectrogram.py``) does the same with AVE and CREMA-D but for one
    thing: it reads at librosa's rate of 22,050 Hz, where 160,000 samples are 7.26 seconds. For that
    pass ``sample_rate=22050, duration=160000 / 22050, window=512 / 22050, hop=159 / 22050``. The
    code that paper [3]_ has published reads such spectrograms and does not say who made them.

    References
    ----------
    .. [1] H. Chen et al., "VGGSound: A Large-scale Audio-Visual Dataset", ICASSP 2020; code at
       github.com/hche11/VGGSound, ``datasets/dataloader.py``.
    .. [2] X. Peng et al., "Balanced Multimodal Learning via On-the-fly Gradient Modulation", CVPR
       2022; code at github.com/GeWu-Lab/OGM-GE_CVPR2022.
    .. [3] T. K. Tran et al., "Cross-Modal Knowledge Distillation without Paired Data: Theoretical
       Foundation and Algorithm", ICML 2026; code at github.com/Duckduck-05/UCMKD.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.preprocessing import LogSpectrogram
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 16000)
    >>> S = LogSpectrogram().fit_transform([tone])
    >>> S.shape
    (1, 1, 257, 1004)
    >>> print(f"{abs(S.mean()):.3f} {S.std():.3f}")
    0.000 1.000
    """

    def __init__(self, sample_rate=16000, *, duration=10.0, window=0.032, hop=0.0099375,
                 floor=1e-7):
        self.sample_rate = sample_rate
        self.duration = duration
        self.window = window
        self.hop = hop
        self.floor = floor

    def _frames(self):
        return ShortTimeFFT(get_window(("tukey", 0.25), self._n_samples(self.window)),
                            self._n_samples(self.hop), self.sample_rate, fft_mode="onesided2X",
                            scale_to="psd")

    def _set_bands(self, frames):
        if frames.m_num > self._n_samples(self.duration):
            raise ValueError(f"window={self.window} seconds are longer than duration="
                             f"{self.duration}; shorten the one or lengthen the other.")
        self.frequencies_ = frames.f

    def _picture(self, wave, frames):
        length, n_window = self._n_samples(self.duration), frames.m_num
        wave = np.clip(np.resize(wave, length), -1, 1)  # which repeats it, or cuts off its end
        # frames lie within the recording, the first one at its beginning
        density = frames.spectrogram(wave, detr="constant", k_offset=n_window // 2, p0=0,
                                     p1=(length - n_window) // frames.hop + 1)
        picture = np.log(density + self.floor)
        return (picture - picture.mean()) / (picture.std() + 1e-9)


class Blur(TransformerMixin, BaseEstimator):
    """Blur images by a Gaussian: a modality that degrades by degrees.

    Parameters
    ----------
    sigma : float, default=1.0
        Standard deviation of the kernel in pixels; 0 leaves the images alone.
    input_type : {None, "channels_first", "channels_last"}
        Where the channels are, if the shape leaves it open.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.preprocessing import Blur
    >>> X = load_digits().images
    >>> print(f"{X.std():.1f} {Blur(sigma=1).fit_transform(X).std():.1f}")
    6.0 3.6
    """

    def __init__(self, sigma=1.0, *, input_type=None):
        self.sigma = sigma
        self.input_type = input_type

    def fit(self, X, y=None):
        """Check the parameters; nothing is learnt from ``X``.

        Parameters
        ----------
        X : array-like
        y : ignored

        Returns
        -------
        self
        """
        check_number("sigma", self.sigma, low=0)
        as_images(X, self.input_type)
        return self

    def transform(self, X):
        """Blur images.

        Parameters
        ----------
        X : array-like of shape (n, H, W), (n, H, W, C) or (n, C, H, W)

        Returns
        -------
        ndarray of the same shape
            Bytes stay bytes, other integers become floating.
        """
        X = np.asarray(X)
        images = as_images(X, self.input_type)
        blurred = np.empty(X.shape, np.float32)
        height_and_width_last = canonical(blurred, self.input_type or "image")[0]
        height_and_width_last[:] = gaussian_filter(
            images.astype(np.float32, copy=False), self.sigma, axes=(2, 3), mode="nearest")
        return _of_dtype(X.dtype, blurred)

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        tags.requires_fit = False
        return tags


class AddNoise(TransformerMixin, BaseEstimator):
    """Add Gaussian noise: a modality that degrades by degrees.

    Parameters
    ----------
    scale : float, default=1.0
        Standard deviation of the noise, in units of the standard deviation of all numbers in the
        data that it is fitted on.
    random_state : int, RandomState or None, default=None
        With an integer, each ``transform`` adds the same noise.

    Attributes
    ----------
    std_ : float
        Standard deviation of the training data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.preprocessing import AddNoise
    >>> X = load_digits().data
    >>> noisy = AddNoise(scale=2, random_state=0).fit_transform(X)
    >>> print(f"{(noisy - X).std() / X.std():.1f}")
    2.0
    """

    def __init__(self, scale=1.0, *, random_state=None):
        self.scale = scale
        self.random_state = random_state

    def fit(self, X, y=None):
        """Measure the spread of the data.

        Parameters
        ----------
        X : array-like of shape (n, ...)
        y : ignored

        Returns
        -------
        self
        """
        check_number("scale", self.scale, low=0)
        X = validate_data(self, X, allow_nd=True, dtype="numeric")
        self.std_ = float(X.std(dtype=np.float64))
        return self

    def transform(self, X):
        """Add noise.

        Parameters
        ----------
        X : array-like of shape (n, ...)

        Returns
        -------
        ndarray of the same shape
            Bytes stay bytes: rounded, and cut off at 0 and 255. Anything else becomes floating.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype="numeric")
        noise = check_random_state(self.random_state).standard_normal(X.shape)
        return _of_dtype(X.dtype, X + self.scale * self.std_ * noise)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.input_tags.three_d_array = True
        return tags


class MRMR(SelectorMixin, BaseEstimator):
    r"""Keep the columns of a table that tell most of the classes and least of each other.

    Minimum redundancy, maximum relevance [1]_: columns are taken one by one, each time that of the
    greatest quotient

    .. math:: \frac{F(x_j, y)}{\frac{1}{|S|} \sum_{s \in S} |\rho(x_j, x_s)|}

    of its F statistic between the classes and its mean absolute correlation with the columns S
    that were taken before: FCQ, the paper's form for continuous values. The first one is that of
    the greatest F.

    Parameters
    ----------
    n_features_to_select : int, default=100
        Where there are fewer columns, all of them stay, with a warning.

    Attributes
    ----------
    ranking_ : ndarray of shape (n_selected,)
        Positions of the columns that were taken, in that order.
    relevance_ : ndarray of shape (n_features,)
        F statistic of each column; 0 of a constant one.

    Notes
    -----
    One product of the table with one column is worked out for each that is taken, so that 100 of
    20,000 genes take seconds. The quotient is high, too, where a correlation is small by chance:
    while few columns are taken, one that tells little may be among them. Within cross-validation
    it belongs into a pipeline: a selection that has seen the labels of the test samples makes
    them too easy.

    References
    ----------
    .. [1] Ding, Peng. "Minimum Redundancy Feature Selection from Microarray Gene Expression Data",
       Journal of Bioinformatics and Computational Biology 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.preprocessing import MRMR
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 2], 50)
    >>> signal = np.column_stack([y == 0, y == 0, y == 1])  # the second says what the first says
    >>> X = signal + rng.normal(scale=[0.2, 0.4, 0.3], size=(150, 3))
    >>> MRMR(2).fit(X, y).get_support()
    array([ True, False,  True])
    """

    def __init__(self, n_features_to_select=100):
        self.n_features_to_select = n_features_to_select

    def fit(self, X, y):
        """Choose the columns.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,)
            Labels.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``y`` holds one class only, or ``n_features_to_select`` is no positive integer.
        """
        check_number("n_features_to_select", self.n_features_to_select, low=1, integer=True)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError("y holds one class, which no column tells from another; give at least "
                             "two classes.")
        size = self.n_features_to_select
        if size > X.shape[1]:
            warnings.warn(f"n_features_to_select={size} is more than the {X.shape[1]} columns of "
                          "X, which all stay.", stacklevel=2)
            size = X.shape[1]
        varies = X.min(axis=0) < X.max(axis=0)
        self.relevance_ = np.zeros(X.shape[1])
        Z = np.zeros_like(X)  # columns of unit length, whose products are correlations
        if varies.any():
            with np.errstate(divide="ignore"):  # a column that is constant within each class
                self.relevance_[varies] = f_classif(X[:, varies], y)[0]
            Z[:, varies] = X[:, varies] - X[:, varies].mean(axis=0)
            Z[:, varies] /= np.linalg.norm(Z[:, varies], axis=0)
        free, redundancy = np.ones(X.shape[1], dtype=bool), np.zeros(X.shape[1])
        taken = [int(self.relevance_.argmax())]
        while len(taken) < size:
            free[taken[-1]] = False
            redundancy += np.abs(Z[:, taken[-1]] @ Z)
            mean = np.maximum(redundancy / len(taken), np.finfo(float).tiny)
            taken.append(int(np.where(free, self.relevance_ / mean, -1).argmax()))
        self.ranking_ = np.array(taken)
        return self

    def _get_support_mask(self):
        check_is_fitted(self)
        return np.isin(np.arange(self.n_features_in_), self.ranking_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class ModalitySelector(TransformerMixin, BaseEstimator):
    """Take one modality out of a dict, so that a pipeline can read it.

    Parameters
    ----------
    modality : str or list
        A name, or the columns of a table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from cmkdlearn.preprocessing import ModalitySelector
    >>> X = {"image": np.zeros((4, 8, 8)), "num": np.array([[1.0], [2.0], [8.0], [9.0]])}
    >>> teacher = make_pipeline(ModalitySelector("num"), StandardScaler(), LogisticRegression())
    >>> teacher.fit(X, ["low", "low", "high", "high"]).predict({"num": [[7.0]]})
    array(['high'], dtype='<U4')
    """

    def __init__(self, modality):
        self.modality = modality

    def fit(self, X, y=None):
        """Look for the modality. Nothing is learned.

        Parameters
        ----------
        X : dict of array-like, or array-like
        y : ignored

        Returns
        -------
        self
        """
        select_modality(X, self.modality, fitting=True, owner=self)
        return self

    def transform(self, X):
        """Return the modality of X, as it is.

        Parameters
        ----------
        X : dict of array-like, or array-like
        """
        return select_modality(X, self.modality, fitting=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.input_tags.dict = True
        tags.requires_fit = False
        return tags


def _of_dtype(dtype, values):
    """Return what became of data in their dtype, if that is bytes or floating."""
    if dtype == np.uint8:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return values.astype(dtype, copy=False) if dtype.kind == "f" else values
