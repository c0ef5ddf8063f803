"""The VGA (IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"), with Bochs's VBE extension (vbe.py), as the PCI device
1234:1111: base address 0 is the linear frame buffer (16 MB), the expansion ROM holds the VGA BIOS.

Ports 3B0h to 3DFh. Retrace and display enable are computed from guest time and what the CRTC is programmed to. Memory: vga_memory.py; the picture:
vga_render.py. As on other cards for PCI there is no vertical interrupt. Left out: light pen, video subsystem enable (3C3h, 46E8h; accesses to memory
can be disabled by the miscellaneous output register), diagnostic bits of input status 1, the CRTC's skews and blanking, the border.
"""
from typing import Callable

import numpy as np

from emu.hw import vga_memory
from emu.hw.bus import Bus
from emu.hw.pci import PciDevice
from emu.hw.vbe import Dispi
from emu.hw.vga_memory import SIZE, Rom, VideoMemory
from emu.hw.vga_registers import ATTRIBUTE, CRTC, GRAPHICS, SEQUENCER, Registers
from emu.hw.vga_render import Screen, text
from emu.mem.memory import Memory

RETRACE, DISABLED = 8, 1  # bits of input status 1
CRTC_PORTS = {True: (0x3d4, 0x3d5, 0x3da), False: (0x3b4, 0x3b5, 0x3ba)}  # by bit 0 of miscellaneous output
PROTECT = 0x80  # of CRTC register 11h: registers 0 to 7 cannot be written


class Vga:
    """`now()` is guest time in ns; `bios` is the VGA BIOS's image, or None. `pci` is to be plugged in; `memory.address` goes into State's `vga`."""

    def __init__(self, bus: Bus, memory: Memory, now: Callable[[], int], bios: bytes | None = None):
        self.now = now
        self.registers = Registers()
        self.memory = VideoMemory(memory)
        self.dispi = Dispi(SIZE, self.follow, self.memory.clear)
        self.sequencer_index = self.graphics_index = self.crtc_index = 0
        self.attribute_data = False  # 3C0h takes data next, not an index
        self.dac_index = self.dac_part = 0
        self.dac_reading = False
        self.dac_colour = [0, 0, 0]  # the colour register between the ports and the palette
        self.pci = PciDevice(0x1234, 0x1111, 0x030000, revision=2)
        self.pci.add_base(0, SIZE, False, self.memory.place_frame_buffer)
        if bios:
            self.rom = Rom(memory, bios)
            self.pci.add_rom(self.rom.size, self.rom.place)
        self.screen = Screen(self)
        for first, count in ((0x3b4, 2), (0x3ba, 1), (0x3c0, 16), (0x3d4, 2), (0x3da, 1)): bus.add_ports(first, count, self.read, self.write)
        bus.add_ports(0x1ce, 3, self.dispi.read, self.dispi.write, wide=True)
        self.follow()

    def reset(self) -> None:
        """RESET; the PCI device has its own."""
        self.registers.reset()
        self.memory.reset()
        self.dispi.power_on()
        self.sequencer_index = self.graphics_index = self.crtc_index = 0
        self.attribute_data = self.dac_reading = False
        self.dac_index = self.dac_part = 0
        self.dac_colour = [0, 0, 0]
        self.follow()

    def follow(self) -> None:
        """Registers that tell how memory is accessed have changed."""
        self.memory.follow(self.registers, self.dispi)

    # --- the picture -------------------------------------------------------------------------------------------------------------------

    def frame(self) -> np.ndarray:
        """The screen now: (lines, dots, 4) bytes, blue, green, red, 0. The array is overwritten by the next call."""
        return self.screen.update().pixels

    def text(self) -> str:
        """In text modes the screen as text, a line for each row, without spaces at their ends; else ''."""
        return text(self)

    # --- ports ---------------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, w: int) -> int:
        """A byte; the CRTC's ports answer at one of two places."""
        r = self.registers
        if port in CRTC_PORTS[not r.misc & 1]: return 0xff
        match port:
            case 0x3b4 | 0x3d4: return self.crtc_index
            case 0x3b5 | 0x3d5: return r.crtc[self.crtc_index] if self.crtc_index < len(CRTC) else 0
            case 0x3ba | 0x3da:
                self.attribute_data = False
                return self.status()
            case 0x3c0: return r.attribute_index
            case 0x3c1: return r.attribute[r.attribute_index & 31] if r.attribute_index & 31 < len(ATTRIBUTE) else 0
            case 0x3c2: return 0x10  # input status 0: a colour monitor is there, no interrupt
            case 0x3c3: return 1
            case 0x3c4: return self.sequencer_index
            case 0x3c5: return r.sequencer[self.sequencer_index] if self.sequencer_index < len(SEQUENCER) else 0
            case 0x3c6: return r.dac_mask
            case 0x3c7: return 3 * self.dac_reading
            case 0x3c8: return self.dac_index
            case 0x3c9: return self.read_dac()
            case 0x3ca: return r.feature
            case 0x3cc: return r.misc
            case 0x3ce: return self.graphics_index
            case 0x3cf: return r.graphics[self.graphics_index] if self.graphics_index < len(GRAPHICS) else 0
        return 0xff

    def write(self, port: int, w: int, v: int) -> None:
        """A byte."""
        r = self.registers
        if port in CRTC_PORTS[not r.misc & 1]: return
        match port:
            case 0x3b4 | 0x3d4: self.crtc_index = v & 0x3f
            case 0x3b5 | 0x3d5: self.write_crtc(self.crtc_index, v)
            case 0x3ba | 0x3da: r.feature = v
            case 0x3c0: self.write_attribute(v)
            case 0x3c2:
                r.misc = v & 0xef
                self.follow()
            case 0x3c4: self.sequencer_index = v & 7
            case 0x3c5: self.write_sequencer(self.sequencer_index, v)
            case 0x3c6: r.dac_mask = v
            case 0x3c7 | 0x3c8: self.start_dac(v, reading=port == 0x3c7)
            case 0x3c9: self.write_dac(v)
            case 0x3ce: self.graphics_index = v & 15
            case 0x3cf: self.write_graphics(self.graphics_index, v)

    def write_sequencer(self, n: int, v: int) -> None:
        """Map mask and memory mode decide about accesses."""
        r = self.registers
        if n >= len(SEQUENCER): return
        r.sequencer[n] = v & SEQUENCER[n]
        if n in (2, 4): self.memory.follow_one(r, self.dispi, vga_memory.MAP_MASK if n == 2 else None)

    def write_graphics(self, n: int, v: int) -> None:
        """All of them decide about accesses."""
        r = self.registers
        if n >= len(GRAPHICS): return
        r.graphics[n] = v & GRAPHICS[n]
        self.memory.follow_one(r, self.dispi, vga_memory.GRAPHICS.get(n))

    def write_crtc(self, n: int, v: int) -> None:
        """Protected registers keep their values, but for bit 8 of line compare in register 7."""
        crtc = self.registers.crtc
        if n >= len(CRTC): return
        if n < 8 and crtc[0x11] & PROTECT: v = crtc[n] & ~0x10 | v & 0x10 if n == 7 else crtc[n]
        crtc[n] = v & CRTC[n]

    def write_attribute(self, v: int) -> None:
        """3C0h takes an index and data in turn; reading input status 1 makes it begin with the index."""
        r = self.registers
        n = r.attribute_index & 31
        if not self.attribute_data: r.attribute_index = v & 0x3f
        elif n < len(ATTRIBUTE): r.attribute[n] = v & ATTRIBUTE[n]
        self.attribute_data = not self.attribute_data

    def status(self) -> int:
        """Input status 1 at this moment."""
        t = self.registers.timing()
        dot = self.now() * t.clock // 10 ** 9 % (t.dots * t.lines)
        line, dot = divmod(dot, t.dots)
        retrace = RETRACE if t.retrace <= line < t.retrace_end else 0
        return retrace | (DISABLED if dot >= t.shown_dots or line >= t.shown_lines else 0)

    # --- the palette (Inmos IMS G171 data sheet): one address register, a colour register of three parts that are passed in turn ------------

    def start_dac(self, index: int, reading: bool) -> None:
        """Sets the address; for reading, the colour register is loaded and the address goes on."""
        self.dac_index, self.dac_part, self.dac_reading = index, 0, reading
        if reading: self.load_colour()

    def load_colour(self) -> None:
        self.dac_colour = [int(part) for part in self.registers.dac[self.dac_index]]
        self.dac_index = self.dac_index + 1 & 0xff

    def read_dac(self) -> int:
        """A part of the colour; after the third, the next colour is loaded."""
        part = self.dac_colour[self.dac_part]
        self.dac_part = (self.dac_part + 1) % 3
        if self.dac_part == 0: self.load_colour()
        return part

    def write_dac(self, v: int) -> None:
        """A part of the colour, 6 bits unless the VBE says 8; the third one stores it."""
        self.dac_colour[self.dac_part] = v if self.dispi.wide_dac else v & 0x3f
        self.dac_part = (self.dac_part + 1) % 3
        if self.dac_part == 0:
            self.registers.dac[self.dac_index] = self.dac_colour
            self.dac_index = self.dac_index + 1 & 0xff
