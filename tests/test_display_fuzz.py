"""A coverage-guided fuzzer of what listens for clients (emu/server/viewer.py, stream.py and what they use): seconds in `make test`, ten minutes in `make test-all`.

Streams are sequences of messages; one that reaches lines that none reached before is kept, and changed further. The machine is a real one that does not run.
"""
import os
import random
import resource
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Iterator

import pytest

from emu.jit import build
from emu.machine import Machine
from emu.options import Drive, Options
from emu.server.commands import Session
from emu.server.display import Display
from emu.server.listening import Address
from emu.server.loop import Loop
from emu.server.shared_line import SharedLine
from emu.server.typist import Typist
from emu.terminal import Line
from frontends.protocol import HEADER, MAGIC, MESSAGES, SERVER, VERSION, pack
from tests.conftest import ALL
from tests.control_guest import kernel

SECONDS = int(os.environ.get('FUZZ', 600 if ALL else 5))
FILES = ('viewer.py', 'stream.py', 'protocol.py', 'shared_line.py', 'remote_image.py', 'video.py', 'display.py', 'control.py', 'commands.py')
HELLO = pack('HELLO', MAGIC, VERSION, 0, 7, 'fuzzer')
CLIENT_MESSAGES = [message for message in MESSAGES if message.sender != SERVER]
COMMANDS = ('query-status', 'query-block', 'screentext', 'send-key', 'type', 'mouse', 'stop', 'cont', 'eject', 'query-stats', 'system_reset')  # those that write no file


@pytest.fixture
def display(tmp_path: Path) -> Iterator[Display]:
    """A machine's, with a serial port and a floppy drive for clients."""
    (tmp_path / 'kernel').write_bytes(kernel())
    build.setup('interpreter')
    loop, made, line = Loop(), Display('fuzzed'), SharedLine()
    options = Options(memory=16 << 20, kernel=str(tmp_path / 'kernel'), serial=('null', 'display'), engine='interpreter', drives=(Drive('', 'floppy', 0),))
    machine = Machine(options, loop, [Line(), line])
    made.listen(Address('unix', str(tmp_path / 'socket')))
    made.serve(loop, Session(machine, Typist(machine.pc.clock, machine.pc.i8042)), {1: line})
    yield made
    made.close()
    machine.cpu.close()
    loop.close()


def message(r: random.Random) -> bytes:
    """One, mostly as it should be."""
    chosen, values = r.choice(CLIENT_MESSAGES), []
    for name, kind in chosen.fields:
        if kind == 'text': values.append(r.choice(('floppy0', 'ide1-cd0', 'x', '', 'a' * 300, '\u00e9')))
        elif name == 'json': values.append(b'{"execute": "%s"}' % r.choice(COMMANDS).encode() if r.random() < 0.9 else r.randbytes(20))
        elif kind == 'data': values.append(r.randbytes(r.choice((0, 1, 100, 70000))))
        else: values.append(r.choice((0, 1, 2, 3, 0x1e, 720, 0x7fff, r.getrandbits(15) if kind != 'u8' else r.getrandbits(7))) & (0xff if kind == 'u8' else 0x7fff))
    return pack(chosen.name, *values)


def changed(r: random.Random, stream: list[bytes]) -> list[bytes]:
    """A little different."""
    stream = list(stream)
    at = r.randrange(len(stream) + 1)
    match r.randrange(5):
        case 0 | 1: stream.insert(at, message(r))
        case 2 if stream: del stream[at % len(stream)]
        case 3 if stream:
            piece = bytearray(stream[at % len(stream)])
            if piece: piece[r.randrange(min(len(piece), 40))] = r.getrandbits(8)
            stream[at % len(stream)] = bytes(piece)
        case _: stream.insert(at, r.randbytes(r.randrange(1, HEADER.size * 2)))
    return stream


def run(display: Display, path: str, stream: list[bytes]) -> set[tuple[str, int]]:
    """The lines that a client with these bytes reaches; it has gone when this returns."""
    reached: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename.rpartition('/')[2]
        if name not in FILES: return None
        if event == 'line': reached.add((name, frame.f_lineno))
        return trace
    assert display.loop
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.setblocking(False)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            data = b''.join(stream)
            for _ in range(60):
                try:
                    data = data[client.send(data):] if data else b''
                    client.recv(1 << 20)
                except OSError:
                    pass
                display.loop.poll(0.0005)
                if not data and not any(viewer.working for viewer in display.viewers): break
            client.close()
            end = time.monotonic() + 20
            while display.viewers and time.monotonic() < end: display.loop.poll(0.001)
        finally:
            sys.settrace(before)
    assert not display.viewers, 'a client that has gone is still served'
    return reached


def test_fuzz(display: Display, capfd: pytest.CaptureFixture[str]) -> None:
    """No stream of bytes raises, hangs, or leaves anything behind."""
    path, r = display.listeners[0].address.host, random.Random(1)
    display.session.machine.cpu.state.halted = 1
    corpus: list[list[bytes]] = [[HELLO], [HELLO, pack('LISTEN', 1), pack('OPEN', 1)], []]
    seen: set[tuple[str, int]] = set()
    end, runs, memory = time.monotonic() + SECONDS, 0, 0
    while time.monotonic() < end:
        stream = changed(r, r.choice(corpus))
        reached = run(display, path, stream)
        if reached - seen:
            seen |= reached
            corpus.append(stream)
        runs += 1
        if runs == 100: memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        capfd.readouterr()
    assert len(seen) > 100 and runs > 10
    if memory: assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000  # kilobytes
