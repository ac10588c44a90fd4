# Every target makes the environment it needs: `make demo` or `make test` on a bare checkout is enough.
PYTHON ?= python3
VENV := .venv
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LABEL_STUDIO := .venv-label-studio/bin/label-studio
TRITON_CLIENT := .venv-triton/bin/python
# Bytecode is compiled at installation, so that no command pays for it at its first start.
unexport PYTHONDONTWRITEBYTECODE

GSTREAMER_PACKAGES := gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
	gstreamer1.0-plugins-ugly gstreamer1.0-libav gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 \
	gir1.2-gst-rtsp-server-1.0 libgirepository1.0-dev libcairo2-dev gcc pkg-config python3-dev

.PHONY: setup gstreamer prometheus demo test test-all lint format bench dashboards docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode \
		--constraint constraints.txt --editable '.[all,dev]'
	$(BIN)/python -m compileall -q src
	@touch $@

# Debian's GStreamer and the Python binding to it, for `sightline watch --backend gstreamer`; needs root, or sudo.
gstreamer: $(READY)
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(GSTREAMER_PACKAGES)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode \
		--constraint constraints.txt --editable '.[gstreamer]'

# Debian's Prometheus: promtool checks the alert rules, and a slow test lets a server fire them; needs root, or sudo.
prometheus:
	@command -v promtool > /dev/null || { $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus; }

demo: $(READY)
	$(BIN)/sightline demo --out demo --replace

test: $(READY)
	$(BIN)/python -m pytest

test-all: $(READY) $(LABEL_STUDIO) $(TRITON_CLIENT)
	SIGHTLINE_TRITON_PYTHON=$(CURDIR)/$(TRITON_CLIENT) SIGHTLINE_LABEL_STUDIO=$(CURDIR)/$(LABEL_STUDIO) \
		$(BIN)/python -m pytest -m 'slow or not slow' --timeout 3600

# The real server of the slow tests, in an environment of its own.
$(LABEL_STUDIO): | $(READY)
	@test -x .venv-label-studio/bin/python || $(PYTHON) -m venv .venv-label-studio
	VIRTUAL_ENV=$(CURDIR)/.venv-label-studio $(BIN)/uv pip install --quiet 'label-studio==1.23.*'

# NVIDIA's client of the Open Inference Protocol, which holds other versions than ours.
$(TRITON_CLIENT): | $(READY)
	@test -x $(TRITON_CLIENT) || $(PYTHON) -m venv .venv-triton
	VIRTUAL_ENV=$(CURDIR)/.venv-triton $(BIN)/uv pip install --quiet 'tritonclient[http]>=2.50' protobuf

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

# Figures with their bars; run it with nothing else running. Each script exits 1 where its bar is missed.
bench: $(READY)
	@failed=; for script in startup serve overload swap hostile coco_import detection_metrics batches parity label_faults resume throughput bccd drift loop streams soak locate_encode watch; do \
		echo "== $$script"; $(BIN)/python benchmarks/$$script.py || failed="$$failed $$script"; done; \
	test -z "$$failed" || { echo "missed:$$failed"; exit 1; }

# Alert rules and dashboards, from the table of metrics.
dashboards: $(READY)
	$(BIN)/python -m sightline.monitor.shipped deploy

docs: $(READY)
	$(BIN)/python -m pytest tests/test_docs.py

clean:
	rm -rf $(VENV) .venv-label-studio .venv-triton demo build dist .mypy_cache .ruff_cache .pytest_cache
