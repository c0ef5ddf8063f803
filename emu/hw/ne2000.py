"""NE2000: National Semiconductor's DP8390D network interface controller (DP8390D/NS32490D data sheet, July 1995; chapters named below) on Novell's board:
16 KB of buffer memory at 4000h, a PROM with the station address, a data port for the remote DMA at 10h and a reset port at 18h. `ne2k_isa` is the ISA board, `ne2k_pci`
the Realtek 8029 (10EC:8029), which is the same chip behind PCI. Its registers and the remote DMA are texts: emu/ports/ne2000.py.

A frame is sent and its transmission over in the write that starts it: no collisions, no deferral. The four CRC bytes are stored behind a frame that is received,
as the chip does. `receive` is the wire's end: it stores a frame, or leaves it with the overwrite warning where the ring has no room; who wants to wait asks `room`
first and is told by `roomy` when there may be some again. The wire is faster than any that drivers were made for: Linux's takes up to 10 frames at an interrupt and only then
acknowledges it, and never hears of what came meanwhile; so there is no `room` for more than BATCH frames before PRX is acknowledged, unless it is masked (drivers that poll).
Left out: the time of a transmission, FIFO thresholds, byte order (DCR.BOS), long addresses (DCR.LAS), monitoring of the network during loopback through the cable, page 3
(the 8029's configuration and EEPROM), 8-bit boards with 8 KB, and the remote DMA's wait states: the data port gives ones where nothing is left to read.
"""
import ctypes
import struct
import zlib
from typing import Callable

from emu.hw.bus import Bus, Window
from emu.hw.pci import STATUS, PciDevice
from emu.hw.vga_memory import Rom
from emu.ports.ne2000 import (
    ABORT,
    ACCEPT_BROADCAST,
    ACCEPT_GROUP,
    CNT,
    CRC_ERROR,
    DATA,
    END,
    GROUP,
    INTACT,
    LONG_ADDRESSES,
    MISSED,
    MONITOR,
    NO_LOOPBACK,
    OVW,
    PROMISCUOUS,
    PRX,
    PTX,
    RESET,
    RST,
    START,
    STP,
    Registers,
)

PORTS = 0x20
BROADCAST = b'\xff' * 6
BATCH = 8
ID = 0x10ec, 0x8029  # of PCI
SHORTEST, LONGEST = 60, 1514  # bytes of a frame without its CRC
NO_CRC, LOOPBACK = 1, 6  # transmit configuration
SENT, CARRIER_LOST, HEARTBEAT_LOST = 3, 0x10, 0x40  # transmit status
LOOPBACK_STATUS = {2: SENT | CARRIER_LOST | HEARTBEAT_LOST, 4: SENT | HEARTBEAT_LOST, 6: SENT}  # 12.0: through the NIC, the encoder, the cable


def crc(data: bytes) -> bytes:
    """The CRC that follows a frame (IEEE 802.3, 3.2.9)."""
    return zlib.crc32(data).to_bytes(4, 'little')


def hash_bit(address: bytes) -> int:
    """A group address's bit in MAR0 to MAR7: the upper six bits of the CRC register (10.3, "Multicast Address Registers"), which zlib keeps mirrored."""
    return int(f'{~zlib.crc32(address) & 0x3f:06b}'[::-1], 2)


class Ne2000(Registers):
    """`irq(level)` is the interrupt line, `transmit(frame)` the wire."""

    def __init__(self, address: bytes, irq: Callable[[bool], None], transmit: Callable[[bytes], None]):
        super().__init__()
        self.irq, self.transmit = irq, transmit
        self.roomy: Callable[[], None] = lambda: None
        self.view = memoryview(self.memory).cast('B')
        self.buffer = ctypes.addressof(self.memory)
        prom = (address + bytes(8) + b'\x57\x57').ljust(16, b'\0')
        self.prom[:] = bytes(byte for byte in prom for _ in range(2))  # a word for each byte
        self.par[:] = address
        self.reset()

    def reset(self) -> None:
        """RESET (11.0, "Initialization of the NIC"): what the table there has; all else stays."""
        self.command, self.isr, self.imr = STP | ABORT, self.isr | RST, 0
        self.dcr |= LONG_ADDRESSES
        self.tcr &= ~LOOPBACK
        self.left = self.running = self.batch = 0
        self.update()

    def interrupt(self) -> None:
        """INT has changed."""
        self.irq(bool(self.level))

    # --- the ring (7.0) ------------------------------------------------------------------------------------------------------------------

    def listening(self) -> bool:
        """Started, with a ring, and not in loopback."""
        return self.running and not self.tcr & LOOPBACK and self.pstart < self.pstop

    def free(self) -> int:
        """Bytes that a frame may take, header and CRC included: up to the page before the boundary; CURR at BNRY means that all is free, as when the ring is set up."""
        return (((self.bnry - self.curr) % max(self.pstop - self.pstart, 1) or self.pstop - self.pstart) - 1) << 8

    def room(self, size: int) -> bool:
        """Whether a frame of so many bytes would be taken now; one that is not wanted is taken and forgotten."""
        if not self.listening() or self.rcr & MONITOR: return True
        return (self.batch < BATCH or not self.imr & PRX) and max(size, SHORTEST) + 8 <= self.free()

    def wanted(self, frame: bytes) -> bool:
        """Address recognition (7.0, "Address Recognition Logic", and RCR)."""
        if self.rcr & PROMISCUOUS and not frame[0] & 1: return True
        if frame[:6] == BROADCAST: return bool(self.rcr & ACCEPT_BROADCAST)
        if not frame[0] & 1: return frame[:6] == bytes(self.par)
        bit = hash_bit(frame[:6])
        return bool(self.rcr & ACCEPT_GROUP and self.mar[bit >> 3] >> (bit & 7) & 1)

    def receive(self, frame: bytes) -> None:
        """A frame of 14 to 1514 bytes from the wire, without its CRC."""
        if not self.listening() or not 14 <= len(frame) <= LONGEST or not self.wanted(frame): return
        if len(frame) < SHORTEST: frame = frame.ljust(SHORTEST, b'\0')
        if self.rcr & MONITOR: return self.miss(0)
        if len(frame) + 8 > self.free(): return self.miss(OVW)
        self.rsr = INTACT | GROUP * (frame[0] & 1)
        pages = len(frame) + 8 + 255 >> 8
        after = self.page(self.curr, pages)
        count = len(frame) + 4
        self.store(bytes((self.rsr, after, count & 0xff, count >> 8)) + frame + crc(frame))
        self.curr = after
        self.batch += 1
        self.raise_(PRX)

    def miss(self, why: int) -> None:
        """A frame that was not stored is counted; half-way up, the counters ask for attention."""
        self.rsr = MISSED
        self.tallies[2] = min(self.tallies[2] + 1, 0xff)
        self.raise_(why | CNT * (self.tallies[2] >> 7))

    def page(self, page: int, n: int) -> int:
        """The n-th page of the ring after one: PSTOP is followed by PSTART."""
        for _ in range(n):
            page = page + 1 & 0xff
            if page == self.pstop: page = self.pstart
        return page

    def store(self, data: bytes) -> None:
        """Writes into the ring from CURR on; pages that are not memory swallow it."""
        page, at = self.curr, 0
        while at < len(data):
            stop = self.pstop if page < self.pstop else 0x100
            n = min((stop - page) << 8, len(data) - at)
            self.put(page << 8, data[at:at + n])
            self.clda = (page << 8) + n & 0xffff
            at += n
            page = self.pstart if stop == self.pstop else 0

    def put(self, address: int, data: bytes) -> None:
        """Bytes into buffer memory, as far as there is any."""
        low, high = max(address, START), min(address + len(data), END)
        if low < high: self.view[low - START:high - START] = data[low - address:high - address]

    def get(self, address: int, n: int) -> bytes:
        """Bytes of the board's memory: PROM, buffer, ones elsewhere."""
        if START <= address and address + n <= END: return bytes(self.view[address - START:address - START + n])
        return bytes(self.byte(at & 0xffff) for at in range(address, address + n))

    # --- transmission (8.0) and loopback (12.0) --------------------------------------------------------------------------------------

    def send(self) -> None:
        """TXP: the frame at TPSR leaves, or comes back."""
        frame = self.get(self.tpsr << 8, min(self.tbcr, LONGEST + 4))
        mode = self.tcr & LOOPBACK
        if mode and not self.dcr & NO_LOOPBACK: self.loop_back(frame)
        if mode in (0, 6):
            if self.tcr & NO_CRC: frame = frame[:-4]  # its last four bytes are the CRC
            if 14 <= len(frame) <= LONGEST: self.transmit(frame.ljust(SHORTEST, b'\0'))  # the data sheet leaves padding to software; a frame on the wire is that long
        self.tsr = LOOPBACK_STATUS.get(mode, SENT)
        self.raise_(PTX)

    def loop_back(self, frame: bytes) -> None:
        """The FIFO keeps the end of what comes back, and behind it the byte count, its upper half twice. There is one CRC logic: the receiver finds the CRC right only where
        software has appended it."""
        if len(frame) < 6: return
        self.rsr = 0
        if self.rcr & PROMISCUOUS or self.wanted(frame):
            self.rsr = INTACT if self.tcr & NO_CRC and crc(frame[:-4]) == frame[-4:] else CRC_ERROR
        if not self.tcr & NO_CRC: frame += crc(frame)
        count = len(frame)
        for n, byte in enumerate(frame[-8:], max(count - 8, 0)): self.fifo[n & 7] = byte
        for n, byte in enumerate((count & 0xff, count >> 8, count >> 8), count): self.fifo[n & 7] = byte
        self.taken = 0

    # --- the board's 32 ports -----------------------------------------------------------------------------------------------------------

    def connect(self, bus: Bus, base: int) -> list[Window]:
        """Registers the ports."""
        def reset(port: int, w: int) -> int:
            self.reset()
            return 0
        self.first = base
        return [bus.add_ports(base, DATA, self.read, self.write, block=self),
                bus.add_ports(base + DATA, RESET - DATA, self.read, self.write, True, block=self),
                bus.add_ports(base + RESET, PORTS - RESET, reset, lambda port, w, v: None)]


def identified(rom: bytes) -> bytes:
    """A ROM with our vendor and device ID in its PCI data structure (PCI Firmware 3.0, 5.1.2): iPXE's is made without, for whoever carries it. Byte 6 keeps the sum zero."""
    image, at = bytearray(rom), int.from_bytes(rom[0x18:0x1a], 'little')
    if image[at:at + 4] == b'PCIR':
        image[at + 4:at + 8] = struct.pack('<HH', *ID)
        image[6] = image[6] - sum(image[:image[2] * 512]) & 0xff
    return bytes(image)


class Ne2kPci(PciDevice):
    """The Realtek 8029: base address 0 has the ports, the expansion ROM a boot program where there is one."""

    def __init__(self, bus: Bus, nic: Ne2000, rom: Rom | None = None):
        super().__init__(*ID, 0x020000, pin=1)
        self.bus, self.nic = bus, nic
        self.windows: list[Window] = []
        self.put(STATUS, 16, 0x0200)
        self.add_base(0, PORTS, True, self.moved)
        if rom: self.add_rom(rom.size, rom.place)

    def moved(self, address: int | None) -> None:
        """The ports have come, gone or changed."""
        for window in self.windows: self.bus.remove_ports(window)
        self.windows = [] if address is None else self.nic.connect(self.bus, address)
