"""Optimised translations: a hot basic block's texts lowered with everything constant, and compiled by LLVM in a worker process.

The guest's registers and flags live in SSA from the block's start to its end; a block that jumps to its own start becomes a loop. Leaving is as for stencils:
where an instruction misses, the state at its start goes to the interpreter. The compiled function becomes a blob; its links have stubs from the EXIT stencil.
"""
import time
from typing import Any, Callable

from emu.decoder.table import FORMS
from emu.isa import flags, operands, x87_lower
from emu.isa.language import signed as signed_number
from emu.isa.texts import TEXTS
from emu.jit import build
from emu.jit.interpreter import REGISTERS, TRANSLATION
from emu.jit.lower import HEAD, Machine, Record, Slot, Value, Word, known
from emu.jit.patch import Decoded, Translator, branch_target, link_rel, read_object
from emu.jit.stencils import FLAT, INTERPRET, TAIL, Stencil, Unsuitable, x87
from emu.tcache.cache import Blob, Key, Link

FLAG_WORDS = ('result', 'carries')
SYMBOLS = ('TAKEN', 'NEXT')


class Block(Stencil):
    """One basic block as a function; `ir` is its module."""

    def __init__(self, block: list[Decoded], eip: int, mode: int):
        self.start(block, eip, mode)
        self.label('loop')
        self.budget_check()
        for n, d in enumerate(block):
            self.instruction(n, d)
        if self.open:
            self.go('NEXT')
        self.cold_blocks()
        locals_ = [f'  {s} = alloca i64' for s in (*self.registers, *self.flag_slots.values(), self.left)]
        enter = [f'  {s}.in = zext i32 %{r} to i64\n  store i64 {s}.in, ptr {s}' for s, r in zip(self.registers, REGISTERS)]
        for name, slot in self.flag_slots.items():
            enter.append(f'  {slot}.at = getelementptr i8, ptr %m, i64 {build_offset(name)}\n  {slot}.in = load i64, ptr {slot}.at\n  store i64 {slot}.in, ptr {slot}')
        enter.append(f'  store i64 %budget, ptr {self.left}')
        self.ir = (HEAD + x87(self.primitives) + ''.join(f'declare preserve_nonecc void @{s}({TRANSLATION})\n' for s in SYMBOLS)
                   + f'define preserve_nonecc void @block({TRANSLATION}) nounwind noimplicitfloat {{\nentry:\n'
                   + '\n'.join(self.slots + locals_ + enter + self.lines) + '\n}\n' + TAIL)

    def start(self, block: list[Decoded], eip: int, mode: int) -> None:
        from emu.jit.lower import Lower, Program
        Lower.__init__(self, Program(), {}, FLAT | {('user', 0): mode >> 2 & 1})
        self.block_of, self.eip, self.name = block, eip, 'block'
        self.registers = [Slot(f'%r.{r}') for r in REGISTERS]
        self.flag_slots = {name: Slot(f'%f.{name}') for name in FLAG_WORDS}
        self.left = Slot('%left')
        self.flow, self.merged, self.kills = frozenset(), {}, None
        self.drop_flags, self.asked, self.reads_flags, self.leaves, self.sets_flags, self.source_width = False, set(), False, False, False, 0
        self.compared: tuple[Value, Value, int] | None = None
        self.missed: dict[int, list[str]] = {}
        self.text_name = ''
        self.primitives: set[str] = set()  # of x87
        self.ends_at = (eip + sum(d.length for d in block)) & 0xffffffff

    # --- one instruction after the other --------------------------------------------------------------------------------------

    def budget_check(self) -> None:
        """Takes the block off the budget, or leaves before it."""
        left = self.emit(f'sub i64 {self.load(self.left, 64)}, {len(self.block_of)}')
        self.store(left, self.left, 64)
        self.snapshot = self.values()
        self.now = 0
        go = self.new()
        self.jump(f'br i1 {self.emit(f"icmp slt i64 {left}, 0", str)}, label %miss0, label %{go}, !prof !1')
        self.missed[0] = self.snapshot
        self.label(go)

    def values(self) -> list[str]:
        """All registers and flag words as they are now."""
        return [self.load(s, 64) for s in (*self.registers, *self.flag_slots.values())]

    def instruction(self, n: int, d: Decoded) -> None:
        form = FORMS[d.form]
        self.fields = {k: int(v) for k, v in form.fields.items()} | d._asdict() | {'index': d.index_register, 'len': d.length}
        self.now, self.snapshot, self.text_name = n, self.values() if n else self.snapshot, form.text
        self.next_eip = (self.eip + sum(x.length for x in self.block_of[:n + 1])) & 0xffffffff
        self.inline(TEXTS[form.text], [Machine('%m'), Record('')])

    def cold_blocks(self) -> None:
        """Where an instruction misses: the state at its start goes to the interpreter."""
        for n, values in self.missed.items():
            self.label(f'miss{n}')
            eip = (self.eip + sum(d.length for d in self.block_of[:n])) & 0xffffffff
            budget = self.emit(f'add i64 {self.load(self.left, 64)}, {len(self.block_of) - n}')
            Stencil.write_state(self, 'reason', 0, INTERPRET)
            self.call_out('LEAVE', values, budget, eip)

    def call_out(self, where: str, values: list[str], budget: str, t0: Value) -> None:
        """The flag words to State, the registers to the next piece of code."""
        for name, v in zip(FLAG_WORDS, values[8:]):
            self.store(Word(v), Stencil.state_place(self, name, 0), 64)
        registers = ', '.join(f'i32 {self.emit(f"trunc i64 {v} to i32")}' for v in values[:8])
        target = f'@{where}' if where in SYMBOLS else self.emit(f'load ptr, ptr {Stencil.state_place(self, where.lower(), 0)}')
        self.lines.append(f'  musttail call preserve_nonecc void {target}(ptr %m, {registers}, i64 {budget}, i64 {self.word(t0)}, i64 poison)')
        self.jump('ret void')

    # --- what differs from a stencil ---------------------------------------------------------------------------------------------

    def go(self, where: str, t0: Value = None, t1: Value = None) -> None:
        if where == 'TAKEN' and branch_target(self.block_of[-1], self.next_eip) == self.eip:
            return self.jump('br label %loop')
        self.call_out(where, self.values(), self.load(self.left, 64), Word('poison') if where in SYMBOLS else t0)
        return None

    def leave(self) -> int:
        self.missed[self.now] = self.snapshot
        self.jump(f'br label %miss{self.now}')
        self.label(self.new())
        return 0

    def fault(self, vector: Value, code: Value) -> None:
        self.missed[self.now] = self.snapshot
        self.jump(f'br label %miss{self.now}')

    def primitive(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text.__name__ in x87_lower.NAMES:
            self.primitives.add(text.__name__)
        return super().primitive(text, args)

    def read_record(self, i: Record, name: str) -> Value:
        return self.fields[name]

    def state_place(self, name: str, index: Value) -> str:
        return super(Stencil, self).state_place(name, index)

    def read_state(self, name: str, index: Value) -> Value:
        if name == 'eip':
            return self.next_eip
        if name in self.flag_slots:
            return self.load(self.flag_slots[name], 64)
        return super().read_state(name, index)

    def write_state(self, name: str, index: Value, v: Value) -> None:
        if name in self.flag_slots:
            self.compared = None
            self.store(v, self.flag_slots[name], 64)
        else:
            super().write_state(name, index, v)

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text is operands.branch:
            return self.go('TAKEN')
        if text is operands.jump:
            return self.go('LOOKUP', t0=args[1])
        if text is flags.condition and self.compared:
            c = self.comparison(args[1] >> 1)
            if c is not None:
                return self.binary_bit(c, args[1] & 1)
        v = super(Stencil, self).inline(text, args)
        if text is flags.flags_arithmetic and self.text_name in ('CMP', 'SUB') and self.depth == 0:
            self.compared = args[1], args[2], args[4]
        return v

    def binary_bit(self, c: str, negate: int) -> Value:
        from emu.jit.lower import Bit
        return self.emit(f'xor i1 {c}, {negate}', Bit)

    def comparison(self, condition: int) -> str | None:
        """B, Z, BE, L or LE of the comparison before, said directly."""
        assert self.compared
        a, b, w = self.compared
        if condition in (6, 7):
            a, b = (signed_number(x, w) if known(x) else self.p_signed(x, w) for x in (a, b))
        how = {1: 'ult', 2: 'eq', 3: 'ule', 6: 'slt', 7: 'sle'}.get(condition)
        return self.emit(f'icmp {how} i64 {self.word(a)}, {self.word(b)}', str) if how else None


def build_offset(name: str) -> int:
    from emu.isa.state import FIELDS
    return FIELDS[name].offset


def ready() -> None:
    """Called first in a worker, so that it has imported everything."""
    build.machine(False, 'small')


def compile_block(block: list[Decoded], eip: int, mode: int) -> tuple[bytes | None, float]:
    """The object file of a block, None where it cannot be had, and the seconds it took. Runs in a worker process."""
    started = time.process_time()
    try:
        obj = build.compile_module(Block(block, eip, mode).ir, 'small')
    except (Unsuitable, RuntimeError):
        obj = None
    return obj, time.process_time() - started


def blob(obj: bytes, block: list[Decoded], key: Key, translator: Translator) -> Blob | None:
    """The compiled block as a blob for the cache."""
    p, eip, mode = key
    try:
        text, relocations = read_object(obj)['block']
    except AssertionError:
        return None
    code = bytearray(text)
    end = (eip + sum(d.length for d in block)) & 0xffffffff
    made = Blob(key, b'', len(block), sum(d.length for d in block), 'optimised')
    for at, kind, symbol, _ in relocations:
        if kind not in (2, 4):
            return None
        target = end if symbol == 'NEXT' else branch_target(block[-1], end)
        stub = len(code)
        code += translator.exit(target)
        link_rel(code, at, stub)
        if (target ^ eip) & 0xfffff000 == 0:
            made.links.append(Link(at, stub, (p + target - eip, target, mode)))
    made.code = bytes(code)
    return made
