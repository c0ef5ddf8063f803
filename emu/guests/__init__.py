"""Guests made from Debian's packages, without root, kept in the user's cache directory: `emu guest get NAME`.

A guest is a folder of files with packages.json: the packages' versions and the SHA-256 of each file. A folder that does not match is made again.
Made in a temporary folder beside it and renamed, under a lock, so that a run that is interrupted or another one at the same time does no harm.
"""
import fcntl
import hashlib
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from emu import cache
from emu.errors import EmuError, file_error
from emu.guests import firmware, linux

RECORD = 'packages.json'


class Guest(NamedTuple):
    """`make(folder)` fills a folder and returns the packages' versions; `sources` are our own files that go in."""

    text: str
    make: Callable[[Path], dict[str, str]]
    sources: tuple[Path, ...]


GUESTS = {'linux': Guest("Debian's i386 kernels (vmlinuz-686, vmlinuz-686-pae), each with an initramfs of busybox", linux.make, linux.SOURCES),
          'firmware': Guest('SeaBIOS (bios-256k.bin, bios.bin) and VGA BIOSes (vgabios-stdvga.bin, vgabios.bin)', firmware.make, firmware.SOURCES)}


def available() -> dict[str, str]:
    """Name and description of each guest there is."""
    return {name: guest.text for name, guest in GUESTS.items()}


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
    """Makes a guest and puts it in its place."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f'{place.name}.') as temporary:
        made = Path(temporary) / 'made'
        made.mkdir()
        packages = guest.make(made)
        sums = {path.name: digest(path) for path in sorted(made.iterdir())}
        record = {'packages': packages, 'sources': sources(guest), 'sha256': sums}
        (made / RECORD).write_text(json.dumps(record, indent=2) + '\n')
        if place.exists(): shutil.rmtree(place)
        made.rename(place)
    return {file: place / file for file in sums}


def intact(place: Path, guest: Guest) -> dict[str, Path] | None:
    """The files in place, if they are what was once made, of our sources as they are now."""
    try:
        record = json.loads((place / RECORD).read_bytes())
        good = record['sources'] == sources(guest) and all(digest(place / file) == digest_made for file, digest_made in record['sha256'].items())
        return {file: place / file for file in record['sha256']} if good else None
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError, AttributeError):
        return None


def sources(guest: Guest) -> str:
    """SHA-256 of what we put in."""
    return hashlib.sha256(b''.join(path.read_bytes() for path in guest.sources)).hexdigest()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open('rb') as file: return hashlib.file_digest(file, 'sha256').hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds this file."""
    with path.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
