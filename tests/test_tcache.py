"""The translation cache: linking, unlinking, promotion, eviction, invalidation; on blobs of plain bytes."""
import struct
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, integers, lists

from emu.jit.dispatch import index_row
from emu.tcache.cache import Blob, Key, Link, TranslationCache
from emu.tcache.index import Index
from emu.tcache.memory import CodeMemory
from emu.tcache.policies import POLICIES, rounded

STUB = 32


class Lookup:
    """Stands for the index of compiled code."""

    def __init__(self) -> None:
        self.codes: dict[Key, int] = {}

    def enter(self, key: Key, code: int) -> None:
        self.codes[key] = code

    def remove(self, key: Key) -> None:
        self.codes[key] = 0


def make(policy: str, size: int) -> tuple[TranslationCache, dict[Key, int], Counter[Key]]:
    """A cache, the index it fills, and the uses since it last asked for them."""
    lookup, uses = Lookup(), Counter[Key]()
    return TranslationCache(CodeMemory(1 << 16), size, policy, lookup, lambda blob: uses.pop(blob.key, 0)), lookup.codes, uses


def blob(n: int, size: int = 64, link_to: int | None = None) -> Blob:
    """The n-th block, 16 guest bytes at n * 64; its link's jump is at offset 1."""
    made = Blob((n * 64, n * 64, 0), bytes(size), 4, [(n * 64, 16)], 'stencils')
    if link_to is not None:
        made.links.append(Link(1, STUB, (link_to * 64, link_to * 64, 0)))
    return made


def leads_to(cache: TranslationCache, source: Blob) -> int:
    """Offset in code memory where a blob's link goes."""
    at = source.place + 1
    return at + 4 + struct.unpack_from('<i', cache.memory.data, at)[0]


def test_a_link_follows_its_target_and_returns_to_the_stub() -> None:
    cache, index, _ = make('fifo', 1 << 12)
    a, b = blob(1, link_to=2), blob(2)
    cache.add(a)
    assert leads_to(cache, a) == a.place + STUB
    cache.add(b)
    assert leads_to(cache, a) == b.place and index[b.key] == cache.memory.base + b.place
    cache.drop(b, 'invalidated')
    assert leads_to(cache, a) == a.place + STUB and index[b.key] == 0


def test_a_block_that_jumps_to_itself() -> None:
    cache, _, _ = make('fifo', 1 << 12)
    a = blob(1, link_to=1)
    cache.add(a)
    assert leads_to(cache, a) == a.place
    cache.drop(a, 'invalidated')
    assert not cache.blobs


def test_fifo_evicts_the_oldest() -> None:
    cache, index, _ = make('fifo', 256)
    blobs = [blob(n) for n in range(1, 6)]
    for b in blobs:
        cache.add(b)
    assert blobs[0].key not in cache.blobs and index[blobs[0].key] == 0
    assert len(cache.blobs) == 4 and cache.counts['dropped_capacity'] == 1


def test_flush_drops_everything_at_once() -> None:
    cache, _, _ = make('flush', 256)
    for n in range(1, 6): cache.add(blob(n))
    assert len(cache.blobs) == 1 and cache.counts['dropped_capacity'] == 4


def test_medium_drops_an_eighth_at_once() -> None:
    cache, _, _ = make('fifo-medium', 1024)
    for n in range(1, 18): cache.add(blob(n))
    assert {key[0] // 64 for key in cache.blobs} == set(range(3, 18)) and cache.counts['dropped_capacity'] == 2


def test_lru_keeps_what_was_used_since_it_was_last_the_oldest() -> None:
    cache, index, uses = make('lru', 256)
    for n in range(1, 5): cache.add(blob(n, link_to=2))
    uses[64, 64, 0] = 1
    cache.add(blob(5))
    assert {key[0] // 64 for key in cache.blobs} == {1, 3, 4, 5}
    assert index[64, 64, 0] == cache.memory.base + cache.blobs[64, 64, 0].place
    cache.add(blob(6))
    assert {key[0] // 64 for key in cache.blobs} == {1, 4, 5, 6}


def test_adaptive_grows_when_what_it_dropped_comes_back() -> None:
    cache, _, _ = make('adaptive', 1 << 16)
    ring = cache.policy.rings[0]
    small = ring.size
    for n in range(2000): cache.add(blob(n))
    assert ring.size == small
    for n in range(2000): cache.add(blob(n % 700))
    assert ring.size == 1 << 16


def test_a_used_translation_is_promoted_by_copying_and_its_links_follow() -> None:
    cache, index, uses = make('generational', 4096)
    policy = cache.policy
    for n in range(3, 50): cache.add(blob(n))  # the tenured have no room any more
    hot, caller = blob(1), blob(2, link_to=1)
    homes = []
    for b in (hot, caller): cache.add(b)
    for n in range(50, 300):
        cache.add(blob(n))
        for b in (hot, caller, blob(n)): uses[b.key] = 8
        if hot.ring not in homes: homes.append(hot.ring)
        assert index[hot.key] == cache.memory.base + hot.place and leads_to(cache, caller) == hot.place
    assert homes == [policy.nursery, policy.survivors, policy.tenured] and caller.ring is policy.tenured


def test_what_is_not_used_in_the_nursery_or_among_the_survivors_is_dropped() -> None:
    cache, _, uses = make('generational', 4096)
    for n in range(3, 50): cache.add(blob(n))
    cold, once = blob(1), blob(2)
    for b in (cold, once): cache.add(b)
    uses[once.key] = 1
    for n in range(50, 60): cache.add(blob(n))
    assert cold.key not in cache.blobs and once.ring is cache.policy.survivors
    for n in range(60, 100):
        cache.add(blob(n))
        uses[n * 64, n * 64, 0] = 1
    assert once.key not in cache.blobs


def test_expensive_code_is_tenured_at_once() -> None:
    cache, _, _ = make('generational', 4096)
    made = blob(1)
    made.tier = 'optimised'
    cache.add(made)
    assert made.ring is cache.policy.tenured


def test_writing_to_a_granule_drops_what_was_made_of_it() -> None:
    cache, _, _ = make('generational', 4096)
    crossing = Blob((60, 60, 0), bytes(64), 4, [(60, 16)], 'stencils')
    for b in (blob(1), blob(2), crossing):
        cache.add(b)
    cache.invalidate(1)  # bytes 64 to 127
    assert set(cache.blobs) == {(128, 128, 0)}
    assert cache.counts['dropped_invalidated'] == 2


class AnyOrder(RuleBasedStateMachine):
    """Compiles, executions, writes to code and what follows from them, in any order: no stale translation is executed, no byte is over the budget, each link
    leads to its target or its stub. A translation's code says of which version of its block's bytes it was made."""

    BLOCKS, SIZE = 40, 1 << 11
    policy = 'fifo'

    def __init__(self) -> None:
        super().__init__()
        self.cache, self.index, self.used = make(self.policy, self.SIZE)
        self.versions = [0] * self.BLOCKS

    def code(self, n: int) -> bytes:
        return bytes([n, self.versions[n] & 0xff])

    @rule(n=integers(0, BLOCKS - 1), size=integers(40, 300), to=integers(0, BLOCKS - 1), second=integers(0, BLOCKS - 1), optimised=booleans())
    def compile(self, n: int, size: int, to: int, second: int, optimised: bool) -> None:
        links = [Link(2, 32, (to * 64, to * 64, 0)), Link(8, 34, (second * 64, second * 64, 0))]
        made = Blob((n * 64, n * 64, 0), self.code(n) + bytes(size - 2), 1, [(n * 64, 10), (n * 64, 16)], 'optimised' if optimised else 'stencils', links)
        self.cache.add(made)

    @rule(n=integers(0, BLOCKS - 1), steps=lists(booleans(), max_size=20))
    def execute(self, n: int, steps: list[bool]) -> None:
        """From a lookup along links, as far as they are followed."""
        place = self.index.get((n * 64, n * 64, 0), 0) - self.cache.memory.base
        places = {b.place: b for b in self.cache.blobs.values()}
        for second in steps:
            if place not in places: return
            found = places[place]
            assert self.cache.memory.data[place:place + 2] == self.code(found.key[0] // 64)
            self.used[found.key] += 1
            at = place + (8 if second else 2)
            place = at + 4 + struct.unpack_from('<i', self.cache.memory.data, at)[0]

    @rule(n=integers(0, BLOCKS - 1))
    def write(self, n: int) -> None:
        self.versions[n] += 1
        self.cache.invalidate(n)

    @invariant()
    def books(self) -> None:
        cache, memory = self.cache, self.cache.memory
        places = sorted((b.place, b.place + rounded(b.size)) for b in cache.blobs.values())
        assert all(end <= start for (_, end), (start, _) in zip(places, places[1:])) and (not places or places[-1][1] <= self.SIZE)
        assert sum(ring.used for ring in cache.policy.rings) == sum(end - start for start, end in places) <= self.SIZE
        assert {key for key, code in self.index.items() if code} == set(cache.blobs)
        for b in cache.blobs.values():
            assert self.index[b.key] == memory.base + b.place and memory.data[b.place:b.place + 2] == self.code(b.key[0] // 64)
            for link in b.links:
                target, at = cache.blobs.get(link.target), b.place + link.at
                assert at + 4 + struct.unpack_from('<i', memory.data, at)[0] == (target.place if target else b.place + link.stub)
        assert sorted((id(b), g) for g, blobs in cache.granules.items() for b in blobs) == sorted((id(b), g) for b in cache.blobs.values() for g in b.granules())
        assert sum(map(len, cache.waiting.values())) == 2 * len(cache.blobs)


@pytest.mark.parametrize('policy', POLICIES)
def test_any_order_keeps_the_books(policy: str) -> None:
    run_state_machine_as_test(type('AnyOrder', (AnyOrder,), {'policy': policy}), settings=settings(max_examples=30, stateful_step_count=60, deadline=None))


def test_the_index_has_two_places_for_blocks_that_collide() -> None:
    index = Index()
    first, second, third = ((1 << 40 | n << 34, 0x1000, 3) for n in (1, 2, 3))
    assert len({index_row(*key[:2]) for key in (first, second, third)}) == 1
    index.enter(first, 100)
    index.enter(second, 200)
    assert [index.words[index.find(key) + 2] for key in (first, second)] == [100, 200]
    index.enter(first, 101)  # changed, not added
    assert [index.words[index.find(key) + 2] for key in (first, second)] == [101, 200]
    index.enter(third, 300)
    assert index.find(first) < 0 < index.words[index.find(second) + 2] and index.words[index.find(third) + 2] == 300
    index.remove(second)
    assert index.find(second) < 0 <= index.find(third)
