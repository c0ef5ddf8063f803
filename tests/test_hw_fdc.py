"""emu/hw/fdc.py and floppy.py against Intel's 82077AA data sheet (290166) and the IBM PC/AT's use of it."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import EmuError
from emu.hw.bus import Bus
from emu.hw.clock import Clock
from emu.hw.dma import Dma
from emu.hw.fdc import Fdc
from emu.hw.floppy import BY_SIZE, Drive, cmos
from emu.mem.memory import Memory

DOR, TDR, MSR, FIFO, DIR = 0x3f2, 0x3f3, 0x3f4, 0x3f5, 0x3f7
DSR, CCR = MSR, DIR
BUFFER = 0x10000
RATES = {'500K': 0, '300K': 1, '250K': 2, '1M': 3}
SIZES = {f.name: size for size, f in BY_SIZE.items()}


class Image:
    """A disk image in memory, every sector different; `broken` makes it fail as a host's disk does."""

    path = 'f.img'

    def __init__(self, name: str = '1.44M', readonly: bool = False):
        self.sectors, self.readonly = SIZES[name], readonly
        self.data = bytearray(b''.join(n.to_bytes(4, 'big') * 128 for n in range(self.sectors)))
        self.flushes, self.closed, self.broken = 0, False, False

    def read(self, sector: int, count: int) -> bytes:
        if self.broken: raise OSError(5, 'Input/output error')
        assert 0 <= sector < self.sectors
        return bytes(self.data[sector * 512:(sector + count) * 512])

    def write(self, sector: int, data: bytes) -> None:
        if self.broken: raise OSError(28, 'No space left on device')
        assert not self.readonly and 0 <= sector < self.sectors and len(data) == 512
        self.data[sector * 512:sector * 512 + 512] = data

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True


class Machine:
    """A controller with drives, started as a BIOS does it."""

    def __init__(self, *images: Image | None):
        self.bus, self.memory, self.time, self.irq = Bus(), Memory(1 << 20), 0, False
        self.clock = Clock(lambda: self.time)
        self.dma = Dma(self.bus, self.memory)
        self.drives = [image and Drive(image) for image in images]
        self.fdc = Fdc(self.bus, self.clock, self.set_irq, self.dma, self.drives)

    def set_irq(self, level: bool) -> None:
        self.irq = level

    def out(self, port: int, *values: int) -> None:
        for v in values: self.bus.port_out(port, 8, v)

    def read(self, port: int) -> int:
        return self.bus.port_in(port, 8)

    def wait(self) -> None:
        """Until there is an interrupt or nothing happens any more."""
        while not self.irq and self.clock.timers:
            self.time = max(self.time, self.clock.next_deadline())
            self.clock.run_due()

    def send(self, *values: int) -> None:
        for v in values:
            assert self.read(MSR) & 0xc0 == 0x80
            self.out(FIFO, v)

    def result(self) -> list[int]:
        out = []
        while self.read(MSR) & 0xd0 == 0xd0: out.append(self.read(FIFO))
        return out

    def command(self, *values: int) -> list[int]:
        """A command and its result."""
        self.send(*values)
        if self.read(MSR) & 0xd0 != 0xd0: self.wait()
        return self.result()

    def start(self, drive: int = 0, rate: str = '500K') -> None:
        """Out of reset, motor on, the four interrupts sensed, SPECIFY."""
        self.out(DOR, 0x0c | 0x10 << drive | drive)
        self.wait()
        for n in range(4): assert self.command(8) == [0xc0 | n, 0]
        self.command(3, 0xdf, 2)
        self.out(CCR, RATES[rate])

    def seek(self, cylinder: int, drive: int = 0) -> list[int]:
        self.send(0x0f, drive, cylinder)
        self.wait()
        return self.command(8)

    def dma_for(self, mode: int, size: int) -> None:
        """Channel 2: 6 stores what is read, Ah fetches what is written."""
        self.out(10, 6)
        self.out(12, 0)
        self.out(11, 0x40 | mode)
        self.out(4, BUFFER & 0xff, BUFFER >> 8 & 0xff)
        self.out(5, size - 1 & 0xff, size - 1 >> 8)
        self.out(0x81, BUFFER >> 16)
        self.out(10, 2)

    def got(self, sectors: int) -> list[int]:
        """The numbers of the sectors in the buffer."""
        return [int.from_bytes(self.memory.read(BUFFER + 512 * n, 4), 'big') for n in range(sectors)]


def machine(*names: str, **options: bool) -> Machine:
    """One that was started, with these disks."""
    m = Machine(*(Image(name, **options) for name in names or ('1.44M',)))
    m.start(rate='500K')
    return m


# --- registers and reset -----------------------------------------------------------------------------------------------------------------


def test_reset_by_dor() -> None:
    """ "DOR Reset", "Polling": one interrupt, four sense interrupts (IC = 11); the fifth is invalid."""
    m = Machine(Image())
    assert m.read(MSR) == 0 and m.read(DOR) == 0
    m.out(DOR, 0x0c)
    assert not m.irq
    m.wait()
    assert m.irq and m.read(MSR) == 0x80
    for n in range(4):
        assert m.command(8) == [0xc0 | n, 0] and not m.irq
    assert m.command(8) == [0x80]


def test_reset_by_dsr_ends_by_itself() -> None:
    m = machine()
    m.out(DSR, 0x82)
    assert m.read(MSR) == 0
    m.wait()
    assert m.read(MSR) == 0x80 and m.command(8) == [0xc0, 0]


def test_reset_ends_a_command() -> None:
    m = machine()
    m.dma_for(6, 512)
    m.send(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)
    m.out(DOR, 0x18)
    m.out(DOR, 0x1c)
    m.wait()
    assert m.command(8) == [0xc0, 0] and m.memory.read(BUFFER, 4) == bytes(4)


def test_interrupts_pass_the_gate_only() -> None:
    """DOR bit 3."""
    m = Machine(Image())
    m.out(DOR, 4)
    m.wait()
    assert not m.irq
    m.out(DOR, 0x0c)
    assert m.irq


def test_other_registers() -> None:
    """TDR keeps two bits; SRA and SRB are not there in PC/AT mode; DIR has the disk change line only."""
    m = machine()
    m.out(TDR, 0xff)
    assert m.read(TDR) & 3 == 3 and m.read(0x3f0) == m.read(0x3f1) == 0xff
    assert m.read(DIR) & 0x80
    m.seek(1)
    assert not m.read(DIR) & 0x80


def test_a_controller_without_drives() -> None:
    """RECALIBRATE finds no track 0: equipment check, abnormal termination."""
    m = Machine()
    m.start()
    m.send(7, 1)
    m.wait()
    assert m.command(8) == [0x71, 0] and m.command(4, 1) == [0x29] and not m.read(DIR) & 0x80
    assert m.command(0x4a, 0)[:3] == [0x40, 1, 0]


# --- control commands ------------------------------------------------------------------------------------------------------------------


def test_version_and_invalid_commands() -> None:
    """Table 5-1: VERSION is 90h; the 82078's PART ID, SAVE and RESTORE, and flags that a command has not, give 80h."""
    m = machine()
    assert m.command(0x10) == [0x90]
    for code in (0x18, 0x2e, 0x4e, 0x00, 0x1f, 0x83, 0x30, 0x48, 0x24): assert m.command(code) == [0x80], hex(code)


def test_dumpreg_shows_what_was_set() -> None:
    """ "DUMPREG"."""
    m = machine()
    m.seek(5)
    m.command(3, 0xaf, 0x06)
    m.command(0x13, 0, 0x58, 0x20)
    m.command(0x12, 0x84 | 2)
    m.command(0x94)
    m.dma_for(6, 512)
    m.command(0xe6, 0, 5, 0, 1, 2, 17, 27, 255)
    assert m.command(0x0e) == [5, 0, 0, 0, 0xaf, 0x06, 17, 0x80 | 6, 0x58, 0x20]


def test_lock() -> None:
    """ "LOCK": FIFO parameters survive a software reset only when locked; implied seeks and polling never do. PERPENDICULAR keeps the drives' bits."""
    m = machine()
    m.command(0x13, 0, 0x57, 0x20)
    m.command(0x12, 0x84 | 3)
    for lock, expected in ((0x94, [0x80 | 4, 7, 0x20]), (0x14, [4, 0x20, 0])):
        assert m.command(lock) == [0x10 * (lock >> 7)]
        m.out(DSR, 0x80)
        m.wait()
        for _ in range(4): m.command(8)
        assert m.command(0x0e)[7:] == expected


def test_perpendicular_overwrites_drives_only_with_ow() -> None:
    m = machine()
    m.command(0x12, 0x84)
    m.command(0x12, 0x03)
    assert m.command(0x0e)[7] == 7


def test_sense_drive_status() -> None:
    """ST3: write protection, track 0, head, drive; two bits are always 1."""
    m = machine('1.44M', '720K')
    assert m.command(4, 4) == [0x28 | 0x10 | 4]
    m.seek(3)
    assert m.command(4, 0) == [0x28] and m.command(4, 1) == [0x39] and m.command(4, 2) == [0x2a]
    assert machine(readonly=True).command(4, 0) == [0x78]


def test_seek_and_recalibrate() -> None:
    """ST0's SE, PCN; the drive is busy until SENSE INTERRUPT STATUS; H is 0."""
    m = machine()
    m.send(0x0f, 4, 40)
    assert m.read(MSR) == 0x81
    m.wait()
    assert m.read(MSR) == 0x81 and m.command(8) == [0x20, 40] and m.read(MSR) == 0x80 and not m.irq
    m.send(7, 0)
    m.wait()
    assert m.command(8) == [0x20, 0] and m.command(4, 0)[0] & 0x10


def test_recalibrate_gives_up_after_79_steps() -> None:
    """ "RECALIBRATE": from cylinder 82 track 0 is not reached; a second time it is."""
    m = machine()
    m.seek(82)
    m.send(7, 0)
    m.wait()
    assert m.command(8) == [0x70, 0]
    m.send(7, 0)
    m.wait()
    assert m.command(8) == [0x20, 0]


def test_relative_seek() -> None:
    """DIR set: inwards; PCN counts modulo 256, the head stops where the drive ends."""
    m = machine()
    m.send(0xcf, 0, 10)
    m.wait()
    assert m.command(8) == [0x20, 10] and m.drives[0].cylinder == 10
    m.send(0x8f, 0, 12)
    m.wait()
    assert m.command(8) == [0x20, 254] and m.drives[0].cylinder == 0
    assert m.command(0x4f, 0, 1) == [0x80]


def test_drives_seek_at_the_same_time() -> None:
    """ "Parallel seeks": both interrupts are told, the other drive's after the first."""
    m = machine('1.44M', '1.44M')
    m.send(0x0f, 0, 20)
    m.send(0x0f, 1, 5)
    assert m.read(MSR) == 0x83
    m.wait()
    assert m.command(8) == [0x21, 5] and m.read(MSR) == 0x81 and not m.irq
    m.wait()
    assert m.command(8) == [0x20, 20] and m.command(8) == [0x80]


def test_polling_results_that_nobody_sensed_are_forgotten() -> None:
    """SeaBIOS senses one of four."""
    m = Machine(Image(), Image())
    m.out(DOR, 0x2d)
    m.wait()
    m.command(8)
    m.send(7, 1)
    m.wait()
    assert m.command(8) == [0x21, 0] and m.command(8) == [0x80]


# --- reading -----------------------------------------------------------------------------------------------------------------------------


def test_read_one_sector() -> None:
    """The PC's way: terminal count after the last byte."""
    m = machine()
    m.seek(3)
    m.dma_for(6, 512)
    m.send(0x46, 4, 3, 1, 5, 2, 18, 27, 255)
    assert m.read(MSR) == 0x10
    m.wait()
    assert m.irq and m.read(MSR) == 0xd0
    assert m.result() == [4, 0, 0, 3, 1, 6, 2] and not m.irq and m.read(MSR) == 0x80
    assert m.got(1) == [(3 * 2 + 1) * 18 + 4]


@pytest.mark.parametrize('mt, head, first, count, address', [
    (0x00, 0, 5, 3, (3, 0, 8)), (0x00, 0, 16, 3, (4, 0, 1)), (0x00, 1, 5, 3, (3, 1, 8)), (0x00, 1, 16, 3, (4, 1, 1)),
    (0x80, 0, 5, 3, (3, 0, 8)), (0x80, 0, 16, 3, (3, 1, 1)), (0x80, 1, 5, 3, (3, 1, 8)), (0x80, 1, 16, 3, (4, 0, 1)), (0x80, 0, 1, 36, (4, 0, 1))])
def test_address_in_the_result(mt: int, head: int, first: int, count: int, address: tuple[int, int, int]) -> None:
    """Table 5-6."""
    m = machine()
    m.seek(3)
    m.dma_for(6, 512 * count)
    result = m.command(0x46 | mt, head << 2, 3, head, first, 2, 18, 27, 255)
    assert result[0] & 0xf8 == 0 and result[1:] == [0, 0, *address, 2]
    assert m.got(count) == [(3 * 2 + head) * 18 + first - 1 + n for n in range(count)]


def test_end_of_cylinder() -> None:
    """ST1's EN: sectors up to EOT were read and the host wants more; the address is the last sector's."""
    m = machine()
    m.dma_for(6, 512 * 4)
    assert m.command(0x46, 0, 0, 0, 17, 2, 18, 27, 255) == [0x40, 0x80, 0, 0, 0, 18, 2]
    assert m.got(3) == [16, 17, 0]
    m.dma_for(6, 512 * 40)
    assert m.command(0xc6, 0, 0, 0, 17, 2, 18, 27, 255) == [0x44, 0x80, 0, 0, 1, 18, 2]  # with MT up to the end of side 1
    assert m.got(21) == [*range(16, 36), 0]


def test_terminal_count_within_a_sector() -> None:
    m = machine()
    m.dma_for(6, 700)
    assert m.command(0x46, 0, 0, 0, 1, 2, 18, 27, 255) == [0, 0, 0, 0, 0, 3, 2]
    assert m.memory.read(BUFFER + 696, 8) == b'\0\0\0\1\0\0\0\0'


@pytest.mark.parametrize('command, st1, st2', [
    ((0x46, 0, 99, 0, 1, 2, 18), 0x04, 0x10),  # no such cylinder: no data, wrong cylinder
    ((0x46, 0, 0, 0, 19, 2, 18), 0x04, 0),  # no such sector
    ((0x46, 0, 0, 0, 0, 2, 18), 0x04, 0),
    ((0x46, 0, 0, 1, 1, 2, 18), 0x04, 0),  # head in the ID is not the head selected
    ((0x46, 0, 0, 0, 1, 3, 18), 0x04, 0),  # 1024 bytes
    ((0x06, 0, 0, 0, 1, 2, 18), 0x01, 0),  # FM: no address marks
    ((0x46, 1, 0, 0, 1, 2, 18), 0x01, 0),  # no such drive
])
def test_sectors_that_are_not_found(command: tuple[int, ...], st1: int, st2: int) -> None:
    m = machine()
    m.dma_for(6, 512)
    result = m.command(*command, 27, 255)
    assert result == [0x40 | command[1], st1, st2, *command[2:6]]


def test_wrong_rate_no_motor_no_disk() -> None:
    """No address mark."""
    m = machine()
    m.out(CCR, 2)
    assert m.command(0x4a, 0)[:3] == [0x40, 1, 0]
    m.out(CCR, 0)
    assert m.command(0x4a, 0)[0] == 0
    m.out(DOR, 0x0c)
    assert m.command(0x4a, 0)[:3] == [0x40, 1, 0]
    m.out(DOR, 0x1c)
    m.drives[0].eject()
    assert m.command(0x4a, 0)[:3] == [0x40, 1, 0]


def test_tracks_that_were_never_formatted() -> None:
    m = machine()
    m.seek(81)
    assert m.command(0x4a, 0)[:3] == [0x40, 1, 0]


def test_read_id_turns_with_the_disk() -> None:
    """Every sector comes by."""
    m = machine()
    m.seek(7)
    seen = set()
    for _ in range(60):
        result = m.command(0x4a, 4)
        assert result[:5] == [4, 0, 0, 7, 1] and result[6] == 2
        seen.add(result[5])
        m.time += 31_000
    assert seen == set(range(1, 19))


def test_implied_seek() -> None:
    """CONFIGURE's EIS: the head goes to C, and ST0 says so; SeaBIOS wants it without."""
    m = machine()
    m.command(0x13, 0, 0x40, 0)
    m.dma_for(6, 512)
    assert m.command(0x46, 0, 30, 0, 1, 2, 18, 27, 255) == [0x20, 0, 0, 30, 0, 2, 2] and m.got(1) == [30 * 36]
    m.command(0x13, 0, 0, 0)
    m.dma_for(6, 512)
    assert m.command(0x46, 0, 31, 0, 1, 2, 18, 27, 255) == [0, 0, 0, 31, 0, 2, 2] and m.got(1) == [31 * 36]
    assert m.command(0x0e)[0] == 31


def test_read_track() -> None:
    """ "READ TRACK": from the index hole on, whatever the IDs; ND where they do not compare."""
    m = machine()
    m.dma_for(6, 512 * 5)
    assert m.command(0x42, 4, 0, 1, 1, 2, 5, 27, 255) == [4, 0, 0, 0, 1, 6, 2] and m.got(5) == list(range(18, 23))
    m.dma_for(6, 512 * 2)
    assert m.command(0x42, 0, 0, 0, 3, 2, 2, 27, 255)[:3] == [0x40, 4, 0] and m.got(2) == [0, 1]


def test_read_deleted_data() -> None:
    """Table 5-5 on disks without deleted data: CM; SK = 0: one sector, address not incremented; SK = 1: all are skipped."""
    m = machine()
    m.dma_for(6, 512 * 2)
    assert m.command(0x4c, 0, 0, 0, 4, 2, 18, 27, 255) == [0, 0, 0x40, 0, 0, 4, 2] and m.got(2) == [3, 0]
    assert m.command(0x6c, 0, 0, 0, 4, 2, 18, 27, 255) == [0x40, 0x80, 0x40, 0, 0, 18, 2]


def test_verify() -> None:
    """Table 5-7: to EOT with EC = 0, SC sectors with EC = 1; nothing is transferred."""
    m = machine()
    assert m.command(0xd6, 0, 0, 0, 1, 2, 18, 27, 255)[:3] == [4, 0, 0]
    assert m.command(0x56, 0, 0, 0, 1, 2, 18, 27, 255) == [0, 0, 0, 1, 0, 1, 2]
    assert m.command(0x56, 0, 0, 0, 1, 2, 19, 27, 255)[:3] == [0x40, 4, 0]
    assert m.command(0xd6, 0x80, 0, 0, 15, 2, 18, 27, 10) == [4, 0, 0, 0, 1, 7, 2]
    assert m.command(0x56, 0x80, 0, 0, 15, 2, 18, 27, 10)[:3] == [0x40, 0x80, 0]
    assert m.memory.read(BUFFER, 4) == bytes(4)


def test_host_errors() -> None:
    """A sector that the host cannot read has a bad CRC; one that it cannot write is an equipment check."""
    m = machine()
    m.drives[0].image.broken = True
    m.dma_for(6, 512)
    assert m.command(0x46, 0, 0, 0, 1, 2, 18, 27, 255)[:3] == [0x40, 0x20, 0x20]
    m.dma_for(10, 512)
    assert m.command(0x45, 0, 0, 0, 1, 2, 18, 27, 255)[:3] == [0x50, 0, 0]


# --- DMA and its absence --------------------------------------------------------------------------------------------------------------


def test_dma_that_is_programmed_late() -> None:
    """The controller waits for the channel, as it would for the disk."""
    m = machine()
    m.send(0x46, 0, 0, 0, 2, 2, 18, 27, 255)
    m.time += 10 ** 7
    m.clock.run_due()
    assert not m.irq
    m.dma_for(6, 512)
    m.wait()
    assert m.result()[:3] == [0, 0, 0] and m.got(1) == [1]


def test_dma_that_is_never_programmed() -> None:
    """OR, overrun."""
    m = machine()
    assert m.command(0x46, 0, 0, 0, 2, 2, 18, 27, 255) == [0x40, 0x10, 0, 0, 0, 2, 2]
    m.dma_for(6, 512)
    assert m.command(0x45, 0, 0, 0, 2, 2, 18, 27, 255) == [0x40, 0x10, 0, 0, 0, 2, 2]


def test_read_without_dma() -> None:
    """SPECIFY's ND: MSR shows RQM, DIO and NON DMA for each byte, an interrupt asks for it; there is no terminal count, so it ends at EOT."""
    m = machine()
    m.command(3, 0xdf, 3)
    m.send(0x46, 0, 0, 0, 17, 2, 18, 27, 255)
    assert m.read(MSR) == 0x30
    data = bytearray()
    while True:
        m.wait()
        if m.read(MSR) & 0x20 == 0: break
        assert m.read(MSR) == 0xf0
        data.append(m.read(FIFO))
    assert data == bytes(m.drives[0].image.data[16 * 512:18 * 512])
    assert m.result() == [0x40, 0x80, 0, 0, 0, 18, 2]


def test_overrun_without_dma() -> None:
    """The host stops in the second sector: OR, and the address of that one; a host that only pauses loses nothing."""
    m = machine()
    m.command(3, 0xdf, 3)
    m.send(0x46, 0, 0, 0, 1, 2, 18, 27, 255)
    for _ in range(600):
        m.wait()
        m.time += 100_000
        m.clock.run_due()
        assert m.read(MSR) == 0xf0
        m.read(FIFO)
    m.time += 9_000_000
    m.clock.run_due()
    assert m.read(MSR) == 0xf0
    m.time += 1_000_000
    m.clock.run_due()
    assert m.irq and m.result() == [0x40, 0x10, 0, 0, 0, 2, 2]


def test_write_without_dma() -> None:
    m = machine()
    m.command(3, 0xdf, 3)
    m.send(0x45, 0, 0, 0, 18, 2, 18, 27, 255)
    for k in range(512):
        m.wait()
        assert m.read(MSR) == 0xb0
        m.out(FIFO, k & 0xff)
    m.wait()
    assert m.result()[:2] == [0x40, 0x80] and m.drives[0].image.data[17 * 512:18 * 512] == bytes(range(256)) * 2


# --- writing -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('code', [0xc5, 0xc9])
def test_write(code: int) -> None:
    """WRITE DATA and WRITE DELETED DATA, to the second side; what a terminal count within a sector leaves is zeros."""
    m = machine()
    image = m.drives[0].image
    m.memory.write(BUFFER, b'x' * 1024)
    m.dma_for(10, 1000)
    assert m.command(code, 0, 0, 0, 18, 2, 18, 27, 255) == [4, 0, 0, 0, 1, 2, 2]
    assert image.data[17 * 512:19 * 512] == b'x' * 1000 + bytes(24) and image.data[19 * 512:19 * 512 + 4] == b'\0\0\0\x13'


def test_write_protection() -> None:
    """NW, for FORMAT too."""
    m = machine(readonly=True)
    m.dma_for(10, 512)
    assert m.command(0xc5, 0, 0, 0, 1, 2, 18, 27, 255) == [0x40, 2, 0, 0, 0, 1, 2]
    assert m.command(0x4d, 0, 2, 18, 0x54, 0xf6)[:3] == [0x40, 2, 0]


def test_format_track() -> None:
    """Four bytes for each sector, in any order; the data fields are filled."""
    m = machine()
    image = m.drives[0].image
    before = bytes(image.data)
    m.seek(2)
    ids = b''.join(bytes((2, 1, r, 2)) for r in (1, 10, 2, 11, 3, 12, 4, 13, 5, 14, 6, 15, 7, 16, 8, 17, 9, 18))
    m.memory.write(BUFFER, ids)
    m.dma_for(10, 72)
    assert m.command(0x4d, 4, 2, 18, 0x54, 0xf6)[:3] == [4, 0, 0]
    first = (2 * 2 + 1) * 18 * 512
    assert image.data[first:first + 18 * 512] == b'\xf6' * 18 * 512
    assert image.data[:first] == before[:first] and image.data[first + 18 * 512:] == before[first + 18 * 512:]


@pytest.mark.parametrize('sectors, code, ident', [(9, 2, (0, 0, 1, 2)), (18, 3, (0, 0, 1, 3)), (18, 2, (5, 0, 1, 2)), (18, 2, (0, 0, 19, 2))])
def test_formats_that_an_image_cannot_have(sectors: int, code: int, ident: tuple[int, ...]) -> None:
    """Equipment check, and nothing has changed."""
    m = machine()
    before = bytes(m.drives[0].image.data)
    m.memory.write(BUFFER, bytes(ident) * sectors)
    m.dma_for(10, 4 * sectors)
    assert m.command(0x4d, 0, code, sectors, 0x54, 0xf6)[:3] == [0x50, 0, 0] and m.drives[0].image.data == before


@pytest.mark.parametrize('code, host, st2', [
    (0x51, b'\0\0\0\1' * 128, 8), (0x51, b'\0\0\0\xff' * 128, 8), (0x51, b'\0\0\0\7' * 128, 4),
    (0x59, b'\0\0\0\1' * 128, 8), (0x59, b'\0\0\1\0' * 128, 0), (0x59, b'\0' * 512, 4),
    (0x5d, b'\0\0\0\1' * 128, 8), (0x5d, b'\0' * 512, 0), (0x5d, b'\1' * 512, 4)])
def test_scan(code: int, host: bytes, st2: int) -> None:
    """SCAN EQUAL, LOW OR EQUAL, HIGH OR EQUAL of sector 2: SH when equal, SN when not satisfied."""
    m = machine()
    m.memory.write(BUFFER, host)
    m.dma_for(10, 512)
    result = m.command(code, 0, 0, 0, 2, 2, 2, 27, 1)
    assert result[:3] == [0, 0, st2]


def test_scan_goes_on_to_eot() -> None:
    """Sector 4 is found; with a step of 2, sector 3 is passed over."""
    m = machine()
    m.memory.write(BUFFER, b'\0\0\0\3' * 1024)
    for step in (1, 2):
        m.dma_for(10, 4096)
        assert m.command(0x51, 0, 0, 0, 2, 2, 8, 27, step)[1:] == [0, 8, 0, 0, 4, 2]


# --- drives and disks --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', list(SIZES))
def test_every_format_is_read_to_the_end(name: str) -> None:
    """First and last sector, at the disk's rate and no other."""
    m = Machine(Image(name))
    f = BY_SIZE[SIZES[name]]
    m.start()
    assert m.drives[0].kind.cmos == {'160K': 1, '180K': 1, '320K': 1, '360K': 1, '720K': 4, '1.2M': 2, '1.44M': 4, '1.68M': 4, '2.88M': 5}[name]
    good = []
    for rate in range(4):
        m.out(CCR, rate)
        if m.command(0x4a, 0)[0] == 0: good.append(rate)
    assert good == ([1, 2] if f.inches == 5.25 and f.rate == 2 else [f.rate])
    m.out(CCR, f.rate)
    m.seek(f.cylinders - 1)
    m.dma_for(6, 512)
    assert m.command(0xc6, (f.heads - 1) << 2, f.cylinders - 1, f.heads - 1, f.sectors, 2, f.sectors, 27, 255)[0] & 0xc0 == 0
    assert m.got(1) == [SIZES[name] - 1]
    m.dma_for(6, 512)
    assert m.command(0x46, 0, f.cylinders - 1, 0, f.sectors + 1, 2, 99, 27, 255)[:2] == [0x40, 4]


def test_a_1_2m_drive_steps_twice_for_40_tracks() -> None:
    """Head at cylinder 14: track 7, at 300 kbit/s."""
    m = machine('1.2M')
    m.drives[0].insert(Image('360K'))
    m.out(CCR, 1)
    m.seek(14)
    assert m.command(0x4a, 0)[3] == 7
    m.dma_for(6, 512)
    assert m.command(0x46, 0, 7, 0, 1, 2, 9, 42, 255)[:2] == [0, 0] and m.got(1) == [7 * 18] and m.drives[0].cylinder == 14


def test_disk_change() -> None:
    """DIR bit 7: from a change until a step with a disk in the drive; a RECALIBRATE on track 0 does not step."""
    m = machine()
    m.send(7, 0)
    m.wait()
    m.command(8)
    assert m.read(DIR) & 0x80
    m.seek(1)
    assert not m.read(DIR) & 0x80
    m.drives[0].eject()
    assert m.read(DIR) & 0x80 and m.drives[0].image is None
    m.seek(2)
    assert m.read(DIR) & 0x80
    m.drives[0].insert(Image('720K'))
    assert m.read(DIR) & 0x80
    m.seek(3)
    assert not m.read(DIR) & 0x80
    m.out(CCR, 2)
    assert m.command(0x4a, 0)[:4] == [0, 0, 0, 3]


def test_eject_during_a_transfer() -> None:
    m = machine()
    m.dma_for(6, 512 * 8)
    m.send(0xe6, 0, 0, 0, 1, 2, 18, 27, 255)
    m.time += 150_000
    m.clock.run_due()
    m.drives[0].eject()
    m.wait()
    assert m.result()[:2] == [0x40, 1]


def test_written_disks_are_flushed_when_the_motor_stops_and_when_they_leave() -> None:
    m = machine()
    image = m.drives[0].image
    for leave in (lambda: m.out(DOR, 0x0c), lambda: m.drives[0].eject()):
        m.out(DOR, 0x1c)
        m.dma_for(10, 512)
        assert m.command(0xc5, 0, 0, 0, 1, 2, 18, 27, 255)[0] == 0
        leave()
    assert image.flushes == 2 and image.closed
    m.out(DOR, 0x1c)
    m.out(DOR, 0x0c)
    assert image.flushes == 2


def test_disks_that_do_not_fit() -> None:
    """One line says what would; the disk in the drive stays."""
    drive = Drive(Image('1.44M'))
    with pytest.raises(EmuError, match='a 1.2M disk does not fit into a 1.44M drive'): drive.insert(Image('1.2M'))
    assert drive.image
    odd = Image()
    odd.sectors = 2881
    with pytest.raises(EmuError, match=r'f.img: 2881 sectors .* 1.44M \(1474560\)'): Drive(odd)
    assert Drive().kind.name == '1.44M'


def test_cmos() -> None:
    """10h: kinds of A and B; 14h: whether and how many."""
    a, b = Drive(Image('1.44M')), Drive(Image('360K'))
    assert cmos([]) == {0x10: 0, 0x14: 0} and cmos([a, None]) == {0x10: 0x40, 0x14: 1} and cmos([a, b]) == {0x10: 0x41, 0x14: 0x41}


CODES = [0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x19, 0x1d]
SMALL = st.one_of(st.sampled_from([0, 1, 2, 3, 9, 18, 79, 255]), st.integers(0, 255))
STEPS = st.one_of(
    st.tuples(st.just('command'), st.sampled_from(CODES), st.sampled_from([0, 0x40, 0x60, 0x80, 0xc0, 0xe0]), st.lists(SMALL, min_size=9, max_size=9)),
    st.tuples(st.just('out'), st.integers(0x3f0, 0x3f7), SMALL),
    st.tuples(st.just('in'), st.integers(0x3f0, 0x3f7), st.integers(1, 600)),
    st.tuples(st.just('dor'), st.sampled_from([0x0c, 0x1c, 0x2d, 0x3c, 0x14, 0])),
    st.tuples(st.just('dma'), st.sampled_from([6, 10, 2, 14, 0x16, 0x26, 0xc6]), st.integers(1, 20000)),
    st.tuples(st.just('mask'), SMALL),
    st.tuples(st.just('time'), st.one_of(st.integers(0, 200_000), st.integers(0, 10 ** 9))),
    st.tuples(st.just('disk'), st.sampled_from([None, '1.44M', '720K', '1.68M']), st.booleans(), st.booleans()))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_nothing_a_guest_does_raises(steps: list[tuple]) -> None:
    """Commands with any arguments at any time, with or without DMA, disks that come and go and fail; the state stays one of the data sheet's."""
    m = Machine(Image('720K'), Image('1.2M', readonly=True))
    m.start()
    for kind, *rest in steps:
        if kind == 'command':
            for v in (rest[0] | rest[1], *rest[2]):
                if m.read(MSR) & 0xc0 == 0x80: m.out(FIFO, v)
        elif kind == 'out': m.out(*rest)
        elif kind == 'in':
            for _ in range(rest[1]): assert 0 <= m.read(rest[0]) <= 255
        elif kind == 'dor': m.out(DOR, rest[0])
        elif kind == 'dma': m.dma_for(*rest)
        elif kind == 'mask': m.out(15, rest[0])
        elif kind == 'disk':
            m.drives[0].eject()
            if rest[0]:
                m.drives[0].insert(Image(rest[0], readonly=rest[1]))
                m.drives[0].image.broken = rest[2]
        else:
            m.time += rest[0]
            m.clock.run_due()
            deadline = m.clock.next_deadline()
            assert deadline is None or deadline > m.time
        fdc = m.fdc
        assert m.irq == (fdc.interrupting and bool(fdc.dor & 8)) and len(m.clock.timers) <= 5
        assert (fdc.phase == 'result') == bool(fdc.result) and (not fdc.exchanging or fdc.phase == 'execution')
        assert fdc.phase != 'execution' or fdc.timer or fdc.by_hand()
        assert m.read(MSR) & 0xd0 in (0, 0x10, 0x80, 0x90, 0xd0)
