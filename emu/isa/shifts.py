"""Shifts and rotates (SDM 1, 7.3.6; SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD in SDM 2). The count is taken modulo 32.

Undefined flags as an AMD EPYC has them: OF follows the rule for a count of 1, CF is 0 beyond the width; but AF, which it sets, is 0 here.
16-bit SHLD and SHRD by more than 16 go on with the source a second time. A count of 0 changes no flag, but a memory operand must still be writable.
"""
from emu.isa.flags import carry, flags_result, set_carry_overflow
from emu.isa.language import mask, signed, umod
from emu.isa.operands import REG, dst_for_write, get_reg, set_dst, src


def bit(x, n):
    return (x >> n) & 1


# --- shifts -------------------------------------------------------------------------------------------------------------------

def flags_left(m, r, cf, w):
    """OF: the sign changed at the last step."""
    flags_result(m, r, w, cf, cf ^ bit(r, w - 1))


def flags_right(m, r, cf, w):
    """OF: the sign changed at a count of 1."""
    flags_result(m, r, w, cf, bit(r, w - 1) ^ bit(r, w - 2))


def SHL(m, i):
    a = dst_for_write(m, i, i.w)
    n = src(m, i, 8) & 31
    r = a << n
    set_dst(m, i, i.w, r)
    if n: flags_left(m, r, bit(r, i.w), i.w)


def SHR(m, i):
    a = dst_for_write(m, i, i.w)
    n = src(m, i, 8) & 31
    r = a >> n
    set_dst(m, i, i.w, r)
    if n: flags_right(m, r, bit(a << 1, n), i.w)


def SAR(m, i):
    a = signed(dst_for_write(m, i, i.w), i.w)
    n = src(m, i, 8) & 31
    r = a >> n
    set_dst(m, i, i.w, r)
    if n: flags_result(m, r, i.w, bit(a << 1, n), 0)


def double_count(m, i):
    """CL or the immediate."""
    if i.third_kind == REG: return get_reg(m, 1, 8) & 31
    return i.imm & 31


def SHLD(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    n = double_count(m, i)
    x = (a << 32) | b
    if i.w == 16: x = x | (b << 16)
    r = (x >> (32 - n)) & mask(i.w)
    set_dst(m, i, i.w, r)
    if n: flags_left(m, r, bit(a << n, i.w), i.w)


def SHRD(m, i):
    a = dst_for_write(m, i, i.w)
    b = src(m, i, i.w)
    n = double_count(m, i)
    x = (b << 32) | a
    if i.w == 16: x = x | (b << 16)
    r = (x >> n) & mask(i.w)
    set_dst(m, i, i.w, r)
    if n: flags_right(m, r, bit(a << 1, n), i.w)


# --- rotates ------------------------------------------------------------------------------------------------------------------

def ROL(m, i):
    a = dst_for_write(m, i, i.w)
    n = src(m, i, 8) & 31
    k = n & (i.w - 1)
    r = (a << k) | (a >> (i.w - k))
    set_dst(m, i, i.w, r)
    if n: set_carry_overflow(m, r & 1, (r & 1) ^ bit(r, i.w - 1))


def ROR(m, i):
    a = dst_for_write(m, i, i.w)
    n = src(m, i, 8) & 31
    k = n & (i.w - 1)
    r = (a >> k) | (a << (i.w - k))
    set_dst(m, i, i.w, r)
    if n: set_carry_overflow(m, bit(r, i.w - 1), bit(r, i.w - 1) ^ bit(r, i.w - 2))


def RCL(m, i):
    """CF is bit w of what rotates."""
    a = dst_for_write(m, i, i.w) | (carry(m) << i.w)
    n = src(m, i, 8) & 31
    k = umod(n, i.w + 1)
    r = (a << k) | (a >> (i.w + 1 - k))
    set_dst(m, i, i.w, r)
    if n: set_carry_overflow(m, bit(r, i.w), bit(r, i.w) ^ bit(r, i.w - 1))


def RCR(m, i):
    a = dst_for_write(m, i, i.w) | (carry(m) << i.w)
    n = src(m, i, 8) & 31
    k = umod(n, i.w + 1)
    r = (a >> k) | (a << (i.w + 1 - k))
    set_dst(m, i, i.w, r)
    if n: set_carry_overflow(m, bit(r, i.w), bit(r, i.w - 1) ^ bit(r, i.w - 2))
