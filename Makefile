# `make train` and `make test` set up what they need; both work on a fresh machine with Python 3.10 or
# later, g++ and make. The environment is .venv; delete it to start over.
PYTHON ?= python3
TORCH ?= 2.13.0
OUT ?=

VENV := .venv
BIN := $(VENV)/bin
NATIVE := CMakeLists.txt setup.py $(shell find csrc tests/cpp -type f)
CMAKE_BUILD = build/$$($(BIN)/python -c 'import sys; print("cmake-" + sys.implementation.cache_tag)')

.PHONY: help setup train test lint test-cpp test-python test-torch-versions

help:
	@echo 'make train                train ResNet-20 with word-vector soft labels on handwritten digits'
	@echo 'make test                 lint, build, C++ and Python tests'
	@echo 'make setup                only prepare $(VENV)'
	@echo 'make test-torch-versions  the op, built once, in torch 2.11.0, 2.13.0 and 2.14.1 (5 GB)'

setup: $(VENV)/.ready

train: setup
	$(BIN)/python -m ffdwv_fast.train --amp $(if $(OUT),--out $(OUT))

test: lint test-cpp test-python

lint: setup
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

test-cpp: setup
	$(BIN)/ctest --test-dir $(CMAKE_BUILD) --output-on-failure

test-python: setup
	$(BIN)/python -m pytest

test-torch-versions: setup
	PYTHON=$(BIN)/python tests/torch_versions.sh 2.11.0 2.13.0 2.14.1

# torch and the build tools first: without build isolation the op is built with the torch that runs it.
$(VENV)/.ready: pyproject.toml $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install torch==$(TORCH) 'setuptools>=77' 'cmake>=3.24' ninja 'pybind11>=2.13'
	FFDWV_CMAKE_ARGS=-DFFDWV_TESTS=ON \
	  $(BIN)/python -m pip install --no-build-isolation -e '.[dali,dev]'
	touch $@
