"""Breakpoints, RF, single step and alignment checks (SDM 3B 17.2, 17.3; SDM 3A 6.15), by small guest programs on all engines."""
from emu.isa.flags import AC, IF, RF, TF, VM
from emu.isa.language import AC as ALIGNMENT
from emu.isa.language import BP, DB, GP, NP, PF, UD
from tests.system_programs import CODE3, DATA16, enter_v86, jump, run

DR6 = 0xffff0ff0  # without any condition
B0, B1, B2, B3, BD, BS, BT = (1 << n for n in (0, 1, 2, 3, 13, 14, 15))


# --- breakpoints (SDM 3B 17.2, 17.3.1) ------------------------------------------------------------------------------------------

def dr7(**kinds: int) -> int:
    """DR7 with some breakpoints enabled globally; each: R/W + LEN << 2."""
    return 0x400 | sum(2 << 2 * int(k[1]) | v << 16 + 4 * int(k[1]) for k, v in kinds.items())


def arm(n: int, place: str | int, **kinds: int) -> str:
    """Sets one address register, to a label's address or a port, and DR7."""
    return f'mov eax, {f"offset {place}" if isinstance(place, str) else place}; mov dr{n}, eax; mov eax, {dr7(**kinds)}; mov dr7, eax\n'


EXECUTE, WRITE, PORT, ACCESS = 0, 1, 2, 3
BYTE, WORD, DWORD = 0, 4, 12


def test_instruction_breakpoint() -> None:
    """17.3.1.1: a fault before the instruction, with RF clear in the image; with RF it is executed, and the next time it strikes again."""
    r = run('main: action 1, resume; mov ecx, 3\n' + arm(0, 'here', b0=EXECUTE) + '''
here: inc dword ptr [data]
    dec ecx
    jnz here
    hlt''')
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'here', DR6 | B0)] * 3 and r.at('data') == 3
    assert [note.eflags & RF for note in r.notes] == [0, 0, 0] and r.m.eflags & RF == 0


def test_instruction_breakpoint_of_a_neighbour() -> None:
    """17.2.5: it strikes where the instruction's first byte is, prefixes included, and only there."""
    r = run('main: action 1, resume\n' + arm(3, 'inside + 1', b3=EXECUTE) + 'inside: lock inc dword ptr [data]\n' + arm(3, 'first', b3=EXECUTE)
            + 'first: lock inc dword ptr [data]; hlt')
    assert r.seen('eip', 'dr6') == [('first', DR6 | B3)] and r.at('data') == 2


def test_instruction_breakpoint_on_a_repetition() -> None:
    """17.3.1.1: between iterations RF is set, so it strikes once; a trap in the middle pushes RF."""
    r = run('main: action 1, resume; mov edi, offset data; mov ecx, 5\n' + arm(0, 'here', b0=EXECUTE) + 'mov al, 1\nhere: rep stosb; hlt')
    assert r.seen('eip') == [('here',)] and r.at('data') == 0x01010101 and r.m.reg[1] == 0


def test_rf_without_a_fault() -> None:
    """SDM 2 PUSHF and POPF: the image never has RF; 17.3.1.1: IRET sets it for one instruction; POPF never."""
    r = run('main: action 1, resume\n' + arm(0, 'here', b0=EXECUTE) + '''
    push 0x10002
    popfd
here: pushfd
    pop dword ptr [data]
    push 0x10002
    push CODE0
    mov eax, offset here2
    push eax
    iretd
here2: nop
    push 0x10002
    push CODE0
    mov eax, offset here3
    push eax
    mov dr0, eax
    iretd
here3: hlt''')
    assert r.seen('eip') == [('here',)] and r.at('data') == 2


def test_data_breakpoints() -> None:
    """17.2.5 and 17.3.1.2: traps behind the instruction; bytes that overlap strike, addresses are aligned by LEN, reads only with R/W = 3."""
    r = run('main: mov ebx, offset data\n' + arm(1, 'data + 5', b1=WRITE | DWORD) + '''
    mov [ebx + 3], al
    mov [ebx + 8], eax
    mov eax, [ebx + 4]
    mov [ebx + 1], eax
a:  mov [ebx + 7], al
b:  add word ptr [ebx + 6], 1
c:  push dword ptr [ebx + 4]
    pop dword ptr [ebx + 4]
d:
''' + arm(2, 'data + 9', b1=WRITE | DWORD, b2=ACCESS | BYTE) + '''
    mov al, [ebx + 8]
    mov al, [ebx + 10]
    mov ax, [ebx + 8]
e:  mov [ebx + 4], ebp
f:  mov ecx, [ebx + 6]
g:  hlt''')
    assert r.seen('vector', 'eip', 'dr6') == [(DB, x, DR6 | B1) for x in 'abcd'] + [(DB, 'e', DR6 | B2), (DB, 'f', DR6 | B1), (DB, 'g', DR6 | B2)]
    assert all(note.eflags & RF == 0 for note in r.notes)


def test_several_breakpoints_at_once() -> None:
    """17.2.3: DR6 has a bit for each condition; BS for the single step among them."""
    r = run('main: action 1, plain; mov ebx, offset data\n' + arm(0, 'data', b0=WRITE | DWORD) + arm(1, 'data + 2', b0=WRITE | DWORD, b1=ACCESS | WORD) + '''
    pushfd
    or dword ptr [esp], 0x100
    popfd
    mov [ebx], ebx
a:  hlt
plain: and dword ptr [ebp + 56], ~0x100
    ret''')
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'a', DR6 | B0 | B1 | BS)]


def test_repeated_string_and_data() -> None:
    """17.3.1.2: the trap comes after the iteration that meets it, RF set in the image if there are more."""
    r = run('main: action 1, count; mov edi, offset data; mov esi, offset other; mov ecx, 6\n' + arm(0, 'data + 3', b0=WRITE | BYTE)
            + arm(1, 'other + 5', b0=WRITE | BYTE, b1=ACCESS | BYTE) + '''
here: rep movsb
done: hlt
count: mov eax, [ebp + 32]                          # ECX
    mov edx, [data + 64]
    mov [data + 68 + edx * 4], eax
    inc dword ptr [data + 64]
    ret''')
    assert r.seen('eip', 'dr6') == [('here', DR6 | B0), ('done', DR6 | B1)]
    assert [note.eflags & RF for note in r.notes] == [RF, 0] and [r.at('data', 17 + n) for n in range(2)] == [2, 0]


def test_port_breakpoints() -> None:
    """17.2.4 and 17.3.1.3: with CR4.DE, R/W = 2 is an I/O breakpoint: a trap after IN, OUT, INS, OUTS."""
    r = run('main: mov dx, 0x60; mov edi, offset data; mov esi, edi\n' + arm(2, 0x62, b2=PORT | WORD) + '''
    in al, 0x62                                     # CR4.DE is clear
    mov eax, 8
    mov cr4, eax
    in al, 0x61
    in al, 0x62
a:  in eax, dx
b:  out 0x64, al
    out 0x63, al
c:  mov dx, 0x62
    insb
d:  mov ecx, 2
e:  rep outsb
f:  mov eax, [0x62]
    hlt''')
    assert r.seen('eip', 'dr6') == [(x, DR6 | B2) for x in 'abcdef']


def test_a_fault_hides_the_data_breakpoint() -> None:
    """Table 17-2: a trap is reported when its instruction is done; one that faults is not, and strikes when it is restarted."""
    r = run('''main: call map
    mov ebx, offset other
    shr ebx, 12
    and dword ptr [table + ebx * 4], ~1
    invlpg [other]
    action 14, present
    mov esi, offset data
    mov edi, offset other
''' + arm(0, 'data', b0=ACCESS | BYTE) + '''
a:  movsb
b:  hlt
present: or dword ptr [table + ebx * 4], 1
    invlpg [other]
    ret''')
    assert r.seen('vector', 'eip', 'error') == [(PF, 'a', 2), (DB, 'b', 0)] and r.notes[0].eflags & RF
    assert r.notes[0].cr2 == r.labels['other'] and r.notes[1].dr6 == DR6 | B0


def test_stack_segment_holds_the_trap() -> None:
    """SDM 3A 6.8.3: after MOV SS and POP SS a debug trap waits for the next instruction; if that is INT n, it comes in the handler."""
    r = run('main: mov word ptr [data], DATA0\n' + arm(0, 'data', b0=ACCESS | WORD) + '''
    mov ss, [data]
    mov esp, offset stack0
a:  mov ss, [data]
    int 33
b:  hlt''')
    assert r.seen('vector', 'eip') == [(DB, 'a'), (DB, r.labels['stubs'] + 33 * 16), (33, 'b')]


def test_breakpoint_behind_the_stack_segment() -> None:
    """17.3.1.1: on the instruction behind MOV SS or POP SS a breakpoint does not strike, as if RF were 1; on the one after that, and where a jump leads there, it does."""
    r = run('main: action 1, resume; mov ecx, ss\n' + arm(0, 'here', b0=EXECUTE) + arm(1, 'there', b0=EXECUTE, b1=EXECUTE) + """
    mov ss, ecx
here: inc dword ptr [data]
    cmp dword ptr [data], 2
    jb here
    push ecx
    .byte 0x17                                      # pop ss
    nop
there: mov eax, offset behind
    mov dr1, eax
    push ecx
    .byte 0x17
behind: hlt""")
    assert r.seen('eip', 'dr6') == [('here', DR6 | B0), ('there', DR6 | B1)] and r.at('data') == 2


def test_compare_and_exchange_always_writes() -> None:
    """SDM 2 CMPXCHG, CMPXCHG8B: the destination receives a write cycle without regard to the result of the comparison."""
    r = run('main: mov ebx, offset data\n' + arm(0, 'data', b0=WRITE | DWORD) + """
    mov eax, 5
    cmpxchg [ebx], ecx
a:  mov eax, 5
    mov dword ptr [ebx + 4], 1
    cmpxchg8b [ebx]
b:  hlt""")
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'a', DR6 | B0), (DB, 'b', DR6 | B0)] and (r.m.reg[0], r.m.reg[2]) == (0, 1)


def test_delivery_on_a_watched_stack() -> None:
    """What the processor writes for an interrupt counts: the trap comes at the handler's first instruction."""
    r = run('main:\n' + arm(0, 'stack0 - 4', b0=WRITE | DWORD) + 'int 33\na: hlt')
    assert r.seen('vector', 'eip') == [(DB, r.labels['stubs'] + 33 * 16), (33, 'a')]


def test_general_detect() -> None:
    """17.2.4: with DR7.GD a MOV of a debug register is a fault, BD says so, GD is cleared for the handler."""
    r = run('main: mov eax, 0x2400; mov dr7, eax\na: mov eax, dr0\n mov eax, dr7; hlt')
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'a', DR6 | BD)] and r.notes[0].eflags & RF and r.m.reg[0] == 0x400


def test_general_detect_ends_with_any_debug_exception() -> None:
    """17.2.4: GD is cleared on the way to the handler of each #DB, so that it may use the debug registers."""
    r = run("""main: action 1, look
    mov eax, 0x2400
    mov dr7, eax
    push 0x102
    popfd
    nop
a:  hlt
look: mov eax, dr7
    mov [data], eax
    and dword ptr [ebp + 56], ~0x100
    ret""")
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'a', DR6 | BS)] and r.at('data') == 0x400


def test_debug_registers_that_are_not_there() -> None:
    """17.2.2: with CR4.DE, DR4 and DR5 are #UD; SDM 3A table 6-2: that comes before the question of privilege."""
    r = run("""main: action 6, skip3; action 13, skip3
    mov eax, 8
    mov cr4, eax
a:  .byte 0x0f, 0x21, 0xe0                          # mov eax, dr4
    xor edx, edx
    user there
there: .byte 0x0f, 0x23, 0xe8                       # mov dr5, eax
b:  mov eax, dr6
    int 32""")
    assert r.seen('vector', 'eip')[:3] == [(UD, 'a'), (UD, 'there'), (GP, 'b')]


def test_code_next_to_a_breakpoint_stays_right() -> None:
    """A breakpoint that comes and goes: translations of its page are left and found again."""
    r = run('''main: action 1, resume
    mov esi, 4
round:
    mov ecx, 40
loop:
    call add
    dec ecx
    jnz loop
    mov eax, offset add
    mov dr0, eax
    mov eax, dr7
    xor eax, 2                                      # G0
    mov dr7, eax
    dec esi
    jnz round
    hlt
add: inc dword ptr [data]
    ret''')
    assert len(r.notes) == 80 and r.at('data') == 160


# --- single step (SDM 3B 17.3.1.4) and shadows --------------------------------------------------------------------------------

TRACE = """main:
    push 0x102
    popfd
"""


def test_single_step() -> None:
    """One trap after each instruction but the one that sets TF; INT n has none, its handler is not traced; MOV SS puts it off; REP: each iteration."""
    r = run(TRACE + """
    nop
a:  mov eax, ss
b:  mov ss, eax
    nop
c:  int 33
d:  mov ecx, 2
e:  mov edi, offset data
f:  rep stosb
g:  pushfd
h:  and dword ptr [esp], ~0x100
i:  popfd
j:  hlt""")
    assert r.seen('vector', 'eip') == [(DB, 'a'), (DB, 'b'), (DB, 'c'), (33, 'd'), (DB, 'e'), (DB, 'f'), (DB, 'f'), (DB, 'g'), (DB, 'h'), (DB, 'i'), (DB, 'j')]
    assert all(note.dr6 == DR6 | BS for note in r.notes if note.vector == DB) and all(note.eflags & TF for note in r.notes[:-1])
    assert all(note.dr6 == DR6 for note in r.notes if note.vector == 33)


def test_resume_flag_under_single_step() -> None:
    """17.3.1.1: the image of a trap has RF behind an IRET that has set it, and between repetitions; no breakpoint is needed for that."""
    r = run(TRACE + """
    push 0x10102
    push CODE0
    mov eax, offset a
    push eax
    iretd
a:  mov ecx, 2
b:  mov edi, offset data
c:  rep stosb
d:  pushfd
    and dword ptr [esp], ~0x100
    popfd
e:  hlt""")
    assert [(eip, flags & RF) for eip, flags in r.seen('eip', 'eflags')[4:9]] == [('a', RF), ('b', 0), ('c', 0), ('c', RF), ('d', 0)]


def test_single_step_over_a_fault() -> None:
    """A fault comes instead of the trap, with TF in its image; the trap follows when the instruction is done."""
    r = run("""main: action 11, lift
    mov byte ptr [gdt + DATA16 + 5], 0x13           # not present
    push 0x102
    popfd
    nop
a:  les ebx, [pointer]
b:  and dword ptr [esp - 4], 0
c:  hlt
lift: mov byte ptr [gdt + DATA16 + 5], 0x93
    mov dword ptr [actions + 4], offset plain
    ret
plain: and dword ptr [ebp + 56], ~0x100
    ret
pointer: .long 7; .word DATA16""")
    assert r.seen('vector', 'error', 'eip') == [(DB, 0, 'a'), (NP, DATA16, 'a'), (DB, 0, 'b')] and r.notes[1].eflags & (TF | RF) == TF | RF
    assert r.m.reg[3] == 7


def test_single_step_into_the_user_and_back() -> None:
    """TF survives IRET to CPL 3 and is cleared on the way in (SDM 3A 6.12.1.3)."""
    r = run("""main: mov edx, 0x100
    user there
there: nop
a:  inc eax
b:  int 33
c:  int 32""")
    assert r.seen('vector', 'eip', 'cs') == [(DB, 'a', CODE3 | 3), (DB, 'b', CODE3 | 3), (33, 'c', CODE3 | 3), (32, r.labels['c'] + 2, CODE3 | 3)]
    assert r.m.eflags & TF == 0


def test_hlt_and_single_step() -> None:
    """The trap ends HLT (SDM 2, HLT: debug exceptions resume execution)."""
    r = run("""main: action 1, plain
    push 0x102
    popfd
    hlt
a:  hlt
plain: and dword ptr [ebp + 56], ~0x100
    ret""")
    assert r.seen('vector', 'eip') == [(DB, 'a')] and r.m.eip == r.labels['a'] + 1


# --- alignment checks (SDM 3A 6.15, interrupt 17) ------------------------------------------------------------------------------

def test_alignment() -> None:
    """#AC(0) at CPL 3 with CR0.AM and EFLAGS.AC, by the size of the datum; not at CPL 0; the instruction can be restarted."""
    r = run("""main: call map
    mov eax, cr0
    or eax, 0x40000
    mov cr0, eax
    action 17, skip3
    mov ebx, offset data
    fninit
    mov edx, 0x40000
    user there
there: mov eax, [ebx + 4]
    mov al, [ebx + 1]
    mov [ebx + 2], ax
a:  mov eax, [ebx + 2]
b:  add [ebx + 1], eax
    fldz
    fst qword ptr [ebx + 8]
c:  fst qword ptr [ebx + 4]
    fstp tbyte ptr [ebx + 16]
    fnsave [ebx + 32]
    frstor [ebx + 32]
    inc esp
d:  push dword ptr [ebx + 4]
    dec esp
    push 2
    popfd
    mov eax, [ebx + 1]
    int 32""")
    assert r.seen('vector', 'error', 'eip') == [(ALIGNMENT, 0, x) for x in 'abc'] + [(ALIGNMENT, 0, 'd'), (32, 0, r.notes[-1].eip)]
    assert all(note.eflags & RF and note.eflags & AC for note in r.notes[:-1])


def test_shadow_under_single_step() -> None:
    """SDM 2 STI: IF is set at once, debug traps are not held off."""
    r = run(TRACE + """
    sti
a:  nop
b:  and dword ptr [esp - 4], 0
c:  cli
d:  pushfd
e:  and dword ptr [esp], ~0x100
f:  popfd
g:  hlt""")
    assert r.seen('vector', 'eip') == [(DB, x) for x in 'abcdefg'] and r.notes[0].eflags & IF


def test_v86_and_single_step() -> None:
    """The trap enters the monitor with VM and TF in the image, and goes on behind it."""
    r = run("main: action 3, finish" + enter_v86(0x3100) + """
    inc ax
a:  mov ss, bx
    mov sp, 0x700
b:  pushf
c:  int3
d:
.code32
""")
    assert r.seen('vector', 'eip') == [(DB, 'a'), (DB, 'b'), (DB, 'c'), (BP, 'd')] and all(note.eflags & (VM | TF) == VM | TF for note in r.notes)


def test_task_switch_trap_and_breakpoints() -> None:
    """SDM 3B 17.3.1.5: the T bit: #DB (BT) before the new task's first instruction; 17.2.4: local breakpoints end with the task, global ones stay."""
    r = run("""main: action 1, resume
    put32 tss1, there, CODE0, DATA0, stack1, 2
    mov word ptr [tss1 + 0x64], 1
""" + arm(0, 'here', b0=EXECUTE) + """
    mov eax, offset there2
    mov dr1, eax
    mov eax, 0x406
    mov dr7, eax
""" + jump('TASK1') + """
    hlt
there: nop
here: nop
there2: mov eax, dr7
    hlt""")
    assert r.seen('vector', 'eip', 'dr6') == [(DB, 'there', DR6 | BT), (DB, 'here', DR6 | B0)] and r.m.reg[0] == 0x402


def test_rf_of_a_task() -> None:
    """SDM 3B 17.3.1.1: a task switch loads RF from the TSS."""
    r = run('main: put32 tss1, there, CODE0, DATA0, stack1, 0x10002\n' + arm(0, 'there', b0=EXECUTE) + jump('TASK1') + """
    hlt
there: inc dword ptr [data]
    hlt""")
    assert r.notes == [] and r.at('data') == 1
