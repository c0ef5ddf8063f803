"""emu/hw/pit.py against Intel's 8254 data sheet (231164). Section names are the data sheet's."""
import pytest

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.pit import Pit
from emu.ports.pit import HZ


class Machine:
    """The chip, with time in clock pulses; `edges` has (tick, level) of counter 0's output."""

    def __init__(self) -> None:
        self.bus, self.time, self.edges = Bus(), 0, []
        self.clock = Clock(lambda: self.time)
        self.irq0 = False
        self.pit = Pit(self.bus, self.clock, self.irq)

    @property
    def tick(self) -> int:
        return self.time * HZ // 10 ** 9

    def irq(self, level: bool) -> None:
        if level != self.irq0: self.edges.append((self.tick, level))
        self.irq0 = level

    def go(self, ticks: int) -> None:
        """Advances, stopping at each event."""
        end = -(-(self.tick + ticks) * 10 ** 9 // HZ)
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.time = max(deadline, self.time)
            self.clock.run_due()
        self.time = end

    def out(self, port: int, *values: int) -> None:
        for v in values: self.bus.port_out(port, 8, v)

    def count(self, n: int) -> int:
        """A 16-bit count through the counter latch."""
        self.out(0x43, n << 6)
        return self.bus.port_in(0x40 + n, 8) | self.bus.port_in(0x40 + n, 8) << 8

    def program(self, n: int, mode: int, count: int, bcd: int = 0) -> None:
        self.out(0x43, n << 6 | 0x30 | mode << 1 | bcd)
        self.out(0x40 + n, count & 0xff, count >> 8)

    def level(self, n: int) -> bool:
        return self.pit.channels[n].level()

    def wave(self, n: int, ticks: int) -> str:
        """The output of the next clocks, sampled after each."""
        out = ''
        for _ in range(ticks):
            self.go(1)
            out += '_-'[self.level(n)]
        return out

    def rises(self) -> list[int]:
        return [tick for tick, level in self.edges if level]


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_mode_0(m: Machine) -> None:
    """Mode 0: OUT goes high N + 1 clocks after the count is written, and stays."""
    m.program(0, 0, 4)
    assert m.wave(0, 8) == '____----'
    assert m.edges[-1] == (5, True)
    assert m.count(0) == 0x10000 + 4 - 7  # counts on through zero


def test_mode_0_gate(m: Machine) -> None:
    """Mode 0: GATE = 0 stops the count, which goes on from where it was."""
    m.program(2, 0, 10)  # gate 2 is low
    m.go(50)
    assert m.count(2) == 10 and not m.level(2)
    m.pit.channels[2].set_gate(True)
    m.go(4)
    assert m.count(2) == 6
    m.pit.channels[2].set_gate(False)
    m.go(100)
    assert m.count(2) == 6
    m.pit.channels[2].set_gate(True)
    assert m.wave(2, 7) == '_____--'


def test_mode_0_first_byte_stops(m: Machine) -> None:
    """Mode 0: writing the first byte of a new count sets OUT low and stops counting."""
    m.program(0, 0, 2)
    m.go(5)
    m.out(0x40, 9)
    assert not m.level(0) and m.edges[-1] == (5, False)
    m.go(100)
    assert not m.level(0)
    m.out(0x40, 0)
    assert m.wave(0, 11) == '_________--'


def test_mode_1(m: Machine) -> None:
    """Mode 1: the trigger starts a low pulse of N clocks, and starts it anew."""
    m.program(2, 1, 3)
    assert m.level(2)
    gate = m.pit.channels[2].set_gate
    gate(True)
    assert m.wave(2, 6) == '___---'
    gate(False)
    gate(True)
    m.go(2)
    gate(False)
    gate(True)
    assert m.wave(2, 6) == '___---'


def test_mode_2(m: Machine) -> None:
    """Mode 2: every N clocks OUT is low for one, when the count is 1."""
    m.program(0, 2, 4)
    m.go(1)
    assert [(m.go(1), m.count(0))[1] for _ in range(5)] == [3, 2, 1, 4, 3]
    assert m.wave(0, 8) == '-_---_--'
    m.edges.clear()
    m.go(12)
    assert m.rises() == [17, 21, 25]


def test_mode_2_new_count_waits(m: Machine) -> None:
    """Mode 2: a count written while counting is loaded at the end of the period."""
    m.program(0, 2, 10)
    m.go(4)
    m.edges.clear()
    m.out(0x40, 3, 0)
    m.go(20)
    assert m.rises() == [11, 14, 17, 20, 23]


def test_mode_2_gate(m: Machine) -> None:
    """Mode 2: GATE = 0 sets OUT high; its rise reloads."""
    m.program(2, 2, 5)
    m.pit.channels[2].set_gate(True)
    m.go(5)
    assert not m.level(2)
    m.pit.channels[2].set_gate(False)
    assert m.level(2)
    m.go(100)
    m.pit.channels[2].set_gate(True)
    assert m.wave(2, 7) == '----_--'


@pytest.mark.parametrize('n, wave', [(4, '--__--__--__'), (5, '---__---__--')])
def test_mode_3(m: Machine, n: int, wave: str) -> None:
    """Mode 3: a square wave; an odd count is high for (N + 1) / 2 clocks and low for (N - 1) / 2."""
    m.program(0, 3, n)
    assert m.wave(0, 12) == wave
    assert all(level == (wave[tick - 1] == '-') for tick, level in m.edges if tick)


def test_mode_3_counts_by_two(m: Machine) -> None:
    """Mode 3: the count goes down by two, twice in a period; an odd one less one."""
    m.program(0, 3, 6)
    m.go(1)
    assert [(m.count(0), m.go(1))[0] for _ in range(7)] == [6, 4, 2, 6, 4, 2, 6]
    m.program(0, 3, 5)
    m.go(1)
    assert [(m.count(0), m.go(1))[0] for _ in range(6)] == [4, 2, 0, 4, 2, 4]


def test_mode_3_new_count_waits_for_half_a_period(m: Machine) -> None:
    """Mode 3: a new count is loaded at the end of the current half-cycle."""
    m.program(0, 3, 8)
    m.go(2)
    m.out(0x40, 4, 0)
    assert m.wave(0, 10) == '--__--__--'


def test_mode_4(m: Machine) -> None:
    """Mode 4: OUT is low for one clock N + 1 clocks after the write. Linux's one-shot timer uses its rise."""
    m.program(0, 4, 3)
    assert m.wave(0, 7) == '---_---'
    assert m.edges[-2:] == [(5, False), (5, True)]
    m.edges.clear()
    m.go(200000)
    assert m.edges == []


def test_mode_5(m: Machine) -> None:
    """Mode 5: like mode 4, but a trigger starts it."""
    m.program(2, 5, 2)
    assert m.wave(2, 4) == '----'
    m.pit.channels[2].set_gate(True)
    assert m.wave(2, 5) == '--_--'


def test_count_of_zero(m: Machine) -> None:
    """Programming: a count of 0 is 65536, or 10000 in BCD."""
    m.program(0, 2, 0)
    m.program(2, 0, 0, bcd=1)
    m.pit.channels[2].set_gate(True)
    m.edges.clear()
    m.go(65536 * 2 + 1)
    assert m.rises() == [65537, 131073]
    m.program(2, 0, 0, bcd=1)
    m.go(2)
    assert m.count(2) == 0x9999


def test_latch_holds(m: Machine) -> None:
    """Counter Latch Command: held until it is read; a second latch before that is ignored."""
    m.program(0, 2, 1000)
    m.go(101)
    m.out(0x43, 0)
    m.go(50)
    m.out(0x43, 0)
    assert [m.bus.port_in(0x40, 8), m.bus.port_in(0x40, 8)] == [900 & 0xff, 900 >> 8]
    assert m.count(0) == 850


def test_one_byte_counts(m: Machine) -> None:
    """Control Word Format, RW: low byte only, high byte only."""
    m.out(0x43, 0x14)
    m.out(0x40, 100)
    m.go(11)
    assert m.bus.port_in(0x40, 8) == 90
    m.out(0x43, 0x24)
    m.out(0x40, 2)
    m.go(1)
    assert m.bus.port_in(0x40, 8) == 2


def test_read_back(m: Machine) -> None:
    """Read-Back Command: status first, then the count; NULL COUNT until the count is loaded."""
    m.program(0, 3, 1000)
    m.out(0x43, 0xe2)
    assert m.bus.port_in(0x40, 8) == 0x80 | 0x40 | 0x30 | 6
    m.go(601)
    m.out(0x43, 0xc2)
    assert [m.bus.port_in(0x40, 8) for _ in range(3)] == [0x36, 1000 - 200 & 0xff, 1000 - 200 >> 8]


def test_no_drift_and_no_storm(m: Machine) -> None:
    """Ticks come at exact multiples; those that were slept through are not made up for."""
    m.program(0, 2, 11932)
    m.edges.clear()
    m.go(11932 * 100 + 1)
    assert m.rises() == [1 + 11932 * k for k in range(1, 101)]
    m.edges.clear()
    m.time += 10 ** 9
    m.clock.run_due()
    assert len(m.rises()) == 1
    m.edges.clear()
    m.go(11932)
    assert [(tick - 1) % 11932 for tick in m.rises()] == [0]
