"""The translation cache's policies: misses by simulation of recorded runs, wall time by live ones, what counting costs: bench/reports/hit_ratio.md and .png.

Traces are recorded once and kept (--traces), so are the results of simulations until policies or simulator change. emu/tcache/simulator.py says what a miss is.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Iterator

import matplotlib
from _simulate import DIVISIONS, EVENTS, sweep
from _watch import EMU, REPORTS, ROOT, host
from _workloads import USERLAND, boot, record
from tqdm import tqdm

from emu import cache
from emu.tcache.policies import POLICIES
from emu.tcache.simulator import LIMITS

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

TUNED = ('boot', 'tcc', 'shell')  # the constants of `generational` were chosen on these; the others judge
NOT_COUNTED = ['-c', 'import sys; from emu import cli, cpu; cpu.Cpu.counting = False; sys.exit(cli.main(sys.argv[1:]))']
Results = dict[str, dict[str, Any]]


def capacity(results: Results, name: str, policy: str, division: int) -> int:
    """Capacity misses."""
    return next(run['capacity'] for run in results[name]['runs'] if run['policy'] == policy and run['division'] == division)


def ratios(results: Results, names: list[str], policy: str, other: str, division: int | None = None) -> list[float]:
    """A policy's capacity misses divided by another's, for each workload and size at which both have some."""
    pairs = [(capacity(results, name, policy, d), capacity(results, name, other, d)) for name in names for d in DIVISIONS if division in (None, d)]
    return [a / b for a, b in pairs if b]


def mean(values: list[float]) -> str:
    return f'{sum(values) / len(values):.2f}' if values else '-'


def simulated(results: Results) -> Iterator[str]:
    """What the simulations say, as Markdown."""
    yield '| workload | executions | translations | footprint, KB |\n| --- | ---: | ---: | ---: |\n' + ''.join(
        f'| {name}{" (tuned)" if name in TUNED else ""} | {r["executions"]:,} | {r["runs"][0]["compulsory"]:,} | {r["footprint"] / 1024:,.0f} |\n' for name, r in results.items())
    yield ('Translations are the compulsory misses, the same under every policy. Capacity misses, at 1/' + ', 1/'.join(map(str, DIVISIONS)) + ' of the footprint:\n')
    names = list(results)
    policies = (*POLICIES, *LIMITS)
    yield f'| workload | size | {" | ".join(policies)} |\n| --- | --- |{" ---: |" * len(policies)}\n' + ''.join(
        f'| {name} | 1/{d} | {" | ".join(f"{capacity(results, name, policy, d):,}" for policy in policies)} |\n' for name in names for d in DIVISIONS)
    for title, group in (('judged', [name for name in names if name not in TUNED]), ('tuned', [name for name in names if name in TUNED])):
        if not group: continue
        yield (f'Capacity misses of `generational` divided by those of the others, mean over the {title} workloads ({", ".join(group)}):\n\n'
               f'| other | all sizes | {" | ".join(f"1/{d}" for d in DIVISIONS)} | worst |\n| --- | ---: |{" ---: |" * (len(DIVISIONS) + 1)}\n'
               + ''.join(f'| {other} | **{mean(all_)}** | {" | ".join(mean(ratios(results, group, "generational", other, d)) for d in DIVISIONS)} | {max(all_):.2f} |\n'
                         for other in (*POLICIES, *LIMITS) if other != 'generational' and (all_ := ratios(results, group, 'generational', other))))
        total = [(capacity(results, name, 'generational', 2) + results[name]['runs'][0]['compulsory'])
                 / (capacity(results, name, 'optimum', 2) + results[name]['runs'][0]['compulsory']) for name in group]
        yield f'All misses (compulsory too) of `generational` at 1/2, divided by the optimum\'s: mean {mean(total)}, worst {max(total):.2f}.\n'


def plot(results: Results, runs: list[dict[str, Any]], path: Path) -> None:
    """Miss rates against the size, for each workload; the live runs' times."""
    names = list(results)
    columns, rows = 4, len(names) // 4 + 1
    figure, axes = plt.subplots(rows, columns, figsize=(15, 3.4 * rows), squeeze=False)
    flat = list(axes.ravel())
    for axis, name in zip(flat, names):
        r = results[name]
        for policy in (*POLICIES, *LIMITS):
            points = [(run['size'] / 1024, run['capacity'] / r['executions'] * 1e6) for run in r['runs'] if run['policy'] == policy and run['capacity']]
            bold = {'linewidth': 2.5, 'color': 'black'} if policy == 'generational' else {'linestyle': '--' if policy in LIMITS else '-'}
            if points: axis.plot(*zip(*points), marker='.', label=policy, **bold)
        axis.set(xscale='log', yscale='log', title=f'{name}{" (tuned)" if name in TUNED else ""}', xlabel='cache, KB', ylabel='capacity misses in a million')
        sizes = sorted({round(run['size'] / 1024) for run in r['runs']})
        axis.set_xticks(sizes, [f'{size:,}' for size in sizes])
        axis.minorticks_off()
    for axis in flat[len(names):]: axis.axis('off')
    axis = flat[len(names)]
    axis.axis('on')
    for policy in dict.fromkeys(run['policy'] for run in runs):
        mine = sorted((run['size'] / 1024, run['cpu']) for run in runs if run['policy'] == policy and run['engine'] == 'stencils' and run['counting'])
        if len(mine) > 1: axis.plot(*zip(*mine), marker='o', label=policy, **({'color': 'black', 'linewidth': 2.5} if policy == 'generational' else {}))
    axis.set(xscale='log', title='live: Linux boot, stencils', xlabel='cache, KB', ylabel='CPU seconds')
    if axis.lines: axis.legend(fontsize=7)
    flat[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def live(policy: str, size: int, engine: str, counting: bool = True) -> dict[str, Any]:
    """One boot under -icount, so that each retires the same instructions: seconds of wall clock and CPU (without LLVM's worker), the cache's statistics."""
    with tempfile.TemporaryDirectory() as folder:
        stats = Path(folder) / 'stats.json'
        command = boot('-icount', '-serial', 'null', '-engine', engine, '-tcache-size', f'{max(size >> 10, 64)}K', '-tcache-policy', policy, '-archive', 'off',
                       '-stats', str(stats))
        if not counting: command = [sys.executable, *NOT_COUNTED, *command[len(EMU):]]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        told = json.loads(stats.read_text())
    cpu, kept = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, told['cache']
    return {'policy': policy, 'size': size, 'engine': engine, 'counting': counting, 'wall': wall, 'cpu': cpu, 'compiles': kept.get('compiles', 0),
            'recompiles': kept.get('recompiles', 0), 'moves': kept.get('moves', 0), 'bytes': sum(kept['bytes'].values())}


def live_runs(repeat: int) -> Iterator[dict[str, Any]]:
    """Boots at parts of what an unbounded cache holds, under each policy; then with and without counting."""
    unbounded = live('generational', 1 << 29, 'stencils')
    yield unbounded
    for division in (2, 4):
        for policy in POLICIES: yield live(policy, unbounded['bytes'] // division, 'stencils')
    best = live('generational', 1 << 29, 'optimise')
    yield best
    for policy in ('flush', 'fifo', 'lru', 'generational'): yield live(policy, best['bytes'] // 4, 'optimise')
    for _ in range(repeat):
        yield live('generational', 1 << 29, 'stencils', False)
        yield live('generational', 1 << 29, 'stencils')


def lived(runs: list[dict[str, Any]]) -> Iterator[str]:
    """What the live runs say, as Markdown."""
    free = {engine: [r for r in runs if r['engine'] == engine and r['size'] == 1 << 29 and r['counting']] for engine in ('stencils', 'optimise')}
    lines = ['| engine | cache, KB | policy | wall, s | CPU, s | CPU against unbounded | compiles | again | moves |\n| --- | ---: | --- |' + ' ---: |' * 6 + '\n']
    for r in runs:
        if not r['counting'] or r['size'] == 1 << 29 and r is not free[r['engine']][0]: continue
        size = 'unbounded' if r['size'] == 1 << 29 else f'{r["size"] / 1024:,.0f}'
        lines.append(f'| {r["engine"]} | {size} | {r["policy"]} | {r["wall"]:.1f} | {r["cpu"]:.1f} | {r["cpu"] / min(f["cpu"] for f in free[r["engine"]]):.2f} '
                     f'| {r["compiles"]:,} | {r["recompiles"]:,} | {r["moves"]:,} |\n')
    yield ''.join(lines)
    without, with_ = ([r['cpu'] for r in runs if r['counting'] is counting and r['size'] == 1 << 29 and r['engine'] == 'stencils'] for counting in (False, True))
    if without:
        yield (f'Counting uses, stencils alone, unbounded: least CPU time of {len(with_)} boots with it {min(with_):.2f} s, of {len(without)} without {min(without):.2f} s: '
               f'**{min(with_) / min(without) - 1:+.1%}**.\n')


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    arguments.add_argument('--workloads', default=','.join(['boot', 'segments', *USERLAND]), help='names with commas (default: all)')
    arguments.add_argument('--traces', type=Path, default=cache.directory('traces'), help='where they are kept')
    arguments.add_argument('--jobs', type=int, default=os.cpu_count() or 1, help='simulations at a time')
    arguments.add_argument('--repeat', type=int, default=3, help='boots with and without counting; 0: no live runs, those of the last time are kept')
    arguments.add_argument('--out', type=Path, default=REPORTS)
    given = arguments.parse_args()
    names, folder = given.workloads.split(','), given.traces
    folder.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(names), desc='recording', unit='trace', disable=None) as bar: record(names, folder, lambda name: bar.update() and None)
    with ProcessPoolExecutor(given.jobs) as pool:
        done = pool.map(sweep, [folder / f'{name}.trace' for name in names])
        results = {name: found for name, found in zip(names, tqdm(done, total=len(names), desc='simulating', unit='trace', disable=None))}
    last = folder / 'live.json'
    if given.repeat:
        runs = list(tqdm(live_runs(given.repeat), desc='live', unit='boot', disable=None))
        last.write_text(json.dumps(runs))
    else: runs = json.loads(last.read_text()) if last.exists() else []
    given.out.mkdir(parents=True, exist_ok=True)
    plot(results, runs, given.out / 'hit_ratio.png')
    text = [f'# Translation cache: policies\n\n{host()}; {time.strftime("%Y-%m-%d")}. Stencil translations only, so that nothing but the policy differs.\n\n'
            f'A miss is an execution of a translation that is not there: compulsory the first time, capacity later. Executions less than 256 after the last one of the\n'
            f'same translation are not simulated; of a longer trace, the first {EVENTS:,} others. `LRU` is by the time of each execution, `lru` what a cache can do\n'
            '(CLOCK); `optimum` drops the translation executed farthest in the future until there is room: near Belady\'s, which is for equal sizes.\n',
            '![miss rates](hit_ratio.png)\n', *simulated(results)]
    if runs: text += ['## Live\n\nBoots of Linux under `-icount`: the same instructions each time.\n', *lived(runs)]
    (given.out / 'hit_ratio.md').write_text('\n'.join(text))
    print('\n'.join(text))


if __name__ == '__main__':
    main()
