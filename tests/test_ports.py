"""Ports of devices whose registers are texts (emu/ports): compiled code does to a device what Python does, and both see the other's doings; a log sees every access."""
import ctypes
import random
import struct
from collections import deque
from typing import NamedTuple

import pytest

from emu.hw.pc import Nic, Pc
from emu.isa.clock import NEVER
from emu.isa.segments import set_reach, update_mode
from emu.log import Log
from emu.mem.memory import Memory
from tests.conftest import ALL
from tests.harness import Guest
from tests.test_hw_pc import Cpu

CODE, RESULTS, PAGE = 0x8000, 0x100000, 0x1000
HOST = 'buffer', 'video'  # fields that are addresses of the host's
START = 10 ** 9  # guest time in ns; an instruction takes one


class Read(NamedTuple):
    """So many times."""

    n: int


Step = tuple[int, int, Read | bytes]  # port, width, what is done: bytes are written


class Computer:
    """A PC of which each side has its own."""

    def __init__(self, memory: Memory):
        self.time, self.frames = START, deque[bytes](maxlen=4)
        self.cpu = Cpu()
        self.pc = Pc(memory, self.now, self.cpu, [lambda data: None] * 4, 0.0, vga='std',
                     nics=[Nic(bytes(range(6)), self.frames.append, 0x300, 5), Nic(bytes(range(6)), self.frames.append, 0x320, 10)])

    def now(self) -> int:
        """What Python's side of the devices takes for the time."""
        return self.time


class Guests(Computer):
    """Its CPU executes IN and OUT."""

    def __init__(self, engine: str):
        self.guest = Guest(engine)
        self.guest.memory.unmap(0xa0000, 0x20000)
        super().__init__(self.guest.memory)
        self.pc.pic.intr = self.guest.cpu.set_irq
        self.guest.cpu.bus, m = self.pc.bus, self.guest.m
        m.tick, m.pic, m.pit = 1, self.pc.pic.address, self.pc.pit.channels[0].address
        m.cr0, m.cr3, m.cpl = 0x11, 0, 0
        for n in range(6):
            m.base[n], m.limit[n], m.access[n] = 0, 0xffffffff, 0xc09b if n == 1 else 0xc093
            set_reach(m, n)
        update_mode(m)

    def now(self) -> int:
        """What the texts have for it in compiled code."""
        return int(self.guest.cpu.now())

    def access(self, steps: list[Step]) -> list[bytes]:
        """What was read."""
        code, at, sizes, m = b'', RESULTS, [], self.guest.m
        for port, w, what in steps:
            prefix, wide, opcode = b'\x66' * (w == 16), w > 8, 0x6c if isinstance(what, Read) else 0x6e
            n = what.n if isinstance(what, Read) else len(what) * 8 // w
            if not isinstance(what, Read): self.guest.memory.write(at, what)
            code += b'\x89\xe5' + b'\xba' + struct.pack('<I', port)  # mov ebp, esp; mov edx, port
            code += (b'\xbf' if isinstance(what, Read) else b'\xbe') + struct.pack('<I', at) + b'\xb9' + struct.pack('<I', n)  # mov edi or esi, at; mov ecx, n
            code += b'\xf3' * (n > 1) + prefix + bytes([opcode + wide])
            if isinstance(what, Read): sizes.append((at, n * w // 8))
            at += PAGE
        self.guest.memory.write(CODE, code + b'\xf4')
        m.eip, m.halted, m.reg[4], m.eflags = CODE, 0, 0x7000, 2
        m.skipped = START - m.retired
        self.guest.go(1 << 40)
        return [self.guest.memory.read(place, size) for place, size in sizes]


class Pythons(Computer):
    """The bus does them."""

    def access(self, steps: list[Step]) -> list[bytes]:
        """The same, at the same times."""
        read = []
        for k, (port, w, what) in enumerate(steps):
            self.time = START + 5 * (k + 1)
            n = what.n if isinstance(what, Read) else len(what) * 8 // w
            buffer = ctypes.create_string_buffer(bytes(n * w // 8) if isinstance(what, Read) else what, n * w // 8)
            (self.pc.bus.port_in_block if isinstance(what, Read) else self.pc.bus.port_out_block)(port, w, ctypes.addressof(buffer), n)
            if isinstance(what, Read): read.append(buffer.raw)
        return read


def ports(computer: Computer) -> list[int]:
    """Those that a text answers."""
    return [port for port, entry in enumerate(computer.pc.bus.table[:0x10000]) if entry]


def blocks(computer: Computer) -> list[bytes]:
    """All registers there are."""
    return [b''.join(bytes(getattr(block, name)) if hasattr(getattr(block, name), '__len__') else b'%d ' % getattr(block, name)
                     for name, kind in type(block).__mro__[1]._fields_ if name not in HOST) for block in computer.pc.bus.blocks]


@pytest.mark.parametrize('first', range(0, 200 if ALL else 20, 20))
@pytest.mark.parametrize('engine', ['interpreter', 'stencils'])
def test_compiled_texts_do_what_python_does(engine: str, first: int) -> None:
    """Random accesses to each of these devices, many to the same few ports: all values read and all registers after them are equal."""
    ours, theirs = Guests(engine), Pythons(Memory(1 << 20))
    known = ports(theirs)
    assert known == ports(ours) and {0x20, 0x80, 0xa1, 0x300, 0x310, 0x3c4, 0x3cf, 0x3da, 0x40, 0x43, 0x61} <= set(known)
    for seed in range(first, first + 20):
        rng = random.Random(seed)
        near = rng.choice(known)
        few = [port for port in known if abs(port - near) < 40]
        steps: list[Step] = []
        for port in rng.choices(few, k=300):
            w, n = rng.choice((8, 8, 8, 16, 32)), rng.choice((1, 1, 1, 1, 1, 1, 7, 300))
            plain = rng.choice((0, 1, 0x22, 0x20, 0x12, 0x0a, 0xff)).to_bytes(w // 8, 'little')
            steps.append((port, w, rng.choice((Read(n), rng.randbytes(n * w // 8), plain))))
        for step, a, b in zip([step for step in steps if isinstance(step[2], Read)], ours.access(steps), theirs.access(steps)): assert a == b, f'seed {seed}: {step}'
        assert blocks(ours) == blocks(theirs), f'seed {seed}, around port {near:04x}'
        assert ours.frames == theirs.frames and ours.guest.m.irq == theirs.cpu.irq, f'seed {seed}, around port {near:04x}'


@pytest.mark.parametrize('first', range(0, 400 if ALL else 40, 20))
def test_compiled_ticks_are_those_of_python(first: int) -> None:
    """Counter 0 in all modes: at random times compiled code, where a slice ends (emu/jit/pacing.py), and Python's clock do the same to timer, interrupt controllers and INTR."""
    ours, theirs, at = Guests('interpreter'), Pythons(Memory(1 << 20)), START
    m = ours.guest.m
    m.eflags, m.halted, m.until, m.deadline = 2, 1, NEVER, NEVER
    for computer in (ours, theirs):
        for port, v in zip((0x20, 0x21, 0x21, 0x21, 0x21), (0x11, 0x30, 4, 1, 0xfe)): computer.pc.bus.port_out(port, 8, v)
    for seed in range(first, first + 20):
        rng = random.Random(seed)
        mode, n, bcd = rng.randrange(6), rng.choice((1, 2, 3, 7, 100, 4773, 0, rng.randrange(65536))), rng.randrange(2)
        for step in range(30):
            at += rng.choice((1, 500, 900, 10_000, 4_000_000, 10 ** 8))
            theirs.time, m.skipped = at, at - m.retired
            for computer in (ours, theirs):
                if step == 0: computer.pc.bus.port_out(0x43, 8, 0x30 | mode << 1 | bcd)
                if step in (0, 12): computer.pc.bus.port_out(0x40, 8, n & 0x99 if bcd else n & 0xff)
                if step in (0, 13): computer.pc.bus.port_out(0x40, 8, n >> 8 & 0x99 if bcd else n >> 8)
                if step % 5 == 4:
                    computer.pc.bus.port_out(0x20, 8, 0x0c)  # the next read is INTA's
                    computer.pc.bus.port_in(0x20, 8)
                    computer.pc.bus.port_out(0x20, 8, 0x20)
            assert ours.guest.cpu.run(0) == 0
            theirs.pc.clock.run_due()
            assert blocks(ours) == blocks(theirs) and m.irq == theirs.cpu.irq, f'seed {seed}, step {step}, mode {mode}, count {n}'
            assert (ours.pc.clock.counter.due, m.irq) == (theirs.pc.clock.counter.due, theirs.cpu.irq)


def test_python_is_not_asked() -> None:
    """A byte of a port that a text answers does not reach the bus."""
    ours, called = Guests('interpreter'), []
    ours.pc.bus.trace = lambda kind, port, w, v: called.append(port)
    ours.access([(port, 8, what) for port in (*ports(ours), 0x1f7) for what in (Read(1), bytes(1))])
    assert called == [0x1f7, 0x1f7]


def test_a_log_sees_every_access(tmp_path) -> None:
    """-d io: no text answers past it."""
    ours = Guests('interpreter')
    Log(frozenset({'io'}), tmp_path / 'log', ours.guest.cpu, ours.pc.bus)
    ours.access([(0x80, 8, b'\x42'), (0x21, 8, Read(1)), (0x300, 8, b'\x21')])
    lines = [line.split(' at')[0] for line in (tmp_path / 'log').read_text().splitlines()]
    assert lines == ['io: out 0080 8 bits 42', 'io: in  0021 8 bits ff', 'io: out 0300 8 bits 21']
