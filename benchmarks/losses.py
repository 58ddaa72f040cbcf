"""Every logit loss with its gradient, in units of kd's; and RKD's largest tensor.

256 samples of 1,000 classes, and a teacher that is right in nine cases of ten, as teachers are on
what they were trained on. RKD: features of 512 dimensions. "wkd" stands beside the same transport,
as many iterations in single precision, with autograd through them, as it is often written.

Freed memory is kept by the process, as torch keeps that of a GPU: where the C library hands it back
to the system, to get it anew takes longer than some of the losses, and falls on any of them.

The floor of a loss of logits: the operations on all of them that it cannot do without, each timed
by itself, in units of those of kd.
"""

import ctypes
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks._report import alternate, ratio, save
from cmkdlearn.losses import LOSSES, Output, get_loss

N, C, D, ROUNDS, SEED = 256, 1000, 512, 100, 0
TARGET, TARGET_MEBIBYTES = 1.5, 64
# softmaxes of student and teacher, what a gradient is made of, and what else each is about
NEEDS = {
    "kd": {"log_softmax": 2, "exp": 2, "product": 3},
    "dkd": {"log_softmax": 2, "exp": 2, "product": 5},
    "zscore": {"log_softmax": 2, "exp": 2, "product": 3, "normalisation": 3},
    "dist": {"log_softmax": 2, "mean": 4, "product": 4 + 6 + 4 + 2, "sum": 6},
    "rld": {"log_softmax": 4, "exp": 3, "product": 6, "greatest": 1, "mask": 1},
}


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returned."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return result


def data(device):
    generator = torch.Generator().manual_seed(SEED)
    y = torch.randint(C, (N,), generator=generator)
    student, teacher = torch.randn(2, N, C, generator=generator)
    teacher *= 2
    teacher[torch.arange(N), y] += 10
    features = torch.randn(2, N, D, generator=generator)
    return tuple(part.to(device) for part in (student, teacher, y, *features))


def by_autograd(loss, teacher, y):
    """Return WKD's loss of logits by plain steps: softmax without the label's class, Sinkhorn."""
    kernel = (-loss.cost / loss.sinkhorn_reg).exp()

    def others(logits):
        out = F.one_hot(y, logits.shape[1]).bool()
        return (logits / loss.temperature).masked_fill(out, -torch.inf).softmax(1)

    def of(logits):
        p, q, a = others(logits), others(teacher), 1.0
        for _ in range(loss.n_iter):
            b = 1 / ((a * p) @ kernel)
            a = 1 / ((b * q) @ kernel.T)
        transport = loss.sinkhorn_reg * (p * a.log() + q * b.log()).sum(1)
        p_y = teacher.softmax(1).gather(1, y[:, None])
        ce = -(p_y * logits.log_softmax(1).gather(1, y[:, None]))[:, 0]
        return (ce + loss.weight * transport).mean()
    return of


def keep_freed_memory():
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3  # of glibc's malloc.h
        for option in (trim_threshold, mmap_threshold):
            ctypes.CDLL(None).mallopt(option, 2**30)


def floors(logits):
    """Return the milliseconds of each loss's least, by the medians of its operations."""
    out, mask = torch.empty_like(logits), logits > 1
    times = alternate(ROUNDS, **{
        "log_softmax": lambda: logits.log_softmax(1), "exp": lambda: torch.exp(logits, out=out),
        "product": lambda: torch.mul(logits, logits, out=out), "mean": lambda: logits.mean(0),
        "sum": lambda: logits.sum(0), "greatest": lambda: logits.argmax(1),
        "mask": lambda: out.masked_fill_(mask, 0),
        "normalisation": lambda: F.layer_norm(logits, [C], logits.new_ones(C))})
    each = {name: 1e3 * statistics.median(found) for name, found in times.items()}
    return {loss: sum(n * each[name] for name, n in needs.items()) for loss, needs in NEEDS.items()}


def main():
    torch.set_num_threads(1)
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    student, teacher, y, ours, theirs = data(device)

    def step(loss, *inputs):
        def run():
            parts = [part.clone().requires_grad_(True) for part in inputs]
            loss(Output(*parts), Output(teacher, theirs), y).backward()
        return run

    def built(name):
        return get_loss(name).build(Output(student, ours), Output(teacher, theirs)).to(device)

    on_logits = [name for name, cls in LOSSES.items() if cls.needs == ("logits",)]
    on_features = [name for name, cls in LOSSES.items() if cls.needs == ("features",)]
    cheap = [name for name in on_logits if name != "wkd"]
    times = alternate(ROUNDS, **{name: step(built(name), student) for name in cheap})
    wkd = built("wkd")
    plain = by_autograd(wkd, teacher, y)

    def rival():
        plain(student.clone().requires_grad_(True)).backward()

    least = floors(student)
    slow = alternate(5, rival=rival, kd=step(built("kd"), student), wkd=step(wkd, student),
                     **{name: step(built(name), student, ours) for name in on_features})
    with Largest() as largest:
        step(built("rkd"), student, ours)()
    save("losses", samples=N, classes=C, features=D, rounds=ROUNDS, seed=SEED,
         teacher_accuracy=(teacher.argmax(1) == y).float().mean().item(),
         logit_losses_to_kd={name: ratio(times, name, "kd") for name in cheap if name != "kd"},
         floor_milliseconds=least,
         floors_to_kd={name: least[name] / least["kd"] for name in cheap if name != "kd"},
         others_to_kd={name: ratio(slow, name, "kd") for name in ("wkd", *on_features)},
         ours_to_wkd_by_autograd=ratio(slow, "wkd", "rival"),
         wkd_difference=abs(plain(student) - wkd(Output(student), Output(teacher), y)).item(),
         rkd_largest_tensor_mebibytes=largest.bytes / 2**20,
         milliseconds={name: sorted(values)[len(values) // 2] * 1e3
                       for name, values in {**slow, **times}.items()},
         target_logit_losses_to_kd=TARGET, target_rkd_mebibytes=TARGET_MEBIBYTES)


if __name__ == "__main__":
    main()
