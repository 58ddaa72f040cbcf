"""Does a rule say beforehand whether a teacher helps? On the suite's pairs that chose nothing.

The rules see what has labels (150 to 300 samples) and nothing else, with the defaults of
:class:`~cmkdlearn.selection.CCHSelector` but for two repeats: the calibrated gap, and the paper's
as printed. Their rivals: "the stronger modality teaches", by cross-validated accuracy, and "never".
What they are to foretell are the gains of the ``suite`` where all pairs have a label, by the
literature's λ = 1 and τ = 4. A rule decides where its answer is "yes" or "no".
"""

import tempfile

import numpy as np
from sklearn.model_selection import cross_val_score

from benchmarks.evidence import suite
from benchmarks.evidence._claims import Claim
from benchmarks.evidence._pairs import PAIRS, REPORTED, sample
from benchmarks.evidence._results import Results
from cmkdlearn.selection import CCHSelector
from cmkdlearn.teachers import UnimodalTeacher

PAPER = "CCH: Tables 5 to 7, on other data"
SETTINGS = {"small": {"repeats": 2, "steps": 300, "batch": 32}}
BASELINE = None
MEASURES = {"evidence": "evidence (nats; stronger: difference of accuracies)",
            "answer": "answer, from 1 for yes to -1 for no"}
METHOD, GIVEN = "KD, λ = 1, τ = 4", suite.ALONE
RULES = {"calibrated": "calibrated gap", "cch": "gap as printed"}
ANSWERS = {"yes": 1.0, "not ruled out": 0.5, "leans no": -0.5, "no": -1.0}


def cells(settings):
    return {pair: {"pair": pair} for pair in REPORTED}


def run(seed, settings, pair):
    read, teacher, student, n = PAIRS[pair]
    data = sample(read(), teacher, student, n, seed)
    known = slice(data.n_labelled)
    X, y = {name: part[known] for name, part in data.X_train.items()}, data.y_train[known]
    training = {**suite.TRAINING,
                **suite.budget(settings["steps"], data.n_labelled, settings["batch"])}
    scores = {}
    with tempfile.TemporaryDirectory() as memory:  # the rules read the same networks
        for criterion, name in RULES.items():
            selector = CCHSelector(
                student=student, criterion=criterion, n_repeats=settings["repeats"],
                network=UnimodalTeacher(**training), memory=memory, random_state=seed).fit(X, y)
            scores[name] = {"evidence": selector.evidence_[teacher],
                            "answer": ANSWERS[selector.worthwhile_[teacher].answer]}
    theirs, ours = (cross_val_score(
        UnimodalTeacher(random_state=seed, **training), X[name], y, cv=5).mean()
        for name in (teacher, student))
    scores["stronger"] = {"evidence": theirs - ours, "answer": np.sign(theirs - ours)}
    return scores


def scores_of(results, rule):
    """Return how right a rule is on the pairs whose gain is clear of noise, one number a pair.

    The mean over the seeds of 1/2 for a right answer, -1/2 for a wrong one and 0 for none.
    """
    gains = suite.gains(Results.load("suite", results.report["scale"]), METHOD, GIVEN)
    clear = suite.clear(gains)
    if rule in ("never", "always"):
        answers = np.full((len(gains), 1), 1.0 if rule == "always" else -1.0)
    else:
        answers = np.array([results.over_seeds(pair, rule, "answer") for pair in REPORTED])
    decided = np.where(np.abs(answers) == 1, answers, 0)
    return (0.5 * decided * np.sign(gains.mean(axis=1))[:, None])[clear].mean(axis=1)


def draw(results, figure):
    """Of the answers on clear pairs, how many are right, wrong, and none."""
    ax = figure.subplots()
    rules = [*RULES.values(), "stronger", "never", "always"]
    gains = suite.gains(Results.load("suite", results.report["scale"]), METHOD, GIVEN)
    sign, clear = np.sign(gains.mean(axis=1))[:, None], suite.clear(gains)
    for i, rule in enumerate(rules):
        answers = np.full_like(sign, {"never": -1, "always": 1}[rule]) if rule in (
            "never", "always") else np.array([results.over_seeds(pair, rule, "answer")
                                              for pair in REPORTED])
        right = (answers * sign)[clear]
        left = 0.0
        for name, shares, colour in (("right", right == 1, "C2"), ("undecided", abs(right) < 1,
                                                                   "0.8"),
                                     ("wrong", right == -1, "C3")):
            share = 100 * shares.mean()
            ax.barh(i, share, left=left, color=colour, label=name if not i else None)
            if share:
                ax.text(left + share / 2, i, f"{share:.0f} %", ha="center", va="center")
            left += share
    ax.set_yticks(range(len(rules)), rules)
    ax.invert_yaxis()
    ax.set(xlabel="answers (%)", title=f"{clear.sum()} of {len(clear)} pairs have a clear gain "
           f"({np.sum(clear & (sign[:, 0] > 0))}) or loss ({np.sum(clear & (sign[:, 0] < 0))})")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)


def _claim(says, rule, over=None, **more):
    less = f", less that of \"{over}\"" if over else ""
    return Claim(says, "no table has it",
                 lambda r: scores_of(r, rule) - (scores_of(r, over) if over else 0.0),
                 "1/2 for a right answer, -1/2 for a wrong one and 0 for none, a pair with a clear "
                 f"gain or loss{less}", margin=0.05, **more)


CLAIMS = [
    _claim("The calibrated gap answers rightly.", "calibrated gap"),
    _claim("It answers better than the gap as printed.", "calibrated gap", "gap as printed"),
    _claim("It answers better than \"the stronger modality teaches\".", "calibrated gap",
           "stronger"),
    _claim("It answers better than \"never\".", "calibrated gap", "never", headline=True),
]
