"""Single instructions recorded on a Harris 80C286 (and ADD r/m8 on a 386EX), in real mode, run to the HLT that follows them.

The whole set is in $EMU_SILICON, or ../shared/silicon beside the repository; without it, five tests of each opcode are in silicon/80286.zip (SingleStepTests, MIT, see
silicon/LICENSE). A share runs by default, everything with EMU_TEST_ALL=1.
"""
import os
import zipfile
from functools import cache
from pathlib import Path

import pytest

from emu.decoder.decode import Instruction, decode_bytes
from emu.isa.language import GP, SS
from emu.isa.operands import IMM
from emu.isa.state import FS, GS
from tests import moo
from tests.conftest import ALL, record
from tests.harness import ENGINES, Guest
from tests.undefined import undefined_flags

SHARE = Path(__file__).with_name('silicon') / '80286.zip'
WHOLE = Path(os.environ.get('EMU_SILICON') or Path(__file__).parents[2] / 'shared' / 'silicon')
FEW = 20
ARITHMETIC, CONTROL = 0x8d5, 0x700
NAMES = {'386E-00.MOO': None} | dict.fromkeys(sorted(zipfile.ZipFile(SHARE).namelist()))

STRINGS = ('MOVS', 'CMPS', 'LODS', 'STOS', 'SCAS', 'INS', 'OUTS')

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


def instruction(case: moo.Case) -> Instruction:
    """The case's code, decoded."""
    i = decode_bytes(case.code.ljust(16, b'\x90'), 0)
    assert i
    return i


def flags_mask(i: Instruction, before: dict[str, int]) -> int:
    """The flags that can be compared."""
    count = (i.imm if i.form.fields.get('src_kind') == IMM else before['ecx']) & 31
    return (ARITHMETIC | CONTROL) & ~undefined_flags(i.form.text, i.form.fields.get('w', 16), count)


def otherwise(i: Instruction, case: moo.Case) -> list[str]:
    """What a 386 does otherwise than a 286, as registers that are not compared; * stands for everything."""
    if i.form.text in ('MOV_TO_SEG', 'MOV_FROM_SEG') and {FS, GS} & {i.dst if i.form.text == 'MOV_TO_SEG' else i.src}: return ['*']  # SDM 2, MOV: FS and GS
    if case.exception and i.form.text in STRINGS: return ['ecx', 'esi', 'edi']  # SDM 3A 6.5: faults restore the registers
    if case.exception and i.form.text == 'POP': return ['*']  # the same; what is pushed lies elsewhere
    if i.form.text in ('LOAD_FAR', 'JMP_FAR_M') and straddles(i, case): return ['*']  # SDM 3B 22.34: no wrap-around
    if i.form.text == 'IDIV' and case.before.registers['ax'] == 0x81c1: return ['*']  # SDM 2, IDIV: -32319 / 124 is #DE; the 286 finds -128
    return []


def straddles(i: Instruction, case: moo.Case) -> bool:
    """Whether a far pointer begins in the last word of a segment."""
    b = [wide(case.before.registers).get(r, 0) for r in 'eax ecx edx ebx esp ebp esi edi none'.split()]
    return (b[i.base] + b[i.index] + i.disp) & 0xffff == 0xfffe


def differences(g: Guest, case: moo.Case) -> list[str]:
    """Runs a test and says what came out otherwise."""
    i, before, after = instruction(case), wide(case.before.registers), wide(case.after.registers)
    ignored, mask, ram = otherwise(i, case), flags_mask(i, before), case.before.ram | case.after.ram
    if '*' in ignored: return []
    for a in ram: g.memory.write(a, b'\0')
    g.real(before, case.before.ram)
    if case.exception and case.exception[0] == GP: g.memory.write(4 * SS, g.memory.read(4 * GP, 4))  # SDM 3A 20.3: stack faults have a vector of their own
    g.go()
    state, out = g.real_state(), []
    state['eip'] &= 0xffff  # SDM 3B 22.34: a 386 has EIP 10000h after an instruction at the segment's end
    for name, value in (before | after).items():
        if name not in state or name in ignored: continue
        if (state[name] ^ value) & (mask if name == 'eflags' else 0xffffffff): out.append(f'{name} {state[name]:x}, not {value:x}')
    pushed = (before['ss'] << 4) + (before['esp'] - 2 & 0xffff) if case.exception or i.form.text == 'PUSHF' else -2
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
        record(instruction(case).form.name, engine, '80286' if name[:3] != '386' else '386EX')
        if found := differences(guest(engine), case):
            wrong.append(f'{n}: {case.name} [{case.code.hex()}] flags {case.before.registers.get("flags", 0):x}: ' + '; '.join(found))
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:10]])
