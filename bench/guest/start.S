/* Multiboot 1 entry of the image: a stack, the x87, then guest_main(information). */
.intel_syntax noprefix
.section .multiboot, "a"
    .long 0x1badb002, 3, -(0x1badb002 + 3)
.text
.globl _start
_start:
    mov esp, offset stack_end
    fninit
    push ebx
    call guest_main
.bss
.p2align 4
    .skip 65536
stack_end:
.section .note.GNU-stack, "", @progbits
