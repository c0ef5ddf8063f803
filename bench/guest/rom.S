/* The multiboot image as a PC's ROM, for a machine without other firmware: from the reset vector to flat 32-bit mode (SDM volume 3, 9.9.1), then the image
   is copied to where it is linked and entered. Given are IMAGE, a file of LENGTH bytes, its LOAD and ENTRY, WORDS for the command line, and SIZE, the ROM's. */
.intel_syntax noprefix
.text
image: .incbin IMAGE
information: .long 1 << 2, 0, 0, 0, words        /* of multiboot: there is a command line */
words: .asciz WORDS

.org SIZE - 0x10000                              /* the segment that a reset begins in */
segment:
descriptors: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table: .word table - descriptors - 1
    .long descriptors

.code16
real:
    mov bx, offset table - segment
    lgdtd cs:[bx]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                             /* jmp 8:protected */
    .long protected
    .word 8
.code32
protected:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov dx, 0x3fb                                /* COM1's line control: 8 bits a character */
    mov al, 3
    out dx, al
    mov esi, offset image
    mov edi, LOAD
    mov ecx, LENGTH
    rep movsb
    mov eax, 0x2badb002
    mov ebx, offset information
    mov edx, ENTRY
    jmp edx

.org SIZE - 16                                   /* the reset vector */
.code16
    jmp real
.org SIZE
.section .note.GNU-stack, "", @progbits
