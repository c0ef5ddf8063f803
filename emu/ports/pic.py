"""Registers of one 8259A interrupt controller and its priorities (Intel 8259A data sheet, 231468), with PIIX3's edge/level register; emu/hw/pic.py has what is left out."""
from emu.isa.language import lowest
from emu.ports.block import Block, fields

KIND = 2
CASCADE = 2
ELCR = 0x4d0  # the first port of the edge/level registers: bit n set: input n is level-triggered
ICW2, ICW3, ICW4 = 1, 2, 4  # bits of `expected`


class Registers(Block):
    """The block. `changed` is told that the output has changed."""

    KIND, CALLS = KIND, ('changed',)
    _fields_ = fields("""
lines       64  1   the inputs' levels
edges       64  1   edges that are latched
level       64  1   ELCR
capable     64  1   which of its bits can be set
isr         64  1   in service
imr         64  1   mask
base        64  1   the first vector
lowest      64  1   the input of lowest priority
expected    64  1   ICWs to come
special_mask            64  1
special_fully_nested    64  1
auto_eoi                64  1
rotate_on_auto_eoi      64  1
poll        64  1   the next read is a poll
read_isr    64  1   and others at A0 = 0 are of the ISR, else of the IRR
output      64  1   INT
""")

    # --- inputs and priorities -----------------------------------------------------------------------------------------------------------

    def irr(self):
        """The interrupt request register: latched edges, and the present level of level-triggered inputs."""
        return self.edges | (self.lines & self.level)

    def set_line(self, n, level):
        """An input changes; an edge that nobody took is gone when the input falls ("Interrupt Triggered Modes")."""
        bit = 1 << n
        if level == 0:
            self.lines = self.lines & ~bit
            self.edges = self.edges & ~bit
        elif self.lines & bit == 0:
            self.lines = self.lines | bit
            self.edges = self.edges | bit

    def first(self, bits):
        """The set bit of highest priority, as its distance from the highest priority."""
        return lowest(((bits << 8) | bits) >> (self.lowest + 1))

    def blocking(self):
        """What is in service and keeps others off."""
        return self.isr & ~self.imr if self.special_mask else self.isr

    def request(self):
        """The input that asks for an interrupt, or -1: requested, not masked, above all that is in service."""
        wanted = self.irr() & ~self.imr
        if wanted == 0: return -1
        distance = self.first(wanted)
        n = (distance + self.lowest + 1) & 7
        served = self.blocking()
        if served:
            above = self.first(served)
            again = self.special_fully_nested and n == CASCADE
            if distance > above or (distance == above and not again): return -1
        return n

    def accept(self, n):
        """INTA, or a poll: the request is in service from now on."""
        self.edges = self.edges & ~(1 << n)
        if self.auto_eoi == 0: self.isr = self.isr | (1 << n)
        elif self.rotate_on_auto_eoi: self.lowest = n

    def drive(self):
        """The output."""
        output = self.request() >= 0
        if output != self.output:
            self.output = output
            self.changed()

    # --- registers -------------------------------------------------------------------------------------------------------------------------

    def read(self, port, w):
        """IMR at A0 = 1, else IRR or ISR; after a poll command, the poll word."""
        if port >= ELCR: return self.level
        if self.poll: return self.polled()
        if port & 1: return self.imr
        if self.read_isr: return self.isr
        return self.irr()

    def polled(self):
        """The poll word."""
        self.poll = 0
        v = 0
        n = self.request()
        if n >= 0:
            self.accept(n)
            v = 0x80 | n
        self.drive()
        return v

    def write(self, port, w, v):
        """ICW1 to ICW4 and OCW1 to OCW3."""
        if port >= ELCR: self.level = v & self.capable
        elif port & 1:
            if self.expected: self.initialize(v)
            else: self.imr = v
        elif v & 0x10: self.begin(v)
        elif v & 8: self.ocw3(v)
        else: self.ocw2(v)
        self.drive()

    def begin(self, v):
        """ICW1: bit 0: ICW4 follows, bit 1: no ICW3."""
        self.edges = 0
        self.isr = 0
        self.imr = 0
        self.lowest = 7
        self.special_mask = 0
        self.poll = 0
        self.read_isr = 0
        self.rotate_on_auto_eoi = 0
        self.modes(0)
        self.expected = ICW2 | (0 if v & 2 else ICW3) | (ICW4 if v & 1 else 0)

    def initialize(self, v):
        """The next ICW. The third says how the cascade is wired, which a PC does not let one choose."""
        icw = self.expected & -self.expected
        self.expected = self.expected & ~icw
        if icw == ICW2: self.base = v & 0xf8
        elif icw == ICW4: self.modes(v)

    def modes(self, v):
        """ICW4."""
        self.auto_eoi = (v >> 1) & 1
        self.special_fully_nested = (v >> 4) & 1

    def ocw2(self, v):
        """End of interrupt and rotation; R, SL and EOI are bits 7 to 5."""
        rotate = (v >> 7) & 1
        specific = (v >> 6) & 1
        n = v & 7
        if v & 0x20:
            if specific == 0:
                n = -1
                if self.blocking(): n = (self.first(self.blocking()) + self.lowest + 1) & 7
            if n >= 0:
                self.isr = self.isr & ~(1 << n)
                if rotate: self.lowest = n
        elif specific == 0: self.rotate_on_auto_eoi = rotate
        elif rotate: self.lowest = n

    def ocw3(self, v):
        """Special mask mode, poll, choice of IRR or ISR."""
        if v & 0x40: self.special_mask = (v >> 5) & 1
        if v & 4: self.poll = 1
        elif v & 2: self.read_isr = v & 1
