"""What a run reports at its end (`--stats FILE`): names and numbers in four parts, with stable names.

`guest` repeats exactly under --icount, `cache` is the translation cache's, `devices` tells of each drive, `time` the host's seconds. A part may have parts of its own
(evictions by reason); the table writes their names with dots.
"""
import json
from pathlib import Path
from typing import Any, Iterator

from emu.errors import file_error

PARTS = ('guest', 'cache', 'devices', 'time')


def report(stats: dict[str, dict[str, Any]], path: str) -> None:
    """Writes JSON to a file, or a table for people to stdout where path is '-'."""
    ordered = {part: stats.get(part, {}) for part in PARTS}
    try:
        if path == '-': print(table(ordered), end='', flush=True)
        else: Path(path).write_text(json.dumps(ordered, indent=2) + '\n')
    except OSError as error:
        raise file_error('standard output' if path == '-' else path, error) from None


def table(stats: dict[str, dict[str, Any]]) -> str:
    """A line for each number, under the name of its part."""
    rows = {part: list(flat(values)) for part, values in stats.items()}
    width = max((len(name) for part in rows.values() for name, _ in part), default=0)
    return ''.join(f'{part}\n' + ''.join(f'  {name:{width}}  {shown(value):>20}\n' for name, value in values) for part, values in rows.items())


def flat(values: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of nested dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict): yield from flat(value, f'{prefix}{name}.')
        else: yield prefix + name, value


def shown(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, float): return f'{value:,.3f}'
    return f'{value:,}' if isinstance(value, int) and not isinstance(value, bool) else str(value)
