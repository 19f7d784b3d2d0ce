# Everything a stranger needs, one word each. `make help` lists it.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
ARGS ?=

.PHONY: help setup setup-vllm train test test-vllm test-all check bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	touch $@

setup: .venv/installed ## make .venv from requirements.lock

.venv-vllm/installed: requirements-vllm.lock
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --no-deps --requirement requirements-vllm.lock
	touch $@

setup-vllm: .venv-vllm/installed ## make .venv-vllm, where rollout=vllm runs on a CPU (4 GB)

test-vllm: setup-vllm ## run the tests of rollout=vllm there (about 5 minutes)
	.venv-vllm/bin/python -m pytest -q -m "not gpu" tests/rollout/test_vllm.py $(ARGS)

train: setup ## teach the embedded model Countdown (about 10 minutes on 2 cores; ARGS="seed=1" and so on)
	$(BIN)/python -m r1zero.train $(ARGS)

test: setup ## run the tests
	$(BIN)/python -m pytest -q $(ARGS)

test-all: setup ## run the tests, slow ones included
	$(BIN)/python -m pytest -q -m "not gpu" $(ARGS)

check: setup ## formatting, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

bench: setup ## our speed beside the peers' (about 15 minutes)
	$(BIN)/python -m benchmarks.rollout
	$(BIN)/python -m benchmarks.train_step
	$(BIN)/python -m benchmarks.sandbox

docs: setup ## build the pages into docs/_build (Sphinx; any warning fails)
	$(BIN)/python -m pip install --quiet "sphinx==9.0.4" "myst-parser==5.2.0" "furo==2025.12.19"
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build
	@echo docs/_build/index.html

clean: ## remove the virtual environment and caches, never runs
	rm -rf .venv .venv-vllm .pytest_cache .ruff_cache .mypy_cache .hypothesis
