"""The two 8259A interrupt controllers of a PC, slave on IR2 (Intel 8259A data sheet, 231468), with PIIX3's ELCR (82371SB data sheet, "ELCR").

Registers, priorities and the INTA cycles are texts: emu/ports/pic.py. As in PIIX3 the edge/level register decides on triggering instead of ICW1's LTIM bit. Left out: the
MCS-80 mode, buffered mode and other wirings of the cascade; those bits are accepted without effect.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.ports.pic import ELCR, Registers


class Pic(Registers):
    """Both chips. `set_irq` is for devices, `acknowledge` for whoever takes the interrupt; `intr` is called when the output to the CPU changes."""

    def __init__(self, bus: Bus, intr: Callable[[bool], None]):
        super().__init__()
        self.intr = intr
        for first in (0x20, 0xa0, ELCR): bus.add_ports(first, 2, self.read, self.write, block=self)
        self.reset()

    def reset(self) -> None:
        """RESET, as power-on: nothing passes before a driver initializes the chips."""
        self.level = 0
        for c in (0, 1):
            self.begin(c, 0)
            self.base[c] = self.expected[c] = 0
        self.imr = 0xffff
        self.drive()
