# The two commands of this project are `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast test-slow lint types bench clean

demo: $(VENV)/.installed  ## train, compare and draw the built-in example (about five minutes on two cores)
	$(BIN)/selfpretrain compare --out runs/demo

test: $(VENV)/.developed lint types  ## everything that must hold on every commit; on two cores, file by file
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-fast: $(VENV)/.developed  ## what starts no process and no comparison: an answer in under a minute
	$(BIN)/python -m pytest -q -m fast

test-slow: $(VENV)/.developed  ## what takes longer: the demo's claims, the null over many data seeds
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developed
	$(BIN)/mypy

bench: $(VENV)/.developed  ## time a training step beside its floor
	$(BIN)/selfpretrain bench --quick

# torch is pinned in constraints.txt, so that no other package can pull a newer one.
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.developed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) runs
