"""FusionClassifier: its loss by hand, who teaches, and what one modality alone can say."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from skorch.helper import SliceDict

from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import FusionClassifier

X, y = load_digits(return_X_y=True)
X, y = X[:240], y[:240]
X = {"upper": X[:, :32].copy(), "lower": X[:, 32:].copy()}
NAMES = np.array(list("abcdefghij"))[y]
BOTH = ("upper", "lower")


def fusion(**params):
    return FusionClassifier(**{"modalities": BOTH, "max_epochs": 3, "module__hidden": (8,), "lr": 0.01,
                               "device": "cpu", "random_state": 0, **params})


@pytest.mark.parametrize("teacher", [None, "upper", "lower"])
def test_the_loss_by_hand(teacher):
    alpha, tau = 0.3, 2.0
    fitted = fusion(teacher_modality=teacher, alpha=alpha, temperature=tau, lr=0, max_epochs=1,
                    batch_size=-1).fit(X, y)
    module = fitted.net_.module_.eval()
    with torch.no_grad():
        fused = module(*(torch.tensor(X[name], dtype=torch.float32) for name in BOTH))
    z = {"fusion": fused.logits, **{name: head.logits for name, head in zip(BOTH, fused.heads, strict=True)}}
    z = {name: logits.numpy().astype(float) for name, logits in z.items()}
    ce = {name: -log_softmax(logits, axis=1)[np.arange(240), y].mean() for name, logits in z.items()}
    row = fitted.history_[0]
    for name in BOTH:
        assert row[f"train_head_{name}_loss"] == pytest.approx(ce[name], rel=1e-5)
    if teacher is None:
        expected = sum(ce.values())
        assert "train_kd_loss" not in row
    else:
        (student,) = set(BOTH) - {teacher}
        log_p, log_q = (log_softmax(z[name] / tau, axis=1) for name in (teacher, student))
        divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
        assert row["train_kd_loss"] == pytest.approx(tau**2 * divergence, rel=1e-4)
        expected = (ce["fusion"] + ce[teacher] + alpha * ce[student]
                    + (1 - alpha) * tau**2 * divergence)
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("names", [y, NAMES.astype(object)])
def test_unlabelled_samples_carry_what_one_modality_tells_the_other_only(names):
    known = np.arange(240) % 3 == 0
    partly = np.where(known, names, -1 if names is y else None)
    of_all, of_known = (fusion(teacher_modality="upper", lr=0, max_epochs=1, batch_size=-1).fit(X, labels)
                        for labels in (names, partly))
    with torch.no_grad():
        fused = of_known.net_.module_.eval()(*(torch.tensor(X[name], dtype=torch.float32) for name in BOTH))
    for name, logits in (("fusion", fused.logits), ("head_upper", fused.heads[0].logits)):
        ce = torch.nn.functional.cross_entropy(logits[known], torch.tensor(y[known])).item()
        assert of_known.history_[0][f"train_{name}_loss"] == pytest.approx(ce, rel=1e-5)
    assert of_known.history_[0]["train_kd_loss"] == pytest.approx(of_all.history_[0]["train_kd_loss"], rel=1e-6)


def test_who_teaches_is_chosen_by_labelled_samples():
    partly = np.where(np.arange(240) < 160, y, -1)
    selector = CCHSelector(student=None, n_repeats=2, random_state=0, network=None)
    chosen = fusion(teacher_modality="auto", selector=selector, max_epochs=1).fit(X, partly)
    known = fusion(teacher_modality="auto", selector=selector, max_epochs=1).fit(
        {name: part[:160] for name, part in X.items()}, y[:160])
    for name in BOTH:
        assert chosen.selectors_[name].evidence_ == known.selectors_[name].evidence_


def test_the_student_does_not_move_the_teacher():
    """With labels alone for the teacher's branch, distillation leaves its gradient as it was."""
    steps = {}
    for alpha in (0.0, 1.0):
        fitted = fusion(teacher_modality="upper", alpha=alpha, max_epochs=1, batch_size=-1,
                        optimizer=torch.optim.SGD).fit(X, y)
        steps[alpha] = [part.detach().clone() for part in fitted.net_.module_.branches.parameters()]
    half = len(steps[0.0]) // 2
    for a, b in zip(steps[0.0][:half], steps[1.0][:half], strict=True):
        assert torch.equal(a, b)
    assert not all(map(torch.equal, steps[0.0][half:], steps[1.0][half:]))


def test_alpha_one_is_no_teacher():
    plain, taught = fusion().fit(X, y), fusion(teacher_modality="upper", alpha=1.0).fit(X, y)
    np.testing.assert_allclose(plain.predict_proba(X), taught.predict_proba(X), rtol=1e-5)


def test_each_head_alone():
    fitted = fusion(max_epochs=40).fit(X, NAMES)
    for name in BOTH:
        alone = fitted.predict_from(X[name], name)
        np.testing.assert_array_equal(alone, fitted.predict_from(X, name))
        assert np.mean(alone == NAMES) > 0.8
    garbled = {**X, "lower": np.zeros_like(X["lower"])}
    np.testing.assert_array_equal(fitted.predict_from(garbled, "upper"), fitted.predict_from(X, "upper"))
    assert not np.array_equal(fitted.predict(garbled), fitted.predict(X))
    assert fitted.encode(X).shape == (240, 16)


def test_auto_asks_in_both_directions():
    rng = np.random.default_rng(0)
    asked = CCHSelector(student=None, criterion="teacher_label", n_repeats=2, random_state=0, mi_estimator="ksg")
    poor = {"good": X["upper"], "poor": X["upper"][:, :12] + 4 * rng.normal(size=(240, 12))}
    fitted = fusion(modalities=("poor", "good"), teacher_modality="auto", selector=asked, max_epochs=15)
    fitted.fit(poor, y)
    assert set(fitted.selectors_) == {"poor", "good"}
    assert fitted.teacher_modality_ == "good"
    assert fitted.selectors_["poor"].worthwhile_["good"] and not fitted.selectors_["good"].worthwhile_["poor"]
    assert "train_kd_loss" in fitted.history_[0]


def test_auto_may_choose_nobody():
    noise = {"a": np.random.default_rng(0).normal(size=(240, 5)), "b": X["upper"]}
    fitted = fusion(modalities=("a", "b"), teacher_modality="auto").fit(noise, y)
    assert fitted.teacher_modality_ is None
    assert "train_kd_loss" not in fitted.history_[0]


def test_a_table_and_a_dict_are_the_same():
    plain = fusion().fit(X, NAMES).predict_proba(X)
    table = np.hstack([X["upper"], X["lower"]])
    columns = {"upper": slice(32), "lower": slice(32, 64)}
    np.testing.assert_array_equal(fusion(modalities=columns).fit(table, NAMES).predict_proba(table), plain)
    frame = pd.DataFrame(table, columns=[f"p{i}" for i in range(64)])
    by_name = {"upper": list(frame)[:32], "lower": list(frame)[32:]}
    named = fusion(modalities=by_name).fit(frame, NAMES)
    np.testing.assert_array_equal(named.predict_proba(frame), plain)
    np.testing.assert_array_equal(named.predict_from(frame, "upper"),
                                  fusion().fit(X, NAMES).predict_from(X, "upper"))


def test_modalities_of_different_kinds():
    mixed = {"image": (16 * X["upper"].reshape(240, 4, 8)).astype(np.uint8), "table": X["lower"]}
    fitted = FusionClassifier(modalities=("image", "table"), max_epochs=1, batch_size=64, device="cpu",
                              random_state=0).fit(SliceDict(**mixed), y)
    assert fitted.encode(mixed).shape == (240, 512 + 256)


def test_copies_and_cross_validation():
    fitted = fusion(teacher_modality="upper").fit(X, NAMES)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert clone(fitted).get_params()["modalities"] is not None
    assert len(cross_val_score(fusion(), SliceDict(**X), NAMES, cv=2, error_score="raise")) == 2


@pytest.mark.parametrize(("params", "message"), [
    ({"modalities": ("upper",)}, "two different modalities"),
    ({"modalities": ("upper", "upper")}, "two different modalities"),
    ({"modalities": "up"}, "two different modalities"),
    ({"modalities": ("upper", "lowr")}, "Did you mean 'lower'"),
    ({"teacher_modality": "uper"}, "Did you mean 'upper'"),
    ({"alpha": 1.5}, r"alpha=1.5 .*\[0, 1\]"),
    ({"temperature": 0}, "temperature=0"),
])
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        fusion(**params).fit(X, y)


def test_bad_input():
    with pytest.raises(ValueError, match="inconsistent"):
        fusion().fit({**X, "lower": X["lower"][:-1]}, y)
    with pytest.raises(ValueError, match="Did you mean 'upper'"):
        fusion().fit(X, y).predict_from(X, "uper")
    with pytest.raises(ValueError, match="NaN"):
        fusion().fit({**X, "lower": X["lower"] * np.nan}, y)


def test_networks_without_a_head_cannot_be_fused():
    softened = torch.nn.Sequential(torch.nn.Linear(32, 10), torch.nn.Softplus())
    with pytest.raises(ValueError, match="no features to fuse"):
        FusionClassifier(modalities=BOTH, module=softened, device="cpu").fit(X, y)
