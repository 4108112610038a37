# make demo        install what it needs, then run the README's program in three ways
# make test        set up what is missing, then run the tests        (make test ARGS="-k quick_guide")
# make test-heavy  the tests that take long: more input, more emulators, whole machines
# make test-all    both
# make bench       set up what is missing, then measure htrun beside its rivals
# make docs        write the documentation as a site to build/site
# make lint        ruff, mypy and oxlint (for the page's script)
# make install     install the library, headers, module sources, man pages, completions   (PREFIX= DESTDIR= CC=)
# make clean       remove everything that was made here

VENV := .venv
BIN  := $(VENV)/bin
PREFIX ?= /usr/local
PYTHON ?= python3

.PHONY: all setup guest bytecode demo test test-heavy test-all bench docs lint install clean

all: setup

setup: debian-packages $(VENV)/installed bytecode guest

.PHONY: debian-packages
debian-packages:
	@tools/install-debian-packages tools/debian-packages-demo.txt tools/debian-packages.txt

$(VENV)/installed: setup.cfg setup.py pyproject.toml htrun/launch/bin/htrun tools/make-venv | debian-packages
	@tools/make-venv

# Start-up counts: an edited module would be compiled anew by each run where PYTHONDONTWRITEBYTECODE is set.
bytecode: $(VENV)/installed
	@$(BIN)/python -m compileall -q htrun

guest: | debian-packages
	@$(MAKE) --no-print-directory --silent -C guest/user

# A clone that is not set up gets only what the demo needs.
demo: $(if $(wildcard $(VENV)/installed),setup,$(VENV)/installed-demo)
	@tools/demo

$(VENV)/installed-demo: setup.cfg setup.py pyproject.toml htrun/launch/bin/htrun tools/make-venv
	@tools/install-debian-packages tools/debian-packages-demo.txt
	@tools/make-venv demo

test: setup
	@tools/run-tests light $(ARGS)

test-heavy: setup
	@tools/run-tests heavy $(ARGS)

test-all: setup
	@tools/run-tests all $(ARGS)

bench: setup
	@tools/install-debian-packages tools/debian-packages-bench.txt
	@$(BIN)/python -m bench $(ARGS)

# The name of the variable is MkDocs Material's: its notice about MkDocs 2 is no warning about these pages.
docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: $(VENV)/installed
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/oxlint --quiet htrun/view/assets/js tests/unit/view/page

# The commands themselves are a Python package: pip install .
install:
	@$(MAKE) --no-print-directory --silent -C guest install PREFIX=$(PREFIX)
	@install -d $(DESTDIR)$(PREFIX)/share/man/man1
	@install -m 644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	@$(PYTHON) tools/install-completions $(DESTDIR)$(PREFIX)

clean:
	@rm -rf $(VENV) build *.egg-info
	@$(MAKE) --no-print-directory --silent -C guest/user clean
