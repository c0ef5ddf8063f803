"""An ATA disk: the commands of ATA/ATAPI-6 (T13 1410D revision 3b, clause 8: a method names its command) with CHS, 28- and 48-bit
addresses, and those of ATA-1 that BIOSes and DOS use.

What is written goes to the image before the command ends; FLUSH CACHE, and every write while the write cache is off, waits for the host's disk. A sector that cannot
be read ends a command with UNC and its address in the registers, one that cannot be written with ABRT, one that is not there with IDNF. Left out (ABRT):
SMART, security, host protected area but for READ NATIVE MAX, APM and AAM, media card and CompactFlash features, queued commands, FUA, READ and WRITE BUFFER, READ and WRITE LONG,
FORMAT TRACK, streaming, logs. The modes of SET FEATURES are remembered; all have the same speed.
"""
import struct
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

from emu import __version__
from emu.disk import Image
from emu.disk.image import SECTOR
from emu.hw.ide import ABRT, COUNT, DEVICE, FEATURES, HIGH, IDNF, LBA, LOW, MID, UNC, Device, Transfer

MULTIPLE = 16  # the most sectors of a block in READ and WRITE MULTIPLE
CHUNK = 2048  # sectors that DMA reads at once
LBA28_MAX = 0xfffffff  # sectors that 28 bits tell of
SLEEPING, IDLE, ACTIVE, STANDBY = -1, 0x80, 0xff, 0x00  # what CHECK POWER MODE says
MODES = {0x00: 2, 0x08: 5, 0x10: 3, 0x20: 3, 0x40: 6}  # SET FEATURES 03h: PIO default, PIO, single word DMA, multiword DMA, Ultra DMA: how many modes


class Geometry(NamedTuple):
    """Cylinders, heads, sectors a track."""

    cylinders: int
    heads: int
    sectors: int


def text(value: str, words: int) -> bytes:
    """A string of IDENTIFY: padded with spaces, the two characters of a word swapped."""
    padded = value.ljust(2 * words)[:2 * words].encode('ascii', 'replace')
    return b''.join(padded[n:n + 2][::-1] for n in range(0, len(padded), 2))


def identity(words: dict[int, int], strings: dict[int, bytes]) -> bytes:
    """The 512 bytes of IDENTIFY, with their checksum."""
    data = bytearray(SECTOR)
    for n, value in words.items(): struct.pack_into('<H', data, 2 * n, value & 0xffff)
    for n, string in strings.items(): data[2 * n:2 * n + len(string)] = string
    data[510] = 0xa5
    data[511] = -sum(data) & 0xff
    return bytes(data)


class Modes:
    """The transfer modes that SET FEATURES chooses, as IDENTIFY shows them."""

    def __init__(self) -> None:
        self.chosen = {0x10: 0, 0x20: 0, 0x40: 0}  # kind of DMA: the bit of the selected mode, in words 62, 63, 88

    def set(self, mode: int) -> bool:
        """Subcommand 03h; whether there is that mode."""
        kind = 0 if mode < 8 else 1 << mode.bit_length() - 1
        if mode - kind >= MODES.get(kind, 0): return False
        if kind in self.chosen: self.chosen = dict.fromkeys(self.chosen, 0) | {kind: 1 << mode - kind}
        return True

    def words(self) -> dict[int, int]:
        """Words 62 to 68 and 88: supported and selected modes, PIO 3 and 4, 120 ns."""
        return {62: 0x07 | self.chosen[0x10] << 8, 63: 0x07 | self.chosen[0x20] << 8, 64: 3, 65: 120, 66: 120, 67: 120, 68: 120, 88: 0x3f | self.chosen[0x40] << 8}


def guess(image: Image) -> Geometry:
    """The default geometry: 16 heads of 63 sectors, or that of the image's partition table where a drive can have it (as QEMU guesses)."""
    try:
        table = image.read(0, 1)
    except OSError:
        table = bytes(SECTOR)
    if table[510:] == b'\x55\xaa':
        for at in range(446, 510, 16):
            heads, sectors = table[at + 5] + 1, table[at + 6] & 63
            cylinders = image.sectors // (heads * sectors) if sectors else 0
            if any(table[at + 12:at + 16]) and 1 < heads <= 16 and 1 <= cylinders <= 16383: return Geometry(cylinders, heads, sectors)
    return Geometry(min(max(image.sectors // (16 * 63), 1), 16383), 16, 63)


class Disk(Device):
    """A disk with an image; `serial` is its number in IDENTIFY."""

    def __init__(self, image: Image, serial: str = 'EMU00001'):
        super().__init__()
        self.image, self.serial = image, serial
        self.default = self.geometry = guess(image)
        self.multiple = MULTIPLE
        self.write_cache, self.look_ahead = True, True
        self.modes = Modes()
        self.power = ACTIVE
        self.lba = self.left = self.block = 0  # of the command: next sector, sectors to go, sectors of a block
        self.extended = False  # a 48-bit command
        self.commands = self.table()

    def table(self) -> dict[int, Callable[[], None]]:
        """Command codes (annex E)."""
        def of(do: Callable[..., None], extended: bool, *more: int) -> Callable[[], None]:
            return lambda: self.addressed(do, extended, *more)

        def power(mode: int) -> Callable[[], None]:
            return lambda: self.set_power(mode)
        commands: dict[int, Callable[[], None]] = {
            0x20: of(self.read, False), 0x21: of(self.read, False), 0x24: of(self.read, True),
            0x30: of(self.write, False), 0x31: of(self.write, False), 0x3c: of(self.write, False), 0x34: of(self.write, True),
            0xc4: of(self.read, False, True), 0x29: of(self.read, True, True), 0xc5: of(self.write, False, True), 0x39: of(self.write, True, True),
            0xc8: of(self.read_dma, False), 0xc9: of(self.read_dma, False), 0x25: of(self.read_dma, True),
            0xca: of(self.write_dma, False), 0xcb: of(self.write_dma, False), 0x35: of(self.write_dma, True),
            0x40: of(self.verify, False), 0x41: of(self.verify, False), 0x42: of(self.verify, True),
            0x91: self.initialize_parameters, 0xc6: self.set_multiple, 0xec: self.identify, 0xef: self.set_features,
            0xe7: self.flush, 0xea: self.flush, 0xf8: self.native_max, 0x27: self.native_max_extended, 0xe5: self.check_power, 0x98: self.check_power}
        commands |= {code: power(mode) for codes, mode in (((0xe0, 0x94, 0xe2, 0x96), STANDBY), ((0xe1, 0x95, 0xe3, 0x97), IDLE), ((0xe6, 0x99), SLEEPING)) for code in codes}
        return commands | {code: self.recalibrate for code in range(0x10, 0x20)} | {code: of(self.seek, False) for code in range(0x70, 0x80)}

    def reset(self, hard: bool) -> None:
        """A hardware reset brings the defaults back; a software reset keeps what SET FEATURES and its like have set."""
        super().reset(hard)
        self.power = ACTIVE
        if hard:
            self.geometry, self.multiple, self.write_cache, self.look_ahead, self.modes = self.default, MULTIPLE, True, True, Modes()

    # --- addresses ---------------------------------------------------------------------------------------------------------------------

    def addressed(self, do: Callable[..., None], extended: bool, *more: int) -> None:
        """A command with an address and a count in the registers."""
        now, before = self.now, self.before
        self.extended, self.power = extended, ACTIVE
        if extended:
            self.left = (before[COUNT] << 8 | now[COUNT]) or 0x10000
            high, low = before[LOW] | before[MID] << 8 | before[HIGH] << 16, now[LOW] | now[MID] << 8 | now[HIGH] << 16
            self.lba = high << 24 | low
        else:
            self.left = now[COUNT] or 256
            if now[DEVICE] & LBA: self.lba = now[LOW] | now[MID] << 8 | now[HIGH] << 16 | (now[DEVICE] & 15) << 24
            else:
                cylinder, head, sector = now[MID] | now[HIGH] << 8, now[DEVICE] & 15, now[LOW]
                if not 0 < sector <= self.geometry.sectors or head >= self.geometry.heads: return self.fail(IDNF)
                self.lba = (cylinder * self.geometry.heads + head) * self.geometry.sectors + sector - 1
        do(*more)
        return None

    def show(self, lba: int) -> None:
        """Puts an address, and the count of what is left, into the registers as the command's had it."""
        now, before = self.now, self.before
        now[COUNT] = self.left & 0xff
        if self.extended:
            before[COUNT] = self.left >> 8 & 0xff
            for n, shift in ((LOW, 24), (MID, 32), (HIGH, 40)): before[n] = lba >> shift & 0xff
        if self.extended or now[DEVICE] & LBA:
            for n, shift in ((LOW, 0), (MID, 8), (HIGH, 16)): now[n] = lba >> shift & 0xff
            if not self.extended: now[DEVICE] = now[DEVICE] & 0xf0 | lba >> 24 & 15
        else:
            track, sector = divmod(lba, self.geometry.sectors)
            cylinder, head = divmod(track, self.geometry.heads)
            now[LOW], now[MID], now[HIGH], now[DEVICE] = sector + 1, cylinder & 0xff, cylinder >> 8 & 0xff, now[DEVICE] & 0xf0 | head

    def fail_at(self, lba: int, error: int) -> None:
        """Ends the command with the address of the sector that failed."""
        self.show(lba)
        self.fail(error)

    def within(self, count: int) -> bool:
        """Whether the next sectors are there; else the command has ended."""
        if self.lba + count <= self.image.sectors: return True
        self.fail_at(max(self.lba, self.image.sectors), IDNF)
        return False

    # --- data ----------------------------------------------------------------------------------------------------------------------------

    def blocks(self, multiple: bool) -> bool:
        """How many sectors a block of PIO has; READ and WRITE MULTIPLE need SET MULTIPLE MODE."""
        self.block = self.multiple if multiple else 1
        if not self.block: self.abort()
        return bool(self.block)

    def read(self, multiple: bool = False) -> None:
        """READ SECTORS, READ MULTIPLE: PIO data-in."""
        if self.blocks(multiple): self.read_block()

    def read_block(self) -> None:
        """The next block."""
        count = min(self.block, self.left)
        if not self.within(count): return
        try:
            data = self.image.read(self.lba, count)
        except OSError:
            return self.fail_at(self.first_bad(self.lba, count), UNC)
        self.advance(count)
        self.offer(data, self.read_block if self.left else None)
        return None

    def advance(self, count: int) -> None:
        """Sectors are done; the registers have the address of the last of them."""
        self.lba += count
        self.left -= count
        self.show(self.lba - 1)

    def first_bad(self, lba: int, count: int) -> int:
        """The first of these sectors that cannot be read."""
        for n in range(lba, lba + count):
            try:
                self.image.read(n, 1)
            except OSError:
                return n
        return lba

    def write(self, multiple: bool = False) -> None:
        """WRITE SECTORS, WRITE MULTIPLE, WRITE VERIFY: PIO data-out."""
        if self.image.readonly: self.abort()
        elif self.blocks(multiple) and self.within(min(self.block, self.left)): self.expect(min(self.block, self.left) * SECTOR, self.write_block, False)

    def write_block(self) -> None:
        """A block has come."""
        if not self.store(self.buffer): return
        if not self.left: self.done()
        elif self.within(count := min(self.block, self.left)): self.expect(count * SECTOR, self.write_block, True)

    def store(self, data: bytes | bytearray) -> bool:
        """Writes sectors, and all that was written before where there is no write cache; whether it went well, else the command has ended."""
        count = len(data) // SECTOR
        try:
            self.image.write(self.lba, data)
            if not self.write_cache and count == self.left: self.image.flush()
        except OSError:
            self.fail_at(self.lba, ABRT)
            return False
        self.advance(count)
        return True

    def read_dma(self) -> None:
        """READ DMA."""
        if self.within(self.left): self.transfer(Transfer(self.left * SECTOR, lambda data: self.done(), self.chunks()))

    def chunks(self) -> Iterator[bytes]:
        """The sectors of a READ DMA."""
        while self.left:
            count = min(self.left, CHUNK)
            data = self.image.read(self.lba, count)
            self.advance(count)
            yield data

    def transfer_failed(self, error: OSError) -> None:
        """READ DMA met a bad sector."""
        self.fail_at(self.first_bad(self.lba, min(self.left, CHUNK)), UNC)

    def write_dma(self) -> None:
        """WRITE DMA."""
        if self.image.readonly: self.abort()
        elif self.within(self.left): self.transfer(Transfer(self.left * SECTOR, self.written))

    def written(self, data: bytes) -> None:
        """All of it has come."""
        if self.store(data): self.done()

    # --- commands without data --------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """READ VERIFY SECTORS."""
        if not self.within(self.left): return
        while self.left:
            count = min(self.left, CHUNK)
            try:
                self.image.read(self.lba, count)
            except OSError:
                return self.fail_at(self.first_bad(self.lba, count), UNC)
            self.advance(count)
        self.done()
        return None

    def seek(self) -> None:
        """SEEK: an address that is not there is IDNF."""
        self.left = 0
        if self.within(1): self.done()

    def recalibrate(self) -> None:
        """RECALIBRATE of ATA-1 (10h to 1Fh): to cylinder 0."""
        self.now[MID] = self.now[HIGH] = 0
        self.done()

    def initialize_parameters(self) -> None:
        """INITIALIZE DEVICE PARAMETERS of ATA-5: the logical geometry that CHS addresses use."""
        heads, sectors = (self.now[DEVICE] & 15) + 1, self.now[COUNT]
        if not sectors: return self.abort()
        self.geometry = Geometry(min(max(self.image.sectors // (heads * sectors), 1), 65535), heads, sectors)
        self.done()
        return None

    def set_multiple(self) -> None:
        """SET MULTIPLE MODE: a power of two up to MULTIPLE; 0 turns READ and WRITE MULTIPLE off."""
        count = self.now[COUNT]
        if count > MULTIPLE or count & count - 1: return self.abort()
        self.multiple = count
        self.done()
        return None

    def flush(self) -> None:
        """FLUSH CACHE: what was written is on the host's disk."""
        try:
            self.image.flush()
        except OSError:
            return self.abort()
        self.done()
        return None

    def native_max(self) -> None:
        """READ NATIVE MAX ADDRESS."""
        self.extended, self.left = False, self.now[COUNT]
        self.now[DEVICE] |= LBA
        self.show(min(self.image.sectors - 1, LBA28_MAX))
        self.done()

    def native_max_extended(self) -> None:
        """READ NATIVE MAX ADDRESS EXT."""
        self.extended, self.left = True, 0
        self.show(self.image.sectors - 1)
        self.done()

    def set_power(self, mode: int) -> None:
        """STANDBY, IDLE and SLEEP and their IMMEDIATE forms; a sleeping drive wakes with a reset."""
        self.power, self.asleep = mode, mode == SLEEPING
        self.done()

    def check_power(self) -> None:
        """CHECK POWER MODE."""
        self.now[COUNT] = self.power
        self.done()

    def set_features(self) -> None:
        """SET FEATURES."""
        what = self.now[FEATURES]
        if what == 0x03:
            if not self.modes.set(self.now[COUNT]): return self.abort()
        elif what in (0x02, 0x82):
            self.write_cache = what == 0x02
            if not self.write_cache: return self.flush()
        elif what in (0xaa, 0x55): self.look_ahead = what == 0xaa
        elif what not in (0x66, 0xcc): return self.abort()  # defaults after a software reset: kept anyhow
        self.done()
        return None

    def identify(self) -> None:
        """IDENTIFY DEVICE."""
        current, total = self.geometry, self.image.sectors
        capacity = min(current.cylinders * current.heads * current.sectors, total)
        lba28 = min(total, LBA28_MAX)
        enabled = 0x4008 | self.write_cache << 5 | self.look_ahead << 6  # NOP, power management, write cache, look-ahead
        words = {0: 0x0040, 1: self.default.cylinders, 3: self.default.heads, 4: SECTOR * self.default.sectors, 5: SECTOR, 6: self.default.sectors, 20: 3, 21: 512, 22: 4,
                 47: 0x8000 | MULTIPLE, 48: 1, 49: 0x0f00, 50: 0x4000, 51: 0x0200, 52: 0x0200, 53: 7,
                 54: current.cylinders, 55: current.heads, 56: current.sectors, 57: capacity, 58: capacity >> 16, 59: 0x100 | self.multiple if self.multiple else 0,
                 60: lba28, 61: lba28 >> 16, 80: 0x007e, 82: 0x4068, 83: 0x7400, 84: 0x4000, 85: enabled, 86: 0x3400, 87: 0x4000,
                 93: 0x6001 if self.channel.devices[0] is self else 0x6100,
                 100: total, 101: total >> 16, 102: total >> 32, 103: total >> 48} | self.modes.words()
        self.offer(identity(words, {10: text(self.serial, 10), 23: text(__version__, 4), 27: text('EMU HARDDISK', 20)}), None)


def cmos(drives: Sequence[Device | None]) -> dict[int, int]:
    """Bytes of CMOS RAM that tell a BIOS of the disks: types and geometries of the first two (IBM PC/AT Technical Reference), how to translate (Bochs, SeaBIOS)."""
    out = {0x12: 0, 0x39: 0}
    for n, drive in enumerate(drives):
        if not isinstance(drive, Disk): continue
        cylinders, heads, sectors = drive.default
        out[0x39] |= (cylinders > 1024) << 2 * n  # 0: none, 1: LBA
        if n > 1: continue
        out[0x12] |= 0xf0 >> 4 * n
        out[0x19 + n] = 47  # a type of its own
        values = (cylinders & 0xff, cylinders >> 8, heads, 0xff, 0xff, 0xc0 | (heads > 8) << 3, cylinders & 0xff, cylinders >> 8, sectors)
        out.update({(0x1b, 0x24)[n] + k: value for k, value in enumerate(values)})
    return out
