"""Optimised translations: a hot region's texts lowered with everything constant, and compiled by LLVM in a worker process.

The guest's registers live in SSA from the region's way in to its exits, loops included. Flags are not computed where they are set: it is noted which text would
(`pending`), and that is lowered where somebody reads them, above all in the cold exits. Leaving is as for stencils: where an instruction misses, the state at its
start goes to the interpreter. What is compiled knows its EIP only as a hole and other blocks by their distance: an image (emu/tcache/image.py), of which any place
with the same bytes makes a translation; its links have stubs from the EXIT stencil.
"""
import hashlib
import struct
import time
from typing import Any, Callable

import llvmlite.binding as llvm

from emu.decoder.table import FORMS
from emu.isa import flags, operands
from emu.isa.language import mask
from emu.isa.language import signed as signed_number
from emu.isa.state import CS, FIELDS
from emu.isa.texts import TEXTS
from emu.jit import build
from emu.jit.interpreter import REGISTERS, TRANSLATION
from emu.jit.lower import HEAD, HOST, Bit, Lower, Machine, Program, Record, Slot, Value, Word, known
from emu.jit.patch import FORMATS, Translator, branch_target, link_rel, read_object, recipe_kind
from emu.jit.regions import Part, Region
from emu.jit.stencils import FLAT, LOADS, OPTIMISE, REDO, TAIL, Unsuitable, host
from emu.mem import access
from emu.tcache.cache import Key, Link, Made
from emu.tcache.image import ANYWHERE, LINK, Image

FLAG_WORDS = ('result', 'carries')
SET_ALL = (flags.flags_arithmetic, flags.flags_logic, flags.flags_result)  # texts that set both words,
SET_SOME = (flags.flags_keep_carry, flags.set_carry, flags.set_carry_overflow)  # and that depend on what was there
CHAIN = 4  # of those in a row, at most
PASSES = ('sroa', 'instruction_combine', 'simplify_cfg', 'new_gvn', 'aggressive_dce', 'sinking', 'simplify_cfg')
HOLE = '@eip = external dso_local global i8, !absolute_symbol !10\n'  # the region's first EIP
BESIDE = (access.read_beside, access.write_beside)  # texts that are outlined for others
WEIGHTS = '!3 = !{!"branch_weights", i32 1000, i32 1}\n'
CONSTANT = '!2 = !{}\n'  # marks loads of what the region does not change: the TLB, and mostly the segments
SEGMENTS = ('selector', 'base', 'limit', 'access', 'reading', 'writing')

Pending = tuple[tuple[Callable[..., Any], list[Value], str], ...]  # a text that sets flags, its arguments, the instruction's text


class Conditional(Exception):
    """Flags are set on one path only: what is pending must be computed before."""


class Optimised(Lower):
    """A region as one function; `ir` is its module."""

    def __init__(self, region: Region, mode: int):
        self.general = recipe_kind(mode) != 0
        super().__init__(Program(), {}, (known_by(mode) if self.general else FLAT) | {('user', 0): mode >> 2 & 1})
        self.invariant = () if any(FORMS[part.last.form].text in LOADS for part in region.parts.values()) else SEGMENTS
        self.region, self.longest, self.sources = region, region.longest(), region.sources()
        self.first = next(iter(region.parts))
        self.registers = [Slot(f'%r.{r}') for r in REGISTERS]
        self.flag_slots = {name: Slot(f'%f.{name}') for name in FLAG_WORDS}
        self.left = Slot('%left')
        self.pending: Pending = ()
        self.replayed: dict[str, Value] | None = None  # while a pending text is lowered: what it has set
        self.incoming: dict[int, Pending] = {}  # parts with one way to them: what is pending there
        self.deferring = True  # flags that an instruction sets, until somebody reads them
        self.splits = 0  # returns inside conditions: what follows is conditional, up to the end of the text they are in
        self.missed: set[str] = set()
        self.exits: dict[int, str] = {}
        self.primitives: set[str] = set()  # of the host's instructions
        self.cold: list[tuple[str, list[str], Pending, str, int, int, int]] = []  # what cold_exit is told
        for part in region.parts.values(): self.part(part)
        for exit_ in self.cold: self.cold_exit(*exit_)
        self.ir = (HEAD + HOLE + host(self.primitives) + ''.join(f'declare preserve_nonecc void @{s}({TRANSLATION})\n' for s in self.exits.values())
                   + f'define preserve_nonecc void @region({TRANSLATION}) nounwind noimplicitfloat {{\nentry:\n'
                   + '\n'.join(self.slots + self.way_in() + self.lines) + '\n}\n' + TAIL + CONSTANT + WEIGHTS)

    def way_in(self) -> list[str]:
        """Registers, flags and budget into their slots, which LLVM turns into SSA."""
        out = [f'  {s} = alloca i64' for s in (*self.registers, *self.flag_slots.values(), self.left)]
        out += [f'  {s}.in = zext i32 %{r} to i64\n  store i64 {s}.in, ptr {s}' for s, r in zip(self.registers, REGISTERS)]
        out += [f'  {s}.at = getelementptr i8, ptr %m, i64 {FIELDS[name].offset}\n  {s}.in = load i64, ptr {s}.at\n  store i64 {s}.in, ptr {s}'
                for name, s in self.flag_slots.items()]
        return [*out, f'  store i64 %budget, ptr {self.left}']

    # --- one part after the other ---------------------------------------------------------------------------------------------

    def part(self, part: Part) -> None:
        """A basic block, off the budget as a whole; a header leaves before it if the longest way to the next look at the budget is too long."""
        self.label(f'p{part.eip}')
        self.pending = self.incoming.get(part.eip, ())
        if part.eip in self.region.headers:
            go, short = self.new(), self.new()
            self.note_exit(short, len(part.block), 0, part.eip)
            over = self.emit(f'icmp slt i64 {self.load(self.left, 64)}, {self.longest[part.eip]}', str)
            if self.general and part.eip == self.first: over = self.beyond(over)
            self.jump(f'br i1 {over}, label %{short}, label %{go}, !prof !1')
            self.label(go)
        self.store(self.emit(f'sub i64 {self.load(self.left, 64)}, {len(part.block)}'), self.left, 64)
        self.at, self.next_eip = part, part.eip
        for n, d in enumerate(part.block): self.instruction(n, d)
        if part.end in part.ways(): self.go_on(part.end)
        else: self.jump('unreachable')

    def beyond(self, also: str) -> str:
        """Or whether the code segment ends before the region does."""
        last = max(part.eip + part.length - 1 for part in self.region.parts.values())
        short = self.emit(f'icmp slt i64 {self.read_state("limit", CS)}, {last}', str)
        return self.emit(f'or i1 {also}, {short}', str)

    def instruction(self, n: int, d: Any) -> None:
        """One instruction's text, and where it goes if it misses."""
        form, start = FORMS[d.form], self.next_eip
        self.fields = {k: int(v) for k, v in form.fields.items()} | d._asdict() | {'index': d.index_register, 'len': d.length}
        self.next_eip, self.text_name, self.miss = (start + d.length) & 0xffffffff, form.text, self.new()
        if len(self.pending) > CHAIN: self.settle()
        before = len(self.lines), self.pending
        try:
            self.inline(TEXTS[form.text], [Machine('%m'), Record('')])
        except Conditional:
            del self.lines[before[0]:]
            self.pending, self.depth, self.splits, self.open, self.env = before[1], 0, 0, True, {}
            self.missed.discard(self.miss)
            self.settle()
            before, self.deferring = (len(self.lines), ()), False
            self.inline(TEXTS[form.text], [Machine('%m'), Record('')])
            self.deferring = True
        if self.miss in self.missed:
            after, now, was_open, self.lines = self.lines[before[0]:], self.pending, self.open, self.lines[:before[0]]
            self.pending = before[1]
            self.note_exit(self.miss, len(self.at.block) - n, len(self.at.block) - n, start)
            self.lines, self.pending, self.open = self.lines + after, now, was_open

    def note_exit(self, label: str, rest: int, back: int, eip: int) -> None:
        """The state as it is here goes to the interpreter at a label, for so many instructions, with so many given back to the budget."""
        values = [self.load(s, 64) for s in (*self.registers, *self.flag_slots.values(), self.left)]
        self.cold.append((label, values[:-1], self.pending, values[-1], rest, back, eip))

    def cold_exit(self, label: str, values: list[str], pending: Pending, left: str, rest: int, back: int, eip: int) -> None:
        """Registers and flag words, what is pending, and the budget as they were noted: they leave."""
        self.label(label)
        self.pending, self.replayed = pending, None
        words = dict(zip(FLAG_WORDS, values[8:]))
        words = self.replay({name: Word(v) for name, v in words.items()})
        Lower.write_state(self, 'reason', 0, REDO + rest)
        self.call_out('LEAVE', values[:8], words, self.emit(f'add i64 {left}, {back}'), self.place(eip))

    def call_out(self, where: str, values: list[str], words: dict[str, Value], budget: str, t0: Value) -> None:
        """The flag words to State, the registers to the next piece of code: a link, or where a field of State leads."""
        for name in FLAG_WORDS: self.store(words[name], Lower.state_place(self, name, 0), 64)
        registers = ', '.join(f'i32 {self.emit(f"trunc i64 {v} to i32")}' for v in values)
        target = f'@{where}' if where not in ('LEAVE', 'LOOKUP') else self.emit(f'load ptr, ptr {Lower.state_place(self, where.lower(), 0)}')
        self.lines.append(f'  musttail call preserve_nonecc void {target}(ptr %m, {registers}, i64 {budget}, i64 {self.word(t0)}, i64 poison){" cold" if where == "LEAVE" else ""}')
        self.jump('ret void')

    def go_on(self, eip: int) -> None:
        """To another part of the region, or out."""
        if eip not in self.region.parts:
            return self.go_out(self.exits.setdefault(eip, f'to.{self.distance(eip)}'), Word('poison'))
        if self.sources[eip] == 1: self.incoming[eip] = self.pending
        else:
            for name, v in self.words().items(): self.store(v, self.flag_slots[name], 64)
        self.jump(f'br label %p{eip}')
        return None

    def go_out(self, where: str, t0: Value) -> None:
        self.call_out(where, [self.load(s, 64) for s in self.registers], self.words(), self.load(self.left, 64), t0)

    # --- flags ------------------------------------------------------------------------------------------------------------------

    def words(self) -> dict[str, Value]:
        """Both flag words as they are now, what is pending computed."""
        return self.replay({name: self.load(s, 64) for name, s in self.flag_slots.items()})

    def replay(self, words: dict[str, Value]) -> dict[str, Value]:
        """What the pending texts make of the words."""
        outer, self.replayed = self.replayed, words
        for text, args, _ in self.pending: super().inline(text, args)
        self.replayed = outer
        return words

    def settle(self) -> None:
        """Nothing is pending any more."""
        for name, v in self.words().items(): self.store(v, self.flag_slots[name], 64)
        self.pending = ()

    def straight(self) -> bool:
        """Whether what is lowered now is executed whenever its instruction is."""
        return self.depth == 0 and self.splits == 0

    def give_back(self, v: Value) -> None:
        self.splits += self.depth > self.ret.depth
        super().give_back(v)

    def comparison(self, condition: int) -> str | None:
        """B, Z, BE, L or LE after CMP and SUB, said directly."""
        text, args, name = self.pending[-1]
        how = {1: 'ult', 2: 'eq', 3: 'ule', 6: 'slt', 7: 'sle'}.get(condition)
        if text is not flags.flags_arithmetic or name not in ('CMP', 'SUB') or not how: return None
        _, a, b, _, w = args
        if condition in (6, 7): a, b = (signed_number(x, w) if known(x) else self.p_signed(x, w) for x in (a, b))
        return self.emit(f'icmp {how} i64 {self.word(a)}, {self.word(b)}', str)

    # --- what differs from the interpreter ------------------------------------------------------------------------------------

    def leave(self) -> int:
        """The instruction is the interpreter's; what follows is never reached."""
        self.fault(0, 0)
        self.label(self.new())
        return 0

    def fault(self, vector: Value, code: Value) -> None:
        self.missed.add(self.miss)
        self.jump(f'br label %{self.miss}')

    def call_outlined(self, text: Callable[..., Any], args: list[Value], attempt: bool = False) -> Value:
        if text in BESIDE: return self.inline(text, args)
        return self.leave()

    def branch(self, condition: Value, yes: str, no: str) -> None:
        hit = ', !prof !3' if self.text in (access.write, access.read_for_write) else ''
        self.jump(f'br i1 {self.bit(condition)}, label %{yes}, label %{no}{hit}')

    def primitive(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text.__module__ == 'emu.isa.language' and args and isinstance(args[0], Machine): return self.leave()  # ports, devices
        if text.__name__ in HOST: self.primitives.add(text.__name__)
        return super().primitive(text, args)

    def read_record(self, i: Record, name: str) -> Value:
        return self.fields[name]

    def distance(self, eip: int) -> int:
        """How far an EIP is from the first, modulo 2**32: a jump may cross half of the address space."""
        return signed_number(eip - self.first, 32)

    def place(self, eip: int) -> Value:
        """An EIP, by its distance from the first."""
        return self.emit(f'and i64 ptrtoint (ptr getelementptr (i8, ptr @eip, i64 {self.distance(eip)}) to i64), 4294967295')

    def read_state(self, name: str, index: Value) -> Value:
        if name == 'reg':
            if not known(index): raise Unsuitable('a register number is open')
            return 0 if index == 8 else self.load(self.registers[index], 64)
        if name == 'eip': return self.place(self.next_eip)
        if name in FLAG_WORDS: return self.words()[name] if self.replayed is None else self.replayed[name]
        if (name, index) in self.known_state: return self.known_state[name, index]
        if name.startswith('tlb_') or name in self.invariant: return self.load(self.state_place(name, index), FIELDS[name].bits, ', !invariant.load !2')
        return super().read_state(name, index)

    def write_state(self, name: str, index: Value, v: Value) -> None:
        if name == 'reg':
            self.store(self.emit(f'and i64 {self.word(v)}, 4294967295'), self.registers[index], 64)
        elif name in FLAG_WORDS:
            if self.replayed is not None: self.replayed[name] = v
            else:
                if self.pending:
                    if not self.straight(): raise Conditional
                    self.settle()
                self.store(v, self.flag_slots[name], 64)
        elif name in ('eip', 'budget', 'deferred'): raise Unsuitable(f'it sets {name}')
        else: super().write_state(name, index, v)

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text is operands.branch:
            target = branch_target(self.at.last, self.next_eip)
            if target not in self.region.parts: super().inline(operands.check_target, [args[0], target])
            return self.go_on(target)
        if text is operands.arrive: return self.go_out('LOOKUP', args[1])
        if text in SET_ALL + SET_SOME and self.deferring and self.replayed is None and self.straight():
            self.pending = ((text, args, self.text_name),) if text in SET_ALL else (*self.pending, (text, args, self.text_name))
            return None
        if text is flags.condition and self.pending and (c := self.comparison(args[1] >> 1)):
            return self.emit(f'xor i1 {c}, {args[1] & 1}', Bit)
        splits = self.splits
        v = super().inline(text, args)
        self.splits = splits
        return v


def known_by(mode: int) -> dict[tuple[str, int], int]:
    """What a mode key that is not flat says of State; checks that may be left out are made."""
    bit = lambda n: mode >> n & 1  # noqa: E731
    return {('code32', 0): bit(0), ('stack_mask', 0): mask(32) if bit(1) else mask(16), ('protected', 0): bit(3), ('vm86', 0): bit(4),
            **{('reach', n): 0 for n in range(6)}}


def compile_function(ir: str) -> bytes:
    """IR text -> object file, by the passes that pay: all of O2 takes twice as long and makes nothing faster."""
    target = build.machine(False, 'small')
    module = llvm.parse_assembly(ir)
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    inliner = llvm.create_new_module_pass_manager()
    inliner.add_always_inliner_pass()  # x87's primitives: a region is one function
    inliner.add_global_dead_code_eliminate_pass()
    inliner.run(module, builder)
    manager = llvm.create_new_function_pass_manager()
    for name in PASSES: getattr(manager, f'add_{name}_pass')()
    manager.run(module.get_function('region'), builder)
    return target.emit_object(module)


def version() -> str:
    """Names everything that an image depends on besides the guest."""
    return hashlib.sha256(''.join(map(build.version, ('stencils', 'optimise', 'regions', 'patch'))).encode()).hexdigest()[:20]


def ready() -> None:
    """Called first in a worker, so that it has imported everything."""
    build.machine(False, 'small')


def compile_region(region: Region, mode: int) -> tuple[bytes | None, float]:
    """The object file of a region, None where it cannot be had, and the seconds it took. Runs in a worker process.

    The answer follows from the arguments and our sources: images are found by the guest's bytes and the mode key, in later runs too (docs/archive.md)."""
    started = time.process_time()
    try:
        obj = compile_function(Optimised(region, mode).ir)
    except (Unsuitable, RuntimeError):
        obj = None
    return obj, time.process_time() - started


def image(obj: bytes, region: Region, mode: int, code: list[bytes], seconds: float) -> Image | None:
    """A compiled region as an image: what can be kept; `code`: the guest's bytes of each part. None: it is not of that kind."""
    try:
        functions = read_object(obj)
    except AssertionError:
        return None
    if list(functions) != ['region']: return None  # it calls something that would not come along
    text, relocations = functions['region']
    open_ = []
    for at, kind, symbol, addend in relocations:
        if symbol == 'eip' and kind in FORMATS: open_.append((at, kind, addend))
        elif symbol.startswith('to.') and kind in (2, 4): open_.append((at, LINK, int(symbol.removeprefix('to.'))))
        else: return None
    first = next(iter(region.parts))
    wraps = any(FORMS[part.last.form].ends == 'rel' and FORMS[part.last.form].fields['w'] == 16 for part in region.parts.values())
    return Image(mode, first if wraps or recipe_kind(mode) else ANYWHERE, seconds, tuple(part.eip - first for part in region.parts.values()), tuple(code),
                 sum(len(part.block) for part in region.parts.values()), text, tuple(open_))


def made(found: Image, key: Key, translator: Translator, number: int, entrance: str = 'USED') -> Made:
    """The translation that an image is at a place with its bytes, as record `number` of the cache. It begins with a stencil that counts."""
    p, eip, _ = key
    begin = translator.entrance(entrance, number)
    code = bytearray(begin.code + found.code)
    for at, _ in begin.jumps:
        link_rel(code, at, len(code))
        code += translator.exit(eip, OPTIMISE)
    stubs: dict[int, int] = {}
    links = []
    for at, kind, distance in found.open:
        at += len(begin.code)
        if kind != LINK:
            struct.pack_into(FORMATS[kind], code, at, signed_number(eip + distance, 32))
            continue
        target = (eip + distance) & 0xffffffff
        if target not in stubs:
            stubs[target] = len(code)
            code += translator.exit(target)
        link_rel(code, at, stubs[target])
        if 0 <= (p & 4095) + distance < 4096: links.append(Link(at, stubs[target], target))
    ranges = [(p + distance, len(part)) for distance, part in zip(found.distances, found.parts)]
    return Made(number, key, bytes(code), ranges, links, found.seconds)
