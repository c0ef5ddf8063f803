# A guest that behaves like a large 16-bit application: SEGMENTS code segments of 2 KB, of which SLOTS are in memory; one that is called and is not there replaces
# the oldest, at its address, and its fix-ups are applied. Phases call from different sets of them, and return. A boot sector; the rest is read behind it.
# Ends with a write to port 501h. Memory: the segments' files from 20000h on, slots from 80000h on.
.att_syntax
.set SEGMENTS, 192
.set SLOTS, 48
.set STORE, 0x2000          # segment
.set SLOT, 0x8000
.set PARAGRAPHS, 128        # of a code segment
.set owner, 0x6000          # words: which segment is in a slot, or -1
.set loaded, 0x6200         # words: where a segment is, or 0
.set target, 0x6500         # far pointer
start:
    cli; xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movw $0x7000, %sp; sti; cld
    movw $0x0208, %ax; movw $0x7e00, %bx; movw $2, %cx; xorb %dh, %dh; int $0x13     # 8 sectors behind this one, from drive DL
    ljmp $0, $main
.org 510
.word 0xaa55

main:
    movw $owner, %di; movw $0xffff, %ax; movw $SLOTS, %cx; rep stosw
    movw $loaded, %di; xorw %ax, %ax; movw $SEGMENTS, %cx; rep stosw
    xorw %bx, %bx
make:                        # the files: the template with other constants, so that no two are alike
    movw %bx, %ax; shlw $7, %ax; addw $STORE, %ax; movw %ax, %es
    xorw %di, %di
    movw $16, %bp
function:
    movw $template, %si; movw $template_end - template, %cx; rep movsb
    movw %bx, %es:constant - template_end(%di)
    movw %bp, %es:constant2 - template_end(%di)
    decw %bp; jnz function
    incw %bx; cmpw $SEGMENTS, %bx; jb make

    xorw %ax, %ax; movw %ax, %es
    xorw %bp, %bp            # next slot to be replaced
    movw $phases, %si
phase:
    lodsw; testw %ax, %ax; jz done
    movw %ax, first
    lodsw; movw %ax, mask
    movw $8000, calls
next:
    movw seed, %ax; movw $25173, %cx; mulw %cx; addw $13849, %ax; movw %ax, seed
    movb %ah, %bl; xorb %bh, %bh; andw mask, %bx; addw first, %bx
    shlw $1, %bx
    movw loaded(%bx), %ax; testw %ax, %ax; jnz there
    movw %bp, %di; shlw $1, %di
    movw owner(%di), %cx; cmpw $0xffff, %cx; je empty
    xchgw %cx, %bx; movw $0, loaded(%bx); xchgw %cx, %bx
empty:
    movw %bx, owner(%di)
    movw %bp, %ax; shlw $7, %ax; addw $SLOT, %ax; movw %ax, loaded(%bx)
    incw %bp; cmpw $SLOTS, %bp; jb copy
    xorw %bp, %bp
copy:
    pushw %si; pushw %ds; pushw %ax
    movw %bx, %cx; shlw $6, %cx; addw $STORE, %cx; movw %cx, %ds
    movw %ax, %es; xorw %si, %si; xorw %di, %di; movw $PARAGRAPHS * 8, %cx; rep movsw
    movw $fixup - template, %di; movw $16, %cx
fix:
    movw %ax, %es:(%di); addw $template_end - template, %di; loop fix
    popw %ax; popw %ds; popw %si
    xorw %cx, %cx; movw %cx, %es
there:
    movw %ax, target + 2
    movb seed, %al; andw $15, %ax; movw $template_end - template, %cx; mulw %cx; movw %ax, target
    lcallw *target
    decw calls; jnz next
    jmp phase
done:
    movw $0x501, %dx; xorw %ax, %ax; outw %ax, %dx; hlt

template:                    # a function of a code segment, 16 in each
    movw seed, %ax
    .byte 0xb9               # movw $constant, %cx
constant: .word 0
    movw $6, %dx
again:
    addw %cx, %ax; testb $1, %al; jz even
    xorw $0x1234, %ax; rolw $3, %ax; incw %cx
    jmp both
even:
    subw %dx, %ax; rcrw $1, %ax
both:
    cmpw %cx, %ax; jb below
    xchgb %al, %ah; addw $7, %cx
below:
    decw %dx; jnz again
    .byte 0xbb               # movw $fixup, %bx: where this segment is
fixup: .word 0
    .byte 0x81, 0xc1         # addw $constant2, %cx
constant2: .word 0
    movw %ax, result; movw %bx, result + 2
    lretw
template_end:

first: .word 0
mask: .word 0
calls: .word 0
seed: .word 1
result: .word 0, 0
phases:                      # first segment, mask of how many
    .word 1, 31, 64, 63, 1, 31, 100, 31, 1, 127, 64, 63, 1, 31, 0
