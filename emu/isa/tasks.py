"""Hardware task switches by far JMP, CALL, interrupt and IRET, between 16- and 32-bit TSSes (SDM 3A, chapter 7).

What can fault in the old task is done first: both TSSes and descriptors are checked and translated before anything is written. Faults
of loading the new task's segments belong to the new task: they are raised with its EIP.
"""
from emu.isa.debug import SWITCH, resumable
from emu.isa.flags import NT, VM, eflags_image
from emu.isa.language import GP, NP, TS, Fault, attempt, outlined
from emu.isa.operands import put_reg
from emu.isa.privilege import IO_MAP, set_flags
from emu.isa.segments import (
    BUSY,
    CODE,
    CONFORMING,
    TASK_SWITCHED,
    TSS16,
    accessed,
    base_of,
    data_descriptor,
    descriptor,
    dpl_of,
    error_code,
    global_descriptor,
    limit_of,
    load_ldt,
    place,
    present,
    set_null,
    set_real,
    set_segment,
    stack_descriptor,
    type_of,
    update_mode,
)
from emu.isa.slices import stop
from emu.isa.state import CS, DS, ES, FS, GS, LDTR, SS, TR
from emu.mem.access import read, write
from emu.mem.paging import PG, load_cr3, translate

JUMP, CALL, RETURN = 0, 1, 2  # why tasks switch: an interrupt is a CALL, IRET a RETURN
WIDE = 8  # of a TSS's access and type: 32 bits
CR3, EIP32, EFLAGS32, REG32, SEG32, LDT32, T32 = 0x1c, 0x20, 0x24, 0x28, 0x48, 0x60, 0x64  # SDM 3A, figure 7-2
SP16, IP16, FLAGS16, REG16, SEG16, LDT16 = 2, 0xe, 0x10, 0x12, 0x22, 0x2a  # figure 7-10
LOCAL_BREAKPOINTS = 0x155  # DR7's L0 to L3 and LE
ALL_FLAGS = 0x267700  # TF IF DF IOPL NT VM AC ID; RF: emu/isa/debug.py


def field32(m, n):
    """A dword of the current TSS."""
    return read(m, (m.base[TR] + n) & 0xffffffff, 32, 0)


def field16(m, n):
    return read(m, (m.base[TR] + n) & 0xffffffff, 16, 0)


def put32(m, n, v):
    write(m, (m.base[TR] + n) & 0xffffffff, 32, v, 0)


def put16(m, n, v):
    write(m, (m.base[TR] + n) & 0xffffffff, 16, v, 0)


# --- stacks of inner levels ------------------------------------------------------------------------------------------------------------

@outlined
def inner_sp(m, cpl):
    """The stack pointer that the TSS has for privilege level cpl."""
    if m.access[TR] & WIDE:
        if 9 + (cpl << 3) > m.limit[TR]: raise Fault(TS, error_code(m, m.selector[TR]))
        return field32(m, 4 + (cpl << 3))
    if 5 + (cpl << 2) > m.limit[TR]: raise Fault(TS, error_code(m, m.selector[TR]))
    return field16(m, SP16 + (cpl << 2))


@outlined
def inner_ss(m, cpl):
    """The stack segment that goes with it."""
    if m.access[TR] & WIDE: return field16(m, 8 + (cpl << 3))
    return field16(m, 4 + (cpl << 2))


# --- the switch ------------------------------------------------------------------------------------------------------------------------

@outlined
def switch_task(m, selector, why, length):
    """Saves this task, loads the one of this TSS selector; `length` is what the engine takes off EIP when this raises."""
    d = task_descriptor(m, selector, why)
    touch(m, m.base[TR], IO_MAP if m.access[TR] & WIDE else LDT16 + 2, 1)
    touch(m, base_of(d), IO_MAP if type_of(d) & WIDE else LDT16 + 2, 0)
    if why == CALL: touch(m, base_of(d), 2, 1)
    if why != CALL: touch(m, place(m, m.selector[TR]), 8, 1)
    if why != RETURN: touch(m, place(m, selector), 8, 1)
    if m.access[TR] & WIDE: save32(m, why)
    else: save16(m, why)
    if why != CALL: set_busy(m, m.selector[TR], 0)
    if why != RETURN: set_busy(m, selector, BUSY)
    if why == CALL: write(m, base_of(d), 16, m.selector[TR], 0)
    set_segment(m, TR, selector, d | (BUSY << 40))
    m.cr0 = m.cr0 | TASK_SWITCHED
    m.dr[7] = m.dr[7] & ~LOCAL_BREAKPOINTS
    cr3 = m.cr3
    if m.access[TR] & WIDE:
        if m.cr0 & PG: cr3 = field32(m, CR3)  # read only when paging is enabled (80386 Programmer's Reference, 7.1)
        if field16(m, T32) & 1: m.hit = m.hit | SWITCH  # a trap before the new task's first instruction (SDM 3B 17.3.1.5)
        load32(m)
    else: load16(m)
    if why == CALL: m.eflags = m.eflags | NT
    failed = attempt(m, enter_task, cr3)
    update_mode(m)
    stop(m)
    if failed:
        m.eip = m.eip + length
        raise Fault(m.fault_vector, m.fault_code)


@outlined
def task_descriptor(m, selector, why):
    """The TSS to go to: available, but for IRET's, which is busy (SDM 3A 7.3)."""
    d = global_descriptor(m, selector)
    vector = TS if why == RETURN else GP
    wanted = BUSY if why == RETURN else 0
    if type_of(d) & ~WIDE != TSS16 | wanted: raise Fault(vector, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    if limit_of(d) < (0x67 if type_of(d) & WIDE else 0x2b): raise Fault(TS, error_code(m, selector))
    return d


@outlined
def touch(m, a, size, writing):
    """So that no access to these bytes can fault later."""
    translate(m, a, 0, writing)
    translate(m, (a + size - 1) & 0xffffffff, 0, writing)


def set_busy(m, selector, busy):
    """A TSS descriptor's busy bit in the GDT."""
    a = place(m, selector) + 5
    write(m, a, 8, (read(m, a, 8, 0) & ~BUSY) | busy, 0)


@outlined
def save32(m, why):
    """The old task's registers into its TSS; IRET leaves NT clear."""
    flags = eflags_image(m)
    if why == RETURN: flags = flags & ~NT
    put32(m, EIP32, m.eip)
    put32(m, EFLAGS32, flags)
    n = 0
    while n < 8:
        put32(m, REG32 + (n << 2), m.reg[n])
        if n < 6: put16(m, SEG32 + (n << 2), m.selector[n])
        n = n + 1


@outlined
def save16(m, why):
    flags = eflags_image(m)
    if why == RETURN: flags = flags & ~NT
    put16(m, IP16, m.eip)
    put16(m, FLAGS16, flags)
    n = 0
    while n < 8:
        put16(m, REG16 + (n << 1), m.reg[n])
        if n < 4: put16(m, SEG16 + (n << 1), m.selector[n])
        n = n + 1


@outlined
def load32(m):
    """The new task's registers; segments get their selectors only."""
    set_flags(m, field32(m, EFLAGS32), ALL_FLAGS | resumable(m))
    m.eip = field32(m, EIP32)
    n = 0
    while n < 8:
        m.reg[n] = field32(m, REG32 + (n << 2))
        if n < 6: set_null(m, n, field16(m, SEG32 + (n << 2)))
        n = n + 1
    set_null(m, LDTR, field16(m, LDT32))


@outlined
def load16(m):
    set_flags(m, field16(m, FLAGS16), ALL_FLAGS)
    m.eip = field16(m, IP16)
    n = 0
    while n < 8:
        put_reg(m, n, 16, field16(m, REG16 + (n << 1)))
        if n < 4: set_null(m, n, field16(m, SEG16 + (n << 1)))
        n = n + 1
    set_null(m, FS, 0)
    set_null(m, GS, 0)
    set_null(m, LDTR, field16(m, LDT16))


@outlined
def enter_task(m, cr3):
    """The new task's address space and segments (SDM 3A, table 7-1)."""
    m.cpl = 3 if m.eflags & VM else m.selector[CS] & 3
    load_cr3(m, cr3)
    load_ldt(m, m.selector[LDTR], TS)
    if m.eflags & VM:
        n = 0
        while n < 6:
            set_real(m, n, m.selector[n])
            n = n + 1
    else:
        enter_code(m, m.selector[CS])
        set_segment(m, SS, m.selector[SS], stack_descriptor(m, m.selector[SS], m.cpl, TS))
        enter_data(m, DS)
        enter_data(m, ES)
        enter_data(m, FS)
        enter_data(m, GS)
    if m.eip > m.limit[CS]: raise Fault(GP, 0)


def enter_code(m, selector):
    d = descriptor(m, selector)
    if type_of(d) & CODE != CODE or dpl_of(d) > m.cpl or (type_of(d) & CONFORMING == CODE and dpl_of(d) != m.cpl): raise Fault(TS, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    set_segment(m, CS, selector, accessed(m, selector, d))


def enter_data(m, n):
    if m.selector[n] & 0xfffc: set_segment(m, n, m.selector[n], data_descriptor(m, m.selector[n], TS))
