"""A seat at a machine. `Seat` runs emu, and sees and drives it through the display protocol, by the client without a screen (frontends/headless.py): keys go by the input
channel, the picture comes by the video channel, COM1 is the serial channel, text on the screen and the rest are commands of the control channel. `Qemu` runs
qemu-system-i386, through its QMP, so that one script makes the screens that are kept in tests/screens and checks emu against them.
"""
import io
import re
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emu.errors import EmuError
from emu.hw.keys import BY_SET_1, US
from emu.hw.vga_render import GLYPHS
from emu.server.client import Client
from frontends.client import Ended
from frontends.headless import Script

PATIENCE = 300  # seconds; real ones, on a busy machine
TEXT = 0xb8000
CODES = {name: code for code, name in BY_SET_1.items()}


class Seat:
    """emu, started with these options; ended by `close`."""

    def __init__(self, folder: Path, *options: str):
        self.folder, self.socket, self.serial, self.errors = folder, folder / 'socket', folder / 'serial', folder / 'errors'
        for path in (self.socket, self.serial): path.unlink(missing_ok=True)
        self.client: Any = None
        self.heard = 0  # how much of what COM1 said was waited for already
        self.farewell = ''  # the machine's last word
        with self.errors.open('wb') as errors: self.process = subprocess.Popen(self.command(*options), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        try:
            self.client = self.until(self.connect, 'no socket')
        except BaseException:
            self.process.kill()
            raise

    def command(self, *options: str) -> list[str]:
        """The command line."""
        return [sys.executable, '-m', 'emu', 'run', '-display', 'none', '-serial', 'display', '-display-listen', str(self.socket), *options]

    def connect(self) -> Any:
        """The client, once the machine listens, and answers."""
        with suppress(Ended):
            client = Script(str(self.socket), False)
            client.do('serial', ['1', str(self.serial)])
            return client

    def look(self, seconds: float = 0.05) -> None:
        """Lets time pass, and takes in what the machine sends."""
        if self.client is None or self.farewell: return time.sleep(seconds)
        try:
            self.client.look(seconds)
        except Ended as end:
            self.farewell = str(end)

    def until(self, what: Callable[[], Any], text: str, patience: float = PATIENCE) -> Any:
        """Asks until there is an answer."""
        end = time.monotonic() + patience
        while not (answer := what()):
            assert self.process.poll() is None and time.monotonic() < end, f'{text}; {self.farewell} {self.errors.read_text()}'
            self.look()
        return answer

    def execute(self, command: str, **arguments: Any) -> Any:
        """A command of the control channel, and what it returns; ValueError where it is refused."""
        return self.client.machine.execute(command, **arguments)

    # --- the screen --------------------------------------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The screen's rows; none in graphics and before the first mode is set."""
        try:
            lines: list[str] = self.execute('screentext')['lines']
        except ValueError as error:
            if 'shows no text' not in str(error): raise
            return []
        return lines

    def picture(self) -> NDArray[np.uint8]:
        """The picture (lines, dots, red green blue) that the video channel brought: dot for dot the machine's own screendump. It is stopped meanwhile, as cursors blink."""
        self.execute('stop')
        wanted = np.asarray(Image.open(io.BytesIO(b64decode(self.execute('screendump')['data']))))
        self.until(lambda: np.array_equal(self.client.machine.pixels[:, :, 2::-1], wanted), 'screendump is not what the video channel shows', 10)
        self.execute('cont')
        return wanted

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

    # --- the keyboard ------------------------------------------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Types a text and waits until the guest has taken it."""
        self.client.machine.say('TEXT', text)
        self.until(lambda: not self.execute('query-status')['typing'], f'{text!r} is not read')

    def key(self, *names: str) -> None:
        """Presses keys together, and releases them at once: a busy host could hold them until they repeat."""
        for name in names: self.client.machine.say('KEY', CODES[name], 1)
        for name in reversed(names): self.client.machine.say('KEY', CODES[name], 0)

    def hold(self, name: str, what: Callable[[], Any], text: str) -> Any:
        """Holds a key down until there is an answer."""
        self.client.machine.say('KEY', CODES[name], 1)
        answer = self.until(what, text)
        self.client.machine.say('KEY', CODES[name], 0)
        return answer

    # --- COM1 --------------------------------------------------------------------------------------------------------------------------------

    @property
    def said(self) -> str:
        """All that COM1 has said."""
        return self.serial.read_text(errors='replace').replace('\r', '') if self.serial.exists() else ''

    def hear(self, pattern: str) -> str:
        """Waits for something behind what was heard before; all that came up to its end."""
        try:
            found = self.until(lambda: re.compile(pattern).search(self.said, self.heard), '')
        except AssertionError as error:
            raise AssertionError(f'no {pattern!r} on COM1{error}: {self.said[self.heard:]}') from None
        start, self.heard = self.heard, found.end()
        return self.said[start:self.heard]

    def say(self, text: str) -> None:
        """What somebody types at a terminal on COM1."""
        self.client.say(0, text.encode())

    # --- the end -----------------------------------------------------------------------------------------------------------------------------

    def ended(self, code: int = 0) -> None:
        """The run ends by itself, with this exit code, and tells its client so, after all that COM1 said."""
        end = time.monotonic() + PATIENCE
        while not self.farewell and time.monotonic() < end: self.look()
        assert self.process.wait(PATIENCE) == code, self.errors.read_text()
        assert self.farewell == 'the machine has ended'

    def close(self) -> None:
        """Ends it, as kill -9 does."""
        self.process.kill()
        self.process.wait()
        self.client.machine.close()


class Qemu(Seat):
    """QEMU's `pc` machine without network, and without drives that nobody asked for, on a Pentium III."""

    client: Client

    def command(self, *options: str) -> list[str]:
        return ['qemu-system-i386', '-machine', 'pc', '-accel', 'tcg', '-cpu', 'pentium3', '-nodefaults', '-vga', 'std', '-display', 'none', '-serial', 'null',
                '-qmp', f'unix:{self.socket},server=on,wait=off', *options]

    def connect(self) -> Client | None:
        with suppress(EmuError):
            client = Client(str(self.socket))
            client.execute('qmp_capabilities')
            return client
        return None

    def look(self, seconds: float = 0.05) -> None:
        time.sleep(seconds)

    def picture(self) -> NDArray[np.uint8]:
        file = self.folder / 'picture'
        self.client.execute('screendump', {'filename': str(file), 'format': 'png'})
        return np.asarray(Image.open(file).convert('RGB'))

    def lines(self) -> list[str]:
        file = self.folder / 'text'
        self.client.execute('pmemsave', {'val': TEXT, 'size': 4000, 'filename': str(file)})
        text = ''.join(GLYPHS[byte] for byte in file.read_bytes()[::2])
        return [text[at:at + 80].rstrip() for at in range(0, 2000, 80)]

    def type(self, text: str) -> None:
        for character in text: self.key(*US[character], hold=20)

    def key(self, *names: str, hold: int = 100) -> None:  # milliseconds
        self.client.execute('send-key', {'keys': [{'type': 'qcode', 'data': name} for name in names], 'hold-time': hold})
        time.sleep(hold / 1000 + 0.1)

    def settled(self, shown: Callable[[list[str]], list[str]], seconds: float = 4) -> list[str]:
        """What `shown` makes of the screen, once it has not changed for a while."""
        last, since = shown(self.lines()), time.monotonic()
        while time.monotonic() < since + seconds:
            time.sleep(0.2)
            if (now := shown(self.lines())) != last: last, since = now, time.monotonic()
        return last

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
