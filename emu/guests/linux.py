"""Linux: Debian's i386 kernels, with and without PAE, and for each an initramfs of busybox and our /init (what it reads and prints: its header)."""
from pathlib import Path

from emu.guests import initramfs
from emu.guests.apt import Apt

FLAVOURS = ('686', '686-pae')
INIT = Path(__file__).with_name('init')
SOURCES = (INIT, Path(initramfs.__file__), Path(__file__))
DIRECTORIES = ('bin', 'dev', 'etc', 'lib', 'lib/modules', 'mnt', 'proc', 'sys', 'tmp')


def make(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent) as apt:
        images = {flavour: apt.dependency(f'linux-image-{flavour}', r'linux-image-\d\S*') for flavour in FLAVOURS}
        packages = apt.download('busybox-static', *images.values())
        busybox = packages['busybox-static'].read('./bin/busybox')
        ramdisk = initramfs.build(DIRECTORIES, {'bin/busybox': busybox, 'init': INIT.read_bytes()})
        for flavour, image in images.items():
            (folder / f'vmlinuz-{flavour}').write_bytes(packages[image].read(f'./boot/vmlinuz-{image.removeprefix("linux-image-")}'))
            (folder / f'initramfs-{flavour}-tiny.gz').write_bytes(ramdisk)
    return {name: package.version for name, package in packages.items()}
