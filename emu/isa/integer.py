"""Integer instructions: data transfer, arithmetic, logic, the stack, and the flags as operands (SDM 1, 7.3; each instruction in SDM 2).

Undefined flags: MUL and IMUL keep SF ZF AF PF, as an AMD EPYC does; AND, OR, XOR and TEST clear AF; DIV and IDIV keep all.
Elsewhere: shifts.py, bits.py, bcd.py, strings.py, control.py (jumps); segment registers and PUSHF in segments.py and interrupts.py.
"""
from emu.isa.flags import (
    DF,
    OF,
    arithmetic_flags,
    carry,
    condition,
    flags_arithmetic,
    flags_keep_carry,
    flags_logic,
    set_arithmetic_flags,
    set_carry,
    set_carry_overflow,
    set_zero,
)
from emu.isa.language import BR, DE, GP, Fault, mask, outlined, sdiv, signed, smod, udiv, umod
from emu.isa.language import UD as INVALID
from emu.isa.operands import REG, address, drop, dst, dst_for_write, get_reg, push, put_reg, set_dst, set_esp, set_src, src, top
from emu.isa.state import SS
from emu.mem.access import load, load_for_write, store

LEAST = -(1 << 63)


# --- data transfer (SDM 1, 7.3.1) ---------------------------------------------------------------------------------------------

def MOV(m, i):
    set_dst(m, i, i.w, src(m, i, i.w))


def MOVZX(m, i):
    put_reg(m, i.dst, i.w, src(m, i, i.sw))


def MOVSX(m, i):
    put_reg(m, i.dst, i.w, signed(src(m, i, i.sw), i.sw))


def CMOVCC(m, i):
    """The source is read in any case."""
    v = src(m, i, i.w)
    if condition(m, i.cc): put_reg(m, i.dst, i.w, v)


def SETCC(m, i):
    set_dst(m, i, 8, condition(m, i.cc))


def LEA(m, i):
    put_reg(m, i.dst, i.w, address(m, i))


def XLAT(m, i):
    put_reg(m, 0, 8, load(m, i.seg, (m.reg[3] + (m.reg[0] & 0xff)) & i.amask, 8))


def XCHG(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    set_dst(m, i, i.w, b)
    set_src(m, i, i.w, a)


def XADD(m, i):
    """Of one register with itself, the sum stays."""
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    r = a + b
    if i.dst_kind == REG:
        set_src(m, i, i.w, a)
        set_dst(m, i, i.w, r)
    else:
        set_dst(m, i, i.w, r)
        set_src(m, i, i.w, a)
    flags_arithmetic(m, a, b, r, i.w)


def CMPXCHG(m, i):
    """The destination is written even if it stays."""
    a = get_reg(m, 0, i.w)
    b = dst_for_write(m, i, i.w)
    set_dst(m, i, i.w, src(m, i, i.w) if a == b else b)
    if a != b: put_reg(m, 0, i.w, b)
    flags_arithmetic(m, a, b, a - b, i.w)


def CMPXCHG8B(m, i):
    v = dst_for_write(m, i, 64)
    low = v & 0xffffffff
    high = (v >> 32) & 0xffffffff
    equal = low == m.reg[0] and high == m.reg[2]
    set_dst(m, i, 64, m.reg[3] | (m.reg[1] << 32) if equal else v)
    if equal == 0:
        m.reg[0] = low
        m.reg[2] = high
    set_zero(m, equal)


def BSWAP(m, i):
    """Of 16 bits: undefined, 0 on all processors."""
    v = m.reg[i.dst]
    if i.w == 16: put_reg(m, i.dst, 16, 0)
    else: put_reg(m, i.dst, 32, ((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >> 8) & 0xff00) | (v >> 24))


def CBW(m, i):
    """CBW, CWDE."""
    put_reg(m, 0, i.w, signed(m.reg[0], i.w >> 1))


def CWD(m, i):
    """CWD, CDQ."""
    put_reg(m, 2, i.w, signed(m.reg[0], i.w) >> (i.w - 1))


# --- the stack (SDM 1, 6.2 and 6.6) -------------------------------------------------------------------------------------------

def PUSH(m, i):
    """PUSH ESP pushes the old ESP."""
    push(m, i.w, src(m, i, i.w))


def POP(m, i):
    """An address by ESP is computed with the new ESP; POP ESP keeps what was popped."""
    v = top(m, i.w, 0)
    if i.dst_kind == REG:
        drop(m, i.w, 1)
        put_reg(m, i.dst, i.w, v)
    else:
        old = m.reg[4]
        new = (old & ~m.stack_mask) | ((old + (i.w >> 3)) & m.stack_mask)
        a = address(m, i)
        if i.base == 4: a = (a + new - old) & i.amask
        store(m, i.seg, a, i.w, v)
        m.reg[4] = new


def PUSHA(m, i):
    n = 0
    sp = m.reg[4]
    while n < 8:
        sp = sp - (i.w >> 3)
        store(m, SS, sp & m.stack_mask, i.w, m.reg[n])
        n = n + 1
    set_esp(m, sp)


def POPA(m, i):
    """ESP's place is skipped."""
    di = top(m, i.w, 0)
    si = top(m, i.w, 1)
    bp = top(m, i.w, 2)
    bx = top(m, i.w, 4)
    dx = top(m, i.w, 5)
    cx = top(m, i.w, 6)
    ax = top(m, i.w, 7)
    drop(m, i.w, 8)
    put_reg(m, 7, i.w, di)
    put_reg(m, 6, i.w, si)
    put_reg(m, 5, i.w, bp)
    put_reg(m, 3, i.w, bx)
    put_reg(m, 2, i.w, dx)
    put_reg(m, 1, i.w, cx)
    put_reg(m, 0, i.w, ax)


def ENTER(m, i):
    enter_frame(m, i.w, i.imm, i.imm2 & 31)


@outlined
def enter_frame(m, w, size, level):
    """A stack frame with `size` bytes of locals and the frame pointers of `level` enclosing procedures."""
    sp = (m.reg[4] - (w >> 3)) & m.stack_mask
    store(m, SS, sp, w, m.reg[5])
    frame = (m.reg[4] & ~m.stack_mask) | sp
    n = 1
    while n < level:
        sp = (sp - (w >> 3)) & m.stack_mask
        store(m, SS, sp, w, load(m, SS, (m.reg[5] - n * (w >> 3)) & m.stack_mask, w))
        n = n + 1
    if level:
        sp = (sp - (w >> 3)) & m.stack_mask
        store(m, SS, sp, w, frame)
    sp = (sp - size) & m.stack_mask
    load_for_write(m, SS, sp, 8)  # the new top of the stack must be writable
    put_reg(m, 5, w, frame)
    set_esp(m, sp)


def LEAVE(m, i):
    v = load(m, SS, m.reg[5] & m.stack_mask, i.w)
    set_esp(m, m.reg[5] + (i.w >> 3))
    put_reg(m, 5, i.w, v)


# --- arithmetic (SDM 1, 7.3.2) ------------------------------------------------------------------------------------------------

def ADD(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    r = a + b
    set_dst(m, i, i.w, r)
    flags_arithmetic(m, a, b, r, i.w)


def ADC(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    r = a + b + carry(m)
    set_dst(m, i, i.w, r)
    flags_arithmetic(m, a, b, r, i.w)


def SUB(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    r = a - b
    set_dst(m, i, i.w, r)
    flags_arithmetic(m, a, b, r, i.w)


def SBB(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    r = a - b - carry(m)
    set_dst(m, i, i.w, r)
    flags_arithmetic(m, a, b, r, i.w)


def CMP(m, i):
    a = dst(m, i, i.w)
    b = src(m, i, i.w)
    flags_arithmetic(m, a, b, a - b, i.w)


def INC(m, i):
    a = dst_for_write(m, i, i.w)
    set_dst(m, i, i.w, a + 1)
    flags_keep_carry(m, a, 1, a + 1, i.w)


def DEC(m, i):
    a = dst_for_write(m, i, i.w)
    set_dst(m, i, i.w, a - 1)
    flags_keep_carry(m, a, 1, a - 1, i.w)


def NEG(m, i):
    a = dst_for_write(m, i, i.w)
    set_dst(m, i, i.w, 0 - a)
    flags_arithmetic(m, 0, a, 0 - a, i.w)


def set_pair(m, w, low, high):
    """AX = AH:AL, DX:AX or EDX:EAX."""
    put_reg(m, 0, w, low)
    if w == 8: put_reg(m, 4, 8, high)
    else: put_reg(m, 2, w, high)


def pair(m, w):
    """AX, DX:AX or EDX:EAX."""
    if w == 8: return m.reg[0] & 0xffff
    return get_reg(m, 0, w) | (get_reg(m, 2, w) << w)


def MUL(m, i):
    p = get_reg(m, 0, i.w) * src(m, i, i.w)
    set_pair(m, i.w, p, p >> i.w)
    wide = (p >> i.w) & mask(i.w) != 0
    set_carry_overflow(m, wide, wide)


def product_flags(m, p, w):
    """CF = OF = the signed product does not fit."""
    wide = p != signed(p, w)
    set_carry_overflow(m, wide, wide)


def IMUL1(m, i):
    p = signed(m.reg[0], i.w) * signed(src(m, i, i.w), i.w)
    set_pair(m, i.w, p, p >> i.w)
    product_flags(m, p, i.w)


def IMUL2(m, i):
    p = signed(m.reg[i.dst], i.w) * signed(src(m, i, i.w), i.w)
    put_reg(m, i.dst, i.w, p)
    product_flags(m, p, i.w)


def IMUL3(m, i):
    p = signed(src(m, i, i.w), i.w) * signed(i.imm, i.w)
    put_reg(m, i.dst, i.w, p)
    product_flags(m, p, i.w)


def DIV(m, i):
    """The quotient fits if the high half is less than the divisor; 0 is never more."""
    a = pair(m, i.w)
    b = src(m, i, i.w)
    if (a >> i.w) & mask(i.w) >= b: raise Fault(DE)
    set_pair(m, i.w, udiv(a, b), umod(a, b))


def IDIV(m, i):
    a = signed(pair(m, i.w), 2 * i.w)
    b = signed(src(m, i, i.w), i.w)
    if b == 0 or (b == -1 and a == LEAST): raise Fault(DE)
    q = sdiv(a, b)
    if q != signed(q, i.w): raise Fault(DE)
    set_pair(m, i.w, q, smod(a, b))


# --- logic (SDM 1, 7.3.4) -----------------------------------------------------------------------------------------------------

def AND(m, i):
    r = dst_for_write(m, i, i.w) & src(m, i, i.w)
    set_dst(m, i, i.w, r)
    flags_logic(m, r, i.w)


def OR(m, i):
    r = dst_for_write(m, i, i.w) | src(m, i, i.w)
    set_dst(m, i, i.w, r)
    flags_logic(m, r, i.w)


def XOR(m, i):
    r = dst_for_write(m, i, i.w) ^ src(m, i, i.w)
    set_dst(m, i, i.w, r)
    flags_logic(m, r, i.w)


def TEST(m, i):
    flags_logic(m, dst(m, i, i.w) & src(m, i, i.w), i.w)


def NOT(m, i):
    set_dst(m, i, i.w, ~dst_for_write(m, i, i.w))


# --- flags (SDM 1, 7.3.14) ----------------------------------------------------------------------------------------------------

def CLC(m, i):
    set_carry(m, 0)


def STC(m, i):
    set_carry(m, 1)


def CMC(m, i):
    set_carry(m, carry(m) ^ 1)


def CLD(m, i):
    m.eflags = m.eflags & ~DF


def STD(m, i):
    m.eflags = m.eflags | DF


def LAHF(m, i):
    put_reg(m, 4, 8, (arithmetic_flags(m) & 0xd5) | 2)


def SAHF(m, i):
    set_arithmetic_flags(m, get_reg(m, 4, 8) | (arithmetic_flags(m) & OF))


def SALC(m, i):
    """Undocumented: AL = CF ? FFh : 0."""
    put_reg(m, 0, 8, 0 - carry(m))


# --- others -------------------------------------------------------------------------------------------------------------------

def BOUND(m, i):
    n = signed(m.reg[i.dst], i.w)
    low = load(m, i.seg, address(m, i), i.w)
    high = load(m, i.seg, (address(m, i) + (i.w >> 3)) & 0xffffffff, i.w)
    if n < signed(low, i.w) or n > signed(high, i.w): raise Fault(BR)


def NOP(m, i):
    """Nothing, hints included."""


def UD(m, i):
    raise Fault(INVALID)


def TOO_LONG(m, i):
    """More than 15 bytes (SDM 2, 2.3.11)."""
    raise Fault(GP, 0)
