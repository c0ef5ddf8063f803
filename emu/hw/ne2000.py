"""NE2000: National Semiconductor's DP8390D network interface controller (DP8390D/NS32490D data sheet, July 1995; chapters named below) on Novell's board:
16 KB of buffer memory at 4000h, a PROM with the station address, a data port for the remote DMA at 10h and a reset port at 18h. `ne2k_isa` is the ISA board, `ne2k_pci`
the Realtek 8029 (10EC:8029), which is the same chip behind PCI.

A frame is sent and its transmission over in the write that starts it: no collisions, no deferral. The four CRC bytes are stored behind a frame that is received,
as the chip does. `receive` is the wire's end: it stores a frame, or leaves it with the overwrite warning where the ring has no room; who wants to wait asks `room`
first and is told by `roomy` when there may be some again. The wire is faster than any that drivers were made for: Linux's takes up to 10 frames at an interrupt and only then
acknowledges it, and never hears of what came meanwhile; so there is no `room` for more than BATCH frames before PRX is acknowledged, unless it is masked (drivers that poll).
Left out: the time of a transmission, FIFO thresholds, byte order (DCR.BOS), long addresses (DCR.LAS), monitoring of the network during loopback through the cable, page 3
(the 8029's configuration and EEPROM), 8-bit boards with 8 KB, and the remote DMA's wait states: the data port gives ones where nothing is left to read.
"""
import struct
import zlib
from typing import Callable

from emu.hw.bus import Bus, Window
from emu.hw.pci import STATUS, PciDevice
from emu.hw.vga_memory import Rom

START, END = 0x4000, 0x8000  # buffer memory
DATA, RESET, PORTS = 0x10, 0x18, 0x20
BROADCAST = b'\xff' * 6
BATCH = 8
ID = 0x10ec, 0x8029  # of PCI
SHORTEST, LONGEST = 60, 1514  # bytes of a frame without its CRC
STP, STA, TXP, READ, WRITE, SEND, ABORT, REMOTE = 1, 2, 4, 0x08, 0x10, 0x18, 0x20, 0x38  # command register (10.3)
PRX, PTX, RXE, OVW, CNT, RDC, RST = 1, 2, 4, 0x10, 0x20, 0x40, 0x80  # interrupt status
WORDS, LONG_ADDRESSES, NO_LOOPBACK = 1, 4, 8  # data configuration
NO_CRC, LOOPBACK = 1, 6  # transmit configuration
SENT, CARRIER_LOST, HEARTBEAT_LOST = 3, 0x10, 0x40  # transmit status
INTACT, CRC_ERROR, MISSED, GROUP, DISABLED = 1, 2, 0x10, 0x20, 0x40  # receive status
RUNTS, ACCEPT_BROADCAST, ACCEPT_GROUP, PROMISCUOUS, MONITOR = 2, 4, 8, 0x10, 0x20  # receive configuration
LOOPBACK_STATUS = {2: SENT | CARRIER_LOST | HEARTBEAT_LOST, 4: SENT | HEARTBEAT_LOST, 6: SENT}  # 12.0: through the NIC, the encoder, the cable


def crc(data: bytes) -> bytes:
    """The CRC that follows a frame (IEEE 802.3, 3.2.9)."""
    return zlib.crc32(data).to_bytes(4, 'little')


def hash_bit(address: bytes) -> int:
    """A group address's bit in MAR0 to MAR7: the upper six bits of the CRC register (10.3, "Multicast Address Registers"), which zlib keeps mirrored."""
    return int(f'{~zlib.crc32(address) & 0x3f:06b}'[::-1], 2)


class Ne2000:
    """`irq(level)` is the interrupt line, `transmit(frame)` the wire."""

    def __init__(self, address: bytes, irq: Callable[[bool], None], transmit: Callable[[bytes], None]):
        self.irq, self.transmit = irq, transmit
        self.roomy: Callable[[], None] = lambda: None
        self.memory = bytearray(END - START)
        self.view = memoryview(self.memory)
        prom = (address + bytes(8) + b'\x57\x57').ljust(16, b'\0')
        self.prom = bytes(byte for byte in prom for _ in range(2))  # a word for each byte
        self.level = False
        self.par, self.mar, self.fifo = bytearray(address), bytearray(8), bytearray(8)
        self.taken = 0  # bytes read from the FIFO
        self.pstart = self.pstop = self.bnry = self.curr = self.tpsr = self.tbcr = self.rsar = self.rbcr = self.clda = 0
        self.isr = self.dcr = self.tcr = self.rcr = self.tsr = self.rsr = self.next_local = self.next_remote = 0
        self.crda = 0  # remote DMA address
        self.tallies = [0, 0, 0]  # frame alignment errors, CRC errors, missed frames
        self.reset()

    def reset(self) -> None:
        """RESET (11.0, "Initialization of the NIC"): what the table there has; all else stays."""
        self.command, self.isr, self.imr = STP | ABORT, self.isr | RST, 0
        self.dcr |= LONG_ADDRESSES
        self.tcr &= ~LOOPBACK
        self.left = 0  # bytes of the remote DMA to go
        self.running = False  # STA was written, and STP not since; with neither, nothing changes
        self.batch = 0  # frames received since PRX was acknowledged
        self.update()

    def update(self) -> None:
        """INT."""
        level = bool(self.isr & self.imr & 0x7f)
        if level != self.level:
            self.level = level
            self.irq(level)

    def raise_(self, bits: int) -> None:
        """Events for the interrupt status register."""
        self.isr |= bits
        self.update()

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
        if not frame[0] & 1: return frame[:6] == self.par
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

    def byte(self, address: int) -> int:
        """One byte of the board's memory."""
        if START <= address < END: return self.memory[address - START]
        return self.prom[address] if address < len(self.prom) else 0xff

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

    # --- remote DMA (9.0) ----------------------------------------------------------------------------------------------------------------

    def start_remote(self, kind: int) -> None:
        """The remote DMA's command."""
        if kind & ABORT: self.left = 0
        elif kind == SEND:
            self.crda = self.bnry << 8
            _, self.next_remote, low, high = self.get(self.crda, 4)
            self.left = low | high << 8
        elif kind:
            self.crda, self.left = self.rsar, self.rbcr
        if kind and not kind & ABORT and not self.left: self.end_remote()

    def end_remote(self) -> None:
        """Remote DMA complete; after Send Packet, the packet is removed from the ring."""
        if self.command & REMOTE == SEND: self.set_boundary(self.next_remote)
        self.raise_(RDC)

    def advance(self, n: int) -> None:
        """n bytes went through the data port; the address turns around at the end of the ring."""
        self.crda = self.crda + n & 0xffff
        if self.crda == self.pstop << 8: self.crda = self.pstart << 8
        self.left = max(self.left - n, 0)
        if not self.left: self.end_remote()

    def run(self) -> int:
        """Bytes that the remote DMA can move in one piece."""
        stop = self.pstop << 8
        end = min(self.crda + self.left, stop if self.crda < stop else END)
        return max(min(end, END) - self.crda, 0) if START <= self.crda else 0

    def reading(self) -> bool:
        """A remote read is on."""
        return bool(self.left) and self.command & REMOTE in (READ, SEND)

    def read_data(self, w: int) -> int:
        """The data port: with DCR.WTS the board moves a word, whatever the width of the access."""
        if w == 32: return self.read_data(16) | self.read_data(16) << 16
        if not self.dcr & WORDS and w == 16: return self.read_data(8) | self.read_data(8) << 8
        if not self.reading(): return -1
        if self.dcr & WORDS:
            value = int.from_bytes(self.get(self.crda & 0xfffe, 2), 'little')
            self.advance(2)
        else:
            value = self.byte(self.crda)
            self.advance(1)
        return value

    def write_data(self, w: int, v: int) -> None:
        """The data port."""
        if w == 32:
            self.write_data(16, v & 0xffff)
            self.write_data(16, v >> 16)
        elif not self.dcr & WORDS and w == 16:
            self.write_data(8, v & 0xff)
            self.write_data(8, v >> 8)
        elif self.left and self.command & REMOTE == WRITE:
            n = 1 + (self.dcr & WORDS)
            self.put(self.crda & -n, v.to_bytes(2, 'little')[:n])
            self.advance(n)

    def linear(self, w: int) -> bool:
        """Whether a block of accesses of this width moves the bytes as they lie: all but bytes from a board that moves words."""
        return not self.dcr & WORDS or w != 8 and not self.crda & 1

    def read_block(self, w: int, memory: memoryview) -> None:
        """`rep ins`: whole runs of buffer memory."""
        at, unit = 0, 1 + (self.dcr & WORDS)
        while at < len(memory) and self.linear(w) and self.reading() and (n := min(self.run(), len(memory) - at) & -unit):
            memory[at:at + n] = self.view[self.crda - START:self.crda - START + n]
            self.advance(n)
            at += n
        step = unit if self.linear(w) else w >> 3
        for k in range(at, len(memory), step): memory[k:k + step] = (self.read_data(8 * step) & (1 << 8 * step) - 1).to_bytes(step, 'little')

    def write_block(self, w: int, memory: memoryview) -> None:
        """`rep outs`."""
        at, unit = 0, 1 + (self.dcr & WORDS)
        while at < len(memory) and self.linear(w) and self.left and self.command & REMOTE == WRITE and (n := min(self.run(), len(memory) - at) & -unit):
            self.view[self.crda - START:self.crda - START + n] = memory[at:at + n]
            self.advance(n)
            at += n
        step = unit if self.linear(w) else w >> 3
        for k in range(at, len(memory), step): self.write_data(8 * step, int.from_bytes(memory[k:k + step], 'little'))

    # --- registers (10.0) ----------------------------------------------------------------------------------------------------------------

    def set_boundary(self, page: int) -> None:
        """BNRY moves when the host has taken frames out: there may be room again."""
        self.bnry = page
        self.roomy()

    def write_command(self, v: int) -> None:
        """CR: stop and start, pages, transmission, remote DMA."""
        started = v & (STP | STA) == STA and not self.running
        self.command = v & ~TXP
        if v & STP: self.running, self.isr = False, self.isr | RST
        elif v & STA: self.running, self.isr = True, self.isr & ~RST
        self.start_remote(v & REMOTE)
        if v & TXP and self.running: self.send()
        if started: self.roomy()

    def read(self, at: int) -> int:
        """A register, 0 to 15, of the page that CR selects."""
        if at == 0: return self.command
        return (self.read_page_0, self.read_page_1, self.read_page_2, lambda at: 0xff)[self.command >> 6](at)

    def read_page_0(self, at: int) -> int:
        """Page 0."""
        match at:
            case 1 | 2: return self.clda >> 8 * (at - 1) & 0xff
            case 3: return self.bnry
            case 4: return self.tsr
            case 5: return 0  # NCR: no collisions
            case 6:
                self.taken += 1
                return self.fifo[self.taken - 1 & 7]
            case 7: return self.isr
            case 8 | 9: return self.crda >> 8 * (at - 8) & 0xff
            case 10 | 11: return b'PC'[at - 10]  # the 8029's ID; reserved on the DP8390
            case 12: return self.rsr | DISABLED * bool(self.rcr & MONITOR)
        n, self.tallies[at - 13] = self.tallies[at - 13], 0
        return n

    def read_page_1(self, at: int) -> int:
        """Page 1: addresses and CURR."""
        if at < 7: return self.par[at - 1]
        return self.curr if at == 7 else self.mar[at - 8]

    def read_page_2(self, at: int) -> int:
        """Page 2, for diagnosis: what page 0 has written."""
        return {1: self.pstart, 2: self.pstop, 3: self.next_remote, 4: self.tpsr, 5: self.next_local, 6: self.clda >> 8, 7: self.clda & 0xff,
                12: self.rcr | 0xc0, 13: self.tcr | 0xe0, 14: self.dcr | 0x80, 15: self.imr | 0x80}.get(at, 0xff)

    def write(self, at: int, v: int) -> None:
        """A register, 0 to 15."""
        if at == 0: self.write_command(v)
        else: (self.write_page_0, self.write_page_1, self.write_page_2, lambda at, v: None)[self.command >> 6](at, v)

    def write_page_0(self, at: int, v: int) -> None:
        """Page 0."""
        match at:
            case 1: self.pstart = v
            case 2: self.pstop = v
            case 3: self.set_boundary(v)
            case 4: self.tpsr = v
            case 5: self.tbcr = self.tbcr & 0xff00 | v
            case 6: self.tbcr = self.tbcr & 0xff | v << 8
            case 7:
                self.isr &= ~(v & 0x7f)
                self.update()
                if v & PRX:
                    self.batch = 0
                    self.roomy()
            case 8: self.rsar = self.rsar & 0xff00 | v
            case 9: self.rsar = self.rsar & 0xff | v << 8
            case 10: self.rbcr = self.rbcr & 0xff00 | v
            case 11: self.rbcr = self.rbcr & 0xff | v << 8
            case 12: self.rcr = v & 0x3f
            case 13:
                self.tcr = v & 0x1f
                self.roomy()
            case 14: self.dcr = v & 0x7f
            case 15:
                self.imr = v & 0x7f
                self.update()

    def write_page_1(self, at: int, v: int) -> None:
        """Page 1."""
        if at < 7: self.par[at - 1] = v
        elif at == 7: self.curr = v
        else: self.mar[at - 8] = v

    def write_page_2(self, at: int, v: int) -> None:
        """Page 2: pointers that the data sheet keeps for diagnosis."""
        match at:
            case 1: self.clda = self.clda & 0xff00 | v
            case 2: self.clda = self.clda & 0xff | v << 8
            case 3: self.next_remote = v
            case 5: self.next_local = v

    # --- the board's 32 ports -----------------------------------------------------------------------------------------------------------

    def connect(self, bus: Bus, base: int) -> list[Window]:
        """Registers the ports."""
        def reset(port: int, w: int) -> int:
            self.reset()
            return 0
        return [bus.add_ports(base, DATA, lambda port, w: self.read(port - base), lambda port, w, v: self.write(port - base, v)),
                bus.add_ports(base + DATA, RESET - DATA, lambda port, w: self.read_data(w), lambda port, w, v: self.write_data(w, v), True,
                              lambda port, w, memory: self.read_block(w, memory), lambda port, w, memory: self.write_block(w, memory)),
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
