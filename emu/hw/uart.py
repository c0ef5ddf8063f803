"""The 16550A serial port (National Semiconductor PC16550D data sheet).

What the guest sends leaves at once: THR is empty again before the next instruction, and the THRE interrupt is pending again. What arrives waits in
a queue without bounds, on the peer's side of the line, and comes into the FIFO in bursts of up to 16 bytes at the programmed speed, only while there is room:
nothing is overrun but in loopback. As on a PC, OUT2 gates the interrupt. Left out: break, parity and framing errors,
DMA modes, the transmitter's time; all eight bits of a character pass whatever the word length.
"""
from collections import deque
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer

SECOND = 10 ** 9
BAUD_BASE = 115200
RDA, THRE, RLS, MODEM = 1, 2, 4, 8  # bits of IER
NONE, IIR_MODEM, IIR_THRE, IIR_RDA, IIR_RLS, IIR_TIMEOUT = 1, 0, 2, 4, 6, 12
DLAB = 0x80  # of LCR
RTS, OUT2, LOOP = 2, 8, 0x10  # of MCR
DR, OE, EMPTY = 1, 2, 0x60  # of LSR
PRESENT = 0xb0  # MSR with a peer: DCD, DSR, CTS
TRIGGERS = 1, 4, 8, 14


class Uart:
    """`send` gets what the guest transmits; `receive` is for what it shall get, `drained` may be set to hear when all of it is on its way. `irq` follows the
    interrupt output."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None], send: Callable[[bytes], object], first: int = 0x3f8):
        self.clock, self.irq, self.send = clock, irq, send
        self.queue: deque[int] = deque()
        self.drained: Callable[[], object] = lambda: None
        self.burst_timer: Timer | None = None
        self.idle_timer: Timer | None = None
        self.output = False
        self.divisor = 12
        self.scratch = 0
        self.clear()
        self.readers = (self.read_rbr, self.read_ier, self.read_iir, lambda: self.lcr, lambda: self.mcr, self.read_lsr, self.read_msr, lambda: self.scratch)
        self.writers = (self.write_thr, self.write_ier, self.write_fcr, self.write_lcr, self.write_mcr, self.ignore, self.ignore, self.write_scratch)
        bus.add_ports(first, 8, lambda port, w: self.readers[port & 7](), lambda port, w, v: self.writers[port & 7](v))

    def clear(self) -> None:
        """The state after master reset ("UART Reset Configuration")."""
        self.ier = self.lcr = self.mcr = self.errors = 0
        self.fifo: deque[int] = deque()
        self.fifo_enabled = False
        self.trigger = 1
        self.timed_out = self.thre_pending = False
        self.modem = PRESENT

    def reset(self) -> None:
        """MR; the divisor latch and the scratch register stay."""
        self.clear()
        self.clock.cancel(self.burst_timer)
        self.clock.cancel(self.idle_timer)
        self.burst_timer = self.idle_timer = None
        self.update()

    # --- interrupts ------------------------------------------------------------------------------------------------------------------

    def identify(self) -> int:
        """IIR's low bits: the pending interrupt of highest priority ("Interrupt Control Functions")."""
        ier = self.ier
        if ier & RLS and self.errors: return IIR_RLS
        if ier & RDA:
            if len(self.fifo) >= self.trigger: return IIR_RDA
            if self.timed_out: return IIR_TIMEOUT
        if ier & THRE and self.thre_pending: return IIR_THRE
        if ier & MODEM and self.modem & 15: return IIR_MODEM
        return NONE

    def update(self) -> None:
        """The interrupt output."""
        level = self.mcr & (OUT2 | LOOP) == OUT2 and self.identify() != NONE
        if level != self.output:
            self.output = level
            self.irq(level)

    # --- receiving ---------------------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes from the peer."""
        self.queue.extend(data)
        self.burst()

    def character(self) -> int:
        """Nanoseconds that one character takes on the line."""
        bits = 1 + 5 + (self.lcr & 3) + (self.lcr >> 3 & 1) + 1 + (self.lcr >> 2 & 1)
        return bits * SECOND * max(self.divisor, 1) // BAUD_BASE

    def burst(self) -> None:
        """Moves what fits from the queue into the FIFO, unless the last burst is still on the line."""
        room = (16 if self.fifo_enabled else 1) - len(self.fifo)
        count = min(room, len(self.queue))
        if self.burst_timer or count <= 0 or self.mcr & LOOP: return
        for _ in range(count): self.fifo.append(self.queue.popleft())
        self.burst_timer = self.clock.at(self.clock.now() + count * self.character(), self.burst_over)
        self.arrived()
        if not self.queue: self.drained()

    def burst_over(self) -> None:
        """The line is free."""
        self.burst_timer = None
        self.burst()

    def arrived(self) -> None:
        """Characters came or went: the time-out counts four characters from now ("FIFO Interrupt Mode Operation")."""
        self.timed_out = False
        self.clock.cancel(self.idle_timer)
        self.idle_timer = None
        if self.fifo_enabled and 0 < len(self.fifo) < self.trigger:
            self.idle_timer = self.clock.at(self.clock.now() + 4 * self.character(), self.idle)
        self.update()

    def idle(self) -> None:
        """Nobody has read what is below the trigger level."""
        self.timed_out = True
        self.update()

    # --- registers -----------------------------------------------------------------------------------------------------------------------

    def read_rbr(self) -> int:
        """The next character, or the divisor's low byte."""
        if self.lcr & DLAB: return self.divisor & 0xff
        if not self.fifo: return 0
        v = self.fifo.popleft()
        self.burst()
        self.arrived()
        return v

    def write_thr(self, v: int) -> None:
        """A character to send, or the divisor's low byte."""
        if self.lcr & DLAB:
            self.divisor = self.divisor & 0xff00 | v
            return
        if self.ier & THRE:  # the output falls until THR is empty again: an edge for the interrupt controller
            self.thre_pending = False
            self.update()
        self.thre_pending = True
        if self.mcr & LOOP:
            if len(self.fifo) >= (16 if self.fifo_enabled else 1):
                self.errors |= OE
                if not self.fifo_enabled: self.fifo[0] = v
            else: self.fifo.append(v)
            self.arrived()
        else:
            self.send(bytes((v,)))
            if self.ier & THRE: self.update()

    def read_ier(self) -> int:
        """Enables, or the divisor's high byte."""
        return self.divisor >> 8 if self.lcr & DLAB else self.ier

    def write_ier(self, v: int) -> None:
        """Enabling the THRE interrupt while THR is empty, as it always is, makes one pending."""
        if self.lcr & DLAB:
            self.divisor = self.divisor & 0xff | v << 8
            return
        if v & ~self.ier & THRE: self.thre_pending = True
        self.ier = v & 15
        self.update()

    def read_iir(self) -> int:
        """What interrupts; reading it takes back a THRE interrupt that it names."""
        v = self.identify()
        if v == IIR_THRE:
            self.thre_pending = False
            self.update()
        return v | 0xc0 * self.fifo_enabled

    def write_fcr(self, v: int) -> None:
        """FIFO control: changing bit 0 clears the FIFOs; the other bits count only with it."""
        enabled = bool(v & 1)
        if enabled != self.fifo_enabled or v & 3 == 3: self.fifo.clear()
        self.fifo_enabled = enabled
        self.trigger = TRIGGERS[v >> 6] if enabled else 1
        self.burst()
        self.arrived()

    def write_lcr(self, v: int) -> None:
        """The format, and DLAB."""
        self.lcr = v

    def write_mcr(self, v: int) -> None:
        """Modem outputs; in loopback they are the inputs ("Modem Control Register")."""
        self.mcr = v & 0x1f
        state = (v & 2) << 3 | (v & 1) << 5 | (v & 4) << 4 | (v & 8) << 4 if v & LOOP else PRESENT
        changed = (state ^ self.modem) & 0xf0
        if state & 0x40: changed &= ~0x40  # RI counts when it ends
        self.modem = state | self.modem & 15 | changed >> 4
        self.burst()
        self.update()

    def read_lsr(self) -> int:
        """Reading clears the errors."""
        v = EMPTY | self.errors | bool(self.fifo)
        if self.errors:
            self.errors = 0
            self.update()
        return v

    def read_msr(self) -> int:
        """Reading clears the deltas."""
        v = self.modem
        if v & 15:
            self.modem = v & 0xf0
            self.update()
        return v

    def write_scratch(self, v: int) -> None:
        """A byte of memory."""
        self.scratch = v

    def ignore(self, v: int) -> None:
        """LSR and MSR are not written."""
