"""Numbers for x87 tests: every class of the 80-bit format, unsupported ones included (SDM 1, tables 4-3 and 8-3), and shorter ones of the same class."""
import struct

from numpy.random import Generator


def extended(rng: Generator) -> tuple[int, int]:
    """Mantissa, and sign with exponent."""
    mantissa, kind = int(rng.integers(1 << 63)) | 1 << 63, rng.integers(12)
    exponent = 0x3fff + int(rng.integers(-70, 70))
    if kind == 0: mantissa, exponent = 0, 0                                           # zero
    elif kind == 1: mantissa, exponent = mantissa & ~(1 << 63), 0                     # denormal
    elif kind == 2: mantissa, exponent = 1 << 63, 0x7fff                              # infinity
    elif kind == 3: mantissa, exponent = mantissa | 1 << 62, 0x7fff                   # quiet NaN
    elif kind == 4: mantissa, exponent = mantissa & ~(1 << 62), 0x7fff                # signalling NaN
    elif kind == 5: mantissa, exponent = mantissa >> int(rng.integers(2)), int(rng.integers(0x8000))  # anything, unnormals too
    elif kind == 6: mantissa, exponent = 1 << 63, 0x3fff + int(rng.integers(-3, 4))   # a power of 2
    elif kind == 7: mantissa, exponent = mantissa & ~0x7ff, 0x3fff + int(rng.integers(-1024, 1024))   # a double
    elif kind == 8: mantissa = mantissa & ~0xffffffffff | 1 << 63                     # a single
    return mantissa, exponent | int(rng.integers(2)) << 15


def number(rng: Generator, w: int) -> bytes:
    """A number of 80, 64, 32 or (an integer) 16 bits."""
    mantissa, exponent = extended(rng)
    if w == 80: return struct.pack('<QH', mantissa, exponent)
    if w == 16: return rng.bytes(2)
    digits, bias = (52, 1023) if w == 64 else (23, 127)
    top = 2 * bias + 1
    scaled = 0 if exponent & 0x7fff == 0 else top if exponent & 0x7fff == 0x7fff else min(max((exponent & 0x7fff) - 0x3fff + bias, 1), top - 1)
    return ((exponent >> 15) << w - 1 | scaled << digits | (mantissa >> 63 - digits & (1 << digits) - 1)).to_bytes(w // 8, 'little')


def simd(rng: Generator, w: int) -> bytes:
    """16 bytes of reals of w bits: zeros, denormals, infinities, NaNs, near the ends, whole numbers; close ones, whose sums and products are exact or tiny."""
    digits, top = (52, 0x7ff) if w == 64 else (23, 0xff)
    out = b''
    for _ in range(128 // w):
        kind = rng.integers(10)
        fraction = int(rng.integers(1 << digits)) & (-1 << int(rng.integers(digits)) if rng.integers(2) else -1)
        exponent = top // 2 + int(rng.integers(-3, 35))
        if kind == 0: exponent, fraction = 0, 0
        elif kind == 1: exponent, fraction = 0, fraction >> int(rng.integers(digits))
        elif kind == 2: exponent, fraction = top, 0
        elif kind == 3: exponent = top
        elif kind == 4: exponent = int(rng.integers(1, 40))
        elif kind == 5: exponent = top - int(rng.integers(1, 6))
        elif kind == 6: exponent = top // 4 + int(rng.integers(-20, 20))
        out += (int(rng.integers(2)) << w - 1 | exponent << digits | fraction).to_bytes(w // 8, 'little')
    return out


def mxcsr(rng: Generator) -> int:
    """Mostly as after RESET, else anything; with few exceptions unmasked."""
    if rng.integers(3): return 0x1f80 | int(rng.integers(4)) << 13
    masks = 0x1f80 if rng.integers(2) else 0x1f80 & ~(1 << 7 + int(rng.integers(6)))
    return masks | int(rng.integers(64)) * int(rng.integers(2)) | int(rng.integers(8)) << 13 | int(rng.integers(2)) << 6


def fpu_image(rng: Generator) -> bytes:
    """What FNSAVE stores: mostly full, mostly masked."""
    control = 0x37f if rng.integers(3) else int(rng.integers(16)) << 8 | 0x40 | (0x3f if rng.integers(4) else int(rng.integers(64)))
    status = int(rng.integers(8)) << 11 | (int(rng.integers(1 << 16)) & 0x4700 if rng.integers(2) else 0)
    tags = 0 if rng.integers(4) else sum(3 << 2 * n for n in range(8) if rng.integers(2))
    head = struct.pack('<IIIIIII', 0xffff0000 | control, 0xffff0000 | status, 0xffff0000 | tags, 0, 0, 0, 0)
    return head + b''.join(struct.pack('<QH', *extended(rng)) for _ in range(8))
