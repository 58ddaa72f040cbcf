"""The WordNet-relaxed teacher: its loss by hand, what it is shown, and what it must not see."""

import hashlib
import pickle

import joblib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import normalize
from sklearn.utils import Bunch
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.helper import SliceDict
from torch import nn

from cmkdlearn.students import MultiTeacherDistiller
from cmkdlearn.teachers import WordNetRelaxedTeacher
from cmkdlearn.teachers._wordnet import MultimodalClassifier, RelaxedText
from cmkdlearn.text import WordNetNouns, encode_prompts

D = 12


class Embedder(BaseEstimator):
    """Images are projected at random, and texts have random vectors of their own."""

    def transform(self, X):
        X = np.asarray(X, dtype=np.float64).reshape(len(X), -1)
        return X @ np.random.RandomState(0).normal(size=(X.shape[1], D))

    def encode_text(self, texts):
        digests = b"".join(hashlib.blake2b(text.encode(), digest_size=D).digest() for text in texts)
        return np.frombuffer(digests, dtype=np.uint8).reshape(-1, D) - 127.5


class Untouched(Embedder):
    """Fails a test that embeds images before it has found its input to be bad."""

    def transform(self, X):
        raise AssertionError("images were embedded")


NOUNS = [f"noun {i}" for i in range(40)]
NAMES = ["cat", "dog", "eel"]
rng = np.random.default_rng(0)
y = rng.integers(3, size=150)
centres = rng.normal(size=(3, D))
X = (centres[y] + 0.6 * rng.normal(size=(150, D))).astype(np.float32)  # image embeddings
X_blind = rng.normal(size=(400, D)).astype(np.float32)                 # with nothing to see in them
y_blind = rng.integers(3, size=400)


def vectors(words):
    return dict(zip(words, Embedder().encode_text([str(word) for word in words]), strict=True))


TRAINING = {"n_clusters": 6, "max_epochs": 5, "lr": 0.01, "device": "cpu", "random_state": 0}


def teacher(cls=WordNetRelaxedTeacher, **params):
    """A teacher on embeddings."""
    return cls(**{"class_names": vectors([0, 1, 2]), "nouns": vectors(NOUNS), **TRAINING, **params})


def reader(embedder=None, **params):
    """A teacher with an embedder."""
    return WordNetRelaxedTeacher(embedder or Embedder(), **{
        "class_names": NAMES, "nouns": NOUNS, **TRAINING, **params})


class Watched(WordNetRelaxedTeacher):
    """Keeps what the network is trained on."""

    def _train(self, data, *rest):
        self.seen = dict(data)
        super()._train(data, *rest)


# -------------------------------------------------------------------- the loss

def small_module(use_image=True, temperature=None):
    """Two nouns that have moved, two class names, and a linear classifier with made-up weights."""
    text = RelaxedText(torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
                       torch.tensor([[0.0, 1.0], [1.0, 0.0]]), learnable=True, temperature=temperature)
    text.nouns.data = torch.tensor([[2.0, 0.0], [0.6, 0.8]])
    classifier = nn.Linear(4 if use_image else 2, 2)
    classifier.weight.data = torch.linspace(-1, 1, classifier.weight.numel()).reshape(2, -1)
    classifier.bias.data = torch.tensor([0.1, -0.2])

    class WithLogits(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = classifier

        def forward(self, x):
            return Bunch(logits=self.linear(x))

    return MultimodalClassifier(WithLogits(), text, use_image)


BATCH = Bunch(X=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]), y=torch.tensor([0, 1, 0]),
              relaxed=torch.tensor([0, 1, 1]), shown=torch.tensor([-1, -1, 0]))


def loss_of(module, batch=BATCH, **params):
    unfitted = WordNetRelaxedTeacher(**params)
    return unfitted._loss(module, batch, unfitted._output(module, batch))


def test_the_loss_by_hand():
    module = small_module()
    terms = loss_of(module)
    # What is read: n*_0, n*_1, and the name of class 0 where its label is shown.
    read = [[1, 0, 2, 0], [0, 1, 0.6, 0.8], [0.8, 0.6, 0, 1]]
    assert torch.equal(module.inputs(BATCH).detach(), torch.tensor(read))
    weight, bias = np.linspace(-1, 1, 8).reshape(2, 4), np.array([0.1, -0.2])
    logits = np.array(read) @ weight.T + bias
    ce = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[[0, 1, 2], [0, 1, 0]])
    # cos(n_gt, n_relaxed): (0, 1)·(1, 0) = 0 and (1, 0)·(0.6, 0.8) = 0.6; the third reads n_gt itself.
    hier = (1 - 0 + 1 - 0.6 + 0) / 3
    # cos(n_pretrained, n_relaxed): (1, 0)·(1, 0) = 1 and (0, 1)·(0.6, 0.8) = 0.8.
    cosreg = (1 - 1 + 1 - 0.8 + 0) / 3
    assert terms["ce"].item() == pytest.approx(ce, rel=1e-5)
    assert terms["hier"].item() == pytest.approx(hier, rel=1e-5)
    assert terms["cosreg"].item() == pytest.approx(cosreg, rel=1e-5)
    assert terms["loss"].item() == pytest.approx(ce + 0.1 * hier + 0.01 * cosreg, rel=1e-5)
    weighted = loss_of(module, lambda_hier=2, lambda_cosreg=3)["loss"].item()
    assert weighted == pytest.approx(ce + 2 * hier + 3 * cosreg, rel=1e-5)


def test_the_loss_of_soft_text_by_hand():
    module = small_module(temperature=0.5)
    terms = loss_of(module)
    hier, cosreg, read = 0, 0, []
    nouns, pretrained = np.array([[1, 0], [0.6, 0.8]]), np.eye(2)  # n* of unit length, and as encoded
    for x, name in zip([[1, 0], [0, 1]], [[0, 1], [1, 0]], strict=True):
        share = np.exp(nouns @ x / 0.5)
        share /= share.sum()
        text, before = share @ nouns, share @ pretrained
        hier += 1 - text @ name / np.linalg.norm(text)
        cosreg += 1 - text @ before / np.linalg.norm(text) / np.linalg.norm(before)
        read.append([*x, *text / np.linalg.norm(text)])
    assert torch.allclose(module.inputs(BATCH)[:2], torch.tensor(read, dtype=torch.float32))
    assert module.inputs(BATCH)[2].tolist() == pytest.approx([0.8, 0.6, 0, 1])  # is shown its name
    assert terms["hier"].item() == pytest.approx(hier / 3, rel=1e-5)
    assert terms["cosreg"].item() == pytest.approx(cosreg / 3, rel=1e-5)


def test_cold_soft_text_is_the_one_noun():
    soft, hard = small_module(temperature=1e-4), small_module()
    nearest = Bunch(**{**BATCH, "relaxed": torch.tensor([0, 1, 1])})  # (2, 0) is the nearest to (1, 0)
    hard.text.nouns.data = F.normalize(hard.text.nouns.data)
    for name, value in loss_of(soft).items():
        assert value.item() == pytest.approx(loss_of(hard, nearest)[name].item(), rel=1e-5)


@pytest.mark.parametrize("params", [{"learnable_text": False}, {"relaxation": "noise"}])
def test_text_that_does_not_learn_is_not_regularised(params):
    terms = loss_of(small_module(), **params)
    assert set(terms) == {"loss"}
    assert terms["loss"].item() == pytest.approx(loss_of(small_module())["ce"].item(), rel=1e-6)


@pytest.mark.parametrize("temperature", [None, 0.5])
def test_gradients_by_finite_differences(temperature):
    module = small_module(temperature=temperature).double()
    batch = Bunch(**{**BATCH, "X": BATCH.X.double()})
    loss_of(module, batch, lambda_hier=2, lambda_cosreg=3)["loss"].backward()
    step = 1e-6
    for parameter in module.parameters():
        values, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in range(len(values)):
            at = values[i].item()
            ends = []
            for values[i] in (at + step, at - step):
                ends.append(loss_of(module, batch, lambda_hier=2, lambda_cosreg=3)["loss"].item())
            values[i] = at
            assert gradient[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)
    assert module.text.nouns.grad.abs().min(dim=1).values.max() > 0


def test_the_history_holds_the_terms():
    last = teacher(max_epochs=2).fit(X, y).history_[-1]
    assert last["train_loss"] == pytest.approx(
        last["train_ce_loss"] + 0.1 * last["train_hier_loss"] + 0.01 * last["train_cosreg_loss"],
        rel=1e-5)


# -------------------------------------------------------------------- n*, the text that learns

def test_only_the_kept_nouns_move():
    fitted = teacher().fit(X, y)
    assert not np.allclose(fitted.noun_embeddings_, fitted.relaxer_.noun_embeddings_, atol=1e-3)
    assert np.array_equal(fitted.class_embeddings_,
                          normalize(np.stack(list(vectors([0, 1, 2]).values())).astype(np.float32)))
    kept = vectors(fitted.nouns_.tolist())
    assert np.allclose(fitted.relaxer_.noun_embeddings_,
                       normalize(np.stack(list(kept.values()))), atol=1e-6)
    trained = [name for name, p in fitted.net_.module_.named_parameters() if p.requires_grad]
    assert [name for name in trained if name.startswith("text.")] == ["text.nouns"]


def test_frozen_text_stays():
    fitted = teacher(learnable_text=False).fit(X, y)
    assert np.array_equal(fitted.noun_embeddings_, fitted.relaxer_.noun_embeddings_)
    assert np.allclose(fitted.text_drift_, 0, atol=1e-6)


def test_text_drift_is_one_minus_the_cosine():
    fitted = teacher().fit(X, y)
    before, after = fitted.relaxer_.noun_embeddings_, fitted.noun_embeddings_
    expected = [1 - a @ b / np.sqrt((a @ a) * (b @ b))
                for a, b in zip(before.astype(float), after.astype(float), strict=True)]
    assert fitted.text_drift_.shape == (len(fitted.nouns_),)
    assert np.allclose(fitted.text_drift_, expected, atol=1e-6)
    assert fitted.text_drift_.max() > 1e-4


def test_the_regulariser_holds_the_text_back():
    free = teacher(lambda_cosreg=0, lambda_hier=0, max_epochs=10).fit(X, y)
    held = teacher(lambda_cosreg=100, lambda_hier=0, max_epochs=10).fit(X, y)
    drawn = teacher(lambda_cosreg=0, lambda_hier=100, max_epochs=10).fit(X, y)
    assert held.text_drift_.mean() < free.text_drift_.mean() < drawn.text_drift_.mean()


# -------------------------------------------------------------------- which samples see their label

def test_nouns_are_chosen_and_assigned_without_labels():
    one, other = teacher(max_epochs=0).fit(X, y), teacher(max_epochs=0).fit(X, y[::-1])
    assert np.array_equal(one.nouns_, other.nouns_)
    assert np.array_equal(one.noun_of(X), other.noun_of(X))


def test_the_noun_of_an_image_is_the_relaxers():
    fitted = reader().fit(X, y)
    V = normalize(Embedder().transform(X)).astype(np.float32)
    assert np.array_equal(fitted.noun_of(X), np.array(fitted.relaxer_.nouns_)[fitted.relaxer_.assign(V)])
    assert set(fitted.noun_of(X)) <= set(fitted.nouns_) <= set(NOUNS)


@pytest.mark.parametrize("proportion", [0, 0.3, 0.5, 1])
def test_training_shows_the_asked_share_of_labels(proportion):
    fitted = teacher(Watched, relaxed_proportion=proportion, max_epochs=1).fit(X, y)
    shown = fitted.seen["shown"].numpy()
    assert (shown >= 0).sum() == round((1 - proportion) * len(y))
    assert np.array_equal(shown[shown >= 0], y[shown >= 0])
    # the student is shown what the teacher was trained on
    assert np.array_equal(fitted.text_inputs(X, y).shown, shown)
    assert np.array_equal(fitted.text_inputs(X, y).relaxed, fitted.seen["relaxed"])
    again = teacher(Watched, relaxed_proportion=proportion, max_epochs=1).fit(X, y)
    assert np.array_equal(again.seen["shown"], shown)
    other = teacher(Watched, relaxed_proportion=proportion, max_epochs=1, random_state=1).fit(X, y)
    assert np.array_equal(other.seen["shown"], shown) == (proportion in (0, 1))


FITTED = teacher(max_epochs=1).fit(X, y)


@settings(max_examples=30)
@given(st.integers(1, 150), st.floats(0, 1))
def test_exactly_the_asked_share_is_shown(n, proportion):
    fitted = clone(FITTED).set_params(relaxed_proportion=proportion)
    vars(fitted).update({k: v for k, v in vars(FITTED).items() if k not in fitted.get_params(deep=False)})
    shown = fitted.text_inputs(X[:n], y[:n]).shown.numpy()
    assert (shown >= 0).sum() == round((1 - proportion) * n)
    assert set(np.flatnonzero(shown >= 0)) <= set(np.flatnonzero(shown == y[:n]))


@pytest.mark.parametrize("proportion", [0, 0.5, 1])
@pytest.mark.parametrize("relaxation", ["wordnet", "noise"])
def test_prediction_sees_no_label(proportion, relaxation):
    fitted = teacher(relaxed_proportion=proportion, relaxation=relaxation).fit(X, y)
    inputs = fitted.text_inputs(X)
    assert (inputs.shown == -1).all()
    text = torch.from_numpy(fitted.noun_embeddings_)[inputs.relaxed]
    with torch.inference_mode():
        by_hand = fitted.net_.module_.classifier(torch.cat([inputs.X, text], dim=1)).logits
    assert np.allclose(fitted.decision_function(X), by_hand, atol=1e-5)
    assert np.array_equal(fitted.teaching_logits(X), fitted.decision_function(X))


def test_fully_relaxed_labels_change_nothing():
    fitted = teacher().fit(X, y)
    assert fitted.score_with_labels(X, y) == fitted.score(X, y)
    for labels in (y, y[::-1], np.full(150, -1), np.full(150, None)):
        assert np.array_equal(fitted.teaching_logits(X, labels), fitted.decision_function(X))


def test_without_relaxation_the_label_leaks():
    fitted = teacher(relaxed_proportion=0, max_epochs=20).fit(X_blind[:200], y_blind[:200])
    assert fitted.score_with_labels(X_blind[200:], y_blind[200:]) > 0.95
    assert fitted.score(X_blind[200:], y_blind[200:]) < 0.5
    swapped = (y_blind[200:] + 1) % 3  # it says whatever label it is told
    assert fitted.score_with_labels(X_blind[200:], swapped) > 0.95
    assert np.allclose(fitted.text_drift_, 0, atol=1e-6)  # no noun was read


def test_samples_without_label_get_relaxed_text():
    fitted = teacher(relaxed_proportion=0).fit(X, y)
    for missing in (np.where(np.arange(150) < 50, -1, y), np.array([None] * 50 + [*y[50:]], dtype=object)):
        logits = fitted.teaching_logits(X, missing)
        assert np.allclose(logits[:50], fitted.decision_function(X)[:50], atol=1e-6)
        assert np.allclose(logits[50:], fitted.teaching_logits(X, y)[50:], atol=1e-6)


def test_a_column_of_labels_is_read_as_labels():
    fitted = teacher(relaxed_proportion=0.5).fit(X, y)
    assert fitted.score_with_labels(X, y[:, None]) == fitted.score_with_labels(X, y)


# -------------------------------------------------------------------- soft text

def test_soft_text_is_what_the_relaxer_gives_until_it_learns():
    fitted = teacher(text_temperature=0.05, learnable_text=False).fit(X, y)
    inputs = fitted.text_inputs(X)
    with torch.inference_mode():
        read = fitted.net_.module_.inputs(inputs)[:, D:].numpy()
    assert np.allclose(read, fitted.relaxer_.transform(X), atol=1e-5)
    assert fitted.noun_of(X).tolist() == [fitted.relaxer_.nouns_[i] for i in fitted.relaxer_.assign(X)]


def test_soft_text_learns_and_teaches_batches_of_a_student():
    fitted = teacher(text_temperature=0.05, relaxed_proportion=0.5).fit(X, y)
    assert fitted.score(X, y) > 0.7 and 0 < fitted.text_drift_.max() < 1
    half = fitted.decision_function(X[:75]), fitted.decision_function(X[75:])
    assert np.allclose(np.concatenate(half), fitted.decision_function(X), atol=1e-5)
    student = MultiTeacherDistiller([("T_x", FrozenEstimator(fitted))], teacher_view="same", max_epochs=2,
                                    random_state=0, device="cpu").fit(X, y)
    clean = clone(student).set_params(teacher_view="clean").fit(X, y)
    assert np.allclose(student.decision_function(X), clean.decision_function(X), atol=1e-4)


def test_noise_stays_a_name_with_a_text_temperature():
    soft, hard = (teacher(relaxation="noise", text_temperature=t).fit(X, y) for t in (0.05, None))
    assert np.array_equal(soft.decision_function(X), hard.decision_function(X))


# -------------------------------------------------------------------- noise, and one modality alone

def test_noise_says_nothing_about_the_image():
    rng, many = np.random.default_rng(0), np.repeat(np.arange(3), 1000)
    images = centres[many] + 0.3 * rng.normal(size=(3000, D))
    fitted = teacher(relaxation="noise", max_epochs=1).fit(images, many)
    assert fitted.nouns_.tolist() == ["0", "1", "2"]
    names = fitted.noun_of(images).astype(int)
    table = np.zeros((3, 3), dtype=int)
    np.add.at(table, (many, names), 1)
    assert chi2_contingency(table).pvalue > 0.01
    assert abs(table.sum(axis=0) - 1000).max() < 4 * np.sqrt(3000 * 2 / 9)
    # the same image draws the same name, in whatever company
    order = rng.permutation(3000)
    assert np.array_equal(fitted.noun_of(images[order]), fitted.noun_of(images)[order])
    assert np.array_equal(fitted.noun_of(images[:7]), fitted.noun_of(images)[:7])


def test_noise_has_no_text_to_learn():
    fitted = teacher(relaxation="noise", nouns=None).fit(X, y)
    assert np.array_equal(fitted.noun_embeddings_, fitted.class_embeddings_)
    assert np.allclose(fitted.text_drift_, 0, atol=1e-6)
    assert not hasattr(fitted, "relaxer_")


def test_text_alone():
    fitted = teacher(use_image=False, relaxed_proportion=0, max_epochs=20).fit(X_blind, y_blind)
    assert fitted.score_with_labels(X_blind, y_blind) == 1
    relaxed = teacher(use_image=False).fit(X, y)
    logits, nouns = relaxed.teaching_logits(X), relaxed.noun_of(X)
    for noun in np.unique(nouns):  # images of one noun are one to it
        assert np.ptp(logits[nouns == noun], axis=0).max() < 1e-5
    assert relaxed.score(X, y) > 0.6


def test_image_alone():
    fitted = teacher(use_text=False, class_names=None, nouns=None, relaxed_proportion=0).fit(X, y)
    assert fitted.score_with_labels(X, y) == fitted.score(X, y) > 0.7
    assert not fitted.needs_labels_to_teach
    assert set(fitted.text_inputs(X, y)) == {"X"}
    for use in (lambda: fitted.noun_of(X), lambda: fitted.text_drift_, lambda: fitted.noun_embeddings_):
        with pytest.raises(AttributeError, match="no text"):
            use()


# -------------------------------------------------------------------- names and nouns

def test_names_by_label_in_order_or_as_labels_are_the_same():
    words = np.array(NAMES)[y]
    by_order = reader().fit(X, y).decision_function(X)
    by_label = reader(class_names=dict(enumerate(NAMES))).fit(X, y).decision_function(X)
    as_labels = reader(class_names=None).fit(X, words).decision_function(X)
    assert np.array_equal(by_order, by_label)
    assert np.array_equal(by_order, as_labels)
    renamed = reader(class_names={"cat": "dog", "dog": "cat", "eel": "eel"}).fit(X, words)
    assert np.allclose(renamed.class_embeddings_, encode_prompts(Embedder(), ["dog", "cat", "eel"]))


def test_an_embedder_or_its_embeddings_are_the_same():
    V = Embedder().transform(X)
    words = {word: encode_prompts(Embedder(), [word])[0] for word in NOUNS + NAMES}
    given = WordNetRelaxedTeacher(class_names={i: words[name] for i, name in enumerate(NAMES)},
                                  nouns={noun: words[noun] for noun in NOUNS}, **TRAINING)
    assert np.allclose(given.fit(V, y).decision_function(V), reader().fit(X, y).decision_function(X),
                       atol=1e-4)


WORDNET = WordNetNouns()


@pytest.mark.parametrize("nouns", [None, WORDNET], ids=["default", "instance"])
def test_nouns_of_wordnet_but_the_class_names_and_their_synonyms(nouns):
    everything = WORDNET.candidates(exclude=NAMES)
    assert "domestic dog" not in everything
    # every cluster keeps all that went to it
    fitted = reader(nouns=nouns, templates="{}", max_epochs=0, nouns_per_cluster=len(everything))
    assert sorted(fitted.fit(X, y).nouns_) == everything


def test_candidates_that_were_not_chosen_are_not_carried_along():
    fitted = reader(nouns=None, templates="{}", max_epochs=1).fit(X, y)
    assert len(fitted.nouns_) == 30
    assert len(pickle.dumps(fitted)) < 1e6


def test_lengths_of_embeddings_do_not_matter():
    rng = np.random.default_rng(0)
    longer = {name: {key: vector * rng.uniform(0.1, 9) for key, vector in vectors(words).items()}
              for name, words in {"class_names": [0, 1, 2], "nouns": NOUNS}.items()}
    fitted = teacher(**longer).fit(X * rng.uniform(0.1, 9, size=(150, 1)), y)
    assert np.allclose(fitted.decision_function(X), teacher().fit(X, y).decision_function(X), atol=1e-3)
    assert np.allclose(fitted.text_inputs(X).X.norm(dim=1), 1, atol=1e-6)


# -------------------------------------------------------------------- bad input

@pytest.mark.parametrize("params, error, message", [
    ({"relaxed_proportion": -0.1}, ValueError, r"relaxed_proportion=-0.1 .* in \[0, 1\]"),
    ({"relaxed_proportion": 1.01}, ValueError, r"relaxed_proportion=1.01 .* in \[0, 1\]"),
    ({"relaxed_proportion": np.nan}, ValueError, "relaxed_proportion"),
    ({"relaxed_proportion": "half"}, TypeError, "relaxed_proportion='half'"),
    ({"relaxation": "wordnets"}, ValueError, "Did you mean 'wordnet'"),
    ({"lambda_hier": -1}, ValueError, "lambda_hier=-1"),
    ({"lambda_cosreg": np.inf}, ValueError, "lambda_cosreg=inf"),
    ({"nouns_per_cluster": 0}, ValueError, "nouns_per_cluster=0"),
    ({"use_image": False, "use_text": False}, ValueError, "use_image=False and use_text=False"),
    ({"class_names": None}, ValueError, r"class_names are missing: the labels \[0, 1, 2\]"),
    ({"class_names": {0: "cat", 2: "eel"}}, ValueError, r"no name for the labels \[1\]"),
    ({"class_names": ["cat", "dog"]}, ValueError, "2 names for 3 classes"),
    ({"class_names": ["cat", "dog", 3]}, TypeError, "3 is a int"),
    ({"exclude": "names and synonyms"}, ValueError, "exclude='names and synonyms'"),
    ({"text_temperature": 0}, ValueError, "text_temperature=0"),
    ({"text_temperature": "cold"}, TypeError, "text_temperature='cold'"),
    ({"templates": "tak"}, ValueError, "templates='tak'"),
    ({"nouns": NOUNS[:4]}, ValueError, "4 candidates, fewer than nouns_per_cluster=5"),
    ({"templates": ["a photo"]}, ValueError, "templates="),
    ({"templates": []}, ValueError, "templates="),
    ({"lr": "fast"}, TypeError, "lr='fast'"),
])
def test_bad_parameters_are_refused_before_any_work(params, error, message):
    with pytest.raises(error, match=message):
        reader(Untouched(), **params).fit(X, y)


@pytest.mark.parametrize("exclude", ["names", "synonyms"])
def test_synonyms_may_stand_in_for_class_names_where_only_names_are_excluded(exclude):
    wordnet = WordNetNouns()
    unfitted = reader(exclude=exclude, nouns=None)
    words = unfitted._candidates(["sneaker", "dog"])
    assert ("gym shoe" in words) == (exclude == "names")
    assert words == wordnet.candidates(exclude=["sneaker", "dog"], synonyms=exclude == "synonyms")
    assert "shoe" in words and not {"sneaker", "dog"} & set(words)


def test_class_names_that_wordnet_lacks_are_told_and_taken():
    few = {"nouns": WordNetNouns(), "templates": "{}", "max_epochs": 1}
    with pytest.warns(UserWarning, match="'Others' is no noun of WordNet, and no candidate is left out"), \
            pytest.warns(UserWarning, match="'buildings' is no noun of WordNet; 'building' is left out"):
        fitted = reader(class_names=["buildings", "Others", "sea"], **few).fit(X, y)
    by_name = encode_prompts(Embedder(), ["buildings", "Others", "sea"], "{}")
    assert np.array_equal(fitted.class_embeddings_, by_name)  # the classes keep their own names


class NoText(BaseEstimator):
    def transform(self, X):
        return X


class NoImages(BaseEstimator):
    encode_text = Embedder.encode_text


@pytest.mark.parametrize("embedder, message", [
    (NoText(), "has no encode_text"), (NoImages(), "has no transform")])
def test_what_is_no_embedder(embedder, message):
    with pytest.raises(TypeError, match=message):
        reader(embedder).fit(X, y)


class Returns(Embedder):
    def __init__(self, images):
        self.images = images

    def transform(self, X):
        return self.images


@pytest.mark.parametrize("images, message", [
    (np.ones((149, D)), r"shape \(149, 12\) for 150 samples"),
    (np.ones((150, D, 1)), r"shape \(150, 12, 1\)"),
    (np.full((150, D), np.nan), "not finite"),
    (np.random.default_rng(0).normal(size=(150, 7)), "12 dimensions and image embeddings 7"),
])
def test_what_an_embedder_must_not_return(images, message):
    with pytest.raises(ValueError, match=message):
        reader(Returns(images)).fit(X, y)


@pytest.mark.parametrize("params, error, message", [
    ({"nouns": None}, TypeError, "Without an embedder, nouns must be a dict"),
    ({"nouns": NOUNS}, TypeError, "Without an embedder, nouns must be a dict"),
    ({"class_names": NAMES}, TypeError, "Without an embedder, class_names must be a dict"),
    ({"nouns": {}}, ValueError, "0 candidates"),
    ({"class_names": {0: np.ones(D), 1: np.ones(7), 2: np.ones(D)}}, ValueError, "of one length"),
    ({"class_names": {0: "cat", 1: "dog", 2: "eel"}}, ValueError, "vectors"),
    ({"class_names": {0: np.ones(D), 1: np.zeros(D), 2: np.ones(D)}}, ValueError, "none of them zero"),
    ({"nouns": {**vectors(NOUNS), "nan": np.full(D, np.nan)}}, ValueError, "nouns must map to finite"),
    ({"class_names": {i: np.ones(7) for i in range(3)}}, ValueError, "7 dimensions and image"),
    ({"nouns": {noun: np.ones(7) for noun in NOUNS}}, ValueError, "7 dimensions"),
    ({"n_clusters": 151}, ValueError, "n_clusters=151"),
])
def test_bad_embeddings_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        teacher(**params).fit(X, y)


@pytest.mark.parametrize("samples, labels, message", [
    (np.where(np.arange(D) == 3, np.nan, X), y, "NaN"),
    (np.where(np.arange(D) == 3, np.inf, X), y, "infinity"),
    (X, np.zeros(150, dtype=int), "one class"),
    (X, y[:149], "inconsistent numbers of samples"),
    (X, None, "requires y"),
])
@pytest.mark.parametrize("make", [teacher, lambda: reader(Untouched())])
def test_bad_data_are_refused_before_any_work(samples, labels, message, make):
    with pytest.raises(ValueError, match=message):
        make().fit(samples, labels)


def test_images_need_an_embedder():
    with pytest.raises(ValueError, match=r"X must hold image embeddings \(n, d\); it holds a image"):
        teacher().fit(np.zeros((150, 8, 8, 3)), y)


def test_labels_of_another_length_or_kind():
    fitted = teacher(relaxed_proportion=0.5).fit(X, y)
    for use in (fitted.teaching_logits, fitted.score_with_labels, fitted.text_inputs):
        for length in (1, 149):
            with pytest.raises(ValueError, match="inconsistent numbers of samples"):
                use(X, y[:length])
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            use(X[:149], y)
        with pytest.raises(ValueError, match="the label 7, which is none of the classes"):
            use(X, np.where(y == 1, 7, y))


def test_it_has_to_be_fitted():
    for use in (teacher().predict, teacher().noun_of, teacher().teaching_logits, teacher().text_inputs,
                lambda X: teacher().score_with_labels(X, y), lambda X: teacher().teaching_logits(X, y),
                lambda X: teacher().text_drift_):
        with pytest.raises(NotFittedError):
            use(X)


# -------------------------------------------------------------------- as a teacher

def test_the_feature_bank_and_the_head():
    fitted = teacher(relaxed_proportion=0.5).fit(X, y)
    assert np.array_equal(fitted.feature_bank_, fitted.encode(X))
    assert np.array_equal(fitted.feature_bank_labels_, y)
    with torch.inference_mode():
        logits = fitted.head_(torch.from_numpy(fitted.feature_bank_)).numpy()
    assert np.allclose(logits, fitted.decision_function(X), atol=1e-5)


def test_it_needs_labels_only_where_it_reads_nothing_else():
    assert teacher(relaxed_proportion=0).needs_labels_to_teach
    assert not teacher(relaxed_proportion=0.01).needs_labels_to_teach
    assert not teacher(relaxed_proportion=0, use_text=False).needs_labels_to_teach


@pytest.mark.parametrize("unlabelled", [
    np.where(np.arange(150) < 50, -1, y),
    np.where(np.arange(150) < 50, None, np.array(NAMES, dtype=object)[y])], ids=["-1", "None"])
def test_it_teaches_where_there_are_no_labels_if_it_read_some_relaxed_text(unlabelled):
    names = dict(zip([*NAMES, 0, 1, 2], NAMES * 2, strict=True))
    leaky = reader(Untouched(), relaxed_proportion=0, class_names=names)
    student = MultiTeacherDistiller([("wordnet", leaky)], max_epochs=2, random_state=0, device="cpu")
    with pytest.raises(ValueError, match="'wordnet' only reads class names"):
        student.fit(X, unlabelled)
    student.set_params(wordnet__relaxed_proportion=0.5, wordnet__embedder=Embedder()).fit(X, unlabelled)
    taught = student.named_teachers_.wordnet
    assert len(taught.feature_bank_) == 100
    assert np.allclose(student.teacher_logits_[:50], taught.decision_function(X)[:50], atol=1e-5)
    assert np.array_equal(student.teacher_logits_, taught.teaching_logits(X, unlabelled))


def test_a_fitted_teacher_that_needs_labels_is_refused_too():
    leaky = FrozenEstimator(teacher(relaxed_proportion=0).fit(X, y))
    student = MultiTeacherDistiller([("wordnet", leaky)], max_epochs=1, device="cpu")
    with pytest.raises(ValueError, match="'wordnet' only reads class names"):
        student.fit(X, np.where(np.arange(150) < 50, -1, y))
    assert np.array_equal(student.fit(X, y).teacher_logits_, leaky.estimator.teaching_logits(X, y))


def test_a_grid_search_fits_a_teacher_once_a_setting_and_fold(tmp_path, monkeypatch):
    fits, fit = [], WordNetRelaxedTeacher.fit

    def counted(self, X, y):
        fits.append(self.relaxed_proportion)
        return fit(self, X, y)

    monkeypatch.setattr(WordNetRelaxedTeacher, "fit", counted)
    student = MultiTeacherDistiller([("wordnet", reader(max_epochs=1))], memory=str(tmp_path),
                                    max_epochs=1, random_state=0, device="cpu")
    search = GridSearchCV(student, {"wordnet__relaxed_proportion": [0, 0.5, 1],
                                    "lambda_kd": [0.5, 1, 2]}, cv=2, refit=False).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert sorted(fits) == [0, 0, 0.5, 0.5, 1, 1]


# -------------------------------------------------------------------- as an estimator

def test_two_runs_are_the_same_and_leave_the_global_states_alone():
    np.random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    one, other = teacher(relaxed_proportion=0.5).fit(X, y), teacher(relaxed_proportion=0.5).fit(X, y)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())
    assert np.array_equal(one.decision_function(X), other.decision_function(X))
    assert np.array_equal(one.noun_embeddings_, other.noun_embeddings_)


@pytest.mark.parametrize("make", [teacher, reader])
def test_pickles_and_clones(make):
    fitted = make(relaxed_proportion=0.5).fit(X, y)
    before = joblib.hash(fitted)
    restored = pickle.loads(pickle.dumps(fitted))
    for use in ("decision_function", "noun_of", "encode"):
        assert np.array_equal(getattr(restored, use)(X), getattr(fitted, use)(X))
    assert np.array_equal(restored.teaching_logits(X, y), fitted.teaching_logits(X, y))
    assert joblib.hash(fitted) == before
    again = clone(fitted)
    assert not hasattr(again, "classes_")
    assert np.array_equal(again.fit(X, y).decision_function(X), fitted.decision_function(X))


def test_warm_start_goes_on_with_the_same_nouns():
    fitted = teacher(warm_start=True, random_state=None, max_epochs=3).fit(X, y)
    nouns, assigned, before = fitted.nouns_.copy(), fitted.noun_of(X), fitted.noun_embeddings_.copy()
    fitted.fit(X[::-1], y[::-1])
    assert np.array_equal(fitted.nouns_, nouns) and np.array_equal(fitted.noun_of(X), assigned)
    assert len(fitted.history_) == 6
    assert not np.array_equal(fitted.noun_embeddings_, before)
    assert np.allclose(fitted.net_.module_.text.pretrained, fitted.relaxer_.noun_embeddings_)


def test_one_modality_of_several():
    both = SliceDict(image=X, sound=X_blind[:150, :3])
    plain = reader().fit(X, y)
    fitted = reader(modality="image").fit(both, y)
    assert np.array_equal(fitted.decision_function(both), plain.decision_function(X))
    assert np.array_equal(fitted.teaching_logits(both, y), plain.teaching_logits(X, y))
    assert np.isfinite(cross_val_score(reader(modality="image", max_epochs=1), both, y, cv=2)).all()
    with pytest.raises(ValueError, match="modality"):
        reader().fit(both, y)


def test_images_go_to_the_embedder_as_they_are():
    images = np.random.default_rng(0).integers(256, size=(30, 5, 4, 3), dtype=np.uint8)

    class Looks(Embedder):
        def transform(self, X):
            assert X.dtype == np.uint8 and X.shape[1:] == (5, 4, 3)
            return super().transform(X)

    fitted = reader(Looks(), max_epochs=1).fit(images, np.arange(30) % 3)
    assert fitted.predict(images).shape == (30,)


def test_a_module_of_the_users():
    fitted = teacher(module=nn.Linear(2 * D, 3)).fit(X, y)
    assert np.array_equal(fitted.encode(X)[:, :D], fitted.text_inputs(X).X.numpy())
    assert teacher(use_image=False, module=nn.Linear, module__in_features=D,
                   module__out_features=3).fit(X, y).encode(X).shape == (150, D)


def test_early_stopping_leaves_the_validation_split_its_text():
    fitted = teacher(early_stopping=True, max_epochs=4, relaxed_proportion=0.5).fit(X, y)
    assert "valid_hier_loss" in fitted.history_[-1]
    assert fitted.score(X, y) > 0.5


class AnyName(dict):
    """The checks choose the labels."""

    def __contains__(self, label):
        return True

    def __missing__(self, label):
        return f"class {label}"


CHECKED = {"class_names": AnyName(), "nouns": NOUNS[:6], "nouns_per_cluster": 3, "n_clusters": 2, "max_epochs": 8, "lr": 0.03,
           "random_state": 0, "device": "cpu"}


@parametrize_with_checks([WordNetRelaxedTeacher(Embedder(), **CHECKED),
                          WordNetRelaxedTeacher(Embedder(), relaxation="noise", **CHECKED)])
def test_scikit_learns_checks(estimator, check):
    try:
        check(estimator)
    except AssertionError:
        if check.func.__name__ != "check_sample_weight_equivalence_on_dense_data":
            raise
        # the choice of nouns counts every sample once; and on some processors float32 has not seven digits
        pytest.xfail("It asks for equal predictions to seven digits.")
