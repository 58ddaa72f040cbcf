"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from their binary versions.

The "Python versions" are pickles, which may execute anything when they are read.
"""

import io
import tarfile

import numpy as np

from cmkdlearn.datasets._files import DistributedFile, image_data

# MD5 as published on the authors' page
CIFAR10 = DistributedFile("cifar-10-binary.tar.gz",
                          "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                          "md5:c32a1d4ab5d03f1284b67883e8d87530", size=180_000_000)
CIFAR100 = DistributedFile("cifar-100-binary.tar.gz",
                           "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                           "md5:03b5dce01913d631647c71ecec9e9cb8", size=180_000_000)

CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                 "truck")
# The authors' "aquarium fish" and "maple tree" are no nouns of WordNet
CIFAR100_NAMES = (
    "apple", "goldfish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid",
    "otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf", "woman",
    "worm")

DESCRIPTION = """\
CIFAR-{}: colour photographs, 32 x 32 pixels, 50,000 for training and 10,000 for testing.
A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report,
University of Toronto, 2009.
"""
RENAMED = """\
Class names are nouns of WordNet: the authors' "aquarium_fish" is goldfish here, and
"maple_tree" is maple.
"""


def fetch_cifar10(*, data_home=None, folder=None, download_if_missing=True, return_X_y=False):
    """Load CIFAR-10, downloading it if necessary.

    50,000 training and 10,000 test images in ten classes [1]_, 170 MB to download.

    Parameters
    ----------
    data_home : path-like, optional
        Where downloads are kept, in a subfolder ``cmkdlearn``. By default scikit-learn's data
        folder, see :func:`sklearn.datasets.get_data_home`.
    folder : path-like, optional
        Read from this folder and download nothing. It must hold the binary version as
        distributed, ``cifar-10-binary.tar.gz``.
    download_if_missing : bool, default=True
        If False, raise an error where the data are not at hand.
    return_X_y : bool, default=False
        Return a tuple and not a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X_train : ndarray of shape (50000, 32, 32, 3), uint8
            Red, green and blue, 0 to 255.
        y_train : ndarray of shape (50000,), str
            Class names, nouns of WordNet.
        X_test, y_test : ndarray of shape (10000, 32, 32, 3) and (10000,)
            As for training.
        class_names : ndarray of shape (10,), str
            In the order of the original's integer labels.
        DESCR : str
            What the data are, and whose.
    X_train, X_test, y_train, y_test : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        The archive is missing, and may or can not be downloaded.
    OSError
        The download fails, or the archive's MD5 is not the published one.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical
       report, University of Toronto, 2009.

    Examples
    --------
    >>> from cmkdlearn.datasets import fetch_cifar10
    >>> X_train, X_test, y_train, y_test = fetch_cifar10(return_X_y=True)  # doctest: +SKIP
    """
    members = _members(CIFAR10.read(folder, data_home, download_if_missing))
    batches = [members[f"data_batch_{i}.bin"] for i in range(1, 6)]
    train = _records(b"".join(batches), n_label_bytes=1)
    test = _records(members["test_batch.bin"], n_label_bytes=1)
    return image_data(train, test, CIFAR10_NAMES, DESCRIPTION.format(10), return_X_y)


def fetch_cifar100(*, data_home=None, folder=None, download_if_missing=True, return_X_y=False):
    """Load CIFAR-100, downloading it if necessary.

    50,000 training and 10,000 test images in a hundred classes [1]_, 169 MB to download.

    Parameters
    ----------
    data_home : path-like, optional
        Where downloads are kept, in a subfolder ``cmkdlearn``. By default scikit-learn's data
        folder, see :func:`sklearn.datasets.get_data_home`.
    folder : path-like, optional
        Read from this folder and download nothing. It must hold the binary version as
        distributed, ``cifar-100-binary.tar.gz``.
    download_if_missing : bool, default=True
        If False, raise an error where the data are not at hand.
    return_X_y : bool, default=False
        Return a tuple and not a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X_train : ndarray of shape (50000, 32, 32, 3), uint8
            Red, green and blue, 0 to 255.
        y_train : ndarray of shape (50000,), str
            Names of the (fine) classes, nouns of WordNet.
        X_test, y_test : ndarray of shape (10000, 32, 32, 3) and (10000,)
            As for training.
        class_names : ndarray of shape (100,), str
            In the order of the original's integer labels.
        DESCR : str
            What the data are, and whose.
    X_train, X_test, y_train, y_test : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        The archive is missing, and may or can not be downloaded.
    OSError
        The download fails, or the archive's MD5 is not the published one.

    See Also
    --------
    make_imbalanced : Makes of it the CIFAR-100 of long-tailed recognition.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical
       report, University of Toronto, 2009.

    Examples
    --------
    >>> from cmkdlearn.datasets import fetch_cifar100
    >>> X_train, X_test, y_train, y_test = fetch_cifar100(return_X_y=True)  # doctest: +SKIP
    """
    members = _members(CIFAR100.read(folder, data_home, download_if_missing))
    # each image has its superclass first, then its class
    train, test = (_records(members[f"{part}.bin"], n_label_bytes=2) for part in ("train", "test"))
    return image_data(train, test, CIFAR100_NAMES, DESCRIPTION.format(100) + RENAMED, return_X_y)


def _members(archive):
    """Read the files of an archive in memory, by their names without folders."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {member.name.rpartition("/")[2]: file.read()
                for member in tar if member.isfile() and (file := tar.extractfile(member))}


def _records(content, n_label_bytes):
    """Split records of label bytes (the last counts) and an image, colour by colour."""
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, n_label_bytes + 3 * 32 * 32)
    images = records[:, n_label_bytes:].reshape(-1, 3, 32, 32)
    return images.transpose(0, 2, 3, 1).copy(), records[:, n_label_bytes - 1]
