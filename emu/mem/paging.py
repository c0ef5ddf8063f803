"""Paging: linear -> physical addresses, and the TLBs that compiled code reads (SDM 3A, chapter 4).

Three ways: no paging, two levels with 4 KB and 4 MB pages, PAE's three with 4 KB and 2 MB pages. A fill makes a page's next access direct when
the page map has it; a write tag needs a dirty page that holds no code, so that the first store and stores to code come here. Every change of CR0,
CR4 drops all entries, of CR3 all but global ones. Left out: PSE-36 and no-execute, which CPUID does not announce.
What lies above 4 GB is not backed: tables there read as ones, pages there are nobody's.
"""
from emu.isa.debug import cacheable
from emu.isa.language import GP, PF, Fault, host_load, host_store, lowest, outlined
from emu.isa.state import PAGE_READ, PAGE_WRITE, TLB_BITS, TLB_ENTRIES
from emu.mem.code import code_stored

P, RW, US, A, D, PS = 1, 2, 4, 0x20, 0x40, 0x80  # bits of an entry (SDM 3A, figure 4-4)
WP, PG = 0x10000, 0x80000000  # of CR0
PSE, PAE, PGE = 0x10, 0x20, 0x80  # of CR4
FRAME = 0xffffff000  # 36 address bits
RESERVED = 0x7ffffff000000000  # the entry bits above them
PDPTE_RESERVED = 0x1e6
LARGE_RESERVED, PAE_LARGE_RESERVED = 0x3ff000, 0x1ff000  # and those of a large page's entry: CPUID announces neither PSE-36 nor PAT
RSVD = 8  # the error code's bit for them
LASTING = 2
NOWHERE = 0xfef00000  # a page that no device has
EMPTY = 0xfff  # a tag that no access has: tags are compared with the addresses of pages
BESIDE = 1  # added to a write tag: code was decoded in the page, so the code map says where stores may go


@outlined
def translate(m, a, user, writing):
    """The physical address of linear address a for an access by `user` (1: CPL 3, 0: supervisor); fills the TLB, or raises #PF."""
    if m.cr0 & PG == 0: page = (a & 0xfffff000) | 1
    elif m.cr4 & PAE: page = walk_pae(m, a, user, writing)
    else: page = walk(m, a, user, writing)
    physical = page & 0xfffff000 & m.a20
    fill(m, a, user, physical, page & 1, page & LASTING)
    return physical | (a & 4095)


def tlb_entry(a, user):
    """Which entry of the TLBs linear address a has: the supervisor's are first."""
    return ((a >> 12) & (TLB_ENTRIES - 1)) + (user << TLB_BITS)


def fill(m, a, user, physical, direct, lasting):
    """Enters the page into the TLB if it is memory and no access to it has to be looked at; direct: stores need no walk; lasting: it is global."""
    page = page_word(m, physical)
    if page & PAGE_READ and cacheable(m, a, user):
        n = tlb_entry(a, user)
        tag = a & 0xfffff000
        bit = 1 << (n & 31)
        m.tlb_used[n >> 5] = m.tlb_used[n >> 5] | bit
        if lasting: m.tlb_global[n >> 5] = m.tlb_global[n >> 5] | bit
        else: m.tlb_global[n >> 5] = m.tlb_global[n >> 5] & ~bit
        m.tlb_addend[n] = (page & -4096) - tag
        m.tlb_read[n] = tag
        m.tlb_write[n] = EMPTY
        if direct and (page & PAGE_WRITE):
            if host_load(m.code_map + ((physical >> 12) << 3), 64) == 0: m.tlb_write[n] = tag
            elif (page & -4096) == m.ram + physical: m.tlb_write[n] = tag + BESIDE


# --- the tables: a walk returns the page's address, plus 1 if stores need no other walk, plus LASTING -----------------------------------------------

def walk(m, a, user, writing):
    """32-bit paging (SDM 3A 4.3)."""
    at = (m.cr3 & 0xfffff000) + ((a >> 20) & 0xffc)
    pde = table_load(m, at, 32)
    if pde & P == 0: page_fault(m, a, 0, user, writing)
    if pde & PS and m.cr4 & PSE:
        if pde & LARGE_RESERVED: page_fault(m, a, P | RSVD, user, writing)
        permit(m, a, pde, user, writing)
        remember_large(m, a)
        pde = use(m, at, pde, 32, A | (writing << 6))
        return (pde & 0xffc00000) | (a & 0x3ff000) | storable(m, pde, pde, user) | lasting(m, pde)
    at2 = (pde & 0xfffff000) + ((a >> 10) & 0xffc)
    pte = table_load(m, at2, 32)
    if pte & P == 0: page_fault(m, a, 0, user, writing)
    permit(m, a, pde & pte, user, writing)
    use(m, at, pde, 32, A)
    pte = use(m, at2, pte, 32, A | (writing << 6))
    return (pte & 0xfffff000) | storable(m, pde & pte, pte, user) | lasting(m, pte)


def walk_pae(m, a, user, writing):
    """PAE paging (SDM 3A 4.4); the page-directory pointers were loaded with CR3."""
    pdpte = m.pdpte[a >> 30]
    if pdpte & P == 0: page_fault(m, a, 0, user, writing)
    at = (pdpte & FRAME) + ((a >> 18) & 0xff8)
    pde = table_load(m, at, 64)
    if pde & P == 0: page_fault(m, a, 0, user, writing)
    if pde & RESERVED or pde < 0: page_fault(m, a, P | RSVD, user, writing)
    if pde & PS:
        if pde & PAE_LARGE_RESERVED: page_fault(m, a, P | RSVD, user, writing)
        permit(m, a, pde, user, writing)
        remember_large(m, a)
        pde = use(m, at, pde, 64, A | (writing << 6))
        return backed((pde & FRAME & ~0x1fffff) | (a & 0x1ff000)) | storable(m, pde, pde, user) | lasting(m, pde)
    at2 = (pde & FRAME) + ((a >> 9) & 0xff8)
    pte = table_load(m, at2, 64)
    if pte & P == 0: page_fault(m, a, 0, user, writing)
    if pte & RESERVED or pte < 0: page_fault(m, a, P | RSVD, user, writing)
    permit(m, a, pde & pte, user, writing)
    use(m, at, pde, 64, A)
    pte = use(m, at2, pte, 64, A | (writing << 6))
    return backed(pte & FRAME) | storable(m, pde & pte, pte, user) | lasting(m, pte)


def remember_large(m, a):
    """INVLPG will have to drop all parts of the large page at a, also when the tables no longer show it (SDM 3A 4.10.4.1)."""
    m.tlb_large[a >> 27] = m.tlb_large[a >> 27] | (1 << ((a >> 22) & 31))


def backed(physical):
    """Addresses above 4 GB are nobody's."""
    if physical >> 32: return NOWHERE
    return physical


def permit(m, a, rights, user, writing):
    """Access rights (SDM 3A 4.6.1): RW and US as all levels together allow."""
    if user and rights & US == 0: page_fault(m, a, P, user, writing)
    if writing and rights & RW == 0 and (user or m.cr0 & WP): page_fault(m, a, P, user, writing)


def storable(m, rights, entry, user):
    """1 if this page is dirty already and may be written: the TLB may let stores through."""
    if entry & D == 0: return 0
    if rights & RW: return 1
    if user or m.cr0 & WP: return 0
    return 1


def lasting(m, entry):
    """LASTING for a global page (SDM 3A 4.10.2.4): bit 8 of the entry that maps it, if CR4.PGE is set."""
    if m.cr4 & PGE: return (entry >> 7) & LASTING
    return 0


def use(m, at, entry, w, bits):
    """Sets accessed and dirty bits of a w-bit entry (SDM 3A 4.8); the entry as it is now."""
    if bits & ~entry:
        physical = at & m.a20
        page = page_word(m, physical)
        if page & PAGE_WRITE:
            p = (page & -4096) + (at & 4095)
            if (host_load(m.code_map + ((physical >> 12) << 3), 64) >> ((physical >> 6) & 63)) & 1: code_stored(m, physical, p, w >> 3)
            host_store(p, w, entry | bits)
    return entry | bits


def table_load(m, at, w):
    """An entry of w bits; what is no memory reads as ones."""
    if at >> 32: return 0xffffffff
    page = page_word(m, at & m.a20)
    if page & PAGE_READ: return host_load((page & -4096) + (at & 4095), w)
    return 0xffffffff


def page_word(m, physical):
    """The page map's word for a physical address below 4 GB."""
    return host_load(m.page_map + ((physical >> 12) << 3), 64)


def page_fault(m, a, code, user, writing):
    """#PF (SDM 3A 4.7): bit 0 of the code tells protection from absence."""
    m.cr2 = a
    raise Fault(PF, code | (writing << 1) | (user << 2))


def load_cr3(m, v):
    """CR3 = v: with PAE the four pointers are read now (SDM 3A 4.4.1), #GP(0) for reserved bits; drops all entries but global ones."""
    if m.cr0 & PG and m.cr4 & PAE: load_pdptes(m, v)
    m.cr3 = v
    flush_local(m)


@outlined
def load_pdptes(m, cr3):
    """Reads PAE's page-directory pointers, all or none."""
    at = cr3 & 0xffffffe0
    n = 0
    while n < 4:
        e = table_load(m, at + (n << 3), 64)
        if e & P and (e & (PDPTE_RESERVED | RESERVED) or e < 0): raise Fault(GP, 0)
        n = n + 1
    n = 0
    while n < 4:
        m.pdpte[n] = table_load(m, at + (n << 3), 64)
        n = n + 1


# --- dropping entries ----------------------------------------------------------------------------------------------------------------

@outlined
def flush_tlb(m):
    """Empties both TLBs."""
    n = 0
    while n < 2 * TLB_ENTRIES:
        m.tlb_read[n] = EMPTY
        m.tlb_write[n] = EMPTY
        n = n + 1
    n = 0
    while n < TLB_ENTRIES >> 4:
        m.tlb_used[n] = 0
        m.tlb_global[n] = 0
        n = n + 1
    n = 0
    while n < 32:
        m.tlb_large[n] = 0
        n = n + 1


@outlined
def flush_local(m):
    """Empties what is not global."""
    k = 0
    while k < TLB_ENTRIES >> 4:
        entries = m.tlb_used[k] & ~m.tlb_global[k]
        m.tlb_used[k] = m.tlb_used[k] & m.tlb_global[k]
        while entries:
            n = (k << 5) + lowest(entries)
            m.tlb_read[n] = EMPTY
            m.tlb_write[n] = EMPTY
            entries = entries & (entries - 1)
        k = k + 1


@outlined
def flush_page(m, a):
    """Drops the page of linear address a (INVLPG); all entries where some may be parts of a large page there."""
    if (m.tlb_large[a >> 27] >> ((a >> 22) & 31)) & 1: flush_tlb(m)
    else:
        n = tlb_entry(a, 0)
        m.tlb_read[n] = EMPTY
        m.tlb_write[n] = EMPTY
        m.tlb_read[n + TLB_ENTRIES] = EMPTY
        m.tlb_write[n + TLB_ENTRIES] = EMPTY


# --- pages that hold code -------------------------------------------------------------------------------------------------------------

def mark_code(m, physical, n):
    """n bytes inside one page were decoded: sets their granules in the code map."""
    word = m.code_map + ((physical >> 12) << 3)
    old = host_load(word, 64)
    bits = (2 << (((physical + n - 1) >> 6) & 63)) - (1 << ((physical >> 6) & 63))
    if bits & ~old:
        host_store(word, 64, old | bits)
        if old == 0: write_protect(m, physical)


@outlined
def write_protect(m, physical):
    """This page holds code from now on: write tags that lead to it say so, or are emptied where it is not RAM's own."""
    host = page_word(m, physical) & -4096
    n = 0
    while n < 2 * TLB_ENTRIES:
        if m.tlb_write[n] != EMPTY and m.tlb_addend[n] + m.tlb_write[n] == host:
            m.tlb_write[n] = m.tlb_write[n] + BESIDE if host == m.ram + (physical & -4096) else EMPTY
        n = n + 1
