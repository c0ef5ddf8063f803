"""The translation index: block -> code, as compiled code looks it up (`probe` in emu/jit/dispatch.py); in the language of the texts.

It has 2**INDEX_BITS rows, a host's cache line each, for blocks that begin in the same 32 bytes of the guest's code: who runs through code runs through the index. A row
has four entries of 16 bytes: host address of the block's first byte, its mode key from bit 48 on (0: empty); EIP, and where its code lies in the high half: 1 + offset in
code memory, or 0: it is not to be translated. An entry may lose its place to others; then the block is asked for again, when it is hot.
"""
from emu.isa.language import host_copy, host_load, host_store

INDEX_BITS = 17
ROW = 64
NOWHERE = -1  # the place of what is not to be translated


def index_row(index, p, eip):
    """The address of the row for host address p at this EIP."""
    return index + ((((p >> 5) ^ (p >> 22) ^ (eip >> 12)) & 0x1ffff) << 6)


def index_entry(index, p, eip, mode):
    """The address of a block's entry, or 0."""
    e = index_row(index, p, eip)
    key = p | (mode << 48)
    if host_load(e, 64) == key and host_load(e + 8, 32) == eip: return e
    if host_load(e + 16, 64) == key and host_load(e + 24, 32) == eip: return e + 16
    if host_load(e + 32, 64) == key and host_load(e + 40, 32) == eip: return e + 32
    if host_load(e + 48, 64) == key and host_load(e + 56, 32) == eip: return e + 48
    return 0


def index_enter(index, p, second, place):
    """Adds or changes the entry of a block (`second`: EIP, and mode key in the high half); the oldest of its row's may be lost."""
    eip = second & 0xffffffff
    e = index_entry(index, p, eip, second >> 32)
    if e == 0:
        e = index_row(index, p, eip)
        last = e + 48
        at = e
        while at < last and host_load(at, 64): at = at + 16
        while at > e:
            host_copy(at, at - 16, 16)
            at = at - 16
        host_store(e, 64, p | (second >> 32 << 48))
    host_store(e + 8, 64, eip | ((place + 1) << 32))


def index_remove(index, p, second):
    """Forgets a block."""
    e = index_entry(index, p, second & 0xffffffff, second >> 32)
    if e: host_store(e, 64, 0)
