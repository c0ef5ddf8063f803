"""The other end of the guest's serial line, by QEMU's `-serial`: this terminal, a file, nothing, a Unix socket.

All have one interface, `Line`: `connect` lets the event loop hand to the guest what arrives, and `send` takes the guest's. Nothing is buffered: the line is read
only while the guest has room, so a pipe waits for it. End of input is no end of the run.
`Console` also puts a terminal into raw mode, in which Ctrl-C is the guest's, and puts it back however the program ends (but by SIGKILL).
"""
import atexit
import contextlib
import errno
import os
import select
import socket
import sys
import termios
from pathlib import Path
from typing import Any, Callable

from emu.errors import EmuError, file_error, warn
from emu.server.loop import Loop
from emu.server.sockets import accept, listen_unix, remove

ESCAPE = 0x01  # Ctrl-A
HELP = """
Ctrl-A h       this list
Ctrl-A c       this list, too: in place of QEMU's monitor there is `emu ctl`, for a run with -control
Ctrl-A x       quit emu
Ctrl-A Ctrl-A  send Ctrl-A to the guest
"""
SERVER, NOWAIT = {'server', 'server=on'}, {'nowait', 'wait=off'}  # words of -serial unix:
CHUNK = 4096
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG  # a disk, a user's share of it, a file
PIPE = 512  # bytes that a pipe takes at once if it takes any (POSIX, PIPE_BUF)


class Line:
    """-serial null, and what the others share: input from `source`, output to `sink`; None where there is none. `name` is for people."""

    def __init__(self, source: int | None = None, sink: int | None = None, name: str = ''):
        self.source, self.sink, self.name = source, sink, name
        self.loop: Loop | None = None

    def connect(self, loop: Loop, receive: Callable[[bytes], object], room: Callable[[], bool]) -> None:
        """From now on `receive` gets what arrives, as long as there is `room` for it."""
        self.loop, self.receive, self.room = loop, receive, room
        self.resume()

    def resume(self) -> None:
        """There is room again."""
        if self.loop and self.source is not None: self.loop.watch(self.source, self.arrived)

    def arrived(self) -> None:
        """There is something to read."""
        assert self.loop and self.source is not None
        source, data = self.source, self.read()
        if data: self.receive(data)
        if self.source is None or not self.room(): self.loop.watch(source)

    def read(self) -> bytes:
        """What has arrived for the guest; at the end of input there is no source any more."""
        assert self.source is not None
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return b''
        except OSError:  # the terminal or the peer is gone
            data = b''
        if not data: self.source = None
        return data

    def send(self, data: bytes) -> None:
        """Writes the guest's bytes, all of them, unless the run is to end and nobody reads them; whoever does not read any more ends nothing but the output.
        Nor does a full disk, but that is told."""
        while data and self.sink is not None and (self.loop is None or self.loop.wait_for_room(self.sink)):
            try:
                data = data[os.write(self.sink, data[:PIPE]):]
            except BlockingIOError:  # someone else made the descriptor so
                select.select([], [self.sink], [])
            except OSError as error:
                self.sink = None
                if error.errno in FULL: warn(f'{file_error(self.name, error)}: what the guest sends from here on is lost')

    def close(self) -> None:
        """Gives everything back."""


class Console(Line):
    """-serial stdio: stdin and stdout. Ctrl-A is the escape key where stdin is a terminal, and a byte like others where it is not."""

    def __init__(self) -> None:
        super().__init__(0 if sys.__stdin__ else None, 1 if sys.__stdout__ else None, 'standard output')  # Python knows what was closed when it started
        self.escaped = False
        self.saved: list[Any] | None = None

    def connect(self, loop: Loop, receive: Callable[[bytes], object], room: Callable[[], bool]) -> None:
        """Raw from now on, and not before: there are keys, signals are waited for, and nothing that starts a run waits any more."""
        if self.source == 0 and os.isatty(0) and not self.saved:
            self.saved = termios.tcgetattr(0)
            atexit.register(self.restore)
            termios.tcsetattr(0, termios.TCSANOW, raw(self.saved))
        super().connect(loop, receive, room)

    def read(self) -> bytes:
        data = super().read()
        return self.keys(data) if self.saved else data

    def keys(self, data: bytes) -> bytes:
        """Takes the escape sequences out of what was typed, and does what they say."""
        out = bytearray()
        for byte in data:
            if not self.escaped and byte == ESCAPE:
                self.escaped = True
                continue
            if self.escaped:
                self.escaped = False
                if byte == ord('x') and self.loop: self.loop.ask_to_quit()
                elif byte in b'hc': self.send(HELP.encode())
                if byte != ESCAPE: continue
            out.append(byte)
        return bytes(out)

    def restore(self) -> None:
        """The terminal as it was, if it is still there."""
        saved, self.saved = self.saved, None
        if not saved: return
        atexit.unregister(self.restore)
        with contextlib.suppress(termios.error): termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def close(self) -> None:
        self.restore()


def raw(attributes: list[Any]) -> list[Any]:
    """Every key arrives as it is, at once and unechoed; output is processed still, so that our own messages look right."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = attributes
    iflag &= ~(termios.BRKINT | termios.ICRNL | termios.IGNCR | termios.INLCR | termios.INPCK | termios.ISTRIP | termios.IXON)
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag & ~termios.PARENB | termios.CS8, lflag, ispeed, ospeed, cc]


class File(Line):
    """-serial file:F, and what other devices write to files: from the file's start, or ('ab') at its end."""

    def __init__(self, path: str | Path, mode: str = 'wb'):
        try:
            self.file: Any = open(path, mode, buffering=0)
        except OSError as error:
            raise file_error(path, error) from None
        super().__init__(sink=self.file.fileno(), name=str(path))

    def close(self) -> None:
        self.file.close()


class Socket(Line):
    """-serial unix:P: connects to a listening socket; with `listen` it is the one that listens, and the run begins when someone has connected."""

    def __init__(self, path: str, listen: bool = False):
        if listen: self.socket = wait_for(path)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
            except OSError as error:
                raise file_error(f'-serial unix:{path}', error) from None
        super().__init__(self.socket.fileno(), self.socket.fileno())

    def close(self) -> None:
        self.socket.close()


class Server(Line):
    """-serial unix:P,server,nowait: the run begins at once. Who connects has the line until he hangs up, then the next one; while there is nobody, what the guest sends is lost."""

    def __init__(self, path: str):
        super().__init__()
        self.listener, self.path = listen_unix(path, '-serial unix:', 1), path
        self.made = os.stat(path)
        self.peer: socket.socket | None = None

    def connect(self, loop: Loop, receive: Callable[[bytes], object], room: Callable[[], bool]) -> None:
        super().connect(loop, receive, room)
        loop.watch(self.listener.fileno(), self.accept)

    def accept(self) -> None:
        """Somebody connects: the next one waits."""
        assert self.loop
        self.peer = accept(self.listener, True, b'')
        if not self.peer: return
        self.source = self.sink = self.peer.fileno()
        self.loop.watch(self.listener.fileno())
        self.resume()

    def read(self) -> bytes:
        data = super().read()
        if not data and self.source is None: self.hang_up()
        return data

    def hang_up(self) -> None:
        """The peer has."""
        assert self.loop and self.peer
        self.peer.close()
        self.sink = None
        self.loop.watch(self.listener.fileno(), self.accept)

    def close(self) -> None:
        if self.peer: self.peer.close()
        self.listener.close()
        remove(self.path, self.made)


def wait_for(path: str) -> socket.socket:
    """Waits for one connection to a socket file that exists as long as it waits."""
    with listen_unix(path, '-serial unix:', 1) as listener:
        listener.setblocking(True)
        warn(f'waiting for a connection to {path}')
        try:
            return listener.accept()[0]
        finally:
            os.unlink(path)


def open_unix(spec: str) -> Line:
    """PATH and, as QEMU spells them, `server` and `nowait`."""
    path, *words = spec.split(',')
    if unknown := set(words) - SERVER - NOWAIT: raise EmuError(f"-serial unix: unknown word '{min(unknown)}'; there are server and nowait")
    if not NOWAIT.intersection(words): return Socket(path, bool(SERVER.intersection(words)))
    if not SERVER.intersection(words): raise EmuError('-serial unix: nowait is for a server')
    return Server(path)


def open_serial(spec: str) -> Line:
    """The line that -serial asks for."""
    kind, _, rest = spec.partition(':')
    if kind == 'file': return File(rest)
    if kind == 'unix': return open_unix(rest)
    return Console() if kind == 'stdio' else Line()
