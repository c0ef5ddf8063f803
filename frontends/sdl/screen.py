"""The window itself: the machine's picture as an SDL texture, in its aspect, with text above it."""
import ctypes
import os

import numpy as np
import sdl2
from numpy.typing import NDArray

from frontends.sdl import overlay
from frontends.sdl.overlay import STATUS, Pixels

Place = tuple[int, int, int, int]  # x, y, width, height


class SdlError(Exception):
    """SDL cannot do it; the text is SDL's."""


def check(failed: object) -> None:
    """Raises SDL's error."""
    if failed: raise SdlError(sdl2.SDL_GetError().decode())


def natural(width: int, height: int, aspect: tuple[int, int]) -> tuple[int, int]:
    """The smallest size in the aspect that loses no dot: 720x400 shown as 4:3 is 720x540."""
    wide = height * aspect[0] // aspect[1]
    return (wide, height) if wide >= width else (width, -(-width * aspect[1] // aspect[0]))


def fit(size: tuple[int, int], room: tuple[int, int], whole: bool) -> Place:
    """Where a picture of this natural size goes; `whole`: only in multiples, where one fits."""
    scale = min(room[0] / size[0], room[1] / size[1])
    if whole and scale >= 1: scale = int(scale)
    width, height = max(int(size[0] * scale), 1), max(int(size[1] * scale), 1)
    return (room[0] - width) // 2, (room[1] - height) // 2, width, height


class Screen:
    """`whole`: scaled in whole steps, with sharp dots; else smoothly, to fill the window. `status` shows the line at the bottom."""

    def __init__(self, title: str):
        check(sdl2.SDL_Init(sdl2.SDL_INIT_VIDEO))
        if sdl2.SDL_GetCurrentVideoDriver() == b'offscreen' and not os.environ.get('SDL_VIDEODRIVER'): raise SdlError('there is no desktop')  # SDL would draw for nobody
        flags = sdl2.SDL_WINDOW_RESIZABLE | sdl2.SDL_WINDOW_ALLOW_HIGHDPI
        self.window = sdl2.SDL_CreateWindow(title.encode(), sdl2.SDL_WINDOWPOS_CENTERED, sdl2.SDL_WINDOWPOS_CENTERED, 720, 540 + STATUS, flags)
        check(not self.window)
        self.renderer = sdl2.SDL_CreateRenderer(self.window, -1, 0)
        check(not self.renderer)
        self.texture = None
        self.size, self.aspect = (720, 400), (4, 3)
        self.whole, self.status, self.full = False, True, False
        self.resized = False  # by the user: then it does not follow the guest's modes any more

    def close(self) -> None:
        """Takes the window away."""
        sdl2.SDL_DestroyWindow(self.window)
        sdl2.SDL_Quit()

    def output(self) -> tuple[int, int]:
        """Pixels of the window."""
        width, height = ctypes.c_int(), ctypes.c_int()
        sdl2.SDL_GetRendererOutputSize(self.renderer, width, height)
        return width.value, height.value

    def place(self) -> Place:
        """Where the picture is in the window."""
        width, height = self.output()
        return fit(natural(*self.size, self.aspect), (width, max(height - STATUS * self.status, 1)), self.whole)

    def mode(self, width: int, height: int, aspect: tuple[int, int]) -> None:
        """The picture has another size."""
        if self.texture: sdl2.SDL_DestroyTexture(self.texture)
        self.size, self.aspect = (width, height), aspect
        self.texture = sdl2.SDL_CreateTexture(self.renderer, sdl2.SDL_PIXELFORMAT_RGB888, sdl2.SDL_TEXTUREACCESS_STREAMING, width, height)
        check(not self.texture)
        self.sharpen(self.whole)
        if not self.resized and not self.full:
            wide, high = natural(width, height, aspect)
            sdl2.SDL_SetWindowSize(self.window, wide, high + STATUS * self.status)

    def sharpen(self, whole: bool) -> None:
        """Whole steps and sharp dots, or smooth scaling."""
        self.whole = whole
        if self.texture: sdl2.SDL_SetTextureScaleMode(self.texture, sdl2.SDL_ScaleModeNearest if whole else sdl2.SDL_ScaleModeLinear)

    def fullscreen(self, full: bool) -> None:
        """The whole desktop, or a window."""
        self.full = full
        sdl2.SDL_SetWindowFullscreen(self.window, sdl2.SDL_WINDOW_FULLSCREEN_DESKTOP if full else 0)

    def update(self, pixels: NDArray[np.uint8], place: Place) -> None:
        """A part of the picture is new; `pixels` is all of it: blue, green, red, 0."""
        x, y, width, height = place
        part = pixels[y:y + height, x:x + width]
        sdl2.SDL_UpdateTexture(self.texture, sdl2.SDL_Rect(x, y, width, height), part.ctypes.data_as(ctypes.c_void_p), pixels.strides[0])

    def draw(self, panel: Pixels | None, left: str, right: str) -> None:
        """Shows the picture, a panel above it, and the status line."""
        width, height = self.output()
        sdl2.SDL_SetRenderDrawColor(self.renderer, 0, 0, 0, 255)
        sdl2.SDL_RenderClear(self.renderer)
        if self.texture: sdl2.SDL_RenderCopy(self.renderer, self.texture, None, sdl2.SDL_Rect(*self.place()))
        if self.status: self.put(overlay.status(width, left, right), 0, height - STATUS)
        if panel is not None: self.put(panel, max((width - panel.shape[1]) // 2, 0), max((height - panel.shape[0]) // 2, 0))
        sdl2.SDL_RenderPresent(self.renderer)

    def put(self, pixels: Pixels, x: int, y: int) -> None:
        """Draws some text."""
        height, width = pixels.shape[:2]
        texture = sdl2.SDL_CreateTexture(self.renderer, sdl2.SDL_PIXELFORMAT_ABGR8888, sdl2.SDL_TEXTUREACCESS_STATIC, width, height)
        sdl2.SDL_SetTextureBlendMode(texture, sdl2.SDL_BLENDMODE_BLEND)
        pixels = np.ascontiguousarray(pixels)
        sdl2.SDL_UpdateTexture(texture, None, pixels.ctypes.data_as(ctypes.c_void_p), 4 * width)
        sdl2.SDL_RenderCopy(self.renderer, texture, None, sdl2.SDL_Rect(x, y, width, height))
        sdl2.SDL_DestroyTexture(texture)
