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
import select
import socket
import time
from typing import Any

from emu.server.commands import BY_NAME, Refused, Session, execute, query_version
from emu.server.loop import DESCRIPTORS, Loop
from emu.server.sockets import listen_unix, remove

LINE, EVENTS, CONNECTIONS = 1 << 16, 1 << 16, 8
FAREWELL = 0.5  # seconds that the last answers have to leave at the end of the run


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
        self.control, self.client = control, client
        self.received, self.out = bytearray(), bytearray()
        self.skipping = False  # the rest of a line that was too long
        self.ended = False  # it sends no more

    def say(self, value: dict[str, Any]) -> None:
        """Sends a line, or what can be sent of it now."""
        self.out += message(value)
        self.send()

    def send(self) -> None:
        """What waits goes as far as it goes, then the loop is told what to wait for."""
        try:
            while self.out:
                del self.out[:self.client.send(self.out)]
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        self.wait()

    def wait(self) -> None:
        """Commands are read when no answer waits; a line that is here already is done at the next look, so that many do not hold up the guest."""
        line = b'\n' in self.received
        if self.ended and not line and not self.out: return self.close()
        reads = not self.out and not line and not self.ended
        self.control.loop.watch(self.client.fileno(), self.read if reads else None, self.go_on if self.out or line else None)

    def go_on(self) -> None:
        """There is room to send, and maybe a command to do."""
        if not self.out: self.command()
        elif self.client.fileno() >= 0: self.send()

    def read(self) -> None:
        """Something has arrived, or the end."""
        try:
            data = self.client.recv(LINE)
        except BlockingIOError:
            return
        except OSError:
            return self.close()
        if not data: self.ended = True
        if self.skipping and b'\n' in data:
            data, self.skipping = data[data.index(b'\n'):], False
        if not self.skipping: self.received += data
        if b'\n' in self.received: self.command()
        elif len(self.received) > LINE:
            self.received.clear()
            self.skipping = True
            self.say(TOO_LONG)
        else: self.wait()

    def command(self) -> None:
        """Does the first line."""
        end = self.received.index(b'\n')
        line = bytes(self.received[:end])
        del self.received[:end + 1]
        if len(line) > LINE: self.say(TOO_LONG)
        elif line.strip(): self.say(answer(self.control.session, line))
        else: self.wait()

    def close(self) -> None:
        """It is gone."""
        if self in self.control.connections:
            self.control.connections.remove(self)
            self.control.loop.watch(self.client.fileno())
        self.client.close()


class Control:
    """The socket at `path`, of which nobody but the user may read and write."""

    def __init__(self, path: str):
        self.path = path
        self.listener = listen_unix(path, '--control', CONNECTIONS)
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
        try:
            client = self.listener.accept()[0]
        except OSError:  # gone again, or no descriptor left
            return
        client.setblocking(False)
        if len(self.connections) < CONNECTIONS and client.fileno() < DESCRIPTORS:
            self.connections.append(Connection(self, client))
            self.connections[-1].say({'QMP': {'version': query_version(None), 'capabilities': []}})
            return
        with client:
            try:
                client.send(message(failure('GenericError', 'too many connections')))
            except OSError:
                pass

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Tells all that something has happened."""
        line = happened(name, data)
        for connection in list(self.connections):
            if len(connection.out) < EVENTS: connection.say(line)

    def close(self) -> None:
        """The run is over: what has been said may still leave, then the socket goes, unless somebody has replaced it."""
        end = time.monotonic() + FAREWELL
        while (waiting := [c.client for c in self.connections if c.out]) and (left := end - time.monotonic()) > 0:
            select.select([], waiting, [], left)
            for connection in list(self.connections):
                if connection.out: connection.send()
        for connection in list(self.connections): connection.close()
        if self.serving: self.loop.watch(self.listener.fileno())
        self.listener.close()
        remove(self.path, self.file)
