"""EmuError: what went wrong, in one line for a person. The command prints it as `emu: ...` and exits with 1."""


class EmuError(Exception):
    """The message is one line, starts in lower case and names the file or value that is wrong."""


def file_error(path: object, error: OSError) -> EmuError:
    """What the system says of a file."""
    return EmuError(f'{path}: {(error.strerror or str(error)).lower()}')
