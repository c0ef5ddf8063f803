"""The 8254 interval timer (Intel 8254 data sheet, 231164): three channels, all modes, computed from the clock instead of ticked.

Counts, outputs and interrupts are texts: emu/ports/pit.py. Channel 0 drives IRQ0; channel 2's gate and output are at port 61h (ports.py).
"""
from functools import partial
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.isa.clock import NEVER
from emu.ports.pit import LATCH, NONE, PORT_B, Registers

MODES = 0, 1, 2, 3, 4, 5, 2, 3  # by the control word's three bits


class Channel(Registers):
    """One counter. `programmed()` is called for what texts leave to us."""

    def __init__(self, clock: Clock, output: Callable[[bool], None] | None = None, gate: bool = True):
        super().__init__()
        self.clock, self.output, self.now = clock, output, clock.now
        self.programmed: Callable[[], None] = lambda: None
        self.heard: Callable[[], None] = lambda: None  # called after programming, if `listened`
        self.drives, self.gate, self.due = output is not None, gate, NEVER
        self.control(0x30)

    def control(self, v: int) -> None:
        """A control word: all counting stops, the output takes its first level."""
        self.access, self.mode, self.bcd = v >> 4 & 3, MODES[v >> 1 & 7], v & 1
        self.second_byte = self.latched = self.n = self.next_n = 0
        self.first_byte = self.status = self.start = self.held = self.load_at = NONE
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

    def level(self) -> bool:
        """The output now."""
        return bool(self.level_at(self.tick()))

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
        clock.counter = self.channels[0]
        self.port_b: Callable[[int], None] = lambda v: None
        for port, channel in zip((0x40, 0x41, 0x42, 0x43, PORT_B), (*self.channels, self.channels[0], self.channels[2])):
            channel.programmed = partial(self.programmed, channel)
            bus.add_ports(port, 1, channel.read, channel.write, block=channel)

    def reset(self) -> None:
        """The chip has no reset; it is made as if just switched on: no counts, OUT low."""
        for channel in self.channels: channel.control(0x30)
        self.channels[2].set_gate(False)

    def programmed(self, channel: Channel) -> None:
        """At 43h a control word, a counter latch or a read-back command."""
        v = channel.byte
        if channel.port == PORT_B: self.port_b(v)
        elif v >> 6 == 3: self.read_back(v)
        elif v >> 4 & 3 == LATCH: self.channels[v >> 6].latch_count()
        else: self.channels[v >> 6].control(v)

    def read_back(self, v: int) -> None:
        """Bits 1 to 3 choose counters; bit 5 clear: latch counts; bit 4 clear: latch status."""
        for n, channel in enumerate(self.channels):
            if v >> n + 1 & 1:
                if not v & 0x20: channel.latch_count()
                if not v & 0x10: channel.latch_status()
