"""The archive of translations on disk: what is found is what was kept, whatever happens to the files, and it never takes more than its limit.

A model remembers every image that was added. Writers are several at once, die by SIGKILL in the middle of writing, and find files cut short and bits flipped.
"""
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emu.cli import main
from emu.jit import optimise
from emu.tcache import archive
from emu.tcache.archive import Archive, contents, files, live
from emu.tcache.image import ANYWHERE, LINK, Image, key_of, unpack

LIMIT = 64 << 10


def image(n: int, size: int = 300) -> Image:
    """The n-th image: its bytes follow from n, and do not compress."""
    noise = random.Random(n)
    first = noise.randbytes(5 + n % 7)
    return Image(0x2f, ANYWHERE if n % 3 else n, 0.25, (0, 40, -12), (first, noise.randbytes(9), b''), n % 50, noise.randbytes(size), ((3, LINK, -40), (9, 11, n)))


def found(store: Archive, made: Image) -> bool:
    """Whether the archive has it."""
    return made in store.images(made.key)


def total(folder: Path) -> int:
    return sum(size for _, _, size in files(folder))


# --- images --------------------------------------------------------------------------------------------------------------------------

def test_an_image_comes_back_as_it_was() -> None:
    for n in range(200): assert unpack(image(n, n * 7).pack()) == image(n, n * 7)


@pytest.mark.parametrize('damage', [b'', b'x', image(1).pack()[:-1], image(1).pack()[:20]])
def test_what_is_no_image_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError): unpack(damage)


def test_an_image_suits_where_all_its_bytes_are_inside_one_page() -> None:
    made = Image(1, ANYWHERE, 0, (0, 8, -4), (b'abcd', b'ef', b'wxyz'), 3, b'', ())
    page = bytearray(12288)

    def read(p: int, n: int) -> bytes: return bytes(page[p:p + n])

    for at, inside in ((5000, True), (4100, True), (8182, True), (4096, False), (8183, False)):  # not: a part of it lies in another page
        page[at - 4:at + 10] = b'wxyzabcd....ef'
        assert made.suits(at, 77, read) == inside
        assert made._replace(eip=9).suits(at, 9, read) == inside and not made._replace(eip=9).suits(at, 10, read)
        page[at + 9] ^= 1
        assert not made.suits(at, 77, read)


# --- plainly -------------------------------------------------------------------------------------------------------------------------

def test_what_one_run_keeps_the_next_finds(tmp_path: Path) -> None:
    first = Archive(tmp_path, 'v')
    for n in range(50): first.add(image(n))
    first.close()
    second = Archive(tmp_path, 'v')
    assert all(found(second, image(n)) for n in range(50)) and second.bad == 0
    assert not second.images(key_of(1, b'never'))
    assert not Archive(tmp_path, 'w').places  # another version's
    second.close()


def test_the_oldest_makes_room(tmp_path: Path) -> None:
    for run in range(40):
        store = Archive(tmp_path, 'v', LIMIT)
        for n in range(10): store.add(image(run * 10 + n))
        store.close()
        for path, _, _ in files(tmp_path):
            if path.stat().st_mtime > 1e6: os.utime(path, (run, run))
        assert total(tmp_path) <= LIMIT
    last = Archive(tmp_path, 'v', LIMIT)
    assert all(found(last, image(n)) for n in range(300, 400)) and not any(found(last, image(n)) for n in range(50))
    last.close()


def test_what_is_used_stays(tmp_path: Path) -> None:
    wanted = image(10_000)
    for run in range(60):
        store = Archive(tmp_path, 'v', LIMIT)
        if not run: store.add(wanted)
        assert not run or found(store, wanted), run
        for n in range(4): store.add(image(run * 4 + n, 2000))
        store.close()
    assert total(tmp_path) <= LIMIT


def test_small_segments_are_put_together(tmp_path: Path) -> None:
    for run in range(30):
        store = Archive(tmp_path, 'v')
        store.add(image(run))
        store.add(image(7))  # the same in every run: once is enough
        store.close()
    assert len(files(tmp_path)) <= archive.MANY + 1
    store = Archive(tmp_path, 'v')
    assert all(found(store, image(run)) for run in range(30)) and len(store.images(image(7).key)) <= archive.MANY + 1
    store.close()


def test_another_emulator_s_are_seen_when_something_is_written(tmp_path: Path) -> None:
    one, other = Archive(tmp_path, 'v'), Archive(tmp_path, 'v')
    one.add(image(1))
    other.add(image(2))
    assert found(other, image(1)) and not found(one, image(2))
    one.add(image(3))
    one.flush()
    assert found(one, image(2))
    one.close()
    other.close()


def test_a_lock_that_others_hold_is_not_waited_for(tmp_path: Path) -> None:
    store = Archive(tmp_path, 'v')
    with archive.locked(tmp_path, 0) as held:
        assert held
        started = time.monotonic()
        store.add(image(1))
        assert time.monotonic() - started < 1 and not files(tmp_path)
    store.flush()
    assert len(files(tmp_path)) == 1
    store.close()


# --- damage --------------------------------------------------------------------------------------------------------------------------

def test_every_single_damaged_byte_is_noticed(tmp_path: Path) -> None:
    store = Archive(tmp_path, 'v')
    for n in range(3): store.add(image(n, 40))
    store.close()
    (path, _, size), = files(tmp_path)
    whole = path.read_bytes()
    for at in range(size):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        store = Archive(tmp_path, 'v')
        here = [found(store, image(n, 40)) for n in range(3)]
        assert here.count(False) == 1 and store.bad >= 1, at
        store.close()


def test_a_file_cut_short_keeps_what_is_whole(tmp_path: Path) -> None:
    store = Archive(tmp_path, 'v')
    for n in range(3): store.add(image(n, 40))
    store.close()
    (path, _, size), = files(tmp_path)
    whole = path.read_bytes()
    ends = list(itertools.accumulate(len(archive.entry(image(n, 40), 'v')) for n in range(3)))
    for length in range(size):
        path.write_bytes(whole[:length])
        store = Archive(tmp_path, 'v')
        assert [found(store, image(n, 40)) for n in range(3)] == [length >= end for end in ends], length
        store.add(image(9))
        store.flush()
        store.look()
        assert found(store, image(9))
        for other, _, _ in files(tmp_path):
            if other != path: other.unlink()
        store.close()


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').touch()
    store = Archive(tmp_path / 'file' / 'archive', 'v')
    for n in range(3):
        store.add(image(n))
        store.flush()
    store.close()
    assert capsys.readouterr().err.count('\n') == 1 and store.silent


FULL = '''
import resource, sys
from pathlib import Path
from emu.tcache.archive import Archive
from tests.test_archive import found, image
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
store = Archive(Path(sys.argv[1]), 'v')
for n in range(20):
    store.add(image(n))
    store.flush()
assert found(store, image(0)) and not found(store, image(19)), store
store.close()
'''


def test_a_full_disk_is_one_line_and_leaves_whole_entries(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    run = subprocess.run([sys.executable, '-c', FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and run.stderr.count('\n') == 1 and 'translations are kept' in run.stderr, run.stderr
    (path, _, size), = files(tmp_path)
    assert contents(path)[1] == 0 and 1 <= len(contents(path)[0]) < 20 and size <= 2000


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """emu cache info tells of each version, verify drops what is damaged, prune what other versions have left."""
    monkeypatch.setenv('EMU_CACHE', str(tmp_path))
    folder = tmp_path / 'archive'
    assert main(['cache', 'verify']) == 0 and '0 translations' in capsys.readouterr().out
    for version in ('old', optimise.version()):
        store = Archive(folder, version)
        for n in range(5): store.add(image(n))
        store.close()
    path = next(path for path, _, _ in files(folder) if path.name.startswith('old'))
    path.write_bytes(path.read_bytes()[:-1])
    assert main(['cache']) == 0
    told = capsys.readouterr().out
    assert '5 translations by this version' in told and '4 translations by version old' in told
    assert main(['cache', 'verify']) == 0 and '9 translations are whole, 1 were damaged' in capsys.readouterr().out
    assert main(['cache', 'verify']) == 0 and '9 translations are whole, 0 were damaged' in capsys.readouterr().out
    assert main(['cache', 'prune']) == 0 and len(files(folder)) == 1
    assert main(['cache', 'clear']) == 0 and not folder.exists()


# --- many at once, and deaths -----------------------------------------------------------------------------------------------------------

WRITER = '''
import sys
from pathlib import Path
from emu.cli import main
from emu.jit import optimise
from emu.tcache import archive
from tests.test_archive import image
archive.OFTEN = 0
store = archive.Archive(Path(sys.argv[1]), 'v', int(sys.argv[2]))
first = int(sys.argv[3])
for n in range(first, first + int(sys.argv[4])):
    store.add(image(n))
    print(n, flush=True)
store.close()
'''


def writer(folder: Path, limit: int, first: int, count: int) -> 'subprocess.Popen[bytes]':
    """An emulator that keeps images first, first + 1..."""
    return subprocess.Popen([sys.executable, '-c', WRITER, str(folder), str(limit), str(first), str(count)], stdout=subprocess.PIPE)


def test_several_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    writers = [writer(tmp_path, 1 << 24, n * 1000, 200) for n in range(4)]
    for each in writers: assert each.communicate(timeout=60) and each.returncode == 0
    store = Archive(tmp_path, 'v')
    assert all(found(store, image(n * 1000 + k)) for n in range(4) for k in range(200)) and store.bad == 0
    store.close()


def test_several_at_once_stay_under_the_limit(tmp_path: Path) -> None:
    writers = [writer(tmp_path, LIMIT, n * 1000, 300) for n in range(3)]
    largest = 0
    while any(each.poll() is None for each in writers):
        with archive.locked(tmp_path, 1) as held:  # so that nobody writes while we add up
            if held: largest = max(largest, total(tmp_path))
        time.sleep(0.005)
    for each in writers: assert each.communicate(timeout=60) and each.returncode == 0
    assert LIMIT // 2 < largest <= LIMIT


def test_killed_while_writing(tmp_path: Path) -> None:
    for run in range(6):
        each = writer(tmp_path, 1 << 24, run * 10_000, 5000)
        assert each.stdout
        told = [int(each.stdout.readline()) for _ in range(20 + 13 * run)]
        each.send_signal(signal.SIGKILL)
        told += [int(line) for line in each.communicate()[0].split(b'\n')[:-1] if line]
        store = Archive(tmp_path, 'v')
        assert not any(live(path) for path, _, _ in files(tmp_path))
        assert all(found(store, image(n)) for n in told[:-1])
        store.close()


# --- a model ---------------------------------------------------------------------------------------------------------------------------

class Model(RuleBasedStateMachine):
    """Two emulators and a folder to which things happen."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.added: set[int] = set()
        self.damaged = False
        self.stores = [self.opened(), self.opened()]

    def opened(self) -> Archive:
        return Archive(self.folder, 'v', LIMIT)

    @rule(which=st.integers(0, 1), n=st.integers(0, 400), size=st.sampled_from([20, 300, 3000]))
    def add(self, which: int, n: int, size: int) -> None:
        self.stores[which].add(image(n, size))
        self.stores[which].flush()
        self.added.add(n)

    @rule(which=st.integers(0, 1), first=st.integers(0, 1000))
    def add_many(self, which: int, first: int) -> None:
        for n in range(first, first + 30): self.stores[which].add(image(n))
        self.stores[which].flush()
        self.added.update(range(first, first + 30))

    @rule(which=st.integers(0, 1), n=st.integers(0, 400))
    def look_up(self, which: int, n: int) -> None:
        """What is found is what was added, bit by bit."""
        for made in self.stores[which].images(image(n).key):
            assert n in self.added and made in (image(n, size) for size in (20, 300, 3000))

    @rule(which=st.integers(0, 1))
    def run_again(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = self.opened()

    @rule(which=st.integers(0, 1))
    def killed(self, which: int) -> None:
        """Without a word: its locks are gone, its files are as they are."""
        for segment in self.stores[which].segments.values(): os.close(segment.fd)
        self.stores[which] = self.opened()

    @rule(at=st.floats(0, 1), bit=st.integers(0, 7), which=st.integers(0, 100))
    def rot(self, at: float, bit: int, which: int) -> None:
        if not (there := files(self.folder)): return
        path, _, size = there[which % len(there)]
        if not size: return
        with path.open('r+b') as file:
            file.seek(int(at * (size - 1)))
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1 << bit]))
        self.damaged = True

    @rule(at=st.floats(0, 1), which=st.integers(0, 100))
    def cut(self, at: float, which: int) -> None:
        """What is cut while its writer lives it goes on behind."""
        if not (there := files(self.folder)): return
        path, _, size = there[which % len(there)]
        os.truncate(path, int(at * size))
        self.damaged = True

    @rule(which=st.integers(0, 100))
    def remove(self, which: int) -> None:
        if there := files(self.folder): there[which % len(there)][0].unlink()

    @rule()
    def verify(self) -> None:
        archive.verify(self.folder)
        for path, _, _ in files(self.folder):
            if path.suffix == archive.SUFFIX and not live(path): assert contents(path)[1] == 0

    @rule()
    def prune(self) -> None:
        archive.prune(self.folder, 'v', LIMIT)

    @invariant()
    def under_the_limit(self) -> None:
        if hasattr(self, 'folder'): assert total(self.folder) <= LIMIT

    @invariant()
    def undamaged_is_not_bad(self) -> None:
        if hasattr(self, 'folder') and not self.damaged: assert not any(store.bad for store in self.stores)

    def teardown(self) -> None:
        if hasattr(self, 'folder'):
            for store in self.stores: store.close()
            assert total(self.folder) <= LIMIT
            shutil.rmtree(self.folder)


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestModel = Model.TestCase
