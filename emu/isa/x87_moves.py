"""x87 instructions that move: loads, stores, and what changes places in the register stack (SDM 1, 8.3.3; SDM 2). emu/isa/x87.py has the rest."""
# isort: off
from emu.isa.flags import condition
from emu.isa.language import mask, signed
from emu.isa.operands import address
from emu.isa.x87 import C1, IE, NAN, OE, SF, STOP, TEMPORARY, UE
from emu.isa.x87 import begin, codes, copy, data_pointers, empty, finish, from_integer, full, grow, operand, overflow, pop, st, underflow, wait
from emu.isa.x87_exact import x87_from_bcd, x87_from_f32, x87_from_f64, x87_to_bcd, x87_to_f32, x87_to_f64, x87_to_i16, x87_to_i32, x87_to_i64
from emu.mem.access import WRITE, linear, load, store, writable, write
# isort: on


# --- loads ---------------------------------------------------------------------------------------------------------------------

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
