"""INT 19h and 18h: the first drive of the boot order that has something to start ("El Torito" Bootable CD-ROM Format Specification 1.0 for CDs)."""
import struct
from typing import TYPE_CHECKING, NamedTuple

from emu.bios import post
from emu.bios.caller import SPIN, WAIT, Caller
from emu.bios.disk import Drive, Medium, Part
from emu.bios.keyboard import look, take
from emu.errors import warn

if TYPE_CHECKING:
    from emu.bios import Bios

SECTOR = 0x7c00
NAMES = {'a': 'floppy', 'c': 'hard disk', 'd': 'CD', 'n': 'network'}
BOOT_RECORD = 17 * 4  # in sectors of 512 bytes
SIGNATURE = b'\0CD001\1EL TORITO SPECIFICATION'
FLOPPY_SECTORS = {1: 2400, 2: 2880, 3: 5760}  # of the media that are emulated


class BootedCd(NamedTuple):
    """What a CD was started with: INT 13h AH=4Bh tells of it."""

    media: int
    drive: int
    first: int
    segment: int
    sectors: int


def load(bios: 'Bios', c: Caller) -> str | None:
    """INT 19h: puts a boot sector into memory; AX:BX is where to go, DL the drive. Nothing found: CF, to the stub."""
    post.find_drives(bios)
    for letter in bios.order:
        drive = {'a': 0x00, 'c': 0x80, 'd': 0xe0}.get(letter)
        if drive is None or drive not in bios.drives: continue
        try:
            found = cd(bios, c) if letter == 'd' else sector(bios, c, drive)
        except OSError:
            found = False
        if found:
            post.say(bios, f'Booting from {NAMES[letter]}\r\n')
            return None
    return SPIN


def sector(bios: 'Bios', c: Caller, drive: int) -> bool:
    """A floppy's or a hard disk's first sector."""
    medium = bios.drives[drive].medium()
    if medium is None: return False
    data = medium.read(0, 1)
    if data[510:] != b'\x55\xaa': return False
    bios.memory.write(SECTOR, data)
    c.ax, c.bx, c.dl = 0, SECTOR, drive
    return True


def cd(bios: 'Bios', c: Caller) -> bool:
    """The default entry of a CD's boot catalog."""
    medium = bios.drives[0xe0].medium()
    if medium is None: return False
    record = medium.read(BOOT_RECORD, 4)
    if not record.startswith(SIGNATURE): return False
    catalog = medium.read(struct.unpack_from('<I', record, 0x47)[0] * 4, 4)
    if catalog[0] != 1 or catalog[30:32] != b'\x55\xaa' or sum(struct.unpack('<16H', catalog[:32])) & 0xffff or catalog[32] != 0x88: return False
    media, segment, count, first = catalog[33] & 15, *struct.unpack_from('<H2xHI', catalog, 34)
    segment = segment or SECTOR >> 4
    if media > 4 or first * 4 >= medium.sectors: return False
    data = medium.read(first * 4, min(count or 1, 0x400))
    if (segment << 4) + len(data) > 0xa0000: return False
    bios.memory.write(segment << 4, data)
    drive = {0: 0xe0, 4: 0x80}.get(media, 0x00)
    if media: emulate(bios, medium, media, first)
    bios.booted_cd = BootedCd(media, drive, first, segment, count)
    c.ax, c.bx, c.dl = segment, 0, drive
    return True


def emulate(bios: 'Bios', medium: Medium, media: int, first: int) -> None:
    """A part of the CD becomes drive 00h or 80h; the others of its kind move up."""
    base, kind = (0x80, 'disk') if media == 4 else (0x00, 'floppy')
    sectors = FLOPPY_SECTORS.get(media) or struct.unpack_from('<I', medium.read(first * 4, 1), 446 + 12)[0] + struct.unpack_from('<I', medium.read(first * 4, 1), 446 + 8)[0]
    part = Part(medium, first, sectors)
    moved = {n + 1 if base <= n < base + 0x60 else n: d for n, d in bios.drives.items()}
    bios.drives = moved | {base: Drive(kind, lambda: part)}
    post.count_drives(bios)


def nothing(bios: 'Bios', c: Caller) -> str | None:
    """INT 18h: nothing to boot; a key tries again. Where there is no window, nobody would see what the screen says."""
    if not bios.asked:
        warn('the BIOS finds no bootable medium')
        post.say(bios, 'No bootable medium. Insert one and press a key.\r\n')
        bios.asked = True
    if look(bios, True) is None: return WAIT
    take(bios)
    bios.asked = False
    return None
