"""Regions: which basic blocks are optimised together. All lie in one page of the guest; only the first is entered from outside."""
from typing import Callable, NamedTuple

from emu.decoder.table import FORMS
from emu.jit.copying import is_near
from emu.jit.patch import Decoded, branch_target
from emu.jit.stencils import FAR

AWAY = ('JMP_REL', 'CALL_REL', 'JMP_NEAR', 'CALL_NEAR', 'RET_NEAR', *FAR)  # texts that do not go on behind the instruction
PARTS, INSTRUCTIONS = 16, 96  # at most; LLVM takes about a millisecond an instruction


class Part(NamedTuple):
    """A basic block of a region: its first EIP and its instructions."""

    eip: int
    block: list[Decoded]

    @property
    def length(self) -> int:
        """Bytes of guest code."""
        return sum(d.length for d in self.block)

    @property
    def end(self) -> int:
        """The EIP behind it."""
        return (self.eip + self.length) & 0xffffffff

    @property
    def last(self) -> Decoded:
        return self.block[-1]

    def ways(self) -> list[int]:
        """The EIPs where it may go on that are known."""
        form = FORMS[self.last.form]
        falls = [] if form.ends and form.text in AWAY else [self.end]
        return [branch_target(self.last, self.end), *falls] if form.ends == 'rel' else falls


class Region(NamedTuple):
    """Parts by EIP, each behind those that lead to it, but for jumps back."""

    parts: dict[int, Part]
    headers: set[int]  # the first, and where jumps back lead: the budget is looked at there

    def longest(self) -> dict[int, int]:
        """For each part, the instructions of the longest way from its start to a header or out."""
        found: dict[int, int] = {}
        for eip, part in reversed(self.parts.items()):
            found[eip] = len(part.block) + max((found[way] for way in part.ways() if way in found and way not in self.headers), default=0)
        return found

    def sources(self) -> dict[int, int]:
        """For each part, how many jumps of the region lead to it; the way in counts."""
        count = dict.fromkeys(self.parts, 0)
        for part in self.parts.values():
            for way in part.ways():
                if way in count: count[way] += 1
        count[next(iter(self.parts))] += 1
        return count


def region(eip: int, part: Callable[[int], Part | None], offset: int | None = None) -> Region:
    """The region that begins at EIP, `offset` bytes into its page (as EIP itself says where CS has no base): what is reached from there, nearest first;
    `part` tells blocks (None: not one to take in)."""
    p = eip & 4095 if offset is None else offset
    first = part(eip)
    assert first
    taken, waiting, room = {eip: first}, [first], INSTRUCTIONS - len(first.block)
    for at in waiting:
        for way in at.ways() if FORMS[at.last.form].text != 'CALL_REL' else ():
            if way in taken or not is_near(p, eip, way) or len(taken) == PARTS or not (found := part(way)) or len(found.block) > room: continue
            taken[way] = found
            room -= len(found.block)
            waiting.append(found)
    return ordered(eip, taken)


def ordered(first: int, parts: dict[int, Part]) -> Region:
    """Parts in an order in which only jumps back lead to an earlier one: a depth-first walk's, from its end."""
    done: list[int] = []
    headers, open_, seen = {first}, {first}, {first}
    stack = [(first, iter(parts[first].ways()))]
    while stack:
        eip, ways = stack[-1]
        way = next((way for way in ways if way in parts), None)
        if way is None:
            stack.pop()
            open_.discard(eip)
            done.append(eip)
        elif way in open_: headers.add(way)
        elif way not in seen:
            seen.add(way)
            open_.add(way)
            stack.append((way, iter(parts[way].ways())))
    return Region({eip: parts[eip] for eip in reversed(done)}, headers)
