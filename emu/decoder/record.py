"""Record: a decoded instruction's layout in memory, filled by emu/decoder/decode.py, read by the interpreter's handlers.

In Python the same names are attributes of an `Instruction`, together with the constants of its form (`w`, `dst_kind`, ...).
"""
from emu.isa.state import Field

# name  bits  what
LAYOUT = """
key      64   host address of the first byte, shifted left by 1, plus CS.D; -1: empty
handler  64   host address of the interpreter's handler
imm      32   immediate, sign- or zero-extended to 32 bits as the table says; a relative displacement; a far pointer's offset
disp     32   displacement, sign-extended to 32 bits (16-bit addresses: masked by amask in the end)
amask    32   address mask: 0xFFFF or 0xFFFFFFFF
imm2     16   a second immediate: far pointer's selector, ENTER's level
opcode   16   x87: the 11 bits that the FPU keeps of it; else 0
form     16   index into emu.decoder.table.FORMS
len      8    bytes
base     8    register of the address's base; 8: none
index    8    register of the address's index; 8: none
scale    8    shift of the index: 0 to 3
seg      8    segment of the memory operand, default or overridden: ES CS SS DS FS GS = 0 to 5
dst      8    register number of the destination (general, segment, control, debug)
src      8    register number of the source; ST(i)'s i
rep      8    0, 1: F3 (REP, REPE), 2: F2 (REPNE)
lock     8    1 with a LOCK prefix
"""
SIZE = 64


def lay_out() -> dict[str, Field]:
    """Name -> Field."""
    fields, at = {}, 0
    for line in LAYOUT.strip().splitlines():
        name, bits = line.split()[:2]
        fields[name] = Field(at, int(bits), 1, 0)
        at += int(bits) // 8
    assert at <= SIZE
    return fields


FIELDS = lay_out()
