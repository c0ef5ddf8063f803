"""Segments: descriptors, loads of segment registers, and what follows from them (SDM 3A 3.4, 5.2 to 5.7; SDM 2 for each instruction).

A descriptor is one 64-bit number d. Null selectors and those beyond their table read as 0, a type that no check accepts. `m.reach` says where a
whole segment needs no check, `m.mode` is the key that translations are looked up by. Real mode changes base and selector only, so limits set
in protected mode stay ("unreal mode").
"""
from emu.isa.clock import retired
from emu.isa.flags import VM, ZF, arithmetic_flags, set_arithmetic_flags
from emu.isa.language import GP, NP, UD, Fault, outlined
from emu.isa.language import SS as STACK_FAULT
from emu.isa.operands import address, drop, dst, push, put_reg, set_dst, src, top
from emu.isa.privilege import protected_only, supervisor
from emu.isa.slices import one_more
from emu.isa.state import CS, DS, ES, GS, LDTR, SS, TR
from emu.mem.access import load, read, store, write

SEGMENT, CODE, CONFORMING, WRITABLE = 16, 24, 28, 18  # bits of a type, S included: what a segment, code, conforming code, a stack have set
READABLE = 2  # of code; of data: writable
LDT, TSS16, TASK_GATE, TSS32, BUSY = 2, 1, 5, 9, 2  # system types
LAR_TYPES, LSL_TYPES = 0x1a3e, 0xa0e  # bit n: system type n answers: 1 2 3 4 5 9 B C; 1 2 3 9 B (SDM 2, LAR and LSL)
EMULATED, TASK_SWITCHED, PROTECTED = 4, 8, 1  # CR0.EM, TS, PE
OSFXSR = 0x200  # of CR4


# --- a descriptor's parts (SDM 3A, figure 3-8) ---------------------------------------------------------------------------------------

def type_of(d):
    """Type and S: 16 to 23 data, 24 to 31 code, the rest system."""
    return (d >> 40) & 31


def dpl_of(d):
    return (d >> 45) & 3


def present(d):
    return (d >> 47) & 1


def base_of(d):
    return ((d >> 16) & 0xffffff) | ((d >> 32) & 0xff000000)


def limit_of(d):
    """In bytes."""
    limit = (d & 0xffff) | ((d >> 32) & 0xf0000)
    if (d >> 55) & 1: return (limit << 12) | 0xfff
    return limit


def error_code(m, selector):
    """The error code for a selector (SDM 3A 6.13)."""
    return (selector & 0xfffc) | m.external


def place(m, selector):
    """The linear address of a selector's descriptor."""
    if selector & 4: return (m.base[LDTR] + (selector & 0xfff8)) & 0xffffffff
    return (m.gdt_base + (selector & 0xfff8)) & 0xffffffff


@outlined
def descriptor(m, selector):
    """A selector's descriptor, or 0."""
    limit = m.gdt_limit
    if selector & 4:
        limit = m.limit[LDTR]
        if m.access[LDTR] & 0x80 == 0: limit = 0
    if selector & 0xfffc == 0 or (selector | 7) > limit: return 0
    return read(m, place(m, selector), 64, 0)


def global_descriptor(m, selector):
    """The same for what only the GDT may have: an LDT's, a TSS's."""
    if selector & 4: return 0
    return descriptor(m, selector)


@outlined
def accessed(m, selector, d):
    """The descriptor with its accessed bit, which is set in memory too."""
    if (d >> 40) & 1: return d
    write(m, place(m, selector) + 5, 8, (d >> 40) | 1, 0)
    return d | (1 << 40)


@outlined
def stack_descriptor(m, selector, cpl, vector):
    """What SS may be loaded with at privilege level cpl, else `vector` or #SS (SDM 3A 5.7)."""
    d = descriptor(m, selector)
    if type_of(d) & 26 != WRITABLE or dpl_of(d) != cpl or selector & 3 != cpl: raise Fault(vector, error_code(m, selector))
    if present(d) == 0: raise Fault(STACK_FAULT, error_code(m, selector))
    return accessed(m, selector, d)


@outlined
def data_descriptor(m, selector, vector):
    """What DS, ES, FS and GS may be loaded with, else `vector` or #NP (SDM 3A 5.6)."""
    d = descriptor(m, selector)
    kind = type_of(d)
    if kind & SEGMENT == 0 or kind & 10 == 8: raise Fault(vector, error_code(m, selector))
    if kind & CONFORMING != CONFORMING and (dpl_of(d) < m.cpl or dpl_of(d) < selector & 3): raise Fault(vector, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    return accessed(m, selector, d)


# --- segment registers ---------------------------------------------------------------------------------------------------------------

def set_reach(m, n):
    """Says how accesses through segment register n are checked: bits 0 and 1 of `rights`, whether offsets up to the limit may be read and written."""
    a = m.access[n]
    rights = 0
    if a & 0x80:
        if a & 8: rights = (a >> 1) & 1
        elif a & 4 == 0: rights = 1 | (a & 2)
    m.reach[n] = rights if m.limit[n] == 0xffffffff else 0
    m.reading[n] = m.limit[n] if rights & 1 else -1
    m.writing[n] = m.limit[n] if rights & 2 else -1


def set_segment(m, n, selector, d):
    """Loads a register with a checked descriptor."""
    m.selector[n] = selector
    m.base[n] = base_of(d)
    m.limit[n] = limit_of(d)
    m.access[n] = (d >> 40) & 0xf0ff
    set_reach(m, n)


def set_null(m, n, selector):
    """A null selector: every use faults."""
    m.selector[n] = selector
    m.access[n] = 0
    set_reach(m, n)


def set_real(m, n, selector):
    """The load of real mode, and of virtual-8086 mode if EFLAGS.VM is set (SDM 3A 20.1.1, 20.2)."""
    m.selector[n] = selector
    m.base[n] = selector << 4
    if m.eflags & VM:
        m.limit[n] = 0xffff
        m.access[n] = 0xf3
    else: m.access[n] = (m.access[n] & 0xff00) | 0x93
    set_reach(m, n)


def set_code(m, selector, d, cpl):
    """CS, and with it the privilege level."""
    set_segment(m, CS, (selector & 0xfffc) | cpl, d)
    m.cpl = cpl


def drop_inner(m, n):
    """On the way out to a less privileged level a data segment of the inner one becomes null (SDM 3A 5.8.6)."""
    if (m.access[n] >> 5) & 3 < m.cpl and m.access[n] & CONFORMING != CONFORMING: set_null(m, n, 0)


def load_segment(m, n, selector):
    """ES, SS, DS, FS or GS = selector, with all checks. Outside protected mode the translations' mode key stays as it is."""
    if m.protected: load_protected(m, n, selector)
    else: set_real(m, n, selector)


@outlined
def load_protected(m, n, selector):
    if n == SS: set_segment(m, n, selector, stack_descriptor(m, selector, m.cpl, GP))
    elif selector & 0xfffc: set_segment(m, n, selector, data_descriptor(m, selector, GP))
    else: set_null(m, n, selector)
    update_segments(m)


def update_segments(m):
    """What is derived from segments alone, of State and of `mode` (see below)."""
    code32 = (m.access[CS] >> 14) & 1
    stack32 = (m.access[SS] >> 14) & 1
    flat = m.protected and m.base[CS] | m.base[DS] | m.base[ES] | m.base[SS] == 0 and m.limit[CS] == 0xffffffff and m.reach[DS] & m.reach[ES] & m.reach[SS] == 3
    m.code32 = code32
    m.stack_mask = 0xffffffff if stack32 else 0xffff
    m.mode = (m.mode & ~35) | code32 | (stack32 << 1) | (flat << 5)


def update_mode(m):
    """What is derived from segments, CPL, CR0 and EFLAGS.VM; `mode`: 0 code32, 1 stack32, 2 user, 3 protected, 4 vm86, 5 flat, 6 FPU usable, 7 paging."""
    vm86 = (m.eflags & VM) != 0
    user = m.cpl == 3
    protected = (m.cr0 & PROTECTED) & (vm86 ^ 1)
    m.vm86 = vm86
    m.user = user
    m.protected = protected
    fpu = m.cr0 & (EMULATED | TASK_SWITCHED) == 0
    simd = 0
    if m.cr0 & (EMULATED | TASK_SWITCHED) == 0:
        sse = (m.cpu_features >> 25) & 1
        sse2 = (m.cpu_features >> 26) & 1
        simd = ((m.cpu_features >> 23) & 1) | (sse << 1) | (sse2 << 2)
        if m.cr4 & OSFXSR: simd = simd | (sse << 3) | (sse2 << 4)
    m.simd = simd
    m.mode = (user << 2) | (protected << 3) | (vm86 << 4) | (fpu << 6) | ((m.cr0 >> 31) << 7)
    update_segments(m)


# --- loads and stores of segment registers ---------------------------------------------------------------------------------------------

def shadow(m):
    """After SS no interrupt and no debug trap is taken before the next instruction is done (SDM 3A 6.8.3), whose breakpoint does not strike."""
    m.shadow = retired(m) + 1
    one_more(m)


def MOV_FROM_SEG(m, i):
    if i.src > GS: raise Fault(UD)
    set_dst(m, i, i.w, m.selector[i.src])


def MOV_TO_SEG(m, i):
    if i.dst == CS or i.dst > GS: raise Fault(UD)
    load_segment(m, i.dst, src(m, i, 16))
    if i.dst == SS: shadow(m)


def PUSH_SEG(m, i):
    push(m, i.w, m.selector[i.src])


def POP_SEG(m, i):
    selector = top(m, i.w, 0) & 0xffff
    mask_before = m.stack_mask
    load_segment(m, i.dst, selector)
    if i.dst == SS:  # ESP moves as wide as the old stack was
        m.reg[4] = (m.reg[4] & ~mask_before) | ((m.reg[4] + (i.w >> 3)) & mask_before)
        shadow(m)
    else: drop(m, i.w, 1)


def LOAD_FAR(m, i):
    """LES, LSS, LDS, LFS, LGS: a far pointer into the segment register i.sreg and a general register."""
    a = address(m, i)
    offset = load(m, i.seg, a, i.w)
    load_segment(m, i.sreg, load(m, i.seg, (a + (i.w >> 3)) & 0xffffffff, 16))
    put_reg(m, i.dst, i.w, offset)


# --- questions about selectors (SDM 3A 5.10) ---------------------------------------------------------------------------------------------

def set_zero(m, zf):
    """ZF alone."""
    set_arithmetic_flags(m, (arithmetic_flags(m) & ~ZF) | (zf << 6))


def visible(m, selector, d):
    """1 unless the privilege of CPL or RPL is too low; conforming code is for all."""
    if type_of(d) & CONFORMING == CONFORMING: return 1
    return dpl_of(d) >= m.cpl and dpl_of(d) >= selector & 3


@outlined
def ask(m, selector, types):
    """The descriptor if it is visible and a segment or one of the system types, else 0."""
    d = descriptor(m, selector)
    kind = type_of(d)
    if kind & SEGMENT == 0 and (types >> kind) & 1 == 0: return 0
    if visible(m, selector, d) == 0: return 0
    return d


def LAR(m, i):
    protected_only(m)
    d = ask(m, src(m, i, 16), LAR_TYPES)
    if d: put_reg(m, i.dst, i.w, (d >> 32) & 0xffff00)
    set_zero(m, d != 0)


def LSL(m, i):
    protected_only(m)
    d = ask(m, src(m, i, 16), LSL_TYPES)
    if d: put_reg(m, i.dst, i.w, limit_of(d))
    set_zero(m, d != 0)


def VERR(m, i):
    protected_only(m)
    d = ask(m, src(m, i, 16), 0)
    set_zero(m, d != 0 and type_of(d) & 10 != 8)


def VERW(m, i):
    protected_only(m)
    d = ask(m, src(m, i, 16), 0)
    set_zero(m, type_of(d) & 26 == WRITABLE)


def ARPL(m, i):
    protected_only(m)
    a = dst(m, i, 16)
    rpl = src(m, i, 16) & 3
    if a & 3 < rpl: set_dst(m, i, 16, (a & 0xfffc) | rpl)
    set_zero(m, a & 3 < rpl)


# --- the tables' registers -------------------------------------------------------------------------------------------------------------------

def SLDT(m, i):
    protected_only(m)
    set_dst(m, i, i.w, m.selector[LDTR])


def STR(m, i):
    protected_only(m)
    set_dst(m, i, i.w, m.selector[TR])


def LLDT(m, i):
    protected_only(m)
    supervisor(m)
    load_ldt(m, src(m, i, 16), GP)


@outlined
def load_ldt(m, selector, vector):
    """LDTR = selector: an LDT in the GDT, or none; else `vector` or, from LLDT, #NP."""
    if selector & 0xfffc:
        d = global_descriptor(m, selector)
        if type_of(d) != LDT: raise Fault(vector, error_code(m, selector))
        if present(d) == 0: raise Fault(NP if vector == GP else vector, error_code(m, selector))
        set_segment(m, LDTR, selector, d)
    else: set_null(m, LDTR, selector)


def LTR(m, i):
    protected_only(m)
    supervisor(m)
    load_task(m, src(m, i, 16))


@outlined
def load_task(m, selector):
    """TR = selector: an available TSS, which becomes busy."""
    d = global_descriptor(m, selector)
    if type_of(d) & ~8 != TSS16: raise Fault(GP, error_code(m, selector))
    if present(d) == 0: raise Fault(NP, error_code(m, selector))
    write(m, place(m, selector) + 5, 8, (d >> 40) | BUSY, 0)
    set_segment(m, TR, selector, d | (BUSY << 40))


def table_base(m, i):
    """The base of a pseudo-descriptor in memory; operand size 16 takes 24 bits."""
    base = load(m, i.seg, (address(m, i) + 2) & 0xffffffff, 32)
    if i.w == 16: return base & 0xffffff
    return base


def LGDT(m, i):
    supervisor(m)
    limit = load(m, i.seg, address(m, i), 16)
    m.gdt_base = table_base(m, i)
    m.gdt_limit = limit


def LIDT(m, i):
    supervisor(m)
    limit = load(m, i.seg, address(m, i), 16)
    m.idt_base = table_base(m, i)
    m.idt_limit = limit


def SGDT(m, i):
    store(m, i.seg, address(m, i), 16, m.gdt_limit)
    store(m, i.seg, (address(m, i) + 2) & 0xffffffff, 32, m.gdt_base)


def SIDT(m, i):
    store(m, i.seg, address(m, i), 16, m.idt_limit)
    store(m, i.seg, (address(m, i) + 2) & 0xffffffff, 32, m.idt_base)
