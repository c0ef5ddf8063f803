"""The display adapter under real VGA BIOSes: a boot sector has each mode set by INT 10h and draws in it, through the BIOS and directly; the picture is the reference's
(tests/vga_reference.py) for the registers and the memory that are there then.
"""
import time
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest

from emu import guests
from emu.assembler import assemble
from emu.jit import build
from emu.machine import Machine
from emu.options import Drive, Options
from emu.server.loop import Loop
from emu.terminal import open_serial
from tests.conftest import ALL, guest
from tests.test_hw_vga_render import check, colour

MODE, SEGMENT, GO, PATIENCE = 0x600, 0x602, 0x604, 60  # words that the sector looks at; seconds
VBE = {0x101: (640, 480, 8), 0x10d: (320, 200, 15), 0x111: (640, 480, 16), 0x112: (640, 480, 24), 0x115: (800, 600, 24), 0x118: (1024, 768, 24), 0x102: (800, 600, 4)}
SECTOR = '''
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    mov word ptr [0x604], 0
    sti
next:
    hlt
    cmp word ptr [0x604], 1
    jne next
    mov ax, [0x600]
    mov bx, ax
    test ah, ah
    jz 1f
    mov ax, 0x4f02
1:  int 0x10
    mov es, [0x602]
    xor di, di
    mov cx, 4000
2:  mov ax, di              # a pattern of bytes, then of words read and written back elsewhere
    shr ax, 1
    xor ax, di
    mov es:[di+1000], al
    inc di
    loop 2b
    mov di, 5000
    mov cx, 500
3:  mov ax, es:[di]
    xor es:[di+1001], ax
    add di, 2
    loop 3b
    mov si, offset message
4:  lodsb
    or al, al
    jz 5f
    mov ah, 0x0e
    mov bx, 0x0a
    int 0x10
    jmp 4b
5:  mov cx, 150
6:  mov ah, 0x0c
    mov al, cl
    mov bh, 0
    mov dx, cx
    push cx
    int 0x10
    pop cx
    loop 6b
    mov word ptr [0x604], 2
    jmp next
message: .asciz "Hello, screen!\\r\\n"
'''


class Pc:
    """A machine that has booted the sector. `vga` and `time` are what tests/test_hw_vga_render.py looks at."""

    def __init__(self, folder: Path, vgabios: str):
        disk = folder / 'disk'
        disk.write_bytes((assemble(SECTOR, 16, 0x7c00).ljust(510, b'\0') + b'\x55\xaa').ljust(1 << 20, b'\0'))
        options = Options(memory=32 << 20, serial=('null',), drives=(Drive(str(disk), 'ide', 0),), vgabios=str(guests.get('firmware')[vgabios]))
        build.setup(options.engine)
        self.loop = Loop()
        self.machine = Machine(options, self.loop, [open_serial('null')])
        self.vga = self.machine.pc.vga
        assert self.vga
        self.until(lambda: self.machine.memory.read(0x7c00, 2) == b'\x31\xc0' and self.machine.cpu.state.halted)

    @property
    def time(self) -> int:
        return self.machine.now()

    def get_dispi(self, n: int) -> int:
        return self.vga.dispi.values[n]

    def until(self, condition) -> None:
        """Runs on."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end and self.machine.code is None, self.vga.text()
            self.machine.step()

    def set(self, mode: int) -> None:
        """Has the sector set a mode and draw."""
        segment = 0xb000 if mode == 7 else 0xb800 if mode < 7 else 0xa000
        for at, v in ((MODE, mode), (SEGMENT, segment), (GO, 1)): self.machine.memory.write(at, v.to_bytes(2, 'little'))
        self.until(lambda: self.machine.memory.read(GO, 2) == b'\2\0')
        now = self.machine.now()
        self.vga.now = lambda: now  # the cursor stays as it is while two look


@pytest.fixture(scope='module', params=['vgabios-stdvga.bin', pytest.param('vgabios.bin', marks=pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1'))])
def pc(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pc]:
    """SeaBIOS with SeaVGABIOS, or the LGPL'd VGA BIOS."""
    guest('firmware')
    machine = Pc(tmp_path_factory.mktemp('vga'), request.param)
    yield machine
    machine.machine.cpu.close()
    machine.loop.close()


@pytest.mark.parametrize('mode', VBE)
def test_vbe_modes(pc: Pc, mode: int) -> None:
    """INT 10h, function 4F02h."""
    pc.set(mode)
    width, height, bpp = VBE[mode]
    pixels, rng = pc.vga.frame(), np.random.default_rng(6)
    assert (pc.vga.dispi.bpp, pixels.shape) == (bpp, (height, width, 4)) and len(np.unique(pixels.reshape(-1, 4), axis=0)) > 1
    for x, y in zip(rng.integers(0, width, 300).tolist(), rng.integers(0, 40, 300).tolist()): assert tuple(pixels[y, x, :3].tolist()) == colour(pc, x, y), (x, y)


@pytest.mark.parametrize('mode', [0, 1, 2, 4, 5, 6, 0xd, 0xe, 0x10, 0x11, 0x12, 0x13, 0x6a, 3, 7])
def test_bios_modes(pc: Pc, mode: int) -> None:
    """INT 10h, function 0: IBM's modes. Both BIOSes write the CRTC's registers before they move it to 3B4h or back, where they are lost: so mode 7
    comes last and after mode 3, which has the same ones."""
    pc.set(mode)
    check(pc, 500)
    assert len(np.unique(pc.vga.frame().reshape(-1, 4), axis=0)) > 1
    assert pc.vga.text().startswith('Hello, screen!') == (mode in (0, 1, 2, 3, 7))
