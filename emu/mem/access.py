"""Memory as an instruction sees it: segment and offset -> linear address -> TLB -> host memory, or the slow paths.

The inline part is what translations contain; everything outlined is the interpreter's. emu/mem/paging.py walks the tables.
"""
from emu.isa.debug import READ as READ_BREAKPOINT
from emu.isa.debug import WRITE as WRITE_BREAKPOINT
from emu.isa.debug import observe
from emu.isa.language import GP, Fault, host_load, host_store, mask, mmio_read, mmio_write, outlined
from emu.isa.language import SS as STACK_FAULT
from emu.isa.state import PAGE_READ, PAGE_WRITE, SS
from emu.mem.code import code_stored
from emu.mem.paging import BESIDE, tlb_entry, translate
from emu.mem.vga import covers, read_video, write_video

READ, WRITE = 1, 2  # bits of reach


@outlined
def allowed(m, seg, offset, size, need):
    """Whether limit and type let size bytes be accessed (SDM 3A 5.3 to 5.5)."""
    code = (m.access[seg] >> 3) & 1
    ok = (m.access[seg] >> 7) & 1
    if need == WRITE: ok = ok & (code ^ 1) & (m.access[seg] >> 1)
    elif code: ok = ok & (m.access[seg] >> 1)
    last = (offset + size - 1) & 0xffffffff
    if code == 0 and (m.access[seg] & 4):  # expand-down: valid above the limit
        top = 0xffff
        if m.access[seg] & 0x4000: top = 0xffffffff
        if offset <= m.limit[seg] or last > top or last < offset: ok = 0
    elif last > m.limit[seg] or last < offset: ok = 0
    return ok & 1


@outlined
def check_segment(m, seg, offset, size, need):
    """#SS for the stack segment, #GP for others, unless the access is allowed."""
    if allowed(m, seg, offset, size, need) == 0:
        if seg == SS: raise Fault(STACK_FAULT, 0)
        raise Fault(GP, 0)


def linear(m, seg, offset, size, need):
    """The linear address of a checked access."""
    if (m.reach[seg] & need) == 0:
        if offset + size - 1 > (m.writing[seg] if need == WRITE else m.reading[seg]): check_segment(m, seg, offset, size, need)
    return (m.base[seg] + offset) & 0xffffffff


def load(m, seg, offset, w):
    """Reads w bits at seg:offset with the current privilege."""
    return read(m, linear(m, seg, offset, w >> 3, READ), w, m.user)


def load_for_write(m, seg, offset, w):
    """Reads w bits that will be written next: it takes the right to write, and faults as a write (SDM 3A 4.7, W/R)."""
    return read_for_write(m, linear(m, seg, offset, w >> 3, WRITE), w, m.user)


def store(m, seg, offset, w, v):
    """Writes w bits at seg:offset with the current privilege."""
    write(m, linear(m, seg, offset, w >> 3, WRITE), w, v, m.user)


def read(m, a, w, user):
    """Reads w bits at linear address a; user: 1 with user privilege, 0 as supervisor."""
    n = tlb_entry(a, user)
    if m.tlb_read[n] == ((a + (w >> 3) - 1) & 0xfffff000): return host_load(m.tlb_addend[n] + a, w)
    return read_slow(m, a, w, user)


def read_for_write(m, a, w, user):
    """Reads w bits at linear address a, which will be written next."""
    n = tlb_entry(a, user)
    if m.tlb_write[n] == ((a + (w >> 3) - 1) & 0xfffff000): return host_load(m.tlb_addend[n] + a, w)
    return read_beside(m, a, w, user, n)


def write(m, a, w, v, user):
    """Writes the low w bits of v at linear address a."""
    n = tlb_entry(a, user)
    if m.tlb_write[n] == ((a + (w >> 3) - 1) & 0xfffff000): host_store(m.tlb_addend[n] + a, w, v)
    else: write_beside(m, a, w, v, user, n)


@outlined
def read_beside(m, a, w, user, n):
    """What will be written next may lie in a page with code. n: the TLB's entry."""
    if m.tlb_write[n] == ((a + (w >> 3) - 1) & 0xfffff000) + BESIDE: return host_load(m.tlb_addend[n] + a, w)
    return read_for_write_slow(m, a, w, user)


@outlined
def write_beside(m, a, w, v, user, n):
    """A store to a page with code, where there is none. Stencils leave here, optimised translations and the interpreter do it."""
    free = 0
    if m.tlb_write[n] == ((a + (w >> 3) - 1) & 0xfffff000) + BESIDE: free = is_free(m, m.tlb_addend[n] + a, w >> 3)
    if free: host_store(m.tlb_addend[n] + a, w, v)
    else: write_slow(m, a, w, v, user)


def is_free(m, p, size):
    """Whether nothing was decoded of the granules of `size` bytes at host address p in RAM."""
    code = host_load(m.code_map + (((p - m.ram) >> 12) << 3), 64)
    return ((code >> ((p >> 6) & 63)) | (code >> (((p + size - 1) >> 6) & 63))) & 1 == 0


def writable(m, p, n):
    """Faults now if not all of n bytes at linear address p can be written."""
    translate(m, p, m.user, 1)
    if (p & 4095) + n > 4096: translate(m, (p + n - 1) & 0xfffff000, m.user, 1)


def readable(m, p, n):
    """Faults now if not all of n bytes at linear address p can be read."""
    translate(m, p, m.user, 0)
    if (p & 4095) + n > 4096: translate(m, (p + n - 1) & 0xfffff000, m.user, 0)


@outlined
def read_slow(m, a, w, user):
    """A TLB miss, an access to two pages, a device, a breakpoint's page: w bits."""
    size = w >> 3
    observe(m, a, size, user, READ_BREAKPOINT)
    if (a & 4095) + size > 4096:  # two pages: translate both before anything is read
        translate(m, a, user, 0)
        translate(m, (a + size - 1) & 0xfffff000, user, 0)
        v = 0
        k = 0
        while k < size:
            v = v | (read_byte(m, (a + k) & 0xffffffff, user) << (k << 3))
            k = k + 1
        return v
    physical = translate(m, a, user, 0)
    page = host_load(m.page_map + ((physical >> 12) << 3), 64)
    if page & PAGE_READ: return host_load((page & -4096) + (physical & 4095), w)
    return device_read(m, physical, w)


@outlined
def read_for_write_slow(m, a, w, user):
    """Translates for writing, then reads."""
    translate(m, a, user, 1)
    if (a & 4095) + (w >> 3) > 4096: translate(m, (a + (w >> 3) - 1) & 0xfffff000, user, 1)
    return read_slow(m, a, w, user)


@outlined
def read_byte(m, a, user):
    physical = translate(m, a, user, 0)
    page = host_load(m.page_map + ((physical >> 12) << 3), 64)
    if page & PAGE_READ: return host_load((page & -4096) + (physical & 4095), 8)
    return device_read(m, physical, 8)


@outlined
def write_slow(m, a, w, v, user):
    """A TLB miss, an access to two pages, a device, a page that holds code, a breakpoint's page."""
    size = w >> 3
    observe(m, a, size, user, WRITE_BREAKPOINT)
    if (a & 4095) + size > 4096:
        translate(m, a, user, 1)
        translate(m, (a + size - 1) & 0xfffff000, user, 1)
        k = 0
        while k < size:
            write_physical(m, translate(m, (a + k) & 0xffffffff, user, 1), 8, v >> (k << 3))
            k = k + 1
    else: write_physical(m, translate(m, a, user, 1), w, v)


@outlined
def write_physical(m, physical, w, v):
    """Stores inside one physical page, telling whoever holds translations of it."""
    page = host_load(m.page_map + ((physical >> 12) << 3), 64)
    if page & PAGE_WRITE:
        p = (page & -4096) + (physical & 4095)
        code = host_load(m.code_map + ((physical >> 12) << 3), 64)
        if code:
            if (host_load(p, w) ^ v) & mask(w) == 0: return
            last = physical + (w >> 3) - 1
            if (code >> ((physical >> 6) & 63)) & 1: code_stored(m, physical, p, w >> 3)
            if (physical ^ last) & 64 and (code >> ((last >> 6) & 63)) & 1: code_stored(m, last, p, w >> 3)
        host_store(p, w, v)
    else: device_write(m, physical, w, v)


@outlined
def device_read(m, physical, w):
    """w bits inside a page that is no memory: the display adapter's, or whoever is on the bus."""
    if m.vga:
        if covers(m, physical): return read_video(m, physical, w)
    if w == 64: return mmio_read(m, physical, 32) | (mmio_read(m, physical + 4, 32) << 32)
    return mmio_read(m, physical, w)


@outlined
def device_write(m, physical, w, v):
    """Writes w bits inside a page that is no memory."""
    mine = 0
    if m.vga: mine = covers(m, physical)
    if mine: write_video(m, physical, w, v)
    elif w == 64:
        mmio_write(m, physical, 32, v)
        mmio_write(m, physical + 4, 32, v >> 32)
    else: mmio_write(m, physical, w, v)
