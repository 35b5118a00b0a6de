# train, test, check and bench each set up .venv from nothing: CPython 3.11+, pip and make suffice.
#
#   make train [SESSION=9] [TRAIN_ARGS="--algorithm a2c --total-timesteps 1000000"]
#   make test  [PYTEST_ARGS="-k ledger"]

.DEFAULT_GOAL := help
.PHONY: help train test check lint types test-interpreted test-boundscheck wheel bench clean
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
RUN := .venv/.installed
DEV := .venv/.installed-dev

SESSION ?=
TRAIN_ARGS ?= --algorithm ppo --total-timesteps 200000
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Worker processes of `make test`; hypothesis and numba leave little to gain beyond the cores.
PYTEST_WORKERS ?= 2
# Tests of one file stay together: what they share (a recording, a server) is made once.
PARALLEL = -n $(PYTEST_WORKERS) --dist loadfile
# What runs again without compilation and with bounds checks: everything that drives the kernels.
KERNEL_TESTS := -m kernel

help:
	@sed -n 's/^#   //p' Makefile; echo "make check | bench | clean"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "CPython 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv \
		&& $(PYTHON) -m pip --python $@ install -q pip; }

$(RUN): pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

$(DEV): $(RUN)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

# Trains on the longest session that DATABASE_URL or the folder `sessions` holds, or SESSION of it;
# generates one if there is neither.
train: $(RUN)
	@set -e; \
	if [ -z "$$DATABASE_URL" ] && [ -z "$$(ls sessions 2>/dev/null)" ]; then \
		echo "No sessions recorded here: generating one."; \
		$(BIN)/kalshi-sim generate --markets 50 --minutes 35 --seed 9 --edge 0.5 \
			--store sessions --session 9; \
	fi; \
	session="$(SESSION)"; \
	if [ -z "$$session" ]; then \
		listed=$$($(BIN)/kalshi-sim list --json); \
		session=$$($(BIN)/python -c 'import json, sys; sessions = json.loads(sys.argv[1]); \
			print(max(sessions, key=lambda s: s["deltas"])["session_id"] if sessions else "")' "$$listed"); \
	fi; \
	if [ -z "$$session" ]; then echo "DATABASE_URL holds no sessions"; exit 1; fi; \
	$(BIN)/kalshi-train --session "$$session" $(TRAIN_ARGS)

test: $(DEV)
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

check: lint types test-interpreted test-boundscheck wheel

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy

test-interpreted: $(DEV)
	rm -f .coverage .coverage.*
	NUMBA_DISABLE_JIT=1 $(BIN)/coverage run -m pytest $(PARALLEL) $(KERNEL_TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=100

test-boundscheck: $(DEV)
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest $(PARALLEL) $(KERNEL_TESTS)

# The built wheel, away from the checkout, offers the public names.
wheel: $(DEV)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip wheel -q --no-deps -w "$$folder" .; \
	$(BIN)/python -m pip install -q --no-deps --target "$$folder/site" "$$folder"/*.whl; \
	cd "$$folder" && PYTHONPATH="$$folder/site" $(CURDIR)/$(BIN)/python -c \
		'import kalshi_sim as k; assert "site" in k.__file__, k.__file__; [getattr(k, n) for n in k.__all__]'; \
	echo "wheel: ok"

# The figures of README.md and docs/performance.md: measure them on a quiet machine.
# BENCH_ARGS=--full adds the scaling tables.
bench: $(DEV)
	@mkdir -p .benchmarks; rm -f .benchmarks/pytest.json
	@status=0; $(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only \
		--benchmark-disable-gc --benchmark-json=.benchmarks/pytest.json $(PYTEST_ARGS) || status=$$?; \
	$(BIN)/python -m benchmarks.table --pytest-json .benchmarks/pytest.json $(BENCH_ARGS) \
		|| status=$$?; \
	$(BIN)/python -m benchmarks.fill_models --write || status=$$?; \
	$(BIN)/python -m benchmarks.no_edge || status=$$?; \
	exit $$status

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .benchmarks .coverage*
