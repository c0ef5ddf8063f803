"""emu/mem/paging.py against SDM 3A chapter 4: walks, rights, accessed and dirty bits, error codes, and what the TLB may hold."""
import struct
from typing import Any

import numpy as np
import pytest

from emu.isa import models
from emu.isa.language import GP, PF, Fault
from emu.isa.reset import reset
from emu.isa.state import TLB_ENTRIES, State
from emu.mem.access import read, write
from emu.mem.memory import Memory
from emu.mem.paging import BESIDE, EMPTY, NOWHERE, PAE, PG, PGE, PSE, WP, flush_page, flush_tlb, load_cr3, mark_code, tlb_entry, translate

DIRECTORY, TABLE, POINTERS = 0x10000, 0x11000, 0x12000
P, RW, US, A, D, PS, G = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
USER, SUPERVISOR, WRITING, READING = 1, 0, 1, 0
PAGE = 0x40_3000  # the linear page that the tests look at: entry 1 of the directory, 3 of the table (PAE: 2 and 3)


class Bus:
    def mmio_read(self, physical: int, w: int) -> int:
        return (1 << w) - 1


class Machine:
    def __init__(self) -> None:
        self.memory = Memory(1 << 20)
        self.m: Any = State(Bus())
        models.apply(self.m, 'default')
        self.m.page_map, self.m.code_map = self.memory.page_map.ctypes.data, self.memory.code_map.ctypes.data
        reset(self.m)

    def two_levels(self, pde: int, pte: int, cr0: int = 0, cr4: int = 0) -> Any:
        """Paging on; PAGE goes through these entries."""
        self.memory.write(DIRECTORY + 4, struct.pack('<I', pde))
        self.memory.write(TABLE + 12, struct.pack('<I', pte))
        self.m.cr0, self.m.cr3, self.m.cr4 = PG | 1 | cr0, DIRECTORY, cr4
        flush_tlb(self.m)
        return self.m

    def three_levels(self, pde: int, pte: int) -> Any:
        self.memory.write(POINTERS, struct.pack('<4Q', DIRECTORY | P, 0, 0, 0))
        self.memory.write(DIRECTORY + 16, struct.pack('<Q', pde))
        self.memory.write(TABLE + 24, struct.pack('<Q', pte))
        self.m.cr0, self.m.cr4 = PG | 1, PAE
        load_cr3(self.m, POINTERS)
        return self.m

    def word(self, physical: int) -> int:
        return struct.unpack('<I', self.memory.read(physical, 4))[0]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def fault(m: Any, user: int, writing: int, a: int = PAGE) -> int:
    """The #PF error code of an access."""
    with pytest.raises(Fault) as caught:
        translate(m, a, user, writing)
    assert caught.value.vector == PF and m.cr2 == a
    return caught.value.code


def test_off(machine: Machine) -> None:
    """4.1.1: without paging, linear addresses are physical; A20 masks them."""
    m = machine.m
    assert translate(m, 0x12345, USER, WRITING) == 0x12345
    m.a20 = 0xffefffff
    assert translate(m, 0x112345, SUPERVISOR, READING) == 0x12345


def test_walk(machine: Machine) -> None:
    """4.3: 10 + 10 + 12 bits; 4.8: A in both entries, D when written."""
    m = machine.two_levels(TABLE | P | RW | US, 0x5000 | P | RW | US)
    assert translate(m, PAGE + 0x123, USER, READING) == 0x5123
    assert machine.word(DIRECTORY + 4) & (A | D) == A and machine.word(TABLE + 12) & (A | D) == A
    assert translate(m, PAGE + 0x123, USER, WRITING) == 0x5123
    assert machine.word(TABLE + 12) & (A | D) == A | D


@pytest.mark.parametrize('pde, pte, user, writing, code', [
    (0, P, SUPERVISOR, READING, 0), (P, 0, SUPERVISOR, WRITING, 2), (P, 0, USER, READING, 4), (P | US, P, USER, READING, 5), (P, P | US, USER, READING, 5),
    (P | US, P | US | RW, USER, WRITING, 7), (P | US | RW, P | US, USER, WRITING, 7)])
def test_error_code(machine: Machine, pde: int, pte: int, user: int, writing: int, code: int) -> None:
    """4.7: P, W/R, U/S; nothing is marked in the tables."""
    m = machine.two_levels(TABLE | pde if pde else 0, 0x5000 | pte if pte else 0)
    assert fault(m, user, writing) == code
    assert machine.word(TABLE + 12) & (A | D) == 0


def test_write_protect_flag(machine: Machine) -> None:
    """4.6.1: a supervisor ignores R/W unless CR0.WP is set."""
    assert translate(machine.two_levels(TABLE | P, 0x5000 | P), PAGE, SUPERVISOR, WRITING) == 0x5000
    assert fault(machine.two_levels(TABLE | P, 0x5000 | P, cr0=WP), SUPERVISOR, WRITING) == 3


def test_large_page(machine: Machine) -> None:
    """4.3: with CR4.PSE a directory entry may map 4 MB; without, bit 7 is ignored."""
    m = machine.two_levels(P | RW | PS, 0, cr4=PSE)
    assert translate(m, PAGE + 5, SUPERVISOR, WRITING) == 0x3005
    assert machine.word(DIRECTORY + 4) == P | RW | PS | A | D
    assert translate(machine.two_levels(TABLE | P | PS, 0x5000 | P), PAGE, SUPERVISOR, READING) == 0x5000


@pytest.mark.parametrize('bit', [12, 13, 20, 21])
def test_reserved_bits_of_large_pages(machine: Machine, bit: int) -> None:
    """4.3 and 4.4.2, tables 4-4 and 4-9: without PSE-36 and PAT what lies below a large page's address is reserved: #PF with RSVD (4.7), rights do not count."""
    m = machine.two_levels(P | PS | 1 << bit, 0, cr4=PSE)
    assert fault(m, USER, WRITING) == 0xf and fault(m, SUPERVISOR, READING) == 9
    m = machine.three_levels(P | RW | PS | 1 << bit, 0)
    if bit == 21: assert translate(m, PAGE, SUPERVISOR, READING) == 0x203000
    else: assert fault(m, SUPERVISOR, READING) == 9


@pytest.mark.parametrize('pae', [False, True])
def test_invlpg_of_what_was_large(machine: Machine, pae: bool) -> None:
    """4.10.4.1: INVLPG drops the whole large page that the TLB holds, also where the tables no longer show one: Linux clears a huge page's entry, then drops it."""
    m = machine.three_levels(P | RW | PS, 0) if pae else machine.two_levels(P | RW | PS, 0, cr4=PSE)
    translate(m, PAGE, SUPERVISOR, READING)
    machine.memory.write(DIRECTORY + (16 if pae else 4), bytes(8))
    flush_page(m, PAGE + 0x5000)
    assert m.tlb_read[tlb_entry(PAGE, SUPERVISOR)] == EMPTY and fault(m, SUPERVISOR, READING) == 0


def test_pae(machine: Machine) -> None:
    """4.4.2: 2 + 9 + 9 + 12 bits, and 2 MB pages."""
    m = machine.three_levels(TABLE | P | RW | US, 0x5000 | P | RW | US)
    assert translate(m, PAGE + 7, USER, WRITING) == 0x5007
    assert machine.word(TABLE + 24) & (A | D) == A | D
    m = machine.three_levels(P | RW | PS, 0)
    assert translate(m, PAGE + 7, SUPERVISOR, READING) == 0x3007
    assert fault(m, USER, READING) == 5
    assert fault(m, SUPERVISOR, READING, 0xc0000000) == 0


def test_pae_reserved(machine: Machine) -> None:
    """4.4.2: address bits that the processor lacks are reserved: RSVD in the code; 4.4.1: pointers with reserved bits are #GP(0) at MOV CR3."""
    assert fault(machine.three_levels(TABLE | P, 1 << 40 | P), SUPERVISOR, READING) == 9
    machine.memory.write(POINTERS, struct.pack('<Q', DIRECTORY | P | RW))
    with pytest.raises(Fault) as caught:
        load_cr3(machine.m, POINTERS)
    assert caught.value.vector == GP


def test_above_4g(machine: Machine) -> None:
    """Memory above 4 GB is nobody's."""
    assert translate(machine.three_levels(TABLE | P, 0x2_0000_5000 | P), PAGE + 1, SUPERVISOR, READING) == NOWHERE + 1


def entry(m: Any, user: int) -> tuple[int, int]:
    n = tlb_entry(PAGE, user)
    return m.tlb_read[n], m.tlb_write[n]


def test_write_tag(machine: Machine) -> None:
    """4.8: the first store sets D, so a page that is not dirty has no write tag."""
    m = machine.two_levels(TABLE | P | RW | US, 0x5000 | P | RW | US)
    translate(m, PAGE, USER, READING)
    assert entry(m, USER) == (PAGE, EMPTY) and entry(m, SUPERVISOR) == (EMPTY, EMPTY)
    write(m, PAGE + 4, 32, 0x12345678, USER)
    assert entry(m, USER) == (PAGE, PAGE)
    assert read(m, PAGE + 4, 32, USER) == machine.word(0x5004) == 0x12345678


def test_flush(machine: Machine) -> None:
    """4.10.4.1: INVLPG drops a page, and all parts of a large one."""
    m = machine.two_levels(TABLE | P | RW | US, 0x5000 | P | RW | US)
    translate(m, PAGE, USER, WRITING)
    flush_page(m, PAGE + 0x800)
    assert entry(m, USER) == (EMPTY, EMPTY)
    m = machine.two_levels(P | RW | PS, 0, cr4=PSE)
    translate(m, PAGE, SUPERVISOR, READING)
    flush_page(m, 0x400000)
    assert entry(m, SUPERVISOR) == (EMPTY, EMPTY)


def test_code_pages(machine: Machine) -> None:
    """A page with code is not directly writable; stores beside its granules change nothing, those that change them drop what was made of them."""
    m = machine.two_levels(TABLE | P | RW | US, 0x5000 | P | RW | US)
    records, translated, code = np.full((1 << 16, 8), -1, np.int64), np.zeros(6, np.int64), machine.memory.code_map
    m.records, m.blob_map = records.ctypes.data, translated.ctypes.data
    write(m, PAGE, 32, 0, USER)
    mark_code(m, 0x5000 + 0x7e, 4)
    assert code[5] == 0b110
    translated[5] = 0b110
    assert entry(m, USER) == (PAGE, EMPTY)
    write(m, PAGE + 0x30, 32, 0, USER)
    assert code[5] == 0b110 and entry(m, USER) == (PAGE, EMPTY)
    write(m, PAGE + 0x7e, 8, 0, USER)
    assert code[5] == 0b110  # it is 0 already
    write(m, PAGE + 0x7e, 8, 1, USER)
    assert code[5] == translated[5] == 0b100
    mark_code(m, 0x5ffe, 2)
    assert code[5] == 0b100 - (1 << 63)
    m.ram = machine.memory.host  # where a page is RAM's own, compiled code looks into the code map
    translate(m, PAGE, USER, WRITING)
    assert entry(m, USER) == (PAGE, PAGE + BESIDE)


def test_device(machine: Machine) -> None:
    """A device's page stays out of the TLB; tables there read as ones."""
    m = machine.two_levels(TABLE | P, 0xa0000 | P)
    assert read(m, PAGE, 16, SUPERVISOR) == 0xffff and entry(m, SUPERVISOR) == (EMPTY, EMPTY)
    m.cr3 = 0xa0000
    assert translate(m, PAGE, SUPERVISOR, READING) == 0xfffff000


@pytest.mark.parametrize('pge, pte, stays', [(PGE, P | G, True), (PGE, P, False), (0, P | G, False)])
def test_global_pages_outlive_cr3(machine: Machine, pge: int, pte: int, stays: bool) -> None:
    """4.10.4.1: MOV to CR3 leaves the translations of global pages if CR4.PGE is set; INVLPG and a change of CR4.PGE do not."""
    m = machine.two_levels(TABLE | P, 0x5000 | pte, cr4=pge)
    translate(m, PAGE, SUPERVISOR, READING)
    load_cr3(m, DIRECTORY)
    assert entry(m, SUPERVISOR)[0] == (PAGE if stays else EMPTY)
    translate(m, PAGE, SUPERVISOR, READING)
    flush_page(m, PAGE)
    assert entry(m, SUPERVISOR)[0] == EMPTY
    translate(m, PAGE, SUPERVISOR, READING)
    flush_tlb(m)
    load_cr3(m, DIRECTORY)
    assert entry(m, SUPERVISOR)[0] == EMPTY and not any(m.tlb_global)


def test_a_global_page_gives_its_place_to_another(machine: Machine) -> None:
    """What is entered over it is no longer global."""
    m = machine.two_levels(TABLE | P, 0x5000 | P | G, cr4=PGE)
    translate(m, PAGE, SUPERVISOR, READING)
    other = PAGE + TLB_ENTRIES * 0x1000
    assert tlb_entry(other, SUPERVISOR) == tlb_entry(PAGE, SUPERVISOR)
    machine.memory.write(DIRECTORY + 4 * (other >> 22), struct.pack('<I', TABLE | P))
    machine.memory.write(TABLE + 12, struct.pack('<I', 0x5000 | P))
    translate(m, other, SUPERVISOR, READING)
    load_cr3(m, DIRECTORY)
    assert entry(m, SUPERVISOR)[0] == EMPTY


def test_global_large_pages(machine: Machine) -> None:
    m = machine.two_levels(P | PS | G, 0, cr4=PGE | PSE)
    translate(m, PAGE, SUPERVISOR, READING)
    load_cr3(m, DIRECTORY)
    assert entry(m, SUPERVISOR)[0] == PAGE
