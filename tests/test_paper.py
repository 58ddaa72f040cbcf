"""The papers' experiments, each run end to end on a miniature of its data set's layout."""

import json
import signal
import sys
import time
from functools import partial
from types import SimpleNamespace

import miniature_layouts as layouts
import numpy as np
import pytest
import timm

from benchmarks.__main__ import main
from benchmarks.paper import EXPERIMENTS, _report, _run, _ucmkd
from benchmarks.paper._tables import Table, jobs_of

LAYOUTS = {"ucmkd-ave": layouts.ave, "ucmkd-crema-d": layouts.cremad,
           "ucmkd-ravdess": partial(layouts.ravdess, n_actors=3), "ucmkd-vggsound": layouts.vggsound}


@pytest.fixture
def out(monkeypatch, tmp_path):
    """Have the results in a folder of the test's."""
    monkeypatch.setattr(_run, "FOLDER", tmp_path / "out")
    monkeypatch.setattr(_report, "FOLDER", tmp_path / "out")
    return tmp_path / "out" / "paper"


# --- the runner ----------------------------------------------------------------------------

@pytest.fixture
def toy(monkeypatch, out):
    calls = []

    def run(method, cell, seed, settings, folder, work):
        calls.append((cell, method, seed))
        return {"accuracy": {"plain": 0.5, "ours": 0.7}[method] + 0.01 * seed}

    tables = (
        Table("Table 1", "a toy", {"left": "l", "right": "r"}, {"Plain": "plain", "Ours": "ours"},
              {"Plain": (50, (51, 1.5)), "Ours": (60, None)}, against="Plain",
              claims=(("Ours is better", "Ours", "Plain"), ("Plain is better", "Plain", "Ours"))),
        Table("Figure 1", "the same again", {"left": "l"}, {"Ours": "ours"}, scale=1.0))
    experiment = SimpleNamespace(
        __doc__="Toy.\n\nOf no set.", PAPER="none", SETTINGS={"small": {"n": 3}, "full": {"n": 9}},
        LAYOUT={"small": "a file", "full": "files"}, tables=lambda scale: tables, run=run, calls=calls)
    monkeypatch.setitem(sys.modules, "benchmarks.paper.a_toy", experiment)
    monkeypatch.setattr(_report, "EXPERIMENTS", ("a-toy",))
    monkeypatch.setattr("benchmarks.paper.EXPERIMENTS", ("a-toy",))
    return experiment


def test_what_several_tables_show_is_run_once(toy, tmp_path):
    assert jobs_of(toy.tables("small")) == [
        {"cell": "l", "method": "plain"}, {"cell": "l", "method": "ours"},
        {"cell": "r", "method": "plain"}, {"cell": "r", "method": "ours"}]
    _run.run("a-toy", "small", tmp_path, 2)
    assert len(toy.calls) == len(set(toy.calls)) == 8
    _run.run("a-toy", "small", tmp_path, 3)
    assert toy.calls[8:] == [(cell, method, 2) for cell in "lr" for method in ("plain", "ours")]


def test_printed_numbers_stand_beside_ours(toy, tmp_path, capsys):
    main(["run", "paper/a-toy", "--data", str(tmp_path), "--seeds", "3"])
    text = capsys.readouterr().out
    assert "Plain | paper 50.00; here 51.00 ± 1.00 | paper 51.00 ± 1.50; here 51.00 ± 1.00" in text
    assert "Ours | paper 60.00; here 71.00 ± 1.00 (+20.0 [+20.0, +20.0]) | here 71.00 ± 1.00 (+20.0" in text
    assert "Ours | here 0.71 ± 0.01" in text
    # the paper's effect is that of the columns in which it prints both
    assert "Ours is better | Ours less Plain | +10.0 | +20.0 [+20.0, +20.0] | holds" in text
    assert "Plain is better | Plain less Ours | -10.0 | -20.0 [-20.0, -20.0] | does not hold here" in text


def test_a_run_stops_after_some_minutes_and_goes_on(toy, tmp_path, out, monkeypatch, capsys):
    run = toy.run

    def endless(method, *rest):
        if (method, len(toy.calls)) == ("ours", 3):
            while True:
                pass
        return run(method, *rest)

    monkeypatch.setattr(toy, "run", endless)
    main(["run", "paper/a-toy", "--data", str(tmp_path), "--seeds", "2", "--max-minutes", "0.01"])
    text = capsys.readouterr().out
    assert "Stopped after 0.01 minutes. The same command goes on from here." in text
    assert "Plain | paper 50.00; here 50.00 | paper 51.00 ± 1.50; here 50.00" in text  # so far
    assert len(json.loads((out / "a-toy-small.json").read_text())["runs"]) == 3
    monkeypatch.setattr(toy, "run", run)
    main(["run", "paper/a-toy", "--data", str(tmp_path), "--seeds", "2"])
    assert len(toy.calls) == 8 and len(set(toy.calls)) == 8


def test_a_run_that_a_shell_put_into_the_background_stops_too(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _run.at_most(0.002):
            while True:
                time.sleep(0.01)
        assert "Stopped after 0.002 minutes" in capsys.readouterr().out
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_handed_on(toy, tmp_path, monkeypatch):
    def broken_off(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(toy, "run", broken_off)
    with pytest.raises(KeyboardInterrupt):
        main(["run", "paper/a-toy", "--data", str(tmp_path), "--max-minutes", "5"])


def test_what_is_missing_is_said_before_any_work(toy, tmp_path, capsys):
    for words, said in (([], "paper/a-toy needs --data DIR: a file."),
                        (["--scale", "full"], "paper/a-toy needs --data DIR: files."),
                        (["--data", str(tmp_path), "--scale", "miniature"],
                         "--scale miniature: paper/a-toy has small and full."),
                        (["--data", str(tmp_path), "--max-minutes", "0"],
                         "--max-minutes 0: it must be above 0."),
                        (["--data", str(tmp_path), "--max-minutes", "nan"],
                         "--max-minutes nan: it must be above 0.")):
        with pytest.raises(SystemExit):
            main(["run", "paper/a-toy", *words])
        assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="there is no such folder. It has to hold a file"):
        main(["run", "paper/a-toy", "--data", str(tmp_path / "nowhere")])
    assert not toy.calls


def test_the_docs_tables_say_what_is_missing(toy, tmp_path, out):
    _run.run("a-toy", "small", tmp_path, 2)
    _report.report()
    assert "missing" not in (out / "a-toy-small.inc").read_text()
    assert "results/paper/a-toy-small.inc" in (out / "sections.inc").read_text()
    report = json.loads((out / "a-toy-small.json").read_text())
    report["runs"].pop()
    (out / "a-toy-small.json").write_text(json.dumps(report))
    _report.report()
    assert "1 runs are missing" in (out / "a-toy-small.inc").read_text()


# --- the experiments -----------------------------------------------------------------------

@pytest.mark.parametrize("name", LAYOUTS)
def test_an_experiment_runs_on_its_set_as_it_is_distributed(name, tmp_path, out, capsys):
    data = tmp_path / "data"
    LAYOUTS[name](data, size=32)
    _run.run(name, "miniature", data, 1)
    results = _run.load(name, "miniature")
    assert results.complete() and results.seeds == [0]
    text = capsys.readouterr().out
    for table in _run.module(name).tables("miniature"):
        assert f"{table.item}: {table.shows}" in text
        for row in table.entries(results):
            assert all("here" in entry and "nan" not in entry for entry in row[1:])
    assert not (out / "work" / f"{name}-miniature").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_whole(name):
    experiment = _run.module(name)
    assert experiment.__doc__ and experiment.PAPER
    assert set(experiment.LAYOUT) == set(experiment.SETTINGS)
    for scale, settings in experiment.SETTINGS.items():
        json.dumps(settings)
        for table in experiment.tables(scale):
            assert set(table.printed) <= set(table.rows)
            assert all(len(values) == len(table.columns) for values in table.printed.values())
            for _, row, over in table.claims:
                assert {row, over} <= set(table.rows)


def test_the_papers_networks_are_timms():
    assert all(timm.is_model(name) for pair in _ucmkd.BACKBONES.values() for name in pair)


def test_printed_improvements():
    """Of Table 1's own numbers. The text has 14.3 % over cross-entropy, and 7.5 % over feature KD."""
    printed = {row: np.array([value[0] if isinstance(value, tuple) else value for value in values])
               for row, values in _ucmkd.TABLE_1.items()}
    over = {row: printed["UCMKD"] / values - 1 for row, values in printed.items()}
    assert np.mean(over["CE"]) == pytest.approx(0.077, abs=5e-4) and (over["CE"] > 0).all()
    assert np.mean(over["Feature KD"]) == pytest.approx(0.079, abs=5e-4) and (over["Feature KD"] > 0).all()
    assert (over["Vanilla KD"] > 0).sum() == 6
    assert (printed["Feature KD"] < printed["CE"]).sum() == 7
