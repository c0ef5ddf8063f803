"""String instructions, and their repetition (SDM 1, 7.3.9; REP in SDM 2).

With REP, an execution moves one run of elements, then sets EIP back to the instruction if the count is not used up: so interrupts are taken between runs and
each run counts as an instruction. A run ends at the nearer end of a page, source's or destination's, and where a 16-bit offset wraps; backwards it has up to
64 elements, one with TF set or breakpoints enabled. That depends on registers alone. The registers follow after each element, or after the run where nothing in it can fault.
"""
from emu.isa.debug import armed, observe_port, repeat
from emu.isa.flags import DF, TF, flags_arithmetic, zero
from emu.isa.language import host_copy, host_fill, outlined
from emu.isa.operands import get_reg, put_reg
from emu.isa.privilege import check_io
from emu.isa.state import ES
from emu.mem.access import READ, WRITE, allowed, linear, load, store
from emu.mem.paging import tlb_entry, translate
from emu.ports import read_port, read_port_block, write_port, write_port_block

CX, DX, SI, DI = 1, 2, 6, 7
BACKWARDS = 64  # elements
REPE = 1  # i.rep


# --- elements -----------------------------------------------------------------------------------------------------------------

def step(m, w):
    """By how much SI and DI change."""
    return -(w >> 3) if m.eflags & DF else w >> 3


def add(m, n, amask, v):
    """Adds to a register of the address size."""
    m.reg[n] = (m.reg[n] & ~amask) | ((m.reg[n] + v) & amask)


def at(m, n, amask):
    return m.reg[n] & amask


def port(m):
    return m.reg[DX] & 0xffff


def move(m, seg, amask, w):
    store(m, ES, at(m, DI, amask), w, load(m, seg, at(m, SI, amask), w))
    add(m, SI, amask, step(m, w))
    add(m, DI, amask, step(m, w))


def fill(m, amask, w):
    store(m, ES, at(m, DI, amask), w, get_reg(m, 0, w))
    add(m, DI, amask, step(m, w))


def fetch(m, seg, amask, w):
    put_reg(m, 0, w, load(m, seg, at(m, SI, amask), w))
    add(m, SI, amask, step(m, w))


def compare(m, seg, amask, w):
    b = load(m, ES, at(m, DI, amask), w)
    a = load(m, seg, at(m, SI, amask), w)
    add(m, SI, amask, step(m, w))
    add(m, DI, amask, step(m, w))
    flags_arithmetic(m, a, b, a - b, w)


def scan(m, amask, w):
    a = get_reg(m, 0, w)
    b = load(m, ES, at(m, DI, amask), w)
    add(m, DI, amask, step(m, w))
    flags_arithmetic(m, a, b, a - b, w)


@outlined
def take_in(m, amask, w):
    """The destination is checked before the port is read: a device must not be read twice."""
    a = linear(m, ES, at(m, DI, amask), w >> 3, WRITE)
    translate(m, a, m.user, 1)
    translate(m, (a + (w >> 3) - 1) & 0xfffff000, m.user, 1)
    observe_port(m, port(m), w)
    store(m, ES, at(m, DI, amask), w, read_port(m, port(m), w))
    add(m, DI, amask, step(m, w))


@outlined
def put_out(m, seg, amask, w):
    v = load(m, seg, at(m, SI, amask), w)
    observe_port(m, port(m), w)
    write_port(m, port(m), w, v)
    add(m, SI, amask, step(m, w))


# --- runs ---------------------------------------------------------------------------------------------------------------------

def room(m, seg, amask, n):
    """The bytes from where register n points to the end of its page, or of 16-bit offsets."""
    page = 4096 - ((m.base[seg] + at(m, n, amask)) & 4095)
    wrap = amask + 1 - at(m, n, amask)
    return page if page < wrap else wrap


def length(m, amask, w, space):
    """The elements of a run, out of the count and the room for it."""
    n = space >> (w >> 4)
    if m.eflags & DF: n = BACKWARDS
    if n == 0 or m.eflags & TF or armed(m): n = 1
    return n if n < at(m, CX, amask) else at(m, CX, amask)


def length_of_two(m, seg, amask, w):
    a = room(m, seg, amask, SI)
    b = room(m, ES, amask, DI)
    return length(m, amask, w, a if a < b else b)


def permitted(m, seg, offset, size, need):
    """Whether the segment lets all of it be accessed."""
    if m.reach[seg] & need: return 1
    return allowed(m, seg, offset, size, need)


def readable(m, seg, amask, n, size):
    """The host address of size bytes that register n points to, inside one page; 0 where they have to be read one by one."""
    if m.eflags & DF or permitted(m, seg, at(m, n, amask), size, READ) == 0: return 0
    a = (m.base[seg] + at(m, n, amask)) & 0xffffffff
    k = tlb_entry(a, m.user)
    if (a & 4095) + size > 4096: return 0
    if m.tlb_read[k] != a & 0xfffff000: translate(m, a, m.user, 0)
    return m.tlb_addend[k] + a if m.tlb_read[k] == a & 0xfffff000 else 0


def writable(m, amask, size):
    """The host address of size bytes at ES:DI, inside one page; 0 where they have to be written one by one."""
    if m.eflags & DF or permitted(m, ES, at(m, DI, amask), size, WRITE) == 0: return 0
    a = (m.base[ES] + at(m, DI, amask)) & 0xffffffff
    k = tlb_entry(a, m.user)
    if (a & 4095) + size > 4096: return 0
    if m.tlb_write[k] != a & 0xfffff000: translate(m, a, m.user, 1)
    return m.tlb_addend[k] + a if m.tlb_write[k] == a & 0xfffff000 else 0


def copy_forwards(to, source, size):
    """As byte by byte upwards: in pieces no longer than the distance, which never overlap."""
    piece = to - source if to > source else source - to
    done = 0
    while done < size and piece:
        n = size - done if size - done < piece else piece
        host_copy(to + done, source + done, n)
        done = done + n


@outlined
def move_run(m, seg, amask, w):
    n = length_of_two(m, seg, amask, w)
    size = n * (w >> 3)
    p = readable(m, seg, amask, SI, size)
    q = 0
    if p: q = writable(m, amask, size)
    if q and (q <= p or q - p >= w >> 3):
        copy_forwards(q, p, size)
        add(m, SI, amask, size)
        add(m, DI, amask, size)
        add(m, CX, amask, -n)
        n = 0
    while n > 0:
        move(m, seg, amask, w)
        add(m, CX, amask, -1)
        n = n - 1
    return at(m, CX, amask)


@outlined
def fill_run(m, amask, w):
    n = length(m, amask, w, room(m, ES, amask, DI))
    q = writable(m, amask, n * (w >> 3))
    if q:
        host_fill(q, w, m.reg[0], n)
        add(m, DI, amask, n * (w >> 3))
        add(m, CX, amask, -n)
        n = 0
    while n > 0:
        fill(m, amask, w)
        add(m, CX, amask, -1)
        n = n - 1
    return at(m, CX, amask)


@outlined
def fetch_run(m, seg, amask, w):
    n = length(m, amask, w, room(m, seg, amask, SI))
    while n > 0:
        fetch(m, seg, amask, w)
        add(m, CX, amask, -1)
        n = n - 1
    return at(m, CX, amask)


@outlined
def compare_run(m, seg, amask, w, rep):
    """The flags change with each element, as AMD has it, though the manual takes a faulting CMPS's or SCAS's back."""
    n = length_of_two(m, seg, amask, w)
    more = 1
    while n > 0 and more:
        compare(m, seg, amask, w)
        add(m, CX, amask, -1)
        more = zero(m) == (rep == REPE)
        n = n - 1
    return at(m, CX, amask) != 0 and more


@outlined
def scan_run(m, amask, w, rep):
    n = length(m, amask, w, room(m, ES, amask, DI))
    more = 1
    while n > 0 and more:
        scan(m, amask, w)
        add(m, CX, amask, -1)
        more = zero(m) == (rep == REPE)
        n = n - 1
    return at(m, CX, amask) != 0 and more


@outlined
def take_in_run(m, amask, w):
    n = length(m, amask, w, room(m, ES, amask, DI))
    q = writable(m, amask, n * (w >> 3))
    if q:
        observe_port(m, port(m), w)
        read_port_block(m, port(m), w, q, n)
        add(m, DI, amask, n * (w >> 3))
        add(m, CX, amask, -n)
        n = 0
    while n > 0:
        take_in(m, amask, w)
        add(m, CX, amask, -1)
        n = n - 1
    return at(m, CX, amask)


@outlined
def put_out_run(m, seg, amask, w):
    n = length(m, amask, w, room(m, seg, amask, SI))
    p = readable(m, seg, amask, SI, n * (w >> 3))
    if p:
        observe_port(m, port(m), w)
        write_port_block(m, port(m), w, p, n)
        add(m, SI, amask, n * (w >> 3))
        add(m, CX, amask, -n)
        n = 0
    while n > 0:
        put_out(m, seg, amask, w)
        add(m, CX, amask, -1)
        n = n - 1
    return at(m, CX, amask)


# --- texts --------------------------------------------------------------------------------------------------------------------

def again(m, i, more):
    """The instruction is executed once more if there is more to do."""
    if more:
        m.eip = m.eip - i.len
        repeat(m)


def MOVS(m, i):
    if i.rep == 0: move(m, i.seg, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, move_run(m, i.seg, i.amask, i.w))


def STOS(m, i):
    if i.rep == 0: fill(m, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, fill_run(m, i.amask, i.w))


def LODS(m, i):
    if i.rep == 0: fetch(m, i.seg, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, fetch_run(m, i.seg, i.amask, i.w))


def CMPS(m, i):
    if i.rep == 0: compare(m, i.seg, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, compare_run(m, i.seg, i.amask, i.w, i.rep))


def SCAS(m, i):
    if i.rep == 0: scan(m, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, scan_run(m, i.amask, i.w, i.rep))


def INS(m, i):
    """The right to use the port is checked even if the count is 0."""
    check_io(m, port(m), i.w)
    if i.rep == 0: take_in(m, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, take_in_run(m, i.amask, i.w))


def OUTS(m, i):
    check_io(m, port(m), i.w)
    if i.rep == 0: put_out(m, i.seg, i.amask, i.w)
    elif at(m, CX, i.amask): again(m, i, put_out_run(m, i.seg, i.amask, i.w))
