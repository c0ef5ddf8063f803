"""INT 09h and INT 16h: what keys mean (IBM PC/AT Technical Reference, "Keyboard": extended codes), US layout.

INT 09h makes words of scan codes (set 1), ASCII below, scan code above, in the ring at 40:1Eh; INT 16h takes them out. Left out: the keypad's 5 with Alt
for typing character numbers of more than 255, and another layout (a guest's own driver brings it).
"""
from typing import TYPE_CHECKING

from emu.bios.caller import WAIT, Caller

if TYPE_CHECKING:
    from emu.bios import Bios

FLAGS, FLAGS2, ALT_NUMBER, HEAD, TAIL, RING, RING_END, BREAK, RING_START_AT, RING_END_AT, FLAGS3, LEDS = (
    0x417, 0x418, 0x419, 0x41a, 0x41c, 0x41e, 0x43e, 0x471, 0x480, 0x482, 0x496, 0x497)
RIGHT_SHIFT, LEFT_SHIFT, CTRL, ALT, SCROLL, NUM, CAPS, INSERT = (1 << n for n in range(8))
E0, E1, RIGHT_CTRL, RIGHT_ALT = 2, 1, 4, 8  # of FLAGS3; enhanced keyboard: 10h
PAUSED = 8  # of FLAGS2
INT_1B, INT_05 = 0x1b, 0x05

ROWS = {  # first scan code -> characters, with Shift
    0x02: ('1234567890-=', '!@#$%^&*()_+'), 0x10: ('qwertyuiop[]', 'QWERTYUIOP{}'), 0x1e: ("asdfghjkl;'`", 'ASDFGHJKL:"~'), 0x2b: ('\\zxcvbnm,./', '|ZXCVBNM<>?'),
    0x39: (' ', ' '), 0x56: ('\\', '|')}
PLAIN = {first + n: (ord(a), ord(b)) for first, (low, high) in ROWS.items() for n, (a, b) in enumerate(zip(low, high))}
CONTROLS = {0x03: 0x0300, 0x07: 0x071e, 0x0c: 0x0c1f, 0x1a: 0x1a1b, 0x1b: 0x1b1d, 0x2b: 0x2b1c, 0x39: 0x3920, 0x56: 0x561c}  # with Ctrl; letters follow a rule
KEYPAD = {0x47: '7', 0x48: '8', 0x49: '9', 0x4b: '4', 0x4c: '5', 0x4d: '6', 0x4f: '1', 0x50: '2', 0x51: '3', 0x52: '0', 0x53: '.'}
KEYPAD_CTRL = {0x47: 0x77, 0x48: 0x8d, 0x49: 0x84, 0x4b: 0x73, 0x4c: 0x8f, 0x4d: 0x74, 0x4f: 0x75, 0x50: 0x91, 0x51: 0x76, 0x52: 0x92, 0x53: 0x93}
# Key -> plain, Shift, Ctrl, Alt; None: nothing
OTHERS: dict[int, tuple[int | None, int | None, int | None, int | None]] = {
    0x01: (0x011b, 0x011b, 0x011b, 0x0100), 0x0e: (0x0e08, 0x0e08, 0x0e7f, 0x0e00), 0x0f: (0x0f09, 0x0f00, 0x9400, 0xa500), 0x1c: (0x1c0d, 0x1c0d, 0x1c0a, 0x1c00),
    0x37: (0x372a, 0x372a, 0x9600, 0x3700), 0x4a: (0x4a2d, 0x4a2d, 0x8e00, 0x4a00), 0x4e: (0x4e2b, 0x4e2b, 0x9000, 0x4e00),
    0x57: (0x8500, 0x8700, 0x8900, 0x8b00), 0x58: (0x8600, 0x8800, 0x8a00, 0x8c00),
    **{0x3b + n: (0x3b00 + (n << 8), 0x5400 + (n << 8), 0x5e00 + (n << 8), 0x6800 + (n << 8)) for n in range(10)}}
SHIFTS = {0x36: RIGHT_SHIFT, 0x2a: LEFT_SHIFT, 0x1d: CTRL, 0x38: ALT}
LOCKS = {0x46: SCROLL, 0x45: NUM, 0x3a: CAPS}


def interrupt(bios: 'Bios', c: Caller) -> None:
    """INT 09h: AL is a scan code; AL becomes an interrupt that the key calls, or 0."""
    code, flags3 = c.al, bios.get(FLAGS3, 8)
    c.al = 0
    if code in (0xe0, 0xe1):
        bios.put(FLAGS3, 8, flags3 | (E0 if code == 0xe0 else E1))
        return
    if code >= 0xfa or code == 0: return  # answers to commands
    extended = bool(flags3 & E0)
    if flags3 & E1:  # Pause is E1 1D 45 E1 9D C5
        if code & 0x7f != 0x1d: bios.put(FLAGS3, 8, flags3 & ~E1)
        return
    bios.put(FLAGS3, 8, flags3 & ~E0)
    key, up = code & 0x7f, bool(code & 0x80)
    if key in SHIFTS: shift(bios, key, up, extended)
    elif key in LOCKS and not (extended and key == 0x46): lock(bios, LOCKS[key], up)
    elif not up: c.al = press(bios, key, extended)


def shift(bios: 'Bios', key: int, up: bool, extended: bool) -> None:
    """A shift key goes down or up; a number typed with Alt is entered."""
    if extended and key in (0x2a, 0x36): return  # false shifts around the grey keys
    bit, flags, flags3 = SHIFTS[key], bios.get(FLAGS, 8), bios.get(FLAGS3, 8)
    right = {CTRL: RIGHT_CTRL, ALT: RIGHT_ALT}.get(bit, 0)
    left = {CTRL: 1, ALT: 2}.get(bit, 0)
    if extended: bios.put(FLAGS3, 8, flags3 & ~right if up else flags3 | right)
    elif left: bios.put(FLAGS2, 8, bios.get(FLAGS2, 8) & ~left if up else bios.get(FLAGS2, 8) | left)
    held = not up or (right and bios.get(FLAGS3, 8) & right) or (left and bios.get(FLAGS2, 8) & left)
    bios.put(FLAGS, 8, flags | bit if held else flags & ~bit)
    if bit == ALT and up and (number := bios.get(ALT_NUMBER, 8)):
        bios.put(ALT_NUMBER, 8, 0)
        store(bios, number)


def lock(bios: 'Bios', bit: int, up: bool) -> None:
    """Caps, Num and Scroll Lock turn at each press."""
    flags2 = bios.get(FLAGS2, 8)
    if not up and not flags2 & bit: bios.put(FLAGS, 8, bios.get(FLAGS, 8) ^ bit)
    bios.put(FLAGS2, 8, flags2 & ~bit if up else flags2 | bit)
    if not up:
        bios.put(LEDS, 8, bios.get(LEDS, 8) & ~7 | bios.get(FLAGS, 8) >> 4 & 7)
        bios.set_leds(bios.get(FLAGS, 8) >> 4 & 7)


def press(bios: 'Bios', key: int, extended: bool) -> int:
    """A key that is no shift goes down; an interrupt to call, or 0."""
    flags = bios.get(FLAGS, 8)
    if flags & CTRL and flags & ALT and key == 0x53:
        bios.reset()
        return 0
    if extended and key == 0x46 and flags & CTRL:  # Ctrl-Break
        bios.put(BREAK, 8, 0x80)
        bios.put(HEAD, 16, bios.get(RING_START_AT, 16))
        bios.put(TAIL, 16, bios.get(RING_START_AT, 16))
        store(bios, 0)
        return INT_1B
    if extended and key == 0x37: return INT_05 if not flags & (CTRL | ALT) else 0
    word = meaning(bios, key, extended, flags)
    if word is not None: store(bios, word)
    return 0


def meaning(bios: 'Bios', key: int, extended: bool, flags: int) -> int | None:
    """ASCII and scan code of a key, None where it has none."""
    shifted = bool(flags & (LEFT_SHIFT | RIGHT_SHIFT))
    column = 3 if flags & ALT else 2 if flags & CTRL else 1 if shifted else 0
    if key in KEYPAD: return keypad(bios, key, extended, flags, column, shifted)
    if extended and key == 0x1c: return (0xe00d, 0xe00d, 0xe00a, 0xa600)[column]
    if extended and key == 0x35: return (0xe02f, 0xe02f, 0x9500, 0xa400)[column]
    if key in OTHERS: return OTHERS[key][column]
    if key == 0x35 and column == 2: return None
    if key not in PLAIN: return None
    low, high = PLAIN[key]
    letter = chr(low).isalpha()
    if column == 3: return 0x3920 if key == 0x39 else (0x76 + key << 8 if 2 <= key <= 0x0d else key << 8)
    if column == 2: return key << 8 | low & 31 if letter else CONTROLS.get(key)
    return key << 8 | (high if shifted != (letter and bool(flags & CAPS)) else low)


def keypad(bios: 'Bios', key: int, extended: bool, flags: int, column: int, shifted: bool) -> int | None:
    """The keys with two meanings, and the grey ones of the same codes (E0h before, and E0h for ASCII)."""
    digit = KEYPAD[key]
    if key == 0x52 and column == 0: bios.put(FLAGS, 8, flags ^ INSERT)
    if column == 3:
        if extended: return 0x50 + key << 8
        if digit != '.': bios.put(ALT_NUMBER, 8, bios.get(ALT_NUMBER, 8) * 10 + int(digit) & 0xff)
        return None
    if column == 2: return KEYPAD_CTRL[key] << 8 | (0xe0 if extended else 0)
    if extended: return key << 8 | 0xe0
    if bool(flags & NUM) != shifted: return key << 8 | ord(digit)
    return key << 8 if key != 0x4c else 0x4c00


def store(bios: 'Bios', word: int) -> bool:
    """Puts a word into the ring; False where it is full."""
    tail = bios.get(TAIL, 16)
    following = tail + 2 if tail + 2 < bios.get(RING_END_AT, 16) else bios.get(RING_START_AT, 16)
    if following == bios.get(HEAD, 16): return False
    bios.put(0x400 + tail, 16, word)
    bios.put(TAIL, 16, following)
    return True


def look(bios: 'Bios', extended: bool) -> int | None:
    """The next word, if there is one; what the 84-key functions do not know is dropped or changed."""
    while (head := bios.get(HEAD, 16)) != bios.get(TAIL, 16):
        word = bios.get(0x400 + head, 16)
        if extended: return word & 0xff00 if word & 0xff == 0xf0 else word
        if word >> 8 == 0xe0: return 0x3500 | word & 0xff if word & 0xff == 0x2f else 0x1c00 | word & 0xff
        if word & 0xff == 0xe0 and word >> 8: return word & 0xff00
        if word >> 8 <= 0x84: return word
        take(bios)
    return None


def take(bios: 'Bios') -> None:
    """Removes the next word."""
    head = bios.get(HEAD, 16) + 2
    bios.put(HEAD, 16, head if head < bios.get(RING_END_AT, 16) else bios.get(RING_START_AT, 16))


def service(bios: 'Bios', c: Caller) -> str | None:
    """INT 16h by AH."""
    extended = c.ah >= 0x10
    match c.ah:
        case 0x00 | 0x10 | 0x20:
            word = look(bios, extended)
            if word is None: return WAIT
            take(bios)
            c.ax = word
        case 0x01 | 0x11 | 0x21:
            word = look(bios, extended)
            c.zero = word is None
            if word is not None: c.ax = word
        case 0x02: c.al = bios.get(FLAGS, 8)
        case 0x12 | 0x22:
            flags2, flags3 = bios.get(FLAGS2, 8), bios.get(FLAGS3, 8)
            c.ax = bios.get(FLAGS, 8) | (flags2 & 0x73 | flags3 & 0x0c) << 8
        case 0x05: c.al = 0 if store(bios, c.cx) else 1
        case 0x09: c.al = 0x30
        case 0x0a: c.bx = 0x83ab
    return None
