"""emu/hw/i8042.py against the IBM PS/2 Hardware Interface Technical Reference, and what Linux's i8042, atkbd and psmouse drivers ask."""
import pytest

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.i8042 import BYTE_TIME, I8042
from emu.hw.ports import A20


class Machine:
    """The controller; `irqs` has (line, level)."""

    def __init__(self) -> None:
        self.bus, self.time, self.irqs, self.gate, self.resets = Bus(), 0, [], [], []
        self.clock = Clock(lambda: self.time)
        self.i8042 = I8042(self.bus, self.clock, lambda level: self.irq(1, level), lambda level: self.irq(12, level),
                           A20(self.gate.append), lambda: self.resets.append(1))
        self.irqs.clear()

    def irq(self, n: int, level: bool) -> None:
        if (n, level) not in self.irqs[-1:]: self.irqs.append((n, level))

    def status(self) -> int:
        return self.bus.port_in(0x64, 8)

    def read(self) -> int:
        return self.bus.port_in(0x60, 8)

    def command(self, *values: int) -> None:
        self.bus.port_out(0x64, 8, values[0])
        for v in values[1:]: self.bus.port_out(0x60, 8, v)

    def ask(self, *values: int) -> int:
        self.command(*values)
        assert self.status() & 1
        return self.read()

    def send(self, *values: int) -> bytes:
        """To the keyboard; what it says."""
        for v in values: self.bus.port_out(0x60, 8, v)
        return self.drain()

    def strike(self, *names: str) -> None:
        """Keys pressed and released."""
        for name in names:
            for down in (True, False): self.i8042.keyboard.key(name, down)

    def drain(self) -> bytes:
        out = bytearray()
        while self.status() & 1 or self.clock.next_deadline() is not None:
            if self.status() & 1: out.append(self.read())
            else:
                self.time += BYTE_TIME
                self.clock.run_due()
        return bytes(out)


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_self_test_and_lines(m: Machine) -> None:
    """Commands AAh, ABh, A9h."""
    assert m.ask(0xaa) == 0x55 and m.status() & 4
    assert m.ask(0xab) == 0 and m.ask(0xa9) == 0


def test_command_byte(m: Machine) -> None:
    """Commands 20h and 60h; ADh, AEh, A7h and A8h change its bits 4 and 5."""
    assert m.ask(0x20) == 0x65
    m.command(0x60, 0x47)
    assert m.ask(0x20) == 0x47
    for command, value in ((0xad, 0x57), (0xa7, 0x77), (0xae, 0x67), (0xa8, 0x47)):
        m.command(command)
        assert m.ask(0x20) == value
    m.command(0x75, 0x99)
    assert m.ask(0x35) == 0x99


def test_mouse_loop(m: Machine) -> None:
    """Linux i8042_check_aux: D3h puts a byte into the output buffer as the mouse's, with its interrupt."""
    m.command(0x60, 0x47)
    m.command(0xd3, 0x5a)
    assert m.status() & 0x21 == 0x21 and m.irqs[-1] == (12, True)
    assert m.read() == 0x5a and m.irqs[-1] == (12, False) and m.status() & 0x21 == 0


def test_a20_and_reset(m: Machine) -> None:
    """Commands D0h and D1h: output port, bit 1 A20, bit 0 low: reset; FEh pulses reset."""
    assert m.ask(0xd0) & 3 == 3
    m.command(0xd1, 0xdd)
    assert m.gate == [False] and m.ask(0xd0) & 3 == 1 and m.resets == []
    m.command(0xd1, 0xdf)
    m.command(0xfe)
    assert m.gate == [False, True] and m.resets == [1]
    m.command(0xff)
    m.command(0xd1, 2)
    assert m.resets == [1, 1]


def test_status_tells_command_from_data(m: Machine) -> None:
    """Status bit 3."""
    m.command(0xae)
    assert m.status() & 8
    m.send(0xf4)
    assert not m.status() & 8


def test_keys_are_translated(m: Machine) -> None:
    """Scan code set 2 becomes set 1, one interrupt for each byte, 0.7 ms apart."""
    m.strike('a')
    m.strike('ctrl_r')
    assert not m.status() & 1
    assert m.drain() == bytes.fromhex('1e 9e e0 1d e0 9d')
    assert m.irqs.count((1, True)) == 6
    m.strike('pause')
    m.strike('f7')
    assert m.drain() == bytes.fromhex('e1 1d 45 e1 9d c5 41 c1')


def test_keys_in_set_2(m: Machine) -> None:
    """Without translation: make codes, F0h before break codes, E0h first of all."""
    m.command(0x60, 0x05)
    m.strike('a', 'up', 'f7')
    assert m.drain() == bytes.fromhex('1c f0 1c e0 75 e0 f0 75 83 f0 83')
    assert m.send(0xf0, 1) == b'\xfa\xfa'
    m.strike('a')
    assert m.drain() == b'\x1e\x9e'


def test_answers_do_not_tear_scan_codes(m: Machine) -> None:
    """Between E0h and the rest no answer to a command comes; it comes before the next key."""
    m.command(0x60, 0x05)
    m.strike('up', 'a')
    m.time += BYTE_TIME
    m.clock.run_due()
    assert m.read() == 0xe0
    assert m.send(0xed, 0) == bytes.fromhex('75 fa fa e0 f0 75 1c f0 1c')


def test_a_byte_can_be_read_again(m: Machine) -> None:
    """A chained handler finds the same byte."""
    m.strike('a')
    m.time += BYTE_TIME
    m.clock.run_due()
    assert [m.read(), m.read()] == [0x1e, 0x1e] and not m.status() & 1
    assert m.drain() == b'\x9e'


def test_disabled_keyboard_waits(m: Machine) -> None:
    """ADh holds the clock line low: nothing is lost."""
    m.command(0xad)
    m.strike('a')
    assert m.drain() == b''
    m.command(0xae)
    assert m.drain() == b'\x1e\x9e'


def test_answers_do_not_grow_without_bounds(m: Machine) -> None:
    """A guest that never reads."""
    for _ in range(2000):
        m.command(0x20)
        m.bus.port_out(0x60, 8, 0xf2)
        m.command(0xd4, 0xe9)
    assert len(m.i8042.answers) <= 256 and len(m.i8042.keyboard.answers) <= 16 and len(m.i8042.mouse.answers) <= 16


def test_reset(m: Machine) -> None:
    """As after power-on."""
    m.command(0x60, 0)
    m.strike('a')
    m.i8042.reset()
    assert m.drain() == b'' and m.ask(0x20) == 0x65 and m.clock.next_deadline() is None
