"""The ports of a PC that are no chip of their own: 61h, 80h, 92h, CF9h, a debug console and a debug exit.

61h, 92h and CF9h are as in PIIX and its contemporaries (Intel 82371SB data sheet, "NMI Status and Control", "Reset Control"). The debug console is Bochs's port
E9h, the debug exit QEMU's isa-debug-exit.
"""
from typing import Callable

from emu.hw.bus import Bus
from emu.hw.pit import Pit


class A20:
    """Address line 20, which the keyboard controller and port 92h switch alike: the last one wins."""

    def __init__(self, output: Callable[[bool], None]):
        self.output, self.enabled = output, True

    def set(self, enabled: bool) -> None:
        """Switches it."""
        if enabled != self.enabled:
            self.enabled = enabled
            self.output(enabled)


class PortB:
    """61h: bits 0: counter 2's gate, 1: speaker, 2 and 3: NMI sources off; read, which is a text (emu/ports/pit.py): 4: refresh, 5: counter 2's output."""

    def __init__(self, pit: Pit):
        self.channel = pit.channels[2]
        self.heard: Callable[[], None] = lambda: None  # the speaker's
        pit.port_b = self.write

    @property
    def value(self) -> int:
        """The four bits."""
        return self.channel.value

    def write(self, v: int) -> None:
        """The four bits."""
        self.channel.value = v & 15
        self.channel.set_gate(bool(v & 1))
        self.heard()

    def reset(self) -> None:
        """All off."""
        self.write(0)


class Port92:
    """92h: bit 1 is A20; bit 0 resets the CPU when it goes from 0 to 1."""

    def __init__(self, bus: Bus, a20: A20, reset: Callable[[], None]):
        self.a20, self.pulse_reset, self.value = a20, reset, 0
        bus.add_ports(0x92, 1, self.read, self.write)

    def read(self, port: int, w: int) -> int:
        """A20 as it is, the other bits as written."""
        return self.value & ~2 | self.a20.enabled << 1

    def write(self, port: int, w: int, v: int) -> None:
        """Bits 3 and 6 and 7 (lock, activity light) are only remembered."""
        rises = v & ~self.value & 1
        self.value = v
        self.a20.set(bool(v & 2))
        if rises: self.pulse_reset()

    def reset(self) -> None:
        """Power-on."""
        self.value = 0


class ResetControl:
    """CF9h: bit 2 going from 0 to 1 resets, everything where bit 1 is set, else the CPU alone."""

    def __init__(self, bus: Bus, soft: Callable[[], None], hard: Callable[[], None]):
        self.soft, self.hard, self.value = soft, hard, 0
        bus.add_ports(0xcf9, 1, lambda port, w: self.value, self.write)

    def write(self, port: int, w: int, v: int) -> None:
        """RCR."""
        rises = v & ~self.value & 4
        self.value = v & 6
        if rises: (self.hard if v & 2 else self.soft)()

    def reset(self) -> None:
        """Power-on."""
        self.value = 0


def add_debugcon(bus: Bus, port: int, write: Callable[[bytes], object]) -> None:
    """What is written to the port goes to `write`; reading gives E9h, by which guests find it."""
    def put(port: int, w: int, v: int) -> None:
        write(bytes((v,)))

    def put_block(port: int, w: int, memory: memoryview) -> None:
        write(bytes(memory))
    bus.add_ports(port, 1, lambda port, w: 0xe9, put, write_block=put_block, fixed=True)


def add_debug_exit(bus: Bus, port: int, leave: Callable[[int], None]) -> None:
    """Writing v ends the run with exit code 2v + 1."""
    bus.add_ports(port, 4, lambda port, w: 0, lambda port, w, v: leave(v << 1 | 1), wide=True, fixed=True)
