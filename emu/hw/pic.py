"""The two 8259A interrupt controllers of a PC, slave on IR2 (Intel 8259A data sheet, 231468), with PIIX3's ELCR (82371SB data sheet, "ELCR").

As in PIIX3 the edge/level register decides on triggering instead of ICW1's LTIM bit. IRQ lines are IR0 to IR15; `intr` is called when the output
to the CPU changes. Left out: the MCS-80 mode, buffered mode and other wirings of the cascade; those bits are accepted without effect.
"""
from typing import Callable

from emu.hw.bus import Bus

CASCADE = 2


class Chip:
    """One 8259A. IRR = latched edges, and the present level of level-triggered inputs."""

    lowest: int  # the input of lowest priority
    special_mask: bool
    rotate_on_auto_eoi: bool
    poll: bool
    read_isr: bool
    expected: list[Callable[[int], None]]  # ICWs to come

    def __init__(self, level_capable: int):
        self.level_capable = level_capable  # what ELCR can set
        self.lines = 0
        self.reset()

    def reset(self) -> None:
        """Power-on: nothing passes before a driver initializes the chip."""
        self.level = 0
        self.special_fully_nested = False
        self.initialize(0)
        self.expected.clear()
        self.imr, self.base = 0xff, 0

    # --- inputs and priorities -----------------------------------------------------------------------------------------------------

    @property
    def irr(self) -> int:
        """The interrupt request register."""
        return self.edges | self.lines & self.level

    def set_line(self, n: int, level: bool) -> None:
        """An input changes; an edge that nobody took is gone when the input falls (data sheet, "Interrupt Triggered Modes")."""
        bit = 1 << n
        if not level:
            self.lines &= ~bit
            self.edges &= ~bit
        elif not self.lines & bit:
            self.lines |= bit
            self.edges |= bit

    def first(self, bits: int) -> int:
        """The set bit of highest priority, as its distance from the highest priority."""
        turned = (bits << 8 | bits) >> (self.lowest + 1)
        return (turned & -turned).bit_length() - 1

    def request(self) -> int:
        """The input that asks for an interrupt, or -1: requested, not masked, above all that is in service."""
        wanted = (self.edges | self.lines & self.level) & ~self.imr
        if not wanted: return -1
        distance = self.first(wanted)
        n = (distance + self.lowest + 1) & 7
        blocking = self.isr & ~self.imr if self.special_mask else self.isr
        if blocking:
            served = self.first(blocking)
            if distance > served or distance == served and not (self.special_fully_nested and n == CASCADE): return -1
        return n

    def accept(self, n: int) -> None:
        """INTA, or a poll: the request is in service from now on."""
        self.edges &= ~(1 << n)
        if self.auto_eoi:
            if self.rotate_on_auto_eoi: self.lowest = n
        else: self.isr |= 1 << n

    # --- registers -------------------------------------------------------------------------------------------------------------------

    def read(self, a0: int) -> int:
        """IMR at A0 = 1, else IRR or ISR; after a poll command, the poll word."""
        if self.poll:
            self.poll = False
            n = self.request()
            if n < 0: return 0
            self.accept(n)
            return 0x80 | n
        if a0: return self.imr
        return self.isr if self.read_isr else self.irr

    def write(self, a0: int, v: int) -> None:
        """ICW1 to ICW4 and OCW1 to OCW3."""
        if a0 and self.expected: self.expected.pop(0)(v)
        elif a0: self.imr = v
        elif v & 0x10: self.initialize(v)
        elif v & 8: self.ocw3(v)
        else: self.ocw2(v)

    def initialize(self, v: int) -> None:
        """ICW1: bit 0: ICW4 follows, bit 1: no ICW3."""
        self.edges = self.isr = self.imr = 0
        self.lowest = 7
        self.special_mask = self.poll = self.read_isr = False
        self.rotate_on_auto_eoi = False
        self.icw4(0)
        self.expected = [self.icw2, *[self.icw3] * (not v & 2), *[self.icw4] * (v & 1)]

    def icw2(self, v: int) -> None:
        """The first vector."""
        self.base = v & 0xf8

    def icw3(self, v: int) -> None:
        """How the cascade is wired, which a PC does not let one choose."""

    def icw4(self, v: int) -> None:
        """Modes."""
        self.auto_eoi, self.special_fully_nested = bool(v & 2), bool(v & 0x10)

    def ocw2(self, v: int) -> None:
        """End of interrupt and rotation; R, SL and EOI are bits 7 to 5."""
        rotate, specific, eoi, n = v & 0x80, v & 0x40, v & 0x20, v & 7
        if not eoi:
            if specific and rotate: self.lowest = n
            elif not specific: self.rotate_on_auto_eoi = bool(rotate)
            return
        if not specific:
            served = self.isr & ~self.imr if self.special_mask else self.isr
            if not served: return
            n = (self.first(served) + self.lowest + 1) & 7
        self.isr &= ~(1 << n)
        if rotate: self.lowest = n

    def ocw3(self, v: int) -> None:
        """Special mask mode, poll, choice of IRR or ISR."""
        if v & 0x40: self.special_mask = bool(v & 0x20)
        if v & 4: self.poll = True
        elif v & 2: self.read_isr = bool(v & 1)


class Pic:
    """Both chips. `set_irq` is for devices, `acknowledge` for whoever takes the interrupt."""

    def __init__(self, bus: Bus, intr: Callable[[bool], None]):
        self.intr = intr
        self.output = False
        self.master, self.slave = self.chips = Chip(0xf8), Chip(0xde)  # IRQ 0, 1, 2, 8 and 13 are edges always
        self.connect(bus, self.master, 0x20, 0x4d0)
        self.connect(bus, self.slave, 0xa0, 0x4d1)

    def reset(self) -> None:
        """RESET."""
        for chip in self.chips: chip.reset()
        self.update()

    def connect(self, bus: Bus, chip: Chip, first: int, elcr: int) -> None:
        """A chip's two ports, and its edge/level register: bit n set: input n is level-triggered."""
        changed = self.update if chip is self.slave else self.drive

        def read(port: int, w: int) -> int:
            polled = chip.poll
            value = chip.read(port & 1)
            if polled: changed()
            return value

        def write(port: int, w: int, v: int) -> None:
            chip.write(port & 1, v)
            changed()

        def write_elcr(port: int, w: int, v: int) -> None:
            chip.level = v & chip.level_capable
            changed()
        bus.add_ports(first, 2, read, write)
        bus.add_ports(elcr, 1, lambda port, w: chip.level, write_elcr)

    def set_irq(self, n: int, level: bool) -> None:
        """A device drives its line."""
        chip = self.chips[n >> 3]
        if (chip.lines >> (n & 7) & 1) == level: return
        chip.set_line(n & 7, level)
        if chip is self.slave: self.update()
        else: self.drive()

    def update(self) -> None:
        """The slave's output drives IR2, the master's the CPU."""
        self.master.set_line(CASCADE, self.slave.request() >= 0)
        self.drive()

    def drive(self) -> None:
        """The master's output."""
        level = self.master.request() >= 0
        if level != self.output:
            self.output = level
            self.intr(level)

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
        self.update()
        return vector
