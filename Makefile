# Every command sets the course up first, in .venv (once; later calls start at once). Needs Python 3.11 or newer, pip and make.
#   make lab PYTHON=python3.12        another Python than the first of python3, python3.13, python3.12, python3.11 that is new enough
#   make lab ARGS="--no-browser"      more arguments for JupyterLab (test: for pytest; notebooks, slides, site: the files)

PYTHON ?=
ARGS ?=
RUN := .venv/bin/python scripts

.DEFAULT_GOAL := help
.PHONY: help setup lab test lint format notebooks slides handout site clean

help:
	@echo 'make lab        open the course in JupyterLab'
	@echo 'make test       style, types, unit tests, and every notebook run and compared'
	@echo 'make setup      only the set-up that the others do first'
	@echo 'make lint       style and types alone'
	@echo 'make format     let ruff rewrite the code in the house style'
	@echo 'make notebooks  execute the notebooks again and store their outputs'
	@echo 'make slides     a deck of slides for each notebook, in build/slides'
	@echo 'make handout    the decks with the lecturer'"'"'s notes, for printing'
	@echo 'make site       the course as a web site in build/site, to be opened from the folder'
	@echo 'make clean      remove .venv and all caches'

setup:
	@python=$$(sh scripts/find_python.sh "$(PYTHON)") && "$$python" scripts/setup_venv.py

lab: setup
	@$(RUN)/open_lab.py $(ARGS)

test: setup
	@$(RUN)/run_checks.py $(ARGS)

lint: setup
	@$(RUN)/run_checks.py --lint

format: setup
	@.venv/bin/python -m ruff check --fix . ; .venv/bin/python -m ruff format .

notebooks: setup
	@$(RUN)/execute_notebooks.py $(ARGS)

slides: setup
	@$(RUN)/make_slides.py $(ARGS)

handout: setup
	@$(RUN)/make_slides.py --handout $(ARGS)

site: setup
	@$(RUN)/make_site.py $(ARGS)

clean:
	rm -rf .venv .pytest_cache .ruff_cache notebooks/.ruff_cache .hypothesis build dist *.egg-info
	find edu_seg tests scripts notebooks -name __pycache__ -prune -exec rm -rf {} +
