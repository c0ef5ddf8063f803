"""Policies: which translations stay when code memory is full, and where each lies; in the language of the texts, compiled with the interpreter. They know sizes,
tiers and uses; bytes and links are the cache's (emu/tcache/links.py), or there are none (the simulator, emu/tcache/simulator.py): both run what is here.

Memory is cut into rings. New entries go in at one place (NOW), which moves through the ring again and again; what it meets there is the oldest, and gives way: it
is dropped, goes on to the next ring, or stays; then it is slid back over the gap before it, unless that is small. So holes are few, whatever stays.
Sizes are bytes, rounded up to GRAIN. `lru` is CLOCK: an entry used since NOW last passed it stays.
"""
from typing import Mapping

from emu.isa.language import host_load, host_store, outlined, udiv
from emu.tcache.layout import *
from emu.tcache.links import forget, moved, note, past, print_of

POLICIES = ('flush', 'fifo', 'fifo-medium', 'lru', 'adaptive', 'generational')
LRU, ADAPTIVE, GENERATIONAL = (POLICIES.index(name) for name in ('lru', 'adaptive', 'generational'))
PIECES = {'flush': 1, 'fifo-medium': 8}  # a ring gives way in so many pieces, each as a whole; others: entry by entry
GRAIN = 16  # bytes: where code begins is a multiple
LARGE = 1 << 15  # bytes: a ring is not smaller, if it can be helped, so that each entry fits
FEW = 64  # dropped entries that are remembered at least
GOES, TOO_LARGE, NO_ROOM = -1, -1, -2

# of `adaptive`: the ring begins with such a part of the size, and doubles when of so many dropped entries so many come back (DynamoRIO's adaptive sizing)
FIRST_PART, OF_REPLACED, COME_BACK = 16, 50, 10
# of `generational`: what nursery and survivors have of the size; the tenured have the rest
SHARES = {'nursery': 0.1, 'survivors': 0.2}
GAIN, MOST, EXPENSIVE = 2, 4, 4  # rounds that an entry used may stay, up to how many; EXPENSIVE: so many times longer
RETURNS, ROOM = 4, 8


def cut(policy: str, size: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """What a policy cuts memory of `size` bytes into, by name; `sizes` of rings that are not to have their usual share."""
    if policy == 'adaptive': return {'all': max(size // FIRST_PART, min(size, LARGE))}
    if policy != 'generational': return {'all': size}
    young = {name: sizes.get(name, int(size * share)) // GRAIN * GRAIN for name, share in SHARES.items()}
    return {**young, 'tenured': size - sum(young.values())}


def rounded(size):
    """Bytes that code of this size takes."""
    return (size + 15) & -16


def uses(c, n):
    """How often an entry was executed since this was last asked: what it has taken off its countdown."""
    r = record(c, n)
    left = host_load(host_load(c + COUNTDOWN, 64) + (n << 2), 32)
    used = (host_load(r + COUNTED, 32) - left) & 0xffffffff
    host_store(r + COUNTED, 32, left)
    return used


# --- what was dropped comes back ----------------------------------------------------------------------------------------------------------

def returns(c, r):
    """Whether an entry's block was dropped lately for want of room: no more drops ago than there are entries. It is forgotten then."""
    e = past(c, r)
    when = host_load(e + 4, 32)
    if when == 0 or host_load(e, 32) != print_of(r): return 0
    host_store(e + 4, 32, 0)
    near = host_load(queue(c, 0) + COUNT, 64) + host_load(queue(c, 1) + COUNT, 64) + host_load(queue(c, 2) + COUNT, 64)
    if near < FEW: near = FEW
    return (host_load(c + DROPS, 64) - when) & 0xffffffff < near


def remember(c, r):
    note(c, r, more(c, DROPS, 1))
    return GOES


# --- the policies: where a new entry goes, and what becomes of the oldest of a ring, whose place is needed ------------------------------

def first(c, r):
    """The number of the ring where a new entry goes."""
    policy = host_load(c + POLICY, 64)
    if policy == ADAPTIVE: return grow(c, r)
    if policy == GENERATIONAL: return generation(c, r)
    return 0


def oldest(c, r, k, used):
    """The same ring (it stays), the next, or GOES (it is dropped); `used`: how often it was executed since this was last asked."""
    policy = host_load(c + POLICY, 64)
    if policy == GENERATIONAL: return goes_on(c, r, k, used)
    if policy == LRU and used: return k
    if policy == ADAPTIVE:
        more(c, REPLACED, 1)
        return remember(c, r)
    return GOES


def grow(c, r):
    """`adaptive`: the ring doubles, or not yet."""
    q = queue(c, 0)
    more(c, REGENERATED, returns(c, r))
    if host_load(c + REPLACED, 64) >= OF_REPLACED:
        if host_load(c + REGENERATED, 64) >= COME_BACK:
            size = host_load(q + SIZE, 64) << 1
            if size > host_load(c + TOTAL, 64): size = host_load(c + TOTAL, 64)
            host_store(q + SIZE, 64, size)
        host_store(c + REPLACED, 64, 0)
        host_store(c + REGENERATED, 64, 0)
    return 0


def generation(c, r):
    """`generational`: new entries go to the nursery; while one part in ROOM of the tenured's place is free, at first or because code was invalidated, they go there.
    What is expensive is tenured at once, and stays longer. Of what comes back soon after it was dropped, one in RETURNS is tenured at once: so a loop larger than nursery
    and survivors gets in, bit by bit, and one larger than everything does not wash the tenured out."""
    tenured = queue(c, 2)
    if ROOM * host_load(tenured + USED, 64) <= (ROOM - 1) * host_load(tenured + SIZE, 64): host_store(c + FULL, 64, 0)
    if host_load(r + TIER, 32) == OPTIMISED: host_store(r + AGE, 32, MOST * EXPENSIVE)
    elif host_load(c + FULL, 64):
        if more(c, RETURNED, returns(c, r)) < RETURNS: return 0
        host_store(c + RETURNED, 64, 0)
    return 2


def goes_on(c, r, k, used):
    """`generational`: those used in the nursery go on to the survivors, and those used there too are tenured. Of the tenured, those stay that are used: each time
    that one is found used, it may stay GAIN rounds more, up to MOST."""
    if k == 2:
        host_store(c + FULL, 64, 1)
        longer = EXPENSIVE if host_load(r + TIER, 32) == OPTIMISED else 1
        age = host_load(r + AGE, 32)
        if used:
            age = age + GAIN * longer
            if age > MOST * longer: age = MOST * longer
        if age:
            host_store(r + AGE, 32, age - 1)
            return 2
    elif used: return k + 1
    return remember(c, r)


# --- how: rings -------------------------------------------------------------------------------------------------------------------------

def join(c, n, k):
    """An entry becomes the newest of ring k."""
    q = queue(c, k)
    r = record(c, n)
    last = host_load(q + NEWEST, 64)
    host_store(r + RING, 32, k)
    host_store(r + OLDER, 32, last)
    host_store(r + NEWER, 32, 0)
    if last: host_store(record(c, last) + NEWER, 32, n)
    else: host_store(q + OLDEST, 64, n)
    host_store(q + NEWEST, 64, n)
    more(q, COUNT, 1)
    more(q, USED, rounded(host_load(r + BYTES, 32)))


@outlined
def take_out(c, n):
    """An entry leaves its ring."""
    r = record(c, n)
    q = queue(c, host_load(r + RING, 32))
    older = host_load(r + OLDER, 32)
    newer = host_load(r + NEWER, 32)
    if older: host_store(record(c, older) + NEWER, 32, newer)
    else: host_store(q + OLDEST, 64, newer)
    if newer: host_store(record(c, newer) + OLDER, 32, older)
    else: host_store(q + NEWEST, 64, older)
    more(q, COUNT, -1)
    more(q, USED, -rounded(host_load(r + BYTES, 32)))


@outlined
def insert(c, n):
    """Gives a new entry a place; 0: it is too large."""
    r = record(c, n)
    host_store(r + AGE, 32, 0)
    k = first(c, r)
    if host_load(queue(c, k) + SIZE, 64) < host_load(r + BYTES, 32): k = host_load(c + LAST, 64)
    if put(c, n, k) == 0: return 0
    left = host_load(c + BEGIN, 64)
    host_store(host_load(c + COUNTDOWN, 64) + (n << 2), 32, left)
    host_store(r + COUNTED, 32, left)
    return 1


def put(c, n, begin):
    """Gives an entry a place in a ring, whatever has to give way; 0: it is too large. What goes on to the next ring is given its place there before, and so on."""
    host_store(c + WAITING + (begin << 3), 64, n)
    k = begin
    while k >= begin:
        q = queue(c, k)
        n = host_load(c + WAITING + (k << 3), 64)
        r = record(c, n)
        at = room(c, q, rounded(host_load(r + BYTES, 32)))
        if at >= 0:
            old = host_load(r + PLACE, 32)
            settle(c, n, k, at)
            if k > begin: moved(c, n, old)
            k = k - 1
        elif at == NO_ROOM:
            n = give_way(c, q, k)
            if n:
                k = k + 1
                host_store(c + WAITING + (k << 3), 64, n)
        elif k == begin: return 0
        else:
            forget(c, n, DROPPED)
            k = k - 1
    return 1


def room(c, q, size):
    """Where an entry of this size goes in a ring now; or TOO_LARGE, or NO_ROOM until the oldest gives way."""
    if size > host_load(q + SIZE, 64): return TOO_LARGE
    at = host_load(q + NOW, 64)
    n = host_load(q + OLDEST, 64)
    place = host_load(record(c, n) + PLACE, 32)
    if n == 0 or place < at:  # it lies behind: what is ahead is free to the end
        begin = host_load(q + START, 64)
        if at + size <= begin + host_load(q + SIZE, 64): return at
        at = begin
        host_store(q + NOW, 64, at)
        if n == 0: return at
    if at + size <= place: return at
    return NO_ROOM


def settle(c, n, k, at):
    """An entry has a place in ring k; the next one goes behind it."""
    r = record(c, n)
    host_store(r + PLACE, 32, at)
    host_store(queue(c, k) + NOW, 64, at + rounded(host_load(r + BYTES, 32)))
    join(c, n, k)


def give_way(c, q, k):
    """The oldest entry of a ring makes room, and the others of its unit; the entry that goes on to the next ring, or 0."""
    n = host_load(q + OLDEST, 64)
    place = host_load(record(c, n) + PLACE, 32)
    on = decide(c, q, k, n)
    units = host_load(c + UNITS, 64)
    if units:
        unit = udiv(host_load(q + SIZE, 64), units)
        if unit == 0: unit = 1
        begin = host_load(q + START, 64)
        end = begin + (udiv(place - begin, unit) + 1) * unit
        going = 1
        while going:
            n = host_load(q + OLDEST, 64)
            other = host_load(record(c, n) + PLACE, 32)
            going = n != 0 and place < other and other < end
            if going: decide(c, q, k, n)
    return on


@outlined
def decide(c, q, k, n):
    """Drops the oldest entry, or lets it stay; it, where it goes on to the next ring, else 0."""
    r = record(c, n)
    old = host_load(r + PLACE, 32)
    size = rounded(host_load(r + BYTES, 32))
    take_out(c, n)
    to = oldest(c, r, k, uses(c, n))
    if to == k:
        at = host_load(q + NOW, 64)
        if (old - at) << 1 <= size: at = old  # a small gap is left until the next round, as sliding all behind it costs more
        settle(c, n, k, at)
        if at != old: moved(c, n, old)
    elif to == GOES: forget(c, n, DROPPED)
    else: return n
    return 0
