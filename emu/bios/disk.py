"""INT 13h: floppies, hard disks and CDs (IBM PC BIOS Interface Technical Reference, "Interrupt 13H"; BIOS Enhanced Disk Drive Specification 1.1 and 3.0;
"El Torito" Bootable CD-ROM Format Specification 1.0), from the images themselves: no controller is asked.

Drives 00h and 01h are floppies, 80h on hard disks, E0h a CD from which was booted without emulation. With emulation a part of the CD is drive 00h or 80h
and the others move up by one. Left out: formatting of hard disks (refused), reading of long sectors.
"""
import struct
from typing import TYPE_CHECKING, Callable, NamedTuple, Protocol

from emu.bios.caller import Caller
from emu.hw import floppy

if TYPE_CHECKING:
    from emu.bios import Bios

LAST_STATUS, LAST_STATUS_HD, COUNT_HD = 0x441, 0x474, 0x475  # in the BIOS data area
OK, INVALID, PROTECTED, NOT_FOUND, CHANGED, NO_MEDIUM, CONTROLLER, NOT_LOCKED, NOT_REMOVABLE, TIMEOUT = 0, 1, 3, 4, 6, 0x31, 0x20, 0xb0, 0xb2, 0x80
STANDARD = 2880  # sectors of a floppy disk of 1.44 MB
ASSISTED = 1024 * 16 * 63  # sectors; larger disks are told of with more heads


class Medium(Protocol):
    """An image (emu/disk), or a part of a CD."""

    sectors: int
    readonly: bool

    def read(self, sector: int, count: int) -> bytes:
        """`count` sectors of 512 bytes."""

    def write(self, sector: int, data: bytes) -> None:
        """Whole sectors."""

    def flush(self) -> None:
        """To the host's disk."""


class Part:
    """What El Torito emulates: `sectors` of 512 bytes of a CD, from one of 2048 on."""

    readonly = True

    def __init__(self, cd: Medium, first: int, sectors: int):
        self.cd, self.first, self.sectors = cd, first * 4, sectors

    def read(self, sector: int, count: int) -> bytes:
        """Sectors of 512 bytes."""
        return self.cd.read(self.first + sector, count)

    def write(self, sector: int, data: bytes) -> None:
        """Nobody writes to a CD."""
        raise OSError('read-only')

    def flush(self) -> None:
        """There is nothing to."""


class Geometry(NamedTuple):
    """As programs see it."""

    cylinders: int
    heads: int
    sectors: int


def floppy_format(medium: Medium | None) -> floppy.Format:
    """By the size; odd ones, and none, as 1.44 MB."""
    return floppy.BY_SIZE.get(medium.sectors if medium else STANDARD, floppy.BY_SIZE[STANDARD])


def disk_geometry(medium: Medium) -> Geometry:
    """What the partition table was made for, if it tells; else 63 sectors and as many heads as it takes for 1024 cylinders."""
    try:
        table = medium.read(0, 1)
    except OSError:
        table = bytes(512)
    heads = 0
    if table[510:512] == b'\x55\xaa':
        for at in range(446, 510, 16):
            last_head, last_sector = table[at + 5], table[at + 6] & 63
            if table[at + 4] and last_sector == 63 and last_head in (15, 31, 63, 127, 239, 254): heads = max(heads, last_head + 1)
    if not heads:
        heads = 16 if medium.sectors <= ASSISTED else next((h for h in (32, 64, 128) if medium.sectors <= 1024 * 63 * h), 255)
    return Geometry(max(min(medium.sectors // (heads * 63), 1024), 1), heads, 63)


class Drive:
    """One that INT 13h knows; `medium()` is what is in it, or None."""

    def __init__(self, kind: str, medium: Callable[[], Medium | None]):
        self.kind, self.medium = kind, medium
        self.locks = 0
        self.seen = medium()
        self.size = 2048 if kind == 'cd' else 512
        found = medium()
        self.geometry = disk_geometry(found) if kind == 'disk' and found else None

    def shape(self) -> Geometry:
        """Cylinders, heads and sectors now."""
        found = self.medium()
        if self.geometry: return self.geometry
        form = floppy_format(found)
        return Geometry(form.cylinders, form.heads, form.sectors)

    def changed(self) -> bool:
        """Whether the medium is another than before; asking takes notice."""
        now = self.medium()
        changed, self.seen = now is not self.seen, now
        return changed


def service(bios: 'Bios', c: Caller) -> None:
    """INT 13h by AH; AH and CF tell of success."""
    drive, function = bios.drives.get(c.dl), FUNCTIONS.get(c.ah)
    if c.ah == 0x01: status = bios.get(status_place(c), 8)
    elif c.ah == 0x4b: return emulation(bios, c)
    elif c.ah in (0x08, 0x15) and drive is None: return nothing_there(bios, c)
    elif drive is None or function is None: status = INVALID
    else:
        try:
            answer = function(bios, c, drive)
        except OSError:
            answer = CONTROLLER
        if answer is None: return None
        status = answer
    finish(bios, c, status)
    return None


def finish(bios: 'Bios', c: Caller, status: int) -> None:
    """The status in AH, the data area and CF."""
    if c.ah != 0x01: bios.put(status_place(c), 8, status)
    c.ah, c.carry = status, status != OK


def status_place(c: Caller) -> int:
    """Where the last status is kept."""
    return LAST_STATUS_HD if c.dl & 0x80 else LAST_STATUS


def nothing_there(bios: 'Bios', c: Caller) -> None:
    """08h and 15h for a drive that does not exist."""
    if c.ah == 0x15: c.ah, c.carry = 0, False
    else:
        floppies = sum(n < 0x80 for n in bios.drives)
        c.bx = c.cx = c.dx = 0
        if not c.dl & 0x80: c.dl = floppies
        finish(bios, c, OK if not c.dl & 0x80 else INVALID)


# --- cylinders, heads, sectors -----------------------------------------------------------------------------------------------------

def place_of(c: Caller, drive: Drive) -> int | None:
    """The sector that CX and DH name."""
    shape = drive.shape()
    cylinder, sector = c.ch | (c.cl & 0xc0) << 2, c.cl & 63
    if not 1 <= sector <= shape.sectors or c.dh >= shape.heads: return None
    return (cylinder * shape.heads + c.dh) * shape.sectors + sector - 1


def reset(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """00h, 0Dh, 11h, 0Ch, 10h, 14h, 09h, 47h: nothing to do, if there is such a drive."""
    return OK


def transfer(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """02h read, 03h write, 04h verify AL sectors at ES:BX."""
    medium, first, count = drive.medium(), place_of(c, drive), c.al
    if medium is None: return NO_MEDIUM if drive.kind == 'cd' else TIMEOUT
    if drive.kind == 'floppy' and drive.changed(): return CHANGED
    if drive.kind == 'cd' or count == 0: return INVALID
    if first is None or first + count > medium.sectors: return NOT_FOUND
    if c.ah == 3:
        if medium.readonly: return PROTECTED
        bios.write_medium(medium, first, c.read(c.es, c.bx, count * 512))
    elif c.ah == 2: c.write(c.es, c.bx, medium.read(first, count))
    return OK


def format_track(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """05h: fills a floppy's track; the sectors keep their order."""
    medium = drive.medium()
    if drive.kind != 'floppy' or medium is None: return INVALID
    if medium.readonly: return PROTECTED
    shape = drive.shape()
    first = (c.ch * shape.heads + c.dh) * shape.sectors
    if c.dh >= shape.heads or first + shape.sectors > medium.sectors: return NOT_FOUND
    bios.write_medium(medium, first, b'\xf6' * 512 * shape.sectors)
    return OK


def parameters(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """08h: the last cylinder, head and sector, the number of drives; ES:DI a floppy's table."""
    if drive.kind == 'cd': return INVALID
    shape = drive.shape()
    last = shape.cylinders - 1 - (drive.kind == 'disk' and shape.cylinders > 1)  # a disk's last cylinder is for diagnostics
    c.ch, c.cl = last & 0xff, shape.sectors | (last & 0x300) >> 2
    c.dh = shape.heads - 1
    c.dl = sum(n < 0x80 if drive.kind == 'floppy' else 0x80 <= n < 0xe0 for n in bios.drives)
    if drive.kind == 'floppy':
        c.bx = floppy.kind_for(floppy_format(drive.medium())).cmos
        c.es, c.di = 0xf000, bios.labels['diskette']
    c.al = 0
    return OK


def kind_of(bios: 'Bios', c: Caller, drive: Drive) -> int | None:
    """15h: AH 2 a floppy that can tell of a change, 3 a disk of CX:DX sectors."""
    if drive.kind == 'disk':
        medium = drive.medium()
        shape = drive.shape()
        sectors = (shape.cylinders - 1 or 1) * shape.heads * shape.sectors if medium else 0
        c.cx, c.dx = sectors >> 16, sectors
    c.ah, c.carry = (2 if drive.kind == 'floppy' else 3), False
    return None


def change(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """16h, 49h: whether the medium was changed."""
    return CHANGED if drive.kind != 'disk' and drive.changed() else OK


def media_type(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """17h, 18h: what is to be formatted; the image has the shape it has."""
    if drive.kind != 'floppy': return INVALID
    if c.ah == 0x18:
        shape = drive.shape()
        if (c.ch | (c.cl & 0xc0) << 2) != shape.cylinders - 1 or c.cl & 63 != shape.sectors: return 0x0c
        c.es, c.di = 0xf000, bios.labels['diskette']
    return OK


# --- extensions ------------------------------------------------------------------------------------------------------------------------

def extensions(bios: 'Bios', c: Caller, drive: Drive) -> int | None:
    """41h: AH the version 3.0, CX packets, removable media, EDD."""
    if c.bx != 0x55aa or drive.kind == 'floppy': return INVALID
    c.bx, c.cx = 0xaa55, 7 if drive.kind == 'cd' else 5
    c.ah, c.carry = 0x30, False
    return None


def packet_transfer(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """42h read, 43h write, 44h verify, 47h seek: the packet at DS:SI says what."""
    if drive.kind == 'floppy': return INVALID
    packet = c.read(c.ds, c.si, 24)
    count, offset, segment, first = struct.unpack_from('<HHHQ', packet, 2)
    medium, unit = drive.medium(), drive.size // 512
    if packet[0] < 16: return INVALID
    if medium is None: return NO_MEDIUM
    if (first + count) * unit > -(-medium.sectors // unit) * unit: return packet_done(c, 0, INVALID)
    if offset == segment == 0xffff:
        if packet[0] < 24: return INVALID
        address = struct.unpack_from('<Q', packet, 16)[0]
        if address + count * drive.size > 1 << 32: return INVALID
    else: address = (segment << 4) + offset
    if c.ah == 0x43 and medium.readonly: return packet_done(c, 0, PROTECTED)
    for n in range(0, count, 64):  # in parts, so that a long transfer needs no large buffer
        part = min(64, count - n)
        sector, size = (first + n) * unit, part * drive.size
        if c.ah == 0x42: c.write(0, address + n * drive.size, medium.read(sector, part * unit))
        elif c.ah == 0x43: bios.write_medium(medium, sector, c.read(0, address + n * drive.size, size))
    return OK


def packet_done(c: Caller, count: int, status: int) -> int:
    """The packet says how many blocks were moved."""
    c.write(c.ds, c.si + 2, count.to_bytes(2, 'little'))
    return status


def packet_parameters(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """48h: size and shape, as much of it as the caller's buffer at DS:SI has room for."""
    room = int.from_bytes(c.read(c.ds, c.si, 2), 'little')
    medium = drive.medium()
    if room < 26 or drive.kind == 'floppy': return INVALID
    if medium is None: return NO_MEDIUM
    cd = drive.kind == 'cd'
    sectors = medium.sectors // (drive.size // 512)
    size = 30 if room >= 30 else 26
    numbers = (0, 0, 0) if cd else (min(medium.sectors // (16 * 63), 16383), 16, 63)
    data = struct.pack('<HHIIIQH', size, 0x74 if cd else 2, *numbers, sectors, drive.size) + (b'\xff' * 4 if size == 30 else b'')
    c.write(c.ds, c.si, data)
    return OK


def lock(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """45h: AL 0 locks, 1 unlocks, 2 asks."""
    if drive.kind == 'disk': return OK if c.al == 2 else NOT_REMOVABLE
    if c.al == 0: drive.locks += 1
    elif c.al == 1:
        if not drive.locks: return NOT_LOCKED
        drive.locks -= 1
    c.al = int(drive.locks > 0)
    return OK


def eject(bios: 'Bios', c: Caller, drive: Drive) -> int:
    """46h: nobody is there to take it out; a guest that wants another medium asks its user."""
    return NOT_REMOVABLE if drive.kind == 'disk' else 0xb1 if drive.locks else 0xb3


def emulation(bios: 'Bios', c: Caller) -> None:
    """4Bh: El Torito: AL 0 ends the emulation, 1 tells of it; the specification packet goes to DS:SI."""
    found = bios.booted_cd
    if found is None or c.al > 1:
        finish(bios, c, INVALID)
        return
    c.write(c.ds, c.si, struct.pack('<BBBBIHHHBBB', 0x13, found.media, found.drive, 0, found.first, 0, 0, found.segment, found.sectors & 0xff, 0, 0))
    if c.al == 0: bios.end_emulation()
    finish(bios, c, OK)


FUNCTIONS = {0x00: reset, 0x02: transfer, 0x03: transfer, 0x04: transfer, 0x05: format_track, 0x08: parameters, 0x09: reset, 0x0c: reset, 0x0d: reset, 0x10: reset,
             0x11: reset, 0x14: reset, 0x15: kind_of, 0x16: change, 0x17: media_type, 0x18: media_type, 0x41: extensions, 0x42: packet_transfer, 0x43: packet_transfer,
             0x44: packet_transfer, 0x45: lock, 0x46: eject, 0x47: packet_transfer, 0x48: packet_parameters, 0x49: change}
