"""The program that calls a BIOS service: its registers, its flags on the stack, and its memory.

Memory is accessed as the program itself would, through paging where it is on (virtual-8086 mode), so a service never touches what its caller could not.
"""
from typing import Any, Callable

from emu.isa.language import Fault
from emu.isa.state import PAGE_READ, PAGE_WRITE, SS, State
from emu.mem.access import read_slow, write_slow
from emu.mem.memory import PAGE, Memory
from emu.mem.paging import translate

CF, ZF = 1, 0x40
WAIT, SPIN = 'wait', 'spin'  # a service's answer: ask again after an interrupt, ask again at once
FRAME = 2  # below the return address lies the service's number, one word (rom.s)


def word(n: int) -> property:
    """AX, CX, DX, BX, SP, BP, SI or DI."""
    def get(self: 'Caller') -> int: return self.m.reg[n] & 0xffff

    def put(self: 'Caller', v: int) -> None: self.m.reg[n] = self.m.reg[n] & 0xffff0000 | v & 0xffff
    return property(get, put)


def byte(n: int) -> property:
    """AL CL DL BL, AH CH DH BH."""
    shift = n >> 2 << 3

    def get(self: 'Caller') -> int: return self.m.reg[n & 3] >> shift & 0xff

    def put(self: 'Caller', v: int) -> None: self.m.reg[n & 3] = self.m.reg[n & 3] & ~(0xff << shift) | (v & 0xff) << shift
    return property(get, put)


def segment(n: int) -> property:
    """ES or DS; setting loads it as real and virtual-8086 mode do."""
    def get(self: 'Caller') -> int: return self.m.selector[n]

    def put(self: 'Caller', v: int) -> None: self.m.selector[n], self.m.base[n] = v & 0xffff, (v & 0xffff) << 4
    return property(get, put)


class Caller:
    """Registers are attributes. `carry` and `zero` are the flags that the caller will have after IRET."""

    ax, cx, dx, bx, bp, si, di = word(0), word(1), word(2), word(3), word(5), word(6), word(7)
    al, cl, dl, bl, ah, ch, dh, bh = (byte(n) for n in range(8))
    es, ds = segment(0), segment(3)

    def __init__(self, m: State, memory: Memory):
        self.m, self.memory = m, memory

    # --- the stack -------------------------------------------------------------------------------------------------------------------

    def stack(self, offset: int) -> int:
        """The linear address of what lies `offset` bytes above the service's number."""
        return self.m.base[SS] + (self.m.reg[4] + offset & self.m.stack_mask) & 0xffffffff

    @property
    def service(self) -> int:
        """The number that the stub pushed."""
        return self.get(self.stack(0), 16) & 0xff

    def flag(self, bit: int, on: bool) -> None:
        """Sets a flag for the caller."""
        place = self.stack(FRAME + 4)
        flags = self.get(place, 16)
        self.put(place, 16, flags | bit if on else flags & ~bit)

    carry = property(fset=lambda self, on: self.flag(CF, on))
    zero = property(fset=lambda self, on: self.flag(ZF, on))

    # --- memory ----------------------------------------------------------------------------------------------------------------------

    def get(self, a: int, w: int) -> int:
        """w bits at a linear address."""
        return read_slow(self.m, a & 0xffffffff, w, self.m.user)

    def put(self, a: int, w: int, v: int) -> None:
        """Writes w bits."""
        write_slow(self.m, a & 0xffffffff, w, v, self.m.user)

    def read(self, segment: int, offset: int, n: int) -> bytes:
        """n bytes from segment:offset on."""
        return b''.join(self.part(a, size) for a, size in pages((segment << 4) + offset, n))

    def part(self, a: int, n: int) -> bytes:
        """n bytes inside a page."""
        physical = translate(self.m, a, self.m.user, 0)
        if self.memory.page_map[physical // PAGE] & PAGE_READ: return self.memory.read(physical, n)
        return bytes(self.get(a + k, 8) for k in range(n))

    def write(self, segment: int, offset: int, data: bytes) -> None:
        """Bytes to segment:offset on; all pages are translated before anything is written."""
        parts = [(a, size, translate(self.m, a, self.m.user, 1)) for a, size in pages((segment << 4) + offset, len(data))]
        done = 0
        for a, size, physical in parts:
            if self.memory.page_map[physical // PAGE] & PAGE_WRITE: self.memory.write(physical, data[done:done + size])
            else:
                for k in range(size): self.put(a + k, 8, data[done + k])
            done += size

    def text(self, segment: int, offset: int, limit: int) -> bytes:
        """Bytes up to a zero, at most `limit`."""
        return self.read(segment, offset, limit).split(b'\0')[0]


def pages(a: int, n: int) -> list[tuple[int, int]]:
    """(linear address, bytes) of the parts in each page."""
    out, end = [], a + n
    while a < end:
        size = min(PAGE - a % PAGE, end - a)
        out.append((a & 0xffffffff, size))
        a += size
    return out


def guarded(service: Callable[..., Any]) -> Callable[..., Any]:
    """A service whose caller gave it memory that is not there: it fails with CF."""
    def call(bios: Any, c: Caller) -> Any:
        try:
            return service(bios, c)
        except Fault:
            c.ah, c.carry = 0x86, True
            return None
    return call
