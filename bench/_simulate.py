"""Simulates a workload's trace under every policy at a sweep of sizes; results are kept beside the trace until policies, simulator or sizes change."""
import hashlib
import json
from pathlib import Path
from typing import Any

from _watch import ROOT
from _workloads import OPTIMISED

from emu.tcache import simulator
from emu.tcache.policies import POLICIES
from emu.tcache.simulator import LIMITS

SOURCES = ('policies.py', 'simulator.py', 'replay.py', 'limits.py', 'trace.py')
PARTS = {'1': 1, '3/4': 3 / 4, '1/2': 1 / 2, '1/3': 1 / 3, '1/4': 1 / 4, '1/8': 1 / 8, '1/16': 1 / 16}  # of the footprint


def version(path: Path) -> str:
    """Names what results depend on."""
    h = hashlib.sha256(f'{path.stat().st_size} {PARTS}'.encode())
    for name in SOURCES: h.update((ROOT / 'emu/tcache' / name).read_bytes())
    return h.hexdigest()


def kept(path: Path) -> dict[str, Any] | None:
    """The results of a trace, if they are there."""
    try:
        found: dict[str, Any] = json.loads(path.with_suffix('.json').read_text())
    except (OSError, ValueError):
        return None
    return found if found.get('version') == version(path) else None


def sweep(path: Path) -> dict[str, Any]:
    """Everything about one trace: footprint, executions, and for each policy its results by size."""
    if found := kept(path): return found
    trace, tier = simulator.load(path), 'optimised' if path.stem in OPTIMISED else 'stencils'
    footprint, mine = simulator.footprint(trace, tier), simulator.of(trace.entries, tier)
    runs = [simulator.simulate(trace, policy, int(footprint * part), tier)._asdict() | {'part': name} for policy in (*POLICIES, *LIMITS) for name, part in PARTS.items()]
    found = {'version': version(path), 'name': trace.name, 'footprint': footprint, 'executions': trace.executions, 'events': len(trace.events),
             'seconds': float(trace.entries['cost'][mine].sum()), 'runs': runs}
    path.with_suffix('.json').write_text(json.dumps(found))
    return found
