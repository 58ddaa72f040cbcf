"""Samples that stay in their files until they are asked for."""

import math
import warnings

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch.utils.data import Dataset

from cmkdlearn._validation import check_number

RATES = 50, 500_000  # hertz, from the slowest sensors to ultrasound


class _Files(Dataset):
    files: list[str]
    _kind: str

    def _read(self, file):
        raise NotImplementedError

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        file = self.files[i]
        try:
            return self._read(file)
        except Exception as error:  # each reader has its own kinds
            raise OSError(f"{file} cannot be read as {self._kind}: {error}") from error


class ImageFiles(_Files):
    """Image files as a map-style ``torch.utils.data.Dataset``, read one at a time.

    Every estimator takes it for ``X``, with the labels as ``y`` beside it.
    ``torch.utils.data.Subset`` makes a part of it.

    Parameters
    ----------
    files : sequence of path-like
        In any format that Pillow reads, of up to ``PIL.Image.MAX_IMAGE_PIXELS`` pixels.
    image_size : int, default=224
        Width and height of what is returned, in pixels: the middle square of an image, resized.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from cmkdlearn.datasets import ImageFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (60, 40), "red").save(Path(folder, "red.png"))
    ...     X = ImageFiles([Path(folder, "red.png")], image_size=32)
    ...     len(X), X[0].shape, X[0].dtype, X[0].max(axis=(1, 2))
    (1, (3, 32, 32), dtype('uint8'), array([255,   0,   0], dtype=uint8))
    """

    _kind = "an image"

    def __init__(self, files, image_size=224):
        self.files = [str(file) for file in files]
        self.image_size = check_number("image_size", image_size, low=1, integer=True)

    def _read(self, file):
        from PIL import Image, ImageOps

        shape = (self.image_size, self.image_size)
        with Image.open(file) as image:
            image.draft("RGB", shape)  # large JPEG files are decoded at a fraction of their size
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise ValueError(f"it has {image.width} x {image.height} pixels, which may be a "
                                 "few bytes in the file; raise PIL.Image.MAX_IMAGE_PIXELS if not")
            square = ImageOps.fit(image.convert("RGB"), shape, Image.Resampling.BILINEAR)
        return np.asarray(square).transpose(2, 0, 1).copy()


class SoundFiles(_Files):
    """WAV files as a map-style ``torch.utils.data.Dataset``, read one at a time.

    Every estimator takes it for ``X``, with the labels as ``y`` beside it.

    Parameters
    ----------
    files : sequence of path-like
        PCM or floating-point WAV files of 50 to 500,000 Hz; several channels are averaged.
    sample_rate : int, default=16000
        In hertz; recordings of another rate are resampled.
    duration : float, default=3.0
        In seconds: shorter recordings are continued by silence, longer ones cut in the middle.
    transformer : fitted transformer, optional
        Makes of ``[waveform]`` what is returned, for instance a
        :class:`~cmkdlearn.preprocessing.LogMelSpectrogram` of the same ``sample_rate`` and
        ``duration``. By default waveforms are returned: float32 of shape (n_samples,), full
        scale 1.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from scipy.io import wavfile
    >>> from cmkdlearn.datasets import SoundFiles
    >>> from cmkdlearn.preprocessing import LogMelSpectrogram
    >>> mel = LogMelSpectrogram(16000, duration=0.5).fit()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "tone.wav")
    ...     wavfile.write(file, 8000, np.full(8000, 16384, dtype=np.int16))
    ...     SoundFiles([file])[0].shape, SoundFiles([file], duration=0.5, transformer=mel)[0].shape
    ((48000,), (33, 32))
    """

    _kind = "a WAV file"

    def __init__(self, files, sample_rate=16000, duration=3.0, transformer=None):
        self.files = [str(file) for file in files]
        self.sample_rate = check_number("sample_rate", sample_rate, low=1, integer=True)
        self.duration = check_number("duration", duration, low=0, open_low=True)
        self.transformer = transformer

    def _read(self, file):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that are not sound
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            try:
                rate, wave = wavfile.read(file)
            except wavfile.WavFileWarning as error:
                raise EOFError(f"it is truncated ({error})") from error
        if not wave.size:
            raise ValueError("it holds no samples")
        if not RATES[0] <= rate <= RATES[1]:
            raise ValueError(f"it declares a rate of {rate:,} Hz; recordings have {RATES[0]} to "
                             f"{RATES[1]:,}")
        length = max(1, round(self.sample_rate * self.duration))
        wave = self._middle(wave, rate, length)
        return wave if self.transformer is None else self.transformer.transform([wave])[0]

    def _middle(self, wave, rate, length):
        """Return so many samples of this rate from the middle, continued by silence."""
        common = math.gcd(rate, self.sample_rate)
        up, down = self.sample_rate // common, rate // common
        n = -(-len(wave) * up // down)
        start = max(0, n - length) // 2
        # Only what is returned is resampled. Every down samples become up; the filter looks
        # 10 max(up, down) / up samples to both sides.
        margin = 10 * max(up, down) // up + 1
        first = max(0, start // up - -(-margin // down))
        last = (start + length) * down // up + 1 + margin
        wave = _as_float(wave[first * down:last])
        if rate != self.sample_rate:
            wave = resample_poly(wave, up, down)
        start -= first * up
        wave = wave[start:start + length].astype(np.float32)
        return np.pad(wave, (0, length - len(wave)))


def _as_float(wave):
    """Return the mean of the channels, full scale 1."""
    if wave.dtype == np.uint8:
        wave = wave / 128 - 1
    elif wave.dtype.kind == "i":
        wave = wave / -float(np.iinfo(wave.dtype).min)
    return wave.reshape(len(wave), -1).mean(axis=1)


class ArrayFiles(_Files):
    """Files of one array each (.npy) as a map-style ``torch.utils.data.Dataset``.

    Every estimator takes it for ``X``, with the labels as ``y`` beside it, if the arrays have one
    shape. Pickled arrays are refused: reading them could run code.

    Parameters
    ----------
    files : sequence of path-like
        What ``numpy.save`` wrote.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from cmkdlearn.datasets import ArrayFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "a.npy"), np.zeros((5, 2)))
    ...     ArrayFiles([Path(folder, "a.npy")])[0].shape
    (5, 2)
    """

    _kind = "a plain array (.npy)"

    def __init__(self, files):
        self.files = [str(file) for file in files]

    def _read(self, file):
        with open(file, "rb") as content:
            return np.lib.format.read_array(content, allow_pickle=False)
