# Nothing but Python >= 3.11 and make is needed: every target sets up what it uses in .venv.
#
#   make demo     compile a real model and run it on the files of this repository
#   make test     the tests            make test PYTEST_ARGS="tests/house -x"
#   make fuzz     N=20000 SEED=7: random ONNX models against ONNX Runtime and ONNX's reference; goes on where it stopped
#   make bench-results   the suite of benchmarks/ against ONNX Runtime and OpenVINO, into benchmarks/RESULTS.md
#   make startup-results   from a file to its first output, beside these and IREE, into docs/startup.md; MODELS=...
#   make engine-check   do engine files give the bits of this process, loaded and from C? MODELS=... INPUTS=FILE.py
#   make cross-check MODELS=... INPUTS=...   models as engines for other architectures, run in emulators, against ONNX Runtime
#   make emulators   these emulators and compilers, from Debian's packages, where root may install them
#   make drivers     PoCL, which makes an OpenCL device of the CPU, from Debian's package, where root may install it
#   make conformance BACKEND=opencl: all that the kit asks of a backend, into build/conformance-opencl.html
#   make conformance-cuda   ... of the backend cuda, where there is a GPU of NVIDIA's; and beside torch, into docs/cuda.md
#   make ptx-check MODELS="a.onnx b.onnx": whether NVIDIA's assembler takes the PTX of their kernels; needs no GPU
#   make spirv-check   the kit with kernels as SPIR-V, on Intel's OpenCL for CPUs, which it fetches (0.9 GB)
#   make check    what CI runs besides the tests: lint, imports, typing, docs
#   make format   what `make lint` asks for, done

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTEST_ARGS ?=
N ?= 500
SEED ?= 0
FUZZ_ARGS ?=
MODELS ?=
BACKEND ?= opencl
INPUTS ?=
TOOLS := qemu-aarch64 qemu-riscv64 aarch64-linux-gnu-gcc riscv64-linux-gnu-gcc
TOOLS_OF_DEBIAN := qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
MAGIKA := magika==1.0.3
# the first interpreter that is new enough; PYTHON=... overrides
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.PHONY: help demo test fuzz check lint format imports typing docs docs-check examples bench-results startup-results
.PHONY: engine-check cross-check ptx-check spirv-check emulators drivers conformance conformance-cuda clean

help:
	@sed -n 's/^#   //p' Makefile

# --- environments: a stamp file each, renewed when pyproject.toml changes -----------------------------------------

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ircc needs Python 3.11 or newer; name one with make PYTHON=..." >&2; exit 1; }
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
		rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && \
		$(PYTHON) -m pip --quiet --python $(VENV)/bin/python install pip; } || { \
		rm -rf $(VENV); echo "cannot create $(VENV): install Python's venv module (Debian: python3-venv)" >&2; exit 1; }

$(VENV)/ircc.stamp: pyproject.toml | $(BIN)/python
	@echo "== installing ircc and what it needs"
	@$(PIP) install --editable .
	@touch $@

# magika is fetched for the model inside it, without what the package itself would run it with
$(VENV)/magika.stamp: Makefile | $(BIN)/python
	@echo "== fetching $(MAGIKA), a package that ships a trained model"
	@$(PIP) install --no-deps $(MAGIKA)
	@touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/magika.stamp | $(BIN)/python
	@echo "== installing ircc with the development tools"
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/ircc.stamp

# --- what people ask for -----------------------------------------------------------------------------------------

demo: $(VENV)/ircc.stamp $(VENV)/magika.stamp
	@$(BIN)/python examples/demo_magika.py

test: $(VENV)/dev.stamp
	@echo "== pytest on $(JOBS) processes"
	@$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

fuzz: $(VENV)/dev.stamp
	@$(BIN)/python -W ignore -m ircc.testing.fuzz --count $(N) --seed $(SEED) $(FUZZ_ARGS)

check: lint imports typing docs-check

lint: $(VENV)/dev.stamp
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

imports: $(VENV)/dev.stamp
	@echo "== import-linter"
	@$(BIN)/lint-imports --no-logo

# The package is the repository itself, so for pyright it gets a folder of its name: a link, ignored by git.
build/typing/ircc:
	@mkdir -p build/typing && ln -sfn ../.. $@

typing: $(VENV)/dev.stamp build/typing/ircc
	@echo "== pyright"
	@$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/dev.stamp
	@$(BIN)/python docs/generate.py

docs-check: $(VENV)/dev.stamp
	@echo "== generated docs"
	@$(BIN)/python docs/generate.py --check

examples: $(VENV)/dev.stamp
	@for example in examples/*.py; do echo "== $$example"; $(BIN)/python $$example; done

$(VENV)/peers.stamp: pyproject.toml | $(BIN)/python
	@echo "== installing ircc with the runtimes to compare with"
	@$(PIP) install --editable '.[peers]'
	@touch $@ $(VENV)/ircc.stamp

bench-results: $(VENV)/peers.stamp
	@$(BIN)/python benchmarks/run.py --threads 1,$$(nproc) --page benchmarks/RESULTS.md

startup-results: $(VENV)/peers.stamp
	@$(BIN)/python benchmarks/startup.py --page docs/startup.md $(MODELS)

engine-check: $(VENV)/dev.stamp
	@$(BIN)/python benchmarks/same_bits.py $(if $(INPUTS),--inputs $(INPUTS)) $(MODELS)

cross-check: $(VENV)/dev.stamp emulators
	@$(BIN)/python benchmarks/cross.py $(if $(INPUTS),--inputs $(INPUTS)) $(MODELS)

ptx-check: $(VENV)/dev.stamp
	@$(BIN)/python benchmarks/ptx_check.py $(MODELS)

# Its library finds the others by LD_LIBRARY_PATH, and the loader finds it by the folder of files that name drivers.
spirv-check: $(VENV)/dev.stamp
	@test -x build/intel/bin/python || $(PYTHON) -m venv build/intel
	@echo "== installing Intel's OpenCL for CPUs"
	@build/intel/bin/python -m pip -qq --disable-pip-version-check install intel-opencl-rt intel-cmplr-lib-rt
	@mkdir -p build/intel/icd && echo "$$PWD/build/intel/lib/libintelocl.so" > build/intel/icd/intel.icd
	@export OCL_ICD_VENDORS=$$PWD/build/intel/icd LD_LIBRARY_PATH=$$PWD/build/intel/lib && \
		$(BIN)/python -m pytest -q -n0 tests/codegen/opencl/test_spirv.py && \
		$(BIN)/ircc conformance --backend opencl:spirv --jobs $(JOBS) --html build/conformance-opencl-spirv.html

# No error where they cannot be had: tests that need them skip, and say so.
emulators:
	@command -v $(TOOLS) >/dev/null && [ $$(command -v $(TOOLS) | wc -l) = $(words $(TOOLS)) ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "== installing emulators and compilers for other architectures"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ timeout 120 apt-get -qq update && timeout 300 apt-get -qq install --no-install-recommends -y \
			$(TOOLS_OF_DEBIAN); } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "warning: no emulators for other architectures here, their tests are skipped; Debian: $(TOOLS_OF_DEBIAN)" >&2

drivers:
	@dpkg -s pocl-opencl-icd >/dev/null 2>&1 && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "== installing PoCL"; \
		export DEBIAN_FRONTEND=noninteractive; \
		{ timeout 120 apt-get -qq update && timeout 300 apt-get -qq install --no-install-recommends -y \
			pocl-opencl-icd spirv-tools; } >/dev/null 2>&1 && exit 0; \
	fi; \
	echo "warning: no PoCL here, tests of OpenCL are skipped unless there is another driver; Debian: pocl-opencl-icd" >&2

conformance: $(VENV)/dev.stamp
	@mkdir -p build
	@$(BIN)/ircc conformance --backend $(BACKEND) --jobs $(JOBS) --html build/conformance-$(BACKEND).html

conformance-cuda: BACKEND := cuda
conformance-cuda: conformance
	@echo "== installing torch (3 GB)"
	@$(PIP) install torch
	@$(BIN)/python benchmarks/beside_torch.py --page docs/cuda.md

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis
