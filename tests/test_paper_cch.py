"""CCH's experiments, each run end to end on a miniature of its data set's layout."""

import io

import miniature_layouts as layouts
import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import __main__ as command
from benchmarks.paper import (
    _cch,
    _omics,
    _run,
    cch_brca,
    cch_kipan,
    cch_lihc,
    cch_mnist_m,
    cch_mosei,
)


def mnist(folder):
    """Digits that are stripes, a place a class, and photographs somewhere below BSDS500."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 60), ("test", 40)):
        y = np.arange(n) % 10
        X = rng.integers(0, 60, (n, 28, 28), dtype=np.uint8)
        for image, k in zip(X, y, strict=True):
            image[2 * k:2 * k + 4] = 250
        arrays |= {f"X_{part}": X, f"y_{part}": y}
    np.savez(folder / "mnist.npz", **arrays)
    photographs = folder / "BSDS500" / "data" / "images"
    photographs.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
            photographs / f"{i}.jpg")


def cohort(folder, subtypes):
    layouts.tcga(folder, n=12, subtypes=subtypes, label="subtype")
    (folder / "BRCA_clinicalMatrix").rename(folder / "subtypes")


def others(folder):
    """ROSMAP, RAVDESS and fashion products as the folder of data has them."""
    rng = np.random.default_rng(0)
    y = {"train": np.arange(30) % 2, "test": np.arange(10) % 2}
    np.savez(folder / "rosmap_omics.npz", **{f"y_{part}": labels for part, labels in y.items()}, **{
        f"{name}_{part}": (rng.standard_normal((len(labels), 5)) + labels[:, None]).astype("f4")
        for name in ("mrna", "methylation", "mirna") for part, labels in y.items()})
    y = np.arange(40, dtype=np.uint8) % 2
    np.savez(folder / "ravdess_speech.npz", y=y, fold=np.arange(40) // 2 % 4,
             logmel=rng.integers(0, 255, (40, 64, 128), dtype=np.uint8) + 100 * y[:, None, None],
             action_units=rng.standard_normal((40, 35), dtype=np.float32))
    jpeg, names = [], rng.choice([f"word{i}" for i in range(60)], (40, 8))
    for k in y:
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 99, (80, 60, 3), dtype=np.uint8) + 100 * k).save(file, "JPEG")
        jpeg.append(np.frombuffer(file.getvalue(), dtype=np.uint8))
    np.savez(folder / "fashion_products_image_text.npz", usage=y, colour=1 - y,
             title=np.array([" ".join(words) for words in names]), jpeg=np.concatenate(jpeg),
             offset=np.append(0, np.cumsum([len(part) for part in jpeg])), fold=np.arange(40) // 2 % 5)


LAYOUTS = {
    "cch-synthetic": lambda folder: None,
    "cch-mnist-m": mnist,
    "cch-mosei": lambda folder: layouts.mosei(folder, n_train=40, n_test=24),
    "cch-brca": lambda folder: layouts.tcga(folder, n=12),
    "cch-kipan": lambda folder: cohort(folder, ("KICH", "KIRC", "KIRP")),
    "cch-others": others,
    "cch-lihc": lambda folder: cohort(folder, ("Blast", "CHOL", "Liver")),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_experiment_runs_on_its_set_as_it_is_distributed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_run, "FOLDER", tmp_path / "out")
    data = tmp_path / "data"
    data.mkdir()
    LAYOUTS[name](data)
    command.main(["run", f"paper/{name}", "--data", str(data), "--scale", "miniature",
                  "--seeds", "2"])
    results = _run.load(name, "miniature")
    assert results.complete()
    text = capsys.readouterr().out
    for table in _run.module(name).tables("miniature"):
        assert f"{table.item}: {table.shows}" in text
        for row in table.entries(results):
            assert all("here" in entry and "nan" not in entry for entry in row[1:])


def parts(network):
    return [(type(part).__name__, getattr(part, "out_features", getattr(part, "num_features", None)))
            for part in network]


def test_networks_as_printed():
    assert parts(_cch.Perceptron(100, **_omics.PRINTED, n_classes=5)) == [  # Table 9
        ("Flatten", None), ("Linear", 64), ("ReLU", None), ("Linear", 5)]
    assert parts(_cch.Perceptron(784, **cch_mnist_m.PRINTED, n_classes=10)) == [  # Table 11
        ("Flatten", None), ("Linear", 1024), ("LeakyReLU", None), ("Linear", 256),
        ("LeakyReLU", None), ("Linear", 10)]
    (first, second) = cch_mosei.PRINTED["widths"]
    assert parts(_cch.Perceptron(35, **cch_mosei.PRINTED, n_classes=2)) == [  # Table 14
        ("Flatten", None), ("Linear", first), ("ReLU", None), ("BatchNorm1d", first),
        ("Dropout", None), ("Linear", second), ("ReLU", None), ("BatchNorm1d", second),
        ("Dropout", None), ("Linear", 2)]
    assert parts(_cch.Perceptron(100, **_omics.FUSION, n_classes=3))[:-1] == [  # Table 18
        ("Flatten", None), ("Linear", 64), ("ReLU", None), ("BatchNorm1d", 64), ("Dropout", None)]
    assert _omics.TRAINING["optimizer"] is torch.optim.Adam


def test_noise_takes_the_place_of_the_columns():
    X = np.random.default_rng(0).standard_normal((20_000, 2), dtype=np.float32)
    spoilt = _omics.degraded(X, 0.2, [0, 1])
    noise = (spoilt - 0.8 * X) / 0.2
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.02)
    np.testing.assert_allclose(np.corrcoef(noise[:, 0], X[:, 0])[0, 1], 0, atol=0.02)
    assert _omics.degraded(X, 0.0, [0, 1]) is X
    assert (_omics.degraded(X, 0.2, [1, 1]) != spoilt).any()


@pytest.mark.parametrize(("module", "printed", "gap"), [
    (cch_brca, cch_brca.TABLE_5, (0.2248, 0.1797, 0.0930, -0.061, -0.1432)),
    (cch_kipan, cch_kipan.TABLE_6, (0.0904, 0.0204, -0.0223, -0.0785, -0.0605)),
    (cch_lihc, cch_lihc.TABLE_7, (0.0133, 0.0044, -0.0082, -0.0045, -0.0372))])
def test_printed_gaps_are_differences_and_have_the_gains_sign(module, printed, gap):
    difference = np.subtract(printed["I(T; S)"], printed["I(S; Y)"])
    np.testing.assert_allclose(difference, gap, atol=1e-9)
    np.testing.assert_array_equal(np.sign(gap), np.sign(np.subtract(printed["KD"], printed["no KD"])))
    tables = {table.shows: table for table in module.tables("full")}
    np.testing.assert_allclose(tables["mRNA to CNV: MI gap (nats)"].printed["latentmi"], gap)
