"""The two 8237A DMA controllers of a PC/AT and their page registers (Intel 8237A data sheet, 231466; 82371SB data sheet, "DMA Controller").

A device holds a channel's request line with `request`, and moves as much as it has with one call of `read` or `write`: the controller's modes single, demand
and block differ in who waits for whom between two bytes, which no guest sees here. A call stops at terminal count. Channels 4 to 7 move words of 16 bits
(page << 16, even) | address << 1; address and page never carry into one another. Power-on and RESET leave what a BIOS does: channel 4 cascades, unmasked.
Addresses have 24 bits and go to the bus where no memory is, so a sector can be read to the screen. Left out, as in the 82371SB: memory-to-memory transfers (the
temporary register reads as 0), compressed timing, extended write, senses of DREQ and DACK; also priorities (nothing ever waits for another), and channel 4 is
taken for a cascade whatever its mode.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.mem.memory import PAGE, PAGE_READ, PAGE_WRITE, Memory
from emu.ports.pages import Registers

VERIFY, TO_MEMORY, FROM_MEMORY = 0, 1, 2  # transfer types of the mode register, bits 2 and 3
AUTOINIT, DECREMENT, CASCADE = 0x10, 0x20, 0xc0  # others of its bits
BLOCK = 0x80
DISABLE = 4  # of the command register
PAGE_OF = 7, 3, 1, 2, 15, 11, 9, 10  # by channel: n of its page register, port 80h + n; the others only keep what is written


class Channel:
    """One channel: what the guest programmed (base), where it is, and who asks for it."""

    def __init__(self) -> None:
        self.ready: Callable[[], None] = lambda: None
        self.clear()

    def clear(self) -> None:
        """Power-on."""
        self.base_address = self.base_count = self.address = self.count = self.mode = 0
        self.masked, self.ended, self.asked, self.asked_by_software = True, False, False, False

    def end(self) -> None:
        """Terminal count ("Autoinitialize"): the next transfer can begin, or the channel masks itself."""
        self.ended, self.asked_by_software = True, False
        if self.mode & AUTOINIT: self.address, self.count = self.base_address, self.base_count
        else: self.masked = True


class Chip:
    """One 8237A: four channels and what they share. `shift` is 1 where it moves words."""

    def __init__(self, shift: int):
        self.shift = shift
        self.channels = [Channel() for _ in range(4)]
        self.clear()

    def clear(self) -> None:
        """Master clear: masks are set, the rest is 0; addresses, counts and modes stay."""
        self.command, self.high = 0, False  # high: the flip-flop chooses the second byte
        for channel in self.channels: channel.masked, channel.ended, channel.asked_by_software = True, False, False

    def read(self, register: int) -> int:
        """Registers 0 to 15."""
        if register < 8:
            channel = self.channels[register >> 1]
            value = channel.count if register & 1 else channel.address
            self.high = not self.high
            return value & 0xff if self.high else value >> 8
        if register == 8:
            value = sum(c.ended << n | (c.asked or c.asked_by_software) << n + 4 for n, c in enumerate(self.channels))
            for channel in self.channels: channel.ended = False
            return value
        if register == 15: return sum(channel.masked << n for n, channel in enumerate(self.channels))
        return 0

    def write(self, register: int, v: int) -> None:
        """Registers 0 to 15."""
        channel = self.channels[v & 3]
        if register < 8: self.program(self.channels[register >> 1], register & 1, v)
        elif register == 8: self.command = v
        elif register == 9: channel.asked_by_software = bool(v & 4)
        elif register == 10: channel.masked = bool(v & 4)
        elif register == 11: channel.mode = v & 0xfc
        elif register == 12: self.high = False
        elif register == 13: self.clear()
        else:
            for n, each in enumerate(self.channels): each.masked = register == 15 and bool(v >> n & 1)

    def program(self, channel: Channel, count: int, v: int) -> None:
        """A byte of a base register, and of the current one with it."""
        old = channel.base_count if count else channel.base_address
        value = old & 0xff | v << 8 if self.high else old & 0xff00 | v
        self.high = not self.high
        if count: channel.base_count = channel.count = value
        else: channel.base_address = channel.address = value


class Dma:
    """Channels 0 to 7. Devices call `request`, `able`, `read` and `write`."""

    def __init__(self, bus: Bus, memory: Memory):
        self.bus, self.memory = bus, memory
        self.chips = Chip(0), Chip(1)
        self.latches = Registers()
        self.reset()
        for first in (0x00, 0x10): bus.add_ports(first, 16, lambda port, w: self.read_register(0, port & 15), lambda port, w, v: self.write_register(0, port & 15, v))
        bus.add_ports(0xc0, 32, lambda port, w: self.read_register(1, port >> 1 & 15), lambda port, w, v: self.write_register(1, port >> 1 & 15, v))
        for first, count in ((0x80, 18), (0x93, 13)): bus.add_ports(first, count, self.latches.read, self.latches.write, block=self.latches)  # 92h is another's

    def reset(self) -> None:
        """RESET, and what a BIOS does after it."""
        for chip in self.chips:
            chip.clear()
            for channel in chip.channels:
                channel.clear()
        self.latches.pages[:] = bytes(16)
        self.chips[1].channels[0].masked, self.chips[1].channels[0].mode = False, CASCADE

    # --- what devices call -----------------------------------------------------------------------------------------------------------

    def request(self, n: int, level: bool, ready: Callable[[], None] = lambda: None) -> None:
        """Drives DREQ; `ready` is called when the guest has programmed something and the channel can move data now, until DREQ falls."""
        channel = self.channel(n)
        channel.asked, channel.ready = level, ready

    def able(self, n: int, kind: int) -> bool:
        """Whether a transfer of this kind can go on: controllers enabled, channels unmasked, the mode's type as the device has it; verify is for TO_MEMORY."""
        channel, chip = self.channel(n), self.chips[n >> 2]
        if channel.masked or chip.command & DISABLE or channel.mode & CASCADE == CASCADE: return False
        if n < 4 and (self.chips[1].channels[0].masked or self.chips[1].command & DISABLE): return False
        return channel.mode >> 2 & 3 in (kind, VERIFY if kind == TO_MEMORY else kind)

    def read(self, n: int, size: int) -> tuple[bytes, bool]:
        """Up to `size` bytes from memory, and whether terminal count was reached; nothing while the channel is not able."""
        if not self.able(n, FROM_MEMORY): return b'', False
        parts, ended = self.advance(n, size)
        return b''.join(turned(self.load(first, count), unit) for first, count, unit in parts), ended

    def write(self, n: int, data: bytes) -> tuple[int, bool]:
        """Stores bytes in memory: how many, and whether terminal count was reached; none while the channel is not able. Verify transfers store nothing."""
        if not self.able(n, TO_MEMORY): return 0, False
        stored = self.channel(n).mode >> 2 & 3 == TO_MEMORY
        parts, ended = self.advance(n, len(data))
        done = 0
        for first, count, unit in parts:
            if stored: self.store(first, turned(data[done:done + count], unit))
            done += count
        return done, ended

    # --- addresses -------------------------------------------------------------------------------------------------------------------

    def channel(self, n: int) -> Channel:
        """Channel n."""
        return self.chips[n >> 2].channels[n & 3]

    def advance(self, n: int, size: int) -> tuple[list[tuple[int, int, int]], bool]:
        """Counts a transfer of up to `size` bytes: runs of (lowest address, bytes, size of a unit if they go down, else 0), and whether it ended.

        The count is one less than the number of transfers; terminal count is when it passes zero ("Base and Current Word Count").
        """
        channel, shift = self.channel(n), self.chips[n >> 2].shift
        page = self.latches.pages[PAGE_OF[n]] << 16 & (0xfe0000 if shift else 0xff0000)
        down = bool(channel.mode & DECREMENT)
        left = min(size >> shift, channel.count + 1)
        ended = left == channel.count + 1
        channel.count = channel.count - left & 0xffff
        parts = []
        while left:
            run = min(left, channel.address + 1 if down else 0x10000 - channel.address)
            lowest = channel.address - run + 1 if down else channel.address
            parts.append((page | lowest << shift, run << shift, (1 << shift) * down))
            channel.address = (channel.address - run if down else channel.address + run) & 0xffff
            left -= run
        if ended: channel.end()
        return parts, ended

    def pages(self, first: int, count: int, flag: int) -> list[tuple[int, int, bool]]:
        """(address, bytes, whether it is memory with this flag) of each page that a run touches."""
        out = []
        while count:
            part = min(count, PAGE - first % PAGE)
            out.append((first, part, bool(int(self.memory.page_map[first // PAGE]) & flag)))
            first, count = first + part, count - part
        return out

    def load(self, first: int, count: int) -> bytes:
        """Bytes from memory or a device's."""
        return b''.join(self.memory.read(at, part) if is_memory else bytes(self.bus.mmio_read(k, 8) for k in range(at, at + part))
                        for at, part, is_memory in self.pages(first, count, PAGE_READ))

    def store(self, first: int, data: bytes) -> None:
        """Bytes to memory or, where the CPU's writes go so, too, to a device."""
        for at, part, is_memory in self.pages(first, len(data), PAGE_WRITE):
            piece = data[at - first:at - first + part]
            if is_memory: self.memory.write(at, piece)
            else:
                for k, v in enumerate(piece): self.bus.mmio_write(at + k, 8, v)

    # --- ports -------------------------------------------------------------------------------------------------------------------------

    def read_register(self, chip: int, register: int) -> int:
        """A controller's register."""
        return self.chips[chip].read(register)

    def write_register(self, chip: int, register: int, v: int) -> None:
        """A controller's register; devices that wait hear of it."""
        self.chips[chip].write(register, v)
        for n in range(8):
            channel = self.channel(n)
            if channel.asked_by_software and channel.mode & CASCADE == BLOCK and not self.chips[n >> 2].command & DISABLE: self.run_block(n)
            if channel.asked and register >= 8: channel.ready()

    def run_block(self, n: int) -> None:
        """A request by software ("Request Register": block mode only, no mask): all of it at once, with nobody at the other end of the bus."""
        size = self.channel(n).count + 1 << self.chips[n >> 2].shift
        stored = self.channel(n).mode >> 2 & 3 == TO_MEMORY
        for first, count, _ in self.advance(n, size)[0]:
            if stored: self.store(first, b'\xff' * count)


def turned(data: bytes, unit: int) -> bytes:
    """Units of so many bytes in the opposite order; 0: as they are."""
    if not unit: return data
    if unit == 1: return data[::-1]
    return b''.join(data[k:k + 2] for k in range(len(data) - 2, -1, -2))
