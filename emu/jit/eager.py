"""The eager engine: each instruction is decoded anew and its text runs as it stands, on Python integers. For tests and debugging.

It defines what the other engines must do at an instruction's boundaries: fetch (SDM 3A 5.3, 4.7), one off the budget, the text, the delivery of a fault
from the instruction's first byte, debug traps (SDM 3B 17.3.1).
"""
import ctypes
from typing import Callable

from emu.decoder.decode import Instruction, decode_bytes
from emu.isa.clock import retired
from emu.isa.debug import SINGLE_STEP, observe_fetch
from emu.isa.flags import RF, TF
from emu.isa.interrupts import handle_fault
from emu.isa.language import DB, GP, UD, Fault, host_load, log_code
from emu.isa.state import CS, LOG_CODE, PAGE_READ, State
from emu.isa.texts import TEXTS
from emu.mem.paging import translate

LONGEST = 16  # a byte more than allowed, so that the decoder sees too long ones


def code_bytes(m: State, a: int, n: int) -> bytes:
    """n bytes of code at linear address a, inside one page. A device's memory is not decoded: it reads as FF FF, an invalid opcode."""
    physical = translate(m, a & 0xffffffff, m.user, 0)
    page = host_load(m.page_map + (physical >> 12) * 8, 64)
    if page & PAGE_READ == 0: raise Fault(UD, 0)
    return ctypes.string_at((page & -4096) + (physical & 4095), n)


def fetch(m: State) -> Instruction:
    """The instruction at CS:EIP. The next page is touched only by an instruction that goes on there."""
    a = (m.base[CS] + m.eip) & 0xffffffff
    observe_fetch(m, a)
    if m.eip > m.limit[CS]: raise Fault(GP, 0)
    room = 4096 - (a & 4095)
    data = code_bytes(m, a, min(room, LONGEST))
    i = decode_bytes(data, m.code32)
    if i is None:
        data += code_bytes(m, a + room, LONGEST - room)
        i = decode_bytes(data, m.code32)
    assert i
    if m.eip + i.len - 1 > m.limit[CS]: raise Fault(GP, 0)
    if m.logging & LOG_CODE:
        buffer = ctypes.create_string_buffer(data)
        log_code(m, ctypes.addressof(buffer), i.len)
    return i


def step(m: State) -> None:
    """Executes one instruction, or delivers the exception that it raises, and the debug trap after it."""
    start = m.eip
    m.budget -= 1
    i = None
    prepare(m)
    try:
        i = fetch(m)
        m.eip = (start + i.len) & 0xffffffff
        TEXTS[i.form.text](m, i)
    except Fault as fault:
        m.eip = (m.eip - i.len) & 0xffffffff if i else start  # a task switch has put another EIP there
        m.fault_vector, m.fault_code = fault.vector, fault.code
        handle_fault(m)
    conclude(m, handle_fault)


def prepare(m: State) -> None:
    """Before an instruction: RF holds its breakpoint off and is cleared (SDM 3B 17.3.1.1), TF asks for a trap after it (17.3.1.4)."""
    m.resume = m.eflags & RF
    m.eflags &= ~RF
    if m.eflags & TF: m.hit |= SINGLE_STEP


def conclude(m: State, deliver: Callable[[State], object]) -> None:
    """After it: what it met becomes a debug trap; MOV SS and POP SS hold it off until after the next instruction (SDM 3A 6.8.3)."""
    m.resume = 0
    if m.shadow == retired(m) + 1 & 0xffffffff: m.hit &= ~SINGLE_STEP
    elif m.hit: trap(m, deliver)


def trap(m: State, deliver: Callable[[State], object]) -> None:
    """#DB for the conditions that were met."""
    m.dr[6] |= m.hit
    m.fault_vector, m.fault_code, m.halted = DB, 0, 0
    deliver(m)
    m.hit = 0


def run(m: State, count: int) -> None:
    """Executes up to count instructions; ends early where a text ends the slice (HLT, a change of mode)."""
    m.budget = count
    while m.budget > 0:
        step(m)
