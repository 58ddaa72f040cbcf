"""Teachers: one modality, several of them together, and image with WordNet-relaxed text."""

from cmkdlearn.teachers._ensemble import TeacherEnsemble
from cmkdlearn.teachers._unimodal import UnimodalTeacher
from cmkdlearn.teachers._wordnet import WordNetRelaxedTeacher

__all__ = ["TeacherEnsemble", "UnimodalTeacher", "WordNetRelaxedTeacher"]
