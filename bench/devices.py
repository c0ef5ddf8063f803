"""How fast Linux reads and writes disks and CDs, under emu and under QEMU (TCG) in turn: bench/reports/devices.md.

The guest is Debian's kernel with its drivers; a script in its initramfs runs dd on the raw devices, first with bus-master DMA, then, in a second boot, with PIO
(libata.dma=0). Writes go to a snapshot. Times are the host's, from the line before a dd to the line after it; CPU time is what the machine's processes used meanwhile.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from _watch import EMU, REPORTS, Failure, Watched, host, qemu_version
from tqdm import tqdm

from emu import guests
from emu.guests import initramfs

MB = 1 << 20
DISK = 256  # megabytes of the disk that is made


class Test(NamedTuple):
    """A dd, and the megabytes that it moves."""

    name: str
    dd: str
    size: float


def tests(pio: bool, cd: float) -> list[Test]:
    """PIO moves less, it takes long enough."""
    part = 8 if pio else 1
    return [Test('disk read', f'if=/dev/sda of=/dev/null bs=64k count={1600 // part}', 100 / part),
            Test('disk read, O_DIRECT', f'if=/dev/sda of=/dev/null bs=64k count={800 // part} skip=2000 iflag=direct', 50 / part),
            Test('disk write', f'if=/dev/zero of=/dev/sda bs=64k count={640 // part} seek=3000 conv=fsync', 40 / part),
            Test('CD read', 'if=/dev/sr0 of=/dev/null bs=64k', cd)]


def script(each: list[Test]) -> bytes:
    """What the guest runs."""
    lines = [f'echo "START {test.name}"; dd {test.dd} 2>/dev/null && echo "END {test.name}"\n' for test in each]
    return ('#!/bin/sh\nsleep 1\n' + ''.join(lines)).encode()


def once(system: str, folder: Path, mode: str, each: list[Test], timeout: float) -> dict[str, tuple[float, float]]:
    """Seconds of each test, and of CPU time."""
    program = [*EMU, 'run', '-serial', 'stdio'] if system == 'emu' else ['qemu-system-i386', '-accel', 'tcg', '-cpu', 'pentium2', '-monitor', 'none', '-serial', 'stdio']
    append = 'console=ttyS0 quiet modules=1 end=poweroff run=/dd.sh' + ' libata.dma=0' * (mode == 'PIO')
    files = ['-kernel', str(folder / 'kernel'), '-initrd', str(folder / f'initramfs-{mode}'), '-hda', str(folder / 'disk'), '-cdrom', str(folder / 'cd')]
    with Watched([*program, '-m', '256', '-display', 'none', '-no-reboot', '-snapshot', *files, '-append', append]) as machine:
        took = {}
        for test in each:
            start, used = machine.wait_for(f'START {test.name}'.encode(), timeout)[0], machine.cpu_seconds()
            took[test.name] = machine.wait_for(f'END {test.name}'.encode(), timeout)[0] - start, machine.cpu_seconds() - used
    return took


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    arguments.add_argument('--repeat', type=int, default=1, help='boots of each (default 1)')
    arguments.add_argument('--guest', type=Path, help='a folder with vmlinuz-686 and initramfs-686.gz (default: what `emu guest get linux` makes)')
    arguments.add_argument('--cd', type=int, default=64, help='megabytes of the CD (default 64)')
    arguments.add_argument('--timeout', type=float, default=200, help='seconds to wait for a line (default 200)')
    arguments.add_argument('--out', type=Path, default=REPORTS, help='where the report goes')
    given = arguments.parse_args()
    guest = given.guest or guests.get('linux')['vmlinuz-686'].parent
    modes = {'DMA': tests(False, given.cd), 'PIO': tests(True, given.cd)}
    runs: dict[tuple[str, str], list[dict[str, tuple[float, float]]]] = {(system, mode): [] for mode in modes for system in ('emu', 'QEMU')}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / 'kernel').symlink_to((guest / 'vmlinuz-686').resolve())
        for name, size in (('disk', DISK), ('cd', given.cd)): (folder / name).write_bytes(b'\xa5' * (size * MB))
        for mode, each in modes.items():
            (folder / f'initramfs-{mode}').write_bytes((guest / 'initramfs-686.gz').read_bytes() + initramfs.build([], {'dd.sh': script(each)}))
        for system, mode in tqdm(list(runs) * given.repeat, unit='boot', disable=None):
            try:
                runs[system, mode].append(once(system, folder, mode, modes[mode], given.timeout))
            except Failure as failure:
                print(f'{system}: {failure}', file=sys.stderr)
                return 1
    lines = [f'# Disks and CDs\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
             f'{given.repeat} boot(s) of each; medians. Load average during the runs: {os.getloadavg()[1]:.1f}; above 1 the times of both are\n'
             'as noisy as that, and CPU time tells more.\n\n'
             '| what | MB/s, emu | QEMU | time, emu : QEMU | CPU time, emu : QEMU |\n| --- | ---: | ---: | ---: | ---: |\n']
    for mode, each in modes.items():
        for test in each:
            (ours, our_cpu), (theirs, their_cpu) = ([statistics.median(run[test.name][n] for run in runs[system, mode]) for n in (0, 1)] for system in ('emu', 'QEMU'))
            lines.append(f'| {test.name}, {mode} | {test.size / ours:.0f} | {test.size / theirs:.0f} | {ours / theirs:.2f} | {our_cpu / max(their_cpu, 0.01):.2f} |\n')
    report = ''.join(lines)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / 'devices.md').write_text(report)
    print(report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
