# Everything a contributor runs; CI calls the same targets. `make` alone lists them.
#
#   PYTHON=python3.12 make demo    which Python makes .venv (3.11 or newer)
#   COVEY_TORCH=0 make demo        leave torch out; detectors then use the statistical baseline
#                                  (torch is 180 MB as a CPU build; where pip finds only the CUDA build for
#                                  Linux it is several GB: PIP_EXTRA_INDEX_URL adds an index to look in)
#   make demo ARGS="--seconds 20"  more arguments for demo, test and bench

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PEERS_VENV := .venv-peers
PEERS_STAMP := $(PEERS_VENV)/.covey-peers

ifeq ($(COVEY_TORCH),0)
EXTRAS := server,examples,dev
STAMP := $(VENV)/.covey-without-torch
SIZE := about 75 MB
else
EXTRAS := all
STAMP := $(VENV)/.covey-all
SIZE := about 100 MB, and torch: 180 MB as a CPU build, several GB where pip finds only the CUDA build
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test soak check bench bench-peers proto clean clean-venv venv-is-sound

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'ARGS="..." passes arguments to demo, test and bench; COVEY_TORCH=0 leaves torch out.'

setup: $(STAMP) ## make .venv and install everything into it
	@echo "covey: $(VENV) is ready: try 'make demo', 'make test', or $(BIN)/covey --help"

demo: $(STAMP) ## run the self-healing swarm for about half a minute
	@$(BIN)/covey demo aiops $(ARGS)

test: $(STAMP) ## run the whole test suite
	@$(BIN)/python -m pytest $(ARGS)

soak: $(STAMP) ## a minute of mixed load in one process, and between two: memory stays flat; shows it
	@COVEY_SOAK_S=60 $(BIN)/python -m pytest tests/soak -m slow -s $(ARGS)

check: $(STAMP) ## lint, formatting, types, import directions, generated code
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/generate_proto.py --check

bench: $(STAMP) ## run every benchmark against its peers; rows go to reports/*.json
	@mkdir -p reports
	@for name in $$($(BIN)/python -m benchmarks --names); do \
		$(BIN)/python -m benchmarks $$name --json reports/$$name.json $(ARGS) || exit 1; \
	done

bench-peers: $(PEERS_STAMP) ## install the peers that cannot live beside Covey into .venv-peers, for bench
	@echo "covey: $(PEERS_VENV) is ready: 'make bench' measures its packages as well"

proto: $(STAMP) ## regenerate covey/framework/proto/*_pb2.py from its .proto
	$(BIN)/python tools/generate_proto.py

clean: ## remove caches, builds and reports; .venv stays
	rm -rf build dist reports .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -path ./$(VENV) -prune -o -path ./$(PEERS_VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

clean-venv: ## remove .venv and .venv-peers
	rm -rf $(VENV) $(PEERS_VENV)

# Runs before every target that uses .venv, and never makes it look out of date.
venv-is-sound:
	@tools/venv.sh check $(VENV)

$(STAMP): pyproject.toml constraints.txt tools/venv.sh | venv-is-sound
	@PYTHON='$(PYTHON)' tools/venv.sh install $(VENV) '$(EXTRAS)' $@ '$(SIZE)'

# A virtual environment of their own: autogen-core needs protobuf 5, Covey 6.31 or newer.
$(PEERS_STAMP): benchmarks/peers/requirements.txt
	@test -e $(PEERS_VENV) || $(PYTHON) -m venv $(PEERS_VENV)
	@echo "covey: installing the peers of the benchmarks into $(PEERS_VENV): about 700 MB on disk, once"
	@$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
