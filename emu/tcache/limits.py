"""What no cache can be, for the simulator (emu/tcache/simulator.py): Belady's optimum, and LRU by the time of each execution. In the language of the texts
(docs/texts.md), compiled with the interpreter. All arguments but numbers are host addresses.

Each entry that is there has a number of its own, its mark: larger for what is executed later (optimum) or was executed earlier (LRU). The largest goes. Marks are the bits
of a tree: a bit of its first level for each number there can be, one of the next for each 64 bits of the level below that are not all clear, and so on to one word.
"""
from emu.isa.language import highest, host_load, host_store, outlined
from emu.tcache.replay import ALWAYS, GONE

DEPTH = 5  # levels of the tree: 2**30 numbers
NEVER = (1 << 32) - 1  # executed again


def mark(levels, t):
    """Sets number t in the tree whose levels' addresses are at `levels`."""
    level = 0
    while level < DEPTH:
        word = host_load(levels + (level << 3), 64) + (t >> 6 << 3)
        before = host_load(word, 64)
        host_store(word, 64, before | 1 << (t & 63))
        t = t >> 6
        level = level + 1 if before == 0 else DEPTH


def unmark(levels, t):
    """Clears it."""
    level = 0
    while level < DEPTH:
        word = host_load(levels + (level << 3), 64) + (t >> 6 << 3)
        now = host_load(word, 64) & ~(1 << (t & 63))
        host_store(word, 64, now)
        t = t >> 6
        level = level + 1 if now == 0 else DEPTH


def largest(levels):
    """The largest number that is set; there is one."""
    t = 0
    level = DEPTH
    while level > 0:
        level = level - 1
        t = (t << 6) + highest(host_load(host_load(levels + (level << 3), 64) + (t << 3), 64))
    return t


@outlined
def limit(events, count, sizes, room, marks, levels, next_times, known, missed):
    """Executes `count` condensed events with `room` bytes for entries, which have `sizes`. `next_times` has for each event the number of the one that executes its entry next
    (NEVER: none); 0: LRU. `known` and `missed` are those of the policies; `marks` has 64 bits for each entry, 0: not there, else its mark and 1."""
    k = 0
    used = 0
    while k < count:
        x = host_load(events + (k << 2), 32)
        if x >= GONE:
            x = x - GONE
            now = host_load(marks + (x << 3), 64)
            if now:
                unmark(levels, now - 1)
                host_store(marks + (x << 3), 64, 0)
                used = used - host_load(sizes + (x << 2), 32)
        elif host_load(known + x, 8) != ALWAYS:
            size = host_load(sizes + (x << 2), 32)
            now = host_load(marks + (x << 3), 64)
            if now: unmark(levels, now - 1)
            else:
                if host_load(known + x, 8): host_store(missed + (x << 3), 64, host_load(missed + (x << 3), 64) + 1)
                host_store(known + x, 8, 1)
                while used + size > room and used:
                    t = largest(levels)
                    n = t - count  # one that is never executed again
                    if next_times == 0: n = host_load(events + (count - 1 - t << 2), 32)
                    elif t < count: n = host_load(events + (t << 2), 32)
                    unmark(levels, t)
                    host_store(marks + (n << 3), 64, 0)
                    used = used - host_load(sizes + (n << 2), 32)
            if used + size <= room or now:
                t = count - 1 - k
                if next_times:
                    t = host_load(next_times + (k << 2), 32)
                    if t == NEVER: t = count + x
                mark(levels, t)
                host_store(marks + (x << 3), 64, t + 1)
                if now == 0: used = used + size
        k = k + 1
    return used


TEXTS = {'limit': limit}
