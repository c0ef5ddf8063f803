"""emu/hw/dma.py against Intel's 8237A data sheet (231466) and the 82371SB's ("DMA Controller")."""
import pytest

from emu.hw.bus import Bus
from emu.hw.dma import FROM_MEMORY, TO_MEMORY, Dma
from emu.mem.memory import Memory

PAGE = {0: 0x87, 1: 0x83, 2: 0x81, 3: 0x82, 5: 0x8b, 6: 0x89, 7: 0x8a}  # 82371SB, "DMA Page Registers"
WRITE, READ, VERIFY, AUTO, DOWN, SINGLE, BLOCK, DEMAND = 4, 8, 0, 0x10, 0x20, 0x40, 0x80, 0


class Machine:
    """The controllers with 2 MB."""

    def __init__(self) -> None:
        self.bus, self.memory = Bus(), Memory(2 << 20)
        self.dma = Dma(self.bus, self.memory)

    def out(self, port: int, *values: int) -> None:
        for v in values: self.bus.port_out(port, 8, v)

    def read(self, port: int) -> int:
        return self.bus.port_in(port, 8)

    def port(self, n: int, register: int) -> int:
        """A register of channel n's controller."""
        return register if n < 4 else 0xc0 + 2 * register

    def word(self, n: int, register: int) -> int:
        self.out(self.port(n, 12), 0)
        return self.read(self.port(n, register)) | self.read(self.port(n, register)) << 8

    def program(self, n: int, mode: int, page: int, address: int, count: int) -> None:
        """As a driver does it: mask, flip-flop, mode, address, count, page, unmask."""
        self.out(self.port(n, 10), 4 | n & 3)
        self.out(self.port(n, 12), 0)
        self.out(self.port(n, 11), mode | n & 3)
        for register, v in ((2 * (n & 3), address), (2 * (n & 3) + 1, count)): self.out(self.port(n, register), v & 0xff, v >> 8)
        self.out(PAGE[n], page)
        self.out(self.port(n, 10), n & 3)


@pytest.fixture
def m() -> Machine:
    return Machine()


@pytest.mark.parametrize('mode', [SINGLE, BLOCK, DEMAND])
def test_a_device_stores_until_terminal_count(m: Machine, mode: int) -> None:
    """ "Base and Current Word Count": one more than programmed; TC sets the status bit, masks the channel; reading clears the bit."""
    m.program(2, mode | WRITE, 0x01, 0x2345, 511)
    assert m.dma.write(2, b'a' * 300) == (300, False)
    assert (m.word(2, 4), m.word(2, 5)) == (0x2345 + 300, 211)
    assert m.dma.write(2, b'b' * 300) == (212, True)
    assert m.memory.read(0x12345, 513) == b'a' * 300 + b'b' * 212 + b'\0'
    assert m.word(2, 5) == 0xffff and m.read(8) == 4 and m.read(8) == 0 and m.read(15) == 0xf
    assert m.dma.write(2, b'c') == (0, False) and m.dma.read(2, 1) == (b'', False)


def test_a_device_loads(m: Machine) -> None:
    m.memory.write(0x98000, bytes(range(256)))
    m.program(3, SINGLE | READ, 0x09, 0x8000, 99)
    assert m.dma.read(3, 60) == (bytes(range(60)), False) and m.dma.read(3, 60) == (bytes(range(60, 100)), True)


def test_wrong_direction_moves_nothing(m: Machine) -> None:
    m.program(2, SINGLE | READ, 0, 0x500, 9)
    assert not m.dma.able(2, TO_MEMORY) and m.dma.write(2, b'x') == (0, False) and m.word(2, 5) == 9
    m.program(2, SINGLE | 0x0c, 0, 0x500, 9)  # illegal type
    assert not m.dma.able(2, TO_MEMORY) and not m.dma.able(2, FROM_MEMORY)


def test_verify_counts_and_stores_nothing(m: Machine) -> None:
    """ "Verify transfers are pseudo transfers"."""
    m.memory.write(0x600, b'kept')
    m.program(2, SINGLE | VERIFY, 0, 0x600, 3)
    assert m.dma.write(2, b'lost') == (4, True) and m.memory.read(0x600, 4) == b'kept' and m.read(8) & 4


def test_autoinitialize(m: Machine) -> None:
    """ "Autoinitialize": the base registers are loaded again at TC and the channel is not masked."""
    m.program(1, SINGLE | WRITE | AUTO, 0, 0x700, 3)
    assert m.dma.write(1, b'abcdef') == (4, True)
    assert (m.word(1, 2), m.word(1, 3)) == (0x700, 3)
    assert m.dma.write(1, b'ef') == (2, False) and m.memory.read(0x700, 4) == b'efcd'


def test_addresses_go_down(m: Machine) -> None:
    m.program(1, SINGLE | WRITE | DOWN, 0, 0x705, 3)
    assert m.dma.write(1, b'abcd') == (4, True) and m.memory.read(0x701, 6) == b'\0dcba\0'
    m.program(1, SINGLE | READ | DOWN, 0, 0x704, 1)
    assert m.dma.read(1, 2) == (b'bc', True)


def test_address_does_not_carry_into_the_page(m: Machine) -> None:
    """Both ways: 64 KB wrap within the page."""
    m.program(2, SINGLE | WRITE, 0x05, 0xfffe, 3)
    assert m.dma.write(2, b'abcd') == (4, True)
    assert m.memory.read(0x5fffe, 3) == b'ab\0' and m.memory.read(0x50000, 2) == b'cd' and m.word(2, 4) == 2
    m.program(2, SINGLE | WRITE | DOWN, 0x06, 0x0001, 3)
    assert m.dma.write(2, b'abcd') == (4, True)
    assert m.memory.read(0x60000, 2) == b'ba' and m.memory.read(0x6fffe, 3) == b'dc\0'


def test_channels_of_words(m: Machine) -> None:
    """Channels 5 to 7: the address counts words, page bit 0 is not used, 128 KB wrap."""
    m.program(5, SINGLE | WRITE, 0x05, 0x8000, 2)
    assert m.dma.write(5, b'abcdef') == (6, True) and m.memory.read(0x50000, 6) == b'abcdef'
    assert m.read(0xd0) == 2
    m.program(6, SINGLE | WRITE, 0x04, 0xffff, 1)
    assert m.dma.write(6, b'ghij') == (4, True) and m.memory.read(0x5fffe, 2) == b'gh' and m.memory.read(0x40000, 2) == b'ij'
    m.program(7, SINGLE | READ | DOWN, 0x04, 0x8002, 2)
    assert m.dma.read(7, 6) == (b'efcdab', True)


def test_masks(m: Machine) -> None:
    """Single mask bits, all at once, clear mask, master clear ("Mask Register", "Software Commands")."""
    assert m.read(15) == 15 and m.read(0xde) == 14  # channel 4 cascades
    m.out(10, 1)
    assert m.read(15) == 13
    m.out(15, 6)
    assert m.read(15) == 6
    m.out(14, 0)
    assert m.read(15) == 0
    m.out(13, 0)
    assert m.read(15) == 15


def test_disabled_and_masked_cascades_move_nothing(m: Machine) -> None:
    """Command register bit 2; channel 4, through which the first controller gets the bus."""
    m.program(2, SINGLE | WRITE, 0, 0x500, 9)
    for port, off, on in ((8, 4, 0), (0xd0, 4, 0), (0xd4, 4, 0)):
        assert m.dma.able(2, TO_MEMORY)
        m.out(port, off)
        assert not m.dma.able(2, TO_MEMORY) and m.dma.write(2, b'x') == (0, False)
        m.out(port, on)
    m.out(11, 0xc2 | WRITE)  # the channel itself as a cascade
    assert not m.dma.able(2, TO_MEMORY)


def test_flip_flop(m: Machine) -> None:
    """ "Clear First/Last Flip-Flop"; every read and write of a 16-bit register toggles it."""
    m.out(12, 0)
    m.out(0, 0x34)
    m.out(12, 0)
    m.out(0, 0x35, 0x12)
    assert m.read(0) == 0x35 and m.read(0) == 0x12 and m.read(0) == 0x35
    m.out(13, 0)
    assert m.read(0) == 0x35


def test_current_registers_are_written_with_their_bases(m: Machine) -> None:
    m.program(0, SINGLE | WRITE, 0, 0x500, 9)
    m.dma.write(0, b'abc')
    m.out(12, 0)
    m.out(0, 0x80)
    assert m.word(0, 0) == 0x580


def test_requests_show_in_the_status(m: Machine) -> None:
    """ "Status Register": bits 4 to 7 are the requests, which reading does not clear."""
    m.dma.request(2, True)
    assert m.read(8) == 0x40 and m.read(8) == 0x40
    m.dma.request(2, False)
    assert m.read(8) == 0


def test_a_waiting_device_hears_when_its_channel_is_programmed(m: Machine) -> None:
    heard = []
    m.dma.request(2, True, lambda: heard.append(m.dma.able(2, TO_MEMORY)))
    m.program(2, SINGLE | WRITE, 0, 0x500, 0)
    assert heard[-1] is True and not any(heard[:-1])
    m.dma.request(2, False)
    m.out(10, 6)
    assert heard.count(True) == 1


def test_request_by_software(m: Machine) -> None:
    """ "Request Register": in block mode, mask or not; the bit is cleared at TC."""
    m.memory.write(0x500, b'.' * 8)
    m.program(0, BLOCK | VERIFY, 0, 0x500, 7)
    m.out(10, 4)
    m.out(9, 4)
    assert m.read(8) == 1 and m.word(0, 1) == 0xffff and m.word(0, 0) == 0x508 and m.memory.read(0x500, 8) == b'.' * 8
    m.program(0, SINGLE | VERIFY, 0, 0x500, 7)
    m.out(9, 4)
    assert m.read(8) == 0x10 and m.word(0, 1) == 7
    m.out(9, 0)
    assert m.read(8) == 0


def test_page_registers(m: Machine) -> None:
    """Every one keeps what is written, with its alias 10h above; 80h shows POST codes, 92h is another device's."""
    for port in range(0x80, 0x90): m.out(port, port ^ 0x5a)
    assert [m.read(port) for port in range(0x80, 0x90)] == [port ^ 0x5a for port in range(0x80, 0x90)]
    assert m.read(0x91) == m.read(0x81) and m.read(0x92) == 0xff
    m.dma.reset()
    assert m.read(0x80) == m.read(0x81) == 0


def test_devices_memory_and_roms(m: Machine) -> None:
    """A sector read to the screen gets there; a ROM stays; where nothing is, ones are read."""
    screen = bytearray(0x8000)

    def put(offset: int, w: int, v: int) -> None:
        screen[offset] = v
    m.bus.add_mmio(0xb8000, 0x8000, lambda offset, w: screen[offset], put)
    m.program(2, SINGLE | WRITE, 0x0b, 0x7ffe, 4095)
    assert m.dma.write(2, bytes(range(1, 6))) == (5, False) and screen[:3] == b'\3\4\5'
    m.program(2, SINGLE | READ, 0x0b, 0x8000, 2)
    assert m.dma.read(2, 3) == (b'\3\4\5', True)
    m.memory.map_ram(0xf0000, 0x10000, writable=False)
    m.program(2, SINGLE | WRITE, 0x0f, 0, 3)
    assert m.dma.write(2, b'evil') == (4, True) and m.memory.read(0xf0000, 4) == bytes(4)
    m.program(2, SINGLE | READ, 0xff, 0, 3)
    assert m.dma.read(2, 4) == (b'\xff' * 4, True)
    m.program(2, SINGLE | WRITE, 0xff, 0, 3)
    assert m.dma.write(2, b'gone') == (4, True)


def test_code_that_is_overwritten_is_dropped(m: Machine) -> None:
    """A loader reads the next overlay over the last one."""
    dropped: list[int] = []
    m.memory.code_map[5] = -1
    m.memory.code_written = dropped.append
    m.program(2, SINGLE | WRITE, 0, 0x5000, 127)
    m.dma.write(2, bytes(128))
    assert dropped == [0x5000, 0x5040]
