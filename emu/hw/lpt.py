"""A parallel port with a printer on it (IBM PC/AT Technical Reference, "Printer Adapter"; Centronics handshake): LPT1, 378h to 37Ah, IRQ7.

STROBE takes a byte, BUSY answers for PRINT_TIME, then ACK, whose end is the interrupt. A host that cannot write is a printer without paper. Left out: input
(bit 5 of the control port), EPP, ECP; AUTO FEED and SELECT IN are only remembered, INIT is without effect.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer

PRINT_TIME, ACK_TIME = 5_000, 1_000  # ns
NOT_BUSY, NOT_ACK, NO_PAPER, SELECTED, NO_ERROR, UNUSED = 0x80, 0x40, 0x20, 0x10, 8, 7  # of the status
STROBE, INTERRUPT = 1, 0x10  # of the control port


class Lpt:
    """`write` gets each byte, and may raise OSError; `irq` is IRQ7."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None], write: Callable[[bytes], object], first: int = 0x378):
        self.clock, self.irq, self.print = clock, irq, write
        self.timer: Timer | None = None
        self.reset()
        bus.add_ports(first, 3, self.read, self.write)

    def reset(self) -> None:
        """RESET."""
        self.clock.cancel(self.timer)
        self.timer = None
        self.data, self.control = 0, 0
        self.ready = self.clock.now()  # when the printer takes the next byte
        self.out_of_paper = False
        self.irq(False)

    def read(self, port: int, w: int) -> int:
        """Data and control as written, the printer's status."""
        n = port & 3
        if n == 0: return self.data
        if n == 2: return 0xe0 | self.control
        if self.out_of_paper: return NOT_ACK | NO_PAPER | UNUSED
        left = self.ready - self.clock.now()
        return NOT_BUSY * (left <= 0) | NOT_ACK * (not 0 < left <= ACK_TIME) | SELECTED | NO_ERROR | UNUSED

    def write(self, port: int, w: int, v: int) -> None:
        """Data; control, whose STROBE hands it over when the printer is not busy."""
        n = port & 3
        if n == 0: self.data = v
        elif n == 2:
            rises = v & ~self.control & STROBE
            self.control = v & 0x1f
            if not v & INTERRUPT: self.irq(False)
            if rises and self.clock.now() >= self.ready: self.take()

    def take(self) -> None:
        """The printer takes the byte."""
        try:
            self.print(bytes((self.data,)))
            self.out_of_paper = False
        except OSError:
            self.out_of_paper = True
            return
        self.ready = self.clock.now() + PRINT_TIME
        if self.control & INTERRUPT: self.timer = self.clock.at(self.ready, self.acknowledged)

    def acknowledged(self) -> None:
        """ACK is over: an edge."""
        self.timer = None
        if self.control & INTERRUPT:
            self.irq(False)
            self.irq(True)
