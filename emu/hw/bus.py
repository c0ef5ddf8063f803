"""The bus: who answers which port, and which physical address that is not memory.

A device registers a window with `read(port, width) -> value` and `write(port, width, value)`, widths in bits; for memory the first argument is the
offset in the window. An access that a window does not take (wider than it wants, or across its end) is made of two of half the width, as a PC's
chipset does for 8-bit devices. Where nothing answers, reads give all ones and writes are lost. Windows may overlap: the one added last wins a port,
unless one is `fixed`: a PCI device that a guest moves there takes no port that the user gave to something else.
Nothing that a guest does raises an exception here. The CPU's side is the six methods that emu/isa/language.py calls, and the table of ports: a device whose
registers are texts (emu/ports) gives its block with a window, and compiled code answers for it.
"""
import ctypes
from typing import Callable, Literal, NamedTuple

from emu.ports import WIDE
from emu.ports.block import Block

Read = Callable[[int, int], int]
Write = Callable[[int, int, int], None]
BlockMove = Callable[[int, int, memoryview], None]

UNITS: dict[int, Literal['B', 'H', 'I']] = {8: 'B', 16: 'H', 32: 'I'}  # of the struct module


class Window(NamedTuple):
    """Ports or addresses from `first` to before `end`."""

    first: int
    end: int
    read: Read
    write: Write
    wide: bool = True  # takes 16 and 32 bits too
    read_block: BlockMove | None = None  # (port, width, memory to fill): a whole `rep ins`
    write_block: BlockMove | None = None
    entry: int = 0  # in the table
    fixed: bool = False  # no window that is added later takes its ports


class Bus:
    """`trace(kind, place, width, value)` is told of every access, `unimplemented(kind, place)` once of each port (or page) where nothing answers.

    Kinds are 'in', 'out', 'read' and 'write'.
    """

    def __init__(self) -> None:
        self.ports: dict[int, Window] = {}
        self.windows: list[Window] = []  # of ports, in the order in which they were added
        self.mmio: list[Window] = []
        self.trace: Callable[[str, int, int, int], None] | None = None
        self.unimplemented: Callable[[str, int], None] | None = None
        self.reported: set[tuple[str, int]] = set()
        self.table = (ctypes.c_int64 * (0x10000 + 4))()  # State's `ports`
        self.blocks: list[Block] = []

    def add_ports(self, first: int, count: int, read: Read, write: Write, wide: bool = False,
                  read_block: BlockMove | None = None, write_block: BlockMove | None = None, block: Block | None = None, fixed: bool = False) -> Window:
        """Gives `count` ports to a device; without `wide` it sees bytes only. `block`: `read` and `write` are texts on it, of its kind."""
        entry = 0
        if block:
            entry = ctypes.addressof(block) | WIDE * wide
            if block not in self.blocks: self.blocks.append(block)
            block.number = self.blocks.index(block)
        window = Window(first, first + count, read, write, wide, read_block, write_block, entry, fixed)
        self.windows.append(window)
        for port in range(first, first + count): self.give(port, window)
        return window

    def give(self, port: int, window: Window) -> None:
        """A port is this window's from now on."""
        if (owner := self.ports.get(port)) and owner.fixed and not window.fixed: return
        self.ports[port], self.table[port] = window, window.entry

    def remove_ports(self, window: Window) -> None:
        """Takes a window's ports back; those that it had taken from another are that one's again."""
        self.windows = [other for other in self.windows if other is not window]
        for port in range(window.first, window.end):
            under = [other for other in self.windows if other.first <= port < other.end]
            if under: self.give(port, under[-1])
            else: self.ports.pop(port, None)
            if not under: self.table[port] = 0

    def add_mmio(self, first: int, size: int, read: Read, write: Write, wide: bool = True) -> Window:
        """Gives `size` bytes of physical addresses to a device; the page map must not have them as memory."""
        window = Window(first, first + size, read, write, wide)
        self.mmio.insert(0, window)
        return window

    def remove_mmio(self, window: Window) -> None:
        """Takes the addresses back."""
        self.mmio = [other for other in self.mmio if other is not window]

    # --- ports: what the CPU calls ----------------------------------------------------------------------------------------------

    def outside(self, number: int, call: int) -> int:
        """A text asks its device for something."""
        block = self.blocks[number]
        return getattr(block, block.CALLS[call])()

    def port_in(self, port: int, w: int) -> int:
        """Reads w bits."""
        if (window := self.ports.get(port)) and w == 8 and not self.trace: return window.read(port, 8) & 0xff  # what input does, where drivers poll
        value = self.input(port, w)
        if self.trace: self.trace('in', port, w, value)
        return value

    def port_out(self, port: int, w: int, v: int) -> None:
        """Writes the low w bits of v."""
        if (window := self.ports.get(port)) and w == 8 and not self.trace: return window.write(port, 8, v & 0xff)
        v &= (1 << w) - 1
        if self.trace: self.trace('out', port, w, v)
        self.output(port, w, v)
        return None

    def port_in_block(self, port: int, w: int, pointer: int, n: int) -> None:
        """Reads a port n times into host memory."""
        memory, window = self.host(pointer, w, n), self.ports.get(port)
        if window and window.read_block and (w == 8 or window.wide) and not self.trace: window.read_block(port, w, memory)
        else:
            items = memory.cast(UNITS[w])
            for k in range(n): items[k] = self.port_in(port, w)

    def port_out_block(self, port: int, w: int, pointer: int, n: int) -> None:
        """Writes n values from host memory to a port."""
        memory, window = self.host(pointer, w, n), self.ports.get(port)
        if window and window.write_block and (w == 8 or window.wide) and not self.trace: window.write_block(port, w, memory)
        else:
            for value in memory.cast(UNITS[w]): self.port_out(port, w, value)

    def host(self, pointer: int, w: int, n: int) -> memoryview:
        """The bytes of n items in host memory."""
        return memoryview((ctypes.c_char * (n * w // 8)).from_address(pointer)).cast('B')

    def input(self, port: int, w: int) -> int:
        """port_in, untraced."""
        window = self.ports.get(port)
        if window and (w == 8 or window.wide and w <= 32 and port + (w >> 3) <= window.end):
            return window.read(port, w) & ((1 << w) - 1)
        if w > 8:
            half = w >> 1
            return self.input(port, half) | self.input((port + (half >> 3)) & 0xffff, half) << half
        self.unclaimed('in', port)
        return 0xff

    def output(self, port: int, w: int, v: int) -> None:
        """port_out, untraced."""
        window = self.ports.get(port)
        if window and (w == 8 or window.wide and w <= 32 and port + (w >> 3) <= window.end):
            window.write(port, w, v & ((1 << w) - 1))
        elif w > 8:
            half = w >> 1
            self.output(port, half, v)
            self.output((port + (half >> 3)) & 0xffff, half, v >> half)
        else: self.unclaimed('out', port)

    # --- devices' memory: what the CPU calls ------------------------------------------------------------------------------------

    def mmio_read(self, physical: int, w: int) -> int:
        """Reads w bits."""
        window = self.window(physical, w)
        if window is None:
            self.unclaimed('read', physical & -4096)
            value = (1 << w) - 1
        elif self.takes(window, physical, w): value = window.read(physical - window.first, w) & ((1 << w) - 1)
        else:
            half = w >> 1
            return self.mmio_read(physical, half) | self.mmio_read(physical + (half >> 3), half) << half
        if self.trace: self.trace('read', physical, w, value)
        return value

    def mmio_write(self, physical: int, w: int, v: int) -> None:
        """Writes the low w bits of v."""
        window = self.window(physical, w)
        if window and not self.takes(window, physical, w):
            half = w >> 1
            self.mmio_write(physical, half, v & ((1 << half) - 1))
            self.mmio_write(physical + (half >> 3), half, v >> half)
            return
        v &= (1 << w) - 1
        if self.trace: self.trace('write', physical, w, v)
        if window: window.write(physical - window.first, w, v & ((1 << w) - 1))
        else: self.unclaimed('write', physical & -4096)

    def window(self, physical: int, w: int) -> Window | None:
        """A window that an access touches."""
        for window in self.mmio:
            if physical < window.end and window.first < physical + (w >> 3): return window
        return None

    def takes(self, window: Window, physical: int, w: int) -> bool:
        """Whether the window answers this access as a whole."""
        return w == 8 or window.wide and w <= 32 and window.first <= physical and physical + (w >> 3) <= window.end

    def unclaimed(self, kind: str, place: int) -> None:
        """Nothing answers."""
        if self.unimplemented and (kind, place) not in self.reported:
            self.reported.add((kind, place))
            self.unimplemented(kind, place)
