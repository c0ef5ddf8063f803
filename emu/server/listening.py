"""Where clients may connect (`-display-listen`): a Unix socket's path, tcp:HOST:PORT on this host, tls:HOST:PORT anywhere. TCP and TLS ask for a token."""
import ipaddress
import os
import re
import secrets
import socket
import ssl
from dataclasses import dataclass

from emu.errors import EmuError, file_error
from emu.server import sockets
from emu.words import comma_words
from frontends.protocol import pack

OPTION = '-display-listen'
BACKLOG = 128


@dataclass(frozen=True)
class Address:
    """One of them. `host` is a path where `kind` is unix."""

    kind: str  # unix, tcp, tls
    host: str
    port: int = 0
    token: str | None = None  # a file whose first line is the token
    cert: str | None = None  # PEM files
    key: str | None = None
    view_only: bool = False

    def local(self) -> bool:
        """Bytes to it cost nothing."""
        return self.kind != 'tls'


def parse(text: str) -> Address:
    """ADDRESS[,token=FILE][,cert=FILE,key=FILE][,view-only=on]; ValueError for what is none. ',,' is a comma in a value."""
    head, *rest = comma_words(text)
    given = dict(part.partition('=')[::2] for part in rest)
    view_only = given.pop('view-only', 'off')
    kind, colon, place = head.partition(':')
    if kind not in ('unix', 'tcp', 'tls') or not colon: kind, place = 'unix', head
    host, _, port = place.rpartition(':')
    if unknown := sorted(set(given) - {'token', 'cert', 'key'}): raise ValueError(f"'{unknown[0]}' is none of token=, cert=, key=, view-only=")
    if view_only not in ('on', 'off'): raise ValueError(f'view-only={view_only}: it is on or off')
    if kind == 'unix': return Address(kind, place, view_only=view_only == 'on')
    if not host or not re.fullmatch(r'\d{1,5}', port, re.ASCII) or int(port) > 65535: raise ValueError(f"'{head}' is not {kind}:HOST:PORT")
    if 'token' not in given: raise ValueError(f'{head}: over TCP a token is needed (token=FILE)')
    if kind == 'tls' and not {'cert', 'key'} <= set(given): raise ValueError(f'{head}: TLS needs cert=FILE and key=FILE')
    host = host.strip('[]')
    if kind == 'tcp' and not loopback(host): raise ValueError(f'{head}: without TLS only this host can be listened on (127.0.0.1, ::1, localhost)')
    return Address(kind, host, int(port), given['token'], given.get('cert'), given.get('key'), view_only == 'on')


def loopback(host: str) -> bool:
    """Only this host can reach it."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Listener:
    """A listening socket and what its clients need."""

    def __init__(self, address: Address):
        self.address = address
        self.token = read_token(address.token) if address.token else None
        self.tls = context(address) if address.kind == 'tls' else None
        self.socket = sockets.listen_unix(address.host, OPTION, BACKLOG) if address.kind == 'unix' else sockets.listen_tcp(address.host, address.port, OPTION, BACKLOG)
        self.file = os.stat(address.host) if address.kind == 'unix' else None

    def accept(self, room: bool) -> socket.socket | None:
        """The next client, if there is one, and room for it."""
        client = sockets.accept(self.socket, room, b'' if self.tls else pack('BYE', 'too many clients'))
        if client and self.address.kind != 'unix': client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def right(self, token: str) -> bool:
        """In constant time."""
        return self.token is None or secrets.compare_digest(token.encode(), self.token.encode())

    def close(self) -> None:
        """Nobody connects any more."""
        self.socket.close()
        if self.file: sockets.remove(self.address.host, self.file)


def read_token(path: str) -> str:
    """The first line of a file that only its owner may read."""
    try:
        with open(path) as file:
            if os.fstat(file.fileno()).st_mode & 0o077: raise EmuError(f'{OPTION}: token={path}: others may read this file (chmod 600)')
            token = file.readline(4096).strip()
    except UnicodeDecodeError:
        raise EmuError(f'{OPTION}: token={path}: is no text') from None
    except OSError as error:
        raise file_error(f'{OPTION}: token={path}', error) from None
    if len(token) < 8: raise EmuError(f'{OPTION}: token={path}: a token has 8 characters or more')
    return token


def context(address: Address) -> ssl.SSLContext:
    """TLS with the certificate."""
    assert address.cert
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(address.cert, address.key)
    except (OSError, ssl.SSLError) as error:
        raise file_error(f'{OPTION}: cert={address.cert}', error) from None
    return made
