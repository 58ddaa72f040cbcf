"""What the data sets of UCMKD have in common: methods, conditions, and the printed tables.

A cell is a direction, as in "A→V" (the teacher hears, the student sees), and perhaps a condition,
as in "A→V, hard". Teacher and student are trained alike, by Table 12. What is not printed is done
as plainly as can be: no augmentation, no momentum, the last epoch's weights.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from joblib import Memory
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch

from benchmarks.evidence._digits import class_matched
from benchmarks.paper._tables import Table
from cmkdlearn.datasets import make_unpaired, subsample
from cmkdlearn.losses import get_loss
from cmkdlearn.nn.samples import take
from cmkdlearn.preprocessing import LogSpectrogram
from cmkdlearn.presets import preset
from cmkdlearn.students import MultiTeacherDistiller, UCMKDStudent
from cmkdlearn.teachers import UnimodalTeacher
from cmkdlearn.theory import ucmkd_bound

PAPER = "UCMKD"
DIRECTIONS = {"A→V": ("audio", "image"), "V→A": ("image", "audio")}

# Table 12, the same for all sets and networks
TRAINING = {key: value for key, value in preset("ucmkd/ravdess")["teacher"].items()
            if key != "module"}
FALLING = {"schedule": "cosine"}  # section 4.1 calls 0.01 the initial rate
SCRIPT = FALLING | {"warmup": 0.05, "optimizer__momentum": 0.9}

BACKBONES = {condition: tuple(preset(f"ucmkd/ravdess{variant}")[part]["module"]
                              for part in ("teacher", "student"))
             for condition, variant in (("", ""), ("ResNet-50", "-resnet50"),
                                        ("ViT-B to ViT-S", "-vit-b"),
                                        ("ViT-L to ViT-S", "-vit-l"))}
TINY = {"res": "test_resnet", "vit": "test_vit"}
FRACTIONS = {"half": 0.5, "two fifths": 0.4, "three tenths": 0.3}
PRESETS = ("medium", "hard")
COSINE = "rate falls along a cosine"
NEW_SPEAKERS = "new speakers, the script's training"
BESIDE_TABLE_12 = {COSINE: FALLING, NEW_SPEAKERS: SCRIPT}

WEIGHTS = (0.2, 0.4, 0.6, 0.8, 1.0)
UNPAIRED = {  # what departs from UCMKDStudent.paper()
    "CE": {"lambda_fa": 0.0, "lambda_la": 0.0},
    "Feature KD": {"bilevel": False, "lambda_la": 0.0},  # one pass, by equation 57
    "UCMKD": {},
    "FA-only (bilevel)": {"lambda_la": 0.0},
    "LA-only (bilevel)": {"lambda_fa": 0.0},
    "Both (w/o bilevel)": {"bilevel": False},
    "UCMKD, l1": {"metric": "l1"},
    "UCMKD, angular": {"metric": "angular"},
    **{f"UCMKD, {fa}, {la}": {"lambda_fa": fa, "lambda_la": la}
       for fa in WEIGHTS for la in WEIGHTS if (fa, la) != (1.0, 1.0)},
}
PAIRED = {"Vanilla KD": "kd", "RLD": "rld", "RKD": "rkd", "DKD": "dkd", "C2KD": "c2kd",
          "FitNet": "fitnet", "Review": "review"}
CLASS_MATCHED = {"NORM, class-matched": "norm", "Review, class-matched": "review"}
PAIRED_LOSS = {"alpha": 0.1, "temperature": 4.0}  # the script's 0.1 CE + 0.9 KD; not printed

# ------------------------------------------------------------------ printed

SETS = ("AVE", "RAVDESS", "CREMA-D", "VGGSound")
BEST = "UCMKD consistently achieves the best performance"
BASELINES = "UCMKD consistently outperforms competing baselines"
EVERY = ("Table 1", "Table 1 (script, ours)", "Table 1 (falling rate, ours)", "Table 2", "Table 9",
         "Figure 3")
OF_SET = {
    "AVE": (*EVERY, "Table 6", "Table 8", "Table 10", "Table 11"),
    "RAVDESS": (*EVERY, "Table 1 (new speakers, ours)", "Table 3", "Table 4", "Table 5", "Table 6",
                "Table 7", "Table 8", "Table 10", "Table 11", "Table 13", "Table 14", "Figure 2"),
    "CREMA-D": (*EVERY, "Table 7", "Table 11", "Table 13"),
    "VGGSound": EVERY,
}
TABLE_1 = {
    "Teacher": (52.74, 30.35, 79.92, 77.72, 65.46, 70.97, 56.78, 44.43),
    "CE": ((27.70, 2.35), (50.08, 2.88), (65.47, 3.69), (70.66, 1.16), (71.51, .88), (61.96, .83),
           (41.68, 2.32), (54.40, 2.34)),
    "Feature KD": ((31.01, 1.04), (48.51, 1.49), (65.37, 3.20), (69.80, 2.96), (69.22, 1.38),
                   (61.69, .69), (41.07, 1.84), (52.08, .83)),
    "Vanilla KD": ((29.85, 1.85), (49.01, 2.47), (67.17, 3.86), (73.10, 1.63), (72.18, 1.15),
                   (62.45, .56), (43.35, .29), (51.71, .69)),
    "UCMKD": ((34.16, 1.12), (52.24, 1.08), (73.83, 1.25), (74.43, 2.15), (71.64, .86),
              (66.67, 1.24), (43.10, .38), (56.84, .47)),
}
TABLE_2 = {
    "Vanilla KD": TABLE_1["Vanilla KD"],
    "RLD": ((22.80, 1.22), (42.87, .82), (56.64, 1.98), (63.94, .85), (43.54, 4.59), (53.04, .67),
            (32.73, .66), (44.66, .70)),
    "RKD": ((27.86, .70), (42.54, .54), (41.60, 6.33), (39.50, 1.53), (44.44, 2.79), (62.50, .87),
            (37.30, .49), (50.71, .40)),
    "DKD": ((22.80, .65), (34.08, 1.66), (62.67, 4.27), (62.27, 2.57), (30.02, 6.11), (57.40, .38),
            (35.70, .28), (43.85, .29)),
    "C2KD": ((33.33, .73), (47.15, 1.61), (56.41, 2.42), (82.78, .41), (71.50, .11), (64.43, .42),
             (40.90, .30), (61.90, .27)),
    "FitNet": ((25.87, 1.95), (49.25, 1.61), (68.08, .75), (69.96, 3.43), (70.11, 1.32),
               (65.01, .01), (37.90, .39), (57.10, .79)),
    "Review": ((22.30, .62), (48.92, .65), (54.91, 3.20), (71.50, 2.00), (63.89, 1.68),
               (61.02, .54), (38.20, .47), (57.90, .79)),
    "UCMKD": ((33.50, 1.82), (53.07, .51), (76.06, 2.28), (75.13, .65), (70.43, .66),
              (66.75, 1.36), (43.70, .182), (55.98, .38)),
}
TABLES_3_TO_5 = {
    "Table 3": ("half", {"CE": ((59.87, .76), (71.86, 2.30)),
                         "Feature KD": ((55.48, 2.85), (69.16, 5.35)),
                         "Vanilla KD": ((57.91, 4.93), (69.03, 4.68)),
                         "UCMKD": ((72.76, 5.14), (74.35, 1.27))}),
    "Table 4": ("two fifths", {"CE": ((57.14, 3.64), (69.93, 3.75)),
                               "Feature KD": ((50.88, 3.49), (71.96, .84)),
                               "Vanilla KD": ((57.68, 1.50), (71.63, .91)),
                               "UCMKD": ((69.56, 2.17), (78.72, .80))}),
    "Table 5": ("three tenths", {"CE": ((54.51, 4.10), (68.96, 2.20)),
                                 "Feature KD": ((50.71, 6.76), (63.97, 2.20)),
                                 "Vanilla KD": ((50.98, 4.40), (68.46, .60)),
                                 "UCMKD": ((69.03, 2.50), (77.32, 1.34))}),
}
TABLE_6 = {
    "FA-only (bilevel)": {"AVE": (31.01, 48.51), "RAVDESS": (65.37, 69.80)},
    "LA-only (bilevel)": {"AVE": (30.02, 48.92), "RAVDESS": (67.90, 69.33)},
    "Both (w/o bilevel)": {"AVE": (28.11, 48.26), "RAVDESS": (66.47, 69.53)},
    "UCMKD": {"AVE": (34.16, 52.24), "RAVDESS": (73.83, 74.43)},
}
TABLE_7 = {
    "l1": {"RAVDESS": (74.23, 73.65), "CREMA-D": (70.67, 63.52)},
    "l2": {"RAVDESS": (73.83, 74.44), "CREMA-D": (71.68, 66.59)},
    "angular": {"RAVDESS": (71.03, 73.03), "CREMA-D": (71.07, 62.41)},
}
TABLES_8_AND_10 = {
    "Table 8": ("ViT-B to ViT-S", {
        "Teacher": {"AVE": (75.87, 70.15), "RAVDESS": (90.41, 89.11)},
        "CE": {"AVE": (51.19, 53.73), "RAVDESS": (65.63, 66.13)},
        "Feature KD": {"AVE": (50.96, 56.22), "RAVDESS": (69.83, 67.73)},
        "UCMKD": {"AVE": (56.97, 58.21), "RAVDESS": (80.32, 72.43)}}),
    "Table 10": ("ViT-L to ViT-S", {
        "Teacher": {"AVE": (72.64, 76.87), "RAVDESS": (95.50, 90.57)},
        "CE": {"AVE": (51.19, 53.73), "RAVDESS": (65.63, 66.13)},
        "Feature KD": {"AVE": (56.47, 54.48), "RAVDESS": (74.53, 62.24)},
        "UCMKD": {"AVE": (59.45, 61.19), "RAVDESS": (88.42, 77.42)}}),
}
TABLE_9 = {  # seconds an epoch; on an RTX A6000
    "UCMKD": {"AVE": (31.8, 44.13), "CREMA-D": (34.8, 63.6), "RAVDESS": (103.3, 83.8),
              "VGGSound": (748.2, 692.3)},
    "Feature KD": {"AVE": (14.7, 16.3), "CREMA-D": (22.5, 31.9), "RAVDESS": (59.4, 53.0),
                   "VGGSound": (624.8, 237.9)},
}
TABLE_11 = {
    "NORM": {"AVE": (27.68, 50.49), "RAVDESS": (64.97, 70.12), "CREMA-D": (70.16, 60.48)},
    "REVIEW": {"AVE": (27.12, 46.27), "RAVDESS": (62.61, 68.42), "CREMA-D": (69.76, 60.62)},
    "UCMKD": {"AVE": (34.16, 52.24), "RAVDESS": (73.83, 74.43), "CREMA-D": (71.64, 66.67)},
}
TABLE_13 = {
    "Teacher": {"RAVDESS": (63.64, 70.13), "CREMA-D": (65.46, 74.06)},
    "CE": {"RAVDESS": ((52.25, .8), (57.58, 2.9)), "CREMA-D": ((71.33, 1.4), (61.16, .4))},
    "Feature KD": {"RAVDESS": ((50.25, .9), (72.03, 2.9)), "CREMA-D": ((69.71, .2), (62.37, .2))},
    "Vanilla KD": {"RAVDESS": ((66.67, 2.86), (72.60, 1.56)),
                   "CREMA-D": ((73.20, 1.65), (62.54, .17))},
    "UCMKD": {"RAVDESS": ((70.83, 4.2), (74.13, 3.5)), "CREMA-D": ((72.36, 1.2), (66.94, .9))},
}
TABLE_14 = {  # easy, medium, hard, for A→V and V→A
    "Feature KD": ((65.37, 56.34, 54.55), (69.80, 42.86, 39.06)),
    "CE": ((65.47, 61.04, 51.45), (70.66, 63.24, 44.96)),
    "UCMKD": ((73.83, 67.64, 64.23), (74.43, 67.93, 51.56)),
}


def tables(dataset, items=None, weights=WEIGHTS, without=()):
    """Return the paper's tables of a data set; None takes all of its own, with ours.

    ``weights`` is the grid of Figure 2 along each axis; the methods ``without`` are not run.
    """
    chosen = OF_SET[dataset] if items is None else items
    return tuple(
        replace(table, rows={row: None if method in without else method
                             for row, method in table.rows.items()})
        for table in _all_tables(dataset, weights) if table.item in chosen)


def _all_tables(dataset, weights):
    both = {name: name for name in DIRECTIONS}
    at = 2 * SETS.index(dataset)

    def of_set(printed):
        return {row: by_set[dataset] for row, by_set in printed.items() if dataset in by_set}

    def in_condition(condition):
        return {name: f"{name}, {condition}" for name in DIRECTIONS}

    def same(*names):
        return {name: name for name in names}

    yield Table("Table 1", "unpaired, and vanilla KD on pairs", both, same(*TABLE_1),
                {row: values[at:at + 2] for row, values in TABLE_1.items()}, against="CE",
                claims=((BEST, "UCMKD", "CE"), (BEST, "UCMKD", "Feature KD"), (
                    "UCMKD outperforms Vanilla KD on 6 out of 8 tasks", "UCMKD", "Vanilla KD")))
    yield Table("Table 1 (script, ours)", "the authors' script, and this library's default", both,
                same("CE", "UCMKD", "UCMKD, the script's", "UCMKDStudent()"), against="CE")
    yield Table("Table 2", "paired", both, {**same(*PAIRED), "UCMKD": "UCMKD, paired"},
                {row: values[at:at + 2] for row, values in TABLE_2.items()}, against="Vanilla KD",
                claims=tuple((f"{BASELINES} on AVE, RAVDESS and CREMA-D", "UCMKD", row)
                             for row in PAIRED))
    for item, (condition, printed) in TABLES_3_TO_5.items():
        yield Table(item, f"{FRACTIONS[condition]} of the training samples",
                    in_condition(condition), same(*printed), printed, against="CE",
                    claims=tuple(("strongest performance across all data-constrained scenarios",
                                  "UCMKD", row) for row in printed if row != "UCMKD"))
    yield Table("Table 6", "its parts", both, same(*TABLE_6), of_set(TABLE_6), against="UCMKD",
                claims=tuple(("UCMKD consistently achieves the strongest performance", "UCMKD", row)
                             for row in TABLE_6 if row != "UCMKD"))
    yield Table("Table 7", "costs of the transport", both,
                {"l1": "UCMKD, l1", "l2": "UCMKD", "angular": "UCMKD, angular"}, of_set(TABLE_7),
                against="l2", claims=tuple(("l2 marginally better on 3 out of 4 tasks", "l2", row)
                                           for row in ("l1", "angular")))
    for item, (condition, printed) in TABLES_8_AND_10.items():
        yield Table(item, condition, in_condition(condition), same(*printed), of_set(printed),
                    against="CE", claims=tuple((
                        "consistently the best student performance", "UCMKD", row)
                        for row in ("CE", "Feature KD")))
    yield Table("Table 9", "seconds an epoch", both, same(*TABLE_9), of_set(TABLE_9),
                measure="seconds", scale=1.0)
    yield Table("Table 11", "recent feature-based methods", both,
                {"NORM": "NORM, class-matched", "REVIEW": "Review, class-matched",
                 "UCMKD": "UCMKD"}, of_set(TABLE_11), against="UCMKD",
                claims=tuple(("UCMKD consistently outperforms both", "UCMKD", row)
                             for row in ("NORM", "REVIEW")))
    yield Table("Table 13", "ResNet-50", in_condition("ResNet-50"), same(*TABLE_13),
                of_set(TABLE_13), against="CE",
                claims=tuple(("best performance on 3 out of 4 tasks", "UCMKD", row)
                             for row in TABLE_13 if row not in ("Teacher", "UCMKD")))
    yield Table("Table 14", "easy, medium and hard", {
        f"{name} {level}": name if level == "easy" else f"{name}, {level}"
        for name in DIRECTIONS for level in ("easy", *PRESETS)}, same(*TABLE_14),
        {row: (*a, *b) for row, (a, b) in TABLE_14.items()} if dataset == "RAVDESS" else {},
        against="CE", claims=tuple(("best performance across all settings", "UCMKD", row)
                                   for row in ("CE", "Feature KD")))
    yield Table("Figure 2", "weights of FA and LA", both,
                {f"λ1 = {fa}, λ2 = {la}": f"UCMKD, {fa}, {la}" if (fa, la) != (1.0, 1.0)
                 else "UCMKD" for fa in weights for la in weights} | same("CE"), against="CE")
    for measure, shows in (("error", "the student's error (nats)"),
                           ("bound", "the bound of Theorem 2.6 (nats)"),
                           ("gap", "the bound's relative gap")):
        yield Table("Figure 3", shows, both, same("UCMKD"), measure=measure, scale=1.0)
    for item, shows, condition in (
            ("Table 1 (falling rate, ours)", "the rate falls along a cosine", COSINE),
            ("Table 1 (new speakers, ours)", "speakers held out, trained as the script trains: "
             "warm-up, cosine, momentum of 0.9", NEW_SPEAKERS)):
        yield Table(item, shows, in_condition(condition), same(
            *TABLE_1, "UCMKD, the script's", "UCMKDStudent()"), against="CE", claims=(
                (BEST, "UCMKD", "CE"), (BEST, "UCMKD", "Feature KD")))


# ------------------------------------------------------------------ running

def run_distributed(load, folder, method, cell, seed, settings, work):
    """Run on a set with a division of its own, as it is distributed."""
    sound = LogSpectrogram(duration=settings["seconds"])

    def read(seed, condition):
        return _divided(load, folder, spectrogram(sound, settings, condition),
                        settings["image_size"])

    return run(read, backbones(settings), method, cell, seed, settings, work)


def _divided(load, folder, sound, image_size):
    """Return a set's own training and test samples, which stay in their files."""
    train, test = (load(folder, split=split, image_size=image_size, transformer=sound,
                        skip_missing=True) for split in ("train", "test"))
    return Bunch(X_train=train.X, y_train=train.y, X_test=test.X, y_test=test.y)


def spectrogram(sound, settings, condition):
    """Return a transformer, which makes squares for ViTs, as the script does."""
    if condition.startswith("ViT"):
        square = FunctionTransformer(_resized, kw_args={"size": settings["image_size"]})
        sound = make_pipeline(sound, square)
    return sound.fit([np.zeros(1)])


def _resized(X, size):
    return F.interpolate(torch.as_tensor(X), (size, size), mode="bilinear").numpy()


def backbones(settings):
    """Return a function to the parameters of the paper's networks; of a miniature, small ones."""
    def network(modality, role, condition):
        name = BACKBONES.get(condition, BACKBONES[""])[role == "student"]
        return {"module": TINY[name[:3]] if "tiny" in settings else name}
    return network


def run(read, network, method, cell, seed, settings, work):
    """Fit a method, and return its measures on the test samples.

    ``read(seed, condition)`` returns the data, with X_train and X_test dicts of modalities, and
    ``network(modality, role, condition)`` the parameters that say with which network to read one.
    """
    direction, _, condition = cell.partition(", ")
    theirs, mine = DIRECTIONS[direction]
    data = read(seed, condition)
    training = {**TRAINING, "max_epochs": settings["epochs"], "random_state": seed,
                "checkpoint": work, **settings.get("training", {}),
                **BESIDE_TABLE_12.get(condition, {})}
    lesson = _lesson(data, theirs, mine, condition, seed)
    teacher = UnimodalTeacher(modality=theirs, **training, **network(theirs, "teacher", condition))
    teacher = Memory(work / "teachers", verbose=0).cache(_taught, ignore=["X", "y"])(
        teacher, (cell, seed), {theirs: lesson.X_T}, lesson.y_T)
    test, y_test = data.X_test, data.y_test
    test_T, y_test_T = {theirs: test[theirs]}, data.get("y_test_teacher", y_test)
    if method == "Teacher":
        return {"accuracy": teacher.score(test_T, y_test_T)}
    given = {**training, **network(mine, "student", condition), "modality": mine}
    student, X = _student(method, FrozenEstimator(teacher), given, lesson, theirs, mine, seed)
    student.fit(X, lesson.y)
    scores = {"accuracy": student.score({mine: test[mine]}, y_test),
              "seconds": np.median(student.history_[:, "dur"])}
    if method == "UCMKD":
        found = ucmkd_bound(student, teacher, {mine: test[mine]}, y_test,
                            test_T, y_test_T, random_state=seed)
        scores |= {"error": found.student_error, "bound": found.bound, "gap": found.gap}
    return scores


def _taught(teacher, key, X, y):
    """Fit a teacher once for all students of a cell and seed."""
    return teacher.fit(X, y)


def _lesson(data, theirs, mine, condition, seed):
    """Return the student's samples and the teacher's; with their pairs, where they have any."""
    X, y = data.X_train, data.y_train
    if condition in FRACTIONS:
        X, y = subsample(X, y, FRACTIONS[condition], random_state=seed)
    if condition in PRESETS:
        X_S, y_S, X_T, y_T = make_unpaired(X, y, student=mine, teacher=theirs, preset=condition,
                                           random_state=seed)
        return Bunch(X_S=X_S, y=y_S, X_T=X_T, y_T=y_T)
    if "X_teacher" in data:  # another set's
        return Bunch(X_S=X[mine], y=y, X_T=data.X_teacher[theirs], y_T=data.y_teacher)
    return Bunch(X_S=X[mine], y=y, X_T=X[theirs], y_T=y, pairs={mine: X[mine], theirs: X[theirs]})


def _student(method, teacher, given, lesson, theirs, mine, seed):
    X = {mine: lesson.X_S}
    if method in UNPAIRED:
        return UCMKDStudent.paper(teacher, **given, **UNPAIRED[method]), X
    if method == "UCMKD, the script's":
        return UCMKDStudent.script(teacher, **given), X
    if method == "UCMKDStudent()":
        return UCMKDStudent(teacher, **given), X
    if method == "UCMKD, paired":
        return UCMKDStudent.paper(teacher, paired=True, **given), lesson.pairs
    if method in PAIRED:
        loss, X = PAIRED[method], lesson.pairs
    else:
        rows = class_matched(lesson.y, lesson.y_T, np.random.default_rng(seed))
        loss, X = CLASS_MATCHED[method], {**X, theirs: take(lesson.X_T, rows)}
    if loss in ("dkd", "rld", "c2kd"):  # with their own temperatures
        loss = get_loss(loss)
    return MultiTeacherDistiller([("teacher", teacher)], loss=loss, **PAIRED_LOSS, **given), X
