"""Physical memory: RAM, ROMs and holes, as the page map that compiled code reads, and byte access for loaders and DMA.

One anonymous mapping holds RAM. `page_map` has a word for each of the 2**20 physical pages: the host address of the page plus PAGE_READ
and PAGE_WRITE, or 0 where a device (or nothing) answers. `code_map` has a bit for each 64 bytes that were decoded as code.
"""
import ctypes
import mmap
from typing import Callable

import numpy as np

from emu.isa.state import PAGE_READ, PAGE_WRITE

PAGE = 4096
RAM_MAX = 3584 << 20  # what lies below the PCI hole


class Memory:
    """`size` bytes of RAM from physical address 0; A0000h to FFFFFh is left to VGA and ROMs."""

    def __init__(self, size: int):
        self.size = size
        self.ram = mmap.mmap(-1, max(size, 1 << 20))
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.page_map = np.zeros(1 << 20, np.int64)
        self.code_map = np.zeros(1 << 20, np.int64)
        self.code_written: Callable[[int], None] = lambda physical: None
        self.remapped: Callable[[], None] = lambda: None
        pages = np.arange(size // PAGE, dtype=np.int64)
        self.page_map[:size // PAGE] = self.host + pages * PAGE + (PAGE_READ | PAGE_WRITE)
        self.unmap(0xa0000, 0x60000)

    def unmap(self, physical: int, size: int) -> None:
        """These pages belong to a device from now on."""
        self.page_map[physical // PAGE:-(-(physical + size) // PAGE)] = 0
        self.remapped()

    def map_ram(self, physical: int, size: int, host: int | None = None, writable: bool = True) -> None:
        """Backs pages with host memory (RAM's own at the same offset unless `host` is given); not writable: a ROM."""
        first, count = physical // PAGE, -(-size // PAGE)
        address = self.host + physical if host is None else host
        self.page_map[first:first + count] = address + np.arange(count, dtype=np.int64) * PAGE + (PAGE_READ | (PAGE_WRITE if writable else 0))
        self.remapped()

    def read(self, physical: int, n: int) -> bytes:
        """n bytes; what is not RAM or ROM reads as FFh."""
        out = bytearray()
        while n > 0:
            part = min(n, PAGE - physical % PAGE)
            word = int(self.page_map[physical // PAGE]) if physical < 1 << 32 else 0
            out += ctypes.string_at((word & -PAGE) + physical % PAGE, part) if word else b'\xff' * part
            physical, n = physical + part, n - part
        return bytes(out)

    def write(self, physical: int, data: bytes) -> None:
        """Stores bytes as a device or a loader does, ROMs included; code among them is dropped from the caches."""
        at = 0
        while at < len(data):
            part = min(len(data) - at, PAGE - physical % PAGE)
            word = int(self.page_map[physical // PAGE]) if physical < 1 << 32 else 0
            if word:
                self.drop_code(physical, part)
                ctypes.memmove((word & -PAGE) + physical % PAGE, bytes(data[at:at + part]), part)
            physical, at = physical + part, at + part

    def drop_code(self, physical: int, n: int) -> None:
        """Announces a write of n bytes inside one page."""
        if code := int(self.code_map[physical // PAGE]):
            for granule in range(physical % PAGE // 64, (physical % PAGE + n - 1) // 64 + 1):
                if code >> granule & 1:
                    self.code_written(physical // PAGE * PAGE + granule * 64)
