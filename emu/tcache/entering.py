"""A hot block becomes a translation of stencils in the cache, without Python; and how any translation is taken in. In the language of the texts (docs/texts.md).

Python (emu/cpu.py) is asked where something is missing that only it can make or knows: a recipe, an optimised translation of the same bytes, huge pages for code
memory that comes into use; where code is rewritten again and again; and while a trace is recorded.
"""
from emu.isa.language import host_copy, host_load, host_store, outlined, signed
from emu.isa.state import FIELDS
from emu.jit.copying import LENGTH as COPIED
from emu.jit.copying import LINK, LINKED, copy_block
from emu.mem.paging import mark_code
from emu.tcache.dropping import drop, new_record, rewritten_slot, spare_nodes
from emu.tcache.index import NOWHERE, index_enter
from emu.tcache.layout import *
from emu.tcache.links import bucket, claim, find_record, free_record, hang_link, mention, relink, was_there
from emu.tcache.policies import insert, join, rounded

DONE, TAKE_OVER, SETTLE, REVIVE, FRESH = range(5)  # what Python has to do: nothing, all; wait until the code stays as it is; look for an optimised translation; `CodeMemory.use`
RESTLESS = 4  # times that a granule's translations were dropped because it was written to, before it is interpreted
KNOWN_BITS = 19  # of a filter for checksums of blocks that have optimised translations (emu/tcache/revival.py)
HUGE_BITS = 21
COUNTDOWNS = FIELDS['countdown'].offset


def crc_table(n: int) -> int:
    """A byte's entry in the table of CRC-32."""
    for _ in range(8): n = n >> 1 ^ (0xedb88320 if n & 1 else 0)
    return n


CRC = tuple(map(crc_table, range(256)))


@outlined
def translate_block(m, p, asked):
    """Translates the block at CS:EIP and host address p; `asked`: 0 from compiled code, else by Python, SETTLE and REVIVE done as far as it is said.

    DONE, or what Python has to do before it asks again; -1 - n: make the recipe for the n-th record of the work area.
    """
    c = m.cache
    second = m.eip | (m.mode << 32)
    if asked == DONE and host_load(c + ASK, 64): return TAKE_OVER
    n = find_record(c, p, second)
    if n:  # another block had taken its place in the index
        index_enter(host_load(c + INDEX, 64), p, second, host_load(record(c, n) + PLACE, 32) if host_load(record(c, n) + BYTES, 32) else NOWHERE)
    else:
        if asked < SETTLE and is_restless(c, p): return SETTLE
        why = copy(m, c, p, second, asked)
        if why != DONE: return why
        n = find_record(c, p, second)
    if host_load(record(c, n) + BYTES, 32) and host_load(host_load(c + BEGUN, 64) + (host_load(record(c, n) + PLACE, 32) >> HUGE_BITS), 8) == 0: return FRESH
    return DONE


def next_granule(p):
    """The granule behind that of p, or, at the page's end, the same."""
    return (p >> 6) + 1 if p & 0xfc0 != 0xfc0 else p >> 6


def is_restless(c, p):
    """Whether the code at p is rewritten again and again, in its granule or the next."""
    return host_load(rewritten_slot(c, p >> 6), 8) >= RESTLESS or host_load(rewritten_slot(c, next_granule(p)), 8) >= RESTLESS


def copy(m, c, p, second, asked):
    """Makes a new translation; what cannot be translated has a record, too."""
    b = host_load(c + WORK, 64)
    n = new_record(c)
    counter = 0
    if host_load(c + COUNTING, 64): counter = COUNTDOWNS + (n << 2)
    size = copy_block(m, b, p, 4096 - (p & 4095), m.eip, counter)
    why = DONE
    length = 1
    if size < 0: why = size
    if size > 0:
        length = host_load(b + COPIED, 64)
        if asked < REVIVE and is_known(c, p, length, m.mode): why = REVIVE
        if fits(c, size) == 0: size = 0
    if why == DONE:
        describe(c, n, p, second, size, 0, length)
        host_store(c + RANGE, 64, p)
        host_store(c + RANGE_LENGTH, 64, length)
        take_in(m, n, host_load(b + 8, 64), b + LINK, host_load(b + LINKED, 64), c + RANGE, 1)
    else: free_record(c, n)
    return why


def fits(c, size):
    """Whether there is room for code of this size in the last ring, which takes what is too large for others."""
    return rounded(size) <= host_load(queue(c, host_load(c + LAST, 64)) + SIZE, 64)


def is_known(c, p, length, mode):
    """Whether there may be an optimised translation of the block at p: by `key_of` (emu/tcache/image.py), which is zlib's CRC-32."""
    known = host_load(c + KNOWN, 64)
    if known == 0: return 0
    x = mode ^ 0xffffffff
    end = p + length
    while p < end:
        x = (x >> 8) ^ CRC[(x ^ host_load(p, 8)) & 0xff]
        p = p + 1
    x = x ^ 0xffffffff
    return (host_load(known + ((x >> 3) & 0xffff), 8) >> (x & 7)) & 1


@outlined
def describe(c, n, p, second, size, tier, length):
    """Fills in a new record."""
    r = record(c, n)
    host_store(r + P, 64, p)
    host_store(r + SECOND, 64, second)
    host_store(r + BYTES, 32, size)
    host_store(r + TIER, 32, tier)
    host_store(r + LENGTH, 32, length)
    host_store(r + HUNG, 32, 0)


@outlined
def take_in(m, n, code, links, linked, ranges, ranged):
    """Takes in what record n describes: its code, its links (as copying.py lists them), the guest's code it was made of (address and size, 64 bits each).
    0: it is larger than the last ring."""
    c = m.cache
    r = record(c, n)
    p = host_load(r + P, 64)
    second = host_load(r + SECOND, 64)
    size = host_load(r + BYTES, 32)
    if fits(c, size) == 0:
        free_record(c, n)
        return 0
    old = find_record(c, p, second)
    if old: drop(c, old, REPLACEMENTS)
    end = ranges + (ranged << 4)
    at = ranges
    need = linked
    while at < end:
        need = need + 2 + (host_load(at + 8, 64) >> 6)
        at = at + 16
    spare_nodes(c, need)
    if size:
        more(c, COMPILES, 1)
        more(c, RECOMPILES, was_there(c, r))
        insert(c, n)
        host_copy(host_load(c + DATA, 64) + host_load(r + PLACE, 32), code, size)
    else: join(c, n, RINGS)
    b = bucket(c, p, second)
    host_store(r + CHAIN, 32, host_load(b, 32))
    host_store(b, 32, n)
    while ranges < end:
        at = host_load(ranges, 64)
        last = at + host_load(ranges + 8, 64) - 1
        mark(m, c, at, last - at + 1)
        at = at >> 6
        while at <= last >> 6:
            mention(c, n, at)
            at = at + 1
        ranges = ranges + 16
    if size:
        claim(c, n)
        end = links + linked * 24
        while links < end:
            target = host_load(links + 16, 64)
            hang_link(c, n, host_load(links, 64), host_load(links + 8, 64), p + signed(target - second, 32), target | (second >> 32 << 32))
            links = links + 24
        relink(c, n)
    else: index_enter(host_load(c + INDEX, 64), p, second, NOWHERE)
    return 1


def mark(m, c, p, n):
    """Bytes of the guest that something was made of, inside one page: stores to them must be seen. A ROM has none."""
    physical = p - m.ram
    if physical >= 0 and physical < host_load(c + RAM_SIZE, 64):
        mark_code(m, physical, n)
        word = m.blob_map + ((physical >> 12) << 3)
        host_store(word, 64, host_load(word, 64) | ((2 << (((physical + n - 1) >> 6) & 63)) - (1 << ((physical >> 6) & 63))))
