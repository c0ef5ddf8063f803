"""Segment loads, far transfers, interrupts, flags and repeated string instructions of protected mode in translations: random ones against the eager engine.

SDM 3A 5.3 to 5.8 says which fault. A program loads segment registers from descriptors of all kinds, which it changes between its rounds, uses them, and goes through code segments
and gates, at CPL 0 or 3, in 32- or 16-bit code; what faults goes on at the next step. All engines must end alike, in slices of any length (tests/system_programs.py).
"""
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import ALL
from tests.system_programs import CODE0, CODE16, DATA0, DATA16, GATE0, GATE1, LDT, run

SLOTS = {8 * n + 4: f'ldt + {8 * n}' for n in range(6)} | {GATE0: f'gdt + {GATE0}', GATE1: f'gdt + {GATE1}'}  # selector -> where the descriptor is
DATA = (0x93, 0x92, 0x91, 0x90, 0x97, 0x96, 0xf3, 0xf2, 0xf1, 0xf7, 0xf6, 0xd3, 0x13, 0x72)  # accessed or not, read-only, expand-down, privileges, not present
CODE = (0x9b, 0x9a, 0x99, 0x98, 0x9f, 0x9e, 0xfb, 0xfa, 0xf9, 0xff, 0xfe, 0xdb, 0x1b, 0x7a)  # the same of code: readable or not, conforming
SYSTEM = (0x82, 0x8c, 0x00)  # an LDT, a call gate that leads nowhere
SEGMENTS = 'es cs ss ds fs gs'.split()
MOV, POP = (0, 2, 3, 4, 5), {0: '0x07', 2: '0x17', 3: '0x1f', 4: '0x0f, 0xa1', 5: '0x0f, 0xa9'}
FAR = {0: '0xc4', 2: '0x0f, 0xb2', 3: '0xc5', 4: '0x0f, 0xb4', 5: '0x0f, 0xb5'}  # LES LSS LDS LFS LGS


def descriptors(draw: Any, code: bool, cpl: int) -> tuple[int, int, int]:
    """Access byte, limit, flags (G D/B) in bits 4 to 7. Half of them are good ones."""
    good = (0x9b, 0x9a, 0x9f) if code else (0x93, 0x92, 0x91)
    kinds = [access | cpl << 5 for access in good], CODE if code else DATA, CODE + DATA + SYSTEM
    access = draw(st.sampled_from(kinds[draw(st.sampled_from((0, 0, 0, 1, 1, 2)))]))
    return access, draw(st.sampled_from((0xffff, 0xffff, 0xfff, 0x7ff, 0))), draw(st.sampled_from((0x40, 0)))


def describe(slot: str, bits: int, access: int, limit: int, flags: int) -> str:
    """Writes a descriptor: code has base 0 and this size, data lies in `data`."""
    code = access & 0x18 == 0x18
    if code: flags = 0x40 * (bits == 32)
    return (f'mov word ptr [{slot}], {limit}; mov ax, {"0" if code else "offset data"}; mov word ptr [{slot} + 2], ax; mov byte ptr [{slot} + 4], 0; '
            f'mov word ptr [{slot} + 5], {access | flags << 8}; mov byte ptr [{slot} + 7], 0\n')


def prefix(bits: int, w: int) -> str:
    """The operand-size prefix, where it takes one."""
    return '' if bits == w else '.byte 0x66; '


@st.composite
def programs(draw: Any) -> str:
    """The text of a program."""
    bits, cpl = draw(st.sampled_from((16, 32))), draw(st.sampled_from((0, 3)))
    data, size = 0x23 if cpl else DATA0, bits // 8
    codes = [selector for n, selector in enumerate(SLOTS) if n % 2]
    text = f"""main: mov word ptr [gdt + {LDT}], 47; mov eax, {LDT}; lldt ax; action 6, next; action 13, next; action 12, next; action 11, next; action 10, next
    mov byte ptr [gdt + CODE16 + 5], {0xfb if cpl else 0x9b}\n"""
    for n, slot in enumerate(SLOTS.values()): text += describe(slot, bits, *descriptors(draw, n % 2 == 1, cpl))
    text += 'mov ebp, 3; xor edx, edx\n' + ('user there\nthere:\n' if cpl else '') + (f'.byte 0xea; .long narrow; .word {CODE16 | cpl}\n.code16\nnarrow:\n' if bits == 16 else '')
    text += 'again:\n'
    steps = draw(st.integers(3, 9))
    for n in range(steps):
        text += f'mov edx, offset step{n + 1}; mov eax, {data}; mov ds, eax; mov ss, eax; mov es, eax; mov esp, offset stack{cpl}\n'
        text += step(draw, n, bits, cpl, codes) + f'step{n + 1}:\n'
    text += f'mov edx, offset end1; mov eax, {data}; mov ds, eax; mov ss, eax; mov esp, offset stack{cpl}; dec ebp; jz end1; jmp again\nend1: int 32\n.code32\n'
    return text + 'next: mov eax, [ebp + 28]; mov [ebp + 48], eax; ret\n' + f'padding: .skip {size}\n'


def step(draw: Any, n: int, bits: int, cpl: int, codes: list[int]) -> str:
    """One step: something that a translation may call a text for."""
    kind, rpl = draw(st.integers(0, 9)), draw(st.sampled_from((cpl, cpl, cpl, 0, 3)))
    known = list(SLOTS)[::2], (0, 3, 0x7c, DATA0, DATA16, CODE0, CODE16, 0x23, *SLOTS)
    selector = draw(st.sampled_from(known[draw(st.sampled_from((0, 0, 1)))]))
    selector = selector & ~3 | rpl if selector > 3 else selector
    w, offset = draw(st.sampled_from((16, 32))), draw(st.sampled_from((0, 1, 5, 0x7fd, 0x7ff, 0x800, 0xffe)))
    change = ''
    if selector & ~3 in SLOTS and not draw(st.integers(0, 2)):
        change = f'{draw(st.sampled_from(("xor", "or", "and")))} byte ptr [{SLOTS[selector & ~3]} + 5], {draw(st.sampled_from((0x80, 0x02, 0x01, 0x60, 0xfe)))}; '
    if kind <= 4:
        seg = draw(st.sampled_from(MOV))
        if seg == 2 and cpl == 0 and selector & ~3 in SLOTS: selector = draw(st.sampled_from((DATA0, DATA16, 0, CODE0, 0x20)))  # its handlers need a stack
        how = draw(st.integers(0, 3))
        if how == 0: load = f'mov eax, {selector}; mov {SEGMENTS[seg]}, eax\n'
        elif how == 1: load = f'mov word ptr [other + {8 * n}], {selector}; mov {SEGMENTS[seg]}, word ptr [other + {8 * n}]\n'
        elif how == 2: load = f'mov eax, {selector}; push {"ax" if w == 16 else "eax"}; {prefix(bits, w)}.byte {POP[seg]}\n'
        else:
            load = (f'mov dword ptr [other + {8 * n}], {0x12345678 if w == 32 else selector << 16 | 0x1234}; mov word ptr [other + {8 * n + 4}], {selector}; '
                    f'mov ebx, offset other + {8 * n}; {prefix(bits, w)}.byte {FAR[seg]}, {"0x0f" if bits == 16 else "0x0b"}\n')  # l?s ecx, [ebx]
        use = draw(st.sampled_from(('mov al, {}', 'mov {}, al', 'add dword ptr {}, 3', 'push word ptr {}')))
        return change + load + (use.format(f'{SEGMENTS[seg]}:[{offset}]') + '\n') * (seg != 2 or cpl == 3)
    if kind <= 6:
        if draw(st.integers(0, 2)): selector = draw(st.sampled_from(codes)) & ~3 | rpl
        far = (f'.word to{n}' if bits == 16 else f'.long to{n}') + f'; .word {selector}\n'
        where = f'mov dword ptr [other + {8 * n}], offset to{n}; mov word ptr [other + {8 * n + bits // 8}], {selector}; mov ebx, offset other + {8 * n}; '
        rm = '0x1f' if bits == 16 else '0x1b'
        how = draw(st.integers(0, 4))
        if how == 0: go = f'.byte 0x9a; {far}jmp step{n + 1}\nto{n}: .byte 0xcb\n'
        elif how == 1: go = where + f'.byte 0xff, {rm}; jmp step{n + 1}\nto{n}: pushf; .byte 0x9d, 0xcb\n'
        elif how == 2: go = f'.byte 0xea; {far}to{n}: inc word ptr [other + 0x100]\n'
        elif how == 3: go = where + f'.byte 0xff, {rm.replace("0x1", "0x2")}\nto{n}: inc word ptr [other + 0x100]\n'
        else:
            go = f'push EAX; push ECX; mov eax, {selector}; push EAX; mov ecx, offset to{n}; push ECX; .byte 0xca, {bits // 4}, 0\nto{n}: inc word ptr [other + 0x100]\n'
            go = go.replace('EAX', 'ax' if bits == 16 else 'eax').replace('ECX', 'cx' if bits == 16 else 'ecx')
        return change + go
    if kind == 7:
        gate = draw(st.sampled_from((0x86, 0x87, 0x8e, 0x8f, 0xee, 0xef, 0xe6, 0xe7, 0x0e, 0x8c))) | cpl << 5
        inside = draw(st.sampled_from((CODE0, CODE0, CODE0, CODE16 if bits == 16 else CODE0, 0x18, DATA0, 0)))
        back = '.byte 0xcf' if (gate & 8 != 0) == (bits == 32 or inside == CODE0) else '.byte 0x66, 0xcf'
        return (f'mov ax, offset to{n}; mov [idt + 33 * 8], ax; mov word ptr [idt + 33 * 8 + 2], {inside}; '
                f'mov word ptr [idt + 33 * 8 + 4], {gate << 8}; mov word ptr [idt + 33 * 8 + 6], 0\nint 33; pushf; jmp step{n + 1}\nto{n}: {back}\n')
    if kind == 8:
        flags = draw(st.integers(0, 0xfff)) & 0xed7 | draw(st.sampled_from((0, 0x3000, 0x40000, 0x200000)))
        return draw(st.sampled_from((f'mov eax, {flags}; push eax; {prefix(bits, 32)}.byte 0x9d; pushf\n',
                                     f'mov eax, {flags & 0xffff}; push ax; {prefix(bits, 16)}.byte 0x9d; pushf\n',
                                     'sti; nop; pushf; cli; sti\n', 'cli; pushf; .byte 0x9d\n')))
    code = draw(st.sampled_from((0xa4, 0xa5, 0xaa, 0xab, 0xa6, 0xa7, 0xae, 0xaf, 0xac)))
    load = f'mov eax, {selector}; mov {draw(st.sampled_from(("ds", "es")))}, eax; ' if draw(st.booleans()) else 'mov esi, offset data; '
    return (change + load + f'{draw(st.sampled_from(("cld", "std")))}; mov ecx, {draw(st.integers(0, 70))}; '
            f'mov edi, {"" if "eax" in load else "offset data + "}{draw(st.sampled_from((0, 4, 0x7f0, 0x7fd, 0x900)))}; mov {"si" if bits == 16 else "esi"}, {offset}; '
            + prefix(bits, w) + f'.byte {draw(st.sampled_from((0xf2, 0xf3)))}, {code}; cld\n')


@settings(max_examples=1500 if ALL else 40, derandomize=not ALL, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(text=programs())
def test_like_the_eager_engine(text: str) -> None:
    run(text, ends=False)  # it may have lost its way
