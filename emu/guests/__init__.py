"""Guests made from Debian's packages, without root, kept in the user's cache directory: `emu guest get NAME`.

A guest is a folder of files with packages.json: the packages' versions, and SHA-256, size and time of each file. A folder that does not match is made again.
Made in a temporary folder beside it and renamed, under a lock, so that a run that is interrupted or another one at the same time does no harm.
"""
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from emu import cache
from emu.errors import EmuError, file_error, warn
from emu.guests import cds, disk, firmware, floppies, grubdisk, linux, netboot, tools

RECORD = 'packages.json'


class Guest(NamedTuple):
    """`make(folder, *files of each guest in needs)` fills a folder and returns the packages' versions; `sources` are our own files that go in.

    `megabytes` is what it takes on the disk while it is made, downloads included.
    """

    text: str
    make: Callable[..., dict[str, str]]
    sources: tuple[Path, ...]
    needs: tuple[str, ...] = ()
    megabytes: int = 100


GUESTS = {
    'linux': Guest("Debian's i386 kernels (686, 686-pae), each with an initramfs of busybox, tiny or with drivers", linux.make, linux.SOURCES, (), 600),
    'bootdisk': Guest('a hard disk: SYSLINUX on FAT, and the kernels', disk.make_small, disk.SOURCES, ('tools', 'linux')),
    'disk': Guest('a hard disk: the same, and a userland on ext4', disk.make, disk.SOURCES, ('tools', 'linux'), 1000),
    'grubdisk': Guest('a hard disk: GRUB, a kernel, invaders', grubdisk.make, grubdisk.SOURCES, ('tools', 'linux', 'invaders')),
    'floppies': Guest('memtest86+, iPXE, HDT, invaders, GRUB', floppies.make, floppies.SOURCES, ('tools', 'invaders')),
    'cds': Guest('ISOLINUX, GRUB, and the memtest86+ floppy emulated', cds.make, cds.SOURCES, ('tools', 'floppies')),
    'invaders': Guest('grub-invaders, a multiboot kernel', floppies.make_invaders, floppies.INVADERS_SOURCES),
    'firmware': Guest('SeaBIOS (bios-256k.bin, bios.bin), VGA BIOSes (vgabios-stdvga.bin, vgabios.bin), iPXE for ne2k_pci', firmware.make, firmware.SOURCES),
    'netboot': Guest('a directory to boot from over the network: kernel, initramfs, boot.ipxe', netboot.make, netboot.SOURCES, ('linux',)),
    'tools': Guest('no guest: programs of this machine that make disks, floppies and CDs', tools.make, tools.SOURCES),
}


def listing() -> list[tuple[str, str, str]]:
    """Name, size if it is made already, and description of each guest there is."""
    return [(name, size(directory(name)), guest.text) for name, guest in GUESTS.items()]


def size(place: Path) -> str:
    """What a guest takes on the disk, if it is there."""
    if not (place / RECORD).is_file(): return 'not made'
    return f'{sum(path.stat().st_blocks for path in place.iterdir()) * 512 / 1e6:.1f} MB'


def directory(name: str) -> Path:
    """Where a guest is, or would be."""
    return cache.directory('guests', name)


def get(name: str) -> dict[str, Path]:
    """The files of a guest by name, made now if they are not there as they were made."""
    if name not in GUESTS: raise EmuError(f"no guest is called '{name}'; there are {' '.join(GUESTS)}")
    place, guest = directory(name), GUESTS[name]
    try:
        if (files := intact(place, guest)) is None:
            place.parent.mkdir(parents=True, exist_ok=True)
            with locked(place.with_suffix('.lock')):
                files = intact(place, guest) or make(place, guest)  # another process may have been quicker
    except OSError as error:
        raise file_error(error.filename or place, error) from None
    return files


def make(place: Path, guest: Guest) -> dict[str, Path]:
    """Makes a guest and puts it in its place, after those that it is made from."""
    needed = [get(name) for name in guest.needs]
    if (free := shutil.disk_usage(place.parent).free // 10**6) < guest.megabytes:
        raise EmuError(f'{place.parent}: making {place.name} takes {guest.megabytes} MB there, and {free} MB are free')
    for left in place.parent.glob(f'{place.name}.*/'): shutil.rmtree(left)  # by one that was killed
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f'{place.name}.') as temporary:
        made = Path(temporary) / 'made'
        made.mkdir()
        packages = guest.make(made, *needed)
        stamps = {path.name: [digest(path), *stamp(path)] for path in sorted(made.iterdir())}
        record = {'packages': packages, 'sources': sources(guest), 'files': stamps}
        (made / RECORD).write_text(json.dumps(record, indent=2) + '\n')
        if os.path.lexists(place): cache.remove(place)
        made.rename(place)
    return {file: place / file for file in stamps}


def intact(place: Path, guest: Guest) -> dict[str, Path] | None:
    """The files in place, if they are what was once made, of our sources as they are now."""
    try:
        record = json.loads((place / RECORD).read_bytes())
        good = record['sources'] == sources(guest) and all(same(place / file, *values) for file, values in record['files'].items())
        return {file: place / file for file in record['files']} if good else None
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError, AttributeError):
        return None


def same(path: Path, sha256: str, *made: int) -> bool:
    """Whether a file is as it was made: it need not be read where its size and time are."""
    return stamp(path) == made or digest(path) == sha256


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of last change of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def sources(guest: Guest) -> str:
    """SHA-256 of what we put in."""
    return hashlib.sha256(b''.join(path.read_bytes() for path in guest.sources)).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open('rb') as file: return hashlib.file_digest(file, 'sha256').hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds this file, and says so."""
    with path.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            warn(f'waiting for another emu that makes {path.stem}')
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
