"""A client without a screen, driven by a script: `emu view --headless --script FILE ADDRESS` (docs/protocol.md). Proof that the protocol needs no window, and what tests use.

A script has a command on each line; '#' begins a comment. The exit code is 0 when it has come to its end, 1 when a line failed.

    wait SECONDS              goes on looking for so long
    settle SECONDS            until the picture has not changed for so long, but for the cursor
    see TEXT                  until the text screen has a line with this text
    key NAME or CODE          presses and releases it: a name of the control socket's keys, or a scan code in hexadecimal such as 1E
    type TEXT                 types it; \\n is Enter
    move DX DY                the mouse; `click BUTTON` presses and releases a button
    shot FILE                 a PNG of the picture
    execute COMMAND [JSON]    a command of the control socket; prints what it returns
    insert DRIVE FILE         puts a file of this host into a drive; `remove DRIVE`
    listen FILE               from now on the sound goes into a WAV file
    serial PORT FILE          from now on what COM1 to COM4 (PORT 1 to 4) says goes into a file; `say PORT TEXT` answers it
    timeout SECONDS           how long `see` and `settle` may take from here on (60)
"""
import argparse
import json
import shlex
import sys
import time
import wave
from typing import Any, NoReturn

from frontends.client import Client, Ended, connect
from frontends.protocol import WINDOW

CURSOR = 9, 16  # the largest text cursor


class Failed(Exception):
    """A line of the script could not be done."""


class Script:
    """One run."""

    def __init__(self, address: str, view_only: bool):
        self.machine = Client(connect(address), 'headless', view_only, self.heard)
        self.patience = 60.0
        self.sound: wave.Wave_write | None = None
        self.lines: dict[int, Any] = {}  # files of serial ports
        self.credit = {port: WINDOW for port in range(4)}
        self.results: list[str] = []

    def heard(self, name: str, fields: dict[str, Any]) -> None:
        """What the client does not do by itself."""
        match name:
            case 'SAMPLES' if self.sound: self.sound.writeframes(fields['samples'])
            case 'OUTPUT':
                if fields['lost']: print(f"{fields['lost']} bytes of COM{fields['port'] + 1} were lost", file=sys.stderr)
                self.lines[fields['port']].write(fields['bytes'])
                self.machine.say('CREDIT', fields['port'], len(fields['bytes']))
            case 'CREDIT': self.credit[fields['port']] += fields['bytes']
            case 'RESULT': self.results.append(fields['error'])
            case 'NOTICE': print(fields['text'], file=sys.stderr)

    def look(self, seconds: float) -> bool:
        """Takes in what arrives, for so long; whether more changed than a cursor that blinks."""
        end, changed = time.monotonic() + seconds, False
        while (left := end - time.monotonic()) > 0:
            self.machine.work(left)
            self.machine.shown()
            changed |= any(width > CURSOR[0] or height > CURSOR[1] for _, _, width, height in self.machine.changed)
            self.machine.changed.clear()
        return changed

    def do(self, command: str, rest: list[str]) -> None:
        """One line."""
        match command, rest:
            case 'wait', [seconds]: self.look(float(seconds))
            case 'settle', [seconds]: self.settle(float(seconds))
            case 'see', [text]: self.see(text)
            case 'key', [key]: self.key(key)
            case 'type', [text]: self.machine.say('TEXT', text.replace('\\n', '\n'))
            case 'move', [dx, dy]: self.machine.say('MOVE', int(dx), int(dy), 0)
            case 'click', [button]:
                for down in (1, 0): self.machine.say('BUTTON', int(button), down)
            case 'shot', [path]: self.machine.save(path)
            case 'execute', [name, *arguments]: print(json.dumps(self.machine.execute(name, **json.loads(arguments[0] if arguments else '{}'))))
            case 'insert', [drive, path]:
                self.machine.insert(drive, path)
                self.result()
            case 'remove', [drive]:
                self.machine.say('REMOVE', drive)
                self.result()
            case 'listen', [path]:
                self.sound = wave.open(path, 'wb')
                self.sound.setparams((1, 2, 44100, 0, 'NONE', ''))
                self.machine.say('LISTEN', 1)
            case 'serial', [port, path]:
                self.lines[int(port) - 1] = open(path, 'wb', buffering=0)
                self.machine.say('OPEN', int(port) - 1)
            case 'say', [port, text]: self.say(int(port) - 1, text.replace('\\n', '\n').encode())
            case 'timeout', [seconds]: self.patience = float(seconds)
            case _: raise Failed('no such command, or not with so many words')

    def key(self, key: str) -> None:
        """A scan code, or a name."""
        try:
            code = int(key, 16) if len(key) in (2, 4) else None
        except ValueError:
            code = None
        if code is None: self.machine.execute('send-key', keys=[key])
        else:
            for down in (1, 0): self.machine.say('KEY', code, down)

    def say(self, port: int, data: bytes) -> None:
        """To COM(port+1), no more at once than it has given credit for."""
        end = time.monotonic() + self.patience
        while data:
            now, data = data[:self.credit[port]], data[self.credit[port]:]
            self.credit[port] -= len(now)
            if now: self.machine.say('INPUT', port, now)
            elif time.monotonic() > end: raise Failed('the guest does not read')
            else: self.look(0.05)

    def result(self) -> None:
        """What became of a medium."""
        self.machine.wait(lambda: bool(self.results))
        if error := self.results.pop(): raise Failed(error)

    def settle(self, seconds: float) -> None:
        """Until nothing has changed for so long."""
        end = time.monotonic() + self.patience
        while self.look(seconds) or not self.machine.frames:
            if time.monotonic() > end: raise Failed('the picture goes on changing')

    def see(self, text: str) -> None:
        """Until the text is on the screen."""
        end = time.monotonic() + self.patience
        while True:
            try:
                lines = self.machine.execute('screentext')['lines']
            except ValueError:  # no text mode now
                lines = []
            if any(text in line for line in lines): return
            if time.monotonic() > end: raise Failed(f'{text!r} did not appear')
            self.look(0.1)


def main() -> NoReturn:
    """The command line."""
    arguments = argparse.ArgumentParser(prog='emu view --headless', description='A client without a screen.')
    arguments.add_argument('address')
    arguments.add_argument('--script', default='-', help='what to do (default: from standard input)')
    arguments.add_argument('--view-only', action='store_true')
    given = arguments.parse_args()
    where = ''
    try:
        script = Script(given.address, given.view_only)
        with open(0 if given.script == '-' else given.script) as lines:
            for number, line in enumerate(lines, 1):
                where = f'line {number}: {line.strip()}: '
                words = shlex.split(line, comments=True)
                if words: script.do(words[0], words[1:])
    except (Ended, Failed, ValueError, OSError) as error:
        sys.exit(f'emu view: {where}{error}')
    except KeyboardInterrupt:
        sys.exit('emu view: interrupted')
    sys.exit(0)


if __name__ == '__main__':
    main()
