"""Training beside the plain loops of others, in one run: the same network, batches and steps.

A rival's loop is the documented steps, written out, with torch's defaults: for distillation, as in
mdistiller and torchdistill, the teacher's pass without gradient and the student's in each step, the
loss, ``zero_grad``, ``backward`` and ``step`` (of "review", the fusion modules are ours in both);
for UCMKD, as its authors describe it, a copy of the
network in each step that inner optimisers move, and POT's transport; skorch and scikit-learn's
MLPClassifier as they are. Ours is a whole ``fit``, with all that it checks and keeps. The floor of
each is the arithmetic of the rival's products and convolutions at the rate of a large product.
With one thread and with two; ``python -m benchmarks.rivals 2`` only with two.
"""

import copy
import statistics
import subprocess
import sys
import warnings

import numpy as np
import ot
import sklearn
import skorch
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks._report import alternate, ratio, save
from benchmarks.floors import machine
from cmkdlearn.losses import Output, get_loss
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher

SEED, BATCH, CLASSES, ROUNDS = 0, 64, 10, 3
SGD = {"lr": 0.05, "momentum": 0.9}
MAPS = [0, 1, 2, 3]  # of a ResNet-18 at 32 x 32 those of more than one pixel
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def beside(times, ours, rival, arithmetic):
    """Return the ratio of ours to a rival, and the floor: seconds of a function's arithmetic."""
    with FlopCounterMode(display=False) as counter:
        arithmetic()
    return {**ratio(times, ours, rival), "floor": counter.get_total_flops() / machine(DEVICE)[0]}


def batches(n):
    return torch.randperm(n).split(BATCH)


def trained(network, optimizer, X, y, loss):
    """Train for one epoch; ``loss`` is a function of the images and labels of a batch."""
    X, y = torch.from_numpy(X).to(DEVICE), torch.from_numpy(y).to(DEVICE)
    network.train()
    for rows in batches(len(X)):
        optimizer.zero_grad()
        loss(X[rows], y[rows]).backward()
        optimizer.step()
    return network


def kd(S, T, y, tau=4.0):
    return tau**2 * F.kl_div((S / tau).log_softmax(1), (T / tau).softmax(1),
                             reduction="batchmean")


def dkd(S, T, y, tau=4.0, alpha=1.0, beta=8.0):
    true = F.one_hot(y, S.shape[1]).bool()

    def pair(logits):
        p = (logits / tau).softmax(1)
        return torch.stack([(p * true).sum(1), (p * ~true).sum(1)], 1)

    s, t = ((logits / tau - 1000 * true) for logits in (S, T))
    return tau**2 * (alpha * F.kl_div(pair(S).log(), pair(T), reduction="batchmean")
                     + beta * F.kl_div(s.log_softmax(1), t.softmax(1), reduction="batchmean"))


def distillation(name):
    """ResNet-18 taught by another one, that sees what the student sees; 128 images."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(128 if DEVICE == "cpu" else 2048, 3, 32, 32)).astype(np.float32)
    y = np.arange(len(X)) % CLASSES

    def network():
        return timm.create_model("resnet18", num_classes=CLASSES)

    training = {"module": network(), "batch_size": BATCH, "lr": SGD["lr"], "max_epochs": 1,
                "optimizer": torch.optim.SGD, "optimizer__momentum": SGD["momentum"],
                "random_state": SEED, "device": DEVICE, "input_type": "image"}
    teacher = UnimodalTeacher(**training).fit(X, y)

    def ours(view):
        return lambda: MultiTeacherDistiller([("t", FrozenEstimator(teacher))], loss=name,
                                             teacher_view=view, **training).fit(X, y)

    def plain():
        T, S = network().to(DEVICE).eval(), network().to(DEVICE)
        loss = PLAIN[name]()
        optimizer = torch.optim.SGD([*S.parameters(), *loss.parameters()], **SGD)

        def both(x, labels):
            with torch.no_grad():
                of_T = looked_at(T, x, name)
            of_S = looked_at(S, x, name)
            return F.cross_entropy(of_S.logits, labels) + loss(of_S, of_T, labels)
        trained(S, optimizer, X, y, both)

    times = alternate(ROUNDS, plain=plain, same=ours("same"), clean=ours("clean"))
    return {"teacher sees what the student sees": beside(times, "same", "plain", plain),
            "teacher answers once (default)": beside(times, "clean", "plain", plain)}


def looked_at(network, x, name):
    """Return the logits, with the features and maps that a loss asks for."""
    if name not in ("fitnet", "review"):
        return Output(network(x))
    last, maps = network.forward_intermediates(x, indices=MAPS if name == "review" else [-1])
    features = network.global_pool(last)
    return Output(network.fc(features), features, tuple(maps))


class OnLogits(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, S, T, y):
        return self.function(S.logits, T.logits, y)


class Hint(nn.Module):
    """FitNets: the student's features, through a linear layer, are to be the teacher's."""

    def __init__(self):
        super().__init__()
        self.regressor = nn.Linear(512, 512).to(DEVICE)

    def forward(self, S, T, y):
        return F.mse_loss(self.regressor(S.features), T.features) / 2


def review():
    x = torch.zeros(2, 3, 32, 32)
    seen = looked_at(timm.create_model("resnet18").eval(), x, "review")
    return get_loss("review").build(seen, seen).to(DEVICE)


PLAIN = {"kd": lambda: OnLogits(kd), "dkd": lambda: OnLogits(dkd), "fitnet": Hint,
         "review": review}


def by_skorch():
    """An MLP on 6,400 samples, cross-entropy."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(6_400, 512)).astype(np.float32)
    y = rng.integers(CLASSES, size=len(X))
    network = nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, CLASSES))
    common = {"batch_size": BATCH, "lr": 1e-3, "max_epochs": 1, "device": DEVICE}
    theirs = skorch.NeuralNetClassifier(
        network, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, train_split=None,
        iterator_train__shuffle=True, verbose=0, **common)
    ours = MultiTeacherDistiller(module=network, random_state=SEED, **common)
    times = alternate(ROUNDS, ours=lambda: ours.fit(X, y), skorch=lambda: theirs.fit(X, y))
    return beside(times, "ours", "skorch", lambda: theirs.fit(X, y))


def ucmkd():
    """An MLP 512-256-10 on 6,400 samples, and a teacher of equally wide features."""
    rng = np.random.default_rng(SEED)
    X = rng.normal(size=(6_400, 512)).astype(np.float32)
    y = np.arange(len(X)) % CLASSES
    common = {"batch_size": BATCH, "max_epochs": 1, "random_state": SEED, "device": DEVICE,
              "module__hidden": (256,)}
    teacher = UnimodalTeacher(**common).fit(X[:640], y[:640])
    bank, head = torch.from_numpy(teacher.feature_bank_).to(DEVICE), copy.deepcopy(teacher.head_)
    head = head.to(DEVICE)
    ours = UCMKDStudent.script(FrozenEstimator(teacher), callbacks=None, la_scope="all", **common)

    def plain():
        phi = nn.Sequential(nn.Linear(512, 256), nn.ReLU()).to(DEVICE)
        p = nn.Linear(256, CLASSES).to(DEVICE)
        on_device, codes = torch.from_numpy(X).to(DEVICE), torch.from_numpy(y).to(DEVICE)
        outer = torch.optim.AdamW([*phi.parameters(), *p.parameters()], lr=1e-3)

        def stepped(network, loss):
            optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        def label_alignment(z, logits, labels):
            with torch.no_grad():
                kappa = head(z).softmax(1).gather(1, labels[:, None])[:, 0]
            return (F.cross_entropy(logits, labels, reduction="none") + kappa * kappa.log()).mean()

        for rows in batches(len(X)):
            x, labels = on_device[rows], codes[rows]
            phi_tmp, p_tmp = copy.deepcopy(phi), copy.deepcopy(p)
            C = torch.cdist(phi_tmp(x), bank[torch.randperm(len(bank))[:len(rows)]])
            stepped(phi_tmp, ot.solve(C, reg=0.1 * C.detach().mean().item(), tol=1e-2,
                                      grad="envelope").value)
            z = phi_tmp(x)
            stepped(phi_tmp, label_alignment(z, p_tmp(z), labels))
            z = phi_tmp(x).detach()
            stepped(p_tmp, label_alignment(z, p_tmp(z), labels))
            outer.zero_grad()
            F.cross_entropy(p_tmp(phi_tmp(x)), labels).backward()
            adapted = [*phi_tmp.parameters(), *p_tmp.parameters()]
            for own, moved in zip([*phi.parameters(), *p.parameters()], adapted, strict=True):
                own.grad = moved.grad
            outer.step()

    times = alternate(ROUNDS, ours=lambda: ours.fit(X, y), plain=plain)
    return beside(times, "ours", "plain", plain)


def small(load):
    """As many steps as scikit-learn's network, of the same width, batch and rate."""
    X, y = load(return_X_y=True)
    fitted = MultiTeacherDistiller(random_state=SEED, device="cpu").fit(X, y)
    epochs = len(fitted.history_)
    steps = sum(len(epoch["batches"]) for epoch in fitted.history_)
    batch = -(-len(X) * epochs // steps)
    theirs = MLPClassifier((256,), batch_size=batch, max_iter=epochs, tol=0,
                           n_iter_no_change=epochs + 1, random_state=SEED)
    features, codes = torch.from_numpy(X).float(), torch.from_numpy(y)

    def bare():
        network = nn.Sequential(nn.Linear(X.shape[1], 256), nn.ReLU(), nn.Linear(256, y.max() + 1))
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        for _ in range(epochs):
            for rows in torch.randperm(len(X)).split(batch):
                optimizer.zero_grad()
                F.cross_entropy(network(features[rows]), codes[rows]).backward()
                optimizer.step()

    times = alternate(ROUNDS, ours=lambda: fitted.fit(X, y), theirs=lambda: theirs.fit(X, y),
                      bare=bare)
    one = alternate(50, ours=lambda: fitted.predict(X[:1]), theirs=lambda: theirs.predict(X[:1]))
    return {"steps": steps, "batch_size": batch,
            "fit to MLPClassifier": beside(times, "ours", "theirs", bare),
            "a bare torch loop to MLPClassifier": beside(times, "bare", "theirs", bare),
            "milliseconds of predict of one row": 1e3 * sorted(one["ours"])[25]}


def imports():
    """Seconds of a process that imports, beyond one that imports torch alone."""
    wanted = {"torch": "torch", "ours": "torch, cmkdlearn.students",
              "scikit-learn and skorch": "torch, sklearn.base, skorch"}
    times = alternate(2 * ROUNDS, **{
        name: lambda what=what: subprocess.run([sys.executable, "-c", f"import {what}"], check=True)
        for name, what in wanted.items()})
    return {name: statistics.median(a - b for a, b in zip(found, times["torch"], strict=True))
            for name, found in times.items() if name != "torch"}


def main():
    warnings.simplefilter("ignore", ConvergenceWarning)
    for threads in map(int, sys.argv[1:] or (1, 2)):
        torch.set_num_threads(threads)
        save(f"rivals-{threads}", threads=threads, rounds=ROUNDS, seed=SEED,
             rivals={"skorch": skorch.__version__, "scikit-learn": sklearn.__version__,
                     "pot": ot.__version__, "timm": timm.__version__},
             import_beyond_torch=imports(), skorch=by_skorch(), ucmkd=ucmkd(),
             distillation={name: distillation(name) for name in PLAIN},
             small={load.__name__.removeprefix("load_"): small(load)
                    for load in (load_iris, load_digits)})


if __name__ == "__main__":
    main()
