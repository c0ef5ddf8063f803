"""Our sources as they were imported, however they are edited, or emu is upgraded, while we run: compiled code is made of them (lower.py) and named by them (build.py).

Python opens a file anew when it is asked for a function's source, and takes what stands by then in the lines where the function was: another one, as a rule.
"""
import inspect
import linecache
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Callable, Iterator

import emu

ROOT = Path(emu.__file__).parent
FOLDERS = ('decoder', 'isa', 'jit', 'mem', 'ports', 'tcache')  # of what is compiled, and of what compiles


def read(path: Path) -> bytes:
    """A file's content; it is also what Python takes for it from now on (without a time, an entry is never compared with the file)."""
    data = path.read_bytes()
    linecache.cache[str(path)] = len(data), None, data.decode().splitlines(True), str(path)
    return data


FILES = {path.relative_to(ROOT).as_posix(): read(path) for folder in FOLDERS for path in sorted((ROOT / folder).glob('*.py'))}


def matching(pattern: str) -> Iterator[bytes]:
    """The content of our files with such a name."""
    return (data for name, data in FILES.items() if fnmatch(name, pattern))


def source(function: Callable[..., Any]) -> str:
    """What a function was imported from."""
    return inspect.getsource(function)
