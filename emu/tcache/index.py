"""The translation index: block -> code address, as compiled code looks it up (`probe` in emu/jit/dispatch.py); in the language of the texts.

It has 2**INDEX_BITS rows, each with two entries of 32 bytes in a host's cache line: host address of the block's first byte (0: empty), EIP and mode key, host
address of the code (0: not to be translated), nothing. An entry may lose its place to others; then the block is asked for again, when it is hot.
"""
from emu.isa.language import host_copy, host_load, host_store

INDEX_BITS = 17
ROW = 64


def index_row(p, eip):
    """The number of the row for host address p at this EIP."""
    return (p ^ (p >> 15) ^ (eip >> 12)) & 0x1ffff


def index_entry(index, p, second):
    """The address of a block's entry, or 0."""
    e = index + (index_row(p, second & 0xffffffff) << 6)
    if host_load(e, 64) == p and host_load(e + 8, 64) == second: return e
    e = e + 32
    if host_load(e, 64) == p and host_load(e + 8, 64) == second: return e
    return 0


def index_enter(index, p, second, code):
    """Adds or changes the entry of a block; the older of its row's two others may be lost."""
    e = index_entry(index, p, second)
    if e == 0:
        e = index + (index_row(p, second & 0xffffffff) << 6)
        if host_load(e, 64): host_copy(e + 32, e, 32)
        host_store(e, 64, p)
        host_store(e + 8, 64, second)
    host_store(e + 16, 64, code)


def index_remove(index, p, second):
    """Forgets a block."""
    e = index_entry(index, p, second)
    if e: host_store(e, 64, 0)
