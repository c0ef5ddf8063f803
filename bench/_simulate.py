"""Simulates a workload's trace under every policy at a sweep of sizes; results are kept beside the trace until policies or simulator change."""
import hashlib
import json
from pathlib import Path
from typing import Any

from _watch import ROOT

from emu.tcache import simulator
from emu.tcache.policies import POLICIES
from emu.tcache.simulator import LIMITS, Condensed

SOURCES = ('policies.py', 'simulator.py', 'replay.py')
DIVISIONS = (2, 4, 8)  # of the footprint
EVENTS = 16_000_000  # of a trace, condensed, that are simulated


def version(path: Path) -> str:
    """Names what results depend on."""
    h = hashlib.sha256(f'{path.stat().st_size} {DIVISIONS} {EVENTS}'.encode())
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
    trace = simulator.load(path)
    trace = shortened(trace)
    footprint = simulator.footprint(trace)
    runs = [simulator.simulate(trace, policy, footprint // division)._asdict() | {'division': division}
            for policy in (*POLICIES, *LIMITS) for division in DIVISIONS]
    found = {'version': version(path), 'name': trace.name, 'footprint': footprint, 'executions': trace.executions, 'events': len(trace.events),
             'entries': len(trace.entries), 'seconds': float(trace.entries['cost'].sum()), 'runs': runs}
    path.with_suffix('.json').write_text(json.dumps(found))
    return found


def shortened(trace: Condensed) -> Condensed:
    """The first EVENTS of a trace; its entries are those that are executed in them."""
    if len(trace.events) <= EVENTS: return trace
    events = trace.events[:EVENTS]
    count = int(events[events < 1 << 31].max()) + 1  # entries are numbered as they were made
    share = EVENTS / len(trace.events)
    return trace._replace(events=events, entries=trace.entries[:count], keys=trace.keys[:count], executions=int(trace.executions * share))
