"""Crossmodal knowledge distillation with scikit-learn's interface.

Submodules, and the estimators below, are imported when they are first asked for: importing the
package itself takes no time, and no torch.
"""

import importlib
from typing import TYPE_CHECKING

from cmkdlearn._version import __version__

if TYPE_CHECKING:  # for editors
    from cmkdlearn.model_selection import compare, compare_teachers
    from cmkdlearn.preprocessing import Modalities
    from cmkdlearn.selection import CCHSelector
    from cmkdlearn.students import FusionClassifier, MultiTeacherDistiller, UCMKDStudent
    from cmkdlearn.teachers import (
        PrecomputedTeacher,
        PretrainedTeacher,
        ProductOfExperts,
        TeacherEnsemble,
        UnimodalTeacher,
        WordNetRelaxedTeacher,
    )

_SUBMODULES = ["alignment", "base", "datasets", "embedding", "export", "information", "inspection",
               "io", "losses", "model_selection", "nn", "preprocessing", "presets", "selection",
               "students", "teachers", "text", "theory"]
_HOMES = {"CCHSelector": "selection", "FusionClassifier": "students",
          "Modalities": "preprocessing", "MultiTeacherDistiller": "students",
          "PrecomputedTeacher": "teachers", "PretrainedTeacher": "teachers",
          "ProductOfExperts": "teachers", "TeacherEnsemble": "teachers",
          "UCMKDStudent": "students", "UnimodalTeacher": "teachers",
          "WordNetRelaxedTeacher": "teachers", "compare": "model_selection",
          "compare_teachers": "model_selection"}

__all__ = [
    "CCHSelector",
    "FusionClassifier",
    "Modalities",
    "MultiTeacherDistiller",
    "PrecomputedTeacher",
    "PretrainedTeacher",
    "ProductOfExperts",
    "TeacherEnsemble",
    "UCMKDStudent",
    "UnimodalTeacher",
    "WordNetRelaxedTeacher",
    "__version__",
    "compare",
    "compare_teachers",
]


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"cmkdlearn.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"cmkdlearn.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'cmkdlearn' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_SUBMODULES, *_HOMES])
