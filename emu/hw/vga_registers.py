"""The VGA's registers, whose texts are in emu/ports/vga.py, and what several parts of the adapter read off them (IBM VGA Technical Reference; bit numbers as there)."""
from functools import lru_cache
from typing import Callable, NamedTuple, Sequence

import numpy as np

from emu.ports import vga

CLOCKS = (25_175_000, 28_322_000)  # dots a second, by bits 2 and 3 of the miscellaneous output register


class Timing(NamedTuple):
    """A frame: dots a second and a line, lines; where the display ends, where the vertical retrace begins and ends (lines)."""

    clock: int
    dots: int
    lines: int
    shown_dots: int
    shown_lines: int
    retrace: int
    retrace_end: int

    @property
    def frame(self) -> int:
        """Nanoseconds."""
        return max(self.dots * self.lines * 10 ** 9 // self.clock, 1)


class Registers(vga.Registers):
    """Everything a program sets through 3B0h to 3DFh. `now()` is guest time in ns, `follow()` hears of changes in how memory is accessed, `video` is emu/mem/vga.py's block."""

    def __init__(self, now: Callable[[], int], follow: Callable[[], None], video: int):
        super().__init__()
        self.now, self.follow, self.video = now, follow, video
        self.reset()

    @property
    def dac(self) -> np.ndarray:
        """The palette: 256 times red, green and blue. Made anew: kept, it would be a cycle through NumPy, and no machine would ever be freed."""
        return np.frombuffer(self.colours, np.uint8).reshape(256, 3)

    def reset(self) -> None:
        """Power-on: all zero, so the screen is off, the memory is not decoded, and the CRTC is at 3B4h."""
        self.misc = self.feature = self.sequencer_index = self.crtc_index = self.graphics_index = self.attribute_index = self.attribute_data = 0
        for part in (self.sequencer, self.crtc, self.graphics, self.attribute, self.colours, self.colour): part[:] = bytes(len(part))
        self.dac_index = self.dac_part = self.dac_reading = 0
        self.dac_mask = 0xff
        self.retime()

    def retime(self) -> None:
        """The timing, for input status 1."""
        self.clock, self.width, self.height, self.shown_width, self.shown_height, self.retrace, self.retrace_end = self.timing()

    # --- the CRTC's numbers that are spread over registers ------------------------------------------------------------------------

    def columns(self) -> int:
        """Characters in a line."""
        return self.crtc[1] + 1

    def lines(self) -> int:
        """Scan lines shown, before CRTC mode control's bit 2 doubles them."""
        return shown_lines(self.crtc)

    def line_compare(self) -> int:
        """The last scan line before the split."""
        return self.crtc[0x18] | self.crtc[7] << 4 & 0x100 | self.crtc[9] << 3 & 0x200

    def start(self) -> int:
        """Start address."""
        return self.crtc[0x0c] << 8 | self.crtc[0x0d]

    def graphics_mode(self) -> bool:
        """Bits are pixels; else they are characters."""
        return bool(self.graphics[6] & 1)

    def chain4(self) -> bool:
        """Two address bits choose the plane."""
        return bool(self.sequencer[4] & 8)

    def shown(self) -> bool:
        """Whether there is a picture: the attribute controller has its palette, and the sequencer does not hold the screen off."""
        return bool(self.attribute_index & 0x20) and not self.sequencer[1] & 0x20

    def timing(self) -> Timing:
        """As programmed; 70 Hz with a retrace where that would be no picture, so that no guest waits forever."""
        return timing(bytes(self.crtc), self.sequencer[1], self.misc)


@lru_cache(64)
def timing(c: bytes, clocking: int, misc: int) -> Timing:
    """Of these CRTC registers, clocking mode (sequencer 1) and miscellaneous output: drivers poll the retrace."""
    double = c[0x17] >> 2 & 1
    dots = 8 if clocking & 1 else 9
    clock = CLOCKS[misc >> 2 & 1] >> (clocking >> 3 & 1)
    lines = (c[6] | c[7] << 8 & 0x100 | c[7] << 4 & 0x200) + 2
    shown = shown_lines(c)
    retrace = c[0x10] | c[7] << 6 & 0x100 | c[7] << 2 & 0x200
    length = (c[0x11] - retrace - 1 & 15) + 1
    if c[0] < 20 or lines < 100 or not shown <= retrace <= lines - length: return Timing(CLOCKS[0], 800, 449, 640, 400, 412, 414)
    return Timing(clock, (c[0] + 5) * dots, lines << double, (c[1] + 1) * dots, shown << double, retrace << double, retrace + length << double)


def shown_lines(c: Sequence[int]) -> int:
    """Scan lines shown, before CRTC mode control's bit 2 doubles them."""
    return (c[0x12] | c[7] << 7 & 0x100 | c[7] << 3 & 0x200) + 1
