"""The Bochs VBE extension, DISPI: modes of 4 to 32 bits a pixel through the index port 1CEh and the data port 1CFh, 16 bits each (Bochs, vbe_display_api.txt).

Enabling takes over what was set before if it is a mode that fits into memory, else it fails: bit 0 of ENABLE reads as 0. The virtual width and the offsets of
the picture in it are only taken as far as the picture stays in memory. Left out: 32 KB banks and separate ones for reading and writing (ID B0C5h's), access by
bytes, EDID.
"""
from typing import Callable

ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, MEMORY_64K = range(11)
ENABLED, GETCAPS, EIGHT_BIT_DAC, LFB, NOCLEARMEM = 0x01, 0x02, 0x20, 0x40, 0x80  # of ENABLE
FIRST_ID, LAST_ID = 0xb0c0, 0xb0c5
LIMITS = {XRES: 2560, YRES: 1600, BPP: 32}
DEPTHS = (4, 8, 15, 16, 24, 32)


class Dispi:
    """`memory` is its size in bytes; `changed()` is called after registers have changed, `clear()` when a mode is to start with zeros."""

    def __init__(self, memory: int, changed: Callable[[], None], clear: Callable[[], None]):
        self.memory, self.changed, self.clear = memory, changed, clear
        self.power_on()

    def power_on(self) -> None:
        """All zero, newest ID."""
        self.index = 0
        self.values = [LAST_ID, 0, 0, 8, 0, 0, 0, 0, 0, 0, self.memory >> 16]

    @property
    def enabled(self) -> bool:
        """A mode of ours is shown, the VGA's registers are not asked."""
        return bool(self.values[ENABLE] & ENABLED)

    @property
    def wide_dac(self) -> bool:
        """The palette has 8 bits a colour, else 6."""
        return bool(self.values[ENABLE] & EIGHT_BIT_DAC)

    @property
    def width(self) -> int:
        """Pixels."""
        return self.values[XRES]

    @property
    def height(self) -> int:
        """Lines."""
        return self.values[YRES]

    @property
    def bpp(self) -> int:
        """Bits a pixel; 15 bits take 16."""
        return self.values[BPP]

    @property
    def bank(self) -> int:
        """Which 64 KB the window at A0000h shows; of each plane where there are 4 bits a pixel."""
        return self.values[BANK]

    @property
    def pitch(self) -> int:
        """Bytes from a line to the next; with 4 bits a pixel, in each plane."""
        return self.line(self.values[VIRT_WIDTH])

    @property
    def start(self) -> int:
        """Bytes from the start of memory (of each plane) to the first pixel; with 4 bits, to the byte that has it."""
        return self.values[Y_OFFSET] * self.pitch + self.line(self.values[X_OFFSET])

    @property
    def pan(self) -> int:
        """With 4 bits a pixel: pixels of that byte that are not shown."""
        return self.values[X_OFFSET] & 7 if self.bpp == 4 else 0

    def line(self, pixels: int) -> int:
        """Bytes for so many pixels in this mode."""
        return pixels >> 3 if self.bpp == 4 else pixels * (self.bpp + 7 >> 3)

    def room(self) -> int:
        """Bytes of memory, or of a plane."""
        return self.memory >> 2 if self.bpp == 4 else self.memory

    # --- ports ---------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, w: int) -> int:
        """1CEh: the index; 1CFh: the register."""
        if port == 0x1ce: return self.index
        return self.get(self.index) if port == 0x1cf and w == 16 else -1

    def write(self, port: int, w: int, v: int) -> None:
        """1CEh: the index; 1CFh: the register."""
        if port == 0x1ce: self.index = v
        elif port == 0x1cf and w == 16: self.put(self.index, v)

    def get(self, index: int) -> int:
        """A register, or what it can hold at most (GETCAPS)."""
        if index >= len(self.values): return 0
        if self.values[ENABLE] & GETCAPS and index in LIMITS: return LIMITS[index]
        return self.values[index]

    def put(self, index: int, v: int) -> None:
        """Sets a register, unless it cannot be so."""
        old = list(self.values)
        if index == ID and FIRST_ID <= v <= LAST_ID: self.values[ID] = v
        elif index in LIMITS and not self.enabled and v <= LIMITS[index]: self.values[index] = v
        elif index == ENABLE: self.enable(v)
        elif index == BANK and (v + 1) << 16 <= self.room(): self.values[BANK] = v
        elif index == VIRT_WIDTH: self.set_width(v)
        elif index == X_OFFSET and self.enabled and v + self.width <= self.values[VIRT_WIDTH]: self.values[X_OFFSET] = v
        elif index == Y_OFFSET and self.enabled and v + self.height <= self.values[VIRT_HEIGHT]: self.values[Y_OFFSET] = v
        if self.values != old: self.changed()

    def enable(self, v: int) -> None:
        """ENABLE: bit 0 turns the mode on or off, the others say how."""
        if v & ENABLED and not self.enabled:
            if self.values[BPP] == 0: self.values[BPP] = 8
            fits = self.bpp in DEPTHS and self.width and self.height and self.line(self.width + 7 & -8) * self.height <= self.room()
            if not fits: v &= ~ENABLED
            else:
                self.values[VIRT_WIDTH], self.values[X_OFFSET], self.values[Y_OFFSET] = self.width + 7 & -8 if self.bpp == 4 else self.width, 0, 0
                self.values[VIRT_HEIGHT] = min(self.room() // self.pitch, 0xffff)
                if not v & NOCLEARMEM: self.clear()
        if bool(v & ENABLED) != self.enabled: self.values[BANK] = 0
        self.values[ENABLE] = v & (ENABLED | GETCAPS | EIGHT_BIT_DAC | LFB | NOCLEARMEM)

    def set_width(self, v: int) -> None:
        """VIRT_WIDTH: lines become longer, the offsets start over."""
        if self.bpp == 4: v &= ~7
        if not self.enabled or v < self.width or self.line(v) * self.height > self.room(): return
        self.values[VIRT_WIDTH], self.values[X_OFFSET], self.values[Y_OFFSET] = v, 0, 0
        self.values[VIRT_HEIGHT] = min(self.room() // self.pitch, 0xffff)
