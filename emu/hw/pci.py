"""PCI: configuration mechanism 1 (PCI 2.1, 3.7.4.1), devices with their configuration header (6.1), and the two chips of Intel's 440FX set that make
the PC: the 82441FX host bridge (8086:1237) and the 82371SB PIIX3 ISA bridge (8086:7000) with its interrupt steering.

A device's base addresses call `moved(address or None)` when they come, go or change; the device registers its own window with the bus. Left out: bridges to
other buses, special cycles, power management. Of the host bridge's registers only PAM (shadow RAM) does something; SMRAM and the others are
remembered. Subsystem IDs are QEMU's, by which SeaBIOS knows where it is.
"""
from typing import Callable, NamedTuple

from emu.hw.bus import Bus

COMMAND, STATUS, BAR0, SUBSYSTEM, ROM_BASE, INTERRUPT_LINE, INTERRUPT_PIN = 0x04, 0x06, 0x10, 0x2c, 0x30, 0x3c, 0x3d
QEMU = 0x11001af4  # its subsystem and vendor
IO_SPACE, MEMORY_SPACE, BUS_MASTER = 1, 2, 4  # of the command register
PAM = 0x59  # 82441FX: the first of seven registers
# The half of a PAM register with each region: register, shift, address, size (data sheet, "PAM[6:0]", table 3-6).
PAM_REGIONS = ((PAM, 4, 0xf0000, 0x10000), *((PAM + 1 + n // 2, 4 * (n % 2), 0xc0000 + n * 0x4000, 0x4000) for n in range(12)))
PAM_READ, PAM_WRITE = 1, 2  # accesses go to RAM
PIRQ = 0x60  # PIIX3: four routing registers
ROUTABLE = {3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15}


class Base(NamedTuple):
    """A base address register: `size` is a power of two, `enable` the bits that let it answer, in COMMAND and in itself."""

    size: int
    enable: tuple[int, int]
    moved: Callable[[int | None], None]


class PciDevice:
    """A function's 256 bytes of configuration space; `writable` has the bits that a guest may change, `sticky` those that writing 1 clears."""

    def __init__(self, vendor: int, device: int, class_code: int, revision: int = 0, header: int = 0, pin: int = 0):
        self.config, self.writable, self.sticky = bytearray(256), bytearray(256), bytearray(256)
        self.bases: dict[int, Base] = {}  # by register
        self.placed: dict[int, int | None] = {}
        self.put(0, 16, vendor)
        self.put(2, 16, device)
        self.put(8, 32, class_code << 8 | revision)
        self.put(0x0e, 8, header)
        self.put(SUBSYSTEM, 32, QEMU)
        self.put(INTERRUPT_PIN, 8, pin)
        self.allow(COMMAND, 16, 0x0100 if class_code >> 16 == 6 else 0x0147)  # bridges are always on
        self.allow(0x0c, 16, 0xf8ff)  # cache line size, latency timer
        self.allow(INTERRUPT_LINE, 8, 0xff)
        self.sticky[STATUS + 1] = 0xf9

    def put(self, at: int, w: int, v: int) -> None:
        """Sets a register as it is after reset."""
        self.config[at:at + w // 8] = v.to_bytes(w // 8, 'little')
        self.initial = bytes(self.config)

    def allow(self, at: int, w: int, bits: int) -> None:
        """Makes bits of a register writable."""
        self.writable[at:at + w // 8] = bits.to_bytes(w // 8, 'little')

    def get(self, at: int, w: int) -> int:
        """A register."""
        return int.from_bytes(self.config[at:at + w // 8], 'little')

    def add_base(self, n: int, size: int, io: bool, moved: Callable[[int | None], None]) -> None:
        """Base address n; all ones written to it read back as its size (6.2.5.1)."""
        self.put(BAR0 + 4 * n, 32, int(io))
        self.decode(BAR0 + 4 * n, Base(size, (IO_SPACE if io else MEMORY_SPACE, 0), moved), 0xfffffffc if io else 0xfffffff0)

    def add_rom(self, size: int, moved: Callable[[int | None], None]) -> None:
        """The expansion ROM's base address, of 2 KB or more; bit 0 enables it (6.2.5.2)."""
        self.decode(ROM_BASE, Base(size, (MEMORY_SPACE, 1), moved), 0xfffff800)

    def decode(self, at: int, base: Base, bits: int) -> None:
        """Adds a base address register that has these bits."""
        self.bases[at], self.placed[at] = base, None
        self.allow(at, 32, -base.size & bits | base.enable[1])
        self.allow(COMMAND, 16, int.from_bytes(self.writable[COMMAND:COMMAND + 2], 'little') | base.enable[0])

    def write(self, at: int, w: int, v: int) -> None:
        """A guest's write."""
        for k in range(w // 8):
            byte, n = v >> 8 * k & 0xff, at + k
            self.config[n] = (self.config[n] & ~self.writable[n] | byte & self.writable[n]) & ~(byte & self.sticky[n])
        self.place()

    def place(self) -> None:
        """Tells of base addresses that have changed, and enables."""
        for at, base in self.bases.items():
            value, space = self.get(at, 32), base.enable[0]
            address = value & -base.size
            enabled = self.get(COMMAND, 16) & space and value & base.enable[1] == base.enable[1]
            fits = 0 < address and address + base.size <= (0x10000 if space == IO_SPACE else 0xfffff000)
            where = address if enabled and fits else None
            if where != self.placed[at]:
                self.placed[at] = where
                base.moved(where)

    def reset(self) -> None:
        """RST#."""
        self.config[:] = self.initial
        self.place()


class HostBridge(PciDevice):
    """82441FX (data sheet, "PCI Configuration Registers"); `shadow(address, size, reads, writes)` is told what the PAM registers send to RAM."""

    def __init__(self, shadow: Callable[[int, int, bool, bool], None]):
        super().__init__(0x8086, 0x1237, 0x060000, revision=2)
        self.shadow = shadow
        self.put(COMMAND, 16, 0x0006)
        self.put(STATUS, 16, 0x0280)
        self.put(0x72, 8, 0x02)  # SMRAM
        for at in range(0x50, 0x60): self.allow(at, 8, 0xff)  # PMC, DRAM and PAM registers
        for at in range(0x60, 0x68): self.allow(at, 8, 0xff)  # DRB: DRAM row boundaries
        self.allow(0x72, 8, 0x77)
        self.pam = self.attributes()

    def attributes(self) -> list[int]:
        """PAM_READ and PAM_WRITE of each region."""
        return [self.config[at] >> shift & 3 for at, shift, _, _ in PAM_REGIONS]

    def place(self) -> None:
        """Base addresses, and the regions whose attributes have changed."""
        super().place()
        old, self.pam = self.pam, self.attributes()
        for before, now, (_, _, address, size) in zip(old, self.pam, PAM_REGIONS):
            if now != before: self.shadow(address, size, bool(now & PAM_READ), bool(now & PAM_WRITE))


class IsaBridge(PciDevice):
    """PIIX3, function 0 (data sheet, "PCI Configuration Registers"): `route` is called after a change of the PIRQ registers."""

    def __init__(self, route: Callable[[], None]):
        super().__init__(0x8086, 0x7000, 0x060100, header=0x80)
        self.route = route
        self.put(COMMAND, 16, 0x0007)
        self.put(STATUS, 16, 0x0200)
        self.put(0x4c, 8, 0x4d)  # IORT
        self.put(0x4e, 16, 0x0003)  # XBCS
        self.put(0x69, 8, 0x02)  # TOM
        for at, w, bits in ((0x4c, 8, 0xff), (0x4e, 16, 0x07ff), (0x69, 8, 0xfe), (0x6a, 16, 0x0017), (0x82, 8, 0x0f), (0xa0, 8, 0x1f)): self.allow(at, w, bits)
        for at in range(PIRQ, PIRQ + 4):
            self.put(at, 8, 0x80)
            self.allow(at, 8, 0x8f)

    def write(self, at: int, w: int, v: int) -> None:
        super().write(at, w, v)
        if PIRQ <= at + w // 8 - 1 and at < PIRQ + 4: self.route()


class Pci:
    """Bus 0: ports CF8h and CFCh, and the interrupt lines. `set_irq(n, level)` is the interrupt controller's, `shadow` as the host bridge has it."""

    def __init__(self, bus: Bus, set_irq: Callable[[int, bool], None], shadow: Callable[[int, int, bool, bool], None] = lambda *region: None):
        self.set_irq = set_irq
        self.address = 0
        self.devices: dict[tuple[int, int], PciDevice] = {}
        self.lines: set[tuple[int, int]] = set()  # (device, pin) of those that ask for an interrupt
        self.driven: set[int] = set()  # IRQs that are high for them
        self.isa = IsaBridge(self.route)
        self.add(0, 0, HostBridge(shadow))
        self.add(1, 0, self.isa)
        bus.add_ports(0xcf8, 4, self.read_address, self.write_address, wide=True)
        bus.add_ports(0xcfc, 4, self.read_data, self.write_data, wide=True)

    def add(self, number: int, function: int, device: PciDevice) -> None:
        """Plugs a device in."""
        self.devices[number, function] = device

    def reset(self) -> None:
        """RST#."""
        self.address = 0
        self.lines.clear()
        for device in self.devices.values(): device.reset()
        self.route()

    def assign(self) -> None:
        """What a BIOS does with base addresses, for a kernel that is started without one: each gets an address, each function decodes and may be bus master."""
        free = {IO_SPACE: 0xc000, MEMORY_SPACE: 0xe0000000}
        for device in self.devices.values():
            for register, base in device.bases.items():
                space = base.enable[0]
                at = -(-free[space] // base.size) * base.size
                free[space] = at + base.size
                device.write(register, 32, at)
            device.write(COMMAND, 16, device.get(COMMAND, 16) | IO_SPACE | MEMORY_SPACE | BUS_MASTER)

    # --- configuration mechanism 1 -----------------------------------------------------------------------------------------------------

    def read_address(self, port: int, w: int) -> int:
        """CONFIG_ADDRESS takes 32-bit accesses only; others pass by."""
        return self.address if w == 32 else -1

    def write_address(self, port: int, w: int, v: int) -> None:
        """Bit 31 enables; bus, device, function, register."""
        if w == 32: self.address = v & 0x80fffffc

    def chosen(self) -> PciDevice | None:
        """The function that CONFIG_ADDRESS names."""
        if not self.address >> 31 or self.address >> 16 & 0xff: return None
        return self.devices.get((self.address >> 11 & 31, self.address >> 8 & 7))

    def read_data(self, port: int, w: int) -> int:
        """CONFIG_DATA; all ones where there is no device."""
        device = self.chosen()
        return device.get(self.address & 0xfc | port & 3, w) if device else -1

    def write_data(self, port: int, w: int, v: int) -> None:
        """CONFIG_DATA."""
        if device := self.chosen(): device.write(self.address & 0xfc | port & 3, w, v)

    # --- interrupts ----------------------------------------------------------------------------------------------------------------------

    def set_interrupt(self, number: int, pin: int, level: bool) -> None:
        """Device `number` drives INTA# to INTD# (pin 1 to 4)."""
        (self.lines.add if level else self.lines.discard)((number, pin))
        self.route()

    def route(self) -> None:
        """Pins go to PIRQA to PIRQD, turned by one for each slot, and these where PIIX3's registers say."""
        config = self.isa.config
        wanted = {config[PIRQ + (number + pin - 2 & 3)] & 0x8f for number, pin in self.lines} & ROUTABLE  # with bit 7, nowhere
        for n in self.driven - wanted: self.set_irq(n, False)
        for n in wanted - self.driven: self.set_irq(n, True)
        self.driven = wanted
