"""The pointing device: INT 15h AH=C2h, and INT 74h that collects packets and calls the program's handler (IBM PS/2 and PC BIOS Interface Technical Reference)."""
from typing import TYPE_CHECKING

from emu.bios.caller import SPIN, Caller

if TYPE_CHECKING:
    from emu.bios import Bios

EXTENDED = 0x9fc0
HANDLER = 0x22  # in the extended BIOS data area: far pointer
OK, BAD_FUNCTION, BAD_INPUT, NO_HANDLER = 0, 1, 2, 5
RATES = (10, 20, 40, 60, 80, 100, 200)
STATUS, DATA, MOUSE_BYTE = 0x64, 0x60, 0x21


class Pointing:
    """The state between calls."""

    def __init__(self, bios: 'Bios'):
        self.bios = bios
        self.size, self.packet = 3, bytearray()

    def tell(self, *commands: int) -> None:
        """Commands to the mouse itself; its answers are not waited for, they are dropped."""
        device = self.bios.pc.i8042.mouse
        for v in commands:
            device.write(v)
            device.answers.clear()

    def service(self, bios: 'Bios', c: Caller) -> None:
        """INT 15h AH=C2h by AL."""
        status = self.function(bios, c)
        c.ah, c.carry = status, status != OK

    def function(self, bios: 'Bios', c: Caller) -> int:
        """The status."""
        device = bios.pc.i8042.mouse
        match c.al:
            case 0:
                if c.bh > 1: return BAD_INPUT
                if c.bh and not bios.get((EXTENDED << 4) + HANDLER, 32): return NO_HANDLER
                self.open()
                self.tell(0xf4 if c.bh else 0xf5)
            case 1 | 5:
                if c.al == 5:
                    if not 1 <= c.bh <= 8: return BAD_INPUT
                    self.size = c.bh
                self.open()
                self.tell(0xff, 0xf5)
                if c.al == 1: c.bx = 0x00aa
            case 2:
                if c.bh >= len(RATES): return BAD_INPUT
                self.tell(0xf3, RATES[c.bh])
            case 3:
                if c.bh > 3: return BAD_INPUT
                self.tell(0xe8, c.bh)
            case 4: c.bh = device.identity[0]
            case 6:
                if c.bh == 0: c.bl, c.cl, c.dl = device.mode, device.resolution, device.rate
                elif c.bh in (1, 2): self.tell(0xe6 if c.bh == 1 else 0xe7)
                else: return BAD_INPUT
            case 7: bios.put((EXTENDED << 4) + HANDLER, 32, c.es << 16 | c.bx)
            case _: return BAD_FUNCTION
        self.packet.clear()
        return OK

    def open(self) -> None:
        """The controller's mouse port and its interrupt are on."""
        self.bios.pc.i8042.set_ram(0, self.bios.pc.i8042.ram[0] & ~0x20 | 2)


def interrupt(bios: 'Bios', c: Caller) -> str | None:
    """INT 74h: a byte; with the last of a packet the stub calls the handler with status, X, Y and Z."""
    pointing = bios.mouse
    if bios.inp(STATUS) & MOUSE_BYTE != MOUSE_BYTE: return None
    byte = bios.inp(DATA)
    if not pointing.packet and not byte & 8 and pointing.size >= 3: return None  # not the first byte of a packet
    pointing.packet.append(byte)
    if len(pointing.packet) < pointing.size: return None
    packet = bytes(pointing.packet).ljust(4, b'\0')
    pointing.packet.clear()
    if not bios.get((EXTENDED << 4) + HANDLER, 32): return None
    c.ax, c.bx, c.cx, c.dx, c.si = packet[0], packet[1], packet[2], packet[3] if pointing.size > 3 else 0, EXTENDED
    return SPIN
