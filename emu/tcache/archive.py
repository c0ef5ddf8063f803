"""The archive: optimised translations on disk, kept from one run to the next (docs/archive.md).

A folder of *segments*, files that only grow: each emulator writes its own. An entry is 32 bytes of header (magic, size, key, their checksum, a digest of it all) and a
packed image. Readers need no lock: what is not whole is not there yet, what does not match its digest is dropped and counted. Whoever changes what the folder
holds has the lock on the file `lock`, so that it never takes more than its limit: the segments used least recently go first. A segment's name begins with
the version of the translator that wrote it; a live writer holds a lock on its segment.
"""
import fcntl
import hashlib
import os
import struct
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator, NamedTuple

from emu.errors import reason, warn
from emu.tcache.image import Guest, Image, unpack

LIMIT = 64 << 20  # bytes of the whole folder, if nobody says otherwise
MAGIC = b'EMUt'
HEADER = struct.Struct('<4sIII16s')  # magic, size of what follows, key, checksum of these three, digest
CHECKED = 12  # bytes that the checksum is of
LARGEST = 1 << 20  # an image, packed
SHARE = 16  # a segment takes no more than this part of the limit; so no more is lost when the oldest goes
MANY = 8  # segments much smaller than that are put together
PATIENCE, PAUSE = 2.0, 0.002  # seconds: waiting for the lock where no guest waits, between two tries
OFTEN = 0.5  # seconds: the least between two times of writing
WAITING = 256  # entries that may wait for the lock
SUFFIX = '.seg'


class Place(NamedTuple):
    """Where an entry's image lies."""

    segment: 'Segment'
    at: int
    size: int


@dataclass(eq=False)
class Segment:
    """A file of the folder, open for reading; entries are known up to `end`."""

    path: Path
    fd: int
    version: str
    end: int = 0
    bad: int = 0
    used: bool = False

    def read(self, at: int, size: int) -> bytes:
        """Bytes of it; fewer at its end."""
        return os.pread(self.fd, size, at)

    def entries(self) -> Iterator[tuple[int, Place]]:
        """(key, place) of those from `end` on; `end` moves on. Looks at headers only."""
        data, base, at = self.read(self.end, os.fstat(self.fd).st_size - self.end), self.end, 0
        while at + HEADER.size <= len(data):
            magic, size, key, check, _ = HEADER.unpack_from(data, at)
            if magic != MAGIC or size > LARGEST or check != zlib.crc32(data[at:at + CHECKED]):  # damaged: the next one that can be found
                self.bad += 1
                found = data.find(MAGIC, at + 1)
                at = found if found >= 0 else max(len(data) - len(MAGIC) + 1, at + 1)
            elif at + HEADER.size + size > len(data): break
            else:
                yield key, Place(self, base + at, size)
                at += HEADER.size + size
            self.end = base + at

    def image(self, place: Place) -> Image | None:
        """The image of an entry; None where it is damaged."""
        try:
            data = self.read(place.at, HEADER.size + place.size)
            head, packed = data[:CHECKED], data[HEADER.size:]
            if len(packed) == place.size and data[:HEADER.size] == header(head, packed, self.version): return unpack(packed)
        except (OSError, ValueError):
            pass
        return None


def header(head: bytes, packed: bytes, version: str) -> bytes:
    """An entry's header: its first 12 bytes, and what proves it."""
    digest = hashlib.blake2b(head + packed, digest_size=16, key=version.encode()[:64]).digest()
    return head + struct.pack('<I', zlib.crc32(head)) + digest


def entry(image: Image, version: str) -> bytes:
    """An image as a segment has it."""
    packed = image.pack()
    return header(MAGIC + struct.pack('<II', len(packed), image.key), packed, version) + packed


@dataclass
class Archive:
    """The entries of one version of the translator in `folder`, which takes at most `limit` bytes; made when something is to be written."""

    folder: Path
    version: str
    limit: int = LIMIT
    places: dict[int, list[Place | None]] = field(default_factory=dict)  # by key; None: it was damaged or is gone
    written: int = 0
    dropped: int = 0  # entries found damaged when they were wanted
    silent: bool = False  # nothing is written any more

    def __post_init__(self) -> None:
        self.segments: dict[str, Segment] = {}
        self.own: Segment | None = None
        self.waiting: list[bytes] = []
        self.flushed = 0.0  # when something was written
        self.look()

    # --- reading -----------------------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Learns what the folder has by now."""
        names = set()
        for path, _, size in files(self.folder):
            if path.suffix != SUFFIX or version_of(path) != self.version: continue
            names.add(path.name)
            if path.name not in self.segments:
                with suppress(OSError):
                    self.segments[path.name] = Segment(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), self.version)
            if (segment := self.segments.get(path.name)) and size > segment.end: self.learn(segment)
        for name in self.segments.keys() - names: self.forget(self.segments.pop(name))

    def learn(self, segment: Segment) -> None:
        """Notes a segment's new entries."""
        with suppress(OSError):
            for key, place in segment.entries(): self.places.setdefault(key, []).append(place)

    def forget(self, segment: Segment) -> None:
        """A segment was removed by somebody."""
        for places in self.places.values():
            places[:] = [None if place and place.segment is segment else place for place in places]
        self.dropped += segment.bad
        if segment is self.own: self.own = None
        os.close(segment.fd)

    def images(self, key: int, start: int = 0) -> list[Image]:
        """The images with this key, from the start-th place on."""
        found = []
        places = self.places.get(key, [])
        for n in range(start, len(places)):
            if not (place := places[n]): continue
            if image := place.segment.image(place): found.append(image)
            else: self.dropped, places[n] = self.dropped + 1, None
            if not place.segment.used:
                place.segment.used = True
                with suppress(OSError): os.utime(place.segment.path)
        return found

    @property
    def bad(self) -> int:
        """Damaged entries met so far."""
        return self.dropped + sum(segment.bad for segment in self.segments.values())

    # --- writing -----------------------------------------------------------------------------------------------------------------

    def add(self, image: Image) -> None:
        """Writes an image down; where somebody else has the lock it waits for the next one."""
        if self.silent: return
        data = entry(image, self.version)
        if len(data) > min(self.limit, LARGEST): return
        self.waiting.append(data)
        if time.monotonic() - self.flushed > OFTEN: self.flush()

    def flush(self, patience: float = 0) -> None:
        """Writes what waits."""
        if not self.waiting or self.silent: return
        self.flushed = time.monotonic()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is in it will be run
            with locked(self.folder, patience) as held:
                if not held:
                    del self.waiting[:-WAITING]
                    return
                for n, data in enumerate(self.waiting): self.append(data, n == 0)
        except OSError as error:
            self.silent = True
            warn(f'{self.folder}: {reason(error)}: no translations are kept for the next run')
        self.waiting.clear()

    def append(self, data: bytes, first: bool) -> None:
        """An entry at the end of our own segment, or of a new one; we have the lock."""
        if first: self.look()
        make_room(self.folder, self.limit - len(data), self.own.path if self.own else None)
        if self.own and (not self.own.path.exists() or os.fstat(self.own.fd).st_size + len(data) > self.limit // SHARE): self.close_own()
        if not self.own:
            path = new_segment(self.folder, self.version)
            self.own = self.segments[path.name] = Segment(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600), self.version, used=True)
            fcntl.flock(self.own.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = os.fstat(self.own.fd).st_size
        try:
            write(self.own.fd, data)
        except OSError:
            with suppress(OSError): os.ftruncate(self.own.fd, size)  # a full disk: what is there is whole
            raise
        self.written += len(data)

    def close_own(self) -> None:
        """Others may write to our segment, or put it together with others."""
        assert self.own
        fcntl.flock(self.own.fd, fcntl.LOCK_UN)
        self.own = None

    def close(self) -> None:
        """The run is over: what waits is written, small segments are put together."""
        self.flush(PATIENCE)
        if self.own: self.close_own()
        if self.written and not self.silent:
            with suppress(OSError), locked(self.folder, PATIENCE) as held:
                if held: gather(self.folder, self.limit)
        for segment in self.segments.values(): os.close(segment.fd)
        self.segments.clear()


# --- the folder ------------------------------------------------------------------------------------------------------------------------

def files(folder: Path) -> list[tuple[Path, float, int]]:
    """(path, time of its last use, bytes) of each file but the lock, the oldest first."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as listing:
        for each in listing:
            with suppress(FileNotFoundError):
                if each.name != 'lock' and each.is_file(follow_symlinks=False): found.append((Path(each.path), each.stat().st_mtime, each.stat().st_size))
    return sorted(found, key=lambda each: (each[1], each[0]))


def new_segment(folder: Path, version: str) -> Path:
    """A name that no segment has."""
    return folder / f'{version}.{time.time_ns():x}.{os.getpid()}{SUFFIX}'


def version_of(path: Path) -> str:
    """The version of the translator that wrote a segment."""
    return path.name.partition('.')[0]


@contextmanager
def locked(folder: Path, patience: float) -> Iterator[bool]:
    """The right to change what the folder holds; False where others have it for so many seconds."""
    fd = os.open(folder / 'lock', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        held, deadline = False, time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(PAUSE)
                    continue
            break
        yield held
    finally:
        os.close(fd)


def make_room(folder: Path, limit: int, last: Path | None = None) -> None:
    """Removes the files used least recently until `limit` bytes are not exceeded, `last` after all others; we have the lock."""
    found = files(folder)
    total = sum(size for _, _, size in found)
    for path, _, size in sorted(found, key=lambda each: each[0] == last):
        if total <= limit: break
        path.unlink(missing_ok=True)
        total -= size


def live(path: Path) -> bool:
    """Whether an emulator that runs still writes to a segment."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
    return False


def gather(folder: Path, limit: int) -> None:
    """Puts a version's many small segments together; we have the lock."""
    small: dict[str, list[tuple[Path, float, int]]] = {}
    for each in files(folder):
        if each[0].suffix == SUFFIX and each[2] < limit // SHARE // 2 and not live(each[0]): small.setdefault(version_of(each[0]), []).append(each)
    for segments in small.values():
        if len(segments) <= MANY: continue
        taken: list[Path] = []
        total = 0
        for path, _, size in segments:
            if total + size <= limit // SHARE: taken, total = [*taken, path], total + size
        rewrite(taken)


def rewrite(paths: list[Path]) -> None:
    """Makes one segment of the good entries of some of a version, each once; we have the lock. One that dies meanwhile loses them, but never takes more room."""
    good: dict[Guest, bytes] = {}
    used = max(path.stat().st_mtime for path in paths)
    for path in paths: good.update(contents(path)[0])
    for path in paths: path.unlink()
    if not good: return
    fd = os.open(new_segment(paths[0].parent, version_of(paths[0])), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write(fd, b''.join(good.values()))
        os.utime(fd, (used, used))
    finally:
        os.close(fd)


def contents(path: Path) -> tuple[dict[Guest, bytes], int]:
    """The good entries of a segment by what they are made of, as they are in the file, and how many are damaged."""
    segment = Segment(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), version_of(path))
    try:
        good: dict[Guest, bytes] = {}
        bad = 0
        for _, place in segment.entries():
            if image := segment.image(place): good[image.guest] = segment.read(place.at, HEADER.size + place.size)
            else: bad += 1
        cut = not live(path) and segment.end < path.stat().st_size  # its writer was killed
        return good, bad + segment.bad + cut
    finally:
        os.close(segment.fd)


def write(fd: int, data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest: rest = rest[os.write(fd, rest):]


# --- `emu cache` -------------------------------------------------------------------------------------------------------------------------

def overview(folder: Path) -> list[tuple[str, int, int, int]]:
    """(version, segments, entries, bytes) of each version of the translator that has any."""
    rows: dict[str, tuple[int, int, int]] = {}
    for path, _, size in files(folder):
        if path.suffix != SUFFIX: continue
        segments, entries, taken = rows.get(version_of(path), (0, 0, 0))
        segment = Segment(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), version_of(path))
        rows[version_of(path)] = segments + 1, entries + sum(1 for _ in segment.entries()), taken + size
        os.close(segment.fd)
    return [(version, *row) for version, row in rows.items()]


def verify(folder: Path) -> tuple[int, int]:
    """Reads every entry and drops those that are damaged, but for files that are being written to: (good, bad)."""
    good = bad = 0
    if not folder.is_dir(): return 0, 0
    with locked(folder, PATIENCE) as held:
        for path, _, _ in files(folder):
            if path.suffix != SUFFIX: continue
            entries, damaged = contents(path)
            good, bad = good + len(entries), bad + damaged
            if damaged and held and not live(path): rewrite([path])
    return good, bad


def prune(folder: Path, version: str, limit: int = LIMIT) -> None:
    """Removes what no run of this version finds and the oldest beyond the limit, and puts small segments together."""
    if not folder.is_dir(): return
    with locked(folder, PATIENCE) as held:
        if not held: return
        for path, _, _ in files(folder):
            if path.suffix != SUFFIX or version_of(path) != version and not live(path): path.unlink(missing_ok=True)
        make_room(folder, limit)
        gather(folder, limit)
