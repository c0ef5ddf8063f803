"""Single instructions recorded on a Harris 80C286 (and ADD r/m8 on a 386EX), in real mode, run to the HLT that follows them.

The whole set is in $EMU_SILICON, or ../shared/silicon beside the repository; without it, five tests of each opcode are in silicon/80286.zip (SingleStepTests, MIT, see
silicon/LICENSE). A share runs by default, everything with EMU_TEST_ALL=1.
"""
import os
import zipfile
from functools import cache
from pathlib import Path

import pytest

from emu.decoder.decode import decode_bytes
from emu.isa.operands import IMM
from tests import moo
from tests.conftest import ALL, record
from tests.harness import ENGINES, Guest
from tests.undefined import undefined_flags

SHARE = Path(__file__).with_name('silicon') / '80286.zip'
WHOLE = Path(os.environ.get('EMU_SILICON') or Path(__file__).parents[2] / 'shared' / 'silicon')
FEW = 20
ARITHMETIC, CONTROL = 0x8d5, 0x700
NAMES = {'386E-00.MOO': None} | dict.fromkeys(sorted(zipfile.ZipFile(SHARE).namelist()))

# What a 386 does otherwise than a 286: file name -> (which cases, the manual's section).
DIFFERENT: dict[str, tuple[object, str]] = {}


@cache
def cases(name: str) -> list[moo.Case]:
    """The recorded tests of an opcode."""
    if name.startswith('386'):
        return moo.parse((WHOLE / name).read_bytes()) if (WHOLE / name).exists() else []
    path = WHOLE / '80286' / f'{name}.gz'
    return moo.parse(path.read_bytes() if path.exists() else zipfile.ZipFile(SHARE).read(name))


@cache
def guest(engine: str) -> Guest:
    """One machine for each engine, with 16 MiB of RAM."""
    return Guest(engine, 17 << 20)


def wide(registers: dict[str, int]) -> dict[str, int]:
    """Register names as a 386 has them."""
    short = {'ip': 'eip', 'flags': 'eflags'} | {r: 'e' + r for r in 'ax bx cx dx sp bp si di'.split()}
    return {short.get(name, name): value for name, value in registers.items()}


def flags_mask(case: moo.Case) -> int:
    """The flags that can be compared."""
    i = decode_bytes(case.code.ljust(16, b'\x90'), 0)
    count = (i.imm if i.src_kind == IMM else case.before.registers.get('cx', case.before.registers.get('ecx', 0))) & 31
    return (ARITHMETIC | CONTROL) & ~undefined_flags(i.form.text, i.form.fields.get('w', 16), count)


def differences(g: Guest, case: moo.Case) -> list[str]:
    """Runs a test and says what came out otherwise."""
    before, after = wide(case.before.registers), wide(case.after.registers)
    ram = case.before.ram | case.after.ram
    for a in ram: g.memory.write(a, b'\0')
    g.real(before, case.before.ram)
    g.go()
    state, mask, out = g.real_state(), flags_mask(case), []
    for name, value in (before | after).items():
        if name[:2] in ('cr', 'dr') or name not in state: continue
        keep = mask if name == 'eflags' else 0xffffffff
        if (state[name] ^ value) & keep: out.append(f'{name} {state[name]:x}, not {value:x}')
    pushed = case.exception[1] if case.exception else -2
    for a, value in ram.items():
        keep = mask >> 8 * (a - pushed) if a - pushed in (0, 1) else 0xff
        found = g.memory.read(a, 1)[0]
        if (found ^ value) & keep & 0xff: out.append(f'[{a:x}] {found:02x}, not {value:02x}')
    return out


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('name', NAMES)
def test_silicon(name: str, engine: str) -> None:
    """Registers, flags and memory are as the processor left them."""
    wrong = []
    for n, case in enumerate(cases(name)[:None if ALL else FEW]):
        if found := differences(guest(engine), case):
            wrong.append(f'{n}: {case.name} [{case.code.hex()}] flags {case.before.registers.get("flags", 0):x}: ' + '; '.join(found))
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:10]])
