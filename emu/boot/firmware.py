"""Firmware: BIOS images in their places, and what the firmware is told through fw_cfg (emu/hw/fw_cfg.py; keys: QEMU, include/standard-headers/linux/qemu_fw_cfg.h
and hw/i386/fw_cfg.h).
"""
import struct
from typing import Callable, NamedTuple

from emu.boot import acpi, smbios
from emu.boot.acpi import Hardware
from emu.boot.files import read_file
from emu.errors import EmuError
from emu.hw.acpi import PMBA, PMREGMISC, SMBBA, SMBHSTCFG, PowerManagement
from emu.hw.fw_cfg import Content, Firmware
from emu.hw.pci import PAM, PAM_READ, PAM_WRITE, PciDevice
from emu.mem.memory import SHADOW_END, Memory

UNIT, LARGEST, VISIBLE = 0x10000, 16 << 20, 0x20000  # an image is so many bytes, at most; of which the last show below 1 MB
VGA_LARGEST = 0x10000
RAM_SIZE, NOGRAPHIC, CPUS, BOOT_MENU, MAX_CPUS = 0x03, 0x04, 0x05, 0x0e, 0x0f  # items
SLEEP_STATES = bytes((0x80, 0, 0, 0, 0, 0x80))  # S0 to S5: bit 7 of those there are, and their numbers in PM1 control
ACPI_AT, SMBIOS_AT, PM_BASE, SMB_BASE = 0xf0000, 0xf2000, 0x600, 0x700  # where there is no firmware but our own
RAM = 1  # ACPI 6, 15.1


class Boot(NamedTuple):
    """-boot: drives as letters (a floppy, c disk, d CD, n network), those of the first boot only, the menu and how long it shows."""

    order: str = 'cad'
    once: str = ''
    menu: bool = False
    wait: int | None = None  # milliseconds


def load_bios(memory: Memory, path: str) -> None:
    """The BIOS ends at 4 GB; its last 128 KB also below 1 MB, where the processor starts after a jump and shadow RAM may take their place."""
    image = read_file(path)
    if len(image) % UNIT or len(image) > LARGEST: raise EmuError(f'{path}: no BIOS: {len(image)} bytes; an image has 64K to 16M in steps of 64K')
    place_bios(memory, image)


def place_bios(memory: Memory, image: bytes) -> None:
    """Maps it."""
    memory.add_rom(image, (1 << 32) - len(image))
    low = image[-VISIBLE:]
    memory.add_rom(low, SHADOW_END - len(low))


def read_vga_bios(path: str) -> bytes:
    """A VGA BIOS: a ROM with the signature of one (PCI Firmware 3.0, 5.1)."""
    image = read_file(path)
    if image[:2] != b'\x55\xaa' or len(image) > VGA_LARGEST: raise EmuError(f'{path}: no VGA BIOS: it begins with no 55AA, or is larger than 64K')
    return image


def told(memory: int, boot: Boot, hardware: Callable[[], Hardware]) -> Firmware:
    """What the firmware of a machine with so much memory finds; `hardware` is looked at when firmware asks for ACPI tables."""
    items = {RAM_SIZE: struct.pack('<Q', memory), NOGRAPHIC: b'\0\0', CPUS: b'\1\0', MAX_CPUS: b'\1\0', BOOT_MENU: bytes((boot.menu, 0))}
    structures = smbios.tables(memory)
    files: dict[str, Content] = {
        'etc/e820': struct.pack('<QQI', 0, memory, RAM), 'etc/system-states': SLEEP_STATES,
        acpi.TABLES_FILE: lambda: acpi.build(hardware()).block, acpi.RSDP_FILE: lambda: acpi.build(hardware()).rsdp(),
        acpi.LOADER_FILE: lambda: acpi.build(hardware()).loader(),
        smbios.TABLES_FILE: structures, smbios.ANCHOR_FILE: smbios.anchor(structures)}
    if boot.wait is not None: files['etc/boot-menu-wait'] = struct.pack('<H', min(boot.wait, 0xffff))
    return Firmware(items, files, boot.once or boot.order)


def stand_in(memory: Memory, bridge: PciDevice, pm: PowerManagement, hardware: Callable[[], Hardware]) -> None:
    """For a kernel that is loaded without firmware, and for our own: the power management's and the SMBus's ports, and tables in shadow RAM at F0000h."""
    bridge.write(PAM, 8, (PAM_READ | PAM_WRITE) << 4)
    pm.write(PMBA, 32, PM_BASE)
    pm.write(PMREGMISC, 8, 1)
    pm.write(SMBBA, 32, SMB_BASE)
    pm.write(SMBHSTCFG, 8, 1)
    acpi.build(hardware()).place(memory, ACPI_AT)
    structures = smbios.tables(memory.size)
    memory.write(SMBIOS_AT, smbios.anchor(structures, SMBIOS_AT + 32).ljust(32, b'\0') + structures)
