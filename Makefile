# A virtual environment in .venv, made once from constraints.txt, serves all targets.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
SPEED = epoch embedding noun_selection losses unpaired_speed floors growth grid_search large_data \
	processes information neighbours toy_sets how_long rivals

.PHONY: help demo test test-all lint docs bench clean

help:
	@echo "make demo      the quickstart: teachers that read text, and the students they teach"
	@echo "make test      the tests that take minutes"
	@echo "make test-all  the slow ones too"
	@echo "make lint      style, types, and what is not safe"
	@echo "make docs      the site, into docs/_build/html"
	@echo "make bench     speed and memory: one JSON report each, and the docs' tables of them"
	@echo "make clean     remove .venv and whatever else was made"
	@echo "PYTHON=...     the interpreter to make .venv with (3.11 or later; now $(PYTHON))"

demo: $(READY)
	$(BIN)/python examples/quickstart.py

test: $(READY)
	$(BIN)/python -m pytest -n auto

test-all: $(READY)
	$(BIN)/python -m pytest -n auto -m ""

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit -q -r cmkdlearn

docs: $(READY)
	$(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html

bench: $(READY)
	@for name in $(SPEED) tables; do \
		echo "$$name"; \
		$(BIN)/python -m "benchmarks.$$name" || exit 1; \
	done

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
		"Python 3.11 or later is needed; name one, as in: make PYTHON=python3.12")'
	@echo "Setting up $(VENV): once, and some minutes (PyTorch is large)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

clean:
	rm -rf $(VENV) .cache .coverage* .hypothesis .mypy_cache .nox .pytest_cache .ruff_cache *.egg-info build dist \
		docs/_build docs/auto_examples docs/generated
	find benchmarks cmkdlearn docs examples tests tools -name __pycache__ -prune -exec rm -rf {} +
