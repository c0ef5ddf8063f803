"""CDs that boot by El Torito: ISOLINUX and GRUB without emulation, and the memtest floppy with floppy emulation."""
import tempfile
from pathlib import Path
from typing import Mapping

from emu.guests import floppies
from emu.guests.apt import Apt, versions
from emu.guests.floppies import BOTH, GRUB, GRUB_MODULES, IPXE, MEMTEST, MODULES, c32, grub_core
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
        root, grub = apt.root, apt.root / 'grub-pc-bin' / GRUB
        memtest, ipxe = packages['memtest86+'].read(MEMTEST), packages['ipxe'].read(IPXE)
        isolinux = {'isolinux.bin': (root / 'isolinux/usr/lib/ISOLINUX/isolinux.bin').read_bytes(), 'isolinux.cfg': ISOLINUX_MENU.encode(), 'mt.bin': memtest,
                    'ipxe.krn': ipxe, **c32(root / 'syslinux-common' / MODULES, 'ldlinux', 'menu', 'vesamenu', 'libutil', 'libcom32')}
        core = grub_core(tools, root, grub, 'i386-pc-eltorito', '/boot/grub', '', f'{GRUB_MODULES} iso9660 linux16 configfile test')
        iso(tools, folder / 'cd-isolinux.iso', 'EMU', {f'isolinux/{name}': content for name, content in isolinux.items()}, 'isolinux/isolinux.bin', *NO_EMULATION)
        iso(tools, folder / 'cd-grub.iso', 'EMUGRUB', {'boot/core.img': core, 'boot/grub/grub.cfg': GRUB_MENU.encode(), 'mt.bin': memtest}, 'boot/core.img', *NO_EMULATION)
        iso(tools, folder / 'cd-floppy-emulation.iso', 'EMUFD', {'img/memtest.img': floppies['floppy-memtest.img'].read_bytes()}, 'img/memtest.img')
    return versions(packages)


def iso(tools: Mapping[str, Path], image: Path, label: str, files: Mapping[str, bytes], boot: str, *emulation: object) -> None:
    """An image of files, of which one is booted."""
    with tempfile.TemporaryDirectory(dir=image.parent) as tree:
        for name, content in files.items():
            path = Path(tree, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        catalog = f'{Path(boot).parent}/boot.cat'
        run(tools, 'xorriso', '-as', 'mkisofs', '-quiet', '-o', image, '-V', label, '-b', boot, '-c', catalog, *emulation, '-r', '-J', '--set_all_file_dates', f'={TIME}', tree)
