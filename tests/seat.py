"""A seat at a machine: keyboard and screen, through the control socket. `Seat` runs emu; `Qemu` runs qemu-system-i386 the same way (its QMP is near enough), so that one
script makes the screens that are kept in tests/screens and checks emu against them.
"""
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from emu.errors import EmuError
from emu.hw.keys import US
from emu.hw.vga_render import GLYPHS
from emu.server.client import Client

PATIENCE = 300  # seconds; real ones, on a busy machine
TEXT = 0xb8000


class Seat:
    """emu, started with these options; ended by `close`."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.socket, self.serial, self.errors = folder, folder / 'control', folder / 'serial', folder / 'errors'
        for path in (self.socket, self.serial): path.unlink(missing_ok=True)
        with self.errors.open('wb') as errors: self.process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            self.client = self.until(self.connect, 'no control socket')
        except BaseException:
            self.process.kill()
            raise

    def command(self, *options: str) -> list[str]:
        """The command line."""
        return [sys.executable, '-m', 'emu', 'run', '-display', 'none', '-serial', f'file:{self.serial}', '-control', str(self.socket), *options]

    def until(self, what: Callable[[], Any], text: str, patience: float = PATIENCE) -> Any:
        """Asks until there is an answer."""
        end = time.monotonic() + patience
        while not (answer := what()):
            assert self.process.poll() is None and time.monotonic() < end, f'{text}; {self.errors.read_text()}'
            time.sleep(0.05)
        return answer

    def connect(self) -> Client | None:
        """A connection, once the machine listens."""
        with suppress(EmuError): return Client(str(self.socket))
        return None

    def lines(self) -> list[str]:
        """The screen's rows; none in graphics and before the first mode is set."""
        try:
            lines: list[str] = self.client.execute('screentext')['lines']
        except EmuError as error:
            if 'shows no text' not in str(error): raise
            return []
        return lines

    def picture(self, path: Path) -> None:
        """The screen as a PNG file."""
        self.client.execute('screendump', {'filename': str(path)})

    def see(self, pattern: str, patience: float = PATIENCE) -> str:
        """Waits for something on the screen, where ^ and $ are ends of rows; the screen."""
        shown: list[str] = []

        def look() -> str | None:
            shown[:] = self.lines()
            return '\n'.join(shown) if re.search(pattern, '\n'.join(shown), re.MULTILINE) else None
        try:
            found: str = self.until(look, '', patience)
        except AssertionError as error:
            raise AssertionError(f'no {pattern!r} on the screen{error}:\n' + '\n'.join(shown)) from None
        return found

    def hear(self, pattern: str) -> str:
        """Waits for something on COM1; all that it said."""
        def listen() -> str | None:
            said = self.serial.read_text(errors='replace').replace('\r', '') if self.serial.exists() else ''
            return said if re.search(pattern, said) else None
        try:
            found: str = self.until(listen, '')
        except AssertionError as error:
            raise AssertionError(f'no {pattern!r} on COM1{error}: {self.serial.read_text(errors="replace")[-2000:]}') from None
        return found

    def type(self, text: str) -> None:
        """Types a text and waits until the guest has taken it."""
        self.client.execute('type', {'text': text})
        self.until(lambda: not self.client.execute('query-status')['typing'], f'{text!r} is not read')

    def key(self, *names: str, hold: int = 100) -> None:
        """Presses keys together, for milliseconds of guest time."""
        self.client.execute('send-key', {'keys': list(names), 'hold-time': hold})
        self.until(lambda: not self.client.execute('query-status')['typing'], f'{names} is not read')

    def ended(self, code: int = 0) -> None:
        """The run ends by itself, with this exit code."""
        assert self.process.wait(PATIENCE) == code, self.errors.read_text()

    def close(self) -> None:
        """Ends it, as kill -9 does."""
        self.client.close()
        self.process.kill()
        self.process.wait()


class Qemu(Seat):
    """QEMU's `pc` machine without network, and without drives that nobody asked for, on a Pentium III."""

    def command(self, *options: str) -> list[str]:
        return ['qemu-system-i386', '-machine', 'pc', '-accel', 'tcg', '-cpu', 'pentium3', '-nodefaults', '-vga', 'std', '-display', 'none', '-serial', f'file:{self.serial}',
                '-qmp', f'unix:{self.socket},server=on,wait=off', *options]

    def connect(self) -> Client | None:
        client = super().connect()
        if client: client.execute('qmp_capabilities')
        return client

    def picture(self, path: Path) -> None:
        self.client.execute('screendump', {'filename': str(path), 'format': 'png'})

    def lines(self) -> list[str]:
        file = self.folder / 'text'
        self.client.execute('pmemsave', {'val': TEXT, 'size': 4000, 'filename': str(file)})
        text = ''.join(GLYPHS[byte] for byte in file.read_bytes()[::2])
        return [text[at:at + 80].rstrip() for at in range(0, 2000, 80)]

    def type(self, text: str) -> None:
        for character in text: self.key(*US[character], hold=20)

    def key(self, *names: str, hold: int = 100) -> None:
        self.client.execute('send-key', {'keys': [{'type': 'qcode', 'data': name} for name in names], 'hold-time': hold})
        time.sleep(hold / 1000 + 0.1)

    def settled(self, shown: Callable[[list[str]], list[str]], seconds: float = 4) -> list[str]:
        """What `shown` makes of the screen, once it has not changed for a while."""
        last, since = shown(self.lines()), time.monotonic()
        while time.monotonic() < since + seconds:
            time.sleep(0.2)
            if (now := shown(self.lines())) != last: last, since = now, time.monotonic()
        return last
