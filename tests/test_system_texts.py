"""Segments, far transfers, interrupts, tasks and system instructions against SDM 3A, run by the eager engine on small hand-made tables."""
import struct
from random import Random
from typing import Any

import pytest
import unicorn
from unicorn import x86_const as uc

from emu.isa import models
from emu.isa.flags import AC, ID, IF, IOPL, NT, RF, TF, VM, ZF, eflags_image
from emu.isa.interrupts import handle_fault, take_interrupt
from emu.isa.language import DF, GP, NP, PF, TS, UD, Fault
from emu.isa.language import SS as STACK_FAULT
from emu.isa.privilege import check_io
from emu.isa.reset import reset
from emu.isa.segments import load_segment, set_segment, update_mode
from emu.isa.state import CS, DS, ES, FS, GS, LDTR, SS, TR, State
from emu.isa.texts import TEXTS
from emu.jit.eager import fetch, step
from emu.mem.memory import Memory
from emu.mem.paging import flush_tlb

IVT_CODE, IDT, GDT, LDT, TSS, TSS_B, TSS_16 = 0x600, 0x1000, 0x2000, 0x2800, 0x3000, 0x3200, 0x3400
CODE_AT, STACK0, STACK3, HANDLER = 0x8000, 0x9000, 0xa000, 0xb000
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
REGISTERS = [getattr(uc, 'UC_X86_REG_' + n) for n in 'EAX ECX EDX EBX ESP EBP ESI EDI'.split()]
SEGMENTS = [getattr(uc, 'UC_X86_REG_' + n) for n in 'ES CS SS DS FS GS'.split()]
CODE0, DATA0, CODE3, DATA3, CONFORMING, CODE16, DATA16, TASK, TASK_B, TASK_16, GATE, TASK_GATE, LDT_SEL, ABSENT, SMALL, GATE_SAME = range(8, 8 * 17, 8)


def descriptor(base: int, limit: int, access: int, flags: int = 0) -> int:
    """flags: G D 0 AVL; a limit that needs it is given in pages."""
    return limit & 0xffff | (base & 0xffffff) << 16 | access << 40 | (limit >> 16 & 15) << 48 | flags << 52 | (base >> 24) << 56


def gate(kind: int, selector: int, offset: int, dpl: int = 0, count: int = 0) -> int:
    return offset & 0xffff | selector << 16 | count << 32 | (0x80 | dpl << 5 | kind) << 40 | (offset >> 16) << 48


TABLE = {CODE0: descriptor(0, 0xfffff, 0x9a, 12), DATA0: descriptor(0, 0xfffff, 0x92, 12), CODE3: descriptor(0, 0xfffff, 0xfa, 12),
         DATA3: descriptor(0, 0xfffff, 0xf2, 12), CONFORMING: descriptor(0, 0xfffff, 0x9e, 12),
         CODE16: descriptor(0, 0xffff, 0x9a), DATA16: descriptor(0, 0xffff, 0x92),
         TASK: descriptor(TSS, 0x87, 0x89), TASK_B: descriptor(TSS_B, 0x67, 0x89), TASK_16: descriptor(TSS_16, 0x2b, 0x81),
         GATE: gate(12, CODE0, HANDLER, 3, 2), TASK_GATE: gate(5, TASK_B, 0, 3), LDT_SEL: descriptor(LDT, 15, 0x82),
         ABSENT: descriptor(0, 0xfffff, 0x72, 12), SMALL: descriptor(0x4000, 0xff, 0x92),
         GATE_SAME: gate(4, CODE0, HANDLER, 3)}


class Machine:
    """Flat protected mode at CPL 0, TR loaded with TASK, interrupts through gates to HANDLER + 16 * vector."""

    def __init__(self, model: str = 'default') -> None:
        self.memory = Memory(1 << 20)
        self.m: Any = State()
        m = self.m
        models.apply(m, model)
        m.page_map, m.code_map = self.memory.page_map.ctypes.data, self.memory.code_map.ctypes.data
        reset(m)

    def protected(self, cpl: int = 0) -> Any:
        m = self.m
        for selector, d in TABLE.items():
            self.put(GDT + selector, d, 8)
        self.put(TSS + 4, STACK0, 4)
        self.put(TSS + 8, DATA0, 4)
        for vector in range(32):
            self.put(IDT + 8 * vector, gate(14, CODE0, HANDLER + 16 * vector, 3), 8)
        m.gdt_base, m.gdt_limit, m.idt_base, m.idt_limit = GDT, 0xff, IDT, 0xff
        m.cr0 = 0x11
        set_segment(m, CS, (CODE0, 0, 0, CODE3 | 3)[cpl], TABLE[(CODE0, 0, 0, CODE3)[cpl]] | 1 << 40)
        for n in (ES, SS, DS, FS, GS):
            set_segment(m, n, (DATA0, 0, 0, DATA3 | 3)[cpl], TABLE[(DATA0, 0, 0, DATA3)[cpl]] | 1 << 40)
        set_segment(m, TR, TASK, TABLE[TASK] | 2 << 40)
        self.put(GDT + TASK + 5, 0x8b, 1)
        m.cpl, m.eflags, m.reg[ESP] = cpl, 2 | IF, (STACK0, 0, 0, STACK3)[cpl]
        update_mode(m)
        return m

    def real(self) -> Any:
        """Real mode, CS 0800h, SS 0900h, every vector at 0000:0600."""
        m = self.m
        for vector in range(32):
            self.put(4 * vector, IVT_CODE, 4)
        for n in (ES, SS, DS, FS, GS, CS):
            m.selector[n], m.base[n] = (0x900, 0x9000) if n != CS else (0x800, 0x8000)
        m.eip, m.reg[ESP] = 0, 0x100
        return m

    def v86(self, iopl: int = 3) -> Any:
        m = self.protected(3)
        m.eflags |= VM | iopl << 12
        for n in (ES, SS, DS, FS, GS, CS):
            m.selector[n], m.base[n], m.limit[n], m.access[n], m.reach[n] = 0x900 + n, 0x9000 + 16 * n, 0xffff, 0xf3, 0
        m.reg[ESP] = 0x100
        update_mode(m)
        return m

    def put(self, at: int, value: int, size: int) -> None:
        self.memory.write(at, (value & (1 << 8 * size) - 1).to_bytes(size, 'little'))

    def get(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.memory.read(at, size), 'little')

    def stack(self, count: int, size: int = 4) -> list[int]:
        at = self.m.base[SS] + self.m.reg[ESP]
        return [self.get(at + size * n, size) for n in range(count)]

    def run(self, code: str, at: int | None = None) -> Any:
        """Executes one instruction, given in hexadecimal."""
        m = self.m
        m.eip = CODE_AT - m.base[CS] if at is None else at
        if m.vm86 or not m.cr0 & 1: m.eip = 0
        self.memory.write(m.base[CS] + m.eip, bytes.fromhex(code))
        m.budget = 10
        step(m)
        return m

    def fault(self, code: str, vector: int, error: int | None = None) -> None:
        """The instruction raises this exception and leaves the registers alone but for the delivery."""
        m = self.m
        before = list(m.reg)
        self.run(code)
        assert m.eip == HANDLER + 16 * vector
        wanted = [error] if error is not None else []
        assert self.stack(len(wanted) + 1) == [*wanted, CODE_AT]
        assert [m.reg[n] for n in range(8) if n != ESP] == [before[n] for n in range(8) if n != ESP]


@pytest.fixture
def machine() -> Machine:
    return Machine()


def hidden(m: Any, n: int) -> tuple[int, int, int]:
    return m.selector[n], m.base[n], m.limit[n]


# --- reset and models ------------------------------------------------------------------------------------------------------------------

def test_reset(machine: Machine) -> None:
    """SDM 3A table 9-1."""
    m = machine.m
    assert (m.cr0, m.eip, eflags_image(m), m.reg[EDX], m.dr[6], m.dr[7]) == (0x60000010, 0xfff0, 2, 0x633, 0xffff0ff0, 0x400)
    assert hidden(m, CS) == (0xf000, 0xffff0000, 0xffff) and hidden(m, SS) == (0, 0, 0xffff) and m.access[CS] == 0x93
    assert (m.mode, m.stack_mask, m.idt_limit) == (1 << 6, 0xffff, 0xffff)


def test_cpuid(machine: Machine) -> None:
    """SDM 2 CPUID: vendor in EBX EDX ECX; leaves above the highest read as nothing."""
    m = machine.protected()
    m.reg[EAX] = 0
    machine.run('0fa2')
    assert struct.pack('<3I', m.reg[EBX], m.reg[EDX], m.reg[ECX]) == b'GenuineIntel' and m.reg[EAX] == 2
    m.reg[EAX] = 1
    machine.run('0fa2')
    assert m.reg[EAX] == 0x633 and m.reg[EDX] & 0x8171 == 0x8171  # FPU TSC MSR PAE CX8 CMOV: Debian's 686 kernels need them
    m.reg[EAX] = 0x80000002
    machine.run('0fa2')
    assert struct.pack('<2I', m.reg[EAX], m.reg[EBX]) == b'emu i686'


def test_386_has_no_cpuid() -> None:
    """AP-485: EFLAGS.ID and AC cannot be set where there is no CPUID, no 486; CR4's bits are reserved without their features."""
    machine = Machine('386')
    m = machine.protected()
    machine.fault('0fa2', UD)
    m = machine.protected()
    machine.put(STACK0, ID | AC | 2, 4)
    assert machine.run('9d').eflags & (ID | AC) == 0
    m.reg[EAX] = 0x10
    m.reg[ESP] = STACK0
    machine.fault('0f22e0', GP, 0)


# --- segments ------------------------------------------------------------------------------------------------------------------------------

def test_load_segment(machine: Machine) -> None:
    """SDM 3A 3.4.3, 5.6: hidden part and accessed bit; flat segments need no check; a null selector is allowed but in SS."""
    m = machine.protected()
    m.reg[EAX] = SMALL
    machine.run('8ed8')  # mov ds, ax
    assert hidden(m, DS) == (SMALL, 0x4000, 0xff) and m.reach[DS] == 0 and machine.get(GDT + SMALL + 5, 1) == 0x93
    assert m.mode == 0b01001011  # not flat
    m.reg[EAX] = DATA0
    machine.run('8ed8')
    assert hidden(m, DS) == (DATA0, 0, 0xffffffff) and m.reach[DS] == 3 and m.mode == 0b01101011
    m.reg[EAX] = 3
    machine.run('8ee8')  # mov gs, ax
    assert m.selector[GS] == 3 and m.access[GS] == 0
    machine.fault('65a100000000', GP, 0)  # mov eax, gs:[0]


@pytest.mark.parametrize('cpl, code, selector, vector, error', [
    (0, '8ed8', 0x200, GP, 0x200), (0, '8ed8', LDT_SEL, GP, LDT_SEL), (0, '8ed8', ABSENT, NP, ABSENT), (0, '8ed0', 0, GP, 0), (0, '8ed0', DATA3, GP, DATA3),
    (0, '8ed0', CODE0, GP, CODE0), (3, '8ed8', DATA0, GP, DATA0), (3, '8ed8', CODE0 | 3, GP, CODE0),
    (0, '8ed8', CODE0 | 4, GP, CODE0 | 4), (3, '8ed0', DATA3, GP, DATA3)])
def test_load_segment_faults(machine: Machine, cpl: int, code: str, selector: int, vector: int, error: int) -> None:
    """SDM 2 MOV: limit, type, privilege, presence; the selector is the error code."""
    machine.protected(cpl).reg[EAX] = selector
    machine.fault(code, vector, error)


def test_conforming_code_as_data(machine: Machine) -> None:
    """SDM 3A 5.6.1: conforming code may be read through DS whatever the DPL."""
    m = machine.protected(3)
    m.reg[EAX] = CONFORMING | 3
    assert machine.run('8ed8').selector[DS] == CONFORMING | 3


def test_absent_stack(machine: Machine) -> None:
    """SDM 2 MOV: a stack segment that is not present is #SS(selector)."""
    m = machine.protected()
    machine.put(GDT + ABSENT + 5, 0x12, 1)
    m.reg[EAX] = ABSENT
    machine.fault('8ed0', STACK_FAULT, ABSENT)


def test_unreal_mode(machine: Machine) -> None:
    """SDM 3A 9.9.2: back in real mode a segment load changes the base; the limit of protected mode stays."""
    m = machine.protected()
    m.reg[EAX] = 0x10
    machine.run('0f22c0')  # mov cr0, eax
    m.reg[EAX] = 0x1234
    load_segment(m, DS, 0x1234)
    assert hidden(m, DS) == (0x1234, 0x12340, 0xffffffff) and m.protected == 0


def test_ldt(machine: Machine) -> None:
    """SDM 3A 3.5.1; TI selects the LDT."""
    m = machine.protected()
    machine.put(LDT + 8, TABLE[SMALL], 8)
    m.reg[EAX] = LDT_SEL
    machine.run('0f00d0')  # lldt ax
    assert hidden(m, LDTR) == (LDT_SEL, LDT, 15)
    m.reg[EAX] = 0xc
    assert hidden(machine.run('8ec0'), ES) == (0xc, 0x4000, 0xff)
    m.reg[EAX] = CODE0
    machine.fault('0f00d0', GP, CODE0)


def test_ltr(machine: Machine) -> None:
    """SDM 2 LTR: the TSS becomes busy; a busy one is refused."""
    m = machine.protected()
    m.reg[EAX] = TASK_B
    machine.run('0f00d8')
    assert hidden(m, TR) == (TASK_B, TSS_B, 0x67) and machine.get(GDT + TASK_B + 5, 1) == 0x8b
    machine.fault('0f00d8', GP, TASK_B)


def test_pop_ss_and_push(machine: Machine) -> None:
    """SDM 2 POP: ESP moves by the operand's size."""
    m = machine.protected()
    machine.run('1e')  # push ds
    assert m.reg[ESP] == STACK0 - 4 and machine.stack(1) == [DATA0]
    machine.put(m.reg[ESP], DATA16, 4)
    machine.run('17')  # pop ss
    assert m.selector[SS] == DATA16 and m.stack_mask == 0xffff and m.reg[ESP] == STACK0


def test_load_far(machine: Machine) -> None:
    """SDM 2 LDS...: offset, then selector."""
    m = machine.protected()
    machine.put(0x5000, 0x12345678 | SMALL << 32, 6)
    machine.run('c41d00500000')  # les ebx, [5000h]
    assert m.reg[EBX] == 0x12345678 and m.selector[ES] == SMALL
    machine.put(0x5004, LDT_SEL, 2)
    machine.fault('c41d00500000', GP, LDT_SEL)


def test_tables(machine: Machine) -> None:
    """SDM 2 LGDT: operand size 16 takes 24 bits of base; SGDT stores 6 bytes."""
    m = machine.protected()
    machine.put(0x5000, 0x12345678_00ff, 6)
    machine.run('660f011d00500000')  # lidt, 16 bits
    assert (m.idt_base, m.idt_limit) == (0x345678, 0xff)
    machine.run('0f011d00500000')
    assert m.idt_base == 0x12345678
    machine.run('0f010d10500000')  # sidt
    assert machine.get(0x5010, 6) == 0x12345678_00ff
    machine.protected(3)
    machine.fault('0f011d00500000', GP, 0)


def test_lar_lsl_verr_verw_like_qemu() -> None:
    """SDM 3A 5.10: LAR, LSL, VERR, VERW for every type, DPL and RPL, at CPL 0, as Unicorn has them."""
    machine = Machine()
    m = machine.protected()
    code = bytes.fromhex('0f02d8 9c 59 0f03d0 9c 5e 0f00e0 9c 5f 0f00e8 9c 5d')  # lar ebx; pushf; pop ecx; lsl edx, ... esi; verr edi; verw ebp
    machine.memory.write(CODE_AT, code)
    other = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    other.mem_map(0, 1 << 20)
    other.mem_write(0, machine.memory.read(0, 0x10000))
    other.reg_write(uc.UC_X86_REG_GDTR, (0, GDT, 0xff, 0))
    for n, register in ((CODE0, uc.UC_X86_REG_CS), (DATA0, uc.UC_X86_REG_DS), (DATA0, uc.UC_X86_REG_SS)):
        other.reg_write(register, n)
    for access in range(0x80, 0x100):
        for rpl in (0, 3):
            d = descriptor(0x123456, 0x9abcd, access, 8)
            machine.put(GDT + SMALL, d, 8)
            other.mem_write(GDT + SMALL, struct.pack('<Q', d))
            start = [SMALL | rpl, 1, 2, 3, STACK0, 5, 6, 7]
            for n in range(8):
                m.reg[n] = start[n]
                other.reg_write(REGISTERS[n], start[n])
            m.eip, m.budget, m.eflags = CODE_AT, 12, 2
            other.reg_write(uc.UC_X86_REG_EFLAGS, 2)
            other.emu_start(CODE_AT, CODE_AT + len(code))
            while m.budget:
                step(m)
            for n in (ECX, ESI, EDI, EBP):
                m.reg[n] &= ZF
            theirs = [other.reg_read(name) for name in REGISTERS]
            assert m.reg[EDX] == theirs[EDX] and m.reg[EBX] & 0xf0ff00 == theirs[EBX] & 0xf0ff00, f'{access:x} {rpl}'
            assert [m.reg[n] for n in (ECX, ESI, EDI, EBP)] == [theirs[n] & ZF for n in (ECX, ESI, EDI, EBP)], f'{access:x} {rpl}'


# --- far transfers -------------------------------------------------------------------------------------------------------------------------

def far(opcode: str, selector: int, offset: int) -> str:
    return opcode + struct.pack('<IH', offset, selector).hex()


def test_far_jump(machine: Machine) -> None:
    """SDM 2 JMP: CS's RPL becomes CPL; 16-bit code changes the mode."""
    m = machine.protected()
    machine.run(far('ea', CODE0, 0x4321))
    assert m.eip == 0x4321 and m.selector[CS] == CODE0
    machine.run(far('ea', CONFORMING | 3, 0x4321))
    assert m.selector[CS] == CONFORMING
    machine.run(far('ea', CODE16, 0x4321))
    assert m.code32 == 0 and m.mode & 1 == 0 and m.eip == 0x4321


@pytest.mark.parametrize('cpl, selector, offset, vector, error', [
    (0, 0, 0, GP, 0), (0, CODE3, 0, GP, CODE3), (3, CODE0, 0, GP, CODE0), (0, DATA0, 0, GP, DATA0), (0, CODE16, 0x10000, GP, 0), (0, 0x100, 0, GP, 0x100),
    (3, TASK_B, 0, GP, TASK_B), (3, GATE, 0, GP, CODE0)])
def test_far_jump_faults(machine: Machine, cpl: int, selector: int, offset: int, vector: int, error: int) -> None:
    """SDM 3A 5.8.1: no far jump changes CPL, not even through a gate."""
    machine.protected(cpl)
    machine.fault(far('ea', selector, offset), vector, error)


def test_far_call_and_return(machine: Machine) -> None:
    """SDM 2 CALL, RET: CS and EIP on the stack, RET n drops n bytes more."""
    m = machine.protected()
    machine.run(far('9a', CODE0, 0x4321))
    assert machine.stack(2) == [CODE_AT + 7, CODE0]
    machine.run('ca0800', 0x4321)
    assert m.eip == CODE_AT + 7 and m.reg[ESP] == STACK0 + 8


def test_call_gate(machine: Machine) -> None:
    """SDM 3A 5.8.5: the inner stack comes from the TSS and gets SS, ESP, parameters, CS, EIP;
    RET goes back and empties inner data segments (5.8.6)."""
    m = machine.protected(3)
    machine.put(STACK3, 0x22222222_11111111, 8)
    machine.run(far('9a', GATE | 3, 0xdead))
    assert (m.eip, m.cpl, m.user, m.selector[CS], m.selector[SS]) == (HANDLER, 0, 0, CODE0, DATA0)
    assert machine.stack(6) == [CODE_AT + 7, CODE3 | 3, 0x11111111, 0x22222222, STACK3, DATA3 | 3] and m.reg[ESP] == STACK0 - 24
    load_segment(m, DS, DATA0)
    machine.run('ca0800')
    assert (m.eip, m.cpl, m.selector[CS], m.selector[SS], m.reg[ESP]) == (CODE_AT + 7, 3, CODE3 | 3, DATA3 | 3, STACK3 + 8)
    assert (m.selector[DS], m.access[DS], m.selector[ES]) == (0, 0, DATA3 | 3)


def test_call_gate_same_level(machine: Machine) -> None:
    """SDM 3A 5.8.4: a 16-bit gate to the same level pushes words."""
    m = machine.protected()
    machine.run(far('9a', GATE_SAME, 0))
    assert m.eip == HANDLER and machine.stack(2, 2) == [CODE_AT + 7, CODE0]


def test_call_gate_bad_stack(machine: Machine) -> None:
    """SDM 3A 6.15, #TS: the TSS's stack segment has the wrong privilege; nothing has changed."""
    m = machine.protected(3)
    machine.put(TSS + 8, DATA3, 4)
    machine.put(IDT + 8 * TS, gate(15, CONFORMING, HANDLER), 8)
    machine.run(far('9a', GATE | 3, 0))
    assert (m.eip, m.cpl) == (HANDLER, 3) and machine.stack(2) == [DATA3, CODE_AT]


@pytest.mark.parametrize('selector, vector, error', [(0, GP, 0), (DATA0, GP, DATA0), (CODE3, GP, CODE3), (CODE0 | 3, GP, CODE0)])
def test_far_return_faults(machine: Machine, selector: int, vector: int, error: int) -> None:
    """SDM 2 RET: RPL and DPL must agree."""
    machine.protected()
    machine.put(STACK0, CODE_AT | selector << 32, 8)
    machine.fault('cb', vector, error)


def test_return_looks_at_the_stack_first(machine: Machine) -> None:
    """SDM 2 RET, SDM 3A 5.8.6: on the way out SS is checked before EIP."""
    machine.protected()
    machine.put(GDT + CODE3, descriptor(0, 0xff, 0xfa, 4), 8)
    machine.memory.write(STACK0, struct.pack('<4I', 0x1000, CODE3 | 3, STACK3, DATA0 | 3))
    machine.fault('cb', GP, DATA0)
    machine.protected()
    machine.put(GDT + CODE3, descriptor(0, 0xff, 0xfa, 4), 8)
    machine.memory.write(STACK0, struct.pack('<4I', 0x1000, CODE3 | 3, STACK3, DATA3 | 3))
    machine.fault('cb', GP, 0)


def test_real_far(machine: Machine) -> None:
    """SDM 3A 20.1: selector times 16."""
    m = machine.real()
    machine.run('9a34127856')
    assert (m.eip, m.base[CS], m.reg[ESP]) == (0x1234, 0x56780, 0xfc) and machine.stack(2, 2) == [5, 0x800]
    machine.run('cb')
    assert (m.eip, m.base[CS], m.reg[ESP]) == (5, 0x8000, 0x100)

class Qemu:
    """Unicorn with the same memory and registers."""

    def __init__(self, machine: Machine) -> None:
        m = machine.m
        self.interrupts: list[int] = []
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.mem_map(0, 1 << 20)
        self.uc.hook_add(unicorn.UC_HOOK_INTR, self.interrupted)
        image = machine.memory.read(0, 0x10000)
        self.uc.mem_write(0, image)
        self.uc.reg_write(uc.UC_X86_REG_GDTR, (0, m.gdt_base, m.gdt_limit, 0))
        for n in (CS, SS, DS, ES, FS, GS):
            self.uc.reg_write(SEGMENTS[n], m.selector[n])
        self.uc.mem_write(0, image)
        for register, value in zip(REGISTERS + [uc.UC_X86_REG_EFLAGS], [*m.reg][:8] + [eflags_image(m)]):
            self.uc.reg_write(register, value)

    def interrupted(self, other: Any, vector: int, data: Any) -> None:
        self.interrupts.append(vector)
        other.emu_stop()

    def step(self) -> list[int]:
        """One instruction; its exception if there is one. The fetch after a jump out of memory is no fault of the jump."""
        try:
            self.uc.emu_start(CODE_AT, 0xffffffff, count=1)
        except unicorn.UcError as error:
            assert error.errno == unicorn.UC_ERR_FETCH_UNMAPPED
        return self.interrupts[:1]

    def registers(self) -> list[int]:
        return [self.uc.reg_read(n) for n in [*REGISTERS, *SEGMENTS, uc.UC_X86_REG_EIP, uc.UC_X86_REG_EFLAGS]]


TRANSFERS = ('cb', 'ca0400', 'cf', '66cf', '66cb', '8ed8', '8ed0', '8ec0', '17', '1f', '9d', 'c41d00500000', 'ff1d00500000', 'ea', '9a')


@pytest.mark.parametrize('seed', range(8))
def test_transfers_like_qemu(seed: int) -> None:
    """Random selectors, descriptors and stacks at CPL 0: the same exception or the same registers and memory.

    RF and accessed bits are not compared, and QEMU does not look at the limit when it returns.
    """
    random = Random(seed)
    machine = Machine()
    plain = [s for s in TABLE if s not in (TASK, TASK_B, TASK_16, TASK_GATE)]
    selector = lambda: random.choice([*plain, 0, 0x100]) | random.choice((0, 0, 0, 3, 1, 4))  # noqa: E731
    for _ in range(40):
        m = machine.protected()
        m.reg[EAX] = selector()
        machine.put(GDT + random.choice(plain[2:]) + 5, random.choice((0x10, 0x90)) | random.getrandbits(7), 1)
        for n, value in enumerate((0x80, selector(), random.choice((2, VM | IF | 2, IOPL | 2)), STACK3, selector())):
            machine.put(STACK0 + 4 * n, value, 4)
            machine.put(0x5000 + 4 * n, value, 4)
        code = random.choice(TRANSFERS)
        if code in ('ea', '9a'): code = far(code, selector(), random.choice((0xb000, random.getrandbits(32))))
        machine.memory.write(CODE_AT, bytes.fromhex(code))
        m.eip = CODE_AT
        other = Qemu(machine)
        i = fetch(m)
        m.eip += i.len
        try:
            TEXTS[i.form.text](m, i)
            mine = []
        except Fault as caught:
            mine = [caught.vector]
        assert mine == other.step(), code
        if mine: continue
        *ours, flags = [*m.reg][:8] + [m.selector[n] for n in range(6)] + [m.eip, eflags_image(m)]
        *theirs, their_flags = other.registers()
        assert ours == theirs and flags == their_flags & ~RF, code
        memory, their_memory = bytearray(machine.memory.read(0, 0x10000)), bytearray(other.uc.mem_read(0, 0x10000))
        for n in range(GDT + 5, GDT + 0x100, 8): memory[n], their_memory[n] = memory[n] | 1, their_memory[n] | 1
        assert memory == their_memory, code


# --- interrupts ------------------------------------------------------------------------------------------------------------------------------

def test_real_interrupt(machine: Machine) -> None:
    """SDM 3A 20.1.4: FLAGS, CS, IP on the stack; IF and TF cleared; IRET brings all back."""
    m = machine.real()
    m.eflags |= IF
    machine.run('cd10')
    assert (m.eip, m.selector[CS], m.eflags & IF) == (IVT_CODE, 0, 0) and machine.stack(3, 2) == [2, 0x800, IF | 2]
    machine.run('cf')
    assert (m.eip, m.base[CS], m.eflags & IF, m.reg[ESP]) == (2, 0x8000, IF, 0x100)


def test_interrupt_gate(machine: Machine) -> None:
    """SDM 3A 6.12.1: same level; an interrupt gate clears IF, a trap gate does not; IRET returns."""
    m = machine.protected()
    machine.run('cd10')
    assert machine.stack(3) == [CODE_AT + 2, CODE0, IF | 2] and m.eflags & IF == 0 and m.eip == HANDLER + 0x100
    machine.run('cf')
    assert (m.eip, m.reg[ESP], m.eflags & IF) == (CODE_AT + 2, STACK0, IF)
    machine.put(IDT + 0x80, gate(15, CODE0, HANDLER), 8)
    assert machine.run('cd10').eflags & IF


def test_interrupt_inner(machine: Machine) -> None:
    """SDM 3A 6.12.1: from CPL 3 the stack of the TSS gets SS and ESP too."""
    m = machine.protected(3)
    machine.run('cd10')
    assert machine.stack(5) == [CODE_AT + 2, CODE3 | 3, IF | 2, STACK3, DATA3 | 3] and (m.cpl, m.reg[ESP]) == (0, STACK0 - 20)
    machine.run('cf')
    assert (m.cpl, m.eip, m.reg[ESP], m.selector[SS], m.mode & 4) == (3, CODE_AT + 2, STACK3, DATA3 | 3, 4)


def test_gate_looks_at_the_stack_first(machine: Machine) -> None:
    """SDM 2 INT n: the inner stack is checked before the offset, #TS before #GP."""
    m = machine.protected(3)
    machine.put(TSS + 8, DATA3, 4)
    machine.put(GDT + SMALL, descriptor(0, 0xff, 0x9a, 4), 8)
    machine.put(IDT + 0x80, gate(14, SMALL, HANDLER, 3), 8)
    machine.put(IDT + 8 * TS, gate(15, CONFORMING, HANDLER), 8)
    machine.run('cd10')
    assert (m.eip, m.cpl) == (HANDLER, 3) and machine.stack(2) == [DATA3, CODE_AT]


def test_software_interrupt_needs_dpl(machine: Machine) -> None:
    """SDM 3A 6.12.1.1: INT n through a gate of DPL 0 from CPL 3 is #GP(vector * 8 + 2); an exception may pass."""
    machine.protected(3)
    machine.put(IDT + 0x80, gate(14, CODE0, HANDLER), 8)
    machine.fault('cd10', GP, 0x82)


def test_error_code_and_rf(machine: Machine) -> None:
    """SDM 3A 6.13: the code lies on top; SDM 3B 17.3.1.1: a fault pushes RF."""
    m = machine.protected()
    m.eip, m.fault_vector, m.fault_code = 0x1234, GP, 0x55
    handle_fault(m)
    assert machine.stack(4) == [0x55, 0x1234, CODE0, IF | 2 | RF]


def test_take_interrupt(machine: Machine) -> None:
    """An external interrupt ends HLT and pushes no code and no RF (SDM 3A 6.3)."""
    m = machine.protected()
    machine.run('f4')
    assert m.halted and m.budget == 0
    take_interrupt(m, 8)
    assert not m.halted and machine.stack(3) == [CODE_AT + 1, CODE0, IF | 2]


@pytest.mark.parametrize('first, absent, delivered', [(GP, {GP}, DF), (PF, {PF}, DF), (GP, {GP, DF}, None), (UD, {UD}, NP), (PF, {PF, NP}, DF)])
def test_double_fault(machine: Machine, first: int, absent: set[int], delivered: int | None) -> None:
    """SDM 3A table 6-5: contributory after contributory, or after #PF, is #DF; then shutdown."""
    m = machine.protected()
    for vector in absent:
        machine.put(IDT + 8 * vector + 5, 0x0e, 1)
    m.fault_vector, m.budget = first, 5
    handle_fault(m)
    assert m.shutdown == (delivered is None)
    if delivered is None: assert m.budget == 0
    else: assert m.eip == HANDLER + 16 * delivered and machine.stack(1) == [0 if delivered == DF else first * 8 + 3]


def test_page_fault_while_contributory(machine: Machine) -> None:
    """SDM 3A table 6-5: #PF after a contributory fault is handled for itself."""
    m = machine.protected()
    directory = 0x10000
    for n in range(256):
        machine.put(0x11000 + 4 * n, n << 12 | 7 if n != IDT >> 12 else 0, 4)
    machine.put(directory, 0x11007, 4)
    machine.put(0x11000 + 4 * 0x20, 0x20007, 4)
    m.cr0, m.cr3, m.idt_base = m.cr0 | 1 << 31, directory, IDT - 8 * GP - 8 + 0x1000
    flush_tlb(m)
    machine.put(0x11000 + 4, 0x1007, 4)
    machine.put(m.idt_base + 8 * PF, gate(14, CODE0, HANDLER + 0xe0), 8)
    machine.put(0x11000 + 4 * (m.idt_base + 8 * GP >> 12), 0, 4)
    m.eip, m.fault_vector = 0x1234, GP
    handle_fault(m)
    assert m.cr2 == m.idt_base + 8 * GP and m.eip == HANDLER + 0xe0 and machine.stack(2) == [0, 0x1234]


# --- flags -----------------------------------------------------------------------------------------------------------------------------------

def test_popf_privilege(machine: Machine) -> None:
    """SDM 2 POPF: IOPL changes at CPL 0 only, IF at CPL <= IOPL only, VM and RF never."""
    m = machine.protected(3)
    machine.put(STACK3, IOPL | NT | VM | RF | 2, 4)
    machine.run('9d')
    assert m.eflags & (IOPL | IF | NT | VM | RF) == IF | NT
    m = machine.protected()
    machine.put(STACK0, IOPL | VM | RF | 2, 4)
    assert machine.run('9d').eflags & (IOPL | IF | VM | RF) == IOPL


def test_popf_ends_the_slice(machine: Machine) -> None:
    """A trap flag or a waiting interrupt is looked at after the instruction (SDM 3A 6.8.1, 3B 17.3.1.4)."""
    m = machine.protected()
    machine.put(STACK0, TF | 2, 8)
    assert machine.run('9d').budget == 0
    m = machine.protected()
    m.eflags, m.irq = 2, 1
    machine.put(STACK0, IF | 2, 4)
    assert machine.run('9d').budget == 0


def test_sti_holds_interrupts_off(machine: Machine) -> None:
    """SDM 3A 6.8.3: one instruction more after STI."""
    m = machine.protected()
    m.eflags, m.irq = 2, 1
    assert machine.run('fb').budget == 1 and m.eflags & IF


def test_cli_needs_iopl(machine: Machine) -> None:
    """SDM 3A 6.8.1."""
    machine.protected(3)
    machine.fault('fa', GP, 0)
    m = machine.protected(3)
    m.eflags |= IOPL
    assert machine.run('fa').eflags & IF == 0


def test_io_bitmap(machine: Machine) -> None:
    """SDM 1 19.5.2: above IOPL the bits of all the ports decide; what lies behind the limit is denied."""
    m = machine.protected(3)
    machine.put(TSS + 0x66, 0x68, 2)
    machine.put(TSS + 0x68, 0xff_ff_ff_00_00_00_00_ff, 8)
    check_io(m, 8, 32)
    for port, w in ((7, 8), (7, 16), (39, 16), (0x100, 8), (0xffff, 8)):
        with pytest.raises(Fault) as caught:
            check_io(m, port, w)
        assert (caught.value.vector, caught.value.code) == (GP, 0)
    m.eflags |= IOPL
    check_io(m, 0xffff, 8)


# --- virtual-8086 mode -------------------------------------------------------------------------------------------------------------------------

def test_v86_interrupt_and_back(machine: Machine) -> None:
    """SDM 3A 20.3.1.1: GS FS DS ES SS ESP EFLAGS CS EIP on the ring 0 stack, data segments null; IRET with VM set goes back (20.2.1)."""
    m = machine.v86()
    machine.run('cd10')
    assert (m.cpl, m.vm86, m.protected, m.selector[DS], m.reg[ESP]) == (0, 0, 1, 0, STACK0 - 36)
    assert machine.stack(9) == [2, 0x900 + CS, VM | IOPL | IF | 2, 0x100, 0x900 + SS, 0x900 + ES, 0x900 + DS, 0x900 + FS, 0x900 + GS]
    machine.run('cf')
    assert (m.cpl, m.vm86, m.protected, m.eip, m.reg[ESP], m.stack_mask) == (3, 1, 0, 2, 0x100, 0xffff)
    assert [hidden(m, n) for n in (ES, CS, SS, DS, FS, GS)] == [(0x900 + n, 0x9000 + 16 * n, 0xffff) for n in (ES, CS, SS, DS, FS, GS)]
    assert m.access[CS] == 0xf3


@pytest.mark.parametrize('code', ['cd10', 'cf', 'fa', 'fb', '9c', '9d'])
def test_v86_iopl(machine: Machine, code: str) -> None:
    """SDM 3A 20.2.7: INT n, IRET, CLI, STI, PUSHF, POPF are #GP(0) below IOPL 3."""
    m = machine.v86(iopl=0)
    machine.run(code)
    assert m.eip == HANDLER + 16 * GP and machine.stack(2) == [0, 0] and m.vm86 == 0


def test_v86_to_wrong_level(machine: Machine) -> None:
    """SDM 3A 20.3.1: a handler for virtual-8086 mode must have DPL 0; #GP names its segment."""
    m = machine.v86()
    machine.put(IDT + 0x80, gate(14, CODE3, HANDLER, 3), 8)
    machine.run('cd10')
    assert m.eip == HANDLER + 16 * GP and machine.stack(1) == [CODE3]


def test_not_in_v86(machine: Machine) -> None:
    """SDM 3A 20.2: LAR, LLDT, STR... are not recognised, others are privileged."""
    for code, vector in (('0f02c0', UD), ('0f00d0', UD), ('0f00c8', UD), ('0f20c0', GP), ('f4', GP), ('0f06', GP)):
        m = machine.v86()
        machine.run(code)
        assert m.eip == HANDLER + 16 * vector, code


# --- tasks ---------------------------------------------------------------------------------------------------------------------------------------

def second_task(machine: Machine, **change: int) -> None:
    """TSS_B: EIP 4321h, EAX 11h to EDI 88h, all segments flat."""
    fields = {'eip': 0x4321, 'eflags': 2, 'cs': CODE0, 'ss': DATA0, 'ds': DATA0, 'es': DATA0, 'fs': 0, 'gs': 0, 'ldt': 0, 'cr3': 0} | change
    machine.memory.write(TSS_B + 0x1c, struct.pack('<18I', *(fields[n] for n in ('cr3', 'eip', 'eflags')), *(0x11 * n for n in range(1, 9)),
                                                   *(fields[n] for n in ('es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldt'))))


def busy(machine: Machine, selector: int) -> int:
    return machine.get(GDT + selector + 5, 1) >> 1 & 1


def test_task_call_and_return(machine: Machine) -> None:
    """SDM 3A 7.3, 7.4: CALL leaves the old task busy and links to it, NT is set; IRET goes back and frees the new one."""
    m = machine.protected()
    second_task(machine)
    m.reg[EAX] = 0xaaaa
    machine.run(far('9a', TASK_B, 0))
    assert (m.eip, m.selector[TR], m.eflags & NT, m.cr0 & 8) == (0x4321, TASK_B, NT, 8) and [m.reg[n] for n in range(8)] == [0x11 * n for n in range(1, 9)]
    assert (busy(machine, TASK), busy(machine, TASK_B), machine.get(TSS_B, 2)) == (1, 1, TASK)
    assert (machine.get(TSS + 0x20), machine.get(TSS + 0x28), machine.get(TSS + 0x4c, 2)) == (CODE_AT + 7, 0xaaaa, CODE0)
    machine.run('cf')
    assert (m.eip, m.reg[EAX], m.eflags & NT, m.selector[TR], busy(machine, TASK), busy(machine, TASK_B)) == (CODE_AT + 7, 0xaaaa, 0, TASK, 1, 0)
    assert machine.get(TSS_B + 0x24) & NT == 0 and machine.get(TSS_B + 0x20) == CODE_AT + 1


def test_task_jump(machine: Machine) -> None:
    """SDM 3A table 7-2: JMP frees the old task; to a 16-bit TSS as well."""
    m = machine.protected()
    words = [0x4321, 2, *(0x11 * n for n in range(1, 9)), DATA0, CODE0, DATA0, DATA0, 0]
    machine.memory.write(TSS_16 + 0xe, struct.pack('<15H', *words))
    machine.run(far('ea', TASK_16, 0))
    assert (m.eip, m.eflags & NT, m.selector[TR], m.reg[EDI] & 0xffff, m.selector[FS]) == (0x4321, 0, TASK_16, 0x88, 0)
    assert (busy(machine, TASK), busy(machine, TASK_16)) == (0, 1)
    machine.put(TSS + 0x4c, CODE0, 2)
    machine.run(far('ea', TASK, 0))
    assert machine.get(TSS_16 + 0xe, 2) == CODE_AT + 7 and m.eip == CODE_AT + 7


def test_task_gate_from_user(machine: Machine) -> None:
    """SDM 3A 7.2.5: a task gate's DPL counts, the TSS's does not; the new task has the CPL of its CS."""
    m = machine.protected(3)
    second_task(machine)
    machine.run(far('9a', TASK_GATE | 3, 0))
    assert (m.cpl, m.eip, m.selector[TR]) == (0, 0x4321, TASK_B)


def test_task_exception(machine: Machine) -> None:
    """SDM 3A 6.12.2: through a task gate; the error code is pushed on the new task's stack."""
    m = machine.protected()
    second_task(machine)
    machine.memory.write(TSS_B + 0x38, struct.pack('<I', STACK3))
    machine.put(IDT + 8 * DF, gate(5, TASK_B, 0), 8)
    machine.put(IDT + 8 * GP + 5, 0, 1)
    m.eip, m.fault_vector = 0x1234, GP
    handle_fault(m)
    assert (m.eip, m.reg[ESP], machine.stack(1), machine.get(TSS + 0x20)) == (0x4321, STACK3 - 4, [0], 0x1234)


def test_task_with_bad_segment(machine: Machine) -> None:
    """SDM 3A table 7-1: after the commit #TS belongs to the new task, and is delivered there."""
    m = machine.protected()
    second_task(machine, ds=CODE3)
    machine.put(TSS_B + 0x38, STACK3, 4)
    machine.put(TSS_B + 0x54, LDT_SEL, 4)
    machine.put(IDT + 8 * 3, gate(5, TASK_B, 0, 3), 8)
    m.fault_vector, m.eip = 3, 0x1234
    handle_fault(m)
    assert m.eip == HANDLER + 16 * TS and machine.stack(2) == [LDT_SEL | 1, 0x4321] and m.selector[TR] == TASK_B


def test_task_on_an_unusable_stack(machine: Machine) -> None:
    """SDM 3A table 7-1, 6.15: where the new task's SS is bad, its handler has no stack: #SS, so #DF, through a task gate here; nothing is written where SS was."""
    m = machine.protected()
    second_task(machine, ss=LDT_SEL)
    machine.put(TSS_B + 0x38, STACK3, 4)
    machine.put(IDT + 8 * DF, gate(5, TASK_16, 0), 8)
    machine.memory.write(TSS_16 + 0xe, struct.pack('<15H', 0x4321, 2, *(0x11 * n for n in range(1, 5)), 0x4800, 6, 7, 8, DATA0, CODE0, DATA0, DATA0, 0))
    machine.run(far('ea', TASK_B, 0))
    assert (m.eip, m.selector[TR], machine.get(TSS_16, 2)) == (0x4321, TASK_16, TASK_B) and machine.memory.read(STACK3 - 64, 64) == bytes(64)


def test_task_marks_its_code_segment(machine: Machine) -> None:
    """SDM 3A 3.4.5.1: the accessed bit is set when a segment register is loaded, CS by a task switch too."""
    machine.protected()
    second_task(machine)
    machine.run(far('ea', TASK_B, 0))
    assert machine.get(GDT + CODE0 + 5, 1) == 0x9b


def test_task_without_paging(machine: Machine) -> None:
    """80386 Programmer's Reference 7.1: CR3 is read from the TSS only when paging is enabled; bits that PAE would not allow are no fault."""
    m = machine.protected()
    m.cr3, m.cr4 = 0x12000, 0x20
    second_task(machine, cr3=0x34000)
    machine.run(far('ea', TASK_B, 0))
    assert m.eip == 0x4321 and m.cr3 == 0x12000


@pytest.mark.parametrize('access, limit, vector', [(0x8b, 0x67, GP), (0x09, 0x67, NP), (0x89, 0x66, TS)])
def test_task_faults(machine: Machine, access: int, limit: int, vector: int) -> None:
    """SDM 3A 7.3: busy, absent, too small: nothing has happened yet."""
    machine.protected()
    machine.put(GDT + TASK_B, descriptor(TSS_B, limit, access), 8)
    machine.fault(far('ea', TASK_B, 0), vector, TASK_B)


def test_task_to_v86(machine: Machine) -> None:
    """SDM 3A 20.2.5: a task whose EFLAGS has VM set is a virtual-8086 task."""
    m = machine.protected()
    second_task(machine, eflags=VM | 2, cs=0x900, ss=0xa00)
    machine.run(far('ea', TASK_B, 0))
    assert (m.vm86, m.cpl, m.base[CS], m.base[SS], m.access[SS]) == (1, 3, 0x9000, 0xa000, 0xf3)


# --- control and debug registers, MSRs, fast calls ---------------------------------------------------------------------------------------------

def test_control_registers(machine: Machine) -> None:
    """SDM 3A 2.5: ET is always 1; PG without PE, NW without CD and CR4's reserved bits are #GP(0); CR1 is not there."""
    m = machine.protected()
    m.reg[EAX] = 0x1
    machine.run('0f22c0')
    assert machine.run('0f20c3').reg[EBX] == 0x11
    for value, code in ((0x80000000, '0f22c0'), (0x20000001, '0f22c0'), (0x800, '0f22e0')):
        machine.protected().reg[EAX] = value
        machine.fault(code, GP, 0)
    machine.protected()
    machine.fault('0f22c8', UD)
    machine.protected(3)
    machine.fault('0f20c0', GP, 0)


def test_cr4_reads_the_page_directory_pointers(machine: Machine) -> None:
    """SDM 3A 4.4.1: with PAE in use they are loaded again where MOV to CR4 changes PAE, PGE or PSE; reserved bits are #GP(0)."""
    m = machine.protected()
    machine.memory.write(0x10000, b''.join(struct.pack('<2I', n << 21 | 0xe3, 0) for n in range(512)))  # 2 MB pages, one to one
    machine.put(0x11000, 0x10001, 8)
    m.reg[EAX] = 0x20
    machine.run('0f22e0')
    m.reg[EAX] = 0x11000
    machine.run('0f22d8')
    m.reg[EAX] = 0x80000011
    machine.run('0f22c0')
    for value in (0xa0, 0xb0, 0x20):  # PGE, PSE
        machine.put(0x11008, value << 12 | 1, 8)
        m.reg[EAX] = value
        machine.run('0f22e0')
        assert m.pdpte[1] == value << 12 | 1 and m.cr4 == value
    machine.put(0x11010, 3, 8)
    m.reg[EAX] = 0xa0
    machine.fault('0f22e0', GP, 0)
    assert m.cr4 == 0x20


def test_lmsw_clts(machine: Machine) -> None:
    """SDM 2 LMSW: it sets PE but never clears it; CLTS makes the FPU usable again."""
    m = machine.protected()
    m.reg[EAX] = 8
    machine.run('0f01f0')
    assert m.cr0 == 0x19 and m.mode & 0x40 == 0
    machine.run('0f06')
    assert m.cr0 == 0x11 and m.mode & 0x40


def test_debug_registers(machine: Machine) -> None:
    """SDM 3B 17.2: fixed bits of DR6 and DR7, DR4 is DR6 without CR4.DE, general detect."""
    m = machine.protected()
    m.reg[EAX] = 0
    machine.run('0f23f0')
    assert machine.run('0f21e3').reg[EBX] == 0xffff0ff0
    m.reg[EAX] = 0x2000
    machine.run('0f23f8')
    assert m.dr[7] == 0x2400 and m.budget == 0
    machine.fault('0f21c3', 1)
    assert m.dr[6] & 0x2000 and m.dr[7] == 0x400


def test_msrs(machine: Machine) -> None:
    """SDM 2 RDMSR: unknown numbers are #GP(0); the TSC counts; CR4.TSD hides it from CPL 3."""
    m = machine.protected()
    m.reg[ECX], m.reg[EAX], m.reg[EDX] = 0x176, 0x1234, 0
    machine.run('0f30')
    m.reg[EAX] = 0
    assert machine.run('0f32').reg[EAX] == 0x1234
    m.reg[ECX] = 0x277
    assert (machine.run('0f32').reg[EAX], m.reg[EDX]) == (0x00070406, 0x00070406)
    m.tick, m.slice, m.skipped = 1, 10, 0x1_0000_0000  # a nanosecond each, so this is the first
    assert (machine.run('0f31').reg[EAX], m.reg[EDX]) == (1, 1)
    m.reg[ECX] = 0x12345
    machine.fault('0f32', GP, 0)
    m = machine.protected(3)
    m.cr4 = 4
    machine.fault('0f31', GP, 0)


def test_sysenter_sysexit(machine: Machine) -> None:
    """SDM 3A 5.8.7: flat segments from SYSENTER_CS without descriptors; IF cleared."""
    m = machine.protected(3)
    m.sysenter_cs, m.sysenter_esp, m.sysenter_eip = CODE0, 0x7000, 0x6000
    machine.run('0f34')
    assert (m.cpl, m.eip, m.reg[ESP], m.selector[CS], m.selector[SS], m.eflags & IF) == (0, 0x6000, 0x7000, CODE0, CODE0 + 8, 0)
    m.reg[ECX], m.reg[EDX] = 0x5000, 0x4000
    machine.run('0f35')
    assert (m.cpl, m.eip, m.reg[ESP], m.selector[CS], m.selector[SS], m.access[CS]) == (3, 0x4000, 0x5000, CODE0 + 16 | 3, CODE0 + 24 | 3, 0xc0fb)
    machine.fault('0f35', GP, 0)
