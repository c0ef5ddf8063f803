"""Outlined texts that translations call, where they would leave to the interpreter else: through State's `calls`, by their numbers here.

Only an instruction that ends its block calls. Registers, EIP and the budget go to State before and come back behind it, so the text works on what the interpreter would show it.
A fault is delivered then and there (`failed` in emu/jit/interpreter.py). A text of TRANSFERS has set EIP, and the next block is looked up; behind others execution
goes on, unless EIP or the mode key is not what it was, or State's `changes` says that the translation may be gone or its page be another.
"""
from typing import Any, Callable

from emu.isa.interrupts import SOFTWARE, deliver, interrupt_return
from emu.isa.segments import load_protected
from emu.isa.strings import compare_run, fill_run, move_run, scan_run
from emu.isa.transfers import protected_call, protected_jump, return_to
from emu.jit.lower import Program, known, parameters
from emu.ports import read_port, write_port

TRANSFERS = (protected_jump, protected_call, return_to, deliver, interrupt_return)
RUNS = (move_run, fill_run, compare_run, scan_run)
PORTS = (read_port, write_port)
SPECIFIC = ('w', 'wide', 'size', 'code', 'kind')  # parameters that have a version of the text for each value


def version(text: Callable[..., Any], args: list[Any]) -> tuple[str, list[Any]]:
    """The name of the function that is the text with these arguments, and those that remain to be given."""
    mine = {n: int(v) for n, (p, v) in enumerate(zip(parameters(text), args)) if p in SPECIFIC and known(v)}
    return Program().ask(text, mine), [v for n, v in enumerate(args) if n not in mine]


def versions() -> list[tuple[Callable[..., Any], dict[str, int]]]:
    """All that there are: text, known arguments."""
    return [(load_protected, {}), (protected_jump, {}), (deliver, {'code': 0, 'kind': SOFTWARE}),
            *((text, {'wide': n}) for text in (protected_call, interrupt_return) for n in (0, 1)), *((return_to, {'wide': n, 'size': 4 << n}) for n in (0, 1)),
            *((text, {'w': w}) for text in RUNS + PORTS for w in (8, 16, 32))]


CALLED = (load_protected, *TRANSFERS, *RUNS, *PORTS)
NUMBERS = {version(text, [given.get(p, p) for p in parameters(text)])[0]: n for n, (text, given) in enumerate(versions())}
