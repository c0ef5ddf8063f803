"""Lengths and text of instructions against capstone, over every opcode and ModRM byte and over random bytes, in both code sizes.

Capstone disassembles today's processors, with spellings of its own: everything that makes a Pentium 4 differ is listed here with its reason,
and nothing else may.
"""
import random
import re
from typing import Iterator

import capstone
import pytest

from emu.decoder.decode import decode_bytes
from emu.decoder.table import OPCODES, PLAIN
from emu.decoder.text import disassemble
from tests.conftest import ALL

PREFIXES = set(b'\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3')
OPCODE_BYTES = [n for n in range(512) if n != 0x0f and n not in PREFIXES]
EIP = 0x1000
CAPSTONE = {False: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_16), True: capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)}

# Opcodes (after 0F: 100h +) that a Pentium 4 does not have, or has fewer of, and capstone does.
LATER = {*range(0xc4, 0xc8), 0x62,  # VEX and EVEX in the place of LES, LDS, BOUND with a register; XABORT, XBEGIN
         0xdb, 0xdd, 0xdf,  # FISTTP of SSE3
         0x100, 0x101, 0x105, 0x107, 0x10d, 0x10e, 0x10f,  # MONITOR, VMX and others in the group of LGDT; SYSCALL, SYSRET; 3DNow!
         *range(0x137, 0x140), 0x178, 0x179, 0x17a, 0x17b,  # GETSEC, SSSE3, SSE4; VMX, SSE4a
         0x112, 0x116, 0x17c, 0x17d, 0x1d0, 0x1f0,  # SSE3
         0x1a6, 0x1a7, 0x1aa, 0x1ae, 0x1b8, 0x1b9, 0x1c7, 0x1ff,  # RSM, XSAVE, POPCNT; UD0, UD1
         0x152, 0x153, 0x177, 0x1c3}  # with 66 too: it ignores it, to us there is no such instruction
NO_REGISTER = re.compile('^mov cs|cr[15-9]|cr1[0-5]')  # it takes any number for a segment or control register
HINTS = range(0x118, 0x120)  # no operation; today PREFETCH, MPX, CET
# Opcodes that the manual does not describe and capstone does not know, wholly or in part.
UNDOCUMENTED = {*HINTS, 0x1ae, 0x90, 0xdc, 0xdd, 0xde, 0xdf}  # NOP with F3 and other prefixes; the second encodings of FCOM, FCOMP, FXCH, FSTP
# Spellings: capstone's text is changed by these before it is compared.
SPELLINGS = [(re.compile(a), b) for a, b in (
    (r'^((bnd|notrack|xacquire|xrelease) )+', ''),  # later uses of prefixes without effect
    (r'\bxword\b', 'tbyte'),
    (r'^(les|lds|lss|lfs|lgs) (.*), ptr ', r'\1 \2, '),
    (r'^(call|jmp) ptr ', r'l\1 '),  # it spells far indirect jumps differently in 32 and in 16 bits
    (r'^(lcall|ljmp) (-?\w+), ', r'\1 \2:'),
    (r'^(clflush|fxsave|fxrstor|fldenv|fnstenv|frstor|fnsave|invlpg|lgdt|lidt|sgdt|sidt) \w+ ptr ', r'\1 '),  # what has no size has none
    (r'^((lock )?)sal ', r'\1shl '),  # /6, the alias
    (r'^(rcl|rcr) ([^,]*)$', r'\1 \2, 1'),
    (r'^mov ([cdefgs]s), e(..)$', r'mov \1, \2'),  # only 16 bits are read
    (r'^(lar|lsl) (\w+), e(..)$', r'\1 \2, \3'),
    (r'^(feni8087_nop|fdisi8087_nop|fsetpm)$', 'fnop'),  # what they do
    (r'^fstpnce (.*), st\(0\)$', r'fstp \1'),
    (r'^(f[u]?com)pi ', r'\1ip '),
    (r'^pause$', 'nop'),
    (r'^(comisd .*)xmmword', r'\1qword'),
    (r'^(pinsrw \w+), e(..),', r'\1, \2,'),
    (r'\bds:(\[(?!e?bp\b(?!\*)|esp\b))', r'\1'),  # overrides without effect do not show
    (r'\bss:(\[(e?bp|esp)\b(?!\*))', r'\1'),
    (r'^(rep|repe|repne|repz|repnz) ', ''))]  # it drops F2 in some modes, and shows it where it has no effect
# Where its numbers have fewer bits than ours, or a sign that they should not have: immediates; targets and absolute addresses in 16-bit code.
NARROW = [(re.compile('^enter|^test (byte|[abcd][lh],)'), 8), (re.compile(r'^(j|call|loop)|\[0x'), 16)]


def plain(text: str) -> list[str | int]:
    """Words and numbers."""
    return [int(x.replace(' ', ''), 0) if x[-1].isalnum() and x.lstrip('-+ ')[0].isdigit() else x
            for x in re.findall(r'(?:(?:\+ |- |-)?\b\d\w*\b)(?!\))|[a-z]\w*(?:\(\d\))?|\S', text)]


def alike(ours: str, theirs: str) -> bool:
    """Equal but for spelling; numbers may be written signed, and 16 bits wide."""
    ours = re.sub('^(rep|repe|repne) ', '', ours)
    for pattern, spelling in SPELLINGS: theirs = pattern.sub(spelling, theirs)
    if '*1' in ours:  # it does not tell an index alone from a base, which has a segment of its own
        ours, theirs = ours.replace('*1', ''), re.sub('[ds]s:', '', theirs)
        ours = re.sub('[ds]s:', '', ours)
    if ours == theirs: return True
    if {ours, theirs} in ({'cbw', 'cwde'}, {'cwd', 'cdq'}): return True  # it has these the wrong way round in 16 bits
    a, b = plain(ours), plain(theirs)
    bits = next((n for pattern, n in NARROW if pattern.search(ours)), 32)
    return len(a) == len(b) and all(same(x, y, bits) for x, y in zip(a, b))


def same(x: str | int, y: str | int, bits: int) -> bool:
    """Equal words, or numbers that are equal as the operand is wide."""
    if isinstance(x, str) or isinstance(y, str): return x == y
    return (x - y) % (1 << (min(bits, 16) if -1 << 15 <= x < 1 << 16 else bits)) == 0


def differs(data: bytes, code32: bool) -> str:
    """What we say of an instruction and what capstone does, or '' if that is the same."""
    ins = decode_bytes(data, code32)
    assert ins is not None
    at = next(n for n, byte in enumerate(data) if byte not in PREFIXES)
    opcode = 0x100 + data[at + 1] if data[at] == 0x0f else data[at]
    found = next(CAPSTONE[code32].disasm_lite(data, EIP, 1), None)
    ours = (disassemble(ins, EIP), ins.len) if ins.form.text not in ('UD', 'TOO_LONG') else None
    theirs = (f'{found[2]} {found[3]}'.strip(), found[1]) if found else None
    if ours is None and (theirs is None or opcode in LATER or theirs[0] == 'ud2' or NO_REGISTER.search(theirs[0])): return ''
    if theirs is None and opcode in UNDOCUMENTED: return ''
    if ours and theirs and ours[1] == theirs[1] and (opcode in HINTS or alike(ours[0], theirs[0])): return ''
    return f'{data.hex()} {"32" if code32 else "16"}: {ours}, not {theirs}'


def every_opcode() -> Iterator[bytes]:
    """All opcodes; those with ModRM with all of its values."""
    for opcode in OPCODE_BYTES:
        start = bytes([opcode]) if opcode < 0x100 else bytes([0x0f, opcode & 0xff])
        for modrm in range(256) if OPCODES[opcode] & 7 != PLAIN else (0x00, 0x7f, 0x80, 0xff):
            yield start + bytes([modrm])


@pytest.mark.parametrize('code32', [False, True])
def test_every_opcode(code32: bool) -> None:
    """SDM 2, appendix A, and tables 2-1 to 2-3."""
    tails = ['2412345678f89abcde', '80fe85f45e6dff0312', 'e5ffffff7fffffff7f'] if ALL else ['2480123456f89abcde']
    wrong = [x for start in every_opcode() for tail in tails if (x := differs(start + bytes.fromhex(tail), code32))]
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:20]])


@pytest.mark.parametrize('code32', [False, True])
def test_every_sib(code32: bool) -> None:
    """SDM 2, table 2-3, and both address sizes."""
    wrong = [x for mod in (0x04, 0x44, 0x84) for sib in range(256) for prefix in ('', '67', '2667', '36', '3e')
             if (x := differs(bytes.fromhex(prefix + '8b') + bytes([mod, sib]) + bytes.fromhex('80fffff0123456'), code32))]
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:20]])


def test_random_bytes() -> None:
    """Up to three prefixes, each of a kind of its own and F2, F3 not before 0F, where capstone looks for SSE; and anything after them."""
    rng = random.Random(3)
    wrong = []
    for _ in range(300000 if ALL else 25000):
        opcode = rng.choice(OPCODE_BYTES)
        kinds = [b'\x26\x2e\x36\x3e\x64\x65', b'\x66', b'\x67', b'\xf2\xf3'][:4 if opcode < 0x100 else 3]
        prefixes = bytes(rng.choice(kind) for kind in rng.sample(kinds, rng.randrange(len(kinds))))
        data = prefixes + (b'\x0f' if opcode > 0xff else b'') + bytes([opcode & 0xff]) + rng.randbytes(11)
        code32 = rng.random() < 0.5 or opcode > 0xff and b'\x66' in prefixes and opcode not in range(0x140, 0x150)  # in 16 bits it takes 66 before SIMD for a size
        if x := differs(data, code32): wrong.append(x)
    assert not wrong, '\n'.join([f'{len(wrong)} differ', *wrong[:20]])
