# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

# Any target can be run at any time: each step of the set-up runs only if something that it depends on has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ARGS ?=
TASK ?= Zprl-Lift-Franka

VENV := .venv
PYTHON := $(VENV)/bin/python
export UV_HTTP_TIMEOUT ?= 180

# A start imports some 1,400 modules of others, and without their bytecode on disk each compiles them anew, which takes
# longer than all the rest of it.
unexport PYTHONDONTWRITEBYTECODE

# Empty files that record when a step of the set-up was last completed.
CREATED := $(VENV)/.created
INSTALLED := $(VENV)/.installed
BUILT := $(VENV)/.built

# LeRobot, for the tests of what runs there: it sees the packages of .venv, and .venv does not see it.
LEROBOT := build/lerobot
LEROBOT_INSTALLED := $(LEROBOT)/.installed

# Folders are listed too, since their times change when a file is removed.
NATIVE := CMakeLists.txt setup.py $(shell find csrc)
CPP := $(shell find csrc -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.cu' -o -name '*.cuh')

.PHONY: help setup train test check format physx constraints clean

help:  ## Show the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "Options go into ARGS: make train ARGS='--num_envs 64', make test ARGS='-k files'"

setup: $(BUILT)  ## Create .venv with all that the project needs

train: setup  ## Pretrain the policy and steer it with reinforcement learning
	@$(PYTHON) scripts/train.py --task $(TASK) $(ARGS)

test: setup $(LEROBOT_INSTALLED)  ## Run the tests
	@$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10 $(ARGS)

check: setup $(LEROBOT_INSTALLED)  ## Check style, formatting, types and imports of all sources
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/pyright
	@$(VENV)/bin/lint-imports --no-cache --no-logo >build/imports.log || { cat build/imports.log; exit 1; }
	@$(VENV)/bin/clang-format --dry-run -Werror $(CPP)

format: setup  ## Format all sources
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format
	@$(VENV)/bin/clang-format -i $(CPP)

physx: setup  ## Add the packages of physics=ovphysx to .venv
	@$(call install,--no-deps --require-hashes --requirement constraints-physx.txt)

# Nothing but uv is needed for that, least of all what the constraints to be replaced say.
constraints: $(CREATED)  ## Resolve versions and hashes in constraints*.txt anew, after a change of pyproject.toml
	@$(call compile,--all-extras --output-file constraints.txt pyproject.toml)
	@$(call compile,--no-deps --group physx --output-file constraints-physx.txt)
	@$(call compile,--no-deps --group lerobot --output-file constraints-lerobot.txt)

clean:  ## Remove the environment and all that was built, but no results
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache source/zprl/*.egg-info
	find source -name '*.so' -delete
	find source tasks scripts tests -name __pycache__ -prune -exec rm -rf {} +

# The entry of constraints.txt for a package, version and hashes, as a file of its own.
define locked
<(sed -n '/^$(1)==/,/[^\\]$$/p' constraints.txt)
endef

# uv does not know pip's settings: a mirror that is set there is handed over.
define mirror
	export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}}"; \
	[ -n "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX
endef

define compile
	$(mirror); UV_CUSTOM_COMPILE_COMMAND="make constraints" $(VENV)/bin/uv pip compile --quiet --universal \
	    --python-version 3.12 --no-annotate --generate-hashes $(1)
endef

# uv installs several times faster than pip. Where it does not get through, pip does it.
define install
	$(mirror); $(VENV)/bin/uv pip install --quiet --python $(or $(2),$(PYTHON)) $(1) || { \
	    echo "uv could not do it; trying pip" >&2; $(PYTHON) -m pip --python $(or $(2),$(PYTHON)) install -qq $(1); }
endef

# Python 3.12 comes from the system or pyenv (see .python-version), or else from uv, which downloads it.
$(CREATED):
	@echo "Creating $(VENV) with Python 3.12 ..."
	@rm -rf $(VENV)
	@if ! { python3.12 -c 'import ensurepip' && python3.12 -m venv $(VENV); } 2>/dev/null; then \
	    export PATH="$$PATH:$$PWD/build/uv/bin"; \
	    command -v uv >/dev/null || python3 -m pip install -qq --target build/uv --require-hashes -r $(call locked,uv) || { \
	        echo "error: Python 3.12 was not found; install it (with its venv module) or uv." >&2; exit 2; }; \
	    uv venv --quiet --seed --python 3.12 $(VENV) || { \
	        echo "error: Python 3.12 was neither found nor could it be downloaded; install it." >&2; exit 2; }; \
	fi
	@$(PYTHON) -m pip install -qq --require-hashes -r $(call locked,uv)
	@touch $@

# Every package is listed with its version and the hashes of its files, so there is nothing left to resolve. Two of them
# come as sources alone; without isolation the setuptools that is listed builds them, so it is installed first.
$(INSTALLED): $(CREATED) pyproject.toml constraints.txt
	@echo "Installing the packages of constraints.txt ..."
	@$(call install,--no-deps --require-hashes --requirement $(call locked,setuptools))
	@$(call install,--no-deps --require-hashes --no-build-isolation --requirement constraints.txt)
	@touch $@

# Without build isolation the extension is compiled against the PyTorch it will run with.
$(BUILT): $(INSTALLED) $(NATIVE)
	@echo "Building the native library and installing zprl ..."
	@export PATH="$$PWD/$(VENV)/bin:$$PATH"; \
	$(call install,--no-build-isolation --no-deps --editable .)
	@$(PYTHON) -c "from zprl import _core; print('CUDA kernels:', _core.build_info()['cuda'] or 'none')"
	@touch $@

# LeRobot itself and what of its packages the tests import; the others have versions of their own in .venv.
$(LEROBOT_INSTALLED): $(INSTALLED) constraints-lerobot.txt
	@echo "Installing LeRobot into $(LEROBOT) ..."
	@$(PYTHON) -m venv --clear --without-pip $(LEROBOT)
	@echo "$(abspath $(VENV))/lib/python3.12/site-packages" >$(LEROBOT)/lib/python3.12/site-packages/zprl.pth
	@$(call install,--no-deps --require-hashes --requirement constraints-lerobot.txt,$(LEROBOT)/bin/python)
	@rm -rf $(LEROBOT)/lib/python3.12/site-packages/tests  # one of them brings its own, under the name of ours
	@touch $@
