"""The VGA by the manual, byte by byte and dot by dot: slow, and written without a look at the fast one (IBM VGA Technical Reference, section 2; FreeVGA).

`Planes` is the memory seen through the graphics controller; `dot` says which colour a place on the screen has. Registers are plain arrays of bytes, as the ports
take them. It shares two simplifications with emu/hw/vga_memory.py: packed chain 4 (address A is plane A & 3 of plane address A >> 2), and `plain`.
"""
from types import SimpleNamespace
from typing import Any

PLANE_SIZE = 0x10000


def registers() -> SimpleNamespace:
    """All zero."""
    return SimpleNamespace(misc=0, seq=[0] * 5, gfx=[0] * 9, crtc=[0] * 25, attr=[0] * 21, attr_index=0, dac=[(0, 0, 0)] * 256, mask=0xff)


def bit(value: int, n: int) -> int:
    return (value >> n) & 1


def plain(r: Any) -> bool:
    """Chain 4 with nothing between CPU and memory: the fast one maps it as RAM, and reads leave the latches alone."""
    return bool(bit(r.seq[4], 3) and r.seq[2] == 15 and r.gfx[8] == 255 and not r.gfx[1] and not r.gfx[3] and not r.gfx[5] & 0x0b)


class Planes:
    """Four planes of 64 KB and four latches."""

    def __init__(self) -> None:
        self.plane = [bytearray(PLANE_SIZE) for _ in range(4)]
        self.latch = [0, 0, 0, 0]

    def window(self, r: Any) -> tuple[int, int]:
        """First address and size; misc bit 1 enables accesses."""
        if not bit(r.misc, 1): return 0, 0
        return [(0xa0000, 0x20000), (0xa0000, 0x10000), (0xb0000, 0x8000), (0xb8000, 0x8000)][r.gfx[6] >> 2 & 3]

    def offset(self, r: Any, physical: int) -> int | None:
        first, size = self.window(r)
        return physical - first if first <= physical < first + size else None

    def place(self, r: Any, offset: int) -> int:
        """The address in the planes."""
        if bit(r.seq[4], 3): return (offset // 4) % PLANE_SIZE
        if bit(r.gfx[6], 1):  # chain odd/even: A0 is replaced, by A16 in the 128 KB window, else by the page bit (0: the upper one)
            wide = (r.gfx[6] >> 2 & 3) == 0
            replaced = bit(offset, 16) if wide else 1 - bit(r.misc, 5)
            offset = offset - offset % 2 + replaced
        return offset % PLANE_SIZE

    def read(self, r: Any, physical: int) -> int | None:
        """A byte, or None where the adapter does not answer."""
        offset = self.offset(r, physical)
        if offset is None: return None
        at = self.place(r, offset)
        if plain(r): return self.plane[offset % 4][at]
        self.latch = [self.plane[p][at] for p in range(4)]
        if bit(r.gfx[5], 3):  # read mode 1
            result = 0
            for n in range(8):
                equal = all(bit(self.latch[p], n) == bit(r.gfx[2], p) for p in range(4) if bit(r.gfx[7], p))
                result |= equal << n
            return result
        if bit(r.seq[4], 3): return self.latch[offset % 4]
        if bit(r.gfx[5], 4): return self.latch[(r.gfx[4] & 2) + offset % 2]
        return self.latch[r.gfx[4] & 3]

    def write(self, r: Any, physical: int, value: int) -> None:
        """A byte."""
        offset = self.offset(r, physical)
        if offset is None: return
        at = self.place(r, offset)
        for p in range(4):
            if not bit(r.seq[2], p): continue
            if bit(r.seq[4], 3):
                if offset % 4 != p: continue
            elif not bit(r.seq[4], 2) and offset % 2 != p % 2: continue
            self.plane[p][at] = self.byte(r, p, value)

    def byte(self, r: Any, p: int, value: int) -> int:
        """What is written to plane p."""
        latch, mode, count = self.latch[p], r.gfx[5] & 3, r.gfx[3] & 7
        rotated = ((value >> count) | (value << (8 - count))) & 0xff
        fill, mask = 0xff if bit(r.gfx[0], p) else 0, r.gfx[8]
        if mode == 1: return latch
        if mode == 0: data = fill if bit(r.gfx[1], p) else rotated
        elif mode == 2: data = 0xff if bit(value, p) else 0
        else: data, mask = fill, mask & rotated
        data = [data, data & latch, data | latch, data ^ latch][r.gfx[3] >> 3 & 3]
        return (data & mask) | (latch & ~mask & 0xff)


# --- the picture ------------------------------------------------------------------------------------------------------------------------------

def colour(r: Any, index: int) -> tuple[int, int, int]:
    """DAC: 6 bits a part, as 8 bits (blue, green, red)."""
    red, green, blue = ((part << 2) | (part >> 4) for part in r.dac[index & r.mask])
    return blue, green, red


def through_palette(r: Any, index: int) -> tuple[int, int, int]:
    """The attribute controller's way for 4 bits."""
    value = r.attr[index & r.attr[0x12] & 15]
    if bit(r.attr[0x10], 7): value = (value & 15) | (r.attr[0x14] & 3) << 4
    return colour(r, value | (r.attr[0x14] >> 2 & 3) << 6)


def size(r: Any) -> tuple[int, int]:
    """Lines and dots on the screen."""
    lines = r.crtc[0x12] + 256 * bit(r.crtc[7], 1) + 512 * bit(r.crtc[7], 6) + 1
    if bit(r.crtc[0x17], 2): lines *= 2
    return lines, (r.crtc[1] + 1) * dots(r) * (2 if bit(r.seq[1], 3) else 1)


def dots(r: Any) -> int:
    """Of a character."""
    return 9 if not bit(r.gfx[6], 0) and not bit(r.seq[1], 0) else 8


def dot(r: Any, planes: list[bytearray], x: int, y: int, frame: int) -> tuple[int, int, int]:
    """The colour at column x of line y in the frame of that number: the CRTC's counters as they would be there."""
    if bit(r.seq[1], 3): x //= 2
    if bit(r.crtc[0x17], 2): y //= 2
    compare = r.crtc[0x18] + 256 * bit(r.crtc[7], 4) + 512 * bit(r.crtc[9], 6)
    height = (r.crtc[9] & 31) + 1
    pan = r.attr[0x13] & 15
    if dots(r) == 9: pan = 0 if pan >= 8 else pan + 1
    else: pan &= 7
    if y > compare:
        count = (y - compare - 1) // (2 if bit(r.crtc[9], 7) else 1)
        start = 0
        if bit(r.attr[0x10], 5): pan = 0
    else:
        count = y // (2 if bit(r.crtc[9], 7) else 1) + min(r.crtc[8] & 31, height - 1)
        start = r.crtc[0x0c] * 256 + r.crtc[0x0d] + (r.crtc[8] >> 5 & 3)
    row_scan = count % height
    x += pan
    cell, inside = divmod(x, dots(r))
    step = cell // 4 if bit(r.crtc[0x14], 5) else cell // 2 if bit(r.crtc[0x17], 3) else cell
    counter = (start + (count // height) * 2 * r.crtc[0x13] + step) % 0x10000
    address = counter
    if not bit(r.crtc[0x14], 6) and not bit(r.crtc[0x17], 6):
        address = (counter * 2) % 0x10000 + bit(counter, 15 if bit(r.crtc[0x17], 5) else 13)
    if not bit(r.crtc[0x17], 0): address = (address & ~0x2000) + 0x2000 * bit(row_scan, 0)
    if not bit(r.crtc[0x17], 1): address = (address & ~0x4000) + 0x4000 * bit(row_scan, 1)
    if not bit(r.gfx[6], 0): return character_dot(r, planes, counter, address, row_scan, inside, frame)
    if bit(r.attr[0x10], 6):
        even = shifted(r, planes, address, inside - inside % 2)
        return colour(r, (even & r.attr[0x12]) << 4 | shifted(r, planes, address, inside - inside % 2 + 1) & r.attr[0x12])
    return through_palette(r, shifted(r, planes, address, inside))


def shifted(r: Any, planes: list[bytearray], address: int, n: int) -> int:
    """The four bits that the shift registers give for the n-th dot of an address."""
    if bit(r.gfx[5], 6):
        byte = planes[n // 2][address]
        return byte >> 4 if n % 2 == 0 else byte & 15
    if bit(r.gfx[5], 5):
        place = 6 - 2 * (n % 4)
        return (planes[n // 4][address] >> place & 3) | (planes[2 + n // 4][address] >> place & 3) << 2
    return sum(bit(planes[p][address], 7 - n) << p for p in range(4))


def character_dot(r: Any, planes: list[bytearray], counter: int, address: int, row_scan: int, inside: int, frame: int) -> tuple[int, int, int]:
    """A dot of a character's cell."""
    code, attribute = planes[0][address], planes[1][address]
    fonts = [0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000]
    a = (r.seq[3] >> 2 & 3) + 4 * bit(r.seq[3], 5)
    b = (r.seq[3] & 3) + 4 * bit(r.seq[3], 4)
    row = planes[2][(fonts[a if bit(attribute, 3) else b] + 32 * code + row_scan) % PLANE_SIZE]
    if inside < 8: ink = bit(row, 7 - inside)
    else: ink = bit(row, 0) if bit(r.attr[0x10], 2) and 0xc0 <= code <= 0xdf else 0
    foreground, background = attribute & 15, attribute >> 4
    if bit(r.attr[0x10], 3):
        background &= 7
        if bit(attribute, 7) and frame // 16 % 2: ink = 0
    if row_scan == r.crtc[0x14] & 31 and attribute & 7 == 1 and attribute >> 4 & 7 == 0: ink = 1
    cursor = counter == r.crtc[0x0e] * 256 + r.crtc[0x0f] and (r.crtc[0x0a] & 31) <= row_scan <= (r.crtc[0x0b] & 31)
    if cursor and not bit(r.crtc[0x0a], 5) and frame // 8 % 2 == 0: ink = 1
    return through_palette(r, foreground if ink else background)
