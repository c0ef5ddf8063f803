"""The VGA (IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"), with Bochs's VBE extension (vbe.py), as the PCI device
1234:1111: base address 0 is the linear frame buffer (16 MB), the expansion ROM holds the VGA BIOS.

Ports 3B0h to 3DFh: the texts are in emu/ports/vga.py. Retrace and display enable are computed from guest time and what the CRTC is programmed to. Memory: vga_memory.py; the
picture: vga_render.py. As on other cards for PCI there is no vertical interrupt. Left out: light pen, video subsystem enable (3C3h, 46E8h; accesses to memory
can be disabled by the miscellaneous output register), diagnostic bits of input status 1, the CRTC's skews and blanking, the border.
"""
from typing import Callable

import numpy as np

from emu.hw.bus import Bus
from emu.hw.pci import PciDevice
from emu.hw.vbe import Dispi
from emu.hw.vga_memory import SIZE, Rom, VideoMemory
from emu.hw.vga_registers import Registers
from emu.hw.vga_render import Screen, text
from emu.mem.memory import Memory


class Vga:
    """`now()` is guest time in ns; `bios` is the VGA BIOS's image, or None. `pci` is to be plugged in; `memory.address` goes into State's `vga`."""

    def __init__(self, bus: Bus, memory: Memory, now: Callable[[], int], bios: bytes | None = None):
        self.now = now
        self.memory = VideoMemory(memory)
        self.registers = Registers(now, self.follow, self.memory.address)
        self.dispi = Dispi(SIZE, self.follow, self.memory.clear)
        self.pci = PciDevice(0x1234, 0x1111, 0x030000, revision=2)
        self.pci.add_base(0, SIZE, False, self.memory.place_frame_buffer)
        if bios:
            self.rom = Rom(memory, bios)
            self.pci.add_rom(self.rom.size, self.rom.place)
        self.screen = Screen(self)
        r = self.registers
        for first, count in ((0x3b4, 2), (0x3ba, 1), (0x3c0, 16), (0x3d4, 2), (0x3da, 1)): bus.add_ports(first, count, r.read, r.write, block=r)
        bus.add_ports(0x1ce, 3, self.dispi.read, self.dispi.write, wide=True)
        self.follow()

    def reset(self) -> None:
        """RESET; the PCI device has its own."""
        self.registers.reset()
        self.memory.reset()
        self.dispi.power_on()
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
