"""What kind of data an array holds, and its one canonical layout.

======== =================== ==========================================================
kind     canonical shape     read from
======== =================== ==========================================================
table    (n, d)              two axes
image    (n, C, H, W)        (n, H, W), (n, H, W, C) or (n, C, H, W) with 1, 3 or 4 channels,
                             or as many as you like where H = W
sequence (n, T, d)           three axes of floating-point numbers
======== =================== ==========================================================
"""

import numpy as np

from cmkdlearn._validation import check_option

__all__ = ["canonical"]

KINDS = ("table", "image", "sequence")
INPUT_TYPES = (*KINDS, "channels_first", "channels_last")
CHANNELS = (1, 3, 4)


def canonical(X, input_type=None):
    """Bring an array into the canonical layout of its kind.

    Parameters
    ----------
    X : ndarray of two to four axes
        Samples along the first axis.
    input_type : {"table", "image", "sequence", "channels_first", "channels_last"}, optional
        What ``X`` holds, where its shape and dtype leave it open. The last two are images
        whose channel axis is named.

    Returns
    -------
    X : ndarray
        A view of ``X``, where one suffices, in the canonical layout.
    kind : {"table", "image", "sequence"}

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.nn.inputs import canonical
    >>> X, kind = canonical(np.zeros((5, 28, 28), dtype=np.uint8))
    >>> X.shape, kind
    ((5, 1, 28, 28), 'image')
    """
    if 0 in X.shape[1:]:
        raise ValueError(f"X has shape {X.shape}: its samples are empty.")
    if input_type is None:
        input_type = _guess(X)
    check_option("input_type", input_type, INPUT_TYPES)
    if input_type == "table":
        return X.reshape(len(X), -1), "table"
    if input_type == "sequence":
        if X.ndim != 3:
            raise ValueError(f"A sequence needs shape (n, T, d); X has shape {X.shape}.")
        return X, "sequence"
    if X.ndim == 3:
        return X[:, None], "image"
    if X.ndim != 4:
        raise ValueError(f"An image needs shape (n, H, W), (n, H, W, C) or (n, C, H, W); "
                         f"X has shape {X.shape}.")
    first = input_type == "channels_first" or (input_type == "image" and _channels_first(X.shape))
    return (X if first else np.moveaxis(X, -1, 1)), "image"


def as_given(X, shape, input_type=None):
    """Bring samples from the canonical layout back to the one they were given in.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        As :func:`canonical` returns it.
    shape : tuple of int
        Of what :func:`canonical` was given; the number of samples is not looked at.
    input_type : str, optional
        As for :func:`canonical`.

    Returns
    -------
    ndarray of shape (n, *shape[1:])

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.nn.inputs import as_given, canonical
    >>> X = np.zeros((5, 28, 30, 3), dtype=np.uint8)
    >>> as_given(canonical(X)[0][:2], X.shape).shape
    (2, 28, 30, 3)
    """
    if X.ndim == len(shape) == 4 and (input_type == "channels_last" or X.shape[1:] != shape[1:]):
        X = np.moveaxis(X, 1, -1)
    return X.reshape(len(X), *shape[1:])


def as_images(X, input_type=None):
    """Return ``X`` as images (n, C, H, W), or say why it cannot be read as such.

    Three axes are greyscale images here, whatever their dtype.
    """
    X = np.asarray(X)
    if X.dtype.kind not in "uif":
        raise TypeError(f"Images must be numbers; X has dtype {X.dtype}.")
    X, kind = canonical(X, input_type or "image")
    if kind != "image":
        raise ValueError(f"Images are needed here; input_type={input_type!r} makes X a {kind}.")
    if X.dtype.kind == "f" and not np.isfinite(X).all():
        raise ValueError("X contains NaN or infinity; images must be finite.")
    return X


def _guess(X):
    if X.ndim == 2:
        return "table"
    if X.ndim == 3:
        if X.dtype == np.uint8:
            return "image"
        if X.dtype.kind == "f":
            return "sequence"
        raise ValueError(f"X of shape {X.shape} and dtype {X.dtype} may hold greyscale images or "
                         'sequences: pass input_type="image" or input_type="sequence".')
    if X.ndim == 4:
        return "image"
    raise ValueError(f"X has shape {X.shape}: two axes make a table, three a sequence or greyscale "
                     "images, four colour images. Reshape your data, for instance with "
                     "X.reshape(len(X), -1).")


def _channels_first(shape):
    first, last = shape[1] in CHANNELS, shape[-1] in CHANNELS
    if not (first or last) and shape[1] != shape[-1]:  # several frames, if they are square
        first, last = shape[2] == shape[-1], shape[1] == shape[2]
    if first != last:
        return first
    raise ValueError(f"The channel axis of images of shape {shape} is ambiguous (1, 3 or 4 "
                     "channels are expected in one place, or square images): pass "
                     'input_type="channels_first" or "channels_last".')
