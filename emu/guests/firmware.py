"""Firmware: SeaBIOS with its VGA BIOS for the Bochs display adapter, and the LGPL'd VGA BIOS of Bochs and Plex86, as Debian builds them."""
from pathlib import Path

from emu.guests.apt import Apt, versions

FILES = {
    'bios-256k.bin': ('seabios', './usr/share/seabios/bios-256k.bin'),
    'bios.bin': ('seabios', './usr/share/seabios/bios.bin'),
    'vgabios-stdvga.bin': ('seabios', './usr/share/seabios/vgabios-stdvga.bin'),
    'vgabios.bin': ('vgabios', './usr/share/vgabios/vgabios.bin'),
}
SOURCES = (Path(__file__),)


def make(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        packages = apt.download('seabios', 'vgabios')
        for name, (package, member) in FILES.items(): (folder / name).write_bytes(packages[package].read(member))
    return versions(packages)
