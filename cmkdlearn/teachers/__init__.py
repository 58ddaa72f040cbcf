"""Teachers: one modality, several together, image with WordNet-relaxed text; and those given."""

from cmkdlearn.teachers._ensemble import TeacherEnsemble
from cmkdlearn.teachers._precomputed import PrecomputedTeacher
from cmkdlearn.teachers._pretrained import PretrainedTeacher
from cmkdlearn.teachers._product import ProductOfExperts
from cmkdlearn.teachers._unimodal import UnimodalTeacher
from cmkdlearn.teachers._wordnet import WordNetRelaxedTeacher

__all__ = ["PrecomputedTeacher", "PretrainedTeacher", "ProductOfExperts", "TeacherEnsemble",
           "UnimodalTeacher", "WordNetRelaxedTeacher"]
