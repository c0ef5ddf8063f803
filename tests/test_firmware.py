"""BIOSes: SeaBIOS, unmodified, from Debian's package: what it says at its debug port 402h; and small ones of our own: what a reset leaves."""
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from emu.assembler import assemble
from emu.boot import firmware
from emu.errors import EmuError
from emu.mem.memory import Memory
from tests.conftest import guest

PATIENCE = 120  # seconds


class Bios:
    """A machine without disks that runs SeaBIOS."""

    def __init__(self, folder: Path, *options: str):
        guest('firmware')
        self.path = folder / 'log'
        command = [sys.executable, '-m', 'emu', 'run', '-bios', 'seabios', '-m', '64', '-serial', 'null', '-display', 'none', '-debugcon', f'0x402={self.path}', *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def expect(self, pattern: str) -> str:
        """Waits for a line; all up to there."""
        end = time.monotonic() + PATIENCE
        while True:
            log = self.path.read_text() if self.path.exists() else ''
            if found := re.search(pattern, log): return log[:found.end()]
            assert time.monotonic() < end and self.process.poll() is None, f'no {pattern!r} in {log}'
            time.sleep(0.1)


@pytest.fixture
def bios(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bios]:
    """With these options."""
    machine = Bios(tmp_path, *getattr(request, 'param', ()))
    yield machine
    machine.process.kill()
    machine.process.communicate()


def test_reaches_boot_selection(bios: Bios) -> None:
    """Platform, fw_cfg by DMA, memory, PCI with interrupts, keyboard, serial port; then what a machine without drives might have."""
    log = bios.expect('No bootable device')
    for line in ('Running on QEMU (i440fx)', 'QEMU fw_cfg DMA interface supported', 'addr 0x0000000000000000 len 0x0000000004000000 [RAM]',
                 'id=8086:1237', 'id=8086:7000', 'PIIX3/PIIX4 init: elcr=00 0c', 'Found 1 serial ports', 'PS2 keyboard initialized'):
        assert line in log
    assert 'WARNING' not in log and 'error' not in log
    assert {'Floppy', 'Hard Disk'} <= set(re.findall(r'Booting from (.*?)\.\.\.', log))


def test_images_that_are_none(tmp_path: Path) -> None:
    """An odd size, a ROM without signature."""
    (tmp_path / 'odd').write_bytes(bytes(100))
    with pytest.raises(EmuError, match='100 bytes'): firmware.load_bios(Memory(1 << 20), str(tmp_path / 'odd'))
    with pytest.raises(EmuError, match='55AA'): firmware.read_vga_bios(str(tmp_path / 'odd'))


ROM = '''
    mov al, 0x0f                    # shutdown status
    out 0x70, al
    in al, 0x71
    xor dx, dx
    mov ds, dx
    mov dx, 0xcf8                   # PAM of E0000h to E3FFFh
    mov ebx, 0x8000005c
    xchg eax, ebx
    out dx, eax
    mov ax, 0xe000
    mov es, ax
    cmp bl, 0x0a
    je back
    mov dx, 0xcfe
    mov al, 3
    out dx, al
    mov word ptr es:[0], 0x1234
    mov word ptr [0x500], 0x5678
    mov al, 0x0a
    out 0x71, al
    RESET
sleep:
    jmp sleep
back:
    mov bl, 0                       # bit 4: RAM is as it was; bit 5: shadow RAM is there
    cmp word ptr [0x500], 0x5678
    jne no_ram
    or bl, 0x10
no_ram:
    cmp word ptr es:[0], 0x1234
    jne no_shadow
    or bl, 0x20
no_shadow:
    mov al, bl
    out 0xf4, al
'''
TRIPLE_FAULT = 'push 0\npush 0\npush 0\nmov bp, sp\nlidt [bp]\nint3'


@pytest.mark.parametrize('reset, kept', [
    ('mov al, 0xfe\nout 0x64, al', 0x30), ('in al, 0x92\nor al, 1\nout 0x92, al', 0x30), ('mov dx, 0xcf9\nmov al, 4\nout dx, al', 0x30), (TRIPLE_FAULT, 0x30),
    ('mov dx, 0xcf9\nmov al, 6\nout dx, al', 0x10)], ids=['8042', 'port 92h', 'CF9h soft', 'triple fault', 'CF9h hard'])
def test_ways_to_reset(reset: str, kept: int, tmp_path: Path) -> None:
    """IBM PC/AT Technical Reference, BIOS: a 286 program leaves a reason in CMOS byte 0Fh and resets the CPU to get back to real mode: memory and chipset are as they
    were. 82371SB, "Reset Control", hard reset: the chipset starts anew."""
    image = assemble(ROM.replace('RESET', reset), 16, 0).ljust(0xfff0, b'\xff') + bytes.fromhex('ea000000f0').ljust(16, b'\0')
    (tmp_path / 'rom').write_bytes(image)
    command = [sys.executable, '-m', 'emu', 'run', '-bios', str(tmp_path / 'rom'), '-m', '1', '-vga', 'none', '-serial', 'null', '-engine', 'interpreter', '-debug-exit', '0xf4']
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert (run.returncode, run.stderr) == (kept << 1 | 1, '')
