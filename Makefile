# `make demo` and `make test` set everything up by themselves; they need Python 3.11 and make. PYTHON=python3.12 or
# python3.13 does too, without example-level privacy, for which tensorflow-privacy has no release.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-fast test-later lint format check docs bench masking masks lightsecagg paillier seeds models privacy kills \
    engine-kills faults engines engine-costs planning population ledger-costs rounding scale accuracy compression lattice audit audit-self-test audit-seeds \
    audit-long test-long explore epsilon fuzz fuzz-ci lock clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z][a-z0-9.%-]*:.*## / { sub("%", "N", $$1); printf "%-16s %s\n", $$1, $$2 }' Makefile

# Each demo replaces the one before and keeps its ledger: what it spent stays counted, and is told.
demo: $(READY) ## Train a Keras model privately and securely on real digits, and write its report (runs/demo).
	$(BIN)/secagg train --out runs/demo --overwrite

test: $(READY) ## Run all tests.
	$(BIN)/python -m pytest -n auto --dist worksteal

# What a change of code breaks first, on two idle cores in less than 90 seconds: no training, no command, no big integers,
# no process of an engine.
FAST_TESTS ?= tests/dp/accounting tests/dp/clipping tests/dp/ledger tests/dp/noise tests/protocols/crypto \
    tests/protocols/lightsecagg tests/protocols/pairwise tests/protocols/test_*.py tests/secagg/aggregation \
    tests/secagg/data tests/secagg/engines tests/secagg/privacy tests/secagg/simulation tests/secagg/storage \
    tests/secagg/training tests/test_module_list.py tests/test_repository.py tests/test_threat_model.py

test-fast: $(READY) ## Run a fast part of the tests.
	$(BIN)/python -m pytest -n auto -m "not slow and not engine" --ignore=tests/protocols/crypto/paillier $(FAST_TESTS)

# On a later Python, in an environment of its own: everything but example-level privacy, and of the conformance suite, which
# no version of Python changes, the sums alone; no processes of engines. make test-3.12, make test-3.13.
LATER_TESTS ?= tests/dp tests/protocols tests/secagg tests/conformance/test_sums.py tests/test_extras.py \
    tests/test_readme.py tests/test_version.py

test-3.%: ## Run the tests on a later Python, in an environment of its own: test-3.12, test-3.13.
	python="$$(.ci/find-python 3.$*)" && $(MAKE) test-later VENV=.venv-3.$* PYTHON="$$python"

test-later: $(READY)
	$(BIN)/python -m pytest -n auto -m "not engine" $(LATER_TESTS)

lint: $(READY) ## Check formatting, code, types and import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 -p dp -p protocols -p secagg
	$(BIN)/lint-imports

format: $(READY) ## Format the code.
	$(BIN)/ruff format .

check: lint test docs ## Run every gate: linters, all tests, the site.

# In an environment of its own, without TensorFlow. Warnings are errors; no network is used.
docs: .venv-docs/.ready ## Build the documentation site (docs/_build/index.html).
	.venv-docs/bin/python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env --jobs auto --quiet \
	    docs docs/_build
	@echo "docs/_build/index.html"

# Costs of the protocols, in two minutes, and accuracies over eight seeds, in three; both want an idle machine.
bench: $(READY) ## Measure what each protocol costs.
	$(BIN)/python -m benchmarks.cost --json benchmarks/results/cost.json

# SecAgg+ beside Flower's, in an environment of its own (Flower wants older versions of what the rest uses).
masking: .venv-peers/.ready ## Measure SecAgg+ beside Flower's.
	.venv-peers/bin/python -m benchmarks.masking --json benchmarks/results/masking.json

masks: $(READY) ## Measure the expansion of masks.
	$(BIN)/python -m benchmarks.masks --json benchmarks/results/masks.json

# LightSecAgg beside FedML's numpy code; make lightsecagg FEDML=/path/to/lightsecagg.py of a clone.
lightsecagg: $(READY) ## Measure LightSecAgg beside FedML's; needs FEDML=/path/to/lightsecagg.py.
	@test -n "$(FEDML)" || { echo "secagg: make lightsecagg FEDML=/path/to/FedML's python/fedml/core/mpc/lightsecagg.py" >&2; exit 1; }
	$(BIN)/python -m benchmarks.lightsecagg --fedml $(FEDML) --json benchmarks/results/lightsecagg.json

# Packed Paillier beside phe, and OneShot; ten minutes.
paillier: $(READY) ## Measure Paillier beside phe, and OneShot.
	$(BIN)/python -m benchmarks.paillier --json benchmarks/results/paillier.json
	$(BIN)/python -m benchmarks.oneshot --json benchmarks/results/oneshot.json

# SeedSum with both kinds of pads beside OneShot; three minutes.
seeds: $(READY) ## Measure SeedSum beside OneShot.
	$(BIN)/python -m benchmarks.seeds --json benchmarks/results/seeds.json

# A sum of 10^9 values from disk to disk; five minutes, and 20 GB in the folder for temporary files (TMPDIR).
models: $(READY) ## Measure a sum of 10^9 values from disk to disk.
	$(BIN)/python -m benchmarks.models --json benchmarks/results/models.json

# Samplers beside OpenDP and numpy, a client's part of a private round, accounting beside dp-accounting; five minutes.
privacy: .venv-peers/.ready ## Measure samplers, accounting and calibration beside others.
	.venv-peers/bin/python -m benchmarks.dp --json benchmarks/results/dp.json

# A thousand writers of a ledger, and as many servers with cohorts, killed at random instants, on the disk, and long
# schedules of cohorts; fifteen minutes.
kills: $(READY) ## Kill a thousand writers of a ledger, a thousand servers of cohorts, and check what is left.
	rm -rf runs/kills
	$(BIN)/python -m tests.support.ledger_kills 1000 runs/kills/ledgers
	$(BIN)/python -m tests.support.cohort_kills 1000 runs/kills/cohorts
	$(BIN)/python -m pytest -n auto --long -m long tests/dp/ledger tests/secagg/training

# Stations and coordinators killed at random instants, and a thousand rounds over a faulty channel; some minutes each.
engine-kills: $(READY) ## Kill a hundred stations and a hundred coordinators, and check what is left.
	rm -rf runs/engine-kills
	$(BIN)/python -m tests.support.station_kills 100 runs/engine-kills/stations
	$(BIN)/python -m tests.support.coordinator_kills 100 runs/engine-kills/coordinators

faults: $(READY) ## Run a thousand rounds over a faulty channel, by all protocols.
	$(BIN)/python -m tests.support.fault_campaign

# Real processes of Flower and FLARE: TLS, identities, all protocols, kills, long vectors; half an hour.
engines: $(READY) ## Run the tests that start real processes of Flower and FLARE.
	$(BIN)/python -m pytest --long -m engine tests/secagg/engines

# Seconds a round on both engines, speed-up by workers, memory of a server; half an hour on an idle machine.
engine-costs: $(READY) ## Measure rounds on Flower and FLARE, workers, and the server's memory.
	$(BIN)/python -m benchmarks.engines.workers --json benchmarks/results/workers.json
	$(BIN)/python -m benchmarks.engines.memory --json benchmarks/results/memory.json
	$(BIN)/python -m benchmarks.engines.flare_rounds --json benchmarks/results/flare_rounds.json
	$(BIN)/python -m benchmarks.engines.flower_rounds --json benchmarks/results/flower_rounds.json

planning: $(READY) ## Compare what the planner predicts, with constants of this machine, with what is measured.
	rm -rf runs/planning && mkdir -p runs/planning
	$(BIN)/secagg bench --calibrate --out runs/planning/constants.json
	$(BIN)/python -m benchmarks.planning --constants runs/planning/constants.json --json benchmarks/results/planning.json

# A million random and adversarial updates through clipping and rounding; five minutes.
rounding: $(READY) ## Check the norm bound on a million updates.
	$(BIN)/python -m benchmarks.rounding --json benchmarks/results/rounding.json

# Memory at 10^7 coordinates, and how costs grow to 10,000 clients; half an hour.
ledger-costs: $(READY) ## Measure what a ledger of 100,000 clients costs.
	$(BIN)/python -m benchmarks.ledger --json benchmarks/results/ledger.json

population: $(READY) ## Measure the memory of runs over 1,000 and over 100,000 clients.
	$(BIN)/python -m benchmarks.population --json benchmarks/results/population.json

scale: $(READY) ## Measure memory at 10^7 coordinates, and costs up to 10,000 clients.
	$(BIN)/python -m benchmarks.scale --json benchmarks/results/scale.json

accuracy: $(READY) ## Measure accuracy over eight seeds.
	$(BIN)/python -m benchmarks.accuracy --json benchmarks/results/accuracy.json

compression: $(READY) ## Measure accuracy by the fraction of the coordinates that clients send.
	$(BIN)/python -m benchmarks.compression --json benchmarks/results/compression.json

# Every check on everything that the toolkit ships; at most fifteen minutes on two cores.
audit: $(READY) ## Audit everything that the toolkit ships, at the full level, and write audit.html.
	$(BIN)/secagg audit --level full --html audit.html --json audit.json

# Deviations in forty digits, exact epsilons of enumerated laws; half a minute.
lattice: $(READY) ## Compute the tables of docs/lattice-gaussian.md anew.
	$(BIN)/python -m tests.support.lattice_figures

audit-self-test: $(READY) ## Run all checks on all planted bugs.
	$(BIN)/secagg audit --self-test

# Twenty audits of everything with twenty master seeds; twenty minutes.
audit-seeds: $(READY) ## Audit everything that the toolkit ships with twenty master seeds; nothing may be rejected.
	$(BIN)/python -m tests.support.audit_seeds 20

# Twenty master seeds for every mechanism and mean, and their checks at the full level; five minutes.
audit-long: $(READY) ## Run the long tests of the audit.
	$(BIN)/python -m pytest -n auto --long -m long tests/secagg/audit

# More cohorts, more clients, more moments of a kill than `make test` has time for; more than half an hour.
test-long: $(READY) ## Run the long tests that start no engine and are not of the audit.
	$(BIN)/python -m pytest -n auto --long -m "long and not engine" --ignore=tests/secagg/audit/means \
	    --ignore=tests/secagg/audit/mechanisms

# Two models searched whole, every search compared with what it has to find; two minutes.
explore: $(READY) ## Search the models of pairwise masking and of the opening whole.
	$(BIN)/python -m tests.exploration

# How much of a release's exact epsilon the audit finds; twenty minutes.
epsilon: $(READY) ## Measure how much of epsilon the audit of one canary finds.
	$(BIN)/python -m benchmarks.epsilon --json benchmarks/results/epsilon.json

# Five minutes of one idle core; findings go to runs/fuzz.
fuzz: $(READY) ## Fuzz everything that reads bytes, with ten million inputs.
	$(BIN)/python -m tests.fuzz --inputs 10000000

fuzz-ci: $(READY) ## Fuzz with 100,000 inputs and a fixed seed.
	$(BIN)/python -m tests.fuzz --inputs 100000 --seed 5ecadd

# Resolves every extra that the repository's own code and tests use; names no index host.
lock: $(READY) ## Resolve the lock files anew.
	$(BIN)/uv pip compile pyproject.toml --extra example-level --extra report --extra metrics --extra paillier --extra phe \
	    --extra flower --extra nvflare --extra dev --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra training --extra report --extra metrics --extra paillier --extra phe \
	    --extra flower --extra nvflare --extra dev --python-version 3.12 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --no-python-downloads --output-file requirements-py312.lock
	$(BIN)/uv pip compile pyproject.toml --extra peers \
	    --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --output-file requirements-peers.lock
	$(BIN)/uv pip compile pyproject.toml --extra docs \
	    --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --no-emit-find-links --output-file requirements-docs.lock

$(READY): requirements.lock requirements-py312.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "secagg: $(PYTHON) not found; call make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement \
	    "$$($(BIN)/python -c "import sys; print('requirements' + '-py312' * (sys.version_info >= (3, 12)) + '.lock')")"
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv-peers/.ready: requirements-peers.lock
	$(PYTHON) -m venv --clear .venv-peers
	.venv-peers/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-peers.lock
	@touch $@

.venv-docs/.ready: requirements-docs.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "secagg: $(PYTHON) not found; call make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-docs.lock
	.venv-docs/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## Remove environments and build products.
	rm -rf $(VENV) .venv-peers .venv-docs .venv-3.* build dist *.egg-info
	rm -rf docs/_build docs/examples docs/reference/api docs/reference/commands
