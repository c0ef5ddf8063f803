"""emu/hw/fw_cfg.py against QEMU's docs/specs/fw_cfg."""
import ctypes
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.bus import Bus
from emu.hw.fw_cfg import Firmware, FwCfg
from emu.mem.memory import Memory

MEMORY = Memory(2 << 20)


class Machine:
    """The device alone."""

    def __init__(self) -> None:
        self.bus, self.asked = Bus(), 0
        self.device = FwCfg(self.bus, MEMORY, Firmware({3: struct.pack('<Q', 2 << 20)}, {'etc/b': b'bytes of b', 'etc/a': self.file}))

    def file(self) -> bytes:
        self.asked += 1
        return b'made %d' % self.asked

    def get(self, item: int, n: int) -> bytes:
        self.bus.port_out(0x510, 16, item)
        return bytes(self.bus.port_in(0x511, 8) for _ in range(n))

    def dma(self, control: int, length: int, address: int) -> int:
        """Runs a descriptor at 1000h; its control word afterwards."""
        MEMORY.write(0x1000, struct.pack('>IIQ', control, length, address))
        self.bus.port_out(0x514, 32, 0)
        self.bus.port_out(0x518, 32, int.from_bytes(struct.pack('>I', 0x1000), 'little'))
        return struct.unpack('>I', MEMORY.read(0x1000, 4))[0]


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_items(m: Machine) -> None:
    """Signature, ID (bit 0: always, bit 1: DMA), little-endian numbers; behind the end and where there is no item: zeros."""
    assert m.get(0, 6) == b'QEMU\0\0' and m.get(1, 4) == b'\3\0\0\0' and m.get(3, 8) == struct.pack('<Q', 2 << 20) and m.get(0x1234, 2) == b'\0\0'
    assert m.get(0, 1) + bytes([m.bus.port_in(0x511, 8)]) == b'QE'


def test_rep_insb(m: Machine) -> None:
    m.bus.port_out(0x510, 16, 0)
    data = ctypes.create_string_buffer(b'\xff' * 6)
    m.bus.port_in_block(0x511, 8, ctypes.addressof(data), 6)
    assert data.raw[:6] == b'QEMU\0\0'


def test_directory(m: Machine) -> None:
    """Big-endian count, then size, item, reserved and a name of 56 bytes, sorted by name."""
    count, = struct.unpack('>I', m.get(0x19, 4))
    entries = [struct.unpack('>IH2x56s', bytes(m.bus.port_in(0x511, 8) for _ in range(64))) for _ in range(count)]
    assert [(size, item, name.rstrip(b'\0')) for size, item, name in entries] == [(6, 0x20, b'etc/a'), (10, 0x21, b'etc/b')]
    assert m.get(0x21, 10) == b'bytes of b'


def test_a_file_is_made_when_it_is_chosen(m: Machine) -> None:
    first = m.get(0x20, 6)
    assert first != m.get(0x20, 6)


def test_dma(m: Machine) -> None:
    """The signature; select, skip and read; no writing; nothing outside of RAM."""
    assert [m.bus.port_in(port, 32).to_bytes(4, 'little') for port in (0x514, 0x518)] == [b'QEMU', b' CFG']
    assert m.dma(0x21 << 16 | 8 | 2, 5, 0x2000) == 0 and MEMORY.read(0x2000, 5) == b'bytes'
    assert m.dma(4, 1, 0) == 0 and m.dma(2, 6, 0x2000) == 0 and MEMORY.read(0x2000, 6) == b'of b\0\0'
    assert m.dma(16, 1, 0x2000) == 1
    for length, address in ((16, (2 << 20) - 8), (0xffffffff, 0), (1, 1 << 63)): assert m.dma(8 | 2, length, address) == 1


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0x50f, 0x51d), st.sampled_from([8, 16, 32]), st.integers(0, 0xffffffff)), max_size=30))
def test_garbage(steps: list[tuple[bool, int, int, int]]) -> None:
    """Any access."""
    m = Machine()
    for out, port, w, v in steps:
        if out: m.bus.port_out(port, w, v)
        else: assert 0 <= m.bus.port_in(port, w) < 1 << w


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 0xffffffff), st.one_of(st.integers(0, 64), st.integers(0, 0xffffffff)), st.one_of(st.integers(0, 2 << 20), st.integers(0, (1 << 64) - 1)))
def test_garbage_descriptors(control: int, length: int, address: int) -> None:
    assert Machine().dma(control, length, address) in (0, 1) or address <= 0x1010
