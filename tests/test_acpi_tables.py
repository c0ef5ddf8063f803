"""emu/boot/acpi.py and smbios.py: what an operating system finds, checked as the specifications say, and by iasl where it is installed."""
import struct
import subprocess
from pathlib import Path

import pytest

from emu.boot import acpi, aml, smbios
from emu.boot.acpi import Hardware
from emu.mem.memory import Memory
from tests.conftest import program

HARDWARE = Hardware(256 << 20, 0x600, 0x700, (0, 1), True, True)
AT = 0xf0000


@pytest.fixture
def memory() -> Memory:
    """With the tables in it."""
    memory = Memory(4 << 20)
    memory.shadow(AT, 0x10000, True, True)
    acpi.build(HARDWARE).place(memory, AT)
    return memory


def table(memory: Memory, at: int) -> bytes:
    """A whole table, whose sum must be 0 (ACPI 5.2.6)."""
    data = memory.read(at, struct.unpack('<I', memory.read(at + 4, 4))[0])
    assert sum(data) & 0xff == 0
    return data


def number(data: bytes, at: int, form: str = 'I') -> int:
    return int(struct.unpack_from('<' + form, data, at)[0])


def test_tables_are_linked(memory: Memory) -> None:
    """5.2.5: RSDP -> RSDT -> FADT -> FACS and DSDT; ports and commands of the FADT are the 82371AB's."""
    rsdp = memory.read(AT, 20)
    assert rsdp[:8] == b'RSD PTR ' and sum(rsdp) & 0xff == 0
    rsdt = table(memory, number(rsdp, 16))
    assert rsdt[:4] == b'RSDT' and len(rsdt) == 40
    fadt = table(memory, number(rsdt, 36))
    assert fadt[:4] == b'FACP' and len(fadt) == 244 and fadt[8] == 3
    assert [number(fadt, at) for at in (48, 56, 64, 76, 80)] == [0xb2, 0x600, 0x604, 0x608, 0x60c] and number(fadt, 46, 'H') == 9 and fadt[52:54] == b'\xf1\xf0'
    assert number(fadt, 120, 'Q') == 0xcf9 and fadt[128] == 6  # the reset register
    facs = number(fadt, 36)
    assert facs % 64 == 0 and memory.read(facs, 8) == struct.pack('<4sI', b'FACS', 64)
    assert table(memory, number(fadt, 40))[:4] == b'DSDT'


def test_loader() -> None:
    """QEMU's table-loader, done as firmware does it, gives what `place` gives."""
    tables = acpi.build(HARDWARE)
    files, placed = {acpi.TABLES_FILE: bytearray(tables.block), acpi.RSDP_FILE: bytearray(tables.rsdp())}, {}
    script = tables.loader()
    for n in range(0, len(script), 128):
        command = script[n + 4:n + 128]
        first, second = (command[k:k + 56].split(b'\0')[0].decode(errors='replace') for k in (0, 56))
        kind = number(script, n)
        if kind == 1:
            align, zone = struct.unpack_from('<IB', command, 56)
            placed[first] = {acpi.FSEG: AT, acpi.HIGH: AT + 64}[zone]
            assert placed[first] % align == 0
        elif kind == 2:
            at, size = struct.unpack_from('<IB', command, 112)
            assert size == 4
            struct.pack_into('<I', files[first], at, number(files[first], at) + placed[second])
        elif kind == 3:
            at, start, length = struct.unpack_from('<III', command, 56)
            files[first][at] = -sum(files[first][start:start + length]) & 0xff
    memory = Memory(4 << 20)
    memory.shadow(AT, 0x10000, True, True)
    tables.place(memory, AT)
    assert memory.read(AT, 20) == files[acpi.RSDP_FILE] and memory.read(AT + 64, len(tables.block)) == files[acpi.TABLES_FILE]


def test_package_lengths() -> None:
    """20.2.4: one byte to 63, then a nibble and bytes; the length counts itself."""
    assert aml.package_length(62) == b'\x3f' and aml.package_length(63) == b'\x41\x04' and aml.package_length(4093) == b'\x4f\xff'
    assert aml.package_length(4094) == b'\x81\x00\x01'


def test_names_and_numbers() -> None:
    """20.2.2, 20.2.3, and EISAID of 19.6.37."""
    assert aml.name(r'\_SB.PCI0.ISA') == b'\\\x2f\x03_SB_PCI0ISA_' and aml.name(r'\_S5') == b'\\_S5_' and aml.name('A.B') == b'\x2eA___B___'
    assert [aml.value(v) for v in (0, 1, 2, 256, 65536)] == [b'\0', b'\1', b'\x0a\x02', b'\x0b\0\1', b'\x0c\0\0\1\0']
    assert aml.eisa_id('PNP0A03') == 0x030ad041


def test_iasl_compiles_what_it_disassembles(memory: Memory, tmp_path: Path) -> None:
    """No error, no warning, no remark."""
    fadt = table(memory, number(table(memory, number(memory.read(AT, 20), 16)), 36))
    (tmp_path / 'dsdt.aml').write_bytes(table(memory, number(fadt, 40)))
    subprocess.run([program('iasl'), '-d', 'dsdt.aml'], cwd=tmp_path, check=True, capture_output=True)
    again = subprocess.run([program('iasl'), '-f', 'dsdt.dsl'], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert '0 Errors, 0 Warnings, 0 Remarks' in again, again


def test_smbios() -> None:
    """DSP0134 5.2.1: both sums are 0, length, number and largest structure; one of each required kind, ended by 127; every handle once."""
    data = smbios.tables(256 << 20)
    anchor, structures = smbios.anchor(data, 0xf8020), smbios.split(data)
    assert anchor[:4] == b'_SM_' and anchor[5] == len(anchor) == 31 and sum(anchor) & 0xff == 0 and anchor[16:21] == b'_DMI_' and sum(anchor[16:]) & 0xff == 0
    assert (number(anchor, 8, 'H'), number(anchor, 22, 'H'), number(anchor, 24), number(anchor, 28, 'H')) == (max(map(len, structures)), len(data), 0xf8020, len(structures))
    assert [s[0] for s in structures] == [0, 1, 3, 4, 16, 17, 19, 32, 127] and len({s[2:4] for s in structures}) == len(structures)
    assert number(structures[5], 12, 'H') == 256 and number(structures[6], 8) == (256 << 10) - 1  # MB of the module; KB of the array's end
    processor = structures[3]
    assert processor[1] == 35 and processor[7:17] == bytes((2, *bytes(8), 3)) and number(processor, 20, 'H') == number(processor, 22, 'H') == 1000  # 7.5: strings, MHz
