"""What small guests share, as macros for emu/assembler.py, to be put before a guest's text: a multiboot kernel enters flat protected mode with a stack, an interrupt
table and its chips programmed. The guest gives the label `stack`, and `idt` with room for as many gates as it says.
"""

MACROS = r'''
.macro begin                    # the GDT's segments, the stack, the IDT, which has no gates yet
_start:
    lgdt [gdt_register]
    ljmp 8, offset flat
flat:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, offset stack
    lidt [idt_register]
.endm

.macro gate vector, handler     # an interrupt gate
    mov eax, offset \handler
    mov [idt + \vector * 8], ax
    mov dword ptr [idt + \vector * 8 + 2], 8
    shr eax, 16
    mov word ptr [idt + \vector * 8 + 4], 0x8e00
    mov [idt + \vector * 8 + 6], ax
.endm

.macro program chips:vararg     # ports below 100h and what is written to them, in turn
    .pushsection .rodata
first_\@: .byte \chips
last_\@:
    .popsection
    mov esi, offset first_\@
write_\@:
    movzx edx, byte ptr [esi]
    mov al, [esi + 1]
    out dx, al
    add esi, 2
    cmp esi, offset last_\@
    jb write_\@
.endm

.macro descriptors gates        # data of `begin`
.balign 8
gdt: .quad 0, 0xcf9b000000ffff, 0xcf93000000ffff
gdt_register: .word 23; .long gdt
idt_register: .word \gates * 8 - 1; .long idt
.endm
'''
