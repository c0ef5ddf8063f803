"""Disk images: sectors of 512 bytes in a host file (image.py), and a layer over one that keeps what is written for itself (overlay.py)."""
from emu.disk.image import RawImage
from emu.disk.overlay import Overlay
from emu.options import Drive

Image = RawImage | Overlay


def open_image(drive: Drive) -> Image:
    """The image of a drive, locked as long as it is open; EmuError says in one line why it cannot be used."""
    if drive.snapshot and drive.media == 'disk': return Overlay(RawImage(drive.file, readonly=True))
    return RawImage(drive.file, drive.readonly)
