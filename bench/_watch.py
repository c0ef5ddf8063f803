"""What the benches share: a program whose output is watched for when something appears, what machine this is, options, reports."""
import argparse
import os
import platform
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterable

ROOT = Path(__file__).parent.parent
REPORTS = Path(__file__).parent / 'reports'
EMU = [sys.executable, '-m', 'emu']
QEMU = ['qemu-system-i386', '-accel', 'tcg', '-cpu', 'qemu32']  # a processor with SSE2, as emu's default


class Failure(Exception):
    """A run that did not do what it should; the message says how."""


class Watched:
    """A program that runs for the length of a `with`, its stdin held open, from the project's folder."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None):
        self.command, self.environment = command, {**os.environ, **(environment or {})}
        self.output, self.seen = bytearray(), 0

    def __enter__(self) -> 'Watched':
        self.errors = tempfile.TemporaryFile()
        self.start = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=self.environment, cwd=ROOT)
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def wait_for(self, pattern: bytes, timeout: float) -> tuple[float, bytes]:
        """Seconds from the start until the pattern appeared after what was waited for before, and its last group."""
        deadline = time.perf_counter() + timeout
        while not (found := re.compile(pattern).search(self.output, self.seen)):
            self.read(deadline - time.perf_counter(), pattern)
        self.seen = found.end()
        return self.at - self.start, found[found.lastindex or 0]

    def type(self, data: bytes) -> None:
        """To its standard input."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, seconds: float, wanted: bytes) -> None:
        """What comes next."""
        assert self.process.stdout
        if seconds <= 0 or not select.select([self.process.stdout], [], [], seconds)[0]: raise Failure(f'no {wanted.decode()!r}; {self.last()}')
        data = os.read(self.process.stdout.fileno(), 65536)
        self.at = time.perf_counter()
        if not data: raise Failure(f'ended with code {self.process.wait()} before {wanted.decode()!r}; {self.last()}')
        self.output += data

    def finish(self, timeout: float) -> int:
        """The exit code, once it ends by itself; its output is read to the end."""
        try:
            self.output += self.process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            raise Failure(f'does not end; {self.last()}') from None
        return self.process.returncode

    def last(self) -> str:
        """The last line it wrote, on stderr if anywhere."""
        self.errors.seek(0)
        lines = [line for text in (self.errors.read(), bytes(self.output)) for line in text.decode(errors='replace').split('\n')[-3:] if line.strip()]
        return f'last line: {lines[0].strip()}' if lines else 'it wrote nothing'

    def cpu_seconds(self) -> float:
        """CPU time that it and the processes it started have used."""
        parents = {int(path.name): fields for path in Path('/proc').glob('[0-9]*') if (fields := stat_fields(path))}
        family, total = {self.process.pid}, 0
        for pid, fields in sorted(parents.items()):  # a child's number is larger, but where they wrapped around
            if pid in family or int(fields[1]) in family:
                family.add(pid)
                total += int(fields[11]) + int(fields[12])  # utime and stime (proc(5))
        return total / os.sysconf('SC_CLK_TCK')


def stat_fields(path: Path) -> list[str]:
    """/proc/PID/stat from the state on; nothing if the process is gone."""
    try:
        return (path / 'stat').read_text().rpartition(')')[2].split()
    except OSError:
        return []


def arguments(doc: str | None, repeat: int, timeout: float) -> argparse.ArgumentParser:
    """The options that every comparison has."""
    options = argparse.ArgumentParser(description=(doc or '').split('\n')[0])
    options.add_argument('--repeat', type=int, default=repeat, help=f'runs of each (default {repeat})')
    options.add_argument('--timeout', type=float, default=timeout, help=f'seconds to wait for a line (default {timeout:g})')
    options.add_argument('--out', type=Path, default=REPORTS, help='where the report goes')
    return options


def write_report(folder: Path, name: str, report: str) -> None:
    """To its file, and to stdout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(report)
    print(report)


def grid(head: str, rows: Iterable[Iterable[object]], left: int = 1) -> str:
    """A Markdown table: its head, cells parted by ` | `, and its rows; all columns but so many on the left are numbers."""
    count = head.count(' | ') + 1
    lines = [f'| {head} |', f'| {" | ".join(["---"] * left + ["---:"] * (count - left))} |', *(f'| {" | ".join(map(str, row))} |' for row in rows)]
    return '\n'.join(lines) + '\n'


def host() -> str:
    """The machine this ran on."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    model = next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), platform.machine())
    return f'{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}'


def qemu_version() -> str:
    """Its first line."""
    return subprocess.run(['qemu-system-i386', '--version'], capture_output=True, text=True).stdout.split('\n')[0]
