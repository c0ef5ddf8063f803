"""Options: everything a run can be told. The command line fills it (emu/cli.py), so may a test; the machine reads it.

What no machine can be made of (2 TiB of RAM, an unknown processor) is refused here, whoever asks.
"""
from dataclasses import dataclass, replace
from pathlib import Path

from emu.boot.firmware import Boot
from emu.errors import EmuError
from emu.isa.models import MODELS
from emu.mem.memory import RAM_MAX
from emu.net.options import Networks
from emu.server.listening import Address
from emu.tcache import archive

LOGS = ('in_asm', 'exec', 'int', 'io', 'unimp')  # of -d
POLICIES = ('flush', 'fifo', 'fifo-medium', 'lru', 'adaptive', 'generational')  # emu/tcache/policies.py
TCACHE_MIN, TCACHE_MAX = 1 << 16, 1 << 30  # bytes
VGAS = ('std', 'none')
DISPLAYS = ('none', 'sdl')
ENGINES = ('eager', 'interpreter', 'stencils', 'optimise')  # each uses those before it as well, but for eager

PLACES = {'ide': 4, 'floppy': 2}  # drives that an interface has


@dataclass(frozen=True)
class Drive:
    """An image and where it is plugged in. IDE: index 0 and 1 are the primary channel's master and slave, 2 and 3 the secondary's; floppy: A and B."""

    file: str  # '': a drive without a medium
    interface: str = 'ide'  # of PLACES
    index: int | None = None  # None: the first that is free
    media: str = 'disk'  # disk, cdrom
    readonly: bool = False
    snapshot: bool = False  # what the guest writes is gone at the end of the run


@dataclass(frozen=True)
class Options:
    """One field for each option of `emu run`; the defaults are the command's."""

    memory: int = 128 << 20  # bytes
    kernel: str | None = None
    initrd: str | None = None  # multiboot: 'file args,file2'
    append: str = ''
    bios: str = 'own'  # own, seabios, or a file
    vgabios: str | None = None
    boot: Boot = Boot()
    cpu: str = 'default'
    serial: tuple[str, ...] = ('stdio',)  # COM1 to COM4: each stdio, file:F, null, unix:P, display; none: no such port
    reboot: bool = True  # False: a reset ends the run
    shutdown: bool = True  # False: a CPU halted for good does not
    log: frozenset[str] = frozenset()  # of LOGS
    log_file: Path | None = None  # None: stderr
    icount: bool = False
    control: str | None = None  # path of the control socket
    stats: str | None = None  # a file, or '-' for a table
    tcache_size: int = 64 << 20  # bytes
    tcache_rings: tuple[tuple[str, int], ...] = ()  # bytes of nursery and survivors, where they are not to have their usual share
    tcache_policy: str = 'generational'
    trace: Path | None = None
    archive: int = archive.LIMIT  # bytes on disk for translations; 0: none are kept
    debugcon: tuple[tuple[int, Path], ...] = ()
    debug_exit: int | None = None
    engine: str = 'optimise'
    vga: str = 'std'  # of VGAS
    name: str = 'emu'  # what clients call the machine
    display: str = 'none'  # of DISPLAYS: sdl starts the window as a program of its own
    display_listen: tuple[Address, ...] = ()  # where clients may connect
    drives: tuple[Drive, ...] = ()
    snapshot: bool = False  # of all drives
    parallel: str = 'null'  # LPT1: file:F, null; none: no such port
    speaker: str | None = None  # a WAV file
    networks: Networks = Networks()

    def __post_init__(self) -> None:
        if not 1 << 20 <= self.memory <= RAM_MAX: raise EmuError(f'-m: {self.memory / (1 << 20):g} MB of memory; from 1 to {RAM_MAX >> 20} can be had')
        if self.memory % 4096: raise EmuError(f'-m: {self.memory} bytes are not whole pages of 4096')
        if not TCACHE_MIN <= self.tcache_size <= TCACHE_MAX: raise EmuError(f'-tcache-size: {self.tcache_size} bytes; from 64K to 1G can be had')
        if empty := [name for name in ('kernel', 'initrd', 'bios', 'vgabios') if getattr(self, name) == '']: raise EmuError(f"-{empty[0]}: '' is no file")
        if alone := [name for name in ('initrd', 'append') if getattr(self, name) and not self.kernel]: raise EmuError(f'-{alone[0]}: there is no -kernel that it is for')
        if self.trace and self.engine not in ('stencils', 'optimise'): raise EmuError(f'-trace: -engine {self.engine} makes no translations')
        if len(self.serial) > 4: raise EmuError(f'-serial: {len(self.serial)} serial ports; there are COM1 to COM4')
        if self.boot.menu and self.bios == 'own' and not self.kernel: raise EmuError('-boot menu=on: not implemented: our own BIOS has no boot menu; -bios seabios has one')
        if self.serial.count('stdio') > 1: raise EmuError('-serial stdio: only one serial port can have the terminal')
        if self.vga not in VGAS: raise EmuError(f"-vga: unknown adapter '{self.vga}'; there are {' '.join(VGAS)}")
        if self.cpu not in MODELS: raise EmuError(f"-cpu: unknown model '{self.cpu}'; there are {' '.join(MODELS)}")
        for interface in PLACES: self.plugged(interface)
        try:
            self.networks.cards()
        except ValueError as error:
            raise EmuError(str(error)) from None

    def plugged(self, interface: str) -> dict[int, Drive]:
        """The drives of an interface by index; the options that hold for all of them are in each."""
        drives = [drive for drive in self.drives if drive.interface == interface]
        places: dict[int, Drive] = {}
        for drive in [drive for drive in drives if drive.index is not None] + [drive for drive in drives if drive.index is None]:  # as QEMU: -hda takes its place first
            free = [n for n in range(PLACES[interface]) if n not in places]
            index = free[0] if drive.index is None and free else drive.index
            if index is None or index >= PLACES[interface]:
                raise EmuError(f'{drive.file}: there is no place {index or PLACES[interface]} on {interface}, which has {PLACES[interface]}')
            if index in places: raise EmuError(f"{drive.file}: place {index} on {interface} is taken by '{places[index].file}'")
            places[index] = replace(drive, index=index, snapshot=drive.snapshot or self.snapshot, readonly=drive.readonly or drive.media == 'cdrom')
        return places
