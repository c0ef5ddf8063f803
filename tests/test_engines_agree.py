"""What the host cannot show: every form at CPL 0, in real mode and in virtual-8086 mode, with the whole State and memory of each engine against the eager one.

The cases are those for the host, system instructions among them, so this is where CR0 gets odd values, tables vanish and faults become double faults. In real and
virtual-8086 mode the segments' bases are put there by hand, as an "unreal" mode would leave them.
"""
import struct
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emu.decoder.table import FORMS
from emu.isa.flags import VM, eflags_image, set_arithmetic_flags
from emu.isa.segments import set_reach, update_mode
from emu.isa.state import COUNTERS_BASE, TLB_BASE
from tests.cases import cases
from tests.conftest import ALL, record
from tests.harness import ENGINES, GDT, RING0_CODE, RING0_CODE16, RING0_DATA, RING0_DATA16, Guest, load_fpu, load_xmm
from tests.oracle.host import BASE16, CODE, CODE16, CODE32, DATA16, DATA32, WINDOW, blank, set_code
from tests.test_against_host import describe

MODES = ('kernel', 'real', 'v86')
EACH = 1  # cases of a form in one example
STEP = {'optimise': 4}
PATIENCE = 100
KERNEL = {CODE32: RING0_CODE, DATA32: RING0_DATA, CODE16: RING0_CODE16, DATA16: RING0_DATA16}
REAL_HANDLERS = 0x6000  # code segment 600h
REAL_VECTORS = b''.join(struct.pack('<HH', v, REAL_HANDLERS >> 4) for v in range(256))
FIELDS = '''eip cr0 cr2 cr3 cr4 cpl user protected vm86 code32 stack_mask mode external halted shutdown a20 gdt_base gdt_limit idt_base idt_limit
    sysenter_cs sysenter_esp sysenter_eip fpu_control fpu_status fpu_top fpu_empty fpu_ip fpu_cs fpu_dp fpu_ds fpu_opcode
    mxcsr simd'''.split()
ARRAYS = {'reg': 9, 'selector': 8, 'base': 8, 'limit': 8, 'access': 8, 'reach': 8, 'dr': 8, 'pdpte': 4, 'fpu_mantissa': 8, 'fpu_exponent': 8,
          'xmm_low': 8, 'xmm_high': 8, 'msr': 16}


class Fresh(NamedTuple):
    """A machine, and how it is before each case: memory, and State but for its TLBs."""
    guest: Guest
    memory: bytes
    state: bytes


@cache
def fresh(engine: str) -> Fresh:
    """One machine for each engine."""
    g = Guest(engine)
    g.user_mode()
    g.memory.write(CODE, b'\xcc' * 0x2000)
    g.memory.write(REAL_HANDLERS, b'\xf4' * 256)
    return Fresh(g, g.memory.ram[:], g.m.memory[:TLB_BASE])


@cache
def warm(engine: str, mode: str) -> bytes:
    """The TLBs after code has run and touched the window: translations are found and go on only where the TLB knows the page."""
    g, case = fresh(engine).guest, blank(1)[0]
    empty = g.m.memory[TLB_BASE:COUNTERS_BASE]
    set_code(case, b''.join(b'\x00\x05' + struct.pack('<I', a) for a in (WINDOW, WINDOW + 256)))  # add [a], al
    prepare(engine, case, mode, empty)
    g.go(PATIENCE)
    return g.m.memory[TLB_BASE:COUNTERS_BASE] if g.m.halted else empty


def prepare(engine: str, case: np.void, mode: str, tlb: bytes) -> Guest:
    """Everything as at first, then the mode and the case's registers."""
    g, contents, state = fresh(engine)
    m, memory = g.m, g.memory
    for page in np.flatnonzero(memory.code_map[:memory.size >> 12]): memory.drop_code(int(page) * 4096, 4096)
    memory.ram[:] = contents
    m.memory[:COUNTERS_BASE] = state + tlb
    memory.write(int(case['code_at']), case['code'][:case['ncode']].tobytes())
    memory.write(WINDOW, case['mem'].tobytes())
    m.cpl, m.eip = 3 if mode == 'v86' else 0, case['eip']
    m.eflags = int(case['eflags']) & ~0x8d5 | (VM | 0x3000 * (int(case['reg'][0]) & 1) if mode == 'v86' else 0)
    set_arithmetic_flags(m, int(case['eflags']))
    for n in range(8): m.reg[n] = case['reg'][n]
    for n in range(6): g.segment(n, KERNEL.get(int(case['seg'][n]), int(case['seg'][n])))
    if mode != 'kernel':
        for n in range(6):
            m.base[n] = CODE if n == 1 else BASE16
            m.selector[n], m.limit[n], m.access[n] = m.base[n] >> 4 & 0xffff, 0xffff, 0xf3 if mode == 'v86' else 0x93
            set_reach(m, n)
    if mode == 'real':
        m.cr0, m.idt_base, m.idt_limit = 0x30, GDT, 0x3ff
        memory.write(GDT, REAL_VECTORS)
    load_fpu(m, case['fpu'].tobytes())
    load_xmm(m, case)
    update_mode(m)
    return g


def outcome(engine: str, case: np.void, mode: str) -> dict[str, object]:
    """Runs a case: the State and the memory it ends with."""
    g = prepare(engine, case, mode, warm(engine, mode))
    g.go(PATIENCE)
    state: dict[str, object] = {name: getattr(g.m, name) for name in FIELDS} | {'eflags': eflags_image(g.m)}
    for name, count in ARRAYS.items():
        array = getattr(g.m, name)
        state |= {f'{name}[{n}]': array[n] for n in range(count)}
    return state | {'memory': g.memory.ram[:]}


def shown(name: str, a: object, b: object) -> str:
    """One difference."""
    if isinstance(a, bytes) and isinstance(b, bytes):
        first = next(n for n in range(len(a)) if a[n] != b[n])
        return f'{name} + {first:x}: {a[first:first + 8].hex()}, not {b[first:first + 8].hex()}'
    return f'{name} {a:x}, not {b:x}'


def made(text: str, mode: str, seed: int) -> np.ndarray:
    """Cases of all forms of a text (in real and virtual-8086 mode of one in four, unless everything is run); 16-bit code only where the mode has no other."""
    forms, sizes = [form for form in FORMS if form.text == text], (0, 1) if mode == 'kernel' else (0,)
    return np.concatenate([cases(form, EACH, seed, True, sizes) for form in forms[::1 if ALL or mode == 'kernel' else 4]])


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('text', sorted({form.text for form in FORMS} - {'TOO_LONG'}))
@settings(max_examples=25 if ALL else 1, derandomize=True, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_like_the_eager_engine(text: str, mode: str, seed: int) -> None:
    """The same State and memory, whatever engine ran the text."""
    wrong = []
    for n, case in enumerate(made(text, mode, seed)):
        right = outcome('eager', case, mode)
        for engine in ENGINES[1:]:
            if n % STEP.get(engine, 1): continue
            record(FORMS[case['tag']].name, engine, f'eager, {mode}')
            ours = outcome(engine, case, mode)
            found = [shown(name, ours[name], right[name]) for name in right if ours[name] != right[name]]
            if found: wrong.append(f'{engine}: {describe(case)}: ' + '; '.join(found[:8]))
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:10]])
