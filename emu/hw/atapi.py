"""An ATAPI CD-ROM drive: the PACKET commands of ATA/ATAPI-6 (T13 1410D revision 3b) around SCSI's (SFF-8020i, MMC-3, SPC-2), with a tray and a medium that changes.

A disc is one data track of 2048-byte blocks, a CD-ROM, or a DVD-ROM where it is larger than a CD. `eject` and `insert` are the buttons of the drive. Left out, refused with sense
5/20/00 or 5/24/00: writing, audio, sessions, mode select, DVD structures and keys, sub-channel data but for "no audio"; EDC and ECC of raw sectors are zeros.
"""
import errno
import struct
from collections.abc import Iterator
from typing import Callable

from emu import __version__
from emu.disk import Image
from emu.errors import EmuError
from emu.hw.ata import Modes, identity, text
from emu.hw.ide import ABRT, COUNT, DEVICE, DEVICE_RESET, DRDY, DSC, FEATURES, HIGH, MID, Device, Transfer

BLOCK = 2048
CHUNK = 32  # blocks that are read at once
CD_MAX = 80 * 60 * 75  # blocks of the largest CD
LEAD_OUT = 0xaa
CD, IO = 1, 2  # interrupt reason
CD_ROM, DVD_ROM = 0x08, 0x10  # profiles

Sense = tuple[int, int, int]  # key, ASC, ASCQ (SPC-2, MMC-3 annex)
FINE: Sense = (0, 0, 0)
NO_MEDIUM, TRAY_OPEN = (2, 0x3a, 1), (2, 0x3a, 2)
BAD_READ = (3, 0x11, 0)
BAD_COMMAND, OUT_OF_RANGE, BAD_FIELD, NOT_THIS_TRACK, LOCKED = (5, 0x20, 0), (5, 0x21, 0), (5, 0x24, 0), (5, 0x64, 0), (5, 0x53, 2)
CHANGED = (6, 0x28, 0)
WITHOUT_ATTENTION = {0x03, 0x12, 0x46, 0x4a}  # commands that leave a unit attention alone: REQUEST SENSE, INQUIRY, GET CONFIGURATION, GET EVENT STATUS
NO_CHANGE, EJECT_REQUEST, NEW_MEDIUM, REMOVAL = 0, 1, 2, 3  # media events (MMC-3, GET EVENT STATUS NOTIFICATION)


class Refused(Exception):
    """A command ends with CHECK CONDITION."""

    def __init__(self, sense: Sense):
        self.sense = sense


def msf(block: int) -> bytes:
    """A block's address as minute, second, frame: block 0 is at 00:02:00."""
    block += 150
    return bytes((block // 4500, block // 75 % 60, block % 75))


def bcd(data: bytes) -> bytes:
    """Binary-coded decimal."""
    return bytes(v // 10 << 4 | v % 10 for v in data)


def sized(body: bytes) -> bytes:
    """Behind its length in two bytes."""
    return struct.pack('>H', len(body)) + body


class Cdrom(Device):
    """`image` is the disc, None an empty tray."""

    signature = (1, 1, 0x14, 0xeb)
    ready = 0  # until the first command: a PACKET device is not "ready" after a reset

    def __init__(self, image: Image | None = None, serial: str = 'EMU00003'):
        super().__init__()
        self.image, self.serial = image, serial
        self.open = self.locked = False
        self.sense = FINE
        self.attention = False  # the medium has changed
        self.event = NO_CHANGE
        self.modes = Modes()
        self.dma = False  # of the command
        self.limit = 0  # bytes of a block in PIO
        self.left = 0  # bytes of the answer
        self.answer: Iterator[bytes] = iter(())
        self.piece = b''
        self.commands = {0xa0: self.packet, 0xa1: self.identify, 0xef: self.set_features, 0xe5: self.check_power, 0x98: self.check_power,
                         **{code: self.not_mine for code in (0xec, 0x20, 0x21)}, **{code: self.done for code in (0xe0, 0xe1, 0xe2, 0xe3, 0xe6, 0x94, 0x95, 0x96, 0x97, 0x99)}}
        self.packets: dict[int, Callable[[bytes], None]] = {
            0x00: self.test_unit_ready, 0x03: self.request_sense, 0x12: self.inquiry, 0x1a: self.mode_sense, 0x1b: self.start_stop, 0x1e: self.prevent, 0x25: self.capacity,
            0x28: self.read, 0x2b: self.seek, 0x42: self.sub_channel, 0x43: self.toc, 0x46: self.configuration, 0x4a: self.event_status, 0x51: self.disc_information,
            0x52: self.track_information, 0x5a: self.mode_sense, 0xa8: self.read, 0xb9: self.read_cd, 0xbb: self.test_unit_ready, 0xbd: self.mechanism, 0xbe: self.read_cd}

    # --- the buttons -----------------------------------------------------------------------------------------------------------------

    def eject(self, force: bool = False) -> None:
        """Opens the tray and takes the disc out; a guest that has locked it is asked instead, and EmuError says so."""
        if self.locked and not force:
            self.event = EJECT_REQUEST
            raise EmuError('the guest has locked the tray')
        if self.image:
            self.image.close()
            self.event = REMOVAL
        self.image, self.open, self.locked = None, True, False

    def insert(self, image: Image) -> None:
        """Closes the tray with a disc in it, in place of the one that may be there."""
        if self.image: self.image.close()
        self.image, self.open, self.locked = image, False, False
        self.attention, self.event = True, NEW_MEDIUM

    # --- ATA commands ------------------------------------------------------------------------------------------------------------------

    def start(self, command: int) -> None:
        """DEVICE RESET is obeyed at any time."""
        if command == DEVICE_RESET:
            self.reset(False)
            self.post_signature()  # and no interrupt
        else: super().start(command)

    def post_signature(self) -> None:
        """The drive is not ready until the first command."""
        self.ready = 0
        super().post_signature()

    def reset(self, hard: bool) -> None:
        """A lock is forgotten, the tray stays as it is."""
        super().reset(hard)
        self.sense = FINE
        if hard: self.locked, self.modes = False, Modes()

    def busy(self, time: int, then: Callable[[], None]) -> None:
        """From the first command on, DRDY tells that the drive is ready."""
        super().busy(time, then)
        if then not in (self.post_signature, self.diagnosed): self.ready = DRDY | DSC

    def not_mine(self) -> None:
        """IDENTIFY DEVICE and READ SECTORS are refused with the signature."""
        device = self.now[DEVICE]
        self.post_signature()
        self.now[DEVICE], self.ready = device, DRDY | DSC
        self.abort()

    def check_power(self) -> None:
        """Always active."""
        self.now[COUNT] = 0xff
        self.done()

    def set_features(self) -> None:
        """Transfer modes."""
        if self.now[FEATURES] == 3 and self.modes.set(self.now[COUNT]) or self.now[FEATURES] in (0x66, 0xcc): self.done()
        else: self.abort()

    def identify(self) -> None:
        """IDENTIFY PACKET DEVICE: a removable CD-ROM, packets of 12 bytes, DRQ within 50 us."""
        words = {0: 0x85c0, 49: 0x0b00, 50: 0x4000, 51: 0x0200, 53: 7, 71: 30, 72: 30, 80: 0x0078, 82: 0x4210, 83: 0x4000, 84: 0x4000, 85: 0x4210, 87: 0x4000}
        self.offer(identity(words | self.modes.words(), {10: text(self.serial, 10), 23: text(__version__, 4), 27: text('EMU CD-ROM', 20)}), None)

    def packet(self) -> None:
        """PACKET: the host writes 12 bytes, without an interrupt before."""
        self.dma = bool(self.now[FEATURES] & 1)
        self.limit = self.now[MID] | self.now[HIGH] << 8
        self.now[COUNT] = CD
        self.expect(12, self.execute, False)

    # --- the phases of a packet ----------------------------------------------------------------------------------------------------------

    def execute(self) -> None:
        """The packet has come: what it says is data, an end or a CHECK CONDITION."""
        packet = bytes(self.buffer)
        code = packet[0]
        try:
            if code not in self.packets: raise Refused(BAD_COMMAND)
            if self.attention and code not in WITHOUT_ATTENTION:
                self.attention = False
                raise Refused(CHANGED)
            if code != 0x03: self.sense = FINE
            self.packets[code](packet)
        except Refused as refused:
            self.check(refused.sense)

    def finish(self) -> None:
        """Command complete."""
        self.now[COUNT] = CD | IO
        self.done()

    def check(self, sense: Sense) -> None:
        """CHECK CONDITION: the sense key is in the error register, all of it waits for REQUEST SENSE."""
        self.sense = sense
        self.now[COUNT] = CD | IO
        self.fail(sense[0] << 4 | ABRT)

    def reply(self, data: bytes, allocated: int) -> None:
        """An answer, of which the host takes so much at most."""
        self.stream(iter((data,)), min(len(data), allocated))

    def stream(self, answer: Iterator[bytes], size: int) -> None:
        """`size` bytes for the host, in pieces."""
        self.answer, self.left, self.piece = answer, size, b''
        if not size: self.finish()
        elif self.dma: self.transfer(Transfer(size, lambda data: self.finish(), answer))
        else: self.next_piece()

    def next_piece(self) -> None:
        """Data-in in PIO: as much as the byte count limit allows, an even number but for the last; then the end."""
        if not self.left: return self.finish()
        try:
            if not self.piece: self.piece = next(self.answer)
        except OSError:
            return self.check(BAD_READ)
        most = min(self.limit or 0xfffe, 0xfffe)
        n = min(len(self.piece), self.left)
        if n > most: n = most & ~1 or 1
        block, self.piece = self.piece[:n], self.piece[n:]
        self.left -= n
        self.now[COUNT], self.now[MID], self.now[HIGH] = IO, n & 0xff, n >> 8
        self.offer(block, self.next_piece)
        return None

    def transfer_failed(self, error: OSError) -> None:
        """A block cannot be read."""
        self.check(BAD_READ)

    # --- what packets need -----------------------------------------------------------------------------------------------------------------

    def disc(self) -> Image:
        """The medium, or CHECK CONDITION."""
        if self.image is None or self.open: raise Refused(TRAY_OPEN if self.open else NO_MEDIUM)
        return self.image

    def blocks(self) -> int:
        """Blocks of the medium."""
        return -(-self.disc().sectors // 4)

    def data(self, block: int, count: int, chunk: int = CHUNK) -> Iterator[bytes]:
        """Blocks, some at a time."""
        image = self.disc()
        for n in range(block, block + count, chunk):
            if self.image is not image: raise OSError(errno.ENOMEDIUM, 'the disc was taken out')
            yield image.read(4 * n, 4 * min(chunk, block + count - n))

    def check_range(self, block: int, count: int) -> None:
        """Blocks that are there, or CHECK CONDITION."""
        if block + count > self.blocks(): raise Refused(OUT_OF_RANGE)

    def profile(self) -> int:
        """What kind of disc it is; 0: none."""
        if self.image is None or self.open: return 0
        return DVD_ROM if self.blocks() > CD_MAX else CD_ROM

    # --- packets -----------------------------------------------------------------------------------------------------------------------------

    def test_unit_ready(self, p: bytes) -> None:
        """TEST UNIT READY; SET CD SPEED is as good."""
        self.disc()
        self.finish()

    def request_sense(self, p: bytes) -> None:
        """REQUEST SENSE: fixed format; what is told is forgotten."""
        if self.sense == FINE and self.attention: self.sense, self.attention = CHANGED, False
        key, asc, ascq = self.sense
        self.sense = FINE
        self.reply(bytes((0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0)), p[4])

    def inquiry(self, p: bytes) -> None:
        """INQUIRY: a removable CD-ROM."""
        if p[1] & 3 or p[2]: raise Refused(BAD_FIELD)
        head = bytes((5, 0x80, 0, 0x21, 31, 0, 0, 0))
        self.reply(head + b'EMU     ' + b'CD-ROM'.ljust(16) + __version__.encode()[:4].ljust(4), p[3] << 8 | p[4])

    def start_stop(self, p: bytes) -> None:
        """START STOP UNIT: LoEj opens and closes the tray, with the disc in it."""
        if p[4] & 2 and not p[4] & 1 and self.locked: raise Refused(LOCKED)
        if p[4] & 2:
            was, self.open = self.open, not p[4] & 1
            if self.image and was != self.open: self.event, self.attention = REMOVAL if self.open else NEW_MEDIUM, not self.open
        self.finish()

    def prevent(self, p: bytes) -> None:
        """PREVENT ALLOW MEDIUM REMOVAL."""
        self.locked = bool(p[4] & 1)
        self.finish()

    def capacity(self, p: bytes) -> None:
        """READ CAPACITY: the last block, and a block's size."""
        self.reply(struct.pack('>II', self.blocks() - 1, BLOCK), 8)

    def read(self, p: bytes) -> None:
        """READ(10), READ(12)."""
        block, count = struct.unpack('>II' if p[0] == 0xa8 else '>IxH', p[2:10] if p[0] == 0xa8 else p[2:9])
        self.check_range(block, count)
        self.stream(self.data(block, count), count * BLOCK)

    def read_cd(self, p: bytes) -> None:
        """READ CD, READ CD MSF: the user data, all of a mode 1 sector, or nothing."""
        if p[0] == 0xbe: block, count = struct.unpack_from('>I', p, 2)[0], int.from_bytes(p[6:9], 'big')
        else:
            block, end = ((at[0] * 60 + at[1]) * 75 + at[2] - 150 for at in (p[3:6], p[6:9]))
            count = end - block
        if block < 0 or count < 0: raise Refused(BAD_FIELD)
        self.check_range(block, count)
        if p[1] >> 2 & 7 not in (0, 2): raise Refused(NOT_THIS_TRACK)
        if p[10] & 7: raise Refused(BAD_FIELD)
        fields = p[9] & 0xf8
        if fields == 0: self.finish()
        elif fields == 0x10: self.stream(self.data(block, count), count * BLOCK)
        elif fields == 0xf8: self.stream(self.raw(block, count), count * 2352)
        else: raise Refused(BAD_FIELD)

    def raw(self, block: int, count: int) -> Iterator[bytes]:
        """Whole sectors: sync, header, data."""
        for n, data in enumerate(self.data(block, count, 1), block): yield b'\0' + b'\xff' * 10 + b'\0' + bcd(msf(n)) + b'\1' + data + bytes(288)

    def seek(self, p: bytes) -> None:
        """SEEK(10)."""
        self.check_range(struct.unpack_from('>I', p, 2)[0], 1)
        self.finish()

    def toc(self, p: bytes) -> None:
        """READ TOC: track 1 and the lead-out; the only session; the raw table."""
        end, allocated, form = self.blocks(), p[7] << 8 | p[8], p[2] & 15 or p[9] >> 6  # SFF-8020i has the format in byte 9

        def address(block: int) -> bytes:
            return b'\0' + msf(block) if p[1] & 2 else struct.pack('>I', block)

        if form == 0:
            if p[6] > 1 and p[6] != LEAD_OUT: raise Refused(BAD_FIELD)
            tracks = ((1, 0),) * (p[6] <= 1) + ((LEAD_OUT, end),)
            self.reply(sized(b'\1\1' + b''.join(bytes((0, 0x14, n, 0)) + address(block) for n, block in tracks)), allocated)
        elif form == 1: self.reply(sized(b'\1\1' + bytes((0, 0x14, 1, 0)) + address(0)), allocated)
        elif form == 2:
            points = ((0xa0, b'\1\0\0'), (0xa1, b'\1\0\0'), (0xa2, msf(end)), (1, msf(0)))
            self.reply(sized(b'\1\1' + b''.join(bytes((1, 0x14, 0, point, 0, 0, 0, 0)) + place for point, place in points)), allocated)
        else: raise Refused(BAD_FIELD)

    def sub_channel(self, p: bytes) -> None:
        """READ SUB-CHANNEL: no audio status; the position, or no catalogue number."""
        self.disc()
        body = b''
        if p[2] & 0x40:
            if p[3] == 1: body = bytes((1, 0x14, 1, 1)) + (b'\0' + msf(0) if p[1] & 2 else bytes(4)) + bytes(4)
            elif p[3] in (2, 3): body = bytes((p[3],)) + bytes(19)
            else: raise Refused(BAD_FIELD)
        self.reply(b'\0\x15' + sized(body), p[7] << 8 | p[8])

    def disc_information(self, p: bytes) -> None:
        """READ DISC INFORMATION: a finished disc of one session."""
        self.disc()
        self.reply(sized(bytes((0x0e, 1, 1, 1, 1, 0x20)) + bytes(8) + b'\xff' * 8 + bytes(10)), p[7] << 8 | p[8])

    def track_information(self, p: bytes) -> None:
        """READ TRACK INFORMATION: track 1, by its number or a block."""
        if p[1] & 3 == 0: self.check_range(struct.unpack_from('>I', p, 2)[0], 1)
        elif struct.unpack_from('>I', p, 2)[0] != 1: raise Refused(BAD_FIELD)
        self.reply(sized(bytes((1, 1, 0, 0x04, 0x01, 0)) + struct.pack('>IIIII', 0, 0, 0, 0, self.blocks()) + bytes(8)), p[7] << 8 | p[8])

    def mechanism(self, p: bytes) -> None:
        """MECHANISM STATUS: no changer."""
        self.reply(bytes((0, 0x10 * self.open, 0, 0, 0, 1, 0, 0)), p[8] << 8 | p[9])

    def configuration(self, p: bytes) -> None:
        """GET CONFIGURATION: profiles, core, removable medium, and what a disc that can be read needs."""
        kind, first = p[1] & 3, p[2] << 8 | p[3]
        current = self.profile()
        profiles = b''.join(struct.pack('>HBx', n, n == current) for n in (DVD_ROM, CD_ROM))
        features = {0x0000: (3, profiles), 0x0001: (0x0b, bytes((0, 0, 0, 2, 1, 0, 0, 0))), 0x0002: (0x03, bytes(4)), 0x0003: (0x03, bytes((0x29, 0, 0, 0))),
                    0x0010: (bool(current), struct.pack('>IHBx', BLOCK, 1, 0)), 0x001e: (current == CD_ROM, bytes(4)), 0x001f: (current == DVD_ROM, bytes(4))}
        told = {n: v for n, v in features.items() if n >= first and (kind == 0 or kind == 1 and v[0] & 1 or kind == 2 and n == first)}
        if kind == 3: raise Refused(BAD_FIELD)
        body = struct.pack('>HH', 0, current) + b''.join(struct.pack('>HBB', n, flags, len(more)) + more for n, (flags, more) in told.items())
        self.reply(struct.pack('>I', len(body)) + body, p[7] << 8 | p[8])

    def event_status(self, p: bytes) -> None:
        """GET EVENT STATUS NOTIFICATION, polled: media events, each told once."""
        if not p[1] & 1: raise Refused(BAD_FIELD)
        if p[4] & 0x10:
            answer = bytes((0, 6, 4, 0x10, self.event, self.open | (self.image is not None and not self.open) << 1, 0, 0))
            if p[8] or p[7]: self.event = NO_CHANGE
        else: answer = bytes((0, 2, 0x80, 0x10))
        self.reply(answer, p[7] << 8 | p[8])

    def mode_sense(self, p: bytes) -> None:
        """MODE SENSE(6), (10): error recovery, audio control, capabilities; nothing can be changed or was saved."""
        control, page = p[2] >> 6, p[2] & 63
        if control == 3: raise Refused((5, 0x39, 0))
        speed = 706 * 8  # kB/s of a 32x drive
        pages = {0x01: bytes((0x01, 6, 0, 5, 0, 0, 0, 0)), 0x0e: bytes((0x0e, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0)),
                 0x2a: struct.pack('>BBBBBBBBHHHHBBBB', 0x2a, 18, 0x3b, 0, 0x70, 0, 0x29 | self.locked << 1, 0, speed, 2, 512, speed, 0, 0, 0, 0)}
        if page != 0x3f and page not in pages: raise Refused(BAD_FIELD)
        chosen = [data if control != 1 else data[:2] + bytes(len(data) - 2) for n, data in pages.items() if page in (n, 0x3f)]
        body = b''.join(chosen)
        kind = {CD_ROM: 0x01, DVD_ROM: 0x00}.get(self.profile(), 0x71 if self.open else 0x70)
        if p[0] == 0x1a: self.reply(bytes((len(body) + 3, kind, 0, 0)) + body, p[4])
        else: self.reply(struct.pack('>HB5x', len(body) + 6, kind) + body, p[7] << 8 | p[8])
