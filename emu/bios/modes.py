"""The VGA's modes as the BIOS sets them (IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", register values of the modes),
and its colours.

A row: kind of memory, columns and rows of characters, their lines, pages, bytes of a page, miscellaneous output, sequencer 1 to 4, CRTC, attribute
controller, graphics controller.
"""
from typing import NamedTuple

TEXT, CGA, MONO, PLANAR, PACKED = range(5)  # how a mode's memory is organised; MONO: one bit a dot in plane 0, interleaved as CGA's


class Mode(NamedTuple):
    """What `set_mode` does, and what other services have to know."""

    kind: int
    columns: int
    rows: int
    height: int
    pages: int
    page_size: int
    segment: int
    misc: int
    sequencer: bytes
    crtc: bytes
    attribute: bytes
    graphics: bytes


EGA = '00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f'
RGB = '00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17'
CGA_4, CGA_2 = '00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17', '00' + ' 17' * 15
MDA, EGA_2, VGA_2 = '00' + ' 08' * 7 + ' 10' + ' 18' * 7, '00 08 00 00 18 18 00 00 00 08 00 00 00 18 00 00', '00' + ' 3f' * 15
ALL = '00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f'

# mode  kind columns rows height pages page size segment misc | sequencer | CRTC 00-0F | CRTC 10-18 | attribute palette; mode, overscan, planes, panning | graphics
TABLE = f"""
00 0 40 25 16 8 0800 b800 67 | 08 03 00 02 | 2d 27 28 90 2b a0 bf 1f 00 4f 0d 0e 00 00 00 00 | 9c 8e 8f 14 1f 96 b9 a3 ff | {EGA} 0c 00 0f 08 | 00 00 00 00 00 10 0e 00 ff
02 0 80 25 16 8 1000 b800 67 | 00 03 00 02 | 5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 | 9c 8e 8f 28 1f 96 b9 a3 ff | {EGA} 0c 00 0f 08 | 00 00 00 00 00 10 0e 00 ff
04 1 40 25 08 1 4000 b800 63 | 09 03 00 02 | 2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 | 9c 8e 8f 14 00 96 b9 a2 ff | {CGA_4} 01 00 03 00 | 00 00 00 00 00 30 0f 00 ff
06 2 80 25 08 1 4000 b800 63 | 01 01 00 06 | 5f 4f 50 82 54 80 bf 1f 00 c1 00 00 00 00 00 00 | 9c 8e 8f 28 00 96 b9 c2 ff | {CGA_2} 01 00 01 00 | 00 00 00 00 00 00 0d 00 ff
07 0 80 25 16 8 1000 b000 66 | 00 03 00 02 | 5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 | 9c 8e 8f 28 0f 96 b9 a3 ff | {MDA} 0e 00 0f 08 | 00 00 00 00 00 10 0a 00 ff
0d 3 40 25 08 8 2000 a000 63 | 09 0f 00 06 | 2d 27 28 90 2b 80 bf 1f 00 c0 00 00 00 00 00 00 | 9c 8e 8f 14 00 96 b9 e3 ff | {RGB} 01 00 0f 00 | 00 00 00 00 00 00 05 0f ff
0e 3 80 25 08 4 4000 a000 63 | 01 0f 00 06 | 5f 4f 50 82 54 80 bf 1f 00 c0 00 00 00 00 00 00 | 9c 8e 8f 28 00 96 b9 e3 ff | {RGB} 01 00 0f 00 | 00 00 00 00 00 00 05 0f ff
0f 3 80 25 14 2 8000 a000 a2 | 01 0f 00 06 | 5f 4f 50 82 54 80 bf 1f 00 40 00 00 00 00 00 00 | 83 85 5d 28 0f 63 ba e3 ff | {EGA_2} 0b 00 05 00 | 00 00 00 00 00 00 05 05 ff
10 3 80 25 14 2 8000 a000 a3 | 01 0f 00 06 | 5f 4f 50 82 54 80 bf 1f 00 40 00 00 00 00 00 00 | 83 85 5d 28 0f 63 ba e3 ff | {EGA} 01 00 0f 00 | 00 00 00 00 00 00 05 0f ff
11 3 80 30 16 1 a000 a000 e3 | 01 0f 00 06 | 5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 | ea 8c df 28 00 e7 04 c3 ff | {VGA_2} 01 00 01 00 | 00 00 00 00 00 00 05 01 ff
12 3 80 30 16 1 a000 a000 e3 | 01 0f 00 06 | 5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 | ea 8c df 28 00 e7 04 e3 ff | {EGA} 01 00 0f 00 | 00 00 00 00 00 00 05 0f ff
13 4 40 25 08 1 0000 a000 63 | 01 0f 00 0e | 5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 | 9c 8e 8f 28 40 96 b9 a3 ff | {ALL} 41 00 0f 00 | 00 00 00 00 00 40 05 0f ff
"""


def read_table() -> dict[int, Mode]:
    """Mode number -> Mode; 1, 3 and 5 are 0, 2 and 4 with the colour burst on."""
    modes = {}
    for line in TABLE.strip().splitlines():
        first, sequencer, low, high, attribute, graphics = line.split('|')
        number, kind, columns, rows, height, pages, size, segment, misc = first.split()
        modes[int(number, 16)] = Mode(int(kind), int(columns), int(rows), int(height), int(pages), int(size, 16), int(segment, 16), int(misc, 16),
                                      bytes.fromhex(sequencer), bytes.fromhex(low + high), bytes.fromhex(attribute), bytes.fromhex(graphics))
    return modes | {n + 1: modes[n] for n in (0, 2, 4)}


MODES = read_table()


def wheel(a: int, b: int, c: int, d: int, e: int) -> list[tuple[int, int, int]]:
    """24 hues from blue over red, yellow, green and cyan back to it; a to e are a colour's five levels."""
    up, down = (a, b, c, d), (e, d, c, b)
    return ([(x, a, e) for x in up] + [(e, a, x) for x in down] + [(e, x, a) for x in up] + [(x, e, a) for x in down]
            + [(a, e, x) for x in up] + [(a, x, e) for x in down])


CGA_COLOURS = [tuple((42 if n & bit else 0) + (21 if n & 8 else 0) for bit in (4, 2, 1)) for n in range(16)]
CGA_COLOURS[6] = (42, 21, 0)  # brown, not dark yellow
GREYS = [(x, x, x) for x in (0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63)]
LEVELS = ((0, 16, 31, 47, 63), (31, 39, 47, 55, 63), (45, 49, 54, 58, 63), (0, 7, 14, 21, 28), (14, 17, 21, 24, 28), (20, 22, 24, 26, 28),
          (0, 4, 8, 12, 16), (8, 10, 12, 14, 16), (11, 12, 13, 15, 16))
COLOURS_256 = [*CGA_COLOURS, *GREYS, *(colour for levels in LEVELS for colour in wheel(*levels)), *[(0, 0, 0)] * 8]
COLOURS_EGA = [tuple((42 if n & bit else 0) + (21 if n & bit << 3 else 0) for bit in (4, 2, 1)) for n in range(64)]
COLOURS_CGA = [CGA_COLOURS[n & 7 | n >> 1 & 8] for n in range(64)]  # modes of 200 lines: bit 4 is intensity
COLOURS_MONO = [(x, x, x) for x in (*[0] * 8, *[42] * 8, *[0] * 8, *[63] * 8)] * 2


def palette(number: int) -> list[tuple[int, ...]]:
    """The DAC's colours for a mode, 6 bits each of red, green and blue."""
    if number == 0x13: return [*COLOURS_256]
    if number in (7, 0x0f): return [*COLOURS_MONO]
    return [*COLOURS_CGA] if number in (4, 5, 6, 0x0d, 0x0e) else [*COLOURS_EGA]
