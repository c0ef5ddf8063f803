"""Random programs of user-mode instructions, and what two engines may not differ in: every architectural field of State, and all of memory.

A program is a list of chunks: an instruction of a random form with what makes it likely to do something (pointers into the window, a sane divisor), in a loop of
three rounds. Relative jumps lead forward, to another chunk. Chunks can be left out, so a program that shows a difference can be made smaller (`reduce`).
"""
import struct
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Sequence, TypeVar

import numpy as np
from numpy.random import Generator

from emu.decoder.decode import decode_bytes
from emu.decoder.table import FORMS, Form
from emu.isa.flags import eflags_image
from emu.isa.operands import MEM, REG
from emu.isa.state import State
from tests.cases import NEAR, RELATIVE, STACK_TOP, STRINGS, encodings, immediate_size, spot, value
from tests.floats import fpu_image, number
from tests.harness import STACK, Guest
from tests.oracle.host import CODE, DATA, DATA16, DATA32, WINDOW, blank

T = TypeVar('T')
HOME = CODE + 0xf00  # programs begin here and go on in the next page
COUNTER = DATA + 0x40
ROUNDS = 3
ENDING = set('CALL_FAR CALL_FAR_M JMP_FAR JMP_FAR_M RET_FAR IRET INT INT1 INT3 INTO UD TOO_LONG HLT CLI STI IN OUT INS OUTS LLDT LTR LGDT LIDT LMSW INVLPG CLTS INVD WBINVD '
             'MOV_FROM_CR MOV_FROM_DR MOV_TO_CR MOV_TO_DR WRMSR RDMSR RDPMC SYSENTER SYSEXIT POP_SEG LOAD_FAR'.split())  # they fault, or lead out of the program
CONTROLS = ('FLDENV', 'FRSTOR', 'FLDCW')  # they may unmask x87 exceptions
FIELDS = ('eip cr0 cr2 cr3 cr4 gdt_base gdt_limit idt_base idt_limit cpl user protected vm86 code32 stack_mask halted shutdown retired sysenter_cs sysenter_esp sysenter_eip '
          'fpu_control fpu_status fpu_top fpu_empty fpu_ip fpu_cs fpu_dp fpu_ds fpu_opcode a20 nmi irq').split()
ARRAYS = {'reg': 9, 'selector': 8, 'base': 8, 'limit': 8, 'access': 8, 'reach': 8, 'dr': 8, 'pdpte': 4, 'fpu_mantissa': 8, 'fpu_exponent': 8}
ORDINARY = [form for form in FORMS if form.text not in ENDING and any(code32 for code32, _ in encodings()[form.name])]
JUMPS = [form for form in ORDINARY if form.text in ('JCC', 'JMP_REL', 'LOOP', 'JCXZ') and form.fields['w'] == 32]


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
    """Chunks, registers, flags, FPU and the window to begin with, budgets of the slices it runs in."""

    chunks: tuple[Chunk, ...]
    reg: tuple[int, ...]
    eflags: int
    fpu: bytes
    mem: bytes
    budgets: tuple[int, ...]

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
                v = target - places[n + 1] if relative else HOME + target
                out[places[n] + offset:places[n] + offset + size] = (v & (1 << 8 * size) - 1).to_bytes(size, 'little')
        out += b'\xff\x0d' + struct.pack('<I', COUNTER) + b'\x0f\x85'  # dec dword [counter]; jnz
        return bytes(out + struct.pack('<i', -len(out) - 4) + b'\xcc')


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
    if form.fields.get('dst_kind') == REG and i.dst == 4 or text in ('LEAVE', 'ENTER', 'POPA', 'XCHG', 'XADD'): behind = mov(4, STACK_TOP + int(rng.integers(-40, 40)))
    return Chunk(before + code + behind)


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
        if rng.integers(2): mem[at:at + 8] = number(rng, 64)
    reg = [value(rng) for _ in range(8)]
    reg[4], reg[5] = STACK_TOP, STACK_TOP + 64
    budgets = tuple(int(rng.integers(1, 60)) if rng.integers(2) else int(rng.integers(1, 400)) for _ in range(400)) if rng.integers(2) else (4000,)
    return Program(tuple(chunks), tuple(reg), value(rng) & 0x8d5 | 0x202, fpu_image(rng), bytes(mem), budgets)


# --- running ------------------------------------------------------------------------------------------------------------------------

def load(g: Guest, p: Program) -> None:
    """Puts a program into a machine whose tables user_mode has made."""
    case = blank(1)[0]
    case['reg'], case['eflags'], case['eip'], case['code_at'] = p.reg, p.eflags, HOME, HOME
    case['fpu'] = np.frombuffer(p.fpu, np.uint8)
    case['mem'] = np.frombuffer(p.mem, np.uint8)
    for n in range(6): g.m.base[n] = g.m.limit[n] = g.m.access[n] = 0  # a null selector leaves them
    g.load(case)
    g.memory.write(STACK, bytes(4096))
    g.memory.write(HOME, p.code())
    g.memory.write(COUNTER, struct.pack('<IIH', ROUNDS, 0, 0x37f))
    g.m.fpu_control = 0x37f
    g.m.dr[6] = 0xffff0ff0  # single-step traps of the program before have left their bit
    for n in range(8):
        if n != 6: g.m.dr[n] = 0
    g.m.retired = 0
    g.cpu.flush()


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
            less = Program(p.chunks[:at] + p.chunks[at + n:], p.reg, p.eflags, p.fpu, p.mem, p.budgets)
            if wrong(less): p = less
            else: at += n
        n //= 2
    for budgets in ((4000,), (1,) * 400, p.budgets):
        less = Program(p.chunks, p.reg, p.eflags, p.fpu, p.mem, budgets)
        if wrong(less): return less
    return p
