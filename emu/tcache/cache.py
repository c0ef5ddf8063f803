"""The translation cache: translations in code memory, every link between them, and which guest bytes each was made of. What stays is a policy's business.

A translation (`Blob`) is bytes that run anywhere: jumps inside it are relative, jumps to other translations are listed as links, all others go through
State. So moving copies it, and dropping it puts back the jumps that led to it. No translation is on the host's stack between slices, so both may happen
whenever Python runs.
"""
import struct
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Callable, Mapping, NamedTuple, Protocol

from emu.tcache.memory import CodeMemory
from emu.tcache.policies import POLICIES, Ring

pack_rel32 = struct.Struct('<i').pack_into
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


@dataclass(eq=False, slots=True)
class Blob:
    """A translation: `code` as that runs anywhere, what it covers, and its links."""

    key: Key
    code: bytes
    instructions: int
    ranges: list[tuple[int, int]]  # the guest's code it was made of: host address, bytes
    tier: str
    links: list[Link] = field(default_factory=list)
    counter: int = 0  # which of State's countdowns its executions take from; 0: none
    cost: float = 0.0  # seconds it took to make
    counted: int = 0  # that countdown when its uses were last asked for
    place: int = -1  # the policy's: offset in code memory,
    ring: Ring | None = None  # where it is
    age: int = 0  # and how long it has been there

    @property
    def size(self) -> int:
        return len(self.code)

    def granules(self) -> set[int]:
        """Host addresses >> 6 of what it was made of."""
        return {granule for p, n in self.ranges for granule in range(p >> 6, (p + n - 1 >> 6) + 1)}


class TranslationCache:
    """`size` bytes of translations under a policy; `uses` tells how often a blob was executed since it was last asked. `sizes`: of the policy's rings."""

    def __init__(self, memory: CodeMemory, size: int, policy: str, index: Lookup, uses: Callable[[Blob], int], sizes: Mapping[str, int] | None = None):
        self.memory, self.index = memory, index
        self.policy = POLICIES[policy](size, uses, self.moved, self.evicted, sizes)
        self.blobs: dict[Key, Blob] = {}
        self.waiting: defaultdict[Key, list[tuple[Blob, Link]]] = defaultdict(list)  # links to a block, followed or not
        self.granules: defaultdict[int, list[Blob]] = defaultdict(list)  # host address >> 6 -> blobs made from it
        self.seen: set[Key] = set()
        self.counts: Counter[str] = Counter()
        self.forgotten: Callable[[Blob], None] | None = None  # told of each that is dropped

    def add(self, blob: Blob) -> bool:
        """Takes a new translation in and links it; False where it does not fit."""
        if old := self.blobs.get(blob.key): self.drop(old, 'replaced')
        self.counts['compiles'] += 1
        self.counts['recompiles'] += blob.key in self.seen
        self.seen.add(blob.key)
        if not self.policy.insert(blob): return False
        self.memory.data[blob.place:blob.place + blob.size] = blob.code
        self.blobs[blob.key] = blob
        for granule in blob.granules(): self.granules[granule].append(blob)
        for link in blob.links: self.waiting[link.target].append((blob, link))
        self.connect(blob)
        return True

    def connect(self, blob: Blob) -> None:
        """Links to and from a blob that has a new place, and its entry in the index."""
        place = blob.place
        for link in blob.links:
            other = self.blobs.get(link.target)
            self.patch(place + link.at, other.place if other else place + link.stub)
        for source, link in self.waiting.get(blob.key, ()): self.patch(source.place + link.at, place)
        self.index.enter(blob.key, self.memory.base + place)

    def patch(self, at: int, target: int) -> None:
        """Makes the rel32 at an offset lead to another."""
        pack_rel32(self.memory.data, at, target - (at + 4))

    def moved(self, blob: Blob, old: int) -> None:
        """The policy has given a blob another place."""
        place, size = blob.place, len(blob.code)
        self.memory.data[place:place + size] = self.memory.data[old:old + size]
        for link in blob.links:  # those to its own stubs have come along
            if other := self.blobs.get(link.target): self.patch(place + link.at, other.place)
        for source, link in self.waiting.get(blob.key, ()): self.patch(source.place + link.at, place)
        self.index.enter(blob.key, self.memory.base + place)
        self.counts['moves'] += 1

    def evicted(self, blob: Blob) -> None:
        """The policy has dropped a blob."""
        self.forget(blob, 'capacity')

    def drop(self, blob: Blob, reason: str) -> None:
        """Removes a translation before its time."""
        self.policy.remove(blob)
        self.forget(blob, reason)

    def forget(self, blob: Blob, reason: str) -> None:
        """Unlinks a blob: nothing leads to it any more."""
        self.counts[f'dropped_{reason}'] += 1
        del self.blobs[blob.key]
        self.index.remove(blob.key)
        for source, link in self.waiting.get(blob.key, ()): self.patch(source.place + link.at, source.place + link.stub)
        for link in blob.links:
            links = self.waiting[link.target]
            links.remove((blob, link))
            if not links: del self.waiting[link.target]
        for granule in blob.granules():
            blobs = self.granules.get(granule)
            if blobs: blobs.remove(blob)
            if not blobs: self.granules.pop(granule, None)
        if self.forgotten: self.forgotten(blob)

    def invalidate(self, granule: int) -> int:
        """The guest bytes of a granule (host address >> 6) are about to change; how many translations that drops."""
        dropped = self.granules.pop(granule, ())
        for blob in dropped: self.drop(blob, 'invalidated')
        return len(dropped)

    def statistics(self) -> dict[str, object]:
        """Numbers for --stats."""
        return {'translations': len(self.blobs), 'bytes': {ring.name: ring.used for ring in self.policy.rings}, **dict(sorted(self.counts.items()))}
