# `make train` and `make test` set up what they need; both work on a fresh machine with Python 3.10 or
# later, g++ and make. The environment is .venv; delete it to start over.
PYTHON ?= python3
TORCH ?= 2.13.0
OUT ?=
TEST_JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
NATIVE := CMakeLists.txt setup.py $(shell find csrc tests/cpp -type f)
CMAKE_BUILD = build/$$($(BIN)/python -c 'import sys; print("cmake-" + sys.implementation.cache_tag)')

# For the GPU of this machine, if it has one; tests and wheels cover every architecture.
HAS_GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo yes)
FOR_THIS_MACHINE := -DFFDWV_TESTS=OFF -DFFDWV_REFUSE_SPILLS=OFF \
  $(if $(HAS_GPU),-DFFDWV_CUDA=AUTO -DFFDWV_CUDA_ARCHITECTURES=native,-DFFDWV_CUDA=OFF)
FOR_EVERY_GPU := -DFFDWV_TESTS=ON -DFFDWV_REFUSE_SPILLS=ON -DFFDWV_CUDA=AUTO \
  -UFFDWV_CUDA_ARCHITECTURES

.PHONY: help setup setup-tests train bench test lint test-cpp test-python test-gpu-suite \
  test-sanitizers-quick test-sanitizers test-torch-versions test-wheel fuzz wheel docs

help:
	@echo 'make train                train ResNet-20 with word-vector soft labels on handwritten digits'
	@echo 'make bench                loss, loaders and step beside PyTorch: tables (leave the machine alone)'
	@echo 'make test                 lint, build for every GPU, C++ and Python tests'
	@echo 'make setup                only prepare $(VENV), for this machine'
	@echo 'make setup-tests          only prepare $(VENV), for every GPU and with the C++ tests'
	@echo 'make test-sanitizers      the native code under ASan, UBSan and TSan: the whole op test suite'
	@echo 'make fuzz                 a million damaged files for the readers of files: an hour'
	@echo 'make test-torch-versions  the op, built once, in torch 2.11.0, 2.13.0 and 2.14.1 (5 GB)'
	@echo 'make wheel               the package for this platform, for every Python and GPU: dist/'
	@echo 'make test-wheel          that wheel in an empty environment: the loss, then the trainer (2 GB)'
	@echo 'make docs                the reference of the public API: build/api/index.html'

setup: $(VENV)/.ready

setup-tests: $(VENV)/.ready-for-tests

train: setup
	$(BIN)/python -m ffdwv_fast.train --amp $(if $(OUT),--out $(OUT))

bench: setup
	$(BIN)/python -m benchmarks.loss --json build/bench/loss.json
	@echo
	$(BIN)/python -m benchmarks.loader --json build/bench/loader.json
	@echo
	$(BIN)/python -m benchmarks.step --json build/bench/step.json

test: lint test-cpp test-python test-gpu-suite test-sanitizers-quick

lint: setup-tests
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

test-cpp: setup-tests
	$(BIN)/ctest --test-dir $(CMAKE_BUILD) --output-on-failure

# A process a core, each with a thread: most tests are too small to share one's work.
test-python: setup-tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist loadfile

test-gpu-suite: setup-tests
	$(BIN)/python -m benchmarks.gpu_suite --device cpu --tiny --output build/gpu-suite-tiny

test-sanitizers-quick: setup-tests
	PYTHON=$(BIN)/python tests/sanitizers.sh quick

test-sanitizers: setup-tests
	PYTHON=$(BIN)/python tests/sanitizers.sh

fuzz: setup-tests
	$(BIN)/python -m tests.fuzz --target all --inputs 1000000 --corpus build/fuzz/corpus

test-torch-versions: setup-tests
	PYTHON=$(BIN)/python tests/torch_versions.sh 2.11.0 2.13.0 2.14.1

# The library is the tests': it is linked again, not compiled. Of an older build nothing must stay.
wheel: setup-tests
	rm -rf build/lib.* build/bdist.* dist/*.whl
	FFDWV_CMAKE_ARGS='$(FOR_EVERY_GPU)' $(BIN)/python -m pip wheel --no-build-isolation --no-deps \
	  --wheel-dir dist .

test-wheel: wheel
	PYTHON=$(BIN)/python tests/wheel.sh dist/*.whl

docs: setup
	$(BIN)/python -m pdoc --docformat google --no-show-source --output-directory build/api \
	  ffdwv_fast '!ffdwv_fast[.].*'

# torch and the build tools first: without build isolation the op is built with the torch that runs it.
# Named again, as torchvision, which timm needs, would bring the newest one.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install torch==$(TORCH) 'setuptools>=77' 'cmake>=3.27' ninja 'pybind11>=2.13'
	FFDWV_CMAKE_ARGS='$(1)' $(BIN)/python -m pip install --no-build-isolation -e '.[dali,dev]' \
	  torch==$(TORCH)
	@cat $(CMAKE_BUILD)/report.txt
endef

$(VENV)/.ready: pyproject.toml $(NATIVE)
	$(call install,$(FOR_THIS_MACHINE))
	touch $@

# Serves training too: it must not be built again for that.
$(VENV)/.ready-for-tests: pyproject.toml $(NATIVE)
	$(call install,$(FOR_EVERY_GPU))
	touch $@ $(VENV)/.ready
