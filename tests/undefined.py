"""Flags that the manual leaves undefined after an instruction (SDM 2, "Flags Affected" of each; SDM 1, appendix A), so that nothing is compared there.

Some texts set them as hardware does nevertheless; tests of their own say where.
"""
CF, PF, AF, ZF, SF, OF = 1, 4, 16, 64, 128, 0x800

ALWAYS = {  # by text
    'AAA': OF | SF | ZF | PF, 'AAS': OF | SF | ZF | PF, 'AAD': OF | AF | CF, 'AAM': OF | AF | CF, 'DAA': OF, 'DAS': OF,
    'AND': AF, 'OR': AF, 'XOR': AF, 'TEST': AF,
    'MUL': SF | ZF | AF | PF, 'IMUL1': SF | ZF | AF | PF, 'IMUL2': SF | ZF | AF | PF, 'IMUL3': SF | ZF | AF | PF,
    'DIV': CF | PF | AF | ZF | SF | OF, 'IDIV': CF | PF | AF | ZF | SF | OF,
    'BSF': CF | OF | SF | AF | PF, 'BSR': CF | OF | SF | AF | PF,
    'BT': OF | SF | AF | PF, 'BTS': OF | SF | AF | PF, 'BTR': OF | SF | AF | PF, 'BTC': OF | SF | AF | PF,
}
ROTATES = ('ROL', 'ROR', 'RCL', 'RCR')
SHIFTS = ('SHL', 'SHR', 'SAR')
DOUBLE_SHIFTS = ('SHLD', 'SHRD')


def undefined_flags(text: str, w: int, count: int) -> int:
    """The undefined flags of an instruction by its text's name; count: of a shift or rotate, masked to 5 bits."""
    if text in ROTATES: return OF if count > 1 else 0
    if text in SHIFTS + DOUBLE_SHIFTS:
        if count == 0: return 0
        return AF | (OF if count != 1 else 0) | (CF if count >= w and text != 'SAR' else 0)
    return ALWAYS.get(text, 0)


def undefined_result(text: str, w: int, count: int) -> bool:
    """SHLD and SHRD of 16 bits by more than 16: destination and flags are undefined."""
    return text in DOUBLE_SHIFTS and count > w
