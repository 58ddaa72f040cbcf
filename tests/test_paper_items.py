"""The papers, table by table: nothing is left out, and what is named exists."""

import importlib
import re
from pathlib import Path

import pytest

from benchmarks import paper_items
from benchmarks.evidence import EXPERIMENTS
from benchmarks.paper_items import ITEMS, named

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("paper", "tables", "figures", "theorems"), [
    ("wordnet", 3, 3, []), ("cch", 21, 5, ["1", "2", "3"]), ("ucmkd", 14, 3, ["2.3", "2.6", "2.7"])])
def test_every_table_figure_and_theorem_has_its_row(paper, tables, figures, theorems):
    found = [one for item in ITEMS if item.paper == paper for one in named(item.item)]
    assert sorted(found) == sorted([("Table", str(i)) for i in range(1, tables + 1)]
                                   + [("Figure", str(i)) for i in range(1, figures + 1)]
                                   + [("Theorem", theorem) for theorem in theorems])


def test_what_is_named():
    assert named("section 4.4, Tables 3 to 5 and 14") == {("Table", i) for i in ("3", "4", "5", "14")}
    assert named("Theorems 2.3 and 2.6, Appendix A") == {("Theorem", "2.3"), ("Theorem", "2.6")}
    assert named("Table 2, section 6.2.1") == {("Table", "2")}
    assert named("Figures 1 and 4, Table 10") == {("Figure", "1"), ("Figure", "4"), ("Table", "10")}


def test_experiments_code_and_tests_exist():
    for item in ITEMS:
        assert all(name in EXPERIMENTS or name.startswith(f"paper/{item.paper}-") for name in item.experiments)
        for path in re.findall(r":\w+:`~([\w.]+)`", item.code):
            module, _, name = path.rpartition(".")
            assert hasattr(importlib.import_module(module), name), path
        for file, _, test in re.findall(r"``(tests/\w+\.py)(::(\w+))?``", item.code):
            assert not test or f"def {test}(" in (ROOT / file).read_text(), test
            assert (ROOT / file).is_file()


def test_an_item_without_a_run_or_code_says_why():
    assert not [item for item in ITEMS if not (item.experiments or item.code or item.note)]


def test_the_table_in_the_docs_is_that_of_the_json(monkeypatch, tmp_path):
    committed = (paper_items.OUT / "items.inc").read_text()
    monkeypatch.setattr(paper_items, "OUT", tmp_path)
    paper_items.write()
    assert (tmp_path / "items.inc").read_text() == committed
