"""emu/hw/keyboard.py and keys.py against the IBM PS/2 Hardware Interface Technical Reference, "Keyboard", and what Linux's atkbd driver asks. Bytes as on the cable."""
import pytest

from emu.hw.clock import Clock
from emu.hw.keyboard import Keyboard, set_2_to_1
from emu.hw.keys import ALIASES, NAMES, SET_2, SET_3, US, canonical

MS = 1_000_000


class Machine:
    """A keyboard whose every byte is fetched when asked for."""

    def __init__(self) -> None:
        self.time = 0
        self.clock = Clock(lambda: self.time)
        self.keyboard = Keyboard(self.clock, lambda: None)

    def drain(self) -> str:
        """What the keyboard has to say, in hexadecimal."""
        out = bytearray()
        while self.keyboard.waiting(): out.append(self.keyboard.take())
        return out.hex(' ')

    def send(self, *values: int) -> str:
        """A command, byte by byte, and its answers."""
        for v in values: self.keyboard.write(v)
        return self.drain()

    def key(self, name: str, down: bool) -> str:
        self.keyboard.key(name, down)
        return self.drain()

    def strike(self, name: str) -> str:
        return f'{self.key(name, True)} / {self.key(name, False)}'

    def wait(self, ns: int) -> str:
        """Guest time passes, fetching all."""
        end, out = self.time + ns, []
        while (due := self.clock.next_deadline()) is not None and due <= end:
            self.time = due
            self.clock.run_due()
            out.append(self.drain())
        self.time = end
        return ' '.join(out)


@pytest.fixture
def m() -> Machine:
    return Machine()


@pytest.mark.parametrize('scan_set, name, codes', [
    (1, 'a', '1e / 9e'), (1, 'ctrl_r', 'e0 1d / e0 9d'), (1, 'f11', '57 / d7'), (1, 'less', '56 / d6'), (1, 'print', 'e0 2a e0 37 / e0 b7 e0 aa'),
    (1, 'pause', 'e1 1d 45 e1 9d c5 / '), (1, 'kp_enter', 'e0 1c / e0 9c'), (1, 'meta_l', 'e0 5b / e0 db'),
    (2, 'a', '1c / f0 1c'), (2, 'ctrl_r', 'e0 14 / e0 f0 14'), (2, 'f7', '83 / f0 83'), (2, 'print', 'e0 12 e0 7c / e0 f0 7c e0 f0 12'),
    (2, 'pause', 'e1 14 77 e1 f0 14 f0 77 / '), (2, 'backslash', '5d / f0 5d'), (2, 'num_lock', '77 / f0 77'), (2, 'sysrq', '84 / f0 84'),
    (3, 'a', '1c / '), (3, 'ctrl', '11 / f0 11'), (3, 'esc', '08 / '), (3, 'pause', '62 / '), (3, 'backslash', '5c / '), (3, 'up', '63 / '), (3, 'caps_lock', '14 / f0 14'),
    (3, 'kp_enter', '79 / '), (3, 'alt_r', '39 / '),
])
def test_scan_codes(m: Machine, scan_set: int, name: str, codes: str) -> None:
    """The tables of scan code sets 1 to 3; in set 3 only shifts tell of their release (its key types at power-on)."""
    assert m.send(0xf0, scan_set) == 'fa fa'
    assert m.strike(name) == codes


def test_every_key_has_a_code_of_its_own() -> None:
    """In all three sets; and nothing is translated to a code that another key has."""
    assert len(set(SET_2.values())) == len(SET_2) and len(set(SET_3.values())) == len(SET_3)
    assert len({set_2_to_1(code) for code in SET_2.values()}) == len(SET_2)
    assert {canonical(name) for name in NAMES} == NAMES and set(ALIASES.values()) <= NAMES
    assert len(SET_3) == 105  # 102 keys and Microsoft's three


def test_names() -> None:
    """QEMU's qcodes, aliases, characters."""
    assert [canonical(name) for name in ('ret', 'Enter', 'A', 'a', '/', 'F1', 'ctrl_r', '?', 'nokey', '')] == ['ret', 'ret', 'a', 'a', 'slash', 'f1', 'ctrl_r', None, None, None]


def test_us_layout_types_all_of_ascii() -> None:
    assert set(map(chr, range(32, 127))) | set('\n\t\b') <= set(US)
    assert US['a'] == ('a',) and US['A'] == ('shift', 'a') and US['?'] == ('shift', 'slash') and US['@'] == ('shift', '2') and US['~'] == ('shift', 'grave_accent')


def test_keys_that_depend_on_others(m: Machine) -> None:
    """Print Screen and Pause with Alt, Ctrl; cursor keys with Shift or Num Lock (notes under the tables of sets 1 and 2)."""
    for held, name, codes in (('alt', 'print', '84 / f0 84'), ('ctrl', 'print', 'e0 7c / e0 f0 7c'), ('shift', 'print', 'e0 7c / e0 f0 7c'), ('ctrl', 'pause', 'e0 7e e0 f0 7e / '),
                              ('shift', 'up', 'e0 f0 12 e0 75 / e0 f0 75 e0 12'), ('shift_r', 'up', 'e0 f0 59 e0 75 / e0 f0 75 e0 59'),
                              ('shift', 'kp_divide', 'e0 f0 12 e0 4a / e0 f0 4a e0 12'), ('ctrl', 'up', 'e0 75 / e0 f0 75')):
        m.key(held, True)
        assert m.strike(name) == codes, (held, name)
        m.key(held, False)
    m.send(0xed, 2)
    assert m.strike('up') == 'e0 12 e0 75 / e0 f0 75 e0 f0 12' and m.strike('kp_8') == '75 / f0 75'
    m.key('shift', True)
    assert m.strike('up') == 'e0 75 / e0 f0 75'


def test_repetition(m: Machine) -> None:
    """By default after 500 ms, then 10.9 times a second, until the key is released or another is pressed; Pause never ("Typematic")."""
    assert m.key('a', True) == '1c' and m.wait(499 * MS) == '' and m.wait(2 * MS) == '1c'
    assert len(m.wait(1000 * MS).split()) == 10
    assert m.key('a', True) == ''  # the host's own repetition
    assert m.key('b', True) == '32' and m.wait(500 * MS) == '32'
    assert m.key('a', False) == 'f0 1c' and m.wait(1000 * MS) == ''  # any release ends it
    assert m.key('b', False) == 'f0 32' and m.clock.next_deadline() is None
    m.key('print', True)
    assert m.wait(500 * MS) == 'e0 7c'
    m.key('print', False)
    m.key('pause', True)
    assert m.wait(1000 * MS) == ''


@pytest.mark.parametrize('rate, delay, period', [(0x00, 250, 33.36), (0x2b, 500, 91.74), (0x7f, 1000, 500.4), (0x24, 500, 50.04)])
def test_repetition_rate(m: Machine, rate: int, delay: int, period: float) -> None:
    """F3h: delay (bits 5 and 6 + 1) x 250 ms, period (8 + bits 0 to 2) x 2 to the power of bits 3 and 4 x 4.17 ms."""
    assert m.send(0xf3, rate) == 'fa fa'
    m.key('a', True)
    assert m.wait(int((delay - 1) * MS)) == '' and m.wait(int((1 + period * 9.5) * MS)) == ' '.join(['1c'] * 10)


def test_buffer_and_overrun(m: Machine) -> None:
    """16 bytes; then one overrun code, 00 in sets 2 and 3, FFh in set 1; what was in the buffer is kept."""
    for scan_set, code in ((2, '00'), (3, '00'), (1, 'ff')):
        m.send(0xf0, scan_set)
        for name in 'qwertyuiopasdfghjkl': m.keyboard.key(name, True)
        sent = m.drain().split()
        assert len(sent) == 17 and sent[16] == code and code not in sent[:16]
        for name in 'qwertyuiopasdfghjkl': m.key(name, False)


def test_repetition_pauses_while_nobody_reads(m: Machine) -> None:
    m.keyboard.key('a', True)
    for _ in range(1000):
        m.time += 100 * MS
        m.clock.run_due()
    assert m.drain() == '1c'


def test_commands(m: Machine) -> None:
    """Linux atkbd_probe and the rest: identity, LEDs, echo, defaults, set, reset with BAT, resend, what is no command."""
    assert m.send(0xf2) == 'fa ab 83'
    assert m.send(0xed, 7) == 'fa fa' and m.keyboard.leds == 7
    assert m.send(0xee) == 'ee'
    assert m.send(0xf0, 0) == 'fa fa 02' and m.send(0xf0, 4) == 'fa fe'
    assert m.send(0xf5) == 'fa' and m.strike('a') == ' / '
    assert m.send(0xf4) == 'fa' and m.strike('a') == '1c / f0 1c'
    m.send(0xf0, 3)
    assert m.send(0xf6) == 'fa' and m.keyboard.scan_set == 2 and m.keyboard.leds == 0
    m.keyboard.key('a', True)
    assert m.send(0xff) == 'fa aa'
    assert m.send(0xfe) == 'aa' and m.send(0xe1) == 'fe'


def test_command_for_an_argument(m: Machine) -> None:
    """A command byte where an argument was due is a command."""
    assert m.send(0xed, 0xf2) == 'fa fa ab 83' and m.send(7) == 'fe'


def test_key_types(m: Machine) -> None:
    """F7h to FAh set the type of all keys, FBh to FDh those of a list that the next command ends; they show in set 3."""
    m.send(0xf0, 3)
    assert m.send(0xf8) == 'fa' and m.strike('f1') == '07 / f0 07'
    m.key('a', True)
    assert m.wait(2000 * MS) == ''
    assert m.key('a', False) == 'f0 1c'
    assert m.send(0xf9) == 'fa' and m.strike('ctrl') == '11 / '
    assert m.send(0xfa) == 'fa'
    m.key('ctrl', True)
    assert m.wait(500 * MS) == '11' and m.key('ctrl', False) == 'f0 11'
    assert m.send(0xfd, 0x1c, 0x32, 0xf4) == 'fa fa fa fa'
    assert m.strike('a') == '1c / ' and m.strike('b') == '32 / ' and m.strike('c') == '21 / f0 21'
    assert m.send(0xf7) == 'fa' and m.strike('shift') == '12 / '
