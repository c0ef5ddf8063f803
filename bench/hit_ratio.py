"""The translation cache: misses of each policy by simulation of recorded runs, wall time by live ones, what counting costs, what the archive saves:
bench/reports/hit_ratio.md, hit_ratio.png.

Traces are recorded once and kept (--traces), so are the results of simulations until policies or simulator change. emu/tcache/simulator.py says what a miss is.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from _live import ARCHIVE, COUNTING, SETTINGS, rounds, self_modifying
from _simulate import sweep
from _tables import plot, reaches, simulated
from _told import told
from _watch import EMU, REPORTS, ROOT, Failure, host, qemu_version, write_report
from _workloads import OPTIMISED, USERLAND, record
from tqdm import tqdm

from emu import cache


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    arguments.add_argument('--workloads', default=','.join(['boot', 'segments', *USERLAND, *OPTIMISED]), help='names with commas (default: all)')
    arguments.add_argument('--traces', type=Path, default=cache.directory('traces'), help='where they are kept')
    arguments.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='simulations at a time')
    arguments.add_argument('--repeat', type=int, default=2, help='rounds of live runs (default 2); 0: none, those of the last time are kept')
    arguments.add_argument('--out', type=Path, default=REPORTS)
    given = arguments.parse_args()
    names, folder, started, load = given.workloads.split(','), given.traces, time.perf_counter(), os.getloadavg()[0]
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([*EMU, 'setup'], cwd=ROOT, check=True)
    with tqdm(total=len(names), desc='recording', unit='trace', disable=None) as bar: record(names, folder, lambda name: bar.update() and None)
    with ProcessPoolExecutor(given.jobs) as pool:
        done = pool.map(sweep, [folder / f'{name}.trace' for name in names])
        results = {name: found for name, found in zip(names, tqdm(done, total=len(names), desc='simulating', unit='trace', disable=None))}
    last = folder / 'live.json'
    if given.repeat:
        try:
            live = {'self-modifying': list(tqdm(self_modifying(3), total=2, desc='self-modifying', unit='kernel', disable=None))}
            for name, count, settings in (('counting', 2 * given.repeat + 1, COUNTING), ('archive', given.repeat, ARCHIVE), ('live', given.repeat, SETTINGS)):
                live[name] = list(tqdm(rounds(count, settings), total=count * len(settings), desc=name, unit='run', disable=None))
        except (OSError, subprocess.CalledProcessError, Failure) as error:
            print(f'live runs: {error} (QEMU and gcc with -m32 are needed: qemu-system-x86, gcc-multilib)', file=sys.stderr)
            return 1
        last.write_text(json.dumps(live))
    else: live = json.loads(last.read_text()) if last.exists() else {}
    given.out.mkdir(parents=True, exist_ok=True)
    plot(results, live.get('live', []), given.out / 'hit_ratio.png')
    text = [f'# Translation cache: policies\n\n{host()}; {qemu_version()}; {time.strftime("%Y-%m-%d")}; load average at the start {load:.1f}; '
            f'{(time.perf_counter() - started) / 60:.0f} minutes{"" if given.repeat else "; live runs are those of the last time" if live else "; no live runs"}.\n',
            reaches(results, live), '![miss rates](hit_ratio.png)\n', *simulated(results), *(told(live) if live else [])]
    write_report(given.out, 'hit_ratio.md', '\n'.join(text))
    return 0


if __name__ == '__main__':
    sys.exit(main())
