# `make run` boots Linux in this terminal (Ctrl-A x quits); `make test` checks everything. Both prepare .venv and the user's cache directory first.
PYTHON ?= python3
VENV := .venv
EMU := $(VENV)/bin/emu
STAMP := $(VENV)/installed

run: $(STAMP)
	@if guest=$$($(EMU) guest get linux); then \
		exec $(EMU) run -nographic -m 256 -kernel "$$guest/vmlinuz-686" -initrd "$$guest/initramfs-686-tiny.gz" -append "console=ttyS0"; \
	else echo "Linux cannot be fetched (no network?): running the demo instead."; exec $(EMU) demo; fi

test: check setup
	$(VENV)/bin/pytest -q

test-all: check setup
	EMU_TEST_ALL=1 $(VENV)/bin/pytest -q

check: $(STAMP)
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

setup: $(STAMP)
	$(EMU) setup
	$(EMU) guest get linux firmware bootdisk floppies cds

bench: setup
	@for program in bench/[a-z]*.py; do echo "== $$program"; $(VENV)/bin/python $$program || exit 1; done

$(STAMP): pyproject.toml
	@echo "Installing into $(VENV), once; this takes a minute."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: run test test-all check setup bench
