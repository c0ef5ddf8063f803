"""The translation index that compiled code reads (emu/jit/dispatch.py): block -> code address; Python's side of it."""
import ctypes

from emu.jit.dispatch import INDEX_BITS, index_row
from emu.mem.memory import zeroed
from emu.tcache.cache import Key

ROW = 64  # bytes: two entries of four words: host address, EIP and mode, code's address (0: not to be translated), nothing


class Index:
    """The table at host address `address`; a host address of 0 marks an empty entry."""

    def __init__(self) -> None:
        self.memory = zeroed(ROW << INDEX_BITS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.words = memoryview(self.memory).cast('q')

    def find(self, key: Key) -> int:
        """Where the entry of a block begins, in words; -1: it has none."""
        p, eip, mode = key
        at, words, second = index_row(p, eip) * 8, self.words, eip | mode << 32
        if words[at] == p and words[at + 1] == second: return at
        if words[at + 4] == p and words[at + 5] == second: return at + 4
        return -1

    def enter(self, key: Key, code: int) -> None:
        """Adds or changes the entry of a block; the older of its row's two others may be lost. Code 0: the block is not to be translated."""
        p, eip, mode = key
        at, words = self.find(key), self.words
        if at < 0:
            at = index_row(p, eip) * 8
            if words[at]: words[at + 4:at + 8] = words[at:at + 4]
        words[at], words[at + 1], words[at + 2] = p, eip | mode << 32, code

    def remove(self, key: Key) -> None:
        """Forgets a block."""
        if (at := self.find(key)) >= 0: self.words[at] = 0
