"""Registers and priorities of the two 8259A of a PC, slave on IR2 (Intel 8259A data sheet, 231468), with PIIX3's edge/level register; emu/hw/pic.py has what is left out.

Bit n of a field of 16 bits is IRQ n; `c` is 0 for the master, 1 for the slave.
"""
from emu.isa.language import intr, lowest
from emu.ports.block import Block, fields

KIND = 2
CASCADE = 2
ELCR = 0x4d0  # the first port of the edge/level registers: bit n set: input n is level-triggered
LEVELS = 0xdef8  # what can be set there: IRQ 0, 1, 2, 8 and 13 are edges always
ICW2, ICW3, ICW4 = 1, 2, 4  # bits of `expected`


class Registers(Block):
    """The block."""

    KIND = KIND
    _fields_ = fields("""
output      64  1   INTR
lines       64  1   the inputs' levels
edges       64  1   edges that are latched
level       64  1   ELCR
isr         64  1   in service
imr         64  1   mask
base        64  2   the first vector
lowest      64  2   the input of lowest priority
expected    64  2   ICWs to come
special_mask            64  2
special_fully_nested    64  2
auto_eoi                64  2
rotate_on_auto_eoi      64  2
poll        64  2   the next read is a poll
read_isr    64  2   and others at A0 = 0 are of the ISR, else of the IRR
""")

    # --- inputs and priorities -----------------------------------------------------------------------------------------------------------

    def irr(self):
        """The interrupt request register: latched edges, and the present level of level-triggered inputs."""
        return self.edges | (self.lines & self.level)

    def set_irq(self, n, level):
        """A device drives its line."""
        if (self.lines >> n) & 1 != level:
            self.set_line(n, level)
            self.drive()

    def set_line(self, n, level):
        """An input changes; an edge that nobody took is gone when the input falls ("Interrupt Triggered Modes")."""
        bit = 1 << n
        if level == 0:
            self.lines = self.lines & ~bit
            self.edges = self.edges & ~bit
        elif self.lines & bit == 0:
            self.lines = self.lines | bit
            self.edges = self.edges | bit

    def drive(self):
        """The slave's output drives IR2, the master's the CPU."""
        self.set_line(CASCADE, self.request(1) >= 0)
        output = self.request(0) >= 0
        if output != self.output:
            self.output = output
            intr(self, output)

    def first(self, c, bits):
        """The set bit of highest priority, as its distance from the highest priority."""
        return lowest(((bits << 8) | bits) >> (self.lowest[c] + 1))

    def blocking(self, c):
        """What is in service and keeps others off."""
        isr = self.isr & ~self.imr if self.special_mask[c] else self.isr
        return (isr >> (c << 3)) & 0xff

    def request(self, c):
        """The input that asks for an interrupt, or -1: requested, not masked, above all that is in service."""
        wanted = ((self.irr() & ~self.imr) >> (c << 3)) & 0xff
        if wanted == 0: return -1
        distance = self.first(c, wanted)
        n = (distance + self.lowest[c] + 1) & 7
        served = self.blocking(c)
        if served:
            above = self.first(c, served)
            again = self.special_fully_nested[c] and n == CASCADE
            if distance > above or (distance == above and not again): return -1
        return n

    def accept(self, c, n):
        """INTA, or a poll: the request is in service from now on."""
        bit = 1 << ((c << 3) + n)
        self.edges = self.edges & ~bit
        if self.auto_eoi[c] == 0: self.isr = self.isr | bit
        elif self.rotate_on_auto_eoi[c]: self.lowest[c] = n

    def acknowledge(self):
        """The INTA cycles: the vector. A request that has gone gives the chip's seventh one, with nothing in service."""
        n = self.request(0)
        if n < 0: return self.base[0] + 7
        vector = self.base[0] + n
        self.accept(0, n)
        if n == CASCADE:
            n = self.request(1)
            vector = self.base[1] + (n & 7)
            if n >= 0: self.accept(1, n)
            self.set_line(CASCADE, 0)  # the slave's output falls, and rises again where more is waiting
        self.drive()
        return vector

    # --- registers -------------------------------------------------------------------------------------------------------------------------

    def read(self, port, w):
        """IMR at A0 = 1, else IRR or ISR; after a poll command, the poll word."""
        if port >= ELCR: return (self.level >> ((port & 1) << 3)) & 0xff
        c = (port >> 7) & 1
        if self.poll[c]: return self.polled(c)
        v = self.irr()
        if port & 1: v = self.imr
        elif self.read_isr[c]: v = self.isr
        return (v >> (c << 3)) & 0xff

    def polled(self, c):
        """The poll word."""
        self.poll[c] = 0
        v = 0
        n = self.request(c)
        if n >= 0:
            self.accept(c, n)
            v = 0x80 | n
        self.drive()
        return v

    def write(self, port, w, v):
        """ICW1 to ICW4 and OCW1 to OCW3."""
        c = (port >> 7) & 1
        if port >= ELCR: self.level = insert(self.level, port & 1, v) & LEVELS
        elif port & 1:
            if self.expected[c]: self.initialize(c, v)
            else: self.imr = insert(self.imr, c, v)
        elif v & 0x10: self.begin(c, v)
        elif v & 8: self.ocw3(c, v)
        else: self.ocw2(c, v)
        self.drive()

    def begin(self, c, v):
        """ICW1: bit 0: ICW4 follows, bit 1: no ICW3."""
        self.edges = insert(self.edges, c, 0)
        self.isr = insert(self.isr, c, 0)
        self.imr = insert(self.imr, c, 0)
        self.lowest[c] = 7
        self.special_mask[c] = 0
        self.poll[c] = 0
        self.read_isr[c] = 0
        self.rotate_on_auto_eoi[c] = 0
        self.modes(c, 0)
        self.expected[c] = ICW2 | (0 if v & 2 else ICW3) | (ICW4 if v & 1 else 0)

    def initialize(self, c, v):
        """The next ICW. The third says how the cascade is wired, which a PC does not let one choose."""
        icw = self.expected[c] & -self.expected[c]
        self.expected[c] = self.expected[c] & ~icw
        if icw == ICW2: self.base[c] = v & 0xf8
        elif icw == ICW4: self.modes(c, v)

    def modes(self, c, v):
        """ICW4."""
        self.auto_eoi[c] = (v >> 1) & 1
        self.special_fully_nested[c] = (v >> 4) & 1

    def ocw2(self, c, v):
        """End of interrupt and rotation; R, SL and EOI are bits 7 to 5."""
        rotate = (v >> 7) & 1
        specific = (v >> 6) & 1
        n = v & 7
        if v & 0x20:
            if specific == 0:
                n = -1
                if self.blocking(c): n = (self.first(c, self.blocking(c)) + self.lowest[c] + 1) & 7
            if n >= 0:
                self.isr = self.isr & ~(1 << ((c << 3) + n))
                if rotate: self.lowest[c] = n
        elif specific == 0: self.rotate_on_auto_eoi[c] = rotate
        elif rotate: self.lowest[c] = n

    def ocw3(self, c, v):
        """Special mask mode, poll, choice of IRR or ISR."""
        if v & 0x40: self.special_mask[c] = (v >> 5) & 1
        if v & 4: self.poll[c] = 1
        elif v & 2: self.read_isr[c] = v & 1


def insert(field, c, v):
    """A field with the byte of a chip replaced."""
    return (field & ~(0xff << (c << 3))) | (v << (c << 3))
