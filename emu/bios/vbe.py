"""INT 10h AH=4Fh: VESA BIOS Extension 2.0 (VBE 2.0 standard, chapter 4), by the Bochs DISPI interface of emu/hw/vbe.py.

Left out: saving the state (04h), protected-mode entry points (0Ah), DDC (15h): AH says that they failed.
"""
import struct
from typing import TYPE_CHECKING

from emu.bios.caller import Caller

if TYPE_CHECKING:
    from emu.bios import Bios

MEMORY = 16 << 20
ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET = range(10)  # DISPI registers
ENABLED, LFB, KEEP = 1, 0x40, 0x80
SIZES = ((0x100, 640, 400), (0x101, 640, 480), (0x103, 800, 600), (0x105, 1024, 768), (0x107, 1280, 1024), (0x11c, 1600, 1200))
DEEP = ((0x10d, 320, 200), (0x110, 640, 480), (0x113, 800, 600), (0x116, 1024, 768), (0x119, 1280, 1024), (0x11d, 1600, 1200))  # 15 bits; then 16, 24
WIDE = ((0x140, 320, 200), (0x141, 640, 400), (0x142, 640, 480), (0x143, 800, 600), (0x144, 1024, 768), (0x145, 1280, 1024), (0x147, 1600, 1200))  # 32 bits
MODES = ({0x102: (800, 600, 4), 0x104: (1024, 768, 4)} | {n: (x, y, 8) for n, x, y in SIZES} | {n + k: (x, y, bpp) for n, x, y in DEEP for k, bpp in enumerate((15, 16, 24))}
         | {n: (x, y, 32) for n, x, y in WIDE})
MASKS = {15: (5, 10, 5, 5, 5, 0, 1, 15), 16: (5, 11, 6, 5, 5, 0, 0, 0), 24: (8, 16, 8, 8, 8, 0, 0, 0), 32: (8, 16, 8, 8, 8, 0, 8, 24)}  # sizes and places of R G B, rest
PLANAR, PACKED, DIRECT = 3, 4, 6
OEM = b'emu VBE BIOS\0'
OEM_PLACE = 0x7fe0  # in the ROM
MODE = 0x449
DONE, FAILED = 0x004f, 0x014f


def put(bios: 'Bios', register: int, v: int) -> None:
    """A DISPI register."""
    bios.vga.dispi.write(0x1ce, 16, register)
    bios.vga.dispi.write(0x1cf, 16, v)


def get(bios: 'Bios', register: int) -> int:
    """Reads one."""
    bios.vga.dispi.write(0x1ce, 16, register)
    return bios.vga.dispi.read(0x1cf, 16)


def pitch(width: int, bpp: int) -> int:
    """Bytes of a line, of one plane at 4 bits."""
    return width // 8 if bpp == 4 else width * (-(-bpp // 8))


def vbe(bios: 'Bios', c: Caller) -> None:
    """By AL; AX answers."""
    function = FUNCTIONS.get(c.al)
    c.ax = DONE if function and function(bios, c) else FAILED


def information(bios: 'Bios', c: Caller) -> bool:
    """VbeInfoBlock at ES:DI, 512 bytes for those who ask for VBE2, else 256."""
    long = c.read(c.es, c.di, 4) == b'VBE2'
    modes = b''.join(struct.pack('<H', n) for n in sorted(MODES)) + b'\xff\xff'
    block = struct.pack('<4sHHHIHHH', b'VESA', 0x0200, OEM_PLACE, 0xf000, 1, c.di + 34, c.es, MEMORY >> 16)
    if long: block += struct.pack('<H6H', 1, OEM_PLACE, 0xf000, OEM_PLACE, 0xf000, OEM_PLACE, 0xf000)
    c.write(c.es, c.di, (block.ljust(34, b'\0') + modes).ljust(512 if long else 256, b'\0'))
    return True


def mode_information(bios: 'Bios', c: Caller) -> bool:
    """ModeInfoBlock of mode CX at ES:DI."""
    if c.cx & 0x1ff not in MODES: return False
    width, height, bpp = MODES[c.cx & 0x1ff]
    line, planes = pitch(width, bpp), 4 if bpp == 4 else 1
    model = PLANAR if bpp == 4 else PACKED if bpp == 8 else DIRECT
    frame_buffer = bios.frame_buffer if bpp > 4 else 0
    pages = min(MEMORY // (line * height * planes) - 1, 255)
    attributes = 0x1b | (0x80 if frame_buffer else 0)
    block = struct.pack('<HBBHHHHIH', attributes, 7, 0, 64, 64, 0xa000, 0, 0, line)
    block += struct.pack('<HHBBBBBBBBB', width, height, 8, 16, planes, bpp, 1, model, 0, pages, 1)
    block += bytes(MASKS.get(bpp, (0,) * 8)) + bytes((2 if model == DIRECT else 0,))
    block += struct.pack('<IIH', frame_buffer, 0, 0)
    c.write(c.es, c.di, block.ljust(256, b'\0'))
    return True


def set_mode(bios: 'Bios', c: Caller) -> bool:
    """Mode BX: bit 14 linear frame buffer, bit 15 keeps memory; below 100h a VGA mode."""
    from emu.bios import video
    from emu.bios.modes import MODES as VGA_MODES
    number = c.bx & 0x1ff
    if number < 0x100:
        if number & 0x7f not in VGA_MODES: return False
        video.set_mode(bios, number & 0x7f, not c.bx & 0x8000)
        return True
    if number not in MODES: return False
    width, height, bpp = MODES[number]
    video.set_mode(bios, 0x12 if bpp == 4 else 0x13, False)
    if bpp == 8: video.set_colours(bios, 0, video.palette(0x13))
    for register, v in ((ENABLE, 0), (XRES, width), (YRES, height), (BPP, bpp)): put(bios, register, v)
    put(bios, ENABLE, ENABLED | (LFB if c.bx & 0x4000 else 0) | (KEEP if c.bx & 0x8000 else 0))
    put(bios, BANK, 0)
    bios.vbe_mode = c.bx & 0xc1ff
    return True


def get_mode(bios: 'Bios', c: Caller) -> bool:
    """BX: the mode that is set."""
    c.bx = bios.vbe_mode if get(bios, ENABLE) & ENABLED else bios.get(MODE, 8) & 0x7f
    return True


def window(bios: 'Bios', c: Caller) -> bool:
    """Window A's place in 64 KB: BH 0 sets it to DX, 1 asks."""
    if c.bl or c.bh > 1: return False
    if c.bh: c.dx = get(bios, BANK)
    elif c.dx < MEMORY >> 16: put(bios, BANK, c.dx)
    else: return False
    return True


def line_length(bios: 'Bios', c: Caller) -> bool:
    """Logical lines: BL 0 sets CX dots, 2 CX bytes, 1 asks, 3 asks for the longest; BX bytes, CX dots, DX lines."""
    if c.bl > 3: return False
    bpp = get(bios, BPP)
    each = -(-bpp // 8) if bpp > 4 else 1
    if c.bl == 0: put(bios, VIRT_WIDTH, c.cx)
    elif c.bl == 2: put(bios, VIRT_WIDTH, c.cx // each if bpp > 4 else c.cx * 8)
    width = get(bios, VIRT_WIDTH)
    c.bx, c.cx, c.dx = pitch(width, bpp), width, min(MEMORY // max(pitch(width, bpp), 1), 0xffff)
    return True


def start(bios: 'Bios', c: Caller) -> bool:
    """Where the picture begins: BL 0 or 80h sets CX dots, DX lines; 1 asks."""
    if c.bl & 0x7f == 0:
        put(bios, X_OFFSET, c.cx)
        put(bios, Y_OFFSET, c.dx)
    elif c.bl == 1: c.bh, c.cx, c.dx = 0, get(bios, X_OFFSET), get(bios, Y_OFFSET)
    else: return False
    return True


def dac_width(bios: 'Bios', c: Caller) -> bool:
    """Bits of a colour in the palette: BL 0 sets 6 or 8 (BH), 1 asks."""
    enable = get(bios, ENABLE)
    if c.bl == 0: put(bios, ENABLE, enable & ~0x20 | KEEP | (0x20 if c.bh >= 8 else 0))
    elif c.bl != 1: return False
    c.bh = 8 if get(bios, ENABLE) & 0x20 else 6
    return True


def palette(bios: 'Bios', c: Caller) -> bool:
    """CX colours from DX on, blue green red and a spare byte each, at ES:DI: BL 0 or 80h sets, 1 reads."""
    from emu.bios import video
    count = min(c.cx, 256)
    if c.bl & 0x7f == 0:
        data = c.read(c.es, c.di, 4 * count)
        video.set_colours(bios, c.dl, [tuple(data[n:n + 3][::-1]) for n in range(0, len(data), 4)])
    elif c.bl == 1:
        data = video.get_colours(bios, c.dl, count)
        c.write(c.es, c.di, b''.join(data[n:n + 3][::-1] + b'\0' for n in range(0, len(data), 3)))
    else: return False
    return True


FUNCTIONS = {0: information, 1: mode_information, 2: set_mode, 3: get_mode, 5: window, 6: line_length, 7: start, 8: dac_width, 9: palette}
