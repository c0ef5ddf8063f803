"""Interrupts and exceptions: delivery through the IVT, IDT gates and task gates, IRET, and the instructions of IF and EFLAGS.

SDM 3A chapter 6 (6.12 delivery, 6.13 error codes, 6.15 double fault), 20.1.4 real mode, 20.3 virtual-8086 mode; SDM 2 INT n and IRET.
At entry to a delivery `m.eip` is what is pushed: the faulting instruction's own address, or the next one after INT n. Left out: VME's
redirection.
"""
from emu.isa.debug import GD, SINGLE_STEP, resumable
from emu.isa.flags import AC, IF, NT, RF, TF, VM, eflags_image, overflow
from emu.isa.language import DB, DF, FERR, GP, NP, TS, Fault, attempt, log_interrupt, outlined
from emu.isa.operands import drop, push, set_esp, top
from emu.isa.privilege import changeable, iopl, look_up, set_flags
from emu.isa.segments import (
    CODE,
    CONFORMING,
    TASK_GATE,
    accessed,
    descriptor,
    dpl_of,
    error_code,
    limit_of,
    present,
    set_code,
    set_null,
    set_real,
    set_segment,
    stack_descriptor,
    type_of,
    update_mode,
)
from emu.isa.slices import one_more, stop
from emu.isa.state import CS, DS, ES, FS, GS, LOG_INTERRUPTS, SS, TR
from emu.isa.tasks import ALL_FLAGS, CALL, RETURN, WIDE, field16, inner_sp, inner_ss, switch_task
from emu.isa.transfers import enter_real, gate_offset, gate_selector, push_on, return_to, stack_item
from emu.mem.access import read, store

EXCEPTION, EXTERNAL, SOFTWARE = 0, 1, 2  # kinds of deliveries
INTERRUPT_GATE = 6  # type; + 1: a trap gate; + 8: 32 bits
WITH_CODE = 0x27d00  # bit n: vector n pushes an error code: 8, 10 to 14, 17
CONTRIBUTORY = 0x3c01  # bit n: vectors 0, 10 to 13 (SDM 3A, table 6-4)
PAGE_FAULT = 0x4000  # vector 14 is a class of its own


# --- delivery -------------------------------------------------------------------------------------------------------------------------

@outlined
def deliver(m, vector, code, kind, length):
    """Enters the handler of a vector; `length` is what the engine takes off EIP when this raises."""
    m.external = kind != SOFTWARE
    m.hit = 0 if kind == EXCEPTION else m.hit & ~SINGLE_STEP  # a fault undoes what its instruction met; INT n has no single-step trap
    if vector == DB and kind != SOFTWARE: m.dr[7] = m.dr[7] & ~GD  # its handler may use the debug registers (SDM 3B 17.2.4)
    if m.logging & LOG_INTERRUPTS: log_interrupt(m, vector, code, kind)
    if m.cr0 & 1: deliver_protected(m, vector, code, kind, length)
    else: deliver_real(m, vector)
    m.external = 0


def deliver_real(m, vector):
    """Through the interrupt vector table (SDM 3A 20.1.4)."""
    if (vector << 2) + 3 > m.idt_limit: raise Fault(GP, 0)
    target = read(m, (m.idt_base + (vector << 2)) & 0xffffffff, 32, 0)
    store(m, SS, (m.reg[4] - 2) & m.stack_mask, 16, eflags_image(m))
    store(m, SS, (m.reg[4] - 4) & m.stack_mask, 16, m.selector[CS])
    store(m, SS, (m.reg[4] - 6) & m.stack_mask, 16, m.eip)
    set_esp(m, m.reg[4] - 6)
    m.eflags = m.eflags & ~(IF | TF | AC | RF)
    enter_real(m, target >> 16, target & 0xffff)


def gate_code(m, vector):
    """The error code that names a gate: IDT and EXT bits."""
    return (vector << 3) | 2 | m.external


def deliver_protected(m, vector, code, kind, length):
    """Through a gate of the IDT (SDM 3A 6.12)."""
    if (vector << 3) + 7 > m.idt_limit: raise Fault(GP, gate_code(m, vector))
    gate = read(m, (m.idt_base + (vector << 3)) & 0xffffffff, 64, 0)
    door = type_of(gate)
    if door != TASK_GATE and door & ~9 != INTERRUPT_GATE: raise Fault(GP, gate_code(m, vector))
    if kind == SOFTWARE and dpl_of(gate) < m.cpl: raise Fault(GP, gate_code(m, vector))
    if present(gate) == 0: raise Fault(NP, gate_code(m, vector))
    with_code = kind == EXCEPTION and (WITH_CODE >> (vector & 31)) & 1
    if door == TASK_GATE:
        m.eflags = m.eflags | (pushed_flags(m, vector, kind) & RF)
        switch_task(m, gate_selector(gate), CALL, length)
        if with_code: push_code(m, code)
    else: through_gate(m, gate, with_code, code, pushed_flags(m, vector, kind))


def pushed_flags(m, vector, kind):
    """EFLAGS to save: RF is set for faults, so that the instruction's breakpoint does not strike again (SDM 3B 17.3.1.1); #DB says itself."""
    flags = eflags_image(m)
    if kind == EXCEPTION and vector != DB and vector != DF: flags = flags | RF
    return flags


def push_code(m, code):
    """The error code on the new task's stack."""
    if m.access[TR] & WIDE: push(m, 32, code)
    else: push(m, 16, code)


@outlined
def through_gate(m, gate, with_code, code, flags):
    """Through an interrupt or trap gate, to the same or an inner level."""
    selector = gate_selector(gate) & 0xfffc
    d = descriptor(m, selector)
    if type_of(d) & CODE != CODE or dpl_of(d) > m.cpl: raise Fault(GP, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    wide = (gate >> 43) & 1
    inner = type_of(d) & CONFORMING == CODE and dpl_of(d) < m.cpl
    if m.vm86 and (inner == 0 or dpl_of(d) != 0): raise Fault(GP, error_code(m, selector))
    cpl = m.cpl
    ss = m.selector[SS]
    sp = m.reg[4]
    stack = pack(m, SS)
    room = m.external  # the error code of #SS
    if inner:
        cpl = dpl_of(d)
        sp = inner_sp(m, cpl)
        ss = inner_ss(m, cpl)
        stack = stack_descriptor(m, ss, cpl, TS)
        room = error_code(m, ss)
    if gate_offset(gate) > limit_of(d): raise Fault(GP, m.external)
    d = accessed(m, selector, d)
    if m.vm86:
        sp = push_on(m, stack, room, sp, wide, m.selector[GS])
        sp = push_on(m, stack, room, sp, wide, m.selector[FS])
        sp = push_on(m, stack, room, sp, wide, m.selector[DS])
        sp = push_on(m, stack, room, sp, wide, m.selector[ES])
    if inner:
        sp = push_on(m, stack, room, sp, wide, m.selector[SS])
        sp = push_on(m, stack, room, sp, wide, m.reg[4])
    sp = push_on(m, stack, room, sp, wide, flags)
    sp = push_on(m, stack, room, sp, wide, m.selector[CS])
    sp = push_on(m, stack, room, sp, wide, m.eip)
    if with_code: sp = push_on(m, stack, room, sp, wide, code)
    if m.vm86:
        set_null(m, GS, 0)
        set_null(m, FS, 0)
        set_null(m, DS, 0)
        set_null(m, ES, 0)
    if inner: set_segment(m, SS, ss, stack)
    m.reg[4] = sp
    m.eflags = m.eflags & ~(TF | NT | VM | RF)
    if type_of(gate) & 1 == 0: m.eflags = m.eflags & ~IF
    set_code(m, selector, d, cpl)
    m.eip = gate_offset(gate)
    update_mode(m)


def pack(m, n):
    """A segment register's hidden part as a descriptor again."""
    limit = m.limit[n]
    if m.access[n] & 0x8000: limit = limit >> 12
    return (limit & 0xffff) | ((limit & 0xf0000) << 32) | ((m.base[n] & 0xffffff) << 16) | ((m.base[n] >> 24) << 56) | ((m.access[n] & 0xf0ff) << 40)


def freeze(m):
    """FERR# goes active: the x87 instruction waits for an interrupt, and is executed after that (SDM 1, D.2.1.2)."""
    m.ferr = 1
    m.halted = 1
    m.hit = 0
    stop(m)


@outlined
def handle_fault(m):
    """Delivers m.fault_vector; a fault on the way may make a double fault of it, and that a shutdown (SDM 3A 6.15, table 6-5)."""
    if m.fault_vector == FERR:
        freeze(m)
        return
    vector = m.fault_vector
    code = m.fault_code
    m.counts[0] = m.counts[0] + 1
    while attempt(m, deliver, vector, code, EXCEPTION, 0):
        first = 1 << vector
        second = 1 << m.fault_vector
        if vector == DF:
            m.shutdown = 1
            m.external = 0
            stop(m)
            return
        if (first & CONTRIBUTORY and second & CONTRIBUTORY) or (first & PAGE_FAULT and second & (CONTRIBUTORY | PAGE_FAULT)):
            vector = DF
            code = 0
        else:
            vector = m.fault_vector
            code = m.fault_code


@outlined
def take_interrupt(m, vector):
    """An interrupt from outside, or NMI: ends HLT."""
    m.halted = 0
    m.counts[1] = m.counts[1] + 1
    if attempt(m, deliver, vector, 0, EXTERNAL, 0): handle_fault(m)


# --- INT and IRET -----------------------------------------------------------------------------------------------------------------------

def INT(m, i):
    if m.vm86 and iopl(m) < 3: raise Fault(GP, 0)
    deliver(m, i.imm, 0, SOFTWARE, i.len)


def INT3(m, i):
    deliver(m, 3, 0, SOFTWARE, i.len)


def INTO(m, i):
    if overflow(m): deliver(m, 4, 0, SOFTWARE, i.len)


def INT1(m, i):
    deliver(m, 1, 0, EXTERNAL, i.len)


def IRET(m, i):
    interrupt_return(m, i.w >> 5, i.len)


@outlined
def interrupt_return(m, wide, length):
    """IRET in each mode (SDM 2)."""
    unblock_nmi(m)
    if m.vm86 and iopl(m) < 3: raise Fault(GP, 0)
    if m.protected and m.eflags & NT: task_return(m, length)
    else:
        eip = stack_item(m, 0, wide)
        selector = stack_item(m, 2 << wide, wide) & 0xffff
        flags = stack_item(m, 4 << wide, wide)
        which = (changeable(m) | resumable(m)) & (0xffffffff if wide else 0xffff)
        if m.protected == 0:
            if eip > m.limit[CS]: raise Fault(GP, 0)
            set_esp(m, m.reg[4] + (6 << wide))
            enter_real(m, selector, eip)
            set_flags(m, flags, which)
        elif wide and m.cpl == 0 and flags & VM: return_to_v86(m, selector, eip, flags)
        else:
            return_to(m, selector, eip, wide, 6 << wide, 0)
            set_flags(m, flags, which)
    look_up(m)


def unblock_nmi(m):
    """IRET lets the next NMI in, even if it faults (SDM 3A 6.7.1)."""
    m.nmi_blocked = 0
    if m.nmi: stop(m)


def task_return(m, length):
    """NT is set: back to the task that this TSS links to (SDM 3A 7.4)."""
    link = field16(m, 0)
    switch_task(m, link, RETURN, length)


def return_to_v86(m, selector, eip, flags):
    """From CPL 0 to virtual-8086 mode (SDM 3A 20.2.1)."""
    esp = stack_item(m, 12, 1)
    ss = stack_item(m, 16, 1) & 0xffff
    es = stack_item(m, 20, 1) & 0xffff
    ds = stack_item(m, 24, 1) & 0xffff
    fs = stack_item(m, 28, 1) & 0xffff
    gs = stack_item(m, 32, 1) & 0xffff
    set_flags(m, flags, ALL_FLAGS | resumable(m))
    m.cpl = 3
    set_real(m, CS, selector)
    set_real(m, SS, ss)
    set_real(m, ES, es)
    set_real(m, DS, ds)
    set_real(m, FS, fs)
    set_real(m, GS, gs)
    m.eip = eip & 0xffff
    m.reg[4] = esp
    update_mode(m)


# --- IF and EFLAGS ---------------------------------------------------------------------------------------------------------------------

def CLI(m, i):
    if m.cpl > iopl(m): raise Fault(GP, 0)
    m.eflags = m.eflags & ~IF


def STI(m, i):
    if m.cpl > iopl(m): raise Fault(GP, 0)
    if m.eflags & IF == 0:
        m.eflags = m.eflags | IF
        one_more(m)


def PUSHF(m, i):
    if m.vm86 and iopl(m) < 3: raise Fault(GP, 0)
    push(m, i.w, eflags_image(m) & ~(VM | RF))


def POPF(m, i):
    if m.vm86 and iopl(m) < 3: raise Fault(GP, 0)
    image = top(m, i.w, 0)
    drop(m, i.w, 1)
    if i.w == 32: set_flags(m, image, changeable(m))
    else: set_flags(m, image, changeable(m) & 0xffff)
    look_up(m)
