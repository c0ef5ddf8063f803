# `make run` boots Linux in this terminal (Ctrl-A x quits); `make test` checks everything. Both prepare .venv and the user's cache directory first.
PYTHON ?= python3
VENV := .venv
EMU := $(VENV)/bin/emu
STAMP := $(VENV)/installed
# What the tests need of Debian: a compiler for the oracle that runs cases on the host's CPU; apt and dpkg-deb fetch guests; tshark takes the guest's packets
# apart, e2fsck its file system; a desktop for the window, certificates for TLS; Bochs (its window is VNC's; bochs-term is the smallest package that it takes
# for a display); what floppies, CDs and ACPI tables are checked with.
PACKAGES := gcc gcc-multilib apt dpkg tshark e2fsprogs xvfb xdotool libxi6 openssl bochs bochs-term acpica-tools mtools syslinux dosfstools xorriso

run: $(STAMP)
	@if guest=$$($(EMU) guest get linux); then \
		exec $(EMU) run -nographic -m 256 -kernel "$$guest/vmlinuz-686" -initrd "$$guest/initramfs-686-tiny.gz" -append "console=ttyS0"; \
	else echo "Linux cannot be fetched (no network?): running the demo instead."; exec $(EMU) demo; fi

test: packages check setup
	$(VENV)/bin/pytest -q

test-all: packages check setup
	EMU_TEST_ALL=1 $(VENV)/bin/pytest -q

check: $(STAMP)
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy

setup: $(STAMP)
	$(EMU) setup
	$(EMU) guest get linux firmware bootdisk grubdisk floppies cds netboot

packages:
	@dpkg -s $(PACKAGES) >/dev/null 2>&1 || { \
		line="apt-get install -y --no-install-recommends $(PACKAGES)"; \
		if [ "$$(id -u)" = 0 ]; then apt-get -q update && DEBIAN_FRONTEND=noninteractive $$line; \
		else echo "The tests need packages of Debian: sudo $$line"; exit 1; fi; }

bench: setup
	@for program in bench/[a-z]*.py; do echo "== $$program"; $(VENV)/bin/python $$program || exit 1; done

$(STAMP): pyproject.toml
	@echo "Installing into $(VENV), once; this takes a minute."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: run test test-all check setup packages bench
