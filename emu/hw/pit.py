"""The 8254 interval timer (Intel 8254 data sheet, 231164): three channels, all modes, computed from the clock instead of ticked.

A channel is a waveform: `wave` gives its output and `edge` its next change, both as functions of the clock pulses since the count was loaded; reading is texts, emu/ports/pit.py.
Low pulses of one clock (modes 2, 4, 5) reach `output` as a fall and a rise in one event, at the rise. Channel 0 drives IRQ0; channel 2's gate and output are
at port 61h (ports.py). A count of 1 in modes 2 and 3 is illegal and gives a constant output.
"""
from functools import partial
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer
from emu.ports.pit import HIGH, HZ, LATCH, LOW, NONE, PORT_B, Registers, wave

SECOND = 10 ** 9
MODES = 0, 1, 2, 3, 4, 5, 2, 3  # by the control word's three bits


def edge(mode: int, n: int, e: int) -> int | None:
    """When after e the output has next changed."""
    if mode < 2: return n if e < n else None
    if mode == 2: return (e // n + 1) * n
    if mode == 3: return e - e % n + ((n + 1) // 2 if e % n < (n + 1) // 2 else n)
    return n + 1 if e <= n else None


class Channel(Registers):
    """One counter. `programmed()` is called for what texts leave to us."""

    def __init__(self, clock: Clock, output: Callable[[bool], None] | None = None, gate: bool = True):
        super().__init__()
        self.clock, self.output, self.now = clock, output, clock.now
        self.programmed: Callable[[], None] = lambda: None
        self.heard: Callable[[], None] = lambda: None  # called after programming
        self.timer: Timer | None = None
        self.gate = gate
        self.control(0x30)

    # --- programming -------------------------------------------------------------------------------------------------------------

    def control(self, v: int) -> None:
        """A control word: all counting stops, the output takes its first level."""
        self.access, self.mode, self.bcd = v >> 4 & 3, MODES[v >> 1 & 7], v & 1
        self.first_byte: int | None = None  # written
        self.second_byte = self.latched = self.n = self.next_n = 0
        self.status = self.start = self.held = self.load_at = NONE
        self.changed()

    def write_count(self, v: int) -> None:
        """A byte of a count."""
        if self.access == LOW: self.load(v)
        elif self.access == HIGH: self.load(v << 8)
        elif self.first_byte is None:
            self.first_byte = v
            if self.mode == 0:  # the first byte stops the count
                self.start = NONE
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
            self.n, self.start, self.held = n, tick + 1, NONE if self.gate else 0
        elif self.mode in (2, 3) and self.start == NONE and self.gate:
            self.n, self.start = n, tick + 1
        else:
            self.next_n = n
            if self.mode in (2, 3) and self.start != NONE:
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
            if self.start != NONE:
                if gate: self.start, self.held = tick - (0 if self.held == NONE else self.held), NONE
                else: self.held = self.elapsed(tick)
        elif gate:
            self.n, self.next_n, self.load_at = self.next_n or self.n, 0, NONE
            if self.n: self.start = tick + 1
        elif self.mode in (2, 3):
            self.next_n, self.load_at, self.start = self.next_n or self.n, NONE, NONE
        self.changed()

    # --- what the output does --------------------------------------------------------------------------------------------------------

    def level(self) -> bool:
        """The output now."""
        return bool(self.level_at(self.tick()))

    def changed(self) -> None:
        """After programming: the output's level and its next event."""
        self.heard()
        if self.output:
            tick = self.tick()
            self.output(bool(self.level_at(tick)))
            self.arm(tick)

    def arm(self, tick: int) -> None:
        """Waits for the first edge from now on."""
        self.clock.cancel(self.timer)
        if self.start == NONE or self.held != NONE or self.n == 1 and self.mode in (2, 3): return
        after = edge(self.mode, self.n, self.elapsed(tick))
        if after is not None:
            self.edge_at = self.start + after
            self.timer = self.clock.at(-(-self.edge_at * SECOND // HZ), self.fire)

    def fire(self) -> None:
        """An edge, maybe late: the output does what it did at its own time."""
        self.timer = None
        self.settle(self.edge_at)
        assert self.output and self.start != NONE
        high = bool(wave(self.mode, self.n, self.edge_at - self.start))
        if high: self.output(False)
        self.output(high)
        tick = self.tick()
        self.settle(tick)
        self.arm(tick)

    def latch_status(self) -> None:
        """The read-back command's status byte: OUT, null count, and the control word."""
        if self.status != NONE: return
        level = self.level()
        null = not self.n or bool(self.next_n) or self.start != NONE and self.tick() < self.start
        self.status = level << 7 | null << 6 | self.access << 4 | self.mode << 1 | self.bcd


class Pit:
    """Ports 40h to 43h, and 61h where counter 2 is; `port_b` takes what is written there."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None]):
        self.channels = Channel(clock, irq), Channel(clock), Channel(clock, gate=False)
        self.port_b: Callable[[int], None] = lambda v: None
        for port, channel in zip((0x40, 0x41, 0x42, 0x43, PORT_B), (*self.channels, self.channels[0], self.channels[2])):
            channel.programmed = partial(self.programmed, channel)
            bus.add_ports(port, 1, channel.read, channel.write, block=channel)

    def reset(self) -> None:
        """The chip has no reset; it is made as if just switched on: no counts, OUT low."""
        for channel in self.channels: channel.control(0x30)
        self.channels[2].set_gate(False)

    def programmed(self, channel: Channel) -> None:
        """A count, or at 43h a control word, a counter latch or a read-back command."""
        v = channel.byte
        if channel.port == PORT_B: self.port_b(v)
        elif channel.port & 3 < 3: channel.write_count(v)
        elif v >> 6 == 3: self.read_back(v)
        elif v >> 4 & 3 == LATCH: self.channels[v >> 6].latch_count()
        else: self.channels[v >> 6].control(v)

    def read_back(self, v: int) -> None:
        """Bits 1 to 3 choose counters; bit 5 clear: latch counts; bit 4 clear: latch status."""
        for n, channel in enumerate(self.channels):
            if v >> n + 1 & 1:
                if not v & 0x20: channel.latch_count()
                if not v & 0x10: channel.latch_status()
