"""Embedders: throughput, the cache, and what ConSE's embeddings are worth.

    python -m benchmarks.embedding [--images 1024] [--texts 2000]

Writes docs/results/embedding.json. Ratios are medians over interleaved pairs in one run; on a CPU
they are of processor time, which a busy machine disturbs less. Accuracies need
CMKDLEARN_DATA for CIFAR-10; Fashion-MNIST comes with the package.
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn
import timm
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

import cmkdlearn
from benchmarks import _data
from cmkdlearn.datasets import load_fashion_mini
from cmkdlearn.embedding import ConSEEmbedder
from cmkdlearn.embedding._base import _unit_rgb
from cmkdlearn.nn.data import resolve_device

RESULTS = Path(__file__).parent.parent / "docs" / "results" / "embedding.json"
SEED = 0


def seconds(work, device, clock=time.perf_counter):
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def throughput(embedder, images, repetitions):
    """``transform`` against a bare loop over the same network and preprocessed batches."""
    device = resolve_device(embedder.device)
    network = embedder._network(device)
    size = embedder.batch_size
    with torch.inference_mode():
        batches = [network.preprocess(_unit_rgb(np.moveaxis(images[i:i + size], -1, 1), device))
                   for i in range(0, len(images), size)]

    def bare():
        with torch.inference_mode(), torch.autocast(device.type, enabled=device.type == "cuda"):
            for batch in batches:
                logits = network.classifier(batch).float() / network.temperature
                F.normalize(logits.softmax(1) @ network.class_embedding).cpu()

    def ours():
        embedder.transform(images)

    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for work in (ours, bare):
        work()
    pairs = [(seconds(ours, device, clock), seconds(bare, device, clock))
             for _ in range(repetitions)]
    return {"images": len(images), "seconds_transform_and_bare": pairs, "clock": clock.__name__,
            "ratio_to_bare_loop": statistics.median(a / b for a, b in pairs), "target": 1.05,
            "images_per_second": len(images) / statistics.median(a for a, _ in pairs)}


def cache(embedder, images):
    """A second call against the first."""
    device = resolve_device(embedder.device)
    embedder._network(device)
    with tempfile.TemporaryDirectory() as folder:
        embedder = sklearn.clone(embedder).set_params(memory=folder)
        first = seconds(lambda: embedder.transform(images), device)
        again = statistics.median(seconds(lambda: embedder.transform(images), device)
                                  for _ in range(5))
    return {"images": len(images), "computed_seconds": first, "cached_seconds": again,
            "times_faster": first / again, "target": 100}


def texts_per_second(embedder, n):
    words = [f"a photo of a {a} {b}." for a in _WORDS for b in _WORDS][:n]
    device = resolve_device(embedder.device)
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    took = seconds(lambda: embedder.encode_text(words), device, clock)
    return {"texts": len(words), "texts_per_second": len(words) / took}


def worth(embedder, data):
    """Zero-shot accuracy and that of logistic regression on the embeddings."""
    V_train, V_test = embedder.transform(data.X_train), embedder.transform(data.X_test)
    N = embedder.encode_text([f"a photo of a {name}." for name in data.class_names])
    zero_shot = np.asarray(data.class_names)[(V_test @ N.T).argmax(1)]
    linear = LogisticRegression(C=10, max_iter=500).fit(V_train, data.y_train)
    return {"n_train": len(V_train), "n_test": len(V_test),
            "zero_shot": float(np.mean(zero_shot == data.y_test)),
            "logistic_regression": float(linear.score(V_test, data.y_test))}


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--speed-only", action="store_true", help="keep the accuracies on file")
    options = parser.parse_args()

    device = resolve_device("auto")
    embedder = ConSEEmbedder(batch_size=256 if device.type == "cuda" else 32)
    images = np.random.default_rng(SEED).integers(0, 256, (options.images, 32, 32, 3), np.uint8)
    results = {
        "versions": {"cmkdlearn": cmkdlearn.__version__, "torch": torch.__version__,
                     "timm": timm.__version__, "scikit-learn": sklearn.__version__,
                     "python": platform.python_version()},
        "device": (torch.cuda.get_device_name() if device.type == "cuda"
                   else f"CPU, {torch.get_num_threads()} threads"),
        "seed": SEED,
        "embedder": repr(embedder),
        "throughput": throughput(embedder, images, options.repetitions),
        "cache": cache(embedder, images),
        "texts": texts_per_second(embedder, options.texts),
    }
    if options.speed_only:
        results["accuracy"] = json.loads(RESULTS.read_text())["accuracy"]
    else:
        results["accuracy"] = accuracies(embedder)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    json.dump(results, sys.stdout, indent=2)


def accuracies(embedder):
    data = {"fashion_mini": load_fashion_mini()}
    if _data.has("cifar10_jpeg"):
        data["cifar10"] = _data.cifar10(3000, 1000, random_state=SEED)
    settings = {"default": {}, "n_top=10, temperature=1": {"n_top": 10, "temperature": 1.0}}
    return {name: {setting: worth(sklearn.clone(embedder).set_params(**params), bunch)
                   for setting, params in settings.items()} for name, bunch in data.items()}


_WORDS = ("red green old new small large wooden iron paper glass garden kitchen winter summer "
          "river mountain city village school market bird horse dog cat ship truck car plane frog "
          "deer table chair lamp window door bridge tower church castle temple apple bread cheese "
          "coat shirt shoe bag hat clock radio").split()

if __name__ == "__main__":
    main()
