# A boot sector for bench/display.py: shows each key in the upper left corner of the text screen; after 'g' it draws a 640x480x32 screen anew 30 times a second, after 'i' it stops.
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    mov ax, 3
    int 0x10
    mov ah, 1                       # no cursor
    mov cx, 0x2000
    int 0x10
    mov ax, 0x0e00 + '+'            # ready
    int 0x10
keys:
    mov ah, 0
    int 0x16
    cmp al, 'g'
    je graphics
    mov bx, 0xb800
    mov es, bx
    mov ah, 0x1f
    mov es:[0], ax
    jmp keys

graphics:                           # Bochs's DISPI: 640x480x32 through the window at A0000h
    mov si, offset mode
1:  lodsw
    cmp ax, 0xffff
    je 2f
    mov dx, 0x1ce
    out dx, ax
    inc dx
    lodsw
    out dx, ax
    jmp 1b
2:  mov al, 0x36                    # 30 interrupts a second
    out 0x43, al
    mov al, 0x5d
    out 0x40, al
    mov al, 0x9b
    out 0x40, al
    xor ebp, ebp
frame:
    add ebp, 0x00030507
    mov eax, ebp
    xor bx, bx
bank:
    push ax
    mov dx, 0x1ce
    mov ax, 5
    out dx, ax
    inc dx
    mov ax, bx
    out dx, ax
    mov dx, 0xa000
    mov es, dx
    pop ax
    xor di, di
    mov cx, 16384
3:  mov es:[di], eax
    add eax, 0x00010301
    add di, 4
    loop 3b
    inc bx
    cmp bx, 19
    jb bank
    sti
    hlt
    mov ah, 1
    int 0x16
    jz frame
4:  hlt                             # a key: the screen stays as it is
    jmp 4b
mode:
    .word 4, 0, 1, 640, 2, 480, 3, 32, 4, 1, 0xffff
