"""Comparing methods fairly: the same folds, the same seeds, and a test that knows of both."""

from cmkdlearn.model_selection._compare import compare
from cmkdlearn.model_selection._compare_teachers import compare_teachers
from cmkdlearn.model_selection._comparison import Comparison
from cmkdlearn.model_selection._statistics import corrected_ttest, expected_calibration_error

__all__ = ["Comparison", "compare", "compare_teachers", "corrected_ttest",
           "expected_calibration_error"]
