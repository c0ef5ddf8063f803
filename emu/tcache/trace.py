"""Traces (`-trace FILE`): which translations a run executed, one after the other, for the simulator (emu/tcache/simulator.py).

Each translation begins with a stencil that writes its countdown's place into a buffer (RECORD, emu/jit/stencils.py), jumps along links included; a full buffer
makes it leave, and Python empties it. A trace is a ZIP archive: `entries.npy` has a row for each translation made (ENTRY), `events` 32-bit words, little-endian:
a number below LOOP says that the entry of that number is executed; LOOP and GONE: see emu/tcache/replay.py. An entry is dropped when its code changes, or when a
better one takes its place.
"""
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np

from emu.errors import EmuError, file_error
from emu.isa.state import COUNTERS, FIELDS, State
from emu.jit import build
from emu.tcache import layout
from emu.tcache.cache import Blob, TranslationCache
from emu.tcache.replay import GONE, HINTS, LOOP, PERIOD

PIECE = 1 << 24  # bytes of a trace that are read at a time
ROOM = 1 << 19  # executions in the buffer
NEAR, SHARE = 256, 64  # of an entry's executions, one is simulated in so many events, or in as many as there are entries divided by SHARE
ENTRY = np.dtype([('size', '<u4'), ('cost', '<f4'), ('optimised', '?'), ('key', '<u8', 3)])  # bytes of code, seconds to make it, tier, host address, EIP and mode


class Recorder:
    """Writes the trace of what `state` executes."""

    def __init__(self, path: Path, state: State, cache: TranslationCache):
        self.path = path
        try:
            self.file = zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1)
        except OSError as error:
            raise file_error(path, error) from None
        self.events = self.file.open('events', 'w', force_zip64=True)
        self.state = state
        self.buffer, self.folded = np.zeros(ROOM, np.int32), np.zeros(ROOM, np.uint32)
        self.hints = np.zeros(1 << HINTS, np.int64)
        self.recorded = PERIOD  # events so far, and a distance to what was never seen
        self.fold = build.interpreter().function('fold', 5)
        self.start: int = self.buffer.ctypes.data
        state.trace_at, state.trace_end = self.start, self.start + 4 * ROOM
        self.numbers = np.full(COUNTERS, -1, np.int32)  # of the entries, by their countdowns
        self.entries: list[tuple[Any, ...]] = []
        self.cache = cache
        cache.header[layout.LOG], cache.header[layout.LOGGED] = cache.log.ctypes.data, 0

    def made(self, blob: Blob, cost: float) -> None:
        """A new translation, which took so many seconds."""
        self.gone()
        if self.numbers[blob.number] >= 0: self.drain()  # another had its countdown before
        self.numbers[blob.number] = len(self.entries)
        self.entries.append((blob.size, cost, blob.optimised, blob.key))

    def gone(self) -> None:
        """Those that were dropped since the last one was made."""
        if gone := self.cache.logged():
            self.drain()
            self.write((GONE + self.numbers[gone].astype(np.uint32)).astype('<u4').tobytes())

    def drain(self) -> bool:
        """Empties the buffer; whether it was full."""
        count = (self.state.trace_at - self.start) // 4
        self.state.trace_at = self.start
        if count:
            numbers = np.empty(count + 1, np.int32)  # fold() looks one further
            np.take(self.numbers, (self.buffer[:count] - FIELDS['countdown'].offset) >> 2, out=numbers[:count])
            left = self.fold(numbers.ctypes.data, count, self.folded.ctypes.data, self.hints.ctypes.data, self.recorded)
            self.recorded += count
            self.write(self.folded[:left].tobytes())
        return count == ROOM

    def write(self, events: bytes) -> None:
        """To the file. A trace without its end is none, so an error of the host ends the run."""
        try:
            self.events.write(events)
        except OSError as error:
            raise file_error(self.path, error) from None

    def close(self) -> None:
        """The run is over."""
        self.gone()
        self.drain()
        self.cache.header[layout.LOG] = 0
        try:
            self.events.close()
            with self.file.open('entries.npy', 'w') as out: np.save(out, np.array(self.entries, ENTRY))
            self.file.close()
        except OSError as error:
            raise file_error(self.path, error) from None


class Trace:
    """A recorded trace: its entries, and its events."""

    def __init__(self, path: Path):
        try:
            self.file = zipfile.ZipFile(path)
            with self.file.open('entries.npy') as file: self.entries = np.load(file)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            raise EmuError(f'{path} is no trace') from None

    def condensed(self, show: Callable[[int], object] = abs) -> tuple[np.ndarray, int]:
        """What the simulator needs of the events (`condense` in emu/tcache/replay.py), and how many executions there were in all; `show` is called with the bytes read."""
        run, last = build.interpreter().function('condense', 6), np.full(len(self.entries), -1 << 40, np.int64)
        kept, number, executions, near = [], 0, 0, max(len(self.entries) // SHARE, NEAR)
        with self.file.open('events') as file:
            while data := file.read(PIECE):
                events = np.frombuffer(data, '<u4')
                out = np.empty(len(events), np.uint32)
                kept.append(out[:run(events.ctypes.data, len(events), out.ctypes.data, last.ctypes.data, number, near)].copy())
                number += len(events)
                executions += int(np.count_nonzero(events < LOOP) + np.sum(events[(events >= LOOP) & (events < GONE)] & 0xfffff, dtype=np.int64))
                show(len(data))
        return np.concatenate(kept or [np.empty(0, np.uint32)]), executions
