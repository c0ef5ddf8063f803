"""Fetching for compiled code: CS:EIP -> a decoded record, in the language of the texts (docs/texts.md).

Records lie in a direct-mapped table of 2**RECORD_BITS; a record's key is the host address of its first byte, shifted left by 1, plus CS.D.
Bytes that are decoded are marked in the code map, so that a store to them empties the records (emu/cpu.py).
"""
from emu.decoder import record
from emu.decoder.decode import decode
from emu.decoder.table import FORMS
from emu.isa.debug import observe_fetch
from emu.isa.language import GP, UD, Fault, host_copy, host_load, host_store, log_code, outlined
from emu.isa.state import CS, LOG_CODE, PAGE_READ
from emu.mem.code import record_slot
from emu.mem.paging import mark_code, tlb_entry, translate

RECORD_BITS = 16
ENDS = tuple(int(form.ends != '') for form in FORMS)
FORM = record.FIELDS['form'].offset
HANDLER = record.FIELDS['handler'].offset


def current(m):
    """The host address of the record of the instruction at CS:EIP."""
    a = (m.base[CS] + m.eip) & 0xffffffff
    n = tlb_entry(a, m.user)
    if m.tlb_read[n] == (a & 0xfffff000) and m.eip + 15 <= m.limit[CS]:
        p = m.tlb_addend[n] + a
        r = record_slot(m, p)
        if host_load(r, 64) == (p << 1) + m.code32: return r
    return fetch(m)


@outlined
def decode_at(m, r, p, n):
    return decode(r, p, n, m.code32)


@outlined
def decode_block(m, r, p, room, count):
    """Decodes from host address p, which has room bytes to its page's end, to the end of the basic block, at most count instructions; how many.

    Their records go to r on.
    """
    n = 0
    more = 1
    while more:
        length = decode_at(m, r + (n << 6), p, room if room < 16 else 16)
        p = p + length
        room = room - length
        if length: n = n + 1
        more = length != 0 and ENDS[form_of(r + ((n - 1) << 6))] == 0 and room > 0 and n < count
    return n


@outlined
def fetch(m):
    """Decodes the instruction at CS:EIP; its record's host address (SDM 3A 5.3 for the limit)."""
    a = (m.base[CS] + m.eip) & 0xffffffff
    observe_fetch(m, a)
    if m.eip > m.limit[CS]: raise Fault(GP, 0)
    physical = translate(m, a, m.user, 0)
    page = host_load(m.page_map + ((physical >> 12) << 3), 64)
    if page & PAGE_READ == 0: raise Fault(UD, 0)  # device memory reads as FF FF, an invalid opcode
    p = (page & -4096) + (physical & 4095)
    r = record_slot(m, p)
    host_store(r, 64, -1)  # decoding overwrites what is there, whether this instruction can be had or not
    room = 4096 - (a & 4095)
    key = (p << 1) + m.code32
    length = decode_at(m, r, p, room if room < 16 else 16)
    if length: mark_code(m, physical, length)
    else:  # it goes on in the next page: decoded anew each time
        key = -1
        second = translate(m, (a + room) & 0xffffffff, m.user, 0)
        page = host_load(m.page_map + ((second >> 12) << 3), 64)
        if page & PAGE_READ == 0: raise Fault(UD, 0)
        host_copy(m.fetch_pointer, p, room)
        host_copy(m.fetch_pointer + room, page & -4096, 16)
        length = decode_at(m, r, m.fetch_pointer, 16)
    if m.eip + length - 1 > m.limit[CS]: raise Fault(GP, 0)
    if m.logging & LOG_CODE: log_code(m, p if key != -1 else m.fetch_pointer, length)
    host_store(r, 64, key)
    host_store(r + HANDLER, 64, host_load(m.handlers + (form_of(r) << 3), 64))
    return r


def form_of(r):
    return host_load(r + FORM, 16)
