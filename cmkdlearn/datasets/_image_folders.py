"""Image data sets in folders: ImageNet and its long-tailed version, scenes, and UTKFace."""

import re
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from cmkdlearn._validation import check_option
from cmkdlearn.datasets._lazy_files import ImageFiles
from cmkdlearn.datasets._paths import images_in, inside, lines_of, required

SYNSET = re.compile(r"n\d{8}")
SYNSET_NAMES = ("LOC_synset_mapping.txt", "synset_words.txt")
SCENES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
RACES = ("White", "Black", "Asian", "Indian", "Others")
GENDERS = ("male", "female")
FACE = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\D")

IMAGENET = """ImageNet (ILSVRC 2012): photographs of 1,000 classes, synsets of WordNet 3.0.
O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015."""
IMAGENET_LT = """ImageNet-LT: 115,846 training images of ImageNet's 1,000 classes, 5 to 1,280 each.
Z. Liu et al., "Large-Scale Long-Tailed Recognition in an Open World", CVPR 2019."""
SCENE = """Natural scenes in six classes, 150 x 150 pixels, published by Intel; 14,034 for training
and 3,000 for testing as distributed on Kaggle."""
UTKFACE = """UTKFace: faces with age, gender and race as its authors labelled them, for research
only. Z. Zhang, Y. Song, H. Qi, "Age Progression/Regression by Conditional Adversarial
Autoencoder", CVPR 2017."""


def load_imagenet(path, *, split="train", image_size=224):
    """Read ImageNet from class folders.

    Parameters
    ----------
    path : path-like
        The folder that holds ``train/n01440764/*.JPEG`` and ``val/n01440764/*.JPEG``
        (``ILSVRC/Data/CLS-LOC`` of Kaggle's archive). The validation images are distributed in one
        folder, and have to be moved into class folders first. Where there is a
        ``LOC_synset_mapping.txt`` (Kaggle) or ``synset_words.txt`` (Caffe) beside them, it gives
        the names of the classes.
    split : {"train", "val"}, default="train"
    image_size : int, default=224
        Width and height in pixels: the middle square of each image, resized.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : ImageFiles
            Read as they are asked for, (3, image_size, image_size) uint8 each.
        y : ndarray of shape (n,), str
            Synsets such as "n01440764". (Names would not do: there are two cranes.)
        class_names : dict or None
            Each synset's first name; None without a file that has them.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        A folder is missing, empty or no synset's, with its path.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_imagenet
    >>> train = load_imagenet("ILSVRC/Data/CLS-LOC")  # doctest: +SKIP
    """
    path = Path(path)
    check_option("split", split, ["train", "val"])
    files, y = _class_folders(path / split)
    strange = [name for name in np.unique(y).tolist() if not SYNSET.fullmatch(name)]
    if strange:
        raise ValueError(f"{path / split / strange[0]} is no synset of ImageNet: expected folders "
                         "such as n01440764.")
    return Bunch(X=ImageFiles(files, image_size), y=y, class_names=_synset_names(path),
                 DESCR=IMAGENET)


def load_imagenet_lt(path, *, split="train", lists=None, image_size=224):
    """Read ImageNet-LT: ImageNet's files and the lists of the long-tailed version.

    Parameters
    ----------
    path : path-like
        ImageNet's folder, as for :func:`load_imagenet`; what the lists name is looked for in it.
    split : {"train", "val", "test"}, default="train"
        Of ``ImageNet_LT_train.txt``, ``ImageNet_LT_val.txt`` (20 training images a class) and
        ``ImageNet_LT_test.txt`` (ImageNet's validation images). Each line is a path and an
        integer label, such as ``train/n01440764/n01440764_190.JPEG 0``.
    lists : path-like, optional
        The folder that holds the lists; by default ``path``.
    image_size : int, default=224
        Width and height in pixels: the middle square of each image, resized.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : ImageFiles
            Read as they are asked for, (3, image_size, image_size) uint8 each. That each is there
            is checked only then.
        y : ndarray of shape (n,), int64
            Labels as in the list: positions among the sorted synsets.
        class_names : dict or None
            Names by label, where there is a file that has them.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        A list is missing, or a line of it is no path inside the folder and a label from 0 to 999,
        or a synset comes with two labels.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_imagenet_lt
    >>> train = load_imagenet_lt("ILSVRC/Data/CLS-LOC", lists="ImageNet_LT")  # doctest: +SKIP
    """
    path = Path(path)
    check_option("split", split, ["train", "val", "test"])
    source = Path(lists or path) / f"ImageNet_LT_{split}.txt"
    required(path, "ImageNet's folder")
    files, y = [], []
    label_of: dict[str, int] = {}
    for place, line in lines_of(source, 'the list of Liu et al. (2019), lines of "path label"'):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal() or int(label) > 999:
            raise ValueError(f'{place} reads {line!r}; expected "path label", 0 to 999.')
        files.append(inside(path, name, place))
        y.append(int(label))
        synset = files[-1].parent.name
        if SYNSET.fullmatch(synset) and label_of.setdefault(synset, y[-1]) != y[-1]:
            raise ValueError(f"{place} gives {synset} the label {label}; before it was "
                             f"{label_of[synset]}.")
    if not files:
        raise ValueError(f"{source} is empty.")
    names = _synset_names(path)
    if names is not None:
        names = dict(enumerate(names[synset] for synset in sorted(names)))
    return Bunch(X=ImageFiles(files, image_size), y=np.array(y), class_names=names,
                 DESCR=IMAGENET_LT)


def load_scene(path, *, split="train", image_size=150):
    """Read the six natural scenes published by Intel.

    The data set called Scene in [1]_ is Kaggle's ``nitishabharathi/scene-classification``, with six
    classes by the authors' code; that its images are these is inferred from the classes.

    Parameters
    ----------
    path : path-like
        Kaggle's "Intel Image Classification" as unpacked, with
        ``seg_train/seg_train/buildings/*.jpg`` and ``seg_test/seg_test/buildings/*.jpg`` and so on.
    split : {"train", "test"}, default="train"
    image_size : int, default=150
        Width and height in pixels: the middle square of each image, resized.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : ImageFiles
            Read as they are asked for, (3, image_size, image_size) uint8 each.
        y : ndarray of shape (n,), str
            Names of the classes.
        class_names : ndarray of shape (6,), str
            Names of the classes.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        A class is missing or empty, or there is another, with its path.

    References
    ----------
    .. [1] C. Guo et al., "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification", arXiv:2503.24017.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_scene
    >>> test = load_scene("intel-image-classification", split="test")  # doctest: +SKIP
    """
    check_option("split", split, ["train", "test"])
    folder = Path(path) / f"seg_{split}" / f"seg_{split}"
    files, y = _class_folders(folder, SCENES)
    return Bunch(X=ImageFiles(files, image_size), y=y, class_names=np.array(SCENES), DESCR=SCENE)


def load_utkface(path, *, target="race", image_size=200, skip_malformed=False):
    """Read UTKFace, whose labels stand in the names of the files.

    A file is called ``age_gender_race_date.jpg`` (``.jpg.chip.jpg`` where faces are aligned and
    cropped). There is no official split; divide it by ``torch.utils.data.Subset``.

    Parameters
    ----------
    path : path-like
        A folder with the files, directly or in subfolders.
    target : {"race", "gender", "age"}, default="race"
        What is ``y``. The code of [1]_ takes the five races.
    image_size : int, default=200
        Width and height in pixels: the middle square of each image, resized. 200 is that of the
        aligned faces.
    skip_malformed : bool, default=False
        Leave out files whose names lack a label (three of the aligned faces as distributed),
        rather than raise an error.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : ImageFiles
            Read as they are asked for, (3, image_size, image_size) uint8 each.
        y : ndarray of shape (n,)
            Names of the races or genders, or ages in years.
        age, gender, race : ndarray of shape (n,)
            All three.
        class_names : ndarray of str or None
            In the order of the file names' integers; None for ages.
        skipped : list of str
            The files left out.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        There are no such files, or one's name has no age, gender (0, 1) and race (0 to 4).

    References
    ----------
    .. [1] C. Guo et al., "Crossmodal Knowledge Distillation with WordNet-Relaxed Text Embeddings
       for Robust Image Classification", arXiv:2503.24017.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_utkface
    >>> faces = load_utkface("UTKFace", skip_malformed=True)  # doctest: +SKIP
    """
    check_option("target", target, ["race", "gender", "age"])
    files, labels, skipped = [], [], []
    for file in sorted(required(path, "UTKFace's folder").rglob("*.jpg")):
        match = FACE.match(file.name)
        if match:
            files.append(file)
            labels.append([int(label) for label in match.groups()])
        else:
            skipped.append(str(file))
    if skipped and not skip_malformed:
        raise ValueError(f"{skipped[0]} (one of {len(skipped)}) is not named "
                         "age_gender_race_date.jpg with an age, a gender (0, 1) and a race (0 to "
                         "4). Pass skip_malformed=True to leave such files out.")
    if not files:
        raise FileNotFoundError(f"{path} holds no files named age_gender_race_date.jpg.")
    age, gender, race = np.array(labels).T
    data = Bunch(X=ImageFiles(files, image_size), age=age, gender=np.array(GENDERS)[gender],
                 race=np.array(RACES)[race], skipped=skipped, DESCR=UTKFACE)
    names = {"race": np.array(RACES), "gender": np.array(GENDERS), "age": None}
    return Bunch(y=data[target], class_names=names[target], **data)


def _class_folders(folder, classes=None):
    """Return the images in the subfolders of a folder, and the subfolders' names."""
    found = sorted(entry.name for entry in required(folder, "a folder with one a class").iterdir()
                   if entry.is_dir())
    if not found:
        raise FileNotFoundError(f"{folder} holds no folders: expected one a class.")
    if classes is not None and found != sorted(classes):
        wrong = sorted(set(found) ^ set(classes))[0]
        raise ValueError(f"{folder / wrong} is {'no class' if wrong in found else 'missing'}: "
                         f"expected the folders {', '.join(classes)}.")
    files, y = [], []
    for name in found:
        images = images_in(folder / name)
        if not images:
            raise FileNotFoundError(f"{folder / name} holds no images (.JPEG, .jpg or .png).")
        files += images
        y += [name] * len(images)
    return files, np.array(y)


def _synset_names(path):
    """Return the first name of each synset, from a file beside the images."""
    for source in (path / name for name in SYNSET_NAMES):
        if source.exists():
            names = {}
            for place, line in lines_of(source, "names of synsets"):
                synset, _, words = line.partition(" ")
                if not SYNSET.fullmatch(synset) or not words.strip():
                    raise ValueError(f'{place} reads {line!r}; expected "n01440764 tench, Tinca '
                                     'tinca".')
                names[synset] = words.split(",")[0].strip()
            return names
    return None
