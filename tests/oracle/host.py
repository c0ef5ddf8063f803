"""The host oracle's Python side: compiles oracle.c once, keeps the process, runs batches of cases.

A batch is a NumPy record array of CASE; `Oracle.run` fills in results where the inputs were. The segments a case may use: the flat ones of
Linux (CODE32, DATA32) and the LDT below, which tests/harness.py builds for the guest too.
"""
import hashlib
import mmap
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from emu import cache

CODE, DATA = 0x200000, 0x218000        # linear addresses: two pages of code, two of data, then one that is read-only
WINDOW = DATA + 0x1000 - 256           # 512 bytes of it are given and compared
BASE16 = 0x210000                      # base of the 16-bit data segments
CODE32, DATA32 = 0x23, 0x2b            # Linux's selectors
NONE, TIMEOUT = 0xffffffff, 0xff

CASE = np.dtype([
    ('reg', '<u4', 8), ('eip', '<u4'), ('eflags', '<u4'), ('seg', '<u2', 6), ('fop', '<u2'), ('ncode', '<u2'), ('code_at', '<u4'),
    ('trap', '<u4'), ('error', '<u4'), ('cr2', '<u4'), ('stray', '<u4'), ('tag', '<u4'),
    ('code', 'u1', 32), ('fpu', 'u1', 108), ('mem', 'u1', 512), ('mxcsr', '<u4'), ('xmm', 'u1', 128)])
assert CASE.itemsize == 864
HEADER = 16 + 15 * 16

# The LDT, entry 1 on: base, limit, then modify_ldt's flags: 32-bit, contents (0 data, 1 expand-down, 2 code, 3 conforming), read or execute only, in pages, not present
LDT = [
    (CODE, 0xffff, 0, 2, 0, 0, 0),        # 0Fh 16-bit code
    (BASE16, 0xffff, 0, 0, 0, 0, 0),      # 17h 16-bit data and stack
    (BASE16, 0x8fff, 1, 0, 0, 0, 0),      # 1Fh ends with the window's first page
    (BASE16, 0xffff, 1, 0, 1, 0, 0),      # 27h read-only
    (BASE16, 0x8eff, 1, 1, 0, 0, 0),      # 2Fh expand-down: begins before the window
    (0, 0xfffff, 1, 2, 1, 1, 0),          # 37h execute-only code
    (0, 0xfffff, 1, 3, 0, 1, 1),          # 3Fh conforming code, not present (Linux lets no other be)
    (BASE16, 0xffff, 1, 0, 0, 0, 1),      # 47h not present
    (BASE16, 0x8fff, 0, 1, 0, 0, 0),      # 4Fh 16-bit expand-down
]
CODE16, DATA16 = 0x0f, 0x17
SELECTORS = [0, 3, CODE32, DATA32, *range(0x07, 0x50, 8), 0x57, 0x1007, 0x14]


def descriptor(base: int, limit: int, wide: int, contents: int, only: int, pages: int, absent: int) -> bytes:
    """The descriptor that modify_ldt makes: DPL 3, accessed, AVL set."""
    access = 1 | (only ^ 1) << 1 | contents << 2 | 0x70 | (absent ^ 1) << 7
    high = (base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | 1 << 20 | wide << 22 | pages << 23 | (base & 0xff000000)
    return struct.pack('<II', (limit & 0xffff) | (base & 0xffff) << 16, high)


def build() -> Path:
    """The compiled helper, kept in the user's cache directory under its source's hash."""
    source = Path(__file__).with_name('oracle.c')
    folder = cache.directory('tests')
    program = folder / f'oracle-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}'
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / 'oracle'
            options = '-m32 -O2 -ffreestanding -nostdlib -static -no-pie -fno-pie -fno-stack-protector -fcf-protection=none -mgeneral-regs-only'
            command = ['gcc', *options.split(), '-Wl,-Ttext-segment=0x70000000,--build-id=none', '-o', str(made), str(source)]
            result = subprocess.run(command, capture_output=True, text=True) if shutil.which('gcc') else None
            if result is None or result.returncode: raise RuntimeError('the host oracle needs gcc that can do -m32: ' + (result.stderr if result else 'there is no gcc'))
            made.rename(program)
    return program


class Oracle:
    """A helper process; `cases` is the array of up to `size` cases it shares with us."""

    def __init__(self, size: int = 4096):
        with tempfile.TemporaryFile(dir='/dev/shm') as file:
            file.truncate(HEADER + size * CASE.itemsize)
            self.shared = mmap.mmap(file.fileno(), 0)
            entries = [struct.pack('<IIII', n + 1, base, limit, wide | contents << 1 | only << 3 | pages << 4 | absent << 5 | 1 << 6)
                       for n, (base, limit, wide, contents, only, pages, absent) in enumerate(LDT)]
            self.shared[:16 + 16 * len(LDT)] = struct.pack('<IIII', size, len(LDT), 0, 0) + b''.join(entries)
            self.cases = np.frombuffer(self.shared, CASE, size, HEADER)
            self.process = subprocess.Popen([build()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file.fileno())

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Runs the cases and returns them with results in place of inputs."""
        assert self.process.stdin and self.process.stdout
        out = batch.copy()
        for at in range(0, len(batch), len(self.cases)):
            part = out[at:at + len(self.cases)]
            self.cases[:len(part)] = part
            with suppress(BrokenPipeError):
                self.process.stdin.write(struct.pack('<I', len(part)))
                self.process.stdin.flush()
            if len(self.process.stdout.read(4)) != 4:
                raise RuntimeError(f'the host oracle ended: status {self.process.wait()} (oracle.c says what it needed)')
            part[:] = self.cases[:len(part)]
        return out

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def blank(n: int) -> np.ndarray:
    """n cases of flat 32-bit code, the FPU as FNINIT leaves it, the rest zero."""
    batch = np.zeros(n, CASE)
    batch['eflags'] = 0x202
    batch['seg'] = [DATA32, CODE32, DATA32, DATA32, 0, 0]
    batch['eip'] = batch['code_at'] = CODE + 0x800
    batch['mxcsr'] = 0x1f80
    batch['reg'][:, 4] = WINDOW + 384
    batch['fpu'][:, :28] = np.frombuffer(struct.pack('<IIIIIII', 0xffff037f, 0xffff0000, 0xffffffff, 0, 0, 0, 0), np.uint8)
    return batch


def set_code(case: np.void, code: bytes) -> None:
    """Puts an instruction into a case."""
    case['code'][:len(code)] = np.frombuffer(code, np.uint8)
    case['ncode'] = len(code)
