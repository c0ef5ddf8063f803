"""A connection of bytes in the event loop, with or without TLS: it never waits, and it has no more on its way than its owner lets it.

`received` is called when something has arrived, `sent` when all that was to be sent has left, `closed` with a reason once the connection has ended, by either side.
"""
import select
import socket
import ssl
import time
from collections import deque
from typing import Callable, Iterable

from emu.errors import reason
from emu.server.loop import Loop

CHUNK = 1 << 16  # bytes taken at once
FAREWELL = 0.5  # seconds
NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Stream:
    """`waiting` is how many bytes have not left yet."""

    def __init__(self, loop: Loop, peer: socket.socket, received: Callable[[bytes], object], closed: Callable[[str], object], *, tls: ssl.SSLContext | None = None,
                 sent: Callable[[], object] | None = None):
        peer.setblocking(False)
        self.socket = tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False) if tls else peer
        self.loop, self.received, self.closed, self.sent = loop, received, closed, sent
        self.out: deque[memoryview] = deque()
        self.waiting = 0
        self.reading = True
        self.open = True
        self.watch()

    def watch(self) -> None:
        """Tells the loop what is waited for. TLS may have to read before it can write, and the other way round, so that both are tried on either."""
        if self.open: self.loop.watch(self.socket.fileno(), self.readable if self.reading else None, self.flush if self.out else None)

    def pause(self, paused: bool) -> None:
        """No more is read for now, or again."""
        if self.reading == paused:
            self.reading = not paused
            self.watch()

    def readable(self) -> None:
        """Something has arrived, or the end."""
        try:
            data = self.socket.recv(CHUNK)
        except NOT_NOW:
            return self.flush()
        except OSError as error:
            return self.close(reason(error))
        if not data: return self.close('the other side has gone')
        self.received(data)
        if self.open and self.reading and self.decrypted(): self.loop.after(0, self.readable_still)
        return None

    def decrypted(self) -> bool:
        """TLS has more than was asked for: the descriptor need not be readable."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def readable_still(self) -> None:
        """The rest of it."""
        if self.open and self.reading: self.readable()

    def send(self, data: bytes) -> None:
        """Sends it, or what can be sent of it now; the rest follows."""
        if not self.open: return
        self.out.append(memoryview(data))
        self.waiting += len(data)
        if len(self.out) == 1: self.flush()

    def flush(self) -> None:
        """What waits goes as far as it goes."""
        if not self.open: return
        try:
            while self.out:
                sent = self.socket.send(self.out[0])
                self.waiting -= sent
                self.out[0] = self.out[0][sent:]
                if not self.out[0]: self.out.popleft()
        except NOT_NOW:
            pass
        except OSError as error:
            return self.close(reason(error))
        self.watch()
        if self.sent and not self.out: self.sent()
        return None

    def wait(self, seconds: float) -> None:
        """Serves this connection alone for at most so long: the machine waits for an answer."""
        if not self.open: return
        if self.decrypted(): return self.readable()
        readable, writable, _ = select.select([self.socket], [self.socket] if self.out else [], [], seconds)
        if writable: self.flush()
        if readable and self.open: self.readable()
        return None

    def close(self, reason: str) -> None:
        """It is over."""
        if not self.open: return
        self.open = False
        self.loop.watch(self.socket.fileno())
        self.socket.close()
        self.out.clear()
        self.waiting = 0
        self.closed(reason)


def farewell(streams: Iterable[Stream]) -> None:
    """The run is over: what waits may still leave, all of it within FAREWELL seconds."""
    end = time.monotonic() + FAREWELL
    while (waiting := [stream for stream in streams if stream.out]) and (left := end - time.monotonic()) > 0:
        select.select([], [stream.socket for stream in waiting], [], left)
        for stream in waiting: stream.flush()
