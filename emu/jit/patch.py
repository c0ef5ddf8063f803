"""Copy-and-patch: a basic block becomes a translation by copying the stencils of its instructions and filling their holes.

A translation begins with BEGIN, which takes its instructions off the budget, and leaves at exact boundaries: each stencil that may miss has a cold EXIT at the
end of the code, which gives back the budget of what was not executed and tells where to go on. Jumps inside the guest's page are links that the cache patches
to the other translation; all others go through LOOKUP. A form without a stencil ends the block; the interpreter does it.
"""
import bisect
import struct
from dataclasses import dataclass
from typing import Callable, NamedTuple

from emu.decoder import record
from emu.decoder.table import FORMS
from emu.isa.operands import REG
from emu.isa.state import FS, GS
from emu.jit.stencils import FIXED, HOLES, Kind
from emu.tcache.cache import Blob, Key, Link

LONGEST = 64  # instructions in a block
LOOK_UP, INTERPRET, OPTIMISE = 0, 1, 2  # EXIT's why
VALUES = set(HOLES)
FORMATS = {1: '<q', 10: '<i', 11: '<i'}  # relocation types R_X86_64_64, _32, _32S: a hole is a signed 32-bit number


class Piece(NamedTuple):
    """A stencil ready to copy: code without its final jump to NEXT; (offset, hole, addend, struct format) to fill; (offset, target) to link."""

    code: bytes
    values: list[tuple[int, str, int, str]]
    jumps: list[tuple[int, str]]
    falls: bool  # the code goes on behind its end
    kind: Kind | None


@dataclass(frozen=True)
class Decoded:
    """A record's fields that a translator needs."""

    form: int
    length: int
    imm: int
    disp: int
    amask: int
    imm2: int
    base: int
    index: int
    scale: int
    seg: int
    dst: int
    src: int
    rep: int
    lock: int


def read_record(data: bytes) -> Decoded:
    imm, disp, amask, imm2, form, length, base, index, scale, seg, dst, src, rep, lock = struct.unpack_from('<IIIHHBBBBBBBBB', data, record.FIELDS['imm'].offset)
    return Decoded(form, length, imm, disp, amask, imm2, base, index, scale, seg, dst, src, rep, lock)


def read_object(obj: bytes) -> dict[str, tuple[bytes, list[tuple[int, int, str, int]]]]:
    """ELF object -> name -> (code, relocations (offset, type, symbol, addend)); refuses what a stencil must not have: data."""
    start = struct.unpack_from('<Q', obj, 0x28)[0]
    size, count, names_at = struct.unpack_from('<HHH', obj, 0x3a)
    headers = [struct.unpack_from('<IIQQQQIIQQ', obj, start + n * size) for n in range(count)]
    string = lambda at: obj[at:obj.index(b'\0', at)].decode()  # noqa: E731
    sections = {string(headers[names_at][4] + h[0]): h for h in headers}
    data = [n for n, h in sections.items() if n.startswith(('.rodata', '.data', '.bss')) and h[5]]
    assert not data, f'stencils with data: {data}'
    content = lambda name: obj[sections[name][4]:sections[name][4] + sections[name][5]]  # noqa: E731
    text, symbols_at = content('.text'), sections['.strtab'][4]
    symbols = [(string(symbols_at + n), info & 15, value, length) for n, info, _, _, value, length in struct.iter_unpack('<IBBHQQ', content('.symtab'))]
    spans = sorted((value, value + length, name) for name, kind, value, length in symbols if kind == 2 and length)
    found: dict[str, tuple[bytes, list[tuple[int, int, str, int]]]] = {name: (text[a:b], []) for a, b, name in spans}
    starts = [a for a, _, _ in spans]
    for offset, info, addend in struct.iter_unpack('<QQq', content('.rela.text')):
        a, _, name = spans[bisect.bisect_right(starts, offset) - 1]
        found[name][1].append((offset - a, info & 0xffffffff, symbols[info >> 32][0], addend))
    return found


def piece(code: bytes, relocations: list[tuple[int, int, str, int]], kind: Kind | None) -> Piece:
    """A stencil as it is copied: the last jump to NEXT falls away."""
    values = [(offset, symbol, addend, FORMATS[number]) for offset, number, symbol, addend in relocations if symbol in VALUES]
    jumps = [(offset, symbol) for offset, _, symbol, _ in relocations if symbol not in VALUES]
    falls = any(target == 'NEXT' for _, target in jumps)
    if (len(code) - 4, 'NEXT') in jumps and code[-5] == 0xe9:
        code, jumps = code[:-5], [j for j in jumps if j != (len(code) - 4, 'NEXT')]
    for _, kind_number, symbol, _ in relocations:
        assert kind_number in (FORMATS if symbol in VALUES else (2, 4)), f'a relocation of type {kind_number} for {symbol}'
    return Piece(code, values, jumps, falls, kind)


class Translator:
    """Blocks -> blobs. `decode(p, room, code32)` decodes at host address p; `lookup` and `leave` are the host addresses of LOOKUP and LEAVE."""

    def __init__(self, objects: list[bytes], kinds: dict[str, Kind], decode: Callable[[int, int, int], bytes | None], lookup: int, leave: int):
        self.pieces = {name: piece(code, relocations, kinds.get(name)) for obj in objects for name, (code, relocations) in read_object(obj).items()}
        self.decode, self.lookup, self.leave = decode, lookup, leave

    def stencils_of(self, d: Decoded) -> list[str] | None:
        """The names of the stencils for an instruction; None: it has none."""
        form = FORMS[d.form]
        fields = form.fields
        name = f'{form.name}.{d.dst}' if fields.get('dst_kind') == REG else form.name
        found = self.pieces.get(name)
        if found is None or found.kind is None:
            return None
        asked = found.kind.asked
        memory = 'address' in asked
        if memory:
            names = [f'ADDRESS.{d.base}.{d.index}.{d.scale}' if d.amask == 0xffffffff else f'ADDRESS16.{d.base}.{d.index}.{d.scale}']
            if d.seg in (FS, GS) and 'seg' in asked:
                if form.text.startswith('BT'):
                    return None
                names.append(f'SEGMENT.{d.seg}')
        else:
            names = []
            for name_of, fixed in FIXED.items():
                if name_of in asked and getattr(d, name_of) != fixed:
                    if not (name_of == 'seg' and d.seg < 4):  # flat: ES CS SS DS are alike
                        return None
        if 'rep' in asked and d.rep or 'lock' in asked and d.lock:
            return None
        if found.kind.source_width:
            names.append(f'GET.{found.kind.source_width}.{d.src}')
        names.append(name)
        return names

    def block(self, p: int, room: int, code32: int) -> tuple[list[Decoded], bool]:
        """The instructions of the basic block at host address p that have stencils, and whether the next one must be interpreted."""
        block: list[Decoded] = []
        while len(block) < LONGEST:
            data = self.decode(p, min(room, 16), code32) if room > 0 else None
            if data is None:
                return block, True
            d = read_record(data)
            if self.stencils_of(d) is None:
                return block, True
            block.append(d)
            if FORMS[d.form].ends:
                return block, False
            p, room = p + d.length, room - d.length
        return block, False

    def translate(self, key: Key, room: int, counter: int | None) -> Blob | None:
        """The translation of the block at `key` (host address, EIP, mode key), which has `room` bytes to the end of its page; `counter`: offset in State
        of its countdown, if it has one. None: nothing to translate."""
        p, eip, mode = key
        block, interpret = self.block(p, room, mode & 1)
        if not block:
            return None
        tlb = 16384 if mode & 4 else 0
        code = bytearray()
        misses: list[tuple[int, int]] = []  # where, instruction
        taken: list[int] = []
        indirect: list[int] = []
        warm: list[int] = []
        self.copy(code, 'BEGIN', {'count': len(block)}, misses, taken, indirect, 0)
        if counter is not None:
            self.copy(code, 'COUNT', {'counter': counter}, misses, taken, warm, 0)
        drop = self.dead_flags(block)
        at = eip
        starts = []
        for n, d in enumerate(block):
            starts.append(at)
            at = (at + d.length) & 0xffffffff
            values = {'imm': d.imm, 'imm2': d.imm2, 'disp': d.disp, 'eip': at, 'len': d.length, 'tlb': tlb}
            names = self.stencils_of(d) or []
            if drop[n] and names[-1] + '-' in self.pieces:
                names[-1] += '-'
            for name in names:
                self.copy(code, name, values, misses, taken, indirect, n)
        links: list[tuple[int, int, int]] = []  # where, target EIP, stub
        exits: list[tuple[int, int]] = [(offset, self.lookup) for offset in indirect]
        last = self.pieces[names[-1]]
        pending = [(offset, branch_target(block[-1], at), LOOK_UP) for offset in taken]
        if last.falls:
            code += b'\xe9\0\0\0\0'
            pending.append((len(code) - 4, at, INTERPRET if interpret else LOOK_UP))
        for offset, target, why in pending:
            stub = self.stub(code, target, 0, why, exits)
            link_rel(code, offset, stub)
            if why == LOOK_UP and (target ^ eip) & 0xfffff000 == 0:
                links.append((offset, target, stub))
        cold: dict[int, int] = {}
        for offset, n in misses:
            if n not in cold:
                cold[n] = self.stub(code, starts[n], len(block) - n, INTERPRET, exits)
            link_rel(code, offset, cold[n])
        for offset in warm:
            link_rel(code, offset, self.stub(code, eip, len(block), OPTIMISE, exits))
        blob = Blob(key, code, exits, len(block), (at - eip) & 0xffffffff, 'stencils', counter=counter)
        blob.links = [Link(blob, offset, stub, (p + target - eip, target, mode)) for offset, target, stub in links]
        return blob

    def copy(self, code: bytearray, name: str, values: dict[str, int], misses: list[tuple[int, int]], taken: list[int], indirect: list[int], n: int) -> None:
        """Appends a stencil with its holes filled."""
        start = len(code)
        found = self.pieces[name]
        code += found.code
        for offset, symbol, addend, form in found.values:
            struct.pack_into(form, code, start + offset, signed((values[symbol] + addend) & 0xffffffff))
        for offset, target in found.jumps:
            if target == 'MISS':
                misses.append((start + offset, n))
            elif target == 'TAKEN':
                taken.append(start + offset)
            elif target in ('INDIRECT', 'WARM'):
                indirect.append(start + offset)
            else:
                link_rel(code, start + offset, len(code))

    def stub(self, code: bytearray, eip: int, count: int, why: int, exits: list[tuple[int, int]]) -> int:
        """Appends an EXIT; its offset."""
        start = len(code)
        found = self.pieces['EXIT']
        code += found.code
        for offset, symbol, addend, form in found.values:
            struct.pack_into(form, code, start + offset, signed(({'eip': eip, 'count': count, 'why': why}[symbol] + addend) & 0xffffffff))
        code += b'\xe9\0\0\0\0'
        exits.append((len(code) - 4, self.lookup if why == LOOK_UP else self.leave))
        return start

    def dead_flags(self, block: list[Decoded]) -> list[bool]:
        """For each instruction, whether the flags it sets are overwritten before anybody can see them."""
        dead, result = False, []
        for d in reversed(block):
            names = self.stencils_of(d)
            kind = self.pieces[names[-1]].kind if names else None
            assert kind
            result.append(dead)
            leaves = kind.leaves or len(names or []) > 1 and any((k := self.pieces[x].kind) and k.leaves for x in names or [])
            dead = (dead or kind.kills_flags) and not kind.reads_flags and not leaves
        return result[::-1]


def signed(x: int) -> int:
    return x - (1 << 32) if x >> 31 else x


def branch_target(d: Decoded, end: int) -> int:
    """Where a relative jump that ends at EIP `end` leads."""
    return (end + signed(d.imm)) & (0xffffffff if FORMS[d.form].fields['w'] == 32 else 0xffff)


def link_rel(code: bytearray, at: int, target: int) -> None:
    """Makes the rel32 at an offset lead to another offset of the same code."""
    struct.pack_into('<i', code, at, target - (at + 4))
