"""emu/hw/pci.py against the PCI Local Bus Specification 2.1 and Intel's 82441FX and 82371SB data sheets."""
import pytest

from emu.hw.bus import Bus
from emu.hw.pci import Pci, PciDevice


class Machine:
    """The bus and its configuration ports."""

    def __init__(self) -> None:
        self.bus, self.irqs = Bus(), []
        self.pci = Pci(self.bus, lambda n, level: self.irqs.append((n, level)))

    def choose(self, device: int, register: int, function: int = 0, number: int = 0) -> int:
        self.bus.port_out(0xcf8, 32, 0x80000000 | number << 16 | device << 11 | function << 8 | register & 0xfc)
        return 0xcfc + (register & 3)

    def read(self, device: int, register: int, w: int = 32, **where: int) -> int:
        return self.bus.port_in(self.choose(device, register, **where), w)

    def write(self, device: int, register: int, w: int, v: int) -> None:
        self.bus.port_out(self.choose(device, register), w, v)


@pytest.fixture
def m() -> Machine:
    return Machine()


def test_mechanism_1(m: Machine) -> None:
    """3.7.4.1: CONFIG_ADDRESS is a dword port that reads back; the enable bit must be set."""
    m.bus.port_out(0xcf8, 32, 0x80000000)
    assert m.bus.port_in(0xcf8, 32) == 0x80000000
    m.bus.port_out(0xcf8, 8, 0x55)
    m.bus.port_out(0xcfb, 8, 0x01)  # Linux pci_check_type1
    assert m.bus.port_in(0xcf8, 32) == 0x80000000 and m.bus.port_in(0xcf8, 8) == 0xff
    m.bus.port_out(0xcf8, 32, 0)
    assert m.bus.port_in(0xcfc, 32) == 0xffffffff


def test_bridges(m: Machine) -> None:
    """6.1: vendor, device, class; bytes and words of CONFIG_DATA."""
    assert (m.read(0, 0), m.read(0, 8) >> 8, m.read(1, 0), m.read(1, 8) >> 8) == (0x12378086, 0x060000, 0x70008086, 0x060100)
    assert (m.read(0, 2, 16), m.read(0, 3, 8), m.read(1, 0x0e, 8)) == (0x1237, 0x12, 0x80)
    m.write(0, 0, 32, 0x12345678)
    assert m.read(0, 0) == 0x12378086


def test_absent(m: Machine) -> None:
    """6.1: all ones where no device is."""
    assert m.read(2, 0) == m.read(0, 0, function=1) == m.read(0, 0, number=1) == 0xffffffff
    assert m.read(31, 0, 16) == 0xffff


def test_base_addresses(m: Machine) -> None:
    """6.2.5.1: sizing with all ones; enabled and moved by the command register and the address."""
    device, places = PciDevice(0x10ec, 0x8029, 0x020000, pin=1), []
    device.add_base(0, 32, True, lambda address: places.append(('io', address)))
    device.add_base(1, 4096, False, lambda address: places.append(('memory', address)))
    m.pci.add(3, 0, device)
    m.write(3, 0x10, 32, 0xffffffff)
    m.write(3, 0x14, 32, 0xffffffff)
    m.write(3, 0x18, 32, 0xffffffff)
    assert (m.read(3, 0x10), m.read(3, 0x14), m.read(3, 0x18)) == (0xffffffe1, 0xfffff000, 0)
    m.write(3, 0x10, 32, 0xc001)
    m.write(3, 0x14, 32, 0xfebf1000)
    assert places == []
    m.write(3, 4, 16, 3)
    m.write(3, 0x11, 8, 0xc1)
    assert places == [('io', 0xc000), ('memory', 0xfebf1000), ('io', 0xc100)]
    m.pci.reset()
    assert places[3:] == [('io', None), ('memory', None)] and m.read(3, 0x10) == 1


def test_status_is_cleared_by_ones(m: Machine) -> None:
    """6.2.3."""
    m.pci.devices[1, 0].config[7] |= 0x20
    m.write(1, 6, 16, 0)
    assert m.read(1, 6, 16) == 0x2200
    m.write(1, 6, 16, 0x2000)
    assert m.read(1, 6, 16) == 0x0200


def test_interrupt_steering(m: Machine) -> None:
    """PIIX3, PIRQRC[A:D]: bit 7 disables; pins turn by one for each slot; lines are shared."""
    assert m.read(1, 0x60) == 0x80808080
    m.pci.set_interrupt(3, 1, True)  # INTA# of slot 3 is PIRQC
    assert m.irqs == []
    m.write(1, 0x62, 8, 11)
    assert m.irqs == [(11, True)]
    m.write(1, 0x61, 8, 11)
    m.pci.set_interrupt(2, 1, True)
    m.pci.set_interrupt(3, 1, False)
    assert m.irqs == [(11, True)]
    m.write(1, 0x60, 32, 0x050a0505)
    assert set(m.irqs[1:]) == {(11, False), (5, True)}
    m.pci.set_interrupt(2, 1, False)
    assert m.irqs[-1] == (5, False)


def test_pam_is_remembered(m: Machine) -> None:
    """82441FX, PAM: readable and writable; back after a reset."""
    m.write(0, 0x59, 8, 0x30)
    assert m.read(0, 0x59, 8) == 0x30
    m.pci.reset()
    assert m.read(0, 0x59, 8) == 0
