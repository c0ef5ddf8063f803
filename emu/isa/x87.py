"""x87 instructions: the register stack, tags, exceptions and pointers around the primitives (SDM 1, chapter 8; SDM 2).

A register's number n is that of its slot, 0 to 7; slot 8 holds what is on the way to or from memory. A primitive gives the exceptions it raised;
`finish` puts them into the status word and says whether the instruction goes on to pop or push: not after an unmasked IE, DE or ZE, when it stores nothing.
An unmasked exception is delivered by the next waiting instruction: as #MF where CR0.NE is set, else through FERR# (emu/hw/coprocessor.py).
Condition codes that manuals leave undefined are as on an AMD processor.
"""
# isort: off
from emu.isa.flags import condition, set_arithmetic_flags
from emu.isa.language import FERR, GP, MF, NM, Fault, highest, mask, outlined, signed
from emu.isa.operands import address
from emu.isa.state import CS
from emu.isa.x87_exact import (
    x87_2xm1, x87_add, x87_add_f32, x87_add_f64, x87_com, x87_com_f32, x87_com_f64, x87_cos, x87_div, x87_div_f32, x87_div_f64, x87_divr_f32, x87_divr_f64,
    x87_extract, x87_from_bcd, x87_from_f32, x87_from_f64, x87_mul, x87_mul_f32, x87_mul_f64, x87_patan, x87_prem, x87_prem1, x87_ptan, x87_rndint,
    x87_scale, x87_sin, x87_sincos, x87_sqrt, x87_sub, x87_sub_f32, x87_sub_f64, x87_subr_f32, x87_subr_f64, x87_to_bcd, x87_to_f32, x87_to_f64,
    x87_to_i16, x87_to_i32, x87_to_i64, x87_ucom, x87_yl2x, x87_yl2xp1)
from emu.mem.access import READ, WRITE, linear, load, read, store, write
from emu.mem.paging import translate
# isort: on

NE = 0x20  # of CR0
IE, OE, UE = 1, 8, 16
SF, ES, BUSY = 0x40, 0x80, 0x8000
C0, C1, C2, C3 = 0x100, 0x200, 0x400, 0x4000
CODES = 0x4500  # C3 C2 C0
PUSHED = 0x800
STOP = 7  # IE DE ZE: these exceptions, unmasked, leave everything as it was
UNORDERED = 0x4541  # a comparison with an empty register: C3 C2 C0, SF and IE
NAN = -(1 << 62)  # mantissa of the real indefinite
TEMPORARY = 8
ADD, MUL, SUB, SUBR, DIV, DIVR = range(6)


# --- before and after an instruction ---------------------------------------------------------------------------------------------

def available(m):
    """EM or TS: there is no x87 (SDM 3A 2.5)."""
    if m.cr0 & 12: raise Fault(NM, 0)


def wait(m):
    """What a waiting instruction begins with."""
    available(m)
    if m.fpu_status & ES: unmasked(m)


@outlined
def unmasked(m):
    """An unmasked exception waits (SDM 1, 8.7): #MF; or FERR# goes active, unless IGNNE# says to go on."""
    if m.cr0 & NE: raise Fault(MF, 0)
    if m.ignne == 0: raise Fault(FERR, 0)


def pointers(m, i):
    """The last instruction's address (SDM 1, 8.1.8) and opcode (8.1.9)."""
    m.fpu_ip = m.eip - i.len
    m.fpu_opcode = i.opcode
    m.fpu_cs = m.selector[CS]


def data_pointers(m, i, a):
    """And its operand's."""
    pointers(m, i)
    m.fpu_dp = a
    m.fpu_ds = m.selector[i.seg]


def begin(m, i):
    """The start of a waiting instruction without memory operand."""
    wait(m)
    pointers(m, i)


def operand(m, i, w):
    """The start of one with w bits to read: their value."""
    wait(m)
    a = address(m, i)
    v = load(m, i.seg, a, w)
    data_pointers(m, i, a)
    return v


def summary(m):
    """ES and B follow from the flags and masks (SDM 1, 8.1.3.3); without them FERR# is inactive, and the PC takes IGNNE# back (D.2.1.2)."""
    if m.fpu_status & ~m.fpu_control & 0x3f: m.fpu_status = m.fpu_status | (ES | BUSY)
    else:
        m.fpu_status = m.fpu_status & ~(ES | BUSY)
        m.ignne = 0


def finish(m, s):
    """Collects exceptions and C1; 1 if the instruction stores its result."""
    m.fpu_status = (m.fpu_status & ~C1) | (s & 0x27f)
    if m.fpu_status & ~m.fpu_control & 0x3f: m.fpu_status = m.fpu_status | (ES | BUSY)
    return (s & ~m.fpu_control & STOP) == 0


def codes(m, s, which):
    """Sets condition codes."""
    m.fpu_status = (m.fpu_status & ~which) | (s & which)


# --- the register stack -------------------------------------------------------------------------------------------------------

def st(m, n):
    """The slot of ST(n)."""
    return (m.fpu_top + n) & 7


def empty(m, n):
    return (m.fpu_empty >> n) & 1


def fill(m, n, mantissa, exponent):
    """Sets slot n, which is not empty then."""
    m.fpu_mantissa[n] = mantissa
    m.fpu_exponent[n] = exponent
    m.fpu_empty = m.fpu_empty & ~(1 << n)


def copy(m, n, source):
    fill(m, n, m.fpu_mantissa[source], m.fpu_exponent[source])


def grow(m):
    """TOP goes down; the register there has been filled."""
    m.fpu_top = st(m, 7)
    m.fpu_empty = m.fpu_empty & ~(1 << m.fpu_top)


def pop(m):
    m.fpu_empty = m.fpu_empty | (1 << m.fpu_top)
    m.fpu_top = st(m, 1)


def underflow(m, n):
    """Stack underflow (SDM 1, 8.5.1.1): the masked response is an indefinite in slot n, and going on."""
    if finish(m, IE | SF):
        fill(m, n, NAN, 0xffff)
        return 1
    return 0


def overflow(m):
    """Stack overflow: the masked response is to push an indefinite."""
    if finish(m, IE | SF | C1):
        fill(m, st(m, 7), NAN, 0xffff)
        grow(m)


def full(m):
    """Whether there is no room for one more."""
    return empty(m, st(m, 7)) == 0


# --- FADD FMUL FSUB FSUBR FDIV FDIVR ---------------------------------------------------------------------------------------------

def calculate(m, op, to, a, b):
    """Slot to = a op b."""
    if op == ADD: return x87_add(m, to, a, b)
    if op == MUL: return x87_mul(m, to, a, b)
    if op == SUB: return x87_sub(m, to, a, b)
    if op == SUBR: return x87_sub(m, to, b, a)
    if op == DIV: return x87_div(m, to, a, b)
    return x87_div(m, to, b, a)


def calculate32(m, op, n, v):
    """Slot n = n op the single real v."""
    if op == ADD: return x87_add_f32(m, n, n, v)
    if op == MUL: return x87_mul_f32(m, n, n, v)
    if op == SUB: return x87_sub_f32(m, n, n, v)
    if op == SUBR: return x87_subr_f32(m, n, n, v)
    if op == DIV: return x87_div_f32(m, n, n, v)
    return x87_divr_f32(m, n, n, v)


def calculate64(m, op, n, v):
    """Slot n = n op the double real v."""
    if op == ADD: return x87_add_f64(m, n, n, v)
    if op == MUL: return x87_mul_f64(m, n, n, v)
    if op == SUB: return x87_sub_f64(m, n, n, v)
    if op == SUBR: return x87_subr_f64(m, n, n, v)
    if op == DIV: return x87_div_f64(m, n, n, v)
    return x87_divr_f64(m, n, n, v)


def arithmetic(m, i, op, a, b):
    """Slot a = a op b; 1 if done."""
    begin(m, i)
    if empty(m, a) | empty(m, b): return underflow(m, a)
    return finish(m, calculate(m, op, a, a, b))


def arithmetic_st0(m, i, op):
    arithmetic(m, i, op, st(m, 0), st(m, i.src))


def arithmetic_sti(m, i, op):
    arithmetic(m, i, op, st(m, i.src), st(m, 0))


def arithmetic_pop(m, i, op):
    if arithmetic(m, i, op, st(m, i.src), st(m, 0)): pop(m)


def arithmetic_real(m, i, op):
    """ST(0) = ST(0) op a 32-bit or 64-bit real."""
    v = operand(m, i, i.w)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    elif i.w == 32: finish(m, calculate32(m, op, n, v))
    else: finish(m, calculate64(m, op, n, v))


def arithmetic_integer(m, i, op):
    """ST(0) = ST(0) op a 16-bit or 32-bit integer."""
    v = operand(m, i, i.w)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else:
        from_integer(m, TEMPORARY, signed(v, i.w))
        finish(m, calculate(m, op, n, n, TEMPORARY))


def FADD(m, i): arithmetic_st0(m, i, ADD)
def FMUL(m, i): arithmetic_st0(m, i, MUL)
def FSUB(m, i): arithmetic_st0(m, i, SUB)
def FSUBR(m, i): arithmetic_st0(m, i, SUBR)
def FDIV(m, i): arithmetic_st0(m, i, DIV)
def FDIVR(m, i): arithmetic_st0(m, i, DIVR)


def FADD_R(m, i): arithmetic_sti(m, i, ADD)
def FMUL_R(m, i): arithmetic_sti(m, i, MUL)
def FSUB_R(m, i): arithmetic_sti(m, i, SUB)
def FSUBR_R(m, i): arithmetic_sti(m, i, SUBR)
def FDIV_R(m, i): arithmetic_sti(m, i, DIV)
def FDIVR_R(m, i): arithmetic_sti(m, i, DIVR)


def FADDP(m, i): arithmetic_pop(m, i, ADD)
def FMULP(m, i): arithmetic_pop(m, i, MUL)
def FSUBP(m, i): arithmetic_pop(m, i, SUB)
def FSUBRP(m, i): arithmetic_pop(m, i, SUBR)
def FDIVP(m, i): arithmetic_pop(m, i, DIV)
def FDIVRP(m, i): arithmetic_pop(m, i, DIVR)


def FADD_M(m, i): arithmetic_real(m, i, ADD)
def FMUL_M(m, i): arithmetic_real(m, i, MUL)
def FSUB_M(m, i): arithmetic_real(m, i, SUB)
def FSUBR_M(m, i): arithmetic_real(m, i, SUBR)
def FDIV_M(m, i): arithmetic_real(m, i, DIV)
def FDIVR_M(m, i): arithmetic_real(m, i, DIVR)


def FIADD(m, i): arithmetic_integer(m, i, ADD)
def FIMUL(m, i): arithmetic_integer(m, i, MUL)
def FISUB(m, i): arithmetic_integer(m, i, SUB)
def FISUBR(m, i): arithmetic_integer(m, i, SUBR)
def FIDIV(m, i): arithmetic_integer(m, i, DIV)
def FIDIVR(m, i): arithmetic_integer(m, i, DIVR)


# --- loads ---------------------------------------------------------------------------------------------------------------------

def from_integer(m, n, v):
    """Slot n = a signed 64-bit integer, exactly."""
    if v == 0:
        m.fpu_mantissa[n] = 0
        m.fpu_exponent[n] = 0
    else:
        a = -v if v < 0 else v
        m.fpu_mantissa[n] = a << (63 - highest(a))
        m.fpu_exponent[n] = (0x8000 if v < 0 else 0) | (0x3fff + highest(a))


def from_single(m, n, v):
    """Slot n = a single real; what is not a normal number is the primitive's."""
    e = (v >> 23) & 0xff
    if e == 0 or e == 0xff: return x87_from_f32(m, n, v)
    m.fpu_mantissa[n] = ((v & 0x7fffff) | 0x800000) << 40
    m.fpu_exponent[n] = ((v >> 16) & 0x8000) | (e + 0x3f80)
    return 0


def from_double(m, n, v):
    """Slot n = a double real."""
    e = (v >> 52) & 0x7ff
    if e == 0 or e == 0x7ff: return x87_from_f64(m, n, v)
    m.fpu_mantissa[n] = ((v & mask(52)) | (1 << 52)) << 11
    m.fpu_exponent[n] = ((v >> 48) & 0x8000) | (e + 0x3c00)
    return 0


def load_extended(m, i):
    """80 bits of memory to the temporary slot."""
    wait(m)
    a = address(m, i)
    v = load(m, i.seg, a, 64)
    m.fpu_exponent[TEMPORARY] = load(m, i.seg, (a + 8) & i.amask, 16)
    m.fpu_mantissa[TEMPORARY] = v
    data_pointers(m, i, a)


def push_copy(m, n):
    """Pushes what is in slot n."""
    if full(m): overflow(m)
    else:
        finish(m, 0)
        copy(m, st(m, 7), n)
        grow(m)


def FLD_M(m, i):
    if i.w == 80:
        load_extended(m, i)
        push_copy(m, TEMPORARY)
    else:
        v = operand(m, i, i.w)
        if full(m): overflow(m)
        elif finish(m, from_single(m, st(m, 7), v) if i.w == 32 else from_double(m, st(m, 7), v)): grow(m)


def FILD(m, i):
    from_integer(m, TEMPORARY, signed(operand(m, i, i.w), i.w))
    push_copy(m, TEMPORARY)


def FBLD(m, i):
    load_extended(m, i)
    if full(m): overflow(m)
    else:
        finish(m, x87_from_bcd(m, st(m, 7), TEMPORARY))
        grow(m)


def FLD(m, i):
    begin(m, i)
    n = st(m, i.src)
    if empty(m, n):
        if underflow(m, st(m, 7)): grow(m)
    else: push_copy(m, n)


# 1, log2 10, log2 e, pi, log10 2, ln 2, 0: truncated to 64 bits, and by how much the nearest number and the one above differ
MANTISSAS = (1 << 63, 0xd49a784bcd1b8afe, 0xb8aa3b295c17f0bb, 0xc90fdaa22168c234, 0x9a209a84fbcff798, 0xb17217f7d1cf79ab, 0)
EXPONENTS = (0x3fff, 0x4000, 0x3fff, 0x4000, 0x3ffd, 0x3ffe, 0)
NEAREST = (0, 0, 1, 1, 1, 1, 0)
ABOVE = (0, 1, 1, 1, 1, 1, 0)


def FLD_CONSTANT(m, i):
    begin(m, i)
    rc = (m.fpu_control >> 10) & 3
    rounded = NEAREST[i.constant] if rc == 0 else ABOVE[i.constant] if rc == 2 else 0
    m.fpu_mantissa[TEMPORARY] = MANTISSAS[i.constant] + rounded
    m.fpu_exponent[TEMPORARY] = EXPONENTS[i.constant]
    push_copy(m, TEMPORARY)


# --- stores --------------------------------------------------------------------------------------------------------------------

def writable(m, p, n):
    """Faults now if not all of n bytes at linear address p can be written."""
    translate(m, p, m.user, 1)
    if (p & 4095) + n > 4096: translate(m, (p + n - 1) & 0xfffff000, m.user, 1)


def readable(m, p, n):
    """Faults now if not all of n bytes at linear address p can be read."""
    translate(m, p, m.user, 0)
    if (p & 4095) + n > 4096: translate(m, (p + n - 1) & 0xfffff000, m.user, 0)


def store_extended(m, i, a, n):
    """80 bits of slot n to memory."""
    p = linear(m, i.seg, a, 10, WRITE)
    if (p & 4095) > 4086: writable(m, p, 10)
    write(m, p, 64, m.fpu_mantissa[n], m.user)
    write(m, (p + 8) & 0xffffffff, 16, m.fpu_exponent[n], m.user)


def to_real(m, n, w):
    """Slot n as a real of w bits, in the temporary slot."""
    if w == 32: return x87_to_f32(m, TEMPORARY, n)
    return x87_to_f64(m, TEMPORARY, n)


def to_integer(m, n, w):
    """Slot n as an integer of w bits, in the temporary slot."""
    if w == 16: return x87_to_i16(m, TEMPORARY, n)
    if w == 32: return x87_to_i32(m, TEMPORARY, n)
    return x87_to_i64(m, TEMPORARY, n)


def stored(m, i, s, w):
    """Stores the temporary slot if exceptions allow, and finishes; 1 if it did."""
    a = address(m, i)
    go = (s & ~m.fpu_control & (STOP | OE | UE)) == 0
    if go:
        if w == 80: store_extended(m, i, a, TEMPORARY)
        else: store(m, i.seg, a, w, m.fpu_mantissa[TEMPORARY])
    else: writable(m, linear(m, i.seg, a, w >> 3, WRITE), w >> 3)
    data_pointers(m, i, a)
    finish(m, s)
    return go


def store_real(m, i):
    """ST(0) to a 32, 64 or 80-bit real; 1 if done."""
    wait(m)
    s = 0
    if empty(m, st(m, 0)):
        s = IE | SF
        m.fpu_mantissa[TEMPORARY] = 0xffc00000 if i.w == 32 else -(1 << 51) if i.w == 64 else NAN
        m.fpu_exponent[TEMPORARY] = 0xffff
    elif i.w == 80: copy(m, TEMPORARY, st(m, 0))
    else: s = to_real(m, st(m, 0), i.w)
    return stored(m, i, s, i.w)


def store_integer(m, i):
    """ST(0) to a 16, 32 or 64-bit integer; 1 if done."""
    wait(m)
    s = IE | SF
    if empty(m, st(m, 0)): m.fpu_mantissa[TEMPORARY] = -(1 << (i.w - 1))
    else: s = to_integer(m, st(m, 0), i.w)
    return stored(m, i, s, i.w)


def FST_M(m, i): store_real(m, i)


def FSTP_M(m, i):
    if store_real(m, i): pop(m)


def FIST(m, i): store_integer(m, i)


def FISTP(m, i):
    if store_integer(m, i): pop(m)


def FBSTP(m, i):
    wait(m)
    s = IE | SF
    if empty(m, st(m, 0)):
        m.fpu_mantissa[TEMPORARY] = NAN
        m.fpu_exponent[TEMPORARY] = 0xffff
    else: s = x87_to_bcd(m, TEMPORARY, st(m, 0))
    if stored(m, i, s, 80): pop(m)


def assign(m, i):
    """ST(i) = ST(0); 1 if done."""
    begin(m, i)
    if empty(m, st(m, 0)): return underflow(m, st(m, i.src))
    copy(m, st(m, i.src), st(m, 0))
    return finish(m, 0)


def FST(m, i): assign(m, i)


def FSTP(m, i):
    if assign(m, i): pop(m)


# --- moves in the stack ----------------------------------------------------------------------------------------------------------

def FXCH(m, i):
    begin(m, i)
    a = st(m, 0)
    b = st(m, i.src)
    go = 1
    if empty(m, a): go = underflow(m, a)
    if empty(m, b) and go: go = underflow(m, b)
    if go:
        codes(m, 0, C1)
        copy(m, TEMPORARY, a)
        copy(m, a, b)
        copy(m, b, TEMPORARY)


def FCMOVCC(m, i):
    begin(m, i)
    a = st(m, 0)
    b = st(m, i.src)
    if empty(m, a) | empty(m, b): underflow(m, a)
    elif condition(m, i.cc): copy(m, a, b)


def FINCSTP(m, i):
    begin(m, i)
    finish(m, 0)
    m.fpu_top = st(m, 1)


def FDECSTP(m, i):
    begin(m, i)
    finish(m, 0)
    m.fpu_top = st(m, 7)


def FFREE(m, i):
    begin(m, i)
    finish(m, 0)
    m.fpu_empty = m.fpu_empty | (1 << st(m, i.src))


def FFREEP(m, i):
    FFREE(m, i)
    pop(m)


def FNOP(m, i): begin(m, i)


# --- one operand -----------------------------------------------------------------------------------------------------------------

def sign(m, i, keep, flip):
    """ST(0) with another sign: any number, NaNs too."""
    begin(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else:
        finish(m, 0)
        m.fpu_exponent[n] = (m.fpu_exponent[n] & keep) ^ flip


def FCHS(m, i): sign(m, i, 0xffff, 0x8000)
def FABS(m, i): sign(m, i, 0x7fff, 0)


def FSQRT(m, i):
    begin(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else: finish(m, x87_sqrt(m, n, n))


def FRNDINT(m, i):
    begin(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else: finish(m, x87_rndint(m, n, n))


def F2XM1(m, i):
    begin(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else: finish(m, x87_2xm1(m, n, n))


def begin_partial(m, i):
    """The start of an instruction that sets C2 when it could not do everything."""
    begin(m, i)
    codes(m, 0, C2)


def trigonometric(m, s):
    """C2: the operand is too large and stays."""
    codes(m, s, C2)
    finish(m, s)
    if s & PUSHED: grow(m)


def FSIN(m, i):
    begin_partial(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else: trigonometric(m, x87_sin(m, n, n))


def FCOS(m, i):
    begin_partial(m, i)
    n = st(m, 0)
    if empty(m, n): underflow(m, n)
    else: trigonometric(m, x87_cos(m, n, n))


def two_results(m):
    """Whether ST(0) is there and room for one more; if not, the masked response is two indefinites."""
    n = st(m, 0)
    if empty(m, n):
        if underflow(m, n):
            fill(m, st(m, 7), NAN, 0xffff)
            grow(m)
        return 0
    if full(m):
        if finish(m, IE | SF | C1):
            fill(m, n, NAN, 0xffff)
            fill(m, st(m, 7), NAN, 0xffff)
            grow(m)
        return 0
    return 1


def FPTAN(m, i):
    begin_partial(m, i)
    if two_results(m): trigonometric(m, x87_ptan(m, st(m, 0), st(m, 7), st(m, 0)))


def FSINCOS(m, i):
    begin_partial(m, i)
    if two_results(m): trigonometric(m, x87_sincos(m, st(m, 0), st(m, 7), st(m, 0)))


def FXTRACT(m, i):
    begin(m, i)
    if two_results(m):
        if finish(m, x87_extract(m, st(m, 0), st(m, 7), st(m, 0))): grow(m)


# --- two operands: ST(0) and ST(1) -----------------------------------------------------------------------------------------------

def FSCALE(m, i):
    begin(m, i)
    if empty(m, st(m, 0)) | empty(m, st(m, 1)): underflow(m, st(m, 0))
    else: finish(m, x87_scale(m, st(m, 0), st(m, 0), st(m, 1)))


def remainder(m, s):
    """C2: it is a partial one; else C0 C3 C1 are the quotient's low bits, if there is a quotient."""
    if finish(m, s) and (s & IE) == 0 and (m.fpu_exponent[st(m, 0)] & 0x7fff) != 0x7fff: codes(m, s, CODES)


def FPREM(m, i):
    begin_partial(m, i)
    if empty(m, st(m, 0)) | empty(m, st(m, 1)): underflow(m, st(m, 0))
    else: remainder(m, x87_prem(m, st(m, 0), st(m, 0), st(m, 1)))


def FPREM1(m, i):
    begin_partial(m, i)
    if empty(m, st(m, 0)) | empty(m, st(m, 1)): underflow(m, st(m, 0))
    else: remainder(m, x87_prem1(m, st(m, 0), st(m, 0), st(m, 1)))


def FYL2X(m, i):
    begin(m, i)
    a = st(m, 0)
    b = st(m, 1)
    if empty(m, a) | empty(m, b): go = underflow(m, b)
    else: go = finish(m, x87_yl2x(m, b, a, b))
    if go: pop(m)


def FYL2XP1(m, i):
    begin(m, i)
    a = st(m, 0)
    b = st(m, 1)
    if empty(m, a) | empty(m, b): go = underflow(m, b)
    else: go = finish(m, x87_yl2xp1(m, b, a, b))
    if go: pop(m)


def FPATAN(m, i):
    begin(m, i)
    a = st(m, 0)
    b = st(m, 1)
    if empty(m, a) | empty(m, b): go = underflow(m, b)
    else: go = finish(m, x87_patan(m, b, a, b))
    if go: pop(m)


# --- comparisons -----------------------------------------------------------------------------------------------------------------

def compared(m, s):
    """C3 C2 C0 and exceptions; 1 if done."""
    codes(m, s, CODES)
    return finish(m, s)


def compare(m, i, n, quiet):
    """ST(0) with ST(n); 1 if done."""
    begin(m, i)
    a = st(m, 0)
    b = st(m, n)
    if empty(m, a) | empty(m, b): s = UNORDERED
    elif quiet: s = x87_ucom(m, a, b)
    else: s = x87_com(m, a, b)
    return compared(m, s)


def compare_real(m, i):
    """ST(0) with a 32-bit or 64-bit real; 1 if done."""
    v = operand(m, i, i.w)
    if empty(m, st(m, 0)): s = UNORDERED
    elif i.w == 32: s = x87_com_f32(m, st(m, 0), v)
    else: s = x87_com_f64(m, st(m, 0), v)
    return compared(m, s)


def compare_temporary(m):
    """ST(0) with what is in the temporary slot; 1 if done."""
    if empty(m, st(m, 0)): s = UNORDERED
    else: s = x87_com(m, st(m, 0), TEMPORARY)
    return compared(m, s)


def compare_integer(m, i):
    """ST(0) with a 16-bit or 32-bit integer; 1 if done."""
    from_integer(m, TEMPORARY, signed(operand(m, i, i.w), i.w))
    return compare_temporary(m)


def compare_flags(m, i, quiet):
    """ST(0) with ST(i) into ZF PF CF; 1 if done."""
    begin(m, i)
    a = st(m, 0)
    b = st(m, i.src)
    if empty(m, a) | empty(m, b): s = UNORDERED
    elif quiet: s = x87_ucom(m, a, b)
    else: s = x87_com(m, a, b)
    set_arithmetic_flags(m, (s >> 8) & 0x45)  # C3 C2 C0 lie as ZF PF CF do
    return finish(m, s if s & SF else s | m.fpu_status & C1)  # C1 stays, as on an AMD processor


def FCOM(m, i): compare(m, i, i.src, 0)
def FUCOM(m, i): compare(m, i, i.src, 1)
def FCOM_M(m, i): compare_real(m, i)
def FICOM(m, i): compare_integer(m, i)
def FCOMI(m, i): compare_flags(m, i, 0)
def FUCOMI(m, i): compare_flags(m, i, 1)


def FCOMP(m, i):
    if compare(m, i, i.src, 0): pop(m)


def FUCOMP(m, i):
    if compare(m, i, i.src, 1): pop(m)


def FCOMP_M(m, i):
    if compare_real(m, i): pop(m)


def FICOMP(m, i):
    if compare_integer(m, i): pop(m)


def FCOMIP(m, i):
    if compare_flags(m, i, 0): pop(m)


def FUCOMIP(m, i):
    if compare_flags(m, i, 1): pop(m)


def FCOMPP(m, i):
    if compare(m, i, 1, 0):
        pop(m)
        pop(m)


def FUCOMPP(m, i):
    if compare(m, i, 1, 1):
        pop(m)
        pop(m)


def FTST(m, i):
    begin(m, i)
    m.fpu_mantissa[TEMPORARY] = 0
    m.fpu_exponent[TEMPORARY] = 0
    compare_temporary(m)


def examine(m, n):
    """Class of slot n as C3 C2 C0 (SDM 2, FXAM)."""
    e = m.fpu_exponent[n] & 0x7fff
    f = m.fpu_mantissa[n]
    if empty(m, n): return C3 | C0
    if e == 0: return C3 if f == 0 else C3 | C2
    if f >= 0: return 0  # unsupported: no integer bit
    if e != 0x7fff: return C2
    return C2 | C0 if f == -(1 << 63) else C0


def FXAM(m, i):
    begin(m, i)
    n = st(m, 0)
    codes(m, examine(m, n) | ((m.fpu_exponent[n] >> 6) & C1), CODES | C1)


# --- control -----------------------------------------------------------------------------------------------------------------------

def WAIT(m, i):
    if (m.cr0 & 10) == 10: raise Fault(NM, 0)  # MP and TS
    if m.fpu_status & ES: unmasked(m)


def status_word(m):
    return m.fpu_status | (m.fpu_top << 11)


def set_status_word(m, v):
    m.fpu_status = v & 0x477f
    m.fpu_top = (v >> 11) & 7
    summary(m)


def set_control_word(m, v):
    m.fpu_control = (v & 0x1f3f) | 0x40
    summary(m)


def reset(m):
    """FNINIT (SDM 1, table 9-1)."""
    m.fpu_control = 0x37f
    m.fpu_status = 0
    m.ignne = 0
    m.fpu_top = 0
    m.fpu_empty = 0xff
    m.fpu_ip = 0
    m.fpu_cs = 0
    m.fpu_dp = 0
    m.fpu_ds = 0
    m.fpu_opcode = 0


def FNINIT(m, i):
    available(m)
    reset(m)


def FNCLEX(m, i):
    available(m)
    m.fpu_status = m.fpu_status & (CODES | C1)
    m.ignne = 0


def FNSTCW(m, i):
    available(m)
    store(m, i.seg, address(m, i), 16, m.fpu_control)


def FLDCW(m, i):
    wait(m)
    set_control_word(m, load(m, i.seg, address(m, i), 16))


def FNSTSW(m, i):
    available(m)
    store(m, i.seg, address(m, i), 16, status_word(m))


def FNSTSW_AX(m, i):
    available(m)
    m.reg[0] = (m.reg[0] & 0xffff0000) | status_word(m)


def tag(m, n):
    """0 valid, 1 zero, 2 special, 3 empty (SDM 1, 8.1.7)."""
    e = m.fpu_exponent[n] & 0x7fff
    if empty(m, n): return 3
    if e == 0 and m.fpu_mantissa[n] == 0: return 1
    return 2 if e == 0 or e == 0x7fff or m.fpu_mantissa[n] >= 0 else 0


def tags(m):
    word = 0
    n = 0
    while n < 8:
        word = word | (tag(m, n) << (n << 1))
        n = n + 1
    return word


def get_word(m, p, n, w):
    """The n-th word of w bits from linear address p on."""
    return read(m, (p + n * (w >> 3)) & 0xffffffff, w, m.user)


def put_word(m, p, n, w, v):
    write(m, (p + n * (w >> 3)) & 0xffffffff, w, v, m.user)


@outlined
def store_environment(m, p, w):
    """The environment to linear address p, as w and the mode lay it out (SDM 1, figures 8-9 to 8-12)."""
    high = 0xffff0000
    put_word(m, p, 0, w, high | m.fpu_control)
    put_word(m, p, 1, w, high | status_word(m))
    put_word(m, p, 2, w, high | tags(m))
    if m.protected:
        put_word(m, p, 3, w, m.fpu_ip)
        put_word(m, p, 4, w, m.fpu_cs | (m.fpu_opcode << 16))
        put_word(m, p, 5, w, m.fpu_dp)
        put_word(m, p, 6, w, high | m.fpu_ds)
    else:
        ip = (m.fpu_cs << 4) + m.fpu_ip
        dp = (m.fpu_ds << 4) + m.fpu_dp
        put_word(m, p, 3, w, high | ip)
        put_word(m, p, 4, w, ((ip >> 4) & 0xffff000) | m.fpu_opcode)
        put_word(m, p, 5, w, high | dp)
        put_word(m, p, 6, w, (dp >> 4) & 0xffff000)


@outlined
def load_environment(m, p, w):
    """The environment from linear address p; all of it can be read."""
    set_control_word(m, get_word(m, p, 0, w))
    set_status_word(m, get_word(m, p, 1, w))
    ip = get_word(m, p, 3, w)
    dp = get_word(m, p, 5, w)
    code = get_word(m, p, 4, w)
    data = get_word(m, p, 6, w)
    if m.protected:
        m.fpu_opcode = (code >> 16) & 0x7ff
    else:
        m.fpu_opcode = code & 0x7ff
        ip = (ip & 0xffff) | ((code << 4) & 0xffff0000)
        dp = (dp & 0xffff) | ((data << 4) & 0xffff0000)
        code = 0
        data = 0
    m.fpu_ip = ip
    m.fpu_dp = dp
    m.fpu_cs = code & 0xffff
    m.fpu_ds = data & 0xffff
    m.fpu_empty = 0
    word = get_word(m, p, 2, w)
    n = 0
    while n < 8:
        if ((word >> (n << 1)) & 3) == 3: m.fpu_empty = m.fpu_empty | (1 << n)
        n = n + 1


def FNSTENV(m, i):
    available(m)
    p = linear(m, i.seg, address(m, i), 7 * (i.w >> 3), WRITE)
    writable(m, p, 7 * (i.w >> 3))
    store_environment(m, p, i.w)
    set_control_word(m, m.fpu_control | 0x3f)


def FLDENV(m, i):
    wait(m)
    p = linear(m, i.seg, address(m, i), 7 * (i.w >> 3), READ)
    readable(m, p, 7 * (i.w >> 3))
    load_environment(m, p, i.w)


def FNSAVE(m, i):
    available(m)
    size = 7 * (i.w >> 3)
    p = linear(m, i.seg, address(m, i), size + 80, WRITE)
    writable(m, p, size + 80)
    store_environment(m, p, i.w)
    store_registers(m, (p + size) & 0xffffffff)
    reset(m)


def FRSTOR(m, i):
    wait(m)
    size = 7 * (i.w >> 3)
    p = linear(m, i.seg, address(m, i), size + 80, READ)
    readable(m, p, size + 80)
    load_environment(m, p, i.w)
    load_registers(m, (p + size) & 0xffffffff)


@outlined
def store_registers(m, p):
    """ST(0) to ST(7), 10 bytes each, as words: nothing here need be aligned to more (SDM 3A 6.15, #AC)."""
    n = 0
    while n < 8:
        k = 0
        while k < 4:
            put_word(m, p, k, 16, m.fpu_mantissa[st(m, n)] >> (k << 4))
            k = k + 1
        put_word(m, p, 4, 16, m.fpu_exponent[st(m, n)])
        p = (p + 10) & 0xffffffff
        n = n + 1


@outlined
def load_registers(m, p):
    n = 0
    while n < 8:
        mantissa = 0
        k = 0
        while k < 4:
            mantissa = mantissa | (get_word(m, p, k, 16) << (k << 4))
            k = k + 1
        m.fpu_mantissa[st(m, n)] = mantissa
        m.fpu_exponent[st(m, n)] = get_word(m, p, 4, 16)
        p = (p + 10) & 0xffffffff
        n = n + 1


FX_SIZE, FX_REGISTERS = 512, 32  # FXSAVE's image, and where ST(0) is in it


def fx_area(m, i, need):
    """The linear address of FXSAVE's image; #GP(0) unless it is a multiple of 16."""
    p = linear(m, i.seg, address(m, i), FX_SIZE, need)
    if p & 15: raise Fault(GP, 0)
    return p


def FXSAVE(m, i):
    available(m)
    p = fx_area(m, i, WRITE)
    writable(m, p, FX_SIZE)
    store_extended_state(m, p)


def FXRSTOR(m, i):
    available(m)
    p = fx_area(m, i, READ)
    readable(m, p, FX_SIZE)
    load_extended_state(m, p)


@outlined
def store_extended_state(m, p):
    """FXSAVE's image without SSE (SDM 1, table 10-2): tags are one bit each, set where a register is not empty; ST(0) to ST(7) take 16 bytes each."""
    put_word(m, p, 0, 16, m.fpu_control)
    put_word(m, p, 1, 16, status_word(m))
    put_word(m, p, 2, 16, ~m.fpu_empty & 0xff)
    put_word(m, p, 3, 16, m.fpu_opcode)
    put_word(m, p, 2, 32, m.fpu_ip)
    put_word(m, p, 3, 32, m.fpu_cs)
    put_word(m, p, 4, 32, m.fpu_dp)
    put_word(m, p, 5, 32, m.fpu_ds)
    n = 0
    while n < 8:
        p2 = (p + FX_REGISTERS + (n << 4)) & 0xffffffff
        put_word(m, p2, 0, 64, m.fpu_mantissa[st(m, n)])
        put_word(m, p2, 1, 64, m.fpu_exponent[st(m, n)] & 0xffff)
        n = n + 1


@outlined
def load_extended_state(m, p):
    """FXSAVE's image back; all of it can be read."""
    set_control_word(m, get_word(m, p, 0, 16))
    set_status_word(m, get_word(m, p, 1, 16))
    m.fpu_empty = ~get_word(m, p, 4, 8) & 0xff
    m.fpu_opcode = get_word(m, p, 3, 16) & 0x7ff
    m.fpu_ip = get_word(m, p, 2, 32)
    m.fpu_cs = get_word(m, p, 6, 16)
    m.fpu_dp = get_word(m, p, 4, 32)
    m.fpu_ds = get_word(m, p, 10, 16)
    n = 0
    while n < 8:
        p2 = (p + FX_REGISTERS + (n << 4)) & 0xffffffff
        m.fpu_mantissa[st(m, n)] = get_word(m, p2, 0, 64)
        m.fpu_exponent[st(m, n)] = get_word(m, p2, 4, 16)
        n = n + 1
