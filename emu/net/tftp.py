"""TFTP (RFC 1350) to read from, with the options blksize (RFC 2348), timeout and tsize (RFC 2349) and windowsize (RFC 7440). Writing is refused.

A transfer ends with its last acknowledgement, an error, or after RETRIES without an answer.
"""
import struct
from typing import BinaryIO, Callable

from emu.hw.clock import Clock, Timer
from emu.net.files import open_file

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
TRANSFERS = 16  # at a time
TIMEOUT, RETRIES = 1_000_000_000, 5
LARGEST = 1468  # bytes of a block: what fits a frame
WINDOW = 16  # blocks



def error(code: int, text: str) -> bytes:
    """An error packet."""
    return struct.pack('!HH', ERROR, code) + text.encode() + b'\0'


class Transfer:
    """One file on its way; `send(data)` goes to the port that asked."""

    def __init__(self, clock: Clock, file: BinaryIO, size: int, options: dict[str, int], send: Callable[[bytes], None], over: Callable[[], None]):
        self.clock, self.file, self.send, self.over = clock, file, send, over
        self.block = options.get('blksize', 512)
        self.window = options.get('windowsize', 1)
        self.timeout = options.get('timeout', 0) * 10**9 or TIMEOUT
        self.blocks = size // self.block + 1  # the last one is shorter than a block
        self.done = 0  # blocks acknowledged
        self.tries = 0
        self.timer: Timer | None = None
        self.first = struct.pack('!H', OACK) + b''.join(f'{key}\0{value}\0'.encode() for key, value in options.items()) if options else b''
        self.go()

    def go(self) -> None:
        """Sends what is next: the options' acknowledgement, or a window of blocks."""
        try:
            if self.first: self.send(self.first)
            else:
                for number in range(self.done + 1, min(self.done + self.window, self.blocks) + 1):
                    self.file.seek((number - 1) * self.block)
                    self.send(struct.pack('!HH', DATA, number & 0xffff) + self.file.read(self.block))
        except OSError as failure:
            self.send(error(0, failure.strerror or 'it cannot be read'))
            return self.close()
        self.clock.cancel(self.timer)
        self.timer = self.clock.at(self.clock.now() + self.timeout, self.late)

    def late(self) -> None:
        """No answer."""
        self.timer = None
        self.tries += 1
        if self.tries > RETRIES: self.close()
        else: self.go()

    def receive(self, data: bytes) -> None:
        """A packet from the other side."""
        if len(data) < 4: return
        kind, number = struct.unpack_from('!HH', data)
        if kind == ERROR: self.close()
        if kind != ACK: return
        if self.first:
            if number == 0:
                self.first, self.tries = b'', 0
                self.go()
            return
        ahead = number - self.done & 0xffff
        if not 0 < ahead <= self.window: return  # an old one: answering it would double all that follows (RFC 1123, 4.2.3.1)
        self.done, self.tries = self.done + ahead, 0
        if self.done >= self.blocks: self.close()
        else: self.go()

    def close(self) -> None:
        """It is over."""
        self.clock.cancel(self.timer)
        self.file.close()
        self.over()


class Tftp:
    """`send(our port, guest's address, guest's port, data)`."""

    def __init__(self, clock: Clock, directory: str, send: Callable[[int, bytes, int, bytes], None]):
        self.clock, self.directory, self.send = clock, directory, send
        self.transfers: dict[tuple[bytes, int], tuple[int, Transfer]] = {}  # by the guest's address and port: our port
        self.port = 2048

    def receive(self, port: int, guest: bytes, guest_port: int, data: bytes) -> bool:
        """A datagram to a port of the gateway's; whether it was for us."""
        key = guest, guest_port
        if port == 69:
            self.request(key, data)
            return True
        if key in self.transfers and self.transfers[key][0] == port:
            self.transfers[key][1].receive(data)
            return True
        return False

    def request(self, key: tuple[bytes, int], data: bytes) -> None:
        """A read request: file name, mode and options, each ended by a zero."""
        parts = data[2:].split(b'\0')
        kind = int.from_bytes(data[:2], 'big')
        if kind not in (RRQ, WRQ) or len(parts) < 3: return
        if key in self.transfers: self.transfers[key][1].close()
        self.port = 2048 + (self.port + 1 - 2048) % 32768
        port = self.port
        if kind == WRQ: return self.send(port, *key, error(2, 'nothing can be written here'))
        if parts[1].lower() not in (b'octet', b'netascii'): return self.send(port, *key, error(0, 'mode: octet is all there is'))
        found = open_file(self.directory, parts[0].decode(errors='replace'))
        if not found: return self.send(port, *key, error(1, 'no such file'))
        file, size = found
        if len(self.transfers) >= TRANSFERS: self.transfers[next(iter(self.transfers))][1].close()
        options = agree(parts[2:], size)
        self.transfers[key] = port, Transfer(self.clock, file, size, options, lambda packet: self.send(port, *key, packet), lambda: self.forget(key, port))
        return None

    def forget(self, key: tuple[bytes, int], port: int) -> None:
        """A transfer is over."""
        if key in self.transfers and self.transfers[key][0] == port: del self.transfers[key]

    def close(self) -> None:
        """All transfers are over."""
        for _, transfer in list(self.transfers.values()): transfer.close()


def agree(words: list[bytes], size: int) -> dict[str, int]:
    """The options that we take, with our values; those that make no sense are passed over."""
    made: dict[str, int] = {}
    for key, text in zip(words[::2], words[1::2]):
        value = int(text) if text.isdigit() and len(text) < 10 else -1
        match key.lower():
            case b'blksize' if value >= 8: made['blksize'] = min(value, LARGEST)
            case b'timeout' if 1 <= value <= 255: made['timeout'] = value
            case b'tsize' if value >= 0: made['tsize'] = size
            case b'windowsize' if value >= 1: made['windowsize'] = min(value, WINDOW)
    return made
