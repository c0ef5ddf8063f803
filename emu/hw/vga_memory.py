"""Video memory: 16 MB, the block through which compiled code accesses them (emu/mem/vga.py), and what of them is in the page map as plain RAM.

Planes are interleaved. What an address means to the CPU follows IBM's manual with one exception: chain 4 is packed, as on Super VGAs (address A is byte A,
plane A & 3 of plane address A / 4), so that 256-colour modes, the linear frame buffer and its banks are the same memory. In the banked modes of the VBE, and
in chain 4 as long as no register between CPU and planes does anything, the window is mapped directly; reads then leave the latches alone. Mapped pages displace
nothing: where RAM or a ROM is, the chipset answers.
"""
import ctypes
import mmap

import numpy as np

from emu.hw.vbe import Dispi
from emu.hw.vga_registers import Registers
from emu.mem import vga as block
from emu.mem.memory import PAGE, Memory

SIZE = 16 << 20
PLANE = 0xffff  # the last address of a plane without the VBE
WINDOWS = ((0xa0000, 0x20000), (0xa0000, 0x10000), (0xb0000, 0x8000), (0xb8000, 0x8000))  # graphics controller, register 6, bits 2 and 3
LEGACY, LEGACY_END = 0xa0000, 0xc0000


class VideoMemory:
    """The planes (`planes`: n x 4 bytes, `words` and `bytes` the same memory) and their way to the CPU."""

    def __init__(self, memory: Memory):
        self.memory = memory
        self.ram = mmap.mmap(-1, SIZE)
        self.bytes = np.frombuffer(self.ram, np.uint8)
        self.words = self.bytes.view('<u4')
        self.planes = self.bytes.reshape(-1, 4)
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.block = (ctypes.c_int64 * (block.BLOCK // 8))()
        self.address = ctypes.addressof(self.block)  # what State's `vga` is to hold
        self.cells = memoryview(self.block).cast('B').cast('q')
        self.window: tuple[int, int, int | None] = (LEGACY, 0, None)  # address, size, host address where it is mapped directly
        self.frame_buffer: int | None = None

    def reset(self) -> None:
        """Power-on; memory keeps what it has."""
        self.cells[block.LATCHES >> 3] = 0

    def clear(self) -> None:
        """All zero."""
        ctypes.memset(self.host, 0, SIZE)

    def follow(self, r: Registers, dispi: Dispi) -> None:
        """Takes over all that the registers say about accesses."""
        g, chain4, planes, banked = r.graphics, r.chain4(), r.sequencer[4] & 4, dispi.enabled and dispi.bpp == 4
        first, size = WINDOWS[g[6] >> 2 & 3]
        direct = None
        if dispi.enabled and dispi.bpp > 4: first, size, direct = LEGACY, 0x10000, self.host + (dispi.bank << 16)
        elif chain4 and not g[1] and not g[3] and g[5] & 0x0b == 0 and g[8] == 0xff and r.sequencer[2] == 15: direct = self.host
        if not r.misc & 2: size, direct = 0, None  # accesses are not decoded
        values = {
            block.VRAM: self.host, block.FIRST: first, block.SIZE: size,
            block.SHIFT: 2 if chain4 else 0, block.ODD: int(not chain4 and bool(g[6] & 2)), block.PAGE: int(bool(g[6] & 0x0c) and not r.misc & 0x20),
            block.BANK: dispi.bank << 16 if banked else 0, block.LAST: SIZE // 4 - 1 if banked else PLANE,
            block.WRITE_LOW: 3 if chain4 else 0 if planes else 1, block.SELECT: 0xff if chain4 else 0xffffffff if planes else 0x00ff00ff}
        for at, value in values.items(): self.cells[at >> 3] = value
        r.simple, r.dac_bits = not chain4 and not dispi.enabled, 0xff if dispi.wide_dac else 0x3f
        r.pass_map_mask()
        for n in range(len(g)): r.pass_on(n)
        if self.window != (first, size, direct):
            changes = self.window[2] is not None or direct is not None
            self.window = first, size, direct
            if changes: self.map_window()

    def map_window(self) -> None:
        """The window in the page map: video memory where it is plain, else nothing."""
        first, size, direct = self.window
        self.memory.unmap(LEGACY, LEGACY_END - LEGACY)
        if direct is not None: self.memory.map_ram(first, size, direct)

    def place_frame_buffer(self, address: int | None) -> None:
        """Base address 0: where the linear frame buffer is."""
        if self.frame_buffer is not None: self.memory.unmap_host(self.frame_buffer, SIZE, self.host)
        self.frame_buffer = address
        if address is not None: self.memory.map_free(address, SIZE, self.host)


class Rom:
    """The VGA BIOS as the expansion ROM: a power of two of bytes, mapped where its base address says."""

    def __init__(self, memory: Memory, image: bytes):
        self.memory, self.size = memory, max(1 << (len(image) - 1).bit_length(), PAGE)
        self.ram = mmap.mmap(-1, self.size)
        self.ram[:len(image)] = image
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.address: int | None = None

    def place(self, address: int | None) -> None:
        """The base address has changed."""
        if self.address is not None: self.memory.unmap_host(self.address, self.size, self.host)
        self.address = address
        if address is not None: self.memory.map_free(address, self.size, self.host, writable=False)
