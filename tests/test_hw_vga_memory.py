"""Video memory as instructions see it, against the reference (tests/vga_reference.py), in the engines; and what is mapped where."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.mem.memory import Memory
from tests.vga_machine import Adapter, Computer
from tests.vga_modes import MODES
from tests.vga_reference import Planes, registers

COMPUTERS: dict[str, Computer] = {}


def computer(engine: str) -> Computer:
    """One for each engine, as new."""
    c = COMPUTERS.get(engine) or COMPUTERS.setdefault(engine, Computer(engine))
    c.vga.reset()
    c.vga.memory.clear()
    return c


# --- random registers and accesses ---------------------------------------------------------------------------------------------------------

SEQUENCER = st.tuples(st.just('seq'), st.sampled_from([2, 2, 4]), st.integers(0, 255))
GRAPHICS = st.tuples(st.just('gfx'), st.integers(0, 8), st.integers(0, 255))
MISC = st.tuples(st.just('misc'), st.just(0), st.sampled_from([0x67, 0x67, 0x63, 0x47, 0x65, 0x02]))
ADDRESS = st.one_of(st.integers(0, 9), st.integers(0xff0, 0x1005), st.integers(0x7ff0, 0x8008), st.integers(0xfff0, 0x10008), st.integers(0, 0x1ffff))
PLACE = st.builds(lambda first, offset: min(first + offset, 0xbfffc), st.sampled_from([0xa0000, 0xa0000, 0xb0000, 0xb8000]), ADDRESS)
WRITE = st.tuples(st.just('write'), PLACE, st.sampled_from([8, 16, 32]), st.integers(0, 0xffffffff))
READ = st.tuples(st.just('read'), PLACE, st.sampled_from([8, 16, 32]))
STEPS = st.lists(st.one_of(SEQUENCER, GRAPHICS, GRAPHICS, MISC, WRITE, WRITE, WRITE, READ, READ), max_size=60)


def expect(steps: list[tuple], r, planes: Planes) -> list[int]:
    """The reference's reads."""
    found = []
    for kind, place, *rest in steps:
        if kind in ('seq', 'gfx'): getattr(r, kind)[place] = rest[0] & ((0x03, 0x3d, 0x0f, 0x3f, 0x0e) if kind == 'seq' else (15, 15, 15, 31, 3, 0x7b, 15, 15, 255))[place]
        elif kind == 'misc': r.misc = rest[0]
        elif kind == 'write':
            for n in range(rest[0] // 8): planes.write(r, place + n, rest[1] >> 8 * n & 0xff)
        else: found.append(sum((b if (b := planes.read(r, place + n)) is not None else 0xff) << 8 * n for n in range(rest[0] // 8)))
    return found


def program(steps: list[tuple]) -> list[tuple]:
    """The same as port and memory accesses."""
    out = []
    for kind, place, *rest in steps:
        if kind == 'seq': out += [('out', 0x3c4, place), ('out', 0x3c5, rest[0])]
        elif kind == 'gfx': out += [('out', 0x3ce, place), ('out', 0x3cf, rest[0])]
        elif kind == 'misc': out += [('out', 0x3c2, rest[0])]
        else: out.append((kind, place, *rest))
    return out


def check(engine: str, steps: list[tuple]) -> None:
    """A new machine and the reference do the same."""
    c, r, planes = computer(engine), registers(), Planes()
    content = np.random.default_rng(1).integers(0, 256, (0x10000, 4), np.uint8)
    c.vga.memory.planes[:0x10000] = content
    for p in range(4): planes.plane[p][:] = content[:, p].tobytes()
    start = [('misc', 0, 0x67), ('seq', 2, 15), ('gfx', 6, 5), ('gfx', 8, 255), ('seq', 4, 6)]
    assert c.access(program(start + steps)) == expect(start + steps, r, planes)
    for p in range(4): assert c.vga.memory.planes[:0x10000, p].tobytes() == bytes(planes.plane[p]), f'plane {p}'


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_random_accesses_eager(steps: list[tuple]) -> None:
    check('eager', steps)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_random_accesses_interpreted(steps: list[tuple]) -> None:
    check('interpreter', steps)


@pytest.mark.parametrize('engine', ['eager', 'interpreter'])
@pytest.mark.parametrize('name', MODES)
def test_every_mode(name: str, engine: str) -> None:
    """The memory of each BIOS mode: reads, writes with some of the write modes, across the window's end."""
    misc, sequencer, _, _, graphics = MODES[name]
    setting = [('misc', 0, misc[0])] + [('seq', n, v) for n, v in enumerate(sequencer)] + [('gfx', n, v) for n, v in enumerate(graphics)]
    first = (0xa0000, 0xa0000, 0xb0000, 0xb8000)[graphics[6] >> 2 & 3]
    rng = np.random.default_rng(2)
    accesses = []
    for n in range(80):
        w, at = (8, 16, 32)[n % 3], first + int(rng.integers(0, 0x4000))
        accesses += [('write', at, w, int(rng.integers(0, 1 << 32))), ('read', at ^ int(rng.integers(0, 4)), w)]
        if n % 20 == 19: accesses += [('gfx', 5, graphics[5] & 0xf4 | n // 20 % 4), ('gfx', 3, n % 32), ('gfx', 8, 0x3c)]
    accesses += [('write', first + 0x7ffc, 32, 0x11223344), ('read', first + 0x7ffc, 32)]
    check(engine, setting + accesses)


@pytest.mark.parametrize('engine', ['interpreter', 'stencils', 'optimise'])
@pytest.mark.parametrize('name', ['text 80x25, 9x16 (mode 3)', '640x480x16 (mode 12)', '320x200x256 (mode 13)', '320x240x256 (mode X)'])
def test_loops_in_translations(name: str, engine: str) -> None:
    """A store loop that gets translated, `rep stosd` and `rep movsb` give what the accesses one by one would."""
    c = computer(engine)
    c.set_mode(MODES[name])
    first = 0xb8000 if name.startswith('text') else 0xa0000
    # mov edi, first; mov ecx, 3000; again: mov [edi], cl; add edi, 1; dec ecx; jnz again
    c.run(b'\xbf' + first.to_bytes(4, 'little') + b'\xb9\xb8\x0b\0\0' + b'\x88\x0f\x83\xc7\x01\x49\x75\xf8')
    assert c.access([('read', first + n, 8) for n in (0, 1, 2, 2999)]) == [(3000 - n) & 0xff for n in (0, 1, 2, 2999)]
    c.run(b'\xfc\xf3\xab', eax=0x04030201, ecx=500, edi=first + 0x1000)
    c.run(b'\xfc\xf3\xa4', ecx=1999, esi=first + 0x1000, edi=first + 0x1ff3)
    assert c.access([('read', first + 0x1ff3 + n, 8) for n in range(8)]) == [1, 2, 3, 4] * 2


@pytest.mark.parametrize('engine', ['eager', 'interpreter'])
def test_write_mode_1_copies_planes(engine: str) -> None:
    """Latches carry 4 planes: what EGA and VGA programs scroll with."""
    c = computer(engine)
    c.set_mode(MODES['640x480x16 (mode 12)'])
    c.vga.memory.planes[:100] = np.arange(400).reshape(100, 4)
    c.put(0x3ce, 5, 1)
    c.run(b'\xfc\xf3\xa4', ecx=100, esi=0xa0000, edi=0xa0000 + 80 * 400)
    assert (c.vga.memory.planes[80 * 400:80 * 400 + 100] == c.vga.memory.planes[:100]).all()


# --- mapped memory ---------------------------------------------------------------------------------------------------------------------------

def test_plain_chain_4_is_mapped() -> None:
    """Mode 13h goes at full speed: the page map has it, until a register between CPU and planes does something."""
    a = Adapter()
    a.set_mode(MODES['320x200x256 (mode 13)'])
    a.memory.write(0xa0000 + 320, b'\x55')
    assert a.vga.memory.bytes[320] == 0x55 and a.memory.page_map[0xaf] and not a.memory.page_map[0xb0]
    a.put(0x3c4, 2, 1)
    assert not a.memory.page_map[0xa0]
    a.put(0x3c4, 2, 15)
    a.put(0x3c4, 4, 6)
    assert not a.memory.page_map[0xa0]


def test_memory_can_be_disabled() -> None:
    """Bit 1 of miscellaneous output; where nothing answers, reads give ones."""
    c = computer('eager')
    c.set_mode(MODES['320x200x256 (mode 13)'])
    c.out(0x3c2, 0x61)
    assert c.access([('write', 0xa0000, 8, 3), ('read', 0xa0000, 8)]) == [0xff] and c.vga.memory.bytes[0] == 0


@pytest.mark.parametrize('engine', ['eager', 'interpreter'])
def test_linear_frame_buffer_moves(engine: str) -> None:
    """Base address 0 (PCI 2.1, 6.2.5.1): 16 MB that are there where they are enabled, and never in RAM's place."""
    c = computer(engine)
    c.configure(0x10, 0xffffffff)
    assert c.configuration(0x10) == 0xff000000
    for address in (0xe0000000, 0xfd000000):
        c.configure(0x10, address)
        c.configure(4, 2)
        assert c.access([('write', address + 0xabcdef, 32, address), ('read', address + 0xabcdef, 32)]) == [address]
        assert int(c.vga.memory.bytes[0xabcdf2]) == address >> 24
    assert c.access([('read', 0xe0000000, 32)]) == [0xffffffff]
    c.configure(4, 0)
    assert c.access([('read', 0xfd000000, 32)]) == [0xffffffff]
    c.configure(0x10, 0)
    c.configure(4, 2)
    assert c.memory.page_map[0x10] & -4096 == c.memory.host + 0x10000


def test_frame_buffer_leaves_ram_alone() -> None:
    """The chipset answers for RAM, whatever is programmed: here RAM ends at 20 MB and the frame buffer begins at 16 MB."""
    a = Adapter(Memory(20 << 20))
    a.configure(0x10, 0x1000000)
    a.configure(4, 2)
    a.memory.write(0x1000000, b'ram')
    assert not a.vga.memory.bytes[:3].any() and a.memory.page_map[0x1fff]
    a.configure(4, 0)
    assert a.memory.read(0x1000000, 3) == b'ram'


def test_expansion_rom() -> None:
    """PCI 2.1, 6.2.5.2: sized with all ones, enabled by bit 0 and the memory space bit; read-only."""
    image = b'\x55\xaa\x50' + bytes(range(200)) * 200
    a = Adapter(bios=image)
    a.configure(0x30, 0xfffffffe)
    assert a.configuration(0x30) == 0xffff0000
    a.configure(0x30, 0xfebf0000)
    a.configure(4, 2)
    assert a.memory.read(0xfebf0000, 3) == b'\xff\xff\xff'
    a.configure(0x30, 0xfebf0001)
    assert a.memory.read(0xfebf0000, len(image)) == image and a.memory.page_map[0xfebf0] & 3 == 1
    a.configure(0x30, 0xfebe0001)
    assert a.memory.read(0xfebf0000, 3) == b'\xff\xff\xff' and a.memory.read(0xfebe0000, 3) == image[:3]
    assert Adapter().configuration(0x30) == 0


# --- the VBE's memory --------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('engine', ['eager', 'interpreter'])
def test_banks(engine: str) -> None:
    """BANK moves the window of 64 KB; in 4 bits a pixel in each plane."""
    c = computer(engine)
    c.set_mode(MODES['320x200x256 (mode 13)'])
    for index, v in ((1, 640), (2, 480), (3, 8), (4, 1), (5, 3)): c.dispi(index, v)
    assert c.access([('write', 0xa1234, 32, 0x12345678), ('read', 0xa1234, 32)]) == [0x12345678] and c.vga.memory.bytes[0x31234] == 0x78
    c.dispi(4, 0)
    c.set_mode(MODES['640x480x16 (mode 12)'])
    for index, v in ((1, 800), (2, 600), (3, 4), (4, 1), (5, 1)): c.dispi(index, v)
    assert c.access([('write', 0xa0010, 8, 0xa5), ('read', 0xa0010, 8)]) == [0xa5] and (c.vga.memory.planes[0x10010] == 0xa5).all()
    c.dispi(5, 64)
    assert c.get_dispi(5) == 1
