"""What the translation cache keeps in memory, for compiled code and for Python: offsets in its header, rings, records and nodes (docs/cache.md has a drawing).

A *record* is a translation, or a block that cannot be translated (of size 0). Its number, from 1 on, is also that of its countdown. A *node* hangs a record
under a key: a link under the block that it leads to, a mention under a granule (64 bytes) of the guest's code that the record was made of. Records and nodes
of one hash are chained, and so are those that are free.
"""
from emu.isa.language import host_load, host_store

# a record: 64 bytes, the key's words of 64 bits, then of 32
P, SECOND = 0, 8  # its block's host address; its EIP, and its mode key in the high half
(PLACE, BYTES, TIER, LENGTH,  # offset in code memory, size of the code, OPTIMISED or not, bytes of the guest's block that it begins with
 RING, AGE, OLDER, NEWER,  # where the policy has it, and what it notes; its neighbours there. NEWER: the next free one
 COUNTED, CHAIN, HUNG) = range(16, 60, 4)  # its countdown when it was last asked for its uses; the next of its hash; its first node
RECORD_BITS = 6

# a node: 64 bytes. Its key is a block's, or a granule's (host address >> 6) with MENTION
MENTION = -1
(OWNER, SIBLING, NEXT, PREVIOUS,  # the record, its next node; neighbours of the same hash. NEXT: the next free one
 AT, STUB, TARGET) = range(16, 44, 4)  # of a link: offsets of its rel32 and of its stub in the code; the record that it leads to now, or 0

# a ring: 64 bytes, words of 64 bits
START, SIZE, NOW, USED, OLDEST, NEWEST, COUNT = range(0, 56, 8)  # offset in code memory, bytes, where the next one goes; bytes in use; records: the ends of their queue, how many
RINGS = 3  # at most; behind them, as one more queue, what cannot be translated

# the header: words of 64 bits
(RECORDS, NODES, BUCKETS, PAST, COUNTDOWN, INDEX, DATA,  # host addresses; DATA: code memory, to be written; 0: there is none (the simulator)
 BEGUN, KNOWN, REWRITTEN, WORK, LOG,  # see emu/tcache/entering.py; LOG, where the numbers of dropped records go: 0: nowhere
 MOST_RECORDS, MOST_NODES, MADE_RECORDS, MADE_NODES, FREE_RECORD, FREE_NODE, USED_NODES,  # tables: their size, how much of it was ever used, what is free again
 POLICY, UNITS, LAST, TOTAL, FULL, RETURNED, REPLACED, REGENERATED, DROPS,  # emu/tcache/policies.py
 COUNTING, BEGIN, ASK, RAM_SIZE, LOGGED,  # whether uses are counted, where countdowns begin, whether Python makes all translations, bytes of RAM, entries of LOG
 COMPILES, RECOMPILES, MOVES, INVALIDATED, DROPPED, REPLACEMENTS,  # statistics
 COMPULSORY, CAPACITY, PEAK,  # the simulator's
 RANGE, RANGE_LENGTH, WAITING) = range(0, 360, 8)  # work space; WAITING: a word for each ring
HEADER = WAITING + 8 * RINGS
QUEUES = -(-HEADER // 64) * 64  # where the rings begin
AREA = QUEUES + 64 * (RINGS + 1)

BUCKET_BITS, PAST_BITS = 18, 20
OPTIMISED = 1  # a tier: expensive code; 0: stencils


def record(c, n):
    """The address of a record; `c`, everywhere, is that of the header."""
    return host_load(c + RECORDS, 64) + (n << RECORD_BITS)


def node(c, k):
    return host_load(c + NODES, 64) + (k << RECORD_BITS)


def queue(c, k):
    """The address of a ring."""
    return c + QUEUES + (k << 6)


def more(c, at, by):
    """Adds to a word of the header, or of a ring; what it is now."""
    v = host_load(c + at, 64) + by
    host_store(c + at, 64, v)
    return v


def mixed(p, second):
    """A hash, whose bits 12 to 63 are good."""
    return p * 0x9e3779b97f4a7c15 + second * 0xc2b2ae3d27d4eb4f
