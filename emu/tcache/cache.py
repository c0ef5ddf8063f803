"""The translation cache: generations of code, what is promoted and what is dropped, and every link between translations.

A translation (`Blob`) is bytes that run anywhere: jumps inside it are relative, jumps to other translations are listed as links, all others go through
State. So promotion copies it, and dropping it puts back the jumps that led to it. No translation is on the host's stack between slices, so both may happen
whenever Python runs.
Each generation is a ring: new code goes in at one end, the oldest makes room at the other.
"""
import struct
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Callable, NamedTuple, Protocol

from emu.tcache.memory import CodeMemory

POLICIES = ('flush', 'fifo', 'generational')
PROMOTE_USES = 8  # lookups that make a nursery translation worth copying

Key = tuple[int, int, int]  # host address of the first byte, EIP, mode key


class Link(NamedTuple):
    """A jump out of a translation to the block at `target`: a rel32 at `at`, which leads to `stub` while that block is not there. Offsets in the blob."""

    at: int
    stub: int
    target: Key


class Lookup(Protocol):
    """What compiled code looks translations up in (emu/tcache/index.py)."""

    def enter(self, key: Key, code: int) -> None:
        """Adds or moves a translation."""

    def remove(self, key: Key) -> None:
        """Forgets one."""

    def uses(self, key: Key) -> int:
        """How often one was found."""


@dataclass(eq=False)
class Blob:
    """A translation: `code` as that runs anywhere, what it covers, and its links."""

    key: Key
    code: bytes
    instructions: int
    ranges: list[tuple[int, int]]  # the guest's code it was made of: host address, bytes
    tier: str
    links: list[Link] = field(default_factory=list)
    place: int = -1  # offset in code memory
    generation: 'Generation | None' = None
    counter: int = 0  # offset in State of the countdown to its optimisation; 0: it has none

    def granules(self) -> set[int]:
        """Host addresses >> 6 of what it was made of."""
        return {granule for p, n in self.ranges for granule in range(p >> 6, (p + n - 1 >> 6) + 1)}


class Generation:
    """A ring of blobs in code memory from `start` on."""

    def __init__(self, name: str, start: int, size: int):
        self.name, self.start, self.size = name, start, size
        self.blobs: deque[Blob] = deque()
        self.at = 0  # where the next one goes
        self.used = 0

    def room(self, size: int, evict: Callable[[Blob], None]) -> int | None:
        """Offset in code memory for `size` bytes; evicts the oldest until they fit. None: larger than the generation."""
        if size > self.size:
            return None
        if self.at + size > self.size:
            while self.blobs and self.blobs[0].place >= self.start + self.at:
                evict(self.blobs.popleft())
            self.at = 0
        while self.blobs and self.start + self.at <= self.blobs[0].place < self.start + self.at + size:
            evict(self.blobs.popleft())
        place = self.start + self.at
        self.at += size
        return place


class TranslationCache:
    """`size` bytes of translations under a policy."""

    def __init__(self, memory: CodeMemory, size: int, policy: str, index: Lookup):
        self.memory, self.policy, self.index = memory, policy, index
        nursery = size if policy != 'generational' else size // 2
        self.nursery = Generation('nursery', 0, nursery)
        self.tenured = Generation('tenured', nursery, size - nursery)
        self.blobs: dict[Key, Blob] = {}
        self.waiting: defaultdict[Key, list[tuple[Blob, Link]]] = defaultdict(list)  # links to a block, followed or not
        self.granules: defaultdict[int, set[Blob]] = defaultdict(set)  # host address >> 6 -> blobs made from it
        self.seen: set[Key] = set()
        self.counts: Counter[str] = Counter()

    def add(self, blob: Blob) -> bool:
        """Takes a new translation in and links it; False where it does not fit."""
        if blob.key in self.blobs:
            self.drop(self.blobs[blob.key], 'replaced')
        generation = self.tenured if blob.tier == 'optimised' and self.tenured.size else self.nursery
        self.counts['compiles'] += 1
        self.counts['recompiles'] += blob.key in self.seen
        self.seen.add(blob.key)
        if not self.put(blob, generation):
            return False
        self.blobs[blob.key] = blob
        for granule in blob.granules():
            self.granules[granule].add(blob)
        for link in blob.links:
            self.waiting[link.target].append((blob, link))
        self.connect(blob)
        return True

    def put(self, blob: Blob, generation: Generation) -> bool:
        """Copies a blob's code into a generation."""
        size = -(-len(blob.code) // 16) * 16
        if self.policy == 'flush' and generation.at + size > generation.size:
            self.flush('capacity')
        place = generation.room(size, self.evict)
        if place is None:
            return False
        blob.place, blob.generation = place, generation
        self.memory.data[place:place + len(blob.code)] = blob.code
        generation.blobs.append(blob)
        generation.used += size
        return True

    def connect(self, blob: Blob) -> None:
        """Links to and from a blob that has a new place, and its entry in the index."""
        for link in blob.links:
            other = self.blobs.get(link.target)
            self.patch(blob.place + link.at, self.memory.base + (other.place if other else blob.place + link.stub))
        for source, link in self.waiting.get(blob.key, ()):
            self.patch(source.place + link.at, self.memory.base + blob.place)
        self.index.enter(blob.key, self.memory.base + blob.place)

    def patch(self, place: int, target: int) -> None:
        """Makes the rel32 at an offset lead to a host address."""
        struct.pack_into('<i', self.memory.data, place, target - (self.memory.base + place + 4))

    def evict(self, blob: Blob) -> None:
        """The oldest of a generation makes room: promoted if it was used, else dropped."""
        if blob.generation is None:  # dropped before
            return
        blob.generation.used -= -(-len(blob.code) // 16) * 16
        if self.policy == 'generational' and blob.generation is self.nursery and self.index.uses(blob.key) >= PROMOTE_USES and self.put(blob, self.tenured):
            self.connect(blob)
            self.counts['promotions'] += 1
        else:
            self.forget(blob, 'capacity')

    def drop(self, blob: Blob, reason: str) -> None:
        """Removes a translation before its time."""
        assert blob.generation
        blob.generation.used -= -(-len(blob.code) // 16) * 16
        blob.generation = None  # its place in the ring is passed over later
        self.forget(blob, reason)

    def forget(self, blob: Blob, reason: str) -> None:
        """Unlinks a blob: nothing leads to it any more."""
        self.counts[f'dropped_{reason}'] += 1
        del self.blobs[blob.key]
        self.index.remove(blob.key)
        for source, link in self.waiting.get(blob.key, ()):
            self.patch(source.place + link.at, self.memory.base + source.place + link.stub)
        for link in blob.links:
            self.waiting[link.target].remove((blob, link))
        for granule in blob.granules():
            self.granules[granule].discard(blob)

    def invalidate(self, granule: int) -> None:
        """The guest bytes of a granule (host address >> 6) are about to change."""
        for blob in list(self.granules.pop(granule, ())):
            self.drop(blob, 'invalidated')

    def flush(self, reason: str) -> None:
        """Drops everything."""
        self.counts['flushes'] += 1
        self.counts[f'dropped_{reason}'] += len(self.blobs)
        for key in self.blobs:
            self.index.remove(key)
        self.blobs.clear()
        self.waiting.clear()
        self.granules.clear()
        for generation in (self.nursery, self.tenured):
            generation.blobs.clear()
            generation.at = generation.used = 0
