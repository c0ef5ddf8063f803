"""Revival: code that comes back, at the same place, at another, in another run, has its optimised translation at once and does the same; other code never has it."""
import inspect
import json
import struct
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emu import cpu, machine
from emu.assembler import assemble
from emu.decoder.table import FORMS
from emu.jit import optimise
from emu.jit.regions import region
from emu.machine import run_machine
from emu.options import Options
from emu.tcache.archive import Archive
from emu.tcache.image import ANYWHERE, Image
from emu.tcache.revival import Revival
from tests import programs, test_icount
from tests.conftest import ALL
from tests.harness import HANDLERS, PAGE_TABLE, Guest
from tests.oracle.host import CODE
from tests.test_archive import image
from tests.test_code_writes import ALIAS, start

SUM = 'mov ecx, 500; again: add eax, ecx; xor edx, eax; test ecx, 3; jnz on; call function; on: loop again; jmp done; function: inc ebx; ret; done: nop'
OTHER = SUM.replace('inc ebx', 'dec ebx')


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    """A machine whose blocks are translated at once and optimised after 40 executions, as the real one does it."""
    made = new_guest(monkeypatch)
    yield made
    made.cpu.close()


def new_guest(monkeypatch: pytest.MonkeyPatch, archive: Archive | None = None) -> Guest:
    monkeypatch.setattr(cpu, 'WARM', 40)
    made = Guest('optimise')
    made.cpu.at_once = False
    made.user_mode()
    made.memory.write(PAGE_TABLE + (ALIAS >> 12) * 4, struct.pack('<I', CODE | 0x67))
    if archive: made.cpu.revival = Revival(1 << 20, archive)
    return made


def optimised(g: Guest) -> int:
    """How many optimised translations there are."""
    assert g.cpu.cache
    return sum(blob.optimised for blob in g.cpu.cache)


def go(g: Guest, source: str, origin: int = CODE, moved: int = 0) -> list[int]:
    """Runs a program to its INT3, `moved` linear addresses further, and takes in what the worker has made of it; EAX ECX EDX EBX."""
    start(g, source, origin)
    g.m.eip = origin + moved
    g.go(20_000)
    assert g.m.eip == HANDLERS + 4
    settle(g)
    return [g.m.reg[n] for n in range(4)]


def settle(g: Guest) -> None:
    """Waits for the worker."""
    while g.cpu.asked:
        assert g.cpu.worker
        g.cpu.worker.poll(10_000)
        g.cpu.collect()


def test_the_same_bytes_elsewhere_and_again(guest: Guest) -> None:
    right = go(guest, SUM)
    revival = guest.cpu.revival
    assert optimised(guest) and revival.misses and not revival.revived
    asked = revival.misses
    assert go(guest, SUM, CODE + 0x140) == right  # another address
    assert go(guest, SUM, moved=ALIAS - CODE) == right  # another linear address of the same
    here = optimised(guest)
    assert revival.revived >= 2
    assert go(guest, OTHER) != right  # other bytes over it
    assert optimised(guest) < here or revival.misses > asked
    asked, revived = revival.misses, revival.revived
    assert go(guest, SUM) == right  # and the first again
    assert revival.revived > revived and revival.misses == asked


def test_bytes_that_differ_in_another_block_of_the_region_are_not_taken_for_the_same(guest: Guest) -> None:
    source = 'mov ecx, 500; again: add eax, ecx; test al, 1; jnz on; add ebx, {}; on: loop again'
    seen = {n: go(guest, source.format(n)) for n in (1, 2, 3, 2, 1)}
    assert [seen[n][3] for n in (1, 2, 3)] == [seen[1][3] * n for n in (1, 2, 3)] and seen[1][3] > 0


def test_with_an_archive_llvm_is_not_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = []
    for run in range(2):
        g = new_guest(monkeypatch, Archive(tmp_path, 'v'))
        results.append((go(g, SUM), programs.architecture(g.m), bytes(g.memory.ram)))
        revival = g.cpu.revival
        if run: assert revival.hits and not revival.misses and optimised(g)
        else: assert revival.misses and not revival.hits
        assert revival.statistics()['archive']['bad'] == 0
        g.cpu.close()
    assert results[0] == results[1]


def test_a_guest_that_rewrites_its_code_sees_what_it_wrote(guest: Guest) -> None:
    """Two versions of a function are written over each other; each time the one that is there runs."""
    source = ('mov esi, 30; round: mov edx, esi; and edx, 1; mov byte ptr [number + 1], dl; call body; add ebx, eax; dec esi; jnz round; jmp over;'
              'body: mov ecx, 60; number: mov eax, 5; again: add edi, eax; loop again; ret; over: nop')
    go(guest, source)
    revived = guest.cpu.revival.revived
    assert go(guest, source, CODE + 0x800)[3] == 15
    assert guest.cpu.revival.revived > revived


@pytest.mark.parametrize('segment, again', [(0x2000, True), (0x1008, True), (0x10ff, False)])
def test_a_segment_of_16_bit_code_that_is_loaded_elsewhere(guest: Guest, segment: int, again: bool) -> None:
    """As discarded segments of 16-bit Windows are: same offsets, another base. Where its code would cross a page some of it is made again."""
    code = assemble('mov cx, 600; again: add ax, cx; call function; loop again; hlt; function: test al, 1; jz even; inc bx; even: ret', 16, 0)
    results = []
    for base in (0x1000, segment):
        guest.real({'cs': base, 'ss': 0x3000, 'ds': 0x4000, 'es': 0x4000, 'esp': 0x1000, 'eip': 0}, {(base << 4) + n: byte for n, byte in enumerate(code)})
        revived = guest.cpu.revival.revived
        for _ in range(2000):
            if not guest.m.halted: guest.cpu.run(20)
            settle(guest)
        assert guest.m.halted
        results.append((guest.m.reg[0], guest.m.reg[1], guest.m.reg[3], guest.m.eip))
    assert results[0] == results[1] and results[0][2] > 0
    assert guest.cpu.revival.revived > revived or not again


def test_an_image_says_nothing_of_its_address() -> None:
    """A region of any code, compiled at two EIPs, is the same image, but for relative jumps of 16 bits."""
    g = Guest('optimise')
    g.user_mode()
    compared = 0
    for seed in range(12):
        p = programs.program(seed)
        programs.load(g, p)
        at = programs.HOME
        host, mode = g.memory.host + at, g.m.mode
        images = []
        for eip in (at, 0xc0de0000 | at & 0xfff, 0x7fffffff & ~0xfff | at & 0xfff):
            key = host, eip, mode
            if not g.cpu.part(key, eip): continue
            chosen = region(eip, partial(g.cpu.part, key))
            obj, seconds = optimise.compile_region(chosen, mode)
            if obj: images.append(optimise.image(obj, chosen, mode, g.cpu.guest_bytes(key, chosen), 0))
        if images and images[0] and images[0].eip == ANYWHERE:
            assert images[0] == images[1] == images[2], seed
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize('source, same', [('add eax, 1; jmp here; here: loop here', ANYWHERE), ('add eax, 1; .byte 0x66, 0xe2, 0xfd', CODE)])
def test_only_jumps_that_wrap_at_16_bits_bind_an_image_to_its_address(guest: Guest, source: str, same: int) -> None:
    start(guest, source)
    key = guest.memory.host + CODE, CODE, guest.m.mode
    chosen = region(CODE, partial(guest.cpu.part, key))
    assert any(FORMS[part.last.form].ends == 'rel' for part in chosen.parts.values())
    obj, _ = optimise.compile_region(chosen, guest.m.mode)
    assert obj
    made = optimise.image(obj, chosen, guest.m.mode, guest.cpu.guest_bytes(key, chosen), 0)
    assert made and made.eip == same


def test_a_repeatable_run_is_the_same_with_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-icount: output and the guest's statistics, with none, while it is filled, and out of it."""
    monkeypatch.setattr(cpu, 'WARM', 400)
    seen = []
    for folder in (None, *[tmp_path / 'archive'] * 20):  # on a busy host the first runs end before LLVM has done anything
        monkeypatch.setattr(machine, 'archive', lambda options, folder=folder: Archive(folder, 'v') if folder else None)
        serial, stats = tmp_path / 'serial', tmp_path / 'stats'
        serial.unlink(missing_ok=True)
        kernel = test_icount.kernel(tmp_path, 100)
        assert run_machine(Options(kernel=kernel, memory=16 << 20, serial=(f'file:{serial}',), stats=str(stats), icount=True, debug_exit=0x501)) == test_icount.ENDED
        read = json.loads(stats.read_text())
        seen.append((serial.read_bytes(), read['guest']))
        assert seen[-1] == seen[0]
        if folder and read['cache']['archive']['hits']: break
    assert read['cache']['archive']['hits'] > 0


class Prompt:
    """A worker in this process, done at once."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> 'Future[Any]':
        job: Future[Any] = Future()
        job.set_result(function(*arguments))
        return job

    def poll(self, timeout: float = 0) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """Nor to end."""


def test_random_programs_that_rewrite_themselves_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs three times, with others in between over the same bytes; compared with the interpreter after each slice."""
    monkeypatch.setattr(cpu, 'WARM', 3)
    monkeypatch.setattr(programs, 'ROUNDS', 12)
    right, g = Guest('interpreter'), Guest('optimise')
    assert g.cpu.worker
    g.cpu.worker.close()
    g.cpu.at_once, g.cpu.worker = False, Prompt()  # type: ignore[assignment]
    for each in (right, g): each.user_mode()
    seeds = range(300 if ALL else 40)
    for n in range(3):
        for seed in seeds:
            assert not programs.disagreement([right, g], programs.program(seed, rewriting=True)), seed
        if n == 0: first = g.cpu.revival.misses
    assert g.cpu.revival.revived > len(seeds) and g.cpu.revival.misses - first < first, (g.cpu.revival.revived, first, g.cpu.revival.misses)


def test_what_an_image_follows_from_is_what_it_is_found_by() -> None:
    """Whoever lets a region's code depend on more than its blocks and the mode key has to put that into `Image.guest`."""
    assert list(inspect.signature(optimise.compile_region).parameters) == ['region', 'mode']


def test_what_was_not_hot_before_is_put_off_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a guest that the archive knows, a block that it does not know is optimised after ten times as many executions."""
    store = Archive(tmp_path, 'v')
    g = new_guest(monkeypatch, store)
    go(g, SUM)
    g.cpu.close()
    g = new_guest(monkeypatch, Archive(tmp_path, 'v'))
    go(g, SUM)
    revival = g.cpu.revival
    assert revival.known_guest() and revival.misses == 0
    loop = 'mov ecx, {}; again: sub eax, ecx; rol eax, 5; loop again'
    go(g, loop.format(300))  # 40 are enough in a new guest
    assert revival.misses == 0
    go(g, loop.format(1000))
    assert revival.misses == 1
    g.cpu.close()


# --- the index by content, against a model ------------------------------------------------------------------------------------------------

class Model(RuleBasedStateMachine):
    """Memory into which images' bytes are put and damaged; what is found there is made of what is there."""

    budget = 6000

    def __init__(self) -> None:
        super().__init__()
        self.revival = Revival(self.budget, None)
        self.memory = bytearray(8192)
        self.kept: list[Image] = []

    def read(self, p: int, n: int) -> bytes:
        return bytes(self.memory[p:p + n])

    @rule(n=st.integers(0, 12), size=st.sampled_from([20, 300, 3000]))
    def keep(self, n: int, size: int) -> None:
        self.revival.keep(image(n, size))
        self.kept.append(image(n, size))

    @rule(n=st.integers(0, 12), at=st.integers(20, 8100))
    def load(self, n: int, at: int) -> None:
        """A segment is loaded."""
        made = image(n)
        for distance, part in zip(made.distances, made.parts): self.memory[at + distance:at + distance + len(part)] = part
        self.find(n, at, n)

    @rule(at=st.integers(0, 8191), v=st.integers(0, 255))
    def store(self, at: int, v: int) -> None:
        self.memory[at] = v

    @rule(n=st.integers(0, 12), at=st.integers(20, 8100), eip=st.integers(0, 12))
    def find(self, n: int, at: int, eip: int) -> None:
        length = len(image(n).parts[0])
        found = self.revival.find(0x2f, at, eip, length, self.read)
        if not found: return
        assert found in self.kept and found.eip in (ANYWHERE, eip) and found.mode == 0x2f
        for distance, part in zip(found.distances, found.parts):
            assert 0 <= (at & 4095) + distance <= 4096 - len(part) and self.read(at + distance, len(part)) == part

    @invariant()
    def within_the_budget(self) -> None:
        held = sum(each.size for known in self.revival.known.values() for each in known.images)
        assert held == self.revival.bytes <= self.budget


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestModel = Model.TestCase
