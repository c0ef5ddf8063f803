"""EmuError: what went wrong, in one line for a person. The command prints it as `emu: ...` and exits with 1. `warn` prints what ends nothing."""
import sys


class EmuError(Exception):
    """The message is one line, starts in lower case and names the file or value that is wrong."""


def warn(text: str) -> None:
    """One line on stderr; where that is full, or nobody reads it any more, nothing else suffers."""
    try:
        print(f'emu: {text}', file=sys.stderr)
    except OSError:
        pass


def reason(error: OSError) -> str:
    """What the system says."""
    return (error.strerror or str(error)).lower()


def file_error(path: object, error: OSError) -> EmuError:
    """What it says of a file, or an address."""
    return EmuError(f'{path}: {reason(error)}')
