"""Stores to code: what was decoded from the bytes that change is forgotten, and nothing else.

`code_map` says of which granules (64 bytes) something was decoded, `blob_map` of which something was translated. A store to the latter drops all that was made of the
granule. Else records of the interpreter are emptied: those of the instructions that the store hits, or, where it hits none, one of the others: so what is
no code any more soon has no mark, and a variable among code costs one instruction's decoding for a store.
"""
from emu.decoder.record import FIELDS
from emu.isa.language import host_load, host_store, outlined
from emu.tcache.dropping import invalidate

LEN = FIELDS['len'].offset
LONGEST = 15  # bytes of an instruction


def record_slot(m, p):
    """The interpreter's record for host address p."""
    return m.records + (((p ^ (p >> 14)) & 0xffff) << 6)


@outlined
def code_stored(m, physical, p, size):
    """A store to `size` bytes at host address p comes, which touches a marked granule, the one of `physical`."""
    word = (physical >> 12) << 3
    bit = 1 << ((physical >> 6) & 63)
    if host_load(m.blob_map + word, 64) & bit: code_written(m, physical)
    elif forget(m, (p & -4096) + (physical & 0xfc0), p, size) == 0: host_store(m.code_map + word, 64, host_load(m.code_map + word, 64) & ~bit)


@outlined
def code_written(m, physical):
    """All 64 bytes of the granule of `physical` may change: nothing that was made of them is valid."""
    word = (physical >> 12) << 3
    bit = 1 << ((physical >> 6) & 63)
    if host_load(m.code_map + word, 64) & bit:
        host_store(m.code_map + word, 64, host_load(m.code_map + word, 64) & ~bit)
        host_store(m.blob_map + word, 64, host_load(m.blob_map + word, 64) & ~bit)
        granule = (host_load(m.page_map + word, 64) & -4096) + (physical & 0xfc0)
        q = granule - LONGEST + 1
        while q < granule + 64:
            r = record_slot(m, q)
            if host_load(r, 64) >> 1 == q: host_store(r, 64, -1)
            q = q + 1
        if m.cache:
            m.changes = m.changes + 1
            invalidate(m.cache, granule >> 6)


def forget(m, granule, p, size):
    """Empties records of instructions that lie in the granule at that host address, at least in part; how many it leaves."""
    left = 0
    hit = 0
    other = 0
    q = granule - LONGEST + 1
    while q < granule + 64:
        r = record_slot(m, q)
        if host_load(r, 64) >> 1 == q:
            end = q + host_load(r + LEN, 8)
            if q < p + size and end > p:
                host_store(r, 64, -1)
                hit = 1
            elif end > granule:
                left = left + 1
                other = r
        q = q + 1
    if hit == 0 and left:
        host_store(other, 64, -1)
        left = left - 1
    return left
