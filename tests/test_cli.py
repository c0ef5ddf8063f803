"""The command line: QEMU's spelling, one clear line for what is wrong, exit code 1 (2 for usage), never a traceback."""
import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from emu.__main__ import main as program
from emu.boot.firmware import Boot
from emu.cli import main
from emu.options import Drive, Options
from emu.stats import report


@pytest.fixture
def options(monkeypatch):
    """Runs `emu run ...` with a machine that only keeps its options; the exit code is 7."""
    seen = []
    machine = types.ModuleType('emu.machine')
    machine.run_machine = lambda given: seen.append(given) or 7
    monkeypatch.setitem(sys.modules, 'emu.machine', machine)

    def run(*words):
        assert main(['run', *words]) == 7
        return seen.pop()
    return run


def usage_error(capsys, *words):
    """The line that a wrong command line prints."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    return one_line(capsys)


def one_line(capsys):
    """stderr, which is one line of ours."""
    err = capsys.readouterr().err
    assert err.startswith('emu') and err.count('\n') == 1
    return err


def test_defaults(options):
    assert options('-kernel', 'k') == Options(kernel='k')


@pytest.mark.parametrize('dash', ['-', '--'])
def test_every_option_with_one_dash_or_two(options, dash):
    words = {'m': '256', 'kernel': 'k', 'initrd': 'i', 'append': 'console=ttyS0', 'cpu': '486', 'serial': 'file:f', 'display': 'none',
             'd': 'int,io', 'D': 'log', 'stats': 's', 'control': 'c', 'parallel': 'file:p', 'speaker': 's.wav',
             'tcache-size': '8,nursery=1', 'trace': 't', 'tcache-policy': 'fifo', 'archive': 'off', 'debugcon': '0xe9=e', 'debug-exit': '0x501', 'engine': 'stencils'}
    line = [w for name, value in words.items() for w in (dash + name, value)] + [dash + flag for flag in ('nographic', 'no-reboot', 'no-shutdown', 'icount')]
    assert options(*line) == Options(
        memory=256 << 20, kernel='k', initrd='i', append='console=ttyS0', cpu='486', serial=('file:f',), reboot=False, shutdown=False,
        log=frozenset({'int', 'io'}), log_file=Path('log'), icount=True, stats='s', control='c', tcache_size=8 << 20, tcache_policy='fifo', archive=0,
        tcache_rings=(('nursery', 1 << 20),), trace=Path('t'),
        debugcon=((0xe9, Path('e')),), debug_exit=0x501, engine='stencils', parallel='file:p', speaker='s.wav')


def test_value_after_an_equals_sign_or_beginning_with_a_dash(options):
    assert options('--kernel=k', '-append', '-x --y=z', '--stats', '-').append == '-x --y=z'
    assert options('--kernel=k', '--stats=-').stats == '-'
    assert options('-append', '--', '-kernel', 'k') == Options(kernel='k', append='--')


def test_debugcon_may_be_repeated(options):
    assert options('-kernel', 'k', '-debugcon', '0xe9=a', '--debugcon', '1024=b=c').debugcon == ((0xe9, Path('a')), (1024, Path('b=c')))


def test_drives(options):
    drives = options('-kernel', 'k', '-hda', 'a,b=c', '-hdd', 'd', '-cdrom', 'c', '-snapshot', '-drive', 'file=x,,y=z,if=floppy,unit=1,readonly=on',
                     '-drive', 'file=e,bus=0,unit=1,format=raw,snapshot=on').plugged
    assert drives('ide') == {0: Drive('a,b=c', 'ide', 0, 'disk', False, True), 1: Drive('e', 'ide', 1, 'disk', False, True), 2: Drive('c', 'ide', 2, 'cdrom', True, True),
                             3: Drive('d', 'ide', 3, 'disk', False, True)}
    assert drives('floppy') == {1: Drive('x,y=z', 'floppy', 1, 'disk', True, True)}


def test_floppies(options):
    assert options('-fda', 'a', '-fdb', 'b').plugged('floppy') == {n: Drive(name, 'floppy', n) for n, name in enumerate('ab')}


def test_drives_without_a_place_take_the_first_that_is_free(options):
    drives = options('-kernel', 'k', '-drive', 'file=x', '-hda', 'a', '-drive', 'media=cdrom', '-drive', 'file=f,if=floppy').plugged
    assert {n: drive.file for n, drive in drives('ide').items()} == {0: 'a', 1: 'x', 2: ''} and drives('floppy')[0].file == 'f'


@pytest.mark.parametrize('words, message', [
    (['-hda', 'a', '-drive', 'file=b,index=0'], "b: place 0 on ide is taken by 'a'"),
    (['-drive', 'file=b,index=4'], 'b: there is no place 4 on ide'),
    (['-drive', 'file=b,if=floppy,index=2'], 'b: there is no place 2 on floppy'),
    (['-hda', 'a', '-hdb', 'b', '-hdc', 'c', '-hdd', 'd', '-drive', 'file=e'], 'e: there is no place 4'),
])
def test_drives_that_have_no_place(options, capsys, words, message):
    assert main(['run', '-kernel', 'k', *words]) == 1
    assert message in one_line(capsys)


def test_serial_may_be_repeated(options):
    assert options('-kernel', 'k').serial == ('stdio',)
    assert options('-kernel', 'k', '-serial', 'null', '-serial', 'file:f').serial == ('null', 'file:f')


def test_the_serial_line_that_nographic_has_in_qemu(options):
    """There the monitor is behind Ctrl-A c; the other keys are the same."""
    assert options('-kernel', 'k', '-serial', 'mon:stdio').serial == ('stdio',)


def test_boot(options):
    """As QEMU takes it."""
    assert options('-boot', 'd').boot == Boot('d') and options().boot == Boot('cad')
    assert options('-bios', 'seabios', '-boot', 'order=ac,once=d,menu=on,splash-time=500').boot == Boot('ac', 'd', True, 500)


@pytest.mark.parametrize('text, size', [('16', 16 << 20), ('16M', 16 << 20), ('1G', 1 << 30), ('2048k', 2 << 20), ('size=32M', 32 << 20)])
def test_memory_suffixes(options, text, size):
    assert options('-kernel', 'k', '-m', text).memory == size


@pytest.mark.parametrize('words, message', [
    (['run', '-machine', 'pc'], 'unrecognized arguments: -machine pc ('),
    (['run', '--smp=2'], 'unrecognized arguments: --smp=2 ('),
    (['run', '-kernel'], 'argument -kernel: expected'),
    (['run', '--kernel'], 'argument -kernel: expected'),
    (['run', '-m', 'lots'], "'lots'"),
    (['run', '-m', '-5'], "'-5'"),
    (['run', '-m', '--'], "'--'"),
    (['run', ''], 'unrecognized'),
    (['run', '-serial', 'tcp:1'], 'unix:P'),
    (['run', '-serial', 'file:'], 'file:F'),
    (['run', '-serial', 'null', '-serial', 'com1'], "'com1'"),
    (['run', '-parallel', 'file:'], 'file:F'),
    (['run', '-d', 'int,cpu'], "'cpu'"),
    (['run', '-display', 'gtk'], 'gtk'),
    (['run', '-engine', 'fast'], 'fast'),
    (['run', '-tcache-policy', 'mru'], 'mru'),
    (['run', '-tcache-size', '0'], 'from 64K'),
    (['run', '-archive', '63K'], '1M'),
    (['run', '-archive', 'on'], "'on'"),
    (['run', '-tcache-size', '63K'], 'from 64K'),
    (['run', '-tcache-size', '2G'], 'to 1G'),
    (['run', '-tcache-size', '1M,eden=1K'], "'eden=1K'"),
    (['run', '-tcache-size', '1M,nursery=2M'], 'more than the whole'),
    (['run', '-debugcon', '0xe9'], 'PORT=FILE'),
    (['run', '-debugcon', '0x10000=f'], '0x10000'),
    (['run', '-debug-exit', 'x'], "'x'"),
    (['run', '-drive', 'file=f,if=virtio'], 'if=virtio'),
    (['run', '-drive', 'file=f,format=qcow2'], 'only raw'),
    (['run', '-drive', 'file=f,media=tape'], 'media=tape'),
    (['run', '-drive', 'file=f,if=floppy,media=cdrom'], 'media=cdrom'),
    (['run', '-drive', 'file=f,readonly=yes'], 'readonly=yes'),
    (['run', '-drive', 'file=f,index=-1'], 'index=-1'),
    (['run', '-drive', 'file=f,werror=stop'], "'werror'"),
    (['run', '-drive', 'index=1'], 'file='),
    (['run', '-boot', 'x'], "'order=x'"),
    (['run', '-boot', 'order=c,menu=maybe'], "'menu=maybe'"),
    (['run', 'vmlinuz'], 'vmlinuz'),
    (['run', '-nographic=1'], 'nographic'),
    (['boot'], 'boot'),
    ([], 'COMMAND'),
])
def test_usage_errors(capsys, words, message):
    assert message in usage_error(capsys, *words)


@pytest.mark.parametrize('command, words', [
    ('run', '-x'), ('run', 'extra'), ('setup', '-x'), ('demo', 'extra'), ('guest', '-x'), ('guest get', ''), ('guest get', '-x linux'), ('guest list', 'x'), ('ctl', ''),
    ('ctl', 'p c -x'), ('view', 'p q'), ('bench', '-x'), ('cache', 'foo'), ('cache', '-x'),
])
def test_usage_errors_point_to_the_help_of_the_subcommand(capsys, command, words):
    assert f'(`emu {command} -h` helps)' in usage_error(capsys, *command.split(), *words.split())
    with pytest.raises(SystemExit) as end: main([*command.split(), '-h'])
    assert end.value.code == 0


@pytest.mark.parametrize('words, message', [
    (['-kernel', 'k', '-m', '0'], '-m: 0 MB'),
    (['-kernel', 'k', '-m', '999999'], '-m: 999999 MB'),
    (['-kernel', 'k', '-m', '99999999999999999999G'], '-m: '),
    (['-kernel', 'k', '-m', '1025K'], 'pages'),
    (['-kernel', 'k', '-cpu', 'z80'], "unknown model 'z80'; there are "),
    (['-kernel', 'k', '-engine', 'interpreter', '-trace', 't'], '-trace'),
    (['-kernel', 'k', *['-serial', 'null'] * 5], 'COM4'),
    (['-kernel', 'k', *['-serial', 'stdio'] * 2], 'only one'),
    (['-bios', '/nowhere/b'], '/nowhere/b: no such file'),
    (['-kernel', ''], "-kernel: '' is no file"),
    (['-kernel', 'k', '-initrd', ''], "-initrd: '' is no file"),
    (['-hda', 'd', '-initrd', 'i'], '-initrd: there is no -kernel'),
    (['-append', 'console=ttyS0'], '-append: there is no -kernel'),
    (['-bios', __file__], 'no BIOS'),
])
def test_nonsense_values(capsys, words, message):
    assert main(['run', *words]) == 1
    assert message in one_line(capsys)


@pytest.mark.parametrize('content, message', [
    (None, 'no such file'), (b'', 'empty'), (b'not a kernel\n' * 99, 'not a kernel'), (bytes(1 << 20), 'not a kernel')])
def test_files_that_are_no_kernels(capsys, tmp_path, content, message):
    """Through the real machine."""
    if content is not None: (tmp_path / 'k').write_bytes(content)
    assert main(['run', '-serial', 'null', '-kernel', str(tmp_path / 'k')]) == 1
    err = one_line(capsys)
    assert message in err and str(tmp_path / 'k') in err


def test_command_is_a_program():
    """No traceback, the exit code of main."""
    run = subprocess.run([sys.executable, '-m', 'emu', 'run', '-serial', 'null', '-kernel', '/nowhere/k'], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (1, '', 'emu: /nowhere/k: no such file or directory\n')
    assert subprocess.run([sys.executable, '-m', 'emu', 'run', '-x'], capture_output=True).returncode == 2


def program_with(words, buffered=True, **streams):
    """`emu ...` as users have it: Python buffers what is printed."""
    environment = os.environ | {'PYTHONUNBUFFERED': '' if buffered else '1'}
    return subprocess.run([sys.executable, '-m', 'emu', *words.split()], env=environment, text=True, **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE} | streams)


@pytest.mark.parametrize('buffered', [True, False])
@pytest.mark.parametrize('words, code', [('guest list', 0), ('run -h', 0), ('run -x', 2), ('run -kernel /nowhere/k', 1)])
@pytest.mark.parametrize('stream', ['stdout', 'stderr'])
def test_output_that_nobody_reads(words, code, stream, buffered):
    """`emu guest list | true`: no word of Python's, and the exit code is still the command's."""
    reader, writer = os.pipe()
    os.close(reader)
    run = program_with(words, buffered, **{stream: writer})
    os.close(writer)
    assert run.returncode == code and len((run.stderr or '').splitlines()) == (code > 0 and stream == 'stdout')


def test_ctrl_c_while_modules_are_imported(capsys, monkeypatch):
    """A module stands for the one that is being imported."""
    class Slow(types.ModuleType):
        def __getattr__(self, name): raise KeyboardInterrupt
    monkeypatch.setattr('emu.cli', Slow('cli'))
    assert program() == 1 and one_line(capsys) == 'emu: interrupted\n'


def test_output_on_a_full_disk():
    with open('/dev/full', 'w') as full: run = program_with('guest list', stdout=full)
    assert (run.returncode, run.stderr) == (1, 'emu: standard output: no space left on device\n')


def test_no_home_directory(capsys, monkeypatch):
    """A user id without a name, as in a container."""
    for name in ('EMU_CACHE', 'XDG_CACHE_HOME', 'HOME'): monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('os.getuid', lambda: 4_000_000_000)
    assert main(['cache']) == 1 and 'EMU_CACHE' in one_line(capsys)


@pytest.mark.parametrize('words', [['-h'], ['run', '-h'], ['run', '--help'], ['run', '-help'], ['guest', '-h'], ['--version']])
def test_help(capsys, words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0 and 'emu' in capsys.readouterr().out


def test_cache_shows_and_clears(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv('EMU_CACHE', str(tmp_path / 'emu'))
    assert main(['cache']) == 0 and 'empty' in capsys.readouterr().out
    (tmp_path / 'emu/guests').mkdir(parents=True)
    (tmp_path / 'emu/guests/big').write_bytes(bytes(2_000_000))
    assert main(['cache', 'clear']) == 0 and '2.0 MB' in capsys.readouterr().out
    assert not (tmp_path / 'emu/guests').exists()


def test_cache_that_cannot_be_cleared(capsys, monkeypatch, tmp_path):
    """The line says which entry; rmtree names files relative to their folder."""
    def rmtree(path): raise OSError(errno.EROFS, os.strerror(errno.EROFS), 'lock')
    monkeypatch.setenv('EMU_CACHE', str(tmp_path))
    monkeypatch.setattr('shutil.rmtree', rmtree)
    (tmp_path / 'archive').mkdir()
    assert main(['cache', 'clear']) == 1 and one_line(capsys) == f'emu: {tmp_path}/archive: read-only file system\n'


def test_stats_as_json_and_as_a_table(capsys, tmp_path):
    """Three parts, always there, in this order."""
    stats = {'time': {'wall': 1.5}, 'guest': {'instructions': 1234567, 'interrupts': {'irq0': 3}}}
    report(stats, str(tmp_path / 's'))
    read = json.loads((tmp_path / 's').read_text())
    assert list(read) == ['guest', 'cache', 'devices', 'time'] and read['guest'] == stats['guest'] and read['cache'] == {}
    report(stats, '-')
    rows = dict(line.split() for line in capsys.readouterr().out.splitlines() if line.startswith('  '))
    assert rows == {'instructions': '1,234,567', 'interrupts.irq0': '3', 'wall': '1.500'}


def test_bench_runs_what_is_in_the_source_tree(capsys):
    assert main(['bench']) == 0
    assert {'boot', 'hit_ratio', 'speed'} <= set(capsys.readouterr().out.split())
    assert main(['bench', 'nothing']) == 1
    assert "no bench 'nothing'" in one_line(capsys)
