"""Prompts: Algorithm 1, step 1."""

import numpy as np
import pytest

from cmkdlearn.text import DEFAULT_TEMPLATES, _prompts, encode_prompts


class Hashed:
    """Embeds a text by its own seed, and notes how many it was given at a time."""

    def __init__(self):
        self.batches = []

    def encode_text(self, texts):
        self.batches.append(len(texts))
        return np.stack([np.random.default_rng(list(text.encode())).normal(size=7)
                         for text in texts])


def returning(value):
    embedder = Hashed()
    embedder.encode_text = lambda texts: value(len(texts))
    return embedder


def test_is_the_normalised_mean_over_templates():
    words, templates = ["boot", "ice cream"], ["a {}.", "the {} of {}", "{}"]
    prompts = [["a boot.", "the boot of boot", "boot"],
               ["a ice cream.", "the ice cream of ice cream", "ice cream"]]
    embeddings = encode_prompts(Hashed(), words, templates)
    assert embeddings.dtype == np.float32
    for embedding, row in zip(embeddings, prompts, strict=True):
        mean = Hashed().encode_text(row).mean(axis=0)
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), rtol=1e-5)


def test_default_templates_take_a_word():
    assert all(template.count("{}") == 1 for template in DEFAULT_TEMPLATES)


def test_one_string_is_one_word_and_one_template():
    np.testing.assert_array_equal(encode_prompts(Hashed(), "boot", "a {}"),
                                  encode_prompts(Hashed(), ["boot"], ["a {}"]))


def test_chunks_change_nothing_and_bound_what_is_encoded_at_a_time(monkeypatch):
    words = [f"word {i}" for i in range(23)]
    whole = encode_prompts(Hashed(), words)
    monkeypatch.setattr(_prompts, "CHUNK", 12)
    embedder = Hashed()
    np.testing.assert_array_equal(encode_prompts(embedder, words), whole)
    assert len(embedder.batches) > 1 and max(embedder.batches) <= 12
    assert sum(embedder.batches) == 23 * len(DEFAULT_TEMPLATES)


@pytest.mark.parametrize(("embedder", "words", "templates", "error", "message"), [
    (object(), ["boot"], ["{}"], TypeError, "has no encode_text"),
    (Hashed(), [], ["{}"], ValueError, "no words"),
    (Hashed(), ["boot", 3], ["{}"], TypeError, "3 is a int"),
    (Hashed(), ["boot"], [], ValueError, r"templates=\[\]"),
    (Hashed(), ["boot"], ["a {}", "a photo"], ValueError, "a photo"),
    (returning(lambda n: np.ones(n)), ["boot"], ["{}"], ValueError, r"shape \(1,\)"),
    (returning(lambda n: np.ones((n + 1, 3))), ["boot"], ["{}"], ValueError, r"shape \(2, 3\)"),
    (returning(lambda n: np.full((n, 3), np.nan)), ["boot"], ["{}"], ValueError, "not finite"),
    (returning(lambda n: np.zeros((n, 3))), ["boot"], ["{}"], ValueError, "'boot' is zero"),
])
def test_bad_input(embedder, words, templates, error, message):
    with pytest.raises(error, match=message):
        encode_prompts(embedder, words, templates)
