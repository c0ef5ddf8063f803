"""An initramfs: a cpio archive of format newc (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), gzipped.

Everything belongs to root and has one fixed time, so that the same contents give the same bytes.
"""
import gzip
from pathlib import PurePosixPath
from typing import Iterable, Mapping

TIME = 1136246400  # 2006-01-03
DIRECTORY, FILE = 0o40755, 0o100755
TRAILER = 'TRAILER!!!'
BLOCK = 512


def build(directories: Iterable[str], files: Mapping[str, bytes]) -> bytes:
    """The archive of directories and executable files, with the directories that these are in, in order of their names."""
    parents = (str(parent) for name in files for parent in PurePosixPath(name).parents)
    entries: dict[str, bytes | None] = {'.': None, **dict.fromkeys(parents), **dict.fromkeys(directories), **files}
    out = bytearray()
    for number, (name, data) in enumerate(sorted(entries.items(), key=lambda entry: entry[0].encode()), 1):
        out += entry(name, number, DIRECTORY if data is None else FILE, data or b'')
    out += entry(TRAILER, 0, 0, b'')
    return gzip.compress(pad(out, BLOCK), 9, mtime=0)


def entry(name: str, number: int, mode: int, data: bytes) -> bytes:
    """Magic and 13 numbers of 8 hexadecimal digits, the name, the data; name and data end on 4 bytes."""
    path = name.encode() + b'\0'
    links = 2 if mode == DIRECTORY else 1
    time = TIME if mode else 0
    fields = (number, mode, 0, 0, links, time, len(data), 0, 0, 0, 0, len(path), 0)
    head = b'070701' + b''.join(b'%08X' % field for field in fields)
    return pad(head + path, 4) + pad(data, 4)


def pad(data: bytes | bytearray, to: int) -> bytes:
    """The data with zeros up to a multiple of `to`."""
    return bytes(data) + bytes(-len(data) % to)
