"""Registers of a VGA at 3B4h to 3DAh (IBM VGA Technical Reference; bit numbers as there) and the palette's (Inmos IMS G171 data sheet); emu/hw/vga.py has what is left out.

What they say of accesses to video memory goes into the block of emu/mem/vga.py, here where a register decides neither the window nor whether that is mapped.
"""
from emu.isa.clock import ticks
from emu.isa.language import device_time, host_store, udiv, umod
from emu.mem import vga
from emu.mem.vga import EACH, PLANES
from emu.ports.block import Block, fields

KIND = 4
RETRACE, DISABLED = 8, 1  # bits of input status 1
PROTECT = 0x80  # of CRTC register 11h: registers 0 to 7 cannot be written
# Bits that exist, by index.
SEQUENCER = 0x03, 0x3d, 0x0f, 0x3f, 0x0e
CRTC = (*(0xff,) * 8, 0x7f, 0xff, 0x3f, 0x7f, *(0xff,) * 8, 0x7f, 0xff, 0xff, 0xef, 0xff)
GRAPHICS = 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff
ATTRIBUTE = *(0x3f,) * 16, 0xef, 0xff, 0x3f, 0x0f, 0x0f
SEQUENCERS, CRTCS, GRAPHICSES, ATTRIBUTES = len(SEQUENCER), len(CRTC), len(GRAPHICS), len(ATTRIBUTE)
TIMED = sum(1 << n for n in (0, 1, 6, 7, 9, 0x10, 0x11, 0x12, 0x17))  # registers of the CRTC that the timing depends on


class Registers(Block):
    """The block. `follow` is told of changes in how memory is accessed, `retime` of others in the timing; it fills in what is behind `clock`."""

    KIND, CALLS = KIND, ('follow', 'retime')
    _fields_ = fields("""
misc            64  1   miscellaneous output
feature         64  1   feature control
sequencer       8   5
crtc            8   25
graphics        8   9
attribute       8   21
sequencer_index 64  1
crtc_index      64  1
graphics_index  64  1
attribute_index 64  1
attribute_data  64  1   3C0h takes data next, not an index
colours         8   768 the palette: red, green, blue
colour          8   3   the colour register between the ports and the palette
dac_mask        64  1
dac_index       64  1
dac_part        64  1   of the colour register, next
dac_reading     64  1
dac_bits        64  1   of a part: 3Fh, or FFh by the VBE
video           64  1   host address of the block of emu/mem/vga.py
simple          64  1   not 0: neither chain 4 nor the VBE: a change of most registers needs no `follow`
clock           64  1   dots a second
width           64  1   dots of a line
height          64  1   lines
shown_width     64  1   of them in the picture
shown_height    64  1
retrace         64  1   first line of the vertical retrace,
retrace_end     64  1   and the one behind it
""")

    def read(self, port, w):
        """A byte."""
        if port & 0x10: return self.read_crtc(port)
        if port == 0x3c0: return self.attribute_index
        if port == 0x3c1: return self.read_attribute(self.attribute_index & 31)
        if port == 0x3c2: return 0x10  # input status 0: a colour monitor is there, no interrupt
        if port == 0x3c3: return 1
        if port == 0x3c4: return self.sequencer_index
        if port == 0x3c5: return self.read_sequencer(self.sequencer_index)
        if port == 0x3c6: return self.dac_mask
        if port == 0x3c7: return 3 if self.dac_reading else 0
        if port == 0x3c8: return self.dac_index
        if port == 0x3c9: return self.read_dac()
        if port == 0x3ca: return self.feature
        if port == 0x3cc: return self.misc
        if port == 0x3ce: return self.graphics_index
        if port == 0x3cf: return self.read_graphics(self.graphics_index)
        return 0xff

    def write(self, port, w, v):
        """A byte."""
        if port & 0x10: self.write_crtc(port, v)
        elif port == 0x3c0: self.write_attribute(v)
        elif port == 0x3c2:
            self.misc = v & 0xef
            self.retime()
            self.follow()
        elif port == 0x3c4: self.sequencer_index = v & 7
        elif port == 0x3c5: self.write_sequencer(self.sequencer_index, v)
        elif port == 0x3c6: self.dac_mask = v
        elif port == 0x3c7: self.start_dac(v, 1)
        elif port == 0x3c8: self.start_dac(v, 0)
        elif port == 0x3c9: self.write_dac(v)
        elif port == 0x3ce: self.graphics_index = v & 15
        elif port == 0x3cf: self.write_graphics(self.graphics_index, v)

    # --- the CRTC, at 3D4h with bit 0 of miscellaneous output, else at 3B4h --------------------------------------------------------------

    def read_crtc(self, port):
        """Index, data and input status 1."""
        if (port >> 5) & 1 == self.misc & 1: return 0xff
        if port & 15 == 4: return self.crtc_index
        if port & 15 == 10:
            self.attribute_data = 0
            return self.status()
        if self.crtc_index < CRTCS: return self.crtc[self.crtc_index]
        return 0

    def write_crtc(self, port, v):
        """Index, data and feature control."""
        if (port >> 5) & 1 != self.misc & 1:
            if port & 15 == 4: self.crtc_index = v & 0x3f
            elif port & 15 == 10: self.feature = v
            elif self.crtc_index < CRTCS: self.write_crtc_data(self.crtc_index, v)

    def write_crtc_data(self, n, v):
        """Protected registers keep their values, but for bit 8 of line compare in register 7."""
        if n < 8 and self.crtc[0x11] & PROTECT: v = (self.crtc[n] & ~0x10) | (v & 0x10) if n == 7 else self.crtc[n]
        self.crtc[n] = v & CRTC[n]
        if (TIMED >> n) & 1: self.retime()

    def status(self):
        """Input status 1 at this moment."""
        dot = umod(ticks(device_time(self), self.clock), self.width * self.height)
        line = udiv(dot, self.width)
        hidden = umod(dot, self.width) >= self.shown_width or line >= self.shown_height
        return (RETRACE if self.retrace <= line and line < self.retrace_end else 0) | (DISABLED if hidden else 0)

    # --- sequencer, graphics and attribute controller --------------------------------------------------------------------------------------

    def read_sequencer(self, n):
        """3C5h."""
        if n < SEQUENCERS: return self.sequencer[n]
        return 0

    def write_sequencer(self, n, v):
        """3C5h."""
        if n < SEQUENCERS:
            self.sequencer[n] = v & SEQUENCER[n]
            if n == 1: self.retime()
            elif n == 2 and self.simple: self.pass_map_mask()
            elif n == 2 or n == 4: self.follow()

    def read_graphics(self, n):
        """3CFh."""
        if n < GRAPHICSES: return self.graphics[n]
        return 0

    def write_graphics(self, n, v):
        """3CFh."""
        if n < GRAPHICSES:
            self.graphics[n] = v & GRAPHICS[n]
            if n != 6 and self.simple: self.pass_on(n)
            else: self.follow()

    def read_attribute(self, n):
        """3C1h."""
        if n < ATTRIBUTES: return self.attribute[n]
        return 0

    def write_attribute(self, v):
        """3C0h takes an index and data in turn; reading input status 1 makes it begin with the index."""
        n = self.attribute_index & 31
        if self.attribute_data == 0: self.attribute_index = v & 0x3f
        elif n < ATTRIBUTES: self.attribute[n] = v & ATTRIBUTE[n]
        self.attribute_data = self.attribute_data ^ 1

    # --- what they say to accesses to memory -------------------------------------------------------------------------------------------------

    def pass_map_mask(self):
        """Of the sequencer."""
        host_store(self.video + vga.MAP_MASK, 64, PLANES[self.sequencer[2]])

    def pass_on(self, n):
        """Of register n of the graphics controller."""
        v = self.graphics[n]
        chain4 = self.sequencer[4] & 8
        if n == 0: host_store(self.video + vga.SET_RESET, 64, PLANES[v])
        elif n == 1: host_store(self.video + vga.DATA_PLANES, 64, PLANES[v ^ 15])
        elif n == 2: host_store(self.video + vga.COMPARE, 64, PLANES[v])
        elif n == 3:
            host_store(self.video + vga.ROTATE, 64, v & 7)
            host_store(self.video + vga.FUNCTION, 64, v >> 3)
        elif n == 4: host_store(self.video + vga.READ_PLANE, 64, 0 if chain4 else v & (2 if self.graphics[5] & 0x10 else 3))
        elif n == 5:
            host_store(self.video + vga.READ_MODE, 64, (v >> 3) & 1)
            host_store(self.video + vga.WRITE_MODE, 64, v & 3)
            host_store(self.video + vga.READ_LOW, 64, 3 if chain4 else (v >> 4) & 1)
            host_store(self.video + vga.READ_PLANE, 64, 0 if chain4 else self.graphics[4] & (2 if v & 0x10 else 3))
        elif n == 7: host_store(self.video + vga.CARE, 64, PLANES[v])
        elif n == 8: host_store(self.video + vga.BIT_MASK, 64, v * EACH)

    # --- the palette: one address register, a colour register of three parts that are passed in turn ------------------------------------------

    def start_dac(self, index, reading):
        """Sets the address; for reading, the colour register is loaded and the address goes on."""
        self.dac_index = index
        self.dac_part = 0
        self.dac_reading = reading
        if reading: self.load_colour()

    def load_colour(self):
        """Reads the palette."""
        self.colour[0] = self.colours[3 * self.dac_index]
        self.colour[1] = self.colours[3 * self.dac_index + 1]
        self.colour[2] = self.colours[3 * self.dac_index + 2]
        self.dac_index = (self.dac_index + 1) & 0xff

    def next_part(self):
        """The part that is passed now."""
        part = self.dac_part
        self.dac_part = 0 if part == 2 else part + 1
        return part

    def read_dac(self):
        """A part of the colour; after the third, the next colour is loaded."""
        v = self.colour[self.next_part()]
        if self.dac_part == 0: self.load_colour()
        return v

    def write_dac(self, v):
        """A part of the colour; the third one stores it."""
        self.colour[self.next_part()] = v & self.dac_bits
        if self.dac_part == 0:
            self.colours[3 * self.dac_index] = self.colour[0]
            self.colours[3 * self.dac_index + 1] = self.colour[1]
            self.colours[3 * self.dac_index + 2] = self.colour[2]
            self.dac_index = (self.dac_index + 1) & 0xff
