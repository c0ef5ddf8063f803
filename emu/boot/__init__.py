"""Direct boot of a kernel file, without a BIOS: `load_kernel` puts it into memory, `enter` the CPU at its first instruction.

Each format is a module: linux.py (bzImage), multiboot.py. A file is told by what it holds, in QEMU's order: Linux first.
"""
from emu.boot import linux, multiboot
from emu.boot.entry import CODE, CODE_ACCESS, DATA, DATA_ACCESS, Entry
from emu.boot.files import read_file
from emu.errors import EmuError
from emu.isa.flags import set_arithmetic_flags
from emu.isa.segments import set_reach, update_mode
from emu.isa.state import CS, DS, ES, FS, GS, SS, State
from emu.mem.memory import Memory

REGISTERS = ('eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi')
EXTENSION_TYPE, PROTECTED = 0x10, 1  # CR0.ET: the 387's protocol, always 1 since the 486; CR0.PE


def load_kernel(memory: Memory, kernel_path: str, initrd_path: str | None, cmdline: str, screen: bool = False) -> Entry:
    """Loads a bzImage or a multiboot kernel with its initrd or modules; EmuError says what is wrong with a file. `screen`: there is a VGA."""
    kernel = read_file(kernel_path)
    if linux.is_linux(kernel): return linux.load(memory, kernel, read_file(initrd_path) if initrd_path else None, cmdline, screen)
    if multiboot.find_header(kernel) is not None:
        modules = [(text, read_file(path)) for path, text in multiboot.split_modules(initrd_path or '')]
        return multiboot.load(memory, kernel, kernel_path, modules, cmdline)
    raise EmuError(f'{kernel_path}: not a kernel: neither a Linux bzImage nor a multiboot 1 file')


def enter(state: State, entry: Entry) -> None:
    """Protected mode with flat segments, interrupts and paging off, as both protocols ask."""
    state.cr0 = EXTENSION_TYPE | PROTECTED
    state.cpl, state.eflags, state.a20 = 0, 2, 0xffffffff
    set_arithmetic_flags(state, 0)
    for seg in (ES, CS, SS, DS, FS, GS):
        state.selector[seg], state.access[seg] = (CODE, CODE_ACCESS) if seg == CS else (DATA, DATA_ACCESS)
        state.base[seg], state.limit[seg] = 0, 0xffffffff
        set_reach(state, seg)
    state.gdt_base, state.gdt_limit = entry.gdt_base, entry.gdt_limit
    for n, name in enumerate(REGISTERS):
        state.reg[n] = entry.registers.get(name, 0)
    state.eip = entry.eip
    update_mode(state)
