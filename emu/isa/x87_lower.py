"""The x87 primitives for compiled code: LLVM IR functions around the host's own x87 instructions (SDM 1, chapter 8).

Each runs one instruction under the guest's control word, masks included, on numbers in slots of State, and gives the status word that it
leaves: what it raised, perhaps with flags that are masked and set in State already (to clear the host's is slow). So rounding, NaNs, biased
results of unmasked overflow and underflow are the host's. Slots 0 to 7 are the physical registers, 8 to 11 temporaries; one is 16 bytes.
emu/isa/x87_exact.py has the same primitives in Python, and says what each does.

The rules: a slot that the instruction does not write, because of an unmasked exception, keeps its number; PUSHED in the result says that
there was a second number. While compiled code runs, the host's control word is the guest's (emu/isa/crossing.py): to change it for each
instruction took more time than all else. Before and after each the host's x87 stack is empty and its flags are among those that State has,
masked; whatever takes a flag away from State or unmasks it calls x87_set_control, which clears the host's too.
"""
from typing import Iterable

from emu.isa.state import FIELDS

PUSHED = 0x800  # an odd TOP, where two registers were in use before

# The instruction in AT&T syntax. {a} and {b} are the operands' addresses, {r} and {p} those of the result and the second result.
BINARY = 'fldt {b}; fldt {a}; %s; END; fstpt {r}; fstp %%st(0)'
MEMORY = 'fldt {a}; %s {b}; END; fstpt {r}'
STORE = 'fldt {a}; %s {r}; END; fstp %%st(0)'
POP = 'fldt {a}; %s {r}; END; ffree %%st(0)'
COMPARE = 'fldt {b}; fldt {a}; %s; END; fstp %%st(0); fstp %%st(0)'
RARE = 'INIT; %s; END; fstpt {r}; INIT'
TWO = 'INIT; fldz; fldt {a}; %s; END; fstpt {p}; fstpt {r}; INIT'

# name: its arguments after State, and its instructions
PRIMITIVES = {
    **{f'x87_{op}': ('to a b', BINARY % f'f{op} %st(1), %st') for op in ('add', 'sub', 'mul', 'div')},
    **{f'x87_{op}_f{w}': ('to a bits', MEMORY % f'f{op}{"s" if w == 32 else "l"}') for op in ('add', 'sub', 'subr', 'mul', 'div', 'divr') for w in (32, 64)},
    'x87_sqrt': ('to a', 'fldt {a}; fsqrt; END; fstpt {r}'),
    'x87_rndint': ('to a', 'fldt {a}; frndint; END; fstpt {r}'),
    'x87_scale': ('to a b', BINARY % 'fscale'),
    'x87_prem': ('to a b', RARE % 'fldt {b}; fldt {a}; fprem'),
    'x87_prem1': ('to a b', RARE % 'fldt {b}; fldt {a}; fprem1'),
    'x87_com': ('a b', COMPARE % 'fcom %st(1)'),
    'x87_ucom': ('a b', COMPARE % 'fucom %st(1)'),
    'x87_com_f32': ('a bits', 'fldt {a}; fcoms {b}; END; fstp %st(0)'),
    'x87_com_f64': ('a bits', 'fldt {a}; fcoml {b}; END; fstp %st(0)'),
    'x87_from_f32': ('to bits', 'fldz; flds {b}; END; fstpt {r}; ffree %st(0)'),
    'x87_from_f64': ('to bits', 'fldz; fldl {b}; END; fstpt {r}; ffree %st(0)'),
    'x87_from_bcd': ('to a', 'fbld {a}; END; fstpt {r}'),
    'x87_to_f32': ('to a', STORE % 'fsts'),
    'x87_to_f64': ('to a', STORE % 'fstl'),
    'x87_to_i16': ('to a', STORE % 'fists'),
    'x87_to_i32': ('to a', STORE % 'fistl'),
    'x87_to_i64': ('to a', POP % 'fistpll'),
    'x87_to_bcd': ('to a', POP % 'fbstp'),
    'x87_extract': ('to push a', TWO % 'fxtract'),
    'x87_ptan': ('to push a', TWO % 'fptan'),
    'x87_sincos': ('to push a', TWO % 'fsincos'),
    'x87_sin': ('to a', RARE % 'fldt {a}; fsin'),
    'x87_cos': ('to a', RARE % 'fldt {a}; fcos'),
    'x87_2xm1': ('to a', RARE % 'fldt {a}; f2xm1'),
    'x87_yl2x': ('to a b', RARE % 'fldt {b}; fldt {a}; fyl2x'),
    'x87_yl2xp1': ('to a b', RARE % 'fldt {b}; fldt {a}; fyl2xp1'),
    'x87_patan': ('to a b', RARE % 'fldt {b}; fldt {a}; fpatan'),
}
CONTROL = ('x87_set_control',)
NAMES = frozenset(PRIMITIVES) | frozenset(CONTROL)

CLEAR = 'fnstsw %ax; testl {unwanted}, %eax; je 9f; fnclex; 9: '  # FNCLEX costs 50 ns if there is something to clear
PLACES = {'guest': '($1)', 'a': '($2)', 'b': '($3)', 'r': '($4)', 'p': '($5)', 'unwanted': '$6'}
CLOBBERS = ','.join(f'~{{{r}}}' for r in ('st', *(f'st({n})' for n in range(1, 8)), 'fpsr', 'fpcr', 'flags', 'memory'))


def assembly(instructions: str) -> str:
    """The whole sequence, as LLVM's string."""
    text = instructions.replace('INIT', 'fninit; fldcw {guest}').replace('END', CLEAR)
    return text.format(**PLACES).replace('; ', '\\0A')


def flags() -> str:
    """IR: %unwanted, the flags that the host's status word may not keep."""
    return f'''  %guest = getelementptr i8, ptr %s, i64 {FIELDS["fpu_control"].offset}
  %cw = load i32, ptr %guest
  %statusword = getelementptr i8, ptr %s, i64 {FIELDS["fpu_status"].offset}
  %sticky = load i32, ptr %statusword
  %known = and i32 %sticky, %cw
  %new = xor i32 %known, 127
  %unwanted = and i32 %new, 127
'''


def enter() -> str:
    """IR: the guest's control word is the host's from here on."""
    text = (CLEAR + 'fldcw ($1)').format(unwanted='$2').replace('; ', '\\0A')
    return flags() + f'  %sw = call i16 asm sideeffect "{text}", "=&{{ax}},r,r,{CLOBBERS}"(ptr %guest, i32 %unwanted)\n'


def set_control() -> str:
    """x87_set_control."""
    return f'''define internal i64 @x87_set_control(ptr %s, i64 %v) nounwind {{
  %p = getelementptr i8, ptr %s, i64 {FIELDS["fpu_control"].offset}
  %word = trunc i64 %v to i32
  store i32 %word, ptr %p
{enter()}  ret i64 0
}}
'''


def slot(name: str) -> str:
    """IR for the address of a slot."""
    field = FIELDS['fpu_mantissa']
    return f'''  %n.{name} = mul i64 %{name}, {field.stride}
  %o.{name} = add i64 %n.{name}, {field.offset}
  %p.{name} = getelementptr i8, ptr %s, i64 %o.{name}
'''


def put(name: str, source: str, condition: str) -> str:
    """IR that copies a result to its slot where the condition holds, else the slot to itself."""
    return f'''  %from.{name} = select i1 {condition}, ptr {source}, ptr %p.{name}
  %low.{name} = load i64, ptr %from.{name}
  %f.{name} = getelementptr i8, ptr %from.{name}, i64 8
  %high.{name} = load i16, ptr %f.{name}
  store i64 %low.{name}, ptr %p.{name}
  %t.{name} = getelementptr i8, ptr %p.{name}, i64 8
  store i16 %high.{name}, ptr %t.{name}
'''


def function(name: str, arguments: list[str], instructions: str) -> str:
    """One primitive's IR."""
    body = flags() + ''.join(slot(a) for a in arguments if a != 'bits')
    if 'bits' in arguments: body += '  %p.bits = alloca i64\n  store i64 %bits, ptr %p.bits\n'
    a = '%p.a' if 'a' in arguments else '%r'
    b = next((f'%p.{x}' for x in ('b', 'bits') if x in arguments), '%r')
    operands = ', '.join(f'ptr {p}' for p in ('%guest', a, b, '%r', '%second'))
    body += f'''  %r = alloca [16 x i8]
  %second = alloca [16 x i8]
  %sw = call i16 asm sideeffect "{assembly(instructions)}", "=&{{ax}},r,r,r,r,r,r,{CLOBBERS}"({operands}, i32 %unwanted)
  %word = and i16 %sw, {0x477f | (PUSHED if "push" in arguments else 0)}
  %status = zext i16 %word to i64
'''
    if 'to' in arguments:
        body += f'''  %control = trunc i32 %cw to i16
  %unmasked = xor i16 %control, -1
  %raised = and i16 %unmasked, %sw
  %stops = and i16 %raised, {31 if name.startswith("x87_to") else 7}
  %done = icmp eq i16 %stops, 0
'''
    if 'push' in arguments:
        body += f'  %odd = and i16 %sw, {PUSHED}\n  %pushed = icmp ne i16 %odd, 0\n  %top = select i1 %pushed, ptr %r, ptr %second\n'
        body += put('to', '%top', '%done') + put('push', '%second', '%pushed')
    elif 'to' in arguments: body += put('to', '%r', '%done')
    params = ''.join(f', i64 %{a}' for a in arguments)
    return f'define internal i64 @{name}(ptr %s{params}) nounwind {{\n{body}  ret i64 %status\n}}\n'


def functions(names: Iterable[str] = NAMES) -> str:
    """The IR of primitives."""
    return ''.join(set_control() if name in CONTROL else function(name, PRIMITIVES[name][0].split(), PRIMITIVES[name][1]) for name in sorted(names))
