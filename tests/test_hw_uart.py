"""emu/hw/uart.py against National's PC16550D data sheet, and what Linux's 8250 driver asks of the chip."""
import pytest

from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.uart import Uart

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
FCR = IIR


class Machine:
    """COM1; `sent` is what came out."""

    def __init__(self) -> None:
        self.bus, self.time, self.sent, self.irqs = Bus(), 0, bytearray(), []
        self.clock = Clock(lambda: self.time)
        self.uart = Uart(self.bus, self.clock, self.irqs.append, self.sent.extend)

    def read(self, n: int) -> int:
        return self.bus.port_in(0x3f8 + n, 8)

    def write(self, n: int, v: int) -> None:
        self.bus.port_out(0x3f8 + n, 8, v)

    def open(self, ier: int = 0, fcr: int = 0x81) -> None:
        """115200 8N1, FIFOs with a trigger level of 8, interrupts to the bus."""
        for n, v in ((LCR, 0x83), (0, 1), (1, 0), (LCR, 3), (FCR, fcr), (MCR, 0x0b), (IER, ier)): self.write(n, v)

    def go(self, us: int) -> None:
        end = self.time + us * 1000
        while (deadline := self.clock.next_deadline()) is not None and deadline <= end:
            self.time = max(deadline, self.time)
            self.clock.run_due()
        self.time = end


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_linux_autoconfig(m: Machine) -> None:
    """drivers/tty/serial/8250: IER has four bits; loopback returns CTS and DCD for RTS and OUT2; IIR says 16550A; MCR and IIR share no bit."""
    m.write(IER, 0)
    assert m.read(IER) == 0
    m.write(IER, 0xff)
    assert m.read(IER) == 0x0f
    m.write(IER, 0)
    m.write(MCR, 0x1a)
    assert m.read(MSR) & 0xf0 == 0x90
    m.write(MCR, 0)
    m.write(LCR, 0xbf)
    m.write(FCR, 0)
    m.write(LCR, 0)
    assert m.read(IIR) >> 6 == 0
    m.write(FCR, 1)
    assert m.read(IIR) >> 6 == 3
    m.write(SCR, 0x5a)
    assert m.read(SCR) == 0x5a


def test_linux_thre_test(m: Machine) -> None:
    """serial8250_do_startup: each enabling of the THRE interrupt with THR empty makes one, which IIR shows and takes back."""
    m.open()
    for _ in range(2):
        m.write(IER, 2)
        assert m.read(IIR) == 0xc2 and m.read(IIR) == 0xc1
        m.write(IER, 0)
    assert m.irqs == [True, False] * 2


def test_thre_after_each_write(m: Machine) -> None:
    """Line Status Register: THR is empty again at once: LSR says so, and a new edge reaches the interrupt controller."""
    m.open(2)
    assert m.read(IIR) == 0xc2
    m.irqs.clear()
    m.write(RBR, 0x41)
    assert m.irqs == [True] and m.read(LSR) == 0x60 and m.sent == b'A'
    m.write(RBR, 0x42)  # without having read IIR
    assert m.irqs == [True, False, True] and m.sent == b'AB'


def test_divisor_latch(m: Machine) -> None:
    """Programmable Baud Generator: DLAB gives the divisor at 0 and 1, and hides nothing else."""
    m.write(LCR, 0x80)
    m.write(0, 0x34)
    m.write(1, 0x12)
    assert (m.read(0), m.read(1)) == (0x34, 0x12)
    m.write(LCR, 3)
    assert m.read(IER) == 0 and m.sent == b''


def test_trigger_level(m: Machine) -> None:
    """FIFO interrupt mode: received data at the trigger level, gone below it."""
    m.open(1)
    m.uart.receive(b'12345678')
    assert m.irqs == [True] and m.read(IIR) == 0xc4 and m.read(LSR) == 0x61
    assert m.read(RBR) == 0x31 and m.irqs == [True, False] and m.read(IIR) == 0xc1


def test_time_out(m: Machine) -> None:
    """FIFO interrupt mode: four character times after the last character came or was read; a read clears it and begins anew."""
    m.open(1)
    m.uart.receive(b'ab')
    m.go(300)
    assert m.read(IIR) == 0xc1 and m.irqs == []
    m.go(60)
    assert m.read(IIR) == 0xcc and m.irqs == [True]
    assert m.read(RBR) == 0x61 and m.read(IIR) == 0xc1
    m.go(360)
    assert m.read(IIR) == 0xcc and m.read(RBR) == 0x62
    m.go(1000)
    assert m.read(IIR) == 0xc1 and m.read(LSR) == 0x60


def test_nothing_is_lost(m: Machine) -> None:
    """What does not fit waits; it comes at the line's speed: 86.8 us a character at 115200."""
    m.open(1)
    data = bytes(range(100))
    m.uart.receive(data)
    m.go(100_000)
    got = bytearray()
    while m.read(LSR) & 1: got.append(m.read(RBR))
    assert got == data[:17]  # the 17th came when there was room
    for _ in range(100):
        m.go(1000)
        while m.read(LSR) & 1: got.append(m.read(RBR))
    assert got == data and m.clock.next_deadline() is None


def test_without_fifo(m: Machine) -> None:
    """16450 mode: an interrupt for each character."""
    m.open(1, fcr=0)
    m.uart.receive(b'xy')
    assert m.read(IIR) == 4 and m.read(RBR) == 0x78 and m.read(IIR) == 1
    m.go(100)
    assert m.read(IIR) == 4 and m.read(RBR) == 0x79


def test_priorities(m: Machine) -> None:
    """Interrupt Control Functions: line status, received data, THRE, modem status."""
    m.open(0, fcr=1)
    m.write(MCR, 0x1f)
    for byte in range(17): m.write(RBR, byte)  # one too many
    m.write(IER, 15)
    assert m.read(IIR) == 0xc6 and m.read(LSR) == 0x63 and m.read(LSR) == 0x61
    assert m.read(IIR) == 0xc4
    for byte in range(16): assert m.read(RBR) == byte
    m.write(MCR, 0x10)
    assert m.read(IIR) == 0xc2
    assert m.read(IIR) == 0xc0 and m.read(MSR) & 15
    assert m.read(IIR) == 0xc1


def test_modem_status(m: Machine) -> None:
    """Modem Control and Status Registers: loopback turns the outputs into inputs; deltas are kept until MSR is read, RI's at its end."""
    assert m.read(MSR) == 0xb0
    m.write(MCR, 0x10)
    assert m.read(MSR) == 0x0b and m.read(MSR) == 0
    m.write(MCR, 0x14)
    assert m.read(MSR) == 0x40
    m.write(MCR, 0x10)
    assert m.read(MSR) == 0x04


def test_loopback_stays_inside(m: Machine) -> None:
    """Modem Control Register: in loopback nothing is sent, and with OUT2 inactive no interrupt leaves the card."""
    m.open(1, fcr=1)
    m.write(MCR, 0x1b)
    m.write(RBR, 0x55)
    assert m.sent == b'' and m.irqs == [] and m.read(IIR) == 0xc4 and m.read(RBR) == 0x55


def test_out2_gates(m: Machine) -> None:
    """The PC's OUT2 gate."""
    m.open(1, fcr=1)
    m.uart.receive(b'x')
    m.write(MCR, 3)
    m.write(MCR, 0x0b)
    assert m.irqs == [True, False, True]


def test_fifo_control(m: Machine) -> None:
    """FIFO Control Register: bit 1 clears the receiver FIFO; switching FIFOs on or off clears them."""
    m.open(0)
    m.uart.receive(b'abc')
    m.write(FCR, 3)
    assert m.read(LSR) == 0x60
    m.go(1000)
    m.uart.receive(b'd')
    m.write(FCR, 0)
    assert m.read(LSR) == 0x60 and m.read(IIR) == 1


def test_reset(m: Machine) -> None:
    """UART Reset Configuration: master reset."""
    m.open(2)
    m.uart.receive(b'abc')
    m.uart.reset()
    assert [m.read(n) for n in range(1, 7)] == [0, 1, 0, 0, 0x60, 0xb0] and m.irqs == [True, False] and m.clock.next_deadline() is None
