"""Code that changes code: the next instruction, a loop's own body, an instruction that lies in two pages (SDM 3A 8.1.3: a processor sees its own stores at once).

Every engine against the host CPU, on code of up to 32 bytes that ends in INT3.
"""
import numpy as np
import pytest

from emu.assembler import assemble
from tests.harness import ENGINES
from tests.oracle.host import CODE, blank, set_code
from tests.test_against_host import differences, guest, oracle

MIDDLE, EDGE = CODE + 0x800, CODE + 0x1000
CASES = {  # name: (address, code)
    'the next instruction': (MIDDLE, 'inc byte ptr [n]; .byte 0xb0; n: .byte 7; mov ah, [n]'),
    'the next instruction becomes another': (MIDDLE, 'mov word ptr [n], 0x4342; n: inc eax; inc ecx'),
    'a loop counts in its own immediate': (MIDDLE, 'mov ecx, 60; again: inc byte ptr [n]; .byte 0x04; n: .byte 0; dec ecx; jnz again'),
    'a loop changes its last instruction': (MIDDLE, 'mov ecx, 61; again: xor byte ptr [n], 1; mov edx, ecx; n: inc ebx; dec ecx; jnz again'),
    'a loop becomes hot, then its body changes': (MIDDLE, 'mov ecx, 90; again: n: inc eax; cmp ecx, 20; jne on; mov byte ptr [n], 0x48; on: dec ecx; jnz again'),
    'a dword over four instructions': (MIDDLE, 'mov ebx, 0x43434343; mov [n], ebx; n: inc eax; inc ecx; inc edx; inc esi'),
    'rep stosb over what follows it': (MIDDLE, 'mov edi, offset n; mov ecx, 3; mov al, 0x42; cld; rep stosb; n: inc esi; inc esi; inc esi'),
    'rep movsb over itself': (MIDDLE, 'mov esi, offset n; mov edi, offset r; mov ecx, 4; cld; r: rep movsb; nop; nop; n: inc edx; inc ebp; inc edx; inc ebp'),
    'push onto what follows': (MIDDLE, 'mov esp, offset n + 4; push 0x43424342; n: inc eax; inc eax; inc eax; inc eax'),
    'a call writes its own target': (MIDDLE, 'mov eax, esp; mov esp, offset n + 4; call n; .byte 0xcc, 0xcc, 0xcc; n: nop; nop; nop; nop; inc ecx; nop'),
    'the half in the next page': (EDGE - 8, 'mov byte ptr [n], 9; .byte 0xb8; n: .long 0x01020304; inc eax'),
    'the half in this page': (EDGE - 8, 'mov byte ptr [n], 0xb9; n: .byte 0xb8, 0xff; .byte 3, 2, 1; inc eax'),
    'a loop across the page boundary': (EDGE - 12, 'mov ecx, 70; again: inc byte ptr [n]; .byte 5; n: .long 0x100; dec ecx; jnz again'),
    'a store across the boundary': (EDGE - 12, 'mov dword ptr [n], 0x42424242; n: inc eax; inc eax; inc eax; inc eax'),
}
MAKERS_DIFFER = ('rep movsb over itself',)  # Intel fetches anew after an iteration that wrote to the instruction, AMD after all: the engines do alike


def case_of(name: str) -> np.ndarray:
    """One record for both sides."""
    at, text = CASES[name]
    batch = blank(1)
    set_code(batch[0], assemble('.intel_syntax noprefix\n' + text.replace(';', '\n'), 32, at))
    batch['eip'] = batch['code_at'] = at
    return batch


@pytest.mark.parametrize('engine', ENGINES)
@pytest.mark.parametrize('name', CASES)
def test_self_modifying(name: str, engine: str) -> None:
    """The same registers as on the host, the first time and when the code has been translated."""
    batch = case_of(name)
    theirs = guest('eager').run(batch) if name in MAKERS_DIFFER else oracle().run(batch)
    for _ in range(3):
        assert not differences(batch[0], guest(engine).run(batch)[0], theirs[0])


def test_they_end() -> None:
    """Each case runs to the INT3 behind it (or, rewritten, to another), so that the registers mean something."""
    assert all(oracle().run(case_of(name))[0]['trap'] == 3 for name in CASES)
