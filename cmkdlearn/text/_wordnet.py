"""WordNet's nouns, without a download."""

import difflib
import functools
import hashlib
import io
from importlib import resources
from typing import NamedTuple

import numpy as np

ASSET = "wordnet_nouns.npz"
ASSET_SHA256 = "0eff08b65cf7d6f8a9a71dd3de3eb4689f4ebd5644fdb6ace3e4c4d0e97aa720"


class Graph(NamedTuple):
    """The nouns as arrays.

    Senses are pairs of a synset and a word, grouped by synset: those of synset ``s`` stand at
    ``start[s]:start[s + 1]``, its name-giving word first.
    """

    words: np.ndarray    # (n_words,) str, sorted
    start: np.ndarray    # (n_synsets + 1,)
    word: np.ndarray     # (n_senses,) position in words
    number: np.ndarray   # (n_senses,) which sense of the word this synset is, from 1
    child: np.ndarray    # (n_edges,) synset ...
    parent: np.ndarray   # (n_edges,) ... and its hypernym


class WordNetNouns:
    """The nouns of WordNet 3.0: words, synsets and the hypernym relation.

    They come with the package (117,798 words, 82,115 synsets, no glosses). Words are in lower
    case, with spaces; instances ("paris") count as hyponyms of what they are instances of. A
    synset goes by WordNet's usual name, such as ``"dog.n.01"``.

    References
    ----------
    .. [1] Fellbaum. "WordNet: An Electronic Lexical Database", 1998.

    Examples
    --------
    >>> from cmkdlearn.text import WordNetNouns
    >>> nouns = WordNetNouns()
    >>> len(nouns), "ice cream" in nouns
    (117798, True)
    >>> nouns.synsets("boot")[0], nouns.hypernyms("boot.n.01")
    ('boot.n.01', ['footwear.n.02'])
    >>> nouns.candidates(hypernym="boot.n.01", exclude=["boot"])[:3]
    ['buskin', 'combat boot', 'cowboy boot']
    """

    def __init__(self):
        self._graph = _shipped()

    @classmethod
    def from_nltk(cls, reader=None):
        """Read the nouns of a WordNet that NLTK has.

        Parameters
        ----------
        reader : nltk.corpus.reader.WordNetCorpusReader, default=None
            None: ``nltk.corpus.wordnet``, which has to be downloaded once.

        Returns
        -------
        WordNetNouns

        Raises
        ------
        LookupError
            If NLTK does not find its data (it says where it looked).
        """
        nouns = cls.__new__(cls)
        nouns._graph = _read_nltk(reader)
        return nouns

    def __reduce__(self):
        # what is shipped is loaded again rather than pickled
        if self._graph is _shipped():
            return WordNetNouns, ()
        return _restore, (tuple(self._graph),)

    def __repr__(self):
        return f"WordNetNouns({len(self):,} words)"

    def __len__(self):
        return len(self._graph.words)

    def __contains__(self, word):
        return _plain(word) in self._position

    @functools.cached_property
    def _position(self):
        return {word: i for i, word in enumerate(self._graph.words.tolist())}

    @functools.cached_property
    def _senses_of(self):
        """Senses grouped by word, the most frequent first: their order, and where a word starts."""
        graph = self._graph
        order = np.lexsort((graph.number, graph.word))
        return order, np.searchsorted(graph.word[order], np.arange(len(graph.words) + 1))

    @functools.cached_property
    def _synset_of(self):
        return np.repeat(np.arange(len(self._graph.start) - 1), np.diff(self._graph.start))

    # ---------------------------------------------------------------- words and synsets

    def synsets(self, word):
        """Return the names of a word's synsets, the most frequent sense first.

        Raises
        ------
        ValueError
            If WordNet has no such noun (near matches are named).
        """
        return [self._name(s) for s in self._synsets(self._lookup(word))]

    def lemmas(self, synset):
        """Return the words of a synset."""
        s = self._find(synset)
        return self._graph.words[self._graph.word[self._graph.start[s]:self._graph.start[s + 1]]].tolist()

    def hypernyms(self, synset):
        """Return the names of the synsets directly above."""
        s = self._find(synset)
        return [self._name(p) for p in self._graph.parent[self._graph.child == s]]

    def hyponyms(self, synset):
        """Return the names of the synsets directly below."""
        s = self._find(synset)
        return [self._name(c) for c in self._graph.child[self._graph.parent == s]]

    def candidates(self, hypernym=None, *, exclude=(), synonyms=True, max_words=None,
                   max_length=None, words=None):
        """Choose nouns.

        Parameters
        ----------
        hypernym : str or sequence of str, default=None
            Synsets: keep words with a sense below (or in) one of them. None keeps all.
        exclude : sequence of str, default=()
            Class names; they are no candidates.
        synonyms : bool, default=True
            Leave out the words that share a synset with an excluded one, too.
        max_words : int, default=None
            Keep words of at most so many words: 1 leaves out "ice cream".
        max_length : int, default=None
            Keep words of at most so many characters.
        words : sequence of str, default=None
            Choose among these rather than among all nouns.

        Returns
        -------
        list of str
            Sorted.

        Raises
        ------
        ValueError
            If a name is not in WordNet (near matches are named), or if nothing is left.
        """
        graph = self._graph
        keep = np.ones(len(graph.words), dtype=bool)
        if words is not None:
            keep[:] = False
            keep[[self._lookup(word) for word in words]] = True
        if hypernym is not None:
            tops = [hypernym] if isinstance(hypernym, str) else hypernym
            below = self._closure([self._find(top) for top in tops])
            keep &= np.isin(np.arange(len(graph.words)), graph.word[below[self._synset_of]])
        if max_words is not None:
            keep &= np.char.count(graph.words, " ") < max_words
        if max_length is not None:
            keep &= np.char.str_len(graph.words) <= max_length
        for name in exclude:
            i = self._lookup(name)
            keep[i] = False
            if synonyms:
                for s in self._synsets(i):
                    keep[graph.word[graph.start[s]:graph.start[s + 1]]] = False
        if not keep.any():
            raise ValueError("No noun is left: the conditions on candidates exclude all of them.")
        return graph.words[keep].tolist()

    # ---------------------------------------------------------------- positions

    def _lookup(self, word):
        try:
            return self._position[_plain(word)]
        except KeyError:
            pass
        near = difflib.get_close_matches(
            _plain(word), [w for w in self._position if abs(len(w) - len(word)) < 4
                           and w[:1] == _plain(word)[:1]], n=3)
        last = _plain(word).rpartition(" ")[2]
        near += [last] if last in self._position and last not in near else []
        hint = f" Near it: {', '.join(map(repr, near))}." if near else ""
        raise ValueError(f"{word!r} is no noun of WordNet.{hint}")

    def _synsets(self, i):
        order, start = self._senses_of
        return self._synset_of[order[start[i]:start[i + 1]]]

    def _name(self, s):
        first = self._graph.start[s]
        word = self._graph.words[self._graph.word[first]].replace(" ", "_")
        return f"{word}.n.{self._graph.number[first]:02d}"

    def _find(self, synset):
        word, _, number = str(synset).rpartition(".n.")
        if not word or not number.isdigit():
            raise ValueError(f"{synset!r} is no name of a noun synset; it should look like "
                             "'artifact.n.01'.")
        for s in self._synsets(self._lookup(word)):
            if self._name(s) == f"{_plain(word).replace(' ', '_')}.n.{int(number):02d}":
                return s
        raise ValueError(f"WordNet has no synset {synset!r}. Those of {_plain(word)!r}: "
                         f"{', '.join(self.synsets(word))}.")

    def _closure(self, tops):
        """Mark the synsets below ``tops``, these included."""
        graph = self._graph
        below = np.zeros(len(graph.start) - 1, dtype=bool)
        below[tops] = True
        count = 0
        while count != below.sum():
            count = below.sum()
            below[graph.child[below[graph.parent]]] = True
        return below


def _plain(word):
    return " ".join(str(word).lower().replace("_", " ").split())


@functools.cache
def _shipped():
    content = resources.files("cmkdlearn.text").joinpath("data", ASSET).read_bytes()
    if hashlib.sha256(content).hexdigest() != ASSET_SHA256:
        raise OSError(f"{ASSET} is damaged (its SHA-256 is not the package's); reinstall cmkdlearn.")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        words = np.array(arrays["words"].tobytes().decode("ascii").split("\n"))
        return Graph(words, arrays["start"].cumsum(dtype=np.int64),
                     *(arrays[name].astype(np.int64) for name in Graph._fields[2:]))


def _restore(graph):
    nouns = WordNetNouns.__new__(WordNetNouns)
    nouns._graph = Graph(*graph)
    return nouns


def _read_nltk(reader):
    if reader is None:
        from nltk.corpus import wordnet as reader
    synsets = sorted(reader.all_synsets("n"), key=lambda synset: synset.offset())
    names = [[_plain(name) for name in synset.lemma_names()] for synset in synsets]
    words = np.array(sorted({name for group in names for name in group}))
    position = {word: i for i, word in enumerate(words.tolist())}
    at = {synset.offset(): s for s, synset in enumerate(synsets)}
    rank = {}
    for word in position:
        for number, synset in enumerate(reader.synsets(word.replace(" ", "_"), pos="n"), start=1):
            rank.setdefault((at[synset.offset()], position[word]), number)
    senses = [(s, position[name]) for s, group in enumerate(names) for name in dict.fromkeys(group)]
    edges = [(s, at[parent.offset()]) for s, synset in enumerate(synsets)
             for parent in synset.hypernyms() + synset.instance_hypernyms()]
    child, parent = np.array(edges).T
    return Graph(words, np.searchsorted([s for s, _ in senses], np.arange(len(synsets) + 1)),
                 np.array([w for _, w in senses]), np.array([rank[sense] for sense in senses]),
                 child, parent)
