"""Policies: which translations stay when code memory is full, and where each lies. They know sizes, costs, tiers and uses; bytes and links are the cache's
(emu/tcache/cache.py) or nobody's (the simulator, emu/tcache/simulator.py): both run what is here.

Memory is cut into rings. New entries go in at one place (`at`), which moves through the ring again and again; what it meets there is the oldest, and gives way: it
is dropped, goes to another ring, or stays; then it is slid back over the gap before it, unless that is small. So holes are few, whatever stays.
Sizes are bytes, rounded up to GRAIN. `lru` is CLOCK: an entry used since the hand last passed it stays.
"""
from collections import deque
from typing import Any, Callable, Mapping

GRAIN = 16  # bytes: where code begins is a multiple
LARGE = 1 << 15  # bytes: a ring is not smaller, if it can be helped, so that each entry fits
FEW = 64  # dropped entries that are remembered at least
OPTIMISED = 'optimised'  # the tier of expensive code

Entry = Any  # has key, size (of the code, in bytes), cost (seconds to make it), tier; and for the policy alone: place, ring (None: not there), age


class Ring:
    """`size` bytes from `start` on, and what is there, the oldest first. What was removed early stays in the queue (ring None) until it is the oldest."""

    def __init__(self, name: str, start: int, size: int):
        self.name, self.start, self.size = name, start, size
        self.entries: deque[Entry] = deque()
        self.at = start  # where the next one goes
        self.used = 0

    def clear(self) -> None:
        self.entries.clear()
        self.at, self.used = self.start, 0


class Policy:
    """One ring, whose oldest entries go (first in, first out). Others change what it is cut into, where entries go first, and what becomes of the oldest."""

    units = 0  # a ring gives way in so many pieces, each as a whole; 0: entry by entry

    def __init__(self, size: int, uses: Callable[[Entry], int], moved: Callable[[Entry, int], None], dropped: Callable[[Entry], None], sizes: Mapping[str, int] | None = None):
        """`uses` tells how often an entry was executed since it was last asked; `moved` is called with an entry at its new place, and the old one; `dropped`
        when one is not there any more. `sizes`: rings whose sizes are not the usual share."""
        self.size, self.uses, self.moved, self.dropped = size, uses, moved, dropped
        self.rings = self.cut(sizes or {})
        self.gone: dict[Any, bool] = {}  # keys of what was dropped last, the oldest first

    def cut(self, sizes: Mapping[str, int]) -> list[Ring]:
        return [Ring('all', 0, self.size)]

    def insert(self, entry: Entry) -> bool:
        """Gives a new entry a place; False: it is too large."""
        entry.age = 0
        ring = self.first(entry)
        if ring.size < entry.size: ring = self.rings[-1]
        return self.put(entry, ring)

    def remove(self, entry: Entry) -> None:
        """An entry is not wanted any more."""
        entry.ring.used -= rounded(entry.size)
        entry.ring = None

    def clear(self) -> None:
        """None is."""
        for ring in self.rings: ring.clear()

    def first(self, entry: Entry) -> Ring:
        """Where a new entry goes."""
        return self.rings[0]

    def oldest(self, entry: Entry) -> Ring | None:
        """What becomes of the oldest entry of a ring, now that its place is needed: another ring, its own (it stays), or None."""
        return None

    def remember(self, entry: Entry) -> None:
        """Notes an entry that is dropped, among as many as are there."""
        self.gone[entry.key] = True
        if len(self.gone) > max(sum(len(ring.entries) for ring in self.rings), FEW): del self.gone[next(iter(self.gone))]

    # --- how ----------------------------------------------------------------------------------------------------------------

    def put(self, entry: Entry, ring: Ring) -> bool:
        """Makes room for an entry and gives it a place."""
        size = rounded(entry.size)
        if size > ring.size: return False
        while True:
            at, oldest = ring.at, ring.entries[0] if ring.entries else None
            if oldest is None or oldest.place < at:  # it lies behind: what is ahead is free to the end
                if at + size <= ring.start + ring.size: break
                ring.at = ring.start
            elif at + size <= oldest.place: break
            else: self.give_way(ring)
        entry.place, entry.ring = at, ring
        ring.at = at + size
        ring.entries.append(entry)
        ring.used += size
        return True

    def give_way(self, ring: Ring) -> None:
        """The oldest entry makes room, and the others of its unit."""
        entry = ring.entries.popleft()
        if entry.ring is ring: self.decide(entry, ring)
        if self.units:
            unit = max(ring.size // self.units, 1)
            end = ring.start + ((entry.place - ring.start) // unit + 1) * unit
            while ring.entries and entry.place < ring.entries[0].place < end:
                other = ring.entries.popleft()
                if other.ring is ring: self.decide(other, ring)

    def decide(self, entry: Entry, ring: Ring) -> None:
        """Drops an entry that was taken out of its ring, or moves it."""
        size, old = rounded(entry.size), entry.place
        to = self.oldest(entry)
        ring.used -= size
        if to is ring:
            if 2 * (old - ring.at) > size: entry.place = ring.at  # it slides; a smaller gap is left until the next round, as sliding all behind it costs more
            ring.at = entry.place + size
            ring.used += size
            ring.entries.append(entry)
            if entry.place != old: self.moved(entry, old)
        elif to and self.put(entry, to): self.moved(entry, old)
        else:
            entry.ring = None
            self.dropped(entry)


class Flush(Policy):
    """Everything goes (QEMU)."""

    units = 1


class Medium(Policy):
    """An eighth of all goes, the oldest (Hazelwood and Smith's medium-grained FIFO)."""

    units = 8


class Lru(Policy):
    """The oldest stays if it was used since it was last the oldest."""

    def oldest(self, entry: Entry) -> Ring | None:
        return entry.ring if self.uses(entry) else None


class Adaptive(Policy):
    """First in, first out in a ring that begins small and doubles when of REPLACED dropped entries REGENERATED come back (DynamoRIO's adaptive sizing)."""

    REPLACED, REGENERATED, FIRST = 50, 10, 16  # FIRST: it begins with such a part of the size

    def cut(self, sizes: Mapping[str, int]) -> list[Ring]:
        self.replaced = self.regenerated = 0
        return [Ring('all', 0, max(self.size // self.FIRST, min(self.size, LARGE)))]

    def first(self, entry: Entry) -> Ring:
        ring = self.rings[0]
        if self.gone.pop(entry.key, 0): self.regenerated += 1
        if self.replaced >= self.REPLACED:
            if self.regenerated >= self.REGENERATED: ring.size = min(2 * ring.size, self.size)
            self.replaced = self.regenerated = 0
        return ring

    def oldest(self, entry: Entry) -> Ring | None:
        self.replaced += 1
        self.remember(entry)
        return None


class Generational(Policy):
    """New entries go to the nursery; those used there go on to the survivors, and those used there too are tenured. Of the tenured, those stay that are used: each
    time that the hand finds an entry used, it may pass GAIN times more, up to MOST. What is expensive is tenured at once, and stays longer.
    Until the tenured have no room, everything goes there. Of what comes back soon after it was dropped, one in RETURNS is tenured at once: so a loop larger than nursery
    and survivors gets in, bit by bit, and one larger than everything does not wash the tenured out."""

    SHARES = {'nursery': 0.1, 'survivors': 0.2}  # of the size; the tenured have the rest
    GAIN, MOST, EXPENSIVE = 2, 4, 4  # EXPENSIVE: so many times longer
    RETURNS = 4
    returned = 0
    full = False

    def cut(self, sizes: Mapping[str, int]) -> list[Ring]:
        rings, start = [], 0
        for name, share in self.SHARES.items():
            rings.append(Ring(name, start, sizes.get(name, int(self.size * share)) // GRAIN * GRAIN))
            start += rings[-1].size
        self.nursery, self.survivors = rings
        self.tenured = Ring('tenured', start, self.size - start)
        return [*rings, self.tenured]

    def first(self, entry: Entry) -> Ring:
        self.full = self.full and 2 * self.tenured.used > self.tenured.size
        if entry.tier == OPTIMISED: entry.age = self.MOST * self.EXPENSIVE
        elif self.full:
            self.returned += self.gone.pop(entry.key, False)
            if self.returned < self.RETURNS: return self.nursery
            self.returned = 0
        return self.tenured

    def oldest(self, entry: Entry) -> Ring | None:
        used = self.uses(entry)
        if entry.ring is self.tenured:
            self.full = True
            longer = self.EXPENSIVE if entry.tier == OPTIMISED else 1
            if used: entry.age = min(entry.age + self.GAIN * longer, self.MOST * longer)
            entry.age -= 1
            if entry.age >= 0: return self.tenured
        elif used: return self.survivors if entry.ring is self.nursery else self.tenured
        self.remember(entry)
        return None


def rounded(size: int) -> int:
    """Bytes that code of this size takes."""
    return -(-size // GRAIN) * GRAIN


POLICIES: dict[str, type[Policy]] = {'flush': Flush, 'fifo': Policy, 'fifo-medium': Medium, 'lru': Lru, 'adaptive': Adaptive, 'generational': Generational}
