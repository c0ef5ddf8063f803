"""Each guest at keyboard and screen, through the display protocol (tests/seat.py), with our own BIOS and with SeaBIOS: the screen is, line by line, what QEMU shows
(tests/guest_scripts.py), and dot for dot the machine's screendump."""
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ALL, Start, guest, program
from tests.guest_scripts import CASES, PICTURES, SCREENS
from tests.test_boot_linux import assert_right

everything = pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
SHARE = {('grub-floppy', 'own'), ('syslinux-disk', 'own'), ('isolinux-editor', 'own'), ('syslinux-disk', 'seabios')}  # what `make test` runs


def both(names: list[str]) -> list[object]:
    """Each name with each BIOS; `make test` has its share of them."""
    return [pytest.param(name, bios, id=f'{name}-{bios}', marks=() if (name, bios) in SHARE else everything) for name in names for bios in ('own', 'seabios')]


@pytest.mark.parametrize('name, bios', both(list(CASES)))
def test_screen(start: Start, name: str, bios: str) -> None:
    """Keys are typed; what then stands on the screen is what QEMU shows once it has settled."""
    case = CASES[name]
    guest(case.guest)
    seat = start('-bios', bios, '-cpu', 'pentium3', *case.words())
    case.script(seat)
    wanted = (SCREENS / f'{name}.txt').read_text().rstrip('\n').split('\n')
    end = time.monotonic() + 20
    while (shown := case.shown(seat.lines())) != wanted and time.monotonic() < end: seat.look()
    assert shown == wanted
    seat.picture()


@everything
@pytest.mark.parametrize('name, bios', [(name, bios) for name in PICTURES for bios in ('own', 'seabios')])
def test_picture(start: Start, name: str, bios: str) -> None:
    """In graphics, with SeaBIOS, every dot is QEMU's; with our own BIOS it is what was seen to be right once (its letters are others)."""
    case = PICTURES[name]
    guest(case.guest)
    seat = start('-bios', bios, *case.words())
    case.script(seat)
    wanted = np.asarray(Image.open(SCREENS / f'{name}-{bios}.png').convert('RGB'))

    def same() -> bool:
        seat.key('end')  # the menu may not have been there yet
        seat.look(0.1)
        return np.array_equal(seat.picture(), wanted)
    seat.until(same, 'another picture', 60)


# --- memtest86+ -------------------------------------------------------------------------------------------------------------------

@everything
@pytest.mark.parametrize('bios', ['own', 'seabios'])
def test_memtest_passes(start: Start, bios: str) -> None:
    """A full pass over 16 MB, all tests, without errors."""
    guest('floppies')
    case = CASES['memtest-floppy']
    seat = start('-bios', bios, '-cpu', 'pentium3', *case.words())
    seat.see('Pass:  0')
    shown = seat.see(r'Pass:  1|Errors: +[1-9]', patience=1500)
    assert re.search(r'Pass:  1 .*Errors: 0', shown), shown
    seat.picture()


# --- grub-invaders ------------------------------------------------------------------------------------------------------------------

def ship(lines: list[str]) -> int:
    """The column of the ship, from its second row."""
    return lines[24].index('/') + 1 if len(lines) == 25 and '/ \\' in lines[24] else -1


@pytest.mark.parametrize('how', ['kernel', pytest.param('own', marks=everything), pytest.param('seabios', marks=everything), pytest.param('grub', marks=everything)])
def test_invaders(start: Start, how: str) -> None:
    """From -kernel, and from a floppy's SYSLINUX and a disk's GRUB: the formation is QEMU's (one of its first pictures), keys move the ship and fire, an invader is hit."""
    if how == 'kernel': seat = start('-kernel', str(guest('invaders')['invaders.exec']))
    elif how == 'grub':
        seat = start('-snapshot', '-hda', str(guest('grubdisk')['grubdisk.img']))
        seat.see('highlighted')
        seat.key('down')
        seat.key('ret')
    else: seat = start('-bios', how, '-snapshot', '-fda', str(guest('floppies')['floppy-invaders.img']))
    seat.see(r'/ \\')
    formations = (SCREENS / 'invaders.txt').read_text().split('\f')
    seat.until(lambda: '\n'.join(seat.lines()[:24]).rstrip() in formations, 'not a picture that QEMU shows')
    assert ship(seat.lines()) == 40
    place = seat.hold('left', lambda: 0 < ship(lines := seat.lines()) < 40 and ship(lines), 'the ship does not go left')
    seat.hold('right', lambda: ship(seat.lines()) > place, 'the ship does not go right')
    invaders = '\n'.join(seat.lines()).count('-*-')
    seat.hold('spc', lambda: any('|' in line for line in seat.lines()), 'no shot')
    seat.hold('spc', lambda: '\n'.join(seat.lines()).count('*') < invaders, 'no invader is hit')
    picture = seat.picture()
    assert picture.shape == (400, 720, 3)
    assert {tuple(c) for c in picture[380:].reshape(-1, 3).tolist()} <= {(0, 0, 0), (0xaa, 0, 0xaa)}  # the ship's colour, as in the picture that QEMU makes


# --- Linux from disks -----------------------------------------------------------------------------------------------------------------

@everything
@pytest.mark.parametrize('bios', ['own', 'seabios'])
def test_linux_through_grub_from_a_disk(start: Start, bios: str) -> None:
    guest('grubdisk')
    seat = start('-bios', bios, '-m', '256', '-snapshot', '-hda', str(guest('grubdisk')['grubdisk.img']))
    seat.see('highlighted')
    seat.picture()
    seat.key('ret')
    seat.hear('GUEST-CHECKS-DONE')
    seat.ended()
    seat.hear('reboot: Power down')
    assert_right('686', seat.said[seat.said.index('Linux version'):])


@everything
@pytest.mark.parametrize('bios', ['own', 'seabios'])
def test_ext4_from_a_disk(start: Start, tmp_path: Path, bios: str) -> None:
    """Debian's kernel, its root on ext4: a file is written, the machine reboots, the file is read; on the host e2fsck has nothing to say, and finds it as well.

    All of it at the machine's own keyboard and screen, its kernel's first console."""
    e2fsck = program('e2fsck')
    disk = tmp_path / 'disk'
    subprocess.run(['cp', '--sparse=always', str(guest('disk')['disk.img']), str(disk)], check=True)
    seat = start('-bios', bios, '-m', '256', '-hda', str(disk))

    def shell() -> None:
        seat.see('^boot:$')
        seat.type('linux console=ttyS0 console=tty0\n')
        seat.see('(?s)USERLAND-READY.*# ')  # the kernel may say something behind the prompt
    shell()
    seat.type('seq 1 200000 | tee /root/numbers | md5sum; sync; echo written-$((6*7))\n')
    wanted = re.search(r'[0-9a-f]{32}', seat.see('written-42'))
    assert wanted
    seat.type('mount -o remount,ro /; echo u > /proc/sysrq-trigger; busybox reboot -f\n')
    shell()
    seat.type('md5sum /root/numbers; grep -c . /root/numbers\n')
    assert f'{wanted[0]}  /root/numbers' in seat.see('^200000$')
    seat.picture()
    seat.type('rm /root/numbers; echo kept > /root/kept; sync; mount -o remount,ro /; busybox poweroff -f\n')
    seat.ended()
    with disk.open('rb') as file:
        file.seek(446 + 16 + 8)
        first = int.from_bytes(file.read(4), 'little')
    volume = f'{disk}?offset={first * 512}'
    check = subprocess.run([e2fsck, '-fn', volume], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
