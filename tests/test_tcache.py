"""The translation cache: linking, unlinking, promotion, eviction, invalidation; on translations of plain bytes, by the compiled code that does it."""
import struct

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, integers, lists

from emu.isa.language import host_load
from emu.isa.state import State
from emu.mem.memory import zeroed
from emu.tcache import layout
from emu.tcache.cache import Blob, Key, Link, Made, TranslationCache
from emu.tcache.header import address_of
from emu.tcache.index import INDEX_BITS, NOWHERE, ROW, index_enter, index_entry, index_remove, index_row
from emu.tcache.links import bucket
from emu.tcache.memory import CodeMemory
from emu.tcache.policies import POLICIES, rounded

STUB = 32
HOST = 1 << 40  # where block 0 lies


def make(policy: str, size: int, most: tuple[int, int] = (4096, 16384)) -> TranslationCache:
    """A cache, and an index that nothing else uses. There is no RAM."""
    state, index = State(), zeroed(ROW << INDEX_BITS)
    state.index = address_of(index)
    cache = TranslationCache(state, CodeMemory(1 << 16), size, policy, most=most)
    cache.header[layout.BEGIN] = 1 << 20
    cache.tables.append(index)
    return cache


def key(n: int) -> Key:
    """Of the n-th block."""
    return HOST + n * 64, n * 64, 3


def add(cache: TranslationCache, n: int, size: int = 64, link_to: int | None = None, tier: int = 0) -> bool:
    """Takes in the n-th block, 16 guest bytes at n * 64; its link's jump is at offset 1, and leads to its stub."""
    code = bytearray(size)
    if size > 5: struct.pack_into('<i', code, 1, STUB - 5)
    return cache.take_in(Made(cache.number(), key(n), bytes(code), [(key(n)[0], 16)], [] if link_to is None else [Link(1, STUB, link_to * 64)], tier=tier))


def find(cache: TranslationCache, n: int) -> Blob:
    """The n-th block's translation, which is there."""
    found = cache.find(key(n))
    assert found
    return found


def there(cache: TranslationCache) -> set[int]:
    """The blocks that have translations."""
    return {blob.key[1] // 64 for blob in cache}


def use(cache: TranslationCache, n: int, times: int = 1) -> None:
    """Executes a block's translation."""
    cache.countdown[find(cache, n).number] -= times


def indexed(cache: TranslationCache, k: Key) -> int:
    """Where a block's code is to be run, by the index; 0: it has none."""
    entry = index_entry(cache.state.index, *k)
    return cache.state.code + host_load(entry + 12, 32) if entry and host_load(entry + 12, 32) else 0


def leads_to(cache: TranslationCache, place: int, at: int = 1) -> int:
    """Offset in code memory where the rel32 at `place` + `at` goes."""
    return place + at + 4 + struct.unpack_from('<i', cache.memory.data, place + at)[0]


def count(cache: TranslationCache, name: str) -> object:
    return cache.statistics().get(name, 0)


def assert_books(cache: TranslationCache) -> None:
    """Every record, node, queue and jump is where it has to be, once; no byte is over the budget, and nothing is lost."""
    h = cache.header
    field = lambda n, at: cache.word(n, at)  # noqa: E731
    records: dict[int, tuple[int, int]] = {}  # number -> key
    spans = []
    for k in range(layout.RINGS + 1):
        q = layout.QUEUES + 64 * k
        n, older, count_, used = h[q + layout.OLDEST], 0, 0, 0
        while n:
            assert n not in records and field(n, layout.RING) == k and field(n, layout.OLDER) == older
            r = layout.record(h.address, n)
            records[n] = host_load(r + layout.P, 64), host_load(r + layout.SECOND, 64)
            place, size = field(n, layout.PLACE), rounded(field(n, layout.BYTES))
            assert (size == 0) == (k == layout.RINGS)
            if size:
                assert h[q + layout.START] <= place and place + size <= h[q + layout.START] + h[q + layout.SIZE]
                spans.append((place, place + size))
            older, count_, used, n = n, count_ + 1, used + size, field(n, layout.NEWER)
        assert (h[q + layout.NEWEST], h[q + layout.COUNT], h[q + layout.USED]) == (older, count_, used)
    spans.sort()
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:])) and (not spans or spans[-1][1] <= h[layout.TOTAL])
    free = walk(h[layout.FREE_RECORD], lambda n: field(n, layout.NEWER))
    assert sorted([*free, *records]) == list(range(1, h[layout.MADE_RECORDS] + 1)) and h[layout.MADE_RECORDS] < h[layout.MOST_RECORDS]
    by_key = {k: n for n, k in records.items()}
    assert len(by_key) == len(records)
    for n, (p, second) in records.items(): assert n in walk(host_load(bucket(h.address, p, second), 32), lambda n: field(n, layout.CHAIN))
    nodes: list[int] = []
    for n in records:
        place = field(n, layout.PLACE)
        mentions = []
        for k in walk(field(n, layout.HUNG), lambda k: node_word(cache, k, layout.SIBLING)):
            e = layout.node(h.address, k)
            nodes.append(k)
            p, second, target = host_load(e + layout.P, 64), host_load(e + layout.SECOND, 64), host_load(e + layout.TARGET, 32)
            chain = walk(host_load(bucket(h.address, p, second) + 4, 32), lambda k: node_word(cache, k, layout.NEXT))
            assert k in chain and host_load(e + layout.PREVIOUS, 32) == ([0, *chain][chain.index(k)]) and host_load(e + layout.OWNER, 32) == n
            if second == layout.MENTION: mentions.append(p)
            else:
                there = by_key.get((p, second), 0)
                assert target == (there if there and field(there, layout.BYTES) else 0)
                to = field(target, layout.PLACE) if target else place + host_load(e + layout.STUB, 32)
                assert leads_to(cache, place, host_load(e + layout.AT, 32)) == to
        assert len(set(mentions)) == len(mentions) > 0
    free = walk(h[layout.FREE_NODE], lambda k: node_word(cache, k, layout.NEXT))
    assert sorted([*free, *nodes]) == list(range(1, h[layout.MADE_NODES] + 1)) and h[layout.USED_NODES] == len(nodes) < h[layout.MOST_NODES]


def node_word(cache: TranslationCache, k: int, at: int) -> int:
    return host_load(layout.node(cache.header.address, k) + at, 32)


def walk(n: int, after) -> list[int]:  # type: ignore[no-untyped-def]
    """A chain's members."""
    found = []
    while n:
        assert n not in found
        found.append(n)
        n = after(n)
    return found


def test_a_link_follows_its_target_and_returns_to_the_stub() -> None:
    cache = make('fifo', 1 << 12)
    add(cache, 1, link_to=2)
    place = find(cache, 1).place
    assert leads_to(cache, place) == place + STUB
    add(cache, 2)
    target = find(cache, 2)
    assert leads_to(cache, place) == target.place and indexed(cache, key(2)) == cache.memory.base + target.place
    cache.drop(target, 'invalidated')
    assert leads_to(cache, place) == place + STUB and not indexed(cache, key(2)) and cache.find(key(2)) is None


def test_a_block_that_jumps_to_itself() -> None:
    cache = make('fifo', 1 << 12)
    add(cache, 1, link_to=1)
    found = find(cache, 1)
    assert leads_to(cache, found.place) == found.place
    cache.drop(found, 'invalidated')
    assert not there(cache)
    assert_books(cache)


def test_a_block_is_replaced() -> None:
    cache = make('generational', 1 << 12)
    add(cache, 1, link_to=2)
    add(cache, 2)
    add(cache, 2, 100, tier=layout.OPTIMISED)
    assert find(cache, 2).optimised and leads_to(cache, find(cache, 1).place) == find(cache, 2).place
    assert [count(cache, name) for name in ('compiles', 'recompiles', 'dropped_replaced')] == [3, 1, 1]
    assert_books(cache)


def test_a_block_that_cannot_be_translated_is_known_until_it_is_written_to() -> None:
    """Links to it keep their stubs."""
    cache = make('fifo', 1 << 12)
    add(cache, 1, link_to=2)
    add(cache, 2, size=0)
    assert cache.find(key(2)) is None and there(cache) == {1} and index_entry(cache.state.index, *key(2))
    assert leads_to(cache, find(cache, 1).place) == find(cache, 1).place + STUB
    assert cache.invalidate(key(2)[0] >> 6) == 0
    assert not index_entry(cache.state.index, *key(2))
    assert_books(cache)


def test_fifo_evicts_the_oldest() -> None:
    cache = make('fifo', 256)
    for n in range(1, 6): add(cache, n)
    assert there(cache) == {2, 3, 4, 5} and not indexed(cache, key(1)) and count(cache, 'dropped_capacity') == 1


def test_flush_drops_everything_at_once() -> None:
    cache = make('flush', 256)
    for n in range(1, 6): add(cache, n)
    assert there(cache) == {5} and count(cache, 'dropped_capacity') == 4


def test_medium_drops_an_eighth_at_once() -> None:
    cache = make('fifo-medium', 1024)
    for n in range(1, 18): add(cache, n)
    assert there(cache) == set(range(3, 18)) and count(cache, 'dropped_capacity') == 2


def test_lru_keeps_what_was_used_since_it_was_last_the_oldest() -> None:
    cache = make('lru', 256)
    for n in range(1, 5): add(cache, n, link_to=2)
    use(cache, 1)
    add(cache, 5)
    assert there(cache) == {1, 3, 4, 5}
    assert indexed(cache, key(1)) == cache.memory.base + find(cache, 1).place
    add(cache, 6)
    assert there(cache) == {1, 4, 5, 6}


def test_adaptive_grows_when_what_it_dropped_comes_back() -> None:
    cache = make('adaptive', 1 << 16)
    size = cache.header.rings['all'] + layout.SIZE
    small = cache.header[size]
    for n in range(2000): add(cache, n)
    assert cache.header[size] == small
    for n in range(2000): add(cache, n % 700)
    assert cache.header[size] == 1 << 16


def test_a_used_translation_is_promoted_by_copying_and_its_links_follow() -> None:
    cache = make('generational', 4096)
    for n in range(3, 50): add(cache, n)  # the tenured have no room any more
    add(cache, 1)
    add(cache, 2, link_to=1)
    homes = []
    for n in range(50, 300):
        add(cache, n)
        for each in (1, 2, n): use(cache, each, 8)
        hot = find(cache, 1)
        if hot.ring not in homes: homes.append(hot.ring)
        assert indexed(cache, hot.key) == cache.memory.base + hot.place and leads_to(cache, find(cache, 2).place) == hot.place
    assert homes == ['nursery', 'survivors', 'tenured'] and find(cache, 2).ring == 'tenured'


def test_what_is_not_used_in_the_nursery_or_among_the_survivors_is_dropped() -> None:
    cache = make('generational', 4096)
    for n in range(3, 50): add(cache, n)
    for n in (1, 2): add(cache, n)
    use(cache, 2)
    for n in range(50, 60): add(cache, n)
    assert not cache.find(key(1)) and find(cache, 2).ring == 'survivors'
    for n in range(60, 100):
        add(cache, n)
        use(cache, n)
    assert not cache.find(key(2))


def test_expensive_code_is_tenured_at_once() -> None:
    cache = make('generational', 4096)
    for n in range(3, 50): add(cache, n)
    add(cache, 1, tier=layout.OPTIMISED)
    assert find(cache, 1).ring == 'tenured'


def test_what_is_larger_than_the_cache_is_not_taken_in() -> None:
    cache = make('generational', 4096)
    add(cache, 1)
    assert not add(cache, 1, 4096) and there(cache) == {1}
    assert_books(cache)


def test_blocks_of_one_address_space_spread_over_the_buckets() -> None:
    """Host address and EIP grow together there."""
    cache = make('fifo', 4096)
    blocks = [(HOST + n * 16, n * 16 | 3 << 32) for n in range(1000)]
    assert len({bucket(cache.header.address, p, second) for p, second in blocks}) > 950


def test_writing_to_a_granule_drops_what_was_made_of_it() -> None:
    cache = make('generational', 4096)
    for n in (1, 2): add(cache, n)
    cache.take_in(Made(cache.number(), (HOST + 60, 60, 3), bytes(64), [(HOST + 60, 16)], []))  # crosses the granules' border
    assert cache.invalidate((HOST >> 6) + 1) == 2
    assert there(cache) == {2} and count(cache, 'dropped_invalidated') == 2


@pytest.mark.parametrize('most', [(20, 1000), (1000, 60)])
def test_full_tables_drop_the_oldest(most: tuple[int, int]) -> None:
    """Of the longest queue: so those that cannot be translated never push all others out."""
    cache = make('generational', 1 << 16, most)
    for n in range(500):
        add(cache, n, 64 if n % 2 else 0, n + 1)
        assert_books(cache)
    assert len(there(cache)) > 8 and {499} <= there(cache) and count(cache, 'dropped_capacity') == 250 - len(there(cache))


class AnyOrder(RuleBasedStateMachine):
    """Compiles, executions, writes to code and what follows from them, in any order: no stale translation is executed, no byte is over the budget, each link
    leads to its target or its stub. A translation's code says of which version of its block's bytes it was made."""

    BLOCKS, SIZE = 40, 1 << 11
    policy = 'fifo'
    most = (4096, 16384)

    def __init__(self) -> None:
        super().__init__()
        self.cache = make(self.policy, self.SIZE, self.most)
        self.versions = [0] * self.BLOCKS

    def code(self, n: int) -> bytes:
        return bytes([n, self.versions[n] & 0xff])

    @rule(n=integers(0, BLOCKS - 1), size=integers(40, 300), to=integers(0, BLOCKS - 1), second=integers(0, BLOCKS - 1), tier=integers(0, 1), translatable=booleans())
    def compile(self, n: int, size: int, to: int, second: int, tier: int, translatable: bool) -> None:
        p = key(n)[0]
        code = self.code(n) + struct.pack('<ixxi', 32 - 6, 34 - 12) + bytes(size - 12) if translatable or n % 4 else b''
        self.cache.take_in(Made(self.cache.number(), key(n), code, [(p, 10), (p, 16), (p + 100, 30)], [Link(2, 32, to * 64), Link(8, 34, second * 64)], tier=tier))

    @rule(n=integers(0, BLOCKS - 1), steps=lists(booleans(), max_size=20))
    def execute(self, n: int, steps: list[bool]) -> None:
        """From a lookup along links, as far as they are followed."""
        cache = self.cache
        place = indexed(cache, key(n)) - cache.memory.base
        places = {blob.place: blob for blob in cache}
        for second in steps:
            if place not in places: return
            found = places[place]
            assert cache.memory.data[place:place + 2] == self.code(found.key[1] // 64)
            cache.countdown[found.number] -= 1
            place = leads_to(cache, place, 8 if second else 2)

    @rule(n=integers(0, BLOCKS - 1))
    def write(self, n: int) -> None:
        """To the block's own bytes; those 100 bytes on are others' first."""
        for each in range(max(n - 2, 0), n + 1): self.versions[each] += 1
        self.cache.invalidate(key(n)[0] >> 6)

    @invariant()
    def books(self) -> None:
        cache = self.cache
        assert_books(cache)
        blobs = {blob.key: blob for blob in cache}
        for n in range(self.BLOCKS):
            found = blobs.get(key(n))
            assert indexed(cache, key(n)) == (cache.memory.base + found.place if found else 0) and found == cache.find(key(n))
            if found: assert cache.memory.data[found.place:found.place + 2] == self.code(n)


@pytest.mark.parametrize('policy', POLICIES)
@pytest.mark.parametrize('most', [(4096, 16384), (12, 4096), (4096, 50)])
def test_any_order_keeps_the_books(policy: str, most: tuple[int, int]) -> None:
    run_state_machine_as_test(type('AnyOrder', (AnyOrder,), {'policy': policy, 'most': most}), settings=settings(max_examples=10, stateful_step_count=60, deadline=None))


def test_the_index_has_four_places_for_blocks_that_collide() -> None:
    """Also for those that differ in EIP or mode alone. The oldest goes."""
    memory = zeroed(ROW << INDEX_BITS)
    index = address_of(memory)
    keys = [(1 << 40, 0x1000 | 3 << 32), (1 << 40, 0x1000 | 7 << 32), (1 << 40, 0x1008 | 3 << 32), (1 << 40 | 8, 0x1008 | 3 << 32), (1 << 40 | 9, 0x1009 | 3 << 32)]
    assert len({index_row(index, p, second & 0xffffffff) for p, second in keys}) == 1

    def places() -> list[int | None]:
        found = [index_entry(index, p, second & 0xffffffff, second >> 32) for p, second in keys]
        return [host_load(e + 12, 32) - 1 if e else None for e in found]
    for n in range(4): index_enter(index, *keys[n], 16 * n)
    assert places() == [0, 16, 32, 48, None]
    index_enter(index, *keys[1], 160)  # changed, not added
    assert places() == [0, 160, 32, 48, None]
    index_enter(index, *keys[4], 64)
    assert places() == [None, 160, 32, 48, 64]
    index_remove(index, *keys[3])
    assert places() == [None, 160, 32, None, 64]
    index_enter(index, *keys[0], 0)  # in the place that is free
    assert places() == [0, 160, 32, None, 64]
    index_enter(index, *keys[3], NOWHERE)
    assert places() == [0, None, 32, -1, 64]
