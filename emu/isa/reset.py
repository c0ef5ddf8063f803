"""RESET: the state in which a processor starts (SDM 3A 9.1, table 9-1). What emu/isa/models.py sets, the interrupt line, maps and
function pointers stay."""
from emu.isa.flags import set_arithmetic_flags
from emu.isa.segments import set_reach, update_mode
from emu.isa.state import CS, LDTR, TR, State
from emu.mem.paging import flush_tlb

DATA, LDT, TSS = 0x93, 0x82, 0x8b  # access: present, writable, accessed; a busy 32-bit TSS
CLEARED = '''eip eflags cr2 cr3 cr4 gdt_base idt_base cpl fault_vector fault_code external halted shutdown hit resume shadow nmi nmi_blocked ferr ignne sysenter_cs sysenter_esp
    sysenter_eip fpu_status fpu_top fpu_empty fpu_ip fpu_cs fpu_dp fpu_ds fpu_opcode'''.split()
PAT, PAT_RESET = 15, 0x0007040600070406  # its place in emu/isa/system.py REMEMBERED


def reset(m: State) -> None:
    """RESET."""
    for name in CLEARED:
        setattr(m, name, 0)
    for array in (m.reg, m.pdpte, m.fpu_mantissa, m.fpu_exponent, m.xmm_low, m.xmm_high, m.msr, m.dr):
        for n in range(len(array)):
            array[n] = 0
    m.eip, m.reg[2], m.cr0 = 0xfff0, m.cpu_family, 0x60000010
    m.dr[6], m.dr[7] = 0xffff0ff0, 0x400
    m.msr[PAT], m.fpu_control, m.mxcsr, m.a20 = PAT_RESET, 0x40, 0x1f80, 0xffffffff
    m.gdt_limit = m.idt_limit = 0xffff
    set_arithmetic_flags(m, 0)
    for n in range(8):
        m.selector[n], m.base[n], m.limit[n], m.access[n] = 0, 0, 0xffff, {LDTR: LDT, TR: TSS}.get(n, DATA)
        set_reach(m, n)
    m.selector[CS], m.base[CS] = 0xf000, 0xffff0000
    update_mode(m)
    flush_tlb(m)
