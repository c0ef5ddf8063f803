"""INT 10h: the screen (IBM Personal System/2 and PC BIOS Interface Technical Reference, "Interrupt 10H"); VBE is in vbe.py.

Modes and colours are set through the VGA's ports, as any program would; characters and dots go to its memory directly. State is in the BIOS data area,
where programs look. Left out: light pen (04h), saving and restoring of the state (1Ch), and in 11h fonts for other than the active mode.
"""
from typing import TYPE_CHECKING

import numpy as np

from emu.bios.caller import Caller
from emu.bios.modes import CGA, MODES, MONO, PACKED, PLANAR, TEXT, Mode, palette
from emu.bios.vbe import vbe

if TYPE_CHECKING:
    from emu.bios import Bios

# The BIOS data area, from 400h on
MODE, COLUMNS, PAGE_SIZE, PAGE_START, CURSORS, SHAPE, PAGE, CRTC = 0x449, 0x44a, 0x44c, 0x44e, 0x450, 0x460, 0x462, 0x463
MODE_REGISTER, COLOUR_REGISTER, ROWS, HEIGHT, CONTROL, SWITCHES, FLAGS, COMBINATION = 0x465, 0x466, 0x484, 0x485, 0x487, 0x488, 0x489, 0x48a
FONT_8X16, FONT_8X14, FONT_8X8 = 0x8000, 0x9000, 0x9e00  # offsets in the ROM, of 256 characters each
FONT_LOW = 0xfa6e  # the first 128 of 8x8
FONTS = {16: FONT_8X16, 14: FONT_8X14, 8: FONT_8X8}
ROM = 0xf000
VGA_COLOUR = 8  # display combination code
BELL, BACKSPACE, LINE_FEED, RETURN = 7, 8, 10, 13


def service(bios: 'Bios', c: Caller) -> None:
    """INT 10h by AH; what is not known changes nothing."""
    if bios.vga is None: return
    function = FUNCTIONS.get(c.ah)
    if function: function(bios, c)


def current(bios: 'Bios') -> Mode:
    """The mode that is set."""
    return MODES.get(bios.get(MODE, 8) & 0x7f, MODES[3])


# --- modes -------------------------------------------------------------------------------------------------------------------------

def set_mode(bios: 'Bios', number: int, clear: bool = True) -> None:
    """Sets a mode as 00h does: registers, colours, font, data area."""
    mode = MODES[number]
    bios.vga.dispi.write(0x1ce, 16, 4)
    bios.vga.dispi.write(0x1cf, 16, 0)
    crtc = 0x3d4 if mode.misc & 1 else 0x3b4
    out = bios.out
    out(0x3c2, mode.misc)
    for n, v in enumerate((3, *mode.sequencer)): indexed(bios, 0x3c4, n, v)
    indexed(bios, crtc, 0x11, 0)  # unlocks registers 0 to 7
    for n, v in enumerate(mode.crtc): indexed(bios, crtc, n, v)
    for n, v in enumerate(mode.graphics): indexed(bios, 0x3ce, n, v)
    bios.inp(crtc + 6)
    for n, v in enumerate(mode.attribute):
        out(0x3c0, n)
        out(0x3c0, v)
    out(0x3c0, 0x14)
    out(0x3c0, 0)
    out(0x3c0, 0x20)
    out(0x3c6, 0xff)
    if not bios.get(FLAGS, 8) & 8: set_colours(bios, 0, palette(number))
    planes = bios.vga.memory.planes
    if clear: planes[:0x10000] = (0x20, 7, 0, 0) if mode.kind == TEXT else (0, 0, 0, 0)
    if mode.kind == TEXT: load_font(bios, bios.font(16), 0, 16, 0)
    for at, w, v in ((MODE, 8, number), (COLUMNS, 16, mode.columns), (PAGE_SIZE, 16, mode.page_size), (PAGE_START, 16, 0), (SHAPE, 16, 0x0607 if mode.height == 8 else 0x0d0e),
                     (PAGE, 8, 0), (CRTC, 16, crtc), (ROWS, 8, mode.rows - 1), (HEIGHT, 16, mode.height), (COLOUR_REGISTER, 8, 0x30),
                     (MODE_REGISTER, 8, 0x29)): bios.put(at, w, v)
    for page in range(8): bios.put(CURSORS + 2 * page, 16, 0)
    bios.vector(0x43, ROM, FONTS[mode.height])
    bios.vector(0x1f, ROM, FONT_8X8 + 1024)
    show_cursor(bios)


def indexed(bios: 'Bios', port: int, n: int, v: int) -> None:
    """A register behind an index port."""
    bios.out(port, n)
    bios.out(port + 1, v)


def set_colours(bios: 'Bios', first: int, colours: list[tuple[int, ...]]) -> None:
    """DAC registers from `first` on."""
    bios.out(0x3c8, first)
    for colour in colours:
        for part in colour: bios.out(0x3c9, part)


def get_colours(bios: 'Bios', first: int, count: int) -> bytes:
    """DAC registers."""
    bios.out(0x3c7, first)
    return bytes(bios.inp(0x3c9) for _ in range(3 * count))


def load_font(bios: 'Bios', data: bytes, first: int, height: int, bank: int) -> None:
    """Characters from `first` on into plane 2; banks are at 0, 16K, 32K, 48K and between."""
    base = ((bank & 3) << 14) + ((bank & 4) << 11)
    glyphs = np.frombuffer(data, np.uint8).reshape(-1, height)
    slots = bios.vga.memory.planes[base:base + 8192, 2].reshape(256, 32)
    slots[first:first + len(glyphs), :height] = glyphs[:256 - first]


def mode_00(bios: 'Bios', c: Caller) -> None:
    """Set the mode; bit 7: memory stays as it is."""
    number = c.al & 0x7f
    if number not in MODES: return
    set_mode(bios, number, not c.al & 0x80)
    bios.put(CONTROL, 8, bios.get(CONTROL, 8) & 0x7f | c.al & 0x80)
    c.al = 0x20 if number > 7 else 0x3f if number == 6 else 0x30


def mode_0f(bios: 'Bios', c: Caller) -> None:
    """Which mode is set: AL mode, AH columns, BH page."""
    c.al, c.ah, c.bh = bios.get(MODE, 8) & 0x7f | bios.get(CONTROL, 8) & 0x80, bios.get(COLUMNS, 16), bios.get(PAGE, 8)


# --- cursor and pages ----------------------------------------------------------------------------------------------------------------

def cursor(bios: 'Bios', page: int) -> tuple[int, int]:
    """Row and column."""
    place = bios.get(CURSORS + 2 * (page & 7), 16)
    return place >> 8, place & 0xff


def move_cursor(bios: 'Bios', page: int, row: int, column: int) -> None:
    """Moves the cursor of a page, and the one that is seen if that page is shown."""
    bios.put(CURSORS + 2 * (page & 7), 16, (row & 0xff) << 8 | column & 0xff)
    if page == bios.get(PAGE, 8): show_cursor(bios)


def show_cursor(bios: 'Bios') -> None:
    """Puts the CRTC's cursor where the data area says."""
    crtc, page = bios.get(CRTC, 16), bios.get(PAGE, 8)
    row, column = cursor(bios, page)
    at = bios.get(PAGE_START, 16) // 2 + row * bios.get(COLUMNS, 16) + column
    for n, v in ((0x0e, at >> 8), (0x0f, at)): indexed(bios, crtc, n, v & 0xff)


def cursor_01(bios: 'Bios', c: Caller) -> None:
    """Shape: CH first line, CL last; given for 8 lines it is scaled to the font's."""
    bios.put(SHAPE, 16, c.cx)
    first, last, height = c.ch & 0x3f, c.cl & 0x1f, bios.get(HEIGHT, 16)
    if height > 8 and not bios.get(CONTROL, 8) & 1 and max(first, last) < 8: first, last = (v if v < 4 else height + v - 9 for v in (first, last))
    indexed(bios, bios.get(CRTC, 16), 0x0a, first)
    indexed(bios, bios.get(CRTC, 16), 0x0b, last)


def cursor_02(bios: 'Bios', c: Caller) -> None:
    """Position: DH row, DL column, BH page."""
    move_cursor(bios, c.bh, c.dh, c.dl)


def cursor_03(bios: 'Bios', c: Caller) -> None:
    """Position and shape."""
    c.dh, c.dl = cursor(bios, c.bh)
    c.cx = bios.get(SHAPE, 16)


def page_05(bios: 'Bios', c: Caller) -> None:
    """Show page AL."""
    mode, page = current(bios), c.al
    if page >= mode.pages: return
    start = page * bios.get(PAGE_SIZE, 16)
    bios.put(PAGE, 8, page)
    bios.put(PAGE_START, 16, start)
    place = start // 2 if mode.kind == TEXT else start
    for n, v in ((0x0c, place >> 8), (0x0d, place)): indexed(bios, bios.get(CRTC, 16), n, v & 0xff)
    show_cursor(bios)


# --- characters in memory: cells of text modes, dots of graphics modes -----------------------------------------------------------------

def cells(bios: 'Bios', page: int) -> np.ndarray:
    """The character and attribute bytes of a page: rows x columns x (even plane, odd plane)."""
    columns, rows = bios.get(COLUMNS, 16), bios.get(ROWS, 8) + 1
    start = page * bios.get(PAGE_SIZE, 16)
    planes = bios.vga.memory.planes[start:start + 2 * columns * rows:2]
    return planes[:, :2].reshape(rows, columns, 2)


def dots(bios: 'Bios', page: int) -> np.ndarray:
    """A graphics mode's dots as colours, lines x dots: a copy."""
    mode = current(bios)
    memory = bios.vga.memory
    lines, width = mode.rows * mode.height, mode.columns * 8
    if mode.kind == PACKED: return memory.bytes[:lines * width].reshape(lines, width).copy()
    if mode.kind == PLANAR:
        start = page * mode.page_size
        planes = memory.planes[start:start + lines * width // 8].reshape(lines, -1, 4)
        bits = np.stack([np.unpackbits(planes[:, :, k], axis=1) for k in range(4)], axis=2)
        return bits @ np.array([1, 2, 4, 8], np.uint8)
    data = interleaved(bios).reshape(lines, -1)
    if mode.kind == MONO: return np.unpackbits(data, axis=1)
    return np.stack([data >> shift & 3 for shift in (6, 4, 2, 0)], axis=2).reshape(lines, -1)


def interleaved(bios: 'Bios') -> np.ndarray:
    """The 200 lines of 80 bytes of CGA's modes, even ones at B8000h, odd ones at BA000h: a copy."""
    planes = bios.vga.memory.planes
    window = planes[:0x4000, 0] if current(bios).kind == MONO else planes[0:0x4000:2, :2].reshape(-1)
    return np.stack([window[:8000].reshape(100, 80), window[0x2000:0x2000 + 8000].reshape(100, 80)], axis=1).reshape(200, 80)


def put_dots(bios: 'Bios', page: int, x: int, y: int, block: np.ndarray) -> None:
    """Writes a block of colours at (x, y); x and its width are multiples of 8 in all but 256 colours."""
    mode, memory = current(bios), bios.vga.memory
    lines, width = mode.rows * mode.height, mode.columns * 8
    block = block[:max(lines - y, 0), :max(width - x, 0)]
    if mode.kind == PACKED:
        memory.bytes[:lines * width].reshape(lines, width)[y:y + block.shape[0], x:x + block.shape[1]] = block
    elif mode.kind == PLANAR:
        start, first, count = page * mode.page_size, x // 8, -(-block.shape[1] // 8)
        planes = memory.planes[start:start + lines * width // 8].reshape(lines, width // 8, 4)
        for k in range(4): planes[y:y + block.shape[0], first:first + count, k] = np.packbits(block >> k & 1, axis=1)
    else:
        if mode.kind == MONO: packed = np.packbits(block & 1, axis=1)
        else: packed = (block.reshape(block.shape[0], -1, 4) @ np.array([64, 16, 4, 1])).astype(np.uint8)
        first = x * (1 if mode.kind == MONO else 2) // 8
        for k, row in enumerate(packed):
            at = (y + k >> 1) * 80 + (y + k & 1) * 0x2000 + first
            for n, value in enumerate(row.tolist()):
                if mode.kind == MONO: memory.planes[at + n, 0] = value
                else: memory.planes[at + n & ~1, at + n & 1] = value


def put_character(bios: 'Bios', page: int, row: int, column: int, character: int, colour: int, keep: bool) -> None:
    """Writes a character; keep: with the attribute that is there. In graphics bit 7 of the colour draws by exclusive or."""
    mode = current(bios)
    if mode.kind == TEXT:
        page_cells = cells(bios, page)
        if row < page_cells.shape[0] and column < page_cells.shape[1]:
            page_cells[row, column, 0] = character
            if not keep: page_cells[row, column, 1] = colour
        return
    height = bios.get(HEIGHT, 16)
    glyph = np.unpackbits(np.frombuffer(bios.glyph(character, height), np.uint8).reshape(-1, 1), axis=1)
    if mode.kind == PACKED: block = np.where(glyph, colour, 0).astype(np.uint8)
    else:
        block = glyph * (colour & (15 if mode.kind == PLANAR else 3 if mode.kind == CGA else 1))
        if colour & 0x80: block ^= dots(bios, page)[row * height:(row + 1) * height, column * 8:column * 8 + 8]
    put_dots(bios, page, column * 8, row * height, block)


def scroll(bios: 'Bios', page: int, lines: int, colour: int, window: tuple[int, int, int, int], down: bool) -> None:
    """Moves a window (top, left, bottom, right) by rows; 0 or too many: clears it."""
    mode = current(bios)
    top, left, bottom, right = window
    bottom, right = min(bottom, bios.get(ROWS, 8)), min(right, bios.get(COLUMNS, 16) - 1)
    if top > bottom or left > right: return
    count = bottom - top + 1
    lines = count if lines == 0 or lines > count else lines
    if mode.kind == TEXT:
        part = cells(bios, page)[top:bottom + 1, left:right + 1]
        fill: np.ndarray | int = np.array([0x20, colour], np.uint8)
    else:
        height = bios.get(HEIGHT, 16)
        part = dots(bios, page)[top * height:(bottom + 1) * height, left * 8:(right + 1) * 8].reshape(count, height, -1)
        fill = colour & (15 if mode.kind == PLANAR else 0xff if mode.kind == PACKED else 3 if mode.kind == CGA else 1)
    if down:
        part[lines:] = part[:count - lines].copy()
        part[:lines] = fill
    else:
        part[:count - lines] = part[lines:].copy()
        part[count - lines:] = fill
    if mode.kind != TEXT: put_dots(bios, page, left * 8, top * bios.get(HEIGHT, 16), part.reshape(-1, part.shape[-1]))


def scroll_06(bios: 'Bios', c: Caller) -> None:
    """Up (06h) or down (07h) by AL rows; BH fills; CH, CL to DH, DL."""
    scroll(bios, bios.get(PAGE, 8), c.al, c.bh, (c.ch, c.cl, c.dh, c.dl), c.ah == 7)


def read_08(bios: 'Bios', c: Caller) -> None:
    """Character and attribute at the cursor; in graphics the character whose dots are there."""
    row, column = cursor(bios, c.bh)
    mode = current(bios)
    if mode.kind == TEXT:
        page = cells(bios, c.bh)
        if row < page.shape[0] and column < page.shape[1]: c.al, c.ah = int(page[row, column, 0]), int(page[row, column, 1])
        return
    height = bios.get(HEIGHT, 16)
    block = dots(bios, c.bh)[row * height:(row + 1) * height, column * 8:column * 8 + 8]
    rows = np.packbits(block != 0, axis=1).tobytes()
    c.al = next((n for n in range(256) if bios.glyph(n, height) == rows), 0)
    c.ah = int(block.max(initial=0))


def write_09(bios: 'Bios', c: Caller) -> None:
    """CX times character AL at the cursor, attribute BL (09h) or the one that is there (0Ah)."""
    row, column = cursor(bios, c.bh)
    columns = bios.get(COLUMNS, 16)
    mode = current(bios)
    if mode.kind == TEXT:
        page, start = cells(bios, c.bh), row * columns + column
        for n in range(start, min(start + c.cx, page.shape[0] * columns)):
            page[n // columns, n % columns, 0] = c.al
            if c.ah == 9: page[n // columns, n % columns, 1] = c.bl
        return
    for n in range(min(c.cx, columns - column)): put_character(bios, c.bh, row, column + n, c.al, c.bl, c.ah == 10)


def teletype(bios: 'Bios', character: int, page: int, colour: int) -> None:
    """Writes as a terminal does: CR, LF, BS and BEL act, the last row scrolls."""
    row, column = cursor(bios, page)
    if character == BELL: return
    if character == BACKSPACE: column = max(column - 1, 0)
    elif character == RETURN: column = 0
    elif character == LINE_FEED: row += 1
    else:
        put_character(bios, page, row, column, character, colour, True)
        column += 1
    if column >= bios.get(COLUMNS, 16): row, column = row + 1, 0
    last = bios.get(ROWS, 8)
    if row > last:
        attribute = int(cells(bios, page)[last, 0, 1]) if current(bios).kind == TEXT else 0
        scroll(bios, page, 1, attribute, (0, 0, last, 255), False)
        row = last
    move_cursor(bios, page, row, column)


def teletype_0e(bios: 'Bios', c: Caller) -> None:
    """Character AL in colour BL (graphics only) on the page that is shown."""
    teletype(bios, c.al, bios.get(PAGE, 8), c.bl)


def string_13(bios: 'Bios', c: Caller) -> None:
    """A string ES:BP of CX characters at DH, DL; AL bit 0: the cursor follows; bit 1: each character has its attribute."""
    page, before = c.bh, cursor(bios, c.bh)
    step = 2 if c.al & 2 else 1
    data = c.read(c.es, c.bp, min(c.cx, 0x4000) * step)
    row, column = c.dh, c.dl
    move_cursor(bios, page, row, column)
    for n in range(0, len(data), step):
        if data[n] not in (BELL, BACKSPACE, RETURN, LINE_FEED):
            put_character(bios, page, *cursor(bios, page), data[n], data[n + 1] if step == 2 else c.bl, False)
        teletype(bios, data[n], page, data[n + 1] if step == 2 else c.bl)
    if not c.al & 1: move_cursor(bios, page, *before)


# --- dots, colours, fonts, and what there is -------------------------------------------------------------------------------------------

def dot_0c(bios: 'Bios', c: Caller) -> None:
    """Write dot CX, DX in colour AL; bit 7: exclusive or."""
    mode = current(bios)
    if mode.kind == TEXT or c.dx >= mode.rows * mode.height or c.cx >= mode.columns * 8: return
    x = c.cx & ~7
    block = dots(bios, c.bh)[c.dx:c.dx + 1, x:x + 8]
    deep = mode.kind == PACKED
    block[0, c.cx & 7] = c.al if deep else block[0, c.cx & 7] ^ c.al & 15 if c.al & 0x80 else c.al & 15
    put_dots(bios, c.bh, x, c.dx, block)


def dot_0d(bios: 'Bios', c: Caller) -> None:
    """Read a dot into AL."""
    mode = current(bios)
    if mode.kind != TEXT and c.dx < mode.rows * mode.height and c.cx < mode.columns * 8: c.al = int(dots(bios, c.bh)[c.dx, c.cx])


def colour_0b(bios: 'Bios', c: Caller) -> None:
    """CGA's background (BH 0) and palette (BH 1), by the attribute controller."""
    if c.bh == 0:
        attribute(bios, 0x11, c.bl & 0x1f | (c.bl & 8) << 1)
        if current(bios).kind in (CGA, MONO): attribute(bios, 0, c.bl & 7 | (c.bl & 8) << 1)
    else:
        for n in (1, 2, 3): attribute(bios, n, 0x10 | n << 1 | c.bl & 1)


def attribute(bios: 'Bios', n: int, v: int) -> None:
    """An attribute register; the screen stays on."""
    bios.inp(bios.get(CRTC, 16) + 6)
    bios.out(0x3c0, n)
    bios.out(0x3c0, v)
    bios.out(0x3c0, 0x20)


def get_attribute(bios: 'Bios', n: int) -> int:
    """Reads one."""
    bios.inp(bios.get(CRTC, 16) + 6)
    bios.out(0x3c0, n)
    v = bios.inp(0x3c1)
    bios.inp(bios.get(CRTC, 16) + 6)
    bios.out(0x3c0, 0x20)
    return v


def palette_10(bios: 'Bios', c: Caller) -> None:
    """Palette, overscan and DAC registers."""
    match c.al:
        case 0x00: attribute(bios, c.bl & 0x1f, c.bh)
        case 0x01: attribute(bios, 0x11, c.bh)
        case 0x02:
            data = c.read(c.es, c.dx, 17)
            for n in range(16): attribute(bios, n, data[n])
            attribute(bios, 0x11, data[16])
        case 0x03: attribute(bios, 0x10, get_attribute(bios, 0x10) & ~8 | (c.bl & 1) << 3)
        case 0x07: c.bh = get_attribute(bios, c.bl & 0x1f)
        case 0x08: c.bh = get_attribute(bios, 0x11)
        case 0x09: c.write(c.es, c.dx, bytes(get_attribute(bios, n) for n in (*range(16), 0x11)))
        case 0x10: set_colours(bios, c.bl, [(c.dh, c.ch, c.cl)])
        case 0x12:
            data = c.read(c.es, c.dx, 3 * min(c.cx, 256))
            set_colours(bios, c.bl, [tuple(data[n:n + 3]) for n in range(0, len(data), 3)])
        case 0x13:
            if c.bl == 0: attribute(bios, 0x10, get_attribute(bios, 0x10) & 0x7f | (c.bh & 1) << 7)
            else: attribute(bios, 0x14, c.bh if get_attribute(bios, 0x10) & 0x80 else c.bh << 2)
        case 0x15: c.dh, c.ch, c.cl = get_colours(bios, c.bl, 1)
        case 0x17: c.write(c.es, c.dx, get_colours(bios, c.bl, min(c.cx, 256)))
        case 0x18: bios.out(0x3c6, c.bl)
        case 0x19: c.bl = bios.inp(0x3c6)
        case 0x1a: c.bl, c.bh = get_attribute(bios, 0x10) >> 7, get_attribute(bios, 0x14)
        case 0x1b:
            data = get_colours(bios, c.bl, min(c.cx, 256))
            grey = [(30 * data[n] + 59 * data[n + 1] + 11 * data[n + 2]) // 100 for n in range(0, len(data), 3)]
            set_colours(bios, c.bl, [(x, x, x) for x in grey])


def font_11(bios: 'Bios', c: Caller) -> None:
    """Fonts: into plane 2 (0xh; 1xh: and as many rows as fit), for graphics (2xh), where they are (30h)."""
    heights = {1: 14, 2: 8, 4: 16}
    kind, which = c.al >> 4, c.al & 15
    if kind in (0, 1) and (which == 0 or which in heights):
        height = c.bh if which == 0 else heights[which]
        if not 0 < height <= 32: return
        data = c.read(c.es, c.bp, min(c.cx, 256) * height) if which == 0 else bios.font(height)
        load_font(bios, data, c.dx & 0xff if which == 0 else 0, height, c.bl & 7)
        if kind == 1: fit_rows(bios, height)
    elif c.al == 0x03: indexed(bios, 0x3c4, 3, c.bl)
    elif c.al == 0x20: bios.vector(0x1f, c.es, c.bp)
    elif kind == 2 and which in (1, 2, 3, 4):
        height = c.cx if which == 1 else {2: 14, 3: 8, 4: 16}[which]
        if which == 1: bios.vector(0x43, c.es, c.bp)
        else: bios.vector(0x43, ROM, FONTS[height])
        bios.put(HEIGHT, 16, height)
        bios.put(ROWS, 8, ({1: 14, 2: 25, 3: 43}.get(c.bl, c.dl) - 1) & 0xff)
    elif c.al == 0x30: font_information(bios, c)


def font_information(bios: 'Bios', c: Caller) -> None:
    """ES:BP points to a font; CX bytes a character on the screen, DL last row."""
    places = {0: bios.get_vector(0x1f), 1: bios.get_vector(0x43), 2: (ROM, FONT_8X14), 3: (ROM, FONT_LOW), 4: (ROM, FONT_8X8 + 1024), 5: (ROM, FONT_8X14),
              6: (ROM, FONT_8X16), 7: (ROM, FONT_8X16)}
    if c.bh in places: c.es, c.bp = places[c.bh]
    c.cx, c.dl = bios.get(HEIGHT, 16), bios.get(ROWS, 8)


def fit_rows(bios: 'Bios', height: int) -> None:
    """As many rows of so many lines as the screen has."""
    crtc = bios.get(CRTC, 16)
    rows = 400 // height
    bios.out(crtc, 9)
    indexed(bios, crtc, 9, bios.inp(crtc + 1) & 0xe0 | height - 1)
    indexed(bios, crtc, 0x0a, height - 2)
    indexed(bios, crtc, 0x0b, height - 1)
    shown = rows * height - 1
    indexed(bios, crtc, 0x12, shown & 0xff)
    bios.put(ROWS, 8, rows - 1)
    bios.put(HEIGHT, 16, height)
    bios.put(PAGE_SIZE, 16, -(-rows * bios.get(COLUMNS, 16) * 2 // 256) * 256)


def select_12(bios: 'Bios', c: Caller) -> None:
    """Alternate select: BL 10h tells of the adapter; the others switch what we have only one of."""
    if c.bl == 0x10: c.bh, c.bl, c.cx = int(not bios.get(CRTC, 16) & 0x40), 3, 0x0009
    elif c.bl == 0x30:
        bios.put(FLAGS, 8, bios.get(FLAGS, 8) & ~0x90 | {0: 0x80, 1: 0, 2: 0x10}.get(c.al, 0x10))
        c.al = 0x12
    elif c.bl == 0x31:
        bios.put(FLAGS, 8, bios.get(FLAGS, 8) & ~8 | (c.al & 1) << 3)
        c.al = 0x12
    elif c.bl == 0x34:
        bios.put(CONTROL, 8, bios.get(CONTROL, 8) & ~1 | c.al & 1)
        c.al = 0x12
    elif c.bl == 0x36:
        bios.out(0x3c4, 1)
        indexed(bios, 0x3c4, 1, bios.inp(0x3c5) & ~0x20 | (c.al & 1) << 5)
        c.al = 0x12
    elif c.bl in (0x32, 0x33, 0x35): c.al = 0x12


def combination_1a(bios: 'Bios', c: Caller) -> None:
    """Display combination: VGA with a colour display."""
    if c.al == 0: c.bx = VGA_COLOUR
    c.al = 0x1a


def state_1b(bios: 'Bios', c: Caller) -> None:
    """State and what the adapter can do: 64 bytes at ES:DI."""
    if c.bx: return
    mode = current(bios)
    data = bytearray(64)
    data[0:4] = (STATIC & 0xffff | ROM << 16).to_bytes(4, 'little')
    data[4:34] = bytes(bios.get(MODE + n, 8) for n in range(30))
    data[34:37] = bytes((bios.get(ROWS, 8) + 1, *bios.get(HEIGHT, 16).to_bytes(2, 'little')))
    data[37] = VGA_COLOUR
    colours = 256 if mode.kind == PACKED else {CGA: 4, MONO: 2}.get(mode.kind, 16)
    data[39:41] = colours.to_bytes(2, 'little')
    data[41], data[42] = mode.pages, {200: 0, 350: 1, 400: 2, 480: 3}.get(mode.rows * mode.height, 2)
    data[49] = 3  # 256 KB
    c.write(c.es, c.di, bytes(data))
    c.al = 0x1b


STATIC = 0x7ff0  # in the ROM: 16 bytes of what never changes
STATIC_TABLE = bytes((0xff, 0xe0, 0x0f, 0, 0, 0, 0, 7, 2, 8, 0xff, 0x0e, 0, 0, 0x3f, 0))

FUNCTIONS = {0x00: mode_00, 0x01: cursor_01, 0x02: cursor_02, 0x03: cursor_03, 0x05: page_05, 0x06: scroll_06, 0x07: scroll_06, 0x08: read_08, 0x09: write_09,
             0x0a: write_09, 0x0b: colour_0b, 0x0c: dot_0c, 0x0d: dot_0d, 0x0e: teletype_0e, 0x0f: mode_0f, 0x10: palette_10, 0x11: font_11, 0x12: select_12,
             0x13: string_13, 0x1a: combination_1a, 0x1b: state_1b, 0x4f: vbe}
