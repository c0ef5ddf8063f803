"""The SSE primitives for the eager engine: exact integer arithmetic, then one rounding (SDM 1, chapters 4.8, 4.9 and 11.5).

Each works on numbers given as their bits, under MXCSR's RC, FTZ and DAZ with all exceptions masked, adds its flags to MXCSR and returns the result's bits.
RSQRTSS and RCPSS are the host's own approximations (emu/isa/sse_lower.py). tests/test_sse.py compares all others with the host's.
"""
import ctypes
from functools import cache
from typing import Any, Callable

from emu.isa.language import mask, signed
from emu.isa.x87_exact import DE, DOUBLE, IE, PE, QUIET, SINGLE, UE, ZERO, Format, Number, adder, divide, multiply, narrow, opposite, quantize, root, shorter

DAZ, FTZ = 0x40, 0x8000
MASKED = 0x3f
ZF, PF, CF = 0x40, 4, 1


def size(form: Format) -> int:
    return 64 if form is DOUBLE else 32


def operand(m: Any, bits: int, form: Format) -> Number:
    """A number; denormals are zeros with DAZ."""
    x = narrow(bits & mask(size(form)), form)
    return x._replace(mantissa=0, denormal=False) if x.denormal and m.mxcsr & DAZ else x


def sign_bit(sign: int, form: Format) -> int:
    return sign << size(form) - 1


def infinite(form: Format) -> int:
    return (2 * form.greatest + 1) << form.bits - 1


def nan_bits(x: Number, form: Format) -> int:
    """A NaN, quiet."""
    return sign_bit(x.sign, form) | infinite(form) | (x.mantissa | QUIET) >> 64 - form.bits & mask(form.bits - 1)


def indefinite(form: Format) -> int:
    return sign_bit(1, form) | infinite(form) | 1 << form.bits - 2


def special(m: Any, form: Format, xs: tuple[Number, ...]) -> int | None:
    """The result where there are NaNs: the first operand that is one (SDM 1, table 4-7)."""
    nans = [x for x in xs if x.kind == 'nan']
    if not nans: return None
    if any(not x.mantissa & QUIET for x in nans): m.mxcsr |= IE
    return nan_bits(nans[0], form)


def rounding(m: Any) -> int:
    return m.mxcsr >> 13 & 3


def rounded(m: Any, x: Number, form: Format) -> int:
    """A finite number in a format, with its flags."""
    if x.mantissa == 0: return sign_bit(x.sign, form)
    bits, status = shorter(x, form, rounding(m) << 10 | MASKED)
    tiny = bits >> form.bits - 1 == 0 or status & UE != 0
    if tiny and m.mxcsr & FTZ:
        bits, status = 0, UE | PE
    m.mxcsr |= status & MASKED
    return sign_bit(x.sign, form) | bits


def result(m: Any, status: int, value: Any, form: Format) -> int:
    """What an operation of x87_exact gave, in this format."""
    m.mxcsr |= status & MASKED
    if isinstance(value, Number): return rounded(m, value, form)
    mantissa, high = value
    if status & IE: return indefinite(form)
    return sign_bit(high >> 15, form) | (infinite(form) if mantissa else 0)


def operate(m: Any, form: Format, operation: Callable[..., Any], *xs: Number) -> int:
    """Operands -> the result's bits."""
    found = special(m, form, xs)
    if found is not None: return found
    status, value = operation(*xs)
    if not status & IE and any(x.denormal for x in xs) and not status & 4: status |= DE
    return result(m, status, value, form)


def both(m: Any, form: Format, operation: Callable[..., Any], a: int, b: int) -> int:
    return operate(m, form, operation, operand(m, a, form), operand(m, b, form))


def add(m: Any, form: Format, a: int, b: int) -> int:
    return both(m, form, adder(rounding(m)), a, b)


def subtract(m: Any, form: Format, a: int, b: int) -> int:
    return operate(m, form, adder(rounding(m)), operand(m, a, form), opposite(operand(m, b, form)))


def sse_add_f32(m: Any, a: int, b: int) -> int:
    """a + b"""
    return add(m, SINGLE, a, b)


def sse_add_f64(m: Any, a: int, b: int) -> int:
    """a + b"""
    return add(m, DOUBLE, a, b)


def sse_sub_f32(m: Any, a: int, b: int) -> int:
    """a - b"""
    return subtract(m, SINGLE, a, b)


def sse_sub_f64(m: Any, a: int, b: int) -> int:
    """a - b"""
    return subtract(m, DOUBLE, a, b)


def sse_mul_f32(m: Any, a: int, b: int) -> int:
    """a * b"""
    return both(m, SINGLE, multiply, a, b)


def sse_mul_f64(m: Any, a: int, b: int) -> int:
    """a * b"""
    return both(m, DOUBLE, multiply, a, b)


def sse_div_f32(m: Any, a: int, b: int) -> int:
    """a / b"""
    return both(m, SINGLE, divide, a, b)


def sse_div_f64(m: Any, a: int, b: int) -> int:
    """a / b"""
    return both(m, DOUBLE, divide, a, b)


def sse_sqrt_f32(m: Any, a: int) -> int:
    """Square root of a"""
    return operate(m, SINGLE, root, operand(m, a, SINGLE))


def sse_sqrt_f64(m: Any, a: int) -> int:
    """Square root of a"""
    return operate(m, DOUBLE, root, operand(m, a, DOUBLE))


# --- comparisons -------------------------------------------------------------------------------------------------------------------

def value(x: Number) -> int:
    """A number to compare with others: a multiple of the smallest there is."""
    return (-1) ** x.sign * (1 << 4000 if x.kind == 'inf' else x.mantissa << x.exponent + 1100)


def compare(m: Any, form: Format, a: int, b: int, quiet: bool) -> int:
    """ZF, PF, CF as COMISD sets them."""
    x, y = operand(m, a, form), operand(m, b, form)
    if 'nan' in (x.kind, y.kind):
        if not quiet or any(v.kind == 'nan' and not v.mantissa & QUIET for v in (x, y)): m.mxcsr |= IE
        return ZF | PF | CF
    if x.denormal or y.denormal: m.mxcsr |= DE
    return CF if value(x) < value(y) else ZF if value(x) == value(y) else 0


def sse_comi_f32(m: Any, a: int, b: int) -> int:
    """a compared with b: ZF PF CF; any NaN is invalid"""
    return compare(m, SINGLE, a, b, False)


def sse_comi_f64(m: Any, a: int, b: int) -> int:
    """a compared with b: ZF PF CF; any NaN is invalid"""
    return compare(m, DOUBLE, a, b, False)


def sse_ucomi_f32(m: Any, a: int, b: int) -> int:
    """a compared with b: ZF PF CF; a signalling NaN is invalid"""
    return compare(m, SINGLE, a, b, True)


def sse_ucomi_f64(m: Any, a: int, b: int) -> int:
    """a compared with b: ZF PF CF; a signalling NaN is invalid"""
    return compare(m, DOUBLE, a, b, True)


def choose(m: Any, form: Format, a: int, b: int, flag: int) -> int:
    """a if the comparison gives the flag, else b: also for NaNs and equal numbers (SDM 2, MAXSD)."""
    a, b = a & mask(size(form)), b & mask(size(form))
    found = a if compare(m, form, a, b, False) == flag else b
    return sign_bit(found >> size(form) - 1, form) if operand(m, found, form)[:3:2] == ('finite', 0) else found


def sse_min_f32(m: Any, a: int, b: int) -> int:
    """The lesser of a and b"""
    return choose(m, SINGLE, a, b, CF)


def sse_min_f64(m: Any, a: int, b: int) -> int:
    """The lesser of a and b"""
    return choose(m, DOUBLE, a, b, CF)


def sse_max_f32(m: Any, a: int, b: int) -> int:
    """The greater of a and b"""
    return choose(m, SINGLE, a, b, 0)


def sse_max_f64(m: Any, a: int, b: int) -> int:
    """The greater of a and b"""
    return choose(m, DOUBLE, a, b, 0)


# --- conversions -------------------------------------------------------------------------------------------------------------------

def convert(m: Any, a: int, form: Format, to: Format) -> int:
    """A number in another format."""
    x = operand(m, a, form)
    found = special(m, to, (x,))
    if found is not None: return found
    if x.denormal: m.mxcsr |= DE
    return sign_bit(x.sign, to) | infinite(to) if x.kind == 'inf' else rounded(m, x, to)


def sse_f32_of_f64(m: Any, a: int) -> int:
    """A double as a single"""
    return convert(m, a, DOUBLE, SINGLE)


def sse_f64_of_f32(m: Any, a: int) -> int:
    """A single as a double"""
    return convert(m, a, SINGLE, DOUBLE)


def real(m: Any, a: int, form: Format) -> int:
    v = signed(a, 32)
    return rounded(m, Number('finite', int(v < 0), abs(v)), form)


def sse_f32_of_i32(m: Any, a: int) -> int:
    """A 32-bit integer as a single"""
    return real(m, a, SINGLE)


def sse_f64_of_i32(m: Any, a: int) -> int:
    """A 32-bit integer as a double"""
    return real(m, a, DOUBLE)


def integer(m: Any, a: int, form: Format, rc: int) -> int:
    """A 32-bit integer; 80000000h where there is none."""
    x = operand(m, a, form)
    if x.kind == 'finite':
        whole, status = quantize(x, 0, rc)
        whole = -whole if x.sign else whole
        if -1 << 31 <= whole < 1 << 31:
            m.mxcsr |= status & MASKED
            return whole & mask(32)
    m.mxcsr |= IE
    return 1 << 31


def sse_i32_of_f32(m: Any, a: int) -> int:
    """A single as an integer"""
    return integer(m, a, SINGLE, rounding(m))


def sse_i32_of_f64(m: Any, a: int) -> int:
    """A double as an integer"""
    return integer(m, a, DOUBLE, rounding(m))


def sse_cut_f32(m: Any, a: int) -> int:
    """A single as an integer, truncated"""
    return integer(m, a, SINGLE, ZERO)


def sse_cut_f64(m: Any, a: int) -> int:
    """A double as an integer, truncated"""
    return integer(m, a, DOUBLE, ZERO)


# --- two numbers of 32 bits ---------------------------------------------------------------------------------------------------------

def pair(operation: Callable[..., int], m: Any, *xs: int) -> int:
    """The same with both halves of 64 bits."""
    low, high = (operation(m, *(x >> shift & mask(32) for x in xs)) & mask(32) for shift in (0, 32))
    return signed(low | high << 32, 64)


def sse_add_2f32(m: Any, a: int, b: int) -> int:
    """a + b, twice"""
    return pair(sse_add_f32, m, a, b)


def sse_sub_2f32(m: Any, a: int, b: int) -> int:
    """a - b, twice"""
    return pair(sse_sub_f32, m, a, b)


def sse_mul_2f32(m: Any, a: int, b: int) -> int:
    """a * b, twice"""
    return pair(sse_mul_f32, m, a, b)


def sse_div_2f32(m: Any, a: int, b: int) -> int:
    """a / b, twice"""
    return pair(sse_div_f32, m, a, b)


def sse_min_2f32(m: Any, a: int, b: int) -> int:
    """The lesser, twice"""
    return pair(sse_min_f32, m, a, b)


def sse_max_2f32(m: Any, a: int, b: int) -> int:
    """The greater, twice"""
    return pair(sse_max_f32, m, a, b)


def sse_sqrt_2f32(m: Any, a: int) -> int:
    """Two square roots"""
    return pair(sse_sqrt_f32, m, a)


def sse_rsqrt_2f32(m: Any, a: int) -> int:
    """About 1 / square root, twice"""
    return pair(sse_rsqrt_f32, m, a)


def sse_rcp_2f32(m: Any, a: int) -> int:
    """About 1 / a, twice"""
    return pair(sse_rcp_f32, m, a)


def sse_2f32_of_2i32(m: Any, a: int) -> int:
    """Two integers as singles"""
    return pair(sse_f32_of_i32, m, a)


def sse_2i32_of_2f32(m: Any, a: int) -> int:
    """Two singles as integers"""
    return pair(sse_i32_of_f32, m, a)


def sse_cut_2f32(m: Any, a: int) -> int:
    """Two singles as integers, truncated"""
    return pair(sse_cut_f32, m, a)


# --- MXCSR, and the host's approximations ----------------------------------------------------------------------------------------------

def sse_control(m: Any) -> int:
    """MXCSR"""
    return m.mxcsr


def sse_set_control(m: Any, v: int) -> int:
    """MXCSR = v"""
    m.mxcsr = v
    return 0


@cache
def host(name: str) -> Callable[[int, int], int]:
    """A primitive of one operand as compiled code has it."""
    return ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(compiled().get_function_address(name))


@cache
def compiled() -> Any:
    """LLVM's engine with the approximations."""
    import llvmlite.binding as llvm

    from emu.isa.sse_lower import functions
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    module = llvm.parse_assembly(functions(('sse_rsqrt_f32', 'sse_rcp_f32')).replace('define internal', 'define'))
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_default_triple().create_target_machine(jit=True))
    engine.finalize_object()
    return engine


def approximate(m: Any, name: str, a: int) -> int:
    """The host's: denormals count as zeros; no flags."""
    return host(name)(m.address, a & mask(32))


def sse_rsqrt_f32(m: Any, a: int) -> int:
    """About 1 / square root of a"""
    return approximate(m, 'sse_rsqrt_f32', a)


def sse_rcp_f32(m: Any, a: int) -> int:
    """About 1 / a"""
    return approximate(m, 'sse_rcp_f32', a)
