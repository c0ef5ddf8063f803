"""Operands: registers, immediates, memory through the segment, the stack (SDM 1, chapter 3.7; SDM 2, chapter 2.1)."""
from emu.isa.language import GP, Fault, mask
from emu.isa.state import CS, SS
from emu.mem.access import load, load_for_write, store

REG, IMM, MEM, MM, XMM = 0, 1, 2, 3, 4  # i.dst_kind, i.src_kind


def address(m, i):
    """The offset of the memory operand, 16 or 32 bits wide."""
    return (m.reg[i.base] + (m.reg[i.index] << i.scale) + i.disp) & i.amask


def get_reg(m, n, w):
    """General register n as SDM numbers them for width w: at 8 bits, 4 to 7 are AH CH DH BH."""
    if w == 8: return (m.reg[n & 3] >> ((n & 4) << 1)) & 0xff
    return m.reg[n] & mask(w)


def put_reg(m, n, w, v):
    """Sets a general register; the other bits stay."""
    if w == 32: m.reg[n] = v & 0xffffffff
    elif w == 8: m.reg[n & 3] = (m.reg[n & 3] & ~(0xff << ((n & 4) << 1))) | ((v & 0xff) << ((n & 4) << 1))
    else: m.reg[n] = (m.reg[n] & 0xffff0000) | (v & 0xffff)


def dst(m, i, w):
    """Reads the destination operand as w bits."""
    if i.dst_kind == REG: return get_reg(m, i.dst, w)
    return load(m, i.seg, address(m, i), w)


def dst_for_write(m, i, w):
    """Reads the destination operand that set_dst will write: what does not let it be written faults now, as a write."""
    if i.dst_kind == REG: return get_reg(m, i.dst, w)
    return load_for_write(m, i.seg, address(m, i), w)


def src(m, i, w):
    """Reads the source operand as w bits."""
    if i.src_kind == REG: return get_reg(m, i.src, w)
    if i.src_kind == IMM: return i.imm & mask(w)
    return load(m, i.seg, address(m, i), w)


def set_dst(m, i, w, v):
    """Writes the destination operand: may fault, so it comes before flags and other registers."""
    if i.dst_kind == REG: put_reg(m, i.dst, w, v)
    else: store(m, i.seg, address(m, i), w, v)


def set_src(m, i, w, v):
    """Writes the operand in the source's place (XCHG, XADD)."""
    if i.src_kind == REG: put_reg(m, i.src, w, v)
    else: store(m, i.seg, address(m, i), w, v)


def set_esp(m, v):
    """ESP, or SP alone on a 16-bit stack."""
    m.reg[4] = (m.reg[4] & ~m.stack_mask) | (v & m.stack_mask)


def push(m, w, v):
    """Pushes w bits."""
    sp = (m.reg[4] - (w >> 3)) & m.stack_mask
    store(m, SS, sp, w, v)
    set_esp(m, sp)


def top(m, w, n):
    """The n-th w-bit item on the stack, without popping it."""
    return load(m, SS, (m.reg[4] + n * (w >> 3)) & m.stack_mask, w)


def drop(m, w, n):
    """Takes n w-bit items off the stack."""
    set_esp(m, m.reg[4] + n * (w >> 3))


def check_target(m, target):
    """#GP(0) where a jump to this offset would leave the code segment."""
    if target > m.limit[CS]: raise Fault(GP, 0)


def relative(m, i):
    """Where a relative jump leads: EIP + immediate, 16 or 32 bits wide."""
    return (m.eip + i.imm) & mask(i.w)


def branch(m, i):
    """A relative jump. A translation continues at TAKEN."""
    check_target(m, relative(m, i))
    m.eip = relative(m, i)


def jump(m, target):
    """A near jump to an offset known only now."""
    check_target(m, target)
    arrive(m, target)


def arrive(m, target):
    """Goes on at an offset that has been checked. A translation looks it up."""
    m.eip = target
