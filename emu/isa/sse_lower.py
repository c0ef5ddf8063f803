"""The SSE primitives for compiled code: LLVM IR functions around the host's own SSE instructions (SDM 1, chapters 10 and 11).

While compiled code runs, the host's MXCSR is the guest's with all exceptions masked (emu/isa/crossing.py): rounding, FTZ, DAZ, NaNs are the host's, and flags gather there.
Instructions are assembly with side effects, so that LLVM neither computes nor moves any. emu/isa/sse_exact.py has the same in Python.
Two singles, half a register, are one instruction on four: the upper two are the same again, so that they raise no flags of their own.
"""
from typing import Iterable

from emu.isa.state import FIELDS

MASKS = 0x1f80
# name: operand type, result type, instruction ($0 result, $1 and $2 operands; a result in $0 begins as the first)
PRIMITIVES = {
    **{f'sse_{op}_f{w}': (f'f{w}', f'f{w}', f'{op}s{"s" if w == 32 else "d"} $2, $0') for op in ('add', 'sub', 'mul', 'div', 'min', 'max') for w in (32, 64)},
    **{f'sse_{op}_f{w}': (f'f{w}', 'flags', f'{op}s{"s" if w == 32 else "d"} $2, $1; lahf') for op in ('comi', 'ucomi') for w in (32, 64)},
    **{f'sse_sqrt_f{w}': (f'f{w}', f'f{w}', f'sqrts{"s" if w == 32 else "d"} $1, $0') for w in (32, 64)},
    'sse_rsqrt_f32': ('f32', 'f32', 'rsqrtss $1, $0'), 'sse_rcp_f32': ('f32', 'f32', 'rcpss $1, $0'),
    'sse_f32_of_f64': ('f64', 'f32', 'cvtsd2ss $1, $0'), 'sse_f64_of_f32': ('f32', 'f64', 'cvtss2sd $1, $0'),
    'sse_f32_of_i32': ('i32', 'f32', 'cvtsi2ssl $1, $0'), 'sse_f64_of_i32': ('i32', 'f64', 'cvtsi2sdl $1, $0'),
    'sse_i32_of_f32': ('f32', 'i32', 'cvtss2si $1, $0'), 'sse_i32_of_f64': ('f64', 'i32', 'cvtsd2si $1, $0'),
    'sse_cut_f32': ('f32', 'i32', 'cvttss2si $1, $0'), 'sse_cut_f64': ('f64', 'i32', 'cvttsd2si $1, $0'),
}
# of two numbers of 32 bits: how many operands, instruction
PAIRS = {
    **{f'sse_{op}_2f32': (2, f'{op}ps') for op in ('add', 'sub', 'mul', 'div', 'min', 'max')}, **{f'sse_{op}_2f32': (1, f'{op}ps') for op in ('sqrt', 'rsqrt', 'rcp')},
    'sse_2f32_of_2i32': (1, 'cvtdq2ps'), 'sse_2i32_of_2f32': (1, 'cvtps2dq'), 'sse_cut_2f32': (1, 'cvttps2dq'),
}
CONTROL = ('sse_control', 'sse_set_control')
NAMES = frozenset(PRIMITIVES) | frozenset(PAIRS) | frozenset(CONTROL)
TYPES = {'f32': 'float', 'f64': 'double', 'i32': 'i32'}


def operand(name: str, kind: str) -> str:
    """IR that makes an operand of its bits."""
    if kind == 'f64': return f'  %x.{name} = bitcast i64 %{name} to double\n'
    low = f'  %l.{name} = trunc i64 %{name} to i32\n'
    return low + (f'  %x.{name} = bitcast i32 %l.{name} to float\n' if kind == 'f32' else f'  %x.{name} = add i32 %l.{name}, 0\n')


def function(name: str) -> str:
    """One primitive's IR."""
    taken, given, text = PRIMITIVES[name]
    two = '$2' in text
    names = ('a', 'b') if two else ('a',)
    t = TYPES[taken]
    body = ''.join(operand(n, taken) for n in names)
    arguments = ', '.join(f'{t} %x.{n}' for n in names)
    place = 'r' if taken == 'i32' else 'x'
    if given == 'flags':
        body += (f'  %ax = call i32 asm sideeffect "{text.replace("; ", chr(92) + "0A")}", "={{eax}},x,x,~{{flags}}"({arguments})\n'
                 '  %ah = lshr i32 %ax, 8\n  %bits = and i32 %ah, 69\n  %r = zext i32 %bits to i64\n')
    else:
        to = 'r' if given == 'i32' else 'x'
        ties = '0,x' if two else place
        clear = '' if two or given == 'i32' else 'xorps $0, $0\\0A'  # the rest of the register: none of what was there
        early = '&' if clear else ''
        body += f'  %v = call {TYPES[given]} asm sideeffect "{clear}{text}", "={early}{to},{ties},~{{flags}}"({arguments})\n'
        if given == 'f64': body += '  %r = bitcast double %v to i64\n'
        else: body += ('  %w = bitcast float %v to i32\n' if given == 'f32' else '  %w = add i32 %v, 0\n') + '  %r = zext i32 %w to i64\n'
    return f'define internal i64 @{name}(ptr %s{"".join(f", i64 %{n}" for n in names)}) nounwind {{\n{body}  ret i64 %r\n}}\n'


def pair(name: str) -> str:
    """One primitive's IR, of PAIRS."""
    count, instruction = PAIRS[name]
    names = ('a', 'b')[:count]
    body = ''.join(operand(n, 'f64') for n in names)
    if count == 2:
        body += (f'  %two = call {{double, double}} asm sideeffect "movlhps $0, $0\\0Amovlhps $1, $1\\0A{instruction} $1, $0", "=x,=x,0,1,~{{flags}}"(double %x.a, double %x.b)\n'
                 '  %v = extractvalue {double, double} %two, 0\n')
    else: body += f'  %v = call double asm sideeffect "movlhps $0, $0\\0A{instruction} $0, $0", "=x,0,~{{flags}}"(double %x.a)\n'
    return f'define internal i64 @{name}(ptr %s{"".join(f", i64 %{n}" for n in names)}) nounwind {{\n{body}  %r = bitcast double %v to i64\n  ret i64 %r\n}}\n'


def field(name: str) -> str:
    return f'getelementptr i8, ptr %s, i64 {FIELDS[name].offset}'


LOAD = '  call void asm sideeffect "ldmxcsr ($0)", "r,~{memory}"(ptr %t)\n'
STORE = '  call void asm sideeffect "stmxcsr ($0)", "r,~{memory}"(ptr %t)\n'


def control(name: str) -> str:
    """MXCSR as the guest has it; the second sets it."""
    if name == 'sse_control':
        return f'''define internal i64 @sse_control(ptr %s) nounwind {{
  %t = alloca i32
{STORE}  %host = load i32, ptr %t
  %flags = and i32 %host, 63
  %p = {field("mxcsr")}
  %own = load i32, ptr %p
  %all = or i32 %own, %flags
  %r = zext i32 %all to i64
  ret i64 %r
}}
'''
    return f'''define internal i64 @sse_set_control(ptr %s, i64 %v) nounwind {{
  %t = alloca i32
  %w = trunc i64 %v to i32
  %p = {field("mxcsr")}
  store i32 %w, ptr %p
  %m = or i32 %w, {MASKS}
  store i32 %m, ptr %t
{LOAD}  ret i64 0
}}
'''


def functions(names: Iterable[str] = NAMES) -> str:
    """The IR of primitives."""
    return ''.join(function(name) if name in PRIMITIVES else pair(name) if name in PAIRS else control(name) for name in sorted(names))
