"""What seeing a machine costs, under emu (its display protocol) and under QEMU (its VNC server), in turn: bench/reports/display.md.

The guest is bench/guest/display.S, from a floppy, each system with its default BIOS. Latency: from a key event sent to the pixels that it changes, in the client. Redrawing:
640x480x32 drawn anew 30 times a second; the CPU time that the machine's process uses with a client and without. Idle: bytes on the wire while nothing changes.
Both talk over a Unix socket, both send pixels raw.
"""
import contextlib
import os
import socket
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, Protocol

from _watch import EMU, Failure, Watched, arguments, host, qemu_version, write_report
from tqdm import tqdm

from emu.assembler import assemble
from frontends.client import Client, Ended, connect

SOURCE = Path(__file__).parent / 'guest' / 'display.S'
FLOPPY = 1440 << 10
KEYS = 60  # that are sent for the latency
SECONDS = 8.0  # of each measurement of CPU time
CELL = 9, 16  # of the character in the corner


class Viewer(Protocol):
    """A client of either system."""

    bytes: int  # received so far
    frames: int

    def key(self, name: str) -> None:
        """Presses and releases a letter."""

    def look(self, seconds: float) -> bool:
        """Takes in what arrives within so many seconds, as soon as there is something; whether the corner has changed."""

    def close(self) -> None:
        """Ends the connection."""


class Emu(Client):
    """By the display protocol."""

    codes = {'a': 0x1e, 'b': 0x30, 'g': 0x22}

    def __init__(self, path: Path):
        self.bytes = 0
        super().__init__(connect(str(path)))
        self.say('PACE', 60)

    def key(self, name: str) -> None:
        for down in (1, 0): self.say('KEY', self.codes[name], down)

    def look(self, seconds: float) -> bool:
        self.changed.clear()
        feed = self.reader.feed

        def count(data: bytes) -> None:
            self.bytes += len(data)
            feed(data)
        self.reader.feed = count  # type: ignore[method-assign]
        self.work(seconds)
        self.reader.feed = feed  # type: ignore[method-assign]
        self.shown()
        return any(x < CELL[0] and y < CELL[1] for x, y, _, _ in self.changed)


class Vnc:
    """By RFC 6143, raw encoding."""

    def __init__(self, path: Path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.bytes = self.frames = 0
        self.take(12)
        self.socket.sendall(b'RFB 003.008\n')
        self.take(self.take(1)[0])
        self.socket.sendall(b'\1')  # no authentication
        self.take(4)
        self.socket.sendall(b'\1')
        self.width, self.height = struct.unpack('>HH', self.take(4))
        self.take(16)
        self.take(int.from_bytes(self.take(4), 'big'))
        self.socket.sendall(struct.pack('>BxHii', 2, 2, 0, -223))  # raw, and changes of size
        self.ask(False)

    def take(self, count: int) -> bytes:
        """So many bytes."""
        data = b''
        while len(data) < count:
            more = self.socket.recv(min(count - len(data), 1 << 20))
            if not more: raise Ended('QEMU has closed the connection')
            data += more
        self.bytes += count
        return data

    def ask(self, incremental: bool = True) -> None:
        """For the next update."""
        self.socket.sendall(struct.pack('>BBHHHH', 3, incremental, 0, 0, self.width, self.height))

    def key(self, name: str) -> None:
        for down in (1, 0): self.socket.sendall(struct.pack('>BBxxI', 4, down, ord(name)))

    def look(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            kind = self.take(1)[0]
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(None)
        if kind: raise Failure(f'VNC message {kind}')
        _, count = struct.unpack('>BH', self.take(3))
        corner = False
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack('>HHHHi', self.take(12))
            if encoding == -223: self.width, self.height = width, height
            else:
                self.take(4 * width * height)
                corner |= x < CELL[0] and y < CELL[1]
        self.frames += 1
        self.ask()
        return corner

    def close(self) -> None:
        self.socket.close()


@contextlib.contextmanager
def running(command: list[str], path: Path) -> Iterator[Watched]:
    """A machine, once it can be connected to."""
    with Watched(command) as machine:
        end = time.monotonic() + 60
        while not path.exists():
            if time.monotonic() > end or machine.process.poll() is not None: raise Failure(f'does not listen; {machine.last()}')
            time.sleep(0.1)
        yield machine


def settle(viewer: Viewer, seconds: float) -> None:
    """Takes in what arrives, for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0: viewer.look(left)


def latency(viewer: Viewer) -> list[float]:
    """Milliseconds from a key to its pixels, of each."""
    taken = []
    for n in range(KEYS):
        start = time.perf_counter()
        viewer.key('ab'[n % 2])
        while not viewer.look(2):
            if time.perf_counter() - start > 5: raise Failure('a key is not shown')
        taken.append(1000 * (time.perf_counter() - start))
        settle(viewer, 0.05 + 0.01 * (n % 7))
    return taken


def cpu(machine: Watched, work: float, viewer: Viewer | None) -> float:
    """Its share of a core, while a viewer looks or nobody does."""
    before, start = machine.cpu_seconds(), time.monotonic()
    if viewer: settle(viewer, work)
    else: time.sleep(work)
    return (machine.cpu_seconds() - before) / (time.monotonic() - start)


def measure(command: list[str], path: Path, kind: type[Emu] | type[Vnc]) -> dict[str, float]:
    """One run."""
    with running(command, path) as machine:
        viewer: Viewer = kind(path)
        settle(viewer, 12)
        keys = latency(viewer)
        settle(viewer, 1)
        before = viewer.bytes
        settle(viewer, SECONDS)
        idle = (viewer.bytes - before) / SECONDS
        viewer.key('g')
        settle(viewer, 3)
        before, frames, start = viewer.bytes, viewer.frames, time.monotonic()
        watched = cpu(machine, SECONDS, viewer)
        wire, shown = (viewer.bytes - before) / SECONDS, (viewer.frames - frames) / (time.monotonic() - start)
        viewer.close()
        time.sleep(1)
        alone = cpu(machine, SECONDS, None)
        return {'latency': statistics.median(keys), 'worst': sorted(keys)[int(0.95 * len(keys))], 'idle': idle, 'frames': shown, 'wire': wire / 1e6,
                'watched': 100 * watched, 'alone': 100 * alone}


ROWS = (('latency', 'key to pixels, median', 'ms'), ('worst', 'key to pixels, 95 of 100', 'ms'), ('idle', 'idle text screen without a cursor', 'bytes/s'),
        ('frames', '640x480x32 drawn 30 times a second: frames in the client', '/s'), ('wire', 'the same: bytes', 'MB/s'),
        ('watched', 'the same: CPU of the machine, watched', '% of a core'), ('alone', 'the same: unwatched', '% of a core'))


def main() -> int:
    given = arguments(__doc__, 1, 60).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'floppy').write_bytes((assemble(SOURCE.read_text(), 16, 0x7c00).ljust(510, b'\0') + b'\x55\xaa').ljust(FLOPPY, b'\0'))
        floppy = ['-m', '32', '-drive', f'file={folder / "floppy"},if=floppy,format=raw,readonly=on', '-boot', 'a']
        systems = {'emu': ([*EMU, 'run', '-serial', 'none', '-display', 'none', '-archive', 'off', '-display-listen', str(folder / 'emu'), *floppy], folder / 'emu', Emu),
                   'QEMU': (['qemu-system-i386', '-accel', 'tcg', '-serial', 'none', '-monitor', 'none', '-vnc', f'unix:{folder / "qemu"}', *floppy], folder / 'qemu', Vnc)}
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in systems}
        for name in tqdm(list(systems) * given.repeat, unit='run', disable=None):
            command, path, kind = systems[name]
            try:
                runs[name].append(measure(command, path, kind))
            except (Failure, Ended, OSError) as failure:
                print(f'{name}: {failure}', file=sys.stderr)
                return 1
            path.unlink(missing_ok=True)
    lines = [f'# The display\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
             f'{given.repeat} run(s) of each; medians. Load average during the runs: {os.getloadavg()[1]:.1f}.\n\n'
             'emu by its own protocol, QEMU by VNC, both over a Unix socket, pixels raw.\n\n| what | unit | emu | QEMU |\n| --- | --- | ---: | ---: |\n']
    for key, what, unit in ROWS:
        ours, theirs = (statistics.median(run[key] for run in runs[name]) for name in ('emu', 'QEMU'))
        lines.append(f'| {what} | {unit} | {ours:.1f} | {theirs:.1f} |\n')
    write_report(given.out, 'display.md', ''.join(lines))
    return 0


if __name__ == '__main__':
    sys.exit(main())
