"""Code memory: one region, mapped twice from a memfd, written through one mapping and run through the other; never writable and executable at once."""
import ctypes
import mmap
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class CodeMemory:
    """`size` bytes: `data` is the writable view, `base` the host address where they run."""

    def __init__(self, size: int):
        self.size = size
        fd = os.memfd_create('emu-code')
        os.ftruncate(fd, size)
        self.data = mmap.mmap(fd, size)
        base = LIBC.mmap(None, size, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_SHARED, fd, 0)
        if base in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), 'no executable memory')
        self.base: int = base
        os.close(fd)
