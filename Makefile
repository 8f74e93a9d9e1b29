# Everything starts from a fresh clone: each target creates .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
SS3D := $(VENV)/bin/ss3d
DEMO := demo
WORKERS ?= 2
STAMP := $(VENV)/installed

.PHONY: install demo test chaos lint clean-demo

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

lint: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyrefly check

# What starts Ray uses all cores by itself, and processes that die are timed: one after another.
# The others share the cores, with one thread each.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -m "not gpu and not cluster" --numprocesses $(WORKERS) --dist loadfile
	$(VENV)/bin/python -m pytest -m "cluster and not gpu"

# The whole kill matrix and all that happens to nodes, with a table at the end: 40 minutes or more.
# CI runs a few of its cases.
chaos: $(STAMP)
	SS3D_CHAOS=all $(VENV)/bin/python -m pytest tests/chaos

# A whole life in a few minutes, without a server: data, search, leaderboard, champion, rerun, picture.
# Interrupted? `make demo` again goes on where it stopped.
demo: export SS3D_HOME := $(DEMO)
demo: $(STAMP)
	test -f $(DEMO)/data/manifest.json || $(SS3D) data prepare procedural $(DEMO)/data --models 160 --seed 0
	$(SS3D) data info $(DEMO)/data --sheet $(DEMO)/data.png
	$(SS3D) search search_spaces/quickstart.toml --data $(DEMO)/data --name demo --resume
	$(SS3D) trials demo
	$(SS3D) gains demo
	$(SS3D) promote demo --model demo
	$(SS3D) rerun $$($(SS3D) status demo --json | $(VENV)/bin/python -c 'import json,sys; print("demo/" + json.load(sys.stdin)["best"]["trial"])') --check
	$(SS3D) data view $(DEMO)/data --split test -o $(DEMO)/input.png
	$(SS3D) predict $(DEMO)/input.png --model models:/demo@champion -o $(DEMO)/cloud.ply --picture $(DEMO)/prediction.png
	@echo
	@echo "pictures: $(DEMO)/data.png $(DEMO)/prediction.png"
	@echo "browse the trials: $(SS3D) ui --home $(DEMO)"

clean-demo:
	rm -rf $(DEMO)
