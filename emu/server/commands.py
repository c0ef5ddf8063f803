"""The commands of the control socket (control.py), as a table: names, arguments, what they return and do. docs/control.md shows the same table.

A command gets the machine, the typist and its arguments, checked against the table, by name; it returns what goes into "return", or raises Refused with one line for people.
Commands run in the machine's thread, between two slices.
"""
import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Protocol, runtime_checkable

import numpy as np

from emu import __version__
from emu.disk import open_image
from emu.errors import EmuError, file_error
from emu.hw.keys import US, canonical
from emu.hw.vga import Vga
from emu.options import Drive
from emu.server.typist import MS, Typist

if TYPE_CHECKING:
    from emu.machine import Machine

SCHEMA = 1  # version of this table: counts up when something that was there changes its meaning or goes
BUTTONS = ('left', 'right', 'middle', 'side', 'extra')
CHUNK = 1 << 20


class Refused(Exception):
    """A command cannot be done; the text is for people."""


@runtime_checkable
class Removable(Protocol):
    """A drive whose medium can be changed."""

    def eject(self, force: bool = False) -> None:
        """Takes the medium out; EmuError where the guest has locked it, unless by force."""

    def insert(self, image: Any) -> None:
        """Puts one in."""


@dataclass
class Session:
    """What commands work on."""

    machine: 'Machine'
    typist: Typist


class Argument(NamedTuple):
    """`type` is of TYPES; `default` is None where there is none, and `required` says whether it must be given."""

    name: str
    type: str
    text: str
    required: bool = True
    default: Any = None


class Command(NamedTuple):
    """`do(session, argument=value...)`: dashes of argument names are underscores there."""

    name: str
    arguments: tuple[Argument, ...]
    returns: str
    text: str
    do: Callable[..., Any]


# --- what they do ------------------------------------------------------------------------------------------------------------------------------

def screen(s: Session) -> Vga:
    """The display adapter."""
    if s.machine.pc.vga is None: raise Refused('no display')
    return s.machine.pc.vga


def screendump(s: Session, filename: str | None) -> dict[str, Any]:
    from PIL import Image  # takes a while to import
    frame = np.ascontiguousarray(screen(s).frame()[:, :, 2::-1])  # from lines, dots, blue green red 0
    out = io.BytesIO()
    Image.fromarray(frame).save(out, 'png', compress_level=3)
    size = {'width': frame.shape[1], 'height': frame.shape[0]}
    if filename is None: return size | {'data': base64.b64encode(out.getvalue()).decode()}
    write_file(filename, lambda file: file.write(out.getvalue()))
    return size


def screentext(s: Session) -> dict[str, Any]:
    text = screen(s).text()
    if not text: raise Refused('the screen shows no text')
    return {'lines': text.split('\n')}


def send_key(s: Session, keys: list[Any], hold_time: int) -> None:
    names = []
    for key in keys:
        if isinstance(key, dict) and key.get('type') == 'qcode': key = key.get('data')  # as QMP has them
        name = canonical(key) if isinstance(key, str) else None
        if name is None: raise Refused(f'unknown key {key!r}')
        names.append(name)
    if len(set(names)) < len(names): raise Refused('a key twice in one chord')
    if not s.typist.add([names], hold_time * MS): raise Refused('too many keys wait already')


def type_text(s: Session, text: str, hold_time: int) -> dict[str, Any]:
    if unknown := sorted({c for c in text if c not in US}): raise Refused(f'no key of a US keyboard types {unknown[0]!r}')
    if not s.typist.add([US[c] for c in text], hold_time * MS): raise Refused('too many keys wait already')
    return {'waiting': s.typist.waiting()}


def mouse(s: Session, dx: int, dy: int, dz: int, down: list[Any], up: list[Any]) -> None:
    for name in (*down, *up):
        if name not in BUTTONS: raise Refused(f'unknown button {name!r}; there are {", ".join(BUTTONS)}')
    device = s.machine.pc.i8042.mouse
    if dx or dy or dz: device.move(dx, dy, dz)
    for name in down: device.button(BUTTONS.index(name), True)
    for name in up: device.button(BUTTONS.index(name), False)


def system_powerdown(s: Session) -> None:
    s.machine.power_button()
    s.machine.tell('POWERDOWN', {})


def system_reset(s: Session) -> None:
    s.machine.reset(hard=True)


def inject_nmi(s: Session) -> None:
    s.machine.pc.nmi()


def stop(s: Session) -> None:
    s.machine.pause()


def cont(s: Session) -> None:
    s.machine.resume()


def trace(s: Session, filename: str | None) -> None:
    s.machine.cpu.record(Path(filename) if filename else None)


def quit_(s: Session) -> None:
    s.machine.loop.ask_to_quit()


def removable(s: Session, device: str) -> Removable:
    """A drive by its name in QEMU."""
    drive = s.machine.drives.get(device)
    if drive is None: raise Refused(f"no drive '{device}'; there are {', '.join(s.machine.drives) or 'none'}")
    if not isinstance(drive, Removable): raise Refused(f"the medium of '{device}' cannot be changed")
    return drive


def eject(s: Session, device: str, force: bool) -> None:
    removable(s, device).eject(force)


def change(s: Session, device: str, filename: str, read_only: bool, force: bool) -> None:
    drive, disc = removable(s, device), '-cd' in device
    image = open_image(Drive(filename, media='cdrom' if disc else 'disk', readonly=read_only or disc, snapshot=s.machine.options.snapshot))
    try:
        drive.eject(force)
        drive.insert(image)
    except EmuError:
        image.close()
        raise


def query_status(s: Session) -> dict[str, Any]:
    m = s.machine
    return {'status': 'paused' if m.paused else 'running', 'running': not m.paused, 'halted': bool(m.cpu.state.halted), 'guest-nanoseconds': m.now(),
            'typing': s.typist.waiting(), 'leds': m.pc.i8042.keyboard.leds}


def query_stats(s: Session) -> dict[str, Any]:
    return s.machine.stats()


def query_block(s: Session) -> list[Any]:
    return [{'device': name, 'removable': isinstance(drive, Removable), 'filename': str(image.path) if (image := getattr(drive, 'image', None)) else None}
            for name, drive in s.machine.drives.items()]


def memsave(s: Session, val: int, size: int, filename: str) -> None:
    memory = s.machine.memory
    if val + size > 1 << 32: raise Refused('beyond 4 GiB')

    def write(file: Any) -> None:
        for at in range(val, val + size, CHUNK): file.write(memory.read(at, min(CHUNK, val + size - at)))
    write_file(filename, write)


def write_file(filename: str, write: Callable[[Any], Any]) -> None:
    """Makes a file, or what is left of an old one; what could not be written whole is told."""
    try:
        with open(os.open(filename, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666), 'wb') as file: write(file)
    except OSError as error:
        raise Refused(str(file_error(filename, error))) from None


def query_version(s: Session | None) -> dict[str, Any]:
    return {'emu': __version__, 'schema': SCHEMA}


def query_commands(s: Session) -> list[Any]:
    return [{'name': command.name} for command in COMMANDS]


def query_schema(s: Session) -> dict[str, Any]:
    return {'version': SCHEMA, 'events': [{'name': name, 'text': text} for name, text in EVENTS.items()], 'commands': [
        {'name': c.name, 'text': c.text, 'returns': c.returns, 'arguments': [argument._asdict() for argument in c.arguments]} for c in COMMANDS]}


def nothing(s: Session) -> None:
    pass


# --- the table -----------------------------------------------------------------------------------------------------------------------------

def names_file(v: Any) -> bool:
    """Whether the host could have a file of this name."""
    try:
        return isinstance(v, str) and v != '' and b'\0' not in os.fsencode(v)
    except UnicodeEncodeError:
        return False


TYPES: dict[str, Callable[[Any], bool]] = {
    'string': lambda v: isinstance(v, str),
    'file': names_file,
    'boolean': lambda v: isinstance(v, bool),
    'number': lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 32,
    'counts': lambda v: isinstance(v, int) and not isinstance(v, bool) and abs(v) <= 10_000,
    'milliseconds': lambda v: isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= 60_000,
    'list': lambda v: isinstance(v, list) and len(v) <= 16,
}
FILE = Argument('filename', 'file', "a file on the host; relative to emu's directory (`emu ctl` takes it relative to its own)")
DEVICE = Argument('device', 'string', 'a drive: ide0-hd0, ide1-cd0, floppy0 ...')
FORCE = Argument('force', 'boolean', 'even if the guest has locked the drive', False, False)

COMMANDS = (
    Command('screendump', (FILE._replace(required=False),), 'width, height; data (PNG in base64) where no file is named', 'a picture of the screen, as PNG', screendump),
    Command('screentext', (), 'lines', 'the text on the screen, without spaces at the ends of lines', screentext),
    Command('send-key', (Argument('keys', 'list', "QEMU's names of keys (or QMP's objects), pressed together"),
                         Argument('hold-time', 'milliseconds', 'of guest time', False, 100)), '', 'presses keys and releases them', send_key),
    Command('type', (Argument('text', 'string', 'of characters that a US keyboard has; line feed: Enter'), Argument('hold-time', 'milliseconds', 'of each key', False, 20)),
            'waiting: keys not typed yet', 'types a text, as fast as the guest reads the keys', type_text),
    Command('mouse', (Argument('dx', 'counts', 'to the right', False, 0), Argument('dy', 'counts', 'down', False, 0),
                      Argument('dz', 'counts', 'of the wheel, towards the user', False, 0),
                      Argument('down', 'list', f'buttons to press: {", ".join(BUTTONS)}', False, ()), Argument('up', 'list', 'buttons to release', False, ())),
            '', 'moves the mouse, then presses and releases buttons', mouse),
    Command('system_powerdown', (), '', 'presses the power button', system_powerdown),
    Command('system_reset', (), '', 'presses the reset button; a stopped machine resets when it goes on', system_reset),
    Command('inject-nmi', (), '', 'a non-maskable interrupt, unless port 70h bit 7 masks it', inject_nmi),
    Command('stop', (), '', 'stops the CPU and guest time', stop),
    Command('cont', (), '', 'goes on', cont),
    Command('eject', (DEVICE, FORCE), '', 'takes the medium out', eject),
    Command('change', (DEVICE, FILE, Argument('read-only', 'boolean', 'the file is not written to', False, False), FORCE), '', 'puts another medium in', change),
    Command('memsave', (Argument('val', 'number', 'a physical address'), Argument('size', 'number', 'bytes'), FILE), '',
            'writes physical memory to a file; what is not memory reads as FFh', memsave),
    Command('query-status', (), 'status (running, paused), running, halted, guest-nanoseconds, typing (keys waiting), leds', 'what the machine does', query_status),
    Command('query-stats', (), "what -stats reports: parts of names and numbers", 'statistics so far', query_stats),
    Command('query-block', (), 'a list: device, removable, filename', 'the drives and what is in them', query_block),
    Command('query-version', (), 'emu, schema', "versions of emu and of this table", query_version),
    Command('query-commands', (), 'a list: name', 'the commands', query_commands),
    Command('query-schema', (), 'version, commands, events', 'this table', query_schema),
    Command('qmp_capabilities', (), '', "nothing; QMP's clients begin with it", nothing),
    Command('trace', (FILE._replace(required=False),), '', 'records which translations are executed from now on (-trace); without a file: no longer', trace),
    Command('quit', (), '', 'ends the run at once', quit_),
)
BY_NAME = {command.name: command for command in COMMANDS}

EVENTS = {
    'STOP': 'guest time stands still', 'RESUME': 'it goes on', 'RESET': 'the machine was reset', 'POWERDOWN': 'the power button was pressed',
    'SHUTDOWN': 'the run ends; reason: guest or host; code: the exit code',
}


def execute(session: Session, name: str, given: dict[str, Any]) -> Any:
    """Checks and runs a command; Refused, or KeyError for one that does not exist."""
    command = BY_NAME[name]
    known = {argument.name for argument in command.arguments}
    if unknown := [key for key in given if key not in known]: raise Refused(f"{name}: unknown argument '{unknown[0]}'")
    values = {}
    for argument in command.arguments:
        if argument.name in given:
            if not TYPES[argument.type](given[argument.name]): raise Refused(f"{name}: '{argument.name}' is no {argument.type}")
        elif argument.required: raise Refused(f"{name}: '{argument.name}' is missing")
        values[argument.name.replace('-', '_')] = given.get(argument.name, argument.default)
    try:
        return command.do(session, **values)
    except (EmuError, Refused) as error:
        raise Refused(f'{name}: {error}') from None
