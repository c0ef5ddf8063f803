"""Ports of devices whose registers are texts (emu/ports): compiled code does to a device what Python does, and both see the other's doings; a log sees every access."""
import random
import struct
from collections import deque

import pytest

from emu.hw.pc import Nic, Pc
from emu.isa.segments import set_reach, update_mode
from emu.log import Log
from emu.mem.memory import Memory
from tests.conftest import ALL
from tests.harness import Guest
from tests.test_hw_pc import Cpu

CODE, RESULTS = 0x8000, 0x10000
START = 10 ** 9  # guest time in ns; an instruction takes one


class Computer:
    """A PC of which each side has its own."""

    def __init__(self, memory: Memory):
        self.time, self.frames = START, deque[bytes](maxlen=4)
        self.cpu = Cpu()
        self.pc = Pc(memory, lambda: self.time, self.cpu, [lambda data: None] * 4, 0.0, vga='std',
                     nics=[Nic(bytes(range(6)), self.frames.append, 0x300, 5), Nic(bytes(range(6)), self.frames.append, 0x320, 10)])


class Guests(Computer):
    """Its CPU executes IN and OUT."""

    def __init__(self, engine: str):
        self.guest = Guest(engine)
        self.guest.memory.unmap(0xa0000, 0x20000)
        super().__init__(self.guest.memory)
        self.guest.cpu.bus, m = self.pc.bus, self.guest.m
        m.tick = 1
        m.cr0, m.cr3, m.cpl = 0x11, 0, 0
        for n in range(6):
            m.base[n], m.limit[n], m.access[n] = 0, 0xffffffff, 0xc09b if n == 1 else 0xc093
            set_reach(m, n)
        update_mode(m)

    def access(self, steps: list[tuple[int, int, int | None]]) -> list[int]:
        """(port, width, value or None to read): what was read."""
        code, n, m = b'', 0, self.guest.m
        for port, w, v in steps:
            prefix, wide = b'\x66' * (w == 16), w > 8
            code += b'\xb9' + struct.pack('<I', v or 0) + b'\x89\xc8' + b'\xba' + struct.pack('<I', port)  # mov ecx, v; mov eax, ecx; mov edx, port
            code += prefix + bytes([0xec + wide if v is None else 0xee + wide])
            if v is None:
                code += b'\xa3' + struct.pack('<I', RESULTS + 4 * n)
                n += 1
        self.guest.memory.write(CODE, code + b'\xf4')
        m.eip, m.halted, m.reg[4], m.eflags = CODE, 0, 0x7000, 2
        m.skipped = START - m.retired
        self.guest.go(1 << 40)
        return list(struct.unpack(f'<{n}I', self.guest.memory.read(RESULTS, 4 * n)))


class Pythons(Computer):
    """The bus does them."""

    def access(self, steps: list[tuple[int, int, int | None]]) -> list[int]:
        """The same, at the same times."""
        read, done = [], 0
        for port, w, v in steps:
            self.time = START + done + 4
            if v is None: read.append(self.pc.bus.port_in(port, w))
            else: self.pc.bus.port_out(port, w, v)
            done += 5 if v is None else 4
        return read


def ports(computer: Computer) -> list[int]:
    """Those that a text answers."""
    return [port for port, entry in enumerate(computer.pc.bus.table[:0x10000]) if entry]


def blocks(computer: Computer) -> list[bytes]:
    """All registers there are."""
    return [bytes(block) for block in computer.pc.bus.blocks]


@pytest.mark.parametrize('first', range(0, 200 if ALL else 20, 20))
def test_compiled_texts_do_what_python_does(first: int) -> None:
    """Random accesses to each of these devices, many to the same few ports: all values read and all registers after them are equal."""
    ours, theirs, called = Guests('interpreter'), Pythons(Memory(1 << 20)), []
    ours.pc.bus.trace = lambda kind, port, w, v: called.append((port, w))
    known = ports(theirs)
    assert known == ports(ours) and {0x20, 0x80, 0xa1, 0x300, 0x310} <= set(known)
    for seed in range(first, first + 20):
        rng = random.Random(seed)
        near = rng.choice(known)
        few = [port for port in known if abs(port - near) < 40]
        steps = [(port, rng.choice((8, 8, 8, 16, 32)), rng.choice((None, rng.getrandbits(32), rng.choice((0, 1, 0x22, 0x20, 0x12, 0x0a, 0xff)))))
                 for port in rng.choices(few, k=300)]
        steps = [(port, w, v if v is None else v & (1 << w) - 1) for port, w, v in steps]
        theirs_read, ours_read = theirs.access(steps), ours.access(steps)
        masks = [(1 << w) - 1 for _, w, v in steps if v is None]
        different = next((step for step, a, b, mask in zip([s for s in steps if s[2] is None], ours_read, theirs_read, masks) if a & mask != b), None)
        assert different is None, f'seed {seed}: {different}'
        # `kind` and `number`, and all that follows
        assert blocks(ours) == blocks(theirs), f'seed {seed}, around port {near:04x}'
        assert ours.frames == theirs.frames and ours.cpu.irq == theirs.cpu.irq
    assert called and all(w > 8 for port, w in called), 'Python was asked'


def test_a_log_sees_every_access(tmp_path) -> None:
    """-d io: no text answers past it."""
    ours = Guests('interpreter')
    Log(frozenset({'io'}), tmp_path / 'log', ours.guest.cpu, ours.pc.bus)
    ours.access([(0x80, 8, 0x42), (0x21, 8, None), (0x300, 8, 0x21)])
    lines = [line.split(' at')[0] for line in (tmp_path / 'log').read_text().splitlines()]
    assert lines == ['io: out 0080 8 bits 42', 'io: in  0021 8 bits ff', 'io: out 0300 8 bits 21']
