"""Jumps, calls and returns inside the code segment, and the ports (SDM 1, 6.4.1, 7.3.8 and chapter 19). Far transfers: transfers.py.

A target beyond the segment's limit is #GP(0) before anything else happens.
"""
from emu.isa.debug import observe_port
from emu.isa.flags import condition
from emu.isa.operands import branch, check_target, get_reg, jump, push, put_reg, relative, set_esp, src, top
from emu.isa.privilege import check_io
from emu.ports import read_port, write_port


def JCC(m, i):
    if condition(m, i.cc): branch(m, i)


def JCXZ(m, i):
    """CX or ECX by the address size."""
    if m.reg[1] & i.amask == 0: branch(m, i)


def LOOP(m, i):
    loop_while(m, i, 1)


def LOOPCC(m, i):
    loop_while(m, i, condition(m, i.cc))


def loop_while(m, i, more):
    """Counts CX or ECX down."""
    n = (m.reg[1] - 1) & i.amask
    if n != 0 and more:
        check_target(m, relative(m, i))
        m.reg[1] = (m.reg[1] & ~i.amask) | n
        branch(m, i)
    else: m.reg[1] = (m.reg[1] & ~i.amask) | n


def JMP_REL(m, i):
    branch(m, i)


def JMP_NEAR(m, i):
    jump(m, src(m, i, i.w))


def CALL_REL(m, i):
    check_target(m, relative(m, i))
    push(m, i.w, m.eip)
    branch(m, i)


def CALL_NEAR(m, i):
    target = src(m, i, i.w)
    check_target(m, target)
    push(m, i.w, m.eip)
    jump(m, target)


def RET_NEAR(m, i):
    """The immediate drops parameters."""
    target = top(m, i.w, 0)
    check_target(m, target)
    set_esp(m, m.reg[4] + (i.w >> 3) + i.imm)
    jump(m, target)


def IN(m, i):
    port = src(m, i, 16)
    check_io(m, port, i.w)
    observe_port(m, port, i.w)
    put_reg(m, 0, i.w, read_port(m, port, i.w))


def OUT(m, i):
    port = src(m, i, 16)
    check_io(m, port, i.w)
    observe_port(m, port, i.w)
    write_port(m, port, i.w, get_reg(m, 0, i.w))
