# make run    set up, then the default experiment on the shipped model and data; the report lies in outputs/latest
# make test   set up, then every check: ruff, mypy, import contracts, pytest
# make cases  set up, then what users ran into, each with what must come out of it: a table, some 10 minutes
# EXTRAS=gpu  onnxruntime-gpu instead of onnxruntime
EXTRAS ?= cpu
ARGS ?=
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ifeq ($(EXTRAS),cpu)
CONSTRAINTS := -c constraints.txt
endif

# A run starts many processes: without bytecode each would compile what it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test types tests cases install install-test clean

run: install
	@$(BIN)/python -m pipeline $(ARGS)

# mypy takes one core, so the tests run beside it.
test: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory -j 2 types tests

types: install-test
	$(BIN)/mypy

tests: install-test
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

cases: install-test
	$(BIN)/python -m tests.cases $(ARGS)

install: $(VENV)/installed-$(EXTRAS)
install-test: $(VENV)/installed-$(EXTRAS)-test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "slimline needs Python 3.11 or newer: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# onnxruntime and onnxruntime-gpu exclude each other; torch comes first, so that nothing else chooses its build. Most of what
# is installed is never imported, so nothing is compiled beforehand.
$(VENV)/installed-%: pyproject.toml constraints.txt | $(BIN)/python
	@$(PIP) uninstall --quiet --yes $(if $(findstring gpu,$*),onnxruntime,onnxruntime-gpu) 2>/dev/null
	$(PIP) install --quiet --no-compile $(CONSTRAINTS) torch
	$(PIP) install --quiet --no-compile $(CONSTRAINTS) --editable '.[$(subst -,$(comma),$*)]'
	@touch $@

comma := ,

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
