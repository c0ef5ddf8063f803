"""The arithmetic flags, kept lazily in two 64-bit words of State (SDM 1, 3.4.3.1).

`result`:  ZF = its low 32 bits are 0; SF = it is negative; PF = even parity of bits 0 to 7 xor bits 40 to 47. A signed result of any
width reads right as it is; POPF can still set every combination.
`carries`: CF = bit 32, OF = bit 32 xor bit 31, AF = bit 4. For an addition or subtraction, a ^ b ^ r holds the carry into each bit;
shifted so that bit w comes to lie at bit 32, it is this word.
"""
from emu.isa.language import ones, signed

CF, PF, AF, ZF, SF, TF, IF, DF, OF, IOPL, NT, RF, VM, AC, VIF, VIP, ID = (
    1, 4, 16, 64, 128, 0x100, 0x200, 0x400, 0x800, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000)
ARITHMETIC = CF | PF | AF | ZF | SF | OF


def widen(x, w):
    """Carry bits of a w-bit operation -> the form of `carries`."""
    if w == 8: return (x << 24) | (x & 16)
    if w == 16: return (x << 16) | (x & 16)
    return x


def flags_arithmetic(m, a, b, r, w):
    """After r = a + b + carry or r = a - b - borrow, r not masked, a and b of w bits."""
    m.result = signed(r, w)
    m.carries = widen(a ^ b ^ r, w)


def flags_keep_carry(m, a, b, r, w):
    """The same, CF unchanged: INC and DEC."""
    x = widen(a ^ b ^ r, w)
    d = (x ^ m.carries) & 0x100000000
    m.result = signed(r, w)
    m.carries = x ^ d ^ (d >> 1)


def flags_logic(m, r, w):
    """AND, OR, XOR, TEST: CF = OF = 0, AF cleared as hardware does."""
    m.result = signed(r, w)
    m.carries = 0


def flags_result(m, r, w, cf, of):
    """SF, ZF, PF of r; CF and OF as given (0 or 1); AF = 0."""
    m.result = signed(r, w)
    m.carries = (cf << 32) | ((cf ^ of) << 31)


def carry(m):
    return (m.carries >> 32) & 1


def overflow(m):
    return ((m.carries >> 32) ^ (m.carries >> 31)) & 1


def adjust(m):
    return (m.carries >> 4) & 1


def zero(m):
    return (m.result & 0xffffffff) == 0


def sign(m):
    return m.result < 0


def parity(m):
    return (ones((m.result ^ (m.result >> 40)) & 0xff) & 1) == 0


def set_carry(m, cf):
    """CF = cf (0 or 1), OF unchanged."""
    d = (m.carries ^ (cf << 32)) & 0x100000000
    m.carries = m.carries ^ d ^ (d >> 1)


def set_carry_overflow(m, cf, of):
    """CF and OF as given (0 or 1); the others unchanged: rotates and IMUL."""
    m.carries = (cf << 32) | ((cf ^ of) << 31) | (m.carries & 16)


def set_zero(m, zf):
    """ZF = zf (0 or 1); the others unchanged."""
    set_arithmetic_flags(m, (arithmetic_flags(m) & ~ZF) | (zf << 6))


def arithmetic_flags(m):
    """CF PF AF ZF SF OF at their places in EFLAGS."""
    return carry(m) | (parity(m) << 2) | (adjust(m) << 4) | (zero(m) << 6) | (sign(m) << 7) | (overflow(m) << 11)


def set_arithmetic_flags(m, image):
    """Sets the six from an EFLAGS image."""
    zf = (image >> 6) & 1
    m.result = (zf ^ 1) | ((zf ^ ((image >> 2) & 1)) << 40) | (0 - ((image >> 7) & 1) << 63)
    m.carries = ((image & 1) << 32) | (((image ^ (image >> 11)) & 1) << 31) | (image & 16)


def eflags_image(m):
    """EFLAGS as PUSHF sees it; bit 1 is always set."""
    return m.eflags | arithmetic_flags(m) | 2


def condition(m, cc):
    """The condition of Jcc, SETcc and CMOVcc, cc 0 to 15 (SDM 1, appendix B)."""
    if cc >> 1 == 0: c = overflow(m)
    elif cc >> 1 == 1: c = carry(m)
    elif cc >> 1 == 2: c = zero(m)
    elif cc >> 1 == 3: c = carry(m) | zero(m)
    elif cc >> 1 == 4: c = sign(m)
    elif cc >> 1 == 5: c = parity(m)
    elif cc >> 1 == 6: c = sign(m) ^ overflow(m)
    else: c = zero(m) | (sign(m) ^ overflow(m))
    return c ^ (cc & 1)
