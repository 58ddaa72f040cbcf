"""Looking into teachers: what they read, what they give away, and what a student could learn."""

from cmkdlearn.inspection._attribution import ModalityAttributionDisplay, modality_attribution
from cmkdlearn.inspection._bound import BoundDisplay
from cmkdlearn.inspection._cch import CCHDisplay
from cmkdlearn.inspection._comparison import ComparisonDisplay
from cmkdlearn.inspection._independence import (
    ConditionalIndependenceDisplay,
    conditional_independence_test,
)
from cmkdlearn.inspection._leakage import LabelLeakageDisplay, label_leakage

__all__ = [
    "ComparisonDisplay",
    "BoundDisplay",
    "CCHDisplay",
    "ConditionalIndependenceDisplay",
    "LabelLeakageDisplay",
    "ModalityAttributionDisplay",
    "conditional_independence_test",
    "label_leakage",
    "modality_attribution",
]
