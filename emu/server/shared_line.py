"""-serial display: a serial port whose other end is with those who view the machine (display.py)."""
from collections import deque
from typing import Any, Callable, Protocol

from emu.terminal import Line
from frontends.protocol import WINDOW, ProtocolError

CHUNK = 1024  # bytes handed to the guest's port at once

Heard = Callable[[bytes], object]


class Speaker(Protocol):
    """A client."""

    def say(self, name: str, *values: Any) -> None:
        """Sends it a message."""


class SharedLine(Line):
    """All hear what the guest says; what they say reaches it in the order in which it came."""

    def __init__(self) -> None:
        super().__init__()
        self.said = bytearray()  # the last of what the guest said
        self.heard: list[Heard] = []
        self.pending: deque[tuple[bytes, Callable[[int], object]]] = deque()

    def send(self, data: bytes) -> None:
        self.said += data
        del self.said[:-WINDOW]
        for heard in list(self.heard): heard(data)

    def listen(self, heard: Heard) -> None:
        """From now on somebody hears it, from what was said last on."""
        self.heard.append(heard)
        if self.said: heard(bytes(self.said))

    def give(self, data: bytes, taken: Callable[[int], object]) -> None:
        """For the guest; `taken` is told when it has some of it."""
        self.pending.extend((data[at:at + CHUNK], taken) for at in range(0, len(data), CHUNK))
        self.resume()

    def resume(self) -> None:
        while self.loop and self.pending and self.room():
            data, taken = self.pending.popleft()
            self.receive(data)
            taken(len(data))


class Tap:
    """What a client hears of a serial port and says to it, within the credit that both sides give."""

    def __init__(self, viewer: Speaker, port: int):
        self.viewer, self.port = viewer, port
        self.room, self.accepted = WINDOW, WINDOW  # bytes that may be sent, and that the client may send
        self.lost = 0
        self.heard = self.hear  # one object, to be found again

    def hear(self, data: bytes) -> None:
        """The guest has said something; what the client has no room for is lost to it."""
        now = data[:self.room]
        if now:
            self.viewer.say('OUTPUT', self.port, min(self.lost, 0xffffffff), now)
            self.lost = 0
        self.room -= len(now)
        self.lost += len(data) - len(now)

    def credited(self, count: int) -> None:
        """The client has taken so many bytes."""
        if self.room + count > WINDOW: raise ProtocolError('CREDIT for what was not sent')
        self.room += count

    def take(self, data: bytes, line: SharedLine) -> None:
        """The client says something to the guest."""
        if len(data) > self.accepted: raise ProtocolError('INPUT without credit')
        self.accepted -= len(data)
        line.give(data, self.taken)

    def taken(self, count: int) -> None:
        """The guest's port has some of it."""
        self.accepted += count
        self.viewer.say('CREDIT', self.port, count)
