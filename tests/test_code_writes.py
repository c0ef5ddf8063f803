"""Code that writes code (SDM 3A 8.1.3, 11.6): what a store has changed is what runs next, in every engine, wherever the store and the code lie to each other.

The Pentium Pro and its successors see a store to code at once, without the jump that earlier processors needed; so do we, also inside a basic block.
Programs run at CPL 3 from CODE on, page CODE + 1000h behind it; each ends with INT3. Everything is translated at its first execution.
"""
import struct
from functools import cache

import pytest

from emu.assembler import assemble
from tests.harness import ENGINES, HANDLERS, PAGE_TABLE, STACK, Guest
from tests.oracle.host import CODE, DATA, blank
from tests.programs import architecture, differences

ALIAS = 0x240000  # a second linear address of the page at CODE
EAX, ECX, EDX, EBX = range(4)


@cache
def guest(engine: str) -> Guest:
    """One machine for each engine, with the alias."""
    g = Guest(engine)
    g.user_mode()
    g.memory.write(PAGE_TABLE + (ALIAS >> 12) * 4, struct.pack('<I', CODE | 0x67))
    return g


def start(g: Guest, source: str, origin: int = CODE, **numbers: int) -> None:
    """Puts a program at `origin`, and into registers all zeros."""
    case = blank(1)[0]
    case['code_at'], case['eip'] = CODE, origin
    g.load(case)
    g.memory.write(STACK, bytes(4096))
    g.m.retired = 0
    names = {'code': CODE, 'data': DATA, 'alias': ALIAS, **numbers}
    g.memory.write(origin, assemble(''.join(f'{name} = {value}\n' for name, value in names.items()) + source + '\nint3', 32, origin))
    g.cpu.flush()


def assert_same(source: str, origin: int = CODE, **registers: int) -> None:
    """The program ends at an INT3 with these registers, and with the same State and memory in every engine."""
    seen = {}
    for engine in ENGINES:
        g = guest(engine)
        start(g, source, origin)
        g.go(4000)
        assert g.m.eip == HANDLERS + 4, engine
        assert {name: g.m.reg['eax ecx edx ebx'.split().index(name)] for name in registers} == registers, engine
        seen[engine] = architecture(g.m), bytes(g.memory.ram)
    for engine in ENGINES[1:]:
        assert not differences(seen['eager'][0], seen[engine][0]), engine
        assert seen['eager'][1] == seen[engine][1], engine


def test_next_instruction() -> None:
    assert_same('mov byte ptr [next + 1], 7; next: mov eax, 1', eax=7)


def test_ahead_in_the_same_block() -> None:
    """After it has run once as it was."""
    assert_same('''mov ecx, 2
        again: mov edx, eax; mov dword ptr [there + 1], ecx; lea ebx, [ebx + edx]; nop; nop
        there: mov eax, 100
        dec ecx; jnz again''', eax=1, ebx=2)


def test_behind_in_a_loop_that_is_one_block() -> None:
    assert_same('mov ecx, 140; again: add eax, 0; inc byte ptr [again + 2]; dec ecx; jnz again', eax=sum(range(128)) + sum(range(-128, -116)) & 0xffffffff)


def test_itself() -> None:
    """The instruction adds its own immediate to it."""
    assert_same('mov byte ptr [self + 6], 1; mov ecx, 5; self: add byte ptr [self + 6], 1; loop self; movzx eax, byte ptr [self + 6]', eax=32)


def test_another_block_that_is_chained() -> None:
    assert_same('''mov ecx, 30
        again: call callee; test ecx, 1; jz even; mov byte ptr [callee + 2], 1; jmp on
        even: mov byte ptr [callee + 2], 3
        on: dec ecx; jnz again; int3
        .balign 64
        callee: add eax, 5; ret''', eax=5 + 15 * 3 + 14 * 1)


def test_the_way_out_of_a_block() -> None:
    """A jump's target, a jump that becomes another condition, a return in place of the rest."""
    assert_same('''mov ecx, 2
        again: inc eax; jmp near
        .balign 64
        near: .byte 0xeb, 0
        one: mov edx, 1
        two: inc ebx; mov byte ptr [near + 1], 5; dec ecx; jnz again''', eax=2, ebx=2, edx=1)
    assert_same('''mov ecx, 10
        again: cmp ecx, 5; branch: jz over; inc eax
        over: mov byte ptr [branch], 0x75; dec ecx; jnz again''', eax=2)


def test_data_next_to_code() -> None:
    """A counter in the granule of 64 bytes in which the loop lies: it stays right, however often the loop is translated anew."""
    assert_same('''mov ecx, 50; jmp again
        counter: .long 0
        again: inc dword ptr [counter]; add eax, [counter]; dec ecx; jnz again''', eax=50 * 51 // 2)


def test_stack_in_the_page_of_the_code() -> None:
    """Return addresses are pushed next to what runs."""
    assert_same('''mov esp, offset top; mov ecx, 20
        again: call callee; push ecx; pop edx; dec ecx; jnz again; int3
        callee: lea eax, [eax + ecx]; push eax; pop eax; ret
        .balign 8; .fill 32; top:''', eax=210, edx=1)


def test_return_address_pushed_over_code() -> None:
    """The call pushes into an immediate of the callee."""
    assert_same('mov esp, offset there + 5; call callee; back: int3; .balign 64; callee: mov ecx, offset back; there: mov eax, 1; sub eax, ecx', eax=0)


@pytest.mark.parametrize('store, value', [
    ('mov dword ptr [there + 1], edx', 9), ('mov word ptr [there + 1], dx', 9), ('mov [there + 1], dl', 9), ('xchg [there + 1], edx', 9),
    ('lock xadd [there + 1], edx', 19), ('mov eax, 1; cmpxchg [there + 1], edx', 9), ('or dword ptr [there + 1], 8', 9), ('bts dword ptr [there + 1], 3', 9),
    ('shl dword ptr [there + 1], 3', 64), ('setz [there + 1]', 0), ('mov edi, offset there + 1; mov eax, 9; stosd', 9),
    ('mov edi, offset there + 1; mov esi, offset nine; movsb', 9), ('mov esp, offset there + 5; push edx', 9), ('mov esp, offset there + 5; mov ebp, 9; enter 0, 0', 9),
    ('fild dword ptr [nine]; fistp dword ptr [there + 1]', 9), ('mov eax, 1; mov ebx, 9; mov edx, [there + 5]; mov ecx, edx; cmpxchg8b [there + 1]', 9)])
def test_every_kind_of_store(store: str, value: int) -> None:
    """Twice, so that what comes behind was there as a translation."""
    assert_same(f'''jmp again; nine: .long 9
        again: mov edx, 9; {store}
        there: mov eax, 1
        dec dword ptr [rounds]; jnz again; int3
        .balign 64
        rounds: .long 2''', eax=value)


def test_rep_movs_over_code() -> None:
    """Over what comes next, and over a function that was called before."""
    assert_same('''mov esi, offset other; mov edi, offset next; mov ecx, 5; rep movsb
        next: mov eax, 1; int3
        other: mov eax, 2''', eax=2)
    assert_same('''mov ebx, 2
        again: call callee; mov esi, offset other; mov edi, offset callee; mov ecx, 2; rep movsd; dec ebx; jnz again; int3
        .balign 64
        callee: add eax, 1; ret; .balign 64
        other: add eax, 100; ret; .fill 8''', eax=101)


def test_rep_movs_over_itself() -> None:
    """Its copies of NOP and what it becomes: each engine does what the eager one does."""
    assert_same('''mov esi, offset other; mov edi, offset self; mov ecx, 4
        self: rep movsb; nop; nop; jmp over
        other: .byte 0xf3, 0xa4, 0x90, 0x40
        over: ''', eax=1)


@pytest.mark.parametrize('copy', ['mov [data], eax; mov esi, offset data; mov ecx, 4; rep movsb', 'mov ecx, 1; rep stosd'], ids=['movs', 'stos'])
def test_repeated_store_to_what_comes_next(copy: str) -> None:
    """To the block behind, to which its translation has been linked, in the same granule: both are dropped, the older one, which is being executed, first."""
    assert_same(f'''mov ebx, 10; jmp again
        .balign 64
        again: mov eax, ebx; shr eax, 3; mov edi, offset there + 1; {copy}
        there: mov eax, 1
        add edx, eax
        .balign 64, 0x90
        tail: add edx, 0; jmp other
        .balign 64
        other: mov byte ptr [tail + 2], 1; dec ebx; jnz again''', edx=3 + 9)


def test_store_that_crosses_into_the_page_of_code() -> None:
    """The first two bytes are in a page without code."""
    assert_same('mov ecx, 2; again: call next_page; mov dword ptr [code + 0xfff], 0x0909b890; loop again; int3; .org 0x1000; next_page: mov eax, 1; ret', eax=0x909)


def test_code_on_two_pages() -> None:
    """An instruction that ends in the second page, where it is rewritten; then in the first."""
    assert_same('''mov ecx, 4; jmp there
        .org 0xffe
        there: mov eax, 1
        add ebx, eax; add dword ptr [code + 0x1000], 0x100; add byte ptr [code + 0xfff], 1; dec ecx; jnz there''', eax=0x30004, ebx=0x6000a)
    assert_same('''mov ecx, 2; jmp there
        .org 0xffd
        there: inc eax; inc eax; inc eax; second: add ebx, 5
        mov byte ptr [second + 2], 7; dec ecx; jnz there''', eax=6, ebx=12)


def test_unaligned_stores_over_two_granules() -> None:
    """Both granules of 64 bytes hold code; the store begins in one and changes an immediate in the other."""
    assert_same('''mov ecx, 3; jmp there
        .org 0x7e
        there: mov eax, 1
        add edx, eax; add dword ptr [code + 0x7f], 0x1000001; dec ecx; jnz there''', edx=1 + 0x1000002 + 0x2000003)
    assert_same('''mov ecx, 3; jmp there
        .org 0x7f
        there: mov al, 1
        add dl, al; add word ptr [code + 0x7f], 0x100; dec ecx; jnz there''', edx=6)


def test_through_another_linear_address() -> None:
    """Granules are physical: a page may be mapped twice."""
    assert_same('''mov ecx, 3
        again: mov byte ptr [alias + there + 1 - code], cl
        there: mov eax, 100; add edx, eax; dec ecx; jnz again''', edx=6)
    assert_same('''mov ecx, 3; mov edi, alias; sub edi, code; lea ebx, [edi + again]; jmp ebx
        again: mov byte ptr [there + 1], cl
        there: mov eax, 100; add edx, eax; dec ecx; jnz again''', edx=6)


def test_store_before_a_fault() -> None:
    """The instruction faults, and is restarted as it was rewritten: the store to its own bytes never came."""
    for engine in ENGINES:
        g = guest(engine)
        start(g, 'mov ecx, 3; again: mov byte ptr [there + 1], cl; there: mov eax, 100; add edx, eax; dec ecx; jnz again; mov eax, [0]')
        g.go()
        assert (g.m.eip, g.m.reg[EDX], g.m.cr2) == (HANDLERS + 15, 6, 0), engine


@pytest.mark.parametrize('engine', ENGINES)
def test_store_to_itself_that_faults(engine: str) -> None:
    """A store that begins in the code and ends in a page that may not be written changes neither (SDM 3A 6.5)."""
    g, end = guest(engine), DATA + 0x2000
    start(g, f'mov edx, 77; mov eax, {end - 10}; jmp eax')
    code = b'\x90\x90\x90\x89\x15' + struct.pack('<I', end - 2) + b'\x90'  # mov [end - 2], edx
    g.memory.write(end - 10, code)
    g.go()
    assert (g.m.eip, g.m.cr2) == (HANDLERS + 15, end), engine
    assert g.memory.read(end - 10, 10) == code


@pytest.mark.parametrize('engine', ENGINES)
def test_written_by_a_device(engine: str) -> None:
    """Memory.write is how a loader or DMA stores: between slices, over code that has been translated, with links to it."""
    g = guest(engine)
    start(g, 'again: call callee; dec ecx; jnz again; int3; .org 0x80; callee: add eax, 1; ret')
    g.m.reg[ECX] = 1000
    assert g.cpu.run(5 * 100) == 500 and g.m.reg[EAX] == 100
    g.memory.write(CODE + 0x80, b'\x83\xc0\x03')
    g.go(20000)
    assert g.m.reg[EAX] == 100 + 900 * 3 and g.m.halted


@pytest.mark.parametrize('engine', ENGINES)
def test_slices_end_at_every_instruction(engine: str) -> None:
    """The same program in slices of 1 and 3 instructions: writes find what the slice left behind."""
    source = 'mov ecx, 20; again: mov byte ptr [there + 2], cl; nop; there: add eax, 100; xor byte ptr [on], 8; on: inc ebx; dec ecx; jnz again'
    for budget in (1, 3):
        g = guest(engine)
        start(g, source)
        while not g.m.halted: assert g.cpu.run(budget) <= budget
        assert g.m.reg[EAX] == 210, budget


def test_far_more_writes_than_are_worth_translating() -> None:
    """250 rewrites of a function that is called each time."""
    assert_same('''mov ecx, 250
        again: mov [callee + 1], ecx; call callee; add ebx, eax; dec ecx; jnz again; int3
        .org 0x400; callee: mov eax, 0; ret''', ebx=250 * 251 // 2)


# --- what it costs ----------------------------------------------------------------------------------------------------------------------

def counted(engine: str, source: str) -> tuple[int, int]:
    """Runs a program in a machine of its own; instructions it retired in translations, and translations made."""
    g = Guest(engine)
    g.user_mode()
    start(g, source)
    g.go(20000)
    assert g.m.eip == HANDLERS + 4 and g.cpu.cache
    return g.m.translated, g.cpu.cache.compiles


def test_a_store_beside_code_stays_in_the_optimised_translation() -> None:
    """Code, data and stack in one page, as DOS programs have them: another granule of 64 bytes is enough."""
    translated, made = counted('optimise', 'mov esp, offset code + 0xf00; mov ecx, 1000; again: add [code + 0x800], ecx; push ecx; pop edx; dec ecx; jnz again')
    assert translated > 4900 and made < 10


@pytest.mark.parametrize('engine', ENGINES[2:])
def test_a_store_of_what_is_there_already_drops_nothing(engine: str) -> None:
    translated, made = counted(engine, 'mov ecx, 500; again: mov byte ptr [there + 1], 7; there: mov al, 7; dec ecx; jnz again')
    assert made < 10


@pytest.mark.parametrize('engine', ENGINES[2:])
def test_code_that_is_rewritten_again_and_again_is_interpreted_until_it_settles(engine: str) -> None:
    """The loop's constant changes 500 times, then stays."""
    translated, made = counted(engine, '''mov ecx, 2000
        again: cmp ecx, 1500; jb there; mov [there + 1], cl
        there: mov al, 0; dec ecx; jnz again''')
    assert made < 30 and translated > 4 * 1400


@pytest.mark.parametrize('engine', ENGINES[1:])
def test_a_variable_among_code(engine: str) -> None:
    """It shares a granule with the loop that counts in it."""
    g = guest(engine)
    start(g, 'mov ecx, 300; again: inc dword ptr [n]; dec ecx; jnz again; mov eax, [n]; jmp on; n: .long 0; on: nop')
    g.go(4000)
    assert g.m.eip == HANDLERS + 4 and g.m.reg[EAX] == 300
