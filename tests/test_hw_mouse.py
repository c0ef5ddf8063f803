"""emu/hw/mouse.py against the IBM PS/2 Hardware Interface Technical Reference, "Mouse", and Microsoft's IntelliMouse as Linux's psmouse driver finds it. Bytes as on the cable."""
import pytest

from emu.hw.clock import Clock
from emu.hw.mouse import EXTRA, LEFT, MIDDLE, RIGHT, SIDE, Mouse

MS = 1_000_000


class Machine:
    """A mouse whose every byte is fetched when asked for."""

    def __init__(self) -> None:
        self.time = 0
        self.clock = Clock(lambda: self.time)
        self.mouse = Mouse(self.clock, lambda: None)

    def drain(self) -> str:
        out = bytearray()
        while self.mouse.waiting(): out.append(self.mouse.take())
        return out.hex(' ')

    def send(self, *values: int) -> str:
        for v in values: self.mouse.write(v)
        return self.drain()

    def move(self, *counts: int) -> str:
        """The mouse moves, and a sample's time passes."""
        self.mouse.move(*counts)
        sent = self.drain()
        self.wait(20)
        return sent

    def button(self, n: int, down: bool) -> str:
        self.mouse.button(n, down)
        return self.drain()

    def wait(self, ms: float) -> None:
        self.time += int(ms * MS)
        self.clock.run_due()

    def knock(self, *rates: int) -> str:
        """Sample rates, one after the other, then the identity."""
        for rate in rates: assert self.send(0xf3, rate) == 'fa fa'
        return self.send(0xf2)


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_commands(m: Machine) -> None:
    """Linux psmouse_probe: identity 0, reset with BAT and identity, status, rate and resolution, data."""
    assert m.send(0xf2) == 'fa 00' and m.send(0xff) == 'fa aa 00'
    assert m.send(0xe8, 3, 0xf3, 80, 0xe7, 0xf4) == 'fa fa fa fa fa fa'
    assert m.send(0xe9) == 'fa 30 03 50'
    assert m.send(0xf6, 0xe9) == 'fa fa 00 02 64'
    assert m.send(0xeb) == 'fa 08 00 00'
    assert m.send(0x0a) == 'fe' and m.send(0xfe) == 'fe'


def test_packets(m: Machine) -> None:
    """Counts to the right and up, nine bits each; buttons; bit 3 is set ("Data Report")."""
    assert m.move(5, 0) == ''  # not enabled yet, and forgotten
    m.send(0xf4)
    assert m.move(5, 0) == '08 05 00' and m.move(-5, 3) == '38 fb fd' and m.move(0, -7) == '08 00 07' and m.move(0, 0) == ''
    assert m.button(LEFT, True) == '09 00 00' and m.button(MIDDLE, True) == '0d 00 00' and m.button(RIGHT, True) == '0f 00 00'
    assert m.button(LEFT, True) == '' and m.send(0xe9) == 'fa 27 02 64'
    assert m.button(LEFT, False) == '0e 00 00'
    m.send(0xf5)
    assert m.move(1, 1) == '' and m.button(RIGHT, False) == ''


def test_long_movements_are_split(m: Machine) -> None:
    """Nothing overflows, nothing is lost."""
    m.send(0xf4)
    m.mouse.move(600, -300)
    sent = []
    for _ in range(5):
        sent.append(m.drain())
        m.wait(10)
    assert sent == ['08 ff ff', '08 ff 2d', '08 5a 00', '', '']


def test_sample_rate(m: Machine) -> None:
    """At most so many packets a second; what happens in between is added up. Nothing ticks when nothing moves."""
    m.send(0xf3, 40, 0xf4)
    assert m.move(0, 0) == '' and m.clock.next_deadline() is None
    packets = 0
    for _ in range(1000):
        m.mouse.move(1, 0)
        m.wait(1)
        packets += bool(m.drain())
    assert 39 <= packets <= 42
    m.wait(25)
    m.drain()
    m.wait(25)
    assert m.clock.next_deadline() is None


def test_a_guest_that_does_not_read(m: Machine) -> None:
    """Movements add up; presses and releases are kept as far as there is room."""
    m.send(0xf4)
    for n in range(1000):
        m.mouse.move(1, 0)
        m.mouse.button(LEFT, not n & 1)
        m.wait(10)
    assert len(m.mouse.messages) <= 8
    total, clicks = 0, 0
    for _ in range(20):
        sent = bytes.fromhex(m.drain())
        total += sum(sent[1::3])
        clicks += sum(b & 1 for b in sent[::3])
        m.wait(10)
    assert total == 1000 and clicks >= 4


def test_scaling(m: Machine) -> None:
    """E7h: 2:1 makes 0 1 1 3 6 9 and twice what is above, in stream mode only; E6h ends it ("Set Scaling 2:1")."""
    m.send(0xf4, 0xe7)
    assert [bytes.fromhex(m.move(n, 0))[1] for n in range(1, 9)] == [1, 1, 3, 6, 9, 12, 14, 16]
    assert m.move(-4, 0) == '18 fa 00'
    m.send(0xf0)
    m.move(4, 0)
    assert m.send(0xeb) == 'fa 08 04 00'
    m.send(0xea, 0xe6)
    assert m.move(4, 0) == '08 04 00'


def test_remote_mode(m: Machine) -> None:
    """F0h: a packet only when EBh asks; EAh: stream mode again."""
    m.send(0xf0)
    assert m.move(3, 0) == '' and m.move(4, 0) == '' and m.button(RIGHT, True) == ''
    assert m.send(0xeb) == 'fa 0a 07 00' and m.send(0xeb) == 'fa 0a 00 00' and m.send(0xe9) == 'fa 41 02 64'
    m.send(0xea, 0xf4)
    assert m.move(1, 0) == '0a 01 00'


def test_wrap_mode(m: Machine) -> None:
    """EEh: every byte comes back but ECh, which ends it, and FFh."""
    assert m.send(0xee, 0xf4, 0x55, 0xf2) == 'fa f4 55 f2' and m.send(0xec) == 'fa' and m.send(0xf2) == 'fa 00'
    assert m.send(0xee) == 'fa' and m.send(0xff) == 'fa aa 00' and m.send(0xf2) == 'fa 00'


def test_wheel(m: Machine) -> None:
    """Linux intellimouse_detect: rates 200, 100, 80 make the identity 3 and a fourth byte; a reset undoes it."""
    assert m.knock(200, 100, 80) == 'fa 03'
    m.send(0xf3, 100, 0xf4)
    assert m.move(1, 0, 1) == '08 01 00 01' and m.move(0, 0, -1) == '08 00 00 ff'
    m.mouse.move(0, 0, 10)
    assert m.drain() == '08 00 00 07'
    m.wait(10)
    assert m.drain() == '08 00 00 03'
    assert m.send(0xff) == 'fa aa 00' and m.send(0xf2) == 'fa 00'


def test_five_buttons(m: Machine) -> None:
    """Linux im_explorer_detect: then 200, 200, 80 make it 4; buttons 4 and 5 are bits 4 and 5 of the fourth byte."""
    assert m.knock(200, 200, 80) == 'fa 00'
    assert m.knock(200, 100, 80) == 'fa 03' and m.knock(200, 200, 80) == 'fa 04'
    m.send(0xf4)
    assert m.button(SIDE, True) == '08 00 00 10' and m.button(EXTRA, True) == '08 00 00 30' and m.button(SIDE, False) == '08 00 00 20'
    assert m.move(0, 0, -1) == '08 00 00 2f'


def test_a_command_breaks_off_a_packet(m: Machine) -> None:
    """The answer is the next byte that the driver sees."""
    m.send(0xf4)
    m.mouse.move(1, 2)
    assert m.mouse.take() == 0x28
    assert m.send(0xf5) == 'fa'
