"""Decimal adjustment (SDM 1, 7.3.3; AAA AAD AAM AAS DAA DAS in SDM 2)."""
from emu.isa.flags import adjust, carry, flags_logic
from emu.isa.language import DE, Fault, signed, udiv, umod
from emu.isa.operands import get_reg, put_reg


def flags_decimal(m, r, cf, af):
    """CF and AF as given, SF ZF PF by AL, OF = 0."""
    m.result = signed(r, 8)
    m.carries = (cf << 32) | (cf << 31) | (af << 4)


def AAA(m, i):
    ax = get_reg(m, 0, 16)
    af = adjust(m) | ((ax & 15) > 9)
    if af: ax = ax + 0x106
    put_reg(m, 0, 16, ax & 0xff0f)
    flags_decimal(m, ax & 15, af, af)


def AAS(m, i):
    ax = get_reg(m, 0, 16)
    af = adjust(m) | ((ax & 15) > 9)
    if af: ax = ax - 0x106
    put_reg(m, 0, 16, ax & 0xff0f)
    flags_decimal(m, ax & 15, af, af)


def DAA(m, i):
    al = get_reg(m, 0, 8)
    af = adjust(m) | ((al & 15) > 9)
    cf = carry(m) | (al > 0x99)
    r = al + 6 * af + 0x60 * cf
    put_reg(m, 0, 8, r)
    flags_decimal(m, r, cf, af)


def DAS(m, i):
    """Unlike DAA's, a borrow of the first step stays in CF."""
    al = get_reg(m, 0, 8)
    af = adjust(m) | ((al & 15) > 9)
    cf = carry(m) | (al > 0x99)
    r = al - 6 * af - 0x60 * cf
    put_reg(m, 0, 8, r)
    flags_decimal(m, r, cf | (al < 6 * af), af)


def AAM(m, i):
    if i.imm == 0: raise Fault(DE)
    al = get_reg(m, 0, 8)
    put_reg(m, 0, 16, (udiv(al, i.imm) << 8) | umod(al, i.imm))
    flags_logic(m, umod(al, i.imm), 8)


def AAD(m, i):
    r = (get_reg(m, 0, 8) + get_reg(m, 4, 8) * i.imm) & 0xff
    put_reg(m, 0, 16, r)
    flags_logic(m, r, 8)
