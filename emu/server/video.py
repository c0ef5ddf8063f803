"""The machine's screen for viewers: what changed is found once for all of them; what each has not seen is kept apart, so a slow one gets it later, and all at once."""
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emu.hw.vga import Vga
from emu.hw.vga_render import Screen
from frontends.protocol import FILL, RAW, ZLIB, pack

Pixels = NDArray[np.uint32]
MONITOR = 4, 3  # what a VGA's modes were made for, whatever their number of dots


class Rect(NamedTuple):
    """A part of the picture."""

    x: int
    y: int
    width: int
    height: int


class Picture:
    """The screen of `vga`; `pixels` is (lines, dots), overwritten by the next update."""

    def __init__(self, vga: Vga):
        self.vga, self.screen = vga, Screen(vga)
        self.pixels: Pixels = np.zeros((0, 0), np.uint32)

    def update(self) -> tuple[list[Rect], bool]:
        """Looks at the screen: what changed, as one rectangle for each run of lines; and whether the picture has a new size."""
        frame = self.screen.update()
        now = frame.pixels.view(np.uint32)[:, :, 0]
        if frame.resized or now.shape != self.pixels.shape:
            self.pixels = now.copy()
            return [Rect(0, 0, now.shape[1], now.shape[0])], True
        changed = []
        for first, end in frame.changed:
            columns = np.flatnonzero((now[first:end] != self.pixels[first:end]).any(axis=0))
            if not len(columns): continue
            changed.append(Rect(int(columns[0]), first, int(columns[-1] - columns[0] + 1), end - first))
            self.pixels[first:end] = now[first:end]
        return changed, False

    def aspect(self) -> tuple[int, int]:
        """How wide and high the picture is to be shown."""
        lines, dots = self.pixels.shape
        return (dots, lines) if self.vga.dispi.enabled else MONITOR


class Unseen:
    """What a viewer has not seen yet: for each line from where to where."""

    def __init__(self) -> None:
        self.reset((0, 0))

    def reset(self, shape: tuple[int, ...]) -> None:
        """A picture of so many lines and dots, all of it new."""
        self.left, self.right = np.zeros(shape[0], np.int32), np.full(shape[0], shape[1], np.int32)

    def add(self, rect: Rect) -> None:
        """This has changed."""
        lines = slice(rect.y, rect.y + rect.height)
        clean = self.left[lines] >= self.right[lines]
        self.left[lines] = np.where(clean, rect.x, np.minimum(self.left[lines], rect.x))
        self.right[lines] = np.where(clean, rect.x + rect.width, np.maximum(self.right[lines], rect.x + rect.width))

    def take(self) -> list[Rect]:
        """All of it, as a rectangle for each run of lines; from now on it counts as seen."""
        new = (self.left < self.right).astype(np.int8)
        edges = np.flatnonzero(np.diff(new, prepend=0, append=0)).tolist()
        rects = []
        for first, end in zip(edges[0::2], edges[1::2]):
            x = int(self.left[first:end].min())
            rects.append(Rect(x, first, int(self.right[first:end].max()) - x, end - first))
        self.left[:] = self.right[:] = 0
        return rects


def encode(pixels: Pixels, rect: Rect, deflate: bool) -> bytes:
    """The RECT message."""
    part = pixels[rect.y:rect.y + rect.height, rect.x:rect.x + rect.width]
    if (part == part[0, 0]).all(): return pack('RECT', *rect, FILL, part[0, 0].tobytes())
    data = part.tobytes()
    return pack('RECT', *rect, ZLIB, zlib.compress(data, 1)) if deflate else pack('RECT', *rect, RAW, data)
