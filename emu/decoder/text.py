"""Disassembly: an Instruction -> Intel's syntax in lower case, `add eax, dword ptr [ebx + ecx*4 + 0x10]`.

A record keeps what an instruction does, not how it was encoded: prefixes and segment overrides without effect do not show, and immediates are unsigned.
"""
from emu.decoder.decode import NO_REGISTER, Instruction
from emu.decoder.table import FIXED, GENERAL, SEGMENTS, WIDTHS
from emu.isa.language import mask, signed
from emu.isa.operands import IMM, MEM, MM, XMM
from emu.isa.state import DS, SS

REGISTERS = {8: 'al cl dl bl ah ch dh bh'.split(), 16: 'ax cx dx bx sp bp si di'.split(), 32: 'eax ecx edx ebx esp ebp esi edi'.split()}
SEGMENT_NAMES = [name.lower() for name in SEGMENTS]
SIZES = {8: 'byte ptr ', 16: 'word ptr ', 32: 'dword ptr ', 64: 'qword ptr ', 80: 'tbyte ptr ', 128: 'xmmword ptr '}
NUMBERED = {'AL': 8, 'CL': 8, 'DX': 16}  # registers whose width does not follow from the instruction's
ESP, EBP, ESI, EDI = 4, 5, 6, 7
ROLES = 'dst', 'src', 'third'
PREDICATES = 'eq lt le unord neq nlt nle ord'.split()  # SDM 2, table 3-1


def number(n: int) -> str:
    """Decimal up to 9, hexadecimal above."""
    return str(n) if n < 10 else hex(n)


def address(ins: Instruction) -> str:
    """segment:[base + index*scale + displacement]; the segment if it is not the base's own."""
    registers = REGISTERS[16 if ins.amask == 0xffff else 32]
    terms = [registers[ins.base]] if ins.base != NO_REGISTER else []
    if ins.index != NO_REGISTER: terms.append(registers[ins.index] + (f'*{1 << ins.scale}' if ins.scale or not terms else ''))
    disp = signed(ins.disp, 32)
    if not terms: inside = number(ins.disp & ins.amask)
    else: inside = ' + '.join(terms) + (f' {"-" if disp < 0 else "+"} {number(abs(disp))}' if disp else '')
    usual = SS if ins.base in (ESP, EBP) else DS
    return f'{SEGMENT_NAMES[ins.seg] + ":" if ins.seg != usual else ""}[{inside}]'


def string_text(ins: Instruction, operand: str) -> str:
    """X: DS:[ESI], whose segment can be overridden; Y: ES:[EDI]."""
    register = REGISTERS[16 if ins.amask == 0xffff else 32][ESI if operand[0] == 'X' else EDI]
    segment = 'es:' if operand[0] == 'Y' else SEGMENT_NAMES[ins.seg] + ':' if ins.seg != DS else ''
    return f'{SIZES[ins.w]}{segment}[{register}]'


def operand_text(ins: Instruction, role: str, operand: str, eip: int) -> str:
    """One operand; role: dst, src, third."""
    letter, size, n = operand[0], operand[1:], getattr(ins, role, FIXED.get(operand, 0))
    if operand in SEGMENTS or operand == 'Sw': return SEGMENT_NAMES[n]
    if operand == 'STi': return f'st({n})'
    if letter in 'XY': return string_text(ins, operand)
    w = NUMBERED.get(operand) or WIDTHS.get(size) or ins.form.fields.get('w', 32)
    if operand in GENERAL: return REGISTERS[w][n]
    if letter == 'C' or letter == 'D': return f'{letter.lower()}r{n}'
    if letter == 'J': return number((eip + ins.len + ins.imm) & mask(ins.w))
    if letter == 'A': return f'{number(ins.imm2)}:{number(ins.imm)}'
    kind = ins.form.fields[role + '_kind']
    if kind == IMM: return number(ins.imm & mask(w))
    if kind == MM: return f'mm{n}'
    if kind == XMM: return f'xmm{n}'
    if kind == MEM: return ('' if size in ('', 's', 'p') else SIZES[2 * w if size == 'a' else w]) + address(ins)
    return REGISTERS[w][n]


def mnemonic(ins: Instruction) -> str:
    """With its prefixes, and a string instruction's size."""
    form, name = ins.form, ins.form.mnemonic
    if any(operand[0] in 'XY' for operand in form.operands):
        repeat = ('', 'repe ' if form.text in ('CMPS', 'SCAS') else 'rep ', 'repne ')[ins.rep]
        name = repeat + name + {8: 'b', 16: 'w', 32: 'd'}[ins.w]
    elif form.text == 'JCXZ' and ins.amask != 0xffff: name = 'jecxz'
    return 'lock ' + name if ins.lock else name


def disassemble(ins: Instruction, eip: int) -> str:
    """The text of an instruction whose first byte is at eip."""
    text = ins.form.text
    operands = [operand_text(ins, role, operand, eip) for role, operand in zip(ROLES, ins.form.operands) if operand != '-']
    if text == 'OUT': operands.reverse()
    elif text == 'ENTER': operands = [number(ins.imm), number(ins.imm2)]
    elif text == 'FNSTSW_AX': operands = ['ax']
    elif text == 'FCMOVCC': operands.insert(0, 'st(0)')
    elif text == 'CMP_F' and ins.imm < 8: return f'cmp{PREDICATES[ins.imm]}{ins.form.mnemonic[3:]} {", ".join(operands[:2])}'
    elif text[0] == 'F' and text.endswith('_R'): operands.append('st(0)')
    return f'{mnemonic(ins)} {", ".join(operands)}'.rstrip()
