"""The translation cache: its tables, and what Python does with them. Compiled code does the rest: entering (emu/tcache/entering.py), linking and moving (links.py),
what stays and where (policies.py), dropping (dropping.py).

A translation is bytes that run anywhere: jumps inside it are relative, jumps to other translations are listed as links, all others go through State. So moving
copies it, and dropping it puts back the jumps that led to it. No translation is on the host's stack while compiled code does either, or Python runs, so both may
happen whenever one is wanted.
"""
import ctypes
from typing import Iterator, Mapping, NamedTuple

import numpy as np

from emu.isa.state import COUNTERS, FIELDS, State
from emu.jit import build
from emu.mem.memory import zeroed
from emu.tcache import layout
from emu.tcache.dropping import slot_of
from emu.tcache.entering import RESTLESS
from emu.tcache.header import Header, address_of
from emu.tcache.layout import RECORD_BITS
from emu.tcache.memory import CodeMemory

Key = tuple[int, int, int]  # host address of the first byte, EIP, mode key
REASONS = {'invalidated': layout.INVALIDATED, 'capacity': layout.DROPPED, 'replaced': layout.REPLACEMENTS}  # why translations go
NODES = 1 << 20  # at most; a translation has three


class Link(NamedTuple):
    """A jump out of a translation to the block at EIP `target` in its page: a rel32 at `at`, which leads to `stub` while that block is not there. Offsets in the code."""

    at: int
    stub: int
    target: int


class Made(NamedTuple):
    """A translation that the cache is to take in as record `number` (`TranslationCache.number`)."""

    number: int
    key: Key
    code: bytes  # none: the block cannot be translated
    ranges: list[tuple[int, int]]  # the guest's code it was made of: host address, bytes
    links: list[Link]
    cost: float = 0.0  # seconds it took to make
    tier: int = layout.OPTIMISED


class Blob(NamedTuple):
    """A translation in the cache, as its record says; `length`: of the guest's block that it begins with."""

    number: int
    key: Key
    place: int
    size: int
    tier: int
    length: int
    ring: str

    @property
    def optimised(self) -> bool:
        return self.tier == layout.OPTIMISED


class TranslationCache:
    """`size` bytes of translations for `state` under a policy; `sizes`: of the policy's rings. `most`: records and nodes there may be."""

    def __init__(self, state: State, memory: CodeMemory, size: int, policy: str, sizes: Mapping[str, int] | None = None, most: tuple[int, int] = (COUNTERS, NODES)):
        self.memory, self.state = memory, state
        self.header = h = Header(policy, size, sizes or {})
        self.tables = [zeroed(n) for n in (most[0] << RECORD_BITS, most[1] << RECORD_BITS, 8 << layout.BUCKET_BITS)]
        h[layout.RECORDS], h[layout.NODES], h[layout.BUCKETS] = map(address_of, self.tables)
        h[layout.MOST_RECORDS], h[layout.MOST_NODES] = most
        self.words = memoryview(self.tables[0]).cast('I')  # of the records
        self.rewritten = np.zeros(1 << 16, np.uint8)
        h[layout.COUNTDOWN], h[layout.INDEX] = state.address + FIELDS['countdown'].offset, state.index
        h[layout.DATA], state.code = address_of(memory.data), memory.base - 1
        h[layout.BEGUN], h[layout.REWRITTEN] = address_of(memory.begun), self.rewritten.ctypes.data
        self.log = np.zeros(COUNTERS, np.uint32)
        self.countdown = memoryview(state.memory)[FIELDS['countdown'].offset:].cast('i')
        code = build.interpreter()
        self.c_find, self.c_take_in, self.c_drop = code.function('find_record', 3), code.function('take_in', 7), code.function('drop', 3)
        self.c_number, self.c_describe, self.c_invalidate = code.function('new_record', 1), code.function('describe', 7), code.function('invalidate', 2)
        state.cache = h.address

    def find(self, key: Key) -> Blob | None:
        """The translation of a block, if there is one."""
        n = self.c_find(self.header.address, key[0], key[1] | key[2] << 32)
        return self.blob(n) if n and self.word(n, layout.BYTES) else None

    def word(self, n: int, at: int) -> int:
        """32 bits of record n."""
        return self.words[(n << RECORD_BITS) + at >> 2]

    def blob(self, n: int) -> Blob:
        """What record n says."""
        low, high, eip, mode, place, size, tier, length, ring = (self.word(n, at) for at in range(0, layout.RING + 4, 4))
        return Blob(n, (low | high << 32, eip, mode), place, size, tier, length, list(self.header.rings)[ring])

    def __iter__(self) -> Iterator[Blob]:
        """All translations, of each ring the oldest first."""
        for at in self.header.rings.values():
            n = self.header[at + layout.OLDEST]
            while n:
                after = self.word(n, layout.NEWER)
                yield self.blob(n)
                n = after

    def number(self) -> int:
        """A record for a new translation, which has to be taken in before anything else is done."""
        return self.c_number(self.header.address)

    def take_in(self, made: Made) -> bool:
        """Takes a new translation in and links it, in place of the one of its block that is there; False where it does not fit."""
        (p, eip, mode), code = made.key, ctypes.create_string_buffer(made.code)
        links, ranges = np.array(made.links, np.int64), np.array(made.ranges, np.int64)
        self.c_describe(self.header.address, made.number, p, eip | mode << 32, len(made.code), made.tier, made.ranges[0][1])
        return bool(self.c_take_in(self.state.address, made.number, ctypes.addressof(code), links.ctypes.data, len(links), ranges.ctypes.data, len(ranges)))

    def count_from(self, n: int, left: int) -> None:
        """Sets a translation's countdown; its uses are not forgotten."""
        at = (n << RECORD_BITS) + layout.COUNTED >> 2
        self.words[at] = (self.words[at] + left - self.countdown[n]) & 0xffffffff
        self.countdown[n] = left

    def drop(self, blob: Blob, reason: str) -> None:
        """Removes a translation before its time."""
        self.c_drop(self.header.address, blob.number, REASONS[reason])

    def invalidate(self, granule: int) -> int:
        """The guest's bytes of a granule (host address >> 6) are about to change; how many translations that drops."""
        return self.c_invalidate(self.header.address, granule)

    def is_restless(self, granule: int) -> bool:
        """Whether the guest's code in a granule is rewritten again and again, as far as is known,"""
        return bool(self.rewritten[slot_of(granule)] >= RESTLESS)

    def settled(self, granule: int) -> None:
        """and that it is not known any more."""
        self.rewritten[slot_of(granule)] = 0

    @property
    def compiles(self) -> int:
        """How many translations were ever taken in."""
        return self.header[layout.COMPILES]

    def logged(self) -> list[int]:
        """The records dropped since this was last asked, while `log` is set."""
        found: list[int] = self.log[:self.header[layout.LOGGED]].tolist()
        self.header[layout.LOGGED] = 0
        return found

    def statistics(self) -> dict[str, object]:
        """Numbers for --stats."""
        h = self.header
        counts = {'compiles': self.compiles, 'moves': h[layout.MOVES], 'recompiles': h[layout.RECOMPILES],
                  **{f'dropped_{reason}': h[at] for reason, at in REASONS.items()}}
        return {'translations': sum(h[at + layout.COUNT] for at in h.rings.values()), 'bytes': {name: h[at + layout.USED] for name, at in h.rings.items()},
                **{name: count for name, count in sorted(counts.items()) if count}}
