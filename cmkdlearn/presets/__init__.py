"""The papers' configurations by name: parameters of this package's estimators.

Each is told twice where the two differ: ``source="paper"`` is what is printed, ``source="script"``
what the authors' published code says. :func:`provenance` has the table or the file of each value.
What neither says is unknown, and left to the estimator's default.
"""

import copy
import difflib

from cmkdlearn._validation import check_option
from cmkdlearn.presets._cch import CCH
from cmkdlearn.presets._ucmkd import UCMKD
from cmkdlearn.presets._values import UNKNOWN
from cmkdlearn.presets._wordnet import WORDNET

__all__ = ["names", "preset", "provenance"]

_PRESETS = {**UCMKD, **WORDNET, **CCH}


def preset(name, *, source="paper"):
    """Return the parameters that a paper used on a data set.

    Parameters
    ----------
    name : str
        One of :func:`names`, such as "ucmkd/ravdess".
    source : {"paper", "script"}, default="paper"
        What is printed, or what the authors' published code has.

    Returns
    -------
    dict of str to dict
        By part, parameters without those of which nothing is known. The parts, and whose
        parameters they are:

        ====================================  ====================================================
        "data"                                the data set's ``load_``, ``make_`` or ``fetch_``
        "teacher", "network"                  :class:`~cmkdlearn.teachers.UnimodalTeacher`
        "strong_teacher", "weak_teacher"      the same, augmented: the two of T_m
        "wordnet_teacher"                     :class:`~cmkdlearn.teachers.WordNetRelaxedTeacher`
        "student" of UCMKD, "feature_kd"      :class:`~cmkdlearn.students.UCMKDStudent`
        "student" elsewhere, "vanilla_kd"     :class:`~cmkdlearn.students.MultiTeacherDistiller`
        "selector"                            :class:`~cmkdlearn.selection.CCHSelector`
        "fusion"                              :class:`~cmkdlearn.students.FusionClassifier`
        "protocol"                            nobody's: what has to be done by hand
        ====================================  ====================================================

        Of "cch/synthetic", a regression, "network" and "student" are for
        :class:`~cmkdlearn.students.DistilledRegressor`.

    Raises
    ------
    ValueError
        If there is no such preset, or no such source of it.

    See Also
    --------
    provenance : Where each value stands.

    Examples
    --------
    >>> from cmkdlearn.presets import preset
    >>> student = preset("ucmkd/ravdess")["student"]
    >>> student["module"], student["lr"], student["inner_lr"], student["max_epochs"]
    ('resnet18', 0.01, 'lr', 100)
    >>> preset("ucmkd/ravdess", source="script")["student"]["inner_lr"]
    5e-05
    """
    return {part: {key: copy.deepcopy(value) for key, (value, origin) in settings.items()
                   if origin != UNKNOWN}
            for part, settings in _found(name, source).items()}


def provenance(name, *, source="paper"):
    """Return where each value of a preset stands.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    source : {"paper", "script"}, default="paper"

    Returns
    -------
    dict of str to dict of str to str
        By part and parameter: the table, equation, section or file, or "unknown".

    Raises
    ------
    ValueError
        If there is no such preset, or no such source of it.

    Examples
    --------
    >>> from cmkdlearn.presets import provenance
    >>> where = provenance("ucmkd/ravdess")["student"]
    >>> where["batch_size"], where["metric"], where["augmentation"]
    ('Table 12', 'section 3.1', 'unknown')
    """
    return {part: {key: origin for key, (_, origin) in settings.items()}
            for part, settings in _found(name, source).items()}


def names(source=None):
    """Return the names of the presets.

    Parameters
    ----------
    source : {"paper", "script"}, optional
        Only those that have it.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from cmkdlearn.presets import names
    >>> [name for name in names("script") if name.startswith("ucmkd")]
    ['ucmkd/ave', 'ucmkd/crema-d', 'ucmkd/ravdess', 'ucmkd/vggsound']
    """
    if source is not None:
        check_option("source", source, ["paper", "script"])
    return sorted(name for name, told in _PRESETS.items() if source is None or source in told)


def _found(name, source):
    check_option("source", source, ["paper", "script"])
    if name not in _PRESETS:
        near = difflib.get_close_matches(name, _PRESETS) or names()
        raise ValueError(f"There is no preset {name!r}, but {', '.join(near)}.")
    if source not in _PRESETS[name]:
        raise ValueError(f"Of {name!r} no published code is known here; it has source='paper' "
                         "alone.")
    return _PRESETS[name][source]
