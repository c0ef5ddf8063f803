"""System instructions: control and debug registers, CPUID, MSRs, SYSENTER, HLT (SDM 3A chapters 2 and 9.4; SDM 2; SDM 4 for MSRs).

Left out: caches, counting performance counters, SMM. What breakpoints do: emu/isa/debug.py.
MSRs that only need to be remembered are listed in REMEMBERED; any other number raises #GP(0), as on hardware.
"""
from emu.isa.clock import guest_time
from emu.isa.debug import AM, DE, GD, armed
from emu.isa.flags import IF, RF, VM
from emu.isa.language import DB, GP, UD, Fault, mask, outlined
from emu.isa.operands import address, put_reg, set_dst, src
from emu.isa.privilege import supervisor
from emu.isa.segments import TASK_SWITCHED, set_reach, update_mode
from emu.isa.slices import stop
from emu.isa.state import CS, SS
from emu.mem.paging import PAE, PG, PGE, PSE, WP, flush_page, flush_tlb, load_cr3, load_pdptes

PE, ET, NW, CD = 1, 0x10, 0x20000000, 0x40000000  # of CR0
CR0_BITS = 0xe005003f
TSD, PCE = 4, 0x100  # of CR4
CR4_FEATURES = (31, 31, 4, 2, 3, 6, 31, 13, 31, 24, 25)  # for bits 0 to 10 of CR4 the feature bit of CPUID that allows it; 31: none does
BD = 0x2000  # DR6's bit for DR7.GD
DR6_ONES, DR6_BITS = 0xffff0ff0, 0xe00f
DR7_ONES, DR7_BITS = 0x400, 0xffff2fff
FLAT_CODE, FLAT_DATA = 0xc09b, 0xc093  # access of SYSENTER's segments
TSC, SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0x10, 0x174, 0x175, 0x176
REMEMBERED = (0, 1, 0x17, 0x1b, 0x2a, 0x79, 0x8b, 0xc1, 0xc2, 0x119, 0x179, 0x17a, 0x186, 0x187, 0x1d9, 0x277)  # machine check address and type, platform,
# APIC base, power-on, microcode load and revision, counters 0 and 1, cache control, MCG capabilities and status, event selects 0 and 1, debug control, PAT
CLFSH = 19  # its bit among CPUID's features
COUNTERS = 7  # where counters 0 and 1 are in it


# --- control registers (SDM 3A 2.5) ---------------------------------------------------------------------------------------------------------

def MOV_FROM_CR(m, i):
    supervisor(m)
    if i.src == 0: v = m.cr0
    elif i.src == 2: v = m.cr2
    elif i.src == 3: v = m.cr3
    elif i.src == 4: v = m.cr4
    else: raise Fault(UD)
    put_reg(m, i.dst, 32, v)


def MOV_TO_CR(m, i):
    supervisor(m)
    v = m.reg[i.src]
    if i.dst == 0: set_cr0(m, v)
    elif i.dst == 2: m.cr2 = v
    elif i.dst == 3: set_cr3(m, v)
    elif i.dst == 4: set_cr4(m, v)
    else: raise Fault(UD)


@outlined
def set_cr0(m, v):
    """CR0 = v; ET is always set. Only what paging sees drops translations."""
    v = (v & CR0_BITS) | ET
    if (v & PG and v & PE == 0) or (v & NW and v & CD == 0): raise Fault(GP, 0)
    if v & PG and m.cr4 & PAE and (v ^ m.cr0) & (PG | CD | NW): load_pdptes(m, m.cr3)
    changed = v ^ m.cr0
    m.cr0 = v
    if changed & (PG | WP | PE | AM): flush_tlb(m)
    update_mode(m)


@outlined
def set_cr3(m, v):
    load_cr3(m, v)


@outlined
def set_cr4(m, v):
    """CR4 = v: bits of features that the processor lacks are reserved."""
    n = 0
    known = PCE if m.cpu_family >= 0x600 else 0
    while n < 11:
        known = known | (((m.cpu_features >> CR4_FEATURES[n]) & 1) << n)
        n = n + 1
    if v & ~known: raise Fault(GP, 0)
    if v & PAE and m.cr0 & PG and (v ^ m.cr4) & (PAE | PGE | PSE): load_pdptes(m, m.cr3)  # SDM 3A 4.4.1
    m.cr4 = v
    flush_tlb(m)
    update_mode(m)


def LMSW(m, i):
    supervisor(m)
    set_cr0(m, (m.cr0 & ~14) | (src(m, i, 16) & 15))


def SMSW(m, i):
    set_dst(m, i, i.w, m.cr0)


def CLTS(m, i):
    supervisor(m)
    m.cr0 = m.cr0 & ~TASK_SWITCHED
    update_mode(m)


# --- debug registers (SDM 3B 17.2) ----------------------------------------------------------------------------------------------------------

def debug_register(m, n):
    """DR4 and DR5 are DR6 and DR7, unless CR4.DE says they are not there, for anybody (SDM 3A, table 6-2); with DR7.GD every access is a #DB."""
    if n & 6 == 4 and m.cr4 & DE: raise Fault(UD)
    supervisor(m)
    if m.dr[7] & GD:
        m.dr[6] = m.dr[6] | BD
        m.eflags = m.eflags | RF  # this #DB is a fault
        raise Fault(DB)
    if n & 6 == 4: return n + 2
    return n


@outlined
def get_dr(m, n):
    return m.dr[debug_register(m, n)]


@outlined
def set_dr(m, n, v):
    n = debug_register(m, n)
    if n == 6: v = (v & DR6_BITS) | DR6_ONES
    if n == 7: v = (v & DR7_BITS) | DR7_ONES
    m.dr[n] = v
    if armed(m): flush_tlb(m)
    stop(m)


def MOV_FROM_DR(m, i):
    put_reg(m, i.dst, 32, get_dr(m, i.src))


def MOV_TO_DR(m, i):
    set_dr(m, i.dst, m.reg[i.src])


# --- caches, TLB, HLT -----------------------------------------------------------------------------------------------------------------------

def HLT(m, i):
    supervisor(m)
    m.halted = 1
    stop(m)


def INVLPG(m, i):
    supervisor(m)
    flush_page(m, (m.base[i.seg] + address(m, i)) & 0xffffffff)


def INVD(m, i):
    supervisor(m)


def WBINVD(m, i):
    supervisor(m)


# --- CPUID and MSRs -------------------------------------------------------------------------------------------------------------------------

def CPUID(m, i):
    identify(m)


@outlined
def identify(m):
    """What emu/isa/models.py says; a processor without CPUID has no leaf at all."""
    if m.cpuid_max == 0: raise Fault(UD)
    leaf = m.reg[0]
    name = m.cpu_name[0] != 0 and leaf >> 31
    if name and leaf >= 0x80000002 and leaf <= 0x80000004:
        n = (leaf - 0x80000002) << 2
        put_four(m, m.cpu_name[n], m.cpu_name[n + 1], m.cpu_name[n + 2], m.cpu_name[n + 3])
    elif name: put_four(m, 0x80000004 if leaf == 0x80000000 else 0, 0, 0, 0)
    elif leaf == 0: put_four(m, m.cpuid_max, m.cpu_vendor[0], m.cpu_vendor[2], m.cpu_vendor[1])
    elif leaf == 1: put_four(m, m.cpu_family, ((m.cpu_features >> CLFSH) & 1) << 11, 0, m.cpu_features)  # CLFLUSH's lines have 8 * 8 bytes
    elif leaf == 2 and m.cpuid_max >= 2: put_four(m, 1, 0, 0, 0)  # one call tells all: no cache or TLB is described
    else: put_four(m, 0, 0, 0, 0)


def put_four(m, a, b, c, d):
    """EAX, EBX, ECX, EDX."""
    m.reg[0] = a
    m.reg[3] = b
    m.reg[1] = c
    m.reg[2] = d


def put_pair(m, v):
    """EDX:EAX."""
    m.reg[0] = v & 0xffffffff
    m.reg[2] = (v >> 32) & 0xffffffff


def RDTSC(m, i):
    if m.cr4 & TSD: supervisor(m)
    put_pair(m, guest_time(m))


def RDMSR(m, i):
    supervisor(m)
    put_pair(m, get_msr(m, m.reg[1]))


def WRMSR(m, i):
    supervisor(m)
    set_msr(m, m.reg[1], m.reg[0] | (m.reg[2] << 32))


def RDPMC(m, i):
    if m.cr4 & PCE == 0: supervisor(m)
    if m.reg[1] > 1: raise Fault(GP, 0)
    put_pair(m, m.msr[COUNTERS + (m.reg[1] & 1)] & mask(40))


@outlined
def remembered(m, n):
    """Where MSR n is remembered, else #GP(0)."""
    k = 0
    while k < 16:
        if REMEMBERED[k] == n: return k
        k = k + 1
    raise Fault(GP, 0)


@outlined
def get_msr(m, n):
    if n == TSC: return guest_time(m)
    if n == SYSENTER_CS: return m.sysenter_cs
    if n == SYSENTER_ESP: return m.sysenter_esp
    if n == SYSENTER_EIP: return m.sysenter_eip
    return m.msr[remembered(m, n)]


@outlined
def set_msr(m, n, v):
    """The time stamp counter cannot be set: such a write is ignored."""
    if n == TSC: return
    if n == SYSENTER_CS: m.sysenter_cs = v
    elif n == SYSENTER_ESP: m.sysenter_esp = v
    elif n == SYSENTER_EIP: m.sysenter_eip = v
    else: m.msr[remembered(m, n)] = v


# --- fast system calls (SDM 3A 5.8.7) --------------------------------------------------------------------------------------------------------

def flat(m, n, selector, access):
    """A segment of 4 GB with no descriptor."""
    m.selector[n] = selector & 0xffff
    m.base[n] = 0
    m.limit[n] = 0xffffffff
    m.access[n] = access
    set_reach(m, n)


def SYSENTER(m, i):
    enter_system(m)


@outlined
def enter_system(m):
    cs = m.sysenter_cs & 0xfffc
    if m.cr0 & PE == 0 or cs == 0: raise Fault(GP, 0)
    m.eflags = m.eflags & ~(VM | IF)
    flat(m, CS, cs, FLAT_CODE)
    flat(m, SS, cs + 8, FLAT_DATA)
    m.cpl = 0
    m.reg[4] = m.sysenter_esp
    m.eip = m.sysenter_eip
    update_mode(m)


def SYSEXIT(m, i):
    supervisor(m)
    leave_system(m)


@outlined
def leave_system(m):
    cs = m.sysenter_cs & 0xfffc
    if m.cr0 & PE == 0 or cs == 0: raise Fault(GP, 0)
    flat(m, CS, (cs + 16) | 3, FLAT_CODE | 0x60)
    flat(m, SS, (cs + 24) | 3, FLAT_DATA | 0x60)
    m.cpl = 3
    m.reg[4] = m.reg[1]
    m.eip = m.reg[2]
    update_mode(m)
