# Every target makes the virtual environment it needs; `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo storm million test check format screenshots docs bench crash crash-brokers prove simulate lock audit clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv with everything pinned (PYTHON=/path/to/python3 chooses the interpreter)

# The lock names everything, so dependencies are not looked at again: pip would refuse a release newer than the lock that
# satisfies an extra of a package which the lock pins without it.
# Silent on stdout, which belongs to what runs after it (`make demo ARGS=--json | ...`).
# The stamp is newer than all that decides what is installed, so this runs again only when one of them changed.
$(STAMP): pyproject.toml requirements/dev.txt scripts/setup-venv
	@./scripts/setup-venv $(VENV) >&2
	@echo 'setup: installing what requirements/dev.txt pins' >&2
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## Run a whole utility on this machine (ARGS="--once --json" for a program to read)
	@$(BIN)/cimcare demo $(ARGS)

storm: $(STAMP) ## Play the worst hour of a storm against a utility on this machine (ARGS="--scale 0.01 --speed 4" for a small one)
	@$(BIN)/cimcare storm --profile isaias --here --workers 2 --report storm.html --out storm.json $(ARGS)

million: $(STAMP) ## Send a million tickets an hour for five minutes (ARGS="--minutes 60" for the hour)
	@$(BIN)/cimcare storm --profile million --minutes 5 --here --workers 1 --couriers 1 --report million.html --out million.json $(ARGS)

test: $(STAMP) ## Run the tests with branch coverage (ARGS="--no-cov tests/unit" for some of them)
	@./scripts/test-services install
	$(BIN)/python -m pytest --numprocesses 2 --cov $(ARGS)

check: $(STAMP) ## Style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src $(wildcard scripts/*.py)
	$(BIN)/lint-imports
# Committed files made from others are compared here, one line each:
	$(BIN)/python scripts/make_docs.py --check

screenshots: $(STAMP) ## Take the pictures of the console in docs/images (needs Chromium)
	$(BIN)/python scripts/make_screenshots.py

format: $(STAMP) ## Put the source into shape
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(STAMP) ## Write the generated pages
	$(BIN)/python scripts/make_docs.py $(ARGS)

bench: $(STAMP) ## Measure the codec beside its floor and its peers
	$(BIN)/python bench/codec.py $(ARGS)

crash: $(STAMP) ## Kill a hub under load 200 times on each store, and count what was lost (ARGS="--cycles 20")
	$(BIN)/python -m tests.crash $(ARGS)

crash-brokers: $(STAMP) ## Kill a broker under load 20 times for each protocol, and count what was lost (ARGS="--cycles 5")
	$(BIN)/python -m tests.crash.brokers_command $(ARGS)

simulate: $(STAMP) ## Live through many histories of a hub, each from one seed (ARGS="--seed 11 --trace" shows one)
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 1:20000)

prove: $(STAMP) ## Break each guarantee by one change, and show that its tests notice (ARGS="--only G4")
	$(BIN)/python scripts/break_guarantees.py $(ARGS)

# Resolved by the oldest Python supported, so that the pins suit every later one.
lock: $(STAMP) ## Pin the dependencies again (ARGS=--upgrade for the newest of all)
	$(BIN)/python -c 'import sys; sys.version_info[:2] == (3, 11) or sys.exit("make lock needs a .venv of Python 3.11")'
	$(PIP_COMPILE) $(EXTRAS) --output-file requirements/runtime.txt pyproject.toml
	$(PIP_COMPILE) $(EXTRAS) --extra dev --output-file requirements/dev.txt pyproject.toml
# With what has to be compiled on Linux, and so is only installed where it can be (scripts/test-services).
	$(PIP_COMPILE) --extra amqp --constraint requirements/dev.txt --output-file requirements/amqp.txt pyproject.toml

EXTRAS = --extra postgresql --extra rabbitmq

PIP_COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet $(ARGS) --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

audit: $(STAMP) ## Look for known vulnerabilities in what is pinned (asks the network)
	$(BIN)/pip-audit --requirement requirements/runtime.txt --require-hashes --disable-pip --strict

clean: ## Remove what the tools made, the virtual environment too
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache .schemathesis
	find src tests scripts bench -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
