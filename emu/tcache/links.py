"""Records and nodes under their keys, and the jumps between translations; in the language of the texts, compiled with the interpreter.

A jump to another block of the same guest page is a *link*: a rel32 that leads to the translation there, or, while there is none, to a cold stub of its own, which
looks up. Its node hangs under the key of that block, so whoever comes, moves or goes finds the jumps that lead to it.
"""
from emu.isa.language import host_copy, host_load, host_store, outlined
from emu.tcache.index import index_enter, index_remove
from emu.tcache.layout import *


def bucket(c, p, second):
    """The address of what a hash has: its first record and its first node, 32 bits each."""
    return host_load(c + BUCKETS, 64) + (((mixed(p, second) >> 44) & 0x3ffff) << 3)


@outlined
def find_record(c, p, second):
    """The record of a block, or 0."""
    n = host_load(bucket(c, p, second), 32)
    while n and (host_load(record(c, n) + P, 64) != p or host_load(record(c, n) + SECOND, 64) != second): n = host_load(record(c, n) + CHAIN, 32)
    return n


@outlined
def find_node(c, first, p, second):
    """The first node with a key, from `first` on, or 0."""
    k = first
    while k and (host_load(node(c, k) + P, 64) != p or host_load(node(c, k) + SECOND, 64) != second): k = host_load(node(c, k) + NEXT, 32)
    return k


# --- nodes ------------------------------------------------------------------------------------------------------------------------------

@outlined
def hang(c, n, p, second):
    """Hangs a record under a key: the new node's address. There must be a node that is free."""
    k = host_load(c + FREE_NODE, 64)
    if k: host_store(c + FREE_NODE, 64, host_load(node(c, k) + NEXT, 32))
    else: k = more(c, MADE_NODES, 1)
    more(c, USED_NODES, 1)
    e = node(c, k)
    b = bucket(c, p, second) + 4
    r = record(c, n)
    after = host_load(b, 32)
    host_store(e + P, 64, p)
    host_store(e + SECOND, 64, second)
    host_store(e + OWNER, 32, n)
    host_store(e + SIBLING, 32, host_load(r + HUNG, 32))
    host_store(e + NEXT, 32, after)
    host_store(e + PREVIOUS, 32, 0)
    host_store(e + TARGET, 32, 0)
    if after: host_store(node(c, after) + PREVIOUS, 32, k)
    host_store(b, 32, k)
    host_store(r + HUNG, 32, k)
    return e


@outlined
def unhang(c, n):
    """Takes all nodes of a record away."""
    k = host_load(record(c, n) + HUNG, 32)
    while k:
        e = node(c, k)
        after = host_load(e + NEXT, 32)
        before = host_load(e + PREVIOUS, 32)
        if before: host_store(node(c, before) + NEXT, 32, after)
        else: host_store(bucket(c, host_load(e + P, 64), host_load(e + SECOND, 64)) + 4, 32, after)
        if after: host_store(node(c, after) + PREVIOUS, 32, before)
        host_store(e + OWNER, 32, 0)
        host_store(e + NEXT, 32, host_load(c + FREE_NODE, 64))
        host_store(c + FREE_NODE, 64, k)
        more(c, USED_NODES, -1)
        k = host_load(e + SIBLING, 32)
    host_store(record(c, n) + HUNG, 32, 0)


def mention(c, n, granule):
    """Notes, once, that a record was made of a granule of the guest's code."""
    k = find_node(c, host_load(bucket(c, granule, MENTION) + 4, 32), granule, MENTION)
    while k and host_load(node(c, k) + OWNER, 32) != n: k = find_node(c, host_load(node(c, k) + NEXT, 32), granule, MENTION)
    if k == 0: hang(c, n, granule, MENTION)


# --- jumps ------------------------------------------------------------------------------------------------------------------------------

def patch(c, at, target):
    """Makes the rel32 at an offset in code memory lead to another."""
    host_store(host_load(c + DATA, 64) + at, 32, target - (at + 4))


def hang_link(c, n, at, stub, p, second):
    """A link of record n, whose rel32 leads to its stub so far."""
    to = find_record(c, p, second)
    e = hang(c, n, p, second)
    host_store(e + AT, 32, at)
    host_store(e + STUB, 32, stub)
    if to and host_load(record(c, to) + BYTES, 32): host_store(e + TARGET, 32, to)


def claim(c, n):
    """The links that wait for a new translation lead to it from now on."""
    r = record(c, n)
    p = host_load(r + P, 64)
    second = host_load(r + SECOND, 64)
    k = find_node(c, host_load(bucket(c, p, second) + 4, 32), p, second)
    while k:
        host_store(node(c, k) + TARGET, 32, n)
        k = find_node(c, host_load(node(c, k) + NEXT, 32), p, second)


@outlined
def relink(c, n):
    """Links to and from a translation that has a new place, and its entry in the index."""
    r = record(c, n)
    place = host_load(r + PLACE, 32)
    k = host_load(r + HUNG, 32)
    while k:
        e = node(c, k)
        to = host_load(e + TARGET, 32)
        if to: patch(c, place + host_load(e + AT, 32), host_load(record(c, to) + PLACE, 32))
        k = host_load(e + SIBLING, 32)
    p = host_load(r + P, 64)
    second = host_load(r + SECOND, 64)
    k = host_load(bucket(c, p, second) + 4, 32)
    while k:
        e = node(c, k)
        if host_load(e + TARGET, 32) == n: patch(c, host_load(record(c, host_load(e + OWNER, 32)) + PLACE, 32) + host_load(e + AT, 32), place)
        k = host_load(e + NEXT, 32)
    index_enter(host_load(c + INDEX, 64), p, second, place)


@outlined
def moved(c, n, old):
    """The policy has given an entry another place; if that is below the old one, by more than half its size."""
    more(c, MOVES, 1)
    data = host_load(c + DATA, 64)
    if data:
        r = record(c, n)
        place = host_load(r + PLACE, 32)
        size = host_load(r + BYTES, 32)
        part = size
        if old > place and old - place < size: part = old - place
        host_copy(data + place, data + old, part)
        host_copy(data + place + part, data + old + part, size - part)
        relink(c, n)


# --- what was dropped is remembered, in a table by hash: 32 bits of it, and when that was --------------------------------------------------

def past(c, r):
    """Where that is noted of a record's block."""
    return host_load(c + PAST, 64) + (((mixed(host_load(r + P, 64), host_load(r + SECOND, 64)) >> 44) & 0xfffff) << 3)


def print_of(r):
    return (mixed(host_load(r + P, 64), host_load(r + SECOND, 64)) >> 12) & 0xffffffff


def note(c, r, when):
    """Notes that a record is dropped; `when`, as the policy counts, or 0."""
    host_store(past(c, r), 64, print_of(r) | (when << 32))


def was_there(c, r):
    """Whether a translation of a record's block was there before, as far as is known."""
    return host_load(past(c, r), 32) == print_of(r)


@outlined
def free_record(c, n):
    """It is not needed."""
    host_store(record(c, n) + NEWER, 32, host_load(c + FREE_RECORD, 64))
    host_store(c + FREE_RECORD, 64, n)


@outlined
def forget(c, n, reason):
    """Nothing leads to an entry any more that the policy has let go. `reason`: where the header counts such."""
    host_store(host_load(c + COUNTDOWN, 64) + (n << 2), 32, 0)
    if host_load(c + DATA, 64):
        r = record(c, n)
        p = host_load(r + P, 64)
        second = host_load(r + SECOND, 64)
        index_remove(host_load(c + INDEX, 64), p, second)
        b = bucket(c, p, second)
        k = host_load(b + 4, 32)
        while k:
            e = node(c, k)
            if host_load(e + TARGET, 32) == n:
                host_store(e + TARGET, 32, 0)
                place = host_load(record(c, host_load(e + OWNER, 32)) + PLACE, 32)
                patch(c, place + host_load(e + AT, 32), place + host_load(e + STUB, 32))
            k = host_load(e + NEXT, 32)
        unhang(c, n)
        at = b
        while host_load(at, 32) != n: at = record(c, host_load(at, 32)) + CHAIN
        host_store(at, 32, host_load(r + CHAIN, 32))
        free_record(c, n)
        if host_load(r + BYTES, 32):
            more(c, reason, 1)
            if reason != DROPPED or was_there(c, r) == 0: note(c, r, 0)
            log = host_load(c + LOG, 64)
            if log: host_store(log + ((more(c, LOGGED, 1) - 1) << 2), 32, n)
