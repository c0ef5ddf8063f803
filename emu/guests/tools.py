"""Programs of this machine that make guests: SYSLINUX's installer, mtools, grub-mkimage, xorriso and mke2fs, from Debian's packages.

Nothing is installed: they are unpacked into the user's cache directory, like a guest, and run from there with their libraries and with fixed times
(SOURCE_DATE_EPOCH), so that the same packages make the same bytes everywhere.
"""
import os
import shutil
import subprocess
from pathlib import Path
from typing import Mapping

from emu.errors import EmuError
from emu.guests.apt import Apt, versions
from emu.guests.initramfs import TIME

SOURCES = (Path(__file__),)
# What is taken of each package. Of libraries only those that a Debian may be without.
PACKAGES = {
    'syslinux': ('usr/bin/syslinux',),
    'syslinux-common': ('usr/lib/syslinux/mbr/mbr.bin',),
    'mtools': ('usr/bin/mtools',),
    'grub-common': ('usr/bin/grub-mkimage',), 'libdevmapper1.02.1': ('**/libdevmapper.so.*',),
    'xorriso': ('usr/bin/xorriso',), 'libisoburn1': ('**/libisoburn.so.*',), 'libisofs6': ('**/libisofs.so.*',), 'libburn4': ('**/libburn.so.*',),
    'libjte2': ('**/libjte.so.*',), 'libreadline8': ('**/libreadline.so.*',), 'libacl1': ('**/libacl.so.*',),
    'e2fsprogs': ('sbin/mke2fs', 'sbin/debugfs', 'etc/mke2fs.conf'), 'libext2fs2': ('**/libext2fs.so.*', '**/libe2p.so.*'),
    'libss2': ('**/libss.so.*',), 'libcom-err2': ('**/libcom_err.so.*',),
}
APPLETS = ('mformat', 'mcopy', 'mattrib', 'mmove')  # names of mtools; SYSLINUX's installer calls some


def make(folder: Path) -> dict[str, str]:
    """Fills a folder; the packages' versions."""
    with Apt(folder.parent, architecture()) as apt:
        packages = apt.download(*PACKAGES)
        for name, patterns in PACKAGES.items():
            root = apt.root / name
            packages[name].unpack(root)
            for pattern in patterns:
                if not (found := list(root.glob(pattern))): raise EmuError(f'{packages[name].path.name}: there is no {pattern} in it')
                for path in found: shutil.copy(path, folder / path.name)
    for applet in APPLETS: (folder / applet).symlink_to('mtools')
    return versions(packages)


def architecture() -> str:
    """This machine's, in dpkg's words."""
    try:
        return subprocess.run(['dpkg', '--print-architecture'], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        raise EmuError('guests are made from Debian packages through apt, and there is no dpkg on this machine') from None


def run(tools: Mapping[str, Path], program: str, *words: object, given: str = '') -> str:
    """Runs one of the tools, with a text as its standard input; what it prints. What it complains of is an error if it fails."""
    folder = tools[program].parent
    environment = {
        'PATH': f'{folder}:/usr/bin:/bin', 'LD_LIBRARY_PATH': str(folder), 'MKE2FS_CONFIG': str(tools['mke2fs.conf']), 'HOME': '/', 'LC_ALL': 'C', 'TZ': 'UTC',
        'SOURCE_DATE_EPOCH': str(TIME), 'E2FSPROGS_FAKE_TIME': str(TIME), 'TMPDIR': os.environ.get('TMPDIR', '/tmp'),
    }
    done = subprocess.run([tools[program], *map(str, words)], input=given, env=environment, capture_output=True, text=True, errors='replace')
    if done.returncode: raise EmuError(f'{program}: {((done.stderr or done.stdout).strip() or f"exit code {done.returncode}").splitlines()[-1]}')
    return done.stdout
