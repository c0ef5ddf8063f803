"""How long Debian's kernel takes to boot to the last line of its checks, and SeaBIOS to a boot loader, a userland and its programs, under emu and under QEMU (TCG) in turn:
bench/reports/boot.md.

emu runs from a cache directory that holds what `emu setup` makes and nothing else, a fresh copy for each run: nothing of the guest is kept.
Also: how long setup takes, where emu's time goes (its --stats), and the CPU time of a guest that is idle at its prompt.
Times are from the start of the process.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from _watch import EMU, QEMU, ROOT, Failure, Watched, arguments, host, qemu_version, write_report
from tqdm import tqdm

from emu import guests

MARKERS = ('GUEST-READY', 'GUEST-CHECKS-DONE')
LOADER, USERLAND = 'to `boot:`', 'from there to USERLAND-READY'
PROGRAMS = 'python perl sqlite openssl gzip xz bzip2 lua luajit bc awk shell tcc gcc nasm'.split()  # of emu/guests/workload.sh, in its order
CHECKS = ('busybox', 'arithmetic', 'text', 'fork', 'signal')  # what must be the same everywhere (emu/guests/init)
PROMPT = rb'GUEST-CHECKS-DONE[\s\S]*# (\x1b\[6n)?$'
SETTLE = 3  # seconds after the prompt before idling is measured
Run = dict[str, float]


class Boot:
    """The guests and how each system is told to run them; a marker that takes longer than `timeout` is a failure."""

    def __init__(self, flavour: str, memory: int, engine: str, timeout: float, cache: Path):
        files = guests.get('linux')
        kernel, initrd = files[f'vmlinuz-{flavour}'], files[f'initramfs-{flavour}-tiny.gz']
        self.common = ['-m', str(memory), '-nographic', '-no-reboot']
        self.guest = ['-kernel', str(kernel), '-initrd', str(initrd)]
        self.engine, self.timeout, self.cache = engine, timeout, cache

    @contextmanager
    def started(self, system: str, told: list[str]) -> Iterator[Watched]:
        """A machine that boots, for the length of a `with`."""
        program = [*EMU, 'run', '-serial', 'stdio', '-engine', self.engine, '-archive', 'off'] if system == 'emu' else QEMU
        with tempfile.TemporaryDirectory() as folder:
            if system == 'emu': shutil.copytree(self.cache, folder, dirs_exist_ok=True)
            with Watched([*program, *self.common, *told], {'EMU_CACHE': folder}) as machine: yield machine

    def once(self, system: str, stats: Path | None) -> tuple[Run, dict[str, str]]:
        """Seconds to each marker, to the end, and of CPU time; what the checks said."""
        told = ['-stats', str(stats)] if stats else []
        with self.started(system, [*self.guest, '-append', 'console=ttyS0 end=poweroff', *told]) as machine:
            run = {marker: machine.wait_for(marker.encode(), self.timeout)[0] for marker in MARKERS}
            run['CPU'] = machine.cpu_seconds()
            machine.finish(30)
            run['end'] = time.perf_counter() - machine.start
            text = machine.output.decode(errors='replace')
        return run, {name: found[1].strip() for name in CHECKS if (found := re.search(rf'^check {name}: (.*)', text, re.MULTILINE))}

    def idle(self, system: str, seconds: float) -> float:
        """The share of one core used at the shell's prompt."""
        with self.started(system, [*self.guest, '-append', 'console=ttyS0']) as machine:
            machine.wait_for(PROMPT, self.timeout)
            time.sleep(SETTLE)
            before = machine.cpu_seconds()
            time.sleep(seconds)
            return (machine.cpu_seconds() - before) / seconds

    def from_disk(self, system: str, programs: list[str]) -> tuple[Run, dict[str, str]]:
        """Seconds from SeaBIOS to SYSLINUX, to the userland of the disk, and of each program in it; their digests."""
        bios = guests.get('firmware')
        told = ['-snapshot', '-hda', str(guests.get('disk')['disk.img'])]
        if system == 'emu': told += ['-bios', str(bios['bios-256k.bin']), '-vgabios', str(bios['vgabios-stdvga.bin'])]
        run, digests = {}, {}
        with self.started(system, told) as machine:
            run[LOADER] = last = machine.wait_for(b'boot: ', self.timeout)[0]
            machine.type(b'work\r')
            for name, line in ((USERLAND, b'USERLAND-READY'), *((program, rb'WORK %s \S+ (\w{12})' % program.encode()) for program in programs)):
                at, digests[name] = machine.wait_for(line, self.timeout)
                run[name], last = at - last, at
        return run, digests


def setup(cache: Path) -> float:
    """Seconds that `emu setup` takes."""
    start = time.perf_counter()
    subprocess.run([*EMU, 'setup'], cwd=ROOT, check=True, env={**os.environ, 'EMU_CACHE': str(cache)})
    return time.perf_counter() - start


def table(runs: dict[str, list[Run]]) -> str:
    """Every run's seconds, and the medians."""
    columns = (*MARKERS, 'end', 'CPU')
    lines = [f'| run | {" | ".join(columns)} |\n| --- |{" ---: |" * len(columns)}\n']
    for system, each in runs.items():
        for n, run in enumerate(each, 1): lines.append(f'| {system} {n} | {" | ".join(f"{run[c]:.2f}" for c in columns)} |\n')
        if each: lines.append(f'| **{system}, median** | {" | ".join(f"**{median(each, c):.2f}**" for c in columns)} |\n')
    return ''.join(lines)


def disk_table(runs: dict[str, list[Run]]) -> str:
    """The medians from SeaBIOS on, and their ratios."""
    systems = list(runs)
    lines = [f'| seconds | {" | ".join(systems)} | {" : ".join(systems)} |\n| --- |{" ---: |" * (len(systems) + 1)}\n']
    for column in runs[systems[0]][0]:
        each = [median(runs[system], column) for system in systems]
        lines.append(f'| {column} | {" | ".join(f"{seconds:.2f}" for seconds in each)} | {each[0] / each[-1]:.2f} |\n')
    return ''.join(lines)


def median(runs: list[Run], column: str) -> float:
    return statistics.median(run[column] for run in runs)


def breakdown(stats: dict[str, dict]) -> str:
    """Where emu's time went, and the cache's totals, of its median run's stats."""
    total = stats['time'].get('total', 0)
    lines = [f'| {name} | {value:.2f} | {value / total:.0%} |\n' for name, value in stats['time'].items() if isinstance(value, (int, float)) and total]
    kept = [f'| {part}.{name} | {value:,.4g} | |\n' for part in ('guest', 'cache') for name, value in stats[part].items() if isinstance(value, (int, float))]
    return f'| time | s | share |\n| --- | ---: | ---: |\n{"".join(lines)}\n| count | | |\n| --- | ---: | --- |\n{"".join(kept)}'


def main() -> int:
    options = arguments(__doc__, 3, 300)
    options.add_argument('--flavour', choices=('686', '686-pae'), default='686')
    options.add_argument('--memory', type=int, default=256, help='megabytes (default 256)')
    options.add_argument('--engine', default='optimise', choices=('interpreter', 'stencils', 'optimise'), help='highest engine of emu (default: all)')
    options.add_argument('--systems', default='both', choices=('emu', 'QEMU', 'both'), help='default: both')
    options.add_argument('--idle', type=float, default=30, help='seconds to watch the idle guest; 0: not at all (default 30)')
    options.add_argument('--cache', type=Path, help='where `emu setup` was done before (default: done anew, and timed)')
    options.add_argument('--disk', type=int, default=1, help='boots of the disk with the workload; 0: none (default 1)')
    options.add_argument('--programs', type=int, default=len(PROGRAMS), help='how many programs of the workload are waited for (default: all)')
    given = options.parse_args()
    systems = ['emu', 'QEMU'] if given.systems == 'both' else [given.systems]
    runs: dict[str, list[Run]] = {system: [] for system in systems}
    checks: dict[str, dict[str, str]] = {}
    lines = [f'# Boot time\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}.\n'
             f'Debian kernel {given.flavour}, {given.memory} MB, engine {given.engine}; seconds from the start of the process.\n']
    with tempfile.TemporaryDirectory() as temporary:
        cache, stats = given.cache or Path(temporary, 'cache'), Path(temporary, 'stats.json')
        cache.mkdir(exist_ok=True)
        took = setup(cache) if 'emu' in systems else 0
        boot = Boot(given.flavour, given.memory, given.engine, given.timeout, cache)
        try:
            for system in tqdm(systems * given.repeat, unit='boot', disable=None):
                run, said = boot.once(system, stats if system == 'emu' else None)
                runs[system].append(run)
                if checks.setdefault(system, said) != said: raise Failure(f'the checks say {said}, said {checks[system]} before')
            from_disk: dict[str, list[Run]] = {system: [] for system in systems}
            digests: dict[str, dict[str, str]] = {}
            for system in tqdm(systems * given.disk, unit='boot', disable=None):
                run, digests[system] = boot.from_disk(system, PROGRAMS[:given.programs])
                from_disk[system].append(run)
            idle = {system: boot.idle(system, given.idle) for system in systems} if given.idle else {}
        except Failure as failure:
            print(f'{system}: {failure}', file=sys.stderr)
            return 1
        lines.append(table(runs))
        if 'emu' in systems and 'QEMU' in systems:
            ratio = median(runs['emu'], MARKERS[-1]) / median(runs['QEMU'], MARKERS[-1])
            agree = 'agree' if checks['emu'] == checks['QEMU'] else f'DIFFER: {checks}'
            lines.append(f'emu : QEMU, medians to {MARKERS[-1]}: **{ratio:.2f}**. The checks {agree}.\n')
        if 'emu' in systems: lines.append(f'`emu setup` before: {took:.1f} s{" (in a cache given)" if given.cache else ", from nothing"}.\n')
        if idle: lines.append(f'Idle at the prompt over {given.idle:g} s: {", ".join(f"{system} {share:.1%} of a core" for system, share in idle.items())}.\n')
        if given.disk:
            agree = 'agree' if len({str(sorted(each.items())) for each in digests.values()}) == 1 else f'DIFFER: {digests}'
            lines.append(f"## SeaBIOS, SYSLINUX, Debian's programs on ext4\n\n{given.disk} run(s) of each; seconds of the host from one line to the next, the first program with "
                         f'the making of its data. The digests {agree}.\n\n{disk_table(from_disk)}')
        if stats.exists(): lines.append(f"## Where emu's time goes (last run)\n\n{breakdown(json.loads(stats.read_text()))}")
    report = '\n'.join(lines)
    write_report(given.out, 'boot.md', report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
