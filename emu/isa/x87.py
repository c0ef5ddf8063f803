"""x87 instructions: the register stack, tags, exceptions and pointers around the primitives (SDM 1, chapter 8; SDM 2).

A register's number n is that of its slot, 0 to 7; slot 8 holds what is on the way to or from memory. A primitive gives the exceptions it raised;
`finish` puts them into the status word and says whether the instruction goes on to pop or push: not after an unmasked IE, DE or ZE, when it stores nothing.
An unmasked exception is delivered by the next waiting instruction: as #MF where CR0.NE is set, else through FERR# (emu/hw/coprocessor.py).
Condition codes that manuals leave undefined are as on an AMD processor. Loads, stores and moves are in x87_moves.py, control and saved state in x87_control.py.
"""
# isort: off
from emu.isa.flags import set_arithmetic_flags
from emu.isa.language import FERR, MF, NM, Fault, highest, outlined, signed
from emu.isa.operands import address
from emu.isa.state import CS
from emu.isa.x87_exact import (
    x87_2xm1, x87_add, x87_add_f32, x87_add_f64, x87_com, x87_com_f32, x87_com_f64, x87_cos, x87_div, x87_div_f32, x87_div_f64, x87_divr_f32, x87_divr_f64,
    x87_extract, x87_mul, x87_mul_f32, x87_mul_f64, x87_patan, x87_prem, x87_prem1, x87_ptan, x87_rndint, x87_scale, x87_sin, x87_sincos, x87_sqrt, x87_sub,
    x87_sub_f32, x87_sub_f64, x87_subr_f32, x87_subr_f64, x87_ucom, x87_yl2x, x87_yl2xp1)
from emu.mem.access import load
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


def from_integer(m, n, v):
    """Slot n = a signed 64-bit integer, exactly."""
    if v == 0:
        m.fpu_mantissa[n] = 0
        m.fpu_exponent[n] = 0
    else:
        a = -v if v < 0 else v
        m.fpu_mantissa[n] = a << (63 - highest(a))
        m.fpu_exponent[n] = (0x8000 if v < 0 else 0) | (0x3fff + highest(a))


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
