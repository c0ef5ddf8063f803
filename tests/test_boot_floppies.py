"""Guests from floppies, and Linux's floppy driver: reading, writing, a change of disks."""
import hashlib
import shutil
from pathlib import Path

import pytest

from tests.conftest import Start, guest
from tests.seat import Seat
from tests.test_boot_disks import boot, everything  # noqa: F401 (a fixture)


def file(name: str, path: str) -> str:
    """A guest's file."""
    return str(guest(name)[path])


def test_grub(boot) -> None:  # noqa: F811
    """Its boot sector reads the core image through SeaBIOS, sector by sector; the prompt echoes."""
    seat = boot('floppies', 'floppy-grub.img', 'fda')
    seat.hear('BOOTLOADER-READY')
    seat.hear('grub> ')
    seat.say('ls\r')
    seat.hear(r'\(fd0\)')


@pytest.fixture
def linux(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Seat:
    """At its shell, with the driver loaded and a copy of GRUB's floppy in drive A; `request.param` is more of the kernel's command line."""
    disk = tmp_path / 'a.img'
    shutil.copy(file('floppies', 'floppy-grub.img'), disk)
    seat = start('-m', '128', '-kernel', file('linux', 'vmlinuz-686'), '-initrd', file('linux', 'initramfs-686.gz'),
                 '-append', f'console=ttyS0 modules=1 end=shell {request.param}', '-fda', str(disk))
    seat.hear('GUEST-CHECKS-DONE')
    seat.hear(r'/ # ')
    return seat


def ask(seat: Seat, command: str, answer: str) -> None:
    """A command whose output, or its last line, is this."""
    seat.say(f'{command}; echo an"swer"\r')
    assert answer in seat.hear('answer\n')


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@everything
@pytest.mark.parametrize('linux', ['', 'floppy.floppy=nodma'], indirect=True, ids=['dma', 'nodma'])
def test_linux_reads_and_writes(linux: Seat, tmp_path: Path) -> None:
    """All sectors are the host's; what is written is in the file when `dd` and `sync` are done; another disk, the client's own, is noticed."""
    disk = tmp_path / 'a.img'
    before = disk.read_bytes()
    ask(linux, 'dd if=/dev/fd0 bs=18k 2>/dev/null | sha256sum', sha(before))
    ask(linux, 'seq 1 300000 | dd of=/dev/fd0 bs=512 seek=1001 count=777 iflag=fullblock conv=notrunc 2>/dev/null; sync', '')
    text = ''.join(f'{n}\n' for n in range(1, 300001)).encode()[:777 * 512]
    assert disk.read_bytes() == before[:1001 * 512] + text + before[1778 * 512:]
    small = tmp_path / 'b.img'
    small.write_bytes(bytes(k * k >> 9 & 0xff for k in range(720 << 10)))
    linux.client.do('insert', ['floppy0', str(small)])  # to be read only
    ask(linux, 'cat /dev/fd0', '')  # Linux does not look for a change when it opens a disk in its first five minutes: this read fails
    ask(linux, 'sha256sum /dev/fd0', sha(small.read_bytes()))
    ask(linux, 'echo x >/dev/fd0', 'Read-only file system')
    linux.client.do('remove', ['floppy0'])
    ask(linux, 'cat /dev/fd0', 'Input/output error')
    linux.picture()
