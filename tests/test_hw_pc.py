"""emu/hw/pc.py and ports.py: the machine as a whole. What random accesses do: test_hw_garbage.py."""
import ctypes
from pathlib import Path

import pytest

from emu.hw.floppy import Drive
from emu.hw.pc import Pc
from emu.mem.memory import Memory
from tests.test_hw_fdc import Image

MEMORY = Memory(16 << 20)


class Cpu:
    """A processor that notes what is done to it."""

    def __init__(self) -> None:
        self.log: list[object] = []
        self.irq = False

    def set_irq(self, level: bool) -> None:
        self.irq = level

    def nmi(self) -> None:
        self.log.append('nmi')

    def reset(self, hard: bool = False) -> None:
        self.log.append('reset')

    def set_a20(self, enabled: bool) -> None:
        self.log.append(('a20', enabled))

    def ignore_ferr(self) -> None:
        self.log.append('ignne')

    def power_off(self) -> None:
        self.log.append('off')

    def exit(self, code: int) -> None:
        self.log.append(('exit', code))


class Machine:
    """A Pc with time in our hands."""

    def __init__(self) -> None:
        self.time, self.cpu, self.sent, self.said, self.printed = 0, Cpu(), bytearray(), bytearray(), bytearray()
        self.pc = Pc(MEMORY, lambda: self.time, self.cpu, [self.sent.extend], 0.0, [(0xe9, self.said.extend)], 0xf4,
                     floppies=[Drive(Image('1.44M')), None], parallel=self.printed.extend)

    def out(self, port: int, *values: int, w: int = 8) -> None:
        for v in values: self.pc.bus.port_out(port, w, v)

    def read(self, port: int, w: int = 8) -> int:
        return self.pc.bus.port_in(port, w)

    def pics(self) -> None:
        """Vectors 20h and 28h."""
        for port, base, cascade in ((0x20, 0x20, 4), (0xa0, 0x28, 2)):
            self.out(port, 0x11)
            self.out(port + 1, base, cascade, 1, 0)

    def go(self, ns: int) -> None:
        self.time += ns
        self.pc.run_due()


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_a_timer_tick(m: Machine) -> None:
    """As Linux sets it up: mode 2, 250 Hz, vector 20h."""
    m.pics()
    m.out(0x43, 0x34)
    m.out(0x40, 4773 & 0xff, 4773 >> 8)
    assert m.pc.next_deadline() == -(-4774 * 10 ** 9 // 1193182)
    if m.cpu.irq: m.pc.acknowledge()  # OUT rose with the control word
    m.out(0x20, 0x20)
    m.go(4_002_000)
    assert m.cpu.irq and m.pc.acknowledge() == 0x20 and not m.cpu.irq


def test_serial_interrupt(m: Machine) -> None:
    """COM1 is at 3F8h and IRQ4."""
    m.pics()
    m.out(0x3fc, 8)
    m.out(0x3f9, 1)
    m.pc.uarts[0].receive(b'x')
    assert m.cpu.irq and m.pc.acknowledge() == 0x24 and m.read(0x3f8) == 0x78
    m.out(0x3f8, 0x79)
    assert m.sent == b'y'


def test_keyboard_mouse_and_clock_interrupts(m: Machine) -> None:
    """IRQ1, IRQ12, IRQ8."""
    m.pics()
    m.pc.i8042.keyboard.key('a', True)
    m.go(10 ** 6)
    assert m.pc.acknowledge() == 0x21 and m.read(0x60) == 0x1e
    m.out(0x20, 0x20)
    m.out(0x64, 0x60)
    m.out(0x60, 0x47)
    m.out(0x64, 0xd3)
    m.out(0x60, 0)
    assert m.pc.acknowledge() == 0x2c
    m.out(0xa0, 0x20)
    m.out(0x20, 0x20)
    m.out(0x70, 0x0b)
    m.out(0x71, 0x12)
    m.go(10 ** 9)
    assert m.pc.acknowledge() == 0x28


def test_port_61(m: Machine) -> None:
    """Gate and output of counter 2; the refresh bit toggles every 15 us."""
    m.out(0x43, 0xb0)
    m.out(0x42, 100, 0)
    m.go(10 ** 6)
    assert m.read(0x61) & 0x2f == 0
    m.out(0x61, 1)
    m.go(90_000)
    assert m.read(0x61) & 0x2f == 0x21
    first = m.read(0x61) & 0x10
    m.go(15_085)
    assert m.read(0x61) & 0x10 != first


def test_a20_has_two_switches(m: Machine) -> None:
    """Port 92h and the keyboard controller."""
    assert m.read(0x92) & 2
    m.out(0x92, 0)
    assert m.cpu.log == [('a20', False)]
    m.out(0x64, 0xd1)
    m.out(0x60, 0xdf)
    assert m.cpu.log == [('a20', False), ('a20', True)] and m.read(0x92) & 2


def test_ways_to_reset(m: Machine) -> None:
    """64h command FEh, 92h bit 0, CF9h bit 2: each on its rise; CF9h beside PCI's dword port CF8h; a hard reset is for all devices."""
    m.out(0x64, 0xfe)
    m.out(0x92, 3, 3, 2)
    m.out(0xcf9, 4, 4)
    assert m.cpu.log == ['reset'] * 3
    m.out(0x3ff, 0x55)
    m.out(0x3f9, 2)
    m.out(0xcf9, 2, 6)
    assert m.cpu.log == ['reset'] * 4 and m.read(0x3f9) == 0 and m.read(0xcf9) == 0
    assert m.read(0xcf8, 32) == 0


def test_nmi_can_be_masked(m: Machine) -> None:
    """Port 70h bit 7 (82371SB, "NMI Enable")."""
    m.out(0x70, 0x8f)
    m.pc.nmi()
    m.out(0x70, 0x0f)
    assert m.cpu.log == []
    m.pc.nmi()
    assert m.cpu.log == ['nmi']


def test_debug_ports(m: Machine) -> None:
    """E9h, also by `rep outsb`; the exit code is 2v + 1."""
    m.out(0xe9, *b'hi ')
    data = ctypes.create_string_buffer(b'there')
    m.pc.bus.port_out_block(0xe9, 8, ctypes.addressof(data), 5)
    assert m.said == b'hi there' and m.read(0xe9) == 0xe9
    m.out(0xf4, 3)
    m.out(0xf4, 0x100, w=32)
    assert m.cpu.log == [('exit', 7), ('exit', 0x201)]


def test_post_codes_are_remembered(m: Machine) -> None:
    """80h keeps the POST code."""
    m.out(0x80, 0xa5)
    assert m.read(0x80) == 0xa5
    m.pc.reset()
    assert m.read(0x80) == 0


def test_floppy_and_printer_interrupts(m: Machine) -> None:
    """IRQ6 and IRQ7; the CMOS knows the drives (10h, 14h, and its checksum)."""
    m.pics()
    m.out(0x3f2, 0x0c)
    m.go(10 ** 6)
    assert m.pc.acknowledge() == 0x26
    m.out(0x20, 0x20)
    m.out(0x378, 0x41)
    m.out(0x37a, 0x14, 0x15)
    m.go(10 ** 6)
    assert m.pc.acknowledge() == 0x27 and m.printed == b'A'
    cmos = m.pc.rtc.cmos
    assert cmos[0x10] == 0x40 and cmos[0x14] == 7 and sum(cmos[0x10:0x2e]) == int.from_bytes(cmos[0x2e:0x30], 'big')


def test_every_device_is_reset(m: Machine) -> None:
    """After a reset the machine has the state of a new one."""
    fresh = Machine()
    m.pics()
    for port, v in ((0x43, 0x34), (0x40, 9), (0x40, 0), (0x3f9, 15), (0x3fc, 8), (0x92, 0), (0x61, 3), (0x64, 0xad), (0x70, 11), (0x71, 0x72), (0x4d0, 0xff)):
        m.out(port, v)
    m.out(0xcf8, 0x80000800, w=32)
    m.go(10 ** 7)
    m.pc.reset()
    m.out(0x70, 11)
    m.out(0x70, 0)
    for port in (0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x64, 0x92, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x40, 0x42):
        assert m.read(port) == fresh.read(port), hex(port)
    assert m.read(0xcf8, 32) == 0 and m.pc.next_deadline() is None and not m.cpu.irq and ('a20', True) == m.cpu.log[-1]


def test_every_device_is_documented() -> None:
    """docs/devices.md has each file of emu/hw in its table."""
    root = Path(__file__).parent.parent
    table = (root / 'docs' / 'devices.md').read_text()
    assert not [path.name for path in (root / 'emu' / 'hw').glob('[a-z]*.py') if f'`{path.name}`' not in table]
