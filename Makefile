# Needs Python 3.10 or newer, git and make; everything else is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# What runs the tests: as many processes as there are processors.
PYTEST := $(BIN)/python -m pytest

.PHONY: install demo test faults lint bench generated clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[local,dev]'
	touch $@

install: $(VENV)/installed ## make .venv with everything

demo: $(VENV)/installed ## train a model on real digits, on this machine
	$(BIN)/python examples/digits/train.py

test: $(VENV)/installed ## run all tests, with coverage
	$(PYTEST) -n auto --cov --cov-report=term:skip-covered

faults: $(VENV)/installed ## inject faults; print how many of each kind were survived
	$(PYTEST) -n auto -q --faults

lint: $(VENV)/installed ## ruff, mypy, drift of generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m kaptain_kfp.compiler.export --check

generated: $(VENV)/installed ## write components/, pipelines/ and the compiled pipelines anew
	$(BIN)/python -m kaptain_kfp.compiler.export

bench: $(VENV)/installed ## measure what we claim about speed, against its budgets
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage* htmlcov .mypy_cache .ruff_cache .pytest_cache
