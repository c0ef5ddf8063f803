"""The rules of integer instructions that are easy to get wrong, each as the manual words it; tests against the host and recorded processors cover the rest.

Instructions run one by one in the eager engine: flat 32-bit segments at CPL 0, paging off, 64 KiB of RAM. Code here is hexadecimal, operands are at [EBX].
"""
import ctypes
import struct
from typing import Any

import pytest

from emu.decoder.decode import decode_bytes
from emu.isa.flags import AF, CF, DF, OF, PF, SF, TF, ZF, arithmetic_flags, set_arithmetic_flags
from emu.isa.language import BR, DE, GP, UD, Fault
from emu.isa.language import PF as PAGE_FAULT
from emu.isa.state import CS, DS, ES, SS, State
from emu.isa.texts import TEXTS
from emu.mem.memory import Memory
from emu.mem.paging import flush_tlb

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
CODE, AT, STACK = 0x8000, 0x4000, 0x7000


class Ports:
    """A device that gives ascending numbers and keeps what it gets."""

    def __init__(self) -> None:
        self.read, self.written = 0, bytearray()

    def port_in(self, port: int, w: int) -> int:
        self.read += 1
        return self.read

    def port_in_block(self, port: int, w: int, p: int, n: int) -> None:
        for k in range(n): ctypes.memmove(p + k * w // 8, self.port_in(port, w).to_bytes(4, 'little'), w // 8)

    def port_out(self, port: int, w: int, v: int) -> None:
        self.written += v.to_bytes(w // 8, 'little')

    def port_out_block(self, port: int, w: int, p: int, n: int) -> None:
        self.written += ctypes.string_at(p, n * w // 8)


class Machine:
    """A State with RAM."""

    def __init__(self, **registers: int):
        self.memory, self.ports = Memory(0x10000), Ports()
        self.m = m = State(self.ports)
        m.page_map, m.code_map, m.a20 = self.memory.page_map.ctypes.data, self.memory.code_map.ctypes.data, 0xffffffff
        for n in range(6): m.limit[n], m.access[n], m.reach[n] = 0xffffffff, 0xc093, 3
        m.cr0 = m.protected = m.code32 = 1
        m.stack_mask, m.eip, m.budget = 0xffffffff, CODE, 1000
        m.reg[EBX], m.reg[ESP] = AT, STACK
        flush_tlb(m)
        for name, value in registers.items(): m.reg['eax ecx edx ebx esp ebp esi edi'.split().index(name)] = value & 0xffffffff

    def run(self, code: str, flags: int | None = None) -> int:
        """Executes an instruction; the arithmetic flags after it."""
        m, start = self.m, self.m.eip
        i: Any = decode_bytes(bytes.fromhex(code).ljust(16, b'\0'), bool(m.code32))
        if flags is not None: set_arithmetic_flags(m, flags)
        m.eip += i.len
        try:
            TEXTS[i.form.text](m, i)
        except Fault:
            m.eip = start
            raise
        return arithmetic_flags(m)

    def fault(self, code: str) -> tuple[int, int]:
        """Executes an instruction that faults and so changes no register; vector and error code."""
        before = list(self.m.reg)
        with pytest.raises(Fault) as raised: self.run(code)
        assert list(self.m.reg) == before
        return raised.value.vector, raised.value.code

    def to_the_end(self, code: str) -> int:
        """Executes a repeated instruction until it is done; the number of its executions."""
        n, start = 1, self.m.eip
        self.run(code)
        while self.m.eip == start:
            self.run(code)
            n += 1
        return n

    def protect(self, segment: int) -> None:
        """Makes a segment read-only."""
        self.m.access[segment], self.m.reach[segment] = 0xc091, 1

    def put(self, data: bytes, at: int = AT) -> None:
        self.memory.write(at, data)

    def get(self, n: int, at: int = AT) -> bytes:
        return self.memory.read(at, n)


# --- shifts and rotates ------------------------------------------------------------------------------------------------------

def test_shift_counts_are_taken_modulo_32() -> None:
    """SDM 2, SAL/SAR/SHL/SHR: the count is masked to 5 bits; a masked count of 0 changes no flag."""
    a = Machine(eax=0x80000001, ecx=33)
    assert a.run('d3e0', 0) & (CF | OF) == CF | OF and a.m.reg[EAX] == 2  # shl eax, cl
    assert a.run('c1e020', CF | PF | SF) == CF | PF | SF and a.m.reg[EAX] == 2
    a = Machine(eax=0x81)
    a.run('c0f81f')  # sar al, 31
    assert a.m.reg[EAX] == 0xff


def test_rotates_through_carry_are_modulo_the_width_and_one() -> None:
    """SDM 2, RCL/RCR: counts of 8 and 16 bits are taken modulo 9 and 17; only CF and OF change."""
    a = Machine(eax=0x5a, ecx=9)
    assert a.run('d2d0', CF | ZF) & (CF | ZF) == CF | ZF and a.m.reg[EAX] == 0x5a  # rcl al, cl
    assert a.run('66c1d811', 0) & CF == 0 and a.m.reg[EAX] == 0x5a  # rcr ax, 17
    assert a.run('d0d8', CF) & (CF | OF) == OF and a.m.reg[EAX] == 0xad  # rcr al, 1


def test_rotate_by_the_width_sets_carry() -> None:
    """SDM 2, RCL/RCR/ROL/ROR: after ROL, CF is the result's lowest bit, after ROR the highest, whenever the masked count is not 0."""
    a = Machine(eax=0x81)
    assert a.run('c0c008', 0) & CF and a.m.reg[EAX] == 0x81
    assert a.run('c0c808', 0) & CF and a.m.reg[EAX] == 0x81


def test_double_shifts() -> None:
    """SDM 2, SHLD, SHRD; 16 bits by more than 16 is undefined: as current processors do it."""
    a = Machine(eax=0x12345678, edx=0x9abcdef0)
    assert a.run('0fa4d008', 0) & CF == 0 and a.m.reg[EAX] == 0x3456789a  # shld eax, edx, 8
    assert a.run('0facd004', 0) & CF and a.m.reg[EAX] == 0x03456789
    a.run('660fa4d014')  # shld ax, dx, 20
    assert a.m.reg[EAX] == 0x0345ef0d


def test_shifting_memory_by_0_still_writes() -> None:
    """SDM 2, SAL/SAR/SHL/SHR: #GP(0) if the destination is in a segment that cannot be written."""
    a = Machine()
    a.protect(DS)
    assert a.fault('c12320') == (GP, 0)  # shl dword [ebx], 32


# --- decimal ------------------------------------------------------------------------------------------------------------------

def test_packed_decimal() -> None:
    """SDM 2, DAA and DAS: right sums and differences of two digits, with their carries."""
    a = Machine()
    for x in range(100):
        for y in range(0, 100, 3):
            a.m.reg[EAX], a.m.reg[EDX] = int(str(x), 16), int(str(y), 16)
            a.run('00d0')  # add al, dl
            assert (a.run('27') & CF, a.m.reg[EAX]) == ((x + y) // 100, int(str((x + y) % 100), 16))
            a.m.reg[EAX] = int(str(x), 16)
            a.run('28d0')
            assert (a.run('2f') & CF, a.m.reg[EAX]) == (int(x < y), int(str((x - y) % 100), 16))


def test_das_borrows_in_its_first_step() -> None:
    """SDM 2, DAS: AL < 6 with AF set gives a borrow, which stays in CF."""
    a = Machine(eax=3)
    assert a.run('2f', AF) & (CF | AF) == CF | AF and a.m.reg[EAX] == 0xfd


def test_unpacked_decimal() -> None:
    """SDM 2, AAA AAS AAM AAD: AH counts carries; AAM by 0 is #DE."""
    a = Machine(eax=0x01ff)
    assert a.run('37', 0) & (CF | AF) == CF | AF and a.m.reg[EAX] == 0x0305  # AX + 106h, then AL and 0Fh
    a = Machine(eax=0x0203)
    assert a.run('3f', AF) & (CF | AF) == CF | AF and a.m.reg[EAX] == 0x000d
    a = Machine(eax=79)
    a.run('d40a')
    assert a.m.reg[EAX] == 0x0709
    a.run('d50a')
    assert a.m.reg[EAX] == 79
    assert a.fault('d400') == (DE, 0)


# --- multiplication and division -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('code, eax, edx, ecx, quotient, remainder', [
    ('f7f1', 5, 1, 3, 0x55555557, 0), ('f7f1', 0xffffffff, 0xfffffffe, 0xffffffff, 0xffffffff, 0xfffffffe), ('f7f1', 0, 3, 3, None, 0),
    ('f7f1', 1, 0, 0, None, 0), ('f7f9', -7, -1, 2, -3, -1), ('f7f9', 7, 0, -2, -3, 1), ('f7f9', 0, -0x80000000, -1, None, 0),
    ('f7f9', 0x80000000, 0, 1, None, 0), ('f7f9', -0x80000000, -1, 1, -0x80000000, 0), ('f7f9', -0x80000000, -1, -1, None, 0), ('f7f9', 1, 0, 0, None, 0)])
def test_division(code: str, eax: int, edx: int, ecx: int, quotient: int | None, remainder: int) -> None:
    """SDM 2, DIV and IDIV: quotients are truncated, remainders have the dividend's sign; what does not fit is #DE."""
    a = Machine(eax=eax, edx=edx, ecx=ecx)
    if quotient is None: assert a.fault(code) == (DE, 0)
    else:
        a.run(code)
        assert (a.m.reg[EAX], a.m.reg[EDX]) == (quotient & 0xffffffff, remainder & 0xffffffff)


def test_division_of_ax() -> None:
    """SDM 2, IDIV: a quotient of -128 fits into AL."""
    a = Machine(eax=0xff80, ecx=1)
    a.run('f6f9')
    assert a.m.reg[EAX] == 0x0080
    a = Machine(eax=0x0080, ecx=1)
    assert a.fault('f6f9') == (DE, 0)


def test_products() -> None:
    """SDM 2, MUL and IMUL: CF and OF say that the upper half is needed."""
    a = Machine(eax=0xffffffff, ecx=0xffffffff)
    assert a.run('f7e1', 0) & (CF | OF) == CF | OF and (a.m.reg[EDX], a.m.reg[EAX]) == (0xfffffffe, 1)
    a = Machine(eax=0xffffffff, ecx=5)
    assert a.run('f7e9', CF | OF) & (CF | OF) == 0 and (a.m.reg[EDX], a.m.reg[EAX]) == (0xffffffff, 0xfffffffb)
    assert a.run('6bc180', 0) & (CF | OF) == 0 and a.m.reg[EAX] == -640 & 0xffffffff  # imul eax, ecx, -128
    a = Machine(eax=0x1234ff80, ecx=2)
    assert a.run('f6e9', 0) & CF and a.m.reg[EAX] == 0x1234ff00


# --- exchanges ------------------------------------------------------------------------------------------------------------------

def test_cmpxchg8b() -> None:
    """SDM 2, CMPXCHG8B: stores ECX:EBX if EDX:EAX is there, else loads it; ZF alone changes."""
    a = Machine(eax=0x11111111, edx=0x82222222, ecx=0x99999999, esi=AT)
    a.put(struct.pack('<II', 0x11111111, 0x82222222))
    assert a.run('0fc70e', CF | SF | AF) == CF | SF | AF | ZF
    assert struct.unpack('<II', a.get(8)) == (AT, 0x99999999)
    assert a.run('0fc70e', CF | PF | OF | ZF) == CF | PF | OF
    assert (a.m.reg[EAX], a.m.reg[EDX]) == (AT, 0x99999999)


def test_cmpxchg_always_writes() -> None:
    """SDM 2, CMPXCHG: the destination gets a write cycle without regard to the comparison."""
    a = Machine(eax=1)
    a.protect(DS)
    assert a.fault('0fb10b') == (GP, 0)
    a = Machine(eax=5, ecx=7)
    assert a.run('0fb1c8', 0) & ZF and a.m.reg[EAX] == 7  # cmpxchg eax, ecx: the accumulator with itself


def test_xadd_of_a_register_with_itself() -> None:
    """SDM 2, XADD: SRC gets DEST's old value first, then DEST the sum."""
    a = Machine(eax=3)
    a.run('0fc1c0')
    assert a.m.reg[EAX] == 6


def test_read_modify_write_faults_as_a_write() -> None:
    """SDM 3A 4.7: W/R of the error code is set for the access of an instruction that goes on to write; CMP only reads."""
    a = Machine()
    a.m.cr0, a.m.cr3 = 0x80000001, 0xf000
    assert a.fault('ff03') == (PAGE_FAULT, 2)  # inc dword [ebx]
    assert a.fault('3903') == (PAGE_FAULT, 0)
    assert a.m.cr2 == AT


# --- bits -------------------------------------------------------------------------------------------------------------------------

def test_bit_offsets_reach_beyond_the_operand() -> None:
    """SDM 2, BT: a register's bit offset is signed and selects a doubleword from -2**31 to 2**31 - 1 bits away; an immediate's is taken modulo 32."""
    a = Machine(ecx=-33)
    a.put(b'\0\0\0\x80', AT - 8)
    assert a.run('0fa30b', 0) == CF  # bt [ebx], ecx
    a.run('0fb30b')
    assert a.get(4, AT - 8) == bytes(4)
    a.m.reg[ECX] = 100
    a.run('0fab0b')
    assert a.get(4, AT + 12) == b'\x10\0\0\0'
    a.run('0fba2b21')  # bts dword [ebx], 33
    assert a.get(4) == b'\2\0\0\0'
    a.m.reg[ECX] = 0xfff0
    a.run('660fbb0b')  # btc word [ebx], cx: bit -16
    assert a.get(2, AT - 2) == b'\1\0'


def test_bit_scan_of_zero() -> None:
    """SDM 2, BSF and BSR: ZF, and the destination stays on all processors; bit 0 is not mistaken for it."""
    a = Machine(eax=77)
    assert a.run('0fbcc2', 0) & ZF and a.m.reg[EAX] == 77
    a.m.reg[EDX] = 1
    assert a.run('0fbdc2', ZF) & ZF == 0 and a.m.reg[EAX] == 0


# --- the stack --------------------------------------------------------------------------------------------------------------------

def test_push_and_pop_esp() -> None:
    """SDM 2, PUSH: the old ESP since the 286; POP: an address by ESP uses the incremented ESP, and ESP itself gets the old top of the stack."""
    a = Machine()
    a.run('54')
    assert struct.unpack('<I', a.get(4, STACK - 4)) == (STACK,)
    a.run('8f0424')  # pop dword [esp]
    assert struct.unpack('<I', a.get(4, STACK)) == (STACK,) and a.m.reg[ESP] == STACK
    a.put(b'\x44\x33\x22\x11', STACK)
    a.run('5c')
    assert a.m.reg[ESP] == 0x11223344


def test_16_bit_stacks_wrap() -> None:
    """SDM 3A 5.3, SDM 1 6.2.5: SP alone moves on a 16-bit stack."""
    a = Machine(esp=0x12340000, eax=0xbeef)
    a.m.stack_mask = 0xffff
    a.run('6650')
    assert a.m.reg[ESP] == 0x1234fffe and a.get(2, 0xfffe) == b'\xef\xbe'


def test_pusha_popa() -> None:
    """SDM 2, PUSHA: the ESP before it; POPA skips ESP."""
    a = Machine(eax=1, ecx=2, edx=3, ebp=6, esi=7, edi=8)
    a.run('60')
    assert struct.unpack('<8I', a.get(32, STACK - 32)) == (8, 7, 6, STACK, AT, 3, 2, 1)
    a.put(struct.pack('<8I', *range(10, 18)), STACK - 32)
    a.run('61')
    assert list(a.m.reg)[:8] == [17, 16, 15, 14, STACK, 12, 11, 10]


def test_enter_copies_frame_pointers() -> None:
    """SDM 2, ENTER: at level 3 the frame pointers of two procedures and its own are pushed."""
    a = Machine(ebp=AT)
    a.put(struct.pack('<II', 0xaaaa, 0xbbbb), AT - 8)
    a.run('c8100003')
    assert struct.unpack('<4I', a.get(16, STACK - 16)) == (STACK - 4, 0xaaaa, 0xbbbb, AT)
    assert (a.m.reg[EBP], a.m.reg[ESP]) == (STACK - 4, STACK - 32)
    a.run('c9')
    assert (a.m.reg[EBP], a.m.reg[ESP]) == (AT, STACK)


# --- jumps ------------------------------------------------------------------------------------------------------------------------

def test_a_call_beyond_the_limit_pushes_nothing() -> None:
    """SDM 2, CALL: the target is checked before the stack is written."""
    a = Machine()
    a.m.limit[CS] = 0xffff
    assert a.fault('e800000100') == (GP, 0)
    assert a.get(4, STACK - 4) == bytes(4)


def test_16_bit_jumps_clear_the_upper_half() -> None:
    """SDM 2, Jcc: with a 16-bit operand size EIP is ANDed with FFFFh."""
    a = Machine()
    a.m.eip = 0x1fff0
    a.run('66eb20')
    assert a.m.eip == 0x0013


def test_loop_counts_by_the_address_size() -> None:
    """SDM 2, LOOP: CX with a 16-bit address size; 0 counts down to FFFFh and jumps."""
    a = Machine(ecx=0x10000)
    a.run('67e205')
    assert a.m.reg[ECX] == 0x1ffff and a.m.eip == CODE + 8
    a = Machine(ecx=2)
    a.run('e105', 0)  # loope
    assert a.m.reg[ECX] == 1 and a.m.eip == CODE + 2


def test_ret_drops_parameters() -> None:
    """SDM 2, RET."""
    a = Machine()
    a.put(struct.pack('<I', 0x5000), STACK)
    a.run('c20800')
    assert (a.m.eip, a.m.reg[ESP]) == (0x5000, STACK + 12)


# --- strings ----------------------------------------------------------------------------------------------------------------------

def test_repetition_is_restartable() -> None:
    """SDM 2, REP: a fault leaves the registers at the element that faulted, EIP at the instruction."""
    a = Machine(esi=0x3000, edi=0x6000, ecx=5)
    a.put(bytes(range(20)), 0x3000)
    a.m.limit[ES], a.m.reach[ES] = 0x600b, 0
    with pytest.raises(Fault): a.run('f3a5')
    assert (a.m.reg[ECX], a.m.reg[ESI], a.m.reg[EDI], a.m.eip) == (2, 0x300c, 0x600c, CODE)
    a.m.limit[ES] = 0xffff
    a.run('f3a5')
    assert a.get(20, 0x6000) == bytes(range(20)) and (a.m.reg[ECX], a.m.eip) == (0, CODE + 2)


def test_a_run_ends_with_the_page() -> None:
    """SDM 2, REP: interrupts are taken between runs. How far a run goes follows from the registers, whatever the TLB holds."""
    for warm in (False, True):
        a = Machine(esi=0x1ff0, edi=0x3ff8, ecx=16)
        a.put(bytes(range(64)), 0x1ff0)
        if warm:
            for edi in (0x3000, 0x4000):
                a.m.reg[EDI] = edi
                a.run('aa')
            a.m.reg[EDI], a.m.eip = 0x3ff8, CODE
        counts = []
        while a.m.eip == CODE:
            a.run('f3a5')
            counts.append(a.m.reg[ECX])
        assert counts == [14, 12, 0] and a.get(64, 0x3ff8) == bytes(range(64))


def test_single_steps_stop_after_each_element() -> None:
    """SDM 3B 17.3.1.4: with TF set, a repeated instruction traps after each iteration."""
    a = Machine(edi=AT, ecx=3)
    a.m.eflags = TF
    assert a.to_the_end('f3aa') == 3


@pytest.mark.parametrize('distance, code, size', [(1, 'f3a4', 1), (3, 'f3a5', 4), (6, 'f3a5', 4), (-1, 'f3a5', 4), (-8, 'f3a4', 1), (0, 'f3a4', 1)])
def test_overlapping_moves_propagate(distance: int, code: str, size: int) -> None:
    """SDM 2, MOVS: element by element, upwards."""
    a = Machine(esi=AT, edi=AT + distance, ecx=40 // size)
    want = bytearray(range(100, 200))
    a.put(bytes(want), AT - 16)
    for k in range(0, 40, size): want[16 + distance + k:16 + distance + k + size] = want[16 + k:16 + k + size]
    a.to_the_end(code)
    assert a.get(100, AT - 16) == want


def test_backwards() -> None:
    """SDM 1, 3.4.3.2: with DF set, strings go from high to low addresses; SDM 2, STOS."""
    a = Machine(eax=0x1234, edi=0x5006, ecx=100)
    a.m.eflags = DF
    assert a.to_the_end('66f3ab') == 2
    assert a.m.reg[EDI] == 0x5006 - 200 and a.get(202, 0x5006 - 200) == bytes(2) + b'\x34\x12' * 100


def test_16_bit_addresses_wrap() -> None:
    """SDM 1, 3.3.7.1: SI, DI and CX alone count, and wrap at 64 KiB."""
    a = Machine(eax=0xab, edi=0x7777fffe, ecx=0x55550004)
    a.to_the_end('67f3aa')
    assert (a.m.reg[EDI], a.m.reg[ECX]) == (0x77770002, 0x55550000) and a.get(2, 0) + a.get(2, 0xfffe) == b'\xab' * 4


def test_comparisons_stop() -> None:
    """SDM 2, REP: REPE goes on while ZF is set, REPNE while it is clear; a count of 0 leaves the flags."""
    a = Machine(eax=ord('x'), edi=AT, esi=0x5000, ecx=100)
    a.put(b'abcdefxyz')
    a.put(b'abcdeg', 0x5000)
    assert a.run('f2ae', 0) & ZF and (a.m.reg[EDI], a.m.reg[ECX]) == (AT + 7, 93)
    a.m.reg[EDI] = AT
    assert a.run('f3a6', 0) & (ZF | CF) == 0 and (a.m.reg[ESI], a.m.reg[ECX]) == (0x5006, 87)  # 'g' - 'f'
    a.m.reg[ECX] = 0
    assert a.run('f3a6', ZF | SF) == ZF | SF and a.m.reg[ESI] == 0x5006


def test_port_strings() -> None:
    """SDM 2, INS and OUTS: no device is read for a destination that cannot be written."""
    a = Machine(edi=AT, esi=AT, edx=0x1f0, ecx=4)
    a.run('66f36d')
    assert a.get(8) == struct.pack('<4H', 1, 2, 3, 4)
    a.m.reg[ECX] = 3
    a.run('66f36f')
    assert a.ports.written == struct.pack('<3H', 1, 2, 3)
    a.protect(ES)
    a.m.reg[ECX] = 1
    assert a.fault('66f36d') == (GP, 0) and a.fault('6c') == (GP, 0) and a.ports.read == 4


# --- others -----------------------------------------------------------------------------------------------------------------------

def test_flags_through_ah() -> None:
    """SDM 2, LAHF and SAHF: SF ZF AF PF CF, bit 1 set; OF is not there."""
    a = Machine()
    assert a.run('9f', CF | ZF | OF) == CF | ZF | OF and a.m.reg[EAX] == 0x4300
    a.m.reg[EAX] = 0x8000
    assert a.run('9e', OF) == OF | SF


def test_inc_keeps_carry() -> None:
    """SDM 2, INC and DEC."""
    a = Machine(eax=0x7fffffff)
    assert a.run('40', CF) == CF | OF | SF | AF | PF
    assert a.run('48', 0) == OF | AF | PF


def test_widths() -> None:
    """SDM 2, MOVSX, LEA, CBW, CWD: what is narrower than the destination is extended, what is wider cut."""
    a = Machine(eax=0x12348081, edx=0, esi=0x89abcdef)
    a.run('0fbed0')  # movsx edx, al
    assert a.m.reg[EDX] == 0xffffff81
    a.run('660fb6d4')  # movzx dx, ah
    assert a.m.reg[EDX] == 0xffff0080
    a.run('678d4401')  # lea eax, [si + 1]
    assert a.m.reg[EAX] == 0xcdf0
    a.run('6699')
    assert a.m.reg[EDX] == 0xffffffff
    a.run('6698')
    assert a.m.reg[EAX] == 0xfff0


def test_bound_and_ud() -> None:
    """SDM 2, BOUND (signed, both bounds allowed) and UD2."""
    a = Machine(eax=-5)
    a.put(struct.pack('<ii', -5, 3))
    a.run('6203')
    a.m.reg[EAX] = 4
    assert a.fault('6203') == (BR, 0)
    assert a.fault('0f0b') == (UD, 0)


def test_too_long() -> None:
    """SDM 2, 2.3.11: more than 15 bytes are #GP(0)."""
    assert Machine().fault('66' * 15 + '90') == (GP, 0)


def test_the_stack_segments_faults_are_stack_faults() -> None:
    """SDM 3A 6.15, #SS: a limit violation by way of SS."""
    a = Machine()
    a.m.limit[SS], a.m.reach[SS] = 0xfff, 0
    assert a.fault('50') == (12, 0)
