# Everything a checkout needs: python3.11 and make. `make help` lists the verbs.
#
# Two stamps keep installation from repeating: .venv/.run holds what the product needs to run (enough for `make demo`),
# .venv/.dev adds what proves it. What pip says goes to stderr, so stdout carries only what the verb itself prints.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
SEED ?= 1
WORKERS ?= auto
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install demo test check format bench chaos world worlds docs recordings clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

.venv/.run: requirements.lock pyproject.toml
	@echo "tickwork: installing what it needs to run" >&2
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv >&2
	@$(PIP) install -r requirements.lock >&2
	@$(PIP) install --no-deps --no-build-isolation -e . >&2
	@touch $@

.venv/.dev: .venv/.run requirements-dev.lock
	@echo "tickwork: installing what checks and tests need" >&2
	@$(PIP) install -r requirements-dev.lock >&2
	@touch $@

## install                       create .venv with everything for development
install: .venv/.dev

## demo ARGS="--once --json"     the product at work on recorded prices
demo: .venv/.run
	@$(BIN)/tickwork demo $(ARGS)

## test ARGS="-k name"           the default test suite (add `-m slow` for the long ones; WORKERS=0: in one process)
test: .venv/.dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

## check                         format, lint, types, architecture
check: .venv/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

## format                        apply the formatter and the safe fixes
format: .venv/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

## bench ARGS="--only steps"     measure, print ratios (see benchmarks/README.md)
bench: .venv/.dev
	@$(BIN)/python -m benchmarks $(ARGS)

## chaos ARGS="--kills 40"       kill the real process at random and named points, compare the books; --trading
##                               --kills 500: only the one that trades at a simulated exchange
chaos: .venv/.dev
	@$(BIN)/python scripts/chaos.py $(ARGS)

## world SEED=7                  cut the power of the twenty simulated worlds of a seed, compare the books
##   ARGS="--trading --trace"      or tell the story of a seed's world of traders and exchange
world: .venv/.dev
	@$(BIN)/python scripts/world.py --seed $(SEED) $(ARGS)

## worlds ARGS="--worlds 20000"  traders, exchange, faults, crashes and halts in virtual time (`--mutations`: wrong builds)
worlds: .venv/.dev
	@$(BIN)/python -m tests.worlds $(ARGS)

## docs                          run the examples of the documentation
docs: .venv/.dev
	@$(BIN)/python -m pytest tests/docs $(ARGS)

## recordings                    rebuild the packed recordings from the packages they come from
recordings: .venv/.dev
	@$(BIN)/python scripts/repack_recordings.py $(ARGS)

## clean                         remove .venv and every cache
clean:
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
