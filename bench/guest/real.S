/* 16-bit kernels in real mode, the platform on a bare PC: each goes there and comes back. A sieve in one segment, and a large-model program's far calls
   with far pointers. native.c has the same in C, for the checksums. */
.intel_syntax noprefix
.set CODE, 0x10000                      /* where the 16-bit part runs; its data, its stack */
.set DATA, 0x2000
.set STACK, 0x3000
.set SIZE, 30000                        /* of the sieve */

.text
.globl real_sieve, real_calls
real_sieve:
    mov edx, offset sieve16 - begin
    jmp 1f
real_calls:
    mov edx, offset calls16 - begin
1:  mov ecx, [esp + 4]
    push ebx
    push esi
    push edi
    push ebp
    mov ebx, edx
    mov edx, ecx
    mov esi, offset begin
    mov edi, CODE
    mov ecx, offset end - begin
    cld
    rep movsb
    mov ecx, edx
    mov [old_esp], esp
    lgdt [table]
    .byte 0xea                          /* jmp 18h:protected16 */
    .long protected16 - begin
    .word 0x18
back:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov esp, [old_esp]
    mov eax, ebx
    pop ebp
    pop edi
    pop esi
    pop ebx
    ret

.code16
begin:
protected16:
    mov ax, 0x20
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov fs, ax
    mov gs, ax
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    .byte 0xea                          /* jmp 1000h:real */
    .word real - begin, CODE >> 4
real:
    mov ax, DATA
    mov ds, ax
    mov es, ax
    mov ax, STACK
    mov ss, ax
    xor esp, esp
    cld
    call bx
    mov ebx, eax
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea                    /* jmp 8:back */
    .long back
    .word 8

sieve16:                                /* ECX rounds: EAX = EAX * 31 + the primes below SIZE */
    xor eax, eax
1:  push ecx
    push eax
    xor di, di
    mov al, 1
    mov cx, SIZE
    rep stosb
    mov si, 2
2:  cmp byte ptr [si], 0
    je 4f
    mov di, si
3:  add di, si
    cmp di, SIZE
    jae 4f
    mov byte ptr [di], 0
    jmp 3b
4:  inc si
    cmp si, SIZE
    jb 2b
    xor dx, dx
    mov si, 2
    mov cx, SIZE - 2
5:  lodsb
    add dl, al
    adc dh, 0
    loop 5b
    pop eax
    movzx edx, dx
    imul eax, eax, 31
    add eax, edx
    pop ecx
    dec ecx
    jnz 1b
    ret

calls16:                                /* ECX rounds: DX:AX = mix(DX:AX, table) */
    xor bx, bx
    xor al, al
1:  mov [bx], al
    add al, 7
    inc bl
    jnz 1b
    mov ax, 1
    xor dx, dx
2:  push ecx
    push DATA
    push 0
    push dx
    push ax
    .byte 0x9a                          /* call far mix */
    .word mix - begin, CODE >> 4
    add sp, 8
    pop ecx
    dec ecx
    jnz 2b
    shl edx, 16
    movzx eax, ax
    or eax, edx
    ret

mix:
    push bp
    mov bp, sp
    push si
    push di
    push ds
    lds si, [bp + 10]
    mov ax, [bp + 6]
    mov dx, [bp + 8]
    mov bx, ax
    and bx, 0xff
    add al, [bx + si]
    adc ah, 0
    les di, [bp + 10]
    mov es:[bx + di], ah
    add dx, ax
    rol dx, 3
    xor ax, dx
    pop ds
    pop di
    pop si
    pop bp
    retf
end:

.data
.p2align 3
descriptors: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00009b010000ffff, 0x000093010000ffff
table: .word 39
    .long descriptors
old_esp: .long 0
.section .note.GNU-stack, "", @progbits
