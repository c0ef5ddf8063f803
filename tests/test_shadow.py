"""Shadow RAM: the 82441FX's PAM registers (data sheet, "PAM[6:0]") send reads and writes of C0000h to FFFFFh to RAM or to ROMs, each on its own, under code that runs there."""
import struct

import pytest

from emu.assembler import assemble
from emu.hw.pc import Pc
from emu.hw.pci import PAM_REGIONS
from emu.mem.memory import Memory
from tests.harness import ENGINES, Guest
from tests.test_hw_pc import Cpu


def make(memory: Memory) -> Pc:
    """A machine with a ROM of 11h from E0000h to FFFFFh."""
    memory.add_rom(b'\x11' * 0x20000, 0xe0000, 0xfffe0000)
    return Pc(memory, lambda: 0, Cpu())


def pam(pc: Pc, register: int, value: int) -> None:
    """Writes a register of the host bridge."""
    pc.bus.port_out(0xcf8, 32, 0x80000000 | register & 0xfc)
    pc.bus.port_out(0xcfc + (register & 3), 8, value)


def test_reset_shows_the_rom() -> None:
    """PAM is 0: reads come from ROM, here and below 4 GB; where there is none, nothing answers; writes are lost."""
    memory = Memory(4 << 20)
    pc = make(memory)
    memory.write(0xf0000, b'\x22')
    assert memory.read(0xdffff, 2) == b'\xff\x11' and memory.read(0xfffffffe, 2) == memory.read(0xffffe, 2) == b'\x11\x11'
    pc.bus.mmio_write(0xf0000, 8, 0x22)
    pam(pc, 0x59, 0x30)
    assert memory.read(0xf0000, 1) == b'\0'


@pytest.mark.parametrize('register, shift, address, size', PAM_REGIONS)
def test_each_region(register: int, shift: int, address: int, size: int) -> None:
    """Four ways; neighbours keep theirs."""
    memory = Memory(4 << 20)
    pc = make(memory)
    outside = b'\x11' if address >= 0xe0000 else b'\xff'
    pam(pc, register, 2 << shift)  # write only
    for place in (address, address + size - 1):
        pc.bus.mmio_write(place, 8, 0x33)
        assert memory.read(place, 1) == outside
    memory.write(address + 1, b'\x44')  # as a device does, too
    pam(pc, register, 3 << shift)
    assert memory.read(address, 2) == b'\x33\x44' and memory.read(address + size - 1, 1) == b'\x33'
    assert memory.read(address - 1, 1) == (b'\x11' if address > 0xe0000 else b'\xff')
    memory.write(address, b'\x55')
    pam(pc, register, 1 << shift)  # read only
    memory.write(address, b'\x66')
    pc.bus.mmio_write(address, 8, 0x66)
    assert memory.read(address, 1) == b'\x55'
    pc.reset()
    assert memory.read(address, 1) == outside
    pam(pc, register, 3 << shift)
    assert memory.read(address, 1) == b'\x55'


def test_read_only_memory_is_no_dmas_target() -> None:
    """A device's write to a ROM is lost, and to the end of memory as well."""
    memory = Memory(4 << 20)
    make(memory)
    memory.write(0xfffff000, bytes(4096))
    memory.write((4 << 20) - 1, b'abc')
    assert memory.read(0xfffff000, 4096) == b'\x11' * 4096 and memory.read((4 << 20) - 1, 2) == b'a\xff'


PROGRAM = '''
    mov al, 2                   # reads from ROM, writes to RAM: the BIOS copies itself
    call pam
    mov ax, 0xe000
    mov ds, ax
    mov es, ax
    xor si, si
    xor di, di
    mov cx, 0x1000
    cld
    rep movsd
    inc byte ptr [0x101]        # reads the ROM's, writes the RAM's
    call routine
    mov bl, al
    mov al, 3
    call pam
    call routine
    mov bh, al
    mov byte ptr [0x101], 0x77
    call routine
    mov cl, al
    mov al, 1                   # read only
    call pam
    mov byte ptr [0x101], 0x78
    call routine
    mov ch, al
    mov al, 0
    call pam
    call routine
    mov dl, al
    hlt
pam:
    push eax
    push dx
    mov eax, 0x8000005c
    mov dx, 0xcf8
    out dx, eax
    pop ax
    push ax
    mov dx, 0xcfe
    mov al, [esp + 2]
    out dx, al
    pop dx
    pop eax
    ret
routine:
    mov al, 0
    push cx
    mov cx, 20                  # hot enough to be translated
again:
    lcall 0xe000, 0x100
    loop again
    pop cx
    ret
'''


@pytest.mark.parametrize('engine', ENGINES)
def test_code_in_shadow_ram(engine: str) -> None:
    """What runs is what reads see, whatever was decoded or translated before."""
    rom = bytearray(b'\x11' * 0x4000)
    rom[0x100:0x103] = bytes((0xb0, 0x42, 0xcb))  # mov al, 42h; retf
    g = Guest(engine)
    g.memory.add_rom(bytes(rom), 0xe0000)
    pc = Pc(g.memory, lambda: 0, Cpu())
    g.cpu.bus = pc.bus
    g.memory.shadow(0xe0000, 0x4000, False, False)
    g.memory.write(0x8000, assemble(PROGRAM, 16, 0x8000))
    g.real({'ip': 0x8000, 'sp': 0x7000}, {})
    g.cpu.flush()
    g.go(20000)
    state = g.real_state()
    assert g.m.halted and struct.pack('<HHB', state['ebx'] & 0xffff, state['ecx'] & 0xffff, state['edx'] & 0xff) == bytes((0x42, 0x43, 0x77, 0x77, 0x42))
