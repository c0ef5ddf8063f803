"""The host's side of an IDE channel: what drivers do, for tests. Time is in our hands; memory is a machine's."""
import struct
from typing import Sequence

from emu.disk.image import RawImage
from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.ide import Channel, Device
from emu.hw.piix_ide import PiixIde
from emu.mem.memory import Memory

BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01
BMIBA = 0xc000
TABLE, DATA = 0x10000, 0x20000  # physical addresses
MEMORY = Memory(4 << 20)


class Host:
    """A bus with the primary channel, and a bus master at BMIBA."""

    def __init__(self, *devices: Device | None):
        self.time, self.irqs, self.level = 0, 0, False
        self.bus = Bus()
        self.clock = Clock(lambda: self.time)
        first, second = (*devices, None, None)[:2]
        self.channel = Channel(self.bus, self.clock, self.irq, 0x1f0, 0x3f6, (first, second))
        self.other = Channel(self.bus, self.clock, lambda level: None, 0x170, 0x376)
        self.function = PiixIde(self.bus, self.clock, MEMORY, (self.channel, self.other))
        self.function.write(0x20, 32, BMIBA)
        self.function.write(4, 16, 5)

    def irq(self, level: bool) -> None:
        self.irqs += level and not self.level
        self.level = level

    def out(self, n: int, *values: int) -> None:
        """Writes register n of the command block."""
        for v in values: self.bus.port_out(0x1f0 + n, 8, v)

    def get(self, n: int) -> int:
        return self.bus.port_in(0x1f0 + n, 8)

    def status(self) -> int:
        """The alternate status."""
        return self.bus.port_in(0x3f6, 8)

    def run(self) -> int:
        """Lets time pass until nothing more is to happen; the alternate status."""
        while (next_one := self.clock.next_deadline()) is not None:
            self.time = max(self.time, next_one)
            self.clock.run_due()
        return self.status()

    def command(self, code: int, *, device: int = 0, features: int = 0, count: int = 0, lba: int = 0, chs: tuple[int, int, int] | None = None, extended: bool = False) -> int:
        """Writes the registers and the command, and waits; the status after it."""
        if extended:
            high = lba >> 24
            self.out(6, 0xe0 | device << 4)
            for n, v in ((1, 0), (2, count >> 8), (3, high & 0xff), (4, high >> 8 & 0xff), (5, high >> 16 & 0xff)): self.out(n, v)
            low = (lba & 0xff, lba >> 8 & 0xff, lba >> 16 & 0xff, 0xe0 | device << 4)
        elif chs: low = (chs[2], chs[0] & 0xff, chs[0] >> 8, 0xa0 | device << 4 | chs[1])
        else: low = (lba & 0xff, lba >> 8 & 0xff, lba >> 16 & 0xff, 0xe0 | device << 4 | lba >> 24)
        self.out(6, low[3])
        for n, v in ((1, features), (2, count & 0xff), (3, low[0]), (4, low[1]), (5, low[2]), (7, code)): self.out(n, v)
        assert self.status() == BSY or code == 8 or not self.channel.device
        return self.run()

    def read_data(self, words: int) -> bytes:
        """Words from the data register."""
        return b''.join(self.bus.port_in(0x1f0, 16).to_bytes(2, 'little') for _ in range(words))

    def write_data(self, data: bytes) -> None:
        for word in struct.unpack(f'<{len(data) // 2}H', data): self.bus.port_out(0x1f0, 16, word)

    def pio_in(self, block: int = 512) -> bytes:
        """All data of a PIO data-in command: an interrupt, then a block, while DRQ is set."""
        out, irqs = b'', self.irqs - 1
        while self.status() & DRQ:
            assert self.level and self.irqs == irqs + 1
            assert self.get(7) == DRDY | DSC | DRQ and not self.level  # reading the status takes INTRQ back
            irqs = self.irqs
            out += self.read_data(block // 2)
            self.run()
        return out

    def pio_out(self, data: bytes, block: int = 512) -> int:
        """All data of a PIO data-out command; the first block comes without an interrupt. The status at the end, which has one."""
        for at in range(0, len(data), block):
            assert self.status() & (BSY | DRQ) == DRQ and self.level == (at > 0)
            self.get(7)
            self.write_data(data[at:at + block])
            assert self.status() & (BSY | DRQ) == BSY
            self.run()
        assert self.level
        return self.get(7)

    def prd(self, *regions: tuple[int, int]) -> None:
        """A table of regions."""
        MEMORY.write(TABLE, b''.join(struct.pack('<II', at, size & 0xffff | (n == len(regions) - 1) << 31) for n, (at, size) in enumerate(regions)))
        self.bus.port_out(BMIBA + 4, 32, TABLE)

    def start_dma(self, inwards: bool) -> None:
        """As drivers do: clear the status, set the direction, start."""
        self.bus.port_out(BMIBA + 2, 8, 6)
        self.bus.port_out(BMIBA, 8, 8 * inwards)
        self.bus.port_out(BMIBA, 8, 8 * inwards | 1)

    def bus_master(self) -> int:
        """The bus master's status."""
        return self.bus.port_in(BMIBA + 2, 8)

    def packet(self, packet: Sequence[int], limit: int = 0xfffe, dma: bool = False, device: int = 0) -> tuple[int, bytes]:
        """A PACKET command; status and data. The interrupt reason of each phase is the standard's."""
        self.out(6, 0xa0 | device << 4)
        for n, v in ((1, int(dma)), (4, limit & 0xff), (5, limit >> 8), (7, 0xa0)): self.out(n, v)
        assert self.run() & (DRQ | BSY) == DRQ and self.get(2) & 3 == 1 and not self.level  # C/D, to the device
        self.write_data(bytes(packet).ljust(12, b'\0'))
        assert self.status() == BSY
        if dma: self.start_dma(True)
        self.run()
        out = b''
        while self.status() & DRQ:
            assert self.level and self.get(2) & 3 == 2  # I/O, to the host
            n = self.get(4) | self.get(5) << 8
            assert 0 < n <= (limit or 0xfffe)
            self.get(7)
            out += self.read_data(-(-n // 2))[:n]
            self.run()
        if self.status() != BSY: assert self.level and self.get(2) & 3 == 3
        return self.get(7), out


def image(path: object, sectors: int = 256, **more: bool) -> RawImage:
    """An image in which each sector begins with its number."""
    with open(str(path), 'wb') as file:
        for n in range(sectors): file.write(struct.pack('<I', n) + bytes([n & 0xff]) * 508)
    return RawImage(str(path), **more)


def sector(n: int) -> bytes:
    return struct.pack('<I', n) + bytes([n & 0xff]) * 508
