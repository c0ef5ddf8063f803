"""A medium that lies with a client: as RawImage (emu/disk/image.py), but its bytes are asked for over the connection.

The machine waits for each answer, at most PATIENCE seconds; whatever goes wrong is an I/O error of the drive, and the image stays unusable after it.
Blocks that were read are kept, since a CD-ROM's driver asks for 2 KB at a time.
"""
import errno
from collections import Counter, OrderedDict
from typing import Callable, Protocol

from emu.disk.image import SECTOR

PATIENCE = 10.0
BLOCK = 1 << 16  # bytes asked for at once
KEPT = 256  # blocks


class Asker(Protocol):
    """The connection."""

    def ask(self, seconds: float, name: str, *values: object) -> bytes | None:
        """Sends a request, and waits for what the client answers; None: it does not, or with an error."""


class RemoteImage:
    """`size` bytes of the medium in `drive`."""

    def __init__(self, client: Asker, drive: str, name: str, size: int, writable: bool, closed: Callable[[], object]):
        self.client, self.drive, self.path, self.size, self.readonly, self.closed = client, drive, name, size, not writable, closed
        self.sectors = -(-size // SECTOR)
        self.counts: Counter[str] = Counter(reads=0, read_bytes=0, writes=0, written_bytes=0, flushes=0, errors=0)
        self.blocks: OrderedDict[int, bytes] = OrderedDict()
        self.gone = False

    def ask(self, name: str, *values: object) -> bytes:
        """A request; OSError where it fails."""
        answer = None if self.gone else self.client.ask(PATIENCE, name, self.drive, *values)
        if answer is None:
            self.gone = True
            self.counts['errors'] += 1
            raise OSError(errno.EIO, f'{self.path}: the client does not answer')
        return answer

    def block(self, n: int) -> bytes:
        """BLOCK bytes, or up to the end."""
        if n in self.blocks:
            self.blocks.move_to_end(n)
            return self.blocks[n]
        length = min(BLOCK, self.size - n * BLOCK)
        data = self.ask('READ', n * BLOCK, length)
        if len(data) != length:
            self.gone = True
            raise OSError(errno.EIO, f'{self.path}: the client sends {len(data)} bytes for {length}')
        self.blocks[n] = data
        if len(self.blocks) > KEPT: self.blocks.popitem(last=False)
        return data

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors; zeros behind the end."""
        first, end = sector * SECTOR, min((sector + count) * SECTOR, self.size)
        blocks = b''.join(self.block(n) for n in range(first // BLOCK, -(-end // BLOCK)))
        self.counts['reads'] += 1
        self.counts['read_bytes'] += count * SECTOR
        return blocks[first % BLOCK:first % BLOCK + max(end - first, 0)].ljust(count * SECTOR, b'\0')

    def write(self, sector: int, data: bytes | bytearray) -> None:
        """Whole sectors."""
        first = sector * SECTOR
        for n in range(first // BLOCK, -(-(first + len(data)) // BLOCK)): self.blocks.pop(n, None)
        for at in range(0, len(data), BLOCK): self.ask('WRITE', first + at, bytes(data[at:at + BLOCK]))
        self.counts['writes'] += 1
        self.counts['written_bytes'] += len(data)

    def flush(self) -> None:
        """What was written is on the client's disk when this returns."""
        self.ask('FLUSH')
        self.counts['flushes'] += 1

    def close(self) -> None:
        """The drive has done with it."""
        self.gone = True
        self.closed()
