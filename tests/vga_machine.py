"""A display adapter on a bus, alone or beside a CPU that runs small programs of port and memory accesses."""
import struct
from typing import Iterable

from emu.hw.bus import Bus
from emu.hw.pci import Pci
from emu.hw.vga import Vga
from emu.isa.segments import set_reach, update_mode
from emu.mem.memory import Memory
from tests.harness import Guest

CODE, RESULTS = 0x10000, 0x8000


class Adapter:
    """A VGA in slot 2 of a PCI bus, with time in our hands."""

    def __init__(self, memory: Memory | None = None, bios: bytes | None = None):
        self.time, self.memory, self.bus = 0, memory or Memory(2 << 20), Bus()
        self.pci = Pci(self.bus, lambda n, level: None)
        self.vga = Vga(self.bus, self.memory, lambda: self.time, bios)
        self.pci.add(2, 0, self.vga.pci)

    def out(self, port: int, *values: int, w: int = 8) -> None:
        for v in values: self.bus.port_out(port, w, v)

    def read(self, port: int, w: int = 8) -> int:
        return self.bus.port_in(port, w)

    def put(self, port: int, index: int, value: int) -> None:
        """An indexed register."""
        self.out(port, index)
        self.out(port + 1, value)

    def attribute(self, index: int, value: int) -> None:
        self.read(0x3da)
        self.read(0x3ba)
        self.out(0x3c0, index, value)

    def dispi(self, index: int, value: int) -> None:
        self.out(0x1ce, index, w=16)
        self.out(0x1cf, value, w=16)

    def get_dispi(self, index: int) -> int:
        self.out(0x1ce, index, w=16)
        return self.read(0x1cf, 16)

    def configure(self, register: int, value: int) -> None:
        """PCI configuration space."""
        self.bus.port_out(0xcf8, 32, 0x80001000 | register & 0xfc)
        self.bus.port_out(0xcfc, 32, value)

    def configuration(self, register: int) -> int:
        self.bus.port_out(0xcf8, 32, 0x80001000 | register & 0xfc)
        return self.bus.port_in(0xcfc, 32)

    def set_mode(self, mode: tuple[bytes, ...]) -> None:
        """The registers of tests/vga_modes.py, and the screen on."""
        misc, sequencer, crtc, attribute, graphics = mode
        self.out(0x3c2, misc[0])
        for n, v in enumerate(sequencer): self.put(0x3c4, n, v)
        base = 0x3d4 if misc[0] & 1 else 0x3b4
        self.put(base, 0x11, 0)
        for n, v in enumerate(crtc): self.put(base, n, v)
        for n, v in enumerate(graphics): self.put(0x3ce, n, v)
        for n, v in enumerate(bytes(range(16)) + attribute): self.attribute(n, v)
        self.out(0x3c6, 0xff)
        self.out(0x3c8, 0)
        for n in range(256): self.out(0x3c9, n & 63, n * 7 & 63, (n >> 2) ^ 21)
        self.read(base + 6)
        self.out(0x3c0, 0x20)


class Computer(Adapter):
    """The adapter with a CPU of that engine: flat 32-bit segments, ring 0."""

    def __init__(self, engine: str):
        self.guest = Guest(engine)
        self.guest.memory.unmap(0xa0000, 0x20000)
        super().__init__(self.guest.memory)
        self.guest.cpu.bus = self.bus
        m = self.guest.m
        m.vga = self.vga.memory.address
        m.cr0, m.cr3, m.cpl = 0x11, 0, 0
        for n in range(6):
            m.base[n], m.limit[n], m.access[n] = 0, 0xffffffff, 0xc09b if n == 1 else 0xc093
            set_reach(m, n)
        update_mode(m)

    def run(self, code: bytes, **registers: int) -> None:
        """Runs code to its HLT."""
        m = self.guest.m
        self.memory.write(CODE, code + b'\xf4')
        m.eip, m.halted, m.reg[4], m.eflags = CODE, 0, 0x7000, 2
        for name, v in registers.items(): m.reg['eax ecx edx ebx esp ebp esi edi'.split().index(name)] = v
        self.guest.go(1 << 40)

    def access(self, steps: Iterable[tuple]) -> list[int]:
        """('out', port, value), ('write', address, width, value), ('read', address, width): what the reads gave."""
        code, reads = b'', []
        for kind, place, *rest in steps:
            if kind == 'out': code += b'\x66\xba' + struct.pack('<H', place) + b'\xb0' + bytes(rest) + b'\xee'
            elif kind == 'write':
                w, v = rest
                prefix, load = b'\x66' if w == 16 else b'', (b'\xb0' if w == 8 else b'\xb8') + (v & (1 << w) - 1).to_bytes(w // 8, 'little')
                code += prefix + load + prefix + (b'\xa2' if w == 8 else b'\xa3') + struct.pack('<I', place)
            else:
                prefix, load, store = b'\x66' if rest[0] == 16 else b'', b'\xa0' if rest[0] == 8 else b'\xa1', b'\xa2' if rest[0] == 8 else b'\xa3'
                code += prefix + load + struct.pack('<I', place) + prefix + store + struct.pack('<I', RESULTS + 4 * len(reads))
                reads.append(rest[0])
        assert 4 * len(reads) <= 0x4000 and len(code) < 0x8000
        self.run(code)
        return [int.from_bytes(self.memory.read(RESULTS + 4 * n, w // 8), 'little') for n, w in enumerate(reads)]
