"""Files that a person names for the machine to start from."""
from pathlib import Path

from emu.errors import EmuError, file_error


def read_file(path: str | Path) -> bytes:
    """The contents of a file that must not be empty."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise file_error(path, error) from None
    if not data: raise EmuError(f'{path}: the file is empty')
    return data
