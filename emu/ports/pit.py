"""Reading one counter of the 8254 (Intel 8254 data sheet, 231164), its output, and port 61h, which is counter 2's; emu/hw/pit.py has the rest: programming and interrupts.

A counter is a waveform: `wave` gives its output as a function of the clock pulses since the count was loaded.
"""
from emu.isa.clock import ticks
from emu.isa.language import device_time, smod, udiv, umod
from emu.ports.block import Block, fields

KIND = 5
HZ = 1193182
LATCH, LOW, HIGH, BOTH = 0, 1, 2, 3  # the RW bits of a control word
CONTROL, PORT_B = 0x43, 0x61  # ports
REFRESH = 15_085  # ns between the DRAM refresh cycles that toggle bit 4 of port 61h
NONE = -(1 << 62)


class Registers(Block):
    """The block. `programmed` is told that `byte` was written to `port`."""

    KIND, CALLS = KIND, ('programmed',)
    _fields_ = fields("""
port        64  1   what was written last:
byte        64  1   where, and what
mode        64  1   0 to 5
access      64  1   LOW, HIGH or BOTH
bcd         64  1
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
        """Counter 0 is latched here."""
        self.port = port
        self.byte = v
        if port == CONTROL and v >> 4 == LATCH: self.latch_count()
        else: self.programmed()


def wave(mode, n, e):
    """The output e clocks after a count of n was loaded ("Mode Definitions")."""
    if mode < 2: return e >= n
    if mode == 2: return umod(e, n) != n - 1
    if mode == 3: return umod(e, n) < (n + 1) >> 1
    return e != n


def remaining(mode, n, e):
    """The counting element: modes 2 and 3 reload, mode 3 counts by two, the others go on through zero."""
    if mode == 2: return n - umod(e, n)
    if mode == 3: return (n & ~1) - 2 * umod(umod(e, n), (n + 1) >> 1)
    return n - e


def decimal(v):
    """The last four digits, as BCD."""
    v = smod(v, 10000)
    if v < 0: v = v + 10000
    return (udiv(v, 1000) << 12) | (umod(udiv(v, 100), 10) << 8) | (umod(udiv(v, 10), 10) << 4) | umod(v, 10)
