# `make demo` and `make test` set everything up by themselves; they need Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint check bench accuracy lock clean

demo: $(READY)
	$(BIN)/secagg train --out runs/demo --overwrite

test: $(READY)
	$(BIN)/python -m pytest -n auto

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# Costs of the protocols, in two minutes, and accuracies over eight seeds, in three; both want an idle machine.
bench: $(READY)
	$(BIN)/python -m benchmarks.cost --json benchmarks/results/cost.json

accuracy: $(READY)
	$(BIN)/python -m benchmarks.accuracy --json benchmarks/results/accuracy.json

# Resolves every extra that the repository's own code and tests use; names no index host.
lock: $(READY)
	$(BIN)/uv pip compile pyproject.toml --extra tensorflow --extra report --extra dev \
	    --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --output-file requirements.lock

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "secagg: $(PYTHON) not found; call make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
