"""Coprocessor errors as the PC/AT wires them: FERR# of the CPU drives IRQ 13, a write to port F0h takes it back and has the CPU ignore the error.

Intel 82371SB data sheet, "Coprocessor Error Register" (F0h) and "Coprocessor Error Function"; SDM 1, appendix D. Any value does. The CPU itself takes IGNNE# back
when the error is cleared. Port F1h, which reset an 80287, is a port without effect. Software sees this where CR0.NE is clear.
"""
from typing import Callable

from emu.hw.bus import Bus


class Coprocessor:
    """`irq` is line 13, `ignore` makes IGNNE# active."""

    def __init__(self, bus: Bus, irq: Callable[[bool], None], ignore: Callable[[], None]):
        self.irq, self.ignore, self.pending = irq, ignore, False
        bus.add_ports(0xf0, 2, lambda port, w: 0, self.write)

    def error(self) -> None:
        """FERR# went active."""
        self.pending = True
        self.irq(True)

    def write(self, port: int, w: int, v: int) -> None:
        """F0h: the error is being handled."""
        if port == 0xf0 and self.pending:
            self.pending = False
            self.irq(False)
            self.ignore()

    def reset(self) -> None:
        """No error."""
        self.pending = False
        self.irq(False)
