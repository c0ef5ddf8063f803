"""Floppy disks and their drives, as a controller sees them: cylinders, heads, sectors of 512 bytes, a data rate (IBM PC/AT Technical Reference, diskette drives).

The size of an image tells its format. The first disk in a drive tells what kind of drive it is; one without a disk is for 1.44M. A 1.2M drive steps twice for
each track of a disk with 40. Left out: formats other than those in FORMATS, deleted data marks, gaps and CRCs: an image has sectors only.
"""
from typing import NamedTuple, Sequence

from emu.disk import Image
from emu.disk.image import SECTOR
from emu.errors import EmuError

RATE_500K, RATE_300K, RATE_250K, RATE_1M = range(4)  # as the controller's rate bits
LAST_CYLINDER = 83  # where a head stops


class Format(NamedTuple):
    """What is on a disk."""

    name: str
    cylinders: int
    heads: int
    sectors: int
    rate: int
    inches: float


FORMATS = (
    Format('160K', 40, 1, 8, RATE_250K, 5.25), Format('180K', 40, 1, 9, RATE_250K, 5.25),
    Format('320K', 40, 2, 8, RATE_250K, 5.25), Format('360K', 40, 2, 9, RATE_250K, 5.25),
    Format('720K', 80, 2, 9, RATE_250K, 3.5), Format('1.2M', 80, 2, 15, RATE_500K, 5.25),
    Format('1.44M', 80, 2, 18, RATE_500K, 3.5), Format('1.68M', 80, 2, 21, RATE_500K, 3.5),
    Format('2.88M', 80, 2, 36, RATE_1M, 3.5))
BY_SIZE = {f.cylinders * f.heads * f.sectors: f for f in FORMATS}


class Kind(NamedTuple):
    """A drive: its number in the CMOS, its cylinders, and the formats that it reads."""

    name: str
    cmos: int
    cylinders: int
    formats: frozenset[str]


KINDS = (
    Kind('360K', 1, 40, frozenset(('160K', '180K', '320K', '360K'))),
    Kind('1.44M', 4, 80, frozenset(('720K', '1.44M', '1.68M'))),
    Kind('1.2M', 2, 80, frozenset(('160K', '180K', '320K', '360K', '1.2M'))),
    Kind('2.88M', 5, 80, frozenset(('720K', '1.44M', '1.68M', '2.88M'))))
USUAL = KINDS[1]


def kind_for(format: Format) -> Kind:
    """The drive that a disk of this format makes."""
    return next(kind for kind in KINDS if format.name in kind.formats)


def format_of(image: Image) -> Format:
    """The format that has an image's size."""
    if image.sectors in BY_SIZE: return BY_SIZE[image.sectors]
    sizes = ', '.join(f'{f.name} ({size * SECTOR})' for size, f in sorted(BY_SIZE.items()))
    raise EmuError(f'{image.path}: {image.sectors} sectors are no floppy disk; there are, in bytes, {sizes} (truncate -s SIZE makes a short image longer)')


def cmos(drives: Sequence['Drive | None']) -> dict[int, int]:
    """What the CMOS tells of the drives A and B: their kinds at 10h, their number at 14h (IBM PC/AT Technical Reference, "CMOS RAM")."""
    kinds = [drive.kind.cmos if drive else 0 for drive in [*drives, None, None][:2]]
    count = sum(kind > 0 for kind in kinds)
    return {0x10: kinds[0] << 4 | kinds[1], 0x14: 1 | count - 1 << 6 if count else 0}


class Drive:
    """A drive, with a disk or without. `changed` is its disk change line: high from a change until the head steps with a disk in the drive."""

    def __init__(self, image: Image | None = None):
        self.image: Image | None = None
        self.format = FORMATS[0]
        self.kind = kind_for(format_of(image)) if image else USUAL
        self.cylinder = 0  # where the head is
        self.motor = self.dirty = False
        self.changed = True
        if image: self.insert(image)

    def insert(self, image: Image) -> None:
        """Puts a disk in, in place of any other; EmuError where it does not fit."""
        found = format_of(image)
        if found.name not in self.kind.formats: raise EmuError(f'{image.path}: a {found.name} disk does not fit into a {self.kind.name} drive')
        self.eject()
        self.image, self.format = image, found

    def eject(self, force: bool = False) -> None:
        """Takes the disk out, which no guest can prevent; its image is closed."""
        self.settle()
        if self.image: self.image.close()
        self.image, self.changed = None, True

    def turn(self, motor: bool) -> None:
        """Switches the motor; when it stops, what was written goes to the host's disk."""
        if self.motor and not motor: self.settle()
        self.motor = motor

    def settle(self) -> None:
        """Flushes what was written; an error is told by the image."""
        if not self.dirty or not self.image: return
        self.dirty = False
        try:
            self.image.flush()
        except OSError:
            pass

    def step(self, cylinders: int) -> None:
        """Moves the head, inwards where positive."""
        if cylinders and self.image: self.changed = False
        self.cylinder = min(max(self.cylinder + cylinders, 0), LAST_CYLINDER)

    def spread(self) -> int:
        """Cylinders of the drive for a track of the disk."""
        return 2 if self.image and self.kind.cylinders > self.format.cylinders else 1

    def track(self) -> int:
        """The disk's track that is under the head."""
        return self.cylinder // self.spread()

    def readable(self, head: int, rate: int) -> bool:
        """Whether there are sectors under the head, at this rate: the disk must turn. 250K disks of 5.25 inches are read at 300K as well, as in a 1.2M drive."""
        f = self.format
        if self.image is None or not self.motor or head >= f.heads or self.track() >= f.cylinders: return False
        return rate == f.rate or rate == RATE_300K and f.rate == RATE_250K and f.inches == 5.25

    def place(self, head: int, sector: int) -> int:
        """The image's number of a sector of the present track."""
        return (self.track() * self.format.heads + head) * self.format.sectors + sector - 1

    def read(self, head: int, sector: int) -> bytes:
        """A sector that is there (`readable`, and within the format). Raises OSError."""
        assert self.image
        return self.image.read(self.place(head, sector), 1)

    def write(self, head: int, sector: int, data: bytes) -> None:
        """The same."""
        assert self.image
        self.dirty = True
        self.image.write(self.place(head, sector), data)
