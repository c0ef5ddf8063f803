"""Far JMP, CALL and RET: between segments, privilege levels (call gates) and tasks (SDM 3A 5.8; SDM 2 for each instruction).

All checks come before the stack is written, and registers change last.
"""
from emu.isa.language import GP, NP, TS, Fault, outlined
from emu.isa.language import SS as STACK_FAULT
from emu.isa.operands import address, arrive, check_target, set_esp
from emu.isa.segments import (
    CODE,
    CONFORMING,
    TASK_GATE,
    TSS16,
    TSS32,
    accessed,
    base_of,
    descriptor,
    dpl_of,
    drop_inner,
    error_code,
    limit_of,
    present,
    set_code,
    set_real,
    set_segment,
    stack_descriptor,
    type_of,
    update_mode,
    update_segments,
)
from emu.isa.state import CS, DS, ES, FS, GS, SS
from emu.isa.tasks import CALL, JUMP, inner_sp, inner_ss, switch_task
from emu.mem.access import load, store, write

CALL_GATE = 4  # type; + 8: 32 bits


# --- stacks ----------------------------------------------------------------------------------------------------------------------------

def stack_item(m, at, wide):
    """What lies `at` bytes above the top of the stack: 32 or 16 bits."""
    if wide: return load(m, SS, (m.reg[4] + at) & m.stack_mask, 32)
    return load(m, SS, (m.reg[4] + at) & m.stack_mask, 16)


def save_return(m, wide):
    """Pushes CS and EIP; ESP moves when both are written."""
    size = 2 << wide
    if wide:
        store(m, SS, (m.reg[4] - 4) & m.stack_mask, 32, m.selector[CS])
        store(m, SS, (m.reg[4] - 8) & m.stack_mask, 32, m.eip)
    else:
        store(m, SS, (m.reg[4] - 2) & m.stack_mask, 16, m.selector[CS])
        store(m, SS, (m.reg[4] - 4) & m.stack_mask, 16, m.eip)
    set_esp(m, m.reg[4] - 2 * size)


@outlined
def push_on(m, d, code, sp, wide, v):
    """Pushes on the stack segment of descriptor d at sp, with its privilege; the new stack pointer. #SS(code) where there is no room, or no segment."""
    size = 2 << wide
    reach = 0xffffffff if (d >> 54) & 1 else 0xffff
    at = (sp - size) & reach
    last = at + size - 1
    if type_of(d) & 4: ok = at > limit_of(d) and last <= reach
    else: ok = last <= limit_of(d)
    if ok == 0 or present(d) == 0: raise Fault(STACK_FAULT, code)
    a = (base_of(d) + at) & 0xffffffff
    user = dpl_of(d) == 3
    if wide: write(m, a, 32, v, user)
    else: write(m, a, 16, v, user)
    return (sp & ~reach & 0xffffffff) | at


# --- code segments and gates -------------------------------------------------------------------------------------------------------------

def check_code(m, selector, d, offset):
    """A transfer that keeps CPL (SDM 3A 5.8.1); with the accessed bit."""
    ok = dpl_of(d) <= m.cpl if type_of(d) & CONFORMING == CONFORMING else dpl_of(d) == m.cpl and selector & 3 <= m.cpl
    if type_of(d) & CODE != CODE or not ok: raise Fault(GP, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    if offset > limit_of(d): raise Fault(GP, 0)
    return accessed(m, selector, d)


def check_gate(m, selector, d):
    """Whether a gate or TSS may be used from here (SDM 3A 5.8.4)."""
    if dpl_of(d) < m.cpl or dpl_of(d) < selector & 3: raise Fault(GP, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))


def gate_selector(d):
    return (d >> 16) & 0xffff


def gate_offset(d):
    if (d >> 43) & 1: return (d & 0xffff) | ((d >> 32) & 0xffff0000)
    return d & 0xffff


def task_selector(selector, d):
    """The TSS meant by a task gate or by the selector of a TSS itself."""
    return gate_selector(d) if type_of(d) == TASK_GATE else selector


def is_task(kind):
    return kind == TASK_GATE or kind == TSS16 or kind == TSS32


def enter_code(m, selector, d, offset):
    """Goes on in a checked code segment, at the same level."""
    set_code(m, selector, d, m.cpl)
    m.eip = offset
    update_segments(m)


def enter_real(m, selector, offset):
    """Goes on at a checked offset, in real or virtual-8086 mode."""
    set_real(m, CS, selector)
    arrive(m, offset)


# --- JMP ---------------------------------------------------------------------------------------------------------------------------------

def far_jump(m, selector, offset, length):
    if m.protected: protected_jump(m, selector, offset, length)
    else:
        check_target(m, offset)
        enter_real(m, selector, offset)


@outlined
def protected_jump(m, selector, offset, length):
    d = descriptor(m, selector)
    kind = type_of(d)
    if kind & CODE == CODE: enter_code(m, selector, check_code(m, selector, d, offset), offset)
    elif is_task(kind):
        check_gate(m, selector, d)
        switch_task(m, task_selector(selector, d), JUMP, length)
    elif kind & ~8 == CALL_GATE:
        check_gate(m, selector, d)
        inside = gate_selector(d) & 0xfffc  # a gate's RPL does not count
        offset = gate_offset(d)
        enter_code(m, inside, check_code(m, inside, descriptor(m, inside), offset), offset)
    else: raise Fault(GP, error_code(m, selector))


# --- CALL --------------------------------------------------------------------------------------------------------------------------------

def far_call(m, selector, offset, wide, length):
    if m.protected: protected_call(m, selector, offset, wide, length)
    else:
        check_target(m, offset)
        save_return(m, wide)
        enter_real(m, selector, offset)


@outlined
def protected_call(m, selector, offset, wide, length):
    d = descriptor(m, selector)
    kind = type_of(d)
    if kind & CODE == CODE:
        d = check_code(m, selector, d, offset)
        save_return(m, wide)
        enter_code(m, selector, d, offset)
    elif is_task(kind):
        check_gate(m, selector, d)
        switch_task(m, task_selector(selector, d), CALL, length)
    elif kind & ~8 == CALL_GATE:
        check_gate(m, selector, d)
        call_gate(m, d)
    else: raise Fault(GP, error_code(m, selector))


@outlined
def call_gate(m, gate):
    """Through a gate that may be used (SDM 3A 5.8.3 to 5.8.5)."""
    selector = gate_selector(gate) & 0xfffc
    d = descriptor(m, selector)
    wide = (gate >> 43) & 1
    if type_of(d) & CONFORMING == CODE and dpl_of(d) < m.cpl: call_inner(m, gate, selector, d, wide)
    else:
        d = check_code(m, selector, d, gate_offset(gate))
        save_return(m, wide)
        enter_code(m, selector, d, gate_offset(gate))


def call_inner(m, gate, selector, d, wide):
    """To a more privileged level: onto its stack, with parameters copied from the old one."""
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    cpl = dpl_of(d)
    sp = inner_sp(m, cpl)
    ss = inner_ss(m, cpl)
    stack = stack_descriptor(m, ss, cpl, TS)
    if gate_offset(gate) > limit_of(d): raise Fault(GP, 0)
    d = accessed(m, selector, d)
    code = error_code(m, ss)
    sp = push_on(m, stack, code, sp, wide, m.selector[SS])
    sp = push_on(m, stack, code, sp, wide, m.reg[4])
    n = (gate >> 32) & 31
    while n > 0:
        n = n - 1
        sp = push_on(m, stack, code, sp, wide, stack_item(m, n << (1 + wide), wide))
    sp = push_on(m, stack, code, sp, wide, m.selector[CS])
    sp = push_on(m, stack, code, sp, wide, m.eip)
    set_segment(m, SS, ss, stack)
    m.reg[4] = sp
    set_code(m, selector, d, cpl)
    m.eip = gate_offset(gate)
    update_mode(m)


# --- RET ---------------------------------------------------------------------------------------------------------------------------------

def far_return(m, wide, extra):
    """RET far, dropping `extra` bytes of parameters."""
    eip = stack_item(m, 0, wide)
    selector = stack_item(m, 2 << wide, wide) & 0xffff
    if m.protected: return_to(m, selector, eip, wide, 4 << wide, extra)
    else:
        check_target(m, eip)
        set_esp(m, m.reg[4] + (4 << wide) + extra)
        enter_real(m, selector, eip)


@outlined
def return_to(m, selector, eip, wide, size, extra):
    """Where RET and IRET meet: to this CS:EIP, `size` bytes off the stack and `extra` of parameters, perhaps to an outer level (SDM 3A 5.8.6)."""
    cpl = selector & 3
    d = descriptor(m, selector)
    ok = dpl_of(d) <= cpl if type_of(d) & CONFORMING == CONFORMING else dpl_of(d) == cpl
    if type_of(d) & CODE != CODE or cpl < m.cpl or not ok: raise Fault(GP, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    if cpl == m.cpl:
        if eip > limit_of(d): raise Fault(GP, 0)
        d = accessed(m, selector, d)
        set_esp(m, m.reg[4] + size + extra)
        set_code(m, selector, d, cpl)
    else:
        sp = stack_item(m, size + extra, wide)
        ss = stack_item(m, size + extra + (2 << wide), wide) & 0xffff
        stack = stack_descriptor(m, ss, cpl, GP)
        if eip > limit_of(d): raise Fault(GP, 0)
        d = accessed(m, selector, d)
        set_segment(m, SS, ss, stack)
        set_code(m, selector, d, cpl)
        update_mode(m)  # a 16-bit stack gets SP alone
        set_esp(m, sp + extra)
        drop_inner(m, ES)
        drop_inner(m, DS)
        drop_inner(m, FS)
        drop_inner(m, GS)
    m.eip = eip
    update_segments(m)


# --- texts -------------------------------------------------------------------------------------------------------------------------------

def far_offset(m, i):
    """The offset of a far pointer in memory."""
    return load(m, i.seg, address(m, i), i.w)


def far_selector(m, i):
    return load(m, i.seg, (address(m, i) + (i.w >> 3)) & 0xffffffff, 16)


def JMP_FAR(m, i):
    far_jump(m, i.imm2, i.imm, i.len)


def JMP_FAR_M(m, i):
    offset = far_offset(m, i)
    far_jump(m, far_selector(m, i), offset, i.len)


def CALL_FAR(m, i):
    far_call(m, i.imm2, i.imm, i.w >> 5, i.len)


def CALL_FAR_M(m, i):
    offset = far_offset(m, i)
    far_call(m, far_selector(m, i), offset, i.w >> 5, i.len)


def RET_FAR(m, i):
    far_return(m, i.w >> 5, i.imm)
