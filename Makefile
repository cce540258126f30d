# Everything a reader or a developer does. `make` alone explains itself.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet -c requirements.lock
READY := .venv/ready
TESTABLE := .venv/testable
PORT ?= 8000
WORKERS ?= 2
ITEMS ?= 12
FORMAT ?= html

# TORCH=cpu takes PyTorch's CPU build, on which no CUDA hangs, from PyTorch's own index.
TORCH ?= pypi
CPU_BUILDS := https://download.pytorch.org/whl/cpu
ifeq ($(filter pypi cpu,$(TORCH)),)
$(error TORCH must be pypi or cpu, got '$(TORCH)')
endif

.DEFAULT_GOAL := help
.PHONY: help book read pages slides student instructor exam grading print serve test versions
.PHONY: execute lint lock dist audit clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: pages ## build the book, with its slides and archives (TORCH=cpu: without CUDA)
	$(MAKE) --no-print-directory slides student instructor
	@echo $(OPEN)

read: pages ## build the pages alone
	@echo $(OPEN)

OPEN := "Open _build/html/index.html, or run 'make serve'."
pages: $(READY)
	rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W -n --keep-going --quiet

slides: $(READY) ## make slides for lectures and from the notebooks, in _build/html/slides
	$(BIN)/python -m bookkit slides

student: $(READY) ## pack the notebooks without solutions, ready for nbgrader, in _build/html/downloads
	$(BIN)/python -m bookkit archives student

instructor: $(READY) ## pack the notebooks with solutions, and what lecturers need
	$(BIN)/python -m bookkit archives instructor

exam: $(READY) ## draw an exam and its key, in exams (SEED=482130597; ITEMS=12 FORMAT=html)
	@test -n "$(SEED)" || { echo "An exam is drawn by a seed: make exam SEED=482130597"; exit 2; }
	$(BIN)/python -m bookkit exam --seed $(SEED) --items $(ITEMS) --format $(FORMAT)

grading: $(TESTABLE) ## install nbgrader, and try it on what four students hand in
	$(BIN)/python -m pip install --quiet nbgrader -c requirements.lock
	$(BIN)/python -m pytest tests/book/test_grading.py

print: $(READY) ## print the built book to a PDF (needs Chromium), in _build/html/downloads
	@test -f _build/html/index.html || { echo "There is no book yet: run 'make book' first."; exit 1; }
	$(BIN)/python -m bookkit print

serve: ## show the built book in a browser, at an address it prints
	@test -f _build/html/index.html || { echo "There is no book yet: run 'make book' first."; exit 1; }
	@echo "The book is at http://localhost:$(PORT)/ (Ctrl-C ends)."
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# A worker has one thread and takes a file at a time: the cells of a notebook need each other.
# Notebooks take longest, and come first. More workers need more cores, and 2 GB each.
test: lint book ## check everything: style, types, units, notebooks, book, browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg \
		--doctest-modules notebooks tests explman_lite

versions: $(TESTABLE) ## test with the oldest versions, with Colab's, and with the newest Python
	$(BIN)/nox

execute: $(READY) ## run the notebooks anew and store their outputs (NOTEBOOKS="a.ipynb b.ipynb" for some)
	$(BIN)/python -m bookkit execute $(NOTEBOOKS)

lint: $(TESTABLE) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: ## write requirements.lock anew from a clean environment
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet -r requirements.txt -r requirements-test.txt
	.venv-lock/bin/python -m pip freeze --exclude-editable > requirements.lock
	rm -rf .venv-lock

dist: $(TESTABLE) ## build what a release uploads to PyPI, in dist, and install and try it
	rm -rf dist
	$(BIN)/nox -s dist

audit: $(TESTABLE) ## look for known vulnerabilities in requirements.lock
	$(BIN)/nox -s audit

clean: ## remove what was built, the environments included
	rm -rf .venv .venv-lock .nox _build build dist book/_recorded *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(READY): requirements.txt requirements.lock pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
ifeq ($(TORCH),cpu)
	$(PIP) --no-deps --index-url $(CPU_BUILDS) torch torchvision
endif
	$(PIP) -r requirements.txt
	@touch $@

$(TESTABLE): $(READY) requirements-test.txt
	$(PIP) -r requirements-test.txt
	@touch $@
