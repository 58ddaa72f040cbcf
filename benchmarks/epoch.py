"""An epoch of ours against a hand-written loop and against skorch's default loader.

50,000 x 512 samples, an MLP 512-256-10, batches of 128, Adam's W variant, plain cross-entropy.
"""

import numpy as np
import torch
import torch.nn.functional as F
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks._report import alternate, ratio, save
from cmkdlearn.nn.data import TensorData
from cmkdlearn.students import MultiTeacherDistiller

N, D, C, BATCH, LR, ROUNDS, SEED = 50_000, 512, 10, 128, 1e-3, 15, 0


def network():
    return nn.Sequential(nn.Linear(D, 256), nn.ReLU(), nn.Linear(256, C))


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(N, D)).astype(np.float32)
    y = rng.integers(C, size=N)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    module = network().to(device)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LR, fused=True)
    X_device, y_device = torch.from_numpy(X).to(device), torch.from_numpy(y).to(device)

    def by_hand():
        module.train()
        total = torch.zeros((), device=device)
        for rows in torch.randperm(N).to(device).split(BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(module(X_device[rows]), y_device[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return total.item()

    student = MultiTeacherDistiller(module=network(), batch_size=BATCH, lr=LR, max_epochs=1,
                                    warm_start=True, random_state=SEED).fit(X[:1000], y[:1000])
    ours = student.net_
    data = student._read(X, reset=False) | {"y": torch.from_numpy(y)}
    pair = (TensorData(**data), None)

    theirs = NeuralNetClassifier(
        network(), criterion=nn.CrossEntropyLoss, batch_size=BATCH, lr=LR, max_epochs=1,
        optimizer=torch.optim.AdamW, train_split=None, iterator_train__shuffle=True, verbose=0,
        device=device).initialize()

    times = alternate(ROUNDS, ours=lambda: ours.partial_fit(pair), by_hand=by_hand,
                      skorch=lambda: theirs.partial_fit(X, y))
    save("epoch", samples=N, features=D, batch_size=BATCH, rounds=ROUNDS, seed=SEED, seconds=times,
         ours_to_by_hand=ratio(times, "ours", "by_hand"),
         skorch_to_by_hand=ratio(times, "skorch", "by_hand"), target_ours_to_by_hand=1.1)


if __name__ == "__main__":
    main()
