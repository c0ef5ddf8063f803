"""Copy-and-patch: a basic block becomes a translation by copying the stencils of its instructions and filling their holes (emu/jit/copying.py does it).

A translation begins with BEGIN, which takes its instructions off the budget, and leaves at exact boundaries: each stencil that may miss has a cold EXIT at the
end of the code, which gives back the budget of what was not executed and tells where to go on. Jumps inside the guest's page are links that the cache patches
to the other translation; all others go through LOOKUP. A form without a stencil ends the block; the interpreter does it.
"""
import bisect
import struct
from itertools import takewhile
from typing import Callable, NamedTuple

import numpy as np

from emu.decoder import record
from emu.decoder.table import FORMS
from emu.isa.state import DS, ES, FIELDS, SS
from emu.jit import copying
from emu.jit.copying import LONGEST
from emu.jit.stencils import CALLS, FIXED, HOLES, INTERPRET, LOADS, LOOK_UP, OPTIMISE, RANGES, REDO, TARGETS, Kind, numbers

FORMATS = {1: '<q', 10: '<i', 11: '<i'}  # relocation types R_X86_64_64, _32, _32S: a hole is a 32-bit number,
HOLE_TYPES = (1, 10, 11), (10,), (1, 10, 11)  # which by its RANGES must not be used as a signed one
FIRST = ('BEGIN', 'BEGIN~', 'COUNT', *(f'EXIT.{why}' for why in (LOOK_UP, INTERPRET, OPTIMISE, REDO)))  # in the order of the work area
LEADS = {'TAKEN': copying.TAKEN, 'MISS': copying.MISS, 'WARM': copying.WARM}
LARGEST, MOST_JUMPS = 4096, 8  # of a piece: bytes, and jumps, which all may need an EXIT
COUNTDOWN = FIELDS['countdown'].offset


class Decoded(NamedTuple):
    """A record's fields that a translator needs, in the record's order from `imm` on."""

    imm: int
    disp: int
    amask: int
    imm2: int
    opcode: int
    form: int
    length: int
    base: int
    index_register: int
    scale: int
    seg: int
    dst: int
    src: int
    rep: int
    lock: int


RECORD = struct.Struct(f'<{record.FIELDS["imm"].offset}xIIIHHHBBBBBBBBB{record.SIZE - record.FIELDS["lock"].offset - 1}x')


class Piece(NamedTuple):
    """Code ready to copy. Offsets of what is open: values (offset, hole, addend, struct format), jumps out and where they go."""

    code: bytes
    values: list[tuple[int, str, int, str]]
    jumps: list[tuple[int, str]]
    falls: bool  # execution goes on behind its end
    reads_flags: bool = False
    kills_flags: bool = False
    leaves: bool = False
    last: bool = False


def read_object(obj: bytes) -> dict[str, tuple[bytes, list[tuple[int, int, str, int]]]]:
    """ELF object -> name -> (code, relocations (offset, type, symbol, addend)); refuses what a stencil must not have: data."""
    start = struct.unpack_from('<Q', obj, 0x28)[0]
    size, count, names_at = struct.unpack_from('<HHH', obj, 0x3a)
    headers = [struct.unpack_from('<IIQQQQIIQQ', obj, start + n * size) for n in range(count)]
    string = lambda at: obj[at:obj.index(b'\0', at)].decode()  # noqa: E731
    sections = {string(headers[names_at][4] + h[0]): h for h in headers}
    data = [n for n, h in sections.items() if n.startswith(('.rodata', '.data', '.bss')) and h[5]]
    assert not data, f'stencils with data: {data}'
    content = lambda name: obj[sections[name][4]:sections[name][4] + sections[name][5]] if name in sections else b''  # noqa: E731
    text, symbols_at = content('.text'), sections['.strtab'][4]
    symbols = [(string(symbols_at + n), info & 15, value, length) for n, info, _, _, value, length in struct.iter_unpack('<IBBHQQ', content('.symtab'))]
    spans = sorted((value, value + length, name) for name, kind, value, length in symbols if kind == 2 and length)
    found: dict[str, tuple[bytes, list[tuple[int, int, str, int]]]] = {name: (text[a:b], []) for a, b, name in spans}
    starts = [a for a, _, _ in spans]
    for offset, info, addend in struct.iter_unpack('<QQq', content('.rela.text')):
        a, _, name = spans[bisect.bisect_right(starts, offset) - 1]
        found[name][1].append((offset - a, info & 0xffffffff, symbols[info >> 32][0], addend))
    return found


def piece(code: bytes, relocations: list[tuple[int, int, str, int]], kind: Kind | None = None) -> Piece:
    """A stencil as it is copied: the last jump to NEXT falls away, others lead to its end."""
    for _, number, symbol, _ in relocations:
        assert number in (HOLE_TYPES[RANGES.get(symbol, 2)] if symbol in HOLES else (2, 4) if symbol in TARGETS else ()), f'a relocation of type {number} for {symbol}'
    values = [(offset, symbol, addend, FORMATS[number]) for offset, number, symbol, addend in relocations if symbol in HOLES]
    jumps = [(offset, symbol) for offset, _, symbol, _ in relocations if symbol in TARGETS and symbol != 'NEXT']
    ahead = [offset for offset, _, symbol, _ in relocations if symbol == 'NEXT']
    if len(code) - 4 in ahead and code[-5] == 0xe9:
        code = code[:-5]
    text = bytearray(code)
    for offset in ahead:
        if offset < len(text):
            link_rel(text, offset, len(text))
    flags = (kind.reads_flags, kind.kills_flags, kind.leaves, kind.last != 0) if kind else ()
    return Piece(bytes(text), values, jumps, bool(ahead), *flags)


def joined(pieces: list[Piece]) -> Piece:
    """Pieces one after the other, as one; the last is the instruction's own."""
    code, values, jumps = b'', [], []
    for p in pieces:
        values += [(len(code) + offset, hole, addend, form) for offset, hole, addend, form in p.values]
        jumps += [(len(code) + offset, target) for offset, target in p.jumps]
        code += p.code
    last = pieces[-1]
    return Piece(code, values, jumps, last.falls, last.reads_flags, last.kills_flags, any(p.leaves for p in pieces), last.last)


class Translator:
    """What copying needs: pieces and recipes, in a work area at `address`. `decode(p, room)` gives the records of the block at host address p."""

    def __init__(self, objects: list[bytes], kinds: dict[str, Kind], decode: Callable[[int, int], bytes]):
        self.kinds, self.decode = kinds, decode
        self.pieces = {name: piece(code, relocations, kinds.get(name)) for obj in objects for name, (code, relocations) in read_object(obj).items()}
        self.kept: list[np.ndarray] = []  # pieces laid out for copying
        self.places: dict[tuple[str, ...], int] = {}  # names of stencils -> the address of what they make together
        self.table = np.full((1 << copying.TABLE_BITS, 4), copying.UNUSED, np.int64)
        self.recipes = 0
        self.code = np.zeros((LARGEST + MOST_JUMPS * len(self.pieces['EXIT.0'].code)) * (LONGEST + 2), np.uint8)
        self.area = np.zeros(copying.AREA, np.uint8)
        first = [self.table.ctypes.data, self.code.ctypes.data, *(self.place((name,)) for name in FIRST)]
        struct.pack_into(f'<{len(first)}q', self.area.data, 0, *first)
        self.address: int = self.area.ctypes.data

    # --- recipes: which stencils do an instruction ------------------------------------------------------------------------------

    def learn(self, n: int, mode: int) -> None:
        """Enters the recipe for the n-th record of the work area into the table."""
        if self.recipes > len(self.table) * 3 // 4:
            self.table[:], self.recipes = copying.UNUSED, 0
        data = self.area[copying.RECORDS + n * record.SIZE:][:record.SIZE].tobytes()
        d = Decoded._make(RECORD.unpack(data))
        key, form = struct.unpack_from('<q', data, copying.BASE)[0], d.form | d.amask & 0x10000 | recipe_kind(mode)
        at = copying.recipe_slot(key, form)
        while self.table[at, 1] != copying.UNUSED:
            at = (at + 1) % len(self.table)
        names = self.stencils_of(d, mode)
        loud = quiet = 0
        if names:
            silent = names[-1] + '-'
            loud = self.place(tuple(names))
            quiet = self.place((*names[:-1], silent)) if silent in self.pieces else loud
        self.table[at] = key, form, loud, quiet
        self.recipes += 1

    def place(self, names: tuple[str, ...]) -> int:
        """The address of stencils joined, laid out for copying."""
        if names not in self.places:
            self.kept.append(laid_out(joined([self.pieces[n] for n in names])))
            self.places[names] = self.kept[-1].ctypes.data
        return self.places[names]

    def stencils_of(self, d: Decoded, mode: int) -> list[str] | None:
        """The names of the stencils for an instruction in code of this mode key; None: it has none."""
        form = FORMS[d.form]
        name = form.name + ''.join(f'.{getattr(d, n)}' for n in numbers(form))
        kind, which = self.kinds.get(name), recipe_kind(mode)
        checked = which or d.seg not in (ES, SS, DS)  # flat: they are alike, and may be written
        if kind and 'rep' in kind.asked and d.rep:
            name = f'{form.name}*{d.rep}' if f'{form.name}*{d.rep}' in self.kinds else f'{form.name}*'
            kind = self.kinds.get(name)
        elif not kind or kind.flat and (which or 'amask' in kind.asked and d.amask != FIXED['amask'] or 'flat seg' in kind.asked and checked):
            name += '~'
            kind = self.kinds.get(name)
        if kind is None or 'lock' in kind.asked and d.lock:
            return None
        names = []
        if 'address' in kind.asked:
            names.append(f'ADDRESS.{d.base}.{d.index_register}.{d.scale}' if d.amask == FIXED['amask'] else f'ADDRESS16.{d.base}.{d.index_register}.{d.scale}')
            if kind.extent and checked:
                names.append(f'SEGMENT.{d.seg}.{kind.need}.{kind.extent}')
        if kind.source_width:
            names.append(f'GET.{kind.source_width}.{d.src}')
        return [*names, name]

    # --- blocks ------------------------------------------------------------------------------------------------------------------

    def block(self, p: int, room: int, mode: int) -> list[Decoded]:
        """The instructions of the basic block at host address p that can be part of a region."""
        data = self.decode(p, room)
        return list(takewhile(lambda d: self.is_plain(d, mode), (Decoded._make(found) for found in RECORD.iter_unpack(data))))

    def is_plain(self, d: Decoded, mode: int) -> bool:
        """Whether an instruction has stencils, and they neither call a text nor change the budget, in code of this mode key."""
        names = self.stencils_of(d, mode)
        last = self.kinds[names[-1]].last if names else CALLS
        return not last or last == CALLS and recipe_kind(mode) == copying.REAL and FORMS[d.form].text in LOADS and names is not None

    @property
    def length(self) -> int:
        """Bytes of the block that was copied last."""
        return int(self.area[copying.LENGTH:copying.LINKED].view(np.int64)[0])

    def exit(self, eip: int, why: int = LOOK_UP) -> bytes:
        """The code of an EXIT that goes on at another block, with nothing given back to the budget."""
        return self.filled(self.pieces[f'EXIT.{why}'], eip=eip)

    def filled(self, found: Piece, **holes: int) -> bytes:
        """A piece's code with its holes filled; what is not given is 0."""
        code = bytearray(found.code)
        for offset, hole, addend, form in found.values: struct.pack_into(form, code, offset, signed((holes.get(hole, 0) + addend) & 0xffffffff))
        return bytes(code)

    def count(self, *names: str) -> None:
        """What translations begin with from now on, to count and to record: stencils' names."""
        struct.pack_into('<q', self.area.data, copying.COUNT, self.place(names))

    def entrance(self, name: str, counter: int) -> Piece:
        """A counting stencil for a region, its hole filled."""
        found = self.pieces[name]
        return found._replace(code=self.filled(found, counter=COUNTDOWN + 4 * counter), values=[])


def recipe_kind(mode: int) -> int:
    """0 for flat code, GENERAL for other protected-mode code, REAL for real and virtual-8086 mode, by their mode key."""
    return 0 if mode & copying.FLAT == copying.FLAT else copying.GENERAL if mode & copying.PROTECTED else copying.REAL


def laid_out(found: Piece) -> np.ndarray:
    """A piece as copying.py reads it, its code behind it."""
    assert len(found.code) <= LARGEST and len(found.jumps) <= MOST_JUMPS
    nature = found.falls * copying.FALLS | found.reads_flags * copying.READS | found.kills_flags * copying.KILLS | found.leaves * copying.LEAVES | found.last * copying.LAST
    holes = [offset | 8 * HOLES.index(hole) << 16 | (form == '<q') * copying.WIDE | addend << 32 for offset, hole, addend, form in found.values]
    jumps = [offset | LEADS[target] << 32 for offset, target in found.jumps]
    words = [0, len(found.code), nature, len(holes), len(jumps), *holes, *jumps]
    made = np.frombuffer(bytearray(struct.pack(f'<{len(words)}q', *words) + found.code), np.uint8)
    struct.pack_into('<q', made.data, 0, made.ctypes.data + 8 * len(words))
    return made


def branch_target(d: Decoded, end: int) -> int:
    """Where a relative jump that ends at EIP `end` leads."""
    return (end + signed(d.imm)) & (0xffffffff if FORMS[d.form].fields['w'] == 32 else 0xffff)


def signed(x: int) -> int:
    """A hole's 32 bits as a signed number."""
    return x - (1 << 32) if x >> 31 else x


def link_rel(code: bytearray, at: int, target: int) -> None:
    """Makes the rel32 at an offset lead to another offset of the same code."""
    struct.pack_into('<i', code, at, target - (at + 4))
