"""Options: everything a run can be told. The command line fills it (emu/cli.py), so may a test; the machine reads it.

What no machine can be made of (2 TiB of RAM, an unknown processor) is refused here, whoever asks.
"""
from dataclasses import dataclass
from pathlib import Path

from emu.errors import EmuError
from emu.isa.models import MODELS
from emu.mem.memory import RAM_MAX

LOGS = ('in_asm', 'exec', 'int', 'io', 'unimp')  # of -d
POLICIES = ('flush', 'fifo', 'generational')
ENGINES = ('eager', 'interpreter', 'stencils', 'optimise')  # each uses those before it as well, but for eager


@dataclass(frozen=True)
class Options:
    """One field for each option of `emu run`; the defaults are the command's."""

    memory: int = 128 << 20  # bytes
    kernel: str | None = None
    initrd: str | None = None  # multiboot: 'file args,file2'
    append: str = ''
    cpu: str = 'default'
    serial: str = 'stdio'  # stdio, file:F, null, unix:P
    reboot: bool = True  # False: a reset ends the run
    shutdown: bool = True  # False: a CPU halted for good does not
    log: frozenset[str] = frozenset()  # of LOGS
    log_file: Path | None = None  # None: stderr
    icount: bool = False
    stats: str | None = None  # a file, or '-' for a table
    tcache_size: int = 64 << 20  # bytes
    tcache_policy: str = 'generational'
    debugcon: tuple[tuple[int, Path], ...] = ()
    debug_exit: int | None = None
    engine: str = 'optimise'

    def __post_init__(self) -> None:
        if not 1 << 20 <= self.memory <= RAM_MAX: raise EmuError(f'-m: {self.memory / (1 << 20):g} MB of memory; from 1 to {RAM_MAX >> 20} can be had')
        if self.memory % 4096: raise EmuError(f'-m: {self.memory} bytes are not whole pages of 4096')
        if not 1 << 20 <= self.tcache_size <= 1 << 30: raise EmuError(f'-tcache-size: {self.tcache_size} bytes; from 1M to 1G can be had')
        if self.cpu not in MODELS: raise EmuError(f"-cpu: unknown model '{self.cpu}'; there are {' '.join(MODELS)}")
