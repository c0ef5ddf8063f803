"""snapshot=on: what the guest writes goes to a temporary file, which has no name and is gone with the process; the image is only read.

The file is as sparse as the guest's writes; a byte for each sector (pages of memory that are there once they are touched) tells where a sector is.
"""
import mmap
import os
import tempfile
from collections import Counter

import numpy as np

from emu.disk.image import SECTOR, RawImage
from emu.errors import EmuError, file_error

MAP_NORESERVE = 0x4000  # of Linux; Python's mmap module has it from 3.13 on


class Overlay:
    """As RawImage, over one that is open for reading; it closes that with itself."""

    readonly = False

    def __init__(self, base: RawImage):
        self.base, self.path, self.sectors = base, base.path, base.sectors
        self.counts: Counter[str] = base.counts
        try:
            self.file = tempfile.TemporaryFile(prefix='emu.', buffering=0)
        except OSError as error:
            base.close()
            raise EmuError(f'snapshot: {file_error(error.filename or tempfile.gettempdir(), error)}') from None
        memory = mmap.mmap(-1, self.sectors, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        self.written = np.frombuffer(memory, np.bool_)

    def close(self) -> None:
        """Forgets all that was written."""
        self.file.close()
        self.base.close()

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors, each from where it is."""
        written = self.written[sector:sector + count]
        if not written.any(): return self.base.read(sector, count)
        edges = [0, *(np.flatnonzero(written[1:] != written[:-1]) + 1).tolist(), count]
        runs = [self.own(sector + a, b - a) if written[a] else self.base.read(sector + a, b - a) for a, b in zip(edges, edges[1:])]
        return b''.join(runs)

    def own(self, sector: int, count: int) -> bytes:
        """Sectors that have been written."""
        try:
            data = os.pread(self.file.fileno(), count * SECTOR, sector * SECTOR)
        except OSError as error:
            self.base.failed('read', sector, error)
            raise
        self.counts['reads'] += 1
        self.counts['read_bytes'] += len(data)
        return data

    def write(self, sector: int, data: bytes | bytearray) -> None:
        """Whole sectors; after an error, those that had been written before may have changed."""
        done, view = 0, memoryview(data)
        try:
            while done < len(data):
                done += os.pwrite(self.file.fileno(), view[done:], sector * SECTOR + done)
        except OSError as error:
            self.base.failed('write', sector + done // SECTOR, error)
            raise
        self.written[sector:sector + len(data) // SECTOR] = True
        self.counts['writes'] += 1
        self.counts['written_bytes'] += len(data)

    def flush(self) -> None:
        """There is nothing to outlive the process."""
        self.counts['flushes'] += 1
