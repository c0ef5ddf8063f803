/* A boot floppy that tries devices by themselves, in real mode: between the lines START name and END name, on COM1, lies the work of one of bench/devices.py's RATES,
   whose counts (N_...) it is assembled with. An X after START: the BIOS had an error. */
.macro begin name
    .pushsection .rodata
start_\@: .asciz "START \name\r\n"
    .popsection
    mov si, offset start_\@
    call say
.endm

.macro end name
    .pushsection .rodata
end_\@: .asciz "END \name\r\n"
    .popsection
    mov si, offset end_\@
    call say
.endm

.macro mode number, segment
    mov ax, \number
    int 0x10
    push \segment
    pop es
    push \segment
    pop ds
.endm

.macro low_memory
    push 0
    pop ds
    push 0
    pop es
.endm

.macro indexed port, index, value
    mov dx, \port
    mov ax, \value << 8 | \index
    out dx, ax
.endm

    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    cld
    mov ax, 0x0208                       /* the rest of this program */
    mov bx, 0x7e00
    mov cx, 2
    xor dx, dx
    int 0x13
    jmp main
.org 510
    .word 0xaa55

say:                                     /* DS:SI to COM1 */
    mov dx, 0x3fd
1:  in al, dx
    test al, 0x20
    jz 1b
    lodsb
    mov dx, 0x3f8
    out dx, al
    cmp byte ptr [si], 0
    jne say
    ret

main:
    mode 0x12, 0xa000
    low_memory
    begin scroll
    mov ebp, N_SCROLL
    push 0xa000
    pop ds
    push 0xa000
    pop es
    indexed 0x3ce, 5, 1                  /* write mode 1: the latches, four planes at a time */
1:  mov si, 80 * 16
    xor di, di
    mov cx, 80 * 464
    rep movsb
    dec ebp
    jnz 1b
    indexed 0x3ce, 5, 0
    low_memory
    end scroll

    begin scroll10h
    mov ebp, N_SCROLL10H
1:  push ebp
    mov ax, 0x0601
    mov bh, 0
    xor cx, cx
    mov dx, 29 << 8 | 79
    int 0x10
    pop ebp
    dec ebp
    jnz 1b
    end scroll10h

    begin masked
    mov ebp, N_MASKED                    /* a screen in set/reset's colour through a bit mask: reads for the latches, writes */
    push 0xa000
    pop es
    indexed 0x3ce, 1, 15
    indexed 0x3ce, 0, 5
    indexed 0x3ce, 8, 0x3c
1:  xor di, di
    mov cx, 38400
2:  mov al, es:[di]
    mov es:[di], al
    inc di
    loop 2b
    dec ebp
    jnz 1b
    low_memory
    end masked

    mode 3, 0xb800
    low_memory
    begin text
    mov ebp, N_TEXT
    push 0xb800
    pop ds
    push 0xb800
    pop es
1:  mov si, 160
    xor di, di
    mov cx, 24 * 80
    rep movsw
    dec ebp
    jnz 1b
    low_memory
    end text

    mode 0x13, 0xa000
    low_memory
    begin mode13h
    mov ebp, N_MODE13H
    push 0xa000
    pop es
1:  xor di, di
    mov ax, bp
    mov cx, 32000
    rep stosw
    dec ebp
    jnz 1b
    low_memory
    end mode13h
    mov ax, 3
    int 0x10

.macro reads name, port, count
    begin \name
    mov ecx, \count
    mov dx, \port
1:  in al, dx
    dec ecx
    jnz 1b
    end \name
.endm

    reads in61h, 0x61, N_IN61H
    reads in3dah, 0x3da, N_IN3DAH
    reads in1f7h, 0x1f7, N_IN1F7H
    begin out80h
    mov ecx, N_OUT80H
1:  out 0x80, al
    dec ecx
    jnz 1b
    end out80h
    begin timer
    mov ecx, N_TIMER                     /* latch counter 0, and read it */
1:  mov al, 0
    out 0x43, al
    in al, 0x40
    in al, 0x40
    dec ecx
    jnz 1b
    end timer

    begin floppy
    xor ebp, ebp                         /* track, of two heads */
1:  mov ax, bp
    mov ch, al
    shr ch, 1
    mov dh, al
    and dh, 1
    mov dl, 0
    mov cl, 1
    mov ax, 0x1000
    mov es, ax
    xor bx, bx
    mov ax, 0x0212
    int 0x13
    jnc 2f
    mov si, offset failed
    call say
2:  inc ebp
    cmp ebp, N_FLOPPY
    jne 1b
    low_memory
    end floppy
    mov si, offset over
    call say
3:  hlt
    jmp 3b
.section .rodata
failed: .asciz "X\r\n"
over: .asciz "OVER\r\n"
