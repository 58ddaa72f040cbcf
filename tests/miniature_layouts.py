"""The papers' data sets in miniature, each in the layout in which it is distributed.

Every function fills a folder that the set's loader reads. The classes can be learned, from the
pictures (each has its colour), the sounds (its pitch) and the numbers (its mean), under noise.
``n_train`` and ``n_test`` are samples a class, and one ``seed`` makes the same files again.
"""

import csv
import gzip
import hashlib
import io
import itertools
import tarfile
from colorsys import hsv_to_rgb
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import wavfile

from cmkdlearn.datasets._audiovisual import CREMAD_EMOTIONS, RAVDESS_EMOTIONS
from cmkdlearn.datasets._image_folders import SCENES

SIZE, SECONDS = 40, 0.3  # of pictures, in pixels, and of sounds
EVENTS = ("Church bell", "Male speech, man speaking", "Bark", "Motorcycle")
SOUNDS = ("donkey, ass braying", "people marching", "playing harp", "waterfall burbling")
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
SYNSETS = {"n01440764": "tench, Tinca tinca", "n02123045": "tabby, tabby cat",
           "n03126707": "crane", "n07753592": "banana"}
SUBTYPES = ("Basal", "Her2", "LumA", "LumB")
XENA = {"HiSeqV2": "mRNA", "Gistic2_CopyNumber_Gistic2_all_data_by_genes": "CNV", "RPPA": "RPPA"}


# --- pictures and sounds -------------------------------------------------------------------

def pixels(k, n_classes, size, rng):
    """Return a picture (size, size, 3) in the colour of class k, under noise."""
    colour = 255 * np.array(hsv_to_rgb(k / n_classes, 0.8, 0.7))
    return np.clip(colour + rng.normal(0, 25, (size, size, 3)), 0, 255).astype(np.uint8)


def picture(file, *drawn):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(*drawn)).save(file)


def sound(file, k, seconds, rng, rate=16000):
    """Write a tone of class k: 300 Hz and a fourth higher each time, under noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate + rng.uniform()
    wave = 0.3 * np.sin(2 * np.pi * 300 * (4 / 3) ** k * time) + rng.normal(0, 0.1, len(time))
    wavfile.write(file, rate, np.int16(32767 * wave.clip(-1, 1)))


def frames(folder, n_frames, *drawn, name="{}.jpg"):
    for i in range(1, n_frames + 1):
        picture(folder / name.format(i), *drawn)


def text(file, lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def table(file, rows):
    """Write comma-separated values, quoted where they hold a comma."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as content:
        csv.writer(content, lineterminator="\n").writerows(rows)


# --- sounds and pictures of the same events ------------------------------------------------

def ravdess(folder, *, n_actors=4, per_emotion=2, n_frames=3, size=SIZE, seconds=SECONDS, seed=0):
    """As on Zenodo, at 48 kHz, with frames beside each recording; ``actor`` divides the clips."""
    rng, n_classes = np.random.default_rng(seed), len(RAVDESS_EMOTIONS)
    for actor, k in itertools.product(range(1, n_actors + 1), range(n_classes)):
        # intensity, repetition and statement; nothing is strongly neutral
        takes = itertools.product(("01", "02")[:2 if k else 1], ("01", "02"), ("01", "02"))
        for intensity, repetition, statement in itertools.islice(takes, per_emotion):
            clip = f"01-0{k + 1}-{intensity}-{statement}-{repetition}-{actor:02}"
            place = Path(folder, f"Actor_{actor:02}")
            sound(place / f"03-{clip}.wav", k, seconds, rng, rate=48000)
            frames(place / f"01-{clip}", n_frames, k, n_classes, size, rng)


def cremad(folder, *, n_train=4, n_test=2, n_frames=3, size=SIZE, seconds=SECONDS, seed=0):
    """With ``train.csv`` and ``test.csv``, of other actors; each actor speaks once an emotion."""
    rng, n_classes = np.random.default_rng(seed), len(CREMAD_EMOTIONS)
    rows = {"train": [], "test": []}
    for i, (k, emotion) in itertools.product(range(n_train + n_test), enumerate(CREMAD_EMOTIONS)):
        clip = f"{1001 + i}_{SENTENCES[i % len(SENTENCES)]}_{emotion}_XX"
        sound(Path(folder, "AudioWAV", f"{clip}.wav"), k, seconds, rng)
        frames(Path(folder, "Image-01-FPS", clip), n_frames, k, n_classes, size, rng)
        rows["train" if i < n_train else "test"].append((clip, emotion))
    for split, of_split in rows.items():
        table(Path(folder, f"{split}.csv"), of_split)


def ave(folder, *, n_train=4, n_val=2, n_test=2, n_frames=3, audio_folder="Audio-1004-SE",
        size=SIZE, seconds=SECONDS, seed=0):
    """Four of the 28 events, with WAV files in the place of spectrograms."""
    rng, numbers = np.random.default_rng(seed), itertools.count()
    for split, n in (("train", n_train), ("val", n_val), ("test", n_test)):
        rows = []
        for _, (k, event) in itertools.product(range(n), enumerate(EVENTS)):
            clip = f"ave-{next(numbers):07}"
            sound(Path(folder, audio_folder, f"{clip}.wav"), k, seconds, rng)
            frames(Path(folder, "Image-01-FPS-SE", clip), n_frames, k, len(EVENTS), size, rng)
            rows.append(f"{event}&{clip}&good&0&10")
        text(Path(folder, f"{split}Set.txt"), rows)


def vggsound(folder, *, n_train=4, n_test=2, n_frames=3, size=SIZE, seconds=SECONDS, seed=0):
    """Four of the 309 classes."""
    rng, numbers, rows = np.random.default_rng(seed), itertools.count(), []
    for split, n in (("train", n_train), ("test", n_test)):
        for _, (k, label) in itertools.product(range(n), enumerate(SOUNDS)):
            video, start = f"vgg-{next(numbers):07}", 30
            sound(Path(folder, "audio", f"{video}_{start:06}.wav"), k, seconds, rng)
            frames(Path(folder, "Image-01-FPS", f"{video}_{start:06}"), n_frames, k, len(SOUNDS),
                   size, rng)
            rows.append((video, start, label, split))
    table(Path(folder, "vggsound.csv"), rows)


# --- pictures ------------------------------------------------------------------------------

def scene(folder, *, n_train=4, n_test=2, size=SIZE, seed=0):
    """As on Kaggle, a folder in a folder."""
    rng = np.random.default_rng(seed)
    for split, n in (("train", n_train), ("test", n_test)):
        for k, name in enumerate(SCENES):
            frames(Path(folder, f"seg_{split}", f"seg_{split}", name), n, k, len(SCENES), size, rng)


def utkface(folder, *, n=6, size=SIZE, seed=0):
    """Aligned faces, ``n`` of each race (which has the colour); age and gender are drawn."""
    rng, n_races = np.random.default_rng(seed), 5
    for race, i in itertools.product(range(n_races), range(n)):
        age, gender = rng.integers(1, 100), rng.integers(2)
        picture(Path(folder, f"{age}_{gender}_{race}_201701{race}{i:011}.jpg.chip.jpg"),
                race, n_races, size, rng)


def imagenet(folder, *, n_train=4, n_val=2, size=SIZE, seed=0):
    """Four of the 1,000 synsets, ``n_val`` already in class folders, and their names."""
    rng = np.random.default_rng(seed)
    for k, synset in enumerate(SYNSETS):
        frames(Path(folder, "train", synset), n_train, k, len(SYNSETS), size, rng,
               name=f"{synset}_{{}}.JPEG")
        frames(Path(folder, "val", synset), n_val, k, len(SYNSETS), size, rng,
               name=f"ILSVRC2012_val_{k:04}{{:04}}.JPEG")
    text(Path(folder, "LOC_synset_mapping.txt"),
         [f"{synset} {words}" for synset, words in SYNSETS.items()])


def imagenet_lt(folder, *, n_train=8, n_val=2, n_test=2, size=SIZE, seed=0):
    """ImageNet and the three lists: each class has half as many training images as that before."""
    imagenet(folder, n_train=n_train + n_val, n_val=n_test, size=size, seed=seed)
    lists = {"train": [], "val": [], "test": []}
    for k, synset in enumerate(SYNSETS):
        of_train = sorted(Path(folder, "train", synset).iterdir())
        parts = {"train": of_train[n_val:n_val + max(1, n_train // 2**k)], "val": of_train[:n_val],
                 "test": sorted(Path(folder, "val", synset).iterdir())}
        for split, files in parts.items():
            lists[split] += [f"{file.relative_to(folder).as_posix()} {k}" for file in files]
    for split, of_split in lists.items():
        text(Path(folder, f"ImageNet_LT_{split}.txt"), of_split)


def cifar100(folder, *, n_classes=10, n_train=4, n_test=2, seed=0):
    """The binary version, of the first classes only. Return its digest, as the loader knows it.

    The loader reads nothing but the published file: replace the digest that it expects.
    """
    rng, archive = np.random.default_rng(seed), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for split, n in (("train", n_train), ("test", n_test)):
            records = b"".join(
                bytes([k // 5, k]) + pixels(k, n_classes, 32, rng).transpose(2, 0, 1).tobytes()
                for k in rng.permutation(np.repeat(np.arange(n_classes), n)).tolist())
            member = tarfile.TarInfo(f"cifar-100-binary/{split}.bin")
            member.size = len(records)
            tar.addfile(member, io.BytesIO(records))
    content = gzip.compress(archive.getvalue(), mtime=0)  # no time, so that the digest stays
    Path(folder, "cifar-100-binary.tar.gz").write_bytes(content)
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


# --- numbers -------------------------------------------------------------------------------

def mosei(folder, *, n_train=12, n_valid=6, n_test=6, n_steps=10, widths=(30, 12, 8), seed=0):
    """Text, audio and vision follow the sentiment; ``n_train`` and so on are samples in all."""
    rng = np.random.default_rng(seed)
    directions = [rng.normal(size=width) for width in widths]
    for split, n in (("train", n_train), ("valid", n_valid), ("test", n_test)):
        Path(folder, split).mkdir(parents=True)
        sentiment = rng.permutation(np.linspace(-3, 3, n)).astype(np.float32)
        np.save(Path(folder, split, "regression_labels.npy"), sentiment)
        for name, direction in zip(("text", "audio", "vision"), directions, strict=True):
            values = rng.normal(size=(n, n_steps, len(direction)))
            values += sentiment[:, None, None] * direction / 3
            np.save(Path(folder, split, f"{name}.npy"), values.astype(np.float32))


def tcga(folder, *, subtypes=SUBTYPES, n=6, n_features=20, label="PAM50Call_RNAseq", seed=0):
    """Xena's BRCA: ``n`` patients a subtype, each with all three tables; one lacks proteins."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(subtypes)), n)
    samples = [f"TCGA-A1-{i:04}-01" for i in range(len(y))]
    for file, kind in XENA.items():
        means = rng.normal(size=(len(subtypes), n_features))
        values = means[y] + rng.normal(size=(len(y), n_features))
        names = samples
        if kind == "RPPA":  # where a patient is missing
            names, values = samples[1:], values[1:]
        text(Path(folder, file), ["\t".join(["sample", *names])] + [
            "\t".join([f"{kind}{j}", *map(str, column.round(4))])
            for j, column in enumerate(values.T)])
    text(Path(folder, "BRCA_clinicalMatrix"), [f"sampleID\t{label}"] + [
        f"{sample}\t{subtypes[k]}" for sample, k in zip(samples, y, strict=True)])
