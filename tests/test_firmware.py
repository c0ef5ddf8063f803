"""SeaBIOS, unmodified, from Debian's package: what it says at its debug port 402h."""
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

from emu import guests
from emu.boot import firmware
from emu.errors import EmuError
from emu.mem.memory import Memory

PATIENCE = 120  # seconds


class Bios:
    """A machine without disks that runs SeaBIOS."""

    def __init__(self, folder: Path, *options: str):
        try:
            guests.get('firmware')
        except EmuError as error:
            pytest.skip(f'no BIOS: {error}')
        self.path = folder / 'log'
        command = [sys.executable, '-m', 'emu', 'run', '-m', '64', '-serial', 'null', '-display', 'none', '-debugcon', f'0x402={self.path}', *options]
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
