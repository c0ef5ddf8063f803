"""The machine: memory, CPU, devices and the serial lines put together, and the loop that runs them until something ends it.

Guest time follows the host's clock, or with --icount the retired instructions (TICK nanoseconds each; a halted CPU skips to the next timer).
Where the host does something else between two looks at the clock, guest time catches up by and by: Linux gives up on a TSC that leaps while it polls a timer.
"""
import contextlib
import gc
import time
from typing import Any, Callable, Iterable, Sequence

from emu import bios, boot, cache, guests, stats
from emu.bios import Bios, post
from emu.boot import firmware
from emu.boot.acpi import Hardware
from emu.cpu import Cpu
from emu.disk import open_image
from emu.errors import EmuError, warn
from emu.hw import floppy
from emu.hw.acpi import PMBA, SMBBA
from emu.hw.ata import Disk
from emu.hw.atapi import Cdrom
from emu.hw.pc import Nic, Pc
from emu.hw.rtc import SHUTDOWN_STATUS
from emu.hw.speaker import Recorder
from emu.hw.uart import Uart
from emu.isa.clock import NEVER, RATE
from emu.isa.flags import IF
from emu.jit import build, optimise
from emu.log import Log
from emu.mem.memory import Memory
from emu.net import Wire
from emu.net.connect import make_wire, plug_in
from emu.options import Drive, Options
from emu.server.commands import Session
from emu.server.control import Control
from emu.server.display import Display, window
from emu.server.loop import Loop, signals
from emu.server.shared_line import SharedLine
from emu.server.typist import Typist
from emu.tcache.archive import Archive
from emu.terminal import File, Line, open_serial

TICK = 10  # nanoseconds of guest time an instruction takes under --icount
DOZE = 50_000  # nanoseconds: shorter waits, as for a disk, pass awake; Linux wakes a sleeper by so much too late (timerslack_ns), and on a busy host much later
POLL = 1_000_000  # nanoseconds of host time between two looks at the event loop while the CPU runs
NIGHT = 20_000_000  # nanoseconds of host time after which a sleep with ticks is over
QUEUE = 4096  # bytes for the guest's serial port that may wait; a pipe with more waits itself
OWN, SEABIOS = 'own', 'seabios'  # of -bios
EPOCH = 1136246400.0  # the RTC's time at power-on under --icount


def plug(options: Options) -> dict[int, Disk | Cdrom]:
    """The IDE drives by their index, with their images open; the secondary master is an empty CD-ROM where nothing else is, as in QEMU."""
    made: dict[int, Disk | Cdrom] = {}
    for n, drive in ({2: Drive('', media='cdrom')} | options.plugged('ide')).items():
        image = open_image(drive) if drive.file else None
        if drive.media == 'cdrom': made[n] = Cdrom(image, f'EMU{n + 1:05}')
        elif image: made[n] = Disk(image, f'EMU{n + 1:05}')
        else: raise EmuError(f"{('-hda', '-hdb', '-hdc', '-hdd')[n]}: '' is no file")
    return made


def floppies(options: Options) -> dict[int, floppy.Drive]:
    """The floppy drives: 0 is A, 1 is B."""
    made: dict[int, floppy.Drive] = {}
    for n, drive in options.plugged('floppy').items():
        image = open_image(drive) if drive.file else None
        try:
            made[n] = floppy.Drive(image)
        except EmuError:
            if image: image.close()
            raise
    return made


def close(drives: Iterable[Disk | Cdrom | floppy.Drive]) -> None:
    """The machine is off: gives the images back."""
    for drive in drives:
        if isinstance(drive, floppy.Drive): drive.settle()
        if drive.image: drive.image.close()


def boot_rom(options: Options) -> bytes | None:
    """iPXE for the network card, where there is a BIOS to run it."""
    if options.kernel or options.bios == OWN or not any(nic.model == 'ne2k_pci' for nic in options.networks.nics): return None
    return guests.get('firmware')['pxe-ne2k_pci.rom'].read_bytes()


class Machine:
    """One virtual machine, made from Options."""

    def __init__(self, options: Options, loop: Loop, lines: Sequence[Line]):
        self.options, self.loop = options, loop
        self.paused: int | None = None  # since when, on the host's clock
        self.rate = 0.02  # instructions a nanosecond, measured
        self.code: int | None = None  # exit code, once something ends the run
        self.spent = {'running': 0.0, 'idle': 0.0}
        self.began = time.perf_counter()
        self.memory = Memory(options.memory)
        self.entry = load(self.memory, options)
        self.cpu = Cpu(self.memory, None, options.cpu, options.engine, options.tcache_size, options.tcache_policy, dict(options.tcache_rings), archive(options))
        if options.trace: self.cpu.record(options.trace)
        self.cpu.state.tick = TICK if options.icount else 0
        self.cpu.state.epoch = time.monotonic_ns()  # moves on while guest time stands still
        ide, diskettes = plug(options), floppies(options)
        self.drives: dict[str, Disk | Cdrom | floppy.Drive] = {f'floppy{n}': drive for n, drive in diskettes.items()}  # by their names in QEMU
        self.drives.update({f'ide{n // 2}-{"hd" if isinstance(drive, Disk) else "cd"}{n % 2}': drive for n, drive in ide.items()})
        debugcon = [(port, File(path, 'ab').send) for port, path in options.debugcon]
        kind, _, paper = options.parallel.partition(':')
        parallel = File(paper).send if kind == 'file' else len if kind == 'null' else None
        self.recorder = Recorder(options.speaker) if options.speaker else None
        serial = [None if spec == 'none' else line.send for spec, line in zip(options.serial, lines)]
        cards, epoch = options.networks.cards(), EPOCH if options.icount else time.time()
        self.wires: list[Wire] = [make_wire(card, options.networks, self.now, epoch) for card in cards]
        self.pc = Pc(self.memory, self.now, self, serial, rtc_epoch=EPOCH if options.icount else None, debugcon=debugcon, debug_exit=options.debug_exit,
                     firmware=firmware.told(options.memory, options.boot, self.hardware), parallel=parallel,
                     ide=[ide.get(n) for n in range(4)], floppies=[diskettes.get(n) for n in range(2)], vga=options.vga, vgabios=vga_bios(options),
                     nics=[Nic(card.mac or b'', wire.transmit, card.iobase, card.irq) for card, wire in zip(cards, self.wires)], boot_rom=boot_rom(options))
        for card, wire, nic in zip(cards, self.wires, self.pc.nics): plug_in(card, options.networks, wire, nic, loop, self.pc.clock)
        self.cpu.bus, self.cpu.ferr = self.pc.bus, self.pc.coprocessor.error
        if self.recorder: self.pc.speaker.listen(self.recorder.on_change)
        self.cpu.state.pic = self.pc.pic.address
        self.counter = self.pc.pit.channels[0]
        if options.engine != 'eager': self.cpu.state.pit, self.pc.clock.counter = self.counter.address, None
        if self.pc.vga: self.cpu.state.vga = self.pc.vga.memory.address
        if options.log: Log(options.log, options.log_file, self.cpu, self.pc.bus)
        self.pc.clock.sooner = self.sooner
        self.power_button = self.pc.pm.power_button
        self.listeners: list[Callable[[str, dict[str, Any]], object]] = []  # are told what happens to the machine, by the control socket's names
        self.resetting: str | None = None  # 'soft': the CPU alone, which the BIOS sorts out; 'hard': all
        self.polled = 0  # when the event loop was last looked at, on the host's clock
        for n, uart in self.pc.uarts.items(): self.connect(uart, lines[n])
        self.bios = Bios(self.pc, self.cpu.state, self.memory, self.drives, self.hardware, options.boot.once or options.boot.order) if self.entry or options.bios == OWN else None
        if self.entry: self.enter(self.entry)

    # --- what the devices see of the CPU ---------------------------------------------------------------------------------------

    def set_irq(self, level: bool) -> None:
        self.cpu.set_irq(level)

    def nmi(self) -> None:
        self.cpu.nmi()

    def set_a20(self, enabled: bool) -> None:
        self.cpu.set_a20(enabled)

    def reset(self, hard: bool = False) -> None:
        """A device pulls RESET: done when the slice has ended."""
        self.resetting = 'hard' if hard or self.entry or self.resetting == 'hard' else 'soft'
        self.cpu.end_slice()

    def ignore_ferr(self) -> None:
        self.cpu.state.ignne = 1

    def power_off(self) -> None:
        """Soft off ends the run; with -no-shutdown the guest sees that it did not happen."""
        if self.options.shutdown: self.exit(0)

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Something has happened."""
        for listener in self.listeners: listener(event, data)

    def exit(self, code: int) -> None:
        self.code = code
        self.cpu.end_slice()

    # --- time ----------------------------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Guest nanoseconds since power-on."""
        return self.cpu.now() if self.paused is None or self.options.icount else self.cpu.state.time

    def pause(self) -> None:
        """The CPU and guest time stand still; what guest time was behind, it need not catch up with."""
        if self.paused: return
        self.paused = time.monotonic_ns()
        self.cpu.state.epoch = self.paused - self.cpu.state.time
        self.tell('STOP', {})

    def resume(self) -> None:
        """They go on."""
        if not self.paused: return
        self.cpu.state.epoch += time.monotonic_ns() - self.paused
        self.paused = None
        self.tell('RESUME', {})

    def sooner(self) -> None:
        """A timer was set that is due before all others: does the slice end in time for it?"""
        self.look_ahead()
        m = self.cpu.state
        if min(m.deadline, self.counter.due) < m.slice_end: self.cpu.end_slice()

    def look_ahead(self) -> None:
        """Tells compiled code of Python's earliest timer (emu/jit/pacing.py)."""
        self.cpu.state.deadline = self.pc.next_deadline() or NEVER

    # --- the run ---------------------------------------------------------------------------------------------------------------------

    def enter(self, entry: boot.Entry) -> None:
        """Brings CPU and devices to where firmware leaves them to a kernel."""
        assert self.bios
        self.pc.pci.assign()
        post.screen(self.bios)
        firmware.stand_in(self.memory, self.pc.pci.devices[0, 0], self.pc.pm, self.hardware)
        boot.enter(self.cpu.state, entry)

    def run(self) -> int:
        """Runs until the guest, the user or an error ends it; the exit code."""
        while self.code is None and not self.loop.quit:
            if self.paused: self.loop.poll(None)
            else: self.step()
        if self.recorder: self.recorder.close(self.pc.pit.channels[2].tick())
        self.tell('SHUTDOWN', {'reason': 'host' if self.code is None else 'guest', 'code': self.code or 0})
        self.cpu.close()
        if self.options.stats:
            stats.report(self.stats(), self.options.stats)
        close(self.drives.values())
        for wire in self.wires: wire.close()
        return self.code or 0

    def step(self) -> None:
        """Input, timers, interrupts, then slices or a sleep, until Python has something to do."""
        m = self.cpu.state
        if time.monotonic_ns() - self.polled > POLL:
            self.poll()
            if self.paused: return None
        self.pc.run_due()
        if self.resetting or m.shutdown:
            return self.power_cycle('triple fault' if m.shutdown else 'reset')
        self.cpu.interrupt(self.pc.acknowledge)
        if m.halted:
            return self.sleep()
        self.look_ahead()
        m.rate = max(int(self.rate * (1 << RATE)), 1)
        started = time.monotonic_ns()
        self.cpu.begin()
        done = self.cpu.run(self.cpu.allot())
        spent = time.monotonic_ns() - started
        self.spent['running'] += spent / 1e9
        if done > 1000:
            self.rate += (done / spent - self.rate) / 8
        if m.halted and not (m.irq or m.nmi or self.resetting):
            return self.sleep()
        return None

    def poll(self, timeout: float | None = 0) -> bool:
        """Serves the event loop; whether there was something to do."""
        served = self.loop.poll(timeout)
        self.polled = time.monotonic_ns()
        return served

    def connect(self, uart: Uart, line: Line) -> None:
        """A serial port's other end: it is read only while not too much waits for the guest."""
        line.connect(self.loop, uart.receive, lambda: len(uart.queue) < QUEUE)
        uart.drained = line.resume

    def sleep(self) -> None:
        """The CPU is halted: waits for timers and input, for a while if all that they bring is a tick that is compiled code's, after which the CPU is halted again."""
        if not self.cpu.state.eflags & IF and self.options.shutdown:
            warn('the CPU is halted for good (HLT with interrupts off)')
            self.code = 0
            return
        m = self.cpu.state
        self.look_ahead()
        if self.options.icount and (due := min(m.deadline, self.counter.due)) < NEVER:
            m.skipped += max(due - self.now(), 0)
            return
        left, started, by_python = self.cpu.rest(), time.monotonic_ns(), not m.pit or self.cpu.each_block
        end = started + NIGHT
        while 0 <= left and started < end:
            served = self.nap(left)
            woken = time.monotonic_ns()
            self.spent['idle'] += (woken - started) / 1e9
            if served or by_python:
                if not self.paused: self.cpu.wake()
                return
            left = self.cpu.doze()
            started = time.monotonic_ns()
            self.spent['running'] += (started - woken) / 1e9

    def nap(self, nanoseconds: int) -> bool:
        """Waits so long; True: it was served something before."""
        if nanoseconds > DOZE: return self.poll(nanoseconds / 1e9 if nanoseconds < NEVER >> 2 else None)
        end = time.monotonic_ns() + nanoseconds
        while time.monotonic_ns() < end: pass
        return end - self.polled > POLL and self.poll()

    def power_cycle(self, why: str) -> None:
        """RESET: everything starts over, or the processor alone, or the run ends. A processor that shuts down is reset by the chipset (82371SB, "INIT"), which
        286 programs use to get back to real mode: they leave a reason in the CMOS, and a BIOS that looks there."""
        m, faulted = self.cpu.state, why == 'triple fault'
        if faulted and (self.entry or not self.options.reboot or not self.pc.rtc.cmos[SHUTDOWN_STATUS]):
            warn(f'triple fault at CS:EIP {m.selector[1]:04X}:{m.eip:08X}, last exception {m.fault_vector}')
        if faulted and (self.entry or not self.options.reboot): self.code = 1
        elif self.resetting == 'hard' and not self.options.reboot: self.code = 0
        if self.code is not None: return
        if self.resetting == 'hard':
            self.pc.reset()
            for wire in self.wires: wire.reset()
            self.pc.rtc.set_boot_order(self.options.boot.order)
            self.tell('RESET', {})
        self.resetting = None
        self.cpu.reset()
        self.pc.a20.set(True)
        if self.entry: self.enter(load_kernel(self.memory, self.options))

    def hardware(self) -> Hardware:
        """What the ACPI tables tell of."""
        pm = self.pc.pm
        return Hardware(self.options.memory, pm.base(PMBA) or firmware.PM_BASE, pm.base(SMBBA) or firmware.SMB_BASE, tuple(self.pc.uarts), True, self.options.parallel != 'none')

    def stats(self) -> dict[str, dict[str, Any]]:
        """What --stats reports."""
        total = time.perf_counter() - self.began
        guest = {'instructions': self.cpu.retired(), 'nanoseconds': self.now() if self.options.icount else None}
        return {'guest': {k: v for k, v in guest.items() if v is not None}, 'cache': self.cpu.statistics(),
                'devices': {name: dict(drive.image.counts) for name, drive in self.drives.items() if drive.image}
                | {f'net{n}': dict(wire.counts) for n, wire in enumerate(self.wires)},
                'time': {**self.spent, **self.cpu.times(), 'total': total}}


def load_kernel(memory: Memory, options: Options) -> boot.Entry:
    """Puts the kernel into memory; where the CPU starts."""
    assert options.kernel
    return boot.load_kernel(memory, options.kernel, options.initrd, options.append, options.vga != 'none')


def load(memory: Memory, options: Options) -> boot.Entry | None:
    """Puts the kernel or the BIOS into memory; where the CPU starts, None: at its reset vector."""
    if options.kernel: return load_kernel(memory, options)
    if options.bios == OWN: firmware.place_bios(memory, bios.image())
    else: firmware.load_bios(memory, options.bios if options.bios != SEABIOS else str(guests.get('firmware')['bios-256k.bin']))
    return None


def vga_bios(options: Options) -> bytes | None:
    """What the display adapter's ROM holds. Where there is no BIOS, nobody would run it."""
    if options.kernel or options.vga == 'none' or options.bios == OWN: return None
    return firmware.read_vga_bios(options.vgabios or str(guests.get('firmware')['vgabios-stdvga.bin']))


def archive(options: Options) -> Archive | None:
    """The translations of earlier runs."""
    return Archive(cache.directory('archive'), optimise.version(), options.archive) if options.archive and options.engine == 'optimise' else None


def run_machine(options: Options) -> int:
    """Runs a machine in this process, its serial lines and its screen where the options say; the exit code."""
    vga_bios(options)
    load(Memory(options.memory), options)  # a file that is no kernel or BIOS is told before anything is compiled
    close([*plug(options).values(), *floppies(options).values()])  # nor without its disks
    if options.stats and options.stats != '-': File(options.stats, 'ab').close()  # nor is a run made whose end cannot be told
    with contextlib.ExitStack() as stack:
        loop = Loop()
        stack.callback(loop.close)
        control = Control(options.control) if options.control else None
        if control: stack.callback(control.close)
        display = Display(options.name)
        stack.callback(display.close)
        for address in options.display_listen: display.listen(address)
        build.setup(options.engine)
        lines: list[Line] = []
        for spec in options.serial or ('none',):
            lines.append(SharedLine() if spec == 'display' else open_serial(spec))
            stack.callback(lines[-1].close)
        stack.callback(signals(loop))
        gc.freeze()  # what is there stays; and the cache's thousands of blobs form no cycles
        gc.set_threshold(100_000, 50, 1000)
        try:
            machine = Machine(options, loop, lines)
            session = Session(machine, Typist(machine.pc.clock, machine.pc.i8042))
            if control: control.serve(loop, session)
            display.serve(loop, session, {n: line for n, line in enumerate(lines) if isinstance(line, SharedLine)})
            if options.display == 'sdl': stack.enter_context(window(display, options.name))
            code = machine.run()
            gc.freeze()  # or Python's end looks once more at all there is
            return code
        except MemoryError:
            raise EmuError(f'-m: this host has no {options.memory >> 20} MB to give') from None
