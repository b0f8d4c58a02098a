# Everything a user or a developer runs. `make demo` and `make test` need only:
#   apt install python3-dev python3-venv g++ make
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SOURCES := $(shell find csrc cmake -type f 2>/dev/null) CMakeLists.txt pyproject.toml

.PHONY: help demo test test-slow test-parity lint format bench bench-sweep bench-peers bench-gate bench-kernels peers examples stubs wheel clean prerequisites

help:
	@echo "make demo       build, train on real images, show the result"
	@echo "make test       build and run the tests"
	@echo "make test-slow  the long tests too"
	@echo "make test-parity  the same calls in pynet and PyTorch 2.13, which gets an environment of its own"
	@echo "make lint       ruff, clang-format, mypy, stub drift"
	@echo "make bench      figures beside PyTorch into bench/RESULTS.md (PYNET_TORCH_PYTHON names its python)"
	@echo "make bench-peers  training steps beside Keras and bf16, inference beside onnxruntime and OpenVINO"
	@echo "make bench-gate  training steps against the stored ratios to PyTorch; fails where one fell"
	@echo "make bench-kernels  Google Benchmark programs of the kernels, in build/bench/csrc/bench"
	@echo "make bench-sweep  two hundred random convolution layers beside PyTorch, ten minutes a thread count"
	@echo "make examples  the pictures of docs/lectures, an hour and a half"
	@echo "make wheel      a wheel in dist/"

prerequisites:
	@command -v g++ >/dev/null && $(PYTHON) -c 'import ensurepip, venv, sysconfig, os, sys; \
	  sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' 2>/dev/null \
	  || { echo "missing build tools: apt install python3-dev python3-venv g++ make"; exit 1; }

$(BIN)/python: | prerequisites
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

# One stamp an extra: the editable build is redone when native sources change.
$(VENV)/demo.stamp: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -q -e ".[demo]"
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install -q -e ".[dev]"
	@touch $@

demo: $(VENV)/demo.stamp
	$(BIN)/pynet train --data digits --out runs/demo

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

# PyTorch stays out of the environment in which everything else is tested.
$(VENV)/parity.stamp: $(BIN)/python $(SOURCES)
	test -x $(VENV)/parity/bin/python || $(PYTHON) -m venv $(VENV)/parity
	$(VENV)/parity/bin/pip install -q torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu
	$(VENV)/parity/bin/pip install -q -e ".[dev]"
	@touch $@

test-parity: $(VENV)/parity.stamp
	$(VENV)/parity/bin/python -m pytest -q tests/parity

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find csrc -name '*.cpp' -o -name '*.h')
	$(BIN)/mypy
	$(BIN)/python tests/check_stubs.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find csrc -name '*.cpp' -o -name '*.h')

# fashion_mnist takes a quarter of an hour on two cores, ensembles an hour.
examples: $(VENV)/dev.stamp
	@for example in examples/*.py; do name=$$(basename $$example .py); case $$name in lecture|first_network) continue;; esac; \
	  echo "$$name"; $(BIN)/python $$example --out docs/figures/lectures/$$name.png || exit 1; done

stubs: $(VENV)/dev.stamp
	$(BIN)/python tests/check_stubs.py --write

bench: $(VENV)/dev.stamp
	$(BIN)/python -m bench

bench-sweep: $(VENV)/dev.stamp
	$(BIN)/python -m bench sweep

bench-peers: $(VENV)/dev.stamp
	$(BIN)/python -m bench peers inference

bench-gate: $(VENV)/dev.stamp
	$(BIN)/python -m bench gate

# Needs Google Benchmark: apt install libbenchmark-dev
bench-kernels: $(VENV)/dev.stamp
	$(BIN)/python -m pip install -q "pybind11>=3"
	$(BIN)/cmake -S . -B build/bench -DPYNET_BENCH=ON -DPython_EXECUTABLE=$(abspath $(BIN))/python \
	  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir)
	$(BIN)/cmake --build build/bench -j --target bench_gemm bench_conv2d bench_memory

# Interpreters for the peers, each of which must not meet the others; docs/performance.md says which variable
# names which.
peers: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/torch
	$(VENV)/torch/bin/pip install -q torch --index-url https://download.pytorch.org/whl/cpu
	$(VENV)/torch/bin/pip install -q onnx numpy pillow
	$(PYTHON) -m venv $(VENV)/keras && $(VENV)/keras/bin/pip install -q tensorflow-cpu "jax[cpu]" keras
	$(PYTHON) -m venv $(VENV)/onnx && $(VENV)/onnx/bin/pip install -q onnxruntime openvino numpy

wheel: $(VENV)/dev.stamp
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
