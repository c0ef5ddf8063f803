"""Makes cases for the host oracle: encodings of every form, found by decoding systematic byte strings, and operands that matter.

A memory operand is pointed into the oracle's window (often at the page boundary in its middle, now and then out of it), stack and string pointers too;
values are drawn from the edges; segments are now and then those of the LDT.
"""
import struct
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator

from emu.decoder.decode import Instruction, decode_bytes
from emu.decoder.table import FORMS, OPCODES, PAGES, PLAIN, Form
from emu.isa.operands import MEM, MM, REG, XMM
from tests.floats import fpu_image, mxcsr, number, simd
from tests.oracle.host import BASE16, CODE, CODE16, CODE32, DATA16, DATA32, SELECTORS, WINDOW, blank, set_code

NUMBER = {form.name: n for n, form in enumerate(FORMS)}
EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]
PREFIXES = b'\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3'
NOT_ALIKE = set('TOO_LONG SYSENTER SYSEXIT RDTSC RDPMC CPUID SGDT SIDT SLDT STR SMSW INT1'.split())  # the host forbids, emulates or lacks them
#   (INT1: a hypervisor in between pushes the instruction's own address)
STRINGS = 'MOVS CMPS SCAS LODS STOS INS OUTS'.split()
SELECTING = 'MOV_TO_SEG LAR LSL VERR VERW ARPL'.split()  # the source is a selector
RELATIVE = 'JCC JCXZ LOOP LOOPCC CALL_REL JMP_REL'.split()
NEAR, FAR = ('CALL_NEAR', 'JMP_NEAR'), ('CALL_FAR_M', 'JMP_FAR_M', 'LOAD_FAR')
STACK_TOP = WINDOW + 300
POINTERS = WINDOW + 480  # where FNSTENV puts the x87 pointers, for they do not come with the signal frame


# --- encodings ----------------------------------------------------------------------------------------------------------------------

def rms(opcode: bytes) -> list[int]:
    """The ModRM bytes (or immediates) tried: each group's members with several kinds of addresses; every register form of x87."""
    if all(OPCODES[opcode[-1] + page] & 7 == PLAIN for page in ([0] if len(opcode) == 1 else PAGES.values())): return list(range(8))
    kinds = [0x00, 0x04, 0x05, 0x06, 0x42, 0x84, 0xc1, 0xc4, 0xc7]
    if 0xd8 <= opcode[0] <= 0xdf: kinds = [0x00, 0x05, 0x44, *range(0xc0, 0xc8)]
    return [kind | reg << 3 for reg in range(8) for kind in kinds]


def alike(form: Form, prefix: bytes, opcode: bytes) -> bool:
    """Whether the host has the same instruction there: it has others in our invalid opcodes, and under F2 and F3 after 0F; AMD's LOOPcc obeys REP."""
    if (opcode[0], form.text) in ((0xd9, 'FSTP'), (0xdb, 'FNOP')): return False  # a variant without underflow; three that leave the pointers
    if form.text == 'LOOPCC' and prefix in (b'\xf2', b'\xf3'): return False
    if form.text == 'UD': return opcode == b'\x0f\x0b' or prefix == b'\xf0' and opcode not in (b'\x0f\x20', b'\x0f\x22')
    if 'needs' in form.fields: return True
    return form.text not in NOT_ALIKE and not (opcode[0] == 0x0f and prefix in (b'\xf2', b'\xf3')) and form.name != 'BSWAP_16_R'


@cache
def encodings(everything: bool = False) -> dict[str, list[tuple[int, bytes]]]:
    """Form name -> (CS.D, bytes) of instructions of that form; only what the host has too, or everything."""
    rng = np.random.default_rng(2)
    found: dict[str, list[tuple[int, bytes]]] = {form.name: [] for form in FORMS}
    for opcode in [bytes([n]) for n in range(256) if n != 0x0f and n not in PREFIXES] + [bytes([0x0f, n]) for n in range(256)]:
        for n, rm in enumerate(rms(opcode)):
            for prefix in (b'', b'\x66', b'\x67', b'\xf3', b'\xf2', b'\xf0')[:3 if n % 4 and opcode[0] != 0x0f else 6]:
                for code32 in (1, 0) if n % 2 else (1,):
                    i = decode_bytes(data := prefix + opcode + bytes([rm]) + rng.bytes(12), code32)
                    if i is not None and (everything or alike(i.form, prefix, opcode)): found[i.form.name].append((code32, data[:i.len]))
    return found


# --- values -------------------------------------------------------------------------------------------------------------------------

def value(rng: Generator) -> int:
    """An edge case, a small number or anything."""
    kind = rng.integers(4)
    if kind == 0: return int(rng.choice(EDGES))
    if kind == 1: return int(rng.integers(-40, 40)) & 0xffffffff
    return int(rng.integers(1 << 32))


def window(rng: Generator, w: int, x87: bool) -> bytearray:
    """The window's 512 bytes: noise, edges, numbers."""
    mem = bytearray(rng.bytes(512))
    if rng.integers(2): mem[:] = np.where(rng.integers(2, size=128), rng.choice(EDGES, 128), rng.integers(1 << 32, size=128)).astype('<u4').tobytes()
    if x87 and rng.integers(4):
        for at in range(0, 480, 16): mem[at:at + w // 8] = number(rng, w)
    return mem


def spot(rng: Generator) -> int:
    """A linear address for an operand: in the window, at its page boundary, now and then where nothing or only reading is allowed."""
    kind = rng.integers(16)
    if kind < 4: return WINDOW + 256 - int(rng.integers(12))
    if kind == 4: return int(rng.choice([0x100, WINDOW + 0x1100 - int(rng.integers(12)), WINDOW + 0x2100 - int(rng.integers(12))]))
    return WINDOW + 16 + int(rng.integers(110)) * 4 + (int(rng.integers(4)) if rng.integers(2) else 0)


# --- one case -----------------------------------------------------------------------------------------------------------------------

@dataclass
class Draft:
    """A case in the making. `stack` and `data` are the bases of SS and of the other data segments; `home`: CS's own offset of the code."""
    rng: Generator
    form: Form
    code32: int
    code: bytes
    i: Instruction
    reg: list[int]
    seg: list[int]
    mem: bytearray
    stack: int
    data: int
    home: int

    def odds(self, n: int) -> bool:
        """True once in n times."""
        return not self.rng.integers(n)

    def near(self) -> int:
        """An offset to jump to."""
        return self.home + int(self.rng.integers(16, 64)) * (1 if self.odds(2) else -1)

    def far(self) -> tuple[int, int]:
        """An offset to jump to and a selector, mostly of the same code."""
        selector = self.seg[1] if self.odds(2) else self.selector()
        return (0x800 if selector == CODE16 else self.home) + self.near() - self.home, selector

    def selector(self) -> int:
        """Any selector, good or bad."""
        return int(self.rng.choice(SELECTORS))

    def kinds(self, kind: int) -> bool:
        """Whether an operand is of this kind."""
        return kind in (self.form.fields.get('dst_kind'), self.form.fields.get('src_kind'))

    def tail(self, values: list[int], sizes: list[int]) -> None:
        """Replaces the last bytes of the instruction: its immediates."""
        data = b''.join((v & (1 << 8 * n) - 1).to_bytes(n, 'little') for v, n in zip(values, sizes, strict=True))
        self.code = self.code[:len(self.code) - len(data)] + data


@cache
def decoded(code: bytes, code32: int) -> Instruction:
    """An encoding's instruction."""
    i = decode_bytes(code.ljust(16, b'\0'), code32)
    assert i
    return i


def start(rng: Generator) -> int:
    """Where in the code pages the case begins: mostly in the middle of the first, else at the end of one, so that it goes on in the next, or in none."""
    kind = rng.integers(16)
    return 0x1000 - int(rng.integers(1, 8)) if kind < 2 else 0x2000 - int(rng.integers(1, 8)) if kind == 2 else 0x800


def draft(rng: Generator, form: Form, code32: int, code: bytes) -> Draft:
    """Random registers and memory, segments of the mode, stack and frame pointers in the window."""
    i = decoded(code, code32)
    base, seg = (0, [DATA32, CODE32, DATA32, DATA32, 0, 0]) if code32 else (BASE16, [DATA16, CODE16, DATA16, DATA16, 0, 0])
    d = Draft(rng, form, code32, code, i, [value(rng) for _ in range(8)], seg, window(rng, form.fields.get('w', 32), form.text[0] == 'F' and form.text[:2] != 'FX'), base, base,
              start(rng) + (CODE if code32 else 0))
    if d.odds(8) or code32 and i.amask == 0xffff:  # DS, ES, FS, GS of the LDT
        for n in (0, 3, 4, 5): seg[n] = int(rng.choice([DATA16, 0x1f, 0x27, 0x2f, 0x4f, CODE16])) if rng.integers(2) else DATA16
        d.data = BASE16
    d.reg[4] = STACK_TOP + int(rng.integers(-8, 8)) * (1 if d.odds(4) else 4) - base
    d.reg[5] = STACK_TOP + 64 - base
    if not code32:
        for n in (4, 5): d.reg[n] |= value(rng) & 0xffff0000
    return d


def choose_registers(d: Draft) -> None:
    """Registers that an instruction reads without naming them."""
    rng, reg, text, i = d.rng, d.reg, d.form.text, d.i
    if text in STRINGS:  # INS and OUTS with a count of 0: AMD checks the port nevertheless
        reg[1] = int(rng.integers(text in ('INS', 'OUTS'), 300 if d.odds(8) else 12)) | (0 if i.amask > 0xffff else value(rng) & 0xffff0000)
        reg[6], reg[7] = spot(rng) - d.data, spot(rng) - (0 if d.seg[0] == DATA32 else BASE16)
    elif text == 'XLAT': reg[3] = WINDOW + 8 - d.data
    elif text in ('DIV', 'IDIV') and d.odds(2): reg[2] = int(rng.choice([0, 1, 0xffffffff]))
    elif text[:2] == 'BT' and d.kinds(MEM) and d.kinds(REG) and not d.odds(8): reg[i.src] = int(rng.integers(-200, 200)) & 0xffffffff
    elif text in ('LOOP', 'LOOPCC', 'JCXZ'): reg[1] = int(rng.integers(3)) | int(rng.integers(2)) << 16
    elif text == 'CMPXCHG' and d.kinds(REG) and d.odds(2): reg[0] = reg[i.dst]
    elif text in NEAR: reg[i.src] = d.near()
    elif text in SELECTING and d.form.fields['src_kind'] == REG: reg[i.src] = d.selector() | value(rng) & 0xffff0000


def choose_stack(d: Draft) -> None:
    """What RET, IRET and POP find on the stack."""
    if d.form.text not in ('RET_NEAR', 'RET_FAR', 'IRET', 'POP_SEG'): return
    size = d.form.fields['w'] >> 3
    items = [d.near(), 0, value(d.rng) & 0xcd5 | 0x202]
    if d.form.text in ('RET_FAR', 'IRET'): items[:2] = d.far()
    if d.form.text == 'POP_SEG': items[0] = d.selector()
    if d.form.text == 'RET_FAR': items += [STACK_TOP, d.selector()]
    at = (d.reg[4] + d.stack - WINDOW) & 0xffff
    for n, item in enumerate(items): d.mem[at + n * size:at + (n + 1) * size] = (item & (1 << 8 * size) - 1).to_bytes(size, 'little')


@cache
def immediate_size(code: bytes, code32: int) -> int:
    """How many of the last bytes are immediates: changing them changes nothing else."""
    def parts(data: bytes) -> tuple[object, ...]:
        i = decode_bytes(data.ljust(16, b'\0'), code32)
        return (i.form.name, i.len, i.disp, i.base, i.index, i.scale, i.dst, i.src), (i.imm, i.imm2)
    size, (same, values) = 0, parts(code)
    while size < len(code):
        changed = bytearray(code)
        changed[-1 - size] ^= 0x55
        now = parts(bytes(changed))
        if now[0] != same or now[1] == values: break
        size += 1
    return size


def choose_immediate(d: Draft) -> None:
    """Immediates: edges for most, near targets for jumps."""
    size, text = immediate_size(d.code, d.code32), d.form.text
    if size == 0: return
    if text == 'INT': d.tail([int(d.rng.choice([3, 4, 0x21, 0x81]))], [1])
    elif text in ('CALL_FAR', 'JMP_FAR'):
        offset, selector = d.far()
        d.tail([offset, selector], [size - 2, 2])
    elif text == 'ENTER': d.tail([int(d.rng.integers(64)), int(d.rng.integers(4))], [2, 1])
    elif text in RELATIVE: d.tail([d.near() - d.home], [size])
    elif text[:3] == 'RET': d.tail([int(d.rng.integers(64))], [size])
    elif d.odds(2): d.tail([value(d.rng)], [size])


def point(d: Draft, linear: int) -> None:
    """Makes the memory operand's address come to `linear`, by its base, its index or its displacement."""
    i, reg = d.i, d.reg
    want = (linear - (d.stack if i.seg == 2 else d.data)) & i.amask
    place = lambda n, v: (reg[n] & ~i.amask & 0xffffffff) | (v & i.amask)  # noqa: E731
    if i.index == 8 and i.base == 8:
        size = 4 if i.amask > 0xffff else 2
        at = d.code.rfind((i.disp & i.amask).to_bytes(size, 'little'))
        d.code = d.code[:at] + want.to_bytes(size, 'little') + d.code[at + size:]
    elif i.base == 8: reg[i.index] = place(i.index, ((want - i.disp) & i.amask) >> i.scale)
    elif i.base == i.index: reg[i.base] = place(i.base, ((want - i.disp) & i.amask) // (1 + (1 << i.scale)))
    else: reg[i.base] = place(i.base, want - i.disp - (reg[i.index] << i.scale if i.index < 8 else 0))


def choose_memory(d: Draft) -> None:
    """The memory operand: where, and for some instructions what is there."""
    if not d.kinds(MEM): return
    text, w = d.form.text, d.form.fields.get('w', 32)
    linear = spot(d.rng)
    if w == 128 and d.odds(8) or text[:2] == 'FX': linear &= -16
    elif w == 128 and not d.odds(8): linear &= -16
    point(d, linear)
    there = b''
    if text in NEAR: there = d.near().to_bytes(4, 'little')[:w >> 3]
    elif text in FAR:
        offset, selector = d.far()
        there = offset.to_bytes(4, 'little')[:w >> 3] + selector.to_bytes(2, 'little')
    elif text in SELECTING: there = d.selector().to_bytes(2, 'little')
    elif text == 'CMPXCHG8B' and d.odds(2): there = struct.pack('<II', d.reg[0], d.reg[2])
    elif text == 'FRSTOR' or text == 'FLDENV' and not d.odds(4): there = fpu_image(d.rng) if w == 32 else b''
    elif text == 'LDMXCSR': there = struct.pack('<I', mxcsr(d.rng) | (0x10000 if d.odds(16) else 0))
    elif text == 'FXRSTOR': there = b''
    elif w == 128 or 'lane' in d.form.fields or text[:3] == 'CVT': there = simd(d.rng, 32 if d.form.fields.get('lane') == 32 or text[3:5] in ('PS', 'SS') or d.odds(4) else 64)
    at = linear - WINDOW
    if 0 <= at < 480: d.mem[at:at + len(there)] = there[:512 - at]


def fill(case: np.void, d: Draft) -> None:
    """The draft becomes a record."""
    if d.form.text[0] == 'F' and d.form.text[:2] != 'FX':
        case['fpu'] = np.frombuffer(fpu_image(d.rng), np.uint8)
        if d.code32: d.code += (b'\x9b' if d.odds(4) else b'') + b'\x36\xd9\x35' + struct.pack('<I', POINTERS)
    if 'needs' in d.form.fields or d.form.text in ('FXSAVE', 'FXRSTOR', 'LDMXCSR', 'STMXCSR', 'EMMS'):
        lane = 64 if d.form.fields.get('lane') == 64 or 'PD2' in d.form.text or 'SD2' in d.form.text or d.form.fields.get('w') == 64 else 32
        case['xmm'] = np.frombuffer(b''.join(simd(d.rng, lane) if d.rng.integers(4) else d.rng.bytes(16) for _ in range(8)), np.uint8)
        case['mxcsr'] = mxcsr(d.rng)
        if {MM, XMM} & set(d.form.fields.values()) and d.form.fields['needs'] < 8 or d.odds(2):
            case['fpu'] = np.frombuffer(fpu_image(d.rng), np.uint8)
            if d.form.text[:2] == 'PS' and d.kinds(MM) and not d.odds(4):  # counts of shifts
                image = case['fpu'].copy()
                for n in range(8): image[28 + 10 * n:36 + 10 * n] = np.frombuffer(int(d.rng.integers(70)).to_bytes(8, 'little'), np.uint8)
                case['fpu'] = image
        if d.form.text[:2] == 'PS' and d.kinds(XMM) and d.i.src != d.i.dst and not d.odds(3):
            xmm = case['xmm'].copy()
            xmm[16 * d.i.src:16 * d.i.src + 8] = np.frombuffer(int(d.rng.integers(70)).to_bytes(8, 'little'), np.uint8)
            case['xmm'] = xmm
        if d.form.text == 'MASKMOV': d.reg[7] = spot(d.rng) - d.data
    at = CODE + (d.home & 0xffff)
    set_code(case, d.code[:CODE + 0x2000 - at])
    case['eip'], case['code_at'] = d.home, at
    case['reg'], case['seg'] = [r & 0xffffffff for r in d.reg], d.seg
    case['eflags'] = value(d.rng) & 0x8d5 | 0x202 | (0x400 if d.odds(4) else 0) | (0x100 if d.odds(16) else 0)
    case['mem'] = np.frombuffer(bytes(d.mem), np.uint8)
    case['tag'] = NUMBER[d.form.name]


def cases(form: Form, n: int, seed: int, everything: bool = False, sizes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    """n cases of a form; everything: of all its encodings; sizes: the CS.D that may be (none is made where the form has no such encoding)."""
    rng = np.random.default_rng([seed, NUMBER[form.name]])
    known = [encoding for encoding in encodings(everything)[form.name] if encoding[0] in sizes]
    batch = blank(n if known else 0)
    for case in batch:
        d = draft(rng, form, *known[rng.integers(len(known))])
        choose_registers(d)
        choose_stack(d)
        choose_immediate(d)
        choose_memory(d)
        fill(case, d)
    return batch
