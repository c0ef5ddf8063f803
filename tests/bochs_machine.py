"""A program that runs cases of system mode, one after the other, and keeps what each leaves behind: by Bochs and by an engine of ours.

A case (tests/test_bochs.py) is a record of words: what POPAD takes, what IRETD takes to virtual-8086 mode, CR0, CR4, TR, DR0, DR7, and a count of words of memory to change,
each an address and a value. The program restores the zone (page table, GDT, LDT, IDT, three TSSs, code, stacks), changes it, enters the case, and comes back with the
first exception or interrupt. Then it writes down the frame, the registers and all of the zone. It runs below 64 KB, so 16-bit code, stacks and gates reach
everything. Bochs has program and cases as its ROM, and its debugger saves the results.
"""
import struct
import subprocess
from pathlib import Path

from emu.assembler import assemble, assemble_object, link
from emu.isa.segments import set_segment, update_mode
from emu.isa.state import CS
from tests.harness import Guest

ORIGIN, CASES, RESULTS, SPARE = 0x1000, 0x100000, 0x200000, 0x80000
CASE = 320  # bytes
LINEAR, EDGE = 0x800000, 0x10000  # where the case's own table maps memory: two pages, at whose common edge operands lie
FLAT_CODE, FLAT_DATA, CODE3, DATA3, TSS0, TSS1, TSS2, LOCAL, CODE1, DATA1 = 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x58
CODE16, DATA16, CODE16_3, DATA16_3, FREE = 0x60, 0x68, 0x70, 0x78, 0x80  # from FREE on the GDT is for the cases
GATES = range(40, 48)  # entries of the IDT that are for the cases
ZONE = {  # what is there anew for each case. The stacks are named by their tops, so they lie below
    'table': 160, 'gdt': 320, 'ldt': 64, 'idt': 384, 'pointers': 32, 'tss0': 112, 'tss1': 112, 'tss2': 112, 'code': 32, 'land': 32, 'data': 64, 'bottom': 96,
    'inner0': 80, 'inner1': 96, 'stack3': 112, 'stack1': 144, 'double_stack': 48,
}
SIZE = sum(ZONE.values())
PLAIN_CR0 = 0x60000011  # no paging, no caches
FLAT = f'mov eax, {FLAT_DATA}; mov ds, eax; mov es, eax'
SOURCE = f'''
    lgdt [gdt_register]; lidt [idt_register]
    mov esi, offset table; mov edi, {SPARE}; mov ecx, {SIZE // 4}; rep movsd
    jmp next
.irp n, {','.join(map(str, range(40)))}
    .balign 16
stub\\n:
    .if (\\n != 8) && (\\n != 17) && ((\\n < 10) || (\\n > 14))
    push 0
    .endif
    push \\n; jmp noted
.endr

noted:                           # a handler at CPL 0, or the task of #DF
    pushad
    mov eax, ds; push eax; mov eax, es; push eax
    {FLAT}; cld
    mov esi, esp; mov eax, ss; lar eax, eax; test eax, 0x400000; jnz wide
    movzx esi, si
wide:
    mov edi, [result]; mov ecx, 17; rep movsd    # es, ds, edi to eax, vector, error code, and the frame
.irp register, fs, gs, ss, cr0, cr2, cr3, cr4, dr6, dr7
    mov eax, \\register; stosd
.endr
    xor eax, eax; mov dr7, eax
    str eax; stosd; sldt eax; stosd
    mov eax, {PLAIN_CR0}; mov cr0, eax
    mov esi, offset directory + 8; movsd
    mov esi, offset pae_directory + 32; movsd; movsd
    mov esi, {EDGE - 16}; mov ecx, 8; rep movsd
    mov esi, offset table; mov ecx, {SIZE // 4}; rep movsd
    mov [result], edi

next:
    {FLAT}; mov ss, eax; mov esp, offset own_stack
    push 2; popfd
    mov eax, {PLAIN_CR0}; mov cr0, eax
    xor eax, eax; mov cr4, eax; mov cr2, eax; mov dr7, eax
    mov eax, 0xffff0ff0; mov dr6, eax
    fninit
    xor edx, edx; mov ecx, 0x174; mov eax, {FLAT_CODE}; wrmsr
    inc ecx; mov eax, offset inner0; wrmsr; inc ecx; mov eax, offset land; wrmsr    # for SYSENTER
    mov esi, {SPARE}; mov edi, offset table; mov ecx, {SIZE // 4}; rep movsd
    mov eax, offset table + 7; mov [directory + 8], eax; mov [pae_directory + 32], eax; mov dword ptr [pae_directory + 36], 0
    mov eax, 0x11223344; mov edi, {EDGE - 0x40}; mov ecx, 0x20; rep stosd
    mov ebx, [case]; add dword ptr [case], {CASE}
    mov ecx, [ebx + 88]; cmp ecx, -1; je over
    lea esi, [ebx + 92]
change:
    lodsd; mov edi, eax; movsd; loop change
    mov eax, [ebx + 76]; ltr ax
    mov eax, {LOCAL}; lldt ax
    mov eax, offset directory; mov ecx, [ebx + 72]; mov cr4, ecx; test ecx, 0x20; jz no_pae
    mov eax, offset pointers
no_pae:
    mov cr3, eax; mov [tss0 + 28], eax; mov [tss1 + 28], eax; mov [tss2 + 28], eax
    mov eax, [ebx + 68]; mov cr0, eax
    mov eax, [ebx + 80]; mov dr0, eax; mov eax, [ebx + 84]; mov dr7, eax
    mov esi, ebx; mov edi, offset own_stack; mov esp, edi; mov ecx, 17; rep movsd    # the record is what POPAD and IRETD take
    test byte ptr [ebx + 42], 2; jnz enter
    test byte ptr [ebx + 36], 3; jnz outer
    mov esi, ebx; mov edi, [ebx + 44]; sub edi, 44; mov esp, edi; mov ecx, 11; rep movsd    # of CPL 0: there is no change of stacks
outer:
    mov es, [ebx + 52]; mov fs, [ebx + 60]; mov gs, [ebx + 64]; mov ds, [ebx + 56]
enter:
    popad; iretd
over:
    xchg bx, bx; hlt             # Bochs' debugger takes over
case: .long {CASES}
result: .long {RESULTS}
gdt_register: .word 8 * 40 - 1; .long gdt
idt_register: .word 8 * 48 - 1; .long idt
    .balign 4096
directory: .skip 4096
pae_directory: .skip 4096
identity: .skip 4096
    {'; '.join(f'{name}: .skip {size}' for name, size in ZONE.items())}
beyond: .skip 256                # another landing place, above the limits of the cases' segments
    .skip 256
own_stack: .skip 68
'''
ROM, BOOT = 0xfff00000, 0xff000  # its address, and where in it the processor begins
START = f'''
    .byte 0x66; lgdt cs:[register]               # all 32 bits
    mov eax, cr0; or al, 1; mov cr0, eax
    .byte 0x66, 0xea; .long flat + 0xffff0000; .word 8    # a far jump of 32 bits
register: .word 23; .long 0xffff0000 + entries - 8
entries: .quad 0x00cf9b000000ffff, 0x00cf93000000ffff
.code32
flat:
    {FLAT}; mov ss, eax; cld
    mov esi, {ROM}; mov edi, {ORIGIN}; mov ecx, 0x8000; rep movsb
    mov esi, {ROM + 0x8000}; mov edi, {CASES}; mov ecx, 0xe0000; rep movsb
    mov eax, {ORIGIN}; jmp eax
'''
RESET = (b'\xe9' + struct.pack('<h', (BOOT & 0xffff) - 0xfff3)).ljust(16, b'\xff')  # at FFFFFFF0 and, as a copy, at FFFF0; from 4 GB on all is ones here as there
MEMORY = 4  # MB
BOCHSRC = f'''megs: {MEMORY}
romimage: file={{folder}}/rom
vgaromimage: file={{folder}}/video_rom
cpu: count=1, ips=100000000, model=p4_willamette, reset_on_triple_fault=0
clock: sync=none
magic_break: enabled=1
vga: extension=none
display_library: rfb, options="timeout=0"
sound: driver=dummy
log: {{folder}}/log
'''
NAMES = 'es ds edi esi ebp esp ebx edx ecx eax vector error frame.eip frame.cs frame.eflags frame.esp frame.ss fs gs ss cr0 cr2 cr3 cr4 dr6 dr7 tr ldtr'.split()
NAMES += ['pde', 'pae.pde', 'pae.pde.high', *(f'edge{n - 16:+d}' for n in range(0, 32, 4)), *(f'{name}+{n:x}' for name, size in ZONE.items() for n in range(0, size, 4))]
RESULT = 4 * len(NAMES)


def descriptor(base: int, limit: int, access: int, flags: int = 0) -> int:
    """A descriptor of the GDT or LDT."""
    return limit & 0xffff | (base & 0xffffff) << 16 | access << 40 | (limit >> 16 & 15) << 48 | flags << 52 | base >> 24 << 56


def gate(selector: int, offset: int, access: int, count: int = 0) -> int:
    """A gate of the GDT, LDT or IDT."""
    return offset & 0xffff | selector << 16 | count << 32 | access << 40 | offset >> 16 << 48


def tss(stack0: int, stack1: int, eip: int = 0, esp: int = 0) -> bytes:
    """A TSS of 32 bits, with an I/O map where its descriptor lets there be one."""
    stacks = [0, stack0, FLAT_DATA, stack1, DATA1 | 1, 0, 0, 0]
    return struct.pack('<26I', *stacks, eip, 2, 1, 2, 3, 4, esp, 6, 7, 8, FLAT_DATA, FLAT_CODE, *[FLAT_DATA] * 4, LOCAL, 0x680000).ljust(112, b'\xff')


def tss16(link: int, ip: int, flags: int, sp: int, es: int, cs: int, ss: int, ds: int, ldt: int) -> bytes:
    """A TSS of 16 bits (SDM 3A, figure 7-10)."""
    return struct.pack('<22H', link, LABELS['inner0'], FLAT_DATA, LABELS['inner1'], DATA1 | 1, 0, 0, ip, flags, 1, 2, 3, 4, sp, 6, 7, 8, es, cs, ss, ds, ldt)


def build() -> tuple[bytes, dict[str, int]]:
    """The program with its tables, and its labels."""
    program = link(assemble_object(SOURCE, 32), ORIGIN)
    at, image = program.labels, bytearray(program.code) + bytearray(program.zeros)

    def put(label: str, *values: int | bytes, width: str = 'Q') -> None:
        data = b''.join(v if isinstance(v, bytes) else struct.pack(f'<{width}', v) for v in values)
        image[at[label] - ORIGIN:at[label] - ORIGIN + len(data)] = data
    put('directory', at['identity'] | 0x67, 0, at['table'] | 7, width='I')
    put('pae_directory', 0xe7, 0x2000e7, 0, 0, at['table'] | 7)
    put('pointers', at['pae_directory'] | 1)
    put('identity', *(n << 12 | 0x67 for n in range(1024)), width='I')
    flat = [descriptor(0, 0xfffff, access, 12) for access in (0x9b, 0x93, 0xfb, 0xf3)]
    tasks = [descriptor(at[name], limit, 0x89) for name, limit in (('tss0', 0x6f), ('tss1', 0x67), ('tss2', 0x67), ('tss2', 0x67))]
    small = [descriptor(0, 0xffff, access) for access in (0x9b, 0x93, 0xfb, 0xf3)]
    put('gdt', 0, *flat, *tasks, descriptor(at['ldt'], 63, 0x82), descriptor(0, 0xfffff, 0xbb, 12), descriptor(0, 0xfffff, 0xb3, 12), *small)
    put('idt', *(gate(TSS2, 0, 0x85) if n == 8 else gate(FLAT_CODE, at[f'stub{n}'], 0xee if n in (3, 4, 33) else 0x8e) for n in range(40)))
    put('tss0', tss(at['inner0'], at['inner1']))
    put('tss1', tss(at['inner0'], at['inner1'], at['land'], at['stack1']))
    put('tss2', tss(at['double_stack'], 0, at['stub8'], at['double_stack']))
    put('code', b'\xcd\x21' * 32)  # INT 21h ends what does not fault: code and landing place
    put('beyond', b'\xcd\x21' * 128)
    return bytes(image), at


IMAGE, LABELS = build()


def bochs(program: str, folder: Path, cases: list[bytes]) -> list[tuple[int, ...]]:
    """What the cases leave behind under Bochs."""
    rom = bytearray(1 << 20)
    rom[:len(IMAGE)] = IMAGE
    records = b''.join(case.ljust(CASE, b'\0') for case in cases) + b'\xff' * CASE
    assert len(IMAGE) <= 0x8000 and len(records) <= 0xe0000
    rom[0x8000:0x8000 + len(records)] = records
    rom[BOOT:BOOT + 256] = assemble(START, 16, BOOT & 0xffff).ljust(256, b'\0')
    rom[-16:] = RESET
    (folder / 'rom').write_bytes(rom)
    (folder / 'video_rom').write_bytes(bytes(512))  # there has to be one
    (folder / 'bochsrc').write_text(BOCHSRC.format(folder=folder))
    saved = folder / 'results'
    (folder / 'commands').write_text(f'continue\nwritemem "{saved}" {RESULTS:#x} {len(cases) * RESULT}\nquit\n')
    saved.unlink(missing_ok=True)
    command = [program, '-q', '-f', str(folder / 'bochsrc'), '-rc', str(folder / 'commands')]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    assert saved.exists(), done.stdout.decode(errors='replace')[-2000:]
    return results(saved.read_bytes())


def emu(guest: Guest, cases: list[bytes]) -> list[tuple[int, ...]]:
    """What they leave behind under an engine of ours."""
    m = guest.m
    guest.memory.write(0, bytes(CASES))
    guest.memory.write(0xffff0, RESET)
    guest.memory.write(ORIGIN, IMAGE)
    guest.memory.write(CASES, b''.join(case.ljust(CASE, b'\0') for case in cases) + b'\xff' * CASE)
    guest.memory.write(RESULTS, bytes(len(cases) * RESULT))
    guest.cpu.reset()
    m.cr0, m.eip, m.halted = PLAIN_CR0, ORIGIN, 0
    for n in range(6): set_segment(m, n, FLAT_CODE if n == CS else FLAT_DATA, descriptor(0, 0xfffff, 0x9b if n == CS else 0x93, 12))
    update_mode(m)
    guest.go(10_000 * len(cases))
    return results(guest.memory.read(RESULTS, len(cases) * RESULT))


def results(data: bytes) -> list[tuple[int, ...]]:
    """One tuple of words, named in NAMES, for each case."""
    return list(struct.iter_unpack(f'<{len(NAMES)}I', data))
