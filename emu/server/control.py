"""The control socket, `--control PATH`: a Unix socket that speaks lines of JSON in the manner of QEMU's QMP (docs/control.md). The commands are in commands.py.

    {"QMP": {"version": {"emu": "0.2", "schema": 1}, "capabilities": []}}
    > {"execute": "send-key", "arguments": {"keys": ["ctrl", "c"]}, "id": 1}
    {"return": {}, "id": 1}
    {"event": "STOP", "data": {}, "timestamp": {"seconds": 1760000000, "microseconds": 1234}}

Nobody on a socket disturbs the guest: a connection has one command done each time the loop is looked at, is read again only after its answer has left, and may have a line of LINE
bytes and events of EVENTS bytes waiting; more events are lost to it. There is room for CONNECTIONS of them.
"""
import errno
import json
import os
import select
import socket
import stat
import time
from typing import TYPE_CHECKING, Any

from emu.errors import EmuError, file_error
from emu.server.commands import BY_NAME, Refused, Session, execute, query_version
from emu.server.loop import DESCRIPTORS, Loop
from emu.server.typist import Typist

if TYPE_CHECKING:
    from emu.machine import Machine

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
        elif line.strip(): self.say(self.control.answer(line))
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
        self.listener = listen(path)
        self.file = os.stat(path)
        self.connections: list[Connection] = []
        self.session: Session | None = None

    def serve(self, loop: Loop, machine: 'Machine') -> None:
        """From now on connections are answered."""
        self.loop, self.session = loop, Session(machine, Typist(machine.pc.clock, machine.pc.i8042))
        machine.tell = self.event
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

    def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to a command."""
        assert self.session
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
            result = execute(self.session, name, arguments)
        except Refused as error:
            return failure('GenericError', str(error)[:1000], number)
        except Exception as error:  # a bug, which is not worth the guest's life
            return failure('InternalError', f'{name}: {type(error).__name__}: {error}'[:1000], number)
        return {'return': {} if result is None else result} | ({'id': number} if number is not None else {})

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Tells all that something has happened."""
        now = time.time_ns() // 1000
        for connection in list(self.connections):
            if len(connection.out) < EVENTS: connection.say({'event': name, 'data': data, 'timestamp': {'seconds': now // 10 ** 6, 'microseconds': now % 10 ** 6}})

    def close(self) -> None:
        """The run is over: what has been said may still leave, then the socket goes, unless somebody has replaced it."""
        end = time.monotonic() + FAREWELL
        while (waiting := [c.client for c in self.connections if c.out]) and (left := end - time.monotonic()) > 0:
            select.select([], waiting, [], left)
            for connection in list(self.connections):
                if connection.out: connection.send()
        for connection in list(self.connections): connection.close()
        if self.session: self.loop.watch(self.listener.fileno())
        self.listener.close()
        try:
            if os.path.samestat(os.stat(self.path), self.file): os.unlink(self.path)
        except OSError:
            pass


def listen(path: str) -> socket.socket:
    """A listening socket at `path`, in place of one that nobody listens to any more."""
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE: raise
            remove_stale(path)
            listener.bind(path)
        listener.listen(CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise file_error(f'--control {path}', error) from None
    except EmuError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def remove_stale(path: str) -> None:
    """Removes a socket whose owner was killed; EmuError for anything else."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode): raise EmuError(f'--control {path}: this file exists, and is no socket')
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise EmuError(f'--control {path}: another emu is listening there')
