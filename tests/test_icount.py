"""--icount: guest time follows retired instructions, so a run repeats itself to the last one: serial output and the `guest` part of --stats, with any engine.

Our guest is interrupted by IRQ 0 (8254 -> 8259A) a thousand times a second while it computes, and prints where each one met it: EIP, registers, the time stamp
counter, the timer's count. Optimised translations come in whenever the worker is done with them, and may change nothing.
"""
import json
import random
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest

from emu import cpu, guests
from emu.assembler import assemble_elf
from emu.machine import run_machine
from emu.options import Options
from tests.conftest import ALL
from tests.guest_code import MACROS

SOURCE = MACROS + '''
    begin
    gate 32, tick
    # 8259A: vectors from 32, IRQ 0 alone; 8254: channel 0, mode 2, 1000 Hz
    program 0x20, 0x11, 0x21, 32, 0x21, 4, 0x21, 1, 0x21, 0xfe, 0x43, 0x34, 0x40, 1193 % 256, 0x40, 1193 / 256
    sti
work:                               # arithmetic, memory, calls, a jump through a table, an instruction rewritten now and then
    imul eax, eax, 1664525
    add eax, 1013904223
    mov edx, eax
    shr edx, 22
    add [numbers + edx * 4], eax
    rol eax, 3
    call mix
    mov edx, eax
    and edx, 3
    call [functions + edx * 4]
    test eax, 0x3ff000
    jnz same
    mov [mix + 2], al
same:
    cmp dword ptr [ticks], TICKS
    jb work
sleep:
    hlt                             # then the CPU is idle between ticks
    cmp dword ptr [ticks], TICKS + 5
    jb sleep
    mov dx, 0x501
    mov al, 0x10
    out dx, al

mix:
    xor eax, 0x5a
    adc ebx, eax
    ret
one:
    lea ebx, [ebx + eax * 2]
    ret
two:
    bswap ebx
    ret
three:
    fild dword ptr [numbers]
    fsqrt
    fistp dword ptr [numbers + 4]
    ret
four:
    mov esi, offset numbers
    mov edi, offset numbers + 2048
    mov ecx, 20
    rep movsd
    ret

tick:
    pushad
    inc dword ptr [ticks]
    mov ebp, [esp + 32]             # the interrupted EIP
    call show
    mov ebp, [esp + 28]             # EAX
    call show
    mov ebp, ebx
    call show
    rdtsc
    mov ebp, eax
    call show
    mov al, 0
    out 0x43, al                    # latch and read the timer's count
    in al, 0x40
    mov ah, al
    in al, 0x40
    movzx ebp, ax
    call show
    mov dx, 0x3f8
    mov al, 10
    out dx, al
    mov al, 0x20
    out 0x20, al
    popad
    iretd

show:                               # EBP in hexadecimal
    mov ecx, 8
digit:
    rol ebp, 4
    mov eax, ebp
    and eax, 15
    mov al, [digits + eax]
    mov dx, 0x3f8
    out dx, al
    loop digit
    ret

    descriptors 33
digits: .ascii "0123456789ABCDEF"
.balign 4
functions: .long one, two, three, four
ticks: .long 0
.bss
.balign 4096
idt: .skip 33 * 8
numbers: .skip 4096
.skip 4096
stack:
'''
ENDED = 2 * 0x10 + 1


class Late:
    """A worker in this process that is done after a while that nobody knows."""

    def __init__(self, *_: Any):
        self.threads = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        def work() -> Any:
            time.sleep(random.random() / 200)
            return function(*arguments)
        return self.threads.submit(work)

    def poll(self) -> None:
        """Its threads do it."""

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kernels and outputs go."""
    return tmp_path_factory.mktemp('icount')


def kernel(folder: Path, ticks: int) -> str:
    """The guest that works for so many milliseconds of its time."""
    path = folder / f'guest-{ticks}'
    if not path.exists(): path.write_bytes(assemble_elf(f'TICKS = {ticks}\n{SOURCE}'))
    return str(path)


def run(folder: Path, engine: str, ticks: int) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Serial output, the guest's statistics, the cache's."""
    serial, stats = folder / 'serial', folder / 'stats'
    serial.unlink(missing_ok=True)
    options = Options(kernel=kernel(folder, ticks), memory=16 << 20, serial=(f'file:{serial}',), stats=str(stats), icount=True, debug_exit=0x501, engine=engine, archive=0)
    assert run_machine(options) == ENDED
    read = json.loads(stats.read_text())
    return serial.read_bytes(), read['guest'], read['cache']


def test_engines_agree(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every engine, and optimised blocks that come when they come."""
    monkeypatch.setattr(cpu, 'WARM', 40)
    monkeypatch.setattr(cpu, 'Workers', Late)
    serial, guest, _ = run(folder, 'interpreter', 200)
    assert serial.count(b'\n') == 205 and len(set(serial.split())) == 205
    assert guest['instructions'] > 19_000_000 and guest['nanoseconds'] > 203_000_000
    for engine in ('interpreter', 'stencils', 'optimise', 'optimise'):
        again, same, cache = run(folder, engine, 200)
        assert again == serial, engine
        assert same == guest, engine
        if engine == 'optimise': assert cache['dropped_replaced'] > 0 and cache['bytes']['tenured'] > 0  # some did come


def test_eager_agrees(folder: Path) -> None:
    """On a few ticks: it is slow."""
    ticks = 10 if ALL else 1
    assert run(folder, 'eager', ticks)[:2] == run(folder, 'optimise', ticks)[:2]


def test_command_twice(folder: Path) -> None:
    """As it is promised: `emu run --icount` twice, the worker being another process."""
    seen = []
    for _ in range(2):
        words = [sys.executable, '-m', 'emu', 'run', '-m', '16', '-kernel', kernel(folder, 300), '-icount', '-stats', f'{folder}/s', '-debug-exit', '0x501']
        process = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
        assert (process.returncode, process.stderr) == (ENDED, b'')
        seen.append((process.stdout, json.loads((folder / 's').read_text())['guest']))
    assert seen[0] == seen[1] and len(seen[0][0].split()) == 305


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
def test_linux(folder: Path) -> None:
    """A boot of Debian's kernel to power-off, with every engine that can be waited for, twice with all of them."""
    files = guests.get('linux')
    seen = []
    for engine in ('optimise', 'optimise', 'stencils', 'interpreter'):
        words = [sys.executable, '-m', 'emu', 'run', '-m', '256', '-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686-tiny.gz']),
                 '-append', 'console=ttyS0 end=poweroff', '-icount', '-stats', f'{folder}/s', '-engine', engine]
        process = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=1200)
        assert process.returncode == 0 and b'GUEST-CHECKS-DONE' in process.stdout
        stats = json.loads((folder / 's').read_text())
        seen.append((process.stdout, stats['guest']))
        assert seen[-1] == seen[0], engine
        if len(seen) == 2: assert stats['cache']['archive']['hits'] > 0  # of what the first has left
