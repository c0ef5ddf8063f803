"""The interpreter's generator: every form's text becomes a handler that reads its operands from the decoded record.

Handlers end in a jump to `next`, which finds the record of the next instruction and jumps to its handler; the end of a basic block, a fault,
or a used-up budget returns to `run`. Nothing of Python runs for an instruction but the devices' callbacks.
All of them pass (State, record) with preserve_nonecc, so nothing is saved between instructions.
"""
from typing import Any, Callable

from emu.decoder.table import FORMS, Form
from emu.isa import crossing
from emu.isa.interrupts import handle_fault, take_interrupt
from emu.isa.state import FIELDS
from emu.isa.texts import TEXTS
from emu.jit import calls, dispatch, fetch, pacing
from emu.jit.fetch import current
from emu.jit.lower import HEAD, TAIL, Lower, Machine, Outlined, Program, Record, Word, host_functions
from emu.mem.code import code_written
from emu.mem.paging import flush_tlb, translate
from emu.tcache import dropping, entering, limits, links, replay

HANDLER = 'preserve_nonecc void @"{}"(ptr %m, ptr %i) nounwind'
REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi']
TRANSLATION = 'ptr %m, ' + ', '.join(f'i32 %{r}' for r in REGISTERS) + ', i64 %budget, i64 %t0, i64 %t1'  # the signature of all translations
EXPORTS: dict[str, Callable[..., Any]] = {'handle_fault': handle_fault, 'take_interrupt': take_interrupt, 'flush_tlb': flush_tlb, 'translate': translate,
           'decode_block': fetch.decode_block, 'code_written': code_written,
           **{text.__name__: text for text in (*pacing.TEXTS, pacing.attend,
                                               links.find_record, dropping.drop, dropping.invalidate, dropping.new_record, entering.describe, entering.take_in,
                                               entering.translate_block)}, **replay.TEXTS, **limits.TEXTS}  # outlined texts that Python calls
SAMPLE = 16  # of so many interpreted pieces one is timed
MODULES = 8  # the handlers are compiled in so many pieces, in parallel


def begin(m):
    """One instruction fewer to go; the host address of the record of the one at CS:EIP."""
    m.budget = m.budget - 1
    return current(m)


def step_over(m, i):
    m.eip = m.eip + i.len


def step_back(m, length):
    """A fault: EIP is the instruction's own again, and the exception is delivered."""
    m.eip = m.eip - length
    handle_fault(m)


def define(signature: str, body: Lower) -> str:
    """A function from what was lowered."""
    return f'define {signature} {{\nentry:\n' + '\n'.join(body.slots + body.lines) + '\n}\n'


def handler(program: Program, form: Form) -> str:
    """One form's handler."""
    f = Lower(program, {k: int(v) for k, v in form.fields.items()})
    f.inline(TEXTS[form.text], [Machine('%m'), Record('%i')])
    if f.open:
        f.jump('ret void' if form.ends else 'musttail call preserve_nonecc void @next(ptr %m, ptr %i)\n  ret void')
    if f.can_fault:
        f.fault_blocks()
        f.label('fault')
        f.jump('musttail call preserve_nonecc void @fault(ptr %m, ptr %i)\n  ret void')
    return define(HANDLER.format('h.' + form.name), f)


def next_function(program: Program) -> str:
    """`next`: finds the record of the next instruction and jumps to its handler; returns where the budget is down at the floor and where fetching faults."""
    f = Lower(program)
    more = f.emit(f'icmp sgt i64 {f.read_state("budget", 0)}, {f.read_state("floor", 0)}', str)
    f.jump(f'br i1 {more}, label %go, label %out')
    f.label('go')
    f.lines.append(f'  %r = inttoptr i64 {f.inline(begin, [Machine("%m")])} to ptr')
    f.inline(step_over, [Machine('%m'), Record('%r')])
    place = f.emit(f'getelementptr i8, ptr %r, i64 {fetch.HANDLER}', str)
    f.jump(f'musttail call preserve_nonecc void {f.emit(f"load ptr, ptr {place}", str)}(ptr %m, ptr %r)\n  ret void')
    f.label('fault')
    f.call(handle_fault, [Machine('%m')])
    f.label('out')
    f.jump('ret void')
    return define(HANDLER.format('next'), f)


def fault_function(program: Program) -> str:
    """`fault`: where handlers go whose text raised."""
    f = Lower(program)
    f.inline(step_back, [Machine('%m'), f.read_record(Record('%i'), 'len')])
    f.jump('ret void')
    return define(HANDLER.format('fault'), f)


def failed_function(program: Program) -> str:
    """`failed`: where translations go when a text that they called has raised: all is in State but the instruction's length, which is in t0."""
    f = Lower(program)
    f.inline(step_back, [Machine('%m'), Word('%t0')])
    f.write_state('reason', 0, 0)
    f.jump('ret void')
    return define(f'preserve_nonecc void @failed({TRANSLATION}) nounwind', f)


def crossings() -> str:
    """`enter` loads the registers and calls a translation; `leave` stores them, EIP from t0, and returns to the caller of `enter`. No other crossing exists."""
    place = lambda r: f'getelementptr i8, ptr %m, i64 {FIELDS["reg"].offset + 4 * REGISTERS.index(r)}'  # noqa: E731
    field = lambda name: f'getelementptr i8, ptr %m, i64 {FIELDS[name].offset}'  # noqa: E731
    loads = ''.join(f'  %p.{r} = {place(r)}\n  %{r} = load i32, ptr %p.{r}\n' for r in REGISTERS)
    stores = ''.join(f'  %p.{r} = {place(r)}\n  store i32 %{r}, ptr %p.{r}\n' for r in REGISTERS)
    return f'''define i64 @enter(ptr %m, i64 %code) nounwind {{
{loads}  %p = {field("budget")}
  %budget = load i64, ptr %p
  %d = {field("deferred")}
  %deferred = load i64, ptr %d
  %f = inttoptr i64 %code to ptr
  call preserve_nonecc void %f({TRANSLATION.replace("%t0", "0").replace("%t1", "0")})
  %left = load i64, ptr %p
  %later = load i64, ptr %d
  %put.off = sub i64 %later, %deferred
  %gone = sub i64 %budget, %left
  %used = sub i64 %gone, %put.off
  %q = {field("translated")}
  %old = load i64, ptr %q
  %sum = add i64 %old, %used
  store i64 %sum, ptr %q
  ret i64 0
}}
define preserve_nonecc void @leave({TRANSLATION}) nounwind {{
{stores}  %p = {field("budget")}
  store i64 %budget, ptr %p
  %e = {field("eip")}
  %eip = trunc i64 %t0 to i32
  store i32 %eip, ptr %e
  ret void
}}
'''


def run_function(program: Program) -> str:
    """`run`: blocks until the budget is used up (0), or Python has to translate one (2) or have it optimised (3); `step`: interprets to the end of a block."""
    f = Lower(program)
    f.label('again')
    more = f.emit(f'icmp sgt i64 {f.read_state("budget", 0)}, 0', str)
    f.jump(f'br i1 {more}, label %look, label %spent')
    f.label('look')
    code = f.word(f.inline(dispatch.find, [Machine('%m')]))
    f.jump(f'switch i64 {code}, label %found [ i64 0, label %interpret i64 1, label %wanted ]')
    f.label('found')
    f.lines.append(f'  call i64 @enter(ptr %m, i64 {code})')
    f.jump(f'switch i64 {f.read_state("reason", 0)}, label %redo [ i64 0, label %again i64 2, label %warm ]')
    f.label('redo')
    f.inline(dispatch.set_floor, [Machine('%m')])
    f.jump('br label %interpret')
    f.label('interpret')
    rest = f.emit(f'and i64 {f.read_state("budget", 0)}, {SAMPLE - 1}')
    f.jump(f'br i1 {f.emit(f"icmp eq i64 {rest}, 0", str)}, label %timed, label %untimed')
    f.label('timed')  # reading the clock twice takes as long as an instruction
    f.lines.append('  %start = call i64 @llvm.readcyclecounter()\n  call preserve_nonecc void @next(ptr %m, ptr null)\n  %end = call i64 @llvm.readcyclecounter()')
    spent = f.emit(f'mul i64 {f.emit("sub i64 %end, %start")}, {SAMPLE}')
    f.write_state('cycles', 0, f.emit(f'add i64 {f.read_state("cycles", 0)}, {spent}'))
    f.jump('br label %interpreted')
    f.label('untimed')
    f.lines.append('  call preserve_nonecc void @next(ptr %m, ptr null)')
    f.label('interpreted')
    f.write_state('floor', 0, 0)
    f.jump('br label %again')
    f.label('wanted')
    start = f.emit('call i64 @llvm.readcyclecounter()')
    why = f.word(f.call(entering.translate_block, [Machine('%m'), f.read_state('wanted', 0), entering.DONE]))
    end = f.emit('call i64 @llvm.readcyclecounter()')
    f.write_state('making', 0, f.emit(f'add i64 {f.read_state("making", 0)}, {f.emit(f"sub i64 {end}, {start}")}'))
    f.jump(f'br i1 {f.emit(f"icmp eq i64 {why}, 0", str)}, label %again, label %asked')
    f.label('asked')
    f.jump('ret i64 2')
    f.label('warm')
    f.jump('ret i64 3')
    f.label('spent')
    f.jump(f'br i1 {f.bit(f.inline(pacing.go_on, [Machine("%m")]))}, label %again, label %over')
    f.label('over')
    f.jump('ret i64 0')
    crossing = '  call void @guest_in(ptr %m)\n{}\n  call i1 @guest_out(ptr %m)\n  ret i64 %why\n}}\n'
    return define('i64 @blocks(ptr %m) nounwind', f) + ('define i64 @run(ptr %m) nounwind {\n' + crossing.format('  %why = call i64 @blocks(ptr %m)')
            + 'define i64 @step(ptr %m) nounwind {\n' + crossing.format('  call preserve_nonecc void @next(ptr %m, ptr null)\n  %why = add i64 0, 0')
            + 'define i64 @cycles() nounwind {\n  %c = call i64 @llvm.readcyclecounter()\n  ret i64 %c\n}\n')


def doze_function(program: Program) -> str:
    """`doze`: after a sleep runs what a timer wakes; how many nanoseconds to sleep now, or what pacing.py's `rested` says."""
    f = Lower(program)
    f.call(pacing.wake, [Machine('%m')])
    f.call(pacing.begin, [Machine('%m')])
    f.lines.append('  %why = call i64 @run(ptr %m)')
    f.jump(f'ret i64 {f.word(f.inline(pacing.rested, [Machine("%m"), Word("%why")]))}')
    return define('i64 @doze(ptr %m) nounwind', f)


def lookup_function(program: Program) -> str:
    """`lookup`: where translations go with an EIP in t0: on to the translation there, or out to have it interpreted."""
    f = Lower(program)
    code = f.word(f.inline(dispatch.probe, [Machine('%m'), Word('%t0')]))
    f.jump(f'br i1 {f.emit(f"icmp sgt i64 {code}, 0", str)}, label %found, label %none')
    f.label('found')
    on = TRANSLATION.replace('%t0', 'poison').replace('%t1', 'poison')
    f.jump(f'musttail call preserve_nonecc void {f.emit(f"inttoptr i64 {code} to ptr", str)}({on})\n  ret void')
    f.label('none')
    f.write_state('reason', 0, 0)
    f.jump(f'musttail call preserve_nonecc void @leave({TRANSLATION.replace("%t1", "poison")})\n  ret void')
    return define(f'preserve_nonecc void @lookup({TRANSLATION}) nounwind', f)


def fills() -> str:
    """host_fill's loops for 16 and 32 bits; LLVM makes vectors of them."""
    return ''.join(f'''define void @fill{w}(ptr %p, i{w} %v, i64 %n) nounwind {{
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %out, label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %k1, %loop ]
  %at = getelementptr i{w}, ptr %p, i64 %k
  store i{w} %v, ptr %at, align 1
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, %n
  br i1 %more, label %loop, label %out
out:
  ret void
}}
''' for w in (16, 32))


def declarations(program: Program) -> str:
    """Everything that a module of handlers may call."""
    host = ''.join(f'declare {line.split("define ", 1)[1].replace("internal ", "").split("{")[0]}\n'
                  for line in host_functions().splitlines() if line.startswith('define'))
    return (''.join(f'declare {program.signature(name)}\n' for name in program.asked) + host + 'declare void @guest_back(ptr, i1)\ndeclare i1 @guest_out(ptr)\n'
            + ''.join(f'declare void @fill{w}(ptr, i{w}, i64)\n' for w in (16, 32))
            + ''.join(f'declare {HANDLER.format(name)}\n' for name in ('next', 'fault')))


def tables(program: Program) -> str:
    """The module-level tuples that texts index, as constants."""
    return ''.join(f'@"{name}" = internal constant [{len(values)} x i{bits}] [{", ".join(f"i{bits} {v}" for v in values)}]\n'
                   for name, (bits, values) in program.tables.items())


def modules() -> tuple[list[str], str]:
    """The IR of the whole interpreter: MODULES modules of handlers, then one of everything they share; no notes."""
    program = Program()
    for text in EXPORTS.values():
        program.ask(text, {})
    handlers = [handler(program, form) for form in FORMS]
    assert calls.NUMBERS.keys() <= program.asked.keys(), calls.NUMBERS.keys() - program.asked.keys()
    common = next_function(program) + fault_function(program) + failed_function(program) + run_function(program) + doze_function(program) + lookup_function(program)
    done: set[str] = set()
    shared = []
    while missing := [name for name in program.asked if name not in done]:
        for name in missing:
            shared.append(Outlined(program, name).ir)
            done.add(name)
    head = HEAD + tables(program)
    body = host_functions().replace('define internal', 'define') + fills() + crossings() + crossing.crossings() + common + ''.join(shared)
    pieces = [''.join(handlers[n::MODULES]) for n in range(MODULES)]
    return [head + declarations(program) + piece + TAIL for piece in pieces] + [HEAD + tables(program) + body + TAIL], ''
