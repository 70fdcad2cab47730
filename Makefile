# The first target that needs an environment makes it: .venv, from pyproject.toml and constraints.txt.
.DEFAULT_GOAL := help
.PHONY: help demo test oracle bench docs lint types wheel assets weights clean

BIN := .venv/bin
READY := .venv/.installed

# One thread a test process: a small machine has two cores, and some tests set their own number.
TEST_ENV := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} MPLBACKEND=agg

help:  ## list these targets
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1@\2/p' Makefile | awk -F@ '{printf "%-12s %s\n", $$1, $$2}'

demo: $(READY)  ## simulate a patient, localise the spike, show the truth beside it
	@$(BIN)/bayesesi demo

# Whole files go to one of two workers: their fixtures are made once.
test: $(READY)  ## run the tests that take seconds
	@$(TEST_ENV) $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

oracle: $(READY)  ## run the slow tests: closed forms, MNE, exact posteriors
	@$(TEST_ENV) $(BIN)/python -m pytest -m slow

bench: $(READY)  ## run the benchmark
	@$(TEST_ENV) $(BIN)/python -m tests.bench

# Two pages at a time, each notebook in a process of its own; pages that have not changed stay.
docs: $(READY)  ## build the site into runs/docs, every notebook and example executed
	@$(BIN)/python -c "import myst_nb, furo" 2>/dev/null || \
		$(BIN)/python -m pip install -qq -c constraints.txt -e ".[docs]"
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} \
		$(BIN)/python -m sphinx -q -W --keep-going -j 2 -b html reports/docs runs/docs
	@! grep -rl "&lt;Figure size" runs/docs --include=*.html || \
		{ echo "a page shows the name of a figure and not the figure"; exit 1; }
	@echo "the site is in runs/docs/index.html"

lint: $(READY)  ## check style, formatting and docstrings
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --output-format concise
	@$(BIN)/python tests/lint/docstrings.py

types: $(READY)  ## check types
	@$(BIN)/mypy

wheel: $(READY)  ## build the wheel and run it from an empty folder
	@rm -rf dist
	@$(BIN)/python -m build --quiet --wheel --no-isolation --outdir dist
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && mkdir "$$work/empty" && \
	$(BIN)/python -m pip install -qq --no-deps --no-index --target "$$work/site" dist/*.whl && \
	cd "$$work/empty" && PYTHONPATH="$$work/site" \
	"$(CURDIR)/$(BIN)/python" -P "$(CURDIR)/tests/wheel_check.py" "$$work/site"

assets: $(READY)  ## build the head model's lead field bank
	@$(BIN)/bayesesi head build

weights: $(READY)  ## train the networks that ship: hours on two cores; a stopped run goes on
	@for name in $$($(BIN)/python -c "from bayesesi.model import shipped_recipes as r; print(*r())"); do \
		$(BIN)/bayesesi train $$name -o runs/$$name && \
		cp runs/$$name/$$name.safetensors bayesesi/assets/$$name.safetensors || exit 1; \
	done

clean:  ## remove what these targets made, .venv excepted
	@rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find bayesesi tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@python=; for candidate in python3.11 python3; do \
		if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
		then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "bayesesi needs Python 3.11 or newer, found as python3.11 or python3: please install it."; exit 1; \
	fi; \
	echo "setting up .venv, about two minutes, once"; \
	$$python -m venv .venv
	@$(BIN)/python -m pip install -qq -c constraints.txt torch
	@$(BIN)/python -m pip install -qq -c constraints.txt -e ".[dev]"
	@touch $@
