"""Garbage written to all devices of a PC at once: random ports, devices' memory, configuration space, time that passes, DMA started anywhere, media changed, resets.

Nothing raises, nothing hangs (no access takes long), values fit their widths, deadlines lie ahead, and no memory of the host is reached: the page map leads to guest
memory only, and a block transfer stays in its buffer. EMU_TEST_ALL=1 goes on for minutes.
"""
import ctypes
import gc
import struct
import tempfile
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emu.disk.image import RawImage
from emu.disk.overlay import Overlay
from emu.errors import EmuError
from emu.hw.ata import Disk
from emu.hw.atapi import Cdrom
from emu.hw.floppy import Drive
from emu.hw.keys import NAMES
from emu.hw.pc import NIC_SLOT, Nic, Pc
from emu.hw.pci import ROM_BASE
from emu.hw.speaker import Wave
from emu.hw.vga_memory import SIZE as VIDEO
from emu.hw.vga_render import Screen
from emu.mem.memory import PAGE, Memory
from tests.conftest import ALL
from tests.test_hw_pc import Cpu

SIZE = 4 << 20  # of RAM
LONGEST = 2.0  # seconds of CPU time an access may take on a busy host; the worst are a picture of 1600x1200, and 2**24 bytes of a disk
WIDTHS = 8, 16, 32
MARGIN = 4096  # bytes around the buffer of a block transfer
KEYS = sorted(NAMES)
ROM = b'\x55\xaa\x80' + bytes(0xfffd)  # what goes into the network card's socket
PORTS = 0x20, 0x21, 0x40, 0x43, 0x60, 0x64, 0x61, 0x70, 0x71, 0x92, 0xa0, 0xa1, 0xb2, 0x170, 0x1ce, 0x1cf, 0x1f0, 0x1f7, 0x3c0, 0x3c5, 0x3cf, 0x3d5, 0x3f5, 0x3f6, 0x3f8, 0xcf9
VALUES = 0, 1, 2, 4, 6, 8, 0x0e, 0x1c, 0x30, 0x46, 0x7f, 0x80, 0xa5, 0xfe, 0xff, 0x4000, 0x7fff, 0xffff, 0x100000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff
ADDRESSES = 0, 0x9ffff, 0xa0000, 0xaffff, 0xb8000, 0xbffff, 0xc0000, 0xdfffe, 0xfffff, 0x100000, SIZE - 2, SIZE, 0xe0000000, 0xfebf0000, 0xfec00000, 0xfffffffe, 0xffffffff


class Flaky:
    """An image on a disk of the host that fails for a while."""

    def __init__(self, image: Any, fails: Callable[[], bool]):
        self.image, self.fails = image, fails

    def __getattr__(self, name: str) -> Any:
        if name in ('read', 'write', 'flush') and self.fails(): raise OSError(5, 'Input/output error')
        return getattr(self.image, name)


class Machine:
    """A PC with one of everything; `step` does what eight bytes say."""

    def __init__(self, folder: Path):
        self.folder, self.failing, self.frames = folder, False, deque[bytes](maxlen=4)
        self.memory, self.time, self.cpu = Memory(SIZE), 0, Cpu()
        self.disk, self.cd, self.floppy = Disk(self.flaky(RawImage(str(folder / 'disk')))), Cdrom(self.image('cd')), Drive(self.image('floppy'))
        sink = bytearray()
        self.pc = Pc(self.memory, lambda: self.time, self.cpu, [sink.extend] * 4, 0.0, [(0xe9, sink.extend)], 0xf4, ide=[self.disk, None, self.cd, Disk(self.image('disk2'))],
                     floppies=[self.floppy, Drive()], parallel=sink.extend, vga='std', vgabios=bytes(0x8000),
                     nics=[Nic(bytes(range(6)), self.frames.append), Nic(bytes(range(6, 12)), self.frames.append, 0x300, 5)], boot_rom=ROM)
        self.pc.pci.assign()
        self.pc.speaker.listen(self.hear)
        self.screen = Screen(self.pc.vga) if self.pc.vga else None
        self.buffer = ctypes.create_string_buffer(PAGE + 2 * MARGIN)
        self.actions: list[Callable[[int, int, int], object]] = [
            self.write, self.write, self.write, self.read, self.read, self.pair, self.pair, self.configure, self.write_memory, self.read_memory, self.pass_time, self.pass_time,
            self.block, self.ide, self.ide, self.packet, self.fdc, self.table, self.vbe, self.ps2, self.pm, self.wire, self.wire, self.look, self.outside, self.firmware]

    def hear(self, tick: int, wave: Wave) -> None:
        """As a recorder does."""
        assert wave.high(np.arange(1000, dtype=np.int64) + tick).shape == (1000,)

    def flaky(self, image: Any) -> Any:
        return Flaky(image, lambda: self.failing)

    def image(self, name: str) -> Any:
        return self.flaky(Overlay(RawImage(str(self.folder / name), readonly=True)))

    def close(self) -> None:
        for drive in (*self.pc.ide[0].devices, *self.pc.ide[1].devices, *self.pc.fdc.drives):
            if drive and drive.image: drive.image.close()

    def step(self, what: int, a: int, b: int, c: int) -> None:
        """An action with a byte, a byte or word, and a double word, then the invariants."""
        started = time.thread_time()
        self.actions[what % len(self.actions)](a, b, c)
        if self.cpu.irq: assert 0 <= self.pc.acknowledge() <= 255
        took = time.thread_time() - started
        assert took < LONGEST, f'{took:.1f} s'
        uart, pic = self.pc.uarts[0], self.pc.pic
        assert uart.output == (uart.mcr & 0x18 == 8 and uart.identify() != 1) and pic.output == (pic.request(0) >= 0) == self.cpu.irq

    # --- what a guest can do -----------------------------------------------------------------------------------------------------------

    def port(self, a: int, b: int) -> int:
        """One that a device has, or any."""
        if a % 8 == 0: return b
        if a % 8 < 3: return PORTS[b % len(PORTS)] + (b >> 8) % 4
        window = self.pc.bus.windows[b % len(self.pc.bus.windows)]
        return window.first + (b >> 8) % (window.end - window.first)

    def value(self, a: int, c: int) -> int:
        """Often one that means something."""
        return VALUES[c % len(VALUES)] if a & 0x10 else c

    def write(self, a: int, b: int, c: int) -> None:
        w = WIDTHS[(a >> 5) % 3]
        self.pc.bus.port_out(self.port(a, b), w, self.value(a, c) & (1 << w) - 1)

    def read(self, a: int, b: int, c: int) -> None:
        w = WIDTHS[(a >> 5) % 3]
        assert 0 <= self.pc.bus.port_in(self.port(a, b), w) < 1 << w

    def pair(self, a: int, b: int, c: int) -> None:
        """Registers behind an index: CMOS, VGA, DISPI."""
        index, data = ((0x70, 0x71), (0x3c4, 0x3c5), (0x3ce, 0x3cf), (0x3d4, 0x3d5), (0x3b4, 0x3b5), (0x3c0, 0x3c0), (0x3c8, 0x3c9), (0x510, 0x511))[a % 8]
        self.pc.bus.port_out(index, 8, b & 0x3f)
        self.pc.bus.port_out(data, 8, c & 0xff)
        self.pc.bus.port_in(data, 8)

    def configure(self, a: int, b: int, c: int) -> None:
        """PCI configuration space: what moves windows."""
        devices = list(self.pc.pci.devices)
        slot, function = devices[a % len(devices)]
        offset = (4, 0x10, 0x14, 0x18, 0x20, 0x30, 0x3c, 0x40, 0x58, 0x5c, 0x60, 0x80, b & 0xfc)[b % 13]
        self.pc.bus.port_out(0xcf8, 32, 0x80000000 | slot << 11 | function << 8 | offset)
        self.pc.bus.port_out(0xcfc, 32, self.value(a, c))
        self.pc.bus.port_in(0xcfc, 32)

    def address(self, a: int, b: int, c: int) -> int:
        if a % 4 == 0: return c
        if a % 4 == 1: return ADDRESSES[b % len(ADDRESSES)]
        windows = self.pc.bus.mmio
        return windows[b % len(windows)].first + c % (windows[b % len(windows)].end - windows[b % len(windows)].first)

    def write_memory(self, a: int, b: int, c: int) -> None:
        self.pc.bus.mmio_write(self.address(a, b, c), WIDTHS[(a >> 4) % 3], self.value(a, c) & (1 << WIDTHS[(a >> 4) % 3]) - 1)

    def read_memory(self, a: int, b: int, c: int) -> None:
        w = WIDTHS[(a >> 4) % 3]
        assert 0 <= self.pc.bus.mmio_read(self.address(a, b, c), w) < 1 << w

    def pass_time(self, a: int, b: int, c: int) -> None:
        self.time += (0, 1000, 100_000, 5_000_000, c, c << 8, 10 ** 9, b << 40)[a % 8]
        self.pc.run_due()
        deadline = self.pc.next_deadline()
        assert deadline is None or deadline > self.time

    def block(self, a: int, b: int, c: int) -> None:
        """REP INS and REP OUTS."""
        w, n = WIDTHS[(a >> 5) % 3], c % (PAGE // 4) + 1
        ctypes.memset(self.buffer, 0xc3, len(self.buffer))
        (self.pc.bus.port_out_block if a & 8 else self.pc.bus.port_in_block)(self.port(a, b), w, ctypes.addressof(self.buffer) + MARGIN, n)
        raw = self.buffer.raw
        assert raw.count(0xc3, 0, MARGIN) == MARGIN and raw.count(0xc3, MARGIN + n * w // 8) == len(raw) - MARGIN - n * w // 8

    def ide(self, a: int, b: int, c: int) -> None:
        """A whole command, with what the bus master needs to follow it."""
        base = 0x170 if a & 1 else 0x1f0
        for n, v in ((6, 0xe0 | (a >> 1 & 1) << 4), (2, 0), (3, 0), (1, b & 1), (2, b >> 8), (3, c & 0xff), (4, c >> 8 & 0x1f), (5, 0)): self.pc.bus.port_out(base + n, 8, v)
        codes = (0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0xc4, 0xc5, 0xc8, 0xc8, 0xca, 0xca, 0xec, 0xa1, 0xef, 0xe7, 0x08, 0x90, 0x91, 0xe6, 0x40, 0x70, 0xc6, 0xf8, 0x27,
                 0xe5, c >> 24)
        self.pc.bus.port_out(base + 7, 8, codes[(c >> 16) % len(codes)])
        self.bus_master(a & 1, a & 4)
        for way in (self.pc.bus.port_out_block, self.pc.bus.port_in_block) if a & 8 else ():
            self.pass_time(3, 0, 0)
            way(base, 16, ctypes.addressof(self.buffer) + MARGIN, 256)

    def packet(self, a: int, b: int, c: int) -> None:
        """A packet to the CD-ROM."""
        codes = 0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0xa8, 0xbe, 0xb9, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a, 0xbd, 0xbb, b & 0xff
        code = codes[c % len(codes)]
        for n, v in ((6, 0xa0), (1, a & 1), (4, b & 0xff), (5, b >> 8), (7, 0xa0)): self.pc.bus.port_out(0x170 + n, 8, v)
        self.pass_time(2, 0, 0)
        for word in struct.unpack('<6H', bytes((code, c >> 8 & 0xff, b & a & 63, 0, c >> 16 & 3, c >> 24, a & 2, b & 3, b >> 8, 0xf8, 0, 0))): self.pc.bus.port_out(0x170, 16, word)
        self.bus_master(1, 8)

    def bus_master(self, channel: int, inwards: int) -> None:
        window = self.pc.pci.devices[1, 1].window  # type: ignore[attr-defined]
        if window:
            self.pc.bus.port_out(window.first + 8 * channel, 8, 8 if inwards else 0)
            self.pc.bus.port_out(window.first + 8 * channel, 8, 1 | (8 if inwards else 0))

    def table(self, a: int, b: int, c: int) -> None:
        """A PRD table, regions anywhere, and the bus master's pointer to it, which may be anywhere, too."""
        at = self.address(a, b, c) & ~3
        for k in range(8):
            region = (c * (k + 1) * 0x9e3779b1 + b) & 0xffffffff if a >> k & 1 else (c >> k) % SIZE
            self.memory.write(at + 8 * k, struct.pack('<II', region, (b * (k + 1) & 0xffff) | (k == a >> 5) << 31))
        window = self.pc.pci.devices[1, 1].window  # type: ignore[attr-defined]
        if window: self.pc.bus.port_out(window.first + 4 + 8 * (a & 1), 32, at)

    def fdc(self, a: int, b: int, c: int) -> None:
        """The 8237 programmed, a command with its parameters, time for it, its results."""
        out = self.pc.bus.port_out
        mode = c & 0xff if a & 1 else 0x44 + 2 * (a & 2)
        for port, v in ((0x0c, 0), (0x0b, mode), (4, b & 0xff), (4, b >> 8), (0x81, a & 0x3f), (5, c & 0xff), (5, c >> 8 & 7), (0x0a, 2), (0xd4, 0)): out(port, 8, v)
        out(0x3f2, 8, 0x1c)
        codes = 0xe6, 0x46, 0xc5, 0x45, 0x66, 0x42, 0x4a, 0x0f, 0x07, 0x08, 0x04, 0x4d, 0x51, 0x59, 0x5d, 0x13, 0x03, 0x10, 0x94, 0x12, 0x8f, 0xcf, 0x4c, 0x49, c >> 24
        for v in (codes[(c >> 16) % len(codes)], a & 4, b & 63, a >> 2 & 1, c & 15, 2, 18, 27, 0xff): out(0x3f5, 8, v)
        for _ in range(4):
            self.pass_time(2 + a % 3, 0, 0)
            self.pc.bus.port_in(0x3f5, 8)

    def ps2(self, a: int, b: int, c: int) -> None:
        """A command to the mouse or the keyboard, with an argument or two, both enabled."""
        for port, v in ((0x64, 0xae), (0x64, 0xa8), (0x64, 0x60), (0x60, 0x47 | a & 0x40)): self.pc.bus.port_out(port, 8, v)
        for v in (VALUES[b % 3] + 0xe6 if a & 2 else 0xe6 + b % 26, c & 0xff if a & 4 else (c & 3) + 198, c >> 8 & 0xff):
            if a & 1: self.pc.bus.port_out(0x64, 8, 0xd4)
            self.pc.bus.port_out(0x60, 8, v)
            self.pass_time(2 + a % 2, 0, 0)
            self.pc.bus.port_in(0x60, 8)

    def pm(self, a: int, b: int, c: int) -> None:
        """Power management, placed and enabled."""
        for register, v in ((0x40, 0x601), (0x80, 1), (0x90, 0x701), (0xd0, 0x100)):
            self.pc.bus.port_out(0xcf8, 32, 0x80000b00 | register)
            self.pc.bus.port_out(0xcfc, 32, v)
        self.pc.bus.port_out((0x700 if a & 1 else 0x600) + b % 64, WIDTHS[a % 3], c)
        self.pc.bus.port_in((0x700 if a & 1 else 0x600) + b % 64, WIDTHS[a % 3])
        self.pc.bus.port_out(0xb2, 8, 0xf0 + (a >> 4 & 3))

    def wire(self, a: int, b: int, c: int) -> None:
        """A network card is started as a driver does, or sends; a frame comes, which may be one of its own."""
        nic, base = self.pc.nics[a & 1], 0x300
        if not a & 1:
            windows = self.pc.pci.devices[NIC_SLOT, 0].windows  # type: ignore[attr-defined]
            if not windows: return
            base = windows[0].first
        started = (0, 0x21), (0x0e, 0x49 if c & 1 else c & 0xff), (1, 0x46), (2, 0x80), (3, 0x4c), (7, 0xff), (0x0f, 0x7f), (0x0c, 4 | c >> 8 & 31), (0x0d, c >> 16 & 6), (0, 0x22)
        sent = (4, b & 0xff), (5, c & 0xff), (6, c >> 8 & 7), (0, 0x26)
        read = (8, b & 0xff), (9, b >> 8), (0x0a, c & 0xff), (0x0b, c >> 8 & 7), (0, 0x0a if a & 8 else 0x12)
        for at, v in (started, started, sent, read)[a >> 1 & 3]: self.pc.bus.port_out(base + at, 8, v)
        if self.frames and a & 16: nic.receive(self.frames.pop())
        elif a & 32: nic.receive((b'\xff' * 6 if c & 1 else bytes(range(6))) + bytes(b % 1509))

    def firmware(self, a: int, b: int, c: int) -> None:
        """A BIOS sets all up again; or the host's disk fails, and comes back."""
        if a & 1: self.pc.pci.assign()
        self.failing = a & 6 == 0

    def vbe(self, a: int, b: int, c: int) -> None:
        """DISPI."""
        self.pc.bus.port_out(0x1ce, 16, a % 12)
        self.pc.bus.port_out(0x1cf, 16, (b, c & 0xffff, 0x41, 0xb0c5, 1024, 8, 32, 1600)[a >> 4 & 7])

    def look(self, a: int, b: int, c: int) -> None:
        """Somebody looks at the screen."""
        vga = self.pc.vga
        if not vga or not self.screen: return
        if a & 1: vga.frame()
        elif a & 2: assert isinstance(vga.text(), str)
        else:
            frame = self.screen.update()
            assert all(0 <= first < end <= len(frame.pixels) for first, end in frame.changed)

    def outside(self, a: int, b: int, c: int) -> None:
        """The user."""
        keyboard, mouse = self.pc.i8042.keyboard, self.pc.i8042.mouse
        try:
            if a % 12 == 0: self.pc.reset()
            elif a % 12 == 1: self.pc.pm.power_button()
            elif a % 12 == 2: self.cd.eject(bool(b & 1))
            elif a % 12 == 3: self.cd.insert(self.image('cd'))
            elif a % 12 == 4: self.floppy.eject(bool(b & 1))
            elif a % 12 == 5 and not self.floppy.image: self.floppy.insert(self.image('floppy'))
            elif a % 12 < 7: keyboard.key(KEYS[b % len(KEYS)], bool(c & 1))
            elif a % 12 == 7: mouse.move(b - 0x8000, (c & 0xffff) - 0x8000, c >> 24)
            elif a % 12 == 8: mouse.button(b % 5, bool(c & 1))
            elif a % 12 == 9: self.pc.nmi()
            else: self.pc.uarts[b % 4].receive(c.to_bytes(4, 'little'))
        except EmuError:
            pass  # a locked tray

    def check(self) -> None:
        """No page leads out of the guest's memory."""
        vga = self.pc.vga
        assert vga
        roms = [(ctypes.addressof(ctypes.c_char.from_buffer(rom)), len(rom)) for rom in (self.memory.nothing, *self.memory.roms)]
        sockets: list[Any] = [device.bases[ROM_BASE].moved for device in self.pc.pci.devices.values() if ROM_BASE in device.bases]
        assert len(sockets) == 2
        regions = [(self.memory.host, SIZE), (vga.memory.host, VIDEO), *((place.__self__.host, place.__self__.size) for place in sockets), *roms]
        for word in np.unique(self.memory.page_map[self.memory.page_map != 0]).tolist():
            assert any(first <= word & -PAGE and (word & -PAGE) + PAGE <= first + size for first, size in regions), hex(word)


@pytest.fixture(scope='module')
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        for file, size in (('disk', 4 << 20), ('disk2', 50 << 10), ('cd', 1 << 20), ('floppy', 1440 << 10)): Path(name, file).write_bytes(bytes(range(256)) * (size // 256))
        yield Path(name)


@settings(max_examples=20_000 if ALL else 60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=80, max_size=4000))
def test_nothing_a_guest_does_raises(folder: Path, garbage: bytes) -> None:
    """Eight bytes are a step."""
    machine = Machine(folder)
    try:
        for what, a, b, c in struct.iter_unpack('<BBHI', garbage[:len(garbage) // 8 * 8]): machine.step(what, a, b, c)
        machine.check()
    finally:
        machine.close()


def test_a_machine_that_nobody_has_is_freed(folder: Path) -> None:
    """It has no cycles but such as Python finds: a suite of tests makes thousands."""
    machine = Machine(folder)
    machine.close()
    pc, memory = weakref.ref(machine.pc), weakref.ref(machine.memory)
    del machine
    gc.collect()
    assert not pc() and not memory()
