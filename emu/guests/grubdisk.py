"""A hard disk that starts with GRUB: its boot sector in the master boot record, its core behind it, a FAT partition with the menu, a kernel and invaders."""
from pathlib import Path
from typing import Mapping

from emu.guests import fat, floppies
from emu.guests.apt import Apt, versions
from emu.guests.fat import SECTOR, Partition
from emu.guests.floppies import BOTH, GRUB, GRUB_MODULES, grub_core

SOURCES = (Path(__file__), *floppies.SOURCES)
PLACE = Partition(2048, 16 * 2048)
MODULES = f'{GRUB_MODULES} part_msdos fat linux multiboot configfile test'
MENU = BOTH + '''set timeout=30
echo BOOTLOADER-READY
menuentry "Linux" {
 linux /linux console=tty0 console=ttyS0 end=poweroff
 initrd /initrd.gz
}
menuentry "invaders" {
 multiboot /invaders.exe
}
'''


def make(folder: Path, tools: Mapping[str, Path], linux: Mapping[str, Path], invaders: Mapping[str, Path]) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    image = folder / 'grubdisk.img'
    files = {'linux': linux['vmlinuz-686'], 'initrd.gz': linux['initramfs-686-tiny.gz'], 'invaders.exe': invaders['invaders.exec']}
    with Apt(folder.parent) as apt:
        packages, root = apt.download('grub-pc-bin'), apt.root / 'grub-pc-bin'
        packages['grub-pc-bin'].unpack(root)
        core = grub_core(tools, apt.root, root / GRUB, 'i386-pc', '(hd0,msdos1)/', '', MODULES)
        fat.fill(tools, image, PLACE, 'EMUGRUB', {'grub.cfg': MENU.encode(), **{name: path.read_bytes() for name, path in files.items()}})
        with image.open('r+b') as file: file.write(fat.master_boot_record((root / GRUB / 'boot.img').read_bytes(), {PLACE: fat.FAT16}) + core)
        if SECTOR + len(core) > PLACE.start * SECTOR: raise AssertionError('GRUB does not fit before the first partition')
    return versions(packages)
