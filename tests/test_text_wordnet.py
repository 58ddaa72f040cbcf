"""WordNet's nouns: the shipped asset, and the choice of candidates."""

import copy
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.text import WordNetNouns, _wordnet
from tools.build_wordnet import nltk_reader, write

DATABASE = Path("/usr/share/wordnet")  # where Debian's wordnet-base puts it


@pytest.fixture(scope="module")
def nouns():
    return WordNetNouns()


class TestLookup:
    def test_all_of_wordnet_3_0(self, nouns):
        # the counts that wnstats(7WN) gives for the nouns of WordNet 3.0
        assert len(nouns) == 117_798
        assert len(nouns._graph.start) - 1 == 82_115
        assert len(nouns._graph.word) == 146_312

    @pytest.mark.parametrize("word", ["ice cream", "Ice_Cream", " ICE  CREAM "])
    def test_case_and_underscores_do_not_matter(self, nouns, word):
        assert word in nouns
        assert nouns.synsets(word) == ["ice_cream.n.01"]

    def test_senses_in_the_order_of_wordnet(self, nouns):
        assert nouns.synsets("boot") == ["boot.n.01", "boot.n.02", "bang.n.04", "boot.n.04",
                                         "boot.n.05", "boot.n.06", "kick.n.01"]

    def test_lemmas(self, nouns):
        assert nouns.lemmas("kick.n.01") == ["kick", "boot", "kicking"]

    def test_a_synset_goes_by_any_of_its_words(self, nouns):
        assert nouns.lemmas("boot.n.07") == nouns.lemmas("kick.n.01")

    def test_relations(self, nouns):
        assert nouns.hypernyms("boot.n.01") == ["footwear.n.02"]
        assert set(nouns.hyponyms("footwear.n.02")) == {
            "boot.n.01", "clog.n.01", "flats.n.01", "overshoe.n.01", "shoe.n.01", "slipper.n.01"}
        assert nouns.hypernyms("entity.n.01") == []
        assert nouns.hypernyms("paris.n.01") == ["national_capital.n.01"]

    def test_closure(self, nouns):
        assert set(nouns.hypernyms("boot.n.01", closure=True)) == {
            "footwear.n.02", "covering.n.02", "artifact.n.01", "whole.n.02", "object.n.01",
            "physical_entity.n.01", "entity.n.01"}
        below = nouns.hyponyms("entity.n.01", closure=True)
        assert len(below) == 82_115 - 1 and "entity.n.01" not in below
        assert nouns.hyponyms("buskin.n.01", closure=True) == []

    @given(st.data())
    def test_hypernyms_and_hyponyms_are_inverse(self, nouns, data):
        s = data.draw(st.integers(0, len(nouns._graph.start) - 2))
        synset = nouns._name(s)
        assert all(synset in nouns.hyponyms(above) for above in nouns.hypernyms(synset))
        assert all(synset in nouns.synsets(lemma) for lemma in nouns.lemmas(synset))

    def test_every_synset_is_found_by_its_name(self, nouns):
        every = range(len(nouns._graph.start) - 1)
        assert [nouns._find(nouns._name(s)) for s in every] == list(every)

    @pytest.mark.parametrize(("word", "near"), [
        ("snaker", "'sneaker'"), ("Tshirt", "'t-shirt'"), ("ankle boot", "'boot'"),
        ("automobil", "'automobile'")])
    def test_near_matches(self, nouns, word, near):
        with pytest.raises(ValueError, match=f"'{word}' is no noun of WordNet.*{near}"):
            nouns.synsets(word)

    @pytest.mark.parametrize(("word", "form"), [
        ("boot", "boot"), ("Buildings", "building"), ("glasses", "glasses"), ("wolves", "wolf"),
        ("foxes", "fox"), ("churches", "church"), ("thrushes", "thrush"), ("policemen", "policeman"),
        ("ponies", "pony"), ("ice_creams", "ice cream"), ("others", None), ("ankle boot", None)])
    def test_forms(self, nouns, word, form):
        assert nouns.morphy(word) == form

    @pytest.mark.parametrize(("synset", "message"), [
        ("boot", "should look like 'artifact.n.01'"),
        ("boot.v.01", "should look like"),
        ("boot.n.8", "'boot': boot.n.01, boot.n.02, .* kick.n.01"),
        ("boot.n.0", "no synset"),
        ("bootz.n.01", "Near it: 'boot'")])
    def test_bad_synsets(self, nouns, synset, message):
        with pytest.raises(ValueError, match=message):
            nouns.hyponyms(synset)


class TestCandidates:
    def test_all(self, nouns):
        words = nouns.candidates()
        assert len(words) == len(nouns) and words == sorted(set(words))
        assert not any("_" in word or word != word.lower() for word in words)

    def test_hypernym(self, nouns):
        synsets = ["footwear.n.02", *nouns.hyponyms("footwear.n.02", closure=True)]
        expected = {word for synset in synsets for word in nouns.lemmas(synset)}
        assert nouns.candidates(hypernym="footwear.n.02") == sorted(expected)

    def test_hypernyms_add_up(self, nouns):
        one, other = (set(nouns.candidates(hypernym=h)) for h in ("dog.n.01", "fruit.n.01"))
        assert set(nouns.candidates(hypernym=["dog.n.01", "fruit.n.01"])) == one | other

    def test_lengths(self, nouns):
        words = nouns.candidates(max_words=2, max_length=9)
        assert words == [w for w in nouns.candidates() if len(w.split(" ")) <= 2 and len(w) <= 9]
        assert "ice cream" in words

    def test_words(self, nouns):
        assert nouns.candidates(words=["Ice_cream", "dog", "dog"]) == ["dog", "ice cream"]
        assert nouns.candidates(words=["dog", "boot"], hypernym="artifact.n.01") == ["boot", "dog"]
        assert nouns.candidates(words=["cat", "boot"], hypernym="footwear.n.02") == ["boot"]

    def test_class_names_and_their_synonyms_are_left_out(self, nouns):
        left_out = set(nouns.candidates()) - set(nouns.candidates(exclude=["Sneaker", "sandal"]))
        expected = {word for name in ("sneaker", "sandal") for synset in nouns.synsets(name)
                    for word in nouns.lemmas(synset)}
        assert left_out == expected
        assert "gym shoe" in expected

    def test_synonyms_on_request(self, nouns):
        words = nouns.candidates(exclude=["sneaker"], synonyms=False)
        assert "gym shoe" in words and "sneaker" not in words

    def test_a_class_name_asked_for_by_list_stays_out(self, nouns):
        assert nouns.candidates(words=["sneaker", "boot"], exclude=["sneaker"]) == ["boot"]

    @pytest.mark.parametrize("kept", ["a", "b"])
    def test_one_string_is_one_word(self, nouns, kept):
        assert kept in nouns.candidates(exclude="baa")  # and not its letters
        assert nouns.candidates(words="dog") == ["dog"]

    @pytest.mark.parametrize(("name", "form"), [("buildings", "building"), ("Lawn_Mowers", "lawn mower")])
    def test_of_a_name_that_wordnet_lacks_its_form_is_left_out(self, nouns, name, form):
        with pytest.warns(UserWarning, match=f"'{name}' is no noun of WordNet; '{form}' is left out in its place"):
            words = nouns.candidates(exclude=[name, "dog"])
        assert words == nouns.candidates(exclude=[form, "dog"])

    def test_a_name_that_has_no_form_excludes_nothing(self, nouns):
        with pytest.warns(UserWarning, match="'ankel boot' .* no candidate is left out for it. Near it: 'boot'"):
            assert nouns.candidates(exclude=["ankel boot", "dog"]) == nouns.candidates(exclude="dog")

    def test_the_class_names_of_the_shipped_images_are_known(self, nouns):
        names = load_fashion_mini().class_names
        assert not set(names) & set(nouns.candidates(hypernym="artifact.n.01", exclude=names))

    @pytest.mark.parametrize(("conditions", "message"), [
        ({"words": ["doog"]}, "'doog' is no noun of WordNet. Near it: 'dog'"),
        ({"words": []}, "No noun is left"),
        ({"words": ["dog"], "exclude": ["dog"]}, "No noun is left"),
        ({"max_words": 0}, "max_words=0"),
        ({"max_length": 0}, "max_length=0")])
    def test_bad_conditions(self, nouns, conditions, message):
        with pytest.raises(ValueError, match=message):
            nouns.candidates(**conditions)

    @pytest.mark.parametrize("limit", ["max_words", "max_length"])
    def test_limits_are_whole_numbers(self, nouns, limit):
        with pytest.raises(TypeError, match=f"{limit}=2.5 is a float; it must be an integer"):
            nouns.candidates(**{limit: 2.5})


class TestAsset:
    def test_is_small_and_comes_with_its_licence(self):
        folder = Path(_wordnet.__file__).parent / "data"
        assert (folder / _wordnet.ASSET).stat().st_size < 3e6
        assert "WordNet 3.0 Copyright 2006 by Princeton University" in (
            folder / "LICENSE.wordnet").read_text()

    def test_damage_is_noticed(self, monkeypatch):
        monkeypatch.setattr(_wordnet, "ASSET_SHA256", "0" * 64)
        with pytest.raises(OSError, match="damaged.*reinstall"):
            _wordnet._shipped.__wrapped__()

    def test_copies_share_it_and_a_use_changes_no_hash(self, nouns):
        fresh = WordNetNouns()
        before = joblib.hash(fresh), pickle.dumps(fresh)
        fresh.candidates(hypernym="dog.n.01", exclude=["cat"])
        assert (joblib.hash(fresh), pickle.dumps(fresh)) == before
        assert len(pickle.dumps(fresh)) < 200
        for copied in (copy.deepcopy(fresh), pickle.loads(pickle.dumps(fresh))):
            assert copied._graph is nouns._graph


class Synset:
    """As much of NLTK's synset as is read."""

    def __init__(self, offset, *names):
        self._offset, self._names, self.above, self.instance_of = offset, names, [], []

    def offset(self):
        return self._offset

    def lemma_names(self):
        return list(self._names)

    def hypernyms(self):
        return self.above

    def instance_hypernyms(self):
        return self.instance_of


class Reader:
    """A WordNet of four nouns."""

    def __init__(self):
        thing, fish, pike, Pike = self.all = [
            Synset(10, "thing"), Synset(20, "Fish"), Synset(30, "pike", "Esox_lucius"),
            Synset(40, "Pike")]
        fish.above, pike.above, Pike.instance_of = [thing], [fish], [thing]

    def all_synsets(self, pos):
        assert pos == "n"
        return reversed(self.all)

    def synsets(self, word, pos):
        first = {"pike": [self.all[3], self.all[2]]}  # the mountain is the more frequent sense
        return first.get(word, [s for s in self.all
                                if word in [name.lower() for name in s.lemma_names()]])


class TestFromNLTK:
    def test_any_reader(self):
        nouns = WordNetNouns.from_nltk(Reader())
        assert nouns.candidates() == ["esox lucius", "fish", "pike", "thing"]
        assert nouns.synsets("pike") == ["pike.n.01", "pike.n.02"]
        assert nouns.lemmas("pike.n.02") == ["pike", "esox lucius"]
        assert nouns.hypernyms("pike.n.01") == ["thing.n.01"]
        assert nouns.hypernyms("pike.n.02", closure=True) == ["thing.n.01", "fish.n.01"]
        assert nouns.candidates(hypernym="fish.n.01") == ["esox lucius", "fish", "pike"]
        assert nouns.candidates(exclude=["pike"]) == ["fish", "thing"]

    def test_pickles_by_content(self):
        nouns = WordNetNouns.from_nltk(Reader())
        before = joblib.hash(nouns)
        nouns.candidates(exclude=["pike"])
        assert joblib.hash(nouns) == before
        assert pickle.loads(pickle.dumps(nouns)).candidates() == nouns.candidates()


@pytest.fixture(scope="module")
def reader():
    """NLTK on the files that the asset was built from."""
    if not (DATABASE / "index.sense").is_file():
        pytest.skip(f"needs wordnet-base and wordnet-sense-index in {DATABASE}")
    with nltk_reader(DATABASE) as reader:
        yield reader


@pytest.mark.filterwarnings("ignore:The multilingual functions")
class TestAgainstNLTK:
    def test_synsets(self, nouns, reader):
        for s in np.random.default_rng(0).choice(82_115, 300, replace=False):
            name = nouns._name(s)
            synset = reader.synset(name)
            above = synset.hypernyms() + synset.instance_hypernyms()
            below = synset.hyponyms() + synset.instance_hyponyms()
            assert synset.name() == name
            assert nouns.lemmas(name) == [w.lower().replace("_", " ") for w in synset.lemma_names()]
            assert sorted(nouns.hypernyms(name)) == sorted(h.name() for h in above)
            assert sorted(nouns.hyponyms(name)) == sorted(h.name() for h in below)

    def test_senses(self, nouns, reader):
        for word in np.random.default_rng(0).choice(nouns._graph.words, 300, replace=False):
            # of a plural NLTK returns the singular's senses, too, after its own
            synsets = [synset.name() for synset in reader.synsets(word.replace(" ", "_"), pos="n")]
            assert nouns.synsets(word) == synsets[:len(nouns.synsets(word))]

    def test_forms(self, nouns, reader):
        for word in np.random.default_rng(0).choice(nouns._graph.words, 300, replace=False):
            for plural in (word + "s", word + "es"):
                assert (nouns.morphy(plural) or "") == (
                    reader.morphy(plural.replace(" ", "_"), "n") or "").replace("_", " ")

    @pytest.mark.slow
    def test_the_asset_is_what_the_script_builds(self, nouns, reader, tmp_path):
        graph = _wordnet._read_nltk(reader)
        for name, expected in graph._asdict().items():
            np.testing.assert_array_equal(getattr(nouns._graph, name), expected, err_msg=name)
        for path in (tmp_path / "one.npz", tmp_path / "two.npz"):
            write(graph, path)
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
