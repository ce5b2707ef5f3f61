# Everything a fresh machine needs is python3 (3.11 or newer), make and git.
# The environment is made once in .venv and reused; remove it with `make clean-venv`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DOCS   := $(VENV)/.docs
# one torch import is about 400 MiB and 3 s: more than four test workers do not pay
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -gt 4 ] && echo 4 || echo $$n)

# pip leaves alone what is there and will do; on a terminal it shows its progress, elsewhere a line for each step is enough
PIP = $(BIN)/python -m pip --disable-pip-version-check install $$([ -t 2 ] || echo --quiet) --constraint constraints.txt

define step
@echo "seamount: $(1)"; began=$$(date +%s); $(2) && echo "seamount: that took $$(($$(date +%s) - began)) s"
endef

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types tests docs docs-links format bench wheel wheel-demo clean clean-venv

help:  ## list the targets
	@echo "Seamount: the student you train is the program the chip runs."
	@echo
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: $(READY)  ## make .venv and install everything (network needed, about 7 GB)

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "seamount: python3 is %d.%d, 3.11 or newer is needed; try: make PYTHON=/path/to/python3.12" % v[:2])'
	@echo "seamount: making $(VENV) with $$($(PYTHON) --version)"
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { echo "seamount: this python3 has no venv; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(call step,installing torch and norse and nir and the tools (a few GB the first time),$(PIP) --editable '.[dev]')
	$(call step,installing what lava needs,$(PIP) asteval networkx scikit-learn opencv-python-headless)
	$(call step,installing lava-nc 0.10.0 and lava-dl 0.6.0 (archived; they declare Python 3.10 and run here through a shim),$(PIP) --no-deps --ignore-requires-python lava-nc==0.10.0 lava-dl==0.6.0)
	@touch $(READY)
	@echo "seamount: ready"

demo: $(READY)  ## distil a spiking student on real digits, compile it, run it on Lava, write the report
	@$(BIN)/seamount demo --overwrite

# types beside the tests, because alone they leave all cores but one idle
test: lint  ## lint, types and all tests
	@$(MAKE) --no-print-directory --jobs=2 types tests

check: lint types  ## lint and types

lint: $(READY)  ## ruff: rules and format
	@echo "seamount: ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: $(READY)  ## mypy, strict
	@echo "seamount: mypy"
	@$(BIN)/mypy

tests: $(READY)  ## all tests, on up to four cores
	@echo "seamount: pytest on $(WORKERS) workers"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

docs: $(DOCS)  ## build the site of the documentation in build/docs, links checked, warnings as errors
	@echo "seamount: sphinx"
	@$(BIN)/python -W ignore -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees -c docs . build/docs
	@echo "seamount: build/docs/index.html"

docs-links: $(DOCS)  ## ask every server that the documentation links to (network needed)
	@echo "seamount: sphinx, links to elsewhere"
	@$(BIN)/python -W ignore -m sphinx --quiet -b linkcheck -d build/doctrees -c docs . build/links
	@echo "seamount: build/links/output.txt"

$(DOCS): $(READY)
	$(call step,installing what builds the documentation,$(PIP) --editable '.[docs]')
	@touch $(DOCS)

format: $(READY)  ## put the code into the one format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY)  ## measure mapping and training steps, and the simulator where the recordings are
	@for script in mapping distillation simulator; do echo "seamount: benchmarks/$$script.py"; $(BIN)/python benchmarks/$$script.py || exit 1; done

wheel-demo: $(READY)  ## build the wheel, run a short demonstration from it in a fresh environment without Lava
	@$(BIN)/python -m tests.wheel_demo

wheel: $(READY)  ## build sdist and wheel into dist/
	@$(BIN)/python -m build --outdir dist .

clean:  ## remove caches and build products (runs/ and .venv stay)
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

clean-venv:  ## remove the environment
	@rm -rf $(VENV)
