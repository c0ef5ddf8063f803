"""Makes font.bin: the characters of code page 437 in 8x16, 8x14 and 8x8 dots. Run by hand when it is to change; needs Pillow and matplotlib's fonts.

Letters and symbols are DejaVu Sans Mono's (its licence is in FONT-LICENSE), set in one bit a dot; what must join with its neighbours, boxes and blocks,
is drawn here.
"""
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

FACE = Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSansMono.ttf')
SIZES = ((16, 13, 12), (14, 12, 11), (8, 9, 7))  # lines, size of the face, base line
LOW = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼'
CHARACTERS = LOW + bytes(range(32, 127)).decode('ascii') + '⌂' + bytes(range(128, 255)).decode('cp437') + ' '
# Arms of the box characters from B3h on: left, right, up, down; 1: a single line, 2: a double one
BOXES = ('0011 1011 2011 1022 1002 2001 2022 0022 2002 2020 1020 2010 1001 0110 1110 1101 0111 1100 1111 0211 0122 0220 0202 2220 2202 0222 2200 2222 2210 1120 '
         '2201 1102 0120 0210 0201 0102 1122 2211 1010 0101').split()


def letter(character: str, lines: int, size: int, base: int) -> bytes:
    """A character of the face."""
    face = ImageFont.truetype(str(FACE), size, layout_engine=ImageFont.Layout.BASIC)
    dots = Image.new('1', (8, lines))
    draw = ImageDraw.Draw(dots)
    draw.fontmode = '1'
    draw.text((0, base), character, font=face, fill=1, anchor='ls')
    return dots.tobytes()


def box(arms: str, lines: int) -> bytes:
    """A box character: lines from the middle to where an arm says."""
    left, right, up, down = map(int, arms)
    rows = [0] * lines
    middle, across = lines // 2 - 1, {0: (), 1: (3,), 2: (2, 4)}
    heights = {0: (), 1: (middle,), 2: (middle - 1, middle + 1)}
    for arm, first, last in ((left, 0, 4), (right, 3, 7)):
        for y in heights[arm]:
            for x in range(first, last + 1): rows[y] |= 0x80 >> x
    top, bottom = min([*heights[left], *heights[right], middle]), max([*heights[left], *heights[right], middle])
    for arm, first, last in ((up, 0, bottom), (down, top, lines - 1)):
        for x in across[arm]:
            for y in range(first, last + 1): rows[y] |= 0x80 >> x
    return bytes(rows)


def drawn(code: int, lines: int) -> bytes | None:
    """Boxes, blocks and shades; None: the face has it."""
    if 0xb3 <= code <= 0xda: return box(BOXES[code - 0xb3], lines)
    if 0xb0 <= code <= 0xb2: return bytes(((0x22, 0x88), (0x55, 0xaa), (0xdd, 0x77))[code - 0xb0][y & 1] for y in range(lines))
    half = lines // 2
    return {0xdb: b'\xff' * lines, 0xdc: bytes(half) + b'\xff' * half, 0xdd: b'\xf0' * lines, 0xde: b'\x0f' * lines, 0xdf: b'\xff' * half + bytes(half)}.get(code)


def main() -> None:
    font = b''.join(drawn(code, lines) or letter(character, lines, size, base) for lines, size, base in SIZES for code, character in enumerate(CHARACTERS))
    Path(__file__).with_name('font.bin').write_bytes(font)


if __name__ == '__main__':
    main()
