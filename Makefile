# Everything below works on a fresh machine with Python 3.11+ and make. Windows: see "Without make" in README.md.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
RUN := $(BIN)/python -m

.PHONY: help install demo test axe check bench soak bundle format clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed: make PYTHON=python3.12" && false)
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(RUN) pip install --quiet --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.ready
	$(RUN) pip install --quiet --editable . --group dev
	@touch $@

install: $(VENV)/.ready ## set up what serves, and say how to connect a client
	@echo "Ready. Connect a client that is here, or all of them:"
	@echo "  $(CURDIR)/$(BIN)/mcp-memory install claude-code"
	@echo "  $(CURDIR)/$(BIN)/mcp-memory install --all"

demo: $(VENV)/.ready ## show a real server at work
	$(BIN)/mcp-memory demo

test: $(VENV)/.installed ## run all tests, on every processor
	$(RUN) pytest -n auto --dist worksteal

AXE := axe-core-4.14.1.tgz

.cache/$(AXE):
	mkdir -p .cache
	npm pack --silent --pack-destination .cache axe-core@$(AXE:axe-core-%.tgz=%)

axe: .cache/$(AXE) ## fetch what checks the browser page for accessibility; without it that test is skipped
	tar -xzf .cache/$(AXE) -C .cache

check: $(VENV)/.installed ## lint, format and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) pyright
	$(RUN) pyright --project .packaging

format: $(VENV)/.installed ## put the code into shape
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

bench: $(VENV)/.installed ## measure latency (as ratios), retrieval beside other searches, what the cut-off costs, and the browser page
	$(RUN) benchmarks.latency
	$(RUN) benchmarks.retrieval
	$(RUN) benchmarks.abstention
	$(RUN) benchmarks.browser

SECONDS ?= 300

soak: $(VENV)/.installed ## kill, stop and starve processes on one file, and look for what was lost: make soak SECONDS=300
	$(RUN) benchmarks.soak --seconds $(SECONDS)

bundle: $(VENV)/.installed ## build dist/mcp-memory-VERSION.mcpb, check and try it; needs Node, and uv for the try
	$(BIN)/python .packaging/bundle.py

clean: ## remove what the targets made
	rm -rf $(VENV) .pytest_cache .hypothesis .ruff_cache dist
