"""A client of the display protocol: gets in, keeps the picture, and hands everything else that arrives to its owner. The window and the headless client are made of it.

    machine = Client(connect('machine.sock'))
    machine.say('KEY', 0x1e, 1)
    machine.work(1.0)          # waits for at most a second, and takes in what has arrived
    machine.pixels             # (lines, dots, 4) bytes: blue, green, red, 0
"""
import json
import os
import re
import select
import socket
import ssl
import time
import zlib
from collections import deque
from pathlib import Path
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from frontends.protocol import ASKS_TOKEN, FILL, MAGIC, RAW, SERVER, VERSION, VIEW_ONLY, ZLIB, ProtocolError, Reader, Received, pack

ENCODINGS = 1 << RAW | 1 << ZLIB | 1 << FILL
CHUNK = 1 << 18
PATIENCE = 10.0  # seconds to get in, and for an answer


class Ended(Exception):
    """The connection is over, or never was; the text says why, for people."""


def connect(address: str) -> tuple[socket.socket, str]:
    """A connection to ADDRESS[,token=FILE][,ca=FILE], and the token. ADDRESS is the path of a Unix socket, unix:PATH, tcp:HOST:PORT or tls:HOST:PORT; `ca` has the certificates
    that TLS is to trust besides the system's."""
    head, *rest = (part.replace(',,', ',') for part in re.findall(r'(?:[^,]|,,)+', address))
    given = dict(part.partition('=')[::2] for part in rest)
    kind, colon, place = head.partition(':')
    if kind not in ('unix', 'tcp', 'tls') or not colon: kind, place = 'unix', head
    try:
        token = Path(given['token']).read_text().split('\n')[0].strip() if 'token' in given else ''
        if kind == 'unix':
            made = socket.socket(socket.AF_UNIX)
            made.settimeout(PATIENCE)
            made.connect(place)
        else:
            host, _, port = place.rpartition(':')
            made = socket.create_connection((host.strip('[]'), int(port)), PATIENCE)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if kind == 'tls': made = ssl.create_default_context(cafile=given.get('ca')).wrap_socket(made, server_hostname=host.strip('[]'))
    except (OSError, ValueError) as error:
        raise Ended(f'{head}: {why(error)}') from None
    return made, token


def why(error: OSError | ValueError) -> str:
    """What the system says, or Python."""
    return getattr(error, 'strerror', None) or str(error)


class Medium:
    """A file of this host that is in a drive of the machine."""

    def __init__(self, path: str, writable: bool):
        self.file = open(path, 'r+b' if writable else 'rb', buffering=0)
        self.name, self.size, self.writable = os.path.basename(path), os.fstat(self.file.fileno()).st_size, writable

    def answer(self, name: str, offset: int = 0, length: int = 0, bytes: bytes = b'') -> bytes:
        """Does READ, WRITE or FLUSH; OSError where it cannot."""
        if name == 'READ': return os.pread(self.file.fileno(), length, offset)
        if name == 'FLUSH': os.fsync(self.file.fileno())
        elif offset + len(bytes) > self.size or os.pwrite(self.file.fileno(), bytes, offset) != len(bytes): raise OSError('not written')
        return b''


class Client:
    """`heard` is called with every message that is not done here: LEDS, NOTICE, FORMAT, SAMPLES, OUTPUT, CREDIT, RESULT, EVENT. `changed` collects the parts of the picture
    (x, y, width, height) that are new since somebody emptied it; a frame is acknowledged when `shown` is called."""

    def __init__(self, connection: tuple[socket.socket, str], name: str = 'frontends', view_only: bool = False, heard: Callable[[str, dict[str, Any]], object] | None = None):
        self.socket, token = connection
        self.heard = heard or (lambda name, fields: None)
        self.reader = Reader(SERVER)
        self.out = bytearray()
        self.broken = False  # nothing can be sent any more
        self.pixels: NDArray[np.uint8] = np.zeros((0, 0, 4), np.uint8)
        self.aspect = (4, 3)
        self.changed: list[tuple[int, int, int, int]] = []
        self.frame: int | None = None  # complete, and not acknowledged yet
        self.frames = 0  # complete ones in this mode
        self.answers: deque[Any] = deque()
        self.media: dict[str, Medium] = {}
        self.ready: dict[str, Any] | None = None
        self.welcome: dict[str, Any] | None = None
        self.socket.setblocking(False)
        self.say('HELLO', MAGIC, VERSION, VIEW_ONLY * view_only, ENCODINGS, name)
        self.wait(lambda: self.welcome is not None)
        assert self.welcome
        if self.welcome['flags'] & ASKS_TOKEN: self.say('TOKEN', token)
        self.wait(lambda: self.ready is not None)

    # --- the connection --------------------------------------------------------------------------------------------------------------------

    def say(self, name: str, *values: Any) -> None:
        """Sends a message."""
        self.out += pack(name, *values)
        self.flush()

    def flush(self) -> None:
        """What waits goes as far as it goes."""
        try:
            while self.out: del self.out[:self.socket.send(self.out)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self.out.clear()
            if self.broken: return  # what had arrived is being read
            self.broken = True
            while message := self.reader.take(): self.do(message)  # it may have said why
            while self.work(): pass
            raise Ended(why(error)) from None

    def work(self, seconds: float = 0) -> bool:
        """Takes in what arrives within so many seconds, as soon as there is something; whether there was."""
        if not (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            readable, writable, _ = select.select([self.socket], [self.socket] if self.out else [], [], seconds)
            if writable: self.flush()
            if not readable: return False
        try:
            data = self.socket.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            raise Ended(why(error)) from None
        if not data: raise Ended('the connection has been closed')
        self.reader.feed(data)
        try:
            while message := self.reader.take(): self.do(message)
        except ProtocolError as error:
            raise Ended(f'the machine speaks something else: {error}') from None
        return True

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Works until it holds; Ended where it does not within so many seconds."""
        end = time.monotonic() + seconds
        while not condition():
            if (left := end - time.monotonic()) <= 0: raise Ended(f'no answer within {seconds:g} s')
            try:
                self.work(left)
            except Ended:  # maybe right after what is waited for
                if not condition(): raise

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()

    # --- what arrives ----------------------------------------------------------------------------------------------------------------------

    def do(self, message: Received) -> None:
        """One message."""
        name, fields = message
        match name:
            case 'RECT': self.rect(**fields)
            case 'FRAME':
                self.frame, self.frames = fields['number'], self.frames + 1
            case 'MODE':
                self.pixels = np.zeros((fields['height'], fields['width'], 4), np.uint8)
                self.aspect = fields['aspect_x'], fields['aspect_y']
                self.frames = 0
                self.changed.clear()
            case 'READ' | 'WRITE' | 'FLUSH': self.serve(name, **fields)
            case 'ANSWER': self.answers.append(json.loads(fields['json']))
            case 'PING': self.say('PONG', fields['cookie'])
            case 'WELCOME': self.welcome = fields
            case 'READY': self.ready = fields
            case 'BYE': raise Ended(fields['reason'])
            case _: self.heard(name, fields)

    def rect(self, x: int, y: int, width: int, height: int, encoding: int, pixels: bytes) -> None:
        """RECT."""
        lines, dots = self.pixels.shape[:2]
        if not width or not height or x + width > dots or y + height > lines: raise ProtocolError('a rectangle outside of the picture')
        size = 4 if encoding == FILL else 4 * width * height
        if encoding == ZLIB:
            inflate = zlib.decompressobj()
            try:
                pixels = inflate.decompress(pixels, size + 1)
            except zlib.error:
                raise ProtocolError('what does not inflate') from None
        if encoding not in (RAW, ZLIB, FILL) or len(pixels) != size: raise ProtocolError(f'{len(pixels)} bytes of encoding {encoding}')
        part = np.frombuffer(pixels, np.uint8)
        self.pixels[y:y + height, x:x + width] = part if encoding == FILL else part.reshape(height, width, 4)
        self.changed.append((x, y, width, height))

    def shown(self) -> None:
        """The frame is on the screen: the machine may send another."""
        if self.frame is not None: self.say('ACK', self.frame)
        self.frame = None

    def serve(self, name: str, request: int, drive: str, **what: Any) -> None:
        """READ, WRITE or FLUSH of a medium."""
        try:
            self.say('DONE', request, 0, self.media[drive].answer(name, **what))
        except (OSError, KeyError):
            self.say('DONE', request, 1, b'')

    # --- what one may want -----------------------------------------------------------------------------------------------------------------

    def execute(self, command: str, **arguments: Any) -> Any:
        """A command of the control socket, and what it returns; ValueError where it is refused."""
        self.say('EXECUTE', json.dumps({'execute': command, 'arguments': {key.replace('_', '-'): value for key, value in arguments.items()}}).encode())
        self.wait(lambda: bool(self.answers), 60)
        answer = self.answers.popleft()
        if 'error' in answer: raise ValueError(answer['error']['desc'])
        return answer['return']

    def save(self, path: str) -> None:
        """The picture as a PNG, the first of its mode if there is none yet; OSError where it cannot be written."""
        from PIL import Image
        self.wait(lambda: self.frames > 0)
        Image.fromarray(np.ascontiguousarray(self.pixels[:, :, 2::-1])).save(path, 'png')

    def insert(self, drive: str, path: str, writable: bool = False) -> None:
        """Puts a file of this host into a drive; RESULT says what became of it."""
        medium = self.media[drive] = Medium(path, writable)
        self.say('INSERT', drive, medium.name, medium.size, writable)
