"""emu/hw/lpt.py against the IBM PC/AT Technical Reference ("Printer Adapter") and the Centronics handshake."""
import pytest

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.lpt import Lpt

DATA, STATUS, CONTROL = 0x378, 0x379, 0x37a


class Machine:
    """LPT1."""

    def __init__(self) -> None:
        self.bus, self.time, self.printed, self.irqs, self.full = Bus(), 0, bytearray(), [], False
        self.clock = Clock(lambda: self.time)
        self.lpt = Lpt(self.bus, self.clock, self.irqs.append, self.take)
        self.irqs.clear()

    def take(self, data: bytes) -> None:
        if self.full: raise OSError(28, 'No space left on device')
        self.printed += data

    def out(self, port: int, *values: int) -> None:
        for v in values: self.bus.port_out(port, 8, v)

    def read(self, port: int) -> int:
        return self.bus.port_in(port, 8)

    def go(self, ns: int) -> None:
        self.time += ns
        self.clock.run_due()


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_registers_and_an_idle_printer(m: Machine) -> None:
    """Data and control are read back; selected, no error, not busy, ACK high."""
    m.out(DATA, 0x5a)
    m.out(CONTROL, 0x0c)
    assert m.read(DATA) == 0x5a and m.read(CONTROL) & 0x1f == 0x0c and m.read(STATUS) & 0xf8 == 0xd8


def test_strobe(m: Machine) -> None:
    """Busy with STROBE, then ACK low, then ready."""
    m.out(DATA, ord('a'))
    m.out(CONTROL, 0x0d, 0x0c)
    assert m.printed == b'a' and m.read(STATUS) & 0xc0 == 0x40
    m.go(4_500)
    assert m.read(STATUS) & 0xc0 == 0
    m.go(500)
    assert m.read(STATUS) & 0xc0 == 0xc0 and True not in m.irqs


def test_only_the_rise_of_strobe_prints_and_only_when_ready(m: Machine) -> None:
    m.out(DATA, ord('a'))
    m.out(CONTROL, 0x0d, 0x0d)
    assert m.printed == b'a'
    m.out(CONTROL, 0x0c, 0x0d)
    assert m.printed == b'a'
    m.go(5_000)
    m.out(CONTROL, 0x0c, 0x0d)
    assert m.printed == b'aa'


def test_interrupt_at_the_end_of_ack(m: Machine) -> None:
    """Control bit 4."""
    m.out(CONTROL, 0x1d)
    m.go(4_999)
    assert True not in m.irqs
    m.go(1)
    assert m.irqs[-1] is True
    m.out(CONTROL, 0x0c)
    assert m.irqs[-1] is False


def test_no_paper(m: Machine) -> None:
    """The host's disk is full: busy, out of paper, error; a byte that fits again is printed."""
    m.full = True
    m.out(CONTROL, 0x0d, 0x0c)
    assert m.read(STATUS) & 0xf8 == 0x60 and m.printed == b''
    m.full = False
    m.out(CONTROL, 0x0d, 0x0c)
    assert m.printed == b'\0'
    m.go(5_000)
    assert m.read(STATUS) & 0xf8 == 0xd8
