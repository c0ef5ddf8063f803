"""The VGA's picture, by NumPy: registers, video memory and palette -> pixels.

A mode first gathers, for every scan line, the data that its dots are made of (for text: each cell's glyph row and colours, after blinking, underline and
cursor). Only lines whose data differ from what was drawn last are drawn; everything else that dots depend on (palette, panning, the kind of mode) is the
picture's `key`: when that changes, all are. Memory needs no tracking of writes.

Dots are as the monitor gets them: modes of half the dot clock have every dot twice, double-scanned ones every line, so 320x200 gives 640x400.
Packed chain 4 (vga_memory.py) makes the CRTC's doubleword addresses the address counter itself.
"""
from typing import TYPE_CHECKING, Callable, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.hw.vbe import Dispi
from emu.hw.vga_registers import Registers

if TYPE_CHECKING:
    from emu.hw.vga import Vga

Array = NDArray[np.generic]
NOTHING = (640, 400)  # dots and lines of a screen that is off and has no mode
GLYPHS = '\0☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼'.replace('\0', ' ') + ''.join(map(chr, range(32, 127))) + '⌂' + bytes(range(128, 256)).decode('cp437')
FONTS = tuple((n & 3) << 14 | (n >> 2) << 13 for n in range(8))  # where a character map begins in plane 2
CURSOR_FRAMES, BLINK_FRAMES = 8, 16  # half a period of the cursor and of blinking characters


def spread(each: Callable[[int, int], int], count: int, words: str) -> Array:
    """For each byte the `count` dots that it is, as bytes of one integer."""
    return np.array([[each(byte, k) for k in range(count)] for byte in range(256)], np.uint8).view(words)[:, 0]


BITS = spread(lambda byte, k: byte >> 7 - k & 1, 8, '<u8')  # planar: 8 dots of a bit
PAIRS = spread(lambda byte, k: byte >> 6 - 2 * k & 3, 4, '<u4')  # CGA: 4 dots of 2 bits
NIBBLES = spread(lambda byte, k: byte >> 4 - 4 * k & 15, 2, '<u2')
CELLS = {8: np.array([[-(row >> 7 - k & 1) & 0xff for k in range(8)] for row in range(256)], np.uint8),  # a glyph's row: masks of 8 or 9 dots
         9: np.array([[-(row >> 8 - k & 1) & 0xff for k in range(9)] for row in range(512)], np.uint8)}


def direct(green: int) -> NDArray[np.uint32]:
    """The colour of each 16-bit pixel with so many bits of green; the high bits are repeated below the low ones, so that all ones is white."""
    v = np.arange(65536, dtype=np.uint32)
    parts = (v >> 5 + green & 31, 5), (v >> 5 & (1 << green) - 1, green), (v & 31, 5)
    red, green_, blue = (part << 8 - bits | part >> 2 * bits - 8 for part, bits in parts)
    return np.asarray(red << 16 | green_ << 8 | blue, np.uint32)


DIRECT = {15: direct(5), 16: direct(6)}


class Frame(NamedTuple):
    """`pixels`: (lines, dots, 4) bytes: blue, green, red, 0; `changed`: ranges (first line, end) that are new since the last update; `resized`: all is new."""

    pixels: NDArray[np.uint8]
    changed: list[tuple[int, int]]
    resized: bool


class Picture(NamedTuple):
    """What is to be seen: `lines` is what dots depend on, a row for each scan line (or pair of them: `double`), `draw` makes a choice of rows into colours."""

    key: tuple[object, ...]
    width: int
    lines: Array
    draw: Callable[[NDArray[np.bool_]], Array]
    double: bool = False


class Screen:
    """One viewer: it knows what it saw last."""

    def __init__(self, vga: 'Vga'):
        self.vga = vga
        self.key: tuple[object, ...] = ()
        self.lines: Array = np.zeros((0, 0))
        self.pixels = np.zeros((0, 0), '<u4')

    def update(self) -> Frame:
        """The screen as it is now."""
        picture = compose(self.vga)
        count = len(picture.lines)
        size = count << picture.double, picture.width
        resized = self.pixels.shape != size
        if resized: self.pixels = np.zeros(size, '<u4')
        same = self.key == picture.key and self.lines.shape == picture.lines.shape and self.lines.dtype == picture.lines.dtype
        new = differing(picture.lines, self.lines) if same and not resized else np.ones(count, bool)
        if new.any():
            drawn = picture.draw(new)
            if picture.double:
                self.pixels[0::2][new] = drawn
                self.pixels[1::2][new] = drawn
            else: self.pixels[new] = drawn
            if same and not resized: self.lines[new] = picture.lines[new]
            else: self.lines = picture.lines.copy()
        self.key = picture.key
        return Frame(self.pixels.view(np.uint8).reshape(*size, 4), ranges(new, picture.double), resized)


def differing(a: Array, b: Array) -> NDArray[np.bool_]:
    """Which rows are not the same."""
    if a.dtype == np.uint8 and a.shape[1] % 8 == 0 and a.strides[0] % 8 == 0 and a.strides[1] == 1: a, b = a.view(np.uint64), b.view(np.uint64)
    return np.asarray((a != b).any(axis=1))


def ranges(rows: NDArray[np.bool_], double: bool) -> list[tuple[int, int]]:
    """Runs of rows that are set."""
    edges = np.flatnonzero(np.diff(rows.astype(np.int8), prepend=0, append=0)) << int(double)
    return list(zip(edges[0::2].tolist(), edges[1::2].tolist()))


def compose(vga: 'Vga') -> Picture:
    """The picture that the registers ask for."""
    r, dispi = vga.registers, vga.dispi
    if not r.shown() or not dispi.enabled and not r.crtc[0x17] & 0x80: return black(r, dispi)
    if dispi.enabled and dispi.bpp > 4: return packed(vga)
    if dispi.enabled or r.graphics_mode(): return planar(vga)
    return characters(vga)


def black(r: Registers, dispi: Dispi) -> Picture:
    """No picture, of the mode's size where there is one."""
    if dispi.enabled: width, height = dispi.width, dispi.height
    elif r.columns() < 20 or r.lines() < 100: width, height = NOTHING
    else: width, height = r.columns() * cell_width(r) << half_clock(r), r.lines() << (r.crtc[0x17] >> 2 & 1)
    return Picture(('black',), width, np.zeros((height, 1), np.uint8), lambda rows: np.zeros((int(rows.sum()), width), '<u4'))


# --- colours -------------------------------------------------------------------------------------------------------------------------------

def dac_colours(r: Registers, dispi: Dispi) -> NDArray[np.uint32]:
    """The 256 colours behind the mask, as 00RRGGBB."""
    dac = r.dac[np.arange(256) & r.dac_mask].astype(np.uint32)
    if not dispi.wide_dac: dac = (dac & 0x3f) << 2 | dac >> 4 & 3
    return dac[:, 0] << 16 | dac[:, 1] << 8 | dac[:, 2]


def colours16(r: Registers, dispi: Dispi) -> NDArray[np.uint32]:
    """The 16 colours of the attribute controller: plane enable, palette register, colour select, DAC."""
    index = np.frombuffer(bytes(r.attribute[:16]), np.uint8)[np.arange(16) & r.attribute[0x12]] & 0x3f
    if r.attribute[0x10] & 0x80: index = index & 0x0f | (r.attribute[0x14] & 3) << 4
    return dac_colours(r, dispi)[index | (r.attribute[0x14] & 0x0c) << 4]


# --- the CRTC --------------------------------------------------------------------------------------------------------------------------------

class Scan(NamedTuple):
    """For each scan line: where the address counter begins, the row scan counter, the dots that are panned off."""

    address: NDArray[np.int64]
    row: NDArray[np.int64]
    pan: NDArray[np.int64]


def half_clock(r: Registers) -> int:
    """1: every dot is shown twice."""
    return r.sequencer[1] >> 3 & 1


def cell_width(r: Registers) -> int:
    """Dots of a character."""
    return 8 if r.sequencer[1] & 1 or r.graphics_mode() else 9


def panning(r: Registers) -> int:
    """Dots that horizontal PEL panning takes off the left side; with 9 dots 8 means none."""
    pan = r.attribute[0x13] & 15
    if cell_width(r) == 9: return 0 if pan > 7 else pan + 1
    return pan & 7


def scan(r: Registers) -> Scan:
    """The CRTC's counters over a frame: start address, preset row scan, byte panning; below line compare everything starts over at 0."""
    c = r.crtc
    y = np.arange(r.lines(), dtype=np.int64)
    below = y > r.line_compare()
    height, double = (c[9] & 31) + 1, c[9] >> 7
    t = np.where(below, (y - r.line_compare() - 1) >> double, (y >> double) + min(c[8] & 31, height - 1))
    start = r.start() + (c[8] >> 5 & 3)
    address = np.where(below, 0, start) + t // height * (2 * c[0x13])
    pan = np.where(below & bool(r.attribute[0x10] & 0x20), 0, panning(r))
    return Scan(address, t % height, pan)


def counters(r: Registers, s: Scan, count: int) -> NDArray[np.int64]:
    """The address counter for `count` characters of each line."""
    by = 2 if r.crtc[0x14] & 0x20 else 1 if r.crtc[0x17] & 8 else 0
    return s.address[:, None] + (np.arange(count) >> by) & 0xffff


def addresses(r: Registers, s: Scan, counter: NDArray[np.int64]) -> NDArray[np.int64]:
    """CRTC mode control: bytes, words or doublewords; row scan bits in place of address bits 13 and 14 (CGA's and Hercules's interleaving)."""
    mode = r.crtc[0x17]
    a = counter
    if not r.crtc[0x14] & 0x40 and not mode & 0x40: a = counter << 1 & 0xffff | counter >> (15 if mode & 0x20 else 13) & 1
    if not mode & 1: a = a & ~0x2000 | (s.row[:, None] & 1) << 13
    if not mode & 2: a = a & ~0x4000 | (s.row[:, None] & 2) << 13
    return a


def panned(dots: Array, pan: NDArray[np.int64], width: int) -> Array:
    """`width` dots of each line, after those that are panned off."""
    first = int(pan[0]) if len(pan) else 0
    if (pan == first).all(): return dots[:, first:first + width]
    return np.take_along_axis(dots, pan[:, None] + np.arange(width), axis=1)


# --- modes -----------------------------------------------------------------------------------------------------------------------------------

def characters(vga: 'Vga') -> Picture:
    """Text. A cell is its glyph's row (9 bits), foreground << 16 and background << 20."""
    r, width = vga.registers, cell_width(vga.registers)
    s, columns, frames = scan(r), r.columns(), vga.now() // r.timing().frame
    counter = counters(r, s, columns + 1)
    words = vga.memory.words[addresses(r, s, counter)]
    character, attribute = words & 0xff, words >> 8 & 0xff
    select = r.sequencer[3]
    first, second = FONTS[select >> 2 & 3 | select >> 3 & 4], FONTS[select & 3 | select >> 2 & 4]
    font = np.where(attribute & 8, np.uint32(first), np.uint32(second)) + (character << 5) + s.row.astype(np.uint32)[:, None]
    cell = vga.memory.planes[font & 0xffff, 2].astype(np.uint32)
    foreground, background = attribute & 15, attribute >> 4
    if r.attribute[0x10] & 8:
        background = background & 7
        if frames // BLINK_FRAMES & 1: cell = np.where(attribute & 0x80, np.uint32(0), cell)
    if width == 9:
        line_graphics = (character & 0xe0 == 0xc0) & bool(r.attribute[0x10] & 4)
        cell = cell << 1 | cell & line_graphics
    full = np.uint32((1 << width) - 1)
    if (under := s.row == r.crtc[0x14] & 31).any(): cell = np.where((attribute & 0x77 == 1) & under[:, None], full, cell)
    if not r.crtc[0x0a] & 0x20 and not frames // CURSOR_FRAMES & 1:
        inside = (s.row >= (r.crtc[0x0a] & 31)) & (s.row <= (r.crtc[0x0b] & 31))
        cell = np.where(inside[:, None] & (counter == (r.crtc[0x0e] << 8 | r.crtc[0x0f])), full, cell)
    lines = cell | foreground << 16 | background << 20
    palette, masks, dots = colours16(r, vga.dispi), CELLS[width], columns * width

    def draw(rows: NDArray[np.bool_]) -> Array:
        chosen = lines[rows]
        ink, paper = (chosen >> 16 & 15).astype(np.uint8)[..., None], (chosen >> 20 & 15).astype(np.uint8)[..., None]
        index = paper ^ (ink ^ paper) & masks[chosen & 0x1ff]
        return doubled(palette[panned(index.reshape(len(chosen), -1), s.pan[rows], dots)], half_clock(r))

    key = 'text', width, half_clock(r), s.pan.tobytes(), palette.tobytes()
    return Picture(key, dots << half_clock(r), lines, draw, bool(r.crtc[0x17] & 4))


def planar(vga: 'Vga') -> Picture:
    """Graphics through the shift registers: 4 planes, CGA's pairs, or nibbles; the attribute controller takes 4 bits a dot, or 8 for two."""
    r, dispi = vga.registers, vga.dispi
    if dispi.enabled:
        y = np.arange(dispi.height, dtype=np.int64)
        s = Scan(dispi.start + y * dispi.pitch, y * 0, y * 0 + dispi.pan)
        columns = dispi.width + 7 >> 3
        words = vga.memory.words[s.address[:, None] + np.arange(columns + 1) & (len(vga.memory.words) - 1)]
        half, double, shift, pairs, dots = 0, False, 0, False, dispi.width
    else:
        s, columns = scan(r), r.columns()
        words = vga.memory.words[addresses(r, s, counters(r, s, columns + 1))]
        half, double, shift, pairs, dots = half_clock(r), bool(r.crtc[0x17] & 4), r.graphics[5] >> 5 & 3, bool(r.attribute[0x10] & 0x40), columns * 8
    palette = dac_colours(r, dispi) if pairs else colours16(r, dispi)
    enable = (r.attribute[0x12] & 15) * 0x11 if pairs else 15  # bits 4 and 5 are the diagnostic multiplexer's

    def draw(rows: NDArray[np.bool_]) -> Array:
        planes = words[rows].view(np.uint8).reshape(int(rows.sum()), columns + 1, 4)
        if shift >= 2 and pairs: index = planes.repeat(2, axis=2)
        elif shift >= 2: index = NIBBLES[planes].view(np.uint8)
        elif shift: index = (PAIRS[planes[..., :2]] | PAIRS[planes[..., 2:]] << np.uint32(2)).view(np.uint8)
        else:
            one, two, four, eight = (BITS[planes[..., n]] for n in range(4))
            index = (one | two << np.uint64(1) | four << np.uint64(2) | eight << np.uint64(3)).view(np.uint8)
        index = index.reshape(len(planes), -1)
        if pairs and shift < 2: index = (index[:, 0::2] << 4 | index[:, 1::2]).repeat(2, axis=1)
        return doubled(palette[panned(index & enable, s.pan[rows], dots)], half)

    key = 'planar', half, shift, pairs, enable, s.pan.tobytes(), palette.tobytes()
    return Picture(key, dots << half, words, draw, double)


def doubled(dots: Array, half: int) -> Array:
    """Every dot twice at half the dot clock."""
    return dots.repeat(2, axis=1) if half else dots


def packed(vga: 'Vga') -> Picture:
    """The VBE's modes of 8 to 32 bits a pixel: lines of bytes in memory."""
    r, dispi = vga.registers, vga.dispi
    bpp, memory, size = dispi.bpp, vga.memory.bytes, dispi.line(dispi.width)
    at, end = dispi.start, dispi.start + (dispi.height - 1) * dispi.pitch + size
    if end <= len(memory): lines = np.lib.stride_tricks.as_strided(memory[at:end], (dispi.height, size), (dispi.pitch, 1), writeable=False)
    else: lines = memory[(at + np.arange(dispi.height)[:, None] * dispi.pitch + np.arange(size)) % len(memory)]
    palette = dac_colours(r, dispi)

    def draw(rows: NDArray[np.bool_]) -> Array:
        data = lines[rows]
        if bpp == 8: return palette[data]
        if bpp == 32: return data.view('<u4') & np.uint32(0xffffff)
        if bpp != 24: return DIRECT[bpp][data.view('<u2')]
        pixels = np.zeros((len(data), dispi.width, 4), np.uint8)
        pixels[..., :3] = data.reshape(len(data), -1, 3)
        return pixels.view('<u4')[..., 0]

    return Picture((bpp, dispi.width, palette.tobytes() if bpp == 8 else None), dispi.width, lines, draw)


# --- text ------------------------------------------------------------------------------------------------------------------------------------

def text(vga: 'Vga') -> str:
    """The rows of a text mode in Unicode; '' in graphics modes and where there is no mode."""
    r = vga.registers
    if vga.dispi.enabled or r.graphics_mode() or not r.crtc[0x17] & 0x80: return ''
    s = scan(r)
    first = np.flatnonzero(np.diff(s.address, prepend=-1) != 0)  # the first scan line of each row
    s = Scan(s.address[first], s.row[first], s.pan[first])
    rows = vga.memory.words[addresses(r, s, counters(r, s, r.columns()))] & 0xff
    return '\n'.join(''.join(GLYPHS[c] for c in row).rstrip() for row in rows.tolist())
