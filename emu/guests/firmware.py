"""Firmware: SeaBIOS with its VGA BIOS for the Bochs display adapter, the LGPL'd VGA BIOS of Bochs and Plex86, and iPXE for the network card, as Debian builds them."""
from pathlib import Path

from emu.guests.apt import Apt, versions

FILES = {
    'bios-256k.bin': ('seabios', './usr/share/seabios/bios-256k.bin'),
    'bios.bin': ('seabios', './usr/share/seabios/bios.bin'),
    'vgabios-stdvga.bin': ('seabios', './usr/share/seabios/vgabios-stdvga.bin'),
    'vgabios.bin': ('vgabios', './usr/share/vgabios/vgabios.bin'),
    'pxe-ne2k_pci.rom': ('ipxe-qemu', './usr/lib/ipxe/qemu/pxe-ne2k_pci.rom'),
}
SOURCES = (Path(__file__),)


def make(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        packages = apt.download('seabios', 'vgabios', 'ipxe-qemu')
        for name, (package, member) in FILES.items(): (folder / name).write_bytes(packages[package].read(member))
    return versions(packages)
