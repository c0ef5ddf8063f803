"""INT 11h, 12h, 14h, 15h, 17h and 1Ah: equipment, memory, serial and parallel ports, system services, the clock, PCI (IBM PS/2 and PC BIOS Interface
Technical Reference; ACPI 6, 15.1 for E820h; PCI BIOS Specification 2.1).

Left out of INT 15h: the cassette, 89h (to protected mode), 83h (event wait), APM (53h; ACPI's tables are there) and joysticks. Bulk copies (87h) need no mode
switch: memory is just copied.
"""
import struct
from typing import TYPE_CHECKING

from emu.bios.caller import SPIN, WAIT, Caller
from emu.boot.entry import memory_map

if TYPE_CHECKING:
    from emu.bios import Bios

EQUIPMENT, MEMORY, TICKS, MIDNIGHT, COM, LPT = 0x410, 0x413, 0x46c, 0x470, 0x400, 0x408  # in the BIOS data area
SMAP = 0x534d4150
UNSUPPORTED = 0x86
PERIOD, PERIODIC = 2_000_000, 0x40  # ns between two looks at least; register B's bit for the periodic interrupt
BAUD = (0x417, 0x300, 0x180, 0xc0, 0x60, 0x30, 0x18, 0x0c)  # divisors of 110 to 9600 baud


def equipment(bios: 'Bios', c: Caller) -> None:
    """INT 11h."""
    c.ax = bios.get(EQUIPMENT, 16)


def memory_size(bios: 'Bios', c: Caller) -> None:
    """INT 12h: kilobytes below the extended BIOS data area."""
    c.ax = bios.get(MEMORY, 16)


# --- INT 15h -----------------------------------------------------------------------------------------------------------------------

def service_15(bios: 'Bios', c: Caller) -> str | None:
    """INT 15h by AH."""
    if c.ah == 0x86: return wait(bios, c)
    function = FUNCTIONS_15.get(c.ah)
    if function: function(bios, c)
    else: c.ah, c.carry = UNSUPPORTED, True
    return None


def intercept(bios: 'Bios', c: Caller) -> None:
    """4Fh: the keyboard's scan code goes on as it is."""
    c.carry = True


def extended_memory(bios: 'Bios', c: Caller) -> None:
    """88h: kilobytes above 1 MB, as far as the programs of its time can count."""
    c.ax, c.carry = min(max((bios.memory.size >> 10) - 1024, 0), 0xfc00), False


def device_busy(bios: 'Bios', c: Caller) -> None:
    """90h, 91h: a device waits, or is done: nobody does something else meanwhile."""
    c.ah, c.carry = 0, False


def configuration(bios: 'Bios', c: Caller) -> None:
    """C0h: ES:BX points to the system's description."""
    c.es, c.bx, c.ah, c.carry = 0xf000, bios.labels['configuration'], 0, False


def extended_data(bios: 'Bios', c: Caller) -> None:
    """C1h: the segment of the extended BIOS data area."""
    c.es, c.carry = bios.get(0x40e, 16), False


def pointing(bios: 'Bios', c: Caller) -> None:
    """C2h: the mouse."""
    bios.mouse.service(bios, c)


def a20(bios: 'Bios', c: Caller) -> None:
    """24h: AL 0 off, 1 on, 2 asks, 3 says how it is done: by the keyboard controller and port 92h."""
    c.carry = c.al > 3
    if c.al > 3: c.ah = UNSUPPORTED
    else:
        if c.al < 2: bios.out(0x92, bios.inp(0x92) & ~3 | c.al << 1)
        if c.al == 2: c.al = bios.inp(0x92) >> 1 & 1
        if c.al == 3: c.bx = 3
        c.ah = 0


def wait(bios: 'Bios', c: Caller) -> str | None:
    """86h: CX:DX microseconds pass; the clock's periodic interrupt (976 us) wakes the processor."""
    now = bios.clock.now()
    if bios.until is None: bios.until = now + (c.cx << 16 | c.dx) * 1000
    if now < bios.until:
        if bios.until - now < PERIOD: return SPIN
        bios.set_cmos(0x0b, bios.cmos(0x0b) | PERIODIC)
        return WAIT
    bios.set_cmos(0x0b, bios.cmos(0x0b) & ~PERIODIC)
    bios.until, c.carry = None, False
    return None


def block_move(bios: 'Bios', c: Caller) -> None:
    """87h: CX words between the descriptors at ES:SI + 10h and + 18h."""
    table = c.read(c.es, c.si, 48)
    a, b = (table[at + 2] | table[at + 3] << 8 | table[at + 4] << 16 | table[at + 7] << 24 for at in (0x10, 0x18))
    count = c.cx * 2
    bios.memory.write(b, bios.memory.read(a, count))
    c.ah, c.carry, c.zero = 0, False, True


def big_memory(bios: 'Bios', c: Caller) -> None:
    """E801h: kilobytes up to 16 MB, 64 KB above; E820h: the map, entry by entry; E881h: E801h in 32 bits."""
    size = bios.memory.size
    if c.al in (0x01, 0x81):
        low, high = min(max(size - (1 << 20), 0) >> 10, 0x3c00), max(size - (16 << 20), 0) >> 16
        c.ax = c.cx = low
        c.bx = c.dx = high
        if c.al == 0x81:
            for n, v in ((0, low), (1, low), (2, high), (3, high)): c.m.reg[n] = v
        c.carry = False
    elif c.al == 0x20 and c.m.reg[2] == SMAP and c.m.reg[1] >= 20:
        entries = memory_map(size)
        n = c.m.reg[3]
        if n >= len(entries):
            c.ah, c.carry = UNSUPPORTED, True
            return
        first, length, kind = entries[n]
        c.write(c.es, c.di, struct.pack('<QQI', first, length, kind))
        c.m.reg[0], c.m.reg[1], c.m.reg[3] = SMAP, 20, n + 1 if n + 1 < len(entries) else 0
        c.carry = False
    else: c.ah, c.carry = UNSUPPORTED, True


FUNCTIONS_15 = {0x24: a20, 0x4f: intercept, 0x87: block_move, 0x88: extended_memory, 0x90: device_busy, 0x91: device_busy, 0xc0: configuration, 0xc1: extended_data,
                0xc2: pointing, 0xe8: big_memory}


# --- INT 14h and 17h: ports -----------------------------------------------------------------------------------------------------------

def serial(bios: 'Bios', c: Caller) -> None:
    """INT 14h: 00h initialises, 01h sends, 02h receives, 03h tells the state; DX chooses COM1 to COM4."""
    base = bios.get(COM + 2 * c.dx, 16) if c.dx < 4 else 0
    if not base: return
    if c.ah == 0:
        divisor = BAUD[c.al >> 5]
        for port, v in ((3, 0x80), (0, divisor & 0xff), (1, divisor >> 8), (3, c.al & 0x1f), (1, 0)): bios.out(base + port, v)
    elif c.ah == 1: bios.out(base, c.al)
    elif c.ah == 2:
        if not bios.inp(base + 5) & 1:
            c.ah = 0x80
            return
        c.al = bios.inp(base)
    elif c.ah != 3: return
    if c.ah in (0, 3): c.al = bios.inp(base + 6)
    c.ah = bios.inp(base + 5)


def printer(bios: 'Bios', c: Caller) -> None:
    """INT 17h: 00h prints, 01h initialises, 02h tells the state; DX chooses LPT1 to LPT3."""
    base = bios.get(LPT + 2 * c.dx, 16) if c.dx < 3 else 0
    if not base:
        c.ah = 1
        return
    if c.ah == 0:
        bios.out(base, c.al)
        bios.out(base + 2, 0x0d)
        bios.out(base + 2, 0x0c)
    elif c.ah == 1:
        bios.out(base + 2, 8)
        bios.out(base + 2, 0x0c)
    c.ah = (bios.inp(base + 1) ^ 0x48) & 0xf8


# --- INT 1Ah: the clock, PCI ------------------------------------------------------------------------------------------------------------

def clock(bios: 'Bios', c: Caller) -> None:
    """INT 1Ah by AH; B1h is the PCI BIOS."""
    c.carry = False
    match c.ah:
        case 0x00:
            ticks = bios.get(TICKS, 32)
            c.cx, c.dx, c.al = ticks >> 16, ticks, bios.get(MIDNIGHT, 8)
            bios.put(MIDNIGHT, 8, 0)
        case 0x01:
            bios.put(TICKS, 32, c.cx << 16 | c.dx)
            bios.put(MIDNIGHT, 8, 0)
        case 0x02: c.ch, c.cl, c.dh, c.dl = bios.cmos(4), bios.cmos(2), bios.cmos(0), bios.cmos(0x0b) & 1
        case 0x03:
            for at, v in ((4, c.ch), (2, c.cl), (0, c.dh)): bios.set_cmos(at, v)
        case 0x04: c.ch, c.cl, c.dh, c.dl = bios.cmos(0x32), bios.cmos(9), bios.cmos(8), bios.cmos(7)
        case 0x05:
            for at, v in ((0x32, c.ch), (9, c.cl), (8, c.dh), (7, c.dl)): bios.set_cmos(at, v)
        case 0x06:
            for at, v in ((5, c.ch), (3, c.cl), (1, c.dh)): bios.set_cmos(at, v)
            bios.set_cmos(0x0b, bios.cmos(0x0b) | 0x20)
        case 0x07: bios.set_cmos(0x0b, bios.cmos(0x0b) & ~0x20)
        case 0xb1: pci(bios, c)
        case _: c.carry = True


def clock_interrupt(bios: 'Bios', c: Caller) -> str | None:
    """IRQ 8: the alarm calls INT 4Ah."""
    return SPIN if bios.cmos(0x0c) & 0x20 else None


PCI_OK, PCI_UNSUPPORTED, PCI_BAD_VENDOR, PCI_NOT_FOUND, PCI_BAD_REGISTER = 0, 0x81, 0x83, 0x86, 0x87


def pci(bios: 'Bios', c: Caller) -> None:
    """PCI BIOS 2.1: presence, finding devices, their configuration space."""
    function, m = c.al & 0x7f, c.m
    devices = bios.pci_devices()
    status = PCI_OK
    if function == 1:
        m.reg[2], c.al, c.bx, c.cl = 0x20494350, 1, 0x0210, 0
    elif function in (2, 3):
        if function == 2 and c.dx == 0xffff: status = PCI_BAD_VENDOR
        else:
            found = [place for place, d in sorted(devices.items())
                     if (d.get(0, 16) == c.dx and d.get(2, 16) == c.cx if function == 2 else d.get(8, 32) >> 8 == m.reg[1] & 0xffffff)]
            if c.si < len(found): c.bx = found[c.si][0] << 3 | found[c.si][1]
            else: status = PCI_NOT_FOUND
    elif 8 <= function <= 13:
        w, device = 8 << (function - 8) % 3, devices.get((c.bl >> 3, c.bl & 7)) if c.bh == 0 else None
        if c.di > 0xff or c.di & (w // 8 - 1): status = PCI_BAD_REGISTER
        elif function < 11: m.reg[1] = m.reg[1] & ~((1 << w) - 1) | (device.get(c.di, w) if device else (1 << w) - 1)
        elif device: device.write(c.di, w, m.reg[1] & (1 << w) - 1)
    else: status = PCI_UNSUPPORTED
    c.ah, c.carry = status, status != PCI_OK


def set_ticks(bios: 'Bios') -> None:
    """The tick count from the clock's time of day."""
    hours, minutes, seconds = (int(f'{bios.cmos(at):02x}') if f'{bios.cmos(at):02x}'.isdigit() else 0 for at in (4, 2, 0))
    bios.put(TICKS, 32, int((hours * 3600 + minutes * 60 + seconds) * 1193182 / 65536))
