"""The keyboard controller and what is plugged into it: an IBM PS/2 keyboard and mouse (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
Auxiliary Device Controller"; Intel UPI-42 is its chip): ports 60h and 64h, IRQ1 and IRQ12.

Bytes of a device take 0.7 ms on its cable; the controller's own answers are there at once. Reading port 60h again gives the last byte again, which chained
DOS handlers rely on. Power-on is as a BIOS leaves it: keyboard interrupt and translation on, mouse port off. Left out: scan code set 3, typematic repetition
(whoever sends keys repeats them), the mouse's movements, the keyboard lock, and the input port's jumpers.
"""
from collections import deque
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.clock import Clock, Timer
from emu.hw.ports import A20

BYTE_TIME = 700_000  # ns: 11 bits at about 16 kHz
ROOM = 256  # bytes that a device keeps; more are lost
ACK, RESEND, PASSED = 0xfa, 0xfe, 0xaa

KEYBOARD_INTERRUPT, MOUSE_INTERRUPT, SYSTEM, KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 1, 2, 4, 0x10, 0x20, 0x40  # the command byte
FULL, COMMAND, UNLOCKED, MOUSE_FULL = 1, 8, 0x10, 0x20  # the status register, with SYSTEM

# What the controller makes of set 2: row, then column.
SET_2_TO_1 = bytes.fromhex("""
    ff 43 41 3f 3d 3b 3c 58 64 44 42 40 3e 0f 29 59  65 38 2a 70 1d 10 02 5a 66 71 2c 1f 1e 11 03 5b
    67 2e 2d 20 12 05 04 5c 68 39 2f 21 14 13 06 5d  69 31 30 23 22 15 07 5e 6a 72 32 24 16 08 09 5f
    6b 33 25 17 18 0b 0a 60 6c 34 35 26 27 19 0c 61  6d 73 28 74 1a 0d 62 6e 3a 36 1c 1b 75 2b 63 76
    55 56 77 78 79 7a 0e 7b 7c 4f 7d 4b 47 7e 7f 6f  52 53 50 4c 4d 48 01 45 57 4e 51 4a 37 49 46 54
    80 81 82 41 54""") + bytes(range(0x85, 0x100))
SET_1_TO_2 = {SET_2_TO_1[code]: code for code in range(0x85)}  # of two codes for a key the later is the real one


class Device:
    """What both devices share: an output buffer, and commands of which some want an argument."""

    identity = b''  # the answer to F2h
    after_test = b''  # what follows the self-test's result

    def __init__(self, ready: Callable[[], None]):
        self.ready = ready
        self.output: deque[int] = deque()
        self.defaults()

    def defaults(self) -> None:
        """The state after a reset."""
        self.argument_of: int | None = None
        self.last = 0

    def put(self, *data: int) -> None:
        """Bytes for the controller; whole messages are lost where they do not fit."""
        if len(self.output) + len(data) <= ROOM: self.output.extend(data)
        self.ready()

    def write(self, v: int) -> None:
        """A byte from the controller: a command or an argument."""
        command, self.argument_of = self.argument_of, None
        if command is not None: self.argument(command, v)
        else: self.command(v)

    def command(self, v: int) -> None:
        """Commands that both know."""
        if v == 0xff:
            self.output.clear()
            self.defaults()
            self.put(ACK, PASSED, *self.after_test)
        elif v == 0xfe: self.put(self.last)
        elif v == 0xf2: self.put(ACK, *self.identity)
        else: self.put(RESEND)

    def argument(self, command: int, v: int) -> None:
        """The byte after a command that wants one."""
        self.put(ACK)


class Keyboard(Device):
    """A 101-key keyboard that speaks set 2, or set 1 on request."""

    identity = b'\xab\x83'

    def defaults(self) -> None:
        super().defaults()
        self.leds, self.scan_set, self.scanning = 0, 2, True

    def command(self, v: int) -> None:
        if v in (0xed, 0xf0, 0xf3, 0xfb, 0xfc, 0xfd): self.argument_of = v
        if v == 0xee: self.put(0xee)  # echo
        elif v in (0xf4, 0xf5, 0xf6):
            if v != 0xf4: self.defaults()
            self.scanning = v != 0xf5
            self.put(ACK)
        elif 0xf7 <= v <= 0xfd or v in (0xed, 0xf0, 0xf3): self.put(ACK)
        else: super().command(v)

    def argument(self, command: int, v: int) -> None:
        if v >= 0xed: self.write(v)  # a command instead of the argument
        elif command == 0xed:
            self.leds = v & 7
            self.put(ACK)
        elif command == 0xf0 and v == 0: self.put(ACK, self.scan_set)
        elif command == 0xf0 and v > 2: self.put(RESEND)
        else:
            if command == 0xf0: self.scan_set = v
            self.put(ACK)

    def key(self, scancodes: bytes) -> None:
        """Keys pressed and released, in set 1, as the main program has them."""
        if not self.scanning: return
        if self.scan_set == 2:
            codes: list[int] = []
            for byte in scancodes:
                if byte in (0xe0, 0xe1): codes.append(byte)
                elif code := SET_1_TO_2.get(byte & 0x7f): codes += [0xf0, code] if byte & 0x80 else [code]
            scancodes = bytes(codes)
        self.put(*scancodes)


class Mouse(Device):
    """A two-button mouse that nobody moves."""

    identity = after_test = b'\0'

    def defaults(self) -> None:
        super().defaults()
        self.rate, self.resolution, self.mode = 100, 2, 0  # mode: bit 6 remote, 5 enabled, 4 scaling 2:1, as in the status

    def command(self, v: int) -> None:
        if v in (0xe8, 0xf3): self.argument_of = v
        if v in (0xe6, 0xe7): self.mode = self.mode & ~0x10 | (v & 1) << 4
        elif v in (0xea, 0xf0): self.mode = self.mode & ~0x40 | 0x40 * (v == 0xf0)
        elif v in (0xf4, 0xf5): self.mode = self.mode & ~0x20 | 0x20 * (v == 0xf4)
        elif v == 0xf6: self.defaults()
        if v == 0xe9: self.put(ACK, self.mode, self.resolution, self.rate)
        elif v == 0xeb: self.put(ACK, 8, 0, 0)
        elif v in (0xe6, 0xe7, 0xe8, 0xea, 0xf0, 0xf3, 0xf4, 0xf5, 0xf6): self.put(ACK)
        else: super().command(v)

    def argument(self, command: int, v: int) -> None:
        if command == 0xe8: self.resolution = v & 3
        else: self.rate = v
        self.put(ACK)


class I8042:
    """The controller. `irq1` and `irq12` are its interrupt lines, `pulse_reset` its P20."""

    def __init__(self, bus: Bus, clock: Clock, irq1: Callable[[bool], None], irq12: Callable[[bool], None],
                 a20: A20, pulse_reset: Callable[[], None]):
        self.clock, self.irq1, self.irq12, self.a20, self.pulse_reset = clock, irq1, irq12, a20, pulse_reset
        self.timer: Timer | None = None
        self.answers: deque[tuple[int, int]] = deque()  # of the controller itself: byte, and MOUSE_FULL or 0
        self.keyboard, self.mouse = Keyboard(self.next), Mouse(self.next)
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
        for device in (self.keyboard, self.mouse):
            device.output.clear()
            device.defaults()
        self.clock.cancel(self.timer)
        self.timer = None
        self.update()

    def key(self, scancodes: bytes) -> None:
        """Keys in set 1 (`E0 1D`: right Ctrl pressed)."""
        self.keyboard.key(scancodes)

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
        if self.keyboard.output and not self.ram[0] & KEYBOARD_OFF: return self.keyboard
        if self.mouse.output and not self.ram[0] & MOUSE_OFF: return self.mouse
        return None

    def arrive(self) -> None:
        """A byte has come through a cable."""
        self.timer = None
        device = self.source()
        if self.full or device is None: return
        device.last = v = device.output.popleft()
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
