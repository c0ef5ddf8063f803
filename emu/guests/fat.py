"""FAT volumes that boot with SYSLINUX: floppies and the first partition of a disk; and the disk's master boot record.

mtools makes the file system (it picks FAT12, 16 or 32 by size), SYSLINUX's installer puts its boot sector and ldlinux.sys in.
"""
import struct
from pathlib import Path
from typing import Mapping, NamedTuple

from emu.guests.tools import run

SECTOR = 512
HEADS, SECTORS = 255, 63  # what a BIOS makes of a disk of this size
SERIAL = '20060114'
FAT16, LINUX = 0x0e, 0x83  # partition types; FAT16 by LBA
FLOPPY = 2880  # sectors


class Partition(NamedTuple):
    """First sector, number of sectors."""

    start: int
    sectors: int


def floppy(tools: Mapping[str, Path], image: Path, label: str, files: Mapping[str, bytes]) -> None:
    """A floppy of 1440K that boots."""
    fill(tools, image, Partition(0, FLOPPY), label, files)


def fill(tools: Mapping[str, Path], image: Path, place: Partition, label: str, files: Mapping[str, bytes]) -> None:
    """Makes a volume of files at a place of an image."""
    offset = place.start * SECTOR
    with image.open('ab') as file: file.truncate(max(file.tell(), offset + place.sectors * SECTOR))
    at = f'{image}@@{offset}'
    shape = ('-f', 1440) if place.sectors == FLOPPY else ('-T', place.sectors, '-H', place.start)
    run(tools, 'mformat', '-i', at, *shape, '-v', label, '-N', SERIAL, '::')
    for name, content in files.items():
        source = image.with_name('file')
        source.write_bytes(content)
        run(tools, 'mcopy', '-i', at, source, f'::{name}')
        source.unlink()
    run(tools, 'syslinux', '--offset', offset, '--install', image)


def master_boot_record(code: bytes, partitions: Mapping[Partition, int]) -> bytes:
    """The first sector of a disk: code, and a table of partitions and their types, of which the first is active."""
    table = b''.join(struct.pack('<B3sB3sII', 0 if number else 0x80, chs(part.start), kind, chs(part.start + part.sectors - 1), part.start, part.sectors)
                     for number, (part, kind) in enumerate(partitions.items()))
    return code[:440].ljust(440, b'\0') + struct.pack('<IH', int(SERIAL, 16), 0) + table.ljust(64, b'\0') + b'\x55\xaa'


def chs(sector: int) -> bytes:
    """A sector's head, sector and cylinder as the table has them; the largest there is for what lies beyond cylinder 1023."""
    cylinder, rest = divmod(sector, HEADS * SECTORS)
    if cylinder > 1023: return b'\xfe\xff\xff'
    head, number = divmod(rest, SECTORS)
    return bytes((head, number + 1 | cylinder >> 2 & 0xc0, cylinder & 0xff))
