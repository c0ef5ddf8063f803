"""The 8254 interval timer (Intel 8254 data sheet, 231164): three channels, all modes, computed from the clock instead of ticked.

A channel is a waveform: `wave` gives its output and `edge` its next change, both as functions of the clock pulses since the count was loaded.
Low pulses of one clock (modes 2, 4, 5) reach `output` as a fall and a rise in one event, at the rise. Channel 0 drives IRQ0; channel 2's gate and output are
at port 61h (ports.py). A count of 1 in modes 2 and 3 is illegal and gives a constant output.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer

HZ = 1193182
SECOND = 10 ** 9
MODES = 0, 1, 2, 3, 4, 5, 2, 3  # by the control word's three bits
LATCH, LOW, HIGH, BOTH = range(4)  # the RW bits of a control word


def wave(mode: int, n: int, e: int) -> bool:
    """The output e clocks after a count of n was loaded (data sheet, "Mode Definitions")."""
    if mode == 0: return e >= n
    if mode == 1: return e >= n
    if mode == 2: return e % n != n - 1
    if mode == 3: return e % n < (n + 1) // 2
    return e != n


def edge(mode: int, n: int, e: int) -> int | None:
    """When after e the output has next changed."""
    if mode < 2: return n if e < n else None
    if mode == 2: return (e // n + 1) * n
    if mode == 3: return e - e % n + ((n + 1) // 2 if e % n < (n + 1) // 2 else n)
    return n + 1 if e <= n else None


def remaining(mode: int, n: int, e: int) -> int:
    """The counting element: modes 2 and 3 reload, mode 3 counts by two, the others go on through zero."""
    if mode == 2: return n - e % n
    if mode == 3: return (n & ~1) - 2 * (e % n % ((n + 1) // 2))
    return n - e


class Channel:
    """One counter. `start` is the clock pulse that loaded `n`; None: not counting."""

    def __init__(self, clock: Clock, output: Callable[[bool], None] | None = None, gate: bool = True):
        self.clock, self.output = clock, output
        self.heard: Callable[[], None] = lambda: None  # called after programming
        self.timer: Timer | None = None
        self.gate = gate
        self.control(0x30)

    def tick(self) -> int:
        """Clock pulses since time 0."""
        return self.clock.now() * HZ // SECOND

    # --- programming -------------------------------------------------------------------------------------------------------------

    def control(self, v: int) -> None:
        """A control word: all counting stops, the output takes its first level."""
        self.access, self.mode, self.bcd = v >> 4 & 3, MODES[v >> 1 & 7], v & 1
        self.first_byte: int | None = None  # written
        self.second_byte = False  # to be read next
        self.latched: list[int] = []
        self.status: int | None = None
        self.n = 0
        self.start: int | None = None
        self.held: int | None = None  # clocks counted when the gate stopped modes 0 and 4
        self.next_n = 0  # written, but not loaded yet
        self.load_at: int | None = None  # when modes 2 and 3 load it
        self.changed()

    def write(self, v: int) -> None:
        """A byte of a count."""
        if self.access == LOW: self.load(v)
        elif self.access == HIGH: self.load(v << 8)
        elif self.first_byte is None:
            self.first_byte = v
            if self.mode == 0:  # the first byte stops the count
                self.start = None
                self.changed()
        else:
            v, self.first_byte = self.first_byte | v << 8, None
            self.load(v)

    def load(self, v: int) -> None:
        """A whole count has been written."""
        n = sum((v >> 4 * k & 15) * 10 ** k for k in range(4)) if self.bcd else v
        n = n or (10000 if self.bcd else 65536)
        tick = self.tick()
        self.settle(tick)
        if self.mode in (0, 4):
            self.n, self.start, self.held = n, tick + 1, None if self.gate else 0
        elif self.mode in (2, 3) and self.start is None and self.gate:
            self.n, self.start = n, tick + 1
        else:
            self.next_n = n
            if self.mode in (2, 3) and self.start is not None:
                e = edge(self.mode, self.n, self.elapsed(tick))
                self.load_at = self.start + (e or 0)
        self.changed()

    def set_gate(self, gate: bool) -> None:
        """The gate: a level for modes 0, 2, 3 and 4, a trigger for 1, 2, 3 and 5."""
        if gate == self.gate: return
        tick = self.tick()
        self.settle(tick)
        self.gate = gate
        if self.mode in (0, 4):
            if self.start is not None:
                if gate: self.start, self.held = tick - (self.held or 0), None
                else: self.held = self.elapsed(tick)
        elif gate:
            self.n, self.next_n, self.load_at = self.next_n or self.n, 0, None
            if self.n: self.start = tick + 1
        elif self.mode in (2, 3):
            self.next_n, self.load_at, self.start = self.next_n or self.n, None, None
        self.changed()

    # --- what the output does --------------------------------------------------------------------------------------------------------

    def elapsed(self, tick: int) -> int:
        """Clocks since the load."""
        return max(tick - (self.start or 0), 0) if self.held is None else self.held

    def settle(self, tick: int) -> None:
        """Modes 2 and 3 load a new count at the end of the period or half period in which it was written."""
        if self.load_at is None or tick < self.load_at or self.start is None: return
        falling = self.mode == 3 and not wave(3, self.n, self.load_at - self.start)
        self.n, self.start = self.next_n, self.load_at - (self.next_n + 1) // 2 * falling
        self.next_n, self.load_at = 0, None

    def level(self) -> bool:
        """The output now."""
        return self.level_at(self.tick())

    def level_at(self, tick: int) -> bool:
        """The output at a clock pulse that is not before the present load."""
        self.settle(tick)
        return self.mode != 0 if self.start is None else wave(self.mode, self.n, self.elapsed(tick))

    def changed(self) -> None:
        """After programming: the output's level and its next event."""
        self.heard()
        if self.output:
            tick = self.tick()
            self.output(self.level_at(tick))
            self.arm(tick)

    def arm(self, tick: int) -> None:
        """Waits for the first edge from now on."""
        self.clock.cancel(self.timer)
        if self.start is None or self.held is not None or self.n == 1 and self.mode in (2, 3): return
        after = edge(self.mode, self.n, self.elapsed(tick))
        if after is not None:
            self.edge_at = self.start + after
            self.timer = self.clock.at(-(-self.edge_at * SECOND // HZ), self.fire)

    def fire(self) -> None:
        """An edge, maybe late: the output does what it did at its own time."""
        self.timer = None
        self.settle(self.edge_at)
        assert self.output and self.start is not None
        high = wave(self.mode, self.n, self.edge_at - self.start)
        if high: self.output(False)
        self.output(high)
        tick = self.tick()
        self.settle(tick)
        self.arm(tick)

    # --- reading ---------------------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """The counting element's 16 bits."""
        tick = self.tick()
        self.settle(tick)
        value = remaining(self.mode, self.n, self.elapsed(tick)) if self.start is not None else self.n
        return int(str(value % 10000), 16) if self.bcd else value & 0xffff

    def latch_count(self) -> None:
        """The counter latch command; a count that is latched already stays."""
        if self.latched: return
        value = self.count()
        self.latched = [value & 0xff] if self.access == LOW else [value >> 8] if self.access == HIGH else [value & 0xff, value >> 8]

    def latch_status(self) -> None:
        """The read-back command's status byte: OUT, null count, and the control word."""
        if self.status is not None: return
        level = self.level()
        null = not self.n or bool(self.next_n) or self.start is not None and self.tick() < self.start
        self.status = level << 7 | null << 6 | self.access << 4 | self.mode << 1 | self.bcd

    def read(self) -> int:
        """Status if latched, else a latched byte, else a byte of the running count."""
        if self.status is not None:
            v, self.status = self.status, None
            return v
        if self.latched: return self.latched.pop(0)
        value = self.count()
        if self.access == BOTH:
            self.second_byte = not self.second_byte
            return value & 0xff if self.second_byte else value >> 8
        return value >> 8 if self.access == HIGH else value & 0xff


class Pit:
    """Ports 40h to 43h."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None]):
        self.channels = Channel(clock, irq), Channel(clock), Channel(clock, gate=False)
        bus.add_ports(0x40, 4, self.read, self.write)

    def reset(self) -> None:
        """The chip has no reset; it is made as if just switched on: no counts, OUT low."""
        for channel in self.channels: channel.control(0x30)
        self.channels[2].set_gate(False)

    def read(self, port: int, w: int) -> int:
        """A counter; the control word cannot be read."""
        return self.channels[port & 3].read() if port & 3 < 3 else 0xff

    def write(self, port: int, w: int, v: int) -> None:
        """A count, or at 43h a control word, a counter latch or a read-back command."""
        n = port & 3
        if n < 3: self.channels[n].write(v)
        elif v >> 6 == 3: self.read_back(v)
        elif v >> 4 & 3 == LATCH: self.channels[v >> 6].latch_count()
        else: self.channels[v >> 6].control(v)

    def read_back(self, v: int) -> None:
        """Bits 1 to 3 choose counters; bit 5 clear: latch counts; bit 4 clear: latch status."""
        for n, channel in enumerate(self.channels):
            if v >> n + 1 & 1:
                if not v & 0x20: channel.latch_count()
                if not v & 0x10: channel.latch_status()
