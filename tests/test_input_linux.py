"""Debian's kernel finds the keyboard and the mouse (atkbd, psmouse) and its evdev passes on what the control socket types and moves."""
import re
import struct
import sys
from pathlib import Path

from emu.server.client import Client
from tests.conftest import guest
from tests.test_boot_linux import Person

EV_KEY, EV_REL, EV_LED = 1, 2, 0x11  # linux/input-event-codes.h
KEY_A, KEY_LEFTSHIFT, KEY_ENTER, KEY_UP, KEY_PAUSE, KEY_SYSRQ, BTN_LEFT, BTN_SIDE = 30, 42, 28, 103, 119, 99, 0x110, 0x113
REL_X, REL_Y, REL_WHEEL = 0, 1, 8


def events(person: Person, file: str) -> list[tuple[int, int, int]]:
    """(type, code, value) of what evdev wrote into a file of the guest: structs input_event."""
    person.type(f'xxd -p {file} | tr -d "\\n"; echo; echo done-$((6*7))\r')
    text = person.expect('done-42\n')
    data = bytes.fromhex(''.join(re.findall('^[0-9a-f]{32,}$', text, re.MULTILINE)))
    return [event for _, _, *event in struct.iter_unpack('<IIHHi', data)]  # type: ignore[misc]


def test_evdev(tmp_path: Path) -> None:
    files = guest('linux')
    person = Person([sys.executable, '-m', 'emu', 'run', '-nographic', '-m', '256', '-control', f'{tmp_path}/c', '-kernel', str(files['vmlinuz-686']),
                     '-initrd', str(files['initramfs-686.gz']), '-append', 'console=ttyS0 end=shell modules=1'])
    try:
        person.expect('GUEST-CHECKS-DONE')
        person.expect('# ')
        person.type('cat /proc/bus/input/devices; cat /dev/input/event0 > /keys & cat /dev/input/event1 > /mouse & sleep 1; echo ready-$((6*7))\r')
        found = person.expect('ready-42\n')
        assert 'AT Translated Set 2 keyboard' in found and 'ImExPS/2 Generic Explorer Mouse' in found
        control = Client(f'{tmp_path}/c')
        control.execute('type', {'text': 'aA\n'})
        for name in ('up', 'pause', 'print'): control.execute('send-key', {'keys': [name], 'hold-time': 20})
        for arguments in ({'dx': 7, 'dy': -5}, {'dz': 1}, {'down': ['left', 'side']}, {'up': ['left', 'side']}):
            control.execute('mouse', arguments)
            person.type('usleep 50000; echo moved-$((6*7))\r')  # packets of one sample are one event
            person.expect('moved-42\n')
        while control.execute('query-status')['typing']: person.read(0.1)
        control.close()
        keys = [(code, value) for kind, code, value in events(person, '/keys') if kind == EV_KEY]
        assert [(code, value) for code, value in keys if value < 2] == [
            (KEY_A, 1), (KEY_A, 0), (KEY_LEFTSHIFT, 1), (KEY_A, 1), (KEY_A, 0), (KEY_LEFTSHIFT, 0), (KEY_ENTER, 1), (KEY_ENTER, 0), (KEY_UP, 1), (KEY_UP, 0),
            (KEY_PAUSE, 1), (KEY_PAUSE, 0), (KEY_SYSRQ, 1), (KEY_SYSRQ, 0)]
        moves = [event for event in events(person, '/mouse') if event[0] in (EV_KEY, EV_REL)]
        assert [tuple(move) for move in moves if move[1] != 11] == [  # 11: the wheel again, finer
            (EV_REL, REL_X, 7), (EV_REL, REL_Y, -5), (EV_REL, REL_WHEEL, -1), (EV_KEY, BTN_LEFT, 1), (EV_KEY, BTN_SIDE, 1), (EV_KEY, BTN_LEFT, 0), (EV_KEY, BTN_SIDE, 0)]
    finally:
        person.close()
