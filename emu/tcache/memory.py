"""Code memory: one region, mapped twice from a memfd, written through one mapping and run through the other; never writable and executable at once.

Where Linux can (6.1 and newer), what runs is made of huge pages, 2 MB at a time as they come into use: thousands of small translations in turn miss the host's
TLB at each step otherwise.
"""
import ctypes
import mmap
import os
import weakref

LIBC = ctypes.CDLL(None, use_errno=True)
HUGE, MADV_COLLAPSE, MAP_FIXED = 2 << 20, 25, 0x10
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class CodeMemory:
    """`size` bytes: `data` is the writable view, `base` the host address where they run."""

    def __init__(self, size: int):
        self.size = size
        fd = os.memfd_create('emu-code')
        os.ftruncate(fd, size)
        self.data = mmap.mmap(fd, size)
        room = LIBC.mmap(None, size + HUGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        aligned = -(-(room or 0) // HUGE) * HUGE
        base = LIBC.mmap(aligned, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED | MAP_FIXED, fd, 0)
        os.close(fd)
        if base != aligned:
            raise OSError(ctypes.get_errno(), 'no executable memory')
        self.base: int = base
        weakref.finalize(self, LIBC.munmap, room, size + HUGE)
        self.begun = bytearray(size // HUGE + 1)  # which 2 MB are in use
        self.begun[-1] = 1  # less than 2 MB

    def use(self, place: int) -> None:
        """Something was written to an offset."""
        if not self.begun[place // HUGE]:
            self.begun[place // HUGE] = 1
            LIBC.madvise(self.base + place // HUGE * HUGE, HUGE, MADV_COLLAPSE)  # if it cannot, the pages stay small
