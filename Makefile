# Two commands for a fresh machine, each with its own set-up in .venv:
#
#   make demo    four simulated sensors, two of them killed, on real ROS 2 topics (no torch)
#   make test    ruff, mypy and every test (adds torch); OpenVINO and real DDS come last
#
# make test-fast is what of that is quick, for while one works on what runs on the robot.
# Another interpreter: make demo PYTHON=python3.12. More arguments: make test PYTEST_ARGS="-k sync".

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet \
	--constraint constraints.txt

PYTEST := $(BIN)/python -m pytest
# Each file in one process, those that take long first (test/conftest.py).
SHARED_OUT := --dist loadfile --no-loadscope-reorder
# pytest's exit code for PYTEST_ARGS that leave no test of one of the two kinds.
NONE_CHOSEN := test $$? -eq 5
# Nobody waits for these while working on something else; what is marked slow is left out, too.
NOT_FAST := export networks packaging simulation training

# Tests start hundreds of processes; none of them should have to compile the package anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-fast lint clean
.DEFAULT_GOAL := demo

demo: $(VENV)/demo.stamp
	$(BIN)/anymodal-seg demo $(DEMO_ARGS)

test: lint
	$(PYTEST) -m "not ros and not openvino" --numprocesses auto $(SHARED_OUT) $(PYTEST_ARGS) \
		|| $(NONE_CHOSEN)
	$(PYTEST) -m openvino $(PYTEST_ARGS) || $(NONE_CHOSEN)
	$(PYTEST) -m ros --numprocesses 4 $(SHARED_OUT) $(PYTEST_ARGS) || $(NONE_CHOSEN)

test-fast: $(VENV)/test.stamp
	$(PYTEST) -m "not ros and not openvino and not export and not slow" \
		$(NOT_FAST:%=--ignore=test/%) --numprocesses auto $(SHARED_OUT) $(PYTEST_ARGS)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist install log demo_output *.egg-info training/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) .ci/check_python.py
	$(PYTHON) -m venv $(VENV)

# setuptools comes first and is not fetched again for the build, so that it is the pinned one.
$(VENV)/demo.stamp: $(BIN)/python setup.py constraints.txt
	@echo "Installing the runtime into $(VENV): about a minute, once."
	$(PIP_INSTALL) setuptools
	$(PIP_INSTALL) --no-build-isolation --editable '.[ros,sim,openvino]'
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp training/pyproject.toml
	@echo "Adding PyTorch and the development tools to $(VENV): some minutes, once."
	$(PIP_INSTALL) --no-build-isolation --editable '.[ros,openvino,train,report,dev]' --editable training
	@touch $@
