/* 16-bit kernels, the platform on a bare PC: each goes to its mode and comes back. In real mode a sieve in one segment, and a large-model program's far calls
   with far pointers; in protected mode the latter with selectors, and a program that calls a system by INT. native.c has the same in C, for the checksums. */
.intel_syntax noprefix
.set CODE, 0x10000                      /* where the 16-bit part runs; its data, its stack */
.set DATA, 0x2000
.set STACK, 0x3000
.set SIZE, 30000                        /* of the sieve */
.set OTHER_CODE, 0x28                   /* selectors of protected mode: what is called, */
.set CALLER_DATA, 0x30                  /* who calls, at DATA and STACK, */
.set CALLER_STACK, 0x38
.set SERVICE_DATA, 0x40                 /* and the service's variable */

.text
.globl real_sieve, real_calls, protected_calls, protected_ints
real_sieve:
    mov edx, offset sieve16 - begin
    jmp 1f
real_calls:
    mov edx, offset calls_real - begin
1:  mov eax, offset real_mode - begin
    jmp 3f
protected_calls:
    mov edx, offset calls_protected - begin
    jmp 2f
protected_ints:
    mov edx, offset ints - begin
2:  mov eax, offset protected_mode - begin
3:  mov ecx, [esp + 4]
    push ebx
    push esi
    push edi
    push ebp
    mov ebx, edx
    mov edx, ecx
    mov ebp, eax
    mov esi, offset begin
    mov edi, CODE
    mov ecx, offset end - begin
    cld
    rep movsb
    mov ecx, edx
    mov [old_esp], esp
    lgdt [table]
    lidt [vectors_table]
    mov al, 0xff                        /* no interrupts but the program's own */
    out 0x21, al
    out 0xa1, al
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
    jmp bp
protected_mode:
    mov ax, CALLER_DATA
    mov ds, ax
    mov es, ax
    mov ax, CALLER_STACK
    mov ss, ax
    xor esp, esp
    cld
    call bx
    mov ebx, eax
    .byte 0x66, 0xea                    /* jmp 8:back */
    .long back
    .word 8
real_mode:
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

.macro calls name, code, data              /* ECX rounds: DX:AX = mix(DX:AX, table), which is in segment `code` */
\name:
    xor bx, bx
    xor al, al
1:  mov [bx], al
    add al, 7
    inc bl
    jnz 1b
    mov ax, 1
    xor dx, dx
2:  push ecx
    push \data
    push 0
    push dx
    push ax
    .byte 0x9a                          /* call far mix */
    .word mix - begin, \code
    add sp, 8
    pop ecx
    dec ecx
    jnz 2b
    shl edx, 16
    movzx eax, ax
    or eax, edx
    ret
.endm
    calls calls_real, CODE >> 4, DATA
    calls calls_protected, OTHER_CODE, CALLER_DATA

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

ints:                                   /* ECX rounds: AX and DX through a service, which also keeps a sum, and a stretch without interrupts */
    mov ax, 1
    xor dx, dx
    mov word ptr [0], 0
1:  mov bl, 0x12
    int 0x21
    pushf
    cli
    add ax, [0]
    popf
    adc dx, ax
    sti
    xor ax, dx
    dec ecx
    jnz 1b
    shl edx, 16
    movzx eax, ax
    or eax, edx
    ret

service:
    push bp
    mov bp, sp
    push ds
    push SERVICE_DATA
    pop ds
    add ax, [0]
    inc ax
    mov [0], ax
    add al, bl
    and byte ptr [bp + 6], 0xfe         /* CF of the caller says that all is well */
    pop ds
    pop bp
    iret
end:

.data
.p2align 3
descriptors: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00009b010000ffff, 0x000093010000ffff
    .quad 0x00009b010000ffff, 0x000093020000ffff, 0x000093030000ffff, 0x000093021000ffff
table: .word 9 * 8 - 1
    .long descriptors
.p2align 3
vectors: .skip 0x21 * 8
    .word service - begin, OTHER_CODE, 0x8600, 0    /* a 16-bit interrupt gate */
vectors_table: .word 0x22 * 8 - 1
    .long vectors
old_esp: .long 0
.section .note.GNU-stack, "", @progbits
