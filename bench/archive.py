"""What the archive of translations saves: a boot, and a boot with programs, each without archive, with an empty one, and with what that run has left: bench/reports/archive.md.

Each round starts from a cache directory that holds what `emu setup` makes and nothing else. Boot: Debian's kernel to the last line of its checks. Programs: the
kernel, and in its userland some of emu/guests/workload.sh, the compiler gcc (cc1) among them, whose time goes into translating. Times are from the start of the process
or from line to line, medians over the rounds.
"""
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _watch import EMU, Failure, Watched, arguments, host, write_report
from boot import setup
from tqdm import tqdm

from emu import guests
from emu.stats import flat

RUNS = ('off', 'first', 'second')  # without archive, filling it, with what the one before has left
MARKERS = ('GUEST-READY', 'GUEST-CHECKS-DONE')
PROGRAMS = ('gcc', 'tcc', 'shell', 'python')
COUNTS = {'LLVM, s': 'time.llvm, in the worker', 'regions asked of LLVM': 'cache.revival.misses', 'found on disk': 'cache.archive.hits', 'revived in memory': 'cache.revival.hits',
          'archiving and reviving, s': 'time.reviving and archiving', 'running, s': 'time.running', 'total, s': 'time.total',
          'decoding and patching, s': 'time.decoding and patching', 'archive, bytes': 'cache.archive.bytes',
          'damaged entries': 'cache.archive.bad', 'guest instructions': 'guest.instructions'}  # by their names in --stats
CPU = 'CPU, s'  # of all processes, LLVM's too
Run = dict[str, float]


def once(kind: str, words: list[str], lines: dict[str, bytes], cache: Path, timeout: float) -> tuple[Run, list[str]]:
    """Seconds to each line, then what --stats says; and what the guest has said that must not differ."""
    run: Run = {'load average before': os.getloadavg()[0]}
    stats = cache / 'stats.json'
    command = [*EMU, 'run', '-nographic', '-m', '256', '-no-reboot', *words, '-stats', str(stats), *(('-archive', 'off') if kind == 'off' else ())]
    with Watched(command, {'EMU_CACHE': str(cache)}) as machine:
        last = 0.0
        for name, line in lines.items():
            at = machine.wait_for(line, timeout)[0]
            run[name], last = at - last if name in PROGRAMS else at, at
        run[CPU] = machine.cpu_seconds()
        if machine.finish(60): raise Failure(f'it ended with an error; {machine.last()}')
        said = re.findall(rb'^(?:check (?:busybox|arithmetic|text|fork|signal):|WORK).*', machine.output, re.MULTILINE)
    told = {f'{part}.{name}': value for part, values in json.loads(stats.read_text()).items() for name, value in flat(values)}
    return run | {name: told.get(value, 0) for name, value in COUNTS.items()}, [re.sub(r'(WORK \w+) \S+', r'\1', line.decode().strip()) for line in said]


def workloads(programs: bool) -> dict[str, tuple[list[str], dict[str, bytes]]]:
    """Options and the lines to wait for, of each workload."""
    files = guests.get('linux')
    lines = {marker: marker.encode() for marker in MARKERS}
    boot = ['-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686-tiny.gz']), '-append', 'console=ttyS0 end=poweroff']
    found = {'boot': (boot, lines)}
    if not programs: return found
    work = f'console=ttyS0 end=poweroff modules=1 root=/dev/sda2 run=/opt/workload.sh${{IFS}}{"${IFS}".join(PROGRAMS)}'
    disk = ['-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686.gz']), '-snapshot', '-hda', str(guests.get('disk')['disk.img']), '-append', work]
    return found | {'programs': (disk, lines | {'USERLAND-READY': b'USERLAND-READY'} | {name: rb'WORK %s \S+ \w{12}' % name.encode() for name in PROGRAMS})}


def table(runs: dict[str, list[Run]]) -> str:
    """Medians, and the second run as a part of the first."""
    lines = ['| | without | first | second | second : first |\n| --- | ---: | ---: | ---: | ---: |\n']
    for name in runs['off'][0]:
        off, first, second = (statistics.median(run[name] for run in runs[kind]) for kind in RUNS)
        lines.append(f'| {name} | {off:,.2f} | {first:,.2f} | {second:,.2f} | {f"{second / first:.2f}" if first else "-"} |\n')
    return ''.join(lines)


def summary(runs: dict[str, list[Run]], lines: dict[str, bytes]) -> str:
    """What the archive promises, and what came of it."""
    llvm = [statistics.median(run['LLVM, s'] for run in runs[kind]) for kind in RUNS]
    ends = [statistics.median(sum(run[name] for name in lines if name in PROGRAMS) + run[MARKERS[-1]] for run in runs[kind]) for kind in RUNS]
    cpu = [statistics.median(run[CPU] for run in runs[kind]) for kind in RUNS]
    filling = statistics.median(run['archiving and reviving, s'] / run['total, s'] for run in runs['first'])
    return (f'Of the seconds that LLVM took in the first run, the second saves **{1 - llvm[2] / llvm[1]:.1%}**. Filling the archive takes {filling:.2%} of the first run; '
            f'by the clock the first run takes {ends[1] / ends[0]:.3f} times what a run without takes, the second {ends[2] / ends[0]:.3f} times; '
            f'CPU time {cpu[1] / cpu[0]:.3f} and {cpu[2] / cpu[0]:.3f} times.\n')


def main() -> int:
    options = arguments(__doc__, 3, 600)
    options.add_argument('--cache', type=Path, help='where `emu setup` was done before (default: done anew)')
    options.add_argument('--programs', type=int, default=1, help='rounds of the programs; 0: none (default 1)')
    given = options.parse_args()
    report = [f'# The archive of translations\n\n{host()}; {time.strftime("%Y-%m-%d")}; load average at the start {os.getloadavg()[0]:.1f}. Debian kernel 686, 256 MB.\n']
    with tempfile.TemporaryDirectory() as base:
        if not given.cache: setup(Path(base))
        compiled = (given.cache or Path(base)) / 'compiled'
        for name, (words, lines) in workloads(given.programs > 0).items():
            rounds = given.programs if name == 'programs' else given.repeat
            runs: dict[str, list[Run]] = {kind: [] for kind in RUNS}
            outputs = []
            for _ in tqdm(range(rounds), desc=name, unit='round', disable=None):
                with tempfile.TemporaryDirectory() as folder:
                    shutil.copytree(compiled, Path(folder, 'compiled'))
                    for kind in RUNS:
                        try:
                            run, said = once(kind, words, lines, Path(folder), given.timeout)
                        except Failure as failure:
                            print(f'{name}, {kind}: {failure}', file=sys.stderr)
                            return 1
                        runs[kind].append(run)
                        outputs.append(said)
            agree = 'says the same in all runs' if all(said == outputs[0] for said in outputs) else f'DIFFERS: {outputs}'
            report.append(f'## {name.capitalize()}\n\nMedians of {rounds} round(s). {summary(runs, lines)}\n{table(runs)}\nThe guest {agree}.\n')
    write_report(given.out, 'archive.md', '\n'.join(report))
    return 0


if __name__ == '__main__':
    sys.exit(main())
