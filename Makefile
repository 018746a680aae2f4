# Sendproof. `make help` lists the targets; each installs what it needs.
.DEFAULT_GOAL := help
.PHONY: help demo test setup setup-test format check fast-tests integration test-browser translations fuzz faults bench bench-milter bench-logparser bench-web bench-edges bench-readme edges deb lock clean
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
export PYTHON

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: setup ## Send a real message the whole way, on loopback, and show its transcripts
	@$(BIN)/python -m sendproof_testing.demo

test: setup-test check ## All tests: first `check`, then everything that starts servers
	@$(PYTEST) -q tests -m "integration or browser or postgres"

setup: ## Install what `make demo` needs
	@tools/install-debian demo
	@tools/install-python
	@tools/install-web-assets

setup-test: ## Install what `make test` needs
	@tools/install-debian demo deb test
	@tools/install-python
	@tools/install-web-assets

format: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: setup ## Format, lint, types, contracts, dependencies, fast tests: some minutes
	@$(BIN)/python tools/check.py

integration: setup-test ## The tests that start a sandbox, a PostgreSQL or a browser
	@$(PYTEST) tests -m "integration or browser or postgres"

test-browser: setup-test ## The stories of the site in Debian's Chromium; OPTIONS="--basetemp DIR" keeps the pictures
	@$(PYTEST) -q tests -m browser $(OPTIONS)

fuzz: setup ## Damaged mail and log lines against the parsers, five minutes each; OPTIONS="--seconds 60"
	@$(BIN)/python tests/fuzz/fuzz_mail.py --seconds 300 $(OPTIONS)
	@$(BIN)/python tests/fuzz/fuzz_log.py --seconds 300 $(OPTIONS)

faults: setup-test ## kill -9 of the logparser, 200 times under load, with rotation; ROUNDS=20 SEED=7
	@FAULT_ROUNDS=$(or $(ROUNDS),200) FAULT_SEED=$(or $(SEED),$$(date +%s)) \
	    $(BIN)/python -m pytest -q -s tests/integration/test_logparser_faults.py

edges: setup-test ## Several edges on one PostgreSQL, the database away for a minute, 20 times; ROUNDS=3
	@for round in $$(seq $(or $(ROUNDS),20)); do \
	    OUTAGE_SECONDS=60 EDGES_SEED=$$round $(BIN)/python -m pytest -q tests/integration/test_edges.py || exit 1; done

deb: setup ## Build the Debian package into dist/
	@tools/build-deb

bench: setup ## Every measurement, beside its peers: JSON lines, then tables
	@tools/install-debian demo deb test bench
	@$(BIN)/python bench/run.py $(OPTIONS)

bench-milter: ## The milter beside OpenDKIM, rspamd, dkimpy-milter; OPTIONS="--without rspamd --rounds 5"
bench-logparser: ## The logparser beside pflogsumm; OPTIONS="--quick"; OPTIONS="--without latency"
bench-web: ## The site and the pixel over 200,000 and 2,000,000 recipients; OPTIONS="--quick"
bench-edges: ## One, two and three edges on one PostgreSQL beside pgbench; OPTIONS="--quick"
bench-milter bench-logparser bench-web bench-edges: bench-%: setup
	@tools/install-debian demo deb test bench
	@$(BIN)/python bench/run.py $* $(OPTIONS)

bench-readme: setup ## Put the tables of the last measurements into README.md
	@$(BIN)/python bench/readme.py

translations: setup ## Bring the catalogues of the site and the notices up to date with the code
	@tools/update-translations

lock: setup ## Write the lock files anew from pyproject.toml
	@$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --allow-unsafe --no-header --no-annotate -o tools/build-requirements.lock tools/build-requirements.in
	@$(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	    --allow-unsafe --no-header --no-annotate --all-extras -o requirements.lock pyproject.toml

clean: ## Remove what the tools left behind
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
