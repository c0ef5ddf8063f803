"""Into compiled code and out of it: the host's MXCSR and x87 control word are the guest's in between (SDM 1, 8.1.5 and 10.2.3).

`guest_in(State)` changes to the guest's, MXCSR with all exceptions masked; `guest_out(State)` back to the host's, and says whether the guest's were in use, which `guest_back` is
given then. They are called at the entry to compiled code, at its end, and around what it calls in Python. State.host_mxcsr and host_fpu_control keep the host's meanwhile.
"""
from typing import Mapping

from emu.isa.sse_lower import LOAD, MASKS, STORE, field
from emu.isa.x87_lower import enter


def crossings() -> str:
    """The IR of all three."""
    return f'''define void @guest_back(ptr %s, i1 %used) nounwind {{
  br i1 %used, label %change, label %out
change:
  call void @guest_in(ptr %s)
  br label %out
out:
  ret void
}}
define void @guest_in(ptr %s) nounwind {{
  %t = alloca i32
{STORE}  %host = load i32, ptr %t
  %h = {field("host_mxcsr")}
  store i32 %host, ptr %h
  %p = {field("mxcsr")}
  %own = load i32, ptr %p
  %m = or i32 %own, {MASKS}
  store i32 %m, ptr %t
{LOAD}  %hw = {field("host_fpu_control")}
  call void asm sideeffect "fnstcw ($0)", "r,~{{memory}}"(ptr %hw)
{enter()}  ret void
}}
define i1 @guest_out(ptr %s) nounwind {{
  %t = alloca i32
  %h = {field("host_mxcsr")}
  %host = load i32, ptr %h
  %used = icmp ne i32 %host, 0
  br i1 %used, label %change, label %out
change:
{STORE}  %now = load i32, ptr %t
  %flags = and i32 %now, 63
  %p = {field("mxcsr")}
  %own = load i32, ptr %p
  %all = or i32 %own, %flags
  store i32 %all, ptr %p
  store i32 0, ptr %h
  store i32 %host, ptr %t
{LOAD}  %hw = {field("host_fpu_control")}
  call void asm sideeffect "fldcw ($0)", "r,~{{memory}}"(ptr %hw)
  br label %out
out:
  ret i1 %used
}}
'''


def called(counts: Mapping[str, int]) -> str:
    """`call_NAME(State, ...)` for Python: primitives with so many operands, each under the guest's control words."""
    text = ''
    for name, count in counts.items():
        operands = ''.join(f', i64 %a{n}' for n in range(count))
        text += (f'define i64 @call_{name}(ptr %s{operands}) {{\n  call void @guest_in(ptr %s)\n  %r = call i64 @{name}(ptr %s{operands})\n'
                 '  %used = call i1 @guest_out(ptr %s)\n  ret i64 %r\n}\n')
    return text
