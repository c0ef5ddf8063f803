"""Guest code from assembly text: LLVM's own assembler (`module asm` through llvmlite), Intel syntax, then a linker of a page.

A label is the address it will have in the guest. LLVM ends the process at an error, so it runs in a child: `python -m emu.assembler` reads the text
and writes an object. Relocations are those of the System V ABI, Intel386 supplement, and its 16- and 8-bit extension. Sections follow each other in
the object's order, what is zeros (.bss) last. Left out: symbols of other files, archives, debug information. A trap of LLVM's:
in 16-bit code `call label`, `ret` and `retf` get an operand-size prefix; after `.att_syntax`, `callw`, `retw` and `lretw` have none.
"""
import functools
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from emu.errors import EmuError

TRIPLE = 'i386-unknown-none-elf'
ALLOC, NOBITS, SYMTAB, REL = 2, 8, 2, 9  # section flag; section types
ABSOLUTE = 0xfff1  # section number of a symbol that is a number
MULTIBOOT_MAGIC, MULTIBOOT_FLAGS = 0x1badb002, 3  # modules on pages, memory information
HEADER_SIZE = 4096  # of the ELF file's part before the guest's bytes

# Relocation type: width in bytes, relative to the place itself
RELOCATIONS = {
    1: (4, False),  # R_386_32
    2: (4, True),   # R_386_PC32
    4: (4, True),   # R_386_PLT32: there is no PLT
    20: (2, False),  # R_386_16
    21: (2, True),   # R_386_PC16
    22: (1, False),  # R_386_8
    23: (1, True),   # R_386_PC8
}


class Section(NamedTuple):
    """An ELF section header (System V ABI, chapter 4)."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class Program(NamedTuple):
    """Linked bytes, how many zeros follow them, and where each label is."""

    code: bytes
    zeros: int
    labels: dict[str, int]


def assemble(source: str, bits: int = 32, origin: int = 0) -> bytes:
    """The bytes of the text as they belong at address `origin`; zeros at its end (.bss) are left out."""
    return link(assemble_object(source, bits), origin).code


def assemble_elf(source: str, origin: int = 0x100000) -> bytes:
    """A multiboot 1 kernel to be loaded at `origin`, entered at the label `_start` or its first byte, in 32-bit protected mode."""
    program = link(assemble_object(source, 32), origin)
    entry, size = program.labels.get('_start', origin), len(program.code)
    header = b'\x7fELF\1\1\1'.ljust(16, b'\0') + struct.pack('<2H5I6H', 2, 3, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    header += struct.pack('<8I', 1, HEADER_SIZE, origin, origin, size, size + program.zeros, 7, HEADER_SIZE)
    header += struct.pack('<3I', MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS) & 0xffffffff)
    return header.ljust(HEADER_SIZE, b'\0') + program.code


@functools.lru_cache(256)
def assemble_object(source: str, bits: int) -> bytes:
    """LLVM's ELF object for the text; EmuError has the first error and its line."""
    if bits not in (16, 32): raise EmuError(f'cannot assemble for {bits} bits, only 16 and 32')
    text = f'.intel_syntax noprefix; .code{bits}\n{source}\n'
    child = subprocess.run([sys.executable, '-m', 'emu.assembler'], input=text.encode(), capture_output=True,
                           cwd=Path(__file__).parent.parent)
    if child.returncode == 0: return child.stdout
    errors = child.stderr.decode(errors='replace').strip()
    if found := re.search(r'<inline asm>:(\d+):\d+: (.*)', errors): raise EmuError(f'assembly, line {int(found[1]) - 1}: {found[2]}')
    raise EmuError(f'assembly: {errors.splitlines()[-1] if errors else f"LLVM ended with {child.returncode}"}')


def link(obj: bytes, origin: int) -> Program:
    """Places an object's sections from `origin` on and applies its relocations."""
    table, each, count = struct.unpack_from('<I10xHH', obj, 32)
    sections = [Section(*struct.unpack_from('<10I', obj, table + n * each)) for n in range(count)]
    image, places = bytearray(), {}
    loaded = [n for n, s in enumerate(sections) if s.flags & ALLOC and s.type != NOBITS]
    for n in loaded:
        s = sections[n]
        image += bytes(-(origin + len(image)) % max(s.align, 1))
        places[n] = origin + len(image)
        image += obj[s.offset:s.offset + s.size]
    end = origin + len(image)
    for n, s in enumerate(sections):
        if not s.flags & ALLOC or s.type != NOBITS: continue
        places[n] = end + -end % max(s.align, 1)
        end = places[n] + s.size
    symbols = [symbol for s in sections if s.type == SYMTAB for symbol in read_symbols(obj, s, sections[s.link], places)]
    for s in sections:
        if s.type == REL and s.info in places:
            for at in range(s.offset, s.offset + s.size, 8):
                offset, info = struct.unpack_from('<2I', obj, at)
                relocate(image, origin, places[s.info] + offset, info, symbols)
    return Program(bytes(image), end - origin - len(image), {name: value for name, value in symbols if name and value is not None})


def read_symbols(obj: bytes, table: Section, strings: Section, places: dict[int, int]) -> list[tuple[str, int | None]]:
    """(name, address) of each symbol, in the table's order; the address is None where it is defined nowhere."""
    symbols: list[tuple[str, int | None]] = []
    for at in range(table.offset, table.offset + table.size, 16):
        name, value, _, _, _, section = struct.unpack_from('<3I2BH', obj, at)
        start = strings.offset + name
        text = obj[start:obj.index(0, start)].decode()
        symbols.append((text, value if section == ABSOLUTE else value + places[section] if section in places else None))
    return symbols


def relocate(image: bytearray, origin: int, place: int, info: int, symbols: list[tuple[str, int | None]]) -> None:
    """One Elf32_Rel at an address: the addend is there."""
    name, value = symbols[info >> 8]
    if value is None: raise EmuError(f"assembly: label '{name}' is defined nowhere")
    if info & 0xff not in RELOCATIONS: raise EmuError(f'assembly: relocation type {info & 0xff} of {name!r} is not known')
    size, relative = RELOCATIONS[info & 0xff]
    at = place - origin
    addend = int.from_bytes(image[at:at + size], 'little', signed=True)
    total = value + addend - (place if relative else 0)
    bits = 8 * size
    # 16-bit code computes addresses modulo 64K; a number that fits neither signed nor unsigned is a mistake
    if size < 4 and not -(1 << bits) < total < 1 << bits: raise EmuError(f'assembly: an address, {value + addend:X}h, does not fit {bits} bits')
    image[at:at + size] = (total & (1 << bits) - 1).to_bytes(size, 'little')


def main() -> None:
    """The child: text on stdin, object on stdout."""
    import llvmlite.binding as llvm
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    text = ''.join(f'\\{byte:02X}' for byte in sys.stdin.buffer.read())
    module = llvm.parse_assembly(f'target triple = "{TRIPLE}"\nmodule asm "{text}"\n')
    target = llvm.Target.from_triple(TRIPLE).create_target_machine(reloc='static')
    sys.stdout.buffer.write(target.emit_object(module))


if __name__ == '__main__':
    main()
