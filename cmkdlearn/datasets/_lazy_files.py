"""Samples that stay in their files until they are asked for."""

import math
import warnings

import numpy as np
import torch
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch.utils.data import Dataset

from cmkdlearn._validation import check_number, check_option

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


class FrameFiles(Dataset):
    """Some frames of each video as a map-style ``torch.utils.data.Dataset``, read as asked for.

    Every estimator takes it for ``X``, with the labels as ``y`` beside it. Several frames of a
    video are the channels of one image, in the order of time. A network that is given by its name
    reads them together, or, with ``module__n_frames``, one by one, and averages their features.

    Parameters
    ----------
    videos : sequence of sequence of path-like
        The frames of each video, in the order of time, in any format that Pillow reads.
    image_size : int, default=224
        Width and height in pixels: the middle square of each frame, resized.
    n_frames : int, default=1
        Frames of each video. Those of a video that has fewer are repeated.
    frames : {"middle", "random"}, default="middle"
        Which ones: those in the middle, or others each time that a video is read. They are drawn
        by torch's global generator, which an estimator seeds by its ``random_state``. Let the
        samples that are predicted have "middle".

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from cmkdlearn.datasets import FrameFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     video = [Path(folder, f"{i}.png") for i in range(5)]
    ...     for i, file in enumerate(video):
    ...         Image.new("L", (40, 40), 50 * i).save(file)
    ...     X = FrameFiles([video], image_size=32, n_frames=2)
    ...     X[0].shape, X[0].max(axis=(1, 2))
    ((6, 32, 32), array([ 50,  50,  50, 100, 100, 100], dtype=uint8))
    """

    def __init__(self, videos, image_size=224, *, n_frames=1, frames="middle"):
        self.n_frames = check_number("n_frames", n_frames, low=1, integer=True)
        self.frames = check_option("frames", frames, ["middle", "random"])
        videos = [list(video) for video in videos]
        if not all(videos):
            raise ValueError(f"videos[{videos.index([])}] holds no frames; leave it out.")
        if frames == "middle":
            videos = [_middle_of(video, n_frames) for video in videos]
        self.offsets = np.cumsum([0, *map(len, videos)])
        self.images = ImageFiles([file for video in videos for file in video], image_size)

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, i):
        i = range(len(self))[i]
        first, n = self.offsets[i], self.offsets[i + 1] - self.offsets[i]
        order = torch.randperm(n) if self.frames == "random" else torch.arange(n)
        chosen = order[torch.arange(self.n_frames) % n].sort().values.tolist()
        return np.concatenate([self.images[first + frame] for frame in chosen])


def _middle_of(video, n_frames):
    """Return so many frames, or all, half of them before the one in the middle."""
    start = len(video) // 2 - n_frames // 2
    start = max(0, min(start, len(video) - n_frames))
    return video[start:start + n_frames]


class SoundFiles(_Files):
    """WAV files as a map-style ``torch.utils.data.Dataset``, read one at a time.

    Every estimator takes it for ``X``, with the labels as ``y`` beside it.

    Parameters
    ----------
    files : sequence of path-like
        PCM or floating-point WAV files of 50 to 500,000 Hz; several channels are averaged.
    sample_rate : int, default=16000
        In hertz; recordings of another rate are resampled.
    duration : float, optional
        In seconds: shorter recordings are continued by silence, longer ones cut in the middle. By
        default waveforms of 3 seconds are returned, and a transformer is given whole recordings.
    transformer : fitted transformer, optional
        Makes of ``[waveform]`` what is returned, for instance a
        :class:`~cmkdlearn.preprocessing.LogMelSpectrogram` or
        :class:`~cmkdlearn.preprocessing.LogSpectrogram` of the same ``sample_rate``, which have a
        duration of their own. By default waveforms are returned: float32 of shape (n_samples,),
        full scale 1.

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
    ...     SoundFiles([file])[0].shape, SoundFiles([file], transformer=mel)[0].shape
    ((48000,), (1, 32, 33))
    """

    _kind = "a WAV file"

    def __init__(self, files, sample_rate=16000, duration=None, transformer=None):
        self.files = [str(file) for file in files]
        self.sample_rate = check_number("sample_rate", sample_rate, low=1, integer=True)
        if duration is None and transformer is None:
            duration = 3.0
        if duration is not None:
            check_number("duration", duration, low=0, open_low=True)
        self.duration = duration
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
        wave = self._middle(wave, rate)
        return wave if self.transformer is None else self.transformer.transform([wave])[0]

    def _middle(self, wave, rate):
        """Return the middle of a recording, as long as it should be, continued by silence."""
        common = math.gcd(rate, self.sample_rate)
        up, down = self.sample_rate // common, rate // common
        n = -(-len(wave) * up // down)
        length = n if self.duration is None else max(1, round(self.sample_rate * self.duration))
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
    spectrograms : bool, default=False
        Arrays of two axes are pictures of one channel, (1, bands, frames), and no sequences.

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

    def __init__(self, files, *, spectrograms=False):
        self.files = [str(file) for file in files]
        self.spectrograms = spectrograms

    def _read(self, file):
        with open(file, "rb") as content:
            values = np.lib.format.read_array(content, allow_pickle=False)
        return values[None] if self.spectrograms and values.ndim == 2 else values
