"""The x87's control instructions: control and status words, the environment and the whole state in memory (SDM 1, 8.1 and 8.3.11; SDM 2)."""
from emu.isa.language import NM, Fault, outlined
from emu.isa.operands import address
from emu.isa.x87 import C1, CODES, ES, available, empty, st, summary, unmasked, wait
from emu.isa.x87_exact import x87_set_control
from emu.mem.access import READ, WRITE, linear, load, read, readable, store, writable, write


def WAIT(m, i):
    if (m.cr0 & 10) == 10: raise Fault(NM, 0)  # MP and TS
    if m.fpu_status & ES: unmasked(m)


def status_word(m):
    return m.fpu_status | (m.fpu_top << 11)


def set_control_word(m, v):
    x87_set_control(m, (v & 0x1f3f) | 0x40)
    summary(m)


def set_words(m, control, status):
    """Control and status word; the flags first, for x87_set_control clears those of the host's that are gone."""
    m.fpu_status = status & 0x477f
    m.fpu_top = (status >> 11) & 7
    set_control_word(m, control)


def reset(m):
    """FNINIT (SDM 1, table 9-1)."""
    m.fpu_status = 0
    x87_set_control(m, 0x37f)
    m.ignne = 0
    m.fpu_top = 0
    m.fpu_empty = 0xff
    m.fpu_ip = 0
    m.fpu_cs = 0
    m.fpu_dp = 0
    m.fpu_ds = 0
    m.fpu_opcode = 0


def FNINIT(m, i):
    available(m)
    reset(m)


def FNCLEX(m, i):
    available(m)
    m.fpu_status = m.fpu_status & (CODES | C1)
    x87_set_control(m, m.fpu_control)  # for the host's flags
    m.ignne = 0


def FNSTCW(m, i):
    available(m)
    store(m, i.seg, address(m, i), 16, m.fpu_control)


def FLDCW(m, i):
    wait(m)
    set_control_word(m, load(m, i.seg, address(m, i), 16))


def FNSTSW(m, i):
    available(m)
    store(m, i.seg, address(m, i), 16, status_word(m))


def FNSTSW_AX(m, i):
    available(m)
    m.reg[0] = (m.reg[0] & 0xffff0000) | status_word(m)


def tag(m, n):
    """0 valid, 1 zero, 2 special, 3 empty (SDM 1, 8.1.7)."""
    e = m.fpu_exponent[n] & 0x7fff
    if empty(m, n): return 3
    if e == 0 and m.fpu_mantissa[n] == 0: return 1
    return 2 if e == 0 or e == 0x7fff or m.fpu_mantissa[n] >= 0 else 0


def tags(m):
    word = 0
    n = 0
    while n < 8:
        word = word | (tag(m, n) << (n << 1))
        n = n + 1
    return word


def get_word(m, p, n, w):
    """The n-th word of w bits from linear address p on."""
    return read(m, (p + n * (w >> 3)) & 0xffffffff, w, m.user)


def put_word(m, p, n, w, v):
    write(m, (p + n * (w >> 3)) & 0xffffffff, w, v, m.user)


@outlined
def store_environment(m, p, w):
    """The environment to linear address p, as w and the mode lay it out (SDM 1, figures 8-9 to 8-12)."""
    high = 0xffff0000
    put_word(m, p, 0, w, high | m.fpu_control)
    put_word(m, p, 1, w, high | status_word(m))
    put_word(m, p, 2, w, high | tags(m))
    if m.protected:
        put_word(m, p, 3, w, m.fpu_ip)
        put_word(m, p, 4, w, m.fpu_cs | (m.fpu_opcode << 16))
        put_word(m, p, 5, w, m.fpu_dp)
        put_word(m, p, 6, w, high | m.fpu_ds)
    else:
        ip = (m.fpu_cs << 4) + m.fpu_ip
        dp = (m.fpu_ds << 4) + m.fpu_dp
        put_word(m, p, 3, w, high | ip)
        put_word(m, p, 4, w, ((ip >> 4) & 0xffff000) | m.fpu_opcode)
        put_word(m, p, 5, w, high | dp)
        put_word(m, p, 6, w, (dp >> 4) & 0xffff000)


@outlined
def load_environment(m, p, w):
    """The environment from linear address p; all of it can be read."""
    set_words(m, get_word(m, p, 0, w), get_word(m, p, 1, w))
    ip = get_word(m, p, 3, w)
    dp = get_word(m, p, 5, w)
    code = get_word(m, p, 4, w)
    data = get_word(m, p, 6, w)
    if m.protected:
        m.fpu_opcode = (code >> 16) & 0x7ff
    else:
        m.fpu_opcode = code & 0x7ff
        ip = (ip & 0xffff) | ((code << 4) & 0xffff0000)
        dp = (dp & 0xffff) | ((data << 4) & 0xffff0000)
        code = 0
        data = 0
    m.fpu_ip = ip
    m.fpu_dp = dp
    m.fpu_cs = code & 0xffff
    m.fpu_ds = data & 0xffff
    m.fpu_empty = 0
    word = get_word(m, p, 2, w)
    n = 0
    while n < 8:
        if ((word >> (n << 1)) & 3) == 3: m.fpu_empty = m.fpu_empty | (1 << n)
        n = n + 1


def FNSTENV(m, i):
    available(m)
    p = linear(m, i.seg, address(m, i), 7 * (i.w >> 3), WRITE)
    writable(m, p, 7 * (i.w >> 3))
    store_environment(m, p, i.w)
    set_control_word(m, m.fpu_control | 0x3f)


def FLDENV(m, i):
    wait(m)
    p = linear(m, i.seg, address(m, i), 7 * (i.w >> 3), READ)
    readable(m, p, 7 * (i.w >> 3))
    load_environment(m, p, i.w)


def FNSAVE(m, i):
    available(m)
    size = 7 * (i.w >> 3)
    p = linear(m, i.seg, address(m, i), size + 80, WRITE)
    writable(m, p, size + 80)
    store_environment(m, p, i.w)
    store_registers(m, (p + size) & 0xffffffff)
    reset(m)


def FRSTOR(m, i):
    wait(m)
    size = 7 * (i.w >> 3)
    p = linear(m, i.seg, address(m, i), size + 80, READ)
    readable(m, p, size + 80)
    load_environment(m, p, i.w)
    load_registers(m, (p + size) & 0xffffffff)


@outlined
def store_registers(m, p):
    """ST(0) to ST(7), 10 bytes each, as words: nothing here need be aligned to more (SDM 3A 6.15, #AC)."""
    n = 0
    while n < 8:
        k = 0
        while k < 4:
            put_word(m, p, k, 16, m.fpu_mantissa[st(m, n)] >> (k << 4))
            k = k + 1
        put_word(m, p, 4, 16, m.fpu_exponent[st(m, n)])
        p = (p + 10) & 0xffffffff
        n = n + 1


@outlined
def load_registers(m, p):
    n = 0
    while n < 8:
        mantissa = 0
        k = 0
        while k < 4:
            mantissa = mantissa | (get_word(m, p, k, 16) << (k << 4))
            k = k + 1
        m.fpu_mantissa[st(m, n)] = mantissa
        m.fpu_exponent[st(m, n)] = get_word(m, p, 4, 16)
        p = (p + 10) & 0xffffffff
        n = n + 1
