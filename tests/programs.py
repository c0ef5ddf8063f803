"""Random programs of user-mode instructions, and what two engines may not differ in: every architectural field of State, and all of memory.

A program runs in one of MODES: flat 32-bit code, or 16-bit code in segments with bases and limits: of the LDT, in real mode, in virtual-8086 mode.
A program is a list of chunks: an instruction of a random form with what makes it likely to do something (pointers into the window, a sane divisor), in a loop of
three rounds. Relative jumps lead forward, to another chunk. Chunks can be left out, so a program that shows a difference can be made smaller (`reduce`).
"""
import struct
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterable, Sequence, TypeVar

import numpy as np
from numpy.random import Generator

from emu.decoder.decode import decode_bytes
from emu.decoder.table import FORMS, Form
from emu.isa.flags import VM, eflags_image
from emu.isa.operands import MEM, REG
from emu.isa.segments import set_reach, update_mode
from emu.isa.state import CS, State
from tests.cases import (
    NEAR,
    RELATIVE,
    STACK_TOP,
    STRINGS,
    choose_immediate,
    choose_memory,
    choose_registers,
    draft,
    encodings,
    immediate_size,
    point,
    spot,
    value,
)
from tests.floats import fpu_image, mxcsr, number, simd
from tests.harness import IDT, PAGE_TABLE, STACK, TABLES, Guest
from tests.oracle.host import BASE16, CODE, CODE16, DATA, DATA16, DATA32, WINDOW, blank

T = TypeVar('T')
HOME = CODE + 0xf00  # programs begin here and go on in the next page
COUNTER = DATA + 0x40
ROUNDS = 3
LOW_CODE, LOW_DATA = 0x10000, 0x20000  # where CODE and BASE16 are in real and virtual-8086 mode
PROTECTED_ONLY = ('ARPL', 'LAR', 'LSL', 'VERR', 'VERW', 'SLDT', 'STR')
PARAGRAPHS = (*[LOW_DATA >> 4] * 20, (LOW_DATA >> 4) - 1, 0x1800, 0xffff)  # that segment registers are loaded with there
LOW_PAGES = (LOW_CODE, LOW_CODE + 0x1000, LOW_DATA + 0x8000, LOW_DATA + 0x9000, 0x18000)  # what there is of them in virtual-8086 mode
MODES = ('flat', 'segments', 'real', 'v86')
REAL_HANDLERS = 0x6000  # code segment 600h
REAL_VECTORS = b''.join(struct.pack('<HH', v, REAL_HANDLERS >> 4) for v in range(256))
ENDING = set('CALL_FAR CALL_FAR_M JMP_FAR JMP_FAR_M RET_FAR IRET INT INT1 INT3 INTO UD TOO_LONG HLT CLI STI IN OUT INS OUTS LLDT LTR LGDT LIDT LMSW INVLPG CLTS INVD WBINVD '
             'MOV_FROM_CR MOV_FROM_DR MOV_TO_CR MOV_TO_DR WRMSR RDMSR RDPMC SYSENTER SYSEXIT POP_SEG LOAD_FAR'.split())  # they fault, or lead out of the program
CONTROLS = ('FLDENV', 'FRSTOR', 'FLDCW', 'FXRSTOR')  # they may unmask x87 exceptions, and find reserved bits in MXCSR
LIKELY = COUNTER + 12  # there is an MXCSR to load
FIELDS = ('eip cr0 cr2 cr3 cr4 gdt_base gdt_limit idt_base idt_limit cpl user protected vm86 code32 stack_mask halted shutdown retired sysenter_cs sysenter_esp sysenter_eip '
          'fpu_control fpu_status fpu_top fpu_empty fpu_ip fpu_cs fpu_dp fpu_ds fpu_opcode mxcsr a20 nmi nmi_blocked irq').split()
ARRAYS = {'reg': 9, 'selector': 8, 'base': 8, 'limit': 8, 'access': 8, 'reach': 8, 'reading': 8, 'writing': 8, 'dr': 8, 'pdpte': 4, 'fpu_mantissa': 8, 'fpu_exponent': 8,
          'xmm_low': 8, 'xmm_high': 8}
ORDINARY = [form for form in FORMS if form.text not in ENDING and any(code32 for code32, _ in encodings()[form.name])]
JUMPS = [form for form in ORDINARY if form.text in ('JCC', 'JMP_REL', 'LOOP', 'JCXZ') and form.fields['w'] == 32]
ORDINARY16 = [form for form in FORMS if form.text not in ENDING and any(not code32 for code32, _ in encodings()[form.name])]
JUMPS16 = [form for form in ORDINARY16 if form.text in ('JCC', 'JMP_REL', 'LOOP', 'JCXZ') and form.fields['w'] == 16]
PROTECTED = 0x80010033, IDT, 0x7ff  # CR0, IDT's base and limit, as user_mode has them
SEGMENTS16 = (*[DATA16] * 12, 0x1f, 0x27, 0x2f, 0x4f)  # that 16-bit programs have in DS, ES, FS and GS, where there are descriptors


def architecture(m: State) -> dict[str, Any]:
    """Every field of State that a program could see, or that a later one depends on."""
    return {name: getattr(m, name) for name in FIELDS} | {name: [getattr(m, name)[k] for k in range(n)] for name, n in ARRAYS.items()} | {'eflags': eflags_image(m)}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The fields in which they differ."""
    return [f'{name} {one[name]} {other[name]}' for name in one if one[name] != other[name]]


# --- programs -----------------------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Chunk:
    """Bytes; a jump's displacement, or the address of the target, is filled in at `at`: (offset, size, relative), `skip` chunks ahead."""

    code: bytes
    at: tuple[int, int, bool] | None = None
    skip: int = 0


@dataclass(frozen=True)
class Program:
    """Chunks, registers, flags, FPU, XMM registers and the window to begin with, MXCSR then and one to load, budgets of the slices it runs in."""

    chunks: tuple[Chunk, ...]
    reg: tuple[int, ...]
    eflags: int
    fpu: bytes
    xmm: bytes
    mxcsr: tuple[int, int]
    mem: bytes
    budgets: tuple[int, ...]
    mode: str = 'flat'
    seg: tuple[int, ...] = ()

    def code(self) -> bytes:
        """The loop around the chunks, then INT3."""
        places = [0]
        for chunk in self.chunks: places.append(places[-1] + len(chunk.code))
        out = bytearray()
        for n, chunk in enumerate(self.chunks):
            out += chunk.code
            if chunk.at:
                offset, size, relative = chunk.at
                target = places[min(n + 1 + chunk.skip, len(self.chunks))]
                v = target - places[n + 1] if relative else HOME + target - (0 if self.mode == 'flat' else CODE)
                out[places[n] + offset:places[n] + offset + size] = (v & (1 << 8 * size) - 1).to_bytes(size, 'little')
        if self.mode != 'flat':
            out += b'\x36\xff\x0e' + struct.pack('<H', COUNTER - BASE16) + b'\x0f\x85'  # dec word ss:[counter]; jnz
            return bytes(out + struct.pack('<h', -len(out) - 2) + b'\xcc')
        out += b'\xff\x0d' + struct.pack('<I', COUNTER) + b'\x0f\x85'  # dec dword [counter]; jnz
        return bytes(out + struct.pack('<i', -len(out) - 4) + b'\xcc')


def xmm(rng: Generator) -> bytes:
    """XMM registers full of singles and doubles."""
    return b''.join(simd(rng, 32 + 32 * (n & 1)) for n in range(8))


def any_of(rng: Generator, things: Sequence[T]) -> T:
    """One of them."""
    return things[rng.integers(len(things))]


def mov(n: int, v: int) -> bytes:
    """mov r32, v"""
    return bytes([0xb8 + n]) + struct.pack('<I', v & 0xffffffff)


def pointers(rng: Generator, i: Any, linear: int) -> bytes:
    """Instructions that make an operand's address come to `linear`, where registers are in it."""
    if i.base == i.index == 8: return b''
    index = int(rng.integers(-8, 8)) if i.index not in (8, i.base) else 0
    out = mov(i.index, index) if i.index not in (8, i.base) else b''
    if i.base == 8: return mov(i.index, ((linear - i.disp) & 0xffffffff) >> i.scale)
    want = linear - i.disp - (index << i.scale)
    return out + mov(i.base, (want & 0xffffffff) // (1 + (1 << i.scale)) if i.base == i.index else want)


def absolute(i: Any, code: bytes, linear: int) -> bytes:
    """A displacement alone is the address itself."""
    size = 4 if i.amask > 0xffff else 2
    at = code.rfind((i.disp & i.amask).to_bytes(size, 'little'))
    return code[:at] + (linear & i.amask).to_bytes(size, 'little') + code[at + size:]


def chunk(rng: Generator, form: Form, rewriting: bool = False) -> Chunk:
    """One instruction of a form, and what goes before and behind it."""
    odds = lambda n: not rng.integers(n)  # noqa: E731
    known = [code for code32, code in encodings()[form.name] if code32]
    code = known[rng.integers(len(known))]
    i, text = decode_bytes(code.ljust(16, b'\0'), 1), form.text
    size = immediate_size(code, 1)
    before = behind = b''
    if text in RELATIVE:
        if form.fields['w'] == 16 and text != 'JCXZ' and not odds(20): return chunk(rng, any_of(rng, ORDINARY), rewriting)
        behind = mov(4, STACK_TOP) if text == 'CALL_REL' and odds(2) else b''
        return Chunk(code + behind, (len(code) - size, size, True), int(rng.integers(0, 5)))
    if text in NEAR and form.fields['w'] == 32 and i.seg == 3 and form.fields['src_kind'] == REG and i.src != 4:
        return Chunk(mov(i.src, 0) + code, (1, 4, False), int(rng.integers(0, 5)))
    if text == 'RET_NEAR' and form.fields['w'] == 32: return Chunk(mov(4, STACK_TOP) + b'\x68\0\0\0\0' + code, (6, 4, False), int(rng.integers(0, 5)))
    if text in NEAR or text == 'RET_NEAR': return chunk(rng, any_of(rng, ORDINARY), rewriting)
    if size and odds(2) and text not in ('ENTER', 'AAM', 'AAD'): code = code[:-size] + value(rng).to_bytes(4, 'little')[:size]
    if text == 'AAM': code = code[:-1] + bytes([int(rng.integers(1, 256))])
    if text == 'ENTER': code = code[:-3] + bytes([int(rng.integers(64)), 0, int(rng.integers(4))])
    i = decode_bytes(code.ljust(16, b'\0'), 1)
    if MEM in (form.fields.get('dst_kind'), form.fields.get('src_kind')):
        if (i.amask == 0xffff or i.seg == 1 or text == 'BOUND') and not odds(30): return chunk(rng, any_of(rng, ORDINARY), rewriting)
        linear = spot(rng) if odds(40) else WINDOW + int(rng.integers(0, 440))
        if rewriting and odds(6): linear = HOME + int(rng.integers(400))
        if (form.fields.get('w') == 128 or text[:2] == 'FX') and not odds(30): linear &= -16
        if i.base == i.index == 8: code = absolute(i, code, linear)
        else: before += pointers(rng, i, linear)
    if text in STRINGS or text == 'XLAT':
        if i.amask == 0xffff: return chunk(rng, form, rewriting)
        before += mov(6, WINDOW + int(rng.integers(480))) + mov(7, WINDOW + int(rng.integers(480))) + mov(3, WINDOW) + mov(1, int(rng.integers(0, 20)))
    if text == 'MOV_TO_SEG':  # FS and GS take what they like; ES stays flat, or not
        if i.dst not in (0, 4, 5) or form.fields['src_kind'] != REG: return chunk(rng, any_of(rng, ORDINARY), rewriting)
        before = mov(i.src, DATA32 if i.dst == 0 and not odds(20) else int(rng.choice([DATA32, DATA32, DATA32, DATA16, 0x1f])))
    if text in ('DIV', 'IDIV') and not odds(20): before = mov(2, 0) + mov(0, int(rng.integers(100))) + before
    if text[:2] == 'BT' and form.fields.get('src_kind') == REG: before += mov(i.src, int(rng.integers(-100, 100)))
    if text == 'LEAVE' and not odds(10): before = mov(5, STACK_TOP)
    if text == 'POPF': before = mov(4, STACK_TOP) + b'\x68' + struct.pack('<I', value(rng) & 0xcd5 | 2)
    if text in CONTROLS and not odds(3): return Chunk(b'\xd9\x2d' + struct.pack('<I', COUNTER + 8))  # fldcw of a masked one
    if text == 'LDMXCSR' and not odds(20): return Chunk(b'\x0f\xae\x15' + struct.pack('<I', LIKELY))
    if form.fields.get('dst_kind') == REG and i.dst == 4 or text in ('LEAVE', 'ENTER', 'POPA', 'XCHG', 'XADD'): behind = mov(4, STACK_TOP + int(rng.integers(-40, 40)))
    return Chunk(before + code + behind)


def mov16(n: int, v: int) -> bytes:
    """mov r32, v in 16-bit code"""
    return b'\x66' + mov(n, v)


def far_chunk(rng: Generator) -> Chunk:
    """A far JMP, CALL or RET to another chunk, or a segment register loaded, as real and virtual-8086 mode do it."""
    selector, skip = struct.pack('<H', LOW_CODE >> 4), int(rng.integers(0, 5))
    data = struct.pack('<H', int(rng.choice(PARAGRAPHS)))
    pop = any_of(rng, (b'\x07', b'\x1f', b'\x0f\xa1', b'\x0f\xa9'))
    stack = mov16(4, STACK_TOP - BASE16)
    match rng.integers(6):
        case 0: return Chunk(b'\xea\0\0' + selector, (1, 2, False), skip)
        case 1: return Chunk(b'\x9a\0\0' + selector + stack, (1, 2, False), skip)
        case 2: return Chunk(stack + b'\x68' + selector + b'\x68\0\0\xcb', (len(stack) + 4, 2, False), skip)
        case 3: return Chunk(stack + b'\x68' + data + pop)
        case 4: return Chunk(stack + b'\x68' + data + b'\x68\x44\x44\x89\xe3\x36' + any_of(rng, (b'\xc4', b'\xc5', b'\x0f\xb4')) + b'\x0f')  # mov bx, sp; les cx, ss:[bx]
        case _: return Chunk(b'\x68' + struct.pack('<H', LOW_DATA >> 4) + pop)


def chunk16(rng: Generator, form: Form, mode: str) -> Chunk:
    """The same in 16-bit code: registers and operands as single cases have them (cases.py)."""
    odds = lambda n: not rng.integers(n)  # noqa: E731
    known = [code for code32, code in encodings()[form.name] if not code32]
    d = draft(rng, form, 0, known[rng.integers(len(known))])
    d.seg, d.data = [DATA16, CODE16, DATA16, DATA16, 0, 0], BASE16
    text, i, size = form.text, d.i, immediate_size(d.code, 0)
    behind = mov16(4, STACK_TOP - BASE16 + int(rng.integers(-40, 40))) if text in ('CALL_REL', 'LEAVE', 'ENTER', 'POPA', 'XCHG', 'XADD') or odds(8) else b''
    if text in RELATIVE:
        if form.fields['w'] == 32 and text != 'JCXZ' and not odds(20): return chunk16(rng, any_of(rng, ORDINARY16), mode)
        before = mov16(1, int(rng.integers(3))) if text in ('LOOP', 'LOOPCC', 'JCXZ') else b''
        return Chunk(before + d.code + behind, (len(before + d.code) - size, size, True), int(rng.integers(0, 5)))
    if text in NEAR and form.fields['w'] == 16 and i.seg == 3 and form.fields['src_kind'] == REG and i.src != 4:
        return Chunk(mov16(i.src, 0) + d.code, (2, 2, False), int(rng.integers(0, 5)))
    if text == 'RET_NEAR' and form.fields['w'] == 16: return Chunk(mov16(4, STACK_TOP - BASE16) + b'\x68\0\0' + d.code, (7, 2, False), int(rng.integers(0, 5)))
    if text in NEAR or text == 'RET_NEAR': return chunk16(rng, any_of(rng, ORDINARY16), mode)
    if text == 'AAM': d.code = d.code[:-1] + bytes([int(rng.integers(1, 256))])
    if text in PROTECTED_ONLY and mode != 'segments' and not odds(40): return chunk16(rng, any_of(rng, ORDINARY16), mode)
    if text in CONTROLS and not odds(3): return Chunk(b'\x36\xd9\x2e' + struct.pack('<H', COUNTER + 8 - BASE16))  # fldcw of a masked one
    if text == 'LDMXCSR' and not odds(20): return Chunk(b'\x36\x0f\xae\x16' + struct.pack('<H', LIKELY - BASE16))
    if text == 'MOV_TO_SEG' and (i.dst not in (0, 3, 4, 5) or form.fields['src_kind'] != REG): return chunk16(rng, any_of(rng, ORDINARY16), mode)
    before = list(d.reg)
    choose_registers(d)
    if text not in ('AAM', 'AAD'): choose_immediate(d)
    if MEM in (form.fields.get('dst_kind'), form.fields.get('src_kind')):
        if i.seg == 1 and mode != 'real' and not odds(30): return chunk16(rng, any_of(rng, ORDINARY16), mode)
        if odds(40): choose_memory(d)
        else: point(d, WINDOW + int(rng.integers(0, 27)) * 16 + (0 if form.fields.get('w') == 128 or odds(2) else int(rng.integers(16))))
    if i.seg not in (1, 2) and odds(40):  # round the end of 64 KB
        for n in {i.base, i.index, 6, 7} - {4, 8}: d.reg[n] = int(rng.integers(-8, 8)) & 0xffff
    if text in ('DIV', 'IDIV') and not odds(20): d.reg[0], d.reg[2] = int(rng.integers(100)), 0
    if text == 'MOV_TO_SEG': d.reg[i.src] = int(rng.choice([*SEGMENTS16, 0] if mode == 'segments' else PARAGRAPHS))
    used = {i.base, i.index} - {4} if MEM in (form.fields.get('dst_kind'), form.fields.get('src_kind')) else set()
    setting = b''.join(mov16(n, v) for n, v in enumerate(d.reg) if v != before[n] or n in used)
    if text == 'LEAVE' and not odds(10): setting += mov16(5, STACK_TOP - BASE16)
    if text == 'POPF': setting += mov16(4, STACK_TOP - BASE16) + b'\x66\x68' + struct.pack('<I', value(rng) & 0xcd5 | 2)
    if form.fields.get('dst_kind') == REG and i.dst == 4: behind = mov16(4, STACK_TOP - BASE16 + int(rng.integers(-40, 40)))
    return Chunk(setting + d.code + behind)


def program16(seed: int, mode: str) -> Program:
    """A program like those of `program`, in 16-bit code."""
    rng = np.random.default_rng([seed, MODES.index(mode) + 2])
    mine = [form for form in ORDINARY16 if form.text[0] != 'F'] if rng.integers(3) else ORDINARY16
    texts = sorted({form.text for form in mine})
    if rng.integers(2): texts = [texts[n] for n in rng.integers(len(texts), size=8)]
    by_text = {text: [form for form in mine if form.text == text] for text in texts}
    chunks = []
    for _ in range(int(rng.integers(15, 40))):
        chunks.append(chunk16(rng, any_of(rng, by_text[any_of(rng, texts)]), mode))
        if not rng.integers(4): chunks.append(chunk16(rng, any_of(rng, JUMPS16), mode))
        if mode != 'segments' and not rng.integers(4): chunks.append(far_chunk(rng))
    reg = [value(rng) for _ in range(8)]
    reg[4], reg[5] = STACK_TOP - BASE16, STACK_TOP + 64 - BASE16
    budgets = tuple(int(rng.integers(1, 60)) if rng.integers(2) else int(rng.integers(1, 400)) for _ in range(400)) if rng.integers(2) else (4000,)
    data = [any_of(rng, SEGMENTS16) for _ in range(4)]
    return Program(tuple(chunks), tuple(reg), value(rng) & 0x8d5 | 0x202, fpu_image(rng), xmm(rng), (mxcsr(rng), mxcsr(rng)), rng.bytes(512), budgets, mode,
                   (data[0], CODE16, DATA16, *data[1:]))


def program(seed: int, rewriting: bool = False) -> Program:
    """A program of 20 to 50 instructions and what they need; rewriting: some of them store into the program."""
    rng = np.random.default_rng([seed, int(rewriting)])
    plain = [form for form in ORDINARY if form.text[0] != 'F']
    mine = [plain if rng.integers(4) else ORDINARY, ORDINARY, plain][rng.integers(3)]
    texts = sorted({form.text for form in mine})
    if rng.integers(2): texts = [texts[n] for n in rng.integers(len(texts), size=8)]  # a few kinds, again and again
    by_text = {text: [form for form in mine if form.text == text] for text in texts}
    chunks = []
    for _ in range(int(rng.integers(20, 51))):
        forms = by_text[any_of(rng, texts)]
        chunks.append(chunk(rng, any_of(rng, forms), rewriting))
        if not rng.integers(4): chunks.append(chunk(rng, any_of(rng, JUMPS)))
    mem = bytearray(rng.bytes(512))
    for at in range(0, 480, 16):
        kind = rng.integers(5)
        if kind < 2: mem[at:at + 8] = number(rng, 64)
        elif kind < 4: mem[at:at + 16] = simd(rng, 32 * int(kind) - 32)
    reg = [value(rng) for _ in range(8)]
    reg[4], reg[5] = STACK_TOP, STACK_TOP + 64
    budgets = tuple(int(rng.integers(1, 60)) if rng.integers(2) else int(rng.integers(1, 400)) for _ in range(400)) if rng.integers(2) else (4000,)
    return Program(tuple(chunks), tuple(reg), value(rng) & 0x8d5 | 0x202, fpu_image(rng), xmm(rng), (mxcsr(rng), mxcsr(rng)), bytes(mem), budgets)


LOW = {at: bytes(4096) for at in range(0, TABLES, 4096)} | {REAL_HANDLERS: (b'\xf4' * 0x400 + REAL_VECTORS).ljust(4096, b'\0')}  # memory below the tables


# --- running ------------------------------------------------------------------------------------------------------------------------

def load(g: Guest, p: Program) -> None:
    """Puts a program into a machine whose tables user_mode has made."""
    case = blank(1)[0]
    case['reg'], case['eflags'], case['eip'], case['code_at'] = p.reg, p.eflags, HOME, HOME
    case['fpu'] = np.frombuffer(p.fpu, np.uint8)
    case['mem'], case['xmm'], case['mxcsr'] = np.frombuffer(p.mem, np.uint8), np.frombuffer(p.xmm, np.uint8), p.mxcsr[0]
    for n in range(6): g.m.base[n] = g.m.limit[n] = g.m.access[n] = 0  # a null selector leaves them
    if p.mode != 'flat': case['seg'], case['eip'] = p.seg, HOME - CODE
    g.m.cr0, g.m.idt_base, g.m.idt_limit = PROTECTED
    for at in range(0, TABLES, 4096):  # where other programs' stores of real mode may have gone
        if at not in (CODE, CODE + 4096) and g.memory.ram[at:at + 4096] != LOW[at]: g.memory.write(at, LOW[at])
    for a in LOW_PAGES: g.memory.write(PAGE_TABLE + (a >> 12) * 4, struct.pack('<I', a | 0x67))
    g.load(case)
    if p.mode in ('real', 'v86'): unreal(g, p.mode)
    g.memory.write(STACK, bytes(4096))
    low = p.mode in ('real', 'v86')
    g.memory.write(HOME - CODE + LOW_CODE if low else HOME, p.code())
    g.memory.write(COUNTER - BASE16 + LOW_DATA if low else COUNTER, struct.pack('<IIHHI', ROUNDS, 0, 0x37f, 0, p.mxcsr[1]))
    g.m.fpu_control = 0x37f
    g.m.dr[6] = 0xffff0ff0  # single-step traps of the program before have left their bit
    for n in range(8):
        if n != 6: g.m.dr[n] = 0
    g.m.retired = 0
    g.cpu.flush()


def unreal(g: Guest, mode: str) -> None:
    """Real or virtual-8086 mode: the program moves below 1 MB."""
    m = g.m
    g.memory.write(WINDOW - BASE16 + LOW_DATA, g.memory.read(WINDOW, 512))
    for a in (0, 4096): g.memory.write(LOW_CODE + a, b'\xcc' * 4096)
    for n in range(6):
        m.base[n] = LOW_CODE if n == CS else LOW_DATA
        m.selector[n], m.limit[n], m.access[n] = m.base[n] >> 4, 0xffff, 0xf3 if mode == 'v86' else 0x93
        set_reach(m, n)
    if mode == 'real':
        m.cr0, m.cpl, m.idt_base, m.idt_limit = 0x30, 0, REAL_HANDLERS + 0x400, 0x3ff
    else: m.eflags |= VM | 0x3000
    update_mode(m)


def run(g: Guest, p: Program) -> Iterable[dict[str, Any]]:
    """Runs a program; what is seen after each slice, and memory at the end."""
    load(g, p)
    for budget in p.budgets:
        while budget and not g.m.halted and not g.m.shutdown: budget -= g.cpu.run(budget)  # a slice may end early
        yield architecture(g.m)
        if g.m.halted or g.m.shutdown: break
    yield {'memory': bytes(g.memory.ram)}


def disagreement(guests: list[Guest], p: Program) -> str:
    """How the first engine that differs from the first one does, '' where none does."""
    runs = [run(g, p) for g in guests]
    for n, states in enumerate(zip(*runs, strict=True)):
        for g, state in zip(guests[1:], states[1:]):
            if state != states[0]:
                if 'memory' in state:
                    a, b = (np.frombuffer(s['memory'], np.uint8) for s in (states[0], state))
                    return f'{g.cpu.engine}: memory at {", ".join(f"{at:X}" for at in np.flatnonzero(a != b)[:8])}'
                return f'{g.cpu.engine}: slice {n}: {"; ".join(differences(states[0], state))}'
    return ''


def reduce(p: Program, wrong: Callable[[Program], str]) -> Program:
    """The program with all chunks left out that are not needed for it to be wrong."""
    n = len(p.chunks)
    while n >= 1:
        at = 0
        while at < len(p.chunks):
            less = replace(p, chunks=p.chunks[:at] + p.chunks[at + n:])
            if wrong(less): p = less
            else: at += n
        n //= 2
    for budgets in ((4000,), (1,) * 400, p.budgets):
        less = replace(p, budgets=budgets)
        if wrong(less): return less
    return p
