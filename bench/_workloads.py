"""What bench/hit_ratio.py records: Linux's boot, programs of the disk image's userland alone and one after the other, and 16-bit code segments that come and go."""
import time
from pathlib import Path
from typing import Callable, Iterable, Mapping

from _watch import EMU, ROOT, Watched

from emu import guests
from emu.assembler import assemble
from emu.server.client import Client

LIMIT = 1200  # seconds for one step
# The programs of emu/guests/workload.sh do here what they do there, less often: what matters is the code that they go through, not how long they stay in a loop.
SHORTER = {'220000': '60000', 'fib(22)': 'fib(18)', 'range(200000)': 'range(50000)', '<= 2000000;': '<= 200000;', 'i < 300000;': 'i < 60000;', 'i < 3000000;': 'i < 300000;',
           'i < 30000;': 'i < 6000;', 'seq 20000': 'seq 5000', 'seq 150': 'seq 40', 'seq 6000': 'seq 1500', '% 6000': '% 1500'}
# A program that generates code: 400 functions, each a loop hot enough for LuaJIT to compile, called again in another order; and once more after it has thrown all of them away.
LUAJIT = ('local f, s = {}, 0 for n = 1, 400 do f[n] = load(("local a = ... for i = 1, 300 do if i %% %d == 0 then a = (a * 31 + %d) %% 1000003 else a = bit.bxor(a, i * %d) '
          'end end return a"):format(n % 9 + 2, n, n)) end for r = 1, 8 do if r % 4 == 0 then jit.flush() end for n = 1, 400 do s = f[n * 7 * r % 400 + 1](s) end end print(s)')
# By name: what is typed in the guest. `w NAME...` runs parts of the workload.
USERLAND = {
    'gcc': 'w gcc', 'tcc': 'w tcc', 'sqlite': 'w sqlite', 'perl': 'w perl', 'python': 'w python', 'shell': 'w shell', 'nasm': 'w nasm', 'openssl': 'w openssl',
    'together': 'for n in python perl sqlite openssl tcc shell; do w $n & done; wait', 'phases': 'for i in 1 2 3; do w tcc; w bc; w nasm; done', 'luajit': f"luajit -e '{LUAJIT}'",
}
OPTIMISED = {'optimised': 'w python perl sqlite openssl tcc shell nasm'}  # recorded with optimised translations too, for which policies are compared then
RECORDED = ('-icount', '-tcache-size', '1G', '-archive', 'off')  # under -icount the guest's clock does not see how slow recording is
WORK, DATA = '/tmp/w.sh', '/tmp/d.sh'
PREPARE = (f"sed '/^data$/d;{';'.join(f's/{old}/{new}/g' for old, new in SHORTER.items())}' /opt/workload.sh >{WORK}; sed '/^for/,$d;s/220000/60000/' /opt/workload.sh >{DATA}; "
           f"bash {DATA}; w() {{ bash {WORK} $*; }}")


def boot(*options: str) -> list[str]:
    """The command that boots Linux to the end of its checks, and powers off."""
    linux = guests.get('linux')
    return [*EMU, 'run', '-m', '256', '-nographic', '-no-reboot', '-kernel', str(linux['vmlinuz-686']), '-initrd', str(linux['initramfs-686-tiny.gz']),
            '-append', 'console=ttyS0 end=poweroff', *options]


def userland(*options: str) -> list[str]:
    """The command that boots it to a shell in the disk image's userland."""
    linux = guests.get('linux')
    return [*EMU, 'run', '-m', '256', '-nographic', '-no-reboot', '-kernel', str(linux['vmlinuz-686']), '-initrd', str(linux['initramfs-686.gz']),
            '-append', 'console=ttyS0 modules=1 root=/dev/sda2', '-hda', str(guests.get('disk')['disk.img']), '-snapshot', *options]


def segments(image: Path, *options: str) -> list[str]:
    """The command that runs bench/guest/segments.S."""
    return [*EMU, 'run', '-nographic', '-serial', 'null', '-fda', str(image), '-boot', 'a', '-debug-exit', '0x501', *options]


def type_line(machine: Watched, line: str) -> float:
    """Has the shell do something; seconds it took."""
    assert machine.process.stdin
    started = time.perf_counter()
    machine.process.stdin.write(f"{line}; echo DO''NE\n".encode())
    machine.process.stdin.flush()
    machine.wait_for(b'\nDONE\r\n', LIMIT)
    return time.perf_counter() - started


def record(names: Iterable[str], folder: Path, done: Callable[[str], None]) -> None:
    """Makes the traces NAME.trace that are not in the folder yet."""
    missing = [name for name in names if not (folder / f'{name}.trace').exists()]
    if 'boot' in missing:
        path = folder / 'boot.trace'
        with Watched(boot(*RECORDED, '-engine', 'stencils', '-trace', str(path) + '.part')) as machine: machine.finish(LIMIT)
        Path(str(path) + '.part').rename(path)
        done('boot')
    if 'segments' in missing:
        path, image = folder / 'segments.trace', folder / 'segments.img'
        image.write_bytes(assemble((ROOT / 'bench/guest/segments.S').read_text(), 16, 0x7c00).ljust(1440 << 10, b'\0'))
        with Watched(segments(image, *RECORDED, '-engine', 'stencils', '-trace', str(path) + '.part')) as machine: machine.finish(LIMIT)
        Path(str(path) + '.part').rename(path)
        done('segments')
    for wanted, engine in ((USERLAND, 'stencils'), (OPTIMISED, 'optimise')):
        if steps := {name: wanted[name] for name in missing if name in wanted}: record_userland(steps, engine, folder, done)


def record_userland(steps: Mapping[str, str], engine: str, folder: Path, done: Callable[[str], None]) -> None:
    """Makes the traces of what is typed, all in one machine."""
    control = folder / 'control'
    with Watched(userland(*RECORDED, '-engine', engine, '-control', str(control))) as machine:
        machine.wait_for(b'USERLAND-READY[\\s\\S]*# ', LIMIT)
        type_line(machine, PREPARE)
        client = Client(str(control))
        for name, line in steps.items():
            path = folder / f'{name}.trace'
            client.execute('trace', {'filename': str(path) + '.part'})
            type_line(machine, line)
            client.execute('trace')
            Path(str(path) + '.part').rename(path)
            done(name)
        client.close()
