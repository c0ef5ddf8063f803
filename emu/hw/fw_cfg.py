"""QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg): ports 510h (which item), 511h (its bytes) and 514h (a transfer by DMA).

Items are numbered bytes, or files with a name and an entry in the directory, item 19h. A file may be a function, called when the item is chosen, for tables
that depend on what the firmware has set up by then. Left out: items that can be written.
"""
import struct
from typing import Callable, Mapping, NamedTuple

from emu.hw.bus import Bus
from emu.mem.memory import Memory

SIGNATURE, ID, DIRECTORY, FIRST_FILE = 0x00, 0x01, 0x19, 0x20
TRADITIONAL, DMA = 1, 2  # bits of ID
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16  # bits of a DMA descriptor's control word; above them, with SELECT, the item
DMA_SIGNATURE = b'QEMU CFG'
LARGEST = 16 << 20  # bytes of a transfer: no item is as large

Content = bytes | Callable[[], bytes]


class Firmware(NamedTuple):
    """What firmware is told: `items` by number, `files` by name, and -boot's drives, which are in the CMOS."""

    items: Mapping[int, bytes] = {}
    files: Mapping[str, Content] = {}
    boot_order: str = ''


NOTHING = Firmware()


class FwCfg:
    """The device, with a Firmware's items and files."""

    def __init__(self, bus: Bus, memory: Memory, firmware: Firmware = NOTHING):
        self.memory = memory
        items, files = firmware.items, firmware.files
        self.items: dict[int, Content] = {SIGNATURE: b'QEMU', ID: struct.pack('<I', TRADITIONAL | DMA), **items}
        self.files = [name.encode() for name in sorted(files)]
        self.items.update(enumerate([files[name] for name in sorted(files)], FIRST_FILE))
        self.items[DIRECTORY] = self.directory
        self.reset()
        bus.add_ports(0x510, 2, self.read_select, self.write_select, wide=True)
        bus.add_ports(0x511, 1, self.read_data, lambda port, w, v: None, read_block=self.read_block)
        bus.add_ports(0x514, 8, self.read_dma, self.write_dma, wide=True)

    def directory(self) -> bytes:
        """How many files, and of each its size, item and name."""
        entries = (struct.pack('>IHxx56s', len(read(self.items[n])), n, name) for n, name in enumerate(self.files, FIRST_FILE))
        return struct.pack('>I', len(self.files)) + b''.join(entries)

    def reset(self) -> None:
        """As at power-on."""
        self.select(SIGNATURE)
        self.descriptor = 0

    def select(self, item: int) -> None:
        """Its first byte is next."""
        self.data, self.at = read(self.items.get(item, b'')), 0

    def take(self, n: int) -> bytes:
        """The next n bytes; behind the end there are zeros."""
        part = self.data[self.at:self.at + n]
        self.at = min(self.at + n, len(self.data))
        return part + bytes(n - len(part))

    # --- ports -------------------------------------------------------------------------------------------------------------------------

    def read_select(self, port: int, w: int) -> int:
        """510h cannot be read."""
        return 0

    def write_select(self, port: int, w: int, v: int) -> None:
        """510h: an item's number, 16 bits."""
        if w == 16 and port == 0x510: self.select(v)

    def read_data(self, port: int, w: int) -> int:
        """511h: the next byte."""
        return self.take(1)[0]

    def read_block(self, port: int, w: int, memory: memoryview) -> None:
        """`rep insb` from 511h."""
        memory[:] = self.take(len(memory))

    # --- DMA: a big-endian descriptor's address, high half first; the low half starts it ---------------------------------------------

    def read_dma(self, port: int, w: int) -> int:
        """514h: a signature in big-endian order."""
        return int.from_bytes(DMA_SIGNATURE[port - 0x514:port - 0x514 + w // 8], 'little')

    def write_dma(self, port: int, w: int, v: int) -> None:
        """The descriptor's address; 32 bits at a time."""
        if w != 32: return
        half = int.from_bytes(v.to_bytes(4, 'little'), 'big')
        if port == 0x514: self.descriptor = half
        elif port == 0x518:
            address, self.descriptor = self.descriptor << 32 | half, 0
            self.transfer(address)

    def transfer(self, address: int) -> None:
        """Does what the 16 bytes of a descriptor say, and tells the outcome in its control word."""
        control, length, to = struct.unpack('>IIQ', self.memory.read(address, 16))
        if control & SELECT: self.select(control >> 16)
        good = not control & WRITE and (not control & READ or length <= LARGEST and to + length <= self.memory.size)
        if good and control & READ: self.memory.write(to, self.take(length))
        elif good and control & SKIP: self.at = min(self.at + length, len(self.data))
        self.memory.write(address, struct.pack('>I', 0 if good else ERROR))


def read(content: Content) -> bytes:
    """A file's bytes."""
    return content if isinstance(content, bytes) else content()
