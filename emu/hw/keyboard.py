"""The IBM enhanced keyboard, 101 or 102 keys and those added later (IBM PS/2 Hardware Interface Technical Reference, "Keyboard"): scan code sets 1, 2 and 3, typematic
repetition in guest time, LEDs, key types, a buffer of 16 bytes with its overrun code.

Whoever has keys calls `key(name, down)` with a name of keys.py; a key that is down already is not pressed again, as the keyboard itself repeats it.
Left out: the time of the self-test; repetition does not overrun the buffer, it pauses.
"""
from typing import Callable

from emu.hw.clock import Clock, Timer
from emu.hw.keys import GREY, MAKE_BREAK, MAKE_ONLY, SET_2, SET_2_TO_1, SET_3
from emu.hw.ps2 import ACK, RESEND, Device

BUFFER = 16  # bytes of scan codes
NUM_LOCK = 2  # of the LEDs; 1: Scroll Lock, 4: Caps Lock
DELAY_UNIT, PERIOD_UNIT = 250_000_000, 4_170_000  # ns ("Set Typematic Rate/Delay")
DEFAULT_RATE = 0x2b  # 500 ms, 10.9 a second
TYPEMATIC, MAKE_AND_BREAK, MAKE, BOTH = range(4)  # key types: repeats; breaks; neither; both. In the order of commands F7h to FAh, and FBh to FDh
NAME_OF_SET_3 = {code: name for name, code in SET_3.items()}
SHIFTS, CTRLS, ALTS = {'shift', 'shift_r'}, {'ctrl', 'ctrl_r'}, {'alt', 'alt_r'}


def breaks(code: bytes) -> bytes:
    """Set 2, released: F0 before the last byte."""
    return code[:-1] + b'\xf0' + code[-1:]


def set_2_to_1(codes: bytes) -> bytes:
    """What a controller makes of set 2: F0 becomes bit 7 of what follows."""
    out, released = bytearray(), 0
    for v in codes:
        if v == 0xf0: released = 0x80
        elif v in (0xe0, 0xe1): out.append(v)
        else:
            out.append(SET_2_TO_1[v] | released)
            released = 0
    return bytes(out)


class Keyboard(Device):
    """`down` has the names of the keys that are held."""

    identity = b'\xab\x83'

    def __init__(self, clock: Clock, ready: Callable[[], None]):
        self.clock = clock
        self.down: dict[str, bytes] = {}  # and with which codes each is released in sets 1 and 2
        self.repeating: Timer | None = None
        super().__init__(ready)

    def defaults(self) -> None:
        self.leds, self.scan_set, self.scanning, self.rate = 0, 2, True, DEFAULT_RATE
        self.types = {name: MAKE_AND_BREAK if name in MAKE_BREAK else MAKE if name in MAKE_ONLY else TYPEMATIC for name in SET_3}
        self.stop_repeating()

    # --- commands ----------------------------------------------------------------------------------------------------------------------

    def command(self, v: int) -> None:
        if v in (0xed, 0xf0, 0xf3, 0xfb, 0xfc, 0xfd): self.argument_of = v
        if v == 0xee: self.put(0xee)  # echo
        elif v in (0xed, 0xf0, 0xf3, 0xfb, 0xfc, 0xfd): self.put(ACK)
        elif v in (0xf4, 0xf5, 0xf6):
            self.clear()
            if v != 0xf4: self.defaults()
            self.scanning = v != 0xf5
            self.put(ACK)
        elif 0xf7 <= v <= 0xfa:
            self.types = dict.fromkeys(SET_3, v - 0xf7)
            self.put(ACK)
        else: super().command(v)

    def argument(self, command: int, v: int) -> None:
        if v >= 0xed: return self.write(v)  # a command instead of the argument; so ends a list of keys
        answer = [ACK]
        if command == 0xed: self.leds = v & 7
        elif command == 0xf3: self.rate = v & 0x7f
        elif command >= 0xfb:
            self.argument_of = command  # any number of keys
            if v in NAME_OF_SET_3: self.types[NAME_OF_SET_3[v]] = command - 0xfb
        elif v == 0: answer.append(self.scan_set)
        elif v <= 3:
            self.clear()
            self.scan_set = v
        else: answer = [RESEND]
        return self.put(*answer)

    # --- keys ----------------------------------------------------------------------------------------------------------------------------

    def key(self, name: str, down: bool) -> None:
        """A key of keys.py is pressed or released."""
        if down == (name in self.down): return
        if down:
            made, released = self.pressed(name)
            self.down[name] = released
            self.stop_repeating()
            repeats = name != 'pause' if self.scan_set < 3 else self.types.get(name) in (TYPEMATIC, BOTH)
            if self.scanning and made:
                self.scan(made)
                if repeats: self.repeat(made[-2:] if made[0] == 0xe0 else made, DELAY_UNIT * ((self.rate >> 5 & 3) + 1))
        else:
            released = self.down.pop(name)
            self.stop_repeating()
            if self.scan_set == 3: released = bytes((0xf0, SET_3[name])) if name in SET_3 and self.types[name] in (MAKE_AND_BREAK, BOTH) else b''
            if self.scanning and released: self.scan(released)

    def pressed(self, name: str) -> tuple[bytes, bytes]:
        """The scan codes of a key, and those of its release; in set 3 the former alone."""
        if self.scan_set == 3: return bytes((SET_3[name],)) if name in SET_3 else b'', b''
        made, released = self.set_2(name)
        return (set_2_to_1(made), set_2_to_1(released)) if self.scan_set == 1 else (made, released)

    def set_2(self, name: str) -> tuple[bytes, bytes]:
        """Set 2, where some keys depend on those that are held, so that programs for older keyboards understand them ("Scan Code Set 1", tables behind it)."""
        shifted, ctrl, alt = (not keys.isdisjoint(self.down) for keys in (SHIFTS, CTRLS, ALTS))
        if name == 'sysrq' or name == 'print' and alt: return b'\x84', b'\xf0\x84'
        if name == 'pause':
            code = b'\xe0\x7e' if ctrl else b'\xe1\x14\x77'
            return code + (breaks(code) if ctrl else b'\xe1\xf0\x14\xf0\x77'), b''
        code = SET_2[name]
        numbers = bool(self.leds & NUM_LOCK)
        if name == 'kp_divide' and shifted or name in GREY and shifted and not numbers:  # the shifts seem released meanwhile
            held = [b'\xe0' + SET_2[key] for key in ('shift', 'shift_r') if key in self.down]
            return b''.join(map(breaks, held)) + code, breaks(code) + b''.join(held)
        if name == 'print' and not (shifted or ctrl) or name in GREY and numbers and not shifted: pass  # a shift seems pressed meanwhile
        else: return code, breaks(code)
        return b'\xe0\x12' + code, breaks(code) + b'\xe0\xf0\x12'

    def scan(self, codes: bytes) -> None:
        """Scan codes go into the buffer; where they do not fit, one overrun code does."""
        overrun = b'\xff' if self.scan_set == 1 else b'\0'
        if sum(map(len, self.messages)) + len(codes) <= BUFFER: self.say(codes)
        elif self.messages[-1] != overrun: self.say(overrun)

    def repeat(self, codes: bytes, after: int) -> None:
        """The key will repeat."""
        def again() -> None:
            if not self.messages: self.scan(codes)
            self.repeat(codes, (8 + (self.rate & 7) << (self.rate >> 3 & 3)) * PERIOD_UNIT)
        self.repeating = self.clock.at(self.clock.now() + after, again)

    def stop_repeating(self) -> None:
        """The key was released, or another pressed."""
        self.clock.cancel(self.repeating)
        self.repeating = None
