"""Words for images: WordNet's nouns, prompts, and the choice of nouns by Algorithm 1."""

from cmkdlearn.text._prompts import DEFAULT_TEMPLATES, TEMPLATES, encode_prompts
from cmkdlearn.text._relaxer import WordNetRelaxer
from cmkdlearn.text._wordnet import WordNetNouns

__all__ = ["DEFAULT_TEMPLATES", "TEMPLATES", "WordNetNouns", "WordNetRelaxer", "encode_prompts"]
