/* Code that rewrites itself; code, data and stack in one page; 16,000 small functions. Writable and executable sections, cdecl. */
.intel_syntax noprefix

.section .rwx, "awx", @progbits
.globl rewrite
.p2align 6
rewrite:                                /* each round changes a constant, then an opcode, right before they run */
    mov ecx, [esp + 4]
    xor eax, eax
1:  mov [2f + 1], ecx
2:  add eax, 0x12345678                 /* 05 and 4 bytes */
    mov edx, ecx
    and edx, 3
    mov dl, [opcodes + edx]
    mov [3f], dl
3:  xor eax, 0x9e3779b9
    rol eax, 7
    dec ecx
    jnz 1b
    ret
opcodes: .byte 0x05, 0x2d, 0x35, 0x0d   /* add, sub, xor, or eax, imm32 */

.globl together
.p2align 12
together:                               /* a page as a DOS .COM program's: code, data, stack; 15 instructions and 11 accesses a round */
    mov ecx, [esp + 4]
    push ebx
    mov [old_esp], esp
    mov esp, offset stack_top
    xor eax, eax
    mov [data], eax
    mov [data + 4], eax
1:  push ecx
    call 2f
    pop ecx
    add [data], eax
    dec ecx
    jnz 1b
    mov eax, [data]
    mov esp, [old_esp]
    pop ebx
    ret
2:  push eax
    mov ebx, [data + 4]
    lea ebx, [ebx * 8 + ebx + 1]
    mov [data + 4], ebx
    pop eax
    add eax, ebx
    rol eax, 3
    ret
.p2align 10
data: .long 0, 0
old_esp: .long 0
.p2align 12
stack_top:

.text
.set number, 0
.rept 16000
.p2align 4
1:  mov eax, [esp + 4]
    xor eax, number * 40503 + 7
    rol eax, number % 31 + 1
    test al, 1 << (number % 7)
    jz 2f
    add eax, number
2:  ret
.pushsection .rodata
    .long 1b
.popsection
.set number, number + 1
.endr

.section .rodata
.globl function_table_end
function_table_end:

.globl functions
.text
functions:                              /* calls them in turn, what one returns to the next */
    push ebx
    push esi
    mov esi, [esp + 12]
    xor eax, eax
1:  mov ebx, offset function_table_end - 4 * 16000
2:  push eax
    call [ebx]
    add esp, 4
    add ebx, 4
    cmp ebx, offset function_table_end
    jb 2b
    dec esi
    jnz 1b
    pop esi
    pop ebx
    ret
.section .note.GNU-stack, "", @progbits
