"""Text above the picture: panels for help, menu and questions, and the status line; drawn by Pillow, with the font that it brings."""
from functools import cache
from typing import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = 15  # of the font, pixels
MARGIN = 14
STATUS = 24  # pixels high
INK, DIM, PAPER, MARK = (235, 235, 235, 255), (150, 150, 150, 255), (28, 30, 36, 235), (60, 90, 160, 255)

Pixels = NDArray[np.uint8]  # (lines, dots, 4): red, green, blue, opacity


@cache
def font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own."""
    return ImageFont.load_default(SIZE)


def panel(title: str, rows: Sequence[tuple[str, str]], marked: int | None = None) -> Pixels:
    """A box with a title and rows of two columns."""
    left = max([font().getlength(a) for a, _ in rows] or [0])
    right = max([font().getlength(b) for _, b in rows] or [0])
    line = SIZE + 7
    width = int(max(left + right + 3 * MARGIN, font().getlength(title) + 2 * MARGIN)) + MARGIN
    image = Image.new('RGBA', (width, line * (len(rows) + 1) + 2 * MARGIN + 6), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((MARGIN, MARGIN - 4), title, INK, font())
    draw.line((MARGIN, MARGIN + line - 4, width - MARGIN, MARGIN + line - 4), DIM)
    for n, (a, b) in enumerate(rows):
        y = MARGIN + 6 + line * (n + 1)
        if n == marked: draw.rectangle((MARGIN - 6, y - 3, width - MARGIN + 6, y + line - 4), MARK)
        draw.text((MARGIN, y), a, INK, font())
        draw.text((MARGIN * 2 + left, y), b, DIM if a else INK, font())
    return np.asarray(image)


def status(width: int, left: str, right: str) -> Pixels:
    """The line at the bottom."""
    image = Image.new('RGBA', (max(width, 1), STATUS), PAPER[:3] + (255,))
    draw = ImageDraw.Draw(image)
    draw.text((8, 3), left, INK, font())
    draw.text((width - 8 - font().getlength(right), 3), right, DIM, font())
    return np.asarray(image)
