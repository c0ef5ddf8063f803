"""Video memory as an instruction sees it: what a VGA's graphics controller does between CPU and planes (IBM VGA Technical Reference, "Graphics Controller").

Texts (docs/texts.md), called from the slow paths of emu/mem/access.py. They work on a block of 64-bit words at State's `vga`, which
emu/hw/vga_memory.py fills in from the registers; the constants below are its only description. Memory is 4 planes interleaved, byte 4*n + plane: one
address of all planes is a 32-bit word, and so are the latches; what a register says of a plane or a bit is spread over such a word beforehand.
An access of 16 or 32 bits is one of bytes, upwards.
"""
from emu.isa.language import host_load, host_store

VRAM = 0  # host address of the planes
FIRST, SIZE = 8, 16  # the window: physical address and bytes; none: no access is decoded
SHIFT = 24  # 2 where two address bits choose the plane (chain 4), else 0
ODD = 32  # 1 where address bit 0 chooses between planes and gives way to another bit (chain odd/even), else 0
PAGE = 40  # that bit, unless the window has 128 KB: then address bit 16
BANK, LAST = 48, 56  # added to the address, and the mask of what exists
READ_LOW, READ_PLANE = 64, 72  # address bits that choose the plane to read, and what is added to them
WRITE_LOW, SELECT = 80, 88  # address bits that choose the planes to write, and the planes that 0 chooses
READ_MODE, WRITE_MODE = 96, 104
COMPARE, CARE = 112, 120  # read mode 1: colour compare, the planes that count
SET_RESET, DATA_PLANES = 128, 136  # write mode 0: planes filled from set/reset, the others from the CPU's data
ROTATE, FUNCTION = 144, 152
BIT_MASK, MAP_MASK = 160, 168
LATCHES = 176
BLOCK = 184  # bytes

EACH = 0x01010101  # a byte times this is that byte in all planes
PLANES = tuple(sum(0xff << 8 * plane for plane in range(4) if bits >> plane & 1) for bits in range(16))


def covers(m, physical):
    """Whether the window has this address; m.vga is not 0."""
    return host_load(m.vga + FIRST, 64) <= physical and physical < host_load(m.vga + FIRST, 64) + host_load(m.vga + SIZE, 64)


def place(b, offset):
    """The host address of the planes' bytes for an offset in the window."""
    odd = host_load(b + ODD, 64)
    n = ((offset >> host_load(b + SHIFT, 64)) & ~odd) | (((offset >> 16) | host_load(b + PAGE, 64)) & odd)
    return host_load(b + VRAM, 64) + (((n + host_load(b + BANK, 64)) & host_load(b + LAST, 64)) << 2)


def read_video_byte(b, offset):
    """Loads the latches; read mode 0: a plane's byte, 1: a bit set for each pixel of the colour compared with."""
    latches = host_load(place(b, offset), 32)
    host_store(b + LATCHES, 64, latches)
    plane = (offset & host_load(b + READ_LOW, 64)) | host_load(b + READ_PLANE, 64)
    differs = (latches ^ host_load(b + COMPARE, 64)) & host_load(b + CARE, 64)
    differs = differs | (differs >> 16)
    same = ((differs | (differs >> 8)) & 0xff) ^ 0xff
    return same if host_load(b + READ_MODE, 64) else (latches >> (plane << 3)) & 0xff


def write_video_byte(b, offset, v):
    """Write modes: 0 data or set/reset, 1 latches, 2 data's bits as a colour, 3 set/reset where data and bit mask say so; then function, bit mask, map mask."""
    p = place(b, offset)
    latches = host_load(b + LATCHES, 64)
    mode = host_load(b + WRITE_MODE, 64)
    new = latches
    if mode != 1:
        mask = host_load(b + BIT_MASK, 64)
        turned = (((v | (v << 8)) >> host_load(b + ROTATE, 64)) & 0xff) * EACH
        new = PLANES[v & 15]
        if mode == 0: new = (turned & host_load(b + DATA_PLANES, 64)) | (host_load(b + SET_RESET, 64) & ~host_load(b + DATA_PLANES, 64))
        elif mode == 3:
            new = host_load(b + SET_RESET, 64)
            mask = mask & turned
        function = host_load(b + FUNCTION, 64)
        if function == 1: new = new & latches
        elif function == 2: new = new | latches
        elif function == 3: new = new ^ latches
        new = (new & mask) | (latches & ~mask)
    planes = host_load(b + MAP_MASK, 64) & (host_load(b + SELECT, 64) << ((offset & host_load(b + WRITE_LOW, 64)) << 3))
    host_store(p, 32, (host_load(p, 32) & ~planes) | (new & planes))


def read_video(m, physical, w):
    """w bits at an address that `covers` knows."""
    offset = physical - host_load(m.vga + FIRST, 64)
    v = 0
    k = 0
    while k < w:
        v = v | (read_video_byte(m.vga, offset + (k >> 3)) << k)
        k = k + 8
    return v


def write_video(m, physical, w, v):
    """Writes the low w bits of v at an address that `covers` knows."""
    offset = physical - host_load(m.vga + FIRST, 64)
    k = 0
    while k < w:
        write_video_byte(m.vga, offset + (k >> 3), (v >> k) & 0xff)
        k = k + 8
