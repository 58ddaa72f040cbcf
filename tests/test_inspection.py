"""Label leakage and modality attribution: against definitions, linear networks and drawn bars."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Bunch
from torch import nn

from cmkdlearn.inspection import (
    BoundDisplay,
    LabelLeakageDisplay,
    ModalityAttributionDisplay,
    label_leakage,
    modality_attribution,
)
from cmkdlearn.teachers import UnimodalTeacher, WordNetRelaxedTeacher

D = 6
rng = np.random.default_rng(0)
y = rng.integers(3, size=120)
centres = rng.normal(size=(3, D))
X = (centres[y] + 0.7 * rng.normal(size=(120, D))).astype(np.float32)


def teacher(**params):
    draw = np.random.default_rng(1)
    return WordNetRelaxedTeacher(**{
        "class_names": dict(enumerate(draw.normal(size=(3, D)))),
        "nouns": {f"noun {i}": draw.normal(size=D) for i in range(20)}, "n_clusters": 3,
        "relaxed_proportion": 0.5, "max_epochs": 5, "lr": 0.01, "device": "cpu", "random_state": 0,
        **params}).fit(X, y)


MIXED, RELAXED = teacher(), teacher(relaxed_proportion=1)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# -------------------------------------------------------------------- label leakage

def test_leakage_is_the_difference_of_the_scores():
    leak = label_leakage(MIXED, X, y)
    assert leak.with_labels == MIXED.score_with_labels(X, y)
    assert leak.label_free == MIXED.score(X, y)
    assert leak.leakage == leak.with_labels - leak.label_free > 0
    assert label_leakage(RELAXED, X, y).leakage == 0


def test_who_reads_no_label_leaks_none():
    for blind in (UnimodalTeacher(max_epochs=1).fit(X, y), LogisticRegression().fit(X, y)):
        with pytest.raises(TypeError, match="has no score_with_labels"):
            label_leakage(blind, X, y)


def test_a_missing_package_is_named_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[interpret\]"'):
        modality_attribution(MIXED, X)


@pytest.mark.parametrize("inspect", [label_leakage, modality_attribution])
def test_a_teacher_has_to_be_fitted(inspect):
    with pytest.raises(NotFittedError):
        inspect(WordNetRelaxedTeacher(), X, y)


def heights(ax):
    return [[bar.get_height() for bar in bars] for bars in ax.containers]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_leakage_is_drawn():
    display = LabelLeakageDisplay.from_estimator({"mixed": MIXED, "relaxed": RELAXED}, X, y)
    expected = [label_leakage(MIXED, X, y), label_leakage(RELAXED, X, y)]
    assert heights(display.ax_) == [[leak.with_labels for leak in expected],
                                    [leak.label_free for leak in expected]]
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["mixed", "relaxed"]
    assert texts(display.ax_) == [f"{leak[key]:.2f}" for key in ("with_labels", "label_free")
                                  for leak in expected]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] \
        == ["shown the labels' text", "label-free"]
    assert display.figure_ is display.ax_.figure
    assert display.leakages["mixed"] == expected[0]


def test_leakage_is_drawn_into_given_axes_from_one_teacher_or_predictions():
    _, ax = plt.subplots()
    display = LabelLeakageDisplay.from_estimator(MIXED, X, y, ax=ax)
    assert display.ax_ is ax
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["WordNetRelaxedTeacher"]
    display = LabelLeakageDisplay.from_predictions(["a", "b", "a", "b"], ["a", "b", "a", "a"],
                                                   ["b", "a", "a", "a"], name="T_x")
    assert heights(display.ax_) == [[0.75], [0.25]]
    assert display.leakages["T_x"] == {"with_labels": 0.75, "label_free": 0.25, "leakage": 0.5}
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LabelLeakageDisplay.from_predictions([0, 1], [0, 1], [0])


# -------------------------------------------------------------------- modality attribution

@pytest.mark.parametrize("labels", [None, y], ids=["relaxed", "shown"])
def test_attributions_make_up_the_logit(labels):
    found = modality_attribution(MIXED, X, labels, n_steps=200)
    logits = MIXED.teaching_logits(X, labels)
    with torch.inference_mode():
        baseline = MIXED.net_.module_.classifier(torch.zeros(1, 2 * D)).logits[0].numpy()
    winners = logits.argmax(axis=1)
    difference = logits[np.arange(120), winners] - baseline[winners]
    assert found.image.shape == found.text.shape == found.delta.shape == (120,)
    assert np.allclose(found.image + found.text, difference + found.delta, atol=1e-4)
    assert abs(found.delta).max() < 0.02 * abs(difference).max()


@pytest.mark.parametrize("labels", [None, y], ids=["relaxed", "shown"])
def test_a_linear_teachers_attributions_are_weight_times_input(labels):
    # a network of the user's reads the embeddings as they are
    linear = teacher(module=nn.Linear(2 * D, 3))
    found = modality_attribution(linear, X, labels, n_steps=3)
    with torch.inference_mode():
        inputs = linear.net_.module_.inputs(linear.text_inputs(X, labels)).numpy()
    winners = linear.teaching_logits(X, labels).argmax(axis=1)
    products = linear.head_.weight.detach().numpy()[winners] * inputs
    image, text = products[:, :D].sum(axis=1), products[:, D:].sum(axis=1)
    assert np.allclose(found.image, image, atol=1e-5)
    assert np.allclose(found.text, text, atol=1e-5)
    shares = np.abs(image) / (np.abs(image) + np.abs(text))
    assert found.image_share == pytest.approx(shares.mean(), abs=1e-5)
    assert np.allclose(found.delta, 0, atol=1e-5)


def test_shares_add_to_one_and_follow_what_the_teacher_reads():
    found = modality_attribution(MIXED, X)
    assert 0 < found.image_share < 1
    assert found.image_share + found.text_share == pytest.approx(1)
    blind = teacher(module=nn.Linear(2 * D, 3), max_epochs=0)
    blind.head_.weight.data[:, :D] = 0  # reads no image
    found = modality_attribution(blind, X)
    assert found.text_share == 1 and not found.image.any()


def test_attribution_neither_depends_on_the_company_nor_changes_the_teacher():
    before, gradient = MIXED.decision_function(X), MIXED.net_.module_.text.nouns.grad.clone()
    found = modality_attribution(MIXED, X)
    few = modality_attribution(MIXED, X[:1])
    assert few.image == pytest.approx(found.image[:1], abs=1e-5)
    assert np.array_equal(MIXED.decision_function(X), before)
    assert torch.equal(MIXED.net_.module_.text.nouns.grad, gradient)


@pytest.mark.parametrize("params", [{"use_image": False}, {"use_text": False}])
def test_one_modality_has_nothing_to_compare(params):
    with pytest.raises(ValueError, match="reads one modality"):
        modality_attribution(teacher(**params), X)


def test_what_attribution_refuses():
    with pytest.raises(ValueError, match="UnimodalTeacher reads one modality"):
        modality_attribution(UnimodalTeacher(max_epochs=1).fit(X, y), X)
    with pytest.raises(ValueError, match="n_steps=0"):
        modality_attribution(MIXED, X, n_steps=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        modality_attribution(MIXED, X, y[:7])


def test_attributions_are_drawn():
    display = ModalityAttributionDisplay.from_estimator({"mixed": MIXED, "relaxed": RELAXED}, X,
                                                        n_steps=5)
    found = [modality_attribution(t, X, n_steps=5) for t in (MIXED, RELAXED)]
    image, text = ([part[key] for part in found] for key in ("image_share", "text_share"))
    assert np.allclose(heights(display.ax_), [image, text])
    assert np.allclose([bar.get_y() for bar in display.ax_.containers[1]], image)  # stacked
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == ["mixed", "relaxed"]
    assert texts(display.ax_) == [f"{share:.2f}" for share in image + text]
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["image", "text"]
    _, ax = plt.subplots()
    given = ModalityAttributionDisplay({"T_x": Bunch(image_share=0.25, text_share=0.75)}).plot(ax=ax)
    assert given.ax_ is ax and given.figure_ is ax.figure
    assert heights(ax) == [[0.25], [0.75]]


def test_bound_display_stacks_the_terms():
    bounds = {"one": Bunch(teacher_error=0.3, feature_alignment=0.2, label_alignment=-0.1, student_error=0.4),
              "two": Bunch(teacher_error=0.3, feature_alignment=0.1, label_alignment=0.2, student_error=0.5,
                           deviation=0.05)}
    display = BoundDisplay(bounds).plot()
    assert sum(bar.get_height() for bar in display.ax_.patches) == pytest.approx(1.05)
    errors, tops = display.ax_.lines
    np.testing.assert_allclose(errors.get_ydata(), [0.4, 0.5])
    np.testing.assert_allclose(tops.get_ydata(), [0.4, 0.65])
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["one", "two"]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == [
        "student's error", "bound", "teacher's error", "FA", "LA", "deviation"]
