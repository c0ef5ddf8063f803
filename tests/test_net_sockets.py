"""emu/net/sockets.py: two machines on one wire; and partners that are none."""
import random
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator

import pytest

from emu.net import PLENTY, Wire
from emu.net.options import parse_netdev
from emu.net.sockets import BACKLOG, Linked
from emu.server.loop import Loop
from tests import net_host
from tests.net_host import free_port


class Card:
    """A card that keeps what comes, and has room or not."""

    def __init__(self, loop: Loop, spec: str):
        self.frames, self.free, self.wire = [], True, Wire()
        self.wire.card = self
        self.wire.network = self.link = Linked(self.wire, loop, parse_netdev(f'socket,id=n,{spec}'))

    def room(self, size: int) -> bool: return self.free
    def receive(self, frame: bytes) -> None: self.frames.append(frame)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def serve(loop: Loop, times: int = 10) -> None:
    for _ in range(times): loop.poll(0.01)


def test_frames_cross(loop: Loop) -> None:
    """In both directions, in order; while one card has no room they wait, and the other side is held up instead of the memory growing."""
    port = free_port()
    a = Card(loop, f'listen=127.0.0.1:{port}')
    b = Card(loop, f'connect=127.0.0.1:{port}')
    serve(loop)
    frames = [bytes((n & 0xff,)) * (60 + n % 1400) for n in range(3000)]
    b.free = False
    for frame in frames[:5]: b.wire.transmit(frame)
    for frame in frames: a.wire.transmit(frame)
    serve(loop)
    assert a.frames == frames[:5] and len(b.wire.queue) <= PLENTY and a.link.partner.waiting <= BACKLOG + 2000 and len(b.link.incoming) <= 2 * 65536
    b.free = True
    b.wire.flush()
    for _ in range(50):
        serve(loop, 1)
        b.wire.flush()
    assert b.frames == frames[:len(b.frames)] and len(b.frames) > 300  # what came after the backlog is lost
    a.wire.close()
    b.wire.close()


def test_a_partner_goes_and_another_comes(loop: Loop, capsys) -> None:
    """A line says so; the one that listens takes the next."""
    port = free_port()
    a = Card(loop, f'listen=127.0.0.1:{port}')
    for n in range(2):
        with socket.create_connection(('127.0.0.1', port)) as partner:
            partner.sendall(b'\0\0\0\x3c' + bytes((n,)) * 60)
            serve(loop)
        serve(loop)
        a.wire.transmit(bytes(60))
    assert a.frames == [bytes(60), b'\1' * 60] and capsys.readouterr().err.count('the other side has gone') == 2
    a.wire.close()


@pytest.mark.parametrize('seed', range(20))
def test_partners_that_are_none(loop: Loop, capsys, seed: int) -> None:
    """Any bytes: frames or an end with a line, and nothing that grows."""
    port, chance = free_port(), random.Random(seed)
    a = Card(loop, f'listen=127.0.0.1:{port}')
    with socket.create_connection(('127.0.0.1', port)) as partner:
        try:
            for _ in range(20):
                partner.sendall(chance.choice([b'GET / HTTP/1.0\r\n\r\n', b'\0\0\0\0', b'\0\0\0\5hello', b'\0\1\0\0', chance.randbytes(chance.randrange(200))]))
                serve(loop, 2)
        except OSError: pass
        serve(loop)
        assert len(a.link.incoming) <= 2 * 65540 and all(14 <= len(frame) <= 1514 for frame in a.frames)
    a.wire.close()


LISTENS = """
ip addr add 10.9.0.1/24 dev eth1; ip link set eth1 up
dd if=/dev/urandom of=/sent bs=100k count=10 2>/dev/null
nc -l -p 9 -e cat /sent
echo "SENT $(md5sum </sent)"
nc -l -p 10 -e md5sum
"""
CONNECTS = """
ip addr add 10.9.0.2/24 dev eth1; ip link set eth1 up
until ping -c 1 -W 1 10.9.0.1 >/dev/null; do :; done
until nc 10.9.0.1 9 </dev/null >/got && [ -s /got ]; do sleep 0.2; done
echo "GOT $(md5sum </got)"
until nc 10.9.0.1 10 </got >/sum && [ -s /sum ]; do sleep 0.2; done
echo "SUM $(cat /sum)"
"""


def test_two_linux_machines_talk(tmp_path: Path) -> None:
    """Each has two cards: one in a user network, where its script comes from, one on the wire between them. A megabyte goes over and back."""
    port, logs, threads = free_port(), {}, []
    for name, script, link in (('a', LISTENS, f'listen=127.0.0.1:{port}'), ('b', CONNECTS, f'connect=127.0.0.1:{port}')):
        place = tmp_path / name
        place.mkdir()
        (place / 'script').write_text(script)
        words = net_host.linux(net_host.END, '-nic', f'user,http={place}', '-nic', f'socket,{link}')
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        timer = threading.Timer(net_host.PATIENCE, process.kill)
        timer.start()

        def read(name: str = name, process: subprocess.Popen = process, timer: threading.Timer = timer) -> None:
            logs[name] = process.communicate()[0]
            timer.cancel()
        threads.append(threading.Thread(target=read))
        threads[-1].start()
        while name == 'a' and not listening(port) and process.poll() is None: time.sleep(0.1)
    for thread in threads: thread.join()
    sums = [line.split()[1] for text in logs.values() for line in text.splitlines() if line.startswith(('SENT', 'GOT', 'SUM'))]
    assert len(sums) == 3 and len(set(sums)) == 1, logs


def listening(port: int) -> bool:
    """Whether somebody listens, without calling him."""
    return f':{port:04X} 00000000:0000 0A' in Path('/proc/net/tcp').read_text()
