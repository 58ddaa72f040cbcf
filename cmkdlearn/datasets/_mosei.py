"""CMU-MOSEI: what is said, how, and with which face."""

import numpy as np
from sklearn.utils import Bunch

from cmkdlearn._validation import check_option
from cmkdlearn.datasets._paths import required

MODALITIES = ("text", "audio", "vision")
DESCRIPTION = """CMU-MOSEI: some 23,000 sentences of 1,000 speakers from YouTube, with sentiments
from -3 (strongly negative) to 3.
A. Zadeh et al., "Multimodal Language Analysis in the Wild: CMU-MOSEI Dataset and Interpretable
Dynamic Fusion Graph", ACL 2018."""
UNSAFE = (".pkl", ".pickle", ".dt", ".pt")
CONVERT = """
    import pathlib, pickle
    import numpy as np
    for split, part in pickle.load(open("aligned_50.pkl", "rb")).items():
        folder = pathlib.Path("mosei", split)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("text", "audio", "vision", "regression_labels"):
            values = np.asarray(part[name], dtype=np.float32)
            np.save(folder / f"{name}.npy", np.where(np.isneginf(values), 0, values))"""


def load_mosei(path, *, split="train", modalities=MODALITIES, neutral="positive"):
    """Read CMU-MOSEI's aligned features, with sentiments in two classes.

    The features are usually passed on as one pickle (``aligned_50.pkl``), which can run code when
    it is read, and by their authors as HDF5 (``.csd``) that has yet to be aligned to the words.
    So they are read from plain arrays here, which are memory-mapped: 2.5 GB of text alone, if it is
    BERT's. The Notes show how to make them.

    Parameters
    ----------
    path : path-like
        The folder that holds ``train/text.npy``, ``train/audio.npy``, ``train/vision.npy`` (each
        of shape (n, T, d), the same T) and ``train/regression_labels.npy`` (n values from -3 to
        3), and likewise ``valid`` and ``test``.
    split : {"train", "valid", "test"}, default="train"
    modalities : sequence of {"text", "audio", "vision"}, default=("text", "audio", "vision")
        What to read.
    neutral : {"positive", "drop"}, default="positive"
        What becomes of sentiment 0: "positive" divides negative from non-negative sentences,
        "drop" negative from positive ones; both are in use. The latter copies into memory.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        X : dict of ndarray of shape (n, T, d)
            Sequences by modality.
        y : ndarray of shape (n,), str
            "negative" or "positive".
        sentiment : ndarray of shape (n,), float32
            From -3 to 3.
        class_names : ndarray of shape (2,), str
            Names of the classes.
        DESCR : str
            What the data are, and where they come from.

    Raises
    ------
    FileNotFoundError, ValueError
        An array is missing, pickled or of another shape, or a label out of range, with its path.

    Notes
    -----
    Of ``aligned_50.pkl`` by the authors of MMSA [1]_, if you trust whom you have it from::

        import pathlib, pickle
        import numpy as np
        for split, part in pickle.load(open("aligned_50.pkl", "rb")).items():
            folder = pathlib.Path("mosei", split)
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("text", "audio", "vision", "regression_labels"):
                values = np.asarray(part[name], dtype=np.float32)
                np.save(folder / f"{name}.npy", np.where(np.isneginf(values), 0, values))

    (Some of the acoustic features are minus infinity there, and 0 in its place is the custom. In
    other pickles of the same features the labels are called "labels".)

    References
    ----------
    .. [1] W. Yu et al., "Learning Modality-Specific Representations with Self-Supervised Multi-Task
       Learning for Multimodal Sentiment Analysis", AAAI 2021.

    Examples
    --------
    >>> from cmkdlearn.datasets import load_mosei
    >>> train = load_mosei("mosei", neutral="drop")  # doctest: +SKIP
    """
    path = required(path, "the folder with CMU-MOSEI's arrays")
    check_option("split", split, ["train", "valid", "test"])
    check_option("neutral", neutral, ["positive", "drop"])
    for modality in modalities:
        check_option("modalities", modality, MODALITIES)
    packed = path if path.is_file() else next(path.glob("*.pkl"), None)
    if packed and not (path / split).exists():
        how = (f"If you trust it, make arrays of it once:{CONVERT}" if packed.suffix in UNSAFE else
               "Align features to words with its authors' CMU-MultimodalSDK, and save arrays.")
        raise ValueError(f"{packed} is a file; expected a folder with {split}/text.npy and so on. "
                         f"Pickles (.pkl) can run code when they are read, and .csd files are not "
                         f"aligned. {how}")
    folder = path / split
    sentiment = _array(folder / "regression_labels.npy").astype(np.float32).reshape(-1)
    if not len(sentiment) or not (np.abs(sentiment) <= 3).all():
        raise ValueError(f"{folder / 'regression_labels.npy'} must hold values from -3 to 3.")
    X = {modality: _array(folder / f"{modality}.npy") for modality in modalities}
    lengths = set()
    for modality, values in X.items():
        if values.ndim != 3 or len(values) != len(sentiment) or values.dtype.kind != "f":
            raise ValueError(f"{folder / modality}.npy holds {values.dtype} of shape "
                             f"{values.shape}; expected floating-point numbers (n, T, d), "
                             f"n={len(sentiment)} as there are labels.")
        lengths.add(values.shape[1])
    if len(lengths) > 1:
        raise ValueError(f"{folder} holds sequences of {sorted(lengths)} steps; aligned modalities "
                         "have the same number.")
    if neutral == "drop":
        kept = np.flatnonzero(sentiment)
        X = {modality: values[kept] for modality, values in X.items()}
        sentiment = sentiment[kept]
    names = np.array(["negative", "positive"])
    return Bunch(X=X, y=names[(sentiment >= 0).astype(int)], sentiment=sentiment,
                 class_names=names, DESCR=DESCRIPTION)


def _array(file):
    try:
        return np.load(required(file, "an array written by numpy.save"), mmap_mode="r",
                       allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{file} is no array of plain numbers: {error}. Write it by "
                         "numpy.save.") from error
