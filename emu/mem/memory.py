"""Physical memory: RAM, ROMs and holes, as the page map that compiled code reads, and byte access for loaders and DMA.

One anonymous mapping holds RAM. `page_map` has a word for each of the 2**20 physical pages: the host address of the page plus PAGE_READ
and PAGE_WRITE, or 0 where a device (or nothing) answers. What a page does not let through goes to the bus. `code_map` has a bit for each
64 bytes that were decoded as code of what the page is now.

C0000h to FFFFFh has two sides: ROMs (or nothing), which is what a reset shows, and RAM, the shadow; the chipset says which one reads and which one writes go to.
"""
import ctypes
import mmap
from typing import Callable

import numpy as np

from emu.isa.state import PAGE_READ, PAGE_WRITE

PAGE = 4096
RAM_MAX = 3584 << 20  # what lies below the PCI hole
SHADOW, SHADOW_END = 0xc0000, 0x100000


def zeroed(size: int) -> mmap.mmap:
    """Zeroed host memory, of huge pages where the host has them: misses of its TLB would cost a guest that uses much memory a third of its speed. Children get none."""
    made = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_DONTFORK):
        try: made.madvise(advice)
        except OSError: pass  # a kernel without huge pages
    return made


class Memory:
    """`size` bytes of RAM from physical address 0; A0000h to FFFFFh is left to VGA and ROMs."""

    def __init__(self, size: int):
        self.size = size
        self.ram = zeroed(max(size, 1 << 20))
        self.host = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.page_map = np.frombuffer(zeroed(8 << 20), np.int64)
        self.code_map = np.frombuffer(zeroed(8 << 20), np.int64)
        self.code_written: Callable[[int], object] = lambda physical: None
        self.remapped: Callable[[], None] = lambda: None
        self.roms: list[mmap.mmap] = []
        self.nothing = mmap.mmap(-1, PAGE)
        self.nothing[:] = b'\xff' * PAGE
        empty = ctypes.addressof(ctypes.c_char.from_buffer(self.nothing)) | PAGE_READ
        self.shadowed = np.full((SHADOW_END - SHADOW) // PAGE, empty, np.int64)  # what the page map has where reads are not the RAM's: ROMs, or a page of ones
        self.shadow_writes = np.zeros(len(self.shadowed), bool)  # pages whose writes are the RAM's
        pages = np.arange(size // PAGE, dtype=np.int64)
        self.page_map[:size // PAGE] = self.host + pages * PAGE + (PAGE_READ | PAGE_WRITE)
        self.unmap(0xa0000, 0x20000)
        self.shadow(SHADOW, SHADOW_END - SHADOW, False, False)

    def unmap(self, physical: int, size: int) -> None:
        """These pages belong to a device from now on."""
        self.remap(physical // PAGE, np.zeros(-(-(physical + size) // PAGE) - physical // PAGE, np.int64))

    def map_ram(self, physical: int, size: int, host: int | None = None, writable: bool = True) -> None:
        """Backs pages with host memory (RAM's own at the same offset unless `host` is given); not writable: a ROM."""
        count = -(-size // PAGE)
        address = self.host + physical if host is None else host
        self.remap(physical // PAGE, address + np.arange(count, dtype=np.int64) * PAGE + (PAGE_READ | (PAGE_WRITE if writable else 0)))

    def add_rom(self, data: bytes, *places: int) -> None:
        """A ROM of whole pages that answers at these physical addresses; in the shadow's range, where the chipset lets it."""
        content = mmap.mmap(-1, -(-len(data) // PAGE) * PAGE)
        content[:len(data)] = data
        self.roms.append(content)
        host = ctypes.addressof(ctypes.c_char.from_buffer(content))
        for physical in places:
            self.map_ram(physical, len(content), host, writable=False)
            if SHADOW <= physical < SHADOW_END:
                first, count = (physical - SHADOW) // PAGE, len(content) // PAGE
                self.shadowed[first:first + count] = self.page_map[physical // PAGE:physical // PAGE + count]

    def shadow(self, physical: int, size: int, reads: bool, writes: bool) -> None:
        """Which side of [physical, physical + size) inside C0000h to FFFFFh is read and written: RAM's, else the ROMs'."""
        first, count = (physical - SHADOW) // PAGE, size // PAGE
        self.shadow_writes[first:first + count] = writes
        if reads: self.map_ram(physical, size, writable=writes)
        else: self.remap(physical // PAGE, self.shadowed[first:first + count])

    def write_shadow(self, physical: int, data: bytes) -> None:
        """A write inside one page of C0000h to FFFFFh that the page map does not let through: RAM takes it under a ROM if the chipset says so."""
        if self.shadow_writes[(physical - SHADOW) // PAGE]: self.ram[physical:physical + len(data)] = data

    def remap(self, first: int, words: np.ndarray) -> None:
        """New words of the page map from page `first` on: what was decoded there is forgotten, and the TLBs are empty."""
        for page in first + np.flatnonzero(self.code_map[first:first + len(words)]): self.drop_code(int(page) * PAGE, PAGE)
        self.page_map[first:first + len(words)] = words
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
        """Stores bytes as a device or a loader does, in RAM only; code among them is dropped from the caches."""
        at = 0
        while at < len(data):
            part = min(len(data) - at, PAGE - physical % PAGE)
            word = int(self.page_map[physical // PAGE]) if physical < 1 << 32 else 0
            if word & PAGE_WRITE:
                self.drop_code(physical, part)
                ctypes.memmove((word & -PAGE) + physical % PAGE, bytes(data[at:at + part]), part)
            elif SHADOW <= physical < SHADOW_END: self.write_shadow(physical, data[at:at + part])
            physical, at = physical + part, at + part

    def drop_code(self, physical: int, n: int) -> None:
        """Announces a write of n bytes inside one page."""
        if code := int(self.code_map[physical // PAGE]):
            for granule in range(physical % PAGE // 64, (physical % PAGE + n - 1) // 64 + 1):
                if code >> granule & 1:
                    self.code_written(physical // PAGE * PAGE + granule * 64)

    def map_free(self, physical: int, size: int, host: int, writable: bool = True) -> None:
        """Backs with host memory those whole pages that nobody has: a device's memory displaces neither RAM nor ROMs."""
        now = self.page_map[physical // PAGE:(physical + size) // PAGE]
        words = host + np.arange(len(now), dtype=np.int64) * PAGE + (PAGE_READ | (PAGE_WRITE if writable else 0))
        self.remap(physical // PAGE, np.where(now == 0, words, now))

    def unmap_host(self, physical: int, size: int, host: int) -> None:
        """Takes back what `map_free` has mapped."""
        now = self.page_map[physical // PAGE:(physical + size) // PAGE]
        self.remap(physical // PAGE, np.where((now >= host) & (now < host + size), 0, now))
