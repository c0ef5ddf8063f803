"""Files that a person names for the machine to start from."""
import stat
from pathlib import Path

from emu.errors import EmuError, file_error
from emu.mem.memory import RAM_MAX


def read_file(path: str | Path) -> bytes:
    """The contents of a file that must not be empty, nor a whole disk."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode): raise EmuError(f'{path}: no regular file')
        if status.st_size > RAM_MAX: raise EmuError(f'{path}: {status.st_size >> 20} MB are more than any memory that can be had')
        data = Path(path).read_bytes()
    except OSError as error:
        raise file_error(path, error) from None
    if not data: raise EmuError(f'{path}: the file is empty')
    return data
