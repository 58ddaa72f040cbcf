"""The papers' own data sets, each in miniature in the layout in which it is distributed."""

import gzip
import math

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._testing import assert_allclose, assert_array_equal

from cmkdlearn.datasets import (
    ArrayFiles,
    FrameFiles,
    ImageFiles,
    SoundFiles,
    load_ave,
    load_cremad,
    load_imagenet,
    load_imagenet_lt,
    load_mosei,
    load_ravdess,
    load_scene,
    load_tcga,
    load_utkface,
    load_vggsound,
)
from cmkdlearn.nn.data import seeded
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.preprocessing import LogMelSpectrogram, LogSpectrogram
from cmkdlearn.teachers import UnimodalTeacher

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def picture(file, colour="red", size=(12, 8)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(file)
    return file


def sound(file, level=0.5, rate=16000, seconds=0.01):
    file.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(file, rate, np.full(round(rate * seconds), level * 32768, dtype=np.int16))
    return file


def array(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, values)
    return file


def text(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def colour_of(image):
    """Name the colour that fills an image, whatever JPEG made of it."""
    mean = image.reshape(3, -1).mean(axis=1)
    return list(COLOURS)[mean.argmax()]


# --- samples in their files ----------------------------------------------------------------

def test_images_are_their_middle_squares(tmp_path):
    """Of a picture in three vertical stripes, twice as wide as high, the middle half is left."""
    stripes = np.zeros((20, 40, 3), dtype=np.uint8)
    stripes[:, :10, 0] = stripes[:, 10:30, 1] = stripes[:, 30:, 2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    image = ImageFiles([tmp_path / "stripes.png"], image_size=10)[0]
    assert image.shape == (3, 10, 10) and image.dtype == np.uint8
    inner = image[:, :, 1:-1]  # what is just beyond the edge counts a little
    assert (inner[1] == 255).all() and not inner[[0, 2]].any()
    assert (image[1] > 200).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_images_of_any_mode_become_colour(tmp_path, mode):
    file = tmp_path / ("a.jpg" if mode in ("L", "CMYK") else "a.png")
    Image.new("RGB", (9, 9), "white").convert(mode).save(file)
    image = ImageFiles([file], image_size=4)[0]
    assert image.shape == (3, 4, 4) and (image > 250).all()


def test_a_large_jpeg_is_the_same_as_one_decoded_in_full(tmp_path):
    ramp = np.linspace(0, 255, 640, dtype=np.uint8)
    whole = np.stack([np.tile(ramp, (640, 1)), np.tile(ramp, (640, 1)).T, np.zeros((640, 640), np.uint8)], -1)
    Image.fromarray(whole).save(tmp_path / "a.jpg", quality=95)
    image = ImageFiles([tmp_path / "a.jpg"], image_size=40)[0]
    expected = whole.reshape(40, 16, 40, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(image - expected).max() < 8


def test_files_feed_a_loader_with_workers(tmp_path):
    files = [picture(tmp_path / f"{i}.png", colour) for i, colour in enumerate(COLOURS)]
    loader = torch.utils.data.DataLoader(ImageFiles(files, 6), batch_size=3, num_workers=1)
    batch, = loader
    assert batch.shape == (3, 3, 6, 6) and batch.dtype == torch.uint8
    assert [colour_of(image.numpy()) for image in batch] == list(COLOURS)
    part = torch.utils.data.Subset(ImageFiles(files, 6), [2])
    assert len(part) == 1 and colour_of(part[0]) == "blue"
    assert [colour_of(image) for image in ImageFiles(files, 6)] == list(COLOURS)  # which ends


@pytest.mark.parametrize(("dtype", "value", "expected"), [
    (np.int16, 16384, 0.5), (np.int32, -(2**30), -0.5), (np.uint8, 192, 0.5), (np.float32, 0.25, 0.25)])
def test_samples_of_any_width_have_full_scale_1(tmp_path, dtype, value, expected):
    wavfile.write(tmp_path / "a.wav", 16000, np.full(160, value, dtype=dtype))
    wave = SoundFiles([tmp_path / "a.wav"], duration=0.01)[0]
    assert wave.shape == (160,) and wave.dtype == np.float32
    assert_allclose(wave, expected)


def test_channels_are_averaged(tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.tile(np.array([[8192, 24576]], np.int16), (160, 1)))
    assert_allclose(SoundFiles([tmp_path / "a.wav"], duration=0.01)[0], 0.5)


def test_recordings_are_resampled(tmp_path):
    """A tone has the same pitch afterwards: as many crossings of zero a second."""
    seconds = np.arange(48000) / 48000
    wavfile.write(tmp_path / "a.wav", 48000, np.sin(2 * np.pi * 440 * seconds).astype(np.float32))
    wave = SoundFiles([tmp_path / "a.wav"], sample_rate=16000, duration=1.0)[0]
    assert_allclose(wave[100:-100], np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)[100:-100], atol=1e-2)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101])
@pytest.mark.parametrize("duration", [0.05, 1.0, 4.0])
def test_what_is_cut_off_is_not_resampled_and_changes_nothing(tmp_path, rate, duration):
    samples = np.random.default_rng(0).integers(-3000, 3000, size=5 * rate // 2).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", rate, samples)
    common = math.gcd(rate, 16000)
    whole = resample_poly(samples / 32768, 16000 // common, rate // common)
    length = round(16000 * duration)
    start = max(0, len(whole) - length) // 2
    wave = SoundFiles([tmp_path / "a.wav"], duration=duration)[0]
    kept = whole[start:start + length]
    assert_allclose(wave[:len(kept)], kept, atol=1e-7)
    assert not wave[len(kept):].any()
    assert_allclose(SoundFiles([tmp_path / "a.wav"], transformer=FunctionTransformer())[0], whole, atol=1e-7)


@pytest.mark.parametrize("rate", [0, 1, 49, 500_001, 2**32 - 5])
def test_absurd_rates_are_refused_before_anything_is_resampled(tmp_path, monkeypatch, rate):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(100, dtype=np.uint8))
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:24] + 2 * rate.to_bytes(4, "little") + content[32:])
    monkeypatch.setattr("cmkdlearn.datasets._lazy_files.resample_poly", lambda *args: pytest.fail())
    with pytest.raises(OSError, match=f"a.wav.*a rate of {rate:,} Hz; recordings have 50 to 500,000"):
        SoundFiles([tmp_path / "a.wav"])[0]


def test_images_of_too_many_pixels_are_refused(tmp_path, monkeypatch):
    from PIL import Image
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60 * 60)
    file = picture(tmp_path / "a.png", size=(60, 60))
    assert ImageFiles([file], 8)[0].shape == (3, 8, 8)
    file = picture(tmp_path / "b.png", size=(60, 61))
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(OSError, match=r"b.png.*60 x 61 pixels"):
        ImageFiles([file], 8)[0]


def test_recordings_are_cut_in_the_middle_or_continued_by_silence(tmp_path):
    wavfile.write(tmp_path / "a.wav", 1000, np.arange(10, dtype=np.int16))
    scale = 32768
    cut = SoundFiles([tmp_path / "a.wav"], 1000, 0.004)[0] * scale
    assert_array_equal(cut, [3, 4, 5, 6])
    long = SoundFiles([tmp_path / "a.wav"], 1000, 0.012)[0] * scale
    assert_array_equal(long, [*range(10), 0, 0])


def test_a_transformer_makes_spectrograms_of_recordings(tmp_path):
    file = sound(tmp_path / "a.wav", seconds=0.2)
    mel = LogMelSpectrogram(16000, duration=0.1, n_mels=20).fit()
    wave = SoundFiles([file], duration=0.1)[0]
    for duration in (0.1, None):
        files = SoundFiles([file], duration=duration, transformer=mel)
        assert_array_equal(files[0], mel.transform([wave])[0])
    X, kind = canonical(np.stack([files[0], files[0]]))
    assert kind == "image" and X.shape[1] == 1


def test_a_transformer_is_given_whole_recordings(tmp_path):
    """A short recording is repeated, which silence after it would prevent."""
    wave = np.random.default_rng(0).normal(0, 3000, size=4000).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 16000, wave)
    repeated = LogSpectrogram(duration=1).fit()
    spectrum = SoundFiles([tmp_path / "a.wav"], transformer=repeated)[0]
    assert_allclose(spectrum, repeated.transform([np.tile(wave / 32768, 4)])[0], atol=1e-4)
    assert SoundFiles([tmp_path / "a.wav"])[0].shape == (48000,)


GREYS = [10, 50, 90, 130, 170]


@pytest.fixture
def videos(tmp_path):
    """Two videos of five frames, and one of two; each frame has its own grey."""
    def video(name, greys):
        for i, grey in enumerate(greys):
            Image.new("L", (9, 9), grey).save(tmp_path / f"{name}{i}.png")
        return [tmp_path / f"{name}{i}.png" for i in range(len(greys))]
    return [video("a", GREYS), video("b", [grey + 5 for grey in GREYS]), video("c", [0, 255])]


def greys(sample):
    assert (sample == sample[:, :1, :1]).all() and (sample[::3] == sample[2::3]).all()
    return sample[::3, 0, 0].tolist()


@pytest.mark.parametrize(("n_frames", "expected"), [
    (1, [[90], [95], [255]]), (2, [[50, 90], [55, 95], [0, 255]]),
    (3, [[50, 90, 130], [55, 95, 135], [0, 0, 255]]),
    (7, [[10, 10, 50, 50, 90, 130, 170], [15, 15, 55, 55, 95, 135, 175], [0, 0, 0, 0, 255, 255, 255]])])
def test_the_frames_in_the_middle(videos, n_frames, expected):
    X = FrameFiles(videos, 4, n_frames=n_frames)
    assert len(X) == 3 and X[0].shape == (3 * n_frames, 4, 4) and X[0].dtype == np.uint8
    assert [greys(x) for x in X] == expected
    assert greys(X[-1]) == expected[-1]


def test_random_frames_are_drawn_anew_in_the_order_of_time(videos):
    X = FrameFiles(videos, 4, n_frames=2, frames="random")
    with seeded(0):
        drawn = [tuple(greys(X[0])) for _ in range(200)]
    assert set(drawn) == {(a, b) for a in GREYS for b in GREYS if a < b}
    assert greys(X[2]) == [0, 255]
    with seeded(0):
        assert drawn == [tuple(greys(X[0])) for _ in range(200)]
    assert len(FrameFiles(videos, 4, n_frames=5, frames="random")[0]) == 15


@pytest.mark.parametrize("workers", [0, 1])
def test_random_frames_follow_the_estimators_random_state(videos, workers):
    X, y = FrameFiles(videos * 4, 8, n_frames=2, frames="random"), ["a", "b", "c"] * 4
    middle = FrameFiles(videos, 8, n_frames=2)

    def predicted(seed):
        teacher = UnimodalTeacher("test_efficientnet", module__n_frames=2, max_epochs=2, batch_size=4,
                                  device="cpu", random_state=seed, iterator_train__num_workers=workers)
        return teacher.fit(X, y).predict_proba(middle)

    first = predicted(0)
    assert_array_equal(first, predicted(0))
    assert not np.array_equal(first, predicted(1))


def test_frames_that_cannot_be(videos):
    with pytest.raises(ValueError, match="n_frames=0"):
        FrameFiles(videos, n_frames=0)
    with pytest.raises(ValueError, match=r"videos\[1\] holds no frames"):
        FrameFiles([videos[0], []])
    with pytest.raises(ValueError, match="frames='last' is unknown"):
        FrameFiles(videos, frames="last")
    videos[0][2].write_bytes(b"no image")
    with pytest.raises(OSError, match="a2.png cannot be read as an image"):
        FrameFiles(videos)[0]
    with pytest.raises(IndexError):
        FrameFiles(videos)[3]


def test_only_arrays_of_two_axes_are_spectrograms(tmp_path):
    for shape, expected in (((4,), (4,)), ((4, 5), (1, 4, 5)), ((4, 5, 3), (4, 5, 3))):
        file = array(tmp_path / "a.npy", np.zeros(shape))
        assert ArrayFiles([file], spectrograms=True)[0].shape == expected
        assert ArrayFiles([file])[0].shape == shape


@pytest.mark.parametrize("kind", [ImageFiles, SoundFiles, ArrayFiles])
@pytest.mark.parametrize("content", [b"", b"no such thing"])
def test_a_damaged_file_is_named(tmp_path, kind, content):
    (tmp_path / "x.bin").write_bytes(content)
    files = kind([tmp_path / "x.bin"])
    assert len(files) == 1  # nothing has been read so far
    with pytest.raises(OSError, match="x.bin cannot be read as a"):
        files[0]


def test_a_truncated_file_is_named(tmp_path):
    for kind, file in ((ImageFiles, picture(tmp_path / "a.png", size=(64, 64))),
                       (SoundFiles, sound(tmp_path / "a.wav")),
                       (ArrayFiles, array(tmp_path / "a.npy", np.zeros(99)))):
        file.write_bytes(file.read_bytes()[:-50])
        with pytest.raises(OSError, match=f"{file.name} cannot be read"):
            kind([file])[0]


def test_a_recording_without_samples_is_refused(tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(0, dtype=np.int16))
    with pytest.raises(OSError, match="a.wav.*no samples"):
        SoundFiles([tmp_path / "a.wav"])[0]


def test_pickled_arrays_are_not_unpickled(tmp_path):
    array(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(OSError, match="a.npy.*[Oo]bject arrays"):
        ArrayFiles([tmp_path / "a.npy"])[0]


@pytest.mark.parametrize(("make", "message"), [
    (lambda: ImageFiles([], image_size=0), "image_size=0"),
    (lambda: SoundFiles([], sample_rate=0), "sample_rate=0"),
    (lambda: SoundFiles([], duration=-1.0), "duration=-1.0")])
def test_parameters_of_files_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- ImageNet ------------------------------------------------------------------------------

SYNSETS = {"n01440764": "tench, Tinca tinca", "n02012849": "crane", "n03126707": "crane"}


@pytest.fixture
def imagenet(tmp_path):
    for split, name in (("train", "{}_10.JPEG"), ("val", "ILSVRC2012_val_{}.JPEG")):
        for synset, colour in zip(SYNSETS, COLOURS, strict=True):
            picture(tmp_path / split / synset / name.format(synset), colour)
    text(tmp_path / "LOC_synset_mapping.txt", "".join(f"{k} {v}\n" for k, v in SYNSETS.items()))
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val"])
def test_imagenet(imagenet, split):
    data = load_imagenet(imagenet, split=split, image_size=16)
    assert_array_equal(data.y, list(SYNSETS))
    assert [colour_of(image) for image in (data.X[i] for i in range(3))] == list(COLOURS)
    assert data.X[0].shape == (3, 16, 16)
    assert data.class_names == {"n01440764": "tench", "n02012849": "crane", "n03126707": "crane"}


def test_imagenet_without_names(imagenet):
    (imagenet / "LOC_synset_mapping.txt").unlink()
    assert load_imagenet(imagenet).class_names is None
    assert load_imagenet_lt_of(imagenet, "train/n01440764/n01440764_10.JPEG 0\n").class_names is None


def test_what_is_wrong_with_imagenet_is_named(imagenet):
    with pytest.raises(ValueError, match="split='test'"):
        load_imagenet(imagenet, split="test")
    with pytest.raises(FileNotFoundError, match=r"nowhere.train is missing"):
        load_imagenet(imagenet / "nowhere")
    (imagenet / "train" / "n99999999").mkdir()
    with pytest.raises(FileNotFoundError, match="n99999999 holds no images"):
        load_imagenet(imagenet)
    (imagenet / "train" / "n99999999").rename(imagenet / "train" / "cats")
    picture(imagenet / "train" / "cats" / "1.jpg")
    with pytest.raises(ValueError, match="cats is no synset"):
        load_imagenet(imagenet)
    text(imagenet / "LOC_synset_mapping.txt", "n01440764 tench\ntench\n")
    with pytest.raises(ValueError, match="LOC_synset_mapping.txt, line 2, reads 'tench'"):
        load_imagenet(imagenet, split="val")


def test_flat_validation_images_are_told_apart_from_folders(tmp_path):
    picture(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(FileNotFoundError, match="val holds no folders: expected one a class"):
        load_imagenet(tmp_path, split="val")


def load_imagenet_lt_of(folder, content, split="train"):
    text(folder / "lists" / f"ImageNet_LT_{split}.txt", content)
    return load_imagenet_lt(folder, split=split, lists=folder / "lists", image_size=8)


def test_imagenet_lt(imagenet):
    data = load_imagenet_lt_of(imagenet, "train/n03126707/n03126707_10.JPEG 2\n\n"
                                         "train/n01440764/n01440764_10.JPEG 0\n")
    assert_array_equal(data.y, [2, 0])
    assert data.y.dtype == np.int64
    assert [colour_of(data.X[i]) for i in range(2)] == ["blue", "red"]
    assert data.class_names == {0: "tench", 1: "crane", 2: "crane"}
    test = load_imagenet_lt_of(imagenet, "val/n02012849/ILSVRC2012_val_n02012849.JPEG 1\n", "test")
    assert colour_of(test.X[0]) == "green"


@pytest.mark.parametrize(("content", "message"), [
    ("train/a.JPEG\n", r"ImageNet_LT_train.txt, line 1, reads 'train/a.JPEG'; expected"),
    ("train/a.JPEG 1000\n", "line 1, .* 0 to 999"),
    ("train/a.JPEG -1\n", "line 1, .* 0 to 999"),
    ("a.JPEG 1\n../b.JPEG 2\n", "line 2, names '../b.JPEG', which leads out of"),
    ("/etc/passwd 2\n", "line 1, names '/etc/passwd', which leads out of"),
    ("n01440764/a.JPEG 1\nn01440764/b.JPEG 2\n", "line 2, gives n01440764 the label 2; before it was 1"),
    ("", "is empty")])
def test_malformed_lists_of_imagenet_lt(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load_imagenet_lt_of(tmp_path, content)


def test_a_missing_list_of_imagenet_lt_is_named(imagenet):
    with pytest.raises(FileNotFoundError, match="ImageNet_LT_val.txt is missing: expected the list of"):
        load_imagenet_lt(imagenet, split="val")


def test_an_image_that_a_list_names_in_vain(imagenet):
    data = load_imagenet_lt_of(imagenet, "train/n01440764/gone.JPEG 0\n")
    with pytest.raises(OSError, match="gone.JPEG cannot be read"):
        data.X[0]


def test_a_folder_may_itself_be_named_by_dots(imagenet):
    assert len(load_imagenet(imagenet / "train" / "..").X) == 3
    data = load_imagenet_lt_of(imagenet / "train" / "..", "train/n01440764/n01440764_10.JPEG 0\n")
    assert colour_of(data.X[0]) == "red"


# --- scenes --------------------------------------------------------------------------------

SCENES = ["buildings", "forest", "glacier", "mountain", "sea", "street"]


def test_scene(tmp_path):
    for name in SCENES:
        picture(tmp_path / "seg_test" / "seg_test" / name / "1.jpg", "green" if name == "forest" else "blue")
    data = load_scene(tmp_path, split="test")
    assert_array_equal(data.y, SCENES)
    assert_array_equal(data.class_names, SCENES)
    assert data.X[1].shape == (3, 150, 150) and colour_of(data.X[1]) == "green"
    with pytest.raises(FileNotFoundError, match="seg_train is missing"):
        load_scene(tmp_path)
    (tmp_path / "seg_test" / "seg_test" / "kitchen").mkdir()
    with pytest.raises(ValueError, match="kitchen is no class: expected the folders buildings"):
        load_scene(tmp_path, split="test")
    (tmp_path / "seg_test" / "seg_test" / "kitchen").rmdir()
    (tmp_path / "seg_test" / "seg_test" / "sea" / "1.jpg").unlink()
    (tmp_path / "seg_test" / "seg_test" / "sea").rmdir()
    with pytest.raises(ValueError, match="sea is missing: expected the folders buildings"):
        load_scene(tmp_path, split="test")


# --- UTKFace -------------------------------------------------------------------------------

@pytest.fixture
def faces(tmp_path):
    picture(tmp_path / "part1" / "26_1_2_20170116184024662.jpg.chip.jpg", "blue")
    picture(tmp_path / "100_0_0_20170112213500903.jpg", "red")
    return tmp_path


def test_utkface(faces):
    data = load_utkface(faces, image_size=10)
    assert_array_equal(data.y, ["White", "Asian"])
    assert_array_equal(data.age, [100, 26])
    assert_array_equal(data.gender, ["male", "female"])
    assert_array_equal(data.class_names, ["White", "Black", "Asian", "Indian", "Others"])
    assert [colour_of(data.X[i]) for i in range(2)] == ["red", "blue"]
    assert_array_equal(load_utkface(faces, target="gender").y, data.gender)
    ages = load_utkface(faces, target="age")
    assert_array_equal(ages.y, data.age)
    assert ages.class_names is None


@pytest.mark.parametrize("name", ["39_1_20170116174525125.jpg.chip.jpg", "53__0_20170116184028385.jpg",
                                  "61_3_20170109150557335.jpg", "26_1_5_20170116184024662.jpg"])
def test_faces_without_labels(faces, name):
    picture(faces / name)
    with pytest.raises(ValueError, match=f"{name}.* is not named age_gender_race_date.jpg"):
        load_utkface(faces)
    data = load_utkface(faces, skip_malformed=True)
    assert len(data.X) == 2 and data.skipped == [str(faces / name)]


def test_no_faces(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no files named age_gender_race_date.jpg"):
        load_utkface(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        load_utkface(tmp_path / "nowhere")


# --- AVE -----------------------------------------------------------------------------------

EVENTS = ("Church bell&RUhOCu3LNXM&good&0&10\n"
          "Male speech, man speaking&-hChcJAh5N0&good&5&10\n"
          "Bark&RUhOCu3LNXM&good&2&4\n"
          "Bark&3jS8tWfLJxI&good&7&9\n")


@pytest.fixture
def ave(tmp_path):
    text(tmp_path / "trainSet.txt", EVENTS)
    for name, colour in zip(("RUhOCu3LNXM", "-hChcJAh5N0", "3jS8tWfLJxI"), COLOURS, strict=True):
        for i in (1, 2, 10):  # of which 2 is in the middle, but not of the strings
            picture(tmp_path / "Image-01-FPS-SE" / name / f"{i}.jpg", colour if i == 2 else "green")
        array(tmp_path / "Audio-1004-SE" / f"{name}.npy", np.full((5, 4), len(name) + ord(colour[0])))
    return tmp_path


def test_ave(ave):
    data = load_ave(ave, image_size=8)
    assert data.names == ["RUhOCu3LNXM", "-hChcJAh5N0", "3jS8tWfLJxI"]
    assert_array_equal(data.y, ["Church bell", "Male speech, man speaking", "Bark"])
    assert_array_equal(data.class_names, ["Bark", "Church bell", "Male speech, man speaking"])
    assert_array_equal(data.interval, [[0, 10], [5, 10], [7, 9]])
    assert [colour_of(data.X["image"][i]) for i in range(3)] == list(COLOURS)
    assert isinstance(data.X["audio"], ArrayFiles)
    assert [data.X["audio"][i][0, 0, 0] for i in range(3)] == [11 + ord(colour[0]) for colour in COLOURS]


def test_several_frames_of_ave(ave):
    image, = load_ave(ave, image_size=8, n_frames=2).X["image"][0][None]
    assert [colour_of(frame) for frame in (image[:3], image[3:])] == ["green", "red"]
    drawn = load_ave(ave, image_size=8, frames="random").X["image"]
    assert {colour_of(drawn[0]) for _ in range(50)} == {"red", "green"}


def test_ave_of_recordings(ave):
    for i, name in enumerate(("RUhOCu3LNXM", "-hChcJAh5N0", "3jS8tWfLJxI")):
        sound(ave / "wav" / f"{name}.wav", i / 4)
    data = load_ave(ave, modalities=["audio"], audio_folder="wav", duration=0.01)
    assert list(data.X) == ["audio"]
    assert_allclose([data.X["audio"][i].mean() for i in range(3)], [0, 0.25, 0.5])


def test_clips_that_are_missing_are_named_or_left_out(ave):
    (ave / "Audio-1004-SE" / "-hChcJAh5N0.npy").unlink()
    with pytest.raises(FileNotFoundError, match="-hChcJAh5N0.wav is missing.*skip_missing=True"):
        load_ave(ave)
    data = load_ave(ave, skip_missing=True)
    assert data.skipped == ["-hChcJAh5N0"] and len(data.y) == len(data.X["audio"]) == len(data.X["image"]) == 2
    assert colour_of(data.X["image"][1]) == "blue" and data.y[1] == "Bark"
    assert "Male speech, man speaking" in data.class_names  # the classes are those of the list
    assert len(load_ave(ave, modalities=["image"]).y) == 3


def test_a_clip_without_frames_is_missing(ave):
    for file in (ave / "Image-01-FPS-SE" / "3jS8tWfLJxI").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match="3jS8tWfLJxI holds no frames"):
        load_ave(ave)
    assert load_ave(ave, skip_missing=True).skipped == ["3jS8tWfLJxI"]


def test_pickled_sounds_are_refused_even_where_missing_ones_are_not(ave):
    (ave / "Audio-1004-SE" / "-hChcJAh5N0.npy").rename(ave / "Audio-1004-SE" / "-hChcJAh5N0.pkl")
    with pytest.raises(ValueError, match="-hChcJAh5N0.pkl is a pickle"):
        load_ave(ave, skip_missing=True)


def test_recordings_and_arrays_do_not_mix(ave):
    sound(ave / "Audio-1004-SE" / "3jS8tWfLJxI.wav")
    with pytest.raises(ValueError, match="Audio-1004-SE mixes .npy and .wav"):
        load_ave(ave)


@pytest.mark.parametrize(("content", "message"), [
    ("Category&VideoID&Quality&StartTime&EndTime\n", "trainSet.txt, line 1, reads 'Category"),
    ("Bark&3jS8tWfLJxI&good&7\n", "trainSet.txt, line 1, reads"),
    (EVENTS + "Bark&../../x&good&0&1\n", "line 5, names '../../x', which leads out of"),
    (EVENTS + "Bark&/etc/x&good&0&1\n", "line 5, names '/etc/x', which leads out of")])
def test_malformed_lists_of_ave(ave, content, message):
    text(ave / "trainSet.txt", content)
    with pytest.raises(ValueError, match=message):
        load_ave(ave)


def test_what_is_missing_of_ave_is_named(ave):
    with pytest.raises(FileNotFoundError, match="testSet.txt is missing: expected AVE's list"):
        load_ave(ave, split="test")
    with pytest.raises(FileNotFoundError, match=r"nowhere is missing: expected what was extracted"):
        load_ave(ave, image_folder="nowhere")
    text(ave / "valSet.txt", "Bark&abc&good&0&1\n")
    with pytest.raises(FileNotFoundError, match="holds none of the 1 clips listed, such as abc"):
        load_ave(ave, split="val", skip_missing=True)
    for modalities in ("audio", [], ["smell"]):
        with pytest.raises(ValueError, match="modalities="):
            load_ave(ave, modalities=modalities)


# --- CREMA-D -------------------------------------------------------------------------------

@pytest.fixture
def cremad(tmp_path):
    for i, (name, colour) in enumerate(zip(("1001_DFA_ANG_XX", "1001_IEO_NEU_XX", "1091_WSI_HAP_HI"),
                                           COLOURS, strict=True)):
        sound(tmp_path / "AudioWAV" / f"{name}.wav", i / 4)
        picture(tmp_path / "Image-01-FPS" / name / "frame_0001.jpg", colour)
    text(tmp_path / "train.csv", "1091_WSI_HAP_HI,HAP\n1001_DFA_ANG_XX,ANG\n")
    return tmp_path


def test_cremad(cremad):
    data = load_cremad(cremad, image_size=8, duration=0.01)
    assert_array_equal(data.y, ["anger", "neutral", "happy"])
    assert_array_equal(data.actor, [1001, 1001, 1091])
    assert len(data.class_names) == 6 and set(data.y) < set(data.class_names)
    assert [colour_of(data.X["image"][i]) for i in range(3)] == list(COLOURS)
    assert_allclose([data.X["audio"][i].mean() for i in range(3)], [0, 0.25, 0.5])


def test_the_published_split_of_cremad(cremad):
    data = load_cremad(cremad, split="train", duration=0.01)
    assert data.names == ["1091_WSI_HAP_HI", "1001_DFA_ANG_XX"]
    assert_array_equal(data.y, ["happy", "anger"])
    assert_allclose(data.X["audio"][0].mean(), 0.5)
    with pytest.raises(FileNotFoundError, match="test.csv is missing"):
        load_cremad(cremad, split="test")


@pytest.mark.parametrize("line", ["1001_DFA_ANG_XX,HAP", "1001_DFA_ANG_XX", "id,label",
                                  "../../AudioWAV/1001_DFA_ANG_XX,ANG"])
def test_malformed_lists_of_cremad(cremad, line):
    text(cremad / "train.csv", f"1001_DFA_ANG_XX,ANG\n{line}\n")
    with pytest.raises(ValueError, match="train.csv, line 2,"):
        load_cremad(cremad, split="train")


def test_recordings_that_are_not_cremads(cremad):
    sound(cremad / "AudioWAV" / "1001_DFA_BORED_XX.wav")
    with pytest.raises(ValueError, match="1001_DFA_BORED_XX.wav is not named"):
        load_cremad(cremad)
    with pytest.raises(FileNotFoundError, match="AudioWAV is missing: expected CREMA-D's recordings"):
        load_cremad(cremad / "nowhere")
    (cremad / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds no recordings such as"):
        load_cremad(cremad, audio_folder="empty")


# --- RAVDESS -------------------------------------------------------------------------------

@pytest.fixture
def ravdess(tmp_path):
    for i, (name, colour) in enumerate(zip(("01-01-01-01-01-01", "01-06-01-02-01-12", "01-08-02-01-02-24"),
                                           COLOURS, strict=True)):
        folder = tmp_path / f"Actor_{name[-2:]}"
        sound(folder / f"03-{name}.wav", i / 4, rate=48000)
        picture(folder / f"{'02' if i == 1 else '01'}-{name}" / "0001.png", colour)
    sound(tmp_path / "Actor_12" / "03-02-06-01-02-01-12.wav")  # a song
    return tmp_path


def test_ravdess(ravdess):
    ravdess = ravdess.rename(ravdess.with_name("renamed"))
    data = load_ravdess(ravdess, image_size=8, duration=0.005)
    assert_array_equal(data.actor, [1, 12, 24])
    assert_array_equal(data.y, ["neutral", "fearful", "surprised"])
    assert len(data.class_names) == 8
    assert [colour_of(data.X["image"][i]) for i in range(3)] == list(COLOURS)
    assert_allclose([np.median(data.X["audio"][i]) for i in range(3)], [0, 0.25, 0.5], atol=1e-3)


def test_ravdess_without_a_video(ravdess):
    (ravdess / "Actor_12" / "02-01-06-01-02-01-12" / "0001.png").unlink()
    (ravdess / "Actor_12" / "02-01-06-01-02-01-12").rmdir()
    with pytest.raises(FileNotFoundError, match="01-01-06-01-02-01-12 is missing.*skip_missing"):
        load_ravdess(ravdess)
    assert load_ravdess(ravdess, skip_missing=True).skipped == ["03-01-06-01-02-01-12"]
    assert len(load_ravdess(ravdess, modalities=["audio"]).y) == 3


@pytest.mark.parametrize("name", ["03-01-09-01-01-01-01", "happy", "03-01-06-01-02-12"])
def test_recordings_that_are_not_ravdess(ravdess, name):
    sound(ravdess / "Actor_01" / f"{name}.wav")
    with pytest.raises(ValueError, match=f"{name}.wav is not named as RAVDESS's"):
        load_ravdess(ravdess)


def test_no_ravdess(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no speech"):
        load_ravdess(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        load_ravdess(tmp_path / "nowhere")


@pytest.fixture
def ravdess_lists(tmp_path):
    """As the code of the paper on distillation without pairs has it."""
    text(tmp_path / "data_file" / "spa_val.csv", "a.npy,a_7.jpg,happy\nb.npy,b_3.jpg,calm\n")
    for name, colour in (("a", "red"), ("b", "blue")):
        array(tmp_path / "aud_features" / f"{name}.npy", np.full((6, 5), ord(name)))
        picture(tmp_path / "vid_features" / f"{name}_{7 if name == 'a' else 3}.jpg", colour)
    return tmp_path


def test_the_lists_of_ravdess(ravdess_lists):
    data = load_ravdess(ravdess_lists, split="val", image_size=8)
    assert_array_equal(data.y, ["happy", "calm"])
    assert_array_equal(data.class_names, ["calm", "happy"])
    assert data.X["audio"][1].shape == (1, 6, 5) and data.X["audio"][1][0, 0, 0] == ord("b")
    assert [colour_of(data.X["image"][i]) for i in range(2)] == ["red", "blue"]


@pytest.mark.parametrize(("line", "message"), [
    ("a.npy,a_7.jpg", "spa_val.csv, line 1, reads 'a.npy,a_7.jpg'; expected audio,image,label"),
    ("../a.npy,a_7.jpg,happy", "line 1, names '../a.npy', which leads out of"),
    ("a.npy,/a_7.jpg,happy", "line 1, names '/a_7.jpg', which leads out of")])
def test_malformed_lists_of_ravdess(ravdess_lists, line, message):
    text(ravdess_lists / "data_file" / "spa_val.csv", line + "\n")
    with pytest.raises(ValueError, match=message):
        load_ravdess(ravdess_lists, split="val")


def test_what_the_lists_of_ravdess_miss(ravdess_lists):
    with pytest.raises(FileNotFoundError, match="spa_dl.csv is missing"):
        load_ravdess(ravdess_lists, split="train")
    (ravdess_lists / "vid_features" / "b_3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="b_3.jpg is missing: expected a frame"):
        load_ravdess(ravdess_lists, split="val")
    assert load_ravdess(ravdess_lists, split="val", skip_missing=True).names == ["a.npy"]


# --- VGGSound ------------------------------------------------------------------------------

@pytest.fixture
def vggsound(tmp_path):
    text(tmp_path / "vggsound.csv", '---g-f_I2yQ,1,"people marching",test\n'
                                    '--0PQM4-hqg,30,"waterfall burbling",train\n'
                                    'FwVYUHKoLtQ,34,"donkey, ass braying",train\n')
    for name, colour in zip(("---g-f_I2yQ_000001", "--0PQM4-hqg_000030", "FwVYUHKoLtQ_000034"), COLOURS,
                            strict=True):
        sound(tmp_path / "audio" / f"{name}.wav", ord(colour[0]) / 256)
        picture(tmp_path / "Image-01-FPS" / name / "1.jpg", colour)
    return tmp_path


def test_vggsound(vggsound):
    data = load_vggsound(vggsound, image_size=8, duration=0.01)
    assert_array_equal(data.y, ["waterfall burbling", "donkey, ass braying"])
    assert data.names == ["--0PQM4-hqg_000030", "FwVYUHKoLtQ_000034"]
    assert [colour_of(data.X["image"][i]) for i in range(2)] == ["green", "blue"]
    assert_allclose([data.X["audio"][i].mean() * 256 for i in range(2)], [ord("g"), ord("b")], rtol=1e-4)
    assert_array_equal(load_vggsound(vggsound, split="test").y, ["people marching"])


def test_classes_of_vggsound(vggsound):
    (vggsound / "audio" / "--0PQM4-hqg_000030.wav").unlink()  # not asked for
    data = load_vggsound(vggsound, classes=["donkey, ass braying"])
    assert data.names == ["FwVYUHKoLtQ_000034"]
    assert_array_equal(data.class_names, ["donkey, ass braying"])
    with pytest.raises(ValueError, match="classes='donkey braying' is unknown. Did you mean"):
        load_vggsound(vggsound, classes=["donkey braying"])


@pytest.mark.parametrize("line", ["a,1,b", "a,x,b,train", "a,1,b,val"])
def test_malformed_lists_of_vggsound(vggsound, line):
    text(vggsound / "vggsound.csv", line + "\n")
    with pytest.raises(ValueError, match=f"vggsound.csv, line 1, reads '{line}'; expected ID,start"):
        load_vggsound(vggsound)


def test_a_name_in_vggsound_stays_in_its_folder(vggsound):
    text(vggsound / "vggsound.csv", '../../x,1,"people marching",train\n')
    with pytest.raises(ValueError, match="line 1, names '../../x_000001', which leads out of"):
        load_vggsound(vggsound)


# --- CMU-MOSEI -----------------------------------------------------------------------------

@pytest.fixture
def mosei(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 6), ("valid", 3), ("test", 3)):
        for name, width in (("text", 7), ("audio", 5), ("vision", 4)):
            array(tmp_path / split / f"{name}.npy", rng.normal(size=(n, 10, width)).astype(np.float32))
        array(tmp_path / split / "regression_labels.npy", np.array([-3, -0.5, 0, 0, 1 / 3, 3][:n]))
    return tmp_path


def test_mosei(mosei):
    data = load_mosei(mosei)
    assert {name: part.shape for name, part in data.X.items()} == {
        "text": (6, 10, 7), "audio": (6, 10, 5), "vision": (6, 10, 4)}
    assert all(isinstance(part, np.memmap) for part in data.X.values())
    assert_array_equal(data.y, ["negative"] * 2 + ["positive"] * 4)
    assert_allclose(data.sentiment, [-3, -0.5, 0, 0, 1 / 3, 3])
    assert_array_equal(data.X["text"], np.load(mosei / "train" / "text.npy"))


def test_neutral_sentences_may_be_dropped(mosei):
    data = load_mosei(mosei, neutral="drop", modalities=["audio"])
    assert_array_equal(data.y, ["negative"] * 2 + ["positive"] * 2)
    assert_array_equal(data.X["audio"], np.load(mosei / "train" / "audio.npy")[[0, 1, 4, 5]])


@pytest.mark.parametrize(("name", "values", "message"), [
    ("text", np.zeros((6, 10)), "text.npy holds float64 of shape"),
    ("text", np.zeros((5, 10, 7)), "text.npy holds .*n=6"),
    ("text", np.zeros((6, 10, 7), dtype=int), "text.npy holds int64"),
    ("text", np.zeros((6, 9, 7)), r"train holds sequences of \[9, 10\] steps"),
    ("text", np.array([None]), "text.npy is no array of plain numbers"),
    ("regression_labels", np.full(6, 4.0), "regression_labels.npy must hold values from -3 to 3"),
    ("regression_labels", np.full(6, np.nan), "regression_labels.npy must hold values from -3 to 3"),
    ("regression_labels", np.zeros(0), "regression_labels.npy must hold values from -3 to 3")])
def test_malformed_arrays_of_mosei(mosei, name, values, message):
    array(mosei / "train" / f"{name}.npy", values)
    with pytest.raises(ValueError, match=message):
        load_mosei(mosei)


def test_what_is_missing_of_mosei_is_named(mosei):
    (mosei / "test" / "vision.npy").unlink()
    with pytest.raises(FileNotFoundError, match="vision.npy is missing: expected an array"):
        load_mosei(mosei, split="test")
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        load_mosei(mosei / "nowhere")
    for option in ({"split": "val"}, {"neutral": "keep"}, {"modalities": ["face"]}):
        with pytest.raises(ValueError, match=f"{next(iter(option))}="):
            load_mosei(mosei, **option)


def test_the_pickle_of_mosei_is_not_read(tmp_path):
    (tmp_path / "aligned_50.pkl").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    for path in (tmp_path / "aligned_50.pkl", tmp_path):
        with pytest.raises(ValueError, match="(?s)aligned_50.pkl is a file.*can run code.*np.save"):
            load_mosei(path)
    (tmp_path / "CMU_MOSEI_Labels.csd").write_bytes(b"\x89HDF")
    with pytest.raises(ValueError, match="CMU-MultimodalSDK"):
        load_mosei(tmp_path / "CMU_MOSEI_Labels.csd")


# --- The Cancer Genome Atlas ---------------------------------------------------------------

def patient(i):
    return f"TCGA-A1-A0S{i}"


@pytest.fixture
def tcga(tmp_path):
    """Patients 0 to 5 have mRNA, 1 to 6 CNV, 0 to 4 proteins, and 2 to 9 (but not 3) a subtype."""
    rng = np.random.default_rng(0)
    tables = {}
    for name, ids in (("HiSeqV2", range(6)), ("Gistic2_CopyNumber_Gistic2_all_data_by_genes", range(1, 7)),
                      ("RPPA", range(5))):
        columns = [patient(i) + "-01" for i in ids]
        tables[name] = pd.DataFrame(rng.normal(size=(4, len(columns))), index=[f"{name}_{k}" for k in range(4)],
                                    columns=columns)
        tables[name].index.name = "sample"
        tables[name][patient(2) + "-11"] = 99.0  # healthy tissue of a patient
        tables[name].to_csv(tmp_path / name, sep="\t")
    (tmp_path / "HiSeqV2").rename(tmp_path / "plain")
    (tmp_path / "HiSeqV2.gz").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    clinical = pd.DataFrame({"age": 50, "PAM50Call_RNAseq": ["LumA", None, "Basal", "LumA"] + ["Her2"] * 4},
                            index=pd.Index([patient(i) + "-01" for i in range(2, 10)], name="sampleID"))
    clinical.loc[patient(2) + "-11"] = [50, "Normal"]
    clinical.to_csv(tmp_path / "BRCA_clinicalMatrix", sep="\t")
    return tmp_path, tables


def test_a_packed_table_is_read_under_a_budget(tcga):
    path, _ = tcga
    (path / "HiSeqV2.gz").write_bytes(gzip.compress(b"sample\tTCGA-A1-A0S1-01\na\t" + b"0" * 2**22))
    with pytest.raises(ValueError, match="HiSeqV2.gz is no table.*far more than it should"):
        load_tcga(path)


def test_tcga_holds_complete_cases_in_one_order(tcga):
    path, tables = tcga
    data = load_tcga(path)
    complete = [patient(2), patient(4)]
    assert_array_equal(data.y, ["LumA", "Basal"])
    assert data.n_incomplete == 8
    for name, file in (("mrna", "HiSeqV2"), ("cnv", "Gistic2_CopyNumber_Gistic2_all_data_by_genes"),
                       ("rppa", "RPPA")):
        table = data.X[name]
        assert table.index.tolist() == complete
        assert table.columns.tolist() == tables[file].index.tolist()
        assert (table.dtypes == np.float32).all()
        assert_allclose(table, tables[file].T.loc[[p + "-01" for p in complete]], rtol=1e-6)


def test_features_with_missing_values_are_left_out_and_counted(tcga):
    path, tables = tcga
    rppa = tables["RPPA"]
    rppa.loc["RPPA_1", patient(4) + "-01"] = np.nan
    rppa.loc["RPPA_2", patient(0) + "-01"] = np.nan  # of a patient who is not complete
    rppa.to_csv(path / "RPPA", sep="\t")
    data = load_tcga(path)
    assert data.X["rppa"].columns.tolist() == ["RPPA_0", "RPPA_2", "RPPA_3"]
    assert data.n_dropped == {"mrna": 0, "cnv": 0, "rppa": 1}


def test_tables_of_firehose_and_of_ones_own(tmp_path):
    text(tmp_path / "KIPAN.rnaseqv2.txt",
         "Hybridization REF\tTCGA-A1-A0S1-01A-11R-A41B-07\tTCGA-A1-A0S1-01B-11R-A41B-07\t"
         "TCGA-A1-A0S2-11A-11R-A41B-07\tTCGA-A1-A0S3-01A-11R-A41B-07\n"
         "gene_id\tnormalized_count\tnormalized_count\tnormalized_count\tnormalized_count\n"
         "?|100130426\t1\t2\t3\t4\nTP53|7157\t5\t6\t7\t8\n")
    text(tmp_path / "mirna.csv", "patient,mir-1,mir-2\nTCGA-A1-A0S3,0.5,1\nTCGA-A1-A0S1,0.25,2\n")
    text(tmp_path / "subtypes.csv", "patient,kind\nTCGA-A1-A0S1,KIRC\nTCGA-A1-A0S2,KIRP\nTCGA-A1-A0S3,KICH\n")
    data = load_tcga(tmp_path, subtypes="subtypes.csv", label="kind",
                     modalities={"mrna": "KIPAN.rnaseqv2.txt", "mirna": "mirna.csv"})
    assert_array_equal(data.y, ["KIRC", "KICH"])
    assert_array_equal(data.class_names, ["KICH", "KIRC"])
    assert_array_equal(data.X["mrna"], [[1, 5], [4, 8]])  # the first vial, no healthy tissue
    assert_array_equal(data.X["mirna"], [[0.25, 2], [0.5, 1]])


def test_what_is_wrong_with_tcga_is_named(tcga):
    path, tables = tcga
    with pytest.raises(FileNotFoundError, match="nowhere is missing"):
        load_tcga(path / "nowhere")
    with pytest.raises(FileNotFoundError, match="Methylation is missing: expected a table"):
        load_tcga(path, modalities={"methylation": "Methylation"})
    with pytest.raises(ValueError, match=r"'../x', which leads out of"):
        load_tcga(path, modalities={"mrna": "../x"})
    with pytest.raises(ValueError, match="BRCA_clinicalMatrix has no column 'PAM50', but age, PAM50Call_RNAseq"):
        load_tcga(path, label="PAM50")
    for content, message in (("", "RPPA is no table that can be read"), ("sample\ta\tb\n", "RPPA is an empty table"),
                             ("sample\ta\tb\nx\t1\t2\n", "RPPA names no samples such as TCGA"),
                             (f"sample\t{patient(2)}\nx\t1\ny\tlow\n", "RPPA holds values that are not numbers.*low"),
                             (f"sample\t{patient(2)}\nx\t1\nx\t2\n", "RPPA has the feature 'x' more than once"),
                             (f"sample\t{patient(9)}\nx\t1\n", "no patient of whom mrna, cnv, rppa and PAM50"),
                             (f"sample\t{patient(2)}\t{patient(4)}\nx\t1\t\n", "RPPA has no feature that is known of")):
        text(path / "RPPA", content)
        with pytest.raises(ValueError, match=message):
            load_tcga(path)


def test_contradictory_subtypes_are_refused(tcga):
    path, _ = tcga
    with (path / "BRCA_clinicalMatrix").open("a") as file:
        file.write(f"{patient(4)}\t50\tLumB\n")
    with pytest.raises(ValueError, match=f"BRCA_clinicalMatrix gives {patient(4)} more than one PAM50Call"):
        load_tcga(path)
