"""Sockets that others connect to: a Unix socket's file, which nobody but its owner may open, or an address of TCP; and who connects."""
import errno
import os
import socket
import stat

from emu.errors import EmuError, file_error
from emu.server.loop import DESCRIPTORS


def listen_unix(path: str, option: str, backlog: int) -> socket.socket:
    """A listening socket at `path`, in place of one that nobody listens to any more; `option` is what errors begin with."""
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        try:
            listener.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE: raise
            remove_stale(path, option)
            listener.bind(path)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise file_error(f'{option} {path}', error) from None
    except EmuError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def remove_stale(path: str, option: str) -> None:
    """Removes a socket whose owner was killed; EmuError for anything else."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode): raise EmuError(f'{option} {path}: this file exists, and is no socket')
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise EmuError(f'{option} {path}: another emu is listening there')


def remove(path: str, made: os.stat_result) -> None:
    """Takes the socket's file away, unless somebody has replaced it."""
    try:
        if os.path.samestat(os.stat(path), made): os.unlink(path)
    except OSError:
        pass


def listen_tcp(host: str, port: int, option: str, backlog: int) -> socket.socket:
    """A listening socket at a numeric address or a name of this host."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise file_error(f'{option} {host}:{port}', error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise file_error(f'{option} {host}:{port}', error) from None
    return listener


def accept(listener: socket.socket, room: bool, refusal: bytes) -> socket.socket | None:
    """The next one who connects; None where he has gone again, or where there is no room, in the caller's opinion or the loop's: then he is told so."""
    try:
        client = listener.accept()[0]
    except OSError:  # gone, or no descriptor left
        return None
    if room and client.fileno() < DESCRIPTORS: return client
    with client:
        client.setblocking(False)
        try:
            client.send(refusal)
        except OSError:
            pass
    return None
