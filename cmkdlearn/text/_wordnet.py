"""WordNet's nouns, without a download."""

import difflib
import functools
import hashlib
import io
import warnings
from importlib import resources
from typing import NamedTuple

import numpy as np

from cmkdlearn._validation import check_number
from cmkdlearn.text._prompts import listed, plain

ASSET = "wordnet_nouns.npz"
ASSET_SHA256 = "c3fc35218a9f99e4586d1030a7f46db6651f424008373873587e9b01c2519f68"
# WordNet's rules of detachment (morphy(7WN)): endings of plural nouns, and what stands for each
ENDINGS = (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
           ("shes", "sh"), ("men", "man"), ("ies", "y"))


class Graph(NamedTuple):
    """The nouns as arrays.

    Senses are pairs of a synset and a word, grouped by synset: those of synset ``s`` stand at
    ``start[s]:start[s + 1]``, its name-giving word first.
    """

    words: np.ndarray    # (n_words,) str, sorted
    start: np.ndarray    # (n_synsets + 1,)
    word: np.ndarray     # (n_senses,) position in words
    number: np.ndarray   # (n_senses,) which sense of the word this synset is, from 1
    child: np.ndarray    # (n_edges,) synset, sorted ...
    parent: np.ndarray   # (n_edges,) ... and its hypernym


class WordNetNouns:
    """The nouns of WordNet 3.0: words, synsets and the hypernym relation.

    They come with the package (117,798 words, 82,115 synsets, no glosses). Words are in lower
    case, with spaces, and are looked up so: "Ice_Cream" is "ice cream". Instances ("paris") count
    as hyponyms of what they are instances of. A synset goes by WordNet's usual name, such as
    ``"dog.n.01"``.

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
        return plain(word) in self._position

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

    def morphy(self, word):
        """Return the form of a word that WordNet has: of "buildings" it is "building".

        By WordNet's rules of detachment, as NLTK's ``morphy`` has them, without its list of
        exceptions: "mice" has no form.

        Parameters
        ----------
        word : str

        Returns
        -------
        str or None
            The word itself, where WordNet has it; else what the first rule that helps makes of it.
        """
        text = plain(word)
        forms = [text, *(text.removesuffix(ending) + instead for ending, instead in ENDINGS
                         if text.endswith(ending))]
        return next((form for form in forms if form in self._position), None)

    def synsets(self, word):
        """Return the names of a word's synsets, the most frequent sense first.

        Raises
        ------
        ValueError
            If WordNet has no such noun (near matches are named).
        """
        return [self._name(s) for s in self._synsets(self._lookup(word))]

    def lemmas(self, synset):
        """Return the words of a synset, the name-giving one first."""
        return self._graph.words[self._words_of(self._find(synset))].tolist()

    def hypernyms(self, synset, closure=False):
        """Return the names of the synsets directly above, or with ``closure`` of all above."""
        return self._related(synset, closure, self._graph.child, self._graph.parent)

    def hyponyms(self, synset, closure=False):
        """Return the names of the synsets directly below, or with ``closure`` of all below."""
        return self._related(synset, closure, self._graph.parent, self._graph.child)

    def candidates(self, hypernym=None, *, exclude=(), synonyms=True, max_words=None,
                   max_length=None, words=None):
        """Choose nouns.

        Parameters
        ----------
        hypernym : str or sequence of str, default=None
            Synsets: keep words with a sense below (or in) one of them. None keeps all.
        exclude : str or sequence of str, default=()
            Class names; they are no candidates. Of one that WordNet does not have, the form that it
            has (:meth:`morphy`) is left out; a warning says so, or that there is none.
        synonyms : bool, default=True
            Leave out the words that share a synset with an excluded one, too.
        max_words : int, default=None
            Keep words of at most so many words: 1 leaves out "ice cream".
        max_length : int, default=None
            Keep words of at most so many characters.
        words : str or sequence of str, default=None
            Choose among these rather than among all nouns.

        Returns
        -------
        list of str
            Sorted.

        Raises
        ------
        ValueError
            If a synset or one of ``words`` is not in WordNet (near matches are named), or if
            nothing is left.
        """
        graph = self._graph
        keep = np.ones(len(graph.words), dtype=bool)
        if words is not None:
            keep = self._marked([self._lookup(word) for word in listed(words)])
        if hypernym is not None:
            tops = [self._find(top) for top in listed(hypernym)]
            below = self._closure(tops, graph.parent, graph.child)
            keep &= self._marked(graph.word[below[self._synset_of]])
        if max_words is not None:
            check_number("max_words", max_words, low=1, integer=True)
            keep &= np.char.count(graph.words, " ") < max_words
        if max_length is not None:
            check_number("max_length", max_length, low=1, integer=True)
            keep &= np.char.str_len(graph.words) <= max_length
        for name in listed(exclude):
            form = self._form_of_class(name)
            if form is None:
                continue
            i = self._position[form]
            keep[i] = False
            if synonyms:
                for s in self._synsets(i):
                    keep[self._words_of(s)] = False
        if not keep.any():
            raise ValueError("No noun is left: the conditions on candidates exclude all of them.")
        return graph.words[keep].tolist()

    # ---------------------------------------------------------------- positions

    def _lookup(self, word):
        text = plain(word)
        if text in self._position:
            return self._position[text]
        raise ValueError(f"{word!r} is no noun of WordNet.{self._near(text)}")

    def _near(self, text):
        # "ankle boot" is a kind of its last word; misspellings rarely touch the first letter
        head = text.rpartition(" ")[2]
        alike = [w for w in self._position if w[:1] == text[:1] and abs(len(w) - len(text)) < 4]
        near = [head] * (head in self._position) + difflib.get_close_matches(text, alike, n=3)
        return f" Near it: {', '.join(map(repr, near))}." if near else ""

    def _form_of_class(self, name):
        """Return what stands for a class name among the nouns, or None, and tell of a stand-in."""
        text, form = plain(name), self.morphy(name)
        if form is None:
            warnings.warn(f"The class name {name!r} is no noun of WordNet, and no candidate is "
                          f"left out for it.{self._near(text)}", stacklevel=3)
        elif form != text:
            warnings.warn(f"The class name {name!r} is no noun of WordNet; {form!r} is left out in "
                          "its place.", stacklevel=3)
        return form

    def _synsets(self, i):
        order, start = self._senses_of
        return self._synset_of[order[start[i]:start[i + 1]]]

    def _words_of(self, s):
        return self._graph.word[self._graph.start[s]:self._graph.start[s + 1]]

    def _marked(self, positions):
        mask = np.zeros(len(self._graph.words), dtype=bool)
        mask[positions] = True
        return mask

    def _name(self, s):
        first = self._graph.start[s]
        word = self._graph.words[self._graph.word[first]].replace(" ", "_")
        return f"{word}.n.{self._graph.number[first]:02d}"

    def _find(self, synset):
        word, _, number = str(synset).rpartition(".n.")
        if not word or not number.isdecimal():
            raise ValueError(f"{synset!r} is no name of a noun synset; it should look like "
                             "'artifact.n.01'.")
        senses = self._synsets(self._lookup(word))
        if 1 <= int(number) <= len(senses):
            return senses[int(number) - 1]
        raise ValueError(f"WordNet has no synset {synset!r}. Those of {plain(word)!r}: "
                         f"{', '.join(self.synsets(word))}.")

    def _related(self, synset, closure, near, far):
        s = self._find(synset)
        if not closure:
            return [self._name(t) for t in far[near == s]]
        reached = self._closure([s], near, far)
        reached[s] = False
        return [self._name(t) for t in np.flatnonzero(reached)]

    def _closure(self, synsets, near, far):
        """Mark the synsets that edges from near to far reach, the given ones included."""
        reached = np.zeros(len(self._graph.start) - 1, dtype=bool)
        reached[synsets] = True
        count = 0
        while count != reached.sum():
            count = reached.sum()
            reached[far[reached[near]]] = True
        return reached


@functools.cache
def _shipped():
    content = resources.files("cmkdlearn.text").joinpath("data", ASSET).read_bytes()
    if hashlib.sha256(content).hexdigest() != ASSET_SHA256:
        raise OSError(f"{ASSET} is damaged (its SHA-256 is not the package's); reinstall "
                      "cmkdlearn.")
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
        from nltk.corpus import wordnet

        reader = wordnet
    synsets = sorted(reader.all_synsets("n"), key=lambda synset: synset.offset())
    names = [[plain(name) for name in synset.lemma_names()] for synset in synsets]
    words = np.array(sorted({name for group in names for name in group}))
    position = {word: i for i, word in enumerate(words.tolist())}
    at = {synset.offset(): s for s, synset in enumerate(synsets)}
    rank: dict[tuple[int, int], int] = {}
    for word in position:
        for number, synset in enumerate(reader.synsets(word.replace(" ", "_"), pos="n"), start=1):
            rank.setdefault((at[synset.offset()], position[word]), number)
    senses = [(s, position[name]) for s, group in enumerate(names) for name in dict.fromkeys(group)]
    # sorted, because NLTK keeps relations in sets, whose order changes from run to run
    edges = sorted((s, at[parent.offset()]) for s, synset in enumerate(synsets)
                   for parent in synset.hypernyms() + synset.instance_hypernyms())
    child, parent = np.array(edges).T
    return Graph(words, np.searchsorted([s for s, _ in senses], np.arange(len(synsets) + 1)),
                 np.array([w for _, w in senses]), np.array([rank[sense] for sense in senses]),
                 child, parent)
