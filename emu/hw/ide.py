"""An IDE channel: the registers of two devices, and the protocols by which data moves (ATA/ATAPI-6, T13 1410D revision 3b, clauses 7 and 9).

Every device keeps registers of its own; the host writes those of both and reads those of the one that DEV selects. A command takes its time (COMMAND, and
GAP from one block of data to the next): BSY is set, and a timer goes on. A device that is not there reads as zeros; a channel without any, too. DMA
waits for a bus master (piix_ide.py) that takes `transfer`. Left out: overlapped and queued commands, the drive's mechanics (all takes the same time), 8-bit
transfers of CompactFlash, a host that reads or writes registers while BSY or DRQ forbid it (writes are lost, reads see what there is). The devices: ata.py, atapi.py.
"""
from collections.abc import Iterator
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer

BSY, DRDY, DF, DSC, DRQ, ERR = 0x80, 0x40, 0x20, 0x10, 0x08, 0x01  # status
UNC, IDNF, ABRT = 0x40, 0x10, 0x04  # error
FEATURES, COUNT, LOW, MID, HIGH, DEVICE, COMMAND = range(1, 8)  # registers; reading 1 and 7: error and status
LBA, DEV = 0x40, 0x10  # device register
NIEN, SRST, HOB = 2, 4, 0x80  # device control register
DEVICE_RESET, DIAGNOSTIC = 0x08, 0x90  # commands that are not as others

START, GAP, RESET = 4_000, 2_000, 50_000  # ns: from a command to what it does, between blocks of data, of a reset


class Transfer:
    """The data phase of a DMA command: `left` bytes from `chunks`, or from memory where chunks is None. `done` gets what came from memory."""

    def __init__(self, left: int, done: Callable[[bytes], None], chunks: Iterator[bytes] | None = None):
        self.left, self.done, self.chunks = left, done, chunks
        self.chunk, self.at = memoryview(b''), 0  # what is to be taken
        self.parts: list[bytes | memoryview] = []  # what was put

    def take(self, n: int) -> memoryview:
        """The next n of the bytes that are left; OSError where the medium fails."""
        assert self.chunks is not None
        while self.at + n > len(self.chunk):
            self.chunk, self.at = memoryview(bytes(self.chunk[self.at:]) + next(self.chunks)), 0
        self.at += n
        self.left -= n
        return self.chunk[self.at - n:self.at]

    def put(self, data: bytes | memoryview) -> None:
        """Bytes from memory, which must not change before all have come."""
        self.parts.append(data)
        self.left -= len(data)


class Device:
    """What a disk and a CD-ROM have in common. A subclass gives `signature`, `commands` and what `reset` does to its own state."""

    signature = (1, 1, 0, 0)  # of registers COUNT to HIGH
    ready = DRDY | DSC  # status when there is nothing to do

    def __init__(self) -> None:
        self.channel: Channel
        self.commands: dict[int, Callable[[], None]] = {}
        self.now, self.before = bytearray(8), bytearray(8)  # registers; `before`: what the second last write put there (48-bit commands)
        self.status = self.error = 0
        self.asked = False  # wants to interrupt: INTRQ, if it is selected and nIEN allows
        self.asleep = False
        self.timer: Timer | None = None
        self.buffer, self.at = bytearray(), 0  # the block of data that the host reads or writes
        self.inwards = True  # towards the host
        self.then: Callable[[], None] | None = None  # when it has
        self.post_signature()

    # --- commands ------------------------------------------------------------------------------------------------------------------

    def start(self, command: int) -> None:
        """The host wrote the command register."""
        self.asked = False
        self.error = 0
        self.busy(START, self.commands.get(command, self.abort))

    def busy(self, time: int, then: Callable[[], None]) -> None:
        """BSY until `then`."""
        self.status = BSY
        self.cancel()
        self.timer = self.channel.clock.at(self.channel.clock.now() + time, then)

    def done(self) -> None:
        """The command has ended well."""
        self.status = self.ready
        self.ask()

    def fail(self, error: int) -> None:
        """The command has ended with ERR."""
        self.status, self.error = self.ready | ERR, error
        self.ask()

    def abort(self) -> None:
        """ABRT: a command or parameter that is not known."""
        self.fail(ABRT)

    def ask(self) -> None:
        """Raises INTRQ."""
        self.asked = True
        self.channel.update()

    # --- data through the data register -----------------------------------------------------------------------------

    def offer(self, data: bytes, then: Callable[[], None] | None) -> None:
        """A block for the host to read; `then` follows with BSY set, or the command is over."""
        self.buffer, self.at, self.inwards, self.then = bytearray(data), 0, True, then
        self.status = self.ready | DRQ
        self.ask()

    def expect(self, size: int, then: Callable[[], None], interrupt: bool) -> None:
        """A block for the host to write; it is in `buffer` when `then` is called."""
        self.buffer, self.at, self.inwards, self.then = bytearray(size), 0, False, then
        self.status = self.ready | DRQ
        if interrupt: self.ask()

    def move(self, memory: memoryview) -> None:
        """Fills memory from the data register, or takes what is in it; more than the block has reads as ones or is lost."""
        n = min(len(memory), len(self.buffer) - self.at)
        if self.inwards:
            memory[:n] = memoryview(self.buffer)[self.at:self.at + n]
            if n < len(memory): memory[n:] = b'\xff' * (len(memory) - n)
        else: self.buffer[self.at:self.at + n] = memory[:n]
        self.at += n
        if self.at < len(self.buffer): return
        if self.then: self.busy(GAP, self.then)
        else: self.status = self.ready

    # --- data by DMA ------------------------------------------------------------------------------------------------

    def transfer(self, transfer: Transfer) -> None:
        """Waits for the bus master."""
        self.status = BSY
        self.channel.request(self, transfer)

    def transfer_failed(self, error: OSError) -> None:
        """The medium cannot be read."""
        self.fail(ABRT)

    # --- reset ---------------------------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Forgets what was to happen."""
        if self.timer: self.channel.clock.cancel(self.timer)
        self.timer = None

    def reset(self, hard: bool) -> None:
        """SRST or RESET- is asserted: BSY."""
        self.cancel()
        self.channel.drop(self)
        self.status, self.error, self.asked, self.asleep = BSY, 0, False, False

    def post_signature(self) -> None:
        """The registers after a reset or a diagnosis: no error, the signature."""
        self.error = 1
        self.now[COUNT:HIGH + 1] = bytes(self.signature)
        self.now[DEVICE] = 0
        self.status = self.ready

    def diagnosed(self) -> None:
        """EXECUTE DEVICE DIAGNOSTIC has ended."""
        self.post_signature()
        self.ask()


class Channel:
    """Two places for devices at `base` (8 ports) and `control` (the device control register); `irq` is the channel's line.

    `interrupted` and `requested` are the bus master's: INTRQ went up, a transfer waits.
    """

    def __init__(self, bus: Bus, clock: Clock, irq: Callable[[bool], None], base: int, control: int, devices: tuple[Device | None, Device | None] = (None, None)):
        self.clock, self.irq, self.base = clock, irq, base
        self.devices = devices
        self.selected = 0
        self.control = 0
        self.level = False
        self.waiting: tuple[Device, Transfer] | None = None
        self.interrupted: Callable[[], None] = lambda: None
        self.requested: Callable[[], None] = lambda: None
        for device in devices:
            if device: device.channel = self
        bus.add_ports(base, 4, self.read_data, self.write_data, True, self.read_block, self.write_block)
        bus.add_ports(base + 1, 7, self.read, self.write)
        bus.add_ports(control, 1, self.read_alternate, self.write_control)

    def reset(self) -> None:
        """RESET-."""
        self.selected = self.control = 0
        for device in self.devices:
            if device:
                device.now[:] = device.before[:] = bytes(8)
                device.reset(True)
                device.post_signature()
        self.update()

    @property
    def device(self) -> Device | None:
        """The one that DEV selects."""
        return self.devices[self.selected]

    def update(self) -> None:
        """INTRQ."""
        device = self.devices[self.selected]
        level = device is not None and device.asked and not self.control & NIEN
        if level != self.level:
            self.level = level
            if level: self.interrupted()
            self.irq(level)

    # --- registers -------------------------------------------------------------------------------------------------------------------

    def read(self, port: int, w: int) -> int:
        """Registers 1 to 7; reading the status takes INTRQ back."""
        n, device = port - self.base, self.devices[self.selected]
        if device is None: return 0
        if n == COMMAND:
            status = device.status
            if device.asked:
                device.asked = False
                self.update()
            return status
        if n == DEVICE: return device.now[n] | 0xa0
        if self.control & HOB: return device.before[n]
        return device.error if n == FEATURES else device.now[n]

    def write(self, port: int, w: int, v: int) -> None:
        """Registers of both devices; a command is for the selected one, a diagnosis for both."""
        n = port - self.base
        self.control &= ~HOB
        if n == COMMAND: return self.command(v)
        if n == DEVICE: self.selected = v >> 4 & 1
        for device in self.devices:
            if device and not device.status & (BSY | DRQ) or device and n == DEVICE:
                device.before[n], device.now[n] = device.now[n], v
        self.update()
        return None

    def command(self, v: int) -> None:
        """The command register."""
        device = self.device
        if v == DIAGNOSTIC and not any(d and d.status & (BSY | DRQ) for d in self.devices):
            self.selected = 0
            for n, d in enumerate(self.devices):
                if d:
                    d.asked = False
                    d.busy(RESET, d.diagnosed if n == 0 else d.post_signature)
        elif device and not device.asleep and (not device.status & (BSY | DRQ) or v == DEVICE_RESET): device.start(v)
        self.update()

    def read_alternate(self, port: int, w: int) -> int:
        """The status, without effect on INTRQ."""
        device = self.devices[self.selected]
        return device.status if device else 0

    def write_control(self, port: int, w: int, v: int) -> None:
        """nIEN, SRST, HOB; a software reset ends some time after SRST was taken back."""
        was, self.control = self.control, v
        if v & ~was & SRST:
            for device in self.devices:
                if device: device.reset(False)
        if was & ~v & SRST:
            self.selected = 0
            for device in self.devices:
                if device: device.busy(RESET, device.post_signature)
        self.update()

    # --- the data register -----------------------------------------------------------------------------------------------------------

    def ready(self, inwards: bool) -> Device | None:
        """The device, if it has data to move."""
        device = self.devices[self.selected]
        return device if device and device.status & DRQ and not device.status & BSY and device.inwards == inwards else None

    def read_data(self, port: int, w: int) -> int:
        """16 or 32 bits; of 8 the other half of the word is lost."""
        memory = bytearray(b'\xff\xff\xff\xff' if w == 32 else b'\xff\xff')
        if device := self.ready(True): device.move(memoryview(memory))
        return int.from_bytes(memory, 'little')

    def write_data(self, port: int, w: int, v: int) -> None:
        """16 or 32 bits; 8 are a word."""
        if device := self.ready(False): device.move(memoryview(v.to_bytes(4 if w == 32 else 2, 'little')))

    def read_block(self, port: int, w: int, memory: memoryview) -> None:
        """A `rep ins`."""
        if w == 8: return self.by_bytes(self.read_data, memory)
        device = self.ready(True)
        if device: device.move(memory)
        else: memory[:] = b'\xff' * len(memory)
        return None

    def by_bytes(self, read: Callable[[int, int], int], memory: memoryview) -> None:
        """A `rep insb`."""
        for k in range(len(memory)): memory[k] = read(self.base, 8) & 0xff

    def write_block(self, port: int, w: int, memory: memoryview) -> None:
        """A `rep outs`."""
        device = self.ready(False)
        if w == 8:
            for byte in memory: self.write_data(port, 8, byte)
        elif device: device.move(memory)

    # --- DMA ---------------------------------------------------------------------------------------------------------------------------

    def request(self, device: Device, transfer: Transfer) -> None:
        """DMARQ: a device waits for the bus master."""
        self.waiting = device, transfer
        self.requested()

    def drop(self, device: Device) -> None:
        """It waits no more."""
        if self.waiting and self.waiting[0] is device: self.waiting = None
