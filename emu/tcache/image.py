"""Images: optimised translations that have no place yet. Any place with the same guest bytes can take one (emu/jit/optimise.py makes its blob).

An image says of which bytes it was made: parts by their distance from the first, which is where it is entered. Its code has the EIP of that as a hole,
and jumps to other blocks by their distance. Packed it is a string of bytes for the archive (emu/tcache/archive.py).
"""
import struct
import zlib
from typing import Callable, NamedTuple

ANYWHERE = -1  # as an image's EIP: it may be entered at any
LINK = 0  # of `open`: a rel32 to another block; other kinds are the relocation types of ELF (emu/jit/patch.py, FORMATS)
HEAD = struct.Struct('<IqfHHHI')
PART, OPEN = struct.Struct('<iH'), struct.Struct('<IBi')

Guest = tuple[int, int, tuple[int, ...], tuple[bytes, ...]]


class Image(NamedTuple):
    """An optimised translation, wherever it lies."""

    mode: int  # the mode key
    eip: int  # the only one it can be entered at, or ANYWHERE
    seconds: float  # that it took to make
    distances: tuple[int, ...]  # of its parts from the first
    parts: tuple[bytes, ...]  # the guest's bytes that it was made of
    instructions: int
    code: bytes
    open: tuple[tuple[int, int, int], ...]  # what is to be filled in: offset, kind, distance from the first EIP

    @property
    def key(self) -> int:
        """What images are looked up by."""
        return key_of(self.mode, self.parts[0])

    @property
    def size(self) -> int:
        """Bytes it takes in memory, about."""
        return 500 + len(self.code) + sum(map(len, self.parts)) + 100 * len(self.parts) + 100 * len(self.open)

    @property
    def guest(self) -> Guest:
        """What it is made of: all that its code follows from."""
        return self.mode, self.eip, self.distances, self.parts

    def suits(self, p: int, eip: int, read: Callable[[int, int], bytes]) -> bool:
        """Whether it is a translation of what lies at p and around it, in p's page of 4096 bytes; `read(p, n)` gives the guest's bytes there."""
        if self.eip not in (ANYWHERE, eip): return False
        at = p & 4095
        return all(0 <= at + distance <= 4096 - len(part) and read(p + distance, len(part)) == part for distance, part in zip(self.distances, self.parts))

    def pack(self) -> bytes:
        """All of it as bytes."""
        head = HEAD.pack(self.mode, self.eip, self.seconds, len(self.parts), self.instructions, len(self.open), len(self.code))
        parts = b''.join(PART.pack(distance, len(part)) for distance, part in zip(self.distances, self.parts))
        return zlib.compress(b''.join((head, parts, *(OPEN.pack(*each) for each in self.open), *self.parts, self.code)))


def unpack(data: bytes) -> Image:
    """What `pack` has packed; ValueError for anything else."""
    try:
        data = zlib.decompress(data)
        mode, eip, seconds, count, instructions, holes, size = HEAD.unpack_from(data)
        at = HEAD.size + count * PART.size
        shape = list(PART.iter_unpack(data[HEAD.size:at]))
        end = at + holes * OPEN.size
        open_ = tuple(OPEN.iter_unpack(data[at:end]))
        parts = []
        for _, length in shape:
            parts.append(data[end:end + length])
            end += length
        if not parts or len(data) != end + size: raise ValueError('an image of another size')
    except (zlib.error, struct.error) as error:
        raise ValueError(str(error)) from None
    return Image(mode, eip, seconds, tuple(distance for distance, _ in shape), tuple(parts), instructions, data[end:], open_)


def key_of(mode: int, first: bytes) -> int:
    """What images are looked up by: a checksum of the first block and its mode. What else they were made of is compared."""
    return zlib.crc32(first, mode)
