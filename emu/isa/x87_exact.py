"""The x87 primitives for the eager engine: exact integer arithmetic, then one rounding (SDM 1, chapters 4.8, 4.9 and 8).

Each works on numbers in slots of State (0 to 7 the physical registers, 8 to 11 temporaries) under the control word's masks, PC and RC, and returns what it
raised: IE DE ZE OE UE PE (bits 0 to 5), C1 (bit 9: rounded away from 0, or a bit of a quotient), C0 C2 C3 where it sets them, and PUSHED where there is a
second number. An unmasked IE, DE or ZE writes nothing; an unmasked OE or UE gives the number with its exponent wrapped around by 24576. Where manuals leave
something open it is as on the host: tests/test_x87.py compares all of it. Transcendental functions are the host's own (emu/isa/x87_lower.py).
"""
import ctypes
from functools import cache
from math import isqrt
from typing import Any, Callable, NamedTuple

from emu.isa.language import mask
from emu.isa.x87_lower import PUSHED

IE, DE, ZE, OE, UE, PE = 1, 2, 4, 8, 16, 32
C0, C1, C2, C3 = 0x100, 0x200, 0x400, 0x4000
NEAREST, DOWN, UP, ZERO = range(4)  # RC

Raw = tuple[int, int]  # a number as it lies in a slot: mantissa; sign and exponent
J = 1 << 63            # the explicit integer bit
QUIET = 1 << 62
INDEFINITE: Raw = (J | QUIET, 0xffff)


class Format(NamedTuple):
    """A floating-point format: bits of precision, exponents of the smallest and the greatest normal number."""

    bits: int
    least: int
    greatest: int


SINGLE, DOUBLE, EXTENDED = Format(24, -126, 127), Format(53, -1022, 1023), Format(64, -16382, 16383)
WRAP = 24576
PRECISION = (24, 64, 53, 64)  # by PC


class Number(NamedTuple):
    """An operand. Finite: mantissa * 2**exponent, 0 included; else 'inf', 'nan' (with its 64-bit mantissa), 'bad' (unsupported encodings)."""

    kind: str
    sign: int
    mantissa: int
    exponent: int = 0
    denormal: bool = False

    @property
    def top(self) -> int:
        """The exponent as in 1.xxx * 2**top; not of 0."""
        return self.exponent + self.mantissa.bit_length() - 1


Result = tuple[int, Raw | Number]  # status; a number as it is, or a finite one to be rounded
Operation = Callable[..., Result]


# --- numbers from slots and from memory --------------------------------------------------------------------------------------

def slot(m: Any, n: int) -> Number:
    """The number in a slot (SDM 1, table 4-3 and 8.2.2)."""
    return number(m.fpu_mantissa[n] & mask(64), m.fpu_exponent[n])


def number(mantissa: int, high: int) -> Number:
    """An 80-bit number."""
    sign, e = high >> 15, high & 0x7fff
    if e == 0: return Number('finite', sign, mantissa, -16445, mantissa != 0)
    if not mantissa & J: return Number('bad', sign, 0)
    if e < 0x7fff: return Number('finite', sign, mantissa, e - 16446)
    return Number('nan' if mantissa != J else 'inf', sign, mantissa)


def narrow(bits: int, form: Format) -> Number:
    """A 32-bit or 64-bit real; a NaN keeps its class."""
    width = form.bits - 1
    fraction, e, sign = bits & mask(width), bits >> width & (2 * form.greatest + 1), bits >> (64 if form is DOUBLE else 32) - 1 & 1
    if e == 0: return Number('finite', sign, fraction, form.least - width, fraction != 0)
    if e <= 2 * form.greatest: return Number('finite', sign, fraction | 1 << width, e - form.greatest - width)
    return Number('nan' if fraction else 'inf', sign, J | fraction << 63 - width)


def put(m: Any, n: int, raw: Raw) -> None:
    """Fills a slot."""
    m.fpu_mantissa[n], m.fpu_exponent[n] = raw[0] - (raw[0] >> 63 << 64), raw[1]


def infinity(sign: int) -> Raw:
    return J, sign << 15 | 0x7fff


def nothing(sign: int) -> Raw:
    return 0, sign << 15


# --- rounding --------------------------------------------------------------------------------------------------------------------

def quantize(x: Number, ulp: int, rc: int) -> tuple[int, int]:
    """x in units of 2**ulp, rounded to an integer; PE and C1."""
    if x.exponent >= ulp: return x.mantissa << x.exponent - ulp, 0
    shift = ulp - x.exponent
    whole, rest, half = x.mantissa >> shift, x.mantissa & mask(shift), 1 << shift - 1
    if not rest: return whole, 0
    up = (rest > half or (rest == half and whole & 1)) if rc == NEAREST else rc == (DOWN if x.sign else UP)
    return whole + up, PE | (C1 if up else 0)


def away(sign: int, rc: int) -> bool:
    """Whether overflow goes to infinity instead of the greatest number (SDM 1, table 4-10)."""
    return rc in (NEAREST, DOWN if sign else UP)


def fit(x: Number, form: Format, bits: int, control: int) -> tuple[int, int, int]:
    """A finite number other than 0, rounded to `bits` bits in a format: mantissa and exponent of its last bit, status.

    An overflow that is masked comes as an exponent above the format's; tininess is detected after rounding (SDM 1, 4.9.1.5).
    """
    rc = control >> 10 & 3
    ulp = x.top - bits + 1
    mantissa, status = quantize(x, ulp, rc)
    if mantissa >> bits: mantissa, ulp = mantissa >> 1, ulp + 1
    top = ulp + mantissa.bit_length() - 1
    if top > form.greatest:
        if not control & OE: return mantissa, ulp, status | OE
        return (1, form.greatest + 1, OE | PE | C1) if away(x.sign, rc) else (mask(bits), form.greatest - bits + 1, OE | PE)
    if top < form.least:
        if not control & UE: return mantissa, ulp, status | UE
        ulp = max(ulp, form.least - bits + 1)
        mantissa, status = quantize(x, ulp, rc)
        if status: status |= UE
    return mantissa, ulp, status


def extended(m: Any, x: Number, bits: int) -> tuple[Raw, int]:
    """A finite number as a register's, and what that raises."""
    if x.mantissa == 0: return nothing(x.sign), 0
    mantissa, ulp, status = fit(x, EXTENDED, bits, m.fpu_control)
    if mantissa == 0: return nothing(x.sign), status
    shift = 64 - mantissa.bit_length()
    e = ulp - shift + 16446
    if wrapped := status & ~m.fpu_control & (OE | UE):
        e += WRAP if wrapped & UE else -WRAP
        if e > 0x7ffe: return infinity(x.sign), OE | PE | C1  # FSCALE can get there
        if e <= 0: return nothing(x.sign), UE | PE
    if e > 0x7ffe: return infinity(x.sign), status
    if e <= 0: return (mantissa << shift >> 1 - e, x.sign << 15), status
    return (mantissa << shift, x.sign << 15 | e), status


# --- the common course of arithmetic ---------------------------------------------------------------------------------------------

def special(xs: tuple[Number, ...]) -> Result | None:
    """Unsupported encodings and NaNs among the operands (SDM 1, table 4-7)."""
    if any(x.kind == 'bad' for x in xs): return IE, INDEFINITE
    nans = [x for x in xs if x.kind == 'nan']
    if not nans: return None
    signals = [not x.mantissa & QUIET for x in nans]
    if any(signals) and not all(signals): nans.sort(key=lambda x: x.mantissa & QUIET, reverse=True)
    else: nans.sort(key=lambda x: (x.mantissa, -x.sign), reverse=True)
    return IE if any(signals) else 0, (nans[0].mantissa | QUIET, nans[0].sign << 15 | 0x7fff)


def operate(m: Any, to: int, operation: Operation, xs: tuple[Number, ...], bits: int = 64) -> int:
    """Operands -> result in slot `to`, and the status."""
    found = special(xs)
    if found is None:
        status, value = operation(*xs)
        if not status & (IE | ZE) and any(x.denormal for x in xs): status |= DE
    else: status, value = found
    if status & ~m.fpu_control & 7: return status & (IE | DE | ZE)
    if isinstance(value, Number):
        value, more = extended(m, value, bits)
        status |= more
    put(m, to, value)
    return status


def precision(m: Any) -> int:
    return PRECISION[m.fpu_control >> 8 & 3]


def adder(rc: int) -> Operation:
    """a + b; an exact 0 is negative only when rounding down (SDM 1, 4.8.3.1)."""
    def add(a: Number, b: Number) -> Result:
        if a.kind == b.kind == 'inf' and a.sign != b.sign: return IE, INDEFINITE
        if a.kind == 'inf' or b.kind == 'inf': return 0, infinity((a if a.kind == 'inf' else b).sign)
        low = min(a.exponent, b.exponent)
        total = sum((-1) ** x.sign * (x.mantissa << x.exponent - low) for x in (a, b))
        if total == 0: return 0, nothing(a.sign if a.mantissa == 0 and a.sign == b.sign else rc == DOWN)
        return 0, Number('finite', total < 0, abs(total), low)
    return add


def multiply(a: Number, b: Number) -> Result:
    """a * b."""
    sign = a.sign ^ b.sign
    if a.kind == 'inf' or b.kind == 'inf':
        return (0, infinity(sign)) if a.mantissa and b.mantissa else (IE, INDEFINITE)
    return 0, Number('finite', sign, a.mantissa * b.mantissa, a.exponent + b.exponent)


def divide(a: Number, b: Number) -> Result:
    """a / b, to many bits and one that says whether there is more."""
    sign = a.sign ^ b.sign
    if a.kind == b.kind and (a.kind == 'inf' or a.mantissa == b.mantissa == 0): return IE, INDEFINITE
    if a.kind == 'inf': return 0, infinity(sign)
    if b.kind == 'inf': return 0, nothing(sign)
    if b.mantissa == 0: return ZE, infinity(sign)
    quotient, rest = divmod(a.mantissa << 192, b.mantissa)
    return 0, Number('finite', sign, quotient << 1 | (rest != 0), a.exponent - b.exponent - 193)


def root(x: Number) -> Result:
    """Square root."""
    if x.kind == 'finite' and x.mantissa == 0: return 0, nothing(x.sign)
    if x.sign: return IE, INDEFINITE
    if x.kind == 'inf': return 0, infinity(0)
    wide = x.mantissa << 192 + (x.exponent & 1)
    r = isqrt(wide)
    return 0, Number('finite', 0, r << 1 | (r * r != wide), (x.exponent - (x.exponent & 1) - 192) // 2 - 1)


def opposite(x: Number) -> Number:
    return x if x.kind == 'nan' else x._replace(sign=x.sign ^ 1)


def add(m: Any, to: int, a: Number, b: Number) -> int:
    return operate(m, to, adder(m.fpu_control >> 10 & 3), (a, b), precision(m))


def subtract(m: Any, to: int, a: Number, b: Number) -> int:
    return add(m, to, a, opposite(b))


def x87_add(m: Any, to: int, a: int, b: int) -> int:
    """to = a + b"""
    return add(m, to, slot(m, a), slot(m, b))


def x87_sub(m: Any, to: int, a: int, b: int) -> int:
    """to = a - b"""
    return subtract(m, to, slot(m, a), slot(m, b))


def x87_mul(m: Any, to: int, a: int, b: int) -> int:
    """to = a * b"""
    return operate(m, to, multiply, (slot(m, a), slot(m, b)), precision(m))


def x87_div(m: Any, to: int, a: int, b: int) -> int:
    """to = a / b"""
    return operate(m, to, divide, (slot(m, a), slot(m, b)), precision(m))


# The same with a 32-bit or 64-bit real, given as its bits, for b; subr and divr the other way round

def x87_add_f32(m: Any, to: int, a: int, bits: int) -> int:
    return add(m, to, slot(m, a), narrow(bits, SINGLE))


def x87_add_f64(m: Any, to: int, a: int, bits: int) -> int:
    return add(m, to, slot(m, a), narrow(bits, DOUBLE))


def x87_sub_f32(m: Any, to: int, a: int, bits: int) -> int:
    return subtract(m, to, slot(m, a), narrow(bits, SINGLE))


def x87_sub_f64(m: Any, to: int, a: int, bits: int) -> int:
    return subtract(m, to, slot(m, a), narrow(bits, DOUBLE))


def x87_subr_f32(m: Any, to: int, a: int, bits: int) -> int:
    return subtract(m, to, narrow(bits, SINGLE), slot(m, a))


def x87_subr_f64(m: Any, to: int, a: int, bits: int) -> int:
    return subtract(m, to, narrow(bits, DOUBLE), slot(m, a))


def x87_mul_f32(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, multiply, (slot(m, a), narrow(bits, SINGLE)), precision(m))


def x87_mul_f64(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, multiply, (slot(m, a), narrow(bits, DOUBLE)), precision(m))


def x87_div_f32(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, divide, (slot(m, a), narrow(bits, SINGLE)), precision(m))


def x87_div_f64(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, divide, (slot(m, a), narrow(bits, DOUBLE)), precision(m))


def x87_divr_f32(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, divide, (narrow(bits, SINGLE), slot(m, a)), precision(m))


def x87_divr_f64(m: Any, to: int, a: int, bits: int) -> int:
    return operate(m, to, divide, (narrow(bits, DOUBLE), slot(m, a)), precision(m))


def x87_sqrt(m: Any, to: int, a: int) -> int:
    """to = square root of a"""
    return operate(m, to, root, (slot(m, a),), precision(m))


# --- integers, exponents, remainders ---------------------------------------------------------------------------------------------

def x87_rndint(m: Any, to: int, a: int) -> int:
    """to = a, rounded to an integer as RC says"""
    def rndint(x: Number) -> Result:
        if x.kind == 'inf': return 0, infinity(x.sign)
        whole, status = quantize(x, 0, m.fpu_control >> 10 & 3)
        return status, Number('finite', x.sign, whole)
    return operate(m, to, rndint, (slot(m, a),))


def x87_scale(m: Any, to: int, a: int, b: int) -> int:
    """to = a * 2**b, b truncated (SDM 2, table 3-32)"""
    def scale(x: Number, by: Number) -> Result:
        if by.kind == 'inf':
            if (x.kind == 'inf') if by.sign else (x.kind == 'finite' and x.mantissa == 0): return IE, INDEFINITE
            return 0, nothing(x.sign) if by.sign else infinity(x.sign)
        if x.kind == 'inf': return 0, infinity(x.sign)
        n = min(quantize(by, 0, ZERO)[0], 0x10000)
        return 0, x._replace(exponent=x.exponent + (-n if by.sign else n))
    return operate(m, to, scale, (slot(m, a), slot(m, b)))


def remainder(m: Any, to: int, a: int, b: int, nearest: bool) -> int:
    """FPREM and FPREM1: C2 while the reduction is partial, else the quotient's low bits in C0 C3 C1 (SDM 2)."""
    def prem(x: Number, y: Number) -> Result:
        if x.kind == 'inf' or (y.kind == 'finite' and y.mantissa == 0): return IE, INDEFINITE
        if x.mantissa == 0 or y.kind == 'inf': return 0, x
        d = x.top - y.top
        skip = 0 if d < 64 else d - (32 + d % 32)  # partial: the quotient's high bits only
        low = min(x.exponent, y.exponent)
        divisor = y.mantissa << y.exponent - low + skip
        q, rest = divmod(x.mantissa << x.exponent - low, divisor)
        sign = x.sign
        if nearest and d < 64 and (2 * rest > divisor or (2 * rest == divisor and q & 1)): q, rest, sign = q + 1, divisor - rest, sign ^ 1
        bits = C2 if skip else (C0 if q & 4 else 0) | (C3 if q & 2 else 0) | (C1 if q & 1 else 0)
        return bits, Number('finite', sign if rest else x.sign, rest, low)
    return operate(m, to, prem, (slot(m, a), slot(m, b)))


def x87_prem(m: Any, to: int, a: int, b: int) -> int:
    """to = a rem b, the quotient truncated"""
    return remainder(m, to, a, b, False)


def x87_prem1(m: Any, to: int, a: int, b: int) -> int:
    """to = a rem b, the quotient rounded to nearest"""
    return remainder(m, to, a, b, True)


def x87_extract(m: Any, to: int, push: int, a: int) -> int:
    """to = exponent of a, push = its significand"""
    def exponent(x: Number) -> Result:
        if x.kind == 'inf': return 0, infinity(0)
        if x.mantissa == 0: return ZE, infinity(1)
        return 0, Number('finite', x.top < 0, abs(x.top))
    x = slot(m, a)
    status = operate(m, to, exponent, (x,))
    if status & ~m.fpu_control & 7: return status
    if x.kind == 'inf': significand = infinity(x.sign)
    elif x.kind != 'finite': significand = m.fpu_mantissa[to] & mask(64), m.fpu_exponent[to]
    elif x.mantissa == 0: significand = nothing(x.sign)
    else: significand = x.mantissa << 64 - x.mantissa.bit_length(), x.sign << 15 | 0x3fff
    put(m, push, significand)
    return status | PUSHED


# --- comparisons -----------------------------------------------------------------------------------------------------------------

def compare(a: Number, b: Number, quiet: bool) -> int:
    """C3 C2 C0 (SDM 1, table 8-6)."""
    if 'bad' in (a.kind, b.kind): return C3 | C2 | C0 | IE
    if 'nan' in (a.kind, b.kind): return C3 | C2 | C0 | (0 if quiet and not special((a, b))[0] else IE)  # type: ignore[index]
    status = DE if a.denormal or b.denormal else 0
    return status | order(a, b)


def order(a: Number, b: Number) -> int:
    """C0: a < b; C3: equal."""
    low = min(x.exponent for x in (a, b))
    va, vb = ((-1) ** x.sign * (x.mantissa << (x.exponent - low if x.kind == 'finite' else 40000)) for x in (a, b))
    return C0 if va < vb else C3 if va == vb else 0


def x87_com(m: Any, a: int, b: int) -> int:
    """Compares a with b; any NaN is invalid"""
    return compare(slot(m, a), slot(m, b), False)


def x87_ucom(m: Any, a: int, b: int) -> int:
    """Compares a with b; only a signalling NaN is invalid"""
    return compare(slot(m, a), slot(m, b), True)


def x87_com_f32(m: Any, a: int, bits: int) -> int:
    """Compares a with a 32-bit real"""
    return compare(slot(m, a), narrow(bits, SINGLE), False)


def x87_com_f64(m: Any, a: int, bits: int) -> int:
    """Compares a with a 64-bit real"""
    return compare(slot(m, a), narrow(bits, DOUBLE), False)


# --- formats of memory -----------------------------------------------------------------------------------------------------------

def same(x: Number) -> Result:
    """The number as it is."""
    return 0, infinity(x.sign) if x.kind == 'inf' else x


def x87_from_f32(m: Any, to: int, bits: int) -> int:
    """to = a 32-bit real"""
    return operate(m, to, same, (narrow(bits, SINGLE),))


def x87_from_f64(m: Any, to: int, bits: int) -> int:
    """to = a 64-bit real"""
    return operate(m, to, same, (narrow(bits, DOUBLE),))


def x87_from_bcd(m: Any, to: int, a: int) -> int:
    """to = the 18 digits whose 80 bits are in slot a"""
    low, high = m.fpu_mantissa[a] & mask(64), m.fpu_exponent[a]
    digits = low | (high & 0xff) << 64
    value = sum((digits >> 4 * n & 15) * 10 ** n for n in range(18))
    return operate(m, to, same, (Number('finite', high >> 15, value),))


def to_real(m: Any, to: int, a: int, form: Format) -> int:
    """The bits of a shorter real in slot `to`; an unmasked OE or UE stores nothing."""
    x, width = slot(m, a), form.bits - 1
    infinite, status = (2 * form.greatest + 1) << width, 0
    found = special((x,))
    if found is not None:
        status, raw = found
        assert not isinstance(raw, Number)
        bits = infinite | raw[0] >> 63 - width & mask(width)
        x = x._replace(sign=raw[1] >> 15)
    elif x.kind == 'inf': bits = infinite
    elif x.mantissa == 0: bits = 0
    else: bits, status = shorter(x, form, m.fpu_control)
    if not status & ~m.fpu_control & (IE | OE | UE): put(m, to, (x.sign << (63 if form is DOUBLE else 31) | bits, 0))
    return status


def shorter(x: Number, form: Format, control: int) -> tuple[int, int]:
    """A finite number other than 0 rounded to a shorter format: all of its bits but the sign, and the status."""
    mantissa, ulp, status = fit(x, form, form.bits, control)
    if stop := status & ~control & (OE | UE): return 0, stop
    mantissa <<= max(0, form.bits - mantissa.bit_length()) if (e := ulp + mantissa.bit_length() - 1) >= form.least else ulp - form.least + form.bits - 1
    return (mantissa if e < form.least else mantissa + (e + form.greatest - 1 << form.bits - 1)), status


def x87_to_f32(m: Any, to: int, a: int) -> int:
    """Low 32 bits of to = a as a 32-bit real"""
    return to_real(m, to, a, SINGLE)


def x87_to_f64(m: Any, to: int, a: int) -> int:
    """Low 64 bits of to = a as a 64-bit real"""
    return to_real(m, to, a, DOUBLE)


def to_integer(m: Any, a: int, least: int, greatest: int) -> tuple[int, int | None]:
    """a, rounded to an integer: status, and the number where it fits."""
    x = slot(m, a)
    if x.kind != 'finite': return IE, None
    whole, status = quantize(x, 0, m.fpu_control >> 10 & 3)
    value = -whole if x.sign else whole
    return (status, value) if least <= value <= greatest else (IE, None)


def to_binary(m: Any, to: int, a: int, w: int) -> int:
    """The low w bits of slot `to`: a as an integer, or the least one where it does not fit (the integer indefinite)."""
    status, value = to_integer(m, a, -1 << w - 1, (1 << w - 1) - 1)
    if value is None: value = -1 << w - 1
    if not status & ~m.fpu_control & IE: put(m, to, (value & mask(64), 0))
    return status


def x87_to_i16(m: Any, to: int, a: int) -> int:
    """Low 16 bits of to = a as an integer"""
    return to_binary(m, to, a, 16)


def x87_to_i32(m: Any, to: int, a: int) -> int:
    """Low 32 bits of to = a as an integer"""
    return to_binary(m, to, a, 32)


def x87_to_i64(m: Any, to: int, a: int) -> int:
    """Low 64 bits of to = a as an integer"""
    return to_binary(m, to, a, 64)


def x87_to_bcd(m: Any, to: int, a: int) -> int:
    """80 bits of to = a as 18 digits and a sign"""
    status, value = to_integer(m, a, -10 ** 18 + 1, 10 ** 18 - 1)
    if value is None: raw = INDEFINITE
    else:
        digits = int(str(abs(value)), 16)
        raw = digits & mask(64), digits >> 64 | m.fpu_exponent[a] & 0x8000
    if not status & ~m.fpu_control & IE: put(m, to, raw)
    return status


# --- the control word ---------------------------------------------------------------------------------------------------------------

def x87_set_control(m: Any, v: int) -> int:
    """The control word = v"""
    m.fpu_control = v
    return 0


# --- the host's transcendental functions -------------------------------------------------------------------------------------------

@cache
def host(name: str) -> Callable[..., int]:
    """A primitive as compiled code has it."""
    from emu.isa.x87_lower import PRIMITIVES
    count = len(PRIMITIVES[name][0].split())
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * (count + 1))(compiled().get_function_address('call_' + name))


@cache
def compiled() -> Any:
    """LLVM's engine with all primitives."""
    import llvmlite.binding as llvm

    from emu.isa.crossing import called, crossings
    from emu.isa.x87_lower import PRIMITIVES, functions
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    module = llvm.parse_assembly(functions(PRIMITIVES) + crossings() + called({name: len(arguments.split()) for name, (arguments, _) in PRIMITIVES.items()}))
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_default_triple().create_target_machine(jit=True))
    engine.finalize_object()
    return engine


def x87_2xm1(m: Any, to: int, a: int) -> int:
    """to = 2**a - 1"""
    return host('x87_2xm1')(m.address, to, a)


def x87_yl2x(m: Any, to: int, a: int, b: int) -> int:
    """to = b * log2(a)"""
    return host('x87_yl2x')(m.address, to, a, b)


def x87_yl2xp1(m: Any, to: int, a: int, b: int) -> int:
    """to = b * log2(a + 1)"""
    return host('x87_yl2xp1')(m.address, to, a, b)


def x87_patan(m: Any, to: int, a: int, b: int) -> int:
    """to = arctan(b / a)"""
    return host('x87_patan')(m.address, to, a, b)


def x87_ptan(m: Any, to: int, push: int, a: int) -> int:
    """to = tan a, push = 1; C2 where a is too large"""
    return host('x87_ptan')(m.address, to, push, a)


def x87_sincos(m: Any, to: int, push: int, a: int) -> int:
    """to = sin a, push = cos a; C2 where a is too large"""
    return host('x87_sincos')(m.address, to, push, a)


def x87_sin(m: Any, to: int, a: int) -> int:
    """to = sin a; C2 where a is too large"""
    return host('x87_sin')(m.address, to, a)


def x87_cos(m: Any, to: int, a: int) -> int:
    """to = cos a; C2 where a is too large"""
    return host('x87_cos')(m.address, to, a)
