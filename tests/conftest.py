"""What tests share: how much to run (EMU_TEST_ALL=1: everything), and the count of cases that docs/coverage.md shows (EMU_COVERAGE=FILE)."""
import gc
import json
import os
import re
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Callable, Iterator

import pytest

from emu import guests
from emu.server.loop import ENDING
from tests.seat import Seat

sys.setrecursionlimit(10_000)  # pytest and Hypothesis walk, by recursion, through what a thousand parametrized cases of one function have made
for number in ENDING:  # a suite in the background of a script has some ignored, and emu would leave them so
    if signal.getsignal(number) == signal.SIG_IGN: signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
os.environ.pop('DISPLAY', None)  # machines under test open no windows
ALL = os.environ.get('EMU_TEST_ALL') == '1'
CASES: Counter[tuple[str, str, str]] = Counter()  # (form, engine, oracle) -> cases run


@pytest.fixture(autouse=True, scope='module')
def machines_are_freed() -> Iterator[None]:
    """A run freezes what is there (emu/machine.py), and a machine is full of cycles: a whole suite's would need gigabytes. Python looks for them when there are a quarter more
    objects than it has seen: what earlier modules have left must not count."""
    gc.freeze()
    gc.collect()
    yield
    gc.unfreeze()
    gc.collect()


Start = Callable[..., Seat]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts machines with these options; each ends (kill -9) with the next one, or with the test."""
    seats: list[Seat] = []

    def new(*options: str) -> Seat:
        while seats: seats.pop().close()
        seats.append(Seat(tmp_path, *options))
        return seats[-1]
    yield new
    while seats: seats.pop().close()


def record(form: str, engine: str, oracle: str, n: int = 1) -> None:
    """n cases of a form have been compared."""
    CASES[form, engine, oracle] += n


def guest(name: str) -> dict[str, Path]:
    """A guest's files; where they cannot be had the test is skipped, but in CI it fails."""
    try:
        return guests.get(name)
    except guests.EmuError as error:
        if os.environ.get('CI'): raise
        pytest.skip(f'no guest: {error}')


def program(name: str) -> str:
    """The path of a program of the host that a test cannot do without (Makefile, PACKAGES); where it is not installed the test is skipped, but in CI it fails."""
    found = shutil.which(name, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if not found and os.environ.get('CI'): raise RuntimeError(f'{name} is not installed (make packages)')
    return found or pytest.skip(f'{name} is not installed')


def resident(pid: int) -> int:
    """Kilobytes of memory that a process has (proc(5), VmRSS)."""
    found = re.search(r'VmRSS:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())
    assert found
    return int(found[1])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leaves the counts for coverage_table.py."""
    if path := os.environ.get('EMU_COVERAGE'):
        Path(path).write_text(json.dumps([[*key, n] for key, n in sorted(CASES.items())]))
