"""LFME, FFKD and DMAE: their losses by hand, what is trained and what is left alone."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from skorch.helper import SliceDict
from torch import nn

from cmkdlearn.students import DMAEDistiller, FFKDDistiller, LFMEDistiller, MultiTeacherDistiller
from cmkdlearn.students._dmae import MaskedAutoencoder, _patch_size, _standardised_patches, tokens
from cmkdlearn.students._lfme import _groups, _Pace
from cmkdlearn.teachers import TeacherEnsemble, UnimodalTeacher

X, y = make_classification(120, 6, n_informative=5, n_redundant=0, n_classes=5, weights=[0.4, 0.3, 0.1, 0.1],
                           flip_y=0, random_state=0)
X = X.astype(np.float32)
IMAGES = np.random.default_rng(0).integers(256, size=(40, 8, 8), dtype=np.uint8)
labels = np.arange(40) % 3
training = {"max_epochs": 2, "module__hidden": (8,), "lr": 0.01, "device": "cpu", "random_state": 0}
vit = {"module__embed_dim": 12, "module__depth": 4, "module__num_heads": 2, "lr": 0.01, "device": "cpu",
       "random_state": 0, "batch_size": 20}
still = {"lr": 0, "optimizer__weight_decay": 0, "batch_size": -1}


def weights(estimator):
    return torch.cat([p.detach().flatten() for p in estimator.net_.module_.parameters()])


def kl(p, q):
    return float((p * (np.log(p) - np.log(q))).sum())


@pytest.mark.parametrize("student", [
    LFMEDistiller(**training), LFMEDistiller(expert=GaussianNB(), **training),
    FFKDDistiller(**training), FFKDDistiller(UnimodalTeacher(**training), **training),
])
def test_it_repeats_itself_and_survives_pickling(student):
    first, second = (clone(student).fit(X, y) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(X), first.predict_proba(X))
    assert first.n_features_in_ == 6 and first.encode(X).shape == (120, 8)
    search = GridSearchCV(student, {"lambda_kd": [0, 1]}, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -------------------------------------------------------------------- lfme

@pytest.mark.parametrize(("counts", "expected"), [
    ([5, 30, 200, 5, 30, 200], [[0, 3], [1, 4], [2, 5]]),
    ([5, 30, 200, 30, 200], [[0, 1, 3], [2, 4]]),  # a single rare class joins the next
    ([5, 5, 30, 200, 200], [[0, 1, 2], [3, 4]]),
    ([30, 30, 200], [[0, 1, 2]]),
    ([5, 30, 200], [[0, 1, 2]]),
    ([50, 50], [[0, 1]]),
    ([19, 20, 100, 101, 19, 101], [[0, 4], [1, 2], [3, 5]]),
])
def test_groups_of_shots(counts, expected):
    assert [group.tolist() for group in _groups(np.array(counts), 20, 100)] == expected


def test_experts_know_their_own_classes():
    fitted = LFMEDistiller(expert=GaussianNB(), shots=(15, 30), **training).fit(X, y)
    sizes = np.bincount(y)
    assert sorted(np.concatenate(fitted.groups_)) == [0, 1, 2, 3, 4]
    assert len(fitted.experts_) == len(fitted.groups_) > 1
    for group, expert in zip(fitted.groups_, fitted.experts_, strict=True):
        own = np.isin(y, group)
        np.testing.assert_allclose(expert.estimator.theta_, GaussianNB().fit(X[own], y[own]).theta_)
    assert sizes[fitted.groups_[0]].max() <= sizes[fitted.groups_[-1]].min()


def test_experts_have_the_users_network():
    class Net(nn.Sequential):
        def __init__(self, n_classes=10):
            super().__init__(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, n_classes))

    student = LFMEDistiller(Net, shots=(15, 30), max_epochs=1, random_state=0, device="cpu").fit(X, y)
    assert [expert.head_.out_features for expert in student.experts_] == [len(g) for g in student.groups_]


def test_lfmes_loss_by_hand():
    names = np.array(list("abcde"))[y]
    fitted = LFMEDistiller(expert=GaussianNB(), shots=(15, 30), lambda_kd=0.7, temperature=2.0,
                           **{**training, **still, "max_epochs": 3}).fit(X, names)
    z = fitted._run(X).logits.astype(float)
    codes, counts = y, np.bincount(y)
    groups = [np.flatnonzero(np.isin(fitted.classes_, group)) for group in fitted.groups_]
    kd, ease, experts_right, right = [], np.zeros(120), [], []
    for group, expert in zip(groups, fitted.experts_, strict=True):
        z_e = expert.teaching_logits(X).astype(float)
        kd.append(4 * np.mean([kl(softmax(a / 2), softmax(b[group] / 2)) for a, b in zip(z_e, z, strict=True)]))
        for i in np.flatnonzero(np.isin(codes, group)):
            p = softmax(z_e[i])[list(group).index(codes[i])]
            ease[i] = p * counts[groups[0]].mean() / counts[group].mean()
        own = np.isin(codes, group)
        experts_right.append(np.mean(group[z_e[own].argmax(1)] == codes[own]))
        right.append(np.mean(z[own].argmax(1) == codes[own]))
    ce = -log_softmax(z, axis=1)[np.arange(120), codes]
    # accuracies of the epoch before, 1 where none has been
    share = np.clip((1 - np.array(right) / experts_right) / (1 - 0.6), 0, 1)
    np.testing.assert_allclose(fitted.expert_weights_, [np.ones(len(groups)), share, share], rtol=1e-5)
    for epoch, w in enumerate(fitted.expert_weights_):
        v = ease + (1 - ease) * epoch / 2
        row = fitted.history_[epoch]
        assert row["train_ce_loss"] == pytest.approx(np.mean(v * ce), rel=1e-4)
        assert row["train_kd_loss"] == pytest.approx(w @ kd, rel=1e-4)
        assert row["train_loss"] == pytest.approx(np.mean(v * ce) + 0.7 * (w @ kd), rel=1e-4)


def test_an_expert_falls_silent_as_the_student_catches_up():
    pace = _Pace([torch.tensor([0, 1])], [0.8], 2, 0.5)
    y = torch.zeros(10, dtype=torch.long)
    for epoch, right in enumerate([0, 4, 6, 8, 9, 0]):
        logits = torch.tensor([[1.0, 0]] * right + [[0, 1.0]] * (10 - right))
        pace.observe(epoch, logits[:5], y[:5])
        pace.observe(epoch, logits[5:], y[5:])
    # 1 below half of the expert's 0.8, then (0.8 - a) / (0.8 * 0.5), and never below 0
    assert [w[0] for w in pace.weights] == pytest.approx([1, 1, 1, 0.5, 0, 0], abs=1e-6)


@pytest.mark.parametrize(("params", "message"), [
    ({"shots": (100, 20)}, r"shots=\(100, 20\) must be two counts"), ({"shots": 20}, "shots=20 must be"),
    ({"shots": (0.5, 1.5)}, "must be two counts"), ({"alpha": 1.0}, "alpha=1.0"), ({"temperature": 0}, "temperature=0"),
    ({"lambda_kd": -1}, "lambda_kd=-1"),
])
def test_lfme_parameters_that_cannot_be(params, message):
    with pytest.raises(ValueError, match=message):
        LFMEDistiller(**training, **params).fit(X, y)


def test_lfme_reads_modalities():
    data = SliceDict(a=X[:, :3], b=X)
    student = LFMEDistiller(modality="a", expert=UnimodalTeacher(modality="b", **training), **training).fit(data, y)
    assert student.predict(data["a"]).shape == (120,)


# -------------------------------------------------------------------- ffkd

def test_ffkds_loss_by_hand():
    teacher = UnimodalTeacher(**{**training, "module__hidden": (16,)}).fit(X, y)
    params = {**training, **still, "max_epochs": 1}
    fitted = FFKDDistiller(FrozenEstimator(teacher), lambda_kd=0.7, lambda_feedback=1.3, temperature=2.0,
                           **params).fit(X, np.where(np.arange(120) % 2, y, -1))
    s, t = fitted._run(X).logits.astype(float), teacher.teaching_logits(X).astype(float)
    known = np.flatnonzero(np.arange(120) % 2)
    ce, teacher_ce = (-log_softmax(z, axis=1)[known, y[known]].mean() for z in (s, t))
    forward = [kl(softmax(b / 2), softmax(a / 2)) for a, b in zip(s, t, strict=True)]
    backward = [kl(softmax(a / 2), softmax(b / 2)) for a, b in zip(s, t, strict=True)]
    kd = 4 * np.mean(forward)
    feedback = 4 * np.mean((1 - np.exp(-np.array(forward))) * backward)
    row = fitted.history_[0]
    for name, value in {"ce_loss": ce, "kd_loss": kd, "teacher_ce_loss": teacher_ce, "feedback_loss": feedback,
                        "loss": ce + 0.7 * kd + teacher_ce + 1.3 * feedback}.items():
        assert row[f"train_{name}"] == pytest.approx(value, rel=1e-4)


def test_the_copy_of_a_frozen_teacher_learns():
    teacher = UnimodalTeacher(**training).fit(X, y)
    before = weights(teacher).clone()
    fitted = FFKDDistiller(FrozenEstimator(teacher), **training).fit(X, y)
    assert torch.equal(weights(teacher), before) and not torch.equal(weights(fitted.teacher_), before)
    assert hasattr(teacher, "feature_bank_") and not hasattr(fitted.teacher_, "feature_bank_")
    assert fitted.teacher_.predict(X).shape == (120,)
    assert sum(p.numel() for p in fitted.net_.module_.parameters()) == 6 * 8 + 8 + 8 * 5 + 5


def test_neither_gradient_crosses_over():
    """With no weight on what comes from the other, each learns alone."""
    teacher = UnimodalTeacher(**training).fit(X, y)
    both = FFKDDistiller(FrozenEstimator(teacher), lambda_kd=0, lambda_feedback=5, **training).fit(X, y)
    assert torch.equal(weights(both), weights(MultiTeacherDistiller(**training).fit(X, y)))
    # forward distillation and feedback do not change each other's side within a step
    one = {**training, "max_epochs": 1, "batch_size": -1, "optimizer": torch.optim.SGD}
    a, b = (FFKDDistiller(FrozenEstimator(teacher), lambda_feedback=mu, **one).fit(X, y) for mu in (0, 5))
    assert torch.equal(weights(a), weights(b)) and not torch.equal(weights(a.teacher_), weights(b.teacher_))


def test_an_understood_teacher_hears_nothing():
    teacher = UnimodalTeacher(**training).fit(X, y)
    same = FFKDDistiller(FrozenEstimator(teacher), module=copy.deepcopy(teacher.net_.module_.encoder).append(
        copy.deepcopy(teacher.net_.module_.head)), **{**{k: v for k, v in training.items() if "__" not in k}, **still})
    inputs = teacher.net_.module_.preprocess(torch.from_numpy(X)).numpy()
    scaled = FrozenEstimator(UnimodalTeacher(module=same.module, max_epochs=0, device="cpu").fit(inputs, y))
    row = same.set_params(teacher=scaled, max_epochs=1).fit(inputs, y).history_[0]
    assert row["train_kd_loss"] == pytest.approx(0, abs=1e-6) and row["train_feedback_loss"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("teacher", [GaussianNB(), TeacherEnsemble([("a", UnimodalTeacher())]), "resnet18"])
def test_teachers_that_cannot_learn(teacher):
    with pytest.raises(TypeError, match="must be a network, which can learn from its student"):
        FFKDDistiller(teacher, **training).fit(X, y)


def test_ffkd_across_modalities():
    data = SliceDict(image=IMAGES, table=X[:40])
    student = FFKDDistiller(UnimodalTeacher(modality="table", **training), modality="image", max_epochs=1,
                            module=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), device="cpu").fit(data, labels)
    assert student.predict(IMAGES).shape == (40,)


@pytest.mark.parametrize("params", [{"lambda_kd": -1}, {"lambda_feedback": -1}, {"temperature": 0}])
def test_ffkd_parameters_that_cannot_be(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        FFKDDistiller(**training, **params).fit(X, y)


# -------------------------------------------------------------------- dmae

def transformer(seed=0, **params):
    params = {"embed_dim": 12, "depth": 4, "num_heads": 2, "img_size": 8, "patch_size": 2, **params}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        from cmkdlearn.nn.modules import build_classifier

        return build_classifier("vit_tiny_patch16_224", torch.from_numpy(IMAGES[:, None]), "image", 3, **params).eval()


def test_all_patches_visible_is_the_whole_network():
    network = transformer()
    x = network.preprocess(torch.from_numpy(IMAGES[:5, None]))
    visible = torch.arange(16).expand(5, 16)
    blocks = []
    network.encoder.blocks[2].register_forward_hook(lambda m, a, out: blocks.append(out))
    aligned, final = tokens(network.encoder, x, visible)
    torch.testing.assert_close(final, network.encoder.forward_features(x)[:, 1:])
    torch.testing.assert_close(aligned, blocks[1][:, 1:])  # after three of four blocks
    order = torch.stack([torch.randperm(16) for _ in range(5)])
    torch.testing.assert_close(tokens(network.encoder, x, order)[1],
                               final.gather(1, order[:, :, None].expand(-1, -1, 12)))


def test_hidden_patches_are_not_seen():
    network = transformer()
    images = torch.from_numpy(IMAGES[:2, None]).float()
    visible = torch.tensor([[0, 5, 10]]).expand(2, 3)
    changed = images.clone()
    changed[:, :, :2, 2:4] += 50  # patch 1
    assert torch.equal(*(tokens(network.encoder, x, visible)[1] for x in (images, changed)))
    changed[:, :, 2:4, 2:4] += 50  # patch 5
    assert not torch.equal(*(tokens(network.encoder, x, visible)[1] for x in (images, changed)))


def test_patches_are_those_of_the_network():
    x = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6) ** 1.5
    patches = _standardised_patches(x, (2, 2))
    assert patches.shape == (2, 6, 12)
    one = x[1, :, 2:4, 2:4].reshape(-1)  # second row, second column: patch 4
    torch.testing.assert_close(patches[1, 4], (one - one.mean()) / one.std(unbiased=False), rtol=1e-4, atol=1e-4)


def test_its_loss_by_hand(monkeypatch):
    student, teacher = transformer(), transformer(seed=1, embed_dim=20)
    model = MaskedAutoencoder(student, teacher, 0.75, 8, 1)
    X = torch.from_numpy(IMAGES[:3, None])
    order = torch.stack([torch.randperm(16) for _ in range(3)])
    monkeypatch.setattr(torch, "rand", lambda *shape, **kw: order.argsort(1).float())
    with torch.no_grad():
        output = model(X, X)
    pixel, align = output.pixel.mean(), output.align.mean()
    visible, hidden = order[:, :4], order[:, 4:]
    squared, absolute = [], []
    with torch.no_grad():
        target = tokens(teacher.encoder, teacher.preprocess(X), visible)[0]
        ours = model.project(tokens(student.encoder, student.preprocess(X), visible)[0])
        patches = _standardised_patches(student.preprocess(X), (2, 2))
    for i in range(3):
        squared += [(output.logits[i, j] - patches[i, j]).square().mean() for j in hidden[i]]
        absolute += [(ours[i, k] - target[i, k]).abs().mean() for k in range(4)]
    assert pixel.item() == pytest.approx(np.mean(squared), rel=1e-5)
    assert align.item() == pytest.approx(np.mean(absolute), rel=1e-5)
    assert not any(p is q for p in model.parameters() for q in teacher.parameters())


@pytest.mark.parametrize(("size", "patch"), [((28, 28), 7), ((32, 32), 8), ((224, 224), 56), ((8, 8), 2),
                                             ((7, 7), 1), ((16, 24), 4), ((3, 3), 1)])
def test_patch_sizes(size, patch):
    assert _patch_size(size) == patch


@pytest.fixture(scope="module")
def teacher():
    params = {**vit, "module__embed_dim": 20}
    return FrozenEstimator(UnimodalTeacher("vit_tiny_patch16_224", module__img_size=8, module__patch_size=2,
                                           max_epochs=2, **params).fit(IMAGES, labels))


def test_pretraining_then_fine_tuning(teacher):
    before = pickle.dumps(teacher.estimator.net_.module_.state_dict())
    few = np.where(np.arange(40) % 4 == 0, labels, -1)
    first, second = (DMAEDistiller(teacher, pretrain_epochs=6, max_epochs=2, **vit).fit(IMAGES, few) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert pickle.dumps(teacher.estimator.net_.module_.state_dict()) == before
    past = first.pretraining_history_
    assert len(past) == 6 and len(first.history_) == 2
    for term in ("train_pixel_loss", "train_align_loss"):
        assert past[-1][term] < past[0][term]
    assert past[0]["train_loss"] == pytest.approx(past[0]["train_pixel_loss"] + past[0]["train_align_loss"], rel=1e-5)
    assert first.encode(IMAGES).shape == (40, 12)
    again = pickle.loads(pickle.dumps(first))
    assert np.array_equal(again.predict_proba(IMAGES), first.predict_proba(IMAGES))
    assert "train_align_loss" not in DMAEDistiller(pretrain_epochs=1, max_epochs=0, **vit).fit(
        IMAGES, labels).pretraining_history_[0]


def test_the_teacher_matters_and_labels_only_in_fine_tuning(teacher):
    params = {**vit, "pretrain_epochs": 2, "max_epochs": 0}
    plain, taught = (DMAEDistiller(t, **params).fit(IMAGES, labels) for t in (None, teacher))
    encoders = [torch.cat([p.flatten() for p in s.net_.module_.encoder.parameters()]) for s in (plain, taught)]
    assert not torch.equal(*encoders)
    other = DMAEDistiller(teacher, **params).fit(IMAGES, (labels + 1) % 3)
    assert torch.equal(weights(other), weights(taught))


def test_a_user_of_scikit_learn(teacher):
    student = DMAEDistiller(teacher, pretrain_epochs=1, max_epochs=1, **vit)
    assert clone(student).get_params()["module__depth"] == 4
    search = GridSearchCV(student, {"lambda_align": [0.1, 1], "mask_ratio": [0.5]}, cv=2, error_score="raise")
    assert search.fit(IMAGES, labels).best_estimator_.predict(IMAGES).shape == (40,)
    data = SliceDict(depth=IMAGES[:, ::-1].copy(), image=IMAGES)
    unfitted = UnimodalTeacher("vit_tiny_patch16_224", modality="depth", module__img_size=8, module__patch_size=2,
                               max_epochs=1, **vit)
    crossmodal = DMAEDistiller(unfitted, modality="image", pretrain_epochs=1, max_epochs=1, **vit).fit(data, labels)
    assert crossmodal.predict(IMAGES).shape == (40,)


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"mask_ratio": 1.5}, ValueError, "mask_ratio=1.5"), ({"mask_ratio": 0.99}, ValueError, "leaves 0 of 16 patches"),
    ({"mask_ratio": 0.0}, ValueError, "leaves 16 of 16 patches"), ({"decoder_dim": 6}, ValueError, "multiple of 4"),
    ({"pretrain_epochs": -1}, ValueError, "pretrain_epochs=-1"), ({"lambda_align": -1}, ValueError, "lambda_align=-1"),
    ({"module": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}, ValueError, "student's network is no vision trans"),
    ({"teacher": UnimodalTeacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), max_epochs=0)}, ValueError,
     "teacher's network is no vision transformer"),
    ({"teacher": UnimodalTeacher("vit_tiny_patch16_224", max_epochs=0, module__img_size=8, module__patch_size=4,
                                 module__embed_dim=12, module__depth=1, module__num_heads=2)}, ValueError,
     "The teacher has 4 patches and the student 16"),
])
def test_dmae_that_cannot_be(change, error, message):
    params = {**vit, "pretrain_epochs": 1, **change}
    if isinstance(change.get("module"), nn.Module):
        params = {k: v for k, v in params.items() if not k.startswith("module__")}
    with pytest.raises(error, match=message):
        DMAEDistiller(**params).fit(IMAGES, labels)


def test_dmae_reads_images_and_learns_from_networks():
    with pytest.raises(ValueError, match="DMAEDistiller reads images; X holds a table"):
        DMAEDistiller().fit(X, y)
    with pytest.raises(TypeError, match="must be a network of patches"):
        DMAEDistiller(LogisticRegression(), input_type="image", **vit).fit(IMAGES, labels)
