"""Copy-and-patch: a basic block becomes a translation by copying the stencils of its instructions and filling their holes.

A translation begins with BEGIN, which takes its instructions off the budget, and leaves at exact boundaries: each stencil that may miss has a cold EXIT at the
end of the code, which gives back the budget of what was not executed and tells where to go on. Jumps inside the guest's page are links that the cache patches
to the other translation; all others go through LOOKUP. A form without a stencil ends the block; the interpreter does it.
"""
import bisect
import struct
from typing import Callable, NamedTuple

from emu.decoder import record
from emu.decoder.table import FORMS
from emu.isa.state import FS, GS
from emu.jit.stencils import FIXED, HOLES, INTERPRET, LOOK_UP, OPTIMISE, TARGETS, Kind, numbers
from emu.tcache.cache import Blob, Key, Link

LONGEST = 64  # instructions in a block
USER, USER_TLB = 4, 16384  # bit of the mode key; distance of the user's TLB from the supervisor's
JUMP = b'\xe9\0\0\0\0'
VALUES = set(HOLES)
FORMATS = {1: '<q', 10: '<i', 11: '<i'}  # relocation types R_X86_64_64, _32, _32S: a hole is a signed 32-bit number


class Decoded(NamedTuple):
    """A record's fields that a translator needs, in the record's order from `imm` on."""

    imm: int
    disp: int
    amask: int
    imm2: int
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


AMASK, FORM = record.FIELDS['amask'].offset, record.FIELDS['form'].offset
RECORD = struct.Struct(f'<{record.FIELDS["imm"].offset}xIIIHHBBBBBBBBB{record.SIZE - record.FIELDS["lock"].offset - 1}x')


class Piece(NamedTuple):
    """Code ready to copy. Offsets of what is open: values (offset, hole, addend, struct format), jumps out and where they go."""

    code: bytes
    values: list[tuple[int, str, int, str]]
    jumps: list[tuple[int, str]]
    falls: bool  # execution goes on behind its end
    reads_flags: bool = False
    kills_flags: bool = False
    leaves: bool = False


Recipe = tuple[Piece, Piece]  # an instruction's code: setting the flags, and not


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
        assert number in (FORMATS if symbol in VALUES else (2, 4) if symbol in TARGETS else ()), f'a relocation of type {number} for {symbol}'
    values = [(offset, symbol, addend, FORMATS[number]) for offset, number, symbol, addend in relocations if symbol in VALUES]
    jumps = [(offset, symbol) for offset, _, symbol, _ in relocations if symbol in TARGETS and symbol != 'NEXT']
    ahead = [offset for offset, _, symbol, _ in relocations if symbol == 'NEXT']
    if len(code) - 4 in ahead and code[-5] == 0xe9:
        code = code[:-5]
    text = bytearray(code)
    for offset in ahead:
        if offset < len(text):
            link_rel(text, offset, len(text))
    flags = (kind.reads_flags, kind.kills_flags, kind.leaves) if kind else ()
    return Piece(bytes(text), values, jumps, bool(ahead), *flags)


def joined(pieces: list[Piece]) -> Piece:
    """Pieces one after the other, as one; the last is the instruction's own."""
    code, values, jumps = b'', [], []
    for p in pieces:
        values += [(len(code) + offset, hole, addend, form) for offset, hole, addend, form in p.values]
        jumps += [(len(code) + offset, target) for offset, target in p.jumps]
        code += p.code
    last = pieces[-1]
    return Piece(code, values, jumps, last.falls, last.reads_flags, last.kills_flags, any(p.leaves for p in pieces))


class Translator:
    """Blocks -> blobs. `decode(p, room)` gives the records of the block at host address p."""

    def __init__(self, objects: list[bytes], kinds: dict[str, Kind], decode: Callable[[int, int], bytes]):
        self.kinds, self.decode = kinds, decode
        self.pieces = {name: piece(code, relocations, kinds.get(name)) for obj in objects for name, (code, relocations) in read_object(obj).items()}
        self.exits = [template(self.pieces[f'EXIT.{why}']) for why in (LOOK_UP, INTERPRET, OPTIMISE)]
        self.recipes: dict[bytes, Recipe | None] = {}  # what is the same in a record -> the code for it

    def recipe(self, d: Decoded) -> Recipe | None:
        """The code for instructions like this one: setting the flags, and not; None: there is no stencil for it."""
        names = self.stencils_of(d)
        if names is None:
            return None
        quiet = [*names[:-1], names[-1] + '-' if names[-1] + '-' in self.pieces else names[-1]]
        return joined([self.pieces[n] for n in names]), joined([self.pieces[n] for n in quiet])

    def stencils_of(self, d: Decoded) -> list[str] | None:
        """The names of the stencils for an instruction; None: it has none."""
        form = FORMS[d.form]
        name = form.name + ''.join(f'.{getattr(d, n)}' for n in numbers(form))
        kind = self.kinds.get(name)
        if kind is None or 'rep' in kind.asked and d.rep or 'lock' in kind.asked and d.lock:
            return None
        names = []
        if 'address' in kind.asked:
            names.append(f'ADDRESS.{d.base}.{d.index_register}.{d.scale}' if d.amask == FIXED['amask'] else f'ADDRESS16.{d.base}.{d.index_register}.{d.scale}')
            if d.seg in (FS, GS) and 'seg' in kind.asked:
                if form.text.startswith('BT'):
                    return None  # its address is more than the operand's
                names.append(f'SEGMENT.{d.seg}')
        elif 'amask' in kind.asked and d.amask != FIXED['amask'] or 'seg' in kind.asked and d.seg in (FS, GS):  # flat: ES CS SS DS are alike
            return None
        if kind.source_width:
            names.append(f'GET.{kind.source_width}.{d.src}')
        return [*names, name]

    def block(self, p: int, room: int) -> tuple[list[Decoded], list[Recipe], bool]:
        """The instructions of the basic block at host address p that have stencils, the code for them, and whether the next one must be interpreted."""
        data = self.decode(p, room)
        block: list[Decoded] = []
        recipes: list[Recipe] = []
        for at in range(0, len(data), record.SIZE):
            d = Decoded._make(RECORD.unpack_from(data, at))
            key = data[at + AMASK:at + AMASK + 4] + data[at + FORM:at + FORM + 2] + data[at + FORM + 3:at + FORM + 11]  # all but numbers and length
            if key not in self.recipes:
                self.recipes[key] = self.recipe(d)
            if (found := self.recipes[key]) is None:
                return block, recipes, True
            block.append(d)
            recipes.append(found)
        whole = block and (FORMS[block[-1].form].ends or len(block) == LONGEST or sum(d.length for d in block) == room)
        return block, recipes, not whole

    def translate(self, key: Key, room: int, counter: int | None) -> Blob | None:
        """The translation of the block at `key` (host address, EIP, mode key), which has `room` bytes to the end of its page; `counter`: offset in State
        of its countdown, if it has one. None: nothing to translate."""
        p, eip, mode = key
        block, recipes, interpret = self.block(p, room)
        if not block:
            return None
        values = {'tlb': USER_TLB if mode & USER else 0, 'count': len(block), 'counter': counter or 0}
        code = bytearray()
        ways: dict[str, list[tuple[int, int, int]]] = {target: [] for target in TARGETS}  # offset of a jump, number and EIP of its instruction
        self.append(code, self.pieces['BEGIN'], values, ways, 0, eip)
        if counter is not None:
            self.append(code, self.pieces['COUNT'], values, ways, 0, eip)
        at = eip
        for n, (d, recipe, quiet) in enumerate(zip(block, recipes, dead_flags(recipes))):
            start, at = at, (at + d.length) & 0xffffffff
            values.update(imm=d.imm, imm2=d.imm2, disp=d.disp, eip=at, len=d.length)
            found = recipe[quiet]
            self.append(code, found, values, ways, n, start)
        blob = Blob(key, code, len(block), (at - eip) & 0xffffffff, 'stencils', counter=counter)
        onward = [(offset, branch_target(block[-1], at), LOOK_UP) for offset, _, _ in ways['TAKEN']]
        if found.falls:
            code += JUMP
            onward.append((len(code) - 4, at, INTERPRET if interpret else LOOK_UP))
        for offset, target, why in onward:
            stub = self.stub(blob, target, 0, why)
            link_rel(code, offset, stub)
            if why == LOOK_UP and (target ^ eip) & 0xfffff000 == 0:
                blob.links.append(Link(blob, offset, stub, (p + target - eip, target, mode)))
        for offset, _, _ in ways['WARM']:
            link_rel(code, offset, self.stub(blob, eip, len(block), OPTIMISE))
        stub, last = 0, -1
        for offset, n, start in ways['MISS']:
            if n != last:
                stub, last = self.stub(blob, start, len(block) - n, INTERPRET), n
            link_rel(code, offset, stub)
        return blob

    def append(self, code: bytearray, found: Piece, values: dict[str, int], ways: dict[str, list[tuple[int, int, int]]], n: int, eip: int) -> None:
        """Appends a piece of the n-th instruction, at EIP, with its holes filled, and its jumps to the ways."""
        start = len(code)
        code += found.code
        for offset, hole, addend, form in found.values:
            struct.pack_into(form, code, start + offset, signed((values[hole] + addend) & 0xffffffff))
        for offset, target in found.jumps:
            ways[target].append((start + offset, n, eip))

    def stub(self, blob: Blob, eip: int, count: int, why: int) -> int:
        """Appends an EXIT; its offset."""
        start = len(blob.code)
        blob.code += self.exits[why](signed(eip), count)
        return start


def template(found: Piece) -> Callable[[int, int], bytes]:
    """EXIT's code as a function of its holes, EIP and count: it is copied more often than anything else."""
    holes = sorted((offset, struct.calcsize(form), form[1], hole) for offset, hole, _, form in found.values)
    (a, size, form, first), (b, size2, form2, _) = holes
    assert len(holes) == 2 and not found.jumps and not any(addend for _, _, addend, _ in found.values)
    parts = found.code[:a], found.code[a + size:b], found.code[b + size2:]
    pack = struct.Struct(f'<{len(parts[0])}s{form}{len(parts[1])}s{form2}{len(parts[2])}s').pack
    if first == 'eip':
        return lambda eip, count: pack(parts[0], eip, parts[1], count, parts[2])
    return lambda eip, count: pack(parts[0], count, parts[1], eip, parts[2])


def dead_flags(recipes: list[Recipe]) -> list[bool]:
    """For each instruction, whether the flags it sets are overwritten before anybody can see them."""
    dead, result = False, []
    for found, _ in reversed(recipes):
        result.append(dead)
        dead = (dead or found.kills_flags) and not found.reads_flags and not found.leaves
    return result[::-1]


def branch_target(d: Decoded, end: int) -> int:
    """Where a relative jump that ends at EIP `end` leads."""
    return (end + signed(d.imm)) & (0xffffffff if FORMS[d.form].fields['w'] == 32 else 0xffff)


def signed(x: int) -> int:
    """A hole's 32 bits as a signed number."""
    return x - (1 << 32) if x >> 31 else x


def link_rel(code: bytearray, at: int, target: int) -> None:
    """Makes the rel32 at an offset lead to another offset of the same code."""
    struct.pack_into('<i', code, at, target - (at + 4))
