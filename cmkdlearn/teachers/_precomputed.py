"""A teacher that was asked beforehand: its logits lie in an array, or beside the samples."""

from collections import Counter

import numpy as np
from sklearn.utils.validation import check_consistent_length

from cmkdlearn._bridge.net import as_it_was
from cmkdlearn.nn.data import as_array
from cmkdlearn.nn.samples import is_dataset, select_modality
from cmkdlearn.teachers._given import GivenTeacher, check_logits, refuse_probabilities

SHOWN = 5  # ids that an error names


class PrecomputedTeacher(GivenTeacher):
    """Logits that were worked out beforehand, by whatever network, on whatever machine.

    Cross-validation hands out rows of X, and a teacher has to know whose they are. Either each
    sample has an id, by which its row of ``logits`` is found; or the logits are a modality of X
    themselves.

    Parameters
    ----------
    logits : array-like of shape (m, n_classes), or None
        A row for each id. Of a memory-mapped array (``numpy.load("logits.npy", mmap_mode="r")``)
        no more is read than the rows that are asked for. None: the modality holds the logits.
    classes : array-like of shape (n_classes,)
        The class of each column.
    ids : array-like of shape (m,), default=None
        The id of each row: numbers or strings. None: their positions, 0 to m - 1.
    modality : str or list, default=None
        The modality of X (a dict) that holds each sample's id, of shape (n,); or a list of the one
        column of a table that does; or, where ``logits`` is None, the modality that holds logits,
        of shape (n, n_classes). None: X holds nothing else.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Sorted, as everywhere in scikit-learn; the logits' columns follow.

    See Also
    --------
    PretrainedTeacher : A network that is at hand.

    Notes
    -----
    There are no features, so losses that read them and :class:`~cmkdlearn.students.UCMKDStudent`
    refuse this teacher. Probabilities are refused, too: take their logarithm.

    Logits of samples that the teacher was trained on are more certain than those of others. Where
    they were worked out by cross-validation, they are not.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_predict, cross_val_score
    >>> from cmkdlearn import Modalities
    >>> from cmkdlearn.students import MultiTeacherDistiller
    >>> from cmkdlearn.teachers import PrecomputedTeacher
    >>> X, y = load_digits(return_X_y=True)
    >>> logits = cross_val_predict(LogisticRegression(max_iter=2000), X, y, cv=3,
    ...                            method="decision_function")
    >>> teacher = PrecomputedTeacher(logits, classes=range(10), modality="id")
    >>> student = MultiTeacherDistiller([("logits", teacher)], modality="lower", random_state=0)
    >>> X = Modalities(lower=X[:, 32:], id=np.arange(len(X)))
    >>> bool(cross_val_score(student, X, y, cv=3).mean() > 0.7)
    True
    """

    def __init__(self, logits, classes, *, ids=None, modality=None):
        self.logits = logits
        self.classes = classes
        self.ids = ids
        self.modality = modality

    def fit(self, X, y):
        """Look whether there are logits for these samples; nothing is learned.

        Parameters
        ----------
        X : dict of array-like, or array-like
            With ids, or with the logits.
        y : array-like of shape (n,)
            Labels, all of them among ``classes``.

        Returns
        -------
        self
        """
        with as_it_was(self):
            self._learn_classes()
            y = self._check_labels(X, y)
            check_consistent_length(self._part(X, fitting=True), y)
            refuse_probabilities(self._given(X), self._source if self.logits is None else "logits")
        return self

    def __sklearn_is_fitted__(self):
        return hasattr(self, "classes_")

    def _given(self, X):
        if self.logits is None:
            return check_logits(self._part(X), self._source, len(self.classes_))
        rows = self._rows(X)
        return check_logits(self._table()[rows], "logits", len(self.classes_))

    @property
    def _source(self):
        return "X" if self.modality is None else f"modality={self.modality!r} of X"

    def _table(self):
        """Return the logits, those in a memory-mapped array unread."""
        table = np.asanyarray(as_array(self.logits))
        if table.ndim != 2 or table.shape[1] != len(self.classes_):
            raise ValueError(f"logits has shape {table.shape}; it must be (m, "
                             f"{len(self.classes_)}), a column for each of classes.")
        return table

    def _part(self, X, fitting=False):
        """Return the modality that is read: of ids, or of logits."""
        part = select_modality(X, self.modality, fitting=fitting, owner=self)
        if is_dataset(part):
            raise TypeError(f"{self._source} is a {type(part).__name__}; PrecomputedTeacher reads "
                            "arrays. Pass X as a dict, in which other modalities may be Datasets.")
        return np.asarray(part)

    def _rows(self, X):
        """Return the row of each sample's logits."""
        wanted, m = self._part(X), len(self._table())
        if wanted.ndim == 2 and wanted.shape[1] == 1:
            wanted = wanted[:, 0]
        if wanted.ndim != 1:
            raise ValueError(
                f"{self._source} has shape {wanted.shape}, and must be an id for each sample: "
                "which row of logits is whose? Put ids into X, as in X=Modalities(image=images, "
                'id=np.arange(len(images))), and pass modality="id".')
        known = np.arange(m) if self.ids is None else np.asarray(self.ids)
        if known.shape != (m,):
            raise ValueError(f"ids has shape {known.shape}; it must be ({m},), an id for each row "
                             "of logits.")
        row_of = dict(zip(known.tolist(), range(m), strict=True))
        if len(row_of) < m:
            often = [key for key, n in Counter(known.tolist()).items() if n > 1]
            raise ValueError(f"ids holds {often[:SHOWN]} more than once; each row of logits needs "
                             "an id of its own.")
        rows = [row_of.get(key, -1) for key in wanted.tolist()]
        unknown = [key for key, row in zip(wanted.tolist(), rows, strict=True) if row < 0]
        if unknown:
            where = f"ids=None, which are 0 to {m - 1}," if self.ids is None else "ids"
            raise ValueError(f"{self._source} holds {len(unknown)} ids that {where} does not, such "
                             f"as {unknown[:SHOWN]}: there are no logits for these samples.")
        return np.array(rows, dtype=np.int64)
