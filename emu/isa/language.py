"""The language that instruction texts are written in: what `raise Fault` means, and the primitives.

A text is a plain function in restricted Python (docs/texts.md has the rules). The eager engine runs it as it stands; emu/jit
lowers its syntax tree to LLVM IR. Every value is an integer: Python's here, i64 in compiled code, so a text masks what it keeps.
The functions of this module are the primitives: the only ones with an implementation for each side (emu/jit/lower.py has the other).
"""
import ctypes
import time
from typing import Any, Callable, TypeVar

DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS, NP, SS, GP, PF, MF, AC, MC, XM = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19

FERR = 32  # no vector: `raise Fault(FERR)` has the processor wait for the interrupt that its FERR# pin leads to

Text = TypeVar('Text', bound=Callable[..., Any])


class Fault(Exception):
    """`raise Fault(vector)` or `raise Fault(vector, error_code)`: the instruction did nothing; deliver this exception (SDM 3A 6.15)."""

    def __init__(self, vector: int, code: int = 0):
        super().__init__(vector, code)
        self.vector, self.code = vector, code


def outlined(text: Text) -> Text:
    """Marks a text of (m, integers...) that compiled code calls instead of inlining: rare or long.

    The interpreter calls it as a function; where a stencil or a translation reaches it, it leaves to the interpreter. (But stencils call some: emu/jit/calls.py.)
    Arguments that are constant at the call (a width) make a version of the function of their own.
    """
    text.outlined = True  # type: ignore[attr-defined]
    return text


# --- arithmetic whose 64-bit meaning needs a name ---------------------------------------------------------------------------

def mask(w: int) -> int:
    """The w low bits set (w up to 64)."""
    return (1 << w) - 1


def signed(x: int, w: int) -> int:
    """The low w bits of x as a signed number."""
    return ((x & mask(w)) ^ (1 << (w - 1))) - (1 << (w - 1))


def udiv(a: int, b: int) -> int:
    """Unsigned 64-bit quotient; b is not 0."""
    return (a & mask(64)) // (b & mask(64))


def umod(a: int, b: int) -> int:
    """Unsigned 64-bit remainder; b is not 0."""
    return (a & mask(64)) % (b & mask(64))


def sdiv(a: int, b: int) -> int:
    """Signed 64-bit quotient, truncated toward 0; b is not 0, and not -1 when a is -2**63."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


def smod(a: int, b: int) -> int:
    """The remainder that goes with sdiv: it has the sign of a."""
    return a - sdiv(a, b) * b


def above(a: int, b: int) -> bool:
    """a > b, both taken as unsigned 64-bit numbers."""
    return (a & mask(64)) > (b & mask(64))


def lowest(x: int) -> int:
    """The number of the lowest set bit; x is not 0."""
    return (x & -x).bit_length() - 1


def highest(x: int) -> int:
    """The number of the highest set bit of a 64-bit number; x is not 0."""
    return (x & mask(64)).bit_length() - 1


def ones(x: int) -> int:
    """How many of the low 64 bits are set."""
    return (x & mask(64)).bit_count()


# --- the host's memory: addresses that come from State (RAM, TLB addends), never from the guest unchecked ----------------------

WORDS = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_int64}


def host_load(p: int, w: int) -> int:
    """The w bits (8, 16, 32: zero-extended; 64: signed) at host address p."""
    return WORDS[w].from_address(p).value


def host_store(p: int, w: int, v: int) -> None:
    """Stores the low w bits of v at host address p."""
    WORDS[w].from_address(p).value = v


def host_copy(to: int, source: int, n: int) -> None:
    """Copies n bytes that do not overlap."""
    ctypes.memmove(to, source, n)


def host_fill(p: int, w: int, v: int, n: int) -> None:
    """Stores the low w bits of v n times from host address p on."""
    data = (v & mask(w)).to_bytes(w // 8, 'little') * n
    ctypes.memmove(p, data, len(data))


# --- the world outside the CPU: compiled code calls back into Python through function pointers in State --------------------------

def port_in(m: Any, port: int, w: int) -> int:
    """Reads a port of w bits (SDM 1, chapter 19)."""
    return m.bus.port_in(port, w)


def port_out(m: Any, port: int, w: int, v: int) -> None:
    """Writes the low w bits of v to a port."""
    m.bus.port_out(port, w, v & mask(w))


def port_in_block(m: Any, port: int, w: int, p: int, n: int) -> None:
    """Reads a port n times into host memory from p on: a whole `rep ins` run in one call."""
    m.bus.port_in_block(port, w, p, n)


def port_out_block(m: Any, port: int, w: int, p: int, n: int) -> None:
    """Writes n values from host memory at p to a port."""
    m.bus.port_out_block(port, w, p, n)


def mmio_read(m: Any, physical: int, w: int) -> int:
    """Reads w bits (8, 16, 32) of a device's memory, or all ones where nothing answers."""
    return m.bus.mmio_read(physical, w)


def mmio_write(m: Any, physical: int, w: int, v: int) -> None:
    """Writes w bits (8, 16, 32) of a device's memory; nothing happens where nothing answers."""
    m.bus.mmio_write(physical, w, v & mask(w))


def host_clock(m: Any) -> int:
    """The host's monotonic clock in nanoseconds."""
    return time.monotonic_ns()


def device_time(device: Any) -> int:
    """Guest time in nanoseconds, for the texts of a device."""
    return device.now()


def intr(device: Any, level: int) -> None:
    """The interrupt controllers' output to the CPU."""
    device.intr(bool(level))


def irq0(device: Any, level: int) -> None:
    """The timer's output to the interrupt controllers."""
    device.output(bool(level))


def timer_set(device: Any, due: int) -> None:
    """A device's event is due at this guest time, maybe before all others."""
    device.clock.sooner()


def log_interrupt(m: Any, vector: int, code: int, kind: int) -> None:
    """Tells the log of a delivery (emu/log.py)."""
    m.bus.log_interrupt(vector, code, kind)


def log_code(m: Any, p: int, n: int) -> None:
    """Tells the log of the n bytes of an instruction at host address p, which was decoded at CS:EIP."""
    m.bus.log_code(p, n)


def attempt(m: Any, text: Callable[..., Any], *arguments: int) -> int:
    """Runs an outlined text; 1 if it raised Fault (then m.fault_vector and m.fault_code say which), else 0."""
    try:
        text(m, *arguments)
    except Fault as fault:
        m.fault_vector, m.fault_code = fault.vector, fault.code
        return 1
    return 0
