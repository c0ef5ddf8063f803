"""emu/hw/ide.py and ata.py against ATA/ATAPI-6 (T13 1410D revision 3b): protocols of clause 9, commands of clause 8; ATA-1 for CHS and what is older."""
import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.disk.image import RawImage
from emu.hw.ata import Disk, cmos, guess
from emu.hw.atapi import Cdrom
from tests.ide_host import BSY, DRDY, DRQ, DSC, ERR, MEMORY, Host, image, sector

READY = DRDY | DSC
ABRT, IDNF, UNC = 4, 0x10, 0x40


@pytest.fixture
def h(tmp_path: Path) -> Host:
    """A disk of 256 sectors as device 0."""
    return Host(Disk(image(tmp_path / 'disk')))


def words(h: Host) -> tuple[int, ...]:
    """IDENTIFY DEVICE."""
    assert h.command(0xec) == READY | DRQ
    return struct.unpack('<256H', h.pio_in())


# --- protocols ------------------------------------------------------------------------------------------------------------------

def test_identify(h: Host) -> None:
    """IDENTIFY DEVICE: words, strings with swapped bytes, the checksum."""
    w = words(h)
    assert w[0] & 0x8001 == 0 and w[49] & 0x300 == 0x300 and w[60] | w[61] << 16 == 256 and w[100:104] == (256, 0, 0, 0)
    assert w[47] == 0x8010 and w[59] == 0x110 and w[53] & 7 == 7 and w[80] & 0x7e == 0x7e
    assert w[83] >> 10 & 0x1d == 0x1d and w[83] >> 14 == 1 and w[84] >> 14 == 1 and w[87] >> 14 == 1  # LBA48, FLUSH CACHE, FLUSH CACHE EXT
    assert struct.pack('>20H', *w[27:47]).decode().strip() == 'EMU HARDDISK' and struct.pack('>10H', *w[10:20]) == b'EMU00001'.ljust(20)
    assert w[255] & 0xff == 0xa5 and sum(struct.pack('<256H', *w)) & 0xff == 0
    assert h.status() == READY and not h.level


def test_read_sectors(h: Host) -> None:
    """PIO data-in: one interrupt a block, none at the end; the registers have the last sector's address, as ATA-1 wants."""
    h.command(0x20, lba=5, count=3)
    assert h.pio_in() == sector(5) + sector(6) + sector(7) and h.irqs == 3 and h.status() == READY
    assert [h.get(n) for n in (2, 3, 4, 5)] == [0, 7, 0, 0]


def test_a_count_of_0_is_256(h: Host) -> None:
    h.command(0x20)
    assert h.pio_in() == b''.join(map(sector, range(256))) and h.irqs == 256


def test_read_multiple(h: Host) -> None:
    """READ MULTIPLE: an interrupt for each block of SET MULTIPLE MODE's size, the last one smaller."""
    assert h.command(0xc6, count=4) == READY
    h.get(7)
    h.command(0xc4, lba=1, count=10)
    data = h.pio_in(2048)
    assert data[:5120] == b''.join(map(sector, range(1, 11))) and data[5120:] == b'\xff' * 1024 and h.irqs == 4


def test_set_multiple_mode(h: Host) -> None:
    """Powers of two up to word 47; 0 turns it off, then READ MULTIPLE aborts."""
    for count, fine in ((16, True), (32, False), (3, False), (0, True)):
        assert h.command(0xc6, count=count) == READY | (0 if fine else ERR)
        if not fine: assert h.get(1) == ABRT
    assert words(h)[59] == 0
    assert h.command(0xc4, count=1) == READY | ERR and h.get(1) == ABRT


def test_write_sectors(h: Host, tmp_path: Path) -> None:
    """PIO data-out: DRQ without an interrupt first; one after each block; what is written is in the file when the command ends."""
    h.command(0x30, lba=2, count=2)
    assert h.pio_out(b'a' * 512 + b'b' * 512) == READY
    assert (tmp_path / 'disk').read_bytes()[1024:2048] == b'a' * 512 + b'b' * 512
    h.command(0xc5, lba=9, count=17)
    assert h.pio_out(bytes(17 * 512), 8192) == READY and (tmp_path / 'disk').read_bytes()[9 * 512:26 * 512] == bytes(17 * 512)


def test_string_io_moves_a_block_at_once(h: Host) -> None:
    """`rep insw`, 32-bit and 8-bit accesses read the same data."""
    h.command(0x20, count=1, lba=3)
    window = h.bus.ports[0x1f0]
    memory = bytearray(300)
    assert window.read_block
    window.read_block(0x1f0, 16, memoryview(memory))
    double = h.bus.port_in(0x1f0, 32)
    rest = bytearray(600)
    window.read_block(0x1f0, 16, memoryview(rest))
    assert memory + double.to_bytes(4, 'little') + rest == sector(3) + b'\xff' * (904 - 512) and h.status() == READY
    h.command(0x20, count=1, lba=3)
    assert h.bus.port_in(0x1f0, 8) == 3 and h.bus.port_in(0x1f0, 16) == 0  # of the word's high byte nothing is left


def test_dma(h: Host) -> None:
    """READ DMA and WRITE DMA, the device or the bus master started first; one interrupt, the table's end ends the bus master."""
    for first in (True, False):
        h.prd((0x20000, 512), (0x30000, 1024))
        if first: h.start_dma(True)
        assert h.command(0xc8, lba=4, count=3) == (READY if first else BSY)
        if not first: h.start_dma(True)
        assert h.run() == READY and h.bus_master() & 7 == 4 and h.level
        assert MEMORY.read(0x20000, 512) == sector(4) and MEMORY.read(0x30000, 1024) == sector(5) + sector(6)
        h.get(7)
        h.bus.port_out(0xc000, 8, 0)
    MEMORY.write(0x20000, b'x' * 512)
    h.prd((0x20000, 512))
    h.start_dma(False)
    assert h.command(0xca, lba=0, count=1) == READY and h.bus_master() & 7 == 4
    h.get(7)
    h.command(0x20, lba=0, count=1)
    assert h.pio_in() == b'x' * 512


def test_a_table_shorter_than_the_transfer(h: Host) -> None:
    """82371SB, Bus Master IDE Status: interrupt 0 and active 0 are the error; the device waits until it is reset, or the table goes on."""
    h.prd((0x20000, 512))
    h.command(0xc8, lba=4, count=2)
    h.start_dma(True)
    assert h.run() == BSY and h.bus_master() & 7 == 0 and not h.level
    h.bus.port_out(0xc000, 8, 0)
    h.prd((0x20200, 512))
    h.start_dma(True)
    assert h.run() == READY and MEMORY.read(0x20000, 1024) == sector(4) + sector(5) and h.bus_master() & 7 == 4


def test_a_table_longer_than_the_transfer(h: Host) -> None:
    """The same table: interrupt 1 and active 1."""
    MEMORY.write(0x20000, bytes(2048))
    h.prd((0x20000, 1536))
    h.command(0xc8, lba=4, count=2)
    h.start_dma(True)
    assert h.run() == READY and h.bus_master() & 7 == 5 and MEMORY.read(0x20000, 1536) == sector(4) + sector(5) + bytes(512)
    h.bus.port_out(0xc000, 8, 8)
    assert h.bus_master() & 7 == 4
    h.bus.port_out(0xc002, 8, 0x64)
    assert h.bus_master() == 0x60


def test_regions_anywhere(h: Host) -> None:
    """Regions outside RAM read as ones and take nothing; bit 0 of address and count does not count; a count of 0 is 64 KB."""
    h.prd((0xfffffffe, 512), (0xa0000, 510), (0x20001, 3))
    h.command(0xc8, lba=4, count=2)
    h.start_dma(True)
    assert h.run() == READY and MEMORY.read(0x20000, 2) == sector(5)[510:]
    h.get(7)
    h.prd((0x20000, 0))
    h.command(0xc8, lba=0, count=128)
    h.start_dma(True)
    assert h.run() == READY and MEMORY.read(0x20000, 0x10000) == b''.join(map(sector, range(128))) and h.bus_master() & 7 == 4


def test_a_table_without_end(h: Host) -> None:
    """It ends after 64 KB."""
    MEMORY.write(0x10000, struct.pack('<II', 0x20000, 2) * 8192)
    h.bus.port_out(0xc004, 32, 0x10000)
    h.command(0xc8, count=0)
    h.start_dma(True)
    assert h.run() == BSY and h.bus_master() & 7 == 0


def test_no_transfer_while_bus_mastering_is_off(h: Host) -> None:
    """PCI 2.1, 6.2.2: the command register's bit 2."""
    h.function.write(4, 16, 1)
    h.prd((0x20000, 512))
    h.command(0xc8, count=1)
    h.start_dma(True)
    assert h.run() == BSY


# --- addresses ------------------------------------------------------------------------------------------------------------------

def test_chs(h: Host) -> None:
    """ATA-1: sectors count from 1; INITIALIZE DEVICE PARAMETERS sets heads and sectors; what is not there is IDNF."""
    assert h.command(0x91, count=4, chs=(0, 1, 1)) == READY  # 2 heads, 4 sectors
    assert words(h)[54:57] == (32, 2, 4)
    h.command(0x20, count=3, chs=(1, 1, 4))
    assert h.pio_in() == sector(15) + sector(16) + sector(17)
    assert [h.get(n) for n in (3, 4, 5, 6)] == [2, 2, 0, 0xa0]
    for bad in ((0, 0, 0), (0, 0, 5), (0, 2, 1), (32, 0, 1)):
        assert h.command(0x20, count=1, chs=bad) == READY | ERR and h.get(1) == IDNF
    assert h.command(0x10) == READY and h.command(0x7f, chs=(31, 1, 4)) == READY and h.command(0x70, chs=(32, 0, 1)) == READY | ERR
    assert h.command(0x91, count=0) == READY | ERR


@pytest.mark.parametrize('heads, sectors, expected', [(4, 17, (15, 4, 17)), (255, 63, (1, 16, 63)), (0, 0, (1, 16, 63))])
def test_geometry_of_the_partition_table(tmp_path: Path, heads: int, sectors: int, expected: tuple[int, int, int]) -> None:
    """A small disk has the geometry by which it was partitioned, so that a BIOS finds its CHS addresses."""
    table = bytearray(512)
    table[446:462] = bytes((0x80, 1, 1, 0, 6, (heads - 1) & 0xff, sectors, 14)) + struct.pack('<II', 17, 1000)
    table[510:] = b'\x55\xaa'
    (tmp_path / 'disk').write_bytes(bytes(table) + bytes(1023 * 512))
    assert guess(RawImage(str(tmp_path / 'disk'))) == expected


def test_behind_the_end(h: Host) -> None:
    """IDNF, with the address of the first sector that is not there; those before are read."""
    h.command(0x20, lba=254, count=4)
    for _ in range(2):
        h.get(7)
        h.read_data(256)
        h.run()
    assert h.level and h.get(7) == READY | ERR and h.get(1) == IDNF and h.get(3) | h.get(4) << 8 == 256 and h.get(2) == 2
    for code in (0xc8, 0xca, 0x25, 0x35):
        assert h.command(code, lba=255, count=2, extended=code < 0x40) == READY | ERR and h.get(1) == IDNF
    assert h.command(0x40, lba=250, count=6) == READY and h.command(0x40, lba=250, count=7) == READY | ERR


def test_48_bits_and_large_disks(tmp_path: Path) -> None:
    """Above 2 GiB and 128 GiB; HOB reads what was written before; READ NATIVE MAX; IDENTIFY's words 60 and 100."""
    path, sectors = tmp_path / 'disk', (200 << 30) // 512
    with open(path, 'wb') as file:
        file.truncate(200 << 30)
        for place in (3 << 30, 150 << 30): os.pwrite(file.fileno(), b'here'.ljust(512), place)
    h = Host(Disk(RawImage(str(path))))
    w = words(h)
    assert w[60] | w[61] << 16 == 0xfffffff and w[100] | w[101] << 16 | w[102] << 32 == sectors and w[1] == 16383
    h.command(0x20, lba=(3 << 30) // 512, count=1)
    assert h.pio_in()[:4] == b'here'
    h.command(0x24, lba=(150 << 30) // 512, count=1, extended=True)
    assert h.pio_in()[:4] == b'here'
    h.command(0x34, lba=sectors - 1, count=1, extended=True)
    assert h.pio_out(b'last' * 128) == READY and path.read_bytes is not None
    with open(path, 'rb') as file: assert os.pread(file.fileno(), 512, (200 << 30) - 512) == b'last' * 128
    assert h.command(0x27) == READY
    low = [h.get(n) for n in (3, 4, 5)]
    h.bus.port_out(0x3f6, 8, 0x80)
    high = [h.get(n) for n in (3, 4, 5)]
    assert int.from_bytes(bytes(low + high), 'little') == sectors - 1
    h.out(2, 1)  # any write takes HOB back
    assert [h.get(n) for n in (3, 4, 5)] == low
    assert h.command(0xf8) == READY and bytes(h.get(n) for n in (3, 4, 5)) == b'\xff\xff\xff' and h.get(6) & 15 == 15
    h.prd((0x20000, 0))
    h.start_dma(True)
    assert h.command(0x25, count=0, extended=True) == BSY  # 65536 sectors; the table has 64 KB
    assert h.bus_master() & 7 == 0


# --- commands without data, resets ---------------------------------------------------------------------------------------------

def test_signatures_and_resets(tmp_path: Path) -> None:
    """9.12: after SRST, DEVICE RESET and EXECUTE DEVICE DIAGNOSTIC; BSY while SRST is set; device 0 is selected."""
    h = Host(Disk(image(tmp_path / 'disk')), Cdrom())
    for what in ('power on', 'srst', 'diagnostic'):
        if what == 'srst':
            h.out(6, 0x10)
            h.bus.port_out(0x3f6, 8, 4)
            assert h.run() == BSY
            h.bus.port_out(0x3f6, 8, 0)
            assert h.status() == BSY
            h.run()
            assert not h.level
        if what == 'diagnostic':
            h.out(6, 0x10)
            h.out(7, 0x90)
            h.run()
            assert h.level
            h.get(7)
        assert h.status() == READY and [h.get(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 1, 0, 0] and h.get(6) & 0x1f == 0
        h.out(6, 0x10)
        assert h.status() == 0 and [h.get(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 1, 0x14, 0xeb]
    assert h.command(0xec, device=1) == READY | ERR and (h.get(4), h.get(5)) == (0x14, 0xeb)  # IDENTIFY DEVICE to a PACKET device
    assert h.command(0xa1, device=0) == READY | ERR and h.get(1) == ABRT
    h.command(0xa0, device=1)
    h.out(7, 8)  # DEVICE RESET in the middle of a packet
    assert h.status() == 0 and (h.get(4), h.get(5)) == (0x14, 0xeb)


def test_reset_in_the_middle_of_a_transfer(h: Host) -> None:
    """SRST ends PIO and DMA; the next command works."""
    for code in (0x20, 0xc8, 0x30):
        h.command(code, count=4)
        h.bus.port_out(0x3f6, 8, 4)
        h.bus.port_out(0x3f6, 8, 0)
        assert h.run() == READY and not h.level
    h.command(0x20, lba=1, count=1)
    assert h.pio_in() == sector(1)


def test_nien(h: Host) -> None:
    """nIEN keeps INTRQ low, not the device from wanting it; the other device's INTRQ is not seen."""
    h.bus.port_out(0x3f6, 8, 2)
    h.command(0x20, count=1)
    assert not h.level and h.status() & DRQ
    h.bus.port_out(0x3f6, 8, 0)
    assert h.level
    h.out(6, 0x10)
    assert not h.level
    h.out(6, 0)
    assert h.level and h.get(7) and not h.level


def test_no_device(h: Host) -> None:
    """A device that is not there has a status of 0, so that software sees at once that nothing answers; so has a channel without any."""
    h.out(6, 0x10)
    assert h.status() == 0 and h.get(7) == 0
    h.out(7, 0xec)
    assert h.run() == 0 and not h.level
    assert h.bus.port_in(0x177, 8) == 0 and h.bus.port_in(0x376, 8) == 0
    h.out(6, 0)
    assert words(h)[0] == 0x40


def test_power_modes(h: Host) -> None:
    """CHECK POWER MODE; a sleeping drive wakes with a reset only."""
    for code, mode in ((0xe0, 0), (0xe1, 0x80), (0xe2, 0), (0x97, 0x80)):
        assert h.command(code) == READY and h.command(0xe5) == READY and h.get(2) == mode
    h.command(0x40, count=1)
    assert h.command(0x98) == READY and h.get(2) == 0xff
    h.command(0xe6)
    h.get(7)
    h.out(7, 0xec)
    assert h.run() == READY and not h.level
    h.bus.port_out(0x3f6, 8, 4)
    h.bus.port_out(0x3f6, 8, 0)
    h.run()
    assert words(h)[0] == 0x40


def test_set_features(h: Host) -> None:
    """Transfer modes as IDENTIFY shows them; write cache and look-ahead; others abort."""
    for mode, fine, word, value in ((0x0c, True, 63, 0x0007), (0x22, True, 63, 0x0407), (0x45, True, 88, 0x203f), (0x46, False, 88, 0x203f),
                                    (0x12, True, 62, 0x0407), (0x0d, False, 62, 0x0407)):
        assert h.command(0xef, features=3, count=mode) == READY | (0 if fine else ERR)
        assert words(h)[word] == value
    for code, bit in ((0x82, 0), (0x02, 0x20), (0x55, 0), (0xaa, 0x40)):
        assert h.command(0xef, features=code) == READY and words(h)[85] & (bit or 0x60) != 0x60 * (not bit)
    assert h.command(0xef, features=0x99) == READY | ERR and h.get(1) == ABRT


@pytest.mark.parametrize('code', [0x00, 0x08, 0xa0, 0xb0, 0xf1, 0xff])
def test_what_is_not_known_aborts(h: Host, code: int) -> None:
    """NOP always aborts."""
    h.command(code)
    assert h.level and h.get(7) == READY | ERR and h.get(1) == ABRT


def test_flush_is_fsync(h: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLUSH CACHE (EXT), and a write while the write cache is off, end when the host's disk has it; `counts` tells how often."""
    synced: list[int] = []
    monkeypatch.setattr(os, 'fdatasync', synced.append)
    disk = h.channel.devices[0]
    assert isinstance(disk, Disk)
    assert h.command(0xe7) == READY and h.command(0xea) == READY and len(synced) == 2 == disk.image.counts['flushes']
    h.command(0x30, count=1)
    h.pio_out(bytes(512))
    assert len(synced) == 2
    h.command(0xef, features=0x82)
    h.command(0x30, count=2)
    h.pio_out(bytes(1024))
    assert len(synced) == 4


# --- errors of the host ------------------------------------------------------------------------------------------------------------

def test_a_full_disk_and_errors(h: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The guest gets ABRT for a write and UNC for a read with the first bad sector's address; one line in the log for each kind of error."""
    before = (tmp_path / 'disk').read_bytes()
    write, read = os.pwrite, os.pread

    def full(fd: int, data: Any, at: int) -> int:
        if at + len(data) > 100 * 512:
            if at >= 100 * 512: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[:100 * 512 - at]
        return write(fd, data, at)

    def bad(fd: int, n: int, at: int) -> bytes:
        if at <= 50 * 512 < at + n: raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, n, at)
    monkeypatch.setattr(os, 'pwrite', full)
    monkeypatch.setattr(os, 'pread', bad)
    for _ in range(2):
        h.command(0x30, lba=100, count=2)
        h.write_data(bytes(512))
        h.run()
        assert h.get(7) == READY | ERR and h.get(1) == ABRT and h.get(3) == 100
    MEMORY.write(0x20000, b'n' * 2048)
    h.prd((0x20000, 2048))
    h.start_dma(False)
    assert h.command(0xca, lba=98, count=4) == READY | ERR and h.get(1) == ABRT
    monkeypatch.undo()
    assert (tmp_path / 'disk').read_bytes() == before[:98 * 512] + b'n' * 1024 + before[100 * 512:]
    monkeypatch.setattr(os, 'pread', bad)
    for code in (0x40, 0xc4):
        assert h.command(code, lba=48, count=4) == READY | ERR and h.get(1) == UNC and h.get(3) == 50
    h.prd((0x20000, 2048))
    h.start_dma(True)
    assert h.command(0xc8, lba=48, count=4) == READY | ERR and h.get(1) == UNC and h.get(3) == 50
    monkeypatch.undo()
    monkeypatch.setattr(os, 'fdatasync', lambda fd: full(fd, b'x', 1 << 20))
    assert h.command(0xe7) == READY | ERR and h.get(1) == ABRT
    err = capsys.readouterr().err
    assert err.count('\n') == 3 and 'cannot write sector 100: no space left on device' in err and 'cannot read sector 48' in err and 'cannot flush' in err


def test_a_file_that_becomes_shorter(h: Host, tmp_path: Path) -> None:
    os.truncate(tmp_path / 'disk', 1024)
    assert h.command(0x20, lba=2, count=1) == READY | ERR and h.get(1) == UNC


def test_a_read_only_disk(tmp_path: Path) -> None:
    h = Host(Disk(image(tmp_path / 'disk', readonly=True)))
    for code in (0x30, 0xc5, 0xca): assert h.command(code, count=1) == READY | ERR and h.get(1) == ABRT


def test_odd_size(tmp_path: Path) -> None:
    """The rest of the last sector reads as zeros; writing it makes the file longer."""
    (tmp_path / 'disk').write_bytes(b'z' * 1000)
    h = Host(Disk(RawImage(str(tmp_path / 'disk'))))
    assert words(h)[60] == 2
    h.command(0x20, count=2)
    assert h.pio_in() == b'z' * 1000 + bytes(24)
    h.command(0x30, lba=1, count=1)
    h.pio_out(b'y' * 512)
    assert (tmp_path / 'disk').read_bytes() == b'z' * 512 + b'y' * 512


def test_cmos(tmp_path: Path) -> None:
    """IBM PC/AT Technical Reference: types 47 for both, their geometry; byte 39h: how SeaBIOS translates."""
    big = tmp_path / 'big'
    with open(big, 'wb') as file: file.truncate(2 << 30)
    told = cmos([Disk(image(tmp_path / 'disk')), Disk(RawImage(str(big))), Cdrom(), None])
    assert told[0x12] == 0xff and told[0x19] == told[0x1a] == 47 and told[0x39] == 4
    assert [told[n] for n in range(0x1b, 0x24)] == [1, 0, 16, 0xff, 0xff, 0xc8, 1, 0, 63]
    assert told[0x24] | told[0x25] << 8 == 4161


# --- any guest -------------------------------------------------------------------------------------------------------------------

PORTS = [*range(0x1f0, 0x1f8), 0x3f6, *range(0x170, 0x178), 0x376, *range(0xc000, 0xc010)]
COMMANDS = [0x20, 0x24, 0x25, 0x30, 0x34, 0x35, 0x40, 0x90, 0x91, 0xa0, 0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe6, 0xe7, 0xec, 0xef, 0xf8, 0x08, 0x00]
ACCESSES = st.one_of(
    st.tuples(st.just('out'), st.sampled_from(PORTS), st.sampled_from([8, 16, 32]), st.integers(0, 2 ** 32 - 1)),
    st.tuples(st.just('out'), st.sampled_from([0x1f7, 0x177]), st.just(8), st.sampled_from(COMMANDS)),
    st.tuples(st.just('out'), st.sampled_from([0xc000, 0xc008]), st.just(8), st.sampled_from([0, 1, 8, 9])),
    st.tuples(st.just('in'), st.sampled_from(PORTS), st.sampled_from([8, 16, 32]), st.just(0)),
    st.tuples(st.just('block'), st.sampled_from(PORTS), st.sampled_from([8, 16, 32]), st.integers(1, 4096)),
    st.tuples(st.just('pci'), st.integers(0, 63), st.just(32), st.integers(0, 2 ** 32 - 1)),
    st.tuples(st.just('wait'), st.just(0), st.just(0), st.integers(1, 100_000)))


@settings(max_examples=300, deadline=None)
@given(st.lists(ACCESSES, max_size=120))
def test_random_accesses_never_raise(tmp_path_factory: pytest.TempPathFactory, accesses: list[tuple[str, int, int, int]]) -> None:
    """Whatever a guest does: no exception, a bounded time, nothing outside the image and the guest's memory."""
    path = tmp_path_factory.mktemp('ide')
    images = image(path / 'disk', 64), image(path / 'cd', 64, readonly=True)
    h = Host(Disk(images[0]), Cdrom(images[1]))
    memory = (ctypes.c_char * (3 * 16384)).from_buffer(guarded := bytearray(b'g' * 3 * 16384))
    for what, place, w, v in accesses:
        if what == 'out': h.bus.port_out(place, w, v & ((1 << w) - 1))
        elif what == 'in': assert 0 <= h.bus.port_in(place, w) < 1 << w
        elif what == 'block':
            (h.bus.port_in_block if v & 1 else h.bus.port_out_block)(place, w, ctypes.addressof(memory) + 16384, v)
            assert guarded[:16384] == guarded[32768:] == b'g' * 16384
        elif what == 'pci': h.function.write(place & 0x3c | 0x40 * (place > 40), w, v)
        else:
            h.time += v
            h.clock.run_due()
    h.bus.port_out(0x3f6, 8, 4)  # and it works after a reset
    h.bus.port_out(0x3f6, 8, 0)
    h.run()
    assert words(h)[0] == 0x40 and (path / 'disk').stat().st_size == 64 * 512
    for each in images: each.close()
