"""How fast devices are under emu and under QEMU (TCG) in turn: bench/reports/devices.md.

Linux: Debian's kernel with its drivers; a script in its initramfs runs dd on the raw disk and CD, first with bus-master DMA, then, in a second boot, with PIO
(libata.dma=0). Writes go to a snapshot. Bare: a floppy boots bench/guest/rates.S by SeaBIOS, which tries the display adapter, single ports and the floppy itself.
Times are the host's, from the line before a piece of work to the line after it; CPU time is what the machine's processes used meanwhile.
"""
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from _watch import EMU, QEMU, Failure, Watched, arguments, host, qemu_version, write_report
from tqdm import tqdm

from emu import guests
from emu.assembler import assemble
from emu.guests import initramfs

MB = 1 << 20
DISK = 256  # megabytes of the disk that is made
FLOPPY = 1440 << 10
BARE = Path(__file__).parent / 'guest' / 'rates.S'
Times = dict[str, tuple[float, float]]  # seconds of each test, and of CPU time


class Test(NamedTuple):
    """A dd, and the megabytes that it moves."""

    name: str
    dd: str
    size: float


class Rate(NamedTuple):
    """A piece of work of rates.S, how often it is done, and how its time is told: seconds x `scale` / count, or count x `scale` / seconds."""

    name: str
    what: str
    count: int
    scale: float
    unit: str
    speed: bool = False

    def tell(self, seconds: float) -> str:
        """The figure."""
        value = self.count * self.scale / seconds if self.speed else seconds * self.scale / self.count
        return f'{value:.3g}'


RATES = (
    Rate('scroll', 'scroll of 640x480x16, write mode 1', 200, 1e3, 'ms each'),
    Rate('scroll10h', "scroll of 640x480x16 by the BIOS's INT 10h", 40, 1e3, 'ms each'),
    Rate('masked', 'screen of 640x480x16, set/reset and bit mask, a byte at a time', 40, 1e3, 'ms each'),
    Rate('text', 'scroll of 80x25 text', 2000, 1e3, 'ms each'),
    Rate('mode13h', 'screen of 320x200x256, rep stosw', 4000, 1e3, 'ms each'),
    Rate('in61h', 'IN from port 61h', 1_000_000, 1e-6, 'millions/s', True),
    Rate('in3dah', 'IN from 3DAh (VGA status)', 4_000_000, 1e-6, 'millions/s', True),
    Rate('in1f7h', 'IN from 1F7h (IDE status)', 1_000_000, 1e-6, 'millions/s', True),
    Rate('out80h', 'OUT to 80h', 10_000_000, 1e-6, 'millions/s', True),
    Rate('timer', 'counter 0 latched and read: an OUT, two INs', 100_000, 1e-6, 'millions/s', True),
    Rate('floppy', 'floppy read by INT 13h, a track at a time', 160, 18 * 512 / MB, 'MB/s', True),
)


def tests(pio: bool, cd: float) -> list[Test]:
    """PIO moves less, it takes long enough."""
    part = 16 if pio else 1
    return [Test('disk read', f'if=/dev/sda of=/dev/null bs=64k count={4096 // part}', 256 / part),
            Test('disk read, O_DIRECT', f'if=/dev/sda of=/dev/null bs=64k count={3200 // part} iflag=direct', 200 / part),
            Test('disk write', f'if=/dev/zero of=/dev/sda bs=64k count={2048 // part} seek=2000 conv=fsync', 128 / part),
            Test('CD read', 'if=/dev/sr0 of=/dev/null bs=64k', cd)]


def script(each: list[Test]) -> bytes:
    """What the guest runs."""
    lines = [f'echo "START {test.name}"; dd {test.dd} 2>/dev/null && echo "END {test.name}"\n' for test in each]
    return ('#!/bin/sh\nsleep 1\n' + ''.join(lines)).encode()


def boot_floppy() -> bytes:
    """rates.S on a disk that its boot sector loads it from."""
    code = assemble(''.join(f'N_{rate.name.upper()} = {rate.count}\n' for rate in RATES) + BARE.read_text(), 16, 0x7c00)
    assert len(code) <= 9 * 512
    return code.ljust(FLOPPY, b'\xa5')


def once(command: list[str], names: list[str], timeout: float) -> Times:
    """Runs a machine until it has done these."""
    with Watched(command) as machine:
        took = {}
        for name in names:
            start, used = machine.wait_for(f'START {name}\r'.encode(), timeout)[0], machine.cpu_seconds()
            took[name] = machine.wait_for(f'END {name}\r'.encode(), timeout)[0] - start, machine.cpu_seconds() - used
        if re.search(rb'^X\r', machine.output, re.MULTILINE): raise Failure("the guest's BIOS could not read its floppy")
    return took


def commands(folder: Path, guest: Path) -> dict[tuple[str, str], list[str]]:
    """How each system is started for each of the three runs; what is on the disks is of no interest."""
    bios = guests.get('firmware')
    qemu = [*QEMU, '-monitor', 'none', '-serial', 'stdio']
    emu, told = [*EMU, 'run', '-serial', 'stdio', '-archive', 'off'], ['-m', '256', '-display', 'none', '-no-reboot', '-snapshot']
    made: dict[tuple[str, str], list[str]] = {}
    for mode in ('DMA', 'PIO'):
        append = 'console=ttyS0 quiet modules=1 end=poweroff run=/dd.sh' + ' libata.dma=0' * (mode == 'PIO')
        files = ['-kernel', str(guest / 'vmlinuz-686'), '-initrd', str(folder / f'initramfs-{mode}'), '-hda', str(folder / 'disk'), '-cdrom', str(folder / 'cd')]
        for name, program in (('emu', emu), ('QEMU', qemu)): made[name, mode] = [*program, *told, *files, '-append', append]
    bare = ['-hda', str(folder / 'disk'), '-fda', str(folder / 'floppy'), '-boot', 'a']
    made['emu', 'bare'] = [*emu, *told, *bare, '-bios', str(bios['bios-256k.bin']), '-vgabios', str(bios['vgabios-stdvga.bin'])]
    made['QEMU', 'bare'] = [*qemu, *told, '-drive', f'file={folder / "floppy"},if=floppy,format=raw', '-drive', f'file={folder / "disk"},if=ide,format=raw', '-boot', 'a']
    return made


def main() -> int:
    options = arguments(__doc__, 1, 200)
    options.add_argument('--guest', type=Path, help='a folder with vmlinuz-686 and initramfs-686.gz (default: what `emu guest get linux` makes)')
    options.add_argument('--cd', type=int, default=64, help='megabytes of the CD (default 64)')
    given = options.parse_args()
    guest = given.guest or guests.get('linux')['vmlinuz-686'].parent
    modes = {'DMA': tests(False, given.cd), 'PIO': tests(True, given.cd)}
    names = {mode: [test.name for test in each] for mode, each in modes.items()} | {'bare': [rate.name for rate in RATES]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, size in (('disk', DISK), ('cd', given.cd)): (folder / name).write_bytes(b'\xa5' * (size * MB))
        (folder / 'floppy').write_bytes(boot_floppy())
        for mode, each in modes.items(): (folder / f'initramfs-{mode}').write_bytes((guest / 'initramfs-686.gz').read_bytes() + initramfs.build([], {'dd.sh': script(each)}))
        told = commands(folder, guest)
        runs: dict[tuple[str, str], list[Times]] = {key: [] for key in told}
        for key in tqdm(list(told) * given.repeat, unit='boot', disable=None):
            try:
                runs[key].append(once(told[key], names[key[1]], given.timeout))
            except Failure as failure:
                print(f'{key[0]}, {key[1]}: {failure}', file=sys.stderr)
                return 1

    def medians(mode: str, name: str) -> tuple[float, float, str]:
        """Seconds of emu and of QEMU, and the ratios of time and CPU time as the end of a line."""
        (ours, our_cpu), (theirs, their_cpu) = ([statistics.median(run[name][n] for run in runs[system, mode]) for n in (0, 1)] for system in ('emu', 'QEMU'))
        return ours, theirs, f'{ours / theirs:.2f} | {our_cpu / max(their_cpu, 0.01):.2f} |\n'
    lines = [f'# Devices\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
             f'{given.repeat} run(s) of each; medians. Load average during the runs: {os.getloadavg()[1]:.1f}; above 1 the times of both are\n'
             'as noisy as that, and CPU time tells more.\n\n## dd under Linux\n\n'
             '| what | MB/s, emu | QEMU | time, emu : QEMU | CPU time, emu : QEMU |\n| --- | ---: | ---: | ---: | ---: |\n']
    for mode, each in modes.items():
        for test in each:
            ours, theirs, ratios = medians(mode, test.name)
            lines.append(f'| {test.name}, {mode} | {test.size / ours:.0f} | {test.size / theirs:.0f} | {ratios}')
    lines.append('\n## Without a system\n\n| what | unit | emu | QEMU | time, emu : QEMU | CPU time, emu : QEMU |\n| --- | --- | ---: | ---: | ---: | ---: |\n')
    for rate in RATES:
        ours, theirs, ratios = medians('bare', rate.name)
        lines.append(f'| {rate.what} | {rate.unit} | {rate.tell(ours)} | {rate.tell(theirs)} | {ratios}')
    write_report(given.out, 'devices.md', ''.join(lines))
    return 0


if __name__ == '__main__':
    sys.exit(main())
