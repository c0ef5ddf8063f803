"""The opcode table and the decoder: what SDM 2, chapter 2.1 and appendix A promise. tests/test_disassembly.py compares with another disassembler."""
import ctypes
import random
import struct
from typing import Callable

import llvmlite.binding as llvm
import pytest

from emu.decoder import record
from emu.decoder.decode import Instruction, decode, decode_bytes
from emu.decoder.table import FORM, FORMS, INFO, OPCODES
from emu.isa.language import outlined
from emu.isa.operands import IMM, MEM, REG
from emu.jit.interpreter import tables
from emu.jit.lower import HEAD, TAIL, Outlined, Program
from tests.conftest import ALL

ES, CS, SS, DS, FS, GS = range(6)
NONE = 8  # no register


def ins(code: str, code32: bool = True) -> Instruction:
    """The instruction of these bytes (hexadecimal)."""
    found = decode_bytes(bytes.fromhex(code), code32)
    assert found is not None
    return found


def fields(i: Instruction, names: str) -> list[int]:
    return [getattr(i, name) for name in names.split()]


# --- the table ------------------------------------------------------------------------------------------------------------

def test_forms() -> None:
    """Names are unique, texts are written in capitals, the first two forms are the exceptions, and what a block ends with is one of three."""
    assert len({form.name for form in FORMS}) == len(FORMS) and 800 < len(FORMS) < 1 << 16
    assert all(form.text == form.text.upper() and form.mnemonic == form.mnemonic.lower() and form.ends in ('', 'rel', 'end') for form in FORMS)
    assert [form.text for form in FORMS[:2]] == ['UD', 'TOO_LONG']
    assert all(0 <= value < 256 for form in FORMS for value in form.fields.values())
    assert len({(form.text, *sorted(form.fields.items())) for form in FORMS}) == len(FORMS)


def test_tuples() -> None:
    """What the compiled decoder indexes: every form is reached, and no number is out of range."""
    assert len(OPCODES) == 0x500 and len(FORM) == 2 * len(INFO)
    assert set(FORM) == set(range(len(FORMS))) - {1}
    assert all(number >> 3 < len(INFO) for number in OPCODES)


UNDEFINED = '''0f04 0f0a 0f0b 0f24 0f26 0f36 0faa 0fb9 0fff d9d1 d9e2 d9e7 d9ef dae8 daf0 dbe5 ddf0 ded8 dfe1 d908 dd28
    c6c8 8fc8 fed0 fff8 0f0030 0f01e8 0fba00 0fc700 0fc7c8 8ec8 8ef0 8cf8 0f20c8 0f22e8 c4c0 c5c0 62c0 8dc0 0fb2c0 0f01c0 ffd8 ffe8'''.split()


@pytest.mark.parametrize('opcode', UNDEFINED)
def test_undefined_opcodes(opcode: str) -> None:
    """SDM 2, appendix A: empty cells; memory operands that a register takes the place of; no MOV to CS, no CR1, CR5 to CR7."""
    assert ins(opcode + '00' * 8).form is FORMS[0]


def test_block_ends() -> None:
    """docs/texts.md: jumps with a known target are `rel`; what changes CS, SS, IF, TF, the mode, or does I/O is `end`."""
    ends = {form.text: form.ends for form in FORMS}
    assert {text for text, how in ends.items() if how == 'rel'} == {'JCC', 'JMP_REL', 'CALL_REL', 'LOOP', 'LOOPCC', 'JCXZ'}
    for text in '''RET_NEAR RET_FAR CALL_NEAR CALL_FAR CALL_FAR_M JMP_NEAR JMP_FAR JMP_FAR_M INT INT3 INTO INT1 IRET HLT STI POPF
            MOV_TO_SEG POP_SEG LOAD_FAR IN OUT INS OUTS MOV_TO_CR MOV_TO_DR LMSW CLTS LGDT LIDT INVLPG CPUID WRMSR SYSENTER SYSEXIT UD TOO_LONG'''.split():
        assert ends[text] == 'end', text


# --- operands -------------------------------------------------------------------------------------------------------------

def test_operands() -> None:
    """Which operand is dst and which src, with their kinds (docs/texts.md)."""
    for code, form, numbers in (
            ('01d8', 'ADD_32_RR', [0, 3]), ('03d8', 'ADD_32_RR', [3, 0]), ('88e5', 'MOV_8_RR', [5, 4]), ('53', 'PUSH_32_R', [0, 3]),
            ('5b', 'POP_32_R', [3, 0]), ('93', 'XCHG_32_RR', [3, 0]), ('b312', 'MOV_8_RI', [3, 0]), ('6691', 'XCHG_16_RR', [1, 0]),
            ('d3e3', 'SHL_32_RR', [3, 1]), ('ec', 'IN_8_RR', [0, 2]), ('ee', 'OUT_8_RR', [0, 2]), ('0fca', 'BSWAP_32_R', [2, 0]),
            ('8ed8', 'MOV_TO_SEG_16_R', [DS, 0]), ('8cd8', 'MOV_FROM_SEG_32_R', [0, DS]), ('0fa8', 'PUSH_SEG_32', [0, GS]), ('0fa9', 'POP_SEG_32', [GS, 0]),
            ('0f20d9', 'MOV_FROM_CR_32_R', [1, 3]), ('0f2219', 'MOV_TO_CR_32_R', [3, 1]), ('d8c3', 'FADD', [0, 3]), ('ddd9', 'FSTP', [0, 1])):
        i = ins(code + '00000000')
        assert (i.form.name, fields(i, 'dst src')) == (form, numbers), code
    assert fields(ins('0108'), 'w dst_kind src_kind src') == [32, MEM, REG, 1]
    assert fields(ins('83c0ff'), 'dst_kind src_kind imm') == [REG, IMM, 0xffffffff]
    assert fields(ins('80c0ff'), 'imm w') == [0xff, 8]
    assert fields(ins('0fa4c805'), 'dst src third_kind imm') == [0, 1, IMM, 5]
    assert fields(ins('0fbe00'), 'w sw src_kind') == [32, 8, MEM]
    assert fields(ins('0fb6c1', False), 'w sw') == [16, 8]
    assert ins('7402').cc == 4 and ins('0f9fc0').cc == 15 and ins('c408').sreg == ES and ins('0fb208').sreg == SS


def test_immediates() -> None:
    """SDM 2, 2.1.5: 8 bits sign-extended or not, the operand size's 16 or 32 bits, far pointers, two immediates."""
    assert fields(ins('6880ff0000'), 'imm len') == [0xff80, 5]
    assert fields(ins('6880ff', False), 'imm len') == [0xffffff80, 3]
    assert fields(ins('e9feff', False), 'imm w') == [0xfffffffe, 16]
    assert fields(ins('9a785634122301'), 'imm imm2 len') == [0x12345678, 0x123, 7]
    assert fields(ins('9a34f22301', False), 'imm imm2 len') == [0xf234, 0x123, 5]
    assert fields(ins('c8f0ff05'), 'imm imm2 len') == [0xfff0, 5, 4]
    assert fields(ins('c2f0ff'), 'imm len') == [0xfff0, 3]
    assert fields(ins('d1e0'), 'imm src_kind') == [1, IMM]
    assert fields(ins('c3'), 'imm w') == [0, 32]


def test_addresses() -> None:
    """SDM 2, tables 2-1 to 2-3; the stack segment is the default where the base is EBP or ESP."""
    parts = 'base index scale disp seg amask len'
    for code, code32, expected in (
            ('8b448b10', True, [3, 1, 2, 0x10, DS, 0xffffffff, 4]), ('8b45fc', True, [5, NONE, 0, 0xfffffffc, SS, 0xffffffff, 3]),
            ('8b0424', True, [4, NONE, 0, 0, SS, 0xffffffff, 3]), ('8b04e578563412', True, [NONE, NONE, 0, 0x12345678, DS, 0xffffffff, 7]),
            ('8b04ad00000000', True, [NONE, 5, 2, 0, DS, 0xffffffff, 7]), ('8b0578563412', True, [NONE, NONE, 0, 0x12345678, DS, 0xffffffff, 6]),
            ('8b06', True, [6, NONE, 0, 0, DS, 0xffffffff, 2]), ('678b02', True, [5, 6, 0, 0, SS, 0xffff, 3]),
            ('8b4680', False, [5, NONE, 0, 0xffffff80, SS, 0xffff, 3]), ('8b0680ff', False, [NONE, NONE, 0, 0xffffff80, DS, 0xffff, 4]),
            ('8b8734f2', False, [3, NONE, 0, 0xfffff234, DS, 0xffff, 4]), ('a134f2', False, [NONE, NONE, 0, 0xfffff234, DS, 0xffff, 3]),
            ('2ea134f20000', True, [NONE, NONE, 0, 0xf234, CS, 0xffffffff, 6]), ('648b4500', True, [5, NONE, 0, 0, FS, 0xffffffff, 4])):
        assert fields(ins(code, code32), parts) == expected, code


def test_prefixes() -> None:
    """SDM 2, 2.1.1: sizes toggle, the last segment override and the last of F2 and F3 count, in any order."""
    assert fields(ins('66b83412'), 'w imm len') == [16, 0x1234, 4]
    assert fields(ins('66b878563412', False), 'w imm len') == [32, 0x12345678, 6]
    assert fields(ins('666690'), 'len rep') == [3, 0] and ins('6666b83412').w == 16
    assert fields(ins('26658b00'), 'seg') == [GS] and fields(ins('36a5'), 'seg') == [SS]
    assert [ins(code).rep for code in ('a4', 'f3a4', 'f2a6', 'f2f3a6', 'f3f2a6')] == [0, 1, 2, 1, 2]


def test_lock() -> None:
    """SDM 2, LOCK: only before read-modify-write instructions with a memory destination, else an invalid opcode."""
    for code in '0108 813000000000 ff00 f718 8608 0fb108 0fc108 0fc708 0fab08 0fba2801 8308ff'.split():
        assert ins('f0' + code).lock == 1 and ins('f0' + code).form is not FORMS[0], code
    for code in '01c8 0308 3908 8908 90 ff30 f620 0fa308 0fba2001 8508 8f00 d020 86c8'.split():
        assert ins('f0' + code).form is FORMS[0], code


def test_fifteen_bytes() -> None:
    """SDM 2, 2.3.11: an instruction has 15 bytes at most; a longer one raises #GP."""
    assert fields(ins('66' * 14 + '90'), 'len') == [15] and ins('66' * 14 + '90').form.text == 'NOP'
    for code in ('66' * 15 + '90', '66' * 14 + 'b83412', '26' * 13 + '8b4500', '66' * 13 + '0fa4c805'):
        assert (ins(code).form.text, ins(code).len) == ('TOO_LONG', 15), code
    assert decode_bytes(b'\x66' * 14, True) is None


def test_incomplete() -> None:
    """Nothing behind the n bytes counts: fewer than an instruction's bytes are no instruction, and more do not change it."""
    rng = random.Random(1)
    for _ in range(20000 if ALL else 1500):
        data = bytes(rng.choice(b'\x66\x67\xf3\x26') for _ in range(rng.randrange(3))) + rng.choice([b'', b'\x0f']) + rng.randbytes(12)
        code32 = rng.random() < 0.5
        whole = decode_bytes(data, code32)
        assert whole is not None
        short = decode_bytes(data[:whole.len], code32)
        assert short is not None and vars(short) == vars(whole), data.hex()
        for n in range(1, whole.len): assert decode_bytes(data[:n], code32) is None, data[:n].hex()


# --- compiled -------------------------------------------------------------------------------------------------------------

@outlined
def decode_here(i, p, n, code32):  # type: ignore[no-untyped-def]
    return decode(i, p, n, code32)


def compiled() -> tuple[Callable[..., int], object]:
    """The decoder lowered to LLVM IR and compiled; keep the second alive."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    program = Program()
    body = Outlined(program, program.ask(decode_here, {})).ir
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1, jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(HEAD + tables(program) + body + TAIL), machine)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return kind(engine.get_function_address('decode_here')), engine


def test_compiled_decoder_agrees() -> None:
    """The text run as Python and the text compiled fill the same record."""
    run, engine = compiled()
    filled = {name: field for name, field in record.FIELDS.items() if name not in ('key', 'handler')}
    room = ctypes.create_string_buffer(record.SIZE)
    rng = random.Random(2)
    for _ in range(50000 if ALL else 4000):
        prefixes = bytes(rng.choice(b'\x66\x67\xf0\xf2\xf3\x2e\x36\x65') for _ in range(rng.choice([0, 0, 0, 1, 2, 14])))
        data = (prefixes + rng.choice([b'', b'\x0f']) + rng.randbytes(14))[:rng.choice([16, 16, 15, 7, 5, 3, 2, 1])]
        code32 = rng.randrange(2)
        length = run(room, ctypes.create_string_buffer(data, len(data)), len(data), code32)
        i = decode_bytes(data, bool(code32))
        if i is None:
            assert length == 0, data.hex()
            continue
        found = {name: struct.unpack_from('<' + {8: 'B', 16: 'H', 32: 'I'}[field.bits], room, field.offset)[0] for name, field in filled.items()}
        assert length == i.len and found == {name: getattr(i, name) for name in filled} | {'form': FORMS.index(i.form)}, data.hex()
    del engine
