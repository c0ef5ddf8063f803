"""CDs that boot by El Torito: ISOLINUX and GRUB without emulation, and the memtest floppy with floppy emulation."""
import shutil
from pathlib import Path
from typing import Mapping

from emu.guests import floppies
from emu.guests.apt import Apt, versions
from emu.guests.floppies import BOTH, GRUB, GRUB_MODULES, IPXE, MEMTEST, MODULES, grub_core
from emu.guests.initramfs import TIME
from emu.guests.tools import run

SOURCES = (Path(__file__), *floppies.SOURCES)
PACKAGES = ('memtest86+', 'syslinux-common', 'isolinux', 'ipxe', 'grub-pc-bin')
ISOLINUX_MENU = '''serial 0 115200
ui menu.c32
prompt 0
timeout 100
menu title BOOTLOADER-READY
label memtest
 linux mt.bin
label ipxe
 linux ipxe.krn
'''
GRUB_MENU = BOTH + '''set timeout=30
echo BOOTLOADER-READY
menuentry "memtest86+" {
 linux16 /mt.bin
}
'''
NO_EMULATION = ('-no-emul-boot', '-boot-load-size', 4, '-boot-info-table')


def make(folder: Path, tools: Mapping[str, Path], floppies: Mapping[str, Path]) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        packages = apt.download(*PACKAGES)
        for name in ('isolinux', 'syslinux-common', 'grub-pc-bin'): packages[name].unpack(apt.root / name)
        modules, grub = apt.root / 'syslinux-common' / MODULES, apt.root / 'grub-pc-bin' / GRUB
        memtest, ipxe = packages['memtest86+'].read(MEMTEST), packages['ipxe'].read(IPXE)

        tree = apt.root / 'cd-isolinux/isolinux'
        tree.mkdir(parents=True)
        shutil.copy(apt.root / 'isolinux/usr/lib/ISOLINUX/isolinux.bin', tree)
        for name in ('ldlinux', 'menu', 'libutil', 'libcom32'): shutil.copy(modules / f'{name}.c32', tree)
        for file, content in {'mt.bin': memtest, 'ipxe.krn': ipxe, 'isolinux.cfg': ISOLINUX_MENU.encode()}.items(): (tree / file).write_bytes(content)
        iso(tools, folder / 'cd-isolinux.iso', tree.parent, 'EMU', 'isolinux/isolinux.bin', *NO_EMULATION)

        tree = apt.root / 'cd-grub/boot/grub'
        tree.mkdir(parents=True)
        core = grub_core(tools, apt.root, grub, 'i386-pc-eltorito', '/boot/grub', '', f'{GRUB_MODULES} iso9660 linux16 configfile test')
        for file, content in {'core.img': core, 'grub.cfg': GRUB_MENU.encode(), '../../mt.bin': memtest}.items(): (tree / file).write_bytes(content)
        iso(tools, folder / 'cd-grub.iso', tree.parent.parent, 'EMUGRUB', 'boot/grub/core.img', *NO_EMULATION)

        tree = apt.root / 'cd-floppy/img'
        tree.mkdir(parents=True)
        shutil.copy(floppies['floppy-memtest.img'], tree)
        iso(tools, folder / 'cd-floppy-emulation.iso', tree.parent, 'EMUFD', 'img/floppy-memtest.img')
    return versions(packages)


def iso(tools: Mapping[str, Path], image: Path, tree: Path, label: str, boot: str, *emulation: object) -> None:
    """An image of the files under a folder, of which one is booted."""
    catalog = f'{Path(boot).parent}/boot.cat'
    run(tools, 'xorriso', '-as', 'mkisofs', '-quiet', '-o', image, '-V', label, '-b', boot, '-c', catalog, *emulation, '-r', '-J', '--set_all_file_dates', f'={TIME}', tree)
