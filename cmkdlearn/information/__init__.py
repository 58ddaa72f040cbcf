"""Mutual information, in nats, of variables of any dimension, continuous or discrete.

:func:`mutual_information` is the front of all estimators, which are listed by name in
:data:`ESTIMATORS`. A new one is a file with a function that is entered there, and a line here.
"""

from cmkdlearn.information import (  # noqa: F401  each enters the table
    _auto,
    _elliptical,
    _gaussian,
    _ksg,
    _latent,
    _lmi,
    _mine,
)
from cmkdlearn.information._base import (
    ESTIMATORS,
    MIGap,
    MutualInformation,
    mi_gap,
    mutual_information,
    register,
)

__all__ = [
    "ESTIMATORS",
    "MIGap",
    "MutualInformation",
    "mi_gap",
    "mutual_information",
    "register",
]
