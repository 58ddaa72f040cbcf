"""Fashion-MNIST (Xiao et al. 2017), whole and in miniature."""

import io
from pathlib import Path

import numpy as np

from cmkdlearn.datasets._files import DistributedFile, check_digest, image_data

# "T-shirt/top" and "Ankle boot" are no nouns of WordNet; the others are the authors' names
CLASS_NAMES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
               "bag", "boot")

URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
FILES = {name: DistributedFile(f"{name}.gz", f"{URL}{name}.gz", f"sha256:{digest}", size)
         for name, digest, size in [
    ("train-images-idx3-ubyte",
     "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 16 + 60_000 * 28 * 28),
    ("train-labels-idx1-ubyte",
     "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 8 + 60_000),
    ("t10k-images-idx3-ubyte",
     "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 16 + 10_000 * 28 * 28),
    ("t10k-labels-idx1-ubyte",
     "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 8 + 10_000),
]}

MINI = Path(__file__).parent / "data" / "fashion_mini.npz"
MINI_DIGEST = "sha256:e147811268e3b73c59d71b5bc6dbcb9b3ff741e85104ba30a92701d2b0cf6e85"

DESCRIPTION = """\
Fashion-MNIST: greyscale photographs, 28 x 28 pixels, of articles of clothing in ten classes.
H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", arXiv:1708.07747, 2017. Copyright Zalando SE, MIT licence.
Class names are nouns of WordNet: "T-shirt/top" is t-shirt here, "Ankle boot" is boot.
"""
MINI_DESCRIPTION = DESCRIPTION + """\
This is a miniature: 300 images a class of the 60,000 for training and 100 a class of the 10,000
for testing, drawn at random.
"""


def load_fashion_mini(*, return_X_y=False):
    """Load a small Fashion-MNIST that comes with the package.

    3,000 of Fashion-MNIST's 60,000 training images and 1,000 of its 10,000 test images [1]_,
    drawn at random, 300 and 100 of each of the ten classes.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return a tuple and not a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X_train : ndarray of shape (3000, 28, 28), uint8
            Grey levels, 0 (background) to 255.
        y_train : ndarray of shape (3000,), str
            Class names, lower-case nouns of WordNet.
        X_test, y_test : ndarray of shape (1000, 28, 28) and (1000,)
            As for training.
        class_names : ndarray of shape (10,), str
            In the order of the original's integer labels.
        DESCR : str
            What the data are, and whose.
    X_train, X_test, y_train, y_test : tuple if ``return_X_y`` is True
        In the order of :func:`sklearn.model_selection.train_test_split`.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
       Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_fashion_mini
    >>> data = load_fashion_mini()
    >>> data.X_train.shape, data.X_test.shape
    ((3000, 28, 28), (1000, 28, 28))
    >>> print(*data.class_names)
    t-shirt trouser pullover dress coat sandal shirt sneaker bag boot
    """
    content = MINI.read_bytes()
    check_digest(MINI, content, MINI_DIGEST, "Reinstall cmkdlearn.")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        train, test = ((arrays[f"X_{part}"], arrays[f"y_{part}"]) for part in ("train", "test"))
    return image_data(train, test, CLASS_NAMES, MINI_DESCRIPTION, return_X_y)


def fetch_fashion_mnist(*, data_home=None, folder=None, download_if_missing=True,
                        return_X_y=False):
    """Load Fashion-MNIST, downloading it if necessary.

    60,000 training and 10,000 test images of clothes in ten classes [1]_, 31 MB to download.

    Parameters
    ----------
    data_home : path-like, optional
        Where downloads are kept, in a subfolder ``cmkdlearn``. By default scikit-learn's data
        folder, see :func:`sklearn.datasets.get_data_home`.
    folder : path-like, optional
        Read from this folder and download nothing. It must hold the four files as distributed
        (``train-images-idx3-ubyte.gz`` and so on).
    download_if_missing : bool, default=True
        If False, raise an error where the data are not at hand.
    return_X_y : bool, default=False
        Return a tuple and not a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X_train : ndarray of shape (60000, 28, 28), uint8
            Grey levels, 0 (background) to 255.
        y_train : ndarray of shape (60000,), str
            Class names, lower-case nouns of WordNet.
        X_test, y_test : ndarray of shape (10000, 28, 28) and (10000,)
            As for training.
        class_names : ndarray of shape (10,), str
            In the order of the original's integer labels.
        DESCR : str
            What the data are, and whose.
    X_train, X_test, y_train, y_test : tuple if ``return_X_y`` is True

    Raises
    ------
    FileNotFoundError
        A file is missing, and may or can not be downloaded.
    OSError
        The download fails, or a file is damaged: its SHA-256 is not the published data's.

    See Also
    --------
    load_fashion_mini : A small part of it that comes with the package.

    References
    ----------
    .. [1] H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
       Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017.

    Examples
    --------
    >>> from cmkdlearn.datasets import fetch_fashion_mnist
    >>> X_train, X_test, y_train, y_test = fetch_fashion_mnist(return_X_y=True)  # doctest: +SKIP
    """
    arrays = {name: read_idx(file.read(folder, data_home, download_if_missing))
              for name, file in FILES.items()}
    train, test = ((arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"])
                   for part in ("train", "t10k"))
    return image_data(train, test, CLASS_NAMES, DESCRIPTION, return_X_y)


def read_idx(content):
    """Read an array of bytes in the IDX format: 0, 0, 8, number of axes, sizes, values."""
    n_axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=n_axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * n_axes).reshape(shape).copy()
