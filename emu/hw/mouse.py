"""The PS/2 mouse (IBM PS/2 Hardware Interface Technical Reference, "Mouse"), with the wheel and the two more buttons of Microsoft's IntelliMouse and IntelliMouse Explorer.

Stream mode sends a packet when something changed, at most as often as the sample rate says; buttons are not held back. Remote mode sends one when asked; wrap mode echoes.
A driver turns the wheel on with sample rates of 200, 100, 80 (identity 3), and buttons 4 and 5 with 200, 200, 80 after that (identity 4). Left out: movements are in
counts, so that the resolution is only told back; the wheel's horizontal sibling.
"""
from collections import deque
from typing import Callable

from emu.hw.clock import Clock, Timer
from emu.hw.ps2 import ACK, Device

SECOND = 10 ** 9
LEFT, RIGHT, MIDDLE, SIDE, EXTRA = range(5)  # buttons, as in the packet's bits
PACKETS = 8  # packets that wait for a guest; later movements are added up instead
REMOTE, ENABLED, SCALING = 0x40, 0x20, 0x10  # of the status
WHEEL, BUTTONS = 3, 4  # identities
KNOCKS: dict[tuple[int, tuple[int, ...]], int] = {(0, (200, 100, 80)): WHEEL, (WHEEL, (200, 200, 80)): BUTTONS}
SCALED = (0, 1, 1, 3, 6, 9)  # counts of 0 to 5 at scaling 2:1; twice as many above


def taken(value: int, least: int, most: int) -> tuple[int, int]:
    """What fits into a packet, and what is left."""
    now = min(max(value, least), most)
    return now, value - now


class Mouse(Device):
    """`move` and `button` are for whoever has a mouse. Counts and buttons that a driver did not ask for are forgotten."""

    after_test = b'\0'

    def __init__(self, clock: Clock, ready: Callable[[], None]):
        self.clock = clock
        self.buttons = 0
        self.timer: Timer | None = None
        self.kind = 0
        super().__init__(ready)

    @property
    def identity(self) -> bytes:  # type: ignore[override]
        return bytes((self.kind,))

    def reset(self) -> None:
        super().reset()
        self.kind = 0

    def defaults(self) -> None:
        self.rate, self.resolution, self.mode = 100, 2, 0
        self.wrap = False
        self.rates: deque[int] = deque(maxlen=3)  # asked for last
        self.forget()
        self.clock.cancel(self.timer)
        self.timer = None

    def forget(self) -> None:
        """Counters to 0."""
        self.dx = self.dy = self.dz = 0
        self.sent_buttons = self.buttons  # those of the last packet

    # --- commands ----------------------------------------------------------------------------------------------------------------------

    def write(self, v: int) -> None:
        self.clear()  # a command breaks off a packet
        if self.wrap and v not in (0xec, 0xff): self.put(v)
        else: super().write(v)

    def command(self, v: int) -> None:
        answer = [ACK]
        if v in (0xe8, 0xf3): self.argument_of = v
        elif v in (0xe6, 0xe7): self.mode = self.mode & ~SCALING | SCALING * (v & 1)
        elif v in (0xea, 0xf0): self.mode = self.mode & ~REMOTE | REMOTE * (v == 0xf0)
        elif v in (0xec, 0xee): self.wrap = v == 0xee
        elif v in (0xf4, 0xf5): self.mode = self.mode & ~ENABLED | ENABLED * (v == 0xf4)
        elif v == 0xf6: self.defaults()
        elif v == 0xe9: answer += [self.mode | (self.buttons & 1) << 2 | (self.buttons & 4) >> 1 | (self.buttons & 2) >> 1, self.resolution, self.rate]
        elif v == 0xeb: answer += self.packet()
        else: return super().command(v)
        if v not in (0xe9, 0xeb): self.forget()
        return self.put(*answer)

    def argument(self, command: int, v: int) -> None:
        if command == 0xe8: self.resolution = v & 3
        else:
            self.rate = v
            self.rates.append(v)
            self.kind = KNOCKS.get((self.kind, tuple(self.rates)), self.kind)
        self.put(ACK)

    # --- the mouse is moved --------------------------------------------------------------------------------------------------------------

    def move(self, dx: int, dy: int, dz: int = 0) -> None:
        """Counts to the right, down, and of the wheel towards the user."""
        if not self.mode & (ENABLED | REMOTE): return
        self.dx, self.dy, self.dz = self.dx + dx, self.dy - dy, self.dz + dz * (self.kind != 0)
        self.report()

    def button(self, n: int, down: bool) -> None:
        """LEFT to EXTRA is pressed or released."""
        self.buttons = self.buttons & ~(1 << n) | down << n
        if self.streaming() and self.changed() and len(self.messages) < PACKETS: self.say(bytes(self.packet()))

    def streaming(self) -> bool:
        """Whether packets are sent unasked."""
        return self.mode & (REMOTE | ENABLED) == ENABLED and not self.wrap

    def changed(self) -> bool:
        """Whether there is something to tell."""
        mask = 0x1f if self.kind == BUTTONS else 7
        return bool(self.dx or self.dy or self.dz or (self.buttons ^ self.sent_buttons) & mask)

    def report(self) -> None:
        """Sends a packet if there is something to tell, all before has been read, and it is time."""
        if self.timer or self.waiting() or not self.streaming() or not self.changed(): return
        self.timer = self.clock.at(self.clock.now() + SECOND // max(self.rate, 1), self.again)
        self.say(bytes(self.packet()))

    def again(self) -> None:
        """A sample's time is over."""
        self.timer = None
        self.report()

    def emptied(self) -> None:
        self.report()

    def packet(self) -> list[int]:
        """Three bytes ("Data Report"), or four; what does not fit stays for the next, so nothing overflows. Scaling is stream mode's alone."""
        scaling = self.mode & (SCALING | REMOTE) == SCALING
        most = 127 if scaling else 255
        x, self.dx = taken(self.dx, -most, most)
        y, self.dy = taken(self.dy, -most, most)
        if scaling: x, y = self.scaled(x), self.scaled(y)
        self.sent_buttons = self.buttons
        out = [self.buttons & 7 | 8 | (x < 0) << 4 | (y < 0) << 5, x & 0xff, y & 0xff]
        if not self.kind: return out
        z, self.dz = taken(self.dz, -8, 7)
        return [*out, z & 0xff if self.kind == WHEEL else z & 15 | (self.buttons & 0x18) << 1]

    def scaled(self, counts: int) -> int:
        """At scaling 2:1."""
        n = abs(counts)
        n = SCALED[n] if n < len(SCALED) else 2 * n
        return n if counts > 0 else -n
