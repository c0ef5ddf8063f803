"""Makes cases for the host oracle: encodings of every form, found by decoding systematic byte strings, and operands that matter.

A memory operand is pointed into the oracle's window (often at the page boundary in its middle, now and then out of it), stack and string pointers too;
values are drawn from the edges; segments are now and then those of the LDT.
"""
import struct
from functools import cache

import numpy as np

from emu.decoder.decode import Instruction, decode_bytes
from emu.decoder.table import FORMS, Form
from emu.isa.operands import IMM, MEM, REG
from tests.oracle.host import BASE16, CODE, CODE16, CODE32, DATA16, DATA32, SELECTORS, WINDOW, blank, set_code

EDGES = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]
SYSTEM = set('''CLTS LGDT LIDT LLDT LTR LMSW MOV_CR MOV_DR INVD WBINVD INVLPG RDMSR WRMSR RSM SYSENTER SYSEXIT RDTSC RDPMC CPUID
    SGDT SIDT SLDT STR SMSW'''.split())  # not the same on the host, or not for us to run there; tests of their own
STACK_TOP = WINDOW + 300
POINTERS = WINDOW + 480  # where FNSTENV puts the x87 pointers, for they do not come with the signal frame
BRANCHES = ('J', 'CALL', 'LOOP')


@cache
def encodings() -> dict[str, list[tuple[int, bytes]]]:
    """Form name -> (CS.D, bytes) of instructions of that form, without their immediates' values."""
    rng = np.random.default_rng(2)
    found: dict[str, list[tuple[int, bytes]]] = {form.name: [] for form in FORMS}
    for opcode in [bytes([n]) for n in range(256) if n not in b'\x0f\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3'] + [bytes([0x0f, n]) for n in range(256)]:
        for rm in rms(opcode):
            for prefix in (b'', b'\x66', b'\x67', b'\xf3', b'\xf2', b'\xf0')[:3 if rm % 8 else 6]:
                for code32 in (1, 0):
                    data = prefix + opcode + bytes([rm]) + rng.integers(0, 256, 12, np.uint8).tobytes()
                    i = decode_bytes(data, code32)
                    if i is not None: found[i.form.name].append((code32, data[:i.len]))
    return found


def rms(opcode: bytes) -> list[int]:
    """The ModRM bytes (or immediates) tried: all registers of each group with the kinds of addresses; every register form of x87."""
    kinds = [0x00, 0x04, 0x05, 0x06, 0x42, 0x84, 0xc1, 0xc4, 0xc7]
    if 0xd8 <= opcode[0] <= 0xdf and len(opcode) == 1: kinds = [0x00, 0x05, 0x44, *range(0xc0, 0xc8)]
    return [kind | reg << 3 for reg in range(8) for kind in kinds]


def testable(form: Form) -> bool:
    """User mode's instructions that the host executes as we do."""
    return form.text not in SYSTEM and bool(encodings()[form.name])


def value(rng: np.random.Generator) -> int:
    """An edge case, a small number or anything."""
    kind = rng.integers(4)
    if kind == 0: return int(rng.choice(EDGES))
    if kind == 1: return int(rng.integers(-40, 40)) & 0xffffffff
    return int(rng.integers(1 << 32))


def floats(rng: np.random.Generator) -> bytes:
    """Ten bytes: an 80-bit number of some class, unsupported ones included (SDM 1, tables 4-3 and 8-3)."""
    sign = int(rng.integers(2)) << 15
    mantissa = int(rng.integers(1 << 63)) | 1 << 63
    kind = rng.integers(12)
    if kind == 0: mantissa, exponent = 0, 0
    elif kind == 1: mantissa, exponent = mantissa & ~(1 << 63), 0
    elif kind == 2: mantissa, exponent = 1 << 63, 0x7fff
    elif kind == 3: exponent = 0x7fff
    elif kind == 4: mantissa, exponent = mantissa & ~(1 << 62), 0x7fff
    elif kind == 5: mantissa, exponent = mantissa >> int(rng.integers(2)), int(rng.integers(0x8000))
    elif kind == 6: mantissa, exponent = 1 << 63, 0x3fff + int(rng.integers(-3, 4))
    elif kind == 7: mantissa, exponent = mantissa & ~0x7ff, 0x3fff + int(rng.integers(-1024, 1024))
    elif kind == 8: mantissa, exponent = mantissa & ~0xffffffffff | 1 << 63, 0x3fff + int(rng.integers(-150, 150))
    else: exponent = 0x3fff + int(rng.integers(-70, 70))
    return struct.pack('<QH', mantissa & (1 << 64) - 1, exponent | sign)


def fpu(rng: np.random.Generator) -> bytes:
    """An FNSAVE image: mostly full, mostly masked."""
    control = 0x37f if rng.integers(3) else int(rng.integers(16)) << 8 | 0x40 | (0x3f if rng.integers(4) else int(rng.integers(64)))
    status = int(rng.integers(8)) << 11 | (int(rng.integers(1 << 16)) & 0x4700 if rng.integers(2) else 0)
    tags = 0 if rng.integers(4) else sum(3 << 2 * n for n in range(8) if rng.integers(2))
    return struct.pack('<IIIIIII', 0xffff0000 | control, 0xffff0000 | status, 0xffff0000 | tags, 0, 0, 0, 0) + b''.join(floats(rng) for _ in range(8))


def memory(rng: np.random.Generator, w: int, x87: bool) -> bytearray:
    """512 bytes: noise, edges, numbers."""
    mem = bytearray(rng.integers(0, 256, 512, np.uint8).tobytes())
    if rng.integers(2):
        for at in range(0, 512, 4): struct.pack_into('<I', mem, at, value(rng))
    if x87 and rng.integers(4):
        for at in range(0, 480, 16):
            number = floats(rng)
            if w == 64: number = struct.pack('<Q', as_double(number))
            elif w == 32: number = struct.pack('<I', as_single(number))
            mem[at:at + len(number)] = number
    return mem


def as_double(number: bytes) -> int:
    """The same class and about the same value in 64 bits."""
    mantissa, exponent = struct.unpack('<QH', number)
    scaled = 0 if exponent & 0x7fff == 0 else 0x7ff if exponent & 0x7fff == 0x7fff else min(max((exponent & 0x7fff) - 0x3fff + 1023, 1), 0x7fe)
    return (exponent >> 15) << 63 | scaled << 52 | (mantissa >> 11 & (1 << 52) - 1)


def as_single(number: bytes) -> int:
    """The same class and about the same value in 32 bits."""
    mantissa, exponent = struct.unpack('<QH', number)
    scaled = 0 if exponent & 0x7fff == 0 else 0xff if exponent & 0x7fff == 0x7fff else min(max((exponent & 0x7fff) - 0x3fff + 127, 1), 0xfe)
    return (exponent >> 15) << 31 | scaled << 23 | (mantissa >> 40 & (1 << 23) - 1)


def target(rng: np.random.Generator) -> int:
    """A linear address for an operand: in the window, at its page boundary, now and then where nothing or only a read is allowed."""
    kind = rng.integers(16)
    if kind < 4: return WINDOW + 256 - int(rng.integers(12))
    if kind == 4: return int(rng.choice([0x100, WINDOW + 0x1100 - int(rng.integers(12)), WINDOW + 0x2100 - int(rng.integers(12))]))
    return WINDOW + int(rng.integers(16, 240)) * (4 if rng.integers(2) else 1) % 470


def point(i: Instruction, reg: list[int], code: bytes, linear: int, base: int, rng: np.random.Generator) -> bytes:
    """Makes the memory operand's address come to `linear`, by its base, its index or its displacement; the code."""
    want = (linear - base) & i.amask
    low = lambda n, v: (reg[n] & ~i.amask) | (v & i.amask)  # noqa: E731
    if i.index == 8 and i.base == 8:
        size = 4 if i.amask > 0xffff else 2
        at = code.rfind((i.disp & i.amask).to_bytes(size, 'little'))
        return code[:at] + want.to_bytes(size, 'little') + code[at + size:]
    if i.base == 8:
        reg[i.index] = low(i.index, (want - i.disp) & i.amask) >> i.scale
    elif i.base == i.index:
        reg[i.base] = low(i.base, (want - i.disp) // (1 + (1 << i.scale)))
    else:
        reg[i.base] = low(i.base, want - i.disp - (reg[i.index] << i.scale if i.index < 8 else 0))
    return code


def case_of(rng: np.random.Generator, out: np.void, form: Form, code32: int, code: bytes) -> None:
    """Fills in one case."""
    i = decode_bytes(code.ljust(16, b'\0'), code32)
    text, w = form.text, form.fields.get('w', 32)
    x87 = text.startswith('F')
    reg = [value(rng) for _ in range(8)]
    stack_base, data_base = (0, 0) if code32 else (BASE16, BASE16)
    seg = [DATA32, CODE32, DATA32, DATA32, 0, 0] if code32 else [DATA16, CODE16, DATA16, DATA16, 0, 0]
    if code32 and (rng.integers(8) == 0 or i.amask == 0xffff):
        seg[3], seg[0], seg[4], seg[5] = (int(rng.choice([DATA16, 0x1f, 0x27, 0x2f, 0x4f, CODE32])) if rng.integers(2) else DATA16 for _ in range(4))
        data_base = BASE16
    if i.seg == 2: data_base = stack_base
    mem = memory(rng, w, x87)
    reg[4] = STACK_TOP + int(rng.integers(-8, 8)) * (4 if rng.integers(4) else 1) - stack_base | (0 if code32 else int(rng.integers(1 << 16)) << 16)
    reg[5] = STACK_TOP + 64 - stack_base
    kinds = form.fields.get('dst_kind'), form.fields.get('src_kind')
    eip = CODE + 0x800 if code32 else 0x800
    if text in STRINGS:
        reg[1] = int(rng.integers(12)) if rng.integers(8) else int(rng.integers(300))
        reg[6], reg[7] = target(rng) - data_base, target(rng) - (BASE16 if seg[0] != DATA32 else 0)
        if not code32: reg[1] |= int(rng.integers(1 << 16)) << 16
    elif text == 'XLAT':
        reg[3] = WINDOW + 8 - data_base
    elif text in ('DIV', 'IDIV') and rng.integers(2):
        reg[2] = int(rng.choice([0, 1, 0xffffffff]))
    elif text.startswith('BT') and rng.integers(8):
        reg[i.src] = (int(rng.integers(-200, 200)) & 0xffffffff) if kinds[0] == MEM else reg[i.src]
    elif text.startswith('LOOP') or text.startswith('JCXZ'):
        reg[1] = int(rng.integers(3)) | (int(rng.integers(2)) << 16)
    if text in ('RET', 'RET_FAR', 'IRET', 'POP_SEG'):
        at = reg[4] - (WINDOW - stack_base) & 0xffff
        put = '<I' if w == 32 else '<H'
        items = [eip + int(rng.integers(-64, 64)), int(rng.choice(SELECTORS)), int(rng.integers(1 << 32)) & 0xcd5 | 0x202, STACK_TOP - stack_base]
        if text == 'POP_SEG': items = items[1:]
        elif text != 'RET' and rng.integers(4): items[1] = seg[1]
        for n, item in enumerate(items):
            struct.pack_into(put, mem, min(at + n * (w >> 3), 500), item & (1 << w) - 1)
    far = 'FAR' in text or text in ('LES', 'LDS', 'LSS', 'LFS', 'LGS', 'LSEG', 'LFP')
    if text.startswith(BRANCHES) or far or text in ('MOV_SEG', 'LAR', 'LSL', 'VERR', 'VERW'):
        branch = eip + int(rng.integers(-64, 64))
        for n in range(8):
            if n != 4 and (kinds[1] == REG or kinds[0] == REG): reg[n] = branch if text.startswith(BRANCHES) else int(rng.choice(SELECTORS)) | reg[n] & 0xffff0000
    if kinds[1] == IMM and text.startswith(BRANCHES):
        size = 1 if abs(i.imm if i.imm < 1 << 31 else i.imm - (1 << 32)) < 128 and len(code) < 5 else w >> 3
        if size > 1:
            code = code[:-size] + (int(rng.integers(-64, 64)) & (1 << w) - 1).to_bytes(size, 'little')
    if MEM in kinds or form.fields.get('memory'):
        linear = target(rng)
        code = point(i, reg, code, linear, data_base, rng)
        at = linear - WINDOW
        if 0 <= at < 470:
            if text.startswith(BRANCHES) or far: struct.pack_into('<I' if w == 32 else '<H', mem, at, branch & (1 << w) - 1)
            if far: struct.pack_into('<H', mem, at + (w >> 3), seg[1] if 'FAR' in text and rng.integers(2) else int(rng.choice(SELECTORS)))
            elif text in ('MOV_SEG', 'LAR', 'LSL', 'VERR', 'VERW'): struct.pack_into('<H', mem, at, int(rng.choice(SELECTORS)))
    if text == 'CMPXCHG' and rng.integers(2) and kinds[0] == REG: reg[0] = reg[i.dst & 3 if w == 8 else i.dst]
    if x87:
        out['fpu'] = np.frombuffer(fpu(rng), np.uint8)
        if code32 and not rng.integers(4): code += b'\x9b'
        if code32: code += b'\x36\xd9\x35' + struct.pack('<I', POINTERS)
    set_code(out, code)
    out['eip'], out['code_at'] = eip, CODE + 0x800
    out['reg'], out['seg'] = [r & 0xffffffff for r in reg], seg
    out['eflags'] = int(rng.integers(1 << 16)) & 0x8d5 | 0x202 | (0x400 if rng.integers(4) == 0 else 0) | (0x100 if rng.integers(16) == 0 else 0)
    out['mem'] = np.frombuffer(bytes(mem), np.uint8)


STRINGS = ('MOVS', 'CMPS', 'SCAS', 'LODS', 'STOS', 'INS', 'OUTS')


def cases(form: Form, n: int, seed: int) -> np.ndarray:
    """n cases of a form."""
    rng = np.random.default_rng([seed, FORMS.index(form)])
    batch = blank(n)
    known = encodings()[form.name]
    for case in batch:
        code32, code = known[rng.integers(len(known))]
        case_of(rng, case, form, code32, code)
        case['tag'] = FORMS.index(form)
    return batch
