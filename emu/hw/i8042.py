"""The keyboard controller, with an IBM PS/2 keyboard and mouse plugged into it (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
Controller"; Intel UPI-42 is its chip): ports 60h and 64h, IRQ1 and IRQ12. What is plugged in: keyboard.py, mouse.py.

Bytes of a device take 0.7 ms on its cable; the controller's own answers are there at once. Reading port 60h again gives the last byte again, which chained
DOS handlers rely on. Power-on is as a BIOS leaves it: keyboard interrupt and translation on, mouse port off. Left out: the keyboard lock, and the input port's
jumpers.
"""
from collections import deque
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer
from emu.hw.keyboard import Keyboard
from emu.hw.keys import SET_2_TO_1
from emu.hw.mouse import Mouse
from emu.hw.ports import A20
from emu.hw.ps2 import Device

BYTE_TIME = 700_000  # ns: 11 bits at about 16 kHz
ROOM = 256  # answers of the controller's own; more are lost

KEYBOARD_INTERRUPT, MOUSE_INTERRUPT, SYSTEM, KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 1, 2, 4, 0x10, 0x20, 0x40  # the command byte
FULL, COMMAND, UNLOCKED, MOUSE_FULL = 1, 8, 0x10, 0x20  # the status register, with SYSTEM


class I8042:
    """The controller. `irq1` and `irq12` are its interrupt lines, `pulse_reset` its P20."""

    def __init__(self, bus: Bus, clock: Clock, irq1: Callable[[bool], None], irq12: Callable[[bool], None],
                 a20: A20, pulse_reset: Callable[[], None]):
        self.clock, self.irq1, self.irq12, self.a20, self.pulse_reset = clock, irq1, irq12, a20, pulse_reset
        self.timer: Timer | None = None
        self.answers: deque[tuple[int, int]] = deque()  # of the controller itself: byte, and MOUSE_FULL or 0
        self.keyboard, self.mouse = Keyboard(clock, self.next), Mouse(clock, self.next)
        self.ram = bytearray(32)
        self.clear()
        bus.add_ports(0x60, 1, self.read_data, self.write_data)
        bus.add_ports(0x64, 1, self.read_status, self.write_command)

    def clear(self) -> None:
        """Power-on, after the BIOS."""
        self.ram[0] = KEYBOARD_INTERRUPT | SYSTEM | MOUSE_OFF | TRANSLATE
        self.full = 0  # FULL, with MOUSE_FULL for a byte of the mouse's
        self.data = 0
        self.expecting: int | None = None  # the command that wants a byte
        self.last_was_command = False
        self.released = False  # translation: F0 has been seen

    def reset(self) -> None:
        """RESET, and the devices' power-on."""
        self.clear()
        self.answers.clear()
        for device in (self.keyboard, self.mouse): device.reset()
        self.clock.cancel(self.timer)
        self.timer = None
        self.update()

    # --- the output buffer -----------------------------------------------------------------------------------------------------------

    def update(self) -> None:
        """The interrupt lines follow the output buffer."""
        self.irq1(self.full == FULL and bool(self.ram[0] & KEYBOARD_INTERRUPT))
        self.irq12(self.full == FULL | MOUSE_FULL and bool(self.ram[0] & MOUSE_INTERRUPT))

    def fill(self, v: int, source: int = 0) -> None:
        """A byte for the CPU."""
        self.data, self.full = v, FULL | source
        self.update()

    def answer(self, v: int, source: int = 0) -> None:
        """A byte of the controller's own; those that nobody fetches are lost at some point."""
        if len(self.answers) < ROOM: self.answers.append((v, source))
        self.next()

    def next(self) -> None:
        """Fills an empty output buffer: answers at once, a device's byte after its time on the cable."""
        if self.full: return
        if self.answers: self.fill(*self.answers.popleft())
        elif self.timer is None and self.source(): self.timer = self.clock.at(self.clock.now() + BYTE_TIME, self.arrive)

    def source(self) -> Device | None:
        """The device whose byte is next, with its clock line enabled."""
        if self.keyboard.waiting() and not self.ram[0] & KEYBOARD_OFF: return self.keyboard
        if self.mouse.waiting() and not self.ram[0] & MOUSE_OFF: return self.mouse
        return None

    def arrive(self) -> None:
        """A byte has come through a cable."""
        self.timer = None
        device = self.source()
        if self.full or device is None: return
        v = device.take()
        if device is self.mouse: self.fill(v, MOUSE_FULL)
        elif not self.ram[0] & TRANSLATE: self.fill(v)
        elif v == 0xf0:
            self.released = True
            self.next()
        else:
            v, self.released = SET_2_TO_1[v] | 0x80 * self.released, False
            self.fill(v)

    # --- ports -------------------------------------------------------------------------------------------------------------------------

    def read_data(self, port: int, w: int) -> int:
        """60h: takes the byte."""
        v = self.data
        if self.full:
            self.full = 0
            self.update()
            self.next()
        return v

    def read_status(self, port: int, w: int) -> int:
        """64h; the input buffer is always empty."""
        return self.full | self.ram[0] & SYSTEM | COMMAND * self.last_was_command | UNLOCKED

    def write_data(self, port: int, w: int, v: int) -> None:
        """60h: a command's byte, else one for the keyboard, which this turns on."""
        command, self.expecting = self.expecting, None
        self.last_was_command = False
        if command is None:
            self.ram[0] &= ~KEYBOARD_OFF
            self.keyboard.write(v)
        elif command == 0xd1: self.set_output_port(v)
        elif command == 0xd2: self.answer(v)
        elif command == 0xd3: self.answer(v, MOUSE_FULL)
        elif command == 0xd4:
            self.ram[0] &= ~MOUSE_OFF
            self.mouse.write(v)
        else: self.set_ram(command & 31, v)

    def write_command(self, port: int, w: int, v: int) -> None:
        """64h."""
        self.last_was_command = True
        self.expecting = v if 0x60 <= v < 0x80 or 0xd1 <= v <= 0xd4 else None
        if 0x20 <= v < 0x40: self.answer(self.ram[v & 31])
        elif v == 0xa7: self.set_ram(0, self.ram[0] | MOUSE_OFF)
        elif v == 0xa8: self.set_ram(0, self.ram[0] & ~MOUSE_OFF)
        elif v == 0xaa:
            self.set_ram(0, self.ram[0] | SYSTEM)
            self.answer(0x55)
        elif v in (0xa9, 0xab): self.answer(0)  # the devices' lines are good
        elif v == 0xad: self.set_ram(0, self.ram[0] | KEYBOARD_OFF)
        elif v == 0xae: self.set_ram(0, self.ram[0] & ~KEYBOARD_OFF)
        elif v == 0xc0: self.answer(0x80)  # the input port: keyboard not locked
        elif v == 0xd0: self.answer(1 | self.a20.enabled << 1 | (self.full == FULL) << 4 | (self.full == FULL | MOUSE_FULL) << 5 | 0xc0)
        elif v == 0xe0: self.answer(0)  # test inputs
        elif v >= 0xf0 and not v & 1: self.pulse_reset()

    def set_ram(self, n: int, v: int) -> None:
        """The controller's memory, of which byte 0 is the command byte."""
        self.ram[n] = v
        if n == 0:
            self.update()
            self.next()

    def set_output_port(self, v: int) -> None:
        """Bit 0 low: reset; bit 1: A20."""
        self.a20.set(bool(v & 2))
        if not v & 1: self.pulse_reset()
