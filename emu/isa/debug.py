"""Breakpoints in the debug registers and RF (SDM 3B 17.2, 17.3), and alignment checks (SDM 3A 6.15, #AC): what the slow paths of an access ask for.

Pages with an enabled breakpoint, and with alignment checks all of the user's, are kept out of the TLBs (emu/mem/paging.py `cacheable`): so every fetch from
them and every access to them comes by here, and nothing else costs anything. `m.hit` collects the conditions that the instruction met, as bits of DR6;
the engine raises the #DB when it is done (emu/jit/eager.py `conclude`). RF is only kept while DR7 enables a breakpoint, or a trap follows that shows it: else an
interrupt that comes at once would show it, and nothing else. With RF or TF set a slice is one instruction. The processor's choices: LE and GE have no effect; B0 to B3
show enabled breakpoints only; what the delivery of a #DB meets itself is forgotten (a processor would never come to an end). Accesses that the processor makes for
itself (descriptors, TSS) count, page walks do not.
"""
from emu.isa.clock import retired
from emu.isa.flags import AC, RF
from emu.isa.language import AC as ALIGNMENT
from emu.isa.language import DB, Fault, outlined
from emu.isa.slices import stop

FETCH, WRITE, PORT, READ = 1, 0b1010, 0b100, 0b1000  # bit n: a breakpoint whose R/W field is n strikes
MEMORY = 0b1011
LENGTHS = (1, 2, 8, 4)  # bytes, by DR7's LEN fields
SINGLE_STEP, SWITCH = 1 << 14, 1 << 15  # DR6's BS and BT
AM, DE, GD = 0x40000, 8, 0x2000  # of CR0; of CR4; of DR7: general detect


def armed(m):
    """Not 0 if DR7 enables a breakpoint, locally or globally."""
    return m.dr[7] & 0xff


@outlined
def met(m, a, size, kinds):
    """DR6's bits of the enabled breakpoints of these kinds that `size` bytes from linear address (or port) a touch."""
    hit = 0
    n = 0
    while n < 4:
        length = LENGTHS[(m.dr[7] >> (18 + (n << 2))) & 3]
        first = m.dr[n] & ~(length - 1)
        enabled = (m.dr[7] >> (n << 1)) & 3
        if enabled and (kinds >> ((m.dr[7] >> (16 + (n << 2))) & 3)) & 1 and a < first + length and a + size > first: hit = hit | (1 << n)
        n = n + 1
    return hit


@outlined
def watch(m, a, size, kinds):
    """An access is being made: what it meets becomes a trap after the instruction, unless that faults."""
    hit = met(m, a, size, kinds)
    if hit:
        m.hit = m.hit | hit
        stop(m)


def observe(m, a, size, user, kinds):
    """Before each access that does not go through the TLB."""
    if user and m.eflags & AC and m.cr0 & AM and a & (size - 1): raise Fault(ALIGNMENT, 0)
    if armed(m): watch(m, a, size, kinds)


def observe_port(m, port, w):
    """Before the use of a port; such breakpoints exist with CR4.DE only."""
    if m.cr4 & DE and armed(m): watch(m, port, w >> 3, PORT)


def observe_fetch(m, a):
    """Before the fetch of an instruction: a breakpoint on its first byte is a fault, unless RF was set, or SS was loaded just before (SDM 3B 17.3.1.1)."""
    if armed(m) and m.resume == 0 and m.shadow != retired(m) & 0xffffffff:
        hit = met(m, a, 1, FETCH)
        if hit:
            m.dr[6] = m.dr[6] | hit
            raise Fault(DB, 0)


def cacheable(m, a, user):
    """Whether accesses to the page at a need no looking at: it may enter a TLB."""
    if user and m.eflags & AC and m.cr0 & AM: return 0
    if armed(m): return met(m, a & 0xfffff000, 4096, MEMORY) == 0
    return 1


def resumable(m):
    """The RF bit, if IRET and task switches are to load it."""
    return RF if armed(m) or m.hit else 0


def repeat(m):
    """An iteration of a repeated instruction is over, others follow: its breakpoint has struck already, and a trap shows RF (SDM 3B 17.3.1.1)."""
    if armed(m) or m.hit:
        m.eflags = m.eflags | RF
        stop(m)
