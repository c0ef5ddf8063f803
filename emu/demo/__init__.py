"""`emu demo`: a guest that needs no download, assembled from demo.s. It shows what the machine can do on the serial line, then echoes keys until ESC.

Where there is no terminal to type at, it ends without asking for keys.
"""
import sys
import tempfile
from pathlib import Path

from emu.assembler import assemble_elf
from emu.options import Options

SOURCE = Path(__file__).with_name('demo.s')
DEBUG_EXIT = 0x501
ENDED = 2 * 0x10 + 1  # the exit code of a run in which the guest came to its end


def kernel() -> bytes:
    """The guest, a multiboot kernel."""
    return assemble_elf(SOURCE.read_text())


def run() -> int:
    """Builds it and runs it on this terminal; the exit code."""
    from emu.machine import run_machine
    with tempfile.TemporaryDirectory(prefix='emu.') as folder:
        path = Path(folder) / 'demo.elf'
        path.write_bytes(kernel())
        code = run_machine(Options(kernel=str(path), append='' if sys.stdin and sys.stdin.isatty() else 'once', debug_exit=DEBUG_EXIT))
    return 0 if code == ENDED else code
