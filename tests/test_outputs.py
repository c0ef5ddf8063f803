"""-parallel and -speaker: what a guest prints and plays is in the host's files."""
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from emu.assembler import assemble_elf
from tests.test_bad_guests import DONE, ENVIRONMENT, run

EXIT = 'mov dx, 0x501; mov al, 0x10; out dx, al'
PRINT = """
    mov esi, offset text
next:
    mov dx, 0x379
    in al, dx
    test al, 0x80                 # busy
    jz next
    lodsb
    mov dx, 0x378
    out dx, al
    mov dx, 0x37a
    mov al, 0x0d
    out dx, al
    mov al, 0x0c
    out dx, al
    cmp byte ptr [esi], 0
    jne next
"""
BEEP = """
    mov al, 0xb6
    out 0x43, al
    mov al, 0xa9                  # 1193: 1000 Hz
    out 0x42, al
    mov al, 4
    out 0x42, al
    in al, 0x61
    or al, 3
    out 0x61, al
    mov ecx, 10000000             # 0.1 s, an instruction being 10 ns
1:  loop 1b
    in al, 0x61
    and al, 0xfc
    out 0x61, al
"""


def test_printer(tmp_path: Path) -> None:
    """Byte for byte, with the handshake of a polling driver."""
    code = run(tmp_path, f'{PRINT} {EXIT}; text: .asciz "Hello, paper"', '-parallel', f'file:{tmp_path}/paper')
    assert code == (DONE, '', []) and (tmp_path / 'paper').read_bytes() == b'Hello, paper'


def test_no_printer(tmp_path: Path) -> None:
    assert run(tmp_path, f'mov dx, 0x37a; in al, dx; cmp al, 0xff; jne 1f; {EXIT}; 1: hlt', '-parallel', 'none') == (DONE, '', [])


def test_speaker(tmp_path: Path) -> None:
    """100 periods in 0.1 s."""
    assert run(tmp_path, f'{BEEP} {EXIT}', '-icount', '-speaker', f'{tmp_path}/s.wav') == (DONE, '', [])
    with wave.open(f'{tmp_path}/s.wav') as file:
        assert abs(file.getnframes() - 4410) < 3
        samples = memoryview(file.readframes(9999)).cast('h')
    rises = sum(a < 8000 <= b for a, b in zip(samples, samples[1:]))
    assert 99 <= rises <= 101


@pytest.mark.parametrize('source, words', [
    (PRINT, ['-parallel', 'file:/dev/full']),
    ('mov al, 65; out 0xe9, al; out 0xe9, al; mov esi, offset text', ['-debugcon', '0xe9=/dev/full']),
    ('mov dx, 0x3f8; mov al, 65; out dx, al; out dx, al; mov esi, offset text', ['-serial', 'file:/dev/full']),
], ids=['parallel', 'debugcon', 'serial'])
def test_a_full_disk_is_told_once_and_ends_no_run(tmp_path: Path, source: str, words: list[str]) -> None:
    assert run(tmp_path, f'{source}; {EXIT}; text: .asciz "Hello"', *words) == (DONE, '', ['emu: /dev/full: no space left on device: what the guest sends from here on is lost'])


LOGGED = f'mov ecx, 20000; 1: in al, 0x61; loop 1b; {EXIT}'


def test_a_log_on_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    """It is told once; the guest's end comes long after."""
    assert run(tmp_path, LOGGED, '-d', 'io', '-D', '/dev/full') == (DONE, '', ['emu: /dev/full: no space left on device: the log ends here'])


def test_a_log_that_nobody_reads_ends_no_run(tmp_path: Path) -> None:
    """stderr is full, or has no reader any more: `emu run -d io 2>&1 | head`."""
    (tmp_path / 'kernel').write_bytes(assemble_elf(LOGGED))
    words = [sys.executable, '-m', 'emu', 'run', '-m', '16', '-kernel', str(tmp_path / 'kernel'), '-debug-exit', '0x501', '-d', 'io']
    reader, writer = os.pipe()
    os.close(reader)
    with open('/dev/full', 'w') as full, open(writer, 'w') as broken:
        for place in (full, broken): assert subprocess.run(words, stdin=subprocess.DEVNULL, stderr=place, timeout=600, env=ENVIRONMENT).returncode == DONE


@pytest.mark.parametrize('option, code', [('-trace', 1), ('-stats', 1), ('-speaker', DONE)])
def test_other_files_on_a_full_disk(tmp_path: Path, option: str, code: int) -> None:
    """A trace or statistics that are not whole are a failure; a recording ends earlier."""
    ended, out, lines = run(tmp_path, f'{BEEP} {EXIT}', '-icount', option, '/dev/full')
    assert (ended, out, len(lines)) == (code, '', 1) and lines[0].startswith('emu: /dev/full: no space left on device')


def test_files_that_cannot_be(tmp_path: Path) -> None:
    for words in (('-parallel', 'file:/nowhere/p'), ('-speaker', '/nowhere/s.wav')):
        code, out, lines = run(tmp_path, EXIT, *words)
        assert code == 1 and out == '' and len(lines) == 1 and '/nowhere/' in lines[0] and 'no such file' in lines[0]
