"""Multiboot 1 kernels (Multiboot Specification 0.6.96): 32-bit ELF files, or any file whose header carries the a.out-kludge addresses.

As QEMU does it: -initrd names the modules ('file args,file2', a doubled comma is a comma), the command line begins with the kernel's name,
a virtual ELF entry point is made physical. Left out: video modes, drives, APM and section headers are not told of.
"""
import struct
from typing import Iterator

from emu.boot.entry import GDT, HOLE_END, LOW_END, Entry, check_ram, memory_map, place
from emu.errors import EmuError
from emu.mem.memory import PAGE, Memory

HEADER_MAGIC, LOADER_MAGIC = 0x1badb002, 0x2badb002
SEARCH = 8192  # the header lies in the first 8 KB, on 4 bytes (3.1.1)
KNOWN, ADDRESSES = 7, 1 << 16  # header flags: page-aligned modules, memory information, video; address fields valid
INFO_MEMORY, INFO_CMDLINE, INFO_MODS, INFO_MMAP, INFO_LOADER = 1, 4, 8, 0x40, 0x200  # flags of the information structure (3.3)
INFO_SIZE = 88
TABLES = 0x9000  # where the information goes unless the kernel is there

Segment = tuple[int, bytes, int]  # physical address, contents, size in memory (the rest is zeros)


def find_header(kernel: bytes) -> int | None:
    """Offset of the multiboot header: magic, flags and checksum add up to 0."""
    for at in range(0, min(len(kernel), SEARCH) - 11, 4):
        magic, flags, checksum = struct.unpack_from('<3I', kernel, at)
        if magic == HEADER_MAGIC and (magic + flags + checksum) & 0xffffffff == 0: return at
    return None


def load(memory: Memory, kernel: bytes, name: str, modules: list[tuple[str, bytes]], cmdline: str) -> Entry:
    """Loads the kernel and its modules (command line and contents of each); the state is that of 3.2, "Machine state"."""
    header = find_header(kernel)
    assert header is not None
    flags = struct.unpack_from('<I', kernel, header + 4)[0]
    if flags & 0xffff & ~KNOWN: raise EmuError(f'the kernel asks for multiboot features that there are not: header flags {flags:X}h')
    entry, segments = by_addresses(kernel, header) if flags & ADDRESSES else by_elf(kernel)
    for address, data, size in segments:
        check_ram(memory, address, size, 'the kernel')
        place(memory, address, data + bytes(size - len(data)), 'the kernel')

    texts = [f'{name} {cmdline}'.rstrip(), *(text for text, _ in modules), 'emu']
    room = len(information(0, memory.size, texts, [])) + 16 * len(modules)
    end = page_up(max(address + size for address, _, size in segments))
    inside = any(address < TABLES + room and address + size > TABLES for address, _, size in segments)
    tables = max(end, HOLE_END) if inside else TABLES
    placed, at = [], page_up(max(end, HOLE_END) + (room if inside else 0))
    for _, data in modules:
        place(memory, at, data, 'a module')
        placed.append((at, at + len(data)))
        at = page_up(at + len(data))
    place(memory, tables, information(tables, memory.size, texts, placed), 'the multiboot information')
    return Entry(entry, {'eax': LOADER_MAGIC, 'ebx': tables + len(GDT)}, tables)


def by_addresses(kernel: bytes, header: int) -> tuple[int, list[Segment]]:
    """Entry and segment from the header's address fields (3.1.3)."""
    if header + 32 > len(kernel): raise EmuError('the kernel is truncated: its multiboot header is cut off')
    header_address, load_address, load_end, bss_end, entry = struct.unpack_from('<5I', kernel, header + 12)
    start = header - (header_address - load_address)
    size = load_end - load_address if load_end else len(kernel) - start
    if start < 0 or size <= 0: raise EmuError('the kernel has nonsense in its multiboot address fields')
    if start + size > len(kernel): raise EmuError(f'the kernel is truncated: {len(kernel)} bytes of {start + size}')
    return entry, [(load_address, kernel[start:start + size], max(size, bss_end - load_address))]


def by_elf(kernel: bytes) -> tuple[int, list[Segment]]:
    """Entry and segments from the ELF program headers, at their physical addresses (System V ABI, chapter 5)."""
    if kernel[:4] != b'\x7fELF': raise EmuError('the kernel has a multiboot header without addresses and is no ELF file')
    if kernel[4:6] != b'\1\1': raise EmuError('the kernel is no 32-bit little-endian ELF file')
    if len(kernel) < 52: raise EmuError('the kernel is truncated: its ELF header is cut off')
    machine = struct.unpack_from('<H', kernel, 18)[0]
    if machine != 3: raise EmuError(f'the kernel is an ELF file for another machine ({machine}), not for the 386')
    entry, at = struct.unpack_from('<2I', kernel, 24)
    each, count = struct.unpack_from('<2H', kernel, 42)
    if each < 32 or at + each * count > len(kernel): raise EmuError('the kernel is truncated: its program headers are cut off')
    segments, physical_entry = [], entry
    for n in range(count):
        kind, offset, virtual, physical, filesz, memsz = struct.unpack_from('<6I', kernel, at + n * each)
        if kind != 1 or memsz == 0: continue  # PT_LOAD
        if filesz > memsz: raise EmuError('the kernel has a segment larger in its file than in memory')
        if offset + filesz > len(kernel): raise EmuError(f'the kernel is truncated: {len(kernel)} bytes of {offset + filesz}')
        segments.append((physical, kernel[offset:offset + filesz], memsz))
        if virtual <= entry < virtual + memsz: physical_entry = entry - virtual + physical
    if not segments: raise EmuError('the kernel has no segment to load')
    return physical_entry, segments


def information(at: int, ram: int, texts: list[str], placed: list[tuple[int, int]]) -> bytes:
    """The tables at physical address `at`: GDT, information structure (3.3), memory map, modules, strings (kernel's, modules', loader's)."""
    ranges = b''.join(struct.pack('<IQQI', 20, *r) for r in memory_map(ram))
    info = at + len(GDT)
    mmap = info + INFO_SIZE
    mods = mmap + len(ranges)
    strings, addresses, free = b'', [], mods + 16 * len(placed)
    for text in texts:
        addresses.append(free + len(strings))
        strings += text.encode('utf-8', 'surrogateescape') + b'\0'
    command, *arguments, loader = addresses
    flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER
    fields = struct.pack('<7I16x5I', flags, LOW_END >> 10, (ram - HOLE_END) >> 10, 0, command, len(placed), mods, len(ranges), mmap, 0, 0, 0)
    fields += struct.pack('<I', loader)
    table = b''.join(struct.pack('<4I', start, end, text, 0) for (start, end), text in zip(placed, arguments))
    return GDT + fields.ljust(INFO_SIZE, b'\0') + ranges + table + strings


def split_modules(spec: str) -> Iterator[tuple[str, str]]:
    """(file, its whole command line) for each module of 'file args,file2'."""
    for text in spec.replace(',,', '\0').split(','):
        text = text.replace('\0', ',').strip()
        if text: yield text.split()[0], text


def page_up(address: int) -> int:
    """The next page boundary, or this one."""
    return -(-address // PAGE) * PAGE
