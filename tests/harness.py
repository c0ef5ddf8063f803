"""A bare machine for single instructions: a CPU, RAM, no devices, and the names of the engines to run it with.

`Guest.run` takes and gives the records of the host oracle (oracle/host.py): user mode, paging on, flat 32-bit segments or those of the oracle's LDT; each case ends
in an exception, whose handler halts. `Guest.real` sets up real mode. Tables and handlers lie where no case points.
"""
import ctypes
import struct

import numpy as np

from emu.cpu import Cpu
from emu.isa.flags import eflags_image, set_arithmetic_flags
from emu.isa.segments import set_null, set_reach, set_segment, update_mode
from emu.isa.state import FIELDS, LDTR, TR, State
from emu.mem.memory import Memory
from tests.oracle.host import BASE16, CODE, DATA, LDT, TIMEOUT, WINDOW, descriptor

ENGINES = ('eager', 'interpreter', 'stencils', 'optimise')

TABLES = 0x220000  # physical and linear address of all that the processor reads by itself
DIRECTORY, PAGE_TABLE, GDT, LOCAL, IDT, TSS, HANDLERS, STACK = (TABLES + n * 0x1000 for n in range(8))
RING0_CODE, RING0_DATA, TSS_SELECTOR, LDT_SELECTOR, RING0_CODE16, RING0_DATA16 = 0x08, 0x10, 0x38, 0x40, 0x48, 0x50
WITH_CODE = (8, 10, 11, 12, 13, 14, 17)  # exceptions that push an error code
XMM = FIELDS['xmm_low']
PATIENCE = 2000  # instructions; a case that runs for longer is the oracle's TIMEOUT


class Bus:
    """What lies around the CPU: nothing. Ports and memory read as ones."""

    def port_in(self, port: int, w: int) -> int:
        """All ones."""
        return (1 << w) - 1

    def port_out(self, port: int, w: int, v: int) -> None:
        """Nobody listens."""

    def port_in_block(self, port: int, w: int, p: int, n: int) -> None:
        """All ones."""
        ctypes.memset(p, 0xff, n * w // 8)

    def port_out_block(self, port: int, w: int, p: int, n: int) -> None:
        """Nobody listens."""

    def mmio_read(self, physical: int, w: int) -> int:
        """All ones."""
        return (1 << w) - 1

    def mmio_write(self, physical: int, w: int, v: int) -> None:
        """Nobody listens."""


def flat(access: int) -> bytes:
    """A 4 GiB segment's descriptor."""
    return struct.pack('<II', 0xffff, 0x00cf0000 | access << 8)


def system(base: int, limit: int, access: int) -> bytes:
    """An LDT's or TSS's descriptor."""
    return struct.pack('<II', (limit & 0xffff) | (base & 0xffff) << 16, (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | (base & 0xff000000))


def segment16(base: int, access: int) -> bytes:
    """A 16-bit segment's descriptor."""
    return system(base, 0xffff, access)


def gate(offset: int, dpl: int) -> bytes:
    """A 32-bit interrupt gate."""
    return struct.pack('<HHHH', offset & 0xffff, RING0_CODE, 0x8e00 | dpl << 13, offset >> 16)


class Guest:
    """A State with `size` bytes of RAM, run by the engine of that name."""

    def __init__(self, engine: str, size: int = 0x230000):
        self.memory = Memory(size)
        self.memory.map_ram(0xa0000, 0x60000)
        self.cpu = Cpu(self.memory, Bus(), engine=engine)
        self.m = self.cpu.state
        if engine in ('stencils', 'optimise'): self.m.threshold = 1  # every block is translated at its first execution
        self.cpu.at_once = engine == 'optimise'

    def go(self, left: int = PATIENCE) -> None:
        """Runs until HLT, shutdown or the end of our patience."""
        while left > 0 and not self.m.halted and not self.m.shutdown: left -= max(1, self.cpu.run(left))

    # --- protected mode, as the oracle's Linux has it ---

    def user_mode(self) -> None:
        """Tables, page tables and control registers; done once."""
        m, write = self.m, self.memory.write
        writable, readable = [CODE, CODE + 0x1000, DATA, DATA + 0x1000], [DATA + 0x2000]
        pages = {a: 7 for a in writable} | {a: 5 for a in readable} | {TABLES + n * 0x1000: 3 for n in range(8)}
        for a, flags in pages.items():
            write(PAGE_TABLE + (a >> 12) * 4, struct.pack('<I', a | flags | 0x60))  # accessed, dirty
        write(DIRECTORY, struct.pack('<I', PAGE_TABLE | 0x27))
        local = bytes(8) + b''.join(descriptor(*entry) for entry in LDT)
        gdt = bytes(8) + flat(0x9b) + flat(0x93) + bytes(8) + flat(0xfb) + flat(0xf3) + bytes(8) + system(TSS, 0x67, 0x8b) + system(LOCAL, len(local) - 1, 0x82)
        gdt += segment16(CODE, 0x9b) + segment16(BASE16, 0x93)
        write(GDT, gdt)
        write(LOCAL, local)
        write(IDT, b''.join(gate(HANDLERS + v, 3 if v in (3, 4) else 0) for v in range(256)))
        write(HANDLERS, b'\xf4' * 256)
        write(TSS, struct.pack('<III', 0, STACK + 0x1000, RING0_DATA).ljust(0x66, b'\0') + b'\x68\0')
        m.gdt_base, m.gdt_limit, m.idt_base, m.idt_limit = GDT, 0x7f, IDT, 0x7ff
        m.cr0, m.cr3, m.cr4 = 0x80010033, DIRECTORY, 0x600  # OSFXSR, OSXMMEXCPT
        self.cpu.flush()
        self.segment(LDTR, LDT_SELECTOR)
        self.segment(TR, TSS_SELECTOR)

    def segment(self, n: int, selector: int) -> None:
        """Loads a segment register without checks."""
        place = (LOCAL if selector & 4 else GDT) + (selector & ~7)
        if selector > 3: set_segment(self.m, n, selector, int.from_bytes(self.memory.read(place, 8), 'little', signed=True))
        else: set_null(self.m, n, selector)

    def load(self, case: np.void) -> None:
        """Puts a case's inputs into the machine."""
        m, memory = self.m, self.memory
        memory.write(CODE, b'\xcc' * 0x2000)
        memory.write(int(case['code_at']), case['code'][:case['ncode']].tobytes())
        memory.write(DATA, bytes(0x2000))
        memory.write(WINDOW, case['mem'].tobytes())
        for n in range(8): m.reg[n] = case['reg'][n]
        for n in range(6): self.segment(n, int(case['seg'][n]))
        m.eip, m.eflags, m.cpl, m.cr2 = case['eip'], int(case['eflags']) & ~0x8d5, 3, 0
        set_arithmetic_flags(m, int(case['eflags']))
        m.halted = m.shutdown = m.external = 0
        load_fpu(m, case['fpu'].tobytes())
        load_xmm(m, case)
        update_mode(m)

    def store(self, case: np.void) -> None:
        """Takes the results out, once the handler of the exception that ended it has halted."""
        m, memory = self.m, self.memory
        case['trap'] = TIMEOUT
        case['fpu'] = np.frombuffer(store_fpu(m), np.uint8)
        case['mxcsr'], case['xmm'] = m.mxcsr, np.frombuffer(m.memory[XMM.offset:XMM.offset + 128], np.uint8)
        case['mem'] = np.frombuffer(memory.read(WINDOW, 512), np.uint8)
        data = np.frombuffer(memory.read(DATA, 0x2000), '<u4').copy()
        data[(WINDOW - DATA) // 4:(WINDOW - DATA + 512) // 4] = 0
        case['stray'] = np.count_nonzero(data)
        case['reg'] = [m.reg[n] for n in range(8)]
        case['seg'] = [m.selector[n] for n in range(6)]
        if not m.halted: return
        vector = m.eip - HANDLERS - 1
        stack = list(struct.unpack('<6I', memory.read(STACK + 0x1000 - 24, 24)))
        if vector not in WITH_CODE: stack[0] = 0
        case['trap'], case['cr2'] = vector, m.cr2
        case['error'], case['eip'], case['seg'][1], case['eflags'], case['reg'][4], case['seg'][2] = stack

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Runs cases as `Oracle.run` does."""
        out = batch.copy()
        for case in out:
            self.load(case)
            self.go()
            self.store(case)
        return out

    # --- real mode ---

    def real(self, registers: dict[str, int], ram: dict[int, int]) -> None:
        """Real mode with these registers (named as in MOO files), and bytes of memory."""
        m = self.m
        for address, value in ram.items(): self.memory.write(address, bytes([value]))
        for n, name in enumerate('ax cx dx bx sp bp si di'.split()): m.reg[n] = registers.get('e' + name, registers.get(name, 0))
        m.cr0, m.cr3, m.cr4, m.cpl = 0x10, 0, 0, 0
        m.idt_base, m.idt_limit = 0, 0x3ff
        for n, name in enumerate('es cs ss ds fs gs'.split()):
            m.selector[n], m.base[n], m.limit[n], m.access[n] = registers.get(name, 0), registers.get(name, 0) << 4, 0xffff, 0x93
            set_reach(m, n)
        flags = registers.get('eflags', registers.get('flags', 0))
        m.eip, m.eflags = registers.get('eip', registers.get('ip', 0)), (flags & ~0x8d5 & 0x7fff) | 2
        set_arithmetic_flags(m, flags)
        m.halted = m.shutdown = m.external = 0
        update_mode(m)

    def real_state(self) -> dict[str, int]:
        """The registers by their 32-bit names."""
        m = self.m
        state = {'e' + name: m.reg[n] for n, name in enumerate('ax cx dx bx sp bp si di'.split())}
        state |= {name: m.selector[n] for n, name in enumerate('es cs ss ds fs gs'.split())}
        return state | {'eip': m.eip, 'eflags': eflags_image(m)}


def load_xmm(m: State, case: np.void) -> None:
    """XMM registers and MXCSR."""
    m.memory[XMM.offset:XMM.offset + 128] = case['xmm'].tobytes()
    m.mxcsr = case['mxcsr']


def load_fpu(m: State, image: bytes) -> None:
    """The FPU from an FNSAVE image (SDM 1, figure 8-9)."""
    control, status, tags = struct.unpack_from('<HxxHxxH', image)
    m.fpu_control, m.fpu_status, m.fpu_top = control, status & ~0x3800, status >> 11 & 7
    m.fpu_empty = sum(1 << n for n in range(8) if tags >> 2 * n & 3 == 3)
    for n in range(8):
        mantissa, exponent = struct.unpack_from('<qH', image, 28 + 10 * n)
        m.fpu_mantissa[n + m.fpu_top & 7], m.fpu_exponent[n + m.fpu_top & 7] = mantissa, exponent
    m.fpu_ip = m.fpu_cs = m.fpu_dp = m.fpu_ds = m.fpu_opcode = 0


def tag(mantissa: int, exponent: int) -> int:
    """0 valid, 1 zero, 2 special (SDM 1, 8.1.7)."""
    if exponent & 0x7fff == 0 and mantissa == 0: return 1
    return 0 if mantissa < 0 and 0 < exponent & 0x7fff < 0x7fff else 2


def store_fpu(m: State) -> bytes:
    """The FNSAVE image without the pointers, which the oracle's kernel does not tell."""
    registers = [(m.fpu_mantissa[n], m.fpu_exponent[n]) for n in range(8)]
    tags = sum((3 if m.fpu_empty >> n & 1 else tag(*registers[n])) << 2 * n for n in range(8))
    image = struct.pack('<IIIIIII', 0xffff0000 | m.fpu_control, 0xffff0000 | m.fpu_status | m.fpu_top << 11, 0xffff0000 | tags, 0, 0, 0, 0)
    return image + b''.join(struct.pack('<qH', *registers[n + m.fpu_top & 7]) for n in range(8))
