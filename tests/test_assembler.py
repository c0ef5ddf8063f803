"""The assembler: LLVM's encodings, our linker (System V ABI, Intel386 supplement, "Relocation"), the multiboot ELF file."""
import struct

import pytest

from emu.assembler import HEADER_SIZE, assemble, assemble_elf
from emu.boot.multiboot import by_elf, find_header
from emu.errors import EmuError


def test_instructions_of_32_bits():
    assert assemble('mov eax, [ebx + ecx*4 + 8]\nud2') == bytes.fromhex('8b448b08 0f0b')


def test_instructions_of_16_bits():
    assert assemble('mov ax, 0x1234\nmov eax, [bx + si]', bits=16) == bytes.fromhex('b83412 668b00')


def test_labels_are_absolute_from_the_origin():
    assert assemble('x: mov eax, offset x\nmov ebx, [y + 4]\njmp x\ny:', origin=0x100000) == bytes.fromhex('b800001000 8b1d11001000 ebf3')


def test_labels_of_16_bits():
    assert assemble('mov ax, offset x\n.word x - 1\nx:', bits=16, origin=0x7c00) == bytes.fromhex('b8057c 047c')


def test_sections_follow_each_other_and_refer_to_each_other():
    """R_386_32 and R_386_PC32 across sections; .bss is not in the bytes."""
    code = assemble('call f\nmov eax, [b]\n.data\n.p2align 4\nd: .long d, f\n.section .other, "ax"\nf: ret\n.bss\n.p2align 8\nb: .skip 8', origin=0x1000)
    assert code == bytes.fromhex('e813000000 a100110000').ljust(16, b'\0') + struct.pack('<2I', 0x1010, 0x1018) + b'\xc3'


def test_a_label_that_does_not_fit():
    with pytest.raises(EmuError, match='10003h, does not fit 16 bits'):
        assemble('mov ax, offset far\n.data\nfar:', bits=16, origin=0x10000)


@pytest.mark.parametrize('source, message', [
    ('nop\nbogus eax', "line 2: invalid instruction mnemonic 'bogus'"),
    ('jmp nowhere', "label 'nowhere' is defined nowhere"),
    ('x: nop\nx: nop', "line 2: symbol 'x' is already defined"),
    ('mov eax, [', 'line 1: '),
])
def test_mistakes_are_reported_with_their_line(source, message):
    """LLVM ends its process at an error; ours goes on."""
    with pytest.raises(EmuError, match=message): assemble(source)


def test_only_16_and_32_bits():
    with pytest.raises(EmuError): assemble('nop', bits=64)


def test_multiboot_elf():
    """Multiboot 3.1: a header in the first 8 KB; the program header's segment, entered at _start, .bss in memory only."""
    elf = assemble_elf('data: .long data\n_start: hlt\n.bss\n.skip 100', origin=0x200000)
    assert find_header(elf) is not None
    assert elf[HEADER_SIZE:] == struct.pack('<I', 0x200000) + b'\xf4'
    entry, [(address, code, size)] = by_elf(elf)
    assert (entry, address, code, size) == (0x200004, 0x200000, elf[HEADER_SIZE:], 5 + 100)
