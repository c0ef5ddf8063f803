"""Copy-and-patch in the language of the texts: a basic block -> its code, in one call of compiled code. emu/jit/patch.py prepares what is copied.

It works in an area of memory that Python makes and reads (offsets below); what it finds there, it trusts. A *piece* is code to copy: words that say where it lies,
its size and nature, then its holes and its jumps, one word each. An *entry* of the table of recipes is what is the same in the records of all instructions
that the same code does (two words), then that code: setting the flags, and not; 0: there is none.
"""
from emu.decoder.record import FIELDS
from emu.decoder.table import FORMS
from emu.isa.language import host_copy, host_load, host_store, outlined, signed
from emu.isa.state import TLB_BITS
from emu.jit.fetch import ENDS, decode_block, form_of

LONGEST = 64  # instructions in a block
LINKS = 4  # that a block may have
TARGET_MASK = tuple(0xffffffff if form.fields.get('w', 32) == 32 else 0xffff for form in FORMS)  # of a relative jump
AMASK, LEN, BASE, IMM, DISP, IMM2, OPCODE, SEG, DST, SRC = (FIELDS[name].offset for name in
                                                           ('amask', 'len', 'base', 'imm', 'disp', 'imm2', 'opcode', 'seg', 'dst', 'src'))
USER_TLB = TLB_BITS + 4  # log2 of the distance of the user's TLB from the supervisor's
FLAT, PROTECTED = 1 | 2 | 8 | 32, 8  # of the mode key: stencils for flat 32-bit protected-mode code suit
GENERAL, REAL = 1 << 17, 3 << 17  # in a recipe's key: it is for other code in protected mode, for real and virtual-8086 mode

# the work area
TABLE, CODE, BEGIN, BEGIN_GENERAL, COUNT, EXITS = 0, 8, 16, 24, 32, 40  # addresses: table of recipes, room for the code, pieces (four EXITs)
VALUES = 72  # what fills the holes, 64 bits each:
V_IMM, V_IMM2, V_DISP, V_EIP, V_TLB, V_LEN, V_COUNT, V_COUNTER, V_OPCODE, V_SEG, V_AMASK, V_DST, V_SRC = range(VALUES, VALUES + 104, 8)
INSTRUCTIONS, LENGTH, LINKED, LINK = 176, 184, 192, 200  # results: instructions, guest bytes, links; each link: offset of its rel32, of its stub, target
WAYS = 296  # jumps out of what was copied: offset | target << 32 | number of the instruction << 40; and its EIP
PLAN = WAYS + 16 * 8 * LONGEST  # the piece for each instruction
RECORDS = PLAN + 8 * LONGEST
AREA = RECORDS + (LONGEST << 6)

# a piece
SIZE, NATURE, HOLES, JUMPS, LISTS = 8, 16, 24, 32, 40  # code's address, its size, bits, number of holes, of jumps, then each: hole: offset | value << 16 | WIDE | addend << 32
FALLS, READS, KILLS, LEAVES, LAST = 1, 2, 4, 8, 16  # NATURE: goes on behind its end; flags; may leave; ends the block
WIDE = 1 << 31  # a hole of 64 bits
TAKEN, MISS, WARM = 1, 2, 3  # where a jump leads: offset | target << 32
TABLE_BITS = 16  # of the table of recipes, entries of 32 bytes
UNUSED = -1  # in an entry's second word


def recipe_slot(key, form):
    """Where to begin to look for a recipe."""
    return ((key * 0x9e3779b97f4a7c15 + form * 0x61c8864680b583eb) >> 44) & 0xffff


def recipe(table, r, kind):
    """The entry of a record's instruction, or 0: not seen yet."""
    key = host_load(r + BASE, 64)  # base index scale seg dst src rep lock
    form = form_of(r) | (host_load(r + AMASK, 32) & 0x10000) | kind
    n = recipe_slot(key, form)
    e = table + (n << 5)
    while host_load(e, 64) != key or host_load(e + 8, 64) != form:
        if host_load(e + 8, 64) == UNUSED: return 0
        n = (n + 1) & 0xffff
        e = table + (n << 5)
    return e


@outlined
def copy_piece(b, at, piece, n, eip, ways):
    """Copies a piece for the n-th instruction, at EIP, to offset `at`, fills its holes and notes its jumps; the number of ways noted now."""
    code = host_load(b + CODE, 64) + at
    host_copy(code, host_load(piece, 64), host_load(piece + SIZE, 64))
    k = piece + LISTS
    end = k + (host_load(piece + HOLES, 64) << 3)
    while k < end:
        hole = host_load(k, 64)
        v = host_load(b + VALUES + ((hole >> 16) & 0xff), 64) + (hole >> 32)
        if hole & WIDE: host_store(code + (hole & 0xffff), 64, signed(v, 32))
        else: host_store(code + (hole & 0xffff), 32, v)
        k = k + 8
    end = k + (host_load(piece + JUMPS, 64) << 3)
    while k < end:
        host_store(b + WAYS + (ways << 4), 64, host_load(k, 64) + at + (n << 40))
        host_store(b + WAYS + (ways << 4) + 8, 64, eip)
        ways = ways + 1
        k = k + 8
    return ways


def size_of(piece):
    return host_load(piece + SIZE, 64)


def link_rel(b, at, target):
    """Makes the rel32 at an offset lead to another."""
    host_store(host_load(b + CODE, 64) + at, 32, target - (at + 4))


def stub(b, at, why, eip, count):
    """An EXIT at offset `at`; the offset behind it."""
    piece = host_load(b + EXITS + (why << 3), 64)
    host_store(b + V_EIP, 64, eip)
    host_store(b + V_COUNT, 64, count)
    copy_piece(b, at, piece, 0, 0, 0)
    return at + size_of(piece)


@outlined
def plan(b, count, kind):
    """Chooses the pieces of the first `count` records, as far as there are any: how many; or -1 - n: the n-th has no entry yet."""
    n = 0
    going = 1
    while n < count and going:
        e = recipe(host_load(b + TABLE, 64), b + RECORDS + (n << 6), kind)
        if e == 0: return -1 - n
        if host_load(e + 16, 64):
            host_store(b + PLAN + (n << 3), 64, e)
            n = n + 1
            going = host_load(host_load(e + 16, 64) + NATURE, 64) & LAST == 0
        else: going = 0
    k = n
    dead = 0  # whether the flags that an instruction sets are overwritten before anybody can see them
    while k > 0:
        k = k - 1
        e = host_load(b + PLAN + (k << 3), 64)
        host_store(b + PLAN + (k << 3), 64, host_load(e + 16 + (dead << 3), 64))
        nature = host_load(host_load(e + 16, 64) + NATURE, 64)
        if nature & KILLS: dead = 1
        if nature & (READS | LEAVES): dead = 0
    return n


@outlined
def out(b, at, jump, target, why, near, n):
    """A way to another block: its stub at offset `at`, and the n-th link if the target is near; the number of links now."""
    link_rel(b, jump, at)
    if near:
        host_store(b + LINK + n * 24, 64, jump)
        host_store(b + LINK + n * 24 + 8, 64, at)
        host_store(b + LINK + n * 24 + 16, 64, target)
        n = n + 1
    stub(b, at, why, target, 0)
    return n


def is_near(p, eip, target):
    """Whether the block at EIP `target` lies in the page of host address p, where EIP is `eip`."""
    return ((p & 4095) + target - eip) >> 12 == 0


def length_of(b, count):
    """The bytes of the first `count` instructions."""
    n = 0
    r = b + RECORDS
    while r < b + RECORDS + (count << 6):
        n = n + host_load(r + LEN, 8)
        r = r + 64
    return n


@outlined
def copy_block(m, b, p, room, eip, counter):
    """Makes the code of the basic block at host address p, EIP eip, which has `room` bytes to its page's end; `counter`: the offset of its countdown or 0.

    Returns the code's size; 0: nothing can be translated; -1 - n: the n-th instruction's recipe is missing.
    """
    kind = 0 if m.mode & FLAT == FLAT else GENERAL if m.mode & PROTECTED else REAL
    if eip + room > 0x100000000: room = 0x100000000 - eip
    count = plan(b, decode_block(m, b + RECORDS, p, room, LONGEST), kind)
    if count <= 0: return count
    host_store(b + V_TLB, 64, m.user << USER_TLB)
    host_store(b + V_COUNT, 64, count)
    host_store(b + V_COUNTER, 64, counter)
    host_store(b + V_EIP, 64, eip + length_of(b, count) - 1)
    piece = host_load(b + (BEGIN_GENERAL if kind else BEGIN), 64)
    ways = copy_piece(b, 0, piece, 0, eip, 0)
    at = size_of(piece)
    if counter:
        piece = host_load(b + COUNT, 64)
        ways = copy_piece(b, at, piece, 0, eip, ways)
        at = at + size_of(piece)
    end = eip
    n = 0
    r = b + RECORDS
    while n < count:
        start = end
        end = (start + host_load(r + LEN, 8)) & 0xffffffff
        host_store(b + V_IMM, 64, host_load(r + IMM, 32))
        host_store(b + V_IMM2, 64, host_load(r + IMM2, 16))
        host_store(b + V_DISP, 64, host_load(r + DISP, 32))
        host_store(b + V_EIP, 64, end)
        host_store(b + V_LEN, 64, host_load(r + LEN, 8))
        host_store(b + V_OPCODE, 64, host_load(r + OPCODE, 16))
        host_store(b + V_SEG, 64, host_load(r + SEG, 8))
        host_store(b + V_AMASK, 64, host_load(r + AMASK, 32))
        host_store(b + V_DST, 64, host_load(r + DST, 8) << 4)
        host_store(b + V_SRC, 64, host_load(r + SRC, 8) << 4)
        piece = host_load(b + PLAN + (n << 3), 64)
        ways = copy_piece(b, at, piece, n, start, ways)
        at = at + size_of(piece)
        n = n + 1
        r = r + 64
    r = r - 64
    length = (end - eip) & 0xffffffff
    host_store(b + INSTRUCTIONS, 64, count)
    host_store(b + LENGTH, 64, length)
    links = 0
    if host_load(piece + NATURE, 64) & FALLS:
        why = 1  # what follows has no stencil
        if host_load(piece + NATURE, 64) & LAST or ENDS[form_of(r)] or count == LONGEST or length == room: why = 0
        host_store(host_load(b + CODE, 64) + at, 8, 0xe9)
        at = at + 5
        links = out(b, at, at - 4, end, why, why == 0 and is_near(p, eip, end), links)
        at = at + size_of(host_load(b + EXITS + (why << 3), 64))
    w = b + WAYS
    shared = 0
    last = -1
    while w < b + WAYS + (ways << 4):
        way = host_load(w, 64)
        target = (way >> 32) & 0xff
        n = way >> 40
        if target == TAKEN:
            to = (end + signed(host_load(r + IMM, 32), 32)) & TARGET_MASK[form_of(r)]
            links = out(b, at, way & 0xffffffff, to, 0, is_near(p, eip, to), links)
            at = at + size_of(host_load(b + EXITS, 64))
        elif target == WARM:
            link_rel(b, way & 0xffffffff, at)
            at = stub(b, at, 2, eip, count)
        else:
            if n != last:
                shared = at
                last = n
                at = stub(b, at, 3, host_load(w + 8, 64), count - n)
            link_rel(b, way & 0xffffffff, shared)
        w = w + 16
    host_store(b + LINKED, 64, links)
    return at
