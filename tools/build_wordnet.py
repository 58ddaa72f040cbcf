"""Build the WordNet asset of cmkdlearn.text from WordNet's database files, through NLTK.

    python tools/build_wordnet.py DICT_FOLDER

DICT_FOLDER holds ``data.noun``, ``index.noun``, ``index.sense`` and so on, as Debian's packages
wordnet-base and wordnet-sense-index install them. The same files give the same bytes.
"""

import argparse
import contextlib
import hashlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path

import nltk
import numpy as np
from nltk.corpus.reader.wordnet import WordNetCorpusReader

from cmkdlearn.text._wordnet import ASSET, Graph, _read_nltk

# lexnames(5WN): the lexicographer files in the order of their numbers
LEXNAMES = """adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute
noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group
noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant noun.possession
noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body
verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact
verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
verb.weather adj.ppl""".split()
# and the number of the syntactic category that each begins with
CATEGORY = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


@contextlib.contextmanager
def nltk_reader(folder):
    """Let NLTK read the database files from a data folder of its own."""
    with tempfile.TemporaryDirectory() as data:
        corpus = Path(data) / "corpora" / "wordnet"
        corpus.mkdir(parents=True)
        for file in Path(folder).iterdir():
            if file.is_file():
                shutil.copy(file, corpus / file.name)
        (corpus / "lexnames").write_text("".join(
            f"{number:02d}\t{name}\t{CATEGORY[name.partition('.')[0]]}\n"
            for number, name in enumerate(LEXNAMES)))
        nltk.data.path.insert(0, data)
        try:
            yield WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)
        finally:
            nltk.data.path.remove(data)


def write(graph, path):
    """Write a reproducible, compressed npz: the time stamps in it are fixed."""
    arrays = {"words": np.frombuffer("\n".join(graph.words).encode("ascii"), dtype=np.uint8),
              "start": np.diff(graph.start, prepend=0).astype(np.uint8),
              "word": graph.word.astype("<i4"), "number": graph.number.astype(np.uint8),
              "child": graph.child.astype("<i4"), "parent": graph.parent.astype("<i4")}
    assert set(arrays) == set(Graph._fields)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, buffer.getvalue(), zipfile.ZIP_DEFLATED, 9)


def main():
    """Build, and print what to put into cmkdlearn/text/_wordnet.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    folder = parser.parse_args().folder
    with nltk_reader(folder) as reader:
        graph = _read_nltk(reader)
    path = Path(__file__).parents[1] / "cmkdlearn" / "text" / "data" / ASSET
    write(graph, path)
    print(f"{len(graph.words)} words, {len(graph.start) - 1} synsets, {path.stat().st_size} bytes")
    print(f'ASSET_SHA256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"')


if __name__ == "__main__":
    main()
