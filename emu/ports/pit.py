"""One counter of the 8254 (Intel 8254 data sheet, 231164), its interrupt if it is counter 0, and port 61h, which is counter 2's; emu/hw/pit.py has control words and gates.

A counter is a waveform: `wave` gives its output and `edge` its next change, both as functions of the clock pulses since the count was loaded. Counter 0's next edge is
due at `due`: whoever runs the CPU fires it then, compiled code by itself (`go_on` in emu/jit/pacing.py), or Python's clock (emu/hw/clock.py).
Low pulses of one clock (modes 2, 4, 5) reach IRQ0 as a fall and a rise in one event, at the rise. A count of 1 in modes 2 and 3 is illegal and gives a constant output.
"""
from emu.isa.clock import NEVER, SECOND, ticks
from emu.isa.language import device_time, irq0, smod, timer_set, udiv, umod
from emu.ports.block import Block, fields

KIND = 5
HZ = 1193182
LATCH, LOW, HIGH, BOTH = 0, 1, 2, 3  # the RW bits of a control word
CONTROL, PORT_B = 0x43, 0x61  # ports
REFRESH = 15_085  # ns between the DRAM refresh cycles that toggle bit 4 of port 61h
NONE = -(1 << 62)


class Registers(Block):
    """The block. `programmed` is told that `byte` was written to `port` where that is no count, `heard` of all programming if somebody listens."""

    KIND, CALLS = KIND, ('programmed', 'heard')
    _fields_ = fields("""
port        64  1   what was written last:
byte        64  1   where, and what
mode        64  1   0 to 5
access      64  1   LOW, HIGH or BOTH
bcd         64  1
first_byte  64  1   of a count, which has been written, or NONE
gate        64  1   its level
n           64  1   the count
start       64  1   the clock pulse that loaded it; NONE: not counting
held        64  1   clocks counted when the gate stopped modes 0 and 4, or NONE
next_n      64  1   a count that was written, but not loaded yet; or 0
load_at     64  1   when modes 2 and 3 load it, or NONE
second_byte 64  1   to be read next
latched     64  1   bytes that are latched,
latch       64  1   from the lowest on
status      64  1   latched, or NONE
value       64  1   of port 61h, bits 0 to 3
listened    64  1   whether `heard` is called
drives      64  1   whether the output is IRQ0; only then
edge_at     64  1   the clock pulse of its next edge,
due         64  1   and the guest time, or NEVER
""")

    def tick(self):
        """Clock pulses since time 0."""
        return ticks(device_time(self), HZ)

    def elapsed(self, tick):
        """Clocks since the load."""
        if self.held != NONE: return self.held
        e = tick
        if self.start != NONE: e = tick - self.start
        return e if e > 0 else 0

    def settle(self, tick):
        """Modes 2 and 3 load a new count at the end of the period or half period in which it was written."""
        if self.load_at != NONE and tick >= self.load_at and self.start != NONE:
            falling = 0
            if self.mode == 3: falling = wave(3, self.n, self.load_at - self.start) == 0
            self.start = self.load_at - (((self.next_n + 1) >> 1) if falling else 0)
            self.n = self.next_n
            self.next_n = 0
            self.load_at = NONE

    def level_at(self, tick):
        """The output at a clock pulse that is not before the present load."""
        self.settle(tick)
        if self.start == NONE: return self.mode != 0
        return wave(self.mode, self.n, self.elapsed(tick))

    # --- programming -----------------------------------------------------------------------------------------------------------------

    def write_count(self, v):
        """A byte of a count."""
        if self.access == HIGH: v = v << 8
        elif self.access == BOTH:
            if self.first_byte == NONE:
                self.first_byte = v
                if self.mode == 0:  # the first byte stops the count
                    self.start = NONE
                    self.changed()
                return
            v = self.first_byte | (v << 8)
            self.first_byte = NONE
        self.load(v)

    def load(self, v):
        """A whole count has been written."""
        n = binary(v) if self.bcd else v
        if n == 0: n = 10000 if self.bcd else 65536
        tick = self.tick()
        self.settle(tick)
        periodic = (self.mode & 6) == 2
        if self.mode == 0 or self.mode == 4:
            self.n = n
            self.start = tick + 1
            self.held = NONE if self.gate else 0
        elif periodic and self.start == NONE and self.gate:
            self.n = n
            self.start = tick + 1
        else:
            self.next_n = n
            if periodic and self.start != NONE: self.load_at = self.start + edge(self.mode, self.n, self.elapsed(tick))
        self.changed()

    def changed(self):
        """After programming: the output's level and its next edge."""
        if self.listened: self.heard()
        if self.drives:
            tick = self.tick()
            irq0(self, self.level_at(tick))
            self.arm(tick)

    def arm(self, tick):
        """Waits for the first edge from now on."""
        self.due = NEVER
        if self.start == NONE or self.held != NONE or (self.n == 1 and (self.mode & 6) == 2): return
        e = edge(self.mode, self.n, self.elapsed(tick))
        if e != NONE:
            at = self.start + e
            self.edge_at = at
            self.due = udiv(at, HZ) * SECOND + udiv(umod(at, HZ) * SECOND + HZ - 1, HZ)
            timer_set(self, self.due)

    def due_at(self):
        """When to fire."""
        return self.due

    def fire(self):
        """An edge, maybe late: the output does what it did at its own time."""
        self.settle(self.edge_at)
        high = wave(self.mode, self.n, self.edge_at - self.start)
        if high: irq0(self, 0)
        irq0(self, high)
        tick = self.tick()
        self.settle(tick)
        self.arm(tick)

    # --- reading -----------------------------------------------------------------------------------------------------------------------

    def count(self):
        """The counting element's 16 bits."""
        tick = self.tick()
        self.settle(tick)
        v = self.n
        if self.start != NONE: v = remaining(self.mode, self.n, self.elapsed(tick))
        if self.bcd: return decimal(v)
        return v & 0xffff

    def latch_count(self):
        """The counter latch command; a count that is latched already stays."""
        if self.latched == 0:
            v = self.count()
            self.latched = 2 if self.access == BOTH else 1
            self.latch = v >> 8 if self.access == HIGH else v

    def read(self, port, w):
        """Status if latched, else a latched byte, else a byte of the running count; the control word cannot be read."""
        if port == PORT_B: return self.value | ((udiv(device_time(self), REFRESH) & 1) << 4) | (self.level_at(self.tick()) << 5)
        if port == CONTROL: return 0xff
        v = self.status
        if v != NONE:
            self.status = NONE
            return v
        if self.latched:
            v = self.latch & 0xff
            self.latch = self.latch >> 8
            self.latched = self.latched - 1
            return v
        v = self.count()
        if self.access == BOTH: self.second_byte = self.second_byte ^ 1
        return v >> 8 if self.access == HIGH or (self.access == BOTH and self.second_byte == 0) else v & 0xff

    def write(self, port, w, v):
        """Counts are taken here, and counter 0 is latched."""
        if port < CONTROL: self.write_count(v)
        elif port == CONTROL and v >> 4 == LATCH: self.latch_count()
        else:
            self.port = port
            self.byte = v
            self.programmed()


def wave(mode, n, e):
    """The output e clocks after a count of n was loaded ("Mode Definitions")."""
    if mode < 2: return e >= n
    if mode == 2: return umod(e, n) != n - 1
    if mode == 3: return umod(e, n) < (n + 1) >> 1
    return e != n


def edge(mode, n, e):
    """When after e clocks the output has next changed, or NONE."""
    if mode < 2: return n if e < n else NONE
    if mode == 2: return (udiv(e, n) + 1) * n
    if mode == 3:
        high = (n + 1) >> 1
        return e - umod(e, n) + (high if umod(e, n) < high else n)
    return n + 1 if e <= n else NONE


def remaining(mode, n, e):
    """The counting element: modes 2 and 3 reload, mode 3 counts by two, the others go on through zero."""
    if mode == 2: return n - umod(e, n)
    if mode == 3: return (n & ~1) - 2 * umod(umod(e, n), (n + 1) >> 1)
    return n - e


def binary(v):
    """Four BCD digits."""
    return (v >> 12) * 1000 + ((v >> 8) & 15) * 100 + ((v >> 4) & 15) * 10 + (v & 15)


def decimal(v):
    """The last four digits, as BCD."""
    v = smod(v, 10000)
    if v < 0: v = v + 10000
    return (udiv(v, 1000) << 12) | (umod(udiv(v, 100), 10) << 8) | (umod(udiv(v, 10), 10) << 4) | umod(v, 10)
