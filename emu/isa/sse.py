"""SSE and SSE2: floating point in XMM registers, MXCSR, FXSAVE (SDM 1, chapters 10, 11 and 13; SDM 2).

A primitive (emu/isa/sse_exact.py, emu/isa/sse_lower.py) does one operation on one pair of numbers, given as their bits, under MXCSR's RC, FTZ and DAZ with all
exceptions masked, and collects flags. Where MXCSR unmasks some, flags are collected apart (`hush`) and looked at before anything is written (`settle`).
"""
# isort: off
from emu.isa.flags import set_arithmetic_flags
from emu.isa.language import GP, UD, XM, Fault, highest, mask, outlined
from emu.isa.mmx import begin, enter, feature, half_src, high_src, low_src, put_mm, put_xmm, require, source
from emu.isa.operands import MM, address, put_reg, src
from emu.isa.segments import OSFXSR
from emu.isa.sse_exact import (
    sse_2f32_of_2i32, sse_2i32_of_2f32, sse_add_2f32, sse_add_f32, sse_add_f64, sse_comi_f32, sse_comi_f64, sse_control, sse_cut_2f32, sse_cut_f32, sse_cut_f64,
    sse_div_2f32, sse_div_f32, sse_div_f64, sse_f32_of_f64, sse_f32_of_i32, sse_f64_of_f32, sse_f64_of_i32, sse_i32_of_f32, sse_i32_of_f64, sse_max_2f32,
    sse_max_f32, sse_max_f64, sse_min_2f32, sse_min_f32, sse_min_f64, sse_mul_2f32, sse_mul_f32, sse_mul_f64, sse_rcp_2f32, sse_rcp_f32, sse_rsqrt_2f32,
    sse_rsqrt_f32, sse_set_control, sse_sqrt_2f32, sse_sqrt_f32, sse_sqrt_f64, sse_sub_2f32, sse_sub_f32, sse_sub_f64, sse_ucomi_f32, sse_ucomi_f64)
from emu.isa.state import SSE
from emu.isa.x87 import available, st
from emu.isa.x87_control import get_word, put_word, set_words, status_word
from emu.mem.access import READ, WRITE, linear, load, readable, store, writable
# isort: on

FLAGS, MASKS, OE, UE, PE, FTZ = 0x3f, 0x1f80, 8, 0x10, 0x20, 0x8000
UE_MASK = 0x800
BEFORE = 7  # IE DE ZE: found before anything is computed
OSXMMEXCPT = 0x400  # of CR4
RESERVED, DAZ = 0xffff0000, 0x40
USED = 0x10000  # marks what `hush` gives
ADD, SUB, MUL, DIV, MIN, MAX, SQRT, RSQRT, RCP, NARROW = range(10)
FXSR, SSE2_BIT = 24, 26


# --- exceptions --------------------------------------------------------------------------------------------------------------------------

def careful(m):
    """0 if all exceptions are masked; else MXCSR as it was, and flags are collected apart until `settle`."""
    if m.mxcsr & MASKS == MASKS: return 0
    return hush(m)


@outlined
def hush(m):
    old = sse_control(m)
    control = (old & ~FLAGS) | MASKS
    if old & UE_MASK == 0: control = control & ~FTZ  # it counts where underflow is masked only
    sse_set_control(m, control)
    return old | USED


@outlined
def settle(m, old, tiny):
    """Unmasked exceptions become #XM (SDM 1, 11.5.3), those found before computing alone; tiny: a result was denormal, which counts if UE is unmasked."""
    raised = sse_control(m) & FLAGS
    old = old & 0xffff
    if tiny and old & UE_MASK == 0: raised = raised | UE
    unmasked = raised & ~(old >> 7)
    if unmasked & BEFORE: raised = raised & BEFORE
    sse_set_control(m, old | raised)
    if unmasked:
        if m.cr4 & OSXMMEXCPT: raise Fault(XM, 0)
        raise Fault(UD, 0)


def denormal(w, v):
    """Whether a number is one."""
    if w == 32: return v & 0x7f800000 == 0 and v & 0x7fffff != 0
    return v & 0x7ff0000000000000 == 0 and v & mask(52) != 0


def any_denormal(w, v):
    """Whether one of a half's numbers is."""
    if w == 64: return denormal(64, v)
    return denormal(32, v & mask(32)) or denormal(32, (v >> 32) & mask(32))


# --- arithmetic ----------------------------------------------------------------------------------------------------------------------------

def compute(m, op, w, a, b):
    """a op b; with one operand, that is b."""
    if w == 64:
        if op == ADD: return sse_add_f64(m, a, b)
        if op == SUB: return sse_sub_f64(m, a, b)
        if op == MUL: return sse_mul_f64(m, a, b)
        if op == DIV: return sse_div_f64(m, a, b)
        if op == MIN: return sse_min_f64(m, a, b)
        if op == MAX: return sse_max_f64(m, a, b)
        if op == NARROW: return sse_f32_of_f64(m, b)
        return sse_sqrt_f64(m, b)
    if op == ADD: return sse_add_f32(m, a, b)
    if op == SUB: return sse_sub_f32(m, a, b)
    if op == MUL: return sse_mul_f32(m, a, b)
    if op == DIV: return sse_div_f32(m, a, b)
    if op == MIN: return sse_min_f32(m, a, b)
    if op == MAX: return sse_max_f32(m, a, b)
    if op == RSQRT: return sse_rsqrt_f32(m, b)
    if op == RCP: return sse_rcp_f32(m, b)
    return sse_sqrt_f32(m, b)


def half(m, op, w, a, b):
    """The numbers of a half."""
    if w == 64: return compute(m, op, 64, a, b)
    if op == ADD: return sse_add_2f32(m, a, b)
    if op == SUB: return sse_sub_2f32(m, a, b)
    if op == MUL: return sse_mul_2f32(m, a, b)
    if op == DIV: return sse_div_2f32(m, a, b)
    if op == MIN: return sse_min_2f32(m, a, b)
    if op == MAX: return sse_max_2f32(m, a, b)
    if op == RSQRT: return sse_rsqrt_2f32(m, b)
    if op == RCP: return sse_rcp_2f32(m, b)
    return sse_sqrt_2f32(m, b)


@outlined
def beyond(m, old):
    """Whether an unmasked overflow or underflow was found; then flags are collected anew, by `unbounded`."""
    found = sse_control(m) & (OE | UE) & ~(old >> 7)
    if found: sse_set_control(m, sse_control(m) & ~FLAGS)
    return found


def within(op, w, v):
    """An operand of an operation that left the range, moved so that it stays there and rounds alike; never 0 or infinite, but for a sum's lesser operand."""
    digits = 52 if w == 64 else 23
    low = 1023 if w == 64 else 127
    fraction = v & mask(digits)
    e = (v >> digits) & (2 * low + 1)
    if op <= SUB: e = e - 2 if e > 2 else 1  # it overflowed: what is that small is lost against the other
    else:
        if e == 0: fraction = (fraction << (digits - highest(fraction | 1))) & mask(digits)
        e = low
    return (v & (1 << (w - 1))) | (e << digits) | fraction


@outlined
def unbounded(m, op, w, old, a, b):
    """The flags of a op b: with an unmasked overflow or underflow PE says whether the result is inexact with an unbounded exponent (SDM 1, 11.5.2.4 and .5)."""
    others = sse_control(m)
    clear = others & ~FLAGS
    sse_set_control(m, clear)
    compute(m, op, w, a, b)
    raised = sse_control(m) & FLAGS
    if raised & (OE | UE) & ~(old >> 7):
        sse_set_control(m, clear)
        compute(m, op, w, within(op, w, a), within(op, w, b))
        raised = (raised & ~PE) | (sse_control(m) & PE)
    sse_set_control(m, others | raised)


def unbounded_half(m, op, w, old, a, b):
    """Those of a half's numbers."""
    if w == 64: unbounded(m, op, 64, old, a, b)
    else:
        unbounded(m, op, 32, old, a & mask(32), b & mask(32))
        unbounded(m, op, 32, old, (a >> 32) & mask(32), (b >> 32) & mask(32))


def put_low(m, n, w, v):
    """The low number of an XMM register; the others stay."""
    if w == 64: m.xmm_low[n] = v
    else: m.xmm_low[n] = (m.xmm_low[n] & ~mask(32)) | (v & mask(32))


def arithmetic(m, i, op):
    begin(m, i)
    if i.w == 128:
        p = source(m, i)
        b_low = low_src(m, i, p)
        b_high = high_src(m, i, p)
        old = careful(m)
        low = half(m, op, i.lane, m.xmm_low[i.dst], b_low)
        high = half(m, op, i.lane, m.xmm_high[i.dst], b_high)
        if old:
            if op < MIN and beyond(m, old):
                unbounded_half(m, op, i.lane, old, m.xmm_low[i.dst], b_low)
                unbounded_half(m, op, i.lane, old, m.xmm_high[i.dst], b_high)
            settle(m, old, op < MIN and (any_denormal(i.lane, low) or any_denormal(i.lane, high)))
        put_xmm(m, i.dst, low, high)
    else:
        b = half_src(m, i, i.w)
        old = careful(m)
        a = m.xmm_low[i.dst] if i.w == 64 else m.xmm_low[i.dst] & mask(32)
        v = compute(m, op, i.w, a, b)
        if old:
            if op < MIN and beyond(m, old): unbounded(m, op, i.w, old, a, b)
            settle(m, old, op < MIN and denormal(i.w, v))
        put_low(m, i.dst, i.w, v)


def ADD_F(m, i): arithmetic(m, i, ADD)
def SUB_F(m, i): arithmetic(m, i, SUB)
def MUL_F(m, i): arithmetic(m, i, MUL)
def DIV_F(m, i): arithmetic(m, i, DIV)
def MIN_F(m, i): arithmetic(m, i, MIN)
def MAX_F(m, i): arithmetic(m, i, MAX)
def SQRT_F(m, i): arithmetic(m, i, SQRT)
def RSQRT_F(m, i): arithmetic(m, i, RSQRT)
def RCP_F(m, i): arithmetic(m, i, RCP)


# --- comparisons -----------------------------------------------------------------------------------------------------------------------------

def relation(m, w, signals, a, b):
    """ZF, PF and CF as COMISD (a quiet NaN is invalid) and UCOMISD set them."""
    if w == 64: return sse_comi_f64(m, a, b) if signals else sse_ucomi_f64(m, a, b)
    return sse_comi_f32(m, a, b) if signals else sse_ucomi_f32(m, a, b)


def compare_flags(m, i, signals):
    begin(m, i)
    b = half_src(m, i, i.w)
    old = careful(m)
    flags = relation(m, i.w, signals, m.xmm_low[i.dst] if i.w == 64 else m.xmm_low[i.dst] & mask(32), b)
    if old: settle(m, old, 0)
    set_arithmetic_flags(m, flags)


def COMIS(m, i): compare_flags(m, i, 1)
def UCOMIS(m, i): compare_flags(m, i, 0)


def holds(m, w, predicate, a, b):
    """All ones if the predicate (SDM 2, table 3-1) holds, else 0."""
    p = predicate & 3
    flags = 0
    if p == 1 or p == 2: flags = relation(m, w, 1, a, b)
    else: flags = relation(m, w, 0, a, b)
    equal = flags == 0x40
    less = flags == 1
    yes = equal if p == 0 else less if p == 1 else (less | equal) if p == 2 else flags == 0x45
    no = (predicate >> 2) & 1
    return mask(w) if yes != no else 0


def holds_half(m, w, predicate, a, b):
    if w == 64: return holds(m, 64, predicate, a, b)
    low = holds(m, 32, predicate, a & mask(32), b & mask(32))
    return low | (holds(m, 32, predicate, (a >> 32) & mask(32), (b >> 32) & mask(32)) << 32)


def CMP_F(m, i):
    begin(m, i)
    if i.w == 128:
        p = source(m, i)
        low = low_src(m, i, p)
        high = high_src(m, i, p)
        old = careful(m)
        low = holds_half(m, i.lane, i.imm, m.xmm_low[i.dst], low)
        high = holds_half(m, i.lane, i.imm, m.xmm_high[i.dst], high)
        if old: settle(m, old, 0)
        put_xmm(m, i.dst, low, high)
    else:
        b = half_src(m, i, i.w)
        old = careful(m)
        v = holds(m, i.w, i.imm, m.xmm_low[i.dst] if i.w == 64 else m.xmm_low[i.dst] & mask(32), b)
        if old: settle(m, old, 0)
        put_low(m, i.dst, i.w, v)


# --- conversions -----------------------------------------------------------------------------------------------------------------------------

def integer32(m, cut, v):
    """A single as an integer, truncated or rounded."""
    return sse_cut_f32(m, v) if cut else sse_i32_of_f32(m, v)


def integer64(m, cut, v):
    """A double as an integer."""
    return sse_cut_f64(m, v) if cut else sse_i32_of_f64(m, v)


def two_integers(m, cut, v):
    return sse_cut_2f32(m, v) if cut else sse_2i32_of_2f32(m, v)


def CVTSI2SS(m, i):
    begin(m, i)
    a = src(m, i, 32)
    old = careful(m)
    v = sse_f32_of_i32(m, a)
    if old: settle(m, old, 0)
    put_low(m, i.dst, 32, v)


def CVTSI2SD(m, i):
    begin(m, i)
    m.xmm_low[i.dst] = sse_f64_of_i32(m, src(m, i, 32))


def CVTSS2SI(m, i):
    begin(m, i)
    a = half_src(m, i, 32)
    old = careful(m)
    v = integer32(m, i.cut, a)
    if old: settle(m, old, 0)
    put_reg(m, i.dst, 32, v)


def CVTSD2SI(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    old = careful(m)
    v = integer64(m, i.cut, a)
    if old: settle(m, old, 0)
    put_reg(m, i.dst, 32, v)


def CVTSS2SD(m, i):
    begin(m, i)
    a = half_src(m, i, 32)
    old = careful(m)
    v = sse_f64_of_f32(m, a)
    if old: settle(m, old, 0)
    m.xmm_low[i.dst] = v


def CVTSD2SS(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    old = careful(m)
    v = sse_f32_of_f64(m, a)
    if old:
        if beyond(m, old): unbounded(m, NARROW, 64, old, a, a)
        settle(m, old, denormal(32, v))
    put_low(m, i.dst, 32, v)


def CVTPS2PD(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    old = careful(m)
    low = sse_f64_of_f32(m, a & mask(32))
    high = sse_f64_of_f32(m, (a >> 32) & mask(32))
    if old: settle(m, old, 0)
    put_xmm(m, i.dst, low, high)


def CVTPD2PS(m, i):
    begin(m, i)
    p = source(m, i)
    a = low_src(m, i, p)
    b = high_src(m, i, p)
    old = careful(m)
    low = sse_f32_of_f64(m, a)
    high = sse_f32_of_f64(m, b)
    if old:
        if beyond(m, old):
            unbounded(m, NARROW, 64, old, a, a)
            unbounded(m, NARROW, 64, old, b, b)
        settle(m, old, denormal(32, low) or denormal(32, high))
    put_xmm(m, i.dst, low | (high << 32), 0)


def CVTDQ2PS(m, i):
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    high = high_src(m, i, p)
    old = careful(m)
    low = sse_2f32_of_2i32(m, low)
    high = sse_2f32_of_2i32(m, high)
    if old: settle(m, old, 0)
    put_xmm(m, i.dst, low, high)


def CVTPS2DQ(m, i):
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    high = high_src(m, i, p)
    old = careful(m)
    low = two_integers(m, i.cut, low)
    high = two_integers(m, i.cut, high)
    if old: settle(m, old, 0)
    put_xmm(m, i.dst, low, high)


def CVTDQ2PD(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    put_xmm(m, i.dst, sse_f64_of_i32(m, a & mask(32)), sse_f64_of_i32(m, (a >> 32) & mask(32)))


def integers_of_doubles(m, i):
    """Two doubles as integers, 64 bits."""
    p = source(m, i)
    low = low_src(m, i, p)
    high = high_src(m, i, p)
    old = careful(m)
    low = integer64(m, i.cut, low)
    high = integer64(m, i.cut, high)
    if old: settle(m, old, 0)
    return low | (high << 32)


def CVTPD2DQ(m, i):
    begin(m, i)
    put_xmm(m, i.dst, integers_of_doubles(m, i), 0)


def CVTPD2PI(m, i):
    begin(m, i)
    v = integers_of_doubles(m, i)
    enter(m)
    put_mm(m, i.dst, v)


def CVTPS2PI(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    old = careful(m)
    v = two_integers(m, i.cut, a)
    if old: settle(m, old, 0)
    enter(m)
    put_mm(m, i.dst, v)


def CVTPI2PS(m, i):
    begin(m, i)
    a = half_src(m, i, 64)
    old = careful(m)
    v = sse_2f32_of_2i32(m, a)
    if old: settle(m, old, 0)
    if i.src_kind == MM: enter(m)
    m.xmm_low[i.dst] = v


def CVTPI2PD(m, i):
    """With a memory operand it does not touch the MMX state."""
    begin(m, i)
    a = half_src(m, i, 64)
    if i.src_kind == MM: enter(m)
    put_xmm(m, i.dst, sse_f64_of_i32(m, a & mask(32)), sse_f64_of_i32(m, (a >> 32) & mask(32)))


# --- control and state -------------------------------------------------------------------------------------------------------------------------

def allowed(m):
    """The bits of MXCSR that there are."""
    if (m.cpu_features >> SSE2_BIT) & 1: return 0xffff
    return 0xffff & ~DAZ


def LDMXCSR(m, i):
    require(m, SSE)
    v = load(m, i.seg, address(m, i), 32)
    if v & ~allowed(m): raise Fault(GP, 0)
    sse_set_control(m, v)


def STMXCSR(m, i):
    require(m, SSE)
    store(m, i.seg, address(m, i), 32, sse_control(m))


def saved_state(m, i, need):
    """What FXSAVE and FXRSTOR begin with: the linear address of 512 bytes."""
    feature(m, FXSR)
    available(m)
    p = linear(m, i.seg, address(m, i), 512, need)
    if p & 15: raise Fault(GP, 0)
    return p


def FXSAVE(m, i):
    p = saved_state(m, i, WRITE)
    writable(m, p, 512)
    save(m, p)


def FXRSTOR(m, i):
    p = saved_state(m, i, READ)
    readable(m, p, 512)
    restore(m, p)


@outlined
def save(m, p):
    """SDM 1, table 10-2 (figure of FXSAVE in 32-bit mode); the XMM part only with CR4.OSFXSR."""
    put_word(m, p, 0, 16, m.fpu_control)
    put_word(m, p, 1, 16, status_word(m))
    put_word(m, p, 2, 16, m.fpu_empty ^ 0xff)
    put_word(m, p, 3, 16, m.fpu_opcode)
    put_word(m, p, 2, 32, m.fpu_ip)
    put_word(m, p, 3, 32, m.fpu_cs)
    put_word(m, p, 4, 32, m.fpu_dp)
    put_word(m, p, 5, 32, m.fpu_ds)
    n = 0
    while n < 8:
        q = p + 32 + (n << 4)
        put_word(m, q, 0, 32, m.fpu_mantissa[st(m, n)])
        put_word(m, q, 1, 32, m.fpu_mantissa[st(m, n)] >> 32)
        put_word(m, q, 2, 32, m.fpu_exponent[st(m, n)])
        put_word(m, q, 3, 32, 0)
        n = n + 1
    if m.cr4 & OSFXSR and (m.cpu_features >> 25) & 1:
        put_word(m, p, 6, 32, sse_control(m))
        put_word(m, p, 7, 32, allowed(m))
        n = 0
        while n < 8:
            q = p + 160 + (n << 4)
            put_word(m, q, 0, 32, m.xmm_low[n])
            put_word(m, q, 1, 32, m.xmm_low[n] >> 32)
            put_word(m, q, 2, 32, m.xmm_high[n])
            put_word(m, q, 3, 32, m.xmm_high[n] >> 32)
            n = n + 1


@outlined
def restore(m, p):
    with_xmm = m.cr4 & OSFXSR != 0 and (m.cpu_features >> 25) & 1
    if with_xmm:
        control = get_word(m, p, 6, 32)
        if control & ~allowed(m): raise Fault(GP, 0)
        sse_set_control(m, control)
        n = 0
        while n < 8:
            q = p + 160 + (n << 4)
            low = get_word(m, q, 0, 32)
            high = get_word(m, q, 2, 32)
            m.xmm_low[n] = low | (get_word(m, q, 1, 32) << 32)
            m.xmm_high[n] = high | (get_word(m, q, 3, 32) << 32)
            n = n + 1
    set_words(m, get_word(m, p, 0, 16), get_word(m, p, 1, 16))
    m.fpu_empty = (get_word(m, p, 2, 16) & 0xff) ^ 0xff
    m.fpu_opcode = get_word(m, p, 3, 16) & 0x7ff
    m.fpu_ip = get_word(m, p, 2, 32)
    m.fpu_cs = get_word(m, p, 3, 32) & 0xffff
    m.fpu_dp = get_word(m, p, 4, 32)
    m.fpu_ds = get_word(m, p, 5, 32) & 0xffff
    n = 0
    while n < 8:
        q = p + 32 + (n << 4)
        low = get_word(m, q, 0, 32)
        m.fpu_mantissa[st(m, n)] = low | (get_word(m, q, 1, 32) << 32)
        m.fpu_exponent[st(m, n)] = get_word(m, q, 2, 32)
        n = n + 1


def SFENCE(m, i): feature(m, 25)
def LFENCE(m, i): feature(m, SSE2_BIT)
def MFENCE(m, i): feature(m, SSE2_BIT)


def CLFLUSH(m, i):
    """There is no cache, but the address must be readable."""
    feature(m, 19)
    load(m, i.seg, address(m, i), 8)
