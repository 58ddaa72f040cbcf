"""The papers' experiments: cells are kept, claims are judged by the rule, tables come from JSON."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from benchmarks.evidence import EXPERIMENTS, _report, _results
from benchmarks.evidence._claims import Claim, judge
from benchmarks.evidence._results import Results


def test_the_rule():
    effect = np.array([0.01, 0.03, 0.02])
    verdict, mean, interval = judge(effect, 0.01)
    expected = stats.ttest_1samp(effect, 0).confidence_interval(0.95)
    assert mean == pytest.approx(0.02)
    np.testing.assert_allclose(interval, expected)
    assert interval[0] < 0 and verdict == "undecided at this size"
    assert judge([0.02, 0.021, 0.019], 0.01)[0] == "holds"
    assert judge([0.001, 0.002, -0.001], 0.01)[0] == "does not hold here"      # too small to matter
    assert judge([-0.05, -0.06, -0.04], 0.01)[0] == "does not hold here"
    assert judge([0.0, 0.0, 0.0], 0.0)[0] == "undecided at this size"


@pytest.fixture
def toy(monkeypatch, tmp_path):
    calls = []

    def run(seed, settings, level):
        calls.append((level, seed))
        return {"plain": {"accuracy": 0.5 + 0.01 * seed},
                "ours": {"accuracy": 0.5 + 0.01 * seed + level, "other": 1.0}}

    experiment = SimpleNamespace(
        __doc__="Toy.", PAPER="none", SETTINGS={"small": {"n": 3}}, BASELINE="plain", run=run,
        MEASURES={"accuracy": "student", "other": "other"}, calls=calls,
        cells=lambda settings: {"low": {"level": 0.1}, "high": {"level": 0.3}},
        CLAIMS=[Claim("Ours is better.", "Table 0", lambda r: r.gain(r.names(0), "ours", "plain"), "ours, less plain",
                      headline=True, quote="is better", printed="+1.0 points"),
                Claim("So is another.", "no table has it", lambda r: r.gain(r.names(0), "ours", "plain"), "the same")])
    monkeypatch.setitem(sys.modules, "benchmarks.evidence.a_toy", experiment)
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    monkeypatch.setattr(_report, "OUT", tmp_path / "evidence")
    monkeypatch.setitem(_report.PAPERS, "a", "Nobody")
    monkeypatch.setattr(_report, "EXPERIMENTS", ("a-toy",))
    (tmp_path / "README.md").write_text("# A\n<!-- evidence -->\nlast year\n<!-- end of evidence -->\nB\n")
    monkeypatch.setattr(_report, "README", tmp_path / "README.md")
    return experiment


def test_finished_cells_are_not_run_again(toy):
    _results.run("a-toy", "small", 2)
    assert toy.calls == [(0.1, 0), (0.3, 0), (0.1, 1), (0.3, 1)]
    _results.run("a-toy", "small", 3)
    assert toy.calls[4:] == [(0.1, 2), (0.3, 2)]
    results = Results.load("a-toy", "small")
    assert results.complete() and results.seeds == [0, 1, 2]
    np.testing.assert_allclose(results.gain("high", "ours", "plain"), 0.3)
    np.testing.assert_allclose(results.gain(["low", "high"], "ours", "plain"), 0.2)
    np.testing.assert_allclose(results.over_seeds("low", "plain"), [0.5, 0.51, 0.52])


def test_an_interrupted_run_goes_on_where_it_was(toy, monkeypatch):
    run, done = toy.run, []

    def interrupted(seed, settings, level):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(level)
        return run(seed, settings, level)

    monkeypatch.setattr(toy, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _results.run("a-toy", "small", 2)
    assert not Results.load("a-toy", "small").complete()
    monkeypatch.setattr(toy, "run", run)
    _results.run("a-toy", "small", 2)
    assert len(toy.calls) == 4 and Results.load("a-toy", "small").complete()


def test_other_settings_are_no_continuation(toy):
    _results.run("a-toy", "small", 2)
    toy.SETTINGS["small"] = {"n": 4}
    with pytest.raises(SystemExit, match="settings of a-toy are others than those in a-toy-small.json"):
        _results.run("a-toy", "small", 2)


def test_tables_and_claims_come_from_the_json(toy, tmp_path):
    _results.run("a-toy", "small", 3)
    _report.report()
    table = (tmp_path / "evidence" / "a-toy-small.inc").read_text()
    assert "0.510 ± 0.010" in table and "+30.0 [+30.0, +30.0]" in table
    claims = (tmp_path / "evidence" / "claims.inc").read_text()
    assert "**holds**" in claims and "+20.0 [+20.0, +20.0] points" in claims
    assert '     - Nobody, Table 0: "is better"\n     - +1.0 points\n' in claims
    assert "* - *(Ours.)* So is another.\n     - no table has it\n     - \n" in claims
    readme = (tmp_path / "README.md").read_text()
    assert readme.startswith("# A\n<!-- evidence -->\n| claim") and readme.endswith("<!-- end of evidence -->\nB\n")
    assert "| Ours is better. | +1.0 points | **holds** | +20.0 [+20.0, +20.0] points | ours, less plain |" in readme and "last year" not in readme
    file = tmp_path / "evidence" / "a-toy-small.json"
    report = json.loads(file.read_text())
    report["runs"].pop()
    file.write_text(json.dumps(report))
    _report.report()
    assert "a-toy (small)" in (tmp_path / "evidence" / "missing.inc").read_text()
    assert "**holds**" not in (tmp_path / "evidence" / "claims.inc").read_text()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_whole(name):
    experiment = _results.module(name)
    assert experiment.PAPER and experiment.__doc__ and experiment.MEASURES
    for claim in experiment.CLAIMS:  # who says a thing is said, and not twice
        assert "(Ours.)" not in claim.says and (not claim.quote or claim.where)
    for settings in experiment.SETTINGS.values():
        json.dumps(settings)
        assert experiment.cells(settings)


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if _results.path(name, "small").exists()])
def test_the_tables_in_the_docs_are_those_of_the_json(name):
    results = Results.load(name, "small")
    if results.complete():
        committed = _results.path(name, "small").with_suffix(".inc").read_text()
        assert committed == _report._tables(_results.module(name), results)
