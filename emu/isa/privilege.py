"""Who may do what: CPL 0, IOPL, the TSS's I/O permission bitmap, and which of EFLAGS an instruction may change.

SDM 3A 5.9 (privileged instructions), SDM 1 19.5 (I/O protection), SDM 2 POPF and IRET. In real mode CPL is 0, in virtual-8086 mode 3.
Left out: VME and PVI, so VIF and VIP are never set.
"""
from emu.isa.flags import AC, DF, ID, IF, IOPL, NT, RF, TF, set_arithmetic_flags
from emu.isa.language import GP, UD, Fault, mask, outlined
from emu.isa.slices import stop
from emu.isa.state import TR
from emu.mem.access import read
from emu.mem.paging import flush_tlb

AVAILABLE_TSS, BUSY = 0x89, 2  # access of a present 32-bit TSS, and its busy bit
IO_MAP = 0x66  # the TSS's field that says where its bitmap begins


def supervisor(m):
    """Privileged instructions: #GP(0) above CPL 0."""
    if m.cpl: raise Fault(GP, 0)


def protected_only(m):
    """Instructions that real and virtual-8086 mode do not recognise."""
    if m.protected == 0: raise Fault(UD)


def iopl(m):
    return (m.eflags >> 12) & 3


def check_io(m, port, w):
    """#GP(0) unless this port may be used (SDM 1 19.5.2)."""
    if m.vm86 or m.cpl > iopl(m): check_bitmap(m, port, w)


@outlined
def check_bitmap(m, port, w):
    """The bits of all ports that are touched must be clear; two bytes are always read."""
    if m.access[TR] & 0xff & ~BUSY != AVAILABLE_TSS or m.limit[TR] < IO_MAP + 1: raise Fault(GP, 0)
    at = read(m, (m.base[TR] + IO_MAP) & 0xffffffff, 16, 0) + (port >> 3)
    if at + 1 > m.limit[TR]: raise Fault(GP, 0)
    if (read(m, (m.base[TR] + at) & 0xffffffff, 16, 0) >> (port & 7)) & mask(w >> 3): raise Fault(GP, 0)


def changeable(m):
    """The flags besides the arithmetic ones that POPF and IRET may change here; the 386 has no AC, and who has no CPUID no ID."""
    flags = TF | DF | NT
    if m.cpu_family >= 0x400: flags = flags | AC
    if m.cpuid_max: flags = flags | ID
    if m.cpl == 0: flags = flags | IOPL
    if m.cpl <= iopl(m): flags = flags | IF
    return flags


def set_flags(m, image, which):
    """The arithmetic flags and those of `which` from an EFLAGS image. AC decides what the user's TLB may hold (emu/isa/debug.py)."""
    if (m.eflags ^ image) & which & AC: flush_tlb(m)
    m.eflags = (m.eflags & ~which) | (image & which)
    set_arithmetic_flags(m, image)


def look_up(m):
    """After TF, RF or IF may have been set: ends the slice if there is a trap or an interrupt to take."""
    if m.eflags & (TF | RF) or (m.irq and m.eflags & IF): stop(m)
