"""Revival: optimised translations found by the guest's bytes, whatever became of the place they were made for.

A segment that 16-bit Windows has discarded and loads again, the same program or library in another process, a second boot: bytes that come back find their
image, which makes a translation for where they lie now. Images are kept in memory up to a budget, the most recently used; behind them is the archive.
"""
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

from emu.tcache.archive import Archive, files
from emu.tcache.entering import KNOWN_BITS
from emu.tcache.image import Image, key_of

RECENT = 32  # answers that tell whether this guest is known
SHAPES = 8  # images that begin with the same block, at most: the blocks around it differ, or were not known yet


@dataclass
class Known:
    """The images in memory that begin with one block, the newest last, and how many places in the archive were looked at."""

    images: list[Image] = field(default_factory=list)
    looked: int = 0

    @property
    def size(self) -> int:
        return sum(image.size for image in self.images)


class Revival:
    """Images by content: `budget` bytes of them in memory, and those of an archive."""

    def __init__(self, budget: int, archive: Archive | None):
        self.budget, self.archive = budget, archive
        self.known: OrderedDict[int, Known] = OrderedDict()
        self.bytes = 0
        self.fresh: set[int] = set()  # ids of images from the archive that were not used yet
        self.hits = self.misses = self.revived = 0
        self.saved = self.spent = 0.0  # seconds: of LLVM's, our own
        self.places = archive.places if archive else {}
        self.filter = np.zeros(1 << KNOWN_BITS - 3, np.uint8)  # bits by the low bits of keys: 0: there is no such image, as compiled code can see
        self.filtered = 0  # how many of the archive's keys are in it
        self.see_places()
        self.recent: deque[bool] = deque(maxlen=RECENT)  # whether what was wanted was there

    def find(self, mode: int, p: int, eip: int, length: int, read: Callable[[int, int], bytes]) -> Image | None:
        """The largest image that suits the block of `length` bytes at host address p, and what lies around it; `read(p, n)` gives the guest's bytes."""
        key = key_of(mode, read(p, length))
        if key not in self.known and key not in self.places: return None  # as it is for most
        started = time.perf_counter()
        image = self.largest(key, lambda image: image.mode == mode and len(image.parts[0]) == length and image.suits(p, eip, read))
        if image:
            if id(image) in self.fresh: self.hits += 1
            else: self.revived += 1
            self.fresh.discard(id(image))
            self.saved += image.seconds
            self.recent.append(True)
        self.spent += time.perf_counter() - started
        return image

    def see_places(self) -> None:
        """The filter knows what the archive has by now."""
        if len(self.places) > self.filtered:
            for key in self.places: self.filter_in(key)
            self.filtered = len(self.places)

    def filter_in(self, key: int) -> None:
        """There may be an image with this key."""
        bit = key & (1 << KNOWN_BITS) - 1
        self.filter[bit >> 3] |= 1 << (bit & 7)

    def missed(self) -> None:
        """LLVM has to be asked."""
        self.misses += 1
        self.recent.append(False)

    def known_guest(self) -> bool:
        """Whether the archive has most of what was wanted lately: this code ran before, and what it has not was not hot then."""
        return self.hits > 0 and sum(self.recent) * 2 > len(self.recent)

    def largest(self, key: int, suits: Callable[[Image], bool]) -> Image | None:
        """The largest image with this key that suits."""
        known, places = self.known.get(key), self.places.get(key)
        if self.archive and places and len(places) > (known.looked if known else 0):
            known = self.known.get(key, Known())
            found = self.archive.images(key, known.looked)
            known.looked = len(places)
            self.known[key] = known
            self.fresh.update(id(image) for image in found if self.put(key, known, image))
        if not known: return None
        if key in self.known: self.known.move_to_end(key)
        return max(filter(suits, known.images), key=lambda image: image.instructions, default=None)

    def keep(self, image: Image) -> None:
        """Takes in what was made."""
        started = time.perf_counter()
        if self.put(image.key, self.known.get(image.key, Known()), image) and self.archive:
            self.archive.add(image)
            self.see_places()
        self.spent += time.perf_counter() - started

    def put(self, key: int, known: Known, image: Image) -> bool:
        """Adds an image, unless there is one of the same; others have to go for it."""
        if any(image.guest == other.guest for other in known.images) or image.size > self.budget: return False
        before = known.size if key in self.known else 0
        known.images.append(image)
        self.filter_in(key)
        for old in known.images[:-SHAPES]: self.fresh.discard(id(old))
        del known.images[:-SHAPES]
        self.known[key] = known
        self.known.move_to_end(key)
        self.bytes += known.size - before
        while self.bytes > self.budget:
            gone = self.known.popitem(last=False)[1]
            self.bytes -= gone.size
            self.fresh.difference_update(map(id, gone.images))
        return True

    def statistics(self) -> dict[str, Any]:
        """For --stats."""
        found: dict[str, Any] = {'revival': {'hits': self.revived, 'misses': self.misses, 'images': sum(len(known.images) for known in self.known.values()), 'bytes': self.bytes}}
        if self.archive:
            entries = sum(place is not None for places in self.archive.places.values() for place in places)
            found['archive'] = {'hits': self.hits, 'bad': self.archive.bad, 'entries': entries, 'written': self.archive.written,
                                'bytes': sum(size for _, _, size in files(self.archive.folder))}
        return found | {'llvm_seconds_saved': self.saved}

    def close(self) -> None:
        """The run is over."""
        if self.archive: self.archive.close()
