"""The IDE function of PIIX3 (8086:7010; Intel 82371SB data sheet, "IDE Controller"): a bus master for each of the two channels of ide.py.

A DMA transfer is done at once, some time after both the device and the host have started it: each region of the table is one copy. The table and its regions may
lie anywhere: what is not RAM reads as ones and takes no writes, a table ends at the latest after 64 KB, within which it wraps (it must not cross them).
Registers that set timings are only remembered; the channels are always decoded at 1F0h and 170h, whatever IDETIM says, and IDETIM says so after reset,
for a kernel that no BIOS has run before. The direction is the device's, not the one in the command register, which a driver must set alike.
"""
import struct
from collections.abc import Iterator

from emu.hw.bus import Bus, Window
from emu.hw.clock import Clock
from emu.hw.ide import Channel, Device, Transfer
from emu.hw.pci import BUS_MASTER, COMMAND, STATUS, PciDevice
from emu.mem.memory import PAGE, SHADOW_END, Memory

START, INWARDS = 1, 8  # command
ACTIVE, ERROR, INTERRUPT, CAPABLE = 1, 2, 4, 0x60  # status
ENTRIES = 8192  # of a table
DELAY = 2_000  # ns


class BusMaster:
    """Eight registers of one channel."""

    def __init__(self, function: PciDevice, memory: Memory, channel: Channel):
        self.function, self.memory, self.channel = function, memory, channel
        self.command = self.status = self.table = self.entry = 0
        self.ram, self.code = memoryview(memory.ram), memoryview(memory.code_map.data)
        self.due = False  # a transfer is about to be done
        channel.interrupted, channel.requested = self.interrupted, self.go

    def reset(self) -> None:
        """RST#."""
        self.command = self.status = self.table = 0

    def interrupted(self) -> None:
        """The channel's INTRQ rose."""
        self.status |= INTERRUPT

    def read(self, at: int) -> int:
        """BMICX, BMISX, BMIDTPX, a byte at a time."""
        if at >= 4: return self.table >> 8 * (at - 4) & 0xff
        return (self.command, 0, self.status, 0)[at]

    def write(self, at: int, v: int) -> None:
        """START begins at the table's first entry; writing ones clears INTERRUPT and ERROR."""
        if at == 0:
            started, self.command = v & ~self.command & START, v & (START | INWARDS)
            if started:
                self.status |= ACTIVE
                self.entry = 0
                self.go()
            elif not v & START: self.status &= ~ACTIVE
        elif at == 2: self.status = self.status & ~CAPABLE & ~(v & (ERROR | INTERRUPT)) | v & CAPABLE
        elif at >= 4: self.table = self.table & ~(0xff << 8 * (at - 4)) & 0xffffffff | (v & (0xfc if at == 4 else 0xff)) << 8 * (at - 4)

    # --- a transfer ------------------------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Starts once host and device have."""
        if self.due or not self.status & ACTIVE or not self.channel.waiting: return
        self.due = True
        self.channel.clock.at(self.channel.clock.now() + DELAY, self.transfer)

    def transfer(self) -> None:
        """Moves what the device and the table have in common."""
        self.due = False
        if not self.channel.waiting or not self.status & ACTIVE or not self.function.get(COMMAND, 16) & BUS_MASTER: return
        device, transfer = self.channel.waiting
        try:
            last = self.move(transfer)
        except OSError as error:
            self.channel.drop(device)
            device.transfer_failed(error)
            return
        if last: self.status &= ~ACTIVE
        if not transfer.left: self.finish(device, transfer)

    def finish(self, device: Device, transfer: Transfer) -> None:
        """The device has all; its interrupt ends the transfer for the host."""
        self.channel.drop(device)
        transfer.done(b''.join(transfer.parts))

    def move(self, transfer: Transfer) -> bool:
        """Copies; whether the table has been used up. A table that is too short leaves the device waiting, without an interrupt (data sheet, table of the status bits)."""
        for address, size, last in self.regions():
            n = min(size, transfer.left)
            if transfer.chunks is None: transfer.put(self.load(address, n))
            else: self.store(address, transfer.take(n))
            if last and n == size: return True
            if not transfer.left: return False
        return True

    def plain(self, address: int, n: int) -> bool:
        """Whether these bytes are RAM that nothing else ever answers for: what a driver's buffers are."""
        return SHADOW_END <= address and address + n <= self.memory.size

    def load(self, address: int, n: int) -> bytes | memoryview:
        """Bytes of memory."""
        return self.ram[address:address + n] if self.plain(address, n) else self.memory.read(address, n)

    def store(self, address: int, data: memoryview) -> None:
        """Bytes into memory, past Memory.write's look at every page where there is no code."""
        end = address + len(data)
        if self.plain(address, len(data)) and not any(self.code[address // PAGE:-(-end // PAGE)]): self.ram[address:end] = data
        else: self.memory.write(address, bytes(data))

    def regions(self) -> Iterator[tuple[int, int, bool]]:
        """Address and size of the table's regions, and which is the last."""
        while self.entry < ENTRIES:
            at = self.table & 0xffff0000 | self.table + 8 * self.entry & 0xffff
            count = min(32, (0x10000 - (at & 0xffff)) // 8) or 1
            for address, control in struct.iter_unpack('<II', self.memory.read(at, 8 * count)):
                self.entry += 1
                yield address & ~1, control & 0xfffe or 0x10000, bool(control >> 31)


class PiixIde(PciDevice):
    """Function 1 of PIIX3, class 010180h: compatibility mode, bus master; BMIBA is base address 4."""

    def __init__(self, bus: Bus, clock: Clock, memory: Memory, channels: tuple[Channel, Channel]):
        super().__init__(0x8086, 0x7010, 0x010180)
        self.bus = bus
        self.masters = [BusMaster(self, memory, channel) for channel in channels]
        self.window: Window | None = None
        self.put(STATUS, 16, 0x0280)
        self.add_base(4, 16, True, self.moved)
        for at in (0x40, 0x42):  # IDETIM
            self.put(at, 16, 0x8000)
            self.allow(at, 16, 0xf3ff)
        self.allow(0x44, 8, 0xff)  # SIDETIM

    def reset(self) -> None:
        """RST#."""
        super().reset()
        for master in self.masters: master.reset()

    def moved(self, address: int | None) -> None:
        """The bus master's ports have come, gone or changed."""
        if self.window: self.bus.remove_ports(self.window)
        self.window = None if address is None else self.bus.add_ports(address, 16, self.read_port, self.write_port)

    def read_port(self, port: int, w: int) -> int:
        """Eight registers for each channel."""
        return self.masters[port >> 3 & 1].read(port & 7)

    def write_port(self, port: int, w: int, v: int) -> None:
        """Eight registers for each channel."""
        self.masters[port >> 3 & 1].write(port & 7, v)
