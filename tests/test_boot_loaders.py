"""Loaders: the zero page and placement of boot.rst, the Multiboot Specification 0.6.96, on kernels made here."""
import struct

import pytest

from emu.boot import CODE, DATA, enter, linux, load_kernel, multiboot
from emu.boot.entry import CODE_ACCESS, DATA_ACCESS, Entry
from emu.errors import EmuError
from emu.isa.flags import eflags_image
from emu.isa.state import CS, DS, SS, State
from emu.mem.memory import Memory

MB = 1 << 20


@pytest.fixture
def memory():
    return Memory(64 * MB)


def bzimage(version=0x20f, body=bytes(range(256)) * 16, **fields):
    """A bzImage with 4 setup sectors; `fields` go into its header."""
    image = bytearray(5 * 512)
    image[0x1fe:0x202] = b'\x55\xaa\xeb\x66'  # the jump at 200h ends the header at 268h
    image[0x202:0x206] = b'HdrS'
    values = dict(version=version, setup_sects=4, loadflags=1, code32_start=MB, syssize=len(body) // 16, initrd_addr_max=0x7fffffff,
                  cmdline_size=2047, relocatable=1, pref_address=16 * MB, init_size=8 * MB) | fields
    for name, value in values.items():
        linux.set_field(image, name, value)
    return bytes(image) + body


def names(value):
    """Test names without the kernels' bytes."""
    return value if isinstance(value, str) else ''


def load_files(tmp_path, memory, kernel, initrd=None, cmdline=''):
    """As the command does it, from files."""
    (tmp_path / 'kernel').write_bytes(kernel)
    return load_kernel(memory, str(tmp_path / 'kernel'), initrd, cmdline)


# --- Linux ---------------------------------------------------------------------------------------------------------------------

def zero_page_field(memory, name):
    return linux.field(memory.read(linux.ZERO_PAGE, 4096), name)


def test_linux_entry_state(memory):
    """boot.rst, 32-bit Boot Protocol: ESI at boot_params, EBP EDI EBX 0, __BOOT_CS 10h and __BOOT_DS 18h flat, in a loaded GDT."""
    entry = linux.load(memory, bzimage(), None, '')
    m = State()
    m.reg[3] = m.reg[5] = m.reg[7] = 0xdead
    enter(m, entry)
    assert m.eip == MB and m.reg[6] == 0x10000 and (m.reg[3], m.reg[5], m.reg[7]) == (0, 0, 0)
    assert (m.selector[CS], m.selector[DS], m.selector[SS]) == (0x10, 0x18, 0x18)
    assert (m.base[CS], m.limit[CS], m.access[CS], m.access[DS]) == (0, 0xffffffff, CODE_ACCESS, DATA_ACCESS)
    assert m.cr0 & 0x80000001 == 1 and eflags_image(m) == 2
    assert (m.protected, m.code32, m.cpl, m.stack_mask) == (1, 1, 0, 0xffffffff)
    assert m.reach[CS] == 1 and m.reach[DS] == 3
    descriptor = struct.unpack('<Q', memory.read(m.gdt_base + CODE, 8))[0]
    assert descriptor == 0x00cf9b000000ffff and m.gdt_limit >= DATA + 7


def test_linux_kernel_is_at_code32_start(memory):
    linux.load(memory, bzimage(body=b'kernel..' * 64), None, '')
    assert memory.read(MB, 512) == b'kernel..' * 64


def test_linux_zero_page(memory):
    """zero-page.rst: the header from 1F1h, our loader type, the command line, no screen."""
    kernel = bzimage()
    linux.load(memory, kernel, None, 'console=ttyS0 quiet')
    page = memory.read(linux.ZERO_PAGE, 4096)
    assert page[0x202:0x210] == kernel[0x202:0x210]
    assert page[:0x1e8] == bytes(0x1e8)
    assert zero_page_field(memory, 'type_of_loader') == 0xff
    assert memory.read(zero_page_field(memory, 'cmd_line_ptr'), 20) == b'console=ttyS0 quiet\0'
    assert zero_page_field(memory, 'ramdisk_size') == 0


def test_linux_e820(memory):
    """zero-page.rst 1E8h, 2D0h: what a PC has, and nothing from A0000h to the BIOS."""
    linux.load(memory, bzimage(), None, '')
    page = memory.read(linux.ZERO_PAGE, 4096)
    ranges = list(struct.iter_unpack('<QQI', page[0x2d0:0x2d0 + 20 * page[0x1e8]]))
    assert (0, 0x9fc00, 1) in ranges and (0xf0000, 0x10000, 2) in ranges and (MB, 63 * MB, 1) in ranges
    assert all(start + length <= 0xa0000 or start >= 0xf0000 for start, length, _ in ranges)


@pytest.mark.parametrize('highest, ram, expected', [
    (0x7fffffff, 64 * MB, 64 * MB - 8192), (48 * MB - 1, 64 * MB, 48 * MB - 8192), (48 * MB - 1, 32 * MB, 32 * MB - 8192),
])
def test_linux_initrd_as_high_as_allowed(highest, ram, expected):
    """boot.rst, initrd_addr_max: the last byte may lie there; and in RAM."""
    memory = Memory(ram)
    linux.load(memory, bzimage(initrd_addr_max=highest), b'initrd' * 1000, '')
    assert zero_page_field(memory, 'ramdisk_image') == expected and zero_page_field(memory, 'ramdisk_size') == 6000
    assert memory.read(expected, 6000) == b'initrd' * 1000


def test_linux_initrd_keeps_off_the_kernel():
    """boot.rst, init_size: the kernel uses that much from where it runs, pref_address."""
    with pytest.raises(EmuError, match='no room for the initrd'):
        linux.load(Memory(25 * MB), bzimage(), bytes(2 * MB), '')


def test_linux_old_protocol(memory):
    """boot.rst: 2.02 has no cmdline_size (255), no init_size, and initrd_addr_max is 37FFFFFFh."""
    kernel = bzimage(version=0x202)
    assert linux.load(memory, kernel, b'initrd', 'x' * 255).eip == MB
    assert linux.field(kernel, 'initrd_addr_max') == 0x37ffffff
    with pytest.raises(EmuError, match='255'):
        linux.load(memory, kernel, None, 'x' * 256)


@pytest.mark.parametrize('kernel, message', [
    (bzimage(version=0x201), '2.01'),
    (bzimage(loadflags=0), 'zImage'),
    (bzimage()[:-1], 'truncated'),
    (bzimage()[:0x220], 'truncated'),
    (bzimage(syssize=0)[:2560], 'truncated'),
    (bzimage(init_size=60 * MB), 'no RAM'),
    (bzimage(code32_start=0xfffff000), 'no RAM'),
], ids=names)
def test_linux_bad_kernels(memory, kernel, message):
    with pytest.raises(EmuError, match=message):
        linux.load(memory, kernel, None, '')


# --- multiboot -------------------------------------------------------------------------------------------------------------------

def header(flags=0, *addresses):
    return struct.pack('<3I', 0x1badb002, flags, -(0x1badb002 + flags) & 0xffffffff) + struct.pack(f'<{len(addresses)}I', *addresses)


def elf(*segments, entry=MB + 16, machine=3):
    """A 32-bit ELF file; segments of (virtual, physical, data, memory size)."""
    start = 52 + 32 * len(segments)
    programs, data = b'', b''
    for virtual, physical, content, memsz in segments:
        programs += struct.pack('<8I', 1, start + len(data), virtual, physical, len(content), memsz, 7, 4)
        data += content
    return struct.pack('<16s2H5I6H', b'\x7fELF\1\1\1', 2, machine, 1, entry, 52, 0, 0, 52, 32, len(segments), 0, 0, 0) + programs + data


def info(memory, m):
    """The information structure EBX points to, by name (3.3)."""
    names = 'flags mem_lower mem_upper boot_device cmdline mods_count mods_addr s0 s1 s2 s3 mmap_length mmap_addr drives_length drives_addr config loader'
    return dict(zip(names.split(), struct.unpack('<17I', memory.read(m.reg[3], 68))))


def string(memory, at):
    return memory.read(at, 200).split(b'\0')[0].decode()


def test_multiboot_machine_state(tmp_path, memory):
    """3.2: EAX the magic, EBX the information, flat 32-bit segments, paging and interrupts off, A20 on."""
    m = State()
    enter(m, load_files(tmp_path, memory, elf((MB, MB, header() + b'code', 16))))
    assert m.reg[0] == 0x2badb002 and m.eip == MB + 16
    assert m.cr0 & 0x80000001 == 1 and eflags_image(m) & 0x20200 == 0 and m.a20 == 0xffffffff
    assert m.limit[CS] == m.limit[DS] == 0xffffffff and m.code32 == 1


def test_multiboot_information(tmp_path, memory):
    """3.3: memory in KB, the map's entries with their size before them, the command line with the kernel's name first, as QEMU gives it."""
    m = State()
    enter(m, load_files(tmp_path, memory, elf((MB, MB, header(2), 12)), cmdline='one two'))
    table = info(memory, m)
    assert table['flags'] & 0x245 == 0x245 and (table['mem_lower'], table['mem_upper']) == (639, 63 * 1024)
    assert string(memory, table['cmdline']) == f'{tmp_path}/kernel one two' and string(memory, table['loader']) == 'emu'
    entries = list(struct.iter_unpack('<IQQI', memory.read(table['mmap_addr'], table['mmap_length'])))
    assert (20, 0, 0x9fc00, 1) in entries and (20, MB, 63 * MB, 1) in entries


def test_multiboot_elf_segments(tmp_path, memory):
    """Segments go to p_paddr, zeros up to p_memsz; a virtual entry point becomes physical (as QEMU and GRUB do)."""
    memory.write(2 * MB, b'\xff' * 64)
    kernel = elf((0xc0100000, MB, header() + b'text', 16), (0xc0200000, 2 * MB, b'data', 32), entry=0xc010000c)
    assert load_files(tmp_path, memory, kernel).eip == MB + 12
    assert memory.read(MB + 12, 4) == b'text'
    assert memory.read(2 * MB, 33) == b'data' + bytes(28) + b'\xff'


def test_multiboot_address_fields(tmp_path, memory):
    """3.1.3: flag 16; load_addr is where the file's byte at header_addr - (header_addr - load_addr) goes; bss is zeroed."""
    memory.write(2 * MB, b'\xff' * 128)
    kernel = bytes(64) + b'startpad' + header(0x10000, 2 * MB + 8, 2 * MB, 2 * MB + 48, 2 * MB + 64, 2 * MB + 40) + b'textMORE'
    assert load_files(tmp_path, memory, kernel).eip == 2 * MB + 40
    assert memory.read(2 * MB, 8) == b'startpad' and memory.read(2 * MB + 40, 8) == b'textMORE'
    assert memory.read(2 * MB + 48, 17) == bytes(16) + b'\xff'


def test_multiboot_modules(tmp_path, memory):
    """3.3 mods: page-aligned after the kernel; -initrd as QEMU reads it: commas between modules, ',,' a comma, the file is the first word."""
    (tmp_path / 'a').write_bytes(b'A' * 5000)
    (tmp_path / 'b,c').write_bytes(b'B')
    m = State()
    enter(m, load_files(tmp_path, memory, elf((MB, MB, header(1), 12)), f'{tmp_path}/a x=1,{tmp_path}/b,,c'))
    table = info(memory, m)
    modules = list(struct.iter_unpack('<4I', memory.read(table['mods_addr'], 16 * table['mods_count'])))
    assert [memory.read(start, end - start) for start, end, _, _ in modules] == [b'A' * 5000, b'B']
    assert [string(memory, text) for _, _, text, _ in modules] == [f'{tmp_path}/a x=1', f'{tmp_path}/b,c']
    assert all(start % 4096 == 0 and start >= MB + 12 for start, *_ in modules)


def test_multiboot_kernel_in_low_memory(tmp_path, memory):
    """The tables keep off a kernel that lies where they would go."""
    code = header() + bytes(range(1, 200)) * 200
    (tmp_path / 'a').write_bytes(b'module')
    m = State()
    enter(m, load_files(tmp_path, memory, elf((0x8000, 0x8000, code, len(code)), entry=0x8000), f'{tmp_path}/a'))
    assert memory.read(0x8000, len(code)) == code
    table = info(memory, m)
    assert string(memory, table['loader']) == 'emu' and memory.read(struct.unpack('<I', memory.read(table['mods_addr'], 4))[0], 6) == b'module'


@pytest.mark.parametrize('kernel, message', [
    (elf((MB, MB, header() + b'code', 16))[:-2], 'truncated'),
    (elf((MB, MB, header(), 12), machine=62), 'another machine'),
    (elf((64 * MB, 64 * MB, header(), 12)), 'no RAM'),
    (elf((0xa0000, 0xa0000, header(), 12)), 'no RAM'),
    (elf((MB, MB, header(), 4)), 'larger in its file'),
    (elf((MB, MB, header(8), 12)), 'features'),
    (b'\x7fELF\2\1' + bytes(58) + header(), '32-bit'),
    (header(), 'no ELF file'),
    (header(0x10000, MB), 'truncated'),
    (header(0x10000, MB, 2 * MB, 0, 0, MB), 'nonsense'),
    (header(0x10000, MB, MB, 2 * MB, 0, MB), 'truncated'),
], ids=names)
def test_multiboot_bad_kernels(tmp_path, memory, kernel, message):
    with pytest.raises(EmuError, match=message):
        load_files(tmp_path, memory, kernel)


def test_header_is_within_8_kb_and_aligned():
    """3.1: the header lies wholly within the first 8192 bytes, on 4 bytes."""
    assert multiboot.find_header(bytes(8180) + header()) == 8180
    assert multiboot.find_header(bytes(8184) + header()) is None
    assert multiboot.find_header(bytes(2) + header()) is None


# --- files -----------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('content, message', [
    (b'', 'empty'), (b'\x7fELF', 'not a kernel'), (b'#!/bin/sh\n' * 1000, 'not a kernel'), (bytes(4096), 'not a kernel'),
], ids=names)
def test_not_kernels(tmp_path, memory, content, message):
    with pytest.raises(EmuError, match=message):
        load_files(tmp_path, memory, content)


def test_missing_files(tmp_path, memory):
    with pytest.raises(EmuError, match='nowhere: no such file'):
        load_kernel(memory, str(tmp_path / 'nowhere'), None, '')
    with pytest.raises(EmuError, match='noinitrd: no such file'):
        load_files(tmp_path, memory, bzimage(), str(tmp_path / 'noinitrd'))
    with pytest.raises(EmuError, match='is a directory'):
        load_kernel(memory, str(tmp_path), None, '')


def test_a_whole_disk_is_not_read_into_memory(memory, tmp_path):
    """A disk image or a device where the kernel should be."""
    with (tmp_path / 'disk').open('wb') as file: file.truncate(1 << 36)
    with pytest.raises(EmuError, match='disk: 65536 MB are more'):
        load_kernel(memory, str(tmp_path / 'disk'), None, '')
    with pytest.raises(EmuError, match='/dev/zero: neither a file nor a pipe'):
        load_kernel(memory, '/dev/zero', None, '')


def test_registers_not_named_are_0():
    m = State()
    m.reg[2] = 5
    enter(m, Entry(0x1000, {'esp': 0x8000}, 0))
    assert m.reg[2] == 0 and m.reg[4] == 0x8000


def test_linux_is_told_of_the_screen():
    """struct screen_info (zero-page.rst, offset 0): or a kernel with console=tty0 shows nothing."""
    kernel = bzimage()
    assert linux.zero_page(kernel, 16 << 20, True)[:0x12] == bytes([0, 0, 0, 0, 0, 0, 3, 80, 0, 0, 0, 0, 0, 0, 25, 1, 16, 0])
    assert linux.zero_page(kernel, 16 << 20, False)[:0x40] == bytes(0x40)
