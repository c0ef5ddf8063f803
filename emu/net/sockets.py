"""The socket network: two machines linked by a TCP connection, each frame with its length in four bytes before it (big endian), as QEMU's `-netdev socket` has it.

One listens, the other connects. A listening one takes a new partner when the last has gone; a connecting one ends with its partner. While the card has no room, nothing is
read, and while the partner does not read, BACKLOG bytes wait; what comes after that is lost.
"""
import socket

from emu.errors import file_error, warn
from emu.net import Wire
from emu.net.options import Netdev
from emu.server.loop import Loop
from emu.server.sockets import accept
from emu.server.stream import Stream

BACKLOG = 256 << 10
LARGEST = 65536  # bytes of a frame: what says more is no partner
PATIENCE = 10  # seconds until a partner must have answered


class Linked:
    """`wire` goes to the card."""

    def __init__(self, wire: Wire, loop: Loop, settings: Netdev):
        self.wire, self.loop = wire, loop
        self.partner: Stream | None = None
        self.listener: socket.socket | None = None
        self.incoming = bytearray()
        host, port = settings.listen or settings.connect or ('', 0)
        self.name = f'socket {"listen" if settings.listen else "connect"}={host}:{port}'
        try:
            if settings.listen:
                self.listener = socket.create_server((host, port), backlog=1)
                self.listener.setblocking(False)
                loop.watch(self.listener.fileno(), self.accept)
            else: self.join(socket.create_connection((host, port), PATIENCE))
        except OSError as error:
            raise file_error(self.name, error) from None

    def accept(self) -> None:
        """Somebody connects; there is one partner at a time."""
        if self.listener and (partner := accept(self.listener, self.partner is None, b'')): self.join(partner)

    def join(self, partner: socket.socket) -> None:
        """A partner."""
        partner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming.clear()
        self.partner = Stream(self.loop, partner, self.received, self.lost)

    def lost(self, why: str) -> None:
        """The partner has gone."""
        self.partner = None
        if why: warn(f'{self.name}: {why}')

    def received(self, data: bytes) -> None:
        """Frames from the partner."""
        self.incoming += data
        self.unpack()

    def unpack(self) -> None:
        """Hands on whole frames while the card has room."""
        partner = self.partner
        if not partner: return
        at, incoming = 0, self.incoming
        while len(incoming) - at >= 4 and not self.wire.full():
            size = int.from_bytes(incoming[at:at + 4], 'big')
            if size > LARGEST: return partner.close(f'the other end sent a frame of {size} bytes: it is no machine of ours')
            if len(incoming) - at - 4 < size: break
            frame = bytes(incoming[at + 4:at + 4 + size])
            at += 4 + size
            if 14 <= size <= 1514: self.wire.deliver(frame)
        del incoming[:at]
        partner.pause(self.wire.full())

    def ready(self) -> None:
        """The card has room again."""
        if self.partner and not self.partner.reading: self.unpack()

    def send(self, frame: bytes) -> None:
        """A frame of the guest's."""
        if self.partner and self.partner.waiting <= BACKLOG: self.partner.send(len(frame).to_bytes(4, 'big') + frame)

    def reset(self) -> None:
        """The partner's machine does not notice."""

    def close(self) -> None:
        """The run is over."""
        if self.listener:
            self.loop.watch(self.listener.fileno())
            self.listener.close()
            self.listener = None
        if self.partner: self.partner.close('')
