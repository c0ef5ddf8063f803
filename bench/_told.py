"""What the live runs of bench/hit_ratio.py say, as numbers and as Markdown."""
import statistics
from typing import Any, Callable, Iterator

from _live import PROGRAMS, SELF_MODIFYING, UNBOUNDED, Run
from _watch import grid

Live = dict[str, list[Run]]
LIVE = """Processes of their own under `-icount`: the same instructions each time. Seconds are medians; ratios are medians of those to the unbounded run of the same round.
`boot` ends after the checks of its init; the others boot Debian with its drivers, then run programs of its userland. `again`: translations of code that had one before.
"""


def ratios(runs: list[Run], what: str, which: Callable[[Run], bool], base: Callable[[Run], bool]) -> list[float]:
    """In each round, one run's seconds (wall or CPU) divided by another's."""
    return [run[what] / other[what] for run in runs if which(run) for other in runs if base(other) and other['round'] == run['round']]


def against_unbounded(runs: list[Run], what: str, **wanted: Any) -> float | None:
    """The median over the rounds; None: there was no such run."""
    def like(run: Run, more: dict[str, Any]) -> bool: return all(run[name] == value for name, value in more.items())
    free = {name: wanted[name] for name in ('workload', 'engine')} | {'part': UNBOUNDED}
    found = ratios(runs, what, lambda run: like(run, wanted), lambda run: like(run, free))
    return statistics.median(found) if found else None


def counting(runs: list[Run], what: str) -> float:
    """What counting costs, as a part: the median over pairs of runs."""
    return statistics.median(ratios(runs, what, lambda run: run['counting'], lambda run: not run['counting'])) - 1


def saved(runs: list[Run], workload: str) -> dict[str, float]:
    """Of runs without archive (off), with an empty one (first), with a filled one (second): parts of seconds, medians over the rounds."""
    def median(what: str, kind: str, other: str = '') -> float:
        mine = [run for run in runs if run['workload'] == workload]
        if not other: return statistics.median(run[what] for run in mine if run['archive'] == kind)
        return statistics.median(ratios(mine, what, lambda run: run['archive'] == kind, lambda run: run['archive'] == other))
    parts = {name: median(what, kind, 'off') - 1 for name, kind, what in (('first', 'first', 'wall'), ('second', 'second', 'wall'), ('first, CPU', 'first', 'cpu'))}
    return parts | {'llvm': 1 - median('llvm', 'second', 'first'), **{f'{kind}, s': median('wall', kind) for kind in ('off', 'first', 'second')}}


def told(live: Live) -> Iterator[str]:
    """The tables."""
    runs, pairs = live['live'], live['counting']
    yield f'## Live\n\n{max(run["round"] for run in runs) + 1} rounds. {LIVE}'
    yield grid('workload | engine | cache, KB | policy | wall, s | CPU, s | wall : unbounded | CPU : unbounded | compiles | again | moves',
               (row(runs, run) for run in runs if run['round'] == 0), 4)
    yield (f'Counting uses, stencils alone, unbounded, {len(pairs) // 2} pairs of boots: CPU time **{counting(pairs, "cpu"):+.1%}**, wall time {counting(pairs, "wall"):+.1%} '
           '(medians of the pairs\' ratios).\n')
    yield f'## The archive\n\n{max(run["round"] for run in live["archive"]) + 1} rounds, medians; [archive.md](archive.md) has more.\n\n' + grid(
        'workload | without, s | first, s | second, s | first : without (CPU) | second : without | seconds of LLVM saved',
        ([name, *(f'{s[kind]:.1f}' for kind in ('off, s', 'first, s', 'second, s')), f'{s["first"]:+.1%} ({s["first, CPU"]:+.1%})', f'{s["second"]:+.1%}', f'{s["llvm"]:.1%}']
         for name in dict.fromkeys(run['workload'] for run in live['archive']) for s in [saved(live['archive'], name)]))
    yield '## Self-modifying and mixed code\n\nKernels of [speed.md](speed.md), medians of 3 runs.\n\n' + grid(
        'kernel | emu, s | QEMU, s | times faster',
        ([SELF_MODIFYING[run['kernel']], f'{run["emu"]:.3f}', f'{run["QEMU"]:.3f}', f'{run["QEMU"] / run["emu"]:.1f}'] for run in live['self-modifying']))


def row(runs: list[Run], first: Run) -> list[str]:
    """Of the live runs' table."""
    names = ('workload', 'engine', 'part', 'policy')
    same = [run for run in runs if all(run[name] == first[name] for name in names)]
    ratio = [against_unbounded(runs, what, **{name: first[name] for name in names}) or 1.0 for what in ('wall', 'cpu')]
    size = UNBOUNDED if first['part'] == UNBOUNDED else f'{first["size"] / 1024:,.0f} ({first["part"]})'
    return [first['workload'], first['engine'], size, first['policy'], *(f'{statistics.median(run[what] for run in same):.1f}' for what in ('wall', 'cpu')),
            *(f'{value:.2f}' for value in ratio), *(f'{first[name]:,}' for name in ('compiles', 'recompiles', 'moves'))]


def coverage(runs: list[Run]) -> dict[str, float]:
    """Of the unbounded run of each workload with all engines: instructions retired in translations as a part of all."""
    free = {run['workload']: run['coverage'] for run in runs if run['part'] == UNBOUNDED and run['engine'] == 'optimise' and run['round'] == 0}
    return {name: free[name] for name in PROGRAMS if name in free}
