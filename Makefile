# make demo    watch the whole journey on a temporary PostgreSQL
# make test    run every test
# Each target makes its own virtual environment in .venv; PYTHON chooses the interpreter (3.11 or later).

PYTHON ?= python3
ROUNDS ?= 200
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OFFLINE := { echo "okto-change's packages could not be installed; pip says why, above."; \
	echo "Without a network, name a folder with their wheels: PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make ..."; exit 1; }

.PHONY: demo test lint types cases property hammer fuzz fuzz-guided bench docs clean

demo: $(VENV)/.demo
	$(BIN)/okto-change demo

# Two processes, each with a server of its own; a file stays in one of them, and the long ones come first. Hundreds of commands
# are started: without bytecode each would compile okto-change anew.
test: $(VENV)/.test
	@for tool in git ssh-keygen; do command -v $$tool >/dev/null || { echo "the tests need $$tool on the PATH"; exit 1; }; done
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.lint
	$(BIN)/mypy

# Every case on every server found, through the engine and through the whole product (make test plays one of each kind of
# the latter); make cases ARGS=--majors fetches PostgreSQL 13 to 18 for the engine.
cases: $(VENV)/.test
	$(BIN)/python -m tests.majors.table $(ARGS)
	for kind in auto embedded; do \
	  OKTO_EVERY_CASE=1 $(BIN)/python -m pytest -q tests/integration/test_journey_cases.py --postgres $$kind || exit 1; done

# Random schemas and scripts, a thousand of each (make test plays a dozen): run and undo change nothing.
property: $(VENV)/.test
	OKTO_PROPERTY_EXAMPLES=1000 $(BIN)/python -m pytest tests/property $(ARGS)

# Writers hammer a table while it is changed and taken back, ROUNDS rounds each way of capturing (make test plays two).
hammer: $(VENV)/.test
	OKTO_HAMMER_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest tests/integration/test_concurrency.py --timeout 0 -s $(ARGS)

# Ten minutes of processor time with bytes that nobody would write; OKTO_FUZZ_SECONDS for another budget.
fuzz: $(VENV)/.test
	OKTO_FUZZ_SECONDS=$${OKTO_FUZZ_SECONDS:-600} $(BIN)/python -m pytest tests/limits/test_any_bytes.py $(ARGS)

# The same guided by coverage, two minutes for each reader; not installed by default: .venv/bin/pip install atheris
fuzz-guided: $(VENV)/.test
	for reader in statement armor policy plan signature; do \
	  $(BIN)/python -m tests.limits.guided $$reader build/fuzz/$$reader -max_total_time=$${OKTO_FUZZ_SECONDS:-120} || exit 1; done

bench: $(VENV)/.test
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/capture.py
	$(BIN)/python -m benchmarks.batch
	$(BIN)/python -m benchmarks.small

# Write the parts of README and docs that show real output anew.
docs: $(VENV)/.test
	$(BIN)/python -m pytest tests/test_docs.py tests/unit/cli/test_json_page.py tests/integration/test_schema_page.py --write-docs -q

clean:
	rm -rf $(VENV) build dist

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "okto-change needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@$(PIP) install --editable '.[demo]' || $(OFFLINE)
	touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	@$(PIP) install --editable '.[test]' || $(OFFLINE)
	touch $@ $(VENV)/.demo

$(VENV)/.lint: $(VENV)/.made pyproject.toml
	@$(PIP) install --editable '.[test,lint]' || $(OFFLINE)
	touch $@ $(VENV)/.test $(VENV)/.demo
