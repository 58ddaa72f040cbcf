"""Prompts: Algorithm 1, step 1."""

import io
import warnings

import numpy as np
import pytest

from cmkdlearn import _progress
from cmkdlearn.text import DEFAULT_TEMPLATES, TEMPLATES, _prompts, encode_prompts


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


def test_the_templates_of_tac_are_the_seven_of_clips_notebook():
    from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES

    theirs = [template("{}") for template in SIMPLE_IMAGENET_TEMPLATES]
    assert list(TEMPLATES["tac"]) == theirs
    assert np.array_equal(encode_prompts(Hashed(), ["boot"], "tac"), encode_prompts(Hashed(), ["boot"], theirs))


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
    (Hashed(), ["boot"], "tak", ValueError, "templates='tak' must hold .* or be one of 'tac'"),
    (Hashed(), ["boot"], ["a {}", "a photo"], ValueError, "a photo"),
    (returning(lambda n: np.ones(n)), ["boot"], ["{}"], ValueError, r"shape \(1,\)"),
    (returning(lambda n: np.ones((n + 1, 3))), ["boot"], ["{}"], ValueError, r"shape \(2, 3\)"),
    (returning(lambda n: np.full((n, 3), np.nan)), ["boot"], ["{}"], ValueError, "not finite"),
    (returning(lambda n: np.zeros((n, 3))), ["boot"], ["{}"], ValueError, "'boot' is zero"),
])
def test_bad_input(embedder, words, templates, error, message):
    with pytest.raises(error, match=message):
        encode_prompts(embedder, words, templates)


# what it costs ----------------------------------------------------------------------------------

class Kept(Hashed):
    """One that can keep what it embeds, and shows its progress."""

    def __init__(self, memory=None, verbose=0):
        super().__init__()
        self.memory, self.verbose = memory, verbose

    def encode_text(self, texts):
        assert not self.verbose  # there is a bar already
        return super().encode_text(texts)


@pytest.fixture
def slow(monkeypatch):
    """Let each look at the clock be 24 seconds after the last, and a part hold 4 prompts."""
    seconds = iter(range(0, 10_000, 24))
    monkeypatch.setattr(_prompts.time, "perf_counter", lambda: next(seconds))
    monkeypatch.setattr(_prompts, "CHUNK", 4)


def test_hours_of_work_that_are_not_kept_are_told(slow, tmp_path):
    words = [f"word {i}" for i in range(10)]
    with pytest.warns(UserWarning, match=r"10 nouns in 2 templates.* 2 minutes.*memory=folder"):
        encode_prompts(Kept(), words, ["a {}", "the {}"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode_prompts(Kept(tmp_path), words, ["a {}", "the {}"])  # kept
        encode_prompts(Kept(), words[:2], ["a {}", "the {}"])  # one part
        encode_prompts(Kept(), words[:4], ["a {}", "the {}"])  # 48 seconds
        encode_prompts(Hashed(), words, ["a {}", "the {}"])  # it cannot keep them


def test_progress_is_the_embedders(slow, tmp_path, capsys):
    words = [f"word {i}" for i in range(10)]
    embedder = Kept(tmp_path, verbose=1)
    shown = encode_prompts(embedder, words, ["a {}", "the {}"])
    assert "10/10" in capsys.readouterr().err
    assert embedder.verbose == 1
    np.testing.assert_array_equal(encode_prompts(Kept(tmp_path), words, ["a {}", "the {}"]), shown)
    assert not capsys.readouterr().err


class Terminal(io.StringIO):
    """A standard error that somebody reads."""

    def isatty(self):
        return True


def test_auto_is_for_who_watches_and_for_what_takes_long(slow, tmp_path, monkeypatch, capsys):
    words = [f"word {i}" for i in range(10)]
    embedder = Kept(tmp_path, verbose="auto")
    encode_prompts(embedder, words)
    assert not capsys.readouterr().err  # no terminal
    monkeypatch.setattr(_progress.sys, "stderr", terminal := Terminal())
    encode_prompts(embedder, words)
    assert not terminal.getvalue()  # over in a moment
    monkeypatch.setattr(_progress, "PATIENCE", 0)
    encode_prompts(embedder, words)
    assert "10/10" in terminal.getvalue()
