"""What bench/hit_ratio.py records: Linux's boot, programs of the disk image's userland alone and one after the other, and 16-bit code segments that come and go."""
import time
from pathlib import Path
from typing import Callable, Iterable

from _watch import EMU, ROOT, Watched

from emu import guests
from emu.assembler import assemble
from emu.server.client import Client

LIMIT = 1200  # seconds for one step
# By name: what is typed in the guest. `w NAME...` runs parts of the workload (emu/guests/workload.sh) whose data is there already.
USERLAND = {
    'gcc': 'w gcc', 'tcc': 'w tcc', 'sqlite': 'w sqlite', 'perl': 'w perl', 'python': 'w python', 'shell': 'w shell', 'nasm': 'w nasm', 'openssl': 'w openssl',
    'together': 'w tcc & w sqlite & w perl & wait', 'phases': 'for i in 1 2 3; do w tcc; w bc; w nasm; done',
}
PREPARE = ("sed '/^data$/d' /opt/workload.sh >/tmp/w.sh; sed '/^data$/,$d' /opt/workload.sh >/tmp/d.sh; echo data >>/tmp/d.sh; bash /tmp/d.sh; w() { bash /tmp/w.sh $*; }")


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
        with Watched(boot('-engine', 'stencils', '-tcache-size', '1G', '-trace', str(path) + '.part')) as machine: machine.finish(LIMIT)
        Path(str(path) + '.part').rename(path)
        done('boot')
    if 'segments' in missing:
        path, image = folder / 'segments.trace', folder / 'segments.img'
        image.write_bytes(assemble((ROOT / 'bench/guest/segments.S').read_text(), 16, 0x7c00).ljust(1440 << 10, b'\0'))
        with Watched(segments(image, '-engine', 'stencils', '-tcache-size', '1G', '-trace', str(path) + '.part')) as machine: machine.finish(LIMIT)
        Path(str(path) + '.part').rename(path)
        done('segments')
    if not any(name in USERLAND for name in missing): return
    control = folder / 'control'
    with Watched(userland('-engine', 'stencils', '-tcache-size', '1G', '-control', str(control))) as machine:
        machine.wait_for(b'USERLAND-READY[\\s\\S]*# ', LIMIT)
        type_line(machine, PREPARE)
        client = Client(str(control))
        for name in missing:
            if name not in USERLAND: continue
            path = folder / f'{name}.trace'
            client.execute('trace', {'filename': str(path) + '.part'})
            type_line(machine, USERLAND[name])
            client.execute('trace')
            Path(str(path) + '.part').rename(path)
            done(name)
        client.close()
