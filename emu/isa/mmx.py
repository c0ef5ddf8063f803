"""MMX, and the integer instructions of SSE and SSE2, which do the same in MMX and XMM registers (SDM 1, chapters 9, 10.4.4 and 11.4.2; SDM 2).

An XMM register is two halves of 64 bits. MMn is the mantissa of x87 register Rn: a write sets the exponent to ones, and all instructions but EMMS make
TOP 0 and all registers valid (SDM 1, 9.5.1). Numbers in a half are worked on all at once where that is short (carries are kept from crossing), else one by one.
"""
from emu.isa.language import GP, NM, UD, Fault, above, mask, outlined, signed
from emu.isa.operands import MEM, MM, XMM, address, put_reg, src
from emu.isa.segments import OSFXSR
from emu.isa.state import MMX, MMX_OF_SSE, SSE
from emu.isa.x87 import ES, available, unmasked
from emu.mem.access import READ, WRITE, linear, load, read, store, writable, write
from emu.mem.paging import translate

EM = 4  # of CR0
(ADD, SUB, AND, ANDN, OR, XOR, EQ, GT, ADDS, ADDUS, SUBS, SUBUS, MINU, MAXU, MINS, MAXS, AVG, MULL, MULH, MULHU, MULUDQ, MADD, SAD) = range(23)
LEFT, RIGHT, ARITHMETIC = range(3)


# --- before an instruction -------------------------------------------------------------------------------------------------------

def require(m, needs):
    """#UD or #NM where instructions of this kind are not available."""
    if m.simd & needs == 0: unavailable(m, needs)


@outlined
def unavailable(m, needs):
    """Why not (SDM 2, tables 2-20 and 25-5): the processor, CR0.EM, CR4.OSFXSR; else CR0.TS."""
    bit = 23 if needs == MMX else 25 if needs == MMX_OF_SSE or needs == SSE else 26
    if (m.cpu_features >> bit) & 1 == 0 or m.cr0 & EM: raise Fault(UD, 0)
    if needs >= SSE and m.cr4 & OSFXSR == 0: raise Fault(UD, 0)
    raise Fault(NM, 0)


def feature(m, bit):
    """#UD where CPUID does not name a feature."""
    if (m.cpu_features >> bit) & 1 == 0: raise Fault(UD, 0)


def begin(m, i):
    """What every instruction begins with; an x87 exception that waits comes before one with MMX registers."""
    require(m, i.needs)
    if i.dst_kind == MM or i.src_kind == MM: waiting(m)


def waiting(m):
    if m.fpu_status & ES: unmasked(m)


def enter(m):
    """MMX registers are in use: TOP is 0, all are valid."""
    m.fpu_top = 0
    m.fpu_empty = 0


# --- operands ----------------------------------------------------------------------------------------------------------------------

def put_mm(m, n, v):
    m.fpu_mantissa[n] = v
    m.fpu_exponent[n] = 0xffff


def put_xmm(m, n, low, high):
    m.xmm_low[n] = low
    m.xmm_high[n] = high


def aligned(m, i, need):
    """The linear address of 16 bytes of memory, which must be aligned."""
    p = linear(m, i.seg, address(m, i), 16, need)
    if p & 15: raise Fault(GP, 0)
    return p


def behind(p):
    """The address of the second half."""
    return (p + 8) & 0xffffffff


def half_src(m, i, w):
    """An MMX register, or the low half of an XMM register, or w bits of memory."""
    if i.src_kind == MEM: return load(m, i.seg, address(m, i), w)
    if i.src_kind == MM: return m.fpu_mantissa[i.src]
    return m.xmm_low[i.src] if w == 64 else m.xmm_low[i.src] & mask(w)


def store_both(m, p, low, high):
    """16 bytes, all or none."""
    if (p & 4095) > 4080: writable(m, p, 16)
    write(m, p, 64, low, m.user)
    write(m, behind(p), 64, high, m.user)


# --- moves -------------------------------------------------------------------------------------------------------------------------

def MOVQ(m, i):
    """Also MOVNTQ. To an XMM register: the high half becomes 0."""
    begin(m, i)
    if i.dst_kind == MEM:
        v = m.fpu_mantissa[i.src] if i.src_kind == MM else m.xmm_low[i.src]
        store(m, i.seg, address(m, i), 64, v)
    else:
        v = half_src(m, i, 64)
        if i.dst_kind == MM: put_mm(m, i.dst, v)
        else: put_xmm(m, i.dst, v, 0)
    if i.dst_kind == MM or i.src_kind == MM: enter(m)


def MOVD_TO(m, i):
    begin(m, i)
    v = src(m, i, 32)
    if i.dst_kind == MM:
        enter(m)
        put_mm(m, i.dst, v)
    else: put_xmm(m, i.dst, v, 0)


def MOVD_FROM(m, i):
    begin(m, i)
    v = (m.fpu_mantissa[i.src] if i.src_kind == MM else m.xmm_low[i.src]) & 0xffffffff
    if i.dst_kind == MEM: store(m, i.seg, address(m, i), 32, v)
    else: put_reg(m, i.dst, 32, v)
    if i.src_kind == MM: enter(m)


def MOVQ2DQ(m, i):
    begin(m, i)
    enter(m)
    put_xmm(m, i.dst, m.fpu_mantissa[i.src], 0)


def MOVDQ2Q(m, i):
    begin(m, i)
    enter(m)
    put_mm(m, i.dst, m.xmm_low[i.src])


def move(m, i, p):
    """16 bytes between registers, or register and linear address p."""
    if i.dst_kind == MEM: store_both(m, p, m.xmm_low[i.src], m.xmm_high[i.src])
    elif i.src_kind == MEM:
        low = read(m, p, 64, m.user)
        high = read(m, behind(p), 64, m.user)
        put_xmm(m, i.dst, low, high)
    else: put_xmm(m, i.dst, m.xmm_low[i.src], m.xmm_high[i.src])


def MOV_ALIGNED(m, i):
    """MOVAPS MOVAPD MOVDQA, MOVNTPS MOVNTPD MOVNTDQ."""
    begin(m, i)
    if i.dst_kind == MEM: move(m, i, aligned(m, i, WRITE))
    elif i.src_kind == MEM: move(m, i, aligned(m, i, READ))
    else: move(m, i, 0)


def MOV_UNALIGNED(m, i):
    """MOVUPS MOVUPD MOVDQU; MOVSS and MOVSD: a load clears the rest, a move between registers keeps it."""
    begin(m, i)
    if i.w == 128:
        if i.dst_kind == MEM: move(m, i, linear(m, i.seg, address(m, i), 16, WRITE))
        elif i.src_kind == MEM: move(m, i, linear(m, i.seg, address(m, i), 16, READ))
        else: move(m, i, 0)
    elif i.dst_kind == MEM: store(m, i.seg, address(m, i), i.w, m.xmm_low[i.src])
    elif i.src_kind == MEM: put_xmm(m, i.dst, load(m, i.seg, address(m, i), i.w), 0)
    elif i.w == 64: m.xmm_low[i.dst] = m.xmm_low[i.src]
    else: m.xmm_low[i.dst] = (m.xmm_low[i.dst] & ~mask(32)) | (m.xmm_low[i.src] & mask(32))


def MOVNTI(m, i):
    feature(m, 26)
    store(m, i.seg, address(m, i), 32, src(m, i, 32))


def PINSRW(m, i):
    begin(m, i)
    v = src(m, i, 16)
    shift = (i.imm & 3) << 4
    if i.dst_kind == MM:
        enter(m)
        put_mm(m, i.dst, (m.fpu_mantissa[i.dst] & ~(0xffff << shift)) | (v << shift))
    elif i.imm & 4: m.xmm_high[i.dst] = (m.xmm_high[i.dst] & ~(0xffff << shift)) | (v << shift)
    else: m.xmm_low[i.dst] = (m.xmm_low[i.dst] & ~(0xffff << shift)) | (v << shift)


def PEXTRW(m, i):
    begin(m, i)
    shift = (i.imm & 3) << 4
    if i.src_kind == MM:
        enter(m)
        v = m.fpu_mantissa[i.src]
    else: v = m.xmm_high[i.src] if i.imm & 4 else m.xmm_low[i.src]
    put_reg(m, i.dst, 32, (v >> shift) & 0xffff)


def signs(v):
    """The highest bits of 8 bytes: the product brings them together at the top."""
    return ((((v >> 7) & 0x0101010101010101) * 0x0102040810204080) >> 56) & 0xff


def PMOVMSKB(m, i):
    begin(m, i)
    if i.src_kind == MM:
        enter(m)
        put_reg(m, i.dst, 32, signs(m.fpu_mantissa[i.src]))
    else: put_reg(m, i.dst, 32, signs(m.xmm_low[i.src]) | (signs(m.xmm_high[i.src]) << 8))


def MASKMOV(m, i):
    """The bytes of dst whose byte in src has its highest bit set, to DS:[EDI]."""
    begin(m, i)
    at = m.reg[7] & i.amask
    linear(m, i.seg, at, i.w >> 3, WRITE)
    if i.dst_kind == MM:
        masked_store(m, i.seg, at, i.amask, signs(m.fpu_mantissa[i.src]), m.fpu_mantissa[i.dst], 0)
        enter(m)
    else: masked_store(m, i.seg, at, i.amask, signs(m.xmm_low[i.src]) | (signs(m.xmm_high[i.src]) << 8), m.xmm_low[i.dst], m.xmm_high[i.dst])


@outlined
def masked_store(m, seg, at, amask, which, low, high):
    """All of it can be written, or nothing is."""
    n = 0
    while n < 16:
        if (which >> n) & 1: translate(m, linear(m, seg, (at + n) & amask, 1, WRITE), m.user, 1)
        n = n + 1
    n = 0
    while n < 16:
        v = (high if n & 8 else low) >> ((n & 7) << 3)
        if (which >> n) & 1: store(m, seg, (at + n) & amask, 8, v)
        n = n + 1


def EMMS(m, i):
    feature(m, 23)
    if m.cr0 & EM: raise Fault(UD, 0)
    available(m)
    waiting(m)
    m.fpu_top = 0
    m.fpu_empty = 0xff


# --- operations on the numbers of a half ----------------------------------------------------------------------------------------------

def ones(w):
    """1 in each number of w bits."""
    return 0x0101010101010101 if w == 8 else 0x0001000100010001 if w == 16 else 0x0000000100000001 if w == 32 else 1


def clamp(x, least, greatest):
    return least if x < least else greatest if x > greatest else x


def number(op, w, a, b):
    """One number of w bits; a and b have nothing above it."""
    x = signed(a, w)
    y = signed(b, w)
    if op == GT: return mask(w) if x > y else 0
    if op == ADDS: return clamp(x + y, -(1 << (w - 1)), (1 << (w - 1)) - 1)
    if op == SUBS: return clamp(x - y, -(1 << (w - 1)), (1 << (w - 1)) - 1)
    if op == ADDUS: return clamp(a + b, 0, mask(w))
    if op == SUBUS: return clamp(a - b, 0, mask(w))
    if op == MINU: return a if a < b else b
    if op == MAXU: return a if a > b else b
    if op == MINS: return a if x < y else b
    if op == MAXS: return a if x > y else b
    if op == AVG: return (a + b + 1) >> 1
    if op == MULL: return x * y
    if op == MULH: return (x * y) >> 16
    return (a * b) >> 16


def each(op, w, a, b):
    """All numbers of w bits in a half, one by one."""
    r = 0
    k = 0
    while k < 64:
        r = r | ((number(op, w, (a >> k) & mask(w), (b >> k) & mask(w)) & mask(w)) << k)
        k = k + w
    return r


def words(a, b, k):
    """The product of signed words at bit k."""
    return signed(a >> k, 16) * signed(b >> k, 16)


def distance(a, b):
    """The sum of the absolute differences of 8 bytes."""
    r = 0
    k = 0
    while k < 64:
        d = ((a >> k) & 0xff) - ((b >> k) & 0xff)
        r = r + (-d if d < 0 else d)
        k = k + 8
    return r


def calculate(op, w, a, b):
    """a op b for the numbers of w bits in a half."""
    high = ones(w) << (w - 1)
    rest = mask(64) ^ high
    if op == ADD: return a + b if w == 64 else ((a & rest) + (b & rest)) ^ ((a ^ b) & high)
    if op == SUB: return a - b if w == 64 else ((a | high) - (b & rest)) ^ ((a ^ ~b) & high)
    if op == AND: return a & b
    if op == ANDN: return ~a & b
    if op == OR: return a | b
    if op == XOR: return a ^ b
    if op == EQ:
        x = a ^ b
        unlike = (((x & rest) + rest) | x) & high
        return (((unlike ^ high) >> (w - 1)) & ones(w)) * mask(w)
    if op == MULUDQ: return (a & 0xffffffff) * (b & 0xffffffff)
    if op == MADD: return ((words(a, b, 0) + words(a, b, 16)) & 0xffffffff) | ((words(a, b, 32) + words(a, b, 48)) << 32)
    if op == SAD: return distance(a, b)
    return each(op, w, a, b)


def packed(m, i, op, w):
    """dst = dst op src, for all numbers of w bits."""
    begin(m, i)
    if i.dst_kind == MM:
        b = half_src(m, i, 64)
        enter(m)
        put_mm(m, i.dst, calculate(op, w, m.fpu_mantissa[i.dst], b))
    elif i.src_kind == MEM:
        p = aligned(m, i, READ)
        low = read(m, p, 64, m.user)
        high = read(m, behind(p), 64, m.user)
        put_xmm(m, i.dst, calculate(op, w, m.xmm_low[i.dst], low), calculate(op, w, m.xmm_high[i.dst], high))
    else: put_xmm(m, i.dst, calculate(op, w, m.xmm_low[i.dst], m.xmm_low[i.src]), calculate(op, w, m.xmm_high[i.dst], m.xmm_high[i.src]))


def PADD(m, i): packed(m, i, ADD, i.lane)
def PSUB(m, i): packed(m, i, SUB, i.lane)
def PADDS(m, i): packed(m, i, ADDS, i.lane)
def PADDUS(m, i): packed(m, i, ADDUS, i.lane)
def PSUBS(m, i): packed(m, i, SUBS, i.lane)
def PSUBUS(m, i): packed(m, i, SUBUS, i.lane)
def PCMPEQ(m, i): packed(m, i, EQ, i.lane)
def PCMPGT(m, i): packed(m, i, GT, i.lane)
def PMINU(m, i): packed(m, i, MINU, i.lane)
def PMAXU(m, i): packed(m, i, MAXU, i.lane)
def PMINS(m, i): packed(m, i, MINS, i.lane)
def PMAXS(m, i): packed(m, i, MAXS, i.lane)
def PAVG(m, i): packed(m, i, AVG, i.lane)
def PAND(m, i): packed(m, i, AND, 64)
def PANDN(m, i): packed(m, i, ANDN, 64)
def POR(m, i): packed(m, i, OR, 64)
def PXOR(m, i): packed(m, i, XOR, 64)
def PMULLW(m, i): packed(m, i, MULL, 16)
def PMULHW(m, i): packed(m, i, MULH, 16)
def PMULHUW(m, i): packed(m, i, MULHU, 16)
def PMULUDQ(m, i): packed(m, i, MULUDQ, 64)
def PMADDWD(m, i): packed(m, i, MADD, 64)
def PSADBW(m, i): packed(m, i, SAD, 64)
def AND_F(m, i): packed(m, i, AND, 64)
def ANDN_F(m, i): packed(m, i, ANDN, 64)
def OR_F(m, i): packed(m, i, OR, 64)
def XOR_F(m, i): packed(m, i, XOR, 64)


# --- shifts -------------------------------------------------------------------------------------------------------------------------

def right(a, n):
    """64 bits shifted right by 0 to 63."""
    if n == 0: return a
    return ((a >> 1) & mask(63)) >> (n - 1)


def shifted(op, w, a, count):
    """The numbers of w bits in a half, shifted; count is taken as unsigned."""
    if above(count, w - 1):
        if op != ARITHMETIC: return 0
        count = w - 1
    if op == LEFT: return a << count if w == 64 else (a << count) & (((mask(w) << count) & mask(w)) * ones(w))
    if op == RIGHT: return right(a, count) if w == 64 else (a >> count) & ((mask(w) >> count) * ones(w))
    return each_shifted(w, a, count)


def each_shifted(w, a, count):
    r = 0
    k = 0
    while k < 64:
        r = r | (((signed(a >> k, w) >> count) & mask(w)) << k)
        k = k + w
    return r


def count_src(m, i):
    """The low half of the source."""
    if i.src_kind == MEM and i.dst_kind == XMM: return read(m, aligned(m, i, READ), 64, m.user)
    if i.src_kind == MEM or i.src_kind == MM or i.src_kind == XMM: return half_src(m, i, 64)
    return i.imm & 0xff


def shift(m, i, op):
    begin(m, i)
    n = count_src(m, i)
    if i.dst_kind == MM:
        enter(m)
        put_mm(m, i.dst, shifted(op, i.lane, m.fpu_mantissa[i.dst], n))
    else: put_xmm(m, i.dst, shifted(op, i.lane, m.xmm_low[i.dst], n), shifted(op, i.lane, m.xmm_high[i.dst], n))


def PSLL(m, i): shift(m, i, LEFT)
def PSRL(m, i): shift(m, i, RIGHT)
def PSRA(m, i): shift(m, i, ARITHMETIC)


def PSRLDQ(m, i):
    """By bytes, across the halves."""
    begin(m, i)
    n = (i.imm & 0xff) << 3
    low = m.xmm_low[i.dst]
    high = m.xmm_high[i.dst]
    if n == 0: put_xmm(m, i.dst, low, high)
    elif n > 127: put_xmm(m, i.dst, 0, 0)
    elif n > 63: put_xmm(m, i.dst, right(high, n - 64), 0)
    else: put_xmm(m, i.dst, right(low, n) | (high << (64 - n)), right(high, n))


def PSLLDQ(m, i):
    begin(m, i)
    n = (i.imm & 0xff) << 3
    low = m.xmm_low[i.dst]
    high = m.xmm_high[i.dst]
    if n == 0: put_xmm(m, i.dst, low, high)
    elif n > 127: put_xmm(m, i.dst, 0, 0)
    elif n > 63: put_xmm(m, i.dst, 0, low << (n - 64))
    else: put_xmm(m, i.dst, low << n, (high << n) | right(low, 64 - n))


# --- other places ---------------------------------------------------------------------------------------------------------------------

def spread(w, v):
    """The numbers of w bits of 32 bits, with as much room behind each."""
    v = v & 0xffffffff
    if w < 32: v = (v | (v << 16)) & 0x0000ffff0000ffff
    if w < 16: v = (v | (v << 8)) & 0x00ff00ff00ff00ff
    return v


def interleave(w, a, b):
    """Numbers of w bits of the low 32 bits of a and b, by turns."""
    return spread(w, a) | (spread(w, b) << w)


def unpack(m, i, a, b):
    """By turns: the numbers of half a and of half b."""
    if i.lane == 64: put_xmm(m, i.dst, a, b)
    else: put_xmm(m, i.dst, interleave(i.lane, a, b), interleave(i.lane, a >> 32, b >> 32))


def UNPCK_LOW(m, i):
    begin(m, i)
    if i.dst_kind == MM:
        b = half_src(m, i, 32)
        enter(m)
        put_mm(m, i.dst, interleave(i.lane, m.fpu_mantissa[i.dst], b))
    elif i.src_kind == MEM: unpack(m, i, m.xmm_low[i.dst], read(m, aligned(m, i, READ), 64, m.user))
    else: unpack(m, i, m.xmm_low[i.dst], m.xmm_low[i.src])


def UNPCK_HIGH(m, i):
    begin(m, i)
    if i.dst_kind == MM:
        b = half_src(m, i, 64)
        enter(m)
        put_mm(m, i.dst, interleave(i.lane, m.fpu_mantissa[i.dst] >> 32, b >> 32))
    else:
        p = source(m, i)
        low_src(m, i, p)
        unpack(m, i, m.xmm_high[i.dst], high_src(m, i, p))


def narrowed(w, least, greatest, a):
    """The signed numbers of w bits in a half, saturated and half as wide: 32 bits."""
    r = 0
    k = 0
    while k < 64:
        r = r | ((clamp(signed(a >> k, w), least, greatest) & mask(w >> 1)) << (k >> 1))
        k = k + w
    return r


def pack(m, i, least, greatest):
    begin(m, i)
    if i.dst_kind == MM:
        b = half_src(m, i, 64)
        enter(m)
        put_mm(m, i.dst, narrowed(i.lane, least, greatest, m.fpu_mantissa[i.dst]) | (narrowed(i.lane, least, greatest, b) << 32))
    elif i.src_kind == MEM:
        p = aligned(m, i, READ)
        low = read(m, p, 64, m.user)
        pack_halves(m, i, least, greatest, low, read(m, behind(p), 64, m.user))
    else: pack_halves(m, i, least, greatest, m.xmm_low[i.src], m.xmm_high[i.src])


def pack_halves(m, i, least, greatest, low, high):
    mine = narrowed(i.lane, least, greatest, m.xmm_low[i.dst]) | (narrowed(i.lane, least, greatest, m.xmm_high[i.dst]) << 32)
    put_xmm(m, i.dst, mine, narrowed(i.lane, least, greatest, low) | (narrowed(i.lane, least, greatest, high) << 32))


def PACKS(m, i): pack(m, i, -(1 << ((i.lane >> 1) - 1)), (1 << ((i.lane >> 1) - 1)) - 1)
def PACKUS(m, i): pack(m, i, 0, 255)


def shuffled(v, order):
    """The words of a half, as the bit pairs of `order` choose them."""
    a = (v >> ((order & 3) << 4)) & 0xffff
    b = (v >> (((order >> 2) & 3) << 4)) & 0xffff
    c = (v >> (((order >> 4) & 3) << 4)) & 0xffff
    d = (v >> (((order >> 6) & 3) << 4)) & 0xffff
    return a | (b << 16) | (c << 32) | (d << 48)


def PSHUFW(m, i):
    begin(m, i)
    v = half_src(m, i, 64)
    enter(m)
    put_mm(m, i.dst, shuffled(v, i.imm))


def low_src(m, i, p):
    """The source's low half; p: where it is if it is memory."""
    return read(m, p, 64, m.user) if i.src_kind == MEM else m.xmm_low[i.src]


def high_src(m, i, p):
    return read(m, behind(p), 64, m.user) if i.src_kind == MEM else m.xmm_high[i.src]


def source(m, i):
    """Where 16 bytes of memory are; 0 for a register."""
    return aligned(m, i, READ) if i.src_kind == MEM else 0


def PSHUFLW(m, i):
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    put_xmm(m, i.dst, shuffled(low, i.imm), high_src(m, i, p))


def PSHUFHW(m, i):
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    put_xmm(m, i.dst, low, shuffled(high_src(m, i, p), i.imm))


def dword(low, high, n):
    """The n-th 32 bits of 128."""
    return ((high if n & 2 else low) >> ((n & 1) << 5)) & 0xffffffff


def PSHUFD(m, i):
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    high = high_src(m, i, p)
    put_xmm(m, i.dst, dword(low, high, i.imm) | (dword(low, high, i.imm >> 2) << 32), dword(low, high, i.imm >> 4) | (dword(low, high, i.imm >> 6) << 32))


def SHUF_F(m, i):
    """The low half is chosen from dst, the high half from src."""
    begin(m, i)
    p = source(m, i)
    low = low_src(m, i, p)
    high = high_src(m, i, p)
    a = m.xmm_low[i.dst]
    b = m.xmm_high[i.dst]
    if i.lane == 64: put_xmm(m, i.dst, b if i.imm & 1 else a, high if i.imm & 2 else low)
    else: put_xmm(m, i.dst, dword(a, b, i.imm) | (dword(a, b, i.imm >> 2) << 32), dword(low, high, i.imm >> 4) | (dword(low, high, i.imm >> 6) << 32))


def MOV_LOW(m, i):
    """MOVLPS MOVLPD: the low half, and memory."""
    begin(m, i)
    if i.dst_kind == MEM: store(m, i.seg, address(m, i), 64, m.xmm_low[i.src])
    else: m.xmm_low[i.dst] = load(m, i.seg, address(m, i), 64)


def MOV_HIGH(m, i):
    begin(m, i)
    if i.dst_kind == MEM: store(m, i.seg, address(m, i), 64, m.xmm_high[i.src])
    else: m.xmm_high[i.dst] = load(m, i.seg, address(m, i), 64)


def MOVHLPS(m, i):
    begin(m, i)
    m.xmm_low[i.dst] = m.xmm_high[i.src]


def MOVLHPS(m, i):
    begin(m, i)
    m.xmm_high[i.dst] = m.xmm_low[i.src]


def MOVMSK(m, i):
    """The signs of the numbers."""
    begin(m, i)
    low = m.xmm_low[i.src]
    high = m.xmm_high[i.src]
    if i.lane == 64: put_reg(m, i.dst, 32, ((low >> 63) & 1) | (((high >> 63) & 1) << 1))
    else: put_reg(m, i.dst, 32, ((low >> 31) & 1) | ((low >> 62) & 2) | (((high >> 31) & 1) << 2) | (((high >> 63) & 1) << 3))
