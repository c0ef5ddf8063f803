# The BIOS's code: F000:0000 to F000:FFFF, the last 64 KB below 1 MB and below 4 GB. Assembled by emu/assembler.py; the services themselves are Python
# (emu/bios/*.py): a stub pushes the service's number and writes to the port TRAP, which calls it with the caller's registers. On return CF says "not yet: ask
# again", with ZF after an interrupt. Addresses marked "fixed" are those of the IBM PC's BIOS, which programs call and jump to (IBM PC/AT Technical Reference).

.set TRAP, 0xae             # nobody's port on a PC
.set POST, 0xff             # number of the service that sets the machine up
.set BIOS_DATA, 0x40
.set TICKS, 0x6c            # in the BIOS data area: timer ticks since midnight
.set MIDNIGHT, 0x70
.set MOTOR, 0x40            # ticks until the floppy's motor is to stop
.set DAY, 0x1800b0          # ticks in 24 hours
.set EOI, 0x20
.set RESUME, 0x67           # far pointer of a program that returns to real mode by a reset

.macro service number       # an interrupt that Python answers
    push \number
    out TRAP, al
    add sp, 2
    iret
.endm

.macro waiting number       # one that may have to wait for a device
    push \number
1:  out TRAP, al
    jnc 3f
    sti
    jnz 2f
    hlt
2:  jmp 1b
3:  add sp, 2
    iret
.endm

.macro enable               # as IBM's does: the clock ticks on for callers that have interrupts off
    sti
    nop
.endm

.macro at place             # what follows is at F000:place
    .org \place
.endm

start:

# --- start -------------------------------------------------------------------------------------------------------------------------

at 0xe05b                   # fixed: power-on
post:
    cli
    cld
    mov al, 0x8f            # CMOS 0Fh: why the processor was reset
    out 0x70, al
    in al, 0x71
    mov ah, al
    mov al, 0x8f
    out 0x70, al
    xor al, al
    out 0x71, al
    xor bx, bx
    mov ds, bx
    cmp ah, 0x05            # a program's way back to real mode: with an end of interrupt
    je 1f
    cmp ah, 0x0a            # ... without
    je 2f
    cmp ah, 0x09            # ... as INT 15h AH=87h comes back
    je 3f
    mov ss, bx
    mov sp, 0x7c00
    push POST
    out TRAP, al
    add sp, 2
    sti
    int 0x19
1:  mov al, EOI
    out 0x20, al
    out 0xa0, al
2:  ljmp [0x400 + RESUME]
3:  mov ss, [0x400 + RESUME + 2]
    mov sp, [0x400 + RESUME]
    pop ds
    pop es
    popa
    iret

at 0xe2c3                   # fixed: NMI
nmi:
    iret

# --- interrupts of devices ------------------------------------------------------------------------------------------------------------

dummy_master:               # nobody serves this line
    push ax
    mov al, EOI
    out 0x20, al
    pop ax
    iret

dummy_slave:
    push ax
    mov al, EOI
    out 0xa0, al
    out 0x20, al
    pop ax
    iret

int70:                      # the clock: alarm, and INT 15h AH=83h
    push ax
    push 0x70
    out TRAP, al
    pop ax
    jnc 1f
    int 0x4a
1:  pop ax
    jmp dummy_slave

int71:                      # IRQ 9 was IRQ 2 before there was a second controller
    push ax
    mov al, EOI
    out 0xa0, al
    pop ax
    int 0x0a
    iret

int74:                      # the mouse: Python collects its bytes; CF: a packet is complete, registers have it
    pushad
    push ds
    push 0x74
    out TRAP, al
    lea sp, [esp + 2]
    jnc 1f
    push ax                 # status, x, y, z
    push bx
    push cx
    push dx
    mov ds, si              # the extended BIOS data area has the handler's address
    lcall [0x22]
    add sp, 8
1:  mov al, EOI
    out 0xa0, al
    out 0x20, al
    pop ds
    popad
    iret

int75:                      # the coprocessor's error
    push ax
    xor al, al
    out 0xf0, al
    mov al, EOI
    out 0xa0, al
    out 0x20, al
    pop ax
    int 0x02
    iret

# --- fixed entries ---------------------------------------------------------------------------------------------------------------------

at 0xe3fe
int13:
    jmp int13_service
at 0xe401
    .fill 16, 1, 0
int13_service:
    enable
    waiting 0x13

int18:
    waiting 0x18

at 0xe6f2
int19:
    jmp int19_service

at 0xe6f5
configuration:              # INT 15h AH=C0h: length, model, submodel, revision, features: second 8259, clock, keyboard intercept, wait for event; EBDA
    .word 8
    .byte 0xfc, 0x01, 0x00, 0x74, 0x40, 0, 0, 0

int19_service:              # Python loads a boot sector: AX:BX is where to go, DL the drive
    push 0x19
    out TRAP, al
    lea sp, [esp + 2]
    jc 1f
    push ax
    push bx
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov bp, ax
    sti
    .att_syntax
    lretw
    .intel_syntax noprefix
1:  int 0x18
    jmp int19

at 0xe729
    .word 0x0417, 0x0300, 0x0180, 0x00c0, 0x0060, 0x0030, 0x0018, 0x000c  # the UART's divisors

at 0xe739
int14:
    service 0x14

at 0xe82e
int16:
    enable
    waiting 0x16

at 0xe987
int09:
    push ax
    in al, 0x60
    mov ah, 0x4f            # a program may change or take the scan code
    stc
    int 0x15
    jnc 1f
    push 0x09
    out TRAP, al
    lea sp, [esp + 2]
    cmp al, 0x1b            # AL: an interrupt that the key calls
    jne 2f
    int 0x1b
2:  cmp al, 0x05
    jne 1f
    int 0x05
1:  cli
    mov al, EOI
    out 0x20, al
    pop ax
    iret

at 0xec59
int40:
    jmp int13_service

at 0xef57
int0e:                      # the floppy controller: its interrupt is noted
    push ax
    push ds
    mov ax, BIOS_DATA
    mov ds, ax
    or byte ptr [0x3e], 0x80
    mov al, EOI
    out 0x20, al
    pop ds
    pop ax
    iret

at 0xefc7
diskette:                   # INT 1Eh: step and head times, motor off, 512 bytes, 18 sectors, gaps, fill byte, head settle, motor start
    .byte 0xaf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08

at 0xefd2
int17:
    service 0x17

at 0xf045
    iret

at 0xf065
int10:
    service 0x10

at 0xf0a4
video_parameters:           # INT 1Dh: the 6845's registers for modes 0 and 1, 2 and 3, 4 to 6, 7; then sizes and mode registers
    .byte 0x38, 0x28, 0x2d, 0x0a, 0x1f, 6, 0x19, 0x1c, 2, 7, 6, 7, 0, 0, 0, 0
    .byte 0x71, 0x50, 0x5a, 0x0a, 0x1f, 6, 0x19, 0x1c, 2, 7, 6, 7, 0, 0, 0, 0
    .byte 0x38, 0x28, 0x2d, 0x0a, 0x7f, 6, 0x64, 0x70, 2, 1, 6, 7, 0, 0, 0, 0
    .byte 0x61, 0x50, 0x52, 0x0f, 0x19, 6, 0x19, 0x19, 2, 0x0d, 0x0b, 0x0c, 0, 0, 0, 0
    .word 0x0800, 0x1000, 0x4000, 0x4000
    .byte 40, 40, 80, 80, 40, 40, 80, 80
    .byte 0x2c, 0x28, 0x2d, 0x29, 0x2a, 0x2e, 0x1e, 0x29

at 0xf841
int12:
    service 0x12

at 0xf84d
int11:
    service 0x11

at 0xf859
int15:
    waiting 0x15

at 0xfa6e
font_low:                   # the first 128 characters, 8 lines each: filled in by emu/bios/__init__.py
    .fill 1024, 1, 0

at 0xfe6e
int1a:
    enable
    service 0x1a

at 0xfea5
int08:
    push eax
    push ds
    mov ax, BIOS_DATA
    mov ds, ax
    mov eax, [TICKS]
    inc eax
    cmp eax, DAY
    jb 1f
    xor eax, eax
    inc byte ptr [MIDNIGHT]
1:  mov [TICKS], eax
    cmp byte ptr [MOTOR], 0
    je 2f
    dec byte ptr [MOTOR]
2:  int 0x1c
    cli
    mov al, EOI
    out 0x20, al
    pop ds
    pop eax
    iret

at 0xff53
nothing:
    iret
int05:
    iret

at 0xfff0
    ljmp 0xf000, 0xe05b
at 0xfff5
    .ascii "01/01/26"
    .byte 0
at 0xfffe
    .byte 0xfc, 0
