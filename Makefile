# Two commands on a bare machine with python3-venv and make: `make demo` and `make test`.
# Nothing unhashed is fetched: the build tool of the project itself is among the hashed requirements. The lock is complete,
# so pip resolves nothing: older ones would take a newer release than the lock for a requirement with extras, and stop.

PYTHON ?= python3
ARGS ?=
PYTEST_ARGS ?=
JOBS ?= auto
KILLS ?= 30
MESSAGES ?=
DRAWS ?= 640
MUTANT ?=
CONNECTIONS ?= 1000
FILES ?=
EDITS ?= 20000
SAMPLE ?= 0
SAMPLES ?= 1000

VENV := .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python
UV   := $(shell command -v uv 2>/dev/null)

.PHONY: demo test coverage check bench crash leak forgery grid siege silence egress mutation tamper interop docs lock
.DEFAULT_GOAL := test

demo: $(VENV)/.done                ## two gateways on loopback, one story from record to proof
	$(BIN)/ecluse demo $(ARGS)

test: $(VENV)/.done                ## all tests
	$(PY) -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

# What a year holds, what a partner's log tells and what a mandate reaches is asked of whole worlds, so their tests count too.
coverage: $(VENV)/.done           ## branch coverage of the core, by its own tests
	$(PY) -m pytest -q -n 2 --cov --cov-report=term $(addprefix tests/,model policy wire audit guard flow signer \
		service/test_years.py service/test_reconcile.py service/test_mandates.py)

check: $(VENV)/.done               ## style, types, import contracts, house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(PY) docs/architecture_picture.py --check
	$(PY) docs/policy_table.py --check
	$(PY) docs/agreement_schema.py --check
	$(PY) -m pytest -q tests/architecture/test_house_rules.py tests/architecture/test_dependencies.py

bench: $(VENV)/.done               ## messages per second on this machine; ARGS='--against cedarpy': decisions
	$(BIN)/ecluse bench $(ARGS)

crash: $(VENV)/.done               ## kill the gateway at KILLS random instants and look for what was lost
	$(PY) -m tests.crash --kills $(KILLS) $(if $(MESSAGES),--messages $(MESSAGES))

leak: $(VENV)/.done                ## pairs of worlds that differ only in what is withheld; MUTANT=all plants leaks
	$(PY) -m tests.leak --draws $(DRAWS) $(if $(MUTANT),--mutant $(MUTANT))

forgery: $(VENV)/.done             ## hostile messages, and every signed object presented as every other
	$(PY) -m tests.forgery

grid: $(VENV)/.done                ## the release policy against a second evaluator, over every axis; each rule seen to deny alone
	$(PY) -m tests.grid --jobs $(if $(filter auto,$(JOBS)),2,$(JOBS))

siege: $(VENV)/.done               ## slow connections and hostile bodies against a real gateway
	$(PY) -m tests.siege --connections $(CONNECTIONS)

silence: $(VENV)/.done             ## what answers at once tell of what is held here: contents and times, with a control
	$(PY) -m tests.silence --samples $(SAMPLES)

egress: $(VENV)/.done              ## the story of the demo in a network of its own: no packet leaves the machine
	$(PY) -m tests.egress -- $(BIN)/ecluse demo --once --json

mutation: $(VENV)/.done         ## one change after another in policy and guard: each must fail a test (FILES=, SAMPLE=)
	$(PY) -m tests.mutation --sample $(SAMPLE) $(FILES)

tamper: $(VENV)/.done           ## random edits of exported logs: both verifiers must find each, at the first wrong index
	$(PY) -m tests.tamper --edits $(EDITS) --jobs $(if $(filter auto,$(JOBS)),2,$(JOBS))

interop: $(VENV)/.done             ## partners and a reviewer in other languages (needs java, maven, node, npm and go)
	$(PY) -m tests.interop $(ARGS)

docs: $(VENV)/.done                ## everything in docs/ that is drawn from code
	$(PY) docs/architecture_picture.py --write
	$(PY) docs/policy_table.py --write
	$(PY) docs/agreement_schema.py --write

lock:                              ## after a change of dependencies: lock, and export with hashes (needs uv)
	uv lock
	uv export --quiet --frozen --no-dev --no-emit-project --output-file requirements.txt
	uv export --quiet --frozen --no-emit-project --output-file requirements-dev.txt

$(VENV)/.done: pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.11'; exit 2; }
ifneq ($(UV),)
	UV_PYTHON_DOWNLOADS=never uv sync --quiet --frozen --no-install-project --python $(PYTHON)
	uv pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
else
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --no-input --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --requirement requirements-dev.txt
	$(PY) -m pip install --quiet --no-input --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@
