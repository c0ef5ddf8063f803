"""Instructions that go on in the next page: a fault on the way to one leaves everything as it was (SDM 3A 6.6: the program can go on as if nothing had happened)."""
import struct

import pytest

from emu.isa.segments import update_mode
from emu.isa.state import CS, DS, SS
from emu.mem.code import record_slot
from tests.harness import ENGINES, HANDLERS, PAGE_TABLE, RING0_CODE, RING0_DATA, STACK, Guest

ABSENT = 0x141000  # a page that is not there: whatever begins in its last byte before goes on in it
PLACES = range(0x120000, 0x140000)


def guest(engine: str) -> Guest:
    """Supervisor mode with paging; RAM but for ABSENT."""
    g = Guest(engine)
    g.user_mode()
    for n, selector in ((CS, RING0_CODE), (SS, RING0_DATA), (DS, RING0_DATA)): g.segment(n, selector)
    for page in range(0x120000, ABSENT, 0x1000): g.memory.write(PAGE_TABLE + (page >> 12) * 4, struct.pack('<I', page | 0x63))
    g.m.cpl = 0
    update_mode(g.m)
    return g


def go(g: Guest, eip: int) -> int:
    """Runs from there to the next HLT; EIP behind it."""
    g.m.eip, g.m.halted, g.m.eflags, g.m.reg[4] = eip, 0, 2, STACK + 0x1000
    g.go()
    assert g.m.halted
    return int(g.m.eip)


@pytest.mark.parametrize('first', [b'\x81', b'\x03', b'\xf7', b'\x66', b'\x0f', b'\xb8', b'\xd9'])
@pytest.mark.parametrize('engine', ENGINES)
def test_an_instruction_whose_rest_is_absent_changes_no_other(engine: str, first: bytes) -> None:
    """Found in Debian's kernel, whose stores went elsewhere after such a page fault: the other instruction's decoded form has the same place in the interpreter's table."""
    g = guest(engine)
    m, start = g.m, ABSENT - 1
    g.memory.write(start, first)
    other = next(a for a in PLACES if record_slot(m, m.ram + a) == record_slot(m, m.ram + start) and a & 4095 < 4090)
    g.memory.write(other, bytes.fromhex('035e04 f4'))  # add ebx, [esi+4]; hlt
    g.memory.write(STACK + 4, struct.pack('<I', 5))
    m.reg[3], m.reg[6] = 100, STACK
    assert go(g, other) == other + 4 and m.reg[3] == 105
    assert go(g, start) == HANDLERS + 14 + 1 and m.cr2 == ABSENT
    assert go(g, other) == other + 4 and m.reg[3] == 110


@pytest.mark.parametrize('engine', ['stencils', 'optimise'])
def test_a_translation_in_a_page_that_is_absent_by_now_is_not_optimised(engine: str) -> None:
    """Without INVLPG a chained jump may still lead there (SDM 3A 4.10.2.3), but no longer when its countdown is over and data have taken the page's place in the TLB."""
    g = guest(engine)
    start = ABSENT - 0x1000
    g.memory.write(start, bytes.fromhex('b900020000 49 75fd f4'))  # mov ecx, 512; again: dec ecx; jnz again; hlt
    go(g, start)
    g.m.eip, g.m.halted = start + 5, 0
    g.memory.write(PAGE_TABLE + (start >> 12) * 4, bytes(4))
    g.cpu.flush()
    g.cpu.warm()
    assert go(g, start + 5) == HANDLERS + 14 + 1 and g.m.cr2 == start + 5
