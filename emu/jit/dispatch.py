"""Between interpreter and translations: `run` looks each basic block up, enters its translation, or interprets it, and counts how often.

What is not in the index (emu/tcache/index.py), or lost its place to others, is interpreted, counted, and asked for when it is hot.
"""
from emu.isa.language import attempt, host_load, host_store
from emu.isa.state import CS
from emu.mem.paging import tlb_entry, translate
from emu.tcache.index import index_entry

REDO = 3  # of m.reason (emu/jit/stencils.py)
LOOKUPS, HITS = 2, 3  # indexes of m.counts


def probe(m, eip):
    """The translation for CS:eip: its code's host address; 0: the block is not to be translated; -1: not known."""
    a = (m.base[CS] + eip) & 0xffffffff
    n = tlb_entry(a, m.user)
    m.counts[LOOKUPS] = m.counts[LOOKUPS] + 1
    if m.tlb_read[n] != (a & 0xfffff000): return -1
    p = m.tlb_addend[n] + a
    e = index_entry(m.index, p, eip, m.mode)
    if e == 0:
        m.wanted = p
        return -1
    m.counts[HITS] = m.counts[HITS] + 1
    place = host_load(e + 12, 32)
    return m.code + place if place else 0


def set_floor(m):
    """A translation has left before an instruction: the interpreter does what was left of it, or of the budget if that is less."""
    m.floor = m.budget - (m.reason - REDO)
    if m.floor < 0: m.floor = 0


def walked(m):
    """Has the page of CS:EIP in the TLB, where it was not: whether that could be done. If not, the interpreter finds out why."""
    cr2 = m.cr2
    failed = attempt(m, translate, (m.base[CS] + m.eip) & 0xffffffff, m.user, 0)
    m.cr2 = cr2
    return failed == 0


def find(m):
    """The translation for the block at CS:EIP, or 0: interpret (to the floor or the block's end), or 1: it became hot enough to be translated (m.wanted)."""
    m.wanted = 0
    code = probe(m, m.eip)
    if code < 0 and m.wanted == 0 and walked(m): code = probe(m, m.eip)
    if code == 0: m.floor = m.budget - 1  # this instruction has no stencil; the next may have
    if code >= 0: return code
    if m.wanted == 0: return 0
    h = m.heat + (((m.wanted ^ (m.wanted >> 16)) & 0xffff) << 1)
    count = host_load(h, 16) + 1
    host_store(h, 16, count)
    if count != m.threshold: return 0
    host_store(h, 16, 0)
    return 1
