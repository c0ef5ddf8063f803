"""Floppies of 1440K that boot: memtest86+, iPXE, HDT and grub-invaders through SYSLINUX; GRUB by itself. And grub-invaders alone, a multiboot kernel."""
import struct
from pathlib import Path
from typing import Mapping

from emu.guests import fat
from emu.guests.apt import Apt, versions
from emu.guests.tools import run

SOURCES = (Path(__file__), Path(fat.__file__))
INVADERS_SOURCES = (Path(__file__),)
PACKAGES = ('memtest86+', 'ipxe', 'syslinux-common', 'grub-pc-bin')
MEMTEST, IPXE, INVADERS = './boot/memtest86+ia32.bin', './boot/ipxe.lkrn', './boot/invaders.exec'
MODULES = 'usr/lib/syslinux/modules/bios'  # SYSLINUX's, *.c32
GRUB = 'usr/lib/grub/i386-pc'
BOTH = 'serial --unit=0 --speed=115200\nterminal_input serial console\nterminal_output serial console\n'  # GRUB speaks on screen and COM1
GRUB_MODULES = 'biosdisk echo serial terminal normal minicmd ls cat halt reboot date'


def make(folder: Path, tools: Mapping[str, Path], invaders: Mapping[str, Path]) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        packages = apt.download(*PACKAGES)
        for name in ('syslinux-common', 'grub-pc-bin'): packages[name].unpack(apt.root / name)
        modules, grub = apt.root / 'syslinux-common' / MODULES, apt.root / 'grub-pc-bin' / GRUB
        memtest, ipxe = packages['memtest86+'].read(MEMTEST), packages['ipxe'].read(IPXE)
        floppies: dict[str, tuple[str, dict[str, bytes]]] = {
            'memtest': ('serial 0 115200\n linux mt.bin console=ttyS0,115200', {'mt.bin': memtest}),
            'ipxe': ('linux ipxe.krn', {'ipxe.krn': ipxe}),
            'hdt': ('com32 hdt.c32', c32(modules, 'hdt', 'libcom32', 'libutil', 'libmenu', 'libgpl')),
            'invaders': ('com32 mboot.c32\n append invaders.exe', {**c32(modules, 'mboot', 'libcom32', 'libutil'), 'invaders.exe': invaders['invaders.exec'].read_bytes()}),
        }
        for name, (command, files) in floppies.items():
            entry = f'default {name}\nlabel {name}\n {command}\n'.encode()
            fat.floppy(tools, folder / f'floppy-{name}.img', name.upper(), {'syslinux.cfg': entry, **files})
        core = grub_core(tools, apt.root, grub, 'i386-pc', '(fd0)/', BOTH + 'echo BOOTLOADER-READY\n', GRUB_MODULES)
        (folder / 'floppy-grub.img').write_bytes(((grub / 'boot.img').read_bytes() + core).ljust(fat.FLOPPY * fat.SECTOR, b'\0'))
    return versions(packages)


def make_invaders(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        packages = apt.download('grub-invaders')
        (folder / 'invaders.exec').write_bytes(with_bss(packages['grub-invaders'].read(INVADERS)))
    return versions(packages)


def with_bss(kernel: bytes) -> bytes:
    """An ELF file whose last segment reaches to the end of .bss. Debian's invaders does not say so: after a loader that has used this memory no key works, anywhere."""
    segments, sections, size, count, section_size, section_count = struct.unpack_from('<II6xHHHH', kernel, 28)
    headers = [struct.unpack_from('<10I', kernel, sections + n * section_size) for n in range(section_count)]
    end = max(address + length for _, kind, _, address, _, length, *_ in headers if kind == 8)  # SHT_NOBITS
    last = segments + (count - 1) * size
    address = struct.unpack_from('<I', kernel, last + 8)[0]
    return kernel[:last + 20] + struct.pack('<I', end - address) + kernel[last + 24:]


def c32(modules: Path, *names: str) -> dict[str, bytes]:
    """Modules of SYSLINUX."""
    return {f'{name}.c32': (modules / f'{name}.c32').read_bytes() for name in names}


def grub_core(tools: Mapping[str, Path], work: Path, grub: Path, kind: str, prefix: str, script: str, modules: str) -> bytes:
    """GRUB with modules and a first script built in, as grub-mkimage's format `kind`."""
    early, core = work / 'early.cfg', work / 'core.img'
    early.write_text(script)
    run(tools, 'grub-mkimage', '-d', grub, '-O', kind, '-p', prefix, '-c', early, '-o', core, *modules.split())
    return core.read_bytes()
