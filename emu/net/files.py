"""Files that the gateway serves: those in a directory, and nothing outside, whatever the guest asks for."""
import stat
from pathlib import Path
from typing import BinaryIO


def open_file(directory: str, name: str) -> tuple[BinaryIO, int] | None:
    """A regular file inside the directory (links that lead out of it are not followed) and its size; None: there is no such file, or it cannot be read."""
    try:
        root = Path(directory).resolve()
        path = (root / name.lstrip('/')).resolve()
        if not path.is_relative_to(root) or not stat.S_ISREG(path.stat().st_mode): return None
        return path.open('rb'), path.stat().st_size
    except (OSError, ValueError, RuntimeError):  # no such file; a zero byte in the name; links in a circle
        return None
