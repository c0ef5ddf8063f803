"""The PC speaker: port 61h's bit 1 lets counter 2 of the 8254 through to it (IBM PC/AT Technical Reference, "Speaker Interface").

`Speaker` calls its listeners with (tick, wave) when what is heard changes, never for each edge: from this PIT clock on the cone follows `wave`, until a call with an
earlier or the same tick or a later change. `Sampler` is such a listener and makes samples of it; `Recorder` writes them to a WAV file. Left out: the speaker's own sound.
"""
import wave as wav
from typing import Any, Callable, NamedTuple

import numpy as np

from emu.errors import file_error, warn
from emu.hw.clock import Clock
from emu.hw.pit import Channel
from emu.hw.ports import PortB
from emu.ports.pit import HZ, NONE, wave

RATE = 44100  # samples a second
LOUD = 16384  # a sample of the cone pulled in; 0 is at rest
LONGEST_SILENCE = 5 * HZ  # clocks; longer ones are cut
BLOCK = 5 * RATE  # samples computed at once
MOST = (1 << 31) // 2  # samples in a file


class Wave(NamedTuple):
    """The output of a counter of this mode that was loaded with n at PIT clock `start`; n = 0: constant."""

    level: bool
    mode: int = 0
    n: int = 0
    start: int = 0

    @property
    def frequency(self) -> float:
        """In Hz; 0: no tone."""
        return HZ / self.n if self.n and self.mode in (2, 3) else 0.0

    def high(self, ticks: Any) -> Any:
        """For how many clocks before each of these the output was high, counted from some moment not after them; an array."""
        if not self.n: return ticks * int(self.level)
        e = np.maximum(ticks - self.start, 0)
        before = np.minimum(ticks - self.start, 0) * int(wave(self.mode, self.n, 0))
        if self.mode < 2: return before + np.maximum(e - self.n, 0)
        if self.mode > 3: return before + e - (e > self.n)
        up = self.n - 1 if self.mode == 2 else (self.n + 1) // 2
        return before + e // self.n * up + np.minimum(e % self.n, up)


Listener = Callable[[int, Wave], None]


def silent() -> None:
    """Nobody listens."""


class Speaker:
    """Looks at port 61h and counter 2 whenever either is written."""

    def __init__(self, clock: Clock, channel: Channel, port_b: PortB):
        self.clock, self.channel, self.port_b = clock, channel, port_b
        self.listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """From now on it is told."""
        self.listeners.append(listener)
        self.channel.heard = self.port_b.heard = self.update
        self.channel.listened = 1
        self.update()

    def ignore(self, listener: Listener) -> None:
        """It is told no more."""
        self.listeners.remove(listener)
        if self.listeners: return
        self.channel.listened = 0
        self.port_b.heard = silent

    def on_change(self, tick: int, sound: Wave) -> None:
        for listener in self.listeners: listener(tick, sound)

    def tick(self) -> int:
        """PIT clocks since time 0."""
        return self.channel.tick()

    def update(self) -> None:
        """What is heard from now on, and from when a new count is loaded."""
        c, tick = self.channel, self.tick()
        c.settle(tick)
        if not self.port_b.value & 2: return self.on_change(tick, Wave(False))
        if c.start == NONE or c.held != NONE: return self.on_change(tick, Wave(c.level()))
        self.on_change(tick, Wave(False, c.mode, c.n, c.start))
        if c.load_at != NONE:
            falling = c.mode == 3 and not wave(3, c.n, c.load_at - c.start)
            self.on_change(c.load_at, Wave(False, c.mode, c.next_n, c.load_at - (c.next_n + 1) // 2 * falling))
        return None


class Sampler:
    """Samples of 16 bits, RATE a second, from the first sound on: `put(samples, at)` gets them, `at` is the number of the first of them. Silence longer than `longest` PIT clocks
    is left out after so much of it, but counted."""

    def __init__(self, put: Callable[[Any, int], object], longest: int = LONGEST_SILENCE):
        self.put, self.longest = put, longest
        self.changes: list[tuple[int, Wave]] = [(0, Wave(False))]  # what is heard since and, maybe, what will be
        self.told = 0  # the clock of the last change
        self.begun, self.origin = False, 0  # the clock of sample 0
        self.done = 0  # samples made
        self.cut = 0  # clocks of silence left out
        self.rest = 0  # clocks high in the sample that is not complete yet

    def on_change(self, tick: int, sound: Wave) -> None:
        """Makes all up to the change before, since this one may be announced, and never come about."""
        self.record(min(tick, self.told))
        self.told = tick
        self.changes = [(at, each) for at, each in self.changes if at < tick] + [(tick, sound)]

    def record(self, until: int) -> None:
        """Makes what was heard before this clock."""
        while self.changes and self.changes[0][0] < until:
            at, sound = self.changes[0]
            end = min(until, self.changes[1][0]) if len(self.changes) > 1 else until
            self.segment(at, end, sound)
            if len(self.changes) > 1 and end == self.changes[1][0]: self.changes.pop(0)
            else: self.changes[0] = end, sound
            if end >= until: break

    def segment(self, first: int, end: int, sound: Wave) -> None:
        """One wave's part."""
        quiet = not sound.n and not sound.level
        if not self.begun:
            if quiet: return
            self.begun, self.origin = True, first
        if quiet and end - first > self.longest:
            over = end - first - self.longest
            self.origin, first, self.cut = self.origin + over, first + over, self.cut + over
        while first < end:
            stop = min(end, self.edge(self.done + BLOCK))
            last = (stop - self.origin) * RATE // HZ  # the sample that is not complete at `stop`
            edges = np.array([first, *(self.edges(self.done + 1, last)), stop], np.int64)
            high = np.diff(sound.high(edges))
            high[0] += self.rest
            self.rest = int(high[-1])
            first = stop
            if last <= self.done: continue
            at, self.done = self.done + self.cut * RATE // HZ, last
            self.put(np.minimum(high[:-1] * LOUD * RATE // HZ, LOUD).astype('<i2'), at)

    def edge(self, sample: int) -> int:
        """The clock at which a sample begins."""
        return self.origin + -(-sample * HZ // RATE)

    def edges(self, first: int, last: int) -> Any:
        """Those of several."""
        return self.origin - (-np.arange(first, last + 1, dtype=np.int64) * HZ // RATE)


class Recorder(Sampler):
    """A WAV file: 16 bits, mono, from the first sound on. An error of the host ends the recording."""

    def __init__(self, path: str):
        super().__init__(self.write)
        try:
            self.out = open(path, 'wb', buffering=0)
        except OSError as error:
            raise file_error(path, error) from None
        self.file: wav.Wave_write | None = wav.open(self.out, 'wb')
        self.file.setparams((1, 2, RATE, 0, 'NONE', 'not compressed'))
        self.path = path

    def record(self, until: int) -> None:
        if self.file: super().record(until)

    def write(self, samples: Any, at: int) -> None:
        """To the file."""
        if not self.file: return
        try:
            self.file.writeframes(samples.tobytes())
        except OSError as error:
            warn(f'{file_error(self.path, error)}; the recording has ended')
            self.end()
        if self.done >= MOST: self.end()

    def close(self, until: int = 0) -> None:
        """Writes what was heard before clock `until`, and ends the file."""
        self.record(until)
        self.end()

    def end(self) -> None:
        """Completes the file's header, as far as the host lets us."""
        file, self.file = self.file, None
        if not file: return
        try:
            file.close()
        except OSError:
            pass
        self.out.close()
