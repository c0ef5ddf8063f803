"""The 82077AA floppy disk controller in its PC/AT mode (Intel 82077AA data sheet, 290166): ports 3F2h to 3F5h and 3F7h, IRQ6, DMA channel 2.

Drives and disks are in floppy.py. A command's sectors follow each other every SECTOR, and a whole sector goes to or comes from the host in one call; where the
DMA channel is not programmed yet the controller waits for it, at most WAIT, before it reports an overrun; LATE is that time in non-DMA mode. Times are much shorter than a disk's.

Not as the data sheet: a command for another cylinder than the one under the head seeks even if CONFIGURE has not enabled that (SeaBIOS relies on it, as QEMU and
Bochs do it); without a disk, or with the motor off, a command ends with a missing address mark instead of waiting for index pulses.
Left out: FM, sectors of other sizes than 512 bytes, deleted data marks (written as data, and never found), FORMAT for another format than the disk has (equipment
check), CRC errors but for those that a failing host makes; precompensation, step rates, power-down and perpendicular mode are only remembered. 3F0h and 3F1h
belong to the PS/2 modes and do not answer. PART ID, SAVE, RESTORE and OPTION are the 82078's and invalid here. In non-DMA mode the FIFO holds a whole sector.
"""
from typing import Callable, NamedTuple, Sequence

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer
from emu.hw.dma import FROM_MEMORY, TO_MEMORY, Dma
from emu.hw.floppy import RATE_250K, SECTOR, Drive

CHANNEL = 2
RESET_TIME, STEP_TIME, START_TIME, SECTOR_TIME, WAIT, LATE = 20_000, 10_000, 60_000, 30_000, 200_000_000, 10_000_000  # ns
MAX_STEPS = 79  # of RECALIBRATE

NOT_RESET, DMA_GATE = 4, 8  # of DOR
RQM, DIO, NON_DMA, BUSY = 0x80, 0x40, 0x20, 0x10  # of MSR
ABNORMAL, INVALID, POLLING, SEEK_END, EQUIPMENT_CHECK = 0x40, 0x80, 0xc0, 0x20, 0x10  # of ST0
END_OF_CYLINDER, DATA_ERROR, OVERRUN, NO_DATA, NOT_WRITABLE, MISSING_MARK = 0x80, 0x20, 0x10, 4, 2, 1  # of ST1
CONTROL_MARK, DATA_FIELD, WRONG_CYLINDER, SCAN_EQUAL, SCAN_FAILED = 0x40, 0x20, 0x10, 8, 4  # of ST2
MT, MFM, SK = 0x80, 0x40, 0x20  # of a command's first byte
SEEK_ENABLED, FIFO_OFF, POLLING_OFF = 0x40, 0x20, 0x10  # of CONFIGURE's third


class Command(NamedTuple):
    """One of Table 5-1: bytes of the command, the flags that its first byte may have, and how it moves data: 'in' to the host, 'out', or not at all."""

    name: str
    length: int
    flags: int = 0
    direction: str = ''


COMMANDS = {
    0x02: Command('read_track', 9, MFM, 'in'), 0x03: Command('specify', 3), 0x04: Command('sense_drive', 2), 0x05: Command('write', 9, MT | MFM, 'out'),
    0x06: Command('read', 9, MT | MFM | SK, 'in'), 0x07: Command('recalibrate', 2), 0x08: Command('sense_interrupt', 1),
    0x09: Command('write', 9, MT | MFM, 'out'), 0x0a: Command('read_id', 2, MFM), 0x0c: Command('read_deleted', 9, MT | MFM | SK, 'in'),
    0x0d: Command('format', 6, MFM, 'out'), 0x0e: Command('dumpreg', 1), 0x0f: Command('seek', 3, 0xc0), 0x10: Command('version', 1),
    0x11: Command('scan_equal', 9, MT | MFM | SK, 'out'), 0x12: Command('perpendicular', 2), 0x13: Command('configure', 4), 0x14: Command('lock', 1, 0x80),
    0x16: Command('verify', 9, MT | MFM | SK), 0x19: Command('scan_low', 9, MT | MFM | SK, 'out'), 0x1d: Command('scan_high', 9, MT | MFM | SK, 'out')}


class Fdc:
    """`drives` are A to D, None where there is none; `irq` is IRQ6."""

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None], dma: Dma, drives: Sequence[Drive | None] = ()):
        self.clock, self.irq, self.dma = clock, irq, dma
        self.drives = [*drives, None, None, None, None][:4]
        self.timer: Timer | None = None
        self.seeks: dict[int, Timer] = {}
        self.dor, self.specified, self.kind = 0, bytes(2), COMMANDS[3]
        self.reset()
        bus.add_ports(0x3f2, 4, self.read, self.write)
        bus.add_ports(0x3f7, 1, self.read, self.write)

    # --- reset -----------------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """The RESET pin."""
        self.locked, self.rate, self.tape, self.perpendicular_mode = False, RATE_250K, 0, 0
        self.write_dor(0)
        self.stop()

    def stop(self) -> None:
        """A reset of any kind begins: whatever goes on ends ("Reset"); SPECIFY's values stay, with LOCK the FIFO's, too."""
        for timer in (self.timer, *self.seeks.values()): self.clock.cancel(timer)
        self.timer = None
        self.seeks = {}
        self.phase = 'reset'  # reset, idle, command, execution, result
        self.command = bytearray()
        self.result: list[int] = []
        self.buffer = bytearray()  # execution: of what goes to the host the rest, of what comes from it what is there
        self.wanted = 0  # bytes that shall come
        self.exchanging = False
        self.moved = 0  # when the host moved a byte last
        self.pending: dict[int, int] = {}  # drive: ST0 for SENSE INTERRUPT STATUS
        self.cylinders = [0] * 4  # PCN
        self.busy = 0
        self.last_sector = 0  # SC or EOT, for DUMPREG
        if not self.locked: self.configured, self.precompensation_track = FIFO_OFF, 0
        self.configured &= ~(SEEK_ENABLED | POLLING_OFF)
        self.perpendicular_mode &= 0x3c
        self.dma.request(CHANNEL, False)
        self.interrupt(False)

    def start(self) -> None:
        """The reset's end."""
        self.timer = self.clock.at(self.clock.now() + RESET_TIME, self.started)

    def started(self) -> None:
        """The drives have been polled ("Polling"): all four have changed."""
        self.timer, self.phase = None, 'idle'
        self.pending = {n: POLLING | n for n in range(4)}
        self.interrupt(True)

    def interrupt(self, level: bool) -> None:
        """INT, which DOR lets through."""
        self.interrupting = level
        self.irq(level and bool(self.dor & DMA_GATE))

    # --- registers -------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, w: int) -> int:
        """DOR, TDR, MSR, FIFO, DIR."""
        n = port & 7
        if n == 2: return self.dor
        if n == 3: return 0xfc | self.tape
        if n == 4: return self.status()
        if n == 5: return self.read_fifo()
        drive = self.drives[self.dor & 3]
        return 0x7f | 0x80 * (drive is not None and drive.changed)

    def write(self, port: int, w: int, v: int) -> None:
        """DOR, TDR, DSR, FIFO, CCR."""
        n = port & 7
        if n == 2: self.write_dor(v)
        elif n == 3: self.tape = v & 3
        elif n == 4:
            self.rate = v & 3
            if v & 0x80:  # a reset that ends by itself
                self.stop()
                if self.dor & NOT_RESET: self.start()
        elif n == 5: self.write_fifo(v)
        else: self.rate = v & 3

    def write_dor(self, v: int) -> None:
        """Motors in bits 4 to 7, DMA and interrupt gate, reset, the selected drive."""
        rises = v & ~self.dor & NOT_RESET
        self.dor = v
        for n, drive in enumerate(self.drives):
            if drive: drive.turn(bool(v >> 4 + n & 1))
        if not v & NOT_RESET: self.stop()
        elif rises: self.start()
        else:
            self.interrupt(self.interrupting)
            self.pump()

    def status(self) -> int:
        """MSR."""
        if self.phase == 'reset': return 0
        if self.phase == 'idle': return RQM | self.busy
        if self.phase == 'command': return RQM | BUSY | self.busy
        if self.phase == 'result': return RQM | DIO | BUSY | self.busy
        if not self.specified[1] & 1 or not self.kind.direction: return BUSY | self.busy
        return NON_DMA | BUSY | self.busy | (RQM | DIO * (self.kind.direction == 'in')) * self.exchanging

    def read_fifo(self) -> int:
        """A byte of a result, or of a sector in non-DMA mode."""
        if self.phase == 'result':
            self.interrupt(False)
            v = self.result.pop(0)
            if not self.result: self.phase = 'idle'
            return v
        if self.by_hand() and self.kind.direction == 'in':
            v, self.moved = self.buffer.pop(0), self.clock.now()
            self.interrupt(False)
            if self.buffer: self.interrupt(True)
            else: self.exchanged(False)
            return v
        return 0

    def write_fifo(self, v: int) -> None:
        """A byte of a command, or of a sector in non-DMA mode."""
        if self.by_hand() and self.kind.direction == 'out':
            self.buffer.append(v)
            self.moved = self.clock.now()
            self.interrupt(False)
            if len(self.buffer) < self.wanted: self.interrupt(True)
            else: self.exchanged(False)
        elif self.phase in ('idle', 'command'):
            self.command.append(v)
            self.phase = 'command'
            kind = COMMANDS.get(self.command[0] & 0x1f)
            if kind is None or self.command[0] & 0xe0 & ~kind.flags: self.answer(INVALID)
            elif len(self.command) == kind.length:
                self.kind = kind
                getattr(self, f'do_{kind.name}')(*self.command)

    def by_hand(self) -> bool:
        """The host is to move a byte through the FIFO."""
        return self.phase == 'execution' and self.exchanging and bool(self.specified[1] & 1)

    # --- commands that move no data --------------------------------------------------------------------------------------------------

    def answer(self, *result: int) -> None:
        """The command is over, without an interrupt."""
        self.command.clear()
        self.result = list(result)
        self.phase = 'result' if result else 'idle'

    def do_specify(self, _: int, *values: int) -> None:
        self.specified = bytes(values)
        self.answer()

    def do_sense_drive(self, _: int, unit: int) -> None:
        """ST3: write protection, track 0, head, drive."""
        drive = self.drives[unit & 3]
        protected = drive is not None and drive.image is not None and drive.image.readonly
        self.answer(0x28 | protected << 6 | (drive is not None and drive.cylinder == 0) << 4 | unit & 7)

    def do_sense_interrupt(self, _: int) -> None:
        """The drives that have something to say, one after the other; invalid where none has."""
        if not self.pending: return self.answer(INVALID)
        n = min(self.pending)
        self.busy &= ~(1 << n)
        self.answer(self.pending.pop(n), self.cylinders[n])
        return self.interrupt(any(st0 & POLLING != POLLING for st0 in self.pending.values()))

    def do_version(self, _: int) -> None:
        self.answer(0x90)

    def do_dumpreg(self, _: int) -> None:
        self.answer(*self.cylinders, *self.specified, self.last_sector, self.locked << 7 | self.perpendicular_mode, self.configured, self.precompensation_track)

    def do_perpendicular(self, _: int, v: int) -> None:
        """OW lets the drives' bits be written."""
        self.perpendicular_mode = v & 0x3f if v & 0x80 else self.perpendicular_mode & 0x3c | v & 3
        self.answer()

    def do_configure(self, _: int, __: int, v: int, track: int) -> None:
        self.configured, self.precompensation_track = v & 0x7f, track
        self.answer()

    def do_lock(self, v: int) -> None:
        self.locked = bool(v & 0x80)
        self.answer(self.locked << 4)

    # --- seeks -------------------------------------------------------------------------------------------------------------------------

    def do_recalibrate(self, _: int, unit: int) -> None:
        n = unit & 3
        drive = self.drives[n]
        steps = min(drive.cylinder, MAX_STEPS) if drive else MAX_STEPS
        self.move(n, -steps, 0, drive is not None and drive.cylinder == steps)

    def do_seek(self, v: int, unit: int, cylinder: int) -> None:
        """SEEK, and RELATIVE SEEK where bit 7 is set, inwards with bit 6."""
        n = unit & 3
        if not v & 0x80 and v & 0x40: return self.answer(INVALID)
        target = (self.cylinders[n] + (cylinder if v & 0x40 else -cylinder) if v & 0x80 else cylinder) & 0xff
        steps = cylinder if v & 0xc0 == 0xc0 else -cylinder if v & 0x80 else target - self.cylinders[n]
        return self.move(n, steps, target, True)

    def move(self, n: int, steps: int, target: int, good: bool) -> None:
        """Steps a drive's head, while other commands may go on; PCN is then `target`."""
        def arrived() -> None:
            self.seeks.pop(n, None)
            drive = self.drives[n]
            if drive: drive.step(steps)
            self.cylinders[n] = target
            self.clear_polled()
            self.pending[n] = SEEK_END | n | (0 if good else ABNORMAL | EQUIPMENT_CHECK)
            self.interrupt(True)
        self.answer()
        self.clock.cancel(self.seeks.get(n))
        self.busy |= 1 << n
        self.seeks[n] = self.clock.at(self.clock.now() + STEP_TIME * (1 + abs(steps)), arrived)

    def clear_polled(self) -> None:
        """Nobody asks any more what the polling after a reset has found."""
        self.pending = {n: st0 for n, st0 in self.pending.items() if st0 & POLLING != POLLING}

    # --- commands that move data -------------------------------------------------------------------------------------------------------

    def begin(self, unit: int, after: int, then: Callable[[], None]) -> None:
        """The execution phase."""
        self.phase, self.exchanging, self.st1, self.st2, self.ended_seek = 'execution', False, 0, 0, 0
        self.unit, self.side = unit & 3, unit >> 2 & 1
        self.timer = self.clock.at(self.clock.now() + after, then)

    def transfer(self, first: int, unit: int, c: int, h: int, r: int, n: int, eot: int, _: int, length: int) -> None:
        """What nine-byte commands have in common."""
        self.c, self.h, self.r, self.n, self.eot, self.length = c, h, r, n, eot, length
        self.last_sector, self.done = eot, 0
        steps = self.seek_for(unit & 3, c)
        self.begin(unit, START_TIME + STEP_TIME * abs(steps), self.next_sector)
        if self.configured & SEEK_ENABLED: self.ended_seek = SEEK_END

    do_read = do_read_track = do_read_deleted = do_write = do_verify = do_scan_equal = do_scan_low = do_scan_high = transfer

    def seek_for(self, n: int, c: int) -> int:
        """The implied seek: cylinders that the head moved."""
        drive = self.drives[n]
        if not drive or not drive.image or drive.track() == c or c >= drive.format.cylinders: return 0
        steps = c * drive.spread() - drive.cylinder
        drive.step(steps)
        self.cylinders[n] = drive.cylinder
        return steps

    def finish(self, st0: int = 0, st1: int = 0, st2: int = 0) -> None:
        """The result phase: ST0 to ST2 and the address."""
        self.dma.request(CHANNEL, False)
        self.clock.cancel(self.timer)
        self.timer, self.exchanging = None, False
        self.clear_polled()
        st1, st2 = self.st1 | st1, self.st2 | st2
        if st1: st0 |= ABNORMAL
        self.answer(st0 | self.ended_seek | self.side << 2 | self.unit, st1, st2, self.c, self.h, self.r, self.n)
        self.interrupt(False)  # in non-DMA mode it may still ask for a byte: the result is an edge of its own
        self.interrupt(True)

    def found(self, head: int) -> Drive | None:
        """The drive, if the head reads address marks; else the command has ended."""
        drive = self.drives[self.unit]
        if drive and self.command[0] & MFM and drive.readable(head, self.rate): return drive
        self.finish(st1=MISSING_MARK)
        return None

    def next_sector(self) -> None:
        """Looks for the sector's ID, and begins its exchange with the host."""
        self.timer = None
        drive = self.found(self.side)
        if not drive or not drive.image: return None
        name = self.kind.name
        if name == 'write' and drive.image.readonly: return self.finish(st1=NOT_WRITABLE)
        if name == 'read_track':
            if (self.c, self.h, self.r, self.n) != (drive.track(), self.side, self.physical(drive), 2): self.st1 |= NO_DATA
        elif self.c != drive.track(): return self.finish(st1=NO_DATA, st2=WRONG_CYLINDER)
        elif self.h != self.side or self.n != 2 or not 1 <= self.r <= drive.format.sectors: return self.finish(st1=NO_DATA)
        if name == 'write': return self.exchange(wanted=SECTOR)
        try:
            self.data = drive.read(self.side, self.physical(drive) if name == 'read_track' else self.r)
        except OSError:
            return self.finish(st1=DATA_ERROR, st2=DATA_FIELD)
        if name == 'read_deleted':
            self.st2 |= CONTROL_MARK
            if self.command[0] & SK: return self.sector_done(False)
        if name == 'verify': return self.sector_done(False)
        if name.startswith('scan'): return self.exchange(wanted=SECTOR)
        return self.exchange(self.data)

    def physical(self, drive: Drive) -> int:
        """READ TRACK: the sector that comes next behind the index hole."""
        return self.done % drive.format.sectors + 1

    def exchange(self, data: bytes = b'', wanted: int = 0) -> None:
        """Data for the host, or bytes wanted of it."""
        self.buffer, self.wanted, self.exchanging = bytearray(data), wanted, True
        if self.specified[1] & 1:
            self.moved = self.clock.now()
            self.timer = self.clock.at(self.moved + LATE, self.late)
            return self.interrupt(True)
        self.timer = self.clock.at(self.clock.now() + WAIT, lambda: self.finish(st1=OVERRUN))
        self.dma.request(CHANNEL, True, self.pump)
        return self.pump()

    def late(self) -> None:
        """Non-DMA mode: the host has what it wants, or forgets its data: an overrun, by which Linux's driver ends a transfer."""
        due = self.moved + LATE
        if self.clock.now() >= due: self.finish(st1=OVERRUN)
        else: self.timer = self.clock.at(due, self.late)

    def pump(self) -> None:
        """Moves what the DMA channel takes; the rest waits for it."""
        if self.phase != 'execution' or not self.exchanging or self.specified[1] & 1 or not self.dor & DMA_GATE: return
        if not self.dma.able(CHANNEL, TO_MEMORY if self.kind.direction == 'in' else FROM_MEMORY): return
        if self.kind.direction == 'in': ended = self.dma.write(CHANNEL, bytes(self.buffer))[1]
        else:
            data, ended = self.dma.read(CHANNEL, self.wanted - len(self.buffer))
            self.buffer += data
        self.dma.request(CHANNEL, False)
        self.exchanged(ended)

    def exchanged(self, ended: bool) -> None:
        """The host has what it shall have, or has sent it; `ended`: terminal count."""
        self.clock.cancel(self.timer)
        self.timer, self.exchanging = None, False
        if self.kind.name == 'format': return self.format_track()
        if self.kind.direction == 'in': return self.sector_done(ended)
        drive = self.found(self.side)
        if not drive: return None
        if self.kind.name != 'write': return self.compare(ended)
        try:
            drive.write(self.side, self.r, bytes(self.buffer).ljust(SECTOR, b'\0'))
        except OSError:
            return self.finish(ABNORMAL | EQUIPMENT_CHECK)
        return self.sector_done(ended)

    def sector_done(self, ended: bool) -> None:
        """Ends the command or goes on to the next sector."""
        self.done += 1
        name = self.kind.name
        if name == 'read_deleted' and not self.command[0] & SK: return self.finish()  # "Address not incremented"
        if name == 'read_track':
            self.r = self.r + 1 & 0xff
            if ended or self.done >= self.eot: return self.finish()
        else:
            by_count = name == 'verify' and bool(self.command[1] & 0x80)
            side, address, last = self.side, (self.c, self.h, self.r), self.advance()
            if ended or by_count and self.done == (self.length or 256) or name == 'verify' and last and not by_count:
                self.side = side
                return self.finish()
            if last:
                self.c, self.h, self.r = address  # Table 5-6 is for transfers that the host terminates; Linux counts by the last sector here
                return self.finish(st1=END_OF_CYLINDER)
        self.timer = self.clock.at(self.clock.now() + SECTOR_TIME, self.next_sector)
        return None

    def advance(self) -> bool:
        """The address of the next sector (Table 5-6); whether the cylinder ends before it."""
        step = 2 if self.kind.name.startswith('scan') and self.length == 2 else 1
        if self.r != self.eot and not (step == 2 and self.r + 1 == self.eot):
            self.r = self.r + step & 0xff
            return False
        self.r = 1
        if self.command[0] & MT:
            self.h ^= 1
            if self.side == 0:
                self.side = 1
                return False
        self.c = self.c + 1 & 0xff
        return True

    def compare(self, ended: bool) -> None:
        """SCAN: disk against host, FFh in either matches all; met, the command ends there."""
        pairs = [(d, h) for d, h in zip(self.data, self.buffer) if d != h and d != 0xff and h != 0xff]
        met = not pairs or self.kind.name == 'scan_low' and pairs[0][0] < pairs[0][1] or self.kind.name == 'scan_high' and pairs[0][0] > pairs[0][1]
        self.st2 = (SCAN_EQUAL if not pairs else 0) if met else SCAN_FAILED
        if met: return self.finish()
        self.sector_done(ended)
        if self.phase == 'result': self.result[:2] = self.result[0] & ~ABNORMAL, self.result[1] & ~END_OF_CYLINDER
        return None

    # --- READ ID, FORMAT TRACK -----------------------------------------------------------------------------------------------------------

    def do_read_id(self, _: int, unit: int) -> None:
        self.c = self.h = self.r = self.n = 0
        self.begin(unit, START_TIME, self.id_read)

    def id_read(self) -> None:
        """The ID that happens to be under the head."""
        if drive := self.found(self.side):
            self.c, self.h, self.r, self.n = drive.track(), self.side, self.clock.now() // SECTOR_TIME % drive.format.sectors + 1, 2
            self.finish()

    def do_format(self, _: int, unit: int, n: int, sectors: int, __: int, fill: int) -> None:
        self.c = self.h = self.r = 0
        self.n, self.last_sector, self.fill = n, sectors, fill
        self.begin(unit, START_TIME, self.ask_for_ids)

    def ask_for_ids(self) -> None:
        """Four bytes for each sector come from the host."""
        self.timer = None
        drive = self.drives[self.unit]
        if not drive or not drive.image or not drive.motor: return self.finish(st1=MISSING_MARK)
        if drive.image.readonly: return self.finish(st1=NOT_WRITABLE)
        if not drive.readable(self.side, self.rate) or self.n != 2 or self.last_sector != drive.format.sectors or not self.command[0] & MFM:
            return self.finish(ABNORMAL | EQUIPMENT_CHECK)
        return self.exchange(wanted=4 * self.last_sector)

    def format_track(self) -> None:
        """Fills the sectors that were named."""
        drive = self.found(self.side)
        if not drive: return None
        ids = [tuple(self.buffer[k:k + 4]) for k in range(0, len(self.buffer) - 3, 4)]
        if any((c, h, n) != (drive.track(), self.side, 2) or not 1 <= r <= drive.format.sectors for c, h, r, n in ids): return self.finish(ABNORMAL | EQUIPMENT_CHECK)
        try:
            for c, h, r, _ in ids:
                drive.write(self.side, r, bytes((self.fill,)) * SECTOR)
                self.c, self.h, self.r = c, h, r
        except OSError:
            return self.finish(ABNORMAL | EQUIPMENT_CHECK)
        return self.finish()
