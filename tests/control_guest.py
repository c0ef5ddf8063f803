"""A guest for tests of the control socket: it enables keyboard and mouse, says `ready`, and writes every byte that they interrupt it with to COM1: `k1E`, `m08`.

IRQ 0 comes a hundred times a second and is counted at COUNT. `Started` is a machine that runs it.
"""
import re
import subprocess
import sys
import time
from pathlib import Path

from emu.assembler import assemble_elf
from tests.guest_code import MACROS

PATIENCE = 60  # seconds
COUNT = 0x200000  # physical address
SOURCE = MACROS + '''
    begin
    gate 0x20, on_timer
    gate 0x21, on_keyboard
    gate 0x2c, on_mouse
    # Both 8259A: vectors from 20h, IRQ 0, 1, 2 and 12; 8254: channel 0, mode 2, 100 Hz; 8042: no interrupts, both devices on, the mouse reports
    program 0x20, 0x11, 0x21, 0x20, 0x21, 4, 0x21, 1, 0x21, 0xf8, 0xa0, 0x11, 0xa1, 0x28, 0xa1, 2, 0xa1, 1, 0xa1, 0xef
    program 0x43, 0x34, 0x40, 11932 % 256, 0x40, 11932 / 256, 0x64, 0x60, 0x60, 0x44, 0x64, 0xd4, 0x60, 0xf4
2:  in al, 0x64                     # the mouse's answer
    test al, 1
    jz 2b
    in al, 0x60
    mov al, 0x60                    # now with interrupts
    out 0x64, al
    mov al, 0x47
    out 0x60, al
    mov esi, offset text_ready
3:  lodsb
    test al, al
    jz 4f
    mov dx, 0x3f8
    out dx, al
    jmp 3b
4:  sti
5:  hlt
    jmp 5b


on_timer:
    push eax
    inc dword ptr [COUNT]
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd

on_mouse:
    push eax
    mov ah, 'm'
    call show
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop eax
    iretd

on_keyboard:
    push eax
    mov ah, 'k'
    call show
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd

show:                               # AH, the byte at port 60h, a line feed
    push edx
    push ecx
    mov dx, 0x3f8
    mov al, ah
    out dx, al
    in al, 0x60
    mov cl, al
    shr al, 4
    call digit
    mov al, cl
    and al, 15
    call digit
    mov al, 10
    out dx, al
    pop ecx
    pop edx
    ret
digit:
    add al, '0'
    cmp al, '9'
    jbe 1f
    add al, 7
1:  out dx, al
    ret

    descriptors 0x2d
text_ready: .asciz "ready\\n"
.bss
.balign 4096
idt: .skip 0x2d * 8
.skip 4096
stack:
'''


def kernel() -> bytes:
    """The guest, a multiboot kernel."""
    return assemble_elf(f'COUNT = {COUNT}\n{SOURCE}')


class Started:
    """`emu run` with this guest and these options, or without it (not `boots`); COM1 and stderr go into files."""

    def __init__(self, folder: Path, *options: str, boots: bool = True):
        self.serial, self.log = folder / 'serial', folder / 'log'
        (folder / 'kernel').write_bytes(kernel())
        self.serial.unlink(missing_ok=True)
        words = [sys.executable, '-m', 'emu', 'run', '-m', '16', '-serial', f'file:{self.serial}', *(['-kernel', str(folder / 'kernel')] if boots else []), *options]
        with self.log.open('w') as log: self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)
        if boots: self.wait_for('ready')

    def wait_for(self, pattern: str) -> str:
        """Until the guest has said it; all that it said."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, said := self.serial.read_text() if self.serial.exists() else ''):
            assert self.process.poll() is None and time.monotonic() < end, (pattern, said, self.logged())
            time.sleep(0.02)
        return said

    def logged(self) -> str:
        """What is on stderr."""
        return self.log.read_text()

    def end(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.process.wait()
