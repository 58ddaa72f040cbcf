"""Which modality should teach: the Cross-modal Complementarity Hypothesis (Xie et al., 2025)."""

from cmkdlearn.selection._criteria import CRITERIA
from cmkdlearn.selection._selector import CCHSelector
from cmkdlearn.selection._verdict import Verdict

__all__ = ["CRITERIA", "CCHSelector", "Verdict"]
