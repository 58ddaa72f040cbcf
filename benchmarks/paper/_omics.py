"""CCH on cohorts of The Cancer Genome Atlas: mRNA or RPPA teaches CNV the subtype.

Columns are standardised, and the hundred of each modality chosen by mRMR, on the training samples;
the paper chooses before it divides, as far as it says. Noise of p stands beside 1 - p of the
teacher's standardised columns, in training and test. Information is of each half of all patients,
by networks fitted on the other half: a test part of a tenth would be too few. A batch is all
samples. The encoders' dropout in fusion is lost in the text at hand, and one half here.
"""

from functools import lru_cache

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from benchmarks.paper import _cch
from benchmarks.paper._cch import NOISE
from benchmarks.paper._tables import Table
from cmkdlearn.datasets import load_tcga
from cmkdlearn.nn.samples import take
from cmkdlearn.preprocessing import MRMR
from cmkdlearn.students import FusionClassifier

LAYOUT = ("HiSeqV2, Gistic2_CopyNumber_Gistic2_all_data_by_genes and RPPA, tables in the form of "
          "Xena's or Firehose's, and a table {} (see cmkdlearn.datasets.load_tcga)")
NAMES = {"mrna": "mRNA", "cnv": "CNV", "rppa": "RPPA"}
PRINTED = {"widths": (64,)}  # Table 9
TRAINING = {"optimizer": torch.optim.Adam, "lr": 0.01}  # Table 17
TEMPERATURE = 2.0
FUSION = {"widths": (64,), "dropout": 0.5}  # Table 18
INFORMATION = ("I(T; S)", "I(S; Y)", "MI gap")
MEASURES = {"accuracy": "accuracy", "auc": "AUC", "macro f1": "macro F1", "f1": "weighted F1"}


@lru_cache
def cohort(folder, subtypes="subtypes", label="subtype"):
    """Return the three tables of the complete cases, by name, and their subtypes."""
    found = load_tcga(folder, subtypes=subtypes, label=label)
    return {NAMES[name]: table.to_numpy() for name, table in found.X.items()}, found.y


def tables(settings, item, degraded, fusion=None):
    """Return the table of noise and, where there is one, that of fusion.

    Parameters
    ----------
    settings : dict
        With "pairs", of which the first is spoilt by "noise".
    item : str
    degraded : dict of str to sequence
        What is printed, by measure: "I(T; S)" and "I(S; Y)" in nats, "KD" and "no KD" weighted F1,
        at 0 to 80 %.
    fusion : (str, dict, tuple), optional
        The table's name, what is printed in it by pair (three informations, and four measures
        of "fusion" and of "fusion + KD"), and its claims.
    """
    pairs, noise = settings["pairs"], settings["noise"]
    cells = {f"{level:.0%} noise": f"{pairs[0]}, {level:.0%} noise" for level in noise}
    known = degraded | {"MI gap": np.subtract(degraded["I(T; S)"], degraded["I(S; Y)"]).tolist()} \
        if pairs[0] == "mRNA to CNV" else {}
    rows = [NOISE.index(level) for level in noise]

    def printed(name, scale=1.0):
        return [scale * known[name][row] if name in known else None for row in rows]

    yield Table(item, f"{pairs[0]}: the student's weighted F1 (%)", cells,
                {"no KD": "no KD", "KD": "KD", "teacher": "teacher"},
                {name: printed(name, 100) for name in ("no KD", "KD")}, measure="f1",
                against="no KD")
    for measure in INFORMATION:
        yield Table(item, f"{pairs[0]}: {measure} (nats)", cells, {"latentmi": "MI"},
                    {"latentmi": printed(measure)}, measure=measure, scale=1.0)
    if fusion is None:
        return
    item, known, claims = fusion
    cells = {pair: f"{pair}, 0% noise" for pair in pairs}
    for i, measure in enumerate(("I(T; Y)", "I(T; S)", "I(S; Y)")):
        yield Table(item, f"{measure} (nats)", cells, {"latentmi": "MI"},
                    {"latentmi": [known[pair]["nats"][i] if pair in known else None
                                  for pair in pairs]}, measure=measure, scale=1.0)
    for i, (measure, name) in enumerate(MEASURES.items()):
        yield Table(item, f"{name} (%)", cells, {way: way for way in ("fusion", "fusion + KD")},
                    {way: [100 * known[pair][way][i] if pair in known else None for pair in pairs]
                     for way in ("fusion", "fusion + KD")}, measure=measure, against="fusion",
                    claims=() if measure == "auc" else claims)  # printed areas contradict them


def run(X, y, method, cell, seed, settings, work, fusion, division=None):
    """Fit a method on tables of the same samples.

    ``fusion`` is the rate and the temperature of it. ``division`` is what is for training and what
    for testing; if it is not given, nine tenths are drawn for training.
    """
    pair, level = cell.split(", ")
    teacher, student = pair.split(" to ")
    X = {"teacher": X[teacher], "student": X[student]}
    level, rows = float(level.split("%")[0]) / 100, np.arange(len(y))
    training = {**TRAINING, "max_epochs": settings["epochs"]}

    def divided(train, test):
        return _prepared(X, y, train, test, level, seed, settings["columns"])

    if method.startswith("MI"):
        halves = StratifiedKFold(2, shuffle=True, random_state=seed).split(rows, y)
        parts = [divided(train, test) for train, test in halves]
        return _cch.run(method, cell, seed, work, data=None, measured=parts, printed=PRINTED,
                        training=training, temperature=TEMPERATURE, mi=settings["mi"])
    data = divided(*division or train_test_split(rows, test_size=0.1, stratify=y,
                                                 random_state=seed))
    if not method.startswith("fusion"):
        return _cch.run(method, cell, seed, work, data=data, printed=PRINTED, training=training,
                        temperature=TEMPERATURE, mi=settings["mi"])
    both = FusionClassifier(
        modalities=("teacher", "student"), alpha=0.5, batch_size=len(data.y_train),
        teacher_modality="teacher" if method == "fusion + KD" else None, random_state=seed,
        **_cch.network(data.X_train["student"], **FUSION), **(training | fusion))
    return _cch.scores(both.fit(data.X_train, data.y_train), data)


def _prepared(X, y, train, test, level, seed, columns):
    """Return the chosen columns of both parts (None: all), the teacher's with noise."""
    data = Bunch(X_train={}, X_test={}, y_train=y[train], y_test=y[test])
    for name, table in X.items():
        steps = [StandardScaler(), *([MRMR(columns)] if columns else [])]
        choice = make_pipeline(*steps).fit(table[train], y[train])
        for i, (part, rows) in enumerate((("X_train", train), ("X_test", test))):
            chosen = choice.transform(take(table, rows)).astype(np.float32)
            data[part][name] = degraded(chosen, level if name == "teacher" else 0.0, [seed, i])
    return data


def degraded(X, level, seed):
    """Return columns of unit variance with noise for a share of their size."""
    noise = np.random.default_rng(seed).standard_normal(X.shape, dtype=np.float32)
    return X if level == 0 else ((1 - level) * X + level * noise).astype(np.float32)
