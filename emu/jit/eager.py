"""The eager engine: each instruction is decoded anew and its text runs as it stands, on Python integers. For tests and debugging.

It defines what the other engines must do at an instruction's boundaries: fetch (SDM 3A 5.3, 4.7), one off the budget, the text, the delivery of a fault
from the instruction's first byte, the single-step trap (SDM 3B 17.3.1.4).
"""
import ctypes
from typing import Callable

from emu.decoder.decode import Instruction, decode_bytes
from emu.isa.flags import TF
from emu.isa.interrupts import handle_fault
from emu.isa.language import DB, GP, Fault, host_load
from emu.isa.state import CS, PAGE_READ, SS, State
from emu.isa.texts import TEXTS
from emu.mem.paging import translate

LONGEST = 16  # a byte more than allowed, so that the decoder sees too long ones
INTERRUPTS = ('INT', 'INT1', 'INT3', 'INTO')  # those that clear TF on their way hold no trap behind
SINGLE_STEP = 1 << 14  # DR6.BS


def code_bytes(m: State, a: int, n: int) -> bytes:
    """n bytes of code at linear address a, inside one page. A device's memory reads as FFh, an invalid opcode."""
    physical = translate(m, a & 0xffffffff, m.user, 0)
    page = host_load(m.page_map + (physical >> 12) * 8, 64)
    return ctypes.string_at((page & -4096) + (physical & 4095), n) if page & PAGE_READ else b'\xff' * n


def fetch(m: State) -> Instruction:
    """The instruction at CS:EIP. The next page is touched only by an instruction that goes on there."""
    if m.eip > m.limit[CS]: raise Fault(GP, 0)
    a = m.base[CS] + m.eip
    room = 4096 - (a & 4095)
    data = code_bytes(m, a, min(room, LONGEST))
    i = decode_bytes(data, m.code32)
    if i is None:
        data += code_bytes(m, a + room, LONGEST - room)
        i = decode_bytes(data, m.code32)
    assert i
    if m.eip + i.len - 1 > m.limit[CS]: raise Fault(GP, 0)
    return i


def step(m: State) -> None:
    """Executes one instruction, or delivers the exception that it raises."""
    start, traced = m.eip, m.eflags & TF
    m.budget -= 1
    i = None
    try:
        i = fetch(m)
        m.eip = (start + i.len) & 0xffffffff
        TEXTS[i.form.text](m, i)
    except Fault as fault:
        m.eip = (m.eip - i.len) & 0xffffffff if i else start  # a task switch has put another EIP there
        m.fault_vector, m.fault_code = fault.vector, fault.code
        handle_fault(m)
    else:
        if traced and traps(m, i): single_step(m, handle_fault)


def traps(m: State, i: Instruction) -> bool:
    """Whether an instruction that began with TF set, and is done, is followed by the trap."""
    return not loads_stack(i) and bool(m.eflags & TF or i.form.text not in INTERRUPTS)


def single_step(m: State, deliver: Callable[[State], object]) -> None:
    """The single-step trap."""
    m.dr[6] |= SINGLE_STEP
    m.fault_vector, m.fault_code = DB, 0
    deliver(m)


def loads_stack(i: Instruction) -> bool:
    """MOV SS and POP SS hold the trap off until after the next instruction (SDM 3A 6.8.3)."""
    return i.form.text in ('MOV_TO_SEG', 'POP_SEG') and i.dst == SS


def run(m: State, count: int) -> None:
    """Executes up to count instructions; ends early where a text ends the slice (HLT, a change of mode)."""
    m.budget = count
    while m.budget > 0:
        step(m)
