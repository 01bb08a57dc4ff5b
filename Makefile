# make demo, make test: each does all the set-up it needs. make help lists the rest.

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
PACKAGES := g++ cmake ninja-build pkg-config libhwy-dev libfmt-dev libprotozero-dev libcli11-dev nlohmann-json3-dev \
            libsimdjson-dev libzip-dev libgtest-dev libgmock-dev libbenchmark-dev python3-dev python3-venv \
            clang-format-16 git libturbojpeg0 libwebp7 libtiff6 libopenjp2-7
CXX_FILES = $(shell git -c safe.directory=$(CURDIR) ls-files '*.cc' '*.h')

# The rooms whose tests also run under each sanitizer: what reads files and callers' input, and what threads share.
ROOMS_asan := onnx graph session pt2
ROOMS_tsan := thread session
export UBSAN_OPTIONS := halt_on_error=1:print_stacktrace=1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help setup debian build test test-asan test-tsan demo bench guard lint format clean

help:
	@echo 'make setup    Debian packages where they are missing, and the Python environment $(VENV)'
	@echo 'make build    the library, $(VENV)/bin/slipway, and the Python package in $(VENV)'
	@echo 'make test     the C++ tests, once more under ASan and UBSan where input is read, make guard, and the Python tests'
	@echo 'make test-tsan  the tests of what threads share, under TSan'
	@echo 'make demo     semantic search with MiniLM, from PyTorch to answers'
	@echo 'make bench    Slipway beside onnxruntime and PyTorch on ten models: bench/results, and the table in README.md'
	@echo 'make guard    fails where Slipway has become slower against onnxruntime; half a minute'
	@echo 'make lint     formatting and Python lint; make format repairs what it can'
	@echo 'make clean    removes build/ and what make build links elsewhere'

setup: debian $(VENV)/.installed

# Installs only what is missing, and only where that is allowed; CMake names whatever is missing after that.
debian:
	@missing=$$(for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=; elif sudo -n true 2>/dev/null; then sudo=sudo; \
	else echo "Missing Debian packages, and no right to install them:" $$missing; exit 0; fi; \
	$$sudo apt-get update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing

$(VENV)/.installed: requirements/dev.txt | debian
	$(PYTHON3) -m venv $(VENV)
	$(PYTHON) -m pip install --disable-pip-version-check -r requirements/dev.txt
	touch $@

build: setup
	cmake --preset release -DSLIPWAY_PYTHON=ON -DPython_EXECUTABLE=$(CURDIR)/$(PYTHON)
	cmake --build --preset release
	cmake --install build/release --component sdk --prefix build/sdk >/dev/null
	ln -sf $(CURDIR)/build/release/cli/slipway $(VENV)/bin/slipway
	ln -sf $(CURDIR)/build/release/python/_slipway*.so python/slipway/
	echo $(CURDIR)/python > $$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/slipway.pth

test: build test-asan guard
	ctest --test-dir build/release --no-tests=error --output-on-failure -j $$(nproc)
	$(PYTHON) -m pytest

# Sanitizers watch all but the kernels and operators, which come from the release build: with those it takes an hour
# (cmake --preset asan -DSLIPWAY_PLAIN_BUILD=). Threads need all of it.
test-asan: build
test-tsan: setup
test-asan test-tsan: test-%:
	cmake --preset $*
	cmake --build --preset $* --target $(foreach room,$(ROOMS_$*),$(if $(wildcard src/$(room)/*_test.cc),$(room)_test))
	ctest --test-dir build/$* --no-tests=error --output-on-failure -j $$(nproc) -R '^($(subst $() $(),|,$(ROOMS_$*)))\.'

demo: build
	$(PYTHON) examples/semantic_search.py

bench: build
	$(PYTHON) bench/models.py
	$(PYTHON) bench/memory.py
	$(PYTHON) bench/report.py

guard: build
	$(PYTHON) bench/guard.py

lint: setup
	clang-format-16 --dry-run -Werror $(CXX_FILES)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

format: setup
	clang-format-16 -i $(CXX_FILES)
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

clean:
	rm -rf build python/slipway/_slipway*.so $(VENV)/bin/slipway
