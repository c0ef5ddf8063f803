"""The control socket's other side: `Client` for programs, and `emu ctl` for the shell."""
import json
import os
import re
import socket
import sys
import textwrap
from typing import Any, Sequence

from emu.errors import EmuError, file_error
from emu.server.commands import BY_NAME, COMMANDS, Argument
from emu.stats import flat, shown

SWITCH = {'on': True, 'true': True, 'yes': True, 'off': False, 'false': False, 'no': False}
PATIENCE = 60.0  # seconds that an answer may take


class Client:
    """A connection; `events` collects what was told in between."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.events: list[dict[str, Any]] = []
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            raise file_error(path, error) from None
        self.lines = self.socket.makefile('rb')
        greeting = self.read()
        if 'error' in greeting: raise EmuError(greeting['error']['desc'])

    def read(self) -> dict[str, Any]:
        """The next line."""
        try:
            line = self.lines.readline()
        except TimeoutError:
            raise EmuError('no answer') from None
        except OSError:
            line = b''
        if not line: raise EmuError('the machine has ended')
        read: dict[str, Any] = json.loads(line)
        return read

    def execute(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Runs a command; what it returns. EmuError where it was refused."""
        try:
            self.socket.sendall(json.dumps({'execute': name, 'arguments': arguments or {}}).encode() + b'\n')
        except OSError:
            raise EmuError('the machine has ended') from None
        while True:
            answer = self.read()
            if 'event' in answer: self.events.append(answer)
            elif 'error' in answer: raise EmuError(answer['error']['desc'])
            else: return answer['return']

    def close(self) -> None:
        """Ends the connection."""
        self.lines.close()
        self.socket.close()


def value(argument: Argument, text: str) -> Any:
    """A word of the command line as the command wants it."""
    if argument.type == 'file': return os.path.abspath(text) if text else text
    if argument.type == 'list': return [word for word in re.split('[,-]' if argument.name == 'keys' else ',', text) if word]
    if argument.type == 'string': return text
    if argument.type == 'boolean':
        if text not in SWITCH: raise EmuError(f"{argument.name}: '{text}' is neither on nor off")
        return SWITCH[text]
    try:
        return int(text, 0)
    except ValueError:
        raise EmuError(f"{argument.name}: '{text}' is no number") from None


def parse(name: str, words: Sequence[str]) -> dict[str, Any]:
    """The arguments: ARGUMENT=VALUE, or values in their order. Unknown commands and arguments are the machine's to refuse."""
    known = {argument.name: argument for argument in BY_NAME[name].arguments} if name in BY_NAME else {}
    given: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition('=')
        if not (equals and key in known):
            key, text = next((key for key in known if key not in given), ''), word
            if not key: raise EmuError(f"{name}: too many arguments: '{word}'" if name in BY_NAME else f"unknown command '{name}'; `help` lists them")
        given[key] = value(known[key], text)
    return given


def readable(returned: Any) -> str:
    """For people: lists of lines as they are, names and values one a line."""
    if isinstance(returned, dict) and set(returned) == {'lines'}: return ''.join(f'{line}\n' for line in returned['lines'])
    if isinstance(returned, dict): return ''.join(f'{name}: {shown(item)}\n' for name, item in flat(returned))
    if isinstance(returned, list): return ''.join('  '.join(str(item) for item in entry.values()) + '\n' for entry in returned)
    return f'{returned}\n'


def usage() -> str:
    """What commands there are."""
    lines = []
    for command in COMMANDS:
        words = ' '.join(argument.name.upper() if argument.required else f'[{argument.name}={argument.default or ""}]' for argument in command.arguments)
        lines += [f'{command.name} {words}'.rstrip(), *textwrap.wrap(command.text, 100, initial_indent='    ', subsequent_indent='    ')]
    return '\n'.join(lines) + '\n'


def run(path: str, name: str, words: Sequence[str], as_json: bool = False) -> int:
    """emu ctl."""
    if name == 'help':
        sys.stdout.write(usage())
        return 0
    given = parse(name, words)
    client = Client(path)
    try:
        returned = client.execute(name, given)
    finally:
        client.close()
    sys.stdout.write(json.dumps(returned, indent=2) + '\n' if as_json else readable(returned))
    return 0
