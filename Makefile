# make run and make test are all that is needed; each installs what it needs, once.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Wheels only: to build an sdist, pip would fetch what that needs, of any version and any content.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	--only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help run test faults bench bench-check check format openapi architecture reference \
	docs types play lock release clean

help:  ## list the targets
	@awk 'BEGIN { FS = ":.*  ## " } /^[a-z-]+:.*  ## / { printf "  make %-13s %s\n", $$1, $$2 }' \
	$(firstword $(MAKEFILE_LIST))

run: export ELEVENLABS_AGENT_ENABLED := $(or $(ELEVENLABS_AGENT_ENABLED),true)
run: $(VENV)/run.stamp  ## serve the API (PORT=, DATA_DIR=, REDIS_URL=)
	@exec $(BIN)/python manage.py serve

test: $(VENV)/dev.stamp  ## run all tests (ARGS= for pytest)
	$(BIN)/python -m pytest -n 2 $(ARGS)

faults: $(VENV)/dev.stamp  ## kill, cut and stop things for some minutes, and print what was lost
	$(BIN)/python -m tests.faults $(ARGS)

bench: $(VENV)/dev.stamp  ## measure, and write docs/benchmarks (needs wrk)
	$(BIN)/python -m tests.benchmarks $(ARGS)

bench-check: $(VENV)/dev.stamp  ## measure the ratios that are kept; fail where one is not
	$(BIN)/python -m tests.benchmarks --check

check: $(VENV)/dev.stamp  ## lint, types, import contracts, whether openapi.yaml and asyncapi.yaml are fresh
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --fail-level WARNING
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file $(VENV)/openapi.yaml
	@diff -u openapi.yaml $(VENV)/openapi.yaml || { echo 'openapi.yaml is stale: make openapi'; exit 1; }
	$(BIN)/python manage.py asyncapi > $(VENV)/asyncapi.yaml
	@diff -u asyncapi.yaml $(VENV)/asyncapi.yaml || { echo 'asyncapi.yaml is stale: make openapi'; exit 1; }

format: $(VENV)/dev.stamp  ## lay the code out, and mend what ruff can mend
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

openapi: $(VENV)/run.stamp  ## write openapi.yaml and asyncapi.yaml anew
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file openapi.yaml
	$(BIN)/python manage.py asyncapi > $(VENV)/asyncapi.yaml && cp $(VENV)/asyncapi.yaml asyncapi.yaml

architecture: $(VENV)/dev.stamp  ## draw the picture of docs/architecture.md from the imports
	$(BIN)/python -m tests.architecture

reference: $(VENV)/dev.stamp  ## write docs/settings.md and docs/commands.md anew
	$(BIN)/python -m tests.reference

docs: export NO_MKDOCS_2_WARNING := true
docs: $(VENV)/docs.stamp  ## make the documentation's site in .venv/site
	@$(VENV)/docs/bin/mkdocs build --quiet
	@echo 'To read it: $(BIN)/python -m http.server 8080 --bind 127.0.0.1 --directory $(VENV)/site'

types: $(VENV)/dev.stamp  ## compile the contract's TypeScript types against the schema's (needs Node.js)
	cd tests/typescript && npm ci --no-audit --no-fund --silent && npm test --silent
	$(BIN)/python -m pytest -q tests/agent_conversations/api/openapi/test_asyncapi.py

play: $(VENV)/dev.stamp  ## play a call in the browser, beside make run (needs Node.js; ARGS=)
	cd tests/typescript && npm ci --no-audit --no-fund --silent
	$(BIN)/python -m tests.played_call $(ARGS)

lock: $(VENV)/dev.stamp  ## pin the requirements anew (needs uv)
	cd requirements && for file in base dev docs release; do \
		uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
		--generate-hashes --no-header --upgrade $$file.in --output-file $$file.txt || exit 1; done

release: $(VENV)/dev.stamp $(VENV)/release.stamp  ## go through the checklist of a release, and fill dist
	$(BIN)/python -m tests.release

clean:  ## remove the virtual environment and caches; .data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf tests/typescript/node_modules

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; set PYTHON=/path/to/python'; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/base.txt | $(BIN)/python
	@echo 'Installing $< into $(VENV), once: about a minute …'
	@$(INSTALL) -r $<
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt | $(BIN)/python
	@echo 'Installing $< into $(VENV), once: about a minute …'
	@$(INSTALL) -r $<
	@touch $@ $(VENV)/run.stamp

# In environments of their own: they share packages with the service, not their versions.
$(VENV)/docs.stamp $(VENV)/release.stamp: $(VENV)/%.stamp: requirements/%.txt | $(BIN)/python
	@echo 'Installing $< into $(VENV)/$*, once …'
	@$(BIN)/python -m venv $(VENV)/$*
	@$(VENV)/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	--only-binary :all: -r $<
	@touch $@
