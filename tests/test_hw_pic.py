"""emu/hw/pic.py against Intel's 8259A data sheet (231468). Section names are the data sheet's."""
import pytest

from emu.hw.bus import Bus
from emu.hw.pic import Pic


class Machine:
    """Both chips, initialized as a PC's BIOS does: vectors 08h and 70h."""

    def __init__(self, icw4: int = 1) -> None:
        self.bus, self.levels = Bus(), []
        self.pic = Pic(self.bus, self.levels.append)
        for port, base, cascade in ((0x20, 8, 4), (0xa0, 0x70, 2)):
            self.out(port, 0x11)
            for v in (base, cascade, icw4): self.out(port + 1, v)
            self.out(port + 1, 0)

    def out(self, port: int, v: int) -> None:
        self.bus.port_out(port, 8, v)

    def read(self, port: int, ocw3: int | None = None) -> int:
        if ocw3 is not None: self.out(port, ocw3)
        return self.bus.port_in(port, 8)

    def raise_irqs(self, *numbers: int) -> None:
        for n in numbers: self.pic.set_irq(n, True)

    def pulse(self, n: int) -> None:
        self.pic.set_irq(n, False)
        self.pic.set_irq(n, True)

    def acknowledge(self) -> int | None:
        return self.pic.acknowledge() if self.pic.output else None


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_interrupt_sequence(m: Machine) -> None:
    """Interrupt Sequence: IRR, INT, INTA sets ISR and resets IRR; nothing at or below until EOI."""
    m.raise_irqs(3)
    assert m.levels == [True] and m.read(0x20, 0x0a) == 8
    assert m.acknowledge() == 0x0b and m.read(0x20, 0x0b) == 8 and m.read(0x20, 0x0a) == 0
    m.pulse(3)
    m.raise_irqs(4)
    assert m.acknowledge() is None
    m.out(0x20, 0x20)
    assert [m.acknowledge(), m.read(0x20, 0x0b)] == [0x0b, 8]


def test_fully_nested_mode(m: Machine) -> None:
    """Fully Nested Mode: IR0 is highest; a higher level interrupts a lower one in service."""
    m.raise_irqs(5)
    assert m.acknowledge() == 13
    m.raise_irqs(7, 1)
    assert m.acknowledge() == 9
    assert m.read(0x20, 0x0b) == 0x22
    m.out(0x20, 0x20)  # a non-specific EOI is for the highest in service
    assert m.read(0x20) == 0x20
    m.out(0x20, 0x20)
    assert m.acknowledge() == 15


def test_cascade(m: Machine) -> None:
    """Cascade Mode: the slave gives the vector; each chip needs an EOI."""
    m.raise_irqs(12, 8)
    assert m.acknowledge() == 0x70 and m.read(0x20, 0x0b) == 4 and m.read(0xa0, 0x0b) == 1
    m.out(0xa0, 0x20)
    assert m.acknowledge() is None  # the master still serves IR2
    m.out(0x20, 0x20)
    assert m.acknowledge() == 0x74


def test_special_fully_nested_mode() -> None:
    """Special Fully Nested Mode: the slave's higher requests pass while the slave is in service."""
    m = Machine(icw4=0x11)
    m.raise_irqs(12)
    assert m.acknowledge() == 0x74
    m.raise_irqs(8)
    assert m.acknowledge() == 0x70


def test_mask(m: Machine) -> None:
    """OCW1: a masked request stays in IRR and is taken when it is unmasked."""
    m.out(0x21, 0x10)
    m.raise_irqs(4)
    assert m.acknowledge() is None and m.read(0x21) == 0x10
    m.out(0x21, 0)
    assert m.acknowledge() == 12


def test_edge_that_goes_away(m: Machine) -> None:
    """Interrupt Triggered Modes: IR must stay high until INTA, else there is a default IR7, with nothing in service."""
    m.raise_irqs(3)
    m.pic.set_irq(3, False)
    assert not m.pic.output and m.pic.acknowledge() == 15 and m.read(0x20, 0x0b) == 0


def test_spurious_interrupt_of_the_slave(m: Machine) -> None:
    """The slave's default IR7 leaves the master's IR2 in service: the handler must end that one."""
    m.raise_irqs(12)
    m.pic.set_line(12, False)  # between the CPU's look at INTR and its INTA
    assert m.pic.acknowledge() == 0x77 and m.read(0xa0, 0x0b) == 0 and m.read(0x20, 0x0b) == 4


def test_an_edge_asks_once(m: Machine) -> None:
    """Edge triggered mode: an input that stays high makes no second request."""
    m.raise_irqs(4)
    m.acknowledge()
    m.out(0x20, 0x20)
    assert m.acknowledge() is None
    m.pulse(4)
    assert m.acknowledge() == 12


def test_elcr(m: Machine) -> None:
    """PIIX3 data sheet, ELCR: level inputs ask as long as they are high; IRQ 0, 1, 2, 8, 13 cannot be levels."""
    m.out(0x4d0, 0xff)
    m.out(0x4d1, 0xff)
    assert (m.read(0x4d0), m.read(0x4d1)) == (0xf8, 0xde)
    m.raise_irqs(11)
    assert m.acknowledge() == 0x73
    m.out(0xa0, 0x20)
    m.out(0x20, 0x20)
    assert m.acknowledge() == 0x73
    m.pic.set_irq(11, False)
    m.out(0xa0, 0x20)
    m.out(0x20, 0x20)
    assert m.acknowledge() is None


def test_automatic_eoi() -> None:
    """Automatic End of Interrupt Mode: nothing stays in service."""
    m = Machine(icw4=3)
    m.raise_irqs(3, 8, 14)
    assert [m.acknowledge() for _ in range(4)] == [0x70, 0x76, 0x0b, None]
    assert m.read(0x20, 0x0b) == m.read(0xa0, 0x0b) == 0


def test_rotation_on_eoi(m: Machine) -> None:
    """Automatic Rotation: the input just served gets the lowest priority (OCW2 A0h)."""
    m.raise_irqs(4, 6)
    assert m.acknowledge() == 12
    m.out(0x20, 0xa0)
    m.pulse(4)
    assert m.acknowledge() == 14
    m.out(0x20, 0xa0)
    assert m.acknowledge() == 12


def test_rotation_in_automatic_eoi_mode() -> None:
    """OCW2 80h sets, 00h clears rotation in automatic EOI mode."""
    m = Machine(icw4=3)
    m.out(0x20, 0x80)
    m.raise_irqs(0)
    assert m.acknowledge() == 8
    m.pulse(0)
    m.raise_irqs(1)
    assert [m.acknowledge(), m.acknowledge()] == [9, 8]


def test_set_priority(m: Machine) -> None:
    """Specific Rotation: OCW2 C0h + n makes n the lowest."""
    m.out(0x20, 0xc5)
    m.raise_irqs(0, 6)
    assert m.acknowledge() == 14


def test_specific_eoi(m: Machine) -> None:
    """OCW2 60h + n ends level n whatever its priority; E0h + n rotates too."""
    m.raise_irqs(6)
    m.acknowledge()
    m.raise_irqs(1)
    m.acknowledge()
    m.out(0x20, 0x66)
    assert m.read(0x20, 0x0b) == 2
    m.out(0x20, 0xe1)
    assert m.read(0x20, 0x0b) == 0
    m.raise_irqs(3)
    m.pulse(1)
    assert m.acknowledge() == 11


def test_special_mask_mode(m: Machine) -> None:
    """Special Mask Mode: masking the level in service lets all other levels through; a non-specific EOI spares it."""
    m.raise_irqs(1)
    m.acknowledge()
    m.raise_irqs(6)
    assert m.acknowledge() is None
    m.out(0x21, 2)
    m.out(0x20, 0x68)
    assert m.acknowledge() == 14
    m.out(0x20, 0x20)
    m.out(0x20, 0x20)
    assert m.read(0x20, 0x0b) == 2
    m.out(0x20, 0x48)
    m.pulse(6)
    assert m.acknowledge() is None


def test_poll(m: Machine) -> None:
    """Poll Command: the next read is an INTA: bit 7 and the level, or 0."""
    m.raise_irqs(5)
    assert m.read(0x20, 0x0c) == 0x85 and m.read(0x20, 0x0b) == 0x20 and not m.pic.output
    assert m.read(0x20, 0x0c) == 0


def test_initialization(m: Machine) -> None:
    """ICW1: the edge sense circuit is reset, IMR cleared, IRR chosen for reading; with ICW1 bit 0 clear there is no ICW4."""
    m.out(0x21, 0xff)
    m.raise_irqs(4)
    m.out(0x20, 0x10)
    m.out(0x21, 0x27)
    m.out(0x21, 4)
    assert m.read(0x21) == 0 and m.read(0x20) == 0
    m.out(0x21, 0x80)  # this is OCW1 now
    assert m.read(0x21) == 0x80
    m.pulse(4)
    assert m.acknowledge() == 0x24


def test_reset_is_quiet(m: Machine) -> None:
    """Nothing comes through before a chip is initialized."""
    m.raise_irqs(4)
    m.pic.reset()
    m.pulse(4)
    assert m.levels == [True, False]
