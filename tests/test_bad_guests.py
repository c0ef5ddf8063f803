"""Guests that crash and a cache directory that cannot be used: one clear line on stderr, the right exit code, no traceback, and nothing is believed that was not checked."""
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from emu import cache
from emu.assembler import assemble_elf
from emu.jit import build
from emu.options import ENGINES
from tests.conftest import ALL

DONE = 2 * 0x10 + 1
EXIT = 'mov dx, 0x501; mov al, 0x10; out dx, al'
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'} | {'PYTHONPATH': str(Path(__file__).parents[1])}


def run(folder: Path, source: str, *options: str, **environment: str) -> tuple[int, str, list[str]]:
    """Exit code, serial output and the lines on stderr of a guest that is this text."""
    (folder / 'kernel').write_bytes(assemble_elf(source))
    words = [sys.executable, '-m', 'emu', 'run', '-m', '16', '-kernel', str(folder / 'kernel'), '-debug-exit', '0x501', *options]
    process = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, env=ENVIRONMENT | environment)
    return process.returncode, process.stdout, process.stderr.splitlines()


NO_IDT = 'lidt [empty]; jmp go; empty: .word 0; .long 0; go:'


@pytest.mark.parametrize('engine', ENGINES if ALL else ('optimise',))
@pytest.mark.parametrize('source, eip, vector', [
    (f'{NO_IDT} ud2', None, 13),  # #UD, for want of a gate #GP, so #DF, and #GP again (SDM 3A 6.15)
    (f'{NO_IDT} mov eax, 0x40000000; jmp eax', '40000000', 13),  # into nowhere: no RAM answers
    (f'{NO_IDT} mov eax, 0xff0000; jmp eax', '01000000', 13),  # zeros, ADD [EAX], AL to the end of RAM
    (f'{NO_IDT} int 0x80', None, 13),
    ('mov eax, 0x80000001; mov cr0, eax; nop', None, 14),  # paging without tables
], ids=['ud2', 'nowhere', 'zeros', 'int', 'paging'])
def test_triple_fault(tmp_path: Path, source: str, eip: str | None, vector: int, engine: str) -> None:
    """SDM 3A 6.15, interrupt 8: the processor shuts down; the line says where."""
    code, out, lines = run(tmp_path, source, '-engine', engine)
    assert code == 1 and out == '' and len(lines) == 1, lines
    assert lines[0].startswith('emu: triple fault at CS:EIP 0010:') and lines[0].endswith(f', last exception {vector}')
    if eip: assert f':{eip},' in lines[0]


def test_halted_for_good(tmp_path: Path) -> None:
    """HLT with interrupts off; -no-shutdown keeps the machine."""
    line = 'emu: the CPU is halted for good (HLT with interrupts off)'
    assert run(tmp_path, 'cli; hlt') == (0, '', [line])
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, '-m', 'emu', 'run', '-m', '16', '-kernel', str(tmp_path / 'kernel'), '-no-shutdown'], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=2, env=ENVIRONMENT)


def test_reset_of_a_guest(tmp_path: Path) -> None:
    """Through the keyboard controller: with -no-reboot a run ends well; a guest that is started again finds its memory loaded again."""
    assert run(tmp_path, 'mov al, 0xfe; out 0x64, al; hlt', '-no-reboot') == (0, '', [])
    again = f'in al, 0x71; mov al, 0x3f; out 0x70, al; in al, 0x71; cmp al, 0x77; je second; mov al, 0x77; out 0x71, al; mov al, 0xfe; out 0x64, al; hlt; second: {EXIT}'
    assert run(tmp_path, again) == (DONE, '', [])
    line = f'{sys.executable} -m emu run -m 16 -kernel <(cat {tmp_path}/kernel) -debug-exit 0x501'  # from a pipe, too, which can be read only once
    assert subprocess.run(['bash', '-c', line], stdin=subprocess.DEVNULL, timeout=600, env=ENVIRONMENT).returncode == DONE


def test_debug_exit(tmp_path: Path) -> None:
    """The guest's own exit code, also from a port that power management has otherwise."""
    assert run(tmp_path, EXIT) == (DONE, '', [])
    assert run(tmp_path, EXIT.replace('0x501', '0x600'), '-debug-exit', '0x600') == (DONE, '', [])


@pytest.mark.parametrize('closed', ['>&-', '2>&-', '<&- >&- 2>&-'])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    """A guest runs without them; what belongs to one does not go to the other."""
    (tmp_path / 'kernel').write_bytes(assemble_elf('cli; hlt'))
    line = f'{sys.executable} -m emu run -m 16 -kernel {tmp_path}/kernel -stats - {closed}'
    done = subprocess.run(['sh', '-c', line], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    said = 'emu: the CPU is halted for good (HLT with interrupts off)\n' if closed == '>&-' else ''
    assert (done.returncode, done.stderr) == (0, said) and done.stdout.startswith('guest\n') == (closed == '2>&-')


def test_demo_without_standard_input() -> None:
    done = subprocess.run(['sh', '-c', f'{sys.executable} -m emu demo <&-'], capture_output=True, text=True, timeout=600, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, '') and 'emu demo' in done.stdout


HELLO = f"mov dx, 0x3f8; mov al, 'h'; out dx, al; mov al, 'i'; out dx, al; {EXIT}"
SAID = DONE, 'hi'


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1: each compiles everything')
@pytest.mark.parametrize('place', ['/proc/emu', '{}/kernel', '{}/kernel/emu'])
def test_cache_that_cannot_be_written(tmp_path: Path, place: str) -> None:
    """The guest runs all the same; a line for each of the two things that will be compiled again."""
    place = place.format(tmp_path)
    code, out, lines = run(tmp_path, HELLO, EMU_CACHE=place)
    assert (code, out) == SAID
    assert lines == [f'emu: {place} cannot be written: the {what} will be compiled again' for what in ('interpreter', 'stencils')]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[bytes]]:
    """Compiles two small modules or finds them; `times` says how often they were made."""
    monkeypatch.setenv('EMU_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(build, 'in_parallel', lambda sources, codemodel: [build.compile_module(ir, codemodel) for ir in sources])

    def get() -> list[bytes]:
        objects, notes = build.compiled('toy', make, 'jitdefault')
        assert notes == 'notes'
        return objects

    def make() -> tuple[list[str], str]:
        get.times += 1
        return [f'define i64 @f{n}() {{\n  ret i64 {n}\n}}\n' for n in range(2)], 'notes'
    get.times = 0
    return get


def garbage(path: Path) -> None: path.write_bytes(os.urandom(1000))
def truncated(path: Path) -> None: path.write_bytes(path.read_bytes()[:-1])
def empty(path: Path) -> None: path.write_bytes(b'')
def gone(path: Path) -> None: path.unlink()


def one_bit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize('damage', [garbage, truncated, empty, gone, one_bit])
@pytest.mark.parametrize('file', ['0', '1', 'notes', 'count'])
def test_damaged_cache_is_made_again(toy: Callable[[], list[bytes]], damage: Callable[[Path], None], file: str) -> None:
    """What does not match its checksum is as if it were not there (cache.py)."""
    good = toy()
    assert toy() == good and toy.times == 1
    victim = next(cache.directory('compiled').iterdir()) / file
    whole = victim.read_bytes()
    damage(victim)
    assert toy() == good and toy.times == 2 and victim.read_bytes() == whole
    assert toy() == good and toy.times == 2


def test_cache_in_the_way(toy: Callable[[], list[bytes]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where the directory would be: one line, and nothing is kept."""
    (tmp_path / 'cache').write_text('mine')
    assert toy() == toy() and toy.times == 2
    assert capsys.readouterr().err.splitlines() == [f'emu: {tmp_path}/cache cannot be written: the toy will be compiled again'] * 2
    assert (tmp_path / 'cache').read_text() == 'mine'


@pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1: compiles everything')
def test_damaged_interpreter_is_never_run(tmp_path: Path) -> None:
    """The whole way: an object file that was changed is not loaded."""
    place = str(tmp_path / 'cache')
    assert run(tmp_path, HELLO, EMU_CACHE=place) [:2] == SAID
    objects = sorted(path for path in (tmp_path / 'cache').rglob('*') if path.is_file())
    sums = [path.read_bytes() for path in objects]
    for path in objects: garbage(path)
    assert run(tmp_path, HELLO, EMU_CACHE=place)[:2] == SAID
    assert len(sums) == len([path for path in (tmp_path / 'cache').rglob('*') if path.is_file()]) and all(cache.read(path) is not None for path in objects)
