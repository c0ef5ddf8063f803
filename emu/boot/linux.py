"""Linux's bzImage by the 32-bit boot protocol (Documentation/arch/x86/boot.rst, zero-page.rst): protocol 2.02 and up.

We do what the kernel's real-mode part would have asked a BIOS for: the zero page at 10000h with the setup header, an e820 map and
the screen's mode; then the protected-mode part, at 100000h, is entered with ESI at the zero page. A zImage (loaded low) is refused.
"""
import struct

from emu.boot.entry import GDT, LOW_END, Entry, check_ram, memory_map, place
from emu.errors import EmuError
from emu.mem.memory import PAGE, Memory

ZERO_PAGE, GDT_AT, STACK, COMMAND_LINE = 0x10000, 0x11000, 0x20000, 0x20000
LOADED_HIGH = 1  # of loadflags
UNKNOWN_LOADER = 0xff  # of type_of_loader: no number assigned

# The setup header's fields that matter here: name, offset in file and zero page, format, since which protocol, else which value.
HEADER = {name: (int(offset, 16), form, int(since, 16), int(otherwise, 16)) for name, offset, form, since, otherwise in (line.split() for line in """
setup_sects      1f1  B  200  0
syssize          1f4  I  204  0
header           202  I  200  0
version          206  H  200  0
type_of_loader   210  B  200  0
loadflags        211  B  200  0
code32_start     214  I  200  0
ramdisk_image    218  I  200  0
ramdisk_size     21c  I  200  0
cmd_line_ptr     228  I  202  0
initrd_addr_max  22c  I  203  37ffffff
relocatable      234  B  205  0
cmdline_size     238  I  206  ff
pref_address     258  Q  20a  100000
init_size        260  I  20a  0
""".strip().splitlines())}
E820_ENTRIES, E820_TABLE = 0x1e8, 0x2d0
TEXT_SCREEN = ((0x06, 3), (0x07, 80), (0x0e, 25), (0x0f, 1), (0x10, 16))  # of screen_info: mode, columns, lines, "it is a VGA", lines of a character


def is_linux(kernel: bytes) -> bool:
    """Whether the setup header's two signatures are there (boot.rst, "The Real-Mode Kernel Header")."""
    return kernel[0x1fe:0x200] == b'\x55\xaa' and kernel[0x202:0x206] == b'HdrS'


def field(image: bytes, name: str) -> int:
    """A field of the setup header, or what it meant before the protocol had it."""
    offset, form, since, otherwise = HEADER[name]
    version = struct.unpack_from('<H', image, HEADER['version'][0])[0]
    return int(struct.unpack_from('<' + form, image, offset)[0]) if version >= since else otherwise


def set_field(page: bytearray, name: str, value: int) -> None:
    """Stores a field in the zero page."""
    struct.pack_into('<' + HEADER[name][1], page, HEADER[name][0], value)


def load(memory: Memory, kernel: bytes, initrd: bytes | None, cmdline: str, screen: bool = False) -> Entry:
    """Puts everything in its place; the entry state is boot.rst's "32-bit Boot Protocol". `screen`: there is a VGA, in text mode."""
    setup_size, image_size = check(kernel)
    text = cmdline.encode('utf-8', 'surrogateescape')
    if len(text) > (limit := min(field(kernel, 'cmdline_size'), LOW_END - COMMAND_LINE - 1)):
        raise EmuError(f'-append: {len(text)} bytes; this kernel takes {limit}')
    start = field(kernel, 'code32_start')
    end = kernel_end(kernel, start, image_size)
    check_ram(memory, start, end - start, 'the kernel')
    place(memory, start, kernel[setup_size:], 'the kernel')

    page = zero_page(kernel, memory.size, screen)
    set_field(page, 'cmd_line_ptr', COMMAND_LINE)
    if initrd:
        address = initrd_address(kernel, len(initrd), end, memory.size)
        place(memory, address, initrd, 'the initrd')
        set_field(page, 'ramdisk_image', address)
        set_field(page, 'ramdisk_size', len(initrd))
    place(memory, ZERO_PAGE, bytes(page), 'the zero page')
    place(memory, COMMAND_LINE, text + b'\0', 'the command line')
    place(memory, GDT_AT, GDT, 'the GDT')
    return Entry(start, {'esi': ZERO_PAGE, 'esp': STACK}, GDT_AT)


def check(kernel: bytes) -> tuple[int, int]:
    """The sizes of the real-mode and the protected-mode part of a kernel that can be booted."""
    if len(kernel) < 0x264: raise EmuError('the kernel is truncated: its setup header is cut off')
    version = field(kernel, 'version')
    if version < 0x202: raise EmuError(f'the kernel has boot protocol {version >> 8}.{version & 255:02}; 2.02 is the oldest that can be booted')
    if not field(kernel, 'loadflags') & LOADED_HIGH: raise EmuError('the kernel is a zImage; only a bzImage can be booted')
    setup_size = 512 * (1 + (field(kernel, 'setup_sects') or 4))
    wanted = setup_size + 16 * field(kernel, 'syssize')
    if len(kernel) < max(wanted, setup_size + 1): raise EmuError(f'the kernel is truncated: {len(kernel)} bytes of {wanted}')
    return setup_size, len(kernel) - setup_size


def kernel_end(kernel: bytes, start: int, image_size: int) -> int:
    """The end of what the kernel uses before it knows the memory map: init_size from where it runs; before 2.10, a guess at its unpacked size."""
    if init_size := field(kernel, 'init_size'): return max(start, field(kernel, 'pref_address')) + init_size
    return start + 4 * image_size


def initrd_address(kernel: bytes, size: int, lowest: int, ram: int) -> int:
    """As high as the header and RAM allow, on a page."""
    address = (min(field(kernel, 'initrd_addr_max') + 1, ram) - size) // PAGE * PAGE
    if address < lowest: raise EmuError(f'no room for the initrd: {size >> 10} KB above {lowest >> 20} MB in {ram >> 20} MB of memory (give more with -m)')
    return address


def zero_page(kernel: bytes, ram: int, screen: bool) -> bytearray:
    """boot_params: the header copied, our name, the memory map; a screen_info of zeros says that there is no screen."""
    page = bytearray(PAGE)
    header_end = 0x202 + kernel[0x201]
    page[0x1f1:header_end] = kernel[0x1f1:header_end]
    set_field(page, 'type_of_loader', UNKNOWN_LOADER)
    if screen:
        for at, value in TEXT_SCREEN: page[at] = value
    ranges = memory_map(ram)
    page[E820_ENTRIES] = len(ranges)
    for n, (address, length, kind) in enumerate(ranges):
        struct.pack_into('<QQI', page, E820_TABLE + 20 * n, address, length, kind)
    return page
