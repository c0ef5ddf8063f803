"""MOO 1.x: single-instruction tests recorded from real processors (SingleStepTests); ../shared/silicon/README.md describes the format.

A file is chunks of a 4-byte tag, a u32 length and a payload; TEST, INIT and FINA hold chunks in turn. Bus cycles are not read.
"""
import gzip
import struct
from typing import Iterator, NamedTuple

REGISTERS = {b'REGS': ('<H', 'ax bx cx dx cs ss ds es sp bp si di ip flags'.split()),
             b'RG32': ('<I', 'cr0 cr3 eax ebx ecx edx esi edi ebp esp cs ds es fs gs ss eip eflags dr6 dr7'.split())}


class Snapshot(NamedTuple):
    """Registers by name and bytes of memory by address; of a final state, those that changed."""
    registers: dict[str, int]
    ram: dict[int, int]


class Case(NamedTuple):
    """One recorded test; `exception`: its vector and the address of the pushed flags, or None."""
    name: str
    code: bytes
    before: Snapshot
    after: Snapshot
    exception: tuple[int, int] | None


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Tag and payload of each chunk."""
    at = 0
    while at < len(data):
        tag, size = struct.unpack_from('<4sI', data, at)
        yield tag.strip(b' \0'), data[at + 8:at + 8 + size]
        at += 8 + size


def snapshot(data: bytes) -> Snapshot:
    """An INIT or FINA chunk."""
    registers, ram = {}, {}
    for tag, payload in chunks(data):
        if tag in REGISTERS:
            word, names = REGISTERS[tag]
            size = struct.calcsize(word)
            mask, values = struct.unpack_from(word, payload)[0], struct.iter_unpack(word, payload[size:])
            registers = {name: next(values)[0] for n, name in enumerate(names) if mask >> n & 1}
        elif tag == b'RAM':
            ram = dict(struct.iter_unpack('<IB', payload[4:]))
    return Snapshot(registers, ram)


def case(data: bytes) -> Case:
    """A TEST chunk."""
    parts = dict(chunks(data[4:]))
    text = lambda tag: parts[tag][4:4 + struct.unpack_from('<I', parts[tag])[0]]  # noqa: E731
    exception = struct.unpack('<BI', parts[b'EXCP'][:5]) if b'EXCP' in parts else None
    return Case(text(b'NAME').decode(), text(b'BYTS'), snapshot(parts[b'INIT']), snapshot(parts[b'FINA']), exception)


def parse(data: bytes) -> list[Case]:
    """All tests of a file, gzipped or not."""
    return [case(payload) for tag, payload in chunks(gzip.decompress(data) if data[:2] == b'\x1f\x8b' else data) if tag == b'TEST']
