"""Texts -> LLVM IR: one walk over a text's syntax tree, straight to IR text. docs/texts.md describes the language.

Expressions give a Python number where everything is known, else the name of an IR value; so widths, operand kinds and branches on them
fold while lowering. Texts are inlined, known arguments stay known; an outlined text becomes a function of the `Program`, one for each
set of known arguments. What a use of the lowering adds (where a register lives, what a fault does) is in subclasses.
"""
import ast
import inspect
import operator
import textwrap
import time
from functools import cache
from types import SimpleNamespace
from typing import Any, Callable, Iterable

from emu.decoder import record
from emu.isa import language, sse_lower, state, x87_lower
from emu.isa.clock import guest_time
from emu.jit import sources
from emu.ports import block, lines

BINARY = {ast.Add: ('add', operator.add), ast.Sub: ('sub', operator.sub), ast.Mult: ('mul', operator.mul), ast.BitAnd: ('and', operator.and_),
          ast.BitOr: ('or', operator.or_), ast.BitXor: ('xor', operator.xor), ast.LShift: ('shl', operator.lshift), ast.RShift: ('ashr', operator.rshift)}
COMPARE = {ast.Eq: ('eq', operator.eq), ast.NotEq: ('ne', operator.ne), ast.Lt: ('slt', operator.lt), ast.LtE: ('sle', operator.le),
           ast.Gt: ('sgt', operator.gt), ast.GtE: ('sge', operator.ge)}
CALLBACKS = {'port_in': 3, 'port_out': 4, 'port_in_block': 5, 'port_out_block': 5, 'mmio_read': 3, 'mmio_write': 4, 'outside': 3,
             'log_interrupt': 4, 'log_code': 3}  # arguments, with `m`


HOST = x87_lower.NAMES | sse_lower.NAMES  # primitives that are functions of the host's instructions


def host_functions(names: Iterable[str] = HOST) -> str:
    """The IR of such primitives."""
    return x87_lower.functions(x87_lower.NAMES & set(names)) + sse_lower.functions(sse_lower.NAMES & set(names))


class Word(str):
    """The name of an i64."""


class Bit(str):
    """The name of an i1."""


class Slot(str):
    """The name of a pointer to an i64: a local's alloca, which LLVM turns into SSA."""


class Machine(str):
    """The text's `m`: the name of the pointer to State."""


class Record(str):
    """The text's `i`: the name of a pointer to a decoded record, or '' where all of the instruction is known."""


class Device(str):
    """The `self` of a device's texts: the name of a pointer to its block (emu/ports/block.py)."""


POINTERS: dict[str, type[str]] = {'m': Machine, 'i': Record, 'self': Device}  # parameters of these names are no integers
Value = Any  # int | bool | Word | Bit | Slot | Machine | Record | Device


def known(x: Value) -> bool:
    return isinstance(x, int)


def wrap(x: int) -> int:
    """A Python number as LLVM writes an i64."""
    return ((int(x) + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


@cache
def tree(text: Callable[..., Any]) -> ast.FunctionDef:
    """The syntax tree of a text."""
    node = ast.parse(textwrap.dedent(sources.source(text))).body[0]
    assert isinstance(node, ast.FunctionDef) and node.name == text.__name__
    return node


@cache
def parameters(text: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(a.arg for a in tree(text).args.args)


@cache
def assigned_once(text: Callable[..., Any]) -> frozenset[str]:
    """Locals with a single assignment: they need no slot."""
    count: dict[str, int] = dict.fromkeys(parameters(text), 9)
    for node in ast.walk(tree(text)):
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []):
            if isinstance(target, ast.Name):
                count[target.id] = count.get(target.id, 0) + 1
    return frozenset(name for name, n in count.items() if n == 1)


@cache
def may_fault(text: Callable[..., Any]) -> bool:
    """Whether a Fault can come out of a text."""
    for node in ast.walk(tree(text)):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            callee = text.__globals__.get(node.func.id)
            if inspect.isfunction(callee) and not is_primitive(callee) and may_fault(callee):
                return True
    return False


def is_primitive(function: Callable[..., Any]) -> bool:
    return function.__module__ == language.__name__ or function.__name__ in HOST


class Program:
    """The outlined functions asked for while lowering: name -> (text, known arguments by position)."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[Callable[..., Any], dict[int, int]]] = {}
        self.tables: dict[str, tuple[int, tuple[int, ...]]] = {}  # module-level tuples: name -> bits, values

    def ask(self, text: Callable[..., Any], constants: dict[int, int]) -> str:
        """The name of the function that is `text` with these arguments known."""
        name = '.'.join([text.__name__, *(f'{n}_{wrap(v)}' for n, v in constants.items())])
        other = self.asked.setdefault(name, (text, constants))
        assert other[0] is text, f'two outlined texts of one name: {name}'
        return name

    def signature(self, name: str) -> str:
        """Everything of a definition or declaration but its first word."""
        text, constants = self.asked[name]
        params = ', '.join(f'ptr %{p}' if p in POINTERS else f'i64 %{p}' for n, p in enumerate(parameters(text)) if n not in constants)
        return f'{"{i64, i1}" if may_fault(text) else "i64"} @"{name}"({params}) nounwind'


class Lower:
    """Lowers texts into one function's body. `fields` are the known fields of the instruction, `known_state` those of State."""

    def __init__(self, program: Program, fields: dict[str, int] | None = None, known_state: dict[tuple[str, int], int] | None = None):
        self.program, self.fields, self.known_state = program, fields or {}, known_state or {}
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.count = self.depth = 0
        self.open = True
        self.env: dict[str, Value] = {}
        self.globals: dict[str, Any] = {}
        self.text: Callable[..., Any] | None = None
        self.ret = SimpleNamespace()
        self.faults: dict[tuple[int, int], str] = {}
        self.can_fault = False

    # --- emitting ---------------------------------------------------------------------------------------------------------

    def new(self) -> str:
        self.count += 1
        return f'v{self.count}'

    def emit(self, line: str, kind: type[str] = Word) -> Any:
        v = kind('%' + self.new())
        self.lines.append(f'  {v} = {line}')
        return v

    def jump(self, line: str) -> None:
        """A terminator."""
        self.lines.append('  ' + line)
        self.open = False

    def label(self, name: str) -> None:
        if self.open:
            self.lines.append(f'  br label %{name}')
        self.lines.append(f'{name}:')
        self.open = True

    def slot(self, kind: str = 'i64') -> Slot:
        v = Slot('%' + self.new())
        self.slots.append(f'  {v} = alloca {kind}')
        return v

    def word(self, x: Value) -> Any:
        """x as an i64 operand: a name or a number."""
        return self.emit(f'zext i1 {x} to i64') if isinstance(x, Bit) else wrap(x) if known(x) else x

    def bit(self, x: Value) -> Any:
        return x if isinstance(x, Bit) else int(bool(x)) if known(x) else self.emit(f'icmp ne i64 {x}, 0', Bit)

    def pointer(self, x: Value) -> str:
        return self.emit(f'inttoptr i64 {self.word(x)} to ptr', str)

    def load(self, pointer: str, bits: int, extra: str = '') -> Any:
        v = self.emit(f'load i{bits}, ptr {pointer}{extra}')
        return v if bits == 64 else self.emit(f'zext i{bits} {v} to i64')

    def store(self, v: Value, pointer: str, bits: int, extra: str = '') -> None:
        v = self.word(v)
        if bits < 64:
            v = wrap(v) & ((1 << bits) - 1) if known(v) else self.emit(f'trunc i64 {v} to i{bits}')
        self.lines.append(f'  store i{bits} {v}, ptr {pointer}{extra}')

    # --- where things are: subclasses change these ---------------------------------------------------------------------------

    def state_place(self, name: str, index: Value) -> str:
        """A pointer to a field of State."""
        return self.field_place('%m', state.FIELDS[name], index)

    def field_place(self, base: str, field: state.Field, index: Value) -> str:
        """A pointer to a field of what `base` points to."""
        if known(index):
            assert 0 <= index < field.count, f'{field}[{index}]'
            return self.emit(f'getelementptr i8, ptr {base}, i64 {field.offset + index * field.stride}', str)
        offset = self.emit(f'add i64 {self.emit(f"mul i64 {self.word(index)}, {field.stride}")}, {field.offset}')
        return self.emit(f'getelementptr i8, ptr {base}, i64 {offset}', str)

    def read_state(self, name: str, index: Value) -> Value:
        if (name, index) in self.known_state:
            return self.known_state[name, index]
        return self.load(self.state_place(name, index), state.FIELDS[name].bits)

    def write_state(self, name: str, index: Value, v: Value) -> None:
        self.store(v, self.state_place(name, index), state.FIELDS[name].bits)

    def read_record(self, i: Record, name: str) -> Value:
        if name in self.fields:
            return self.fields[name]
        return self.load(self.record_place(i, name), record.FIELDS[name].bits)

    def record_place(self, i: Record, name: str) -> str:
        assert i and name in record.FIELDS, f'the field i.{name} is not known here ({self.fields})'
        return self.emit(f'getelementptr i8, ptr {i}, i64 {record.FIELDS[name].offset}', str)

    def get(self, base: str, name: str, index: Value) -> Value:
        """The field or element of a text's `m`, `i` or `self`."""
        owner = self.env[base]
        if isinstance(owner, Record): return self.read_record(owner, name)
        if not isinstance(owner, Device): return self.read_state(name, index)
        field = block.field(self.globals['Registers'], name)
        return self.load(self.field_place(owner, field, index), field.bits)

    def put(self, base: str, name: str, index: Value, v: Value) -> None:
        """Stores it."""
        owner = self.env[base]
        if isinstance(owner, Record): self.store(v, self.record_place(owner, name), record.FIELDS[name].bits)
        elif not isinstance(owner, Device): self.write_state(name, index, v)
        else:
            field = block.field(self.globals['Registers'], name)
            self.store(v, self.field_place(owner, field, index), field.bits)

    def fault(self, vector: Value, code: Value) -> None:
        """`raise Fault`: known ones share a block."""
        self.can_fault = True
        if known(vector) and known(code):
            self.jump(f'br label %{self.faults.setdefault((vector, code), f"fault_{vector}_{code & 0xffff}")}')
        else:
            self.write_state('fault_vector', 0, vector)
            self.write_state('fault_code', 0, code)
            self.jump('br label %fault')

    def fault_blocks(self) -> None:
        """The blocks that `fault` jumps to; they end at label `fault`."""
        for (vector, code), name in self.faults.items():
            self.label(name)
            self.write_state('fault_vector', 0, vector)
            self.write_state('fault_code', 0, code)
            self.jump('br label %fault')

    # --- calls --------------------------------------------------------------------------------------------------------------

    def call(self, text: Callable[..., Any], args: list[Value]) -> Value:
        if is_primitive(text):
            return self.primitive(text, args)
        if getattr(text, 'outlined', False):
            return self.call_outlined(text, args)
        return self.inline(text, args)

    def inline(self, text: Callable[..., Any], args: list[Value]) -> Value:
        outer = self.env, self.ret, self.globals, self.text
        names = parameters(text)
        assert len(names) == len(args), f'{text.__name__} takes {names}'
        self.env = {n: self.as_pointer(n, v) for n, v in zip(names, args)}
        self.ret = SimpleNamespace(exit=self.new(), slot=None, constant=None, depth=self.depth, reached=False)
        self.globals, self.text = text.__globals__, text
        self.block(tree(text).body)
        ret = self.ret
        comes_back = self.open or ret.reached
        self.label(ret.exit)
        self.env, self.ret, self.globals, self.text = outer
        if ret.slot and ret.constant is not None:
            raise SyntaxError(f'{text.__name__}: a known and an unknown return')
        if not comes_back:
            return 0  # it always raises: what follows is never reached
        return self.emit(f'load i64, ptr {ret.slot}') if ret.slot else ret.constant

    def as_pointer(self, parameter: str, v: Value) -> Value:
        """What a parameter gets: an address becomes a pointer where its name asks for one."""
        return POINTERS[parameter](self.pointer(v)) if parameter in POINTERS and isinstance(v, Word) else v

    def operands(self, text: Callable[..., Any], args: list[Value]) -> tuple[str, str]:
        """The function for these arguments, and the call's argument list."""
        constants = {n: int(v) for n, v in enumerate(args) if known(v)}
        name = self.program.ask(text, constants)
        given = [f'ptr {self.as_pointer(p, v)}' if p in POINTERS else f'i64 {self.word(v)}'
                 for n, (p, v) in enumerate(zip(parameters(text), args)) if n not in constants]
        return name, ', '.join(given)

    def call_outlined(self, text: Callable[..., Any], args: list[Value], attempt: bool = False) -> Value:
        name, given = self.operands(text, args)
        if not may_fault(text):
            v = self.emit(f'call i64 @"{name}"({given})')
            return 0 if attempt else v
        pair = self.emit(f'call {{i64, i1}} @"{name}"({given})', str)
        failed = self.emit(f'extractvalue {{i64, i1}} {pair}, 1', Bit)
        if attempt:
            return failed
        self.can_fault = True
        go = self.new()
        self.jump(f'br i1 {failed}, label %fault, label %{go}, !prof !1')
        self.label(go)
        return self.emit(f'extractvalue {{i64, i1}} {pair}, 0')

    def primitive(self, text: Callable[..., Any], args: list[Value]) -> Value:
        name = text.__name__
        if name in CALLBACKS:
            return self.callback(name, args[1:])
        if name in HOST:
            return self.emit(f'call i64 @{name}({", ".join(["ptr %m", *(f"i64 {self.word(v)}" for v in args[1:])])})')
        if all(known(v) for v in args):
            return text(*args)
        return getattr(self, 'p_' + name)(*args)

    def callback(self, name: str, args: list[Value]) -> Value:
        """Calls Python, and counts its time."""
        target = self.emit(f'load ptr, ptr {self.state_place("call_" + name, 0)}', str)
        inside = self.emit('call i1 @guest_out(ptr %m)', str)
        start = self.emit('call i64 @llvm.readcyclecounter()')
        v = self.emit(f'call i64 {target}({", ".join(f"i64 {self.word(v)}" for v in args)})')
        spent = self.emit(f'sub i64 {self.emit("call i64 @llvm.readcyclecounter()")}, {start}')
        self.write_state('device_cycles', 0, self.emit(f'add i64 {self.read_state("device_cycles", 0)}, {spent}'))
        self.lines.append(f'  call void @guest_back(ptr %m, i1 {inside})')
        return v

    def p_device_time(self, device: Value) -> Value:
        return self.call_outlined(guest_time, [Machine('%m')])

    def p_intr(self, device: Value, level: Value) -> Value:
        return self.call_outlined(lines.set_intr, [Machine('%m'), level])

    def p_irq0(self, device: Value, level: Value) -> Value:
        return self.call_outlined(lines.set_irq0, [Machine('%m'), level])

    def p_timer_set(self, device: Value, due: Value) -> Value:
        return self.call_outlined(lines.end_in_time, [Machine('%m'), due])

    def p_host_clock(self, m: Value) -> Value:
        f, spec = self.emit(f'load ptr, ptr {self.state_place("clock_gettime", 0)}', str), self.slot('[2 x i64]')  # struct timespec
        self.lines.append(f'  call i32 {f}(i32 {time.CLOCK_MONOTONIC}, ptr {spec})')
        rest = self.emit(f'load i64, ptr {self.emit(f"getelementptr i64, ptr {spec}, i64 1", str)}')
        seconds = self.emit(f'load i64, ptr {spec}')
        return self.emit(f'add i64 {self.emit(f"mul i64 {seconds}, 1000000000")}, {rest}')

    def p_mask(self, w: Value) -> Value:
        return self.emit(f'sub i64 {self.emit(f"shl i64 1, {self.word(w)}")}, 1')

    def p_signed(self, x: Value, w: Value) -> Value:
        n = 64 - w if known(w) else self.emit(f'sub i64 64, {self.word(w)}')
        return self.emit(f'ashr i64 {self.emit(f"shl i64 {self.word(x)}, {n}")}, {n}')

    def p_udiv(self, a: Value, b: Value) -> Value:
        return self.emit(f'udiv i64 {self.word(a)}, {self.word(b)}')

    def p_umod(self, a: Value, b: Value) -> Value:
        return self.emit(f'urem i64 {self.word(a)}, {self.word(b)}')

    def p_sdiv(self, a: Value, b: Value) -> Value:
        return self.emit(f'sdiv i64 {self.word(a)}, {self.word(b)}')

    def p_smod(self, a: Value, b: Value) -> Value:
        return self.emit(f'srem i64 {self.word(a)}, {self.word(b)}')

    def p_above(self, a: Value, b: Value) -> Value:
        return self.emit(f'icmp ugt i64 {self.word(a)}, {self.word(b)}', Bit)

    def p_lowest(self, x: Value) -> Value:
        return self.emit(f'call i64 @llvm.cttz.i64(i64 {self.word(x)}, i1 true)')

    def p_highest(self, x: Value) -> Value:
        return self.emit(f'sub i64 63, {self.emit(f"call i64 @llvm.ctlz.i64(i64 {self.word(x)}, i1 true)")}')

    def p_ones(self, x: Value) -> Value:
        return self.emit(f'call i64 @llvm.ctpop.i64(i64 {self.word(x)})')

    def p_host_load(self, p: Value, w: Value) -> Value:
        return self.load(self.pointer(p), w, ', align 1')

    def p_host_store(self, p: Value, w: Value, v: Value) -> None:
        self.store(v, self.pointer(p), w, ', align 1')

    def p_host_copy(self, to: Value, source: Value, n: Value) -> None:
        self.lines.append(f'  call void @llvm.memcpy.p0.p0.i64(ptr {self.pointer(to)}, ptr {self.pointer(source)}, i64 {self.word(n)}, i1 false)')

    def p_host_fill(self, p: Value, w: Value, v: Value, n: Value) -> None:
        at, value = self.pointer(p), self.word(v)
        narrow = self.emit(f'trunc i64 {value} to i{w}', str)
        if w == 8:
            self.lines.append(f'  call void @llvm.memset.p0.i64(ptr {at}, i8 {narrow}, i64 {self.word(n)}, i1 false)')
        else:
            self.lines.append(f'  call void @fill{w}(ptr {at}, i{w} {narrow}, i64 {self.word(n)})')

    # --- expressions --------------------------------------------------------------------------------------------------------

    def expr(self, n: ast.expr) -> Value:
        match n:
            case ast.Constant(value=int()):
                return n.value
            case ast.Name():
                v = self.env[n.id] if n.id in self.env else self.globals.get(n.id)
                if v is None:
                    raise SyntaxError(f'{self.text and self.text.__name__}: {n.id} has no value here')
                return self.emit(f'load i64, ptr {v}') if isinstance(v, Slot) else v
            case ast.Attribute(value=ast.Name(id=base)):
                return self.get(base, n.attr, 0) if base in self.env else getattr(self.globals[base], n.attr)
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id=base), attr=name)):
                return self.get(base, name, self.expr(n.slice))
            case ast.Subscript(value=ast.Name(id=name)):
                return self.table(name, self.globals[name], self.expr(n.slice))
            case ast.BinOp():
                return self.binary(type(n.op), self.expr(n.left), self.expr(n.right))
            case ast.Compare(ops=[op], comparators=[right]):
                return self.compare(type(op), self.expr(n.left), self.expr(right))
            case ast.UnaryOp(op=ast.Not()):
                v = self.expr(n.operand)
                return not v if known(v) else self.emit(f'xor i1 {self.bit(v)}, true', Bit)
            case ast.UnaryOp(op=ast.Invert()):
                return self.binary(ast.BitXor, self.expr(n.operand), -1)
            case ast.UnaryOp(op=ast.USub()):
                return self.binary(ast.Sub, 0, self.expr(n.operand))
            case ast.BoolOp():
                return self.boolean(isinstance(n.op, ast.Or), n.values)
            case ast.IfExp():
                c = self.expr(n.test)
                if known(c):
                    return self.expr(n.body if c else n.orelse)
                a, b = self.word(self.expr(n.body)), self.word(self.expr(n.orelse))
                return self.emit(f'select i1 {self.bit(c)}, i64 {a}, i64 {b}')
            case ast.Call(func=ast.Name(id='attempt')):
                return self.call_outlined(self.globals[n.args[1].id], [self.expr(n.args[0]), *map(self.expr, n.args[2:])], attempt=True)  # type: ignore[attr-defined]
            case ast.Call(func=ast.Attribute(value=ast.Name(id='self'), attr=name)):
                registers = self.globals['Registers']
                if name in registers.CALLS: return self.callback('outside', [self.get('self', 'number', 0), registers.CALLS.index(name)])
                return self.inline(getattr(registers, name), [self.env['self'], *map(self.expr, n.args)])
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)):
                return self.inline(getattr(self.globals[name], method), [self.expr(a) for a in n.args])
            case ast.Call(func=ast.Name(id=name)):
                return self.call(self.globals[name], [self.expr(a) for a in n.args])
        raise SyntaxError(f'not in the language of the texts: {ast.unparse(n)}')

    def table(self, name: str, values: tuple[int, ...], index: Value) -> Value:
        """A module-level tuple of integers."""
        if known(index):
            return values[index]
        bits = next(b for b in (8, 16, 32, 64) if max(values) < 1 << b and min(values) >= 0)
        self.program.tables[f'{name}.{len(values)}'] = (bits, values)
        place = self.emit(f'getelementptr i{bits}, ptr @"{name}.{len(values)}", i64 {self.word(index)}', str)
        return self.load(place, bits)

    def boolean(self, stop: bool, values: list[ast.expr]) -> Value:
        """`and`, `or` of what has no effects: both sides are computed."""
        r = self.expr(values[0])
        for n in values[1:]:
            if known(r):
                if bool(r) == stop:
                    return r
                r = self.expr(n)
                continue
            x = self.expr(n)
            if not known(x):
                r = self.emit(f'{"or" if stop else "and"} i1 {self.bit(r)}, {self.bit(x)}', Bit)
            elif bool(x) == stop:
                r = x
        return r

    def binary(self, op: type[ast.operator], a: Value, b: Value) -> Value:
        name, fold = BINARY[op]
        if known(a) and known(b):
            return fold(a, b)
        if name in ('and', 'or', 'xor') and all(isinstance(x, Bit) or (known(x) and x in (0, 1)) for x in (a, b)):
            return self.emit(f'{name} i1 {self.bit(a)}, {self.bit(b)}', Bit)
        if known(b) and b == 0 and name in ('add', 'sub', 'or', 'xor', 'shl', 'ashr'):
            return a
        if known(a) and a == 0 and name in ('add', 'or', 'xor'):
            return b
        return self.emit(f'{name} i64 {self.word(a)}, {self.word(b)}')

    def compare(self, op: type[ast.cmpop], a: Value, b: Value) -> Value:
        name, fold = COMPARE[op]
        if known(a) and known(b):
            return fold(a, b)
        return self.emit(f'icmp {name} i64 {self.word(a)}, {self.word(b)}', Bit)

    # --- statements ---------------------------------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> None:
        for s in statements:
            if not self.open:
                return
            self.statement(s)

    def assign(self, target: ast.expr, v: Value) -> None:
        match target:
            case ast.Name(id=name):
                assert v is not None, f'{self.text and self.text.__name__}: nothing to assign to {name}'
                slot = self.env.get(name)
                if not isinstance(slot, Slot):
                    if self.depth == self.ret.depth or (known(v) and name in assigned_once(self.text)):
                        self.env[name] = v  # straight-line code is SSA as it stands; `spill` gives a slot before a branch
                        return
                    slot = self.env[name] = self.slot()
                self.store(v, slot, 64)
            case ast.Attribute(value=ast.Name(id=base)):
                self.put(base, target.attr, 0, v)
            case ast.Subscript(value=ast.Attribute(value=ast.Name(id=base), attr=name)):
                self.put(base, name, self.expr(target.slice), v)
            case _:
                raise SyntaxError(f'not in the language of the texts: {ast.unparse(target)}')

    def branch(self, condition: Value, yes: str, no: str) -> None:
        self.jump(f'br i1 {self.bit(condition)}, label %{yes}, label %{no}')

    def statement(self, s: ast.stmt) -> None:
        match s:
            case ast.Assign(targets=[target]):
                self.assign(target, self.expr(s.value))
            case ast.AugAssign():
                self.assign(s.target, self.expr(ast.BinOp(s.target, s.op, s.value)))
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr():
                self.expr(s.value)
            case ast.Raise(exc=ast.Call(args=args)):
                values = [self.expr(a) for a in args]
                self.fault(values[0], values[1] if len(values) > 1 else 0)
            case ast.Return():
                self.give_back(self.expr(s.value) if s.value else None)
            case ast.If():
                self.conditional(s)
            case ast.While():
                self.loop(s)
            case _:
                raise SyntaxError(f'not in the language of the texts: {ast.unparse(s)}')

    def give_back(self, v: Value) -> None:
        self.ret.reached = True
        if v is not None:
            if self.ret.slot is None and self.depth == self.ret.depth and not isinstance(v, Slot):
                self.ret.constant = v  # nothing was returned on another path: the value itself, known or not
            else:
                self.ret.slot = self.ret.slot or self.slot()
                self.store(v, self.ret.slot, 64)
        self.jump(f'br label %{self.ret.exit}')

    def conditional(self, s: ast.If) -> None:
        c = self.expr(s.test)
        if known(c):
            return self.block(s.body if c else s.orelse)  # known: the other side does not exist
        yes, no, end = self.new(), self.new(), self.new()
        self.spill(s)
        self.branch(c, yes, no)
        self.depth += 1
        for name, body in ((yes, s.body), (no, s.orelse)):
            self.label(name)
            self.block(body)
            if self.open:
                self.jump(f'br label %{end}')
        self.depth -= 1
        self.label(end)
        return None

    def loop(self, s: ast.While) -> None:
        head, body, end = self.new(), self.new(), self.new()
        self.spill(s)
        self.depth += 1
        self.label(head)
        self.branch(self.expr(s.test), body, end)
        self.label(body)
        self.block(s.body)
        if self.open:
            self.jump(f'br label %{head}')
        self.depth -= 1
        self.label(end)

    def spill(self, s: ast.stmt) -> None:
        """Locals and parameters that a branch or loop assigns get their slots before it."""
        for node in ast.walk(s):
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []):
                if isinstance(target, ast.Name) and (old := self.env.get(target.id)) is not None and not isinstance(old, Slot):
                    self.env[target.id] = self.slot()
                    self.store(old, self.env[target.id], 64)


HEAD = '''target triple = "x86_64-unknown-linux-gnu"
declare i64 @llvm.cttz.i64(i64, i1)
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.readcyclecounter()
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
'''
TAIL = '!1 = !{!"branch_weights", i32 1, i32 1000}\n'


class Outlined(Lower):
    """An outlined text as a function that returns its value, and whether it faulted."""

    def __init__(self, program: Program, name: str, linkage: str = ''):
        super().__init__(program)
        text, constants = program.asked[name]
        names = parameters(text)
        args = [constants[n] if n in constants else POINTERS.get(p, Word)(f'%{p}') for n, p in enumerate(names)]
        v = self.inline(text, args)
        v = 0 if v is None else self.word(v)
        pair = may_fault(text)
        if pair:
            self.jump(f'ret {{i64, i1}} {self.emit(f"insertvalue {{i64, i1}} zeroinitializer, i64 {v}, 0", str)}')
            self.fault_blocks()
            self.label('fault')
            self.jump('ret {i64, i1} { i64 0, i1 true }')
        else:
            self.jump(f'ret i64 {v}')
        self.ir = f'define {linkage}{program.signature(name)} {{\nentry:\n' + '\n'.join(self.slots + self.lines) + '\n}\n'
