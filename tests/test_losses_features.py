"""Losses of features and feature maps against loops, invariances and finite differences."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, ortho_group
from sklearn.base import clone
from torch import nn

from cmkdlearn.losses import LOSSES, Output, _rkd, get_loss
from cmkdlearn.losses._c2kd import kendall
from cmkdlearn.nn.features import with_feature_maps
from cmkdlearn.nn.modules import Classifier, build_classifier
from cmkdlearn.students import MultiTeacherDistiller

quick = settings(max_examples=20)
OF_FEATURES = ["rkd", "fitnet", "norm", "crd", "c2kd"]


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sides(n=6, d_s=3, d_t=4, c=5, maps=((2, 8), (3, 4)), teacher_maps=((4, 8), (5, 4))):
    """A student's and a teacher's Output in double precision."""
    return tuple(Output(draw(n, c, seed=10 * k), draw(n, d, seed=10 * k + 1),
                        tuple(draw(n, w, s, s, seed=10 * k + 2 + i) for i, (w, s) in enumerate(sizes)))
                 for k, (d, sizes) in enumerate([(d_s, maps), (d_t, teacher_maps)]))


def built(name, student, teacher, **params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return get_loss(name, **params).build(student, teacher).double()


def features(tensor):
    return Output(torch.zeros(len(tensor), 3, dtype=tensor.dtype), tensor)


# -------------------------------------------------------------------- rkd

def huber(x):
    return x**2 / 2 if abs(x) < 1 else abs(x) - 0.5


def rkd_by_hand(s, t, distance, angle):
    n = len(s)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    mu_s, mu_t = (np.mean([np.linalg.norm(x[i] - x[j]) for i, j in pairs]) for x in (s, t))
    total = distance * np.mean([huber(np.linalg.norm(s[i] - s[j]) / mu_s - np.linalg.norm(t[i] - t[j]) / mu_t)
                                for i, j in pairs])

    def cosine(x, i, j, k):
        a, b = x[i] - x[j], x[k] - x[j]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    triples = [(i, j, k) for i, j in pairs for k in range(n) if k not in (i, j)]
    return total + angle * np.mean([huber(cosine(s, *ijk) - cosine(t, *ijk)) for ijk in triples])


@quick
@given(st.integers(3, 7), st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 9), st.floats(0.1, 9))
def test_rkd_pair_by_pair_and_triple_by_triple(n, d_s, d_t, distance, angle):
    s, t = draw(n, d_s, seed=n), draw(n, d_t, seed=d_t)
    value = get_loss("rkd", distance=distance, angle=angle)(features(s), features(t))
    assert value.item() == pytest.approx(rkd_by_hand(s.numpy(), t.numpy(), distance, angle), rel=1e-8)


@quick
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_rkd_knows_neither_rotation_nor_shift_nor_scale(seed, scale):
    t = draw(6, 4, seed=seed)
    turned = scale * t @ torch.tensor(ortho_group.rvs(4, random_state=seed)) + scale * 5
    assert get_loss("rkd")(features(turned), features(t)).item() == pytest.approx(0, abs=1e-9)
    s = draw(6, 3, seed=seed + 1)
    torch.testing.assert_close(get_loss("rkd")(features(s), features(turned)),
                               get_loss("rkd")(features(s), features(t)))


def test_rkd_of_copies_and_of_constant_features():
    t, s = draw(6, 4), draw(6, 3, seed=1)
    s[1] = s[0]
    s.requires_grad_(True)
    loss = get_loss("rkd")(features(s), features(t))
    loss.backward()
    assert loss.isfinite() and s.grad.isfinite().all()
    same = torch.ones(4, 3, requires_grad=True)
    loss = get_loss("rkd")(features(same), features(t[:4].float()))
    loss.backward()
    assert loss.isfinite() and same.grad.isfinite().all()


def test_rkd_of_two_samples_has_no_angles():
    s, t = draw(2, 3), draw(2, 4, seed=1)
    assert get_loss("rkd")(features(s), features(t)) == 0  # one distance, its own mean
    with pytest.raises(ValueError, match="rkd compares samples .* needs 2"):
        get_loss("rkd")(features(s[:1]), features(t[:1]))


def test_rkd_chunks_add_up(monkeypatch):
    s, t = draw(9, 3), draw(9, 4, seed=1)
    whole = get_loss("rkd")(features(s), features(t))
    monkeypatch.setitem(_rkd.CHUNK, "cpu", 2 * 81)
    torch.testing.assert_close(get_loss("rkd")(features(s), features(t)), whole)


def test_rkd_survives_a_large_offset():
    t, s = draw(6, 4), draw(6, 3, seed=1)
    near, far = (get_loss("rkd")(features((s + offset).float()), features(t.float())) for offset in (0, 100))
    assert far.item() == pytest.approx(near.item(), rel=1e-3)


@pytest.mark.parametrize("dtype, gap", [(torch.float64, 1e-9), (torch.float32, 3e-6)])
@pytest.mark.parametrize("offset", [0, 100])
def test_rkd_draws_near_samples_apart(dtype, gap, offset):
    """Two samples that nearly coincide, where the teacher's do not: distances by differences."""
    s, t = (draw(5, 3) + offset).to(dtype), draw(5, 4, seed=1)
    s[1] = s[0] + gap * (1 + offset) * draw(3, seed=2).to(dtype)
    s.requires_grad_()
    (gradient,) = torch.autograd.grad(get_loss("rkd", angle=0)(features(s), features(t)), s)
    x = s.detach().double().requires_grad_()
    i, j = np.triu_indices(5, 1)
    ours, theirs = ((z[i] - z[j]).square().sum(1).sqrt() for z in (x, t))
    by_hand = 25 * F.smooth_l1_loss(ours / ours.mean(), theirs / theirs.mean())
    (expected,) = torch.autograd.grad(by_hand, x)
    assert expected[0].norm() > 1  # one sample is drawn as strongly as any other
    torch.testing.assert_close(gradient.double(), expected, rtol=0, atol=4e-7 * expected.abs().max().item())


# -------------------------------------------------------------------- fitnet, norm

def test_fitnet_of_features():
    s, t = sides()
    loss = built("fitnet", s, t)
    W, b = loss.regressor.weight, loss.regressor.bias
    expected = np.mean([[(sum(W[o, i] * f for i, f in enumerate(row)) + b[o] - target[o]).item() ** 2 / 2
                         for o in range(4)] for row, target in zip(s.features, t.features, strict=True)])
    assert loss(s, t).item() == pytest.approx(expected)


def test_fitnet_of_maps_has_the_kernel_that_fits():
    s, t = sides(maps=((2, 8),), teacher_maps=((5, 6),))
    loss = built("fitnet", s, t, hint=0)
    assert loss.regressor.kernel_size == (3, 3)
    expected = F.mse_loss(F.conv2d(s.feature_maps[0], loss.regressor.weight, loss.regressor.bias),
                          t.feature_maps[0]) / 2
    torch.testing.assert_close(loss(s, t), expected)
    with pytest.raises(ValueError, match=r"as large as the teacher's; at hint=0 they are \(6, 6\) and \(8, 8\)"):
        built("fitnet", t, s, hint=0)


def test_norm_matches_every_segment():
    s, t = sides()
    loss = built("norm", s, t, n=3)
    W = loss.expand.weight.detach().numpy()
    segments = np.split(s.features.numpy() @ W.T, 3, axis=1)
    expected = sum(np.mean((segment - t.features.numpy()) ** 2) for segment in segments)
    assert loss(s, t).item() == pytest.approx(expected)


def test_norm_pools_the_larger_map():
    s, t = sides(maps=((2, 4),), teacher_maps=((5, 8),))
    loss = built("norm", s, t, n=2, hint=-1)
    pooled = F.max_pool2d(t.feature_maps[0], 2)
    expected = 2 * F.mse_loss(loss.expand(s.feature_maps[0]), pooled.repeat(1, 2, 1, 1))
    torch.testing.assert_close(loss(s, t), expected)
    torch.testing.assert_close(  # the other way round the student's is pooled
        (back := built("norm", t, s, n=1, hint=-1))(t, s),
        F.mse_loss(back.expand(pooled), s.feature_maps[0]))
    for narrow, wide in ((s, t), (t, s)):  # of one height, and of widths that do not go into each other
        oblong = [Output(side.logits, side.features, (side.feature_maps[-1][..., :w],))
                  for side, w in ((narrow, 3), (wide, 2))]
        with pytest.raises(ValueError, match="multiple of the other's"):
            built("norm", *oblong, hint=0)
    odd = sides(maps=((2, 3),), teacher_maps=((5, 8),))
    with pytest.raises(ValueError, match=r"multiple of the other's; the student's is \(3, 3\), the teacher's \(8, 8\)"):
        built("norm", *odd, hint=0)


# -------------------------------------------------------------------- review

def test_review_step_by_step():
    s, t = sides(n=4)
    loss = built("review", s, t, width=6)
    pooled, coarse, fine = loss.fusions
    assert pooled.attention is None

    def bn(x, layer):
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        return ((x - mean[:, None, None]) / (var[:, None, None] + layer.eps).sqrt()
                * layer.weight[:, None, None] + layer.bias[:, None, None])

    def narrow(x, fusion):
        return bn(F.conv2d(x, fusion.narrow[0].weight), fusion.narrow[1])

    def widen(x, fusion):
        return bn(F.conv2d(x, fusion.widen[0].weight, padding=1), fusion.widen[1])

    def hcl(a, b):  # sizes 8 or 4: weights 1, then halves for the pools that are smaller
        pools = [p for p in (4, 2, 1) if p < a.shape[-1]]
        terms = [(1.0, ((a - b) ** 2).mean())]
        for i, p in enumerate(pools):
            k = a.shape[-1] // p
            terms.append((0.5 ** (i + 1), ((F.avg_pool2d(a, k) - F.avg_pool2d(b, k)) ** 2).mean()))
        return sum(w * v for w, v in terms) / sum(w for w, _ in terms)

    def fused(x, carried, fusion):
        x, up = narrow(x, fusion), carried.repeat_interleave(x.shape[2] // carried.shape[2], 2)
        up = up.repeat_interleave(x.shape[3] // carried.shape[3], 3)
        z = torch.sigmoid(F.conv2d(torch.cat([x, up], 1), fusion.attention.weight, fusion.attention.bias))
        return z[:, :1] * x + z[:, 1:] * up

    first = narrow(s.features[:, :, None, None], pooled)
    second = fused(s.feature_maps[1], first, coarse)
    third = fused(s.feature_maps[0], second, fine)
    expected = (((widen(first, pooled)[:, :, 0, 0] - t.features) ** 2).mean()
                + hcl(widen(second, coarse), t.feature_maps[1]) + hcl(widen(third, fine), t.feature_maps[0]))
    torch.testing.assert_close(loss(s, t), expected)


def test_review_starts_with_what_the_head_reads():
    """And it reaches every map: the features alone change what all of them are compared with."""
    s, t = sides()
    loss = built("review", s, t)
    features = s.features.clone().requires_grad_(True)
    loss(s._replace(features=features), t._replace(features=loss.fusions[0].widen[1](
        torch.zeros(6, 4, 1, 1, dtype=torch.float64))[:, :, 0, 0])).backward()
    assert features.grad.abs().max() > 1e-6
    assert loss(s, t) != loss(s, t._replace(features=2 * t.features))


def test_review_pairs_maps_from_the_coarsest():
    s, t = sides(maps=((2, 16), (2, 8), (3, 4)))
    loss = built("review", s, t)
    shorter = s._replace(feature_maps=s.feature_maps[1:])
    assert len(loss.fusions) == 3  # of the features and of two maps
    torch.testing.assert_close(loss(s, t), loss(shorter, t))


def test_review_of_maps_of_other_sizes():
    s, t = sides(maps=((2, 7), (3, 3)))
    assert built("review", s, t)(s, t).isfinite()


# -------------------------------------------------------------------- crd

def projected(loss, s, t):
    return (F.normalize(f @ p.weight.T + p.bias, dim=1)
            for f, p in ((s.features, loss.project_student), (t.features, loss.project_teacher)))


def crd_one_way(anchors, known, y, labels, temperature):
    """Anchor by anchor; the own pair stands in the anchor's row of what is known."""
    total = 0
    for i, anchor in enumerate(anchors):
        others = [j for j in range(len(known)) if j != i and (y[i] != labels[j] or y[i] == -1)]
        N, M = max(len(others), 1), len(known)

        def h(j, anchor=anchor, share=N / M):
            e = torch.exp(anchor @ known[j] / temperature)
            return e / (e + share)

        total = total - torch.log(h(i)) - sum(torch.log(1 - h(j)) for j in others)
    return total / len(anchors)


@pytest.mark.parametrize("y", [[0, 1, 2, 0, 1, 2], [-1, -1, 0, 0, 1, 2], [-1] * 6, [0] * 6, [0, 0, 0, 1, 1, 2]])
def test_crd_pair_by_pair_and_both_ways(y):
    s, t = sides()
    loss = built("crd", s, t, dim=4, nce_temperature=0.5)
    ours, theirs = projected(loss, s, t)
    torch.testing.assert_close(loss(s, t, torch.tensor(y)), crd_one_way(ours, theirs, y, y, 0.5)
                               + crd_one_way(theirs, ours, y, y, 0.5))


def test_crd_pulls_on_the_anchor_only():
    """The student learns from the way on which it is the anchor, the teacher's map from the other."""
    s, t = sides()
    y = [0, 0, 0, 1, 1, 2]
    loss = built("crd", s, t, dim=4, nce_temperature=0.5)
    features = s.features.clone().requires_grad_(True)
    loss(s._replace(features=features), t, torch.tensor(y)).backward()
    mine = s.features.clone().requires_grad_(True)
    ours, theirs = projected(loss, s._replace(features=mine), t)
    expected, = torch.autograd.grad(crd_one_way(ours, theirs.detach(), y, y, 0.5), mine)
    torch.testing.assert_close(features.grad, expected)
    ours, theirs = projected(loss, s, t)
    expected, = torch.autograd.grad(crd_one_way(theirs, ours.detach(), y, y, 0.5), loss.project_teacher.weight)
    torch.testing.assert_close(loss.project_teacher.weight.grad, expected)


def test_crd_keeps_a_bank_of_either_side_while_training():
    s, t = sides()
    y = torch.arange(6) % 5
    loss = built("crd", s, t, dim=4, bank_size=8)
    first = loss(s, t, y)
    assert len(loss.teacher_bank) == len(loss.student_bank) == 6 and not loss.student_bank.requires_grad
    earlier = loss.student_bank, loss.teacher_bank, loss.bank_labels
    assert loss(s, t, y) > first  # more to tell apart
    ours, theirs = projected(loss, s, t)
    torch.testing.assert_close(
        loss.eval()(s, t, y), crd_one_way(ours, torch.cat([theirs, loss.teacher_bank]), y,
                                            torch.cat([y, loss.bank_labels]), 0.07)
        + crd_one_way(theirs, torch.cat([ours, loss.student_bank]), y, torch.cat([y, loss.bank_labels]), 0.07))
    assert len(loss.teacher_bank) == len(loss.student_bank) == len(loss.bank_labels) == 8
    for bank, newest, before in zip((loss.student_bank, loss.teacher_bank, loss.bank_labels),
                                    (ours, theirs, y), earlier, strict=True):
        torch.testing.assert_close(bank, torch.cat([newest, before])[:8].detach())


# -------------------------------------------------------------------- c2kd

@quick
@given(st.integers(2, 8), st.integers(0, 10**6), st.booleans())
def test_kendall_is_scipys(c, seed, ties):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 5, c)) if not ties else rng.integers(3, size=(2, 5, c)).astype(float)
    expected = [kendalltau(*rows).statistic for rows in zip(a, b, strict=True)]
    np.testing.assert_allclose(kendall(torch.tensor(a), torch.tensor(b)), np.nan_to_num(expected), atol=1e-12)


def test_kendall_of_many_classes(monkeypatch):
    a, b = draw(7, 5), draw(7, 5, seed=1)
    a[2] = 1.0
    by_pairs = kendall(a, b)
    monkeypatch.setattr("cmkdlearn.losses._c2kd.MANY_PAIRS", 50)
    torch.testing.assert_close(kendall(a, b), by_pairs)
    assert by_pairs[2] == 0


def kl_np(p, q):
    return float((p * (np.log(p) - np.log(q))).sum())


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.4, 1.0])
def test_c2kd_sample_by_sample(threshold):
    s, t = sides(n=12)
    y = torch.arange(12) % 5
    loss = built("c2kd", s, t, threshold=threshold, temperature=2.0)
    with torch.no_grad():
        a = loss.student_proxy(s.features).numpy()
        b = loss.teacher_proxy(t.features).numpy()

    def soft(z, drop=None):
        z = np.delete(z, drop) if drop is not None else z
        return np.exp(z / 2) / np.exp(z / 2).sum()

    expected, chosen = 0, 0
    for i in range(12):
        x, z = s.logits[i].numpy(), t.logits[i].numpy()
        terms = kl_np(soft(x), soft(a[i])) + kl_np(soft(a[i]), soft(x)) + kl_np(soft(z), soft(b[i]))
        if kendalltau(a[i], b[i]).statistic > threshold:
            chosen += 1
            p, q = soft(a[i], y[i].item()), soft(b[i], y[i].item())
            terms += kl_np(p, q) + kl_np(q, p)
        expected += 4 * terms / 12
    assert chosen == {-1.0: 12, 1.0: 0}.get(threshold, chosen) and (threshold != 0 or 0 < chosen < 12)
    assert loss(s, t, y).item() == pytest.approx(expected, rel=1e-6)


def test_c2kd_holds_targets_constant():
    s, t = sides(n=12)
    loss = built("c2kd", s, t, threshold=1.0)  # the modalities do not meet
    logits = s.logits.clone().requires_grad_(True)
    loss(s._replace(logits=logits), t, torch.arange(12) % 5).backward()
    proxy = loss.student_proxy(s.features).softmax(1)
    # d KL(proxy || student) / d logits
    torch.testing.assert_close(logits.grad, ((s.logits.softmax(1) - proxy) / 12).detach())


# -------------------------------------------------------------------- what holds for all

def everything(name):
    s, t = sides(n=5)
    return built(name, s, t), s, t, torch.tensor([0, 1, 2, 3, 4])


@pytest.mark.parametrize("name", ["rkd", "fitnet", "norm", "review"])  # c2kd and crd hold a side constant
def test_gradient_by_finite_differences(name):
    s, t = sides(n=4, maps=((1, 4), (2, 2)), teacher_maps=((2, 4), (1, 2)))
    loss, y = built(name, s, t), torch.arange(4)

    def of(features, *maps):
        return loss(Output(s.logits, features, maps), t, y)

    inputs = [x.clone().requires_grad_(True) for x in (s.features, *s.feature_maps)]
    assert torch.autograd.gradcheck(of, inputs, atol=1e-5)


@pytest.mark.parametrize("name", [*OF_FEATURES, "review"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name, dtype):
    loss, s, t, y = everything(name)
    s, t = (side.map(lambda x: (10 * x).to(dtype)) for side in (s, t))
    value = loss.float()(s, t, y)
    exact = copy.deepcopy(loss).double()(s.map(torch.Tensor.double), t.map(torch.Tensor.double), y)
    assert value.dtype == torch.float32 and value.item() == pytest.approx(exact.item(), rel=1e-3)


@pytest.mark.parametrize("name", [*OF_FEATURES, "review"])
def test_what_is_missing_is_named(name):
    _, s, t, y = everything(name)
    for who, pair in (("student", (Output(s.logits), t)), ("teacher", (s, Output(t.logits)))):
        part = "feature maps" if name == "review" else "features"
        with pytest.raises(ValueError, match=f"{name} needs the {who}'s {part}, and there are none"):
            get_loss(name).build(*pair)
        with pytest.raises(ValueError, match=f"{name} needs the {who}'s {part}, and there are none"):
            get_loss(name)(*pair, y)


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize("who", [0, 1])
def test_nan_is_blamed_on_its_source(name, who):
    loss, *pair, y = everything(name)
    bad = pair[who].features.clone()
    bad[0, 0] = math.nan
    pair[who] = pair[who]._replace(features=bad)
    with pytest.raises(FloatingPointError, match=f"The {('student', 'teacher')[who]}'s features are NaN"):
        loss(*pair, y)


@pytest.mark.parametrize(("name", "params", "message"), [
    ("fitnet", {"hint": "middle"}, "hint='middle' must be"), ("norm", {"n": 0}, "n=0"),
    ("norm", {"hint": "last"}, "hint='last' must be"), ("crd", {"dim": 0}, "dim=0"),
    ("crd", {"nce_temperature": 0}, "nce_temperature=0"), ("crd", {"bank_size": -1}, "bank_size=-1"),
    ("rkd", {"distance": -1}, "distance=-1"), ("rkd", {"angle": -1}, "angle=-1"),
    ("review", {"width": 0}, "width=0"), ("c2kd", {"threshold": 2}, "threshold=2"),
])
def test_parameters_that_cannot_be(name, params, message):
    with pytest.raises(ValueError, match=message):
        get_loss(name, **params)


@pytest.mark.parametrize("who", ["student", "teacher"])
@pytest.mark.parametrize("position", [0, 1])
def test_nan_in_a_map_is_blamed_on_its_source(who, position):
    pair = dict(zip(("student", "teacher"), sides(), strict=True))
    loss = built("review", *pair.values())
    maps = [fm.clone() for fm in pair[who].feature_maps]
    maps[position][2, 1, 0, 0] = math.nan
    pair[who] = pair[who]._replace(feature_maps=tuple(maps))
    with pytest.raises(FloatingPointError, match=f"The {who}'s feature maps are NaN or infinite in review"):
        loss(*pair.values())


@pytest.mark.parametrize(("name", "count"), [
    ("norm", "n"), ("crd", "dim"), ("crd", "bank_size"), ("review", "width"), ("fitnet", "hint"),
    ("wkd", "n_iter")])
def test_counts_are_whole_numbers(name, count):
    with pytest.raises(TypeError, match=f"{count}=2.5 is a float; it must be an integer"):
        get_loss(name, **{count: 2.5})


@pytest.mark.parametrize("name", ["fitnet", "norm"])
def test_hints_that_are_not_there(name):
    s, t = sides()
    with pytest.raises(ValueError, match="hint=2 is out of range: the network has 2 feature maps, -2 to 1"):
        get_loss(name, hint=2).build(s, t)


@pytest.mark.parametrize("name", LOSSES)
def test_the_table(name):
    cls = LOSSES[name]
    loss = get_loss(name)
    assert repr(loss).startswith(f"{cls.__name__}(") and cls.paper and cls.equation
    assert eval(repr(loss), {cls.__name__: cls}).__dict__.keys() == loss.__dict__.keys()
    assert set(loss.needs) <= {"logits", "features", "feature_maps"}
    again = pickle.loads(pickle.dumps(clone(MultiTeacherDistiller(loss=loss)))).loss
    assert repr(again) == repr(loss) and type(again) is cls


@pytest.mark.parametrize("name", LOSSES)
def test_it_says_truly_whether_it_reads_labels_and_must_be_built(name):
    s, t = sides()
    s, t = (side.map(torch.Tensor.float) for side in (s, t))
    loss = get_loss(name)
    if loss.must_build:
        with pytest.raises(RuntimeError, match=f"{name} is not built yet"):
            loss(s, t, torch.arange(6) % 5)
    loss.build(s, t)
    if not loss.needs_labels:
        assert loss(s, t).isfinite()
    only = Output(*(getattr(s, part) if part in (*loss.needs, "logits") else None for part in s._fields))
    assert torch.equal(loss.eval()(only, t, torch.arange(6) % 5), loss(s, t, torch.arange(6) % 5))


# -------------------------------------------------------------------- feature maps

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                                  nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize(("module", "params", "size", "shapes"), [
    (Net, {}, 8, [(4, 8, 8), (6, 4, 4)]),
    ("resnet18", {}, 32, [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]),
    ("convnext_atto", {}, 64, [(40, 16, 16), (80, 8, 8), (160, 4, 4), (320, 2, 2)]),
    ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "depth": 8}, 32, [(192, 4, 4)] * 4),
    ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "depth": 2}, 32, [(192, 4, 4)] * 2),
])
def test_feature_maps_of_any_backbone(module, params, size, shapes):
    X = torch.randn(3, 1, size, size, generator=torch.Generator().manual_seed(0))
    plain = build_classifier(module, X, "image", 3, **params)
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    mapped = with_feature_maps(plain, X)
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    with torch.no_grad():
        expected, output = plain.eval()(X), mapped.eval()(X)
    assert torch.equal(output.logits, expected.logits) and torch.equal(output.features, expected.features)
    assert [tuple(map.shape) for map in output.feature_maps] == [(3, *shape) for shape in shapes]
    assert {id(p) for p in plain.parameters()} == {id(p) for p in mapped.parameters()}
    again = pickle.loads(pickle.dumps(mapped))
    with torch.no_grad():
        assert torch.equal(again(X).feature_maps[0], output.feature_maps[0])


def test_the_last_map_of_each_size():
    X = torch.randn(3, 1, 8, 8)
    mapped = with_feature_maps(build_classifier(Net(), X, "image", 3), X).eval()
    body = mapped.encoder.body
    fine, coarse = mapped(X).feature_maps
    torch.testing.assert_close(fine, body[:3](X))
    torch.testing.assert_close(coarse, body[:5](X))


def test_a_transformers_patches_are_laid_out_as_a_map():
    X = torch.randn(2, 1, 16, 16)
    mapped = with_feature_maps(build_classifier("vit_tiny_patch16_224", X, "image", 3, img_size=16, patch_size=4,
                                                depth=4), X).eval()
    tokens = []
    hook = mapped.encoder.blocks[1].register_forward_hook(lambda m, a, out: tokens.append(out))
    maps = mapped(X).feature_maps
    hook.remove()
    patches = tokens[0][:, 1:]  # without the class token
    torch.testing.assert_close(maps[1][:, :, 2, 3], patches[:, 2 * 4 + 3])


@pytest.mark.parametrize("network", [
    Classifier(nn.Linear(4, 5), nn.Linear(5, 3)), nn.Linear(4, 3),
])
def test_networks_without_maps(network):
    with pytest.raises(ValueError, match="feature maps"):
        with_feature_maps(network, torch.zeros(2, 4))
