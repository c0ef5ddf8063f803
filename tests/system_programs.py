"""Small guest programs for modes, tasks and traps, run on all engines, which must end in the same state.

PRELUDE enters flat protected mode at CPL 0 with gates for all exceptions. Each delivery is noted in `log`; then the action of its vector runs, if it has one, with
EBP at the frame (what the handler saved, then vector, error code, EIP, CS, EFLAGS, ESP, SS, ...), and IRET goes back. A program begins at `main`, ends in HLT.
"""
import struct
from functools import cache
from typing import Any, NamedTuple

from emu.assembler import assemble_object, link
from emu.isa.segments import set_segment, update_mode
from emu.isa.state import CS
from tests.harness import ENGINES, Guest
from tests.programs import architecture, differences

ORIGIN, SIZE, PATIENCE = 0x1000, 0xf000, 20000  # everything below 64 KB, so that 16-bit code reaches it
CODE0, DATA0, CODE3, DATA3, TASK0, TASK1, TASK2, LDT, GATE0, GATE1, CODE16, DATA16, TASK_GATE, CONFORMING = range(8, 8 * 15, 8)
NAMES = 'CODE0 DATA0 CODE3 DATA3 TASK0 TASK1 TASK2 LDT GATE0 GATE1 CODE16 DATA16 TASK_GATE CONFORMING'.split()
EQUATES = ''.join(f'{name} = {8 + 8 * n}\n' for n, name in enumerate(NAMES))

PRELUDE = EQUATES + '''
.macro stub n, code
    .balign 16
    .ifeq \\code
    push 0
    .endif
    push \\n
    jmp noted
.endm
.macro gate n, offset, kind, selector=CODE0         # kind: present, DPL, type
    mov eax, offset \\offset
    mov [idt + \\n * 8], ax
    mov word ptr [idt + \\n * 8 + 2], \\selector
    shr eax, 16
    mov [idt + \\n * 8 + 6], ax
    mov word ptr [idt + \\n * 8 + 4], \\kind << 8
.endm
.macro base selector, address                       # a descriptor's base
    mov eax, offset \\address
    mov [gdt + \\selector + 2], ax
    shr eax, 16
    mov [gdt + \\selector + 4], al
    mov [gdt + \\selector + 7], ah
.endm
.macro action n, offset
    mov dword ptr [actions + \\n * 4], offset \\offset
.endm
.macro user label                                   # to CPL 3, with IOPL 0 and the flags that EDX adds
    mov eax, DATA3 | 3
    mov ds, eax
    mov es, eax
    push eax
    mov eax, offset stack3
    push eax
    or edx, 2
    push edx
    push CODE3 | 3
    mov eax, offset \\label
    push eax
    iretd
.endm
.macro put32 task, eip, cs, ss, esp, flags          # a 32-bit TSS with flat segments
    mov dword ptr [\\task + 0x20], offset \\eip
    mov dword ptr [\\task + 0x24], \\flags
    mov dword ptr [\\task + 0x38], offset \\esp
    mov dword ptr [\\task + 0x48], \\ss
    mov dword ptr [\\task + 0x4c], \\cs
    mov dword ptr [\\task + 0x50], \\ss
    mov dword ptr [\\task + 0x54], \\ss
    mov dword ptr [\\task + 0x66], 0x68
    mov eax, cr3
    mov [\\task + 0x1c], eax
.endm

    lgdt [gdt_register]
    ljmp CODE0, offset flat
flat:
    mov eax, DATA0
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov fs, eax
    mov gs, eax
    mov esp, offset stack0
    base TASK0, tss0
    base TASK1, tss1
    base TASK2, tss2
    base LDT, ldt
    xor ecx, ecx
gates:
    mov eax, ecx
    shl eax, 4
    add eax, offset stubs
    mov [idt + ecx * 8], ax
    mov word ptr [idt + ecx * 8 + 2], CODE0
    mov word ptr [idt + ecx * 8 + 4], 0x8e00
    shr eax, 16
    mov [idt + ecx * 8 + 6], ax
    inc ecx
    cmp ecx, 34
    jb gates
    mov byte ptr [idt + 3 * 8 + 5], 0xee            # INT3, INT 32 and 33 from CPL 3 too
    mov byte ptr [idt + 32 * 8 + 5], 0xee
    mov byte ptr [idt + 33 * 8 + 5], 0xee
    lidt [idt_register]
    mov dword ptr [tss0 + 4], offset inner0
    mov dword ptr [tss0 + 8], DATA0
    mov dword ptr [tss0 + 0x66], 0x68               # no I/O permission bitmap
    mov eax, TASK0
    ltr ax
    mov dword ptr [log], offset entries
    mov dword ptr [actions + 32 * 4], offset finish
    jmp main

noted:
    pushad
    .byte 0x1e, 0x06                                # push ds, push es; LLVM's are 16 bits wide
    mov eax, DATA0
    mov ds, eax
    mov es, eax
    mov ebp, esp
    cld
    mov edi, [log]
    lea esi, [ebp + 40]
    mov ecx, 5
copy:
    mov eax, ss:[esi]
    stosd
    add esi, 4
    dec ecx
    jnz copy
    mov eax, cr2
    stosd
    mov eax, dr6
    stosd
    mov [log], edi
    mov eax, 0xffff0ff0
    mov dr6, eax
    mov eax, [ebp + 40]
    mov eax, [actions + eax * 4]
    test eax, eax
    jz back
    call eax
back:
    .byte 0x07, 0x1f                                # pop es, pop ds
    popad
    add esp, 8
    iretd
finish:                                             # action: the end, with the program's registers
    add esp, 4
    .byte 0x07, 0x1f
    popad
    hlt
resume:                                             # actions: IRET with RF
    or dword ptr [ebp + 56], 0x10000
    ret
skip2:                                              # IRET behind an instruction of 2 (3, 6, 7) bytes
    add dword ptr [ebp + 48], 2
    ret
skip3:
    add dword ptr [ebp + 48], 3
    ret
skip6:
    add dword ptr [ebp + 48], 6
    ret
skip7:
    add dword ptr [ebp + 48], 7
    ret
map:                                                # the first 4 MB, one to one, for everybody; paging on
    mov ecx, 1024
    mov edi, offset table
    mov eax, 7
page:
    stosd
    add eax, 4096
    loop page
    mov dword ptr [directory], offset table + 7
    mov eax, offset directory
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    ret
.balign 16
stubs:
    stub 0, 0
    stub 1, 0
    stub 2, 0
    stub 3, 0
    stub 4, 0
    stub 5, 0
    stub 6, 0
    stub 7, 0
    stub 8, 1
    stub 9, 0
    stub 10, 1
    stub 11, 1
    stub 12, 1
    stub 13, 1
    stub 14, 1
    stub 15, 0
    stub 16, 0
    stub 17, 1
    .irp n, 18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33
    stub \\n, 0
    .endr
.balign 8
gdt:
    .quad 0, 0xcf9b000000ffff, 0xcf93000000ffff, 0xcffb000000ffff, 0xcff3000000ffff
    .quad 0x890000000067, 0x890000000067, 0x890000000067, 0x82000000000f
    .quad 0, 0, 0x009b000000ffff, 0x0093000000ffff, 0, 0xcf9f000000ffff
gdt_register: .word 8 * 15 - 1; .long gdt
idt_register: .word 8 * 34 - 1; .long idt
'''

POSTLUDE = '''
.balign 4096
data: .skip 4096
other: .skip 4096
actions: .skip 34 * 4
log: .skip 8
idt: .skip 34 * 8
ldt: .skip 64
.balign 128
tss0: .skip 128
tss1: .skip 128
tss2: .skip 128
ending: .long 0
.balign 4096
entries: .skip 4096
.skip 1024
inner0:
.skip 1024
stack0:
.skip 1024
stack1:
.skip 1024
stack3:
.balign 4096
directory: .skip 4096
table: .skip 4096
end: .long 0
'''


class Note(NamedTuple):
    """A delivery as its handler saw it."""

    vector: int
    error: int
    eip: int
    cs: int
    eflags: int
    cr2: int
    dr6: int


class Run(NamedTuple):
    """What a program left behind, the same with every engine."""

    notes: list[Note]
    labels: dict[str, int]
    guest: Guest

    @property
    def m(self) -> Any:
        """State at the end."""
        return self.guest.m

    def at(self, label: str, n: int = 0) -> int:
        """The n-th dword from a label on."""
        return struct.unpack('<I', self.guest.memory.read(self.labels[label] + 4 * n, 4))[0]

    def seen(self, *fields: str) -> list[tuple[Any, ...]]:
        """Some fields of all notes; an EIP by its label, if it has one."""
        names = {v: k for k, v in self.labels.items()}
        return [tuple(names.get(note.eip, note.eip) if f == 'eip' else getattr(note, f) for f in fields) for note in self.notes]


@cache
def guest(engine: str) -> Guest:
    """One machine for each engine."""
    return Guest(engine)


def load(g: Guest, code: bytes) -> None:
    """Puts a program into memory that is else empty; what stays as it was keeps its translations."""
    image = bytes(ORIGIN) + code
    image += bytes(SIZE + ORIGIN - len(image))
    for at in range(0, len(image), 64):
        if g.memory.ram[at:at + 64] != image[at:at + 64]: g.memory.write(at, image[at:at + 64])


def go(engine: str, code: bytes, slices: int) -> Guest:
    """Runs a program from a boot loader's state: protected mode, flat segments without a GDT."""
    g = guest(engine)
    m = g.m
    load(g, code)
    g.cpu.reset()
    m.retired = 0
    m.cr0 = 0x11
    for n in range(6): set_segment(m, n, 8, 0xcf9b000000ffff if n == CS else 0xcf93000000ffff)
    m.eip = ORIGIN
    update_mode(m)
    left = PATIENCE
    while left > 0 and not m.halted and not m.shutdown: left -= max(1, g.cpu.run(min(left, slices)))
    return g


def run(source: str, bits: int = 32, ends: bool = True) -> Run:
    """Runs a program (or a whole image, where it has no `main`) on every engine, and on two in short slices; `ends`: it has to halt."""
    text = PRELUDE + '.balign 4096\n' + source + POSTLUDE
    program = link(assemble_object(text, bits), ORIGIN)
    first, seen, memory = None, None, b''
    for engine, slices in [*((engine, PATIENCE) for engine in ENGINES), ('interpreter', 3), ('stencils', 7)]:
        g = go(engine, program.code, slices)
        state = architecture(g.m)
        if first is None: first, seen, memory = g, state, bytes(g.memory.ram)
        assert seen and not differences(seen, state), f'{engine} in slices of {slices}: {differences(seen, state)}'
        assert memory == bytes(g.memory.ram), f'{engine} in slices of {slices}: memory differs'
    assert first
    entries = program.labels['entries']
    count = (struct.unpack('<I', first.memory.read(program.labels['log'], 4))[0] - entries) // 28
    notes = [Note(*struct.unpack('<7I', first.memory.read(entries + 28 * n, 28))) for n in range(max(count, 0))]
    assert first.m.halted or not ends, f'did not end: at {first.m.eip:x}, {notes[-3:]}'
    return Run(notes, program.labels, first)


def enter_v86(flags: int) -> str:
    """IRET to virtual-8086 mode: CS = SS = 0, ES 11h, DS 22h, FS 33h, GS 44h."""
    return f"""
    push 0x44
    push 0x33
    push 0x22
    push 0x11
    push 0
    push 0x800
    push {0x20002 | flags}
    push 0
    mov eax, offset v86
    push eax
    iretd
.code16
v86:
"""


def jump(selector: str) -> str:
    """A far JMP to a task; LLVM has no symbol for a selector."""
    return f'.byte 0xea; .long 0; .word {selector}\n'


def call(selector: str) -> str:
    """A far CALL to one."""
    return f'.byte 0x9a; .long 0; .word {selector}\n'
