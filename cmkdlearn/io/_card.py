"""The model card in a file."""

import platform

from sklearn.base import BaseEstimator

from cmkdlearn.io._format import naming, printable, read, versions


def read_card(path):
    """Return the model card in a file: what it is, what it was fitted on, with which versions.

    No estimator is made of the file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is no file of :func:`save`, or a damaged one.
    """
    with naming(path):
        return read(path)[0]["card"]


def card_of(estimator, notes, trusted):
    """Return the card of a fitted estimator."""
    lines = [repr(estimator) if isinstance(estimator, BaseEstimator) else
             f"{estimator.estimator!r} as a teacher", ""]
    if n := _n_samples(estimator):
        reader = getattr(estimator, "reader_", None)
        kind, shape = ("table", (getattr(estimator, "n_features_in_", "?"),)) if reader is None \
            else (reader.kind, reader.shape)
        lines.append(f"Fitted on {n} samples, each {_article(kind)} of shape {shape}.")
    if (classes := getattr(estimator, "classes_", None)) is not None:
        names = ", ".join(map(str, classes[:20].tolist())) + ", ..." * (len(classes) > 20)
        lines.append(f"{len(classes)} classes: {names}.")
    if hasattr(estimator, "net_"):
        n = sum(parameter.numel() for parameter in estimator.net_.module_.parameters())
        lines.append(f"{n:,} parameters.")
        if estimator.net_.history:
            last = estimator.net_.history[-1]
            losses = [f"{name} {value:.4g}" for name, value in last.items()
                      if name.startswith(("train_", "valid_")) and type(value) is float]
            lines.append(f"Last epoch ({last['epoch']}): {', '.join(losses)}.")
    if trusted:
        lines.append(f"Needs the user's own {', '.join(trusted)}.")
    lines.append(f"Written with Python {platform.python_version()}, "
                 + ", ".join(f"{name} {number}" for name, number in versions().items()) + ".")
    if notes:
        lines += ["", notes]
    return printable("\n".join(lines))


def _article(noun):
    return f"an {noun}" if noun == "image" else f"a {noun}"


def _n_samples(estimator):
    """Samples of the last epoch, those set aside included; or those of the feature bank."""
    if hasattr(estimator, "net_") and estimator.net_.history:
        return sum(batch.get(name, 0) for batch in estimator.net_.history[-1]["batches"]
                   for name in ("train_batch_size", "valid_batch_size"))
    return len(getattr(estimator, "feature_bank_", ()))
