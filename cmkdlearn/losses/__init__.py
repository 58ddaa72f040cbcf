"""Distillation losses: what a student is told beside its labels.

Every loss is a callable of ``(student, teacher, y)``, each side an :class:`Output`.
"""

from cmkdlearn.losses._base import LOSSES, DistillationLoss, Output, get_loss
from cmkdlearn.losses._kd import KD, kd

__all__ = ["KD", "LOSSES", "DistillationLoss", "Output", "get_loss", "kd"]
