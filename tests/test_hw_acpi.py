"""emu/hw/acpi.py against Intel's 82371AB (PIIX4) data sheet, 7.1 and 7.2, and the ACPI specification, 4.8 (fixed hardware)."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.hw.acpi import PowerManagement
from emu.hw.bus import Bus
from emu.hw.clock import Clock

BASE, SMB = 0x600, 0x700
STATUS, ENABLE, CONTROL, TIMER = BASE, BASE + 2, BASE + 4, BASE + 8
SECOND = 10 ** 9


class Machine:
    """The device with its ports at 600h and 700h."""

    def __init__(self) -> None:
        self.time, self.sci, self.off = 0, False, 0
        self.bus, self.clock = Bus(), Clock(lambda: self.time)
        self.pm = PowerManagement(self.bus, self.clock, self.set_sci, self.power_off)
        for register, w, v in ((0x40, 32, BASE | 1), (0x80, 8, 1), (0x90, 32, SMB | 1), (0xd2, 8, 1)): self.pm.write(register, w, v)

    def set_sci(self, level: bool) -> None:
        self.sci = level

    def power_off(self) -> None:
        self.off += 1

    def read(self, port: int, w: int = 16) -> int:
        return self.bus.port_in(port, w)

    def write(self, port: int, v: int, w: int = 16) -> None:
        self.bus.port_out(port, w, v)

    def go(self, ns: int) -> None:
        """Time passes, timer by timer."""
        end = self.time + ns
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.time = max(self.time, deadline)
            self.clock.run_due()
        self.time = end


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_configuration(m: Machine) -> None:
    """7.1: IDs and class; the ports come and go with PMREGMISC, and move with PMBA; SCI is no pin of the chip's, yet INTPN says A."""
    assert (m.pm.get(0, 32), m.pm.get(8, 32) >> 8, m.pm.get(0x3d, 8)) == (0x71138086, 0x068000, 1)
    assert m.pm.get(0x58, 32) >> 25 & 1  # APMC_EN, by which SeaBIOS leaves SMM alone
    m.write(ENABLE, 0x100)
    m.pm.write(0x40, 32, 0xb001)
    assert m.read(ENABLE) == 0xffff and m.read(0xb002) == 0x100
    m.pm.write(0x80, 8, 0)
    assert m.read(0xb002) == 0xffff
    m.pm.reset()
    assert m.pm.get(0x40, 32) == 1 and m.read(SMB, 8) == 0xff


def test_timer(m: Machine) -> None:
    """PMTMR: 3.579545 MHz, 24 bits; read-only."""
    m.time = SECOND
    assert m.read(TIMER, 32) == 3579545
    m.write(TIMER, 0, 32)
    m.time = 10 * SECOND
    assert m.read(TIMER, 32) == 35795450 & 0xffffff and m.read(TIMER + 1, 8) == 35795450 >> 8 & 0xff


def test_timer_overflow(m: Machine) -> None:
    """TMROF_STS: bit 23 has toggled, every 2.34 s; an SCI if it is enabled; cleared by writing 1."""
    half = -(-(1 << 23) * SECOND // 3579545)
    m.time = half - 1000
    assert m.read(STATUS) & 1 == 0
    m.time = half
    assert m.read(STATUS) & 1 and not m.sci
    m.write(STATUS, 0)
    assert m.read(STATUS) & 1
    m.write(STATUS, 1)
    assert m.read(STATUS) & 1 == 0
    m.write(CONTROL, 1)
    m.write(ENABLE, 1)
    m.go(half - 2000)
    assert not m.sci
    m.go(3000)
    assert m.sci
    m.write(STATUS, 1)
    assert not m.sci
    m.go(half)
    assert m.sci


def test_power_button(m: Machine) -> None:
    """PWRBTN_STS and the SCI, when the guest has ACPI on; nothing otherwise."""
    m.pm.power_button()
    assert m.read(STATUS) & 0x100 == 0
    m.write(0xb2, 0xf1, 8)  # as the FADT says
    assert m.read(CONTROL) & 1
    m.write(ENABLE, 0x100)
    m.pm.power_button()
    assert m.sci and m.read(STATUS) & 0x100
    m.write(STATUS, 0x100)
    assert not m.sci and m.read(STATUS) & 0x100 == 0
    m.write(0xb2, 0xf0, 8)
    assert m.read(CONTROL) & 1 == 0


def test_soft_off(m: Machine) -> None:
    """PMCNTRL: SUS_EN with type 0 is soft off; other types do nothing; SUS_EN reads as 0."""
    m.write(CONTROL, 1 << 13 | 1 << 10 | 1)
    assert m.off == 0 and m.read(CONTROL) == 1 << 10 | 1
    m.write(CONTROL, 1 << 13 | 1)
    assert m.off == 1 and m.read(CONTROL) == 1
    m.write(CONTROL + 1, 0x20, 8)
    assert m.off == 2


def test_apm_status_is_remembered(m: Machine) -> None:
    """B3h (APMS), and a command that nobody knows."""
    m.write(0xb3, 0x5a, 8)
    m.write(0xb2, 0x12, 8)
    assert (m.read(0xb2, 8), m.read(0xb3, 8), m.read(CONTROL)) == (0x12, 0x5a, 0)


def test_nobody_is_on_the_smbus(m: Machine) -> None:
    """7.3: a transaction ends with DEV_ERR, not busy."""
    m.write(SMB + 4, 0xa1, 8)
    m.write(SMB + 2, 0x48, 8)
    assert m.read(SMB, 8) == 4 and m.read(SMB + 2, 8) == 8 and m.read(SMB + 4, 8) == 0xa1
    m.write(SMB, 4, 8)
    assert m.read(SMB, 8) == 0


PLACES = st.one_of(st.integers(BASE, BASE + 67), st.integers(SMB - 2, SMB + 17), st.sampled_from([0xb2, 0xb3]))
STEPS = st.one_of(
    st.tuples(st.just('out'), PLACES, st.sampled_from([8, 16, 32]), st.one_of(st.integers(0, 0xffffffff), st.integers(0, 255))),
    st.tuples(st.just('in'), PLACES, st.sampled_from([8, 16, 32])),
    st.tuples(st.just('config'), st.integers(0, 63), st.integers(0, 0xffffffff)),
    st.tuples(st.just('go'), st.integers(0, 10 ** 10)), st.tuples(st.just('button')))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_garbage(steps: list[tuple]) -> None:
    """Any access at any time; a timer that is set lies ahead."""
    m = Machine()
    for kind, *rest in steps:
        if kind == 'out': m.bus.port_out(*rest)
        elif kind == 'in': assert 0 <= m.bus.port_in(*rest) < 1 << rest[1]
        elif kind == 'config': m.pm.write(4 * rest[0], 32, rest[1])
        elif kind == 'go': m.go(rest[0])
        else: m.pm.power_button()
        assert (deadline := m.clock.next_deadline()) is None or deadline > m.time
