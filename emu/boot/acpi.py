"""ACPI tables for this machine (ACPI 1.0b and, for the FADT, 2.0): RSDP, RSDT, FADT, FACS and a DSDT in our own AML.

They are made as one block in which pointers are offsets; `Tables.loader` tells firmware (QEMU's etc/table-loader) how to
place it, `Tables.place` does it for a kernel without firmware. No MADT: there is no APIC. No S1 to S4.
"""
import struct
from typing import NamedTuple

from emu.boot import aml
from emu.boot.aml import ARG0, BUS, BYTE_ACCESS, IO, MEMORY, PCI_CONFIG, ZERO, Reference, eisa_id
from emu.mem.memory import Memory

OEM, TABLE_ID, CREATOR = b'EMU   ', b'EMUPC   ', b'EMU '
TABLES_FILE, RSDP_FILE, LOADER_FILE = 'etc/acpi/tables', 'etc/acpi/rsdp', 'etc/table-loader'
HIGH, FSEG = 1, 2  # zones of the table-loader
SCI = 9
ACPI_ENABLE, ACPI_DISABLE, SMI_COMMAND = 0xf1, 0xf0, 0xb2
RESET_PORT, RESET_VALUE = 0xcf9, 0x06
PM1_EVENT, PM1_CONTROL, PM_TIMER, GPE0 = 0x00, 0x04, 0x08, 0x0c  # offsets in the power management ports (82371AB)
COM = (0x3f8, 4), (0x2f8, 3), (0x3e8, 4), (0x2e8, 3)
# FADT flags: WBINVD; C1; power button and sleep button: the first is fixed, there is no second; RTC wakes nobody; reset register.
FLAGS = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10
LEGACY_DEVICES, HAS_8042 = 1, 2  # FADT, IAPC_BOOT_ARCH


class Hardware(NamedTuple):
    """What the tables tell of: bytes of RAM, where firmware put the power management ports and the SMBus, which of COM1 to COM4 there are.

    The size of the tables does not depend on where firmware put things: it looks at the size first.
    """

    memory: int
    pm_base: int
    smb_base: int
    serial: tuple[int, ...] = (0,)
    floppy: bool = False
    parallel: bool = False


class Tables(NamedTuple):
    """`block` begins with the FACS; `pointers` are offsets of 32-bit offsets in it, `sums` (offset, length) of tables, whose byte 9 is the checksum; `rsdt` its place."""

    block: bytes
    pointers: tuple[int, ...]
    sums: tuple[tuple[int, int], ...]
    rsdt: int

    def rsdp(self) -> bytes:
        """The root pointer, revision 0, with the RSDT's offset and without checksum."""
        return b'RSD PTR \0' + OEM + b'\0' + struct.pack('<I', self.rsdt)

    def loader(self) -> bytes:
        """etc/table-loader: commands of 128 bytes (allocate, add pointer, add checksum)."""
        def command(code: int, form: str, *fields: object) -> bytes:
            return struct.pack('<I' + form, code, *fields).ljust(128, b'\0')
        tables, rsdp = TABLES_FILE.encode(), RSDP_FILE.encode()
        commands = [command(1, '56sIB', rsdp, 16, FSEG), command(1, '56sIB', tables, 64, HIGH)]
        commands += [command(2, '56s56sIB', tables, tables, at, 4) for at in self.pointers]
        commands += [command(3, '56sIII', tables, at + 9, at, length) for at, length in self.sums]
        commands += [command(2, '56s56sIB', rsdp, tables, 16, 4), command(3, '56sIII', rsdp, 8, 0, 20)]
        return b''.join(commands)

    def place(self, memory: Memory, at: int) -> None:
        """The root pointer at `at` (16 bytes aligned, in E0000h to FFFFFh), the tables 64 bytes behind."""
        base, block = at + 64, bytearray(self.block)
        for pointer in self.pointers: struct.pack_into('<I', block, pointer, base + struct.unpack_from('<I', block, pointer)[0])
        for start, length in self.sums: block[start + 9] = -sum(block[start:start + length]) & 0xff
        rsdp = bytearray(self.rsdp())
        struct.pack_into('<I', rsdp, 16, base + self.rsdt)
        rsdp[8] = -sum(rsdp) & 0xff
        memory.write(at, bytes(rsdp).ljust(64, b'\0') + block)


def build(hardware: Hardware) -> Tables:
    """All tables of a machine."""
    facs = struct.pack('<4sI', b'FACS', 64).ljust(64, b'\0')
    dsdt = table(b'DSDT', 1, dsdt_code(hardware))
    fadt = table(b'FACP', 3, fadt_body(hardware, 0, len(facs)))
    at_fadt = -(-(len(facs) + len(dsdt)) // 16) * 16
    at_rsdt = at_fadt + -(-len(fadt) // 16) * 16
    rsdt = table(b'RSDT', 1, struct.pack('<I', at_fadt))
    block = (facs + dsdt).ljust(at_fadt, b'\0') + fadt
    block = block.ljust(at_rsdt, b'\0') + rsdt
    return Tables(block, (at_fadt + 36, at_fadt + 40, at_rsdt + 36), ((len(facs), len(dsdt)), (at_fadt, len(fadt)), (at_rsdt, len(rsdt))), at_rsdt)


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A table with its header (5.2.6), without checksum."""
    return struct.pack('<4sIBB6s8sI4sI', signature, 36 + len(body), revision, 0, OEM, TABLE_ID, 1, CREATOR, 1) + body


def fadt_body(hardware: Hardware, facs: int, dsdt: int) -> bytes:
    """The fixed description (ACPI 2.0, 5.2.8) behind its header."""
    blocks = {place: hardware.pm_base + place for place in (PM1_EVENT, PM1_CONTROL, PM_TIMER, GPE0)}
    body = struct.pack('<IIBBHIBBBB', facs, dsdt, 0, 0, SCI, SMI_COMMAND, ACPI_ENABLE, ACPI_DISABLE, 0, 0)
    body += struct.pack('<8I', blocks[PM1_EVENT], 0, blocks[PM1_CONTROL], 0, 0, blocks[PM_TIMER], blocks[GPE0], 0)
    body += struct.pack('<8B', 4, 2, 0, 4, 4, 0, 0, 0)  # lengths; no second GPE block, no _CST
    body += struct.pack('<HHHHBBBBBHBI', 0xfff, 0xfff, 0, 0, 0, 0, 0, 0, 0x32, LEGACY_DEVICES | HAS_8042, 0, FLAGS)  # no C2, no C3; the RTC's century
    body += address(8, RESET_PORT) + bytes((RESET_VALUE, 0, 0, 0)) + bytes(16)
    none = address(0, 0)
    return body + address(32, blocks[PM1_EVENT]) + none + address(16, blocks[PM1_CONTROL]) + none + none + address(32, blocks[PM_TIMER]) + address(32, blocks[GPE0]) + none


def address(bits: int, port: int) -> bytes:
    """A generic address structure (5.2.3.1) of a port."""
    return struct.pack('<BBBBQ', bool(bits), bits, 0, 0, port)


# --- the DSDT ----------------------------------------------------------------------------------------------------------------------------

def dsdt_code(hardware: Hardware) -> bytes:
    r"""\_S5 and the PCI bus with what is on it; a soft-off type of 0 is the 82371AB's."""
    return aml.named(r'\_S5', (0, 0, 0, 0)) + aml.scope(r'\_SB', aml.device('PCI0', *pci(hardware)), *(link(n) for n in range(4)))


def pci(hardware: Hardware) -> list[bytes]:
    """The root bus: its windows, its interrupts, the ISA bridge."""
    hole = next(start for start in (0x80000000, 0xc0000000, 0xe0000000) if hardware.memory <= start)  # where SeaBIOS begins to place devices
    windows = aml.resources(aml.window(BUS, 0, 0xff), aml.io(0xcf8, 8), aml.window(IO, 0, 0xcf7), aml.window(IO, 0xd00, 0xffff),
                            aml.window(MEMORY, 0xa0000, 0xbffff), aml.window(MEMORY, hole, 0xfebfffff))
    return [hid('PNP0A03'), aml.named('_UID', 1), aml.named('_CRS', windows), aml.named('_PRT', routing()),
            aml.device('ISA', aml.named('_ADR', 0x10000), aml.region('PIRQ', PCI_CONFIG, 0x60, 4),
                       aml.field('PIRQ', BYTE_ACCESS, *((f'PRQ{n}', 8) for n in range(4))), *isa_devices(hardware))]


def hid(text: str) -> bytes:
    """_HID."""
    return aml.named('_HID', eisa_id(text))


def routing() -> tuple[aml.Value, ...]:
    """_PRT: pins INTA# to INTD# of each slot turn through the links (440FX boards; emu/hw/pci.py); slot 1's INTA# is the power management's, which has the SCI."""
    entries: list[aml.Value] = []
    for slot in range(1, 32):
        for pin in range(4):
            source: tuple[aml.Value, aml.Value] = (0, SCI) if (slot, pin) == (1, 0) else (Reference(rf'\_SB.LNK{"ABCD"[(pin + slot - 1) % 4]}'), 0)
            entries.append((slot << 16 | 0xffff, pin, *source))
    return tuple(entries)


def link(n: int) -> bytes:
    """PIRQA to PIRQD of the 82371SB: bit 7 of its register switches it off."""
    register = aml.name(rf'\_SB.PCI0.ISA.PRQ{n}')
    off, number = aml.and_(register, aml.value(0x80)), aml.and_(register, aml.value(15))
    now = aml.name('BUFF')
    return aml.device(
        f'LNK{"ABCD"[n]}', hid('PNP0C0F'), aml.named('_UID', n + 1), aml.named('_PRS', aml.resources(aml.interrupts(5, 10, 11))),
        aml.method('_STA', 0, aml.if_(off, aml.return_(aml.value(9))), aml.return_(aml.value(11))),
        aml.method('_DIS', 0, aml.or_(register, aml.value(0x80), register)),
        aml.named('BUFF', aml.resources(aml.interrupts(0))),
        aml.method('_CRS', 0, aml.create_dword_field(now, 5, 'IRQN'), aml.store(number, aml.name('IRQN')), aml.if_(off, aml.store(ZERO, aml.name('IRQN'))), aml.return_(now)),
        aml.method('_SRS', 1, aml.create_dword_field(ARG0, 5, 'NEXT'), aml.store(aml.name('NEXT'), register)))


def isa_devices(hardware: Hardware) -> list[bytes]:
    """What every PC has, and what this one has."""
    io, irq = aml.io, aml.irq
    devices = [
        ('PIC', 'PNP0000', (io(0x20, 2), io(0xa0, 2), io(0x4d0, 2), irq(2))),
        ('TIMR', 'PNP0100', (io(0x40, 4), irq(0))),
        ('DMAC', 'PNP0200', (io(0, 16), io(0x80, 16), io(0xc0, 32), aml.dma(4))),
        ('SPKR', 'PNP0800', (io(0x61, 1),)),
        ('FPU', 'PNP0C04', (io(0xf0, 16), irq(13))),
        ('RTC', 'PNP0B00', (io(0x70, 2), irq(8))),
        ('KBD', 'PNP0303', (io(0x60, 1), io(0x64, 1), irq(1))),
        ('MOU', 'PNP0F13', (irq(12),)),
        *((f'COM{n + 1}', 'PNP0501', (io(COM[n][0], 8), irq(COM[n][1]))) for n in hardware.serial),
    ]
    if hardware.floppy: devices.append(('FDC', 'PNP0700', (io(0x3f2, 4), io(0x3f7, 1), irq(6), aml.dma(2))))
    if hardware.parallel: devices.append(('LPT1', 'PNP0400', (io(0x378, 8), irq(7))))
    devices.append(('MBRD', 'PNP0C02', (io(hardware.pm_base, 64), io(SMI_COMMAND, 2), io(hardware.smb_base, 16))))
    uids = {f'COM{n + 1}': n + 1 for n in hardware.serial}
    return [aml.device(label, hid(identity), *([aml.named('_UID', uids[label])] if label in uids else []), aml.named('_CRS', aml.resources(*what)))
            for label, identity, what in devices]
