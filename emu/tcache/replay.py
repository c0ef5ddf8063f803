"""What is done for each event of a trace, in the language of the texts (docs/texts.md), compiled with the interpreter: folding loops while a trace is recorded
(emu/tcache/trace.py), replaying it in the simulator (emu/tcache/simulator.py). All arguments but numbers are host addresses.
"""
from emu.isa.language import host_load, host_store, outlined
from emu.tcache.layout import CAPACITY, COMPULSORY, COUNTDOWN, PEAK, USED, more, queue
from emu.tcache.policies import insert, take_out

LOOP = 1 << 30  # LOOP + (p << 20) + n: the p events before this one go on in the same order, n in all
GONE = 1 << 31  # GONE + n: entry n was dropped
PERIOD = 64  # events of the longest loop that is folded
ALWAYS = 2
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
def condense(source, count, out, last, start, near):
    """Copies events without loops, and of each entry no more than one execution in `near` events: what is used all the time stays in sight. How many are left.
    `last` has, for each entry, the number of the event that executed it and was copied last; the first event's is `start`."""
    k = 0
    o = 0
    while k < count:
        x = host_load(source + (k << 2), 32)
        far = 1
        if x < LOOP:
            place = last + (x << 3)
            far = start + k - host_load(place, 64) > near
            if far: host_store(place, 64, start + k)
        if far and (x < LOOP or x >= GONE):
            host_store(out + (o << 2), 32, x)
            o = o + 1
        k = k + 1
    return o


def there(words, at, end):
    """Executes condensed events from `at` to `end`, as far as their entries are there: where the first lies that is not, or that says GONE. `words` has the
    entries' countdowns, 32 bits each; 0: it is not there."""
    while at < end:
        x = host_load(at, 32)
        if x >= GONE: return at
        v = host_load(words + (x << 2), 32)
        if v == 0: return at
        host_store(words + (x << 2), 32, v - 1)
        at = at + 4
    return at


@outlined
def simulate(c, at, end, known, missed):
    """Executes condensed events from `at` to `end` under the policy of header `c`, whose record n + 1 is entry n. `known` has a byte for each entry: 1: it was executed
    before, ALWAYS: it is there, and no business of the policy's; `missed` has 64 bits for each, where its capacity misses are counted."""
    words = host_load(c + COUNTDOWN, 64) + 4
    at = there(words, at, end)
    while at < end:
        x = host_load(at, 32)
        if x >= GONE:
            x = x - GONE
            if host_load(words + (x << 2), 32) and host_load(known + x, 8) != ALWAYS:
                take_out(c, x + 1)
                host_store(words + (x << 2), 32, 0)
            at = at + 4
        else:
            if host_load(known + x, 8):
                more(c, CAPACITY, 1)
                more(missed, x << 3, 1)
            else: more(c, COMPULSORY, 1)
            host_store(known + x, 8, 1)
            if insert(c, x + 1) == 0: at = at + 4  # larger than all there is
            used = host_load(queue(c, 0) + USED, 64)
            if used > host_load(c + PEAK, 64): host_store(c + PEAK, 64, used)
        at = there(words, at, end)
    return 0


@outlined
def next_uses(events, count, next_times, times):
    """For each condensed event the number of the next one of its entry (all ones: none). `times` has 32 bits for each entry, all ones."""
    k = count
    while k > 0:
        k = k - 1
        x = host_load(events + (k << 2), 32)
        if x < GONE:
            place = times + (x << 2)
            host_store(next_times + (k << 2), 32, host_load(place, 32))
            host_store(place, 32, k)
    return 0


TEXTS = {text.__name__: text for text in (fold, condense, simulate, next_uses)}
