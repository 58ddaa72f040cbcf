"""A teacher that sees one modality."""

from cmkdlearn.base import TorchTeacher


class UnimodalTeacher(TorchTeacher):
    """A network trained on one modality.

    Parameters
    ----------
    module : "auto", str, torch.nn.Module class or instance, default="auto"
        "auto" chooses by the data: an MLP for tables, timm's ResNet-18 for images (with its
        small-image stem below 64 pixels), the mean over time and an MLP for sequences. Any other
        string is the name of a timm model.
    modality : str or list, default=None
        The modality to read where ``X`` is a dict, or the columns where it is one table.
    augmentation : {None, "weak", "strong"} or callable, default=None
        For images. "weak" crops, flips and jitters colours mildly, "strong" applies RandAugment
        or AutoAugment as well; a callable takes and returns a batch (n, C, H, W).
    label_smoothing : float, default=0.0
        Share of the target that is spread evenly over the classes, in [0, 1].
    class_weight : "balanced", dict or None, default=None
        Of the classes, in the loss; see :class:`~cmkdlearn.base.TorchClassifier`.
    sampler : {None, "balanced"}, default=None
        "balanced" draws every class equally often.
    **training
        As for :class:`~cmkdlearn.base.TorchEstimator`: ``max_epochs``, ``lr``, ``batch_size``,
        ``early_stopping``, ``random_state``, ``device``, ...

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    feature_bank_ : ndarray of shape (n, d)
        The training samples' features, float32.
    feature_bank_labels_ : ndarray of shape (n,)
    head_ : torch.nn.Module
        From features to logits.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from cmkdlearn.teachers import UnimodalTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> teacher = UnimodalTeacher(random_state=0).fit(X[:1000], y[:1000])
    >>> teacher.score(X[1000:], y[1000:]) > 0.8
    True
    >>> teacher.encode(X[:2]).shape
    (2, 256)
    """
