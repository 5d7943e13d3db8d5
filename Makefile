# One command for each thing; a second run is quick. `make help` lists them.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
ADAPTER ?= asgi
SOAK ?= 20
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin

# Stamps tell what was installed from which pyproject.toml.
MADE := $(VENV)/.made
EXTRA = $(VENV)/.installed-$(ADAPTER)
DEV := $(VENV)/.installed-dev

# --verifytypes looks at what the `python` of the PATH has installed
VERIFY_TYPES = PATH="$(CURDIR)/$(BIN):$$PATH" pyright --ignoreexternal --verifytypes

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types cover programs soak bench bench-quick \
  bench-instructions bench-others fmt clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: $(EXTRA) ## Serve the demo at http://127.0.0.1:8000 (HOST=, PORT=, ADAPTER=)
	@$(BIN)/pondsocket demo --host $(HOST) --port $(PORT) --adapter $(ADAPTER)

test: $(DEV) ## Run the tests (ARGS="-k word")
	$(BIN)/pytest $(ARGS)

check: lint types cover programs ## Run everything that must pass before a commit

lint: $(DEV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/interrogate pondsocket adapters backends

types: $(DEV)
	$(BIN)/mypy
	$(VERIFY_TYPES) pondsocket
	$(VERIFY_TYPES) pondsocket_aiohttp
	$(VERIFY_TYPES) pondsocket_asgi
	$(VERIFY_TYPES) pondsocket_nats
	$(VERIFY_TYPES) pondsocket_redis
	$(VERIFY_TYPES) pondsocket_websockets

# The servers of these are programs of their own, which coverage would only slow down.
PROGRAMS := tests/hosts tests/adapters/test_protocol.py tests/cluster

programs: $(DEV)
	$(BIN)/pytest $(PROGRAMS)

cover: $(DEV)
	$(BIN)/pytest --cov --cov-report= $(PROGRAMS:%=--ignore=%)
	$(BIN)/coverage report --include='pondsocket/*' --fail-under=100
	$(BIN)/coverage report --include='adapters/pondsocket_aiohttp/*' --fail-under=95
	$(BIN)/coverage report --include='adapters/pondsocket_asgi/*' --fail-under=95
	$(BIN)/coverage report --include='adapters/pondsocket_websockets/*' --fail-under=95
	$(BIN)/coverage report --include='backends/pondsocket_nats/*' --fail-under=95
	$(BIN)/coverage report --include='backends/pondsocket_redis/*' --fail-under=95

soak: $(DEV) ## Play outages and chance for an hour instead of minutes (SOAK=20)
	POND_SOAK=$(SOAK) POND_LIFECYCLE_EXAMPLES=$$((40 * $(SOAK))) $(BIN)/pytest \
	  tests/cluster tests/unit/distributed/test_convergence.py \
	  tests/reliability/test_lifecycle_machine.py $(ARGS)

# The first run makes environments for the peers, in .venv-bench; that is not counted in.
bench: $(DEV) ## Measure fan-out beside its peers, half an hour, into benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.fanout --record $(ARGS)

bench-quick: $(DEV) ## The same with one short round, under two minutes, kept nowhere
	$(BIN)/python -m benchmarks.fanout --quick $(ARGS)

bench-instructions: $(DEV) ## Count instructions per delivery (needs valgrind)
	$(BIN)/python -m benchmarks.fanout.instructions --record $(ARGS)

bench-others: $(DEV) ## Run the other benchmarks, whose figures are kept by hand
	@set -e; for each in benchmarks/bench_*.py; do \
	  echo "$$each"; $(BIN)/python "$$each" $(ARGS); \
	done

fmt: $(DEV) ## Format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## Remove what the tools left behind, but not .venv
	rm -rf build dist htmlcov .coverage* .hypothesis .import_linter_cache \
	  .mypy_cache .pytest_cache .ruff_cache
	find pondsocket adapters tests -name __pycache__ -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "pondsocket needs Python 3.11 or newer: make PYTHON=python3.13 ...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(EXTRA): $(MADE) pyproject.toml
	$(BIN)/pip install --quiet --editable ".[$(ADAPTER)]"
	@touch $@

# pip knows --group since 25.1
$(DEV): $(MADE) pyproject.toml
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/pip install --quiet --editable ".[all]" --group dev
	@touch $@ $(foreach each,aiohttp asgi bridge websockets,$(VENV)/.installed-$(each))
