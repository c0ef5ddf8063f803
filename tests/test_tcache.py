"""The translation cache: linking, unlinking, promotion, eviction, invalidation; on blobs of plain bytes."""
import struct

import pytest

from emu.jit.dispatch import index_row
from emu.tcache.cache import PROMOTE_USES, Blob, Key, Link, TranslationCache
from emu.tcache.index import Index
from emu.tcache.memory import CodeMemory

STUB = 32


class Lookup:
    """Stands for the index of compiled code."""

    def __init__(self) -> None:
        self.codes: dict[Key, int] = {}
        self.found: dict[Key, int] = {}

    def enter(self, key: Key, code: int) -> None:
        self.codes[key] = code

    def remove(self, key: Key) -> None:
        self.codes[key] = 0

    def uses(self, key: Key) -> int:
        return self.found.get(key, 0)


def make(policy: str, size: int) -> tuple[TranslationCache, dict[Key, int], dict[Key, int]]:
    """A cache, the index it fills, and the uses it is told."""
    lookup = Lookup()
    return TranslationCache(CodeMemory(1 << 16), size, policy, lookup), lookup.codes, lookup.found


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
    for n in range(1, 6):
        cache.add(blob(n))
    assert len(cache.blobs) == 1 and cache.counts['flushes'] == 1


def test_a_used_translation_is_promoted_by_copying_and_its_links_follow() -> None:
    cache, index, uses = make('generational', 512)
    hot, caller = blob(1), blob(2, link_to=1)
    uses[hot.key] = PROMOTE_USES
    uses[caller.key] = PROMOTE_USES
    for b in (hot, caller, *[blob(n) for n in range(3, 9)]):
        cache.add(b)
    assert hot.generation is cache.tenured and cache.counts['promotions'] == 2
    assert index[hot.key] == cache.memory.base + hot.place and leads_to(cache, caller) == hot.place


def test_writing_to_a_granule_drops_what_was_made_of_it() -> None:
    cache, _, _ = make('generational', 4096)
    crossing = Blob((60, 60, 0), bytes(64), 4, [(60, 16)], 'stencils')
    for b in (blob(1), blob(2), crossing):
        cache.add(b)
    cache.invalidate(1)  # bytes 64 to 127
    assert set(cache.blobs) == {(128, 128, 0)}
    assert cache.counts['dropped_invalidated'] == 2


@pytest.mark.parametrize('policy', ['flush', 'fifo', 'generational'])
def test_any_order_of_additions_and_invalidations_keeps_the_books(policy: str) -> None:
    cache, index, uses = make(policy, 2048)
    for step in range(2000):
        n = step * 7919 % 61
        if step % 5 == 0:
            cache.invalidate(n)
        else:
            cache.add(blob(n, 64 + n * 3 % 50, link_to=(n * 31 + 7) % 61))
        uses[n * 64, n * 64, 0] = step % 11
        for b in cache.blobs.values():
            assert index[b.key] == cache.memory.base + b.place and bytes(cache.memory.data[b.place:b.place + 1]) == b'\0'
            target = cache.blobs.get(b.links[0].target)
            assert leads_to(cache, b) == (target.place if target else b.place + STUB)
        places = sorted((b.place, b.place + len(b.code)) for b in cache.blobs.values())
        assert all(x[1] <= y[0] for x, y in zip(places, places[1:]))


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
    assert index.find(second) < 0 <= index.find(third) and index.uses(second) == 0
