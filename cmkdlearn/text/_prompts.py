"""Prompts: a word in a sentence, as image-text models have seen it (Algorithm 1, step 1)."""

import copy
import time
import warnings

import numpy as np
from sklearn.preprocessing import normalize

from cmkdlearn._progress import progress

DEFAULT_TEMPLATES = (
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a close-up photo of a {}.",
    "a photo of one {}.",
    "a small photo of a {}.",
)

# Sets by name. "tac": the seven that are left of ImageNet's prompts in CLIP's notebook "Prompt
# Engineering for ImageNet" (github.com/openai/CLIP). TAC takes them (Li et al., ICML 2024;
# github.com/XLearning-SCU/2024-ICML-TAC, text_embedding.py), and so does the code of Guo et al.
# (github.com/chenqiguo/CrossmodalKD, trainer_regularizerV2.py).
TEMPLATES = {
    "tac": (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ),
}

# so many prompts are encoded at a time: what is kept of them is one vector a word
CHUNK = 8192
LONG = 60  # seconds of work that should not be lost


def encode_prompts(embedder, words, templates=DEFAULT_TEMPLATES):
    """Embed words by the mean over prompts (Algorithm 1, step 1).

    Parameters
    ----------
    embedder : object with ``encode_text``
        ``encode_text(list of str)`` returns (m, d).
    words : str or sequence of str
    templates : str or sequence of str, default=DEFAULT_TEMPLATES
        Each with a ``{}`` for the word, in small letters and with spaces for underscores.
        ``"{}"`` is the word alone. Or the name of a set of :data:`TEMPLATES`: "tac" are the seven
        that TAC [1]_ takes.

    Returns
    -------
    ndarray of shape (n_words, d)
        float32, L2-normalised.

    Notes
    -----
    More than 8,192 prompts are encoded a part at a time, so that an embedder with ``memory`` goes
    on where it was broken off. All of WordNet's nouns in the default templates are some 589,000.
    Progress is shown as the embedder's ``verbose`` has it. Where the first part says that all will
    take more than a minute, and nothing is kept, a warning names the time.

    Raises
    ------
    TypeError
        If the embedder has no ``encode_text``, or a word is no string.
    ValueError
        If there is no word or no template, if a template has no ``{}``, or if an embedding is not
        finite or has no direction.

    References
    ----------
    .. [1] Li et al. "Image Clustering with External Guidance", ICML 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from cmkdlearn.text import encode_prompts
    >>> class Letters:
    ...     def encode_text(self, texts):
    ...         return np.array([[t.count("a"), t.count("o")] for t in texts], dtype=float)
    >>> encode_prompts(Letters(), ["cat", "dog"], templates=["{}"])
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    if not hasattr(embedder, "encode_text"):
        raise TypeError(f"embedder={embedder!r} has no encode_text; it must embed text into the "
                        "space of its images, as CLIPEmbedder does.")
    words, templates = listed(words), templates_of(templates)
    if not words:
        raise ValueError("There are no words to embed.")
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        raise TypeError(f"Words must be strings; {wrong[0]!r} is a {type(wrong[0]).__name__}.")
    step = max(1, CHUNK // len(templates))
    parts = [words[i:i + step] for i in range(0, len(words), step)]
    if len(parts) == 1:
        return _encode(embedder, words, templates)
    rows, silent = [], _silent(embedder)
    with progress("Embedding nouns", len(words), "noun", getattr(embedder, "verbose", 0)) as bar:
        for part in parts:
            start = time.perf_counter()
            rows.append(_encode(silent, part, templates))
            bar.update(len(part))
            if len(rows) == 1:
                _tell_cost(embedder, words, templates, len(parts) * (time.perf_counter() - start))
    return np.concatenate(rows)


def _silent(embedder):
    """Return an embedder that shows no progress of its own."""
    silent = copy.copy(embedder)
    if hasattr(silent, "verbose"):
        silent.verbose = 0
    return silent


def _tell_cost(embedder, words, templates, seconds):
    if seconds > LONG and hasattr(embedder, "memory") and embedder.memory is None:
        warnings.warn(f"Embedding {len(words):,} nouns in {len(templates)} templates each will take"
                      f" about {seconds / 60:.0f} minutes, and is not kept. With memory=folder, "
                      f"{type(embedder).__name__} does it once.", stacklevel=3)


def listed(strings):
    """Return a list of strings; one string counts as a list of one, not as its letters."""
    return [strings] if isinstance(strings, str) else list(strings)


def templates_of(templates):
    """Return the prompts that ``templates`` stands for: a set's name, one prompt or several."""
    named = TEMPLATES.get(templates) if isinstance(templates, str) else None
    found = list(named or listed(templates))
    if not found or any("{}" not in str(template) for template in found):
        raise ValueError(f"templates={templates!r} must hold at least one string, each with a {{}} "
                         f"for the word, or be one of {', '.join(map(repr, TEMPLATES))}.")
    return found


def plain(word):
    """Return a word as prompts and WordNet's index have it: "Ice_cream" is "ice cream"."""
    return " ".join(str(word).lower().replace("_", " ").split())


def _encode(embedder, words, templates):
    prompts = [template.replace("{}", plain(word)) for word in words for template in templates]
    embeddings = np.asarray(embedder.encode_text(prompts), dtype=np.float32)
    if embeddings.ndim != 2 or len(embeddings) != len(prompts) or not np.isfinite(embeddings).all():
        raise ValueError(f"encode_text returned an array of shape {embeddings.shape} for "
                         f"{len(prompts)} texts, or values that are not finite; it must return "
                         "(m, d) finite embeddings.")
    means = embeddings.reshape(len(words), len(templates), -1).mean(axis=1)
    lost = np.flatnonzero(~means.any(axis=1))
    if len(lost):
        raise ValueError(f"The mean embedding of {words[lost[0]]!r} is zero, which has no "
                         "direction; leave the word out.")
    return normalize(means)
