"""Disk images: sectors of 512 bytes in a host file (image.py), and a layer over one that keeps what is written for itself (overlay.py)."""
from collections import Counter
from typing import Protocol

from emu.disk.image import RawImage
from emu.disk.overlay import Overlay
from emu.options import Drive


class Image(Protocol):
    """What a drive needs of its medium: `sectors` of 512 bytes. All of it raises OSError where the host does."""

    path: str
    sectors: int
    readonly: bool
    counts: Counter[str]

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors; zeros behind the end."""

    def write(self, sector: int, data: bytes | bytearray) -> None:
        """Whole sectors."""

    def flush(self) -> None:
        """Returns when all that was written is safe."""

    def close(self) -> None:
        """The drive has done with it."""


def open_image(drive: Drive) -> Image:
    """The image of a drive, locked as long as it is open; EmuError says in one line why it cannot be used."""
    if drive.snapshot and drive.media == 'disk': return Overlay(RawImage(drive.file, readonly=True))
    return RawImage(drive.file, drive.readonly)
