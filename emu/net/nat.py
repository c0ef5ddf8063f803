"""What comes and goes through the host's ordinary sockets: connections (`Splice`), datagrams and pings (`Flow`), and the ports of the host's that hostfwd opens (`Listener`).

Sockets are served by the event loop and never block.
"""
import errno
import socket
import struct
from typing import Callable

from emu.net import packets
from emu.net.packets import Packet
from emu.net.tcp import CONNECTING, Connection
from emu.server.loop import Loop

AGAIN = BlockingIOError, InterruptedError
DATAGRAMS = 32  # that are read in one go
UNREACHABLE = {errno.ENETUNREACH: 0, errno.EHOSTUNREACH: 1, errno.ETIMEDOUT: 1, errno.EACCES: 13, errno.EPERM: 13}  # codes of ICMP's destination unreachable


class Splice:
    """The application that is a socket of the host's: what comes from one side goes to the other, and so do the ends and resets.

    `unreachable(code)` is told where the host cannot be reached; `over` when all is done. The socket may still be connecting.
    """

    def __init__(self, loop: Loop, connection: Connection, sock: socket.socket, unreachable: Callable[[int], None], over: Callable[[], None]):
        self.loop, self.connection, self.socket = loop, connection, sock
        self.unreachable, self.over = unreachable, over
        self.file = sock.fileno()
        self.reading = self.writing = self.shut = False

    def connect(self, to: tuple[str, int] | str) -> None:
        """Connects to what the guest has called."""
        try:
            code = self.socket.connect_ex(to)
        except OSError as error:  # a path that is too long
            code = error.errno or errno.EINVAL
        if code in (errno.EINPROGRESS, 0): self.watch(False, True)
        else: self.refused(code)

    def refused(self, code: int) -> None:
        """No connection."""
        if code in UNREACHABLE: self.unreachable(UNREACHABLE[code])
        if code in UNREACHABLE: self.connection.close(True)
        else: self.connection.abort()

    def watch(self, reading: bool, writing: bool) -> None:
        """What is waited for."""
        if (reading, writing) == (self.reading, self.writing): return
        self.reading, self.writing = reading, writing
        self.loop.watch(self.file, self.readable if reading else None, self.writable if writing else None)

    def writable(self) -> None:
        """The host's side has connected, or there is room again."""
        if self.connection.state == CONNECTING:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code: return self.refused(code)
            self.watch(False, False)
            return self.connection.accept()
        self.watch(self.reading, False)
        return self.received()

    def opened(self) -> None:
        """The guest is ready."""
        self.watch(True, self.writing)

    def readable(self) -> None:
        """Data from the host's side, as much as there is room for."""
        room = self.connection.room()
        if not room: return self.watch(False, self.writing)
        try:
            data = self.socket.recv(room)
        except AGAIN:
            return None
        except OSError:
            return self.connection.abort()
        if data: return self.connection.write(data)
        self.watch(False, self.writing)
        return self.connection.finish()

    def drained(self) -> None:
        """There is room for more from the host's side."""
        if self.connection.end is None: self.watch(True, self.writing)

    def received(self) -> None:
        """Data from the guest."""
        connection = self.connection
        try:
            while connection.incoming:
                with memoryview(connection.incoming) as view: n = self.socket.send(view)
                connection.take(n)
        except AGAIN:
            return self.watch(self.reading, True)
        except OSError:
            return connection.abort()
        if connection.ended and not self.shut:
            self.shut = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # the other side is gone already
                pass
        return None

    def closed(self) -> None:
        """The guest's side is over; a reset goes on to the host's."""
        self.watch(False, False)
        if self.connection.failed and self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.socket.close()
        self.over()


class Flow:
    """Datagrams between a port of the guest's and one somewhere, or pings (echo requests of one identifier): a connected socket of the host's.

    `deliver(data)` goes to the guest, `unreachable(code, packet)` as well.
    """

    def __init__(self, loop: Loop, to: tuple[str, int], deliver: Callable[[bytes], None], unreachable: Callable[[int, Packet], None], full: Callable[[], bool], ping: bool = False):
        self.loop, self.deliver, self.unreachable, self.full = loop, deliver, unreachable, full
        self.used = 0  # guest time
        self.last: Packet | None = None  # the guest's latest
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP if ping else 0)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 0)
            self.socket.connect(to)
            self.file = self.socket.fileno()
            loop.watch(self.file, self.readable)
        except OSError:
            self.socket.close()
            raise

    def send(self, data: bytes, packet: Packet) -> None:
        """From the guest."""
        self.last = packet
        try:
            self.socket.send(data)
        except AGAIN:
            pass
        except OSError as error:
            self.failed(error)

    def readable(self) -> None:
        """To the guest; what it cannot take is lost, as datagrams are."""
        try:
            for _ in range(DATAGRAMS):
                data = self.socket.recv(65535)
                if not self.full(): self.deliver(data)
        except AGAIN:
            pass
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """Nobody listens there, or there is no way."""
        code = 3 if error.errno == errno.ECONNREFUSED else UNREACHABLE.get(error.errno or 0)
        if code is not None and self.last: self.unreachable(code, self.last)

    def close(self) -> None:
        """Gives the socket back."""
        self.loop.watch(self.file)
        self.socket.close()


def nameserver() -> tuple[str, int] | None:
    """The host's resolver (resolv.conf(5)): the first that has an IPv4 address."""
    try:
        with open('/etc/resolv.conf', errors='replace') as file: lines = [line.split() for line in file]
    except OSError:
        return None
    for words in lines:
        if len(words) > 1 and words[0] == 'nameserver':
            try:
                return socket.inet_ntoa(socket.inet_aton(words[1])), 53
            except OSError:  # IPv6
                continue
    return None


def listen(protocol: str, host: str, port: int) -> socket.socket:
    """A port of the host's; OSError: it cannot be had."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == 'tcp' else socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if protocol == 'tcp': made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        if protocol == 'tcp': made.listen(64)
    except OSError:
        made.close()
        raise
    return made


def ping(ident: bytes, data: bytes) -> bytes:
    """The kernel's answer to a ping, with the guest's identifier."""
    return packets.build_icmp(data[0], data[1], ident + data[6:]) if len(data) >= 8 else b''


