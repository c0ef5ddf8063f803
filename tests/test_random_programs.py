"""Random programs in lock step: every engine against the eager one, after each slice of a random length: all of State, and memory at the end.

Where single instructions agree (test_against_host.py, test_engines_agree.py), this finds what goes wrong between them: flags taken for dead, registers kept in
places, blocks left in the middle, links, faults behind stores, programs that rewrite themselves. A seed names a program; a failure prints it, made small.
"""
from concurrent.futures import Future
from functools import cache
from typing import Any, Callable

import pytest

from emu import cpu
from emu.decoder.decode import decode_bytes
from emu.decoder.text import disassemble
from tests.conftest import ALL
from tests.harness import Guest
from tests.programs import HOME, MODES, Program, disagreement, program, program16, reduce

SEEDS = {'interpreter': 3000, 'stencils': 3000, 'optimise': 300, 'worker': 600} if ALL else {'interpreter': 100, 'stencils': 150, 'optimise': 20, 'worker': 30}


class AtOnce:
    """A worker that is done when it is asked: its translations come in at the end of the slice."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        job: Future[Any] = Future()
        job.set_result(function(*arguments))
        return job

    def poll(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing runs."""


@cache
def guest(engine: str) -> Guest:
    """One machine for each engine; 'worker': stencils are replaced by optimised blocks once they have run twice."""
    g = Guest('optimise' if engine == 'worker' else engine)
    if g.cpu.worker: g.cpu.worker.close()
    if engine == 'worker': g.cpu.at_once, g.cpu.worker = False, AtOnce()
    g.user_mode()
    return g


def listing(p: Program) -> str:
    """The program, for whoever has to find out."""
    code, at, lines = p.code(), 0, []
    while at < len(code):
        i = decode_bytes(code[at:].ljust(16, b'\0'), p.mode == 'flat')
        lines.append(f'{HOME + at:X} {code[at:at + i.len].hex():24} {disassemble(i, HOME + at)}')
        at += i.len
    return '\n'.join([f'registers {[hex(r) for r in p.reg]} eflags {p.eflags:X} slices {p.budgets[:8]}', *lines])


def compare(engine: str, seed: int, rewriting: bool, mode: str = 'flat') -> None:
    """Runs a program on the eager engine and this one."""
    def wrong(p: Program) -> str: return disagreement([guest('eager'), guest(engine)], p)
    if wrong(p := program(seed, rewriting) if mode == 'flat' else program16(seed, mode)):
        small = reduce(p, wrong)
        pytest.fail(f'seed {seed}: {mode}, {wrong(small)}\n{listing(small)}')


@pytest.mark.parametrize('rewriting', [False, True], ids=['plain', 'rewriting'])
@pytest.mark.parametrize('engine', SEEDS)
def test_programs(engine: str, rewriting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, 'WARM', 1)
    for seed in range(SEEDS[engine] // (2 if rewriting else 1)): compare(engine, seed, rewriting)


@pytest.mark.parametrize('mode', MODES[1:])
@pytest.mark.parametrize('engine', SEEDS)
def test_programs_of_16_bits(engine: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments with bases and limits, expand-down and read-only ones, a 16-bit stack, offsets that wrap."""
    monkeypatch.setattr(cpu, 'WARM', 1)
    for seed in range(SEEDS[engine] // 2): compare(engine, seed, False, mode)
