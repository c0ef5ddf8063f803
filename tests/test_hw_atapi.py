"""emu/hw/atapi.py: the PACKET protocol (ATA/ATAPI-6, clause 9), commands of MMC-3, SPC-2 and SFF-8020i, and a medium that changes."""
import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.disk.image import RawImage
from emu.errors import EmuError
from emu.hw.atapi import Cdrom, msf
from tests.ide_host import BSY, DRDY, DRQ, DSC, ERR, MEMORY, Host

FINE, CHECK = DRDY | DSC, DRDY | DSC | ERR


def disc(path: Path, blocks: int = 100) -> RawImage:
    """A disc in which each block is full of its number."""
    path.write_bytes(b''.join(struct.pack('>I', n) * 512 for n in range(blocks)))
    return RawImage(str(path), readonly=True)


def block(n: int) -> bytes:
    return struct.pack('>I', n) * 512


@pytest.fixture
def h(tmp_path: Path) -> Host:
    """A drive with a disc of 100 blocks, alone on its channel."""
    return Host(Cdrom(disc(tmp_path / 'cd')))


def drive(h: Host) -> Cdrom:
    cdrom = h.channel.devices[0]
    assert isinstance(cdrom, Cdrom)
    return cdrom


def sense(h: Host) -> tuple[int, int, int]:
    """REQUEST SENSE: key, ASC, ASCQ."""
    status, data = h.packet([3, 0, 0, 0, 18])
    assert status == FINE and len(data) == 18 and data[0] == 0x70 and data[7] == 10
    return data[2], data[12], data[13]


def refused(h: Host, packet: list[int], key: int, asc: int, ascq: int = 0) -> None:
    """The packet ends with CHECK CONDITION; the error register has the sense key, REQUEST SENSE all of it, once."""
    status, data = h.packet(packet)
    assert status == CHECK and h.get(1) >> 4 == key and not data
    assert sense(h) == (key, asc, ascq) and sense(h) == (0, 0, 0)


def read10(lba: int, count: int) -> list[int]:
    return [0x28, 0, *struct.pack('>I', lba), 0, *struct.pack('>H', count), 0]


def test_identify_packet_device(h: Host) -> None:
    """IDENTIFY PACKET DEVICE: removable CD-ROM, packets of 12 bytes; DRDY is clear until the first command."""
    assert h.status() == 0
    assert h.command(0xa1) == FINE | DRQ
    data = h.pio_in()
    w = struct.unpack('<256H', data)
    assert w[0] == 0x85c0 and w[49] & 0x300 == 0x300 and sum(data) & 0xff == 0 and struct.pack('>20H', *w[27:47]).strip() == b'EMU CD-ROM'


def test_inquiry(h: Host) -> None:
    """SPC-2, INQUIRY: type 5, removable; the allocation length cuts."""
    status, data = h.packet([0x12, 0, 0, 0, 36])
    assert status == FINE and data[:2] == b'\5\x80' and data[4] == 31 and data[8:32].split() == [b'EMU', b'CD-ROM'] and len(data) == 36
    assert h.packet([0x12, 0, 0, 0, 5]) == (FINE, data[:5]) and h.packet([0x12, 0, 0, 0, 0]) == (FINE, b'')
    refused(h, [0x12, 1, 0x80, 0, 36], 5, 0x24)


@pytest.mark.parametrize('dma', [False, True])
@pytest.mark.parametrize('limit', [2048, 0xfffe, 0xffff, 0, 4096, 1000, 999, 65535])
def test_read(h: Host, dma: bool, limit: int) -> None:
    """READ(10), READ(12): PIO in pieces up to the byte count limit, and DMA."""
    wanted = b''.join(map(block, range(20, 60)))
    h.prd((0x20000, 0), (0x30000, 40 * 2048 - 0x10000))
    status, data = h.packet(read10(20, 40), limit, dma)
    assert status == FINE and (MEMORY.read(0x20000, 40 * 2048) if dma else data) == wanted
    if dma: assert h.bus_master() & 7 == 4
    if not dma: assert h.packet([0xa8, 0, *struct.pack('>II', 98, 2), 0, 0], limit) == (FINE, block(98) + block(99))
    assert h.packet(read10(99, 0)) == (FINE, b'')
    refused(h, read10(99, 2), 5, 0x21)


def test_read_error(h: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that cannot read is a medium error 3/11, after the data before it."""
    real = os.pread

    def bad(fd: int, n: int, at: int) -> bytes:
        if at + n > 64 * 2048: raise OSError(errno.EIO, 'Input/output error')
        return real(fd, n, at)
    monkeypatch.setattr(os, 'pread', bad)
    status, data = h.packet(read10(0, 96), 2048)
    assert status == CHECK and data == b''.join(map(block, range(64))) and sense(h) == (3, 0x11, 0)
    h.prd((0x20000, 0), (0x30000, 0), (0x40000, 0))
    assert h.packet(read10(0, 96), dma=True)[0] == CHECK and sense(h) == (3, 0x11, 0)
    assert capsys.readouterr().err.count('\n') == 1


def test_capacity_and_odd_size(tmp_path: Path) -> None:
    """READ CAPACITY: the last block; an image that ends inside a block is filled with zeros."""
    (tmp_path / 'cd').write_bytes(b'x' * 5000)
    h = Host(Cdrom(RawImage(str(tmp_path / 'cd'), readonly=True)))
    assert h.packet([0x25]) == (FINE, struct.pack('>II', 2, 2048))
    assert h.packet(read10(2, 1)) == (FINE, (b'x' * 904).ljust(2048, b'\0'))


def test_read_cd(h: Host) -> None:
    """MMC-3, READ CD: user data, whole sectors with sync and header (MSF in BCD, mode 1), nothing; READ CD MSF."""
    assert h.packet([0xbe, 0, 0, 0, 0, 7, 0, 0, 2, 0x10]) == (FINE, block(7) + block(8))
    status, raw = h.packet([0xbe, 0, 0, 0, 0, 99, 0, 0, 1, 0xf8])
    assert len(raw) == 2352 and raw[:16] == b'\0' + b'\xff' * 10 + b'\0' + b'\x00\x03\x24' + b'\1' and raw[16:2064] == block(99)
    assert h.packet([0xbe, 0, 0, 0, 0, 7, 0, 0, 2, 0]) == (FINE, b'')
    assert h.packet([0xb9, 0, 0, 0, 2, 5, 0, 2, 6, 0x10]) == (FINE, block(5))
    refused(h, [0xbe, 4, 0, 0, 0, 7, 0, 0, 2, 0x10], 5, 0x64)  # CD-DA
    refused(h, [0xbe, 0, 0, 0, 0, 99, 0, 0, 2, 0x10], 5, 0x21)
    refused(h, [0xb9, 0, 0, 0, 1, 0, 0, 2, 0, 0x10], 5, 0x24)


def test_toc(h: Host) -> None:
    """MMC-3, READ TOC/PMA/ATIP: formats 0, 1 and 2; MSF; SFF-8020i has the format in byte 9."""
    def toc(form: int = 0, flags: int = 0, start: int = 0, old: int = 0, size: int = 255) -> bytes:
        return h.packet([0x43, flags, form, 0, 0, 0, start, 0, size, old << 6])[1]
    assert toc() == bytes([0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 0, 100])
    assert toc(flags=2)[8:12] == b'\0\0\2\0' and toc(flags=2)[16:20] == b'\0' + msf(100) and toc(start=0xaa) == bytes([0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 0, 100])
    assert toc(1) == toc(old=1) == bytes([0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0])
    raw = toc(2)
    assert raw[:2] == bytes([0, 46]) and [raw[n + 3] for n in range(4, 48, 11)] == [0xa0, 0xa1, 0xa2, 1] and raw[4 + 22 + 8:4 + 33] == msf(100) == bytes([0, 3, 25])
    assert toc(size=4) == bytes([0, 18, 1, 1])
    refused(h, [0x43, 0, 0, 0, 0, 0, 2, 0, 12], 5, 0x24)
    refused(h, [0x43, 0, 5, 0, 0, 0, 0, 0, 12], 5, 0x24)


def test_mode_sense(h: Host) -> None:
    """Pages 01h, 0Eh, 2Ah with (10)'s and (6)'s headers; changeable values are all zero, saved ones not there."""
    status, data = h.packet([0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255])
    assert status == FINE and data[:3] == bytes([0, 26, 1]) and data[8:10] == bytes([0x2a, 18]) and data[8 + 6] & 0xe9 == 0x29 and len(data) == 28
    assert len(h.packet([0x1a, 0, 0x2a, 0, 255])[1]) == 24
    assert len(h.packet([0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255])[1]) == 8 + 8 + 16 + 20
    assert h.packet([0x5a, 0, 0x41, 0, 0, 0, 0, 0, 255])[1][8:] == bytes([1, 6]) + bytes(6)
    refused(h, [0x5a, 0, 0xc1, 0, 0, 0, 0, 0, 255], 5, 0x39)
    refused(h, [0x5a, 0, 0x05, 0, 0, 0, 0, 0, 255], 5, 0x24)


def test_configuration_and_information(h: Host, tmp_path: Path) -> None:
    """GET CONFIGURATION: the current profile follows the disc; READ DISC and TRACK INFORMATION, MECHANISM STATUS, READ SUB-CHANNEL."""
    def configuration(kind: int = 0, first: int = 0) -> bytes:
        return h.packet([0x46, kind, 0, first, 0, 0, 0, 1, 0])[1]
    data = configuration()
    assert struct.unpack('>IHH', data[:8]) == (len(data) - 4, 0, 8) and data[8:20] == bytes([0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0])
    assert len(configuration(2, 0x10)) == 8 + 12 and len(configuration(2, 0x99)) == 8
    with open(tmp_path / 'dvd', 'wb') as file: file.truncate(2 << 30)
    drive(h).insert(RawImage(str(tmp_path / 'dvd'), readonly=True))
    assert configuration()[6:8] == b'\0\x10'
    drive(h).eject()
    assert configuration()[6:8] == b'\0\0'
    drive(h).insert(disc(tmp_path / 'cd2'))
    assert h.packet([0])[0] == CHECK
    assert len(h.packet([0x51, 0, 0, 0, 0, 0, 0, 0, 255])[1]) == 34
    status, track = h.packet([0x52, 1, 0, 0, 0, 1, 0, 0, 255])
    assert status == FINE and len(track) == 36 and struct.unpack_from('>I', track, 24)[0] == 100
    assert h.packet([0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8])[1] == bytes([0, 0, 0, 0, 0, 1, 0, 0])
    assert len(h.packet([0x42, 0, 0x40, 1, 0, 0, 0, 0, 255])[1]) == 16 and len(h.packet([0x42, 0, 0x40, 2, 0, 0, 0, 0, 255])[1]) == 24
    assert h.packet([0x2b, 0, 0, 0, 0, 99])[0] == FINE and h.packet([0xbb])[0] == FINE
    refused(h, [0x2b, 0, 0, 0, 0, 100], 5, 0x21)
    refused(h, [0x55], 5, 0x20)


def event(h: Host) -> tuple[int, int]:
    """GET EVENT STATUS NOTIFICATION: media event, and tray open (1) or medium present (2)."""
    status, data = h.packet([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8])
    assert status == FINE and data[:4] == bytes([0, 6, 4, 0x10])
    return data[4], data[5]


def test_change_of_the_medium(h: Host, tmp_path: Path) -> None:
    """eject and insert: not ready with an open tray, then a unit attention 6/28 once, told by events too."""
    assert h.packet([0])[0] == FINE and event(h) == (0, 2)
    drive(h).eject()
    refused(h, [0], 2, 0x3a, 2)
    assert event(h) == (3, 1) and event(h) == (0, 1)
    refused(h, read10(0, 1), 2, 0x3a, 2)
    drive(h).insert(disc(tmp_path / 'other', 7))
    assert h.packet([0x12, 0, 0, 0, 36])[0] == FINE and event(h) == (2, 2)  # they leave the unit attention alone
    refused(h, [0], 6, 0x28)
    assert h.packet([0])[0] == FINE and h.packet([0x25])[1] == struct.pack('>II', 6, 2048)
    drive(h).insert(disc(tmp_path / 'third', 8))
    assert sense(h) == (6, 0x28, 0) and h.packet([0])[0] == FINE


def test_an_empty_drive() -> None:
    h = Host(Cdrom())
    refused(h, [0], 2, 0x3a, 1)
    refused(h, [0x25], 2, 0x3a, 1)
    refused(h, [0x43, 0, 0, 0, 0, 0, 0, 0, 12], 2, 0x3a, 1)
    assert event(h) == (0, 0)


def test_lock_and_tray(h: Host) -> None:
    """PREVENT ALLOW MEDIUM REMOVAL locks the button and START STOP UNIT; the guest is asked to let go. Its own eject keeps the disc in the tray."""
    assert h.packet([0x1e, 0, 0, 0, 1])[0] == FINE
    refused(h, [0x1b, 0, 0, 0, 2], 5, 0x53, 2)
    with pytest.raises(EmuError, match='locked'): drive(h).eject()
    assert event(h) == (1, 2) and h.packet([0x1e])[0] == FINE
    assert h.packet([0x1b, 0, 0, 0, 2])[0] == FINE and event(h) == (3, 1)
    refused(h, [0], 2, 0x3a, 2)
    assert h.packet([0x1b, 0, 0, 0, 3])[0] == FINE and event(h) == (2, 2)
    refused(h, [0], 6, 0x28)
    assert h.packet(read10(1, 1)) == (FINE, block(1))
    h.packet([0x1e, 0, 0, 0, 1])
    drive(h).eject(force=True)
    assert event(h) == (3, 1)


def test_a_disc_taken_out_while_it_is_read(h: Host, tmp_path: Path) -> None:
    """The rest of the answer is a medium error; the other disc's file is not read instead."""
    for n, v in ((1, 0), (4, 0), (5, 8), (7, 0xa0)): h.out(n, v)
    h.run()
    h.write_data(bytes(read10(0, 96)).ljust(12, b'\0'))
    h.run()
    drive(h).insert(disc(tmp_path / 'other'))
    for _ in range(32):
        h.read_data(1024)
        h.run()
    assert h.get(7) == CHECK and sense(h) == (3, 0x11, 0)


def test_device_reset_in_the_middle(h: Host) -> None:
    h.out(7, 0xa0)
    h.run()
    h.out(7, 8)
    assert h.status() == 0 and h.packet([0])[0] == FINE


PACKETS = st.tuples(st.sampled_from([*Cdrom().packets, 0x55, 0xff]), st.binary(min_size=11, max_size=11)).map(lambda p: bytes((p[0],)) + p[1])


@settings(max_examples=400, deadline=None)
@given(packets=st.lists(st.tuples(PACKETS, st.sampled_from([0, 1, 2, 255, 2048, 65535]), st.booleans(), st.sampled_from(['', 'eject', 'insert'])), max_size=12))
def test_random_packets(tmp_path_factory: pytest.TempPathFactory, packets: list[tuple[bytes, int, bool, str]]) -> None:
    """Every packet ends, with data of its length or a CHECK CONDITION, whatever is in it and in the drive."""
    path = tmp_path_factory.mktemp('cd') / 'cd'
    h = Host(Cdrom(disc(path, 3)))
    h.prd((0x20000, 0))
    for packet, limit, dma, button in packets:
        if button == 'eject': drive(h).eject(force=True)
        if button == 'insert': drive(h).insert(disc(path, 3))
        assert h.packet(packet, limit, dma)[0] in (FINE, CHECK)
    drive(h).eject(force=True)


def test_no_bus_master(h: Host) -> None:
    """A DMA packet waits for the bus master until a reset."""
    assert h.packet([0])[0] == FINE
    h.out(1, 1)
    h.out(7, 0xa0)
    h.run()
    h.write_data(bytes(read10(0, 1)).ljust(12, b'\0'))
    assert h.run() == BSY
    h.out(7, 8)
    assert h.run() == 0
