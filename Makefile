# The front door: `make help`. CI runs the same targets.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help venv test check lint types unit e2e nightly golden rules dashboards render docs demo demo-stack bench wheel clean

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 12

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

venv: $(STAMP) ## make the virtual environment

demo: $(STAMP) ## run the exporter over a built-in synthetic Falco
	$(BIN)/falco-enrichment-exporter demo $(ARGS)

demo-stack: $(STAMP) ## run it with Prometheus and Alertmanager, our rules loaded
	$(BIN)/python deploy/demo_stack.py

test: $(STAMP) ## run all tests, files side by side; needs Debian's prometheus package
	$(BIN)/pytest --numprocesses=2 --dist=loadfile $(ARGS)

unit: $(STAMP) ## run the fast tests only
	$(BIN)/pytest --numprocesses=2 --dist=loadfile -m 'not e2e' $(ARGS)

e2e: $(STAMP) ## run the tests that start real processes
	$(BIN)/pytest -m e2e $(ARGS)

nightly: $(STAMP) ## let a model draw 300 long runs of what may happen to a log; takes an hour
	HYPOTHESIS_PROFILE=nightly $(BIN)/pytest --timeout=0 tests/fault/test_model.py $(ARGS)

lint: $(STAMP) ## check style, spelling and packaging
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

types: $(STAMP) ## check types
	$(BIN)/mypy

check: lint types unit ## all that must be green before a commit

golden: $(STAMP) ## rewrite the golden scrapes
	GOLDEN_REWRITE=1 $(BIN)/pytest -q tests/conformance/test_golden.py

rules: $(STAMP) ## rewrite deploy/kubernetes/prometheusrule-*.yaml from alerts/rules
	$(BIN)/python alerts/build_prometheusrule.py

dashboards: $(STAMP) ## rewrite grafana/dashboards from grafana/build
	$(BIN)/python grafana/build

render: $(STAMP) ## draw the dashboards to build/render; needs npm, chromium, prometheus and the network
	PYTHONPATH=tests $(BIN)/python tests/render

docs: $(STAMP) ## rewrite docs/metrics.md from the catalogue
	$(BIN)/python docs/build_metrics.py

bench: $(STAMP) ## measure costs against grep, mtail and json.loads; ARGS='--only idle'
	$(BIN)/python -m benchmarks $(ARGS)

wheel: $(STAMP) ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
