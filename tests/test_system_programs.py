"""Modes, privilege, virtual-8086 mode and tasks (SDM 3A chapters 4 to 9 and 20), by small guest programs on all engines (tests/system_programs.py)."""
import struct

import pytest

from emu.isa.flags import CF, IF, NT, RF, TF, VM
from emu.isa.language import BP, GP, NP, PF, TS, UD
from tests.harness import ENGINES, Guest
from tests.system_programs import CODE0, CODE3, DATA0, DATA3, DATA16, GATE0, TASK0, TASK1, call, enter_v86, jump, run

# --- modes (SDM 3A 9.8, 9.9) -----------------------------------------------------------------------------------------------------

def test_real_mode_and_back() -> None:
    """9.8.1, 9.9.2: protected mode with paging -> real mode (limits of 64 KB, an IVT) -> protected mode; 20.1.4: INT in real mode."""
    r = run("""main: call map
    ljmp CODE16, offset narrow
wide:
    mov eax, DATA0
    mov ds, eax
    mov ss, eax
    mov es, eax
    mov esp, offset stack0
    int 33
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    mov dword ptr [data + 8], 0x600d
    hlt
.code16
narrow:
    mov ax, DATA16
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, cr0
    and eax, 0x7ffffffe
    mov cr0, eax
    ljmp 0, offset real
real:
    mov ax, 0
    mov ds, ax
    mov es, ax
    xor ax, ax
    mov ss, ax
    mov sp, 0x800
    lidt [low]
    mov word ptr ss:[0x40 * 4], offset service
    mov word ptr ss:[0x40 * 4 + 2], 0
    mov word ptr ss:[13 * 4], offset fault
    mov word ptr ss:[13 * 4 + 2], 0
    sti
    int 0x40
    cli
    mov bx, 0xffff
beyond: mov ax, [bx]
    lidt [idt_register]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea; .long wide; .word CODE0
service:
    pushf
    pop ax
    mov [data], ax
    mov bp, sp
    mov ax, [bp + 4]
    mov [data + 2], ax
    iret
fault:
    mov bp, sp
    mov ax, [bp]
    mov [data + 4], ax
    add word ptr [bp], 2
    iret
low: .word 0x3ff; .long 0
.code32
""")
    assert r.at('data', 2) == 0x600d and r.seen('vector') == [(33,)]
    assert r.at('data') & 0xffff & (IF | TF) == 0 and r.at('data') >> 16 & IF  # cleared in the handler, set in the image
    assert r.at('data', 1) == r.labels['beyond']
    assert r.m.cr0 >> 31 == 1 and r.m.protected


def test_page_faults() -> None:
    """4.7: error codes, CR2, and EIP to start again: not present, written, by the user, protection; accessed and dirty bits follow."""
    r = run("""main: call map
    mov ebx, offset other
    shr ebx, 12
    mov esi, offset other
    action 14, present
    and dword ptr [table + ebx * 4], ~1
    invlpg [esi]
a:  mov eax, [esi + 4]
    and dword ptr [table + ebx * 4], ~1
    invlpg [esi]
b:  add dword ptr [esi + 8], 5
    and dword ptr [table + ebx * 4], ~4
    invlpg [esi]
    xor edx, edx
    user there
there:
c:  inc dword ptr [esi + 12]
d:  mov eax, [esi]
    int 32
present: or dword ptr [table + ebx * 4], 5
    invlpg [esi]
    ret""")
    other = r.labels['other']
    assert r.seen('vector', 'error', 'eip', 'cr2')[:-1] == [(PF, 0, 'a', other + 4), (PF, 2, 'b', other + 8), (PF, 7, 'c', other + 12)]
    assert r.at('other', 2) == 5 and r.at('other', 3) == 1 and r.notes[-1].vector == 32
    assert r.at('table', other >> 12) & 0x60 == 0x60


def test_write_protect() -> None:
    """4.6: the supervisor writes to read-only pages, unless CR0.WP."""
    r = run("""main: call map
    mov ebx, offset other
    shr ebx, 12
    and dword ptr [table + ebx * 4], ~2
    mov eax, cr3
    mov cr3, eax
    mov dword ptr [other], 1
    mov eax, cr0
    or eax, 0x10000
    mov cr0, eax
    action 14, writable
    mov ecx, offset other
a:  mov dword ptr [ecx], 2
    hlt
writable: or dword ptr [table + ebx * 4], 2
    invlpg [other]
    ret""")
    assert r.seen('vector', 'error', 'eip') == [(PF, 3, 'a')] and r.at('other') == 2


def test_invlpg_of_a_page_that_was_large() -> None:
    """4.10.4.1: INVLPG drops all that the TLB has of a large page, though the directory has another entry by now."""
    r = run("""main: call map
    mov eax, cr4
    or eax, 0x10
    mov cr4, eax
    mov dword ptr [directory + 4], 0x83             # 4 MB from 400000h on, one more view of low memory
    mov ebx, offset data + 0x400000
    mov dword ptr [ebx], 1
    mov eax, [ebx + 0x1000]
    action 14, finish
    mov dword ptr [directory + 4], 0
    invlpg [0x400000]
a:  mov eax, [ebx]
    hlt""")
    assert r.seen('vector', 'error', 'eip', 'cr2') == [(PF, 0, 'a', r.labels['data'] + 0x400000)] and r.at('data') == 1


def test_code_in_a_page_table() -> None:
    """4.8: accessed and dirty bits are stores, also where the entry is an instruction's immediate: the next execution has them."""
    r = run("""main: call map
    mov dword ptr [table + 0x5fc], 0xb8000000       # mov eax, the next entry
    mov dword ptr [table + 0x600], 0x180007
    mov dword ptr [table + 0x604], 0xc3             # ret
    mov eax, cr3
    mov cr3, eax
    mov edx, offset table + 0x5ff
    call often
    mov [data], eax
    mov ebx, [0x180000]
    call often
    mov [data + 4], eax
    mov [0x180000], ebx
    call often
    hlt
often: mov ecx, 40
again: call edx
    loop again
    ret""")
    assert (r.at('data'), r.at('data', 1), r.m.reg[0]) == (0x180007, 0x180027, 0x180067)


# --- privilege (SDM 3A 5.8, 6.12) -------------------------------------------------------------------------------------------------

CALL_GATES = """
    mov eax, offset inner
    mov [gdt + GATE0], ax
    mov word ptr [gdt + GATE0 + 2], CODE0
    mov word ptr [gdt + GATE0 + 4], 0xec03          # 32 bits, DPL 3, 3 parameters
    shr eax, 16
    mov [gdt + GATE0 + 6], ax
"""


def test_what_the_gdt_has_to_have() -> None:
    """SDM 2 LTR: a selector that is not global is #GP before the descriptor is read, whose page may be absent; LLDT alike."""
    r = run("""main: call map
    base LDT, other
    mov word ptr [gdt + LDT], 63
    mov eax, LDT
    lldt ax
    mov ebx, offset other
    shr ebx, 12
    and dword ptr [table + ebx * 4], ~1
    mov eax, cr3
    mov cr3, eax
    action 13, skip3
    mov eax, 0xf
a:  lldt ax
b:  ltr ax
    hlt""")
    assert r.seen('vector', 'error', 'eip') == [(GP, 0xc, 'a'), (GP, 0xc, 'b')]


def test_call_gate_with_parameters() -> None:
    """5.8.5: CALL through a gate to CPL 0 takes the TSS's stack, copies parameters, pushes SS:ESP and CS:EIP; RET n drops them on both stacks."""
    r = run('main:' + CALL_GATES + """
    xor edx, edx
    user there
there:
    mov ebx, esp
    push 11
    push 22
    push 33
    .byte 0x9a; .long 0; .word GATE0
a:  mov ecx, ds
    int 32
inner:
    mov ebp, esp
    mov esi, esp
    mov edi, offset data
    mov ecx, 7
    mov eax, DATA0
    mov ds, eax
    rep movsd
    mov [edi], cs
    retf 12""")
    stack3 = r.labels['stack3']
    assert [r.at('data', n) for n in range(7)] == [r.labels['a'], CODE3 | 3, 33, 22, 11, stack3 - 12, DATA3 | 3]
    assert r.at('data', 7) & 0xffff == CODE0 and r.m.reg[3] == stack3
    assert r.m.reg[1] == 0  # RET to CPL 3 made DS, which held a segment of DPL 0, null


def test_call_gate_faults() -> None:
    """5.8.4, 6.13: DPL below CPL, absent gates, a far JMP to an inner level through a gate: the selector is the code, EIP the instruction's."""
    r = run('main:' + CALL_GATES + """
    mov byte ptr [gdt + GATE0 + 5], 0x8c
    action 13, skip7
    action 11, skip7
    xor edx, edx
    user there
there:
a:  .byte 0x9a; .long 0; .word GATE0
    mov byte ptr [gdt + GATE0 + 5], 0x6c
b:  .byte 0x9a; .long 0; .word GATE0
    mov byte ptr [gdt + GATE0 + 5], 0xec
c:  .byte 0xea; .long 0; .word GATE0
d:  .byte 0x9a; .long 0; .word CODE0
    int 32
inner: hlt""")
    assert r.seen('vector', 'error', 'eip')[:4] == [(GP, GATE0, 'a'), (NP, GATE0, 'b'), (GP, CODE0, 'c'), (GP, CODE0, 'd')] and r.notes[4].vector == 32


def test_gates_from_the_user() -> None:
    """6.12.1: an interrupt gate clears IF, a trap gate does not; both clear TF, NT, RF; the stack is the TSS's; IRET brings everything back."""
    r = run("""main: gate 33, trap, 0xef
    gate 32, interrupt, 0xee
    mov edx, 0x3200
    user there
there: int 33
a:  mov esi, esp
    pushfd
    pop edx
    int 32
trap: pushfd
    pop dword ptr ss:[data]
    mov ss:[data + 4], esp
    mov eax, [esp + 12]
    mov ss:[data + 8], eax
    iretd
interrupt: pushfd
    pop dword ptr ss:[data + 12]
    hlt""")
    assert r.at('data') & (IF | TF | NT) == IF and r.at('data', 3) & IF == 0
    assert r.at('data', 1) == r.labels['inner0'] - 20 and r.at('data', 2) == r.labels['stack3'] == r.m.reg[6]
    assert r.m.reg[2] & 0x3200 == 0x3200


def test_double_fault() -> None:
    """6.15, table 6-5: #GP whose gate is absent is #DF(0); a vector beyond the limit of INT n is #GP of the gate, IDT bit set."""
    r = run("""main: action 13, skip2
a:  int 200
    mov byte ptr [idt + 13 * 8 + 5], 0x0e
    action 8, finish
b:  int 200""")
    assert r.seen('vector', 'error', 'eip') == [(GP, 200 * 8 + 2, 'a'), (8, 0, 'b')]


def test_code_where_no_memory_is() -> None:
    """It reads as FF FF, which is no instruction (#UD), in the last byte of 4 GB too: what follows is not looked at."""
    r = run("""main: action 6, finish
    mov eax, -1
    jmp eax""")
    assert r.seen('vector', 'error')[0][0] == UD


def test_privileged_instructions() -> None:
    """5.9: #GP(0) above CPL 0; IN, OUT, CLI, STI by IOPL (SDM 1 19.5.1) and the TSS's bitmap (19.5.2)."""
    r = run("""main: action 13, skip2
    mov word ptr [tss0 + 0x66], 0x40                # a bitmap of the ports 0 to 39 over the limit's last bytes
    mov byte ptr [gdt + TASK0], 0x6b
    mov dword ptr [tss0 + 0x40], 0
    mov byte ptr [tss0 + 0x68], 0
    mov dword ptr [tss0 + 0x64], 0x680000
    mov byte ptr [tss0 + 0x68], 0b10
    mov byte ptr [tss0 + 0x69], 0xff
    mov byte ptr [gdt + TASK0 + 5], 0x89
    mov eax, TASK0
    ltr ax
    xor edx, edx
    user there
there: in al, 0
a:  in al, 1
b:  in eax, 0
c:  in al, 8
d:  cli
    nop
e:  hlt
    nop
f:  out 0x80, al
    int 32""")
    assert r.seen('vector', 'error', 'eip')[:-1] == [(GP, 0, x) for x in 'abcdef']


def test_fast_system_calls() -> None:
    """5.8.7: SYSENTER and SYSEXIT with flat segments from the MSR; IF and VM cleared; #GP(0) where the MSR is null, or SYSEXIT above CPL 0."""
    r = run("""main: action 13, skip2
    xor edx, edx
a:  sysenter
    mov ecx, 0x174
    mov eax, CODE0
    wrmsr
    inc ecx
    mov eax, offset stack1
    wrmsr
    inc ecx
    mov eax, offset entry
    wrmsr
    mov edx, 0x200
    user there
there:
b:  sysexit
    mov ebx, esp
    mov edx, offset after
    mov ecx, esp
    sysenter
after:
    mov esi, cs
    mov edi, ss
    int 32
entry: pushfd
    pop dword ptr [data]
    mov [data + 4], cs
    mov [data + 8], ss
    mov [data + 12], esp
    sysexit""")
    assert r.seen('vector', 'error', 'eip')[:2] == [(GP, 0, 'a'), (GP, 0, 'b')]
    assert r.at('data') & (IF | VM) == 0 and r.at('data', 1) & 0xffff == CODE0 and r.at('data', 2) & 0xffff == CODE0 + 8 and r.at('data', 3) == r.labels['stack1']
    assert (r.m.reg[6], r.m.reg[7]) == (CODE3 | 3, DATA3 | 3) and r.notes[2].vector == 32


# --- virtual-8086 mode (SDM 3A 20.2, 20.3) ---------------------------------------------------------------------------------------

def test_v86_without_iopl() -> None:
    """20.2.7, 20.2.8: CLI, STI, PUSHF, POPF, INT n, IRET are #GP(0) with IOPL < 3, ports by the bitmap alone, HLT always; LLDT and ARPL are #UD."""
    r = run("main: action 13, skip2; action 6, skip3; action 3, finish" + enter_v86(0) + """
a:  cli
    nop
b:  sti
    nop
c:  pushf
    nop
d:  popf
    nop
e:  int 33
f:  iret
    nop
g:  in al, 0x60
h:  hlt
    nop
i:  lldt ax
j:  arpl ax, ax
    nop
    mov ax, ds
    mov bx, fs
    mov cx, cs
    int3
.code32
""")
    assert r.seen('vector', 'error', 'eip', 'cs')[:-1] == [(GP, 0, x, 0) for x in 'abcdefgh'] + [(UD, 0, x, 0) for x in 'ij']
    assert all(note.eflags & VM for note in r.notes) and r.notes[-1].vector == BP
    assert (r.m.reg[0], r.m.reg[3] & 0xffff, r.m.reg[1] & 0xffff) == (r.m.reg[0] & 0xffff0000 | 0x22, 0x33, 0)


def test_v86_with_iopl() -> None:
    """20.2.7: with IOPL 3 the flag instructions work on IF, INT n goes through the IDT; 20.3.1.1: ES DS FS GS are pushed and cleared, IRET restores them."""
    r = run("main: action 33, frame; action 3, finish" + enter_v86(0x3000) + """
    sti
    pushf
    pop bx
    cli
    pushf
    pop cx
    push 0x0202
    popf
    pushf
    pop dx
    int 33
a:  mov si, ds
    mov di, es
    push cs
    mov ax, offset b
    push ax
    pushf
    pop bp
    pop ax
    pop ax
    push bp
    push cs
    push offset b
    iret
b:  mov ax, gs
    int3
.code32
frame:
    lea esi, [ebp + 56]
    mov edi, offset data
    mov ecx, 7
    rep movsd
    mov ecx, [ebp + 4]                              # DS as the handler found it
    mov [edi], ecx
    mov [edi + 4], fs
    ret""")
    assert r.seen('vector', 'eip') == [(33, 'a'), (BP, 'frame')]
    assert (r.m.reg[3] & IF, r.m.reg[1] & IF, r.m.reg[2] & IF) == (IF, 0, IF)
    assert r.at('data') & (VM | IF | 0x3000) == VM | IF | 0x3000
    assert [r.at('data', n) for n in range(1, 9)] == [0x800, 0, 0x11, 0x22, 0x33, 0x44, 0, 0]
    assert (r.m.reg[6] & 0xffff, r.m.reg[7] & 0xffff, r.m.reg[0] & 0xffff) == (0x22, 0x11, 0x44)





# --- tasks (SDM 3A chapter 7) --------------------------------------------------------------------------------------------------------

TSS_16 = """
    mov byte ptr [gdt + TASK1 + 5], 0x81            # a 286's TSS
    mov word ptr [gdt + TASK1], 0x2b
    mov word ptr [tss1 + 0xe], offset there
    mov word ptr [tss1 + 0x10], 2
    mov word ptr [tss1 + 0x1a], offset stack1
    mov word ptr [tss1 + 0x22], DATA0
    mov word ptr [tss1 + 0x24], CODE16
    mov word ptr [tss1 + 0x26], DATA0
    mov word ptr [tss1 + 0x28], DATA0
"""


BUSY = 'mov al, [gdt + TASK0 + 5]; mov ah, [gdt + TASK1 + 5]; mov [data + {0} * 4], ax\n'


def test_task_jump() -> None:
    """7.2.2, 7.3, table 7-2: JMP moves the busy bit, sets TS, saves the old task behind the JMP, leaves NT and the link alone; and back."""
    r = run('main: put32 tss1, there, CODE0, DATA0, stack1, 0x202; mov ebx, 0x1234; stc\n' + jump('TASK1') + 'a:' + BUSY.format(1) + """
    mov edx, cr0
    pushfd
    pop ecx
    hlt
there:""" + BUSY.format(0) + """
    mov [data + 8], esp
    pushfd
    pop dword ptr [data + 12]
    mov eax, cr0
    mov [data + 16], eax
    clts
""" + jump('TASK0'))
    assert (r.at('data'), r.at('data', 1)) == (0x8b89, 0x898b)
    assert r.at('data', 2) == r.labels['stack1'] and r.at('data', 3) & (IF | NT) == IF and r.at('data', 4) & 8 and r.m.reg[2] & 8
    assert (r.at('tss0', 8), r.m.reg[3], r.at('tss1')) == (r.labels['a'], 0x1234, 0)
    assert r.m.reg[1] & (CF | NT | IF) == CF and r.m.selector[7] == TASK0


def test_task_call_and_iret() -> None:
    """7.4: CALL sets NT and the link, both tasks are busy; IRET goes back, clears NT in what it saves and the busy bit; a second CALL goes on behind IRET."""
    r = run('main: put32 tss1, there, CODE0, DATA0, stack1, 2\n' + call('TASK1') + BUSY.format(1) + call('TASK1') + """
    mov eax, [tss1]
    mov ebx, [tss1 + 0x24]
    hlt
there:""" + BUSY.format(0) + """
    pushfd
    pop dword ptr [data + 8]
    iretd
    mov dword ptr [data + 12], 77
    iretd""")
    assert (r.at('data'), r.at('data', 1), r.at('data', 3)) == (0x8b8b, 0x898b, 77)
    assert r.at('data', 2) & NT and r.m.reg[0] & 0xffff == TASK0 and r.m.reg[3] & NT == 0


def test_task_gates() -> None:
    """7.2.5, 6.12.2: CALL through a task gate; INT n and an exception through one: the error code lies on the new task's stack, and the fault starts again."""
    r = run("""main: put32 tss1, there, CODE0, DATA0, stack1, 2
    put32 tss2, handler, CODE0, DATA0, stack3, 2
    mov dword ptr [gdt + TASK_GATE], TASK1 << 16
    mov dword ptr [gdt + TASK_GATE + 4], 0x8500
    gate 11, data, 0x85, TASK2
    gate 33, data, 0x85, TASK1
    mov byte ptr [gdt + DATA16 + 5], 0x13
""" + call('TASK_GATE') + """
    int 33
    mov eax, DATA16
a:  mov gs, eax
    mov ebx, gs
    hlt
there: inc dword ptr [data]
    iretd
    jmp there
handler:
    pop dword ptr [data + 4]
    mov eax, [tss0 + 0x20]
    mov [data + 8], eax
    mov eax, [tss0 + 0x24]
    mov [data + 12], eax
    mov byte ptr [gdt + DATA16 + 5], 0x93
    iretd""")
    assert r.at('data') == 2 and r.at('data', 1) == DATA16 and r.at('data', 2) == r.labels['a'] and r.m.reg[3] & 0xffff == DATA16
    assert r.at('data', 3) & RF  # saved for the fault


def test_task_from_the_user() -> None:
    """7.3: a task gate of DPL 3 leads from CPL 3 to a task of CPL 0 and back; a TSS of DPL 0 does not."""
    r = run("""main: action 13, skip7
    put32 tss1, there, CODE0, DATA0, stack1, 2
    mov dword ptr [gdt + TASK_GATE], TASK1 << 16
    mov dword ptr [gdt + TASK_GATE + 4], 0xe500
    xor edx, edx
    user outside
outside:
a: """ + call('TASK1') + call('TASK_GATE') + """
    mov ebx, cs
    int 32
there: mov [data], cs
    iretd""")
    assert r.seen('vector', 'error', 'eip')[:1] == [(GP, TASK1, 'a')] and r.notes[1].vector == 32
    assert r.at('data') & 0xffff == CODE0 and r.m.reg[3] == CODE3 | 3


def test_task_of_a_286() -> None:
    """7.6: a 16-bit TSS: 16-bit registers and no CR3; FS and GS are cleared; CALL from and IRET to a 32-bit task."""
    r = run('main:' + TSS_16 + 'mov eax, DATA0; mov fs, eax; mov ebx, 0x12345678; mov word ptr [tss1 + 0x18], 0x4321; \n' + call('TASK1') + """
    mov ecx, fs
    hlt
.code16
there: mov [data], bx
    mov [data + 4], sp
    mov [data + 8], fs
    mov ax, [tss1]
    mov [data + 12], ax
    iret
.code32""")
    assert [r.at('data', n) for n in range(4)] == [0x4321, r.labels['stack1'], 0, TASK0]
    assert r.m.reg[3] == 0x12345678 and r.m.reg[1] == DATA0 and r.at('tss1', 3) >> 16 == r.labels['there'] + 19


def test_task_faults() -> None:
    """Table 7-1: a busy TSS, one that is absent, one too short: the old task's faults, with its EIP and the TSS's selector."""
    r = run("""main: action 13, skip7; action 11, skip7; action 10, skip7
    put32 tss1, there, CODE0, DATA0, stack1, 2
    mov byte ptr [gdt + TASK1 + 5], 0x8b
a: """ + jump('TASK1') + 'mov byte ptr [gdt + TASK1 + 5], 9\nb: ' + jump('TASK1') + 'mov word ptr [gdt + TASK1 + 4], 0x8900; mov word ptr [gdt + TASK1], 0x66\nc: '
            + jump('TASK1') + 'hlt\nthere: hlt')
    assert r.seen('vector', 'error', 'eip') == [(GP, TASK1, 'a'), (NP, TASK1, 'b'), (TS, TASK1, 'c')]


def test_pages_of_a_task() -> None:
    """7.3: the new TSS is read, and written for the link of a CALL only: for JMP its page may be read-only, and stays clean."""
    r = run("""main: call map
    base TASK1, other
    put32 other, there, CODE0, DATA0, stack1, 2
    mov ebx, offset other
    shr ebx, 12
    and dword ptr [table + ebx * 4], ~0x62          # neither writable nor accessed nor dirty
    mov eax, cr3
    mov cr3, eax
    mov eax, cr0
    or eax, 0x10000
    mov cr0, eax
    action 14, skip7
a: """ + call('TASK1') + jump('TASK1') + """
there: hlt""")
    assert r.seen('vector', 'error', 'eip', 'cr2') == [(PF, 3, 'a', r.labels['other'])] and r.at('table', r.labels['other'] >> 12) & 0x62 == 0x20


def test_faults_of_the_new_task() -> None:
    """7.3 step 13, table 7-1: a bad SS, CS or data segment is found in the new task: its EIP is pushed, on a stack of its own where it has one."""
    r = run("""main: action 10, repair; action 11, repair
    put32 tss1, there, CODE0, DATA0, stack1, 2
    mov word ptr [tss1 + 0x54], DATA16              # DS
    mov byte ptr [gdt + DATA16 + 5], 0x13
""" + jump('TASK1') + """
    hlt
repair: mov word ptr [ebp + 4], DATA0               # the DS that is popped
    ret
there: mov eax, [data]
    str ebx
    hlt""")
    assert r.seen('vector', 'error', 'eip') == [(NP, DATA16, 'there')] and r.m.reg[3] & 0xffff == TASK1


# --- NMI (SDM 3A 6.7.1) --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('code, eip', [('cf', 0x100), ('66cf', 0x2345)])
@pytest.mark.parametrize('engine', ENGINES)
def test_iret_lets_the_next_nmi_in(engine: str, code: str, eip: int) -> None:
    """6.7.1: NMIs are blocked until the next IRET is executed, also if it faults: with one that waits, the slice ends there."""
    g = Guest(engine)
    g.real({'cs': 0x200, 'ss': 0x300, 'sp': 0x100, 'ip': 0}, {13 * 4 + n: b for n, b in enumerate(struct.pack('<HH', 0x2345, 0x200))})
    g.memory.write(0x2000, bytes.fromhex(code))
    g.memory.write(0x3100, struct.pack('<HHHIH', 0x100, 0x200, 2, 0, 0))  # as an EIP of 32 bits it is too high
    g.m.nmi = g.m.nmi_blocked = 1
    assert g.cpu.run(100) == 1 and (g.m.nmi_blocked, g.m.nmi, g.m.eip) == (0, 1, eip)


@pytest.mark.parametrize('engine', ENGINES)
def test_an_nmi_waits_for_the_one_before(engine: str) -> None:
    """6.7.1: while an NMI is handled others wait, as one; it comes behind the IRET, before the next instruction of what was interrupted."""
    g = Guest(engine)
    g.real({'cs': 0x200, 'ss': 0x300, 'sp': 0x100, 'ip': 0}, {2 * 4 + n: b for n, b in enumerate(struct.pack('<HH', 0x80, 0x200))})
    g.memory.write(0x2000, bytes.fromhex('41') * 20)  # inc cx
    g.memory.write(0x2080, bytes.fromhex('40 40 40 cf'))  # inc ax, three times; iret
    seen = []
    for _ in range(30):
        g.cpu.nmi()
        g.cpu.interrupt(lambda: 0)
        g.cpu.run(1)
        seen.append((g.m.reg[0], g.m.reg[1], g.m.eip))
    assert seen[:6] == [(1, 0, 0x81), (2, 0, 0x82), (3, 0, 0x83), (3, 0, 0), (4, 0, 0x81), (5, 0, 0x82)]


# --- the FPU ---------------------------------------------------------------------------------------------------------------------------

def test_unmasked_fpu_exception() -> None:
    """SDM 1 8.7.1: with CR0.NE, #MF at the next waiting instruction, with its EIP; FNSTSW, FNCLEX and FNINIT do not wait; 8.1.9: the opcode is kept."""
    r = run("""main: action 16, clear
    mov eax, cr0
    or al, 0x20
    mov cr0, eax
    fninit
    fldcw [control]
    fld1
    fldz
    fdivp st(1), st
    fnstsw ax
    mov [data], ax
a:  fld1
    fnstenv [data + 8]
    fldz
    fldz
    fdivrp st(1), st
    fnclex
    fldz
b:  hlt
clear: fnclex
    ret
control: .word 0x37a""")
    assert r.seen('vector', 'eip') == [(16, 'a')] and r.at('data') & 0x8084 == 0x8084
    assert r.at('data', 6) >> 16 == 0x1e8  # D9 E8
