"""Traces and the simulator: what is recorded is what was executed, folding loses nothing, and the compiled replay counts as a few lines of Python do."""
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, tuples

from emu.assembler import assemble
from emu.jit import build
from emu.tcache.policies import POLICIES, rounded
from emu.tcache.replay import GONE, HINTS, LOOP, PERIOD
from emu.tcache.simulator import LIMITS, Condensed, footprint, load, simulate
from emu.tcache.trace import ENTRY, Trace
from tests.harness import Guest
from tests.oracle.host import CODE, blank, set_code

ENTRIES = 40
# (loop's body, turns) one after the other
loops = lists(tuples(lists(integers(0, ENTRIES - 1), min_size=1, max_size=9), integers(1, 30)), max_size=30)


def unfolded(events: list[int]) -> list[int]:
    """The executions that folded events stand for."""
    out: list[int] = []
    for x in events:
        if x < LOOP: out.append(x)
        else:
            for _ in range(x & 0xfffff): out.append(out[-(x >> 20 & 0x3ff)])
    return out


@given(loops)
@settings(max_examples=200, deadline=None)
def test_folding_loses_nothing(parts: list[tuple[list[int], int]]) -> None:
    events = [x for body, turns in parts for x in body * turns]
    source, out, hints = np.array([*events, 0], np.int32), np.zeros(len(events) + 1, np.uint32), np.zeros(1 << HINTS, np.int64)
    left = build.interpreter().function('fold', 5)(source.ctypes.data, len(events), out.ctypes.data, hints.ctypes.data, PERIOD)
    assert unfolded(out[:left].tolist()) == events


def test_a_loop_is_folded() -> None:
    source, out, hints = np.array([1, 2, 3] * 100 + [0], np.int32), np.zeros(301, np.uint32), np.zeros(1 << HINTS, np.int64)
    assert build.interpreter().function('fold', 5)(source.ctypes.data, 300, out.ctypes.data, hints.ctypes.data, PERIOD) == 4
    assert out[:4].tolist() == [1, 2, 3, LOOP + (3 << 20) + 297]


def made(events: list[int]) -> Condensed:
    """A trace of entries of 16 to 96 bytes that cost a second each."""
    entries = np.zeros(ENTRIES, ENTRY)
    entries['size'], entries['cost'] = 16 + np.arange(ENTRIES) * 2, 1
    return Condensed('made', entries, list(range(ENTRIES)), np.array(events, np.uint32), len(events))


def lru(trace: Condensed, size: int) -> int:
    """Capacity misses of least recently used, said plainly."""
    there: OrderedDict[int, int] = OrderedDict()
    seen, missed = set(), 0
    for x in trace.events.tolist():
        if x >= GONE: there.pop(x - GONE, 0)
        elif x in there: there.move_to_end(x)
        else:
            missed += x in seen
            seen.add(x)
            need = rounded(int(trace.entries['size'][x]))
            while sum(there.values()) + need > size: there.popitem(last=False)
            there[x] = need
    return missed


@given(lists(integers(0, ENTRIES - 1), min_size=1, max_size=300), integers(300, 2000))
@settings(max_examples=100, deadline=None)
def test_least_recently_used(events: list[int], size: int) -> None:
    trace = made(events)
    assert simulate(trace, 'LRU', size).capacity == lru(trace, size)


def farthest(trace: Condensed, size: int) -> int:
    """Capacity misses of who drops what is executed farthest in the future, until there is room, said plainly; never again: the entry of the highest number first."""
    events, there, seen, missed = trace.events.tolist(), dict[int, int](), set[int](), 0

    def next_time(x: int, n: int) -> int:
        return next((k for k in range(n + 1, len(events)) if events[k] == x), len(events) + x)
    for n, x in enumerate(events):
        if x >= GONE: there.pop(x - GONE, 0)
        elif x not in there:
            missed += x in seen
            seen.add(x)
            need = rounded(int(trace.entries['size'][x]))
            while sum(there.values()) + need > size: there.pop(max(there, key=lambda y: next_time(y, n)))
            there[x] = need
    return missed


@given(lists(integers(0, ENTRIES - 1) | integers(GONE, GONE + ENTRIES - 1), min_size=1, max_size=200), integers(300, 2000))
@settings(max_examples=100, deadline=None)
def test_the_optimum_drops_what_is_executed_farthest_in_the_future(events: list[int], size: int) -> None:
    trace = made(events)
    assert simulate(trace, 'optimum', size).capacity == farthest(trace, size)


def test_what_is_used_all_the_time_stays_in_sight() -> None:
    """Of an entry that is executed at every other event, one execution in `near` events is left."""
    events = np.array([0, 1, 0, 2] * 100, np.uint32)
    out, last = np.zeros(len(events), np.uint32), np.full(3, -1 << 40, np.int64)
    left = build.interpreter().function('condense', 6)(events.ctypes.data, len(events), out.ctypes.data, last.ctypes.data, 0, 100)
    assert Counter(out[:left].tolist()) == {0: 4, 1: 4, 2: 4}


@given(lists(integers(0, ENTRIES - 1) | integers(GONE, GONE + ENTRIES - 1), max_size=300), integers(300, 2000))
@settings(max_examples=50, deadline=None)
def test_with_room_for_all_only_first_executions_miss(events: list[int], size: int) -> None:
    """And with less, there are as many first executions; what is gone does not come back in a trace."""
    gone: set[int] = set()
    alive = []
    for x in events:
        if (x & GONE - 1) not in gone: alive.append(x)
        if x >= GONE: gone.add(x - GONE)
    trace = made(alive)
    first = len({x for x in alive if x < GONE})
    for policy in (*POLICIES, *LIMITS):
        assert simulate(trace, policy, 1 << 16)[2:4] == (first, 0)
        assert simulate(trace, policy, size).compulsory == first
    assert footprint(trace) <= sum(rounded(16 + 2 * n) for n in range(ENTRIES))


def test_the_optimum_knows_what_comes() -> None:
    """A loop larger than the cache: who drops the oldest misses always; the optimum keeps what fits."""
    trace = made([x for _ in range(50) for x in range(8)])
    room = sum(rounded(16 + 2 * n) for n in range(8)) - 32
    assert simulate(trace, 'LRU', room).capacity == simulate(trace, 'fifo', room).capacity == 8 * 49
    assert simulate(trace, 'optimum', room).capacity <= 2 * 49


@pytest.mark.parametrize('engine', ['stencils', 'optimise'])
def test_a_guest_is_recorded(engine: str, tmp_path: Path) -> None:
    """Each execution of a translation, those along links included; the registers are the same as without."""
    g = Guest(engine)
    g.user_mode()
    g.cpu.record(tmp_path / 't')
    case = blank(1)
    set_code(case[0], assemble('mov ecx, 500\nagain: dec ecx\njz out\njmp again\nout: int3', 32, CODE))
    case['eip'] = case['code_at'] = CODE
    done = g.run(case)
    g.cpu.record(None)
    assert done['reg'][0][1] == 0
    trace = load(tmp_path / 't')
    assert not set(Trace(tmp_path / 't').entries['optimised']) ^ {engine == 'optimise'}
    if engine == 'stencils': assert (trace.executions, len(trace.entries)) == (1 + 2 * 499, 3)  # the first round belongs to the block before
    again = g.run(case)  # the recorder is off
    assert again['reg'][0][1] == 0
