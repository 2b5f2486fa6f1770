# make demo | setup | test | lint | viewer | bench | scoreboard | faults | sbom | lock | clean. Each does what set-up is still missing: .venv, the locked
# packages, this package, a Java where the machine has none, Sedona's jars. To choose the interpreter: make demo PYTHON=/path/to/python
VENV := .venv
BIN := $(VENV)/bin
TOOLS := $(VENV)/tools
DONE := $(VENV)/done
UV := VIRTUAL_ENV="$(CURDIR)/$(VENV)" PYTHONPATH=$(TOOLS) $(TOOLS)/bin/uv --quiet
# Bytecode is written once here, not compiled in every worker that may not write it.
SYNC := $(UV) pip sync --compile-bytecode --require-hashes
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
S3_SERVER := github.com/versity/versitygw/cmd/versitygw@v1.8.0
PAGE := udfs/terradrift/viewer_page
VIEWER := $(wildcard viewer/*.json viewer/*.mjs viewer/*.html viewer/src/*.* viewer/src/ui/*.*)
NODE := PATH="$(CURDIR)/$(VENV)/node/bin:$$PATH" PYTHONPATH="$(CURDIR)/$(VENV)/node"
START := $(shell date +%s)
QUERY := SELECT kind, count(*) AS polygons, round(sum(area_m2) / 1e4, 1) AS hectares FROM change_polygons GROUP BY kind

.PHONY: demo setup setup-dev test lint viewer bench scoreboard faults sbom lock clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

demo: setup data/demo/truth.parquet
	@ready=$$(date +%s) && $(BIN)/terradrift run conf/demo.yaml && \
	echo "set-up $$((ready - $(START))) s, run $$(($$(date +%s) - ready)) s; next: $(BIN)/terradrift sql results/demo \"$(QUERY)\""

data/demo/truth.parquet:
	@$(BIN)/terradrift scene data/demo

setup: $(DONE)/packages $(DONE)/package $(DONE)/java $(DONE)/jars $(DONE)/viewer $(DONE)/kernels

setup-dev: $(DONE)/packages-dev setup

test: setup-dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(DONE)/packages-dev $(DONE)/package $(DONE)/viewer
	@$(BIN)/ruff check --no-cache .  # what sorts an import lies in other files
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@test ! -e $(DONE)/viewer || { cd viewer && export $(NODE) && npx --no-install tsc; }

bench: setup-dev $(DONE)/peers
	@$(BIN)/python tests/benchmarks/run.py

$(DONE)/tools: conf/requirements-bootstrap.txt
	@test -x $(BIN)/pip || { \
	  suits='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 13))'; \
	  for python in $(PYTHON) python3.12 python3.11 python3; do \
	    if "$$python" -c "$$suits" 2>/dev/null; then break; fi; python=; \
	  done; \
	  test -n "$$python" || { echo "Python: found none, expected 3.11 or 3.12 with venv and ensurepip;" \
	    "install one (Debian: python3-venv), or name it: make PYTHON=/path/to/python" >&2; exit 2; }; \
	  echo "$$($$python --version) in $(VENV)"; "$$python" -m venv --clear $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(TOOLS) --require-hashes -r $<
	@mkdir -p $(DONE) && touch $@

$(DONE)/packages-dev: conf/requirements-dev.txt $(DONE)/tools
	@echo "packages of $<"
	@$(SYNC) $<
	@touch $@ $(DONE)/packages  # the runtime lock is a part of it

$(DONE)/packages: conf/requirements.txt $(DONE)/tools
	@echo "packages of $<"
	@rm -f $(DONE)/packages-dev
	@$(SYNC) $<
	@touch $@

$(DONE)/package: pyproject.toml $(DONE)/packages  # sync takes out what no lock names: this package, and the Java below
	@$(UV) pip install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q udfs
	@touch $@

$(DONE)/java: conf/requirements-java.txt $(DONE)/packages $(DONE)/package
	@$(BIN)/python -m terradrift.spark.java 2>/dev/null || { \
	  $(UV) pip install --require-hashes -r $< && $(BIN)/python -m terradrift.spark.java; }
	@touch $@

$(DONE)/jars: $(DONE)/java
	@$(BIN)/python -m terradrift.spark.session
	@touch $@

# The page of `terradrift serve`. Where npm or its registry is not to be had everything else works; the next make tries again.
$(DONE)/viewer: $(DONE)/packages $(VIEWER)
	@test ! -e viewer/build.mjs || { $(MAKE) --silent viewer && touch $@; } || \
	  echo "the viewer's page was not built (it needs npm and its registry): terradrift serve will ask for make viewer" >&2

viewer: $(DONE)/node
	@cd viewer && export $(NODE) && { cmp -s package-lock.json node_modules/.lock || { \
	  npm ci --silent --ignore-scripts --no-audit --no-fund --no-progress && cp package-lock.json node_modules/.lock; }; } && \
	  node build.mjs "$(CURDIR)/$(PAGE)"

# Node 20 or newer: the machine's own, or a wheel
$(DONE)/node: conf/requirements-node.txt $(DONE)/tools
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null && command -v npm >/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/node --require-hashes -r $<
	@touch $@

$(DONE)/kernels: $(DONE)/jars  # machine code is kept beside the modules; what changes later is compiled when it is first used
	@echo "kernels"
	@$(BIN)/python -m terradrift.spark.warm_up
	@touch $@

$(DONE)/peers: conf/requirements-peers.txt $(DONE)/tools
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/peers
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)/peers" PYTHONPATH=$(TOOLS) $(TOOLS)/bin/uv --quiet pip sync --require-hashes $<
	@touch $@

scoreboard: setup-dev
	@$(BIN)/python tests/benchmarks/scoreboard.py

faults: setup-dev $(DONE)/s3
	@$(BIN)/python -m pytest --whole -q tests/faults tests/jobs/test_memory.py

sbom: $(DONE)/sbom
	@mkdir -p dist
	@PYTHONWARNINGS=ignore $(VENV)/sbom/bin/cyclonedx-py requirements conf/requirements.txt --pyproject pyproject.toml --output-reproducible \
	  --output-format JSON --output-file dist/sbom.json
	@echo dist/sbom.json

$(DONE)/sbom: conf/requirements-sbom.txt $(DONE)/tools
	@$(BIN)/python -m venv --clear --without-pip $(VENV)/sbom
	@VIRTUAL_ENV="$(CURDIR)/$(VENV)/sbom" PYTHONPATH=$(TOOLS) $(TOOLS)/bin/uv --quiet pip sync --require-hashes $<
	@touch $@

# A real S3 server for the faults; its module carries its hash. Without Go the tests that need it say so and are skipped.
$(DONE)/s3: $(DONE)/tools
	@if command -v go >/dev/null; then GOTOOLCHAIN=local GOBIN=$(CURDIR)/$(TOOLS)/go go install $(S3_SERVER); \
	  else echo "no Go on this machine: tests on a real S3 server are skipped"; fi
	@touch $@

lock: $(DONE)/tools
	@$(COMPILE) --extra dev pyproject.toml --output-file conf/requirements-dev.txt >/dev/null
	@$(COMPILE) --constraints conf/requirements-dev.txt pyproject.toml --output-file conf/requirements.txt >/dev/null
	@sed -n 's/^java = \["\(.*\)"\].*/\1/p' pyproject.toml | $(COMPILE) - --output-file conf/requirements-java.txt >/dev/null
	@sed -n 's/^node = \["\(.*\)"\].*/\1/p' pyproject.toml | $(COMPILE) - --output-file conf/requirements-node.txt >/dev/null
	@sed -n 's/^peers = \[\(.*\)\].*/\1/p' pyproject.toml | tr -d '" ' | tr , '\n' | \
	  $(COMPILE) - --output-file conf/requirements-peers.txt >/dev/null
	@sed -n 's/^sbom = \["\(.*\)"\].*/\1/p' pyproject.toml | $(COMPILE) - --output-file conf/requirements-sbom.txt >/dev/null
	@{ echo uv; echo editables; sed -n 's/^requires = \["\(.*\)"\]/\1/p' pyproject.toml; } | \
	  $(COMPILE) - --output-file conf/requirements-bootstrap.txt >/dev/null

clean:
	rm -rf build dist data/demo results/demo .mypy_cache .ruff_cache .hypothesis .numba viewer/node_modules $(PAGE)
