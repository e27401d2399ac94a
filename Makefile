# Two commands for a newcomer: `make demo` and `make test`. Everything happens in a virtual environment of the project's own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(CURDIR)/$(BIN)/uv
UV_VERSION := 0.13.8
# Cores are few and models load all of them: as many test processes as cores.
DOCS_OUT ?= docs/commands
JOBS ?= $(shell nproc)
SECONDS ?= 60

.PHONY: demo test setup fuzz format lint types contracts check-protos check-docs tests test-pythons protos docs lock clean

demo: $(READY)
	@$(BIN)/python -m examples.digits_demo

test: lint types contracts check-protos check-docs tests

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed to develop; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt \
		--config-setting editable_mode=compat --editable '.[dev]'
	@touch $@

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

# Generated stubs must be what the .proto files give.
check-protos: $(READY)
	@rm -rf build/protos && mkdir -p build/protos
	@UV=$(UV) protos/generate.sh build/protos
	@for made in build/protos/protos/v1/*; do diff -u protos/v1/$$(basename $$made) $$made || exit 1; done
	@echo "generated stubs are up to date"

tests: $(READY)
	$(BIN)/python -m tests.zoo.make .cache/zoo
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Everything that reads bytes from outside, SECONDS each; `make test` has a short run of the same.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# The node's wheel on every interpreter from 3.9 to 3.13 that this machine has.
test-pythons: $(READY)
	$(BIN)/python -m pytest tests/packaging --all-pythons

# The command reference is what the commands themselves say.
docs: $(READY)
	@mkdir -p $(DOCS_OUT)
	@for program in converter node_service dispatcher_client; do \
		COLUMNS=120 $(BIN)/typer $$program.cli utils docs --name "python -m $$program" --output $(DOCS_OUT)/$$program.md >/dev/null \
		|| exit 1; done

check-docs: $(READY)
	@$(MAKE) --no-print-directory docs DOCS_OUT=build/commands
	@diff -ru docs/commands build/commands || { echo "run: make docs"; exit 1; }
	@echo "command reference is up to date"

protos: $(READY)
	UV=$(UV) protos/generate.sh

lock: $(READY)
	$(UV) pip compile --quiet --universal --python-version 3.9 --extra dev --no-header --no-annotate --no-emit-index-url \
		--upgrade --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .cache build dist *.egg-info
