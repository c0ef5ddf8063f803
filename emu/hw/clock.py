"""The clock: guest time in nanoseconds, and what is to happen when.

Devices ask `now()` and compute; they keep no running counters. `at` calls back once; a periodic device rearms from the ideal time of its last event, so
nothing drifts, and from the present where it has fallen behind by a period or more, so that late ticks are dropped instead of piling up.
"""
import heapq
from typing import Any, Callable, NamedTuple

from emu.isa.clock import NEVER


class Timer(NamedTuple):
    """An event to come; the number keeps events of the same time in order."""

    time: int
    number: int
    callback: Callable[[], None]


class Clock:
    """`now` is the time source; whoever runs the CPU calls `run_due` at `next_deadline` or later, and may set `sooner` to hear when that moves forward."""

    def __init__(self, now: Callable[[], int]):
        self.now = now
        self.timers: list[Timer] = []  # a heap; with a dozen timers in it, cancelling may well look through all
        self.made = 0
        self.counter: Any = None  # counter 0 of the 8254 (emu/ports/pit.py): its next edge is not in the heap, for compiled code may set it; None: and fires it
        self.sooner: Callable[[], None] = lambda: None

    def at(self, time: int, callback: Callable[[], None]) -> Timer:
        """Calls back when guest time has reached `time`."""
        self.made += 1
        timer = Timer(time, self.made, callback)
        heapq.heappush(self.timers, timer)
        if self.timers[0] is timer: self.sooner()
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Forgets an event; None and past events are welcome."""
        if timer is not None and timer in self.timers:
            self.timers.remove(timer)
            heapq.heapify(self.timers)

    def next_deadline(self) -> int | None:
        """The time of the earliest event."""
        first = self.timers[0].time if self.timers else NEVER
        if self.counter: first = min(first, self.counter.due)
        return first if first < NEVER else None

    def run_due(self) -> None:
        """Runs all events up to now, in order, with those that they add; then the counter's."""
        now = self.now()
        while self.timers and self.timers[0].time <= now: heapq.heappop(self.timers).callback()
        if self.counter and self.counter.due <= now: self.counter.fire()
