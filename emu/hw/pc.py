"""Pc: a PC of the 440FX kind around a CPU, with up to four serial ports, LPT1, floppy drives, IDE, a display adapter, network cards, a keyboard and a mouse.

Everything the devices know of the CPU are the methods of `Processor`. Whoever runs it looks at `next_deadline`, calls `run_due` when it is reached,
and `acknowledge` when the CPU takes an interrupt.
"""
from typing import Callable, NamedTuple, Protocol, Sequence

from emu.hw import ata, floppy
from emu.hw.acpi import PowerManagement
from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.coprocessor import Coprocessor
from emu.hw.dma import Dma
from emu.hw.fdc import Fdc
from emu.hw.floppy import Drive
from emu.hw.fw_cfg import NOTHING, Firmware, FwCfg
from emu.hw.i8042 import I8042
from emu.hw.ide import Channel, Device
from emu.hw.lpt import Lpt
from emu.hw.ne2000 import Ne2kPci, Ne2000, identified
from emu.hw.pci import Pci
from emu.hw.pic import Pic
from emu.hw.piix_ide import PiixIde
from emu.hw.pit import Pit
from emu.hw.ports import A20, Port92, PortB, ResetControl, add_debug_exit, add_debugcon
from emu.hw.rtc import Rtc
from emu.hw.speaker import Speaker
from emu.hw.uart import Uart
from emu.hw.vga import Vga
from emu.hw.vga_memory import Rom
from emu.mem.memory import SHADOW, SHADOW_END, Memory

SCI = 9
COM = (0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)  # ports and IRQs of COM1 to COM4
VGA_SLOT, NIC_SLOT = 2, 3  # of PCI bus 0, where QEMU has them


class Nic(NamedTuple):
    """A network card: its address and what takes its frames; an ISA board has ports and an IRQ."""

    mac: bytes
    transmit: Callable[[bytes], None]
    iobase: int | None = None
    irq: int | None = None


class Processor(Protocol):
    """What a machine does to its CPU."""

    def set_irq(self, level: bool) -> None:
        """INTR."""

    def nmi(self) -> None:
        """NMI."""

    def reset(self, hard: bool = False) -> None:
        """RESET; hard: with the whole machine."""

    def set_a20(self, enabled: bool) -> None:
        """A20M#."""

    def ignore_ferr(self) -> None:
        """IGNNE#."""

    def power_off(self) -> None:
        """The machine switches itself off."""

    def exit(self, code: int) -> None:
        """The guest ends the run."""


class Resettable(Protocol):
    """A device."""

    def reset(self) -> None:
        """RESET."""


class Pc:
    """`now` is guest time in ns; `serial` takes what each of COM1 to COM4 sends (None: no such port); `rtc_epoch` is the time of day at the start (None: the host's).

    `floppies` are drives A and B, `parallel` gets what is printed.
    `ide` has the primary channel's master and slave, then the secondary's. `boot_rom` is for the network cards that are PCI's.
    """

    def __init__(self, memory: Memory, now: Callable[[], int], cpu: Processor, serial: Sequence[Callable[[bytes], object] | None] = (),
                 rtc_epoch: float | None = None, debugcon: Sequence[tuple[int, Callable[[bytes], object]]] = (), debug_exit: int | None = None,
                 firmware: Firmware = NOTHING, ide: Sequence[Device | None] = (None,) * 4,
                 floppies: Sequence[Drive | None] = (), parallel: Callable[[bytes], object] | None = None,
                 vga: str = 'none', vgabios: bytes | None = None, nics: Sequence[Nic] = (), boot_rom: bytes | None = None):
        self.memory, self.cpu = memory, cpu
        self.bus = bus = Bus()
        self.clock = clock = Clock(now)
        self.pic = Pic(bus, cpu.set_irq)
        self.pit = Pit(bus, clock, self.irq(0))
        self.rtc = Rtc(bus, clock, self.irq(8), memory.size, rtc_epoch, firmware.boot_order, floppy.cmos(floppies) | ata.cmos(ide))
        self.uarts = {n: Uart(bus, clock, self.com_irq(COM[n][1]), send, COM[n][0]) for n, send in enumerate(serial) if send}
        self.a20 = A20(cpu.set_a20)
        self.coprocessor = Coprocessor(bus, self.irq(13), cpu.ignore_ferr)
        self.dma = Dma(bus, memory)
        self.fdc = Fdc(bus, clock, self.irq(6), self.dma, floppies)
        self.port_b = PortB(self.pit)
        self.speaker = Speaker(clock, self.pit.channels[2], self.port_b)
        self.lpts = [Lpt(bus, clock, self.irq(7), parallel)] if parallel else []
        self.port_92 = Port92(bus, self.a20, cpu.reset)
        self.i8042 = I8042(bus, clock, self.irq(1), self.irq(12), self.a20, cpu.reset)
        self.sci_level = False
        self.pci = Pci(bus, self.pci_irq, memory.shadow)
        self.pm = PowerManagement(bus, clock, self.sci, cpu.power_off)
        self.pci.add(1, 3, self.pm)
        self.fw_cfg = FwCfg(bus, memory, firmware)
        bus.add_mmio(SHADOW, SHADOW_END - SHADOW, lambda offset, w: -1, self.write_shadow)
        self.ide = (Channel(bus, clock, self.irq(14), 0x1f0, 0x3f6, (ide[0], ide[1])), Channel(bus, clock, self.irq(15), 0x170, 0x376, (ide[2], ide[3])))
        self.pci.add(1, 1, PiixIde(bus, clock, memory, self.ide))
        self.vga = Vga(bus, memory, now, vgabios) if vga == 'std' else None
        if self.vga: self.pci.add(VGA_SLOT, 0, self.vga.pci)
        self.nics = [self.add_nic(n, nic, boot_rom) for n, nic in enumerate(nics)]
        self.reset_control = ResetControl(bus, cpu.reset, self.hard_reset)
        for port, write in debugcon: add_debugcon(bus, port, write)
        if debug_exit is not None: add_debug_exit(bus, debug_exit, cpu.exit)
        self.acknowledge, self.run_due, self.next_deadline = self.pic.acknowledge, clock.run_due, clock.next_deadline

    def irq(self, n: int) -> Callable[[bool], None]:
        """The interrupt line of a device."""
        return lambda level: self.pic.set_irq(n, level)

    def pci_irq(self, n: int, level: bool) -> None:
        """PIIX's interrupt steering; IRQ9 is the SCI's as well."""
        self.pic.set_irq(n, level or n == SCI and self.sci_level)

    def sci(self, level: bool) -> None:
        """The power management's interrupt."""
        self.sci_level = level
        self.pic.set_irq(SCI, level or SCI in self.pci.driven)

    def add_nic(self, n: int, nic: Nic, boot_rom: bytes | None) -> Ne2000:
        """A network card, of PCI unless it says where it is."""
        if nic.iobase is not None and nic.irq is not None:
            board = Ne2000(nic.mac, self.irq(nic.irq), nic.transmit)
            board.connect(self.bus, nic.iobase)
            return board
        card = Ne2000(nic.mac, lambda level: self.pci.set_interrupt(NIC_SLOT + n, 1, level), nic.transmit)
        self.pci.add(NIC_SLOT + n, 0, Ne2kPci(self.bus, card, Rom(self.memory, identified(boot_rom)) if boot_rom and n == 0 else None))
        return card

    def com_irq(self, n: int) -> Callable[[bool], None]:
        """A line that two serial ports drive: high while either is."""
        return lambda level: self.pic.set_irq(n, any(uart.output for k, uart in self.uarts.items() if COM[k][1] == n))

    def reset(self) -> None:
        """Every device's RESET; the CPU has its own."""
        devices: list[Resettable] = [self.pit, self.rtc, self.dma, self.fdc, *self.ide, *self.lpts, *self.uarts.values(), self.i8042, self.pci, self.port_b,
                                     self.port_92, self.reset_control, self.coprocessor, self.fw_cfg, *self.nics, self.pic]
        if self.vga: devices.append(self.vga)
        for device in devices: device.reset()
        self.a20.set(True)

    def hard_reset(self) -> None:
        """What the reset button does."""
        self.reset()
        self.cpu.reset(hard=True)

    def write_shadow(self, offset: int, w: int, v: int) -> None:
        """A write to C0000h to FFFFFh that the page map does not let through."""
        self.memory.write_shadow(SHADOW + offset, v.to_bytes(w // 8, 'little'))

    def nmi(self) -> None:
        """Somebody's NMI, unless port 70h bit 7 masks it."""
        if not self.rtc.nmi_masked: self.cpu.nmi()
