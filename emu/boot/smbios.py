"""SMBIOS 2.4 tables (DMTF DSP0134): what the machine says it is: BIOS, system, enclosure, processor, memory.

`anchor` and `tables` are etc/smbios/smbios-anchor and etc/smbios/smbios-tables of fw_cfg: SeaBIOS places the tables and completes the anchor.
"""
import struct

ANCHOR_FILE, TABLES_FILE = 'etc/smbios/smbios-anchor', 'etc/smbios/smbios-tables'
UNKNOWN, OTHER, OK = 2, 1, 3


def tables(memory: int) -> bytes:
    """All structures for so many bytes of RAM, in order of their handles."""
    megabytes, last = memory >> 20, (memory >> 10) - 1
    made = [
        structure(0, 0x000, struct.pack('<BBHBBQBBBBBB', 1, 2, 0xe800, 3, 0, 8, 0, 4, 0, 0, 0xff, 0xff), 'emu', '1', '01/01/2026'),  # characteristics: none told
        structure(1, 0x100, struct.pack('<4B16sBBB', 1, 2, 3, 0, bytes(16), 6, 0, 0), 'emu', 'PC (i440FX + PIIX)', '1'),  # woken by the power switch
        structure(3, 0x300, struct.pack('<9BIBBBB', 1, OTHER, 0, 0, 0, OK, OK, OK, UNKNOWN, 0, 0, 0, 0, 0), 'emu'),
        structure(4, 0x400, struct.pack('<4BQBBHHHBBHHHBBB', 1, 3, OTHER, 2, 0, 3, 0, 0, 1000, 1000, 0x41, OTHER, 0xffff, 0xffff, 0xffff, 0, 0, 0), 'CPU 0', 'emu', '1'),
        structure(16, 0x1000, struct.pack('<BBBIHH', 3, 3, 3, memory >> 10, 0xfffe, 1)),  # system memory on the board, no error correction
        structure(17, 0x1100, struct.pack('<HHHHHBBBBBH', 0x1000, 0xfffe, 0xffff, 0xffff, megabytes, 9, 0, 1, 0, 7, UNKNOWN), 'DIMM 0'),  # a DIMM of RAM
        structure(19, 0x1300, struct.pack('<IIHB', 0, last, 0x1000, 1)),
        structure(32, 0x2000, bytes(7)),
        structure(127, 0x7f00, b''),
    ]
    return b''.join(made)


def structure(kind: int, handle: int, body: bytes, *strings: str) -> bytes:
    """A structure with its strings behind it (6.1.2, 6.1.3)."""
    return struct.pack('<BBH', kind, 4 + len(body), handle) + body + (b''.join(text.encode() + b'\0' for text in strings) or b'\0') + b'\0'


def split(data: bytes) -> list[bytes]:
    """The structures that tables consist of."""
    out, at = [], 0
    while at < len(data):
        end = data.index(b'\0\0', at + data[at + 1]) + 2
        out.append(data[at:end])
        at = end
    return out


def anchor(data: bytes, at: int = 0) -> bytes:
    """The entry point (5.2.1) of tables that lie at physical address `at`."""
    structures = split(data)
    inner = struct.pack('<5sBHIHB', b'_DMI_', 0, len(data), at, len(structures), 0x24)
    inner = inner[:5] + bytes((-sum(inner) & 0xff,)) + inner[6:]
    outer = struct.pack('<4sBBBBHB5s', b'_SM_', 0, 31, 2, 4, max(map(len, structures)), 0, bytes(5)) + inner
    return outer[:4] + bytes((-sum(outer) & 0xff,)) + outer[5:]
