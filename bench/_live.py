"""The live runs of bench/hit_ratio.py: workloads under each policy, with and without counting, with an archive that fills; each a process of its own, under -icount, so that
all of them retire the same instructions. Rounds: each runs everything once, and is compared with what ran in the same round."""
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import speed
from _watch import EMU, ROOT, Failure
from _workloads import boot, userland

from emu import cache
from emu.tcache.policies import POLICIES

UNBOUNDED = 'unbounded'
PARTS = {UNBOUNDED: 0, '1/2': 2, '1/4': 4, '1/8': 8}  # of what an unbounded cache holds at the end
PROGRAMS = {'boot': '', 'tcc, shell': 'tcc shell', 'gcc': 'gcc'}  # of emu/guests/workload.sh, after a boot
SHORTER = 's/150/40/g', 's/30000/6000/g'  # fewer functions for gcc, fewer rounds of loops
NOT_COUNTED = ['-c', 'import sys; from emu import cli, cpu; cpu.Cpu.counting = False; sys.exit(cli.main(sys.argv[1:]))']
SELF_MODIFYING = {'rewrite': 'a loop that rewrites an immediate', 'together': 'code and stack in one page'}  # kernels of bench/speed.py
Run = dict[str, Any]


class Setting(NamedTuple):
    """How a workload is run."""

    workload: str
    policy: str = 'generational'
    part: str = UNBOUNDED
    engine: str = 'stencils'
    counting: bool = True
    archive: str = 'off'  # else whether it is the `first` run with one, or the `second`


# The first of a workload and engine is unbounded: its cache is what the others have parts of.
SETTINGS = [Setting('boot'), *(Setting('boot', policy, '1/4') for policy in POLICIES),
            *(Setting('boot', policy, part) for part in ('1/2', '1/8') for policy in ('flush', 'generational')),
            *(setting for name in ('tcc, shell', 'gcc') for setting in (Setting(name), *(Setting(name, policy, '1/4') for policy in ('flush', 'fifo', 'generational')))),
            Setting('boot', engine='optimise'), *(Setting('boot', policy, '1/4', 'optimise') for policy in ('flush', 'fifo', 'generational'))]
COUNTING = [Setting('boot', counting=counting) for counting in (False, True)]
ARCHIVE = [Setting(name, engine='optimise', archive=kind) for name in ('boot', 'gcc') for kind in ('off', 'first', 'second')]


def command(setting: Setting, *options: str) -> list[str]:
    """What runs a workload."""
    more = ('-icount', '-serial', 'null', '-engine', setting.engine, *options)
    if setting.workload == 'boot': words = boot(*more)
    else:
        run = f'sed -e/^data$/d {" ".join("-e" + word for word in SHORTER)} /opt/workload.sh>/tmp/w;bash /tmp/w {PROGRAMS[setting.workload]}'.replace(' ', '${IFS}')
        words = [f'{word} end=poweroff run={run}' if word.startswith('console=') else word for word in userland(*more)]
    return words if setting.counting else [sys.executable, *NOT_COUNTED, *words[len(EMU):]]


def once(setting: Setting, size: int, folder: Path) -> Run:
    """Seconds of wall clock and CPU, and what the run tells of its cache. `folder` is its cache directory."""
    stats = folder / 'stats.json'
    words = ['-tcache-size', f'{max(size >> 10, 64)}K', '-tcache-policy', setting.policy, '-stats', str(stats), *(['-archive', 'off'] if setting.archive == 'off' else [])]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command(setting, *words), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, 'EMU_CACHE': str(folder)})
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(stats.read_text())
    kept = found['cache']
    return setting._asdict() | {'wall': wall, 'cpu': after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 'bytes': sum(kept['bytes'].values()), 'size': size,
                                'coverage': kept['coverage'], 'llvm': found['time'].get('llvm, in the worker', 0.0),
                                **{name: kept.get(name, 0) for name in ('compiles', 'recompiles', 'moves')}}


def rounds(count: int, settings: list[Setting]) -> Iterator[Run]:
    """All settings in each round; sizes are parts of what the unbounded run of the first round held."""
    held: dict[tuple[str, str], int] = {}
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, 'compiled').symlink_to(cache.directory('compiled'))
            for setting in settings:
                if setting.archive == 'first': shutil.rmtree(Path(folder, 'archive'), ignore_errors=True)
                size = held[setting.workload, setting.engine] // PARTS[setting.part] if PARTS[setting.part] else 1 << 29
                run = once(setting, size, Path(folder)) | {'round': number}
                held.setdefault((setting.workload, setting.engine), run['bytes'])
                yield run


def self_modifying(count: int) -> Iterator[Run]:
    """The kernels of bench/speed.py that write to code, under emu and under QEMU in turn."""
    with tempfile.TemporaryDirectory() as folder:
        systems = speed.systems(*speed.build(Path(folder)), ['optimise'], True)[:2]
        for kernel in SELF_MODIFYING:
            for _ in range(count):
                for system in systems: speed.measure(system, kernel, kernel, Path(folder))
            if any(system.best(kernel) is None for system in systems): raise Failure(f'{kernel}: no result')
            yield {'kernel': kernel, **{system.name: system.best(kernel) for system in systems}}
