"""The control socket, `--control PATH`: a Unix socket that speaks lines of JSON in the manner of QEMU's QMP (docs/control.md). The commands are in commands.py.

    {"QMP": {"version": {"emu": "0.2", "schema": 1}, "capabilities": []}}
    > {"execute": "send-key", "arguments": {"keys": ["ctrl", "c"]}, "id": 1}
    {"return": {}, "id": 1}
    {"event": "STOP", "data": {}, "timestamp": {"seconds": 1760000000, "microseconds": 1234}}

Nobody on a socket disturbs the guest: a connection has one command done each time the loop is looked at, is read again only after its answer has left, and may have a line of LINE
bytes and events of EVENTS bytes waiting; more events are lost to it. There is room for CONNECTIONS of them.
"""
import json
import os
import socket
import time
from typing import Any

from emu.server.commands import BY_NAME, Refused, Session, execute, query_version
from emu.server.loop import Loop
from emu.server.sockets import accept, listen_unix, remove
from emu.server.stream import Stream, farewell

LINE, EVENTS, CONNECTIONS = 1 << 16, 1 << 16, 8


def message(value: dict[str, Any]) -> bytes:
    """A line."""
    return json.dumps(value).encode() + b'\n'


def failure(kind: str, text: str, number: Any = None) -> dict[str, Any]:
    """An error, with the id of its command."""
    return {'error': {'class': kind, 'desc': text}} | ({'id': number} if number is not None else {})


TOO_LONG = failure('GenericError', f'a line of more than {LINE} bytes')


def no_constant(name: str) -> None:
    """NaN and the like are no JSON."""
    raise ValueError(name)


def answer(session: Session, line: bytes) -> dict[str, Any]:
    """The answer to a command, which is a JSON object."""
    try:
        asked = json.loads(line.decode(), parse_constant=no_constant)
    except (ValueError, RecursionError):
        return failure('GenericError', 'malformed JSON')
    if not isinstance(asked, dict): return failure('GenericError', 'not an object')
    number, name, arguments = asked.get('id'), asked.get('execute'), asked.get('arguments', {})
    if unknown := sorted(set(asked) - {'execute', 'arguments', 'id'}): return failure('GenericError', f"unknown member '{unknown[0][:100]}'", number)
    if not isinstance(name, str): return failure('GenericError', "'execute' is missing, or no string", number)
    if not isinstance(arguments, dict): return failure('GenericError', "'arguments' is no object", number)
    if name not in BY_NAME: return failure('CommandNotFound', f"unknown command '{name[:100]}'", number)
    try:
        result = execute(session, name, arguments)
    except Refused as error:
        return failure('GenericError', str(error)[:1000], number)
    except Exception as error:  # a bug, which is not worth the guest's life
        return failure('InternalError', f'{name}: {type(error).__name__}: {error}'[:1000], number)
    return {'return': {} if result is None else result} | ({'id': number} if number is not None else {})


def happened(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event, as it is told."""
    now = time.time_ns() // 1000
    return {'event': name, 'data': data, 'timestamp': {'seconds': now // 10 ** 6, 'microseconds': now % 10 ** 6}}


class Connection:
    """One client."""

    def __init__(self, control: 'Control', client: socket.socket):
        self.control = control
        self.stream = Stream(control.loop, client, self.received, self.closed, sent=self.next)
        self.lines = bytearray()  # what has arrived and is not done yet
        self.skipping = False  # the rest of a line that was too long
        self.due = False  # a line is done at the loop's next look

    def say(self, value: dict[str, Any]) -> None:
        """Sends a line; nothing is read until it has left."""
        self.stream.pause(True)
        self.stream.send(message(value))

    def next(self) -> None:
        """What was said has left: a line that is here already is done at the loop's next look, so that many do not hold up the guest; else more is read."""
        line = b'\n' in self.lines
        self.stream.pause(line)
        if line and not self.due:
            self.due = True
            self.control.loop.after(0, self.command)

    def received(self, data: bytes) -> None:
        """Something has arrived."""
        if self.skipping and b'\n' in data:
            data, self.skipping = data[data.index(b'\n'):], False
        if not self.skipping: self.lines += data
        if b'\n' in self.lines: self.command()
        elif len(self.lines) > LINE:
            self.lines.clear()
            self.skipping = True
            self.say(TOO_LONG)

    def command(self) -> None:
        """Does the first line, unless an event is still on its way."""
        self.due = False
        if not self.stream.open or self.stream.waiting: return
        end = self.lines.index(b'\n')
        line = bytes(self.lines[:end])
        del self.lines[:end + 1]
        if len(line) > LINE: self.say(TOO_LONG)
        elif line.strip(): self.say(answer(self.control.session, line))
        else: self.next()

    def closed(self, reason: str) -> None:
        """It is gone."""
        self.control.connections.remove(self)


class Control:
    """The socket at `path`, of which nobody but the user may read and write."""

    def __init__(self, path: str):
        self.path = path
        self.listener = listen_unix(path, '-control', CONNECTIONS)
        self.file = os.stat(path)
        self.connections: list[Connection] = []
        self.serving = False

    def serve(self, loop: Loop, session: Session) -> None:
        """From now on connections are answered."""
        self.loop, self.session, self.serving = loop, session, True
        session.machine.listeners.append(self.event)
        loop.watch(self.listener.fileno(), self.accept)

    def accept(self) -> None:
        """Somebody connects."""
        client = accept(self.listener, len(self.connections) < CONNECTIONS, message(failure('GenericError', 'too many connections')))
        if not client: return
        self.connections.append(Connection(self, client))
        self.connections[-1].say({'QMP': {'version': query_version(None), 'capabilities': []}})

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Tells all that something has happened."""
        line = happened(name, data)
        for connection in list(self.connections):
            if connection.stream.waiting < EVENTS: connection.say(line)

    def close(self) -> None:
        """The run is over: what has been said may still leave, then the socket goes, unless somebody has replaced it."""
        farewell([connection.stream for connection in self.connections])
        for connection in list(self.connections): connection.stream.close('the run is over')
        if self.serving: self.loop.watch(self.listener.fileno())
        self.listener.close()
        remove(self.path, self.file)
