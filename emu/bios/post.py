"""Power-on: interrupt vectors, the data areas, the chips as DOS expects them, PCI, the screen (IBM PC/AT Technical Reference, "System BIOS")."""
import struct
from typing import TYPE_CHECKING

from emu.bios import video
from emu.bios.caller import Caller
from emu.bios.disk import Drive
from emu.bios.system import set_ticks
from emu.boot import firmware
from emu.hw.pci import INTERRUPT_LINE, INTERRUPT_PIN, PAM, PAM_READ, PAM_WRITE, PIRQ

if TYPE_CHECKING:
    from emu.bios import Bios

PCI_LINES = (10, 10, 11, 11)
ROUTING_AT, IRQS = 0xf3000, 0xdef8  # the lines that PCI may use
EXTENDED = 0x9fc0  # segment of the extended BIOS data area, 1 KB
ROM = 0xf000
VECTORS = {0x02: 'nmi', 0x05: 'int05', 0x08: 'int08', 0x09: 'int09', 0x0e: 'int0e', 0x10: 'int10', 0x11: 'int11', 0x12: 'int12', 0x13: 'int13', 0x14: 'int14', 0x15: 'int15',
           0x16: 'int16', 0x17: 'int17', 0x18: 'int18', 0x19: 'int19', 0x1a: 'int1a', 0x1d: 'video_parameters', 0x1e: 'diskette', 0x40: 'int40', 0x70: 'int70',
           0x71: 'int71', 0x74: 'int74', 0x75: 'int75'}
MASTER, SLAVE = (0x0a, 0x0b, 0x0c, 0x0d, 0x0f), (0x72, 0x73, 0x76, 0x77)  # lines that nobody serves
CHIPS = (  # port, value: both 8259As (vectors 08h and 70h, IRQ 0 to 2, 6, 8, 12 to 14 open), 8254 (18.2 Hz), level-triggered IRQ 10 and 11 for PCI
    (0x20, 0x11), (0x21, 0x08), (0x21, 0x04), (0x21, 0x01), (0xa0, 0x11), (0xa1, 0x70), (0xa1, 0x02), (0xa1, 0x01), (0x21, 0xb8), (0xa1, 0x8e),
    (0x43, 0x36), (0x40, 0), (0x40, 0), (0x4d1, 0x0c), (0x92, 0x02), (0x61, 0x00))
COM_PORTS, LPT_PORTS = (0x3f8, 0x2f8, 0x3e8, 0x2e8), (0x378, 0x278)
COPROCESSOR, MOUSE, COLOUR_80 = 2, 4, 0x20  # of the equipment word


def power_on(bios: 'Bios', c: Caller) -> None:
    """Everything before INT 19h."""
    bios.start_over()
    bios.memory.write(0, bytes(0x600))
    bios.memory.write(EXTENDED << 4, bytes(1024))
    for port, v in CHIPS: bios.out(port, v)
    vectors(bios)
    bios.pc.pci.assign()
    interrupts(bios)
    tables(bios)
    data_area(bios)
    find_drives(bios)
    set_ticks(bios)
    screen(bios)
    say(bios, f'emu BIOS, {bios.memory.size >> 20} MB\r\n\n')


def screen(bios: 'Bios') -> None:
    """80 x 25 characters in colour, if there is a display adapter."""
    if bios.vga is None: return
    for at, v in ((0x487, 0x60), (0x488, 0xf9), (0x489, 0x51), (0x48a, video.VGA_COLOUR)): bios.put(at, 8, v)
    video.set_mode(bios, 3)


def interrupts(bios: 'Bios') -> None:
    """PIIX's four inputs lead to IRQ 10 and 11; each device is told which one it has."""
    for n, line in enumerate(PCI_LINES): bios.pc.pci.isa.write(PIRQ + n, 8, line)
    for (slot, _), device in bios.pci_devices().items():
        if pin := device.get(INTERRUPT_PIN, 8): device.write(INTERRUPT_LINE, 8, PCI_LINES[slot + pin - 2 & 3])


def tables(bios: 'Bios') -> None:
    """The ROM moves into shadow RAM, and with it what operating systems look for there: ACPI, SMBIOS, PCI's interrupt routing. Then the RAM is read-only."""
    bridge = bios.pc.pci.devices[0, 0]
    bridge.write(PAM, 8, (PAM_READ | PAM_WRITE) << 4)
    bios.memory.write(ROM << 4, bios.image)
    firmware.stand_in(bios.memory, bridge, bios.pc.pm, bios.hardware)
    bios.memory.write(ROUTING_AT, routing())
    bridge.write(PAM, 8, PAM_READ << 4)


def routing() -> bytes:
    """$PIR (Microsoft PCI IRQ Routing Table Specification 1.0): which of PIIX's four inputs each pin of each slot leads to."""
    slots = b''.join(struct.pack('<BB' + 'BH' * 4 + 'BB', 0, slot << 3, *(v for pin in range(4) for v in (PIRQ + (slot - 1 + pin & 3), IRQS)), slot, 0) for slot in range(1, 9))
    head = struct.pack('<4sHHBBHII11xB', b'$PIR', 0x0100, 32 + len(slots), 0, 1 << 3, 0, 0x122e8086, 0, 0)
    return head[:31] + bytes((-sum(head + slots) & 0xff,)) + slots


def vectors(bios: 'Bios') -> None:
    """All 256."""
    for n in range(256): bios.vector(n, ROM, bios.labels['nothing'])
    for n, label in VECTORS.items(): bios.vector(n, ROM, bios.labels[label])
    for n in MASTER: bios.vector(n, ROM, bios.labels['dummy_master'])
    for n in SLAVE: bios.vector(n, ROM, bios.labels['dummy_slave'])
    for n in range(0x60, 0x68): bios.put(4 * n, 32, 0)  # for programs


def data_area(bios: 'Bios') -> None:
    """Ports that answer, sizes, the keyboard's ring."""
    serial = [port for port in COM_PORTS if answers(bios, port + 7)]
    parallel = [port for port in LPT_PORTS if answers(bios, port)]
    for n, port in enumerate(serial): bios.put(0x400 + 2 * n, 16, port)
    for n, port in enumerate(parallel): bios.put(0x408 + 2 * n, 16, port)
    bios.put(0x410, 16, COPROCESSOR | MOUSE | COLOUR_80 | len(serial) << 9 | len(parallel) << 14)
    for at, w, v in ((0x40e, 16, EXTENDED), (0x413, 16, 639), (0x41a, 16, 0x1e), (0x41c, 16, 0x1e), (0x480, 16, 0x1e), (0x482, 16, 0x3e), (0x496, 8, 0x10),
                     (EXTENDED << 4, 8, 1)): bios.put(at, w, v)
    for n in range(4): bios.put(0x47c + n, 8, 10)  # time-outs of COM1 to COM4
    for n in range(3): bios.put(0x478 + n, 8, 20)


def answers(bios: 'Bios', port: int) -> bool:
    """Whether a register keeps what is written."""
    bios.out(port, 0x5a)
    return bios.inp(port) == 0x5a


def find_drives(bios: 'Bios') -> None:
    """INT 13h's drives, from what is plugged in; floppies first, disks in the order of their channels."""
    bios.drives = {}
    numbers = {'hd': 0x80, 'cd': 0xe0, 'floppy': 0x00}
    kinds = {'hd': 'disk', 'cd': 'cd', 'floppy': 'floppy'}
    for name, plugged in sorted(bios.plugged.items()):
        kind = next(k for k in numbers if k in name)
        bios.drives[numbers[kind]] = Drive(kinds[kind], lambda plugged=plugged: plugged.image)  # type: ignore[misc]
        numbers[kind] += 1
    count_drives(bios)


def count_drives(bios: 'Bios') -> None:
    """The data area's numbers of floppies and disks."""
    floppies = sum(n < 0x80 for n in bios.drives)
    bios.put(0x475, 8, sum(0x80 <= n < 0xe0 for n in bios.drives))
    bios.put(0x410, 16, bios.get(0x410, 16) & ~0xc1 | (1 | floppies - 1 << 6 if floppies else 0))


def say(bios: 'Bios', text: str) -> None:
    """Writes on the screen, if there is one."""
    if bios.vga is None: return
    for character in text.encode('cp437', 'replace'): video.teletype(bios, character, 0, 7)
