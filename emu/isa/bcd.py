"""Decimal adjustment (SDM 1, 7.3.3; AAA AAD AAM AAS DAA DAS in SDM 2).

Undefined flags as an AMD EPYC has them: those of the addition or subtraction that is done: on AL, AAA's and AAS's on AX.
"""
from emu.isa.flags import adjust, carry, flags_arithmetic, flags_logic
from emu.isa.language import DE, Fault, signed, udiv, umod
from emu.isa.operands import get_reg, put_reg


def flags_decimal(m, r, w, cf, af, of):
    """CF and AF as given, SF ZF PF by r of w bits, OF the sign of `of`."""
    m.result = signed(r, w)
    m.carries = (cf << 32) | ((cf ^ ((of >> (w - 1)) & 1)) << 31) | (af << 4)


def AAA(m, i):
    ax = get_reg(m, 0, 16)
    af = adjust(m) | ((ax & 15) > 9)
    r = ax + 0x106 * af
    put_reg(m, 0, 16, r & 0xff0f)
    flags_decimal(m, r, 16, af, af, r & ~ax)


def AAS(m, i):
    ax = get_reg(m, 0, 16)
    af = adjust(m) | ((ax & 15) > 9)
    r = ax - 0x106 * af
    put_reg(m, 0, 16, r & 0xff0f)
    flags_decimal(m, r, 16, af, af, ax & ~r)


def DAA(m, i):
    al = get_reg(m, 0, 8)
    af = adjust(m) | ((al & 15) > 9)
    cf = carry(m) | (al > 0x99)
    r = al + 6 * af + 0x60 * cf
    put_reg(m, 0, 8, r)
    flags_decimal(m, r, 8, cf, af, r & ~al)


def DAS(m, i):
    """Unlike DAA's, a borrow of the first step stays in CF."""
    al = get_reg(m, 0, 8)
    af = adjust(m) | ((al & 15) > 9)
    cf = carry(m) | (al > 0x99)
    r = al - 6 * af - 0x60 * cf
    put_reg(m, 0, 8, r)
    flags_decimal(m, r, 8, cf | (al < 6 * af), af, al & ~r)


def AAM(m, i):
    if i.imm == 0: raise Fault(DE)
    al = get_reg(m, 0, 8)
    put_reg(m, 0, 16, (udiv(al, i.imm) << 8) | umod(al, i.imm))
    flags_logic(m, umod(al, i.imm), 8)


def AAD(m, i):
    al = get_reg(m, 0, 8)
    b = (get_reg(m, 4, 8) * i.imm) & 0xff
    put_reg(m, 0, 16, (al + b) & 0xff)
    flags_arithmetic(m, al, b, al + b, 8)
