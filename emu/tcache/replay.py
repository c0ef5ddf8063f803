"""What is done for each event of a trace, in the language of the texts (docs/texts.md), compiled with the interpreter: folding loops while a trace is recorded
(emu/tcache/trace.py), replaying it in the simulator (emu/tcache/simulator.py). All arguments but numbers are host addresses.
"""
from emu.isa.language import host_load, host_store, outlined, udiv

LOOP = 1 << 30  # LOOP + (p << 20) + n: the p events before this one go on in the same order, n in all
GONE = 1 << 31  # GONE + n: entry n was dropped
PERIOD = 64  # events of the longest loop that is folded
HINTS = 20  # log2 of the places where an entry was last seen


@outlined
def fold(source, count, out, hints, start):
    """Copies events (entries' numbers, 32 bits each), loops folded; how many there are now. The first has number `start` among all that were ever folded."""
    k = 0
    o = 0
    plain = 0  # events at the end of `out` that are no loops
    while k < count:
        x = host_load(source + (k << 2), 32)
        hint = hints + ((x & 0xfffff) << 3)
        p = start + k - host_load(hint, 64)
        n = 0
        if p <= plain and p <= PERIOD:
            while k + n < count and host_load(source + ((k + n) << 2), 32) == host_load(source + ((k + n - p) << 2), 32): n = n + 1
        if n >= p + p:
            host_store(out + (o << 2), 32, LOOP + (p << 20) + n)
            plain = 0
            k = k + n
            n = p
            while n > 0:
                x = host_load(source + ((k - n) << 2), 32)
                host_store(hints + ((x & 0xfffff) << 3), 64, start + k - n)
                n = n - 1
        else:
            host_store(hint, 64, start + k)
            host_store(out + (o << 2), 32, x)
            plain = plain + 1
            k = k + 1
        o = o + 1
    return o


@outlined
def replay(uses, at, end):
    """Executes the events from `at` to `end`, as far as their entries are there: where the first lies that is not, or that says GONE. `uses` has 64 bits for each
    entry: 0: it is not there; else 1 + how often it was executed."""
    while at < end:
        x = host_load(at, 32)
        if x >= LOOP:
            if x >= GONE: return at
            p = (x >> 20) & 0x3ff
            n = x & 0xfffff
            turns = udiv(n, p)
            k = p
            while k > 0:
                place = uses + (host_load(at - (k << 2), 32) << 3)
                if host_load(place, 64) == 0: return at
                k = k - 1
            k = p
            while k > 0:
                place = uses + (host_load(at - (k << 2), 32) << 3)
                host_store(place, 64, host_load(place, 64) + turns)
                k = k - 1
        else:
            place = uses + (x << 3)
            v = host_load(place, 64)
            if v == 0: return at
            host_store(place, 64, v + 1)
        at = at + 4
    return at


@outlined
def stamp(times, at, end, now, next_times):
    """The same for policies that want to know when: `times` has 64 bits for each entry, 0: it is not there, else the number of the event that executed it last,
    of which the first is `now`; or, where `next_times` is not 0, of the event that does so next, which it has for each event, in 32 bits."""
    first = at
    while at < end:
        x = host_load(at, 32)
        if x >= GONE: return at
        if x < LOOP:
            place = times + (x << 3)
            if host_load(place, 64) == 0: return at
            t = now + ((at - first) >> 2)
            if next_times: t = host_load(next_times + (at - first), 32)
            host_store(place, 64, t)
        at = at + 4
    return at


@outlined
def next_uses(events, count, next_times, times, start):
    """For each event, from the last back, the number of the next one of its entry (all ones: none); the first has number `start`. `times` keeps, for each entry,
    the number of the first seen."""
    k = count
    while k > 0:
        k = k - 1
        x = host_load(events + (k << 2), 32)
        if x < LOOP:
            place = times + (x << 2)
            host_store(next_times + (k << 2), 32, host_load(place, 32))
            host_store(place, 32, start + k)
    return 0


TEXTS = {text.__name__: text for text in (fold, replay, stamp, next_uses)}
