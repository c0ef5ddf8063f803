"""Files that a person names for the machine to start from."""
import stat
from functools import cache
from pathlib import Path

from emu.errors import EmuError, file_error
from emu.mem.memory import RAM_MAX


def read_file(path: str | Path) -> bytes:
    """The contents of a file, or of a pipe, that must not be empty, nor a whole disk."""
    try:
        status = Path(path).stat()
        if not any(kind(status.st_mode) for kind in (stat.S_ISREG, stat.S_ISDIR, stat.S_ISFIFO)): raise EmuError(f'{path}: neither a file nor a pipe')
        if status.st_size > RAM_MAX: raise EmuError(f'{path}: {status.st_size >> 20} MB are more than any memory that can be had')
        data = read_pipe(path) if stat.S_ISFIFO(status.st_mode) else Path(path).read_bytes()
    except OSError as error:
        raise file_error(path, error) from None
    if not data: raise EmuError(f'{path}: the file is empty')
    return data


@cache
def read_pipe(path: str | Path) -> bytes:
    """`-kernel <(zcat kernel.gz)`: kept, since it can be read only once, and is needed again when the machine is reset."""
    with open(path, 'rb') as pipe: return pipe.read(RAM_MAX)  # what is longer fits nowhere
