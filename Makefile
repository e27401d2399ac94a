# Two commands for a newcomer: `make demo` and `make test`. Everything happens in a virtual environment of the project's own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Tools for the supply chain, apart: nobody else waits for them.
TOOLS := .cache/supply-chain
TOOLS_READY := $(TOOLS)/.ready
DEPLOY := .cache/deploy-tools
DEPLOY_READY := $(DEPLOY)/.ready
SITE := .cache/site-tools
SITE_READY := $(SITE)/.ready
PLAYBOOKS := bench.yml certs.yml deploy.yml remove.yml rollback.yml upgrade.yml
IS_3_11 := $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))'
ROLES ?= deploy/ansible/roles
WHEELHOUSE ?= wheelhouse
TARGETS ?= cp311-aarch64 cp313-aarch64
SBOM ?= build/sbom.json
UV := $(abspath $(BIN))/uv
# Cores are few and models load all of them: as many test processes as cores.
DOCS_OUT ?= docs
DASHBOARDS := deploy/ansible/roles/grafana/files/dashboards
JOBS ?= $(shell nproc)
SECONDS ?= 60
BOOTED ?= 3+1
LOCK_FLAGS ?= --upgrade
# Several hundred Pythons are started by `make test`: where this is set, each of them compiles TensorFlow (11 s) or the node service (1.4 s) anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-deploy setup fuzz format lint types contracts check-protos check-docs check-site check-dashboards check-deploy lint-deploy role-docs dashboards wheelhouse tests test-pythons protos docs site changelog release lock audit sbom clean

demo: $(READY)
	@$(BIN)/python -m examples.digits_demo

test: lint types contracts check-protos check-docs check-site check-dashboards check-deploy tests

setup: $(READY)

# What is locked, with its hashes, and nothing else; uv itself, too.
$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed to develop; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@sed -n '/^uv==/,/[^\\]$$/p' constraints.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $(VENV)/uv.txt
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes constraints.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
		--config-setting editable_mode=compat --editable .
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
	@cd build/protos && for made in protos/*/*_pb2* protos/*/*/*_pb2*; do diff -u ../../$$made $$made || exit 1; done
	@echo "generated stubs are up to date"

tests: $(READY) $(SITE_READY)
	@if $(IS_3_11); then $(MAKE) --no-print-directory $(DEPLOY_READY); fi
	$(BIN)/python -m tests.zoo.make .cache/zoo
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Playbooks on virtual boards that boot, BOOTED of them (amd64+arm64); the first time, it makes their images.
test-deploy: $(DEPLOY_READY)
	$(BIN)/python -m tests.zoo.make .cache/zoo
	BOARDLINE_BOOTED=$(BOOTED) $(BIN)/python -m pytest -m booted -s tests/deploy

# Everything that reads bytes from outside, SECONDS each; `make test` has a short run of the same.
fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# The node's wheel on every interpreter from 3.9 to 3.13 that this machine has.
test-pythons: $(READY)
	$(BIN)/python -m pytest tests/packaging --all-pythons

# The references are what the commands, and the comments of the protos, say.
docs: $(READY)
	@mkdir -p $(DOCS_OUT)/commands $(DOCS_OUT)/reference build
	@for program in converter node_service dispatcher_client; do \
		COLUMNS=120 $(BIN)/typer $$program.cli utils docs --name "python -m $$program" --output $(DOCS_OUT)/commands/$$program.md \
		>/dev/null || exit 1; done
	@UV=$(UV) protos/describe.sh build/protos.binpb
	@$(BIN)/python -m release.protocol_reference build/protos.binpb $(DOCS_OUT)/reference/protocol.md

check-docs: $(READY)
	@$(MAKE) --no-print-directory docs DOCS_OUT=build/docs
	@diff -ru docs/commands build/docs/commands && diff -u docs/reference/protocol.md build/docs/reference/protocol.md \
		|| { echo "run: make docs"; exit 1; }
	@echo "references are up to date"

# The documentation as a site, in build/site: a link, an anchor or a page of the navigation that leads nowhere is an error.
site: export NO_MKDOCS_2_WARNING := 1
site: $(SITE_READY)
	@mkdir -p build && $(SITE)/bin/mkdocs build --strict 2> build/site.log || { grep -v ^INFO build/site.log; exit 1; } # --quiet would silence --strict, too

check-site: site
	@echo "the site is whole"

# What the next version's changelog will say.
changelog: $(SITE_READY)
	@$(SITE)/bin/towncrier build --draft --version next

# The version VERSION, in dist/, committed and tagged; nothing is published.
release: $(READY) $(SITE_READY)
	@$(BIN)/python -m release "$(VERSION)" --tools $(SITE)/bin

# Grafana's dashboards are what deploy/grafana gives.
dashboards: $(READY)
	$(BIN)/python -m deploy.grafana $(DASHBOARDS)

# The SDK that makes them has no wheel for Python 3.10.
check-dashboards: $(READY)
	@if $(IS_3_11); then \
		$(BIN)/python -m deploy.grafana build/dashboards \
		&& { diff -ru $(DASHBOARDS) build/dashboards || { echo "run: make dashboards"; exit 1; }; } \
		&& echo "dashboards are up to date"; \
	else echo "dashboards are not checked: that takes Python 3.11"; fi

# Playbooks and roles by the strictest rules of ansible-lint. This ansible has no release for Python 3.10.
check-deploy: $(READY)
	@if $(IS_3_11); then $(MAKE) --no-print-directory lint-deploy; else echo "playbooks are not checked: that takes Python 3.11"; fi

lint-deploy: export PATH := $(abspath $(DEPLOY)/bin):$(PATH)
lint-deploy: $(DEPLOY_READY)
	@cd deploy/ansible && ansible-lint --offline --profile production -q . \
		&& ansible-playbook --syntax-check --inventory inventory.example.yml $(PLAYBOOKS) >/dev/null
	@rm -rf build/roles && mkdir -p build && cp -r deploy/ansible/roles build/roles && $(MAKE) --no-print-directory role-docs ROLES=build/roles \
		&& { diff -ru deploy/ansible/roles build/roles || { echo "run: make role-docs"; exit 1; }; }
	@echo "playbooks and roles are sound"

# Each role's README is what its argument specification says.
role-docs: $(DEPLOY_READY)
	@for role in $(ROLES)/*; do \
		$(DEPLOY)/bin/aar-doc --output-mode replace $$role markdown || exit 1; \
	done

# Wheels for boards that have no internet, TARGETS of them.
wheelhouse: $(READY)
	$(BIN)/python -m deploy.wheelhouse $(WHEELHOUSE) $(TARGETS)

protos: $(READY)
	UV=$(UV) protos/generate.sh

# Newer versions of everything; LOCK_FLAGS= keeps those that are locked and adds what pyproject.toml asks for.
lock: $(READY)
	$(UV) pip compile --quiet --universal --python-version 3.9 --extra dev --no-header --no-annotate --no-emit-index-url \
		--generate-hashes $(LOCK_FLAGS) --output-file constraints.txt pyproject.toml
	$(UV) pip compile --quiet --universal --python-version 3.10 --group supply-chain --no-header --no-annotate --no-emit-index-url \
		--generate-hashes $(LOCK_FLAGS) --output-file supply-chain.txt
	$(UV) pip compile --quiet --universal --python-version 3.11 --group deploy --no-header --no-annotate --no-emit-index-url \
		--generate-hashes $(LOCK_FLAGS) --output-file deploy-tools.txt
	$(UV) pip compile --quiet --universal --python-version 3.10 --group site --no-header --no-annotate --no-emit-index-url \
		--generate-hashes $(LOCK_FLAGS) --output-file site-tools.txt
	$(UV) pip compile --quiet --no-config --universal --python-version 3.11 --extra node --extra client --extra discovery --no-header --no-annotate \
		--no-emit-index-url --no-emit-package numpy $(LOCK_FLAGS) --output-file deploy/armv7l.txt pyproject.toml

# Known vulnerabilities of what is locked; fails, too, where the database cannot be asked.
audit: $(TOOLS_READY)
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --requirement constraints.txt
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --requirement supply-chain.txt
	$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes --requirement site-tools.txt

# What the environment consists of, in CycloneDX' JSON, checked against its schema.
sbom: $(TOOLS_READY)
	@mkdir -p $(dir $(SBOM))
	@$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON --validate \
		--output-file $(SBOM) $(BIN)/python
	@echo "$(SBOM)"

$(TOOLS_READY): supply-chain.txt $(READY)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(TOOLS)
	@$(UV) pip sync --quiet --python $(TOOLS)/bin/python --require-hashes supply-chain.txt
	@touch $@

$(DEPLOY_READY): deploy-tools.txt $(READY)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(DEPLOY)
	@$(UV) pip sync --quiet --python $(DEPLOY)/bin/python --require-hashes deploy-tools.txt
	@touch $@

$(SITE_READY): site-tools.txt $(READY)
	@$(UV) venv --quiet --clear --python $(BIN)/python $(SITE)
	@$(UV) pip sync --quiet --python $(SITE)/bin/python --require-hashes site-tools.txt
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist *.egg-info
