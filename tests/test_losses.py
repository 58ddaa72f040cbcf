"""The distillation loss against loops in double precision, finite differences and its limits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from cmkdlearn.losses import KD, LOSSES, DistillationLoss, Output, get_loss, kd

logits = arrays(np.float64, (5, 4), elements=st.floats(-30, 30))
temperatures = st.floats(0.25, 20)


def kd_by_hand(student, teacher, temperature):
    """Equation 2 sample by sample and class by class."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        p, q = softmax(t / temperature), softmax(s / temperature)
        total += sum(p_c * (math.log(p_c) - math.log(q_c)) for p_c, q_c in zip(p, q, strict=True))
    return temperature**2 * total / len(student)


@given(logits, logits, st.floats(1, 20))
@settings(deadline=None, max_examples=50)
def test_kd_is_tau_squared_times_the_kl_divergence(student, teacher, temperature):
    value = kd(torch.from_numpy(student), torch.from_numpy(teacher), temperature).item()
    assert value == pytest.approx(kd_by_hand(student, teacher, temperature), rel=1e-9, abs=1e-9)


def test_hand_worked_value():
    # p = (3/4, 1/4), q = (1/2, 1/2), tau = 1
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert kd(student, teacher, temperature=1).item() == pytest.approx(by_hand, rel=1e-6)
    # the same softened probabilities at tau = 2 cost four times as much
    assert kd(student, 2 * teacher, temperature=2).item() == pytest.approx(4 * by_hand, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_gradient_by_finite_differences(temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(4, 3, dtype=torch.float64, generator=generator)
                        for _ in range(2))
    student.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: kd(s, teacher, temperature), student)


@given(logits, logits, temperatures)
@settings(deadline=None, max_examples=30)
def test_the_gradient_is_that_of_equation_3(student, teacher, temperature):
    """Equation 3 has a cross-entropy in place of the divergence: the teacher's entropy is constant."""
    student = torch.from_numpy(student).requires_grad_(True)
    teacher = torch.from_numpy(teacher)
    soft = (teacher / temperature).softmax(1)
    cross_entropy = temperature**2 * F.cross_entropy(student / temperature, soft)
    (expected,) = torch.autograd.grad(cross_entropy, student)
    (actual,) = torch.autograd.grad(kd(student, teacher, temperature), student)
    torch.testing.assert_close(actual, expected)


@given(logits, logits, arrays(np.float64, (2, 5, 1), elements=st.floats(-50, 50)))
@settings(deadline=None, max_examples=30)
def test_a_constant_added_to_the_logits_of_a_sample_changes_nothing(student, teacher, shifts):
    plain = kd(torch.from_numpy(student), torch.from_numpy(teacher))
    shifted = kd(torch.from_numpy(student + shifts[0]), torch.from_numpy(teacher + shifts[1]))
    torch.testing.assert_close(shifted, plain, atol=1e-9, rtol=1e-9)


@given(logits, temperatures)
@settings(deadline=None, max_examples=30)
def test_zero_where_student_and_teacher_agree_and_positive_elsewhere(teacher, temperature):
    teacher = torch.from_numpy(teacher)
    assert kd(teacher.clone(), teacher, temperature).item() == 0
    other = teacher + torch.tensor([1.0, 0, 0, 0])
    # KL(p || q) is p_0 (e^d - 1 - d) and more for d = log q_0 - log p_0; below 1e-13 rounding decides
    d = (other.div(temperature).log_softmax(1) - teacher.div(temperature).log_softmax(1))[:, 0]
    p_0 = teacher.div(temperature).softmax(1)[:, 0]
    assume((p_0 * (d.expm1() - d)).mean() > 1e-13)
    assert kd(other, teacher, temperature).item() > 0


def test_at_high_temperature_it_compares_centred_logits():
    # p_c = (1 + t_c/tau + O(tau^-2)) / C for centred t, and KL = sum (p - q)^2 / (2q) + O(tau^-3),
    # so tau^2 KL goes to |t - s|^2 / (2C).
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 6, 5))
    difference = teacher - student
    difference -= difference.mean(axis=1, keepdims=True)
    limit = (difference**2).sum(axis=1).mean() / (2 * 5)
    value = kd(torch.from_numpy(student), torch.from_numpy(teacher), temperature=1e4).item()
    assert value == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_finite_and_right_for_extreme_logits(dtype, temperature):
    # a half-precision network's logits, as autocast hands them on
    student = torch.tensor([[60.0, -60, 0], [0.5, -60, 60]]).to(dtype).float().requires_grad_(True)
    teacher = torch.tensor([[-60.0, 60, 0], [0.5, -60, 60]]).to(dtype).float()
    value = kd(student, teacher, temperature)
    value.backward()
    assert student.grad.isfinite().all()
    by_hand = kd_in_logs(student.detach().double().numpy(), teacher.double().numpy(), temperature)
    assert value.item() == pytest.approx(by_hand, rel=1e-5)


def kd_in_logs(student, teacher, temperature):
    log_p, log_q = (log_softmax(z / temperature, axis=1) for z in (teacher, student))
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()


def test_the_batch_mean_does_not_grow_with_the_batch():
    student, teacher = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(kd(student.repeat(4, 1), teacher.repeat(4, 1)), kd(student, teacher))


def test_the_loss_object_reads_logits_and_ignores_labels():
    student, teacher = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1))
    loss = KD(temperature=2.0)
    values = [loss(Output(student), Output(teacher), y)
              for y in (torch.full((6,), -1), torch.tensor([0, 1, 2, 0, 1, 2]))]
    assert values[0] == values[1] == kd(student, teacher, 2.0)
    assert repr(loss) == "KD(temperature=2.0)" and not list(loss.parameters())


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_temperature_must_be_positive(temperature):
    for call in (lambda: KD(temperature), lambda: get_loss("kd", temperature=temperature),
                 lambda: kd(torch.zeros(1, 2), torch.ones(1, 2), temperature)):
        with pytest.raises(ValueError, match=r"temperature=.* must be a number above 0"):
            call()


def test_temperature_must_be_a_number():
    with pytest.raises(TypeError, match="temperature='4' is a str"):
        KD("4")


def test_get_loss():
    assert isinstance(get_loss("kd", temperature=3), KD)
    own = KD(7.0)
    assert get_loss(own, temperature=3) is own and own.temperature == 7.0
    assert LOSSES["kd"] is KD


def test_get_loss_names_near_matches():
    with pytest.raises(ValueError, match="loss='kdd' is unknown. Did you mean 'kd'"):
        get_loss("kdd")
    with pytest.raises(ValueError, match="loss='zzzzz' is unknown. Use .*'kd'"):
        get_loss("zzzzz")


@pytest.mark.parametrize("loss", [None, 3, kd, KD])
def test_get_loss_refuses_what_is_neither_name_nor_loss(loss):
    with pytest.raises(TypeError, match="loss=.* must be a name .*'kd'.* or an instance"):
        get_loss(loss)


def test_a_loss_without_forward_says_so():
    class Half(DistillationLoss):
        pass

    with pytest.raises(NotImplementedError, match="Half must define forward"):
        Half()(Output(torch.zeros(1, 2)), Output(torch.zeros(1, 2)))
