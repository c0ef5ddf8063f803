"""Bit test and bit scan (SDM 1, 7.3.5; SDM 2, BT to BTC, BSF, BSR).

A bit number in a register reaches beyond a memory operand, up to 2**31 bits either way; an immediate is taken modulo the width.
Undefined flags as an AMD EPYC has them: BT and its kin change CF alone, BSF and BSR set SF and PF by the bit's number, and clear CF, OF and AF.
"""
from emu.isa.flags import flags_logic, set_carry
from emu.isa.language import highest, lowest, signed
from emu.isa.operands import IMM, MEM, address, dst, dst_for_write, put_reg, set_dst, src
from emu.mem.access import load, load_for_write, store


def bit_address(m, i, n):
    """The offset of the word or doubleword that holds bit n of a memory operand, n signed."""
    shift = 5 if i.w == 32 else 4
    return (address(m, i) + ((signed(n, i.w) >> shift) << (shift - 3))) & i.amask


def BT(m, i):
    n = src(m, i, i.w)
    if i.dst_kind == MEM and i.src_kind != IMM: a = load(m, i.seg, bit_address(m, i, n), i.w)
    else: a = dst(m, i, i.w)
    set_carry(m, (a >> (n & (i.w - 1))) & 1)


def operand(m, i, n):
    """The word with bit n, which is going to be written."""
    if i.dst_kind == MEM and i.src_kind != IMM: return load_for_write(m, i.seg, bit_address(m, i, n), i.w)
    return dst_for_write(m, i, i.w)


def set_operand(m, i, n, v):
    if i.dst_kind == MEM and i.src_kind != IMM: store(m, i.seg, bit_address(m, i, n), i.w, v)
    else: set_dst(m, i, i.w, v)


def BTS(m, i):
    n = src(m, i, i.w)
    k = n & (i.w - 1)
    a = operand(m, i, n)
    set_operand(m, i, n, a | (1 << k))
    set_carry(m, (a >> k) & 1)


def BTR(m, i):
    n = src(m, i, i.w)
    k = n & (i.w - 1)
    a = operand(m, i, n)
    set_operand(m, i, n, a & ~(1 << k))
    set_carry(m, (a >> k) & 1)


def BTC(m, i):
    n = src(m, i, i.w)
    k = n & (i.w - 1)
    a = operand(m, i, n)
    set_operand(m, i, n, a ^ (1 << k))
    set_carry(m, (a >> k) & 1)


def BSF(m, i):
    """Of 0: ZF, and the destination stays."""
    a = src(m, i, i.w)
    if a: found(m, i, lowest(a))
    else: flags_logic(m, 0, i.w)


def BSR(m, i):
    a = src(m, i, i.w)
    if a: found(m, i, highest(a))
    else: flags_logic(m, 0, i.w)


def found(m, i, n):
    """Bit 8 keeps ZF clear for bit 0."""
    put_reg(m, i.dst, i.w, n)
    flags_logic(m, n | 0x100, 32)
