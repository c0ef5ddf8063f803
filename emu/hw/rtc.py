"""The MC146818 real-time clock with 128 bytes of CMOS RAM (Motorola MC146818A data sheet), as in a PC/AT: ports 70h and 71h, IRQ8.

Time is computed from the clock: `origin` is a moment at which second number `origin_second` (since 1970, UTC) began. Flags of register C are brought
up to date when someone looks; a timer runs only while an enabled interrupt is awaited. UIP is seen for the 2228 us before a second begins (244 us and
the update cycle of 1984 us at 32768 Hz). The century is in byte 32h. Left out: the square-wave pin, daylight saving, other crystals, and a day of the
week that disagrees with the date.
"""
import calendar
import time
from types import MappingProxyType
from typing import Callable, Mapping

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer

SECOND = 10 ** 9
UPDATE = 2_228_000  # ns of UIP before a second begins
SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D = range(14)
SHUTDOWN_STATUS, CENTURY = 0x0f, 0x32
TIME = {SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY}
SET, PIE, AIE, UIE, BINARY, HOURS24 = 0x80, 0x40, 0x20, 0x10, 4, 2  # bits of register B
IRQF, PF, AF, UF = 0x80, 0x40, 0x20, 0x10  # bits of register C
UIP = 0x80
BOOT_DRIVES = 'acdn'  # floppy, disk, CD, network: 1 to 4 in the CMOS


class Rtc:
    """`epoch` is the time (seconds since 1970) at which guest time is now; `memory` the bytes of RAM that the CMOS tells of, `cmos` what other devices want
    to be told there: bytes by their place."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None], memory: int, epoch: float | None = None, boot_order: str = '',
                 cmos: Mapping[int, int] = MappingProxyType({})):
        self.clock, self.irq = clock, irq
        self.cmos = bytearray(128)
        self.cmos[A], self.cmos[B], self.cmos[D] = 0x26, HOURS24, 0x80  # 32768 Hz, 1024 Hz periodic; valid RAM and time
        self.describe(memory, cmos)
        self.set_boot_order(boot_order)
        self.index, self.nmi_masked = 0, False
        self.timer: Timer | None = None
        now, nanoseconds = clock.now(), int((time.time() if epoch is None else epoch) * SECOND)
        self.origin, self.origin_second = now - nanoseconds % SECOND, nanoseconds // SECOND
        self.seen = now  # up to when the flags are known
        bus.add_ports(0x70, 2, self.read, self.write)

    def describe(self, memory: int, cmos: Mapping[int, int]) -> None:
        """What a BIOS and old kernels look for: sizes of memory, the equipment, the disks, the checksum (IBM PC/AT Technical Reference, CMOS RAM)."""
        extended, above = min(max(memory - (1 << 20), 0) >> 10, 0xffff), max(memory - (16 << 20), 0) >> 16
        for at, size in ((0x15, 640), (0x17, extended), (0x30, extended), (0x34, min(above, 0xffff))):
            self.cmos[at:at + 2] = size.to_bytes(2, 'little')
        self.cmos[0x14] = 0x06  # a coprocessor, a PS/2 mouse
        for at, value in cmos.items(): self.cmos[at] |= value
        self.cmos[0x2e:0x30] = sum(self.cmos[0x10:0x2e]).to_bytes(2, 'big')

    def set_boot_order(self, drives: str) -> None:
        """Letters of -boot, of which three fit, where QEMU has them: 3Dh the first and second (low digit, high digit), 38h the third in its high digit."""
        first, second, third = ([BOOT_DRIVES.index(drive) + 1 for drive in drives] + [0, 0, 0])[:3]
        self.cmos[0x3d], self.cmos[0x38] = second << 4 | first, third << 4

    def reset(self) -> None:
        """RESET: interrupts are disabled and their flags cleared; time and RAM are on the battery."""
        self.cmos[B] &= ~(PIE | AIE | UIE)
        self.index, self.nmi_masked = 0, False
        self.read_c()

    # --- ports ---------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, w: int) -> int:
        """71h: the byte that was chosen; 70h cannot be read."""
        if port & 1 == 0: return 0xff
        n = self.index
        if n in TIME: self.show()
        if n == A: return self.cmos[A] | UIP * self.updating()
        if n == C: return self.read_c()
        return self.cmos[n]

    def write(self, port: int, w: int, v: int) -> None:
        """70h: choose a byte, bit 7 masks NMI; 71h: write it."""
        n = self.index
        if port & 1 == 0: self.index, self.nmi_masked = v & 0x7f, bool(v & 0x80)
        elif n in TIME:
            self.catch_up()
            self.show()
            self.cmos[n] = v
            if not self.frozen(): self.origin_second = self.told() - self.second(self.clock.now()) + self.origin_second
        elif n in (A, B): self.control(n, v)
        elif n not in (C, D):
            self.catch_up()
            self.cmos[n] = v
            self.wait()

    def control(self, n: int, v: int) -> None:
        """Registers A and B; time stands while SET is set or the divider held in reset."""
        self.catch_up()
        self.show()
        frozen, held, now = self.frozen(), self.held(), self.clock.now()
        if n == A: v &= ~UIP
        elif v & SET: v &= ~UIE  # data sheet, "Register B"
        self.cmos[n] = v
        if frozen and not self.frozen():
            self.origin_second = self.told()
            self.origin = now - SECOND // 2 if held else now - (now - self.origin) % SECOND  # data sheet, "Divider Control Bits"
            self.seen = now
        self.signal()
        self.wait()

    # --- time ------------------------------------------------------------------------------------------------------------------------

    def held(self) -> bool:
        """The divider is in reset: DV is 11x."""
        return self.cmos[A] & 0x60 == 0x60

    def frozen(self) -> bool:
        """Whether time stands."""
        return bool(self.cmos[B] & SET) or self.held()

    def updating(self) -> bool:
        """UIP: a second ends soon."""
        return not self.frozen() and (self.clock.now() - self.origin) % SECOND >= SECOND - UPDATE

    def second(self, now: int) -> int:
        """Seconds since 1970 at a guest time."""
        return self.origin_second + (now - self.origin) // SECOND

    def show(self) -> None:
        """Brings the time registers up to date."""
        if self.frozen(): return
        year, month, day, hour, minute, second, weekday = time.gmtime(self.second(self.clock.now()))[:7]
        if not self.cmos[B] & HOURS24: hour, pm = (hour + 11) % 12 + 1, 0x80 * (hour >= 12)
        else: pm = 0
        for n, value in ((SECONDS, second), (MINUTES, minute), (WEEKDAY, (weekday + 1) % 7 + 1), (DAY, day), (MONTH, month), (YEAR, year % 100)):
            self.cmos[n] = self.encode(value)
        self.cmos[HOURS] = self.encode(hour) | pm
        self.cmos[CENTURY] = self.encode(year // 100 % 100)

    def told(self) -> int:
        """The second that the registers say; what is no date is taken to the next one that is."""
        year = self.decode(self.cmos[CENTURY]) * 100 + self.decode(self.cmos[YEAR])
        month = min(max(self.decode(self.cmos[MONTH]), 1), 12)
        return calendar.timegm((min(max(year, 1), 9998), month, self.decode(self.cmos[DAY]), self.hour(self.cmos[HOURS]),
                                self.decode(self.cmos[MINUTES]), self.decode(self.cmos[SECONDS])))

    def encode(self, value: int) -> int:
        """A number as register B's DM bit wants it."""
        return value if self.cmos[B] & BINARY else value // 10 << 4 | value % 10

    def decode(self, byte: int) -> int:
        """The number in a register."""
        return byte if self.cmos[B] & BINARY else (byte >> 4) * 10 + (byte & 15)

    def hour(self, byte: int) -> int:
        """The hour in a register: bit 7 is PM in the 12-hour format."""
        if self.cmos[B] & HOURS24: return self.decode(byte)
        return self.decode(byte & 0x7f) % 12 + 12 * (byte >> 7)

    # --- interrupts --------------------------------------------------------------------------------------------------------------------

    def period(self) -> int:
        """Periodic rate, in cycles of 32768 Hz; 0: none (data sheet, table "Periodic Interrupt Rate")."""
        rate = self.cmos[A] & 15
        if rate == 0 or self.held(): return 0
        return 1 << (rate + 6 if rate < 3 else rate - 1)

    def cycles(self, now: int) -> int:
        """Of the 32768 Hz crystal since the origin."""
        return (now - self.origin) * 32768 // SECOND

    def alarm_after(self, second: int) -> int | None:
        """The first second later than this one that the alarm registers match; the two high bits of one set: any value."""
        raw = [self.cmos[n] for n in (HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM)]
        wanted = [None if byte >= 0xc0 else self.hour(byte) if k == 0 else self.decode(byte) for k, byte in enumerate(raw)]
        if any(value is not None and value >= limit for value, limit in zip(wanted, (24, 60, 60))): return None
        candidate = second + 1
        while True:
            for value, unit, limit in zip(wanted, (3600, 60, 1), (24, 60, 60)):
                if value is not None and candidate // unit % limit != value:
                    candidate = (candidate // unit + 1) * unit
                    break
            else: return candidate

    def catch_up(self) -> None:
        """Sets the flags of what has happened since the last look."""
        now = self.clock.now()
        before, self.seen = self.seen, now
        period = self.period()
        if period and self.cycles(before) // period != self.cycles(now) // period: self.cmos[C] |= PF
        if not self.frozen() and self.second(before) < self.second(now):
            self.cmos[C] |= UF
            alarm = self.alarm_after(self.second(before))
            if alarm is not None and alarm <= self.second(now): self.cmos[C] |= AF
        self.signal()

    def signal(self) -> None:
        """IRQF and the IRQ line: a flag whose enable bit is set."""
        active = bool(self.cmos[C] & self.cmos[B] & (PF | AF | UF))
        self.cmos[C] = self.cmos[C] & ~IRQF | IRQF * active
        self.irq(active)

    def read_c(self) -> int:
        """Reading register C clears its flags and lets the next interrupt come."""
        self.catch_up()
        value = self.cmos[C]
        self.cmos[C] = 0
        self.signal()
        self.wait()
        return value

    def wait(self) -> None:
        """Sets the timer for the next enabled interrupt, unless one is being signalled."""
        self.clock.cancel(self.timer)
        self.timer = None
        b, times, now = self.cmos[B], [], self.clock.now()
        if self.cmos[C] & IRQF: return
        if b & PIE and (period := self.period()):
            times.append(self.origin - (-(self.cycles(now) // period + 1) * period * SECOND // 32768))
        if not self.frozen():
            second = self.second(now)
            if b & UIE: times.append(self.origin + (second + 1 - self.origin_second) * SECOND)
            if b & AIE and (alarm := self.alarm_after(second)) is not None: times.append(self.origin + (alarm - self.origin_second) * SECOND)
        if times: self.timer = self.clock.at(min(times), self.due)

    def due(self) -> None:
        """The awaited moment."""
        self.catch_up()
        self.wait()
