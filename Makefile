# `make help` lists the targets. Plain make and POSIX sh, so that Debian's and macOS's own tools are enough.

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check

# The Python that .venv is made with; 3.11 first, because that is what is tested most. PYTHON=/some/python overrides it.
PYTHON ?= $(shell for python in python3.11 python3.12 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$python" && break; done)
# The package index of another build of torch, e.g. TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Handed on to pytest, e.g. PYTEST_ARGS='-k tiling'. Two processes, each with whole files: two cores are used that way.
PYTEST_ARGS ?= -n 2 --dist loadfile

# What an installation was made from is kept, word for word, beside it: it is made again when that changes and only then.
# Modification times would not do: a git checkout renews them. A venv with UNFINISHED in it was interrupted: made anew.
APP_INPUTS := requirements.txt constraints.txt pyproject.toml
DEV_INPUTS := $(APP_INPUTS) requirements-dev.txt
UNFINISHED := $(VENV)/.unfinished

.PHONY: help demo test format lock clean install install-dev chromium aws-tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: install ## serve the app on http://127.0.0.1:7860; PORT=8000 changes the port
	@exec env $(if $(PORT),IRSS_PORT=$(PORT)) $(PY) app.py

install: ## only install; the command is then .venv/bin/irss
	@set -e; \
	if [ ! -e $(UNFINISHED) ] && $(PY) -c '' 2>/dev/null && \
		cat $(APP_INPUTS) | cmp -s - $(VENV)/.installed-app; then exit 0; fi; \
	python="$(PYTHON)"; \
	if ! "$${python:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "IRSS needs Python 3.11 or 3.12, and '$${python:-python3}' is not one." >&2; \
		echo 'Install it, or say where it is: make demo PYTHON=/path/to/python3.11' >&2; \
		exit 1; \
	fi; \
	if [ -e $(UNFINISHED) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		rm -rf $(VENV); \
		mkdir $(VENV); \
		touch $(UNFINISHED); \
		"$$python" -m venv $(VENV); \
	fi; \
	touch $(UNFINISHED); \
	rm -f $(VENV)/.installed-*; \
	echo 'Installing what the app needs: some minutes the first time, and 3 GB of disk'; \
	torch=$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt); \
	$(PIP_INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$torch"; \
	$(PIP_INSTALL) -c constraints.txt -r requirements.txt; \
	if ! $(PY) -c 'import cv2' 2>/dev/null; then \
		opencv=$$(sed -n 's/^opencv-python==/opencv-python-headless==/p' requirements.txt); \
		$(PIP_INSTALL) --force-reinstall --no-deps "$$opencv"; \
	fi; \
	$(PIP_INSTALL) --no-deps --editable .; \
	cat $(APP_INPUTS) > $(VENV)/.installed-app; \
	rm -f $(UNFINISHED)

test: install-dev chromium aws-tools ## everything a change must pass
	@failed=; \
	step() { name=$$1; shift; printf '\n=== %s\n' "$$name"; "$$@" || failed="$$failed, $$name"; }; \
	step 'ruff check' $(PY) -m ruff check .; \
	step 'ruff format --check' $(PY) -m ruff format --check .; \
	step 'mypy' $(PY) -m mypy; \
	step 'lint-imports' $(VENV)/bin/lint-imports; \
	step 'pytest' $(PY) -m pytest $(PYTEST_ARGS); \
	if [ -n "$$failed" ]; then printf '\nFAILED: %s\n' "$${failed#, }"; exit 1; fi; \
	printf '\nAll passed: ruff check, ruff format, mypy, lint-imports, pytest\n'

# What checks the AWS side, and what runs it without AWS, each in an environment of its own.
aws-tools:
	@PYTHON="$(PYTHON)" sh scripts/aws_tools.sh

format: install-dev ## put imports and layout in order
	@$(PY) -m ruff check --select I --fix .
	@$(PY) -m ruff format .

lock: install-dev ## pin in constraints.txt what is installed now
	@{ sed '/^[^#]/,$$d' constraints.txt; \
	$(PY) -m pip freeze --all --exclude pip --exclude irss | sed 's/+[a-z0-9.]*$$//'; } > $(VENV)/constraints.txt
	@mv $(VENV)/constraints.txt constraints.txt

clean: ## remove .venv and everything else that was made here
	rm -rf $(VENV) .aws-tools build dist artifacts *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find app.py aws irss_core vendor scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +

install-dev: install
	@set -e; \
	if cat $(DEV_INPUTS) | cmp -s - $(VENV)/.installed-dev; then exit 0; fi; \
	touch $(UNFINISHED); \
	echo 'Installing what the checks need'; \
	$(PIP_INSTALL) -c constraints.txt -r requirements-dev.txt; \
	cat $(DEV_INPUTS) > $(VENV)/.installed-dev; \
	rm -f $(UNFINISHED)

# The browser tests drive Debian's Chromium; without it they are skipped, which CI does not accept.
chromium:
	@if [ -x /usr/bin/chromium ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; then exit 0; fi; \
	echo 'The browser tests need /usr/bin/chromium. Debian: sudo apt-get install chromium' >&2; \
	test -z "$$CI"
