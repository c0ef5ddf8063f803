"""The two 8259A interrupt controllers of a PC, slave on IR2 (Intel 8259A data sheet, 231468), with PIIX3's ELCR (82371SB data sheet, "ELCR").

Their registers and priorities are texts: emu/ports/pic.py. As in PIIX3 the edge/level register decides on triggering instead of ICW1's LTIM bit. IRQ lines are IR0 to
IR15; `intr` is called when the output to the CPU changes. Left out: the MCS-80 mode, buffered mode and other wirings of the cascade; those bits are accepted without effect.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.ports.pic import CASCADE, ELCR, Registers


class Chip(Registers):
    """One 8259A; `changed()` is called when its output has changed."""

    def __init__(self, bus: Bus, first: int, elcr: int, capable: int, changed: Callable[[], None]):
        super().__init__()
        self.changed, self.capable = changed, capable
        for port, count in ((first, 2), (elcr, 1)): bus.add_ports(port, count, self.read, self.write, block=self)
        self.reset()

    def reset(self) -> None:
        """Power-on: nothing passes before a driver initializes the chip."""
        self.level = self.special_fully_nested = 0
        self.begin(0)
        self.expected = 0
        self.imr, self.base = 0xff, 0


class Pic:
    """Both chips. `set_irq` is for devices, `acknowledge` for whoever takes the interrupt."""

    def __init__(self, bus: Bus, intr: Callable[[bool], None]):
        self.intr = intr
        self.master = Chip(bus, 0x20, ELCR, 0xf8, lambda: self.intr(bool(self.master.output)))  # IRQ 0, 1, 2, 8 and 13 are edges always
        self.slave = Chip(bus, 0xa0, ELCR + 1, 0xde, self.cascade)
        self.chips = self.master, self.slave

    @property
    def output(self) -> bool:
        """INTR."""
        return bool(self.master.output)

    def reset(self) -> None:
        """RESET."""
        for chip in self.chips: chip.reset()
        for chip in (self.slave, self.master): chip.drive()

    def cascade(self) -> None:
        """The slave's output drives IR2."""
        self.master.set_line(CASCADE, self.slave.output)
        self.master.drive()

    def set_irq(self, n: int, level: bool) -> None:
        """A device drives its line."""
        chip = self.chips[n >> 3]
        if (chip.lines >> (n & 7) & 1) == level: return
        chip.set_line(n & 7, level)
        chip.drive()

    def acknowledge(self) -> int:
        """The INTA cycles: the vector. A request that has gone gives the chip's seventh one, with nothing in service."""
        n = self.master.request()
        if n < 0: return self.master.base + 7
        vector = self.master.base + n
        self.master.accept(n)
        if n == CASCADE:
            n = self.slave.request()
            vector = self.slave.base + (n if n >= 0 else 7)
            if n >= 0: self.slave.accept(n)
            self.master.set_line(CASCADE, False)  # the slave's output falls, and rises again where more is waiting
            self.slave.output = False
            self.slave.drive()
        self.master.drive()
        return vector
