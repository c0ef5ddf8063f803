"""Stencils: every common form's text compiled once with its numbers left open, for translations by copy-and-patch (emu/jit/patch.py).

Guest registers are pinned: they come as arguments and leave as arguments of the next stencil (preserve_nonecc, musttail). Numbers are holes: external
symbols whose addresses the copy gets patched in. Where a text raises, misses the TLB or calls an outlined text, the stencil continues at MISS with the
registers as they came in, and the interpreter redoes the instruction: so which forms have a stencil follows from the texts alone.
A memory operand's linear address comes in t0 (from an ADDRESS and perhaps a SEGMENT stencil), a register source's value in t1 (from a GET stencil).
"""
import json
import re
from itertools import product
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from emu.decoder.table import FORMS, Form
from emu.isa import operands, x87_lower
from emu.isa.language import mask
from emu.isa.operands import REG, address, get_reg
from emu.isa.state import CS, DS, FIELDS, FS, GS
from emu.isa.texts import TEXTS
from emu.jit.interpreter import REGISTERS, TRANSLATION
from emu.jit.lower import HEAD, Lower, Machine, Program, Record, Slot, Value, Word, known
from emu.mem.access import linear

FLAG_WORDS = frozenset(('result', 'carries'))
HOLES = ('imm', 'imm2', 'disp', 'eip', 'tlb', 'len', 'count', 'counter', 'opcode')
TARGETS = ('NEXT', 'TAKEN', 'MISS', 'WARM')
FLAT = {('code32', 0): 1, ('stack_mask', 0): 0xffffffff, ('user', 0): 0, ('protected', 0): 1, ('vm86', 0): 0, ('limit', CS): 0xffffffff,
        **{('reach', n): 3 for n in range(4)}, **{('base', n): 0 for n in range(4)}}  # mode key bit 5: flat
WRITE_SOURCE = ('XCHG', 'XADD')
SEGMENT_SOURCE = ('PUSH_SEG', 'MOV_FROM_SEG')
FIXED = {'rep': 0, 'lock': 0, 'seg': DS, 'amask': 0xffffffff}  # what a stencil takes for granted of an instruction; checked only if it asked


class Unsuitable(Exception):
    """This text cannot be a stencil."""


class Stencil(Lower):
    """One stencil: what it reads and writes of the flags is noted while it is lowered."""

    def __init__(self, name: str, text: Callable[..., Any], fields: dict[str, int], drop_flags: bool = False, result: str = ''):
        super().__init__(Program(), fields, FLAT)
        self.name, self.drop_flags = name, drop_flags
        self.registers = [Slot(f'%r.{r}') for r in REGISTERS]
        self.asked: set[str] = set()
        self.reads_flags = self.leaves = self.sets_flags = False
        self.flow: frozenset[str] | None = frozenset()  # flag words written on every path to here; None: not reached
        self.merged: dict[str, frozenset[str]] = {}
        self.kills: frozenset[str] | None = None  # written on every path to an end
        self.source_width = 0
        v = self.inline(text, [Machine('%m'), Record('')])
        if self.open:
            self.go('NEXT', **({result: v} if result else {}))
        if self.kills is None:
            raise Unsuitable(f'{name} always leaves')
        begin = [f'  {s} = alloca i64\n  {s}.in = zext i32 %{r} to i64\n  store i64 {s}.in, ptr {s}' for s, r in zip(self.registers, REGISTERS)]
        miss = f'miss:\n  musttail call preserve_nonecc void @MISS({PLAIN})\n  ret void\n'
        self.ir: str = (f'define preserve_nonecc void @"{name}"({TRANSLATION}) nounwind noimplicitfloat {{\nentry:\n' + '\n'.join(self.slots + begin + self.lines)
                   + f'\n{miss if self.leaves else ""}}}\n')

    def go(self, where: str, t0: Value = None, t1: Value = None) -> None:
        """Continues in the next piece of code."""
        if self.flow is not None:
            self.kills = self.flow if self.kills is None else self.kills & self.flow
        registers = [f'i32 {self.emit(f"trunc i64 {self.load(s, 64)} to i32")}' for s in self.registers]
        t0 = '%t0' if t1 is not None and t0 is None else 'poison' if t0 is None else self.word(t0)
        t1 = 'poison' if t1 is None else self.word(t1)
        target = f'@{where}' if where in TARGETS else self.emit(f'load ptr, ptr {Lower.state_place(self, where.lower(), 0)}')
        self.lines.append(f'  musttail call preserve_nonecc void {target}(ptr %m, {", ".join(registers)}, i64 %budget, i64 {t0}, i64 {t1})')
        self.jump('ret void')

    def jump(self, line: str) -> None:
        if self.flow is not None:
            for label in re.findall(r'label %([\w.]+)', line):
                self.merged[label] = self.merged.get(label, self.flow) & self.flow
        super().jump(line)

    def label(self, name: str) -> None:
        if self.open and self.flow is not None:
            self.merged[name] = self.merged.get(name, self.flow) & self.flow
        super().label(name)
        self.flow = self.merged.get(name)

    def leave(self) -> int:
        """Gives the instruction to the interpreter; what follows is never reached."""
        self.leaves = True
        self.jump('br label %miss')
        self.label(self.new())
        return 0

    def hole(self, name: str) -> Any:
        return self.emit(f'and i64 {self.emit(f"ptrtoint ptr @{name} to i64")}, 4294967295')

    # --- what differs from the interpreter -----------------------------------------------------------------------------------

    def read_record(self, i: Record, name: str) -> Value:
        if name in self.fields:
            return self.fields[name]
        self.asked.add(name)
        if name in FIXED:
            return FIXED[name]
        if name in HOLES:
            return self.hole(name)
        raise Unsuitable(f'{self.name} needs {name}')

    def state_place(self, name: str, index: Value) -> str:
        place = super().state_place(name, index)
        if name.startswith('tlb_'):
            return self.emit(f'getelementptr i8, ptr {place}, i64 {self.emit("ptrtoint ptr @tlb to i64")}', str)
        return place

    def read_state(self, name: str, index: Value) -> Value:
        if name == 'reg':
            if not known(index):
                raise Unsuitable(f'{self.name}: a register number is open')
            return 0 if index == 8 else self.load(self.registers[index], 64)
        if name == 'eip':
            return self.hole('eip')
        if name in ('result', 'carries'):
            self.reads_flags = True
        return super().read_state(name, index)

    def write_state(self, name: str, index: Value, v: Value) -> None:
        if name == 'reg':
            self.lines.append(f'  store i64 {self.emit(f"and i64 {self.word(v)}, 4294967295")}, ptr {self.registers[index]}')
        elif name in ('result', 'carries'):
            self.sets_flags = True
            if self.flow is not None:
                self.flow |= {name}
            if not self.drop_flags:
                super().write_state(name, index, v)
        elif name in ('eip', 'budget', 'deferred'):
            raise Unsuitable(f'{self.name} sets {name}')
        else:
            super().write_state(name, index, v)

    def fault(self, vector: Value, code: Value) -> None:
        self.leaves = True
        self.jump('br label %miss')

    def call_outlined(self, text: Callable[..., Any], args: list[Value], attempt: bool = False) -> Value:
        return self.leave()

    def primitive(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text.__module__ == 'emu.isa.language' and args and isinstance(args[0], Machine):
            return self.leave()  # ports, devices
        return super().primitive(text, args)

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text is operands.address:
            self.asked.add('address')
            return Word('%t0')
        if text is operands.src and self.fields.get('src_kind') == REG and 'src' not in self.fields:
            assert self.source_width in (0, args[2])
            self.source_width = args[2]
            return Word('%t1')
        if text is operands.branch:
            self.asked.add('imm')
            self.taken = True
            return self.go('TAKEN')
        if text is operands.jump:
            return self.go('LOOKUP', t0=args[1])
        return super().inline(text, args)


class Kind(NamedTuple):
    """What a translator has to know of a stencil besides its code."""

    reads_flags: bool
    kills_flags: bool
    leaves: bool
    asked: list[str]
    source_width: int


# --- which stencils there are ------------------------------------------------------------------------------------------------

def ADDRESS(m, i):
    return address(m, i)


def GET(m, i):
    return get_reg(m, i.src, i.w)


def SEGMENT(m, i):
    return linear(m, i.seg, i.offset, i.size, i.need)


class AddressStencil(Stencil):
    """Fills t0 with an effective address."""

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        return Lower.inline(self, text, args)


class SegmentStencil(Stencil):
    """Adds FS's or GS's base to t0, after its check."""

    def read_record(self, i: Record, name: str) -> Value:
        return Word('%t0') if name == 'offset' else super().read_record(i, name)


def numbers(form: Form) -> tuple[str, ...]:
    """The register numbers that a form's stencils are specialised for: the destination's; the source's too where it is more than a value."""
    names = ('dst',) if form.fields.get('dst_kind') == REG else ()
    return (*names, 'src') if form.text in WRITE_SOURCE + SEGMENT_SOURCE or 'STi' in form.operands else names


def specialised(form: Form) -> Iterator[tuple[str, dict[str, int]]]:
    """Suffix and known fields of each of a form's stencils."""
    names = numbers(form)
    for values in product(*(range(6 if name == 'src' and form.text in SEGMENT_SOURCE else 8) for name in names)):
        yield ''.join(f'.{n}' for n in values), {k: int(v) for k, v in form.fields.items()} | dict(zip(names, values))


def operation_stencils(form: Form) -> Iterator[Stencil]:
    """The stencils of a form, none if its text does not suit; those that set flags also without ('-')."""
    if form.ends == 'end' and form.text not in ('RET_NEAR', 'CALL_NEAR', 'JMP_NEAR'):
        return
    try:
        for suffix, fields in specialised(form):
            stencil = Stencil(form.name + suffix, TEXTS[form.text], fields)
            yield stencil
            if stencil.sets_flags:
                yield Stencil(form.name + suffix + '-', TEXTS[form.text], fields, drop_flags=True)
    except Unsuitable:
        return


def operand_stencils() -> Iterator[Stencil]:
    """ADDRESS.base.index.scale (32 bits), ADDRESS16.base.index, GET.width.register, SEGMENT.n."""
    for base in range(9):
        for index, scale in [(8, 0)] + [(n, s) for n in (0, 1, 2, 3, 5, 6, 7) for s in range(4)]:
            yield AddressStencil(f'ADDRESS.{base}.{index}.{scale}', ADDRESS, {'base': base, 'index': index, 'scale': scale, 'amask': mask(32)}, result='t0')
    for base, index in ((3, 6), (3, 7), (5, 6), (5, 7), (6, 8), (7, 8), (5, 8), (3, 8), (8, 8)):
        yield AddressStencil(f'ADDRESS16.{base}.{index}.0', ADDRESS, {'base': base, 'index': index, 'scale': 0, 'amask': mask(16)}, result='t0')
    for w in (8, 16, 32):
        for n in range(8):
            yield AddressStencil(f'GET.{w}.{n}', GET, {'w': w, 'src': n}, result='t1')
    for seg in (FS, GS):
        yield SegmentStencil(f'SEGMENT.{seg}', SEGMENT, {'seg': seg, 'size': 1, 'need': 3}, result='t0')


def all_stencils() -> Iterator[Stencil]:
    yield from operand_stencils()
    for form in FORMS:
        yield from operation_stencils(form)


PLAIN = TRANSLATION.replace('%t0', 'poison').replace('%t1', 'poison')
FRAME = f'''
define preserve_nonecc void @BEGIN({TRANSLATION}) nounwind {{
  %n = ptrtoint ptr @count to i64
  %left = sub i64 %budget, %n
  %over = icmp slt i64 %left, 0
  br i1 %over, label %miss, label %go, !prof !1
go:
  musttail call preserve_nonecc void @NEXT({PLAIN.replace('%budget', '%left')})
  ret void
miss:
  musttail call preserve_nonecc void @MISS({PLAIN.replace('%budget', '%left')})
  ret void
}}
define preserve_nonecc void @COUNT({TRANSLATION}) nounwind {{
  %at = getelementptr i8, ptr %m, i64 ptrtoint (ptr @counter to i64)
  %old = load i32, ptr %at
  %new = sub i32 %old, 1
  store i32 %new, ptr %at
  %hot = icmp slt i32 %new, 0
  br i1 %hot, label %warm, label %go, !prof !1
go:
  musttail call preserve_nonecc void @NEXT({PLAIN})
  ret void
warm:
  musttail call preserve_nonecc void @WARM({PLAIN})
  ret void
}}
define preserve_nonecc void @USED({TRANSLATION}) nounwind {{
  %at = getelementptr i8, ptr %m, i64 ptrtoint (ptr @counter to i64)
  %old = load i32, ptr %at
  %new = sub i32 %old, 1
  store i32 %new, ptr %at
  musttail call preserve_nonecc void @NEXT({PLAIN})
  ret void
}}
define preserve_nonecc void @RECORD({TRANSLATION}) nounwind {{
  %p = getelementptr i8, ptr %m, i64 {FIELDS['trace_at'].offset}
  %q = getelementptr i8, ptr %m, i64 {FIELDS['trace_end'].offset}
  %at = load ptr, ptr %p
  %end = load ptr, ptr %q
  %full = icmp eq ptr %at, %end
  br i1 %full, label %drain, label %go, !prof !1
go:
  %next = getelementptr i8, ptr %at, i64 4
  store ptr %next, ptr %p
  store i32 ptrtoint (ptr @counter to i32), ptr %at
  musttail call preserve_nonecc void @NEXT({PLAIN})
  ret void
drain:
  musttail call preserve_nonecc void @WARM({PLAIN})
  ret void
}}
'''
LOOK_UP, INTERPRET, OPTIMISE, REDO = 0, 1, 2, 3  # why a translation leaves: what State.reason becomes; REDO: plus how many instructions; INTERPRET is REDO + 1


def exits() -> str:
    """EXIT.why: gives instructions back to the budget and goes on at an EIP: by `lookup`, or by `leave`."""
    return ''.join(f'''define preserve_nonecc void @EXIT.{why}({TRANSLATION}) nounwind {{
  %n = ptrtoint ptr @count to i64
  %left = add i64 %budget, %n
  %e = ptrtoint ptr @eip to i64
  %eip = and i64 %e, 4294967295
  %p = getelementptr i8, ptr %m, i64 {FIELDS['lookup' if why == LOOK_UP else 'leave'].offset}
  %f = load ptr, ptr %p
  %r = getelementptr i8, ptr %m, i64 {FIELDS['reason'].offset}
  store i32 {REDO + 1 if why == INTERPRET else why if why != REDO else f'ptrtoint (ptr getelementptr (i8, ptr @count, i64 {REDO}) to i32)'}, ptr %r
  musttail call preserve_nonecc void %f({TRANSLATION.replace('%budget', '%left').replace('%t0', '%eip').replace('%t1', 'poison')})
  ret void
}}
''' for why in (LOOK_UP, INTERPRET, OPTIMISE, REDO))


def head() -> str:
    holes = ''.join(f'@{h} = external dso_local global i8, !absolute_symbol !0\n' for h in HOLES)
    return HEAD + ''.join(f'declare preserve_nonecc void @{t}({TRANSLATION})\n' for t in TARGETS) + holes + x87()


def x87(names: Iterable[str] = x87_lower.NAMES) -> str:
    """x87 primitives, to be inlined: a stencil calls nothing."""
    return x87_lower.functions(names).replace('nounwind {', 'nounwind noimplicitfloat alwaysinline {')


TAIL = '!0 = !{i64 -2147483648, i64 2147483648}\n!1 = !{!"branch_weights", i32 1, i32 1000}\n'
MODULES = 16


def modules() -> tuple[list[str], str]:
    """The IR of all stencils, and their kinds as JSON."""
    stencils = list(all_stencils())
    pieces = [''.join(s.ir for s in stencils[n::MODULES]) for n in range(MODULES)]
    kinds = {s.name: (s.reads_flags, s.kills == FLAG_WORDS, s.leaves, sorted(s.asked), s.source_width) for s in stencils}
    return [head() + (FRAME + exits() if n == 0 else '') + piece + TAIL for n, piece in enumerate(pieces)], json.dumps(kinds)


def read_kinds(notes: str) -> dict[str, Kind]:
    """Name -> kind."""
    return {name: Kind(*values) for name, values in json.loads(notes).items()}
