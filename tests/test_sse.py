"""MMX, SSE and SSE2: every exact primitive against the host's own SSE, then what the SDM says of who may execute them, of exceptions, MXCSR and saved state.

What each instruction computes is compared with the host in test_against_host.py. Programs run at CPL 3 as in test_code_writes.py, on all engines.
"""
import ctypes
import itertools
import random
import struct
from functools import cache
from typing import Any, Callable

import llvmlite.binding as llvm
import pytest

from emu.decoder.decode import decode_bytes
from emu.decoder.table import FORMS, Form
from emu.isa import models, sse_exact
from emu.isa.crossing import called, crossings
from emu.isa.language import GP, MF, NM, UD, XM, Fault
from emu.isa.operands import MEM
from emu.isa.reset import reset
from emu.isa.segments import update_mode
from emu.isa.sse_lower import CONTROL, NAMES, PAIRS, PRIMITIVES, functions
from emu.isa.state import State
from emu.isa.system import set_cr4
from tests.cases import encodings
from tests.harness import ENGINES, HANDLERS, Guest
from tests.oracle.host import DATA
from tests.programs import architecture, differences
from tests.test_code_writes import guest, start

EXACT = sorted(name for name in NAMES - set(CONTROL) if 'rsqrt' not in name and 'rcp' not in name)  # those are the host's anyhow
MASKED, FTZ, DAZ = 0x1f80, 0x8000, 0x40
EM, TS, NE = 4, 8, 0x20  # of CR0
OSFXSR, OSXMMEXCPT = 0x200, 0x400  # of CR4
HERE = DATA + 0x100
MMX_BIT, FXSR_BIT, SSE_BIT, SSE2_BIT = (1 << n for n in (23, 24, 25, 26))  # CPUID.1:EDX


# --- primitives -------------------------------------------------------------------------------------------------------------------

@cache
def library() -> Any:
    """The primitives as compiled code has them, each called with the guest's MXCSR in use."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    calls = called({name: operand_count(name) for name in EXACT})
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(functions(EXACT) + crossings() + calls), llvm.Target.from_default_triple().create_target_machine(jit=True))
    engine.finalize_object()
    return engine


def operand_count(name: str) -> int:
    return PAIRS[name][0] if name in PAIRS else 2 if '$2' in PRIMITIVES[name][2] else 1


def real(r: random.Random, w: int) -> int:
    """The bits of a number: half are ordinary, the rest near the limits, denormal, infinite, NaNs."""
    fraction = 23 if w == 32 else 52
    top = (1 << w - fraction - 1) - 1
    e = r.choice([0, top, r.randrange(top), *[(top >> 1) + r.randrange(-30, 35) for _ in range(4)], 1, top - 1, r.randrange(1, 30)])
    return r.randrange(2) << w - 1 | e << fraction | r.choice([0, 1, r.getrandbits(fraction), r.getrandbits(fraction), 1 << fraction - 1, (1 << fraction) - 1])


@pytest.mark.parametrize('name', EXACT)
def test_exact_primitives_equal_the_host(name: str) -> None:
    """Result and MXCSR, under every rounding mode, with and without FTZ and DAZ (SDM 1, 4.8, 4.9, 10.2.3, 11.5)."""
    r, m = random.Random(name), State()
    count = operand_count(name)
    native = ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * (count + 1))(library().get_function_address('call_' + name))
    size = 0xffffffff if name.endswith('32') and name not in PAIRS else (1 << 64) - 1
    def one(w: int) -> int: return r.getrandbits(32) if name.endswith('i32') and not r.randrange(3) else real(r, w)
    for _ in range(2000):
        a, b = (one(32) | one(32) << 32 if name in PAIRS else one(32 if PRIMITIVES[name][0] in ('f32', 'i32') else 64) for _ in range(2))
        if r.randrange(6) == 0: b = a ^ r.choice([0, 1, 1 << r.randrange(64 if name in PAIRS or PRIMITIVES[name][0] == 'f64' else 32)])
        control = MASKED | r.randrange(4) << 13 | r.choice([0, 0, FTZ, DAZ, FTZ | DAZ]) | r.choice([0, 0, r.getrandbits(6)])
        a, b = (x - (x >> 63 << 64) for x in (a, b))
        m.mxcsr = control
        theirs = native(m.address, *(a, b)[:count]) & size, m.mxcsr
        m.mxcsr = control
        ours = getattr(sse_exact, name)(m, *(a, b)[:count]) & size, m.mxcsr
        assert ours == theirs, f'{name} of {a & (1 << 64) - 1:x}, {b & (1 << 64) - 1:x} under {control:x}'


# --- who may execute what -----------------------------------------------------------------------------------------------------------

PROBES = {  # instruction: the feature it came with, and the registers that decide what CR0 and CR4 say about it
    'paddb mm0, mm1': (MMX_BIT, 'mm'), 'movq mm0, qword ptr [here]': (MMX_BIT, 'mm'), 'emms': (MMX_BIT, 'mm'),
    'pavgb mm0, mm1': (SSE_BIT, 'mm'), 'pshufw mm0, mm1, 1': (SSE_BIT, 'mm'), 'movntq qword ptr [here], mm0': (SSE_BIT, 'mm'),
    'paddq mm0, mm1': (SSE2_BIT, 'mm'), 'pmuludq mm0, mm1': (SSE2_BIT, 'mm'),
    'addps xmm0, xmm1': (SSE_BIT, 'xmm'), 'movaps xmm0, xmmword ptr [here]': (SSE_BIT, 'xmm'),
    'cmpss xmm0, xmm1, 1': (SSE_BIT, 'xmm'), 'stmxcsr dword ptr [here]': (SSE_BIT, 'xmm'),
    'cvtps2pi mm0, xmm1': (SSE_BIT, 'xmm'), 'addpd xmm0, xmm1': (SSE2_BIT, 'xmm'), 'paddb xmm0, xmm1': (SSE2_BIT, 'xmm'), 'cvtdq2ps xmm0, xmm1': (SSE2_BIT, 'xmm'),
    'movdqu xmm0, xmmword ptr [here]': (SSE2_BIT, 'xmm'), 'movq2dq xmm0, mm1': (SSE2_BIT, 'xmm'),
    'sfence': (SSE_BIT, ''), 'lfence': (SSE2_BIT, ''), 'mfence': (SSE2_BIT, ''), 'movnti dword ptr [here], eax': (SSE2_BIT, ''), 'clflush byte ptr [here]': (1 << 19, ''),
    'fxsave [here]': (FXSR_BIT, 'fpu')}


def ended(g: Guest, source: str, change: Callable[[State], None] = lambda m: None) -> int:
    """The vector that a program ends with; 3: its own INT3."""
    start(g, source, here=HERE)
    m, before = g.m, (g.m.cr0, g.m.cr4, g.m.cpu_features)
    change(m)
    update_mode(m)
    g.go(1000)
    m.cr0, m.cr4, m.cpu_features = before
    update_mode(m)
    assert m.halted
    return m.eip - HANDLERS - 1


def expected(needs: int, registers: str, features: int, cr0: int, cr4: int) -> int:
    """SDM 3A, table 12-1 (MMX), table 13-1 (SSE, SSE2), 2.5 (FXSAVE); SDM 1, 11.6.5: what touches no register is for anybody who has it."""
    if not features & needs: return UD
    if registers == 'fpu': return NM if cr0 & (EM | TS) else 3
    if not registers: return 3
    if cr0 & EM or registers == 'xmm' and not cr4 & OSFXSR: return UD
    return NM if cr0 & TS else 3


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('instruction', PROBES)
def test_who_may_execute_them(instruction: str, engine: str) -> None:
    """#UD and #NM for each combination of the processor's features, CR0.EM and TS, CR4.OSFXSR."""
    needs, registers = PROBES[instruction]
    some = MMX_BIT | FXSR_BIT | 1 << 19
    for features, em, ts, cr4 in itertools.product((0, some, some | SSE_BIT, some | SSE_BIT | SSE2_BIT), (0, EM), (0, TS), (0, OSFXSR)):
        def change(m: State) -> None:
            m.cr0, m.cr4, m.cpu_features = m.cr0 & ~(EM | TS) | em | ts, cr4, m.cpu_features & ~(some | SSE_BIT | SSE2_BIT) | features  # noqa: B023
        assert ended(guest(engine), 'mov eax, eax;' + instruction, change) == expected(needs, registers, features, em | ts, cr4), f'{features:x} {em | ts} {cr4:x}'


@pytest.mark.parametrize('model, bits', [('486', 0), ('pentium', 0), ('pentiumpro', 0), ('pentium2', MMX_BIT | FXSR_BIT), ('pentium3', MMX_BIT | FXSR_BIT | SSE_BIT),
                                         ('pentium4', MMX_BIT | FXSR_BIT | SSE_BIT | SSE2_BIT), ('default', MMX_BIT | FXSR_BIT | SSE_BIT | SSE2_BIT)])
def test_what_the_models_have(model: str, bits: int) -> None:
    """CPUID names it (SDM 2, table 3-11), the instructions are there, and CR4 takes the bits (SDM 3A, 2.5: else they are reserved, #GP)."""
    m = State()
    models.apply(m, model)
    assert m.cpu_features & (MMX_BIT | FXSR_BIT | SSE_BIT | SSE2_BIT) == bits
    for instruction, (needs, _) in PROBES.items():
        if needs == 1 << 19: continue

        def change(m: State) -> None: m.cpu_features = models.MODELS[model].features
        assert ended(guest('eager'), instruction, change) == (3 if bits & needs else UD), instruction
    reset(m)
    for bit, needs in ((OSFXSR, FXSR_BIT), (OSXMMEXCPT, SSE_BIT)):
        if bits & needs: set_cr4(m, bit)
        else:
            with pytest.raises(Fault, match=str(GP)): set_cr4(m, bit)


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('instruction', ['paddb mm0, mm1', 'movd mm0, eax', 'emms', 'cvtps2pi mm0, xmm0', 'cvtpi2ps xmm0, mm0', 'movq2dq xmm0, mm0'])
def test_an_x87_exception_that_waits_comes_first(instruction: str, engine: str) -> None:
    """SDM 3A, 12.3.3 and 6.15 (#MF): before an MMX instruction, and before those that use MMX registers; not before others of SSE."""
    divide = 'fldz; fld1; fldcw word ptr [here]; fdivrp; '  # ZE is unmasked
    g, word = guest(engine), struct.pack('<H', 0x37b)

    def change(m: State) -> None:
        m.cr0 |= NE
        g.memory.write(HERE, word)
    assert ended(g, divide + instruction, change) == MF
    assert ended(g, divide + 'addps xmm0, xmm1; movaps xmm2, xmm3', change) == 3


# --- SIMD floating-point exceptions -------------------------------------------------------------------------------------------------

ONE, ZERO, BIG, TINY, SNAN = 0x3f800000, 0, 0x7f7fffff, 0x00800000, 0x7f800001
RAISING = {  # bit of MXCSR: an operation on two singles that raises it alone
    0: ('addss', ONE, SNAN), 1: ('addss', 1, ZERO), 2: ('divss', ONE, ZERO), 3: ('mulss', BIG, BIG), 4: ('mulss', TINY, TINY), 5: ('addss', ONE, 0x33000000)}


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('bit', RAISING)
def test_an_unmasked_exception(bit: int, engine: str) -> None:
    """#XM, #UD without OSXMMEXCPT: the flag is set, the destination is as it was (SDM 3A, 6.15, interrupt 19; SDM 1, 11.5). Masked: there is a result, and the flag."""
    operation, a, b = RAISING[bit]
    g = guest(engine)
    for cr4, control in itertools.product((OSFXSR, OSFXSR | OSXMMEXCPT), (MASKED, MASKED & ~(0x80 << bit))):
        def change(m: State) -> None:
            m.cr4 = cr4  # noqa: B023
            m.xmm_low[0], m.xmm_low[1], m.mxcsr = a | 0x5555 << 32, b, control  # noqa: B023
        ending = ended(g, f'mov eax, 1; {operation} xmm0, xmm1', change)
        assert ending == (3 if control == MASKED else XM if cr4 & OSXMMEXCPT else UD)
        assert g.m.mxcsr & 1 << bit
        assert (g.m.xmm_low[0] == a | 0x5555 << 32) == (control != MASKED or bit in (1, 5)) and g.m.xmm_low[0] >> 32 == 0x5555


OVERFLOW, UNDERFLOW = 8, 16
D_BIG, D_TINY, D_3 = 0x7fe0000000000000, 0x0010000000000000, 0x3fd5555555555555  # 2^1023, 2^-1022, 1/3
BEYOND = [  # instruction, flag that is unmasked, operands (low, high), flags raised besides it
    ('mulss', OVERFLOW, (0x7f000000, 0), (0x7f000000, 0), 0), ('mulss', OVERFLOW, (BIG, 0), (BIG, 0), 32), ('addss', OVERFLOW, (0x7f000000, 0), (0x7f000000, 0), 0),
    ('addss', OVERFLOW, (0x7f7fffff, 0), (0x7f7ffffe, 0), 32), ('subsd', OVERFLOW, (D_BIG, 0), (D_BIG | 1 << 63, 0), 0),
    ('divsd', OVERFLOW, (D_BIG, 0), (0x3fe0000000000000, 0), 0), ('divsd', OVERFLOW, (D_BIG, 0), (D_3, 0), 32), ('divss', OVERFLOW, (0x7f000000, 0), (1, 0), 2),
    ('mulss', UNDERFLOW, (TINY, 0), (TINY, 0), 0), ('mulss', UNDERFLOW, (0x00800001, 0), (0x00800001, 0), 32), ('mulsd', UNDERFLOW, (5, 0), (3, 0), 2),
    ('divss', UNDERFLOW, (TINY, 0), (BIG, 0), 32), ('cvtsd2ss', UNDERFLOW, (0, 0), (1, 0), 2), ('cvtsd2ss', UNDERFLOW, (0, 0), (0x3000000010000000, 0), 32),
    ('cvtsd2ss', OVERFLOW, (0, 0), (D_BIG, 0), 0), ('cvtpd2ps', OVERFLOW, (0, 0), (D_BIG, 0x3ff0000000000000), 0), ('cvtpd2ps', OVERFLOW, (0, 0), (D_BIG, D_3), 32),
    ('mulps', OVERFLOW, (ONE << 32 | 0x7f000000, ONE), (ONE << 32 | 0x7f000000, ONE), 0), ('mulps', OVERFLOW, (0x7f000000, 0x33000001), (0x7f000000, 0x33000001), 32),
    ('mulps', UNDERFLOW, (0x7f000000 << 32, TINY << 32), (0x7f000000 << 32, TINY << 32), 8 | 32), ('mulpd', UNDERFLOW, (D_TINY, 0), (D_TINY, 0), 0)]


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('operation, flag, a, b, others', BEYOND)
def test_precision_of_what_leaves_the_range(operation: str, flag: int, a: tuple[int, int], b: tuple[int, int], others: int, engine: str) -> None:
    """With overflow or underflow unmasked, PE says whether the result is inexact with an unbounded exponent; masked, PE is set (SDM 1, 11.5.2.4 and .5)."""
    g = guest(engine)
    for masks, rounding in itertools.product((MASKED & ~(flag << 7), MASKED), range(4)):
        def change(m: State) -> None:
            m.cr4 = OSFXSR | OSXMMEXCPT
            (m.xmm_low[0], m.xmm_high[0]), (m.xmm_low[1], m.xmm_high[1]), m.mxcsr = a, b, masks | rounding << 13  # noqa: B023
        assert ended(g, f'mov eax, 1; {operation} xmm0, xmm1', change) == (3 if masks == MASKED else XM)
        assert g.m.mxcsr & 0x3f == flag | others | (32 if masks == MASKED else 0)


@pytest.mark.parametrize('engine', ENGINES)
def test_packed_numbers_are_all_looked_at_before_one_faults(engine: str) -> None:
    """SDM 1, 11.5.3: an unmasked exception found before computing (ZE) keeps the others from being computed: no PE; flags of all numbers are collected."""
    g = guest(engine)

    def change(m: State) -> None:
        m.xmm_low[0], m.xmm_high[0], m.xmm_low[1], m.xmm_high[1], m.mxcsr = ONE | ONE << 32, ONE, 0x40400000, SNAN, MASKED & ~0x200  # 1 / 3, 1 / 0, 1 / SNaN
    assert ended(g, 'mov eax, 1; divps xmm0, xmm1', change) == XM
    assert g.m.mxcsr & 0x3f == 5 and g.m.xmm_low[0] == ONE | ONE << 32 and g.m.xmm_high[0] == ONE


@pytest.mark.parametrize('engine', ENGINES)
def test_flags_of_masked_exceptions_stay(engine: str) -> None:
    """SDM 1, 10.2.3.1: sticky, until LDMXCSR or FXRSTOR clears them; a later unmasking alone raises nothing (10.2.3.2)."""
    g = guest(engine)
    source = f'''mov dword ptr [here], {ONE}; movss xmm0, dword ptr [here]; xorps xmm1, xmm1; divss xmm0, xmm1; stmxcsr dword ptr [here]; mov eax, [here]
        and dword ptr [here], 0xffffe07f; ldmxcsr dword ptr [here]; addss xmm1, xmm1; stmxcsr dword ptr [here]; mov ebx, [here]'''
    assert ended(g, source) == 3
    assert (g.m.reg[0], g.m.reg[3]) == (0x1f84, 4)


# --- memory ---------------------------------------------------------------------------------------------------------------------------

IN_MEMORY = [form for form in FORMS if MEM in (form.fields.get('dst_kind'), form.fields.get('src_kind'))]
ALIGNED = [form for form in IN_MEMORY if {'Wx', 'Mx'} & set(form.operands) and form.text != 'MOV_UNALIGNED']
FREE = [form for form in IN_MEMORY if form.text == 'MOV_UNALIGNED']


def in_memory(form: Form) -> str:
    """An instruction of a form with the operand [eax], as bytes."""
    for _, code in encodings()[form.name]:
        i = decode_bytes(code.ljust(16, b'\0'), 1)
        if i and i.form is form and i.base == 0 and i.index == 8 and i.disp == 0 and i.amask > 0xffff and i.seg == 3:
            return f'.byte {", ".join(map(str, code[:i.len]))}'
    raise AssertionError(form.name)


@pytest.mark.parametrize('form', ALIGNED, ids=lambda form: form.name)
def test_16_bytes_are_aligned(form: Form) -> None:
    """#GP(0) where not, and nothing changes (SDM 1, 10.4.1 and 11.3; SDM 2, "Exceptions Type" 1, 2 and 4)."""
    g = guest('eager')
    for offset in (0, 1, 4, 8):
        memory = []

        def change(m: State) -> None:
            m.reg[0] = HERE + offset  # noqa: B023
            memory.append(g.memory.read(HERE, 64))  # noqa: B023
        assert ended(g, in_memory(form), change) == (GP if offset else 3)
        assert not offset or g.memory.read(HERE, 64) == memory[0] and g.m.mxcsr == MASKED


@pytest.mark.parametrize('form', FREE, ids=lambda form: form.name)
def test_unaligned_moves(form: Form) -> None:
    """MOVUPS, MOVUPD, MOVDQU, MOVSS, MOVSD go anywhere, across a page too (SDM 1, 10.4.1.1)."""
    for offset in (1, 4, 8, 15, 0x1000 - 0x100 - 3):
        def change(m: State) -> None: m.reg[0] = HERE + offset  # noqa: B023
        assert ended(guest('eager'), in_memory(form), change) == 3


@pytest.mark.parametrize('engine', ENGINES)
def test_a_store_to_two_pages_writes_all_or_nothing(engine: str) -> None:
    """The second page is read-only: #PF, and the first has not changed (SDM 3A, 6.5: a fault leaves everything as it was)."""
    g = guest(engine)
    assert ended(g, 'pcmpeqb xmm0, xmm0; mov eax, 0x219ff4; movdqu xmmword ptr [eax], xmm0') == 14
    assert g.memory.read(0x219ff4, 12) == bytes(12) and g.m.cr2 == 0x21a000


# --- MXCSR and saved state ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('model, value, good', [('pentium4', 0xffff, True), ('pentium4', 0x10000, False), ('pentium4', 0x80000000, False), ('pentium3', 0xffbf, True),
                                                ('pentium3', DAZ, False)])
def test_reserved_bits_of_mxcsr(model: str, value: int, good: bool, engine: str) -> None:
    """#GP by LDMXCSR and by FXRSTOR; DAZ is one where there is no SSE2 (SDM 1, 10.2.3 and 11.6.6)."""
    g = guest(engine)

    def change(m: State) -> None:
        m.cpu_features = models.MODELS[model].features
        g.memory.write(HERE, bytes(24) + struct.pack('<I', value) + bytes(484))
    assert ended(g, 'mov eax, 1; ldmxcsr dword ptr [here + 24]', change) == (3 if good else GP)
    assert g.m.mxcsr == (value if good else MASKED)
    assert ended(g, 'mov eax, 1; fxrstor [here]', change) == (3 if good else GP)
    assert g.m.mxcsr == (value if good else MASKED)


def test_mxcsr_mask() -> None:
    """FXSAVE tells which bits there are (SDM 1, 11.6.6)."""
    for model, mask in (('pentium3', 0xffbf), ('pentium4', 0xffff)):
        def change(m: State) -> None: m.cpu_features = models.MODELS[model].features  # noqa: B023
        assert ended(guest('eager'), 'fxsave [here]', change) == 3
        assert struct.unpack('<I', guest('eager').memory.read(HERE + 28, 4))[0] == mask


@pytest.mark.parametrize('engine', ENGINES)
def test_fxsave_has_the_xmm_registers_with_osfxsr_only(engine: str) -> None:
    """SDM 1, table 10-2: MXCSR at 24, XMM0 at 160; without CR4.OSFXSR they are neither saved nor restored (SDM 3A, 2.5)."""
    g = guest(engine)
    for cr4 in (OSFXSR, 0):
        def change(m: State) -> None:
            m.cr4, m.mxcsr = cr4, 0x3f80  # noqa: B023
            for n in range(8): m.xmm_low[n], m.xmm_high[n] = 0x1000 + n, 0x2000 + n
            g.memory.write(HERE, b'\x55' * 512)
        assert ended(g, 'mov eax, 1; fxsave [here]', change) == 3
        image = g.memory.read(HERE, 512)
        if cr4: assert struct.unpack_from('<I', image, 24)[0] == 0x3f80 and struct.unpack_from('<16Q', image, 160) == tuple(x + n for n in range(8) for x in (0x1000, 0x2000))
        else: assert image[24:28] == b'\x55' * 4 and image[160:288] == b'\x55' * 128
        assert image[288:] == b'\x55' * 224

        def other(m: State) -> None:
            m.cr4 = cr4  # noqa: B023
            g.memory.write(HERE, image[:24] + struct.pack('<I', 0x3f80) + image[28:])  # noqa: B023
        assert ended(g, 'mov eax, 1; fxrstor [here]', other) == 3
        assert (g.m.mxcsr, g.m.xmm_low[3], g.m.xmm_high[7]) == ((0x3f80, 0x1003, 0x2007) if cr4 else (MASKED, 0, 0))


def test_reset() -> None:
    """SDM 3A, table 9-1: XMM registers 0, MXCSR 1F80h, CR4 0."""
    m = State()
    m.mxcsr, m.xmm_low[3], m.xmm_high[7], m.cr4 = 0x1fbf, 5, 6, 0x600
    models.apply(m, 'pentium4')
    reset(m)
    assert (m.mxcsr, m.xmm_low[3], m.xmm_high[7], m.cr4) == (MASKED, 0, 0, 0)


@pytest.mark.parametrize('engine', ENGINES)
def test_mmx_registers_are_the_x87s(engine: str) -> None:
    """A write sets sign and exponent to ones, TOP becomes 0 and every tag valid; EMMS makes all empty (SDM 1, 9.2, 9.5.1 and 9.6.3; SDM 3A, 12.2)."""
    g = guest(engine)
    assert ended(g, 'fld1; fldpi; mov eax, 0x12345678; movd mm3, eax') == 3
    m = g.m
    assert (m.fpu_mantissa[3], m.fpu_exponent[3], m.fpu_top, m.fpu_empty) == (0x12345678, 0xffff, 0, 0)
    assert (m.fpu_mantissa[7], m.fpu_exponent[7]) == (-1 << 63, 0x3fff)  # the 1.0, as it was
    assert ended(g, 'fld1; mov eax, 1; movd mm3, eax; emms') == 3
    assert (m.fpu_top, m.fpu_empty, m.fpu_mantissa[3]) == (0, 0xff, 1)


def test_programs_are_alike_in_all_engines() -> None:
    """A loop with MMX, packed and scalar numbers, integers, comparisons and conversions: State and memory."""
    source = '''mov ecx, 40; mov eax, 0x3f8ccccd; movd xmm0, eax; shufps xmm0, xmm0, 0; movaps xmm1, xmm0; pxor mm0, mm0
        again: mulps xmm1, xmm0; addss xmm1, xmm0; cvtps2pd xmm2, xmm1; sqrtpd xmm3, xmm2; divsd xmm3, xmm0; cvttps2dq xmm4, xmm1; paddd xmm5, xmm4; movd mm1, ecx
        paddsw mm0, mm1; pshufd xmm6, xmm5, 0x1b; cmpltps xmm6, xmm1; comisd xmm3, xmm2; jb less; inc ebx; less: movmskps edx, xmm6; add esi, edx
        movups xmmword ptr [here + 3], xmm5; cvtsi2ss xmm7, ecx; rcpps xmm7, xmm7; maxps xmm1, xmm7; dec ecx; jnz again; movq qword ptr [here + 64], mm0; emms'''
    seen = []
    for engine in ENGINES:
        assert ended(guest(engine), source) == 3
        seen.append((architecture(guest(engine).m), bytes(guest(engine).memory.ram)))
    for engine, (state, memory) in zip(ENGINES[1:], seen[1:]): assert not differences(seen[0][0], state) and memory == seen[0][1], engine
