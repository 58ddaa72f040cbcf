PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow lint docs bench clean

help:
	@echo "make demo   set up, then teach a student on photographs of clothes (examples/quickstart.py)"
	@echo "make test   set up, then run the tests"
	@echo "make lint   ruff"
	@echo "make docs   the site, in docs/_build/html"
	@echo "make bench  the benchmarks; each writes its JSON to docs/results"

demo: $(VENV)/.test
	$(BIN)/python examples/quickstart.py

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

bench: $(VENV)/.test
	for name in noun_selection embedding epoch grid_search; do $(BIN)/python -m benchmarks.$$name; done

clean:
	rm -rf $(VENV) docs/_build docs/auto_examples docs/generated .cache

# One virtual environment; each stamp stands for the extra that is installed in it.
$(VENV)/.%: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) with the extra '$*': some minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[$*]"
	touch $@
