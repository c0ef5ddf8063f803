"""Debian's kernel finds the keyboard and the mouse (atkbd, psmouse) and its evdev passes on what a client of the display protocol types and moves."""
import re
import struct

from tests.conftest import Start, guest
from tests.seat import CODES, Seat

EV_KEY, EV_REL, EV_LED = 1, 2, 0x11  # linux/input-event-codes.h
KEY_A, KEY_LEFTSHIFT, KEY_ENTER, KEY_UP, KEY_PAUSE, KEY_SYSRQ, BTN_LEFT, BTN_SIDE = 30, 42, 28, 103, 119, 99, 0x110, 0x113
REL_X, REL_Y, REL_WHEEL = 0, 1, 8


def events(seat: Seat, file: str) -> list[tuple[int, int, int]]:
    """(type, code, value) of what evdev wrote into a file of the guest: structs input_event."""
    seat.say(f'xxd -p {file} | tr -d "\\n"; echo; echo done-$((6*7))\r')
    text = seat.hear('done-42\n')
    data = bytes.fromhex(''.join(re.findall('^[0-9a-f]{32,}$', text, re.MULTILINE)))
    return [event for _, _, *event in struct.iter_unpack('<IIHHi', data)]  # type: ignore[misc]


def test_evdev(start: Start) -> None:
    files = guest('linux')
    seat = start('-m', '256', '-kernel', str(files['vmlinuz-686']), '-initrd', str(files['initramfs-686.gz']), '-append', 'console=tty0 console=ttyS0 end=shell modules=1')
    seat.hear('GUEST-CHECKS-DONE')
    seat.hear('# ')
    seat.say('cat /proc/bus/input/devices; cat /dev/input/event0 > /keys & cat /dev/input/event1 > /mouse & sleep 1; echo ready-$((6*7))\r')
    found = seat.hear('ready-42\n')
    assert 'AT Translated Set 2 keyboard' in found and 'ImExPS/2 Generic Explorer Mouse' in found
    seat.type('aA\n')
    keys = [[('KEY', CODES[name], 1), ('KEY', CODES[name], 0)] for name in ('up', 'pause', 'print')]
    for messages in (*keys, [('MOVE', 7, -5, 0)], [('MOVE', 0, 0, 1)], [('BUTTON', 0, 1), ('BUTTON', 3, 1)], [('BUTTON', 0, 0), ('BUTTON', 3, 0)]):
        for message in messages: seat.client.machine.say(*message)
        seat.say('usleep 50000; echo moved-$((6*7))\r')  # packets of one sample are one event, and a keyboard has 16 bytes
        seat.hear('moved-42\n')
    pressed = [(code, value) for kind, code, value in events(seat, '/keys') if kind == EV_KEY]
    assert [(code, value) for code, value in pressed if value < 2] == [
        (KEY_A, 1), (KEY_A, 0), (KEY_LEFTSHIFT, 1), (KEY_A, 1), (KEY_A, 0), (KEY_LEFTSHIFT, 0), (KEY_ENTER, 1), (KEY_ENTER, 0), (KEY_UP, 1), (KEY_UP, 0),
        (KEY_PAUSE, 1), (KEY_PAUSE, 0), (KEY_SYSRQ, 1), (KEY_SYSRQ, 0)]
    moves = [event for event in events(seat, '/mouse') if event[0] in (EV_KEY, EV_REL)]
    assert [tuple(move) for move in moves if move[1] != 11] == [  # 11: the wheel again, finer
        (EV_REL, REL_X, 7), (EV_REL, REL_Y, -5), (EV_REL, REL_WHEEL, -1), (EV_KEY, BTN_LEFT, 1), (EV_KEY, BTN_SIDE, 1), (EV_KEY, BTN_LEFT, 0), (EV_KEY, BTN_SIDE, 0)]
    seat.picture()
