"""emu/hw/vga_render.py against the reference, dot by dot (tests/vga_reference.py); what is told of changes; the text of text modes."""
import copy
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.vga_render import Screen
from tests.vga_machine import Adapter
from tests.vga_modes import MODES
from tests.vga_reference import dot, registers, size

MODE_3, MODE_12, MODE_13 = (MODES[name] for name in ('text 80x25, 9x16 (mode 3)', '640x480x16 (mode 12)', '320x200x256 (mode 13)'))


def adapter(mode: tuple[bytes, ...], seed: int = 0) -> Adapter:
    """In this mode, with random memory."""
    a = Adapter()
    a.set_mode(mode)
    rng = np.random.default_rng(seed)
    a.vga.memory.planes[:0x10000] = rng.integers(0, 256, (0x10000, 4), np.uint8)
    return a


def reference(a: Adapter) -> SimpleNamespace:
    """The adapter's registers for the reference."""
    r, mine = registers(), a.vga.registers
    r.seq, r.gfx, r.crtc, r.attr = (list(part) for part in (mine.sequencer, mine.graphics, mine.crtc, mine.attribute))
    r.dac, r.mask, r.misc = [tuple(map(int, colour)) for colour in mine.dac], mine.dac_mask, mine.misc
    return r


def check(a: Adapter, count: int = 1500, seed: int = 0) -> None:
    """The picture has the reference's size and, at `count` places and all corners, its colours."""
    r, planes = reference(a), [a.vga.memory.planes[:0x10000, p].tobytes() for p in range(4)]
    pixels = a.vga.frame()
    assert pixels.shape == (*size(r), 4)
    frame = a.time // a.vga.registers.timing().frame
    lines, dots = size(r)
    rng = np.random.default_rng(seed)
    places = [(x, y) for x in (0, 1, dots - 2, dots - 1) for y in (0, 1, lines - 2, lines - 1)]
    places += zip(rng.integers(0, dots, count).tolist(), rng.integers(0, lines, count).tolist())
    for x, y in places: assert tuple(pixels[y, x, :3]) == dot(r, planes, x, y, frame), (x, y)
    assert not pixels[..., 3].any()


@pytest.mark.parametrize('name', MODES)
def test_every_mode(name: str) -> None:
    """The BIOS's modes."""
    check(adapter(MODES[name]), 4000)


def test_sizes() -> None:
    """As a monitor shows them."""
    sizes = {name: adapter(mode).vga.frame().shape[:2] for name, mode in MODES.items()}
    assert sizes['text 80x25, 9x16 (mode 3)'] == sizes['text 40x25, 9x16 (mode 1)'] == (400, 720)
    assert sizes['320x200x256 (mode 13)'] == sizes['CGA 320x200 (mode 4)'] == sizes['320x200x16 (mode D)'] == sizes['text 80x50, 8x8'] == (400, 640)
    assert sizes['640x480x16 (mode 12)'] == sizes['320x240x256 (mode X)'] == (480, 640) and sizes['640x350x16 (mode 10)'] == (350, 640)


@pytest.mark.parametrize('name', MODES)
@pytest.mark.parametrize('change', ['start', 'preset row scan', 'byte pan', 'pan', 'split', 'split, no pan', 'offset', 'plane enable', 'colour select', 'mask',
                                    'fonts', 'cursor', 'blink', 'underline', 'double', 'count by 2', 'count by 4', 'half clock', 'mode bits', 'wrap'])
def test_every_feature_in_every_mode(name: str, change: str) -> None:
    """Scrolling, panning, split screen, fonts, cursor and so on."""
    a = adapter(MODES[name], 1)
    r = a.vga.registers
    base = 0x3d4 if r.misc & 1 else 0x3b4
    a.put(base, 0x11, 0)
    settings = {'start': [('c', 12, 0x12), ('c', 13, 0x35)], 'preset row scan': [('c', 8, 3)], 'byte pan': [('c', 8, 0x41)], 'pan': [('a', 0x13, 3)],
                'split': [('c', 0x18, 100), ('c', 7, r.crtc[7] & ~0x10), ('c', 9, r.crtc[9] & ~0x40), ('a', 0x13, 2), ('c', 12, 0x20)],
                'split, no pan': [('c', 0x18, 77), ('c', 7, r.crtc[7] & ~0x10), ('c', 9, r.crtc[9] & ~0x40), ('a', 0x13, 6), ('a', 0x10, r.attribute[0x10] | 0x20)],
                'offset': [('c', 0x13, 63)], 'plane enable': [('a', 0x12, 0x3a)], 'colour select': [('a', 0x14, 0x0b), ('a', 0x10, r.attribute[0x10] | 0x80)],
                'mask': [('m', 0, 0x3c)], 'fonts': [('s', 3, 0x2d)], 'cursor': [('c', 10, 2), ('c', 11, 9), ('c', 14, 1), ('c', 15, 0x23)],
                'blink': [('t', 0, 10 ** 9 // 70 * 20)], 'underline': [('c', 0x14, r.crtc[0x14] & 0xe0 | 5)], 'double': [('c', 9, r.crtc[9] ^ 0x80)],
                'count by 2': [('c', 0x17, r.crtc[0x17] | 8)], 'count by 4': [('c', 0x14, r.crtc[0x14] | 0x20)], 'half clock': [('s', 1, r.sequencer[1] ^ 8)],
                'mode bits': [('c', 0x17, r.crtc[0x17] ^ 0x47)], 'wrap': [('c', 12, 0xff), ('c', 13, 0xc0), ('c', 0x17, r.crtc[0x17] ^ 0x20)]}
    for kind, n, v in settings[change]:
        if kind == 'c': a.put(base, n, v)
        elif kind == 's': a.put(0x3c4, n, v)
        elif kind == 'a': a.attribute(n, v)
        elif kind == 'm': a.out(0x3c6, v)
        else: a.time = v
    a.read(base + 6)
    a.out(0x3c0, 0x20)
    check(a, 400)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MODES)), st.lists(st.tuples(st.sampled_from(['crtc', 'crtc', 'attr', 'gfx', 'seq']), st.integers(0, 24), st.integers(0, 255)), max_size=6),
       st.integers(0, 10 ** 10))
def test_random_registers(name: str, changes: list[tuple[str, int, int]], time: int) -> None:
    """Any register with any value: the same as the reference (retrace bits and the CRTC's enable bit are kept)."""
    a = adapter(MODES[name], 2)
    a.time = time
    r = a.vga.registers
    for part, n, v in changes:
        array = {'crtc': r.crtc, 'attr': r.attribute, 'gfx': r.graphics, 'seq': r.sequencer}[part]
        if part == 'crtc' and n in (0, 1, 6, 7, 0x10, 0x11, 0x12) or part == 'seq' and n == 1 or n >= len(array): continue
        array[n] = v & {'crtc': 0xff, 'attr': 0x3f if n < 16 else 0xef, 'gfx': 0xff, 'seq': 0x3f}[part] & (15 if part == 'attr' and n in (0x13, 0x14) else 255)
    r.crtc[0x17] |= 0x80
    check(a, 150)


# --- changes ------------------------------------------------------------------------------------------------------------------------------------

def test_only_changed_lines() -> None:
    """A character changes its 16 lines, a dot of mode 13h its two, nothing changes nothing; a palette entry changes all."""
    a = adapter(MODE_3)
    a.put(0x3d4, 10, 0x20)  # no cursor
    screen = Screen(a.vga)
    first = screen.update()
    assert first.resized and first.changed == [(0, 400)]
    assert screen.update().changed == []
    a.vga.memory.planes[2 * (80 * 3 + 7), 0] ^= 1
    assert screen.update().changed == [(48, 64)]
    a.set_mode(MODE_13)
    assert screen.update().resized
    a.vga.memory.bytes[320 * 10 + 5] ^= 1
    a.vga.memory.bytes[320 * 50 + 5] ^= 1
    frame = screen.update()
    assert frame.changed == [(20, 22), (100, 102)] and not frame.resized
    a.out(0x3c8, 1)
    a.out(0x3c9, 1, 2, 3)
    assert screen.update().changed == [(0, 400)]


def test_cursor_blinks() -> None:
    """Every 8 frames, alone: only its lines change."""
    a = adapter(MODE_3)
    for n, v in ((10, 13), (11, 14), (14, 0), (15, 81)): a.put(0x3d4, n, v)
    a.attribute(0x10, 0x04)
    a.read(0x3da)
    a.out(0x3c0, 0x20)
    screen = Screen(a.vga)
    screen.update()
    a.time = a.vga.registers.timing().frame * 8
    assert screen.update().changed == [(16 + 13, 16 + 15)]


def test_two_viewers() -> None:
    """Each has its own memory of what it saw."""
    a = adapter(MODE_12)
    one, two = Screen(a.vga), Screen(a.vga)
    one.update()
    assert two.update().changed == [(0, 480)] and one.update().changed == []


def test_incremental_is_the_same() -> None:
    """After any changes the picture is what a new viewer sees."""
    a, rng = adapter(MODE_3), np.random.default_rng(3)
    for n in range(60):
        if n % 10 == 9: a.set_mode(list(MODES.values())[n // 10 * 2])
        a.vga.memory.planes[rng.integers(0, 0x10000, 5), rng.integers(0, 4)] = n
        if n % 3 == 0: a.put(0x3d4, 13, n)
        a.time += 10 ** 8
        assert (a.vga.frame() == Screen(a.vga).update().pixels).all()


def test_off() -> None:
    """The attribute controller without its palette, or the sequencer's screen off: black, in the mode's size."""
    a = adapter(MODE_12)
    a.put(0x3c4, 1, 0x21)
    assert not a.vga.frame().any() and a.vga.frame().shape == (480, 640, 4)
    a.put(0x3c4, 1, 1)
    assert a.vga.frame().any()
    a.read(0x3da)
    a.out(0x3c0, 0)
    assert not a.vga.frame().any()


# --- VBE ----------------------------------------------------------------------------------------------------------------------------------------

def vbe(width: int, height: int, bpp: int) -> Adapter:
    """A mode with random memory."""
    a = adapter(MODE_13)
    for index, v in ((1, width), (2, height), (3, bpp), (4, 0xc1)): a.dispi(index, v)
    a.vga.memory.bytes[:] = np.random.default_rng(4).integers(0, 256, 16 << 20, np.uint8)
    return a


def colour(a: Adapter, x: int, y: int) -> tuple[int, int, int]:
    """A pixel by the VBE's layout (VBE 3.0, "Direct color fields")."""
    bpp, memory = a.vga.dispi.bpp, a.vga.memory.bytes
    x, y = x + a.get_dispi(8), y + a.get_dispi(9)
    n = y * a.get_dispi(6) + x
    wide = lambda v, bits: v << 8 - bits | v >> 2 * bits - 8  # noqa: E731
    if bpp == 4:
        index = sum((int(a.vga.memory.planes[n // 8, p]) >> 7 - n % 8 & 1) << p for p in range(4))
        return tuple(wide(int(v), 6) for v in a.vga.registers.dac[a.vga.registers.attribute[index]][::-1])
    if bpp == 8: return tuple(wide(int(v), 6) for v in a.vga.registers.dac[memory[n]][::-1])
    if bpp in (15, 16):
        v = int(memory[2 * n]) | int(memory[2 * n + 1]) << 8
        green = 5 if bpp == 15 else 6
        return wide(v & 31, 5), wide(v >> 5 & (1 << green) - 1, green), wide(v >> 5 + green & 31, 5)
    return tuple(memory[n * (bpp // 8):][:3].tolist())


@pytest.mark.parametrize('bpp', [4, 8, 15, 16, 24, 32])
@pytest.mark.parametrize('width,height', [(640, 480), (1600, 1200), (1366, 768), (801, 3)])
def test_vbe(width: int, height: int, bpp: int) -> None:
    """Every depth, odd widths, a wider virtual screen, panned."""
    a = vbe(width, height, bpp)
    for wider in (False, True):
        if wider:
            a.dispi(6, width + 67)
            a.dispi(8, 13)
            a.dispi(9, 29)
        pixels, rng = a.vga.frame(), np.random.default_rng(5)
        assert pixels.shape == (height, width, 4)
        for x, y in [(0, 0), (width - 1, height - 1), *zip(rng.integers(0, width, 200).tolist(), rng.integers(0, height, 200).tolist())]:
            assert tuple(pixels[y, x, :3].tolist()) == colour(a, x, y), (x, y)


def test_vbe_changes() -> None:
    """Only lines written to."""
    a = vbe(1024, 768, 32)
    screen = Screen(a.vga)
    screen.update()
    a.vga.memory.bytes[1024 * 4 * 700 + 8] ^= 1
    assert screen.update().changed == [(700, 701)]


# --- text ---------------------------------------------------------------------------------------------------------------------------------------

def write(a: Adapter, at: int, text: bytes) -> None:
    """Characters at a cell, white on black."""
    a.vga.memory.planes[2 * at:2 * (at + len(text)):2, 0] = list(text)


def test_text() -> None:
    """80 columns, code page 437, without the spaces at the end; scrolled by the start address."""
    a = Adapter()
    a.set_mode(MODE_3)
    write(a, 0, b'Hello\x81 \x01\xb3')
    write(a, 80 * 24 + 75, b'end')
    rows = a.vga.text().split('\n')
    assert len(rows) == 25 and rows[0] == 'Helloü ☺│' and rows[1] == '' and rows[24] == ' ' * 75 + 'end'
    a.put(0x3d4, 13, 80)
    assert a.vga.text().split('\n')[23] == ' ' * 75 + 'end'
    a.set_mode(MODE_12)
    assert a.vga.text() == ''


def test_text_below_the_split() -> None:
    """A split screen's lower part begins at address 0."""
    a = Adapter()
    a.set_mode(MODE_3)
    write(a, 0, b'below')
    write(a, 800, b'above')
    for n, v in ((12, 3), (13, 0x20), (0x18, 399 - 16 - 256), (7, 0x1f), (9, 0x0f)): a.put(0x3d4, n, v)
    rows = a.vga.text().split('\n')
    assert rows[0] == 'above' and rows[-1] == 'below'


def test_reference_does_not_change() -> None:
    """The reference only looks."""
    a = adapter(MODE_3)
    before = copy.deepcopy(vars(reference(a)))
    check(a, 10)
    assert vars(reference(a)) == before
