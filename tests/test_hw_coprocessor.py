"""CR0.NE = 0: an unmasked x87 exception as IRQ 13 (emu/hw/coprocessor.py; SDM 1 8.7.2 and appendix D), seen by a multiboot guest on every engine."""
import struct
from pathlib import Path

import pytest

from emu.assembler import assemble_elf
from emu.hw.bus import Bus
from emu.hw.coprocessor import Coprocessor
from emu.machine import run_machine
from emu.options import Options
from tests.guest_code import MACROS
from tests.harness import ENGINES

SOURCE = MACROS + '''
    begin
    gate 0x2d, error                                # IRQ 13
    # vectors 20h and 28h, IRQ 2 and 13 alone
    program 0x20, 0x11, 0x21, 0x20, 0x21, 4, 0x21, 1, 0x21, 0xfb, 0xa0, 0x11, 0xa1, 0x28, 0xa1, 2, 0xa1, 1, 0xa1, 0xdf
    sti
    fninit
    fldcw [control]                                 # division by zero is not masked
    mov ebx, 0
    fld1
    fldz
    fdivp st(1), st
    mov ecx, 1000
later:
    dec ecx
    jnz later
    fnstsw ax                                       # does not wait, as nothing does that begins with FN
    mov bp, ax
first:
    fwait
    inc ebx
    mov dword ptr [how], 1                          # the next time the handler leaves the error, only port F0h is written
    fld1
    fldz
    fdivp st(1), st
second:
    fld1
    fnclex
    mov dword ptr [how], 0
    fld1
    fldz
    fdivp st(1), st
third:
    fld1
    mov esi, offset log
    mov ecx, 16
print:
    lodsb
    mov dx, 0xe9
    out dx, al
    loop print
    mov dx, 0x501
    mov al, 0x10
    out dx, al

error:
    push eax
    mov eax, [count]
    mov edi, [esp + 4]
    mov [log + eax * 4], edi
    inc dword ptr [count]
    out 0xf0, al
    cmp dword ptr [how], 0
    jnz ignored
    fnclex
ignored:
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop eax
    iretd
    descriptors 48
control: .word 0x37b
how: .long 0
log: .long 0, 0, 0
count: .long 0
places: .long 0x12345678, first, second, third
.bss
idt: .skip 48 * 8
.skip 4096
stack:
'''


@pytest.mark.parametrize('engine', ENGINES)
def test_irq_13(engine: str, tmp_path: Path) -> None:
    """The waiting instruction waits for the interrupt, which is returned from to it; port F0h has it ignore the error, FNCLEX takes that back."""
    image = assemble_elf(SOURCE)
    (tmp_path / 'guest').write_bytes(image)
    options = Options(kernel=str(tmp_path / 'guest'), memory=4 << 20, serial=('null',), icount=True, engine=engine, debug_exit=0x501, debugcon=((0xe9, tmp_path / 'said'),))
    assert run_machine(options) == 2 * 0x10 + 1
    at = image.index(struct.pack('<I', 0x12345678))
    places = struct.unpack_from('<3I', image, at + 4)
    assert struct.unpack('<4I', (tmp_path / 'said').read_bytes()) == (*places, 3)


def test_registers() -> None:
    """82371SB, F0h: a write ends the interrupt and makes IGNNE# active, where there is an error; F1h does nothing."""
    log: list[object] = []
    bus = Bus()
    device = Coprocessor(bus, lambda level: log.append(level), lambda: log.append('ignne'))
    bus.port_out(0xf0, 8, 0)
    assert log == []
    device.error()
    bus.port_out(0xf1, 8, 0)
    assert log == [True]
    bus.port_out(0xf0, 8, 0)
    assert log == [True, False, 'ignne']
    device.error()
    device.reset()
    assert log[3:] == [True, False]
