# Everything that is done with Tradepost, by name. `make` alone lists it.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

BIN := .venv/bin
LOCAL := $(BIN)/python -m deploy.local --end-with-parent
# Django can only be asked about itself with settings, and those with services.
THROWAWAY := $(LOCAL) exec --throwaway --
MANAGE := $(THROWAWAY) $(BIN)/python manage.py
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url
PRODUCTION := DEBUG=false HTTPS=true ALLOWED_HOSTS=tradepost.example
SCHEMA := docs/openapi.yaml
RECORDED := config/migrations.sql
TEMPLATES := $(shell find apps templates -name '*.html' 2>/dev/null)

# Passed on by `test`, `migrations` and `lock`.
ARGS ?=
# Processes that run tests at the same time.
WORKERS ?= auto
# The interpreter of the virtual environment; unset: the first python3 that is new enough.
PYTHON ?=

export PYTHON
# Where it is set, each process of each start compiles some 370 modules anew: 0.2 s of a core, and more on a slow one.
unexport PYTHONDONTWRITEBYTECODE

##@ Use it

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: .venv/.requirements ## Run everything here: PostgreSQL, Valkey, web, workers, beat; Ctrl-C stops it
	@exec $(LOCAL) run

.PHONY: demo
demo: .venv/.requirements ## In a second terminal: real requests, and the webhooks that they cause
	@exec $(BIN)/python -m sandbox.demo

.PHONY: screenshots
screenshots: .venv/.requirements-dev ## In a second terminal: take the README's pictures of what runs
	@CHROMIUM=$$(deploy/chromium.sh) $(BIN)/python -m sandbox.screenshots

##@ Check it

.PHONY: test
test: .venv/.requirements-dev ## Run the tests on throw-away services; ARGS="tests/orders -k stock"
	$(THROWAWAY) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: check
check: format-check lint types contracts migrations-check deploy-check schema-check install-check ## Check all that CI checks, cheap first, and run every test
	$(MAKE) test ARGS='-m "not browser"'
	$(MAKE) browser

.PHONY: browser
browser: .venv/.requirements-dev ## Look at every page in Chromium, which is installed where it is missing and may be
	CHROMIUM=$$(deploy/chromium.sh) $(THROWAWAY) $(BIN)/python -m pytest -m browser tests/browser $(ARGS)

.PHONY: bench
bench: .venv/.requirements-dev ## Measure everything beside its limit, thrice, and write docs/performance.md
	@$(BIN)/python -m bench

.PHONY: bench-short
bench-short: .venv/.requirements-dev ## Measure everything once, small, and say what got slower
	@$(BIN)/python -m bench short

.PHONY: lint
lint: .venv/.requirements-dev ## Look for mistakes in Python and templates
	$(BIN)/ruff check .
	$(if $(TEMPLATES),$(BIN)/djlint --lint $(TEMPLATES))

.PHONY: types
types: .venv/.requirements-dev ## Check the types (mypy, strict)
	$(THROWAWAY) $(BIN)/mypy

.PHONY: contracts
contracts: .venv/.requirements-dev ## Check who may import whom
	$(BIN)/lint-imports

.PHONY: format-check
format-check: .venv/.requirements-dev
	$(BIN)/ruff format --check .
	$(if $(TEMPLATES),$(BIN)/djlint --check $(TEMPLATES))

.PHONY: migrations-check
migrations-check: .venv/.requirements-dev
	$(MANAGE) makemigrations --check --dry-run

.PHONY: deploy-check
deploy-check: .venv/.requirements-dev
	$(THROWAWAY) env $(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

.PHONY: schema-check
schema-check: .venv/.requirements-dev
	$(THROWAWAY) sh -c '$(BIN)/python manage.py spectacular --validate --fail-on-warn \
		--file "$$DATA_DIR/schema.yaml" && diff -u $(SCHEMA) "$$DATA_DIR/schema.yaml"'

.PHONY: install-check
install-check: .venv/.requirements-dev
	$(BIN)/python -m pip --disable-pip-version-check check

##@ Change it

.PHONY: format
format: .venv/.requirements-dev ## Format Python and templates, and mend what can be mended by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(if $(TEMPLATES),$(BIN)/djlint --quiet --reformat $(TEMPLATES))

.PHONY: schema
schema: .venv/.requirements-dev ## Write docs/openapi.yaml anew
	$(MANAGE) spectacular --validate --fail-on-warn --file $(SCHEMA)

.PHONY: migrations
migrations: .venv/.requirements-dev ## Make the migrations that the models lack, and write config/migrations.sql; ARGS="orders -n add_note"
	$(MANAGE) makemigrations $(ARGS)
	$(MANAGE) migrate --record $(RECORDED) --verbosity 0

.PHONY: lock
lock: .venv/.requirements-dev ## Compile requirements*.in with hashes; ARGS="--upgrade-package django"
	$(COMPILE) $(ARGS) --output-file requirements.txt requirements.in
	$(COMPILE) $(ARGS) --output-file requirements-dev.txt requirements-dev.in

.PHONY: clean
clean: ## Remove the virtual environment and caches; the data in DATA_DIR stays
	rm -rf .venv staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment: made once, filled again when the requirements change.

.venv/bin/python:
	@deploy/venv.sh .venv

.venv/.requirements: requirements.txt | .venv/bin/python
	@echo "Installing $< (about half a minute, only when it changes)"
	@$(INSTALL) -r $<
	@touch $@

.venv/.requirements-dev: requirements-dev.txt .venv/.requirements
	@echo "Installing $< (about half a minute, only when it changes)"
	@$(INSTALL) -r $<
	@touch $@
