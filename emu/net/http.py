"""HTTP/1.1 (RFC 9110, 9112) for boot files: GET and HEAD of the files in one directory, with ranges of bytes; connections stay open. Left out: everything else."""
import re
from typing import BinaryIO
from urllib.parse import unquote

from emu.net.files import open_file
from emu.net.tcp import Connection

HEAD_LIMIT = 16 << 10  # bytes of a request
PART = 32 << 10
STATUS = {200: 'OK', 206: 'Partial Content', 400: 'Bad Request', 404: 'Not Found', 405: 'Method Not Allowed', 416: 'Range Not Satisfiable', 431: 'Request Header Fields Too Large'}


class Http:
    """The application of one connection."""

    def __init__(self, connection: Connection, directory: str):
        self.connection, self.directory = connection, directory
        self.file: BinaryIO | None = None
        self.left = 0  # bytes of it to go
        self.last = False  # nothing is answered after this

    def opened(self) -> None: pass

    def received(self) -> None:
        """Requests, one after the other."""
        connection = self.connection
        while self.file is None and not self.last and connection.room():
            head, end, _ = bytes(connection.incoming[:HEAD_LIMIT]).partition(b'\r\n\r\n')
            if not end:
                if len(connection.incoming) >= HEAD_LIMIT: self.refuse(431)
                break
            connection.take(len(head) + 4)
            self.request(head.decode('latin-1'))
        if self.last: connection.take(len(connection.incoming))
        if connection.ended and self.file is None: connection.finish()

    def request(self, head: str) -> None:
        """Request line and fields."""
        line, *fields = head.split('\r\n')
        words = line.split(' ')
        if len(words) != 3 or not words[2].startswith('HTTP/1.'): return self.refuse(400)
        method, target, version = words
        values = {name.strip().lower(): value.strip() for name, _, value in (one.partition(':') for one in fields)}
        self.last = version == 'HTTP/1.0' or values.get('connection', '').lower() == 'close' or 'content-length' in values or 'transfer-encoding' in values
        if method not in ('GET', 'HEAD'): return self.refuse(405)
        found = open_file(self.directory, unquote(re.sub(r'^http://[^/]*', '', target).partition('?')[0]))
        if not found: return self.refuse(404, self.last)
        file, size = found
        first, last, status = 0, size - 1, 200
        if match := re.fullmatch(r'bytes=(\d{0,18})-(\d{0,18})', values.get('range', ''), re.ASCII):
            if match[1]: first, last = int(match[1]), min(int(match[2] or last), last)
            elif match[2]: first = max(size - int(match[2]), 0)
            if first > last:
                file.close()
                return self.refuse(416, self.last)
            status = 206
        extra = f'Content-Range: bytes {first}-{last}/{size}\r\n' if status == 206 else ''
        self.say(status, last - first + 1, f'Accept-Ranges: bytes\r\n{extra}')
        if method == 'HEAD': file.close()
        else:
            file.seek(first)
            self.file, self.left = file, last - first + 1
            self.pump()
        if self.last and self.file is None: self.connection.finish()
        return None

    def refuse(self, status: int, last: bool = True) -> None:
        """An answer without a file."""
        self.last = last
        self.say(status, 0, 'Allow: GET, HEAD\r\n' if status == 405 else '')
        if last: self.connection.finish()

    def say(self, status: int, length: int, more: str = '') -> None:
        """An answer's head."""
        close = 'Connection: close\r\n' if self.last else ''
        self.connection.write(f'HTTP/1.1 {status} {STATUS[status]}\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n{more}{close}\r\n'.encode())

    def drained(self) -> None:
        """There is room again: more of the file; then there may be more requests."""
        self.pump()
        self.received()

    def pump(self) -> None:
        """Sends what there is room for."""
        while self.file and (room := self.connection.room()):
            try:
                data = self.file.read(min(room, self.left, PART))
            except OSError:
                data = b''
            if self.left and not data: return self.connection.abort()  # the file has become shorter, or cannot be read: the guest must not take it for whole
            self.left -= len(data)
            self.connection.write(data)
            if not self.left and self.file:
                self.file.close()
                self.file = None
                if self.last: self.connection.finish()
        return None

    def closed(self) -> None:
        """The connection is over."""
        if self.file: self.file.close()
        self.file = None
