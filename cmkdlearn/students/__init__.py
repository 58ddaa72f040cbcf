"""Students: what will be deployed, and sees one modality only."""

from cmkdlearn.students._multi_teacher import MultiTeacherDistiller

__all__ = ["MultiTeacherDistiller"]
