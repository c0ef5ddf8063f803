"""Dropping translations before their time, and room in the tables of records and nodes; in the language of the texts, compiled with the interpreter."""
from emu.isa.language import host_load, host_store, outlined
from emu.tcache.layout import *
from emu.tcache.links import bucket, find_node, forget
from emu.tcache.policies import take_out


@outlined
def drop(c, n, reason):
    take_out(c, n)
    forget(c, n, reason)


@outlined
def drop_oldest(c):
    """Drops the oldest record of the longest queue; of those that cannot be translated there is one, too."""
    k = RINGS
    longest = k
    while k > 0:
        k = k - 1
        if host_load(queue(c, k) + COUNT, 64) > host_load(queue(c, longest) + COUNT, 64): longest = k
    drop(c, host_load(queue(c, longest) + OLDEST, 64), DROPPED)


@outlined
def new_record(c):
    """The number of a record that is free, now or because another had to go."""
    if host_load(c + FREE_RECORD, 64) == 0:
        if host_load(c + MADE_RECORDS, 64) < host_load(c + MOST_RECORDS, 64) - 1: return more(c, MADE_RECORDS, 1)
        drop_oldest(c)
    n = host_load(c + FREE_RECORD, 64)
    host_store(c + FREE_RECORD, 64, host_load(record(c, n) + NEWER, 32))
    return n


def spare_nodes(c, count):
    """Makes sure that so many nodes are free, whatever has to go; a record has fewer than a table has."""
    while host_load(c + MOST_NODES, 64) - 1 - host_load(c + USED_NODES, 64) < count: drop_oldest(c)


def slot_of(granule):
    """Which of REWRITTEN's bytes counts how often a granule's translations were dropped because it was written to; others' may, too."""
    return (granule ^ (granule >> 16)) & 0xffff


def rewritten_slot(c, granule):
    return host_load(c + REWRITTEN, 64) + slot_of(granule)


@outlined
def invalidate(c, granule):
    """The guest's bytes in a granule (host address >> 6) are about to change: what was made of them is dropped; how many translations."""
    dropped = 0
    b = bucket(c, granule, MENTION) + 4
    k = find_node(c, host_load(b, 32), granule, MENTION)
    while k:
        n = host_load(node(c, k) + OWNER, 32)
        if host_load(record(c, n) + BYTES, 32): dropped = dropped + 1
        drop(c, n, INVALIDATED)
        k = find_node(c, host_load(b, 32), granule, MENTION)
    slot = rewritten_slot(c, granule)
    if dropped and host_load(slot, 8) < 255: host_store(slot, 8, host_load(slot, 8) + 1)
    return dropped
