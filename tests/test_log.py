"""-d LIST -D FILE: what a user reads of a small multiboot guest (emu/log.py)."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emu.assembler import assemble_elf
from emu.machine import run_machine
from emu.options import Options
from tests.guest_code import MACROS

SOURCE = MACROS + '''
    begin
    gate 6, handler
    mov ecx, 3
again:
    call twice
    dec ecx
    jnz again
bad:
    ud2
after:
    in al, 0x61
    mov dx, 0x3e0
    in al, dx
    mov dx, 0x501
    mov al, 0x10
    out dx, al
twice:
    add ebx, ebx
    ret
handler:
    add dword ptr [esp], 2
    iretd
    descriptors 7
idt: .skip 7 * 8
.skip 256
stack:
'''


@pytest.fixture(scope='module')
def kernel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The guest."""
    path = tmp_path_factory.mktemp('log') / 'guest'
    path.write_bytes(assemble_elf(SOURCE))
    return str(path)


def log(kernel: str, folder: Path, kinds: str, engine: str = 'optimise') -> list[str]:
    """The lines that a run leaves."""
    path = folder / 'log'
    options = Options(kernel=kernel, memory=4 << 20, serial=('null',), log=frozenset(kinds.split(',')), log_file=path, debug_exit=0x501, engine=engine, icount=True)
    assert run_machine(options) == 2 * 0x10 + 1
    return path.read_text().splitlines()


def test_in_asm(kernel: str, tmp_path: Path) -> None:
    """Each instruction once: address, bytes, Intel syntax; blocks are headed as QEMU's are."""
    lines = log(kernel, tmp_path, 'in_asm')
    assert lines[:2] == ['----------------', 'IN:'] and re.fullmatch(r'0x00[0-9a-f]{6}:  0f 01 15( [0-9a-f]{2}){4} +lgdt \[0x1[0-9a-f]+\]', lines[2])
    code = [line.split(None, 1)[1] for line in lines if line[:2] == '0x']
    assert sum(line.endswith('add ebx, ebx') for line in code) == 1 and sum(line.endswith('ud2') for line in code) == 1
    assert any(re.match(r'ea [0-9a-f ]+ljmp 8:0x1[0-9a-f]+$', line) for line in code)
    for engine in ('eager', 'interpreter', 'stencils'): assert log(kernel, tmp_path, 'in_asm', engine) == lines


def test_exec(kernel: str, tmp_path: Path) -> None:
    """Each block each time, whatever engine would have run it."""
    lines = log(kernel, tmp_path, 'exec')
    assert all(re.fullmatch(r'Trace 0: \[00000000/[0-9a-f]{8}/[0-9a-f]{8}\]', line) for line in lines)
    counts = sorted(lines.count(line) for line in set(lines))
    assert counts[-1] == 3 and len(lines) == len(log(kernel, tmp_path, 'exec', 'interpreter'))


@pytest.mark.parametrize('engine', ['eager', 'interpreter', 'optimise'])
def test_int(kernel: str, tmp_path: Path, engine: str) -> None:
    """The vector, code, privilege, where and on which stack."""
    lines = log(kernel, tmp_path, 'int', engine)
    assert len(lines) == 1
    assert re.fullmatch(r'     0: v=06 e=0000 i=0 cpl=0 IP=0008:(0010[0-9a-f]{4}) pc=\1 SP=0010:0010[0-9a-f]{4} EAX=[0-9a-f]{8} CR2=00000000', lines[0])


def test_io_and_unimp(kernel: str, tmp_path: Path) -> None:
    """Port accesses in order; those to nothing."""
    lines = log(kernel, tmp_path, 'io,unimp')
    assert [re.sub(r' at .*|, at .*', '', line) for line in lines if '0501' not in line] == [lines[0].split(' at ')[0], 'unimp: in port 03e0', 'io: in  03e0 8 bits ff']
    assert re.fullmatch(r'io: in  0061 8 bits [0-9a-f]{2} at 0008:0010[0-9a-f]{4}', lines[0])
    assert lines[-1].startswith('io: out 0501 8 bits 10')


def test_files(kernel: str, tmp_path: Path) -> None:
    """Without -D the log goes to stderr; a file that cannot be opened is said in a line."""
    words = [sys.executable, '-m', 'emu', 'run', '-m', '4', '-kernel', kernel, '-serial', 'null', '-debug-exit', '0x501', '-d', 'int']
    ran = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 33 and ran.stderr.startswith('     0: v=06')
    ran = subprocess.run([*words, '-D', '/nowhere/log'], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 1 and ran.stderr == 'emu: /nowhere/log: no such file or directory\n'
