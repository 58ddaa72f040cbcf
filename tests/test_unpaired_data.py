"""Spoken digits, spectrograms, and modalities torn apart."""

import io
import pickle
import tarfile
import wave
import zipfile

import numpy as np
import pytest
from scipy import signal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch.utils.data import Dataset

from cmkdlearn import io as files
from cmkdlearn.datasets import _fsdd, fetch_fsdd, make_imbalanced, make_unpaired, subsample
from cmkdlearn.nn.augment import SpecAugment
from cmkdlearn.preprocessing import LogMelSpectrogram, LogSpectrogram
from cmkdlearn.teachers import UnimodalTeacher


def wav(samples, rate=8000, width=2, channels=1):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as recording:
        recording.setnchannels(channels)
        recording.setsampwidth(width)
        recording.setframerate(rate)
        recording.writeframes(np.asarray(samples, "<i2").tobytes())
    return buffer.getvalue()


RECORDINGS = {f"recordings/{digit}_{speaker}_{take}.wav": wav(np.arange(5 + digit) * (take + 1))
              for digit in range(3) for speaker in ("theo", "lucas") for take in (0, 4, 5, 11)}


def folder(tmp_path, files):
    for name, content in files.items():
        (tmp_path / "fsdd" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fsdd" / name).write_bytes(content)
    return tmp_path / "fsdd"


def zipped(tmp_path, files):
    with zipfile.ZipFile(tmp_path / "fsdd.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"free-spoken-digit-dataset-1.0/{name}", content)
    return tmp_path / "fsdd.zip"


def tarred(tmp_path, files):
    with tarfile.open(tmp_path / "fsdd.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"free-spoken-digit-dataset-1.0/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tmp_path / "fsdd.tar.gz"


@pytest.mark.parametrize("pack", [folder, zipped, tarred])
def test_fsdd_is_read_as_distributed(tmp_path, pack):
    data = fetch_fsdd(pack(tmp_path, {**RECORDINGS, "metadata/0_x_1.wav": b"", "a.txt": b""}))
    assert len(data.waveforms) == 24 and data.sample_rate == 8000
    assert data.digit.tolist() == sorted(data.digit.tolist())
    for samples, digit, take in zip(data.waveforms, data.digit, data.take, strict=True):
        np.testing.assert_array_equal(samples, np.arange(5 + digit) * (take + 1))
    assert set(data.speaker) == {"theo", "lucas"}


def test_fsdd_split_is_its_own(tmp_path):
    X_train, X_test, y_train, y_test = fetch_fsdd(folder(tmp_path, RECORDINGS), return_X_y=True)
    assert [len(part) for part in (X_train, X_test, y_train, y_test)] == [12, 12, 12, 12]
    # takes 0 and 4 test: the second sample of a recording is its take plus one
    assert {int(samples[1]) - 1 for samples in X_test} == {0, 4}
    assert {int(samples[1]) - 1 for samples in X_train} == {5, 11}
    assert [len(samples) - 5 for samples in X_test] == y_test.tolist()


@pytest.mark.parametrize("content, message", [
    (wav(np.arange(9))[:30], "no readable WAV file"),
    (b"", "no readable WAV file"),
    (wav(np.arange(9), rate=16_000), "has 16000 Hz"),
    (wav(np.arange(8), channels=2), "2 channels"),
    (wav([]), "0 samples"),
])
def test_damaged_recordings_are_refused_by_name(tmp_path, content, message):
    files = {**RECORDINGS, "recordings/1_theo_7.wav": content}
    with pytest.raises(OSError, match=f"1_theo_7.wav .*{message}"):
        fetch_fsdd(folder(tmp_path, files))


def test_fsdd_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        fetch_fsdd(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no recordings"):
        fetch_fsdd(tmp_path)
    (tmp_path / "junk.zip").write_bytes(b"junk")
    with pytest.raises(OSError, match="junk.zip is no folder, and no zip or tar"):
        fetch_fsdd(tmp_path / "junk.zip")


def zeros(archive, name, size, kind):
    """An archive with one more file, of many zeros."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "a", kind) as packed:
            packed.writestr(name, bytes(size))
    else:
        with tarfile.open(archive, "w:gz") as packed:
            member = tarfile.TarInfo(name)
            member.size = size
            packed.addfile(member, io.BytesIO(bytes(size)))
    assert archive.stat().st_size < size / 20
    return archive


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(("name", "size", "message"), [
    ("recordings/1_theo_7.wav", 2**20 + 1, "1_theo_7.wav holds more than 1,048,576 bytes"),
    ("anything", 2**22, "holds more than 3,000,000 bytes"),
])
def test_archives_are_read_under_a_budget(tmp_path, monkeypatch, pack, name, size, message):
    monkeypatch.setattr(_fsdd, "ARCHIVE_BYTES", 3_000_000)
    archive = zeros(pack(tmp_path, RECORDINGS), name, size, zipfile.ZIP_DEFLATED)
    with pytest.raises(OSError, match=message):
        fetch_fsdd(archive)


def test_a_zip_that_declares_less_than_it_holds_is_refused(tmp_path):
    size, less = (n.to_bytes(4, "little") for n in (0xABCDEF, 9))
    archive = zeros(zipped(tmp_path, RECORDINGS), "recordings/1_theo_7.wav", 0xABCDEF, zipfile.ZIP_DEFLATED)
    content = archive.read_bytes()
    assert content.count(size) == 2  # before the recording, and in the directory
    archive.write_bytes(content.replace(size, less))
    with pytest.raises(OSError, match="cannot be read"):
        fetch_fsdd(archive)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_knows_no_budget_is_refused(tmp_path, kind):
    with pytest.raises(OSError, match="compressed in an unusual way"):
        fetch_fsdd(zeros(zipped(tmp_path, RECORDINGS), "recordings/1_theo_7.wav", 2**20, kind))


def test_a_header_of_a_tar_file_counts_too(tmp_path, monkeypatch):
    """The name of a file in an archive may be as long as the archive says."""
    monkeypatch.setattr(_fsdd, "ARCHIVE_BYTES", 3_000_000)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.GNU_FORMAT) as packed:
        packed.addfile(tarfile.TarInfo("a" * 2**22))
    with pytest.raises(OSError, match="holds more than 3,000,000 bytes"):
        fetch_fsdd(tmp_path / "a.tar.gz")


# ------------------------------------------------------------------------------- spectrograms


def tone(frequency, seconds=1.0, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(8000 * seconds)) / 8000)


@pytest.mark.parametrize("frequency", [200, 700, 1500, 3200])
def test_a_tone_lights_its_band(frequency):
    """The brightest band is the one whose triangle is highest at the tone's frequency."""
    mel = LogMelSpectrogram(n_mels=24)
    S = mel.fit_transform([tone(frequency)])[0, 0]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 26) / 2595) - 1)
    nearest = np.argmin(np.abs(np.log((edges[1:-1] + 700) / (frequency + 700))))
    assert (S[:, 5:-5].argmax(axis=0) == nearest).all()


def test_power_and_floor():
    """A tone's power lies in its bands, a factor of 10 in amplitude is 100 in power."""
    mel = LogMelSpectrogram(floor=1e-12)
    loud, quiet = mel.fit_transform([tone(1000), tone(1000, amplitude=0.1)])
    np.testing.assert_allclose((loud - quiet)[0, :, 10:-10].max(), np.log(100), rtol=1e-3)
    silent = LogMelSpectrogram(floor=1e-4).fit_transform([np.zeros(800)])
    np.testing.assert_allclose(silent, np.log(1e-4), rtol=1e-6)


def test_integers_are_scaled_and_lengths_made_equal():
    mel = LogMelSpectrogram(duration=0.5).fit()
    wave = tone(500, 0.5)
    as_integers = np.round(wave * 32767).astype(np.int16)
    short, long, exact, integer = mel.transform(
        [wave[:2000], np.concatenate([np.zeros(1000), wave, np.zeros(1000)]), wave, as_integers])
    np.testing.assert_array_equal(long, exact)  # cut in the middle
    np.testing.assert_allclose(integer, exact, atol=0.05)
    np.testing.assert_array_equal(short[0, :, :5], exact[0, :, :5])
    assert short[0, :, -1].max() < -10 < exact[0, :, 10].max()
    assert exact.dtype == np.float32 and exact.shape[:2] == (1, 32)


@pytest.mark.parametrize("wave, message", [
    (np.zeros((2, 100)), r"X\[1\] has shape \(2, 100\)"),
    (np.zeros(0), r"X\[1\] has shape \(0,\)"),
    (np.array([0.0, np.nan]), r"X\[1\] holds NaN"),
])
@pytest.mark.parametrize("kind", [LogMelSpectrogram, LogSpectrogram])
def test_bad_recordings(kind, wave, message):
    with pytest.raises(ValueError, match=message):
        kind(8000, duration=1.0).fit().transform([np.ones(100), wave])


@pytest.mark.parametrize("kind, params, message", [
    (LogMelSpectrogram, {"n_mels": 0}, "n_mels=0 is out of range"),
    (LogMelSpectrogram, {"duration": 0}, "duration=0 is out of range"),
    (LogMelSpectrogram, {"n_mels": 400}, "n_mels=400 bands are narrower"),
    (LogSpectrogram, {"hop": 0}, "hop=0 is out of range"),
    (LogSpectrogram, {"duration": 0.02}, "window=0.032 seconds are longer than duration=0.02"),
])
def test_bad_parameters(kind, params, message):
    with pytest.raises(ValueError, match=message):
        kind(**params).fit()


@pytest.mark.parametrize("seconds", [2.0, 10.0, 12.5])
def test_log_spectrograms_are_those_of_vggsound(seconds):
    """Against the lines of the authors' code, in scipy's older functions."""
    rng = np.random.default_rng(0)
    wave = np.cumsum(rng.normal(0, 0.1, round(16000 * seconds))) % 2.2 - 1.1  # leaves [-1, 1]
    cut = np.clip(np.tile(wave, 5)[:160000], -1, 1)
    _, _, density = signal.spectrogram(cut, 16000, nperseg=512, noverlap=353)
    expected = np.log(density + 1e-7)
    expected = (expected - expected.mean()) / expected.std()
    S = LogSpectrogram().fit_transform([wave])
    assert S.shape == (1, 1, 257, 1004) and S.dtype == np.float32
    np.testing.assert_allclose(S[0, 0], expected, atol=1e-5)


def test_the_sizes_of_other_clips():
    """3 seconds of 16 kHz, and 160,000 samples of 22,050 Hz, as OGM-GE's code has them."""
    wave = [np.random.default_rng(0).normal(0, 0.1, 48000)]
    assert LogSpectrogram(duration=3).fit_transform(wave).shape[2:] == (257, 299)
    at = 22050
    peng = LogSpectrogram(at, duration=160000 / at, window=512 / at, hop=159 / at)
    assert peng.fit_transform(wave).shape[2:] == (257, 1004)


@pytest.mark.parametrize("band", [3, 40, 128, 200])
def test_a_tone_lights_its_frequency(band):
    spectrogram = LogSpectrogram(duration=0.5).fit()
    frequency = spectrogram.frequencies_[band]
    assert frequency == band * 16000 / 512
    S = spectrogram.transform([np.sin(2 * np.pi * frequency * np.arange(8000) / 16000)])[0, 0]
    assert (S.argmax(axis=0) == band).all()
    assert abs(S.mean()) < 1e-6 and abs(S.std() - 1) < 1e-5


def test_the_power_of_white_noise_is_spread_over_all_frequencies():
    """Parseval: the densities times the width of a band sum to the variance of the wave."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 160000)
    spectrogram = LogSpectrogram().fit()
    frames = spectrogram._frames()
    density = frames.spectrogram(wave, k_offset=256, p0=0, p1=1004)
    np.testing.assert_allclose(density.mean(axis=1).sum() * 16000 / 512, wave.var(), rtol=0.01)


def test_loudness_does_not_count():
    wave = np.random.default_rng(0).normal(0, 0.1, 16000)
    loud, quiet = LogSpectrogram(duration=1, floor=1e-30).fit_transform([wave, 0.1 * wave])
    np.testing.assert_allclose(loud, quiet, atol=1e-5)
    np.testing.assert_allclose(LogSpectrogram(duration=1).fit_transform([np.zeros(16000)]), 0, atol=1e-5)


@pytest.mark.parametrize("kind", [LogMelSpectrogram, LogSpectrogram])
def test_a_spectrogram_is_read_as_an_image(kind, tmp_path):
    """By itself, in a pipeline that can be kept in a file."""
    rng = np.random.default_rng(0)
    X, y = [rng.normal(0, 0.1, 8000) for _ in range(12)], np.arange(12) % 2
    for recording in X[::2]:
        recording += tone(500)
    teacher = UnimodalTeacher("test_efficientnet", max_epochs=1, device="cpu", random_state=0,
                              augmentation=SpecAugment())
    pipeline = make_pipeline(kind(8000, duration=0.5), teacher).fit(X, y)
    assert teacher.reader_.kind == "image" and teacher.reader_.shape[0] == 1
    files.save(pipeline, tmp_path / "file")
    np.testing.assert_array_equal(files.load(tmp_path / "file").predict_proba(X), pipeline.predict_proba(X))


def test_spectrogram_as_an_estimator():
    mel = LogMelSpectrogram(n_mels=8)
    assert clone(mel).get_params() == mel.get_params()
    with pytest.raises(NotFittedError):
        mel.transform([tone(500)])
    fitted = mel.fit()
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform([tone(500)]), fitted.transform([tone(500)]))


# ------------------------------------------------------------------------------- torn apart


def paired(n=120):
    ids = np.arange(n, dtype=float)
    return {"image": ids[:, None] * np.ones((n, 4)), "sound": ids[:, None]}, np.arange(n) % 3


def test_easy_is_a_permutation():
    X, y = paired()
    unpaired = make_unpaired(X, y, student="image", teacher="sound", preset="easy", random_state=0)
    ids = unpaired.X_teacher[:, 0].astype(int)
    assert sorted(ids) == list(range(120)) and (ids != np.arange(120)).mean() > 0.9
    np.testing.assert_array_equal(unpaired.y_teacher, y[ids])
    np.testing.assert_array_equal(unpaired.X, X["image"])


@pytest.mark.parametrize("preset", ["medium", "hard"])
def test_pools_are_disjoint_and_labels_go_with_samples(preset):
    X, y = paired()
    unpaired = make_unpaired(X, y, student="image", teacher="sound", preset=preset, random_state=0)
    mine = unpaired.X[:, 0].astype(int)
    np.testing.assert_array_equal(unpaired.y, y[mine])
    assert np.bincount(unpaired.y).tolist() == [20, 20, 20]
    if preset == "medium":
        theirs = unpaired.X_teacher[:, 0].astype(int)
        assert not set(mine) & set(theirs)
        np.testing.assert_array_equal(unpaired.y_teacher, y[theirs])
    else:
        assert np.bincount(unpaired.y_teacher).tolist() == [20, 6, 2]


def test_hard_adds_noise_of_half_a_standard_deviation():
    rng = np.random.default_rng(0)
    X = {"a": np.zeros((4000, 1)), "b": rng.normal(3.0, 7.0, (4000, 2))}
    y = np.arange(4000) % 2
    hard = make_unpaired(X, y, student="a", teacher="b", preset="hard", random_state=0)
    assert hard.X_teacher.std() == pytest.approx(7 * np.sqrt(1.25), rel=0.03)


def test_subsample_is_stratified():
    X, y = paired()
    kept, labels = subsample(X, y, 0.3, random_state=0)
    ids = kept["sound"][:, 0].astype(int)
    assert np.bincount(labels).tolist() == [12, 12, 12] and (np.diff(ids) > 0).all()
    np.testing.assert_array_equal(labels, y[ids])
    np.testing.assert_array_equal(subsample(X["sound"], y, 1.0)[0], X["sound"])


def test_tearing_apart_refuses():
    X, y = paired()
    with pytest.raises(ValueError, match="student='img' is unknown. Did you mean 'image'"):
        make_unpaired(X, y, student="img", teacher="sound")
    with pytest.raises(ValueError, match="preset='harder' is unknown"):
        make_unpaired(X, y, student="image", teacher="sound", preset="harder")
    with pytest.raises(ValueError, match="inconsistent numbers"):
        make_unpaired(X, y[:5], student="image", teacher="sound")
    with pytest.raises(ValueError, match="fraction=0 is out of range"):
        subsample(X, y, 0)
    with pytest.raises(ValueError, match=r"fraction=0.01 of 120 samples leaves too few"):
        subsample(X, y, 0.01)


@pytest.mark.data
def test_spoken_digits_can_be_told_apart(data_folder):
    """By a support vector machine on the spectrograms, on the data set's own split."""
    with np.load(data_folder / "fsdd.npz", allow_pickle=False) as arrays:
        waves = np.split(arrays["waveform"], arrays["offset"][1:-1])
        y, test = arrays["digit"], arrays["take"] < 5
    X = LogMelSpectrogram(duration=0.6).fit_transform(waves).reshape(3000, -1)
    assert SVC().fit(X[~test], y[~test]).score(X[test], y[test]) > 0.9


class Unread(Dataset):
    """Samples of which none may be read."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        raise AssertionError(f"sample {i} was read")


def test_samples_of_a_dataset_stay_unread():
    labels = np.arange(60) % 3
    X = {"image": Unread(60), "sound": Unread(60)}
    thinned, kept = make_imbalanced(X, labels, factor=4, random_state=0)
    assert len(thinned["image"]) == len(thinned["sound"]) == len(kept) == 20 + 10 + 5
    fewer, kept = subsample(X, labels, 0.5, random_state=0)
    assert len(fewer["image"]) == len(kept) == 30
    for preset in ("easy", "medium", "hard"):
        unpaired = make_unpaired(X, labels, student="image", teacher="sound", preset=preset, random_state=0)
        assert len(unpaired.X) == len(unpaired.y) and len(unpaired.X_teacher) == len(unpaired.y_teacher)
        with pytest.raises(AssertionError, match="was read"):
            unpaired.X_teacher[0]


class Items(Unread):
    def __init__(self, items):
        super().__init__(len(items))
        self.items = items

    def __getitem__(self, i):
        return self.items[i]


def test_noise_of_a_dataset_is_its_samples_own():
    """Half of a sample's own standard deviation, the same whenever it is read; bytes stay bytes."""
    images = np.random.default_rng(0).integers(60, 190, size=(40, 50, 50), dtype=np.uint8)
    X = {"image": images, "sound": Items(images)}
    hard = make_unpaired(X, np.arange(40) % 2, student="image", teacher="sound", preset="hard", random_state=0)
    first = hard.X_teacher[0]
    assert first.dtype == np.uint8 and (first == hard.X_teacher[0]).all()
    original = min(images, key=lambda image: np.abs(image.astype(float) - first).sum())
    assert (first.astype(float) - original).std() == pytest.approx(original.std() / 2, rel=0.05)
