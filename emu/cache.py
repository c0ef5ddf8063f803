"""The user's cache directory: what can be made again. Files are checksummed, written whole, and never trusted.

$EMU_CACHE, else $XDG_CACHE_HOME/emu, else ~/.cache/emu. A file is 32 bytes of SHA-256, then the data; what does not match is as if it were not there.
"""
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from emu.errors import EmuError, file_error


def directory(*parts: str) -> Path:
    """The cache directory, or a folder in it; not made yet."""
    root = os.environ.get('EMU_CACHE') or (os.path.join(os.environ['XDG_CACHE_HOME'], 'emu') if os.environ.get('XDG_CACHE_HOME') else '~/.cache/emu')
    try:
        return Path(root).expanduser().joinpath(*parts)
    except RuntimeError:  # $HOME is not set, and the user has no entry in the system's list
        raise EmuError('there is no home directory for the cache; EMU_CACHE=DIRECTORY names another place') from None


def read(path: Path) -> bytes | None:
    """The data of a cache file, or None where it is missing, unreadable or damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def write(path: Path, data: bytes) -> bool:
    """Stores data under a name, whole or not at all; False where the directory cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
            out.write(hashlib.sha256(data).digest() + data)
        os.replace(out.name, path)
    except OSError:
        return False
    return True


def remove(entry: Path) -> None:
    """Removes a file, or a directory with all in it."""
    try:
        if entry.is_dir() and not entry.is_symlink(): shutil.rmtree(entry)
        else: entry.unlink()
    except OSError as error:  # rmtree tells the last part of a name
        raise file_error(entry, error) from None
