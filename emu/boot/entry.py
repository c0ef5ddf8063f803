"""What loaders of kernels share: flat segments, a copy into RAM that complains, and Entry, the CPU's state at the first instruction."""
import struct
from dataclasses import dataclass

from emu.errors import EmuError
from emu.isa.state import PAGE_WRITE
from emu.mem.memory import PAGE, Memory

CODE, DATA = 0x10, 0x18  # selectors: Linux's __BOOT_CS and __BOOT_DS; multiboot asks for none in particular
CODE_ACCESS, DATA_ACCESS = 0xC09B, 0xC093  # 4 GiB, 32 bits, present, ring 0; code readable, data writable, both accessed (SDM 3A 3.4.5)
GDT = struct.pack('<4Q', 0, 0, *((access & 0xf0ff) << 40 | 0xf << 48 | 0xffff for access in (CODE_ACCESS, DATA_ACCESS)))

LOW_END, HOLE_END = 0x9fc00, 0x100000  # conventional memory ends where the extended BIOS data area would begin
RAM, RESERVED = 1, 2  # types of ACPI 6, 15.1, as in e820 and multiboot maps


@dataclass(frozen=True)
class Entry:
    """Registers not named are 0. The descriptors of `CODE` and `DATA` are in the GDT given here."""

    eip: int
    registers: dict[str, int]
    gdt_base: int
    gdt_limit: int = len(GDT) - 1


def memory_map(size: int) -> list[tuple[int, int, int]]:
    """(address, length, type) of what a PC with `size` bytes has."""
    ranges = [(0, LOW_END, RAM), (LOW_END, 0xa0000 - LOW_END, RESERVED), (0xf0000, 0x10000, RESERVED), (HOLE_END, size - HOLE_END, RAM)]
    return [r for r in ranges if r[1] > 0]


def place(memory: Memory, physical: int, data: bytes, what: str) -> None:
    """Copies into RAM, all of it or nothing."""
    check_ram(memory, physical, len(data), what)
    memory.write(physical, data)


def check_ram(memory: Memory, physical: int, size: int, what: str) -> None:
    """That [physical, physical + size) can be written."""
    pages = memory.page_map[physical // PAGE:-(-(physical + size) // PAGE)]
    if physical + size > memory.size or not (pages & PAGE_WRITE).all():
        raise EmuError(f'{what} needs memory at {physical:X}h to {max(physical, physical + size - 1):X}h: there is no RAM (give more with -m?)')
