"""Cache hit ratios: boots Linux at several translation cache sizes under each policy; a table and a plot of miss rate and time against size.

    python bench/hit_ratio.py [--sizes 1,2,4,16] [--out bench/reports]

A miss is a lookup by compiled code of a block that has no translation; `recompiles` are translations of blocks that had one before and lost it.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
from tqdm import tqdm

from emu import guests

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

POLICIES = ('flush', 'fifo', 'generational')


def boot(policy: str, megabytes: int) -> dict[str, float]:
    """One boot to power-off: miss rate, recompiles, seconds."""
    linux = guests.get('linux')
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / 'stats.json'
        started = time.monotonic()
        subprocess.run([sys.executable, '-m', 'emu', 'run', '-archive', 'off', '-m', '256', '-nographic', '-no-reboot', '-serial', 'null', '-kernel', str(linux['vmlinuz-686']),
                        '-initrd', str(linux['initramfs-686-tiny.gz']), '-append', 'console=ttyS0 end=poweroff', '-tcache-size', f'{megabytes}M',
                        '-tcache-policy', policy, '-stats', str(stats)], check=True, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        cache = json.loads(stats.read_text())['cache']
    return {'seconds': seconds, 'miss rate': 1 - cache['hits'] / cache['lookups'], 'recompiles': cache.get('recompiles', 0), 'compiles': cache.get('compiles', 0),
            'promotions': cache.get('promotions', 0), 'coverage': cache['coverage']}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument('--sizes', default='1,2,4,8,32', help='megabytes, with commas')
    arguments.add_argument('--out', type=Path, default=Path(__file__).parent / 'reports')
    chosen = arguments.parse_args()
    sizes = [int(s) for s in chosen.sizes.split(',')]
    runs = {(p, s): boot(p, s) for p, s in tqdm([(p, s) for p in POLICIES for s in sizes], desc='boots', unit='boot')}
    lines = ['# Translation cache: a Linux boot under each policy', '', '| policy | MB | seconds | miss rate | compiles | recompiles | promotions | coverage |',
             '| --- | --- | --- | --- | --- | --- | --- | --- |']
    for (policy, size), r in runs.items():
        lines.append(f'| {policy} | {size} | {r["seconds"]:.1f} | {r["miss rate"]:.4%} | {r["compiles"]} | {r["recompiles"]} | {r["promotions"]} | {r["coverage"]:.1%} |')
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / 'hit_ratio.md').write_text('\n'.join(lines) + '\n')
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, what in zip(axes, ('miss rate', 'seconds')):
        for policy in POLICIES:
            axis.plot(sizes, [runs[policy, s][what] for s in sizes], marker='o', label=policy)
        axis.set(xscale='log', xlabel='translation cache, MB', ylabel=what, title=f'Linux boot: {what}')
        axis.legend()
    figure.tight_layout()
    figure.savefig(chosen.out / 'hit_ratio.png', dpi=100)
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
