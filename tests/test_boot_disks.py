"""Boot loaders and systems from disk images, through our own BIOS and through SeaBIOS, as a user starts them: what they say on COM1 (docs/guests.md has the images)."""
import re
import sys
from typing import Callable, Iterator

import pytest

from tests.conftest import ALL, guest
from tests.test_boot_linux import Person, assert_right

everything = pytest.mark.skipif(not ALL, reason='EMU_TEST_ALL=1')
# Equal natively and under QEMU, for the packages that Debian 12 has (issue 3); any other value is a wrong instruction somewhere.
DIGESTS = dict(zip('python perl sqlite openssl gzip xz bzip2 lua luajit bc awk shell tcc gcc nasm'.split(), (
    '25e5f387f47e 2ccae8af52a6 ab67bcc736a4 ab34c0458be5 c6e368e35e1b f2758b909f50 a2ddcab7c544 7c5524e23ebc ee26afb072a6 8454a90ee031 34a1da0eed8e 5d148e033fcf '
    '022e5050dc22 e66ee0dc456f de00109294fb').split()))


@pytest.fixture(params=['own', pytest.param('seabios', marks=everything)])
def boot(request: pytest.FixtureRequest) -> Iterator[Callable[..., Person]]:
    """Starts a machine from a file of a guest, on the drive of this option; nothing is written to the file."""
    started = []

    def start(name: str, file: str, drive: str, *options: str) -> Person:
        image = guest(name)[file]
        started.append(Person([sys.executable, '-m', 'emu', 'run', '-nographic', '-m', '256', '-bios', request.param, '-snapshot', f'-{drive}', str(image), *options]))
        return started[-1]
    yield start
    for person in started: person.close()


def test_syslinux_from_a_hard_disk(boot):
    """Words typed at its prompt go to the kernel, whose drivers find the disk."""
    person = boot('bootdisk', 'bootdisk.img', 'hda')
    person.expect(r'boot: ')
    person.type('linux end=poweroff\r')
    person.expect(r' sda: sda1\n')
    person.assert_ended(0)
    assert_right('686', person.log)


def test_isolinux_from_a_cd(boot):
    """El Torito without emulation. The menu is on COM1 as on the screen."""
    person = boot('cds', 'cd-isolinux.iso', 'cdrom', '-boot', 'd')
    person.expect('BOOTLOADER-READY')
    person.expect('Automatic boot in')


@everything
def test_grub_from_a_cd(boot):
    person = boot('cds', 'cd-grub.iso', 'cdrom', '-boot', 'd')
    person.expect('BOOTLOADER-READY')
    person.expect(r'\*memtest86\+')


@everything
def test_memtest_from_a_floppy_that_a_cd_emulates(boot):
    """memtest86+ draws its screen on COM1 too; the word by `Status:` says that it tests, on a processor that it knows."""
    person = boot('cds', 'cd-floppy-emulation.iso', 'cdrom', '-boot', 'd', '-cpu', 'pentium3')
    person.expect('SYSLINUX')
    person.expect(r'Loading mt\.bin\.\.\. ok')
    person.expect(r'Memtest86')


def test_grub_from_a_floppy(boot):
    """What is typed on COM1 goes to GRUB's command line."""
    person = boot('floppies', 'floppy-grub.img', 'fda', '-boot', 'a')
    person.expect('BOOTLOADER-READY')
    person.expect('grub> ')
    person.type('echo -n one; echo two\r')
    person.expect('\nonetwo\n')


@everything
def test_memtest_from_a_floppy(boot):
    person = boot('floppies', 'floppy-memtest.img', 'fda', '-boot', 'a', '-cpu', 'pentium3')
    person.expect('SYSLINUX')
    person.expect('Memtest86')


@everything
def test_the_workload_from_a_disk(boot):
    """Debian's programs from an ext4 disk: each computes what it does on real processors, and the disk is let go cleanly."""
    person = boot('disk', 'disk.img', 'hda')
    person.expect(r'boot: ')
    person.type('work\r')
    person.expect(r'USERLAND-READY')
    for name in DIGESTS: person.expect(rf'WORK {name} .*\n')
    person.expect(r'RUN-DONE 0\n')
    person.expect(r'sda2\): unmounting filesystem')
    person.assert_ended(0)
    assert dict(re.findall(r'^WORK (\w+) \S+ (\w+) $', person.log, re.MULTILINE)) == DIGESTS
