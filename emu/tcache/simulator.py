"""The simulator: what a recorded run (emu/tcache/trace.py) would have missed under each policy at each size. The policies are the cache's own.

A miss is an execution of an entry that is not there: *compulsory* the first time, else *capacity*. It costs what making the entry took in the recorded run. An
entry is in at once, where the live cache waits until it is hot again. Two limits that no cache has: `LRU` by the time of each execution, and `optimum`, Belady's:
the entry whose next execution is farthest goes until there is room. That is optimal for entries of one size only, and among the entries that were there at
the last of BATCH evictions and those that came since; both have no gaps between entries.
"""
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from emu.jit import build
from emu.tcache.policies import OPTIMISED, POLICIES, Entry, rounded
from emu.tcache.replay import GONE
from emu.tcache.trace import Trace

LIMITS = ('LRU', 'optimum')
BATCH = 32


class Result(NamedTuple):
    """What one policy at one size did with a trace."""

    policy: str
    size: int  # bytes
    compulsory: int
    capacity: int
    seconds: float  # to make what was missing because of capacity
    moves: int


class Row:
    """An entry of the trace, as policies see it."""

    __slots__ = ('number', 'size', 'cost', 'tier', 'key', 'place', 'ring', 'age')

    def __init__(self, number: int, size: int, cost: float, tier: str, key: int):
        self.number, self.size, self.cost, self.tier, self.key = number, size, cost, tier, key


class Condensed(NamedTuple):
    """A trace ready to be simulated: `condense` (emu/tcache/replay.py) has left out what every cache has."""

    name: str
    entries: np.ndarray  # of trace.ENTRY
    keys: list[int]  # by entry: equal for translations of the same block
    events: np.ndarray
    executions: int  # how many there were before

    def next_times(self) -> np.ndarray:
        """For each event, the number of the one that executes its entry next."""
        found, times = np.full(len(self.events), 0xffffffff, np.uint32), np.full(len(self.entries), 0xffffffff, np.uint32)
        build.interpreter().function('next_uses', 4)(self.events.ctypes.data, len(self.events), found.ctypes.data, times.ctypes.data)
        return found


def of(entries: np.ndarray, tier: str) -> np.ndarray:
    """Which entries are of a tier."""
    return entries['optimised'] == (tier == OPTIMISED)


def load(path: Path, show: Callable[[int], object] = abs) -> Condensed:
    """A trace from its file."""
    trace = Trace(path)
    return Condensed(path.stem, trace.entries, np.unique(trace.entries['key'], axis=0, return_inverse=True)[1].ravel().tolist(), *trace.condensed(show))


class Simulation:
    """A policy at a size. Entries that are not of `tier` are always there."""

    def __init__(self, trace: Condensed, policy: str, size: int, tier: str):
        self.trace, self.name, self.size = trace, policy, size
        self.mine = of(trace.entries, tier)
        self.rows = [Row(n, size, cost, tier, key) for n, (size, cost, key) in enumerate(zip(trace.entries['size'].tolist(), trace.entries['cost'].tolist(), trace.keys))]
        self.seen = np.zeros(len(self.rows), np.uint8)
        self.compulsory = self.capacity = self.moves = 0
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        self.array = np.where(self.mine, 0, 1).astype(np.int64)
        self.words = memoryview(self.array.data)  # 0: not there; else 1 + uses
        self.policy = POLICIES[self.name](self.size, self.uses, self.moved, self.dropped)

    def uses(self, entry: Entry) -> int:
        found, self.words[entry.number] = self.words[entry.number] - 1, 1
        return found

    def moved(self, entry: Entry, old: int) -> None:
        self.moves += 1

    def dropped(self, entry: Entry) -> None:
        self.words[entry.number] = 0

    def run(self) -> Result:
        """Executes the trace."""
        events, step = self.trace.events, self.step()
        n, count = 0, len(events)
        while (n := step(n)) < count:
            x = int(events[n])
            if x >= GONE:
                self.gone(x - GONE)
                n += 1
            elif not self.miss(x): n += 1
        return Result(self.name, self.size, self.compulsory, self.capacity, self.seconds, self.moves)

    def step(self) -> Callable[[int], int]:
        """What executes events from one on, and tells which needs something done."""
        replay, words, base = build.interpreter().function('replay', 3), self.array.ctypes.data, self.trace.events.ctypes.data
        end = base + 4 * len(self.trace.events)
        return lambda n: (replay(words, base + 4 * n, end) - base) >> 2

    def miss(self, x: int) -> bool:
        """An entry has to be made; whether there was room for it."""
        row = self.rows[x]
        if self.seen[x]:
            self.capacity += 1
            self.seconds += row.cost
        else: self.compulsory += 1
        self.seen[x] = 1
        return self.enter(row)

    def enter(self, row: Row) -> bool:
        there = self.policy.insert(row)
        self.words[row.number] = there
        return there

    def gone(self, x: int) -> None:
        """The entry is dropped, not for want of room."""
        if self.words[x] and self.mine[x]:
            self.words[x] = 0
            self.policy.remove(self.rows[x])


class Limit(Simulation):
    """What no cache can be: the entry with the largest time goes, by `next_times` (Belady's optimum) or the time of its last execution (LRU)."""

    def start(self) -> None:
        self.next_times = self.trace.next_times() if self.name == 'optimum' else None
        self.times = np.zeros(len(self.rows), np.int64)
        self.times[~self.mine] = 1  # there, and never the largest
        self.used = 0
        self.candidates: list[tuple[int, int]] = []
        self.recent: list[int] = []

    def step(self) -> Callable[[int], int]:
        stamp, times, base = build.interpreter().function('stamp', 5), self.times.ctypes.data, self.trace.events.ctypes.data
        end, known = base + 4 * len(self.trace.events), self.next_times.ctypes.data if self.next_times is not None else 0
        return lambda n: (stamp(times, base + 4 * n, end, n, known + 4 * n if known else 0) - base) >> 2

    def enter(self, row: Row) -> bool:
        size = rounded(row.size)
        while self.used + size > self.size: self.evict()
        self.used += size
        self.times[row.number] = 1  # until it is executed, at once
        self.recent.append(row.number)
        return True

    def evict(self) -> None:
        """Drops the entry with the largest time."""
        times = self.times
        while self.candidates and times[self.candidates[-1][1]] != self.candidates[-1][0]: self.candidates.pop()
        if not self.candidates:
            top = np.argpartition(times, len(times) - BATCH)[-BATCH:] if len(times) > BATCH else np.arange(len(times))
            self.candidates = sorted((int(times[n]), int(n)) for n in top if times[n] > 1)
            self.recent.clear()
        best = max(((int(times[n]), n) for n in self.recent), default=(0, 0)) if self.next_times is not None else (0, 0)
        if self.candidates and self.candidates[-1] >= best: best = self.candidates.pop()
        self.used -= rounded(self.rows[best[1]].size)
        times[best[1]] = 0

    def gone(self, x: int) -> None:
        if self.times[x] and self.mine[x]:
            self.times[x] = 0
            self.used -= rounded(self.rows[x].size)


class Unbounded(Simulation):
    """A cache with room for everything: how much of it is used at most."""

    peak = 0

    def enter(self, row: Row) -> bool:
        there = super().enter(row)
        self.peak = max(self.peak, self.policy.rings[0].used)
        return there


def footprint(trace: Condensed, tier: str = 'stencils') -> int:
    """Bytes that a cache without bounds holds at most: what is gone is taken out."""
    everything = Unbounded(trace, 'fifo', sum(rounded(size) for size in trace.entries['size'].tolist()), tier)
    everything.run()
    return everything.peak


def simulate(trace: Condensed, policy: str, size: int, tier: str = 'stencils') -> Result:
    """What a policy, or one of LIMITS, makes of a trace."""
    return (Limit if policy in LIMITS else Simulation)(trace, policy, size, tier).run()
