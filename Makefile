# train, test, check and bench each set up .venv from nothing: CPython 3.11+, pip and make suffice.
#
#   make train [SESSION=9] [TRAIN_ARGS="--algorithm a2c --total-timesteps 1000000"]
#   make test  [PYTEST_ARGS="-k ledger"]

.DEFAULT_GOAL := help
.PHONY: help train test check lint types test-interpreted test-boundscheck test-cudasim test-cuda \
	wheel docs test-lowest test-pythons bench peers clean
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
RUN := .venv/.installed
DEV := .venv/.installed-dev
DOCS := .venv/.installed-docs

SESSION ?=
TRAIN_ARGS ?= --algorithm ppo --total-timesteps 200000
PYTEST_ARGS ?=
BENCH_ARGS ?=
# Worker processes of `make test`; hypothesis and numba leave little to gain beyond the cores.
PYTEST_WORKERS ?= 2
# Tests of one file stay together: what they share (a recording, a server) is made once.
PARALLEL = -n $(PYTEST_WORKERS) --dist loadfile --no-loadscope-reorder
# What runs again without compilation and with bounds checks: everything that drives the kernels.
KERNEL_TESTS := -m kernel

help:
	@sed -n 's/^#   //p' Makefile; echo "make check | docs | test-lowest | test-pythons | bench | clean"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "CPython 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv && $(PYTHON) -m venv --without-pip .venv \
		&& $(PYTHON) -m pip --python $@ install -q pip; }

$(RUN): pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[train,postgres,report]'
	@touch $@

$(DEV): $(RUN)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

# Trains on the longest session that DATABASE_URL or the folder `sessions` holds, or SESSION of it;
# generates one if there is neither, while what training runs is compiled; the simulation takes
# longest, so the other two leave it a core.
train: $(RUN)
	@set -e; \
	if [ -z "$$DATABASE_URL" ] && [ -z "$$(ls sessions 2>/dev/null)" ]; then \
		echo "No sessions recorded here: generating one."; \
		$(BIN)/python -m kalshi_train.warm_up simulation & step=$$!; \
		nice -n 5 $(BIN)/python -m kalshi_train.warm_up learner & learner=$$!; \
		trap 'kill $$step $$learner 2>/dev/null || true' EXIT; \
		nice -n 5 $(BIN)/kalshi-sim generate --markets 50 --minutes 35 --seed 9 --edge 0.5 \
			--store sessions --session 9; \
		wait $$step $$learner; \
		trap - EXIT; \
	fi; \
	session="$(SESSION)"; \
	if [ -z "$$session" ]; then \
		listed=$$($(BIN)/kalshi-sim list --json); \
		session=$$($(BIN)/python -c 'import json, sys; sessions = json.loads(sys.argv[1]); \
			print(max(sessions, key=lambda s: s["deltas"])["session_id"] if sessions else "")' "$$listed"); \
	fi; \
	if [ -z "$$session" ]; then echo "DATABASE_URL holds no sessions"; exit 1; fi; \
	echo "Training on session $$session."; \
	$(BIN)/kalshi-train --session "$$session" $(TRAIN_ARGS)

test: $(DEV)
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

check: lint types test-interpreted test-boundscheck test-cudasim wheel

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

# The kernels' form for graphics cards, in Numba's CUDA simulator: no card is needed.
test-cudasim: $(DEV)
	$(BIN)/python -m pytest -q tests/cuda

# On a real card: equality, then figures of steps, training, learning and evaluation, each stage with
# a limit; then the tests. Where numba-cuda and a torch for CUDA are there, nothing is installed.
CARD_PYTHON ?= $(BIN)/python
test-cuda: $(DEV)
	$(CARD_PYTHON) -c 'import numba_cuda' || \
		$(CARD_PYTHON) -m pip install -q -c constraints.txt -e '.[cuda]' 'numba-cuda[cu13]'
	timeout 840 $(CARD_PYTHON) -m benchmarks.bench_cuda
	KALSHI_SIM_TEST_CUDA=1 timeout 840 $(CARD_PYTHON) -m pytest -q tests/cuda

# The built wheel, alone in an environment of its own: the core imports, stores, replays and steps
# without any extra, and says which extra what else needs. CHECK_PYTHON names another interpreter.
CHECK_PYTHON ?= $(BIN)/python
wheel: $(DEV)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip wheel -q --no-deps -w "$$folder" .; \
	$(CHECK_PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install -q -c constraints.txt "$$folder"/*.whl; \
	mkdir "$$folder/check"; cp -r support "$$folder/check"; \
	cd "$$folder/check" && "$$folder/venv/bin/python" -m support.check_install; \
	echo "wheel: ok"

# The core on each of PYTHONS that this machine has, by name or from pyenv; those it lacks are named.
PYENV_ROOT ?= $(HOME)/.pyenv
PYTHONS ?= python3.11 python3.12 python3.13
test-pythons: $(DEV)
	@for python in $(PYTHONS); do \
		found=; \
		for one in $$python $(PYENV_ROOT)/versions/$${python#python}.*/bin/$$python; do \
			if $$one -c '' 2>/dev/null; then found=$$one; break; fi; \
		done; \
		if [ -z "$$found" ]; then echo "$$python: not on this machine"; continue; fi; \
		echo "$$python: $$found"; \
		$(MAKE) --no-print-directory wheel CHECK_PYTHON=$$found || exit 1; \
	done

# The lowest versions that pyproject.toml allows: a part of the tests that reaches every library.
LOWEST_TESTS ?= tests/test_units.py tests/simulation/test_golden_tape.py \
	tests/simulation/test_golden_episodes.py tests/environments tests/store/test_parquet_store.py \
	tests/store/test_postgres_store.py tests/training/test_checkpoints.py tests/report/test_page.py
test-lowest: $(DEV)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m support.lowest > "$$folder/lowest.txt"; \
	$(PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install -q --no-compile -c "$$folder/lowest.txt" -e '.[dev]'; \
	"$$folder/venv/bin/python" -m pytest -q -p no:cacheprovider $(PARALLEL) $(LOWEST_TESTS)

# The documentation as pages, in site/: links, references to the code and its examples are checked.
# (With --quiet, mkdocs counts no warnings, so that --strict would let all of them pass.)
docs: $(DOCS)
	$(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m pytest -q tests/test_docs.py

$(DOCS): $(DEV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	@touch $@

# The figures of docs/performance.md: measure them on a quiet machine.
# BENCH_ARGS=--full adds the scaling tables.
bench: $(DEV)
	-@$(MAKE) --no-print-directory peers
	@mkdir -p .benchmarks; rm -f .benchmarks/pytest.json
	@status=0; $(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only \
		--benchmark-disable-gc --benchmark-json=.benchmarks/pytest.json $(PYTEST_ARGS) || status=$$?; \
	$(BIN)/python -m benchmarks.table --pytest-json .benchmarks/pytest.json $(BENCH_ARGS) \
		|| status=$$?; \
	$(BIN)/python -m benchmarks.fill_models --write || status=$$?; \
	$(BIN)/python -m benchmarks.no_edge || status=$$?; \
	exit $$status

# What `bench` compares with, in an environment of its own: it wants an older numpy.
peers: .venv-peers/.installed
.venv-peers/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q -r $<
	@touch $@

clean:
	rm -rf .venv .venv-peers build dist site .mypy_cache .ruff_cache .pytest_cache .benchmarks .coverage*
