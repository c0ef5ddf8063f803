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
from emu.tcache import layout
from emu.tcache.header import Header
from emu.tcache.policies import rounded
from emu.tcache.replay import ALWAYS, GONE
from emu.tcache.trace import Trace

LIMITS = ('LRU', 'optimum')
BATCH = 32
FOREVER = 1 << 30  # executions that are counted
RECORD_WORDS = 1 << layout.RECORD_BITS - 2


class Result(NamedTuple):
    """What one policy at one size did with a trace."""

    policy: str
    size: int  # bytes
    compulsory: int
    capacity: int
    seconds: float  # to make what was missing because of capacity
    moves: int


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
    """Which entries are of a tier, 'stencils' or 'optimised'."""
    return entries['optimised'] == (tier == 'optimised')


def load(path: Path, show: Callable[[int], object] = abs) -> Condensed:
    """A trace from its file."""
    trace = Trace(path)
    return Condensed(path.stem, trace.entries, np.unique(trace.entries['key'], axis=0, return_inverse=True)[1].ravel().tolist(), *trace.condensed(show))


class Simulation:
    """A policy at a size. Entries that are not of `tier` are always there."""

    def __init__(self, trace: Condensed, policy: str, size: int, tier: str):
        self.trace, self.name, self.size = trace, policy, size
        self.mine = of(trace.entries, tier)
        self.known = np.where(self.mine, 0, ALWAYS).astype(np.uint8)  # 1: it was executed before
        self.missed = np.zeros(len(self.mine), np.int64)  # for want of room

    def run(self) -> Result:
        """Executes the trace."""
        header = simulated(self)
        return Result(self.name, self.size, header[layout.COMPULSORY], header[layout.CAPACITY], self.seconds(), header[layout.MOVES])

    def seconds(self) -> float:
        """To make what was missing because of capacity."""
        return float(self.missed @ self.trace.entries['cost'].astype(np.float64))


def simulated(simulation: Simulation) -> Header:
    """The header of a policy that has executed a trace."""
    entries, events = simulation.trace.entries, simulation.trace.events
    header = Header(simulation.name, simulation.size, {})
    records = np.zeros((len(entries) + 1, RECORD_WORDS), np.uint32)
    records[1:, layout.BYTES >> 2], records[1:, layout.TIER >> 2] = entries['size'], entries['optimised'] * layout.OPTIMISED
    records[1:, layout.P >> 2] = simulation.trace.keys
    countdown = np.zeros(len(records), np.uint32)
    countdown[1:] = np.where(simulation.mine, 0, FOREVER)
    header[layout.RECORDS], header[layout.COUNTDOWN], header[layout.BEGIN] = records.ctypes.data, countdown.ctypes.data, FOREVER
    end = events.ctypes.data + 4 * len(events)
    build.interpreter().function('simulate', 5)(header.address, events.ctypes.data, end, simulation.known.ctypes.data, simulation.missed.ctypes.data)
    return header


class Limit(Simulation):
    """What no cache can be: the entry with the largest time goes, by `next_times` (Belady's optimum) or the time of its last execution (LRU)."""

    def run(self) -> Result:
        events = self.trace.events
        self.next_times = self.trace.next_times() if self.name == 'optimum' else None
        self.times = np.zeros(len(self.mine), np.int64)
        self.times[~self.mine] = 1  # there, and never the largest
        self.used = self.compulsory = 0
        self.candidates: list[tuple[int, int]] = []
        self.recent: list[int] = []
        step = self.step()
        n, count = 0, len(events)
        while (n := step(n)) < count:
            x = int(events[n])
            if x >= GONE:
                self.gone(x - GONE)
                n += 1
            else: self.enter(x)
        return Result(self.name, self.size, self.compulsory, int(self.missed.sum()), self.seconds(), 0)

    def step(self) -> Callable[[int], int]:
        """What executes events from one on, and tells which needs something done."""
        stamp, times, base = build.interpreter().function('stamp', 5), self.times.ctypes.data, self.trace.events.ctypes.data
        end, known = base + 4 * len(self.trace.events), self.next_times.ctypes.data if self.next_times is not None else 0
        return lambda n: (stamp(times, base + 4 * n, end, n, known + 4 * n if known else 0) - base) >> 2

    def enter(self, x: int) -> None:
        """An entry has to be made."""
        if self.known[x]: self.missed[x] += 1
        else: self.compulsory += 1
        self.known[x] = 1
        size = self.rounded(x)
        while self.used + size > self.size: self.evict()
        self.used += size
        self.times[x] = 1  # until it is executed, at once
        self.recent.append(x)

    def rounded(self, x: int) -> int:
        """The bytes that an entry takes."""
        return rounded(int(self.trace.entries['size'][x]))

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
        self.used -= self.rounded(best[1])
        times[best[1]] = 0

    def gone(self, x: int) -> None:
        """The entry is dropped, not for want of room."""
        if self.times[x] and self.mine[x]:
            self.times[x] = 0
            self.used -= self.rounded(x)


def footprint(trace: Condensed, tier: str = 'stencils') -> int:
    """Bytes that a cache without bounds holds at most: what is gone is taken out."""
    return simulated(Simulation(trace, 'fifo', sum(map(rounded, trace.entries['size'].tolist())), tier))[layout.PEAK]


def simulate(trace: Condensed, policy: str, size: int, tier: str = 'stencils') -> Result:
    """What a policy, or one of LIMITS, makes of a trace."""
    return (Limit if policy in LIMITS else Simulation)(trace, policy, size, tier).run()
