# Everything sets itself up in .venv; only Python >= 3.11, pip and make are needed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LMC    := $(VENV)/.lmc
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo figure test lint types unit long bench clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## Make .venv and install lmc with its test tools

$(READY): $(LMC)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $(READY)

$(LMC): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "lmc needs Python 3.11 or newer; say make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $(LMC)

demo: $(LMC)  ## Train seven small models, answer through SQLite, draw the figures (a few minutes)
	$(BIN)/lmc compile examples/memory.lmspec --with quick
	$(BIN)/lmc run build/memory-quick

figure: demo  ## Remake the figures of the documents
	mkdir -p docs/figures
	cp out/accuracy.png docs/figures/accuracy.png
	$(BIN)/lmc show protocol examples/memory.lmspec --svg docs/figures/lookup.svg

test: lint types unit  ## The gate: style, types and tests

lint: $(READY)  ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Types
	$(BIN)/mypy

unit: $(READY)  ## Tests
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not long"

long: $(READY)  ## Tests that are left out of the gate: every repair of an example typed, a compiled step in bf16
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m long

bench: $(READY)  ## Benchmarks; a few minutes each
	for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:  ## Remove what was built; runs stay
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
