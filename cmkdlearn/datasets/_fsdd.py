"""The Free Spoken Digit Dataset."""

import gzip
import io
import re
import tarfile
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from cmkdlearn.datasets._files import Budget, at_most, too_much

NAME = re.compile(r"(?:.*/)?recordings/(\d)_([a-z]+)_(\d+)\.wav$")
SAMPLE_RATE = 8000
# Many times what the dataset has. Its archives have no digest, and may be of any size unpacked.
RECORDING_BYTES = 2**20
ARCHIVE_BYTES = 2**28
DESCRIPTION = """Free Spoken Digit Dataset: recordings of the digits 0 to 9 in English, 8 kHz,
16 bits, one channel, 50 takes of each digit by each speaker. Takes 0 to 4 are its test split.
Zohar Jackson et al., CC BY-SA 4.0."""


def fetch_fsdd(path, *, return_X_y=False):
    """Read the Free Spoken Digit Dataset from its archive or from a folder.

    The dataset is distributed as the Git repository Jakobovski/free-spoken-digit-dataset on
    GitHub, whose archives change with every release and so have no digest to check; get one (or
    clone it) and name it here.

    Parameters
    ----------
    path : str or path
        The repository's folder, or its archive (.zip, .tar.gz). Nothing is unpacked: the
        recordings are found by their names, ``recordings/DIGIT_SPEAKER_TAKE.wav``.
    return_X_y : bool, default=False
        Return ``(X_train, X_test, y_train, y_test)`` by the dataset's own split (takes 0 to 4
        test) instead.

    Returns
    -------
    data : Bunch
        ``waveforms``, a list of n int16 arrays of different lengths; ``digit`` (n,), ``speaker``
        (n,) and ``take`` (n,); ``sample_rate`` in hertz; ``DESCR``. In order of digit, speaker and
        take.

    Raises
    ------
    FileNotFoundError
        If there is no such path, or no recordings in it.
    OSError
        If a recording is damaged, or not of 8 kHz, 16 bits and one channel; if one is larger than
        1 MiB, or all that is in an archive than 256 MiB.

    See Also
    --------
    cmkdlearn.preprocessing.LogMelSpectrogram : Makes of waveforms what a network can read.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing. Get github.com/Jakobovski/"
                                "free-spoken-digit-dataset and name its folder or archive.")
    recordings = sorted((int(match[1]), match[2], int(match[3]), _samples(name, content))
                        for name, content in _files(path)
                        if (match := NAME.match(name)))
    if not recordings:
        raise FileNotFoundError(f"{path} holds no recordings/DIGIT_SPEAKER_TAKE.wav.")
    digit, speaker, take, waveforms = zip(*recordings, strict=True)
    data = Bunch(waveforms=list(waveforms), digit=np.array(digit), speaker=np.array(speaker),
                 take=np.array(take), sample_rate=SAMPLE_RATE, DESCR=DESCRIPTION)
    if not return_X_y:
        return data
    test = data.take < 5
    X_train, X_test = ([wave for wave, in_test in zip(waveforms, test, strict=True)
                        if in_test == part] for part in (False, True))
    return X_train, X_test, data.digit[~test], data.digit[test]


def _files(path):
    """Yield the names and contents of the recordings below a folder or in an archive."""
    if path.is_dir():
        for file in path.rglob("*.wav"):
            with file.open("rb") as recording:
                yield f"/{file.relative_to(path.parent).as_posix()}", _content(file, recording)
    elif zipfile.is_zipfile(path):
        yield from _zipped(path)
    else:
        try:
            with gzip.open(path) if _is_gzip(path) else path.open("rb") as file, \
                    tarfile.open(fileobj=Budget(file, ARCHIVE_BYTES, path), mode="r|") as archive:
                for member in archive:
                    if member.isreg() and member.name.endswith(".wav") \
                            and (recording := archive.extractfile(member)):
                        yield member.name, _content(member.name, recording)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(f"{path} is no folder, and no zip or tar archive that can be read: "
                          f"{error}.") from error


def _zipped(path):
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > ARCHIVE_BYTES:
                raise too_much(path, ARCHIVE_BYTES)
            for member in members:
                if member.filename.endswith(".wav"):
                    # the other kinds of compression unpack a block whole, whatever it holds
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise OSError(f"{path} is compressed in an unusual way.")
                    with archive.open(member) as recording:
                        yield member.filename, _content(member.filename, recording)
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, NotImplementedError) as error:
        raise OSError(f"{path} cannot be read: {error}.") from error


def _is_gzip(path):
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _content(name, recording):
    content = at_most(recording, RECORDING_BYTES)
    if content is None:
        raise too_much(name, RECORDING_BYTES)
    return content


def _samples(name, content):
    try:
        with wave.open(io.BytesIO(content)) as recording:
            form = recording.getframerate(), recording.getsampwidth(), recording.getnchannels()
            samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
    except (wave.Error, EOFError, ValueError) as error:
        raise OSError(f"{name} is no readable WAV file: {error}.") from error
    if form != (SAMPLE_RATE, 2, 1) or not len(samples):
        raise OSError(f"{name} has {form[0]} Hz, {8 * form[1]} bits, {form[2]} channels and "
                      f"{len(samples)} samples; expected 8000 Hz, 16 bits, 1 channel, and some.")
    return samples.astype(np.int16)
