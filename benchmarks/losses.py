"""Every logit loss with its gradient, in units of kd's; and RKD's largest tensor.

256 samples of 1,000 classes, and a teacher that is right in nine cases of ten, as teachers are on
what they were trained on. RKD: features of 512 dimensions.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks._report import alternate, ratio, save
from cmkdlearn.losses import LOSSES, Output, get_loss

N, C, D, ROUNDS, SEED = 256, 1000, 512, 100, 0
TARGET, TARGET_MEBIBYTES = 1.5, 64


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


def main():
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
    slow = alternate(5, kd=step(built("kd"), student), wkd=step(built("wkd"), student),
                     **{name: step(built(name), student, ours) for name in on_features})
    with Largest() as largest:
        step(built("rkd"), student, ours)()
    save("losses", samples=N, classes=C, features=D, rounds=ROUNDS, seed=SEED,
         teacher_accuracy=(teacher.argmax(1) == y).float().mean().item(),
         logit_losses_to_kd={name: ratio(times, name, "kd") for name in cheap if name != "kd"},
         others_to_kd={name: ratio(slow, name, "kd") for name in ("wkd", *on_features)},
         rkd_largest_tensor_mebibytes=largest.bytes / 2**20,
         milliseconds={name: sorted(values)[len(values) // 2] * 1e3
                       for name, values in {**slow, **times}.items()},
         target_logit_losses_to_kd=TARGET, target_rkd_mebibytes=TARGET_MEBIBYTES)


if __name__ == "__main__":
    main()
