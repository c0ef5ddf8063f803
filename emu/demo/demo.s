# A guest of our own: it shows on COM1 what the machine can do, then echoes keys until ESC. Assembled by emu/assembler.py into a multiboot
# kernel. Chips used: 16550A (output polled, input by IRQ 4), 8259A pair, 8254 (IRQ 0 at 100 Hz), MC146818. It ends through port 501h.

.set COM1, 0x3f8
.set EXIT, 0x501            # a debug-exit port; 10h written ends the run with code 33
.set HZ, 100                # of IRQ 0
.set DIVISOR, 11932         # 1193182 Hz / HZ
.set BATCH, 10000           # instructions in one call of a benchmark's loop
.set ESC, 27

_start:
    lgdt [gdt_register]
    ljmp 8, offset flat
flat:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, offset stack_top
    mov [multiboot], ebx
    call serial_init
    mov esi, offset text_banner
    call puts
    call show_processor
    call show_memory
    call show_clock
    call interrupts_init
    call show_tsc
    call show_pi
    call show_speed
    call keys
    mov esi, offset text_bye
    call puts
    mov dx, EXIT
    mov al, 0x10
    out dx, al
    cli
    hlt

# --- what there is ---------------------------------------------------------------------------------------------------

show_processor:             # CPUID (SDM 2A): leaf 0 the vendor, 1 version and features
    xor eax, eax
    cpuid
    mov [vendor], ebx
    mov [vendor + 4], edx
    mov [vendor + 8], ecx
    mov esi, offset text_processor
    call puts
    mov esi, offset vendor
    call puts
    mov eax, 1
    cpuid
    mov [features], edx
    mov edi, eax
    mov esi, offset text_family
    shr eax, 8
    call show_nibble
    mov esi, offset text_model
    mov eax, edi
    shr eax, 4
    call show_nibble
    mov esi, offset text_stepping
    mov eax, edi
    call show_nibble
    mov esi, offset text_features
    call puts
    mov edi, [features]
    mov esi, offset feature_names
1:  shr edi, 1              # a name for each bit, an empty one where there is no feature
    jnc 2f
    cmp byte ptr [esi], 0
    je 2f
    mov al, ' '
    call put
    push esi
    call puts
    pop esi
2:  lodsb
    test al, al
    jnz 2b
    cmp esi, offset feature_names_end
    jb 1b
    jmp newline

show_nibble:                # text at ESI, the low nibble of EAX
    push eax
    call puts
    pop eax
    and eax, 15
    jmp put_decimal

show_memory:                # multiboot information (3.3): kilobytes from 1 MB on
    mov esi, offset text_memory
    call puts
    mov ebx, [multiboot]
    mov eax, [ebx + 8]
    add eax, 1024 + 1023
    shr eax, 10
    call put_decimal
    mov esi, offset text_mb
    jmp puts

show_clock:                 # MC146818: registers 9 8 7 4 2 0, BCD, not during an update (register A bit 7)
    mov esi, offset text_clock
    call puts
1:  mov al, 10
    call cmos
    test al, 0x80
    jnz 1b
    mov esi, offset clock_format
2:  lodsb
    test al, al             # a register's number is below 10, the end negative, what is between a character
    js newline
    cmp al, 10
    jb 3f
    call put
    jmp 2b
3:  call cmos
    call put_bcd
    jmp 2b

cmos:                       # AL = register AL
    out 0x70, al
    in al, 0x71
    ret

show_tsc:                   # RDTSC over a tenth of a second
    test byte ptr [features], 0x10
    jz 2f
    mov esi, offset text_tsc
    call puts
    call wait_tick
    rdtsc
    mov edi, eax
    mov ecx, HZ / 10
1:  call wait_tick
    loop 1b
    rdtsc
    sub eax, edi
    xor edx, edx
    mov ebx, 100000         # a tenth of a second in MHz
    div ebx
    call put_decimal
    mov esi, offset text_mhz
    call puts
2:  ret

show_pi:                    # x87: pi times 10^16 as packed decimal
    test byte ptr [features], 1
    jz 3f
    mov esi, offset text_pi
    call puts
    fninit
    fldpi
    fld qword ptr [ten16]
    fmulp st(1), st
    fbstp tbyte ptr [digits]
    mov ecx, 8
    mov al, [digits + 8]
    call put_bcd_digit
    mov al, '.'
    call put
1:  mov al, [digits + ecx - 1]
    call put_bcd
    loop 1b
    call newline
3:  ret

# --- benchmarks: how many batches of instructions in half a second ------------------------------------------------------

show_speed:
    mov edi, offset benchmarks
1:  mov esi, [edi]
    call puts
    call wait_tick
    mov ebp, [ticks]
    xor ebx, ebx
2:  push ebx
    push edi
    push ebp
    call dword ptr [edi + 4]
    pop ebp
    pop edi
    pop ebx
    inc ebx
    mov ecx, [ticks]
    sub ecx, ebp
    cmp ecx, HZ / 2
    jb 2b
    mov eax, ebx            # tenths of MIPS: batches * BATCH * HZ / ticks / 100000
    mov edx, BATCH * HZ / 100000
    mul edx
    div ecx
    xor edx, edx
    mov ecx, 10
    div ecx
    push edx
    call put_decimal
    mov al, '.'
    call put
    pop eax
    call put_decimal
    mov esi, offset text_mips
    call puts
    add edi, 8
    cmp edi, offset benchmarks_end
    jb 1b
    ret

loop_arithmetic:            # 10 instructions a round
    mov ecx, BATCH / 10
1:  add eax, ecx
    xor edx, eax
    lea esi, [eax + edx * 2]
    rol edx, 5
    sub eax, esi
    and esi, 0xffff
    imul esi, ecx
    or edx, 1
    dec ecx
    jnz 1b
    ret

loop_memory:                # 10 instructions a round, 4 loads and 2 stores among them
    mov ecx, BATCH / 10
    mov edi, offset words
1:  mov eax, [edi]
    add eax, [edi + 4]
    mov [edi + 8], eax
    mov dl, [edi + 13]
    movzx ebx, word ptr [edi + 16]
    mov [edi + 20], ebx
    add edi, 4
    and edi, 0xfffffdff     # round and round in half a KB
    dec ecx
    jnz 1b
    ret

loop_calls:                 # 10 instructions a round
    mov ecx, BATCH / 10
1:  push ecx
    call increment
    call increment
    pop ecx
    dec ecx
    jnz 1b
    ret
increment:
    inc eax
    ret

# --- interrupts ----------------------------------------------------------------------------------------------------------

interrupts_init:            # IRQ 0 to 7 become vectors 20h to 27h; only 0 and 4 are let through
    mov esi, offset pic_words
1:  lodsw
    test eax, 0xff
    jz 2f
    movzx edx, al
    mov al, ah
    out dx, al
    jmp 1b
2:  mov al, 0x34            # 8254 counter 0: both bytes, mode 2
    out 0x43, al
    mov al, DIVISOR & 255
    out 0x40, al
    mov al, DIVISOR >> 8
    out 0x40, al
    mov eax, offset on_tick
    mov edi, offset idt + 0x20 * 8
    call gate
    mov eax, offset on_serial
    mov edi, offset idt + 0x24 * 8
    call gate
    lidt [idt_register]
    mov dx, COM1 + 1
    mov al, 1               # received data
    out dx, al
    sti
    ret

gate:                       # an interrupt gate to EAX at EDI (SDM 3A 6.11)
    mov [edi], ax
    mov word ptr [edi + 2], 8
    mov word ptr [edi + 4], 0x8e00
    shr eax, 16
    mov [edi + 6], ax
    ret

on_tick:
    push eax
    inc dword ptr [ticks]
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd

on_serial:                  # everything received goes into the ring
    push eax
    push ebx
    push edx
1:  mov dx, COM1 + 5
    in al, dx
    test al, 1
    jz 2f
    mov dx, COM1
    in al, dx
    movzx ebx, byte ptr [received]
    mov [ring + ebx], al
    inc byte ptr [received]
    jmp 1b
2:  mov al, 0x20
    out 0x20, al
    pop edx
    pop ebx
    pop eax
    iretd

wait_tick:
    mov eax, [ticks]
1:  hlt
    cmp eax, [ticks]
    je 1b
    ret

keys:                       # unless the command line ends in `once`
    mov edi, [multiboot]
    mov edi, [edi + 16]
1:  inc edi
    cmp byte ptr [edi], 0
    jne 1b
    cmp dword ptr [edi - 4], 0x65636e6f
    je done
    mov esi, offset text_keys
    call puts
echo:                       # the processor sleeps between keys
    cli
    movzx ebx, byte ptr [shown]
    cmp bl, [received]
    jne 1f
    sti
    hlt                     # STI holds interrupts off for one instruction: none can come between
    jmp echo
1:  sti
    inc byte ptr [shown]
    mov al, [ring + ebx]
    cmp al, ESC
    je done
    call put
    cmp al, 13
    jne echo
    call newline
    jmp echo
done:
    ret

# --- COM1 ---------------------------------------------------------------------------------------------------------------------

serial_init:                # 115200 bits a second, 8N1, FIFO, RTS, DTR and OUT2 (which lets its interrupt through)
    mov esi, offset uart_words
1:  lodsw
    cmp al, 0xff
    je 2f
    mov dx, COM1
    add dl, al
    mov al, ah
    out dx, al
    jmp 1b
2:  ret

put:                        # AL, when the transmitter has room; keeps all registers
    push eax
    push edx
    mov ah, al
    mov dx, COM1 + 5
1:  in al, dx
    test al, 0x20
    jz 1b
    mov dx, COM1
    mov al, ah
    out dx, al
    pop edx
    pop eax
    ret

newline:
    mov al, 13
    call put
    mov al, 10
    jmp put

puts:                       # zero-terminated text at ESI; a line feed gets its carriage return
    lodsb
    test al, al
    jz 2f
    cmp al, 10
    jne 1f
    call newline
    jmp puts
1:  call put
    jmp puts
2:  ret

put_decimal:                # EAX
    push ebx
    mov ebx, 10
    xor ecx, ecx
1:  xor edx, edx
    div ebx
    push edx
    inc ecx
    test eax, eax
    jnz 1b
2:  pop eax
    add al, '0'
    call put
    dec ecx
    jnz 2b
    pop ebx
    ret

put_bcd:                    # both digits of AL
    push eax
    shr al, 4
    call put_bcd_digit
    pop eax
put_bcd_digit:
    and al, 15
    add al, '0'
    jmp put

# --- data ----------------------------------------------------------------------------------------------------------------------

.data
text_banner:    .asciz "\n\033[1memu demo\033[0m: a program of its own on a bare PC\n\n"
text_processor: .asciz "processor   "
text_family:    .asciz ", family "
text_model:     .asciz " model "
text_stepping:  .asciz " stepping "
text_features:  .asciz "\nfeatures   "
text_memory:    .asciz "memory      "
text_mb:        .asciz " MB\n"
text_clock:     .asciz "clock       "
text_tsc:       .asciz "TSC         "
text_mhz:       .asciz " MHz\n"
text_pi:        .asciz "x87         pi = "
text_arithmetic: .asciz "arithmetic  "
text_memory_loop: .asciz "load/store  "
text_calls:     .asciz "calls       "
text_mips:      .asciz " MIPS\n"
text_keys:      .asciz "\nType; ESC ends.\n> "
text_bye:       .asciz "\nbye\n"

clock_format:   .ascii "20"
                .byte 9, '-', 8, '-', 7, ' ', 4, ':', 2, ':', 0, -1

feature_names:              # CPUID leaf 1, EDX, bits 0 to 26
    .asciz "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "", "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36", "psn", "clfsh"
    .asciz "", "ds", "acpi", "mmx", "fxsr", "sse", "sse2"
feature_names_end:

benchmarks:
    .long text_arithmetic, loop_arithmetic, text_memory_loop, loop_memory, text_calls, loop_calls
benchmarks_end:

# Register of the chip, value; -1 ends
uart_words: .byte 3, 0x80, 0, 1, 1, 0, 3, 3, 2, 7, 4, 0x0b, -1, -1
# Port, value: ICW1 to ICW4 of both 8259A, then their masks; 0 ends
pic_words:  .byte 0x20, 0x11, 0x21, 0x20, 0x21, 4, 0x21, 1, 0xa0, 0x11, 0xa1, 0x28, 0xa1, 2, 0xa1, 1, 0x21, 0xee, 0xa1, 0xff, 0, 0

.p2align 3
ten16:      .double 1e16
gdt:        .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_register: .word 23
            .long gdt
idt_register: .word 0x30 * 8 - 1
            .long idt

.bss
.p2align 12                # no store into a page with code, which costs more
words:      .skip 1024
idt:        .skip 0x30 * 8
ring:       .skip 256
multiboot:  .skip 4
features:   .skip 4
ticks:      .skip 4
vendor:     .skip 13
digits:     .skip 10
received:   .skip 1
shown:      .skip 1
.p2align 4
stack:      .skip 4096
stack_top:
