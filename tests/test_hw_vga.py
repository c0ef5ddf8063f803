"""emu/hw/vga.py and vbe.py: registers and ports (IBM VGA Technical Reference, section 2; Inmos IMS G171; Bochs, vbe_display_api.txt)."""
import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.pc import Pc
from emu.mem.memory import Memory
from tests.vga_machine import Adapter
from tests.vga_modes import MODES

MODE_3 = MODES['text 80x25, 9x16 (mode 3)']


@pytest.fixture
def a() -> Adapter:
    return Adapter()


def test_power_on(a: Adapter) -> None:
    """The screen is off and the memory is not decoded; the CRTC is at 3B4h."""
    assert not a.vga.frame().any() and a.vga.text() == '' and a.vga.memory.window[1] == 0
    assert a.read(0x3cc) == 0 and a.read(0x3d4) == 0xff and a.read(0x3b4) == 0


def test_crtc_moves(a: Adapter) -> None:
    """Bit 0 of miscellaneous output; writing is 3C2h, reading 3CCh."""
    a.out(0x3c2, 0x67)
    assert a.read(0x3cc) == 0x67
    a.put(0x3d4, 0x0e, 0x12)
    assert a.read(0x3d5) == 0x12 and a.read(0x3b5) == 0xff and a.read(0x3ba) == 0xff
    a.put(0x3b4, 0x0e, 0x55)
    assert a.read(0x3d5) == 0x12
    a.out(0x3c2, 0x66)
    assert a.read(0x3b5) == 0x12 and a.read(0x3d5) == 0xff


def test_words_are_two_bytes(a: Adapter) -> None:
    """`out dx, ax` sets index and data."""
    a.out(0x3c2, 0x67)
    a.out(0x3c4, 0x0f02, w=16)
    a.out(0x3d4, 0x450f, w=16)
    assert a.vga.registers.sequencer[2] == 15 and a.read(0x3d4, 16) == 0x450f


def test_crtc_protection(a: Adapter) -> None:
    """Register 11h, bit 7: 0 to 7 keep their values, but for line compare's bit 8 in 7."""
    a.set_mode(MODE_3)
    a.put(0x3d4, 0x11, 0x8e)
    a.put(0x3d4, 0, 0)
    a.put(0x3d4, 7, 0)
    assert a.vga.registers.crtc[0] == 0x5f and a.vga.registers.crtc[7] == 0x0f
    a.put(0x3d4, 0x11, 0x0e)
    a.put(0x3d4, 7, 0)
    assert a.vga.registers.crtc[7] == 0


def test_attribute_controller_takes_turns(a: Adapter) -> None:
    """3C0h: index, data; input status 1 goes back to the index. 3C1h reads data."""
    a.out(0x3c2, 0x67)
    a.read(0x3da)
    a.out(0x3c0, 5, 0x2a, 6, 0x15)
    assert a.read(0x3c0) == 6 and a.read(0x3c1) == 0x15
    a.out(0x3c0, 5)
    assert a.read(0x3c1) == 0x2a
    a.read(0x3da)
    a.out(0x3c0, 7)
    assert a.read(0x3c0) == 7 and a.read(0x3c1) == 0
    a.read(0x3da)
    a.out(0x3c0, 0x20)
    assert a.read(0x3c0) == 0x20


@pytest.mark.parametrize('port,count,masks', [(0x3c4, 5, '033d0f3f0e'), (0x3ce, 9, '0f0f0f1f037b0f0fff')])
def test_bits_that_exist(a: Adapter, port: int, count: int, masks: str) -> None:
    """Others read as 0, and so do registers that do not exist."""
    for n in range(8 if port == 0x3c4 else 16):
        a.put(port, n, 0xff)
        assert a.read(port) == n and a.read(port + 1) == ((*bytes.fromhex(masks), *bytes(16))[n])


def test_dac(a: Adapter) -> None:
    """Three parts of 6 bits, stored with the third; the address goes on. 3C7h tells which of the two was written."""
    a.out(0x3c8, 10)
    a.out(0x3c9, 1, 2, 0xff, 4, 5, 6, 7)
    assert a.read(0x3c7) == 0 and a.read(0x3c8) == 12
    assert a.vga.registers.dac[10:13].tolist() == [[1, 2, 0x3f], [4, 5, 6], [0, 0, 0]]
    a.out(0x3c7, 10)
    assert a.read(0x3c7) == 3 and [a.read(0x3c9) for _ in range(6)] == [1, 2, 0x3f, 4, 5, 6]
    a.out(0x3c7, 11)
    assert a.read(0x3c9) == 4
    a.out(0x3c7, 10)
    assert a.read(0x3c9) == 1  # a new address starts over
    a.out(0x3c8, 255)
    a.out(0x3c9, 1, 1, 1, 2, 2, 2)
    assert a.vga.registers.dac[[255, 0]].tolist() == [[1, 1, 1], [2, 2, 2]]
    a.out(0x3c6, 0x0f)
    assert a.read(0x3c6) == 0x0f


def test_dac_of_8_bits(a: Adapter) -> None:
    """The VBE's 8BIT_DAC."""
    a.dispi(4, 0x20)
    a.out(0x3c8, 1)
    a.out(0x3c9, 0xff, 0x81, 0)
    a.out(0x3c7, 1)
    assert [a.read(0x3c9) for _ in range(3)] == [0xff, 0x81, 0]


def test_retrace(a: Adapter) -> None:
    """Mode 3: 449 lines of 900 dots at 28.322 MHz (70 Hz); retrace is in lines 412 and 413, the display ends at dot 720 and line 400."""
    a.set_mode(MODE_3)
    line = 900 / 28.322e6
    for lines, expected in ((0.5, 0), (0.85, 1), (399.5, 0), (400.1, 1), (411.9, 1), (412.1, 9), (413.9, 9), (414.1, 1), (449.2, 0), (449 + 412.5, 9)):
        a.time = int(lines * line * 1e9)
        assert a.read(0x3da) & 9 == expected, lines


@pytest.mark.parametrize('name', MODES)
def test_every_mode_retraces(a: Adapter, name: str) -> None:
    """A program that waits for the retrace to begin and to end does not wait for long: 60 or 70 times a second, under a millisecond."""
    a.set_mode(MODES[name])
    port = 0x3da if MODES[name][0][0] & 1 else 0x3ba
    seen = []
    for a.time in range(0, 10 ** 9 // 10, 20_000): seen.append(a.read(port) >> 3 & 1)
    rises = sum(now > before for before, now in zip(seen, seen[1:]))
    assert rises in (6, 7) and 0 < sum(seen) < 60


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=25, max_size=25), st.integers(0, 255), st.integers(0, 255))
def test_any_timing_retraces(crtc: bytes, misc: int, clocking: int) -> None:
    """Whatever the CRTC is programmed to, the bits change within a second."""
    a = Adapter()
    a.out(0x3c2, misc | 1)
    a.put(0x3c4, 1, clocking)
    for n, v in enumerate(crtc): a.put(0x3d4, n, v if n != 0x11 else v & 0x7f)
    t = a.vga.registers.timing()
    a.time = (t.retrace * t.dots + 5) * 10 ** 9 // t.clock
    first = a.read(0x3da)
    a.time = 5 * 10 ** 9 // t.clock
    assert first & 8 and not a.read(0x3da) & 8 and t.frame < 10 ** 9


# --- DISPI --------------------------------------------------------------------------------------------------------------------------------------

def test_dispi_is_found(a: Adapter) -> None:
    """IDs B0C0h to B0C5h can be written, others not; 16 MB."""
    assert a.get_dispi(0) == 0xb0c5 and a.get_dispi(10) == 256
    for v, then in ((0xb0c0, 0xb0c0), (0xb0c4, 0xb0c4), (0xb0c6, 0xb0c4), (1, 0xb0c4)):
        a.dispi(0, v)
        assert a.get_dispi(0) == then
    assert a.get_dispi(99) == 0


def test_dispi_modes(a: Adapter) -> None:
    """Enabling takes the resolution over, sets the virtual size, clears memory; GETCAPS tells the limits."""
    a.vga.memory.bytes[:8] = 7
    for index, v in ((1, 1600), (2, 1200), (3, 32)): a.dispi(index, v)
    a.dispi(4, 0xc1)
    assert a.vga.memory.bytes[0] == 7 and a.get_dispi(4) == 0xc1 and (a.get_dispi(6), a.get_dispi(7)) == (1600, (16 << 20) // 6400)
    assert a.vga.frame().shape == (1200, 1600, 4) or not a.vga.registers.shown()
    a.dispi(1, 640)
    assert a.get_dispi(1) == 1600  # not while enabled
    a.dispi(4, 0)
    a.dispi(4, 0x41)
    assert a.vga.memory.bytes[0] == 0
    a.dispi(4, 0x43)
    assert (a.get_dispi(1), a.get_dispi(2), a.get_dispi(3)) == (2560, 1600, 32)


@pytest.mark.parametrize('width,height,bpp', [(0, 480, 8), (640, 0, 8), (640, 480, 12), (2560, 1600, 32 + 1)])
def test_dispi_refuses(a: Adapter, width: int, height: int, bpp: int) -> None:
    """What is no mode does not become enabled."""
    a.dispi(3, 12)
    for index, v in ((1, width), (2, height), (3, bpp)): a.dispi(index, v)
    a.dispi(4, 1)
    assert a.get_dispi(4) == 0


def test_dispi_offsets(a: Adapter) -> None:
    """Panning stays inside of the virtual screen, banks inside of memory."""
    for index, v in ((1, 800), (2, 600), (3, 16), (4, 1), (6, 1024)): a.dispi(index, v)
    assert (a.get_dispi(6), a.get_dispi(7)) == (1024, 8192)
    for index, good, bad in ((8, 224, 225), (9, 7592, 7593), (5, 255, 256), (6, 6000, 60000)):
        a.dispi(index, good)
        a.dispi(index, bad)
        assert a.get_dispi(index) == good
    a.dispi(6, 700)
    assert a.get_dispi(6) == 6000


# --- garbage --------------------------------------------------------------------------------------------------------------------------------------

PORTS = st.one_of(st.integers(0x3b0, 0x3df), st.integers(0x1cc, 0x1d2))
VALUES = st.one_of(st.integers(0, 255), st.integers(0, 0xffff), st.sampled_from([0x2000, 0x10, 0x41, 0xffffffff]))
STEPS = st.one_of(
    st.tuples(st.just('out'), PORTS, st.sampled_from([8, 16, 32]), VALUES),
    st.tuples(st.just('in'), PORTS, st.sampled_from([8, 16, 32])),
    st.tuples(st.just('crtc'), st.integers(0, 63), st.integers(0, 255)),
    st.tuples(st.just('gfx'), st.integers(0, 15), st.integers(0, 255)),
    st.tuples(st.just('seq'), st.integers(0, 7), st.integers(0, 255)),
    st.tuples(st.just('attr'), st.integers(0, 63), st.integers(0, 255)),
    st.tuples(st.just('dispi'), st.integers(0, 11), st.one_of(st.integers(0, 0xffff), st.sampled_from([1, 8, 15, 16, 24, 32, 640, 0x41]))),
    st.tuples(st.just('pci'), st.sampled_from([4, 0x10, 0x18, 0x30]), st.integers(0, 0xffffffff)),
    st.tuples(st.just('time'), st.integers(0, 10 ** 15)),
    st.tuples(st.just('look')))


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from(sorted(MODES)))
def test_nothing_a_guest_does_raises(steps: list[tuple], name: str) -> None:
    """Any registers at any time: reads fit their width, the picture has a shape, RAM stays where it is."""
    a = Adapter(MEMORY)
    a.set_mode(MODES[name])
    for kind, *rest in steps:
        if kind == 'out': a.bus.port_out(rest[0], rest[1], rest[2] & (1 << rest[1]) - 1)
        elif kind == 'in': assert 0 <= a.bus.port_in(*rest) < 1 << rest[1]
        elif kind == 'attr': a.attribute(*rest)
        elif kind == 'dispi': a.dispi(*rest)
        elif kind == 'pci': a.configure(*rest)
        elif kind == 'time': a.time = rest[0]
        elif kind == 'look': look(a)
        else: a.put({'crtc': 0x3d4, 'gfx': 0x3ce, 'seq': 0x3c4}[kind], *rest)
    look(a)
    assert (MEMORY.page_map[:0xa0] & -4096 == MEMORY.host + (PAGES << 12)).all()
    a.configure(4, 0)
    a.vga.reset()


MEMORY = Memory(1 << 20)
PAGES = __import__('numpy').arange(0xa0)


def look(a: Adapter) -> None:
    """The picture and the text of this moment."""
    pixels = a.vga.frame()
    assert pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.shape[0] <= 2048 * 2 and pixels.shape[1] <= 256 * 18
    assert isinstance(a.vga.text(), str)


def test_in_the_pc() -> None:
    """-vga std: in slot 2 of PCI's bus 0; a reset is for it too. Without: nothing at its ports."""
    class Cpu:
        def __getattr__(self, name: str):
            return lambda *arguments: None
    pc = Pc(Memory(1 << 20), lambda: 0, Cpu(), vga='std')
    pc.bus.port_out(0xcf8, 32, 0x80001000)
    assert pc.bus.port_in(0xcfc, 32) == 0x11111234 and pc.vga
    pc.bus.port_out(0x3c2, 8, 0x67)
    pc.reset()
    assert pc.bus.port_in(0x3cc, 8) == 0
    data = ctypes.create_string_buffer(64)
    pc.bus.port_in_block(0x3c9, 8, ctypes.addressof(data), 64)
    assert Pc(Memory(1 << 20), lambda: 0, Cpu()).bus.port_in(0x3cc, 8) == 0xff
