"""Regions: which blocks are taken in, in which order, where the budget is looked at; and programs whose flags and registers cross the edges inside one.

Programs run at CPL 3 as in test_code_writes.py; the optimise engine compiles every region when its first block is first executed.
"""
import pytest

from emu.assembler import assemble
from emu.decoder.decode import decode_bytes
from emu.decoder.table import FORMS
from emu.isa.language import GP
from emu.jit.optimise import compile_region, image
from emu.jit.patch import Decoded
from emu.jit.regions import INSTRUCTIONS, PARTS, Part, Region, region
from emu.tcache.image import LINK, unpack
from tests.harness import ENGINES, HANDLERS
from tests.oracle.host import CODE
from tests.programs import architecture, differences
from tests.test_code_writes import assert_same, guest, start

AT = 0x1000


def region_of(source: str) -> Region:
    """The region that begins a program at AT."""
    code = assemble(source, 32, AT)

    def part(eip: int) -> Part | None:
        block: list[Decoded] = []
        while 0 <= eip - AT + sum(d.length for d in block) < len(code):
            i = decode_bytes(code[eip - AT + sum(d.length for d in block):].ljust(16, b'\x90'), 1)
            assert i
            if i.form.text == 'INT3': break  # has no stencil
            block.append(Decoded(i.imm, i.disp, i.amask, i.imm2, i.opcode, FORMS.index(i.form), i.len, i.base, i.index, i.scale, i.seg, i.dst, i.src, i.rep, i.lock))
            if i.form.ends: break
        return Part(eip, block) if block else None
    return region(AT, part)


def test_a_loop_has_its_budget_looked_at_where_it_begins_again() -> None:
    found = region_of('inc eax; again: inc ebx; dec ecx; jnz again; int3')
    assert [part.eip for part in found.parts.values()] == [AT, AT + 1]  # the jump back leads into the middle of the first: a part of its own
    assert found.headers == {AT, AT + 1}
    assert found.longest() == {AT: 4, AT + 1: 3} and found.sources() == {AT: 1, AT + 1: 2}


def test_the_longest_way_decides() -> None:
    found = region_of('test eax, eax; jz other; inc ebx; inc ebx; inc ebx; jmp end; other: dec ebx; end: mov ecx, ebx; jmp eax')
    way, end = list(found.parts)[1:], max(found.parts)
    assert len(way) == 3 and way.index(end) > way.index(AT + 4)  # each behind those that lead to it; the other way falls into the end as one block
    assert found.headers == {AT} and found.longest()[AT] == 2 + 4 + 2


def test_calls_are_left_to_links_but_for_those_to_itself() -> None:
    assert len(region_of('inc eax; call function; int3; function: ret').parts) == 1
    assert region_of('again: inc eax; call again').headers == {AT}


def test_a_region_stays_small_and_in_its_page() -> None:
    many = region_of('start: ' + 'inc eax; jz start; ' * 50)
    assert len(many.parts) == PARTS
    assert sum(len(part.block) for part in region_of('start: ' + ('inc eax; ' * 40 + 'jz start; ') * 9).parts.values()) <= INSTRUCTIONS
    assert len(region_of('start: jz start + 0x1000; jmp start + 0x2000').parts) == 2


@pytest.mark.parametrize('source, registers', [
    ('mov ecx, 5; again: add eax, ecx; loop again', {'eax': 15, 'ecx': 0}),
    ('mov ecx, 7; again: add eax, ecx; test ecx, 1; jz even; add ebx, 16; even: dec ecx; jnz again; setz dl', {'eax': 28, 'ebx': 64, 'edx': 1}),
    # CF of the ADD is read behind an INC, in another part, both ways
    ('mov ecx, 4; mov eax, -2; again: add eax, 1; inc edx; jc carried; jmp on; carried: adc ebx, 0x100; on: dec ecx; jnz again', {'eax': 2, 'ebx': 0x101, 'edx': 4}),
    # a shift by 0 leaves the flags of the CMP alone
    ('mov ecx, 3; again: cmp ecx, 2; mov edx, ecx; dec ecx; shl eax, cl; inc ecx; cmp ecx, 2; xchg ecx, ebx; mov cl, 0; shl edx, cl; xchg ecx, ebx; jne other; '
     'add eax, 0x10; other: dec ecx; jnz again', {'eax': 0x10}),
    # nested loops; a comparison with sign, 8 bits wide, decided two blocks later
    ('mov edx, 6; outer: mov ecx, 9; inner: mov al, cl; cmp al, dl; jmp there; there: jl less; inc ebx; less: loop inner; dec edx; jnz outer', {'ebx': 9 * 6 - 15, 'ecx': 0}),
    ('mov eax, 5; mov edx, offset done; push edx; again: dec eax; jz out; call again; out: ret; done: mov ebx, 3', {'eax': 0, 'ebx': 3}),
], ids=['loop', 'diamond', 'carry', 'shift by 0', 'nested', 'calls itself'])
def test_programs(source: str, registers: dict[str, int]) -> None:
    assert_same(source, **registers)


def test_a_fault_in_a_loop_shows_the_flags_and_registers_of_that_moment() -> None:
    """#PF at the end of the data: everything that was set on the way is in its place."""
    assert_faults('mov esi, 0x21aff0; mov ecx, 100; again: add eax, 0x70000001; jno fine; inc ebx; fine: sub edx, eax; mov edi, [esi]; lea esi, [esi + 4]; '
                  'jp even; xor ebx, 0x55; even: cmp ecx, 3; inc ebp; loop again')


def assert_faults(source: str, vector: int = 14) -> None:
    seen = []
    for engine in ENGINES:
        g = guest(engine)
        start(g, source)
        g.go(4000)
        assert g.m.halted and g.m.eip == HANDLERS + vector + 1 and g.m.eip != CODE, engine
        seen.append((architecture(g.m), bytes(g.memory.ram)))
    for engine, (state, memory) in zip(ENGINES[1:], seen[1:]):
        assert not differences(seen[0][0], state) and memory == seen[0][1], engine


@pytest.mark.parametrize('left', range(1, 60, 7))
def test_the_budget_ends_where_it_should(left: int) -> None:
    """Slices of any length end at the same instruction, inside a region as outside."""
    source = 'mov ecx, 20; again: add eax, ecx; test al, 4; jz other; add ebx, 3; imul ebx, ebx; other: xor edx, ebx; dec ecx; jnz again'
    seen = []
    for engine in ENGINES:
        g = guest(engine)
        start(g, source)
        states = []
        while not g.m.halted:
            g.cpu.run(left)
            states.append(architecture(g.m))
        seen.append(states)
    for engine, states in zip(ENGINES[1:], seen[1:]):
        assert [differences(a, b) for a, b in zip(seen[0], states, strict=True)] == [[]] * len(states), engine


@pytest.mark.parametrize('instruction', ['paddb xmm0, xmmword ptr [0x21a008]', 'cmpps xmm0, xmmword ptr [0x21a008], 1', 'fxsave [0x21a008]'])
def test_an_instruction_that_always_faults(instruction: str) -> None:
    """The address is known to be misaligned: nothing behind it is reached, but the region is compiled, and leaves there with the state before."""
    assert_faults(f'mov eax, 3; jmp there; there: add eax, 5; {instruction}; adc eax, 7; jnz there', GP)


@pytest.mark.parametrize('way', [-0x50000000, 0x70000000, -0x7ffffff0])
def test_a_jump_across_half_of_the_address_space(way: int) -> None:
    """Its distance is one modulo 2**32, so an image of the region can be kept."""
    found, mode = region_of(f'start: inc eax; jmp start + {way}'), 0x2b
    obj, seconds = compile_region(found, mode)
    assert obj
    made = image(obj, found, mode, [b'code'] * len(found.parts), seconds)
    assert made and way in [distance for _, kind, distance in made.open if kind == LINK] and unpack(made.pack()) == made._replace(seconds=unpack(made.pack()).seconds)
