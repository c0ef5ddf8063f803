"""The decoder: bytes -> a record (SDM 2, chapter 2.1: prefixes, opcode, ModRM, SIB, displacement, immediate), in the language of the texts (docs/texts.md).

`decode` walks the tuples that emu/decoder/table.py makes. Compiled, it fills the interpreter's records; in Python, an `Instruction`.
What is valid in some modes only is the business of the texts.
"""
import ctypes
from typing import Any

from emu.decoder.record import FIELDS
from emu.decoder.table import BYTE, FAR, FORM, FORMS, FRAME, FULL, GROUP, IN_LOW, IN_REG, IN_RM, INFO, LOCKS, MOFFS, OPCODES, PLAIN, REGISTER, SIGNED, WORD, X87
from emu.isa.language import host_load, mask, signed
from emu.isa.state import DS, SS

INVALID, TOO_LONG, LONGEST = 0, 1, 15  # two forms; the most bytes an instruction may have
NO_REGISTER = 8
SEGMENT, OPERAND_SIZE, ADDRESS_SIZE, LOCK, REP = 1, 8, 9, 10, 10  # PREFIXES[byte]: 0: none; SEGMENT + 0 to 5; REP + 1: F3, REP + 2: F2
PREFIX = {0x26: SEGMENT, 0x2e: SEGMENT + 1, 0x36: SEGMENT + 2, 0x3e: SEGMENT + 3, 0x64: SEGMENT + 4, 0x65: SEGMENT + 5,
          0x66: OPERAND_SIZE, 0x67: ADDRESS_SIZE, 0xf0: LOCK, 0xf3: REP + 1, 0xf2: REP + 2}
PREFIXES = tuple(PREFIX.get(byte, 0) for byte in range(256))
BASE16, INDEX16 = (3, 3, 5, 5, 6, 7, 5, 3), (6, 7, 6, 7, 8, 8, 8, 8)  # by ModRM.rm (SDM 2, table 2-1)


def byte(p, at, n):
    """The byte at offset at; 0 behind the end: the length shows it."""
    if at >= n: return 0
    return host_load(p + at, 8)


def word(p, at, n):
    if at + 2 > n: return 0
    return host_load(p + at, 16)


def double(p, at, n):
    if at + 4 > n: return 0
    return host_load(p + at, 32)


def address16(i, p, at, n, modrm):
    """A 16-bit address (SDM 2, table 2-1); the offset behind it."""
    mod = modrm >> 6
    rm = modrm & 7
    if mod == 0 and rm == 6:
        i.disp = signed(word(p, at, n), 16)
        return at + 2
    i.base = BASE16[rm]
    i.index = INDEX16[rm]
    if BASE16[rm] == 5: i.seg = SS
    if mod == 1:
        i.disp = signed(byte(p, at, n), 8)
        return at + 1
    if mod == 2:
        i.disp = signed(word(p, at, n), 16)
        return at + 2
    return at


def address32(i, p, at, n, modrm):
    """A 32-bit address with its SIB byte (SDM 2, tables 2-2 and 2-3); the offset behind it."""
    mod = modrm >> 6
    base = modrm & 7
    if base == 4:
        sib = byte(p, at, n)
        at = at + 1
        base = sib & 7
        if sib & 0x38 != 0x20:
            i.index = (sib >> 3) & 7
            i.scale = sib >> 6
    if mod == 0 and base == 5:
        i.disp = double(p, at, n)
        return at + 4
    i.base = base
    if base == 4 or base == 5: i.seg = SS
    if mod == 1:
        i.disp = signed(byte(p, at, n), 8)
        return at + 1
    if mod == 2:
        i.disp = double(p, at, n)
        return at + 4
    return at


def full(p, at, n, size32):
    """16 bits sign-extended, or 32."""
    if size32: return double(p, at, n)
    return signed(word(p, at, n), 16)


def immediate(i, p, at, n, what, size32, wide):
    """Immediates, and the offsets that A0 to A3 have instead of ModRM; the offset behind them."""
    if what == BYTE:
        i.imm = byte(p, at, n)
        return at + 1
    if what == SIGNED:
        i.imm = signed(byte(p, at, n), 8)
        return at + 1
    if what == FULL:
        i.imm = full(p, at, n, size32)
        return at + 2 + 2 * size32
    if what == WORD:
        i.imm = word(p, at, n)
        return at + 2
    if what == FRAME:
        i.imm = word(p, at, n)
        i.imm2 = byte(p, at + 2, n)
        return at + 3
    if what == FAR:
        i.imm = full(p, at, n, size32) & (0xffffffff if size32 else 0xffff)
        i.imm2 = word(p, at + 2 + 2 * size32, n)
        return at + 4 + 2 * size32
    if what == MOFFS:
        i.disp = full(p, at, n, wide)
        return at + 2 + 2 * wide
    i.imm = 1
    return at


def number(where, opcode, modrm):
    """A register's number, from where INFO says."""
    if where == IN_REG: return (modrm >> 3) & 7
    if where == IN_RM: return modrm & 7
    if where == IN_LOW: return opcode & 7
    return where


def decode(i, p, n, code32):
    """Decodes the instruction whose first n bytes lie at host address p: fills the record i but for key and handler, and returns its length.

    0: it has more than n bytes, and nothing in i counts.
    """
    size32 = code32
    wide = code32
    segment = 0
    rep = 0
    lock = 0
    at = 0
    prefix = PREFIXES[byte(p, 0, n)]
    while prefix and at < LONGEST:
        if prefix < OPERAND_SIZE: segment = prefix
        elif prefix == OPERAND_SIZE: size32 = code32 ^ 1
        elif prefix == ADDRESS_SIZE: wide = code32 ^ 1
        elif prefix == LOCK: lock = 1
        else: rep = prefix - REP
        at = at + 1
        prefix = PREFIXES[byte(p, at, n)]
    opcode = byte(p, at, n)
    at = at + 1
    if opcode == 0x0f:
        opcode = 0x100 + byte(p, at, n) + ((rep + 1) << 8 if rep else 0x100 if size32 != code32 else 0)
        at = at + 1
    i.imm = 0
    i.imm2 = 0
    i.disp = 0
    i.base = NO_REGISTER
    i.index = NO_REGISTER
    i.scale = 0
    i.seg = DS
    i.opcode = 0
    way = OPCODES[opcode] & 7
    leaf = OPCODES[opcode] >> 3
    modrm = 0
    if way != PLAIN:
        modrm = byte(p, at, n)
        at = at + 1
        memory = modrm < 0xc0 and way != REGISTER
        if way == GROUP: leaf = leaf + ((modrm >> 2) & 14)
        elif way == REGISTER: leaf = leaf + ((modrm >> 3) & 7)
        if way == X87:
            leaf = leaf + (((modrm >> 3) & 7) if memory else 8 + (modrm & 63))
            i.opcode = ((opcode & 7) << 8) | modrm
        elif memory: leaf = leaf + 1
        if memory:
            if wide: at = address32(i, p, at, n, modrm)
            else: at = address16(i, p, at, n, modrm)
    info = INFO[leaf]
    if info & 15: at = immediate(i, p, at, n, info & 15, size32, wide)
    if segment: i.seg = segment - SEGMENT
    i.form = FORM[2 * leaf + size32]
    if lock and info & LOCKS == 0: i.form = INVALID
    i.dst = number((info >> 4) & 15, opcode, modrm)
    i.src = number((info >> 8) & 15, opcode, modrm)
    i.amask = 0xffffffff if wide else 0xffff
    i.rep = rep
    i.lock = lock
    if at > LONGEST and n >= LONGEST:
        i.form = TOO_LONG
        at = LONGEST
    if at > n: at = 0
    i.len = at
    return at


class Instruction:
    """A decoded instruction in Python: the record's fields, its `form`, and the form's constants."""

    form: Any

    def __setattr__(self, name: str, value: int) -> None:
        object.__setattr__(self, name, value & mask(FIELDS[name].bits))

    def __getattr__(self, name: str) -> Any:
        if name == 'form' or name not in self.form.fields: raise AttributeError(name)
        return self.form.fields[name]


def decode_bytes(data: bytes, code32: bool) -> Instruction | None:
    """The instruction that the bytes begin with; None: it has more bytes than these."""
    i = Instruction()
    buffer = ctypes.create_string_buffer(data, len(data))
    if not decode(i, ctypes.addressof(buffer), len(data), int(code32)): return None
    object.__setattr__(i, 'form', FORMS[i.form])
    return i
