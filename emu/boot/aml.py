"""A little ACPI machine language: each function gives the bytes of one term (ACPI 6.4, chapter 20) or resource descriptor (6.4). Names are written as in ASL."""
import struct
from typing import NamedTuple

ZERO, ONE, ONES, LOCAL0, ARG0 = b'\x00', b'\x01', b'\xff', b'\x60', b'\x68'
PCI_CONFIG = 2  # region space
BYTE_ACCESS = 1  # of fields, without lock, other bits preserved
MEMORY, IO, BUS = 0, 1, 2  # what an address space descriptor is of


class Reference(NamedTuple):
    """A name as an element of a package."""

    name: str


Value = int | str | bytes | Reference | tuple['Value', ...]


def name(path: str) -> bytes:
    r"""A NameString: `\` and `^` in front, segments of up to four letters with dots (20.2.2)."""
    rest = path.lstrip('\\^')
    segments = [segment.ljust(4, '_').encode() for segment in rest.split('.')] if rest else []
    many = b'' if len(segments) == 1 else b'\x00' if not segments else b'\x2e' if len(segments) == 2 else bytes((0x2f, len(segments)))
    return path[:len(path) - len(rest)].encode() + many + b''.join(segments)


def package_length(n: int) -> bytes:
    """PkgLength of n bytes that follow it, itself included (20.2.4)."""
    if n + 1 < 0x40: return bytes((n + 1,))
    size = 2 if n + 2 < 1 << 12 else 3 if n + 3 < 1 << 20 else 4
    total = n + size
    return bytes((size - 1 << 6 | total & 15, *(total >> 4 + 8 * k & 0xff for k in range(size - 1))))


def block(opcode: bytes, *parts: bytes) -> bytes:
    """A term with a PkgLength."""
    content = b''.join(parts)
    return opcode + package_length(len(content)) + content


def value(v: Value) -> bytes:
    """A constant: integer, string, buffer, package, or a name in a package."""
    if isinstance(v, Reference): return name(v.name)
    if isinstance(v, str): return b'\x0d' + v.encode() + b'\0'
    if isinstance(v, bytes): return block(b'\x11', value(len(v)), v)
    if isinstance(v, tuple): return block(b'\x12', bytes((len(v),)), *map(value, v))
    if v < 2: return bytes((v,))
    for prefix, form, limit in ((b'\x0a', '<B', 1 << 8), (b'\x0b', '<H', 1 << 16), (b'\x0c', '<I', 1 << 32)):
        if v < limit: return prefix + struct.pack(form, v)
    return b'\x0e' + struct.pack('<Q', v)


def eisa_id(text: str) -> int:
    """EISAID("PNP0A03") (19.6.37)."""
    a, b, c = (ord(letter) - 0x40 for letter in text[:3])
    return int.from_bytes(struct.pack('>H', a << 10 | b << 5 | c) + bytes.fromhex(text[3:]), 'little')


def scope(path: str, *terms: bytes) -> bytes:
    return block(b'\x10', name(path), *terms)


def device(path: str, *terms: bytes) -> bytes:
    return block(b'\x5b\x82', name(path), *terms)


def named(path: str, v: Value) -> bytes:
    """Name (path, v)."""
    return b'\x08' + name(path) + value(v)


def method(path: str, arguments: int, *terms: bytes) -> bytes:
    """A method, not serialized."""
    return block(b'\x14', name(path), bytes((arguments,)), *terms)


def region(path: str, space: int, offset: int, length: int) -> bytes:
    """OperationRegion."""
    return b'\x5b\x80' + name(path) + bytes((space,)) + value(offset) + value(length)


def field(path: str, access: int, *fields: tuple[str, int]) -> bytes:
    """Field: names with their widths in bits, one after the other."""
    return block(b'\x5b\x81', name(path), bytes((access,)), *(name(entry) + package_length(bits - 1) for entry, bits in fields))


def create_dword_field(source: bytes, at: int, path: str) -> bytes:
    return b'\x8a' + source + value(at) + name(path)


def store(source: bytes, target: bytes) -> bytes:
    return b'\x70' + source + target


def and_(a: bytes, b: bytes, target: bytes = ZERO) -> bytes:
    return b'\x7b' + a + b + target


def or_(a: bytes, b: bytes, target: bytes = ZERO) -> bytes:
    return b'\x7d' + a + b + target


def if_(condition: bytes, *terms: bytes) -> bytes:
    return block(b'\xa0', condition, *terms)


def return_(v: bytes) -> bytes:
    return b'\xa4' + v


# --- resource descriptors ----------------------------------------------------------------------------------------------------------------

def resources(*descriptors: bytes) -> bytes:
    """ResourceTemplate: the end tag has no checksum (6.4.2.9)."""
    return b''.join(descriptors) + b'\x79\x00'


def io(first: int, count: int) -> bytes:
    """Ports that do not move, 16 bits decoded (6.4.2.5)."""
    return struct.pack('<BBHHBB', 0x47, 1, first, first, 1, count)


def irq(n: int) -> bytes:
    """An ISA interrupt: edge, high (6.4.2.1)."""
    return struct.pack('<BH', 0x22, 1 << n)


def dma(channel: int) -> bytes:
    """An 8-bit DMA channel, compatibility mode (6.4.2.2)."""
    return struct.pack('<BBB', 0x2a, 1 << channel, 0)


def interrupts(*numbers: int) -> bytes:
    """Extended interrupts: level, shared, as a consumer (6.4.3.6)."""
    return struct.pack(f'<BHBB{len(numbers)}I', 0x89, 2 + 4 * len(numbers), 0x09, len(numbers), *numbers)


def window(kind: int, first: int, last: int) -> bytes:
    """What a bus passes on: bus numbers and ports by 16, memory by 32 bits (6.4.3.5); fixed ends, memory read and written and not cached, all ports."""
    flags, specific = 0x0c, {MEMORY: 1, IO: 3, BUS: 0}[kind]
    tag, form = (0x87, 'I') if kind == MEMORY else (0x88, 'H')
    body = struct.pack(f'<BBB5{form}', kind, flags, specific, 0, first, last, 0, last - first + 1)
    return struct.pack('<BH', tag, len(body)) + body
