"""The typist: presses keys for somebody who has more of them than a keyboard's buffer holds. All waits are in guest time.

A key goes down, or up, when the keyboard has nothing left to send and the guest has read what was sent; so no scan code is lost, however slow the guest.
"""
from collections import deque
from typing import Iterator, Sequence

from emu.hw.clock import Clock, Timer
from emu.hw.i8042 import I8042

MS = 1_000_000  # nanoseconds
GAP = 10 * MS  # between two chords
PATIENCE = 64 * MS  # longest wait between two looks at a guest that does not read
QUEUE = 65536  # chords that may wait


class Typist:
    """A chord is keys that are pressed one after the other and released in the opposite order."""

    def __init__(self, clock: Clock, i8042: I8042):
        self.clock, self.i8042 = clock, i8042
        self.queue: deque[tuple[Sequence[str], int]] = deque()
        self.timer: Timer | None = None
        self.steps: Iterator[int] = iter(())

    def add(self, chords: Sequence[Sequence[str]], hold: int) -> bool:
        """Chords of keys.py's names, each held so many ns; False, and none, where too many wait already."""
        if len(self.queue) + len(chords) > QUEUE: return False
        self.queue.extend((chord, hold) for chord in chords)
        if self.timer is None:
            self.steps = self.type()
            self.step()
        return True

    def waiting(self) -> int:
        """Chords that are not typed yet, with the one at hand."""
        return len(self.queue) + (self.timer is not None)

    def step(self) -> None:
        """Goes on until there is something to wait for."""
        wait = next(self.steps, None)
        self.timer = None if wait is None else self.clock.at(self.clock.now() + wait, self.step)

    def type(self) -> Iterator[int]:
        """Does it, and yields how long to wait."""
        while self.queue:
            keys, hold = self.queue.popleft()
            for key in keys:
                yield from self.until_read()
                self.i8042.keyboard.key(key, True)
            yield hold
            for key in reversed(keys):
                yield from self.until_read()
                self.i8042.keyboard.key(key, False)
            yield GAP

    def until_read(self) -> Iterator[int]:
        """Waits until the guest has read all; less often, the longer it takes."""
        wait = MS
        while self.i8042.keyboard.waiting() or self.i8042.full:
            yield wait
            wait = min(2 * wait, PATIENCE)
