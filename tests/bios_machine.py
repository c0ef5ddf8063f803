"""A machine that runs a boot sector of ours under our own BIOS, in this process: what the sector leaves in memory and on the screen is for the test to see."""
import struct
from pathlib import Path
from typing import Any, Callable

from emu.assembler import assemble
from emu.boot.firmware import Boot
from emu.jit import build
from emu.machine import Machine
from emu.options import Drive, Options
from emu.server.loop import Loop

EXIT = 0x501
DONE = 'mov dx, 0x501; xor al, al; out dx, al; l9: hlt; jmp l9'
RESULTS = 0x8000  # programs store what they found from here on


def sector(source: str) -> bytes:
    """512 bytes with the signature; code begins at 7C00h, and ends the run."""
    code = assemble(f'{source}\n{DONE}\n', 16, 0x7c00)
    assert len(code) <= 510
    return code.ljust(510, b'\0') + b'\x55\xaa'


def disk(path: Path, source: str, sectors: int = 2048) -> str:
    """An image that begins with the sector; each other sector has its number in every word."""
    data = sector(source) + b''.join(struct.pack('<I', n) * 128 for n in range(1, sectors))
    path.write_bytes(data)
    return str(path)


class Run:
    """A run from the boot sector to its end; `during` is called after each slice."""

    def __init__(self, *drives: Drive, memory: int = 16 << 20, order: str = 'cad', during: Callable[['Run'], Any] | None = None, steps: int = 100_000,
                 engine: str = 'interpreter'):
        options = Options(memory=memory, bios='own', serial=(), drives=drives, debug_exit=EXIT, engine=engine, icount=True, boot=Boot(order=order))
        build.setup(engine)
        self.loop = Loop()
        self.machine = Machine(options, self.loop, [])
        self.pc = self.machine.pc
        try:
            for _ in range(steps):
                if self.machine.code is not None: break
                self.machine.step()
                if during: during(self)
            assert self.machine.code is not None, f'it does not end: {self.text()}'
        finally:
            self.machine.cpu.close()
            self.loop.close()
            for drive in self.machine.drives.values():
                if getattr(drive, 'image', None): drive.image.close()

    def words(self, count: int, at: int = RESULTS) -> list[int]:
        """16-bit words of low memory."""
        return list(struct.unpack(f'<{count}H', self.machine.memory.read(at, 2 * count)))

    def bytes(self, count: int, at: int = RESULTS) -> bytes:
        """Low memory."""
        return self.machine.memory.read(at, count)

    def text(self) -> str:
        """The screen."""
        return self.pc.vga.text()


def boot(tmp_path: Path, source: str, sectors: int = 2048, **more: Any) -> Run:
    """Runs a program from a hard disk."""
    return Run(Drive(disk(tmp_path / 'disk', source, sectors)), **more)


KEEP = '''
.macro keep register
    mov [si], \\register
    add si, 2
.endm
.macro flags
    pushf
    pop word ptr [si]
    add si, 2
.endm
    mov si, 0x8000
'''
