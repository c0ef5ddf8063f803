"""Stencils: every common form's text compiled once with its numbers left open, for translations by copy-and-patch (emu/jit/patch.py).

Guest registers are pinned: they come as arguments and leave as arguments of the next stencil (preserve_nonecc, musttail). Numbers are holes: external
symbols whose addresses the copy gets patched in. Where a text raises, misses the TLB or calls an outlined text, the stencil continues at MISS with the
registers as they came in, and the interpreter redoes the instruction: so which forms have a stencil follows from the texts alone.
A memory operand's linear address comes in t0 (from an ADDRESS and perhaps a SEGMENT stencil), a register source's value in t1 (from a GET stencil).

Most forms mean the same in every mode. Those that would look at segments, the stack's size or the mode itself have a second stencil, whose name ends in `~`: the
first is for flat 32-bit protected-mode code, where these are known, the second reads them from State.
"""
import ast
import json
import re
from itertools import product
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from emu.decoder.table import FORMS, Form
from emu.isa import operands
from emu.isa.language import mask
from emu.isa.operands import MM, REG, XMM, address, get_reg
from emu.isa.state import CS, DS, ES, FIELDS, FS, GS, SS
from emu.isa.texts import TEXTS
from emu.jit.calls import CALLED, NUMBERS, TRANSFERS, version
from emu.jit.interpreter import REGISTERS, TRANSLATION
from emu.jit.lower import HEAD, HOST, Lower, Machine, Program, Record, Slot, Value, Word, host_functions, known, may_fault
from emu.mem.access import linear

FLAG_WORDS = frozenset(('result', 'carries'))
HOLES = ('imm', 'imm2', 'disp', 'eip', 'tlb', 'len', 'count', 'counter', 'opcode', 'seg', 'amask', 'dst', 'src')  # dst, src: of an MMX or XMM register, times 16
RANGES = {'imm': 0, 'amask': 0, 'disp': 1, 'eip': 1}  # others: 2. LLVM loads what is not negative in 5 bytes instead of 10, but adds a large one to 64 bits wrongly
TARGETS = ('NEXT', 'TAKEN', 'MISS', 'WARM')
FLAT = {('code32', 0): 1, ('stack_mask', 0): 0xffffffff, ('user', 0): 0, ('protected', 0): 1, ('vm86', 0): 0, ('limit', CS): 0xffffffff,
        **{('reach', n): 3 for n in (ES, SS, DS)}, **{('base', n): 0 for n in range(4)}}
ANY = {('user', 0): 0, **{('reach', n): 0 for n in range(6)}}  # a check that may be left out may be made, too
WRITE_SOURCE = ('XCHG', 'XADD')
SEGMENT_SOURCE = ('PUSH_SEG', 'MOV_FROM_SEG')
SPARED = re.compile('BSWAP_16|CMPXCHG_16_RR|XADD_.*_RR|CMOVCC_16|PEXTRW_32_RPI|PMOVMSKB_32_RP|LOAD_FAR_32')  # forms that compilers do not ask for, and that would take 700 stencils
SELDOM = ('SLDT', 'STR', 'ARPL')  # flat code's stencils are enough
SEGMENT_TARGET = ('MOV_TO_SEG', 'POP_SEG')
PORTS = ('IN', 'OUT')  # of the accumulator alone
FAR = ('JMP_FAR', 'JMP_FAR_M', 'CALL_FAR', 'CALL_FAR_M', 'RET_FAR')
LOADS = (*SEGMENT_TARGET, 'LOAD_FAR', *FAR)  # they change segment registers
ENDS = ('RET_NEAR', 'CALL_NEAR', 'JMP_NEAR', *LOADS, 'INT', 'IRET', 'POPF', 'STI', *PORTS)  # they end a block, but may have one
REPEATED = {'MOVS': {'': 1}, 'STOS': {'': 1}, 'CMPS': {'1': 1}, 'SCAS': {'2': 2}}  # by name's end: REP, REPE, REPNE; others are rare
CALLS, BUDGET = 1, 2  # bits of `last`: why a stencil ends its block: it calls a text (emu/jit/calls.py), or changes the budget
FIXED = {'rep': 0, 'lock': 0, 'amask': 0xffffffff}  # what a flat stencil takes for granted of an instruction; checked only if it asked


class Unsuitable(Exception):
    """This text cannot be a stencil."""


class Open(str):
    """The number of a segment register that is a hole."""


class Hole(str):
    """That of an MMX or XMM register, which State has 16 bytes apart."""


class Stencil(Lower):
    """One stencil: what it reads and writes of the flags is noted while it is lowered, and what it takes for granted.

    `general`: for all modes, not for flat code alone. `offset`: t0 is the memory operand's offset, not its linear address.
    `ends`: its block may end with it, so that the budget is what is left behind it.
    """

    def __init__(self, name: str, text: Callable[..., Any], fields: dict[str, int], drop_flags: bool = False, result: str = '', general: bool = False, offset: bool = False,
                 ends: bool = False):
        super().__init__(Program(), fields, ANY if general else FLAT)
        self.name, self.drop_flags, self.general, self.offset, self.ends = name, drop_flags, general, offset, ends
        self.last = 0
        self.left, self.next = Slot('%s.budget'), Slot('%s.eip')
        self.flat = False  # it took for granted what holds in flat code only
        self.from_t0: dict[str, int] = {}  # values that are t0 plus a known number
        self.extent = self.need = 0  # the bytes from t0 on that it accesses, and how
        self.registers = [Slot(f'%r.{r}') for r in REGISTERS]
        self.asked: set[str] = set()
        self.reads_flags = self.leaves = self.sets_flags = False
        self.flow: frozenset[str] | None = frozenset()  # flag words written on every path to here; None: not reached
        self.merged: dict[str, frozenset[str]] = {}
        self.kills: frozenset[str] | None = None  # written on every path to an end
        self.source_width = 0
        v = self.inline(text, [Machine('%m'), Record('')])
        if self.last & CALLS: self.look_if_changed()
        if self.open:
            self.go('NEXT', **({result: v} if result else {}))
        if self.kills is None:
            raise Unsuitable(f'{name} always leaves')
        begin = [f'  {s} = alloca i64\n  {s}.in = zext i32 %{r} to i64\n  store i64 {s}.in, ptr {s}' for s, r in zip(self.registers, REGISTERS)]
        if self.last: begin += self.way_in()
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
        budget = self.load(self.left, 64) if self.last else '%budget'
        self.lines.append(f'  musttail call preserve_nonecc void {target}(ptr %m, {", ".join(registers)}, i64 {budget}, i64 {t0}, i64 {t1})')
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

    def binary(self, op: type[ast.operator], a: Value, b: Value) -> Value:
        v = super().binary(op, a, b)
        if isinstance(a, Word) and a in self.from_t0 and known(b):
            if op is ast.Add: self.from_t0[v] = self.from_t0[a] + b
            elif op is ast.BitAnd and b == mask(32): self.from_t0[v] = self.from_t0[a]
        return v

    def hole(self, name: str) -> Any:
        v = self.emit(f'ptrtoint ptr @{name} to i64')
        return self.emit(f'and i64 {v}, 4294967295') if RANGES.get(name) == 0 else v

    # --- what differs from the interpreter -----------------------------------------------------------------------------------

    def read_record(self, i: Record, name: str) -> Value:
        if name in self.fields:
            return self.fields[name]
        self.asked.add(name)
        if name == 'seg':
            return Open(name)
        if name in FIXED and not (name == 'amask' and self.general):
            self.flat |= name == 'amask'
            return FIXED[name]
        if self.fields.get(name + '_kind') in (MM, XMM):
            return Hole(name)
        if name in HOLES and name not in ('dst', 'src'):
            return self.hole(name)
        raise Unsuitable(f'{self.name} needs {name}')

    def state_place(self, name: str, index: Value) -> str:
        if isinstance(index, Open):
            return self.emit(f'getelementptr i{8 * FIELDS[name].stride}, ptr {super().state_place(name, 0)}, i64 {self.hole(index)}', str)
        if isinstance(index, Hole):
            assert FIELDS[name].stride == 16
            return self.emit(f'getelementptr i8, ptr {super().state_place(name, 0)}, i64 {self.emit(f"ptrtoint ptr @{index} to i64")}', str)
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
        if name == 'budget':
            self.end_block(BUDGET)
            return self.load(self.left, 64)
        if name in ('result', 'carries'):
            self.reads_flags = True
        if name == 'reach' and self.general:
            return 0
        self.flat |= not self.general and (name, index) in FLAT and name != 'user'
        return super().read_state(name, index)

    def write_state(self, name: str, index: Value, v: Value) -> None:
        if name == 'fpu_dp' and isinstance(v, Word) and v in self.from_t0:  # an offset, which is not what t0 is
            if self.general: v = self.binary(ast.BitAnd, self.binary(ast.Sub, v, self.read_state('base', Open('seg'))), mask(32))
            else: self.take_flat()
        if name == 'reg':
            self.lines.append(f'  store i64 {self.emit(f"and i64 {self.word(v)}, 4294967295")}, ptr {self.registers[index]}')
        elif name in ('result', 'carries'):
            self.sets_flags = True
            if self.flow is not None:
                self.flow |= {name}
            if not self.drop_flags:
                super().write_state(name, index, v)
        elif name == 'budget':
            self.end_block(BUDGET)
            self.store(v, self.left, 64)
        elif name == 'eip':
            if not self.last & CALLS: raise Unsuitable(f'{self.name} sets {name}')
            self.store(v, self.next, 64)
        else:
            super().write_state(name, index, v)

    def take_flat(self) -> None:
        """It takes for granted that the memory operand's segment is flat."""
        self.flat = True
        self.asked.add('flat seg')

    def fault(self, vector: Value, code: Value) -> None:
        self.leaves = True
        self.jump('br label %miss')

    def call_outlined(self, text: Callable[..., Any], args: list[Value], attempt: bool = False) -> Value:
        return self.call_out(text, args) if text in CALLED else self.leave()

    def end_block(self, why: int) -> None:
        """Nothing of the block may come behind it."""
        if not (self.ends and self.general): raise Unsuitable(f'{self.name}: its block does not end')
        self.last |= why

    def way_in(self) -> list[str]:
        """What is in slots besides registers: the budget, where execution goes on; and what must not have changed then."""
        words = {name: FIELDS[name].offset for name in ('mode', 'changes')}
        return [f'  {self.left} = alloca i64\n  store i64 %budget, ptr {self.left}\n  {self.next} = alloca i64\n  {self.next}.in = ptrtoint ptr @eip to i64\n'
                f'  store i64 {self.next}.in, ptr {self.next}',
                *(f'  %{name}.at = getelementptr i8, ptr %m, i64 {offset}\n  %{name}.in = load i32, ptr %{name}.at' for name, offset in words.items())]

    def call_out(self, text: Callable[..., Any], args: list[Value]) -> Value:
        """Calls a text of CALLED on State as the interpreter would have it, and takes the registers from there again."""
        self.end_block(CALLS)
        self.leaves = self.reads_flags = True
        name, rest = version(text, args)
        given = ', '.join('ptr %m' if isinstance(v, Machine) else f'i64 {self.hole(v) if isinstance(v, Open) else self.word(v)}' for v in rest)
        fields = [(s, 'reg', n) for n, s in enumerate(self.registers)] + [(self.left, 'budget', 0), (self.next, 'eip', 0)]
        for slot, field, n in fields: Lower.write_state(self, field, n, self.load(slot, 64))
        target = self.emit(f'load ptr, ptr {self.state_place("calls", NUMBERS[name])}', str)
        if may_fault(text):
            pair, go, bad = self.emit(f'call {{i64, i1}} {target}({given})', str), self.new(), self.new()
            self.jump(f'br i1 {self.emit(f"extractvalue {{i64, i1}} {pair}, 1", str)}, label %{bad}, label %{go}, !prof !1')
            self.label(bad)
            failed = self.emit(f'load ptr, ptr {self.state_place("failed", 0)}', str)
            self.asked.add('len')
            self.lines.append(f'  musttail call preserve_nonecc void {failed}({NOTHING.format(self.hole("len"))})')
            self.jump('ret void')
            self.label(go)
            v = self.emit(f'extractvalue {{i64, i1}} {pair}, 0')
        else: v = self.emit(f'call i64 {target}({given})')
        for slot, field, n in fields: self.store(Lower.read_state(self, field, n), slot, 64)
        if text not in TRANSFERS: return v
        self.go('LOOKUP', t0=self.load(self.next, 64))
        self.label(self.new())
        return 0

    def look_if_changed(self) -> None:
        """Behind a call: where what was chained may be wrong, the next block is looked up."""
        eip, changed, on = self.load(self.next, 64), self.new(), self.new()
        now = [(self.emit(f'load i32, ptr %{name}.at', str), f'%{name}.in') for name in ('mode', 'changes')]
        now.append((self.emit(f'trunc i64 {eip} to i32', str), 'ptrtoint (ptr @eip to i32)'))  # of 32 bits: see RANGES
        other = [self.emit(f'icmp ne i32 {a}, {b}', str) for a, b in now]
        either = self.emit(f'or i1 {other[0]}, {other[1]}', str)
        self.jump(f'br i1 {self.emit(f"or i1 {either}, {other[2]}", str)}, label %{changed}, label %{on}, !prof !1')
        self.label(changed)
        self.go('LOOKUP', t0=eip)
        self.label(on)

    def primitive(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text.__module__ == 'emu.isa.language' and args and isinstance(args[0], Machine):
            return self.leave()  # ports, devices
        return super().primitive(text, args)

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if text is operands.address:
            self.asked.add('address')
            if not self.offset: self.from_t0['%t0'] = 0
            return Word('%t0')
        if text is linear and isinstance(args[1], Open):
            return self.operand(*args)
        if text is operands.src and self.fields.get('src_kind') == REG and 'src' not in self.fields:
            assert self.source_width in (0, args[2])
            self.source_width = args[2]
            return Word('%t1')
        if text is operands.branch:
            self.asked.add('imm')
            super().inline(operands.check_target, [args[0], super().inline(operands.relative, args)])
            return self.go('TAKEN')
        if text is operands.arrive:
            return self.go('LOOKUP', t0=args[1])
        return super().inline(text, args)

    def operand(self, m: Machine, seg: Open, offset: Value, size: Value, need: Value) -> Value:
        """`linear` for the memory operand: a SEGMENT stencil has done it where the address is t0's."""
        if isinstance(offset, Word) and offset in self.from_t0:
            self.extent, self.need = max(self.extent, self.from_t0[offset] + size), max(self.need, need)
            return offset
        if self.general:
            if self.from_t0: raise Unsuitable(f'{self.name}: its address is more than the operand\'s')
            return super().inline(linear, [m, seg, offset, size, need])
        self.take_flat()
        return super().inline(linear, [m, DS, offset, size, need])


class Kind(NamedTuple):
    """What a translator has to know of a stencil besides its code."""

    reads_flags: bool
    kills_flags: bool
    leaves: bool
    asked: list[str]
    source_width: int
    flat: bool
    extent: int
    need: int
    last: int


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
    """Turns the offset in t0 into a linear address, after its check."""

    def read_record(self, i: Record, name: str) -> Value:
        return Word('%t0') if name == 'offset' else super().read_record(i, name)


def numbers(form: Form) -> tuple[str, ...]:
    """The register numbers that a form's stencils are specialised for: the destination's; the source's too where it is more than a value."""
    names = ('dst',) if form.fields.get('dst_kind') == REG or form.text in SEGMENT_TARGET else ()
    return (*names, 'src') if form.text in WRITE_SOURCE + SEGMENT_SOURCE or 'STi' in form.operands else names


def specialised(form: Form) -> Iterator[tuple[str, dict[str, int]]]:
    """Suffix and known fields of each of a form's stencils."""
    names = numbers(form)
    some = {'src': range(6)} if form.text in SEGMENT_SOURCE else {'dst': (ES, SS, DS, FS, GS)} if form.text in SEGMENT_TARGET else {'dst': (0,)} if form.text in PORTS else {}
    for values in product(*(some.get(name, range(8)) for name in names)):
        yield ''.join(f'.{n}' for n in values), {k: int(v) for k, v in form.fields.items()} | dict(zip(names, values))


def operation_stencils(form: Form) -> Iterator[Stencil]:
    """The stencils of a form, none if its text does not suit; those that set flags also without ('-'), those that are for flat code only also for all ('~'),
    string instructions with repetition ('*')."""
    if form.ends == 'end' and form.text not in ENDS or SPARED.match(form.name):
        return
    for suffix, fields in specialised(form):
        flat = stencil(form.name + suffix, form, fields)
        yield from flat
        if not flat or flat[0].flat and form.text not in SELDOM:
            name = form.name + suffix + '~'
            general = stencil(name, form, fields, general=True) or stencil(name, form, fields, general=True, offset=True)
            yield from general
            if not flat and not general:
                return
    for end, rep in REPEATED.get(form.text, {}).items():
        yield Stencil(f'{form.name}*{end}', TEXTS[form.text], {k: int(v) for k, v in form.fields.items()} | {'rep': rep}, general=True, ends=True)


def stencil(name: str, form: Form, fields: dict[str, int], general: bool = False, offset: bool = False) -> list[Stencil]:
    """A stencil, and the one without flags if it sets any; nothing if its text does not suit."""
    try:
        made = Stencil(name, TEXTS[form.text], fields, general=general, offset=offset, ends=form.ends == 'end')
        return [made, Stencil(name + '-', TEXTS[form.text], fields, True, general=general, offset=offset)] if made.sets_flags and not made.last else [made]
    except Unsuitable:
        return []


def operand_stencils() -> Iterator[Stencil]:
    """ADDRESS.base.index.scale (32 bits), ADDRESS16.base.index, GET.width.register."""
    for base in range(9):
        for index, scale in [(8, 0)] + [(n, s) for n in (0, 1, 2, 3, 5, 6, 7) for s in range(4)]:
            yield AddressStencil(f'ADDRESS.{base}.{index}.{scale}', ADDRESS, {'base': base, 'index': index, 'scale': scale, 'amask': mask(32)}, result='t0')
    for base, index in ((3, 6), (3, 7), (5, 6), (5, 7), (6, 8), (7, 8), (5, 8), (3, 8), (8, 8)):
        yield AddressStencil(f'ADDRESS16.{base}.{index}.0', ADDRESS, {'base': base, 'index': index, 'scale': 0, 'amask': mask(16)}, result='t0')
    for w in (8, 16, 32):
        for n in range(8):
            yield AddressStencil(f'GET.{w}.{n}', GET, {'w': w, 'src': n}, result='t1')


def segment_stencils(accesses: set[tuple[int, int]]) -> Iterator[Stencil]:
    """SEGMENT.n.need.size for each segment and kind of access."""
    for seg, (need, size) in product(range(GS + 1), sorted(accesses)):
        yield SegmentStencil(f'SEGMENT.{seg}.{need}.{size}', SEGMENT, {'seg': seg, 'size': size, 'need': need}, result='t0', general=True)


def all_stencils() -> Iterator[Stencil]:
    yield from operand_stencils()
    operations = [s for form in FORMS for s in operation_stencils(form)]
    yield from operations
    yield from segment_stencils({(s.need, s.extent) for s in operations if s.extent})


PLAIN = TRANSLATION.replace('%t0', 'poison').replace('%t1', 'poison')
NOTHING = 'ptr %m, ' + 'i32 poison, ' * len(REGISTERS) + 'i64 poison, i64 {}, i64 poison'  # all is in State, but for what is in t0
PASSED = PLAIN.replace('%budget', '%left')


def begin(name: str, bad: str, more: str = '') -> str:
    """Takes the whole block off the budget, or misses; `more` is what else `bad` depends on."""
    return f'''define preserve_nonecc void @{name}({TRANSLATION}) nounwind {{
  %n = ptrtoint ptr @count to i64
  %left = sub i64 %budget, %n
  %over = icmp slt i64 %left, 0
{more}  br i1 {bad}, label %miss, label %go, !prof !1
go:
  musttail call preserve_nonecc void @NEXT({PASSED})
  ret void
miss:
  musttail call preserve_nonecc void @MISS({PASSED})
  ret void
}}
'''


BEYOND = f'''  %last = trunc i64 ptrtoint (ptr @eip to i64) to i32
  %at = getelementptr i8, ptr %m, i64 {FIELDS['limit'].offset + CS * FIELDS['limit'].stride}
  %limit = load i32, ptr %at
  %beyond = icmp ugt i32 %last, %limit
  %bad = or i1 %over, %beyond
'''
FRAME = f'''
{begin('BEGIN', '%over')}{begin('"BEGIN~"', '%bad', BEYOND)}define preserve_nonecc void @COUNT({TRANSLATION}) nounwind {{
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
LEFT = f'''  %r = getelementptr i8, ptr %m, i64 {FIELDS['reason'].offset}
  %reason = add i64 {{}}
  %reason32 = trunc i64 %reason to i32
  store i32 %reason32, ptr %r'''
LOOK_UP, INTERPRET, OPTIMISE, REDO = 0, 1, 2, 3  # why a translation leaves: what State.reason becomes; REDO: plus how many instructions; INTERPRET is REDO + 1


def exits() -> str:
    """EXIT.why: gives instructions back to the budget and goes on at an EIP: by `lookup`, or by `leave`."""
    return ''.join(f'''define preserve_nonecc void @EXIT.{why}({TRANSLATION}) nounwind {{
  %n = ptrtoint ptr @count to i64
  %left = add i64 %budget, %n
  %eip = ptrtoint ptr @eip to i64
  %p = getelementptr i8, ptr %m, i64 {FIELDS['lookup' if why == LOOK_UP else 'leave'].offset}
  %f = load ptr, ptr %p
{LEFT.format(f"%n, {REDO}" if why == REDO else f"0, {REDO + 1 if why == INTERPRET else why}") if why != LOOK_UP else ''}
  musttail call preserve_nonecc void %f({TRANSLATION.replace('%budget', '%left').replace('%t0', '%eip').replace('%t1', 'poison')})
  ret void
}}
''' for why in (LOOK_UP, INTERPRET, OPTIMISE, REDO))


def head() -> str:
    holes = ''.join(f'@{h} = external dso_local global i8, !absolute_symbol !{RANGES.get(h, 2) + 10}\n' for h in HOLES)
    return HEAD + ''.join(f'declare preserve_nonecc void @{t}({TRANSLATION})\n' for t in TARGETS) + holes + host()


def host(names: Iterable[str] = HOST) -> str:
    """Primitives of the host's instructions, to be inlined: a stencil calls nothing."""
    return host_functions(names).replace('nounwind {', 'nounwind noimplicitfloat alwaysinline {')


LIMITS = ((-1 << 31, 1 << 31), (0, 1 << 32), (0, 1 << 31))
TAIL = '!1 = !{!"branch_weights", i32 1, i32 1000}\n' + ''.join(f'!{n + 10} = !{{i64 {low}, i64 {high}}}\n' for n, (low, high) in enumerate(LIMITS))
MODULES = 16


def modules() -> tuple[list[str], str]:
    """The IR of all stencils, and their kinds as JSON."""
    stencils = list(all_stencils())
    pieces = [''.join(s.ir for s in stencils[n::MODULES]) for n in range(MODULES)]
    kinds = {s.name: (s.reads_flags, s.kills == FLAG_WORDS, s.leaves, sorted(s.asked), s.source_width, s.flat, s.extent, s.need, s.last) for s in stencils}
    return [head() + (FRAME + exits() if n == 0 else '') + piece + TAIL for n, piece in enumerate(pieces)], json.dumps(kinds)


def read_kinds(notes: str) -> dict[str, Kind]:
    """Name -> kind."""
    return {name: Kind(*values) for name, values in json.loads(notes).items()}
