"""The x87: every exact primitive against the host's own x87, then what SDM 1 chapter 8 says of the stack, exceptions, and the environment."""
import ctypes
import random
import struct
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import pytest

from emu.isa import x87_exact
from emu.isa.crossing import crossings
from emu.isa.flags import arithmetic_flags
from emu.isa.state import State
from emu.isa.x87_lower import PRIMITIVES, PUSHED, functions
from emu.jit import eager
from tests.harness import ENGINES, HANDLERS, Guest
from tests.oracle.host import DATA
from tests.test_code_writes import guest, start

TRANSCENDENTAL = {'x87_sin', 'x87_cos', 'x87_ptan', 'x87_sincos', 'x87_2xm1', 'x87_yl2x', 'x87_yl2xp1', 'x87_patan'}
EXACT = sorted(PRIMITIVES.keys() - TRANSCENDENTAL)
WIDTH = {'x87_to_f32': 32, 'x87_to_f64': 64, 'x87_to_i16': 16, 'x87_to_i32': 32, 'x87_to_i64': 64}  # the bits that count of what is for memory
EXCEPTIONS, CODES, C1 = 0x3f, 0x4500, 0x200
ONE, TWO, ZERO, INFINITY = (1 << 63, 0x3fff), (1 << 63, 0x4000), (0, 0), (1 << 63, 0x7fff)
INDEFINITE, TINY, HUGE = (3 << 62, 0xffff), (1 << 63, 1), ((1 << 64) - 1, 0x7ffe)

Raw = tuple[int, int]


def extended(r: random.Random) -> Raw:
    """Mantissa, and sign with exponent, of an 80-bit number: half are ordinary, the rest near the limits of a format or not normal at all."""
    sign = r.randrange(2) << 15
    any_bits = r.getrandbits(63)
    mantissa = 1 << 63 | r.choice([any_bits, any_bits & -1 << r.choice([9, 10, 11, 38, 39, 40, 60]), (1 << 63) - (1 << r.randrange(45)), 0])
    limits = [least + d for least in (1, 0x7ffe, 0x3fff - 1022, 0x3fff - 1074, 0x3fff + 1023, 0x3fff - 126, 0x3fff - 149, 0x3fff + 127) for d in (-1, 0, 1)]
    match r.randrange(14):
        case 0: return 0, sign
        case 1: return mantissa >> r.randrange(1, 64), sign                     # denormal
        case 2: return 1 << 63, sign | 0x7fff                                   # infinity
        case 3: return mantissa | 1 << 62, sign | 0x7fff                        # quiet NaN
        case 4: return mantissa & ~(1 << 62) | 1, sign | 0x7fff                 # signalling NaN
        case 5: return mantissa & ~(1 << 63), sign | r.randrange(0x8000)        # unnormal, pseudo-infinity, pseudo-NaN
        case 6: return mantissa, sign                                           # pseudo-denormal
        case 7: return mantissa, sign | r.randrange(1, 0x7fff)
        case 8: return mantissa, sign | r.choice(limits)
        case _: return mantissa, sign | 0x3fff + r.randrange(-70, 70)


def shorter(r: random.Random, w: int) -> int:
    """The bits of a 32-bit or 64-bit real, likewise."""
    fraction = 23 if w == 32 else 52
    top = (1 << w - fraction - 1) - 1
    e = r.choice([0, top, r.randrange(top), (top >> 1) + r.randrange(-70, 70), 1, top - 1])
    bits = r.randrange(2) << w - 1 | e << fraction | r.choice([0, 1, r.getrandbits(fraction), (1 << fraction) - 1])
    return bits - (bits >> 63 << 64)


def control_word(r: random.Random) -> int:
    """All of RC and PC; half the time everything is masked, else all but one, or anything."""
    masks = r.choice([0x3f, 0x3f, 0x3f ^ 1 << r.randrange(6), r.getrandbits(6)])
    return 0x40 | masks | r.randrange(16) << 8


def set_slot(m: State, n: int, number: Raw) -> None:
    m.fpu_mantissa[n], m.fpu_exponent[n] = number[0] - (number[0] >> 63 << 64), number[1]


def get_slot(m: State, n: int) -> Raw:
    return m.fpu_mantissa[n] & (1 << 64) - 1, m.fpu_exponent[n]


def call(m: State, name: str, numbers: tuple[Raw, Raw], bits: int, native: bool) -> tuple[int, Raw, Raw]:
    """Status and both results of a primitive on the host, or of the one in Python."""
    for n, number in enumerate((*numbers, (0x1111, 0x2222), (0x3333, 0x4444))): set_slot(m, n, number)
    places = {'a': 0, 'b': 1, 'to': 2, 'push': 3, 'bits': bits}
    arguments = [places[x] for x in PRIMITIVES[name][0].split()]
    status = x87_exact.host(name)(m.address, *arguments) if native else getattr(x87_exact, name)(m, *arguments)
    return status, get_slot(m, 2), get_slot(m, 3)


@pytest.mark.parametrize('name', EXACT)
def test_exact_primitives_equal_the_host(name: str) -> None:
    r, m = random.Random(name), State()
    compared = EXCEPTIONS | C1 | PUSHED | (CODES if 'com' in name or 'prem' in name else 0)
    for _ in range(1500):
        a, b = extended(r), extended(r)
        if r.randrange(6) == 0: b = a[0] ^ r.choice([0, 1, 1 << r.randrange(64)]), a[1] ^ r.randrange(2) << 15  # cancellation
        if name == 'x87_from_bcd': a = int(str(r.randrange(10 ** 16)), 16), r.randrange(2) << 15 | int(str(r.randrange(100)), 16)
        bits = shorter(r, 32 if name.endswith('32') else 64)
        m.fpu_control = control_word(r)
        if name == 'x87_scale' and a[1] & 0x7fff == 0 and b[1] & 0x7fff < 0x3fff and not m.fpu_control & 0x10: continue  # a denormal stays as it is: Intel sees no underflow
        results = []
        for native in (True, False):
            status, first, second = call(m, name, (a, b), bits, native)
            results.append((status & compared, first[0] & (1 << WIDTH[name]) - 1 if name in WIDTH else first, second))
        assert results[0] == results[1], f'{name} of {a[1]:04x}:{a[0]:016x}, {b[1]:04x}:{b[0]:016x}, {bits:x} under {m.fpu_control:x}: host, Python'


def test_flags_that_are_set_already_do_no_harm() -> None:
    """The host's flags are not cleared where State has them too; an unmasked one must not show again."""
    m, third = State(), (0xaaaaaaaaaaaaaaab, 0x3ffd)
    m.fpu_control, m.fpu_status = 0x37f, 0x20
    for _ in range(2): assert call(m, 'x87_mul', (third, third), 0, True)[0] & EXCEPTIONS == 0x20
    m.fpu_control = 0x35f
    assert call(m, 'x87_add', (ONE, ONE), 0, True)[0] & EXCEPTIONS == 0


@cache
def followed() -> Any:
    """Each primitive with x87_add after it (of slots 4, 5 and 6), whose status is given: `then_NAME`."""
    x87_exact.compiled()  # LLVM is initialised
    text = ''
    for name, (arguments, _) in PRIMITIVES.items():
        operands = ''.join(f', i64 %{a}' for a in arguments.split())
        text += (f'define i64 @then_{name}(ptr %s{operands}) {{\n  call void @guest_in(ptr %s)\n  %first = call i64 @{name}(ptr %s{operands})\n'
                 '  %r = call i64 @x87_add(ptr %s, i64 4, i64 5, i64 6)\n  %used = call i1 @guest_out(ptr %s)\n  ret i64 %r\n}\n')
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(functions() + crossings() + text), llvm.Target.from_default_triple().create_target_machine(jit=True))
    engine.finalize_object()
    return engine


@pytest.mark.parametrize('name', sorted(PRIMITIVES))
def test_what_one_raises_is_not_seen_by_the_next(name: str) -> None:
    """Where a store raises PE and its page is absent, State never gets the flag, and the next instruction may not find it in the host's; nor does an unmasked one strike."""
    r, m, arguments = random.Random(name), State(), PRIMITIVES[name][0].split()
    native = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64, *[ctypes.c_int64] * len(arguments))(followed().get_function_address('then_' + name))
    for _ in range(300):
        for n, number in enumerate((extended(r), extended(r), ZERO, ZERO, ZERO, ONE, ONE)): set_slot(m, n, number)
        m.fpu_control, m.fpu_status = control_word(r), r.choice([0, 0, r.getrandbits(6)])
        places = {'a': 0, 'b': 1, 'to': 2, 'push': 3, 'bits': shorter(r, 32 if name.endswith('32') else 64)}
        assert native(m.address, *(places[a] for a in arguments)) & EXCEPTIONS & ~(m.fpu_status & m.fpu_control) == 0
        assert get_slot(m, 4) == TWO


@pytest.mark.parametrize('engine', ENGINES)
def test_flags_that_are_gone_stay_away(engine: str) -> None:
    """FNCLEX, FLDENV and FXRSTOR take PE away (SDM 2); FLDCW unmasks it, and the next waiting instruction is #MF (SDM 1, 8.1.5)."""
    inexact = 'fninit\nfld1\nfldpi\nfdiv st(1), st\nfdivp\n'  # PE, twice: the host's is left only where State has it
    exact = 'fld1\nfadd st, st\nfnstsw ax\nand eax, 0x3f\n'
    at = f'[{DATA}]', f'word ptr [{DATA + 4}]', f'word ptr [{DATA + 2}]'
    g = guest(engine)
    for take in ('fnclex', f'fnstenv {at[0]}\nand {at[1]}, ~0x3f\nfldenv {at[0]}', f'fxsave {at[0]}\nand {at[2]}, ~0x3f\nfxrstor {at[0]}', 'fninit', f'fnsave {at[0]}'):
        start(g, f'mov ecx, 3\nagain:\n{inexact}{take}\n{exact}or ebx, eax\ndec ecx\njnz again')
        g.go(4000)
        assert g.m.eip == HANDLERS + 4 and g.m.reg[3] == 0, take
    start(g, f'{inexact}fnstsw ax\nmov {at[1]}, 0x35f\nfldcw {at[1]}\nfnstsw {at[0]}\nmov ebx, {at[0]}\nfld1')
    g.go(4000)
    assert g.m.eip == HANDLERS + 17 and g.m.reg[0] & 0xbf == 0x20 and g.m.reg[3] & 0xbf == 0xa0


@pytest.mark.parametrize('name,a,b,first,second', [
    ('x87_2xm1', ONE, ZERO, ONE, None), ('x87_yl2x', TWO, ONE, ONE, None), ('x87_patan', ONE, ZERO, ZERO, None),
    ('x87_ptan', ZERO, ZERO, ZERO, ONE), ('x87_sincos', ZERO, ZERO, ZERO, ONE), ('x87_cos', ZERO, ZERO, ONE, None), ('x87_sin', ZERO, ZERO, ZERO, None)])
def test_transcendentals(name: str, a: Raw, b: Raw, first: Raw, second: Raw | None) -> None:
    """The primitives are wired to the right instructions: values that are exact (SDM 2)."""
    m = State()
    m.fpu_control = 0x37f
    status, got, pushed = call(m, name, (a, b), 0, False)
    assert got == first and status & PUSHED == (PUSHED if second else 0)
    if second: assert pushed == second


# --- instructions -----------------------------------------------------------------------------------------------------------------

class Fpu:
    """Real mode after FNINIT, CR0.NE set; `run` executes instructions given in hexadecimal at CS:IP, DS is 2000h."""

    def __init__(self) -> None:
        self.guest = Guest('eager')
        self.guest.real({'cs': 0x100, 'ds': 0x2000, 'ss': 0x3000, 'esp': 0x1000}, {})
        self.m = self.guest.m
        self.m.cr0 |= 0x20
        self.run('dbe3')

    def run(self, *instructions: str) -> Any:
        for code in instructions:
            self.guest.memory.write(self.m.base[1] + self.m.eip, bytes.fromhex(code))
            eager.step(self.m)
        return self.m

    def load(self, *numbers: Raw) -> None:
        """FLD of 80-bit numbers; the last is ST(0)."""
        for number in numbers:
            self.poke(0x100, struct.pack('<QH', *number))
            self.run('db2e0001')

    def poke(self, offset: int, data: bytes) -> None:
        self.guest.memory.write(0x20000 + offset, data)

    def peek(self, offset: int, n: int) -> bytes:
        return self.guest.memory.read(0x20000 + offset, n)

    def st(self, n: int) -> Raw:
        return get_slot(self.m, self.m.fpu_top + n & 7)

    @property
    def status(self) -> int:
        return self.m.fpu_status


@pytest.fixture
def fpu() -> Fpu:
    return Fpu()


def test_stack_overflow(fpu: Fpu) -> None:
    """IE, SF and C1; masked: the indefinite is pushed; unmasked: nothing happens (SDM 1, 8.5.1.1)."""
    fpu.run(*['d9e8'] * 8)
    assert fpu.status == 0 and fpu.m.fpu_empty == 0 and fpu.m.fpu_top == 0
    fpu.run('d9e8')
    assert fpu.status == 0x241 and fpu.m.fpu_top == 7 and fpu.st(0) == INDEFINITE
    fpu.run('dbe2')
    fpu.m.fpu_control = 0x37e
    fpu.run('d9e8')
    assert fpu.status == 0x82c1 and fpu.m.fpu_top == 7 and fpu.st(1) == ONE


def test_stack_underflow(fpu: Fpu) -> None:
    """IE and SF, C1 clear (SDM 1, 8.5.1.1)."""
    fpu.run('d8c1')
    assert fpu.status == 0x41 and fpu.st(0) == INDEFINITE and fpu.m.fpu_empty == 0xfe
    fpu.run('dbe3')
    fpu.m.fpu_control = 0x37e
    fpu.run('d9fa')
    assert fpu.status == 0x80c1 and fpu.m.fpu_empty == 0xff


def test_unmasked_zero_divide_leaves_the_operands_and_waits(fpu: Fpu) -> None:
    """ES and B are set at once, #MF comes with the next waiting instruction (SDM 1, 8.5.3, 8.7)."""
    fpu.load(ONE, ZERO)
    fpu.m.fpu_control = 0x37b
    fpu.run('def9')  # fdivp
    assert fpu.status == 0x8084 and fpu.st(0) == ZERO and fpu.st(1) == ONE and fpu.m.fpu_top == 6
    fpu.guest.memory.write(16 * 4, struct.pack('<HH', 0x1234, 0x100))
    fpu.run('dfe0')  # fnstsw ax does not wait
    assert fpu.m.reg[0] & 0xffff == 0xb084
    fpu.run('9b')
    assert fpu.m.eip == 0x1234


def test_without_ne_nothing_is_raised(fpu: Fpu) -> None:
    """CR0.NE clear: the next instruction waits for FERR#'s handler, and goes on under IGNNE# (SDM 3A 2.5; SDM 1, D.2.1)."""
    fpu.load(ONE, ZERO)
    fpu.m.fpu_control = 0x37b
    fpu.m.cr0 &= ~0x20
    fpu.run('def9', 'd9e8')
    assert fpu.status == 0x8084 and fpu.m.fpu_top == 6
    fpu.m.ignne = 1
    fpu.run('d9e8')
    assert fpu.status == 0x8084 and fpu.m.fpu_top == 5


@pytest.mark.parametrize('cr0,code,faults', [(4, 'd9e8', True), (8, 'd9e8', True), (8, '9b', False), (10, '9b', True), (2, '9b', False), (4, '9b', False)])
def test_device_not_available(fpu: Fpu, cr0: int, code: str, faults: bool) -> None:
    """EM, MP, TS (SDM 3A, table 9-3)."""
    fpu.guest.memory.write(7 * 4, struct.pack('<HH', 0x1234, 0x100))
    fpu.m.cr0 |= cr0
    fpu.run(code)
    assert (fpu.m.eip == 0x1234) == faults


def test_unmasked_overflow_wraps_the_exponent(fpu: Fpu) -> None:
    """The result in a register has its exponent lowered by 24576; memory is not stored (SDM 1, 8.5.4)."""
    fpu.load(HUGE, HUGE)
    fpu.m.fpu_control = 0x377
    fpu.run('d8c9')
    assert fpu.st(0)[1] == (0x7ffe - 0x3fff) * 2 + 1 + 0x3fff - 24576 and fpu.status & 0xbf == 0xa8
    fpu.run('dbe2')
    fpu.load(HUGE)
    fpu.poke(0x200, b'\x55' * 8)
    fpu.run('dd1e0002')
    assert fpu.peek(0x200, 8) == b'\x55' * 8 and fpu.st(0) == HUGE


def test_exact_denormal_underflows_only_unmasked(fpu: Fpu) -> None:
    """Masked underflow needs a loss of accuracy; unmasked only tininess (SDM 1, 8.5.5)."""
    fpu.load((1 << 63, 0x3ffe), TINY)
    fpu.run('d8c9')
    assert fpu.st(0) == (1 << 62, 0) and fpu.status & EXCEPTIONS == 0
    fpu.load(TINY)
    fpu.m.fpu_control = 0x36f
    fpu.run('d8ca')
    assert fpu.st(0) == (1 << 63, 24576) and fpu.status & EXCEPTIONS == 0x10


@pytest.mark.parametrize('rc,mantissa', [(0, 0xc90fdaa22168c235), (1, 0xc90fdaa22168c234), (2, 0xc90fdaa22168c235), (3, 0xc90fdaa22168c234)])
def test_constants_are_rounded(fpu: Fpu, rc: int, mantissa: int) -> None:
    """FLDPI follows RC (SDM 2)."""
    fpu.m.fpu_control = 0x37f | rc << 10
    fpu.run('d9eb')
    assert fpu.st(0) == (mantissa, 0x4000)


def test_packed_decimal(fpu: Fpu) -> None:
    """FBLD, FBSTP: 18 digits and a sign; too large: the indefinite (SDM 1, 4.7; SDM 2)."""
    fpu.poke(0x200, bytes.fromhex('21436587092143658780'))
    fpu.run('df260002', 'd9c0', 'd9c0', 'dec9', 'df360003')
    assert fpu.peek(0x300, 10) == bytes.fromhex('000000000000000000c0ffff')[2:] and fpu.status & 0x41 == 1
    fpu.run('df360003')
    assert fpu.peek(0x300, 10) == bytes.fromhex('21436587092143658780') and fpu.m.fpu_empty == 0xff


def test_partial_remainder(fpu: Fpu) -> None:
    """FPREM: C2 until it is complete, then the quotient's low bits in C0 C3 C1 (SDM 2)."""
    fpu.load(TWO, (0xe << 60, 0x4001))  # 7 rem 2: quotient 3
    fpu.run('d9f8')
    assert fpu.st(0) == ONE and fpu.status & (CODES | C1) == 0x4200
    fpu.load((1 << 63, 0x4fff))
    fpu.run('d9f8')
    assert fpu.status & 0x400


def test_comparison_into_eflags(fpu: Fpu) -> None:
    """FCOMI: ZF PF CF; FUCOMIP takes a quiet NaN without IE (SDM 2)."""
    fpu.load(TWO, ONE)
    fpu.run('dbf1')
    assert arithmetic_flags(fpu.m) == 1
    fpu.load(INDEFINITE)
    fpu.run('dfe9')
    assert arithmetic_flags(fpu.m) == 0x45 and fpu.status & 1 == 0 and fpu.m.fpu_top == 6
    fpu.load(INDEFINITE)
    fpu.run('dff1')
    assert arithmetic_flags(fpu.m) == 0x45 and fpu.status & 1 == 1


@pytest.mark.parametrize('number,codes', [((0, 0x8000), 0x4200), (ONE, 0x400), (INFINITY, 0x500), (INDEFINITE, 0x300), ((1, 0), 0x4400), ((1, 0x3fff), 0)])
def test_examine(fpu: Fpu, number: Raw, codes: int) -> None:
    """FXAM: C3 C2 C0 the class, C1 the sign (SDM 2, table 3-40)."""
    fpu.load(number)
    fpu.run('d9e5')
    assert fpu.status == codes


def test_environment_in_real_mode(fpu: Fpu) -> None:
    """16-bit (SDM 1, figure 8-12) and 32-bit (figure 8-10): linear addresses and the opcode; FNSTENV masks all exceptions."""
    fpu.poke(0x200, struct.pack('<f', 1.5))
    at = fpu.m.eip
    fpu.run('d9060002')
    fpu.m.fpu_control = 0x240
    fpu.run('d9360003', '66d9360004')
    assert struct.unpack('<7H', fpu.peek(0x300, 14)) == (0x240, 7 << 11, 0x3fff, 0x1000 + at, 0x106, 0x0200, 0x2000)
    assert [w & 0xffff for w in struct.unpack('<7I', fpu.peek(0x400, 28))] == [0x27f, 7 << 11, 0x3fff, 0x1000 + at, 0x106, 0x0200, 0x2000]
    assert fpu.m.fpu_control == 0x27f


def test_environment_in_protected_mode(fpu: Fpu) -> None:
    """Offsets and selectors, the opcode above CS (SDM 1, figure 8-9)."""
    fpu.run('d9e8')
    m = fpu.m
    m.protected, m.fpu_ip, m.fpu_cs, m.fpu_dp, m.fpu_ds, m.fpu_opcode = 1, 0x12345678, 0x1b, 0x9abcdef0, 0x23, 0x5a5
    fpu.run('66d9360003', 'dbe3', '66d9260003')
    assert struct.unpack('<7I', fpu.peek(0x300, 28)) == (0xffff037f, 0xffff3800, 0xffff3fff, 0x12345678, 0x05a5001b, 0x9abcdef0, 0xffff0023)
    assert (m.fpu_ip, m.fpu_cs, m.fpu_dp, m.fpu_ds, m.fpu_opcode) == (0x12345678, 0x1b, 0x9abcdef0, 0x23, 0x5a5)
    assert m.fpu_top == 7 and m.fpu_empty == 0x7f and fpu.st(0) == ONE


def test_tags_come_from_contents(fpu: Fpu) -> None:
    """Valid, zero, special, empty (SDM 1, 8.1.7)."""
    fpu.load(ONE, ZERO, INFINITY)
    fpu.run('d9360003')
    assert struct.unpack_from('<H', fpu.peek(0x304, 2))[0] == 0b00_01_10_11_11_11_11_11


def test_save_and_restore(fpu: Fpu) -> None:
    """FNSAVE stores ST(0) first and initialises; FRSTOR brings everything back (SDM 2)."""
    fpu.load(TWO, ONE)
    fpu.run('dd360003')
    assert fpu.peek(0x30e, 20) == struct.pack('<QHQH', *ONE, *TWO)
    assert (fpu.m.fpu_control, fpu.status, fpu.m.fpu_top, fpu.m.fpu_empty) == (0x37f, 0, 0, 0xff)
    fpu.run('dd260003')
    assert fpu.st(0) == ONE and fpu.st(1) == TWO and fpu.m.fpu_top == 6 and fpu.m.fpu_empty == 0x3f


def test_fxsave_and_fxrstor(fpu: Fpu) -> None:
    """SDM 1, table 10-2, without SSE: one bit for each register that is not empty, registers of 16 bytes from ST(0) on; what is reserved stays. Nothing is initialised."""
    m = fpu.m
    fpu.load(TWO, ONE)
    m.fpu_ip, m.fpu_cs, m.fpu_dp, m.fpu_ds, m.fpu_opcode = 0x12345678, 0x1b, 0x9abcdef0, 0x23, 0x5a5
    fpu.poke(0x300, b'\x55' * 512)
    fpu.run('0fae060003')
    image = struct.pack('<HHBxHIHxxIHxx', m.fpu_control, 6 << 11, 0xc0, 0x5a5, 0x12345678, 0x1b, 0x9abcdef0, 0x23)
    assert fpu.peek(0x300, 24) == image and fpu.peek(0x318, 8) == b'\x55' * 8 and fpu.peek(0x3a0, 0x160) == b'\x55' * 0x160
    assert fpu.peek(0x320, 10) == struct.pack('<QH', *ONE) and fpu.peek(0x330, 10) == struct.pack('<QH', *TWO) and fpu.st(0) == ONE
    fpu.run('dbe3')
    fpu.run('0fae0e0003')
    assert (fpu.st(0), fpu.st(1), m.fpu_top, m.fpu_empty) == (ONE, TWO, 6, 0x3f)
    assert (m.fpu_ip, m.fpu_cs, m.fpu_dp, m.fpu_ds, m.fpu_opcode) == (0x12345678, 0x1b, 0x9abcdef0, 0x23, 0x5a5)


@pytest.mark.parametrize('code', ['0fae060803', '0fae0e0803'])
def test_fxsave_wants_16_bytes_alignment(fpu: Fpu, code: str) -> None:
    """SDM 2, FXSAVE: #GP."""
    fpu.poke(0x300, b'\x55' * 16)
    fpu.guest.memory.write(13 * 4, struct.pack('<HH', 0x1234, 0x100))
    fpu.run(code)
    assert fpu.m.eip == 0x1234 and fpu.peek(0x300, 16) == b'\x55' * 16


def test_a_store_that_faults_pops_nothing(fpu: Fpu) -> None:
    """FSTP of 80 bits across the segment's end is #GP before anything is written (SDM 2)."""
    fpu.load(ONE)
    fpu.poke(0xfff8, b'\x55' * 8)
    fpu.guest.memory.write(13 * 4, struct.pack('<HH', 0x1234, 0x100))
    fpu.run('db3ef8ff')
    assert fpu.m.eip == 0x1234 and fpu.m.fpu_top == 7 and fpu.peek(0xfff8, 8) == b'\x55' * 8


def test_precision_control(fpu: Fpu) -> None:
    """PC rounds add, subtract, multiply, divide and square root only (SDM 1, 8.1.5.2)."""
    third = (0xaaaaaaaaaaaaaaab, 0x3ffd)
    fpu.load(ONE, third)
    fpu.m.fpu_control = 0x7f
    fpu.run('d8c9')
    assert fpu.st(0) == (0xaaaaab0000000000, 0x3ffd)
    fpu.load(third)
    assert fpu.st(0) == third


def test_denormal_operands(fpu: Fpu) -> None:
    """DE from a 64-bit real that is denormal; unmasked it is not loaded (SDM 1, 8.5.2)."""
    fpu.poke(0x200, struct.pack('<Q', 1))
    fpu.run('dd060002')
    assert fpu.st(0) == (1 << 63, 0x3fff - 1074) and fpu.status == 2
    fpu.run('dbe2')
    fpu.m.fpu_control = 0x37d
    fpu.run('dd060002')
    assert fpu.m.fpu_top == 7 and fpu.status == 0x8082
