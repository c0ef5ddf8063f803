"""emu/server/loop.py: callbacks for files that are ready, and waits that end when they should."""
import os
import socket
import threading
import time
from typing import Iterator

import pytest

from emu.machine import Machine
from emu.options import Drive, Options
from emu.server.loop import ENDING, Loop, signals
from tests.bios_machine import disk


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    made = socket.socketpair()
    yield made
    for end in made: end.close()


def test_reads_and_writes(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """Each callback for its own event, again and again, until it is taken away."""
    here, there = pair
    seen: list[str] = []
    loop.watch(here.fileno(), lambda: seen.append('read'), lambda: seen.append('write'))
    assert loop.poll() and seen == ['write']
    there.sendall(b'x')
    assert loop.poll() and seen == ['write', 'read', 'write']
    loop.watch(here.fileno(), lambda: seen.append('only read'))
    assert loop.poll() and loop.poll() and seen[3:] == ['only read'] * 2
    loop.watch(here.fileno())
    loop.watch(here.fileno())
    assert not loop.poll() and len(seen) == 5


def test_callback_ends_another(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """Both were ready, but what the first one ended is not called any more."""
    seen: list[int] = []

    def only(mine: int, other: int) -> None:
        seen.append(mine)
        loop.watch(other)
    numbers = [end.fileno() for end in pair]
    for end in pair: end.sendall(b'x')
    for mine, other in (numbers, numbers[::-1]): loop.watch(mine, lambda mine=mine, other=other: only(mine, other))
    loop.poll()
    assert len(seen) == 1


def test_regular_file_is_always_ready(loop: Loop, tmp_path: os.PathLike[str]) -> None:
    """`emu run < file`, which epoll would refuse."""
    with open(f'{tmp_path}/f', 'w+') as file:
        loop.watch(file.fileno(), lambda: None)
        assert loop.poll(10)
        loop.watch(file.fileno())


def test_waits_are_exact(loop: Loop) -> None:
    """Not rounded to milliseconds: a guest's timer may be due in 200 microseconds."""
    waits = []
    for _ in range(100):
        start = time.monotonic()
        assert not loop.poll(0.0002)
        waits.append(time.monotonic() - start)
    assert min(waits) < 0.0009


def test_wake_and_quit_from_another_thread(loop: Loop) -> None:
    for ask in (loop.wake, loop.ask_to_quit):
        threading.Timer(0.05, ask).start()
        start = time.monotonic()
        assert loop.poll(10) and time.monotonic() - start < 5
    assert loop.quit
    for _ in range(100_000): loop.wake()  # more than a pipe holds
    loop.poll(0)


@pytest.mark.parametrize('number', ENDING)
def test_signal_wakes_the_wait_at_once(loop: Loop, number: int) -> None:
    undo = signals(loop)
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
    start = time.monotonic()
    loop.poll(10)
    assert loop.quit and time.monotonic() - start < 5
    undo()


def test_too_many_descriptors(loop: Loop) -> None:
    with pytest.raises(OSError, match='too many open files'):
        loop.watch(1024, lambda: None)


def test_alarms_ring_in_their_order_and_end_the_wait(loop: Loop) -> None:
    rung: list[str] = []
    loop.after(0.06, lambda: rung.append('second'))
    loop.after(0.03, lambda: rung.append('first'))
    loop.after(0.01, lambda: rung.append('never')).cancel()
    loop.after(3600, lambda: rung.append('not today'))
    start = time.monotonic()
    while len(rung) < 2: loop.poll(10)
    assert rung == ['first', 'second'] and 0.06 <= time.monotonic() - start < 5


def test_an_alarm_set_by_an_alarm_waits_for_the_next_look(loop: Loop) -> None:
    """Or one that always sets another would never let the guest run again."""
    count = []

    def again() -> None:
        count.append(1)
        loop.after(0, again)
    again()
    assert loop.poll() and len(count) == 2


def test_a_halted_cpu_catches_up_by_and_by(tmp_path):
    """Where guest time has fallen 5 s behind in a busy time, a program that then waits 0.2 s waits a tenth of a second at least, not no time at all (docs/time.md)."""
    loop = Loop()
    machine = Machine(Options(serial=(), bios='own', engine='interpreter', drives=(Drive(disk(tmp_path / 'disk', 'sti; l1: hlt; jmp l1')),)), loop, [])
    try:
        while not machine.cpu.state.halted: machine.step()
        machine.cpu.state.epoch -= 5_000_000_000
        start, guest = time.monotonic(), machine.now()
        while machine.now() < guest + 200_000_000: machine.step()
        assert time.monotonic() - start > 0.09
    finally:
        machine.cpu.close()
        loop.close()
        for drive in machine.drives.values(): drive.image and drive.image.close()
