"""A BIOS of our own, for machines without a download: it starts floppies, hard disks and CDs of the DOS and Linux kind (-bios own).

The ROM (rom.s) is a page of assembly: each service's interrupt pushes its number and writes to a port, which calls the Python function here that does the
work, on the caller's registers and memory (caller.py). So a service is as short as its description. What programs look for in memory, the data area at 40:0,
tables at fixed addresses, is there. Left out: setup screens, network boot, APM, protected-mode entries, and what each service's file names.

    rom.s        the ROM: entry, stubs, interrupts of devices        post.py      power-on: vectors, data area, chips, PCI
    caller.py    registers and memory of whoever calls               boot.py      INT 18h, 19h: boot sectors, El Torito
    video.py     INT 10h    modes.py  its modes    vbe.py  VESA's    disk.py      INT 13h
    keyboard.py  INT 09h, 16h                                        system.py    INT 11h, 12h, 14h, 15h, 17h, 1Ah    mouse.py  INT 74h and 15h C2h
"""
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Callable, Mapping

from emu import cache as store
from emu.assembler import assemble_object, link
from emu.bios import boot, disk, keyboard, mouse, post, system, vbe, video
from emu.bios.caller import CF, SPIN, WAIT, ZF, Caller, guarded
from emu.boot.acpi import Hardware
from emu.hw.pc import Pc
from emu.isa.flags import set_arithmetic_flags
from emu.isa.state import CS, State
from emu.mem.memory import Memory

TRAP = 0xae  # the port; see rom.s
ROM, SIZE = 0xf0000, 0x10000  # where its stubs run
ANSWER = {None: 0, WAIT: CF | ZF, SPIN: CF}  # flags for the stub: done, again after an interrupt, again
FONT = Path(__file__).with_name('font.bin')
FONT_AT = {16: 0, 14: 4096, 8: 7680}  # in font.bin


@cache
def program() -> tuple[bytes, dict[str, int]]:
    """The ROM's 64 KB, and where its labels are."""
    source = Path(__file__).with_name('rom.s').read_text()
    path = store.directory('bios', hashlib.sha256(source.encode()).hexdigest()[:16])
    obj = store.read(path)
    if obj is None:
        obj = assemble_object(source, 16)
        store.write(path, obj)
    linked = link(obj, 0)
    font = FONT.read_bytes()
    image = bytearray(linked.code)
    for at, data in ((video.FONT_8X16, font[:4096]), (video.FONT_8X14, font[4096:7680]), (video.FONT_8X8, font[7680:]), (video.FONT_LOW, font[7680:8704]),
                     (vbe.OEM_PLACE, vbe.OEM), (video.STATIC, video.STATIC_TABLE)): image[at:at + len(data)] = data
    assert len(image) == SIZE
    return bytes(image), linked.labels


def image() -> bytes:
    """The ROM, as -bios FILE would have it."""
    return program()[0]


class Bios:
    """The services, on a machine's parts. `drives` has what disks there are, by QEMU's names: each has an `image`, or None; `hardware` is what
    ACPI's tables tell of; `order` is -boot's."""

    def __init__(self, pc: Pc, state: State, memory: Memory, drives: Mapping[str, Any], hardware: Callable[[], Hardware], order: str = 'cad'):
        self.pc, self.memory, self.clock, self.order = pc, memory, pc.clock, order
        self.vga: Any = getattr(pc, 'vga', None)
        self.caller = Caller(state, memory)
        self.image, self.labels = program()
        self.hardware = hardware
        self.plugged = drives
        self.mouse = mouse.Pointing(self)
        self.start_over()
        self.services: dict[int, Callable[[Bios, Caller], Any]] = {n: guarded(f) for n, f in SERVICES.items()}
        pc.bus.add_ports(TRAP, 1, lambda port, w: 0xff, self.trap)

    def start_over(self) -> None:
        """As at power-on."""
        self.drives: dict[int, disk.Drive] = {}
        self.booted_cd: boot.BootedCd | None = None
        self.until: int | None = None  # guest time at which INT 15h AH=86h is over
        self.vbe_mode = 0
        self.asked = False  # for a bootable medium

    def trap(self, port: int, w: int, v: int) -> None:
        """A stub of the ROM calls its service; the answer is in CF and ZF. To all others the port is nobody's."""
        c = self.caller
        if c.m.base[CS] != ROM: return
        service = self.services.get(c.service)
        answer = service(self, c) if service else None
        set_arithmetic_flags(c.m, ANSWER.get(answer, 0))

    # --- the data area, ports, the CMOS ----------------------------------------------------------------------------------------------

    def get(self, a: int, w: int) -> int:
        """w bits of the data area, or elsewhere in low memory, as the caller sees it."""
        if self.caller.m.cr0 >> 31: return self.caller.get(a, w)
        return int.from_bytes(self.memory.ram[a:a + w // 8], 'little')

    def put(self, a: int, w: int, v: int) -> None:
        """Writes w bits."""
        if self.caller.m.cr0 >> 31: self.caller.put(a, w, v)
        else: self.memory.write(a, (v & (1 << w) - 1).to_bytes(w // 8, 'little'))

    def vector(self, n: int, segment: int, offset: int) -> None:
        """Sets an interrupt vector."""
        self.put(4 * n, 32, segment << 16 | offset)

    def get_vector(self, n: int) -> tuple[int, int]:
        """Segment and offset."""
        v = self.get(4 * n, 32)
        return v >> 16, v & 0xffff

    def out(self, port: int, v: int) -> None:
        """A byte to a port; a log of the guest's accesses does not see it."""
        self.pc.bus.output(port, 8, v & 0xff)

    def inp(self, port: int) -> int:
        """A byte from one."""
        return self.pc.bus.input(port, 8)

    def cmos(self, at: int) -> int:
        """A byte of the CMOS."""
        self.out(0x70, at)
        return self.inp(0x71)

    def set_cmos(self, at: int, v: int) -> None:
        """Writes one."""
        self.out(0x70, at)
        self.out(0x71, v)

    # --- what services share ---------------------------------------------------------------------------------------------------------

    def font(self, height: int) -> bytes:
        """256 characters of so many lines."""
        best = max((h for h in FONT_AT if h <= height), default=8)
        data = FONT.read_bytes()[FONT_AT[best]:FONT_AT[best] + 256 * best]
        if best == height: return data
        return b''.join(data[n:n + best].ljust(height, b'\0')[:height] for n in range(0, len(data), best))

    def glyph(self, character: int, height: int) -> bytes:
        """A character's lines, from the font that vectors 43h and 1Fh name."""
        segment, offset = self.get_vector(0x43)
        if height == 8 and character >= 128:
            segment, offset = self.get_vector(0x1f)
            character -= 128
        return self.caller.read(segment, offset + character * height, height)

    def write_medium(self, medium: disk.Medium, sector: int, data: bytes) -> None:
        """Writes sectors; they are on the host's disk when the guest is told so."""
        medium.write(sector, data)
        medium.flush()

    def set_leds(self, leds: int) -> None:
        """Keyboard lights: the keyboard is told, its answers are not waited for."""
        self.pc.i8042.keyboard.leds = leds

    def reset(self) -> None:
        """Ctrl-Alt-Del."""
        self.pc.hard_reset()

    def pci_devices(self) -> Mapping[tuple[int, int], Any]:
        """(device, function) -> its configuration space."""
        return self.pc.pci.devices

    @property
    def frame_buffer(self) -> int:
        """Where the linear frame buffer is, or 0."""
        return self.vga.memory.frame_buffer or 0 if self.vga else 0

    def end_emulation(self) -> None:
        """The CD's floppy or disk goes away; the drives are what they were."""
        self.booted_cd = None
        post.find_drives(self)


SERVICES: dict[int, Callable[[Bios, Caller], Any]] = {
    0x09: keyboard.interrupt, 0x10: video.service, 0x11: system.equipment, 0x12: system.memory_size, 0x13: disk.service, 0x14: system.serial, 0x15: system.service_15,
    0x16: keyboard.service, 0x17: system.printer, 0x18: boot.nothing, 0x19: boot.load, 0x1a: system.clock, 0x70: system.clock_interrupt, 0x74: mouse.interrupt,
    0xff: post.power_on}
