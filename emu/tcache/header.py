"""A policy's memory: the header with its rings (emu/tcache/layout.py), as Python makes and reads it, and the table of what was dropped."""
import ctypes
from typing import Mapping

from emu.mem.memory import zeroed
from emu.tcache import layout
from emu.tcache.policies import PIECES, POLICIES, cut


class Header:
    """The header of a policy over `size` bytes, at host address `address`; its words by their offsets. `sizes`: of rings that are not to have their usual share."""

    def __init__(self, policy: str, size: int, sizes: Mapping[str, int]):
        self.memory = zeroed(layout.AREA)
        self.address = address_of(self.memory)
        self.words = memoryview(self.memory).cast('q')
        self.rings: dict[str, int] = {}  # where each begins, by name
        start = 0
        for k, (name, room) in enumerate(cut(policy, size, sizes).items()):
            at = self.rings[name] = layout.QUEUES + 64 * k
            self[at + layout.START], self[at + layout.SIZE], self[at + layout.NOW] = start, room, start
            start += room
        self[layout.LAST], self[layout.TOTAL] = len(self.rings) - 1, size
        self[layout.POLICY], self[layout.UNITS] = POLICIES.index(policy), PIECES.get(policy, 0)
        self.past = zeroed(8 << layout.PAST_BITS)
        self[layout.PAST] = address_of(self.past)

    def __getitem__(self, at: int) -> int:
        return self.words[at >> 3]

    def __setitem__(self, at: int, value: int) -> None:
        self.words[at >> 3] = value


def address_of(memory: object) -> int:
    """The host address where writable memory begins."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))  # type: ignore[arg-type]
