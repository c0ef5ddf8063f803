"""Boot sectors of our own that use the processor as DOS programs did, from a disk under our own BIOS, with every engine: the A20 wrap, unreal mode, protected mode in the
manner of a 286, a virtual-8086 monitor that passes interrupts on to the BIOS.
"""
from pathlib import Path

import pytest

from tests.bios_machine import KEEP, boot
from tests.conftest import ALL

ENGINES = [pytest.param(engine, marks=pytest.mark.skipif(not ALL and engine in ('eager', 'stencils'), reason='EMU_TEST_ALL=1'))
           for engine in ('eager', 'interpreter', 'stencils', 'optimise')]
pytestmark = pytest.mark.parametrize('engine', ENGINES)
FAST_CLOCK = 'mov al, 0x34; out 0x43, al; xor al, al; out 0x40, al; mov al, 2; out 0x40, al'  # 2.3 kHz
STUBS = '; '.join(f'.byte 0x6a, {n}, 0xeb, {124 - 4 * n}' for n in range(32))  # push n; jmp to what is behind them all


def test_a20_wrap(tmp_path: Path, engine: str) -> None:
    """IBM PC/AT Technical Reference: with A20 off FFFF:0510 is 0000:0500, as on an 8086. By port 92h, by the keyboard controller (D1h), by INT 15h 24h."""
    run = boot(tmp_path, KEEP + '''mov ax, 0xffff; mov es, ax
        mov al, 0; out 0x92, al; call probe; mov al, 2; out 0x92, al; call probe
        mov ah, 0xdd; call gate; call probe; mov ah, 0xdf; call gate; call probe
        mov ax, 0x2400; int 0x15; call probe; mov ax, 0x2401; int 0x15; call probe; jmp end
        probe: mov word ptr [0x500], 0x1111; mov word ptr es:[0x510], 0x2222; mov cx, 50
        1: inc word ptr es:[0x510]; loop 1b
        mov ax, [0x500]; keep ax; ret
        gate: call ready; mov al, 0xd1; out 0x64, al; call ready; mov al, ah; out 0x60, al
        ready: in al, 0x64; test al, 2; jnz ready; ret
        end:''', engine=engine)
    assert run.words(6) == [0x2222 + 50, 0x1111] * 3


def test_unreal_mode(tmp_path: Path, engine: str) -> None:
    """SDM 3, 9.9.2: limits that were loaded in protected mode stay in real mode, through interrupts too: how HIMEM and games reach memory above 1 MB."""
    run = boot(tmp_path, KEEP + f'''cli; lgdt [table]; mov eax, cr0; or al, 1; mov cr0, eax; jmp 1f
        1: mov bx, 8; mov ds, bx; mov es, bx; and al, 0xfe; mov cr0, eax; jmp 1f
        1: xor bx, bx; mov ds, bx; mov es, bx; {FAST_CLOCK}; sti
        mov ebx, 0x200000; mov ecx, 3000
        1: mov [ebx], ecx; add dword ptr [ebx], 5; add ebx, 4; dec ecx; jnz 1b
        mov dx, [0x46c]
        1: mov eax, [ebx - 12000]; cmp [0x46c], dx; je 1b
        keep ax; mov ax, [ebx - 4]; keep ax
        mov edi, 0x300000; mov ecx, 100; mov eax, 0x12345678; cld; .byte 0x67; rep stosd; keep di; mov ax, [edi - 2]; keep ax; jmp end
        .balign 8
        table: .word 15; .long table; .word 0; .quad 0x00cf93000000ffff
        end:''', engine=engine)
    assert run.words(4) == [3005, 6, 400, 0x1234]


def test_protected_mode_of_a_286(tmp_path: Path, engine: str) -> None:
    """iAPX 286 Programmer's Reference, 10: LMSW, descriptors of 24-bit bases, LAR, #GP through a 286 gate where a limit is met; and back by a reset of the processor with 5 in
    CMOS 0Fh and an address at 40:67h (IBM PC/AT Technical Reference)."""
    run = boot(tmp_path, KEEP + '''cli; mov al, 0x8f; out 0x70, al; mov al, 5; out 0x71, al; mov word ptr [0x467], offset back; mov word ptr [0x469], 0
        lgdt [table]; lidt [gates]; mov ax, 1; lmsw ax; .byte 0xea; .word flat, 8
        flat: mov ax, 16; mov ss, ax; mov ds, ax; mov sp, 0x7000; mov ax, 24; mov es, ax
        mov word ptr es:[0], 0xabcd; lar bx, ax; keep bx; mov cx, 3000; xor bx, bx
        1: add bx, cx; mov es:[2], bx; loop 1b
        keep bx
        mov word ptr es:[0xfff], 1
        after: keep cx; mov al, 0xfe; out 0x64, al
        1: hlt; jmp 1b
        fault: pop cx; pop bx; push offset after; mov cx, 0x77; iret
        back: xor ax, ax; mov ds, ax; mov ss, ax; mov sp, 0x7000; mov si, 0x8006; smsw ax; and ax, 1; keep ax; jmp end
        .balign 8
        table: .word 31; .long table; .word 0
        .word 0xffff, 0, 0x9a00, 0, 0xffff, 0, 0x9200, 0, 0x0fff, 0, 0x9220, 0
        gates: .word 14 * 8 - 1; .long gates + 6 - 13 * 8
        .word fault, 8, 0x8600, 0
        end:''', engine=engine)
    assert run.words(4) == [0x9300, sum(range(3001)) & 0xffff, 0x77, 0] and run.bytes(2, 0x200000) == b'\xcd\xab'


def test_v86_monitor(tmp_path: Path, engine: str) -> None:
    """SDM 3, 20: a monitor runs the rest of the boot sector in virtual-8086 mode (IOPL 3, all ports open) and reflects all interrupts through the vectors at 0, as EMM386
    does: the BIOS's memory size, a sector that it reads, the clock's ticks."""
    run = boot(tmp_path, f'''cli; {FAST_CLOCK}; lgdt [table]; lidt [gates]; mov eax, cr0; or al, 1; mov cr0, eax; ljmp 8, offset flat
        .code32
        flat: mov eax, 16; mov ds, eax; mov ss, eax; mov es, eax; mov esp, 0x7000; cld
        mov edi, 0x6000; mov ecx, 32; mov eax, offset stubs; or eax, 0x80000
        1: stosd; mov dword ptr [edi], 0xee00; add edi, 4; add eax, 4; loop 1b
        mov edi, 0x20000; mov ecx, 0x81a; xor eax, eax; rep stosd; dec dword ptr [edi]
        mov dword ptr [0x20004], 0x7000; mov byte ptr [0x20008], 16; mov byte ptr [0x20066], 0x68; mov eax, 24; ltr ax
        push 0; push 0; push 0; push 0; push 0; push 0x6800; push 0x23202; push 0; mov eax, offset task; push eax; iretd
        stubs: {STUBS}
        pushad; mov eax, 16; mov ds, eax; mov ebp, esp
        sub word ptr [ebp + 48], 6; movzx ebx, word ptr [ebp + 52]; shl ebx, 4; movzx edx, word ptr [ebp + 48]; add ebx, edx
        mov eax, [ebp + 44]; mov [ebx + 4], ax; mov eax, [ebp + 40]; mov [ebx + 2], ax; mov eax, [ebp + 36]; mov [ebx], ax
        and byte ptr [ebp + 45], 0xfc; mov eax, [ebp + 32]; mov ecx, [eax * 4]; mov [ebp + 36], cx; shr ecx, 16; mov [ebp + 40], cx
        popad; add esp, 4; iretd
        .code16
        task: {KEEP} int 0x12; keep ax; mov ax, 0x0201; mov cx, 5; mov dx, 0x80; mov bx, 0x9000; int 0x13; flags; mov ax, [0x9000]; keep ax
        mov dx, [0x46c]; add dx, 3
        1: cmp [0x46c], dx; jne 1b
        smsw ax; and ax, 1; keep ax; jmp end
        table: .word 31; .long table; .word 0; .quad 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890200002068
        gates: .word 32 * 8 - 1; .long 0x6000
        end:''', engine=engine)
    low, flags, number, protected = run.words(4)
    assert (low, flags & 1, number, protected) == (639, 0, 4, 1)
