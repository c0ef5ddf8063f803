"""emu/hw/rtc.py against Motorola's MC146818A data sheet, and the PC's CMOS map."""
import calendar

import pytest

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.rtc import SECOND, Rtc

EPOCH = calendar.timegm((1999, 12, 31, 23, 59, 58))  # a Friday
MS = 10 ** 6


class Machine:
    """The chip at a known time; `irqs` counts rises of IRQ8."""

    def __init__(self, memory: int = 128 << 20) -> None:
        self.bus, self.time, self.level, self.irqs = Bus(), 5 * SECOND + 123, False, []
        self.clock = Clock(lambda: self.time)
        self.rtc = Rtc(self.bus, self.clock, self.irq, memory, EPOCH)

    def irq(self, level: bool) -> None:
        if level and not self.level: self.irqs.append(self.time)
        self.level = level

    def go(self, ns: int) -> None:
        end = self.time + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.time = max(deadline, self.time)
            self.clock.run_due()
            if self.level: self.read(0xc)
        self.time = end

    def read(self, n: int) -> int:
        self.bus.port_out(0x70, 8, n)
        return self.bus.port_in(0x71, 8)

    def write(self, n: int, v: int) -> None:
        self.bus.port_out(0x70, 8, n)
        self.bus.port_out(0x71, 8, v)

    def date(self) -> str:
        """Century, year, month, day, weekday, hour, minute, second as the registers have them."""
        return ' '.join(f'{self.read(n):02x}' for n in (0x32, 9, 8, 7, 6, 4, 2, 0))


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_time_goes_on(m: Machine) -> None:
    """Time, Calendar and Alarm Locations: BCD and 24 hours; Sunday is day 1."""
    assert m.date() == '19 99 12 31 06 23 59 58'
    m.go(2 * SECOND)
    assert m.date() == '20 00 01 01 07 00 00 00'


def test_binary_and_12_hours(m: Machine) -> None:
    """Register B, DM and 24/12; bit 7 of the hours is PM."""
    m.write(0xb, 6)
    assert m.date() == '13 63 0c 1f 06 17 3b 3a'
    m.write(0xb, 0)
    assert m.read(4) == 0x91  # 11 PM
    m.go(2 * SECOND)
    assert m.read(4) == 0x12  # 12 AM


def test_setting(m: Machine) -> None:
    """Register B, SET: the time stands while it is set, and goes on from what was written, in the middle of the same second."""
    m.go(SECOND // 2 - 200 * MS)
    m.write(0xb, 0x82)
    m.go(3 * SECOND)
    assert m.read(0) == 0x58
    for n, v in ((0, 0x30), (2, 0x45), (4, 0x12), (7, 0x29), (8, 2), (9, 0x24), (0x32, 0x20)): m.write(n, v)
    m.write(0xb, 2)
    assert m.date() == '20 24 02 29 05 12 45 30'
    m.go(SECOND)
    assert m.date() == '20 24 02 29 05 12 45 31'


def test_divider(m: Machine) -> None:
    """Divider Control Bits: held in reset time stands; half a second after its end the first update comes."""
    m.write(0xa, 0x76)
    m.go(10 * SECOND)
    assert m.read(0) == 0x58
    m.write(0xa, 0x26)
    m.go(SECOND // 2 - 1)
    assert m.read(0) == 0x58
    m.go(1)
    assert m.read(0) == 0x59


def test_uip(m: Machine) -> None:
    """Register A, UIP: set at least 244 us before the update cycle; while it is clear for that long the time is stable. Never with SET."""
    m.go(SECOND - 3 * MS)
    assert not m.read(0xa) & 0x80
    m.go(MS)
    assert m.read(0xa) & 0x80 and m.read(0) == 0x58
    m.write(0xb, 0x82)
    assert not m.read(0xa) & 0x80
    m.write(0xb, 2)
    m.go(2 * MS)
    assert not m.read(0xa) & 0x80 and m.read(0) == 0x59


@pytest.mark.parametrize('rate, hertz', [(1, 256), (2, 128), (3, 8192), (6, 1024), (15, 2)])
def test_periodic_interrupt(m: Machine, rate: int, hertz: int) -> None:
    """Table "Periodic Interrupt Rate and Square Wave Frequency", at 32768 Hz."""
    m.write(0xa, 0x20 | rate)
    m.write(0xb, 0x42)
    m.read(0xc)
    m.go(SECOND)
    assert len(m.irqs) == hertz


def test_flags_without_enables(m: Machine) -> None:
    """Register C: flags are set whether enabled or not; IRQF only with an enable; reading clears all."""
    m.read(0xc)
    m.go(SECOND)
    assert m.read(0xc) == 0x50 and m.irqs == []
    assert m.read(0xc) == 0


def test_update_ended_interrupt(m: Machine) -> None:
    """Register B, UIE: once a second, as the second changes; SET clears it."""
    m.write(0xb, 0x12)
    m.go(3 * SECOND)
    assert [time % SECOND for time in m.irqs] == [123] * 3
    m.write(0xb, 0x92)
    assert m.read(0xb) == 0x82


def test_alarm(m: Machine) -> None:
    """Alarm: hours, minutes and seconds match; C0h to FFh match always."""
    for n, v in ((1, 0x05), (3, 0x00), (5, 0x00)): m.write(n, v)
    m.read(0xc)
    m.write(0xb, 0x22)
    start = m.time
    m.go(60 * SECOND)
    assert [time - start for time in m.irqs] == [7 * SECOND]
    m.write(3, 0xff)
    m.write(5, 0xc0)
    m.irqs.clear()
    m.go(120 * SECOND)
    assert [(time - start) // SECOND for time in m.irqs] == [67, 127]


def test_line_falls_with_the_read(m: Machine) -> None:
    """Register C: IRQF holds the line until it is read."""
    m.write(0xb, 0x12)
    m.time += 5 * SECOND
    m.clock.run_due()
    assert m.level and len(m.irqs) == 1 and m.clock.next_deadline() is None
    assert m.read(0xc) == 0xf0 and not m.level  # all happened: midnight is the alarm, too


def test_reset(m: Machine) -> None:
    """RESET: PIE, AIE, UIE and the flags are cleared, nothing else."""
    m.write(0xb, 0x72)
    m.write(0x40, 0x5a)
    m.go(2 * SECOND)
    m.rtc.reset()
    assert m.read(0xb) == 2 and m.read(0xc) == 0 and m.read(0x40) == 0x5a and m.date().startswith('20 00') and m.read(0xd) == 0x80


@pytest.mark.parametrize('megabytes, extended, above', [(1, 0, 0), (16, 15 << 10, 0), (64, 63 << 10, 48 << 4), (3584, 0xffff, 3568 << 4)])
def test_memory_sizes(megabytes: int, extended: int, above: int) -> None:
    """CMOS 15h: base KB; 17h and 30h: KB above 1 MB; 34h: 64 KB units above 16 MB; 2Eh: sum of 10h to 2Dh."""
    m = Machine(megabytes << 20)
    def word(n: int) -> int: return m.read(n) | m.read(n + 1) << 8
    assert (word(0x15), word(0x17), word(0x30), word(0x34)) == (640, extended, extended, above)
    assert m.read(0x2e) << 8 | m.read(0x2f) == sum(m.read(n) for n in range(0x10, 0x2e))


def test_nmi_mask(m: Machine) -> None:
    """Port 70h, bit 7."""
    m.bus.port_out(0x70, 8, 0x8d)
    assert m.rtc.nmi_masked and m.bus.port_in(0x71, 8) == 0x80 and m.bus.port_in(0x70, 8) == 0xff


def test_boot_order() -> None:
    """As QEMU and SeaBIOS have it: digits from 3Dh's low one on; 1 floppy, 2 disk, 3 CD, 4 network."""
    for drives, low, high in (('cad', 0x12, 0x30), ('d', 3, 0), ('acdn', 0x21, 0x30), ('', 0, 0)):
        rtc = Rtc(Bus(), Clock(lambda: 0), lambda level: None, 16 << 20, 0.0, drives)
        assert (rtc.cmos[0x3d], rtc.cmos[0x38]) == (low, high)
