"""emu/jit/pacing.py: a guest's ticks come at their times and need no Python, whether the guest works or sleeps between them."""
import struct
import time
from pathlib import Path

import pytest

from emu.assembler import assemble_elf
from emu.jit import build
from emu.machine import Machine
from emu.options import Options
from emu.server.loop import Loop
from tests.guest_code import MACROS

TICKS, TIMES = 200, 0x200000
SOURCE = MACROS + '''
    begin
    gate 32, tick
    program 0x20, 0x11, 0x21, 32, 0x21, 4, 0x21, 1, 0x21, 0xfe  # 8259A: vectors from 32, IRQ 0 alone
    mov ecx, TICKS
    PROGRAM
    sti
work:
    PAUSE
    inc dword ptr [work_done]
    test ecx, ecx
    jnz work
    mov dx, 0x501
    mov al, 0x10
    out dx, al

tick:
    push eax
    push edx
    rdtsc                               # guest nanoseconds
    mov [TIMES + ecx * 8 - 8], eax
    mov [TIMES + ecx * 8 - 4], edx
    AGAIN
    mov al, 0x20
    out 0x20, al
    pop edx
    pop eax
    dec ecx
    iretd

    descriptors 33
.bss
.balign 4096
idt: .skip 33 * 8
work_done: .skip 8
.skip 4096
stack:
'''
PERIODIC = 'program 0x43, 0x34, 0x40, COUNT % 256, 0x40, COUNT / 256'
ONE_SHOT = 'program 0x43, 0x38, 0x40, COUNT % 256, 0x40, COUNT / 256'  # as Linux: a new count in each tick
LOAD = 'mov al, COUNT % 256; out 0x40, al; mov al, COUNT / 256; out 0x40, al'


@pytest.mark.parametrize('hz', [250, 1000, 5000])
@pytest.mark.parametrize('pause', ['hlt', 'nop'])
@pytest.mark.parametrize('program, again', [(PERIODIC, ''), (ONE_SHOT, LOAD)], ids=['periodic', 'one-shot'])
def test_ticks_need_no_python(program: str, again: str, pause: str, hz: int, tmp_path: Path) -> None:
    """8254, modes 2 and 4 ("Mode Definitions"): the guest gets all its ticks, no sooner than they are due by its own clock, which is not ahead of the host's."""
    source = SOURCE.replace('PROGRAM', program).replace('AGAIN', again).replace('PAUSE', pause)
    (tmp_path / 'kernel').write_bytes(assemble_elf(f'COUNT = {1193182 // hz}\nTICKS = {TICKS}\nTIMES = {TIMES}\n{source}'))
    build.setup('stencils')
    began, loop = time.monotonic_ns(), Loop()
    machine = Machine(Options(memory=16 << 20, kernel=str(tmp_path / 'kernel'), serial=(), debug_exit=0x501, engine='stencils'), loop, [])
    by_python: list[int] = []
    machine.pc.pic.intr = lambda level: by_python.append(level) or machine.set_irq(level)  # type: ignore[func-returns-value]
    assert machine.run() == 0x21
    took = time.monotonic_ns() - began
    loop.close()
    at = struct.unpack(f'<{TICKS}Q', machine.memory.read(TIMES, 8 * TICKS))[::-1]
    period = (1193182 // hz - 1) * 10 ** 9 // 1193182
    assert all(later - sooner >= period for sooner, later in zip(at, at[1:])) if again else all(then - at[0] >= (n - 1) * period for n, then in enumerate(at))
    assert at[-1] < took
    assert len(by_python) <= 1  # when the control word is written, which is Python's
