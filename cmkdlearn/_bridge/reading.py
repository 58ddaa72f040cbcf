"""What a network is fed: one modality of X, checked, in its canonical layout and dtype."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from cmkdlearn.nn.data import as_tensor
from cmkdlearn.nn.inputs import canonical
from cmkdlearn.nn.lazy import lazily
from cmkdlearn.nn.samples import select_modality

# What an array is read as: integers stay until it is known whether they are bytes of an image.
READ_AS = [np.float32, *np.typecodes["AllInteger"], "?"]


class Reader(BaseEstimator):
    """Reads a modality as it was when the reader first saw it.

    Parameters
    ----------
    modality : str or list, default=None
        The modality of a dict, or the columns of a table; None: all of X.
    input_type : str, default=None
        As for :func:`~cmkdlearn.nn.inputs.canonical`.

    Attributes
    ----------
    kind : {"table", "image", "sequence"}
    shape : tuple of int
        Of a sample, in canonical layout.
    """

    kind: str
    shape: tuple

    def __init__(self, modality=None, input_type=None):
        self.modality = modality
        self.input_type = input_type

    def read(self, X, *, owner=None, reset=False, **reading):
        """Return a tensor (n, ...), or what reads X a batch at a time where it is not in memory.

        Parameters
        ----------
        X : array-like, Dataset or dict of these
        owner : estimator, default=None
            Whom errors name, and who remembers names and number of features; None: this reader.
        reset : bool, default=False
            Learn from X what later ones are to be like.
        **reading
            Parameters of the ``DataLoader`` that reads.
        """
        X = select_modality(X, self.modality, fitting=reset)

        def checked(part):
            return self._checked(part, self if owner is None else owner, reset)

        lazy = lazily(X, self.input_type, checked, reading)
        return as_tensor(checked(X)) if lazy is None else lazy

    def _checked(self, X, owner, reset):
        if reset or getattr(X, "ndim", 2) <= 2:
            X = validate_data(owner, X, reset=reset, allow_nd=True, dtype=READ_AS)
        else:  # the second axis need not be the features': the whole shape is compared below
            X = check_array(X, allow_nd=True, dtype=READ_AS, estimator=owner, input_name="X")
        X, kind = canonical(X, self.input_type)
        if kind == "table" or X.dtype != np.uint8:
            X = X.astype(np.float32, copy=False)
        if reset:
            self.kind, self.shape = kind, X.shape[1:]
        elif (kind, X.shape[1:]) != (self.kind, self.shape):
            raise ValueError(f"X holds a {kind} of shape {X.shape[1:]} per sample, but "
                             f"{type(owner).__name__} was fitted on a {self.kind} of shape "
                             f"{self.shape}.")
        return X
