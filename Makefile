# make demo    the main job on built-in data: without and with SCI, a table and pictures
# make test    all tests that take seconds (test-all: also the long ones;
#              test-cpus: the computing ones as on other processors;
#              test-upstream: those of seconds with OpenMMLab's own packages, in an
#              environment of their own; smoke-upstream: a minute of them)
# make lint    ruff and mypy
# make docs    the site of the documentation, in build/site; its notebooks are run
# make lock    renew requirements/lock.txt and upstream.txt from requirements/pins.txt
#
# The virtual environment is made on the first call; later calls install nothing.

VENV   ?= .venv
PYTHON ?= python3
OUT    ?= demo_out

PY     := $(VENV)/bin/python
LOCK   := requirements/lock.txt
TESTS  :=
DEPS   := $(VENV)/.deps-$(shell cksum < $(LOCK) | cut -d' ' -f1)
# The environment may serve several checkouts in turn (CI): the package is linked
# anew where the last one to use it was another.
LINK   := $(VENV)/.link-$(shell echo "$(CURDIR)" | cat - pyproject.toml | cksum | cut -d' ' -f1)

UPSTREAM_VENV ?= $(VENV)-upstream
UPSTREAM := VENV=$(UPSTREAM_VENV) LOCK=requirements/upstream.txt
# Models of both hosts, plain and attached, predicting and training; training, resuming, testing
# and comparing by the tools.
SMOKE  := -m "slow or not slow" -n 2 \
  -k "(Deformable or not DETR) and not (SSD or TOOD or DeepLab or FCN)" \
  tests/integration/test_hosts.py tests/integration/test_tools.py

# One process a core, of one thread each. Bytecode is kept, also where the environment says no:
# compiling pytest's asserts and this package anew costs each process ten seconds.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PY) -m pytest -n logical --dist worksteal
MATHS  := tests/unit/functional tests/unit/models tests/unit/apis/test_enhance_tiles.py
WITHOUT_ONEDNN := import sys, pytest, torch; torch.backends.mkldnn.enabled = False; \
  sys.exit(pytest.main(sys.argv[1:]))

.PHONY: demo test test-all test-cpus test-upstream smoke-upstream lint docs lock install clean
.DELETE_ON_ERROR:

demo: install
	$(PY) tools/demo.py --out $(OUT)

test: install
	$(PYTEST) $(TESTS)

test-all: install
	$(PYTEST) -m 'slow or not slow'
	$(MAKE) test-upstream

test-upstream:
	$(MAKE) test $(UPSTREAM)

smoke-upstream:
	$(MAKE) test $(UPSTREAM) TESTS='$(SMOKE)'

test-cpus: install
	set -e; for cpu in ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 CPU=own; do \
	  for threads in 1 2; do env $$cpu OMP_NUM_THREADS=$$threads $(PY) -m pytest -q $(MATHS); done; done
	$(PY) -c '$(WITHOUT_ONEDNN)' -q $(MATHS)

lint: install
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: install
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet
	OMP_NUM_THREADS=1 $(PY) -m pytest -q --nbmake docs/notebooks

install: $(LINK)

$(DEPS): $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'error: the pinned set-up needs Python 3.11 or newer; name one with PYTHON=...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --disable-pip-version-check -r $(LOCK)
# mmcv asks for opencv-python, which needs the libraries of a window system;
# the headless build has the same modules and runs on a bare server.
	$(PY) -m pip install --disable-pip-version-check --no-deps --force-reinstall \
	  $$(sed -n 's/^opencv-python==/opencv-python-headless==/p' $(LOCK))
	@rm -f $(VENV)/.deps-*
	@touch $@

$(LINK): $(DEPS) pyproject.toml
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.link-*
	@touch $@

lock:
	rm -rf build/lock-venv
	$(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/python -m pip install --disable-pip-version-check \
	  -c requirements/pins.txt setuptools -e '.[dev]'
	{ echo '# Made by `make lock` from requirements/pins.txt and pyproject.toml.'; \
	  echo "# Packages of NVIDIA and triton are left out: torch itself pins them."; \
	  build/lock-venv/bin/python -m pip freeze --all --exclude-editable \
	  | grep -viE '^(nvidia|cuda-|triton|pip=|sci_plugins)'; } > $(LOCK)
	rm -rf build/lock-venv
	$(PYTHON) -m venv build/lock-venv
	grep -vE '^(onedl-|setuptools=)' $(LOCK) > build/constraints.txt
	build/lock-venv/bin/python -m pip install --disable-pip-version-check -c build/constraints.txt \
	  -e '.[openmmlab,det,seg,demo,train,onnx,deploy,fast,video]' \
	  pytest pytest-randomly pytest-xdist
	{ echo '# Made by `make lock`: the versions of lock.txt with the extra openmmlab.'; \
	  build/lock-venv/bin/python -m pip freeze --all --exclude-editable \
	  | grep -viE '^(nvidia|cuda-|triton|pip=|sci_plugins)'; } > requirements/upstream.txt

clean:
	rm -rf .venv build demo_out
