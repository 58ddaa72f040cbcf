"""Forged files, thousands of them: each is refused by name, or is a model; nothing else happens.

A forger knows how files are made and renews the checksum. Each of these files differs from a sound
one by what forgers might try: rows exchanged, other types, other classes, huge numbers, tensors of
another dtype or shape, parts of parts.
"""

import copy
import faulthandler
import json
import multiprocessing
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from cmkdlearn.io import _format, load, save
from cmkdlearn.selection import CCHSelector
from cmkdlearn.students import (
    DistilledRegressor,
    FFKDDistiller,
    FusionClassifier,
    LFMEDistiller,
    MultiTeacherDistiller,
    UCMKDStudent,
)
from cmkdlearn.teachers import (
    PretrainedTeacher,
    TeacherEnsemble,
    UnimodalTeacher,
    WordNetRelaxedTeacher,
)

SECONDS = 60  # for one file; a sound one takes a tenth of one
fast = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
small = {**fast, "module__hidden": (6,)}
digits = load_digits()
X, y = digits.data[:60, 20:36], digits.target[:60] % 4
halves = {"left": X[:, :8], "right": X[:, 8:]}
images = digits.images[:40] / 16
vectors = np.random.default_rng(0).normal(size=(40, 16))
linear = LogisticRegression(max_iter=200)


words = {"class_names": dict(enumerate(vectors[:4])),
         "nouns": {f"noun {i}": vector for i, vector in enumerate(vectors[4:])}}
network = UnimodalTeacher(**small)
MODELS = {
    "network": (UnimodalTeacher(early_stopping=True, **small), X, y),
    "convolutions": (UnimodalTeacher("test_efficientnet", input_type="image", augmentation="weak", **fast),
                     images, y[:40]),
    "transformer": (UnimodalTeacher("vit_tiny_patch16_224", input_type="image", module__img_size=8,
                                    module__patch_size=4, module__embed_dim=6, module__depth=1,
                                    module__num_heads=2, **fast), images, y[:40]),
    "ensemble": (TeacherEnsemble([("network", network), ("bayes", GaussianNB()),
                                  ("scaled", make_pipeline(StandardScaler(), linear))]), X, y),
    "WordNet": (WordNetRelaxedTeacher(**words, n_clusters=3, relaxed_proportion=0.5, **small), X, y),
    "distilled": (MultiTeacherDistiller([("linear", linear), ("network", network)], loss="crd", **small),
                  X, y),
    "unpaired": (UCMKDStudent(network, **small), X, y),
    "experts": (LFMEDistiller(shots=(14, 16), **small), X, y),
    "feedback": (FFKDDistiller(**small), X, y),
    "regressor": (DistilledRegressor([("linear", Ridge())], **small), X, y.astype(float)),
    "pretrained": (PretrainedTeacher(nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 4)), range(4),
                                     feature_layer="1", device="cpu"), X, y),
    "fusion": (FusionClassifier(modalities=["left", "right"], **small), halves, y),
    "selector": (CCHSelector(student="left", n_repeats=2, network=network, n_components=3,
                             distiller=MultiTeacherDistiller(**small), random_state=0), halves, y),
}


# ---------------------------------------------------------------- what forgers might try

NAMES = ["lr", "forward", "_compiled_call_impl", "predict", "classes_", "weight", "_modules", "__class__",
         "compile", "callbacks", "memory", "net_", "kind", "shape", "reader_", "dtype", "reach", "in_features", "training", "coef_",
         "_forward_hooks", "module", "teachers_", "estimator", "n_features_in_", "optimizer__lr", "__reduce__"]
CLASSES = ["builtins.print", "os.system", "torch.nn.modules.linear.Linear", "torch.nn.modules.module.Module",
           "torch.nn.modules.container.Sequential", "torch.nn.modules.conv.Conv2d", "torch.optim.adam.Adam",
           "torch.nn.modules.rnn.GRU", "torch.nn.modules.activation.MultiheadAttention",
           "torch.nn.modules.upsampling.Upsample", "torch.nn.modules.sparse.EmbeddingBag",
           "cmkdlearn.teachers._unimodal.UnimodalTeacher", "cmkdlearn.embedding._clip.CLIPEmbedder",
           "cmkdlearn.teachers._ensemble.TeacherEnsemble", "sklearn.pipeline.Pipeline",
           "sklearn.linear_model._logistic.LogisticRegression", "sklearn.svm._classes.SVC",
           "skorch.callbacks.training.Checkpoint", "timm.models.resnet.ResNet", "cmkdlearn.losses._kd.KD",
           "timm.layers.format.Format", "cmkdlearn._bridge.net.Net", "trusted:Mine"]
KINDS = ["list", "tuple", "dict", "set", "frozenset", "object", "name", "net", "Tensor", "Parameter", "ndarray",
         "objects", "words", "scalar", "float", "slice", "RandomState", "Generator", "History", "Verdict",
         "enum", "dtype", "WordNetNouns", "OrderedDict", "skops", "path", "device"]
NUMBERS = [0, -1, 1, 2, 3, 10**4, 2**31, 2**63, -2**63, 2**64, 10**30, 1e308, -1e-3, 0.5, float("inf"), float("nan")]
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]


def choice(rng, items):
    return items[rng.integers(len(items))]


def junk(rng, n_rows):
    """Something for the place of something else."""
    return choice(rng, [
        lambda: choice(rng, NUMBERS), lambda: None, lambda: bool(rng.integers(2)), lambda: choice(rng, NAMES),
        lambda: choice(rng, CLASSES), lambda: "a" * int(rng.integers(1, 5000)), lambda: "\x1b[31m",
        lambda: [int(rng.integers(n_rows))], lambda: [int(rng.integers(n_rows))], lambda: [n_rows], lambda: [-1],
        lambda: [], lambda: [[]], lambda: {}, lambda: {"a": [0]}, lambda: [1, 2]])()


def places(value, path=()):
    """All places in nested lists and dicts."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def change(rng, table, tensors):
    """Change a table or its tensors in one of many ways."""
    rows, n = table["objects"], len(table["objects"])
    row = choice(rng, rows)
    where = list(places(row))
    kind = rng.integers(16)
    if kind == 0:  # rows exchanged
        i, j = rng.integers(n, size=2)
        rows[i], rows[j] = rows[j], rows[i]
    elif kind == 1:  # a row twice
        rows[rng.integers(n)] = copy.deepcopy(row)
    elif kind in (2, 3, 4):  # another value
        holder, key = choice(rng, where)
        holder[key] = junk(rng, n)
    elif kind == 5:  # two values exchanged
        (one, a), (other, b) = choice(rng, where), choice(rng, list(places(choice(rng, rows))))
        one[a], other[b] = other[b], one[a]
    elif kind == 6:  # another kind of row
        row[0] = choice(rng, KINDS)
    elif kind == 7:  # another class, or another name
        named = [r for r in rows if r[0] in ("object", "name")]
        choice(rng, named)[1] = choice(rng, CLASSES + [r[1] for r in named])
    elif kind in (8, 9):  # an attribute more, less, or of another name
        state = choice(rng, [r[2] for r in rows if r[0] == "object" and r[2]])
        name = choice(rng, list(state))
        value = state.pop(name) if rng.integers(2) else state[name]
        other = choice(rng, NAMES + [name for r in rows if r[0] == "object" for name in r[2]])
        if rng.integers(3):
            state[other] = value if rng.integers(2) else junk(rng, n)
    elif kind == 10:  # something of a list or dict less, or twice
        holder, key = choice(rng, where)
        if isinstance(holder, list):
            holder.insert(key, holder[key]) if rng.integers(2) else holder.pop(key)
        else:
            del holder[key]
    elif kind == 11:  # nested, or shared, many times over
        levels = int(choice(rng, [2, 40, 300]))
        made = choice(rng, ["tuple", "list", "dict", "set", "frozenset"])
        root = rows.pop()
        for _ in range(levels):
            last = [len(rows) - 1]
            rows.append([made, [[last, 1]] if made == "dict" else [last] * int(rng.integers(1, 3))])
        if root[0] == "object":
            root[2][choice(rng, [*root[2], *NAMES])] = [len(rows) - 1]
        rows.append(root)
        table["root"] = [len(rows) - 1]
    else:  # a tensor of another dtype, shape or content
        name = choice(rng, list(tensors))
        tensor = tensors[name]
        tensors[name] = choice(rng, [
            lambda: tensor.to(choice(rng, DTYPES)), lambda: tensor.flatten(), lambda: tensor[None],
            lambda: tensor[..., :0], lambda: tensor[:1] if tensor.ndim else tensor, lambda: tensor.new_zeros(()),
            lambda: tensor.new_zeros((0, 2**40)), lambda: torch.cat([tensor, tensor]) if tensor.ndim else tensor,
            lambda: tensor.mT.contiguous() if tensor.ndim > 1 else tensor,
            lambda: tensor.new_full(tensor.shape, 3)])()


def forged(content, rng):
    """Return what is in a file like another one, with a few changes."""
    table, tensors = json.loads(content[0]), dict(content[1])
    for _ in range(int(rng.integers(1, 4))):
        try:
            change(rng, table, tensors)
        except (IndexError, KeyError, TypeError, AttributeError, ValueError):
            pass  # there is nothing of this kind to change
    return json.dumps(table).encode(), tensors


def write(path, content):
    """Write a file with a good checksum."""
    table, tensors = content
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    _format.write(path, {**tensors, "estimator": torch.frombuffer(bytearray(table), dtype=torch.uint8)}, "A card.")


# ---------------------------------------------------------------- what happens

class Watch:
    """Records classes that are called and what reaches out of the process."""

    forbidden = ("exec", "compile", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork",
                 "socket.connect", "pickle.find_class", "ctypes.dlopen", "open", "import", "shutil.rmtree",
                 "os.remove", "os.rename")

    def __init__(self):
        self.on, self.events, self.made = False, [], set()
        sys.addaudithook(self.hear)

    def hear(self, event, args):
        if self.on and event in self.forbidden:
            self.events.append((event, str(args)[:100]))

    def see(self, frame, event, arg):
        if event == "call" and frame.f_code.co_name in ("__init__", "__new__", "__setstate__") \
                and frame.f_code is not nn.Module.__init__.__code__:
            cls = frame.f_locals.get("self", frame.f_locals.get("cls"))
            cls = cls if isinstance(cls, type) else type(cls)
            if not issubclass(cls, BaseException):
                self.made.add(f"{cls.__module__}.{cls.__qualname__}")

    def __enter__(self):
        self.on, self.events, self.made = True, [], set()
        sys.setprofile(self.see)
        return self

    def __exit__(self, *args):
        sys.setprofile(None)
        self.on = False


def says(model, X):
    return [getattr(model, method)(X) for method in ("predict", "predict_proba") if hasattr(model, method)]


def try_files(path, content, X, seeds):
    """Return what came of each forged file, in a process of its own."""
    import timm  # noqa: F401  which a name may ask for

    torch.set_num_threads(1)
    watch, outcomes, usual = Watch(), Counter(), set()
    write(path, content)
    for _ in range(2):  # the first time there is more to import
        with watch:
            expected = says(load(path), X)
        usual |= watch.made
    for seed in seeds:
        write(path, forged(content, np.random.default_rng(seed)))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        began, problem = time.perf_counter(), ""
        try:
            with warnings.catch_warnings(), watch, np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model = load(path)
        except ValueError as error:
            outcome = "refused"
            if not str(error).startswith(f"{path}: "):
                problem = f"not by name: {error}"
        except Exception as error:
            outcome, problem = "failed", f"{type(error).__name__}: {error}"
        else:
            outcome = "loaded"
        made, events = watch.made, [event for event in watch.events if str(path) not in event[1]]
        if outcome == "loaded":
            try:
                with warnings.catch_warnings(), watch, np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    said = says(model, X)
                same = len(said) == len(expected) and all(map(np.array_equal, said, expected))
                outcome = "identical" if same else "another model"
            except Exception as error:
                outcome = "cannot predict"
                if not isinstance(error, (FloatingPointError, ValueError)):
                    problem = f"{type(error).__name__}: {error}"
            made, events = made | watch.made, events + watch.events
        faulthandler.cancel_dump_traceback_later()
        if strange := made - usual:
            problem = f"called {sorted(strange)}"
        if events:
            problem = f"reached out: {events[:3]}"
        outcomes[outcome] += 1
        if problem:
            outcomes[f"PROBLEM seed {seed}: {problem}"] += 1
        if time.perf_counter() - began > SECONDS / 2:
            outcomes[f"PROBLEM seed {seed}: took {time.perf_counter() - began:.0f} s"] += 1
    return outcomes


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Sound files: what is in each, and samples for its model."""
    folder, files = tmp_path_factory.mktemp("sound"), {}
    for name, (model, samples, labels) in MODELS.items():
        save(model.fit(samples, labels), folder / name)
        tensors = _format.read(folder / name)[1]
        table = tensors.pop("estimator").numpy().tobytes()
        files[name] = (table, tensors), {"left": samples["left"]} if name == "selector" else samples
    return files


@pytest.fixture(scope="module")
def process():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield pool


def fuzz(process, sound, folder, name, seeds):
    content, samples = sound[name]
    try:
        outcomes = process.submit(try_files, folder / name, content, samples, seeds).result()
    except BrokenProcessPool:
        pytest.fail(f"A file forged of {name} by one of {seeds} ended the process, or took {SECONDS} s.")
    assert not [outcome for outcome in outcomes if outcome.startswith("PROBLEM")]
    assert outcomes["refused"] > 0.7 * len(seeds)
    assert outcomes["identical"] > 0
    # numbers that may be what they are, as in another model: a normalisation's epsilon, a label
    assert outcomes["another model"] + outcomes["cannot predict"] < 0.1 * len(seeds)


@pytest.mark.parametrize("name", ["network", "ensemble", "unpaired"])
def test_forged_files_are_refused_or_models(process, sound, tmp_path, name):
    fuzz(process, sound, tmp_path, name, range(70))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_thousands_of_forged_files(process, sound, tmp_path, name):
    fuzz(process, sound, tmp_path, name, range(1000, 1300))
