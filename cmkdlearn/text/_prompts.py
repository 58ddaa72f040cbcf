"""Prompts: a word in a sentence, as image-text models have seen it (Algorithm 1, step 1)."""

import numpy as np
from sklearn.preprocessing import normalize

DEFAULT_TEMPLATES = (
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a close-up photo of a {}.",
    "a photo of one {}.",
    "a small photo of a {}.",
)

# so many prompts are encoded at a time: what is kept of them is one vector a word
CHUNK = 8192


def encode_prompts(embedder, words, templates=DEFAULT_TEMPLATES):
    """Embed words by the mean over prompts (Algorithm 1, step 1).

    Parameters
    ----------
    embedder : object with ``encode_text``
        ``encode_text(list of str)`` returns (m, d).
    words : str or sequence of str
    templates : str or sequence of str, default=DEFAULT_TEMPLATES
        Each with a ``{}`` for the word, in small letters and with spaces for underscores.
        ``["{}"]`` is the word alone.

    Returns
    -------
    ndarray of shape (n_words, d)
        float32, L2-normalised.

    Raises
    ------
    TypeError
        If the embedder has no ``encode_text``, or a word is no string.
    ValueError
        If there is no word or no template, if a template has no ``{}``, or if an embedding is not
        finite or has no direction.

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
    words, templates = listed(words), listed(templates)
    if not words:
        raise ValueError("There are no words to embed.")
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        raise TypeError(f"Words must be strings; {wrong[0]!r} is a {type(wrong[0]).__name__}.")
    if not templates or any("{}" not in str(template) for template in templates):
        raise ValueError(f"templates={templates!r} must hold at least one string, each with a {{}} "
                         "for the word.")
    step = max(1, CHUNK // len(templates))
    return np.concatenate([_encode(embedder, words[i:i + step], templates)
                           for i in range(0, len(words), step)])


def listed(strings):
    """Return a list of strings; one string counts as a list of one, not as its letters."""
    return [strings] if isinstance(strings, str) else list(strings)


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
