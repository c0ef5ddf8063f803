"""Linux: Debian's i386 kernels, with and without PAE, and for each two initramfs of busybox and our /init (what it reads and prints: its header).

The one called tiny has nothing else; the other carries the drivers of a PC's devices and file systems, which /init loads at `modules=1`.
"""
from pathlib import Path

from emu.guests import initramfs, modules
from emu.guests.apt import Apt, versions

FLAVOURS = ('686', '686-pae')
INIT = Path(__file__).with_name('init')
SOURCES = (INIT, Path(initramfs.__file__), Path(modules.__file__), Path(__file__))
DIRECTORIES = ('bin', 'dev', 'etc', 'lib', 'lib/modules', 'mnt', 'proc', 'sys', 'tmp')
DRIVERS = ('ata_piix sd_mod sr_mod floppy ext4 vfat nls_ascii nls_cp437 isofs psmouse mousedev evdev ne2k-pci ne af_packet '
           'crc32c_generic crct10dif_generic').split()  # the last two are asked for by name of algorithm


def make(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        images = {flavour: apt.dependency(f'linux-image-{flavour}', r'linux-image-\d\S*') for flavour in FLAVOURS}
        packages = apt.download('busybox-static', *images.values())
        tiny = {'bin/busybox': packages['busybox-static'].read('./bin/busybox'), 'init': INIT.read_bytes()}
        for flavour, image in images.items():
            version, root = image.removeprefix('linux-image-'), apt.root / image
            packages[image].unpack(root)
            place = f'lib/modules/{version}'
            drivers = {f'{place}/{path}': data for path, data in modules.choose(root / place, DRIVERS).items()}
            (folder / f'vmlinuz-{flavour}').write_bytes((root / f'boot/vmlinuz-{version}').read_bytes())
            (folder / f'initramfs-{flavour}-tiny.gz').write_bytes(initramfs.build(DIRECTORIES, tiny))
            (folder / f'initramfs-{flavour}.gz').write_bytes(initramfs.build(DIRECTORIES, tiny | drivers))
    return versions(packages)
