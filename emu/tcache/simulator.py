"""The simulator: what a recorded run (emu/tcache/trace.py) would have missed under each policy at each size. The policies are the cache's own.

A miss is an execution of an entry that is not there: *compulsory* the first time, else *capacity*. It costs what making the entry took in the recorded run. An
entry is in at once, where the live cache waits until it is hot again. Two limits that no cache has (emu/tcache/limits.py): `LRU` by the time of each execution, and
`optimum`, Belady's: the entry whose next execution is farthest goes until there is room. That is optimal for entries of one size only. Both have no gaps between entries.
"""
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from emu.jit import build
from emu.tcache import layout, limits
from emu.tcache.header import Header
from emu.tcache.policies import GRAIN, SHARES, rounded
from emu.tcache.replay import ALWAYS
from emu.tcache.trace import Trace

LIMITS = ('LRU', 'optimum')
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
    """A policy at a size. Entries that are not of `tier` are always there; where none goes to nursery or survivors, these have no room that would lie idle."""

    def __init__(self, trace: Condensed, policy: str, size: int, tier: str):
        self.trace, self.name, self.size = trace, policy, size
        self.sizes = dict.fromkeys(SHARES, 0) if tier == 'optimised' else {}
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
    header = Header(simulation.name, simulation.size, simulation.sizes)
    records = np.zeros((len(entries) + 1, RECORD_WORDS), np.uint32)
    records[1:, layout.BYTES >> 2], records[1:, layout.TIER >> 2] = entries['size'], entries['optimised'] * layout.OPTIMISED
    records[1:, layout.P >> 2] = simulation.trace.keys
    countdown = np.zeros(len(records), np.uint32)
    countdown[1:] = np.where(simulation.mine, 0, FOREVER)
    header[layout.RECORDS], header[layout.COUNTDOWN], header[layout.BEGIN] = records.ctypes.data, countdown.ctypes.data, FOREVER
    end = events.ctypes.data + 4 * len(events)
    build.interpreter().function('simulate', 5)(header.address, events.ctypes.data, end, simulation.known.ctypes.data, simulation.missed.ctypes.data)
    return header


def limit(trace: Condensed, name: str, size: int, tier: str) -> Result:
    """The same for one of LIMITS."""
    count, entries, mine = len(trace.events), trace.entries, of(trace.entries, tier)
    sizes = (entries['size'] + GRAIN - 1) // GRAIN * GRAIN
    known, missed, marks = np.where(mine, 0, ALWAYS).astype(np.uint8), np.zeros(len(entries), np.int64), np.zeros(len(entries), np.int64)
    numbers = [count + len(entries)]
    while len(numbers) < limits.DEPTH + 1: numbers.append(-(-numbers[-1] // 64))
    levels = [np.zeros(n, np.int64) for n in numbers[1:]]
    places = np.array([level.ctypes.data for level in levels], np.int64)
    next_times = trace.next_times() if name == 'optimum' else None
    build.interpreter().function('limit', 9)(trace.events.ctypes.data, count, sizes.ctypes.data, size, marks.ctypes.data, places.ctypes.data,
                                             next_times.ctypes.data if next_times is not None else 0, known.ctypes.data, missed.ctypes.data)
    return Result(name, size, int(np.count_nonzero(known == 1)), int(missed.sum()), float(missed @ entries['cost'].astype(np.float64)), 0)


def footprint(trace: Condensed, tier: str = 'stencils') -> int:
    """Bytes that a cache without bounds holds at most: what is gone is taken out."""
    return simulated(Simulation(trace, 'fifo', sum(map(rounded, trace.entries['size'].tolist())), tier))[layout.PEAK]


def simulate(trace: Condensed, policy: str, size: int, tier: str = 'stencils') -> Result:
    """What a policy, or one of LIMITS, makes of a trace."""
    return limit(trace, policy, size, tier) if policy in LIMITS else Simulation(trace, policy, size, tier).run()
